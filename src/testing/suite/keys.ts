/** Every string is a valid key, and different strings are different keys. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Cached from "../../Cached.js"
import { attempt, counting, is, type LawCase, one, settled } from "./harness.js"

const law = "keys: every string is a key of its own"

const minute = { ttl: "1 minute" } as const

/** Keys that differ only slightly, or that have a special meaning in some backend. */
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

/** The keys that do not have their own value. */
export const mixed = (keys: ReadonlyArray<string>, found: ReadonlyArray<unknown>): ReadonlyArray<string> =>
  keys.flatMap((key, i) => {
    const each = found[i] as Option.Option<unknown> | undefined
    return each !== undefined && Option.isSome(each) && each.value === i ? [] : [name(key)]
  })

export const entries = (keys: ReadonlyArray<string>) => keys.map((key, i) => [key, i] as const)

export const keys: ReadonlyArray<LawCase> = [
  ...(
    [
      ["hostile", hostile],
      ["long", long]
    ] as const
  ).map(([kind, all]) =>
    one(law, `${kind} - each has an entry of its own`, ({ store }) =>
      Effect.gen(function* () {
        for (const [key, i] of entries(all)) yield* store.set(key, i, minute)
        yield* is(mixed(all, yield* Effect.forEach(all, (key) => store.get(key))), [], "keys with a wrong value in get")
        yield* store.clear
        yield* store.setMany(entries(all), minute)
        yield* is(mixed(all, yield* store.getMany(all)), [], "keys with a wrong value in getMany")
      })
    )
  ),

  one(law, "hostile - removing some keys leaves the others", ({ store }) =>
    Effect.gen(function* () {
      for (const removed of [0, 1]) {
        yield* store.setMany(entries(hostile), minute)
        yield* store.removeMany(hostile.filter((_, i) => i % 2 === removed))
        const held = (yield* store.getMany(hostile)).map(Option.isSome)
        const wrong = hostile.filter((_, i) => held[i] === (i % 2 === removed))
        yield* is(wrong.map(name), [], "keys that should have been removed or kept")
      }
    })
  ),

  one(law, "hostile - setIfAbsent sees only its own key", ({ store }) =>
    Effect.gen(function* () {
      for (const [key, i] of entries(hostile)) {
        const isNew = yield* attempt(store.setIfAbsent(key, i, minute))
        yield* is(isNew, true, `setIfAbsent of ${name(key)}`)
      }
      yield* is(mixed(hostile, yield* store.getMany(hostile)), [], "keys with a wrong value")
    })
  ),

  one(law, "hostile - each is loaded once as an argument of a function", (process) => {
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
