/**
 * The background loader of a function: `Cached.bg` with arguments. Each key that is read gets a daemon, which ends when
 * nobody has read its key for a while.
 */

import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type { Args, Definition } from "../engine/definition.js"
import type { Engine } from "../engine/engine.js"
import { checkLimit, decodePositive } from "../options.js"
import { sleep } from "../sleep.js"
import { type BackgroundOptions, capture, fixed, timesOf } from "./background.js"
import { Spec } from "./cached.js"
import * as Daemon from "./daemon.js"
import type { Lookup } from "./lookup.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/**
 * The options of `Cached.bg` for a function.
 *
 * @category models
 * @since 0.2.0
 */
export interface KeyedOptions {
  /**
   * How long after the last read of a key its daemon ends. The next read starts another one. Default: ten intervals, or
   * ten times `ttl` with a `schedule`.
   */
  readonly idleTimeToLive?: Duration.DurationInput | undefined
  /**
   * The most daemons at once. Reads of further keys load as those of `Cached.ttl` do, and the store has the problem
   * `TooManyDaemons`. `Infinity` is no limit. Default: 1 000.
   */
  readonly maxDaemons?: number | undefined
}

export interface Options extends Omit<BackgroundOptions, "onError" | "leader">, KeyedOptions {
  readonly onError?:
    | ((cause: Cause.Cause<unknown>, ...args: Args) => Effect.Effect<unknown, unknown, unknown>)
    | undefined
}

interface Running {
  /** When the key was last read. */
  lastRead: number
}

interface DaemonsOptions {
  readonly engine: Engine
  readonly def: Definition
  /** Where the daemons run: with the services of the place where the loader was started. */
  readonly runtime: Runtime.Runtime<unknown>
  readonly clock: Clock.Clock
  readonly scope: Scope.Scope
  readonly idle: number
  readonly most: number
  readonly optionsOf: (args: Args) => Omit<Daemon.DaemonOptions, "key" | "args">
}

/** The daemons of one loader, by key. */
class Daemons {
  private readonly running = new Map<string, Running>()
  /** When a read last found no room for a daemon. */
  private lastRefused = Number.NEGATIVE_INFINITY
  private readonly options: DaemonsOptions
  /** Whether the scope of the loader has closed. */
  closed = false

  constructor(options: DaemonsOptions) {
    this.options = options
  }

  /** A key is read. Returns whether it has a daemon already. */
  touch(key: string, args: Args): boolean {
    const now = this.options.clock.unsafeCurrentTimeMillis()
    const running = this.running.get(key)
    if (running !== undefined) {
      running.lastRead = now
      return true
    }
    // another loader may keep the key fresh
    if (!this.closed && !this.options.engine.loaderKeys.has(key)) this.begin(key, args, now)
    return false
  }

  /** Reads a key that has a daemon. */
  read(fiber: AnyFiber, key: string, args: Args): Effect.Effect<unknown, unknown, unknown> {
    return this.options.engine.readPath.read(fiber, this.options.def, key, args)
  }

  private begin(key: string, args: Args, now: number): void {
    const { def, engine, most, optionsOf, runtime, scope } = this.options
    if (this.running.size >= most) {
      this.lastRefused = now
      engine.telemetry.begin(
        "TooManyDaemons",
        def.name,
        `more than ${most} keys of ${def.name} are read, and each of the first ${most} has a background loader. Reads of ` +
          "further keys load by themselves, and wait for it. Raise `maxDaemons`, or set a shorter `idleTimeToLive`."
      )
      return
    }
    const running: Running = { lastRead: now }
    this.running.set(key, running)
    const daemon = Effect.scoped(
      Effect.zipRight(Daemon.start(engine, def, { ...optionsOf(args), key, args }), this.idle(running))
    )
    const ended = Effect.sync(() => {
      this.running.delete(key)
      // the problem is not over as long as keys take turns
      const quiet = this.options.clock.unsafeCurrentTimeMillis() - this.lastRefused
      if (this.running.size === 0 || quiet >= this.options.idle) engine.telemetry.end("TooManyDaemons", def.name)
    })
    // not at once: the read that starts it begins the first load, which the daemon then joins
    engine.supervise(
      Runtime.runFork(runtime, Effect.interruptible(Effect.ensuring(Effect.ignore(daemon), ended)), {
        scope,
        immediate: false
      })
    )
  }

  /** Ends when the key has not been read for `idle` milliseconds. */
  private idle(running: Running): Effect.Effect<void> {
    return Effect.suspend(() => {
      const now = this.options.clock.unsafeCurrentTimeMillis()
      // the wall clock may have been set back
      running.lastRead = Math.min(running.lastRead, now)
      const left = running.lastRead + this.options.idle - now
      return left <= 0 ? Effect.void : Effect.zipRight(sleep(left), this.idle(running))
    })
  }
}

/** The specification of the function that reads. Each read keeps the daemon of its key. */
class KeyedSpec extends Spec {
  daemons: Daemons | undefined = undefined

  override read(fiber: AnyFiber, args: Args): Effect.Effect<unknown, unknown, unknown> {
    const { daemons } = this
    if (daemons === undefined) return super.read(fiber, args)
    const key = this.physicalKey(args)
    return daemons.touch(key, args) ? daemons.read(fiber, key, args) : super.read(fiber, args)
  }

  override readOne(fiber: AnyFiber, arg: unknown): Effect.Effect<unknown, unknown, unknown> {
    return this.read(fiber, [arg])
  }
}

const defaultMost = 1_000
const defaultIdle = 10

/** Prepares the loader in the current scope. Returns the specification that reads go through. */
export const start = Effect.fnUntraced(function* (loader: Lookup, all: Options, storeKey: string) {
  const { idleTimeToLive, interval: _, maxDaemons, onError, runImmediately, schedule, ...options } = all
  const captured = yield* capture
  const runtime = yield* Effect.runtime<unknown>()
  const scope = yield* Effect.scope
  const { every, flightTimeout, name, ttl } = timesOf(all as BackgroundOptions)
  const most = checkLimit("maxDaemons", maxDaemons ?? defaultMost, name)
  const spec = new KeyedSpec(loader, { ...options, onError, ttl, flightTimeout }, "options", storeKey, captured)
  const def = spec.definition(captured.context)
  def.announces = true
  const engine = spec.engine(captured.context)
  const idle =
    idleTimeToLive === undefined
      ? defaultIdle * (every ?? (def.ttl as number))
      : decodePositive("idleTimeToLive", idleTimeToLive, name)
  if (def.off || engine.options.off) return spec
  const failing = new Set<string>()
  const daemons = new Daemons({
    engine,
    def,
    runtime,
    clock: yield* Clock.clockWith(Effect.succeed),
    scope,
    idle,
    most,
    optionsOf: (args) => ({
      interval: every,
      schedule: schedule ?? fixed(every!),
      runImmediately: runImmediately ?? true,
      onError: onError === undefined ? undefined : (cause) => onError(cause, ...args),
      leader: undefined,
      failing
    })
  })
  spec.daemons = daemons
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      daemons.closed = true
    })
  )
  return spec
})
