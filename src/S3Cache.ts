/**
 * Entries in a bucket of S3, or of what speaks its protocol and knows conditional writes: shared by every process, for
 * values that are large or dear, since a hit is a request to S3. Best as the last of several tiers.
 *
 * S3 may be slow, or refuse: reads then load, values are delivered all the same, and what was invalidated meanwhile is
 * delivered when it is back.
 *
 * What stands in the bucket, under `prefix`: `marks`, an object for the marks of `clear` and of tags, and below
 * `entries/` an object per entry, whose name is a hash of the key (`Envelope.v1`, the key before the value), or the trace
 * of its removal. When an entry was made and until when it lives stands in the metadata besides, so that the body of one
 * that has expired is not fetched. A read is one `GetObject`. A write is a `HeadObject` and then a `PutObject` that S3
 * carries out only if what was seen still stands there (law 8).
 *
 * Processes order what they do by the time of their machines, which is to be kept: by as much as two differ, an
 * invalidation by the one behind may miss what the other wrote just before, unless it has read it, and after a `clear` by
 * the one ahead the other keeps nothing. By more than a minute, law 8 holds per process.
 *
 * S3 does not expire single objects: those that are dead stay until they are written again, or until a rule of the
 * bucket ends them, some days after the longest life. Objects are best not versioned.
 *
 * ```json
 * {
 *   "Rules": [
 *     { "ID": "cache", "Status": "Enabled", "Filter": { "Prefix": "ec1/entries/" }, "Expiration": { "Days": 8 } }
 *   ]
 * }
 * ```
 *
 * The permissions it takes are `s3:GetObject` and `s3:PutObject` on `ec1/*` (with another `envelope` `s3:DeleteObject`,
 * too), and `s3:ListBucket` on the bucket: without that, S3 answers "denied" for what is not there.
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
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig
} from "@aws-sdk/client-s3"
import * as Arr from "effect/Array"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Backend from "./Backend.js"
import { CacheStoreError } from "./CacheError.js"
import { CacheStore, fromBytes } from "./CacheStore.js"
import * as ObjectBackend from "./internal/backends/object/backend.js"
import { isEntry } from "./internal/backends/object/format.js"
import * as ObjectMetadata from "./internal/backends/object/metadata.js"
import type { Head, Objects } from "./internal/backends/object/objectStore.js"

/**
 * How entries are kept, whoever made the client.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommonOptions extends CacheStore.Options, CacheStore.BytesOptions, ObjectBackend.Options {
  /** one that is there: it is not made. Where it is missing, or denied, reads load */
  readonly bucket: string
  /** what the name of every object begins with, default `ec1/`; an empty one must be written */
  readonly prefix?: string | undefined
  /** the store's name in metrics and logs, default `s3` */
  readonly name?: string | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends CommonOptions {
  /** how the client is made: `region`, `endpoint`, `credentials` and so on. It tries twice, unless `maxAttempts` is given */
  readonly client?: S3ClientConfig | undefined
}

/** up to how many bytes what is not wanted is read all the same: less than a new connection costs */
const drained = 65_536

/** how many objects one request may delete */
const deletedAtOnce = 1_000

/** what the client may tell of an error */
interface Failure {
  readonly name?: unknown
  readonly code?: unknown
  readonly $metadata?: { readonly httpStatusCode?: number | undefined; readonly attempts?: number | undefined }
}

const failureOf = ({ cause }: CacheStoreError): Failure => (typeof cause === "object" && cause !== null ? cause : {})

const isDisconnected = ({ $metadata, code, name }: Failure): boolean =>
  $metadata?.httpStatusCode === undefined &&
  ((typeof code === "string" && /^E[A-Z_]+$/.test(code)) || name === "TimeoutError")

const isAbsent = (error: CacheStoreError): boolean => {
  const { name } = failureOf(error)
  return name === "NoSuchKey" || name === "NotFound"
}

/** what stands there is not what it was to be. After another attempt it may have been this very write that put it there */
const isOutrun = (error: CacheStoreError): boolean => {
  const { $metadata, name } = failureOf(error)
  const isRefused = $metadata?.httpStatusCode === 412 || name === "ConditionalRequestConflict" || name === "NoSuchKey"
  return isRefused && ($metadata?.attempts ?? 1) === 1
}

const headOf = (answer: {
  readonly ETag?: string | undefined
  readonly Metadata?: Record<string, string> | undefined
}): Head => ({
  // as Amazon's own examples send it: gateways of Ceph compare what is between the quotes
  version: answer.ETag?.replaceAll('"', "") ?? "",
  ...ObjectMetadata.parse(answer.Metadata)
})

const objectsOf = (client: S3Client, options: CommonOptions): Objects => {
  const { bucket, name: store = "s3", prefix = "ec1/" } = options
  const keyOf = (object: string) => prefix + (isEntry(object) ? ObjectMetadata.entries : "") + object
  const at = (object: string) => ({ Bucket: bucket, Key: keyOf(object) })

  const ask = <A>(method: string, send: (abortSignal: AbortSignal) => PromiseLike<A>) =>
    Effect.tryPromise({
      try: send,
      catch: (cause) =>
        new CacheStoreError({
          reason: isDisconnected(cause as Failure) ? "Disconnected" : "Rejected",
          store,
          method,
          cause
        })
    })
  const orAbsent = <A>(answer: Effect.Effect<A, CacheStoreError>) =>
    Effect.catchIf(answer, isAbsent, () => Effect.succeed(undefined))

  const deleteSome = (objects: ReadonlyArray<string>) =>
    Effect.map(
      ask("removeMany", (abortSignal) =>
        client.send(
          new DeleteObjectsCommand({
            Bucket: bucket,
            Delete: { Quiet: true, Objects: objects.map((object) => ({ Key: keyOf(object) })) }
          }),
          { abortSignal }
        )
      ),
      ({ Errors = [] }) => {
        const failed = new Map(Errors.map((error) => [error.Key, error]))
        return objects.map((object) => {
          const cause = failed.get(keyOf(object))
          return cause && new CacheStoreError({ reason: "Rejected", store, method: "removeMany", cause })
        })
      }
    )

  return {
    name: store,
    head: (object) =>
      ask("head", (abortSignal) => client.send(new HeadObjectCommand(at(object)), { abortSignal })).pipe(
        Effect.map(headOf),
        orAbsent
      ),
    read: (object, wants) =>
      Effect.acquireUseRelease(
        Effect.interruptible(
          orAbsent(ask("get", (abortSignal) => client.send(new GetObjectCommand(at(object)), { abortSignal })))
        ),
        (answer) => {
          if (answer === undefined) return Effect.succeed(undefined)
          const head = headOf(answer)
          const { Body, ContentLength = Number.POSITIVE_INFINITY } = answer
          const isWanted = wants(head)
          if (Body === undefined || !(isWanted || ContentLength <= drained))
            return Effect.succeed({ ...head, bytes: undefined })
          return Effect.map(
            ask("get", () => Body.transformToByteArray()),
            (bytes) => ({ ...head, bytes: isWanted ? bytes : undefined })
          )
        },
        // a body that was not read to its end takes its connection along
        (answer) => Effect.sync(() => answer?.Body !== undefined && "destroy" in answer.Body && answer.Body.destroy())
      ),
    write: (object, put, condition) =>
      ask("put", (abortSignal) =>
        client.send(
          new PutObjectCommand({
            ...at(object),
            Body: put.bytes,
            ContentLength: put.bytes.length,
            ContentType: "application/octet-stream",
            Metadata: ObjectMetadata.print(put),
            ...(condition === undefined ? {} : condition === null ? { IfNoneMatch: "*" } : { IfMatch: condition })
          }),
          { abortSignal }
        )
      ).pipe(
        Effect.as(true),
        Effect.catchIf(
          (error) => condition !== undefined && isOutrun(error),
          () => Effect.succeed(false)
        )
      ),
    remove: (objects) =>
      Effect.map(Effect.forEach(Arr.chunksOf(objects, deletedAtOnce), deleteSome), (answers) => answers.flat())
  }
}

const backendOf = (client: S3Client, options: CommonOptions): Effect.Effect<Backend.Backend> =>
  Effect.map(ObjectBackend.make(objectsOf(client, options), options), (medium) => fromBytes(medium, options))

/**
 * The medium alone, as a tier takes it: the client is made, closing the Scope closes it.
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
 * A Service for a tag of one's own: `Layer.scoped(Reports, S3Cache.make({ bucket: "my-cache", prefix: "reports/" }))`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<CacheStore.Service, never, Scope.Scope> =>
  Effect.flatMap(backend(options), (medium) => CacheStore.make(medium, options))

/**
 * A store over a client that is made for it. A bucket that is missing, denied or out of reach does not fail the Layer:
 * reads load, and it is said once at Warning.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<CacheStore> => Layer.scoped(CacheStore, make(options))

/**
 * The same from Config.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (config: Config.Config.Wrap<Options>): Layer.Layer<CacheStore, ConfigError> =>
  Layer.scoped(CacheStore, Effect.flatMap(Config.unwrap(config), make))

/**
 * A store over a client that is lent, and left open.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFromClient = (client: S3Client, options: CommonOptions): Layer.Layer<CacheStore> =>
  Layer.scoped(
    CacheStore,
    Effect.flatMap(backendOf(client, options), (medium) => CacheStore.make(medium, options))
  )
