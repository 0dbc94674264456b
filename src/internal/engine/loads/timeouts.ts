/**
 * The time limits of reads: the option `timeout`. They count from the read, whatever it waits for: the backend, another
 * process's lock, a permit, a batch, the lookup.
 *
 * At `soft`, an old value answers if there is one. At `hard`, it does, too, or else the read fails with `LoadTimeout`.
 * The reader leaves its load then. The load goes on until its `flightTimeout`; with `then: "interrupt"` it ends when its
 * last reader leaves, as after an interruption.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { LoadTimeout } from "../../../CacheError.js"
import type { Entry } from "../../../Entry.js"
import { sleepOn } from "../../sleep.js"
import { monotonic } from "../../time.js"
import type { Timeouts } from "../definition.js"
import type { StoreRuntime } from "../storeRuntime.js"

/** What a read waits for, as far as its deadline is concerned. */
export interface Wait {
  /** The old value that may answer now. */
  readonly oldValue: () => Entry | undefined
  /** Ends the wait with this answer: the old value or, if there is none, the failure with `LoadTimeout`. */
  readonly end: (answer: Effect.Effect<unknown, LoadTimeout>, hasValue: boolean) => void
}

export interface DeadlineOptions {
  readonly key: string
  /** The name of the function. */
  readonly of: string
  readonly timeouts: Timeouts
  readonly clock: Clock.Clock
}

/** The time limits of one read. Its waits come one after the other. */
export class Deadline {
  /** Whether a limit has answered the read. */
  hasAnswered = false
  private readonly options: DeadlineOptions
  private readonly runtime: StoreRuntime
  private readonly startedAt: number
  /** How many milliseconds have passed for certain: the timer has waited for them. */
  private passed = 0
  private wait: Wait | undefined = undefined
  /** Waits for the next limit. Made when first needed: many loads end before their reader would wait. */
  private timer: Fiber.RuntimeFiber<unknown, unknown> | undefined = undefined

  /** The limits count from now. */
  constructor(options: DeadlineOptions, runtime: StoreRuntime) {
    this.options = options
    this.runtime = runtime
    this.startedAt = monotonic(options.clock)
  }

  /** Whether a load goes on without its readers. */
  get goesOn(): boolean {
    return this.options.timeouts.goesOn
  }

  /** Ends this wait when a limit answers the read, which may be at once. */
  watch(wait: Wait): void {
    this.wait = wait
    this.check()
  }

  /** The wait has ended in another way. */
  unwatch(): void {
    this.wait = undefined
  }

  private check(): void {
    const { wait } = this
    if (wait === undefined) return
    const { clock, timeouts } = this.options
    const elapsed = Math.max(this.passed, monotonic(clock) - this.startedAt)
    const isHard = elapsed >= timeouts.hard
    if (isHard || elapsed >= timeouts.soft) {
      const oldValue = wait.oldValue()
      if (isHard || oldValue !== undefined) {
        this.unwatch()
        this.hasAnswered = true
        return wait.end(oldValue?.success ?? Exit.fail(this.failure), oldValue !== undefined)
      }
    }
    this.await(elapsed < timeouts.soft ? Math.min(timeouts.soft, timeouts.hard) : timeouts.hard, elapsed)
  }

  private get failure(): LoadTimeout {
    const { key, of, timeouts } = this.options
    return new LoadTimeout({ key, of, limit: Duration.millis(timeouts.hard) })
  }

  /** Checks again when a limit is over. */
  private await(limit: number, elapsed: number): void {
    if (this.timer !== undefined || limit === Number.POSITIVE_INFINITY) return
    this.timer = this.runtime.background(
      Effect.map(sleepOn(this.options.clock, limit - elapsed), () => {
        this.timer = undefined
        this.passed = limit
        this.check()
      })
    )
  }

  /** Runs a read, and stops the timer at its end. */
  within(read: Effect.Effect<unknown, unknown, unknown>): Effect.Effect<unknown, unknown, unknown> {
    if (Exit.isExit(read)) return read
    const close = Effect.sync(() => {
      this.unwatch()
      this.timer?.unsafeInterruptAsFork(FiberId.none)
    })
    return Effect.ensuring(read, close)
  }

  /** Runs a load that its reader alone waits for, and interrupts it when a limit answers the read. */
  limit(
    load: Effect.Effect<unknown, unknown, unknown>,
    oldValue: () => Entry | undefined = noValue
  ): Effect.Effect<unknown, unknown, unknown> {
    return Effect.raceFirst(
      load,
      Effect.async<unknown, unknown>((resume) => this.watch({ oldValue, end: resume }))
    )
  }
}

const noValue = (): undefined => undefined

/** The limits of a read that takes no old value, because it loads in any case. */
export const hardOnly = (timeouts: Timeouts): Timeouts => ({ ...timeouts, soft: Number.POSITIVE_INFINITY })

/** Runs an effect within a deadline, if there is one. */
export const within = (
  deadline: Deadline | undefined,
  read: Effect.Effect<unknown, unknown, unknown>
): Effect.Effect<unknown, unknown, unknown> => (deadline === undefined ? read : deadline.within(read))

/** Runs a load that its reader alone waits for within a deadline, if there is one. */
export const limit = (
  deadline: Deadline | undefined,
  load: Effect.Effect<unknown, unknown, unknown>,
  oldValue?: () => Entry | undefined
): Effect.Effect<unknown, unknown, unknown> => (deadline === undefined ? load : deadline.limit(load, oldValue))
