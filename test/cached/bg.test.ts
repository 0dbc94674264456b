// not chai's: it takes any two Effect values with unlike keys, such as Some and None, for equal
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Schedule,
  Scope,
  TestClock
} from "effect"
import { Cached, CacheStore, DuplicateLoader, MemoryCache, MemoryCacheLive } from "../../src/index.js"
import { becomes, counting, gate, makeLookup, numbered, recordWarnings, stats, until } from "../laws/support.js"

const on = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, MemoryCacheLive)

/** a loader that takes virtual time, and how many of its runs were under way at once */
const lasting = (millis: (call: number) => number) => {
  let running = 0
  let most = 0
  const counted = numbered((call) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        most = Math.max(most, ++running)
      }),
      () => Effect.as(Effect.sleep(millis(call)), call),
      () =>
        Effect.sync(() => {
          running--
        })
    )
  )
  return { ...counted, most: () => most }
}

const every = { key: "k", interval: "60 seconds" } as const

describe("Cached.bg", () => {
  describe("first run", () => {
    it.scoped("returns at once, though the loader never ends", () =>
      on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(Effect.never, every)
          assert.strictEqual(flags.key, "k")
        })
      )
    )

    it.scoped("begins at once, and its value is there for the first reader", () => {
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

    it.scoped("read before it ended - joins it", () => {
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

    it.scoped("read before the daemon had a turn - one load all the same, and the next one interval later", () => {
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

    it.scoped("read before the daemon had a turn, and interrupted - the run goes on with its load", () => {
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

    it.scoped("a reader that leaves - does not end a run", () => {
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

    it.scoped("failing - fails nobody's Layer: the next read loads", () => {
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

    it.scoped("failing again in a read - the reader gets the failure", () =>
      on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(Effect.fail("down" as const), { ...every, onError: () => Effect.void })
          const exit = yield* Effect.exit(flags)
          deepStrictEqual(exit, Exit.fail("down" as const))
        })
      )
    )
  })

  describe("interval", () => {
    it.scoped("first scheduled run - one interval after the first load ended, the others on that beat", () => {
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

    it.scoped("each run - replaces the value, and readers load nothing", () => {
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

    it.scoped("entry life - twice the interval, from the end of the run", () => {
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

    it.scoped("one failed run - leaves no gap; two end the value, and readers load", () => {
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

    it.scoped("slow loader - longer than its interval, neither overlaps nor piles up", () => {
      const { lookup, calls, most } = lasting((call) => (call <= 4 ? 25_000 : 1_000))
      return on(
        Effect.gen(function* () {
          yield* Effect.asVoid(Cached.bg(lookup(), { key: "k", interval: "10 seconds" }))
          for (let second = 0; second < 200; second++) yield* TestClock.adjust("1 second")
          assert.strictEqual(most(), 1)
          // four that take 25 s, then one every ten seconds: no run was saved up
          assert.isAtLeast(calls.length, 12)
          assert.isAtMost(calls.length, 14)
        })
      )
    })

    for (const options of [
      { interval: 0 },
      { interval: "-5 seconds" as never },
      { interval: Number.NaN },
      { interval: 0, ttl: "1 minute" },
      { interval: "1 minute", ttl: 0 },
      { interval: "1 minute", ttl: Duration.zero }
    ] as const) {
      it.scoped(`pass-through - ${JSON.stringify(options)}: every read loads, nothing runs behind or is stored`, () => {
        const { lookup, calls } = counting()
        return on(
          Effect.gen(function* () {
            const flags = yield* Cached.bg(lookup(), { key: "k", ...options })
            // no loader: no second one either
            yield* Effect.asVoid(Cached.bg(lookup(), { key: "k", ...options }))
            yield* TestClock.adjust("1 hour")
            assert.strictEqual(calls.length, 0)
            assert.strictEqual(yield* flags, 1)
            assert.strictEqual(yield* flags, 2)
            deepStrictEqual(yield* flags.peek, Option.none())
          })
        )
      })
    }

    it.scoped("part of a millisecond - rounds up", () => {
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

  describe("runImmediately", () => {
    it.scoped("fresh value held - is not loaded, and its remaining interval is kept", () => {
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

    it.scoped("value older than the interval held - the run begins at once, the value is served meanwhile", () => {
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

    it.scoped("another function's value held - is none", () => {
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

    it.scoped("false - nothing runs until a read or one interval", () => {
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

    it.scoped("false, and a read - loads", () => {
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

  describe("onError", () => {
    it.scoped("sees the Cause of each failure, defects included, with no Warning beside it", () => {
      const { lines, layer } = recordWarnings()
      const seen: Array<Cause.Cause<string>> = []
      const { lookup } = numbered((call) =>
        call === 1
          ? Effect.fail("one")
          : call === 2
            ? Effect.die("two")
            : call === 3
              ? Effect.succeed(3)
              : Effect.fail("four")
      )
      return Effect.gen(function* () {
        yield* Effect.asVoid(Cached.bg(lookup(), { ...every, onError: (cause) => Effect.sync(() => seen.push(cause)) }))
        yield* until(() => seen.length === 1, "the first failure")
        yield* TestClock.adjust("60 seconds")
        yield* until(() => seen.length === 2, "the second failure")
        yield* TestClock.adjust("60 seconds")
        yield* TestClock.adjust("60 seconds")
        yield* until(() => seen.length === 3, "the third failure")
        deepStrictEqual(seen, [Cause.fail("one"), Cause.die("two"), Cause.fail("four")])
        deepStrictEqual(lines, [])
      }).pipe(on, Effect.provide(layer))
    })

    for (const [what, onError] of [
      [
        "throws",
        (): Effect.Effect<never> => {
          throw new Error("in onError")
        }
      ],
      ["dies", () => Effect.die("in onError")],
      ["fails", () => Effect.fail("in onError")],
      ["interrupts itself", () => Effect.interrupt],
      ["never ends", () => Effect.never]
    ] as const) {
      it.scoped(`one that ${what} - breaks nothing: the value stays, the schedule goes on`, () => {
        const { lookup, calls } = numbered((call) => (call === 2 ? Effect.fail("down") : Effect.succeed(call)))
        return on(
          Effect.gen(function* () {
            const flags = yield* Cached.bg(lookup(), { ...every, onError })
            yield* becomes(flags.peek, Option.some(1))
            yield* TestClock.adjust("60 seconds")
            yield* until(() => calls.length === 2, "a run failed")
            assert.strictEqual(yield* flags, 1)
            yield* TestClock.adjust("60 seconds")
            yield* becomes(flags.peek, Option.some(3))
            assert.strictEqual(yield* flags, 3)
          })
        )
      })
    }

    it.scoped("one that never ends - is itself ended, and does not keep the scope from closing", () => {
      let ended = 0
      const { lookup } = numbered(() => Effect.fail("down"))
      return on(
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const hanging = Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended++))
          let began = 0
          const onError = () =>
            Effect.zipRight(
              Effect.sync(() => began++),
              hanging
            )
          yield* Effect.asVoid(Scope.extend(Cached.bg(lookup(), { ...every, onError }), scope))
          yield* until(() => began === 1, "onError began")
          yield* Scope.close(scope, Exit.void)
          assert.strictEqual(ended, 1)
        })
      )
    })

    it.scoped("none - a Warning with the key", () => {
      const { lines, layer } = recordWarnings()
      return Effect.gen(function* () {
        yield* Effect.asVoid(Cached.bg(Effect.fail("down"), every))
        yield* until(() => lines.length === 1, "the Warning")
        assert.include(lines[0], '"k"')
      }).pipe(on, Effect.provide(layer))
    })

    it.scoped("services it needs - are those of where the loader was started", () => {
      class Reporter extends Context.Tag("test/Reporter")<Reporter, { readonly seen: Array<unknown> }>() {}
      const seen: Array<unknown> = []
      return on(
        Effect.gen(function* () {
          yield* Effect.asVoid(
            Cached.bg(Effect.fail("down"), {
              ...every,
              onError: (cause) => Effect.map(Reporter, (reporter) => reporter.seen.push(Cause.squash(cause)))
            })
          )
          yield* until(() => seen.length === 1, "the report")
          deepStrictEqual(seen, ["down"])
        }).pipe(Effect.provideService(Reporter, { seen }))
      )
    })
  })

  describe("flightTimeout", () => {
    const hangsAt = (which: number) => numbered((call) => (call === which ? Effect.never : Effect.succeed(call)))

    for (const [interval, timeout] of [
      [60_000, 120_000],
      [5_000, 30_000]
    ] as const) {
      it.scoped(
        `interval ${interval} - a hanging run is ended after ${timeout}, reported, and the schedule goes on`,
        () => {
          const seen: Array<Cause.Cause<never>> = []
          const { lookup, calls } = hangsAt(2)
          return on(
            Effect.gen(function* () {
              const flags = yield* Cached.bg(lookup(), {
                key: "k",
                interval,
                onError: (cause) => Effect.sync(() => seen.push(cause))
              })
              yield* becomes(flags.peek, Option.some(1))
              yield* TestClock.setTime(interval)
              yield* until(() => calls.length === 2, "a run hangs")
              yield* TestClock.setTime(interval + timeout - 1)
              assert.lengthOf(seen, 0)
              yield* TestClock.setTime(interval + timeout)
              yield* until(() => seen.length === 1, "it is reported")
              assert.isTrue(Cause.isDie(seen[0]!))
              assert.strictEqual((yield* stats).refreshFailures, 1)
              yield* TestClock.adjust(interval)
              yield* becomes(
                Effect.map(
                  flags.peek,
                  Option.exists((run) => run > 2)
                ),
                true
              )
            })
          )
        }
      )
    }

    it.scoped("given - counts", () => {
      let failures = 0
      const { lookup, calls } = hangsAt(2)
      return on(
        Effect.gen(function* () {
          const onError = () => Effect.sync(() => failures++)
          const flags = yield* Cached.bg(lookup(), { ...every, flightTimeout: "2 seconds", onError })
          yield* becomes(flags.peek, Option.some(1))
          yield* TestClock.setTime(60_000)
          yield* until(() => calls.length === 2, "a run hangs")
          yield* TestClock.setTime(61_999)
          assert.strictEqual(failures, 0)
          yield* TestClock.setTime(62_000)
          yield* until(() => failures === 1, "it is reported")
        })
      )
    })

    it.scoped("first run hanging - a reader who joined it reads again", () => {
      const { lookup, calls } = hangsAt(1)
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), { ...every, onError: () => Effect.void })
          yield* until(() => calls.length === 1, "the first run hangs")
          const reader = yield* Effect.fork(flags)
          yield* becomes(
            Effect.map(stats, (all) => all.coalesced),
            1
          )
          yield* TestClock.setTime(120_000)
          assert.strictEqual(yield* Fiber.join(reader), 2)
        })
      )
    })

    it.scoped(
      "a reader's load that the first run joined hangs - the run fails, is reported, and the schedule goes on",
      () => {
        let failures = 0
        const { lookup, calls } = hangsAt(1)
        return on(
          Effect.gen(function* () {
            const onError = () => Effect.sync(() => failures++)
            // read before the daemon had its first turn: the load is the reader's
            yield* Effect.fork(Effect.flatten(Cached.bg(lookup(), { ...every, onError })))
            yield* until(() => calls.length === 1, "a load hangs")
            assert.strictEqual((yield* stats).refreshes, 0)
            yield* TestClock.setTime(120_000)
            yield* until(() => failures === 1, "the run is reported")
            yield* TestClock.setTime(180_000)
            yield* until(() => calls.length === 2, "the next run")
          })
        )
      }
    )

    it.scoped("a run that takes time to end - the next one waits for that: runs never overlap", () => {
      let running = 0
      let most = 0
      const { lookup, calls } = numbered((call) =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            most = Math.max(most, ++running)
          }),
          () => (call === 2 ? Effect.never : Effect.succeed(call)),
          () =>
            Effect.zipRight(
              Effect.sleep(call === 2 ? "8 seconds" : 0),
              Effect.sync(() => running--)
            )
        )
      )
      return on(
        Effect.gen(function* () {
          yield* Effect.asVoid(Cached.bg(lookup(), { key: "k", interval: "5 seconds", onError: () => Effect.void }))
          for (let second = 0; second < 60; second++) yield* TestClock.adjust("1 second")
          assert.isAtLeast(calls.length, 3)
          assert.strictEqual(most, 1)
        })
      )
    })
  })

  describe("schedule", () => {
    it.scoped("any Schedule, with a ttl of its own - drives the runs", () => {
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

    it.scoped("one that ends - ends the runs; the last value lives on to its end, then readers load", () => {
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
    })

    it.scoped("its input - is the Exit of the run before it", () => {
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

    it.scoped("fresh value held - is kept, and the schedule counts from now", () => {
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

  describe("DuplicateLoader", () => {
    it.scoped("second loader on a key - fails with key and store, runs nothing; the first goes on", () => {
      const first = counting()
      const second = counting()
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(first.lookup(), every)
          const error = yield* Effect.flip(Cached.bg(second.lookup(), { ...every, interval: "1 second" }))
          assert.instanceOf(error, DuplicateLoader)
          deepStrictEqual([error.key, error.store], ["k", "memory"])
          yield* TestClock.adjust("60 seconds")
          yield* becomes(flags.peek, Option.some(2))
          assert.strictEqual(second.calls.length, 0)
        })
      )
    })

    it.scoped("ten at once - one starts, nine fail", () => {
      const { lookup, calls } = counting()
      return on(
        Effect.gen(function* () {
          const started = yield* Effect.all(
            Array.from({ length: 10 }, () => Effect.either(Cached.bg(lookup(), every))),
            { concurrency: "unbounded" }
          )
          assert.lengthOf(
            started.filter((each) => each._tag === "Right"),
            1
          )
          yield* until(() => calls.length === 1, "one run")
        })
      )
    })

    it.scoped("after the first one's scope closed - the key is free", () => {
      const { lookup } = counting()
      return on(
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const before = yield* Scope.extend(Cached.bg(lookup(), every), scope)
          yield* becomes(before.peek, Option.some(1))
          yield* Scope.close(scope, Exit.void)
          yield* Effect.asVoid(Cached.bg(lookup(), every))
        })
      )
    })

    it.scoped("a failed second construction - does not free the first one's key", () => {
      const { lookup } = counting()
      return on(
        Effect.gen(function* () {
          yield* Effect.asVoid(Cached.bg(lookup(), every))
          yield* Effect.flip(Effect.scoped(Cached.bg(lookup(), every)))
          yield* Effect.flip(Effect.scoped(Cached.bg(lookup(), every)))
        })
      )
    })

    it.scoped("other keys, versions and stores - do not clash", () => {
      class Other extends CacheStore.Tag("test/Other")<Other>() {}
      const { lookup } = counting()
      return Effect.gen(function* () {
        yield* Effect.asVoid(Cached.bg(lookup(), every))
        yield* Effect.asVoid(Cached.bg(lookup(), { ...every, key: "j" }))
        yield* Effect.asVoid(Cached.bg(lookup(), { ...every, version: 2 }))
        yield* Effect.asVoid(Cached.bg(lookup(), { ...every, store: Other }))
      }).pipe(Effect.provide(Layer.merge(MemoryCacheLive, Layer.scoped(Other, MemoryCache.make()))))
    })
  })

  describe("what others do with its key", () => {
    it.scoped("invalidate - the next read loads, the schedule goes on", () => {
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

    it.scoped("set during a run - wins over the run", () => {
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

    it.scoped("another function's older load on the key - lands later and does not write over the run", () => {
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

    it.scoped("a reader's older load that nobody may join any more - does not write over the run", () => {
      const door = gate()
      const { lookup, calls } = numbered((call) => (call === 1 ? Effect.as(door.pass, -1) : Effect.succeed(call)))
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), {
            ...every,
            runImmediately: false,
            flightTimeout: "10 minutes",
            // not known before it is loaded: after a tag's invalidation nobody joins it
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

    it.scoped("refresh - a load begun after the call, in place of the run", () => {
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

  describe("scopes", () => {
    it.scoped("the caller's closing - ends the daemon; its value lives on and is read", () => {
      const { lookup, calls } = counting()
      return on(
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const flags = yield* Scope.extend(Cached.bg(lookup(), every), scope)
          yield* becomes(flags.peek, Option.some(1))
          yield* Scope.close(scope, Exit.void)
          yield* TestClock.adjust(119_999)
          assert.strictEqual(calls.length, 1)
          assert.strictEqual(yield* flags, 1)
          yield* TestClock.adjust(1)
          assert.strictEqual(yield* flags, 2)
        })
      )
    })

    it.scoped("the caller's closing during a run - the run is interrupted, readers who joined it read again", () => {
      const ended = Effect.runSync(Deferred.make<void>())
      const { lookup, calls } = numbered((call) =>
        call === 1 ? Effect.onInterrupt(Effect.never, () => Deferred.succeed(ended, undefined)) : Effect.succeed(call)
      )
      return on(
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const flags = yield* Scope.extend(Cached.bg(lookup(), every), scope)
          yield* until(() => calls.length === 1, "the run began")
          const readers = yield* Effect.forkAll([flags, flags, flags])
          yield* becomes(
            Effect.map(stats, (all) => all.coalesced),
            3
          )
          yield* Scope.close(scope, Exit.void)
          yield* Deferred.await(ended)
          deepStrictEqual(yield* Fiber.join(readers), [2, 2, 2])
          assert.strictEqual(calls.length, 2)
          assert.strictEqual((yield* stats).inFlight, 0)
        })
      )
    })

    it.scoped("the caller's closing during a reader's load that the run joined - the reader keeps it", () => {
      const { lookup, calls } = lasting(() => 1_000)
      return on(
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const flags = yield* Scope.extend(Cached.bg(lookup(), { ...every, runImmediately: false }), scope)
          yield* TestClock.setTime(59_500)
          const reader = yield* Effect.fork(flags)
          yield* until(() => calls.length === 1, "the reader's load began")
          yield* TestClock.setTime(60_000)
          yield* Scope.close(scope, Exit.void)
          yield* TestClock.setTime(60_500)
          assert.strictEqual(yield* Fiber.join(reader), 1)
          assert.strictEqual(calls.length, 1)
        })
      )
    })

    it.scoped("the store's closing - ends the daemon, and a run under way; reads are interrupted", () => {
      const ended = Effect.runSync(Deferred.make<void>())
      const { lookup, calls } = numbered((call) =>
        call === 1 ? Effect.succeed(1) : Effect.onInterrupt(Effect.never, () => Deferred.succeed(ended, undefined))
      )
      return Effect.gen(function* () {
        const storeScope = yield* Scope.make()
        const store = yield* Scope.extend(MemoryCache.make(), storeScope)
        const flags = yield* Effect.provideService(Cached.bg(lookup(), every), CacheStore, store)
        yield* becomes(flags.peek, Option.some(1))
        yield* TestClock.adjust("60 seconds")
        yield* until(() => calls.length === 2, "a run began")
        yield* Scope.close(storeScope, Exit.void)
        yield* Deferred.await(ended)
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(calls.length, 2)
        assert.isTrue(Exit.isInterrupted(yield* Effect.exit(flags)))
      })
    })

    it.scoped(
      "Layer.scoped behind a tag of one's own - the reader needs nothing, the loader's services are captured",
      () => {
        class Db extends Context.Tag("test/Db")<Db, { readonly flags: () => number }>() {}
        class Flags extends Context.Tag("test/Flags")<Flags, Cached.CachedEffect<number>>() {}
        let flags = 0
        const live: Layer.Layer<Flags, DuplicateLoader, Db | CacheStore> = Layer.scoped(
          Flags,
          Cached.bg(
            Effect.map(Db, (db) => db.flags()),
            every
          )
        )
        const program = Effect.gen(function* () {
          const reader = yield* Flags
          const read: Effect.Effect<number> = reader
          yield* becomes(reader.peek, Option.some(1))
          yield* TestClock.adjust("60 seconds")
          yield* becomes(read, 2)
        })
        return program.pipe(
          Effect.provide(live),
          Effect.provideService(Db, { flags: () => ++flags }),
          Effect.provide(MemoryCacheLive)
        )
      }
    )

    it.scoped("a loader that needs a Scope - has one per run, closed when the run ends", () => {
      let open = 0
      const { lookup, calls } = makeLookup(() =>
        Effect.acquireRelease(
          Effect.sync(() => ++open),
          () => Effect.sync(() => open--)
        )
      )
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), every)
          yield* becomes(flags.peek, Option.some(1))
          assert.strictEqual(open, 0)
          yield* TestClock.adjust("60 seconds")
          yield* until(() => calls.length === 2, "the second run")
          yield* becomes(
            Effect.sync(() => open),
            0
          )
        })
      )
    })

    it.scoped("CacheStore.layerNoop - caching switched off: every read loads, nothing runs behind", () => {
      const { lookup, calls } = counting()
      return Effect.gen(function* () {
        const flags = yield* Cached.bg(lookup(), every)
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(calls.length, 0)
        assert.strictEqual(yield* flags, 1)
        assert.strictEqual(yield* flags, 2)
      }).pipe(Effect.provide(CacheStore.layerNoop))
    })
  })
})
