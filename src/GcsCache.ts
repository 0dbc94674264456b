/**
 * Entries in a bucket of Google Cloud Storage: shared by every process, for values that are large or dear, since a hit is
 * a request. Best as the last of several tiers.
 *
 * The bucket may be slow, or refuse: reads then load, values are delivered all the same, and what was invalidated
 * meanwhile is delivered when it is back. One object takes about one write in a second, and refuses more: a refused
 * load is counted and not stored, a refused invalidation is delivered later.
 *
 * What stands in the bucket, under `prefix`: `marks`, an object for the marks of `clear` and of tags, and below
 * `entries/` an object per entry, whose name is a hash of the key (`Envelope.v1`, the key before the value), or the trace
 * of its removal. A read is one request for the first 64 kB, where the times stand, and one more for the rest, if there
 * is a rest and the entry has not expired. A write looks at the metadata, and is carried out only if that generation
 * still stands there (law 8). Where a value of more than 64 kB has not changed, only its times are written, into the
 * metadata; a hit then takes one request more.
 *
 * Processes order what they do by the time of their machines, which is to be kept: by as much as two differ, an
 * invalidation by the one behind may miss what the other wrote just before, unless it has read it, and after a `clear` by
 * the one ahead the other keeps nothing. By more than a minute, law 8 holds per process.
 *
 * Nothing expires single objects: those that are dead stay until they are written again, or until a rule of the bucket
 * ends them, some days after the longest life. The bucket is best without versions and without soft delete.
 *
 * ```json
 * {
 *   "rule": [{ "action": { "type": "Delete" }, "condition": { "age": 8, "matchesPrefix": ["ec1/entries/"] } }]
 * }
 * ```
 *
 * The role it takes is `roles/storage.objectUser` on the bucket.
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
import { CRC32C, type File, Storage, type StorageOptions } from "@google-cloud/storage"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Backend from "./Backend.js"
import { CacheStoreError } from "./CacheError.js"
import { CacheStore, fromBytes } from "./CacheStore.js"
import * as ObjectBackend from "./internal/backends/object/backend.js"
import { isEntry, metaIn } from "./internal/backends/object/format.js"
import * as ObjectMetadata from "./internal/backends/object/metadata.js"
import type { Head, Objects, Stored } from "./internal/backends/object/objectStore.js"

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
  /** the store's name in metrics and logs, default `gcs` */
  readonly name?: string | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends CommonOptions {
  /** how the client is made: `projectId`, `keyFilename` and so on. It tries once, unless `retryOptions` are given */
  readonly client?: StorageOptions | undefined
}

/** how many bytes are asked for at first, and from how many on times are written without the value */
const firstBytes = 65_536

interface Part {
  readonly bytes: Uint8Array
  readonly generation: string | undefined
  readonly metageneration: string | undefined
  /** how many bytes there are in all */
  readonly total: number
  readonly crc32c: string | undefined
}

const codeOf = ({ cause }: CacheStoreError): unknown =>
  typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined

const hasCode =
  (...codes: ReadonlyArray<number>) =>
  (error: CacheStoreError): boolean =>
    codes.some((code) => code === codeOf(error))

const partOf = (headers: Readonly<Record<string, string | undefined>>, bytes: Uint8Array): Part => ({
  bytes,
  generation: headers["x-goog-generation"],
  metageneration: headers["x-goog-metageneration"],
  total: Number(/\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1] ?? bytes.length),
  crc32c: /crc32c=([^, ]+)/.exec(headers["x-goog-hash"] ?? "")?.[1]
})

const versionOf = (generation: unknown, metageneration: unknown): string => `${generation}/${metageneration}`

const crc32cOf = (bytes: Uint8Array): string => {
  const crc = new CRC32C()
  crc.update(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
  return crc.toString()
}

/** also for a write: what was restated since is another version of the same generation */
const preconditions = (version: string) => {
  const [ifGenerationMatch, ifMetagenerationMatch] = version.split("/")
  return { ifGenerationMatch: ifGenerationMatch!, ifMetagenerationMatch: ifMetagenerationMatch! }
}

const objectsOf = (client: Storage, options: CommonOptions): Objects => {
  const { concurrency = 16, name: store = "gcs", prefix = "ec1/" } = options
  const bucket = client.bucket(options.bucket)
  const fileOf = (object: string, generation?: string): File =>
    bucket.file(
      prefix + (isEntry(object) ? ObjectMetadata.entries : "") + object,
      generation === undefined ? {} : { generation }
    )

  const failure = (method: string) => (cause: unknown) => {
    const { code, type } = (cause ?? {}) as { readonly code?: unknown; readonly type?: unknown }
    const reason =
      type === "request-timeout"
        ? "Timeout"
        : typeof code === "string" && code.startsWith("E")
          ? "Disconnected"
          : "Rejected"
    return new CacheStoreError({ reason, store, method, cause })
  }
  // the client knows no way to end what it has begun: an answer that is no longer waited for is not looked at
  const ask = <A>(method: string, send: () => PromiseLike<A>) =>
    Effect.tryPromise({ try: send, catch: failure(method) })
  const unless = <A, B>(
    answer: Effect.Effect<A, CacheStoreError>,
    isSo: (error: CacheStoreError) => boolean,
    then: B
  ): Effect.Effect<A | B, CacheStoreError> => Effect.catchIf(answer, isSo, () => Effect.succeed(then))

  const head = (object: string): Effect.Effect<Head | undefined, CacheStoreError> =>
    unless(
      Effect.map(
        ask("head", () => fileOf(object).getMetadata()),
        ([{ generation, metadata, metageneration }]) => ({
          version: versionOf(generation, metageneration),
          ...ObjectMetadata.parse(metadata)
        })
      ),
      hasCode(404),
      undefined
    )

  /** read to its end: a stream that is left before takes the connections of all others along */
  const download = (file: File, start: number, end?: number): Effect.Effect<Part, CacheStoreError> =>
    Effect.async((resume) => {
      const chunks: Array<Uint8Array> = []
      let headers: Record<string, string | undefined> = {}
      file
        .createReadStream({ start, decompress: false, validation: false, ...(end === undefined ? {} : { end }) })
        .on("response", (response: { readonly headers: typeof headers }) => {
          headers = response.headers
        })
        .on("data", (chunk: Uint8Array) => chunks.push(chunk))
        .on("error", (cause) => resume(Effect.fail(failure("get")(cause))))
        .on("end", () => resume(Effect.succeed(partOf(headers, Buffer.concat(chunks)))))
    })

  const read = (object: string, wants: (head: Head) => boolean): Effect.Effect<Stored | undefined, CacheStoreError> =>
    Effect.gen(function* () {
      const first = yield* unless(
        // there is no first byte of nothing
        unless(download(fileOf(object), 0, firstBytes - 1), hasCode(416), partOf({}, new Uint8Array())),
        hasCode(404),
        undefined
      )
      if (first === undefined) return undefined
      const { crc32c, generation, metageneration, total } = first
      const version = versionOf(generation, metageneration)
      const meta = metaIn(first.bytes)
      // as it was written: what stands in the bytes holds, if something does
      const isTold = generation !== undefined && metageneration === "1" && (meta !== undefined || !isEntry(object))
      const known = isTold ? { version, meta } : yield* head(object)
      if (known === undefined) return undefined
      if (generation !== undefined && !known.version.startsWith(`${generation}/`)) return yield* read(object, wants)
      if (!wants(known)) return { ...known, bytes: undefined }
      let { bytes } = first
      if (total > bytes.length) {
        const rest = yield* unless(download(fileOf(object, generation), bytes.length), hasCode(404), undefined)
        // replaced meanwhile
        if (rest === undefined) return yield* read(object, wants)
        bytes = Buffer.concat([bytes, rest.bytes])
      }
      if (crc32c !== undefined && crc32c !== crc32cOf(bytes)) {
        return yield* new CacheStoreError({
          reason: "Rejected",
          store,
          method: "get",
          cause: new Error("what came is not what its checksum says")
        })
      }
      return { ...known, bytes }
    })

  const write: Objects["write"] = (object, put, condition) =>
    unless(
      Effect.as(
        ask("put", () =>
          fileOf(object).save(put.bytes, {
            resumable: false,
            // it is refused if it comes otherwise; a check afterwards would remove what may be another's by then
            validation: false,
            metadata: {
              contentType: "application/octet-stream",
              crc32c: crc32cOf(put.bytes),
              metadata: ObjectMetadata.print(put)
            },
            ...(condition === undefined
              ? {}
              : { preconditionOpts: condition === null ? { ifGenerationMatch: 0 } : preconditions(condition) })
          })
        ),
        true
      ),
      (error) => condition !== undefined && hasCode(412)(error),
      false
    )

  return {
    name: store,
    head,
    read,
    write,
    restate: (object, put, version) =>
      put.bytes.length <= firstBytes
        ? write(object, put, version)
        : unless(
            Effect.as(
              ask("put", () =>
                fileOf(object).setMetadata({ metadata: ObjectMetadata.print(put) }, preconditions(version))
              ),
              true
            ),
            hasCode(404, 412),
            false
          ),
    remove: (objects) =>
      Effect.forEach(
        objects,
        (object) =>
          Effect.match(
            ask("removeMany", () => fileOf(object).delete({ ignoreNotFound: true })),
            { onFailure: (error) => error, onSuccess: () => undefined }
          ),
        { concurrency }
      )
  }
}

const backendOf = (client: Storage, options: CommonOptions): Effect.Effect<Backend.Backend> =>
  Effect.map(ObjectBackend.make(objectsOf(client, options), options), (medium) => fromBytes(medium, options))

/**
 * The medium alone, as a tier takes it. The client is made; it has nothing that could be closed, and keeps its
 * connections as long as the other side does.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backend = (options: Options): Effect.Effect<Backend.Backend> =>
  Effect.suspend(() => {
    const timeout = Duration.toMillis(options.timeout ?? "5 seconds")
    return backendOf(new Storage({ timeout, retryOptions: { autoRetry: false }, ...options.client }), options)
  })

/**
 * A Service for a tag of one's own: `Layer.scoped(Reports, GcsCache.make({ bucket: "my-cache", prefix: "reports/" }))`.
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
 * A store over a client that is lent. Give it `retryOptions: { autoRetry: false }`: a conditional write that is sent
 * twice may be refused because it was carried out.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFromClient = (client: Storage, options: CommonOptions): Layer.Layer<CacheStore> =>
  Layer.scoped(
    CacheStore,
    Effect.flatMap(backendOf(client, options), (medium) => CacheStore.make(medium, options))
  )
