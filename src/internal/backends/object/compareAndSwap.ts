/**
 * A write that depends on the object it replaces: it reads the head of the object, decides, and writes only if the
 * object is still the same. If another process was faster, it starts again.
 */
import * as Effect from "effect/Effect"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError } from "../../../CacheError.js"
import { Reported } from "../../report.js"
import type { Head, ObjectStore, Put, Stored } from "./objectStore.js"

/** The number of further attempts after a write has lost to another process. */
const retries = 10

export interface Change {
  /** The name of the object. */
  readonly name: string
  /** The method that an error names. */
  readonly method: string
  /** Returns the new object, or the outcome if nothing is to be written. */
  readonly decide: (found: Stored | undefined) => Put | Backend.Written
  /** Reads the object if its bytes are needed to decide. Default: its head alone. */
  readonly look?: ((name: string) => Effect.Effect<Stored | undefined, CacheStoreError>) | undefined
}

const headOf =
  (objects: ObjectStore) =>
  (name: string): Effect.Effect<Stored | undefined, CacheStoreError> =>
    Effect.map(objects.head(name), (head) => head && { ...head, bytes: undefined })

/** Whether the object in the store is the very object to write, times and stamp included. */
const isSame = (put: Put, { contentDigest, meta }: Head): boolean =>
  meta !== undefined &&
  contentDigest !== undefined &&
  meta.isTombstone === put.meta?.isTombstone &&
  meta.stamp === put.meta.stamp &&
  meta.createdAt === put.meta.createdAt &&
  meta.freshUntil === put.meta.freshUntil &&
  meta.expiresAt === put.meta.expiresAt &&
  contentDigest === put.contentDigest

/** Writes an object. Sends only its times and stamp if the stored content is the same and the store supports that. */
const writeOver = (
  objects: ObjectStore,
  name: string,
  put: Put,
  head: Head | undefined
): Effect.Effect<boolean, CacheStoreError> => {
  if (head === undefined) return objects.write(name, put, null)
  return objects.writeMeta !== undefined && head.contentDigest !== undefined && head.contentDigest === put.contentDigest
    ? objects.writeMeta(name, put, head.version)
    : objects.write(name, put, head.version)
}

/** Reads the head, decides and writes, until no other process writes in between. */
export const compareAndSwap = (
  objects: ObjectStore,
  { decide, look = headOf(objects), method, name }: Change
): Effect.Effect<Backend.Written, CacheStoreError> =>
  Effect.gen(function* () {
    for (let attempt = 0; attempt <= retries; attempt++) {
      const head = yield* look(name)
      const put = decide(head)
      if ("_tag" in put) return put
      // The entry may be stored already: by another process, or by a request of this one whose answer was lost.
      const isDone = (head !== undefined && isSame(put, head)) || (yield* writeOver(objects, name, put, head))
      if (isDone) return { _tag: "Written", stamp: put.meta!.stamp }
    }
    return yield* new CacheStoreError({
      reason: "Rejected",
      store: objects.name,
      method,
      cause: new Reported(
        `the object changed ${retries} times in a row between reading and writing it: too many processes write one key`
      )
    })
  })
