/**
 * The types of `CacheListener`, and of the events of reads and writes.
 */
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Effect, type Layer, type Stream } from "effect"
import type { CacheEvent } from "../../src/index.js"
import { CacheListener, CacheStore, MemoryCache } from "../../src/index.js"

class Sessions extends CacheStore.Tag("Sessions")<Sessions>() {}

describe("CacheListener", () => {
  it("layer - takes callbacks of the events by name, and requires the store", () => {
    const listener = CacheListener.layer({
      onHit: (event) => {
        expectTypeOf(event.key).toEqualTypeOf<string>()
        expectTypeOf(event.tier).toEqualTypeOf<string | undefined>()
      },
      onMiss: ({ coalesced, reason }) => {
        expectTypeOf(reason).toEqualTypeOf<CacheEvent.MissReason>()
        expectTypeOf(coalesced).toEqualTypeOf<boolean>()
      },
      onSet: ({ name }) => expectTypeOf(name).toEqualTypeOf<string | undefined>()
    })
    expectTypeOf(listener).toEqualTypeOf<Layer.Layer<never, never, CacheStore>>()
    expectTypeOf(CacheListener.layer({}, { store: Sessions })).toEqualTypeOf<Layer.Layer<never, never, Sessions>>()
    // @ts-expect-error - there is no such event
    CacheListener.layer({ onRead: () => {} })
  })

  it("an async callback, one that returns a promise, and one that returns an Effect - do not compile", () => {
    // @ts-expect-error - a promise
    CacheListener.layer({ onMiss: async () => {} })
    // @ts-expect-error - a promise
    CacheListener.layer({ onMiss: () => Promise.resolve(1) })
    // @ts-expect-error - an Effect
    CacheListener.layer({ onHit: () => Effect.void })
    // @ts-expect-error - a promise
    CacheListener.layerCollector({ recordHit: async (_name: string) => {} })
    // everything else is ignored
    CacheListener.layer({ onHit: () => new Map(), onMiss: () => [1], onSet: () => 1, onStale: () => null })
    CacheListener.layer({ onHit: (): void => {}, onMiss: () => ({ a: 1 }), onStoreUp: () => new Date() })
  })

  it("layerCollector - takes any part of the methods", () => {
    expectTypeOf(CacheListener.layerCollector({ recordHit: (_name: string) => {} })).toEqualTypeOf<
      Layer.Layer<never, never, CacheStore>
    >()
    // @ts-expect-error - the duration is a number
    CacheListener.layerCollector({ recordLatency: (_name: string, _operation: string, _seconds: string) => {} })
  })

  it("events - are those of CacheEvent only, and eventSampling is a number", () => {
    const events = Effect.map(CacheStore, (store) => store.events)
    expectTypeOf(events).toEqualTypeOf<Effect.Effect<Stream.Stream<CacheEvent.CacheEvent>, never, CacheStore>>()
    MemoryCache.layer({ eventSampling: 0.1 })
    // @ts-expect-error - a text is no number
    MemoryCache.layer({ eventSampling: "10%" })
  })
})
