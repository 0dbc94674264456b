/**
 * The sweep of a store: it visits every entry once, and frees those that no read will return again.
 *
 * Invalidation by marks leaves the entries where they are (law 16: no scans). An entry with an end is freed by its
 * backend then. One without an end is freed by this, when the user asks for it.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Backend from "../../Backend.js"
import { Entry, lifeEnd } from "../../Entry.js"
import { toStoreError } from "../storeError.js"
import { nowOf } from "../time.js"
import type { Engine } from "./engine.js"
import { isHeld } from "./peers/localTier.js"

export interface SweepResult {
  readonly seen: number
  readonly removed: number
}

export const judgeOf =
  (
    { backend, marks, wallClock }: Pick<Engine, "backend" | "marks" | "wallClock">,
    now: () => number
  ): Backend.Sweep["judge"] =>
  (entry) => {
    if (entry instanceof Entry) {
      wallClock.adjust(entry)
      // an expiry changes its times
      if (!backend.isOwnerless) marks.admits(entry)
    }
    const time = now()
    if (entry.expiresAt <= time) return "expired"
    if (entry instanceof Entry && (lifeEnd(entry) <= time || !isHeld(entry, time))) return "expired"
    if (marks.isCleared(entry.stamp)) return "explicit"
    // an entry that every function accepts has no owner whose mark could concern it
    const { owner = "", stamp, tags } = entry
    if (tags === undefined || backend.isOwnerless) return undefined
    return marks.admits({ owner, stamp, tags }) ? undefined : "explicit"
  }

/**
 * Sweeps the backend in a fiber of the store, on its live clock. Entries expire by the clock of the caller. A part of the
 * backend that cannot be swept is reported, and does not fail the caller (law 6: the store may fail, the caller may not).
 */
export const sweepOf = (engine: Engine): Effect.Effect<SweepResult> =>
  Effect.withFiberRuntime((caller) => {
    const { backend, invalidation, marks, runtime, telemetry, writeQueue } = engine
    if (engine.closed) return telemetry.ended
    const { sweep } = backend
    if (sweep === undefined) {
      return Effect.sync(() => {
        telemetry.recordSweepFailure("", undefined)
        return { seen: 0, removed: 0 }
      })
    }
    let seen = 0
    let removed = 0
    const swept = Effect.suspend(() =>
      sweep({
        judge: judgeOf(engine, () => nowOf(caller)),
        needsNames: marks.hasNames,
        tombstone: writeQueue.tombstoneFor(undefined),
        count: (visited, freed) => {
          seen += visited
          removed += freed
          telemetry.totals.swept(freed)
        },
        failed: (tier, error) => telemetry.recordSweepFailure(tier, error)
      })
    )
    const reported = Effect.catchAllCause(Effect.zipRight(invalidation.fetchMarks, swept), (cause) =>
      Effect.sync(() => telemetry.recordSweepFailure("", toStoreError(cause, backend.name, "sweep")))
    )
    return Effect.async<SweepResult>((resume) => {
      const fiber = runtime.background(reported)
      engine.supervise(fiber)
      fiber.addObserver((exit) => {
        resume(exit._tag === "Success" ? Effect.succeed({ seen, removed }) : Effect.interrupt)
      })
      return Fiber.interrupt(fiber)
    })
  })
