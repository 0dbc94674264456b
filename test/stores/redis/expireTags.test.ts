/** Expiries of tags and functions between processes on one Redis. */
import { assert, describe, layer } from "@effect/vitest"
import { Clock, Effect, Option, TestClock } from "effect"
import { Cached, CacheStore, TieredCache } from "../../../src/index.js"
import * as RedisCache from "../../../src/RedisCache.js"
import * as ChaosCache from "../../../src/testing/ChaosCache.js"
import { becomes, begun, gate, numbered, recordWarnings } from "../../laws/support.js"
import { freshPrefix, RedisServer } from "../../support/redis.js"
import { hybrid, minute, node, nodeOf, same } from "../../support/redis-nodes.js"
import * as Shelf from "../../support/shelf.js"

const swr = { ttl: "10 seconds", stale: "5 seconds", tags: ["t"] } as const

const find = Cached.swr((id: string) => Effect.succeed(id), { key: "k:{}", ...swr })

/** The state of a key, and for how long it may be served. */
const stateOf = (store: CacheStore.Service, key: string) =>
  Effect.zipWith(store.entry(key), Clock.currentTimeMillis, (entry, now) =>
    Option.map(entry, ({ state, staleUntil }) => [state, staleUntil - now])
  )

describe("expireTags on Redis", () => {
  layer(RedisServer.layer)("on a real Redis", (it) => {
    it.scoped(
      "another process, and one that starts later - know what is stale, until when, and what is invalidated",
      () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          const a = yield* node({ prefix })
          const b = yield* hybrid({ l2: { prefix } })
          yield* a.run(find("old"))
          yield* a.written
          yield* b.run(find("old"))
          yield* a.store.tags.invalidate(["t"])
          yield* a.run(find("k"))
          yield* a.written
          // a copy in memory
          yield* becomes(stateOf(b.store, "k:k"), Option.some(["fresh", 15_000]))
          yield* TestClock.adjust("2 seconds")
          yield* a.store.tags.expire(["t"])
          yield* becomes(stateOf(b.store, "k:k"), Option.some(["stale", 5_000]))
          yield* TestClock.adjust("1 second")
          const c = yield* node({ prefix })
          for (const { store } of [a, b, c]) {
            same(yield* stateOf(store, "k:k"), Option.some(["stale", 4_000]))
            same(yield* stateOf(store, "k:old"), Option.none())
          }
          // once more, and an invalidation
          yield* c.store.tags.expire(["t"])
          yield* c.store.set("k:new", 1, swr)
          const d = yield* node({ prefix })
          same(yield* stateOf(d.store, "k:old"), Option.none())
          same(yield* stateOf(d.store, "k:new"), Option.some(["fresh", 15_000]))
          yield* d.store.tags.invalidate(["t"])
          const e = yield* node({ prefix })
          for (const key of ["k:k", "k:new"]) same(yield* stateOf(e.store, key), Option.none())
        })
    )

    it.scoped("store.expireAll - every process, connected or started later, knows what is stale and until when", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const a = yield* node({ prefix })
        const b = yield* hybrid({ l2: { prefix } })
        yield* a.store.set("set", 1, swr)
        yield* a.store.set("tagged", 1, { ...swr, tags: ["gone"] })
        yield* a.run(find("k"))
        yield* a.written
        yield* b.run(find("k"))
        yield* b.store.get("set")
        yield* a.store.tags.invalidate(["gone"])
        yield* TestClock.adjust("2 seconds")
        yield* a.store.expireAll
        for (const key of ["k:k", "set"]) yield* becomes(stateOf(b.store, key), Option.some(["stale", 5_000]))
        const c = yield* node({ prefix })
        yield* c.store.set("new", 1, swr)
        for (const { store } of [a, b, c]) {
          same(yield* stateOf(store, "k:k"), Option.some(["stale", 5_000]))
          same(yield* stateOf(store, "set"), Option.some(["stale", 5_000]))
          same(yield* stateOf(store, "tagged"), Option.none())
          same(yield* stateOf(store, "new"), Option.some(["fresh", 15_000]))
        }
      })
    )

    it.scoped("a process of the previous release - finds the mark of an invalidation", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const { client } = yield* RedisServer
        const { store } = yield* node({ prefix })
        yield* store.tags.invalidate(["t"])
        const [stamps] = (yield* Effect.promise(() => client.keys(`${prefix}*stamps*`))) as [string]
        const before = yield* Effect.promise(() => client.hgetall(stamps))
        yield* store.tags.expire(["t"])
        const after = yield* Effect.promise(() => client.hgetall(stamps))
        assert.isAbove(Number(after["t:t"]), Number(before["t:t"]))
        same(
          [after["x:t:t"], after["i:t:t"], after["e:t:t"]],
          [after["t:t"], before["t:t"], String(yield* Clock.currentTimeMillis)]
        )
      })
    )

    it.scoped("marks beyond the bound - an expiry that was folded invalidates", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const { store } = yield* node({ prefix, maxMarks: 8 })
        yield* store.set("k", 1, swr)
        yield* store.set("other", 1, { ...minute, tags: ["none"] })
        yield* store.tags.expire(["t"])
        same(yield* stateOf(store, "k"), Option.some(["stale", 5_000]))
        for (let i = 0; i < 3; i++) yield* store.tags.expire([`t${i}`])
        const late = yield* node({ prefix, maxMarks: 8 })
        same(yield* stateOf(late.store, "k"), Option.none())
        assert.isTrue(yield* late.store.has("other"))
      }).pipe(Effect.provide(recordWarnings().layer))
    )

    it.scoped(
      "law 6: the store may fail, the caller may not - an expiry that is not confirmed invalidates, also later",
      () =>
        Effect.gen(function* () {
          const { url } = yield* RedisServer
          const prefix = yield* freshPrefix
          const other = yield* node({ prefix })
          const { backend, chaos } = yield* ChaosCache.make(yield* RedisCache.backend({ url, prefix }))
          const store = yield* CacheStore.make(backend)
          yield* store.set("k", 1, swr)
          yield* chaos.begin({ fail: 1 })
          yield* store.tags.expire(["t"])
          same((yield* store.health).undelivered, 1)
          yield* chaos.calm
          yield* becomes(
            Effect.map(store.health, ({ undelivered }) => undelivered),
            0
          )
          for (const each of [store, other.store]) same(yield* each.get("k"), Option.none())
        }).pipe(Effect.provide(recordWarnings().layer))
    )

    it.scoped("tiers - both know the expiry, and the invalidation before it", () =>
      Effect.gen(function* () {
        const { url } = yield* RedisServer
        const prefix = yield* freshPrefix
        const shelf = new Shelf.Shelf()
        const tiered = TieredCache.make({
          tiers: [
            { backend: RedisCache.backend({ url, prefix }) },
            { backend: Effect.sync(() => CacheStore.fromBytes(Shelf.backend(shelf))) }
          ]
        })
        const store = yield* tiered
        yield* store.set("old", 1, swr)
        yield* store.tags.invalidate(["t"])
        yield* store.set("k", 1, swr)
        yield* store.tags.expire(["t"])
        for (const each of [store, yield* tiered]) {
          same(yield* stateOf(each, "k"), Option.some(["stale", 5_000]))
          same(yield* stateOf(each, "old"), Option.none())
        }
      }).pipe(Effect.provide(recordWarnings().layer))
    )

    it.scoped(
      "a background loader and a mirror - the daemon loads at once, and nobody loses the value meanwhile",
      () => {
        const door = gate()
        const { calls, lookup } = numbered((call) => (call === 1 ? Effect.succeed(1) : Effect.as(door.pass, call)))
        return Effect.gen(function* () {
          const prefix = yield* freshPrefix
          const [a, b] = [yield* hybrid({ l2: { prefix } }), nodeOf((yield* node({ prefix })).store)]
          const flags = yield* a.run(Cached.bg(lookup(), { key: "k", interval: "1 minute", tags: ["t"] }))
          const mirror = yield* b.run(Cached.bgRead<number>({ key: "k" }))
          yield* becomes(mirror, Option.some(1))
          yield* b.store.tags.expire(["t"])
          yield* begun(calls, 2)
          same([yield* flags, yield* mirror, yield* b.store.get("k")], [1, Option.some(1), Option.none()])
          yield* door.open
          yield* becomes(mirror, Option.some(2))
          assert.strictEqual(yield* flags, 2)
        })
      }
    )
  })
})
