/**
 * A clock that can be set, for the fibers of one process. Its monotonic time does not step, as on a real machine.
 */
import { Clock, Effect } from "effect"

const live = Clock.make()

export interface SetClock {
  readonly clock: Clock.Clock
  /** Sets the time of day by so many milliseconds. */
  readonly step: (millis: number) => void
  /** By how many milliseconds the time of day is ahead. */
  readonly ahead: () => number
}

export const make = (): SetClock => {
  let ahead = 0
  const now = () => live.unsafeCurrentTimeMillis() + ahead
  const clock: Clock.Clock = Object.assign(Object.create(live), {
    unsafeCurrentTimeMillis: now,
    currentTimeMillis: Effect.sync(now)
  })
  return {
    clock,
    step: (millis) => {
      ahead += millis
    },
    ahead: () => ahead
  }
}
