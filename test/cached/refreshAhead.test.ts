/** `refreshAhead`: a fresh value is refreshed behind a read, before its end. */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it, layer } from "@effect/vitest"
import { Config, Duration, Effect, Fiber, Layer, Option, Random, TestClock } from "effect"
import { Cached, CacheError, CachePolicy, MemoryCacheLive } from "effect-cached"
import { Boom, becomes, counting, defectOf, gate, numbered, settled, stats, thenDoes, until } from "../laws/support.js"
import { freshPrefix, RedisServer } from "../support/redis.js"
import { hybrid, pair, same } from "../support/redis-nodes.js"

const on = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, MemoryCacheLive)

const options = { key: "k", ttl: "10 seconds", refreshAhead: 0.8 } as const

/** Reads, and lets a refresh behind the read end. */
const readThen = <A, E, R>(read: Effect.Effect<A, E, R>) => Effect.tap(read, settled)

describe("refreshAhead", () => {
  it.effect("a read after the fraction of the life - gets the fresh value, and a refresh behind it replaces that", () =>
    on(
      Effect.gen(function* () {
        const { calls, lookup } = counting()
        const cached = Cached.ttl(lookup(), options)
        yield* cached
        yield* TestClock.adjust(7_999)
        assert.strictEqual(yield* readThen(cached), 1)
        assert.strictEqual(calls.length, 1)
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* readThen(cached), 1)
        assert.strictEqual(calls.length, 2)
        assert.strictEqual(yield* readThen(cached), 2)
        assert.strictEqual(Option.getOrThrow(yield* cached.entry).freshUntil, 18_000)
        // the fraction counts anew for the value of the refresh
        yield* TestClock.adjust(7_999)
        assert.strictEqual(yield* readThen(cached), 2)
        assert.strictEqual(calls.length, 2)
        const { hits, loads, misses, refreshes, staleHits } = yield* stats
        deepStrictEqual(
          { hits, loads, misses, refreshes, staleHits },
          { hits: 4, loads: 2, misses: 1, refreshes: 1, staleHits: 0 }
        )
      })
    )
  )

  it.effect("the fraction - is of the life with its jitter", () =>
    on(
      Effect.gen(function* () {
        const { calls, lookup } = counting()
        const cached = Cached.ttl(lookup(), { ...options, refreshAhead: 0.5, jitter: 1 })
        yield* Effect.withRandom(cached, Random.fixed([0.6]))
        yield* TestClock.adjust(7_999)
        yield* readThen(cached)
        assert.strictEqual(calls.length, 1)
        yield* TestClock.adjust(1)
        yield* readThen(cached)
        assert.strictEqual(calls.length, 2)
      })
    )
  )

  it.effect("reads during a slow refresh - start no second one, and wait for it once the value has expired", () =>
    on(
      Effect.gen(function* () {
        const { calls, lookup } = numbered((call) =>
          call === 1 ? Effect.succeed(call) : Effect.delay(Effect.succeed(call), "5 seconds")
        )
        const cached = Cached.ttl(lookup(), { key: "k", ttl: "2 seconds", refreshAhead: 0.2 })
        yield* cached
        const reads: Array<Fiber.RuntimeFiber<number>> = []
        for (let i = 0; i < 400; i++) {
          yield* TestClock.adjust("10 millis")
          reads.push(yield* Effect.fork(cached))
        }
        assert.strictEqual(calls.length, 2)
        yield* TestClock.adjust("2 seconds")
        const values = yield* Fiber.join(Fiber.all(reads))
        assert.strictEqual(values.indexOf(2), 199)
        assert.isTrue(values.slice(199).every((value) => value === 2))
        assert.strictEqual(calls.length, 2)
        assert.strictEqual((yield* stats).refreshes, 1)
      })
    )
  )

  it.effect("a refresh that fails - keeps the fresh value to its end; the read after that loads", () =>
    on(
      Effect.gen(function* () {
        const { calls, lookup } = thenDoes((call) => (call < 4 ? Effect.fail(new Boom("down")) : Effect.succeed(call)))
        const cached = Cached.ttl(lookup(), options)
        yield* cached
        yield* TestClock.adjust("9 seconds")
        assert.strictEqual(yield* readThen(cached), 1)
        assert.strictEqual(yield* readThen(cached), 1)
        assert.strictEqual(calls.length, 2)
        yield* TestClock.adjust("1 second")
        assert.instanceOf(yield* Effect.flip(cached), Boom)
        assert.strictEqual(yield* cached, 4)
        assert.strictEqual((yield* stats).refreshFailures, 1)
      })
    )
  )

  it.effect("law 8: invalidation wins - an invalidation during the refresh keeps its value out", () =>
    on(
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = thenDoes((call) => (call === 2 ? Effect.as(door.pass, call) : Effect.succeed(call)))
        const cached = Cached.ttl(lookup(), options)
        yield* cached
        yield* TestClock.adjust("8 seconds")
        yield* cached
        yield* door.reached
        yield* cached.invalidate
        yield* door.open
        yield* settled
        deepStrictEqual(yield* cached.peek, Option.none())
        assert.strictEqual(yield* cached, 3)
        assert.strictEqual(calls.length, 3)
      })
    )
  )

  it.effect("swr - refreshes ahead, and after that as ever", () =>
    on(
      Effect.gen(function* () {
        const { calls, lookup } = counting()
        const cached = Cached.swr(lookup(), { ...options, stale: "1 minute" })
        yield* cached
        yield* TestClock.adjust("8 seconds")
        assert.strictEqual(yield* readThen(cached), 1)
        assert.strictEqual(yield* cached, 2)
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(yield* readThen(cached), 2)
        assert.strictEqual(calls.length, 3)
        const { refreshes, staleHits } = yield* stats
        deepStrictEqual({ refreshes, staleHits }, { refreshes: 2, staleHits: 1 })
      })
    )
  )

  it.effect("peek, entry and a value that was set - do not start a refresh, and a read of the set value does", () =>
    on(
      Effect.gen(function* () {
        const { calls, lookup } = counting()
        const cached = Cached.ttl(lookup(), options)
        yield* cached.set(10)
        yield* cached.peek
        yield* TestClock.adjust("9 seconds")
        yield* readThen(cached.peek)
        yield* readThen(cached.entry)
        assert.strictEqual(calls.length, 0)
        assert.strictEqual(yield* readThen(cached), 10)
        assert.strictEqual(calls.length, 1)
        assert.strictEqual(yield* cached, 1)
      })
    )
  )

  it.effect("batched - the values of many ids are refreshed in one batch", () =>
    on(
      Effect.gen(function* () {
        const { calls, lookup } = numbered((call, ids: ReadonlyArray<number>) =>
          Effect.succeed(ids.map((id) => [id, call] as const))
        )
        const find = Cached.batched(lookup, { ...options, key: "n:{}" })
        yield* find.many([1, 2, 3])
        yield* TestClock.adjust("8 seconds")
        deepStrictEqual(yield* readThen(find.many([1, 2, 3])), [1, 1, 1].map(Option.some))
        deepStrictEqual(calls, [[[1, 2, 3]], [[1, 2, 3]]])
        deepStrictEqual(yield* find.many([1, 2, 3]), [2, 2, 2].map(Option.some))
      })
    )
  )

  it.effect("0 - every read starts a refresh; 1, and a value that is fresh forever - none does", () =>
    on(
      Effect.gen(function* () {
        const always = counting()
        const every = Cached.ttl(always.lookup(), { ...options, key: "every", refreshAhead: 0 })
        for (let i = 0; i < 3; i++) yield* readThen(every)
        assert.strictEqual(always.calls.length, 3)
        const never = counting()
        const none = Cached.ttl(never.lookup(), { ...options, key: "none", refreshAhead: 1 })
        yield* none
        yield* TestClock.adjust(9_999)
        yield* readThen(none)
        const forever = Cached.ttl(never.lookup(), {
          ...options,
          key: "forever",
          ttl: Duration.infinity,
          refreshAhead: 0
        })
        yield* forever
        yield* TestClock.adjust("10000 days")
        yield* readThen(forever)
        assert.strictEqual(never.calls.length, 2)
      })
    )
  )

  it.effect("two functions of one name - each read goes by the option of its own function", () =>
    on(
      Effect.gen(function* () {
        const { calls, lookup } = counting()
        const plain = Cached.ttl(lookup(), { key: "k", ttl: "10 seconds" })
        const ahead = Cached.ttl(lookup(), { ...options, refreshAhead: 0.5 })
        yield* ahead
        yield* TestClock.adjust("5 seconds")
        yield* readThen(plain)
        assert.strictEqual(calls.length, 1)
        yield* TestClock.adjust("5 seconds")
        yield* plain
        yield* ahead
        yield* TestClock.adjust("5 seconds")
        yield* readThen(ahead)
        assert.strictEqual(calls.length, 3)
      })
    )
  )

  it.effect("a fraction outside of 0 to 1, and NaN - is the defect InvalidOption that names the function", () =>
    on(
      Effect.gen(function* () {
        for (const refreshAhead of [-0.1, 1.1, Number.NaN, "0.8" as never]) {
          for (const build of [
            Effect.asVoid(Cached.ttl(Effect.succeed(1), { ...options, name: "rates", refreshAhead })),
            Effect.asVoid(
              Effect.scoped(Layer.build(CachePolicy.layer({ ttl: 1, functions: { rates: { refreshAhead } } })))
            )
          ]) {
            const defect = defectOf(yield* Effect.exit(build))
            assert.instanceOf(defect, CacheError.InvalidOption)
            assert.strictEqual(defect.option, "refreshAhead")
            assert.include(defect.message, "rates")
          }
        }
      })
    )
  )

  it.effect("CachePolicy - gives it, from Config, too", () => {
    const { calls, lookup } = counting()
    const cached = Cached.policy(lookup(), { key: "k" })
    const policy = CachePolicy.layerConfig({
      ttl: Config.succeed("10 seconds" as const),
      refreshAhead: Config.succeed(0.5)
    })
    return Effect.gen(function* () {
      yield* cached
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* readThen(cached), 1)
      assert.strictEqual(yield* cached, 2)
      assert.strictEqual(calls.length, 2)
    }).pipe(Effect.provide(Layer.merge(MemoryCacheLive, policy)))
  })
})

describe("refreshAhead on Redis", () => {
  layer(RedisServer.layer)((it) => {
    it.scoped("two processes - a read after the fraction refreshes for both", () =>
      Effect.gen(function* () {
        const { a, b } = yield* pair
        const { calls, lookup } = counting()
        const cached = Cached.ttl(lookup(), options)
        yield* a.run(cached)
        yield* a.written
        yield* TestClock.adjust("7 seconds")
        same(yield* b.run(cached), 1)
        yield* TestClock.adjust("1 second")
        same(yield* b.run(cached), 1)
        yield* until(() => calls.length === 2, "the refresh loads")
        yield* becomes(a.run(cached), 2)
        same(calls.length, 2)
      })
    )

    it.scoped(
      "memory in front - a process whose copy is due takes what another one has refreshed, without a load",
      () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          const a = yield* hybrid({ l2: { prefix } })
          const b = yield* hybrid({ l2: { prefix } })
          const { calls, lookup } = counting()
          const cached = Cached.ttl(lookup(), { ...options, ttl: "1 minute" })
          yield* a.run(cached)
          yield* a.written
          // the copy comes with a peek, and is due all the same
          same(yield* b.run(cached.peek), Option.some(1))
          same(yield* b.run(cached), 1)
          yield* TestClock.adjust("48 seconds")
          same(yield* a.run(cached), 1)
          yield* becomes(a.run(cached.peek), Option.some(2))
          yield* a.written
          same(calls.length, 2)
          yield* becomes(b.run(cached), 2)
          same(calls.length, 2)
        })
    )

    it.scoped("lock - of the processes whose copies are due at once, one loads", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const a = yield* hybrid({ l2: { prefix } })
        const b = yield* hybrid({ l2: { prefix } })
        const door = gate()
        const { calls, lookup } = thenDoes((call) => Effect.as(door.pass, call))
        const cached = Cached.ttl(lookup(), { ...options, ttl: "1 minute", lock: { lease: "10 seconds" } })
        yield* a.run(cached)
        yield* a.written
        same(yield* b.run(cached), 1)
        yield* TestClock.adjust("48 seconds")
        same([yield* a.run(cached), yield* b.run(cached)], [1, 1])
        yield* door.reached
        yield* settled
        yield* door.open
        yield* becomes(a.run(cached.peek), Option.some(2))
        yield* becomes(b.run(cached), 2)
        same(calls.length, 2)
      })
    )
  })
})
