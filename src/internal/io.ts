/**
 * Where a store's own work runs: reads and writes of its medium, logs. On a live clock, with the loggers and services of
 * the place where the Layer was built, and counted, so that closing can wait for what is under way.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRefs from "effect/FiberRefs"
import * as Runtime from "effect/Runtime"

export class Io {
  private readonly runtime: Runtime.Runtime<never>
  private readonly running = new Set<Fiber.RuntimeFiber<any, any>>()
  private readonly live = Clock.make()
  private readonly warned = new Set<string>()

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
  }

  /** milliseconds on the live clock */
  now(): number {
    return this.live.unsafeCurrentTimeMillis()
  }

  /** runs to its end; `done` always comes, and never before this has returned for an effect that suspends */
  run<A, E>(effect: Effect.Effect<A, E>, done: (exit: Exit.Exit<A, E>) => void): void {
    const fiber = Runtime.runFork(this.runtime, effect)
    const exit = fiber.unsafePoll()
    if (exit !== null) return done(exit)
    this.running.add(fiber)
    fiber.addObserver((exit) => {
      this.running.delete(fiber)
      done(exit)
    })
  }

  /** runs until it ends or is interrupted; closing does not wait for it */
  background(effect: Effect.Effect<void>): Fiber.RuntimeFiber<void> {
    return Runtime.runFork(this.runtime, effect)
  }

  log(effect: Effect.Effect<void>): void {
    Runtime.runFork(this.runtime, effect)
  }

  /** says it at Warning, once per subject in the life of the store */
  warnOnce(subject: string, message: string): void {
    if (this.warned.has(subject) || this.warned.size >= 1_000) return
    this.warned.add(subject)
    this.log(Effect.logWarning(message))
  }

  /** what is under way gets the time its medium allows it */
  get drained(): Effect.Effect<void> {
    return Effect.repeat(
      Effect.suspend(() => Fiber.awaitAll(Array.from(this.running))),
      { while: () => this.running.size > 0 }
    )
  }
}
