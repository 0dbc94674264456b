/**
 * The daemon behind `Cached.bg` and `Cached.bgWrite`: a fiber that loads on a schedule. It lives until the first of the
 * caller's scope and the store's closes. Runs never overlap, and a run joins a load that a reader has under way.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { DuplicateLoader } from "../../CacheError.js"
import type { Definition } from "../engine/definition.js"
import type { Engine } from "../engine/engine.js"
import type { Leader } from "./leader.js"

const noArgs: ReadonlyArray<never> = []

export interface LoaderOptions {
  readonly key: string
  /** `undefined`: the schedule alone decides */
  readonly interval: number | undefined
  readonly schedule: Schedule.Schedule<unknown, Exit.Exit<unknown, unknown>, any>
  readonly runImmediately: boolean
  readonly onError: ((cause: Cause.Cause<any>) => Effect.Effect<unknown, unknown, any>) | undefined
  /** where one process loads among several */
  readonly leader: Leader | undefined
}

/** takes the key, or fails; it is free again when the scope closes */
const register = (engine: Engine, key: string): Effect.Effect<void, DuplicateLoader, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.suspend(() => {
        return engine.loaderKeys.claim(key)
          ? Effect.void
          : Effect.fail(new DuplicateLoader({ key, store: engine.backend.name }))
      }),
      () => Effect.sync(() => engine.loaderKeys.release(key))
    )
  )

const overdue = (key: string) =>
  Cause.die(new Cause.TimeoutException(`the load of "${key}" took longer than its flightTimeout`))

/** one run, to its end; the loader's failure is its value */
const run = (engine: Engine, def: Definition, key: string): Effect.Effect<Exit.Exit<unknown, unknown>> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime<Exit.Exit<unknown, unknown>>((fiber) => {
      engine.adopt(def)
      if (engine.singleFlight.isUnderWay(fiber, def, key)) {
        const joined = Effect.timeoutFailCause(Effect.interruptible(engine.load(def, key, noArgs)), {
          duration: Duration.millis(def.flightTimeout),
          onTimeout: () => overdue(key)
        })
        return Effect.exit(restore(joined))
      }
      const ended = Deferred.unsafeMake<Exit.Exit<unknown, unknown>>(FiberId.none)
      const flight = engine.singleFlight.refresh(
        fiber,
        def,
        key,
        noArgs,
        (exit) => Deferred.unsafeDone(ended, Effect.succeed(exit)),
        Number.POSITIVE_INFINITY
      )
      return Effect.onInterrupt(restore(Deferred.await(ended)), () => engine.singleFlight.dismiss(flight))
    })
  )

/** how long until the value that the store holds, if it is fresh, wants to be loaded again */
const left = (engine: Engine, def: Definition, options: LoaderOptions): Effect.Effect<Option.Option<number>> =>
  Effect.flatMap(
    Effect.catchAll(
      Effect.flatMap(Clock.currentTimeMillis, (now) => engine.startPeek(options.key, def, now)),
      () => Effect.succeed(undefined)
    ),
    (entry) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const alive = engine.ownership.alive(entry, def, now)
        return alive === undefined || now >= alive.freshUntil
          ? Option.none()
          : Option.some(options.interval === undefined ? 0 : Math.max(0, alive.createdAt + options.interval - now))
      })
  )

export const start = Effect.fnUntraced(function* (engine: Engine, def: Definition, options: LoaderOptions) {
  const { key } = options
  yield* register(engine, key)

  // an error handler of the user's can break nothing: not by failing, not by hanging
  const report = (exit: Exit.Exit<unknown, unknown>) =>
    exit._tag === "Success"
      ? Effect.void
      : options.onError === undefined
        ? Effect.logWarning(`the background loader of "${key}" failed, its last value is kept`, exit.cause)
        : Effect.suspend(() => options.onError!(exit.cause)).pipe(
            Effect.timeout(Duration.millis(def.flightTimeout)),
            Effect.catchAllCause((cause) => Effect.logWarning(`the onError of "${key}" failed`, cause)),
            Effect.interruptible,
            Effect.forkScoped
          )
  const once = Effect.tap(run(engine, def, key), report)

  const running = (runImmediately: boolean) =>
    Effect.gen(function* () {
      const driver = yield* Schedule.driver(options.schedule)
      let last: Exit.Exit<unknown, unknown> = Exit.void
      if (runImmediately) {
        const wait = yield* left(engine, def, options)
        if (wait._tag === "None") last = yield* once
        else if (options.interval !== undefined) {
          yield* Effect.sleep(Duration.millis(wait.value))
          last = yield* once
        }
      }
      while (true) {
        if ((yield* Effect.either(driver.next(last)))._tag === "Left") return
        last = yield* once
      }
    })
  // whoever takes over goes on where the other ended
  const daemon =
    options.leader === undefined
      ? running(options.runImmediately)
      : options.leader.during((tookOver) => running(options.runImmediately || tookOver))

  const fiber: Fiber.RuntimeFiber<void, never> = yield* Effect.forkScoped(
    Effect.interruptible(
      Effect.catchAllDefect(daemon, (defect) =>
        Effect.logWarning(`the schedule of "${key}" died, its loader has ended`, Cause.die(defect))
      )
    )
  )
  engine.supervise(fiber)
})
