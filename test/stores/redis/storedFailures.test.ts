/**
 * Stored failures (the option `failures`) in Redis, between processes, and with memory in front of Redis.
 */
import { deepStrictEqual } from "node:assert/strict"
import { assert, layer } from "@effect/vitest"
import { Effect, Either, Exit, Fiber, Option, Schema, TestClock } from "effect"
import { Cached, type CacheStore, Envelope } from "../../../src/index.js"
import { becomes, gate, gated, numbered, recordWarnings, until } from "../../laws/support.js"
import { freshPrefix, RedisServer } from "../../support/redis.js"
import { hybrid, type Node, pair, raw, single } from "../../support/redis-nodes.js"

class Down extends Schema.TaggedError<Down>()("Down", { code: Schema.Number, cause: Schema.optional(Schema.Defect) }) {}

const down = new Down({ code: 503, cause: new Error("socket closed") })
const failures = { ttl: "10 seconds", schema: Down } as const
const options = { key: "k", ttl: "1 minute", tags: ["t"], failures } as const
const { schema: _, ...unshared } = failures

/** A lookup that fails, and the number of its calls. */
const failing = () => numbered((): Effect.Effect<number, Down> => Effect.fail(down))

/** Reads, and returns the code of the failure, or the value as a negative number. */
const codeOf = (of: Node, cached: Effect.Effect<number, { readonly code: number }, CacheStore>) =>
  of.run(Effect.match(cached, { onSuccess: (value) => -value, onFailure: ({ code }) => code }))

const two = Effect.gen(function* () {
  const prefix = yield* freshPrefix
  return {
    prefix,
    a: yield* hybrid({ l2: { prefix } }),
    b: yield* hybrid({ l2: { prefix } }),
    there: yield* raw(prefix)
  }
})

layer(RedisServer.layer)("stored failures", (it) => {
  it.scoped("bytes - are an entry of the kind failure, with tags and checksum, that Redis keeps for its time", () =>
    Effect.gen(function* () {
      const { run, there, written } = yield* single({ checksum: true })
      yield* run(Effect.exit(Cached.ttl(failing().lookup(), options)))
      yield* written
      const bytes = yield* there.bytes("k")
      const decoded = Either.getOrThrow(Envelope.v1.decode(bytes ?? assert.fail("is absent")))
      if (decoded._tag !== "Entry") return assert.fail("is a tombstone")
      const { createdAt, expiresAt, extension, freshUntil, owner, tags, value } = decoded.entry
      deepStrictEqual(
        { extension, owner, tags },
        { extension: { hasChecksum: true, isFailure: true }, owner: "k", tags: ["t"] }
      )
      deepStrictEqual([freshUntil - createdAt, expiresAt - createdAt], [10_000, 10_000])
      deepStrictEqual(JSON.parse(Buffer.from(value).toString()), {
        _tag: "Down",
        code: 503,
        cause: { name: "Error", message: "socket closed" }
      })
      assert.isAbove(yield* there.pttl("k"), 0)
    })
  )

  it.scoped("two processes - each fails with what the other has stored, and counts a hit", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair
      const { calls, lookup } = failing()
      const cached = Cached.ttl(lookup(), options)
      assert.strictEqual(yield* codeOf(a, cached), 503)
      yield* a.written
      const exit = yield* b.run(Effect.exit(cached))
      assert.strictEqual(calls.length, 1)
      assert.isTrue(Exit.isFailure(exit) && exit.cause._tag === "Fail" && exit.cause.error instanceof Down)
      const { hits, loadFailures, loads } = yield* b.store.stats
      deepStrictEqual({ hits, loadFailures, loads }, { hits: 1, loadFailures: 0, loads: 0 })
      yield* b.run(Cached.invalidateTags(["t"]))
      yield* codeOf(a, cached)
      assert.strictEqual(calls.length, 2)
    })
  )

  it.scoped("no schema - Redis has nothing, and without memory in front every read loads", () =>
    Effect.gen(function* () {
      const { there, ...node } = yield* single()
      const { calls, lookup } = failing()
      const cached = Cached.ttl(lookup(), { ...options, failures: unshared })
      yield* codeOf(node, cached)
      yield* codeOf(node, cached)
      assert.strictEqual(calls.length, 2)
      yield* node.written
      assert.isFalse(yield* there.exists("k"))
    })
  )

  it.scoped(
    "no schema, memory in front of Redis - the failure stays in the process, and hides nothing from others",
    () =>
      Effect.gen(function* () {
        const { a, b, there } = yield* two
        const { calls, lookup } = numbered((call) => (call === 1 ? Effect.fail(down) : Effect.succeed(call)))
        const cached = Cached.ttl(lookup(), { ...options, failures: unshared })
        assert.strictEqual(yield* codeOf(a, cached), 503)
        assert.strictEqual(yield* codeOf(a, cached), 503)
        assert.strictEqual(calls.length, 1)
        yield* a.written
        assert.isFalse(yield* there.exists("k"))
        assert.strictEqual(yield* codeOf(b, cached), -2)
        yield* b.written
        deepStrictEqual(yield* a.run(cached.peek), Option.some(2))
        deepStrictEqual(yield* a.store.get("k"), Option.some(2))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* codeOf(a, cached), -2)
      })
  )

  it.scoped("no schema, memory in front of Redis - what another process sets or invalidates ends it", () =>
    Effect.gen(function* () {
      const { a, b } = yield* two
      const { calls, lookup } = failing()
      const cached = Cached.ttl(lookup(), { ...options, failures: unshared })
      yield* codeOf(a, cached)
      yield* b.run(cached.set(7))
      yield* becomes(codeOf(a, cached), -7)
      yield* b.run(cached.invalidate)
      yield* becomes(codeOf(a, cached), 503)
      assert.strictEqual(calls.length, 2)
      yield* b.run(cached.invalidate)
      yield* becomes(
        Effect.map(codeOf(a, cached), () => calls.length),
        3
      )
    })
  )

  it.scoped("law 14: a tier never outlives its source - a copy in memory keeps stamp, times and tags", () =>
    Effect.gen(function* () {
      const { a, b, there } = yield* two
      const { calls, lookup } = failing()
      const cached = Cached.ttl(lookup(), options)
      yield* codeOf(a, cached)
      yield* a.written
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(yield* codeOf(b, cached), 503)
      // what is in memory answers
      yield* there.del("k")
      yield* TestClock.adjust(5_999)
      assert.strictEqual(yield* codeOf(b, cached), 503)
      assert.strictEqual(calls.length, 1)
      yield* TestClock.adjust(1)
      yield* codeOf(b, cached)
      assert.strictEqual(calls.length, 2)
      yield* b.written
      yield* codeOf(a, cached)
      assert.strictEqual(calls.length, 2)
      yield* b.run(Cached.invalidateTags(["t"]))
      yield* becomes(
        Effect.map(codeOf(a, cached), () => calls.length),
        3
      )
    })
  )

  it.scoped("value of another process - is not replaced by a failure, whichever load began first", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair
      for (const key of ["a first", "b first"]) {
        const [doorA, doorB] = [gate(), gate()]
        const failing = Cached.ttl(Effect.zipRight(doorA.pass, Effect.fail(down)), { ...options, key, name: "f" })
        const loading = Cached.ttl(Effect.as(doorB.pass, 2), { key, name: "f", ttl: "1 minute" })
        const inA = { door: doorA, start: Effect.fork(codeOf(a, failing)) }
        const inB = { door: doorB, start: Effect.fork(codeOf(b, loading)) }
        const readers: Array<Fiber.Fiber<number>> = []
        for (const { door, start } of key === "a first" ? [inA, inB] : [inB, inA]) {
          readers.push(yield* start)
          yield* door.reached
          // the count goes on
          yield* a.written
        }
        yield* doorB.open
        yield* becomes(b.store.get(key), Option.some(2))
        yield* b.written
        yield* doorA.open
        deepStrictEqual(new Set(yield* Effect.forEach(readers, Fiber.join)), new Set([503, -2]))
        yield* a.written
        deepStrictEqual(yield* b.store.get(key), Option.some(2))
        assert.strictEqual(yield* codeOf(a, failing), -2)
      }
    })
  )

  it.scoped("value that is invalidated by its tag, or has expired - is replaced by a failure", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair
      const { calls, lookup } = failing()
      const cached = Cached.ttl(lookup(), options)
      for (const end of [a.run(Cached.invalidateTags(["t"])), TestClock.adjust("1 minute")]) {
        yield* a.run(Cached.ttl(Effect.succeed(1), { ...options, failures: undefined }))
        yield* a.written
        yield* end
        calls.length = 0
        yield* codeOf(a, cached)
        yield* a.written
        assert.strictEqual(yield* codeOf(b, cached), 503)
        assert.strictEqual(calls.length, 1)
        yield* TestClock.adjust("10 seconds")
      }
    })
  )

  it.scoped("refresh that fails - leaves a value in Redis that this process has not read", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair
      yield* b.run(Cached.ttl(Effect.succeed(1), { ...options, failures: undefined }))
      yield* b.written
      const cached = Cached.ttl(failing().lookup(), options)
      assert.isTrue(Exit.isFailure(yield* a.run(Effect.exit(cached.refresh))))
      yield* a.written
      yield* becomes(codeOf(a, cached), -1)
    })
  )

  for (const [name, given] of [
    ["schema", failures],
    ["no schema", unshared]
  ] as const) {
    it.scoped(`refresh that fails, ${name}, memory in front of Redis - hides no value that is in Redis only`, () =>
      Effect.gen(function* () {
        const { a, b } = yield* two
        yield* b.run(Cached.ttl(Effect.succeed(1), { ...options, failures: undefined }))
        yield* b.written
        const cached = Cached.ttl(failing().lookup(), { ...options, failures: given })
        // at once: Redis may not have refused the failure yet
        const exits = yield* a.run(Effect.all([Effect.exit(cached.refresh), Effect.exit(cached)]))
        deepStrictEqual(exits, [Exit.fail(down), Exit.succeed(1)])
      })
    )
  }

  it.scoped("lock - a process that waits for another one's load fails with the failure that this one stores", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair
      const door = gate()
      const { calls, lookup } = numbered(() => Effect.zipRight(door.pass, Effect.fail(down)))
      const cached = Cached.ttl(lookup(), { ...options, lock: { lease: "10 seconds" } })
      const first = yield* Effect.fork(codeOf(a, cached))
      yield* door.reached
      const second = yield* Effect.fork(codeOf(b, cached))
      yield* becomes(
        Effect.map(b.store.stats, ({ misses }) => misses),
        1
      )
      yield* door.open
      deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], [503, 503])
      assert.strictEqual(calls.length, 1)
      const { loadFailures, loads } = yield* b.store.stats
      deepStrictEqual({ loadFailures, loads }, { loadFailures: 0, loads: 0 })
    })
  )

  it.scoped("error that the schema does not take - one Warning, and memory in front of Redis keeps it", () => {
    const { layer, lines } = recordWarnings()
    class Other extends Schema.TaggedError<Other>()("Other", { code: Schema.Number }) {}
    return Effect.gen(function* () {
      const { a, there } = yield* two
      const { calls, lookup } = numbered((): Effect.Effect<number, Down | Other> => Effect.fail(new Other({ code: 1 })))
      const cached = Cached.ttl(lookup(), { ...options, failures })
      assert.strictEqual(yield* codeOf(a, cached), 1)
      yield* a.written
      assert.strictEqual(yield* codeOf(a, cached), 1)
      assert.strictEqual(calls.length, 1)
      assert.isFalse(yield* there.exists("k"))
      yield* until(() => lines.length > 0, "a Warning")
      deepStrictEqual(
        lines.map((line) => line.slice(line.indexOf("a failure"), line.indexOf(". Correct"))),
        [
          'a failure of k was not stored for other processes, so each of them loads: cannot encode $._tag: expected "Down"'
        ]
      )
    }).pipe(Effect.provide(layer))
  })

  it.scoped("envelope without a kind - gets no failure, and memory in front of Redis keeps it", () =>
    Effect.gen(function* () {
      const { layer, lines } = recordWarnings()
      const prefix = yield* freshPrefix
      const node = yield* Effect.provide(hybrid({ l2: { prefix, envelope: Envelope.advancedCaching } }), layer)
      const { calls, lookup } = failing()
      const cached = Cached.ttl(lookup(), { key: "k", ttl: "1 minute", failures })
      deepStrictEqual([yield* codeOf(node, cached), yield* codeOf(node, cached)], [503, 503])
      assert.strictEqual(calls.length, 1)
      yield* node.store.set("other", 1, { ttl: "1 minute" })
      const there = yield* raw(prefix)
      yield* becomes(there.exists("other"), true)
      assert.isFalse(yield* there.exists("k"))
      deepStrictEqual(yield* node.run(cached.peek), Option.none())
      deepStrictEqual(lines, [])
      yield* TestClock.adjust("10 seconds")
      yield* codeOf(node, cached)
      assert.strictEqual(calls.length, 2)
    })
  )

  it.scoped("write that is not confirmed yet - the failure answers, as a value would", () =>
    Effect.gen(function* () {
      const { server, node } = yield* Effect.all({ server: RedisServer, node: single({ timeout: "20 seconds" }) })
      const { calls, lookup } = failing()
      const { door, lookup: waiting } = gated()
      const cached = Cached.ttl(Effect.zipRight(waiting(), lookup()), options)
      const reader = yield* Effect.fork(codeOf(node, cached))
      yield* door.reached
      yield* server.stop
      yield* Effect.ensuring(
        Effect.gen(function* () {
          yield* door.open
          assert.strictEqual(yield* Fiber.join(reader), 503)
          assert.strictEqual(yield* codeOf(node, cached), 503)
          deepStrictEqual(yield* node.run(cached.peek), Option.none())
          assert.strictEqual(calls.length, 1)
        }),
        server.cont
      )
    })
  )
})
