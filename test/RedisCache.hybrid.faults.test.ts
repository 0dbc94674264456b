import { assert, describe, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Cached } from "effect-cached"
import { counting } from "./laws/watch.js"
import { awaitUntil, freshPrefix, RedisServer, TcpProxy } from "./support/redis.js"
import { coherent, type HybridOptions, hybrid, minute, type Node, realNow, same } from "./support/redis-nodes.js"

const blindTtl = 400
const quick = { timeout: "200 millis", connectTimeout: "300 millis" } as const

interface Proxied extends Node {
  readonly proxy: TcpProxy.TcpProxy
}

/** one node behind a network of its own */
const proxied = (prefix: string, options: HybridOptions = {}) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer
    const proxy = yield* TcpProxy.make(redis.port)
    const node = yield* hybrid({ blindTtl, ...options, l2: { url: proxy.url, prefix, ...quick, ...options.l2 } })
    return { ...node, proxy } satisfies Proxied
  })

/** `n` nodes of one prefix, each behind a network of its own */
const nodes = (n: number, options?: HybridOptions) =>
  Effect.flatMap(freshPrefix, (prefix) => Effect.forEach(Array.from({ length: n }), () => proxied(prefix, options)))

const becomes = <A, E, R>(effect: Effect.Effect<A, E, R>, expected: A, what: string, millis?: number) =>
  awaitUntil(
    Effect.map(effect, (actual) => JSON.stringify(actual) === JSON.stringify(expected)),
    what,
    millis
  )

describe("RedisCache.layerHybrid faults", () => {
  layer(RedisServer.layer)("the others cannot be heard", (it) => {
    for (const [what, look] of [
      ["read", (cached) => cached],
      ["peek", (cached) => Effect.zipRight(cached.peek, cached)]
    ] as ReadonlyArray<
      readonly [string, (cached: Cached.CachedEffect<number, never, any, any>) => Effect.Effect<number, never, any>]
    >) {
      it.scoped(
        `subscriber blackholed, commands as ever - a copy that came by ${what} counts for blindTtl at most (scenario 57)`,
        () =>
          Effect.gen(function* () {
            const [a, b] = (yield* nodes(2)) as [Proxied, Proxied]
            const { calls, lookup } = counting()
            const cached = Cached.ttl(Effect.suspend(lookup), { key: "k", ...minute })
            yield* b.proxy.blackholeSubscribers
            yield* coherent(b, false)
            yield* a.run(cached)
            yield* a.written
            same(yield* b.run(look(cached)), 1)
            same(yield* b.run(look(cached)), 1)
            yield* a.run(cached.set(100))
            const began = realNow()
            yield* becomes(b.run(look(cached)), 100, "what was set is read", 3_000)
            assert.isBelow(realNow() - began, blindTtl + 1_000)
            same(calls.length, 1)
            same(Option.some(100), yield* b.run(cached.peek))
          })
      )
    }
  })
})
