/**
 * The background loader of `Cached.bg` and `Cached.bgWrite`: decodes its options and starts its daemon.
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import type { DuplicateLoader } from "../../CacheError.js"
import type { Captured } from "../engine/definition.js"
import { captureOf } from "../engine/loads/captured.js"
import { decodeFinite, decodeMillis, decodePositive } from "../options.js"
import { noArgs, Spec, type SpecOptions } from "./cached.js"
import * as Daemon from "./daemon.js"
import { Leader } from "./leader.js"

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
export interface CachedWriter {
  /** The key in the store, the version included, without the store's prefix. */
  readonly key: string
  /** Whether this process is the one that loads, as far as it knows. Always true without the option `leader`. */
  readonly leads: Effect.Effect<boolean>
}

/**
 * A run at each multiple of the interval. After the wall clock was set back, `Schedule.fixed` alone waits for up to two
 * intervals each time.
 */
const fixed = (every: number): Schedule.Schedule<unknown> =>
  Schedule.modifyDelay(Schedule.fixed(every), (_, delay) => Duration.min(delay, every))

/** Starts the daemon. Returns the specification that its reader reads by, and whether this process leads. */
export const start = Effect.fnUntraced(function* (
  loader: Effect.Effect<unknown, unknown, unknown>,
  { interval, leader, onError, runImmediately, schedule, ...options }: BackgroundOptions,
  storeKey: string
) {
  const captured = yield* Effect.withFiberRuntime<Captured>((fiber) => Effect.succeed(captureOf(fiber)))
  const { context } = captured
  const name = options.name ?? (options.key as string)
  const every = interval === undefined ? undefined : decodeMillis("interval", interval, name)
  const ttl = options.ttl === undefined ? every! * 2 : every !== undefined && every <= 0 ? 0 : options.ttl
  const flightTimeout = options.flightTimeout ?? Math.max(30_000, (every ?? 0) * 2)
  const spec = new Spec(loader, { ...options, ttl, flightTimeout }, "options", storeKey, captured)
  const def = spec.definition(context)
  def.announces = true
  const engine = spec.engine(context)
  const key = spec.physicalKey(noArgs)
  const lead =
    leader === undefined ? undefined : new Leader(engine, def, key, decodeFinite("leader.lease", leader.lease, name))
  if (!def.off && !engine.options.off) {
    yield* Daemon.start(engine, def, {
      key,
      interval: every,
      schedule: schedule ?? fixed(every!),
      runImmediately: runImmediately ?? true,
      onError,
      leader: lead
    })
  }
  return { spec, leads: () => lead?.leads ?? true }
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
    return Effect.map(start(loader, options, storeKey), ({ leads, spec }) => ({
      key: spec.physicalKey(noArgs),
      leads: Effect.sync(leads)
    }))
  })
