/**
 * The expiry of an entry before its time: it becomes stale, so that it may be served while the next read refreshes it. An
 * entry that may not be served as stale expires, and one of which it is not known whether it is valid is removed. Where a
 * background loader of the key runs, that loads at once, and the entry stays until it has.
 *
 * A load that began before the expiry stores nothing (law 8: invalidation wins), so the entry gets a new stamp, as a
 * tombstone would. Marks are compared with stamps, so a new stamp hides every mark that is older. The order of steps sees
 * to it that no such mark concerns the entry: the stamp is taken first, then the marks are read and the entry is compared
 * with them, and last the backend makes this very entry stale, if it is still stored. Marks that are raised meanwhile
 * have a later stamp.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as Backend from "../../Backend.js"
import type { CacheStoreError } from "../../CacheError.js"
import { Entry, expiredEntry, staleEntry, staleFrom } from "../../Entry.js"
import { clockOf, nowOf, type Stamps } from "../time.js"
import type { Invalidation } from "./io/invalidation.js"
import type { ReadBatcher } from "./io/readBatcher.js"
import type { WriteQueue } from "./io/writeQueue.js"
import type { FlightTable } from "./loads/flightTable.js"
import type { Ownership } from "./ownership.js"
import type { LoaderKeys } from "./peers/loaderKeys.js"
import type { LocalTier } from "./peers/localTier.js"
import type { StoredEntries } from "./storedEntries.js"
import type { StoreRuntime } from "./storeRuntime.js"
import type { Telemetry } from "./telemetry.js"
import type { Transactions } from "./transactions.js"
import type { WallClock } from "./wallClock.js"
import type { WriteDefinition, WritePath } from "./writePath.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

export interface ExpiryParts {
  readonly backend: Backend.Backend
  readonly runtime: StoreRuntime
  readonly telemetry: Telemetry
  readonly stamps: Stamps
  readonly wallClock: WallClock
  readonly ownership: Ownership
  readonly invalidation: Invalidation
  readonly localTier: LocalTier
  readonly loaderKeys: LoaderKeys
  readonly writeQueue: WriteQueue
  readonly readBatcher: ReadBatcher
  readonly stored: StoredEntries
  readonly flights: FlightTable
  readonly writes: WritePath
  readonly transactions: Transactions | undefined
}

/** A valid entry, the stamp of its expiry, and whether it may be served afterwards. */
interface Judged extends Backend.StaleEntry {
  readonly stamp: number
  readonly isServed: boolean
}

/** Whether an expired entry stays. A stored failure does not: the next read loads. */
const isKept = ({ extension }: Entry): boolean => extension?.isFailure !== true

/** The writer of the entry is not known, and the entry is not encoded again. */
const def: WriteDefinition = { schema: undefined }

export class Expiry {
  private closed = false
  private readonly parts: ExpiryParts

  constructor(parts: ExpiryParts) {
    this.parts = parts
  }

  /** Expires the entry of a key. Reads and loads of the key that began earlier no longer count. */
  startExpire(fiber: AnyFiber, key: string): Effect.Effect<void, CacheStoreError> {
    const { backend, flights, loaderKeys, readBatcher, telemetry, wallClock, writeQueue, writes } = this.parts
    if (this.closed) return telemetry.ended
    this.parts.transactions?.invalidates(fiber)
    const now = nowOf(fiber)
    wallClock.check(now, clockOf(fiber))
    flights.expire(key)
    if (loaderKeys.expire(key)) return Effect.void
    if (!backend.remote) return this.startExpireHere(key, now)
    readBatcher.supersede(key)
    const pending = writeQueue.newest(key)
    if (pending?.authoritative === false) {
      return Effect.zipRight(
        writeQueue.awaitEnd(key),
        Effect.suspend(() => this.startExpire(fiber, key))
      )
    }
    // what a set that is not confirmed is to replace must not be served as stale
    if (!writeQueue.isConfirmed(key)) return writes.startWrite(fiber, key, undefined, def)
    return Effect.flatMap(this.judge(fiber, key), (judged) => this.finish(fiber, key, judged))
  }

  /** Expires an entry where memory is the whole store. */
  private startExpireHere(key: string, now: number): Effect.Effect<void, CacheStoreError> {
    const { localTier, ownership, stamps, writes } = this.parts
    // what a mark has invalidated must not get a new stamp
    const entry = ownership.alive(localTier.locate(key, now), undefined, now)
    const expiry = { at: now, stamp: stamps.begin() }
    // one that may not be served stays for the lookups that get the previous value
    const stale = entry && isKept(entry) ? (staleEntry(entry, expiry) ?? expiredEntry(entry, expiry)) : undefined
    const expires = stale === undefined
    const write = { key, entry: stale, now, def, authoritative: true, replaces: true, isDoubted: false }
    writes.write({ ...write, isSet: false, expires })
    return Effect.void
  }

  /** The valid entry of a key, and the stamp of its expiry. `undefined` if there is none, or the backend did not answer. */
  private judge(fiber: AnyFiber, key: string): Effect.Effect<Judged | undefined> {
    const { backend, invalidation, ownership, stamps, stored } = this.parts
    if (backend.isOwnerless) return Effect.succeed(undefined)
    return Effect.gen(this, function* () {
      if (backend.stamps !== undefined && !(yield* this.succeeds(backend.stamps.raise))) return undefined
      const stamp = backend.stamps?.seen() ?? stamps.begin()
      const { marks } = backend
      const read = marks && Effect.map(marks.read, (marks) => marks !== undefined && invalidation.merge(marks))
      if (read !== undefined && !(yield* this.succeeds(read))) return undefined
      const inspect = stored.startInspectBelow(key, def, undefined)
      const found = yield* Effect.orElseSucceed(inspect, () => undefined)
      const at = nowOf(fiber)
      const alive = found instanceof Entry ? ownership.alive(found, undefined, at) : undefined
      if (alive === undefined || !isKept(alive)) return undefined
      // a mark may have made it stale before
      const from = Math.min(at, alive.freshUntil)
      return { of: alive.stamp, at: from, stamp, isServed: staleFrom(alive, at) !== undefined }
    })
  }

  /** Runs an operation of the backend, and returns whether it succeeded. */
  private succeeds(operation: Effect.Effect<unknown, CacheStoreError>): Effect.Effect<boolean> {
    return Effect.async((resume) =>
      this.parts.runtime.run<unknown, CacheStoreError>(
        () => operation,
        (exit: Exit.Exit<unknown, CacheStoreError>) => resume(Effect.succeed(exit._tag === "Success"))
      )
    )
  }

  private finish(fiber: AnyFiber, key: string, judged: Judged | undefined): Effect.Effect<void, CacheStoreError> {
    const { telemetry, writeQueue, writes } = this.parts
    if (this.closed) return telemetry.ended
    // a set or a removal that was asked for meanwhile is the later one
    const later = writeQueue.newest(key)
    if (later?.authoritative === true) return later.done
    if (judged === undefined) return writes.startWrite(fiber, key, undefined, def)
    const { isServed, ...stale } = judged
    const pending = writes.write({
      key,
      entry: undefined,
      now: nowOf(fiber),
      def,
      authoritative: true,
      replaces: true,
      isDoubted: false,
      isSet: false,
      expires: true,
      stale
    })
    if (!isServed) telemetry.publish(() => ({ _tag: "Removed", key, cause: "explicit" }))
    return pending === undefined ? Effect.void : pending.done
  }

  close(): void {
    this.closed = true
  }
}
