/**
 * Stores of memory in front of Redis, and of memory alone.
 */
import { Effect, Layer, ManagedRuntime } from "effect"
import { CacheStore, MemoryCache } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import { awaitUntil } from "../../test/support/live.js"
import { services } from "./memory.js"

export type Runtime = ManagedRuntime.ManagedRuntime<CacheStore, never>

export const inside = <A, E>(runtime: Runtime, effect: Effect.Effect<A, E, CacheStore>): Effect.Effect<A> =>
  Effect.promise(() => runtime.runPromise(effect))

/** A store of memory in front of Redis. */
export const hybrid = (url: string): Runtime =>
  ManagedRuntime.make(
    Layer.merge(RedisCache.layerHybrid({ l1: { capacity: 50_000 }, l2: { url, prefix: "hybrid:" } }), services)
  )

/** A store of memory alone. */
export const memory = (): Runtime => ManagedRuntime.make(Layer.merge(MemoryCache.layer({ capacity: 50_000 }), services))

/** Waits until notifications of other processes arrive. */
export const awaitCoherent = Effect.flatMap(CacheStore, (store) =>
  awaitUntil(
    Effect.map(store.health, ({ coherent }) => coherent),
    "notifications arrive"
  )
)

/** Waits until all earlier writes have reached Redis: one connection carries them in order. */
export const written = Effect.flatMap(CacheStore, (store) => store.set("barrier", 0, { ttl: "1 minute" }))
