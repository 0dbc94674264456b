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
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as Backend from "../Backend.js"
import { CacheStoreError, LoadInterrupted, ReentrantLoad } from "../CacheError.js"
import * as Entry from "../Entry.js"
import { Bounded } from "./bound.js"
import type { Args, Definition } from "./definition.js"
import { currentFlight, Flight, type Kind } from "./flight.js"
import { Invalidation } from "./invalidation.js"
import type { Io } from "./io.js"
import { defaultTrace, Lanes, Op } from "./lanes.js"
import type { Ledger } from "./ledger.js"
import * as Load from "./load.js"
import type { MarkTable } from "./marks.js"
import { modeOf } from "./mode.js"
import { type Answer, Reads } from "./reads.js"
import { clockOf, nowOf, Stamps, toMillis } from "./time.js"

/** an effect whose requirements are met by those who run it: the context of a read is the reader's */
type Answered = Effect.Effect<any, any>
type AnyFiber = Fiber.RuntimeFiber<any, any>

export interface EngineOptions {
  /** nothing is stored and nothing shared */
  readonly off: boolean
  /** refreshes at once; a stale read beyond serves its value and starts none */
  readonly maxRefreshes: number
  /** loads at once; a read beyond loads for itself alone */
  readonly maxFlights: number
}

/** where a Service keeps its engine */
export const EngineId: unique symbol = /*#__PURE__*/ Symbol.for("effect-cached/Engine") as never

export class Engine {
  readonly invalidation: Invalidation
  readonly marks: MarkTable
  readonly flights = new Map<string, Flight>()
  /** keys with a background loader */
  readonly loaders = new Set<string>()
  readonly backend: Backend.Backend
  readonly io: Io
  readonly ledger: Ledger
  readonly stamps: Stamps
  /** state is `Open` until the Layer closes */
  closed = false
  refreshing = 0
  private readonly live = new Set<Flight>()
  private readonly daemons = new Set<AnyFiber>()
  /** when the next refresh of a key may be tried after one that failed */
  private readonly cooling = new Bounded<number>(10_000)
  private readonly options: EngineOptions
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
    this.reads = new Reads(
      backend,
      io,
      (answers) => {
        ledger.answered()
        if (answers.marks !== undefined) this.invalidation.merge(answers.marks)
      },
      (error) => ledger.failed(error)
    )
    this.lanes = new Lanes(backend, io, {
      onError: (error) => ledger.failed(error),
      onWritten: (_, stamp) => {
        ledger.answered()
        this.stamps.observe(stamp)
      },
      onRefused: (key, op, message) => ledger.refused(key, op.entry?.owner ?? "", message),
      onIdle: (key) => this.reads.supersede(key),
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
    return def.off || modeOf(fiber) === "bypass" ? this.alone(def, args) : this.forced(fiber, def, key, args)
  }

  /** the lookup as if there were no cache, with a Scope of its own as every load has */
  alone(def: Definition, args: Args): Effect.Effect<any, any, any> {
    const lookup = Effect.scoped(Effect.suspend(() => def.lookup(...args)))
    return def.env === undefined ? lookup : Effect.provide(lookup, def.env)
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
    if (flight !== undefined && flight.kind !== "refresh" && this.joinable(flight, def, nowOf(fiber))) {
      return this.miss(fiber, def, key, args)
    }
    return Effect.flatMap(this.reads.get(key, def.schema), (answer) =>
      Effect.withFiberRuntime((fiber) => {
        if (this.closed) return Effect.interrupt
        if (def.engine !== this) this.adopt(def)
        if (answer.superseded && attempt < 3) return this.readRemote(fiber, def, key, args, attempt + 1)
        const later = this.lanes.newest(key)
        if (later !== undefined) return this.judge(fiber, def, key, args, later.entry)
        if (answer.found instanceof CacheStoreError && def.strict) return Effect.fail(answer.found)
        return this.judge(fiber, def, key, args, this.entryOf(answer))
      })
    )
  }

  private entryOf(answer: Answer): Entry.Entry | undefined {
    const { found } = answer
    if (found === undefined || found instanceof Entry.Entry) return found
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

  private miss(fiber: AnyFiber, def: Definition, key: string, args: Args): Effect.Effect<any, any, any> {
    if (this.closed) return Effect.interrupt
    if (this.options.off) return this.alone(def, args)
    def.counters.miss()
    const flight = this.flights.get(key)
    if (flight !== undefined) {
      if (this.joinable(flight, def, nowOf(fiber))) {
        def.counters.joined()
        return flight.join(fiber, this.abandoned)
      }
    } else if (this.isFull()) return this.alone(def, args)
    return this.launch(fiber, def, key, args, "plain")
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
    const flight = this.flights.get(key)
    if (flight === undefined || !this.joinable(flight, def, now)) {
      const notBefore = this.cooling.get(key)
      if (notBefore !== undefined && now < notBefore) return entry.success
      if (this.refreshing < this.options.maxRefreshes) {
        this.refreshing++
        this.refresh(fiber, def, key, args, this.refreshed, entry.freshUntil - entry.createdAt)
      } else {
        this.ledger.warnOnce("refreshes", `${this.refreshing} refreshes at once, further ones wait for later reads`)
      }
    }
    return entry.success
  }

  private joinable(flight: Flight, def: Definition, now: number): boolean {
    if (flight.def.owner !== def.owner || flight.isLate(now)) return false
    if (flight.epoch === this.marks.epoch) return true
    const tags = def.tags === undefined ? Entry.noTags : typeof def.tags === "function" ? "computed" : def.tags
    if (!this.marks.admitsLoad(flight.stamp, def.owner, tags)) return false
    flight.epoch = this.marks.epoch
    return true
  }

  private isFull(): boolean {
    const { maxFlights } = this.options
    if (this.flights.size < maxFlights) return false
    this.ledger.warnOnce("flights", `${maxFlights} loads at once, further ones are not shared`)
    return true
  }

  private launch(fiber: AnyFiber, def: Definition, key: string, args: Args, kind: Kind): Effect.Effect<any, any, any> {
    const flight = this.takeOff(fiber, def, key, args, kind)
    return flight.join(fiber, this.abandoned)
  }

  private takeOff(fiber: AnyFiber, def: Definition, key: string, args: Args, kind: Kind): Flight {
    const clock = clockOf(fiber)
    const now = clock.unsafeCurrentTimeMillis()
    const flight = new Flight(this, key, def, args, kind, this.stamps.next(), clock, now, this.marks.epoch)
    if (kind !== "refresh") flight.parent = fiber.getFiberRef(currentFlight)
    this.detach(key)
    this.flights.set(key, flight)
    this.live.add(flight)
    flight.counters.load()
    Load.start(fiber, flight, { "cache.name": def.name }, (exit) => this.landed(flight, exit))
    return flight
  }

  /** a load of its own, later than the call; the key is its (law 3) */
  forced(fiber: AnyFiber, def: Definition, key: string, args: Args): Effect.Effect<any, any, any> {
    if (def.engine !== this) this.adopt(def)
    if (this.closed) return Effect.interrupt
    if (def.off || this.options.off) return this.alone(def, args)
    def.counters.miss()
    const flight = this.flights.get(key)
    if (flight?.kind === "forced" && flight.phase === "pending" && flight.def.owner === def.owner) {
      def.counters.joined()
      return flight.join(fiber, this.abandoned)
    }
    if (flight === undefined && this.isFull()) return this.alone(def, args)
    const again = ancestor(fiber.getFiberRef(currentFlight), this, key)
    if (again !== undefined) return Effect.die(new ReentrantLoad({ chain: again }))
    this.reads.supersede(key)
    return this.launch(fiber, def, key, args, "forced")
  }

  /** starts a refresh that nobody waits for; it ends, or is ended, within `flightTimeout` */
  refresh(
    fiber: AnyFiber,
    def: Definition,
    key: string,
    args: Args,
    onEnd: (exit: Exit.Exit<any, any>) => void,
    ttl: number
  ): Flight {
    if (def.engine !== this) this.adopt(def)
    def.counters.refresh()
    const flight = this.takeOff(fiber, def, key, args, "refresh")
    flight.onEnd = onEnd
    flight.retryAfter = Math.min(def.retryAfter, ttl)
    if (flight.phase !== "done" && Number.isFinite(def.flightTimeout)) {
      const timer = Effect.flatMap(flight.clock.sleep(Duration.millis(def.flightTimeout)), () =>
        Effect.sync(() => this.overdue(flight))
      )
      flight.timer = this.io.background(timer)
    }
    return flight
  }

  private readonly refreshed = (): void => {
    this.refreshing--
  }

  private overdue(flight: Flight): void {
    if (flight.phase === "done") return
    const { def } = flight
    this.ledger.warnOnce(
      `late:${def.name}`,
      `a refresh of ${def.name} took longer than its flightTimeout and was ended`
    )
    this.failed(flight, flight.startedAt + def.flightTimeout)
    flight.outcome = Exit.die(
      new Cause.TimeoutException(`the load of "${flight.key}" took longer than its flightTimeout`)
    )
    this.io.background(this.dismiss(flight))
  }

  /** ends a refresh; those who joined it did not ask for that, and read again */
  dismiss(flight: Flight): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.unseat(flight)
      flight.settle(
        Effect.withFiberRuntime<any, any>((fiber) => this.read(fiber, flight.def, flight.key, flight.args) as Answered)
      )
      return flight.stop
    })
  }

  /** the load of a key that is under way, to be joined */
  underWay(fiber: AnyFiber, def: Definition, key: string): Answered | undefined {
    const flight = this.flights.get(key)
    return flight !== undefined && this.joinable(flight, def, nowOf(fiber))
      ? flight.join(fiber, this.abandoned)
      : undefined
  }

  /** a daemon ends with the store */
  supervise(fiber: AnyFiber): void {
    this.daemons.add(fiber)
    fiber.addObserver(() => this.daemons.delete(fiber))
    if (this.closed) fiber.unsafeInterruptAsFork(FiberId.none)
  }

  /** the last waiter has left: a plain load is stopped, others run on (law 4) */
  private readonly abandoned = (flight: Flight): Effect.Effect<void> => {
    if (flight.kind === "refresh") return Effect.void
    this.unseat(flight)
    return flight.stop
  }

  /** out of the table: it answers those who wait, nobody joins, it writes nothing */
  private unseat(flight: Flight): void {
    flight.attached = false
    if (this.flights.get(flight.key) === flight) this.flights.delete(flight.key)
  }

  detach(key: string): void {
    const flight = this.flights.get(key)
    if (flight !== undefined) this.unseat(flight)
  }

  private landed(flight: Flight, exit: Exit.Exit<any, any>): void {
    this.live.delete(flight)
    if (flight.timer !== undefined) flight.timer.unsafeInterruptAsFork(FiberId.none)
    const now = flight.clock.unsafeCurrentTimeMillis()
    flight.counters.loadTook(now - flight.startedAt)
    if (this.closed) flight.settle(Exit.interrupt(FiberId.none))
    if (flight.phase === "done") return flight.ended(exit)
    let answer = exit
    if (exit._tag === "Success") {
      try {
        this.loaded(flight, exit.value, now)
      } catch (defect) {
        // a `ttl` or `tags` function of the user's (law 5)
        answer = Exit.die(defect)
      }
    } else if (!flight.stopping && Cause.isInterruptedOnly(exit.cause)) {
      answer = Exit.die(new LoadInterrupted({ key: flight.key }))
    }
    this.unseat(flight)
    if (answer._tag === "Failure" && !flight.stopping) this.failed(flight, now)
    flight.settle(answer)
    flight.ended(answer)
  }

  private failed(flight: Flight, now: number): void {
    const { def, key } = flight
    const refresh = flight.kind === "refresh"
    flight.counters.loadFailure()
    if (refresh) {
      flight.counters.refreshFailure()
      this.cooling.set(key, now + flight.retryAfter)
    }
    this.ledger.publish(() => ({ _tag: "LoadFailed", key, name: def.name, refresh }))
  }

  private loaded(flight: Flight, value: unknown, now: number): void {
    const { def, key } = flight
    const lives = this.livesOf(def, value, flight.args)
    this.cooling.delete(key)
    if (!flight.attached) return
    if (flight.isLate(now)) {
      this.ledger.warnOnce(
        `late:${def.name}`,
        `a load of ${def.name} took longer than its flightTimeout: its value was not stored`
      )
      return
    }
    this.ledger.publish(() => ({ _tag: "Loaded", key, name: def.name, refresh: flight.kind === "refresh" }))
    if (lives.ttl <= 0) {
      // the value says it must not be kept: nor must the one before it
      if (flight.kind !== "plain") this.write(key, undefined, now, def, true)
      return
    }
    const entry = entryOf(value, lives, flight.stamp, now, def.owner)
    if (this.marks.admits(entry)) this.write(key, entry, now, def, false)
  }

  livesOf(def: Definition, value: unknown, args: Args): Lives {
    return {
      ttl: typeof def.ttl === "number" ? def.ttl : toMillis(def.ttl(value, ...args)),
      stale: def.stale,
      tags: def.tags === undefined ? Entry.noTags : typeof def.tags === "function" ? def.tags(value, ...args) : def.tags
    }
  }

  /** writes an entry, or removes what is there; answers with the end of it where the medium is remote */
  private write(
    key: string,
    entry: Entry.Entry | undefined,
    now: number,
    def: Pick<Definition, "schema"> & Partial<Pick<Definition, "flightTimeout">>,
    explicit: boolean
  ): Op | undefined {
    const { backend } = this
    if (backend.unsafeGet !== undefined) {
      if (entry === undefined) backend.unsafeRemove?.(key)
      else backend.unsafeSet?.(key, entry, now)
      this.ledger.totals.entries(backend.unsafeSize?.() ?? 0)
    }
    if (!backend.remote || this.closed) return undefined
    this.reads.supersede(key)
    const life = entry === undefined ? (def.flightTimeout ?? defaultTrace) : entry.expiresAt - now
    const op = new Op(
      entry === undefined ? this.stamps.next() : entry.stamp,
      entry,
      explicit,
      life,
      def.schema,
      this.io.now()
    )
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
    this.detach(key)
    this.cooling.delete(key)
    const op = this.write(key, entry, nowOf(fiber), def, true)
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
    const now = nowOf(fiber)
    const op = this.lanes.newest(key)
    const before =
      op !== undefined && op.entry === undefined
        ? Effect.as(Deferred.await(op.done), undefined)
        : this.unsafeLocate(key, schema)
    return Effect.flatMap(before, (there) => {
      if (this.alive(there, undefined, now) !== undefined) return Effect.succeed(false)
      const write = { key, entry, life: entry.expiresAt - now, explicit: true, schema }
      return Effect.map(this.backend.setIfAbsent(write, { now, replacing: there?.stamp }), (written) => {
        if (written._tag === "Refused") this.ledger.refused(key, entry.owner, written.error.message)
        if (written._tag !== "Written") return false
        this.stamps.observe(written.stamp)
        this.detach(key)
        this.reads.supersede(key)
        return true
      })
    })
  }

  /** marks: what carries them and began before is gone, and loads under way may not write (laws 8 and 16) */
  raise(names: ReadonlyArray<string>): Effect.Effect<void, CacheStoreError> {
    return Effect.suspend(() => (this.closed ? Effect.interrupt : this.invalidation.unsafeRaise(names)))
  }

  get inFlight(): number {
    return this.flights.size
  }

  /**
   * The entry under a key, alive or not, without loading. Asked for at once, not when the effect runs, so that a loop
   * over it makes one batch.
   */
  unsafeLocate(
    key: string,
    schema: Backend.AnySchema | undefined
  ): Effect.Effect<Entry.Entry | undefined, CacheStoreError> {
    if (this.closed) return Effect.interrupt
    const local = this.backend.unsafeGet?.(key)
    if (local !== undefined || !this.backend.remote) return Effect.succeed(local)
    const op = this.lanes.newest(key)
    if (op !== undefined) return Effect.succeed(op.entry)
    return Effect.flatMap(this.reads.get(key, schema), (answer) => {
      if (answer.superseded) return this.unsafeLocate(key, schema)
      return answer.found instanceof CacheStoreError ? Effect.fail(answer.found) : Effect.succeed(this.entryOf(answer))
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

  private adopt(def: Definition): void {
    def.engine = this
    def.counters = this.ledger.countersOf(def.name)
  }

  /** loads are interrupted, waiters too; writes under way get their time (law 11) */
  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.closed = true
      const fibers = Array.from(this.daemons)
      for (const flight of this.live) {
        flight.stopping = true
        if (flight.timer !== undefined) flight.timer.unsafeInterruptAsFork(FiberId.none)
        if (flight.fiber !== undefined) fibers.push(flight.fiber)
        flight.settle(Exit.interrupt(FiberId.none))
      }
      this.flights.clear()
      this.lanes.flush()
      return Effect.all([this.invalidation.stop, Fiber.interruptAll(fibers), this.io.drained], { discard: true })
    })
  }
}

interface Lives {
  readonly ttl: number
  readonly stale: number
  readonly tags: ReadonlyArray<string>
}

export const entryOf = (value: unknown, lives: Lives, stamp: number, now: number, owner: string): Entry.Entry =>
  new Entry.Entry(value, {
    stamp,
    createdAt: now,
    freshUntil: now + lives.ttl,
    expiresAt: now + lives.ttl + lives.stale,
    owner,
    tags: lives.tags
  })

/** a forced load joins nothing, so a load that forces itself is found by its ancestors instead (law 13) */
const ancestor = (from: Flight | undefined, engine: Engine, key: string): ReadonlyArray<string> | undefined => {
  const chain = [key]
  for (let flight = from; flight !== undefined && flight.phase !== "done"; flight = flight.parent) {
    chain.unshift(flight.key)
    if (flight.key === key && flight.engine === engine) return chain
  }
  return undefined
}
