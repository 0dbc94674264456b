import type { Storage } from "@google-cloud/storage"
import { Config, type Effect, type Layer } from "effect"
import type { ConfigError } from "effect/ConfigError"
import { describe, expectTypeOf, it } from "vitest"
import type { Backend } from "../../src/Backend.js"
import * as GcsCache from "../../src/GcsCache.js"
import type { CacheStore } from "../../src/index.js"

describe("GcsCache", () => {
  it("layer - takes a bucket and the settings of the client", () => {
    expectTypeOf(GcsCache.layer({ bucket: "b", client: { projectId: "p" } })).toEqualTypeOf<Layer.Layer<CacheStore>>()
    // @ts-expect-error no bucket
    GcsCache.layer({})
    // @ts-expect-error not a setting of the client
    GcsCache.layer({ bucket: "b", client: { project: "p" } })
  })

  it("layerConfig - takes the same from Config, the settings of the client one by one or as a whole", () => {
    expectTypeOf(
      GcsCache.layerConfig({ bucket: Config.string("BUCKET"), client: { projectId: Config.string("PROJECT") } })
    ).toEqualTypeOf<Layer.Layer<CacheStore, ConfigError>>()
    expectTypeOf(
      GcsCache.layerConfig({ bucket: Config.string("BUCKET"), client: Config.succeed({ projectId: "p" }) })
    ).toEqualTypeOf<Layer.Layer<CacheStore, ConfigError>>()
  })

  it("layerFromClient - takes a client and no settings", () => {
    expectTypeOf(GcsCache.layerFromClient).parameter(0).toEqualTypeOf<Storage>()
    // @ts-expect-error the client exists already
    GcsCache.layerFromClient({} as Storage, { bucket: "b", client: {} })
  })

  it("backend - is accepted as a tier", () => {
    expectTypeOf(GcsCache.backend({ bucket: "b" })).toEqualTypeOf<Effect.Effect<Backend>>()
  })
})
