/**
 * Background loaders over Redis without memory in front.
 */
import { assert, describe, layer } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { Cached } from "../../../src/index.js"
import * as RedisCache from "../../../src/RedisCache.js"
import { becomes, counting } from "../../laws/support.js"
import { awaitUntil, freshPrefix, RedisServer, TcpProxy } from "../../support/redis.js"
import { health, minute, nodeOf, patient } from "../../support/redis-nodes.js"

/** A process that reaches Redis through a proxy, and one that reaches it directly. */
const proxied = Effect.gen(function* () {
  const redis = yield* RedisServer
  const proxy = yield* TcpProxy.make(redis.port)
  const prefix = yield* freshPrefix
  const a = nodeOf(yield* RedisCache.make({ url: proxy.url, prefix, ...patient }))
  const b = nodeOf(yield* RedisCache.make({ url: redis.url, prefix, ...patient }))
  return { prefix, a, b, out: Effect.zipRight(proxy.refuse, proxy.cut) }
})

describe("background loaders on Redis", () => {
  layer(RedisServer.layer)("law 8: invalidation wins", (it) => {
    const options = { key: "flags", interval: "1 hour", tags: ["t"] } as const
    const other = Cached.ttl(Effect.succeed(0), { key: "flags", name: "flags", ttl: "1 hour", tags: ["t"] })

    for (const [name, invalidate] of [
      ["invalidate", other.invalidate],
      ["tags", Cached.invalidateTags(["t"])],
      ["set", other.set(0)]
    ] as const) {
      it.scoped(`${name} in another process, then an outage - the reader loads, and serves no invalidated value`, () =>
        Effect.gen(function* () {
          const { a, b, out, prefix } = yield* proxied
          const redis = yield* RedisServer
          const { calls, lookup } = counting()
          const flags = yield* a.run(Cached.bg(lookup(), options))
          yield* becomes(b.run(other.peek), Option.some(1))
          const channels = Effect.promise(() => redis.client.pubsub("CHANNELS", `${prefix}*`))
          yield* awaitUntil(
            Effect.map(channels, (all) => all.length > 0),
            "the process of the loader listens"
          )
          const last = yield* a.run(Cached.bgRead<number>({ key: "last", interval: Duration.infinity }))
          yield* b.run(invalidate)
          // notifications arrive in order
          yield* b.store.set("last", 1, minute)
          yield* becomes(last, Option.some(1))
          yield* out
          yield* health(a, "down")
          assert.strictEqual(yield* flags, 2)
          assert.strictEqual(calls.length, 2)
          // the value that was loaded in the outage answers from now on
          assert.strictEqual(yield* flags, 2)
        })
      )
    }
  })
})
