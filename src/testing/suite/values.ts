/** Law 7: every value is a value, and comes back equal. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Cached from "../../Cached.js"
import { attempt, counting, is, isSame, type Law, one, quiet, settled } from "./bench.js"

const law = "law 7: every value is a value"

const minute = { ttl: "1 minute" } as const

const deep = (levels: number): unknown => {
  let value: unknown = "bottom"
  for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { value }
  return value
}

/** what is told apart by nothing but care, and what is large */
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
  ["an empty text", ""],
  ["a text that looks like JSON", '{"a":1}'],
  ["a text with what is no letter", "\u0000\n\\\"'%{}[]\u2028\ufeff\ud83d\ude00"],
  ["a text of 1 MB", "ä".repeat(500_000)],
  ["[]", []],
  ["{}", {}],
  ["[undefined]", [undefined]],
  ["{ a: undefined }", { a: undefined }],
  ["a __proto__ of its own", JSON.parse('{"__proto__":{"polluted":true},"constructor":1}')],
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
  ["no bytes", new Uint8Array(0)],
  ["bytes", Uint8Array.from({ length: 256 }, (_, i) => i)],
  ["100 kB of bytes", new Uint8Array(100_000).fill(0xff)]
]

/** those that did not come back as they were */
export const changed = (found: ReadonlyArray<unknown>): ReadonlyArray<string> =>
  kept.flatMap(([name, value], i) => (isSame(found[i], Option.some(value)) ? [] : [name]))

const names = kept.map(([name]) => name)

export const values: ReadonlyArray<Law> = [
  one(law, "set - comes back equal from get and getMany, and is there", ({ store }) =>
    Effect.gen(function* () {
      for (const [name, value] of kept) yield* store.set(name, value, minute)
      yield* is(changed(yield* Effect.forEach(names, (name) => store.get(name))), [], "values that get changed")
      yield* is(changed(yield* store.getMany(names)), [], "values that getMany changed")
      const absent = yield* Effect.filter(names, (name) => store.has(name), { negate: true })
      yield* is(absent, [], "values that has does not see")
    })
  ),

  one(law, "loaded - is loaded once, and hit from then on", (process) => {
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

  one(law, "setIfAbsent - what stands for nothing is something", ({ store }) =>
    Effect.gen(function* () {
      for (const [name, value] of kept) {
        yield* is(yield* attempt(store.setIfAbsent(name, value, minute)), true, `setIfAbsent of ${name}`)
        yield* is(yield* attempt(store.setIfAbsent(name, "another", minute)), false, `setIfAbsent above ${name}`)
      }
      yield* is(changed(yield* store.getMany(names)), [], "values that setIfAbsent changed")
    })
  ),

  quiet(
    one(law, "no lossless form - is delivered, and never comes back as something else", (process) => {
      const make = () => ({ call: () => 1 })
      const find = Cached.ttl(() => Effect.sync(make), { key: "k", ...minute })
      return Effect.gen(function* () {
        yield* process.store.set("k2", "before", minute)
        for (let i = 0; i < 3; i++) {
          const found = yield* find()
          yield* is(typeof found.call, "function", "what a read gave for an object with a function")
          yield* settled(process)
        }
        yield* process.store.set("k2", make(), minute)
        const after = Option.getOrUndefined(yield* process.store.get<{ call?: unknown }>("k2"))
        yield* is(
          after === undefined || typeof after.call === "function",
          true,
          "whether what was set took the place of what stood there"
        )
      })
    })
  )
]
