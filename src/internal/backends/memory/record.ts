/**
 * The layout of a record: what a store in memory knows of an entry, without its key and value, in 56 bytes. The records
 * of a store lie in one growing buffer, and an entry is known by its index. What a hit reads lies together, so that it is
 * in one cache line of the processor for three records out of four. With an array per field, a hit in a store that is
 * larger than the processor's caches would read a line for each field.
 *
 * The buffer is viewed as numbers of eight bytes (`f64`, four per record, at `index * 7`), and as integers of four bytes
 * (`i32`, six per record behind them, at `index * 14`).
 */

/** The size of a record in bytes, and in elements of each view. */
export const bytes = 56
export const f64Length = 7
export const i32Length = 14

/** The offsets of the fields in the view `f64`: the times and the stamp of the entry. */
export const createdAt = 0
export const expiresAt = 1
export const stamp = 2
/**
 * Until when a read is answered at once, which is also the end of freshness unless the store says otherwise. While no
 * read has decided until when that is, it is the end of freshness with a minus in front, which no time is before.
 */
export const until = 3

/** The offsets of the fields in the view `i32`. */
export const owner = 8
export const epoch = 9
/** What the eviction policy knows of the entry. Its lowest byte is the generation of the last use. */
export const word = 10
/** The hash of the key. */
export const hash = 11
/** The neighbours in the queue of the eviction policy. A record that is not in use may hold what its owner likes. */
export const newer = 12
export const older = 13

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
