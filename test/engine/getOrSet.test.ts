/** `getOrSet` and `defaultTtl`, where they do not depend on the backend. */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Config, Context, Duration, Effect, Layer, Option, Schema, Tracer } from "effect"
import { CacheError, CacheStore, MemoryCache, MemoryCacheLive, TieredCache } from "../../src/index.js"
import * as ChaosCache from "../../src/testing/ChaosCache.js"
import { becomes, counting, defectOf, recordWarnings, stats } from "../laws/support.js"
import { recordingTracer } from "../support/tracer.js"

const minute = { ttl: "1 minute" } as const

class Tenant extends Context.Tag("Tenant")<Tenant, string>() {}

const on = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, MemoryCacheLive)

/** The option and the message of the `InvalidOption` that an effect dies with. */
const refusal = (effect: Effect.Effect<unknown, unknown, CacheStore>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    const defect = defectOf(exit)
    assert.instanceOf(defect, CacheError.InvalidOption)
    return [defect.option, defect.message] as const
  })

describe("getOrSet", () => {
  for (const ttl of [0, -1, Number.NaN, Duration.zero]) {
    it.effect(`a ttl of ${String(ttl)} - is the defect InvalidOption that names it, also where nothing is loaded`, () =>
      on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.set("k", 1, minute)
          const [option, message] = yield* refusal(store.getOrSet("k", Effect.succeed(2), { ttl, name: "rates" }))
          assert.strictEqual(option, "ttl")
          assert.include(message, "rates")
        })
      )
    )
  }

  it.effect("an invalid stale or flightTimeout - is the defect InvalidOption", () =>
    on(
      Effect.gen(function* () {
        const store = yield* CacheStore
        const read = (options: object) => refusal(store.getOrSet("k", Effect.succeed(2), { ...minute, ...options }))
        assert.strictEqual((yield* read({ stale: -1 }))[0], "stale")
        assert.strictEqual((yield* read({ flightTimeout: 0 }))[0], "flightTimeout")
      })
    )
  )

  it.effect("a lookup - runs with the services of its caller, and its Scope closes when the load ends", () => {
    const ended: Array<string> = []
    const lookup = Effect.gen(function* () {
      yield* Effect.addFinalizer(() => Effect.sync(() => ended.push("scope")))
      return yield* Tenant
    })
    return on(
      Effect.gen(function* () {
        const store = yield* CacheStore
        assert.strictEqual(yield* Effect.provideService(store.getOrSet("k", lookup, minute), Tenant, "a"), "a")
        deepStrictEqual(ended, ["scope"])
      })
    )
  })

  it.effect("calls with equal options - run their own lookups, with their own tags and schemas", () =>
    Effect.gen(function* () {
      const store = yield* CacheStore
      const read = (id: number, options: object = {}) =>
        store.getOrSet(`k:${id}`, Effect.succeed(id), { ...minute, tags: [`tag:${id}`], ...options })
      for (const id of [1, 2, 3]) assert.strictEqual(yield* read(id), id)
      yield* store.tags.invalidate(["tag:2"])
      deepStrictEqual(yield* store.getMany(["k:1", "k:2", "k:3"]), [Option.some(1), Option.none(), Option.some(3)])
      assert.strictEqual(yield* read(4, { tags: (id: number) => [`of:${id}`] }), 4)
      yield* store.tags.invalidate(["of:4"])
      deepStrictEqual(yield* store.get("k:4"), Option.none())
      const plain = yield* store.getOrSet("plain", Effect.succeed("text"), minute)
      const date = yield* store.getOrSet("date", Effect.succeed(new Date(0)), { ...minute, schema: Schema.Date })
      deepStrictEqual([plain, date], ["text", new Date(0)])
    }).pipe(Effect.provide(MemoryCache.layer({ values: "serialized" })))
  )

  it.effect("times that look alike - are told apart", () =>
    on(
      Effect.gen(function* () {
        const store = yield* CacheStore
        const lifeOf = (key: string, options: object) =>
          Effect.zipRight(
            store.getOrSet(key, Effect.succeed(1), options),
            Effect.map(store.entry(key), (view) => {
              const { createdAt, expiresAt, freshUntil } = Option.getOrThrow(view)
              return [freshUntil - createdAt, expiresAt - createdAt]
            })
          )
        deepStrictEqual(yield* lifeOf("number", { ttl: 5_000_000 }), [5_000_000, 5_000_000])
        deepStrictEqual(yield* lifeOf("nanoseconds", { ttl: 5_000_000n }), [5, 5])
        deepStrictEqual(yield* lifeOf("stale", { ttl: 5_000_000, stale: 1 }), [5_000_000, 5_000_001])
        deepStrictEqual(yield* lifeOf("duration", { ttl: Duration.seconds(1) }), [1_000, 1_000])
        assert.strictEqual(
          (yield* refusal(store.getOrSet("text", Effect.succeed(1), { ttl: "5000000" as never })))[0],
          "ttl"
        )
      })
    )
  )

  it.effect("functions of the value - get the value alone", () =>
    on(
      Effect.gen(function* () {
        const store = yield* CacheStore
        const given: Array<ReadonlyArray<unknown>> = []
        const noting =
          <A>(result: A) =>
          (...args: ReadonlyArray<unknown>): A => {
            given.push(args)
            return result
          }
        const options = { ttl: noting("1 minute" as const), stale: noting(0), tags: noting([]) }
        yield* store.getOrSet("k", Effect.succeed(7), options)
        deepStrictEqual(given, [[7], [7], [7]])
      })
    )
  )

  it.effect("law 13: re-entry is caught - a lookup that reads its own key dies with ReentrantLoad", () =>
    on(
      Effect.gen(function* () {
        const store = yield* CacheStore
        const read: Effect.Effect<number> = Effect.suspend(() => store.getOrSet("k", read, minute))
        assert.instanceOf(defectOf(yield* Effect.exit(read)), CacheError.ReentrantLoad)
      })
    )
  )

  it.effect("law 6: the store may fail, the caller may not - reads load while the store is away", () => {
    const { calls, lookup } = counting()
    const broken = Layer.scoped(
      CacheStore,
      Effect.gen(function* () {
        const inner = yield* MemoryCache.backend()
        const { backend, chaos } = yield* ChaosCache.make({ ...inner, unsafeGet: undefined, remote: true })
        yield* chaos.begin({ fail: 1 })
        return yield* CacheStore.make(backend)
      })
    )
    return Effect.gen(function* () {
      const store = yield* CacheStore
      assert.strictEqual(yield* store.getOrSet("k", lookup(), minute), 1)
      // the value waits to be written for a moment, and answers until then
      yield* becomes(store.entry("k"), Option.none())
      assert.strictEqual(yield* store.getOrSet("k", lookup(), minute), 2)
      assert.strictEqual(calls.length, 2)
    }).pipe(Effect.provide(Layer.provideMerge(broken, recordWarnings().layer)))
  })

  it.effect("a noop store - runs the lookup each time", () => {
    const { lookup } = counting()
    return Effect.gen(function* () {
      const store = yield* CacheStore
      yield* store.getOrSet("k", lookup(), minute)
      assert.strictEqual(yield* store.getOrSet("k", lookup(), minute), 2)
    }).pipe(Effect.provide(CacheStore.layerNoop))
  })

  it.effect("spans - name the verb and the label, and never the key", () => {
    const { spans, tracer } = recordingTracer()
    return Effect.gen(function* () {
      const store = yield* CacheStore
      yield* store.getOrSet("secret", Effect.succeed(1), { ...minute, name: "rates" })
      const load = spans.find(({ name }) => name === "Cached.load")
      deepStrictEqual(
        spans.map(({ name }) => name),
        ["CacheStore.getOrSet", "CacheStore.get", "Cached.load"]
      )
      assert.strictEqual(load?.attributes.get("cache.name"), "rates")
      assert.notInclude(JSON.stringify(spans.map(({ attributes }) => [...attributes])), "secret")
    }).pipe(
      Effect.withTracer(tracer),
      Effect.provide(MemoryCache.layer({ values: "serialized" })),
      Effect.provideService(Tracer.Tracer, tracer)
    )
  })
})

describe("defaultTtl", () => {
  const stores = {
    memory: MemoryCache.layer({ defaultTtl: "10 seconds" }),
    "serialized memory": MemoryCache.layer({ defaultTtl: "10 seconds", values: "serialized" }),
    tiers: TieredCache.layer({
      defaultTtl: "10 seconds",
      tiers: [{ backend: MemoryCache.backend({ name: "one" }) }]
    }),
    "from Config": MemoryCache.layerConfig({ defaultTtl: Config.succeed("10 seconds") })
  }

  for (const [name, layer] of Object.entries(stores)) {
    it.effect(`${name} - it is the ttl of every verb that is given none`, () =>
      Effect.gen(function* () {
        const store = yield* CacheStore
        yield* store.set("a", 1)
        yield* store.setMany([["b", 1]], { tags: ["t"] })
        yield* store.setIfAbsent("c", 1)
        yield* store.getOrSet("d", Effect.succeed(1))
        yield* store.set("e", 1, { ttl: "1 minute" })
        const ends = yield* Effect.forEach(["a", "b", "c", "d", "e"], (key) =>
          Effect.map(store.entry(key), (entry) => Option.getOrThrow(entry).expiresAt)
        )
        deepStrictEqual(ends, [10_000, 10_000, 10_000, 10_000, 60_000])
        assert.strictEqual((yield* stats).loads, 1)
      }).pipe(Effect.provide(layer))
    )
  }

  it.effect("infinity - means forever", () =>
    Effect.gen(function* () {
      const store = yield* CacheStore
      yield* store.set("a", 1)
      assert.strictEqual(Option.getOrThrow(yield* store.entry("a")).expiresAt, Number.POSITIVE_INFINITY)
    }).pipe(Effect.provide(MemoryCache.layer({ defaultTtl: Duration.infinity })))
  )

  it.effect("a store without it - a write without a ttl is the defect InvalidOption, which says what to do", () =>
    on(
      Effect.gen(function* () {
        const store = yield* CacheStore
        const verbs = [
          store.set("k", 1),
          store.setMany([["k", 1]]),
          store.setIfAbsent("k", 1),
          store.getOrSet("k", Effect.succeed(1))
        ]
        for (const verb of verbs) {
          const [option, message] = yield* refusal(verb)
          assert.strictEqual(option, "ttl")
          assert.include(message, "`defaultTtl`")
        }
        assert.isFalse(yield* store.has("k"))
      })
    )
  )

  for (const defaultTtl of [0, -1, Number.NaN]) {
    it.effect(`${defaultTtl} - is the defect InvalidOption of the store`, () =>
      Effect.gen(function* () {
        const [option] = yield* refusal(Effect.provide(CacheStore, MemoryCache.layer({ defaultTtl })))
        assert.strictEqual(option, "defaultTtl")
      }).pipe(Effect.provide(MemoryCacheLive))
    )
  }
})
