import { afterAll, assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Config, ConfigProvider, Effect, Fiber, Layer, ManagedRuntime, Schema } from "effect"
import { Cached, CachePolicy, type CacheStore, InvalidOption, MemoryCache } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import { begun, defectOf, gate, makeLookup, recordWarnings, settled, waiting } from "../laws/support.js"
import { freshPrefix, RedisServer } from "../support/redis.js"
import { concurrency } from "./concurrency.js"

const server = ManagedRuntime.make(RedisServer.layer)
afterAll(() => server.dispose())

const onServer = <A, E>(use: (url: string, prefix: string) => Layer.Layer<A, E>): Layer.Layer<A, E> =>
  Layer.unwrapEffect(
    Effect.zipWith(
      Effect.promise(() => server.runPromise(RedisServer)),
      freshPrefix,
      ({ url }, prefix) => use(url, prefix)
    )
  )

concurrency({ name: "memory", layer: MemoryCache.layer(), remote: false })
concurrency({ name: "redis", layer: onServer((url, prefix) => RedisCache.layer({ url, prefix })), remote: true })
concurrency({
  name: "memory in front of redis",
  layer: onServer((url, prefix) => RedisCache.layerHybrid({ l2: { url, prefix } })),
  remote: true
})

describe("concurrency", () => {
  it.effect("two processes - each has permits of its own", () =>
    Effect.gen(function* () {
      const prefix = yield* freshPrefix
      const { url } = yield* Effect.promise(() => server.runPromise(RedisServer))
      const door = gate()
      const { calls, lookup } = makeLookup((id: number) => Effect.as(door.pass, id))
      const find = () => Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute", concurrency: 1 })
      const process = (ids: ReadonlyArray<number>) =>
        Effect.forEach(ids, find(), { concurrency: "unbounded" }).pipe(
          Effect.provide(RedisCache.layer({ url, prefix })),
          Effect.fork
        )
      const fibers = [yield* process([1, 2]), yield* process([3, 4])]
      yield* begun(calls, 2)
      yield* settled
      assert.lengthOf(calls, 2)
      yield* door.open
      deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), [
        [1, 2],
        [3, 4]
      ])
    })
  )

  it.effect("loads beyond maxFlights - wait for a permit, too, and may read within", () => {
    const { layer } = recordWarnings()
    return Effect.gen(function* () {
      const door = gate()
      let running = 0
      let most = 0
      const inner = Cached.ttl((id: number) => Effect.succeed(id), { key: "in:{}", ttl: "1 minute", concurrency: 1 })
      const { calls, lookup } = makeLookup((id: number) =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            most = Math.max(most, ++running)
          }),
          () => Effect.zipRight(door.pass, Effect.zipRight(inner(id), find(id + 100))),
          () =>
            Effect.sync(() => {
              running--
            })
        )
      )
      const find: Cached.CachedFunction<[number], number, never, CacheStore> = Cached.ttl(
        (id: number) => (id > 100 ? Effect.succeed(id) : lookup(id)),
        { key: "k:{}", ttl: "1 minute", concurrency: 1 }
      )
      const fibers = yield* Effect.forEach([1, 2, 3, 4], (id) => Effect.fork(find(id)))
      yield* waiting(4)
      yield* begun(calls)
      yield* settled
      assert.lengthOf(calls, 1)
      // one that leaves while it waits
      yield* Fiber.interrupt(fibers[2]!)
      yield* door.open
      deepStrictEqual(yield* Effect.forEach([fibers[0]!, fibers[1]!, fibers[3]!], Fiber.join), [101, 102, 104])
      assert.strictEqual(most, 1)
      assert.lengthOf(calls, 3)
    }).pipe(Effect.provide(Layer.provide(MemoryCache.layer({ maxFlights: 1 }), layer)))
  })

  it.effect("bypass and a ttl of zero - run the lookup as it would run without a cache", () =>
    Effect.gen(function* () {
      const door = gate()
      const { calls, lookup } = makeLookup((id: number) => Effect.as(door.pass, id))
      const off = Cached.ttl(lookup, { key: "off:{}", ttl: 0, concurrency: 1 })
      const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute", concurrency: 1 })
      const reads = [off(1), off(2), Cached.bypass(find(3)), Cached.bypass(find(4))]
      const fibers = yield* Effect.forEach(reads, Effect.fork)
      yield* begun(calls, 4)
      yield* door.open
      yield* Effect.forEach(fibers, Fiber.join)
    }).pipe(Effect.provide(MemoryCache.layer()))
  )

  const policies = {
    layer: CachePolicy.layer({
      ttl: "1 minute",
      concurrency: 1,
      functions: { "wide:{}": { concurrency: Number.POSITIVE_INFINITY }, "two:{}": { concurrency: 2 } }
    }),
    layerConfig: CachePolicy.layerConfig({
      ttl: Config.duration("TTL"),
      concurrency: Config.integer("CONCURRENCY"),
      functions: {
        "wide:{}": { concurrency: Config.number("WIDE") },
        "two:{}": { concurrency: Config.integer("TWO") }
      }
    }).pipe(
      Layer.provide(
        Layer.setConfigProvider(
          ConfigProvider.fromMap(
            new Map(Object.entries({ TTL: "1 minute", CONCURRENCY: "1", WIDE: "Infinity", TWO: "2" }))
          )
        )
      )
    )
  }
  for (const [name, layer] of Object.entries(policies)) {
    it.effect(`CachePolicy.${name} - limits each function, with exceptions by name`, () =>
      Effect.gen(function* () {
        const door = gate()
        const running = new Map<string, number>()
        const load = (name: string) => (id: number) =>
          Effect.suspend(() => {
            running.set(name, (running.get(name) ?? 0) + 1)
            return Effect.as(door.pass, id)
          })
        const functions = [
          Cached.policy(load("one"), { key: "one:{}" }),
          Cached.policy(load("other"), { key: "other:{}" }),
          Cached.policy(load("two"), { key: "two:{}" }),
          Cached.policy(load("wide"), { key: "wide:{}" })
        ]
        const fibers = yield* Effect.forEach(functions, (find) =>
          Effect.forEach([1, 2, 3, 4], (id) => Effect.fork(find(id)))
        )
        yield* waiting(16)
        yield* settled
        deepStrictEqual(Object.fromEntries(running), { one: 1, other: 1, two: 2, wide: 4 })
        yield* door.open
        yield* Effect.forEach(fibers.flat(), Fiber.join)
      }).pipe(Effect.provide(Layer.merge(MemoryCache.layer(), Layer.orDie(layer))))
    )
  }

  for (const concurrency of [0, -1, 1.5, Number.NaN, Number.NEGATIVE_INFINITY]) {
    it.effect(`${concurrency} - is a defect that names the function`, () =>
      Effect.gen(function* () {
        const lookup = (id: number) => Effect.succeed(id)
        const lookupMany = (ids: ReadonlyArray<number>) => Effect.succeed(ids.map((id) => [id, id] as const))
        const options = { key: "k:{}", ttl: "1 minute", concurrency } as const
        for (const read of [Cached.ttl(lookup, options)(1), Cached.batched(lookupMany, options)(1)]) {
          const defect = defectOf(yield* Effect.exit<unknown, never, CacheStore>(read))
          assert.instanceOf(defect, InvalidOption)
          assert.deepInclude(defect, { option: "concurrency", of: "k:{}" })
        }
        const layer = CachePolicy.layer({ ttl: 1, functions: { "k:{}": { concurrency } } })
        const defect = defectOf(yield* Effect.exit(Effect.scoped(Layer.build(layer))))
        assert.deepInclude(defect, { option: "concurrency", of: "k:{}" })
      }).pipe(Effect.provide(MemoryCache.layer()))
    )
  }

  it.effect("entities - one call of the lookup is one load", () =>
    Effect.gen(function* () {
      const door = gate()
      const { calls, lookup } = makeLookup((ids: ReadonlyArray<number>) =>
        Effect.as(
          door.pass,
          ids.map((id) => ({ id }))
        )
      )
      const users = Cached.entity(Schema.Struct({ id: Schema.Number }), {
        name: "user",
        key: ["id"],
        ttl: "1 minute",
        lookupMany: lookup,
        maxBatchSize: 2,
        concurrency: 1
      })
      const all = yield* Effect.fork(users.getMany([1, 2, 3, 4]))
      yield* begun(calls)
      yield* settled
      assert.lengthOf(calls, 1)
      yield* door.open
      assert.lengthOf(yield* Fiber.join(all), 4)
    }).pipe(Effect.provide(MemoryCache.layer()))
  )
})
