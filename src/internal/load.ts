/**
 * The fiber of a load. It belongs to nobody: it has the first caller's context and FiberRefs, is interruptible even
 * where that caller was not, reports to no supervisor of his, and nothing joins back. Its Scope is its own, closed when
 * it ends.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { currentFlight, type Flight } from "./flight.js"
import { Services } from "./services.js"

type AnyFiber = Fiber.RuntimeFiber<any, any>
type Frames = readonly [readonly [FiberId.Single, any], ...Array<readonly [FiberId.Single, any]>]

/** a Scope that costs nothing until something is added to it */
class LazyScope implements Scope.Scope {
  readonly [Scope.ScopeTypeId]: Scope.ScopeTypeId = Scope.ScopeTypeId
  readonly strategy = ExecutionStrategy.sequential
  private inner: Scope.CloseableScope | undefined = undefined
  private closed: Exit.Exit<unknown, unknown> | undefined = undefined

  private get made(): Effect.Effect<Scope.CloseableScope> {
    return Effect.flatMap(Scope.make(), (scope) => {
      // others may have come here at the same time: the first one's counts
      if (this.inner !== undefined) return Effect.succeed(this.inner)
      this.inner = scope
      // what is added to a Scope that is closed is closed at once
      return this.closed === undefined ? Effect.succeed(scope) : Effect.as(Scope.close(scope, this.closed), scope)
    })
  }
  addFinalizer(finalizer: Scope.Scope.Finalizer): Effect.Effect<void> {
    return Effect.flatMap(this.made, (scope) => Scope.addFinalizerExit(scope, finalizer))
  }
  fork(strategy: ExecutionStrategy.ExecutionStrategy): Effect.Effect<Scope.CloseableScope> {
    return Effect.flatMap(this.made, (scope) => Scope.fork(scope, strategy))
  }
  pipe(...args: ReadonlyArray<any>): any
  pipe(): any {
    // biome-ignore lint/complexity/noArguments: how Effect's own classes are made pipeable
    return pipeArguments(this as Pipeable, arguments)
  }

  /** closes it, and ends as the load did, or as its finalizers would not have it */
  close(exit: Exit.Exit<any, any>): Effect.Effect<any, any> {
    this.closed = exit
    return this.inner === undefined
      ? exit
      : Effect.matchCauseEffect(Scope.close(this.inner, exit), {
          onFailure: (cause) => Effect.failCause(exit._tag === "Failure" ? Cause.sequential(exit.cause, cause) : cause),
          onSuccess: () => exit
        })
  }
}

const nativeTracer = /*#__PURE__*/ Context.get(DefaultServices.liveServices, Tracer.Tracer)

/**
 * The span of a load: a child of the reader's span, or linked to it where the load outlives the read. Without a parent
 * and with the built-in tracer nobody could ever see it, and it is not made.
 */
const spanOf = (fiber: AnyFiber, flight: Flight): Tracer.Span | undefined => {
  const tracer = fiber.currentTracer
  const parent = fiber.currentSpan
  if ((parent === undefined && tracer === nativeTracer) || !fiber.getFiberRef(FiberRef.currentTracerEnabled)) {
    return undefined
  }
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
  return span
}

/** what a load inherits of its reader's FiberRefs */
const refsOf = (fiber: AnyFiber, flight: Flight, id: FiberId.Runtime, context: Context.Context<any>) => {
  // forking makes a new Map, which may be changed in place
  const refs = FiberRefs.forkAs(fiber.getFiberRefs(), id)
  const locals = refs.locals as Map<FiberRef.FiberRef<any>, Frames>
  locals.set(FiberRef.currentContext, [[id, context]])
  locals.set(currentFlight, [[id, flight]])
  locals.delete(FiberRef.currentSupervisor)
  // what `runSync` left behind is driven by nobody once it has returned
  if (flight.kind === "refresh" && fiber.currentScheduler instanceof Scheduler.SyncScheduler) {
    locals.delete(FiberRef.currentScheduler)
  }
  // one frame per ref is enough, and a frame per nesting level would cost n² memory in n nested loads
  locals.forEach((frames, ref) => {
    if (frames.length > 1) locals.set(ref, [frames[0]])
  })
  return refs
}

/** the refs of a load are made once, when its fiber has an id: what its runtime has would only be copied */
const noRefs = /*#__PURE__*/ FiberRefs.empty()

/** the lookup alone is interruptible, whatever the caller was: that is what lets its Scope close after an interruption */
const flags = /*#__PURE__*/ RuntimeFlags.disable(
  /*#__PURE__*/ RuntimeFlags.disable(Runtime.defaultRuntimeFlags, RuntimeFlags.Interruption),
  RuntimeFlags.WindDown
)

/** how deep loads begun on the spot may nest before they go through the scheduler; mutable by design */
let depth = 0
const maxDepth = 16

/**
 * Starts the load of `flight`. `done` is called once, when the lookup and its Scope have ended: before this returns, for
 * a lookup that never suspends.
 */
export const start = (fiber: AnyFiber, flight: Flight, done: (exit: Exit.Exit<any, any>) => void): void => {
  const { def } = flight
  const services = new Services(fiber.currentContext.unsafeMap)
  if (def.env !== undefined) for (const [key, service] of def.env.unsafeMap) services.set(key, service)
  const scope = new LazyScope()
  services.set(Scope.Scope.key, scope)
  const span = spanOf(fiber, flight)
  if (span !== undefined) services.set(Tracer.ParentSpan.key, span)
  else if (flight.kind === "refresh") services.delete(Tracer.ParentSpan.key)
  const context = Context.unsafeMake<any>(services)

  const begin = Effect.suspend(() => {
    flight.phase = "loading"
    return def.lookup(...flight.args)
  })
  // A refresh never delays its read, and forced callers of one turn share one load: both begin in the next.
  const immediate = flight.kind === "plain" && depth < maxDepth
  depth++
  try {
    flight.fiber = Runtime.runFork(
      Runtime.make<any>({ context, runtimeFlags: flags, fiberRefs: noRefs }),
      Effect.matchCauseEffect(Effect.interruptible(begin), {
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
