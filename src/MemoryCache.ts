/**
 * Entries in the memory of this process: the fastest store, and the one to begin with.
 *
 * Values are held by reference: who changes what it was given changes it for everybody. Bounded, and evicted by SIEVE,
 * so that a hit costs one bit. Nothing outlives the Layer.
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
import { InvalidOption } from "./CacheError.js"
import { CacheStore } from "./CacheStore.js"
import { Sieve } from "./internal/backends/memory/sieve.js"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options extends CacheStore.Options {
  /** how many entries, default 10 000; `Infinity` for no bound */
  readonly capacity?: number | undefined
  /** the store's name in metrics and logs, default `memory`: give each store of a process its own */
  readonly name?: string | undefined
}

/**
 * The medium alone, as a tier takes it. A `capacity` that is not a whole number above zero is the defect
 * `InvalidOption`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backend = (options: Options = {}): Effect.Effect<Backend.Backend, never, Scope.Scope> =>
  Effect.suspend(() => {
    const capacity = options.capacity ?? 10_000
    if (capacity !== Number.POSITIVE_INFINITY && (!Number.isSafeInteger(capacity) || capacity < 1)) {
      return Effect.die(
        new InvalidOption({
          option: "capacity",
          detail: `${capacity} is not a whole number above zero; use Infinity for no limit`
        })
      )
    }
    const sieve = new Sieve(capacity)
    return Effect.succeed(
      Backend.fromLocal({
        name: options.name ?? "memory",
        unsafeGet: (key) => sieve.get(key),
        unsafeSet: (key, entry, now) => sieve.set(key, entry, now),
        unsafeRemove: (key) => sieve.remove(key),
        unsafeSize: () => sieve.size,
        onRemoved: (listener) => {
          sieve.listener = listener
        }
      })
    )
  })

/**
 * A Service for a tag of one's own: `Layer.scoped(Sessions, MemoryCache.make({ name: "sessions", capacity: 1_000 }))`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<CacheStore.Service, never, Scope.Scope> =>
  Effect.flatMap(backend(options), (medium) => CacheStore.make(medium, options))

/**
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<CacheStore> => Layer.scoped(CacheStore, make(options))

/**
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (config: Config.Config.Wrap<Options>): Layer.Layer<CacheStore, ConfigError> =>
  Layer.scoped(CacheStore, Effect.flatMap(Config.unwrap(config), make))

/**
 * 10 000 entries in memory.
 *
 * @category layers
 * @since 0.1.0
 */
export const MemoryCacheLive: Layer.Layer<CacheStore> = /*#__PURE__*/ layer()
