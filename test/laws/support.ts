/**
 * What the tests of the laws share: lookups that count, and lookups that wait until they are let through.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { CacheStore } from "../../src/CacheStore.js"
import { awaitUntil } from "../support/live.js"

/** a store to run a suite on; `remote` means real I/O behind it: what it does takes real time, whatever the TestClock says */
export interface StoreUnderTest {
  readonly name: string
  readonly layer: Layer.Layer<CacheStore>
  readonly remote: boolean
  /** a remote medium can be made to answer nothing for a while */
  readonly pause?: Effect.Effect<void> | undefined
  readonly resume?: Effect.Effect<void> | undefined
}

/** a lookup, and the arguments of every call that began */
export interface Counted<Args extends ReadonlyArray<any>, A, E, R> {
  readonly lookup: (...args: Args) => Effect.Effect<A, E, R>
  readonly calls: Array<Args>
}

/**
 * Counts what begins: a call is counted when its effect runs, not when it is made. In the body, `calls.length` is the number
 * of the call, from 1 on.
 */
export const makeLookup = <Args extends ReadonlyArray<any>, A, E = never, R = never>(
  body: (...args: Args) => Effect.Effect<A, E, R>
): Counted<Args, A, E, R> => {
  const calls: Array<Args> = []
  const lookup = (...args: Args) =>
    Effect.suspend(() => {
      calls.push(args)
      return body(...args)
    })
  return { lookup, calls }
}

/** a door: who passes waits until it is open */
export interface Gate {
  readonly pass: Effect.Effect<void>
  readonly open: Effect.Effect<void>
  /** somebody has come to it; waits for that */
  readonly reached: Effect.Effect<void>
  /** how many are inside or through */
  readonly arrivals: () => number
}

export const gate = (): Gate => {
  const door = Effect.runSync(Deferred.make<void>())
  const bell = Effect.runSync(Deferred.make<void>())
  let arrivals = 0
  return {
    pass: Effect.suspend(() => {
      arrivals++
      return Effect.zipRight(Deferred.succeed(bell, undefined), Deferred.await(door))
    }),
    open: Effect.asVoid(Deferred.succeed(door, undefined)),
    reached: Deferred.await(bell),
    arrivals: () => arrivals
  }
}

/** what the store counted so far */
export const stats: Effect.Effect<CacheStore.Stats, never, CacheStore> = Effect.flatMap(
  CacheStore,
  (store) => store.stats
)

/**
 * Waits until the condition holds: a few turns of the scheduler, which is all that a store in memory needs, then on the
 * real clock. The TestClock stands still meanwhile.
 */
export const eventually = <E = never, R = never>(
  condition: (() => boolean) | Effect.Effect<boolean, E, R>,
  message: string
): Effect.Effect<void, E, R> => {
  const holds = Effect.isEffect(condition) ? condition : Effect.sync(condition)
  return Effect.gen(function* () {
    for (let turn = 0; turn < 20; turn++) {
      if (yield* holds) return
      yield* Effect.yieldNow()
    }
    yield* awaitUntil(holds, message)
  })
}

/** waits until `n` calls began */
export const begun = (calls: ReadonlyArray<unknown>, n = 1): Effect.Effect<void> =>
  eventually(() => calls.length >= n, `load number ${n} began`)

/** waits until `n` reads have found nothing and wait for a load, their own or another's */
export const waiting = (n: number): Effect.Effect<void, never, CacheStore> =>
  eventually(
    Effect.map(stats, ({ misses }) => misses >= n),
    `${n} readers waited`
  )

/** some turns of the scheduler: what can happen without I/O has happened */
export const settled: Effect.Effect<void> = Effect.repeatN(Effect.yieldNow(), 20)

/** a store whose Layer a test closes by itself */
export const openStore = (
  layer: Layer.Layer<CacheStore>
): Effect.Effect<{
  readonly provide: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, CacheStore>>
  readonly close: Effect.Effect<void>
}> =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(layer, scope)
    return {
      provide: (effect) => Effect.provide(effect, context),
      close: Scope.close(scope, Exit.void)
    }
  })

/** a scheduler that stops the first fiber it sees before its step number `at`, until `go`; all others run as usual */
export const pausingAt = (
  at: number
): { readonly scheduler: Scheduler.Scheduler; readonly paused: () => boolean; readonly go: Effect.Effect<void> } => {
  const { defaultScheduler } = Scheduler
  let target: unknown
  let step = 0
  let state: "before" | "paused" | "after" = "before"
  let held: (() => void) | undefined
  return {
    paused: () => state === "paused",
    go: Effect.sync(() => {
      state = "after"
      if (held !== undefined) defaultScheduler.scheduleTask(held, 0)
    }),
    scheduler: {
      scheduleTask: (task, priority, fiber) => {
        if (state === "paused" && fiber === target) held = task
        else defaultScheduler.scheduleTask(task, priority, fiber)
      },
      shouldYield: (fiber) => {
        target ??= fiber
        if (fiber !== target || state !== "before" || step++ < at) return false
        state = "paused"
        return 0
      }
    }
  }
}

/**
 * A scheduler that makes every fiber pause each time it has made `budget` steps. A pause takes some itself: with less
 * than 10 nothing gets on.
 */
export const stepping = (budget: number): Scheduler.Scheduler => ({
  scheduleTask: (task, priority, fiber) => Scheduler.defaultScheduler.scheduleTask(task, priority, fiber),
  shouldYield: (fiber) => (fiber.currentOpCount > budget ? 0 : false)
})

export interface SpanRecord {
  readonly name: string
  readonly span: Tracer.Span
  readonly parent: Tracer.AnySpan | undefined
  readonly links: ReadonlyArray<Tracer.SpanLink>
  readonly attributes: Map<string, unknown>
  /** how it ended, once it has */
  exit: Exit.Exit<unknown, unknown> | undefined
  ends: number
}

/** a tracer that keeps all spans, in the order of their starts */
export const recordingTracer = (): { readonly tracer: Tracer.Tracer; readonly spans: Array<SpanRecord> } => {
  const spans: Array<SpanRecord> = []
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      const span: Tracer.Span = {
        _tag: "Span",
        name,
        spanId: `span-${spans.length}`,
        traceId: "trace",
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes,
        links,
        sampled: true,
        kind,
        end: (_, exit) => {
          record.exit = exit
          record.ends++
        },
        attribute: (key, value) => void attributes.set(key, value),
        event: () => {},
        addLinks: () => {}
      }
      const record: SpanRecord = {
        name,
        span,
        parent: Option.getOrUndefined(parent),
        links,
        attributes,
        exit: undefined,
        ends: 0
      }
      spans.push(record)
      return span
    },
    context: (run) => run()
  })
  return { tracer, spans }
}
