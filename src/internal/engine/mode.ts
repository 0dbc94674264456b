/**
 * How the reads of an effect go about: `Cached.reload` and `Cached.bypass`. It stands in the context, where every read
 * looks anyway: a FiberRef would cost each hit more than its own look-up does.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { globalValue } from "effect/GlobalValue"

export type Mode = "reload" | "bypass"

export const modeKey = "effect-cached/Mode"

/** until an effect has a mode, no read has to look for one; mutable by design, one for all copies of this module */
const modes = /*#__PURE__*/ globalValue("effect-cached/modes", () => ({ used: false }))

export const modeOf = (fiber: Fiber.RuntimeFiber<any, any>): Mode | undefined =>
  modes.used ? fiber.currentContext.unsafeMap.get(modeKey) : undefined

export const withMode = <A, E, R>(self: Effect.Effect<A, E, R>, mode: Mode): Effect.Effect<A, E, R> =>
  Effect.mapInputContext(self, (context: Context.Context<R>) => {
    modes.used = true
    return Context.unsafeMake<R>(new Map(context.unsafeMap).set(modeKey, mode))
  })
