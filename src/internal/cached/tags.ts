/**
 * Marks of tags: what `Cached.invalidateTags` and `Cached.expireTags` raise in a store.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { type Engine, EngineId } from "../engine/engine.js"
import { tagMark } from "../markNames.js"

/** Raises the marks of tags in the store of a tag. `any` is the service, whose engine is known by its id. */
export const markTags = <S>(
  tags: Iterable<string>,
  store: Context.Tag<S, any>,
  verb: "raise" | "expire"
): Effect.Effect<void, never, S> => {
  const marks = Array.from(tags, tagMark)
  return Effect.flatMap(store, (service) => Effect.ignore((service[EngineId] as Engine).writePath[verb](marks)))
}
