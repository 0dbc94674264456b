/**
 * The metrics of every store, in Effect's own registry. They are on by default.
 *
 * The tags are `store`, `cache` (the name of the function), `cause`, `tier` if a store has several, and `operation` of
 * `cache_store_duration_seconds`: `get`, `set` or `remove`. A key is never a tag: there are too many keys, and a key may
 * contain an e-mail address or a token. A read that joins a running load counts as a miss and as coalesced: coalesced
 * reads are the loads that single flight saved.
 *
 * Tags set with `Effect.tagMetrics` around a read do not reach these metrics. The `labels` of a store do.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type CacheStoreError, InvalidOption } from "./CacheError.js"
import type { RemovalCause } from "./CacheEvent.js"
import type { FailedOperation, Failures, TimedOperation } from "./CacheStats.js"
import { Histogram } from "./internal/histogram.js"
import { type CounterName, Meter, type Sink, type Tags } from "./internal/meter.js"

/**
 * Whether stores have metrics, and how the names of these begin. A store reads it when it is built: see `layer`.
 *
 * @category models
 * @since 0.2.0
 */
export class Settings extends /*#__PURE__*/ Context.Reference<Settings>()("effect-cached/CacheMetrics/Settings", {
  defaultValue: (): { readonly enabled: boolean; readonly prefix: string } => ({ enabled: true, prefix: "" })
}) {}

/**
 * The options of `layer`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Options {
  /** Whether the stores have metrics, default `true`. Without, nothing of them is in the registry. */
  readonly enabled?: boolean | undefined
  /** The beginning of the names of the metrics, such as `shop_` for `shop_cache_hits`. Default: none. */
  readonly prefix?: string | undefined
}

const prefixPattern = /^([a-zA-Z_:][a-zA-Z0-9_:]*)?$/

/**
 * Sets how the stores that are built with it show their metrics. Dies with `InvalidOption` if the prefix is not the
 * beginning of a name: letters, digits, `_` and `:`.
 *
 * ```ts
 * import { Layer } from "effect"
 * import { CacheMetrics, MemoryCache } from "effect-cached"
 *
 * const Store = MemoryCache.layer().pipe(Layer.provide(CacheMetrics.layer({ prefix: "shop_" })))
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (options: Options): Layer.Layer<Settings> =>
  Layer.effect(
    Settings,
    Effect.suspend(() => {
      const { enabled = true, prefix = "" } = options
      return prefixPattern.test(prefix)
        ? Effect.succeed({ enabled, prefix })
        : Effect.die(
            new InvalidOption({ option: "prefix", of: "CacheMetrics", detail: "is not the beginning of a metric name" })
          )
    })
  )

/**
 * Switches the metrics off of the stores that are built with it: nothing of them is in the registry. `CacheStore.stats`
 * has its numbers all the same.
 *
 * ```ts
 * import { Layer } from "effect"
 * import { CacheMetrics, MemoryCache } from "effect-cached"
 *
 * const Store = MemoryCache.layer().pipe(Layer.provide(CacheMetrics.disabled))
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const disabled: Layer.Layer<Settings> = /*#__PURE__*/ layer({ enabled: false })

const noEvictions = (): Record<RemovalCause, number> => ({ explicit: 0, replaced: 0, expired: 0, capacity: 0 })

/**
 * The counters of one function in one store, or of what is written through the store itself. Each count goes to a number
 * for `CacheStore.stats` and to a hook of the metric registry, which costs a nanosecond and no step of a fiber.
 *
 * @category models
 * @since 0.1.0
 */
export class Counters {
  /** The part of `hits` and `staleHits` that a slower tier answered. */
  below = 0
  /** The part of `staleHits` that a slower tier answered. */
  staleBelow = 0
  hits = 0
  staleHits = 0
  misses = 0
  coalesced = 0
  loads = 0
  loadFailures = 0
  refreshes = 0
  refreshFailures = 0
  sets = 0
  removals = 0
  readonly failures: { -readonly [Kind in keyof Failures]: number } = { fail: 0, die: 0, interrupt: 0, timeout: 0 }
  readonly evictions = noEvictions()
  /** The durations of its loads. */
  readonly loadTimes = new Histogram()
  private readonly onHit: Sink
  private readonly onStale: Sink
  private readonly onMiss: Sink
  private readonly onCoalesced: Sink
  private readonly onLoad: Sink
  private readonly onLoadFailure: Sink
  private readonly onRefresh: Sink
  private readonly onRefreshFailure: Sink
  private readonly onSet: Sink
  private readonly onRemoval: Sink
  private readonly duration: Sink

  private readonly onHitIn: ReadonlyArray<Sink>
  private readonly onStaleIn: ReadonlyArray<Sink>

  readonly name: string

  /** `tiers` are the names of the tiers, the fastest first. Empty if there is only one. */
  constructor(name: string, tags: Tags, tiers: ReadonlyArray<string>, meter: Meter) {
    this.name = name
    const all = { ...tags, cache: name }
    const byTier = (metric: CounterName) => tiers.map((tier) => meter.counter(metric, { ...all, tier }))
    this.onHitIn = byTier("cache_hits")
    this.onStaleIn = byTier("cache_stale_hits")
    this.onHit = this.onHitIn[0] ?? meter.counter("cache_hits", all)
    this.onStale = this.onStaleIn[0] ?? meter.counter("cache_stale_hits", all)
    this.onMiss = meter.counter("cache_misses", all)
    this.onCoalesced = meter.counter("cache_coalesced", all)
    this.onLoad = meter.counter("cache_loads", all)
    this.onLoadFailure = meter.counter("cache_load_failures", all)
    this.onRefresh = meter.counter("cache_refreshes", all)
    this.onRefreshFailure = meter.counter("cache_refresh_failures", all)
    this.onSet = meter.counter("cache_sets", all)
    this.onRemoval = meter.counter("cache_removals", all)
    this.duration = meter.histogram("cache_load_duration_seconds", all)
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
    this.staleBelow++
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
  loadFailure(kind: keyof Failures): void {
    this.loadFailures++
    this.failures[kind]++
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
    this.loadTimes.record(millis)
    this.duration.update(millis / 1000)
  }
  /** A value was written. */
  set(): void {
    this.sets++
    this.onSet.update(1)
  }
  /** A key was removed. */
  remove(): void {
    this.removals++
    this.onRemoval.update(1)
  }
}

/** The durations of the operations of one backend. */
class OperationTimes {
  readonly get = new Histogram()
  readonly set = new Histogram()
  readonly remove = new Histogram()
  /** Made with the first value: a backend in memory is not timed. */
  private readonly sinks: { [Op in TimedOperation]?: Sink } = {}
  private readonly sinkOf: (operation: TimedOperation) => Sink

  constructor(sinkOf: (operation: TimedOperation) => Sink) {
    this.sinkOf = sinkOf
  }

  record(operation: TimedOperation, millis: number): void {
    this[operation].record(millis)
    let sink = this.sinks[operation]
    if (sink === undefined) {
      sink = this.sinkOf(operation)
      this.sinks[operation] = sink
    }
    sink.update(millis / 1000)
  }

  get latency() {
    return { get: this.get.latency, set: this.set.latency, remove: this.remove.latency }
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
  /** The part of `hits` that was stale. */
  staleHits = 0
  misses = 0
  sets = 0
  removals = 0
  backfills = 0
  errors = 0
  /** The durations of its operations. */
  readonly times: OperationTimes
  private readonly onBackfill: Sink
  private readonly onError: Sink
  readonly tier: string

  constructor(tier: string, tags: Tags, meter: Meter = new Meter()) {
    this.tier = tier
    const all = { ...tags, tier }
    this.onBackfill = meter.counter("cache_backfills", all)
    this.onError = meter.counter("cache_store_errors", all)
    this.times = new OperationTimes((operation) =>
      meter.histogram("cache_store_duration_seconds", { ...all, operation })
    )
  }

  set(count: number): void {
    this.sets += count
  }
  remove(count: number): void {
    this.removals += count
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

type Reasons = { [Reason in CacheStoreError["reason"]]?: number }

/**
 * The counters of a whole store.
 *
 * @category models
 * @since 0.1.0
 */
export class StoreCounters {
  storeErrors = 0
  readonly errors: { [Op in FailedOperation]?: Reasons } = {}
  decodeFailures = 0
  refused = 0
  /** Values that were written, and keys that were removed, through the store itself. */
  sets = 0
  removals = 0
  readonly evicted = noEvictions()
  /** The durations of the operations of its backend, all tiers together. */
  readonly times: OperationTimes
  private readonly onSet: Sink
  private readonly onRemoval: Sink
  private readonly onSwept: Sink
  private readonly onDecodeFailure: Sink
  private readonly onRefused: Sink
  private readonly onEvicted: Record<RemovalCause, Sink>
  /** Made with the first error, because the tiers of a store count theirs themselves. */
  private onStoreError: Sink | undefined = undefined
  private readonly tags: Tags
  private readonly meter: Meter

  /** `isTiered`: the tiers count their errors, and show how long their operations take. */
  constructor(tags: Tags, meter: Meter, isTiered: boolean) {
    const evicted = (cause: RemovalCause) => meter.counter("cache_evictions", { ...tags, cause })
    this.tags = tags
    this.meter = meter
    this.onSet = meter.counter("cache_sets", tags)
    this.onRemoval = meter.counter("cache_removals", tags)
    this.onSwept = meter.counter("cache_swept", tags)
    if (!isTiered) this.onStoreError = meter.counter("cache_store_errors", tags)
    this.onDecodeFailure = meter.counter("cache_decode_failures", tags)
    this.onRefused = meter.counter("cache_refused", tags)
    this.onEvicted = {
      explicit: evicted("explicit"),
      replaced: evicted("replaced"),
      expired: evicted("expired"),
      capacity: evicted("capacity")
    }
    this.times = new OperationTimes((operation) =>
      isTiered ? { update: () => {} } : meter.histogram("cache_store_duration_seconds", { ...tags, operation })
    )
  }

  /** `isCounted` says that the tier which failed has counted it in the registry already. */
  storeError(operation: FailedOperation, reason: CacheStoreError["reason"], isCounted: boolean): void {
    this.storeErrors++
    this.errors[operation] ??= {}
    const reasons = this.errors[operation]
    reasons[reason] = (reasons[reason] ?? 0) + 1
    if (isCounted) return
    this.onStoreError ??= this.meter.counter("cache_store_errors", this.tags)
    this.onStoreError.update(1)
  }
  /** A value was written through the store. */
  set(): void {
    this.sets++
    this.onSet.update(1)
  }
  /** A key was removed through the store. */
  remove(): void {
    this.removals++
    this.onRemoval.update(1)
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
}
