// node:assert, because the deep equality of chai accepts Some and None as equal
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Fiber, Layer, Option, Schedule, Scope, TestClock } from "effect"
import { Cached, CacheStore } from "../../src/index.js"
import { becomes, begun, counting, gate, numbered, settled, stats, until } from "../laws/support.js"
import * as Shelf from "../support/shelf.js"
import { every, lasting, on } from "./support.js"

describe("Cached.bg", () => {
  describe("first run", () => {
    it.scoped("a reader at the same time, on a remote store - both share one load", () => {
      const { lookup, calls } = counting()
      return Effect.gen(function* () {
        const flags = yield* Cached.bg(lookup(), every)
        assert.strictEqual(yield* flags, 1)
        yield* settled
        assert.strictEqual(calls.length, 1)
        yield* TestClock.adjust("60 seconds")
        yield* begun(calls, 2)
      }).pipe(Effect.provide(Layer.scoped(CacheStore, CacheStore.makeBytes(Shelf.backend(new Shelf.Shelf())))))
    })

    it.scoped("a value from a clock that is ahead - delays the next run by one interval at most", () => {
      const { lookup, calls } = counting()
      const other = Cached.ttl(Effect.succeed(0), { key: "k", name: "k", ttl: "1 day" })
      return on(
        Effect.gen(function* () {
          yield* TestClock.setTime(3_600_000)
          yield* other
          yield* TestClock.setTime(0)
          yield* Effect.asVoid(Cached.bg(lookup(), { ...every, name: "k" }))
          yield* settled
          assert.strictEqual(calls.length, 0)
          yield* TestClock.adjust("60 seconds")
          yield* begun(calls, 1)
        })
      )
    })

    it.scoped("start - returns at once, even if the loader never ends", () =>
      on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(Effect.never, every)
          assert.strictEqual(flags.key, "k")
        })
      )
    )

    it.scoped("start - the first run begins at once, and its value answers the first reader", () => {
      const { lookup, calls } = counting()
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), every)
          yield* until(() => calls.length === 1, "the first run began")
          yield* becomes(flags.peek, Option.some(1))
          assert.strictEqual(yield* flags, 1)
          assert.strictEqual(calls.length, 1)
        })
      )
    })

    it.scoped("a read during the run - joins it", () => {
      const { lookup, calls } = lasting(() => 1_000)
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), every)
          yield* until(() => calls.length === 1, "the first run began")
          const readers = yield* Effect.forkAll([flags, flags])
          yield* becomes(
            Effect.map(stats, (all) => all.coalesced),
            2
          )
          yield* TestClock.adjust("1 second")
          deepStrictEqual(yield* Fiber.join(readers), [1, 1])
          assert.strictEqual(calls.length, 1)
        })
      )
    })

    it.scoped("a read before the daemon's first turn - one load runs, and the next one an interval later", () => {
      const { lookup, calls } = lasting(() => 1_000)
      return on(
        Effect.gen(function* () {
          const reader = yield* Effect.fork(Effect.flatten(Cached.bg(lookup(), every)))
          yield* until(() => calls.length === 1, "the load began")
          assert.strictEqual((yield* stats).refreshes, 0)
          yield* TestClock.adjust("1 second")
          assert.strictEqual(yield* Fiber.join(reader), 1)
          yield* TestClock.adjust(59_999)
          assert.strictEqual(calls.length, 1)
          yield* TestClock.adjust(1)
          yield* until(() => calls.length === 2, "the first scheduled run")
        })
      )
    })

    it.scoped("a read before the daemon's first turn, interrupted - the run goes on with its load", () => {
      const { lookup, calls } = lasting(() => 1_000)
      return on(
        Effect.gen(function* () {
          const reader = yield* Effect.fork(Effect.flatten(Cached.bg(lookup(), every)))
          yield* until(() => calls.length === 1, "the load began")
          yield* Effect.yieldNow()
          yield* Fiber.interrupt(reader)
          yield* TestClock.adjust("1 second")
          const store = yield* CacheStore
          yield* becomes(store.get("k"), Option.some(1))
          assert.strictEqual(calls.length, 1)
        })
      )
    })

    it.scoped("interruption - a reader that leaves does not end the run", () => {
      const { lookup, calls } = lasting(() => 1_000)
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), every)
          const early = yield* Effect.fork(flags)
          yield* Effect.yieldNow()
          yield* until(() => calls.length === 1, "the run began")
          const late = yield* Effect.fork(flags)
          yield* Effect.yieldNow()
          yield* Fiber.interrupt(early)
          yield* Fiber.interrupt(late)
          yield* TestClock.adjust("1 second")
          yield* becomes(flags.peek, Option.some(1))
          assert.strictEqual(calls.length, 1)
        })
      )
    })

    it.scoped("failure - does not fail the Layer, and the next read loads", () => {
      class Flags extends Context.Tag("test/Flags")<Flags, Cached.CachedEffect<number, string>>() {}
      const { lookup, calls } = numbered((call) => (call === 1 ? Effect.fail("down") : Effect.succeed(call)))
      const live = Layer.scoped(Flags, Cached.bg(lookup(), { ...every, onError: () => Effect.void }))
      return Effect.gen(function* () {
        yield* until(() => calls.length === 1, "the first run failed")
        const flags = yield* Flags
        assert.strictEqual(yield* flags, 2)
        assert.strictEqual(yield* flags, 2)
        assert.strictEqual(calls.length, 2)
      }).pipe(Effect.provide(live), on)
    })

    it.scoped("failure - a read that fails as well gets the failure", () =>
      on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(Effect.fail("down" as const), { ...every, onError: () => Effect.void })
          const exit = yield* Effect.exit(flags)
          deepStrictEqual(exit, Exit.fail("down" as const))
        })
      )
    )
  })

  describe("runImmediately", () => {
    it.scoped("a fresh value in the store - is not loaded again before its interval is over", () => {
      const { lookup, calls } = counting()
      return on(
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const before = yield* Scope.extend(Cached.bg(lookup(), every), scope)
          yield* becomes(before.peek, Option.some(1))
          yield* Scope.close(scope, Exit.void)
          yield* TestClock.setTime(45_000)
          const flags = yield* Cached.bg(lookup(), every)
          assert.strictEqual(yield* flags, 1)
          yield* TestClock.setTime(59_999)
          assert.strictEqual(calls.length, 1)
          yield* TestClock.setTime(60_000)
          yield* becomes(flags.peek, Option.some(2))
          yield* TestClock.setTime(120_000)
          yield* becomes(flags.peek, Option.some(3))
          assert.strictEqual(calls.length, 3)
        })
      )
    })

    it.scoped("a value older than the interval - the run begins at once, and the value is served meanwhile", () => {
      const { lookup, calls } = lasting((call) => (call === 1 ? 0 : 1_000))
      return on(
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const before = yield* Scope.extend(Cached.bg(lookup(), every), scope)
          yield* TestClock.adjust(0)
          yield* becomes(before.peek, Option.some(1))
          yield* Scope.close(scope, Exit.void)
          yield* TestClock.setTime(90_000)
          const flags = yield* Cached.bg(lookup(), every)
          yield* until(() => calls.length === 2, "a run began")
          assert.strictEqual(yield* flags, 1)
          yield* TestClock.adjust("1 second")
          yield* becomes(flags.peek, Option.some(2))
        })
      )
    })

    it.scoped("a value of another function - does not count, the run begins at once", () => {
      const { lookup, calls } = counting()
      return on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.set("k", 100, { ttl: "1 hour" })
          const flags = yield* Cached.bg(lookup(), every)
          yield* becomes(flags.peek, Option.some(1))
          assert.strictEqual(calls.length, 1)
        })
      )
    })

    it.scoped("false - nothing runs before the first interval is over", () => {
      const { lookup, calls } = counting()
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), { ...every, runImmediately: false })
          yield* TestClock.adjust(59_999)
          assert.strictEqual(calls.length, 0)
          yield* TestClock.adjust(1)
          yield* becomes(flags.peek, Option.some(1))
        })
      )
    })

    it.scoped("false - a read loads", () => {
      const { lookup, calls } = counting()
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), { ...every, runImmediately: false })
          assert.strictEqual(yield* flags, 1)
          assert.strictEqual(yield* flags, 1)
          assert.strictEqual(calls.length, 1)
        })
      )
    })
  })

  describe("interval", () => {
    it.scoped("beat - the second run begins an interval after the first load ended, the others at that beat", () => {
      const { lookup, calls } = lasting(() => 5_000)
      const starts: Array<number> = []
      return on(
        Effect.gen(function* () {
          const now = Effect.clockWith((clock) => clock.currentTimeMillis)
          yield* Effect.asVoid(
            Cached.bg(
              Effect.zipRight(
                Effect.map(now, (at) => starts.push(at)),
                lookup()
              ),
              every
            )
          )
          yield* until(() => calls.length === 1, "the first run")
          yield* TestClock.adjust("5 seconds")
          yield* TestClock.adjust(59_999)
          deepStrictEqual(starts, [0])
          yield* TestClock.adjust(1)
          yield* until(() => calls.length === 2, "the second run")
          yield* TestClock.adjust("60 seconds")
          yield* until(() => calls.length === 3, "the third run")
          deepStrictEqual(starts, [0, 65_000, 125_000])
        })
      )
    })

    it.scoped("value - each run replaces it, and readers load nothing", () => {
      const { lookup, calls } = counting()
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), every)
          for (let run = 1; run <= 5; run++) {
            yield* becomes(flags.peek, Option.some(run))
            assert.strictEqual(yield* flags, run)
            yield* TestClock.adjust("60 seconds")
          }
          assert.strictEqual((yield* stats).misses, 0)
          assert.isAtLeast(calls.length, 5)
        })
      )
    })

    it.scoped("lifetime - twice the interval, from the end of the run", () => {
      const { lookup } = lasting(() => 1_000)
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), every)
          yield* TestClock.adjust("1 second")
          yield* becomes(
            Effect.map(
              flags.entry,
              Option.map((entry) => entry.freshUntil)
            ),
            Option.some(121_000)
          )
          assert.strictEqual(Option.getOrThrow(yield* flags.entry).expiresAt, 121_000)
        })
      )
    })

    it.scoped("failed runs - one leaves no gap; after two the value has expired, and readers load", () => {
      let down = false
      const { lookup, calls } = numbered((call) =>
        Effect.suspend(() => (down ? Effect.fail("down") : Effect.succeed(call)))
      )
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), { ...every, onError: () => Effect.void })
          yield* becomes(flags.peek, Option.some(1))
          down = true
          yield* TestClock.setTime(60_000)
          yield* until(() => calls.length === 2, "a run failed")
          yield* TestClock.setTime(119_999)
          assert.strictEqual(yield* flags, 1)
          down = false
          yield* TestClock.setTime(120_000)
          yield* becomes(flags.peek, Option.some(3))
          assert.strictEqual(yield* flags, 3)
          assert.strictEqual((yield* stats).misses, 0)
          down = true
          yield* TestClock.setTime(239_999)
          assert.strictEqual(yield* flags, 3)
          yield* TestClock.setTime(240_000)
          assert.strictEqual(yield* Effect.flip(flags), "down")
          down = false
          assert.isNumber(yield* flags)
        })
      )
    })

    it.scoped("slow loader - its runs neither overlap nor pile up", () => {
      const { lookup, calls, most } = lasting((call) => (call <= 4 ? 25_000 : 1_000))
      return on(
        Effect.gen(function* () {
          yield* Effect.asVoid(Cached.bg(lookup(), { key: "k", interval: "10 seconds" }))
          for (let second = 0; second < 200; second++) yield* TestClock.adjust("1 second")
          assert.strictEqual(most(), 1)
          // four runs of 25 s, then one every ten seconds: missed beats are not made up for
          assert.isAtLeast(calls.length, 12)
          assert.isAtMost(calls.length, 14)
        })
      )
    })

    for (const options of [
      { interval: 0 },
      { interval: 0, ttl: "1 minute" },
      { interval: "1 minute", ttl: 0 },
      { interval: "1 minute", ttl: Duration.zero }
    ] as const) {
      it.scoped(
        `switched off - ${JSON.stringify(options)}: every read loads, nothing runs in the background, nothing is stored`,
        () => {
          const { lookup, calls } = counting()
          return on(
            Effect.gen(function* () {
              const flags = yield* Cached.bg(lookup(), { key: "k", ...options })
              // nothing was started, so a second call is no duplicate
              yield* Effect.asVoid(Cached.bg(lookup(), { key: "k", ...options }))
              yield* TestClock.adjust("1 hour")
              assert.strictEqual(calls.length, 0)
              assert.strictEqual(yield* flags, 1)
              assert.strictEqual(yield* flags, 2)
              deepStrictEqual(yield* flags.peek, Option.none())
            })
          )
        }
      )
    }

    it.scoped("a fraction of a millisecond - rounds up", () => {
      const { lookup, calls } = counting()
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), { key: "k", interval: 0.4 })
          yield* becomes(flags.peek, Option.some(1))
          assert.strictEqual(Option.getOrThrow(yield* flags.entry).expiresAt, 2)
          yield* TestClock.adjust(1)
          yield* until(() => calls.length === 2, "the second run")
        })
      )
    })
  })

  describe("schedule", () => {
    it.scoped("a Schedule - drives the runs, with the ttl beside it", () => {
      const { lookup, calls } = counting()
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), {
            key: "k",
            schedule: Schedule.addDelay(Schedule.forever, (n) => Duration.seconds(n + 1)),
            ttl: "1 hour"
          })
          yield* becomes(flags.peek, Option.some(1))
          assert.strictEqual(Option.getOrThrow(yield* flags.entry).freshUntil, 3_600_000)
          yield* TestClock.setTime(999)
          assert.strictEqual(calls.length, 1)
          for (const [at, run] of [
            [1_000, 2],
            [3_000, 3],
            [6_000, 4]
          ] as const) {
            yield* TestClock.setTime(at)
            yield* becomes(flags.peek, Option.some(run))
          }
        })
      )
    })

    it.scoped(
      "a Schedule that is done - ends the runs; the last value is served until it expires, then readers load",
      () => {
        const { lookup, calls } = counting()
        return on(
          Effect.gen(function* () {
            const schedule = Schedule.intersect(Schedule.spaced("10 seconds"), Schedule.recurs(2))
            const flags = yield* Cached.bg(lookup(), { key: "k", schedule, ttl: "1 minute" })
            yield* becomes(flags.peek, Option.some(1))
            for (const run of [2, 3]) {
              yield* TestClock.adjust("10 seconds")
              yield* becomes(flags.peek, Option.some(run))
            }
            yield* TestClock.adjust(59_999)
            assert.strictEqual(yield* flags, 3)
            yield* TestClock.adjust(1)
            assert.strictEqual(yield* flags, 4)
            assert.strictEqual(calls.length, 4)
          })
        )
      }
    )

    it.scoped("input - the Exit of the run before", () => {
      const inputs: Array<Exit.Exit<unknown, unknown>> = []
      const { lookup } = numbered((call) => (call === 2 ? Effect.fail("down") : Effect.succeed(call)))
      const schedule = Schedule.spaced("10 seconds").pipe(
        Schedule.tapInput((exit: Exit.Exit<unknown, unknown>) => Effect.sync(() => inputs.push(exit)))
      )
      return on(
        Effect.gen(function* () {
          yield* Effect.asVoid(Cached.bg(lookup(), { key: "k", schedule, ttl: "1 hour", onError: () => Effect.void }))
          yield* until(() => inputs.length === 1, "the first run ended")
          yield* TestClock.adjust("10 seconds")
          yield* until(() => inputs.length === 2, "the second run ended")
          deepStrictEqual(inputs, [Exit.succeed(1), Exit.fail("down")])
        })
      )
    })

    it.scoped("a fresh value in the store - is kept, and the schedule starts now", () => {
      const { lookup, calls } = counting()
      return on(
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const options = { key: "k", schedule: Schedule.spaced("10 seconds"), ttl: "1 hour" } as const
          const before = yield* Scope.extend(Cached.bg(lookup(), options), scope)
          yield* becomes(before.peek, Option.some(1))
          yield* Scope.close(scope, Exit.void)
          const flags = yield* Cached.bg(lookup(), options)
          yield* TestClock.adjust(9_999)
          assert.strictEqual(calls.length, 1)
          yield* TestClock.adjust(1)
          yield* becomes(flags.peek, Option.some(2))
        })
      )
    })
  })

  describe("other writes and loads of its key", () => {
    it.scoped("invalidate - the next read loads, and the schedule goes on", () => {
      const { lookup, calls } = counting()
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), every)
          yield* becomes(flags.peek, Option.some(1))
          yield* flags.invalidate
          assert.strictEqual(yield* flags, 2)
          yield* TestClock.adjust("60 seconds")
          yield* becomes(flags.peek, Option.some(3))
          assert.strictEqual(calls.length, 3)
        })
      )
    })

    it.scoped("set - during a run, it wins over the run", () => {
      const { lookup, calls } = lasting(() => 1_000)
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), every)
          yield* until(() => calls.length === 1, "the run began")
          yield* flags.set(100)
          yield* TestClock.adjust("1 second")
          assert.strictEqual(yield* flags, 100)
          deepStrictEqual(yield* flags.peek, Option.some(100))
        })
      )
    })

    it.scoped("an older load of another function - ends later and does not overwrite the run", () => {
      const door = gate()
      const { lookup, calls } = counting()
      const other = Cached.ttl(Effect.as(door.pass, -1), { key: "k", name: "other", ttl: "1 hour" })
      return on(
        Effect.gen(function* () {
          const older = yield* Effect.fork(other)
          yield* door.reached
          const flags = yield* Cached.bg(lookup(), every)
          yield* until(() => calls.length === 1, "a run of its own")
          yield* becomes(flags.peek, Option.some(1))
          yield* door.open
          assert.strictEqual(yield* Fiber.join(older), -1)
          deepStrictEqual(yield* flags.peek, Option.some(1))
        })
      )
    })

    it.scoped("an older load of a reader, no longer joinable - does not overwrite the run", () => {
      const door = gate()
      const { lookup, calls } = numbered((call) => (call === 1 ? Effect.as(door.pass, -1) : Effect.succeed(call)))
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), {
            ...every,
            runImmediately: false,
            flightTimeout: "10 minutes",
            // its tags are not known before it is loaded, so the invalidation of any tag ends joining
            tags: (value) => [`value-${value}`]
          })
          const older = yield* Effect.fork(flags)
          yield* door.reached
          yield* Cached.invalidateTags(["something else"])
          yield* TestClock.adjust("60 seconds")
          yield* until(() => calls.length === 2, "a run of its own")
          yield* becomes(flags.peek, Option.some(2))
          yield* door.open
          assert.strictEqual(yield* Fiber.join(older), -1)
          deepStrictEqual(yield* flags.peek, Option.some(2))
        })
      )
    })

    it.scoped("refresh - starts a load after the call, in place of the run", () => {
      const { lookup, calls } = lasting(() => 1_000)
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), every)
          yield* until(() => calls.length === 1, "the run began")
          const refreshed = yield* Effect.fork(flags.refresh)
          yield* until(() => calls.length === 2, "the forced load began")
          yield* TestClock.adjust("1 second")
          assert.strictEqual(yield* Fiber.join(refreshed), 2)
          deepStrictEqual(yield* flags.peek, Option.some(2))
        })
      )
    })
  })
})
