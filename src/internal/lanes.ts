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
import type * as Backend from "../Backend.js"
import type { CacheStoreError } from "../CacheError.js"
import { Entry } from "../Entry.js"
import type { Io } from "./io.js"
import { failure, maxBatch } from "./reads.js"

/** how many keys may be owed; beyond, everything older than now is invalidated instead */
export const maxOwed = 10_000

/** how many milliseconds anything may be owed, with the same end */
export const maxOwedAge = 3_600_000

/** how long a removal leaves its trace, where no function says how long its loads may take */
export const defaultTrace = 30_000

/** a load may take for ever, a trace may not stay so long */
export const longestTrace = 3_600_000

/** a write or, without an entry, a removal */
export class Op {
  readonly done: Deferred.Deferred<void, CacheStoreError> = Deferred.unsafeMake(FiberId.none)
  /** tried before: it keeps its stamp */
  again = false
  /** a loaded value that takes the place of one that may still be there */
  replaces = false
  readonly stamp: number
  readonly entry: Entry | undefined
  readonly explicit: boolean
  readonly life: number
  readonly schema: Backend.AnySchema | undefined
  /** when its life began to count, on the live clock */
  readonly at: number
  /** when it was first asked for */
  since: number
  /** how long after its stamp a loaded value may still be written */
  maxAge = Number.POSITIVE_INFINITY

  constructor(
    stamp: number,
    entry: Entry | undefined,
    explicit: boolean,
    life: number,
    schema: Backend.AnySchema | undefined,
    at: number
  ) {
    this.at = at
    this.since = at
    this.stamp = stamp
    this.entry = entry
    this.explicit = explicit
    this.life = life
    this.schema = schema
  }
}

class Lane {
  running: Op | undefined = undefined
  explicit: Op | undefined = undefined
  loaded: Op | undefined = undefined
  owed: Op | undefined = undefined

  get newest(): Op | undefined {
    return this.loaded ?? this.explicit ?? this.running ?? this.owed
  }
}

interface Outgoing {
  readonly key: string
  readonly lane: Lane
  readonly op: Op
}

export interface LaneEvents {
  readonly onError: (error: CacheStoreError) => void
  readonly onWritten: (key: string, stamp: number) => void
  readonly onRefused: (key: string, op: Op, message: string) => void
  /** the last write of a key has ended */
  readonly onIdle: (key: string) => void
  /** the stamp with which an owed entry is delivered, unless it was invalidated since */
  readonly stampOwed: (entry: Entry) => number | undefined
  readonly onOverflow: () => void
  readonly onOwed: () => void
}

export class Lanes {
  private readonly lanes = new Map<string, Lane>()
  private readonly owing = new Set<string>()
  private batch: Array<Outgoing> = []
  private closed = false
  private readonly backend: Backend.Backend
  private readonly io: Io
  private readonly events: LaneEvents

  constructor(backend: Backend.Backend, io: Io, events: LaneEvents) {
    this.backend = backend
    this.io = io
    this.events = events
  }

  get size(): number {
    return this.lanes.size
  }

  get owed(): number {
    return this.owing.size
  }

  /** what this process last said of a key, while the medium may not know it yet */
  newest(key: string): Op | undefined {
    return this.lanes.size === 0 ? undefined : this.lanes.get(key)?.newest
  }

  submit(key: string, op: Op): void {
    let lane = this.lanes.get(key)
    if (lane === undefined) {
      lane = new Lane()
      this.lanes.set(key, lane)
    }
    if (op.explicit) {
      // what was loaded before it is no longer wanted, and an explicit write that waits need not go out any more
      if (lane.loaded !== undefined) Deferred.unsafeDone(lane.loaded.done, Effect.void)
      if (lane.explicit !== undefined) Deferred.unsafeDone(lane.explicit.done, Deferred.await(op.done))
      lane.loaded = undefined
      lane.explicit = op
    } else {
      if (lane.loaded !== undefined) Deferred.unsafeDone(lane.loaded.done, Deferred.await(op.done))
      lane.loaded = op
    }
    this.next(key, lane)
  }

  /** tries again what is owed */
  get deliver(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.isTooOld()) this.giveUp()
      const waits: Array<Effect.Effect<void>> = []
      for (const key of Array.from(this.owing)) {
        const lane = this.lanes.get(key)
        if (lane?.owed === undefined || lane.running !== undefined) continue
        const op = lane.owed
        waits.push(Effect.ignore(Deferred.await(this.retry(key, lane, op).done)))
      }
      return Effect.all(waits, { concurrency: "unbounded", discard: true })
    })
  }

  private retry(key: string, lane: Lane, op: Op): Op {
    // time has passed; what has meanwhile expired, or was invalidated, must still take the place of what stood there
    const left = op.life - (this.io.now() - op.at)
    const stamp = op.entry === undefined ? op.stamp : left <= 0 ? undefined : this.events.stampOwed(op.entry)
    const again =
      op.entry === undefined || stamp === undefined
        ? new Op(op.stamp, undefined, true, op.entry === undefined ? op.life : defaultTrace, undefined, this.io.now())
        : new Op(
            stamp,
            new Entry(op.entry.value, { ...op.entry, stamp }),
            true,
            Math.ceil(left),
            op.schema,
            this.io.now()
          )
    again.again = true
    again.since = op.since
    lane.running = again
    this.write(key, lane, again)
    return again
  }

  private next(key: string, lane: Lane): void {
    if (lane.running !== undefined) return
    const op = lane.explicit ?? lane.loaded
    if (op === undefined) {
      if (lane.owed === undefined) {
        this.lanes.delete(key)
        this.events.onIdle(key)
      }
      return
    }
    if (this.closed && !op.explicit) return
    if (op === lane.explicit) lane.explicit = undefined
    else lane.loaded = undefined
    lane.running = op
    this.write(key, lane, op)
  }

  private write(key: string, lane: Lane, op: Op): void {
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
      this.io.run(
        this.backend.setMany(
          sets.map(({ key, op }) => ({
            key,
            entry: op.entry!,
            life: op.life,
            explicit: op.explicit && !op.again,
            maxAge: op.explicit ? undefined : op.maxAge,
            schema: op.schema
          }))
        ),
        (exit) => this.ended("setMany", sets, exit)
      )
    }
    if (removals.length > 0) {
      this.io.run(
        Effect.map(
          this.backend.removeMany(
            removals.map(({ key, op }) => ({
              key,
              trace: op.life,
              stamp: op.stamp,
              explicit: op.explicit && !op.again
            }))
          ),
          (stamp) => removals.map((): Backend.Written => ({ _tag: "Written", stamp }))
        ),
        (exit) => this.ended("removeMany", removals, exit)
      )
    }
  }

  private ended(
    method: string,
    batch: ReadonlyArray<Outgoing>,
    exit: Exit.Exit<ReadonlyArray<Backend.Written>, CacheStoreError>
  ): void {
    const error = exit._tag === "Failure" ? failure(exit.cause, this.backend.name, method) : undefined
    if (error !== undefined) this.events.onError(error)
    batch.forEach(({ key, lane, op }, i) => {
      lane.running = undefined
      if (error !== undefined) {
        if (op.explicit) this.owe(key, lane, op)
        Deferred.unsafeDone(op.done, Effect.fail(error))
      } else if (exit._tag === "Success") {
        const written = exit.value[i]!
        let end: Effect.Effect<void, CacheStoreError> = Effect.void
        if (written._tag === "Written") this.events.onWritten(key, written.stamp)
        if (written._tag === "Refused") {
          this.events.onRefused(key, op, written.error.message)
          // a value that cannot be kept still takes the place of what stood there
          if (op.explicit || op.replaces) {
            const removal = new Op(op.stamp, undefined, true, defaultTrace, undefined, op.at)
            this.submit(key, removal)
            end = Deferred.await(removal.done)
          }
        } else if (lane.owed !== undefined && lane.owed.stamp <= op.stamp) {
          lane.owed = undefined
          this.owing.delete(key)
        }
        Deferred.unsafeDone(op.done, end)
      }
      this.next(key, lane)
    })
  }

  private owe(key: string, lane: Lane, op: Op): void {
    if (lane.owed !== undefined && lane.owed.stamp > op.stamp) return
    lane.owed = op
    this.owing.add(key)
    if (this.owing.size > maxOwed) this.giveUp()
    else this.events.onOwed()
  }

  private isTooOld(): boolean {
    for (const key of this.owing) {
      const owed = this.lanes.get(key)?.owed
      if (owed !== undefined) return this.io.now() - owed.since > maxOwedAge
    }
    return false
  }

  /** too much, or too long ago, to tell apart: everything older than now is invalidated instead */
  private giveUp(): void {
    for (const key of this.owing) {
      const lane = this.lanes.get(key)
      if (lane === undefined) continue
      lane.owed = undefined
      if (lane.newest === undefined) this.lanes.delete(key)
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
