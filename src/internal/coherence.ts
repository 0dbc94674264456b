/**
 * What a copy in memory is worth while other processes write to the medium below it.
 *
 * While the way on which they tell of their writes is `Armed`, a copy counts from the moment it came, unless it came
 * before: something may have been missed. While it is `Blind`, a copy counts no longer than `blindTtl` after it came or
 * after the last moment at which the way was known to be good, whichever is later. So whatever breaks, no reader is
 * answered with what was invalidated more than `blindTtl` ago.
 */
import type { Entry } from "../Entry.js"
import type { Io } from "./io.js"
import type { MarkTable } from "./marks.js"

export class Coherence {
  private armedAt = Number.NEGATIVE_INFINITY
  /** `undefined` while armed */
  private blindSince: number | undefined = Number.NEGATIVE_INFINITY
  private readonly io: Io
  private readonly marks: MarkTable
  private readonly blindTtl: number

  constructor(io: Io, marks: MarkTable, blindTtl: number) {
    this.io = io
    this.marks = marks
    this.blindTtl = blindTtl
  }

  get isBlind(): boolean {
    return this.blindSince !== undefined
  }

  arm(): void {
    this.armedAt = this.io.now()
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
    entry.since = this.io.now()
    if (this.blindSince !== undefined) entry.epoch = -1
  }

  trusts(entry: Entry): boolean {
    if (this.blindSince === undefined) {
      if (entry.since >= this.armedAt) return true
    } else if (entry.since >= this.armedAt) {
      entry.epoch = -1
      return this.io.now() < Math.max(this.blindSince, entry.since) + this.blindTtl
    }
    entry.epoch = -1
    return false
  }
}
