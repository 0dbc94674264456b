/** Law 12: bytes that are no entry are a miss, and are written over. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Cached from "../../Cached.js"
import {
  attempt,
  becomes,
  broken,
  counting,
  is,
  type Law,
  type LawBroken,
  type Place,
  type Process,
  quiet,
  settled,
  two
} from "./bench.js"

const minute = { ttl: "1 minute" } as const

/** two processes, so that what the first keeps in its memory does not hide what became of the bytes */
const damaged = (
  name: string,
  prove: (
    corrupt: (key: string) => Effect.Effect<void>,
    a: Process,
    b: Process,
    place: Place
  ) => Effect.Effect<void, LawBroken, Scope.Scope>
): Law =>
  quiet({
    ...two(name, ["garbage"], (a, b, place) => {
      const { corrupt } = place.medium
      return corrupt === undefined
        ? broken("the medium has no `corrupt`: give it one, or say why not in `without.garbage`")
        : prove((key) => Effect.orDie(corrupt(key)), a, b, place)
    }),
    law: "law 12: garbage heals"
  })

export const garbage: ReadonlyArray<Law> = [
  damaged("a load - takes the place of what cannot be read, and it is counted", (corrupt, a, b, place) => {
    const { calls, lookup } = counting((call) => Effect.succeed(call))
    const cached = Cached.ttl(lookup(), { key: "k", ...minute })
    return Effect.gen(function* () {
      yield* a.on(cached)
      yield* settled(a)
      yield* corrupt("k")
      yield* is(yield* b.on(cached), 2, "the read that meets it")
      yield* is((yield* b.store.stats).decodeFailures > 0, true, "whether it was counted")
      yield* settled(b)
      const third = yield* place.open
      yield* becomes(third.on(cached.peek), Option.some(2), "peek, in a third process", place.within)
      yield* is([yield* third.on(cached), calls.length], [2, 2], "value and loads, in a third process")
    })
  }),

  damaged("get and getMany - it is absent, the others are there", (corrupt, a, b) =>
    Effect.gen(function* () {
      for (const key of ["x", "y", "z"]) yield* a.store.set(key, key, minute)
      yield* corrupt("y")
      const expected = [Option.some("x"), Option.none(), Option.some("z")]
      yield* is(yield* b.store.getMany(["x", "y", "z"]), expected, "getMany")
      yield* is([yield* b.store.get("y"), yield* b.store.has("y")], [Option.none(), false], "get and has")
    })
  ),

  damaged("set, remove and setIfAbsent - work above it", (corrupt, a, b) =>
    Effect.gen(function* () {
      for (const key of ["x", "y", "z"]) {
        yield* a.store.set(key, "before", minute)
        yield* corrupt(key)
      }
      yield* b.store.set("x", "after", minute)
      yield* b.store.remove("y")
      yield* is(yield* attempt(b.store.setIfAbsent("z", "after", minute)), true, "setIfAbsent")
      const expected = [Option.some("after"), Option.none(), Option.some("after")]
      yield* is(yield* b.store.getMany(["x", "y", "z"]), expected, "getMany")
    })
  )
]
