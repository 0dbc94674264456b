/**
 * How the reads of an effect go about: `Cached.reload` and `Cached.bypass`. It stands in the context, where every read
 * looks anyway: a FiberRef would cost each hit more than its own look-up does.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

export type Mode = "reload" | "bypass"

export const modeKey = "effect-cached/Mode"

export const modeOf = (fiber: Fiber.RuntimeFiber<any, any>): Mode | undefined =>
  fiber.currentContext.unsafeMap.get(modeKey)

export const withMode = <A, E, R>(self: Effect.Effect<A, E, R>, mode: Mode): Effect.Effect<A, E, R> =>
  Effect.mapInputContext(self, (context: Context.Context<R>) =>
    Context.unsafeMake<R>(new Map(context.unsafeMap).set(modeKey, mode))
  )
