/**
 * The running loads of one store by key, and the pauses after failed refreshes.
 *
 * A flight that can be joined is in the table, at most one per key (law 3: one load per key). It is detached by a later
 * change of its key (a `set`, an invalidation, a write of another process), or when another load takes its place
 * because that one is forced, or because this one is late or invalidated by a mark. A detached flight still answers its
 * waiters, but nobody joins it and it stores nothing (law 8: invalidation wins).
 *
 * A contested flight is in between. Its tags are computed from the value, and a tag was invalidated since it began, so
 * whether that concerns its value is known only at its end. Nobody joins it, because another load of the key has begun,
 * but it may still store its value. A key has one contested flight at most.
 *
 * Both the writes and the loads of a store change this table, and neither depends on the other.
 */
import { BoundedMap } from "../../boundedMap.js"
import type { Flight } from "./flight.js"
import { LoadGroups } from "./loadGroups.js"

/** The most keys whose pause after a failed refresh is remembered. */
const maxPauses = 10_000

/** The most keys whose changes a priming remembers. Beyond it, every key counts as changed. */
const maxChanges = 10_000

/** Tells whether a key was changed since, other than by an expiry: what was known of it before then answers in no case. */
export class KeyWatch {
  readonly key: string
  hasChanged = false

  constructor(key: string) {
    this.key = key
  }
}

/** A list query whose values are to be stored: see `priming.ts`. */
export class Priming {
  /** When the query began. */
  readonly stamp: number
  /** That moment as time of day. 0 in a store that only this process uses. */
  readonly began: number
  /** Whether a notification of another process may have been missed since. Mutable by design. */
  isDoubted = false
  private changed: Set<string> | undefined = new Set()

  constructor(stamp: number, began: number) {
    this.stamp = stamp
    this.began = began
  }

  note(key: string): void {
    this.changed?.add(key)
    if ((this.changed?.size ?? 0) > maxChanges) this.noteAll()
  }

  noteAll(): void {
    this.changed = undefined
  }

  /** Whether a key was changed since the query began. */
  hasChanged(key: string): boolean {
    return this.changed === undefined || this.changed.has(key)
  }
}

export class FlightTable {
  /**
   * The newest flight is kept beside the Map, so a load that ends before the next one begins never enters the Map. V8
   * rehashes a Map that entries enter and leave one by one, each time into a smaller table.
   */
  private newest: Flight | undefined = undefined
  private readonly others = new Map<string, Flight>()
  /** Flights that still run but are no longer in the table. */
  private readonly detached = new Set<Flight>()
  /** The contested flight of each key. */
  private readonly contested = new Map<string, Flight>()
  /** The earliest time of the next refresh, for each key whose last refresh failed. */
  private readonly pauses = new BoundedMap<number>(maxPauses)
  /** The list queries that run. */
  private readonly primings = new Set<Priming>()
  /** Those of loads whose readers may get an old value, although the loads are not in the table, by key. */
  private readonly watches = new Map<string, Set<KeyWatch>>()
  /** The flights of batched functions: those of one batch count as one. */
  readonly groups = new LoadGroups()

  /** The number of flights that can be joined. Those of one batch count as one. */
  get size(): number {
    return this.others.size + (this.newest === undefined ? 0 : 1) - this.groups.spare
  }

  get(key: string): Flight | undefined {
    return this.newest !== undefined && this.newest.key === key ? this.newest : this.others.get(key)
  }

  /**
   * Adds a flight. The flight that the key had before is detached, or contested if only its unknown tags speak against
   * it. A forced load replaces it in any case.
   */
  add(flight: Flight): void {
    const before = this.get(flight.key)
    if (before !== undefined) {
      const isContested = before.isUncertain && before.attached && flight.request.kind !== "forced"
      this.detach(before)
      if (isContested) this.contested.set(before.key, before)
    }
    if (this.newest !== undefined) this.others.set(this.newest.key, this.newest)
    this.newest = flight
    this.groups.add(flight)
  }

  /** Takes a flight out of the table while it runs on. */
  detach(flight: Flight): void {
    if (!flight.attached) return
    flight.attached = false
    this.delete(flight)
    this.detached.add(flight)
    // other processes must not wait for a load that stores nothing
    flight.unlock?.()
  }

  /** Whether the key of a flight has another one that may still store its value. */
  isContested(key: string): boolean {
    return this.contested.has(key)
  }

  /** Whether a flight may store its value. */
  mayStore(flight: Flight): boolean {
    return flight.attached || this.contested.get(flight.key) === flight
  }

  /** Whether the entry that a flight has kept for its failure may still answer, as far as changes of its key are known. */
  mayAnswerOld(flight: Flight): boolean {
    return this.mayStore(flight) || flight.expired?.hasChanged === false
  }

  /** Takes the right to store its value from the contested flight of a key, because something newer was stored. */
  endContest(key: string): void {
    this.contested.delete(key)
  }

  /** Removes a flight that has ended. */
  remove(flight: Flight): void {
    if (this.contested.get(flight.key) === flight) this.contested.delete(flight.key)
    if (flight.attached) {
      flight.attached = false
      this.delete(flight)
    } else {
      this.detached.delete(flight)
    }
    if (flight.expired !== undefined) this.unwatch(flight.expired)
    this.groups.end(flight)
  }

  private delete(flight: Flight): void {
    this.groups.detach(flight)
    if (this.newest === flight) this.newest = undefined
    else this.others.delete(flight.key)
  }

  /** Forgets what is known of a key because something newer was written: its load and its pause. */
  forget(key: string): void {
    this.noteChange(key)
    const flight = this.get(key)
    if (flight !== undefined) this.detach(flight)
    this.endContest(key)
    this.resume(key)
  }

  /** Forgets what is known of a key because it was invalidated. A lookup that waits for its permit begins later. */
  outdate(key: string): void {
    const flight = this.get(key)
    if (flight?.isQueued !== true) return this.forget(key)
    // what is invalidated answers in no case
    flight.retained = undefined
    this.noteChange(key)
    this.endContest(key)
    this.resume(key)
  }

  /**
   * Detaches the load of a key because its entry was expired. What answers in place of its failure may still do so, unless
   * the key is changed in another way, too. A lookup that waits for its permit begins later.
   */
  expire(key: string): void {
    const flight = this.get(key)
    if (flight !== undefined && !flight.isQueued) {
      if (flight.retained !== undefined) flight.expired = this.watch(key)
      this.detach(flight)
    }
    this.noteExpiry(key)
    this.endContest(key)
    this.resume(key)
  }

  /** A key has changed: a list query that runs is older, and so is an old value that waits for a load to fail. */
  noteChange(key: string): void {
    this.noteExpiry(key)
    if (this.watches.size === 0) return
    for (const watch of this.watches.get(key) ?? []) watch.hasChanged = true
  }

  /** The entry of a key was expired: a list query that runs is older. */
  noteExpiry(key: string): void {
    if (this.primings.size > 0) for (const priming of this.primings) priming.note(key)
  }

  watch(key: string): KeyWatch {
    const watch = new KeyWatch(key)
    const others = this.watches.get(key)
    if (others === undefined) this.watches.set(key, new Set([watch]))
    else others.add(watch)
    return watch
  }

  unwatch(watch: KeyWatch): void {
    const others = this.watches.get(watch.key)
    others?.delete(watch)
    if (others?.size === 0) this.watches.delete(watch.key)
  }

  /** Any key may have changed. */
  private noteAll(): void {
    for (const watches of this.watches.values()) for (const watch of watches) watch.hasChanged = true
  }

  startPriming(priming: Priming): Priming {
    this.primings.add(priming)
    return priming
  }

  endPriming(priming: Priming): void {
    this.primings.delete(priming)
  }

  /** Starts no refresh of a key before `until`. */
  pause(key: string, until: number): void {
    this.pauses.set(key, until)
  }

  isPaused(key: string, now: number): boolean {
    const until = this.pauses.get(key)
    return until !== undefined && now < until
  }

  resume(key: string): void {
    this.pauses.delete(key)
  }

  /**
   * Notifications of other processes arrive from now on. The present flights may have missed one, so they can be joined
   * for `millis` after their begin at most.
   */
  limitJoins(millis: number): void {
    for (const flight of this.joinable()) flight.joinableUntil = flight.startedLive + millis
    for (const flight of this.contested.values()) flight.joinableUntil = flight.startedLive + millis
    for (const priming of this.primings) priming.isDoubted = true
    this.noteAll()
  }

  /** Detaches every flight: what they load must not be written. */
  detachAll(): void {
    for (const flight of this.joinable()) this.detach(flight)
    for (const priming of this.primings) priming.noteAll()
    this.noteAll()
  }

  private joinable(): ReadonlyArray<Flight> {
    return this.newest === undefined ? [...this.others.values()] : [this.newest, ...this.others.values()]
  }

  /** Moves the times of flights and pauses back with the wall clock, so that they last no longer. */
  setBack(by: number): void {
    for (const flight of this.running()) flight.startedAt -= by
    this.pauses.update((until) => until - by)
  }

  /** Every flight that runs, detached ones included. */
  running(): ReadonlyArray<Flight> {
    return [...this.joinable(), ...this.detached]
  }

  /** Makes the table empty, when the store closes. */
  clear(): void {
    this.newest = undefined
    this.others.clear()
    this.contested.clear()
  }
}
