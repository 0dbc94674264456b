import { assert, describe, it } from "@effect/vitest"
import { type Clock, Duration, Effect, Schedule, TestClock } from "effect"
import { Cached } from "../../src/index.js"
import { becomes, begun, counting, numbered, stats, until } from "../laws/support.js"
import { on } from "./support.js"

/** Runs an effect on a clock whose timers never fire after 2^31 milliseconds or more, as those of the live clock. */
const withShortTimers = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.clockWith((clock) =>
    Effect.withClock(
      effect,
      Object.create(clock, {
        sleep: {
          value: (duration: Duration.DurationInput) =>
            Duration.toMillis(duration) < 2 ** 31 ? clock.sleep(Duration.decode(duration)) : Effect.never
        }
      }) as Clock.Clock
    )
  )

const days = (n: number) =>
  Effect.repeatN(Effect.zipRight(TestClock.adjust("1 day"), Effect.repeatN(Effect.yieldNow(), 20)), n - 1)

describe("law 2: zero bypasses, infinity is forever", () => {
  describe("no duration is too long for a timer", () => {
    for (const [name, options] of [
      ["interval", { interval: "60 days" }],
      ["schedule", { schedule: Schedule.spaced("60 days"), ttl: "90 days" }],
      ["cron", { schedule: Schedule.cron("0 0 1 */2 *", "UTC"), ttl: "90 days" }]
    ] as const) {
      it.scoped(`${name} of a background loader - runs again after 60 days, and not earlier`, () => {
        const { calls, lookup } = counting()
        return Effect.gen(function* () {
          yield* Effect.asVoid(Cached.bg(lookup(), { key: "k", ...options }))
          yield* begun(calls, 1)
          yield* days(58)
          assert.strictEqual(calls.length, 1)
          yield* days(3)
          yield* begun(calls, 2)
        }).pipe(on, withShortTimers)
      })
    }

    it.scoped("flightTimeout - ends a refresh that hangs", () => {
      const { lookup } = numbered((call) => (call === 1 ? Effect.succeed(1) : Effect.never))
      const find = Cached.swr(lookup, { key: "k", ttl: "1 day", stale: "365 days", flightTimeout: "60 days" })
      return Effect.gen(function* () {
        yield* find()
        yield* days(1)
        yield* find()
        yield* days(58)
        assert.strictEqual((yield* stats).inFlight, 1)
        yield* days(3)
        yield* becomes(
          Effect.map(stats, ({ inFlight, refreshFailures }) => [inFlight, refreshFailures]),
          [0, 1]
        )
      }).pipe(on, withShortTimers)
    })

    it.scoped("one jump of the clock - wakes in time", () => {
      const { calls, lookup } = counting()
      return Effect.gen(function* () {
        yield* Effect.asVoid(Cached.bg(lookup(), { key: "k", interval: "60 days" }))
        yield* begun(calls, 1)
        yield* Effect.repeatN(Effect.yieldNow(), 20)
        yield* TestClock.adjust("60 days")
        yield* until(() => calls.length === 2, "the second run began")
      }).pipe(on, withShortTimers)
    })
  })
})
