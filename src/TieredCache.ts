/**
 * Several stores as one, the fastest first: memory in front of Redis, say, so that a hot key costs no round trip and a
 * restart loads nothing.
 *
 * A read is answered by the first tier that has the value, and copied to those before it for what is left of its life.
 * What is written, invalidated or cleared goes to all. One engine stands above them: a key is loaded once, and a tier
 * that fails is passed over while the others serve.
 *
 * Where the tier below is shared by several processes and tells of their writes (`RedisCache` does), the copy in memory
 * is coherent: what one process sets, invalidates or clears leaves the memory of the others within milliseconds, and
 * while they cannot be heard, a copy counts for `blindTtl` at most.
 *
 * ```ts
 * import { Config, Effect } from "effect"
 * import { Cached, MemoryCache, TieredCache } from "effect-cached"
 * import * as RedisCache from "effect-cached/RedisCache"
 *
 * const getUser = Cached.ttl((id: number) => Effect.succeed({ id }), { key: "user:{}", ttl: "1 hour" })
 *
 * const Tiers = TieredCache.layer({
 *   tiers: [
 *     { backend: MemoryCache.backend({ capacity: 5_000 }), ttl: "1 minute" },
 *     { backend: Effect.flatMap(Config.redacted("REDIS_URL"), (url) => RedisCache.backend({ url, prefix: "shop:" })) }
 *   ]
 * })
 *
 * getUser(42).pipe(Effect.provide(Tiers), Effect.runPromise)
 * ```
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Backend from "./Backend.js"
import { InvalidOption } from "./CacheError.js"
import { TierCounters } from "./CacheMetrics.js"
import { CacheStore } from "./CacheStore.js"
import * as Tiers from "./internal/backends/tiers/backend.js"
import { toMillis } from "./internal/time.js"

/**
 * One tier.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tier<out E = never, out R = never> {
  /** the medium, such as `MemoryCache.backend()` or `RedisCache.backend({ url })` */
  readonly backend: Effect.Effect<Backend.Backend, E, R>
  /** the longest an entry stays in this tier, default as long as it lives; what lives shorter goes earlier */
  readonly ttl?: Duration.DurationInput | undefined
  /** the `tier` in metrics and in `stats.tiers`, default the medium's own name */
  readonly name?: string | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Options<out E = never, out R = never> extends CacheStore.Options {
  /** the fastest first; a tier in memory can only be the first where another is shared by several processes */
  readonly tiers: readonly [Tier<E, R>, ...ReadonlyArray<Tier<E, R>>]
  /** the store's name in metrics and logs, default `tiered` */
  readonly name?: string | undefined
}

const invalid = (option: string, detail: string) => Effect.die(new InvalidOption({ option, detail }))

/**
 * The tiers as one medium. No tier, a `ttl` of nothing, two tiers of one name, and a tier in memory below one that is
 * shared are the defect `InvalidOption`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backend = <E = never, R = never>(
  options: Options<E, R>
): Effect.Effect<Backend.Backend, E, R | Scope.Scope> =>
  Effect.gen(function* () {
    const name = options.name ?? "tiered"
    const tiers: Array<Tiers.Tier> = []
    for (const tier of options.tiers) {
      const medium = yield* tier.backend
      const ttl = tier.ttl === undefined ? Number.POSITIVE_INFINITY : toMillis(tier.ttl)
      if (ttl <= 0) return yield* invalid("ttl", "must be above zero: a tier with a ttl of zero holds nothing")
      const label = tier.name ?? medium.name
      if (tiers.some(({ counters }) => counters.tier === label)) {
        return yield* invalid("name", `two tiers are named ${label}: give each tier a different name`)
      }
      tiers.push({ backend: medium, ttl, counters: new TierCounters(label, { store: name, ...options.labels }) })
    }
    const [first, ...others] = tiers
    if (first === undefined) return yield* invalid("tiers", "is empty: a tiered store needs at least one tier")
    if (others.some((tier) => !tier.backend.remote) && tiers.some((tier) => tier.backend.notifications !== undefined)) {
      return yield* invalid(
        "tiers",
        "a tier in memory must be the first: elsewhere it is not notified of what other processes write, and serves outdated values"
      )
    }
    return Tiers.compose(name, [first, ...others])
  })

/**
 * A Service for a tag of one's own: `Layer.scoped(Sessions, TieredCache.make({ tiers: [ … ] }))`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <E = never, R = never>(
  options: Options<E, R>
): Effect.Effect<CacheStore.Service, E, R | Scope.Scope> =>
  Effect.flatMap(backend(options), (medium) => CacheStore.make(medium, options))

/**
 * A store of several tiers.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never, R = never>(
  options: Options<E, R>
): Layer.Layer<CacheStore, E, Exclude<R, Scope.Scope>> => Layer.scoped(CacheStore, make(options))
