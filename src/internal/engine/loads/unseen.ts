/**
 * The failures that no reader sees: those of refreshes, of loads that an old value answers, and of loads that have gone
 * on without readers. Each is in the events of the store and in the span of its load. Here it becomes a problem of the
 * function, or goes to the user's `onError`.
 */
import type * as Cause from "effect/Cause"
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { handle } from "../onError.js"
import { provideFor } from "../partition.js"
import type { StoreRuntime } from "../storeRuntime.js"
import type { Telemetry } from "../telemetry.js"
import { runCaptured } from "./captured.js"
import type { Flight } from "./flight.js"

export class Unseen {
  private closed = false
  /** The handlers that run. They end with the store. */
  private readonly handlers = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  private readonly runtime: StoreRuntime
  private readonly telemetry: Telemetry

  constructor(runtime: StoreRuntime, telemetry: Telemetry) {
    this.runtime = runtime
    this.telemetry = telemetry
  }

  /** Reports the failure of a load at `now`. */
  report(flight: Flight, now: number, cause: Cause.Cause<unknown>): void {
    const { def } = flight
    const hasOldValue = flight.request.kind === "refresh" || flight.retained !== undefined
    this.telemetry.recordRefreshFailure(def.name, now, cause, { isLogged: def.onError === undefined, hasOldValue })
    this.handle(flight, cause)
  }

  /** Gives the failure of a load, which is reported already, to the user's handler. */
  handle(flight: Flight, cause: Cause.Cause<unknown>): void {
    const { def, reader, request } = flight
    const { flightTimeout, name, onError } = def
    if (onError === undefined || reader === undefined || this.closed) return
    const { telemetry } = this
    const handler = handle(onError, { telemetry, name, cause, args: request.args, timeout: flightTimeout })
    const fiber = this.runtime.background(
      runCaptured(provideFor(request.args, handler), reader) as Effect.Effect<unknown>
    )
    flight.handler = fiber
    this.handlers.add(fiber)
    fiber.addObserver(() => this.handlers.delete(fiber))
  }

  /** Interrupts the handlers, and returns them. */
  close(): ReadonlyArray<Fiber.RuntimeFiber<unknown, unknown>> {
    this.closed = true
    for (const fiber of this.handlers) fiber.unsafeInterruptAsFork(FiberId.none)
    return [...this.handlers]
  }
}
