/**
 * The step before a lookup, which may answer in its place.
 *
 * - A refresh of a copy in memory looks into the slower tiers first: another process may have refreshed the entry there
 *   (law 9: stale is served only while allowed).
 * - A load with `lock` waits until this process holds the lock of the key, or another process has stored the value.
 * - A forced load, and a run of a background loader, raises the backend's count: it follows no read that has shown the
 *   count. Nothing answers in place of its lookup. A load with `lock` raises it, too, once it holds the lock.
 */
import * as Effect from "effect/Effect"
import type * as Backend from "../../Backend.js"
import { type Entry, freshEnd, isFailure, isLater } from "../../Entry.js"
import type { Stamps } from "../time.js"
import { answerTo, type ReadBatcher } from "./io/readBatcher.js"
import type { Flight } from "./loads/flight.js"
import type { Ownership } from "./ownership.js"
import type { LoadLock } from "./peers/loadLock.js"
import type { StoredEntries } from "./storedEntries.js"
import type { StoreRuntime } from "./storeRuntime.js"

export interface BeforeLoadParts {
  readonly backend: Backend.Backend
  readonly runtime: StoreRuntime
  readonly stamps: Stamps
  readonly ownership: Ownership
  readonly readBatcher: ReadBatcher
  readonly stored: StoredEntries
  readonly loadLock: Pick<LoadLock, "lead">
}

export class BeforeLoad {
  private readonly parts: BeforeLoadParts

  constructor(parts: BeforeLoadParts) {
    this.parts = parts
  }

  /** The step before the lookup of a flight, if it has one. It succeeds with the entry that answers the flight. */
  stepOf(flight: Flight): Effect.Effect<Entry | undefined> | undefined {
    const { backend, loadLock, stamps } = this.parts
    const { request } = flight
    if (!backend.remote) return undefined
    const isLocked = request.kind !== "forced" && request.def.lease > 0 && backend.lock !== undefined
    const looksBelow = request.kind === "refresh" && request.looksBelow
    let step: Effect.Effect<Entry | undefined>
    if (isLocked) step = this.led(flight, loadLock.lead(flight, this.storedFor(flight)))
    else if (looksBelow) step = this.storedFor(flight)
    else if (request.kind === "plain" || (request.kind === "refresh" && request.known !== undefined)) return undefined
    else if (backend.stamps === undefined) return undefined
    else step = this.raised(backend.stamps)
    return Effect.map(step, (entry) => {
      if (entry === undefined) flight.beginLookup(stamps.begin(), stamps.time())
      return entry
    })
  }

  /** A load with a lock raises the count, so that it is later than that of a holder which has lost the lock. */
  private led(flight: Flight, lead: Effect.Effect<Entry | undefined>): Effect.Effect<Entry | undefined> {
    const { stamps } = this.parts.backend
    return stamps === undefined
      ? lead
      : Effect.tap(lead, (entry) => (entry === undefined && flight.attached ? this.raised(stamps) : Effect.void))
  }

  /** Raises the backend's count. A backend that does not answer takes no value either, so the load goes on. */
  private raised(stamps: Backend.Counted): Effect.Effect<undefined> {
    return Effect.async((resume) =>
      this.parts.runtime.run(
        () => stamps.raise,
        () => resume(Effect.succeed(undefined))
      )
    )
  }

  /**
   * The entry whose value a conditional lookup gets: any that a tier still holds, also one that has expired, unless it was
   * invalidated. The source itself decides whether its value still holds.
   */
  previousOf(flight: Flight): Effect.Effect<Entry | undefined> {
    const { backend, ownership, stored } = this.parts
    const { clock, request } = flight
    const { def, key, kind } = request
    const isValid = (entry: Entry) => entry.owner === def.owner && !isFailure(entry) && ownership.accepts(entry, def)
    const valid = (entry: Entry | undefined) => (entry !== undefined && isValid(entry) ? entry : undefined)
    return Effect.suspend(() => {
      const found = kind === "plain" ? request.expired : undefined
      const known = kind === "refresh" ? request.known : (flight.retained ?? found)
      // one that waited for a permit may have missed an invalidation
      const held = valid(flight.permit === undefined ? known : undefined) ?? valid(backend.unsafeGet?.(key))
      // a plain load follows a read of the backend
      if (held !== undefined || kind === "plain" || !backend.remote) return Effect.succeed(held)
      const peek = stored.startPeek(key, def, clock.unsafeCurrentTimeMillis())
      return Effect.map(
        Effect.orElseSucceed(peek, () => undefined),
        valid
      )
    })
  }

  /** The fresh entry that is stored under the key, if it is newer than the entry that the flight is to replace. */
  private storedFor(flight: Flight): Effect.Effect<Entry | undefined> {
    const { ownership, readBatcher, stored } = this.parts
    const { clock, request } = flight
    const { def, key } = request
    return Effect.suspend(() =>
      Effect.map(answerTo(readBatcher.startRead(key, def, clock.unsafeCurrentTimeMillis())), (answer) => {
        const entry = answer.superseded ? undefined : stored.entryOf(key, answer, def)
        if (entry === undefined || !flight.attached || !ownership.accepts(entry, def)) return undefined
        // a value is still served: the refresh is to find the next one
        if (isFailure(entry) && request.kind === "refresh") return undefined
        if (flight.phase._tag === "Preparing" && entry.stamp < flight.phase.notBefore) return undefined
        if (clock.unsafeCurrentTimeMillis() >= freshEnd(entry)) return undefined
        return this.isNewer(entry, flight) ? entry : undefined
      })
    )
  }

  private isNewer(entry: Entry, { request, startedAt }: Flight): boolean {
    if (request.kind !== "refresh") return true
    const { known } = request
    return known === undefined ? entry.createdAt > startedAt : isLater(entry, known)
  }
}
