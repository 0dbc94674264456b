/**
 * A clock that a test moves by hand: `pass` lets time go by, `set` changes the time of day alone, as an administrator or
 * NTP does.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

export interface ManualClock extends Clock.Clock {
  readonly pass: (millis: number) => void
  readonly set: (by: number) => void
}

const start = 1_700_000_000_000

/** Without `monotonic`, the monotonic reading follows the time of day, as in clocks that have only one. */
export const make = ({ monotonic = true } = {}): ManualClock => {
  let elapsed = 0
  let setBy = 0
  const millis = () => start + elapsed + setBy
  let sleepers: ReadonlyArray<{ readonly until: number; readonly wake: () => void }> = []
  const nanos = () => BigInt(monotonic ? start + elapsed : millis()) * 1_000_000n
  return {
    ...Clock.make(),
    unsafeCurrentTimeMillis: millis,
    unsafeCurrentTimeNanos: nanos,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanos: Effect.sync(nanos),
    sleep: (duration) =>
      Effect.async((resume) => {
        const sleeper = { until: elapsed + Duration.toMillis(duration), wake: () => resume(Effect.void) }
        sleepers = [...sleepers, sleeper]
        return Effect.sync(() => {
          sleepers = sleepers.filter((each) => each !== sleeper)
        })
      }),
    pass: (by) => {
      elapsed += by
      const due = sleepers.filter(({ until }) => until <= elapsed)
      sleepers = sleepers.filter(({ until }) => until > elapsed)
      for (const { wake } of due) wake()
    },
    set: (by) => {
      setBy += by
    }
  }
}
