/**
 * Runs many effects to their ends, whether or not some fail.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/** Runs all effects, at most so many at once. Fails with the causes of those that failed, in parallel. */
export const runAll = <E, R>(
  effects: Iterable<Effect.Effect<unknown, E, R>>,
  concurrency: number | "unbounded"
): Effect.Effect<void, E, R> =>
  Effect.flatMap(Effect.forEach(effects, Effect.exit, { concurrency }), (exits) => {
    const causes = exits.flatMap((exit) => (Exit.isFailure(exit) ? [exit.cause] : []))
    return causes.length === 0 ? Effect.void : Effect.failCause(causes.reduce(Cause.parallel))
  })
