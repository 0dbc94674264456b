/**
 * The numbers of `CacheStore.stats`, each checked against a workload that is counted.
 */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Clock, Deferred, Duration, Effect, Exit, Fiber, Option, Schedule, TestClock } from "effect"
import { type Backend, Cached, CacheStore, CacheStoreError, MemoryCache } from "effect-cached"
import { becomes, gate, minute, stats } from "../laws/support.js"

const onMemory = (options: MemoryCache.Options = {}) => Effect.provide(MemoryCache.layer(options))

class Gone {
  readonly _tag = "Gone"
}

/** Values in memory behind a remote backend. */
const remote: Effect.Effect<Backend.Backend> = Effect.scoped(
  Effect.map(MemoryCache.backend(), ({ getMany, removeMany, setIfAbsent, setMany }) => ({
    name: "far",
    remote: true,
    getMany,
    removeMany,
    setIfAbsent,
    setMany
  }))
)

describe("stats", () => {
  describe("sets and removals", () => {
    it.effect("of functions and of the store - are counted where they are asked for, and once in the sum", () =>
      Effect.gen(function* () {
        const user = Cached.ttl((id: number) => Effect.succeed(id), { key: "user:{}", ...minute })
        yield* user(1)
        yield* user(2)
        yield* user(1)
        yield* user.set(3)(3)
        yield* user.invalidate(1)
        yield* user.invalidate(9)
        const cacheStore = yield* CacheStore
        yield* cacheStore.set("a", 1, minute)
        yield* cacheStore.setMany(
          [
            ["b", 1],
            ["c", 1]
          ],
          minute
        )
        yield* cacheStore.setIfAbsent("a", 2, minute)
        yield* cacheStore.setIfAbsent("d", 2, minute)
        yield* cacheStore.removeMany(["a", "b"])
        yield* cacheStore.remove("z")
        // marks remove no keys, and what is expired is not set
        yield* cacheStore.clear
        yield* cacheStore.set("e", 1, { ...minute, stale: "1 minute" })
        yield* cacheStore.expire("e")
        const all = yield* stats
        assert.deepInclude(all.caches["user:{}"], { sets: 3, removals: 2 })
        assert.deepInclude(all, { sets: 3 + 5, removals: 2 + 3 })
      }).pipe(onMemory())
    )
  })

  describe("failures", () => {
    it.effect("by kind - add up to the failed loads", () =>
      Effect.gen(function* () {
        const outcomes = {
          fail: Effect.fail(new Gone()),
          die: Effect.die("broken"),
          interrupt: Effect.interrupt,
          slow: Effect.never
        }
        const load = Cached.ttl((how: keyof typeof outcomes) => outcomes[how], {
          key: "load:{}",
          ...minute,
          timeout: { hard: "1 second", then: "interrupt" }
        })
        for (const how of ["fail", "fail", "die", "interrupt"] as const) yield* Effect.exit(load(how))
        const slow = yield* Effect.fork(Effect.exit(load("slow")))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(slow)
        const left = yield* Effect.fork(Cached.ttl(Effect.never, { key: "left", ...minute }))
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(left)
        const all = yield* stats
        deepStrictEqual(all.failures, { fail: 2, die: 1, interrupt: 1, timeout: 1 })
        deepStrictEqual(all.caches["load:{}"]?.failures, all.failures)
        assert.strictEqual(all.loadFailures, 5)
        // that of the interrupted reader has ended, and has not failed
        assert.strictEqual(all.loads, 6)
        assert.strictEqual(all.latency.load.count, 6)
      }).pipe(onMemory())
    )

    it.effect("of loads that are not shared - count, too", () =>
      Effect.gen(function* () {
        const door = gate()
        const first = yield* Effect.fork(Cached.ttl(door.pass, { key: "first", ...minute }))
        yield* Effect.yieldNow()
        const load = Cached.ttl((_: number) => Effect.fail(new Gone()), { key: "load:{}", ...minute })
        yield* Effect.exit(load(1))
        yield* door.open
        yield* Fiber.join(first)
        const { failures, latency, loads } = yield* stats
        deepStrictEqual(failures, { fail: 1, die: 0, interrupt: 0, timeout: 0 })
        assert.strictEqual(loads, 2)
        assert.strictEqual(latency.load.count, 2)
      }).pipe(onMemory({ maxFlights: 1 }))
    )
  })

  describe("latency", () => {
    it.effect("of loads - has exact count and mean, and percentiles within a fifth", () =>
      Effect.gen(function* () {
        const load = Cached.ttl((millis: number) => Effect.sleep(millis), { key: "load:{}", ...minute })
        const all = Array.from({ length: 100 }, (_, i) => (i + 1) * 10)
        const loads = yield* Effect.fork(Effect.forEach(all, load, { concurrency: "unbounded" }))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(loads)
        const { caches, latency } = yield* stats
        const { count, mean, p50, p95, p99 } = latency.load
        assert.strictEqual(count, 100)
        assert.strictEqual(mean, 505)
        assert.closeTo(p50, 500, 100)
        assert.closeTo(p95, 950, 190)
        assert.closeTo(p99, 990, 198)
        deepStrictEqual(caches["load:{}"]?.latency.load, latency.load)
        assert.deepInclude(latency, { get: none, set: none, remove: none })
      }).pipe(onMemory())
    )

    it.effect("of nothing - is 0 everywhere", () =>
      Effect.gen(function* () {
        const { latency } = yield* stats
        deepStrictEqual(latency, { get: none, set: none, remove: none, load: none })
      }).pipe(onMemory())
    )

    it.scoped("of a remote backend - counts each batch, also one that failed, and none that was not sent", () =>
      Effect.gen(function* () {
        let answer: "ok" | CacheStoreError["reason"] = "ok"
        const failing = (method: string) => {
          const reason = answer
          return reason === "ok" ? Effect.void : new CacheStoreError({ reason, store: "far", method })
        }
        const inner = yield* remote
        const getMany: Backend.Backend["getMany"] = (reads) =>
          Effect.zipRight(
            Effect.suspend(() => failing("getMany")),
            inner.getMany(reads)
          )
        const service = yield* CacheStore.make({ ...inner, getMany }, { breaker: false })
        const counts = Effect.map(service.stats, ({ latency: { get, remove, set } }) => [
          get.count,
          set.count,
          remove.count
        ])
        yield* service.getMany(["a", "b", "c"])
        yield* service.set("a", 1, minute)
        yield* service.remove("a")
        yield* service.setIfAbsent("a", 1, minute)
        deepStrictEqual(yield* counts, [2, 2, 1])
        answer = "Rejected"
        yield* service.get("b")
        deepStrictEqual(yield* counts, [3, 2, 1])
        answer = "Disconnected"
        yield* service.get("b")
        deepStrictEqual(yield* counts, [3, 2, 1])
        const { errors, storeErrors } = yield* service.stats
        deepStrictEqual(errors, { read: { Rejected: 1, Disconnected: 1 } })
        assert.strictEqual(storeErrors, 2)
      })
    )
  })

  describe("entries", () => {
    it.effect("counts those that are alive - not expired, invalidated, cleared or idle ones", () =>
      Effect.gen(function* () {
        const service = yield* CacheStore
        const alive = Effect.map(service.stats, ({ entries }) => Option.getOrThrow(entries))
        const find = Cached.ttl((n: number) => Effect.succeed(n), { key: "n:{}", ...minute })
        yield* Effect.forEach([1, 2, 3], find)
        yield* service.set("short", 1, { ttl: "1 second" })
        yield* service.set("tagged", 1, { ...minute, tags: ["t"] })
        yield* service.set("kept", 1, { ttl: "1 second", stale: "1 minute" })
        assert.strictEqual(yield* alive, 6)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* alive, 5)
        yield* service.tags.invalidate(["t"])
        assert.strictEqual(yield* alive, 4)
        yield* find.clear
        assert.strictEqual(yield* alive, 1)
        yield* service.clear
        assert.strictEqual(yield* alive, 0)
        deepStrictEqual((yield* service.stats).bytes, Option.none())
      }).pipe(onMemory())
    )

    it.effect("bytes - are those of the entries alive, where memory holds bytes", () =>
      Effect.gen(function* () {
        const service = yield* CacheStore
        const bytes = Effect.map(service.stats, (all) => Option.getOrThrow(all.bytes))
        assert.strictEqual(yield* bytes, 0)
        yield* service.set("a", "x".repeat(100), { ttl: "1 second" })
        yield* service.set("b", "x".repeat(50), minute)
        const both = yield* bytes
        yield* TestClock.adjust("1 second")
        const one = yield* bytes
        assert.strictEqual(both - one, one + 50)
        assert.isAbove(one, 50)
      }).pipe(onMemory({ values: "serialized" }))
    )

    it.scoped("of a remote store - is not known", () =>
      Effect.gen(function* () {
        const { bytes, entries } = yield* (yield* CacheStore.make(yield* remote)).stats
        deepStrictEqual([entries, bytes], [Option.none(), Option.none()])
      })
    )

    it.effect("evictions - are those of each function", () =>
      Effect.gen(function* () {
        const a = Cached.ttl((n: number) => Effect.succeed(n), { key: "a:{}", ...minute })
        const b = Cached.ttl((n: number) => Effect.succeed(n), { key: "b:{}", ...minute })
        yield* Effect.forEach([1, 2, 3], a)
        yield* a.invalidate(1)
        yield* a.refresh(2)
        yield* b(1)
        const { caches, evictions } = yield* stats
        deepStrictEqual(caches["a:{}"]?.evictions, { explicit: 1, replaced: 1, expired: 0, capacity: 0 })
        deepStrictEqual(caches["b:{}"]?.evictions, { explicit: 0, replaced: 0, expired: 0, capacity: 0 })
        deepStrictEqual(evictions, { explicit: 1, replaced: 1, expired: 0, capacity: 0 })
      }).pipe(onMemory())
    )
  })

  describe("background", () => {
    const at = (seconds: number) => Option.some(seconds * 1_000)

    it.scoped("bg - counts its runs and failures, and says when it last ran and runs next", () =>
      Effect.gen(function* () {
        let result: Effect.Effect<number, Gone> = Effect.succeed(1)
        const program = Effect.gen(function* () {
          yield* Effect.asVoid(
            Cached.bg(
              Effect.suspend(() => result),
              { key: "flags", interval: "10 seconds", onError: () => Effect.void }
            )
          )
          const background = Effect.map(stats, (all) => all.background.flags)
          yield* TestClock.adjust(0)
          const { lastError, ...others } = (yield* background)!
          deepStrictEqual(others, { runs: 1, failures: 0, lastSuccess: at(0), nextDue: at(10) })
          deepStrictEqual(lastError, Option.none())
          result = Effect.fail(new Gone())
          yield* TestClock.adjust("10 seconds")
          const failed = (yield* background)!
          assert.deepInclude(failed, { runs: 2, failures: 1, lastSuccess: at(0), nextDue: at(20) })
          deepStrictEqual(
            Option.map(failed.lastError, ({ at }) => at),
            at(10)
          )
          assert.include(Option.getOrThrow(failed.lastError).message, "Gone")
          const running = yield* Deferred.make<number>()
          result = Deferred.await(running)
          yield* TestClock.adjust("10 seconds")
          assert.deepInclude(yield* background, { runs: 2, nextDue: Option.none() })
          yield* Deferred.succeed(running, 1)
          yield* becomes(
            Effect.map(background, (all) => all?.runs),
            3
          )
          assert.deepInclude(yield* background, { failures: 1, lastSuccess: at(20), nextDue: at(30) })
        })
        yield* Effect.scoped(program)
        deepStrictEqual((yield* stats).background.flags?.nextDue, Option.none())
      }).pipe(onMemory())
    )

    it.scoped("bg with arguments - adds up the runs of all keys, and tells the earliest due time", () =>
      Effect.gen(function* () {
        const find = yield* Cached.bg((n: number) => Effect.succeed(n), { key: "n:{}", interval: "10 seconds" })
        yield* find(1)
        yield* TestClock.adjust("5 seconds")
        yield* find(2)
        yield* TestClock.adjust("1 second")
        const first = (yield* stats).background["n:{}"]!
        assert.deepInclude(first, { failures: 0, nextDue: at(10) })
        yield* TestClock.adjust("4 seconds")
        const second = (yield* stats).background["n:{}"]!
        assert.strictEqual(second.runs - first.runs, 1)
        deepStrictEqual(second.nextDue, at(15))
      }).pipe(onMemory())
    )

    it.scoped("bgWrite - with a schedule, is due when the schedule says", () =>
      Effect.gen(function* () {
        yield* Cached.bgWrite(Effect.succeed(1), {
          key: "flags",
          ttl: "1 hour",
          schedule: Schedule.spaced("7 seconds")
        })
        yield* TestClock.adjust("8 seconds")
        const { nextDue, runs } = (yield* stats).background.flags!
        assert.strictEqual(runs, 2)
        deepStrictEqual(nextDue, at(14))
      }).pipe(onMemory())
    )
  })

  describe("resetStats", () => {
    it.effect("counts begin at 0, states and metrics stay", () =>
      Effect.gen(function* () {
        const find = Cached.ttl((n: number) => Effect.succeed(n), { key: "n:{}", ...minute })
        yield* Effect.forEach([1, 1, 2], find)
        yield* TestClock.adjust("5 seconds")
        const service = yield* CacheStore
        deepStrictEqual((yield* service.stats).uptime, Duration.seconds(5))
        yield* service.resetStats
        const zero = yield* service.stats
        assert.deepInclude(zero, { reads: 0, hits: 0, misses: 0, loads: 0, sets: 0, hitRate: 0 })
        deepStrictEqual([zero.uptime, zero.entries], [Duration.zero, Option.some(2)])
        deepStrictEqual(zero.latency.load, none)
        yield* TestClock.adjust("1 second")
        yield* Effect.forEach([1, 3], find)
        const after = yield* service.stats
        assert.deepInclude(after, { reads: 2, hits: 1, misses: 1, loads: 1, sets: 1, hitRate: 0.5 })
        assert.deepInclude(after.caches["n:{}"], { reads: 2, hits: 1 })
        deepStrictEqual(after.uptime, Duration.seconds(1))
      }).pipe(onMemory())
    )
  })

  it.effect("time - is that of the fiber, and not of the process", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("1 hour")
      const exit = yield* Effect.exit(stats)
      assert.isTrue(Exit.isSuccess(exit))
      assert.strictEqual(yield* Clock.currentTimeMillis, 3_600_000)
      deepStrictEqual((yield* stats).uptime, Duration.hours(1))
    }).pipe(onMemory())
  )
})

const none = { count: 0, mean: 0, p50: 0, p95: 0, p99: 0, buckets: [] }
