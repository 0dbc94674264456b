/**
 * A bounded map with SIEVE eviction (Zhang et al., NSDI 2024). A hit sets a bit and moves nothing. To evict, a hand
 * moves from the oldest entry to the newest, clears the bits that are set, and removes the first entry whose bit is
 * clear.
 *
 * The entries themselves form the linked list. The `Map` could not give the order: it finds its first key more slowly
 * the more keys were deleted before it. A list node beside each entry would be one more place in memory that every hit
 * visits.
 *
 * Dead entries, which have expired or which a mark has invalidated, go first. Each write checks the entry at a second
 * hand (a new key checks two entries, a replaced one a single entry), so dead entries are removed even if nobody reads
 * them, without a background task.
 */
import type { RemovalCause } from "../../../CacheEvent.js"
import { Entry, lifeEnd } from "../../../Entry.js"

export class Sieve {
  private readonly entries = new Map<string, Entry>()
  private newest: Entry | undefined = undefined
  private oldest: Entry | undefined = undefined
  /** The next entry to consider for eviction. */
  private hand: Entry | undefined = undefined
  /** The next entry to check for expiry. */
  private sweeper: Entry | undefined = undefined
  private readonly capacity: number
  /** Every entry with a stamp up to this one is invalidated. */
  private floor = Number.NEGATIVE_INFINITY
  /** The latest stamp that an entry has had here. */
  private latest = Number.NEGATIVE_INFINITY
  /** The number of entries with a stamp up to `floor`. */
  private cleared = 0
  /** Whether a mark has invalidated an entry. Mutable by design: `followMarks` of the backend sets it. */
  isInvalidated: (entry: Entry) => boolean = () => false
  /** Called for each entry that leaves. Mutable by design: `onRemoved` of the backend sets it. */
  listener: (key: string, cause: RemovalCause, entry: Entry) => void = () => {}

  constructor(capacity: number) {
    this.capacity = capacity
  }

  /** The number of entries, without those that `clear` has invalidated. */
  get size(): number {
    return this.entries.size - this.cleared
  }

  /** All entries that are here at the beginning, dead ones included. Entries may come and go meanwhile. */
  *all(): Generator<Entry> {
    let left = this.entries.size
    for (const entry of this.entries.values()) {
      if (left-- === 0) return
      yield entry
    }
  }

  /**
   * Invalidates every entry with a stamp up to `floor`. The entries here are older, as a rule, so that none of them
   * counts any more. Where one is newer, they count until they are removed: it would take a scan to tell them apart.
   */
  clear(floor: number): void {
    if (floor <= this.floor || floor < this.latest) return
    this.floor = floor
    this.cleared = this.entries.size
  }

  get(key: string): Entry | undefined {
    const entry = this.entries.get(key)
    // a bit that is already set is not written again, which would dirty a cache line
    if (entry !== undefined && !entry.visited) entry.visited = true
    return entry
  }

  /** As `get`, and is no use of the entry. */
  peek(key: string): Entry | undefined {
    return this.entries.get(key)
  }

  set(key: string, given: Entry, now: number): void {
    // an entry has the links of one list only, so an entry that a store in memory already holds is copied
    const entry = given.key === undefined ? given : new Entry(given.value, given)
    entry.key = key
    if (entry.stamp > this.latest) this.latest = entry.stamp
    if (entry.stamp <= this.floor) this.cleared++
    const before = this.entries.get(key)
    if (before !== undefined) {
      this.replace(before, entry)
      this.listener(key, lifeEnd(before) <= now ? "expired" : "replaced", before)
    } else {
      this.sweep(now, entry)
      if (this.entries.size >= this.capacity) this.evict(now)
      entry.older = this.newest
      if (this.newest === undefined) this.oldest = entry
      else this.newest.newer = entry
      this.newest = entry
    }
    this.entries.set(key, entry)
    this.sweep(now, entry)
  }

  remove(key: string): boolean {
    const entry = this.entries.get(key)
    if (entry === undefined) return false
    this.drop(entry, "explicit")
    return true
  }

  /** Removes an entry that a sweep has found dead. Returns `false` if it is not here any more. */
  free(entry: Entry, cause: RemovalCause): boolean {
    if (entry.key === undefined || this.entries.get(entry.key) !== entry) return false
    this.drop(entry, cause)
    return true
  }

  /** Removes the entry at the second hand if it is dead. One that is being set may be: an expired one, see `expiry.ts`. */
  private sweep(now: number, set: Entry): void {
    const entry = this.sweeper ?? this.oldest
    if (entry === undefined) return
    this.sweeper = entry.newer
    if (entry === set) return
    if (lifeEnd(entry) <= now) this.drop(entry, "expired")
    else if (this.isInvalidated(entry)) this.drop(entry, "explicit")
  }

  /** Makes room for an entry. */
  private evict(now: number): void {
    let entry = this.hand ?? this.oldest
    while (entry?.visited && lifeEnd(entry) > now && !this.isInvalidated(entry)) {
      entry.visited = false
      entry = entry.newer ?? this.oldest
    }
    if (entry === undefined) return
    this.hand = entry.newer
    this.drop(entry, lifeEnd(entry) <= now ? "expired" : "capacity")
  }

  /** Puts an entry in the place of another. A write counts as a use. */
  private replace(before: Entry, entry: Entry): void {
    entry.visited = true
    entry.newer = before.newer
    entry.older = before.older
    if (entry.newer === undefined) this.newest = entry
    else entry.newer.older = entry
    if (entry.older === undefined) this.oldest = entry
    else entry.older.newer = entry
    if (this.hand === before) this.hand = entry
    if (this.sweeper === before) this.sweeper = entry
    this.release(before)
  }

  /** Removes an entry from the map and the list, and notifies the listener. */
  private drop(entry: Entry, cause: RemovalCause): void {
    const key = entry.key!
    if (this.hand === entry) this.hand = entry.newer
    if (this.sweeper === entry) this.sweeper = entry.newer
    if (entry.newer === undefined) this.newest = entry.older
    else entry.newer.older = entry.older
    if (entry.older === undefined) this.oldest = entry.newer
    else entry.older.newer = entry.newer
    this.entries.delete(key)
    this.release(entry)
    this.listener(key, cause, entry)
  }

  /** Clears the links, so that another store can hold the entry. */
  private release(entry: Entry): void {
    if (entry.stamp <= this.floor) this.cleared--
    entry.key = undefined
    entry.newer = undefined
    entry.older = undefined
  }
}
