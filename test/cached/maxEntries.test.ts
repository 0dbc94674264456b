/** `maxEntries`: how many entries a function may have in memory. */
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Config, Effect, Layer, Option, Schema } from "effect"
import { Cached, CacheError, CachePolicy, CacheStore, MemoryCache, MemoryCacheLive, TieredCache } from "effect-cached"
import { defectOf, minute, stats } from "../laws/support.js"
import * as Shelf from "../support/shelf.js"

const ids = Array.from({ length: 10 }, (_, i) => i)
const lookup = (id: number) => Effect.succeed(`value ${id}`)
const named = (name: string, maxEntries: number | undefined) =>
  Cached.ttl(lookup, { key: `${name}:{}`, name, ...minute, maxEntries })

/** Which ids a function has entries of. */
const stored = <R>(find: { readonly peek: (id: number) => Effect.Effect<Option.Option<unknown>, never, R> }) =>
  Effect.filter(ids, (id) => Effect.map(find.peek(id), Option.isSome))

const inMemory = (layer: Layer.Layer<CacheStore>, name: string) => {
  const on = Effect.provide(layer)
  it.effect(`${name} - keeps those that were used last, and touches no other function`, () =>
    Effect.gen(function* () {
      const find = named("limited", 3)
      const other = named("other", undefined)
      yield* Effect.forEach(ids, other)
      for (const id of [0, 1, 2]) yield* find(id)
      // the first read after a load judges the entry, the others need no object
      for (let i = 0; i < 3; i++) yield* find(0)
      yield* find(3)
      deepStrictEqual(yield* stored(find), [0, 2, 3])
      yield* find(0)
      yield* find(4)
      yield* find(5)
      deepStrictEqual(yield* stored(find), [0, 4, 5])
      deepStrictEqual(yield* stored(other), ids)
      const { caches, evictions } = yield* stats
      assert.strictEqual(evictions.capacity, 3)
      assert.strictEqual(caches.limited!.evictions.capacity, 3)
      assert.strictEqual(caches.other!.evictions.capacity, 0)
      assert.isEmpty((yield* (yield* CacheStore).health).problems)
    }).pipe(on)
  )
}

describe("maxEntries", () => {
  inMemory(MemoryCacheLive, "memory")
  inMemory(MemoryCache.layer({ eviction: "lru" }), "memory with lru")
  inMemory(MemoryCache.layer({ capacity: Number.POSITIVE_INFINITY }), "memory without a limit")
  inMemory(MemoryCache.layer({ values: "frozen" }), "frozen values")
  inMemory(MemoryCache.layer({ values: "serialized" }), "serialized values")
  inMemory(TieredCache.layer({ tiers: [{ backend: MemoryCache.backend() }] }), "a single tier in memory")

  it.effect("above other tiers - limits the copies in memory, and not what the slower tier has", () => {
    const shelf = new Shelf.Shelf()
    const layer = Layer.scoped(
      CacheStore,
      TieredCache.make({
        tiers: [
          { backend: MemoryCache.backend() },
          { backend: Effect.succeed(CacheStore.fromBytes(Shelf.backend(shelf))) }
        ]
      })
    )
    return Effect.gen(function* () {
      const find = named("limited", 3)
      yield* Effect.forEach(ids, find)
      assert.strictEqual(Option.getOrThrow((yield* stats).entries), 3)
      deepStrictEqual(yield* stored(find), ids)
      assert.isEmpty((yield* (yield* CacheStore).health).problems)
    }).pipe(Effect.provide(layer))
  })

  it.effect("values that are set before the first read - count", () =>
    Effect.gen(function* () {
      const find = named("limited", 3)
      for (const id of ids) yield* find.set(id)(`set ${id}`)
      deepStrictEqual(yield* stored(find), [7, 8, 9])
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  for (const values of ["shared", "serialized"] as const) {
    it.effect(`a policy without the limit of the one before, ${values} values - lifts it`, () =>
      Effect.gen(function* () {
        const find = Cached.policy(lookup, { key: "policy:{}", name: "policy" })
        const read = (maxEntries?: number) =>
          Effect.forEach(ids, find).pipe(Effect.provide(CachePolicy.layer({ ...minute, maxEntries })))
        const count = Effect.map(stats, ({ entries }) => Option.getOrThrow(entries))
        yield* read(3)
        assert.strictEqual(yield* count, 3)
        yield* read()
        assert.strictEqual(yield* count, 10)
        yield* Effect.provide(find.clear, CachePolicy.layer(minute))
        yield* read(2)
        assert.strictEqual(yield* count, 2)
        yield* read(Number.POSITIVE_INFINITY)
        assert.strictEqual(yield* count, 10)
      }).pipe(Effect.provide(MemoryCache.layer({ values })))
    )
  }

  it.effect("another name - has its own limit; two functions of one name share it", () =>
    Effect.gen(function* () {
      const options = { ...minute, name: "shared", maxEntries: 3 } as const
      const a = Cached.ttl(lookup, { key: "a:{}", ...options })
      const b = Cached.ttl(lookup, { key: "b:{}", ...options })
      const c = named("c", 2)
      yield* Effect.forEach(ids, c)
      yield* Effect.forEach([0, 1, 2], a)
      yield* Effect.forEach([0, 1], b)
      deepStrictEqual(yield* stored(a), [2])
      deepStrictEqual(yield* stored(b), [0, 1])
      deepStrictEqual(yield* stored(c), [8, 9])
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.effect("entities, batched functions and CachePolicy - have it", () => {
    const policy = CachePolicy.layerConfig({
      ttl: Config.succeed("1 minute" as const),
      maxEntries: Config.succeed(4),
      functions: {
        less: { maxEntries: Config.succeed(2) },
        all: { maxEntries: Config.succeed(Number.POSITIVE_INFINITY) }
      }
    })
    return Effect.gen(function* () {
      const User = Schema.Struct({ id: Schema.Number })
      const users = Cached.entity(User, { name: "User", key: ["id"], ...minute, maxEntries: 3 })
      for (const id of ids) yield* users.put({ id })
      deepStrictEqual(yield* Effect.filter(ids, (id) => Effect.map(users.get(id), Option.isSome)), [7, 8, 9])
      const many = (ids: ReadonlyArray<number>) => Effect.succeed(ids.map((id) => [id, id] as const))
      const batched = Cached.batched(many, { key: "batched:{}", ...minute, maxEntries: 3 })
      yield* batched.many(ids)
      deepStrictEqual(yield* stored(batched), [7, 8, 9])
      for (const [name, count] of [
        ["some", 4],
        ["less", 2],
        ["all", 10]
      ] as const) {
        const find = Cached.policy(lookup, { key: `${name}:{}`, name })
        yield* Effect.forEach(ids, find)
        assert.lengthOf(yield* stored(find), count)
      }
    }).pipe(Effect.provide(Layer.merge(MemoryCacheLive, policy)))
  })

  it.effect("a store that keeps nothing in memory - limits nothing, and that is a problem", () =>
    Effect.gen(function* () {
      const find = named("limited", 3)
      yield* Effect.forEach(ids, find)
      deepStrictEqual(yield* stored(find), ids)
      deepStrictEqual(
        (yield* (yield* CacheStore).health).problems.map(({ name, subject }) => [name, subject]),
        [["NoMaxEntries", "limited"]]
      )
    }).pipe(Effect.provide(Layer.scoped(CacheStore, CacheStore.makeBytes(Shelf.backend(new Shelf.Shelf())))))
  )

  it.effect("a store that stores nothing - has no more either", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(ids, named("limited", 3))
      assert.isEmpty((yield* (yield* CacheStore).health).problems)
    }).pipe(Effect.provide(CacheStore.layerNoop))
  )

  for (const maxEntries of [0, -1, 1.5, Number.NaN, "3" as never]) {
    it.effect(`${String(maxEntries)} - is InvalidOption, and names the function`, () =>
      Effect.gen(function* () {
        const defect = defectOf(yield* Effect.exit(named("limited", maxEntries)(1)))
        assert.instanceOf(defect, CacheError.InvalidOption)
        deepStrictEqual([defect.option, defect.of], ["maxEntries", "limited"])
      }).pipe(Effect.provide(MemoryCacheLive))
    )
  }
})
