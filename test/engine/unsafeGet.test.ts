import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Option, Scope, TestClock } from "effect"
import { Cached, CacheStore, MemoryCache, TieredCache } from "../../src/index.js"
import { until } from "../laws/support.js"
import * as Shelf from "../support/shelf.js"

const minute = { ttl: "1 minute" } as const

const overShelf = Layer.unwrapEffect(
  Effect.sync(() => {
    const shelf = new Shelf.Shelf()
    return TieredCache.layer({
      tiers: [
        { backend: MemoryCache.backend() },
        { backend: Effect.succeed(CacheStore.fromBytes(Shelf.backend(shelf))) }
      ]
    })
  })
)

describe("unsafeGet", () => {
  for (const [name, layer] of [
    ["memory", MemoryCache.layer()],
    ["memory over another tier", overShelf]
  ] as const) {
    const test = (what: string, body: Effect.Effect<void, unknown, CacheStore>) =>
      it.effect(`${name} - ${what}`, () => Effect.provide(body, layer))

    test(
      "returns what get returns, at once, whoever wrote it",
      Effect.gen(function* () {
        const store = yield* CacheStore
        const find = Cached.ttl((id: number) => Effect.succeed({ id }), { key: "k:{}", ...minute })
        deepStrictEqual(store.unsafeGet("k:1"), Option.none())
        const value = yield* find(1)
        yield* store.set("own", undefined, minute)
        for (let i = 0; i < 3; i++) {
          assert.strictEqual(Option.getOrThrow(store.unsafeGet("k:1")), value)
          deepStrictEqual(store.unsafeGet("own"), Option.some(undefined))
        }
      })
    )

    test(
      "a value that is replaced, invalidated by key, tag or clear, or expires - is not returned",
      Effect.gen(function* () {
        const store = yield* CacheStore
        const stored = (key: string) => store.unsafeGet<number>(key)
        yield* store.set("a", 1, { ...minute, tags: ["t"] })
        yield* store.set("b", 1, minute)
        deepStrictEqual([stored("a"), stored("a"), stored("b")], [Option.some(1), Option.some(1), Option.some(1)])
        yield* store.set("a", 2, { ...minute, tags: ["t"] })
        deepStrictEqual([stored("a"), stored("a")], [Option.some(2), Option.some(2)])
        yield* Cached.invalidateTags(["t"])
        deepStrictEqual([stored("a"), stored("b"), stored("b")], [Option.none(), Option.some(1), Option.some(1)])
        yield* store.remove("b")
        deepStrictEqual(stored("b"), Option.none())
        yield* store.set("c", 3, minute)
        deepStrictEqual([stored("c"), stored("c")], [Option.some(3), Option.some(3)])
        yield* TestClock.adjust("1 minute")
        // a read of the clock by the store
        yield* store.set("d", 4, minute)
        deepStrictEqual([stored("c"), stored("d")], [Option.none(), Option.some(4)])
        yield* store.clear
        deepStrictEqual(stored("d"), Option.none())
      })
    )

    test(
      "a stale value - is returned, and not refreshed",
      Effect.gen(function* () {
        const store = yield* CacheStore
        const calls: Array<number> = []
        const find = Cached.swr((id: number) => Effect.sync(() => calls.push(id)), {
          key: "k:{}",
          ...minute,
          stale: "1 hour"
        })
        yield* find(1)
        yield* TestClock.adjust("2 minutes")
        for (let i = 0; i < 3; i++) deepStrictEqual(store.unsafeGet("k:1"), Option.some(1))
        assert.lengthOf(calls, 1)
      })
    )

    test(
      "an entry of a function - is still refreshed ahead by the reads of the function",
      Effect.gen(function* () {
        const store = yield* CacheStore
        const calls: Array<number> = []
        const find = Cached.ttl((id: number) => Effect.sync(() => calls.push(id)), {
          key: "k:{}",
          ...minute,
          refreshAhead: 0.5
        })
        yield* find(1)
        for (let i = 0; i < 3; i++) deepStrictEqual(store.unsafeGet("k:1"), Option.some(1))
        yield* TestClock.adjust("40 seconds")
        yield* find(1)
        yield* until(() => calls.length === 2, "the refresh began")
      })
    )

    it.effect(`${name} - a store that has closed, returns nothing`, () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const store = Context.get(yield* Layer.buildWithScope(layer, scope), CacheStore)
        yield* store.set("a", 1, minute)
        deepStrictEqual(store.unsafeGet("a"), Option.some(1))
        yield* Scope.close(scope, Exit.void)
        deepStrictEqual(store.unsafeGet("a"), Option.none())
      })
    )
  }

  it.effect("what only a slower tier has, or serialized memory - is not returned", () =>
    Effect.gen(function* () {
      for (const layer of [
        Layer.scoped(
          CacheStore,
          Effect.suspend(() => CacheStore.makeBytes(Shelf.backend(new Shelf.Shelf())))
        ),
        MemoryCache.layer({ values: "serialized" })
      ]) {
        const body = Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.set("a", 1, minute)
          deepStrictEqual(store.unsafeGet("a"), Option.none())
          deepStrictEqual(yield* store.get("a"), Option.some(1))
        })
        yield* Effect.provide(body, layer)
      }
    })
  )
})
