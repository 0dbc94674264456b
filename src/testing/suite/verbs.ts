/** The operations of a store: on one key, on many keys, and on absent keys. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { attempt, becomes, counting, gate, is, type LawCase, one } from "./harness.js"
import { entries, mixed } from "./keys.js"

const single = "operations: the last write wins"
const batches = "operations: many keys at once"
const absent = "operations: setIfAbsent"
const loading = "operations: getOrSet"

const minute = { ttl: "1 minute" } as const

/** More keys than fit in one batch. */
const many = Array.from({ length: 300 }, (_, i) => `many:${i}`)

/** Concurrent writers of one key. Each writes its own number. */
export const rivals = Array.from({ length: 50 }, (_, i) => i)

export const verbs: ReadonlyArray<LawCase> = [
  one(single, "an unknown key - is absent, and can be removed", ({ store }) =>
    Effect.gen(function* () {
      yield* is(yield* store.get("k"), Option.none(), "get")
      yield* is(yield* store.has("k"), false, "has")
      yield* is(yield* store.getMany(["k", "l"]), [Option.none(), Option.none()], "getMany")
      yield* store.remove("k")
      yield* store.clear
      yield* is(yield* store.get("k"), Option.none(), "get, after remove and clear")
    })
  ),

  one(single, "set and remove - each takes effect before it returns", ({ store }) =>
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

  one(single, "set - the last of 50 on one key wins", ({ store }) =>
    Effect.gen(function* () {
      yield* Effect.forEach(rivals, (i) => store.set("k", i, minute), { concurrency: "unbounded", discard: true })
      yield* is(yield* store.get("k"), Option.some(49), "get")
    })
  ),

  one(batches, "getMany - answers in the order of the keys, including absent and repeated ones", ({ store }) =>
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

  one(batches, "300 keys - setMany, getMany and removeMany reach every key", ({ store }) =>
    Effect.gen(function* () {
      yield* store.setMany(entries(many), minute)
      yield* is(mixed(many, yield* store.getMany(many)), [], "keys with a wrong value after setMany")
      yield* store.removeMany(many.filter((_, i) => i % 3 !== 0))
      const held = (yield* store.getMany(many)).map(Option.isSome)
      yield* is(
        many.filter((_, i) => held[i] !== (i % 3 === 0)),
        [],
        "keys that removeMany should have removed or kept"
      )
      yield* store.setMany([], minute)
      yield* store.removeMany([])
    })
  ),

  one(batches, "setMany - the last value of a repeated key wins", ({ store }) =>
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

  one(batches, "100 keys at once - are written, read and removed by 100 fibers", ({ store }) =>
    Effect.gen(function* () {
      const some = many.slice(0, 100)
      const at = { concurrency: "unbounded" } as const
      yield* Effect.forEach(entries(some), ([key, i]) => store.set(key, i, minute), at)
      const found = yield* Effect.forEach(some, (key) => store.get(key), at)
      yield* is(mixed(some, found), [], "keys with a wrong value")
      yield* Effect.forEach(some, (key) => store.remove(key), at)
      const left = yield* Effect.filter(some, (key) => store.has(key), at)
      yield* is(left, [], "keys that are present after remove")
    })
  ),

  one(
    absent,
    "in turn - the first call writes and returns true, later calls write nothing and return false",
    ({ store }) =>
      Effect.gen(function* () {
        yield* is(yield* attempt(store.setIfAbsent("k", 1, minute)), true, "the first")
        yield* is(yield* attempt(store.setIfAbsent("k", 2, minute)), false, "the second")
        yield* is(yield* store.get("k"), Option.some(1), "get")
        yield* store.set("l", 1, minute)
        yield* is(yield* attempt(store.setIfAbsent("l", 2, minute)), false, "setIfAbsent on a key that was set")
        yield* is(yield* store.get("l"), Option.some(1), "get of the value that was set")
      })
  ),

  one(absent, "at once - exactly one of 50 writes, and its value stays", ({ store }) =>
    Effect.gen(function* () {
      const wrote = yield* Effect.forEach(rivals, (i) => attempt(store.setIfAbsent("k", i, minute)), {
        concurrency: "unbounded"
      })
      yield* is(wrote.filter((each) => each === true).length, 1, "how many wrote")
      yield* is(wrote.filter((each) => each === false).length, 49, "how many did not")
      yield* is(yield* store.get("k"), Option.some(wrote.indexOf(true)), "get")
    })
  ),

  one(absent, "lifetime - a stale entry counts as present, an expired one as absent", ({ store }) =>
    Effect.gen(function* () {
      const swr = { ttl: "10 seconds", stale: "5 seconds" } as const
      yield* is(yield* attempt(store.setIfAbsent("k", 1, swr)), true, "the first")
      yield* TestClock.adjust(14_999)
      yield* is(yield* attempt(store.setIfAbsent("k", 2, swr)), false, "setIfAbsent on a stale entry")
      yield* TestClock.adjust(1)
      yield* is(yield* attempt(store.setIfAbsent("k", 3, swr)), true, "setIfAbsent on an expired entry")
      yield* is(yield* store.get("k"), Option.some(3), "get")
      yield* TestClock.adjust("15 seconds")
      yield* is(yield* store.get("k"), Option.none(), "get, when its own lifetime has ended")
    })
  ),

  one(absent, "removed - an entry that was removed, cleared or invalidated counts as absent", ({ store }) =>
    Effect.gen(function* () {
      const removals = {
        remove: store.remove("k"),
        removeMany: store.removeMany(["j", "k"]),
        clear: store.clear,
        "tags.invalidate": store.tags.invalidate(["t"])
      }
      const tagged = { ...minute, tags: ["t"] }
      yield* store.set("k", "before", tagged)
      for (const [verb, effect] of Object.entries(removals)) {
        yield* effect
        yield* is(yield* attempt(store.setIfAbsent("k", verb, tagged)), true, `setIfAbsent, after ${verb}`)
        yield* is(yield* store.get("k"), Option.some(verb), `get, after ${verb}`)
      }
    })
  ),

  one(single, "entry - has the value with its state and times, until it expires", ({ store }) =>
    Effect.gen(function* () {
      yield* is(yield* store.entry("k"), Option.none(), "entry of an unknown key")
      yield* store.set("k", 1, { ttl: "10 seconds", stale: "5 seconds" })
      const times = { value: 1, createdAt: 0, freshUntil: 10_000, staleUntil: 15_000, expiresAt: 15_000 }
      yield* is(yield* store.entry("k"), Option.some({ ...times, state: "fresh" }), "entry")
      yield* TestClock.adjust("10 seconds")
      yield* is(yield* store.entry("k"), Option.some({ ...times, state: "stale" }), "entry, when it is stale")
      yield* TestClock.adjust("5 seconds")
      yield* is(yield* store.entry("k"), Option.none(), "entry, when it has expired")
    })
  ),

  one(single, "expire - a value is stale or absent afterwards, and what was invalidated stays so", ({ store }) =>
    Effect.gen(function* () {
      const swr = { ttl: "10 seconds", stale: "5 seconds", tags: ["t"] } as const
      yield* store.expire("k")
      yield* is(yield* store.get("k"), Option.none(), "get of an unknown key")
      yield* store.set("k", 1, swr)
      yield* TestClock.adjust("1 second")
      yield* store.expire("k")
      const left = yield* store.entry<number>("k")
      if (Option.isSome(left)) {
        const stale = { value: 1, state: "stale", createdAt: 0, freshUntil: 1_000, staleUntil: 6_000, expiresAt: 6_000 }
        yield* is(left.value, stale, "entry, if the backend keeps it")
      }
      yield* store.set("k", 2, minute)
      yield* store.expire("k")
      yield* is(yield* store.get("k"), Option.none(), "get of a value that may not be served as stale")
      for (const invalidate of [store.remove("k"), store.clear, store.tags.invalidate(["t"])]) {
        yield* store.set("k", 3, swr)
        yield* invalidate
        yield* store.expire("k")
        yield* is(yield* store.get("k"), Option.none(), "get of what was invalidated before it was expired")
      }
    })
  ),

  one(single, "keys - lists every entry and nothing else, where the backend can list its keys", ({ store }) =>
    Effect.gen(function* () {
      const listed = attempt(Effect.map(Stream.runCollect(store.keys), (keys) => Array.from(new Set(keys)).sort()))
      const ifListed = (expected: ReadonlyArray<string>, what: string) =>
        Effect.flatMap(listed, (found) => (Array.isArray(found) ? is(found, expected, what) : Effect.void))
      const some = many.slice(0, 20)
      yield* store.setMany(entries(some), minute)
      yield* ifListed(Array.from(some).sort(), "keys")
      yield* store.removeMany(some.slice(1))
      yield* ifListed(some.slice(0, 1), "keys, after removeMany")
      yield* store.clear
      yield* ifListed([], "keys, after clear")
    })
  ),

  one(loading, "an absent key - is loaded once, and stored as set stores it", ({ store }) =>
    Effect.gen(function* () {
      const door = gate()
      const { calls, lookup } = counting((call) => Effect.as(door.pass, call))
      const read = store.getOrSet("k", lookup(), minute)
      const readers = yield* Effect.forEach(rivals, () => Effect.fork(read))
      yield* door.reached
      yield* door.open
      for (const reader of readers) yield* is(yield* Fiber.join(reader), 1, "what each of 50 readers got")
      yield* becomes(store.get("k"), Option.some(1), "get")
      yield* is(yield* read, 1, "a later read")
      yield* is(calls.length, 1, "the number of loads")
      yield* TestClock.adjust("1 minute")
      yield* is(yield* read, 2, "a read when the value has expired")
    })
  ),

  one(loading, "a key that was set, or removed meanwhile - is not loaded, or not stored", ({ store }) =>
    Effect.gen(function* () {
      const door = gate()
      const { calls, lookup } = counting((call) => Effect.as(door.pass, call))
      yield* store.set("k", "set", minute)
      yield* is(yield* store.getOrSet<unknown>("k", lookup(), minute), "set", "getOrSet of a key that was set")
      yield* is(calls.length, 0, "the number of loads")
      const reader = yield* Effect.fork(store.getOrSet("l", lookup(), minute))
      yield* door.reached
      yield* store.remove("l")
      yield* door.open
      yield* is(yield* Fiber.join(reader), 1, "what the reader got that came before the removal")
      yield* is(yield* store.get("l"), Option.none(), "get, after the removal and the load")
    })
  )
]
