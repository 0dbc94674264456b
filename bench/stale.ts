/**
 * What does a stale hit cost while its refresh runs?
 */
import { Effect } from "effect"
import { contenders, repeated, result } from "./support/contend.js"
import { report, type Section, section, verify } from "./support/harness.js"
import { contender, n } from "./support/memory.js"

const floor = "floor: suspend(() => succeed(map.get(k)))"

const staleHit = (title: string) =>
  Effect.gen(function* () {
    const map = new Map<string, number>([["answer", 42]])
    /** Whether the values are to be loaded. A refresh never ends. */
    let loads = true
    const rivals = yield* contenders<number>({
      place: "memory",
      isStale: true,
      load: (id) => (loads ? id : new Promise(() => {})),
      idOf: (value) => value,
      has: ({ calls }) => calls.one !== undefined,
      operations: n,
      prepare: ({ cache, loads: begun, rival }, operations) =>
        Effect.gen(function* () {
          const one = cache.calls.one!
          loads = true
          yield* verify("the loaded value", yield* result(cache, one), 7)
          // The library with lifetimes of whole seconds waits longer.
          yield* Effect.sleep(rival.name === "async-cache-dedupe" ? 2_100 : 20)
          loads = false
          for (let i = 0; i < 3; i++) {
            const stale = yield* Effect.disconnect(result(cache, one)).pipe(
              Effect.timeoutTo({ duration: 1_000, onTimeout: () => "none", onSuccess: String })
            )
            yield* verify("the stale value", stale, "7")
            yield* Effect.sleep(5)
          }
          yield* verify("loads, with the refresh", begun(), 2)
        }).pipe(Effect.as(repeated(cache, cache.calls.one!, operations)))
    })
    yield* report({
      title,
      floor,
      bounds: { "Cached.swr": 1.6 },
      clock: "cpu",
      rounds: 21,
      contenders: [
        contender(
          floor,
          Effect.sync(() => {
            const read = Effect.suspend(() => Effect.succeed(map.get("answer")))
            return () => read
          })
        ),
        ...rivals
      ]
    })
  })

export const stale: ReadonlyArray<Section> = [section("stale hit, its refresh under way", staleHit)]
