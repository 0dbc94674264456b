import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it, layer } from "@effect/vitest"
import {
  Chunk,
  Context,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Runtime,
  Schema,
  Scope,
  Stream,
  TestClock
} from "effect"
import { Cached, CacheStore, MemoryCache, MemoryCacheLive } from "../../src/index.js"
import * as RedisCache from "../../src/RedisCache.js"
import { becomes, counting, recordWarnings, settled, until } from "../laws/support.js"
import { awaitUntil, freshPrefix, live, RedisServer, TcpProxy } from "../support/redis.js"
import { health, hybrid, minute, node, nodeOf, raw, realNow } from "../support/redis-nodes.js"

const on = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, MemoryCacheLive)

const some = Option.some
const none = Option.none()

describe("Cached.bgRead", () => {
  describe("a store in memory", () => {
    it.scoped("before the first value - a read is None, without waiting", () =>
      on(
        Effect.gen(function* () {
          const flags = yield* Cached.bgRead<number>({ key: "k" })
          assert.strictEqual(flags.key, "k")
          deepStrictEqual(yield* flags, none)
          deepStrictEqual(yield* flags.age, none)
        })
      )
    )

    it.scoped("a read - is one synchronous step, outside of Effect as well", () =>
      on(
        Effect.gen(function* () {
          const flags = yield* Cached.bgRead<number>({ key: "k" })
          yield* (yield* CacheStore).set("k", 1, minute)
          deepStrictEqual(Runtime.runSync(yield* Effect.runtime<never>())(flags), some(1))
        })
      )
    )

    it.scoped("a write - is in the mirror as soon as it is in the store, whichever of the two started first", () =>
      on(
        Effect.gen(function* () {
          const early = yield* Cached.bgRead<number>({ key: "k" })
          const store = yield* CacheStore
          yield* store.set("k", 1, minute)
          const late = yield* Cached.bgRead<number>({ key: "k" })
          deepStrictEqual([yield* early, yield* late], [some(1), some(1)])
          yield* store.set("k", 2, minute)
          deepStrictEqual([yield* early, yield* late], [some(2), some(2)])
          assert.isFalse(yield* store.setIfAbsent("k", 3, minute))
          yield* store.remove("k")
          deepStrictEqual(yield* early, none)
          assert.isTrue(yield* store.setIfAbsent("k", 3, minute))
          deepStrictEqual([yield* early, yield* late], [some(3), some(3)])
        })
      )
    )

    it.scoped("lifetime - is that of the entry, to the millisecond", () =>
      on(
        Effect.gen(function* () {
          const flags = yield* Cached.bgRead<number>({ key: "k", ttl: "10 seconds" })
          yield* (yield* CacheStore).set("k", 1, { ttl: "30 seconds", stale: "30 seconds" })
          yield* TestClock.adjust(59_999)
          deepStrictEqual(yield* flags, some(1))
          yield* TestClock.adjust(1)
          deepStrictEqual(yield* flags, none)
          deepStrictEqual(yield* flags.age, none)
        })
      )
    )

    it.scoped("ttl - a longer one keeps the value longer, counted from its creation", () =>
      on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.set("k", 1, minute)
          yield* TestClock.adjust("30 seconds")
          const flags = yield* Cached.bgRead<number>({ key: "k", ttl: "5 minutes" })
          yield* TestClock.adjust(269_999)
          deepStrictEqual(yield* store.get("k"), none)
          deepStrictEqual(yield* flags, some(1))
          yield* TestClock.adjust(1)
          deepStrictEqual(yield* flags, none)
        })
      )
    )

    it.scoped("invalidation - by key, owner, tag or all at once, the value is gone at the next read", () =>
      on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          const cached = Cached.ttl(Effect.succeed(1), { key: "k", tags: ["t"], ttl: "1 hour" })
          const flags = yield* Cached.bgRead<number>({ key: "k" })
          for (const away of [
            cached.invalidate,
            Cached.invalidateTags(["t"]),
            store.clear,
            store.remove("k"),
            store.tags.invalidate(["t"])
          ]) {
            yield* cached
            deepStrictEqual(yield* flags, some(1))
            yield* store.tags.invalidate(["another"])
            deepStrictEqual(yield* flags, some(1))
            yield* away
            deepStrictEqual(yield* flags, none)
          }
        })
      )
    )

    it.scoped("eviction - a value evicted from the store stays in the mirror", () =>
      Effect.gen(function* () {
        const flags = yield* Cached.bgRead<number>({ key: "k" })
        const store = yield* CacheStore
        yield* store.set("k", 1, minute)
        for (let i = 0; i < 10; i++) yield* store.set(`other${i}`, i, minute)
        deepStrictEqual([yield* store.get("k"), yield* flags], [none, some(1)])
      }).pipe(Effect.provide(MemoryCache.layer({ capacity: 2 })))
    )

    it.scoped("age - is the time since the load ended", () =>
      on(
        Effect.gen(function* () {
          const flags = yield* Cached.bgRead<number>({ key: "k" })
          yield* (yield* CacheStore).set("k", 1, minute)
          yield* TestClock.adjust("12 seconds")
          deepStrictEqual(Option.map(yield* flags.age, Duration.toMillis), some(12_000))
        })
      )
    )

    it.scoped("ready - waits for the first value, not for a second", () =>
      on(
        Effect.gen(function* () {
          const flags = yield* Cached.bgRead<number>({ key: "k" })
          const waiting = yield* Effect.forkAll([flags.ready, flags.ready])
          const leaving = yield* Effect.fork(flags.ready)
          yield* settled
          yield* Fiber.interrupt(leaving)
          yield* (yield* CacheStore).set("k", undefined, minute)
          deepStrictEqual(yield* Fiber.join(waiting), [undefined, undefined])
          deepStrictEqual([yield* flags.ready, yield* flags], [undefined, some(undefined)])
        })
      )
    )

    it.scoped("changes - the current value, then every later one; ends with the reader", () =>
      on(
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const flags = yield* Scope.extend(Cached.bgRead<number>({ key: "k" }), scope)
          const store = yield* CacheStore
          yield* store.set("k", 1, minute)
          const seen = yield* Effect.fork(Stream.runCollect(flags.changes))
          yield* settled
          for (const value of [2, 2, 3]) yield* store.set("k", value, minute)
          yield* settled
          yield* Scope.close(scope, Exit.void)
          deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(seen)), [1, 2, 2, 3])
        })
      )
    )

    it.scoped(
      "closing - when the scope of the reader or the store closes, waiters are interrupted, and the last value is kept until it expires",
      () =>
        Effect.gen(function* () {
          const outer = yield* Scope.make()
          const context = yield* Layer.buildWithScope(MemoryCacheLive, outer)
          const scope = yield* Scope.make()
          const read = Effect.provide(Cached.bgRead<number>({ key: "k" }), context)
          const first = yield* Scope.extend(read, scope)
          const second = yield* read
          const waiting = yield* Effect.forEach([first, second], (reader) => Effect.fork(reader.ready))
          yield* settled
          yield* Scope.close(scope, Exit.void)
          assert.isTrue(Exit.isInterrupted(yield* Fiber.await(waiting[0]!)))
          yield* Context.get(context, CacheStore).set("k", 1, minute)
          deepStrictEqual([yield* first, yield* second], [none, some(1)])
          assert.strictEqual(yield* Fiber.join(waiting[1]!), 1)
          yield* Scope.close(outer, Exit.void)
          deepStrictEqual(yield* second, some(1))
          yield* TestClock.adjust("1 minute")
          deepStrictEqual(yield* second, none)
          assert.isTrue(Exit.isInterrupted(yield* Effect.exit(second.ready)))
        })
    )

    it.scoped("options - a key with a placeholder and an interval of zero are defects that say so", () =>
      on(
        Effect.gen(function* () {
          const defects = yield* Effect.forEach(
            [Cached.bgRead({ key: "user:{}" }), Cached.bgRead({ key: "k", interval: 0 })],
            (reader) => Effect.map(Effect.flip(Effect.sandbox(reader)), String)
          )
          assert.include(defects[0]!, "user:{}")
          assert.include(defects[1]!, "interval: must be a time above zero")
        })
      )
    )

    it.scoped("CacheStore.layerNoop - a read is None", () =>
      Effect.gen(function* () {
        const flags = yield* Cached.bgRead<number>({ key: "k" })
        yield* Cached.bgWrite(Effect.succeed(1), { key: "k", interval: "1 minute" })
        yield* settled
        deepStrictEqual(yield* flags, none)
      }).pipe(Effect.provide(CacheStore.layerNoop))
    )
  })

  describe("Layers", () => {
    class Flags extends Context.Tag("test/Flags")<Flags, Cached.CachedReader<number>>() {}
    class Loaded extends Context.Tag("test/Loaded")<Loaded, Cached.CachedEffect<number>>() {}

    it.effect("services - a reader and a loader behind a tag of the user's, which request code requires", () => {
      const { calls, lookup } = counting()
      const layers = Layer.mergeAll(
        Layer.scoped(Flags, Cached.bgRead<number>({ key: "flags" })),
        Layer.scoped(Loaded, Cached.bg(Effect.succeed("x".length), { key: "other", interval: "1 minute" })),
        Layer.scopedDiscard(Cached.bgWrite(lookup(), { key: "flags", interval: "1 minute" }))
      ).pipe(Layer.provide(MemoryCacheLive))
      return Effect.gen(function* () {
        const flags = yield* Flags
        assert.strictEqual(yield* flags.ready, 1)
        assert.strictEqual(yield* Effect.flatten(Loaded), 1)
        assert.strictEqual(calls.length, 1)
      }).pipe(Effect.provide(layers))
    })
  })

  layer(RedisServer.layer)("a real Redis", (it) => {
    const two = Effect.gen(function* () {
      const prefix = yield* freshPrefix
      return { prefix, writer: yield* node({ prefix }), web: yield* node({ prefix }), there: yield* raw(prefix) }
    })

    it.scoped(
      "notification - a write of another process arrives before the next look, the very first one included",
      () =>
        Effect.gen(function* () {
          const { web, writer } = yield* two
          const flags = yield* web.run(Cached.bgRead<number>({ key: "k", interval: Duration.infinity }))
          const { calls, lookup } = counting()
          yield* live(Effect.sleep("300 millis"))
          deepStrictEqual(yield* flags, none)
          yield* writer.run(Cached.bgWrite(lookup(), { key: "k", interval: "1 minute" }))
          yield* becomes(flags, some(1))
          const before = realNow()
          yield* TestClock.adjust("1 minute")
          yield* becomes(flags, some(2))
          assert.isBelow(realNow() - before, 1_000)
          assert.strictEqual(calls.length, 2)
        })
    )

    it.scoped("reads - send nothing to Redis", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const { web, writer } = yield* two
        const flags = yield* web.run(Cached.bgRead<number>({ key: "k", interval: "1 hour" }))
        yield* writer.store.set("k", 1, minute)
        yield* becomes(flags, some(1))
        // those of the notifications, which begin meanwhile
        const others = ["SUBSCRIBE", "PUBLISH"]
        const sent = Effect.gen(function* () {
          const monitor = yield* redis.monitor
          for (let i = 0; i < 1_000; i++) deepStrictEqual(yield* flags, some(1))
          return (yield* monitor.names).filter((name) => !others.includes(name))
        })
        // the mirror looks once more when its notifications have begun
        yield* becomes(Effect.scoped(sent), [])
      })
    )

    it.scoped("interval - without a notification, each reader sees a write after its own interval", () =>
      Effect.gen(function* () {
        const { prefix, writer } = yield* two
        // a backend without notifications
        const redis = yield* RedisServer
        const backend = yield* RedisCache.backend({ url: redis.url, prefix })
        const silent = nodeOf(yield* CacheStore.make({ ...backend, notifications: undefined }))
        const often = yield* silent.run(Cached.bgRead<number>({ key: "k", interval: 100 }))
        const seldom = yield* silent.run(Cached.bgRead<number>({ key: "k", interval: 1_000 }))
        yield* live(Effect.sleep("100 millis"))
        yield* writer.store.set("k", 1, minute)
        yield* TestClock.adjust(100)
        yield* becomes(often, some(1))
        deepStrictEqual(yield* seldom, none)
        yield* TestClock.adjust(900)
        yield* becomes(seldom, some(1))
        yield* writer.store.set("k", 2, minute)
        yield* TestClock.adjust(100)
        yield* becomes(often, some(2))
        deepStrictEqual(yield* seldom, some(1))
        yield* writer.store.remove("k")
        yield* TestClock.adjust(100)
        yield* becomes(often, none)
      })
    )

    it.scoped(
      "invalidation - a value that another process removed, invalidated or cleared is gone within milliseconds",
      () =>
        Effect.gen(function* () {
          const { web, writer } = yield* two
          const flags = yield* web.run(Cached.bgRead<number>({ key: "k", interval: Duration.infinity }))
          const cached = Cached.ttl(Effect.succeed(1), { key: "k", tags: ["t"], ttl: "1 hour" })
          for (const away of [cached.invalidate, Cached.invalidateTags(["t"]), writer.store.clear]) {
            yield* writer.run(cached.set(1))
            yield* becomes(flags, some(1))
            yield* writer.run(away)
            yield* becomes(flags, none)
          }
        })
    )

    it.scoped("memory in front of Redis - the mirror follows the writes of other processes and of its own", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const [a, b] = yield* Effect.all([hybrid({ l2: { prefix } }), hybrid({ l2: { prefix } })])
        const here = yield* a.run(Cached.bgRead<number>({ key: "k", interval: Duration.infinity }))
        const there = yield* b.run(Cached.bgRead<number>({ key: "k", interval: Duration.infinity }))
        const { lookup } = counting()
        yield* a.run(Cached.bgWrite(lookup(), { key: "k", interval: "1 minute" }))
        yield* Effect.all([becomes(here, some(1)), becomes(there, some(1))])
        yield* TestClock.adjust("1 minute")
        yield* Effect.all([becomes(here, some(2)), becomes(there, some(2))])
        yield* b.store.remove("k")
        yield* Effect.all([becomes(here, none), becomes(there, none)])
      })
    )

    it.scoped("schema - decodes; a value that does not fit is reported and changes nothing", () =>
      Effect.gen(function* () {
        const { web, writer } = yield* two
        const reported: Array<string> = []
        const flags = yield* web.run(
          Cached.bgRead({
            key: "k",
            schema: Schema.Struct({ at: Schema.Date }),
            interval: Duration.infinity,
            onError: (cause) => Effect.sync(() => void reported.push(String(cause)))
          })
        )
        const at = new Date(0)
        yield* writer.store.set("k", { at }, { ...minute, schema: Schema.Struct({ at: Schema.Date }) })
        yield* becomes(flags, some({ at }))
        yield* writer.store.set("k", { other: 1 }, minute)
        yield* until(() => reported.length > 0, "the error is reported")
        assert.include(reported[0]!, "at")
        deepStrictEqual(yield* flags, some({ at }))
        assert.strictEqual((yield* web.store.stats).decodeFailures, reported.length)
      })
    )

    it.scoped(
      "outage - for ten virtual minutes the last value is kept until it expires, reported once, and the next arrives when the store is back",
      () =>
        Effect.gen(function* () {
          const redis = yield* RedisServer
          const prefix = yield* freshPrefix
          const proxy = yield* TcpProxy.make(redis.port)
          const warnings = recordWarnings()
          const web = yield* Effect.provide(node({ prefix, url: proxy.url }), warnings.layer)
          const writer = yield* node({ prefix })
          const reported: Array<string> = []
          const onError = (cause: unknown) =>
            Effect.zipRight(
              Effect.sync(() => void reported.push(String(cause))),
              Effect.dieMessage("and breaks")
            )
          const short = yield* web.run(Cached.bgRead<number>({ key: "k", interval: "1 minute" }))
          const long = yield* web
            .run(Cached.bgRead<number>({ key: "k", interval: "1 minute", ttl: "9 minutes", onError }))
            .pipe(Effect.provide(warnings.layer))
          yield* writer.store.set("k", 1, { ttl: "2 minutes" })
          yield* Effect.all([becomes(short, some(1)), becomes(long, some(1))])
          yield* proxy.refuse
          yield* proxy.cut
          yield* health(web, "down")
          for (let i = 1; i <= 10; i++) {
            yield* TestClock.adjust("1 minute")
            yield* until(() => reported.length >= i, "a look into the store failed")
            deepStrictEqual([yield* short, yield* long], [i < 2 ? some(1) : none, i < 9 ? some(1) : none])
          }
          yield* proxy.restore
          yield* health(web, "up")
          yield* writer.store.set("k", 2, { ttl: "2 minutes" })
          yield* Effect.all([becomes(short, some(2)), becomes(long, some(2))])
          assert.lengthOf(
            warnings.lines.filter((line) => line.includes("no connection") || line.includes("did not answer")),
            1,
            warnings.lines.join("\n")
          )
        })
    )

    it.scoped(
      "lost data - when Redis comes back empty, the value is kept until it expires, and the next one is taken",
      () =>
        Effect.gen(function* () {
          const redis = yield* RedisServer.make()
          const prefix = yield* freshPrefix
          const [web, writer] = yield* Effect.all([node({ prefix, url: redis.url }), node({ prefix, url: redis.url })])
          const flags = yield* web.run(Cached.bgRead<number>({ key: "k", interval: "1 second" }))
          yield* writer.store.set("k", 1, minute)
          yield* becomes(flags, some(1))
          yield* redis.kill
          yield* redis.start
          yield* Effect.all([health(web, "up"), health(writer, "up")])
          for (let i = 0; i < 3; i++) {
            yield* TestClock.adjust("1 second")
            yield* live(Effect.sleep("50 millis"))
            deepStrictEqual(yield* flags, some(1))
          }
          yield* writer.store.set("k", 2, minute)
          yield* becomes(flags, some(2))
          yield* writer.store.clear
          yield* becomes(flags, none)
        })
    )

    it.scoped("lost notifications - a value written meanwhile is there once they arrive again", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const prefix = yield* freshPrefix
        const proxy = yield* TcpProxy.make(redis.port)
        const web = yield* node({ prefix, url: proxy.url })
        const writer = yield* node({ prefix })
        const flags = yield* web.run(Cached.bgRead<number>({ key: "k", interval: Duration.infinity }))
        yield* writer.store.set("k", 1, minute)
        yield* becomes(flags, some(1))
        yield* proxy.refuse
        yield* proxy.cut
        yield* health(web, "down")
        yield* writer.store.set("k", 2, minute)
        deepStrictEqual(yield* flags, some(1))
        yield* proxy.restore
        yield* awaitUntil(
          Effect.map(flags, (value) => Option.getOrUndefined(value) === 2),
          "the second value is there"
        )
      })
    )
  })
})
