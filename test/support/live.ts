/**
 * The real clock, inside tests that have a virtual one.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

const clock = Clock.make()

/** Runs an effect on the real clock, `TestClock` or not. */
export const live = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => Effect.withClock(effect, clock)

/**
 * Waits on the real clock until the effect answers true: looks every 10 ms, dies with the message after 10 s, or after
 * `millis`. The effect itself keeps the clock of the test. For what happens outside of Effect, such as in a socket; what happens inside is
 * better awaited with a Deferred.
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
