/**
 * How long a copy in memory counts while other processes write to the backend below it.
 *
 * - While notifications of their writes arrive (`Armed`), a copy counts from the moment it was made. A copy from before
 *   that does not: a notification about it may have been missed.
 * - While they do not arrive (`Blind`), a copy counts for `blindTtl` from the moment it was made, or from the last
 *   moment at which the notifications were known to arrive, whichever is later. So whatever fails, no read is answered
 *   with a value that was invalidated more than `blindTtl` ago.
 * - A copy of a value that the backend below did not take (a doubted copy) counts for `blindTtl`, too. Otherwise, after
 *   an outage too short to be noticed, every process would keep the value that it loaded itself.
 */
import { change, type Entry } from "../../../Entry.js"
import type { MarkTable } from "../io/markTable.js"
import type { StoreRuntime } from "../storeRuntime.js"

/** An epoch that no mark table has: `LocalTier` asks `isTrusted` again at every read of such an entry. */
const checkEveryRead = -1

export class Coherence {
  private armedAt = Number.NEGATIVE_INFINITY
  /** The last moment at which notifications were known to arrive; `undefined` while armed. */
  private blindSince: number | undefined = Number.NEGATIVE_INFINITY
  private readonly runtime: StoreRuntime
  private readonly marks: MarkTable
  private readonly blindTtl: number

  constructor(runtime: StoreRuntime, marks: MarkTable, blindTtl: number) {
    this.runtime = runtime
    this.marks = marks
    this.blindTtl = blindTtl
  }

  get isBlind(): boolean {
    return this.blindSince !== undefined
  }

  /** Notifications arrive from now on. The new epoch makes the next read of every copy check it again. */
  arm(): void {
    this.armedAt = this.runtime.now()
    this.blindSince = undefined
    this.marks.epoch++
  }

  /** Notifications have not arrived since a moment. The new epoch makes the next read of every copy check it again. */
  goBlind(since: number): void {
    this.blindSince = since
    this.marks.epoch++
  }

  /** Notes when a copy was made. Called before the tier in memory keeps it. */
  copied(entry: Entry): void {
    const copy = { since: this.runtime.now(), held: Number.POSITIVE_INFINITY }
    change(entry, this.blindSince === undefined ? { copy } : { copy, epoch: checkEveryRead })
  }

  doubt(entry: Entry): void {
    const { held = Number.POSITIVE_INFINITY, since = Number.NEGATIVE_INFINITY } = entry.copy ?? {}
    change(entry, { copy: { ...entry.copy, since, held, isDoubted: true }, epoch: checkEveryRead })
  }

  /**
   * Whether something that was known at `since`, on the live clock, still counts if no notification has outdated it.
   */
  isCurrent(since: number): boolean {
    if (since < this.armedAt) return false
    return this.blindSince === undefined || this.runtime.now() < Math.max(this.blindSince, since) + this.blindTtl
  }

  isTrusted(entry: Entry): boolean {
    const since = entry.copy?.since ?? Number.NEGATIVE_INFINITY
    if (this.blindSince === undefined && since >= this.armedAt && entry.copy?.isDoubted !== true) return true
    if (entry.epoch !== checkEveryRead) change(entry, { epoch: checkEveryRead })
    return this.counts(entry)
  }

  /** As `isTrusted`, and changes nothing. */
  counts(entry: Entry): boolean {
    const since = entry.copy?.since ?? Number.NEGATIVE_INFINITY
    return this.isCurrent(since) && (entry.copy?.isDoubted !== true || this.runtime.now() < since + this.blindTtl)
  }
}
