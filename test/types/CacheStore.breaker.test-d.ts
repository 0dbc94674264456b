/**
 * The types of the option `breaker`, and of the tiers in `health`.
 */
// Nothing here runs. The diagnostics of Effect are off, so that none of them satisfies an expected error.
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Config, type Effect, type Layer, type Option } from "effect"
import type { ConfigError } from "effect/ConfigError"
import { type Backend, type CacheStore, MemoryCache, TieredCache } from "../../src/index.js"
import * as RedisCache from "../../src/RedisCache.js"

declare const backend: Effect.Effect<Backend.Backend>

describe("breaker", () => {
  it("stores - take its parts, or false", () => {
    expectTypeOf(RedisCache.layer({ breaker: { failures: 3, pause: "5 seconds" } })).toEqualTypeOf<
      Layer.Layer<CacheStore>
    >()
    RedisCache.layer({ breaker: { failures: 3 } })
    RedisCache.layer({ breaker: { pause: 100 } })
    RedisCache.layer({ breaker: false })
    RedisCache.layer({ breaker: undefined })
    MemoryCache.layer({ breaker: false })
    expectTypeOf(RedisCache.layerConfig({ breaker: Config.succeed(false as const) })).toEqualTypeOf<
      Layer.Layer<CacheStore, ConfigError>
    >()
  })

  it("tiers - take their own", () => {
    TieredCache.layer({ tiers: [{ backend, breaker: false }], breaker: { failures: 3 } })
    RedisCache.layerHybrid({ breaker: { failures: 3 }, l2: { breaker: false } })
  })

  it("other values - do not compile", () => {
    // @ts-expect-error: it is on by default
    RedisCache.layer({ breaker: true })
    // @ts-expect-error: a pause is a duration
    RedisCache.layer({ breaker: { pause: "soon" } })
    // @ts-expect-error: the number of failures is a number
    RedisCache.layer({ breaker: { failures: "5" } })
  })

  it("health - has the condition of each tier", () => {
    expectTypeOf<CacheStore.Health["tiers"]>().toEqualTypeOf<ReadonlyArray<CacheStore.TierHealth>>()
    expectTypeOf<CacheStore.TierHealth>().toEqualTypeOf<{
      readonly tier: string
      readonly status: "up" | "down"
      readonly openSince: Option.Option<number>
      readonly skipped: number
      readonly undelivered: number
    }>()
  })
})
