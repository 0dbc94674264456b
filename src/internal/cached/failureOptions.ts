/**
 * The options of a policy that say what happens when a load fails. `any` stands in the bounds of types.
 */
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { AnySchema } from "./checks.js"

/**
 * How failures of a lookup are stored in place of a value. `E` is the error of the lookup. DNS calls this negative caching
 * (RFC 2308).
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 *
 * class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.Number }) {}
 *
 * const getUser = Cached.ttl((id: number) => Effect.fail(new NotFound({ id })), {
 *   key: "user:{}",
 *   ttl: "10 minutes",
 *   failures: { ttl: "1 minute", schema: NotFound }
 * })
 *
 * // the second read does not run the lookup
 * const program = Effect.zip(Effect.flip(getUser(2)), Effect.flip(getUser(2)))
 * program.pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category models
 * @since 0.2.0
 */
export interface StoredFailures<E, Args extends ReadonlyArray<any>> {
  /**
   * How long a failure is stored, counted from the end of its load: a duration, or a function of the error and the
   * arguments. Zero or less: it is not stored. The `jitter` of the function is added.
   */
  readonly ttl: Duration.DurationInput | ((error: E, ...args: Args) => Duration.DurationInput)
  /**
   * The schema of the errors, or of some of them, such as a class made by `Schema.TaggedError`. With it failures are shared
   * by all processes of a store that keeps bytes. Default: failures are kept in memory only.
   */
  readonly schema?: (AnySchema & { readonly Type: E }) | undefined
}

/**
 * The options of a policy that say what becomes of failures. `E` is the error of the lookup.
 *
 * @category models
 * @since 0.2.0
 */
export interface FailureOptions<E, Args extends ReadonlyArray<any>, R2> {
  /**
   * Runs with the cause of every failure that no reader sees, and the arguments of the read: of a refresh, of a load that
   * an old value answers (`staleIfError`), and of a load that went on after its readers had timed out (`timeout`). It has the services of the read that started the load. The cache goes on
   * whatever this effect does: it is interrupted after `flightTimeout`, and its failure is logged. Default: one Warning
   * for each function and outage.
   */
  readonly onError?: ((cause: Cause.Cause<E>, ...args: Args) => Effect.Effect<unknown, unknown, R2>) | undefined
  /**
   * Stores failures of the lookup on purpose, so that a source that is down, or knows that there is nothing, is not asked
   * at every read. A read of this function that finds a stored failure fails with it, and counts as a hit. For
   * everything else the key is absent: `peek`, `entry`, the store's `get` and `has`, and other functions.
   *
   * Only a cause that is one typed failure of the lookup is stored, and only where no value can answer, not even one that
   * is kept for `staleIfError`. Defects, interruptions, `CacheStoreError` and `LoadTimeout` never are. `refresh` loads anew, and
   * `invalidate`, `set`, tags and `clear` concern a stored failure as any entry. Default: failures are not stored.
   */
  readonly failures?: StoredFailures<E, Args> | undefined
}
