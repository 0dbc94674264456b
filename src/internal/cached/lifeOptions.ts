/**
 * The options of a policy that say how long a value lives, and when it is loaded again. `any` stands in the bounds of
 * types.
 */
import type * as Duration from "effect/Duration"

/**
 * The options of `ttl`, `swr`, `policy` and `batched` that say how long a value lives, and when it is loaded again.
 *
 * @category models
 * @since 0.2.0
 */
export interface LifeOptions<Args extends ReadonlyArray<any>, V> {
  /**
   * How long a value is fresh, counted from the end of its load: a duration, or a function of the value and the
   * arguments. A plain number is milliseconds. A duration of zero bypasses the cache: every read runs the
   * lookup. When a function returns zero or less, the value is returned but not stored.
   */
  readonly ttl: Duration.DurationInput | ((value: V, ...args: Args) => Duration.DurationInput)
  /**
   * How many loads of this function run at once in this process and store; more wait in the order in which they came.
   * `flightTimeout` counts from the moment at which a load begins. A load that another load has started takes no part:
   * it never waits. One batch is one load. A whole number above zero, or `Infinity`. Default: `Infinity`.
   */
  readonly concurrency?: number | undefined
  /**
   * The fraction, from 0 to 1, of its lifetime (`ttl` with its jitter) after which a value is refreshed ahead of time: a
   * read still returns the fresh value, and starts a refresh behind it, as `swr` does. With `ttl: "10 minutes"` and
   * `refreshAhead: 0.8` that is 8 minutes after the load. With 0 every read starts a refresh, unless one runs. Default:
   * a fresh value is not refreshed.
   */
  readonly refreshAhead?: number | undefined
  /**
   * An entry that nobody reads for this long expires, before its end. Every read of the function, and `get` and `getMany`
   * of the store, count from then anew; `peek`, `entry` and `has` do not. Memory records a read once in a sixteenth of
   * the time, so an entry may expire by as much earlier, and never later. In Redis a read renews the entry once a quarter
   * of the time has passed since the last renewal. The whole life (`ttl` with `stale` or `staleIfError`) bounds it: if
   * `maxIdle` is not shorter, it has no effect. A time above zero; `Infinity` is no limit. Default: no limit.
   *
   * It needs a store that can let an entry live on: memory, Redis, and tiers of these. With files, buckets and key-value
   * stores, and with another envelope than `Envelope.v1`, a read dies with `InvalidOption`. It is what Caffeine calls
   * `expireAfterAccess`.
   */
  readonly maxIdle?: Duration.DurationInput | undefined
  /**
   * How many entries the function may have in the memory of this process, whatever the store's own limit is: beyond it,
   * the one that was used longest ago leaves. It counts all keys of the function's `name`, in all partitions. In a store
   * of several tiers it limits the one in memory. A store without memory limits nothing, which is the problem
   * `NoMaxEntries`. A whole number above zero; `Infinity` is no limit. Default: no limit.
   *
   * @since 0.2.0
   */
  readonly maxEntries?: number | undefined
  /**
   * How long after its `ttl` a value still answers when the load fails. A read tries the load first, and such a value is
   * absent to `peek` and the store's `get`. Counted from `ttl`, not from the end of `stale`. Default: 0.
   */
  readonly staleIfError?: Duration.DurationInput | undefined
  /**
   * How long a key is not loaded after a failed load, while an old value can answer: reads get that value at once. For
   * each key and process. Where nothing can answer, every read loads. Default: the smallest of 10 seconds, the `ttl`, and
   * a tenth of the time for which the value can still answer.
   */
  readonly retryAfter?: Duration.DurationInput | undefined
}
