/**
 * Law 1 (freshness): the times of an entry decide what a read returns.
 */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Option, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import { CacheStore } from "../../src/CacheStore.js"
import {
  becomes,
  counting,
  makeLookup,
  numbered,
  onStore,
  type StoreUnderTest,
  stats,
  thenDoes,
  until
} from "./support.js"

const lifetime = { ttl: "10 seconds", stale: "5 seconds" } as const

export const freshness = (store: StoreUnderTest): void => {
  const on = onStore(store)

  describe("law 1: freshness", () => {
    it.effect("ttl - fresh until one millisecond before the boundary, expired at it", () => {
      const { lookup, calls } = counting()
      const cached = Cached.ttl(lookup(), { key: "k", ttl: "10 seconds" })
      return on(
        Effect.gen(function* () {
          assert.strictEqual(yield* cached, 1)
          yield* TestClock.adjust(9_999)
          assert.strictEqual(yield* cached, 1)
          assert.strictEqual(calls.length, 1)
          yield* TestClock.adjust(1)
          deepStrictEqual(yield* cached.peek, Option.none())
          assert.strictEqual(yield* cached, 2)
          assert.strictEqual(calls.length, 2)
        })
      )
    })

    it.effect("states - each boundary belongs to the state after it", () => {
      const cached = Cached.swr(Effect.succeed("v"), { key: "k", ...lifetime })
      const state = Effect.map(
        cached.entry,
        Option.map((entry) => entry.state)
      )
      return on(
        Effect.gen(function* () {
          deepStrictEqual(yield* state, Option.none())
          yield* cached
          deepStrictEqual(yield* state, Option.some("fresh" as const))
          yield* TestClock.adjust(9_999)
          deepStrictEqual(yield* state, Option.some("fresh" as const))
          yield* TestClock.adjust(1)
          deepStrictEqual(yield* state, Option.some("stale" as const))
          yield* TestClock.adjust(4_999)
          deepStrictEqual(yield* state, Option.some("stale" as const))
          deepStrictEqual(yield* cached.peek, Option.some("v"))
          yield* TestClock.adjust(1)
          deepStrictEqual(yield* state, Option.none())
          deepStrictEqual(yield* cached.peek, Option.none())
        })
      )
    })

    it.effect("reads - a hit at 9 999 ms, the stale value and a refresh from 10 000 ms, a load at 15 000 ms", () => {
      const { lookup, calls } = numbered((call, id: number) => Effect.succeed(`${id}#${call}`))
      const find = Cached.swr(lookup, { key: "k:{}", ...lifetime })
      return on(
        Effect.gen(function* () {
          for (const id of [1, 2, 3, 4]) yield* find(id)
          assert.strictEqual(calls.length, 4)

          yield* TestClock.adjust(9_999)
          assert.strictEqual(yield* find(1), "1#1")
          assert.strictEqual((yield* stats).refreshes, 0)

          yield* TestClock.adjust(1)
          assert.strictEqual(yield* find(2), "2#2")
          yield* becomes(find(2), "2#5")

          yield* TestClock.adjust(4_999)
          assert.strictEqual(yield* find(3), "3#3")
          yield* becomes(find(3), "3#6")

          yield* TestClock.adjust(1)
          assert.strictEqual(yield* find(4), "4#7")
          assert.strictEqual((yield* stats).refreshes, 2)
        })
      )
    })

    it.effect("lifetime - counts from the end of the load, not from its start", () => {
      const { lookup, calls } = makeLookup(() => Effect.as(Effect.sleep("5 seconds"), "v"))
      const cached = Cached.ttl(lookup(), { key: "k", ttl: "10 seconds" })
      return on(
        Effect.gen(function* () {
          const fiber = yield* Effect.fork(cached)
          yield* until(() => calls.length === 1, "the load began")
          yield* TestClock.adjust("5 seconds")
          yield* Fiber.join(fiber)
          deepStrictEqual(
            yield* cached.entry,
            Option.some({
              value: "v",
              state: "fresh" as const,
              createdAt: 5_000,
              freshUntil: 15_000,
              staleUntil: 15_000,
              expiresAt: 15_000
            })
          )
          yield* TestClock.adjust(9_999)
          assert.strictEqual(yield* cached, "v")
          assert.strictEqual(calls.length, 1)
          yield* TestClock.adjust(1)
          deepStrictEqual(yield* cached.peek, Option.none())
        })
      )
    })

    it.effect("lifetime - of a refreshed value counts from the end of the refresh", () => {
      const { lookup, calls } = thenDoes((call) => Effect.as(Effect.sleep("3 seconds"), call))
      const cached = Cached.swr(lookup(), { key: "k", ...lifetime })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust("10 seconds")
          yield* cached
          yield* until(() => calls.length === 2, "the refresh began")
          yield* TestClock.adjust("3 seconds")
          yield* becomes(cached.peek, Option.some(2))
          const entry = Option.getOrThrow(yield* cached.entry)
          deepStrictEqual([entry.createdAt, entry.freshUntil, entry.expiresAt], [13_000, 23_000, 28_000])
        })
      )
    })

    it.effect("set - gives the value the lifetime of one loaded at that moment", () => {
      const { lookup, calls } = counting()
      const cached = Cached.swr(lookup(), { key: "k", ...lifetime })
      return on(
        Effect.gen(function* () {
          yield* TestClock.adjust("7 seconds")
          yield* cached.set(42)
          const entry = Option.getOrThrow(yield* cached.entry)
          deepStrictEqual([entry.createdAt, entry.freshUntil, entry.expiresAt], [7_000, 17_000, 22_000])
          yield* TestClock.adjust(9_999)
          assert.strictEqual(yield* cached, 42)
          assert.strictEqual(calls.length, 0)
        })
      )
    })

    it.effect("ttl function - is called with the value and the arguments", () => {
      const { lookup, calls } = makeLookup((id: number) => Effect.succeed({ maxAge: id }))
      const find = Cached.ttl(lookup, {
        key: "k:{}",
        ttl: (value, id) => Duration.seconds(value.maxAge + id)
      })
      return on(
        Effect.gen(function* () {
          yield* find(3)
          assert.strictEqual(Option.getOrThrow(yield* find.entry(3)).freshUntil, 6_000)
          yield* find.set(5)({ maxAge: 1 })
          assert.strictEqual(Option.getOrThrow(yield* find.entry(5)).freshUntil, 6_000)
          yield* TestClock.adjust("6 seconds")
          yield* find(3)
          assert.strictEqual(calls.length, 2)
        })
      )
    })

    it.effect("CacheStore.set - has the same boundaries", () =>
      on(
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.set("k", "v", { ttl: "10 seconds", stale: "5 seconds" })
          yield* TestClock.adjust(14_999)
          deepStrictEqual(yield* store.get("k"), Option.some("v"))
          assert.isTrue(yield* store.has("k"))
          yield* TestClock.adjust(1)
          deepStrictEqual(yield* store.get("k"), Option.none())
          deepStrictEqual(yield* store.getMany(["k"]), [Option.none()])
          assert.isFalse(yield* store.has("k"))
        })
      )
    )
  })
}
