/**
 * The writes to a remote backend that it has not confirmed.
 *
 * The writes of one key are sent one at a time, in order, and those of one turn of the scheduler go out as one batch.
 * Until the last write of a key has ended, reads are answered from it: law 10 (answered when loaded).
 *
 * A loaded value that cannot be written is dropped. A `set` or a removal that the backend did not confirm is
 * undelivered: reads in this process see it as done, and it is tried again once the backend is back. A value is then
 * sent with the stamp that it got when it was set, so that it replaces only what is older. Where the backend cannot
 * prove that, the key is removed instead: law 6 (the store may fail, the caller may not).
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Scheduler from "effect/Scheduler"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError } from "../../../CacheError.js"
import type { Entry } from "../../../Entry.js"
import { defaultLoad } from "../../lifespans.js"
import { toStoreError } from "../../storeError.js"
import type { StoreRuntime } from "../storeRuntime.js"
import type { Telemetry } from "../telemetry.js"
import { KeyWrites, type PendingWrite } from "./pendingWrite.js"
import { maxBatch } from "./readBatcher.js"

/** How many keys may have an undelivered write. Beyond it, everything older than now is invalidated instead. */
const maxUndelivered = 10_000

/** How many milliseconds a write may stay undelivered. Beyond it, everything older than now is invalidated instead. */
const maxUndeliveredAge = 3_600_000

/** The longest lifetime of a tombstone in milliseconds: a load may take forever, a tombstone must not. */
const longestTombstone = 3_600_000

/** The rules by which undelivered writes are ordered and delivered. `Invalidation` implements them. */
export interface DeliveryRules {
  /** Whether this process has invalidated an entry since it was set. */
  readonly isInvalidated: (entry: Entry) => boolean
  /**
   * Whether the backend has lost its marks since a write was asked for, which got the stamp `given` then. It may have
   * lost a later write of the key, or an invalidation of it.
   */
  readonly isBeforeLoss: (given: number) => boolean
  /** The stamp with which a removal is sent again that got the stamp `given` when it was asked for. */
  readonly aboveLoss: (given: number) => number
  /** Ensures that undelivered writes are tried again. */
  readonly ensureDelivery: () => void
  /** Invalidates everything older than now, in place of more undelivered writes than are kept. */
  readonly clearInstead: () => void
}

/** The reports of a write queue. The engine applies them to the copies in memory and to the readers of a key. */
export interface WriteListener {
  readonly onWritten: (key: string, stamp: number, write: PendingWrite) => void
  /** A loaded value could not be written. */
  readonly onLost: (key: string, stamp: number) => void
  /** The backend rejected the write: it holds something newer, the write was late, or its lock was lost. */
  readonly onSuperseded: (key: string, stamp: number) => void
  /** The backend cannot hold the value. */
  readonly onRefused: (key: string, write: PendingWrite, refused: Extract<Backend.Written, { _tag: "Refused" }>) => void
  /** The last write of a key has ended. */
  readonly onIdle: (key: string) => void
}

export interface WriteQueueOptions {
  readonly backend: Backend.Backend
  readonly runtime: StoreRuntime
  readonly telemetry: Telemetry
  readonly rules: DeliveryRules
  readonly listener: WriteListener
}

/** A write on its way to the backend. */
interface Outgoing {
  readonly key: string
  readonly writes: KeyWrites
  readonly write: PendingWrite
}

export class WriteQueue {
  private readonly byKey = new Map<string, KeyWrites>()
  /** The keys with an undelivered write, the oldest first. */
  private readonly undeliveredKeys = new Set<string>()
  /** The writes of this turn of the scheduler. */
  private batch: Array<Outgoing> = []
  private isClosed = false
  /** How many milliseconds the slowest load of any known function may take. */
  private slowestLoad = defaultLoad
  private readonly backend: Backend.Backend
  private readonly runtime: StoreRuntime
  private readonly telemetry: Telemetry
  private readonly rules: DeliveryRules
  private readonly listener: WriteListener

  constructor(options: WriteQueueOptions) {
    this.backend = options.backend
    this.runtime = options.runtime
    this.telemetry = options.telemetry
    this.rules = options.rules
    this.listener = options.listener
  }

  /** How many keys have an undelivered write. */
  get undelivered(): number {
    return this.undeliveredKeys.size
  }

  /** How many keys have an undelivered write that a tier has missed. */
  undeliveredIn(tier: number): number {
    let count = 0
    for (const key of this.undeliveredKeys) {
      const tiers = this.byKey.get(key)?.undelivered?.tiers
      if (tiers === undefined || tiers.includes(tier)) count++
    }
    return count
  }

  /** Whether every write was confirmed. */
  get isIdle(): boolean {
    return this.byKey.size === 0
  }

  /** The latest write of a key in this process, as long as the backend may not know it. */
  newest(key: string): PendingWrite | undefined {
    return this.byKey.size === 0 ? undefined : this.byKey.get(key)?.newest
  }

  /** Whether a write that a tier missed outdates what it holds under a key. */
  isOutdatedIn(tier: number | undefined, key: string, stamp: number): boolean {
    if (tier === undefined || this.undeliveredKeys.size === 0) return false
    const undelivered = this.byKey.get(key)?.undelivered
    return undelivered?.tiers?.includes(tier) === true && stamp <= undelivered.stamp
  }

  /** Whether the backend, with all its tiers, has confirmed every set and every removal of a key. */
  isConfirmed(key: string): boolean {
    const writes = this.byKey.get(key)
    if (writes === undefined) return true
    const { authoritative, running, undelivered } = writes
    return running?.authoritative !== true && authoritative === undefined && undelivered === undefined
  }

  /** Waits until the latest loaded value of a key has been written, or could not be. */
  awaitEnd(key: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const writes = this.byKey.get(key)
      const write = writes?.loaded ?? writes?.running
      return write === undefined ? Effect.void : Effect.ignore(write.done)
    })
  }

  /** Notes how long the loads of a function may take: the tombstones of removals must outlive them. */
  noteFlightTimeout(flightTimeout: number): void {
    this.slowestLoad = Math.max(this.slowestLoad, Math.min(flightTimeout, longestTombstone))
  }

  /** The lifetime of a tombstone: how long loads that began before the removal may take to write. */
  tombstoneFor(flightTimeout: number | undefined): number {
    return flightTimeout === undefined ? this.slowestLoad : Math.min(flightTimeout, longestTombstone)
  }

  submit(key: string, write: PendingWrite): void {
    let writes = this.byKey.get(key)
    if (writes === undefined) {
      writes = new KeyWrites()
      this.byKey.set(key, writes)
    }
    writes.add(write)
    this.runNext(key, writes)
  }

  /**
   * Another process wrote a key with this stamp. A value that was loaded before it does not answer reads any more. An
   * undelivered write is still delivered: which of the two was asked for first is not known.
   */
  outdate(key: string, stamp: number): void {
    const writes = this.byKey.get(key)
    if (writes === undefined) return
    const { loaded, running, undelivered } = writes
    if (loaded !== undefined && loaded.stamp < stamp) {
      writes.loaded = undefined
      loaded.end(Effect.void)
    }
    if (running !== undefined && running.stamp < stamp) running.isOutdated = true
    if (undelivered !== undefined && undelivered.stamp < stamp) undelivered.isOutdated = true
  }

  /** This process has written a key past the queue, later than every write in it. */
  settle(key: string, stamp: number): void {
    this.outdate(key, stamp)
    const writes = this.byKey.get(key)
    if (writes?.undelivered === undefined) return
    this.forgetUndelivered(key, writes)
    if (writes.isIdle) this.byKey.delete(key)
  }

  /** Tries every undelivered write again, and waits for the end of each. */
  get deliver(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.isTooOld()) this.giveUp()
      const waits: Array<Effect.Effect<void>> = []
      for (const key of Array.from(this.undeliveredKeys)) {
        const writes = this.byKey.get(key)
        if (writes?.undelivered === undefined || writes.running !== undefined) continue
        const retry = this.run(key, writes, this.retryOf(writes.undelivered))
        waits.push(Effect.ignore(retry.done))
      }
      return Effect.all(waits, { concurrency: "unbounded", discard: true })
    })
  }

  /** Authoritative writes are still sent, loaded values that wait for their turn are not. */
  close(): void {
    this.flush()
    this.isClosed = true
  }

  /**
   * An entry that has expired or was invalidated since it was set, or that may have been, is delivered as a removal: it
   * must still take the place of the older entry in the backend.
   */
  private retryOf(write: PendingWrite): PendingWrite {
    const { aboveLoss, isBeforeLoss, isInvalidated } = this.rules
    const { asked, entry, lifetime, stamp } = write
    const left = lifetime - (this.runtime.now() - asked)
    return entry === undefined || left <= 0 || isInvalidated(entry) || isBeforeLoss(stamp)
      ? write.removal(aboveLoss(stamp), this.tombstoneOf(write))
      : write.retry(stamp, entry, Math.ceil(left))
  }

  /** The lifetime of the tombstone of a removal in place of a write. */
  private tombstoneOf(write: PendingWrite): number {
    return write.entry === undefined ? write.lifetime : this.slowestLoad
  }

  /** Runs the next write of a key, if none is running. */
  private runNext(key: string, writes: KeyWrites): void {
    if (writes.running !== undefined) return
    const write = writes.take()
    if (write === undefined) {
      if (writes.undelivered === undefined) {
        this.byKey.delete(key)
        this.listener.onIdle(key)
      }
    } else if (this.isClosed && !write.authoritative) {
      this.byKey.delete(key)
      write.end(Effect.void)
    } else this.run(key, writes, write)
  }

  private run(key: string, writes: KeyWrites, write: PendingWrite): PendingWrite {
    writes.running = write
    const size = this.batch.push({ key, writes, write })
    if (this.isClosed) this.flush()
    else if (size === 1) Scheduler.defaultScheduler.scheduleTask(this.flush, 0)
    else if (size === maxBatch) this.flush()
    return write
  }

  /** Sends the batch: the writes as one operation, the removals as another. */
  readonly flush = (): void => {
    const { batch } = this
    this.batch = []
    const sets = batch.filter(({ write }) => !this.isRemoval(write))
    const removals = batch.filter(({ write }) => this.isRemoval(write))
    const { telemetry } = this
    if (sets.length > 0) {
      const writes = sets.map((item) => this.toWrite(item))
      this.runtime.run(
        () => this.backend.setMany(writes),
        (exit, began) => {
          telemetry.recordTime("set", began, exit)
          this.onAnswer("setMany", sets, exit)
        }
      )
    }
    if (removals.length > 0) {
      const removed = removals.map((item) => this.toRemoval(item))
      this.runtime.run(
        () => this.backend.removeMany(removed),
        (exit, began) => {
          telemetry.recordTime("remove", began, exit)
          this.onAnswer("removeMany", removals, exit)
        }
      )
    }
  }

  /** A value that a mark has outdated while it waited is removed: it must still take the place of what is stored. */
  private isRemoval({ authoritative, entry, tiers }: PendingWrite): boolean {
    if (entry === undefined) return true
    return authoritative && tiers === undefined && this.rules.isInvalidated(entry)
  }

  private toWrite({ key, write }: Outgoing): Backend.Write {
    const entry = write.entry!
    return {
      key,
      entry,
      lifetime: write.lifetime,
      authoritative: write.isLatest,
      // what only some tiers missed has the stamp that it got in the others
      isRetry: write.authoritative && !write.isLatest && write.tiers === undefined,
      maxAge: write.authoritative ? undefined : write.maxAge,
      began: write.began,
      tombstone: this.slowestLoad,
      announces: write.announces,
      givesWay: write.givesWay,
      fence: write.fence?.token,
      schema: write.schema,
      tiers: write.tiers
    }
  }

  private toRemoval({ key, write }: Outgoing): Backend.Removal {
    const { isLatest: authoritative, stale, stamp, tiers } = write
    return { key, tombstone: this.tombstoneOf(write), stamp, stale, authoritative, tiers }
  }

  private onAnswer(
    method: string,
    batch: ReadonlyArray<Outgoing>,
    exit: Exit.Exit<ReadonlyArray<Backend.Written>, CacheStoreError>
  ): void {
    const failed: Backend.Written | undefined =
      exit._tag === "Failure"
        ? { _tag: "Failed", error: toStoreError(exit.cause, this.backend.name, method) }
        : undefined
    const answers = exit._tag === "Success" ? exit.value : undefined
    let recorded: CacheStoreError | undefined
    batch.forEach((item, i) => {
      const written: Backend.Written = failed ?? answers?.[i] ?? { _tag: "Superseded" }
      // one fault is one error, however many keys it concerns
      if (written._tag === "Failed" && written.error !== recorded) {
        recorded = written.error
        if (failed === undefined) this.telemetry.recordPartialFailure("write", written.error)
        else this.telemetry.recordFailure("write", written.error)
      }
      this.end(item, written)
    })
  }

  /** Ends a write with the backend's answer, and runs the next one of its key. */
  private end({ key, write, writes }: Outgoing, written: Backend.Written): void {
    writes.running = undefined
    switch (written._tag) {
      case "Failed": {
        if (!write.authoritative) this.listener.onLost(key, write.stamp)
        else this.keepUndelivered(key, writes, write.retryOf ?? write)
        write.end(Effect.fail(written.error))
        break
      }
      case "Refused": {
        this.listener.onRefused(key, write, written)
        if (write.authoritative || (write.replaces && write.fence === undefined)) {
          // the entry that this value was to replace must go all the same, before any later write of the key
          const removal = this.run(key, writes, write.removal(write.stamp, this.tombstoneOf(write)))
          return write.end(removal.done)
        }
        write.end(Effect.void)
        break
      }
      default: {
        if (written._tag === "Written") {
          this.telemetry.recordSuccess("write")
          this.listener.onWritten(key, written.stamp, write)
        } else this.listener.onSuperseded(key, write.stamp)
        if (written._tag === "Fenced") write.fence?.refused()
        if (written._tag === "Late") this.telemetry.recordLate(write.entry?.owner ?? "", write.authoritative)
        if (this.isUndecided(write, written)) {
          const removal = this.run(key, writes, write.removal(write.stamp, this.tombstoneOf(write)))
          return write.end(removal.done)
        }
        if (writes.undelivered !== undefined && this.settles(write, written, writes.undelivered)) {
          this.forgetUndelivered(key, writes)
        }
        if (write.authoritative && written._tag === "Written" && written.missed !== undefined) {
          this.keepUndelivered(key, writes, write.missedBy(written.missed, written.stamp))
        }
        write.end(Effect.void)
      }
    }
    this.runNext(key, writes)
  }

  /**
   * Whether a value was set that the backend did not take, although it may be later than what the backend has: the write
   * ran too late, or it was sent again and a count does not tell when it was asked for. The key is removed instead.
   */
  private isUndecided({ authoritative, entry, retryOf, tiers }: PendingWrite, { _tag }: Backend.Written): boolean {
    if (!authoritative || entry === undefined) return false
    if (_tag === "Late") return true
    // what only some tiers missed has the stamp that it got in the others, so it is known to be the earlier one
    const isOrdered = retryOf === undefined || tiers !== undefined || this.backend.stamps === undefined
    return _tag === "Superseded" && !isOrdered
  }

  /**
   * Whether the end of a write makes it unnecessary to deliver an undelivered one. A value that was loaded later does
   * not: an entry that only the undelivered write outdates may still be on its way to the backend.
   */
  private settles(
    { asked, authoritative }: PendingWrite,
    { _tag }: Backend.Written,
    undelivered: PendingWrite
  ): boolean {
    return authoritative && _tag !== "Late" && undelivered.asked <= asked
  }

  private keepUndelivered(key: string, writes: KeyWrites, write: PendingWrite): void {
    if (writes.undelivered !== undefined && writes.undelivered.asked > write.asked) return
    writes.undelivered = write
    this.undeliveredKeys.add(key)
    if (this.undeliveredKeys.size > maxUndelivered) this.giveUp()
    else this.rules.ensureDelivery()
  }

  private forgetUndelivered(key: string, writes: KeyWrites): void {
    writes.undelivered = undefined
    this.undeliveredKeys.delete(key)
  }

  private isTooOld(): boolean {
    for (const key of this.undeliveredKeys) {
      const undelivered = this.byKey.get(key)?.undelivered
      // what only some tiers missed makes nothing older in the other tiers invalid
      if (undelivered !== undefined && undelivered.tiers === undefined) {
        return this.runtime.now() - undelivered.asked > maxUndeliveredAge
      }
    }
    return false
  }

  /** Too many writes are undelivered, or for too long: everything older than now is invalidated instead. */
  private giveUp(): void {
    for (const key of this.undeliveredKeys) {
      const writes = this.byKey.get(key)
      if (writes === undefined) continue
      writes.undelivered = undefined
      if (writes.isIdle) this.byKey.delete(key)
    }
    this.undeliveredKeys.clear()
    this.rules.clearInstead()
  }
}
