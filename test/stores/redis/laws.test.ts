// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { isDeepStrictEqual } from "node:util"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Equal, Layer, ManagedRuntime, Option, TestClock } from "effect"
import { Cached, CacheStore } from "../../../src/index.js"
import * as RedisCache from "../../../src/RedisCache.js"
import { storeLaws } from "../../laws/index.js"
import { becomes, counting, numbered, recordWarnings, type StoreUnderTest, stats, until } from "../../laws/support.js"
import { freshPrefix, RedisServer } from "../../support/redis.js"

const server = ManagedRuntime.make(RedisServer.layer)
afterAll(() => server.dispose())

const redis: Effect.Effect<RedisServer.Service> = Effect.promise(() => server.runPromise(RedisServer))

const layer = Layer.unwrapEffect(
  Effect.zipWith(redis, freshPrefix, ({ url }, prefix) => RedisCache.layer({ url, prefix }))
)

const store: StoreUnderTest = { name: "redis", layer, remote: true }

storeLaws(store)

/** A prefix of its own, a Layer with it, and the plain client of the server. */
const raw = Effect.zipWith(redis, freshPrefix, (server, prefix) => ({
  server,
  client: server.client,
  prefix,
  live: RedisCache.layer({ url: server.url, prefix })
}))

const minute = { ttl: "1 minute" } as const

describe("RedisCache, seen from Redis", () => {
  describe("law 15: physical life is the whole life", () => {
    /** The expiry in Redis of a key that has just been written, in milliseconds. */
    const lifeOf = (key: string, write: Effect.Effect<unknown, unknown, CacheStore>) =>
      Effect.gen(function* () {
        const { client, live, prefix } = yield* raw
        return yield* Effect.gen(function* () {
          yield* write
          yield* becomes(
            Effect.promise(() => client.exists(prefix + key)),
            1
          )
          return yield* Effect.promise(() => client.pttl(prefix + key))
        }).pipe(Effect.provide(live))
      })

    for (const [what, options, millis] of [
      ["ttl", { ttl: "1 hour" }, 3_600_000],
      ["ttl and stale", { ttl: "1 hour", stale: "2 hours" }, 3 * 3_600_000],
      ["beyond a timer", { ttl: "60 days", stale: "60 days" }, 120 * 86_400_000],
      ["a fraction of a millisecond", { ttl: Duration.micros(3_600_000_000n - 1n) }, 3_600_000]
    ] as const) {
      it.effect(`${what} - is the expiry in Redis, after a load, set and CacheStore.set`, () => {
        const cached = Cached.swr(Effect.succeed(1), { key: "k", stale: 0, ...options })
        const near = (left: number) => {
          assert.isAtMost(left, millis)
          assert.isAbove(left, millis - 60_000)
        }
        return Effect.gen(function* () {
          near(yield* lifeOf("k", cached))
          near(yield* lifeOf("k", cached.set(2)))
          near(yield* lifeOf("k", cached.refresh))
          near(
            yield* lifeOf(
              "k",
              Effect.flatMap(CacheStore, (all) => all.set("k", 1, options))
            )
          )
          near(
            yield* lifeOf(
              "k",
              Effect.flatMap(CacheStore, (all) => all.setIfAbsent("k", 1, options))
            )
          )
        })
      })
    }

    it.effect("for ever - has no expiry in Redis", () =>
      Effect.gen(function* () {
        const cached = Cached.ttl(Effect.succeed(1), { key: "k", ttl: Duration.infinity })
        assert.strictEqual(yield* lifeOf("k", cached), -1)
        assert.strictEqual(
          yield* lifeOf(
            "k",
            Effect.flatMap(CacheStore, (all) => all.setIfAbsent("k", 1, { ttl: Duration.infinity }))
          ),
          -1
        )
      })
    )

    it.effect("less than a millisecond - the value expires, and its stamp stays as long as a tombstone", () =>
      Effect.gen(function* () {
        const { client, live, prefix } = yield* raw
        yield* Effect.gen(function* () {
          const all = yield* CacheStore
          yield* all.set("tiny", 1, { ttl: 0.25 })
          yield* all.setIfAbsent("tiny too", 1, { ttl: 0.25 })
          yield* TestClock.adjust("1 milli")
          for (const key of ["tiny", "tiny too"]) {
            assert.isAbove(yield* Effect.promise(() => client.pttl(prefix + key)), 15_000)
            assert.isTrue(Option.isNone(yield* all.get(key)))
          }
          assert.strictEqual((yield* stats).storeErrors, 0)
        }).pipe(Effect.provide(live))
      })
    )
  })

  describe("law 12: garbage heals", () => {
    const broken: ReadonlyArray<readonly [string, (entry: Buffer) => Buffer]> = [
      ["nothing", () => Buffer.alloc(0)],
      ["one byte", () => Buffer.from([1])],
      ["a text", () => Buffer.from("hello, this is no entry")],
      ["plain JSON", () => Buffer.from('{"value":1}')],
      ["zeros", (entry) => Buffer.alloc(entry.length)],
      ["half an entry", (entry) => entry.subarray(0, entry.length >> 1)],
      ["an entry cut short by one byte", (entry) => entry.subarray(0, -1)],
      ["an entry with a byte too many", (entry) => Buffer.concat([entry, Buffer.from([0])])],
      ["another magic", (entry) => Buffer.concat([Buffer.from([entry[0]! ^ 0xff]), entry.subarray(1)])],
      ["ones", (entry) => Buffer.alloc(entry.length, 0xff)]
    ]

    for (const [what, spoil] of broken) {
      it.effect(`${what} - is a miss, counted, and overwritten`, () => {
        const { lines, layer } = recordWarnings()
        const { lookup, calls } = numbered((call) => Effect.succeed({ call, text: "some text" }))
        const cached = Cached.ttl(lookup(), { key: "k", ...minute })
        const test = Effect.gen(function* () {
          const { client, live, prefix } = yield* raw
          const key = `${prefix}k`
          yield* Effect.provide(
            Effect.gen(function* () {
              yield* cached
              yield* becomes(
                Effect.promise(() => client.exists(key)),
                1
              )
            }),
            live
          )
          const entry = yield* Effect.promise(() => client.getBuffer(key))
          yield* Effect.promise(() => client.set(key, spoil(entry!)))
          yield* Effect.gen(function* () {
            deepStrictEqual(yield* cached.peek, Option.none())
            assert.strictEqual((yield* cached).call, 2)
            const after = yield* stats
            assert.isAtLeast(after.decodeFailures, 1)
            assert.strictEqual(after.storeErrors, 0)
            yield* becomes(
              Effect.map(
                Effect.promise(() => client.getBuffer(key)),
                (bytes) => bytes?.length
              ),
              entry!.length
            )
          }).pipe(Effect.provide(live))
          // other processes read the new value
          assert.strictEqual((yield* Effect.provide(cached, live)).call, 2)
          assert.strictEqual(calls.length, 2)
          assert.lengthOf(lines, 1)
        })
        return Effect.provide(test, layer)
      })
    }

    it.effect("an entry with any one byte changed - is never a defect, and never another value", () => {
      const { lookup } = counting()
      const cached = Cached.ttl(lookup(), { key: "k", tags: ["t"], ...minute })
      return Effect.gen(function* () {
        const { client, live, prefix } = yield* raw
        const key = `${prefix}k`
        const write = Effect.zipRight(
          cached,
          becomes(
            Effect.promise(() => client.exists(key)),
            1
          )
        )
        yield* Effect.provide(write, live)
        const entry = (yield* Effect.promise(() => client.getBuffer(key)))!
        for (let at = 0; at < entry.length; at++) {
          for (const flip of [0xff, 0x01, 0x80]) {
            const spoiled = Buffer.from(entry)
            spoiled[at]! ^= flip
            yield* Effect.promise(() => client.set(`${key}${at}-${flip}`, spoiled))
          }
        }
        yield* Effect.gen(function* () {
          const all = yield* CacheStore
          for (let at = 0; at < entry.length; at++) {
            for (const flip of [0xff, 0x01, 0x80]) {
              const found = yield* all.get(`k${at}-${flip}`)
              assert.isTrue(Option.isNone(found) || typeof found.value !== "function")
            }
          }
        }).pipe(Effect.provide(live))
      })
    })

    it.effect("a key of another type in Redis - is a miss: the value is loaded and delivered", () => {
      const cached = Cached.ttl(Effect.succeed(1), { key: "k", ...minute })
      return Effect.gen(function* () {
        const { client, live, prefix } = yield* raw
        yield* Effect.promise(() => client.lpush(`${prefix}k`, "a list"))
        yield* Effect.gen(function* () {
          assert.strictEqual(yield* cached, 1)
          assert.strictEqual(yield* cached, 1)
        }).pipe(Effect.provide(live))
      })
    })
  })

  describe("law 16: no scans", () => {
    it.scoped("clear, tags and clear of a function - scan no keys, and cost the same for 10 entries and 1 000", () =>
      Effect.gen(function* () {
        const { client, live, prefix, server } = yield* raw
        const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", tags: ["t"], ...minute })
        yield* Effect.promise(() => client.set(`elsewhere-${prefix}`, "stays"))
        yield* Effect.gen(function* () {
          const all = yield* CacheStore
          const costs: Array<number> = []
          for (const count of [10, 1_000]) {
            yield* all.setMany(
              Array.from({ length: count }, (_, i) => [`by hand ${i}`, i] as const),
              { ttl: "1 minute", tags: ["t"] }
            )
            for (let i = 0; i < 10; i++) yield* find(i)
            // loaded values have been written once this has
            yield* all.set("last", 0, { ttl: "1 minute" })
            const monitor = yield* server.monitor
            yield* find.clear
            yield* Cached.invalidateTags(["t", "u"])
            yield* all.clear
            const names = yield* monitor.names
            costs.push(names.length)
            for (const forbidden of ["KEYS", "SCAN", "FLUSHDB", "FLUSHALL", "SSCAN", "HSCAN"]) {
              assert.notInclude(names, forbidden)
            }
            assert.isFalse(yield* all.has("by hand 1"))
            deepStrictEqual(yield* find.peek(1), Option.none())
          }
          assert.isAtMost(costs[1]!, costs[0]! + 2)
        }).pipe(Effect.provide(live))
        assert.strictEqual(yield* Effect.promise(() => client.get(`elsewhere-${prefix}`)), "stays")
      })
    )
  })

  describe("two processes", () => {
    const kept: ReadonlyArray<unknown> = [
      undefined,
      null,
      0,
      -0,
      "",
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      false,
      0n,
      -(2n ** 70n),
      [],
      {},
      [undefined],
      { a: undefined },
      Option.none(),
      Option.some(undefined),
      Option.some(Option.none()),
      new Date(0),
      new Date(Number.NaN),
      new Map([[{ a: 1 }, new Set([1, "1"])]]),
      new Uint8Array([0, 255]),
      JSON.parse('{"__proto__":{"polluted":true},"constructor":1}'),
      "\ud83d lone",
      "\u0000"
    ]

    it.effect("law 7: every value comes back equal, or is not stored - in another process too", () =>
      Effect.gen(function* () {
        const { live } = yield* raw
        const { lookup, calls } = numbered((_, at: number) => Effect.succeed(kept[at]))
        const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
        const all = Effect.forEach(kept, (_, at) => find(at))
        yield* Effect.provide(all, live)
        const found = yield* Effect.provide(all, live)
        for (const [at, value] of kept.entries()) {
          assert.isTrue(isDeepStrictEqual(found[at], value) || Equal.equals(found[at], value), `the value at ${at}`)
        }
        assert.isTrue(Object.is(found[3], -0))
        assert.strictEqual(calls.length, kept.length)
        assert.isUndefined(({} as Record<string, unknown>).polluted)
      })
    )

    it.effect("law 1: freshness - an entry has the same age in every process", () =>
      Effect.gen(function* () {
        const { live } = yield* raw
        const { lookup, calls } = counting()
        const cached = Cached.swr(lookup(), { key: "k", ttl: "10 seconds", stale: "5 seconds" })
        yield* Effect.provide(cached, live)
        yield* TestClock.adjust(9_999)
        assert.strictEqual(yield* Effect.provide(cached, live), 1)
        yield* TestClock.adjust(1)
        const entry = Option.getOrThrow(yield* Effect.provide(cached.entry, live))
        deepStrictEqual(entry, {
          value: 1,
          state: "stale",
          createdAt: 0,
          freshUntil: 10_000,
          staleUntil: 15_000,
          expiresAt: 15_000
        })
        assert.strictEqual(calls.length, 1)
      })
    )

    it.effect("owner - the entry of another function is a miss across processes too, with one Warning", () => {
      const { lines, layer } = recordWarnings()
      return Effect.gen(function* () {
        const { live } = yield* raw
        const one = Cached.ttl(Effect.succeed("one"), { key: "k", name: "one", ...minute })
        const two = Cached.ttl(Effect.succeed("two"), { key: "k", name: "two", ...minute })
        yield* Effect.provide(one, live)
        assert.strictEqual(yield* Effect.provide(Effect.zipRight(two.peek, two), live), "two")
        deepStrictEqual(yield* Effect.provide(one.peek, live), Option.none())
        const warned = lines.filter((line) => line.includes('"one"') && line.includes('"two"'))
        assert.isAtLeast(warned.length, 1)
        assert.isAtMost(warned.length, 2)
      }).pipe(Effect.provide(layer))
    })

    it.effect("tags - a process that was disconnected during the invalidation does not serve the entry", () =>
      Effect.gen(function* () {
        const { live } = yield* raw
        const { lookup, calls } = counting()
        const cached = Cached.ttl(lookup(), { key: "k", tags: ["t"], ...minute })
        const other = Cached.ttl(Effect.succeed("stays"), { key: "j", tags: ["u"], ...minute })
        yield* Effect.provide(Effect.zipRight(cached, other), live)
        yield* Effect.provide(Cached.invalidateTags(["t"]), live)
        yield* Effect.gen(function* () {
          const all = yield* CacheStore
          assert.isFalse(yield* all.has("k"))
          deepStrictEqual(yield* cached.peek, Option.none())
          deepStrictEqual(yield* other.peek, Option.some("stays"))
          assert.strictEqual(yield* cached, 2)
        }).pipe(Effect.provide(live))
        assert.strictEqual(calls.length, 2)
      })
    )

    it.effect("clear of a function - invalidates its entries of another process, and no others", () =>
      Effect.gen(function* () {
        const { live } = yield* raw
        const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "users:{}", ...minute })
        const more = Cached.ttl((id: number) => Effect.succeed(id), { key: "usersAbc:{}", ...minute })
        yield* Effect.provide(Effect.zipRight(find(1), more(1)), live)
        yield* Effect.provide(find.clear, live)
        const [one, two] = yield* Effect.provide(Effect.all([find.peek(1), more.peek(1)]), live)
        deepStrictEqual([one, two], [Option.none(), Option.some(1)])
      })
    )

    it.effect("version - old and new deployments do not share entries", () =>
      Effect.gen(function* () {
        const { live } = yield* raw
        const of = (version: number | undefined) =>
          Cached.ttl(Effect.succeed(version ?? "none"), { key: "k", version, ...minute })
        for (const version of [undefined, 1, 2]) {
          assert.strictEqual(yield* Effect.provide(of(version), live), version ?? "none")
        }
        for (const version of [undefined, 1, 2]) {
          deepStrictEqual(yield* Effect.provide(of(version).peek, live), Option.some(version ?? "none"))
        }
      })
    )

    it.effect("setIfAbsent - one of 20 stores at once writes", () =>
      Effect.gen(function* () {
        const { live } = yield* raw
        const claim = (n: number) =>
          Effect.provide(
            Effect.flatMap(CacheStore, (all) => all.setIfAbsent("lock", n, minute)),
            live
          )
        const wrote = yield* Effect.all(
          Array.from({ length: 20 }, (_, n) => claim(n)),
          { concurrency: "unbounded" }
        )
        assert.lengthOf(wrote.filter(Boolean), 1)
      })
    )

    it.effect(
      "setIfAbsent - does not replace a stale entry, but an expired, invalidated or removed one of another process",
      () =>
        Effect.gen(function* () {
          const { live } = yield* raw
          const lives = { ttl: "10 seconds", stale: "5 seconds", tags: ["t"] } as const
          const at = <A, E>(use: (all: CacheStore.Service) => Effect.Effect<A, E>) =>
            Effect.provide(Effect.flatMap(CacheStore, use), live)
          const claim = (n: number) => at((all) => all.setIfAbsent("k", n, lives))
          assert.isTrue(yield* claim(1))
          yield* TestClock.adjust("10 seconds")
          assert.isFalse(yield* claim(2))
          // Redis still has it, by the clock of the server; it has expired by the clock of the reader
          yield* TestClock.adjust("5 seconds")
          assert.isTrue(yield* claim(3))
          yield* at((all) => all.tags.invalidate(["t"]))
          assert.isTrue(yield* claim(4))
          yield* at((all) => all.remove("k"))
          assert.isTrue(yield* claim(5))
          yield* at((all) => all.clear)
          assert.isTrue(yield* claim(6))
          assert.isFalse(yield* claim(7))
          deepStrictEqual(yield* at((all) => all.get("k")), Option.some(6))
        })
    )

    it.effect(
      "law 8: invalidation wins - a load that began before another process's invalidation does not overwrite it",
      () =>
        Effect.gen(function* () {
          const { live } = yield* raw
          let release: () => void = () => {}
          const { lookup, calls } = numbered((call) =>
            call === 1
              ? Effect.as(
                  Effect.promise(() => new Promise<void>((done) => (release = done))),
                  1
                )
              : Effect.succeed(call)
          )
          for (const [n, verb] of [
            ["invalidate", (cached: Cached.CachedEffect<number, never, CacheStore>) => cached.invalidate],
            ["tags", () => Cached.invalidateTags(["t"])]
          ] as const) {
            calls.length = 0
            const cached = Cached.ttl(lookup(), { key: `k-${n}`, name: "k", tags: ["t"], ...minute })
            yield* Effect.gen(function* () {
              const reader = yield* Effect.fork(cached)
              yield* until(() => calls.length === 1, "the load began")
              yield* Effect.provide(verb(cached), live)
              release()
              assert.strictEqual(yield* reader, 1)
              // closing the Layer waits for the pending write
            }).pipe(Effect.provide(live))
            deepStrictEqual(yield* Effect.provide(cached.peek, live), Option.none(), n)
          }
        })
    )
  })
})
