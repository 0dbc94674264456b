/**
 * The entries in an object store. The envelope decides how they are read and written: `envelopeV1.ts` orders the writes
 * of all processes, `foreignEnvelope.ts` cannot.
 */
import type * as Effect from "effect/Effect"
import type * as Backend from "../../../Backend.js"
import { type CacheStoreError, SerializerError } from "../../../CacheError.js"
import type { Limits } from "./limits.js"
import type { Head, ObjectStore } from "./objectStore.js"

type Method<A> = Effect.Effect<A, CacheStoreError>

/** The answer to one read. */
export interface Answer {
  readonly found: Backend.Found<Uint8Array>
  /** The stamp of the tombstone that was found instead of an entry. */
  readonly tombstone?: number | undefined
}

export interface Entries {
  readonly get: (read: Backend.Read) => Method<Answer>
  readonly set: (write: Backend.Write<Uint8Array>) => Method<Backend.Written>
  readonly setIfAbsent: (
    write: Backend.Write<Uint8Array>,
    options: { readonly now: number; readonly replacing: number | undefined }
  ) => Method<Backend.Written>
  readonly removeMany: (removals: ReadonlyArray<Backend.Removal>) => Method<ReadonlyArray<Backend.Written>>
  /** Lists keys, if the objects contain them. */
  readonly list?: ((listing: Backend.Listing) => Method<Backend.KeyPage>) | undefined
  /** Frees the dead entries. */
  readonly sweep: (sweep: Backend.Sweep) => Method<void>
  /**
   * The latest stamp of an entry that this process has read: the clock of its writer may be ahead of this process's
   * clock. `-Infinity` before the first read, and always for envelopes without a stamp.
   */
  readonly latestStamp: () => number
}

/** The parts that both implementations are built from. */
export interface Parts {
  readonly objects: ObjectStore
  /** The largest object that is read or written, in bytes. */
  readonly maxBytes: number
  readonly limits: Limits
  /** The time of day on a live clock, which stamps are taken from. */
  readonly now: () => number
}

/** Whether an object is too large to be read. Only a foreign writer makes one, or a store with larger limits. */
export const isTooLarge = ({ size = 0 }: Pick<Head, "size">, maxBytes: number): boolean => size > maxBytes

/** What an object that is too large is to a reader or a writer. */
export const tooLarge = (reason: "Encode" | "Decode", maxBytes: number, stamp?: number): SerializerError =>
  new SerializerError({
    reason,
    path: "envelope",
    detail: `is larger than ${maxBytes} bytes, the limit that maxValueBytes sets for a value with its key and tags`,
    stamp
  })
