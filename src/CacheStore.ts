/**
 * A store: the service that holds cached values. There is one per Layer.
 *
 * Cached functions find their store in the context, so request code rarely uses it by name. The methods of the store
 * are for values that no function loads, such as sessions and one-time tokens, and for inspection.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Backend from "./Backend.js"
import { type CacheStoreError, InvalidOption } from "./CacheError.js"
import type { CacheEvent } from "./CacheEvent.js"
import { Settings } from "./CacheMetrics.js"
import type { CacheProblem } from "./CacheProblem.js"
import * as CacheStats from "./CacheStats.js"
import type * as Entry from "./Entry.js"
import * as Breaker from "./internal/backends/breaker.js"
import * as Bytes from "./internal/backends/fromBytes.js"
import { Engine, EngineId } from "./internal/engine/engine.js"
import { Events } from "./internal/engine/events.js"
import { ReadPathId } from "./internal/engine/readPath.js"
import { isUp, statsOf, tiersHealth } from "./internal/engine/stats.js"
import { StoreRuntime } from "./internal/engine/storeRuntime.js"
import { Telemetry } from "./internal/engine/telemetry.js"
import { verbsOf } from "./internal/engine/verbs.js"
import { maxMarks } from "./internal/markNames.js"
import { Meter } from "./internal/meter.js"
import {
  checkCount,
  checkFunction,
  checkLimit,
  checkSecret,
  decodeFraction,
  decodeMillis,
  decodePositive
} from "./internal/options.js"
import { monotonic, nowOf } from "./internal/time.js"
import * as Serializer from "./Serializer.js"

/**
 * The store that cached functions use unless their options name another.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { CacheStore, MemoryCacheLive } from "effect-cached"
 *
 * const program = Effect.gen(function* () {
 *   const store = yield* CacheStore
 *   yield* store.set("session:7", { user: "ada" }, { ttl: "20 minutes" })
 *   return yield* store.get<{ user: string }>("session:7")
 * })
 *
 * program.pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export class CacheStore extends /*#__PURE__*/ Context.Tag("effect-cached/CacheStore")<
  CacheStore,
  CacheStore.Service
>() {
  /**
   * Makes a Service from a backend of values. Closing the Scope ends its loads and daemons, and gives pending writes
   * time to finish.
   */
  static readonly make = (
    backend: Backend.Backend,
    options: CacheStore.Options = {}
  ): Effect.Effect<CacheStore.Service, never, Scope.Scope> => make(backend, options)

  /**
   * Makes a Service from a backend of bytes. Values are converted by `serializer`, by default `Serializer.lossless`.
   */
  static readonly makeBytes = (
    backend: Backend.Backend<Uint8Array>,
    options: CacheStore.BytesOptions & CacheStore.Options = {}
  ): Effect.Effect<CacheStore.Service, never, Scope.Scope> =>
    Effect.suspend(() => make(fromBytes(backend, options), options))

  /** Makes a backend of values from a backend of bytes, for use as a tier or with `make`. */
  static readonly fromBytes = (
    backend: Backend.Backend<Uint8Array>,
    options: CacheStore.BytesOptions = {}
  ): Backend.Backend => fromBytes(backend, options)

  /**
   * Makes a tag for another store beside the default one:
   * `class Sessions extends CacheStore.Tag("Sessions")<Sessions>() {}`, provided with
   * `Layer.scoped(Sessions, MemoryCache.make({ … }))`. Cached functions use it with the option `store: Sessions`.
   */
  static readonly Tag: <const Id extends string>(id: Id) => <Self>() => Context.TagClass<Self, Id, CacheStore.Service> =
    Context.Tag as never

  /** A store that stores nothing and shares no loads, to switch caching off. */
  static get layerNoop(): Layer.Layer<CacheStore> {
    return Layer.scoped(CacheStore, make(noop, { off: true }))
  }
}

/**
 * @since 0.1.0
 */
export declare namespace CacheStore {
  /**
   * The tag of any store, as the bound of a type parameter. A tag is invariant, so only `any` stands for all of them.
   *
   * @since 0.1.0
   */
  export type Any = Context.TagClassShape<any, Service>

  /**
   * The options that every store accepts.
   *
   * @since 0.1.0
   */
  export interface Options {
    /** Labels on every metric of this store, beside `store`, `cache`, `tier` and `cause`. */
    readonly labels?: Readonly<Record<string, string>> | undefined
    /**
     * The secret behind `cache.key_hash` in spans, at least 16 characters. Without it, who reads the spans cannot find out
     * whether a guessed key is one of them. Default: random, so that the same key has another hash in each store and
     * process. Give processes the same secret to join their traces by key.
     */
    readonly keyHashSecret?: Redacted.Redacted | undefined
    /**
     * The fraction, from 0 to 1, of the events `Hit`, `Stale`, `Miss` and `Set` that `events` has: each is one of them with
     * this likelihood. All other events are never left out. Default: 1, all of them.
     */
    readonly eventSampling?: number | undefined
    /**
     * Whether a read writes `cache.outcome` and `cache.tier` into the span of its reader, also for a hit in memory. Of
     * several reads in one span the last one counts. Default: false.
     */
    readonly annotateSpans?: boolean | undefined
    /** The most refreshes at once, default 64. Beyond it, a stale read is answered and starts no refresh. */
    readonly maxRefreshes?: number | undefined
    /** The most loads at once, default 16 384. Beyond it, a read runs its lookup for itself and stores nothing. */
    readonly maxFlights?: number | undefined
    /**
     * How many invalidated tags and functions are kept apart, default 1 000 000; in files and buckets 10 000. Beyond it,
     * the oldest fold into 65 536 buckets: an entry then also counts as invalidated if a tag of its own shares a bucket
     * with a tag that was invalidated after it. Entries without tags are not affected.
     */
    readonly maxMarks?: number | undefined
    /**
     * How long a copy in memory is served while notifications of other processes' changes do not arrive, default
     * 1 second. It applies only to a tier in memory above a shared one. With less than 100 ms, it may still take 100 ms
     * to notice that notifications stopped.
     */
    readonly blindTtl?: Duration.DurationInput | undefined
    /**
     * The `ttl` of what is written through the store without one: by `set`, `setMany`, `setIfAbsent` and `getOrSet`.
     * `Duration.infinity` means forever, a bare number is milliseconds. Cached functions have a `ttl` of their own.
     * Default: none, so that a write without a `ttl` is the defect `InvalidOption`.
     */
    readonly defaultTtl?: Duration.DurationInput | undefined
    /**
     * The tags of services that a reader has inside a transaction only, such as `SqlClient.TransactionConnection`. Reads
     * inside run their lookup, and are neither answered from the store nor stored in it, except those of captured
     * functions, whose loads are outside. Inside, `set` and `refresh` invalidate in place of storing. A tag is invariant:
     * `any`. Default: none.
     */
    readonly bypassIn?: ReadonlyArray<Context.Tag<any, any>> | undefined
    /**
     * Is called with the fiber of what may go on after a reader has its answer: a refresh, the write of a loaded value,
     * `onError`. It ends when they have. For runtimes that freeze a process after its response, such as AWS Lambda or
     * Cloudflare Workers: `(fiber) => context.waitUntil(Effect.runPromise(Fiber.await(fiber)))`. It is called before the
     * reader waits for anything, so that an `AsyncLocalStorage` is that of its request; the fiber of a read that leaves
     * nothing behind ends with it. Default: none.
     */
    readonly background?: ((fiber: Fiber.RuntimeFiber<void>) => void) | undefined
    /**
     * How long a closing Layer tries to write what is not written yet, and to deliver what the backend has not confirmed.
     * What is undelivered then is a Warning. With 0 it waits for nothing. Default: a write that runs gets the `timeout` of
     * the store, and what is undelivered is not tried again.
     */
    readonly drain?: Duration.DurationInput | undefined
    /**
     * The breaker of each remote backend: after `failures` operations in a row have failed or got no answer in time, it
     * is not asked for a `pause`, and then probed by one operation. Meanwhile reads miss at once, and what is set or
     * invalidated is delivered later. Default: 5 failures and 2 seconds. `false`: no breaker.
     */
    readonly breaker?:
      | { readonly failures?: number | undefined; readonly pause?: Duration.DurationInput | undefined }
      | false
      | undefined
  }

  /**
   * The counts of one tier: see `CacheStats`.
   *
   * @since 0.1.0
   */
  export type TierStats = CacheStats.TierStats

  /**
   * The options of a store that keeps bytes.
   *
   * @since 0.1.0
   */
  export interface BytesOptions {
    /** Converts values to bytes and back, default `Serializer.lossless`. */
    readonly serializer?: Serializer.Serializer | undefined
    /**
     * The largest value in bytes as the serializer writes it, default 4 MB. A larger one is returned to its callers, but
     * not stored, and one that is found is not read.
     */
    readonly maxValueBytes?: number | undefined
    /**
     * The largest value in bytes before compression, by default that of `maxValueBytes`. A larger one is not stored, and
     * inflating one that is found stops there. A value has at most half as many elements. Together with `maxValueBytes`
     * it bounds how much memory a value that is found can take, and how long decoding it blocks the process.
     */
    readonly maxDecodedBytes?: number | undefined
  }

  /**
   * The options of a value that is written through the store. A `ttl` of zero is the defect `InvalidOption`, and so is
   * one that is missing in a store without a `defaultTtl`.
   *
   * @since 0.1.0
   */
  export interface SetOptions {
    /**
     * How long the value is fresh. `Duration.infinity` means forever, a bare number is milliseconds. Default: the
     * `defaultTtl` of the store.
     */
    readonly ttl?: Duration.DurationInput | undefined
    /** How much longer it may be served as stale, default not at all. */
    readonly stale?: Duration.DurationInput | undefined
    /** The tags by which it can be invalidated. */
    readonly tags?: ReadonlyArray<string> | undefined
    /** The schema that converts a value which the serializer cannot carry, such as an instance of a class. */
    readonly schema?: Backend.AnySchema | undefined
  }

  /**
   * The options of `getOrSet`. A `ttl` of zero is the defect `InvalidOption`, and so is one that is missing in a store
   * without a `defaultTtl`.
   *
   * @since 0.2.0
   */
  export interface GetOrSetOptions<in out A> {
    /**
     * How long a loaded value is fresh, from the end of its load, or a function of the value that returns it.
     * `Duration.infinity` means forever, a bare number is milliseconds. A value for which the function returns zero or
     * less is returned and not stored. Default: the `defaultTtl` of the store.
     */
    readonly ttl?: Duration.DurationInput | ((value: A) => Duration.DurationInput) | undefined
    /** How much longer it may be served as stale, while a refresh runs, or a function of the value. Default: not at all. */
    readonly stale?: Duration.DurationInput | ((value: A) => Duration.DurationInput) | undefined
    /** The tags by which it can be invalidated, or a function of the value that returns them. Default: none. */
    readonly tags?: ReadonlyArray<string> | ((value: A) => ReadonlyArray<string>) | undefined
    /** The schema that converts a value which the serializer cannot carry, such as an instance of a class. */
    readonly schema?: Schema.Schema<A, any> | undefined
    /**
     * The label of the reads and loads in metrics, spans and events: the same for all keys of a kind. Default:
     * `getOrSet`.
     */
    readonly name?: string | undefined
    /** After this time nobody joins a load any more, and it can no longer store its value. Default: 30 seconds. */
    readonly flightTimeout?: Duration.DurationInput | undefined
  }

  /**
   * The options of a read.
   *
   * @since 0.1.0
   */
  export interface GetOptions {
    /** The schema the value was written with. A store of bytes decodes with it; memory returns the value itself. */
    readonly schema?: Backend.AnySchema | undefined
  }

  /**
   * The counts of one function, or of all functions of a store: see `CacheStats`.
   *
   * @since 0.1.0
   */
  export type Counts = CacheStats.Counts

  /**
   * A snapshot of a store's numbers: see `CacheStats`.
   *
   * @since 0.1.0
   */
  export type Stats = CacheStats.Stats

  /**
   * The condition of a store. It is `down` while there is no connection to the backend, and after an operation has
   * failed, until an operation of the same kind (a read, a write, …) succeeds.
   *
   * @since 0.1.0
   */
  export interface Health {
    readonly status: "up" | "down"
    /** The store's name, such as `redis`. */
    readonly store: string
    /**
     * How many keys and marks wait to be delivered: the sets, removals, clears and invalidations of this process that
     * the backend has not confirmed. They apply in this process, and are retried until they are delivered; until then,
     * other processes may read older values.
     */
    readonly undelivered: number
    /**
     * Whether anything waits to be delivered.
     *
     * @deprecated Use `undelivered > 0`.
     */
    readonly owes: boolean
    /**
     * Whether copies in memory follow the changes of other processes. It is `false` while notifications of these
     * changes do not arrive: a copy is then served for at most `blindTtl`.
     */
    readonly coherent: boolean
    /**
     * The states in which this store does less than its user believes, and what was seen of them within the last hour.
     * Empty if everything is well. `docs/failures.md` lists them by name.
     */
    readonly problems: ReadonlyArray<CacheProblem>
    /** The condition of each tier, the fastest first; of the store itself, if it has one backend. */
    readonly tiers: ReadonlyArray<TierHealth>
  }

  /**
   * The condition of one tier.
   *
   * @since 0.2.0
   */
  export interface TierHealth {
    /** The tier's name, such as `redis`. */
    readonly tier: string
    /** It is `down` while there is no connection to it, and while its breaker is open. */
    readonly status: "up" | "down"
    /** Since when its breaker is open, in milliseconds since 1970. `None` while it is closed. */
    readonly openSince: Option.Option<number>
    /** How many operations its breaker has skipped since the store was built. */
    readonly skipped: number
    /** How many keys and marks wait to be delivered to this tier. */
    readonly undelivered: number
  }

  /**
   * The service. Reads and writes never fail because of the backend: a value that cannot be read is absent, and `set`,
   * `remove` and `clear` take effect in this process at once and are delivered later. Each fault is counted, and logged
   * once. Only `setIfAbsent` fails, because without an answer of the backend no result is right.
   *
   * A value written here belongs to no function, and a cached function that reads its key counts it as a miss.
   *
   * @since 0.1.0
   */
  export interface Service {
    /** @internal */
    readonly [EngineId]: unknown
    /** @internal */
    readonly [ReadPathId]: unknown
    /** Reads the value of a key, fresh or stale, whichever function wrote it. It never loads. */
    readonly get: <A = unknown>(key: string, options?: GetOptions) => Effect.Effect<Option.Option<A>>
    /**
     * Reads the value of a key from the memory of this process, at once: for code outside of Effect. It is fresh or
     * stale, whichever function wrote it. It never loads, refreshes or asks a slower tier: `Option.none()` may be a value
     * that only these have. A store without memory always returns it, and so does one that has closed.
     *
     * ```ts
     * import { Effect, ManagedRuntime } from "effect"
     * import { CacheStore, MemoryCacheLive } from "effect-cached"
     *
     * const runtime = ManagedRuntime.make(MemoryCacheLive)
     * const store = runtime.runSync(CacheStore)
     * runtime.runSync(store.set("flag:beta", true, { ttl: "1 minute" }))
     *
     * const isBeta = (): boolean => store.unsafeGet<boolean>("flag:beta")._tag === "Some"
     * isBeta() // true
     * ```
     *
     * @since 0.2.0
     */
    readonly unsafeGet: <A = unknown>(key: string) => Option.Option<A>
    /** Reads the values of several keys, in the same order. A remote backend reads them in one batch. */
    readonly getMany: <A = unknown>(
      keys: Iterable<string>,
      options?: GetOptions
    ) => Effect.Effect<Array<Option.Option<A>>>
    /** Whether `get` would return a value. */
    readonly has: (key: string) => Effect.Effect<boolean>
    /** Reads the value of a key with its state and times, as `get` reads it. It never loads. */
    readonly entry: <A = unknown>(key: string, options?: GetOptions) => Effect.Effect<Option.Option<Entry.View<A>>>
    /**
     * Reads the value of a key as `get` does, whichever function wrote it. If there is none, runs `lookup` and stores
     * its value as `set` does, unless the key is changed meanwhile. A stale value is returned at once, and `lookup` runs
     * behind it.
     *
     * ```ts
     * import { Effect } from "effect"
     * import { CacheStore, MemoryCacheLive } from "effect-cached"
     *
     * const rateOf = (currency: string) =>
     *   Effect.flatMap(CacheStore, (store) =>
     *     store.getOrSet(`rate:${currency}`, Effect.succeed(1.08), { ttl: "1 minute", name: "rate" })
     *   )
     *
     * rateOf("EUR").pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
     * ```
     *
     * **Details**
     *
     * The load is shared with every other `getOrSet` of the key that waits for it, whatever its lookup is, and with no
     * cached function. It runs in a fiber of its own, as that of a cached function does: a failure is not stored, and
     * interrupting a caller does not affect the others. The type of the value is trusted, as that of `get` is.
     *
     * **Gotchas**
     *
     * The key is the text as it is: make it injective yourself, or use `Cached.ttl` with a template.
     */
    readonly getOrSet: <A, E = never, R = never>(
      key: string,
      lookup: Effect.Effect<A, E, R>,
      options?: GetOrSetOptions<A>
    ) => Effect.Effect<A, E, Exclude<R, Scope.Scope>>
    readonly set: (key: string, value: unknown, options?: SetOptions) => Effect.Effect<void>
    readonly setMany: (
      entries: Iterable<readonly [key: string, value: unknown]>,
      options?: SetOptions
    ) => Effect.Effect<void>
    /**
     * Writes a value if its key has none, fresh or stale, and returns whether it was written. Fails if the backend does
     * not answer or cannot hold the value.
     */
    readonly setIfAbsent: (key: string, value: unknown, options?: SetOptions) => Effect.Effect<boolean, CacheStoreError>
    readonly remove: (key: string) => Effect.Effect<void>
    readonly removeMany: (keys: Iterable<string>) => Effect.Effect<void>
    /**
     * Makes the value of a key stale from now on, for every process. It is served as stale for as long as its `stale`
     * allows, counted from now, while the next read refreshes it. A value that may not be served as stale is removed, so
     * that the next read loads. A load that is running stores nothing.
     *
     * **Details**
     *
     * With an envelope that does not keep how long a value may be served as stale, such as `Envelope.advancedCaching`,
     * and while the backend has not confirmed an earlier `set` or removal of the key, it removes the value.
     *
     * The daemon of `Cached.bg` or `Cached.bgWrite` loads at once, in its process, and the value stays until it has.
     * `Cached.bgRead` keeps the value to its end, unless it is removed. The idea is FusionCache's `Expire` beside `Remove`.
     */
    readonly expire: (key: string) => Effect.Effect<void>
    /** Invalidates every entry of this store, in every process. It costs the same for ten entries and ten million. */
    readonly clear: Effect.Effect<void>
    /**
     * Makes every entry of this store stale from now on, for every process, as `expire` does for one: after a deployment
     * that changed what is loaded, say, when the old values may still be served until they are loaded again. It costs the
     * same for ten entries and ten million. Loads that are running store nothing.
     *
     * **Details**
     *
     * What a tag, a `clear` or an `invalidate` has invalidated stays so. As long as the backend has not confirmed it, the
     * entries are misses in place of stale, and so they are where entries do not keep how long they may be served as
     * stale, such as those of `Envelope.advancedCaching`.
     *
     * ```ts
     * import { Effect } from "effect"
     * import { Cached, CacheStore, MemoryCacheLive } from "effect-cached"
     *
     * const price = Cached.swr((id: string) => Effect.succeed(`price of ${id}`), {
     *   key: "price:{}",
     *   ttl: "1 hour",
     *   stale: "10 minutes"
     * })
     *
     * const program = Effect.gen(function* () {
     *   yield* price("a")
     *   yield* (yield* CacheStore).expireAll
     *   // answers at once, and refreshes behind
     *   yield* price("a")
     * })
     *
     * program.pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
     * ```
     */
    readonly expireAll: Effect.Effect<void>
    /**
     * Frees the memory or the disk space of dead entries: those that have expired, and those that `clear`, a tag or the
     * `clear` of a function has invalidated. `seen` is the number of entries and tombstones that were visited, and
     * `removed` the number of those that were freed, in all tiers.
     *
     * **Details**
     *
     * No read returns a dead entry, so a sweep changes no answer. It is for entries that never expire, which otherwise
     * stay until they are overwritten or evicted. It visits every entry of every tier, also those of other processes,
     * so its cost grows with the store: some seconds for a million entries in Redis, a request for each entry in a
     * bucket. It runs only when it is called, and in small parts, so that reads and writes go on. Run it from one
     * process, now and then: `Effect.repeat(store.sweep, Schedule.cron("0 4 * * *"))`.
     *
     * A part that cannot be swept is the problem `SweepFails` and does not fail the effect.
     */
    readonly sweep: Effect.Effect<{ readonly seen: number; readonly removed: number }>
    /**
     * The keys of the entries in the store, as `remove` takes them, without the prefix of the store.
     *
     * ```ts
     * import { Console, Effect, Stream } from "effect"
     * import { CacheStore, MemoryCacheLive } from "effect-cached"
     *
     * const program = Effect.gen(function* () {
     *   const store = yield* CacheStore
     *   yield* store.set("session:7", 1, { ttl: "1 hour" })
     *   yield* Stream.runForEach(store.keys, Console.log)
     * })
     *
     * program.pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
     * ```
     *
     * **Details**
     *
     * Of several tiers it is the slowest that can list its keys, since the faster ones hold a part of them. Each key that
     * is there all the time is listed at least once; Redis may list one twice. A key that was removed, cleared or
     * invalidated, or has expired, is not listed.
     *
     * It fails if the backend does not answer, or cannot list its keys: a `KeyValueCache` cannot, and neither can files
     * and buckets with an envelope other than `Envelope.v1`, since their objects do not contain the key.
     *
     * **Gotchas**
     *
     * It visits every entry, also those of other processes: Redis by SCAN, files and buckets by reading each object. It is
     * a tool for people, and not for requests. It lists at the pace at which it is consumed.
     */
    readonly keys: Stream.Stream<string, CacheStoreError>
    readonly tags: {
      /** Invalidates every entry with at least one of these tags, in every process. */
      readonly invalidate: (tags: Iterable<string>) => Effect.Effect<void>
      /**
       * Makes every entry with at least one of these tags stale from now on, in every process, as `expire` does for a key.
       * It costs the same for ten entries and ten million.
       */
      readonly expire: (tags: Iterable<string>) => Effect.Effect<void>
    }
    /** A snapshot of the store's numbers since it was made, or since `resetStats`. */
    readonly stats: Effect.Effect<Stats>
    /**
     * Lets `stats` count from now on, and the `stats` of its functions. The metrics, which only rise, stay as they are. Of
     * several readers each can have its own deltas with `CacheStats.minus`.
     */
    readonly resetStats: Effect.Effect<void>
    /**
     * The events from the moment of subscription on. A subscriber that is more than 1 024 events behind loses the
     * oldest, and never delays the store. While nobody subscribes, no event is made.
     */
    readonly events: Stream.Stream<CacheEvent>
    readonly health: Effect.Effect<Health>
  }
}

/**
 * Makes a backend of values from a backend of bytes, for use as a tier or with `CacheStore.make`. Throws the defect
 * `InvalidOption` for an invalid `maxValueBytes` or `maxDecodedBytes`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromBytes = (
  backend: Backend.Backend<Uint8Array>,
  options: CacheStore.BytesOptions = {}
): Backend.Backend =>
  Bytes.make(backend, options.serializer ?? Serializer.lossless, Bytes.limitsOf(options, backend.name))

/** The keys of the tags of `bypassIn`. */
const tagsOf = (tags: ReadonlyArray<unknown>, of: string): ReadonlyArray<string> => {
  if (Array.isArray(tags) && tags.every(Context.isTag)) return tags.map(({ key }) => key)
  throw new InvalidOption({ option: "bypassIn", of, detail: "is no list of tags" })
}

const make = Effect.fnUntraced(function* (
  given: Backend.Backend,
  options: CacheStore.Options & { readonly off?: boolean }
): Effect.fn.Return<CacheStore.Service, never, Scope.Scope> {
  // several tiers have breakers of their own
  const isTiered = given.attach !== undefined
  const backend = isTiered ? given : yield* Breaker.guard(given, options.breaker, given.name)
  const runtime = new StoreRuntime(yield* Effect.runtime<never>())
  const defaultTtl =
    options.defaultTtl === undefined ? undefined : decodePositive("defaultTtl", options.defaultTtl, backend.name)
  const events = new Events(
    yield* Effect.random,
    decodeFraction("eventSampling", options.eventSampling ?? 1, backend.name)
  )
  const telemetry = new Telemetry(runtime, {
    store: backend.name,
    labels: options.labels ?? {},
    keyHashSecret: checkSecret("keyHashSecret", options.keyHashSecret, backend.name),
    tiers: backend.tiers?.().map((counts) => counts.tier) ?? [],
    isTiered,
    events,
    meter: new Meter(yield* Settings)
  })
  if (options.off !== true) telemetry.countBuild(yield* Effect.clock)
  const engine = new Engine(backend, runtime, telemetry, {
    off: options.off === true,
    annotates: options.annotateSpans === true,
    maxRefreshes: checkLimit("maxRefreshes", options.maxRefreshes ?? 64, backend.name),
    maxFlights: checkLimit("maxFlights", options.maxFlights ?? 16_384, backend.name),
    maxMarks: checkCount("maxMarks", options.maxMarks ?? maxMarks, backend.name),
    bypassIn: tagsOf(options.bypassIn ?? [], backend.name),
    blindTtl: decodeMillis("blindTtl", options.blindTtl ?? "1 second", backend.name),
    background:
      options.background === undefined ? undefined : checkFunction("background", options.background, backend.name),
    drain: options.drain === undefined ? undefined : decodeMillis("drain", options.drain, backend.name)
  })
  backend.onRemoved?.((key, how, entry) => {
    // an entry that a mark has invalidated counts as removed by the mark, whatever took its place
    const cause = how === "expired" || engine.marks.admits(entry) ? how : "explicit"
    telemetry.recordRemoved(key, entry.owner, cause)
  })
  if (backend.changes !== undefined) {
    yield* Effect.forkScoped(
      Stream.runForEach(backend.changes, (change) => (change._tag === "Up" ? engine.up(change) : Effect.void))
    )
  }
  if (options.off !== true) {
    const stops = showGauges(engine)
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const stop of stops) stop()
      })
    )
  }
  // the finalizer added last runs first: no load begins while the rest is taken down
  yield* Effect.addFinalizer(() => Effect.zipRight(engine.close, events.close))
  events.onHeard = () => engine.observe()
  engine.open()
  const clock = yield* Effect.clock
  const builtAt = monotonic(clock)
  const snapshotSinceBuilt = Effect.withFiberRuntime<CacheStats.Stats>((fiber) =>
    Effect.succeed(statsOf(engine, { now: nowOf(fiber), uptime: monotonic(clock) - builtAt }))
  )
  const snapshot = Effect.map(snapshotSinceBuilt, (stats) =>
    engine.statsBefore === undefined ? stats : CacheStats.minus(stats, engine.statsBefore)
  )
  return {
    [EngineId]: engine,
    [ReadPathId]: engine.readPath,
    ...verbsOf(engine, defaultTtl),
    stats: snapshot,
    resetStats: Effect.map(snapshotSinceBuilt, (stats) => {
      engine.statsBefore = stats
    }),
    events: events.stream,
    health: Effect.sync(() => {
      const { undelivered } = engine.invalidation
      return {
        status: isUp(backend, telemetry) ? "up" : "down",
        store: backend.name,
        undelivered,
        owes: undelivered > 0,
        coherent: !engine.isBlind,
        problems: [...telemetry.problems.list, ...(backend.problems?.() ?? [])],
        tiers: tiersHealth(backend, engine.invalidation)
      }
    })
  }
})

/** Shows the gauges of a store in the metrics. Returns what ends that. */
const showGauges = ({ invalidation, localTier, singleFlight, telemetry, wallClock }: Engine) => {
  const { meter, tags } = telemetry
  const usage = () => localTier.usage(wallClock.now())
  const now = usage()
  return [
    meter.gauge("cache_loads_in_flight", tags, () => singleFlight.size),
    meter.gauge("cache_undelivered", tags, () => invalidation.undelivered),
    // only where they are known, so that no other store is shown as empty
    ...(now === undefined ? [] : [meter.gauge("cache_entries", tags, () => usage()?.entries ?? 0)]),
    ...(now?.bytes === undefined ? [] : [meter.gauge("cache_bytes", tags, () => usage()?.bytes ?? 0)])
  ]
}

const noop: Backend.Backend = /*#__PURE__*/ (() => ({
  ...Backend.fromLocal({
    name: "noop",
    unsafeGet: () => undefined,
    unsafeSet: () => {},
    unsafeRemove: () => false,
    unsafeSize: () => 0,
    sweep: () => Effect.void
  }),
  // what it is given is not stored, so it does not count as a set
  unsafeSet: undefined
}))()
