/**
 * A write where nothing alive stands: the one verb whose answer is the medium's to give.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Backend from "../../Backend.js"
import { CacheStoreError } from "../../CacheError.js"
import * as Entry from "../../Entry.js"
import { nowOf } from "../time.js"
import type { Engine } from "./engine.js"
import { toStoreError } from "./storeRuntime.js"

/** whether it was written; fails where the medium, or the value, does not let it */
export const putIfAbsent = (
  engine: Engine,
  fiber: Fiber.RuntimeFiber<any, any>,
  key: string,
  entry: Entry.Entry,
  schema: Backend.AnySchema | undefined
): Effect.Effect<boolean, CacheStoreError> => {
  if (engine.closed) return Effect.interrupt
  const { backend, telemetry } = engine
  const now = nowOf(fiber)
  const op = engine.writeQueue.newest(key)
  if (op !== undefined && op.entry === undefined) {
    return Effect.zipRight(
      Deferred.await(op.done),
      Effect.suspend(() => putIfAbsent(engine, fiber, key, entry, schema))
    )
  }
  return Effect.flatMap(engine.startInspect(key, { schema }, now), (seen) => {
    const found = typeof seen === "number" ? undefined : seen
    if (found instanceof Entry.Entry && engine.ownership.alive(found, undefined, now) !== undefined)
      return Effect.succeed(false)
    const write = { key, entry, lifetime: entry.expiresAt - now, authoritative: true, schema }
    return Effect.async((resume) => {
      const ask = () => backend.setIfAbsent(write, { now, replacing: found?.stamp })
      engine.runtime.run(ask, (exit) => {
        if (exit._tag === "Failure") {
          const error = toStoreError(exit.cause, backend.name, "setIfAbsent")
          telemetry.recordFailure("write", error)
          return resume(Effect.fail(error))
        }
        telemetry.recordSuccess("write")
        const written = exit.value
        if (written._tag === "Failed") {
          telemetry.recordPartialFailure(written.error)
          return resume(Effect.fail(written.error))
        }
        if (written._tag === "Refused") {
          telemetry.recordRefused(key, entry.owner, written.error.message)
          const { error: cause } = written
          return resume(
            Effect.fail(new CacheStoreError({ reason: "Rejected", store: backend.name, method: "setIfAbsent", cause }))
          )
        }
        if (written._tag === "Written") engine.wroteIfAbsent(key, written.stamp)
        resume(Effect.succeed(written._tag === "Written"))
      })
    })
  })
}
