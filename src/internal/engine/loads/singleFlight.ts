/**
 * Single flight: the loads of a store. It decides which reads join a load, which start one, and what becomes of the
 * result.
 *
 * Joining. A load can be joined by reads of the same function until it is detached, has run for its `flightTimeout`, or
 * a mark invalidates the value that it will return (law 3: one load per key). Beyond `maxFlights` a read loads for
 * itself.
 *
 * Uncertainty. Where tags are computed from the value, nobody knows before the end of a load whether a tag that was
 * invalidated meanwhile concerns it. The load keeps its right to store its value until then. The first read after the
 * invalidation starts a second load; while both run, further reads wait for the second one, and read again if its value
 * turns out to be invalidated, too. So however many tags are invalidated, a key has two such loads at most, and one
 * refresh.
 *
 * Ending. The waiters are answered as soon as the lookup and its Scope have ended; storing the value does not delay
 * them (law 10: answered when loaded). When the last waiter of a load leaves, the load is interrupted; a refresh has no
 * waiter to begin with and runs on, for its `flightTimeout` at most (law 4: a load belongs to nobody). So does a load
 * that is kept because one of its waiters has timed out.
 *
 * Order of events. Every method that counts a waiter, or starts a load, runs without a step at which its fiber could be
 * interrupted. So no load is ever in the table without a waiter, except a refresh and a load that is kept.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as Backend from "../../../Backend.js"
import { LoadInterrupted } from "../../../CacheError.js"
import * as Entry from "../../../Entry.js"
import { sleepOn } from "../../sleep.js"
import { clockOf, nowOf, type Stamps } from "../../time.js"
import type { BeforeLoad } from "../beforeLoad.js"
import type { Args, Definition } from "../definition.js"
import type { MissCause } from "../events.js"
import type { MarkTable } from "../io/markTable.js"
import type { PendingWrite } from "../io/pendingWrite.js"
import type { ReadBatcher } from "../io/readBatcher.js"
import { randomFor } from "../jitter.js"
import { bypassed, disabled } from "../reasons.js"
import type { StoreRuntime } from "../storeRuntime.js"
import type { Telemetry } from "../telemetry.js"
import { linkToLoad } from "../tracing.js"
import type { WallClock } from "../wallClock.js"
import type { WritePath } from "../writePath.js"
import { captureOf, runCaptured } from "./captured.js"
import { countedAlone, failureKind, storeFailure } from "./failures.js"
import {
  currentFlight,
  Flight,
  type ForcedRequest,
  type LoadRequest,
  masked,
  type PlainRequest,
  type RefreshRequest,
  type Restore,
  type TimedWaiter
} from "./flight.js"
import type { FlightTable } from "./flightTable.js"
import { recordDuration, storeValue } from "./landing.js"
import * as LoadFiber from "./loadFiber.js"
import { isInLoad, isLimited, type Permit, type Permits } from "./permits.js"
import { chainFromAncestor, reentrantLoad } from "./reentry.js"
import { orElseRetained, orRetained, pauseAfter, substituteOf } from "./retained.js"
import { type TimedLoads, TimedReader } from "./timedReader.js"
import { type Deadline, limit } from "./timeouts.js"
import { Unseen } from "./unseen.js"

/** The answer to a waiter. It has no requirements in its type, because the reader's context meets them. */
type Answer = Effect.Effect<unknown, unknown>
type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

export interface SingleFlightOptions {
  /** Whether caching is switched off: nothing is stored and nothing is shared. */
  readonly off: boolean
  /** The most refreshes at once. A stale read beyond this limit serves its value and starts no refresh. */
  readonly maxRefreshes: number
  /** The most loads at once. A read beyond this limit loads for itself alone. */
  readonly maxFlights: number
}

export interface SingleFlightParts {
  readonly runtime: StoreRuntime
  readonly telemetry: Telemetry
  readonly wallClock: WallClock
  readonly marks: MarkTable
  readonly stamps: Stamps
  readonly flights: FlightTable
  readonly permits: Permits
  readonly beforeLoad: Pick<BeforeLoad, "stepOf" | "previousOf">
  readonly writes: Pick<WritePath, "write" | "holdsUsable">
  readonly reads: Pick<ReadBatcher, "supersede">
  /** Reads the memory of this process, if the backend has a tier there. */
  readonly unsafeGet: Backend.Backend["unsafeGet"]
  /** Whether this process keeps copies of entries that others write, and is notified of their writes. */
  readonly isNotified: boolean
  /** Reads a key anew, for a waiter whose load was dismissed. */
  readonly readAgain: (
    fiber: AnyFiber,
    def: Definition,
    key: string,
    args: Args,
    deadline: Deadline | undefined
  ) => Effect.Effect<unknown, unknown, unknown>
}

/** A read that is served a stale entry. */
export interface StaleRead {
  readonly def: Definition
  readonly key: string
  readonly args: Args
  readonly known: Entry.Entry
  /** Whether a slower tier may hold a newer entry than `known`. */
  readonly looksBelow: boolean
  /** The tier that has it. */
  readonly tier?: number | undefined
}

/** The defect of a load that took longer than its `flightTimeout`. */
export const flightTimedOut = (name: string): Cause.TimeoutException =>
  new Cause.TimeoutException(`a load of ${name} took longer than its flightTimeout`)

const ignored = (): void => {}

export class SingleFlight implements TimedLoads {
  /** Objects that must not be collected; see `loadFiber.ts`. */
  readonly shapes = LoadFiber.shapes
  private readonly parts: SingleFlightParts
  readonly flights: FlightTable
  private readonly marks: MarkTable
  private readonly options: SingleFlightOptions
  private readonly unseen: Unseen
  private refreshing = 0
  private closed = false

  constructor(parts: SingleFlightParts, options: SingleFlightOptions) {
    this.parts = parts
    this.flights = parts.flights
    this.marks = parts.marks
    this.options = options
    this.unseen = new Unseen(parts.runtime, parts.telemetry)
  }

  /** The number of loads that can be joined. */
  get size(): number {
    return this.flights.size
  }

  // Reads.

  /** Answers a read that found no usable entry: joins the load of the key, or starts one. */
  miss(fiber: AnyFiber, request: PlainRequest): Effect.Effect<unknown, unknown, unknown> {
    if (this.closed) return this.parts.telemetry.ended
    if (this.options.off) {
      this.parts.telemetry.publishMiss(request, disabled, false)
      return limit(request.deadline, this.alone(request))
    }
    request.def.counters.miss()
    if (this.isFull(request)) return this.unshared(request)
    // `masked` without its step that asks for the fiber: the fiber that reads is the one that waits
    return Effect.uninterruptibleMask((restore) =>
      this.closed ? Effect.interrupt : this.joinOrStart(fiber, restore, request)
    )
  }

  /** Joins the load of a key, or starts one, for a background loader that found one in progress. */
  load(request: PlainRequest): Answer {
    return masked((fiber, restore) => (this.closed ? Effect.interrupt : this.joinOrStart(fiber, restore, request)))
  }

  /** Answers a reload: with a load that begins later than the call (law 3: one load per key). */
  forced(request: ForcedRequest): Effect.Effect<unknown, unknown, unknown> {
    if (this.closed) return this.parts.telemetry.ended
    const { def, key } = request
    if (def.off || this.options.off) {
      this.parts.telemetry.publishMiss(request, disabled, false)
      return limit(request.deadline, this.alone(request))
    }
    def.counters.miss()
    if (this.isFull(request)) return this.unshared(request)
    return masked((fiber, restore) => {
      if (this.closed) return this.parts.telemetry.ended
      this.parts.reads.supersede(key)
      return this.joinOrForce(fiber, restore, request)
    })
  }

  /** Why the read that has started the running load of a key was a miss, as far as anybody wanted to know. */
  causeOf(key: string): MissCause | undefined {
    const request = this.flights.get(key)?.request
    return request?.kind === "plain" ? request.cause : undefined
  }

  private publishMiss(request: PlainRequest | ForcedRequest, coalesced: boolean): void {
    const cause = request.kind === "forced" ? bypassed : request.cause
    if (cause !== undefined) this.parts.telemetry.publishMiss(request, cause, coalesced)
  }

  /** Whether the load of a key has just failed, so that an entry that may answer in its place does. */
  isPaused(key: string, now: number): boolean {
    return this.flights.isPaused(key, now)
  }

  /** Whether a stale entry of a key needs a refresh: no load of it can be joined, and none has just failed. */
  needsRefresh(def: Definition, key: string, now: number): boolean {
    const flight = this.flights.get(key)
    return (flight === undefined || this.joinabilityOf(flight, def, now) === "no") && !this.flights.isPaused(key, now)
  }

  /**
   * Starts a refresh behind a stale answer, unless too many refreshes run (law 9: stale is served only while allowed).
   */
  refreshBehind(fiber: AnyFiber, stale: StaleRead): void {
    const { maxRefreshes } = this.options
    const { batching } = stale.def
    const { groups } = this.flights
    const isCounted = batching === undefined || !groups.hasRoomForRefresh(batching)
    if (isCounted && this.refreshing + groups.refreshing >= maxRefreshes) {
      this.parts.telemetry.report(
        "TooManyRefreshes",
        "",
        `${maxRefreshes} refreshes at once, the limit set by maxRefreshes. Further stale reads serve their value and ` +
          "leave the refresh to a later read. Raise maxRefreshes if the lookups can take it."
      )
      return
    }
    // those of batched functions are counted by their groups
    if (batching === undefined) this.refreshing++
    const onEnd = batching === undefined ? this.refreshed : ignored
    this.startRefresh(fiber, { ...stale, kind: "refresh", onEnd })
  }

  private readonly refreshed = (): void => {
    this.refreshing--
  }

  /** The lookup as it would run without a cache, but with a Scope that ends with it, as for every load. */
  alone({ args, def }: LoadRequest): Effect.Effect<unknown, unknown, unknown> {
    const lookup = Effect.scoped(Effect.suspend(() => def.load(args)))
    return def.captured === undefined ? lookup : runCaptured(lookup, def.captured)
  }

  /** A load that nobody can join, because too many loads run. It is counted as a load. */
  private unshared(request: LoadRequest): Effect.Effect<unknown, unknown, unknown> {
    const { def } = request
    if (request.kind !== "refresh") this.publishMiss(request, false)
    const load = () => {
      if (this.closed) return this.parts.telemetry.ended
      def.counters.load()
      return countedAlone(def, this.alone(request))
    }
    const answer = isLimited(def) ? this.parts.permits.limit(def, load) : load()
    if (request.kind === "refresh") return answer
    return request.kind === "plain" && request.retained !== undefined
      ? orElseRetained(request, request.retained, answer, this.parts, this.answeredByOldValue)
      : limit(request.deadline, answer)
  }

  /** Reports the failure of a load that nobody could join, and that an old value has answered. */
  private readonly answeredByOldValue = (fiber: AnyFiber, request: PlainRequest, cause: Cause.Cause<unknown>): void => {
    const { def } = request
    const flight = new Flight(this.flights, request, clockOf(fiber), this.parts.stamps.begin())
    if (def.onError !== undefined) flight.reader = def.captured ?? captureOf(fiber)
    const now = nowOf(fiber)
    this.noteFailure(flight, now, cause)
    this.unseen.report(flight, now, cause)
  }

  private isFull({ def, key }: LoadRequest): boolean {
    const { maxFlights } = this.options
    if (this.flights.size < maxFlights || this.flights.get(key) !== undefined) return false
    if (def.batching !== undefined && this.flights.groups.hasRoom(def.batching)) return false
    this.parts.telemetry.report(
      "TooManyLoads",
      "",
      `${maxFlights} loads at once, the limit set by maxFlights. Further reads load for themselves: their values are ` +
        "neither shared nor stored. Make the lookups faster, limit the requests, or raise maxFlights."
    )
    return true
  }

  // Joining.

  /**
   * Whether the key has a load, other than a refresh, that this function can join. While a refresh runs, the backend
   * may hold an entry that answers sooner, and while a forced load does, one that answers in place of its failure.
   */
  hasLoadForReaders(fiber: AnyFiber, def: Definition, key: string): boolean {
    const flight = this.flights.get(key)
    if (flight === undefined || flight.request.kind === "refresh") return false
    if (flight.request.kind === "forced" && def.staleIfError > 0) return false
    return this.isJoinable(flight, def, nowOf(fiber))
  }

  /** Whether the key has a load that this function can join. */
  hasLoad(fiber: AnyFiber, def: Definition, key: string): boolean {
    const flight = this.flights.get(key)
    return flight !== undefined && this.isJoinable(flight, def, nowOf(fiber))
  }

  private isJoinable(flight: Flight, def: Definition, now: number): boolean {
    return this.joinabilityOf(flight, def, now) === "yes"
  }

  /** Whether a function can join a flight. `uncertain`: if its value turns out to have no invalidated tag. */
  private joinabilityOf(flight: Flight, def: Definition, now: number): "yes" | "uncertain" | "no" {
    this.parts.wallClock.check(now)
    if (flight.def.owner !== def.owner || flight.isLate(now)) return "no"
    // a lookup that has not begun is later than everything that happens now
    if (flight.isQueued) return "yes"
    if (flight.joinableUntil !== undefined && this.parts.runtime.now() >= flight.joinableUntil) return "no"
    const { marks } = this
    if (flight.epoch !== marks.epoch) {
      const { tags = Entry.noTags } = flight.def
      const isComputed = typeof tags === "function"
      if (!marks.admitsLoad(flight.stamp, def.owner, isComputed ? Entry.noTags : tags)) return "no"
      flight.isUncertain = isComputed && marks.hasTagMarkSince(flight.stamp)
      flight.epoch = marks.epoch
    }
    return flight.isUncertain ? "uncertain" : "yes"
  }

  /** Joins the load of a key, or starts one. `fiber` is uninterruptible. */
  private joinOrStart(fiber: AnyFiber, restore: Restore, request: PlainRequest): Answer {
    const { def, key } = request
    const flight = this.flights.get(key)
    if (flight !== undefined) {
      const joinability = this.joinabilityOf(flight, def, nowOf(fiber))
      if (joinability === "yes" || (joinability === "uncertain" && this.flights.isContested(key))) {
        def.counters.joined()
        this.publishMiss(request, true)
        linkToLoad(fiber, flight)
        if (flight.def.concurrency !== Number.POSITIVE_INFINITY && isInLoad(fiber)) flight.hurry()
        flight.retained ??= request.retained
        const answer = flight.join(fiber, restore, this.abandoned, this.timed(request))
        return joinability === "yes"
          ? orRetained(flight, answer)
          : this.unlessOutdated(flight, restore, request, answer)
      }
    }
    this.publishMiss(request, false)
    const started = this.start(fiber, request)
    return orRetained(started, started.join(fiber, restore, this.abandoned, this.timed(request)))
  }

  /**
   * The answer of an uncertain flight for a read that came after the tag was invalidated. If the value has that tag, or
   * there is no value that could have one, the key is read again.
   */
  private unlessOutdated(
    flight: Flight,
    restore: Restore,
    { args, deadline, def, key }: PlainRequest,
    answer: Answer
  ): Answer {
    const again = restore(
      Effect.withFiberRuntime<unknown, unknown>(
        (fiber) => this.parts.readAgain(fiber, def, key, args, deadline) as Answer
      )
    )
    const isLate = () => deadline?.hasAnswered === true
    return Effect.matchCauseEffect(answer, {
      // a wait that ends before the flight does was interrupted
      onFailure: (cause) => (flight.isDone && !isLate() ? again : Effect.failCause(cause)),
      onSuccess: (value) => (flight.isConfirmed || isLate() ? Effect.succeed(value) : again)
    })
  }

  /**
   * Starts a forced load, or joins one that has not begun, because that also begins after this call. `fiber` is
   * uninterruptible.
   */
  private joinOrForce(fiber: AnyFiber, restore: Restore, request: ForcedRequest): Answer {
    const { def, key } = request
    const flight = this.flights.get(key)
    if (
      flight?.request.kind === "forced" &&
      flight.phase._tag !== "Loading" &&
      this.isJoinable(flight, def, nowOf(fiber))
    ) {
      def.counters.joined()
      this.publishMiss(request, true)
      linkToLoad(fiber, flight)
      if (isInLoad(fiber)) flight.hurry()
      return flight.join(fiber, restore, this.abandoned, this.timed(request))
    }
    this.publishMiss(request, false)
    const chain = chainFromAncestor(fiber.getFiberRef(currentFlight), this.flights, key)
    return chain === undefined
      ? this.start(fiber, request).join(fiber, restore, this.abandoned, this.timed(request))
      : Effect.die(reentrantLoad(chain))
  }

  /**
   * Stops a load when its last waiter has left. A refresh runs on, and so does a load that is kept (law 4: a load belongs
   * to nobody).
   */
  private readonly abandoned = (flight: Flight): Effect.Effect<void> => {
    if (flight.request.kind === "refresh" || flight.isKept) return Effect.void
    this.flights.detach(flight)
    return flight.stop
  }

  // Time limits.

  private timed({ deadline, kind }: PlainRequest | ForcedRequest): TimedWaiter | undefined {
    return deadline && new TimedReader(deadline, this, kind === "plain")
  }

  oldValueOf(flight: Flight): Entry.Entry | undefined {
    return substituteOf(flight, flight.clock.unsafeCurrentTimeMillis(), this.parts)
  }

  hasTimedOut(flight: Flight, { goesOn, hasValue }: { readonly goesOn: boolean; readonly hasValue: boolean }): void {
    if (goesOn) this.keep(flight)
    else this.endUnlessShared(flight, hasValue)
  }

  /** Lets a load go on without waiters, until its `flightTimeout` is over. */
  private keep(flight: Flight): void {
    if (flight.isKept || flight.isDone || flight.request.kind === "refresh") return
    flight.isKept = true
    this.limitTime(flight)
  }

  /** Ends a load whose last waiter has timed out. It counts as failed, so an old value answers further readers. */
  private endUnlessShared(flight: Flight, isUnseen: boolean): void {
    const { def, isDone, isKept, request, waiters } = flight
    if (waiters > 0 || isDone || isKept || request.kind === "refresh") return
    const now = flight.clock.unsafeCurrentTimeMillis()
    const cause = Cause.die(new Cause.TimeoutException(`a load of ${def.name} was interrupted: its readers timed out`))
    this.failed(flight, now, cause, "timeout")
    if (isUnseen) this.unseen.report(flight, now, cause)
    this.parts.runtime.background(this.abandoned(flight))
  }

  /** Loads a key, or keeps its load, for a reader that has timed out before it knew that it needs one. */
  loadBehind(fiber: AnyFiber, request: PlainRequest): void {
    if (this.closed || this.options.off || this.isFull(request)) return
    const { def, key } = request
    const running = this.flights.get(key)
    const isJoined = running !== undefined && this.isJoinable(running, def, nowOf(fiber))
    const flight = isJoined ? running : this.start(fiber, request)
    flight.retained ??= request.retained
    this.keep(flight)
  }

  // Starting.

  private start(fiber: AnyFiber, request: LoadRequest): Flight {
    const { permits, stamps, telemetry, wallClock } = this.parts
    const { def, kind } = request
    const flight = new Flight(this.flights, request, clockOf(fiber), stamps.begin())
    flight.began = stamps.time()
    if (request.def.onError !== undefined) flight.reader = request.def.captured ?? captureOf(fiber)
    flight.random = randomFor(request.def, fiber)
    if (def.isConditional) flight.previous = this.parts.beforeLoad.previousOf(flight)
    wallClock.check(flight.startedAt, flight.clock)
    if (kind !== "refresh") {
      flight.parent = fiber.getFiberRef(currentFlight)
      flight.isUrgent = flight.parent !== undefined && !flight.parent.isDone
    }
    this.flights.add(flight)
    const permit = isLimited(def) && !flight.isUrgent ? permits.request(def) : undefined
    if (permit?.isQueued === true) this.enqueue(flight, permit)
    else this.begin(flight)
    LoadFiber.start(fiber, flight, telemetry, (exit) => {
      this.landed(flight, exit)
      permit?.release()
    })
    return flight
  }

  /** The load waits for its permit, and begins then. */
  private enqueue(flight: Flight, permit: Permit): void {
    flight.permit = permit
    flight.enterQueue(
      Effect.map(permit.turn, () => {
        const { stamps, wallClock } = this.parts
        wallClock.check(flight.clock.unsafeCurrentTimeMillis(), flight.clock)
        flight.leaveQueue(stamps.begin(), stamps.time())
        this.begin(flight)
      })
    )
  }

  /** The load begins: whatever happened to the key until now is older. */
  private begin(flight: Flight): void {
    const { beforeLoad, isNotified, runtime } = this.parts
    flight.epoch = this.marks.epoch
    if (isNotified) flight.startedLive = runtime.now()
    const step = beforeLoad.stepOf(flight)
    if (step === undefined) flight.count()
    else flight.prepare(step)
  }

  /** Starts a refresh. It ends, or is ended, within its `flightTimeout`. */
  startRefresh(fiber: AnyFiber, request: RefreshRequest): Flight {
    const flight = this.start(fiber, request)
    this.limitTime(flight)
    return flight
  }

  /** Ends a refresh, or a load that is kept, once its `flightTimeout` is over. One that waits for a permit has no timer. */
  private limitTime(flight: Flight): void {
    if (flight.isDone || !Number.isFinite(flight.def.flightTimeout)) return
    if (flight.isQueued) flight.onBegin = () => this.limitTime(flight)
    else flight.timer = this.parts.runtime.background(this.timeOut(flight))
  }

  private timeOut(flight: Flight): Effect.Effect<void> {
    return Effect.suspend(() => {
      const left = flight.startedAt + flight.def.flightTimeout - flight.clock.unsafeCurrentTimeMillis()
      return Effect.flatMap(sleepOn(flight.clock, Math.max(0, left)), () => {
        if (flight.isLate(flight.clock.unsafeCurrentTimeMillis())) return Effect.sync(() => this.timedOut(flight))
        // it has come to wait for the permit of its batch, or its clock was set back
        return flight.isQueued ? Effect.sync(() => this.limitTime(flight)) : this.timeOut(flight)
      })
    })
  }

  private timedOut(flight: Flight): void {
    if (flight.isDone) return
    const { def, request } = flight
    const isRefresh = request.kind === "refresh"
    flight.isKept = false
    // a load that has waiters again ends with the last of them
    if (!isRefresh && flight.waiters > 0) return
    if (isRefresh) this.parts.telemetry.recordRefreshTooLong(def.name)
    else this.parts.telemetry.recordLoadTooLong(def.name, "abandoned")
    const cause = Cause.die(flightTimedOut(def.name))
    this.failed(flight, flight.startedAt + def.flightTimeout, cause, "timeout")
    if (!isRefresh || request.known !== undefined) this.unseen.handle(flight, cause)
    this.parts.runtime.background(this.dismiss(flight, Exit.failCause(cause)))
  }

  /** Ends a refresh from outside. The fibers that joined it did not ask for that, and read again. */
  dismiss(flight: Flight, outcome?: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.flights.detach(flight)
      const { args, def, key } = flight.request
      flight.settle(
        (deadline) =>
          Effect.withFiberRuntime<unknown, unknown>(
            (fiber) => this.parts.readAgain(fiber, def, key, args, deadline) as Answer
          ),
        outcome
      )
      return flight.stop
    })
  }

  // Landing.

  /** Ends a flight whose lookup and Scope have ended: stores the value, and answers the waiters. */
  private landed(flight: Flight, exit: Exit.Exit<unknown, unknown>): void {
    if (flight.timer !== undefined) flight.timer.unsafeInterruptAsFork(FiberId.none)
    const now = flight.clock.unsafeCurrentTimeMillis()
    if (flight.isCounted) recordDuration(flight, now - flight.startedAt, exit, this.parts.telemetry)
    if (this.closed) flight.settle(Exit.interrupt(FiberId.none))
    if (flight.isDone) {
      this.flights.remove(flight)
      flight.unlock?.()
      return flight.reportEnd(exit)
    }
    let answer = exit
    let written: PendingWrite | undefined
    if (exit._tag === "Success") {
      try {
        // a value that was found before the lookup is stored already
        if (flight.isCounted) written = storeValue(flight, exit.value, now, this.parts)
      } catch (defect) {
        // thrown by a `ttl` or `tags` function of the user (law 5: failures are shared, not stored)
        answer = Exit.die(defect)
      }
    } else if (!flight.isStopping && Cause.isInterruptedOnly(exit.cause)) {
      answer = Exit.die(new LoadInterrupted({ key: flight.key, of: flight.def.name }))
    }
    if (answer._tag === "Failure") flight.substitute = substituteOf(flight, now, this.parts)
    if (answer._tag === "Failure" && flight.isCounted && flight.def.failures !== undefined) {
      try {
        written = storeFailure(flight, answer.cause, now, this.parts)
      } catch (defect) {
        answer = Exit.die(defect)
      }
    }
    this.flights.remove(flight)
    // a failure that was found before the lookup is the answer of another load
    if (answer._tag === "Failure" && !flight.isStopping && !flight.isFound) {
      this.failed(flight, now, answer.cause)
      const { isKept, request, substitute, waiters } = flight
      const isSeen = substitute === undefined && !(isKept && waiters === 0)
      // a background loader reports its failures itself
      if (request.kind === "refresh" ? request.known !== undefined : !isSeen) {
        this.unseen.report(flight, now, answer.cause)
      }
    }
    flight.settle(answer)
    flight.reportEnd(answer)
    const { unlock } = flight
    if (unlock === undefined) return
    // a process that gets the lock next must find the value; closing the store waits for this, too
    if (written === undefined) unlock()
    else this.parts.runtime.run(() => written.done, unlock)
  }

  private failed(flight: Flight, now: number, cause: Cause.Cause<unknown>, failure = failureKind(cause)): void {
    flight.counters.loadFailure(failure)
    if (flight.request.kind === "refresh") flight.counters.refreshFailure()
    this.noteFailure(flight, now, cause)
  }

  /** Begins the pause after a failure that is counted, and publishes it. */
  private noteFailure(flight: Flight, now: number, cause: Cause.Cause<unknown>): void {
    const { request } = flight
    const { def, key, kind } = request
    const old = (kind === "refresh" ? request.known : undefined) ?? flight.retained
    if (kind === "refresh" || old !== undefined) this.flights.pause(key, now + pauseAfter(def, old, now))
    this.parts.telemetry.publish(() => ({
      _tag: "LoadFailed",
      key,
      name: def.name,
      refresh: kind === "refresh",
      cause
    }))
  }

  /**
   * Ends all loads and answers their waiters with an interruption, before this returns. The effect waits for the
   * finalizers of the loads (law 11: the scope ends everything).
   */
  startClose(): Effect.Effect<void> {
    this.closed = true
    const fibers: Array<AnyFiber> = [...this.unseen.close()]
    for (const flight of this.flights.running()) {
      flight.isStopping = true
      if (flight.timer !== undefined) flight.timer.unsafeInterruptAsFork(FiberId.none)
      if (flight.fiber !== undefined) {
        flight.fiber.unsafeInterruptAsFork(FiberId.none)
        fibers.push(flight.fiber)
      }
      flight.settle(Exit.interrupt(FiberId.none))
    }
    this.flights.clear()
    return Fiber.awaitAll(fibers)
  }
}
