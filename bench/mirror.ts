/**
 * What does a read of the mirror of `Cached.bgRead` cost?
 */
import { Effect, ManagedRuntime, Option, Scope } from "effect"
import { Cached, type CacheStore, MemoryCache } from "effect-cached"
import { type Contender, check, report, type Section, section } from "./support/harness.js"

const reading = (title: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const runtime = ManagedRuntime.make(MemoryCache.layer())
    yield* Effect.addFinalizer(() => Effect.promise(() => runtime.dispose()))
    const inside = <A>(effect: Effect.Effect<A, never, CacheStore>) => Effect.promise(() => runtime.runPromise(effect))
    const cached = Cached.ttl(Effect.succeed(42), { key: "k", ttl: "1 hour" })
    yield* inside(cached)
    const reader = yield* inside(Scope.extend(Cached.bgRead<number>({ key: "k" }), yield* Effect.scope))
    yield* check("the mirror", Option.getOrUndefined(yield* reader), 42)
    const map = new Map([["k", 42]])
    const operations = 100_000
    const contender = (name: string, effect: Effect.Effect<unknown, never, CacheStore>): Contender => ({
      name,
      isOther: name === "Effect.succeed",
      operations,
      run: Effect.succeed(
        inside(
          Effect.gen(function* () {
            for (let i = 0; i < operations; i++) yield* effect
          })
        )
      )
    })
    const floor = "floor: suspend(() => succeed(map.get(k)))"
    yield* report({
      title,
      floor,
      bounds: { "Cached.bgRead": 1 },
      clock: "cpu",
      rounds: 21,
      contenders: [
        contender(
          floor,
          Effect.suspend(() => Effect.succeed(map.get("k")))
        ),
        contender("Cached.bgRead", reader),
        contender("Effect.succeed", Effect.succeed(42)),
        contender("Cached.ttl, a hit in memory", cached)
      ]
    })
  })

export const mirror: ReadonlyArray<Section> = [section("read of a mirror", reading)]
