/**
 * What can be made of statistics: differences, JSON, tables, and the dictionary of the Python library.
 */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Duration, Effect, Fiber, Option, Schema, TestClock } from "effect"
import { Cached, CacheStats, CacheStore, MemoryCache, TieredCache } from "effect-cached"
import { minute, stats } from "../laws/support.js"
import { remoteMemory } from "../support/remoteMemory.js"

class Gone extends Error {
  override readonly name = "Gone"
}

/** Reads that hit, miss and fail, in a store of two tiers with a background loader. Loads take 8 ms. */
const workload = Effect.gen(function* () {
  const user = Cached.ttl(
    (id: number) => (id === 0 ? Effect.fail(new Gone("no user")) : Effect.delay(Effect.succeed(id), "8 millis")),
    { key: "user:{}", ttl: "1 hour" }
  )
  yield* Cached.bgWrite(Effect.succeed(1), { key: "flags", interval: "1 minute" })
  const reads = yield* Effect.fork(Effect.exit(Effect.forEach([1, 2, 1, 1], user)))
  yield* TestClock.adjust("1 second")
  yield* Fiber.join(reads)
  yield* Effect.exit(user(0))
  yield* user.invalidate(2)
  const store = yield* CacheStore
  yield* store.set("a", 1, minute)
})

const tiered = TieredCache.layer({
  name: "two",
  tiers: [{ backend: MemoryCache.backend() }, { backend: remoteMemory("far") }]
})

describe("CacheStats", () => {
  describe("minus", () => {
    it.scoped("a span - has the counts, rates and latencies of that time alone", () =>
      Effect.gen(function* () {
        const load = Cached.ttl((millis: number) => Effect.delay(Effect.succeed(millis), millis), {
          key: "load:{}",
          ttl: "1 hour"
        })
        const run = (all: ReadonlyArray<number>) =>
          Effect.gen(function* () {
            const reads = yield* Effect.fork(Effect.forEach(all, load, { concurrency: "unbounded" }))
            yield* TestClock.adjust("10 seconds")
            yield* Fiber.join(reads)
          })
        yield* run([1_000, 2_000])
        const before = yield* stats
        yield* run([1_000, 10, 1_000, 1_000])
        const after = yield* stats
        const span = CacheStats.minus(after, before)
        assert.deepInclude(span, { reads: 4, hits: 3, misses: 1, loads: 1, hitRate: 0.75, sets: 1 })
        deepStrictEqual(span.uptime, Duration.seconds(10))
        const { count, mean, p99 } = span.latency.load
        assert.strictEqual(count, 1)
        assert.closeTo(mean, 10, 1e-9)
        assert.closeTo(p99, 10, 2)
        deepStrictEqual(span.caches["load:{}"]?.latency.load, span.latency.load)
        // states are those of the later snapshot
        deepStrictEqual(span.entries, Option.some(3))
        deepStrictEqual(CacheStats.minus(before)(after), span)
        const nothing = CacheStats.minus(after, after)
        assert.deepInclude(nothing, { reads: 0, hitRate: 0, storeErrors: 0, errors: {} })
        deepStrictEqual(nothing.latency.load.buckets, [])
      }).pipe(Effect.provide(MemoryCache.layer()))
    )

    it.scoped("errors, tiers and background loaders - are subtracted by name", () =>
      Effect.gen(function* () {
        yield* workload
        const before = yield* stats
        const store = yield* CacheStore
        yield* store.get("missing")
        yield* TestClock.adjust("1 minute")
        yield* store.stats
        const span = CacheStats.minus(yield* stats, before)
        deepStrictEqual(
          span.tiers.map(({ misses, tier }) => [tier, misses]),
          [
            ["memory", 0],
            ["far", 1]
          ]
        )
        assert.strictEqual(span.background.flags?.runs, 1)
        const error = { ...before, storeErrors: 3, errors: { read: { Timeout: 2, Rejected: 1 } } }
        const later = { ...before, storeErrors: 5, errors: { read: { Timeout: 2, Rejected: 2 }, write: { Auth: 1 } } }
        assert.deepInclude(CacheStats.minus(later, error), {
          storeErrors: 2,
          errors: { read: { Rejected: 1 }, write: { Auth: 1 } }
        })
      }).pipe(Effect.provide(tiered))
    )
  })

  describe("schema", () => {
    it.scoped("statistics - come back equal through JSON", () =>
      Effect.gen(function* () {
        const encode = Schema.encode(Schema.parseJson(CacheStats.schema))
        const decode = Schema.decode(Schema.parseJson(CacheStats.schema))
        const empty = yield* stats
        deepStrictEqual(yield* decode(yield* encode(empty)), empty)
        yield* workload
        yield* Effect.exit(
          Effect.scoped(
            Effect.asVoid(Cached.bg(Effect.fail(new Gone("no flags")), { key: "failing", interval: "1 minute" }))
          )
        )
        const full = yield* stats
        const errors = { ...full, storeErrors: 1, errors: { read: { Timeout: 1 } } }
        deepStrictEqual(yield* decode(yield* encode(errors)), errors)
        assert.strictEqual(JSON.parse(yield* encode(full)).entries, Option.getOrThrow(full.entries))
      }).pipe(Effect.provide(tiered))
    )
  })

  describe("table", () => {
    it.scoped("a store with tiers - is tables of functions, tiers, operations and loaders", () =>
      Effect.gen(function* () {
        yield* workload
        const all = yield* stats
        // the durations of the backend are real ones
        const none = all.tiers[0]!.latency
        const tiers = all.tiers.map((tier) => ({ ...tier, latency: none }))
        const text = CacheStats.table({ ...all, tiers })
        assert.strictEqual(
          text,
          `
two, for 1s: 3 entries, 0 loads in flight, 0 store errors

function  reads  hits  stale  misses  coalesced  hit rate  loads  failed  refreshes  sets  removals
user:{}       5     2      0       3          0    40.0 %      3       1          0     2         1
flags         0     0      0       0          0     0.0 %      1       0          1     1         0
all           5     2      0       3          0    40.0 %      4       1          1     4         1

tier    hits  misses  hit rate  sets  backfills  removals  errors
memory     2       3    40.0 %     4          0         1       0
far        0       4     0.0 %     4          0         1       0

operation     count     mean      p50      p95      p99
load user:{}      3  5.33 ms  7.05 ms  7.90 ms  7.98 ms
load flags        1  0.00 ms  0.00 ms  0.00 ms  0.00 ms

background  runs  failed              last success                  next due  last error
flags          1       0  1970-01-01T00:00:00.000Z  1970-01-01T00:01:00.000Z           -
`.trim()
        )
      }).pipe(Effect.provide(tiered))
    )

    it.effect("names - contain nothing that a terminal obeys", () =>
      Effect.gen(function* () {
        yield* Cached.ttl(Effect.succeed(1), { key: "k", name: "\u001b[2Jname\n", ...minute })
        const text = CacheStats.table(yield* stats)
        assert.include(text, "?[2Jname?")
        assert.notInclude(text, "\u001b")
      }).pipe(Effect.provide(MemoryCache.layer({ name: "me\u0007" })))
    )
  })

  describe("asAdvancedCaching", () => {
    it.scoped("a store with tiers - is the dictionary of get_stats()", () =>
      Effect.gen(function* () {
        yield* workload
        const all = yield* stats
        const { latency, ...others } = CacheStats.asAdvancedCaching(all)
        deepStrictEqual(others, {
          uptime_seconds: 1,
          caches: {
            "user:{}": { hits: 2, misses: 3, sets: 2, deletes: 1, hit_rate_percent: 40 },
            flags: { hits: 0, misses: 0, sets: 1, deletes: 0, hit_rate_percent: 0 },
            memory: { hits: 2, misses: 3, sets: 4, deletes: 1, hit_rate_percent: 40 },
            far: { hits: 0, misses: 4, sets: 4, deletes: 1, hit_rate_percent: 0 }
          },
          errors: { "user:{}.load": { fail: 1 } },
          memory: { two: { bytes: null, entries: 3, mb: null } },
          background_refresh: { flags: { success: 1, failure: 0 } }
        })
        deepStrictEqual(latency["user:{}.load"], {
          count: 3,
          p50_ms: 7.045,
          p95_ms: 7.905,
          p99_ms: 7.981,
          avg_ms: 5.333
        })
        deepStrictEqual(
          Object.entries(latency).map(([name, { count }]) => [name, count]),
          [
            ["user:{}.load", 3],
            ["flags.load", 1],
            ["far.get", 3],
            ["far.set", 4],
            ["far.delete", 1]
          ]
        )
        deepStrictEqual(Object.keys(CacheStats.asAdvancedCaching(all)), [
          "uptime_seconds",
          "caches",
          "latency",
          "errors",
          "memory",
          "background_refresh"
        ])
      }).pipe(Effect.provide(tiered))
    )

    it.effect("rates - have two decimals, stale hits are hits, errors have their type, and memory its size", () =>
      Effect.gen(function* () {
        const find = Cached.swr(() => Effect.succeed(1), { key: "find", ttl: "1 second", stale: "1 hour" })
        yield* find()
        yield* find()
        yield* TestClock.adjust("2 seconds")
        yield* find()
        yield* Effect.yieldNow()
        const all = { ...(yield* stats), storeErrors: 2, errors: { write: { Timeout: 2 } } }
        const dictionary = CacheStats.asAdvancedCaching({ ...all, bytes: Option.some(1_572_864) })
        deepStrictEqual(dictionary.caches.find, { hits: 2, misses: 1, sets: 2, deletes: 0, hit_rate_percent: 66.67 })
        deepStrictEqual(dictionary.errors, { "memory.set": { Timeout: 2 } })
        deepStrictEqual(dictionary.memory, { memory: { bytes: 1_572_864, entries: 1, mb: 1.5 } })
        deepStrictEqual(dictionary.background_refresh, { find: { success: 1, failure: 0 } })
      }).pipe(Effect.provide(MemoryCache.layer()))
    )
  })
})

describe("the member stats", () => {
  it.scoped("a function - has its own numbers, since the last reset", () =>
    Effect.gen(function* () {
      const a = Cached.ttl((n: number) => Effect.succeed(n), { key: "a:{}", ...minute })
      const b = Cached.ttl(Effect.succeed(1), { key: "b", ...minute })
      assert.deepInclude(yield* a.stats, { name: "a:{}", reads: 0, hitRate: 0, background: Option.none() })
      yield* Effect.forEach([1, 1, 2, 3], a)
      yield* b
      assert.deepInclude(yield* a.stats, { name: "a:{}", reads: 4, hits: 1, misses: 3, sets: 3 })
      assert.deepInclude(yield* b.stats, { name: "b", reads: 1, hits: 0 })
      yield* Effect.flatMap(CacheStore, (store) => store.resetStats)
      yield* a(1)
      assert.deepInclude(yield* a.stats, { reads: 1, hits: 1, misses: 0, hitRate: 1 })
      const writer = yield* Cached.bgWrite(Effect.succeed(1), { key: "flags", interval: "1 minute" })
      yield* TestClock.adjust(0)
      const { background, loads } = yield* writer.stats
      assert.strictEqual(loads, 1)
      assert.deepInclude(Option.getOrThrow(background), { runs: 1, nextDue: Option.some(60_000) })
      const stub = Cached.stub((n: number) => Effect.succeed(n))
      assert.deepInclude(yield* stub.stats, { reads: 0, loads: 0 })
    }).pipe(Effect.provide(MemoryCache.layer()))
  )

  it.effect("functions beyond those that have names - share the numbers of `other`", () =>
    Effect.gen(function* () {
      const of = (i: number) => Cached.ttl(Effect.succeed(i), { key: `${i}`, name: `name ${i}`, ...minute })
      yield* Effect.forEach(
        Array.from({ length: 260 }, (_, i) => i),
        of
      )
      assert.deepInclude(yield* of(1).stats, { name: "name 1", reads: 1 })
      assert.deepInclude(yield* of(259).stats, { name: "other", reads: 4 })
    }).pipe(Effect.provide(MemoryCache.layer()))
  )
})
