/**
 * Hash tables whose keys collide. A table looks up each new key among all that have the same hash, so keys that are
 * chosen to collide take quadratic time: some megabytes of them block a process for minutes. V8 hashes a bigint by its
 * low 64 bits, and Effect's hash of a text or a number is easy to invert.
 */

/** How many others a key may be compared with on average. Keys that nobody has chosen to collide stay far below. */
const maxComparisons = 256

const low64 = (key: bigint): bigint => BigInt.asUintN(64, key < 0n ? -key : key)

/** Whether keys with these hashes take too many comparisons. */
export const areTooMany = (hashes: ReadonlyArray<number | bigint>): boolean => {
  // with fewer keys, not even equal hashes are too many
  if (hashes.length <= 2 * maxComparisons) return false
  const counts = new Map<number | bigint, number>()
  let comparisons = 0
  for (const hash of hashes) {
    const count = counts.get(hash) ?? 0
    comparisons += count
    counts.set(hash, count + 1)
  }
  return comparisons > maxComparisons * hashes.length
}

/** Whether the bigints among the keys of a `Map` or a `Set` take too many comparisons. */
export const areTooManyBigints = (size: number, keys: Iterable<unknown>): boolean => {
  if (size <= 2 * maxComparisons) return false
  const hashes: Array<bigint> = []
  for (const key of keys) if (typeof key === "bigint") hashes.push(low64(key))
  return areTooMany(hashes)
}

/** The refusal of such a table. */
export const refusal = "has keys whose hashes collide, and would take too long to read"
