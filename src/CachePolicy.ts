/**
 * How long things live, decided in one place: `Cached.policy` asks the Layer above it, so that lives are changed by
 * configuration, per function where needed, without touching the code that caches.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Cached, CachePolicy, MemoryCacheLive } from "effect-cached"
 *
 * const getUser = Cached.policy((id: number) => Effect.succeed({ id }), { key: "user:{}" })
 *
 * const Lives = CachePolicy.layer({
 *   ttl: "1 minute",
 *   functions: { user: { ttl: "10 minutes", stale: "1 hour" } }
 * })
 *
 * getUser(42).pipe(Effect.provide(Layer.merge(MemoryCacheLive, Lives)), Effect.runPromise)
 * ```
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Layer from "effect/Layer"
import type { Lifetimes } from "./internal/engine/definition.js"
import { decodeLifetimes } from "./internal/engine/definition.js"

/**
 * @category models
 * @since 0.1.0
 */
export class CachePolicy extends /*#__PURE__*/ Context.Tag("effect-cached/CachePolicy")<
  CachePolicy,
  CachePolicy.Service
>() {
  /** One policy for all functions, and exceptions by name. */
  static readonly layer = (options: CachePolicy.Options): Layer.Layer<CachePolicy> =>
    Layer.sync(CachePolicy, () => make(options))

  /** The same from Config. */
  static readonly layerConfig = (
    config: Config.Config.Wrap<CachePolicy.Options>
  ): Layer.Layer<CachePolicy, ConfigError> => Layer.effect(CachePolicy, Config.map(Config.unwrap(config), make))
}

/**
 * @since 0.1.0
 */
export declare namespace CachePolicy {
  /**
   * The lives of one function's entries.
   *
   * @since 0.1.0
   */
  export interface Policy {
    /** how long an entry is fresh; nothing means: not cached at all */
    readonly ttl: Duration.DurationInput
    /** how long after that it is served while a refresh runs behind, default none */
    readonly stale?: Duration.DurationInput | undefined
    /** how long a load may take before nobody joins it any more, default 30 seconds */
    readonly flightTimeout?: Duration.DurationInput | undefined
  }

  /**
   * @since 0.1.0
   */
  export interface Options extends Policy {
    /** exceptions, by the functions' names */
    readonly functions?: Readonly<Record<string, Partial<Policy>>> | undefined
  }

  /**
   * @since 0.1.0
   */
  export interface Service {
    /** @internal */
    readonly lifetimesOf: (name: string) => Lifetimes
  }
}

const make = ({ functions, ...all }: CachePolicy.Options): CachePolicy.Service => {
  const general = decodeLifetimes(all)
  const special = new Map(
    Object.entries(functions ?? {}).map(([name, policy]) => [name, decodeLifetimes({ ...all, ...policy })])
  )
  return { lifetimesOf: (name) => special.get(name) ?? general }
}
