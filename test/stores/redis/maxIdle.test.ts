/**
 * `maxIdle` on Redis: which reads renew an entry there, with which commands, and what a renewal must not change. The rest
 * is in `test/cached/maxIdle.test.ts`.
 */
import { deepStrictEqual } from "node:assert/strict"
import { assert, layer } from "@effect/vitest"
import { Effect, Either, Option, type Scope, TestClock } from "effect"
import { Cached, type Entry, Envelope, MemoryCache, TieredCache } from "../../../src/index.js"
import * as RedisCache from "../../../src/RedisCache.js"
import { becomes, counting, settled } from "../../laws/support.js"
import { awaitUntil, freshPrefix, RedisServer } from "../../support/redis.js"
import { hybrid, minute, type Node, node, nodeOf, pair, raw, single } from "../../support/redis-nodes.js"

/** On a busy machine an operation may take long, and one that fails is not tried again at once. */
const timeout = "10 seconds"

const options = { key: "k", ttl: "1 minute", maxIdle: "16 seconds" } as const

const bytesOf = (bytes: Buffer | null): Buffer => bytes ?? assert.fail("is absent")

const entryIn = (bytes: Buffer | null): Entry.Entry<Uint8Array> => {
  const found = Either.getOrThrow(Envelope.v1.decode(bytesOf(bytes)))
  return found._tag === "Entry" ? found.entry : assert.fail("is a tombstone")
}

type There = Effect.Effect.Success<ReturnType<typeof raw>>

const extensionIn = (there: There, key = "k") => Effect.map(there.bytes(key), (bytes) => entryIn(bytes).extension)

const renewedAt = (there: There, readAt: number, key = "k") =>
  becomes(
    Effect.map(extensionIn(there, key), (extension) => extension?.readAt),
    readAt
  )

/** The commands of the clients of the stores, without those that belong to connections and notifications. */
const sent = Effect.flatMap(RedisServer, ({ monitor }) =>
  Effect.map(monitor, ({ names }) =>
    Effect.map(names, (names) => names.filter((name) => name.startsWith("EVAL") || name === "MGET"))
  )
)

const errors = ({ store }: Node) => Effect.map(store.stats, ({ storeErrors }) => storeErrors)

layer(RedisServer.layer)("maxIdle on Redis", (it) => {
  /** A test whose clock begins at 0. */
  const test = (name: string, body: () => Effect.Effect<void, unknown, RedisServer | Scope.Scope>) =>
    it.scoped(name, () => Effect.zipRight(TestClock.setTime(0), body()))

  test("the bytes and the life in Redis - tell the idle time, and agree", () =>
    Effect.gen(function* () {
      const { run, there, written } = yield* single()
      const cached = Cached.ttl(counting().lookup(), options)
      yield* run(cached)
      yield* written
      deepStrictEqual(yield* extensionIn(there), { idle: 16_000, readAt: 0 })
      const left = yield* there.pttl("k")
      assert.isAtMost(left, 16_000)
      assert.isAbove(left, 6_000)
      // and at most to its end, which is 5 seconds after this read
      yield* TestClock.adjust("15 seconds")
      yield* run(cached)
      yield* TestClock.adjust("15 seconds")
      yield* run(cached)
      yield* TestClock.adjust("13 seconds")
      yield* run(cached)
      const { client } = yield* RedisServer
      yield* TestClock.adjust("12 seconds")
      yield* Effect.promise(() => client.pexpire(`${there.prefix}k`, 2_000))
      yield* run(cached)
      const last = yield* there.pttl("k")
      assert.isAtMost(last, 5_000)
      assert.isAbove(last, 2_000)
      deepStrictEqual(yield* extensionIn(there), { idle: 16_000, readAt: 55_000 })
      assert.deepInclude(entryIn(yield* there.bytes("k")), { createdAt: 0, freshUntil: 60_000, expiresAt: 60_000 })
    }))

  test("a read that renews - prolongs the life in Redis, and never shortens it", () =>
    Effect.gen(function* () {
      const { run, there, written } = yield* single()
      const { client } = yield* RedisServer
      const cached = Cached.ttl(counting().lookup(), options)
      yield* run(cached)
      yield* written
      for (const [at, before, least, most] of [
        [8_000, 1_000, 10_000, 16_000],
        [16_000, 100_000, 60_000, 100_000],
        [31_000, 1_000, 10_000, 16_000],
        // 14 seconds before its end
        [46_000, 1_000, 10_000, 14_000]
      ] as const) {
        yield* TestClock.setTime(at)
        yield* Effect.promise(() => client.pexpire(`${there.prefix}k`, before))
        yield* run(cached)
        const left = yield* there.pttl("k")
        assert.isAtLeast(left, least, String(at))
        assert.isAtMost(left, most, String(at))
      }
    }))

  test("a read of Redis - renews by the command that reads, once in a quarter of the time", () =>
    Effect.gen(function* () {
      const { run, there, written } = yield* single()
      const cached = Cached.ttl(counting().lookup(), options)
      yield* run(cached)
      yield* written
      yield* run(cached)
      const commands = yield* sent
      yield* TestClock.adjust(3_999)
      yield* run(cached)
      assert.strictEqual((yield* extensionIn(there))?.readAt, 0)
      yield* TestClock.adjust(1)
      yield* run(cached)
      assert.strictEqual((yield* extensionIn(there))?.readAt, 4_000)
      yield* settled
      deepStrictEqual(yield* commands, ["EVALSHA", "EVALSHA"])
    }))

  test("functions without the option - are read as before", () =>
    Effect.gen(function* () {
      const { run, written } = yield* single()
      const cached = Cached.ttl(counting().lookup(), { key: "k", ttl: "1 minute" })
      yield* run(cached)
      yield* written
      const commands = yield* sent
      yield* TestClock.adjust("30 seconds")
      yield* run(cached)
      yield* settled
      deepStrictEqual(yield* commands, ["MGET"])
    }))

  test("peek, entry and has - renew nothing, also in one batch with a read", () =>
    Effect.gen(function* () {
      const { run, store, there, written } = yield* single()
      const get = Cached.ttl((id: string) => Effect.succeed(id), { ...options, key: "{}" })
      yield* run(Effect.all([get("a"), get("b")]))
      yield* written
      yield* TestClock.adjust("8 seconds")
      yield* run(
        Effect.all([get.peek("b"), get.entry("b"), store.has("b"), store.entry("b"), get("a")], { concurrency: 5 })
      )
      yield* settled
      yield* written
      assert.strictEqual((yield* extensionIn(there, "a"))?.readAt, 8_000)
      assert.strictEqual((yield* extensionIn(there, "b"))?.readAt, 0)
    }))

  test("a read that joins a peek - renews by one more command", () =>
    Effect.gen(function* () {
      const { run, there, written } = yield* single()
      const cached = Cached.ttl(counting().lookup(), options)
      yield* run(cached)
      yield* written
      yield* TestClock.adjust("8 seconds")
      yield* run(Effect.all([cached.peek, cached], { concurrency: 2 }))
      yield* renewedAt(there, 8_000)
    }))

  test("two processes - what one reads stays alive for the other", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair
      const { calls, lookup } = counting()
      const cached = Cached.ttl(lookup(), options)
      yield* a.run(cached)
      yield* a.written
      for (const reader of [b, b, b]) {
        yield* TestClock.adjust("15 seconds")
        assert.strictEqual(yield* reader.run(cached), 1)
      }
      yield* TestClock.adjust("14 seconds")
      assert.strictEqual(yield* a.run(cached), 1)
      assert.strictEqual(calls.length, 1)
    }))

  test("memory in front - a process that reads only its copy keeps the entry alive for the other", () =>
    Effect.gen(function* () {
      const prefix = yield* freshPrefix
      const [a, b] = [yield* hybrid({ l2: { prefix, timeout } }), yield* hybrid({ l2: { prefix, timeout } })]
      const there = yield* raw(prefix)
      const { calls, lookup } = counting()
      const cached = Cached.ttl(lookup(), options)
      yield* a.run(cached)
      yield* a.written
      assert.strictEqual(yield* b.run(cached), 1)
      const commands = yield* sent
      // in the first quarter
      yield* TestClock.adjust(3_999)
      yield* b.run(cached)
      yield* settled
      assert.lengthOf(yield* commands, 0)
      for (let read = 0; read < 50; read++) {
        if (read === 5) yield* renewedAt(there, 4_000)
        if (read === 45) yield* renewedAt(there, 8_000)
        yield* TestClock.adjust(read === 0 ? 1 : 100)
        assert.strictEqual(yield* b.run(cached), 1)
      }
      deepStrictEqual(yield* commands, ["EVALSHA", "EVALSHA"])
      yield* TestClock.adjust("15 seconds")
      yield* b.run(cached)
      yield* renewedAt(there, 23_900)
      yield* TestClock.adjust("15 seconds")
      // the copy of the process that never read again is over, and what is in Redis is not
      assert.strictEqual(yield* a.run(cached), 1)
      assert.strictEqual(calls.length, 1)
    }))

  test("memory in front - a copy lives no longer than the end that its source told", () =>
    Effect.gen(function* () {
      const prefix = yield* freshPrefix
      const [a, b] = [yield* hybrid({ l2: { prefix, timeout } }), yield* node({ prefix, timeout })]
      const there = yield* raw(prefix)
      const { calls, lookup } = counting()
      const cached = Cached.ttl(lookup(), options)
      yield* b.run(cached)
      yield* b.written
      yield* TestClock.adjust("3 seconds")
      yield* a.run(cached)
      // Redis has lost it, so no renewal is confirmed
      yield* there.del("k")
      yield* TestClock.adjust("8 seconds")
      assert.strictEqual(yield* a.run(cached), 1)
      yield* settled
      yield* a.written
      yield* TestClock.adjust(4_999)
      assert.strictEqual(yield* a.run(cached), 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* a.run(cached), 2)
      assert.strictEqual(calls.length, 2)
    }))

  test("memory in front - a value that was set is renewed under the stamp that Redis gave it", () =>
    Effect.gen(function* () {
      const prefix = yield* freshPrefix
      const a = yield* hybrid({ l2: { prefix, timeout } })
      const there = yield* raw(prefix)
      const cached = Cached.ttl(counting().lookup(), options)
      yield* a.run(cached.set(7))
      yield* a.written
      yield* TestClock.adjust("8 seconds")
      assert.strictEqual(yield* a.run(cached), 7)
      yield* renewedAt(there, 8_000)
    }))

  test("a renewal - changes nothing of a later value, a tombstone, or an entry that it does not know", () =>
    Effect.gen(function* () {
      const { run, prefix, store, there, written } = yield* single()
      const { url } = yield* RedisServer
      const backend = yield* RedisCache.backend({ url, prefix })
      const cached = Cached.ttl(counting().lookup(), options)
      const renew = (stamp: number) =>
        Effect.map(
          backend.renew!([{ key: "k", stamp, createdAt: 0, at: 1_000, lifetime: 50_000 }]),
          (all) => all[0]!._tag
        )
      yield* run(cached)
      yield* written
      const { stamp } = entryIn(yield* there.bytes("k"))
      const changes = [
        run(cached.set(2)),
        run(cached.invalidate),
        there.del("k"),
        there.put("k", "something else"),
        store.set("k", 3, minute)
      ]
      for (const change of changes) {
        yield* change
        yield* written
        const before = [yield* there.bytes("k"), (yield* there.pttl("k")) > 40_000]
        assert.strictEqual(yield* renew(stamp), "Superseded")
        deepStrictEqual([yield* there.bytes("k"), (yield* there.pttl("k")) > 40_000], before)
      }
      // without an idle time there is nothing to renew
      assert.strictEqual(yield* renew(entryIn(yield* there.bytes("k")).stamp), "Superseded")
      yield* run(cached.set(4))
      const later = entryIn(yield* there.bytes("k"))
      assert.strictEqual(yield* renew(later.stamp), "Written")
      // an earlier read than the last one counts, and moves nothing back
      assert.strictEqual(
        (yield* backend.renew!([{ key: "k", stamp: later.stamp, createdAt: 0, at: 500, lifetime: 1 }]))[0]!._tag,
        "Written"
      )
      assert.deepInclude(yield* extensionIn(there), { idle: 16_000, readAt: 1_000 })
    }))

  test("an invalidation during a renewal - wins", () =>
    Effect.gen(function* () {
      const prefix = yield* freshPrefix
      const [a, b] = [yield* hybrid({ l2: { prefix, timeout } }), yield* hybrid({ l2: { prefix, timeout } })]
      const { calls, lookup } = counting()
      const cached = Cached.ttl(lookup(), options)
      yield* a.run(cached)
      yield* a.written
      yield* b.run(cached)
      yield* TestClock.adjust("8 seconds")
      // both leave in the same turn
      yield* Effect.all([b.run(cached), a.run(cached.invalidate)], { concurrency: 2, discard: true })
      yield* becomes(b.run(cached.peek), Option.none())
      assert.strictEqual(yield* b.run(cached), 2)
      assert.strictEqual(calls.length, 2)
    }))

  test("long tags and a checksum - are no hindrance", () =>
    Effect.gen(function* () {
      const { run, there, written, prefix } = yield* single({ checksum: true })
      const { url } = yield* RedisServer
      const backend = yield* RedisCache.backend({ url, prefix })
      const tags = Array.from({ length: 30 }, (_, i) => `${i}`.padEnd(100, "t"))
      const { calls, lookup } = counting()
      const cached = Cached.ttl(lookup(), { ...options, tags })
      yield* run(cached)
      yield* written
      const { stamp } = entryIn(yield* there.bytes("k"))
      const renewal = { key: "k", stamp, createdAt: 0, at: 5_000, lifetime: 50_000 }
      deepStrictEqual(yield* backend.renew!([renewal]), [{ _tag: "Written", stamp }])
      assert.deepInclude(entryIn(yield* there.bytes("k")).extension, { hasChecksum: true, readAt: 5_000 })
      yield* TestClock.adjust("15 seconds")
      assert.strictEqual(yield* run(cached), 1)
      assert.strictEqual((yield* extensionIn(there))?.readAt, 15_000)
      assert.strictEqual(yield* run(cached), 1)
      assert.strictEqual(calls.length, 1)
    }))

  test("an entry that is there longer than its idle time, as what was set is - is not revived", () =>
    Effect.gen(function* () {
      const { run, there } = yield* single()
      const { calls, lookup } = counting()
      const cached = Cached.ttl(lookup(), options)
      yield* run(cached.set(7))
      assert.isAbove(yield* there.pttl("k"), 20_000)
      yield* TestClock.adjust("16 seconds")
      assert.strictEqual(yield* run(cached), 1)
      assert.strictEqual(calls.length, 1)
    }))

  test("a client that may not renew - reads all the same, and that is counted", () =>
    Effect.gen(function* () {
      const redis = yield* RedisServer
      const prefix = yield* freshPrefix
      const { calls, lookup } = counting()
      const cached = Cached.ttl(lookup(), options)
      const other = yield* node({ prefix, timeout })
      yield* other.run(cached)
      yield* other.written
      yield* TestClock.adjust("8 seconds")
      const rights = [
        ["~*", "-setrange"],
        ["%R~*", "~*!{marks}*"]
      ]
      for (const limits of rights) {
        yield* Effect.promise(() =>
          redis.client.call("ACL", "SETUSER", "u", "reset", "on", ">pw", "&*", "+@all", ...limits)
        )
        const limited = yield* node({ url: `redis://u:pw@127.0.0.1:${redis.port}`, prefix })
        assert.strictEqual(yield* limited.run(cached), 1)
        yield* awaitUntil(
          Effect.map(errors(limited), (n) => n > 0),
          "it is counted"
        )
      }
      assert.strictEqual(calls.length, 1)
    }))

  test("a slower tier - is renewed first, and a tier of a shorter ttl keeps nothing for longer", () =>
    Effect.gen(function* () {
      const { url } = yield* RedisServer
      const [near, far] = [yield* freshPrefix, yield* freshPrefix]
      const tier = (prefix: string) => RedisCache.backend({ url, prefix })
      const store = yield* TieredCache.make({
        tiers: [
          { backend: MemoryCache.backend() },
          { backend: tier(near), name: "near", ttl: "30 seconds" },
          { backend: tier(far), name: "far" }
        ]
      })
      const of = nodeOf(store)
      const [there, below] = [yield* raw(near), yield* raw(far)]
      const { client } = yield* RedisServer
      const cached = Cached.ttl(counting().lookup(), options)
      yield* of.run(cached)
      yield* awaitUntil(
        Effect.zipWith(there.exists("k"), below.exists("k"), (a, b) => a && b),
        "both have it"
      )
      yield* of.written
      yield* TestClock.adjust("15 seconds")
      yield* of.run(cached)
      yield* renewedAt(below, 15_000)
      yield* renewedAt(there, 15_000)
      yield* TestClock.adjust("10 seconds")
      yield* Effect.promise(() => client.pexpire(`${near}k`, 1_000))
      yield* Effect.promise(() => client.pexpire(`${far}k`, 1_000))
      yield* of.run(cached)
      yield* renewedAt(there, 25_000)
      assert.isAtMost(yield* there.pttl("k"), 5_000)
      assert.isAbove(yield* below.pttl("k"), 8_000)
      // what the slower tier has lost or fails to renew is not renewed in the faster one
      yield* TestClock.adjust("5 seconds")
      yield* of.run(cached)
      yield* renewedAt(below, 30_000)
      assert.strictEqual((yield* there.bytes("k")) === null ? 25_000 : (yield* extensionIn(there))?.readAt, 25_000)
    }))
})
