/**
 * The mode of the reads of an effect: `Cached.reload` and `Cached.bypass`. It is kept in the context, which every read
 * looks into anyway. A FiberRef would cost a hit more than its look-up does.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { globalValue } from "effect/GlobalValue"

export type Mode = "reload" | "bypass"

export const modeKey = "effect-cached/Mode"

/**
 * Whether any effect has had a mode yet. Until then, reads do not look for one. Shared by all copies of this module, and
 * mutable by design.
 */
const modes = /*#__PURE__*/ globalValue("effect-cached/modes", () => ({ used: false }))

export const modeOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Mode | undefined =>
  modes.used ? fiber.currentContext.unsafeMap.get(modeKey) : undefined

export const withMode = <A, E, R>(self: Effect.Effect<A, E, R>, mode: Mode): Effect.Effect<A, E, R> =>
  Effect.mapInputContext(self, (context: Context.Context<R>) => {
    modes.used = true
    return Context.unsafeMake<R>(new Map(context.unsafeMap).set(modeKey, mode))
  })
