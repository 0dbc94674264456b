/** `CacheStore.expire` between processes on one Redis, and while Redis does not answer. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import { type Backend, CacheStore, Envelope, Serializer, TieredCache } from "../../../src/index.js"
import * as RedisCache from "../../../src/RedisCache.js"
import * as ChaosCache from "../../../src/testing/ChaosCache.js"
import { becomes, recordWarnings } from "../../laws/support.js"
import { freshPrefix, RedisServer } from "../../support/redis.js"
import { minute, node, raw, same } from "../../support/redis-nodes.js"
import * as Shelf from "../../support/shelf.js"

const swr = { ttl: "1 minute", stale: "1 minute", tags: ["t"] } as const

/** A store whose backend runs `before` each removal. */
const interrupted = (prefix: string, before: Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    const { url } = yield* RedisServer
    const inner = yield* RedisCache.backend({ url, prefix })
    const backend: Backend.Backend = {
      ...inner,
      removeMany: (removals) => Effect.zipRight(before, inner.removeMany(removals))
    }
    return yield* CacheStore.make(backend)
  })

const stateOf = (store: CacheStore.Service, key: string) =>
  Effect.map(store.entry(key), (entry) => Option.map(entry, ({ state, value }) => [value, state]))

describe("CacheStore.expire on Redis", () => {
  layer(RedisServer.layer)("on a real Redis", (it) => {
    for (const [what, act, left] of [
      ["tags.invalidate", (store: CacheStore.Service) => store.tags.invalidate(["t"]), Option.none()],
      ["clear", (store: CacheStore.Service) => store.clear, Option.none()],
      ["remove", (store: CacheStore.Service) => store.remove("k"), Option.none()],
      ["set", (store: CacheStore.Service) => store.set("k", "set", swr), Option.some(["set", "fresh"])]
    ] as const) {
      it.scoped(`law 8: invalidation wins - ${what} of another process, just before the entry becomes stale`, () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          const other = yield* node({ prefix })
          const store = yield* interrupted(prefix, act(other.store))
          yield* store.set("k", "old", swr)
          yield* store.expire("k")
          same(yield* stateOf(store, "k"), left)
          same(yield* stateOf(other.store, "k"), left)
        })
      )
    }

    it.scoped("an entry that is made stale - expires in Redis as it does for a reader, and its checksum holds", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const { pttl } = yield* raw(prefix)
        const { store } = yield* node({ prefix, checksum: true })
        yield* store.set("k", { a: 1 }, { ttl: "1 hour", stale: "2 hours" })
        yield* store.set("forever", 1, { ttl: "1 hour", stale: Number.POSITIVE_INFINITY })
        yield* store.expire("k")
        yield* store.expire("forever")
        same(yield* stateOf(store, "k"), Option.some([{ a: 1 }, "stale"]))
        const left = yield* pttl("k")
        assert.isAtMost(left, 7_200_000)
        assert.isAbove(left, 7_100_000)
        same(yield* pttl("forever"), -1)
      })
    )

    it.scoped("law 6: the store may fail, the caller may not - the key is removed, also later", () =>
      Effect.gen(function* () {
        const { url } = yield* RedisServer
        const prefix = yield* freshPrefix
        const other = yield* node({ prefix })
        const { backend, chaos } = yield* ChaosCache.make(yield* RedisCache.backend({ url, prefix }))
        const store = yield* CacheStore.make(backend)
        yield* store.set("k", 1, swr)
        yield* chaos.begin({ fail: 1 })
        yield* store.expire("k")
        same(yield* store.get("k"), Option.none())
        same((yield* store.health).undelivered, 1)
        yield* chaos.calm
        yield* becomes(
          Effect.map(store.health, ({ undelivered }) => undelivered),
          0
        )
        same(yield* other.store.get("k"), Option.none())
      }).pipe(Effect.provide(recordWarnings().layer))
    )

    it.scoped("tiers - the leading tier keeps the entry as stale, the slower ones remove it", () =>
      Effect.gen(function* () {
        const { url } = yield* RedisServer
        const prefix = yield* freshPrefix
        const shelf = new Shelf.Shelf()
        const store = yield* TieredCache.make({
          tiers: [
            { backend: RedisCache.backend({ url, prefix }) },
            { backend: Effect.sync(() => CacheStore.fromBytes(Shelf.backend(shelf))) }
          ]
        })
        yield* store.set("k", 1, swr)
        yield* store.expire("k")
        same(yield* stateOf(store, "k"), Option.some([1, "stale"]))
        const { del } = yield* raw(prefix)
        yield* del("k")
        same(yield* store.get("k"), Option.none())
      }).pipe(Effect.provide(recordWarnings().layer))
    )

    it.scoped("an envelope without stale ends - removes the entry", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const options = { prefix, envelope: Envelope.advancedCaching, serializer: Serializer.json }
        const { store } = yield* node(options)
        yield* store.set("k", 1, { ...minute, stale: "1 minute" })
        yield* store.expire("k")
        same(yield* store.get("k"), Option.none())
      })
    )
  })
})
