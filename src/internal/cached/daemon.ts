/**
 * The daemon behind `Cached.bg` and `Cached.bgWrite`: a fiber that loads on a schedule, until the caller's scope or the
 * store closes. Runs never overlap, and a run joins a load that a reader has already started. Where the value is expired,
 * it is loaded at once, beside the schedule: a run that began before stores nothing.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberHandle from "effect/FiberHandle"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleIntervals from "effect/ScheduleIntervals"
import type * as Scope from "effect/Scope"
import { DuplicateLoader } from "../../CacheError.js"
import { Entry } from "../../Entry.js"
import type { Args, Definition } from "../engine/definition.js"
import type { Engine } from "../engine/engine.js"
import { flightTimedOut } from "../engine/loads/singleFlight.js"
import { type OnError, runOnError } from "../engine/onError.js"
import { Signal } from "../engine/peers/signal.js"
import { patiently, sleep } from "../sleep.js"
import { clockOf } from "../time.js"
import type { Leader } from "./leader.js"

export interface DaemonOptions {
  readonly key: string
  /** The arguments of the loader. */
  readonly args: Args
  /** Milliseconds from one run to the next; `undefined` if only the user's schedule decides. */
  readonly interval: number | undefined
  readonly schedule: Schedule.Schedule<unknown, Exit.Exit<unknown, unknown>, unknown>
  readonly runImmediately: boolean
  readonly onError: OnError | undefined
  /** Decides when this process loads, if only one of several processes does. */
  readonly leader: Leader | undefined
  /** The keys of the same loader whose last run failed. */
  readonly failing: Set<string>
}

/** Claims the key for this loader until the scope closes. */
const claim = (engine: Engine, key: string, def: Definition): Effect.Effect<void, DuplicateLoader, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.withFiberRuntime<void, DuplicateLoader>((fiber) =>
        engine.loaderKeys.claim(key, { reader: def, clock: clockOf(fiber) })
          ? Effect.void
          : Effect.fail(new DuplicateLoader({ key, of: def.name, store: engine.backend.name }))
      ),
      () => Effect.sync(() => engine.loaderKeys.release(key))
    )
  )

/** Runs the loader once. Returns how it ended, and never fails. */
const run = (
  engine: Engine,
  def: Definition,
  { args, key }: DaemonOptions
): Effect.Effect<Exit.Exit<unknown, unknown>> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime<Exit.Exit<unknown, unknown>>((fiber) => {
      if (engine.closed) return Effect.interrupt
      engine.readPath.adopt(def)
      if (engine.singleFlight.hasLoad(fiber, def, key)) {
        const joined = engine.singleFlight.load({ def, key, args, kind: "plain" })
        const late = Effect.zipRight(sleep(def.flightTimeout), Effect.die(flightTimedOut(def.name)))
        return Effect.exit(restore(Effect.raceFirst(Effect.interruptible(joined), late)))
      }
      const ended = Deferred.unsafeMake<Exit.Exit<unknown, unknown>>(FiberId.none)
      const flight = engine.singleFlight.startRefresh(fiber, {
        def,
        key,
        args,
        kind: "refresh",
        known: undefined,
        looksBelow: false,
        onEnd: (exit) => Deferred.unsafeDone(ended, Effect.succeed(exit))
      })
      return Effect.onInterrupt(restore(Deferred.await(ended)), () => engine.singleFlight.dismiss(flight))
    })
  )

/**
 * The milliseconds until the value in the store is due for its next load, 0 where a schedule decides; `undefined` when
 * the store has no fresh value.
 */
const untilDue = (engine: Engine, def: Definition, options: DaemonOptions): Effect.Effect<number | undefined> =>
  Effect.flatMap(
    Effect.catchAll(
      Effect.flatMap(Clock.currentTimeMillis, (now) => engine.stored.startPeek(options.key, def, now)),
      () => Effect.succeed(undefined)
    ),
    (entry) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        // a reader may have loaded the value while the backend was asked
        const alive = engine.ownership.alive(entry ?? engine.loaderKeys.lastWritten(options.key), def, now)
        if (alive === undefined || now >= alive.freshUntil) return undefined
        const { interval } = options
        // the clock of another process, which wrote the value, may be ahead
        return interval === undefined ? 0 : Math.min(interval, Math.max(0, alive.createdAt + interval - now))
      })
  )

/** Reports how a run ended. A user's handler gets a failure instead of the log. */
const report = (
  { telemetry }: Engine,
  exit: Exit.Exit<unknown, unknown>,
  { flightTimeout, name }: Definition,
  { failing, key, onError }: DaemonOptions
): Effect.Effect<unknown, never, unknown> =>
  Effect.suspend(() => {
    if (exit._tag === "Success") {
      failing.delete(key)
      if (failing.size === 0) {
        telemetry.end("LoaderFailed", name, `the background loader of ${name} succeeds again`)
      }
      return Effect.void
    }
    failing.add(key)
    const { cause } = exit
    telemetry.begin(
      "LoaderFailed",
      name,
      `the background loader of ${name} failed: its last value is kept until it expires, and the next run tries again. ` +
        "Check what the lookup depends on.",
      { cause, isLogged: onError === undefined }
    )
    return onError === undefined ? Effect.void : runOnError(onError, { telemetry, name, cause, timeout: flightTimeout })
  })

const reported = (engine: Engine, def: Definition, options: DaemonOptions) =>
  Effect.tap(run(engine, def, options), (exit) =>
    Effect.zipRight(
      Effect.map(Clock.currentTimeMillis, (now) => engine.telemetry.runsOf(def.name).ended(exit, now)),
      report(engine, exit, def, options)
    )
  )

/** Notes when the next run begins, and then that it runs. */
const noteDue = (engine: Engine, { name }: Definition, key: string, at: number | undefined): Effect.Effect<void> =>
  Effect.sync(() => engine.telemetry.runsOf(name).dueAt(key, at))

/** Whether the value in the store was expired before its time. */
const isExpired = ({ marks, stored }: Engine, def: Definition, { key }: DaemonOptions): Effect.Effect<boolean> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.map(
      Effect.orElseSucceed(stored.startInspect(key, def, now), () => undefined),
      (found) => found instanceof Entry && found.owner === def.owner && marks.admits(found) && def.keeps(found, now)
    )
  )

/** Loads whenever the value is expired, until the scope closes. Of two such loads, the later one replaces the other. */
const loadWhenExpired = Effect.fnUntraced(function* (engine: Engine, def: Definition, options: DaemonOptions) {
  const signal = new Signal()
  let isHere = false
  const listener = (here: boolean) => {
    isHere ||= here
    signal.notify()
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => engine.loaderKeys.listen(options.key, listener)),
    (leave) => Effect.sync(leave)
  )
  const running = yield* FiberHandle.make()
  const next = Effect.suspend(() => {
    signal.reset()
    const isKnown = isHere
    isHere = false
    return isKnown ? Effect.succeed(true) : isExpired(engine, def, options)
  })
  // a load that can be joined began after the value was expired
  const isLoading = Effect.withFiberRuntime<boolean>((fiber) =>
    Effect.succeed(
      Option.isSome(FiberHandle.unsafeGet(running)) && engine.singleFlight.hasLoad(fiber, def, options.key)
    )
  )
  yield* Effect.forkScoped(
    Effect.forever(
      Effect.flatMap(Effect.zipRight(signal.wait, next), (isDue) =>
        isDue ? Effect.unlessEffect(FiberHandle.run(running, reported(engine, def, options)), isLoading) : Effect.void
      )
    )
  )
})

/** Runs until the schedule is done. */
const loop = Effect.fnUntraced(function* (
  engine: Engine,
  def: Definition,
  options: DaemonOptions,
  runImmediately: boolean
) {
  const { key } = options
  const note = (at: number | undefined) => noteDue(engine, def, key, at)
  const once = Effect.zipRight(note(undefined), reported(engine, def, options))
  yield* Effect.addFinalizer(() => note(undefined))
  const schedule = Schedule.onDecision(options.schedule, (_, decision) =>
    note(ScheduleDecision.isContinue(decision) ? ScheduleIntervals.start(decision.intervals) : undefined)
  )
  const driver = yield* Schedule.driver(schedule)
  let last: Exit.Exit<unknown, unknown> = Exit.void
  if (runImmediately) {
    const wait = yield* untilDue(engine, def, options)
    if (wait === undefined) last = yield* once
    else if (options.interval !== undefined) {
      yield* note((yield* Clock.currentTimeMillis) + wait)
      yield* sleep(wait)
      last = yield* once
    }
  }
  while (true) {
    if ((yield* Effect.either(patiently(driver.next(last))))._tag === "Left") return
    last = yield* once
  }
})

/** Starts the daemon in the current scope. Fails when the key has a loader on this store already. */
export const start = Effect.fnUntraced(function* (engine: Engine, def: Definition, options: DaemonOptions) {
  const { failing, key, leader, runImmediately } = options
  yield* claim(engine, key, def)
  engine.telemetry.end("LoaderEnded", def.name)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      failing.delete(key)
      if (failing.size === 0) engine.telemetry.end("LoaderFailed", def.name)
    })
  )
  // an invalidation by another process outdates the value that answers reads while the backend cannot
  engine.notifications.listen()
  const runs = (isImmediate: boolean) =>
    Effect.scoped(Effect.zipRight(loadWhenExpired(engine, def, options), loop(engine, def, options, isImmediate)))
  const daemon =
    leader === undefined
      ? runs(runImmediately)
      : // a successor continues the runs of the leader before it
        leader.during((tookOver) => runs(runImmediately || tookOver))
  const fiber: Fiber.RuntimeFiber<void, never> = yield* Effect.forkScoped(
    Effect.interruptible(
      Effect.catchAllDefect(daemon, (defect) =>
        Effect.sync(() =>
          engine.telemetry.begin(
            "LoaderEnded",
            def.name,
            `the schedule of ${def.name} died, so its background loader has ended, and reads load once its last value ` +
              "has expired. Correct the schedule, and start the loader again.",
            { cause: Cause.die(defect) }
          )
        )
      )
    )
  )
  engine.supervise(fiber)
})
