/**
 * The verbs of the store that read or change one key. `getOrSet` reads as `get` does, whoever wrote, loads as a cached
 * function does, and writes as `set` does.
 */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Option, Stream, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import { CacheStore } from "../../src/CacheStore.js"
import {
  Boom,
  becomes,
  begun,
  counting,
  gate,
  gated,
  herd,
  minute,
  numbered,
  onStore,
  recordWarnings,
  type StoreUnderTest,
  stats,
  thenDoes,
  waiting
} from "./support.js"

export const storeVerbs = (store: StoreUnderTest): void => {
  const on = onStore(store)

  describe("getOrSet", () => {
    it.effect("an absent key - is loaded, and stored as set stores it", () => {
      const { calls, lookup } = counting()
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          assert.strictEqual(yield* all.getOrSet("k", lookup(), minute), 1)
          assert.strictEqual(yield* all.getOrSet("k", lookup(), minute), 1)
          deepStrictEqual(yield* all.get("k"), Option.some(1))
          yield* TestClock.adjust("1 minute")
          assert.strictEqual(yield* all.getOrSet("k", lookup(), minute), 2)
          assert.strictEqual(calls.length, 2)
        })
      )
    })

    it.effect("the entry of a function or of set - is returned, and nothing is loaded", () => {
      const { calls, lookup } = counting()
      const { layer, lines } = recordWarnings()
      const cached = Cached.ttl((id: string) => Effect.succeed(id), { key: "f:{}", ...minute })
      return Effect.provide(
        on(
          Effect.gen(function* () {
            const all = yield* CacheStore
            yield* cached("a")
            yield* all.set("s", 20, minute)
            assert.strictEqual(yield* all.getOrSet<unknown>("f:a", lookup(), minute), "a")
            assert.strictEqual(yield* all.getOrSet("s", lookup(), minute), 20)
            yield* cached.clear
            assert.strictEqual(yield* all.getOrSet("f:a", lookup(), minute), 1)
            assert.strictEqual(calls.length, 1)
            deepStrictEqual(lines, [])
          })
        ),
        layer
      )
    })

    it.effect("what it writes - belongs to no function", () => {
      const cached = Cached.ttl((id: string) => Effect.succeed(id), { key: "f:{}", ...minute })
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          yield* all.getOrSet("f:a", Effect.succeed(1), minute)
          deepStrictEqual(yield* cached.peek("a"), Option.none())
          yield* cached.clear
          deepStrictEqual(yield* all.get("f:a"), Option.some(1))
          assert.strictEqual(yield* cached("a"), "a")
        })
      )
    })

    it.effect("a herd - shares one load, whatever the lookups are, and no load of a function", () => {
      const { calls, door, lookup } = gated()
      const other = counting()
      const cached = Cached.ttl(
        Effect.map(other.lookup(), (call) => call + 100),
        { key: "k", ...minute }
      )
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          const first = yield* Effect.fork(all.getOrSet("k", lookup(), minute))
          yield* begun(calls)
          const others = yield* herd(all.getOrSet("k", other.lookup(), minute), 20)
          yield* waiting(21)
          assert.strictEqual(yield* cached, 101)
          yield* door.open
          assert.strictEqual(yield* first, 1)
          deepStrictEqual(new Set(yield* Effect.forEach(others, Fiber.join)), new Set([1]))
          deepStrictEqual([calls.length, other.calls.length], [1, 1])
          const { caches } = yield* stats
          deepStrictEqual([caches.getOrSet?.misses, caches.getOrSet?.coalesced, caches.getOrSet?.loads], [21, 20, 1])
        })
      )
    })

    it.effect("name - is its label, and the key never is", () =>
      on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          yield* all.getOrSet("secret", Effect.succeed(1), { ...minute, name: "rates" })
          yield* all.getOrSet("secret", Effect.succeed(1), minute)
          const { caches } = yield* stats
          deepStrictEqual(Object.keys(caches).sort(), ["getOrSet", "rates"])
          deepStrictEqual([caches.rates?.misses, caches.getOrSet?.hits], [1, 1])
        })
      )
    )

    it.effect("a failure - reaches everyone who waits, and is not stored", () => {
      const door = gate()
      const { calls, lookup } = numbered((call) =>
        call === 1 ? Effect.zipRight(door.pass, Effect.fail(new Boom())) : Effect.succeed(call)
      )
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          const readers = yield* herd(Effect.exit(all.getOrSet("k", lookup(), minute)), 5)
          yield* waiting(5)
          yield* door.open
          for (const exit of yield* Effect.forEach(readers, Fiber.join)) deepStrictEqual(exit, Exit.fail(new Boom()))
          deepStrictEqual(yield* all.get("k"), Option.none())
          assert.strictEqual(yield* all.getOrSet("k", lookup(), minute), 2)
          assert.strictEqual(calls.length, 2)
        })
      )
    })

    it.effect("an interrupted caller - does not end the load of the others", () => {
      const { calls, door, lookup } = gated()
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          const first = yield* Effect.fork(all.getOrSet("k", lookup(), minute))
          yield* begun(calls)
          const second = yield* Effect.fork(all.getOrSet("k", lookup(), minute))
          yield* waiting(2)
          yield* Fiber.interrupt(first)
          yield* door.open
          assert.strictEqual(yield* second, 1)
          assert.strictEqual(calls.length, 1)
        })
      )
    })

    it.effect("law 8: invalidation wins - a load that began before a remove or a set stores nothing", () => {
      const { calls, door, lookup } = gated()
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          const first = yield* Effect.fork(all.getOrSet("a", lookup(), minute))
          const second = yield* Effect.fork(all.getOrSet("b", lookup(), minute))
          yield* begun(calls, 2)
          yield* all.remove("a")
          yield* all.set("b", "set", minute)
          yield* door.open
          yield* first
          yield* second
          deepStrictEqual(yield* all.getMany(["a", "b"]), [Option.none(), Option.some("set")])
        })
      )
    })

    it.effect("stale - is returned at once while a refresh runs, and not past its end", () => {
      const { calls, lookup } = thenDoes(Effect.succeed)
      const options = { ttl: "10 seconds", stale: "5 seconds" } as const
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          assert.strictEqual(yield* all.getOrSet("k", lookup(), options), 1)
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(yield* all.getOrSet("k", lookup(), options), 1)
          yield* becomes(all.get("k"), Option.some(2))
          yield* TestClock.adjust("15 seconds")
          assert.strictEqual(yield* all.getOrSet("k", lookup(), options), 3)
          assert.strictEqual(calls.length, 3)
        })
      )
    })

    it.effect(
      "ttl and tags - may be functions of the value; a ttl of zero returns the value and stores nothing",
      () => {
        const { lookup } = counting()
        const options = {
          ttl: (value: number) => (value === 1 ? 0 : "1 minute"),
          tags: (value: number) => [`v${value}`]
        } as const
        return on(
          Effect.gen(function* () {
            const all = yield* CacheStore
            assert.strictEqual(yield* all.getOrSet("k", lookup(), options), 1)
            assert.strictEqual(yield* all.getOrSet("k", lookup(), options), 2)
            yield* all.tags.invalidate(["v1"])
            assert.strictEqual(yield* all.getOrSet("k", lookup(), options), 2)
            yield* all.tags.invalidate(["v2"])
            assert.strictEqual(yield* all.getOrSet("k", lookup(), options), 3)
          })
        )
      }
    )

    it.effect("Cached.reload and Cached.bypass - apply to it", () => {
      const { lookup } = counting()
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          const read = all.getOrSet("k", lookup(), minute)
          yield* read
          assert.strictEqual(yield* Cached.reload(read), 2)
          assert.strictEqual(yield* Cached.bypass(read), 3)
          assert.strictEqual(yield* read, 2)
        })
      )
    })
  })

  describe("entry", () => {
    it.effect("an absent key - is none; a value has its state and times, whoever wrote it", () => {
      const cached = Cached.swr(Effect.succeed("f"), { key: "f", ttl: "10 seconds", stale: "5 seconds" })
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          deepStrictEqual(yield* all.entry("k"), Option.none())
          yield* all.set("k", "s", { ttl: "10 seconds", stale: "5 seconds" })
          yield* cached
          const times = { createdAt: 0, freshUntil: 10_000, staleUntil: 15_000, expiresAt: 15_000 }
          const fresh = { state: "fresh", ...times }
          deepStrictEqual(yield* all.entry("k"), Option.some({ value: "s", ...fresh }))
          deepStrictEqual(yield* all.entry("f"), Option.some({ value: "f", ...fresh }))
          yield* TestClock.adjust("10 seconds")
          deepStrictEqual(yield* all.entry("k"), Option.some({ value: "s", state: "stale", ...times }))
          yield* TestClock.adjust("5 seconds")
          deepStrictEqual(yield* all.entry("k"), Option.none())
          assert.strictEqual((yield* stats).loads, 1)
        })
      )
    })

    it.effect("an invalidated entry - is none", () =>
      on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          for (const invalidate of [all.remove("k"), all.clear, all.tags.invalidate(["t"])]) {
            yield* all.set("k", 1, { ...minute, tags: ["t"] })
            assert.isTrue(Option.isSome(yield* all.entry("k")))
            yield* invalidate
            deepStrictEqual(yield* all.entry("k"), Option.none())
          }
        })
      )
    )
  })

  describe("expire", () => {
    const lifetime = { ttl: "10 seconds", stale: "5 seconds" } as const

    /** The state and the times of a key. */
    const stateOf = (key: string) =>
      Effect.flatMap(CacheStore, (all) =>
        Effect.map(
          all.entry(key),
          Option.map(({ expiresAt, freshUntil, state, value }) => [value, state, freshUntil, expiresAt])
        )
      )

    it.effect("a value that may be served as stale - is stale from now on, for as long as it could have been", () =>
      on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          yield* all.set("k", { a: 1 }, { ...lifetime, tags: ["t"] })
          yield* TestClock.adjust("2 seconds")
          yield* all.expire("k")
          deepStrictEqual(yield* stateOf("k"), Option.some([{ a: 1 }, "stale", 2_000, 7_000]))
          deepStrictEqual(yield* all.get("k"), Option.some({ a: 1 }))
          yield* TestClock.adjust("4999 millis")
          assert.isTrue(yield* all.has("k"))
          yield* TestClock.adjust("1 millis")
          assert.isFalse(yield* all.has("k"))
        })
      )
    )

    it.effect("swr - serves the value once more and refreshes it behind", () => {
      const { calls, lookup } = thenDoes(Effect.succeed)
      const cached = Cached.swr(lookup(), { key: "k", ...lifetime })
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          yield* cached
          yield* all.expire("k")
          assert.strictEqual(yield* cached, 1)
          yield* becomes(cached, 2)
          assert.strictEqual(calls.length, 2)
          deepStrictEqual(yield* stateOf("k"), Option.some([2, "fresh", 10_000, 15_000]))
        })
      )
    })

    it.effect("ttl - loads", () => {
      const { lookup } = counting()
      const cached = Cached.ttl(lookup(), { key: "k", ...minute })
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          yield* cached
          yield* all.expire("k")
          deepStrictEqual(yield* all.get("k"), Option.none())
          assert.strictEqual(yield* cached, 2)
        })
      )
    })

    it.effect(
      "a value that is stale already, an absent key and one of an unknown end - stay stale, or become absent",
      () =>
        on(
          Effect.gen(function* () {
            const all = yield* CacheStore
            yield* all.expire("never there")
            yield* all.set("stale", 1, lifetime)
            yield* all.set("forever", 1, { ttl: Duration.infinity, stale: "1 minute" })
            yield* all.set("stale forever", 1, { ttl: "10 seconds", stale: Duration.infinity })
            yield* TestClock.adjust("11 seconds")
            for (const key of ["stale", "forever", "stale forever"]) yield* all.expire(key)
            deepStrictEqual(yield* stateOf("stale"), Option.some([1, "stale", 10_000, 15_000]))
            deepStrictEqual(yield* stateOf("forever"), Option.none())
            deepStrictEqual(
              yield* stateOf("stale forever"),
              Option.some([1, "stale", 10_000, Number.POSITIVE_INFINITY])
            )
            yield* TestClock.adjust("4 seconds")
            yield* all.expire("stale")
            assert.isFalse(yield* all.has("stale"))
          })
        )
    )

    it.effect("twice, and after a further set - counts from the last one", () =>
      on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          yield* all.set("k", 1, lifetime)
          yield* all.expire("k")
          yield* TestClock.adjust("2 seconds")
          yield* all.expire("k")
          deepStrictEqual(yield* stateOf("k"), Option.some([1, "stale", 0, 5_000]))
          yield* all.set("k", 2, lifetime)
          deepStrictEqual(yield* stateOf("k"), Option.some([2, "fresh", 12_000, 17_000]))
          yield* all.expire("k")
          deepStrictEqual(yield* stateOf("k"), Option.some([2, "stale", 2_000, 7_000]))
        })
      )
    )

    it.effect("law 8: invalidation wins - a load that began before it stores nothing", () => {
      const { calls, door, lookup } = gated()
      const cached = Cached.swr(lookup(), { key: "k", ...lifetime })
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          const reader = yield* Effect.fork(cached.refresh)
          yield* begun(calls)
          yield* all.expire("k")
          yield* door.open
          assert.strictEqual(yield* reader, 1)
          deepStrictEqual(yield* all.get("k"), Option.none())
        })
      )
    })

    it.effect("law 8: invalidation wins - what a tag, a clear or a removal has invalidated does not come back", () => {
      const cached = Cached.swr((id: string) => Effect.succeed(id), { key: "k:{}", ...lifetime, tags: ["t"] })
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          for (const invalidate of [all.tags.invalidate(["t"]), cached.clear, all.clear, all.remove("k:a")]) {
            yield* cached("a")
            assert.isTrue(yield* all.has("k:a"))
            yield* invalidate
            yield* all.expire("k:a")
            deepStrictEqual(yield* all.get("k:a"), Option.none())
            // also one that is expired first
            yield* cached("a")
            yield* all.expire("k:a")
            yield* invalidate
            deepStrictEqual(yield* all.get("k:a"), Option.none())
          }
        })
      )
    })

    it.effect("sets, removals and expiries of one key in one turn - the last one counts", () =>
      on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          const at = { concurrency: "unbounded" } as const
          yield* all.set("a", "old", lifetime)
          yield* all.set("b", "old", lifetime)
          yield* Effect.all([all.set("a", "new", lifetime), all.expire("a")], at)
          yield* Effect.all([all.remove("b"), all.expire("b")], at)
          // an unconfirmed set may be removed, but what it replaced does not come back
          const found = yield* all.get<string>("a")
          assert.notStrictEqual(Option.getOrUndefined(found), "old")
          deepStrictEqual(yield* all.get("b"), Option.none())
          yield* Effect.all([all.expire("a"), all.set("a", "newest", lifetime)], at)
          deepStrictEqual(yield* all.get("a"), Option.some("newest"))
          assert.strictEqual((yield* all.health).undelivered, 0)
        })
      )
    )
  })

  describe("keys", () => {
    const listed = Effect.flatMap(CacheStore, (all) =>
      Effect.map(Stream.runCollect(all.keys), (keys) => Array.from(new Set(keys)).sort())
    )

    if (store.cannotSweep === true) {
      it.effect("a backend that cannot list its keys - fails", () =>
        on(
          Effect.gen(function* () {
            const error = yield* Effect.flip(listed)
            assert.strictEqual(error._tag, "CacheStoreError")
            assert.include(error.message, "cannot list its keys")
          })
        )
      )
      return
    }

    it.effect("entries of the store and of functions - are listed by the keys that remove takes", () => {
      const cached = Cached.ttl((id: string) => Effect.succeed(id), { key: "f:{}", version: 2, ...minute })
      const odd = ["plain", "", "!bang", "!u", "a*b?[c]", "\ud800 half", "e\u0301 %20", "f:x#v1", "{marks}"]
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          deepStrictEqual(yield* listed, [])
          yield* all.setMany(
            odd.map((key) => [key, 1] as const),
            minute
          )
          yield* cached("x")
          yield* becomes(
            Effect.map(listed, (keys) => keys.includes(cached.key("x"))),
            true
          )
          deepStrictEqual(yield* listed, [...odd, cached.key("x")].sort())
          yield* all.removeMany(yield* listed)
          deepStrictEqual(yield* listed, [])
        })
      )
    })

    it.effect("what was removed, invalidated or has expired - is not listed, and what is stale is", () =>
      on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          const long = { ttl: "1 hour" } as const
          yield* all.set("expired", 1, minute)
          yield* all.set("stale", 1, { ...minute, stale: "1 hour" })
          yield* all.set("removed", 1, long)
          yield* all.set("tagged", 1, { ...long, tags: ["t"] })
          yield* all.set("tagged otherwise", 1, { ...long, tags: ["u".repeat(2_000)] })
          yield* all.remove("removed")
          yield* all.tags.invalidate(["t"])
          yield* TestClock.adjust("1 minute")
          deepStrictEqual(yield* listed, ["stale", "tagged otherwise"])
          yield* all.tags.invalidate(["u".repeat(2_000)])
          deepStrictEqual(yield* listed, ["stale"])
          yield* all.clear
          deepStrictEqual(yield* listed, [])
        })
      )
    )

    it.effect("many keys - each is listed, also while others come and go", () =>
      on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          const keys = Array.from({ length: 450 }, (_, i) => `k${i}`)
          yield* all.setMany(
            keys.map((key) => [key, 1] as const),
            minute
          )
          const seen = new Set<string>()
          yield* Stream.runForEach(all.keys, (key) => {
            seen.add(key)
            return seen.size % 50 === 1 ? all.set(`new ${seen.size}`, 1, minute) : Effect.void
          })
          deepStrictEqual(
            keys.filter((key) => !seen.has(key)),
            []
          )
          // only what is asked for is listed
          deepStrictEqual((yield* Stream.runCollect(Stream.take(all.keys, 1))).length, 1)
        })
      )
    )
  })
}
