/**
 * The runtime of one store: its backend operations, background fibers and logs.
 *
 * They run on a live clock (see `time.ts`), with the loggers and default services of the place where the Layer was
 * built. Backend operations are tracked, so that closing the store can wait for those in progress.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as AsyncEffect from "../asyncEffect.js"
import { sleepOn } from "../sleep.js"
import { monotonic } from "../time.js"
import { Watchdog } from "../watchdog.js"

/** The I/O time limit in milliseconds, for a backend that does not bound its own operations. */
const timeLimit = 10_000

/** An operation of the backend, until its end is reported. */
class Operation {
  /** When it began, on the live clock. */
  readonly since: number
  private report: ((exit: Exit.Exit<never, never>) => void) | undefined
  private fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined = undefined
  private readonly fork: (effect: Effect.Effect<unknown>) => Fiber.RuntimeFiber<unknown, unknown>

  constructor(since: number, fork: Operation["fork"], report: (exit: Exit.Exit<never, never>) => void) {
    this.since = since
    this.fork = fork
    this.report = report
  }

  get hasEnded(): boolean {
    return this.report === undefined
  }

  /**
   * Runs an effect to its end, in a fiber if it needs one. The answer does not become the exit of the fiber. Effect keeps
   * root fibers in one `Set`, and V8 links each table that such a set has outgrown to the next one. Once an old table is in
   * the old generation, every fiber that a later table held survives young collections, together with its exit.
   */
  readonly run = (effect: Effect.Effect<unknown, unknown>): void => {
    if (this.hasEnded) return
    if (Exit.isExit(effect)) return this.end(effect)
    if (effect instanceof AsyncEffect.AsyncEffect) return effect.start(this.run)
    const fiber = this.fork(
      Effect.matchCause(effect, {
        onFailure: (cause) => this.end(Exit.failCause(cause)),
        onSuccess: (answer) => this.end(Exit.succeed(answer))
      })
    )
    if (this.hasEnded) return
    this.fiber = fiber
    // an interrupted fiber skips the handlers above
    fiber.addObserver((exit) => {
      if (exit._tag === "Failure") this.end(exit)
    })
  }

  private end(exit: Exit.Exit<unknown, unknown>): void {
    const { report } = this
    this.report = undefined
    report?.(exit as Exit.Exit<never, never>)
  }

  /** Reports it as interrupted, and interrupts it. */
  giveUp(): void {
    this.end(Exit.interrupt(FiberId.none))
    this.fiber?.unsafeInterruptAsFork(FiberId.none)
  }
}

export class StoreRuntime {
  private readonly runtime: Runtime.Runtime<never>
  /**
   * As `runtime`, but Effect does not log how a fiber failed. Every failure of an operation is reported by the store,
   * and a defect of a backend may contain what was sent.
   */
  private readonly operations: Runtime.Runtime<never>
  /** The operations in progress, the oldest first. */
  private readonly running = new Set<Operation>()
  private readonly watchdog = new Watchdog({
    fork: (effect) => this.background(effect),
    every: "1 second",
    check: () => this.endOverdue(),
    isNeeded: () => this.running.size > 0
  })
  private readonly live = Clock.make()
  /** Called when no operation is in progress any more. */
  private readonly whenDrained: Array<() => void> = []

  constructor(runtime: Runtime.Runtime<never>) {
    const services = FiberRefs.getOrDefault(runtime.fiberRefs, DefaultServices.currentServices)
    this.runtime = Runtime.make({
      context: Context.empty(),
      runtimeFlags: Runtime.defaultRuntimeFlags,
      fiberRefs: FiberRefs.updateAs(runtime.fiberRefs, {
        fiberId: FiberId.unsafeMake(),
        fiberRef: DefaultServices.currentServices,
        value: Context.add(services, Clock.Clock, this.live)
      })
    })
    this.operations = Runtime.setFiberRef(this.runtime, FiberRef.unhandledErrorLogLevel, Option.none())
  }

  /** Milliseconds on the live clock, which never go back. */
  now(): number {
    return monotonic(this.live)
  }

  /**
   * Runs an operation of the backend. `done` is called exactly once, also if the backend throws, dies, or never
   * answers: the operation is then given up after the time limit. `began` is when it began, on the live clock.
   */
  run<A, E>(operation: () => Effect.Effect<A, E>, done: (exit: Exit.Exit<A, E>, began: number) => void): void {
    const started = new Operation(this.now(), this.fork, (exit) => {
      const wasRunning = this.running.delete(started)
      try {
        done(exit, started.since)
      } catch (defect) {
        // thrown to a client, it would end the process
        this.background(Effect.die(defect))
      }
      if (wasRunning && this.running.size === 0) for (const resume of this.whenDrained.splice(0)) resume()
    })
    started.run(AsyncEffect.suspend(operation))
    if (started.hasEnded) return
    this.running.add(started)
    this.watchdog.wake()
  }

  private readonly fork = (effect: Effect.Effect<unknown>): Fiber.RuntimeFiber<unknown, unknown> =>
    Runtime.runFork(this.operations, effect)

  /** Gives up the operations in progress. */
  endAll(): void {
    for (const operation of Array.from(this.running)) operation.giveUp()
  }

  private endOverdue(): void {
    for (const operation of this.running) {
      if (this.now() - operation.since < timeLimit) break
      operation.giveUp()
    }
  }

  /** Runs an operation of the backend, as `run` does, and waits for its end. */
  await<A, E>(operation: Effect.Effect<A, E>): Effect.Effect<void> {
    return Effect.async((resume) =>
      this.run(
        () => operation,
        () => resume(Effect.void)
      )
    )
  }

  /** Interrupts a fiber, and waits for its end up to the time limit: parts of it may belong to a backend. */
  end(fiber: Fiber.RuntimeFiber<unknown>): Effect.Effect<void> {
    return Effect.zipRight(Fiber.interruptFork(fiber), this.await(Fiber.await(fiber)))
  }

  /** Sleeps on the live clock, whatever clock the calling fiber has. */
  sleep(millis: number): Effect.Effect<void> {
    return sleepOn(this.live, millis)
  }

  /** Runs an effect until it ends or is interrupted. Closing the store does not wait for it. */
  background<A>(effect: Effect.Effect<A>): Fiber.RuntimeFiber<A> {
    return Runtime.runFork(this.runtime, effect)
  }

  log(effect: Effect.Effect<void>): void {
    Runtime.runFork(this.runtime, effect)
  }

  /** Waits until the operations in progress have ended or were given up. */
  get idle(): Effect.Effect<void> {
    return Effect.async((resume) => {
      if (this.running.size === 0) resume(Effect.void)
      else this.whenDrained.push(() => resume(Effect.void))
    })
  }

  /**
   * Waits as `idle` does, then stops the watchdog, so that nothing keeps the process alive. The fiber of an operation
   * that cannot be interrupted may go on.
   */
  get drained(): Effect.Effect<void> {
    return Effect.zipRight(
      this.idle,
      Effect.sync(() => this.watchdog.stop())
    )
  }
}
