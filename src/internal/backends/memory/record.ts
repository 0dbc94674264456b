/**
 * The layout of a record: what a store in memory knows of an entry, without its key and value, in 64 bytes. The records
 * of a store lie in one growing buffer, and an entry is known by its index. One record is one cache line of the
 * processor, so that a hit reads one line. An array per field needs less memory (no padding), and a hit in a store that
 * is larger than the processor's caches reads a line for each field.
 *
 * The buffer is viewed as numbers of eight bytes (`f64`, five per record, at `index * 8`), and as integers of four bytes
 * (`i32`, six per record behind them, at `index * 16`).
 */

/** The size of a record in bytes, and in elements of each view. */
export const bytes = 64
export const f64Length = 8
export const i32Length = 16

/** The offsets of the fields in the view `f64`: the times and the stamp of the entry. */
export const until = 0
export const expiresAt = 1
export const createdAt = 2
export const stamp = 3
export const freshUntil = 4

/** The offsets of the fields in the view `i32`. */
export const owner = 10
export const epoch = 11
/** The neighbours in the queue of the eviction policy. A record that is not in use may hold what its owner likes. */
export const newer = 12
export const older = 13
/** The hash of the key. */
export const hash = 14
/** What the eviction policy knows of the entry. Its lowest byte is the generation of the last use. */
export const word = 15

/** The bits of `word` that hold the generation of the last use. */
export const generationMask = 0xff
/** The bit of `word` that makes it differ from every generation, so that each hit is reported: see `limits.ts`. */
export const reported = 1 << 31
/** The bits of `word` that a hit compares with the generation. */
export const hitMask = generationMask | reported

/** The records of a store, as its eviction policy sees them. The store replaces `i32` when the buffer grows. */
export interface Records {
  readonly i32: Int32Array
}
