/**
 * What a copy in memory is worth while other processes write to the medium below it.
 *
 * While the way on which they tell of their writes is `Armed`, a copy counts from the moment it came, unless it came
 * before: something may have been missed. While it is `Blind`, a copy counts no longer than `blindTtl` after it came or
 * after the last moment at which the way was known to be good, whichever is later. So whatever breaks, no reader is
 * answered with what was invalidated more than `blindTtl` ago.
 *
 * What the medium below did not take counts for `blindTtl`, too: otherwise every process would keep the value that it
 * loaded itself in an outage too short to make it blind.
 */
import type { Entry } from "../../../Entry.js"
import type { MarkTable } from "../io/markTable.js"
import type { StoreRuntime } from "../storeRuntime.js"

export class Coherence {
  private armedAt = Number.NEGATIVE_INFINITY
  /** `undefined` while armed */
  private blindSince: number | undefined = Number.NEGATIVE_INFINITY
  /** copies of what the tier below did not take: there, others find something else */
  private readonly doubted = new WeakSet<Entry>()
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

  arm(): void {
    this.armedAt = this.runtime.now()
    this.blindSince = undefined
    this.marks.epoch++
  }

  /** every copy is asked for its age from now on: none has the new epoch */
  blind(since: number): void {
    this.blindSince = since
    this.marks.epoch++
  }

  /** an entry comes to the tier in memory */
  welcome(entry: Entry): void {
    entry.copy = { since: this.runtime.now(), held: Number.POSITIVE_INFINITY }
    if (this.blindSince !== undefined) entry.epoch = -1
  }

  doubt(entry: Entry): void {
    this.doubted.add(entry)
    entry.epoch = -1
  }

  /** whether what is from this moment on the live clock counts, where nothing was heard that outdates it */
  counts(since: number): boolean {
    if (since < this.armedAt) return false
    return this.blindSince === undefined || this.runtime.now() < Math.max(this.blindSince, since) + this.blindTtl
  }

  trusts(entry: Entry): boolean {
    const since = entry.copy?.since ?? Number.NEGATIVE_INFINITY
    if (this.blindSince === undefined && since >= this.armedAt && !this.doubted.has(entry)) return true
    // to be asked again at every read
    entry.epoch = -1
    return this.counts(since) && (!this.doubted.has(entry) || this.runtime.now() < since + this.blindTtl)
  }
}
