/**
 * What becomes of a load that has ended: its duration is reported, and its value is stored unless something later than
 * the load forbids it. `failures.ts` stores failures.
 */
import type * as Exit from "effect/Exit"
import { makeEntry } from "../definition.js"
import type { MarkTable } from "../io/markTable.js"
import type { PendingWrite } from "../io/pendingWrite.js"
import type { Telemetry } from "../telemetry.js"
import type { WallClock } from "../wallClock.js"
import type { WritePath } from "../writePath.js"
import type { Flight } from "./flight.js"
import type { FlightTable } from "./flightTable.js"

export interface LandingParts {
  readonly telemetry: Telemetry
  readonly wallClock: WallClock
  readonly marks: MarkTable
  readonly flights: FlightTable
  readonly writes: Pick<WritePath, "write">
}

/** Reports how long a lookup took. */
export const recordDuration = (
  { counters, def, request }: Flight,
  millis: number,
  { _tag }: Exit.Exit<unknown, unknown>,
  telemetry: Telemetry
): void => {
  counters.loadTook(millis)
  telemetry.events.publishTiming(() => ({
    name: def.name,
    millis,
    isRefresh: request.kind === "refresh",
    isSuccess: _tag === "Success"
  }))
}

/** Stores a loaded value, unless something later than its load forbids it. */
export const storeValue = (
  flight: Flight,
  value: unknown,
  now: number,
  { flights, marks, telemetry, wallClock, writes }: LandingParts
): PendingWrite | undefined => {
  const { args, def, key, kind } = flight.request
  wallClock.check(now, flight.clock)
  const lifetime = def.lifetimeOf(value, args, flight.random)
  telemetry.recordLoaded(def.name, now)
  flights.resume(key)
  if (flight.isUncertain) flight.isConfirmed = marks.admitsLoad(flight.stamp, def.owner, lifetime.tags)
  if (!flights.mayStore(flight)) return undefined
  flights.endContest(key)
  if (flight.isLate(now)) {
    telemetry.recordLoadTooLong(def.name, "delivered")
    return undefined
  }
  telemetry.publish(() => ({ _tag: "Loaded", key, name: def.name, refresh: kind === "refresh" }))
  if (lifetime.ttl <= 0) {
    // a value that must not be kept also removes the entry that it replaces; a plain load replaces none
    if (kind === "plain") return undefined
    const removal = { key, entry: undefined, now, def, authoritative: true, replaces: true, isDoubted: false }
    return writes.write({ ...removal, isSet: false })
  }
  const entry = makeEntry(value, lifetime, { stamp: flight.stamp, now, owner: def.owner })
  if (!marks.admitsLoad(entry.stamp, entry.owner, entry.tags)) return undefined
  const replaces = kind !== "plain"
  const isDoubted = flight.joinableUntil !== undefined
  const write = { key, entry, now, def, authoritative: false, replaces, isDoubted, isSet: true }
  return writes.write({ ...write, began: flight.began })
}
