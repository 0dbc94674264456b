// not chai's deep equality, which treats Effect values with different keys, such as Some and None, as equal
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Config,
  ConfigProvider,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Option,
  type Scope,
  Stream,
  TestClock
} from "effect"
import { Cached, CacheError, CacheStore, MemoryCache, MemoryCacheLive } from "../../../src/index.js"
import { counting, gate, numbered, stats, until } from "../../laws/support.js"

const minute = { ttl: "1 minute" } as const

const entries = Effect.map(stats, (all) => Option.getOrThrow(all.entries))

const quiet = Logger.remove(Logger.defaultLogger)

describe("MemoryCache", () => {
  for (const values of ["shared", "serialized"] as const) {
    it.effect(`keys, ${values} values - leave out what was expired and may not be served`, () =>
      Effect.gen(function* () {
        const store = yield* CacheStore
        const life = { ttl: "1 hour", tags: ["t"] } as const
        yield* store.setMany(
          [
            ["a", 1],
            ["b", 2]
          ],
          life
        )
        yield* store.set("c", 3, { ...life, stale: "1 minute" })
        yield* store.tags.expire(["t"])
        deepStrictEqual(Array.from(yield* Stream.runCollect(store.keys)), ["c"])
        deepStrictEqual((yield* stats).entries, Option.some(1))
      }).pipe(Effect.provide(MemoryCache.layer({ values })))
    )
  }

  describe("capacity", () => {
    for (const capacity of [0, -1, 1.5, Number.NaN, Number.NEGATIVE_INFINITY, 2 ** 60, "10" as never]) {
      it.effect(`${String(capacity)} - dies with InvalidOption, which names it`, () =>
        Effect.gen(function* () {
          const exit = yield* Effect.exit(Effect.provide(CacheStore, MemoryCache.layer({ capacity })))
          assert.isTrue(Exit.isFailure(exit))
          const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
          assert.instanceOf(defect, CacheError.InvalidOption)
          assert.strictEqual(defect.option, "capacity")
        })
      )
    }

    it.effect("default - 10 000 entries", () =>
      Effect.gen(function* () {
        const store = yield* CacheStore
        for (let i = 0; i < 10_500; i++) yield* store.set(`k${i}`, i, minute)
        assert.strictEqual(yield* entries, 10_000)
      }).pipe(Effect.provide(MemoryCacheLive))
    )

    it.effect("Infinity - no limit", () =>
      Effect.gen(function* () {
        const store = yield* CacheStore
        for (let i = 0; i < 10_500; i++) yield* store.set(`k${i}`, i, minute)
        assert.strictEqual(yield* entries, 10_500)
      }).pipe(Effect.provide(MemoryCache.layer({ capacity: Number.POSITIVE_INFINITY })))
    )

    it.effect("1 - holds the last entry, and everything works", () => {
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })
      return Effect.gen(function* () {
        for (const id of [1, 2, 1, 1, 2]) {
          assert.strictEqual(yield* find(id), id)
          assert.strictEqual(yield* entries, 1)
          deepStrictEqual(yield* find.peek(id), Option.some(id))
        }
      }).pipe(Effect.provide(MemoryCache.layer({ capacity: 1 })))
    })

    it.effect("set only - the limit holds at every step", () => {
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })
      return Effect.gen(function* () {
        for (let i = 0; i < 2_000; i++) {
          yield* find.set(i)(i)
          assert.isAtMost(yield* entries, 10)
        }
      }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 })))
    })

    it.effect("10 000 loads at once - one load per key, and the limit holds when they end", () => {
      const door = gate()
      const { lookup, calls } = numbered((_, id: number) => Effect.as(door.pass, id))
      const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
      return Effect.gen(function* () {
        const ids = Array.from({ length: 10_000 }, (_, i) => i)
        const readers = yield* Effect.forkAll(ids.flatMap((id) => (id % 10 === 0 ? [find(id), find(id)] : [find(id)])))
        yield* until(() => calls.length === 10_000, "all loads began")
        // a running load is not an entry: eviction does not cause a second load
        for (const id of [0, 5_000, 9_999]) {
          const late = yield* Effect.fork(find(id))
          yield* Effect.yieldNow()
          yield* Fiber.interrupt(late)
        }
        assert.strictEqual(calls.length, 10_000)
        yield* door.open
        const values = yield* Fiber.join(readers)
        assert.lengthOf(values, 11_000)
        assert.strictEqual(calls.length, 10_000)
        assert.strictEqual(yield* entries, 10)
        assert.strictEqual((yield* stats).evictions.capacity, 9_990)
      }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 })))
    })

    it.effect("hot keys during a scan - stay hits", () => {
      const hot = Cached.ttl((id: number) => Effect.succeed(id), { key: "hot:{}", ...minute })
      const scan = Cached.ttl((id: number) => Effect.succeed(id), { key: "scan:{}", ...minute })
      const all = Effect.forEach(
        Array.from({ length: 100 }, (_, i) => i),
        (id) => hot(id),
        { discard: true }
      )
      return Effect.gen(function* () {
        for (let round = 0; round < 20; round++) {
          yield* all
          for (let i = 0; i < 500; i++) yield* scan(round * 500 + i)
        }
        const before = (yield* stats).caches["hot:{}"]!.hits
        yield* all
        assert.isAtLeast((yield* stats).caches["hot:{}"]!.hits - before, 90)
      }).pipe(Effect.provide(MemoryCache.layer({ capacity: 200 })))
    })
  })

  describe("eviction", () => {
    it.effect("lru - keeps what was used last, exactly", () => {
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })
      return Effect.gen(function* () {
        for (const id of [1, 2, 3]) yield* find(id)
        // the second read of a key is a hit of a judged entry, the third needs no object
        for (const id of [1, 1, 1]) yield* find(id)
        yield* find(4)
        deepStrictEqual(yield* find.peek(2), Option.none())
        for (const id of [1, 3, 4]) deepStrictEqual(yield* find.peek(id), Option.some(id))
      }).pipe(Effect.provide(MemoryCache.layer({ capacity: 3, eviction: "lru" })))
    })

    it.effect("a loop over more keys than there is room for - has hits, and with lru has none", () => {
      const hitsWith = (eviction: "adaptive" | "lru") =>
        Effect.gen(function* () {
          const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })
          for (let i = 0; i < 20_000; i++) yield* find(i % 150)
          return (yield* stats).hits
        }).pipe(Effect.provide(MemoryCache.layer({ capacity: 100, eviction })))
      return Effect.gen(function* () {
        assert.strictEqual(yield* hitsWith("lru"), 0)
        assert.isAbove(yield* hitsWith("adaptive"), 8_000)
      })
    })
  })

  describe("weigh", () => {
    const weigh = (value: unknown) => (value as string).length

    it.effect("maxWeight - limits the sum, and a value above it is returned and not stored", () => {
      const find = Cached.ttl((length: number) => Effect.succeed("x".repeat(length)), { key: "k:{}", ...minute })
      return Effect.gen(function* () {
        for (const length of [40, 41, 42]) yield* find(length)
        assert.strictEqual(yield* entries, 2)
        assert.lengthOf(yield* find(101), 101)
        deepStrictEqual(yield* find.peek(101), Option.none())
        assert.strictEqual(yield* entries, 2)
        assert.strictEqual((yield* stats).evictions.capacity, 2)
      }).pipe(Effect.provide(MemoryCache.layer({ maxWeight: 100, weigh })))
    })

    for (const [what, returns] of [
      ["throws", () => assert.fail("no weight")],
      ["returns NaN", () => Number.NaN],
      ["returns a fraction", () => 0.5],
      ["returns a negative number", () => -1],
      ["returns more than 32 bits", () => 2 ** 32]
    ] as ReadonlyArray<readonly [string, () => number]>) {
      for (const maxWeight of [100, Number.POSITIVE_INFINITY]) {
        it.effect(
          `${what}, with a maxWeight of ${maxWeight} - the value is returned, not stored, and a problem`,
          () => {
            const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })
            return Effect.gen(function* () {
              assert.strictEqual(yield* find(1), 1)
              assert.strictEqual(yield* find(1), 1)
              assert.strictEqual(yield* entries, 0)
              const { problems } = yield* (yield* CacheStore).health
              deepStrictEqual(problems.map(({ name, subject }) => [name, subject]).sort(), [
                ["HandlerFailed", "weigh"],
                ["ValueRefused", "k:{}"]
              ])
            }).pipe(Effect.provide(Layer.provideMerge(MemoryCache.layer({ maxWeight, weigh: returns }), quiet)))
          }
        )
      }
    }

    for (const [option, options] of [
      ["maxWeight", { maxWeight: 1 }],
      ["weigh", { weigh }],
      ["capacity", { weigh, maxWeight: 1, capacity: 1 }],
      ["maxWeight", { weigh, maxWeight: 0 }],
      ["weigh", { weigh: 1 as never, maxWeight: 1 }],
      ["eviction", { eviction: "fifo" as never }]
    ] as ReadonlyArray<readonly [string, MemoryCache.BackendOptions]>) {
      it.effect(`only ${Object.keys(options)} - dies with InvalidOption, which names ${option}`, () =>
        Effect.gen(function* () {
          for (const made of [MemoryCache.make(options), MemoryCache.backend(options)]) {
            const exit = yield* Effect.exit(Effect.scoped(Effect.asVoid<unknown, never, Scope.Scope>(made)))
            const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
            assert.instanceOf(defect, CacheError.InvalidOption)
            assert.strictEqual(defect.option, option)
          }
        })
      )
    }
  })

  describe("expired entries", () => {
    it.effect("are removed by later writes, without being read", () =>
      Effect.gen(function* () {
        const store = yield* CacheStore
        for (let i = 0; i < 100; i++) yield* store.set(`dead${i}`, i, { ttl: "1 second" })
        yield* TestClock.adjust("1 second")
        assert.isFalse(yield* store.has("dead1"))
        for (let i = 0; i < 100; i++) yield* store.set(`alive${i}`, i, minute)
        assert.strictEqual(yield* entries, 100)
        assert.strictEqual((yield* stats).evictions.expired, 100)
      }).pipe(Effect.provide(MemoryCacheLive))
    )

    it.effect("stale entries - have not expired, and stay", () =>
      Effect.gen(function* () {
        const store = yield* CacheStore
        for (let i = 0; i < 10; i++) yield* store.set(`stale${i}`, i, { ttl: "1 second", stale: "1 hour" })
        yield* TestClock.adjust("1 minute")
        for (let i = 0; i < 100; i++) yield* store.set(`k${i}`, i, minute)
        assert.isTrue(yield* store.has("stale0"))
        assert.strictEqual((yield* stats).evictions.expired, 0)
      }).pipe(Effect.provide(MemoryCacheLive))
    )

    it.effect("a full store - removes expired entries before others", () =>
      Effect.gen(function* () {
        const store = yield* CacheStore
        yield* store.set("alive", 1, minute)
        yield* store.set("dead", 1, { ttl: "1 second" })
        yield* TestClock.adjust("1 second")
        yield* store.set("new", 1, minute)
        assert.isTrue(yield* store.has("alive"))
        const { evictions } = yield* stats
        deepStrictEqual([evictions.expired, evictions.capacity], [1, 0])
      }).pipe(Effect.provide(MemoryCache.layer({ capacity: 2 })))
    )
  })

  describe("layer", () => {
    it.effect("two layers - are two stores, and no entry outlives its layer", () => {
      const { lookup, calls } = counting()
      const cached = Cached.ttl(lookup(), { key: "k", ...minute })
      const once = Effect.all([cached, cached])
      return Effect.gen(function* () {
        deepStrictEqual(yield* Effect.provide(once, MemoryCache.layer()), [1, 1])
        deepStrictEqual(yield* Effect.provide(once, MemoryCache.layer()), [2, 2])
        deepStrictEqual(yield* Effect.provide(once, MemoryCacheLive), [3, 3])
        assert.strictEqual(calls.length, 3)
      })
    })

    it.effect("name - is the name of the store in health", () =>
      Effect.gen(function* () {
        const store = yield* CacheStore
        assert.strictEqual((yield* store.health).store, "sessions")
      }).pipe(Effect.provide(MemoryCache.layer({ name: "sessions" })))
    )
  })

  describe("layerConfig", () => {
    const config = { capacity: Config.integer("CAPACITY"), name: Config.withDefault(Config.string("NAME"), "memory") }
    const from = (values: Record<string, string>) =>
      Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(values))))

    it.effect("options - come from Config", () =>
      Effect.gen(function* () {
        const store = yield* CacheStore
        for (let i = 0; i < 10; i++) yield* store.set(`k${i}`, i, minute)
        assert.strictEqual(yield* entries, 3)
        assert.strictEqual((yield* store.health).store, "memory")
      }).pipe(Effect.provide(Layer.provide(MemoryCache.layerConfig(config), from({ CAPACITY: "3" }))))
    )

    it.effect("a missing option - is a ConfigError", () =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(
          Effect.provide(CacheStore, Layer.provide(MemoryCache.layerConfig(config), from({})))
        )
        assert.isTrue(Exit.isFailure(exit) && Cause.isFailType(exit.cause))
      })
    )

    it.effect("an invalid capacity - dies with InvalidOption", () =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(
          Effect.provide(CacheStore, Layer.provide(MemoryCache.layerConfig(config), from({ CAPACITY: "0" })))
        )
        assert.instanceOf(Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined, CacheError.InvalidOption)
      })
    )

    it.effect("all options - come from one Config", () =>
      Effect.gen(function* () {
        const store = yield* CacheStore
        yield* store.set("a", 1, minute)
        yield* store.set("b", 1, minute)
        assert.strictEqual(yield* entries, 1)
      }).pipe(Effect.provide(MemoryCache.layerConfig(Config.succeed({ capacity: 1 }))))
    )
  })
})
