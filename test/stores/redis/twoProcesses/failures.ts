/** Sources that fail or are slow in one process: what it serves, and what that means for the other one. */
import { assert } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Fiber } from "effect"
import { becomes } from "../../../laws/support.js"
import type { Test } from "../../../support/twoProcesses.js"

export const failures = (test: Test): void => {
  test("staleIfError - the other process's value answers, and the pause is that of one process", ({
    a,
    b,
    key,
    pass
  }) =>
    Effect.gen(function* () {
      const value = yield* b.load("kept", key)
      yield* pass(10_000)
      yield* a.ask("end", key, "fails")
      for (const _ of ["fails", "in the pause"]) {
        assert.strictEqual(yield* a.ask("read", "kept", key), value)
        assert.strictEqual(yield* a.ask("loads", key), 1)
      }
      yield* pass(1_999)
      assert.strictEqual(yield* a.ask("read", "kept", key), value)
      assert.strictEqual(yield* a.ask("loads", key), 1)
      yield* pass(1)
      assert.strictEqual(yield* a.ask("read", "kept", key), value)
      assert.strictEqual(yield* a.ask("loads", key), 2)
      // in the pause of a, b loads, and a gets its value
      const next = yield* b.load("kept", key)
      assert.notStrictEqual(next, value)
      yield* a.sees("kept", key, next)
      assert.strictEqual(yield* a.ask("read", "kept", key), next)
      assert.strictEqual(yield* a.ask("loads", key), 2)
    }))

  test("staleIfError - at its end, and after an invalidation by the other process, the failure is the answer", ({
    a,
    b,
    key,
    pass
  }) =>
    Effect.gen(function* () {
      yield* a.ask("end", key, "fails")
      const value = yield* b.load("kept", key)
      assert.strictEqual(yield* a.ask("read", "kept", key), value)
      yield* pass(109_999)
      assert.strictEqual(yield* a.ask("read", "kept", key), value)
      yield* pass(1)
      assert.strictEqual(yield* a.ask("read", "kept", key), "down: a")
      const next = yield* b.load("kept", key)
      assert.strictEqual(yield* a.ask("read", "kept", key), next)
      yield* pass(10_000)
      yield* b.ask("invalidate", "kept", key)
      yield* becomes(a.ask("read", "kept", key), "down: a")
    }))

  for (const verb of ["expire", "invalidate"] as const) {
    test(`staleIfError - ${verb} in the other process during a load that fails`, ({ a, b, key, kind, pass }) =>
      Effect.gen(function* () {
        const after = `${key}-after`
        const value = yield* b.load("kept", key)
        yield* b.load("kept", after)
        yield* pass(10_000)
        yield* a.ask("end", key, "fails")
        yield* a.ask("hold", key)
        const reader = yield* Effect.fork(a.ask("read", "kept", key))
        yield* a.loads(key, 1)
        yield* b.ask(verb, "kept", key)
        // notifications arrive in order
        yield* b.ask("set", "kept", after, "set")
        yield* a.sees("kept", after, "set")
        yield* a.ask("release", key)
        // without copies in memory, a process is not notified
        const isOld = verb === "expire" || kind === "redis"
        assert.strictEqual(yield* Fiber.join(reader), isOld ? value : "down: a")
      }))
  }

  test("onError - is called in the process whose load has failed", ({ a, b, key, pass }) =>
    Effect.gen(function* () {
      const value = yield* b.load("swr", key)
      yield* pass(10_000)
      yield* a.ask("end", key, "fails")
      assert.strictEqual(yield* a.ask("read", "swr", key), value)
      yield* becomes(a.ask("errors", key), 1)
      // in b, the refresh succeeds
      assert.strictEqual(yield* b.ask("read", "swr", key), value)
      yield* b.loads(key, 2)
      yield* b.ask("background")
      const next = yield* b.ask("peek", "swr", key)
      assert.notStrictEqual(next, value)
      yield* a.sees("swr", key, next)
      deepStrictEqual([yield* a.ask("errors", key), yield* b.ask("errors", key)], [1, 0])
    }))

  test("timeout.soft - the old value answers while the other process loads, and then its new one", ({
    a,
    b,
    key,
    pass
  }) =>
    Effect.gen(function* () {
      const value = yield* b.load("soft", key)
      yield* pass(10_000)
      yield* b.ask("hold", key)
      const loading = yield* Effect.fork(b.ask("read", "soft", key))
      yield* b.loads(key, 2)
      const waiting = yield* Effect.fork(a.ask("read", "soft", key))
      yield* Effect.all([a.ask("sleeps", 300), b.ask("sleeps", 300)])
      yield* pass(300)
      deepStrictEqual([yield* Fiber.join(waiting), yield* Fiber.join(loading)], [value, value])
      yield* b.ask("release", key)
      yield* becomes(
        Effect.map(b.ask("peek", "soft", key), (seen) => seen !== undefined && seen !== value),
        true
      )
      const next = yield* b.ask("peek", "soft", key)
      yield* a.sees("soft", key, next)
      assert.strictEqual(yield* a.ask("read", "soft", key), next)
      deepStrictEqual([yield* a.ask("loads", key), yield* b.ask("loads", key)], [0, 2])
    }))

  test("timeout.hard - a read times out behind the other process's lock, and then gets what that one has loaded", ({
    a,
    b,
    key,
    pass
  }) =>
    Effect.gen(function* () {
      yield* b.ask("hold", key)
      const loading = yield* Effect.fork(b.ask("read", "hard", key))
      yield* b.loads(key, 1)
      const waiting = yield* Effect.fork(a.ask("read", "hard", key))
      yield* a.ask("sleeps", 700)
      yield* pass(700, [a])
      assert.strictEqual(yield* Fiber.join(waiting), "LoadTimeout")
      yield* b.ask("release", key)
      const value = yield* Fiber.join(loading)
      assert.match(value, /^b/)
      yield* a.sees("hard", key, value)
      assert.strictEqual(yield* a.ask("read", "hard", key), value)
      assert.strictEqual(yield* a.ask("loads", key), 0)
      yield* pass(700, [b])
    }))

  for (const [then, of, expected] of [
    ["continue", "hard", /^a/],
    ["interrupt", "leaving", /^b/]
  ] as const) {
    test(`timeout.then: ${then} - decides whose load the waiting process gets`, ({ a, b, key, pass }) =>
      Effect.gen(function* () {
        yield* a.ask("hold", key)
        const timed = yield* Effect.fork(a.ask("read", of, key))
        yield* a.loads(key, 1)
        const waiting = yield* Effect.fork(b.ask("read", of, key))
        yield* Effect.all([a.ask("sleeps", 700), b.ask("sleeps", 700)])
        assert.strictEqual(yield* b.ask("loads", key), 0)
        yield* pass(700, [a])
        assert.strictEqual(yield* Fiber.join(timed), "LoadTimeout")
        if (then === "interrupt") yield* b.loads(key, 1)
        yield* a.ask("release", key)
        const value = yield* Fiber.join(waiting)
        assert.match(value, expected)
        yield* becomes(a.ask("read", of, key), value)
        deepStrictEqual([yield* a.ask("loads", key), yield* b.ask("loads", key)], then === "continue" ? [1, 0] : [1, 1])
        yield* pass(700, [b])
      }))
  }

  test("failures with a schema - fail reads of the other process, until its set replaces them", ({ a, b, key, pass }) =>
    Effect.gen(function* () {
      yield* a.ask("end", key, "fails")
      assert.strictEqual(yield* a.load("failing", key), "down: a")
      assert.strictEqual(yield* b.ask("read", "failing", key), "down: a")
      yield* pass(4_999)
      assert.strictEqual(yield* b.ask("read", "failing", key), "down: a")
      assert.strictEqual(yield* b.ask("peek", "failing", key), undefined)
      yield* b.ask("set", "failing", key, "set")
      yield* becomes(a.ask("read", "failing", key), "set")
      deepStrictEqual([yield* a.ask("loads", key), yield* b.ask("loads", key)], [1, 0])
      yield* pass(10_000)
      yield* a.load("failing", key)
      yield* pass(5_000)
      assert.match(yield* b.load("failing", key), /^b/)
      assert.match(yield* a.ask("read", "failing", key), /^b/)
    }))

  for (const verb of ["invalidate", "invalidateTag", "clear", "expire", "expireTag", "expireAll"] as const) {
    test(`failures with a schema - ${verb} in the other process removes them`, ({ a, b, key }) =>
      Effect.gen(function* () {
        yield* a.ask("end", key, "fails")
        yield* a.load("failing", key)
        yield* b.ask(verb, "failing", key)
        assert.match(yield* b.load("failing", key), /^b/)
        yield* becomes(
          Effect.map(a.ask("read", "failing", key), (value) => value.startsWith("b")),
          true
        )
      }))
  }

  test("failures without a schema - stay in their process, and the other one loads", ({ a, b, key, kind, pass }) =>
    Effect.gen(function* () {
      yield* a.ask("end", key, "fails")
      assert.strictEqual(yield* a.load("unshared", key), "down: a")
      const value = yield* b.load("unshared", key)
      assert.match(value, /^b/)
      // memory in front keeps the failure for its own time
      assert.strictEqual(yield* a.ask("read", "unshared", key), kind === "redis" ? value : "down: a")
      yield* pass(5_000)
      assert.strictEqual(yield* a.ask("read", "unshared", key), value)
      assert.strictEqual(yield* a.ask("loads", key), 1)
    }))

  test("concurrency - limits the loads of one process", ({ a, b, key }) =>
    Effect.gen(function* () {
      const other = `${key}-other`
      yield* a.ask("hold", key)
      const first = yield* Effect.fork(a.ask("read", "narrow", key))
      yield* a.loads(key, 1)
      const before = yield* a.ask("misses")
      const queued = yield* Effect.fork(a.ask("read", "narrow", other))
      // a has found nothing in Redis before b loads
      yield* becomes(a.ask("misses"), before + 1)
      assert.strictEqual(yield* a.ask("loads", other), 0)
      const value = yield* b.load("narrow", other)
      assert.match(value, /^b/)
      assert.strictEqual(yield* a.ask("loads", other), 0)
      yield* a.ask("release", key)
      assert.match(yield* Fiber.join(first), /^a/)
      assert.match(yield* Fiber.join(queued), /^a/)
    }))

  test("concurrency with lock - a queued load takes what the other process has loaded meanwhile", ({ a, b, key }) =>
    Effect.gen(function* () {
      const other = `${key}-other`
      yield* a.ask("hold", key)
      const first = yield* Effect.fork(a.ask("read", "lockedNarrow", key))
      yield* a.loads(key, 1)
      const queued = yield* Effect.fork(a.ask("read", "lockedNarrow", other))
      yield* Effect.yieldNow()
      // a has begun to read before b loads: it takes one message after the other
      assert.strictEqual(yield* a.ask("loads", other), 0)
      const value = yield* b.load("lockedNarrow", other)
      assert.match(value, /^b/)
      yield* a.ask("release", key)
      assert.match(yield* Fiber.join(first), /^a/)
      assert.strictEqual(yield* Fiber.join(queued), value)
      assert.strictEqual(yield* a.ask("loads", other), 0)
    }))

  test("breaker - is that of one process, and what was invalidated while it is open reaches the other one", ({
    a,
    b,
    key,
    wayOfA
  }) =>
    Effect.gen(function* () {
      const value = yield* b.load("plain", key)
      yield* wayOfA.blackhole
      // several reads wait for their answers, each in a command of its own
      const reads: Array<Fiber.Fiber<string>> = []
      for (const n of [1, 2, 3]) {
        reads.push(yield* Effect.fork(a.ask("read", "plain", `${key}-${n}`)))
        yield* a.ask("undelivered")
      }
      yield* Effect.forEach(reads, Fiber.join)
      assert.isTrue(yield* a.ask("isOpen"))
      yield* a.ask("invalidate", "plain", key)
      assert.match(yield* a.ask("read", "plain", key), /^a/)
      assert.isAbove(yield* a.ask("undelivered"), 0)
      deepStrictEqual([yield* b.ask("isOpen"), yield* b.ask("read", "plain", key)], [false, value])
      assert.match(yield* b.load("plain", `${key}-new`), /^b/)
      yield* wayOfA.restore
      yield* a.ask("well")
      yield* b.sees("plain", key, undefined)
      const next = yield* b.load("plain", key)
      assert.notStrictEqual(next, value)
      assert.strictEqual(yield* b.ask("loads", key), 2)
    }).pipe(Effect.ensuring(wayOfA.restore)))
}
