/**
 * Law 9 (stale is served only while allowed), for entries that are kept for `staleIfError`: they answer when a load
 * fails, and not otherwise.
 */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Option, Stream, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import { CacheStore } from "../../src/CacheStore.js"
import {
  becomes,
  eventually,
  gate,
  numbered,
  onStore,
  recordWarnings,
  type StoreUnderTest,
  stats,
  thenDoes
} from "./support.js"

const options = { key: "k", ttl: "10 seconds", staleIfError: "100 seconds", retryAfter: "2 seconds" } as const

const down = Effect.fail("down" as const)

export const retained = (store: StoreUnderTest): void => {
  const on = onStore(store)

  describe("law 9: stale is served only while allowed, staleIfError", () => {
    it.effect("load that fails - the old value answers, and at its end the failure", () => {
      const { lookup, calls } = thenDoes(() => down)
      const cached = Cached.ttl(lookup(), options)
      return on(
        Effect.gen(function* () {
          yield* cached
          for (const at of [10_000, 60_000, 109_999]) {
            yield* TestClock.setTime(at)
            assert.strictEqual(yield* cached, 1)
          }
          assert.strictEqual(calls.length, 4)
          yield* TestClock.setTime(110_000)
          deepStrictEqual(yield* Effect.exit(cached), Exit.fail("down"))
          deepStrictEqual(yield* cached.entry, Option.none())
        })
      )
    })

    for (const [what, end] of [
      ["dies", Effect.die("bug")],
      ["is interrupted from inside", Effect.interrupt]
    ] as const) {
      it.effect(`load that ${what} - the old value answers`, () => {
        const { lookup } = thenDoes(() => end)
        const cached = Cached.ttl(lookup(), options)
        return on(
          Effect.gen(function* () {
            yield* cached
            yield* TestClock.adjust("10 seconds")
            assert.strictEqual(yield* cached, 1)
          })
        )
      })
    }

    it.effect("load that succeeds - its readers wait for the new value, which lives as ever", () => {
      const door = gate()
      const { lookup, calls } = thenDoes((call) => Effect.as(door.pass, call))
      const cached = Cached.ttl(lookup(), options)
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust("10 seconds")
          const reader = yield* Effect.fork(cached)
          yield* door.reached
          assert.isNull(yield* Fiber.poll(reader).pipe(Effect.map(Option.getOrNull)))
          yield* door.open
          assert.strictEqual(yield* Fiber.join(reader), 2)
          yield* TestClock.adjust(9_999)
          assert.strictEqual(yield* cached, 2)
          assert.strictEqual(calls.length, 2)
        })
      )
    })

    it.effect("retryAfter - after a failed load readers get the old value without a load", () => {
      const { lookup, calls } = thenDoes((call) => (call <= 3 ? down : Effect.succeed(call)))
      const cached = Cached.ttl(lookup(), options)
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.setTime(15_000)
          assert.strictEqual(yield* cached, 1)
          assert.strictEqual(calls.length, 2)
          yield* TestClock.setTime(16_999)
          assert.strictEqual(yield* cached, 1)
          assert.strictEqual(calls.length, 2)
          yield* TestClock.setTime(17_000)
          assert.strictEqual(yield* cached, 1)
          assert.strictEqual(calls.length, 3)
          yield* TestClock.setTime(19_000)
          assert.strictEqual(yield* cached, 4)
          const { hits, loads, misses, staleHits } = yield* stats
          deepStrictEqual({ hits, loads, misses, staleHits }, { hits: 0, loads: 4, misses: 4, staleHits: 1 })
        })
      )
    })

    it.effect("retryAfter - is by default a tenth of the time for which the value can still answer", () => {
      const { lookup, calls } = thenDoes(() => down)
      const cached = Cached.ttl(lookup(), { key: "k", ttl: "10 seconds", staleIfError: "20 seconds" })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.setTime(10_000)
          yield* cached
          yield* TestClock.setTime(11_999)
          yield* cached
          assert.strictEqual(calls.length, 2)
          yield* TestClock.setTime(12_000)
          yield* cached
          assert.strictEqual(calls.length, 3)
        })
      )
    })

    it.effect("retryAfter of zero - every read tries the load", () => {
      const { lookup, calls } = thenDoes(() => down)
      const cached = Cached.ttl(lookup(), { ...options, retryAfter: 0 })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.setTime(10_000)
          deepStrictEqual([yield* cached, yield* cached], [1, 1])
          assert.strictEqual(calls.length, 3)
        })
      )
    })

    it.effect("nothing can answer - every read loads", () => {
      const { lookup, calls } = numbered(() => down)
      const cached = Cached.ttl(lookup(), options)
      return on(
        Effect.gen(function* () {
          deepStrictEqual(yield* Effect.exit(cached), Exit.fail("down"))
          deepStrictEqual(yield* Effect.exit(cached), Exit.fail("down"))
          assert.strictEqual(calls.length, 2)
        })
      )
    })

    it.effect("herd - all readers of one failed load get the old value", () => {
      const door = gate()
      const { lookup, calls } = thenDoes(() => Effect.zipRight(door.pass, down))
      const cached = Cached.ttl(lookup(), options)
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust("10 seconds")
          const readers = yield* Effect.forkAll(Array.from({ length: 100 }, () => cached))
          yield* door.reached
          yield* becomes(
            Effect.map(stats, (all) => all.coalesced),
            99
          )
          yield* door.open
          deepStrictEqual(new Set(yield* Fiber.join(readers)), new Set([1]))
          assert.strictEqual(calls.length, 2)
        })
      )
    })

    it.effect("swr - stale is served at once, and after its end the old value answers for failed loads", () => {
      const { lookup, calls } = thenDoes(() => down)
      const cached = Cached.swr(lookup(), { ...options, stale: "20 seconds" })
      const attempts = Effect.map(stats, (all) => all.loadFailures)
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.setTime(29_999)
          assert.strictEqual(yield* cached, 1)
          yield* becomes(attempts, 1)
          yield* TestClock.setTime(31_998)
          // within the pause of the failed refresh, past the stale end
          assert.strictEqual(yield* cached, 1)
          assert.strictEqual(calls.length, 2)
          yield* TestClock.setTime(31_999)
          assert.strictEqual(yield* cached, 1)
          assert.strictEqual(calls.length, 3)
          // counted from ttl, not from the end of stale
          yield* TestClock.setTime(110_000)
          deepStrictEqual(yield* Effect.exit(cached), Exit.fail("down"))
        })
      )
    })

    it.effect("stale longer than staleIfError - decides the end", () => {
      const { lookup } = thenDoes(() => down)
      const cached = Cached.swr(lookup(), { ...options, stale: "200 seconds" })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.setTime(209_999)
          assert.strictEqual(Option.getOrThrow(yield* cached.entry).state, "stale")
          assert.strictEqual(yield* cached, 1)
          yield* TestClock.setTime(210_000)
          deepStrictEqual(yield* Effect.exit(cached), Exit.fail("down"))
        })
      )
    })

    it.effect("refresh and reload - fail, because their caller asked for a new value", () => {
      const { lookup } = thenDoes(() => down)
      const cached = Cached.ttl(lookup(), options)
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust("10 seconds")
          deepStrictEqual(yield* Effect.exit(cached.refresh), Exit.fail("down"))
          deepStrictEqual(yield* Effect.exit(Cached.reload(cached)), Exit.fail("down"))
          assert.strictEqual(yield* cached, 1)
        })
      )
    })

    it.effect("reader of a forced load that fails - gets the old value", () => {
      const door = gate()
      const { lookup, calls } = thenDoes(() => Effect.zipRight(door.pass, down))
      const cached = Cached.ttl(lookup(), options)
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust("10 seconds")
          const refreshing = yield* Effect.fork(Effect.exit(cached.refresh))
          yield* door.reached
          const reader = yield* Effect.fork(cached)
          yield* becomes(
            Effect.map(stats, (all) => all.coalesced),
            1
          )
          yield* door.open
          deepStrictEqual(yield* Fiber.join(refreshing), Exit.fail("down"))
          assert.strictEqual(yield* Fiber.join(reader), 1)
          assert.strictEqual(calls.length, 2)
        })
      )
    })

    for (const [what, invalidate] of [
      ["its key", (cached: Cached.CachedEffect<number, "down", CacheStore>) => cached.invalidate],
      ["its tag", () => Cached.invalidateTags(["t"])],
      ["everything", () => Effect.flatMap(CacheStore, (store) => store.clear)]
    ] as const) {
      it.effect(`law 8: invalidation wins - over an old value, of ${what} while the load runs`, () => {
        const door = gate()
        const { lookup } = thenDoes(() => Effect.zipRight(door.pass, down))
        const cached = Cached.ttl(lookup(), { ...options, tags: ["t"] })
        return on(
          Effect.gen(function* () {
            yield* cached
            yield* TestClock.adjust("10 seconds")
            const reader = yield* Effect.fork(Effect.exit(cached))
            yield* door.reached
            yield* invalidate(cached)
            yield* door.open
            deepStrictEqual(yield* Fiber.join(reader), Exit.fail("down"))
            deepStrictEqual(yield* Effect.exit(cached), Exit.fail("down"))
          })
        )
      })
    }

    it.effect("retained entry - is absent to peek, get, getMany and has, and entry shows it", () => {
      const cached = Cached.swr(Effect.succeed("v"), { ...options, stale: "5 seconds" })
      const times = { createdAt: 0, freshUntil: 10_000, staleUntil: 15_000, expiresAt: 110_000 }
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          yield* cached
          deepStrictEqual(yield* cached.entry, Option.some({ value: "v", state: "fresh" as const, ...times }))
          yield* TestClock.setTime(14_999)
          deepStrictEqual(yield* cached.entry, Option.some({ value: "v", state: "stale" as const, ...times }))
          deepStrictEqual(yield* all.get("k"), Option.some("v"))
          yield* TestClock.setTime(15_000)
          const view = Option.some({ value: "v", state: "retained" as const, ...times })
          deepStrictEqual([yield* cached.entry, yield* all.entry("k")], [view, view])
          deepStrictEqual([yield* cached.peek, yield* all.get("k")], [Option.none(), Option.none()])
          deepStrictEqual([yield* all.getMany(["k"]), yield* all.has("k")], [[Option.none()], false])
        })
      )
    })

    it.effect("retained entry - setIfAbsent writes over it", () => {
      const cached = Cached.ttl(Effect.succeed("v"), options)
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          yield* cached
          yield* TestClock.setTime(9_999)
          assert.isFalse(yield* all.setIfAbsent("k", "new", { ttl: "1 minute" }))
          yield* TestClock.setTime(10_000)
          assert.isTrue(yield* all.setIfAbsent("k", "new", { ttl: "1 minute" }))
          deepStrictEqual(yield* all.get("k"), Option.some("new"))
        })
      )
    })

    it.effect("expire - the value is kept for a load that fails", () => {
      const { lookup, calls } = thenDoes((call) => (call === 2 ? down : Effect.succeed(call)))
      const cached = Cached.ttl(lookup(), { ...options, tags: ["t", "u"] })
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          yield* cached
          yield* TestClock.setTime(4_000)
          yield* all.expire("k")
          const left = yield* cached.entry
          // a backend whose entries cannot be made stale removes them
          if (Option.isNone(left)) return
          deepStrictEqual(left.value, {
            value: 1,
            state: "retained",
            createdAt: 0,
            freshUntil: 4_000,
            staleUntil: 4_000,
            expiresAt: 104_000
          })
          assert.strictEqual(yield* cached, 1)
          assert.strictEqual(calls.length, 2)
          yield* TestClock.adjust("2 seconds")
          assert.strictEqual(yield* cached, 3)
        })
      )
    })

    for (const concurrency of [Number.POSITIVE_INFINITY, 1]) {
      const where = concurrency === 1 ? "waits for its permit" : "runs"
      it.effect(`expire while a load ${where} - the value answers if that fails, unless it is invalidated, too`, () => {
        const door = gate()
        const { calls, lookup } = numbered((call, _: string) =>
          call <= 2 ? Effect.succeed(call) : Effect.zipRight(door.pass, down)
        )
        const find = Cached.ttl(lookup, { ...options, key: "k:{}", retryAfter: 0, concurrency })
        return on(
          Effect.gen(function* () {
            for (const id of ["old", "gone"]) yield* find(id)
            yield* TestClock.adjust("10 seconds")
            const busy = yield* Effect.fork(Effect.exit(find("busy")))
            yield* door.reached
            const readers = yield* Effect.forEach(["old", "gone"], (id) => Effect.fork(Effect.exit(find(id))))
            yield* eventually(
              concurrency === 1 ? Effect.map(stats, ({ misses }) => misses >= 5) : () => calls.length === 5,
              "the readers wait"
            )
            yield* find.expire("old")
            yield* find.expire("gone")
            // a backend whose entries cannot be made stale removes them
            const isKept = Option.isSome(yield* find.entry("old"))
            yield* find.invalidate("gone")
            yield* door.open
            yield* Fiber.join(busy)
            const [old, gone] = yield* Effect.forEach(readers, (reader) => Fiber.join(reader))
            deepStrictEqual(gone, Exit.fail("down"))
            if (isKept) deepStrictEqual(old, Exit.succeed(1))
          })
        )
      })
    }

    it.effect("bg - the last value answers readers after its end", () =>
      on(
        Effect.scoped(
          Effect.gen(function* () {
            const { lookup } = thenDoes(() => down)
            const cached = yield* Cached.bg(lookup(), {
              key: "k",
              interval: "60 seconds",
              ttl: "90 seconds",
              staleIfError: "1 hour"
            })
            yield* becomes(cached.peek, Option.some(1))
            yield* TestClock.setTime(60_000)
            yield* becomes(
              Effect.map(stats, (all) => all.loadFailures),
              1
            )
            yield* TestClock.setTime(100_000)
            deepStrictEqual(yield* cached.peek, Option.none())
            assert.strictEqual(yield* cached, 1)
          })
        )
      )
    )

    it.effect("law 18: nothing wrong is silent - one Warning for the failures that an old value answers", () => {
      const { lines, layer } = recordWarnings()
      const { lookup } = thenDoes(() => down)
      const cached = Cached.ttl(lookup(), options)
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          const events = yield* Effect.fork(
            Stream.runCollect(
              Stream.take(
                Stream.filter(all.events, (event) => event._tag === "LoadFailed"),
                2
              )
            )
          )
          yield* Effect.yieldNow()
          yield* cached
          for (const at of [10_000, 12_000]) {
            yield* TestClock.setTime(at)
            yield* cached
          }
          deepStrictEqual(
            Array.from(yield* Fiber.join(events), (event) => event._tag === "LoadFailed" && event.cause),
            [Cause.fail("down"), Cause.fail("down")]
          )
          deepStrictEqual(
            (yield* all.health).problems.map(({ name, subject }) => [name, subject]),
            [["RefreshesFail", "k"]]
          )
          yield* becomes(
            Effect.sync(() => lines.filter((line) => line.includes("a refresh of k failed")).length),
            1
          )
        })
      ).pipe(Effect.provide(layer))
    })
  })
}
