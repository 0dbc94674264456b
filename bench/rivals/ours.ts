/** This library. */
import { Duration, Effect, Layer, ManagedRuntime, Option } from "effect"
import { Cached, CacheStore, MemoryCache } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import { services } from "../support/memory.js"
import { awaitCoherent, written } from "../support/tiers.js"
import { keyOf, type Rival, type Settings } from "./rival.js"

/** The effect that loads a value in every library whose lookups are effects. */
export const lookupOf =
  <A>(load: Settings<A>["load"]) =>
  (id: number): Effect.Effect<A> =>
    Effect.suspend(() => {
      const value = load(id)
      return value instanceof Promise ? Effect.promise(() => value) : Effect.succeed(value)
    })

const layerOf = ({ capacity, place, prefix, url }: Settings<any>): Layer.Layer<CacheStore> =>
  place === "memory"
    ? MemoryCache.layer({ capacity, name: prefix })
    : place === "redis"
      ? Layer.orDie(RedisCache.layer({ url, prefix, name: prefix }))
      : Layer.orDie(RedisCache.layerHybrid({ l1: { capacity }, l2: { url, prefix }, name: prefix }))

export const ours: Rival = {
  name: "Cached.ttl",
  isOther: false,
  isSlow: false,
  places: ["memory", "tiered", "redis"],
  hasStale: true,
  make: (settings) =>
    Effect.gen(function* () {
      const runtime = yield* Effect.acquireRelease(
        Effect.sync(() => ManagedRuntime.make(Layer.merge(layerOf(settings), services))),
        (runtime) => runtime.disposeEffect
      )
      const run = <B>(effect: Effect.Effect<B, unknown, CacheStore>) => runtime.runPromise(effect)
      if (settings.place === "tiered") yield* Effect.promise(() => run(awaitCoherent))
      const lookup = lookupOf(settings.load)
      const policy = <Key extends string>(key: Key) => ({
        key,
        ttl: 1,
        stale: "1 hour" as const,
        flightTimeout: Duration.infinity
      })
      const one = settings.isStale
        ? Cached.swr(lookup(7), policy("one"))
        : Cached.ttl(lookup(7), { key: "one", ttl: "1 hour" })
      const read = settings.isStale
        ? Cached.swr(lookup, policy("user:{}"))
        : Cached.ttl(lookup, { key: "user:{}", ttl: "1 hour" })
      const store = yield* Effect.promise(() => run(CacheStore))
      const life = { ttl: "1 hour" } as const
      return {
        kind: "effect",
        run,
        stored: () => (settings.place === "memory" ? Promise.resolve() : run(written)),
        calls: {
          one: () => one,
          read,
          set: (id, value) => store.set(keyOf(id), value, life),
          getMany: (keys) => Effect.map(store.getMany<any>(keys), (found) => found.map(Option.getOrThrow))
        }
      }
    })
}
