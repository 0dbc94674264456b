/**
 * The loads that run now, as the page shows them.
 */
import type { Engine } from "../engine/engine.js"
import type { Flight } from "../engine/loads/flight.js"
import { type Disclosure, shownKey } from "./shownEvents.js"

/** The most loads that are shown. */
const maxLoads = 20

/** A load as the page shows it. */
export interface ShownLoad {
  readonly id: string
  readonly name: string
  /** The key, or its hash. */
  readonly key: string
  readonly kind: "load" | "refresh" | "queued"
  /** How long it has run, in milliseconds. */
  readonly age: number
  readonly waiters: number
}

const ageOf = ({ clock, startedAt }: Flight): number => Math.max(0, clock.unsafeCurrentTimeMillis() - startedAt)

const shownLoad = (flight: Flight, disclosure: Disclosure): ShownLoad => {
  const { def, isQueued, key, request, startedAt, waiters } = flight
  const shown = shownKey(key, disclosure)
  return {
    id: `${def.name} ${shown} ${startedAt}`,
    name: def.name,
    key: shown,
    kind: isQueued ? "queued" : request.kind === "refresh" ? "refresh" : "load",
    age: ageOf(flight),
    waiters
  }
}

/** The loads that run longest. */
export const runningLoads = ({ singleFlight }: Engine, disclosure: Disclosure): ReadonlyArray<ShownLoad> => {
  const running = [...singleFlight.flights.running()].sort((a, b) => ageOf(b) - ageOf(a))
  return running.slice(0, maxLoads).map((flight) => shownLoad(flight, disclosure))
}
