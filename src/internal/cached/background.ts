/**
 * What `Cached.bg` and `Cached.bgWrite` are: a loader and its options, decoded, and the daemon that runs it.
 */
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import type { DuplicateLoader } from "../../CacheError.js"
import { decodeFinite, decodeMillis, decodePositive } from "../options.js"
import * as Loader from "./daemon.js"
import { Leader } from "./leader.js"
import { Spec, type SpecOptions } from "./spec.js"

export interface WriterOptions extends Omit<SpecOptions, "ttl"> {
  readonly ttl?: Duration.DurationInput | undefined
  readonly interval?: Duration.DurationInput | undefined
  readonly schedule?: Schedule.Schedule<unknown, Exit.Exit<unknown, unknown>, any> | undefined
  readonly onError?: ((cause: Cause.Cause<any>) => Effect.Effect<unknown, unknown, any>) | undefined
  readonly runImmediately?: boolean | undefined
  readonly leader?: { readonly lease: Duration.DurationInput } | undefined
}

/**
 * A writer that was started.
 *
 * @category models
 * @since 0.1.0
 */
export interface CachedWriter {
  /** the logical key */
  readonly key: string
  /** whether this process is the one that loads, as far as it knows; always, without `leader` */
  readonly leads: Effect.Effect<boolean>
}

const noArgs: ReadonlyArray<never> = []

/** starts the daemon; gives what it loads as a cached function would be made of it, and who leads */
export const start = Effect.fnUntraced(function* (
  loader: Effect.Effect<any, any, any>,
  { interval, leader, onError, runImmediately, schedule, ...options }: WriterOptions,
  storeKey: string
) {
  const context = yield* Effect.context<any>()
  const every = interval === undefined ? undefined : decodeMillis("interval", interval)
  const ttl = options.ttl === undefined ? every! * 2 : every !== undefined && every <= 0 ? 0 : options.ttl
  const flightTimeout = options.flightTimeout ?? Math.max(30_000, (every ?? 0) * 2)
  const spec = new Spec(() => loader, { ...options, ttl, flightTimeout }, "options", storeKey, undefined).captured(
    context
  )
  const def = spec.definition(context)
  def.announces = true
  const engine = spec.engine(context)
  const key = spec.physicalKey(noArgs)
  const lead =
    leader === undefined ? undefined : new Leader(engine, def, key, decodeFinite("leader.lease", leader.lease))
  if (!def.off && !engine.options.off) {
    yield* Loader.start(engine, def, {
      key,
      interval: every,
      schedule: schedule ?? Schedule.fixed(every!),
      runImmediately: runImmediately ?? true,
      onError,
      leader: lead
    })
  }
  return { spec, leads: () => lead?.leads ?? true }
})

/** the same for a writer, which nobody reads: one that would not store makes no sense */
export const startWriting = (
  loader: Effect.Effect<any, any, any>,
  options: WriterOptions,
  storeKey: string
): Effect.Effect<CachedWriter, DuplicateLoader, any> =>
  Effect.suspend(() => {
    if (options.interval !== undefined) decodePositive("interval", options.interval)
    if (options.ttl !== undefined) decodePositive("ttl", options.ttl)
    return Effect.map(start(loader, options, storeKey), ({ leads, spec }) => ({
      key: spec.logicalKey(noArgs),
      leads: Effect.sync(leads)
    }))
  })
