/**
 * The services and FiberRefs that `Cached.capture` and the background loaders take once, for all later loads. They
 * replace those of the reader entirely: a load that saw a service of one reader, such as its transaction, would put
 * what that reader sees into everybody's cache.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type { Captured } from "../definition.js"
import { modeKey } from "../mode.js"
import { currentFlight } from "./flight.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** `any`, because a FiberRef is invariant. */
type AnyFiberRef = FiberRef.FiberRef<any>

type Locals = Map<
  AnyFiberRef,
  readonly [readonly [FiberId.Single, unknown], ...Array<readonly [FiberId.Single, unknown]>]
>

/** Takes the services and FiberRefs of a fiber. Span, Scope and mode belong to a moment and are not taken. */
export const captureOf = (fiber: AnyFiber): Captured => {
  const services = new Map(fiber.currentContext.unsafeMap)
  for (const key of [Scope.Scope.key, Tracer.ParentSpan.key, modeKey]) services.delete(key)
  return { context: Context.unsafeMake(services), refs: FiberRefs.forkAs(fiber.getFiberRefs(), fiber.id()) }
}

/** The FiberRefs that say how and where a fiber runs, not what its program uses. */
export const ownRefs = (): ReadonlyArray<AnyFiberRef> => [
  FiberRef.currentContext,
  FiberRef.currentScheduler,
  FiberRef.currentSupervisor,
  FiberRef.interruptedCause,
  currentFlight
]

/** The FiberRefs `refs` for a fiber that has `current`. */
export const refsFor = (refs: FiberRefs.FiberRefs, current: FiberRefs.FiberRefs): FiberRefs.FiberRefs => {
  const locals: Locals = new Map(refs.locals as Locals)
  for (const ref of ownRefs()) {
    const frames = (current.locals as Locals).get(ref)
    if (frames === undefined) locals.delete(ref)
    else locals.set(ref, frames)
  }
  return FiberRefs.unsafeMake(locals)
}

/** Adds the span and the mode of a reader to captured services. A load has a Scope of its own. */
export const addMoment = (services: Map<string, unknown>, reader: Context.Context<unknown>): void => {
  for (const key of [Tracer.ParentSpan.key, modeKey]) {
    const service = reader.unsafeMap.get(key)
    if (service !== undefined) services.set(key, service)
  }
}

/** Runs a lookup in the fiber of its reader, with the captured services and FiberRefs. */
export const runCaptured = (
  lookup: Effect.Effect<unknown, unknown, unknown>,
  captured: Captured
): Effect.Effect<unknown, unknown, unknown> => {
  const context = (reader: Context.Context<unknown>): Context.Context<unknown> => {
    const services = new Map(captured.context.unsafeMap)
    addMoment(services, reader)
    return Context.unsafeMake(services)
  }
  return Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.getFiberRefs, (before) =>
      Effect.zipRight(
        Effect.updateFiberRefs((_, now) => refsFor(captured.refs, now)),
        Effect.ensuring(
          Effect.mapInputContext(restore(lookup), context),
          Effect.updateFiberRefs((_, now) => refsFor(before, now))
        )
      )
    )
  )
}
