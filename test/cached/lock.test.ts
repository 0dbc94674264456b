import { assert, describe, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope } from "effect"
import { Cached, MemoryCache, TieredCache } from "effect-cached"
import * as RedisCache from "../../src/RedisCache.js"
import { begun, counting, gate, makeLookup, numbered } from "../laws/support.js"
import { awaitUntil, freshPrefix, live, RedisServer, TcpProxy } from "../support/redis.js"
import { coherent, hybrid, minute, type Node, nodeOf, realNow, same } from "../support/redis-nodes.js"

const locked = { key: "k", ...minute, lock: { lease: "5 seconds" } } as const

/** Two kinds of stores on one prefix: memory in front of Redis, and Redis alone. */
const kinds = {
  hybrid: (prefix: string) => hybrid({ l2: { prefix } }),
  redis: (prefix: string) =>
    Effect.flatMap(RedisServer, ({ url }) => Effect.map(RedisCache.make({ url, prefix }), nodeOf))
} as const

describe("lock", () => {
  layer(RedisServer.layer)("one load among all processes, on a real Redis", (it) => {
    for (const [kind, make] of Object.entries(kinds)) {
      it.scoped(`${kind} - 1 000 cold readers in four processes share one load and its value`, () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          const nodes = yield* Effect.forEach([1, 2, 3, 4], () => make(prefix))
          const door = gate()
          const { calls, lookup } = makeLookup(() => Effect.as(door.pass, "value"))
          const reads = yield* Effect.forEach(nodes, (node) =>
            Effect.forkAll(Array.from({ length: 250 }, () => node.run(Cached.ttl(Effect.suspend(lookup), locked))))
          )
          yield* begun(calls)
          yield* live(Effect.sleep("200 millis"))
          const before = realNow()
          yield* door.open
          const values = yield* Effect.forEach(reads, Fiber.join)
          assert.isBelow(realNow() - before, 4_000, "the others are woken, they do not wait for their turn to ask")
          same(new Set(values.flat()), new Set(["value"]))
          same(calls.length, 1)
        })
      )
    }

    const two = Effect.gen(function* () {
      const prefix = yield* freshPrefix
      return { prefix, a: yield* kinds.hybrid(prefix), b: yield* kinds.hybrid(prefix) }
    })

    const lockKeys = (prefix: string) =>
      Effect.flatMap(RedisServer, ({ client }) => Effect.promise(() => client.keys(`${prefix}!l*`)))

    const free = (prefix: string) =>
      awaitUntil(
        Effect.map(lockKeys(prefix), (keys) => keys.length === 0),
        "the lock is free"
      )

    for (const [what, end] of [
      ["fails", () => Effect.fail("no")],
      ["dies", () => Effect.dieMessage("no")],
      ["answers", () => Effect.succeed(1)],
      ["gives what cannot be kept", () => Effect.succeed(() => 1)]
    ] as const) {
      it.scoped(`release - a load that ${what} gives the lock back`, () =>
        Effect.gen(function* () {
          const { a, prefix } = yield* two
          yield* Effect.exit(a.run(Cached.ttl(Effect.suspend(end as () => Effect.Effect<unknown, string>), locked)))
          yield* free(prefix)
        })
      )
    }

    it.scoped("release - a load whose last waiter leaves gives the lock back, and the next process loads", () =>
      Effect.gen(function* () {
        const { a, b, prefix } = yield* two
        const { calls, lookup } = numbered((call) => (call === 1 ? Effect.never : Effect.succeed("second")))
        const cached = Cached.ttl(Effect.suspend(lookup), locked)
        const first = yield* Effect.fork(a.run(cached))
        yield* begun(calls)
        const second = yield* Effect.fork(b.run(cached))
        yield* live(Effect.sleep("100 millis"))
        same(calls.length, 1)
        yield* Fiber.interrupt(first)
        same(yield* Fiber.join(second), "second")
        yield* free(prefix)
      })
    )

    it.scoped("renewal - a load longer than its lease keeps the lock", () =>
      Effect.gen(function* () {
        const { a, b } = yield* two
        const door = gate()
        const { calls, lookup } = makeLookup(() => Effect.as(door.pass, "value"))
        const cached = Cached.ttl(Effect.suspend(lookup), { ...locked, lock: { lease: "1 second" } })
        const reads = yield* Effect.forEach([a, b], (node) => Effect.fork(node.run(cached)))
        yield* begun(calls)
        yield* live(Effect.sleep("2500 millis"))
        same(calls.length, 1)
        yield* door.open
        same(yield* Effect.forEach(reads, Fiber.join), ["value", "value"])
        same(calls.length, 1)
      })
    )

    it.scoped(
      "a disconnected holder - delays the others for its lease, and later does not release the lock of another process",
      () =>
        Effect.gen(function* () {
          const redis = yield* RedisServer
          const prefix = yield* freshPrefix
          const proxy = yield* TcpProxy.make(redis.port)
          const a: Node = yield* hybrid({ l2: { prefix, url: proxy.url } })
          const b: Node = yield* hybrid({ l2: { prefix } })
          const doors = [gate(), gate()]
          const { calls, lookup } = numbered((call) => Effect.as(doors[call - 1]!.pass, call))
          const cached = Cached.ttl(Effect.suspend(lookup), {
            ...locked,
            lock: { lease: "2 seconds" }
          })
          const first = yield* Effect.fork(a.run(cached))
          yield* begun(calls)
          yield* proxy.refuse
          yield* proxy.cut
          const second = yield* Effect.fork(b.run(cached))
          yield* begun(calls, 2)
          yield* proxy.restore
          yield* awaitUntil(
            Effect.map(a.store.health, ({ status }) => status === "up"),
            "it is back"
          )
          const held = yield* lockKeys(prefix)
          same(held.length, 1)
          yield* doors[0]!.open
          same(yield* Fiber.join(first), 1)
          yield* live(Effect.sleep("100 millis"))
          same(yield* lockKeys(prefix), held)
          yield* doors[1]!.open
          same(yield* Fiber.join(second), 2)
          yield* free(prefix)
        })
    )

    it.scoped("Redis unreachable - every process loads, none fails, none waits", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const prefix = yield* freshPrefix
        const proxy = yield* TcpProxy.make(redis.port)
        const [a, b] = yield* Effect.all([
          hybrid({ l2: { prefix, url: proxy.url } }),
          hybrid({ l2: { prefix, url: proxy.url } })
        ])
        yield* proxy.refuse
        yield* proxy.cut
        yield* awaitUntil(
          Effect.map(Effect.all([a.store.health, b.store.health]), (all) =>
            all.every(({ status }) => status === "down")
          ),
          "it is away"
        )
        const { calls, lookup } = makeLookup(() => Effect.succeed(1))
        const before = realNow()
        same(yield* Effect.forEach([a, b], (node) => node.run(Cached.ttl(Effect.suspend(lookup), locked))), [1, 1])
        assert.isBelow(realNow() - before, 5_000)
        same(calls.length, 2)
      })
    )

    it.scoped("invalidation - the next read does not wait for a load that began before it", () =>
      Effect.gen(function* () {
        const { a, b } = yield* two
        const door = gate()
        const { calls, lookup } = numbered((call) => Effect.as(call === 1 ? door.pass : Effect.void, call))
        const cached = Cached.ttl(Effect.suspend(lookup), locked)
        const first = yield* Effect.fork(a.run(cached))
        yield* begun(calls)
        yield* a.run(cached.invalidate)
        same(yield* a.run(cached), 2)
        same(yield* b.run(cached), 2)
        yield* door.open
        same(yield* Fiber.join(first), 1)
      })
    )

    it.scoped("a load that never ends - keeps the lock for flightTimeout, even if a reader still waits", () =>
      Effect.gen(function* () {
        const { a, b } = yield* two
        const { calls, lookup } = numbered((call) => (call === 1 ? Effect.never : Effect.succeed(call)))
        const cached = Cached.ttl(Effect.suspend(lookup), {
          ...locked,
          lock: { lease: "300 millis" },
          flightTimeout: "300 millis"
        })
        yield* Effect.forkScoped(live(a.run(cached)))
        yield* begun(calls)
        const second = yield* Effect.fork(live(b.run(cached)))
        yield* begun(calls, 2)
        same(yield* Fiber.join(second), 2)
      })
    )

    it.scoped(
      "a load of another process - a notification about its value, received while the lock is requested, causes no second load",
      () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          const redis = yield* RedisServer
          const asking = gate()
          const b = nodeOf(
            yield* TieredCache.make({
              tiers: [
                { backend: MemoryCache.backend() },
                {
                  backend: Effect.map(RedisCache.backend({ url: redis.url, prefix }), (backend) => ({
                    ...backend,
                    lock: (key, lease) => Effect.zipRight(asking.pass, backend.lock!(key, lease))
                  }))
                }
              ]
            })
          )
          yield* coherent(b, true)
          const a = yield* kinds.hybrid(prefix)
          const door = gate()
          const { calls, lookup } = numbered((call) => Effect.as(call === 1 ? Effect.void : door.pass, call))
          const cached = Cached.ttl(Effect.suspend(lookup), locked)
          // an entry that nobody uses any more: its replacement sends a notification
          yield* a.run(cached)
          yield* a.written
          yield* a.store.clear
          yield* awaitUntil(Effect.map(b.store.get("k"), Option.isNone), "it is cleared")
          const waits = yield* Effect.fork(b.run(cached))
          yield* asking.reached
          const loads = yield* Effect.fork(a.run(cached))
          yield* begun(calls, 2)
          yield* asking.open
          yield* live(Effect.sleep("50 millis"))
          yield* door.open
          same(yield* Effect.forEach([loads, waits], Fiber.join), [2, 2])
          same(calls.length, 2)
        })
    )

    for (const [what, before] of [
      ["being written", () => Effect.void],
      [
        "queued behind another write",
        (node) => Effect.zipRight(Effect.fork(node.store.set("k", 0, minute)), Effect.fork(node.store.remove("k")))
      ]
    ] as ReadonlyArray<readonly [string, (node: Node) => Effect.Effect<unknown>]>) {
      it.scoped(`closing - a Layer that closes while the value is ${what} gives the lock back`, () =>
        Effect.gen(function* () {
          const redis = yield* RedisServer
          const prefix = yield* freshPrefix
          const proxy = yield* TcpProxy.make(redis.port)
          const scope = yield* Scope.make()
          const options = { l2: { prefix, url: proxy.url, timeout: "2 seconds" } } as const
          const node = yield* Scope.extend(hybrid(options), scope)
          const cached = Cached.ttl(Effect.succeed(1), { ...locked, lock: { lease: "1 minute" } })
          yield* proxy.latency(100)
          yield* before(node)
          same(yield* node.run(cached), 1)
          yield* Scope.close(scope, Exit.void)
          same(yield* lockKeys(prefix), [])
        })
      )
    }

    it.scoped(
      "an abandoned request - a lock granted after its requester gave up is given back at once, not after its lease",
      () =>
        Effect.gen(function* () {
          const redis = yield* RedisServer
          const prefix = yield* freshPrefix
          const proxy = yield* TcpProxy.make(redis.port)
          let away = false
          const backend = Effect.map(
            RedisCache.backend({ url: proxy.url, prefix, timeout: "500 millis" }),
            (backend) => ({
              ...backend,
              lock: (key: string, lease: number) =>
                Effect.zipRight(away ? proxy.latency(2_000) : Effect.void, backend.lock!(key, lease))
            })
          )
          const a = nodeOf(yield* TieredCache.make({ tiers: [{ backend: MemoryCache.backend() }, { backend }] }))
          const cached = Cached.ttl((_: number) => Effect.succeed(1), {
            ...locked,
            key: "k:{}",
            lock: { lease: "1 minute" }
          })
          // loads the scripts into the server
          yield* a.run(cached(1))
          yield* free(prefix)
          away = true
          same(yield* a.run(cached(2)), 1)
          same((yield* lockKeys(prefix)).length, 1)
          yield* free(prefix)
        })
    )

    it.scoped("refresh and Cached.reload - load at once, without the lock", () =>
      Effect.gen(function* () {
        const { a, b } = yield* two
        const door = gate()
        const { calls, lookup } = numbered((call) => Effect.as(call === 1 ? door.pass : Effect.void, call))
        const cached = Cached.ttl(Effect.suspend(lookup), locked)
        const first = yield* Effect.fork(a.run(cached))
        yield* begun(calls)
        yield* b.run(cached.refresh)
        same(calls.length, 2)
        yield* b.run(Cached.reload(cached))
        same(calls.length, 3)
        yield* door.open
        yield* Fiber.join(first)
      })
    )

    it.scoped("stale reads in several processes - start one refresh, and all get its value", () =>
      Effect.gen(function* () {
        const { a, b } = yield* two
        const { calls, lookup } = counting()
        const cached = Cached.swr(Effect.suspend(lookup), {
          ...locked,
          ttl: 1,
          stale: "1 hour"
        })
        yield* live(a.run(cached))
        yield* a.written
        yield* live(Effect.sleep(5))
        const reads = yield* live(Effect.all([a.run(cached), b.run(cached)], { concurrency: 2 }))
        same(reads, [1, 1])
        yield* awaitUntil(
          Effect.sync(() => calls.length >= 2),
          "a refresh has begun"
        )
        yield* live(Effect.sleep("100 millis"))
        assert.isAtMost(calls.length, 3)
      })
    )
  })
})
