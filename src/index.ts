/**
 * A caching layer for Effect: cached effects and functions, stores in memory, and tiers. Stores that need a client have
 * entries of their own, such as `effect-cached/RedisCache`.
 *
 * @since 0.1.0
 */
export * as Backend from "./Backend.js"
export * as Cached from "./Cached.js"
export * as CacheError from "./CacheError.js"
export {
  AgentLoopDetected,
  CacheStoreError,
  DuplicateLoader,
  InvalidBatch,
  InvalidOption,
  KeyError,
  LoadInterrupted,
  LoadTimeout,
  ReentrantLoad,
  SerializerError
} from "./CacheError.js"
export type * as CacheEvent from "./CacheEvent.js"
export * as CacheListener from "./CacheListener.js"
export * as CacheMetrics from "./CacheMetrics.js"
export { CachePolicy } from "./CachePolicy.js"
export type * as CacheProblem from "./CacheProblem.js"
export * as CacheStats from "./CacheStats.js"
export { CacheStore } from "./CacheStore.js"
export * as Entry from "./Entry.js"
export * as Envelope from "./Envelope.js"
export * as Key from "./Key.js"
export * as MemoryCache from "./MemoryCache.js"
export { MemoryCacheLive } from "./MemoryCache.js"
export * as Serializer from "./Serializer.js"
export * as TieredCache from "./TieredCache.js"
export * as ToolCache from "./ToolCache.js"
