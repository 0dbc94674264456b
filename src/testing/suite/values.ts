/** Law 7: every value comes back equal, or is not stored. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Cached from "../../Cached.js"
import { attempt, counting, is, isSame, type LawCase, one, quiet, settled } from "./harness.js"

const law = "law 7: every value comes back equal, or is not stored"

const minute = { ttl: "1 minute" } as const

const deep = (levels: number): unknown => {
  let value: unknown = "bottom"
  for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { value }
  return value
}

/** Values that are easily confused with each other or with absence, and large values. */
export const kept: ReadonlyArray<readonly [name: string, value: unknown]> = [
  ["undefined", undefined],
  ["null", null],
  ["true", true],
  ["false", false],
  ["0", 0],
  ["-0", -0],
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["0.1 + 0.2", 0.1 + 0.2],
  ["a bigint", 12345678901234567890n],
  ["an empty string", ""],
  ["a string that looks like JSON", '{"a":1}'],
  ["a string of special characters", "\u0000\n\\\"'%{}[]\u2028\ufeff\ud83d\ude00"],
  ["a string of 1 MB", "ä".repeat(500_000)],
  ["[]", []],
  ["{}", {}],
  ["[undefined]", [undefined]],
  ["{ a: undefined }", { a: undefined }],
  ["an own __proto__ property", JSON.parse('{"__proto__":{"polluted":true},"constructor":1}')],
  ["100 levels", deep(100)],
  ["Option.none()", Option.none()],
  ["Option.some(undefined)", Option.some(undefined)],
  ["Option.some(Option.none())", Option.some(Option.none())],
  ["a Date", new Date(86_400_000)],
  ["an invalid Date", new Date(Number.NaN)],
  [
    "a Map",
    new Map<unknown, unknown>([
      ["a", 1],
      [Number.NaN, new Map()]
    ])
  ],
  ["a Set", new Set<unknown>([1, "1", undefined])],
  ["an empty Uint8Array", new Uint8Array(0)],
  ["a Uint8Array", Uint8Array.from({ length: 256 }, (_, i) => i)],
  ["a Uint8Array of 100 kB", new Uint8Array(100_000).fill(0xff)]
]

/** The names of the values that did not come back equal. */
export const changed = (found: ReadonlyArray<unknown>): ReadonlyArray<string> =>
  kept.flatMap(([name, value], i) => (isSame(found[i], Option.some(value)) ? [] : [name]))

const names = kept.map(([name]) => name)

export const values: ReadonlyArray<LawCase> = [
  one(law, "set - a value comes back equal from get and getMany, and has finds it", ({ store }) =>
    Effect.gen(function* () {
      for (const [name, value] of kept) yield* store.set(name, value, minute)
      yield* is(
        changed(yield* Effect.forEach(names, (name) => store.get(name))),
        [],
        "values that get returned changed"
      )
      yield* is(changed(yield* store.getMany(names)), [], "values that getMany returned changed")
      const absent = yield* Effect.filter(names, (name) => store.has(name), { negate: true })
      yield* is(absent, [], "values that has does not find")
    })
  ),

  one(law, "load - a value is loaded once, and is a hit from then on", (process) => {
    const { calls, lookup } = counting((_, i: number) => Effect.succeed(kept[i]![1]))
    const find = Cached.ttl(lookup, { key: "value:{}", ...minute })
    const all = Effect.forEach(kept, (_, i) => Effect.map(find(i), Option.some))
    return Effect.gen(function* () {
      yield* is(changed(yield* all), [], "values that a load changed")
      yield* settled(process)
      yield* is(changed(yield* all), [], "values that a hit changed")
      yield* is(calls.length, kept.length, "loads")
    })
  }),

  one(law, "setIfAbsent - a value such as undefined counts as present", ({ store }) =>
    Effect.gen(function* () {
      for (const [name, value] of kept) {
        yield* is(yield* attempt(store.setIfAbsent(name, value, minute)), true, `setIfAbsent of ${name}`)
        yield* is(
          yield* attempt(store.setIfAbsent(name, "another", minute)),
          false,
          `setIfAbsent on a key that holds ${name}`
        )
      }
      yield* is(changed(yield* store.getMany(names)), [], "values that setIfAbsent changed")
    })
  ),

  quiet(
    one(law, "a value that cannot be stored - is delivered, and never comes back changed", (process) => {
      const make = () => ({ call: () => 1 })
      const find = Cached.ttl(() => Effect.sync(make), { key: "k", ...minute })
      return Effect.gen(function* () {
        yield* process.store.set("k2", "before", minute)
        for (let i = 0; i < 3; i++) {
          const found = yield* find()
          yield* is(typeof found.call, "function", "the type of a function property after a read")
          yield* settled(process)
        }
        yield* process.store.set("k2", make(), minute)
        const after = Option.getOrUndefined(yield* process.store.get<{ call?: unknown }>("k2"))
        yield* is(
          after === undefined || typeof after.call === "function",
          true,
          "whether set replaced the earlier value"
        )
      })
    })
  )
]
