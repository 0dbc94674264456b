/** Closing a store whose writes have not ended: with and without the option `drain`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option, Scope } from "effect"
import { Cached, CacheStore } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import { ChaosCache } from "effect-cached/testing"
import { recordWarnings } from "../laws/support.js"
import { RedisServer, TcpProxy } from "../support/redis.js"
import { health, nodeOf } from "../support/redis-nodes.js"
import * as Shelf from "../support/shelf.js"

const minute = { ttl: "1 minute" } as const

/** A store over a remote backend with faults, in a scope of its own, and a second store over the same backend. */
const opened = (options: CacheStore.Options) =>
  Effect.gen(function* () {
    const shelf = new Shelf.Shelf()
    const { backend, chaos } = yield* ChaosCache.makeBytes(Shelf.backend(shelf))
    const scope = yield* Scope.make()
    const store = yield* Scope.extend(CacheStore.makeBytes(backend, { breaker: false, ...options }), scope)
    const other = yield* CacheStore.makeBytes(Shelf.backend(shelf))
    return { chaos, store, other, close: Scope.close(scope, Exit.void) }
  })

describe("closing", () => {
  it.scopedLive("drain - what is undelivered is delivered when the backend is back in time", () => {
    const { layer, lines } = recordWarnings()
    return Effect.gen(function* () {
      const { chaos, close, other, store } = yield* opened({ drain: "10 seconds" })
      yield* other.set("k", "old", minute)
      yield* chaos.begin({ fail: 1 }, ["setMany", "removeMany"])
      yield* store.remove("k")
      yield* store.set("l", 1, minute)
      assert.strictEqual((yield* store.health).undelivered, 2)
      yield* Effect.fork(Effect.delay(chaos.calm, "150 millis"))
      yield* close
      assert.deepStrictEqual(yield* other.get("k"), Option.none())
      assert.deepStrictEqual(yield* other.get("l"), Option.some(1))
      assert.isEmpty(lines.filter((line) => line.includes("the Layer closed")))
    }).pipe(Effect.provide(layer))
  })

  it.scopedLive("no drain - what is undelivered is not tried again, and is one Warning", () => {
    const { layer, lines } = recordWarnings()
    return Effect.gen(function* () {
      const { chaos, close, other, store } = yield* opened({})
      yield* other.set("k", "old", minute)
      yield* chaos.begin({ fail: 1 }, ["removeMany"])
      yield* store.remove("k")
      yield* chaos.calm
      yield* close
      assert.deepStrictEqual(yield* other.get("k"), Option.some("old"))
      assert.lengthOf(
        lines.filter((line) => line.includes("the Layer closed while 1 key")),
        1
      )
      assert.isTrue((yield* store.health).problems.some(({ name }) => name === "ClosedUndelivered"))
    }).pipe(Effect.provide(layer))
  })

  it.scopedLive("drain - bounds a write that hangs, whatever the time limit of the backend is", () => {
    const { layer, lines } = recordWarnings()
    return Effect.gen(function* () {
      const { chaos, close, store } = yield* opened({ drain: "100 millis" })
      yield* chaos.begin({ hang: 1 }, ["setMany"])
      yield* Effect.fork(store.set("k", 1, minute))
      yield* Effect.yieldNow()
      // ends, although the write hangs for as long as the faults last
      yield* close
      assert.lengthOf(
        lines.filter((line) => line.includes("the Layer closed while 1 key")),
        1
      )
      // the Warnings say that nothing answered in time, and not which fibers of the store were interrupted
      assert.isEmpty(lines.filter((line) => line.includes("nterrupt")))
      yield* chaos.calm
    }).pipe(Effect.provide(layer))
  })

  it.scopedLive("drain - a loaded value that is being written is stored", () =>
    Effect.gen(function* () {
      const { chaos, close, other, store } = yield* opened({ drain: "10 seconds" })
      const find = Cached.ttl((id: string) => Effect.succeed(id), { key: "k:{}", ...minute })
      yield* chaos.begin({ delay: "100 millis" }, ["setMany"])
      yield* Effect.provideService(find("a"), CacheStore, store)
      yield* close
      assert.isTrue(yield* other.has("k:a"))
    })
  )

  it.scopedLive("drain, Redis - an invalidation by tag is delivered when the connection is back", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const proxy = yield* TcpProxy.make(server.port)
      const find = Cached.ttl((id: string) => Effect.succeed(id), { key: "k:{}", ...minute, tags: ["t"] })
      const scope = yield* Scope.make()
      const one = nodeOf(yield* Scope.extend(RedisCache.make({ url: proxy.url, drain: "20 seconds" }), scope))
      const two = nodeOf(yield* RedisCache.make({ url: server.url }))
      yield* two.run(find("a"))
      yield* two.written
      yield* Effect.zipRight(proxy.refuse, proxy.cut)
      yield* health(one, "down")
      yield* one.store.tags.invalidate(["t"])
      yield* Effect.fork(Effect.delay(proxy.restore, "200 millis"))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* two.run(find.peek("a")), Option.none())
    })
  )

  it.scopedLive("a negative drain - is a defect that names the option and the store", () =>
    Effect.gen(function* () {
      const made = yield* Effect.flip(Effect.sandbox(opened({ drain: -1 })))
      assert.include(String(made), "drain")
    })
  )
})
