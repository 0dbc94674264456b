/**
 * Objects in a bucket of Google Cloud Storage. The version of an object is its generation, which changes when the bytes
 * are written, and its metageneration, which changes when the metadata are written.
 */
import { type Bucket, CRC32C, type File, type Storage } from "@google-cloud/storage"
import * as Effect from "effect/Effect"
import { CacheStoreError } from "../../../CacheError.js"
import { Reported, reported } from "../../report.js"
import { isEntryName, parseHeader } from "./format.js"
import * as Metadata from "./metadata.js"
import type { Condition, Head, ObjectStore, Page, Put, Stored } from "./objectStore.js"

/**
 * How many bytes the first request of a read asks for. `writeMeta` writes a smaller object as a whole, so that the next
 * read finds its times in the bytes; of a larger one it writes only the metadata.
 */
const firstPart = 65_536

/** How many objects one request lists. */
const pageSize = 1_000

/** A range of the bytes of an object, and the headers of the answer. */
interface Part {
  readonly bytes: Uint8Array
  readonly generation: string | undefined
  readonly metageneration: string | undefined
  /** The size of the whole object. */
  readonly total: number
  readonly crc32c: string | undefined
}

const partOf = (headers: Readonly<Record<string, string | undefined>>, bytes: Uint8Array): Part => ({
  bytes,
  generation: headers["x-goog-generation"],
  metageneration: headers["x-goog-metageneration"],
  total: Number(/\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1] ?? bytes.length),
  crc32c: /crc32c=([^, ]+)/.exec(headers["x-goog-hash"] ?? "")?.[1]
})

const crc32cOf = (bytes: Uint8Array): string => {
  const crc = new CRC32C()
  crc.update(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
  return crc.toString()
}

const versionOf = (generation: unknown, metageneration: unknown): string => `${generation}/${metageneration}`

/** Requires both parts of the version: a write of bytes must not overwrite newer metadata that it has not seen. */
const matchVersion = (version: string) => {
  const [ifGenerationMatch, ifMetagenerationMatch] = version.split("/")
  return { ifGenerationMatch: ifGenerationMatch!, ifMetagenerationMatch: ifMetagenerationMatch! }
}

const preconditions = (condition: Condition) =>
  condition === undefined
    ? {}
    : { preconditionOpts: condition === null ? { ifGenerationMatch: 0 } : matchVersion(condition) }

const hasCode =
  (...codes: ReadonlyArray<number>) =>
  ({ cause }: CacheStoreError): boolean =>
    cause instanceof Reported && codes.some((code) => code === cause.code)

/** Turns the errors that a predicate selects into an answer. */
const recover = <A, B>(
  effect: Effect.Effect<A, CacheStoreError>,
  when: (error: CacheStoreError) => boolean,
  answer: B
): Effect.Effect<A | B, CacheStoreError> => Effect.catchIf(effect, when, () => Effect.succeed(answer))

export class GcsObjects implements ObjectStore {
  readonly name: string
  private readonly bucket: Bucket
  private readonly prefix: string
  private readonly concurrency: number

  constructor(
    client: Storage,
    options: {
      readonly bucket: string
      readonly prefix: string
      readonly name: string
      /** How many objects are deleted at once. */
      readonly concurrency: number
    }
  ) {
    this.bucket = client.bucket(options.bucket)
    this.prefix = options.prefix
    this.name = options.name
    this.concurrency = options.concurrency
  }

  private file(object: string, generation?: string): File {
    return this.bucket.file(Metadata.bucketKey(this.prefix, object), generation === undefined ? {} : { generation })
  }

  private failure(method: string, cause: unknown): CacheStoreError {
    const { code, type } = (cause ?? {}) as { readonly code?: unknown; readonly type?: unknown }
    const reason =
      type === "request-timeout"
        ? "Timeout"
        : typeof code === "string" && code.startsWith("E")
          ? "Disconnected"
          : "Rejected"
    return new CacheStoreError({ reason, store: this.name, method, cause: reported(cause) })
  }

  /** Sends a request. The client cannot cancel it: after an interruption its answer is ignored. */
  private request<A>(method: string, send: () => PromiseLike<A>): Effect.Effect<A, CacheStoreError> {
    return Effect.tryPromise({ try: send, catch: (cause) => this.failure(method, cause) })
  }

  // ----------------------------------------------------------------------------------------------------------- reads

  head(object: string): Effect.Effect<Head | undefined, CacheStoreError> {
    const head = Effect.map(
      this.request("head", () => this.file(object).getMetadata()),
      ([{ generation, metadata, metageneration }]): Head => ({
        version: versionOf(generation, metageneration),
        ...Metadata.parse(metadata)
      })
    )
    return recover(head, hasCode(404), undefined)
  }

  read(object: string, wants: (head: Head) => boolean): Effect.Effect<Stored | undefined, CacheStoreError> {
    return Effect.gen(this, function* () {
      const first = yield* this.downloadFirst(object)
      if (first === undefined) return undefined
      const { generation } = first
      const head = yield* this.headAfter(object, first)
      if (head === undefined) return undefined
      const known = { ...head, size: first.total }
      const isReplaced = generation !== undefined && !known.version.startsWith(`${generation}/`)
      if (isReplaced) return yield* this.read(object, wants)
      if (!wants(known)) return { ...known, bytes: undefined }
      const bytes = yield* this.downloadRest(object, first)
      if (bytes === undefined) return yield* this.read(object, wants)
      if (first.crc32c !== undefined && first.crc32c !== crc32cOf(bytes)) {
        return yield* this.failure("get", new Reported("the bytes received do not match the checksum of the object"))
      }
      return { ...known, bytes }
    })
  }

  private downloadFirst(object: string): Effect.Effect<Part | undefined, CacheStoreError> {
    const first = this.download(this.file(object), 0, firstPart - 1)
    // An empty object has no first byte, so the range is refused.
    return recover(recover(first, hasCode(416), partOf({}, new Uint8Array())), hasCode(404), undefined)
  }

  /** The head of an object whose first bytes have been read. It takes a request only if these bytes do not suffice. */
  private headAfter(object: string, first: Part): Effect.Effect<Head | undefined, CacheStoreError> {
    const { bytes, generation, metageneration } = first
    const meta = parseHeader(bytes)
    // The times in the bytes are valid as long as the metadata have not been written separately.
    const isComplete =
      generation !== undefined && metageneration === "1" && (meta !== undefined || !isEntryName(object))
    return isComplete ? Effect.succeed({ version: versionOf(generation, metageneration), meta }) : this.head(object)
  }

  /** All bytes of an object whose first bytes have been read. `undefined` if the object has been replaced meanwhile. */
  private downloadRest(object: string, first: Part): Effect.Effect<Uint8Array | undefined, CacheStoreError> {
    const { bytes, generation, total } = first
    if (total <= bytes.length) return Effect.succeed(bytes)
    const rest = this.download(this.file(object, generation), bytes.length)
    return recover(
      Effect.map(rest, (part) => Buffer.concat([bytes, part.bytes])),
      hasCode(404),
      undefined
    )
  }

  /**
   * Downloads a range. The stream is read to its end: abandoning it would end the connections of all other requests.
   */
  private download(file: File, start: number, end?: number): Effect.Effect<Part, CacheStoreError> {
    return Effect.async((resume) => {
      const chunks: Array<Uint8Array> = []
      let headers: Record<string, string | undefined> = {}
      file
        .createReadStream({ start, decompress: false, validation: false, ...(end === undefined ? {} : { end }) })
        .on("response", (response: { readonly headers: typeof headers }) => {
          headers = response.headers
        })
        .on("data", (chunk: Uint8Array) => chunks.push(chunk))
        .on("error", (cause) => resume(Effect.fail(this.failure("get", cause))))
        .on("end", () => resume(Effect.succeed(partOf(headers, Buffer.concat(chunks)))))
    })
  }

  // ---------------------------------------------------------------------------------------------------------- writes

  write(object: string, put: Put, condition: Condition): Effect.Effect<boolean, CacheStoreError> {
    const save = this.request("put", () =>
      this.file(object).save(put.bytes, {
        resumable: false,
        // The server checks the checksum below. The client would check it after the upload, and on a difference delete
        // the object, which may have been written by another process by then.
        validation: false,
        metadata: {
          contentType: "application/octet-stream",
          crc32c: crc32cOf(put.bytes),
          metadata: Metadata.print(put)
        },
        ...preconditions(condition)
      })
    )
    return recover(Effect.as(save, true), (error) => condition !== undefined && hasCode(412)(error), false)
  }

  writeMeta(object: string, put: Put, version: string): Effect.Effect<boolean, CacheStoreError> {
    if (put.bytes.length <= firstPart) return this.write(object, put, version)
    const update = this.request("put", () =>
      this.file(object).setMetadata({ metadata: Metadata.print(put) }, matchVersion(version))
    )
    return recover(Effect.as(update, true), hasCode(404, 412), false)
  }

  remove(objects: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<CacheStoreError | undefined>> {
    return Effect.forEach(
      objects,
      (object) =>
        Effect.match(
          this.request("removeMany", () => this.file(object).delete({ ignoreNotFound: true })),
          { onFailure: (error) => error, onSuccess: () => undefined }
        ),
      { concurrency: this.concurrency }
    )
  }

  // ----------------------------------------------------------------------------------------------------------- sweep

  list(from: string | undefined): Effect.Effect<Page, CacheStoreError> {
    const prefix = Metadata.entriesPrefix(this.prefix)
    const query = {
      prefix,
      autoPaginate: false,
      maxResults: pageSize,
      ...(from === undefined ? {} : { pageToken: from })
    }
    return Effect.map(
      this.request("sweep", () => this.bucket.getFiles(query)),
      ([files, next]) => ({
        objects: files.map(({ metadata, name }) => ({
          name: name.slice(prefix.length),
          head: {
            version: versionOf(metadata.generation, metadata.metageneration),
            ...Metadata.parse(metadata.metadata)
          }
        })),
        next: (next as { readonly pageToken?: string } | null)?.pageToken
      })
    )
  }

  removeIf(object: string, version: string): Effect.Effect<boolean, CacheStoreError> {
    const removed = this.request("sweep", () => this.file(object).delete(matchVersion(version)))
    return recover(Effect.as(removed, true), hasCode(404, 412), false)
  }
}
