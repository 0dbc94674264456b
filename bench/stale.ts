/**
 * What does a stale hit cost while its refresh runs?
 */
import { Duration, Effect } from "effect"
import { Cached } from "effect-cached"
import { type Group, groupSection, type Section } from "./support/harness.js"
import { contender, one } from "./support/memory.js"

const staleHit = (): Omit<Group, "title"> => {
  const map = new Map<string, number>([["answer", 42]])
  return {
    floor: "floor: suspend(() => succeed(map.get(k)))",
    bounds: { "Cached.swr": 1.6 },
    clock: "cpu",
    rounds: 21,
    contenders: [
      contender(
        "floor: suspend(() => succeed(map.get(k)))",
        Effect.sync(() => {
          const floor = Effect.suspend(() => Effect.succeed(map.get("answer")))
          return () => floor
        })
      ),
      contender(
        "Cached.swr",
        Effect.gen(function* () {
          let first = true
          const cached = Cached.swr(
            Effect.suspend(() => {
              if (!first) return Effect.never
              first = false
              return Effect.succeed(42)
            }),
            { key: "stale", ttl: 1, stale: "1 hour", flightTimeout: Duration.infinity }
          )
          yield* one(cached)
          yield* Effect.sleep(5)
          return () => cached
        })
      )
    ]
  }
}

export const stale: ReadonlyArray<Section> = [groupSection("stale hit, its refresh under way", staleHit)]
