/**
 * The options of background loaders that say when they run, and what they do besides. `any` stands in the bounds of types.
 */
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Schedule from "effect/Schedule"
import type { CheckedKey } from "./checks.js"
import type { ArgsOf, Lookup } from "./lookup.js"

/**
 * When a background loader runs: at an `interval`, or by any `Schedule` together with a `ttl`.
 *
 * @category models
 * @since 0.1.0
 */
export type When<R> =
  | {
      /**
       * The time from one run to the next. With zero, nothing is cached: every read of `Cached.bg` runs the
       * loader, and `Cached.bgWrite` dies with `InvalidOption`.
       */
      readonly interval: Duration.DurationInput
      /** How long a value is fresh. Default: twice the interval, so that one failed run leaves no gap. */
      readonly ttl?: Duration.DurationInput | undefined
      readonly schedule?: undefined
    }
  | {
      /**
       * Its input is the `Exit` of the run before. When it is done, the runs end, and reads load after the last value.
       */
      readonly schedule: Schedule.Schedule<unknown, Exit.Exit<unknown, unknown>, R>
      /** How long a value is fresh. */
      readonly ttl: Duration.DurationInput
      readonly interval?: undefined
    }

/**
 * The options of every background loader.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoaderOptions<A, E, R2, Args extends ReadonlyArray<any> = []> {
  /** Tags for `Cached.invalidateTags`, fixed or computed from the value, and the arguments if any. Default: none. */
  readonly tags?: ReadonlyArray<string> | ((value: A, ...args: Args) => ReadonlyArray<string>) | undefined
  /**
   * Runs with the cause of every failed run, and the arguments if any. The loader goes on whatever this effect does: it is interrupted after
   * `flightTimeout`, and its failure is logged. Default: a log line at Warning.
   */
  readonly onError?: ((cause: Cause.Cause<E>, ...args: Args) => Effect.Effect<unknown, unknown, R2>) | undefined
  /**
   * How long after its `ttl` the last value still answers readers of `Cached.bg` when the load fails. Default: 0.
   */
  readonly staleIfError?: Duration.DurationInput | undefined
  /**
   * Whether the first run starts at once. If the store holds a fresh value, the run waits for the rest of its interval.
   * Default: true.
   */
  readonly runImmediately?: boolean | undefined
}

/**
 * The key of a background loader: a text, or for a function what every policy accepts.
 *
 * @category models
 * @since 0.2.0
 */
export type LoaderKey<L, K, I> = Lookup extends L
  ? CheckedKey<K, any, I>
  : L extends Effect.Effect<any, any, any>
    ? K extends string
      ? CheckedKey<K, [], never>
      : "the key of an effect is a text"
    : CheckedKey<K, ArgsOf<L>, I>
