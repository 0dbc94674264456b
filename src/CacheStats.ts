/**
 * The statistics of a store, and what can be done with them: differences, JSON, a table for a terminal.
 *
 * @since 0.2.0
 */
import * as Duration from "effect/Duration"
import * as Function from "effect/Function"
import type * as Option from "effect/Option"
import type { CacheStoreError } from "./CacheError.js"
import type { RemovalCause } from "./CacheEvent.js"
import { type Latency, latencyOf } from "./internal/histogram.js"

export type { Latency } from "./internal/histogram.js"

/**
 * Loads that failed, by kind. Their sum is `loadFailures`.
 *
 * - `fail`: the lookup failed with a typed error
 * - `die`: the lookup, or a callback of the function, died
 * - `interrupt`: the lookup was interrupted, but by none of its readers
 * - `timeout`: the load took longer than `flightTimeout`, or all its readers had reached their `timeout`
 *
 * @category models
 * @since 0.2.0
 */
export interface Failures {
  readonly fail: number
  readonly die: number
  readonly interrupt: number
  readonly timeout: number
}

/**
 * The counts of one function, or of all functions of a store. A read that joins a running load counts both as a miss and
 * as `coalesced`, so `coalesced` is the number of loads that single flight saved.
 *
 * @category models
 * @since 0.2.0
 */
export interface Counts {
  /** The sum of `hits`, `staleHits` and `misses`. */
  readonly reads: number
  /** The share of `hits` and `staleHits` among all reads, 0 to 1. It is 0 before the first read. */
  readonly hitRate: number
  /** Reads answered with a fresh value. */
  readonly hits: number
  /** Reads answered with a stale value. */
  readonly staleHits: number
  /** Reads that waited for a load. */
  readonly misses: number
  /** Misses that joined a load which another read had started. */
  readonly coalesced: number
  /** Loads started, refreshes included. */
  readonly loads: number
  /** Loads that failed. A load that ends because its last reader was interrupted has not failed. */
  readonly loadFailures: number
  /** The loads that failed, by kind. */
  readonly failures: Failures
  /** Loads started behind a stale answer or by a background loader. */
  readonly refreshes: number
  readonly refreshFailures: number
  /** Values that were written: those of loads, and those that were set. */
  readonly sets: number
  /** Removals of single keys, whether or not there was an entry. `clear` and tags are no removals of keys. */
  readonly removals: number
  /** Entries that left the memory of this process, by cause. */
  readonly evictions: Readonly<Record<RemovalCause, number>>
  /** How long loads took, from the start of the lookup, by the clock of their readers. */
  readonly latency: { readonly load: Latency }
}

/**
 * The operations of a backend that are timed. One operation reads or writes up to 128 keys: the calls of one turn of the
 * scheduler are sent together.
 *
 * @category models
 * @since 0.2.0
 */
export type TimedOperation = "get" | "set" | "remove"

/**
 * The kinds of operations by which errors are counted: reads, writes and removals, `clear` and invalidations by tags
 * (`mark`), locks, renewals of entries with `maxIdle`, and sweeps.
 *
 * @category models
 * @since 0.2.0
 */
export type FailedOperation = "read" | "write" | "mark" | "lock" | "renew" | "sweep"

/**
 * The counts of one tier. `misses` are the reads that the tier could not answer, so that the next tier was asked. `sets`
 * are the entries written to it, including `backfills`, those copied from a slower tier.
 *
 * @category models
 * @since 0.2.0
 */
export interface TierStats {
  /** The tier's name, such as `redis`. */
  readonly tier: string
  /** Reads that this tier answered, with a fresh or a stale entry. */
  readonly hits: number
  /** The part of `hits` that was answered with a stale entry. */
  readonly staleHits: number
  /** Reads that it could not answer. */
  readonly misses: number
  /** The share of hits among all reads, 0 to 1. It is 0 before the first read. */
  readonly hitRate: number
  /** Entries that were written to it, including `backfills`. */
  readonly sets: number
  /** Removals that it carried out. */
  readonly removals: number
  /** Entries that were copied to it from a slower tier. */
  readonly backfills: number
  /** Operations that failed. */
  readonly errors: number
  /** How long its operations took. A tier in memory is not timed. */
  readonly latency: Readonly<Record<TimedOperation, Latency>>
}

/**
 * The runs of a background loader: `Cached.bg` or `Cached.bgWrite`. Times are in milliseconds since 1970. Those of a
 * function with arguments are the runs of all its keys.
 *
 * @category models
 * @since 0.2.0
 */
export interface Background {
  /** Runs that have ended. */
  readonly runs: number
  /** The part of `runs` that failed. */
  readonly failures: number
  /** When a run last succeeded. */
  readonly lastSuccess: Option.Option<number>
  /** When a run last failed, and the first line of its error. */
  readonly lastError: Option.Option<{ readonly at: number; readonly message: string }>
  /** When the next run begins: the earliest, of several keys. `None` while it runs, and where another process leads. */
  readonly nextDue: Option.Option<number>
}

/**
 * A snapshot of the numbers of a store, since it was made or since `resetStats`. The totals are at the top level; `caches`
 * has the counts of each function by name, from its first read or write on.
 *
 * @category models
 * @since 0.2.0
 */
export interface Stats extends Counts {
  /** The store's name, such as `redis`. */
  readonly store: string
  /** The time since the store was made, or since `resetStats`. */
  readonly uptime: Duration.Duration
  /**
   * The number of entries in the memory of this process that are alive: not those that have expired or were invalidated
   * and are still stored. `None` if the store has none there: Redis, files and buckets would have to be scanned. It visits
   * every entry, so that above 100 000 a count may be reused for as long as counting would take a hundredth of the time.
   */
  readonly entries: Option.Option<number>
  /** The size of these entries in bytes, where memory holds bytes (`values: "serialized"`). */
  readonly bytes: Option.Option<number>
  /** Loads in progress. */
  readonly inFlight: number
  /** Operations of the backend that failed, were skipped, or got no answer in time. */
  readonly storeErrors: number
  /** The same, by operation and reason. Their sum is `storeErrors`. */
  readonly errors: { readonly [Op in FailedOperation]?: { readonly [Reason in CacheStoreError["reason"]]?: number } }
  /** Stored bytes that could not be read as an entry. Each was a miss. */
  readonly decodeFailures: number
  /** Values that were returned but not stored, because they have no lossless form or are too large. */
  readonly refused: number
  /** How long loads took, and the operations of the backend. A store in memory is not timed. */
  readonly latency: Readonly<Record<TimedOperation | "load", Latency>>
  readonly caches: Readonly<Partial<Record<string, Counts>>>
  /** The counts of each tier, the fastest first. Empty if there is only one. */
  readonly tiers: ReadonlyArray<TierStats>
  /** The background loaders, by the name of their function. */
  readonly background: Readonly<Partial<Record<string, Background>>>
}

// ----------------------------------------------------------------------------------------------------------- differences

const difference = (after: number, before: number): number => Math.max(0, after - before)

const rateOf = (hits: number, misses: number): number => (hits + misses === 0 ? 0 : hits / (hits + misses))

const minusEach = <K extends string>(
  after: Readonly<Record<K, number>>,
  before: Readonly<Record<K, number>>
): Readonly<Record<K, number>> =>
  Object.fromEntries(
    Object.entries<number>(after).map(([key, count]) => [key, difference(count, before[key as K] ?? 0)])
  ) as Record<K, number>

const minusLatency = (after: Latency, before: Latency): Latency => {
  const earlier = new Map(before.buckets)
  return latencyOf(
    after.buckets.flatMap(([upTo, count]) => {
      const left = difference(count, earlier.get(upTo) ?? 0)
      return left === 0 ? [] : [[upTo, left] as const]
    }),
    after.mean * after.count - before.mean * before.count
  )
}

const minusLatencies = <K extends string>(
  after: Readonly<Record<K, Latency>>,
  before: Readonly<Record<K, Latency>>
): Readonly<Record<K, Latency>> =>
  Object.fromEntries(
    Object.entries<Latency>(after).map(([key, latency]) => [key, minusLatency(latency, before[key as K])])
  ) as Record<K, Latency>

const minusCounts = (after: Counts, before: Counts): Counts => {
  const hits = difference(after.hits, before.hits)
  const staleHits = difference(after.staleHits, before.staleHits)
  const misses = difference(after.misses, before.misses)
  return {
    reads: hits + staleHits + misses,
    hitRate: rateOf(hits + staleHits, misses),
    hits,
    staleHits,
    misses,
    coalesced: difference(after.coalesced, before.coalesced),
    loads: difference(after.loads, before.loads),
    loadFailures: difference(after.loadFailures, before.loadFailures),
    failures: minusEach<keyof Failures>(after.failures, before.failures),
    refreshes: difference(after.refreshes, before.refreshes),
    refreshFailures: difference(after.refreshFailures, before.refreshFailures),
    sets: difference(after.sets, before.sets),
    removals: difference(after.removals, before.removals),
    evictions: minusEach<RemovalCause>(after.evictions, before.evictions),
    latency: { load: minusLatency(after.latency.load, before.latency.load) }
  }
}

const minusTier = (after: TierStats, before: TierStats | undefined): TierStats => {
  if (before === undefined) return after
  const hits = difference(after.hits, before.hits)
  const misses = difference(after.misses, before.misses)
  return {
    tier: after.tier,
    hits,
    staleHits: difference(after.staleHits, before.staleHits),
    misses,
    hitRate: rateOf(hits, misses),
    sets: difference(after.sets, before.sets),
    removals: difference(after.removals, before.removals),
    backfills: difference(after.backfills, before.backfills),
    errors: difference(after.errors, before.errors),
    latency: minusLatencies<TimedOperation>(after.latency, before.latency)
  }
}

const minusErrors = (after: Stats["errors"], before: Stats["errors"]): Stats["errors"] => {
  const left: Record<string, Record<string, number>> = {}
  for (const [operation, reasons] of Object.entries(after)) {
    for (const [reason, count] of Object.entries<number>(reasons)) {
      const earlier: Readonly<Record<string, number>> = before[operation as FailedOperation] ?? {}
      const more = difference(count, earlier[reason] ?? 0)
      if (more > 0) left[operation] = { ...left[operation], [reason]: more }
    }
  }
  return left
}

/** Applies `minus` to the values of two records by key. What only `after` has stays as it is. */
const minusByName = <V>(
  after: Readonly<Partial<Record<string, V>>>,
  before: Readonly<Partial<Record<string, V>>>,
  minus: (after: V, before: V) => V
): Readonly<Record<string, V>> => {
  const results: Array<readonly [string, V]> = []
  for (const [name, value] of Object.entries(after)) {
    if (value === undefined) continue
    const earlier = Object.hasOwn(before, name) ? before[name] : undefined
    results.push([name, earlier === undefined ? value : minus(value, earlier)])
  }
  return Object.fromEntries(results)
}

/**
 * What happened between two snapshots of one store. Rates and latencies are those of that time. What is a state, and not
 * a count, is that of `after`: `entries`, `bytes`, `inFlight`, and when a background loader last ran and runs next.
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Cached, CacheStats, CacheStore, MemoryCacheLive } from "effect-cached"
 *
 * const square = Cached.ttl((n: number) => Effect.succeed(n * n), { key: "square:{}", ttl: "1 hour" })
 *
 * const program = Effect.gen(function* () {
 *   const store = yield* CacheStore
 *   yield* square(1)
 *   const before = yield* store.stats
 *   yield* square(1)
 *   const after = yield* store.stats
 *   yield* Console.log(after.hitRate, CacheStats.minus(after, before).hitRate) // 0.5 1
 * })
 *
 * program.pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category combinators
 * @since 0.2.0
 */
export const minus: {
  (before: Stats): (after: Stats) => Stats
  (after: Stats, before: Stats): Stats
} = /*#__PURE__*/ Function.dual(
  2,
  (after: Stats, before: Stats): Stats => ({
    ...after,
    ...minusCounts(after, before),
    uptime: Duration.subtract(after.uptime, before.uptime),
    storeErrors: difference(after.storeErrors, before.storeErrors),
    errors: minusErrors(after.errors, before.errors),
    decodeFailures: difference(after.decodeFailures, before.decodeFailures),
    refused: difference(after.refused, before.refused),
    latency: minusLatencies<TimedOperation | "load">(after.latency, before.latency),
    caches: minusByName(after.caches, before.caches, minusCounts),
    tiers: after.tiers.map((tier) =>
      minusTier(
        tier,
        before.tiers.find((earlier) => earlier.tier === tier.tier)
      )
    ),
    background: minusByName(after.background, before.background, (after, before) => ({
      ...after,
      runs: difference(after.runs, before.runs),
      failures: difference(after.failures, before.failures)
    }))
  })
)
