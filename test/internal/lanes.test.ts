import { assert, describe, layer } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Effect, Layer, Option } from "effect"
import { CacheStore } from "effect-cached"
import * as RedisCache from "../../src/RedisCache.js"
import { awaitUntil, freshPrefix, RedisServer, TcpProxy } from "../support/redis.js"

const minute = { ttl: "1 minute" } as const

const node = (options: RedisCache.Options) =>
  Effect.map(Layer.build(RedisCache.layer(options)), (context) => Context.get(context, CacheStore))

describe("Lanes", () => {
  layer(RedisServer.layer)("law 8 on a real Redis", (it) => {
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
  })
})
