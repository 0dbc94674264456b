/**
 * A flight: one load of one key, and those who wait for it.
 *
 * - `pending`: made, not begun; only a forced load is so, for one turn of the scheduler, and forced callers share it
 * - `loading`: the lookup runs in a fiber of its own, which belongs to nobody
 * - `done`: it has answered
 *
 * Its answer is kept as a Deferred keeps it, for those who wait and those who come later. It is none because waiting for
 * one opens an uninterruptible region of its own, inside the one that counts the waiter: a third more per waiter.
 *
 * While `attached` it stands in the store's table: others may join it and it may write. `detach` ends both and nothing
 * else: its waiters keep it.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
import { ReentrantLoad } from "../../../CacheError.js"
import type { Counters } from "../../../CacheMetrics.js"
import type { Entry } from "../../../Entry.js"
import type { Args, Definition } from "../definition.js"

export type LoadKind = "plain" | "forced" | "refresh"

export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

export class Flight {
  phase: "pending" | "loading" | "done" = "pending"
  attached = true
  /** when it began, on the live clock, where other processes write what it loads */
  begun = 0
  /**
   * Under way when other processes came to be heard: on the live clock, until when it may be joined. What it brings
   * counts for as long again, and is then looked for where others write, too.
   */
  doubtedAt: number | undefined = undefined
  /** the marks' epoch in which it was last found to be joinable */
  epoch: number
  waiters = 0
  /** the store, or the last waiter, asked the load to stop */
  stopping = false
  fiber: Fiber.RuntimeFiber<any, any> | undefined = undefined
  /** how soon after a failure a refresh may be tried again */
  retryAfter: number
  /** how it ended, where that is not how its lookup did */
  outcome: Exit.Exit<any, any> | undefined = undefined
  /** told once how a refresh ended, when nothing of it runs any more */
  onEnd: ((exit: Exit.Exit<any, any>) => void) | undefined = undefined
  /** ends a refresh that takes longer than `flightTimeout` */
  timer: Fiber.RuntimeFiber<any, any> | undefined = undefined
  /** a refresh: the stale entry it was begun for, and whether a slower tier may hold a newer one */
  known: Entry | undefined = undefined
  looksBelow = false
  /** what comes before the lookup, and may answer in its place */
  ahead: Effect.Effect<Entry | undefined> | undefined = undefined
  /** the entry that did */
  taken: Entry | undefined = undefined
  /** what another process did to the key while the lookup had not begun: what is taken in its place is no older */
  heard: number | undefined = undefined
  /** the lock among processes, while this flight holds it: ends it */
  unlock: (() => void) | undefined = undefined
  /** the flight in whose lookup this one was asked for, while it is not done */
  parent: Flight | undefined = undefined
  /** the flights this one waits for, and how many of its fibers do; made when first needed */
  private waitsFor: Map<Flight, number> | undefined = undefined
  private answer: Effect.Effect<any, any> | undefined = undefined
  /** made when first needed: most loads are waited for by one fiber, and many have ended before it would wait */
  private waiting: Array<((answer: Effect.Effect<any, any>) => void) | undefined> | undefined = undefined

  readonly engine: object
  /** where this load counts, whatever other stores its function is used with */
  readonly counters: Counters
  readonly key: string
  readonly def: Definition
  readonly args: Args
  readonly kind: LoadKind
  /** when the lookup began, or will begin at the earliest; mutable by design */
  stamp: number
  readonly clock: Clock.Clock
  readonly startedAt: number

  constructor(
    engine: object,
    key: string,
    def: Definition,
    args: Args,
    kind: LoadKind,
    stamp: number,
    clock: Clock.Clock,
    startedAt: number,
    epoch: number
  ) {
    this.epoch = epoch
    this.engine = engine
    this.counters = def.counters
    this.retryAfter = def.retryAfter
    this.key = key
    this.def = def
    this.args = args
    this.kind = kind
    this.stamp = stamp
    this.clock = clock
    this.startedAt = startedAt
  }

  /** `flightTimeout` is over: nobody joins, and it cannot write any more (law 4) */
  isLate(now: number): boolean {
    return now - this.startedAt >= this.def.flightTimeout
  }

  /** counted when the lookup itself begins: what is found ready is no load */
  count(): void {
    if (this.kind === "refresh") this.counters.refresh()
    this.counters.load()
  }

  /** the lookup, after what comes before it */
  get begin(): Effect.Effect<any, any, any> {
    return Effect.suspend(() => {
      this.phase = "loading"
      const { ahead, args, def } = this
      if (ahead === undefined) return def.lookup(...args)
      return Effect.flatMap(ahead, (entry): Effect.Effect<any, any, any> => {
        if (entry !== undefined) {
          this.taken = entry
          return entry.success
        }
        this.count()
        return def.lookup(...args)
      })
    })
  }

  /** answers every waiter, those who come later included; only the first answer counts */
  settle(answer: Effect.Effect<any, any>): void {
    if (this.answer !== undefined) return
    this.phase = "done"
    this.answer = answer
    this.waitsFor = undefined
    this.parent = undefined
    const { waiting } = this
    if (waiting === undefined) return
    this.waiting = undefined
    for (let i = 0; i < waiting.length; i++) waiting[i]?.(answer)
  }

  /**
   * Waits for the answer on behalf of `fiber`, which is uninterruptible: counted here, and uncounted however the wait
   * ends, with no step between in which the fiber could go unnoticed. `onLast` runs when the last waiter leaves before
   * there is an answer.
   */
  join(
    fiber: Fiber.RuntimeFiber<any, any>,
    restore: Restore,
    onLast: (flight: Flight) => Effect.Effect<void>
  ): Effect.Effect<any, any> {
    // an Exit has no step in which it could be interrupted
    if (this.answer !== undefined) return Exit.isExit(this.answer) ? this.answer : restore(this.answer)
    const from = fiber.getFiberRef(currentFlight)
    const linked = from !== undefined && from.phase !== "done"
    if (linked) {
      const chain = chainBetween(this, from)
      if (chain !== undefined) {
        return Effect.die(new ReentrantLoad({ chain: [from.key, ...chain.map((flight) => flight.key)] }))
      }
      from.link(this)
    }
    this.waiters++
    let place = -1
    const wait = Effect.async<any, any>((resume) => {
      if (this.answer !== undefined) resume(this.answer)
      else {
        this.waiting ??= []
        place = this.waiting.push(resume) - 1
      }
    })
    const leave = () => {
      this.waiters--
      if (linked) from.unlink(this)
    }
    return Effect.matchCauseEffect(restore(wait), {
      onFailure: (cause) => {
        leave()
        if (this.phase === "done") return Effect.failCause(cause)
        // a place is emptied, never closed up: ten thousand may leave at once
        if (place >= 0) this.waiting![place] = undefined
        return this.waiters === 0 ? Effect.zipRight(onLast(this), Effect.failCause(cause)) : Effect.failCause(cause)
      },
      onSuccess: (value) => {
        leave()
        return Effect.succeed(value)
      }
    })
  }

  ended(exit: Exit.Exit<any, any>): void {
    const { onEnd } = this
    this.onEnd = undefined
    if (onEnd !== undefined) onEnd(this.outcome ?? exit)
  }

  /** asks the load to stop and waits until it has */
  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.stopping = true
      return this.fiber === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(this.fiber))
    })
  }

  private link(to: Flight): void {
    this.waitsFor ??= new Map()
    this.waitsFor.set(to, (this.waitsFor.get(to) ?? 0) + 1)
  }

  private unlink(to: Flight): void {
    const count = this.waitsFor?.get(to)
    if (count === undefined) return
    if (count > 1) this.waitsFor!.set(to, count - 1)
    else this.waitsFor!.delete(to)
  }

  get targets(): Iterable<Flight> {
    return this.waitsFor === undefined ? [] : this.waitsFor.keys()
  }
}

/** the flight a fiber works for */
export const currentFlight: FiberRef.FiberRef<Flight | undefined> = /*#__PURE__*/ globalValue(
  "effect-cached/currentFlight",
  () => FiberRef.unsafeMake<Flight | undefined>(undefined)
)

/**
 * The way from `start` to `goal` along what unfinished flights wait for, both ends included. Iterative: chains may be
 * long.
 */
const chainBetween = (start: Flight, goal: Flight): ReadonlyArray<Flight> | undefined => {
  const cameFrom = new Map<Flight, Flight | undefined>([[start, undefined]])
  const open = [start]
  while (open.length > 0) {
    const at = open.pop()!
    if (at === goal) {
      const chain: Array<Flight> = []
      for (let step: Flight | undefined = at; step !== undefined; step = cameFrom.get(step)) chain.push(step)
      return chain.reverse()
    }
    for (const next of at.targets) {
      if (next.phase !== "done" && !cameFrom.has(next)) {
        cameFrom.set(next, at)
        open.push(next)
      }
    }
  }
  return undefined
}
