/**
 * Laws 1, 2 and 9: how long a value lives, and what is served meanwhile. A suite as a function of the store, so that
 * every medium is held to it.
 */
// not chai's: it takes any two Effect values with unlike keys, such as Some and None, for equal
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Option, TestClock } from "effect"
import { Cached, CacheStore } from "../../src/index.js"
import {
  becomes,
  counting,
  gate,
  makeLookup,
  numbered,
  recordWarnings,
  type StoreUnderTest,
  stats,
  until
} from "./support.js"

/** the first call answers 1; further ones do what they are told */
const thenDoes = <E>(next: (call: number) => Effect.Effect<number, E>) =>
  numbered((call): Effect.Effect<number, E> => (call === 1 ? Effect.succeed(1) : next(call)))

const lives = { ttl: "10 seconds", stale: "5 seconds" } as const

export const freshness = (store: StoreUnderTest): void => {
  const on = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, store.layer)

  describe(`freshness (${store.name})`, () => {
    describe("law 1: fresh, stale, expired", () => {
      it.effect("ttl - fresh one millisecond before the border, expired on it", () => {
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

      it.effect("states - each border belongs to what comes after it", () => {
        const cached = Cached.swr(Effect.succeed("v"), { key: "k", ...lives })
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

      it.effect("reads - a hit at 9 999, the old value and a refresh from 10 000 on, a load at 15 000", () => {
        const { lookup, calls } = numbered((call, id: number) => Effect.succeed(`${id}#${call}`))
        const find = Cached.swr(lookup, { key: "k:{}", ...lives })
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

      it.effect("life - counts from the end of the load, not from its start", () => {
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

      it.effect("life - a refreshed value's counts from the end of the refresh", () => {
        const { lookup, calls } = thenDoes((call) => Effect.as(Effect.sleep("3 seconds"), call))
        const cached = Cached.swr(lookup(), { key: "k", ...lives })
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

      it.effect("set - lives as if it had been loaded just now", () => {
        const { lookup, calls } = counting()
        const cached = Cached.swr(lookup(), { key: "k", ...lives })
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

      it.effect("ttl function - is asked with the value and the arguments", () => {
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

      it.effect("CacheStore.set - the same borders for a value written by hand", () =>
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

    describe("law 2: zero is bypass, infinity is for ever", () => {
      for (const ttl of [0, -1, Number.NaN, "0 seconds", Duration.zero, Duration.millis(-5)] as const) {
        it.effect(
          `ttl ${typeof ttl === "object" ? Duration.format(ttl) : ttl} - not read, not stored, not shared`,
          () => {
            const door = gate()
            const { lookup, calls } = numbered((call) => Effect.as(door.pass, call))
            const cached = Cached.ttl(lookup(), { key: "k", ttl })
            return on(
              Effect.gen(function* () {
                const fibers = yield* Effect.forkAll([cached, cached, cached])
                yield* until(() => calls.length === 3, "each reader began a load of its own")
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

      it.effect("swr with ttl 0 - is a bypass, however long it is stale", () => {
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

      it.effect("ttl 0 beside a stored value of the same name - the value is not read", () => {
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

      for (const zero of [0, -5, Number.NaN]) {
        it.effect(`ttl function answering ${zero} - one load for the whole herd, nothing stored`, () => {
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

      it.effect("ttl function answering 0 for a new value - the one before it is not served on", () => {
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
          `ttl ${typeof ttl === "function" ? "function answering infinity" : String(ttl)} - never expires`,
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

      it.effect("stale for ever - served as stale for ever", () => {
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

      it.effect("beyond what a timer can hold - 60 days are 60 days", () => {
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

      // on a real medium a millisecond is over before it can be looked at
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

        it.effect("stale of a part of a millisecond - rounds up, too", () => {
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

    describe("law 9: stale is served once it is owed, never after", () => {
      it.effect("stale read - answers at once with the old value, the next with the new one", () => {
        const door = gate()
        const { lookup, calls } = thenDoes((call) => Effect.as(door.pass, call))
        const cached = Cached.swr(lookup(), { key: "k", ...lives })
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

      it.effect("stale read - is over before its refresh begins", () => {
        const order: Array<string> = []
        const { lookup, calls } = thenDoes((call) =>
          Effect.sync(() => {
            order.push("refresh")
            return call
          })
        )
        const cached = Cached.swr(lookup(), { key: "k", ...lives })
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

      it.effect("stale herd - 1 000 readers, all answered at once, exactly one refresh", () => {
        const door = gate()
        const { lookup, calls } = thenDoes((call) => Effect.as(door.pass, call))
        const cached = Cached.swr(lookup(), { key: "k", ...lives })
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
        const cached = Cached.swr(lookup(), { key: "k", ...lives })
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

      it.effect("failing refresh - the old value to its deadline, then the failure", () => {
        const { lookup } = thenDoes(() => Effect.fail("down" as const))
        const cached = Cached.swr(lookup(), { key: "k", ...lives })
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
          const cached = Cached.swr(lookup(), { key: "k", ...lives })
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

      it.effect("retryAfter - the next attempt a second after the failed one ended, with the next stale read", () => {
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
            yield* TestClock.setTime(11_499)
            yield* cached
            assert.strictEqual((yield* stats).refreshes, 1)
            // nothing happens without a read
            yield* TestClock.setTime(20_000)
            assert.strictEqual((yield* stats).refreshes, 1)
            yield* cached
            yield* until(() => calls.length === 3, "the second attempt began")
            yield* TestClock.setTime(20_500)
            yield* becomes(failures, 2)
            yield* TestClock.setTime(21_500)
            yield* cached
            yield* until(() => calls.length === 4, "the third attempt began exactly one second later")
          })
        )
      })

      for (const [what, ttl] of [
        ["ttl", "400 millis"],
        ["ttl function", () => "400 millis" as const]
      ] as const) {
        it.effect(`retryAfter - no longer than the ${what}`, () => {
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

      it.effect("retryAfter - five stale reads further apart than it are five attempts", () => {
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
              yield* TestClock.adjust("1100 millis")
            }
            assert.strictEqual(calls.length, 6)
          })
        )
      })

      it.effect("retryAfter - of one key holds back no other", () => {
        const { lookup } = numbered((call, id: number) => (call <= 2 ? Effect.succeed(id) : Effect.fail("down")))
        const find = Cached.swr(lookup, { key: "k:{}", ...lives })
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

      it.effect("refresh that succeeds - ends the waiting: a failure before it is forgotten", () => {
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

      it.effect("set - forgets a failed refresh: what it wrote is refreshed as soon as it is stale", () => {
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
          call === 2
            ? Effect.onInterrupt(Effect.never, () => Deferred.succeed(stopped, undefined))
            : Effect.succeed(call)
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
            yield* TestClock.setTime(14_999)
            assert.strictEqual(yield* cached, 1)
            assert.strictEqual(calls.length, 2)
            yield* TestClock.setTime(15_000)
            assert.strictEqual(yield* cached, 1)
            yield* becomes(cached, 3)
          })
        )
      })

      it.effect("64 refreshes at once - the 65th stale key is served and starts none until one has ended", () => {
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
          // law 17: a bound that is met says so, once
          assert.lengthOf(
            lines.filter((line) => line.includes("refresh")),
            1
          )
        }).pipe(on, Effect.provide(layer))
      })
    })
  })
}
