/** The `Removed` events of a store in memory: each entry that leaves is told once, with its cause. */
import { deepStrictEqual } from "node:assert/strict"
import { describe, it } from "@effect/vitest"
import { Effect, Layer, TestClock } from "effect"
import { Cached, CacheListener, CacheStore, MemoryCache } from "effect-cached"
import { settled, stats } from "../../laws/support.js"
import { awaitUntil } from "../../support/live.js"

describe("Removed", () => {
  it.effect("each entry that leaves memory - is told once, with its cause, and what is too heavy was never set", () => {
    const told: Array<string> = []
    const Listener = CacheListener.layer({
      onRemoved: ({ cause, key }) => told.push(`${key} ${cause}`),
      onSet: ({ key }) => told.push(`${key} set`)
    })
    const Store = MemoryCache.layer({
      maxWeight: 100,
      eviction: "lru",
      weigh: (value) => (typeof value === "number" ? value : 1)
    })
    return Effect.gen(function* () {
      const store = yield* CacheStore
      const minute = { ttl: "1 minute" } as const
      const toldBy = <E, R>(change: Effect.Effect<unknown, E, R>) =>
        Effect.gen(function* () {
          told.length = 0
          yield* change
          yield* settled
          yield* awaitUntil(
            Effect.sync(() => told.length > 0),
            "it was told"
          )
          return [...told]
        })
      yield* settled
      yield* toldBy(store.set("a", 1, minute))
      deepStrictEqual(yield* toldBy(store.set("a", 2, minute)), ["a replaced", "a set"])
      deepStrictEqual(yield* toldBy(store.remove("a")), ["a explicit"])
      yield* toldBy(store.set("tagged", 1, { ...minute, tags: ["t"] }))
      yield* store.tags.invalidate(["t"])
      deepStrictEqual(yield* toldBy(store.sweep), ["tagged explicit"])
      yield* toldBy(store.set("short", 1, { ttl: "1 second" }))
      yield* TestClock.adjust("1 second")
      deepStrictEqual(yield* toldBy(store.sweep), ["short expired"])
      yield* toldBy(store.set("old", 60, minute))
      deepStrictEqual(yield* toldBy(store.set("new", 60, minute)), ["old capacity", "new set"])
      // heavier than the limit: it never counted as set, and the value before it goes
      deepStrictEqual(yield* toldBy(store.set("new", 101, minute)), ["new replaced", "new capacity"])
      const heavy = Cached.ttl(Effect.succeed(101), { key: "heavy", ...minute })
      deepStrictEqual(yield* toldBy(heavy), ["heavy capacity"])
      // it claims nothing: a second caller would be told the same
      const claim = Effect.flip(store.setIfAbsent("claim", 101, minute))
      deepStrictEqual(yield* toldBy(claim), ["claim capacity"])
      deepStrictEqual((yield* claim).reason, "Rejected")
      yield* toldBy(store.set("left", 1, minute))
      deepStrictEqual(yield* toldBy(store.clear), ["left explicit"])
      const { caches, refused, sets } = yield* stats
      deepStrictEqual([sets, caches.heavy?.sets, refused], [7, 0, 2])
      const { problems } = yield* store.health
      deepStrictEqual(
        problems.map(({ name, subject }) => [name, subject]),
        [
          ["ValueRefused", ""],
          ["ValueRefused", "heavy"]
        ]
      )
    }).pipe(Effect.provide(Layer.provideMerge(Listener, Store)))
  })
})
