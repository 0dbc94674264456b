import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, Queue, Scope, Stream, TestClock } from "effect"
import { Redis } from "ioredis"
import type * as Backend from "../../../src/Backend.js"
import { CacheStoreError } from "../../../src/CacheError.js"
import { Cached, CacheStore, Envelope, Serializer } from "../../../src/index.js"
import * as RedisCache from "../../../src/RedisCache.js"
import { gate, makeLookup, numbered, recordWarnings } from "../../laws/support.js"
import { freePort } from "../../support/ports.js"
import { awaitUntil, RedisServer, TcpProxy } from "../../support/redis.js"
import {
  coherent,
  delivered,
  health,
  minute,
  type Node,
  nodeOf,
  patient,
  realNow,
  same
} from "../../support/redis-nodes.js"

const rejections: Array<unknown> = []
const onRejection = (reason: unknown) => void rejections.push(reason)
beforeAll(() => void process.on("unhandledRejection", onRejection))
afterAll(() => {
  process.off("unhandledRejection", onRejection)
  same(rejections, [])
})

/** The timeout of a store that is to notice that a server hangs. */
const quick = { timeout: "300 millis" } as const

const open = (url: string, options: RedisCache.Options = {}) =>
  Effect.map(RedisCache.make({ url, ...patient, ...options }), nodeOf)

const made = <A>(promise: () => Promise<A>) => Effect.promise(promise)

const echo = () => {
  const { lookup, calls } = numbered((call, id: string) => Effect.succeed(`${id}${call}`))
  return { find: Cached.ttl(lookup, { key: "x:{}", ...minute, tags: ["t"] }), calls }
}

const passed = (millis: number) =>
  Effect.suspend(() => {
    const began = realNow()
    return awaitUntil(
      Effect.sync(() => realNow() >= began + millis),
      `${millis} ms have passed`
    )
  })

/** Lets I/O happen. */
const turn = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

/**
 * Far more milliseconds than a step takes that waits for one timeout at most, and far less than one that waits for each
 * of many, or that hangs.
 */
const generous = 8_000

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const began = realNow()
    return Effect.map(effect, (value) => [value, realNow() - began] as const)
  })

/** A server, a store that reaches it through a proxy, and a store that reaches it directly. */
const proxied = (options: RedisCache.Options = {}) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer.make()
    const proxy = yield* TcpProxy.make(redis.port)
    const a = yield* open(proxy.url, options)
    const b = yield* open(redis.url)
    return { redis, proxy, a, b, out: Effect.zipRight(proxy.refuse, proxy.cut) }
  })

const down = (of: Node) => health(of, "down")
const up = (of: Node) => health(of, "up")

/** The connection is open, nothing is answered, and the store has noticed. */
const stopped = (redis: RedisServer.Service, ...nodes: ReadonlyArray<Node>) =>
  Effect.zipRight(
    redis.stop,
    Effect.forEach(nodes, (each) => each.store.get("probe"), { discard: true })
  )

describe("RedisCache faults", () => {
  describe("at build", () => {
    it.scoped("Redis down - the Layer builds, serves, warns once with host and port, and connects later", () => {
      const { lines, layer } = recordWarnings()
      return Effect.gen(function* () {
        const port = yield* freePort
        const [a, took] = yield* timed(open(`redis://127.0.0.1:${port}`, { connectTimeout: "200 millis" }))
        assert.isBelow(took, generous)
        const { find, calls } = echo()
        for (let i = 1; i <= 5; i++) assert.match(yield* a.run(find("a")), /^a\d$/)
        assert.strictEqual((yield* a.store.health).status, "down")
        assert.lengthOf(lines, 1)
        assert.include(lines[0], `127.0.0.1:${port}`)
        const disconnected = Effect.map(a.store.health, ({ problems }) =>
          problems.filter(({ name }) => name === "Disconnected").map(({ message }) => message)
        )
        same(yield* disconnected, lines)
        const redis = yield* RedisServer.make({ port })
        yield* up(a)
        same((yield* a.store.health).problems, [])
        const value = yield* a.run(find("a"))
        yield* a.written
        const { length } = calls
        assert.strictEqual(yield* a.run(find("a")), value)
        assert.lengthOf(calls, length)
        assert.strictEqual(yield* made(() => redis.client.exists("ec1:x:a")), 1)
        assert.lengthOf(lines, 1)
      }).pipe(Effect.provide(layer))
    })

    it.scoped("no answer - the Layer builds within connectTimeout, and connects later", () => {
      const { lines, layer } = recordWarnings()
      return Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const proxy = yield* TcpProxy.make(redis.port)
        yield* proxy.blackhole
        const [a, took] = yield* timed(open(proxy.url, { connectTimeout: "200 millis" }))
        assert.isAtLeast(took, 150)
        assert.isBelow(took, generous)
        const { find } = echo()
        const [, read] = yield* timed(a.run(find("a")))
        assert.isBelow(read, generous)
        yield* proxy.restore
        yield* up(a)
        assert.lengthOf(lines, 1)
        assert.include(lines[0], `127.0.0.1:${proxy.port}`)
      }).pipe(Effect.provide(layer))
    })

    it.scoped("a process that is held up while it connects - the Layer builds with a connection", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const building = yield* Effect.fork(
          RedisCache.make({ url: redis.url, connectTimeout: "3 seconds", required: true })
        )
        yield* Effect.yieldNow()
        yield* turn
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_500)
        same((yield* (yield* Fiber.join(building)).health).status, "up")
      })
    )

    it.scoped("wrong or no password - the Layer builds, serves, and warns with the error of Redis", () => {
      const { lines, layer } = recordWarnings()
      return Effect.gen(function* () {
        const redis = yield* RedisServer.make({ requirepass: "right" })
        for (const url of [`redis://127.0.0.1:${redis.port}`, `redis://:wrong@127.0.0.1:${redis.port}`]) {
          // the answer of Redis arrives within it
          const a = yield* open(url, { connectTimeout: "1 second" })
          const { find } = echo()
          assert.strictEqual(yield* a.run(find("a")), "a1")
          assert.strictEqual((yield* a.store.health).status, "down")
        }
        assert.lengthOf(lines, 2)
        for (const line of lines) assert.match(line, /NOAUTH|WRONGPASS/)
        assert.notInclude(lines.join(), "wrong@")
      }).pipe(Effect.provide(layer))
    })

    it.scoped("a password that is changed later - `health` says what the server answers now", () => {
      const { lines, layer } = recordWarnings()
      return Effect.gen(function* () {
        const redis = yield* RedisServer.make({ requirepass: "before-5" })
        const a = yield* open(redis.url)
        yield* made(() => redis.client.config("SET", "requirepass", "after-7"))
        yield* made(() => redis.client.client("KILL", "TYPE", "normal", "SKIPME", "yes"))
        const reasons = Effect.map(a.store.health, ({ problems }) =>
          problems.map(({ message, name }) => `${name}: ${message}`).join()
        )
        yield* awaitUntil(
          Effect.map(reasons, (text) => text.includes("WRONGPASS")),
          "the answer is in health"
        )
        // the attempts go on, and each ends with a connection that is closed
        for (let i = 0; i < 20; i++) {
          assert.match(yield* reasons, /^Disconnected: .*WRONGPASS/)
          yield* passed(20)
        }
        assert.notMatch(`${yield* reasons} ${lines.join()}`, /before-5|after-7/)
        assert.lengthOf(lines, 1)
        yield* made(() => redis.client.config("SET", "requirepass", "before-5"))
        yield* up(a)
        same((yield* a.store.health).problems, [])
      }).pipe(Effect.provide(layer))
    })
  })

  describe("law 6: the store may fail, the caller may not - an outage", () => {
    it.scoped(
      "killed and restarted while in use - no read fails, health goes down and up, and values are stored again",
      () => {
        const { lines, layer } = recordWarnings()
        return Effect.gen(function* () {
          const redis = yield* RedisServer.make()
          const a = yield* open(redis.url)
          const { find } = echo()
          let reads = 0
          const reader = yield* Effect.fork(
            Effect.forever(
              a.run(find(String(reads % 10))).pipe(
                Effect.tap(() => Effect.sync(() => reads++)),
                Effect.zipRight(turn)
              )
            )
          )
          const more = Effect.suspend(() => {
            const from = reads
            return awaitUntil(
              Effect.sync(() => reads > from + 100),
              "another hundred reads"
            )
          })
          yield* more
          yield* redis.kill
          yield* down(a)
          yield* more
          yield* redis.start
          yield* up(a)
          yield* more
          same(Option.map(yield* Fiber.poll(reader), Exit.isFailure), Option.none())
          yield* Fiber.interrupt(reader)
          yield* a.written
          assert.isAtLeast(yield* made(() => redis.client.exists("ec1:x:0")), 1)
          assert.lengthOf(lines, 1)
          assert.isAbove((yield* a.store.stats).storeErrors, 0)
        }).pipe(Effect.provide(layer))
      }
    )

    it.scoped("health - is up again without any traffic", () =>
      Effect.gen(function* () {
        const { a, out, proxy } = yield* proxied()
        yield* out
        yield* down(a)
        // an operation that fails during the outage
        yield* a.store.get("k")
        yield* proxy.restore
        yield* up(a)
      })
    )

    const invalidations: ReadonlyArray<
      readonly [
        name: string,
        verb: (
          store: CacheStore.Service,
          find: ReturnType<typeof echo>["find"]
        ) => Effect.Effect<void, never, CacheStore>
      ]
    > = [
      ["invalidate", (_, find) => find.invalidate("a")],
      ["clear of the function", (_, find) => find.clear],
      ["a tag", (store) => store.tags.invalidate(["t"])],
      ["clear of the store", (store) => store.clear],
      ["remove", (store) => store.remove("x:a")]
    ]
    for (const [name, verb] of invalidations) {
      it.scoped(`${name} during an outage - takes effect here at once, and is delivered when Redis is back`, () =>
        Effect.gen(function* () {
          const { a, b, out, proxy } = yield* proxied()
          const { find } = echo()
          yield* a.run(find("a"))
          yield* a.written
          same(yield* b.run(find.peek("a")), Option.some("a1"))
          yield* out
          yield* down(a)
          yield* a.run(verb(a.store, find))
          same(yield* a.run(find.peek("a")), Option.none())
          assert.isTrue((yield* a.store.health).owes)
          // the other process reaches Redis, and does not know of it
          same(yield* b.run(find.peek("a")), Option.some("a1"))
          yield* proxy.restore
          // this process does not serve it again at any moment
          yield* awaitUntil(
            Effect.gen(function* () {
              same(yield* a.run(find.peek("a")), Option.none())
              return !(yield* a.store.health).owes
            }),
            "the invalidation is delivered"
          )
          for (const each of [a, b]) same(yield* each.run(find.peek("a")), Option.none())
          yield* b.run(find("a"))
          yield* b.written
          same(yield* a.run(find.peek("a")), Option.some("a2"))
        })
      )
    }

    it.scoped("invalidate during an outage - also removes what another process has loaded meanwhile", () =>
      Effect.gen(function* () {
        const { a, b, out, proxy } = yield* proxied()
        const { find } = echo()
        yield* out
        yield* down(a)
        yield* a.run(find.invalidate("a"))
        yield* passed(50)
        yield* b.run(find("a"))
        yield* b.written
        yield* proxy.restore
        yield* delivered(a)
        // whether that load began before the invalidation is not known
        for (const each of [a, b]) same(yield* each.run(find.peek("a")), Option.none())
      })
    )

    it.scoped("set during an outage - is read here at once, and is delivered with the rest of its lifetime", () =>
      Effect.gen(function* () {
        const { a, b, out, proxy, redis } = yield* proxied()
        yield* a.store.set("k", "old", minute)
        yield* out
        yield* down(a)
        yield* a.store.set("k", "older", minute)
        yield* a.store.set("k", "new", minute)
        same(yield* a.store.get("k"), Option.some("new"))
        yield* proxy.restore
        yield* delivered(a)
        same(yield* b.store.get("k"), Option.some("new"))
        const left = yield* made(() => redis.client.pttl("ec1:k"))
        assert.isTrue(left > 50_000 && left <= 60_000, `PTTL ${left}`)
      })
    )

    it.scoped("set during an outage in A, set in B meanwhile - the key is removed: which is later is not known", () =>
      Effect.gen(function* () {
        const { a, b, out, proxy } = yield* proxied()
        yield* out
        yield* down(a)
        yield* a.store.set("k", "A", minute)
        yield* passed(50)
        yield* b.store.set("k", "B", minute)
        yield* proxy.restore
        yield* delivered(a)
        for (const each of [a, b]) same(yield* each.store.get("k"), Option.none())
      })
    )

    it.scoped("a load during an outage - is not written afterwards", () =>
      Effect.gen(function* () {
        const { a, out, proxy, redis } = yield* proxied()
        const { find } = echo()
        yield* out
        yield* down(a)
        for (let i = 0; i < 3; i++) yield* a.run(find("a"))
        yield* a.store.set("explicit", 1, minute)
        yield* proxy.restore
        yield* delivered(a)
        yield* a.written
        assert.strictEqual(yield* made(() => redis.client.exists("ec1:x:a")), 0)
        assert.strictEqual(yield* made(() => redis.client.exists("ec1:explicit")), 1)
      })
    )

    it.scoped("invalidate during an outage, then a load that cannot be stored - the invalidation is delivered", () =>
      Effect.gen(function* () {
        const { a, b, out, proxy } = yield* proxied()
        let value: unknown = "old"
        const cached = Cached.ttl(
          Effect.sync(() => value),
          { key: "k", ...minute }
        )
        yield* a.run(cached)
        yield* a.written
        yield* out
        yield* down(a)
        yield* a.run(cached.invalidate)
        value = () => "new"
        yield* a.run(cached)
        yield* proxy.restore
        yield* up(a)
        yield* delivered(a)
        for (const each of [a, b]) same(yield* each.run(cached.peek), Option.none())
      })
    )

    it.scoped("a set whose delivery failed many times - keeps the rest of its lifetime", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const real = yield* RedisCache.backend({ url: redis.url })
        const changes = yield* Queue.unbounded<Backend.Change>()
        let failing = true
        let attempts = 0
        const backend: Backend.Backend = {
          ...real,
          changes: Stream.fromQueue(changes),
          setMany: (writes) =>
            Effect.suspend(() => {
              attempts++
              return failing
                ? Effect.fail(new CacheStoreError({ reason: "Rejected", store: "redis", method: "setMany" }))
                : real.setMany(writes)
            })
        }
        const a = nodeOf(yield* CacheStore.make(backend))
        const began = realNow()
        yield* a.store.set("k", "v", { ttl: "10 minutes" })
        yield* passed(100)
        for (let i = 0; i < 2_000; i++) {
          const from = attempts
          yield* Queue.offer(changes, { _tag: "Up" })
          const deadline = realNow() + 3_000
          while (attempts === from && realNow() < deadline) yield* turn
          assert.isAbove(attempts, from, `attempt ${i}`)
        }
        failing = false
        yield* Queue.offer(changes, { _tag: "Up" })
        yield* delivered(a)
        same(yield* a.store.get("k"), Option.some("v"))
        const left = yield* made(() => redis.client.pttl("ec1:k"))
        const rest = 600_000 - (realNow() - began)
        assert.isTrue(Math.abs(left - rest) < 1_000, `PTTL ${left} instead of ${rest}`)
      })
    )

    it.scoped("5 000 invalidations during an outage - are delivered at once, without a pause between batches", () =>
      Effect.gen(function* () {
        const { a, b, out, proxy } = yield* proxied()
        const keys = Array.from({ length: 5_000 }, (_, i) => `k${i}`)
        yield* a.store.setMany(
          keys.map((key) => [key, 1] as const),
          minute
        )
        yield* out
        yield* down(a)
        yield* a.store.removeMany(keys)
        yield* proxy.restore
        yield* up(a)
        const [, took] = yield* timed(delivered(a, 3 * generous))
        assert.isBelow(took, 3 * generous)
        assert.isTrue((yield* b.store.getMany(keys)).every(Option.isNone))
      })
    )

    it.scoped(
      "more invalidations than the store keeps - everything older is invalidated instead, with a warning",
      () => {
        const { lines, layer } = recordWarnings()
        return Effect.gen(function* () {
          const { a, b, out, proxy } = yield* proxied()
          yield* a.store.set("bystander", 1, minute)
          yield* a.store.set("k1", 1, minute)
          yield* out
          yield* down(a)
          yield* a.store.removeMany(Array.from({ length: 10_050 }, (_, i) => `k${i}`))
          for (const key of ["bystander", "k1"]) assert.isFalse(yield* a.store.has(key))
          yield* proxy.restore
          yield* up(a)
          yield* delivered(a)
          for (const key of ["bystander", "k1"]) assert.isFalse(yield* b.store.has(key))
          assert.lengthOf(
            lines.filter((line) => line.includes("deliver")),
            1
          )
        }).pipe(Effect.provide(layer))
      }
    )

    it.scoped("10 000 reads - are not queued, need no memory, are counted as errors, and warn once", () => {
      const { lines, layer } = recordWarnings()
      return Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        // a client with default options, whose own queue would take everything
        const client = yield* Effect.acquireRelease(
          Effect.sync(() => new Redis(redis.url, { maxRetriesPerRequest: null })),
          (client) => Effect.sync(() => client.disconnect())
        )
        client.on("error", () => {})
        yield* made(() => client.ping())
        const context = yield* Layer.build(RedisCache.layerFromClient(client, patient))
        const store = yield* Effect.provide(CacheStore, context)
        const a = nodeOf(store)
        const { lookup } = makeLookup((id: number) => Effect.succeed(`${id}:${"x".repeat(1_000)}`))
        const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
        yield* redis.kill
        yield* down(a)
        const round = (from: number) =>
          a.run(
            Effect.forEach(
              Array.from({ length: 1_000 }, (_, i) => from + i),
              (id) => find(id),
              { concurrency: 100, discard: true }
            )
          )
        yield* round(0)
        const before = process.memoryUsage().heapUsed
        const [, took] = yield* timed(
          Effect.forEach(
            Array.from({ length: 10 }, (_, i) => i),
            (i) => round(i * 1_000),
            { discard: true }
          )
        )
        assert.isBelow(took, 3 * generous)
        assert.isBelow(process.memoryUsage().heapUsed - before, 150e6)
        const queues = client as unknown as Record<"offlineQueue" | "commandQueue", { readonly length: number }>
        same([queues.offlineQueue.length, queues.commandQueue.length], [0, 0])
        const stats = yield* store.stats
        assert.isAbove(stats.storeErrors, 10)
        assert.strictEqual(stats.inFlight, 0)
        assert.isFalse((yield* store.health).owes)
        // and one about the options of this client
        assert.lengthOf(
          lines.filter((line) => line.includes("no connection")),
          1
        )
        yield* redis.start
        yield* up(a)
        assert.strictEqual(yield* made(() => redis.client.dbsize()), 4)
      }).pipe(Effect.provide(layer))
    })

    it.scoped("a client that throws - each command is counted as an error, and later ones are answered", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const client = yield* Effect.acquireRelease(
          Effect.sync(() => new Redis(redis.url)),
          (client) => Effect.sync(() => client.disconnect())
        )
        let throws = false
        const thrower = new Proxy(client, {
          get: (target, name) => {
            if (throws && ["evalsha", "mgetBuffer"].includes(String(name))) {
              return () => {
                throw new Error("thrown by a wrapper")
              }
            }
            const member: unknown = Reflect.get(target, name)
            return typeof member === "function" ? member.bind(target) : member
          }
        })
        const context = yield* Layer.build(RedisCache.layerFromClient(thrower, patient))
        const a = nodeOf(yield* Effect.provide(CacheStore, context))
        const { find, calls } = echo()
        yield* a.run(find("a"))
        yield* a.written
        throws = true
        assert.strictEqual(yield* a.run(find("a")), "a2")
        yield* a.run(find.set("b")("set"))
        yield* a.run(Cached.invalidateTags(["t"]))
        for (const kind of ["read", "write", "mark"] as const) {
          yield* awaitUntil(
            Effect.map(a.store.stats, ({ errors }) => (errors[kind]?.Rejected ?? 0) > 0),
            `an error of the kind ${kind} is counted`
          )
        }
        throws = false
        yield* delivered(a)
        yield* a.run(find("c"))
        yield* a.written
        yield* a.run(find("c"))
        assert.lengthOf(calls, 3)
        yield* up(a)
      })
    )

    it.scoped("a connection cut during a read - the read loads, and later ones are answered again", () =>
      Effect.gen(function* () {
        const { a, proxy } = yield* proxied()
        const { find, calls } = echo()
        yield* a.run(find("a"))
        yield* a.written
        yield* proxy.blackhole
        const reader = yield* Effect.fork(a.run(find("a")))
        yield* Effect.yieldNow()
        yield* passed(30)
        yield* proxy.cut
        yield* proxy.restore
        const [value, took] = yield* timed(Fiber.join(reader))
        assert.strictEqual(value, "a2")
        assert.isBelow(took, generous)
        yield* up(a)
        same(yield* a.run(find.peek("a")), Option.some("a1"))
        assert.lengthOf(calls, 2)
      })
    )
  })

  describe("law 6: the store may fail, the caller may not - a server that hangs", () => {
    it.scoped("reads - the first ones cost the timeout, later ones nothing; health is down, and then up", () => {
      const { lines, layer } = recordWarnings()
      return Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const a = yield* open(redis.url, quick)
        const { find } = echo()
        yield* a.run(find("a"))
        yield* a.written
        yield* redis.stop
        const [, first] = yield* timed(a.run(find("a")))
        assert.isAtLeast(first, 250)
        assert.isBelow(first, generous)
        assert.strictEqual((yield* a.store.health).status, "down")
        const [, later] = yield* timed(a.run(Effect.forEach(Array.from({ length: 100 }), () => find("a"))))
        assert.isBelow(later, generous)
        yield* redis.cont
        yield* up(a)
        same(yield* a.run(find.peek("a")), Option.some("a1"))
        assert.lengthOf(lines, 1)
      }).pipe(Effect.provide(layer))
    })

    it.scoped("a process that was held up for longer than the timeout - takes the answers that arrived meanwhile", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const a = yield* open(redis.url, quick)
        yield* a.store.set("k", 1, minute)
        const reader = yield* Effect.fork(a.store.get("k"))
        yield* Effect.yieldNow()
        // the command is sent
        yield* turn
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000)
        same(yield* Fiber.join(reader), Option.some(1))
        same((yield* a.store.stats).storeErrors, 0)
      })
    )

    it.scoped("CLIENT PAUSE - has the same effect", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const a = yield* open(redis.url, quick)
        const { find } = echo()
        yield* a.run(find("a"))
        yield* a.written
        const before = (yield* redis.commandCounts).mget ?? 0
        yield* made(() => redis.client.call("CLIENT", "PAUSE", "1500", "ALL"))
        assert.strictEqual(yield* a.run(find("a")), "a2")
        yield* a.run(find("a"))
        yield* up(a)
        assert.strictEqual((yield* redis.commandCounts).mget, before + 1, "the second read is not sent")
        same(yield* a.run(find.peek("a")), Option.some("a1"))
      })
    )

    const pairs: ReadonlyArray<
      readonly [
        name: string,
        first: (of: Node) => Effect.Effect<void>,
        then: (of: Node) => Effect.Effect<void>,
        ReadonlyArray<string | undefined>
      ]
    > = [
      [
        "set, then set",
        ({ store }) => store.set("k", "first", minute),
        ({ store }) => store.set("k", "second", minute),
        ["second"]
      ],
      [
        "set, then remove",
        ({ store }) => store.set("k", "first", minute),
        ({ store }) => store.remove("k"),
        [undefined]
      ],
      [
        "remove, then set",
        ({ store }) => store.remove("k"),
        ({ store }) => store.set("k", "second", minute),
        // The server cannot tell that the value was set after a removal that it carries out late. The removal is in time if
        // the store had not given it up when the value was set.
        [undefined, "second"]
      ],
      ["clear, then set", ({ store }) => store.clear, ({ store }) => store.set("k", "second", minute), [undefined]],
      ["set, then clear", ({ store }) => store.set("k", "first", minute), ({ store }) => store.clear, [undefined]]
    ]
    for (const [name, first, then, expected] of pairs) {
      it.scoped(`${name} while it hangs - the first arrives late, and does not stay`, () =>
        Effect.gen(function* () {
          const redis = yield* RedisServer.make()
          const [a, b] = [yield* open(redis.url, quick), yield* open(redis.url, quick)]
          yield* a.store.set("k", "before", minute)
          yield* redis.stop
          yield* first(a)
          yield* passed(50)
          yield* then(a)
          yield* passed(600)
          yield* redis.cont
          yield* up(a)
          yield* delivered(a)
          yield* a.written
          const found = yield* Effect.forEach([a, b], (each) => Effect.map(each.store.get("k"), Option.getOrUndefined))
          assert.include(expected, found[0] as string | undefined)
          assert.strictEqual(found[1], found[0])
        })
      )

      it.scoped(`${name} in another process while it hangs - the first arrives late, and does not stay`, () =>
        Effect.gen(function* () {
          const redis = yield* RedisServer.make()
          const [a, b] = [yield* open(redis.url, quick), yield* open(redis.url, quick)]
          yield* a.store.set("k", "before", minute)
          // B knows that nothing answers, and keeps what it is asked for from here on; A does not know
          yield* stopped(redis, b)
          yield* first(a)
          yield* passed(50)
          yield* then(b)
          yield* passed(600)
          yield* redis.cont
          for (const each of [a, b]) {
            yield* up(each)
            yield* delivered(each)
          }
          // which of two processes asked first is not known: what cannot be ordered is removed
          for (const each of [a, b]) same(yield* each.store.get("k"), Option.none())
        })
      )
    }

    it.scoped("a load whose write hangs, then invalidate - the write arrives late, and the entry does not stay", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const [a, b] = [yield* open(redis.url, quick), yield* open(redis.url, quick)]
        const door = gate()
        const { lookup } = makeLookup(() => Effect.as(door.pass, "old"))
        const cached = Cached.ttl(lookup, { key: "k", ...minute })
        const reader = yield* Effect.fork(a.run(cached()))
        yield* door.reached
        yield* redis.stop
        yield* door.open
        yield* Fiber.join(reader)
        yield* Effect.yieldNow()
        yield* a.run(cached.invalidate())
        yield* passed(600)
        yield* redis.cont
        yield* up(a)
        yield* delivered(a)
        for (const each of [a, b]) same(yield* each.run(cached.peek()), Option.none())
      })
    )

    it.scoped("TestClock set forward by hours - does not time out a real socket", () =>
      Effect.gen(function* () {
        const { a, proxy } = yield* proxied()
        const cached = Cached.ttl(Effect.succeed(1), { key: "k", ttl: "30 days" })
        yield* a.run(cached)
        yield* a.written
        yield* proxy.latency(150)
        const reader = yield* Effect.fork(a.run(cached))
        yield* Effect.yieldNow()
        yield* TestClock.adjust("10 hours")
        assert.strictEqual(yield* Fiber.join(reader), 1)
        const { hits, loads, storeErrors } = yield* a.store.stats
        same([hits, loads, storeErrors], [1, 1, 0])
        assert.strictEqual((yield* a.store.health).status, "up")
      })
    )
  })

  describe(`onStoreError: "fail"`, () => {
    const strict = () => {
      const { lookup, calls } = makeLookup(() => Effect.succeed("v"))
      return { cached: Cached.ttl(lookup, { key: "k", tags: ["t"], ...minute, onStoreError: "fail" }), calls }
    }
    const reasons = (a: Node, cached: ReturnType<typeof strict>["cached"]) =>
      Effect.forEach(
        [
          cached(),
          cached.peek(),
          cached.entry(),
          cached.set()("w"),
          cached.invalidate(),
          cached.clear
        ] as ReadonlyArray<Effect.Effect<unknown, CacheStoreError, CacheStore>>,
        (each) =>
          a.run(each).pipe(
            Effect.as("done"),
            Effect.catchAll((error) => Effect.succeed(`${error._tag} ${error.reason}`))
          )
      )

    it.scoped("no connection - reads, set, invalidate and clear fail with Disconnected, and nothing is loaded", () =>
      Effect.gen(function* () {
        const { a, out } = yield* proxied()
        const { cached, calls } = strict()
        yield* out
        yield* down(a)
        const disconnected = "CacheStoreError Disconnected"
        // this process knows the value after `set`, and that there is none after `invalidate`
        const [read, peek, entry, set, invalidate, clear] = yield* reasons(a, cached)
        same(
          [read, peek, entry, set, invalidate, clear],
          Array.from({ length: 6 }, () => disconnected)
        )
        assert.lengthOf(calls, 0)
      })
    )

    it.scoped("no answer - the first fails with Timeout", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const a = yield* open(redis.url, quick)
        const { cached } = strict()
        yield* redis.stop
        const error = yield* Effect.flip(a.run(cached()))
        same([error._tag, error.reason, error.store], ["CacheStoreError", "Timeout", "redis"])
      })
    )

    it.scoped("a failed write after a load - is only counted", () =>
      Effect.gen(function* () {
        const { a, out } = yield* proxied()
        const { lookup } = makeLookup(() => Effect.as(Effect.zipRight(out, down(a)), "v"))
        const cached = Cached.ttl(lookup, { key: "k", ...minute, onStoreError: "fail" })
        assert.strictEqual(yield* a.run(cached()), "v")
        yield* awaitUntil(
          Effect.map(a.store.stats, ({ storeErrors }) => storeErrors === 1),
          "the write was counted"
        )
      })
    )
  })

  describe("errors of Redis", () => {
    const faults: ReadonlyArray<
      readonly [name: string, cause: RegExp, spoil: (redis: RedisServer.Service) => Promise<unknown>]
    > = [
      [
        "out of memory",
        /OOM/,
        async ({ client }) => {
          await client.config("SET", "maxmemory-policy", "noeviction")
          await client.config("SET", "maxmemory", "1mb")
        }
      ],
      ["a replica", /READONLY/, ({ client }) => client.call("REPLICAOF", "127.0.0.1", "1")],
      ["a user without rights", /NOPERM|can't run/, ({ client }) => client.call("ACL", "SETUSER", "default", "-set")]
    ]
    for (const [name, cause, spoil] of faults) {
      it.scoped(`${name} - no caller fails, the error is counted, and the warning comes once and names it`, () => {
        const { lines, layer } = recordWarnings()
        return Effect.gen(function* () {
          const redis = yield* RedisServer.make()
          const a = yield* open(redis.url)
          const { lookup, calls } = makeLookup((id: number) => Effect.succeed(id))
          const find = Cached.ttl(lookup, { key: "k:{}", tags: ["t"], ...minute })
          yield* a.run(find(0))
          yield* a.written
          yield* made(() => spoil(redis))
          // Redis answers reads, but refuses writes
          for (let i = 1; i <= 50; i++) {
            assert.strictEqual(yield* a.run(find(i)), i)
            assert.strictEqual(yield* a.run(find(0)), 0)
          }
          yield* a.store.set("by hand", 1, minute)
          same(yield* a.store.get("by hand"), Option.some(1))
          const { storeErrors } = yield* a.store.stats
          assert.isAtLeast(storeErrors, 50)
          if (name === "a replica") {
            // it is left, and what is read until the next connection is open is loaded
            assert.isAtLeast(calls.length, 51)
            assert.isAtMost(lines.length, 2)
          } else {
            assert.lengthOf(calls, 51)
            assert.lengthOf(lines, 1)
          }
          for (const line of lines) assert.match(line, cause)
        }).pipe(Effect.provide(layer))
      })
    }

    it.scoped("out of memory - setIfAbsent fails with Rejected, and the error is counted", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const a = yield* open(redis.url)
        yield* a.written
        yield* made(() => faults[0]![2](redis))
        const before = (yield* a.store.stats).storeErrors
        const error = yield* Effect.flip(a.store.setIfAbsent("k", 1, minute))
        assert.strictEqual(error.reason, "Rejected")
        assert.strictEqual((yield* a.store.stats).storeErrors, before + 1)
      })
    )

    const whenFull: ReadonlyArray<
      readonly [name: string, act: (a: Node, find: ReturnType<typeof echo>["find"]) => Effect.Effect<void>]
    > = [
      ["invalidate", (a, find) => a.run(find.invalidate("a"))],
      ["remove", (a) => a.store.remove("x:a")],
      ["clear of the function", (a, find) => a.run(find.clear)],
      ["clear of the store", (a) => a.store.clear],
      ["a tag", (a) => a.store.tags.invalidate(["t"])],
      ["set of a longer value", (a, find) => a.run(find.set("a")("a value that is longer than the old one"))]
    ]
    for (const envelope of [Envelope.v1, Envelope.advancedCaching]) {
      for (const [verb, act] of whenFull) {
        if (verb === "a tag" && envelope !== Envelope.v1) continue
        it.scoped(
          `out of memory, ${envelope === Envelope.v1 ? "v1" : "Python"} - ${verb} reaches other processes`,
          () =>
            Effect.gen(function* () {
              const redis = yield* RedisServer.make()
              const options = { envelope, serializer: Serializer.json }
              const [a, b] = [yield* open(redis.url, options), yield* open(redis.url, options)]
              const hybrid = nodeOf(yield* RedisCache.makeHybrid({ l2: { url: redis.url, ...patient, ...options } }))
              yield* coherent(hybrid, true)
              const { lookup } = numbered((call, id: string) => Effect.succeed(`${id}${call}`))
              const tags = envelope === Envelope.v1 ? { tags: ["t"] } : {}
              const find = Cached.ttl(lookup, { key: "x:{}", ...minute, ...tags })
              yield* a.run(find("a"))
              yield* a.written
              for (const each of [b, hybrid]) same(yield* each.run(find.peek("a")), Option.some("a1"))
              yield* made(() => faults[0]![2](redis))
              yield* act(a, find)
              for (const each of [b, hybrid]) {
                yield* awaitUntil(
                  Effect.map(each.run(find.peek("a")), (found) => !Option.contains(found, "a1")),
                  "the old value is gone"
                )
              }
            })
        )
      }
    }

    it.scoped("out of memory - a value that is not longer replaces the entry, and locks are granted", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const [a, b] = [yield* open(redis.url), yield* open(redis.url)]
        yield* a.store.set("k", "old", minute)
        yield* made(() => faults[0]![2](redis))
        yield* a.store.set("k", "new", minute)
        same(yield* b.store.get("k"), Option.some("new"))
        same((yield* a.store.health).undelivered, 0)
        const { lookup, calls } = makeLookup((id: string) => Effect.as(passed(100), id))
        const find = Cached.ttl(lookup, { key: "x:{}", ...minute, lock: { lease: "10 seconds" } })
        const first = yield* Effect.fork(a.run(find("a")))
        yield* awaitUntil(
          made(async () => (await redis.client.keys("ec1:!l*")).length === 1),
          "the lock is held"
        )
        yield* Effect.forkScoped(b.run(find("a")))
        yield* Fiber.join(first)
        assert.lengthOf(calls, 1)
      })
    )

    it.scoped("out of memory - a batch that writes several keys keeps within the memory there is", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const a = yield* open(redis.url)
        yield* a.store.set("k0", "old", minute)
        yield* made(() => faults[0]![2](redis))
        const entries = Array.from({ length: 20 }, (_, i) => [`k${i}`, "new"] as const)
        yield* a.store.setMany(entries, minute)
        same(yield* made(() => redis.client.keys("ec1:k*")), ["ec1:k0"])
        same((yield* a.store.health).undelivered, 19)
        yield* made(() => redis.client.config("SET", "maxmemory", "0"))
        yield* delivered(a)
        same((yield* made(() => redis.client.keys("ec1:k*"))).length, 20)
      })
    )

    it.scoped("out of memory for a while - a value set meanwhile is delivered", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const [a, b] = [yield* open(redis.url), yield* open(redis.url)]
        yield* made(() => faults[0]![2](redis))
        yield* a.store.set("k", 1, minute)
        assert.isTrue((yield* a.store.health).owes)
        yield* made(() => redis.client.config("SET", "maxmemory", "0"))
        yield* delivered(a)
        same(yield* b.store.get("k"), Option.some(1))
        yield* up(a)
      })
    )

    it.scoped("scripts removed (SCRIPT FLUSH) - every verb works", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const a = yield* open(redis.url)
        const verbs = [
          a.store.set("k", 1, { ...minute, tags: ["t"] }),
          a.store.setIfAbsent("l", 1, minute),
          a.store.remove("l"),
          a.store.tags.invalidate(["t"])
        ]
        for (const verb of verbs) {
          yield* made(() => redis.client.script("FLUSH"))
          yield* verb
        }
        same(yield* a.store.getMany(["k", "l"]), [Option.none(), Option.none()])
        assert.strictEqual((yield* a.store.stats).storeErrors, 0)
      })
    )
  })

  describe("law 11: the scope ends everything", () => {
    const scoped = (url: string, options?: RedisCache.Options) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const a = yield* Scope.extend(open(url, options), scope)
        return { a, close: Scope.close(scope, Exit.void) }
      })

    it.scoped("while Redis is down - closes at once, and does not reconnect", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const proxy = yield* TcpProxy.make(redis.port)
        const { a, close } = yield* scoped(proxy.url)
        yield* Effect.zipRight(proxy.refuse, proxy.cut)
        yield* down(a)
        yield* a.store.set("k", 1, minute)
        const [, took] = yield* timed(close)
        assert.isBelow(took, generous)
        const accepted = yield* proxy.accepted
        yield* proxy.restore
        yield* passed(500)
        assert.strictEqual(yield* proxy.accepted, accepted)
      })
    )

    it.scoped("while writes hang - closes within the timeout, and leaves no connection", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const proxy = yield* TcpProxy.make(redis.port)
        const { a, close } = yield* scoped(proxy.url, quick)
        yield* redis.stop
        const writer = yield* Effect.fork(
          a.store.setMany(
            [
              ["k", 1],
              ["l", 2]
            ],
            minute
          )
        )
        yield* Effect.yieldNow()
        const [, took] = yield* timed(close)
        assert.isBelow(took, generous)
        yield* redis.cont
        yield* awaitUntil(
          Effect.map(proxy.connections, (n) => n === 0),
          "no connection is left"
        )
        assert.isTrue(Option.isSome(yield* Fiber.poll(writer)))
      })
    )

    it.scoped("during writes - closes after they have ended", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const { a, close } = yield* scoped(redis.url)
        const keys = Array.from({ length: 300 }, (_, i) => `k${i}`)
        yield* Effect.fork(
          a.store.setMany(
            keys.map((key) => [key, key] as const),
            minute
          )
        )
        yield* Effect.yieldNow()
        yield* close
        assert.strictEqual(yield* made(() => redis.client.exists(...keys.map((key) => `ec1:${key}`))), 300)
      })
    )

    it.scoped("a write that waits for another write of its key - is sent before the store closes", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const { a, close } = yield* scoped(redis.url)
        yield* Effect.fork(a.store.set("k", "first", minute))
        yield* Effect.yieldNow()
        yield* Effect.fork(a.store.set("k", "second", minute))
        yield* Effect.yieldNow()
        yield* close
        const b = yield* open(redis.url)
        same(yield* b.store.get("k"), Option.some("second"))
      })
    )

    it.scoped("reads and loads - are interrupted, and so are later ones", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer.make()
        const { a, close } = yield* scoped(redis.url)
        const door = gate()
        const cached = Cached.ttl(Effect.as(door.pass, 1), { key: "k", ...minute })
        const reader = yield* Effect.fork(a.run(cached))
        yield* door.reached
        yield* close
        assert.isTrue(Exit.isInterrupted(yield* Fiber.await(reader)))
        assert.isTrue(Exit.isInterrupted(yield* Effect.exit(a.run(cached))))
      })
    )
  })
})
