// not chai's, which counts any two Effect values with different keys, such as Some and None, as equal
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Context,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Metric,
  MetricLabel,
  Option,
  Scope,
  Stream,
  TestClock
} from "effect"
import {
  Backend,
  Cached,
  CacheError,
  type CacheEvent,
  CacheStore,
  type Entry,
  MemoryCache,
  MemoryCacheLive
} from "../../src/index.js"
import { becomes, counting, gate, numbered, recordWarnings, stats, until } from "../laws/support.js"

const minute = { ttl: "1 minute" } as const

const on = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, MemoryCacheLive)

const defectOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) && Cause.isDieType(exit.cause) ? exit.cause.defect : assert.fail(`no defect: ${exit}`)

/** Records every event from now on. */
const recordEvents = Effect.gen(function* () {
  const store = yield* CacheStore
  const events: Array<CacheEvent.CacheEvent> = []
  yield* Effect.forkScoped(Stream.runForEach(store.events, (event) => Effect.sync(() => events.push(event))))
  // the listener is subscribed once it has received an event
  let probe = 0
  while (events.length === 0) {
    yield* store.set(`probe ${probe}`, 0, minute)
    yield* store.remove(`probe ${probe++}`)
    yield* Effect.yieldNow()
  }
  for (let i = 0; i < 10; i++) yield* Effect.yieldNow()
  events.length = 0
  return {
    events,
    of: <T extends CacheEvent.CacheEvent["_tag"]>(tag: T) =>
      events.filter((event): event is Extract<CacheEvent.CacheEvent, { _tag: T }> => event._tag === tag)
  }
})

describe("CacheStore", () => {
  describe("get, set, has, remove", () => {
    it.effect("set - get, getMany and has return it; an absent key is none", () =>
      on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.set("a", 1, minute)
          yield* store.set("b", undefined, minute)
          deepStrictEqual(yield* store.get("a"), Option.some(1))
          deepStrictEqual(yield* store.get("b"), Option.some(undefined))
          deepStrictEqual(yield* store.get("c"), Option.none())
          deepStrictEqual(yield* store.getMany(["c", "b", "a", "a"]), [
            Option.none(),
            Option.some(undefined),
            Option.some(1),
            Option.some(1)
          ])
          deepStrictEqual(yield* store.getMany([]), [])
          assert.isTrue(yield* store.has("b"))
          assert.isFalse(yield* store.has("c"))
        })
      )
    )

    it.effect("setMany, removeMany - apply to every key of any Iterable", () =>
      on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.setMany(new Map<string, number>(Object.entries({ a: 1, b: 2, c: 3 })), minute)
          deepStrictEqual(yield* store.getMany(new Set(["a", "b", "c"])), [1, 2, 3].map(Option.some))
          yield* store.removeMany(new Set(["a", "c", "never there"]))
          deepStrictEqual(yield* Effect.forEach(["a", "b", "c"], (key) => store.has(key)), [false, true, false])
          yield* store.setMany(
            [
              ["d", 1],
              ["d", 2]
            ],
            minute
          )
          deepStrictEqual(yield* store.get("d"), Option.some(2))
        })
      )
    )

    for (const ttl of [0, -1, Number.NaN, "0 seconds", Duration.zero] as const) {
      it.effect(`ttl of ${String(ttl)} - is the defect InvalidOption, and nothing is written or removed`, () =>
        on(
          Effect.gen(function* () {
            const store = yield* CacheStore
            yield* store.set("k", "before", minute)
            for (const write of [
              store.set("k", "after", { ttl }),
              store.setMany([["k", "after"]], { ttl }),
              store.setIfAbsent("k", "after", { ttl }),
              store.setIfAbsent("j", "after", { ttl })
            ]) {
              const defect = defectOf(yield* Effect.exit(write as Effect.Effect<unknown, unknown>))
              assert.instanceOf(defect, CacheError.InvalidOption)
              assert.strictEqual(defect.option, "ttl")
            }
            deepStrictEqual(yield* store.get("k"), Option.some("before"))
            assert.isFalse(yield* store.has("j"))
          })
        )
      )
    }

    it.effect("verbs - one effect may run several times", () =>
      on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          const set = store.set("k", 1, { ttl: "10 seconds" })
          yield* set
          yield* TestClock.adjust("9 seconds")
          yield* set
          yield* TestClock.adjust("9 seconds")
          assert.isTrue(yield* store.has("k"))
        })
      )
    )

    it.effect("reads - are not counted in the statistics", () =>
      on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.set("k", 1, minute)
          yield* store.get("k")
          yield* store.get("j")
          yield* store.has("k")
          const { caches, hitRate, hits, misses } = yield* stats
          deepStrictEqual([hits, misses, hitRate, caches], [0, 0, 0, {}])
        })
      )
    )
  })

  describe("setIfAbsent", () => {
    it.effect("absent, expired, removed, cleared or invalidated by tag - writes; fresh or stale - does not", () =>
      on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          const lifetime = { ttl: "10 seconds", stale: "5 seconds", tags: ["t"] } as const
          assert.isTrue(yield* store.setIfAbsent("k", 1, lifetime))
          assert.isFalse(yield* store.setIfAbsent("k", 2, lifetime))
          yield* TestClock.adjust("10 seconds")
          assert.isFalse(yield* store.setIfAbsent("k", 3, lifetime))
          yield* TestClock.adjust(4_999)
          assert.isFalse(yield* store.setIfAbsent("k", 4, lifetime))
          deepStrictEqual(yield* store.get("k"), Option.some(1))
          yield* TestClock.adjust(1)
          assert.isTrue(yield* store.setIfAbsent("k", 5, lifetime))
          yield* store.remove("k")
          assert.isTrue(yield* store.setIfAbsent("k", 6, lifetime))
          yield* store.tags.invalidate(["t"])
          assert.isTrue(yield* store.setIfAbsent("k", 7, lifetime))
          assert.isFalse(yield* store.setIfAbsent("k", 8, lifetime))
          yield* store.clear
          assert.isTrue(yield* store.setIfAbsent("k", 9, lifetime))
          deepStrictEqual(yield* store.get("k"), Option.some(9))
        })
      )
    )

    it.effect("100 at once - exactly one writes", () =>
      on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          const wrote = yield* Effect.all(
            Array.from({ length: 100 }, (_, i) => store.setIfAbsent("k", i, minute)),
            { concurrency: "unbounded" }
          )
          const winners = wrote.flatMap((each, i) => (each ? [i] : []))
          assert.lengthOf(winners, 1)
          deepStrictEqual(yield* store.get("k"), Option.some(winners[0]))
        })
      )
    )

    it.effect("written while a load runs - wins over the load", () => {
      const door = gate()
      const cached = Cached.ttl(Effect.as(door.pass, "loaded"), { key: "k", ...minute })
      return on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          const reader = yield* Effect.fork(cached)
          yield* door.reached
          assert.isTrue(yield* store.setIfAbsent("k", "claimed", minute))
          yield* door.open
          assert.strictEqual(yield* Fiber.join(reader), "loaded")
          deepStrictEqual(yield* store.get("k"), Option.some("claimed"))
        })
      )
    })

    it.effect("not written over an entry - leaves a running load alone", () => {
      const door = gate()
      const { lookup } = numbered((call) => (call === 1 ? Effect.succeed(1) : Effect.as(door.pass, call)))
      const cached = Cached.ttl(lookup(), { key: "k", ...minute })
      return on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* cached
          const refreshing = yield* Effect.fork(cached.refresh)
          yield* door.reached
          assert.isFalse(yield* store.setIfAbsent("k", "claimed", minute))
          yield* door.open
          yield* Fiber.join(refreshing)
          deepStrictEqual(yield* store.get("k"), Option.some(2))
        })
      )
    })
  })

  describe("Tag", () => {
    class Sessions extends CacheStore.Tag("test/Sessions")<Sessions>() {}
    const both = Layer.merge(MemoryCacheLive, Layer.scoped(Sessions, MemoryCache.make({ name: "sessions" })))

    it.effect("functions that name a store - are stored there and nowhere else", () => {
      const { lookup } = counting()
      const options = { key: "k", name: "n", tags: ["t"], ...minute } as const
      const here = Cached.ttl(lookup(), options)
      const there = Cached.ttl(lookup(), { ...options, store: Sessions })
      return Effect.gen(function* () {
        const sessions = yield* Sessions
        const store = yield* CacheStore
        deepStrictEqual([yield* here, yield* there, yield* here, yield* there], [1, 2, 1, 2])
        deepStrictEqual(yield* sessions.get("k"), Option.some(2))
        yield* Cached.invalidateTags(["t"])
        deepStrictEqual([yield* here.peek, yield* there.peek], [Option.none(), Option.some(2)])
        yield* Cached.invalidateTags(["t"], { store: Sessions })
        deepStrictEqual(yield* there.peek, Option.none())
        yield* there
        yield* here
        yield* store.clear
        deepStrictEqual([yield* here.peek, yield* there.peek], [Option.none(), Option.some(3)])
        assert.strictEqual((yield* sessions.stats).loads, 2)
        assert.strictEqual((yield* sessions.health).store, "sessions")
      }).pipe(Effect.provide(both))
    })

    it.effect("a store that is not provided - is a defect that names it", () => {
      const cached = Cached.ttl(Effect.succeed(1), { key: "k", store: Sessions, ...minute })
      return Effect.gen(function* () {
        const exit = yield* Effect.exit(cached as unknown as Effect.Effect<number>)
        assert.include(String(defectOf(exit)), "test/Sessions")
      })
    })
  })

  describe("one function on two stores", () => {
    it.effect("each store - counts only its own reads and loads", () => {
      const door = gate()
      const { lookup } = numbered((call) =>
        call === 1 ? Effect.zipRight(door.pass, Effect.fail("down")) : Effect.succeed(call)
      )
      const cached = Cached.ttl(lookup(), { key: "k", ...minute })
      return Effect.scoped(
        Effect.gen(function* () {
          const one = yield* MemoryCache.make({ name: "one" })
          const two = yield* MemoryCache.make({ name: "two" })
          const reader = yield* Effect.fork(Effect.provideService(Effect.exit(cached), CacheStore, one))
          yield* door.reached
          assert.strictEqual(yield* Effect.provideService(cached, CacheStore, two), 2)
          yield* door.open
          yield* Fiber.join(reader)
          const [first, second] = yield* Effect.all([one.stats, two.stats])
          deepStrictEqual([first.misses, first.loads, first.loadFailures], [1, 1, 1])
          deepStrictEqual([second.misses, second.loads, second.loadFailures], [1, 1, 0])
        })
      )
    })

    it.effect("the same key in both - each store has its own entry", () => {
      const { lookup } = counting()
      const cached = Cached.ttl(lookup(), { key: "k", ...minute })
      return Effect.scoped(
        Effect.gen(function* () {
          const one = yield* MemoryCache.make({ capacity: 2 })
          const two = yield* MemoryCache.make({ capacity: 2 })
          const at = (store: CacheStore.Service) => Effect.provideService(cached, CacheStore, store)
          deepStrictEqual([yield* at(one), yield* at(two), yield* at(one), yield* at(two)], [1, 2, 1, 2])
          yield* one.remove("k")
          deepStrictEqual([yield* at(two), yield* at(one)], [2, 3])
        })
      )
    })
  })

  describe("layerNoop", () => {
    it.effect("reads - load each time; nothing is stored, joined or counted; verbs work", () => {
      const { lookup, calls } = counting()
      const cached = Cached.swr(lookup(), { key: "k", ttl: "1 minute", stale: "1 minute" })
      return Effect.gen(function* () {
        const store = yield* CacheStore
        deepStrictEqual(yield* Effect.all([cached, cached, cached.refresh, Cached.reload(cached)]), [1, 2, 3, 4])
        yield* cached.set(9)
        deepStrictEqual([yield* cached.peek, yield* cached.entry], [Option.none(), Option.none()])
        yield* cached.invalidate
        yield* store.set("k", 1, minute)
        assert.isTrue(yield* store.setIfAbsent("k", 1, minute))
        assert.isTrue(yield* store.setIfAbsent("k", 1, minute))
        deepStrictEqual(yield* store.getMany(["k", "j"]), [Option.none(), Option.none()])
        assert.isFalse(yield* store.has("k"))
        yield* store.remove("k")
        yield* store.clear
        yield* Cached.invalidateTags(["t"])
        assert.strictEqual((yield* store.health).status, "up")
        assert.strictEqual(calls.length, 4)
      }).pipe(Effect.provide(CacheStore.layerNoop))
    })

    it.effect("two reads at once - each runs its own load", () => {
      const door = gate()
      const { lookup, calls } = numbered((call) => Effect.as(door.pass, call))
      const cached = Cached.ttl(lookup(), { key: "k", ...minute })
      return Effect.gen(function* () {
        const readers = yield* Effect.forkAll([cached, cached])
        yield* until(() => calls.length === 2, "two loads")
        yield* door.open
        assert.sameMembers(yield* Fiber.join(readers), [1, 2])
      }).pipe(Effect.provide(CacheStore.layerNoop))
    })
  })

  describe("stats", () => {
    it.effect("totals and counts per function - hitRate is the share among all reads", () => {
      const door = gate()
      const a = numbered((call) => (call === 1 ? Effect.as(door.pass, call) : Effect.fail("down")))
      const first = Cached.swr(a.lookup(), { key: "a", ttl: "10 seconds", stale: "1 hour" })
      const second = Cached.ttl((id: number) => Effect.succeed(id), { key: "b:{}", name: "bees", ...minute })
      return on(
        Effect.gen(function* () {
          const herd = yield* Effect.forkAll([first, first, first])
          yield* becomes(
            Effect.map(stats, (all) => all.inFlight),
            1
          )
          yield* door.open
          yield* Fiber.join(herd)
          yield* first
          yield* second(1)
          yield* second(2)
          yield* second(1)
          yield* TestClock.adjust("10 seconds")
          yield* first
          yield* becomes(
            Effect.map(stats, (all) => all.refreshFailures),
            1
          )
          const all = yield* stats
          deepStrictEqual(Object.keys(all.caches), ["a", "bees"])
          assert.deepInclude(all.caches.a, {
            reads: 5,
            hitRate: 2 / 5,
            hits: 1,
            staleHits: 1,
            misses: 3,
            coalesced: 2,
            loads: 2,
            loadFailures: 1,
            failures: { fail: 1, die: 0, interrupt: 0, timeout: 0 },
            refreshes: 1,
            refreshFailures: 1,
            sets: 1,
            removals: 0
          })
          assert.deepInclude(all.caches.bees, {
            reads: 3,
            hitRate: 1 / 3,
            hits: 1,
            staleHits: 0,
            misses: 2,
            coalesced: 0,
            loads: 2,
            loadFailures: 0,
            failures: { fail: 0, die: 0, interrupt: 0, timeout: 0 },
            refreshes: 0,
            refreshFailures: 0,
            sets: 2,
            removals: 0
          })
          deepStrictEqual(
            [all.hits, all.staleHits, all.misses, all.coalesced, all.loads, all.loadFailures],
            [2, 1, 5, 2, 4, 1]
          )
          assert.strictEqual(all.hitRate, 3 / 8)
          deepStrictEqual(all.entries, Option.some(3))
          assert.strictEqual(all.inFlight, 0)
          deepStrictEqual(all.evictions, { explicit: 0, replaced: 0, expired: 0, capacity: 0 })
          deepStrictEqual([all.storeErrors, all.decodeFailures, all.refused], [0, 0, 0])
        })
      )
    })

    it.effect("a snapshot - does not change afterwards", () =>
      on(
        Effect.gen(function* () {
          const cached = Cached.ttl(Effect.succeed(1), { key: "k", ...minute })
          yield* cached
          const before = yield* stats
          yield* cached
          yield* cached.invalidate
          deepStrictEqual([before.hits, before.caches.k?.hits, before.evictions.explicit], [0, 0, 0])
        })
      )
    )
  })

  describe("health", () => {
    it.effect("memory - is up, and nothing is undelivered", () =>
      on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          deepStrictEqual(yield* store.health, {
            status: "up",
            store: "memory",
            tiers: [{ tier: "memory", status: "up", openSince: Option.none(), skipped: 0, undelivered: 0 }],
            problems: [],
            undelivered: 0,
            owes: false,
            coherent: true
          })
        })
      )
    )
  })

  describe("events", () => {
    it.scoped("Loaded and LoadFailed - one for each load, with its key, name and whether it is a refresh", () => {
      const { lookup } = numbered((call) => (call === 2 || call === 4 ? Effect.fail("down") : Effect.succeed(call)))
      const cached = Cached.swr(lookup(), { key: "k", name: "n", ttl: "10 seconds", stale: "5 seconds" })
      return on(
        Effect.gen(function* () {
          const { events, of } = yield* recordEvents
          yield* cached
          yield* cached
          yield* TestClock.adjust("10 seconds")
          yield* cached
          yield* until(() => of("LoadFailed").length === 1, "the refresh failed")
          yield* TestClock.adjust("1 second")
          yield* cached
          yield* until(() => of("Loaded").length === 2, "the next one succeeded")
          yield* Effect.exit(cached.refresh)
          yield* until(() => of("LoadFailed").length === 2, "the forced load failed")
          deepStrictEqual(
            events.filter((event) => event._tag === "Loaded" || event._tag === "LoadFailed"),
            [
              { _tag: "Loaded", key: "k", name: "n", refresh: false },
              { _tag: "LoadFailed", key: "k", name: "n", refresh: true, cause: Cause.fail("down") },
              { _tag: "Loaded", key: "k", name: "n", refresh: true },
              { _tag: "LoadFailed", key: "k", name: "n", refresh: false, cause: Cause.fail("down") }
            ]
          )
        })
      )
    })

    it.scoped("Removed - once for each entry that left, with its cause", () => {
      const cached = Cached.ttl((id: string) => Effect.succeed(id), { key: "{}:x", ...minute })
      return Effect.gen(function* () {
        const store = yield* CacheStore
        const { of } = yield* recordEvents
        yield* cached("replaced")
        yield* cached.refresh("replaced")
        yield* cached("explicit")
        yield* cached.invalidate("explicit")
        yield* cached.invalidate("explicit")
        yield* store.set("expired", 1, { ttl: 1 })
        yield* TestClock.adjust(1)
        yield* store.set("expired", 2, minute)
        yield* until(() => of("Removed").length >= 3, "three entries left")
        const causes = (yield* stats).evictions
        deepStrictEqual(
          of("Removed").map(({ cause, key }) => [key, cause]),
          [
            ["replaced:x", "replaced"],
            ["explicit:x", "explicit"],
            ["expired", "expired"]
          ]
        )
        // the probes of the listener were removed explicitly, too
        deepStrictEqual([causes.replaced, causes.expired, causes.capacity], [1, 1, 0])
      }).pipe(on)
    })

    it.scoped("Removed - capacity, exactly for the entries that did not fit", () =>
      Effect.gen(function* () {
        const store = yield* CacheStore
        const { of } = yield* recordEvents
        for (let i = 0; i < 25; i++) yield* store.set(`k${i}`, i, minute)
        yield* until(() => of("Removed").length >= 15, "fifteen left")
        for (let i = 0; i < 10; i++) yield* Effect.yieldNow()
        assert.lengthOf(of("Removed"), 15)
        assert.isTrue(of("Removed").every(({ cause }) => cause === "capacity"))
        assert.strictEqual(new Set(of("Removed").map(({ key }) => key)).size, 15)
        for (const { key } of of("Removed")) assert.isFalse(yield* store.has(key))
        assert.strictEqual((yield* stats).evictions.capacity, 15)
      }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 })))
    )

    for (const [what, invalidate] of [
      ["a tag", Cached.invalidateTags(["t"])],
      ["clear", Effect.flatMap(CacheStore, (store) => store.clear)]
    ] as const) {
      it.scoped(`Removed - an entry invalidated by ${what} is removed explicitly, once, whenever it leaves`, () => {
        const { lookup } = counting()
        const cached = Cached.ttl(lookup(), { key: "k", tags: ["t"], ...minute })
        return on(
          Effect.gen(function* () {
            const { of } = yield* recordEvents
            yield* cached
            yield* invalidate
            yield* cached
            yield* until(() => of("Removed").length >= 1, "it left")
            for (let i = 0; i < 10; i++) yield* Effect.yieldNow()
            deepStrictEqual(
              of("Removed").map(({ cause, key }) => [key, cause]),
              [["k", "explicit"]]
            )
          })
        )
      })
    }

    it.scoped("Cleared - names the marks", () => {
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", name: "n", ...minute })
      return on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          const { of } = yield* recordEvents
          yield* find.clear
          yield* store.tags.invalidate(["a", "b"])
          yield* store.clear
          yield* until(() => of("Cleared").length === 3, "three events")
          const marks = of("Cleared").map((event) => event.marks)
          assert.lengthOf(marks[0]!, 1)
          assert.include(marks[0]![0], "n")
          assert.lengthOf(marks[1]!, 2)
          assert.lengthOf(marks[2]!, 1)
        })
      )
    })

    it.scoped("slow subscriber - loses the oldest events and keeps the newest, other subscribers lose none", () =>
      on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          const open = gate()
          const slow: Array<string> = []
          yield* Effect.forkScoped(
            Stream.runForEach(store.events, (event) =>
              Effect.zipRight(
                open.pass,
                Effect.sync(() => event._tag === "Removed" && slow.push(event.key))
              )
            )
          )
          yield* Effect.iterate(0, {
            while: () => open.arrivals() === 0,
            body: (n) => Effect.as(Effect.zipRight(store.set("p", n, minute), Effect.yieldNow()), n + 1)
          })
          const { of } = yield* recordEvents
          for (let i = 0; i < 5_000; i++) {
            yield* store.set(`k${i}`, i, minute)
            yield* store.remove(`k${i}`)
            if (i % 100 === 0) yield* Effect.repeatN(Effect.yieldNow(), 5)
          }
          yield* until(
            () => of("Removed").some(({ key }) => key === "k4999"),
            "the fast subscriber received the last event"
          )
          assert.strictEqual(of("Removed").filter(({ key }) => key.startsWith("k")).length, 5_000)
          yield* open.open
          yield* until(() => slow.includes("k4999"), "the slow subscriber received the last event")
          assert.isFalse(slow.includes("k10"))
        })
      )
    )

    it.scoped("a subscriber that dies - does not affect the others", () =>
      on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* Effect.forkScoped(Effect.exit(Stream.runForEach(store.events, () => Effect.die("listener"))))
          const { of } = yield* recordEvents
          yield* store.set("k", 1, minute)
          yield* store.remove("k")
          yield* until(() => of("Removed").length === 1, "the other subscriber receives it")
        })
      )
    )

    it.effect("closing the store - ends the stream", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const store = yield* Scope.extend(MemoryCache.make(), scope)
        const listening = yield* Effect.fork(Stream.runDrain(store.events))
        yield* Effect.repeatN(Effect.yieldNow(), 10)
        yield* Scope.close(scope, Exit.void)
        const exit = yield* Fiber.await(listening)
        assert.isTrue(Exit.isSuccess(exit) || Exit.isInterrupted(exit))
      })
    )
  })

  describe("law 17: bounded", () => {
    it.effect("maxFlights - a read beyond it loads for itself alone, with one Warning", () => {
      const { lines, layer } = recordWarnings()
      const door = gate()
      const { lookup, calls } = numbered((_, id: number) => Effect.as(door.pass, id))
      const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
      return Effect.gen(function* () {
        const two = yield* Effect.forkAll([find(1), find(2)])
        yield* until(() => calls.length === 2, "two loads")
        const beyond = yield* Effect.forkAll([find(3), find(3), find(1)])
        yield* until(() => calls.length === 4, "two more loads of one key, not shared")
        assert.strictEqual((yield* stats).inFlight, 2)
        yield* door.open
        deepStrictEqual(yield* Fiber.join(two), [1, 2])
        deepStrictEqual(yield* Fiber.join(beyond), [3, 3, 1])
        deepStrictEqual(yield* find.peek(3), Option.none())
        assert.strictEqual(calls.length, 4)
        yield* find(3)
        deepStrictEqual(yield* find.peek(3), Option.some(3))
        assert.lengthOf(lines, 1)
      }).pipe(Effect.provide(Layer.provideMerge(MemoryCache.layer({ maxFlights: 2 }), layer)))
    })

    it.effect("maxFlights - applies to forced loads, too", () => {
      const door = gate()
      const { lookup, calls } = numbered((_, id: number) => Effect.as(door.pass, id))
      const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
      return Effect.gen(function* () {
        const forced = yield* Effect.forkAll([
          find.refresh(1),
          find.refresh(2),
          find.refresh(3),
          Cached.reload(find(4))
        ])
        yield* until(() => calls.length === 4, "four loads")
        assert.isAtMost((yield* stats).inFlight, 2)
        yield* door.open
        deepStrictEqual(yield* Fiber.join(forced), [1, 2, 3, 4])
      }).pipe(Effect.provide(MemoryCache.layer({ maxFlights: 2 })))
    })

    it.effect("maxRefreshes - bounds the refreshes at once", () => {
      const door = gate()
      const { lookup } = numbered((call, id: number) => (call <= 4 ? Effect.succeed(id) : Effect.as(door.pass, id)))
      const find = Cached.swr(lookup, { key: "k:{}", ttl: "10 seconds", stale: "1 hour" })
      return Effect.gen(function* () {
        const all = Effect.forEach([1, 2, 3, 4], (id) => find(id))
        yield* all
        yield* TestClock.adjust("10 seconds")
        deepStrictEqual(yield* all, [1, 2, 3, 4])
        yield* until(() => door.arrivals() === 2, "two refreshes")
        yield* all
        assert.strictEqual((yield* stats).refreshes, 2)
        yield* door.open
      }).pipe(Effect.provide(MemoryCache.layer({ maxRefreshes: 2 })))
    })
  })

  describe("make", () => {
    it.scoped("a custom Backend - is all that a store needs", () => {
      const held = new Map<string, Entry.Entry>()
      const backend = Backend.fromLocal({
        name: "mine",
        unsafeGet: (key) => held.get(key),
        unsafeSet: (key, entry) => {
          held.set(key, entry as Entry.Entry)
        },
        unsafeRemove: (key) => held.delete(key),
        unsafeSize: () => held.size
      })
      const { lookup, calls } = counting()
      const cached = Cached.ttl(lookup(), { key: "k", ...minute })
      return Effect.gen(function* () {
        const store = yield* CacheStore.make(backend)
        yield* Effect.gen(function* () {
          deepStrictEqual([yield* cached, yield* cached], [1, 1])
          yield* store.clear
          assert.strictEqual(yield* cached, 2)
          yield* cached.invalidate
          assert.strictEqual(yield* cached, 3)
        }).pipe(Effect.provideService(CacheStore, store))
        assert.strictEqual(calls.length, 3)
        assert.strictEqual((yield* store.health).store, "mine")
        deepStrictEqual((yield* store.stats).entries, Option.some(1))
      })
    })

    it.scoped("labels - are on every metric of the store", () =>
      Effect.gen(function* () {
        class Labelled extends Context.Tag("test/Labelled")<Labelled, CacheStore.Service>() {}

        const store = yield* MemoryCache.make({ name: "labelled", labels: { region: "here" } })
        const cached = Cached.ttl(Effect.succeed(1), {
          key: "labelled key",
          name: "labelled",
          store: Labelled,
          ...minute
        })
        yield* Effect.provideService(Effect.zipRight(cached, cached), Labelled, store)
        const found = (yield* Metric.snapshot).filter(
          (pair) => pair.metricKey.name === "cache_hits" && pair.metricKey.tags.some((tag) => tag.value === "labelled")
        )
        assert.lengthOf(found, 1)
        const tags = found[0]!.metricKey.tags
        for (const label of [
          MetricLabel.make("store", "labelled"),
          MetricLabel.make("cache", "labelled"),
          MetricLabel.make("region", "here")
        ]) {
          assert.isTrue(tags.some((tag) => tag.key === label.key && tag.value === label.value))
        }
        assert.lengthOf(tags, 3)
        assert.strictEqual((found[0]!.metricState as { readonly count?: number }).count, 1)
      })
    )
  })
})
