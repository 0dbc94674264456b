/**
 * `staleIfError` in Redis, between processes, and with memory in front of Redis.
 */
import { deepStrictEqual } from "node:assert/strict"
import { assert, layer } from "@effect/vitest"
import { Cause, Effect, Exit, Option, TestClock } from "effect"
import { Cached } from "../../../src/index.js"
import { becomes, thenDoes } from "../../laws/support.js"
import { freshPrefix, RedisServer } from "../../support/redis.js"
import { hybrid, pair, raw, single } from "../../support/redis-nodes.js"

const options = { key: "k", ttl: "10 seconds", staleIfError: "100 seconds", retryAfter: "2 seconds" } as const

const failing = Cached.ttl(Effect.fail("down"), options)

layer(RedisServer.layer)("staleIfError", (it) => {
  it.scoped("law 15: physical life is the whole life - Redis keeps a value until it may no longer answer", () =>
    Effect.gen(function* () {
      const { run, there, written } = yield* single()
      yield* run(Cached.ttl(Effect.succeed(1), options))
      yield* written
      const left = yield* there.pttl("k")
      assert.isAtMost(left, 110_000)
      assert.isAbove(left, 60_000)
    })
  )

  it.scoped("two processes - each answers with what the other has loaded, and each has its own pause", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair
      const { lookup, calls } = thenDoes(() => Effect.fail("down"))
      const cached = Cached.ttl(lookup(), options)
      yield* a.run(cached)
      yield* a.written
      yield* TestClock.adjust("10 seconds")
      for (const loads of [2, 2]) {
        assert.strictEqual(yield* a.run(cached), 1)
        assert.strictEqual(calls.length, loads)
      }
      for (const loads of [3, 3]) {
        assert.strictEqual(yield* b.run(cached), 1)
        assert.strictEqual(calls.length, loads)
      }
    })
  )

  it.scoped("two processes - a value that another process has loaded ends the pause", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair
      yield* a.run(Cached.ttl(Effect.succeed(1), options))
      yield* a.written
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* a.run(failing), 1)
      assert.strictEqual(yield* b.run(Cached.ttl(Effect.succeed(2), options)), 2)
      yield* b.written
      assert.strictEqual(yield* a.run(failing), 2)
    })
  )

  it.scoped("law 8: invalidation wins - a value that another process has invalidated does not answer", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair
      yield* a.run(Cached.ttl(Effect.succeed(1), options))
      yield* a.written
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* b.run(failing), 1)
      yield* a.run(failing.invalidate)
      deepStrictEqual(yield* b.run(Effect.exit(failing)), Exit.fail("down"))
    })
  )

  it.scoped("memory in front of Redis - a copy of a value of another process answers, too", () =>
    Effect.gen(function* () {
      const prefix = yield* freshPrefix
      const a = yield* hybrid({ l2: { prefix } })
      const b = yield* hybrid({ l2: { prefix } })
      yield* a.run(Cached.ttl(Effect.succeed(1), options))
      yield* a.written
      assert.strictEqual(yield* b.run(failing), 1)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* b.run(failing), 1)
      deepStrictEqual(
        Option.map(yield* b.run(failing.entry), ({ state }) => state),
        Option.some("retained")
      )
    })
  )

  it.scoped("memory in front of Redis - while Redis cannot be read, the copy in memory answers", () =>
    Effect.gen(function* () {
      const prefix = yield* freshPrefix
      const node = yield* hybrid({ l2: { prefix, timeout: "200 millis" } })
      const server = yield* RedisServer
      yield* node.run(Cached.ttl(Effect.succeed(1), options))
      yield* node.written
      yield* TestClock.adjust("10 seconds")
      yield* server.stop
      yield* Effect.ensuring(
        Effect.gen(function* () {
          assert.strictEqual(yield* node.run(failing), 1)
        }),
        server.cont
      )
    })
  )

  for (const checksum of [false, true]) {
    it.scoped(`expire - moves the stale end in Redis${checksum ? ", also of an entry with a checksum" : ""}`, () =>
      Effect.gen(function* () {
        const { run, store, written } = yield* single({ checksum })
        const cached = Cached.swr(Effect.succeed("v"), { ...options, stale: "5 seconds", tags: ["t", "tag"] })
        yield* run(cached)
        yield* written
        const { createdAt } = Option.getOrThrow(yield* run(cached.entry))
        yield* TestClock.adjust("4 seconds")
        yield* store.expire("k")
        yield* becomes(
          run(
            Effect.map(
              cached.entry,
              Option.map(({ expiresAt, staleUntil, state }) => [state, staleUntil - createdAt, expiresAt - createdAt])
            )
          ),
          Option.some(["stale", 9_000, 104_000])
        )
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(yield* run(Cached.swr(Effect.die("bug"), { ...options, stale: "5 seconds" })), "v")
        yield* run(Cached.invalidateTags(["tag"]))
        const exit = yield* run(Effect.exit(Cached.swr(Effect.die("bug"), { ...options, stale: "5 seconds" })))
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      })
    )
  }

  it.scoped("without the option - an entry is written as before", () =>
    Effect.gen(function* () {
      const { prefix, run, written } = yield* single()
      yield* run(Cached.swr(Effect.succeed(1), { key: "k", ttl: "10 seconds", stale: "5 seconds" }))
      yield* written
      const bytes = yield* (yield* raw(prefix)).bytes("k")
      assert.strictEqual(bytes?.[3], 0)
    })
  )
})
