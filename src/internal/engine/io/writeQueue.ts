/**
 * Writes to a remote medium. Those of one key leave one at a time, in the order of their stamps; until the last has
 * ended, reads are answered from it (law 10).
 *
 * A loaded value that cannot be written is dropped. A `set` or a removal that the medium did not confirm is owed: reads
 * here see it as done, and it is delivered as soon as the medium is back, with the stamp of when it was asked for, so
 * that whatever came later wins (law 6).
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Scheduler from "effect/Scheduler"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError } from "../../../CacheError.js"
import { Entry } from "../../../Entry.js"
import type { Fence } from "../definition.js"
import type { StoreRuntime } from "../storeRuntime.js"
import { failure, maxBatch } from "./readBatcher.js"

/** how many keys may be owed; beyond, everything older than now is invalidated instead */
export const maxUndelivered = 10_000

/** how many milliseconds anything may be owed, with the same end */
export const maxUndeliveredAge = 3_600_000

/** how long a removal leaves its trace, where no function says how long its loads may take */
export const defaultTombstone = 30_000

/** a load may take for ever, a trace may not stay so long */
export const longestTombstone = 3_600_000

/** a write or, without an entry, a removal */
export class PendingWrite {
  readonly done: Deferred.Deferred<void, CacheStoreError> = Deferred.unsafeMake(FiberId.none)
  /** what this tries again: it is no longer what came last */
  of: PendingWrite | undefined = undefined
  /** a loaded value that takes the place of one that may still be there */
  replaces = false
  /** another process wrote later: it runs on, and answers no more */
  outdated = false
  /** the latest that another process wrote while it ran; which of the two came later is not known yet */
  heard = Number.NEGATIVE_INFINITY
  /** how long after its stamp a loaded value may still be written */
  maxAge = Number.POSITIVE_INFINITY
  /** other processes follow the key */
  announces = false
  /** it counts only where this lock is still held: until the medium says so, it answers nothing */
  fence: Fence | undefined = undefined
  readonly stamp: number
  readonly entry: Entry | undefined
  readonly authoritative: boolean
  /** milliseconds from `asked` on */
  readonly lifetime: number
  readonly schema: Backend.AnySchema | undefined
  /** when it was asked for, on the live clock */
  readonly asked: number

  constructor(
    stamp: number,
    entry: Entry | undefined,
    authoritative: boolean,
    lifetime: number,
    schema: Backend.AnySchema | undefined,
    asked: number
  ) {
    this.stamp = stamp
    this.entry = entry
    this.authoritative = authoritative
    this.lifetime = lifetime
    this.schema = schema
    this.asked = asked
  }

  /** the same write, with a stamp and what is left of its life */
  again(stamp: number, entry: Entry | undefined, lifetime: number): PendingWrite {
    const again = new PendingWrite(stamp, entry, this.authoritative, lifetime, this.schema, this.asked)
    again.of = this
    return again
  }
}

const restamped = (entry: Entry, stamp: number): Entry =>
  stamp === entry.stamp ? entry : new Entry(entry.value, { ...entry, stamp })

const standing = (op: PendingWrite | undefined): PendingWrite | undefined =>
  op === undefined || op.outdated || op.fence !== undefined ? undefined : op

class KeyWrites {
  running: PendingWrite | undefined = undefined
  authoritative: PendingWrite | undefined = undefined
  loaded: PendingWrite | undefined = undefined
  owed: PendingWrite | undefined = undefined

  /** nothing is on its way, waits or is owed */
  get isIdle(): boolean {
    return (this.running ?? this.authoritative ?? this.loaded ?? this.owed) === undefined
  }

  get newest(): PendingWrite | undefined {
    return standing(this.loaded) ?? this.authoritative ?? standing(this.running) ?? this.owed
  }
}

interface Outgoing {
  readonly key: string
  readonly lane: KeyWrites
  readonly op: PendingWrite
}

export interface WriteQueueEvents {
  readonly onError: (error: CacheStoreError, partly: boolean) => void
  readonly onWritten: (key: string, stamp: number, op: PendingWrite) => void
  /** the medium did not take what was loaded */
  readonly onLost: (key: string, stamp: number) => void
  /** something newer than this stamp stands there */
  readonly onSuperseded: (key: string, stamp: number) => void
  readonly onRefused: (key: string, op: PendingWrite, message: string) => void
  /** the last write of a key has ended */
  readonly onIdle: (key: string) => void
  /** the stamp with which an owed write is delivered; none for an entry that was invalidated since */
  readonly stampOwed: (entry: Entry | undefined, asked: number, given: number) => number | undefined
  /** the stamp of a moment on the live clock, as far as it is known now */
  readonly stampOf: (moment: number) => number
  /** how long the trace of a removal in the place of this write stays */
  readonly tombstone: (op: PendingWrite) => number
  readonly onOverflow: () => void
  readonly onOwed: () => void
}

export class WriteQueue {
  private readonly writeQueue = new Map<string, KeyWrites>()
  private readonly owing = new Set<string>()
  private batch: Array<Outgoing> = []
  private closed = false
  private readonly backend: Backend.Backend
  private readonly runtime: StoreRuntime
  private readonly events: WriteQueueEvents

  constructor(backend: Backend.Backend, runtime: StoreRuntime, events: WriteQueueEvents) {
    this.backend = backend
    this.runtime = runtime
    this.events = events
  }

  get owed(): number {
    return this.owing.size
  }

  /** nothing is on its way to the medium, or owed to it */
  get isIdle(): boolean {
    return this.writeQueue.size === 0
  }

  /** what this process last said of a key, while the medium may not know it yet */
  newest(key: string): PendingWrite | undefined {
    return this.writeQueue.size === 0 ? undefined : this.writeQueue.get(key)?.newest
  }

  /** what was loaded here last has been written, or has not */
  ended(key: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const lane = this.writeQueue.get(key)
      const op = lane?.loaded ?? lane?.running
      return op === undefined ? Effect.void : Effect.ignore(Deferred.await(op.done))
    })
  }

  submit(key: string, op: PendingWrite): void {
    let lane = this.writeQueue.get(key)
    if (lane === undefined) {
      lane = new KeyWrites()
      this.writeQueue.set(key, lane)
    }
    if (op.authoritative) {
      // what was loaded before it is no longer wanted, and an explicit write that waits need not go out any more
      if (lane.loaded !== undefined) Deferred.unsafeDone(lane.loaded.done, Effect.void)
      if (lane.authoritative !== undefined) Deferred.unsafeDone(lane.authoritative.done, Deferred.await(op.done))
      lane.loaded = undefined
      lane.authoritative = op
    } else {
      if (lane.loaded !== undefined) Deferred.unsafeDone(lane.loaded.done, Deferred.await(op.done))
      lane.loaded = op
    }
    this.next(key, lane)
  }

  /** another process wrote later than this: what was loaded before answers no more, what is owed need not be delivered */
  outdate(key: string, stamp: number): void {
    const lane = this.writeQueue.get(key)
    if (lane === undefined) return
    const { loaded, owed, running } = lane
    if (loaded !== undefined && loaded.stamp < stamp) {
      lane.loaded = undefined
      Deferred.unsafeDone(loaded.done, Effect.void)
    }
    if (running !== undefined) {
      running.heard = Math.max(running.heard, stamp)
      // what is tried again keeps its stamp, as a loaded value does
      if ((!running.authoritative || running.of !== undefined) && running.stamp < stamp) running.outdated = true
    }
    if (owed === undefined || !this.cameBefore(owed, stamp)) return
    lane.owed = undefined
    this.owing.delete(key)
    if (lane.isIdle) this.writeQueue.delete(key)
  }

  /** whether it was asked for before something of this stamp; not while the medium's time is unknown */
  private cameBefore(op: PendingWrite, stamp: number): boolean {
    return (
      Number.isFinite(this.events.stampOf(op.asked)) && this.events.stampOwed(undefined, op.asked, op.stamp)! < stamp
    )
  }

  /** tries again what is owed */
  get deliver(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.isTooOld()) this.giveUp()
      const waits: Array<Effect.Effect<void>> = []
      for (const key of Array.from(this.owing)) {
        const lane = this.writeQueue.get(key)
        if (lane?.owed === undefined || lane.running !== undefined) continue
        const op = lane.owed
        waits.push(Effect.ignore(Deferred.await(this.retry(key, lane, op).done)))
      }
      return Effect.all(waits, { concurrency: "unbounded", discard: true })
    })
  }

  private retry(key: string, lane: KeyWrites, op: PendingWrite): PendingWrite {
    // time has passed; what has meanwhile expired, or was invalidated, must still take the place of what stood there
    const left = op.lifetime - (this.runtime.now() - op.asked)
    const stamp = op.entry !== undefined && left > 0 ? this.events.stampOwed(op.entry, op.asked, op.stamp) : undefined
    return this.run(
      key,
      lane,
      op.entry === undefined || stamp === undefined
        ? op.again(this.events.stampOwed(undefined, op.asked, op.stamp)!, undefined, this.events.tombstone(op))
        : op.again(stamp, new Entry(op.entry.value, { ...op.entry, stamp }), Math.ceil(left))
    )
  }

  private run(key: string, lane: KeyWrites, op: PendingWrite): PendingWrite {
    lane.running = op
    this.write(key, lane, op)
    return op
  }

  private next(key: string, lane: KeyWrites): void {
    if (lane.running !== undefined) return
    const op = lane.authoritative ?? lane.loaded
    if (op === undefined) {
      if (lane.owed === undefined) {
        this.writeQueue.delete(key)
        this.events.onIdle(key)
      }
      return
    }
    if (this.closed && !op.authoritative) {
      this.writeQueue.delete(key)
      Deferred.unsafeDone(op.done, Effect.void)
      return
    }
    if (op === lane.authoritative) lane.authoritative = undefined
    else lane.loaded = undefined
    this.run(key, lane, op)
  }

  private write(key: string, lane: KeyWrites, op: PendingWrite): void {
    const size = this.batch.push({ key, lane, op })
    if (this.closed) return this.flush()
    if (size === 1) Scheduler.defaultScheduler.scheduleTask(this.flush, 0)
    else if (size === maxBatch) this.flush()
  }

  /** what was submitted in one turn goes out together */
  readonly flush = (): void => {
    const batch = this.batch
    this.batch = []
    const sets = batch.filter((item) => item.op.entry !== undefined)
    const removals = batch.filter((item) => item.op.entry === undefined)
    if (sets.length > 0) {
      const writes = sets.map(
        ({ key, op }): Backend.Write => ({
          key,
          entry: restamped(op.entry!, this.stampOf(op)),
          lifetime: op.lifetime,
          // what a mark has outdated while it waited is not what came last
          authoritative:
            op.authoritative &&
            op.of === undefined &&
            this.events.stampOwed(op.entry, op.asked, op.stamp) !== undefined,
          maxAge: op.authoritative ? undefined : op.maxAge,
          announces: op.announces,
          fence: op.fence?.token,
          schema: op.schema
        })
      )
      this.runtime.run(
        () => this.backend.setMany(writes),
        (exit) => this.answered("setMany", sets, exit)
      )
    }
    if (removals.length > 0) {
      const asked = removals.map(
        ({ key, op }): Backend.Removal => ({
          key,
          tombstone: op.lifetime,
          stamp: this.stampOf(op),
          authoritative: op.authoritative && op.of === undefined
        })
      )
      this.runtime.run(
        () => this.backend.removeMany(asked),
        (exit) => this.answered("removeMany", removals, exit)
      )
    }
  }

  private answered(
    method: string,
    batch: ReadonlyArray<Outgoing>,
    exit: Exit.Exit<ReadonlyArray<Backend.Written>, CacheStoreError>
  ): void {
    const failed: Backend.Written | undefined =
      exit._tag === "Failure" ? { _tag: "Failed", error: failure(exit.cause, this.backend.name, method) } : undefined
    const answers = exit._tag === "Success" ? exit.value : undefined
    let told: CacheStoreError | undefined
    batch.forEach(({ key, lane, op }, i) => {
      const written: Backend.Written = failed ?? answers?.[i] ?? { _tag: "Superseded" }
      lane.running = undefined
      if (written._tag === "Failed") {
        const { error } = written
        // one fault is one error, however many keys were on their way
        if (error !== told) this.events.onError(error, failed === undefined)
        told = error
        if (op.authoritative) {
          if (!op.outdated && !this.cameBefore(op, op.heard)) this.owe(key, lane, op.of ?? op)
        } else this.events.onLost(key, op.stamp)
        Deferred.unsafeDone(op.done, Effect.fail(error))
      } else {
        if (written._tag === "Refused") {
          this.events.onRefused(key, op, written.error.message)
          // a value that cannot be kept still takes the place of what stood there, before what waits takes its
          if (op.authoritative || (op.replaces && op.fence === undefined)) {
            const removal = this.run(key, lane, op.again(op.stamp, undefined, this.events.tombstone(op)))
            Deferred.unsafeDone(op.done, Deferred.await(removal.done))
            return
          }
        } else {
          if (written._tag === "Written") this.events.onWritten(key, written.stamp, op)
          else this.events.onSuperseded(key, op.stamp)
          if (written._tag === "Fenced") op.fence?.refused()
          if (lane.owed !== undefined && this.settles(op, written, lane.owed)) {
            lane.owed = undefined
            this.owing.delete(key)
          }
        }
        Deferred.unsafeDone(op.done, Effect.void)
      }
      this.next(key, lane)
    })
  }

  /**
   * Whether what is owed need not be delivered any more. What was loaded later may have an earlier stamp, where the
   * medium's time was not known: then something may stand there, or come, that only what is owed outdates.
   */
  private settles(op: PendingWrite, written: Backend.Written, owed: PendingWrite): boolean {
    if (written._tag === "Late" || owed.asked > op.asked) return false
    if (op.of === owed || op.authoritative) return true
    return written._tag === "Written" && written.stamp >= this.events.stampOf(owed.asked)
  }

  /** when it was asked for, also where the medium's time was not known then */
  private stampOf(op: PendingWrite): number {
    const asked = this.events.stampOf(op.asked)
    return op.authoritative && asked - op.stamp > 1 ? asked : op.stamp
  }

  private owe(key: string, lane: KeyWrites, op: PendingWrite): void {
    if (lane.owed !== undefined && lane.owed.asked > op.asked) return
    lane.owed = op
    this.owing.add(key)
    if (this.owing.size > maxUndelivered) this.giveUp()
    else this.events.onOwed()
  }

  private isTooOld(): boolean {
    for (const key of this.owing) {
      const owed = this.writeQueue.get(key)?.owed
      if (owed !== undefined) return this.runtime.now() - owed.asked > maxUndeliveredAge
    }
    return false
  }

  /** too much, or too long ago, to tell apart: everything older than now is invalidated instead */
  private giveUp(): void {
    for (const key of this.owing) {
      const lane = this.writeQueue.get(key)
      if (lane === undefined) continue
      lane.owed = undefined
      if (lane.isIdle) this.writeQueue.delete(key)
    }
    this.owing.clear()
    this.events.onOverflow()
  }

  /** what was set or invalidated still goes out, what was loaded and waits its turn does not */
  close(): void {
    this.flush()
    this.closed = true
  }
}
