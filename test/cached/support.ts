/**
 * Helpers for the tests of background loaders.
 */
import { Effect } from "effect"
import { MemoryCacheLive } from "../../src/index.js"
import { numbered } from "../laws/support.js"

/** Provides a store in memory. */
export const on = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, MemoryCacheLive)

/** A loader whose runs take virtual time. `most` returns how many of them ran at the same time. */
export const lasting = (millis: (call: number) => number) => {
  let running = 0
  let most = 0
  const counted = numbered((call) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        most = Math.max(most, ++running)
      }),
      () => Effect.as(Effect.sleep(millis(call)), call),
      () =>
        Effect.sync(() => {
          running--
        })
    )
  )
  return { ...counted, most: () => most }
}

/** The options of a loader that runs once a minute. */
export const every = { key: "k", interval: "60 seconds" } as const
