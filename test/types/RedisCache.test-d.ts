import { Config, type Layer, Redacted } from "effect"
import type { ConfigError } from "effect/ConfigError"
import type { Cluster, Redis } from "ioredis"
import { describe, expectTypeOf, it } from "vitest"
import { type CacheStore, type CacheStoreError, Envelope } from "../../src/index.js"
import * as RedisCache from "../../src/RedisCache.js"

describe("RedisCache", () => {
  it("layer - takes one server, a cluster or sentinels", () => {
    expectTypeOf(RedisCache.layer({ url: "redis://127.0.0.1" })).toEqualTypeOf<Layer.Layer<CacheStore>>()
    expectTypeOf(
      RedisCache.layer({ cluster: ["redis://10.0.0.1:7000", { host: "10.0.0.2", port: 7000 }] })
    ).toEqualTypeOf<Layer.Layer<CacheStore>>()
    expectTypeOf(
      RedisCache.layer({ sentinel: { name: "main", nodes: [{ host: "10.0.0.1", port: 26_379 }] } })
    ).toEqualTypeOf<Layer.Layer<CacheStore>>()
  })

  it("layer - refuses two of them", () => {
    const nodes = [Redacted.make("redis://10.0.0.1:7000")]
    // @ts-expect-error only one of the two
    RedisCache.layer({ url: "redis://127.0.0.1", cluster: nodes })
    // @ts-expect-error only one of the two
    RedisCache.layer({ url: "redis://127.0.0.1", sentinel: { name: "main", nodes } })
    // @ts-expect-error only one of the two
    RedisCache.layer({ cluster: nodes, sentinel: { name: "main", nodes } })
  })

  it("layerConfig - takes the same from Config", () => {
    expectTypeOf(
      RedisCache.layerConfig({ cluster: Config.array(Config.redacted(), "REDIS_NODES"), prefix: Config.succeed("a:") })
    ).toEqualTypeOf<Layer.Layer<CacheStore, ConfigError>>()
    expectTypeOf(
      RedisCache.layerConfig({
        sentinel: { name: Config.string("NAME"), nodes: Config.array(Config.string(), "REDIS_SENTINELS") }
      })
    ).toEqualTypeOf<Layer.Layer<CacheStore, ConfigError>>()
  })

  it("envelope - is an option of every layer", () => {
    const { advancedCaching } = Envelope
    expectTypeOf(RedisCache.layer({ envelope: advancedCaching })).toEqualTypeOf<Layer.Layer<CacheStore>>()
    expectTypeOf(RedisCache.layerHybrid({ l2: { envelope: undefined } })).toEqualTypeOf<Layer.Layer<CacheStore>>()
    expectTypeOf(RedisCache.layerConfig({ envelope: Config.succeed(advancedCaching) })).toEqualTypeOf<
      Layer.Layer<CacheStore, ConfigError>
    >()
    expectTypeOf<RedisCache.CommonOptions["envelope"]>().toEqualTypeOf<Envelope.Envelope | undefined>()
  })

  it("required - is an error in the type of the Layer, only where it is given", () => {
    type Failing = Layer.Layer<CacheStore, CacheStoreError>
    expectTypeOf(RedisCache.layer({ required: true })).toEqualTypeOf<Failing>()
    expectTypeOf(RedisCache.layer({ required: false })).toEqualTypeOf<Layer.Layer<CacheStore>>()
    expectTypeOf(RedisCache.layer({ required: true as boolean })).toEqualTypeOf<Failing>()
    expectTypeOf(RedisCache.layerHybrid({ l2: { required: true } })).toEqualTypeOf<Failing>()
    expectTypeOf(RedisCache.layerHybrid({ l2: {} })).toEqualTypeOf<Layer.Layer<CacheStore>>()
    expectTypeOf(RedisCache.layerFromClient({} as Redis, { required: true })).toEqualTypeOf<Failing>()
    expectTypeOf(RedisCache.layerHybridFromClient({} as Redis, { l2: { required: true } })).toEqualTypeOf<Failing>()
    expectTypeOf(RedisCache.layerConfig({ required: Config.succeed(true as const) })).toEqualTypeOf<
      Layer.Layer<CacheStore, CacheStoreError | ConfigError>
    >()
    // @ts-expect-error it is no text
    RedisCache.layer({ required: "yes" })
    // @ts-expect-error an option that does not exist
    RedisCache.layer({ url: "redis://127.0.0.1", requires: true })
  })

  it("layerFromClient - takes a client of a cluster as well", () => {
    expectTypeOf(RedisCache.layerFromClient).parameter(0).toEqualTypeOf<Redis | Cluster>()
  })
})
