/**
 * Runs many effects to their ends, whether or not some fail.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/**
 * How far `Cached.warm` has come.
 *
 * @category models
 * @since 0.2.0
 */
export interface WarmProgress {
  /** How many effects have ended, in whatever way. */
  readonly done: number
  /** How many of those have failed. */
  readonly failed: number
  /** How many effects there are. */
  readonly total: number
}

/** Runs all effects, and reports how far it has come. */
export const warmAll = <E, R, R2>(
  effects: Iterable<Effect.Effect<unknown, E, R>>,
  options?: {
    readonly concurrency?: number | undefined
    readonly onProgress?: ((progress: WarmProgress) => Effect.Effect<unknown, never, R2>) | undefined
  }
): Effect.Effect<void, E, R | R2> =>
  Effect.suspend(() => {
    const all = Array.from(effects)
    const { concurrency = 16, onProgress } = options ?? {}
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

/** Runs all effects, at most so many at once. Fails with the causes of those that failed, in parallel. */
export const runAll = <E, R>(
  effects: Iterable<Effect.Effect<unknown, E, R>>,
  concurrency: number | "unbounded"
): Effect.Effect<void, E, R> =>
  Effect.flatMap(Effect.forEach(effects, Effect.exit, { concurrency }), (exits) => {
    const causes = exits.flatMap((exit) => (Exit.isFailure(exit) ? [exit.cause] : []))
    return causes.length === 0 ? Effect.void : Effect.failCause(causes.reduce(Cause.parallel))
  })
