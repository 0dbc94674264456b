/**
 * The engine: one per Layer, above one backend.
 *
 * Reading. What the process holds is asked first (`unsafeGet`); a hit ends there. Then what this process has just said
 * (`Lanes`), then the load under way (`Flight`), then the medium (`Reads`), then a load.
 *
 * Loading. A flight stands in the table under its key while others may join it and it may write. Whatever comes later
 * (`set`, `invalidate`, a mark, a forced load, its own lateness) takes it out: it still answers its waiters, and nobody
 * else (laws 3, 4, 8).
 *
 * Writing. A local medium is written at once. A remote one is written behind the answer, and the lane answers reads
 * until it is done (law 10).
 *
 * What looks like a mistake and is none: a waiter counts as a miss; two loads of one key run after an invalidation, the
 * old one for its waiters; an entry that a mark outdates stays in memory until it is met, swept or evicted.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as Backend from "../Backend.js"
import { CacheStoreError, SerializerError } from "../CacheError.js"
import * as Entry from "../Entry.js"
import type { Args, Definition } from "./definition.js"
import type { Restore } from "./flight.js"
import { Flights, type FlightsOptions } from "./flights.js"
import { Invalidation } from "./invalidation.js"
import type { Io } from "./io.js"
import { defaultTrace, Lanes, longestTrace, Op } from "./lanes.js"
import type { Ledger } from "./ledger.js"
import type { MarkTable } from "./marks.js"
import { modeOf } from "./mode.js"
import { type Answer, failure, Reads } from "./reads.js"
import { nowOf, Stamps } from "./time.js"

type AnyFiber = Fiber.RuntimeFiber<any, any>

export interface EngineOptions extends FlightsOptions {
  /** nothing is stored and nothing shared */
  readonly off: boolean
}

/** where a Service keeps its engine */
export const EngineId: unique symbol = /*#__PURE__*/ Symbol.for("effect-cached/Engine") as never

export class Engine {
  readonly invalidation: Invalidation
  readonly marks: MarkTable
  readonly flights: Flights
  /** keys with a background loader, and the last entry written here: it stands in for a medium that cannot answer */
  readonly loaders = new Map<string, Entry.Entry | undefined>()
  readonly backend: Backend.Backend
  readonly io: Io
  readonly ledger: Ledger
  readonly stamps: Stamps
  /** state is `Open` until the Layer closes */
  closed = false
  /** how long a removal leaves its trace: as long as the slowest function that was seen may take */
  private trace = defaultTrace
  private readonly daemons = new Set<AnyFiber>()
  readonly options: EngineOptions
  private readonly unsafeGet: Backend.Backend["unsafeGet"]
  private readonly lanes: Lanes
  private readonly reads: Reads

  constructor(backend: Backend.Backend, io: Io, ledger: Ledger, options: EngineOptions) {
    this.backend = backend
    this.io = io
    this.options = options
    this.unsafeGet = backend.unsafeGet
    this.ledger = ledger
    this.stamps = new Stamps(backend.offset)
    this.invalidation = new Invalidation(backend, io, ledger, this.stamps, () => this.lanes)
    this.marks = this.invalidation.marks
    this.flights = new Flights(this, options)
    this.reads = new Reads(backend, io, {
      onAnswers: (answers) => {
        const broken = answers.found?.find((found) => found instanceof CacheStoreError)
        if (broken === undefined) ledger.answered("read")
        else ledger.failedPartly(broken)
        if (answers.trace !== undefined) this.stamps.observe(answers.trace)
        if (answers.marks !== undefined) this.invalidation.merge(answers.marks)
      },
      onError: (error) => ledger.failed("read", error)
    })
    this.lanes = new Lanes(backend, io, {
      onError: (error, partly) => (partly ? ledger.failedPartly(error) : ledger.failed("write", error)),
      onWritten: (_, stamp) => {
        ledger.answered("write")
        this.stamps.observe(stamp)
      },
      onRefused: (key, op, message) => ledger.refused(key, op.entry?.owner ?? "", message),
      onIdle: (key) => this.reads.supersede(key),
      stampOwed: (entry, asked) => this.invalidation.stampOwed(entry, asked),
      trace: (op) => (op.entry === undefined ? op.life : this.trace),
      onOverflow: () => this.invalidation.overflow(),
      onOwed: () => this.invalidation.owe()
    })
  }

  read(fiber: AnyFiber, def: Definition, key: string, args: Args): Effect.Effect<any, any, any> {
    if (def.engine !== this) this.adopt(def)
    if (def.off || modeOf(fiber) !== undefined) return this.unusual(fiber, def, key, args)
    const { unsafeGet } = this
    if (unsafeGet !== undefined) {
      const entry = unsafeGet(key)
      if (entry !== undefined && this.admits(entry, def)) {
        const now = nowOf(fiber)
        if (now < entry.freshUntil) {
          if (this.closed) return Effect.interrupt
          def.counters.hit()
          return entry.success
        }
        if (now < entry.expiresAt) return this.stale(fiber, def, key, args, entry, now)
      }
      if (!this.backend.remote) return this.miss(fiber, def, key, args)
    }
    return this.readRemote(fiber, def, key, args, 0)
  }

  /** an entry belongs to its function: another's is a miss */
  private admits(entry: Entry.Entry, def: Definition): boolean {
    if (entry.owner === def.owner) return entry.epoch === this.marks.epoch || this.marks.admits(entry)
    if (entry.owner !== "") this.ledger.foreign(entry.owner, def.owner)
    return false
  }

  private unusual(fiber: AnyFiber, def: Definition, key: string, args: Args): Effect.Effect<any, any, any> {
    if (this.closed) return Effect.interrupt
    return def.off || modeOf(fiber) === "bypass" ? this.alone(def, args) : this.forced(def, key, args)
  }

  /** the lookup as if there were no cache, with a Scope of its own as every load has */
  alone(def: Definition, args: Args): Effect.Effect<any, any, any> {
    const lookup = Effect.scoped(Effect.suspend(() => def.lookup(...args)))
    return def.env === undefined ? lookup : Effect.provide(lookup, def.env)
  }

  /** where there is no room to share a load: it counts as one all the same */
  private unshared(def: Definition, args: Args): Effect.Effect<any, any, any> {
    def.counters.load()
    return this.alone(def, args)
  }

  /** what this process last said of a key, else what the medium has; answered only by what is alive */
  private readRemote(
    fiber: AnyFiber,
    def: Definition,
    key: string,
    args: Args,
    attempt: number
  ): Effect.Effect<any, any, any> {
    if (this.closed) return Effect.interrupt
    const op = this.lanes.newest(key)
    if (op !== undefined) return this.judge(fiber, def, key, args, op.entry)
    const flight = this.flights.get(key)
    if (flight !== undefined && flight.kind !== "refresh" && this.flights.joinable(flight, def, nowOf(fiber))) {
      return this.miss(fiber, def, key, args)
    }
    return Effect.flatMap(this.reads.get(key, def.schema), (answer) =>
      Effect.withFiberRuntime((fiber) => {
        if (this.closed) return Effect.interrupt
        if (def.engine !== this) this.adopt(def)
        if (answer.superseded && attempt < 3) return this.readRemote(fiber, def, key, args, attempt + 1)
        const later = this.lanes.newest(key)
        if (later !== undefined || answer.superseded) return this.judge(fiber, def, key, args, later?.entry)
        if (!(answer.found instanceof CacheStoreError)) return this.judge(fiber, def, key, args, this.entryOf(answer))
        return def.strict ? Effect.fail(answer.found) : this.judge(fiber, def, key, args, this.loaders.get(key))
      })
    )
  }

  private entryOf(answer: Answer): Entry.Entry | undefined {
    const { found } = answer
    if (found === undefined) return undefined
    if (found instanceof Entry.Entry) return this.invalidation.holds(found) ? undefined : found
    if (found instanceof CacheStoreError) return undefined
    this.ledger.garbage(found)
    return undefined
  }

  private judge(
    fiber: AnyFiber,
    def: Definition,
    key: string,
    args: Args,
    entry: Entry.Entry | undefined
  ): Effect.Effect<any, any, any> {
    if (entry !== undefined && this.admits(entry, def)) {
      const now = nowOf(fiber)
      if (now < entry.freshUntil) {
        def.counters.hit()
        return entry.success
      }
      if (now < entry.expiresAt) return this.stale(fiber, def, key, args, entry, now)
    }
    return this.miss(fiber, def, key, args)
  }

  /** joins the load of a key, or starts one */
  private miss(fiber: AnyFiber, def: Definition, key: string, args: Args): Effect.Effect<any, any, any> {
    if (this.closed) return Effect.interrupt
    if (this.options.off) return this.alone(def, args)
    def.counters.miss()
    if (this.flights.isFull(key)) return this.unshared(def, args)
    // as `masked`, one step shorter: the fiber that reads is the one that waits
    return Effect.uninterruptibleMask((restore) =>
      this.closed ? Effect.interrupt : this.flights.load(fiber, restore, def, key, args)
    )
  }

  /** what a miss does, and a run of a background loader that finds one under way */
  load(def: Definition, key: string, args: Args): Effect.Effect<any, any> {
    return masked((fiber, restore) =>
      this.closed ? Effect.interrupt : this.flights.load(fiber, restore, def, key, args)
    )
  }

  /** serves what is stale and, where none is under way and none has just failed, starts a refresh behind it (law 9) */
  private stale(
    fiber: AnyFiber,
    def: Definition,
    key: string,
    args: Args,
    entry: Entry.Entry,
    now: number
  ): Effect.Effect<any, any, any> {
    if (this.closed) return Effect.interrupt
    def.counters.stale()
    this.flights.behind(fiber, def, key, args, entry, now)
    return entry.success
  }

  /** a load of its own, later than the call; the key is its (law 3) */
  forced(def: Definition, key: string, args: Args): Effect.Effect<any, any, any> {
    if (def.engine !== this) this.adopt(def)
    if (this.closed) return Effect.interrupt
    if (def.off || this.options.off) return this.alone(def, args)
    def.counters.miss()
    if (this.flights.isFull(key)) return this.unshared(def, args)
    return masked((fiber, restore) => {
      if (this.closed) return Effect.interrupt
      this.reads.supersede(key)
      return this.flights.forced(fiber, restore, def, key, args)
    })
  }

  /** a daemon ends with the store */
  supervise(fiber: AnyFiber): void {
    this.daemons.add(fiber)
    fiber.addObserver(() => this.daemons.delete(fiber))
    if (this.closed) fiber.unsafeInterruptAsFork(FiberId.none)
  }

  /** writes an entry, or removes what is there; answers with the end of it where the medium is remote */
  write(
    key: string,
    entry: Entry.Entry | undefined,
    now: number,
    def: Pick<Definition, "schema"> & Partial<Pick<Definition, "flightTimeout">>,
    explicit: boolean,
    replaces: boolean
  ): Op | undefined {
    const { backend } = this
    if (backend.unsafeGet !== undefined) {
      if (entry === undefined) backend.unsafeRemove?.(key)
      else backend.unsafeSet?.(key, entry, now)
      this.ledger.totals.entries(backend.unsafeSize?.() ?? 0)
    }
    if (!backend.remote || this.closed) return undefined
    if (this.loaders.has(key)) this.loaders.set(key, entry)
    this.reads.supersede(key)
    const life =
      entry === undefined
        ? def.flightTimeout === undefined
          ? this.trace
          : Math.min(def.flightTimeout, longestTrace)
        : entry.expiresAt - now
    const op = new Op(
      entry === undefined ? this.stamps.next() : entry.stamp,
      entry,
      explicit,
      life,
      def.schema,
      this.io.now()
    )
    op.replaces = replaces
    if (def.flightTimeout !== undefined) op.maxAge = def.flightTimeout
    this.lanes.submit(key, op)
    return op
  }

  /**
   * `set` and `invalidate` (no entry): what was asked for before no longer counts (law 8). Done at once, here; the
   * effect waits for the medium.
   */
  unsafePut(
    fiber: AnyFiber,
    key: string,
    entry: Entry.Entry | undefined,
    def: Pick<Definition, "schema"> & Partial<Pick<Definition, "flightTimeout">>
  ): Effect.Effect<void, CacheStoreError> {
    if (this.closed) return Effect.interrupt
    this.flights.forget(key)
    const op = this.write(key, entry, nowOf(fiber), def, true, true)
    if (entry === undefined && this.backend.remote) {
      this.ledger.publish(() => ({ _tag: "Removed", key, cause: "explicit" }))
    }
    return op === undefined ? Effect.void : Deferred.await(op.done)
  }

  putIfAbsent(
    fiber: AnyFiber,
    key: string,
    entry: Entry.Entry,
    schema: Backend.AnySchema | undefined
  ): Effect.Effect<boolean, CacheStoreError> {
    if (this.closed) return Effect.interrupt
    const now = nowOf(fiber)
    const op = this.lanes.newest(key)
    if (op !== undefined && op.entry === undefined) {
      return Effect.zipRight(
        Deferred.await(op.done),
        Effect.suspend(() => this.putIfAbsent(fiber, key, entry, schema))
      )
    }
    return Effect.flatMap(this.find(key, schema), (found) => {
      if (found instanceof Entry.Entry && this.alive(found, undefined, now) !== undefined) return Effect.succeed(false)
      const write = { key, entry, life: entry.expiresAt - now, explicit: true, schema }
      return Effect.async((resume) => {
        const ask = () => this.backend.setIfAbsent(write, { now, replacing: found?.stamp })
        this.io.run(ask, (exit) => {
          if (exit._tag === "Failure") {
            const error = failure(exit.cause, this.backend.name, "setIfAbsent")
            this.ledger.failed("write", error)
            return resume(Effect.fail(error))
          }
          this.ledger.answered("write")
          const written = exit.value
          if (written._tag === "Failed") return resume(Effect.fail(written.error))
          if (written._tag === "Refused") {
            this.ledger.refused(key, entry.owner, written.error.message)
            const { error: cause } = written
            const { name } = this.backend
            return resume(
              Effect.fail(new CacheStoreError({ reason: "Rejected", store: name, method: "setIfAbsent", cause }))
            )
          }
          if (written._tag === "Written") {
            this.stamps.observe(written.stamp)
            this.flights.forget(key)
            this.reads.supersede(key)
          }
          resume(Effect.succeed(written._tag === "Written"))
        })
      })
    })
  }

  /** marks: what carries them and began before is gone, and loads under way may not write (laws 8 and 16) */
  raise(names: ReadonlyArray<string>): Effect.Effect<void, CacheStoreError> {
    return Effect.suspend(() => (this.closed ? Effect.interrupt : this.invalidation.unsafeRaise(names)))
  }

  /**
   * The entry under a key, alive or not, without loading. Asked for at once, not when the effect runs, so that a loop
   * over it makes one batch.
   */
  unsafeLocate(
    key: string,
    schema: Backend.AnySchema | undefined
  ): Effect.Effect<Entry.Entry | undefined, CacheStoreError> {
    return Effect.map(this.find(key, schema), (found) => (found instanceof Entry.Entry ? found : undefined))
  }

  private find(
    key: string,
    schema: Backend.AnySchema | undefined
  ): Effect.Effect<Entry.Entry | SerializerError | undefined, CacheStoreError> {
    if (this.closed) return Effect.interrupt
    const local = this.backend.unsafeGet?.(key)
    if (local !== undefined || !this.backend.remote) return Effect.succeed(local)
    const op = this.lanes.newest(key)
    if (op !== undefined) return Effect.succeed(op.entry)
    return Effect.flatMap(this.reads.get(key, schema), (answer) => {
      if (answer.superseded) return this.find(key, schema)
      if (answer.found instanceof CacheStoreError) return Effect.fail(answer.found)
      const entry = this.entryOf(answer)
      return Effect.succeed(answer.found instanceof SerializerError ? answer.found : entry)
    })
  }

  /** what is alive of it at `now` for this owner; `undefined` as owner is anybody */
  alive(entry: Entry.Entry | undefined, owner: string | undefined, now: number): Entry.Entry | undefined {
    return entry !== undefined &&
      now < entry.expiresAt &&
      (owner === undefined || entry.owner === owner) &&
      this.marks.admits(entry)
      ? entry
      : undefined
  }

  adopt(def: Definition): void {
    def.engine = this
    this.trace = Math.max(this.trace, Math.min(def.flightTimeout, longestTrace))
    def.counters = this.ledger.countersOf(def.name)
  }

  /** the medium is there again */
  get up(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.ledger.up()
      return Effect.zipRight(this.invalidation.hear, this.invalidation.deliver)
    })
  }

  /** loads are interrupted, waiters too; writes under way get their time (law 11) */
  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.closed = true
      const loads = this.flights.unsafeClose()
      this.lanes.close()
      return Effect.all([this.invalidation.stop, loads, Fiber.interruptAll(this.daemons), this.io.drained], {
        discard: true
      })
    })
  }
}

/** what is counted in here is uncounted in there: a fiber that comes to wait cannot leave in between */
const masked = (enter: (fiber: AnyFiber, restore: Restore) => Effect.Effect<any, any>): Effect.Effect<any, any> =>
  Effect.uninterruptibleMask((restore) => Effect.withFiberRuntime<any, any>((fiber) => enter(fiber, restore)))
