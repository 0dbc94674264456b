/**
 * The fiber of a load (law 4: a load belongs to nobody). It inherits the context and the FiberRefs of the first caller,
 * or those that were captured, but not the caller's supervisor, and its FiberRefs are not joined back. It is
 * interruptible even if the caller is not. It has its own Scope, which is closed when the load ends.
 */
import type * as Clock from "effect/Clock"
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
import { beginSpan, isTraced, type Traced } from "../tracing.js"
import { addMoment, refsFor } from "./captured.js"
import { currentFlight, Flight, sampleDone } from "./flight.js"
import { LoadScope, LoadServices } from "./loadContext.js"
import type { Waiting } from "./reentry.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>
/** `any`, because a FiberRef is invariant. */
type AnyFiberRef = FiberRef.FiberRef<any>
type Frames = readonly [readonly [FiberId.Single, unknown], ...Array<readonly [FiberId.Single, unknown]>]

/** The reader that starts a load, as far as its span is concerned. The reader may go on before the span begins. */
interface TracedReader {
  readonly tracer: Tracer.Tracer
  readonly parent: Tracer.AnySpan | undefined
  readonly context: Context.Context<never>
  readonly annotations: HashMap.HashMap<string, unknown>
}

const tracedReader = (fiber: AnyFiber): TracedReader | undefined =>
  isTraced(fiber)
    ? {
        tracer: fiber.currentTracer,
        parent: fiber.currentSpan,
        context: fiber.currentContext,
        annotations: fiber.getFiberRef(FiberRef.currentTracerSpanAnnotations)
      }
    : undefined

/** Makes the span of a load: a child of the reader's span or, for a refresh, which outlives the read, linked to it. */
const makeSpan = (
  { annotations, context, parent, tracer }: TracedReader,
  flight: Flight,
  { keyHashes, tierName }: Traced
): Tracer.Span => {
  const refresh = flight.request.kind === "refresh"
  const span = tracer.span(
    refresh ? "Cached.refresh" : "Cached.load",
    refresh || parent === undefined ? Option.none() : Option.some(parent),
    context,
    refresh && parent !== undefined ? [{ _tag: "SpanLink", span: parent, attributes: {} }] : [],
    flight.clock.unsafeCurrentTimeNanos(),
    "internal"
  )
  HashMap.forEach(annotations, (value, key) => span.attribute(key, value))
  span.attribute("cache.name", flight.def.name)
  span.attribute("cache.outcome", refresh ? "stale" : "miss")
  const tier = flight.request.kind === "refresh" ? tierName(flight.request.tier) : undefined
  if (tier !== undefined) span.attribute("cache.tier", tier)
  span.attribute("cache.key_hash", keyHashes.of(flight.key))
  beginSpan(flight, span)
  return span
}

/**
 * Gives the FiberRefs of a load their own context and flight. They are changed in place: `forkAs` made a new Map of them.
 */
export const withOwn = (
  refs: FiberRefs.FiberRefs,
  id: FiberId.Runtime,
  context: Context.Context<unknown>,
  flight: Waiting
): FiberRefs.FiberRefs => {
  const locals = refs.locals as Map<AnyFiberRef, Frames>
  locals.set(FiberRef.currentContext, [[id, context]])
  locals.set(currentFlight, [[id, flight]])
  locals.delete(FiberRef.currentSupervisor)
  return refs
}

/** The FiberRefs of a load: those captured or of its reader, except the context and those not to be inherited. */
const refsOf = (fiber: AnyFiber, flight: Flight, id: FiberId.Runtime, context: Context.Context<unknown>) => {
  const { captured } = flight.def
  const current = fiber.getFiberRefs()
  const refs = FiberRefs.forkAs(captured === undefined ? current : refsFor(captured.refs, current), id)
  const locals = refs.locals as Map<AnyFiberRef, Frames>
  const nested = locals.has(currentFlight)
  withOwn(refs, id, context, flight)
  // a refresh never delays its read, and with this scheduler `runSync` would run the refresh to its end first
  if (flight.request.kind === "refresh" && fiber.currentScheduler instanceof Scheduler.SyncScheduler) {
    locals.delete(FiberRef.currentScheduler)
  }
  // a load needs one frame per ref; a frame per level of nesting would take n² memory for n nested loads
  if (nested) {
    locals.forEach((frames, ref) => {
      if (frames.length > 1) locals.set(ref, [frames[0]])
    })
  }
  return refs
}

/** Empty, because `updateRefs` makes the FiberRefs of a load once its fiber has an id; these would only be copied. */
const noRefs = /*#__PURE__*/ FiberRefs.empty()

/** Only the lookup is interruptible, so that the Scope is closed after an interruption, too. */
const flags = /*#__PURE__*/ RuntimeFlags.disable(
  /*#__PURE__*/ RuntimeFlags.disable(Runtime.defaultRuntimeFlags, RuntimeFlags.Interruption),
  RuntimeFlags.WindDown
)

/**
 * One object of each kind that a load is made of, kept for ever. When a garbage collection finds no object of a kind
 * alive, V8 drops its hidden class, and with it all optimized code that depends on it. A process that loads nothing for
 * a while would then run its next loads in the interpreter.
 */
export const shapes: ReadonlyArray<unknown> = /*#__PURE__*/ (() => {
  const scope = new LoadScope()
  const services = new LoadServices(new Map(), scope)
  const clock = { unsafeCurrentTimeMillis: () => 0.5 } as Clock.Clock
  const def = {} as Definition
  return [
    scope,
    services,
    sampleDone,
    new Flight({}, { def, key: "", args: [], kind: "plain" }, clock, 0.5),
    { def, key: "", args: [], kind: "refresh", known: undefined, looksBelow: false, onEnd: () => {} }
  ]
})()

/**
 * Forks the fiber of a lookup, with a Scope that is closed when the lookup ends. Only the lookup is interruptible.
 * `refs` makes the FiberRefs of the fiber.
 */
export const fork = (
  lookup: Effect.Effect<unknown, unknown, unknown>,
  scope: LoadScope,
  context: Context.Context<unknown>,
  options: { readonly immediate: boolean; readonly refs: (id: FiberId.Runtime) => FiberRefs.FiberRefs }
): Fiber.RuntimeFiber<unknown, unknown> =>
  Runtime.runFork(
    Runtime.make<unknown>({ context, runtimeFlags: flags, fiberRefs: noRefs }),
    Effect.matchCauseEffect(Effect.interruptible(lookup), {
      onFailure: (cause) => scope.close(Exit.failCause(cause)),
      onSuccess: (value) => scope.close(Exit.succeed(value))
    }),
    { immediate: options.immediate, updateRefs: (_, id) => options.refs(id) }
  )

/**
 * How deep the loads that begin at once are nested at present. Deeper ones go through the scheduler. Mutable by design.
 */
let depth = 0
const maxDepth = 16

/**
 * Starts the load of `flight`. `done` is called once, when the lookup and its Scope have ended. For a lookup that never
 * suspends, that is before this function returns.
 */
export const start = (
  fiber: AnyFiber,
  flight: Flight,
  from: Traced,
  done: (exit: Exit.Exit<unknown, unknown>) => void
): void => {
  const { kind } = flight.request
  const { captured } = flight.def
  const scope = new LoadScope()
  const reader = fiber.currentContext as Context.Context<unknown>
  const services = new LoadServices((captured === undefined ? reader : captured.context).unsafeMap, scope)
  if (captured !== undefined) addMoment(services, reader)
  const traced = tracedReader(fiber)
  let span: Tracer.Span | undefined
  const isQueued = flight.phase._tag === "Queued"
  if (traced !== undefined && !isQueued) {
    span = makeSpan(traced, flight, from)
    services.set(Tracer.ParentSpan.key, span)
  } else if (kind === "refresh") services.delete(Tracer.ParentSpan.key)
  const context = Context.unsafeMake<unknown>(services)
  const run = isQueued
    ? Effect.flatMap(flight.turn, () => {
        if (traced === undefined) return flight.run
        span = makeSpan(traced, flight, from)
        return Effect.provideService(flight.run, Tracer.ParentSpan, span)
      })
    : flight.run

  // a refresh must not delay its read, and forced callers of one turn share a load: both begin in the next turn
  const immediate = kind === "plain" && depth < maxDepth
  depth++
  try {
    flight.fiber = fork(run, scope, context, { immediate, refs: (id) => refsOf(fiber, flight, id, context) })
  } finally {
    depth--
  }
  const finish = (exit: Exit.Exit<unknown, unknown>) => {
    if (span !== undefined) span.end(flight.clock.unsafeCurrentTimeNanos(), flight.resultOf(exit))
    done(exit)
  }
  const exit = flight.fiber.unsafePoll()
  if (exit !== null) finish(exit)
  else flight.fiber.addObserver(finish)
}
