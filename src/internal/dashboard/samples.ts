/**
 * What the dashboard shows of a store, as plain data for its page: samples for the plots, and snapshots of the numbers.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { CacheStore } from "../../CacheStore.js"

/** A distribution of durations in milliseconds. */
interface Latency {
  readonly count: number
  readonly mean: number
  readonly p50: number
  readonly p95: number
  readonly p99: number
}

/** What happened in one interval, for the plots. Rates are per second, durations in milliseconds. */
export interface Sample {
  /** The end of the interval, in milliseconds since 1970. */
  readonly at: number
  /** How long the interval was. */
  readonly seconds: number
  readonly hits: number
  readonly stale: number
  readonly misses: number
  readonly loads: number
  readonly failures: number
  /** The share of hits, 0 to 1. `null` in an interval without a read. */
  readonly hitRate: number | null
  /** Of the loads that ended in the interval. `null` if none did. */
  readonly loadP50: number | null
  readonly loadP95: number | null
  /** Of the reads of the backend. `null` if there were none, or if they are not timed. */
  readonly getP95: number | null
  readonly inFlight: number
}

const quantile = (latency: Latency | undefined, quantile: "p50" | "p95"): number | null =>
  latency === undefined || latency.count === 0 ? null : latency[quantile]

/** The difference of two snapshots as a sample. */
export const sampleOf = (
  delta: CacheStore.Stats,
  { at, seconds }: { readonly at: number; readonly seconds: number }
): Sample => ({
  at,
  seconds,
  hits: delta.hits / seconds,
  stale: delta.staleHits / seconds,
  misses: delta.misses / seconds,
  loads: delta.loads / seconds,
  failures: delta.loadFailures / seconds,
  hitRate: delta.reads === 0 ? null : delta.hitRate,
  loadP50: quantile(delta.latency.load, "p50"),
  loadP95: quantile(delta.latency.load, "p95"),
  getP95: quantile(delta.latency.get, "p95"),
  inFlight: delta.inFlight
})

const latency = ({ count, mean, p50, p95, p99 }: Latency) => (count === 0 ? null : { count, mean, p50, p95, p99 })

const countsOf = (counts: CacheStore.Counts) => ({
  reads: counts.reads,
  hitRate: counts.hitRate,
  hits: counts.hits,
  stale: counts.staleHits,
  misses: counts.misses,
  coalesced: counts.coalesced,
  loads: counts.loads,
  failures: counts.loadFailures,
  refreshes: counts.refreshes,
  load: latency(counts.latency.load)
})

export interface SnapshotOptions {
  /** Whether texts may be shown that may contain data of values. */
  readonly isOpen: boolean
  /** The names that are those of a function. Others are labels of `getOrSet`, or of many functions (`other`). */
  readonly functions: ReadonlySet<string>
}

/** What is shown of a store beside the plots. */
export const snapshotOf = (
  stats: CacheStore.Stats,
  health: CacheStore.Health,
  { functions, isOpen }: SnapshotOptions
) => ({
  uptime: Duration.toMillis(stats.uptime),
  ...countsOf(stats),
  entries: Option.getOrNull(stats.entries),
  bytes: Option.getOrNull(stats.bytes),
  inFlight: stats.inFlight,
  errors: stats.storeErrors,
  evictions: stats.evictions,
  status: health.status,
  coherent: health.coherent,
  undelivered: health.undelivered,
  problems: health.problems.map(({ count, last, message, name, since, subject }) => ({
    name,
    subject,
    message,
    since,
    last,
    count
  })),
  caches: Object.entries(stats.caches).flatMap(([name, counts]) =>
    counts === undefined ? [] : [{ name, isFunction: functions.has(name), ...countsOf(counts) }]
  ),
  tiers: tiersOf(stats, health),
  background: Object.entries(stats.background).flatMap(([name, runs]) =>
    runs === undefined
      ? []
      : [
          {
            name,
            runs: runs.runs,
            failures: runs.failures,
            lastSuccess: Option.getOrNull(runs.lastSuccess),
            lastError: Option.match(runs.lastError, {
              onNone: () => null,
              onSome: ({ at, message }) => ({ at, message: isOpen ? message : null })
            }),
            nextDue: Option.getOrNull(runs.nextDue)
          }
        ]
  )
})

/** The tiers with their condition. A store of one backend is one tier, which has the numbers of the store. */
const tiersOf = (stats: CacheStore.Stats, health: CacheStore.Health) =>
  health.tiers.map((state) => {
    const counts = stats.tiers.find(({ tier }) => tier === state.tier)
    return {
      name: state.tier,
      status: state.status,
      openSince: Option.getOrNull(state.openSince),
      skipped: state.skipped,
      undelivered: state.undelivered,
      hitRate: counts?.hitRate ?? stats.hitRate,
      hits: counts?.hits ?? stats.hits + stats.staleHits,
      misses: counts?.misses ?? stats.misses,
      sets: counts?.sets ?? stats.sets,
      backfills: counts?.backfills ?? 0,
      errors: counts?.errors ?? stats.storeErrors,
      get: latency((counts ?? stats).latency.get),
      set: latency((counts ?? stats).latency.set)
    }
  })

export type Snapshot = ReturnType<typeof snapshotOf>
