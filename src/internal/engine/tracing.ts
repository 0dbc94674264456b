/**
 * Spans. None is made that nobody could ever see, and none says a key, which may be an e-mail address or a token.
 */
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Tracer from "effect/Tracer"
import * as Key from "../../Key.js"

const nativeTracer = /*#__PURE__*/ Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** whether a span has a parent, or a tracer that takes it somewhere */
export const isTraced = (fiber: Fiber.RuntimeFiber<any, any>): boolean =>
  (fiber.currentSpan !== undefined || fiber.currentTracer !== nativeTracer) &&
  fiber.getFiberRef(FiberRef.currentTracerEnabled)

/** enough of a key's hash to tell keys of one trace apart, and too little to find out what the key was */
export const keyHash = (key: string): string => Key.hash(key).slice(0, 8)

/** a span around a verb of the store itself */
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
