/**
 * The background loader of a function: a daemon for each key that is read.
 */
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it, layer } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Option, Schedule, Scope, TestClock } from "effect"
import { Cached, CacheStore, InvalidOption, MemoryCacheLive } from "effect-cached"
import {
  becomes,
  defectOf,
  gate,
  makeLookup,
  numbered,
  recordWarnings,
  settled,
  stats,
  until
} from "../laws/support.js"
import * as ManualClock from "../support/manualClock.js"
import { freshPrefix, RedisServer } from "../support/redis.js"
import { hybrid } from "../support/redis-nodes.js"
import { on } from "./support.js"

const every = { key: "flags:{}", interval: "1 minute" } as const

/** A loader that returns its argument and the number of its runs for that argument. */
const flagsOf = () => {
  const runs = new Map<string, number>()
  const load = (tenant: string) =>
    Effect.sync(() => {
      const run = (runs.get(tenant) ?? 0) + 1
      runs.set(tenant, run)
      return `${tenant}${run}`
    })
  return { load, runs: (tenant: string) => runs.get(tenant) ?? 0 }
}

/** Lets time pass in steps, so that daemons take each of their turns. */
const minutes = (n: number) => Effect.repeatN(Effect.zipRight(TestClock.adjust("1 minute"), settled), n - 1)

const problems = Effect.map(
  Effect.flatMap(CacheStore, (store) => store.health),
  ({ problems }) => problems.map(({ name, subject }) => [name, subject])
)

describe("Cached.bg, of a function", () => {
  describe("daemons", () => {
    it.scoped("start - with the first read of their arguments, which they do not load twice", () =>
      Effect.gen(function* () {
        const { load, runs } = flagsOf()
        const flags = yield* Cached.bg(load, every)
        yield* minutes(3)
        assert.strictEqual(runs("a"), 0)
        assert.strictEqual(yield* flags("a"), "a1")
        yield* settled
        deepStrictEqual([runs("a"), runs("b")], [1, 0])
        yield* minutes(1)
        yield* until(() => runs("a") === 2, "the daemon runs")
        assert.strictEqual(yield* flags("a"), "a2")
        assert.strictEqual(yield* flags("b"), "b1")
        yield* minutes(1)
        yield* until(() => runs("a") === 3 && runs("b") === 2, "each key has its daemon")
        const { loads, misses } = yield* stats
        deepStrictEqual([loads, misses], [5, 2])
      }).pipe(on)
    )

    it.scoped("a read - never waits after the first one, and gets the last value of the daemon", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = numbered((call, _: string) =>
          call === 1 ? Effect.succeed(1) : Effect.as(door.pass, call)
        )
        const flags = yield* Cached.bg(lookup, every)
        assert.strictEqual(yield* flags("a"), 1)
        yield* TestClock.adjust("1 minute")
        yield* door.reached
        assert.strictEqual(yield* flags("a"), 1)
        yield* door.open
        yield* becomes(flags("a"), 2)
        assert.lengthOf(calls, 2)
      }).pipe(on)
    )

    it.scoped("concurrent first reads - share one load and one daemon", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = makeLookup((tenant: string) => Effect.as(door.pass, tenant))
        const flags = yield* Cached.bg(lookup, every)
        const reads = yield* Effect.fork(Effect.all(Effect.replicate(flags("a"), 100), { concurrency: "unbounded" }))
        yield* door.reached
        yield* settled
        yield* door.open
        assert.lengthOf(yield* Fiber.join(reads), 100)
        yield* settled
        assert.lengthOf(calls, 1)
      }).pipe(on)
    )

    it.scoped("a value that is fresh in the store - is used, and loaded again when it is due", () =>
      Effect.gen(function* () {
        const { load, runs } = flagsOf()
        const flags = yield* Cached.bg(load, every)
        yield* flags.set("a")("stored")
        yield* TestClock.adjust("40 seconds")
        assert.strictEqual(yield* flags("a"), "stored")
        yield* settled
        yield* TestClock.adjust("19 seconds")
        yield* settled
        assert.strictEqual(runs("a"), 0)
        yield* TestClock.adjust("1 second")
        yield* until(() => runs("a") === 1, "the first run")
      }).pipe(on)
    )

    it.scoped("schedule - each key has a run of its own of it", () =>
      Effect.gen(function* () {
        const { load, runs } = flagsOf()
        const flags = yield* Cached.bg(load, {
          key: "flags:{}",
          schedule: Schedule.addDelay(Schedule.recurs(2), () => "1 minute"),
          ttl: "10 minutes"
        })
        yield* flags("a")
        yield* minutes(2)
        yield* flags("b")
        yield* minutes(4)
        deepStrictEqual([runs("a"), runs("b")], [3, 3])
      }).pipe(on)
    )

    it.scoped("two loaders of one key - one daemon keeps it for both, and the other takes over", () =>
      Effect.gen(function* () {
        const { load, runs } = flagsOf()
        const scope = yield* Scope.make()
        const first = yield* Scope.extend(Cached.bg(load, every), scope)
        const second = yield* Cached.bg(load, every)
        yield* first("a")
        yield* settled
        assert.strictEqual(yield* second("a"), "a1")
        yield* minutes(1)
        assert.strictEqual(runs("a"), 2)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* second("a"), "a2")
        yield* settled
        yield* minutes(1)
        yield* until(() => runs("a") === 3, "the daemon of the second one")
      }).pipe(on)
    )
  })

  describe("idleTimeToLive", () => {
    it.scoped("default - a daemon ends ten intervals after the last read, and not before", () =>
      Effect.gen(function* () {
        const { load, runs } = flagsOf()
        const flags = yield* Cached.bg(load, every)
        yield* flags("a")
        yield* minutes(5)
        yield* flags("a")
        yield* minutes(9)
        assert.strictEqual(runs("a"), 15)
        yield* minutes(3)
        // the last run and the end fall on the same moment
        assert.isAtMost(runs("a"), 16)
        const ended = runs("a")
        yield* minutes(20)
        assert.strictEqual(runs("a"), ended)
        // the next read loads, and starts another daemon
        assert.strictEqual(yield* flags("a"), `a${ended + 1}`)
        yield* settled
        yield* minutes(1)
        yield* until(() => runs("a") === ended + 2, "it runs again")
      }).pipe(on)
    )

    it.scoped("given - ends each daemon by the reads of its own key", () =>
      Effect.gen(function* () {
        const { load, runs } = flagsOf()
        const flags = yield* Cached.bg(load, { ...every, idleTimeToLive: "150 seconds" })
        yield* Effect.all([flags("a"), flags("b")])
        for (let i = 0; i < 5; i++) {
          yield* minutes(1)
          yield* flags("b")
        }
        deepStrictEqual([runs("a"), runs("b")], [3, 6])
      }).pipe(on)
    )

    it.scoped("with a schedule - ten times the ttl; Infinity never ends one", () =>
      Effect.gen(function* () {
        const { load, runs } = flagsOf()
        const schedule = Schedule.spaced("1 minute")
        const flags = yield* Cached.bg(load, { key: "f:{}", schedule, ttl: "2 minutes" })
        const forever = yield* Cached.bg(load, { key: "e:{}", interval: "1 minute", idleTimeToLive: Infinity })
        yield* Effect.all([flags("a"), forever("b")])
        yield* minutes(40)
        assert.isAtMost(runs("a"), 21)
        assert.isAtLeast(runs("a"), 20)
        assert.strictEqual(runs("b"), 41)
      }).pipe(on)
    )

    it.scoped("a daemon that ends - interrupts its run, and the store keeps nothing of it", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = numbered((call, _: string) =>
          call === 1 ? Effect.succeed(1) : Effect.as(door.pass, call)
        )
        const flags = yield* Cached.bg(lookup, { ...every, idleTimeToLive: "90 seconds" })
        yield* flags("a")
        yield* TestClock.adjust("1 minute")
        yield* door.reached
        yield* TestClock.adjust("30 seconds")
        yield* settled
        assert.strictEqual((yield* stats).inFlight, 0)
        yield* door.open
        yield* settled
        assert.lengthOf(calls, 2)
        // the static loader of that key may start now
        const other = yield* Cached.bg(Effect.succeed(7), { key: "flags:a", interval: "1 minute" })
        assert.strictEqual(yield* other, 7)
      }).pipe(on)
    )
  })

  describe("maxDaemons", () => {
    it.scoped("beyond it - reads behave as those of ttl, with one Warning and a problem that ends", () => {
      const { layer, lines } = recordWarnings()
      return Effect.gen(function* () {
        const { load, runs } = flagsOf()
        const flags = yield* Cached.bg(load, { ...every, maxDaemons: 2, idleTimeToLive: "5 minutes" })
        yield* Effect.all([flags("a"), flags("b"), flags("c"), flags("d")])
        yield* minutes(1)
        deepStrictEqual([runs("a"), runs("b"), runs("c"), runs("d")], [2, 2, 1, 1])
        // two intervals are the ttl
        assert.strictEqual(yield* flags("c"), "c1")
        yield* minutes(1)
        assert.strictEqual(yield* flags("c"), "c2")
        deepStrictEqual(yield* problems, [["TooManyDaemons", "flags:{}"]])
        assert.lengthOf(lines, 1)
        assert.include(lines[0], "maxDaemons")
        // the daemons of `a` and `b` end, and the next read of `c` starts one
        yield* minutes(4)
        deepStrictEqual(yield* problems, [])
        yield* flags("c")
        yield* settled
        const before = runs("c")
        yield* minutes(2)
        assert.strictEqual(runs("c"), before + 2)
      }).pipe(on, Effect.provide(layer))
    })

    it.scoped("keys that take turns - are one Warning, until no read was refused for a while", () => {
      const { layer, lines } = recordWarnings()
      return Effect.gen(function* () {
        const { load } = flagsOf()
        const flags = yield* Cached.bg(load, { ...every, maxDaemons: 2, idleTimeToLive: "5 minutes" })
        // each read finds two daemons, or the place of one that has just ended
        for (let turn = 0; turn < 10; turn++) {
          for (const tenant of ["a", "b", "c", "d"]) {
            yield* flags(`${tenant}${turn}`)
            yield* minutes(2)
          }
        }
        deepStrictEqual(yield* problems, [["TooManyDaemons", "flags:{}"]])
        assert.lengthOf(lines, 1)
        yield* minutes(10)
        deepStrictEqual(yield* problems, [])
      }).pipe(on, Effect.provide(layer))
    })

    it.scoped("default - 1 000", () => {
      // a TestClock looks at all daemons each time that it wakes one of them
      const clock = ManualClock.make()
      return Effect.gen(function* () {
        const { load, runs } = flagsOf()
        const flags = yield* Cached.bg(load, every)
        yield* Effect.forEach(
          Array.from({ length: 1_001 }, (_, i) => `${i}`),
          (tenant) => flags(tenant)
        )
        yield* settled
        clock.pass(60_000)
        yield* until(() => runs("999") === 2, "the last one runs")
        assert.strictEqual(runs("1000"), 1)
        deepStrictEqual(yield* problems, [["TooManyDaemons", "flags:{}"]])
      }).pipe(on, Effect.withClock(clock))
    })
  })

  describe("failures", () => {
    it.scoped("a failing run - keeps the last value of its key, and reaches onError with the arguments", () =>
      Effect.gen(function* () {
        const seen: Array<unknown> = []
        const { lookup } = numbered((call, tenant: string) =>
          tenant === "bad" && call > 2 ? Effect.fail("down" as const) : Effect.succeed(`${tenant}${call}`)
        )
        const flags = yield* Cached.bg(lookup, {
          ...every,
          onError: (cause, tenant) => Effect.sync(() => seen.push([Cause.squash(cause), tenant]))
        })
        deepStrictEqual(yield* Effect.all([flags("bad"), flags("good")]), ["bad1", "good2"])
        yield* minutes(1)
        yield* until(() => seen.length === 1, "onError runs")
        assert.strictEqual(yield* flags("bad"), "bad1")
        assert.match(yield* flags("good"), /good[34]/)
        deepStrictEqual(seen, [["down", "bad"]])
        // after the end of the last value the failure reaches readers
        yield* minutes(1)
        assert.strictEqual(yield* Effect.flip(flags("bad")), "down")
      }).pipe(on)
    )

    it.scoped("the problem LoaderFailed - is over when the last failing key succeeds, or is idle", () =>
      Effect.gen(function* () {
        const failing = new Set(["a", "b", "c"])
        const flags = yield* Cached.bg(
          (tenant: string) => (failing.has(tenant) ? Effect.fail("down") : Effect.succeed(1)),
          {
            ...every,
            idleTimeToLive: "5 minutes",
            onError: () => Effect.void
          }
        )
        yield* Effect.forEach(["a", "b", "ok"], (tenant) => Effect.ignore(flags(tenant)))
        yield* minutes(1)
        deepStrictEqual(yield* problems, [["LoaderFailed", "flags:{}"]])
        failing.delete("a")
        yield* minutes(1)
        deepStrictEqual(yield* problems, [["LoaderFailed", "flags:{}"]])
        failing.delete("b")
        yield* minutes(1)
        deepStrictEqual(yield* problems, [])
        yield* Effect.ignore(flags("c"))
        yield* minutes(2)
        deepStrictEqual(yield* problems, [["LoaderFailed", "flags:{}"]])
        yield* minutes(4)
        deepStrictEqual(yield* problems, [])
      }).pipe(on)
    )
  })

  describe("end", () => {
    it.scoped("scope - its end ends all daemons; reads then load and start none", () =>
      Effect.gen(function* () {
        const { load, runs } = flagsOf()
        const scope = yield* Scope.make()
        const flags = yield* Scope.extend(Cached.bg(load, every), scope)
        yield* Effect.all([flags("a"), flags("b")])
        yield* settled
        yield* Scope.close(scope, Exit.void)
        yield* minutes(5)
        deepStrictEqual([runs("a"), runs("b")], [1, 1])
        assert.strictEqual(yield* flags("a"), "a2")
        yield* minutes(1)
        deepStrictEqual([runs("a"), yield* flags("a")], [2, "a2"])
      }).pipe(on)
    )

    it.scoped("store - its end ends all daemons", () =>
      Effect.gen(function* () {
        const { load, runs } = flagsOf()
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(MemoryCacheLive, scope)
        const flags = yield* Effect.provide(Cached.bg(load, every), context)
        yield* flags("a")
        yield* settled
        yield* Scope.close(scope, Exit.void)
        yield* minutes(5)
        assert.strictEqual(runs("a"), 1)
      })
    )

    it.effect("Layer.scoped - the daemons of a service run, and end with its Layer", () => {
      class Flags extends Context.Tag("test/Flags")<Flags, Cached.CachedFunction<[tenant: string], string>>() {}
      const { load, runs } = flagsOf()
      const live = Layer.scoped(Flags, Cached.bg(load, every)).pipe(Layer.provide(MemoryCacheLive))
      return Effect.gen(function* () {
        yield* Effect.gen(function* () {
          const flags = yield* Flags
          yield* flags("a")
          yield* settled
          yield* minutes(2)
          assert.strictEqual(yield* flags("a"), "a3")
        }).pipe(Effect.provide(live))
        yield* minutes(2)
        assert.strictEqual(runs("a"), 3)
      })
    })
  })

  describe("as a cached function", () => {
    it.scoped("members, tags and several arguments", () =>
      Effect.gen(function* () {
        const { calls, lookup } = numbered((call, tenant: string, id: number) =>
          Effect.succeed(`${tenant}${id}/${call}`)
        )
        const flags = yield* Cached.bg(lookup, {
          key: "f:{}:{}",
          interval: "1 hour",
          tags: (value, tenant, id) => [`${tenant}:${id}:${value.length}`]
        })
        assert.strictEqual(flags.key("a", 1), "f:a:1")
        assert.strictEqual(yield* flags("a", 1), "a1/1")
        deepStrictEqual(yield* flags.peek("a", 1), Option.some("a1/1"))
        yield* Cached.invalidateTags(["a:1:4"])
        assert.strictEqual(yield* flags("a", 1), "a1/2")
        assert.strictEqual(yield* flags.refresh("a", 1), "a1/3")
        yield* flags.invalidate("a", 1)
        assert.strictEqual(yield* flags("a", 1), "a1/4")
        yield* flags.clear
        assert.strictEqual(yield* flags("a", 1), "a1/5")
        assert.lengthOf(calls, 5)
      }).pipe(on)
    )

    it.scoped("services - those of the place where it was started, for reads and for daemons", () => {
      class Source extends Context.Tag("test/KeyedSource")<Source, { readonly value: number }>() {}
      return Effect.gen(function* () {
        const seen: Array<number> = []
        const flags = yield* Effect.provideService(
          Cached.bg((_: string) => Effect.map(Source, ({ value }) => seen.push(value)), every),
          Source,
          { value: 7 }
        )
        yield* Effect.provideService(flags("a"), Source, { value: 8 })
        yield* settled
        yield* minutes(1)
        deepStrictEqual(seen, [7, 7])
      }).pipe(on)
    })

    it.scoped("an interval of zero - every read runs the loader, and there is no daemon", () =>
      Effect.gen(function* () {
        const { load, runs } = flagsOf()
        const flags = yield* Cached.bg(load, { key: "f:{}", interval: 0 })
        yield* Effect.all([flags("a"), flags("a")])
        yield* minutes(5)
        assert.strictEqual(runs("a"), 2)
      }).pipe(on)
    )

    it.scoped("a store that caches nothing - the same", () =>
      Effect.gen(function* () {
        const { load, runs } = flagsOf()
        const flags = yield* Cached.bg(load, every)
        yield* Effect.all([flags("a"), flags("a")])
        yield* minutes(5)
        assert.strictEqual(runs("a"), 2)
      }).pipe(Effect.provide(CacheStore.layerNoop))
    )

    it.scoped("Cached.capture, a template that leaves something out, and a wide one - as in every policy", () =>
      Effect.gen(function* () {
        const { calls, lookup } = numbered((call, tenant: string, _note: string) => Effect.succeed(`${tenant}${call}`))
        const flags = yield* Cached.bg(lookup, { key: "f:{0}", ignore: [1], interval: "1 minute" })
        assert.strictEqual(yield* flags("a", "x"), "a1")
        assert.strictEqual(yield* flags("a", "y"), "a1")
        const captured = yield* Cached.capture(flags)
        assert.strictEqual(yield* captured("a", "z"), "a1")
        assert.lengthOf(calls, 1)
        const wide: string = "g:{0}"
        const leaky = yield* Cached.bg((a: string, b: string) => Effect.succeed(a + b), {
          key: wide,
          name: "leaky",
          interval: "1 minute"
        })
        assert.include(String(defectOf(yield* Effect.exit(leaky("a", "b")))), "argument 1 of leaky")
      }).pipe(on)
    )

    it.scoped("options - an invalid one is the defect InvalidOption", () =>
      Effect.gen(function* () {
        const { load } = flagsOf()
        for (const options of [
          { ...every, maxDaemons: 0 },
          { ...every, maxDaemons: 1.5 },
          { ...every, idleTimeToLive: 0 },
          { ...every, interval: -1 }
        ]) {
          assert.instanceOf(defectOf(yield* Effect.exit(Cached.bg(load, options))), InvalidOption)
        }
      }).pipe(on)
    )
  })

  layer(RedisServer.layer)("on Redis, with memory in front", (it) => {
    it.scoped("two processes - a value that one has loaded is used by the other, and kept by its daemon", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const [a, b] = [yield* hybrid({ l2: { prefix } }), yield* hybrid({ l2: { prefix } })]
        const { load, runs } = flagsOf()
        const inA = yield* a.run(Cached.bg(load, every))
        const inB = yield* b.run(Cached.bg(load, every))
        assert.strictEqual(yield* inA("a"), "a1")
        yield* becomes(inB.peek("a"), Option.some("a1"))
        assert.strictEqual(yield* inB("a"), "a1")
        yield* TestClock.adjust("1 minute")
        yield* until(() => runs("a") >= 2, "a daemon runs")
        yield* becomes(
          Effect.map(Effect.all([inA("a"), inB("a")]), ([one, two]) => one === two && one !== "a1"),
          true
        )
      })
    )
  })
})
