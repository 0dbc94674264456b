/**
 * The step before a lookup, which may answer in its place.
 *
 * - A refresh of a copy in memory looks into the slower tiers first: another process may have refreshed the entry there
 *   (law 9: stale is served only while allowed).
 * - A load with `lock` waits until this process holds the lock of the key, or another process has stored the value.
 *
 * A forced load has no such step: its caller wants the lookup to run.
 */
import * as Effect from "effect/Effect"
import type * as Backend from "../../Backend.js"
import type { Entry } from "../../Entry.js"
import type { Stamps } from "../time.js"
import type { ReadBatcher } from "./io/readBatcher.js"
import type { Flight } from "./loads/flight.js"
import type { Ownership } from "./ownership.js"
import type { LoadLock } from "./peers/loadLock.js"
import type { StoredEntries } from "./storedEntries.js"

export interface BeforeLoadParts {
  readonly backend: Backend.Backend
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
    if (!backend.remote || request.kind === "forced") return undefined
    const isLocked = request.def.lease > 0 && backend.lock !== undefined
    if (!isLocked && !(request.kind === "refresh" && request.looksBelow)) return undefined
    const stored = this.storedFor(flight)
    return Effect.map(isLocked ? loadLock.lead(flight, stored) : stored, (entry) => {
      if (entry === undefined) flight.beginLookup(stamps.next())
      return entry
    })
  }

  /** The fresh entry that is stored under the key, if it is newer than the entry that the flight is to replace. */
  private storedFor(flight: Flight): Effect.Effect<Entry | undefined> {
    const { ownership, readBatcher, stored } = this.parts
    const { clock, request } = flight
    const { def, key } = request
    return Effect.suspend(() =>
      Effect.map(readBatcher.startRead(key, def, clock.unsafeCurrentTimeMillis()), (answer) => {
        const entry = answer.superseded ? undefined : stored.entryOf(key, answer, def)
        if (entry === undefined || !flight.attached || !ownership.accepts(entry, def)) return undefined
        if (flight.phase._tag === "Preparing" && entry.stamp < flight.phase.notBefore) return undefined
        if (clock.unsafeCurrentTimeMillis() >= entry.freshUntil) return undefined
        return this.isNewer(entry, flight) ? entry : undefined
      })
    )
  }

  private isNewer(entry: Entry, { request, startedAt }: Flight): boolean {
    if (request.kind !== "refresh") return true
    const { known } = request
    return known === undefined ? entry.createdAt > startedAt : entry.stamp > known.stamp
  }
}
