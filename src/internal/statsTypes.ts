/**
 * The types of statistics, which `CacheStats` exports.
 */
import type * as Duration from "effect/Duration"
import type * as Option from "effect/Option"
import type { CacheStoreError } from "../CacheError.js"
import type { RemovalCause } from "../CacheEvent.js"
import type { Latency } from "./histogram.js"

/**
 * Loads that failed, by kind. Their sum is `loadFailures`.
 *
 * - `fail`: the lookup failed with a typed error
 * - `die`: the lookup, or a callback of the function, died
 * - `interrupt`: the lookup was interrupted, but by none of its readers
 * - `timeout`: a load that nobody waited for, such as a refresh, took longer than `flightTimeout`, or all readers of a
 *   load had reached their `timeout`. A load with readers that takes longer than `flightTimeout` has not failed: they
 *   get its value, which is not stored
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

/**
 * The numbers of one function in one store, since the store was made or since `resetStats`. Functions of one name are
 * counted together, and so are those beyond the first 256 names of a store, as `other`.
 *
 * @category models
 * @since 0.2.0
 */
export interface FunctionStats extends Counts {
  /** The name under which it is counted. */
  readonly name: string
  /** The runs of its background loaders, if it has any. */
  readonly background: Option.Option<Background>
}
