import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Context, Effect, Layer } from "effect"
import type { Backend, CacheStore } from "../../src/index.js"
import { ChaosCache } from "../../src/testing.js"

declare const values: Backend.Backend
declare const bytes: Backend.Backend<Uint8Array>

describe("ChaosCache", () => {
  it("corrupt - exists for backends of bytes only", () => {
    expectTypeOf(ChaosCache.make(values)).toEqualTypeOf<Effect.Effect<ChaosCache.Chaotic<unknown>>>()
    type Begin<F extends ChaosCache.Faults> = Parameters<ChaosCache.Controls<F>["begin"]>[0]
    expectTypeOf<Begin<ChaosCache.Faults>>().not.toHaveProperty("corrupt")
    expectTypeOf<Context.Tag.Service<ChaosCache.Chaos>>().toEqualTypeOf<ChaosCache.Controls>()
    const made = ChaosCache.makeBytes(bytes)
    expectTypeOf(made).toEqualTypeOf<Effect.Effect<ChaosCache.Chaotic<Uint8Array, ChaosCache.ByteFaults>>>()
    expectTypeOf<Begin<ChaosCache.ByteFaults>>().toHaveProperty("corrupt")
    // a backend of values has no bytes to damage
    expectTypeOf(values).not.toExtend<Parameters<typeof ChaosCache.makeBytes>[0]>()
  })

  it("layer - provides the store and its controls, and keeps the requirements of the backend", () => {
    const layer = ChaosCache.layer({} as Effect.Effect<Backend.Backend, "error", "service">)
    expectTypeOf(layer).toEqualTypeOf<Layer.Layer<CacheStore | ChaosCache.Chaos, "error", "service">>()
  })
})
