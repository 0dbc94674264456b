/**
 * A store that keeps entries in a bucket of Google Cloud Storage. Every process shares it. A hit is a request, so it
 * suits values that are large or expensive to load, best as the last of several tiers.
 *
 * If the bucket is slow or refuses requests, reads load, callers get their values, and invalidations are delivered when
 * it is back. One object accepts about one write per second, and more are refused: a refused write of a loaded value is
 * counted and dropped, a refused invalidation is delivered later.
 *
 * Under `prefix`, the bucket contains the object `marks`, with the marks of `clear` and of tags, and under `entries/`
 * one object for each entry, or the tombstone of its removal. The name of the object is a hash of the key, its content
 * is `Envelope.v1` with the key in front of the value. A read is one request for the first 64 kB, which contain the
 * times, and a second one for the rest, if there is a rest and the entry has not expired. A write reads the metadata,
 * and is carried out only if the object has not changed in between: law 8 (invalidation wins) holds across processes.
 * If a value of more than 64 kB has not changed, only its times are written, as metadata; a hit then takes one more
 * request.
 *
 * Processes order writes by the time of day, so keep their clocks in sync. The documentation of `S3Cache` says what a
 * difference costs.
 *
 * Cloud Storage does not expire single objects. Expired ones stay until they are overwritten, or until a lifecycle rule
 * of the bucket deletes them: set its age some days above the longest lifetime. Versioning and soft delete of the
 * bucket are best left off.
 *
 * ```json
 * {
 *   "rule": [{ "action": { "type": "Delete" }, "condition": { "age": 8, "matchesPrefix": ["ec1/entries/"] } }]
 * }
 * ```
 *
 * The store needs the role `roles/storage.objectUser` on the bucket.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Cached } from "effect-cached"
 * import * as GcsCache from "effect-cached/GcsCache"
 *
 * const getReport = Cached.ttl((id: number) => Effect.succeed({ id }), { key: "report:{}", ttl: "1 day" })
 *
 * const program = getReport(42).pipe(Effect.provide(GcsCache.layer({ bucket: "my-cache" })))
 * ```
 *
 * @since 0.1.0
 */
import { Storage, type StorageOptions } from "@google-cloud/storage"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Backend from "./Backend.js"
import { CacheStore, fromBytes } from "./CacheStore.js"
import * as ObjectBackend from "./internal/backends/object/backend.js"
import { GcsObjects } from "./internal/backends/object/gcs.js"
import { defaultConcurrency } from "./internal/backends/object/limits.js"
import { decodeFinite } from "./internal/options.js"

/**
 * The options of a store, whether its client is its own or lent.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommonOptions extends CacheStore.Options, CacheStore.BytesOptions, ObjectBackend.Options {
  /** The name of an existing bucket. It is not created. If it is missing, or access is denied, reads load. */
  readonly bucket: string
  /** The beginning of the name of every object. Default: `ec1/`. Pass `""` to use none. */
  readonly prefix?: string | undefined
  /** The store's name in metrics and logs. Default: `gcs`. */
  readonly name?: string | undefined
}

/**
 * The options of a store with a client of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends CommonOptions {
  /**
   * The options of the client: `projectId`, `keyFilename` and so on. A request is tried once, unless `retryOptions` say
   * otherwise.
   */
  readonly client?: StorageOptions | undefined
}

const backendOf = (client: Storage, options: CommonOptions): Effect.Effect<Backend.Backend> =>
  Effect.suspend(() => {
    const { bucket, concurrency = defaultConcurrency, name = "gcs", prefix = "ec1/" } = options
    const objects = new GcsObjects(client, { bucket, prefix, name, concurrency })
    return Effect.map(ObjectBackend.make(objects, options), (bytes) => fromBytes(bytes, options))
  })

/**
 * The backend alone, to be used as a tier. It has a client of its own. The client cannot be closed: it keeps its
 * connections until the other side closes them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backend = (options: Options): Effect.Effect<Backend.Backend> =>
  Effect.suspend(() => {
    const timeout = decodeFinite("timeout", options.timeout ?? "5 seconds", options.name ?? "gcs")
    return backendOf(new Storage({ timeout, retryOptions: { autoRetry: false }, ...options.client }), options)
  })

/**
 * A Service for a tag of your own: `Layer.scoped(Reports, GcsCache.make({ bucket: "my-cache", prefix: "reports/" }))`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<CacheStore.Service, never, Scope.Scope> =>
  Effect.flatMap(backend(options), (backend) => CacheStore.make(backend, options))

/**
 * A store over a client of its own. If the bucket is missing, denied or unreachable, the Layer is built all the same:
 * reads load, and the failure is logged once at Warning.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<CacheStore> => Layer.scoped(CacheStore, make(options))

/**
 * A store over a client of its own, with options from Config.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (config: Config.Config.Wrap<Options>): Layer.Layer<CacheStore, ConfigError> =>
  Layer.scoped(CacheStore, Effect.flatMap(Config.unwrap(config), make))

/**
 * A store over a client that is lent to it. Build the client with `retryOptions: { autoRetry: false }`: if it sends a
 * conditional write twice, the second may be refused because the first was carried out.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFromClient = (client: Storage, options: CommonOptions): Layer.Layer<CacheStore> =>
  Layer.scoped(
    CacheStore,
    Effect.flatMap(backendOf(client, options), (backend) => CacheStore.make(backend, options))
  )
