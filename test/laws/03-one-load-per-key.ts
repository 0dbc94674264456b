/**
 * Law 3 (one load per key): at most one load of a key can be joined at any time.
 *
 * A remote store does real I/O while the `TestClock` does not move, so the tests of loads never assume that a read has
 * reached its load after one turn of the scheduler: they wait with `begun`, `waiting` and `eventually`.
 */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Fiber, Option, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import { CacheStore } from "../../src/CacheStore.js"
import {
  begun,
  eventually,
  gate,
  herd,
  isDone,
  makeLookup,
  numbered,
  type StoreUnderTest,
  settled,
  stats,
  testOn,
  waiting
} from "./support.js"

export const oneLoadPerKey = (store: StoreUnderTest): void => {
  const test = testOn(store)

  describe("law 3: one load per key", () => {
    for (const size of [10, 100, 1_000, 10_000]) {
      test(`cold herd - ${size} fibers on one key share one load`, () =>
        Effect.gen(function* () {
          const door = gate()
          const { calls, lookup } = makeLookup((id: number) => Effect.as(door.pass, `user ${id}`))
          const find = Cached.ttl(lookup, { key: "user:{}", ttl: "1 minute" })
          const fibers = yield* herd(find(1), size)
          yield* waiting(size)
          yield* door.open
          const values = yield* Effect.forEach(fibers, Fiber.join)
          assert.strictEqual(calls.length, 1)
          assert.isTrue(values.every((value) => value === "user 1"))
          const counts = yield* stats
          assert.deepInclude(counts, { hits: 0, misses: size, coalesced: size - 1, loads: 1, inFlight: 0 })
        }))
    }

    test("joining - a later reader joins the running load, and hits after it", () =>
      Effect.gen(function* () {
        const door = gate()
        const { lookup } = numbered((call) => Effect.as(door.pass, call))
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const first = yield* Effect.fork(find())
        yield* door.reached
        yield* TestClock.adjust("10 seconds")
        const second = yield* Effect.fork(find())
        yield* waiting(2)
        yield* door.open
        deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second), yield* find()], [1, 1, 1])
        assert.deepInclude(yield* stats, { hits: 1, misses: 2, coalesced: 1, loads: 1 })
      }))

    test("other keys - no key waits for another key's load", () =>
      Effect.gen(function* () {
        const slow = gate()
        const { lookup } = makeLookup((key: string) => Effect.as(key === "slow" ? slow.pass : Effect.void, key))
        const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
        const fiber = yield* Effect.fork(find("slow"))
        yield* slow.reached
        assert.strictEqual(yield* find("fast"), "fast")
        assert.isFalse(isDone(fiber))
        yield* slow.open
        assert.strictEqual(yield* Fiber.join(fiber), "slow")
      }))

    test("expired - successive readers of an expired entry share one load", () =>
      Effect.gen(function* () {
        const { calls, lookup } = numbered((call) => Effect.as(Effect.sleep("300 millis"), call))
        const find = Cached.ttl(lookup, { key: "k", ttl: "10 seconds" })
        const before = yield* Effect.fork(find())
        yield* begun(calls)
        yield* TestClock.adjust("300 millis")
        assert.strictEqual(yield* Fiber.join(before), 1)
        yield* TestClock.adjust("10 seconds")
        const fibers: Array<Fiber.RuntimeFiber<number>> = []
        for (let i = 0; i < 100; i++) {
          fibers.push(yield* Effect.fork(find()))
          yield* waiting(i + 2)
          yield* TestClock.adjust("1 millis")
        }
        yield* begun(calls, 2)
        yield* TestClock.adjust("300 millis")
        deepStrictEqual(
          yield* Effect.forEach(fibers, Fiber.join),
          Array.from(fibers, () => 2)
        )
        assert.strictEqual(calls.length, 2)
      }))

    test("stale herd - 1 000 readers get the stale value at once and start one refresh", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = numbered((call) => Effect.as(call > 1 ? door.pass : Effect.void, call))
        const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
        yield* find()
        yield* TestClock.adjust("10 seconds")
        const values = yield* Effect.all(
          Array.from({ length: 1_000 }, () => find()),
          { concurrency: "unbounded" }
        )
        assert.isTrue(values.every((value) => value === 1))
        yield* begun(calls, 2)
        assert.deepInclude(yield* stats, { staleHits: 1_000, refreshes: 1, loads: 2, inFlight: 1 })
        yield* door.open
        yield* eventually(Effect.map(find.peek(), Option.contains(2)), "the refresh has stored")
        assert.strictEqual(calls.length, 2)
      }))

    test("refreshing - a refresh that still runs when the entry expires is joined, not doubled", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = numbered((call) => Effect.as(call > 1 ? door.pass : Effect.void, call))
        const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "5 seconds" })
        yield* find()
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* find(), 1)
        yield* begun(calls, 2)
        yield* TestClock.adjust("5 seconds")
        const fibers = yield* herd(find(), 10)
        yield* waiting(11)
        yield* door.open
        deepStrictEqual(
          yield* Effect.forEach(fibers, Fiber.join),
          Array.from(fibers, () => 2)
        )
        assert.deepInclude(yield* stats, { loads: 2, coalesced: 10 })
      }))

    for (const verb of ["refresh", "reload"] as const) {
      for (const last of ["older", "forced"] as const) {
        test(`${verb} - replaces an older load instead of joining it (the ${last} load ends last)`, () =>
          Effect.gen(function* () {
            const doors = [gate(), gate()]
            const { lookup } = numbered((call, _: string) => Effect.as(doors[call - 1]!.pass, call))
            const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
            const older = yield* Effect.fork(find("a"))
            yield* doors[0]!.reached
            const forced = yield* Effect.fork(verb === "refresh" ? find.refresh("a") : Cached.reload(find("a")))
            yield* doors[1]!.reached
            assert.strictEqual((yield* stats).inFlight, 1)
            if (last === "older") {
              yield* doors[1]!.open
              assert.strictEqual(yield* Fiber.join(forced), 2)
              yield* doors[0]!.open
              assert.strictEqual(yield* Fiber.join(older), 1)
            } else {
              yield* doors[0]!.open
              assert.strictEqual(yield* Fiber.join(older), 1)
              deepStrictEqual(yield* find.peek("a"), Option.none())
              yield* doors[1]!.open
              assert.strictEqual(yield* Fiber.join(forced), 2)
            }
            assert.strictEqual(yield* find("a"), 2)
            assert.deepInclude(yield* stats, { loads: 2, hits: 1, coalesced: 0, inFlight: 0 })
          }))
      }
    }

    test("refresh - forced callers in one turn share a load, a caller after its start does not", () =>
      Effect.gen(function* () {
        const doors = [gate(), gate()]
        const { calls, lookup } = numbered((call) => Effect.as(doors[call - 1]!.pass, call))
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const one = yield* Effect.fork(
          Effect.all([find.refresh(), Cached.reload(find()), find.refresh()], { concurrency: "unbounded" })
        )
        yield* doors[0]!.reached
        yield* settled
        assert.strictEqual(calls.length, 1)
        const two = yield* Effect.fork(find.refresh())
        yield* doors[1]!.reached
        yield* Effect.zipRight(doors[0]!.open, doors[1]!.open)
        deepStrictEqual(yield* Fiber.join(one), [1, 1, 1])
        assert.strictEqual(yield* Fiber.join(two), 2)
        deepStrictEqual(yield* find.peek(), Option.some(2))
        assert.deepInclude(yield* stats, { loads: 2, coalesced: 2 })
      }))

    test("refresh - plain readers join a forced load", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = numbered((call) => Effect.as(door.pass, call))
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const forced = yield* Effect.fork(find.refresh())
        yield* door.reached
        const plain = yield* Effect.fork(find())
        yield* waiting(2)
        yield* door.open
        deepStrictEqual([yield* Fiber.join(forced), yield* Fiber.join(plain)], [1, 1])
        assert.strictEqual(calls.length, 1)
      }))

    test("refresh - replaces the refresh behind a stale answer, whose value is not stored", () =>
      Effect.gen(function* () {
        const doors = [gate(), gate()]
        const { calls, lookup } = numbered((call) => Effect.as(call === 1 ? Effect.void : doors[call - 2]!.pass, call))
        const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
        yield* find()
        yield* TestClock.adjust("10 seconds")
        yield* find()
        yield* doors[0]!.reached
        const forced = yield* Effect.fork(find.refresh())
        yield* doors[1]!.reached
        yield* doors[1]!.open
        assert.strictEqual(yield* Fiber.join(forced), 3)
        yield* doors[0]!.open
        yield* settled
        assert.strictEqual(yield* find(), 3)
        assert.strictEqual(calls.length, 3)
      }))

    // On a remote store a mark takes time to write, and a load requested meanwhile may begin before or after it.
    for (const mark of store.remote ? [] : (["clear", "tags", "store.clear"] as const)) {
      test(`refresh - one requested after ${mark} does not share a load requested before it, and is stored`, () =>
        Effect.gen(function* () {
          const { lookup } = numbered((call, _: string) => Effect.succeed(call))
          const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute", tags: ["all"] })
          const raise =
            mark === "clear"
              ? find.clear
              : mark === "tags"
                ? Cached.invalidateTags(["all"])
                : Effect.flatMap(CacheStore, (store) => store.clear)
          const [, , last] = yield* Effect.all([find.refresh("a"), raise, find.refresh("a")], {
            concurrency: "unbounded"
          })
          deepStrictEqual(yield* find.peek("a"), Option.some(last))
        }))
    }

    test("another function - loads the same key in its own load", () =>
      Effect.gen(function* () {
        const doors = { a: gate(), b: gate() }
        const a = makeLookup(() => Effect.as(doors.a.pass, "a"))
        const b = makeLookup(() => Effect.as(doors.b.pass, "b"))
        const findA = Cached.ttl(a.lookup, { key: "k", name: "a", ttl: "1 minute" })
        const findB = Cached.ttl(b.lookup, { key: "k", name: "b", ttl: "1 minute" })
        const first = yield* Effect.fork(findA())
        yield* doors.a.reached
        const second = yield* Effect.fork(findB())
        yield* doors.b.reached
        yield* Effect.zipRight(doors.a.open, doors.b.open)
        deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], ["a", "b"])
      }))

    test("ttl function returning 0 - the herd shares the load, and nothing is stored", () =>
      Effect.gen(function* () {
        const door = gate()
        const { lookup } = numbered((call) => Effect.as(door.pass, call))
        const find = Cached.ttl(lookup, { key: "k", ttl: () => 0 })
        const fibers = yield* herd(find(), 10)
        yield* waiting(10)
        yield* door.open
        deepStrictEqual(
          yield* Effect.forEach(fibers, Fiber.join),
          Array.from(fibers, () => 1)
        )
        assert.strictEqual(yield* find(), 2)
      }))

    test("bypass - neither joins a load nor disturbs it", () =>
      Effect.gen(function* () {
        const doors = [gate(), gate()]
        const { lookup } = numbered((call) => Effect.as(doors[call - 1]!.pass, call))
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const plain = yield* Effect.fork(find())
        yield* doors[0]!.reached
        const bypassing = yield* Effect.fork(Cached.bypass(find()))
        yield* doors[1]!.reached
        yield* doors[1]!.open
        assert.strictEqual(yield* Fiber.join(bypassing), 2)
        deepStrictEqual(yield* find.peek(), Option.none())
        yield* doors[0]!.open
        assert.strictEqual(yield* Fiber.join(plain), 1)
        assert.strictEqual(yield* find(), 1)
      }))
  })
}
