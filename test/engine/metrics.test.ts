/**
 * The metrics of stores in Effect's registry: what is there, under which names and labels, and how many series there are.
 */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Cause, Effect, Layer, Metric, TestClock } from "effect"
import { type Backend, Cached, CacheMetrics, CacheStore, InvalidOption, MemoryCache } from "effect-cached"
import { gate, minute } from "../laws/support.js"

interface Series {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly state: { readonly value?: number; readonly count?: number }
}

/** The series of a store. The registry is that of the process, so each test has stores of its own names. */
const seriesOf = (store: string): Effect.Effect<ReadonlyArray<Series>> =>
  Effect.map(Metric.snapshot, (pairs) =>
    pairs
      .map(({ metricKey, metricState }) => ({
        name: metricKey.name,
        labels: Object.fromEntries(metricKey.tags.map(({ key, value }) => [key, value])),
        state: metricState as unknown as Series["state"]
      }))
      .filter(({ labels }) => labels.store === store)
  )

/** The value of the only series of a name. */
const valueOf = (store: string, name: string, labels: Readonly<Record<string, string>> = {}) =>
  Effect.map(seriesOf(store), (all) => {
    const found = all.filter(
      (series) => series.name === name && Object.entries(labels).every(([key, value]) => series.labels[key] === value)
    )
    assert.lengthOf(found, 1, name)
    return found[0]!.state.value ?? found[0]!.state.count
  })

describe("CacheMetrics", () => {
  describe("gauges", () => {
    it.scoped("entries - are those alive when the metrics are read", () =>
      Effect.gen(function* () {
        const name = "gauge of entries"
        const store = yield* MemoryCache.make({ name })
        const entries = valueOf(name, "cache_entries")
        assert.strictEqual(yield* entries, 0)
        yield* store.set("a", 1, { ttl: "1 second" })
        yield* store.set("b", 1, minute)
        assert.strictEqual(yield* entries, 2)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* entries, 1)
        yield* store.clear
        assert.strictEqual(yield* entries, 0)
      })
    )

    it.effect("two stores of one name - are one series that shows their sum, until they close", () =>
      Effect.gen(function* () {
        const name = "gauge of two stores"
        yield* Effect.scoped(
          Effect.gen(function* () {
            const first = yield* MemoryCache.make({ name })
            const second = yield* MemoryCache.make({ name })
            yield* first.set("a", 1, minute)
            yield* second.set("a", 1, minute)
            assert.strictEqual(yield* valueOf(name, "cache_entries"), 2)
          })
        )
        assert.strictEqual(yield* valueOf(name, "cache_entries"), 0)
      })
    )

    it.scoped("bytes - exist where memory holds bytes", () =>
      Effect.gen(function* () {
        const bytes = "gauge of bytes"
        const store = yield* MemoryCache.make({ name: bytes, values: "serialized" })
        yield* store.set("a", "x".repeat(100), minute)
        assert.isAbove((yield* valueOf(bytes, "cache_bytes"))!, 100)
        yield* MemoryCache.make({ name: "no bytes" })
        assert.notInclude(
          (yield* seriesOf("no bytes")).map((series) => series.name),
          "cache_bytes"
        )
      })
    )

    it.scoped("loads in flight and undelivered - are those of the moment", () =>
      Effect.gen(function* () {
        const name = "gauge of loads"
        const door = gate()
        const broken: Backend.Backend = {
          name,
          remote: true,
          getMany: (reads) => Effect.succeed({ found: reads.map(() => undefined) }),
          setMany: () => Effect.die("broken"),
          setIfAbsent: () => Effect.die("broken"),
          removeMany: () => Effect.die("broken")
        }
        const store = yield* CacheStore.make(broken)
        const load = Cached.ttl((_: number) => door.pass, { key: "load:{}", ...minute })
        const loads = valueOf(name, "cache_loads_in_flight")
        yield* Effect.forkScoped(
          Effect.provideService(Effect.all([load(1), load(2)], { concurrency: 2 }), CacheStore, store)
        )
        yield* door.reached
        yield* Effect.yieldNow()
        assert.strictEqual(yield* loads, 2)
        assert.notInclude(
          (yield* seriesOf(name)).map((series) => series.name),
          "cache_entries"
        )
        assert.strictEqual(yield* valueOf(name, "cache_undelivered"), 0)
        yield* store.remove("a")
        yield* store.remove("b")
        assert.strictEqual(yield* valueOf(name, "cache_undelivered"), 2)
      })
    )
  })

  describe("settings", () => {
    const read = Effect.gen(function* () {
      const find = Cached.ttl((n: number) => Effect.succeed(n), { key: "n:{}", ...minute })
      yield* Effect.forEach([1, 1, 2], find)
      return yield* Effect.flatMap(CacheStore, (store) => store.stats)
    })

    it.effect("disabled - no series at all, and the same statistics", () =>
      Effect.gen(function* () {
        const name = "without metrics"
        const off = MemoryCache.layer({ name }).pipe(Layer.provide(CacheMetrics.disabled))
        const stats = yield* Effect.provide(read, off)
        assert.deepInclude(stats, { hits: 1, misses: 2, loads: 2, sets: 2 })
        assert.strictEqual(stats.latency.load.count, 2)
        deepStrictEqual(yield* seriesOf(name), [])
        yield* Effect.provide(read, MemoryCache.layer({ name }))
        assert.strictEqual(yield* valueOf(name, "cache_hits"), 1)
      })
    )

    it.effect("a prefix - begins every name", () =>
      Effect.gen(function* () {
        const name = "with a prefix"
        yield* Effect.provide(
          read,
          MemoryCache.layer({ name }).pipe(Layer.provide(CacheMetrics.layer({ prefix: "shop_" })))
        )
        const names = (yield* seriesOf(name)).map((series) => series.name)
        assert.include(names, "shop_cache_hits")
        assert.include(names, "shop_cache_entries")
        assert.isTrue(names.every((each) => each.startsWith("shop_cache_")))
      })
    )

    it.effect("a prefix that begins no name - is InvalidOption", () =>
      Effect.gen(function* () {
        for (const prefix of ["1_", "a b", "ä", "x-"]) {
          const built = Layer.build(MemoryCache.layer().pipe(Layer.provide(CacheMetrics.layer({ prefix }))))
          const cause = yield* Effect.flip(Effect.sandbox(Effect.scoped(built)))
          assert.instanceOf(Cause.squash(cause), InvalidOption)
        }
      })
    )
  })
})
