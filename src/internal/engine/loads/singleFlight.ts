/**
 * The loads of a store: which are under way, who may join them, what becomes of what they bring.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { LoadInterrupted, ReentrantLoad } from "../../../CacheError.js"
import * as Entry from "../../../Entry.js"
import { clockOf, nowOf, type Stamps } from "../../time.js"
import { type Args, type Definition, makeEntry } from "../definition.js"
import type { MarkTable } from "../io/markTable.js"
import type { PendingWrite } from "../io/pendingWrite.js"
import type { StoreRuntime } from "../storeRuntime.js"
import type { Telemetry } from "../telemetry.js"
import { BoundedMap } from "./boundedMap.js"
import { currentFlight, Flight, type LoadKind, type Restore } from "./flight.js"
import * as Load from "./loadFiber.js"

/** an effect whose requirements are met by those who run it: the context of a read is the reader's */
type Answered = Effect.Effect<any, any>
type AnyFiber = Fiber.RuntimeFiber<any, any>

export interface SingleFlightOptions {
  /** refreshes at once; a stale read beyond serves its value and starts none */
  readonly maxRefreshes: number
  /** loads at once; a read beyond loads for itself alone */
  readonly maxFlights: number
}

/** what the flights need of the engine that they fly for */
export interface Host {
  readonly closed: boolean
  readonly runtime: StoreRuntime
  readonly telemetry: Telemetry
  readonly marks: MarkTable
  readonly stamps: Stamps
  readonly read: (fiber: AnyFiber, def: Definition, key: string, args: Args) => Effect.Effect<any, any, any>
  readonly write: (
    key: string,
    entry: Entry.Entry | undefined,
    now: number,
    def: Definition,
    authoritative: boolean,
    replaces: boolean,
    isDoubted?: boolean
  ) => PendingWrite | undefined
  /** now, on the live clock, where other processes write, too */
  readonly moment: () => number
  /** what comes before the lookup, and may answer in its place */
  readonly ahead: (flight: Flight) => Effect.Effect<Entry.Entry | undefined> | undefined
}

/**
 * The flights that may be joined, one per key. The newest stands beside the Map, and a load that has ended before the
 * next begins never enters it: a Map that single entries enter and leave makes itself a smaller table each time.
 */
class Table {
  private newest: Flight | undefined = undefined
  private readonly others = new Map<string, Flight>()

  get size(): number {
    return this.others.size + (this.newest === undefined ? 0 : 1)
  }

  get(key: string): Flight | undefined {
    return this.newest !== undefined && this.newest.key === key ? this.newest : this.others.get(key)
  }

  set(flight: Flight): void {
    if (this.newest !== undefined) this.others.set(this.newest.key, this.newest)
    this.newest = flight
  }

  /** takes out a flight that is in the table */
  delete(flight: Flight): void {
    if (this.newest === flight) this.newest = undefined
    else this.others.delete(flight.key)
  }

  flights(): ReadonlyArray<Flight> {
    return this.newest === undefined ? [...this.others.values()] : [this.newest, ...this.others.values()]
  }

  clear(): void {
    this.newest = undefined
    this.others.clear()
  }
}

export class SingleFlight {
  private readonly table = new Table()
  /** those that run outside of the table; a load that nothing comes between is never here */
  private readonly detached = new Set<Flight>()
  /** when the next refresh of a key may be tried after one that failed */
  private readonly cooling = new BoundedMap<number>(10_000)
  private refreshing = 0
  private readonly host: Host
  private readonly options: SingleFlightOptions

  readonly shapes = Load.shapes

  constructor(host: Host, options: SingleFlightOptions) {
    this.host = host
    this.options = options
  }

  get size(): number {
    return this.table.size
  }

  get(key: string): Flight | undefined {
    return this.table.get(key)
  }

  /** starts a refresh behind a stale answer, unless one is under way, has just failed, or too many are (law 9) */
  behind(
    fiber: AnyFiber,
    def: Definition,
    key: string,
    args: Args,
    entry: Entry.Entry,
    now: number,
    looksBelow: boolean
  ): void {
    const flight = this.table.get(key)
    if (flight !== undefined && this.joinable(flight, def, now)) return
    const notBefore = this.cooling.get(key)
    if (notBefore !== undefined && now < notBefore) return
    const { maxRefreshes } = this.options
    if (this.refreshing >= maxRefreshes) {
      this.host.telemetry.warnOnce("refreshes", `${maxRefreshes} refreshes at once, further ones wait for later reads`)
      return
    }
    this.refreshing++
    const ttl = entry.freshUntil - entry.createdAt
    this.refresh(fiber, def, key, args, this.refreshed, ttl, entry, looksBelow)
  }

  /** a load of its own, later than the call; the key is its (law 3) */
  forced(fiber: AnyFiber, restore: Restore, def: Definition, key: string, args: Args): Answered {
    const flight = this.table.get(key)
    if (flight?.kind === "forced" && flight.phase === "pending" && this.joinable(flight, def, nowOf(fiber))) {
      def.counters.joined()
      return this.join(fiber, restore, flight)
    }
    const again = ancestor(fiber.getFiberRef(currentFlight), this.host, key)
    return again === undefined
      ? this.join(fiber, restore, this.takeOff(fiber, def, key, args, "forced"))
      : Effect.die(new ReentrantLoad({ chain: again }))
  }

  joinable(flight: Flight, def: Definition, now: number): boolean {
    if (flight.def.owner !== def.owner || flight.isLate(now)) return false
    if (flight.doubtedAt !== undefined && this.host.moment() >= flight.doubtedAt) return false
    if (flight.epoch === this.host.marks.epoch) return true
    const tags = def.tags === undefined ? Entry.noTags : typeof def.tags === "function" ? "computed" : def.tags
    if (!this.host.marks.admitsLoad(flight.stamp, def.owner, tags)) return false
    flight.epoch = this.host.marks.epoch
    return true
  }

  /** whether there is no room for a load of this key beside those under way */
  isFull(key: string): boolean {
    const { maxFlights } = this.options
    if (this.table.size < maxFlights || this.table.get(key) !== undefined) return false
    this.host.telemetry.warnOnce("flights", `${maxFlights} loads at once, further ones are not shared`)
    return true
  }

  /** joins the load of a key, or starts one; `fiber` is uninterruptible */
  load(fiber: AnyFiber, restore: Restore, def: Definition, key: string, args: Args): Answered {
    const flight = this.table.get(key)
    if (flight !== undefined && this.joinable(flight, def, nowOf(fiber))) {
      def.counters.joined()
      return this.join(fiber, restore, flight)
    }
    return this.join(fiber, restore, this.takeOff(fiber, def, key, args, "plain"))
  }

  private join(fiber: AnyFiber, restore: Restore, flight: Flight): Answered {
    return flight.join(fiber, restore, this.abandoned)
  }

  private takeOff(
    fiber: AnyFiber,
    def: Definition,
    key: string,
    args: Args,
    kind: LoadKind,
    known?: Entry.Entry,
    looksBelow = false
  ): Flight {
    const clock = clockOf(fiber)
    const now = clock.unsafeCurrentTimeMillis()
    const flight = new Flight(
      this.host,
      key,
      def,
      args,
      kind,
      this.host.stamps.next(),
      clock,
      now,
      this.host.marks.epoch
    )
    if (kind !== "refresh") flight.parent = fiber.getFiberRef(currentFlight)
    this.detach(key)
    this.table.set(flight)
    flight.begun = this.host.moment()
    flight.known = known
    flight.looksBelow = looksBelow
    flight.ahead = this.host.ahead(flight)
    if (flight.ahead === undefined) flight.count()
    Load.start(fiber, flight, (exit) => this.landed(flight, exit))
    return flight
  }

  /** starts a refresh that nobody waits for; it ends, or is ended, within `flightTimeout` */
  refresh(
    fiber: AnyFiber,
    def: Definition,
    key: string,
    args: Args,
    onEnd: (exit: Exit.Exit<any, any>) => void,
    ttl: number,
    known?: Entry.Entry,
    looksBelow?: boolean
  ): Flight {
    const flight = this.takeOff(fiber, def, key, args, "refresh", known, looksBelow)
    flight.onEnd = onEnd
    flight.retryAfter = Math.min(def.retryAfter, ttl)
    if (flight.phase !== "done" && Number.isFinite(def.flightTimeout)) {
      const timer = Effect.flatMap(flight.clock.sleep(Duration.millis(def.flightTimeout)), () =>
        Effect.sync(() => this.overdue(flight))
      )
      flight.timer = this.host.runtime.background(timer)
    }
    return flight
  }

  private readonly refreshed = (): void => {
    this.refreshing--
  }

  private overdue(flight: Flight): void {
    if (flight.phase === "done") return
    const { def } = flight
    this.host.telemetry.warnOnce(
      `late:${def.name}`,
      `a refresh of ${def.name} took longer than its flightTimeout and was ended`
    )
    this.failed(flight, flight.startedAt + def.flightTimeout)
    flight.outcome = Exit.die(
      new Cause.TimeoutException(`the load of "${flight.key}" took longer than its flightTimeout`)
    )
    this.host.runtime.background(this.dismiss(flight))
  }

  /** ends a refresh; those who joined it did not ask for that, and read again */
  dismiss(flight: Flight): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.unseat(flight)
      flight.settle(
        Effect.withFiberRuntime<any, any>(
          (fiber) => this.host.read(fiber, flight.def, flight.key, flight.args) as Answered
        )
      )
      return flight.stop
    })
  }

  isUnderWay(fiber: AnyFiber, def: Definition, key: string): boolean {
    const flight = this.table.get(key)
    return flight !== undefined && this.joinable(flight, def, nowOf(fiber))
  }

  /** the last waiter has left: the load is stopped, but a refresh runs on (law 4) */
  private readonly abandoned = (flight: Flight): Effect.Effect<void> => {
    if (flight.kind === "refresh") return Effect.void
    this.unseat(flight)
    return flight.stop
  }

  /** out of the table: it answers those who wait, nobody joins, it writes nothing */
  private unseat(flight: Flight): void {
    if (!flight.attached) return
    flight.attached = false
    this.table.delete(flight)
    this.detached.add(flight)
    // what it brings is nobody's but its waiters': whoever loads in its place must not wait for it
    flight.unlock?.()
  }

  /** it runs no more */
  private gone(flight: Flight): void {
    if (flight.attached) {
      flight.attached = false
      this.table.delete(flight)
    } else {
      this.detached.delete(flight)
    }
  }

  detach(key: string): void {
    const flight = this.table.get(key)
    if (flight !== undefined) this.unseat(flight)
  }

  private landed(flight: Flight, exit: Exit.Exit<any, any>): void {
    if (flight.timer !== undefined) flight.timer.unsafeInterruptAsFork(FiberId.none)
    const now = flight.clock.unsafeCurrentTimeMillis()
    if (flight.ahead === undefined) flight.counters.loadTook(now - flight.startedAt)
    if (this.host.closed) flight.settle(Exit.interrupt(FiberId.none))
    if (flight.phase === "done") {
      this.gone(flight)
      flight.unlock?.()
      return flight.ended(exit)
    }
    let answer = exit
    let written: PendingWrite | undefined
    if (exit._tag === "Success" && flight.taken === undefined) {
      try {
        written = this.loaded(flight, exit.value, now)
      } catch (defect) {
        // a `ttl` or `tags` function of the user's (law 5)
        answer = Exit.die(defect)
      }
    } else if (exit._tag === "Failure" && !flight.stopping && Cause.isInterruptedOnly(exit.cause)) {
      answer = Exit.die(new LoadInterrupted({ key: flight.key }))
    }
    this.gone(flight)
    if (answer._tag === "Failure" && !flight.stopping) this.failed(flight, now)
    flight.settle(answer)
    flight.ended(answer)
    const { unlock } = flight
    if (unlock === undefined) return
    // whoever waits for the lock finds the value there; closing waits, too
    if (written === undefined) unlock()
    else this.host.runtime.run(() => Deferred.await(written.done), unlock)
  }

  private failed(flight: Flight, now: number): void {
    const { def, key } = flight
    const refresh = flight.kind === "refresh"
    flight.counters.loadFailure()
    if (refresh) {
      flight.counters.refreshFailure()
      this.cooling.set(key, now + flight.retryAfter)
    }
    this.host.telemetry.publish(() => ({ _tag: "LoadFailed", key, name: def.name, refresh }))
  }

  private loaded(flight: Flight, value: unknown, now: number): PendingWrite | undefined {
    const { def, key } = flight
    const lifetime = def.lifetimeOf(value, flight.args)
    this.cooling.delete(key)
    if (!flight.attached) return undefined
    if (flight.isLate(now)) {
      this.host.telemetry.warnOnce(
        `late:${def.name}`,
        `a load of ${def.name} took longer than its flightTimeout: its value was not stored`
      )
      return undefined
    }
    this.host.telemetry.publish(() => ({ _tag: "Loaded", key, name: def.name, refresh: flight.kind === "refresh" }))
    if (lifetime.ttl <= 0) {
      // the value says it must not be kept: nor must the one before it
      return flight.kind === "plain" ? undefined : this.host.write(key, undefined, now, def, true, true)
    }
    const entry = makeEntry(value, lifetime, { stamp: flight.stamp, now, owner: def.owner })
    return this.host.marks.admits(entry)
      ? this.host.write(key, entry, now, def, false, flight.kind !== "plain", flight.doubtedAt !== undefined)
      : undefined
  }

  /** other processes are heard from now on; a load under way may have missed something, and is joined for so long at most */
  doubt(millis: number): void {
    for (const flight of this.table.flights()) flight.doubtedAt = flight.begun + millis
  }

  /** what was said of a key before no longer counts */
  forget(key: string): void {
    this.detach(key)
    this.cooling.delete(key)
  }

  /** ends all loads, before this returns; the effect waits for what they have to clear up (law 11) */
  unsafeClose(): Effect.Effect<void> {
    const fibers: Array<AnyFiber> = []
    for (const flight of [...this.table.flights(), ...this.detached]) {
      flight.stopping = true
      if (flight.timer !== undefined) flight.timer.unsafeInterruptAsFork(FiberId.none)
      if (flight.fiber !== undefined) {
        flight.fiber.unsafeInterruptAsFork(FiberId.none)
        fibers.push(flight.fiber)
      }
      flight.settle(Exit.interrupt(FiberId.none))
    }
    this.table.clear()
    return Fiber.awaitAll(fibers)
  }
}

/** a forced load joins nothing, so a load that forces itself is found by its ancestors instead (law 13) */
const ancestor = (from: Flight | undefined, engine: object, key: string): ReadonlyArray<string> | undefined => {
  const chain = [key]
  for (let flight = from; flight !== undefined && flight.phase !== "done"; flight = flight.parent) {
    chain.unshift(flight.key)
    if (flight.key === key && flight.engine === engine) return chain
  }
  return undefined
}
