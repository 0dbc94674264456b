/**
 * The runtime of one store: its backend operations, background fibers and logs.
 *
 * They run on a live clock (see `time.ts`), with the loggers and default services of the place where the Layer was
 * built. Backend operations are tracked, so that closing the store can wait for those in progress.
 */
import * as Cause from "effect/Cause"
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
import { CacheStoreError } from "../../CacheError.js"
import { sleepOn } from "../sleep.js"
import { monotonic } from "../time.js"
import { Watchdog } from "../watchdog.js"

/** The I/O time limit in milliseconds, for a backend that does not bound its own operations. */
const timeLimit = 10_000

interface RunningOperation {
  /** When it began, on the live clock. */
  readonly since: number
  /** Reports it as interrupted, and interrupts it. */
  readonly giveUp: () => void
}

export class StoreRuntime {
  private readonly runtime: Runtime.Runtime<never>
  /**
   * As `runtime`, but Effect does not log how a fiber failed. Every failure of an operation is reported by the store,
   * and a defect of a backend may contain what was sent.
   */
  private readonly operations: Runtime.Runtime<never>
  /** The operations in progress, the oldest first. */
  private readonly running = new Map<Fiber.RuntimeFiber<unknown, unknown>, RunningOperation>()
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
   * answers: the operation is then given up after the time limit.
   *
   * The answer does not become the exit of the fiber. Effect keeps root fibers in one `Set`, and V8 links each table that
   * such a set has outgrown to the next one. Once an old table is in the old generation, every fiber that a later table
   * held survives young collections, together with its exit.
   */
  run<A, E>(operation: () => Effect.Effect<A, E>, done: (exit: Exit.Exit<A, E>) => void): void {
    let waiting: typeof done | undefined = done
    let fiber: Fiber.RuntimeFiber<void> | undefined
    const finish = (exit: Exit.Exit<A, E>): void => {
      if (waiting === undefined) return
      const call = waiting
      waiting = undefined
      if (fiber === undefined) return call(exit)
      this.running.delete(fiber)
      call(exit)
      if (this.running.size === 0) for (const resume of this.whenDrained.splice(0)) resume()
    }
    const started: Fiber.RuntimeFiber<void> = Runtime.runFork(
      this.operations,
      Effect.matchCause(Effect.suspend(operation), {
        onFailure: (cause) => finish(Exit.failCause(cause)),
        onSuccess: (answer) => finish(Exit.succeed(answer))
      })
    )
    if (waiting === undefined) return
    fiber = started
    this.running.set(fiber, {
      since: this.now(),
      giveUp: () => {
        finish(Exit.interrupt(FiberId.none))
        started.unsafeInterruptAsFork(FiberId.none)
      }
    })
    // an interrupted fiber skips the handlers above
    fiber.addObserver((exit) => {
      if (exit._tag === "Failure") finish(Exit.failCause(exit.cause))
    })
    this.watchdog.wake()
  }

  /** Gives up the operations in progress. */
  endAll(): void {
    for (const { giveUp } of Array.from(this.running.values())) giveUp()
  }

  private endOverdue(): void {
    for (const { giveUp, since } of this.running.values()) {
      if (this.now() - since < timeLimit) break
      giveUp()
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

/**
 * The error of an operation that did not succeed. A backend that dies counts as one that answered with an error, and
 * one that was interrupted, or given up, as one that did not answer in time.
 */
export const toStoreError = (cause: Cause.Cause<CacheStoreError>, store: string, method: string): CacheStoreError => {
  const failure = Cause.failureOption(cause)
  if (failure._tag === "Some") return failure.value
  return Cause.isInterruptedOnly(cause)
    ? new CacheStoreError({ reason: "Timeout", store, method })
    : new CacheStoreError({ reason: "Rejected", store, method, cause: Cause.squash(cause) })
}
