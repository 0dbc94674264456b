/**
 * A store of several tiers, the fastest first. With memory in front of Redis, for example, a hot key costs no round
 * trip, and a restart does not load everything again.
 *
 * A read is answered by the first tier that has the entry, and the entry is copied to the faster tiers for the rest of
 * its lifetime. Writes, invalidations and clears go to all tiers. All tiers share one engine: a key is loaded once, and
 * a tier that fails is skipped while the others serve.
 *
 * If the tier below memory is shared and notifies processes of each other's writes, as `RedisCache` does, the copies in
 * memory are coherent: an entry that one process sets, invalidates or clears leaves the memory of the others within
 * milliseconds. While notifications cannot arrive, a copy is served for at most `blindTtl`.
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
import { Settings, TierCounters } from "./CacheMetrics.js"
import { CacheStore } from "./CacheStore.js"
import * as Breaker from "./internal/backends/breaker.js"
import * as Tiers from "./internal/backends/tiers/backend.js"
import { Meter } from "./internal/meter.js"
import { decodePositive } from "./internal/options.js"
import { Problems } from "./internal/problems.js"

/**
 * A tier of the store.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tier<out E = never, out R = never> {
  /** The backend, such as `MemoryCache.backend()` or `RedisCache.backend({ url })`. */
  readonly backend: Effect.Effect<Backend.Backend, E, R>
  /** The longest time that this tier holds an entry, unless the entry expires sooner. Default: its whole lifetime. */
  readonly ttl?: Duration.DurationInput | undefined
  /** The tier's name in metrics and in `stats.tiers`. Default: the name of its backend. */
  readonly name?: string | undefined
  /** The breaker of this tier, if it is remote, as in the options of the store. Default: that of the store. */
  readonly breaker?: CacheStore.Options["breaker"]
}

/**
 * The options of a store of several tiers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<out E = never, out R = never> extends CacheStore.Options {
  /**
   * The tiers, the fastest first. If a tier is shared by several processes, only the first tier may be in memory. A tier
   * that notifies processes, such as Redis, comes before remote tiers that do not; another order is a Warning.
   */
  readonly tiers: readonly [Tier<E, R>, ...ReadonlyArray<Tier<E, R>>]
  /** The store's name in metrics and logs. Default: `tiered`. */
  readonly name?: string | undefined
}

/**
 * Reports a tier that is not notified stands before one that notifies. Only memory is notified, so such a tier keeps
 * what other processes invalidate until they have removed it there as well.
 */
const reportUnnotified = (name: string, tiers: ReadonlyArray<Tiers.Tier>, problems: Problems): void => {
  const notifier = tiers.findIndex(({ backend }) => backend.notifications !== undefined)
  const earlier = tiers.slice(0, Math.max(0, notifier)).find(({ backend }) => backend.remote)
  if (earlier === undefined) return
  const [faster, slower] = [earlier.counters.tier, tiers[notifier]!.counters.tier]
  problems.begin(
    "TierOrder",
    faster,
    `${name}: the tier ${faster} comes before ${slower}, but only memory follows the notifications of ${slower}: an ` +
      `entry that another process invalidates may come back from ${faster}. List ${slower} before ${faster}.`
  )
}

const invalid = (option: string, of: string, detail: string) => Effect.die(new InvalidOption({ option, of, detail }))

/**
 * The tiers as one backend. Dies with `InvalidOption` if there is no tier, if a `ttl` is zero, if two tiers have the
 * same name, or if a tier in memory is not the first while another tier sends notifications.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backend = <E = never, R = never>(
  options: Options<E, R>
): Effect.Effect<Backend.Backend, E, R | Scope.Scope> =>
  Effect.gen(function* () {
    const name = options.name ?? "tiered"
    const meter = new Meter(yield* Settings)
    const tiers: Array<Tiers.Tier> = []
    for (const tier of options.tiers) {
      const inner = yield* tier.backend
      const label = tier.name ?? inner.name
      const backend = yield* Breaker.guard(inner, tier.breaker ?? options.breaker, `${name}.${label}`)
      const ttl =
        tier.ttl === undefined ? Number.POSITIVE_INFINITY : decodePositive("ttl", tier.ttl, `${name}.${label}`)
      if (tiers.some(({ counters }) => counters.tier === label)) {
        return yield* invalid("name", name, `two tiers are named ${label}: give each tier a different name`)
      }
      tiers.push({ backend, ttl, counters: new TierCounters(label, { store: name, ...options.labels }, meter) })
    }
    const [first, ...others] = tiers
    if (first === undefined) return yield* invalid("tiers", name, "is empty: a tiered store needs at least one tier")
    if (others.some((tier) => !tier.backend.remote) && tiers.some((tier) => tier.backend.notifications !== undefined)) {
      return yield* invalid(
        "tiers",
        name,
        "a tier in memory must be the first: elsewhere it is not notified of writes by other processes"
      )
    }
    const problems = yield* Problems.make(name)
    reportUnnotified(name, tiers, problems)
    return Tiers.compose(name, [first, ...others], problems)
  })

/**
 * The store as a service, for a tag of your own: `Layer.scoped(Sessions, TieredCache.make({ tiers: [ … ] }))`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <E = never, R = never>(
  options: Options<E, R>
): Effect.Effect<CacheStore.Service, E, R | Scope.Scope> =>
  Effect.flatMap(backend(options), (backend) => CacheStore.make(backend, options))

/**
 * A Layer that provides `CacheStore` with several tiers.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never, R = never>(
  options: Options<E, R>
): Layer.Layer<CacheStore, E, Exclude<R, Scope.Scope>> => Layer.scoped(CacheStore, make(options))
