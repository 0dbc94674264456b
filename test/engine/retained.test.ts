import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { Cached, CacheStore, MemoryCache } from "effect-cached"
import { collect } from "../support/heap.js"
import { awaitUntil } from "../support/live.js"
import * as Shelf from "../support/shelf.js"

/** Uses a store, closes it, and returns weak references to it and to a value that it held. */
const usedAndClosed = (
  layer: Layer.Layer<CacheStore>,
  use: (value: object) => Effect.Effect<unknown, never, CacheStore>
) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(layer, scope)
    const value = { held: true }
    yield* Effect.provide(use(value), context)
    yield* Scope.close(scope, Exit.void)
    return [new WeakRef<object>(Context.get(context, CacheStore)), new WeakRef(value)] as const
  })

describe("law 11: the scope ends everything", () => {
  for (const [name, layer] of [
    ["memory", MemoryCache.layer()],
    [
      "a remote store",
      Layer.scoped(
        CacheStore,
        Effect.suspend(() => CacheStore.makeBytes(Shelf.backend(new Shelf.Shelf())))
      )
    ]
  ] as const) {
    it.live(`a closed store (${name}) - is freed with its values, while the functions that used it live on`, () => {
      let next: object = {}
      const find = Cached.ttl((_: number) => Effect.sync(() => next), { key: "k:{}", ttl: "1 hour" })
      const stale = Cached.swr((_: number) => Effect.sync(() => next), { key: "s:{}", ttl: "1 hour", stale: "1 hour" })
      return Effect.gen(function* () {
        const [store, value] = yield* usedAndClosed(layer, (value) => {
          next = value
          return Effect.all([find(1), find(1), stale(1), find.set(2)(value), find.peek(2), find.clear])
        })
        next = {}
        yield* awaitUntil(
          Effect.sync(() => {
            collect()
            return store.deref() === undefined && value.deref() === undefined
          }),
          "the store was freed"
        )
        assert.isFunction(find)
        assert.isFunction(stale)
      })
    })
  }
})
