/**
 * The `onError` of a background loader or a mirror. It can break nothing: it runs in a fiber of its own, and its
 * failure is reported.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { Telemetry } from "../engine/telemetry.js"
import { sleep } from "../sleep.js"

export type OnError = (cause: Cause.Cause<unknown>) => Effect.Effect<unknown, unknown, unknown>

export interface ErrorReport {
  readonly telemetry: Telemetry
  /** The name of the function. */
  readonly name: string
  readonly cause: Cause.Cause<unknown>
  /** After how many milliseconds the handler is interrupted. Default: it may run as long as the scope is open. */
  readonly timeout?: number | undefined
}

/** Starts a user's error handler in the current scope. */
export const runOnError = (
  onError: OnError,
  { cause, name, telemetry, timeout }: ErrorReport
): Effect.Effect<unknown, never, unknown> => {
  const handler = Effect.suspend(() => onError(cause))
  const late = (after: number) => Effect.zipRight(sleep(after), Effect.fail(new Cause.TimeoutException()))
  return (timeout === undefined ? handler : Effect.raceFirst(handler, late(timeout))).pipe(
    Effect.catchAllCause((cause) =>
      Effect.sync(() =>
        telemetry.report(
          "HandlerFailed",
          name,
          `the onError handler of ${name} failed, so that failures of its loads may go unnoticed. The cache itself is not ` +
            "affected. Correct the handler.",
          { cause }
        )
      )
    ),
    Effect.interruptible,
    Effect.forkScoped
  )
}
