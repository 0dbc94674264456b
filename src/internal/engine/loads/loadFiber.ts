/**
 * The fiber of a load. It belongs to nobody: it has the first caller's context and FiberRefs, is interruptible even
 * where that caller was not, reports to no supervisor of his, and nothing joins back. Its Scope is its own, closed when
 * it ends.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as Scheduler from "effect/Scheduler"
import * as Tracer from "effect/Tracer"
import type { Definition } from "../definition.js"
import { isTraced, keyHash } from "../tracing.js"
import { currentFlight, Flight } from "./flight.js"
import { LoadScope, LoadServices } from "./loadContext.js"

type AnyFiber = Fiber.RuntimeFiber<any, any>
type Frames = readonly [readonly [FiberId.Single, any], ...Array<readonly [FiberId.Single, any]>]

/**
 * The span of a load: a child of the reader's span, or linked to it where the load outlives the read.
 */
const spanOf = (fiber: AnyFiber, flight: Flight): Tracer.Span | undefined => {
  if (!isTraced(fiber)) return undefined
  const tracer = fiber.currentTracer
  const parent = fiber.currentSpan
  const refresh = flight.kind === "refresh"
  const span = tracer.span(
    refresh ? "Cached.refresh" : "Cached.load",
    refresh || parent === undefined ? Option.none() : Option.some(parent),
    fiber.currentContext,
    refresh && parent !== undefined ? [{ _tag: "SpanLink", span: parent, attributes: {} }] : [],
    flight.clock.unsafeCurrentTimeNanos(),
    "internal"
  )
  HashMap.forEach(fiber.getFiberRef(FiberRef.currentTracerSpanAnnotations), (value, key) => span.attribute(key, value))
  span.attribute("cache.name", flight.def.name)
  span.attribute("cache.outcome", refresh ? "stale" : "miss")
  span.attribute("cache.key_hash", keyHash(flight.key))
  return span
}

/** what a load inherits of its reader's FiberRefs */
const refsOf = (fiber: AnyFiber, flight: Flight, id: FiberId.Runtime, context: Context.Context<any>) => {
  // forking makes a new Map, which may be changed in place
  const refs = FiberRefs.forkAs(fiber.getFiberRefs(), id)
  const locals = refs.locals as Map<FiberRef.FiberRef<any>, Frames>
  const nested = locals.has(currentFlight)
  locals.set(FiberRef.currentContext, [[id, context]])
  locals.set(currentFlight, [[id, flight]])
  locals.delete(FiberRef.currentSupervisor)
  // a refresh never delays its read, and `runSync` would see it to its end before it answers
  if (flight.kind === "refresh" && fiber.currentScheduler instanceof Scheduler.SyncScheduler) {
    locals.delete(FiberRef.currentScheduler)
  }
  // one frame per ref is enough, and a frame per nesting level would cost n² memory in n nested loads
  if (nested) {
    locals.forEach((frames, ref) => {
      if (frames.length > 1) locals.set(ref, [frames[0]])
    })
  }
  return refs
}

/** the refs of a load are made once, when its fiber has an id: what its runtime has would only be copied */
const noRefs = /*#__PURE__*/ FiberRefs.empty()

/** the lookup alone is interruptible, whatever the caller was: that is what lets its Scope close after an interruption */
const flags = /*#__PURE__*/ RuntimeFlags.disable(
  /*#__PURE__*/ RuntimeFlags.disable(Runtime.defaultRuntimeFlags, RuntimeFlags.Interruption),
  RuntimeFlags.WindDown
)

/**
 * One of each kind of object that a load is made of, kept for ever. When a collection finds none of a kind alive, V8
 * forgets its shape, and with it all optimized code that knew it: a process that has nothing to load for a while would
 * learn anew what a load is each time.
 */
export const shapes: ReadonlyArray<unknown> = /*#__PURE__*/ (() => {
  const scope = new LoadScope()
  const services = new LoadServices(new Map(), scope)
  return [
    scope,
    services,
    new Flight({}, "", { retryAfter: 0 } as Definition, [], "plain", 0.5, undefined as never, 0.5, 0)
  ]
})()

/** how deep loads begun on the spot may nest before they go through the scheduler; mutable by design */
let depth = 0
const maxDepth = 16

/**
 * Starts the load of `flight`. `done` is called once, when the lookup and its Scope have ended: before this returns, for
 * a lookup that never suspends.
 */
export const start = (fiber: AnyFiber, flight: Flight, done: (exit: Exit.Exit<any, any>) => void): void => {
  const { def } = flight
  const scope = new LoadScope()
  const services = new LoadServices(fiber.currentContext.unsafeMap, scope)
  if (def.env !== undefined) for (const [key, service] of def.env.unsafeMap) services.set(key, service)
  const span = spanOf(fiber, flight)
  if (span !== undefined) services.set(Tracer.ParentSpan.key, span)
  else if (flight.kind === "refresh") services.delete(Tracer.ParentSpan.key)
  const context = Context.unsafeMake<any>(services)

  // A refresh never delays its read, and forced callers of one turn share one load: both begin in the next.
  const immediate = flight.kind === "plain" && depth < maxDepth
  depth++
  try {
    flight.fiber = Runtime.runFork(
      Runtime.make<any>({ context, runtimeFlags: flags, fiberRefs: noRefs }),
      Effect.matchCauseEffect(Effect.interruptible(flight.begin), {
        onFailure: (cause) => scope.close(Exit.failCause(cause)),
        onSuccess: (value) => scope.close(Exit.succeed(value))
      }),
      { immediate, updateRefs: (_, id) => refsOf(fiber, flight, id, context) }
    )
  } finally {
    depth--
  }
  const finish = (exit: Exit.Exit<any, any>) => {
    if (span !== undefined) span.end(flight.clock.unsafeCurrentTimeNanos(), exit)
    done(exit)
  }
  const exit = flight.fiber.unsafePoll()
  if (exit !== null) finish(exit)
  else flight.fiber.addObserver(finish)
}
