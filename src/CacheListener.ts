/**
 * Callbacks over the events of a store (`CacheStore.events`): for logs, counters of your own, or a metrics client that
 * none of the exporters knows. A callback is called behind the reads and never delays them. One that throws is the
 * problem `HandlerFailed` of the store, and does not end the others. It must not return a promise or an Effect.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Cached, CacheListener, MemoryCacheLive } from "effect-cached"
 *
 * const misses = new Map<string, number>()
 *
 * const Listener = CacheListener.layer({
 *   onMiss: ({ name, reason }) => misses.set(`${name} ${reason}`, (misses.get(`${name} ${reason}`) ?? 0) + 1)
 * })
 *
 * const getUser = Cached.ttl((id: number) => Effect.succeed({ id }), { key: "user:{}", ttl: "1 minute" })
 *
 * getUser(7).pipe(Effect.provide(Layer.provideMerge(Listener, MemoryCacheLive)), Effect.runPromise)
 * ```
 *
 * The events come in their order, some microtasks later. A callback that takes longer than the events need to come loses
 * the oldest, beyond 1 024, which is the problem `EventsLost`. With the option `eventSampling` of the store there are fewer of them.
 *
 * @since 0.2.0
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { CacheEvent } from "./CacheEvent.js"
import { CacheStore } from "./CacheStore.js"
import { callSafely } from "./internal/callSafely.js"
import { type Engine, EngineId } from "./internal/engine/engine.js"
import type { Heard, Timing } from "./internal/engine/events.js"
import { decodePositive } from "./internal/options.js"
import { sleep } from "./internal/sleep.js"

type Tag = CacheEvent["_tag"]

/**
 * What a callback may return: anything that nobody has to wait for, and it is ignored. A promise would be awaited by
 * nobody, and an Effect run by nobody, so that an `async` callback does not compile. Run effects with
 * `Stream.runForEach(store.events, …)`.
 *
 * @category models
 * @since 0.2.0
 */
export type NeitherPromiseNorEffect =
  | void
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | symbol
  | (object & { readonly then?: never; readonly [Effect.EffectTypeId]?: never })

/**
 * A callback for each kind of event, named after it: `onHit`, `onStale`, `onMiss`, `onSet`, `onLoaded`, `onLoadFailed`,
 * `onRemoved`, `onCleared`, `onStoreFailed`, `onStoreUp`.
 *
 * @category models
 * @since 0.2.0
 */
export type Callbacks = {
  readonly [T in Tag as `on${T}`]?:
    | ((event: Extract<CacheEvent, { readonly _tag: T }>) => NeitherPromiseNorEffect)
    | undefined
}

/**
 * The options of a listener.
 *
 * @category models
 * @since 0.2.0
 */
export interface Options<S> {
  /** The tag of the store. Default: `CacheStore`. */
  readonly store?: Context.Tag<S, CacheStore.Service> | undefined
}

/**
 * The options of a collector.
 *
 * @category models
 * @since 0.2.0
 */
export interface CollectorOptions<S> extends Options<S> {
  /** How often `recordMemoryUsage` is called. Default: 1 minute. */
  readonly memoryEvery?: Duration.DurationInput | undefined
}

/**
 * What a collector gets beside the arguments of its methods, such as the `reason` of a miss.
 *
 * @category models
 * @since 0.2.0
 */
export type Metadata = Readonly<Record<string, string | boolean>>

/**
 * The `MetricsCollector` of Python's `advanced-caching`, method for method: a collector that was written for it is
 * translated line by line. Methods that are left out are not called. The cache name is that of the function or, where no
 * function is concerned, of the store. Durations are in seconds.
 *
 * @category models
 * @since 0.2.0
 */
export interface Collector {
  /** A read returned a value. `metadata` has its `state`, `fresh` or `stale`, and the `tier`. */
  readonly recordHit?: ((cacheName: string, key?: string, metadata?: Metadata) => NeitherPromiseNorEffect) | undefined
  /** A read waits for a load. `metadata` has the `reason`, the `tag`, and whether it is `coalesced`. */
  readonly recordMiss?: ((cacheName: string, key?: string, metadata?: Metadata) => NeitherPromiseNorEffect) | undefined
  /** A value was stored. Its size is not known. */
  readonly recordSet?:
    | ((cacheName: string, key?: string, valueSize?: number, metadata?: Metadata) => NeitherPromiseNorEffect)
    | undefined
  /** An entry was removed or invalidated. */
  readonly recordDelete?:
    | ((cacheName: string, key?: string, metadata?: Metadata) => NeitherPromiseNorEffect)
    | undefined
  /** A `load` or a `refresh` of a function ended. */
  readonly recordLatency?:
    | ((cacheName: string, operation: string, durationSeconds: number, metadata?: Metadata) => NeitherPromiseNorEffect)
    | undefined
  /** A `load` or a `refresh` failed, or an operation of the store, such as `getMany`. */
  readonly recordError?:
    | ((cacheName: string, operation: string, errorType: string, metadata?: Metadata) => NeitherPromiseNorEffect)
    | undefined
  /** The memory that the entries take. Called every minute, with 0 bytes where only their number is known. */
  readonly recordMemoryUsage?:
    | ((cacheName: string, bytesUsed: number, entryCount?: number, metadata?: Metadata) => NeitherPromiseNorEffect)
    | undefined
  /** A refresh behind a stale value, or a run of a background loader, ended. */
  readonly recordBackgroundRefresh?:
    | ((cacheName: string, success: boolean, durationSeconds?: number, metadata?: Metadata) => NeitherPromiseNorEffect)
    | undefined
}

const engineOf = (service: CacheStore.Service): Engine => service[EngineId] as Engine

/** Calls a callback of the user. */
const guard = ({ telemetry }: Engine, subject: string, call: () => unknown): void => {
  callSafely(call, (defect) =>
    telemetry.report(
      "HandlerFailed",
      subject,
      `the callback \`${subject}\` of a listener threw. The cache and the other callbacks are not affected. Correct the callback.`,
      { cause: Cause.die(defect) }
    )
  )
}

/** Calls `onEvent` with each event of a store, until the scope closes. The events count from now on. */
const listen = (engine: Engine, isTimed: boolean, onEvent: (event: Heard) => void) =>
  Effect.flatMap(engine.telemetry.events.subscribed(isTimed), ({ mailbox, takeLost }) => {
    const { telemetry } = engine
    const next: Effect.Effect<void> = Effect.flatMap(mailbox.takeAll, ([events, isDone]) => {
      const lost = takeLost(events.length)
      if (lost > 0) telemetry.recordEventsLost(lost)
      for (const event of events) onEvent(event)
      return isDone ? Effect.void : next
    })
    return Effect.forkScoped(Effect.interruptible(next))
  })

const storeOf = <S>({ store }: Options<S>): Effect.Effect<CacheStore.Service, never, S> =>
  (store ?? CacheStore) as unknown as Effect.Effect<CacheStore.Service, never, S>

/**
 * Calls callbacks with the events of a store, for as long as the Layer is open.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = <S = CacheStore>(callbacks: Callbacks, options: Options<S> = {}): Layer.Layer<never, never, S> =>
  Layer.scopedDiscard(
    Effect.flatMap(storeOf(options), (service) => {
      const engine = engineOf(service)
      return listen(engine, false, (event) => {
        if (event._tag === "Timing") return
        const name = `on${event._tag}` as const
        const callback = callbacks[name] as ((event: CacheEvent) => unknown) | undefined
        if (callback !== undefined) guard(engine, name, () => callback(event))
      })
    })
  )

/** What an error is called: its tag, else the name of its class. */
const typeOf = (cause: Cause.Cause<unknown>): string => {
  const error: unknown = Cause.isInterruptedOnly(cause) ? undefined : Cause.squash(cause)
  if (error === undefined) return "Interrupted"
  if (typeof error !== "object" || error === null) return typeof error
  const { _tag, name } = error as { readonly _tag?: unknown; readonly name?: unknown }
  return typeof _tag === "string" ? _tag : typeof name === "string" ? name : "Error"
}

/** The methods of a collector that an event calls. */
const collect = (collector: Collector, store: string, call: (method: keyof Collector, run: () => unknown) => void) => {
  const timed = ({ isRefresh, isSuccess, millis, name }: Timing) => {
    const seconds = millis / 1_000
    call("recordLatency", () => collector.recordLatency?.(name, isRefresh ? "refresh" : "load", seconds))
    if (isRefresh) {
      call("recordBackgroundRefresh", () => collector.recordBackgroundRefresh?.(name, isSuccess, seconds))
    }
  }
  return (event: Heard): void => {
    switch (event._tag) {
      case "Hit":
      case "Stale": {
        const { key, name, tier } = event
        const state = event._tag === "Hit" ? "fresh" : "stale"
        return call("recordHit", () => collector.recordHit?.(name, key, { state, ...(tier !== undefined && { tier }) }))
      }
      case "Miss": {
        const { coalesced, key, name, reason, tag } = event
        const metadata = { reason, coalesced, ...(tag !== undefined && { tag }) }
        return call("recordMiss", () => collector.recordMiss?.(name, key, metadata))
      }
      case "Set":
        return call("recordSet", () => collector.recordSet?.(event.name ?? store, event.key))
      case "Removed":
        if (event.cause !== "explicit") return
        return call("recordDelete", () => collector.recordDelete?.(store, event.key))
      case "LoadFailed": {
        const { cause, name, refresh } = event
        return call("recordError", () => collector.recordError?.(name, refresh ? "refresh" : "load", typeOf(cause)))
      }
      case "StoreFailed":
        return call("recordError", () => collector.recordError?.(store, event.method, event.reason))
      case "Timing":
        return timed(event)
    }
  }
}

/**
 * Calls the methods of a collector with the events of a store, for as long as the Layer is open.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Cached, CacheListener, MemoryCacheLive } from "effect-cached"
 *
 * class Counting implements CacheListener.Collector {
 *   hits = 0
 *   readonly recordHit = () => {
 *     this.hits++
 *   }
 * }
 *
 * const Metrics = CacheListener.layerCollector(new Counting())
 * const rates = Cached.ttl(Effect.succeed({ EUR: 1 }), { key: "rates", ttl: "1 hour" })
 *
 * rates.pipe(Effect.provide(Layer.provideMerge(Metrics, MemoryCacheLive)), Effect.runPromise)
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layerCollector = <S = CacheStore>(
  collector: Collector,
  options: CollectorOptions<S> = {}
): Layer.Layer<never, never, S> =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const service = yield* storeOf(options)
      const engine = engineOf(service)
      const { name } = engine.backend
      const call = (method: keyof Collector, run: () => unknown) => guard(engine, method, run)
      yield* listen(engine, true, collect(collector, name, call))
      if (collector.recordMemoryUsage === undefined) return
      const every = decodePositive("memoryEvery", options.memoryEvery ?? Duration.minutes(1), name)
      const once = Effect.map(service.stats, ({ bytes, entries }) => {
        if (Option.isNone(entries)) return
        const used = Option.getOrElse(bytes, () => 0)
        call("recordMemoryUsage", () => collector.recordMemoryUsage?.(name, used, entries.value))
      })
      yield* Effect.forkScoped(Effect.interruptible(Effect.forever(Effect.zipRight(sleep(every), once))))
    })
  )
