/** Two processes with one backend: each sees what the other writes, removes or clears, and does not overwrite it. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Cached from "../../Cached.js"
import {
  type Ability,
  attempt,
  becomes,
  counting,
  gate,
  is,
  type LawCase,
  later,
  type Process,
  settled,
  two
} from "./harness.js"
import { entries, hostile, mixed } from "./keys.js"
import { changed, kept } from "./values.js"
import { rivals } from "./verbs.js"

const minute = { ttl: "1 minute" } as const
const tagged = { ...minute, tags: ["t"] } as const
const swr = { ttl: "10 seconds", stale: "5 seconds" } as const

/** What one process does while the other loads the key `k`, and the value of `k` afterwards. */
const meanwhile: ReadonlyArray<
  readonly [verb: string, needs: Ability, act: (process: Process) => Effect.Effect<void>, left: Option.Option<string>]
> = [
  ["remove", "conditional", ({ store }) => store.remove("k"), Option.none()],
  ["expire", "conditional", ({ store }) => store.expire("k"), Option.none()],
  ["set", "conditional", ({ store }) => store.set("k", "set", minute), Option.some("set")],
  ["clear", "marks", ({ store }) => store.clear, Option.none()],
  ["tags.invalidate", "marks", ({ store }) => store.tags.invalidate(["t"]), Option.none()]
]

export const processes: ReadonlyArray<LawCase> = [
  two("set and load - the other process reads both, and loads nothing", [], (a, b, { within }) => {
    const { calls, lookup } = counting((_, id: number) => Effect.succeed({ id }))
    const find = Cached.ttl(lookup, { key: "k:{}", ...tagged })
    return Effect.gen(function* () {
      yield* a.on(find(1))
      yield* a.store.set("set", "by a", minute)
      yield* settled(a)
      yield* becomes(b.store.get("set"), Option.some("by a"), "get of the value that the other process set", within)
      yield* becomes(
        b.on(find.peek(1)),
        Option.some({ id: 1 }),
        "peek of the value that the other process loaded",
        within
      )
      yield* is([yield* b.on(find(1)), calls.length], [{ id: 1 }, 1], "value and loads")
    })
  }),

  two("stored failure - comes back as a failure, and never as a value", [], (a, b, { within }) => {
    const options = { key: "k", ...tagged, failures: { ttl: "1 minute", schema: Schema.String } } as const
    const lookup = counting((call) => (call === 1 ? Effect.fail("down") : Effect.succeed("up")))
    const cached = Cached.ttl(lookup.lookup(), options)
    const answer = Effect.match(cached, { onFailure: (error) => ({ error }), onSuccess: (value) => ({ value }) })
    return Effect.gen(function* () {
      yield* is(yield* a.on(answer), { error: "down" }, "the first read")
      yield* settled(a)
      yield* is(yield* b.store.get("k"), Option.none(), "get of a stored failure in the other process")
      const known = yield* b.on(answer)
      if ("error" in known) yield* is([known.error, lookup.calls.length], ["down", 1], "the stored failure, and loads")
      else yield* is(known.value, "up", "the value, where the backend keeps no failures")
      yield* a.on(cached.set("set"))
      yield* becomes(b.on(answer), { value: "set" }, "a read, after a value was set over the failure", within)
    })
  }),

  two("values - come back equal", [], (a, b, { within }) =>
    Effect.gen(function* () {
      yield* a.store.setMany(kept, minute)
      const all = b.store.getMany(kept.map(([name]) => name))
      yield* becomes(Effect.map(all, changed), [], "values that came back changed", within)
    })
  ),

  two("keys - are the same in both processes", [], (a, b, { within }) =>
    Effect.gen(function* () {
      yield* a.store.setMany(entries(hostile), minute)
      const wrong = Effect.map(b.store.getMany(hostile), (found) => mixed(hostile, found))
      yield* becomes(wrong, [], "keys with a wrong value in the other process", within)
    })
  ),

  two("times - are those of the writer", [], (a, b, { within }) => {
    const cached = Cached.swr(Effect.succeed("v"), { key: "k", ...swr })
    const times = { value: "v", createdAt: 3_210, freshUntil: 13_210, staleUntil: 18_210, expiresAt: 18_210 }
    return Effect.gen(function* () {
      yield* TestClock.adjust(3_210)
      yield* a.on(cached)
      yield* settled(a)
      yield* TestClock.adjust("2 seconds")
      yield* becomes(
        b.on(cached.entry),
        Option.some({ ...times, state: "fresh" }),
        "entry, in the other process",
        within
      )
      yield* TestClock.adjust("8 seconds")
      yield* is(yield* b.on(cached.entry), Option.some({ ...times, state: "stale" }), "entry, from freshUntil on")
      yield* TestClock.adjust("5 seconds")
      yield* is(yield* b.on(cached.entry), Option.none(), "entry, from expiresAt on")
    })
  }),

  two("set and remove - the later one wins, in either process", [], (a, b, { within }) =>
    Effect.gen(function* () {
      for (let i = 0; i < 4; i++) {
        const [one, other] = i % 2 === 0 ? [a, b] : [b, a]
        yield* one.store.set("k", i, minute)
        yield* becomes(other.store.get("k"), Option.some(i), "get of the value that the other process set", within)
        yield* becomes(one.store.get("k"), Option.some(i), "get of the value that the process itself set", within)
        yield* later
        if (i === 1) continue
        yield* other.store.remove("k")
        yield* becomes(one.store.get("k"), Option.none(), "get of the key that the other process removed", within)
        yield* later
      }
    })
  ),

  two("setIfAbsent - sees a key that the other process wrote, and not one that it removed", [], (a, b, { within }) =>
    Effect.gen(function* () {
      yield* a.store.set("k", "a", minute)
      yield* becomes(
        attempt(b.store.setIfAbsent("k", "b", minute)),
        false,
        "setIfAbsent on a key of the other process",
        within
      )
      yield* later
      yield* a.store.remove("k")
      yield* later
      yield* becomes(b.store.get("k"), Option.none(), "get of the key that the other process removed", within)
      yield* is(yield* attempt(b.store.setIfAbsent("k", "b", minute)), true, "setIfAbsent, after that")
      yield* becomes(a.store.get("k"), Option.some("b"), "get of the written value, in the other process", within)
    })
  ),

  two("setIfAbsent - of 50 at once in two processes exactly one writes", ["exclusive"], (a, b) =>
    Effect.gen(function* () {
      for (const key of ["k1", "k2", "k3", "k4"]) {
        const wrote = yield* Effect.forEach(
          rivals,
          (i) => attempt((i % 2 === 0 ? a : b).store.setIfAbsent(key, i, minute)),
          { concurrency: "unbounded" }
        )
        yield* is(wrote.filter((each) => each === true).length, 1, "how many wrote")
        yield* is(wrote.filter((each) => each === false).length, 49, "how many did not")
      }
    })
  ),

  two("clear of all entries and of a function - reaches the other process", ["marks"], (a, b, { within }) => {
    const find = Cached.ttl((id: string) => Effect.succeed(id), { key: "k:{}", ...minute })
    const held = (process: Process) =>
      Effect.map(Effect.all([process.on(find.peek("x")), process.store.get("set")]), (all) => all.map(Option.isSome))
    return Effect.gen(function* () {
      for (const [verb, left] of [
        [find.clear, [false, true]],
        [a.store.clear, [false, false]]
      ] as const) {
        yield* b.on(find("x"))
        yield* b.store.set("set", 1, minute)
        yield* settled(b)
        yield* becomes(held(a), [true, true], "which are present before", within)
        yield* later
        yield* a.on(verb)
        yield* is(yield* held(a), left, "which are present after it")
        yield* becomes(held(b), left, "which are present after it, in the other process", within)
        yield* later
      }
      yield* b.on(find("x"))
      yield* settled(b)
      yield* becomes(a.on(find.peek("x")), Option.some("x"), "peek of a value that was loaded later", within)
    })
  }),

  two(
    "tags - reach all other processes, and only entries that have one of the tags",
    ["marks"],
    (a, b, { open, within }) =>
      Effect.gen(function* () {
        yield* a.store.set("x", 1, tagged)
        yield* b.store.set("y", 2, tagged)
        yield* b.store.set("z", 3, { ...minute, tags: ["u"] })
        const c = yield* open
        const held = (process: Process) =>
          Effect.map(process.store.getMany(["x", "y", "z"]), (all) => all.map(Option.isSome))
        yield* becomes(held(a), [true, true, true], "which are present before", within)
        yield* becomes(held(b), [true, true, true], "which are present before, in the second process", within)
        yield* becomes(held(c), [true, true, true], "which are present before, in the third process", within)
        yield* later
        yield* a.store.tags.invalidate(["t"])
        yield* becomes(held(b), [false, false, true], "which are present after it, in the second process", within)
        yield* becomes(held(c), [false, false, true], "which are present after it, in the third process", within)
        yield* becomes(held(a), [false, false, true], "which are present after it", within)
      })
  ),

  two("a new process - finds earlier entries, except invalidated ones", ["marks"], (a, b, setup) =>
    Effect.gen(function* () {
      yield* a.store.set("cleared", 1, minute)
      yield* later
      yield* a.store.clear
      yield* later
      yield* b.store.set("tagged", 2, tagged)
      yield* b.store.set("there", 3, minute)
      yield* later
      yield* b.store.tags.invalidate(["t"])
      const fresh = yield* setup.open
      yield* becomes(
        fresh.store.getMany(["cleared", "tagged", "there"]),
        [Option.none(), Option.none(), Option.some(3)],
        "getMany",
        setup.within
      )
    })
  ),

  ...meanwhile.map(([verb, needs, act, left]) =>
    two(
      `${verb} - an earlier load in the other process answers its waiter, and is not stored`,
      [needs],
      (a, b, { within }) => {
        const door = gate()
        const cached = Cached.ttl(Effect.as(door.pass, "loaded"), { key: "k", ...tagged })
        return Effect.gen(function* () {
          const reader = yield* Effect.fork(a.on(cached))
          yield* door.reached
          yield* later
          yield* act(b)
          yield* later
          yield* door.open
          yield* is(yield* Fiber.join(reader), "loaded", "the result of the waiter")
          yield* settled(a)
          yield* becomes(b.store.get("k"), left, `get, in the process that called ${verb}`, within)
          yield* becomes(a.store.get("k"), left, "get, in the process that loaded", within)
          yield* is(yield* b.store.get("k"), left, `get, in the process that called ${verb}, some time later`)
        })
      }
    )
  ),

  two("close - written entries stay, and the value of a running load is never written", [], (a, b, { within }) => {
    const door = gate()
    const cached = Cached.ttl(Effect.as(door.pass, "loaded"), { key: "loading", ...minute })
    return Effect.gen(function* () {
      yield* a.store.set("set", 1, minute)
      yield* Effect.fork(a.on(cached))
      yield* door.reached
      yield* a.close
      yield* door.open
      yield* becomes(b.store.get("set"), Option.some(1), "get of the value that the closed process set", within)
      yield* later
      yield* is(yield* b.on(cached.peek), Option.none(), "peek of the key that the closed process was loading")
    })
  })
]
