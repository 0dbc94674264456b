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
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as Backend from "../../Backend.js"
import { CacheStoreError, SerializerError } from "../../CacheError.js"
import * as Entry from "../../Entry.js"
import { driftOf, nowOf, Stamps } from "../time.js"
import type { Args, Definition } from "./definition.js"
import { Invalidation } from "./io/invalidation.js"
import type { MarkTable } from "./io/markTable.js"
import { PendingWrite } from "./io/pendingWrite.js"
import { type ReadAnswer, ReadBatcher } from "./io/readBatcher.js"
import { WriteQueue } from "./io/writeQueue.js"
import type { Flight, Restore } from "./loads/flight.js"
import { SingleFlight, type SingleFlightOptions } from "./loads/singleFlight.js"
import { type Mode, modeOf } from "./mode.js"
import { Ownership } from "./ownership.js"
import { KeyListeners } from "./peers/keyListeners.js"
import { LoaderKeys } from "./peers/loaderKeys.js"
import { LoadLock } from "./peers/loadLock.js"
import { isHeld, LocalTier } from "./peers/localTier.js"
import { PeerNotifications } from "./peers/news.js"
import type { StoreRuntime } from "./storeRuntime.js"
import type { Telemetry } from "./telemetry.js"

type AnyFiber = Fiber.RuntimeFiber<any, any>

export interface EngineOptions extends SingleFlightOptions {
  /** nothing is stored and nothing shared */
  readonly off: boolean
  /** how many milliseconds a copy in memory counts while other processes cannot be heard */
  readonly blindTtl: number
}

/** where a Service keeps its engine */
export const EngineId: unique symbol = /*#__PURE__*/ Symbol.for("effect-cached/Engine") as never

export class Engine {
  readonly invalidation: Invalidation
  readonly ownership: Ownership
  readonly marks: MarkTable
  readonly singleFlight: SingleFlight
  /** Functions of this process that are called when something happens to a key. */
  readonly keyListeners = new KeyListeners()
  readonly loaderKeys = new LoaderKeys()
  readonly backend: Backend.Backend
  readonly runtime: StoreRuntime
  readonly telemetry: Telemetry
  readonly stamps: Stamps
  /** state is `Open` until the Layer closes */
  closed = false
  private readonly daemons = new Set<AnyFiber>()
  readonly options: EngineOptions
  private readonly unsafeGet: Backend.Backend["unsafeGet"]
  readonly writeQueue: WriteQueue
  private readonly readBatcher: ReadBatcher
  readonly localTier: LocalTier
  readonly notifications: PeerNotifications
  readonly loadLock: LoadLock

  constructor(backend: Backend.Backend, runtime: StoreRuntime, telemetry: Telemetry, options: EngineOptions) {
    this.backend = backend
    this.runtime = runtime
    this.options = options
    this.unsafeGet = backend.unsafeGet
    this.telemetry = telemetry
    // one that does not tell its time has this machine's
    const clock = Clock.make()
    this.stamps = new Stamps(backend.offset ?? (backend.remote ? () => driftOf(clock) : undefined))
    this.invalidation = new Invalidation({
      backend,
      runtime,
      telemetry,
      stamps: this.stamps,
      writeQueue: () => this.writeQueue
    })
    this.marks = this.invalidation.marks
    this.ownership = new Ownership(backend, telemetry, this.marks)
    this.singleFlight = new SingleFlight(this, options)
    this.localTier = new LocalTier(backend, runtime, telemetry, this.marks, options.blindTtl)
    this.notifications = new PeerNotifications(this, {
      backend,
      runtime,
      telemetry,
      coherence: this.localTier.coherence,
      blindTtl: options.blindTtl
    })
    this.loadLock = new LoadLock(backend, runtime, telemetry, this.notifications)
    this.readBatcher = new ReadBatcher(backend, runtime, telemetry, {
      onAnswers: (answers) => {
        if (answers.tombstone !== undefined) this.stamps.observe(answers.tombstone)
        if (answers.marks !== undefined) this.invalidation.merge(answers.marks)
      },
      onFound: ({ key, now }, found) => {
        // this process may have said something of it since
        if (!(found instanceof Entry.Entry) || now === undefined || this.writeQueue.newest(key) !== undefined) return
        if (now >= found.expiresAt || !this.marks.admits(found) || this.invalidation.hasUndeliveredMark(found)) return
        this.localTier.fill(key, found, now)
      }
    })
    this.writeQueue = new WriteQueue({
      backend,
      runtime,
      telemetry,
      rules: this.invalidation,
      listener: {
        onWritten: (key, stamp, { fence }) => {
          if (fence !== undefined) this.localTier.dropUpTo(key, stamp)
          this.stamps.observe(stamp)
        },
        onLost: (key, stamp) => this.localTier.doubt(key, stamp),
        onSuperseded: (key, stamp) => this.localTier.dropUpTo(key, stamp),
        onRefused: (key, write, message) => {
          // what one process alone could keep is kept by none
          this.localTier.dropUpTo(key, write.stamp)
          telemetry.recordRefused(key, write.entry?.owner ?? "", message)
        },
        onIdle: (key) => {
          this.readBatcher.supersede(key)
          this.keyListeners.notify(key)
        }
      }
    })
  }

  /** from now on the medium, and other processes, are heard */
  open(): void {
    const { backend, runtime, telemetry } = this
    backend.attach?.({
      admits: (entry) => this.marks.admits(entry),
      notify: (marks) => this.invalidation.merge(marks),
      run: (effect) =>
        runtime.run(
          () => effect,
          () => {}
        ),
      failed: (tier, operation, error) => telemetry.recordTierFailure(tier, operation, error),
      answered: (tier, operation) => telemetry.recordSuccess(operation, tier)
    })
    const every = backend.marks?.every
    if (this.localTier.coherence !== undefined) this.notifications.listen()
    else if (this.unsafeGet !== undefined && every !== undefined && Number.isFinite(every)) {
      this.supervise(
        runtime.background(Effect.forever(Effect.delay(this.invalidation.fetchMarks, Math.max(every, 100))))
      )
    }
  }

  /** a read by a list of arguments, or by one, of which a list is made where it is no hit */
  read(
    fiber: AnyFiber,
    def: Definition,
    key: string,
    args: Args | undefined,
    arg?: unknown
  ): Effect.Effect<any, any, any> {
    if (def.engine !== this) this.adopt(def)
    const mode = modeOf(fiber)
    if (def.off || mode !== undefined) return this.unusual(def, key, args ?? [arg], mode)
    const { unsafeGet } = this
    if (unsafeGet !== undefined) {
      const entry = unsafeGet(key)
      if (entry !== undefined && this.admits(entry, def)) {
        const now = nowOf(fiber)
        if (now < entry.until) {
          if (this.closed) return Effect.interrupt
          def.counters.hit()
          return entry.success
        }
        if (now < this.ownership.endOf(entry, def) && isHeld(entry, now)) {
          return this.stale(fiber, def, key, args ?? [arg], entry, now, true)
        }
      }
      if (!this.backend.remote) return this.miss(fiber, def, key, args ?? [arg])
    }
    return this.readRemote(fiber, def, key, args ?? [arg], 0)
  }

  /** whether what is held in memory answers: an entry belongs to its function, another's is a miss */
  private admits(entry: Entry.Entry, def: Definition): boolean {
    return entry.owner === def.owner
      ? entry.epoch === this.marks.epoch || this.localTier.isTrusted(entry)
      : this.ownership.takes(entry, def) && this.localTier.isTrusted(entry)
  }

  private unusual(def: Definition, key: string, args: Args, mode: Mode | undefined): Effect.Effect<any, any, any> {
    if (this.closed) return Effect.interrupt
    return def.off || mode === "bypass" ? this.alone(def, args) : this.forced(def, key, args)
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
    const op = this.writeQueue.newest(key)
    if (op !== undefined) return this.judge(fiber, def, key, args, this.standing(op))
    const flight = this.singleFlight.get(key)
    if (flight !== undefined && flight.kind !== "refresh" && this.singleFlight.joinable(flight, def, nowOf(fiber))) {
      return this.miss(fiber, def, key, args)
    }
    return Effect.flatMap(this.readBatcher.startRead(key, def, nowOf(fiber)), (answer) =>
      Effect.withFiberRuntime((fiber) => {
        if (this.closed) return Effect.interrupt
        if (def.engine !== this) this.adopt(def)
        if (answer.superseded && attempt < 3) return this.readRemote(fiber, def, key, args, attempt + 1)
        const later = this.writeQueue.newest(key)
        if (later !== undefined || answer.superseded)
          return this.judge(fiber, def, key, args, later && this.standing(later))
        if (!(answer.found instanceof CacheStoreError)) {
          return this.judge(fiber, def, key, args, this.entryOf(answer), answer.tier)
        }
        return def.strict
          ? Effect.fail(answer.found)
          : this.judge(fiber, def, key, args, this.loaderKeys.lastWritten(key))
      })
    )
  }

  /** what was set here and is not delivered yet: for whoever can load it counts no longer than a copy in memory does */
  private standing(op: PendingWrite): Entry.Entry | undefined {
    const { coherence } = this.localTier
    return coherence === undefined || coherence.isCurrent(op.asked) ? op.entry : undefined
  }

  private entryOf(answer: ReadAnswer): Entry.Entry | undefined {
    const { found } = answer
    if (found === undefined) return undefined
    if (found instanceof Entry.Entry) return this.invalidation.hasUndeliveredMark(found) ? undefined : found
    if (found instanceof CacheStoreError) return undefined
    this.telemetry.recordUndecodable(found)
    return undefined
  }

  private judge(
    fiber: AnyFiber,
    def: Definition,
    key: string,
    args: Args,
    entry: Entry.Entry | undefined,
    tier?: number
  ): Effect.Effect<any, any, any> {
    if (entry !== undefined && this.ownership.counts(entry, def)) {
      const now = nowOf(fiber)
      if (now < entry.freshUntil) {
        def.counters.hitIn(tier)
        return entry.success
      }
      if (now < this.ownership.endOf(entry, def)) return this.stale(fiber, def, key, args, entry, now, false, tier)
    }
    return this.miss(fiber, def, key, args)
  }

  /** joins the load of a key, or starts one */
  private miss(fiber: AnyFiber, def: Definition, key: string, args: Args): Effect.Effect<any, any, any> {
    if (this.closed) return Effect.interrupt
    if (this.options.off) return this.alone(def, args)
    def.counters.miss()
    if (this.singleFlight.isFull(key)) return this.unshared(def, args)
    // as `masked`, one step shorter: the fiber that reads is the one that waits
    return Effect.uninterruptibleMask((restore) =>
      this.closed ? Effect.interrupt : this.singleFlight.load(fiber, restore, def, key, args)
    )
  }

  /** what a miss does, and a run of a background loader that finds one under way */
  load(def: Definition, key: string, args: Args): Effect.Effect<any, any> {
    return masked((fiber, restore) =>
      this.closed ? Effect.interrupt : this.singleFlight.load(fiber, restore, def, key, args)
    )
  }

  /** serves what is stale and, where none is under way and none has just failed, starts a refresh behind it (law 9) */
  private stale(
    fiber: AnyFiber,
    def: Definition,
    key: string,
    args: Args,
    entry: Entry.Entry,
    now: number,
    isCopy: boolean,
    tier?: number
  ): Effect.Effect<any, any, any> {
    if (this.closed) return Effect.interrupt
    def.counters.staleIn(tier)
    this.singleFlight.behind(fiber, def, key, args, entry, now, isCopy && this.backend.remote)
    return entry.success
  }

  /**
   * What comes before the lookup of a flight, and may answer in its place: a look into the slower tiers where a copy in
   * memory is stale, and the lock that one load among all processes holds.
   */
  ahead(flight: Flight): Effect.Effect<Entry.Entry | undefined> | undefined {
    if (!this.backend.remote || flight.kind === "forced") return undefined
    const below = this.below(flight)
    const isLocked = flight.def.lease > 0 && this.backend.lock !== undefined
    if (!isLocked && !flight.looksBelow) return undefined
    return Effect.map(isLocked ? this.loadLock.lead(flight, below) : below, (entry) => {
      // the load begins now, whatever others did while it waited
      if (entry === undefined) {
        flight.ahead = undefined
        flight.stamp = this.stamps.next()
      }
      return entry
    })
  }

  /** what a slower tier holds, where that is newer than what the flight was begun for */
  private below(flight: Flight): Effect.Effect<Entry.Entry | undefined> {
    const { def, key, known } = flight
    return Effect.suspend(() =>
      Effect.map(this.readBatcher.startRead(key, def, flight.clock.unsafeCurrentTimeMillis()), (answer) => {
        const entry = answer.superseded ? undefined : this.entryOf(answer)
        if (entry === undefined || !flight.attached || !this.ownership.counts(entry, def)) return undefined
        if (flight.heard !== undefined && entry.stamp < flight.heard) return undefined
        const now = flight.clock.unsafeCurrentTimeMillis()
        if (now >= entry.freshUntil) return undefined
        if (flight.kind === "plain" || (known !== undefined && entry.stamp > known.stamp)) return entry
        return known === undefined && entry.createdAt > flight.startedAt ? entry : undefined
      })
    )
  }

  /** a load of its own, later than the call; the key is its (law 3) */
  forced(def: Definition, key: string, args: Args): Effect.Effect<any, any, any> {
    if (def.engine !== this) this.adopt(def)
    if (this.closed) return Effect.interrupt
    if (def.off || this.options.off) return this.alone(def, args)
    def.counters.miss()
    if (this.singleFlight.isFull(key)) return this.unshared(def, args)
    return masked((fiber, restore) => {
      if (this.closed) return Effect.interrupt
      this.readBatcher.supersede(key)
      return this.singleFlight.forced(fiber, restore, def, key, args)
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
    def: Pick<Definition, "schema"> & Partial<Pick<Definition, "flightTimeout" | "announces" | "fence">>,
    authoritative: boolean,
    replaces: boolean,
    isDoubted = false
  ): PendingWrite | undefined {
    const { backend } = this
    const fence = authoritative ? undefined : def.fence
    if (entry === undefined) this.localTier.remove(key)
    else if (fence === undefined) this.localTier.keep(key, entry, now)
    if (entry !== undefined && isDoubted) this.localTier.doubt(key, entry.stamp)
    if (!backend.remote) this.keyListeners.notify(key, entry === undefined)
    if (!backend.remote || this.closed) return undefined
    if (fence === undefined) this.loaderKeys.written(key, entry)
    this.readBatcher.supersede(key)
    const op = new PendingWrite({
      stamp: entry === undefined ? this.stamps.next() : entry.stamp,
      entry,
      authoritative,
      replaces,
      lifetime: entry === undefined ? this.writeQueue.tombstoneFor(def.flightTimeout) : entry.expiresAt - now,
      schema: def.schema,
      asked: this.runtime.now(),
      maxAge: def.flightTimeout,
      announces: def.announces,
      fence
    })
    this.writeQueue.submit(key, op)
    if (fence === undefined) this.keyListeners.notify(key, entry === undefined)
    return op
  }

  /**
   * `set` and `invalidate` (no entry): what was asked for before no longer counts (law 8). Done at once, here; the
   * effect waits for the medium.
   */
  startWrite(
    fiber: AnyFiber,
    key: string,
    entry: Entry.Entry | undefined,
    def: Pick<Definition, "schema"> & Partial<Pick<Definition, "flightTimeout">>
  ): Effect.Effect<void, CacheStoreError> {
    if (this.closed) return Effect.interrupt
    this.singleFlight.forget(key)
    const op = this.write(key, entry, nowOf(fiber), def, true, true)
    if (entry === undefined && this.backend.remote) {
      this.telemetry.publish(() => ({ _tag: "Removed", key, cause: "explicit" }))
    }
    return op === undefined ? Effect.void : Deferred.await(op.done)
  }

  /** `setIfAbsent` wrote, past all that is under way here: that came before it */
  wroteIfAbsent(key: string, stamp: number): void {
    this.stamps.observe(stamp)
    this.singleFlight.forget(key)
    this.readBatcher.supersede(key)
    this.writeQueue.outdate(key, stamp)
    this.localTier.dropUpTo(key, stamp)
    this.keyListeners.notify(key)
  }

  /** another process wrote a key, or removed it: what began here before that no longer counts (law 8) */
  changed({ key, stamp }: Backend.Changed): void {
    // where the last write stands, stamps are of clocks that may differ
    this.localTier.dropBefore(key, this.backend.isOwnerless ? Number.POSITIVE_INFINITY : stamp)
    this.readBatcher.supersede(key)
    this.writeQueue.outdate(key, stamp)
    const flight = this.singleFlight.get(key)
    if (flight !== undefined && flight.stamp < stamp) {
      // a load that has yet to begin is outdated by nothing: it may be what it waits for that is told of
      if (flight.ahead === undefined) this.singleFlight.forget(key)
      else flight.heard = Math.max(flight.heard ?? stamp, stamp)
    }
    this.stamps.observe(stamp)
    this.loaderKeys.outdate(key, stamp)
    this.keyListeners.notify(key)
  }

  /** marks: what carries them and began before is gone, and loads under way may not write (laws 8 and 16) */
  raise(names: ReadonlyArray<string>): Effect.Effect<void, CacheStoreError> {
    return Effect.withFiberRuntime((fiber) => {
      // what was written here is as old as this clock says
      if (this.backend.isOwnerless) this.stamps.observe(nowOf(fiber))
      return this.closed ? Effect.interrupt : this.invalidation.startRaise(names)
    })
  }

  /**
   * The entry under a key, alive or not, without loading. Asked for at once, not when the effect runs, so that a loop
   * over it makes one batch.
   */
  startPeek(key: string, reader: Backend.Reader, now: number): Effect.Effect<Entry.Entry | undefined, CacheStoreError> {
    return Effect.map(this.startInspect(key, reader, now), (seen) => (seen instanceof Entry.Entry ? seen : undefined))
  }

  /** the same, and what else may be known: bytes that are no entry, or the stamp of what took away what stood there */
  startInspect(
    key: string,
    reader: Backend.Reader,
    now: number
  ): Effect.Effect<Entry.Entry | SerializerError | number | undefined, CacheStoreError> {
    if (this.closed) return Effect.interrupt
    const held = this.localTier.locate(key, now)
    if (held !== undefined || !this.backend.remote) return Effect.succeed(held)
    const op = this.writeQueue.newest(key)
    if (op !== undefined) return Effect.succeed(op.entry ?? op.stamp)
    return Effect.flatMap(this.readBatcher.startRead(key, reader, now), (answer) => {
      if (answer.superseded) return this.startInspect(key, reader, now)
      if (answer.found instanceof CacheStoreError) return Effect.fail(answer.found)
      const entry = this.entryOf(answer)
      return Effect.succeed(answer.found instanceof SerializerError ? answer.found : (entry ?? answer.tombstone))
    })
  }

  adopt(def: Definition): void {
    def.engine = this
    this.writeQueue.noteFlightTimeout(def.flightTimeout)
    def.counters = this.telemetry.countersOf(def.name)
  }

  /** what was asked of the medium before other processes could be heard may be outdated */
  armed(): void {
    this.readBatcher.supersedeAll()
    this.keyListeners.notifyAll()
    this.singleFlight.doubt(this.options.blindTtl)
    this.runtime.run(
      () => this.invalidation.fetchMarks,
      () => {}
    )
  }

  /** whether copies in memory may be outdated by what other processes do */
  get isBlind(): boolean {
    return this.localTier.coherence?.isBlind === true
  }

  moment(): number {
    return this.localTier.coherence === undefined ? 0 : this.runtime.now()
  }

  /** another process raised marks */
  raised(marks: Backend.Marks): void {
    this.invalidation.merge(marks)
  }

  /** the medium is there again */
  get up(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.telemetry.recordUp()
      this.keyListeners.notifyAll()
      return Effect.zipRight(this.invalidation.fetchMarks, this.invalidation.deliver)
    })
  }

  /** loads are interrupted, waiters too; writes under way get their time (law 11) */
  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.closed = true
      const loads = this.singleFlight.unsafeClose()
      this.writeQueue.close()
      return Effect.all(
        [
          this.invalidation.stop,
          loads,
          Fiber.interruptAll(this.daemons),
          this.notifications.stop,
          this.runtime.drained
        ],
        { discard: true }
      )
    })
  }
}

/** what is counted in here is uncounted in there: a fiber that comes to wait cannot leave in between */
const masked = (enter: (fiber: AnyFiber, restore: Restore) => Effect.Effect<any, any>): Effect.Effect<any, any> =>
  Effect.uninterruptibleMask((restore) => Effect.withFiberRuntime<any, any>((fiber) => enter(fiber, restore)))
