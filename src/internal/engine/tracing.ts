/**
 * Spans. A span is made only if something may record it. A span never contains a key, which may be an e-mail address or a
 * token.
 */
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Tracer from "effect/Tracer"
import * as Key from "../../Key.js"

const nativeTracer = /*#__PURE__*/ Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** Whether a span of this fiber would have a parent, or a tracer that exports it. */
export const isTraced = (fiber: Fiber.RuntimeFiber<any, any>): boolean =>
  (fiber.currentSpan !== undefined || fiber.currentTracer !== nativeTracer) &&
  fiber.getFiberRef(FiberRef.currentTracerEnabled)

/** The start of a key's hash: enough to distinguish the keys of one trace, too little to find the key. */
export const keyHash = (key: string): string => Key.hash(key).slice(0, 8)

/** Wraps an operation of the store itself in a span. */
export const verb = <A, E>(
  store: string,
  name: string,
  key: string | undefined,
  effect: Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.withFiberRuntime((fiber) =>
    isTraced(fiber)
      ? Effect.withSpan(effect, `CacheStore.${name}`, {
          captureStackTrace: false,
          attributes: { "cache.name": store, ...(key === undefined ? {} : { "cache.key_hash": keyHash(key) }) }
        })
      : effect
  )
