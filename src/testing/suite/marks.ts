/** Law 16 (no scans): `clear` and invalidated tags apply without visiting entries. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as Cached from "../../Cached.js"
import { counting, is, type LawCase, one, settled } from "./harness.js"
import { hostile } from "./keys.js"

const law = "law 16: no scans"

const minute = { ttl: "1 minute" } as const

export const marks: ReadonlyArray<LawCase> = [
  one(law, "clear - removes all entries, whoever wrote them, and keeps later ones", (process) => {
    const { calls, lookup } = counting((call) => Effect.succeed(call))
    const cached = Cached.ttl(lookup(), { key: "loaded", ...minute })
    const { store } = process
    return Effect.gen(function* () {
      for (let round = 1; round <= 3; round++) {
        yield* cached
        yield* store.set("set", round, minute)
        yield* settled(process)
        yield* store.clear
        yield* is(yield* store.getMany(["set", "loaded"]), [Option.none(), Option.none()], "getMany, after clear")
        yield* is([yield* store.has("set"), yield* cached.peek], [false, Option.none()], "has and peek, after clear")
      }
      yield* cached
      yield* store.set("set", 4, minute)
      yield* settled(process)
      yield* is(
        [yield* store.get("set"), yield* cached, calls.length],
        [Option.some(4), 4, 4],
        "entries that were written after clear"
      )
    })
  }),

  one(law, "clear of a function - removes its entries, and no others", (process) => {
    const echo = (key: string) =>
      Cached.ttl((id: string) => Effect.succeed(id), { key: key as "users:{}", name: key, ...minute })
    const [users, usersOf, posts] = [echo("users:{}"), echo("usersOf:{}"), echo("users:{}:posts")]
    const held = Effect.map(
      Effect.all([users.peek("a"), users.peek("b"), usersOf.peek("a"), posts.peek("a"), process.store.get("users:c")]),
      (all) => all.map(Option.isSome)
    )
    return Effect.gen(function* () {
      yield* Effect.all([users("a"), users("b"), usersOf("a"), posts("a"), process.store.set("users:c", "c", minute)])
      yield* settled(process)
      yield* is(yield* held, [true, true, true, true, true], "which are present before")
      yield* users.clear
      yield* is(yield* held, [false, false, true, true, true], "which are present after it")
      yield* users("a")
      yield* settled(process)
      yield* is(yield* held, [true, false, true, true, true], "which are present after one was loaded again")
    })
  }),

  one(law, "tags - removes entries that have one of the tags, and keeps the others", (process) => {
    const tags: Readonly<Record<string, ReadonlyArray<string>>> = { x: ["t1", "t2"], y: ["t2"], z: [] }
    const find = Cached.ttl((id: string) => Effect.succeed(id), { key: "k:{}", ...minute, tags: (id) => tags[id]! })
    const held = Effect.map(process.store.getMany(["k:x", "k:y", "k:z", "set"]), (all) => all.map(Option.isSome))
    const fill = Effect.all([
      ...Object.keys(tags).map((id) => find(id)),
      process.store.set("set", 1, { ...minute, tags: ["t1"] })
    ])
    return Effect.gen(function* () {
      for (const [invalidated, left] of [
        [["t1"], [false, true, true, false]],
        [["t2"], [false, false, true, true]],
        [
          ["t1", "t2", "unused"],
          [false, false, true, false]
        ],
        [
          ["T1", "t", "t*", ""],
          [true, true, true, true]
        ]
      ] as const) {
        yield* fill
        yield* settled(process)
        yield* is(yield* held, [true, true, true, true], "which are present before")
        yield* Cached.invalidateTags(invalidated)
        yield* is(yield* held, left, `which are present after invalidating ${invalidated.join(", ")}`)
      }
    })
  }),

  one(law, "tags - only the tags of the current entry count", ({ store }) =>
    Effect.gen(function* () {
      yield* store.set("k", 1, { ...minute, tags: ["old"] })
      yield* store.set("k", 2, { ...minute, tags: ["new"] })
      yield* store.tags.invalidate(["old"])
      yield* is(yield* store.get("k"), Option.some(2), "get, after invalidating the tag of the earlier entry")
      yield* store.tags.invalidate(["new"])
      yield* is(yield* store.get("k"), Option.none(), "get, after invalidating its tag")
    })
  ),

  one(law, "hostile tags - each is a tag of its own", ({ store }) =>
    Effect.gen(function* () {
      // some envelopes refuse a tag that is not valid UTF-8
      const all = hostile.filter((tag) => !/\p{Surrogate}/u.test(tag))
      for (const [i, tag] of all.entries()) yield* store.set(`k${i}`, i, { ...minute, tags: [tag] })
      yield* store.tags.invalidate(all.filter((_, i) => i % 2 === 0))
      const held = (yield* store.getMany(all.map((_, i) => `k${i}`))).map(Option.isSome)
      const wrong = all.filter((_, i) => held[i] === (i % 2 === 0))
      yield* is(wrong, [], "tags whose entries should have been removed or kept")
    })
  ),

  one(law, "300 tags at once - all are invalidated, and stay so", ({ store }) =>
    Effect.gen(function* () {
      const tags = Array.from({ length: 300 }, (_, i) => `t${i}`)
      const forever = { ttl: "36500 days" } as const
      yield* Effect.forEach(tags, (tag) => store.set(tag, 1, { ...forever, tags: [tag] }), { concurrency: "unbounded" })
      yield* store.set("other", 1, { ...forever, tags: ["other"] })
      yield* store.tags.invalidate(tags)
      yield* TestClock.adjust("365 days")
      const held = (yield* store.getMany([...tags, "other"])).map(Option.isSome)
      yield* is(held.filter(Boolean).length, 1, "how many entries are present")
      yield* is(held[300], true, "whether the entry with another tag is present")
    })
  ),

  one(law, "expired tags - their values are stale or absent, and what was invalidated stays absent", ({ store }) =>
    Effect.gen(function* () {
      const swr = { ttl: "10 seconds", stale: "5 seconds" } as const
      yield* store.set("invalidated", 1, { ...swr, tags: ["t"] })
      yield* store.tags.invalidate(["t"])
      yield* store.set("stale", 1, { ...swr, tags: ["t"] })
      yield* store.set("ttl", 1, { ...minute, tags: ["t", "u"] })
      yield* store.set("other", 1, { ...minute, tags: ["u"] })
      yield* store.tags.expire(["t"])
      yield* store.set("later", 1, { ...minute, tags: ["t"] })
      const left = Option.map(yield* store.entry<number>("stale"), ({ state, value }) => ({ state, value }))
      if (Option.isSome(left)) yield* is(left.value, { state: "stale", value: 1 }, "entry, if the backend keeps it")
      const held = (yield* store.getMany(["invalidated", "ttl", "other", "later"])).map(Option.isSome)
      yield* is(held, [false, false, true, true], "which of the others are present")
      yield* TestClock.adjust("5 seconds")
      yield* is(yield* store.get("stale"), Option.none(), "get, after the stale window")
    })
  ),

  one(law, "stale - an invalidated value is not served", (process) => {
    const { lookup } = counting((call) => Effect.succeed(call))
    const cached = Cached.swr(lookup(), { key: "k", ttl: "10 seconds", stale: "1 hour", tags: ["t"] })
    return Effect.gen(function* () {
      let expected = 1
      for (const verb of [process.store.tags.invalidate(["t"]), process.store.clear, cached.invalidate]) {
        yield* is(yield* cached, expected, "a read before")
        yield* settled(process)
        yield* TestClock.adjust("10 seconds")
        yield* verb
        yield* is(yield* cached, ++expected, "a read after")
        yield* settled(process)
      }
    })
  })
]
