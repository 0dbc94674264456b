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

/** a medium that stamps what comes last with its own time, which this process knows 200 ms too early */
const misjudged = (shelf: Shelf.Shelf) => {
  const clock = Clock.make()
  return Shelf.backend(shelf, (honest) => ({
    offset: () => -200,
    setMany: (writes) =>
      honest.setMany(
        writes.map((write) => {
          const stamp = write.authoritative ? Number(clock.unsafeCurrentTimeNanos()) / 1e6 : write.entry.stamp
          return { ...write, entry: new Entry.Entry(write.entry.value, { ...write.entry, stamp }) }
        })
      )
  }))
}

describe("Lanes", () => {
  describe("law 6: the store may fail, the caller may not - undelivered invalidations", () => {
    it.scopedLive("asked for right after a write of this process - is delivered as later than that", () =>
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
          "it is delivered"
        )
        // another process has only what the medium has
        const other = yield* CacheStore.makeBytes(misjudged(shelf))
        for (const each of [store, other]) {
          deepStrictEqual(yield* each.getMany(keys), [Option.none(), Option.some("new"), Option.none()])
        }
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
    )
  })

  layer(RedisServer.layer)("law 8: invalidation wins - on a real Redis", (it) => {
    it.scoped("asked for before Redis was ever there - is delivered, and wins over what stood there", () =>
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
          "it is delivered"
        )
        for (const store of [late, other]) {
          deepStrictEqual(yield* store.getMany(["removed", "set", "tagged"]), [
            Option.none(),
            Option.some("new"),
            Option.none()
          ])
        }
      })
    )

    it.scoped("a value that cannot be kept - does not take the place of a set that comes after it", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const store = yield* node({ url: redis.url, prefix: yield* freshPrefix })
        yield* Effect.all([store.set("k", () => 1, minute), store.set("k", "good", minute)], {
          concurrency: "unbounded"
        })
        deepStrictEqual(yield* store.get("k"), Option.some("good"))
      })
    )

    it.scoped("a set that waits - does not outlive a tag invalidation asked for after it", () =>
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

    it.scoped("marks that went back to an older state - are taken for lost", () =>
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

    /** one more process' memory in front of the server, whose medium is not what it seems */
    const strange = (prefix: string, change: (medium: Backend.Backend) => Backend.Backend) =>
      Effect.gen(function* () {
        const { url } = yield* RedisServer
        const medium = Effect.map(RedisCache.backend({ url, prefix }), change)
        const node = nodeOf(
          yield* TieredCache.make({ tiers: [{ backend: MemoryCache.backend() }, { backend: medium }] })
        )
        yield* coherent(node, true)
        return node
      })

    const error = new CacheStoreError({ reason: "Timeout", store: "redis", method: "test" })

    it.scoped(
      "a set whose answer is lost, another process' set heard before that - is not owed, and answers no more",
      () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          const door = gate()
          const a = yield* hybrid({ l2: { prefix } })
          const b = yield* strange(prefix, (medium) => ({
            ...medium,
            setMany: (writes) => Effect.zipRight(medium.setMany(writes), Effect.zipRight(door.pass, error))
          }))
          const setting = yield* Effect.fork(b.store.set("k", "b", minute))
          yield* door.reached
          yield* a.store.set("k", "a", minute)
          // told after it
          yield* b.store.remove("other")
          yield* a.store.set("other", 1, minute)
          yield* awaitUntil(Effect.map(b.store.get("other"), Option.isSome), "it is heard")
          yield* door.open
          yield* Fiber.join(setting)
          deepStrictEqual(yield* b.store.get("k"), Option.some("a"))
          assert.isFalse((yield* b.store.health).owes)
        })
    )

    it.scoped(
      "an invalidation that is owed, Redis' time unknown - an older value that is heard of does not settle it",
      () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          // as between a reconnection and the first answer on it
          let away = false
          const a = yield* hybrid({ l2: { prefix } })
          const b = yield* strange(prefix, (medium) => ({
            ...medium,
            isUp: () => !away,
            offset: () => (away ? Number.NEGATIVE_INFINITY : medium.offset!()),
            removeMany: (removals) => (away ? error : medium.removeMany(removals))
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
          yield* awaitUntil(Effect.map(b.store.get("other"), Option.isSome), "it is heard")
          away = false
          yield* delivered(b)
          yield* awaitUntil(Effect.map(a.run(cached.peek), Option.isNone), "what began before it is gone")
        })
    )
  })
})
