/**
 * Marks: how `clear` and tag invalidation reach ten entries and ten million at the same cost. Nothing is walked. A mark
 * says "what began before this is gone", and an entry is compared with the marks that concern it: the floor, its
 * owner's, its tags'. A hit compares one number: the epoch in which the entry was last found alive.
 */
import type * as Backend from "../../../Backend.js"
import type { Header } from "../../../Entry.js"
import { everything, isTagMark, maxMarks, ownerMark, tagMark } from "../../markNames.js"

export class MarkTable {
  /** raised with every change; mutable by design */
  epoch = 0
  private floor = Number.NEGATIVE_INFINITY
  /** the same without what was raised only because marks were lost */
  private cleared = Number.NEGATIVE_INFINITY
  private latestTag = Number.NEGATIVE_INFINITY
  private readonly marks = new Map<string, number>()
  private readonly onFold: () => void

  constructor(onFold: () => void) {
    this.onFold = onFold
  }

  raise(name: string, stamp: number): void {
    this.epoch++
    if (name === everything) return this.lift(stamp)
    const before = this.marks.get(name)
    if (before !== undefined && before >= stamp) return
    // deleted first, so that the order of the map is the order of raising
    this.marks.delete(name)
    this.marks.set(name, stamp)
    if (isTagMark(name) && stamp > this.latestTag) this.latestTag = stamp
    if (this.marks.size > maxMarks) {
      this.onFold()
      for (const [oldest, at] of this.marks) {
        this.marks.delete(oldest)
        this.lift(at)
        break
      }
    }
  }

  merge(marks: Backend.Marks): void {
    if (marks.floor > marks.lost) this.cleared = Math.max(this.cleared, marks.floor)
    if (marks.floor > this.floor) {
      this.epoch++
      this.floor = marks.floor
    }
    for (const [name, stamp] of marks.raised) this.raise(name, stamp)
  }

  private lift(stamp: number): void {
    if (stamp > this.floor) this.floor = stamp
    if (stamp > this.cleared) this.cleared = stamp
  }

  /** whether an entry is still there, for its owner or for another who takes it for his */
  admits(entry: Header, owner = entry.owner): boolean {
    return entry.stamp > this.floor && this.isUnmarked(entry, owner)
  }

  /** whether nobody took it away: an entry that was kept through a loss of marks */
  spares(entry: Header): boolean {
    return entry.stamp > this.cleared && this.isUnmarked(entry, entry.owner)
  }

  private isUnmarked(entry: Header, owner: string): boolean {
    if (this.marks.size === 0) return true
    if (this.after(ownerMark(owner), entry.stamp)) return false
    for (let i = 0; i < entry.tags.length; i++) {
      if (this.after(tagMark(entry.tags[i]!), entry.stamp)) return false
    }
    return true
  }

  /**
   * Whether a load that began at `stamp` may still be joined. Tags that are computed from the value are not known yet:
   * any later tag mark might concern it.
   */
  admitsLoad(stamp: number, owner: string, tags: ReadonlyArray<string> | "computed"): boolean {
    if (stamp <= this.floor || this.after(ownerMark(owner), stamp)) return false
    return tags === "computed" ? stamp > this.latestTag : !tags.some((tag) => this.after(tagMark(tag), stamp))
  }

  private after(name: string, stamp: number): boolean {
    const mark = this.marks.get(name)
    return mark !== undefined && stamp <= mark
  }
}
