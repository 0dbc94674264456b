import { describe, expectTypeOf, it } from "@effect/vitest"
import { Config, type ConfigError, Context, Effect, type Layer, type Scope } from "effect"
import { type Backend, Cached, type CacheStore, MemoryCache, TieredCache } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"

// @effect-diagnostics floatingEffect:off

class Settings extends Context.Tag("Settings")<Settings, { readonly url: string }>() {}

describe("TieredCache", () => {
  const memory = { backend: MemoryCache.backend() }

  it("layer - has the requirements and errors of its tiers, without the Scope", () => {
    expectTypeOf(TieredCache.layer({ tiers: [memory] })).toEqualTypeOf<Layer.Layer<CacheStore>>()
    const configured = Effect.flatMap(Config.string("REDIS_URL"), (url) => RedisCache.backend({ url }))
    const provided = Effect.flatMap(Settings, RedisCache.backend)
    expectTypeOf(TieredCache.layer({ tiers: [memory, { backend: configured, ttl: "1 hour" }] })).toEqualTypeOf<
      Layer.Layer<CacheStore, ConfigError.ConfigError>
    >()
    expectTypeOf(TieredCache.layer({ tiers: [memory, { backend: provided, name: "far" }] })).toEqualTypeOf<
      Layer.Layer<CacheStore, never, Settings>
    >()
  })

  it("make, backend - require a Scope", () => {
    expectTypeOf(TieredCache.make({ tiers: [memory] })).toEqualTypeOf<
      Effect.Effect<CacheStore.Service, never, Scope.Scope>
    >()
    expectTypeOf(TieredCache.backend({ tiers: [memory] })).toEqualTypeOf<
      Effect.Effect<Backend.Backend, never, Scope.Scope>
    >()
  })

  it("tiers - at least one, and each a backend", () => {
    // @ts-expect-error no tier
    TieredCache.layer({ tiers: [] })
    // @ts-expect-error a Layer is not a backend
    TieredCache.layer({ tiers: [{ backend: MemoryCache.layer() }] })
    // @ts-expect-error a Service is not a backend
    TieredCache.layer({ tiers: [{ backend: MemoryCache.make() }] })
  })
})

describe("RedisCache.layerHybrid", () => {
  it("options - are those of its tiers", () => {
    expectTypeOf(RedisCache.layerHybrid()).toEqualTypeOf<Layer.Layer<CacheStore>>()
    RedisCache.layerHybrid({
      l1: { capacity: 1, ttl: "1 second" },
      l2: { url: "redis://x", prefix: "x:", ttl: "1 hour" },
      blindTtl: "2 seconds"
    })
    // @ts-expect-error memory has no url
    RedisCache.layerHybrid({ l1: { url: "redis://x" } })
  })

  it("HybridCacheLive - reads Config", () => {
    expectTypeOf(RedisCache.HybridCacheLive).toEqualTypeOf<Layer.Layer<CacheStore, ConfigError.ConfigError>>()
  })
})

describe("lock", () => {
  it("lease - is required, and changes no type", () => {
    const options = { key: "k", ttl: "1 minute" } as const
    const plain = Cached.ttl(Effect.succeed(1), options)
    expectTypeOf(Cached.ttl(Effect.succeed(1), { ...options, lock: { lease: "1 second" } })).toEqualTypeOf(plain)
    // @ts-expect-error no lease
    Cached.ttl(Effect.succeed(1), { ...options, lock: {} })
    // @ts-expect-error no lock
    Cached.ttl(Effect.succeed(1), { ...options, lock: "1 second" })
  })
})
