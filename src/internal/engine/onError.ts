/**
 * The `onError` of a function, a background loader or a mirror. It can break nothing: it has a time limit, and its failure
 * is reported.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { sleep } from "../sleep.js"
import type { Telemetry } from "./telemetry.js"

export type OnError = (
  cause: Cause.Cause<unknown>,
  ...args: ReadonlyArray<unknown>
) => Effect.Effect<unknown, unknown, unknown>

export interface ErrorReport {
  readonly telemetry: Telemetry
  /** The name of the function. */
  readonly name: string
  readonly cause: Cause.Cause<unknown>
  /** The arguments of the read. Default: none. */
  readonly args?: ReadonlyArray<unknown> | undefined
  /** After how many milliseconds the handler is interrupted. Default: it may run as long as the scope is open. */
  readonly timeout?: number | undefined
}

/** Runs a user's error handler, and reports its failure. */
export const handle = (
  onError: OnError,
  { args = [], cause, name, telemetry, timeout }: ErrorReport
): Effect.Effect<void, never, unknown> => {
  const handler = Effect.suspend(() => onError(cause, ...args))
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
    Effect.asVoid
  )
}

/** Starts a user's error handler in the current scope. */
export const runOnError = (
  onError: OnError,
  report: ErrorReport
): Effect.Effect<unknown, never, unknown | Scope.Scope> => Effect.forkScoped(handle(onError, report))
