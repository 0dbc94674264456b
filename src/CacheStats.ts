/**
 * The statistics of a store, and what can be done with them: differences, JSON, tables for a terminal.
 *
 * @since 0.2.0
 */
import * as Duration from "effect/Duration"
import * as Function from "effect/Function"
import * as Schema from "effect/Schema"
import type { RemovalCause } from "./CacheEvent.js"
import { type Latency, latencyOf } from "./internal/histogram.js"
import * as Formats from "./internal/statsFormats.js"
import type {
  Background,
  Counts,
  FailedOperation,
  Failures,
  Stats,
  TierStats,
  TimedOperation
} from "./internal/statsTypes.js"

export type { Latency } from "./internal/histogram.js"
export type {
  Background,
  Counts,
  FailedOperation,
  Failures,
  FunctionStats,
  Stats,
  TierStats,
  TimedOperation
} from "./internal/statsTypes.js"

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

/** @internal */
export const minusCounts = (after: Counts, before: Counts): Counts => {
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

/** @internal */
export const minusBackground = (after: Background, before: Background): Background => ({
  ...after,
  runs: difference(after.runs, before.runs),
  failures: difference(after.failures, before.failures)
})

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
    background: minusByName(after.background, before.background, minusBackground)
  })
)

// ------------------------------------------------------------------------------------------------------------------ JSON

const byName = <A, I>(value: Schema.Schema<A, I>) =>
  Schema.Record({ key: Schema.String, value }) as unknown as Schema.Schema<
    Readonly<Partial<Record<string, A>>>,
    Readonly<Record<string, I>>
  >

const makeSchema = () => {
  const number = Schema.Number
  const time = Schema.OptionFromNullOr(number)
  const latency = Schema.Struct({
    count: number,
    mean: number,
    p50: number,
    p95: number,
    p99: number,
    buckets: Schema.Array(Schema.Tuple(number, number))
  })
  const operations = { get: latency, set: latency, remove: latency }
  const counts = {
    reads: number,
    hitRate: number,
    hits: number,
    staleHits: number,
    misses: number,
    coalesced: number,
    loads: number,
    loadFailures: number,
    failures: Schema.Struct({ fail: number, die: number, interrupt: number, timeout: number }),
    refreshes: number,
    refreshFailures: number,
    sets: number,
    removals: number,
    evictions: Schema.Struct({ explicit: number, replaced: number, expired: number, capacity: number })
  }
  const exact = { exact: true } as const
  const reasons = Schema.partialWith(
    Schema.Struct({
      Disconnected: number,
      Timeout: number,
      Rejected: number,
      Connect: number,
      Auth: number,
      Database: number,
      Host: number
    }),
    exact
  )
  const errors = { read: reasons, write: reasons, mark: reasons, lock: reasons, renew: reasons, sweep: reasons }
  return Schema.Struct({
    store: Schema.String,
    uptime: Schema.DurationFromMillis,
    ...counts,
    entries: Schema.OptionFromNullOr(number),
    bytes: Schema.OptionFromNullOr(number),
    inFlight: number,
    storeErrors: number,
    errors: Schema.partialWith(Schema.Struct(errors), exact),
    decodeFailures: number,
    refused: number,
    latency: Schema.Struct({ ...operations, load: latency }),
    caches: byName(Schema.Struct({ ...counts, latency: Schema.Struct({ load: latency }) })),
    tiers: Schema.Array(
      Schema.Struct({
        tier: Schema.String,
        hits: number,
        staleHits: number,
        misses: number,
        hitRate: number,
        sets: number,
        removals: number,
        backfills: number,
        errors: number,
        latency: Schema.Struct(operations)
      })
    ),
    background: byName(
      Schema.Struct({
        runs: number,
        failures: number,
        lastSuccess: time,
        lastError: Schema.OptionFromNullOr(Schema.Struct({ at: number, message: Schema.String })),
        nextDue: time
      })
    )
  })
}

/**
 * Statistics as JSON: the uptime is in milliseconds, and what is an `Option` is `null` or a value.
 *
 * @category models
 * @since 0.2.0
 */
export interface Encoded extends Schema.Schema.Encoded<ReturnType<typeof makeSchema>> {}

/**
 * The schema of `Stats`, for JSON.
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { CacheStats, CacheStore, MemoryCacheLive } from "effect-cached"
 *
 * const asJson = Effect.gen(function* () {
 *   const store = yield* CacheStore
 *   const stats = yield* store.stats
 *   return JSON.stringify(yield* Schema.encode(CacheStats.schema)(stats))
 * })
 *
 * asJson.pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category schemas
 * @since 0.2.0
 */
export const schema: Schema.Schema<Stats, Encoded> = /*#__PURE__*/ makeSchema()

// ----------------------------------------------------------------------------------------------------------- other forms

/**
 * Tables of statistics for a terminal: the functions, the tiers, the operations with their durations, and the background
 * loaders.
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { CacheStats, CacheStore, MemoryCacheLive } from "effect-cached"
 *
 * const print = Effect.gen(function* () {
 *   const store = yield* CacheStore
 *   yield* Console.log(CacheStats.table(yield* store.stats))
 * })
 *
 * print.pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category combinators
 * @since 0.2.0
 */
export const table: (stats: Stats) => string = Formats.table

/**
 * The dictionary that `get_stats()` of the Python library `advanced-caching` returns.
 *
 * @category models
 * @since 0.2.0
 */
export type AdvancedCaching = Formats.Dictionary

/**
 * Statistics in the shape of `get_stats()` of the Python library `advanced-caching`, so that a dashboard made for it can
 * go on.
 *
 * **Details**
 *
 * `caches` has the functions and the tiers. A stale hit is a hit there, and `sets` include the values of loads. `latency`
 * and `errors` are those of the loads of each function (`user:{}.load`) and of the backend (`redis.get`, `redis.set`,
 * `redis.delete`). `memory` has the store, if it has a tier in memory; `bytes` is `null` where it is not known.
 * `background_refresh` also has the refreshes of `Cached.swr`.
 *
 * @category combinators
 * @since 0.2.0
 */
export const asAdvancedCaching: (stats: Stats) => AdvancedCaching = Formats.asAdvancedCaching
