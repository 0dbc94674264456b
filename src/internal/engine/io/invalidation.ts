/**
 * Invalidation by marks, in this process and in the backend, and the delivery of marks and writes that the backend did
 * not confirm.
 *
 * A mark counts in this process from the moment it is raised. If the backend does not confirm it, it is undelivered, as
 * a `set` or a removal is (see `writeQueue.ts`): it is sent again, with its stamp, once the backend is back.
 * Undelivered writes are delivered before undelivered marks.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError } from "../../../CacheError.js"
import type { Entry } from "../../../Entry.js"
import * as Lifespans from "../../lifespans.js"
import {
  bucketCount,
  everyEntry,
  everything,
  expiryNames,
  isExpiryName,
  isExpiryTime,
  isTooLong,
  ownerMark,
  tagMark
} from "../../markNames.js"
import { toStoreError } from "../../storeError.js"
import { type Stamps, tick } from "../../time.js"
import type { StoreRuntime } from "../storeRuntime.js"
import type { Telemetry } from "../telemetry.js"
import { MarkTable, type ReadersClock } from "./markTable.js"
import type { DeliveryRules, WriteQueue } from "./writeQueue.js"

/** How often delivery is tried. A backend that reports when it is up again is served at once. */
const deliveryInterval = "1 second"

/** How many marks may be undelivered. Beyond it, everything older than now is invalidated instead. */
const maxUndelivered = 1_000

/** How many marks of this process are kept to decide whether an undelivered write is delivered. */
const maxRaisedHere = 10_000

export interface InvalidationOptions {
  /** How many marks are kept apart. */
  readonly maxMarks: number
  readonly backend: Backend.Backend
  readonly runtime: StoreRuntime
  readonly telemetry: Telemetry
  readonly stamps: Stamps
  /** The write queue, which is made after this: each uses the other. */
  readonly writeQueue: () => WriteQueue
  readonly wallClock: ReadersClock
  /** Called when a mark that makes entries stale was raised, here or by another process. */
  readonly onExpired: () => void
}

interface UndeliveredMark {
  /** When it was raised, on the live clock. */
  readonly asked: number
  readonly stamp: number
  /** The tiers that missed it; `undefined` if the whole backend did. */
  readonly tiers: ReadonlyArray<number> | undefined
}

export class Invalidation implements DeliveryRules {
  /** The marks that count in this process, whoever raised them. */
  readonly marks: MarkTable
  /**
   * The marks raised by this process. They do not include a floor that was raised because the backend lost its marks.
   */
  private readonly raisedHere: MarkTable
  /** The lifespans of the entries, where only this process has any. Elsewhere the backend drops marks. */
  private lifespans = Lifespans.none
  /** The stamp of the latest loss of marks in the backend. */
  private lost = Number.NEGATIVE_INFINITY
  /** The marks that the backend has not confirmed, by name. */
  private readonly undeliveredMarks = new Map<string, UndeliveredMark>()
  /** The fiber that delivers, while anything is undelivered. */
  private deliveryFiber: Fiber.RuntimeFiber<unknown> | undefined = undefined
  private isClosed = false
  private readonly backend: Backend.Backend
  private readonly runtime: StoreRuntime
  private readonly telemetry: Telemetry
  private readonly stamps: Stamps
  private readonly writeQueue: () => WriteQueue
  private readonly onExpired: () => void

  constructor(options: InvalidationOptions) {
    const { telemetry } = options
    this.backend = options.backend
    this.runtime = options.runtime
    this.telemetry = telemetry
    this.stamps = options.stamps
    this.writeQueue = options.writeQueue
    this.onExpired = options.onExpired
    const { maxMarks } = options
    this.marks = new MarkTable(
      maxMarks,
      () =>
        telemetry.report(
          "TooManyMarks",
          "",
          `more than ${maxMarks} distinct tags and functions were invalidated, the limit set by maxMarks. The oldest ` +
            `invalidations are folded into ${bucketCount} buckets: an entry is now also a miss if a tag of its own ` +
            "shares a bucket with a tag that was invalidated after it. Raise maxMarks, use fewer distinct tags, or " +
            "invalidate single keys instead."
        ),
      options.wallClock
    )
    this.raisedHere = new MarkTable(Math.min(maxMarks, maxRaisedHere), () => {})
  }

  /**
   * Raises marks in this process and sends them to the backend, at once and not when the returned effect runs: a caller
   * that is interrupted in between must not invalidate here only. The effect waits for the backend. `now` is the time by
   * which entries expire.
   */
  startRaise(names: ReadonlyArray<string>, now: number): Effect.Effect<void, CacheStoreError> {
    const stamp = this.stamps.next()
    for (const name of names) this.raiseHere(name, stamp)
    if (!this.backend.remote) this.dropExpired(names, { stamp, at: now })
    this.telemetry.publish(() => ({ _tag: "Cleared", marks: names }))
    return this.send(
      names.map((name) => ({ name, stamp, authoritative: true })),
      this.runtime.now()
    )
  }

  /**
   * As `startRaise`, with marks that make older entries stale from `now` on. Where entries have no stale end of their own,
   * and where the backend does not confirm the marks, they invalidate.
   */
  startExpire(names: ReadonlyArray<string>, now: number): Effect.Effect<void, CacheStoreError> {
    const { backend, stamps } = this
    if (backend.isOwnerless || names.some((name) => isTooLong(expiryNames(name).stamp))) {
      return this.startRaise(names, now)
    }
    const stamp = stamps.next()
    for (const name of names) {
      this.marks.expire(name, stamp, now)
      // a value that was set before and is not delivered is removed
      this.raisedHere.raise(name, stamp)
    }
    if (!backend.remote) this.dropExpired(names, { stamp, at: now })
    this.onExpired()
    return this.send(
      names.map((name) => ({ name, stamp, authoritative: true, expires: now })),
      this.runtime.now()
    )
  }

  /** Notes an entry that only this process has, and that expires after `lifetime` milliseconds. */
  noteLifetime(lifetime: number): void {
    const lifespan = lifetime + this.writeQueue().tombstoneFor(undefined)
    if (lifespan > this.lifespans.longest) this.lifespans = Lifespans.longer(this.lifespans, lifespan)
  }

  /** Drops the marks that concern nothing any more, because all older entries have expired. */
  private dropExpired(names: ReadonlyArray<string>, point: { readonly stamp: number; readonly at: number }): void {
    if (names.includes(everything)) {
      this.lifespans = Lifespans.none
      return
    }
    const { floor, lifespans } = Lifespans.raise(this.lifespans, point)
    this.lifespans = lifespans
    if (floor === Number.NEGATIVE_INFINITY) return
    this.marks.raiseFloor(floor)
    this.raisedHere.raiseFloor(floor)
  }

  /** Invalidates everything older than now, in place of more undelivered marks and writes than are kept. */
  clearInstead(): void {
    this.telemetry.report(
      "TooManyUndelivered",
      "",
      "too many writes and invalidations could not be delivered, or for too long: everything stored before now is " +
        "invalidated instead, so reads load again. Check the connection to the backend."
    )
    const stamp = this.stamps.next()
    this.raiseHere(everything, stamp)
    this.undeliveredMarks.clear()
    this.undeliveredMarks.set(everything, { asked: this.runtime.now(), stamp, tiers: undefined })
    this.ensureDelivery()
  }

  private raiseHere(name: string, stamp: number): void {
    this.marks.raise(name, stamp)
    this.raisedHere.raise(name, stamp)
  }

  /** Merges the backend's marks into those of this process. */
  merge(marks: Backend.Marks): void {
    this.marks.merge(marks)
    const isReal = marks.floor >= marks.lost
    if (marks.isRepaired === true) this.reportRepair()
    if (marks.isLoss === true || (isReal && marks.lost > this.lost && this.lost > 0)) this.reportLoss()
    if (isReal) this.lost = Math.max(this.lost, marks.lost)
    this.stamps.observe(marks.floor)
    for (const [name, stamp] of marks.raised) if (!isExpiryTime(name)) this.stamps.observe(stamp)
    if (marks.raised.some(([name]) => isExpiryName(name))) this.onExpired()
  }

  private reportRepair(): void {
    this.telemetry.report(
      "MarksRepaired",
      "",
      "invalidation marks of the backend had stamps that are broken or from the future, which count as raised now, so " +
        "entries with their tags, or of their functions, are read again once; or names that no entry can carry, which " +
        "are removed. Either another program writes to the " +
        "place of this store: give it a user, a directory or a prefix of its own; or a clock was ahead: keep the clocks " +
        "in sync."
    )
  }

  private reportLoss(): void {
    this.telemetry.report(
      "MarksLost",
      "",
      "the backend has lost the record of earlier invalidations: everything stored before now is a miss, because it " +
        "may have been invalidated. With Redis, give it more memory, or an eviction policy that keeps keys without an " +
        "expiry (`volatile-…`). With files and buckets, keep the object of the marks."
    )
  }

  /** Reads the backend's marks. */
  get fetchMarks(): Effect.Effect<void> {
    const { marks } = this.backend
    return marks === undefined
      ? Effect.void
      : Effect.ignore(Effect.map(marks.read, (read) => read !== undefined && this.merge(read)))
  }

  /**
   * Whether something undelivered concerns an entry that the backend, or one of its tiers, holds. Until a mark is
   * delivered such an entry is a miss in this process, whatever its stamp.
   */
  isOutdatedIn(tier: number | undefined, key: string, entry: Entry): boolean {
    if (this.writeQueue().isOutdatedIn(tier, key, entry.stamp)) return true
    if (this.undeliveredMarks.size === 0) return false
    const isMissing = (name: string): boolean => {
      const mark = this.undeliveredMarks.get(name)
      return mark !== undefined && (mark.tiers === undefined || tier === undefined || mark.tiers.includes(tier))
    }
    const names = [everything, everyEntry, ownerMark(entry.owner)]
    return names.some(isMissing) || entry.tags.some((tag) => isMissing(tagMark(tag)))
  }

  // The rules of the write queue, which takes them as functions.

  readonly isInvalidated = (entry: Entry): boolean => !this.raisedHere.admits(entry)

  readonly isBeforeLoss = (given: number): boolean => given <= this.lost

  /**
   * A stamp above a floor that was raised only because the backend came back without its marks: everything undelivered
   * from before that loss is an invalidation, and still counts.
   */
  readonly aboveLoss = (given: number): number => (this.isBeforeLoss(given) ? this.lost + tick : given)

  /** How many marks, and keys with a write, are undelivered. */
  get undelivered(): number {
    return this.undeliveredMarks.size + this.writeQueue().undelivered
  }

  /** How many marks, and keys with a write, a tier has missed. */
  undeliveredIn(tier: number): number {
    let count = this.writeQueue().undeliveredIn(tier)
    for (const { tiers } of this.undeliveredMarks.values()) if (tiers === undefined || tiers.includes(tier)) count++
    return count
  }

  /** Starts the fiber that tries to deliver until nothing is undelivered, unless it runs already. */
  ensureDelivery(): void {
    if (this.isClosed || this.deliveryFiber !== undefined) return
    this.deliveryFiber = this.runtime.background(
      Effect.suspend(() => (this.backend.isUp?.() === false ? Effect.void : this.deliver)).pipe(
        Effect.delay(deliveryInterval),
        Effect.repeat({ while: () => this.undelivered > 0 }),
        Effect.asVoid
      )
    )
    this.deliveryFiber.addObserver(() => {
      this.deliveryFiber = undefined
    })
  }

  /**
   * Delivers the writes, then the marks. A backend that counts takes a value that is sent again only if no mark was raised
   * since it was set, and does not know which of the marks are older.
   */
  get deliver(): Effect.Effect<void> {
    const deliverMarks = Effect.suspend(() => {
      const marks = Array.from(this.undeliveredMarks, ([name, { stamp, tiers }]) => ({
        name,
        stamp: this.aboveLoss(stamp),
        authoritative: false,
        tiers
      }))
      return marks.length === 0 ? Effect.void : Effect.ignore(this.send(marks, this.runtime.now()))
    })
    return Effect.zipRight(
      Effect.suspend(() => this.writeQueue().deliver),
      deliverMarks
    )
  }

  /** Ends the delivery. Writes that fail while the store closes do not start it again. */
  get stop(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.isClosed = true
      this.deliveryFiber?.unsafeInterruptAsFork(this.deliveryFiber.id())
    })
  }

  /**
   * Sends marks to the backend, after the writes that are already batched, and returns an effect that waits for the
   * answer. No mark in `marks` was raised after `now`.
   */
  private send(marks: ReadonlyArray<Backend.Mark>, now: number): Effect.Effect<void, CacheStoreError> {
    const shared = this.backend.marks
    if (shared === undefined) {
      if (this.backend.remote) this.reportNoMarks()
      return Effect.void
    }
    this.writeQueue().flush()
    const done = Deferred.unsafeMake<void, CacheStoreError>(FiberId.none)
    this.runtime.run(
      () => shared.raise(marks),
      (exit) => {
        if (exit._tag === "Success") {
          this.onConfirmed(marks, now, exit.value)
          return Deferred.unsafeDone(done, Effect.void)
        }
        const error = toStoreError(exit.cause, this.backend.name, "raise")
        this.telemetry.recordFailure("mark", error)
        this.keepUndelivered(marks, now)
        Deferred.unsafeDone(done, Effect.fail(error))
      }
    )
    return Deferred.await(done)
  }

  private reportNoMarks(): void {
    this.telemetry.report(
      "NoMarks",
      "",
      "this store keeps no marks, so `clear` and invalidations by tag apply in this process only: other processes, and " +
        "this one after a restart, read the older entries. Invalidate single keys instead, or use a store with marks."
    )
  }

  private onConfirmed(marks: ReadonlyArray<Backend.Mark>, now: number, answer: Backend.Marks): void {
    this.telemetry.recordSuccess("mark")
    this.merge(answer)
    const stamps = new Map(answer.raised).set(everything, answer.floor)
    for (const { authoritative, name, stamp, tiers } of marks) {
      const undelivered = this.undeliveredMarks.get(name)
      // a mark that was raised again since is still undelivered
      if (undelivered !== undefined && undelivered.asked > now) continue
      const missed = answer.missed?.filter((tier) => tiers === undefined || tiers.includes(tier)) ?? []
      if (missed.length === 0) {
        this.undeliveredMarks.delete(name)
      } else {
        const asked = authoritative || undelivered === undefined ? now : undelivered.asked
        const given = Math.max(stamp, stamps.get(name) ?? stamp)
        this.undeliveredMarks.set(name, { asked, stamp: given, tiers: missed })
      }
    }
    this.limitUndelivered()
  }

  private keepUndelivered(marks: ReadonlyArray<Backend.Mark>, now: number): void {
    for (const { authoritative, name, stamp } of marks) {
      // a mark that is not authoritative is a retry, and is undelivered already
      if (authoritative) this.undeliveredMarks.set(name, { asked: now, stamp, tiers: undefined })
    }
    this.limitUndelivered()
  }

  private limitUndelivered(): void {
    if (this.undeliveredMarks.size === 0) return
    if (this.undeliveredMarks.size > maxUndelivered) this.clearInstead()
    this.ensureDelivery()
  }
}
