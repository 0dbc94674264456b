/**
 * The time after which nobody joins a load any more, and it can no longer write.
 */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Fiber, Option, TestClock } from "effect"
import * as Cached from "../../../src/Cached.js"
import {
  begun,
  eventually,
  gate,
  herd,
  makeLookup,
  numbered,
  type StoreUnderTest,
  settled,
  stats,
  testOn,
  waiting
} from "../support.js"

export const flightTimeout = (store: StoreUnderTest): void => {
  const test = testOn(store)

  describe("flightTimeout", () => {
    test("joining - readers join until it has passed, and the next one starts a successor", () =>
      Effect.gen(function* () {
        const doors = [gate(), gate()]
        const { calls, lookup } = numbered((call, _: string) => Effect.as(doors[call - 1]!.pass, call))
        const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute", flightTimeout: "5 seconds" })
        const first = yield* Effect.fork(find("a"))
        yield* doors[0]!.reached
        yield* TestClock.adjust("4999 millis")
        const intime = yield* Effect.fork(find("a"))
        yield* waiting(2)
        assert.strictEqual(calls.length, 1)
        yield* TestClock.adjust("1 millis")
        const late = yield* herd(find("a"), 3)
        yield* doors[1]!.reached
        yield* waiting(5)
        assert.strictEqual((yield* stats).inFlight, 1)
        yield* doors[1]!.open
        deepStrictEqual(yield* Effect.forEach(late, Fiber.join), [2, 2, 2])
        yield* doors[0]!.open
        deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(intime)], [1, 1])
        assert.strictEqual(yield* find("a"), 2)
        assert.strictEqual(calls.length, 2)
      }))

    test("writing - a late load is delivered but not stored, even without a successor", () =>
      Effect.gen(function* () {
        const door = gate()
        const { lookup } = numbered((call) => Effect.as(call === 1 ? door.pass : Effect.void, call))
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute", flightTimeout: "5 seconds" })
        const first = yield* Effect.fork(find())
        yield* door.reached
        yield* TestClock.adjust("5 seconds")
        yield* door.open
        assert.strictEqual(yield* Fiber.join(first), 1)
        deepStrictEqual(yield* find.peek(), Option.none())
        assert.strictEqual(yield* find(), 2)
      }))

    test("writing - a late load that ends while its successor runs is not stored", () =>
      Effect.gen(function* () {
        const doors = [gate(), gate()]
        const { lookup } = numbered((call) => Effect.as(doors[call - 1]!.pass, call))
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute", flightTimeout: "5 seconds" })
        const first = yield* Effect.fork(find())
        yield* doors[0]!.reached
        yield* TestClock.adjust("5 seconds")
        const second = yield* Effect.fork(find())
        yield* doors[1]!.reached
        yield* doors[0]!.open
        assert.strictEqual(yield* Fiber.join(first), 1)
        deepStrictEqual(yield* find.peek(), Option.none())
        assert.strictEqual((yield* stats).inFlight, 1)
        yield* doors[1]!.open
        assert.strictEqual(yield* Fiber.join(second), 2)
        deepStrictEqual(yield* find.peek(), Option.some(2))
      }))

    test("default - 30 seconds", () =>
      Effect.gen(function* () {
        const { calls, lookup } = makeLookup(() => Effect.never)
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        yield* Effect.fork(find())
        yield* begun(calls)
        yield* TestClock.adjust("29999 millis")
        yield* Effect.fork(find())
        yield* waiting(2)
        assert.strictEqual(calls.length, 1)
        yield* TestClock.adjust("1 millis")
        yield* Effect.fork(find())
        yield* begun(calls, 2)
      }))

    test("refresh - is interrupted and counted as failed, and the stale value stays", () =>
      Effect.gen(function* () {
        let interrupted = 0
        const { calls, lookup } = numbered((call) =>
          call === 1 ? Effect.succeed(1) : Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
        )
        const find = Cached.swr(lookup, {
          key: "k",
          ttl: "10 seconds",
          stale: "1 minute",
          flightTimeout: "5 seconds"
        })
        yield* find()
        yield* TestClock.adjust("10 seconds")
        yield* find()
        yield* begun(calls, 2)
        yield* TestClock.adjust("4999 millis")
        assert.deepInclude(yield* stats, { refreshFailures: 0, inFlight: 1 })
        yield* TestClock.adjust("1 millis")
        yield* eventually(() => interrupted === 1, "the refresh was interrupted")
        assert.deepInclude(yield* stats, { refreshes: 1, refreshFailures: 1, loadFailures: 1, inFlight: 0 })
        assert.strictEqual(yield* find(), 1)
        // Law 9 (stale is served only while allowed): the next attempt waits for `retryAfter`.
        yield* settled
        assert.strictEqual(calls.length, 2)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* find(), 1)
        yield* begun(calls, 3)
      }))

    test("refresh - readers that joined it read again and share one load", () =>
      Effect.gen(function* () {
        const { calls, lookup } = numbered((call) => (call === 2 ? Effect.never : Effect.succeed(call)))
        const find = Cached.swr(lookup, {
          key: "k",
          ttl: "10 seconds",
          stale: "2 seconds",
          flightTimeout: "5 seconds"
        })
        yield* find()
        yield* TestClock.adjust("10 seconds")
        yield* find()
        yield* begun(calls, 2)
        yield* TestClock.adjust("3 seconds")
        const joined = yield* herd(find(), 5)
        yield* waiting(6)
        yield* TestClock.adjust("2 seconds")
        deepStrictEqual(yield* Effect.forEach(joined, Fiber.join), [3, 3, 3, 3, 3])
        assert.strictEqual(calls.length, 3)
      }))

    test("refresh - an uninterruptible one delays nobody and stores nothing when it ends", () =>
      Effect.gen(function* () {
        const door = gate()
        const { lookup } = numbered((call) =>
          call === 2 ? Effect.uninterruptible(Effect.as(door.pass, 2)) : Effect.succeed(call)
        )
        const find = Cached.swr(lookup, {
          key: "k",
          ttl: "10 seconds",
          stale: "2 seconds",
          flightTimeout: "5 seconds"
        })
        yield* find()
        yield* TestClock.adjust("10 seconds")
        yield* find()
        yield* door.reached
        yield* TestClock.adjust("5 seconds")
        yield* eventually(
          Effect.map(stats, ({ refreshFailures }) => refreshFailures === 1),
          "the refresh was given up"
        )
        assert.strictEqual(yield* find(), 3)
        yield* door.open
        yield* settled
        assert.strictEqual(yield* find(), 3)
      }))
  })
}
