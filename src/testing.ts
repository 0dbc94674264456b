/**
 * For people who write a store of their own, and for programs that want to see theirs fail.
 *
 * @since 0.1.0
 */
export * as CacheStoreSuite from "./testing/CacheStoreSuite.js"
export * as ChaosCache from "./testing/ChaosCache.js"
