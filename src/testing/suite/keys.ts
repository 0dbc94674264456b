/** Keys: every text is one, and no two are the same. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Cached from "../../Cached.js"
import { attempt, counting, is, type Law, one, settled } from "./bench.js"

const law = "keys: every text is one, and no two are the same"

const minute = { ttl: "1 minute" } as const

/** each in a way different from the one before, or dangerous in some medium */
export const hostile: ReadonlyArray<string> = [
  "",
  " ",
  "a",
  "A",
  "a ",
  "a.",
  "ä",
  "a\u0308",
  "a:b",
  "a/b",
  "a\\b",
  "a%2Fb",
  "a%",
  "a\nb",
  "a\u0000",
  "a\u0000b",
  "\ud83d\ude00",
  "\ud83d",
  "\ude00",
  "\ufffd",
  "../../etc/passwd",
  "..",
  ".",
  "/",
  "CON",
  "con",
  "NUL.txt",
  "aux.",
  "*",
  "a*",
  "?",
  "[a]",
  "{a}",
  "'; DROP TABLE entries; --",
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "!",
  "!{marks}:head",
  "k#v2",
  "~",
  "-",
  "0",
  "00"
]

const endings = ["a", "b"]
const long: ReadonlyArray<string> = [250, 1_024, 10_000, 1_000_000].flatMap((length) =>
  endings.map((end) => "x".repeat(length - 1) + end)
)

const name = (key: string): string => (key.length <= 40 ? JSON.stringify(key) : `${key.length} characters`)

/** those under which not their own value stands */
export const mixed = (keys: ReadonlyArray<string>, found: ReadonlyArray<unknown>): ReadonlyArray<string> =>
  keys.flatMap((key, i) => {
    const each = found[i] as Option.Option<unknown> | undefined
    return each !== undefined && Option.isSome(each) && each.value === i ? [] : [name(key)]
  })

export const entries = (keys: ReadonlyArray<string>) => keys.map((key, i) => [key, i] as const)

export const keys: ReadonlyArray<Law> = [
  ...(
    [
      ["hostile", hostile],
      ["long", long]
    ] as const
  ).map(([kind, all]) =>
    one(law, `${kind} - each has an entry of its own`, ({ store }) =>
      Effect.gen(function* () {
        for (const [key, i] of entries(all)) yield* store.set(key, i, minute)
        yield* is(
          mixed(all, yield* Effect.forEach(all, (key) => store.get(key))),
          [],
          "keys under which get has not their own value"
        )
        yield* store.clear
        yield* store.setMany(entries(all), minute)
        yield* is(mixed(all, yield* store.getMany(all)), [], "keys under which getMany has not their own value")
      })
    )
  ),

  one(law, "hostile - removing some leaves the others", ({ store }) =>
    Effect.gen(function* () {
      for (const removed of [0, 1]) {
        yield* store.setMany(entries(hostile), minute)
        yield* store.removeMany(hostile.filter((_, i) => i % 2 === removed))
        const held = (yield* store.getMany(hostile)).map(Option.isSome)
        const wrong = hostile.filter((_, i) => held[i] === (i % 2 === removed))
        yield* is(wrong.map(name), [], "keys that are there and should not be, or the other way round")
      }
    })
  ),

  one(law, "hostile - setIfAbsent sees its own key and no other", ({ store }) =>
    Effect.gen(function* () {
      for (const [key, i] of entries(hostile)) {
        const isNew = yield* attempt(store.setIfAbsent(key, i, minute))
        yield* is(isNew, true, `setIfAbsent of ${name(key)}`)
      }
      yield* is(mixed(hostile, yield* store.getMany(hostile)), [], "keys under which not their own value stands")
    })
  ),

  one(law, "hostile - as an argument of a function each is loaded once", (process) => {
    const { calls, lookup } = counting((_, text: string) => Effect.succeed(`value of ${text}`))
    const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
    return Effect.gen(function* () {
      for (const round of ["load", "hit"]) {
        for (const text of hostile) yield* is(yield* find(text), `value of ${text}`, `the ${round} of ${name(text)}`)
        yield* settled(process)
      }
      yield* is(calls.length, hostile.length, "loads")
    })
  })
]
