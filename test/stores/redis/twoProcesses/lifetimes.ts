/** How long an entry of one process lives in the other one: `stale`, `jitter`, `refreshAhead`, `maxIdle`, renewals. */
import { assert } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect } from "effect"
import { becomes } from "../../../laws/support.js"
import type { Test } from "../../../support/twoProcesses.js"

export const lifetimes = (test: Test): void => {
  test("stale as a function - the value of each process has its own end, in both", ({ a, b, key, pass }) =>
    Effect.gen(function* () {
      const first = yield* a.load("lasting", key)
      deepStrictEqual(yield* b.ask("entry", "lasting", key), ["fresh", 10_000, 30_000])
      yield* pass(29_999)
      assert.strictEqual(yield* b.ask("read", "lasting", key), first)
      yield* b.loads(key, 1)
      yield* becomes(a.ask("entry", "lasting", key), ["fresh", 10_000, 15_000])
      assert.match(yield* a.ask("read", "lasting", key), /^b/)
      yield* pass(15_000)
      for (const each of [a, b]) assert.strictEqual(yield* each.ask("peek", "lasting", key), undefined)
      assert.strictEqual(yield* a.ask("loads", key), 1)
    }))

  test("jitter - is drawn by the process that loads, and holds in the other one", ({ a, b, key, pass }) =>
    Effect.gen(function* () {
      const value = yield* a.load("jittered", key)
      deepStrictEqual(yield* b.ask("entry", "jittered", key), ["fresh", 15_000, 15_000])
      yield* pass(14_999)
      assert.strictEqual(yield* b.ask("read", "jittered", key), value)
      assert.strictEqual(yield* b.ask("loads", key), 0)
      yield* pass(1)
      assert.match(yield* b.load("jittered", key), /^b/)
      deepStrictEqual(yield* a.ask("entry", "jittered", key), ["fresh", 10_000, 10_000])
    }))

  test("refreshAhead - the value that one process refreshes ahead is the other one's", ({ a, b, key, pass }) =>
    Effect.gen(function* () {
      const value = yield* a.load("ahead", key)
      assert.strictEqual(yield* b.ask("read", "ahead", key), value)
      yield* pass(4_999)
      assert.strictEqual(yield* b.ask("read", "ahead", key), value)
      assert.strictEqual(yield* b.ask("loads", key), 0)
      yield* pass(1)
      assert.strictEqual(yield* b.ask("read", "ahead", key), value)
      yield* b.loads(key, 1)
      yield* b.ask("background")
      const refreshed = yield* b.ask("peek", "ahead", key)
      assert.match(refreshed ?? "", /^b/)
      yield* a.sees("ahead", key, refreshed)
      // it is half as old as it would have to be for a refresh
      yield* pass(4_999)
      assert.strictEqual(yield* a.ask("read", "ahead", key), refreshed)
      assert.strictEqual(yield* a.ask("loads", key), 1)
    }))

  test("maxIdle - what one process reads stays alive for the other, and what nobody reads is gone for both", ({
    a,
    b,
    key,
    pass
  }) =>
    Effect.gen(function* () {
      const value = yield* a.load("idle", key)
      assert.strictEqual(yield* b.ask("read", "idle", key), value)
      for (let i = 0; i < 4; i++) {
        yield* pass(10_000)
        assert.strictEqual(yield* a.ask("read", "idle", key), value)
        // with memory in front the renewal runs behind the read
        yield* becomes(a.ask("idleFor", "idle", key), 16_000)
      }
      assert.strictEqual(yield* b.ask("read", "idle", key), value)
      yield* pass(16_000)
      for (const each of [a, b]) assert.strictEqual(yield* each.ask("peek", "idle", key), undefined)
      deepStrictEqual([yield* a.ask("loads", key), yield* b.ask("loads", key)], [1, 0])
      assert.match(yield* b.load("idle", key), /^b/)
    }))

  for (const verb of ["expire", "expireTag", "expireAll"] as const) {
    test(`maxIdle - after ${verb} in the other process the entry is stale, and expires when nobody reads it`, ({
      a,
      b,
      key,
      pass
    }) =>
      Effect.gen(function* () {
        const value = yield* a.load("idleSwr", key)
        yield* pass(2_000)
        yield* b.ask(verb, "idleSwr", key)
        yield* becomes(a.ask("entry", "idleSwr", key), ["stale", 2_000, 62_000])
        yield* pass(13_999)
        for (const each of [a, b]) assert.strictEqual(yield* each.ask("peek", "idleSwr", key), value)
        yield* pass(1)
        for (const each of [a, b]) assert.strictEqual(yield* each.ask("peek", "idleSwr", key), undefined)
        assert.match(yield* b.load("idleSwr", key), /^b/)
      }))
  }

  test("conditional - the previous value is the other process's, and a renewal counts for both", ({
    a,
    b,
    key,
    pass
  }) =>
    Effect.gen(function* () {
      const value = yield* a.load("conditional", key)
      yield* pass(10_000)
      yield* b.ask("end", key, "isTheSame")
      assert.strictEqual(yield* b.load("conditional", key), value)
      deepStrictEqual(yield* b.ask("previous", key), [value])
      yield* pass(9_999)
      for (const each of [a, b]) assert.strictEqual(yield* each.ask("read", "conditional", key), value)
      deepStrictEqual([yield* a.ask("previous", key), yield* b.ask("previous", key)], [[undefined], [value]])
      yield* pass(1)
      const next = yield* a.load("conditional", key)
      deepStrictEqual(yield* a.ask("previous", key), [undefined, value])
      yield* b.sees("conditional", key, next)
    }))

  for (const verb of ["expire", "expireTag", "expireAll", "invalidate", "invalidateTag", "clear"] as const) {
    const isExpiry = verb.startsWith("expire")
    test(`conditional - after ${verb} in the other process there is ${isExpiry ? "a" : "no"} previous value`, ({
      a,
      b,
      key
    }) =>
      Effect.gen(function* () {
        const value = yield* a.load("conditional", key)
        yield* b.ask(verb, "conditional", key)
        yield* a.sees("conditional", key, undefined)
        yield* a.load("conditional", key)
        deepStrictEqual(yield* a.ask("previous", key), [undefined, isExpiry ? value : undefined])
      }))
  }
}
