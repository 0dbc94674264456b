/**
 * One fiber that checks all pending operations at intervals, as long as there are any. A timer for each operation would
 * cost every read.
 *
 * A check that comes more than one interval late is put off once by one interval. The event loop was held up, and handles
 * timers before I/O: answers may have arrived in time that nobody has read yet.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { monotonic } from "./time.js"

export interface Options {
  /** Starts a fiber, on a live clock. */
  readonly fork: (effect: Effect.Effect<unknown>) => Fiber.RuntimeFiber<unknown>
  readonly every: Duration.DurationInput
  /** Ends the operations that take too long. */
  readonly check: () => void
  /** Whether any operation is pending. */
  readonly isNeeded: () => boolean
}

export class Watchdog {
  private fiber: Fiber.RuntimeFiber<unknown> | undefined = undefined
  private readonly options: Options

  constructor(options: Options) {
    this.options = options
  }

  /** Starts the fiber, unless it runs. To be called after each operation that begins. */
  wake(): void {
    if (this.fiber !== undefined) return
    const { check, every, fork, isNeeded } = this.options
    const interval = Duration.toMillis(every)
    const pause = Effect.clockWith((clock) => {
      const due = monotonic(clock) + interval
      return Effect.map(clock.sleep(Duration.millis(interval)), () => monotonic(clock) - due > interval)
    })
    const fiber = fork(
      Effect.repeat(
        Effect.flatMap(pause, (isLate) => Effect.map(isLate ? pause : Effect.void, check)),
        { while: isNeeded }
      )
    )
    this.fiber = fiber
    fiber.addObserver(() => {
      this.fiber = undefined
    })
  }

  stop(): void {
    this.fiber?.unsafeInterruptAsFork(FiberId.none)
  }
}
