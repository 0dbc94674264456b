import type { FileSystem, Path } from "@effect/platform"
import { Effect, Layer, Schema } from "effect"
import { describe, expectTypeOf, it } from "vitest"
import * as CacheSnapshot from "../../src/CacheSnapshot.js"
import { Cached, CacheStore, type CacheStoreError, MemoryCacheLive } from "../../src/index.js"

const path = "store.snapshot"

class Sessions extends CacheStore.Tag("Sessions")<Sessions>() {}

describe("CacheSnapshot", () => {
  it("layer - provides the store that it takes, and cannot fail", () => {
    expectTypeOf(CacheSnapshot.layer({ path })).toEqualTypeOf<
      Layer.Layer<CacheStore, never, CacheStore | FileSystem.FileSystem | Path.Path>
    >()
    expectTypeOf(CacheSnapshot.layer({ path, store: Sessions })).toEqualTypeOf<
      Layer.Layer<Sessions, never, Sessions | FileSystem.FileSystem | Path.Path>
    >()
    expectTypeOf(CacheSnapshot.layer({ path }).pipe(Layer.provide(MemoryCacheLive))).toEqualTypeOf<
      Layer.Layer<CacheStore, never, FileSystem.FileSystem | Path.Path>
    >()
  })

  it("save and load - fail with CacheStoreError", () => {
    expectTypeOf(CacheSnapshot.save({ path })).toEqualTypeOf<
      Effect.Effect<CacheSnapshot.Saved, CacheStoreError, CacheStore | FileSystem.FileSystem | Path.Path>
    >()
    expectTypeOf(CacheSnapshot.load({ path, store: Sessions })).toEqualTypeOf<
      Effect.Effect<CacheSnapshot.Loaded, CacheStoreError, Sessions | FileSystem.FileSystem | Path.Path>
    >()
  })

  it("functions - are cached effects, functions, batches and entities, whatever they require", () => {
    const one = Cached.ttl(Effect.succeed(1), { key: "one", ttl: "1 minute" })
    const find = Cached.ttl((id: number) => Effect.map(Sessions, () => id), { key: "find:{}", ttl: "1 minute" })
    const users = Cached.entity(Schema.Struct({ id: Schema.Number }), { name: "users", key: ["id"], ttl: "1 minute" })
    CacheSnapshot.layer({ path, functions: [one, find, users] })
    // @ts-expect-error a lookup is no cached function
    CacheSnapshot.layer({ path, functions: [(id: number) => Effect.succeed(id)] })
  })
})
