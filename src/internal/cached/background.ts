/**
 * The background loader of `Cached.bg` and `Cached.bgWrite`: decodes its options and starts its daemon.
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { DuplicateLoader } from "../../CacheError.js"
import type { Explanation } from "../../CacheEvent.js"
import type { FunctionStats } from "../../CacheStats.js"
import { type Captured, noArgs } from "../engine/definition.js"
import { captureOf } from "../engine/loads/captured.js"
import { decodeFinite, decodeMillis, decodePositive } from "../options.js"
import { refusePartition, Spec, type SpecOptions } from "./cached.js"
import * as Daemon from "./daemon.js"
import { Leader } from "./leader.js"
import { unsafePeekOf } from "./unsafePeek.js"

export interface BackgroundOptions extends Omit<SpecOptions, "ttl"> {
  readonly ttl?: Duration.DurationInput | undefined
  readonly interval?: Duration.DurationInput | undefined
  readonly schedule?: Schedule.Schedule<unknown, Exit.Exit<unknown, unknown>, unknown> | undefined
  readonly onError?: ((cause: Cause.Cause<unknown>) => Effect.Effect<unknown, unknown, unknown>) | undefined
  readonly runImmediately?: boolean | undefined
  readonly leader?: { readonly lease: Duration.DurationInput } | undefined
}

/**
 * A background loader that `Cached.bgWrite` started.
 *
 * @category models
 * @since 0.1.0
 */
export interface CachedWriter<out A = unknown, out E = unknown> {
  /** The key in the store, the version included, without the store's prefix. */
  readonly key: string
  /** The value in the store, fresh or stale, whichever process wrote it. Never loads. */
  readonly current: Effect.Effect<Option.Option<A>>
  /**
   * The value in the memory of this process, fresh or stale, for code outside of Effect. It never loads, and does not ask
   * a slower tier.
   *
   * @since 0.2.0
   */
  readonly unsafePeek: () => Option.Option<A>
  /** What the next read of the value would do, and why, without doing it: see the members of `CachedEffect`. */
  readonly explain: Effect.Effect<Explanation>
  /** The numbers of this loader in the store: its runs (`background`), its loads and their durations. */
  readonly stats: Effect.Effect<FunctionStats>
  /**
   * Runs the loader now, stores its value for all readers and returns it. It never joins a run that began before, and a
   * run in progress stores nothing. Its failure is that of the loader; `onError` does not get it. It runs in this
   * process, whether or not this process leads.
   */
  readonly refresh: Effect.Effect<A, E>
  /** Whether this process is the one that loads, as far as it knows. Always true without the option `leader`. */
  readonly leads: Effect.Effect<boolean>
}

/**
 * A run at each multiple of the interval. After the wall clock was set back, `Schedule.fixed` alone waits for up to two
 * intervals each time.
 */
export const fixed = (every: number): Schedule.Schedule<unknown> =>
  Schedule.modifyDelay(Schedule.fixed(every), (_, delay) => Duration.min(delay, every))

/** The times of a loader, decoded. `every` is `undefined` if a schedule decides. */
export const timesOf = (options: BackgroundOptions) => {
  const { flightTimeout, interval, key, name = key as string, ttl } = options
  refusePartition(options, name)
  const every = interval === undefined ? undefined : decodeMillis("interval", interval, name)
  return {
    name,
    every,
    ttl: ttl === undefined ? every! * 2 : every !== undefined && every <= 0 ? 0 : ttl,
    flightTimeout: flightTimeout ?? Math.max(30_000, (every ?? 0) * 2)
  }
}

/** Takes the services and FiberRefs of the current fiber. */
export const capture: Effect.Effect<Captured> = Effect.withFiberRuntime((fiber) => Effect.succeed(captureOf(fiber)))

/** Starts the daemon. Returns the specification that its reader reads by, and whether this process leads. */
export const start = Effect.fnUntraced(function* (
  loader: Effect.Effect<unknown, unknown, unknown>,
  all: BackgroundOptions,
  storeKey: string
) {
  const { interval: _, leader, onError, runImmediately, schedule, ...options } = all
  const captured = yield* capture
  const { context } = captured
  const { every, flightTimeout, name, ttl } = timesOf(all)
  const specOf = () => {
    const spec = new Spec(loader, { ...options, onError, ttl, flightTimeout }, "options", storeKey, captured)
    spec.definition(context).announces = true
    return spec
  }
  const spec = specOf()
  const def = spec.definition(context)
  const engine = spec.engine(context)
  const key = spec.physicalKey(noArgs)
  const lead =
    leader === undefined ? undefined : new Leader(engine, def, key, decodeFinite("leader.lease", leader.lease, name))
  if (!def.off && !engine.options.off) {
    yield* Daemon.start(engine, def, {
      key,
      args: noArgs,
      interval: every,
      schedule: schedule ?? fixed(every!),
      runImmediately: runImmediately ?? true,
      onError,
      leader: lead,
      failing: new Set()
    })
  }
  // the writes of the leader need its lock, those that the user asks for do not
  return { spec, asked: lead === undefined ? spec : specOf(), leads: () => lead?.leads ?? true }
})

/**
 * Starts the daemon of `Cached.bgWrite`. Nobody reads through it, so an `interval` or a `ttl` of zero, with which
 * nothing would be stored, is a defect here.
 */
export const startWriting = (
  loader: Effect.Effect<unknown, unknown, unknown>,
  options: BackgroundOptions,
  storeKey: string
): Effect.Effect<CachedWriter, DuplicateLoader, unknown> =>
  Effect.suspend(() => {
    const name = options.name ?? (options.key as string)
    if (options.interval !== undefined) decodePositive("interval", options.interval, name)
    if (options.ttl !== undefined) decodePositive("ttl", options.ttl, name)
    return Effect.map(start(loader, options, storeKey), ({ asked, leads, spec }) => ({
      key: spec.physicalKey(noArgs),
      current: spec.peek(noArgs) as Effect.Effect<Option.Option<unknown>>,
      unsafePeek: unsafePeekOf(spec),
      explain: spec.explain(noArgs),
      stats: spec.stats,
      refresh: asked.refresh(noArgs) as Effect.Effect<unknown, unknown>,
      leads: Effect.sync(leads)
    }))
  })
