/**
 * The contract between a store in memory and its eviction policy. The store has the keys, the values and the buffer of
 * records; it decides when something must leave. The policy knows the indices of records and the hashes of keys, and
 * decides what leaves. It writes only the fields `newer`, `older` and `word` of records that were added.
 *
 * For a key that is not stored yet, the store calls in this order:
 *
 * 1. `missed`, with the hash of the key.
 * 2. `victim`, while there are entries and the weight of all and of the new one is more than the capacity. It removes
 *    each victim, with `remove`.
 * 3. `add`, with an index whose record contains the hash.
 *
 * On a hit the store compares the lowest byte of the field `word` with `generation`, and calls `touched` if they differ,
 * or if the highest bit is set, which is the store's own: the policy leaves it as it is while an entry is here.
 * Most hits end with the comparison, which costs less than a call.
 */

export interface Policy {
  /**
   * The current generation: a number from 0 to 255, or one that no entry has, so that each hit is reported. It changes
   * when entries are added, never on a hit.
   */
  readonly generation: number
  /** The number of entries. */
  readonly size: number
  /** The sum of their weights: their number, unless the store weighs. */
  readonly weight: number
  /** Returns the seeded hash of a key, or 0 where the policy has no use for it. */
  hash(key: string): number
  /** Records the use of an entry of an earlier generation. */
  touched(index: number): void
  /** Records that a key was not found and is about to be added. */
  missed(hash: number): void
  /** Adds an entry. Its `hash` must stand in its record. A weight is a whole number from 0 to 2^32 - 1. */
  add(index: number, weight: number): void
  /** Gives an entry another weight. */
  reweigh(index: number, weight: number): void
  /** Removes an entry, whatever the reason. */
  remove(index: number): void
  /** The record of an entry was copied to another index, which was not in use. The old one is not read any more. */
  move(from: number, to: number): void
  /** The buffer of records has become smaller. */
  shrink(): void
  /** Chooses the entry that leaves next to make room for one of a weight. Returns -1 if there is none. */
  victim(weight: number): number
  /** Forgets all entries and everything learnt, and frees the memory. The fields of their records are not written. */
  clear(): void
}

/** What a policy is made with. */
export interface Options {
  /** The largest weight of all entries together, and their largest number unless the store weighs. */
  readonly capacity: number
  /** Whether entries have weights. Without, each counts as 1, and no memory is needed for them. */
  readonly weighted: boolean
  /** Random in each process, so that nobody can choose keys that steer the policy. Any 32-bit integer. */
  readonly seed: number
}
