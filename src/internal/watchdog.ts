/**
 * One fiber that checks all pending operations at intervals, as long as there are any. A timer for each operation would
 * cost every read.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"

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
    const fiber = fork(Effect.repeat(Effect.delay(Effect.sync(check), every), { while: isNeeded }))
    this.fiber = fiber
    fiber.addObserver(() => {
      this.fiber = undefined
    })
  }

  stop(): void {
    this.fiber?.unsafeInterruptAsFork(FiberId.none)
  }
}
