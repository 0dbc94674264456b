/**
 * The sweep of Redis: what it reads, what it leaves behind, and what it does not touch.
 */
import { assert, describe, layer } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Option } from "effect"
import { Redis } from "ioredis"
import { Cached, CacheStore, Envelope, Serializer } from "../../../src/index.js"
import * as RedisCache from "../../../src/RedisCache.js"
import { gated } from "../../laws/support.js"
import { awaitUntil, RedisServer } from "../../support/redis.js"
import { node, nodeOf, pair, same, single } from "../../support/redis-nodes.js"

const forever = { ttl: Duration.infinity }

layer(RedisServer.layer, { excludeTestServices: true })("sweep of Redis", (it) => {
  it.scoped("law 8: invalidation wins - a load from before a swept value does not come back", () =>
    Effect.gen(function* () {
      const { a, b, there } = yield* pair
      const { door, lookup } = gated()
      const slow = Cached.ttl(lookup(), { key: "k", ...forever })
      const reader = yield* Effect.fork(a.run(slow))
      yield* door.reached
      yield* b.store.set("k", "later", { ...forever, tags: ["t"] })
      yield* b.store.tags.invalidate(["t"])
      same(yield* b.store.sweep, { seen: 1, removed: 1 })
      const tombstone = yield* there.bytes("k")
      assert.strictEqual(tombstone?.length, 12)
      assert.isAbove(yield* there.pttl("k"), 20_000)
      yield* door.open
      yield* Fiber.join(reader)
      yield* a.written
      same(yield* there.bytes("k"), tombstone)
      // the tombstone is still needed
      assert.strictEqual((yield* b.store.sweep).removed, 0)
    })
  )

  it.scoped("an entry whose stamp is older than any load - leaves no tombstone", () =>
    Effect.gen(function* () {
      const { store, there } = yield* single()
      yield* store.set("k", 1, { ...forever, tags: ["t"] })
      const bytes = (yield* there.bytes("k"))!
      bytes.writeDoubleBE(bytes.readDoubleBE(4) - 3_600_000, 4)
      yield* there.put("k", bytes)
      yield* store.tags.invalidate(["t"])
      same(yield* store.sweep, { seen: 1, removed: 1 })
      assert.isFalse(yield* there.exists("k"))
    })
  )

  it.scoped("thousands of entries, long tags, and keys of other types - each entry is judged by its own tags", () =>
    Effect.gen(function* () {
      const { prefix, store, there } = yield* single()
      const { client } = yield* RedisServer
      const entries = Array.from({ length: 1_000 }, (_, i) => [`k${i}`, i] as const)
      yield* store.setMany(entries, { ...forever, tags: ["dead"] })
      yield* store.setMany(
        entries.map(([key, i]) => [`alive ${key}`, i] as const),
        { ...forever, tags: ["alive"] }
      )
      const long = Array.from({ length: 200 }, (_, i) => `tag ${i} ${"x".repeat(20)}`)
      yield* store.set("long tags", 1, { ...forever, tags: [...long, "dead"] })
      yield* store.set("long tags, alive", 1, { ...forever, tags: long })
      yield* Effect.promise(() => client.lpush(`${prefix}list`, "not an entry"))
      yield* there.put("text", "not an entry")
      yield* store.tags.invalidate(["dead"])
      const { removed, seen } = yield* store.sweep
      assert.strictEqual(removed, 1_001)
      assert.isAtLeast(seen, 2_004)
      assert.isTrue(yield* store.has("alive k7"))
      assert.isTrue(yield* store.has("long tags, alive"))
      assert.isTrue(yield* there.exists("list"))
      assert.isTrue(yield* there.exists("text"))
    })
  )

  it.scoped("a store whose prefix begins with this one - is not touched", () =>
    Effect.gen(function* () {
      const { prefix, store } = yield* single()
      const inner = yield* node({ prefix: `${prefix}sessions:` })
      yield* inner.store.set("ada", 1, forever)
      yield* store.set("k", 1, forever)
      yield* store.clear
      same(yield* store.sweep, { seen: 1, removed: 1 })
      same(yield* inner.store.get("ada"), Option.some(1))
      yield* inner.store.clear
      same(yield* inner.store.sweep, { seen: 1, removed: 1 })
    })
  )

  it.scoped("special characters in the prefix, and a keyPrefix of the client - are no pattern", () =>
    Effect.gen(function* () {
      const { url } = yield* RedisServer
      const client = yield* Effect.acquireRelease(
        Effect.sync(() => new Redis(url, { keyPrefix: "app:" })),
        (client) => Effect.sync(() => client.disconnect())
      )
      const odd = nodeOf(
        Context.get(yield* Layer.build(RedisCache.layerFromClient(client, { prefix: "a[b]*?\\:" })), CacheStore)
      )
      const plain = yield* node({ prefix: "app:abc:" })
      yield* odd.store.set("k", 1, forever)
      yield* plain.store.set("k", 1, forever)
      yield* odd.store.clear
      same(yield* odd.store.sweep, { seen: 1, removed: 1 })
      same(yield* plain.store.get("k"), Option.some(1))
      same(
        (yield* odd.store.health).problems.filter(({ name }) => name === "SweepFails"),
        []
      )
    })
  )

  it.scoped("another envelope - what clear has invalidated is removed, and what Redis expires is left to it", () =>
    Effect.gen(function* () {
      const options = { envelope: Envelope.advancedCaching, serializer: Serializer.json }
      const { store, there } = yield* single(options)
      yield* store.set("old", 1, forever)
      yield* store.clear
      yield* Effect.sleep(5)
      yield* store.set("new", 1, { ttl: "1 minute" })
      const { removed } = yield* store.sweep
      assert.strictEqual(removed, 1)
      assert.isFalse(yield* there.exists("old"))
      same(yield* store.get("new"), Option.some(1))
    })
  )

  describe("while Redis is away", () => {
    it.scoped("ends at once with what it has done, and is a problem", () =>
      Effect.gen(function* () {
        const { store } = yield* single()
        const redis = yield* RedisServer
        yield* store.set("k", 1, forever)
        yield* redis.kill
        yield* awaitUntil(
          Effect.map(store.health, ({ status }) => status === "down"),
          "the store is down"
        )
        same(yield* store.sweep, { seen: 0, removed: 0 })
        same(
          (yield* store.health).problems.flatMap(({ name, subject }) => (name === "SweepFails" ? [subject] : [])),
          [""]
        )
        yield* redis.start
      })
    )
  })
})
