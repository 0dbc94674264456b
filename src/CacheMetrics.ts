/**
 * The metrics of every store, in Effect's own registry. They are always on.
 *
 * The tags are `store`, `cache` (the name of the function), `cause`, and `tier` if a store has several. A key is never
 * a tag: there are too many keys, and a key may contain an e-mail address or a token. A read that joins a running load
 * counts as a miss and as coalesced: coalesced reads are the loads that single flight saved.
 *
 * Tags set with `Effect.tagMetrics` around a read do not reach these metrics. The `labels` of a store do.
 *
 * @since 0.1.0
 */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import type * as MetricHook from "effect/MetricHook"
import * as MetricKey from "effect/MetricKey"
import type * as MetricKeyType from "effect/MetricKeyType"
import * as MetricLabel from "effect/MetricLabel"
import type { RemovalCause } from "./CacheEvent.js"

type CounterKey = MetricKey.MetricKey<MetricKeyType.MetricKeyType.Counter<number>>

const counter = (name: string, description: string): CounterKey =>
  MetricKey.counter(name, { description, incremental: true })

const gauge = (name: string, description: string) => MetricKey.gauge(name, { description })

const keys = /*#__PURE__*/ (() => ({
  hits: counter("cache_hits", "reads answered with a fresh value"),
  staleHits: counter("cache_stale_hits", "reads answered with a stale value"),
  misses: counter("cache_misses", "reads that waited for a load"),
  coalesced: counter("cache_coalesced", "reads that joined a running load; each is a miss, too"),
  loads: counter("cache_loads", "loads started, refreshes included"),
  loadFailures: counter("cache_load_failures", "loads that failed, died, or were interrupted by their own lookup"),
  refreshes: counter("cache_refreshes", "loads started behind a stale answer or by a background loader"),
  refreshFailures: counter("cache_refresh_failures", "refreshes that failed or took longer than flightTimeout"),
  backfills: counter("cache_backfills", "entries copied to a faster tier from a slower one"),
  evictions: counter("cache_evictions", "entries that left the store, by cause"),
  swept: counter("cache_swept", "entries and tombstones that sweeps of the store freed, in all tiers"),
  storeErrors: counter(
    "cache_store_errors",
    "operations of the backend that failed, were skipped, or got no answer in time"
  ),
  decodeFailures: counter("cache_decode_failures", "stored bytes that could not be read as an entry; each is a miss"),
  refused: counter("cache_refused", "values that were returned but not stored: no lossless form, or too large"),
  loadDuration: MetricKey.histogram(
    "cache_load_duration_seconds",
    MetricBoundaries.fromIterable([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]),
    "duration of loads"
  ),
  entries: gauge("cache_entries", "entries stored in memory")
}))()

const labels = (tags: Readonly<Record<string, string>>) =>
  Object.entries(tags).map(([key, value]) => MetricLabel.make(key, value))

const hook = (key: CounterKey, tags: ReadonlyArray<MetricLabel.MetricLabel>): MetricHook.MetricHook.Counter<number> =>
  Metric.globalMetricRegistry.get(MetricKey.taggedWithLabels(key, tags))

/**
 * The counters of one function in one store. Each count goes to a number for `CacheStore.stats` and to a hook of the
 * metric registry, which costs a nanosecond and no step of a fiber.
 *
 * @category models
 * @since 0.1.0
 */
export class Counters {
  /** The part of `hits` and `staleHits` that a slower tier answered. */
  below = 0
  hits = 0
  staleHits = 0
  misses = 0
  coalesced = 0
  loads = 0
  loadFailures = 0
  refreshes = 0
  refreshFailures = 0
  private readonly onHit: MetricHook.MetricHook.Counter<number>
  private readonly onStale: MetricHook.MetricHook.Counter<number>
  private readonly onMiss: MetricHook.MetricHook.Counter<number>
  private readonly onCoalesced: MetricHook.MetricHook.Counter<number>
  private readonly onLoad: MetricHook.MetricHook.Counter<number>
  private readonly onLoadFailure: MetricHook.MetricHook.Counter<number>
  private readonly onRefresh: MetricHook.MetricHook.Counter<number>
  private readonly onRefreshFailure: MetricHook.MetricHook.Counter<number>
  private readonly duration: MetricHook.MetricHook.Histogram

  private readonly onHitIn: ReadonlyArray<MetricHook.MetricHook.Counter<number>>
  private readonly onStaleIn: ReadonlyArray<MetricHook.MetricHook.Counter<number>>

  readonly name: string

  /** `tiers` are the names of the tiers, the fastest first. Empty if there is only one. */
  constructor(name: string, tags: Readonly<Record<string, string>>, tiers: ReadonlyArray<string> = []) {
    this.name = name
    const all = labels({ ...tags, cache: name })
    const byTier = (key: CounterKey) => tiers.map((tier) => hook(key, labels({ ...tags, cache: name, tier })))
    this.onHitIn = byTier(keys.hits)
    this.onStaleIn = byTier(keys.staleHits)
    this.onHit = this.onHitIn[0] ?? hook(keys.hits, all)
    this.onStale = this.onStaleIn[0] ?? hook(keys.staleHits, all)
    this.onMiss = hook(keys.misses, all)
    this.onCoalesced = hook(keys.coalesced, all)
    this.onLoad = hook(keys.loads, all)
    this.onLoadFailure = hook(keys.loadFailures, all)
    this.onRefresh = hook(keys.refreshes, all)
    this.onRefreshFailure = hook(keys.refreshFailures, all)
    this.duration = Metric.globalMetricRegistry.get(MetricKey.taggedWithLabels(keys.loadDuration, all))
  }

  hit(): void {
    this.hits++
    this.onHit.update(1)
  }
  stale(): void {
    this.staleHits++
    this.onStale.update(1)
  }
  /** A hit in a tier. The first tier, or none, is the memory of this process. */
  hitIn(tier: number | undefined): void {
    if (tier === undefined || tier === 0) return this.hit()
    this.hits++
    this.below++
    this.onHitIn[tier]?.update(1)
  }
  /** A stale hit in a tier. */
  staleIn(tier: number | undefined): void {
    if (tier === undefined || tier === 0) return this.stale()
    this.staleHits++
    this.below++
    this.onStaleIn[tier]?.update(1)
  }
  miss(): void {
    this.misses++
    this.onMiss.update(1)
  }
  /** A read joined a running load. It is counted as a miss, too. */
  joined(): void {
    this.coalesced++
    this.onCoalesced.update(1)
  }
  load(): void {
    this.loads++
    this.onLoad.update(1)
  }
  loadFailure(): void {
    this.loadFailures++
    this.onLoadFailure.update(1)
  }
  refresh(): void {
    this.refreshes++
    this.onRefresh.update(1)
  }
  refreshFailure(): void {
    this.refreshFailures++
    this.onRefreshFailure.update(1)
  }
  /** Records the duration of a load in milliseconds. */
  loadTook(millis: number): void {
    this.duration.update(millis / 1000)
  }
}

/**
 * The counters of one tier of a store.
 *
 * @category models
 * @since 0.1.0
 */
export class TierCounters {
  hits = 0
  misses = 0
  sets = 0
  backfills = 0
  errors = 0
  private readonly onBackfill: MetricHook.MetricHook.Counter<number>
  private readonly onError: MetricHook.MetricHook.Counter<number>
  readonly tier: string

  constructor(tier: string, tags: Readonly<Record<string, string>>) {
    this.tier = tier
    const all = labels({ ...tags, tier })
    this.onBackfill = hook(keys.backfills, all)
    this.onError = hook(keys.storeErrors, all)
  }

  set(count: number): void {
    this.sets += count
  }
  backfill(count: number): void {
    this.sets += count
    this.backfills += count
    this.onBackfill.update(count)
  }
  error(): void {
    this.errors++
    this.onError.update(1)
  }
}

/**
 * The counters of a whole store.
 *
 * @category models
 * @since 0.1.0
 */
export class StoreCounters {
  storeErrors = 0
  decodeFailures = 0
  refused = 0
  readonly evicted: Record<RemovalCause, number> = { explicit: 0, replaced: 0, expired: 0, capacity: 0 }
  private readonly onSwept: MetricHook.MetricHook.Counter<number>
  private readonly onStoreError: MetricHook.MetricHook.Counter<number>
  private readonly onDecodeFailure: MetricHook.MetricHook.Counter<number>
  private readonly onRefused: MetricHook.MetricHook.Counter<number>
  private readonly onEvicted: Record<RemovalCause, MetricHook.MetricHook.Counter<number>>
  /** Made with the first value, so that a backend which does not know its size is not shown as empty. */
  private gauge: MetricHook.MetricHook.Gauge<number> | undefined = undefined
  private readonly all: ReadonlyArray<MetricLabel.MetricLabel>

  constructor(tags: Readonly<Record<string, string>>) {
    const all = labels(tags)
    const evicted = (cause: RemovalCause) => hook(keys.evictions, labels({ ...tags, cause }))
    this.onSwept = hook(keys.swept, all)
    this.onStoreError = hook(keys.storeErrors, all)
    this.onDecodeFailure = hook(keys.decodeFailures, all)
    this.onRefused = hook(keys.refused, all)
    this.onEvicted = {
      explicit: evicted("explicit"),
      replaced: evicted("replaced"),
      expired: evicted("expired"),
      capacity: evicted("capacity")
    }
    this.all = all
  }

  /** `isCounted` says that the tier which failed has counted it in the registry already. */
  storeError(isCounted: boolean): void {
    this.storeErrors++
    if (!isCounted) this.onStoreError.update(1)
  }
  /** A sweep has freed entries or tombstones. */
  swept(count: number): void {
    if (count > 0) this.onSwept.update(count)
  }
  decodeFailure(): void {
    this.decodeFailures++
    this.onDecodeFailure.update(1)
  }
  /** A value was returned but not stored. */
  refuse(): void {
    this.refused++
    this.onRefused.update(1)
  }
  evict(cause: RemovalCause): void {
    this.evicted[cause]++
    this.onEvicted[cause].update(1)
  }
  /** Sets the gauge of stored entries. */
  entries(count: number): void {
    this.gauge ??= Metric.globalMetricRegistry.get(MetricKey.taggedWithLabels(keys.entries, this.all))
    this.gauge.update(count)
  }
}
