/**
 * Turns of the event loop. Work on many entries is done in parts of some milliseconds, by the clock: how long an entry
 * takes depends on its value and on the machine.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { sleepOn } from "./sleep.js"
import { monotonic } from "./time.js"

/** How many milliseconds a part takes at least. */
const turn = 4

export class Turns {
  private readonly live = Clock.make()
  private since = monotonic(this.live)

  /** Whether it is time to let the event loop run. */
  get isOver(): boolean {
    return monotonic(this.live) - this.since >= turn
  }

  /** Begins a part, because the event loop has run. */
  begin(): void {
    this.since = monotonic(this.live)
  }

  /** Lets the event loop run, if it is time. `Effect.yieldNow` would let other fibers run, but no timers and no I/O. */
  readonly next: Effect.Effect<void> = Effect.suspend(() =>
    this.isOver ? Effect.map(sleepOn(this.live, 0), () => this.begin()) : Effect.void
  )
}
