/**
 * Where a store's own work runs: reads and writes of its medium, logs. On a live clock, with the loggers and services of
 * the place where the Layer was built, and counted, so that closing can wait for what is under way.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRefs from "effect/FiberRefs"
import * as Runtime from "effect/Runtime"
import { monotonic } from "../time.js"

/** how many milliseconds a medium that does not bound its own I/O is given */
const limit = 10_000

export class StoreRuntime {
  private readonly runtime: Runtime.Runtime<never>
  private readonly running = new Map<
    Fiber.RuntimeFiber<any, any>,
    { readonly since: number; readonly giveUp: () => void }
  >()
  private watcher: Fiber.RuntimeFiber<unknown> | undefined = undefined
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

  /** milliseconds on the live clock, which never go back */
  now(): number {
    return monotonic(this.live)
  }

  /**
   * Asks the medium for something. `done` is called once, whatever the medium does: it may throw, die, or never answer,
   * in which case it is given up after `limit`.
   */
  run<A, E>(ask: () => Effect.Effect<A, E>, done: (exit: Exit.Exit<A, E>) => void): void {
    const fiber = Runtime.runFork(this.runtime, Effect.suspend(ask))
    const exit = fiber.unsafePoll()
    if (exit !== null) return done(exit)
    const once = (exit: Exit.Exit<A, E>) => {
      if (this.running.delete(fiber)) done(exit)
    }
    this.running.set(fiber, {
      since: this.now(),
      giveUp: () => {
        once(Exit.interrupt(FiberId.none))
        fiber.unsafeInterruptAsFork(FiberId.none)
      }
    })
    fiber.addObserver(once)
    this.watch()
  }

  /** one fiber looks after all that run, while any do; the oldest comes first */
  private watch(): void {
    if (this.watcher !== undefined) return
    const look = Effect.sync(() => {
      for (const { giveUp, since } of this.running.values()) {
        if (this.now() - since < limit) break
        giveUp()
      }
    })
    const watcher = this.background(
      Effect.repeat(Effect.delay(look, "1 second"), { while: () => this.running.size > 0 })
    )
    this.watcher = watcher
    watcher.addObserver(() => {
      this.watcher = undefined
    })
  }

  /** on the live clock, in whatever fiber */
  sleep(millis: number): Effect.Effect<void> {
    return this.live.sleep(Duration.millis(millis))
  }

  /** runs until it ends or is interrupted; closing does not wait for it */
  background(effect: Effect.Effect<unknown>): Fiber.RuntimeFiber<unknown> {
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

  /** what is under way gets the time its medium allows it; then nothing is left that would hold the process */
  get drained(): Effect.Effect<void> {
    return Effect.suspend(() => Fiber.awaitAll(Array.from(this.running.keys()))).pipe(
      Effect.repeat({ while: () => this.running.size > 0 }),
      Effect.andThen(Effect.sync(() => this.watcher?.unsafeInterruptAsFork(FiberId.none)))
    )
  }
}
