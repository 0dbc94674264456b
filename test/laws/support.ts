/**
 * Helpers of the law tests: the store under test, lookups that count their calls, gates that lookups wait at, ways to
 * wait for what happens behind a read, and recorders of warnings and spans.
 */
import { isDeepStrictEqual } from "node:util"
import { it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import type { CachedFunction } from "../../src/Cached.js"
import { CacheStore } from "../../src/CacheStore.js"
import { awaitUntil } from "../support/live.js"

/** A store that the laws are tested on. */
export interface StoreUnderTest {
  readonly name: string
  /** Builds a new, empty store for every test. */
  readonly layer: Layer.Layer<CacheStore>
  /** Whether the store does real I/O, which takes real time while the `TestClock` does not move. */
  readonly remote: boolean
  /** Whether the backend cannot list its entries, so that a sweep frees nothing. */
  readonly cannotSweep?: boolean | undefined
  /** Makes the backend stop answering, until `resume`. */
  readonly pause?: Effect.Effect<void> | undefined
  readonly resume?: Effect.Effect<void> | undefined
}

/** Provides a new store to an effect. */
export const onStore =
  (store: StoreUnderTest) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, CacheStore>> =>
    Effect.provide(effect, store.layer)

/** Registers a test whose body runs in a Scope, with a new store. */
export const testOn =
  (store: StoreUnderTest) =>
  <E>(name: string, body: () => Effect.Effect<unknown, E, CacheStore | Scope.Scope>): void =>
    it.scoped(name, () => Effect.provide(body(), store.layer))

/** Options of an entry whose lifetime does not matter to the test. */
export const minute = { ttl: "1 minute" } as const

/** A cached function of one string. */
export type Found = CachedFunction<[string], number, never, CacheStore>

export class Boom extends Error {
  override readonly name = "Boom"
}

/** A lookup, and the arguments of every call that began. */
export interface Counted<Args extends ReadonlyArray<any>, A, E, R> {
  readonly lookup: (...args: Args) => Effect.Effect<A, E, R>
  readonly calls: Array<Args>
}

/**
 * A lookup that counts its calls. A call counts when its effect runs, not when it is made. In the body, `calls.length`
 * is the number of the call, from 1 on.
 */
export const makeLookup = <Args extends ReadonlyArray<any>, A, E = never, R = never>(
  body: (...args: Args) => Effect.Effect<A, E, R>
): Counted<Args, A, E, R> => numbered((_, ...args: Args) => body(...args))

/** A lookup that counts its calls and whose body receives the number of its call, from 1 on. */
export const numbered = <Args extends ReadonlyArray<any>, A, E = never, R = never>(
  body: (call: number, ...args: Args) => Effect.Effect<A, E, R>
): Counted<Args, A, E, R> => {
  const calls: Array<Args> = []
  const lookup = (...args: Args): Effect.Effect<A, E, R> => Effect.suspend(() => body(calls.push(args), ...args))
  return { lookup, calls }
}

/** A lookup that returns the number of its call. */
export const counting = (): Counted<[], number, never, never> => numbered((call) => Effect.succeed(call))

/** A lookup whose first call returns 1. `next` decides about all further calls. */
export const thenDoes = <E>(next: (call: number) => Effect.Effect<number, E>): Counted<[], number, E, never> =>
  numbered((call): Effect.Effect<number, E> => (call === 1 ? Effect.succeed(1) : next(call)))

/** A point that fibers wait at until it is opened. */
export interface Gate {
  /** Waits until the gate is open. */
  readonly pass: Effect.Effect<void>
  readonly open: Effect.Effect<void>
  /** Waits until a fiber has arrived at the gate. */
  readonly reached: Effect.Effect<void>
  /** The number of fibers that have arrived so far. */
  readonly arrivals: () => number
}

export const gate = (): Gate => {
  const opened = Effect.runSync(Deferred.make<void>())
  const arrived = Effect.runSync(Deferred.make<void>())
  let arrivals = 0
  return {
    pass: Effect.suspend(() => {
      arrivals++
      return Effect.zipRight(Deferred.succeed(arrived, undefined), Deferred.await(opened))
    }),
    open: Effect.asVoid(Deferred.succeed(opened, undefined)),
    reached: Deferred.await(arrived),
    arrivals: () => arrivals
  }
}

/** A lookup that waits at `door` and returns the number of its call. */
export const gated = (): Counted<[], number, never, never> & { readonly door: Gate } => {
  const door = gate()
  return { ...numbered((call) => Effect.as(door.pass, call)), door }
}

/** The counters of the store. */
export const stats: Effect.Effect<CacheStore.Stats, never, CacheStore> = Effect.flatMap(
  CacheStore,
  (store) => store.stats
)

/**
 * Waits until a condition holds: first for some turns of the scheduler, which is enough for a store in memory, then on
 * the real clock. The `TestClock` does not move meanwhile.
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

/** Waits on the real clock until a condition holds: behind a store may be I/O that the `TestClock` does not drive. */
export const until = (condition: () => boolean, message: string): Effect.Effect<void> =>
  awaitUntil(Effect.sync(condition), message)

/** Repeats an effect until it returns the expected value. */
export const becomes = <A, E, R>(effect: Effect.Effect<A, E, R>, expected: A): Effect.Effect<void, E, R> =>
  Effect.suspend(() => {
    let last: unknown
    return awaitUntil(
      Effect.map(effect, (value) => {
        last = value
        return isDeepStrictEqual(value, expected)
      }),
      "an effect answered as expected"
    ).pipe(
      Effect.catchAllDefect(() =>
        Effect.dieMessage(`expected ${show(expected)}, and the last answer was ${show(last)}`)
      )
    )
  })

const show = (value: unknown): string => {
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return String(value)
  }
}

/** Waits until `n` calls have begun. */
export const begun = (calls: ReadonlyArray<unknown>, n = 1): Effect.Effect<void> =>
  eventually(() => calls.length >= n, `load number ${n} began`)

/** Waits until `n` reads have missed and wait for a load, their own or one they joined. */
export const waiting = (n: number): Effect.Effect<void, never, CacheStore> =>
  eventually(
    Effect.map(stats, ({ misses }) => misses >= n),
    `${n} readers waited`
  )

/** Forks `size` fibers that all run the same read. */
export const herd = <A, E, R>(
  read: Effect.Effect<A, E, R>,
  size: number
): Effect.Effect<Array<Fiber.RuntimeFiber<A, E>>, never, R> =>
  Effect.forEach(Array.from({ length: size }), () => Effect.fork(read))

/** The first defect of an exit, if it has one. */
export const defectOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  exit._tag === "Failure" ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined

export const isInterrupted = (exit: Exit.Exit<unknown, unknown>): boolean =>
  exit._tag === "Failure" && Cause.isInterruptedOnly(exit.cause)

export const isDone = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean => fiber.unsafePoll() !== null

/** Some turns of the scheduler, after which everything that needs no I/O has happened. */
export const settled: Effect.Effect<void> = Effect.repeatN(Effect.yieldNow(), 20)

/** Opens a store that the test closes itself. */
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

/** Records the warnings that a store logs. Provide `layer` around the layer of the store. */
export const recordWarnings = ({
  builds = false
}: {
  /** Whether to record that a store was built too often: the tests of a file build more stores than a program does. */
  readonly builds?: boolean
} = {}): { readonly lines: Array<string>; readonly layer: Layer.Layer<never> } => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (LogLevel.greaterThanEqual(logLevel, LogLevel.Warning)) {
      const line = (Array.isArray(message) ? message : [message]).map(String).join(" ")
      if (builds || !line.includes("built more than ten times")) lines.push(line)
    }
  })
  return { lines, layer: Layer.merge(Logger.replace(Logger.defaultLogger, logger), Layer.empty) }
}

/** A scheduler that stops the first fiber it sees before step number `at`, until `go`. All other fibers run as usual. */
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
 * A scheduler that makes every fiber yield each time it has run `budget` steps. Yielding itself takes some steps: with
 * a budget below 10 no fiber makes progress.
 */
export const stepping = (budget: number): Scheduler.Scheduler => ({
  scheduleTask: (task, priority, fiber) => Scheduler.defaultScheduler.scheduleTask(task, priority, fiber),
  shouldYield: (fiber) => (fiber.currentOpCount > budget ? 0 : false)
})
