/**
 * Law 2 (zero bypasses, infinity is forever): durations mean what they say at both ends.
 */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Option, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import { becomes, counting, gate, numbered, onStore, type StoreUnderTest, stats, thenDoes, until } from "./support.js"

export const zeroAndInfinity = (store: StoreUnderTest): void => {
  const on = onStore(store)

  describe("law 2: zero bypasses, infinity is forever", () => {
    for (const ttl of [0, "0 seconds", Duration.zero, Duration.millis(-5)] as const) {
      it.effect(
        `ttl ${typeof ttl === "object" ? Duration.format(ttl) : ttl} - is neither read, stored nor shared`,
        () => {
          const door = gate()
          const { lookup, calls } = numbered((call) => Effect.as(door.pass, call))
          const cached = Cached.ttl(lookup(), { key: "k", ttl })
          return on(
            Effect.gen(function* () {
              const fibers = yield* Effect.forkAll([cached, cached, cached])
              yield* until(() => calls.length === 3, "each reader began its own load")
              yield* door.open
              yield* Fiber.join(fibers)
              deepStrictEqual(yield* cached.peek, Option.none())
              yield* cached
              yield* cached.refresh
              assert.strictEqual(calls.length, 5)
              yield* cached.set(9)
              deepStrictEqual(yield* cached.peek, Option.none())
              const { hits, loads, misses } = yield* stats
              deepStrictEqual([hits, misses, loads], [0, 0, 0])
            })
          )
        }
      )
    }

    it.effect("swr with ttl 0 - bypasses, whatever `stale` is", () => {
      const { lookup, calls } = counting()
      const cached = Cached.swr(lookup(), { key: "k", ttl: 0, stale: "1 hour" })
      return on(
        Effect.gen(function* () {
          assert.strictEqual(yield* cached, 1)
          assert.strictEqual(yield* cached, 2)
          assert.strictEqual(calls.length, 2)
        })
      )
    })

    it.effect("ttl 0 - does not read a stored value of the same name", () => {
      const { lookup, calls } = counting()
      const options = { key: "k", name: "n" } as const
      const on1 = Cached.ttl(Effect.succeed(100), { ...options, ttl: "1 minute" })
      const off = Cached.ttl(lookup(), { ...options, ttl: 0 })
      return on(
        Effect.gen(function* () {
          yield* on1
          assert.strictEqual(yield* off, 1)
          assert.strictEqual(calls.length, 1)
          assert.strictEqual(yield* on1, 100)
        })
      )
    })

    for (const zero of [0, -5, "-1 second", Number.NEGATIVE_INFINITY] as const) {
      it.effect(`ttl function returning ${zero} - the herd shares one load, and nothing is stored`, () => {
        const door = gate()
        const { lookup, calls } = numbered((call) => Effect.as(door.pass, call))
        const cached = Cached.ttl(lookup(), { key: "k", ttl: () => zero })
        return on(
          Effect.gen(function* () {
            const herd = yield* Effect.forkAll(Array.from({ length: 100 }, () => cached))
            yield* becomes(
              Effect.map(stats, (all) => all.misses),
              100
            )
            yield* door.open
            deepStrictEqual(new Set(yield* Fiber.join(herd)), new Set([1]))
            assert.strictEqual(calls.length, 1)
            deepStrictEqual(yield* cached.peek, Option.none())
            assert.strictEqual(yield* cached, 2)
          })
        )
      })
    }

    it.effect("ttl function returning 0 for a new value - the previous value is no longer served", () => {
      let ttl: Duration.DurationInput = "10 seconds"
      const { lookup } = counting()
      const cached = Cached.swr(lookup(), { key: "k", ttl: () => ttl, stale: "1 hour" })
      return on(
        Effect.gen(function* () {
          yield* cached
          ttl = 0
          assert.strictEqual(yield* cached.refresh, 2)
          yield* becomes(cached.peek, Option.none())
          assert.strictEqual(yield* cached, 3)
        })
      )
    })

    for (const ttl of [Number.POSITIVE_INFINITY, Duration.infinity, () => Duration.infinity] as const) {
      it.effect(
        `ttl ${typeof ttl === "function" ? "function returning infinity" : String(ttl)} - never expires`,
        () => {
          const { lookup, calls } = counting()
          const cached = Cached.ttl(lookup(), { key: "k", ttl })
          return on(
            Effect.gen(function* () {
              yield* cached
              yield* TestClock.adjust("36500 days")
              assert.strictEqual(yield* cached, 1)
              const entry = Option.getOrThrow(yield* cached.entry)
              deepStrictEqual(
                [entry.state, entry.freshUntil, entry.expiresAt],
                ["fresh", Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
              )
              assert.strictEqual(calls.length, 1)
            })
          )
        }
      )
    }

    it.effect("infinite stale - is served as stale forever", () => {
      const { lookup } = thenDoes(() => Effect.fail("down"))
      const cached = Cached.swr(lookup(), { key: "k", ttl: "1 minute", stale: Duration.infinity })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust("36500 days")
          assert.strictEqual(yield* cached, 1)
          assert.strictEqual(Option.getOrThrow(yield* cached.entry).state, "stale")
        })
      )
    })

    it.effect("longer than a timer can hold - 60 days are 60 days", () => {
      const { lookup, calls } = counting()
      const cached = Cached.swr(lookup(), { key: "k", ttl: "60 days", stale: "60 days", flightTimeout: "60 days" })
      const day = 86_400_000
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust(60 * day - 1)
          assert.strictEqual(yield* cached, 1)
          assert.strictEqual(calls.length, 1)
          yield* TestClock.adjust(60 * day)
          assert.strictEqual(Option.getOrThrow(yield* cached.entry).state, "stale")
          yield* TestClock.adjust(1)
          deepStrictEqual(yield* cached.peek, Option.none())
        })
      )
    })

    // On a remote store a millisecond passes before a test can look at it.
    if (!store.remote) {
      for (const [ttl, millis] of [
        [0.5, 1],
        [1.5, 2],
        [Duration.nanos(1n), 1],
        [Duration.micros(1_001n), 2],
        [1e-300, 1]
      ] as const) {
        it.effect(`ttl ${typeof ttl === "object" ? Duration.format(ttl) : ttl} - rounds up to ${millis} ms`, () => {
          const { lookup, calls } = counting()
          const cached = Cached.ttl(lookup(), { key: "k", ttl })
          return on(
            Effect.gen(function* () {
              yield* cached
              yield* TestClock.adjust(millis - 1)
              yield* cached
              assert.strictEqual(calls.length, 1)
              yield* TestClock.adjust(1)
              yield* cached
              assert.strictEqual(calls.length, 2)
            })
          )
        })
      }

      it.effect("fractional stale - rounds up, too", () => {
        const cached = Cached.swr(Effect.succeed(1), { key: "k", ttl: 0.2, stale: 0.2 })
        return on(
          Effect.gen(function* () {
            yield* cached
            const entry = Option.getOrThrow(yield* cached.entry)
            deepStrictEqual([entry.freshUntil, entry.expiresAt], [1, 2])
          })
        )
      })
    }
  })
}
