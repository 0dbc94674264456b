/**
 * Lifetimes of cached functions, decided in one place. `Cached.policy` takes them from this Layer, so they can be
 * changed by configuration, per function where needed, without touching the code that caches.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Cached, CachePolicy, MemoryCacheLive } from "effect-cached"
 *
 * const getUser = Cached.policy((id: number) => Effect.succeed({ id }), { key: "user:{}" })
 *
 * const Lifetimes = CachePolicy.layer({
 *   ttl: "1 minute",
 *   functions: { "user:{}": { ttl: "10 minutes", stale: "1 hour" } }
 * })
 *
 * getUser(42).pipe(Effect.provide(Layer.merge(MemoryCacheLive, Lifetimes)), Effect.runPromise)
 * ```
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Lifetimes } from "./internal/engine/definition.js"
import { decodeLifetimes } from "./internal/engine/definition.js"

/**
 * The service that gives functions cached by `Cached.policy` their lifetimes.
 *
 * @category models
 * @since 0.1.0
 */
export class CachePolicy extends /*#__PURE__*/ Context.Tag("effect-cached/CachePolicy")<
  CachePolicy,
  CachePolicy.Service
>() {
  /**
   * A Layer with one policy for all functions, and exceptions by name. A negative duration, `NaN`, or a text that is no
   * duration is the defect `InvalidOption`, which names the function of an exception.
   */
  static readonly layer = (options: CachePolicy.Options): Layer.Layer<CachePolicy> =>
    Layer.sync(CachePolicy, () => make(options))

  /** The same Layer, with options from `Config`. */
  static readonly layerConfig = (
    config: Config.Config.Wrap<CachePolicy.Options>
  ): Layer.Layer<CachePolicy, ConfigError> =>
    Layer.effect(
      CachePolicy,
      Effect.flatMap(Config.unwrap(config), (options) => Effect.sync(() => make(options)))
    )
}

/**
 * @since 0.1.0
 */
export declare namespace CachePolicy {
  /**
   * The lifetimes of the entries of a function.
   *
   * @since 0.1.0
   */
  export interface Policy {
    /** How long an entry is fresh, counted from the end of its load. Zero means that nothing is cached. */
    readonly ttl: Duration.DurationInput
    /** How long after that a read still returns the stale value, and starts a refresh. Default: 0. */
    readonly stale?: Duration.DurationInput | undefined
    /** How long a load may be joined and may store its value. Default: 30 seconds. */
    readonly flightTimeout?: Duration.DurationInput | undefined
  }

  /**
   * The policy for all functions, and exceptions from it.
   *
   * @since 0.1.0
   */
  export interface Options extends Policy {
    /**
     * Exceptions by the name of the function: its `name`, else its key template as written (`"user:{}"`). What an
     * exception leaves out is taken from the general policy. Default: none.
     */
    readonly functions?: Readonly<Record<string, Partial<Policy>>> | undefined
  }

  /**
   * The service behind the tag.
   *
   * @since 0.1.0
   */
  export interface Service {
    /** @internal */
    readonly lifetimesOf: (name: string) => Lifetimes
  }
}

const make = ({ functions, ...all }: CachePolicy.Options): CachePolicy.Service => {
  const general = decodeLifetimes(all, "CachePolicy")
  const special = new Map(
    Object.entries(functions ?? {}).map(([name, policy]) => [
      name,
      decodeLifetimes(
        {
          ttl: policy.ttl ?? all.ttl,
          stale: policy.stale ?? all.stale,
          flightTimeout: policy.flightTimeout ?? all.flightTimeout
        },
        name
      )
    ])
  )
  return { lifetimesOf: (name) => special.get(name) ?? general }
}
