/** Laws 1, 2, 9 and 15: how long an entry lives, by the clock of who reads it and by the medium's own. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as Cached from "../../Cached.js"
import { attempt, becomes, counting, is, type Law, one, rest, settled } from "./bench.js"

const freshness = "law 1: fresh, stale, expired"
const extremes = "law 2: infinity is for ever"
const owed = "law 9: stale is served while it is owed"
const physical = "law 15: the medium keeps an entry for its whole life"

const swr = { ttl: "10 seconds", stale: "5 seconds" } as const

export const lives: ReadonlyArray<Law> = [
  one(freshness, "set - there one millisecond before its end, and on it gone in every verb", ({ store }) =>
    Effect.gen(function* () {
      yield* store.set("k", "v", { ttl: "10 seconds" })
      yield* TestClock.adjust(9_999)
      yield* is(yield* store.get("k"), Option.some("v"), "get, one millisecond before the end")
      yield* is(yield* store.has("k"), true, "has, one millisecond before the end")
      yield* TestClock.adjust(1)
      yield* is(yield* store.get("k"), Option.none(), "get, at the end")
      yield* is(yield* store.getMany(["k"]), [Option.none()], "getMany, at the end")
      yield* is(yield* store.has("k"), false, "has, at the end")
    })
  ),

  one(freshness, "set - what is stale is there within its window, and not after", ({ store }) =>
    Effect.gen(function* () {
      yield* store.set("k", "v", swr)
      yield* TestClock.adjust(14_999)
      yield* is(yield* store.get("k"), Option.some("v"), "get, at the end of the window")
      yield* TestClock.adjust(1)
      yield* is(yield* store.get("k"), Option.none(), "get, behind the window")
    })
  ),

  one(freshness, "entry - tells its state and its times", (process) => {
    const cached = Cached.swr(Effect.succeed("v"), { key: "k", ...swr })
    const times = { value: "v", createdAt: 7_123, freshUntil: 17_123, expiresAt: 22_123 }
    return Effect.gen(function* () {
      yield* TestClock.adjust(7_123)
      yield* cached
      yield* settled(process)
      yield* is(yield* cached.entry, Option.some({ ...times, state: "fresh" }), "entry, when it was loaded")
      yield* TestClock.adjust("10 seconds")
      yield* is(yield* cached.entry, Option.some({ ...times, state: "stale" }), "entry, from freshUntil on")
      yield* TestClock.adjust("5 seconds")
      yield* is(yield* cached.entry, Option.none(), "entry, from expiresAt on")
    })
  }),

  one(freshness, "ttl - a read loads when the life is over, and not before", (process) => {
    const { calls, lookup } = counting((call) => Effect.succeed(call))
    const cached = Cached.ttl(lookup(), { key: "k", ttl: "10 seconds" })
    return Effect.gen(function* () {
      yield* cached
      yield* settled(process)
      yield* TestClock.adjust(9_999)
      yield* is([yield* cached, calls.length], [1, 1], "value and loads, one millisecond before the end")
      yield* TestClock.adjust(1)
      yield* is([yield* cached, calls.length], [2, 2], "value and loads, at the end")
    })
  }),

  one(owed, "swr - the stale value is answered, the refreshed one takes its place", (process) => {
    const { lookup } = counting((call) => Effect.succeed(call))
    const cached = Cached.swr(lookup(), { key: "k", ...swr })
    return Effect.gen(function* () {
      yield* cached
      yield* settled(process)
      yield* TestClock.adjust("10 seconds")
      yield* is(yield* cached, 1, "the read that starts the refresh")
      yield* becomes(cached.peek, Option.some(2), "peek, behind the refresh")
      yield* settled(process)
      yield* TestClock.adjust(9_999)
      yield* is(yield* cached, 2, "a read within the life of the refreshed value")
    })
  }),

  one(owed, "swr - a refresh that fails leaves the stale value to its end, and not beyond", (process) => {
    const { lookup } = counting((call) => (call === 1 ? Effect.succeed(1) : Effect.fail("down")))
    const cached = Cached.swr(lookup(), { key: "k", ...swr })
    return Effect.gen(function* () {
      yield* attempt(cached)
      yield* settled(process)
      yield* TestClock.adjust("10 seconds")
      yield* is(yield* attempt(cached), 1, "the read that starts the refresh")
      yield* settled(process)
      yield* TestClock.adjust(4_999)
      yield* is(yield* attempt(cached), 1, "a read at the end of the window")
      yield* settled(process)
      yield* TestClock.adjust(1)
      yield* is(yield* attempt(cached), "down", "a read behind the window")
    })
  }),

  one(extremes, "for ever - an entry without an end is there in a hundred years", (process) => {
    const cached = Cached.ttl(Effect.succeed("loaded"), { key: "loaded", ttl: Duration.infinity })
    return Effect.gen(function* () {
      yield* process.store.set("set", "set", { ttl: Duration.infinity })
      yield* cached
      yield* settled(process)
      yield* TestClock.adjust("36500 days")
      yield* is(yield* process.store.getMany(["set", "loaded"]), [Option.some("set"), Option.some("loaded")], "both")
      const entry = Option.getOrUndefined(yield* cached.entry)
      yield* is([entry?.state, entry?.expiresAt], ["fresh", Number.POSITIVE_INFINITY], "state and end")
    })
  }),

  one(extremes, "60 days - more milliseconds than a timer holds are no less", ({ store }) =>
    Effect.gen(function* () {
      yield* store.set("k", "v", { ttl: "60 days" })
      yield* rest(20)
      yield* TestClock.adjust(60 * 86_400_000 - 1)
      yield* is(yield* store.get("k"), Option.some("v"), "after 60 days less a millisecond")
      yield* TestClock.adjust(1)
      yield* is(yield* store.get("k"), Option.none(), "after 60 days")
    })
  ),

  one(physical, "stale - the medium is told when the entry expires, not until when it is fresh", ({ store }) =>
    Effect.gen(function* () {
      yield* store.set("k", "v", { ttl: 20, stale: "1 minute" })
      yield* rest(80)
      yield* TestClock.adjust(20)
      yield* is(yield* store.get("k"), Option.some("v"), "what is stale, when its fresh time has really passed")
    })
  ),

  one(physical, "longer - what is written again lives its new life, not the old one", ({ store }) =>
    Effect.gen(function* () {
      yield* store.set("k", 1, { ttl: 30 })
      yield* store.set("k", 2, { ttl: "1 minute" })
      yield* rest(80)
      yield* is(yield* store.get("k"), Option.some(2), "the second, when the life of the first has really passed")
    })
  ),

  one(physical, "shorter - what is written again does not outlive its new life", ({ store }) =>
    Effect.gen(function* () {
      yield* store.set("k", 1, { ttl: "1 minute" })
      yield* store.set("k", 2, { ttl: "10 seconds" })
      yield* TestClock.adjust("10 seconds")
      yield* is(yield* store.get("k"), Option.none(), "at the end of the second")
    })
  )
]
