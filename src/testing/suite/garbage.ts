/** Law 12 (garbage heals): bytes that are not an entry are a miss, and are overwritten. */
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
  type LawBroken,
  type LawCase,
  type Process,
  quiet,
  type Setup,
  settled,
  two
} from "./harness.js"

const minute = { ttl: "1 minute" } as const

/** A case with damaged bytes. It has two processes, because the memory of the first one may hide the damage. */
const damaged = (
  name: string,
  prove: (
    corrupt: (key: string) => Effect.Effect<void>,
    a: Process,
    b: Process,
    setup: Setup
  ) => Effect.Effect<void, LawBroken, Scope.Scope>
): LawCase =>
  quiet({
    ...two(name, ["garbage"], (a, b, setup) => {
      const { corrupt } = setup.medium
      return corrupt === undefined
        ? broken("`medium` has no `corrupt`: add it, or give a reason in `without.garbage`")
        : prove((key) => Effect.orDie(corrupt(key)), a, b, setup)
    }),
    law: "law 12: garbage heals"
  })

export const garbage: ReadonlyArray<LawCase> = [
  damaged("a load - overwrites bytes that cannot be read, and the failure is counted", (corrupt, a, b, setup) => {
    const { calls, lookup } = counting((call) => Effect.succeed(call))
    const cached = Cached.ttl(lookup(), { key: "k", ...minute })
    return Effect.gen(function* () {
      yield* a.on(cached)
      yield* settled(a)
      yield* corrupt("k")
      yield* is(yield* b.on(cached), 2, "the read of the damaged key")
      yield* is((yield* b.store.stats).decodeFailures > 0, true, "whether the failure was counted")
      yield* settled(b)
      const third = yield* setup.open
      yield* becomes(third.on(cached.peek), Option.some(2), "peek, in a third process", setup.within)
      yield* is([yield* third.on(cached), calls.length], [2, 2], "value and loads, in a third process")
    })
  }),

  damaged("get and getMany - a damaged key is absent, and the others are there", (corrupt, a, b) =>
    Effect.gen(function* () {
      for (const key of ["x", "y", "z"]) yield* a.store.set(key, key, minute)
      yield* corrupt("y")
      const expected = [Option.some("x"), Option.none(), Option.some("z")]
      yield* is(yield* b.store.getMany(["x", "y", "z"]), expected, "getMany")
      yield* is([yield* b.store.get("y"), yield* b.store.has("y")], [Option.none(), false], "get and has")
    })
  ),

  damaged("set, remove and setIfAbsent - work on a damaged key", (corrupt, a, b) =>
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
