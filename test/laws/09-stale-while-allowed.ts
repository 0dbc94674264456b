/**
 * Law 9 (stale is served only while allowed): a stale value is returned at once while a refresh runs, and never after
 * it has expired.
 */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import {
  becomes,
  gate,
  numbered,
  onStore,
  recordWarnings,
  type StoreUnderTest,
  stats,
  thenDoes,
  until
} from "./support.js"

const lifetime = { ttl: "10 seconds", stale: "5 seconds" } as const

export const staleWhileAllowed = (store: StoreUnderTest): void => {
  const on = onStore(store)

  describe("law 9: stale is served only while allowed", () => {
    it.effect("stale read - returns the old value at once, and a later read the new one", () => {
      const door = gate()
      const { lookup, calls } = thenDoes((call) => Effect.as(door.pass, call))
      const cached = Cached.swr(lookup(), { key: "k", ...lifetime })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(yield* cached, 1)
          yield* door.reached
          assert.strictEqual(yield* cached, 1)
          yield* door.open
          yield* becomes(cached, 2)
          assert.strictEqual(calls.length, 2)
          const { hits, misses, refreshes, staleHits } = yield* stats
          deepStrictEqual([misses, refreshes], [1, 1])
          assert.isAtLeast(staleHits, 2)
          assert.isAtLeast(hits, 1)
        })
      )
    })

    it.effect("stale read - ends before its refresh begins", () => {
      const order: Array<string> = []
      const { lookup, calls } = thenDoes((call) =>
        Effect.sync(() => {
          order.push("refresh")
          return call
        })
      )
      const cached = Cached.swr(lookup(), { key: "k", ...lifetime })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust("10 seconds")
          yield* Effect.tap(cached, () => Effect.sync(() => order.push("read")))
          yield* until(() => calls.length === 2, "the refresh ran")
          deepStrictEqual(order, ["read", "refresh"])
        })
      )
    })

    it.effect("stale herd - 1 000 readers are answered at once and start exactly one refresh", () => {
      const door = gate()
      const { lookup, calls } = thenDoes((call) => Effect.as(door.pass, call))
      const cached = Cached.swr(lookup(), { key: "k", ...lifetime })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust("10 seconds")
          const all = yield* Effect.all(
            Array.from({ length: 1_000 }, () => cached),
            { concurrency: "unbounded" }
          )
          deepStrictEqual(new Set(all), new Set([1]))
          yield* door.reached
          assert.strictEqual(calls.length, 2)
          yield* door.open
          yield* becomes(cached, 2)
          assert.strictEqual((yield* stats).refreshes, 1)
          assert.strictEqual(calls.length, 2)
        })
      )
    })

    it.effect("expired while a refresh runs - the reader joins it", () => {
      const door = gate()
      const { lookup, calls } = thenDoes((call) => Effect.as(door.pass, call))
      const cached = Cached.swr(lookup(), { key: "k", ...lifetime })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust("10 seconds")
          yield* cached
          yield* door.reached
          yield* TestClock.adjust("5 seconds")
          const reader = yield* Effect.fork(cached)
          yield* becomes(
            Effect.map(stats, (all) => all.coalesced),
            1
          )
          yield* door.open
          assert.strictEqual(yield* Fiber.join(reader), 2)
          assert.strictEqual(calls.length, 2)
        })
      )
    })

    it.effect("failing refresh - the old value is served until it expires, then the failure", () => {
      const { lookup } = thenDoes(() => Effect.fail("down" as const))
      const cached = Cached.swr(lookup(), { key: "k", ...lifetime })
      return on(
        Effect.gen(function* () {
          yield* cached
          for (const at of [10_000, 12_000, 14_999]) {
            yield* TestClock.setTime(at)
            assert.strictEqual(yield* cached, 1)
          }
          yield* TestClock.setTime(15_000)
          deepStrictEqual(yield* Effect.exit(cached), Exit.fail("down" as const))
          deepStrictEqual(yield* cached.peek, Option.none())
        })
      )
    })

    for (const [what, end] of [
      ["fails", Effect.fail("down")],
      ["dies", Effect.die("bug")],
      ["is interrupted from inside", Effect.interrupt]
    ] as const) {
      it.effect(`refresh that ${what} - keeps the old value and is counted`, () => {
        const { lookup, calls } = thenDoes(() => end as Effect.Effect<never, string>)
        const cached = Cached.swr(lookup(), { key: "k", ...lifetime })
        return on(
          Effect.gen(function* () {
            yield* cached
            yield* TestClock.adjust("10 seconds")
            assert.strictEqual(yield* cached, 1)
            yield* becomes(
              Effect.map(stats, (all) => all.refreshFailures),
              1
            )
            assert.strictEqual(yield* cached, 1)
            assert.strictEqual(calls.length, 2)
            assert.strictEqual((yield* stats).loadFailures, 1)
            assert.strictEqual((yield* stats).inFlight, 0)
          })
        )
      })
    }

    it.effect(
      "retryAfter - by default, the first stale read ten seconds after a failure starts the next attempt",
      () => {
        const { lookup, calls } = thenDoes(() => Effect.zipRight(Effect.sleep("500 millis"), Effect.fail("down")))
        const cached = Cached.swr(lookup(), { key: "k", ttl: "10 seconds", stale: "1 hour" })
        const failures = Effect.map(stats, (all) => all.refreshFailures)
        return on(
          Effect.gen(function* () {
            yield* cached
            yield* TestClock.setTime(10_000)
            yield* cached
            yield* until(() => calls.length === 2, "the first attempt began")
            yield* TestClock.setTime(10_500)
            yield* becomes(failures, 1)
            yield* TestClock.setTime(20_499)
            yield* cached
            assert.strictEqual((yield* stats).refreshes, 1)
            // Nothing happens without a read.
            yield* TestClock.setTime(30_000)
            assert.strictEqual((yield* stats).refreshes, 1)
            yield* cached
            yield* until(() => calls.length === 3, "the second attempt began")
            yield* TestClock.setTime(30_500)
            yield* becomes(failures, 2)
            yield* TestClock.setTime(40_500)
            yield* cached
            yield* until(() => calls.length === 4, "the third attempt began exactly ten seconds later")
          })
        )
      }
    )

    for (const [what, ttl] of [
      ["ttl", "400 millis"],
      ["ttl function", () => "400 millis" as const]
    ] as const) {
      it.effect(`retryAfter - is at most the ${what}`, () => {
        const { lookup, calls } = thenDoes(() => Effect.fail("down"))
        const cached = Cached.swr(lookup(), { key: "k", ttl, stale: "1 hour" })
        const failures = Effect.map(stats, (all) => all.refreshFailures)
        return on(
          Effect.gen(function* () {
            yield* cached
            yield* TestClock.setTime(400)
            yield* cached
            yield* becomes(failures, 1)
            yield* TestClock.setTime(799)
            yield* cached
            assert.strictEqual((yield* stats).refreshes, 1)
            yield* TestClock.setTime(800)
            yield* cached
            yield* until(() => calls.length === 3, "the next attempt began after one ttl")
          })
        )
      })
    }

    it.effect("retryAfter - five stale reads further apart are five attempts", () => {
      const { lookup, calls } = thenDoes(() => Effect.fail("down"))
      const cached = Cached.swr(lookup(), { key: "k", ttl: "10 seconds", stale: "1 hour" })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust("10 seconds")
          for (let attempt = 1; attempt <= 5; attempt++) {
            assert.strictEqual(yield* cached, 1)
            yield* becomes(
              Effect.map(stats, (all) => all.refreshFailures),
              attempt
            )
            yield* TestClock.adjust("10 seconds")
          }
          assert.strictEqual(calls.length, 6)
        })
      )
    })

    it.effect("retryAfter - of one key does not delay another key", () => {
      const { lookup } = numbered((call, id: number) => (call <= 2 ? Effect.succeed(id) : Effect.fail("down")))
      const find = Cached.swr(lookup, { key: "k:{}", ...lifetime })
      return on(
        Effect.gen(function* () {
          yield* find(1)
          yield* find(2)
          yield* TestClock.adjust("10 seconds")
          yield* find(1)
          yield* becomes(
            Effect.map(stats, (all) => all.refreshFailures),
            1
          )
          yield* find(2)
          yield* becomes(
            Effect.map(stats, (all) => all.refreshFailures),
            2
          )
        })
      )
    })

    it.effect("successful refresh - resets retryAfter", () => {
      const { lookup, calls } = thenDoes((call) => (call === 2 ? Effect.fail("down") : Effect.succeed(call)))
      const cached = Cached.swr(lookup(), { key: "k", ttl: "500 millis", stale: "1 hour" })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust(500)
          yield* cached
          yield* becomes(
            Effect.map(stats, (all) => all.refreshFailures),
            1
          )
          yield* TestClock.adjust(500)
          yield* cached
          yield* becomes(cached.peek, Option.some(3))
          yield* TestClock.adjust(500)
          assert.strictEqual(yield* cached, 3)
          yield* becomes(cached.peek, Option.some(4))
          assert.strictEqual(calls.length, 4)
        })
      )
    })

    it.effect("set - resets retryAfter: the set value is refreshed as soon as it is stale", () => {
      const { lookup, calls } = thenDoes(() => Effect.fail("down"))
      const cached = Cached.swr(lookup(), {
        key: "k",
        ttl: (value) => (value === 7 ? "400 millis" : "2 seconds"),
        stale: "1 hour"
      })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust("2 seconds")
          yield* cached
          yield* becomes(
            Effect.map(stats, (all) => all.refreshFailures),
            1
          )
          yield* cached.set(7)
          yield* TestClock.adjust("400 millis")
          assert.strictEqual(yield* cached, 7)
          yield* until(() => calls.length === 3, "the new value's refresh began")
        })
      )
    })

    it.effect("refresh that hangs - ends at flightTimeout, counts as failed, and is tried again", () => {
      const stopped = Effect.runSync(Deferred.make<void>())
      const { lookup, calls } = thenDoes((call) =>
        call === 2 ? Effect.onInterrupt(Effect.never, () => Deferred.succeed(stopped, undefined)) : Effect.succeed(call)
      )
      const cached = Cached.swr(lookup(), {
        key: "k",
        ttl: "10 seconds",
        stale: "1 hour",
        flightTimeout: "4 seconds"
      })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.setTime(10_000)
          yield* cached
          yield* until(() => calls.length === 2, "the refresh began")
          yield* TestClock.setTime(13_999)
          assert.strictEqual((yield* stats).refreshFailures, 0)
          yield* TestClock.setTime(14_000)
          yield* Deferred.await(stopped)
          yield* becomes(
            Effect.map(stats, (all) => all.refreshFailures),
            1
          )
          yield* TestClock.setTime(23_999)
          assert.strictEqual(yield* cached, 1)
          assert.strictEqual(calls.length, 2)
          yield* TestClock.setTime(24_000)
          assert.strictEqual(yield* cached, 1)
          yield* becomes(cached, 3)
        })
      )
    })

    it.effect("64 refreshes at once - the 65th stale key is served without a refresh until one has ended", () => {
      const door = gate()
      const { lines, layer } = recordWarnings()
      const { lookup, calls } = numbered((call, id: number) =>
        call <= 70 ? Effect.succeed(id) : Effect.as(door.pass, -id)
      )
      const find = Cached.swr(lookup, { key: "k:{}", ttl: "10 seconds", stale: "1 hour" })
      const ids = Array.from({ length: 70 }, (_, i) => i + 1)
      return Effect.gen(function* () {
        yield* Effect.forEach(ids, (id) => find(id))
        yield* TestClock.adjust("10 seconds")
        deepStrictEqual(yield* Effect.forEach(ids, (id) => find(id)), ids)
        yield* until(() => door.arrivals() === 64, "64 refreshes ran")
        assert.strictEqual((yield* stats).refreshes, 64)
        yield* door.open
        yield* becomes(
          Effect.map(stats, (all) => all.inFlight),
          0
        )
        assert.strictEqual(calls.length, 70 + 64)
        assert.strictEqual(yield* find(65), 65)
        yield* becomes(find(65), -65)
        // Law 17 (bounded): reaching a limit is logged once.
        assert.lengthOf(
          lines.filter((line) => line.includes("refresh")),
          1
        )
      }).pipe(on, Effect.provide(layer))
    })
  })
}
