/**
 * The table of invalidation marks. With marks, `clear` and tag invalidation cost the same for ten entries and ten
 * million: law 16 (no scans).
 *
 * A mark has a name and a stamp, and invalidates everything that carries the name and began before the stamp. An entry
 * is compared with the marks that concern it: the floor, its owner's, and those of its tags. A hit compares one number,
 * the epoch in which the entry was last found valid.
 */
import type * as Backend from "../../../Backend.js"
import type { Header } from "../../../Entry.js"
import { everything, isTagMark, maxMarks, ownerMark, tagMark } from "../../markNames.js"

export class MarkTable {
  /** Increased with every change, and by `Coherence`. Mutable by design. */
  epoch = 0
  /** Every entry with a stamp up to this one is invalidated. */
  private floor = Number.NEGATIVE_INFINITY
  /** The floor without its part that was raised only because a backend lost its marks. */
  private cleared = Number.NEGATIVE_INFINITY
  /** The latest stamp of any tag mark. */
  private latestTag = Number.NEGATIVE_INFINITY
  /** Stamps by name, the mark raised longest ago first. */
  private readonly marks = new Map<string, number>()
  /** Called when the oldest mark is merged into the floor, because there are more than `maxMarks`. */
  private readonly onMerge: () => void

  constructor(onMerge: () => void) {
    this.onMerge = onMerge
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
      this.onMerge()
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

  /** Whether no mark has invalidated an entry, for its owner or for another function that reads it as its own. */
  admits(entry: Header, owner = entry.owner): boolean {
    return entry.stamp > this.floor && this.isUnmarked(entry, owner)
  }

  /**
   * Whether nobody invalidated an entry, even if marks were lost since: for an entry that was kept through the loss.
   */
  admitsDespiteLoss(entry: Header): boolean {
    return entry.stamp > this.cleared && this.isUnmarked(entry, entry.owner)
  }

  private isUnmarked(entry: Header, owner: string): boolean {
    if (this.marks.size === 0) return true
    if (this.isMarked(ownerMark(owner), entry.stamp)) return false
    for (let i = 0; i < entry.tags.length; i++) {
      if (this.isMarked(tagMark(entry.tags[i]!), entry.stamp)) return false
    }
    return true
  }

  /** Whether no mark has invalidated what a load that began at `stamp` returns, if its value has these tags. */
  admitsLoad(stamp: number, owner: string, tags: ReadonlyArray<string>): boolean {
    if (stamp <= this.floor || this.isMarked(ownerMark(owner), stamp)) return false
    return !tags.some((tag) => this.isMarked(tagMark(tag), stamp))
  }

  /** Whether a tag was invalidated after a load began: it may be one of the tags that are computed from the value. */
  hasTagMarkSince(stamp: number): boolean {
    return stamp <= this.latestTag
  }

  /** Whether a mark invalidates an entry or a load with this stamp. */
  private isMarked(name: string, stamp: number): boolean {
    const mark = this.marks.get(name)
    return mark !== undefined && stamp <= mark
  }
}
