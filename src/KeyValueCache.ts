/**
 * A store that keeps entries in a `KeyValueStore` of `@effect/platform`, for storage that offers nothing better.
 *
 * A `KeyValueStore` can read and write, and no more. This has two consequences. A write cannot check the current entry
 * and replace it in one step: if two processes write one key at the same moment, the older write may win, so law 8
 * (invalidation wins) holds within a process only. And expired entries stay until they are overwritten, because nothing
 * lists them.
 *
 * Processes order writes by the time of day, so keep their clocks in sync. The documentation of `S3Cache` says what a
 * difference costs.
 *
 * Under `prefix`, the `KeyValueStore` contains one object for each entry, whose name is a hash of the key, and one with
 * the marks of `clear` and of tags.
 *
 * ```ts
 * import { KeyValueStore } from "@effect/platform"
 * import { Effect, Layer } from "effect"
 * import { Cached } from "effect-cached"
 * import * as KeyValueCache from "effect-cached/KeyValueCache"
 *
 * const getUser = Cached.ttl((id: number) => Effect.succeed({ id }), { key: "user:{}", ttl: "1 minute" })
 *
 * const Store = Layer.provide(KeyValueCache.layer(), KeyValueStore.layerMemory)
 *
 * getUser(42).pipe(Effect.provide(Store), Effect.runPromise)
 * ```
 *
 * @since 0.1.0
 */
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Backend from "./Backend.js"
import { CacheStore, fromBytes } from "./CacheStore.js"
import * as ObjectBackend from "./internal/backends/object/backend.js"
import { KeyValueObjects } from "./internal/backends/object/keyValue.js"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends CacheStore.Options, CacheStore.BytesOptions, ObjectBackend.Options {
  /** The beginning of every key in the `KeyValueStore`. Default: `ec1:`. Pass `""` to use none. */
  readonly prefix?: string | undefined
  /** The store's name in metrics and logs. Default: `key-value`. */
  readonly name?: string | undefined
}

/**
 * The backend alone, to be used as a tier.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backend = (options: Options = {}): Effect.Effect<Backend.Backend, never, KeyValueStore.KeyValueStore> =>
  Effect.flatMap(KeyValueStore.KeyValueStore, (store) => {
    const { name = "key-value", prefix = "ec1:" } = options
    const objects = new KeyValueObjects(store, { prefix, name })
    return Effect.map(ObjectBackend.make(objects, options), (bytes) => fromBytes(bytes, options))
  })

/**
 * A Service for a tag of your own: `Layer.scoped(Sessions, KeyValueCache.make({ prefix: "sessions:" }))`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: Options = {}
): Effect.Effect<CacheStore.Service, never, KeyValueStore.KeyValueStore | Scope.Scope> =>
  Effect.flatMap(backend(options), (backend) => CacheStore.make(backend, options))

/**
 * A store over the `KeyValueStore` in context.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<CacheStore, never, KeyValueStore.KeyValueStore> =>
  Layer.scoped(CacheStore, make(options))

/**
 * A store over the `KeyValueStore` in context, with options from Config.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Config.Wrap<Options>
): Layer.Layer<CacheStore, ConfigError, KeyValueStore.KeyValueStore> =>
  Layer.scoped(CacheStore, Effect.flatMap(Config.unwrap(config), make))

/**
 * A store over a `KeyValueStore` that is lent to it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFromClient = (store: KeyValueStore.KeyValueStore, options: Options = {}): Layer.Layer<CacheStore> =>
  Layer.provide(layer(options), Layer.succeed(KeyValueStore.KeyValueStore, store))
