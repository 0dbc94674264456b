/**
 * A signal that wakes a fiber when there is a notification about a key. A notification that arrives before the fiber
 * waits is not missed.
 */
import * as Effect from "effect/Effect"

export class Signal {
  private isNotified = false
  private wake: (() => void) | undefined = undefined

  /** A listener as `KeyListeners.listen` takes it. */
  readonly notify = (): void => {
    this.isNotified = true
    this.wake?.()
  }

  /** Ends at once if there was a notification since the signal was made or reset. One fiber waits at a time. */
  readonly wait: Effect.Effect<void> = Effect.async((resume) => {
    if (this.isNotified) return resume(Effect.void)
    this.wake = () => {
      this.wake = undefined
      resume(Effect.void)
    }
    return Effect.sync(() => {
      this.wake = undefined
    })
  })

  reset(): void {
    this.isNotified = false
  }
}
