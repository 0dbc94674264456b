import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { Cached, CacheStore } from "effect-cached"
import { eventually, isDone, pausingAt, settled } from "../laws/support.js"
import * as Shelf from "../support/shelf.js"

const minute = { ttl: "1 minute" } as const
const tagged = { ...minute, tags: ["t"] } as const

const find = Cached.ttl((id: string) => Effect.succeed(`loaded ${id}`), { key: "k:{}", ...tagged })

/** Everything that changes what all processes read. */
const verbs: ReadonlyArray<
  readonly [name: string, verb: (store: CacheStore.Service) => Effect.Effect<void, never, CacheStore>]
> = [
  ["invalidate", () => find.invalidate("x")],
  ["clear", () => find.clear],
  ["set", () => find.set("x")("set")],
  ["Cached.invalidateTags", () => Cached.invalidateTags(["t"])],
  ["CacheStore.clear", (store) => store.clear],
  ["CacheStore.tags.invalidate", (store) => store.tags.invalidate(["t"])],
  ["CacheStore.remove", (store) => store.remove("k:x")],
  ["CacheStore.removeMany", (store) => store.removeMany(["k:y", "k:x"])],
  ["CacheStore.set", (store) => store.set("k:x", "set", minute)],
  [
    "CacheStore.setMany",
    (store) =>
      store.setMany(
        [
          ["k:y", "set"],
          ["k:x", "set"]
        ],
        minute
      )
  ],
  ["CacheStore.setIfAbsent", (store) => Effect.ignore(store.setIfAbsent("k:new", "set", minute))]
]

describe("law 8: invalidation wins", () => {
  describe("an interruption at any step - the change counts in every process, or in none", () => {
    for (const [name, verb] of verbs) {
      it.scoped(name, () =>
        Effect.gen(function* () {
          const shelf = new Shelf.Shelf()
          const here = yield* CacheStore.makeBytes(Shelf.backend(shelf))
          const there = yield* CacheStore.makeBytes(Shelf.backend(shelf))
          const inStore = <A, E>(effect: Effect.Effect<A, E, CacheStore>, store: CacheStore.Service) =>
            Effect.provideService(effect, CacheStore, store)
          const keys = ["k:x", "k:y", "k:new"]
          const seen = (store: CacheStore.Service) =>
            Effect.map(store.getMany<string>(keys), (found) => found.map(Option.getOrUndefined).join())
          const outcomes = new Set<string>()
          let at = 0
          for (let paused = true; paused; at++) {
            yield* there.remove("k:new")
            yield* inStore(find.set("x")("old"), there)
            yield* inStore(find.set("y")("old"), there)
            const before = yield* seen(here)
            const pause = pausingAt(at)
            const fiber = yield* Effect.fork(Effect.withScheduler(inStore(verb(here), here), pause.scheduler))
            yield* eventually(() => pause.paused() || isDone(fiber), `step ${at} was reached`)
            paused = pause.paused()
            const leaving = yield* Effect.fork(Fiber.interrupt(fiber))
            yield* pause.go
            yield* Fiber.join(leaving)
            yield* settled
            assert.strictEqual(yield* seen(here), yield* seen(there), `here and there, after step ${at}`)
            outcomes.add((yield* seen(here)) === before ? "none" : "all")
          }
          assert.isAbove(at, 3)
          assert.isTrue(outcomes.has("all"))
        })
      )
    }
  })
})
