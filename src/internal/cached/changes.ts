/**
 * What the members of a cached effect or function change, and how that fails.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { CacheStoreError } from "../../CacheError.js"
import type { Entry } from "../../Entry.js"
import type { Definition } from "../engine/definition.js"
import type { Engine } from "../engine/engine.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** Sets an entry or, without one, removes the key, as the user has asked for. */
export const startChange = (
  engine: Engine,
  def: Definition,
  key: string,
  fiber: AnyFiber,
  entry: Entry | undefined
): Effect.Effect<void, CacheStoreError> => {
  if (entry === undefined) engine.telemetry.recordRemoval(def.name)
  else if (def.store !== engine.readPath.identity && def.maxEntries < Number.POSITIVE_INFINITY) {
    engine.readPath.adopt(def)
  }
  return quiet(def, engine.writePath.startWrite(fiber, key, entry, def))
}

/** Ignores the failure of a write, unless the function has `onStoreError: "fail"`. */
export const quiet = (
  def: Definition,
  effect: Effect.Effect<void, CacheStoreError>
): Effect.Effect<void, CacheStoreError> => (def.strict ? effect : Effect.ignore(effect))
