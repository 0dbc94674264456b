/**
 * Tools for tests: a conformance suite for the authors of stores, and a backend that fails on demand.
 *
 * @since 0.1.0
 */
export * as CacheStoreSuite from "./testing/CacheStoreSuite.js"
export * as ChaosCache from "./testing/ChaosCache.js"
