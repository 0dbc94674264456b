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

interface WarmOptions<R2> {
  readonly concurrency?: number | undefined
  readonly onProgress?:
    | ((progress: {
        readonly done: number
        readonly failed: number
        readonly total: number
      }) => Effect.Effect<unknown, never, R2>)
    | undefined
}

/** `Cached.warm`: runs all effects, and reports after each how many have ended. */
export const warmAll = <E, R, R2>(
  effects: Iterable<Effect.Effect<unknown, E, R>>,
  { concurrency = 16, onProgress }: WarmOptions<R2> = {}
): Effect.Effect<void, E, R | R2> =>
  Effect.suspend(() => {
    const all = Array.from(effects)
    if (onProgress === undefined) return runAll(all, concurrency)
    let done = 0
    let failed = 0
    const counted = all.map((effect) =>
      Effect.onExit(effect, (exit) => {
        done++
        if (Exit.isFailure(exit)) failed++
        return onProgress({ done, failed, total: all.length })
      })
    )
    return runAll(counted, concurrency)
  })
