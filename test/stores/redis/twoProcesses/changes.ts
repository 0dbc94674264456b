/** What one process expires, invalidates or writes in the background, while the other one has a copy. */
import { assert } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Cause, Effect, Exit, Fiber, Option } from "effect"
import { becomes } from "../../../laws/support.js"
import { freePort } from "../../../support/ports.js"
import { awaitUntil, RedisServer, TcpProxy } from "../../../support/redis.js"
import type { Test } from "../../../support/twoProcesses.js"

export const changes = (test: Test): void => {
  for (const verb of ["expire", "expireTag", "expireAll"] as const) {
    test(`${verb} - swr of the other process serves its value once more and refreshes, ttl loads`, ({ a, b, key }) =>
      Effect.gen(function* () {
        const stale = yield* a.load("swr", key)
        yield* b.ask(verb, "swr", key)
        yield* becomes(
          Effect.map(a.ask("entry", "swr", key), (entry) => entry?.[0]),
          "stale"
        )
        assert.strictEqual(yield* a.ask("read", "swr", key), stale)
        yield* a.loads(key, 2)
        yield* a.ask("background")
        const refreshed = yield* a.ask("peek", "swr", key)
        assert.notStrictEqual(refreshed, stale)
        yield* b.sees("swr", key, refreshed)
        assert.strictEqual(yield* b.ask("read", "swr", key), refreshed)

        const old = yield* a.load("plain", key)
        yield* b.ask(verb, "plain", key)
        yield* a.sees("plain", key, undefined)
        const next = yield* a.load("plain", key)
        assert.notStrictEqual(next, old)
        assert.strictEqual(yield* b.ask("read", "plain", key), next)
        deepStrictEqual([yield* a.ask("loads", key), yield* b.ask("loads", key)], [4, 0])
      }))

    test(`${verb} - staleIfError of the other process still answers with its value`, ({ a, b, key }) =>
      Effect.gen(function* () {
        const value = yield* a.load("kept", key)
        yield* a.ask("end", key, "fails")
        yield* b.ask(verb, "kept", key)
        yield* becomes(
          Effect.map(a.ask("entry", "kept", key), (entry) => entry?.[0]),
          "retained"
        )
        assert.strictEqual(yield* a.ask("read", "kept", key), value)
        assert.strictEqual(yield* a.ask("loads", key), 2)
      }))
  }

  for (const verb of ["invalidate", "invalidateTag", "clear"] as const) {
    test(`${verb} - the other process loads, and serves nothing older`, ({ a, b, key }) =>
      Effect.gen(function* () {
        for (const of of ["swr", "plain", "kept", "idle"] as const) {
          const value = yield* a.load(of, key)
          yield* b.ask(verb, of, key)
          yield* becomes(a.ask("entry", of, key), undefined)
          const next = yield* a.load(of, key)
          assert.notStrictEqual(next, value)
          assert.strictEqual(yield* b.ask("read", of, key), next)
        }
        deepStrictEqual([yield* a.ask("loads", key), yield* b.ask("loads", key)], [8, 0])
      }))
  }

  test("partition - a tenant gets the values of its own in both processes, and a tag concerns all tenants", ({
    a,
    b,
    key
  }) =>
    Effect.gen(function* () {
      const ofX = yield* a.ask("read", "tenants", key, "x")
      yield* a.ask("written")
      assert.strictEqual(yield* b.ask("peek", "tenants", key, "y"), undefined)
      const ofY = yield* b.ask("read", "tenants", key, "y")
      yield* b.ask("written")
      assert.match(ofY, /^b/)
      for (const each of [a, b]) {
        assert.strictEqual(yield* each.ask("read", "tenants", key, "x"), ofX)
        assert.strictEqual(yield* each.ask("read", "tenants", key, "y"), ofY)
      }
      deepStrictEqual([yield* a.ask("loads", key), yield* b.ask("loads", key)], [1, 1])
      // the tenant of this command is another one
      yield* b.ask("invalidate", "tenants", key)
      assert.strictEqual(yield* a.ask("peek", "tenants", key, "x"), ofX)
      yield* b.ask("invalidateTag", "tenants")
      for (const tenant of ["x", "y"]) yield* becomes(a.ask("peek", "tenants", key, tenant), undefined)
    }))

  test("bypassIn - what a transaction reads is not the other process's, and what it changes is invalidated there", ({
    a,
    b,
    key
  }) =>
    Effect.gen(function* () {
      assert.match(yield* a.ask("readInside", "plain", key), /^a/)
      yield* a.ask("written")
      assert.strictEqual(yield* b.ask("peek", "plain", key), undefined)
      for (const change of [a.ask("invalidateInside", "plain", key), a.ask("setInside", "plain", key, "uncommitted")]) {
        const value = yield* b.load("plain", key)
        assert.match(value, /^b/)
        assert.match(yield* a.ask("readInside", "plain", key), /^a/)
        assert.strictEqual(yield* b.ask("read", "plain", key), value)
        yield* change
        yield* b.sees("plain", key, undefined)
      }
      assert.strictEqual(yield* b.ask("loads", key), 2)
      assert.match(yield* b.ask("read", "plain", key), /^b/)
    }))

  test("background - when its fiber has ended, the other process has the value", ({ a, b, key, pass }) =>
    Effect.gen(function* () {
      yield* a.ask("background")
      const value = yield* a.ask("read", "swr", key)
      assert.isAbove(yield* a.ask("background"), 0)
      assert.strictEqual(yield* b.ask("read", "swr", key), value)
      yield* pass(10_000)
      yield* a.ask("hold", key)
      assert.strictEqual(yield* a.ask("read", "swr", key), value)
      yield* a.loads(key, 2)
      const ended = yield* Effect.fork(a.ask("background"))
      assert.strictEqual(yield* a.ask("peek", "swr", key), value)
      assert.isTrue(Option.isNone(yield* Fiber.poll(ended)))
      yield* a.ask("release", key)
      assert.isAbove(yield* Fiber.join(ended), 0)
      const refreshed = yield* a.ask("peek", "swr", key)
      assert.notStrictEqual(refreshed, value)
      yield* b.sees("swr", key, refreshed)
      assert.strictEqual(yield* b.ask("loads", key), 0)
    }))

  test("drain - what a process sets and invalidates while Redis is away reaches the other one when it closes", ({
    b,
    key,
    start
  }) =>
    Effect.gen(function* () {
      const { port } = yield* RedisServer
      const way = yield* TcpProxy.make(port)
      const c = yield* start({ url: way.url, drain: "20 seconds" })
      yield* c.ask("well")
      const invalidated = `${key}-invalidated`
      const value = yield* b.load("plain", invalidated)
      yield* way.refuse
      yield* way.cut
      yield* c.ask("set", "plain", key, "set")
      yield* c.ask("invalidate", "plain", invalidated)
      assert.strictEqual(yield* c.ask("undelivered"), 2)
      const gone = yield* Effect.fork(c.end)
      yield* awaitUntil(
        Effect.sync(() => c.output().includes("closing")),
        "the process closes its store"
      )
      deepStrictEqual(
        [yield* b.ask("peek", "plain", key), yield* b.ask("read", "plain", invalidated)],
        [undefined, value]
      )
      yield* way.restore
      assert.strictEqual(yield* Fiber.join(gone), 0)
      yield* b.sees("plain", key, "set")
      yield* b.sees("plain", invalidated, undefined)
    }))

  // a and b have the option, too
  test("required - a process that cannot reach Redis does not start", ({ start }) =>
    Effect.gen(function* () {
      const url = `redis://127.0.0.1:${yield* freePort}`
      const exit = yield* Effect.exit(Effect.scoped(start({ url, connectTimeout: "100 millis" })))
      assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "it has started", "not built: Connect")
    }))
}
