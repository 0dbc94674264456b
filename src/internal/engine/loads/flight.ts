/**
 * A flight: one load of one key, and the fibers that wait for it.
 *
 * Two things are independent of each other:
 *
 * - The `phase` is how far the load has come. It goes from `Queued` to `Pending` to `Preparing` to `Loading` to `Done`,
 *   may skip phases, and never goes back.
 * - While a flight is `attached`, other fibers may join it and it may store its value. A later change of the key
 *   detaches it (see `FlightTable`). A detached flight runs on for the fibers that already wait for it.
 *
 * The answer is kept as a Deferred keeps it, for fibers that wait and fibers that come later. It is not a Deferred,
 * because waiting for one opens an uninterruptible region inside the region that counts the waiter, which makes each
 * waiter a third more expensive.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
import type * as Random from "effect/Random"
import type * as Tracer from "effect/Tracer"
import type { Counters } from "../../../CacheMetrics.js"
import type { Entry } from "../../../Entry.js"
import type { Args, Captured, Definition } from "../definition.js"
import type { MissCause } from "../events.js"
import type { ReadSpan } from "../tracing.js"
import { chainBetween, reentrantLoad, type Waiting, Waits } from "./reentry.js"
import type { Deadline } from "./timeouts.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** The answer to a waiter. It has no requirements in its type, because the reader's context meets them. */
type Answer = Effect.Effect<unknown, unknown>

export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

interface Requested {
  readonly def: Definition
  readonly key: string
  readonly args: Args
}

/** A miss. It joins a load of the key that is in progress. */
export interface PlainRequest extends Requested {
  readonly kind: "plain"
  /** The entry that answers if the load fails, where the read has found one. */
  readonly retained?: Entry | undefined
  /** The entry that has expired, where the read of a conditional lookup has found one. */
  readonly expired?: Entry | undefined
  /** The time limits of the read. */
  readonly deadline?: Deadline | undefined
  /** The stamp of the entry that the read has found and could not use. */
  readonly dead?: number | undefined
  /** The span of the read, if it is traced. */
  readonly span?: ReadSpan | undefined
  /** Why the read is a miss, if somebody wants to know. */
  readonly cause?: MissCause | undefined
}

/** A reload. It starts a new load, which replaces the one in progress. */
export interface ForcedRequest extends Requested {
  readonly kind: "forced"
  /** The time limits of the read. */
  readonly deadline?: Deadline | undefined
}

/** A load that no reader waits for. */
export interface RefreshRequest extends Requested {
  readonly kind: "refresh"
  /** The stale entry that it is to replace, if there is one. */
  readonly known: Entry | undefined
  /** Whether a slower tier may hold a newer entry than `known`. */
  readonly looksBelow: boolean
  /** The tier that had the stale entry, if a reader got it from there. */
  readonly tier?: number | undefined
  /** Called once with the result, when nothing of the refresh runs any more. */
  readonly onEnd: (exit: Exit.Exit<unknown, unknown>) => void
}

/** A waiter with time limits. */
export interface TimedWaiter {
  readonly deadline: Deadline
  /** Calls `leave` with the answer, at the moment at which one of the limits answers the waiter. */
  readonly watch: (flight: Flight, leave: (answer: Answer) => void) => void
}

export type LoadRequest = PlainRequest | ForcedRequest | RefreshRequest

/** The lookup has not begun, because `turn` has to come first. */
interface Queued {
  readonly _tag: "Queued"
  /** Waits for a permit, and then leaves this phase. */
  readonly turn: Effect.Effect<void>
}

/**
 * The lookup has not begun. A plain load usually leaves this phase at once, any other in the next turn of the
 * scheduler. Reloads of the same turn share a forced load.
 */
interface Pending {
  readonly _tag: "Pending"
}

/** The lookup has not begun, because a slower tier or another process may answer in its place. */
interface Preparing {
  readonly _tag: "Preparing"
  /** Finds the entry that answers in place of the lookup. Otherwise it calls `beginLookup`. */
  readonly step: Effect.Effect<Entry | undefined>
  /** The stamp of the latest write of another process: an older entry does not answer. Mutable by design. */
  notBefore: number
}

/** The lookup runs. */
interface Loading {
  readonly _tag: "Loading"
}

/** The answer of a load that was dismissed: the waiter, which may have time limits, reads again. */
type ReadAgain = (deadline: Deadline | undefined) => Answer

/** The waiters have been answered. The lookup of a detached flight may still run. */
interface Done {
  readonly _tag: "Done"
  readonly answer: Answer | ReadAgain
  /** The result to report for a refresh that was ended from outside, instead of the result of its lookup. */
  readonly outcome: Exit.Exit<unknown, unknown> | undefined
}

export type Phase = Queued | Pending | Preparing | Loading | Done

const pending: Phase = { _tag: "Pending" }

const loading: Phase = { _tag: "Loading" }

const doneWith = (answer: Answer | ReadAgain, outcome: Exit.Exit<unknown, unknown> | undefined): Done => ({
  _tag: "Done",
  answer,
  outcome
})

/** A finished phase, kept for `shapes` in `loadFiber.ts`. */
export const sampleDone: unknown = /*#__PURE__*/ doneWith(Exit.void, undefined)

/** The permit of a load or of a batch, as its flights see it: see `permits.ts`. */
export interface AwaitedPermit {
  /** Whether the lookup that waits for it has begun. Mutable by design. */
  hasBegun: boolean
  /** Lets the lookup begin without a permit, if it still waits for one. */
  readonly skip: () => void
}

/** Loads that count as one for the limits of a store: see `loadGroups.ts`. */
export interface LoadGroup {
  /** How many of them are in the table of flights. Mutable by design. */
  attached: number
  /** How many refreshes among them have not ended. Mutable by design. */
  refreshes: number
}

export class Flight implements Waiting {
  readonly request: LoadRequest
  /** Identifies the store that it belongs to. */
  readonly store: object
  /** The counters of that store. They are kept because the function may be used with another store meanwhile. */
  readonly counters: Counters
  readonly clock: Clock.Clock
  /** When it was made, on its fiber's clock. `flightTimeout` counts from here. Moves when that clock is set back. */
  startedAt: number
  /** When it was made, on the live clock. 0 in a store that keeps no copies of shared entries. */
  startedLive = 0
  /** The source of chance for the lifetime of its value; `undefined` if the function has no jitter. */
  random: Random.Random | undefined = undefined
  /** The stamp of the earliest moment at which its lookup may have begun. */
  stamp: number
  /** That moment as time of day. 0 in a store that only this process uses. */
  began = 0

  // Progress of the load.

  phase: Phase = pending
  /** Whether its lookup was counted as a load. A value that is found while `Preparing` is not a load. */
  isCounted = false
  /** Whether an entry that was found while `Preparing` answers in place of the lookup. */
  isFound = false
  fiber: AnyFiber | undefined = undefined
  /** The span of its lookup, from the beginning of that, if it is traced. */
  span: Tracer.Span | undefined = undefined
  waitingSpans: Array<Tracer.Span> | undefined = undefined
  /** Runs `onError` with its failure. */
  handler: AnyFiber | undefined = undefined
  /** Ends a refresh, or a load that goes on without readers, that takes longer than `flightTimeout`. */
  timer: AnyFiber | undefined = undefined
  /** Whether it goes on without waiters, until `flightTimeout` is over, because one of them has timed out. */
  isKept = false
  /** The store, or the last waiter, asked the load to stop. */
  isStopping = false
  /** Gives the lock among processes back, while this flight holds it. */
  unlock: (() => void) | undefined = undefined
  /** The permit that its lookup, or the batch that it has entered, waits for. */
  permit: AwaitedPermit | undefined = undefined
  /** Whether another load waits for it, so that it needs no permit. */
  isUrgent = false
  /** Called when it has its permit and begins. */
  onBegin: (() => void) | undefined = undefined

  // Whether it can be joined.

  attached = true
  /** The loads that count as one with it, for a load of a batched function. */
  group: LoadGroup | undefined = undefined
  /** The epoch of the marks in which it was last found to be joinable. */
  epoch = 0
  /** Whether a tag was invalidated since it began, which may be one of the tags that are computed from its value. */
  isUncertain = false
  /**
   * For an uncertain flight, whether its value turned out to have none of the tags that were invalidated, or its lookup
   * to begin after them.
   */
  isConfirmed = false
  /**
   * The moment on the live clock from which it cannot be joined. Set if notifications of other processes began to
   * arrive while it ran, because it may have missed an earlier one. The copy in memory of its value is then doubted.
   */
  joinableUntil: number | undefined = undefined

  // What its lookup may go on from.

  /** Finds the entry whose value a conditional lookup gets. Runs when the lookup begins. */
  previous: Effect.Effect<Entry | undefined> | undefined = undefined

  // What answers if it fails.

  /** An entry that a reader of it has found, and that may answer in place of a failure. */
  retained: Entry | undefined = undefined
  /** Set when the flight was detached because the entry was expired, which does not speak against it. */
  expired: { readonly key: string; readonly hasChanged: boolean } | undefined = undefined
  /** The entry that does so. Set when the load has failed. */
  substitute: Entry | undefined = undefined

  /** The services and FiberRefs of the read that started it, where the function has `onError`. */
  reader: Captured | undefined = undefined

  // Its waiters, and what it waits for itself.

  waiters = 0
  /** Made when first needed: most loads have one waiter, and many end before that one would wait. */
  private waiting: Array<((answer: Answer) => void) | undefined> | undefined = undefined
  /** The flight or batch whose lookup asked for this one, until this one is done. */
  parent: Waiting | undefined = undefined
  /** What its lookup waits for. Made when first needed. */
  private waitsFor: Waits | undefined = undefined

  constructor(store: object, request: LoadRequest, clock: Clock.Clock, stamp: number) {
    this.store = store
    this.request = request
    this.counters = request.def.counters
    this.clock = clock
    this.startedAt = clock.unsafeCurrentTimeMillis()
    this.stamp = stamp
    if (request.kind === "plain") this.retained = request.retained
  }

  get key(): string {
    return this.request.key
  }

  get def(): Definition {
    return this.request.def
  }

  get isDone(): boolean {
    return this.phase._tag === "Done"
  }

  /** Whether its lookup waits for a permit. Whatever happens to the key meanwhile is older than the load. */
  get isQueued(): boolean {
    return this.permit !== undefined && !this.permit.hasBegun
  }

  /** Another load waits for it: it begins without a permit. */
  hurry(): void {
    this.isUrgent = true
    this.permit?.skip()
  }

  /** Whether `flightTimeout` is over. From then on nobody joins the flight, and it stores nothing. */
  isLate(now: number): boolean {
    return now - this.startedAt >= this.def.flightTimeout && !this.isQueued
  }

  // Transitions.

  /** To `Queued`: `turn` waits until the lookup may begin, and then calls `leaveQueue`. */
  enterQueue(turn: Effect.Effect<void>): void {
    this.phase = { _tag: "Queued", turn }
  }

  /** From `Queued` to `Pending`. The load begins with this stamp, and `flightTimeout` counts from now. */
  leaveQueue(stamp: number, began: number): void {
    if (this.phase._tag === "Queued") this.phase = pending
    this.restamp(stamp, began)
    this.startedAt = this.clock.unsafeCurrentTimeMillis()
    this.joinableUntil = undefined
    this.permit!.hasBegun = true
    this.onBegin?.()
  }

  /** To `Preparing`: `step` runs before the lookup, and may answer in its place. */
  prepare(step: Effect.Effect<Entry | undefined>): void {
    this.phase = { _tag: "Preparing", step, notBefore: Number.NEGATIVE_INFINITY }
  }

  /** From `Preparing` to `Loading`. The load begins with this stamp, whatever happened to the key while it waited. */
  beginLookup(stamp: number, began: number): void {
    this.restamp(stamp, began)
    if (this.phase._tag === "Preparing") this.phase = loading
    this.count()
  }

  /** The lookup begins only now: whatever happened to the key until now is older than the load. */
  restamp(stamp: number, began: number): void {
    this.stamp = stamp
    this.began = began
    this.isUncertain = false
    // for the readers that have joined it while it was uncertain
    this.isConfirmed = true
  }

  /**
   * Counts the load. Called when its lookup begins or, if no step comes before the lookup, when the flight is started.
   */
  count(): void {
    this.isCounted = true
    if (this.request.kind === "refresh") this.counters.refresh()
    this.counters.load()
  }

  /** Waits until the lookup may begin, if it is in the queue. */
  get turn(): Effect.Effect<void> {
    return this.phase._tag === "Queued" ? this.phase.turn : Effect.void
  }

  /** The effect of its fiber: the lookup, after the step that comes before it. */
  get run(): Effect.Effect<unknown, unknown, unknown> {
    return Effect.suspend(() => {
      const { args, def } = this.request
      const { phase } = this
      if (phase._tag === "Preparing") {
        return Effect.flatMap(phase.step, (entry): Effect.Effect<unknown, unknown, unknown> => {
          this.isFound = entry !== undefined
          return entry === undefined ? def.load(args) : entry.success
        })
      }
      if (phase._tag === "Pending") this.phase = loading
      return def.load(args)
    })
  }

  /** To `Done`: answers every waiter, also those that come later. Only the first answer counts. */
  settle(answer: Answer | ReadAgain, outcome?: Exit.Exit<unknown, unknown>): void {
    if (this.phase._tag === "Done") return
    this.phase = doneWith(answer, outcome)
    this.waitsFor = undefined
    this.parent = undefined
    const { waiting } = this
    if (waiting === undefined) return
    this.waiting = undefined
    const untimed = this.answerFor(undefined)
    for (let i = 0; i < waiting.length; i++) waiting[i]?.(untimed)
  }

  /** The answer for a waiter, once there is one. */
  private answerFor(timed: TimedWaiter | undefined): Answer {
    const { answer } = this.phase as Done
    return typeof answer === "function" ? answer(timed?.deadline) : answer
  }

  /** Reports the result of a refresh, once nothing of it runs any more. */
  reportEnd(exit: Exit.Exit<unknown, unknown>): void {
    if (this.request.kind === "refresh") this.request.onEnd(this.resultOf(exit))
  }

  /** The result of the load, given the exit of its fiber: a refresh that is ended from outside has another one. */
  resultOf(exit: Exit.Exit<unknown, unknown>): Exit.Exit<unknown, unknown> {
    return (this.phase._tag === "Done" ? this.phase.outcome : undefined) ?? exit
  }

  /** Asks the load to stop, and waits until it has. */
  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.isStopping = true
      return this.fiber === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(this.fiber))
    })
  }

  // Waiting.

  /**
   * Waits for the answer on behalf of `fiber`, which is uninterruptible. The waiter is counted here, and uncounted
   * however its wait ends, so there is no step in between at which it could leave unnoticed. `onLast` runs when the
   * last waiter leaves before there is an answer. A waiter with time limits leaves at the moment at which one of them
   * answers it.
   */
  join(
    fiber: AnyFiber,
    restore: Restore,
    onLast: (flight: Flight) => Effect.Effect<void>,
    timed?: TimedWaiter
  ): Answer {
    if (this.phase._tag === "Done") {
      const answer = this.answerFor(timed)
      // an Exit has no step at which it could be interrupted
      return Exit.isExit(answer) ? answer : restore(answer)
    }
    const from = fiber.getFiberRef(currentFlight)
    const isLinked = from !== undefined && !from.isDone
    if (isLinked) {
      const chain = chainBetween(this, from)
      if (chain !== undefined) {
        return Effect.die(reentrantLoad([from, ...chain.slice(0, -1)]))
      }
      from.link(this)
    }
    this.waiters++
    let place = -1
    let hasLeft = false
    const leave = () => {
      if (hasLeft) return
      hasLeft = true
      timed?.deadline.unwatch()
      this.waiters--
      if (isLinked) from.unlink(this)
    }
    const wait = Effect.async<unknown, unknown>((resume) => {
      if (this.phase._tag === "Done") return resume(this.answerFor(timed))
      this.waiting ??= []
      if (timed === undefined) {
        place = this.waiting.push(resume) - 1
        return
      }
      place =
        this.waiting.push(() => {
          timed.deadline.unwatch()
          resume(this.answerFor(timed))
        }) - 1
      timed.watch(this, (answer) => {
        this.waiting![place] = undefined
        leave()
        // the load that has asked for this one goes on without it
        if (this.parent === from) this.parent = undefined
        resume(answer)
      })
    })
    return Effect.matchCauseEffect(restore(wait), {
      onFailure: (cause) => {
        const isOut = hasLeft
        leave()
        if (isOut || this.phase._tag === "Done") return Effect.failCause(cause)
        // the place is emptied and not removed, because ten thousand waiters may leave at once
        if (place >= 0) this.waiting![place] = undefined
        return this.waiters === 0 ? Effect.zipRight(onLast(this), Effect.failCause(cause)) : Effect.failCause(cause)
      },
      onSuccess: (value) => {
        leave()
        return Effect.succeed(value)
      }
    })
  }

  link(to: Waiting): void {
    this.waitsFor ??= new Waits()
    this.waitsFor.add(to)
  }

  unlink(to: Waiting): void {
    this.waitsFor?.delete(to)
  }

  get targets(): Iterable<Waiting> {
    return this.waitsFor === undefined ? [] : this.waitsFor.targets
  }

  get parents(): Iterable<Waiting> {
    return this.parent === undefined ? [] : [this.parent]
  }
}

/** The flight, or the batch of flights, whose lookup a fiber runs. */
export const currentFlight: FiberRef.FiberRef<Waiting | undefined> = /*#__PURE__*/ globalValue(
  "effect-cached/currentFlight",
  () => FiberRef.unsafeMake<Waiting | undefined>(undefined)
)

/**
 * Enters an uninterruptible region with the fiber that waits in it. A waiter that is counted here is uncounted here:
 * its fiber cannot leave in between.
 */
export const masked = (enter: (fiber: AnyFiber, restore: Restore) => Answer): Answer =>
  Effect.uninterruptibleMask((restore) => Effect.withFiberRuntime<unknown, unknown>((fiber) => enter(fiber, restore)))
