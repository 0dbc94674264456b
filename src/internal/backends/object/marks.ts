/**
 * The invalidation marks of an object store. They are one object, which is replaced by compare-and-swap, so that no
 * mark is lost when two processes raise marks at once. It is read again when the last read is older than `every`.
 *
 * If the object is missing, damaged, or older than the one that this process read before, marks were lost. To find the
 * entries that they invalidated would take a scan, against law 16 (no scans), so everything written before now is
 * invalidated.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError } from "../../../CacheError.js"
import type { Header } from "../../../Entry.js"
import * as Lifespans from "../../lifespans.js"
import { bucketCount, bucketText, everything, expiryNames, isExpiryName, isExpiryTime } from "../../markNames.js"
import { Reported } from "../../report.js"
import { encoder } from "../../serializers/utf8.js"
import { maxSkew, monotonic, timeOfDay } from "../../time.js"
import { PendingMarks } from "../pendingMarks.js"
import { isTooLarge } from "./entries.js"
import { digest, marksName } from "./format.js"
import type { ObjectStore } from "./objectStore.js"
import { requestedStamp } from "./stamps.js"

declare const TextDecoder: { new (): { readonly decode: (bytes: Uint8Array) => string } }

/** Lenient, unlike the decoder of `utf8.ts`: a damaged byte in the name of one mark does not lose the others. */
const decoder = /*#__PURE__*/ new TextDecoder()

type Method<A> = Effect.Effect<A, CacheStoreError>

/** The number of further attempts after a change has lost to another process. */
const retries = 30

/** The content of the object. */
interface Content {
  /** Grows with every change. */
  readonly count: number
  readonly floor: number
  readonly lost: number
  readonly marks: ReadonlyMap<string, number>
  /** The buckets that older marks were folded into, as in `Backend.Marks`. */
  readonly buckets: ReadonlyMap<string, number>
  readonly lifespans: Lifespans.Lifespans
}

/** The object as it was read. */
interface Table extends Content {
  readonly version: string
}

const isTime = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value)

/**
 * The most bytes of an object that is read and parsed. Honest marks take some 50 bytes each, and a larger object is
 * damaged.
 */
const maxBytes = (maxMarks: number): number => 33_554_432 + 1_024 * maxMarks

/** How many times the marks of this process's `maxMarks` another process may keep. More count as damage. */
const otherMaxMarks = 10

/** An infinite number as JSON has it. */
const longestNumber = 1e300

/** The lifespans in the object: the longest, then stamps and times by turns. Without them none are known. */
const parseLifespans = (list: unknown, now: number): Lifespans.Lifespans => {
  if (!Array.isArray(list)) return Lifespans.none
  const [longest, ...rest] = list as ReadonlyArray<unknown>
  const points = Array.from({ length: rest.length >> 1 }, (_, i) => ({ stamp: rest[2 * i], at: rest[2 * i + 1] }))
  const isPast = (value: unknown): value is number => isTime(value) && value <= now + maxSkew
  const isPoint = (point: { stamp: unknown; at: unknown }): point is Lifespans.Point =>
    isPast(point.stamp) && isPast(point.at)
  if (typeof longest !== "number" || !(longest >= 0) || !points.every(isPoint)) return Lifespans.none
  return { longest, points }
}

/**
 * Reads the content. `undefined` if it is damaged. A stamp from the future, of a clock that was ahead, becomes the latest
 * that an entry can have now, so that what is written later is valid. Entries with stamps from the future are not used
 * until their time has come: then what the mark had invalidated may be used again.
 */
const parse = (
  bytes: Uint8Array,
  now: number,
  maxMarks: number
): (Content & { readonly isRepaired: boolean }) | undefined => {
  if (bytes.length > maxBytes(maxMarks)) return undefined
  try {
    const fields = JSON.parse(decoder.decode(bytes)) as Record<string, unknown>
    const { buckets = [], count, floor, lifespans, lost, marks } = fields
    if (!isTime(floor) || !isTime(lost) || !Number.isSafeInteger(count) || !Array.isArray(marks)) return undefined
    if (!Array.isArray(buckets)) return undefined
    if (marks.length > otherMaxMarks * maxMarks || buckets.length > 2 * bucketCount) return undefined
    if (![...marks, ...buckets].every(([name, stamp]) => typeof name === "string" && isTime(stamp))) return undefined
    const isRepaired = [["", floor], ["", lost], ...marks, ...buckets].some(([, stamp]) => stamp > now + maxSkew)
    const reached = (stamp: number) => requestedStamp(stamp, now)
    const all = (list: ReadonlyArray<readonly [string, number]>) =>
      new Map(isRepaired ? list.map(([name, stamp]) => [name, reached(stamp)] as const) : list)
    return {
      count: count as number,
      floor: reached(floor),
      lost: reached(lost),
      marks: all(marks),
      buckets: all(buckets),
      lifespans: parseLifespans(lifespans, now),
      isRepaired
    }
  } catch {
    return undefined
  }
}

/** The count comes first: a store without versions compares the first bytes. */
const print = ({ buckets, count, floor, lifespans, lost, marks }: Content): Uint8Array => {
  const { longest, points } = lifespans
  const content = {
    count,
    floor,
    lost,
    marks: Array.from(marks),
    buckets: buckets.size === 0 ? undefined : Array.from(buckets),
    lifespans:
      lifespans === Lifespans.none
        ? undefined
        : [Math.min(longest, longestNumber), ...points.flatMap(({ at, stamp }) => [stamp, at])]
  }
  return encoder.encode(JSON.stringify(content))
}

export interface Options {
  readonly objects: ObjectStore
  /** For how many milliseconds a read of the marks counts as fresh. */
  readonly every: number
  readonly live: Clock.Clock
  /** The latest stamp of an entry that this process has read. */
  readonly latestStamp: () => number
  /** Whether entries that are older than the first marks are valid. Otherwise a missing object invalidates them. */
  readonly acceptsEarlierEntries: boolean
  /** How many marks are kept apart. */
  readonly maxMarks: number
  /** Whether marks are dropped once everything older has expired: only if no other program writes entries. */
  readonly drops: boolean
}

export class ObjectMarks {
  private readonly objects: ObjectStore
  private readonly every: number
  private readonly live: Clock.Clock
  private readonly latestStamp: () => number
  private readonly acceptsEarlierEntries: boolean
  private readonly maxMarks: number
  private readonly drops: boolean
  /** The longest lifespan of an entry that this process has written or read. Mutable by design. */
  private lifespan = 0
  private readonly pending = new PendingMarks()
  private readonly exclusively = Effect.unsafeMakeSemaphore(1).withPermits(1)
  /** The marks as they were read last. Mutable by design. */
  private known: Table | undefined
  /** Whether this process has replaced marks that were lost, and not reported it yet. Mutable by design. */
  private hasLost = false
  /** Whether this process has repaired marks from the future, and not reported it yet. Mutable by design. */
  private hasRepaired = false
  /** When they were read, on the monotonic clock. Mutable by design. */
  private readAt = Number.NEGATIVE_INFINITY

  constructor({ acceptsEarlierEntries, drops, every, latestStamp, live, maxMarks, objects }: Options) {
    this.drops = drops
    this.maxMarks = maxMarks
    this.objects = objects
    this.every = every
    this.live = live
    this.latestStamp = latestStamp
    this.acceptsEarlierEntries = acceptsEarlierEntries
  }

  /**
   * Whether the marks were read at least once. An entry that is written before that may count as invalidated, if it
   * turns out that marks were lost.
   */
  isKnown(): boolean {
    return this.known !== undefined
  }

  isFresh(): boolean {
    return monotonic(this.live) - this.readAt < this.every
  }

  /** Reads the marks, unless another fiber has just done so. */
  refresh(): Method<void> {
    return this.exclusively(Effect.suspend(() => (this.isFresh() ? Effect.void : this.load())))
  }

  read(): Method<void> {
    return Effect.asVoid(this.exclusively(this.load()))
  }

  raise(raised: ReadonlyArray<Backend.Mark>): Method<void> {
    return this.exclusively(this.swap(raised))
  }

  /** Notes an entry that was written or read. `load` is how many milliseconds its load may have taken. */
  note(entry: Header, load?: number): void {
    // stamps are times of clocks that may differ
    const lifespan = Lifespans.lifespanOf(entry, load) + 2 * maxSkew
    if (lifespan > this.lifespan) this.lifespan = Lifespans.rounded(lifespan)
  }

  /** Announces a longer lifespan than is known, where there are marks to drop: see `internal/lifespans.ts`. */
  announce(): Method<void> {
    return Effect.suspend(() => {
      const { known } = this
      const isNeeded = this.drops && known !== undefined && known.marks.size > 0 && !this.isAnnounced(known)
      return isNeeded ? this.raise([]) : Effect.void
    })
  }

  private isAnnounced({ lifespans }: Table): boolean {
    return Math.min(this.lifespan, longestNumber) <= lifespans.longest
  }

  /** Returns the marks that have not been reported yet. */
  take(): Backend.Marks | undefined {
    return this.pending.take()
  }

  /** Returns the answer to `raise`: the marks that have not been reported yet, and always the raised ones. */
  takeRaised(raised: ReadonlyArray<Backend.Mark>): Backend.Marks {
    const { floor, lost } = this.known!
    return this.pending.takeRaised(raised, { floor, lost })
  }

  private now(): number {
    return timeOfDay(this.live)
  }

  /** Reads the object. If marks were lost, begins a new one. */
  private load(): Method<Table> {
    return Effect.gen(this, function* () {
      for (let attempt = 0; attempt <= retries; attempt++) {
        const now = this.now()
        const asked = monotonic(this.live)
        const maxSize = maxBytes(this.maxMarks)
        const found = yield* this.objects.read(
          marksName,
          (head) => !isTooLarge(head, maxSize) && head.version !== this.known?.version
        )
        if (
          found !== undefined &&
          found.bytes === undefined &&
          this.known !== undefined &&
          !isTooLarge(found, maxSize)
        ) {
          this.readAt = asked
          return this.known
        }
        const content = found?.bytes && parse(found.bytes, now, this.maxMarks)
        // An object that is older than what this process has seen has lost the marks raised in between.
        if (found !== undefined && content !== undefined && content.count >= (this.known?.count ?? 0)) {
          if (content.isRepaired && !this.hasRepaired) {
            this.hasRepaired = true
            // Other processes need the repaired object, too. A store that cannot be written is used as it is.
            yield* Effect.ignore(this.write({ ...content, count: content.count + 1 }, found.version))
            continue
          }
          this.readAt = asked
          return this.learn({ ...content, version: found.version })
        }
        if (attempt < retries) yield* this.restart(found?.version ?? null, content, now)
      }
      return yield* this.contended()
    })
  }

  /** Keeps what was read, and adds what is new to the marks to report. */
  private learn(table: Table): Table {
    const { known } = this
    const raised = Array.from(table.marks).filter(([name, stamp]) => known?.marks.get(name) !== stamp)
    const buckets = Array.from(table.buckets).filter(([bucket, stamp]) => known?.buckets.get(bucket) !== stamp)
    if (
      known === undefined ||
      raised.length > 0 ||
      buckets.length > 0 ||
      table.floor > known.floor ||
      this.hasRepaired
    ) {
      const { floor, lost } = table
      this.pending.add({ floor, lost, isLoss: this.hasLost, isRepaired: this.hasRepaired, raised, buckets })
      this.hasLost = false
      this.hasRepaired = false
    }
    this.known = table
    return table
  }

  /** Writes a new object in the place of one that is missing, damaged or too old. */
  private restart(version: string | null, content: Content | undefined, now: number): Method<boolean> {
    const { known } = this
    const isFirst = version === null && known === undefined
    const floor = isFirst && this.acceptsEarlierEntries ? -1 : Math.max(now, known?.floor ?? 0)
    const count = Math.max(Math.floor(now), known?.count ?? 0, content?.count ?? 0) + 1
    return Effect.tap(
      this.write(
        { count, floor, lost: floor, marks: new Map(), buckets: new Map(), lifespans: Lifespans.none },
        version
      ),
      (isWritten) =>
        Effect.sync(() => {
          if (isWritten && !isFirst) this.hasLost = true
        })
    )
  }

  private write(content: Content, version: string | null): Method<boolean> {
    const bytes = print(content)
    // If the old object is deleted and the new one cannot be written, the marks are lost: everything older is a miss.
    const lifetime = Number.POSITIVE_INFINITY
    const put = { bytes, meta: undefined, lifetime, contentDigest: digest(bytes), invalidates: true }
    return this.objects.write(marksName, put, version)
  }

  private swap(raised: ReadonlyArray<Backend.Mark>): Method<void> {
    return Effect.gen(this, function* () {
      for (let attempt = 0; attempt <= retries; attempt++) {
        const table = yield* this.load()
        if (raised.length === 0 && this.isAnnounced(table)) return
        const content = this.withRaised(table, raised)
        if (yield* this.write(content, table.version)) {
          // Read again: the object has a new version, and in a store without conditional writes another process may
          // have replaced it.
          const current = yield* this.load()
          const stampOf = (name: string) => Math.max(current.floor, current.marks.get(name) ?? current.floor)
          const isRaised = raised.every(({ name }) => stampOf(name) >= (content.marks.get(name) ?? content.floor))
          if (isRaised) return
        }
        if (attempt < retries) yield* Effect.sleep(Duration.millis(5 * Math.min(attempt, 10)))
      }
      return yield* this.contended()
    })
  }

  /** The content with these marks added. The oldest marks fold into buckets if there are too many. */
  private withRaised(table: Table, raised: ReadonlyArray<Backend.Mark>): Content {
    // What was read before the clock was set back may be out of its reach: such an entry is a miss.
    const earliest = requestedStamp(Math.max(this.now(), this.latestStamp()), this.now())
    const marks = new Map(table.marks)
    const buckets = new Map(table.buckets)
    let { floor } = table
    const isCleared = raised.some(({ name }) => name === everything)
    let lifespans = Lifespans.longer(isCleared ? Lifespans.none : table.lifespans, this.lifespan)
    // Deleted first, so that the map lists the marks in the order in which they were raised.
    const mark = (name: string, stamp: number) => {
      marks.delete(name)
      marks.set(name, stamp)
    }
    for (const { authoritative, expires, name, stamp: requested } of raised) {
      const given = requestedStamp(requested, this.now())
      // An authoritative mark is not older than any entry that this process has read, even if its clock is behind.
      const stamp = authoritative ? Math.max(earliest, given) : given
      if (name === everything) {
        floor = Math.max(floor, stamp)
        continue
      }
      const before = marks.get(name)
      const isExpiry = expires !== undefined && (before === undefined || before <= stamp)
      const names = expiryNames(name)
      const expired = marks.get(names.stamp)
      if (isExpiry) {
        mark(names.stamp, stamp)
        mark(names.time, expires)
      }
      mark(name, Math.max(stamp, before ?? stamp))
      const invalidated = before === undefined || before === expired ? marks.get(names.before) : before
      if (isExpiry && invalidated !== undefined) mark(names.before, invalidated)
    }
    if (this.drops && raised.length > 0) {
      const stamp = raised.reduce((latest, { name }) => Math.max(latest, marks.get(name) ?? floor), floor)
      const point = { stamp, at: this.now() }
      const dropped = Lifespans.raise(lifespans, point)
      lifespans = dropped.lifespans
      floor = Math.max(floor, dropped.floor)
    }
    // Where the floor is the time of a loss, a faster tier that has all marks overrules it, and stamps may be from its count.
    const covered = floor > table.lost ? floor : Number.NEGATIVE_INFINITY
    for (const [name, found] of marks) {
      // the time of an expiry stays as long as its stamp, which comes before it
      const stamp = isExpiryTime(name) ? (marks.get(expiryNames(name.slice(2)).stamp) ?? covered) : found
      // A mark above the floor is kept. The floor may be the newer of the two if a clock that is behind raised it.
      if (stamp > covered && marks.size <= this.maxMarks) continue
      marks.delete(name)
      if (stamp <= covered || isExpiryName(name)) continue
      const bucket = bucketText(name)
      buckets.set(bucket, Math.max(stamp, buckets.get(bucket) ?? stamp))
    }
    for (const [bucket, stamp] of buckets) if (stamp <= covered) buckets.delete(bucket)
    return { count: table.count + 1, floor, lost: table.lost, marks, buckets, lifespans }
  }

  private contended(): CacheStoreError {
    return new CacheStoreError({
      reason: "Rejected",
      store: this.objects.name,
      method: "raise",
      cause: new Reported(
        `the marks changed ${retries} times in a row between reading and writing them: too many processes raise marks`
      )
    })
  }
}
