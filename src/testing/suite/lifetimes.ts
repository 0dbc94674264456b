/** How long an entry lives, by the clock of its reader and by the backend's own clock. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as Cached from "../../Cached.js"
import { attempt, becomes, counting, is, type LawCase, one, rest, settled } from "./harness.js"

const freshness = "law 1: freshness"
const extremes = "law 2: zero bypasses, infinity is forever"
const stale = "law 9: stale is served only while allowed"
const physical = "law 15: physical life is the whole life"

const swr = { ttl: "10 seconds", stale: "5 seconds" } as const

export const lifetimes: ReadonlyArray<LawCase> = [
  one(
    freshness,
    "set - is present one millisecond before it expires, and absent in every operation when it expires",
    ({ store }) =>
      Effect.gen(function* () {
        yield* store.set("k", "v", { ttl: "10 seconds" })
        yield* TestClock.adjust(9_999)
        yield* is(yield* store.get("k"), Option.some("v"), "get, one millisecond before expiry")
        yield* is(yield* store.has("k"), true, "has, one millisecond before expiry")
        yield* TestClock.adjust(1)
        yield* is(yield* store.get("k"), Option.none(), "get, at expiry")
        yield* is(yield* store.getMany(["k"]), [Option.none()], "getMany, at expiry")
        yield* is(yield* store.has("k"), false, "has, at expiry")
      })
  ),

  one(freshness, "set - a stale value is present within its window, and absent after it", ({ store }) =>
    Effect.gen(function* () {
      yield* store.set("k", "v", swr)
      yield* TestClock.adjust(14_999)
      yield* is(yield* store.get("k"), Option.some("v"), "get, at the end of the stale window")
      yield* TestClock.adjust(1)
      yield* is(yield* store.get("k"), Option.none(), "get, after the stale window")
    })
  ),

  one(freshness, "entry - has its state and its times", (process) => {
    const cached = Cached.swr(Effect.succeed("v"), { key: "k", ...swr })
    const times = { value: "v", createdAt: 7_123, freshUntil: 17_123, staleUntil: 22_123, expiresAt: 22_123 }
    return Effect.gen(function* () {
      yield* TestClock.adjust(7_123)
      yield* cached
      yield* settled(process)
      yield* is(yield* cached.entry, Option.some({ ...times, state: "fresh" }), "entry, after the load")
      yield* TestClock.adjust("10 seconds")
      yield* is(yield* cached.entry, Option.some({ ...times, state: "stale" }), "entry, from freshUntil on")
      yield* TestClock.adjust("5 seconds")
      yield* is(yield* cached.entry, Option.none(), "entry, from expiresAt on")
    })
  }),

  one(freshness, "ttl - a read loads when the lifetime has ended, and not before", (process) => {
    const { calls, lookup } = counting((call) => Effect.succeed(call))
    const cached = Cached.ttl(lookup(), { key: "k", ttl: "10 seconds" })
    return Effect.gen(function* () {
      yield* cached
      yield* settled(process)
      yield* TestClock.adjust(9_999)
      yield* is([yield* cached, calls.length], [1, 1], "value and loads, one millisecond before expiry")
      yield* TestClock.adjust(1)
      yield* is([yield* cached, calls.length], [2, 2], "value and loads, at expiry")
    })
  }),

  one(stale, "swr - a read returns the stale value, and a refresh replaces it", (process) => {
    const { lookup } = counting((call) => Effect.succeed(call))
    const cached = Cached.swr(lookup(), { key: "k", ...swr })
    return Effect.gen(function* () {
      yield* cached
      yield* settled(process)
      yield* TestClock.adjust("10 seconds")
      yield* is(yield* cached, 1, "the read that starts the refresh")
      yield* becomes(cached.peek, Option.some(2), "peek, after the refresh")
      yield* settled(process)
      yield* TestClock.adjust(9_999)
      yield* is(yield* cached, 2, "a read within the lifetime of the refreshed value")
    })
  }),

  one(
    stale,
    "expire - a value that may not be served as stale is loaded again, once, and another one is kept",
    (process) => {
      const { calls, lookup } = counting((_, id: number) => Effect.succeed(id))
      const find = Cached.ttl(lookup, { key: "k:{}", ttl: "10 seconds" })
      return Effect.gen(function* () {
        yield* find(1)
        yield* find(2)
        yield* settled(process)
        yield* find.expire(1)
        yield* is([yield* find.peek(1), yield* find.peek(2)], [Option.none(), Option.some(2)], "peek, of both")
        yield* is([yield* find(1), yield* find(2), calls.length], [1, 2, 3], "values and loads")
      })
    }
  ),

  one(stale, "swr - after a failed refresh the stale value stays until its window ends, and not longer", (process) => {
    const { lookup } = counting((call) => (call === 1 ? Effect.succeed(1) : Effect.fail("down")))
    const cached = Cached.swr(lookup(), { key: "k", ...swr })
    return Effect.gen(function* () {
      yield* attempt(cached)
      yield* settled(process)
      yield* TestClock.adjust("10 seconds")
      yield* is(yield* attempt(cached), 1, "the read that starts the refresh")
      yield* settled(process)
      yield* TestClock.adjust(4_999)
      yield* is(yield* attempt(cached), 1, "a read at the end of the stale window")
      yield* settled(process)
      yield* TestClock.adjust(1)
      yield* is(yield* attempt(cached), "down", "a read after the stale window")
    })
  }),

  one(extremes, "forever - an entry that never expires is present after a hundred years", (process) => {
    const cached = Cached.ttl(Effect.succeed("loaded"), { key: "loaded", ttl: Duration.infinity })
    return Effect.gen(function* () {
      yield* process.store.set("set", "set", { ttl: Duration.infinity })
      yield* cached
      yield* settled(process)
      yield* TestClock.adjust("36500 days")
      yield* is(yield* process.store.getMany(["set", "loaded"]), [Option.some("set"), Option.some("loaded")], "both")
      const entry = Option.getOrUndefined(yield* cached.entry)
      yield* is([entry?.state, entry?.expiresAt], ["fresh", Number.POSITIVE_INFINITY], "state and expiry")
    })
  }),

  one(extremes, "60 days - a lifetime longer than the limit of a timer is not cut", ({ store }) =>
    Effect.gen(function* () {
      yield* store.set("k", "v", { ttl: "60 days" })
      yield* rest(20)
      yield* TestClock.adjust(60 * 86_400_000 - 1)
      yield* is(yield* store.get("k"), Option.some("v"), "get, one millisecond before 60 days have passed")
      yield* TestClock.adjust(1)
      yield* is(yield* store.get("k"), Option.none(), "get, after 60 days")
    })
  ),

  one(physical, "stale - the backend keeps an entry until it expires, not only while it is fresh", ({ store }) =>
    Effect.gen(function* () {
      yield* store.set("k", "v", { ttl: 20, stale: "1 minute" })
      yield* rest(80)
      yield* TestClock.adjust(20)
      yield* is(
        yield* store.get("k"),
        Option.some("v"),
        "get of the stale value, after its ttl has passed in real time"
      )
    })
  ),

  one(physical, "longer - an entry that is written again lives for its new lifetime", ({ store }) =>
    Effect.gen(function* () {
      yield* store.set("k", 1, { ttl: 30 })
      yield* store.set("k", 2, { ttl: "1 minute" })
      yield* rest(80)
      yield* is(
        yield* store.get("k"),
        Option.some(2),
        "get of the second value, after the lifetime of the first has passed in real time"
      )
    })
  ),

  one(physical, "shorter - an entry that is written again does not outlive its new lifetime", ({ store }) =>
    Effect.gen(function* () {
      yield* store.set("k", 1, { ttl: "1 minute" })
      yield* store.set("k", 2, { ttl: "10 seconds" })
      yield* TestClock.adjust("10 seconds")
      yield* is(yield* store.get("k"), Option.none(), "get, when the second lifetime has ended")
    })
  )
]
