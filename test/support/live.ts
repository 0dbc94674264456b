/**
 * The real clock, for tests that run on a `TestClock`.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

const clock = Clock.make()

/** Runs an effect on the real clock. */
export const live = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => Effect.withClock(effect, clock)

/**
 * Waits until the effect returns true. It is run every 10 ms of the real clock, on the clock of the test, and the wait dies
 * with the message after `millis`. Meant for events outside of Effect, such as in a socket: wait for events inside with a
 * Deferred.
 */
export const awaitUntil = <E, R>(
  effect: Effect.Effect<boolean, E, R>,
  message: string,
  millis = 10_000
): Effect.Effect<void, E, R> =>
  Effect.gen(function* () {
    const deadline = clock.unsafeCurrentTimeMillis() + millis
    while (!(yield* effect)) {
      if (clock.unsafeCurrentTimeMillis() >= deadline)
        return yield* Effect.dieMessage(`waited ${millis} ms until ${message}`)
      yield* live(Effect.sleep(10))
    }
  })
