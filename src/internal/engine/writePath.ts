/**
 * The write path: everything that changes what is stored under a key.
 *
 * A write acts on this process before the call returns: it detaches the running load of the key, supersedes reads in
 * progress, and changes the copy in memory. A remote backend is written afterwards. The write queue answers reads until
 * the backend has confirmed the write (law 10: answered when loaded). An unconfirmed `set` or removal is delivered
 * later (law 6: the store may fail, the caller may not). The effect that a `start…` method returns waits for the
 * backend.
 *
 * Writes are ordered by their stamps. A loaded value carries the stamp of the moment at which its load began, so it
 * never overwrites a later write (law 8: invalidation wins). An authoritative write (`set`, `invalidate`) wins over
 * every earlier write, whatever its stamp.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as Backend from "../../Backend.js"
import { CacheStoreError } from "../../CacheError.js"
import * as Entry from "../../Entry.js"
import { toStoreError } from "../storeError.js"
import { clockOf, nowOf, type Stamps } from "../time.js"
import type { Args, Definition } from "./definition.js"
import type { Invalidation } from "./io/invalidation.js"
import { PendingWrite } from "./io/pendingWrite.js"
import type { ReadBatcher } from "./io/readBatcher.js"
import type { WriteQueue } from "./io/writeQueue.js"
import type { FlightTable } from "./loads/flightTable.js"
import type { Ownership } from "./ownership.js"
import type { KeyListeners } from "./peers/keyListeners.js"
import type { LoaderKeys } from "./peers/loaderKeys.js"
import type { LocalTier } from "./peers/localTier.js"
import type { StoredEntries } from "./storedEntries.js"
import type { StoreRuntime } from "./storeRuntime.js"
import type { Telemetry } from "./telemetry.js"
import type { Transactions } from "./transactions.js"
import type { WallClock } from "./wallClock.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** The part of a definition that a write needs. A write through the store itself has only a schema. */
export type WriteDefinition = Pick<Definition, "schema"> &
  Partial<Pick<Definition, "name" | "flightTimeout" | "announces" | "fence">>

export interface EntryWrite {
  readonly key: string
  /** The entry to write; `undefined` removes the one that is stored. */
  readonly entry: Entry.Entry | undefined
  readonly now: number
  readonly def: WriteDefinition
  /**
   * Whether this is a `set` or an invalidation, which wins over every earlier write. Loaded values go by their stamps.
   */
  readonly authoritative: boolean
  /** Whether an older entry may be stored, which must be removed even if the backend refuses the new one. */
  readonly replaces: boolean
  /** Whether a notification about the key may have been missed while the value was loaded. */
  readonly isDoubted: boolean
  /**
   * Whether this stores a value, which counts as a set once it is stored. A failure is none, and neither is an entry that
   * only becomes stale.
   */
  readonly isSet: boolean
  /** When the load of a loaded value began, as time of day. */
  readonly began?: number | undefined
  /** Whether a removal only expires the entry: mirrors, which keep a value until its end, then keep it. */
  readonly expires?: boolean | undefined
  /** Given for a stored failure: see `Backend.Write`. */
  readonly givesWay?: Backend.Write["givesWay"]
  /** Whether the backend may hold what must stay instead: a failure whose load did not look there. */
  readonly isUnsure?: boolean | undefined
  /** The entry that a removal makes stale, and the stamp of the removal. */
  readonly stale?: (Backend.StaleEntry & { readonly stamp: number }) | undefined
}

/** Whether the backend may refuse an entry, because a lock is no longer held. Memory does not keep it until then. */
const hasFence = ({ authoritative, def }: EntryWrite): boolean => !authoritative && def.fence !== undefined

/** Whether the backend decides first, so that until then the entry does not count in this process. */
const isForBackendFirst = (request: EntryWrite, { remote }: Backend.Backend): boolean =>
  hasFence(request) || (remote && request.isUnsure === true)

export interface WritePathParts {
  readonly backend: Backend.Backend
  readonly runtime: StoreRuntime
  readonly telemetry: Telemetry
  readonly stamps: Stamps
  readonly wallClock: WallClock
  readonly ownership: Ownership
  readonly invalidation: Invalidation
  readonly localTier: LocalTier
  readonly keyListeners: KeyListeners
  readonly loaderKeys: LoaderKeys
  readonly writeQueue: WriteQueue
  readonly readBatcher: ReadBatcher
  readonly stored: StoredEntries
  readonly flights: FlightTable
  readonly transactions: Transactions | undefined
}

export class WritePath {
  private closed = false
  private readonly parts: WritePathParts

  constructor(parts: WritePathParts) {
    this.parts = parts
  }

  /** Writes an entry or removes one. Returns the pending write to a remote backend; `undefined` for a local one. */
  write(request: EntryWrite): PendingWrite | undefined {
    const { def, entry, expires, isDoubted, isSet, key, now } = request
    const isRemoved = entry === undefined && expires !== true
    const {
      backend,
      invalidation,
      keyListeners,
      loaderKeys,
      localTier,
      readBatcher,
      telemetry,
      wallClock,
      writeQueue
    } = this.parts
    if (entry !== undefined) {
      wallClock.hold(entry)
      if (!backend.remote) invalidation.noteLifetime(entry.expiresAt - now)
    }
    const waits = isForBackendFirst(request, backend)
    // otherwise it is stored when the backend has confirmed it
    let isStoredHere = false
    if (entry === undefined) localTier.remove(key)
    else if (!waits) isStoredHere = localTier.keep(key, entry, now)
    else backend.freeze?.(entry.value)
    if (isSet && isStoredHere) telemetry.recordSet(key, def.name)
    const isWhole = !backend.remote && backend.unsafeSet !== undefined
    if (isWhole && entry !== undefined && !isStoredHere) telemetry.recordTooHeavy(entry.owner)
    if (entry !== undefined && isDoubted) localTier.doubt(key, entry.stamp)
    if (!backend.remote) keyListeners.notify(key, isRemoved)
    if (!backend.remote || this.closed) return undefined
    // the tiers that keep bytes get no failure whose error has no schema
    const isOnlyHere = request.givesWay !== undefined && (def.schema === undefined || backend.keepsFailures === false)
    if (isOnlyHere) return undefined
    if (!waits) loaderKeys.written(key, entry)
    readBatcher.supersede(key)
    const pending = this.pendingOf(request, isStoredHere)
    writeQueue.submit(key, pending)
    if (!waits) keyListeners.notify(key, isRemoved)
    return pending
  }

  /**
   * Whether this process knows an entry of a key that its function may still use. `known` is the one that the load was to
   * replace, if any.
   */
  holdsUsable(
    def: Definition,
    key: string,
    { args, known, now }: { readonly args: Args; readonly known: Entry.Entry | undefined; readonly now: number }
  ): boolean {
    const { localTier, ownership, writeQueue } = this.parts
    const entries = [known, localTier.locate(key, now), writeQueue.newest(key)?.answer]
    return entries.some((entry) => ownership.alive(entry, def, now, args) !== undefined)
  }

  private pendingOf(request: EntryWrite, isStoredHere: boolean): PendingWrite {
    const { authoritative, began, def, entry, givesWay, isSet, isUnsure, now, replaces, stale } = request
    const { runtime, stamps, writeQueue } = this.parts
    // a function may be loaded by other processes before this one has read it
    if (def.flightTimeout !== undefined) writeQueue.noteFlightTimeout(def.flightTimeout)
    return new PendingWrite({
      stamp: entry === undefined ? (stale?.stamp ?? stamps.begin()) : entry.stamp,
      entry,
      authoritative,
      replaces,
      // not only this function's loads must find the tombstone: so must a value that was set and is delivered late
      lifetime: entry === undefined ? writeQueue.tombstoneFor(undefined) : Entry.lifeEnd(entry) - now,
      stale: stale && { of: stale.of, at: stale.at },
      schema: def.schema,
      asked: runtime.now(),
      began: began ?? stamps.time(),
      maxAge: writeQueue.tombstoneFor(def.flightTimeout),
      announces: def.announces,
      fence: authoritative ? undefined : def.fence,
      givesWay,
      isUnsure,
      countsFor: isSet && !isStoredHere ? { name: def.name } : undefined
    })
  }

  /**
   * Sets an entry or, without one, invalidates the key. Reads and loads of the key that began earlier no longer count
   * (law 8: invalidation wins).
   */
  startWrite(
    fiber: AnyFiber,
    key: string,
    entry: Entry.Entry | undefined,
    def: WriteDefinition
  ): Effect.Effect<void, CacheStoreError> {
    if (this.closed) return this.parts.telemetry.ended
    const { backend, flights, telemetry, wallClock } = this.parts
    const isSet = entry !== undefined
    if (entry === undefined) {
      flights.outdate(key)
      this.parts.transactions?.invalidates(fiber)
    } else flights.forget(key)
    const now = nowOf(fiber)
    wallClock.check(now, clockOf(fiber))
    const pending = this.write({
      key,
      entry,
      now,
      def,
      authoritative: true,
      replaces: true,
      isDoubted: false,
      isSet
    })
    if (entry === undefined && backend.remote) {
      telemetry.publish(() => ({ _tag: "Removed", key, cause: "explicit" }))
    }
    return pending === undefined ? Effect.void : pending.done
  }

  /**
   * Removes what the memory of this process holds of a key, and detaches its running load. A slower tier keeps the entry
   * until it expires.
   */
  dropHere(key: string): void {
    if (this.closed) return
    const { backend, flights, keyListeners, localTier } = this.parts
    flights.forget(key)
    localTier.remove(key)
    if (!backend.remote) keyListeners.notify(key, true)
  }

  /**
   * Writes an entry unless the key has one that is alive, and returns whether it was written. Only the backend can
   * decide that, so the effect fails if the backend does not answer or refuses the value.
   */
  startSetIfAbsent(
    fiber: AnyFiber,
    key: string,
    entry: Entry.Entry,
    schema: Backend.AnySchema | undefined
  ): Effect.Effect<boolean, CacheStoreError> {
    if (this.closed) return this.parts.telemetry.ended
    const { backend, invalidation, ownership, stored, wallClock, writeQueue } = this.parts
    const now = nowOf(fiber)
    wallClock.check(now, clockOf(fiber))
    wallClock.hold(entry)
    if (!backend.remote) invalidation.noteLifetime(entry.expiresAt - now)
    const pending = writeQueue.newest(key)
    if (pending !== undefined && pending.answer === undefined) {
      return Effect.zipRight(
        pending.done,
        Effect.suspend(() => this.startSetIfAbsent(fiber, key, entry, schema))
      )
    }
    return Effect.flatMap(stored.startInspect(key, { schema }, now), (seen) => {
      const found = typeof seen === "number" ? undefined : seen
      if (found instanceof Entry.Entry && ownership.usable(found, undefined, now) !== undefined) {
        return Effect.succeed(false)
      }
      const tombstone = writeQueue.tombstoneFor(undefined)
      const write = { key, entry, lifetime: Entry.lifeEnd(entry) - now, authoritative: true, tombstone, schema }
      return this.writeIfAbsent(write, { now, replacing: found?.stamp })
    })
  }

  private writeIfAbsent(
    write: Backend.Write,
    options: { readonly now: number; readonly replacing: number | undefined }
  ): Effect.Effect<boolean, CacheStoreError> {
    const { backend, runtime, telemetry } = this.parts
    return Effect.async((resume) => {
      const ask = () => backend.setIfAbsent(write, options)
      runtime.run(ask, (exit, began) => {
        if (backend.remote) telemetry.recordTime("set", began, exit)
        resume(this.ifAbsentResult(write, exit))
      })
    })
  }

  private ifAbsentResult(
    { entry, key }: Backend.Write,
    exit: Exit.Exit<Backend.Written, CacheStoreError>
  ): Effect.Effect<boolean, CacheStoreError> {
    const { backend, telemetry } = this.parts
    const method = "setIfAbsent"
    if (exit._tag === "Failure") {
      const error = toStoreError(exit.cause, backend.name, method)
      telemetry.recordFailure("write", error)
      return Effect.fail(error)
    }
    telemetry.recordSuccess("write")
    const written = exit.value
    switch (written._tag) {
      case "Written":
        this.wroteIfAbsent(key, written.stamp)
        return Effect.succeed(true)
      case "Failed":
        telemetry.recordPartialFailure("write", written.error)
        return Effect.fail(written.error)
      case "Refused": {
        const { error: cause, isTold } = written
        if (isTold !== true) telemetry.recordRefused(key, entry.owner, cause.message)
        return Effect.fail(new CacheStoreError({ reason: "Rejected", store: backend.name, method, cause }))
      }
      default:
        return Effect.succeed(false)
    }
  }

  /** The backend took an entry that bypassed the write queue. Reads, loads and writes in progress are older. */
  private wroteIfAbsent(key: string, stamp: number): void {
    const { backend, flights, keyListeners, localTier, readBatcher, stamps, telemetry, writeQueue } = this.parts
    // what `layerNoop` takes is not stored
    if (backend.remote || backend.unsafeSet !== undefined) telemetry.recordSet(key, undefined)
    stamps.observe(stamp)
    flights.forget(key)
    readBatcher.supersede(key)
    writeQueue.settle(key, stamp)
    localTier.dropUpTo(key, stamp)
    keyListeners.notify(key)
  }

  /**
   * Another process wrote or removed a key. Earlier reads, loads and writes no longer count (law 8: invalidation wins).
   */
  changed({ isExpiry = false, key, stamp }: Backend.Changed): void {
    const { backend, flights, keyListeners, loaderKeys, localTier, readBatcher, stamps, writeQueue } = this.parts
    // an ownerless backend keeps the last write, and its stamps come from clocks that may differ
    const outdates = backend.isOwnerless ? Number.POSITIVE_INFINITY : stamp
    // two loads may have one stamp: the backend keeps one of them, and a copy of the other must go
    localTier.dropUpTo(key, outdates)
    readBatcher.supersede(key, outdates)
    writeQueue.outdate(key, stamp)
    if (isExpiry) flights.noteExpiry(key)
    else flights.noteChange(key)
    flights.endContest(key)
    const flight = flights.get(key)
    if (flight !== undefined && flight.stamp < stamp) {
      // nothing outdates a lookup that has not begun, and the change may be the value that the flight waits for
      if (flight.phase._tag === "Preparing") {
        flight.phase.notBefore = Math.max(flight.phase.notBefore, stamp)
        // what was invalidated answers in no case
        const isOutdated = flight.retained !== undefined && flight.retained.stamp < outdates
        if (isOutdated && !isExpiry) flight.retained = undefined
      } else if (isExpiry) flights.expire(key)
      else flights.outdate(key)
    }
    stamps.observe(stamp)
    loaderKeys.changed(key, stamp)
    keyListeners.notify(key)
  }

  /**
   * Raises marks. Earlier entries that carry one of these names are invalidated, and running loads that carry one store
   * nothing (law 8: invalidation wins, law 16: no scans).
   */
  raise(names: ReadonlyArray<string>): Effect.Effect<void, CacheStoreError> {
    return this.mark((invalidation, now) => invalidation.startRaise(names, now))
  }

  /** As `raise`, with marks that make earlier entries stale in place of invalidating them. */
  expire(names: ReadonlyArray<string>): Effect.Effect<void, CacheStoreError> {
    return this.mark((invalidation, now) => invalidation.startExpire(names, now))
  }

  private mark(
    start: (invalidation: Invalidation, now: number) => Effect.Effect<void, CacheStoreError>
  ): Effect.Effect<void, CacheStoreError> {
    return Effect.withFiberRuntime((fiber) => {
      const { backend, invalidation, stamps, transactions } = this.parts
      transactions?.invalidates(fiber)
      const now = nowOf(fiber)
      // the stamps of entries in an ownerless backend are times of the fiber's clock
      if (backend.isOwnerless) stamps.advance(now)
      return this.closed ? this.parts.telemetry.ended : start(invalidation, now)
    })
  }

  /** Writes that wait for their turn are sent if they are authoritative, otherwise dropped. */
  close(): void {
    this.closed = true
    this.parts.writeQueue.close()
  }
}
