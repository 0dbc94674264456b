/**
 * The numbers behind `CacheStore.stats`: a snapshot of the counters of a store, of its functions and of its tiers.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type * as Backend from "../../Backend.js"
import type { Counters } from "../../CacheMetrics.js"
import * as CacheStats from "../../CacheStats.js"
import { Histogram } from "../histogram.js"
import type { Counts, Failures, FunctionStats, Stats, TierStats } from "../statsTypes.js"
import type { Engine } from "./engine.js"
import type { Invalidation } from "./io/invalidation.js"
import { maxNames, type Telemetry } from "./telemetry.js"

const noCounts = {
  hits: 0,
  staleHits: 0,
  misses: 0,
  coalesced: 0,
  loads: 0,
  loadFailures: 0,
  refreshes: 0,
  refreshFailures: 0,
  sets: 0,
  removals: 0
}

type Counted = typeof noCounts

const fields = /*#__PURE__*/ Object.keys(noCounts) as ReadonlyArray<keyof Counted>

const noFailures: Failures = { fail: 0, die: 0, interrupt: 0, timeout: 0 }

const noEvictions: Counts["evictions"] = { explicit: 0, replaced: 0, expired: 0, capacity: 0 }

const rate = (hits: number, misses: number): number => (hits + misses === 0 ? 0 : hits / (hits + misses))

const countsFrom = (
  counted: Counted,
  others: Pick<Counts, "evictions"> & { readonly failures: Failures; readonly loadTimes: Histogram }
): Counts => {
  const answered = counted.hits + counted.staleHits
  return {
    reads: answered + counted.misses,
    hitRate: rate(answered, counted.misses),
    ...counted,
    failures: { ...others.failures },
    evictions: { ...others.evictions },
    latency: { load: others.loadTimes.latency }
  }
}

const add = (sum: Counted, counters: Counters): void => {
  for (const field of fields) sum[field] += counters[field]
}

/** The counts of one function. All are 0 if the store does not know it. */
export const countsOf = (counters: Counters | undefined): Counts => {
  const own = { ...noCounts }
  if (counters === undefined) {
    return countsFrom(own, { failures: noFailures, evictions: noEvictions, loadTimes: new Histogram() })
  }
  add(own, counters)
  return countsFrom(own, counters)
}

/** The numbers of one function, since `resetStats` was last called. Functions that have no counters of their own share some. */
export const functionStatsOf = ({ statsBefore, telemetry }: Engine, name: string): FunctionStats => {
  const { background, byName } = telemetry
  const counters = byName.get(name) ?? (byName.size >= maxNames ? byName.get("other") : undefined)
  const label = counters?.name ?? name
  const counts = countsOf(counters)
  const runs = background.get(label)?.stats
  const before = statsBefore?.caches[label]
  const runsBefore = statsBefore?.background[label]
  return {
    name: label,
    ...(before === undefined ? counts : CacheStats.minusCounts(counts, before)),
    background: Option.fromNullable(
      runs === undefined || runsBefore === undefined ? runs : CacheStats.minusBackground(runs, runsBefore)
    )
  }
}

/**
 * The counts of each tier. A backend does not see the hits of a tier in memory, so they are computed: they are the hits
 * that no slower tier answered.
 */
const tiersOf = (backend: Backend.Backend, all: ReadonlyArray<Counters>, sum: Counted): ReadonlyArray<TierStats> => {
  const below = { all: 0, stale: 0 }
  for (const counters of all) {
    below.all += counters.below
    below.stale += counters.staleBelow
  }
  return (backend.tiers?.() ?? []).map((tier, i) => {
    const isMemory = i === 0 && backend.unsafeGet !== undefined
    const hits = isMemory ? sum.hits + sum.staleHits - below.all : tier.hits
    const staleHits = isMemory ? sum.staleHits - below.stale : tier.staleHits
    const misses = isMemory ? sum.misses + below.all : tier.misses
    return { ...tier, hits, staleHits, misses, hitRate: rate(hits, misses) }
  })
}

/** A snapshot of the store's numbers since it was made, `uptime` milliseconds ago. `now` is the time of the entries. */
export const statsOf = (engine: Engine, { now, uptime }: { readonly now: number; readonly uptime: number }): Stats => {
  const { backend, telemetry } = engine
  const { byName, totals } = telemetry
  const sum = { ...noCounts, sets: totals.sets, removals: totals.removals }
  const failures: { -readonly [Kind in keyof Failures]: number } = { ...noFailures }
  const loadTimes = new Histogram()
  for (const counters of byName.values()) {
    add(sum, counters)
    loadTimes.add(counters.loadTimes)
    for (const kind of Object.keys(failures) as ReadonlyArray<keyof Failures>) failures[kind] += counters.failures[kind]
  }
  const usage = engine.localTier.usage(now)
  const counts = countsFrom(sum, { failures, evictions: totals.evicted, loadTimes })
  return {
    store: telemetry.store,
    uptime: Duration.millis(Math.max(0, uptime)),
    ...counts,
    entries: Option.fromNullable(usage?.entries),
    bytes: Option.fromNullable(usage?.bytes),
    inFlight: engine.singleFlight.size,
    storeErrors: totals.storeErrors,
    errors: Object.fromEntries(
      Object.entries(totals.errors).map(([operation, reasons]) => [operation, { ...reasons }])
    ),
    decodeFailures: totals.decodeFailures,
    refused: totals.refused,
    latency: { ...totals.times.latency, ...counts.latency },
    caches: Object.fromEntries(Array.from(byName, ([name, counters]) => [name, countsOf(counters)])),
    tiers: tiersOf(backend, Array.from(byName.values()), sum),
    background: Object.fromEntries(Array.from(telemetry.background, ([name, runs]) => [name, runs.stats]))
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
