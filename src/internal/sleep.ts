/**
 * Sleeps of any length. A timer of Effect or of Node holds at most 2^31 - 1 milliseconds, which is 24.8 days: Effect never
 * wakes from a longer one, and Node wakes at once.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** The longest timer in milliseconds. */
export const longestTimer = 2 ** 31 - 1

/** Sleeps on a clock. */
export const sleepOn = (clock: Clock.Clock, millis: number): Effect.Effect<void> => {
  if (millis <= longestTimer || !Number.isFinite(millis)) return clock.sleep(Duration.millis(millis))
  return Effect.suspend(() => sleepIn(clock, millis, clock.unsafeCurrentTimeMillis() + millis))
}

/** Sleeps in parts, for `left` milliseconds or until the clock shows `end`, whichever is earlier. */
const sleepIn = (clock: Clock.Clock, left: number, end: number): Effect.Effect<void> => {
  const part = Math.max(0, Math.min(left, longestTimer))
  return Effect.flatMap(clock.sleep(Duration.millis(part)), () => {
    const next = Math.min(left - part, end - clock.unsafeCurrentTimeMillis())
    return next <= 0 ? Effect.void : sleepIn(clock, next, end)
  })
}

/** Sleeps on the clock of the fiber. */
export const sleep = (millis: number): Effect.Effect<void> => Effect.clockWith((clock) => sleepOn(clock, millis))

/**
 * Sleeps in ten parts, of which each counts as its own length however late it ends. A time limit measured with it does not
 * end because the event loop was held up once: Node handles timers before I/O.
 */
export const sleepAwake = (clock: Clock.Clock, millis: number): Effect.Effect<void> =>
  Effect.repeatN(sleepOn(clock, millis / 10), 9)

/** The same clock, whose sleeps may have any length. */
const patient = (clock: Clock.Clock): Clock.Clock => ({
  [Clock.ClockTypeId]: Clock.ClockTypeId,
  unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis(),
  unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
  currentTimeMillis: clock.currentTimeMillis,
  currentTimeNanos: clock.currentTimeNanos,
  sleep: (duration) => sleepOn(clock, Duration.toMillis(duration))
})

/** Runs an effect whose own sleeps may have any length: the step of a schedule. */
export const patiently = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.clockWith((clock) => Effect.withClock(effect, patient(clock)))
