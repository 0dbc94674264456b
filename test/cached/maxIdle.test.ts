/** `maxIdle`: an entry that nobody reads for this long expires. */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import {
  Config,
  Context,
  Duration,
  Effect,
  Layer,
  ManagedRuntime,
  Option,
  Request,
  RequestResolver,
  Schema,
  TestClock
} from "effect"
import { Cached, CacheError, CachePolicy, CacheStore, Envelope, MemoryCache, MemoryCacheLive } from "effect-cached"
import * as FileCache from "effect-cached/FileCache"
import * as GcsCache from "effect-cached/GcsCache"
import * as KeyValueCache from "effect-cached/KeyValueCache"
import * as RedisCache from "effect-cached/RedisCache"
import * as S3Cache from "effect-cached/S3Cache"
import { afterAll } from "vitest"
import * as TieredCache from "../../src/TieredCache.js"
import { becomes, counting, defectOf, numbered, settled, stats, thenDoes } from "../laws/support.js"
import { freshPrefix, RedisServer } from "../support/redis.js"
import { coherent, nodeOf } from "../support/redis-nodes.js"
import * as Rgw from "../support/rgw.js"

const server = ManagedRuntime.make(RedisServer.layer)
afterAll(() => server.dispose())

const on = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, MemoryCacheLive)

/** A store on the server of the tests, with a prefix of its own. */
const onServer = (make: (url: string, prefix: string) => Effect.Effect<CacheStore.Service, never, any>) =>
  Layer.scoped(
    CacheStore,
    Effect.gen(function* () {
      const { redis } = yield* Effect.promise(() => server.runPromise(Effect.map(RedisServer, (redis) => ({ redis }))))
      return yield* make(redis.url, yield* freshPrefix) as Effect.Effect<CacheStore.Service>
    })
  ) as Layer.Layer<CacheStore>

/** On a busy machine an operation may take long, and one that fails is not tried again at once. */
const timeout = "10 seconds"

const stores: ReadonlyArray<readonly [name: string, layer: Layer.Layer<CacheStore>]> = [
  ["memory", MemoryCacheLive],
  ["memory of bytes", MemoryCache.layer({ values: "serialized" })],
  ["redis", onServer((url, prefix) => RedisCache.make({ url, prefix, timeout }))],
  [
    "memory over redis",
    onServer((url, prefix) =>
      Effect.tap(RedisCache.makeHybrid({ l2: { url, prefix, timeout } }), (store) => coherent(nodeOf(store), true))
    )
  ]
]

const options = { key: "k", ttl: "1 minute", maxIdle: "16 seconds" } as const

/** Waits until earlier writes of the store are done. A read of a value that is being written renews nothing. */
const written = Effect.flatMap(CacheStore, (store) =>
  Effect.zipRight(store.set("barrier", 0, { ttl: "1 minute" }), store.remove("barrier"))
)

/** When the entry expires if nobody reads it. */
const idleUntil = <R>(cached: Cached.CachedEffect<number, never, R>) =>
  Effect.map(cached.entry, (entry) => Option.getOrThrow(entry).idleUntil)

/** Reads, and waits until the store has recorded it. */
const use = <R>(cached: Cached.CachedEffect<number, never, R>, until: number) =>
  Effect.tap(cached, () => becomes(idleUntil(cached), until))

describe("maxIdle", () => {
  for (const [name, layer] of stores) {
    describe(name, () => {
      it.effect("a read - lets the entry live on for as long again, and at most to its end", () =>
        Effect.gen(function* () {
          const { calls, lookup } = counting()
          const cached = Cached.ttl(lookup(), options)
          yield* cached
          yield* written
          yield* becomes(idleUntil(cached), 16_000)
          yield* TestClock.adjust("15 seconds")
          assert.strictEqual(yield* use(cached, 31_000), 1)
          yield* TestClock.adjust("15 seconds")
          assert.strictEqual(yield* use(cached, 46_000), 1)
          yield* TestClock.adjust("15 seconds")
          assert.strictEqual(yield* use(cached, 60_000), 1)
          yield* TestClock.adjust(14_999)
          assert.strictEqual(yield* cached, 1)
          yield* TestClock.adjust(1)
          assert.strictEqual(yield* cached, 2)
          assert.strictEqual(calls.length, 2)
        }).pipe(Effect.provide(layer))
      )

      it.effect("without a read - the entry expires, and is absent to all that reads", () =>
        Effect.gen(function* () {
          const { lookup } = counting()
          const store = yield* CacheStore
          const cached = Cached.swr(lookup(), { ...options, stale: "1 hour" })
          yield* cached
          yield* written
          yield* becomes(idleUntil(cached), 16_000)
          yield* TestClock.adjust(15_999)
          deepStrictEqual(
            [yield* cached.peek, yield* store.has("k"), Option.map(yield* cached.entry, ({ state }) => state)],
            [Option.some(1), true, Option.some("fresh")]
          )
          yield* TestClock.adjust(1)
          deepStrictEqual([yield* cached.peek, yield* store.has("k")], [Option.none(), false])
          deepStrictEqual([yield* cached.entry, yield* store.entry("k")], [Option.none(), Option.none()])
          deepStrictEqual([yield* store.get("k"), yield* store.getMany(["k"])], [Option.none(), [Option.none()]])
          assert.isTrue(yield* store.setIfAbsent("k", 7, { ttl: "1 minute" }))
          deepStrictEqual(yield* store.get("k"), Option.some(7))
          assert.strictEqual(yield* cached, 2)
        }).pipe(Effect.provide(layer))
      )

      it.effect("get and getMany of the store - are reads", () =>
        Effect.gen(function* () {
          const { calls, lookup } = counting()
          const store = yield* CacheStore
          const cached = Cached.ttl(lookup(), options)
          yield* cached
          yield* written
          yield* becomes(idleUntil(cached), 16_000)
          yield* TestClock.adjust("15 seconds")
          deepStrictEqual(yield* store.get("k"), Option.some(1))
          yield* becomes(idleUntil(cached), 31_000)
          yield* TestClock.adjust("15 seconds")
          deepStrictEqual(yield* store.getMany(["other", "k"]), [Option.none(), Option.some(1)])
          yield* becomes(idleUntil(cached), 46_000)
          assert.strictEqual(calls.length, 1)
        }).pipe(Effect.provide(layer))
      )

      it.effect("a stale value - lives on by its reads, too", () =>
        Effect.gen(function* () {
          const { calls, lookup } = thenDoes(() => Effect.never)
          const cached = Cached.swr(lookup(), { ...options, ttl: "10 seconds", stale: "90 seconds" })
          yield* cached
          yield* written
          yield* becomes(idleUntil(cached), 16_000)
          yield* TestClock.adjust("15 seconds")
          assert.strictEqual(yield* use(cached, 31_000), 1)
          yield* TestClock.adjust("15 seconds")
          assert.strictEqual(yield* use(cached, 46_000), 1)
          assert.strictEqual(calls.length, 2)
        }).pipe(Effect.provide(layer))
      )

      it.effect("a value that is kept for failures - lives on by its reads, too", () =>
        Effect.gen(function* () {
          const { lookup } = thenDoes(() => Effect.fail("down"))
          const cached = Cached.ttl(lookup(), { ...options, ttl: "10 seconds", staleIfError: "90 seconds" })
          const idle = Effect.map(cached.entry, (entry) => Option.getOrThrow(entry).idleUntil)
          yield* cached
          yield* written
          yield* becomes(idle, 16_000)
          yield* TestClock.adjust("15 seconds")
          assert.strictEqual(yield* cached, 1)
          yield* becomes(idle, 31_000)
          yield* TestClock.adjust("15 seconds")
          assert.strictEqual(yield* cached, 1)
          yield* becomes(idle, 46_000)
          yield* TestClock.adjust("16 seconds")
          assert.strictEqual(yield* Effect.flip(cached), "down")
        }).pipe(Effect.provide(layer))
      )

      it.effect("a value that was set, and batches - live on as loaded ones do", () =>
        Effect.gen(function* () {
          const { calls, lookup } = numbered((_, ids: ReadonlyArray<number>) =>
            Effect.succeed(ids.map((id) => [id, id] as const))
          )
          const get = Cached.batched(lookup, { ...options, key: "n:{}" })
          yield* get.set(1)(Option.some(7))
          yield* get(2)
          const ends = Effect.forEach([1, 2], (id) =>
            Effect.map(get.entry(id), (entry) => Option.getOrThrow(entry).idleUntil)
          )
          yield* written
          yield* becomes(ends, [16_000, 16_000])
          yield* TestClock.adjust("15 seconds")
          deepStrictEqual(yield* get.many([1, 2]), [Option.some(7), Option.some(2)])
          yield* becomes(ends, [31_000, 31_000])
          yield* TestClock.adjust("15 seconds")
          deepStrictEqual([yield* get(1), yield* get(2)], [Option.some(7), Option.some(2)])
          yield* becomes(ends, [46_000, 46_000])
          assert.strictEqual(calls.length, 1)
        }).pipe(Effect.provide(layer))
      )

      it.effect("a mark and a removal - win over reads before and after them", () =>
        Effect.gen(function* () {
          const { calls, lookup } = counting()
          const store = yield* CacheStore
          const cached = Cached.ttl(lookup(), options)
          for (const invalidate of [cached.invalidate, store.clear]) {
            const before = yield* cached
            yield* TestClock.adjust("5 seconds")
            yield* cached
            yield* invalidate
            deepStrictEqual(yield* cached.peek, Option.none())
            assert.strictEqual(yield* cached, before + 1)
          }
          assert.strictEqual(calls.length, 3)
        }).pipe(Effect.provide(layer))
      )

      it.effect("expire - leaves the idle time as it is", () =>
        Effect.gen(function* () {
          const { lookup } = thenDoes(() => Effect.never)
          const store = yield* CacheStore
          const cached = Cached.swr(lookup(), { ...options, ttl: "50 seconds", stale: "50 seconds" })
          yield* cached
          yield* written
          yield* becomes(idleUntil(cached), 16_000)
          yield* TestClock.adjust("2 seconds")
          yield* store.expire("k")
          yield* becomes(
            Effect.map(cached.entry, (entry) => {
              const { expiresAt, idleUntil, state } = Option.getOrThrow(entry)
              return [state, idleUntil, expiresAt]
            }),
            ["stale", 16_000, 52_000]
          )
          yield* TestClock.adjust("8 seconds")
          assert.strictEqual(yield* use(cached, 26_000), 1)
          yield* TestClock.adjust("16 seconds")
          deepStrictEqual(yield* cached.peek, Option.none())
        }).pipe(Effect.provide(layer))
      )

      for (const verb of ["expireTags", "expireAll"] as const) {
        it.effect(`${verb} - the entry expires when nobody reads it, and no later than without`, () =>
          Effect.gen(function* () {
            const { lookup } = thenDoes(() => Effect.never)
            const find = Cached.swr((_: string) => lookup(), {
              ...options,
              key: "k:{}",
              ttl: "50 seconds",
              stale: "50 seconds",
              tags: ["t"]
            })
            const times = Effect.map(
              find.entry("a"),
              Option.map(({ idleUntil, staleUntil, state }) => [state, idleUntil, staleUntil])
            )
            yield* find("a")
            yield* written
            yield* becomes(times, Option.some(["fresh", 16_000, 100_000]))
            yield* TestClock.adjust("2 seconds")
            yield* verb === "expireAll" ? find.expireAll : Cached.expireTags(["t"])
            deepStrictEqual(yield* times, Option.some(["stale", 16_000, 52_000]))
            yield* TestClock.adjust("8 seconds")
            // a read of the stale value is one
            assert.strictEqual(yield* find("a"), 1)
            yield* becomes(times, Option.some(["stale", 26_000, 52_000]))
            yield* TestClock.adjust("15999 millis")
            deepStrictEqual(yield* find.peek("a"), Option.some(1))
            yield* TestClock.adjust("1 millis")
            deepStrictEqual(yield* find.peek("a"), Option.none())
          }).pipe(Effect.provide(layer))
        )
      }
    })
  }
})

describe("maxIdle in memory", () => {
  it.effect("a read - counts to a sixteenth of the time, and the entry never lives longer than it should", () =>
    on(
      Effect.gen(function* () {
        const cached = Cached.ttl(counting().lookup(), options)
        yield* cached
        yield* TestClock.adjust(999)
        yield* cached
        assert.strictEqual(yield* idleUntil(cached), 16_000)
        yield* TestClock.adjust(1)
        yield* cached
        assert.strictEqual(yield* idleUntil(cached), 17_000)
        // the first reads decide until when further ones are answered at once: they must not hide one that counts
        for (let read = 0; read < 20; read++) {
          yield* TestClock.adjust(500)
          yield* cached
        }
        assert.strictEqual(yield* idleUntil(cached), 27_000)
      })
    )
  )

  it.effect("an entry that nobody reads - is freed by later writes, as expired", () =>
    Effect.gen(function* () {
      const store = yield* CacheStore
      const get = Cached.ttl((n: number) => Effect.succeed(n), { ...options, key: "n:{}" })
      yield* Effect.forEach([1, 2, 3], (n) => get(n))
      yield* TestClock.adjust("16 seconds")
      yield* Effect.forEach([4, 5, 6], (n) => get(n))
      deepStrictEqual((yield* store.stats).entries, Option.some(3))
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 100 })))
  )

  it.effect("sweep - frees what nobody has read", () =>
    on(
      Effect.gen(function* () {
        const store = yield* CacheStore
        yield* Cached.ttl(counting().lookup(), options)
        yield* TestClock.adjust(15_999)
        deepStrictEqual(yield* store.sweep, { seen: 1, removed: 0 })
        yield* TestClock.adjust(1)
        deepStrictEqual(yield* store.sweep, { seen: 1, removed: 1 })
      })
    )
  )

  it.effect("a hit - is a hit, and the miss after the time is a miss", () =>
    on(
      Effect.gen(function* () {
        const cached = Cached.ttl(counting().lookup(), options)
        yield* cached
        yield* TestClock.adjust("8 seconds")
        yield* cached
        yield* TestClock.adjust("16 seconds")
        yield* cached
        const { hits, misses } = yield* stats
        deepStrictEqual({ hits, misses }, { hits: 1, misses: 2 })
      })
    )
  )

  it.effect("maxIdle that is not shorter than the life - has no effect, and leaves nothing in the entry", () =>
    on(
      Effect.gen(function* () {
        for (const maxIdle of ["1 minute", "2 minutes", Duration.infinity] as const) {
          const cached = Cached.ttl(counting().lookup(), { ...options, maxIdle })
          yield* cached.refresh
          assert.isFalse("idleUntil" in Option.getOrThrow(yield* cached.entry))
        }
        // of the whole life
        const swr = Cached.swr(counting().lookup(), { ...options, key: "s", stale: "1 minute", maxIdle: "119 seconds" })
        yield* swr
        assert.strictEqual(yield* idleUntil(swr), 119_000)
      })
    )
  )

  it.effect("a value without an end - expires when nobody reads it", () =>
    on(
      Effect.gen(function* () {
        const { calls, lookup } = counting()
        const cached = Cached.ttl(lookup(), { ...options, ttl: Duration.infinity })
        yield* cached
        for (let read = 0; read < 10; read++) {
          yield* TestClock.adjust("15 seconds")
          yield* cached
        }
        assert.strictEqual(calls.length, 1)
        yield* TestClock.adjust("16 seconds")
        yield* cached
        assert.strictEqual(calls.length, 2)
      })
    )
  )

  it.effect("refreshAhead - is still due at its fraction", () =>
    on(
      Effect.gen(function* () {
        const { calls, lookup } = counting()
        const cached = Cached.ttl(lookup(), { ...options, refreshAhead: 0.5 })
        yield* cached
        for (let read = 0; read < 6; read++) {
          yield* TestClock.adjust("5 seconds")
          yield* cached
          yield* settled
          assert.strictEqual(calls.length, read === 5 ? 2 : 1)
        }
      })
    )
  )

  it.effect("reads inside a transaction - are no use of the entry", () =>
    Effect.gen(function* () {
      class Transaction extends Context.Tag("test/Transaction")<Transaction, string>() {}
      const store = yield* MemoryCache.make({ bypassIn: [Transaction] })
      const { lookup } = counting()
      const cached = Cached.ttl(lookup(), options)
      const run = Effect.provideService(CacheStore, store)
      yield* run(cached)
      yield* TestClock.adjust("8 seconds")
      yield* Effect.provideService(run(cached), Transaction, "t")
      assert.strictEqual(yield* run(idleUntil(cached)), 16_000)
      yield* run(cached)
      assert.strictEqual(yield* run(idleUntil(cached)), 24_000)
    }).pipe(Effect.scoped)
  )

  it.effect("partition - each tenant keeps its own entry alive", () =>
    on(
      Effect.gen(function* () {
        class Tenant extends Context.Tag("test/Tenant")<Tenant, string>() {}
        const { calls, lookup } = counting()
        const cached = Cached.ttl(lookup(), { ...options, partition: Tenant })
        const as = (tenant: string) => Effect.provideService(cached, Tenant, tenant)
        yield* as("a")
        yield* as("b")
        yield* TestClock.adjust("15 seconds")
        yield* as("a")
        yield* TestClock.adjust("15 seconds")
        yield* as("a")
        assert.strictEqual(calls.length, 2)
        yield* as("b")
        assert.strictEqual(calls.length, 3)
      })
    )
  )

  it.effect("entities, also without a lookup, and resolvers - take it", () =>
    on(
      Effect.gen(function* () {
        class User extends Schema.Class<User>("User")({ id: Schema.Number }) {}
        const { key: _, ...life } = options
        const users = Cached.entity(User, { name: "User", key: ["id"], ...life })
        yield* users.put(new User({ id: 1 }))
        class GetName extends Request.TaggedClass("GetName")<string, never, { readonly id: number }> {}
        let asked = 0
        const names = RequestResolver.fromEffect((request: GetName) =>
          Effect.sync(() => `${request.id}, call ${++asked}`)
        )
        const resolver = yield* Cached.resolver(names, { ...life, name: "names", key: ({ id }) => String(id) })
        const name = Effect.request(new GetName({ id: 1 }), resolver)
        yield* name
        for (let read = 0; read < 3; read++) {
          yield* TestClock.adjust("15 seconds")
          assert.isTrue(Option.isSome(yield* users.get(1)))
          assert.strictEqual(yield* name, "1, call 1")
        }
        yield* users.put(new User({ id: 1 }))
        yield* TestClock.adjust("16 seconds")
        deepStrictEqual(yield* users.get(1), Option.none())
        assert.strictEqual(yield* name, "1, call 2")
      })
    )
  )

  it.effect("CachePolicy and its exceptions - set it", () => {
    const policy = CachePolicy.layerConfig({
      ttl: Config.succeed("1 minute" as const),
      maxIdle: Config.succeed("16 seconds" as const),
      functions: { b: { maxIdle: Config.succeed("8 seconds" as const) } }
    })
    return Effect.gen(function* () {
      const a = Cached.policy(counting().lookup(), { key: "a" })
      const b = Cached.policy(counting().lookup(), { key: "b" })
      yield* a
      yield* b
      deepStrictEqual([yield* idleUntil(a), yield* idleUntil(b)], [16_000, 8_000])
    }).pipe(Effect.provide(Layer.merge(MemoryCacheLive, policy)))
  })

  it.effect("what is no time above zero - is InvalidOption, and names the function", () =>
    Effect.gen(function* () {
      for (const maxIdle of [0, -1, Number.NaN, "soon" as never, "-1 second" as never]) {
        for (const [of, use] of [
          ["rates", Effect.asVoid(Cached.ttl(Effect.succeed(1), { ...options, name: "rates", maxIdle }))],
          ["rates", Effect.scoped(Layer.build(CachePolicy.layer({ ttl: 1, functions: { rates: { maxIdle } } })))],
          ["CachePolicy", Effect.scoped(Layer.build(CachePolicy.layer({ ttl: 1, maxIdle })))]
        ] as const) {
          const defect = defectOf(yield* Effect.exit(on(Effect.asVoid(use))))
          assert.instanceOf(defect, CacheError.InvalidOption)
          deepStrictEqual([defect.option, defect.of], ["maxIdle", of])
        }
      }
    })
  )
})

describe("maxIdle on a store that cannot let an entry live on", () => {
  const unable: ReadonlyArray<readonly [name: string, make: Effect.Effect<CacheStore.Service, unknown, any>]> = [
    ["file", FileCache.make({ directory: "/nonexistent" })],
    ["s3", S3Cache.make({ bucket: "b", client: Rgw.clientConfig(1) })],
    [
      "gcs",
      GcsCache.make({
        bucket: "b",
        client: { apiEndpoint: "http://127.0.0.1:1", useAuthWithCustomEndpoint: false, projectId: "p" }
      })
    ],
    ["key-value", Effect.provide(CacheStore, Layer.provide(KeyValueCache.layer(), KeyValueStore.layerMemory))],
    ["redis", RedisCache.make({ url: "redis://127.0.0.1:1", connectTimeout: 1, envelope: Envelope.advancedCaching })],
    [
      "tiered",
      TieredCache.make({
        tiers: [{ backend: MemoryCache.backend() }, { backend: FileCache.backend({ directory: "/nonexistent" }) }]
      })
    ]
  ]
  for (const [name, make] of unable) {
    it.scoped(`${name} - is InvalidOption, which names the function and the store, for whatever is used first`, () =>
      Effect.gen(function* () {
        const store = yield* make as Effect.Effect<CacheStore.Service>
        const made = () => Cached.ttl(counting().lookup(), { ...options, name: "rates" })
        for (const use of [made(), made().refresh, made().set(1), made().peek]) {
          const defect = defectOf(yield* Effect.exit(Effect.provideService(use, CacheStore, store)))
          assert.instanceOf(defect, CacheError.InvalidOption)
          deepStrictEqual([defect.option, defect.of], ["maxIdle", "rates"])
          assert.include(defect.message, name)
        }
        // every time, not only at first
        const cached = made()
        for (let read = 0; read < 2; read++) {
          assert.isDefined(defectOf(yield* Effect.exit(Effect.provideService(cached, CacheStore, store))))
        }
      }).pipe(Effect.provide(NodeContext.layer))
    )
  }
})
