/**
 * Objects in a bucket of S3, or of a service that speaks its protocol and supports conditional writes.
 */
import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client
} from "@aws-sdk/client-s3"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import { CacheStoreError } from "../../../CacheError.js"
import { Reported, reported } from "../../report.js"
import * as Metadata from "./metadata.js"
import type { Condition, Head, ObjectStore, Page, Put, Stored } from "./objectStore.js"

/** The most bytes of an unwanted body that are read to the end, because a new connection would cost more. */
const drainLimit = 65_536

/** The name of the object that shows whether the service removes on a condition. */
const probe = "probe"

/** How many objects one `DeleteObjects` request may name. */
const deleteLimit = 1_000

const failureOf = ({ cause }: CacheStoreError): Partial<Reported> => (cause instanceof Reported ? cause : {})

const isDisconnected = ({ code, name, status }: Reported): boolean =>
  status === undefined && ((typeof code === "string" && /^E[A-Z_]+$/.test(code)) || name === "TimeoutError")

const isAbsent = (error: CacheStoreError): boolean => {
  const { name } = failureOf(error)
  return name === "NoSuchKey" || name === "NotFound"
}

/**
 * Whether a write failed because its condition did not hold. After a second attempt of the client this is uncertain,
 * and counts as an error: the object that was found may be the one that the first attempt wrote.
 */
const isConflict = (error: CacheStoreError): boolean => {
  const { attempts = 1, name, status } = failureOf(error)
  const isRefused = status === 412 || name === "ConditionalRequestConflict" || name === "NoSuchKey"
  return isRefused && attempts === 1
}

const orAbsent = <A>(answer: Effect.Effect<A, CacheStoreError>): Effect.Effect<A | undefined, CacheStoreError> =>
  Effect.catchIf(answer, isAbsent, () => Effect.succeed(undefined))

const headOf = (answer: Pick<GetObjectCommandOutput, "ContentLength" | "ETag" | "Metadata">): Head => ({
  // Without the quotes, as in Amazon's examples: the gateway of Ceph compares the part between them.
  version: answer.ETag?.replaceAll('"', "") ?? "",
  ...Metadata.parse(answer.Metadata),
  size: answer.ContentLength
})

const conditionHeaders = (condition: Condition) =>
  condition === undefined ? {} : condition === null ? { IfNoneMatch: "*" } : { IfMatch: condition }

export class S3Objects implements ObjectStore {
  readonly name: string
  private readonly client: S3Client
  private readonly bucket: string
  private readonly prefix: string

  constructor(
    client: S3Client,
    { bucket, name, prefix }: { readonly bucket: string; readonly prefix: string; readonly name: string }
  ) {
    this.client = client
    this.bucket = bucket
    this.prefix = prefix
    this.name = name
  }

  private at(object: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.bucket, Key: Metadata.bucketKey(this.prefix, object) }
  }

  private request<A>(
    method: string,
    send: (abortSignal: AbortSignal) => PromiseLike<A>
  ): Effect.Effect<A, CacheStoreError> {
    return Effect.tryPromise({
      try: send,
      catch: (error) => {
        const cause = reported(error)
        const reason = isDisconnected(cause) ? "Disconnected" : "Rejected"
        return new CacheStoreError({ reason, store: this.name, method, cause })
      }
    })
  }

  head(object: string): Effect.Effect<Head | undefined, CacheStoreError> {
    return this.request("head", (abortSignal) =>
      this.client.send(new HeadObjectCommand(this.at(object)), { abortSignal })
    ).pipe(Effect.map(headOf), orAbsent)
  }

  read(object: string, wants: (head: Head) => boolean): Effect.Effect<Stored | undefined, CacheStoreError> {
    const get = this.request("get", (abortSignal) =>
      this.client.send(new GetObjectCommand(this.at(object)), { abortSignal })
    )
    return Effect.acquireUseRelease(
      Effect.interruptible(orAbsent(get)),
      (answer) => (answer === undefined ? Effect.succeed(undefined) : this.readBody(answer, wants)),
      // A body that was not read to its end would keep its connection busy.
      (answer) => Effect.sync(() => answer?.Body !== undefined && "destroy" in answer.Body && answer.Body.destroy())
    )
  }

  private readBody(
    answer: GetObjectCommandOutput,
    wants: (head: Head) => boolean
  ): Effect.Effect<Stored, CacheStoreError> {
    const head = headOf(answer)
    const { Body, ContentLength = Number.POSITIVE_INFINITY } = answer
    const isWanted = wants(head)
    if (Body === undefined || !(isWanted || ContentLength <= drainLimit)) {
      return Effect.succeed({ ...head, bytes: undefined })
    }
    return Effect.map(
      this.request("get", () => Body.transformToByteArray()),
      (bytes) => ({ ...head, bytes: isWanted ? bytes : undefined })
    )
  }

  write(object: string, put: Put, condition: Condition): Effect.Effect<boolean, CacheStoreError> {
    return this.request("put", (abortSignal) =>
      this.client.send(
        new PutObjectCommand({
          ...this.at(object),
          Body: put.bytes,
          ContentLength: put.bytes.length,
          ContentType: "application/octet-stream",
          Metadata: Metadata.print(put),
          ...conditionHeaders(condition)
        }),
        { abortSignal }
      )
    ).pipe(
      Effect.as(true),
      Effect.catchIf(
        (error) => condition !== undefined && isConflict(error),
        () => Effect.succeed(false)
      )
    )
  }

  remove(objects: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<CacheStoreError | undefined>, CacheStoreError> {
    const chunks = Arr.chunksOf(objects, deleteLimit)
    return Effect.map(
      Effect.forEach(chunks, (chunk) => this.removeChunk(chunk)),
      (answers) => answers.flat()
    )
  }

  private removeChunk(
    objects: ReadonlyArray<string>
  ): Effect.Effect<ReadonlyArray<CacheStoreError | undefined>, CacheStoreError> {
    const method = "removeMany"
    const keys = objects.map((object) => this.at(object).Key)
    const command = new DeleteObjectsCommand({
      Bucket: this.bucket,
      Delete: { Quiet: true, Objects: keys.map((Key) => ({ Key })) }
    })
    return Effect.map(
      this.request(method, (abortSignal) => this.client.send(command, { abortSignal })),
      ({ Errors = [] }) => {
        const failed = new Map(Errors.map((error) => [error.Key, error]))
        return keys.map((key) => {
          const cause = failed.get(key)
          return cause && new CacheStoreError({ reason: "Rejected", store: this.name, method, cause })
        })
      }
    )
  }

  // ----------------------------------------------------------------------------------------------------------- sweep

  list(from: string | undefined): Effect.Effect<Page, CacheStoreError> {
    const Prefix = Metadata.entriesPrefix(this.prefix)
    const command = new ListObjectsV2Command({ Bucket: this.bucket, Prefix, ContinuationToken: from })
    return Effect.map(
      this.request("sweep", (abortSignal) => this.client.send(command, { abortSignal })),
      ({ Contents = [], NextContinuationToken }) => ({
        objects: Contents.flatMap(({ Key }) => (Key === undefined ? [] : [{ name: Key.slice(Prefix.length) }])),
        next: NextContinuationToken
      })
    )
  }

  removeIf(object: string, version: string): Effect.Effect<boolean, CacheStoreError> {
    const command = new DeleteObjectCommand({ ...this.at(object), IfMatch: version })
    return this.request("sweep", (abortSignal) => this.client.send(command, { abortSignal })).pipe(
      Effect.as(true),
      Effect.catchIf(isConflict, () => Effect.succeed(false))
    )
  }

  /**
   * Removes an object of its own, on a condition that does not hold. A service that does not know conditions removes it
   * all the same, and would so remove an entry that was just written.
   */
  canRemoveIf(): Effect.Effect<boolean, CacheStoreError> {
    const bytes = new Uint8Array([1])
    const put: Put = { bytes, meta: undefined, lifetime: 0, contentDigest: "" }
    const absent = "0".repeat(32)
    return Effect.zipRight(this.write(probe, put, undefined), this.removeIf(probe, absent)).pipe(
      Effect.map((isRemoved) => !isRemoved),
      // a service may refuse the condition as such
      Effect.catchIf(
        ({ reason }) => reason === "Rejected",
        () => Effect.succeed(false)
      ),
      Effect.zipLeft(Effect.ignore(this.remove([probe])))
    )
  }
}
