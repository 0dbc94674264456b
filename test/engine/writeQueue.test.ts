import { assert, describe, it, layer } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Clock, Context, Effect, Fiber, Layer, Logger, LogLevel, Option } from "effect"
import { Cached, CacheStore, Entry, MemoryCache, TieredCache } from "effect-cached"
import { ChaosCache } from "effect-cached/testing"
import type * as Backend from "../../src/Backend.js"
import { CacheStoreError } from "../../src/CacheError.js"
import * as RedisCache from "../../src/RedisCache.js"
import { begun, gate, numbered } from "../laws/support.js"
import { awaitUntil, freshPrefix, RedisServer, TcpProxy } from "../support/redis.js"
import { coherent, delivered, hybrid, nodeOf } from "../support/redis-nodes.js"
import * as Shelf from "../support/shelf.js"

const minute = { ttl: "1 minute" } as const

const node = (options: RedisCache.Options) =>
  Effect.map(Layer.build(RedisCache.layer(options)), (context) => Context.get(context, CacheStore))

/** A backend that stamps authoritative writes with its own time, which is 200 ms ahead of this process's. */
const misjudged = (shelf: Shelf.Shelf) => {
  const clock = Clock.make()
  return Shelf.backend(shelf, (honest) => ({
    setMany: (writes) =>
      honest.setMany(
        writes.map((write) => {
          const stamp = write.authoritative ? clock.unsafeCurrentTimeMillis() + 200 : write.entry.stamp
          return { ...write, entry: new Entry.Entry(write.entry.value, { ...write.entry, stamp }) }
        })
      )
  }))
}

describe("WriteQueue", () => {
  describe("law 6: the store may fail, the caller may not - undelivered writes", () => {
    it.scopedLive("asked for right after a confirmed write - they are delivered with a later stamp", () =>
      Effect.gen(function* () {
        const shelf = new Shelf.Shelf()
        const { backend, chaos } = yield* ChaosCache.makeBytes(misjudged(shelf))
        const store = yield* CacheStore.makeBytes(backend)
        const keys = ["removed", "set", "tagged"]
        yield* store.setMany(
          keys.map((key) => [key, "old"] as const),
          { ...minute, tags: ["t"] }
        )
        yield* chaos.begin({ fail: 1 }, ["setMany", "removeMany", "marks"])
        yield* store.remove("removed")
        yield* store.set("set", "new", minute)
        yield* store.tags.invalidate(["t"])
        yield* chaos.calm
        yield* awaitUntil(
          Effect.map(store.health, ({ owes }) => !owes),
          "the writes are delivered"
        )
        // another process sees only the contents of the backend
        const other = yield* CacheStore.makeBytes(misjudged(shelf))
        for (const each of [store, other]) {
          deepStrictEqual(yield* each.getMany(keys), [Option.none(), Option.some("new"), Option.none()])
        }
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
    )
  })

  describe("health", () => {
    it.scopedLive("undelivered - counts the keys and marks that the backend has not confirmed", () =>
      Effect.gen(function* () {
        const { backend, chaos } = yield* ChaosCache.makeBytes(Shelf.backend(new Shelf.Shelf()))
        const store = yield* CacheStore.makeBytes(backend)
        const waiting = Effect.map(store.health, ({ owes, undelivered }) => [undelivered, owes])
        deepStrictEqual(yield* waiting, [0, false])
        yield* chaos.begin({ fail: 1 }, ["setMany", "removeMany", "marks"])
        yield* store.set("set", 1, minute)
        yield* store.set("set", 2, minute)
        yield* store.remove("removed")
        deepStrictEqual(yield* waiting, [2, true])
        yield* store.tags.invalidate(["a", "b"])
        yield* store.clear
        deepStrictEqual(yield* waiting, [5, true])
        yield* chaos.calm
        yield* awaitUntil(
          Effect.map(store.health, ({ undelivered }) => undelivered === 0),
          "everything is delivered"
        )
        deepStrictEqual(yield* waiting, [0, false])
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
    )
  })

  layer(RedisServer.layer)("law 8: invalidation wins - on a real Redis", (it) => {
    it.scoped("writes asked for before Redis was ever reachable - remove what Redis holds", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const prefix = yield* freshPrefix
        const other = yield* node({ url: redis.url, prefix })
        yield* other.set("removed", "old", minute)
        yield* other.set("set", "old", minute)
        yield* other.set("tagged", "old", { ...minute, tags: ["t"] })
        const proxy = yield* TcpProxy.make(redis.port)
        yield* proxy.refuse
        const late = yield* node({ url: proxy.url, prefix, connectTimeout: "100 millis" })
        yield* late.remove("removed")
        yield* late.set("set", "new", minute)
        yield* late.tags.invalidate(["t"])
        yield* proxy.restore
        yield* awaitUntil(
          Effect.map(late.health, ({ owes, status }) => status === "up" && !owes),
          "the writes are delivered"
        )
        for (const store of [late, other]) {
          deepStrictEqual(yield* store.getMany(["removed", "set", "tagged"]), [
            Option.none(),
            // that it is later than what Redis holds is not known
            Option.none(),
            Option.none()
          ])
        }
      })
    )

    it.scoped("a refused value - does not remove the value of a later set", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const store = yield* node({ url: redis.url, prefix: yield* freshPrefix })
        yield* Effect.all([store.set("k", () => 1, minute), store.set("k", "good", minute)], {
          concurrency: "unbounded"
        })
        deepStrictEqual(yield* store.get("k"), Option.some("good"))
      })
    )

    it.scoped("a set that is still batched - does not outlive a tag invalidation that is asked for after it", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const prefix = yield* freshPrefix
        const [store, other] = [yield* node({ url: redis.url, prefix }), yield* node({ url: redis.url, prefix })]
        for (let i = 0; i < 50; i++) {
          const set = store.set(`k${i}`, "v", { ...minute, tags: [`t${i}`] })
          yield* Effect.all([set, store.tags.invalidate([`t${i}`])], { concurrency: "unbounded" })
          assert.isFalse(yield* store.has(`k${i}`), `here, ${i}`)
          assert.isFalse(yield* other.has(`k${i}`), `elsewhere, ${i}`)
        }
      })
    )

    it.scoped("marks restored to an older state - count as lost", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const prefix = yield* freshPrefix
        const store = yield* node({ url: redis.url, prefix })
        yield* store.set("k", "old", { ...minute, tags: ["t"] })
        const keys = ["versions", "stamps", "head"].map((name) => `${prefix}!{marks}:${name}`)
        const dumps = yield* Effect.forEach(keys, (key) => Effect.promise(() => redis.client.dumpBuffer(key)))
        yield* store.tags.invalidate(["t"])
        yield* Effect.forEach(keys, (key, i) =>
          Effect.promise(() => redis.client.restore(key, 0, dumps[i]!, "REPLACE"))
        )
        assert.isFalse(yield* store.has("k"))
        const cold = yield* node({ url: redis.url, prefix })
        assert.isFalse(yield* cold.has("k"))
      })
    )

    /** Another process with a tier in memory above Redis, where `change` alters the backend of Redis. */
    const altered = (prefix: string, change: (backend: Backend.Backend) => Backend.Backend) =>
      Effect.gen(function* () {
        const { url } = yield* RedisServer
        const backend = Effect.map(RedisCache.backend({ url, prefix }), change)
        const node = nodeOf(yield* TieredCache.make({ tiers: [{ backend: MemoryCache.backend() }, { backend }] }))
        yield* coherent(node, true)
        return node
      })

    const error = new CacheStoreError({ reason: "Timeout", store: "redis", method: "test" })

    it.scoped(
      "a set whose answer is lost after the notification of another process' set - does not come after it, and no longer answers",
      () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          const door = gate()
          let isLost = true
          const a = yield* hybrid({ l2: { prefix } })
          const b = yield* altered(prefix, (backend) => ({
            ...backend,
            setMany: (writes) =>
              Effect.flatMap(backend.setMany(writes), (written) =>
                isLost ? Effect.zipRight(door.pass, error) : Effect.as(Effect.void, written)
              )
          }))
          const setting = yield* Effect.fork(b.store.set("k", "b", minute))
          yield* door.reached
          yield* a.store.set("k", "a", minute)
          // notifications arrive in order, so this one comes after that of "k"
          yield* b.store.remove("other")
          yield* a.store.set("other", 1, minute)
          yield* awaitUntil(Effect.map(b.store.get("other"), Option.isSome), "the notification arrived")
          yield* door.open
          yield* Fiber.join(setting)
          deepStrictEqual(yield* b.store.get("k"), Option.none())
          isLost = false
          yield* delivered(b)
          deepStrictEqual(yield* b.store.get("k"), Option.some("a"))
        })
    )

    it.scoped(
      "an undelivered invalidation while Redis does not answer - the notification of an older value does not settle it",
      () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          // as between a reconnection and the first answer on it
          let away = false
          const a = yield* hybrid({ l2: { prefix } })
          const b = yield* altered(prefix, (backend) => ({
            ...backend,
            isUp: () => !away,
            stamps: { ...backend.stamps!, isCurrent: () => !away },
            removeMany: (removals) => (away ? error : backend.removeMany(removals))
          }))
          const door = gate()
          const { calls, lookup } = numbered((call) => Effect.as(call === 1 ? Effect.void : door.pass, call))
          const cached = Cached.ttl(Effect.suspend(lookup), { key: "k", ...minute })
          yield* a.run(cached)
          yield* a.written
          const refreshing = yield* Effect.fork(a.run(cached.refresh))
          yield* begun(calls, 2)
          away = true
          yield* b.run(cached.invalidate)
          yield* door.open
          yield* Fiber.join(refreshing)
          yield* a.written
          yield* a.store.set("other", 1, minute)
          yield* awaitUntil(Effect.map(b.store.get("other"), Option.isSome), "the notification arrived")
          away = false
          yield* delivered(b)
          yield* awaitUntil(
            Effect.map(a.run(cached.peek), Option.isNone),
            "the load that began before it is invalidated"
          )
        })
    )
  })
})
