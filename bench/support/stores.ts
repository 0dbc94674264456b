/**
 * Helpers of the benchmarks that use several stores in one process.
 */
import { Effect } from "effect"
import { CacheStore } from "effect-cached"
import { quantile } from "./harness.js"

/** The median, the 99th percentile and the maximum of some times. */
export const spread = (times: ReadonlyArray<number>): ReadonlyArray<string> =>
  [0.5, 0.99, 1].map((part) => `${quantile(times, part).toFixed(2)} ms`)

export const columns = ["p50", "p99", "max"]

/** Provides a store to an effect. */
export const on =
  (store: CacheStore.Service) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provideService(effect, CacheStore, store)
