/**
 * The numbers behind `CacheStore.stats`: a snapshot of the counters of a store, of its functions and of its tiers.
 */
import * as Option from "effect/Option"
import type * as Backend from "../../Backend.js"
import type { Counters } from "../../CacheMetrics.js"
import type { Invalidation } from "./io/invalidation.js"
import type { Telemetry } from "./telemetry.js"

const noCounts = {
  hits: 0,
  staleHits: 0,
  misses: 0,
  coalesced: 0,
  loads: 0,
  loadFailures: 0,
  refreshes: 0,
  refreshFailures: 0
}

type Counted = typeof noCounts

const fields = /*#__PURE__*/ Object.keys(noCounts) as ReadonlyArray<keyof Counted>

const rate = (hits: number, misses: number): number => (hits + misses === 0 ? 0 : hits / (hits + misses))

const countsOf = (counted: Counted) => {
  const answered = counted.hits + counted.staleHits
  return { reads: answered + counted.misses, hitRate: rate(answered, counted.misses), ...counted }
}

const add = (sum: Counted, counters: Counters): void => {
  for (const field of fields) sum[field] += counters[field]
}

/**
 * The counts of each tier. A backend does not see the hits of a tier in memory, so they are computed: they are the hits
 * that no slower tier answered.
 */
const tiersOf = (backend: Backend.Backend, all: ReadonlyArray<Counters>, sum: Counted) => {
  const belowMemory = all.reduce((total, counters) => total + counters.below, 0)
  return (backend.tiers?.() ?? []).map((tier, i) => {
    const isMemory = i === 0 && backend.unsafeGet !== undefined
    const hits = isMemory ? sum.hits + sum.staleHits - belowMemory : tier.hits
    const misses = isMemory ? sum.misses + belowMemory : tier.misses
    return { ...tier, hits, misses, hitRate: rate(hits, misses) }
  })
}

/** A snapshot of the store's numbers. `inFlight` is the number of loads that can be joined. */
export const statsOf = (backend: Backend.Backend, telemetry: Telemetry, inFlight: number) => {
  const { byName, totals } = telemetry
  const sum = { ...noCounts }
  const caches = Array.from(byName, ([name, counters]) => {
    const own = { ...noCounts }
    add(own, counters)
    add(sum, counters)
    return [name, countsOf(own)] as const
  })
  return {
    ...countsOf(sum),
    entries: Option.fromNullable(backend.unsafeSize?.()),
    inFlight,
    storeErrors: totals.storeErrors,
    decodeFailures: totals.decodeFailures,
    refused: totals.refused,
    evictions: { ...totals.evicted },
    caches: Object.fromEntries(caches),
    tiers: tiersOf(backend, Array.from(byName.values()), sum)
  }
}

/** The condition of each tier, or of the backend if it has no tiers. */
export const tiersHealth = (backend: Backend.Backend, invalidation: Invalidation) => {
  const states = backend.states?.() ?? [
    { tier: backend.name, isUp: backend.isUp?.() !== false, openSince: undefined, skipped: 0 }
  ]
  // the tier in memory is written at once
  const hasMemory = backend.unsafeGet !== undefined
  return states.map(({ isUp, openSince, skipped, tier }, i) => ({
    tier,
    status: isUp ? ("up" as const) : ("down" as const),
    openSince: Option.fromNullable(openSince),
    skipped,
    undelivered: hasMemory && i === 0 ? 0 : invalidation.undeliveredIn(i)
  }))
}

/** Whether a backend can be reached: it is connected, and no operation failed when it last ran. */
export const isUp = (backend: Backend.Backend, telemetry: Telemetry): boolean =>
  !telemetry.isFailing && backend.isUp?.() !== false
