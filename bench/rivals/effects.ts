/** What Effect and its packages have: `Cache`, `cachedWithTTL`, `cachedFunction` and `PersistedCache`. */
import * as PersistedCache from "@effect/experimental/PersistedCache"
import * as Persistence from "@effect/experimental/Persistence"
import * as RedisPersistence from "@effect/experimental/Persistence/Redis"
import { Cache, Effect, Layer, ManagedRuntime, PrimaryKey, Schema } from "effect"
import { services } from "../support/memory.js"
import { lookupOf } from "./ours.js"
import { keyOf, numberOf, type Rival } from "./rival.js"

/** A runtime with the same number of services as that of this library, and without a store. */
const runtime = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => ManagedRuntime.make(services)),
    (runtime) => runtime.disposeEffect
  ),
  (runtime) =>
    <A>(effect: Effect.Effect<A, unknown, any>): Promise<A> =>
      runtime.runPromise(effect)
)

const cache: Rival = {
  name: "Cache",
  isOther: true,
  isSlow: false,
  places: ["memory"],
  hasStale: false,
  make: ({ capacity, load }) =>
    Effect.gen(function* () {
      const run = yield* runtime
      const lookup = lookupOf(load)
      const cache = yield* Cache.make({
        capacity,
        timeToLive: "1 hour",
        lookup: (key: string) => lookup(numberOf(key))
      })
      return {
        kind: "effect",
        run,
        calls: {
          one: () => cache.get("user:7"),
          read: (id) => cache.get(keyOf(id)),
          set: (id, value) => cache.set(keyOf(id), value)
        }
      }
    })
}

const cachedWithTTL: Rival = {
  name: "Effect.cachedWithTTL",
  isOther: true,
  isSlow: true,
  places: ["memory"],
  hasStale: false,
  make: ({ load }) =>
    Effect.gen(function* () {
      const run = yield* runtime
      const one = yield* Effect.cachedWithTTL(lookupOf(load)(7), "1 hour")
      return { kind: "effect", run, calls: { one: () => one } }
    })
}

/** It keeps every value for ever. */
const cachedFunction: Rival = {
  name: "Effect.cachedFunction",
  isOther: true,
  isSlow: true,
  places: ["memory"],
  hasStale: false,
  make: ({ load }) =>
    Effect.gen(function* () {
      const run = yield* runtime
      const lookup = lookupOf(load)
      const read = yield* Effect.cachedFunction((key: string) => lookup(numberOf(key)))
      return { kind: "effect", run, calls: { one: () => read("user:7"), read: (id) => read(keyOf(id)) } }
    })
}

/** A request to `PersistedCache`: a class with a primary key and schemas. */
class Find extends Schema.TaggedRequest<Find>()("Find", {
  failure: Schema.String,
  success: Schema.Any,
  payload: { id: Schema.Number }
}) {
  [PrimaryKey.symbol](): string {
    return String(this.id)
  }
}

const persistedCache: Rival = {
  name: "PersistedCache",
  isOther: true,
  isSlow: true,
  places: ["memory", "tiered", "redis"],
  hasStale: false,
  make: ({ capacity, load, place, prefix, url }) =>
    Effect.gen(function* () {
      const run = yield* runtime
      const lookup = lookupOf(load)
      const { hostname: host, port } = new URL(url)
      const persistence = yield* Layer.build(
        place === "memory"
          ? Persistence.layerResultMemory
          : Persistence.layerResult.pipe(
              Layer.provide(RedisPersistence.layer({ host, port: Number(port), keyPrefix: prefix }))
            )
      )
      const cache = yield* Effect.provide(
        PersistedCache.make({
          storeId: "persisted",
          lookup: (find: Find) => lookup(find.id),
          timeToLive: () => "1 hour",
          inMemoryCapacity: place === "redis" ? 1 : capacity,
          inMemoryTTL: place === "redis" ? 0 : "1 hour"
        }),
        persistence
      )
      const seven = new Find({ id: 7 })
      return {
        kind: "effect",
        run,
        calls: { one: () => cache.get(seven), read: (id) => cache.get(new Find({ id })) }
      }
    })
}

export const effects: ReadonlyArray<Rival> = [cache, cachedWithTTL, cachedFunction, persistedCache]
