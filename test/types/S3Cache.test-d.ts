import type { S3Client } from "@aws-sdk/client-s3"
import { Config, type Effect, type Layer, type Scope } from "effect"
import type { ConfigError } from "effect/ConfigError"
import { describe, expectTypeOf, it } from "vitest"
import type { Backend } from "../../src/Backend.js"
import type { CacheStore } from "../../src/index.js"
import * as S3Cache from "../../src/S3Cache.js"

describe("S3Cache", () => {
  it("layer - takes a bucket and the settings of the client", () => {
    expectTypeOf(S3Cache.layer({ bucket: "b", client: { region: "eu-central-1" } })).toEqualTypeOf<
      Layer.Layer<CacheStore>
    >()
    // @ts-expect-error no bucket
    S3Cache.layer({})
    // @ts-expect-error not a setting of the client
    S3Cache.layer({ bucket: "b", client: { regiom: "eu-central-1" } })
  })

  it("layerConfig - takes the same from Config, the settings of the client one by one or as a whole", () => {
    expectTypeOf(
      S3Cache.layerConfig({ bucket: Config.string("BUCKET"), client: { region: Config.string("REGION") } })
    ).toEqualTypeOf<Layer.Layer<CacheStore, ConfigError>>()
    expectTypeOf(
      S3Cache.layerConfig({ bucket: Config.string("BUCKET"), client: Config.succeed({ region: "eu-central-1" }) })
    ).toEqualTypeOf<Layer.Layer<CacheStore, ConfigError>>()
  })

  it("layerFromClient - takes a client and no settings", () => {
    expectTypeOf(S3Cache.layerFromClient).parameter(0).toEqualTypeOf<S3Client>()
    // @ts-expect-error the client exists already
    S3Cache.layerFromClient({} as S3Client, { bucket: "b", client: {} })
  })

  it("backend - is accepted as a tier", () => {
    expectTypeOf(S3Cache.backend({ bucket: "b" })).toEqualTypeOf<Effect.Effect<Backend, never, Scope.Scope>>()
  })
})
