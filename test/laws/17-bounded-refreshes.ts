/**
 * Law 17 (bounded), refreshes: the number of refreshes that run at once.
 */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import { Boom, begun, eventually, gate, numbered, type StoreUnderTest, settled, stats, testOn } from "./support.js"

export const boundedRefreshes = (store: StoreUnderTest): void => {
  const test = testOn(store)

  describe("law 17: bounded", () => {
    test("refreshes - at most 64 run at once, and a stale read beyond that starts none", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = numbered((call, id: number) => Effect.as(call > 100 ? door.pass : Effect.void, id))
        const find = Cached.swr(lookup, {
          key: "k:{}",
          ttl: "10 seconds",
          stale: "1 hour",
          flightTimeout: "1 minute"
        })
        const ids = Array.from({ length: 100 }, (_, id) => id)
        yield* Effect.forEach(ids, (id) => find(id))
        yield* TestClock.adjust("10 seconds")
        deepStrictEqual(yield* Effect.forEach(ids, (id) => find(id)), ids)
        yield* begun(calls, 164)
        yield* settled
        assert.strictEqual(calls.length, 164)
        assert.deepInclude(yield* stats, { staleHits: 100, refreshes: 64, inFlight: 64 })
        yield* door.open
        yield* eventually(
          Effect.map(stats, ({ inFlight }) => inFlight === 0),
          "the refreshes have ended"
        )
        deepStrictEqual(yield* Effect.forEach(ids, (id) => find(id)), ids)
        yield* begun(calls, 200)
        yield* settled
        assert.deepInclude(yield* stats, { refreshes: 100, loads: 200 })
      }))

    test("refreshes - one that fails, dies or times out frees its place", () =>
      Effect.gen(function* () {
        const { calls, lookup } = numbered((call, id: number): Effect.Effect<number, string> => {
          if (call <= 90) return Effect.succeed(id)
          return id % 3 === 0 ? Effect.fail("no") : id % 3 === 1 ? Effect.die(new Boom()) : Effect.never
        })
        const find = Cached.swr(lookup, {
          key: "k:{}",
          ttl: "10 seconds",
          stale: "1 hour",
          flightTimeout: "5 seconds"
        })
        const ids = Array.from({ length: 90 }, (_, id) => id)
        yield* Effect.forEach(ids, (id) => find(id))
        for (let round = 1; round <= 4; round++) {
          yield* TestClock.adjust("10 seconds")
          yield* Effect.forEach(ids, (id) => find(id))
          yield* eventually(
            Effect.map(stats, ({ refreshes }) => calls.length === 90 + refreshes && refreshes >= round * 64),
            `round ${round} has begun`
          )
          yield* TestClock.adjust("5 seconds")
          yield* eventually(
            Effect.map(stats, (counts) => counts.inFlight === 0 && counts.refreshFailures === counts.refreshes),
            `round ${round} has ended`
          )
        }
      }))
  })
}
