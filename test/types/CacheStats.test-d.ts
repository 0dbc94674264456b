import { describe, expectTypeOf, it } from "@effect/vitest"
import { type Duration, type Effect, type Layer, type Option, Schema } from "effect"
import { CacheMetrics, CacheStats, type CacheStore } from "../../src/index.js"

declare const store: CacheStore.Service
declare const stats: CacheStore.Stats

describe("CacheStats", () => {
  it("stats - are those of the store; what may be missing is optional or an Option", () => {
    expectTypeOf(store.stats).toEqualTypeOf<Effect.Effect<CacheStats.Stats>>()
    expectTypeOf(store.resetStats).toEqualTypeOf<Effect.Effect<void>>()
    expectTypeOf(stats.uptime).toEqualTypeOf<Duration.Duration>()
    expectTypeOf(stats.entries).toEqualTypeOf<Option.Option<number>>()
    expectTypeOf(stats.caches.find).toEqualTypeOf<CacheStats.Counts | undefined>()
    expectTypeOf(stats.background.find).toEqualTypeOf<CacheStats.Background | undefined>()
    expectTypeOf(stats.errors.read?.Timeout).toEqualTypeOf<number | undefined>()
    expectTypeOf(stats.latency.load).toEqualTypeOf<CacheStats.Latency>()
    // @ts-expect-error an error that did not happen is absent, and not undefined
    expectTypeOf<{ readonly read: undefined }>().toExtend<CacheStats.Stats["errors"]>()
  })

  it("minus - takes both snapshots, or the earlier one first", () => {
    expectTypeOf(CacheStats.minus(stats, stats)).toEqualTypeOf<CacheStats.Stats>()
    expectTypeOf(CacheStats.minus(stats)).toEqualTypeOf<(after: CacheStats.Stats) => CacheStats.Stats>()
  })

  it("schema - is that of the statistics, and its encoded side is JSON", () => {
    expectTypeOf(CacheStats.schema).toEqualTypeOf<Schema.Schema<CacheStats.Stats, CacheStats.Encoded>>()
    expectTypeOf(Schema.encodeSync(CacheStats.schema)(stats).uptime).toEqualTypeOf<number>()
    expectTypeOf(Schema.encodeSync(CacheStats.schema)(stats).entries).toEqualTypeOf<number | null>()
  })

  it("table, asAdvancedCaching - take statistics", () => {
    expectTypeOf(CacheStats.table(stats)).toEqualTypeOf<string>()
    expectTypeOf(CacheStats.asAdvancedCaching(stats)).toEqualTypeOf<CacheStats.AdvancedCaching>()
    // @ts-expect-error an effect is no statistics
    CacheStats.table(store.stats)
  })

  it("CacheMetrics - is set by a Layer", () => {
    expectTypeOf(CacheMetrics.disabled).toEqualTypeOf<Layer.Layer<CacheMetrics.Settings>>()
    expectTypeOf(CacheMetrics.layer({ prefix: "a_" })).toEqualTypeOf<Layer.Layer<CacheMetrics.Settings>>()
    // @ts-expect-error there is no such option
    CacheMetrics.layer({ name: "a" })
  })
})
