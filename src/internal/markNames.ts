/**
 * The names of invalidation marks, and their hashes. A mark has a name and a stamp, and invalidates everything that
 * carries the name and began before the stamp. Every backend stores marks under these names, so processes of different
 * releases understand each other.
 */
import { utf8ToBytes } from "@noble/hashes/utils.js"

/** The mark that `CacheStore.clear` raises. It applies to every entry. */
export const everything = "*"

/**
 * The mark that `CacheStore.expireAll` raises, always as an expiry. It applies to every entry, and is of the kind of the
 * marks of functions. A mark of its own leaves the other marks in force: what they have invalidated does not come back.
 */
export const everyEntry = "f*"

/** The mark that invalidates every entry of one function. */
export const ownerMark = (owner: string): string => `f:${owner}`

/** The mark that invalidates every entry with one tag. */
export const tagMark = (tag: string): string => `t:${tag}`

/**
 * The names beside that of a mark that was raised by an expiry. An expiry makes what is older stale. It raises the mark
 * itself, so that a process of the previous release, which knows no expiries, takes what is older for invalidated. The
 * names beside it tell the others what has happened:
 *
 * - `x:` has the stamp of the latest expiry. A mark with another stamp was raised by an invalidation.
 * - `e:` has the time of the latest expiry, in place of a stamp.
 * - `i:` has the stamp of the latest invalidation before it.
 *
 * They are raised in this order, with the mark itself before `i:`. Marks are folded in the order in which they were
 * raised, so `i:` is never lost before the mark. A mark that lost another name is that of an invalidation.
 */
export const expiryNames = (name: string) => ({ stamp: `x:${name}`, time: `e:${name}`, before: `i:${name}` })

/** Whether a name stands beside that of a mark. */
export const isExpiryName = (name: string): boolean => /^[xei]:/.test(name)

/** Whether a name has the stamp of the latest expiry of a mark. */
export const isExpiryStamp = (name: string): boolean => name.startsWith("x:")

/** Whether a name has a time in place of a stamp. */
export const isExpiryTime = (name: string): boolean => name.startsWith("e:")

export const isTagMark = (name: string): boolean => name.startsWith("t:")

/** The most bytes of a name: those of an owner or a tag that `Envelope.v1` can hold, and two in front. */
export const maxNameBytes = 65_537

/** Whether no entry can carry a name, because it is longer than `Envelope.v1` can hold. */
export const isTooLong = (name: string): boolean =>
  name.length > maxNameBytes || (name.length * 3 > maxNameBytes && utf8ToBytes(name).length > maxNameBytes)

/** How many marks a store in memory or in Redis keeps apart by default. Beyond it, the oldest are folded. */
export const maxMarks = 1_000_000

/** How many marks an object store keeps apart. They are one object, which every invalidation writes anew. */
export const maxObjectMarks = 10_000

/** The number of buckets that the oldest marks of each kind fold into. */
export const bucketCount = 65_536

const two32 = 4_294_967_296

/** A hash of bytes modulo 2³². The scripts of Redis compute it, too: each product is exact as a double. */
const step = (hash: number, byte: number, factor: number): number => (Math.imul(hash, factor) + byte) >>> 0

const factor1 = 65_599
const factor2 = 31_337

/**
 * The hash of a mark: 52 bits of a hash of its name, and one that tells marks of tags from those of functions. The lower
 * half is the one that buckets are made of.
 */
export const hashOf = (name: string): number => {
  let low = 0
  let high = 0
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    if (code > 127) return hashOfBytes(utf8ToBytes(name), isTagMark(name))
    low = step(low, code, factor1)
    high = step(high, code, factor2)
  }
  return combined(low, high, isTagMark(name))
}

const hashOfBytes = (bytes: Uint8Array, isTag: boolean): number => {
  let low = 0
  let high = 0
  for (const byte of bytes) {
    low = step(low, byte, factor1)
    high = step(high, byte, factor2)
  }
  return combined(low, high, isTag)
}

/** The further steps spread names that differ only at their ends over all buckets. */
const combined = (low: number, high: number, isTag: boolean): number =>
  ((high >>> 12) * 2 + (isTag ? 1 : 0)) * two32 + step(step(step(low, 0, factor1), 0, factor1), 0, factor1)

export const isTagHash = (hash: number): boolean => Math.floor(hash / two32) % 2 === 1

/** The bucket of a mark: the upper 16 bits of the lower half of its hash. */
export const bucketOf = (hash: number): number => Math.floor((hash % two32) / bucketCount)

/** The text of a bucket, as backends store it: the kind of the marks and the number. */
export const bucketText = (name: string): string => `${name.charAt(0)}${bucketOf(hashOf(name))}`
