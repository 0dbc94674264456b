/**
 * A bounded map that evicts by SIEVE (Zhang et al., NSDI 2024): a hit sets a bit and moves nothing; a hand goes from the
 * oldest to the newest, clears the bits it finds set and takes out the first entry whose bit is clear. On a list through
 * the entries themselves, because the order of a Map degrades under deletion, and a node beside the entry is one more
 * place in memory for each hit to go to.
 *
 * What has expired goes first: each write looks at two entries behind a second hand, so that dead entries leave without
 * being met, and nothing has to run in the background.
 */
import type { RemovalCause } from "../../../CacheEvent.js"
import { Entry } from "../../../Entry.js"

export class Sieve {
  private readonly entries = new Map<string, Entry>()
  private newest: Entry | undefined = undefined
  private oldest: Entry | undefined = undefined
  private hand: Entry | undefined = undefined
  private sweeper: Entry | undefined = undefined
  private readonly capacity: number
  listener: (key: string, cause: RemovalCause, entry: Entry) => void = () => {}

  constructor(capacity: number) {
    this.capacity = capacity
  }

  get size(): number {
    return this.entries.size
  }

  get(key: string): Entry | undefined {
    const entry = this.entries.get(key)
    // a bit that is set already is not set again: that would be one more line of memory to write back
    if (entry !== undefined && !entry.visited) entry.visited = true
    return entry
  }

  set(key: string, given: Entry, now: number): void {
    // an entry has one place; one that another store holds is copied
    const entry = given.key === undefined ? given : new Entry(given.value, given)
    entry.key = key
    const before = this.entries.get(key)
    if (before !== undefined) {
      this.replace(before, entry)
      this.listener(key, before.expiresAt <= now ? "expired" : "replaced", before)
    } else {
      this.sweep(now)
      if (this.entries.size >= this.capacity) this.evict(now)
      entry.older = this.newest
      if (this.newest === undefined) this.oldest = entry
      else this.newest.newer = entry
      this.newest = entry
    }
    this.entries.set(key, entry)
    this.sweep(now)
  }

  remove(key: string): boolean {
    const entry = this.entries.get(key)
    if (entry === undefined) return false
    this.take(entry, "explicit")
    return true
  }

  private sweep(now: number): void {
    const entry = this.sweeper ?? this.oldest
    if (entry === undefined) return
    this.sweeper = entry.newer
    if (entry.expiresAt <= now) this.take(entry, "expired")
  }

  private evict(now: number): void {
    let entry = this.hand ?? this.oldest
    while (entry?.visited && entry.expiresAt > now) {
      entry.visited = false
      entry = entry.newer ?? this.oldest
    }
    if (entry === undefined) return
    this.hand = entry.newer
    this.take(entry, entry.expiresAt <= now ? "expired" : "capacity")
  }

  /** puts an entry in the place of another; being written counts as being used */
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

  private take(entry: Entry, cause: RemovalCause): void {
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

  private release(entry: Entry): void {
    entry.key = undefined
    entry.newer = undefined
    entry.older = undefined
  }
}
