/**
 * The options of a policy that say what happens when a load fails. `any` stands in the bounds of types.
 */
import type * as Cause from "effect/Cause"
import type * as Effect from "effect/Effect"

/**
 * The option of a policy for the failures that no reader sees. `E` is the error of the lookup.
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
}
