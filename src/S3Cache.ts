/**
 * A store that keeps entries in a bucket of S3, or of a service that speaks its protocol and supports conditional
 * writes. Every process shares it. A hit is a request to S3, so it suits values that are large or expensive to load,
 * best as the last of several tiers.
 *
 * If S3 is slow or refuses requests, reads load, callers get their values, and invalidations are delivered when it is
 * back.
 *
 * Under `prefix`, the bucket contains the object `marks`, with the marks of `clear` and of tags, and under `entries/`
 * one object for each entry, or the tombstone of its removal. The name of the object is a hash of the key, its content
 * is `Envelope.v1` with the key in front of the value. The times of an entry are stored in the metadata too, so the
 * body of an expired entry is not fetched. A read is one `GetObject`. A write is a `HeadObject` and a `PutObject` that
 * S3 carries out only if the object has not changed in between: law 8 (invalidation wins) holds across processes.
 *
 * Processes order writes by the time of day, so keep their clocks in sync. An invalidation from a clock that is *d*
 * behind may miss values that another process wrote within *d* before it, unless it has read them. After a `clear` by a
 * process whose clock is *d* ahead, the others store nothing for *d*. If clocks differ by more than a minute, law 8
 * (invalidation wins) holds within a process only.
 *
 * S3 does not expire single objects. Expired ones stay until they are overwritten, or until a lifecycle rule of the
 * bucket deletes them: set its age some days above the longest lifetime. Versioning of the bucket is best left off.
 *
 * ```json
 * {
 *   "Rules": [
 *     { "ID": "cache", "Status": "Enabled", "Filter": { "Prefix": "ec1/entries/" }, "Expiration": { "Days": 8 } }
 *   ]
 * }
 * ```
 *
 * The store needs the permissions `s3:GetObject` and `s3:PutObject` on `ec1/*` (with another `envelope`
 * `s3:DeleteObject`, too), and `s3:ListBucket` on the bucket: without the latter, S3 answers "denied" for objects that
 * do not exist.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Cached } from "effect-cached"
 * import * as S3Cache from "effect-cached/S3Cache"
 *
 * const getReport = Cached.ttl((id: number) => Effect.succeed({ id }), { key: "report:{}", ttl: "1 day" })
 *
 * const program = getReport(42).pipe(
 *   Effect.provide(S3Cache.layer({ bucket: "my-cache", client: { region: "eu-central-1" } }))
 * )
 * ```
 *
 * @since 0.1.0
 */
import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Backend from "./Backend.js"
import { CacheStore, fromBytes } from "./CacheStore.js"
import * as ObjectBackend from "./internal/backends/object/backend.js"
import { S3Objects } from "./internal/backends/object/s3.js"

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
  /** The store's name in metrics and logs. Default: `s3`. */
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
   * The options of the client: `region`, `endpoint`, `credentials` and so on. A request is tried twice, unless
   * `maxAttempts` says otherwise.
   */
  readonly client?: S3ClientConfig | undefined
}

const backendOf = (client: S3Client, options: CommonOptions): Effect.Effect<Backend.Backend> =>
  Effect.suspend(() => {
    const { bucket, name = "s3", prefix = "ec1/" } = options
    const objects = new S3Objects(client, { bucket, prefix, name })
    return Effect.map(ObjectBackend.make(objects, options), (bytes) => fromBytes(bytes, options))
  })

/**
 * The backend alone, to be used as a tier. It has a client of its own, which is closed with the Scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backend = (options: Options): Effect.Effect<Backend.Backend, never, Scope.Scope> =>
  Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(() => new S3Client({ maxAttempts: 2, ...options.client })),
      (client) => Effect.sync(() => client.destroy())
    ),
    (client) => backendOf(client, options)
  )

/**
 * A Service for a tag of your own: `Layer.scoped(Reports, S3Cache.make({ bucket: "my-cache", prefix: "reports/" }))`.
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
 * A store over a client that is lent to it. The client stays open when the Layer closes.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFromClient = (client: S3Client, options: CommonOptions): Layer.Layer<CacheStore> =>
  Layer.scoped(
    CacheStore,
    Effect.flatMap(backendOf(client, options), (backend) => CacheStore.make(backend, options))
  )
