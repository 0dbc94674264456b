/**
 * A store in the memory of this process. It is the fastest store, and the one to start with.
 *
 * Values are held by reference: a caller that mutates a value changes it for every caller. The number of entries is
 * bounded; the SIEVE policy evicts entries, and a hit only sets one bit. All entries are lost when the Layer closes.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Cached, MemoryCache } from "effect-cached"
 *
 * const square = Cached.ttl((n: number) => Effect.sync(() => n * n), { key: "square:{}", ttl: "1 minute" })
 *
 * square(12).pipe(Effect.provide(MemoryCache.layer({ capacity: 1_000 })), Effect.runPromise)
 * ```
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Backend from "./Backend.js"
import { CacheStore } from "./CacheStore.js"
import { Sieve } from "./internal/backends/memory/sieve.js"
import { checkLimit } from "./internal/options.js"

/**
 * The options of a store in memory.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends CacheStore.Options {
  /** The largest number of entries. Default: 10 000. `Infinity` means no limit. */
  readonly capacity?: number | undefined
  /** The store's name in metrics and logs. Default: `memory`. Give each store of a process a different name. */
  readonly name?: string | undefined
}

/** How many entries a sweep visits before it lets other fibers run. */
const sweepPart = 1_000

const sweepAll = (sieve: Sieve, { count, judge }: Backend.Sweep): Effect.Effect<void> =>
  Effect.gen(function* () {
    let seen = 0
    let removed = 0
    for (const entry of sieve.all()) {
      const cause = judge(entry)
      if (cause !== undefined && sieve.free(entry, cause)) removed++
      if (++seen < sweepPart) continue
      count(seen, removed)
      seen = 0
      removed = 0
      yield* Effect.yieldNow()
    }
    count(seen, removed)
  })

/**
 * The backend alone, for a tier of `TieredCache`. Dies with `InvalidOption` if `capacity` is neither a whole number
 * above zero nor `Infinity`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backend = (options: Options = {}): Effect.Effect<Backend.Backend, never, Scope.Scope> =>
  Effect.suspend(() => {
    const { capacity = 10_000, name = "memory" } = options
    const sieve = new Sieve(checkLimit("capacity", capacity, name))
    return Effect.succeed(
      Backend.fromLocal({
        name,
        unsafeGet: (key) => sieve.get(key),
        unsafeSet: (key, entry, now) => sieve.set(key, entry, now),
        unsafeRemove: (key) => sieve.remove(key),
        unsafeSize: () => sieve.size,
        unsafeClear: (floor) => sieve.clear(floor),
        followMarks: (isInvalidated) => {
          sieve.isInvalidated = isInvalidated
        },
        sweep: (sweep) => sweepAll(sieve, sweep),
        onRemoved: (listener) => {
          sieve.listener = listener
        }
      })
    )
  })

/**
 * The store as a service, for a tag of your own: `Layer.scoped(Sessions, MemoryCache.make({ name: "sessions" }))`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<CacheStore.Service, never, Scope.Scope> =>
  Effect.flatMap(backend(options), (backend) => CacheStore.make(backend, options))

/**
 * A Layer that provides `CacheStore` in memory.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<CacheStore> => Layer.scoped(CacheStore, make(options))

/**
 * The same as `layer`, with options from `Config`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (config: Config.Config.Wrap<Options>): Layer.Layer<CacheStore, ConfigError> =>
  Layer.scoped(CacheStore, Effect.flatMap(Config.unwrap(config), make))

/**
 * A store of up to 10 000 entries in memory: `layer` with its default options.
 *
 * @category layers
 * @since 0.1.0
 */
export const MemoryCacheLive: Layer.Layer<CacheStore> = /*#__PURE__*/ layer()
