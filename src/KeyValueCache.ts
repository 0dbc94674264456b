/**
 * Entries in any `KeyValueStore` of `@effect/platform`: for media that have one and nothing better.
 *
 * A `KeyValueStore` can read and write and no more. What follows from that: writes do not look and write in one step, so
 * that of two processes which write one key at the same moment the older may win (law 8 holds per process); and entries
 * that have expired stay until they are written again, for nothing lists them.
 *
 * Processes order what they do by the time of their machines, which is to be kept: by as much as two differ, an
 * invalidation by the one behind may miss what the other wrote just before, unless it has read it, and after a `clear` by
 * the one ahead the other keeps nothing. By more than a minute, law 8 holds per process.
 *
 * What stands there, under `prefix`: an object per entry, whose name is a hash of the key, and one for the marks of
 * `clear` and of tags.
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
import type { PlatformError } from "@effect/platform/Error"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Backend from "./Backend.js"
import { CacheStoreError } from "./CacheError.js"
import { CacheStore, fromBytes } from "./CacheStore.js"
import * as ObjectBackend from "./internal/backends/object/backend.js"
import { metaIn, versionIn } from "./internal/backends/object/format.js"
import type { Objects } from "./internal/backends/object/objectStore.js"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends CacheStore.Options, CacheStore.BytesOptions, ObjectBackend.Options {
  /** what every key of the `KeyValueStore` begins with, default `ec1:`; an empty one must be written */
  readonly prefix?: string | undefined
  /** the store's name in metrics and logs, default `key-value` */
  readonly name?: string | undefined
}

const objectsOf = (store: KeyValueStore.KeyValueStore, options: Options): Objects => {
  const name = options.name ?? "key-value"
  const prefix = options.prefix ?? "ec1:"
  const rejected = (method: string) => (cause: PlatformError) =>
    new CacheStoreError({ reason: "Rejected", store: name, method, cause })
  const find = (object: string) =>
    Effect.map(Effect.mapError(store.getUint8Array(prefix + object), rejected("get")), (found) =>
      Option.match(found, {
        onNone: () => undefined,
        onSome: (bytes) => ({ version: versionIn(bytes), meta: metaIn(bytes), bytes })
      })
    )
  // looking and writing are two steps: nobody else of this process comes between
  const turns = Array.from({ length: 64 }, () => Effect.unsafeMakeSemaphore(1).withPermits(1))
  const turnOf = (object: string) => turns[Number.parseInt(object.slice(0, 2), 16) & 63]!
  return {
    name,
    head: find,
    read: find,
    write: (object, { bytes }, condition) =>
      turnOf(object)(
        Effect.flatMap(condition === undefined ? Effect.succeed(undefined) : find(object), (there) =>
          condition !== undefined && condition !== (there?.version ?? null)
            ? Effect.succeed(false)
            : Effect.as(Effect.mapError(store.set(prefix + object, bytes), rejected("set")), true)
        )
      ),
    remove: (objects) =>
      Effect.forEach(objects, (object) =>
        Effect.match(Effect.mapError(store.remove(prefix + object), rejected("remove")), {
          onFailure: (error) => error,
          onSuccess: () => undefined
        })
      )
  }
}

/**
 * The medium alone, as a tier takes it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backend = (options: Options = {}): Effect.Effect<Backend.Backend, never, KeyValueStore.KeyValueStore> =>
  Effect.flatMap(KeyValueStore.KeyValueStore, (store) =>
    Effect.map(ObjectBackend.make(objectsOf(store, options), options), (medium) => fromBytes(medium, options))
  )

/**
 * A Service for a tag of one's own: `Layer.scoped(Sessions, KeyValueCache.make({ prefix: "sessions:" }))`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: Options = {}
): Effect.Effect<CacheStore.Service, never, KeyValueStore.KeyValueStore | Scope.Scope> =>
  Effect.flatMap(backend(options), (medium) => CacheStore.make(medium, options))

/**
 * A store over the `KeyValueStore` in context.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<CacheStore, never, KeyValueStore.KeyValueStore> =>
  Layer.scoped(CacheStore, make(options))

/**
 * The same from Config.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Config.Wrap<Options>
): Layer.Layer<CacheStore, ConfigError, KeyValueStore.KeyValueStore> =>
  Layer.scoped(CacheStore, Effect.flatMap(Config.unwrap(config), make))

/**
 * A store over a `KeyValueStore` that is lent.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFromClient = (store: KeyValueStore.KeyValueStore, options: Options = {}): Layer.Layer<CacheStore> =>
  Layer.provide(layer(options), Layer.succeed(KeyValueStore.KeyValueStore, store))
