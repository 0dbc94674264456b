/**
 * The table of invalidation marks. With marks, `clear` and tag invalidation cost the same for ten entries and ten
 * million: law 16 (no scans).
 *
 * A mark has a name and a stamp, and invalidates everything that carries the name and began before the stamp. An entry
 * is compared with the marks that concern it: the floor, its owner's, and those of its tags. A hit compares one number,
 * the epoch in which the entry was last found valid.
 *
 * The table keeps hashes of the names, and at most `maxMarks` of them. Beyond it, the oldest marks fold into buckets by
 * their hash, those of tags apart from those of functions. A bucket has the latest stamp of the marks in it, so an entry
 * is also outdated if a tag of its own shares a bucket with a folded tag that was invalidated later. Entries without
 * tags are never affected by tags.
 *
 * A mark may have been raised by an expiry. Then it makes an older entry stale in place of invalidating it: the first
 * comparison changes the times of the entry, so that no later one has to. A load that is older stores nothing in either
 * case. See `markNames.ts` for what is known of an expiry.
 */
import type * as Backend from "../../../Backend.js"
import { Entry, type Header, makeStale } from "../../../Entry.js"
import {
  bucketCount,
  bucketOf,
  everyEntry,
  everything,
  hashOf,
  isExpiryName,
  isExpiryStamp,
  isTagHash,
  isTagMark,
  ownerMark,
  tagMark
} from "../../markNames.js"
import type { WallClock } from "../wallClock.js"

/** What is known of the latest expiry of a mark. Mutable by design. */
interface Expiry {
  /** Its stamp. The mark has another one if it was invalidated since. */
  stamp: number
  /** Its time, by which entries expire. `NaN` if it is not known. */
  at: number
  /** The stamp of the latest invalidation before it. */
  before: number
  /** The expiries between the two, the oldest first. What is older than one of them has been stale since then. */
  earlier: Array<Level> | undefined
}

/** An expiry that another one followed. What has its stamp or an older one became stale at `at`, or earlier. */
interface Level {
  readonly stamp: number
  readonly at: number
}

/** How many earlier expiries of a mark are kept apart. Beyond it, the two that are closest become one. */
const maxLevels = 8

/** Makes one expiry of the two that are closest: what was stored between them was stale a little earlier. */
const mergeClosest = (levels: Array<Level>): void => {
  let closest = 1
  for (let i = 2; i < levels.length; i++) if (gapBefore(levels, i) < gapBefore(levels, closest)) closest = i
  const [one, other] = levels.slice(closest - 1) as [Level, Level]
  levels.splice(closest - 1, 2, { stamp: other.stamp, at: Math.min(one.at, other.at) })
}

const gapBefore = (levels: ReadonlyArray<Level>, i: number): number => Math.abs(levels[i]!.at - levels[i - 1]!.at)

/** Why a mark refuses an entry. */
export type Refusal = { readonly reason: "cleared" } | { readonly reason: "tag"; readonly tag: string }

/** The clock of the readers of this process. */
export type ReadersClock = Pick<WallClock, "now" | "adjust">

const unknownClock: ReadersClock = { now: () => Number.POSITIVE_INFINITY, adjust: () => {} }

/** When what carries a mark became stale. */
const invalidated = Number.NEGATIVE_INFINITY
const unmarked = Number.POSITIVE_INFINITY

/** Everything that a table knows, for a snapshot. Of `expiries` each has four numbers, of the other lists each has two. */
export interface MarkRecords {
  readonly floor: number
  readonly cleared: number
  readonly latestTag: number
  /** Hashes and stamps, in the order of raising. */
  readonly marks: Float64Array
  /** Hashes, stamps, times, and stamps of the latest invalidations before. */
  readonly expiries: Float64Array
  /** Numbers and stamps of the buckets of tags. */
  readonly tagBuckets: Float64Array
  readonly ownerBuckets: Float64Array
}

/** The buckets with a stamp. */
const recordsOf = (buckets: Float64Array | undefined): Float64Array =>
  Float64Array.from(
    Array.from(buckets ?? []).flatMap((stamp, bucket) => (stamp === Number.NEGATIVE_INFINITY ? [] : [bucket, stamp]))
  )

export class MarkTable {
  /** Increased with every change, and by `Coherence`. Mutable by design. */
  epoch = 0
  /** Every entry with a stamp up to this one is invalidated. */
  private floor = Number.NEGATIVE_INFINITY
  /** The floor without its part that was raised only because a backend lost its marks. */
  private cleared = Number.NEGATIVE_INFINITY
  /** The latest stamp of any tag mark. */
  private latestTag = Number.NEGATIVE_INFINITY
  /** Stamps by the hash of the name, the mark raised longest ago first. */
  private readonly marks = new Map<number, number>()
  /** The expiries by the hash of the name, the one that was learned of first first. */
  private readonly expiries = new Map<number, Expiry>()
  /** The latest stamp in each bucket of tags. Made when the first mark is folded. */
  private tagBuckets: Float64Array | undefined
  /** The latest stamp in each bucket of functions. */
  private ownerBuckets: Float64Array | undefined
  /** The latest stamp in any bucket. */
  private latestFolded = Number.NEGATIVE_INFINITY
  private readonly maxMarks: number
  /** Called for every mark that is folded. */
  private readonly onFold: () => void
  /** Called when every entry up to a stamp is invalidated. Mutable by design: the engine sets it. */
  onFloor: (floor: number) => void = () => {}

  private readonly wallClock: ReadersClock

  constructor(maxMarks: number, onFold: () => void, wallClock: ReadersClock = unknownClock) {
    this.maxMarks = maxMarks
    this.onFold = onFold
    this.wallClock = wallClock
  }

  /** How many marks are kept apart. */
  get size(): number {
    return this.marks.size
  }

  raise(name: string, stamp: number): void {
    this.epoch++
    if (name === everything) return this.raiseFloor(stamp)
    if (isExpiryName(name)) return this.learnExpiry(name, stamp)
    if (stamp <= this.floor) return
    const hash = hashOf(name)
    const before = this.marks.get(hash)
    if (before !== undefined && before >= stamp) return
    // deleted first, so that the order of the map is the order of raising
    this.marks.delete(hash)
    this.marks.set(hash, stamp)
    if (isTagMark(name) && stamp > this.latestTag) this.latestTag = stamp
    if (this.marks.size > this.maxMarks) this.foldOldest()
  }

  /** Raises a mark that makes what is older stale from `at` on. */
  expire(name: string, stamp: number, at: number): void {
    const expiry = this.expiryOf(name)
    this.noteInvalidation(name, expiry)
    this.noteExpiry(expiry)
    expiry.stamp = stamp
    expiry.at = at
    this.raise(name, stamp)
  }

  /** Learns what a backend has under a name beside that of a mark. */
  private learnExpiry(name: string, value: number): void {
    const mark = name.slice(2)
    const expiry = this.expiryOf(mark)
    if (name.startsWith("e:")) expiry.at = value
    else if (name.startsWith("i:")) expiry.before = Math.max(expiry.before, value)
    else if (value > expiry.stamp) {
      this.noteInvalidation(mark, expiry, value)
      this.noteExpiry(expiry)
      expiry.stamp = value
    }
  }

  private expiryOf(name: string): Expiry {
    const hash = hashOf(name)
    const known = this.expiries.get(hash)
    if (known !== undefined) return known
    const never = Number.NEGATIVE_INFINITY
    const expiry: Expiry = { stamp: never, at: Number.NaN, before: never, earlier: undefined }
    this.expiries.set(hash, expiry)
    // without it, the mark is that of an invalidation
    if (this.expiries.size > this.maxMarks) this.expiries.delete(this.expiries.keys().next().value!)
    return expiry
  }

  /** Keeps the stamp of the latest invalidation, which a new expiry replaces in the mark. */
  private noteInvalidation(name: string, expiry: Expiry, replacing?: number): void {
    const mark = this.marks.get(hashOf(name))
    if (mark === undefined || mark === expiry.stamp || mark === replacing) return
    expiry.before = Math.max(expiry.before, mark)
  }

  /** Keeps an expiry that another one is about to replace. */
  private noteExpiry(expiry: Expiry): void {
    const { at, before, stamp } = expiry
    const levels = expiry.earlier?.filter((level) => level.stamp > before) ?? []
    if (stamp > before && !Number.isNaN(at)) {
      // a backend gives the mark of this process a later stamp
      if (levels.at(-1)?.at === at) levels.pop()
      levels.push({ stamp, at })
      if (levels.length > maxLevels) mergeClosest(levels)
    }
    expiry.earlier = levels.length === 0 ? undefined : levels
  }

  merge(marks: Backend.Marks): void {
    if (marks.floor > marks.lost) this.cleared = Math.max(this.cleared, marks.floor)
    if (marks.floor > this.floor) {
      this.epoch++
      this.floor = marks.floor
      this.forget(marks.floor)
      this.onFloor(marks.floor)
    }
    for (const [bucket, stamp] of marks.buckets ?? []) this.raiseBucket(bucket, stamp)
    // the stamps of expiries before their times, which replace those of earlier expiries
    for (const [name, stamp] of marks.raised) if (isExpiryStamp(name)) this.raise(name, stamp)
    for (const [name, stamp] of marks.raised) if (!isExpiryStamp(name)) this.raise(name, stamp)
  }

  /** Invalidates everything up to a stamp. The marks up to it are then not needed any more. */
  raiseFloor(stamp: number): void {
    this.epoch++
    if (stamp > this.floor) {
      this.floor = stamp
      this.onFloor(stamp)
    }
    if (stamp > this.cleared) this.cleared = stamp
    this.forget(stamp)
  }

  /** Forgets the marks up to a stamp, which the floor has reached. */
  private forget(stamp: number): void {
    for (const [hash, at] of this.marks) {
      if (at > stamp) break
      this.marks.delete(hash)
      this.expiries.delete(hash)
    }
    if (this.latestFolded > stamp) return
    this.tagBuckets = undefined
    this.ownerBuckets = undefined
  }

  /** Frees the marks of a store that has closed. Nothing that was stored counts any more. */
  end(): void {
    this.floor = Number.POSITIVE_INFINITY
    this.marks.clear()
    this.expiries.clear()
    this.tagBuckets = undefined
    this.ownerBuckets = undefined
  }

  /** All marks. */
  get records(): MarkRecords {
    const marks = new Float64Array(this.marks.size * 2)
    let at = 0
    for (const [hash, stamp] of this.marks) {
      marks[at++] = hash
      marks[at++] = stamp
    }
    const expiries = new Float64Array(this.expiries.size * 4)
    at = 0
    for (const [hash, expiry] of this.expiries) {
      expiries.set([hash, expiry.stamp, expiry.at, expiry.before], at)
      at += 4
    }
    return {
      floor: this.floor,
      cleared: this.cleared,
      latestTag: this.latestTag,
      marks,
      expiries,
      tagBuckets: recordsOf(this.tagBuckets),
      ownerBuckets: recordsOf(this.ownerBuckets)
    }
  }

  /** Takes over the marks of another table. The later one of each counts. */
  restore({ cleared, expiries, floor, latestTag, marks, ownerBuckets, tagBuckets }: MarkRecords): void {
    const before = this.cleared
    this.raiseFloor(floor)
    // the floor may have been raised only because marks were lost
    this.cleared = Math.max(before, cleared)
    this.latestTag = Math.max(this.latestTag, latestTag)
    for (let at = 0; at < tagBuckets.length; at += 2) {
      this.raiseIn(this.bucketsFor(true), tagBuckets[at]!, tagBuckets[at + 1]!)
    }
    for (let at = 0; at < ownerBuckets.length; at += 2) {
      this.raiseIn(this.bucketsFor(false), ownerBuckets[at]!, ownerBuckets[at + 1]!)
    }
    for (let at = 0; at < expiries.length; at += 4) {
      const [hash, stamp, time, before] = expiries.subarray(at, at + 4) as unknown as [number, number, number, number]
      if (!((this.marks.get(hash) ?? Number.NEGATIVE_INFINITY) > stamp))
        this.expiries.set(hash, { stamp, at: time, before, earlier: undefined })
    }
    for (let at = 0; at < marks.length; at += 2) {
      const [hash, stamp] = [marks[at]!, marks[at + 1]!]
      if ((this.marks.get(hash) ?? Number.NEGATIVE_INFINITY) >= stamp) continue
      this.marks.delete(hash)
      this.marks.set(hash, stamp)
      // the table that they come from may have kept more of them apart
      if (this.marks.size > this.maxMarks) this.foldOldest()
    }
  }

  private foldOldest(): void {
    for (const [hash, stamp] of this.marks) {
      this.marks.delete(hash)
      this.expiries.delete(hash)
      this.raiseIn(this.bucketsFor(isTagHash(hash)), bucketOf(hash), stamp)
      this.onFold()
      return
    }
  }

  /** Takes over a bucket of a backend. */
  private raiseBucket(text: string, stamp: number): void {
    if (!/^[tf]\d+$/.test(text) || stamp <= this.floor) return
    this.epoch++
    const isTag = text.startsWith("t")
    if (isTag && stamp > this.latestTag) this.latestTag = stamp
    this.raiseIn(this.bucketsFor(isTag), Number(text.slice(1)), stamp)
  }

  private bucketsFor(isTag: boolean): Float64Array {
    const make = () => new Float64Array(bucketCount).fill(Number.NEGATIVE_INFINITY)
    if (isTag) this.tagBuckets ??= make()
    else this.ownerBuckets ??= make()
    return (isTag ? this.tagBuckets : this.ownerBuckets)!
  }

  private raiseIn(buckets: Float64Array, bucket: number, stamp: number): void {
    if (stamp > buckets[bucket]!) buckets[bucket] = stamp
    if (stamp > this.latestFolded) this.latestFolded = stamp
  }

  /** Whether the owner or a tag of an entry may have been invalidated. */
  get hasNames(): boolean {
    return this.marks.size > 0 || this.tagBuckets !== undefined || this.ownerBuckets !== undefined
  }

  /** Whether everything with this stamp has been invalidated. */
  isCleared(stamp: number): boolean {
    return stamp <= this.floor
  }

  /**
   * Whether no mark has invalidated an entry, for its owner or for another function that reads it as its own. It is asked
   * before the times of the entry are compared, because an expiry changes them.
   */
  admits(entry: Pick<Header, "owner" | "stamp" | "tags">, owner = entry.owner): boolean {
    if (entry.stamp <= this.floor) return false
    const at = this.staleAt(entry, owner)
    if (at === invalidated) return false
    if (at !== unmarked && entry instanceof Entry) {
      // an expiry after a step of the clock has a time of after it
      this.wallClock.adjust(entry)
      makeStale(entry, at)
    }
    return true
  }

  /** Why `admits` refuses an entry; `undefined` if it does not. Unlike `admits` it changes nothing. */
  refusalOf({ stamp, tags }: Pick<Header, "stamp" | "tags">, owner: string): Refusal | undefined {
    if (stamp <= this.floor) return { reason: "cleared" }
    if (!this.hasNames) return undefined
    const isRefused = (name: string): boolean => this.markedAt(name, stamp) === invalidated
    if (isRefused(everyEntry) || isRefused(ownerMark(owner))) return { reason: "cleared" }
    const tag = tags.find((tag) => isRefused(tagMark(tag)))
    return tag === undefined ? undefined : { reason: "tag", tag }
  }

  /** As `admits`, for those who keep what is expired: mirrors. */
  admitsExpired(entry: Header): boolean {
    return entry.stamp > this.floor && this.staleAt(entry, entry.owner) !== invalidated
  }

  /**
   * Whether nobody invalidated an entry, even if marks were lost since: for an entry that was kept through the loss, and
   * is kept when it is expired.
   */
  admitsDespiteLoss(entry: Header): boolean {
    return entry.stamp > this.cleared && this.staleAt(entry, entry.owner) !== invalidated
  }

  /** When the marks of an entry made it stale. */
  private staleAt(entry: Pick<Header, "stamp" | "tags">, owner: string): number {
    if (!this.hasNames) return unmarked
    let at = Math.min(this.markedAt(everyEntry, entry.stamp), this.markedAt(ownerMark(owner), entry.stamp))
    for (let i = 0; at !== invalidated && i < entry.tags.length; i++) {
      at = Math.min(at, this.markedAt(tagMark(entry.tags[i]!), entry.stamp))
    }
    return at
  }

  /** When a mark made an entry with this stamp stale. */
  private markedAt(name: string, stamp: number): number {
    const hash = hashOf(name)
    if (!this.isMarkedBy(hash, stamp)) return unmarked
    const expiry = this.expiries.get(hash)
    if (expiry === undefined || this.marks.get(hash) !== expiry.stamp || stamp <= expiry.before) return invalidated
    if (this.isFolded(hash, stamp) || Number.isNaN(expiry.at)) return invalidated
    // the clock of the process that expired it may be ahead, or this one was set back since
    let at = Math.min(expiry.at, this.wallClock.now())
    if (expiry.earlier !== undefined) {
      for (const level of expiry.earlier) if (stamp <= level.stamp && level.at < at) at = level.at
    }
    return at
  }

  /** Whether no mark has invalidated what a load that began at `stamp` returns, if its value has these tags. */
  admitsLoad(stamp: number, owner: string, tags: ReadonlyArray<string>): boolean {
    if (stamp <= this.floor || this.isMarked(everyEntry, stamp) || this.isMarked(ownerMark(owner), stamp)) return false
    return !tags.some((tag) => this.isMarked(tagMark(tag), stamp))
  }

  /** Whether a tag was invalidated after a load began: it may be one of the tags that are computed from the value. */
  hasTagMarkSince(stamp: number): boolean {
    return stamp <= this.latestTag
  }

  /** Whether a mark, or one that shares its bucket, invalidates an entry or a load with this stamp. */
  private isMarked(name: string, stamp: number): boolean {
    return this.isMarkedBy(hashOf(name), stamp)
  }

  private isMarkedBy(hash: number, stamp: number): boolean {
    const mark = this.marks.get(hash)
    return (mark !== undefined && stamp <= mark) || this.isFolded(hash, stamp)
  }

  private isFolded(hash: number, stamp: number): boolean {
    const buckets = isTagHash(hash) ? this.tagBuckets : this.ownerBuckets
    return buckets !== undefined && stamp <= buckets[bucketOf(hash)]!
  }
}
