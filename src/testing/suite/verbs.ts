/** The verbs of a store: one key, many keys, and only where there is nothing. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { attempt, is, type Law, one } from "./bench.js"
import { entries, mixed } from "./keys.js"

const single = "verbs: what was written last is there"
const batches = "verbs: many keys at once"
const absent = "verbs: setIfAbsent"

const minute = { ttl: "1 minute" } as const

/** more than go out in one batch */
const many = Array.from({ length: 300 }, (_, i) => `many:${i}`)

/** how many of so many at once write where there is nothing, and the value that stands there then */
export const rivals = Array.from({ length: 50 }, (_, i) => i)

export const verbs: ReadonlyArray<Law> = [
  one(single, "nothing - what nobody wrote is absent, and can be removed", ({ store }) =>
    Effect.gen(function* () {
      yield* is(yield* store.get("k"), Option.none(), "get")
      yield* is(yield* store.has("k"), false, "has")
      yield* is(yield* store.getMany(["k", "l"]), [Option.none(), Option.none()], "getMany")
      yield* store.remove("k")
      yield* store.clear
      yield* is(yield* store.get("k"), Option.none(), "get, after remove and clear")
    })
  ),

  one(single, "set and remove - in turn, and each counts when it has ended", ({ store }) =>
    Effect.gen(function* () {
      for (let i = 0; i < 5; i++) {
        yield* store.set("k", i, minute)
        yield* is(yield* store.get("k"), Option.some(i), `get, after set number ${i}`)
        yield* store.remove("k")
        yield* is(yield* store.get("k"), Option.none(), `get, after remove number ${i}`)
        yield* is(yield* store.has("k"), false, `has, after remove number ${i}`)
      }
    })
  ),

  one(single, "set - of 50 on one key the last stands", ({ store }) =>
    Effect.gen(function* () {
      yield* Effect.forEach(rivals, (i) => store.set("k", i, minute), { concurrency: "unbounded", discard: true })
      yield* is(yield* store.get("k"), Option.some(49), "get")
    })
  ),

  one(batches, "getMany - answers in the order of the keys, absent and doubled ones among them", ({ store }) =>
    Effect.gen(function* () {
      yield* store.set("c", 3, minute)
      yield* store.set("a", 1, minute)
      yield* store.set("b", 2, minute)
      yield* is(
        yield* store.getMany(["b", "x", "a", "b", "c", "y", "b"]),
        [2, undefined, 1, 2, 3, undefined, 2].map(Option.fromNullable),
        "getMany"
      )
      yield* is(yield* store.getMany([]), [], "getMany of no keys")
    })
  ),

  one(batches, "300 keys - setMany, getMany and removeMany reach each", ({ store }) =>
    Effect.gen(function* () {
      yield* store.setMany(entries(many), minute)
      yield* is(mixed(many, yield* store.getMany(many)), [], "keys that have not their own value after setMany")
      yield* store.removeMany(many.filter((_, i) => i % 3 !== 0))
      const held = (yield* store.getMany(many)).map(Option.isSome)
      yield* is(
        many.filter((_, i) => held[i] !== (i % 3 === 0)),
        [],
        "keys that are there and should not be, or the other way round, after removeMany"
      )
      yield* store.setMany([], minute)
      yield* store.removeMany([])
    })
  ),

  one(batches, "setMany - of one key given twice the last value stands", ({ store }) =>
    Effect.gen(function* () {
      yield* store.setMany(
        [
          ["k", 1],
          ["l", 2],
          ["k", 3]
        ],
        minute
      )
      yield* is(yield* store.getMany(["k", "l"]), [Option.some(3), Option.some(2)], "getMany")
    })
  ),

  one(batches, "100 keys at once - written, read and removed by as many fibers", ({ store }) =>
    Effect.gen(function* () {
      const some = many.slice(0, 100)
      const at = { concurrency: "unbounded" } as const
      yield* Effect.forEach(entries(some), ([key, i]) => store.set(key, i, minute), at)
      const found = yield* Effect.forEach(some, (key) => store.get(key), at)
      yield* is(mixed(some, found), [], "keys that have not their own value")
      yield* Effect.forEach(some, (key) => store.remove(key), at)
      const left = yield* Effect.filter(some, (key) => store.has(key), at)
      yield* is(left, [], "keys that are there after remove")
    })
  ),

  one(absent, "first - writes and says so; what comes later writes nothing, and says that", ({ store }) =>
    Effect.gen(function* () {
      yield* is(yield* attempt(store.setIfAbsent("k", 1, minute)), true, "the first")
      yield* is(yield* attempt(store.setIfAbsent("k", 2, minute)), false, "the second")
      yield* is(yield* store.get("k"), Option.some(1), "get")
      yield* store.set("l", 1, minute)
      yield* is(yield* attempt(store.setIfAbsent("l", 2, minute)), false, "above what was set")
      yield* is(yield* store.get("l"), Option.some(1), "get of what was set")
    })
  ),

  one(absent, "at once - of 50 exactly one writes, and its value stands", ({ store }) =>
    Effect.gen(function* () {
      const wrote = yield* Effect.forEach(rivals, (i) => attempt(store.setIfAbsent("k", i, minute)), {
        concurrency: "unbounded"
      })
      yield* is(wrote.filter((each) => each === true).length, 1, "how many wrote")
      yield* is(wrote.filter((each) => each === false).length, 49, "how many did not")
      yield* is(yield* store.get("k"), Option.some(wrote.indexOf(true)), "get")
    })
  ),

  one(absent, "life - what is stale is there, what has expired is not", ({ store }) =>
    Effect.gen(function* () {
      const swr = { ttl: "10 seconds", stale: "5 seconds" } as const
      yield* is(yield* attempt(store.setIfAbsent("k", 1, swr)), true, "the first")
      yield* TestClock.adjust(14_999)
      yield* is(yield* attempt(store.setIfAbsent("k", 2, swr)), false, "above what is stale")
      yield* TestClock.adjust(1)
      yield* is(yield* attempt(store.setIfAbsent("k", 3, swr)), true, "above what has expired")
      yield* is(yield* store.get("k"), Option.some(3), "get")
      yield* TestClock.adjust("15 seconds")
      yield* is(yield* store.get("k"), Option.none(), "get, at the end of its own life")
    })
  ),

  one(absent, "gone - what was removed, cleared or invalidated is not there", ({ store }) =>
    Effect.gen(function* () {
      const ways = {
        remove: store.remove("k"),
        removeMany: store.removeMany(["j", "k"]),
        clear: store.clear,
        "tags.invalidate": store.tags.invalidate(["t"])
      }
      const tagged = { ...minute, tags: ["t"] }
      yield* store.set("k", "before", tagged)
      for (const [way, effect] of Object.entries(ways)) {
        yield* effect
        yield* is(yield* attempt(store.setIfAbsent("k", way, tagged)), true, `after ${way}`)
        yield* is(yield* store.get("k"), Option.some(way), `get, after ${way}`)
      }
    })
  )
]
