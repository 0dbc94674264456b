/**
 * The `onError` of a background loader or a mirror. It can break nothing: it runs in a fiber of its own, and its
 * failure is logged.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { sleep } from "../sleep.js"

export type OnError = (cause: Cause.Cause<any>) => Effect.Effect<unknown, unknown, any>

export interface ErrorReport {
  readonly key: string
  readonly cause: Cause.Cause<unknown>
  /** After how many milliseconds the handler is interrupted. Default: it may run as long as the scope is open. */
  readonly timeout?: number | undefined
}

/** Starts a user's error handler in the current scope. */
export const runOnError = (
  onError: OnError,
  { cause, key, timeout }: ErrorReport
): Effect.Effect<unknown, never, Scope.Scope> => {
  const handler = Effect.suspend(() => onError(cause))
  const late = (after: number) => Effect.zipRight(sleep(after), Effect.fail(new Cause.TimeoutException()))
  return (timeout === undefined ? handler : Effect.raceFirst(handler, late(timeout))).pipe(
    Effect.catchAllCause((cause) =>
      Effect.logWarning(`the onError handler of "${key}" failed; the cache is not affected`, cause)
    ),
    Effect.interruptible,
    Effect.forkScoped
  )
}
