/** A clock whose time passes as fast as the program runs. Nothing here is about caching. */
import { Clock, Duration, Effect } from "effect"

interface Sleeper {
  readonly until: number
  readonly wake: () => void
}

/** Ends when every fiber that can run has run. */
const idle = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

export interface VirtualClock extends Clock.Clock {
  /** Lets time pass, from one sleeping fiber to the next, until `millis` have passed. */
  readonly pass: (millis: number) => Effect.Effect<void>
}

export const make = (): VirtualClock => {
  let now = 0
  let sleepers: Array<Sleeper> = []
  const nanos = () => BigInt(now) * 1_000_000n
  const next = () => sleepers.reduce((earliest, { until }) => Math.min(earliest, until), Number.POSITIVE_INFINITY)
  return {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => now,
    unsafeCurrentTimeNanos: nanos,
    currentTimeMillis: Effect.sync(() => now),
    currentTimeNanos: Effect.sync(nanos),
    sleep: (duration) =>
      Effect.async((resume) => {
        const sleeper = { until: now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
        sleepers.push(sleeper)
        return Effect.sync(() => {
          sleepers = sleepers.filter((each) => each !== sleeper)
        })
      }),
    pass: (millis) =>
      Effect.gen(function* () {
        const end = now + millis
        yield* idle
        for (let at = next(); at <= end; at = next()) {
          now = at
          const due = sleepers.filter(({ until }) => until <= now)
          sleepers = sleepers.filter(({ until }) => until > now)
          for (const { wake } of due) wake()
          yield* idle
        }
        now = end
      })
  }
}
