/**
 * A store: where entries live, and the engine that keeps the laws above it. One per Layer.
 *
 * Request code seldom needs it by name: cached functions find it in the context. Its own verbs are for values that no
 * function loads, such as sessions and one-time tokens, and for looking in.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Backend from "./Backend.js"
import { type CacheStoreError, InvalidOption } from "./CacheError.js"
import type { CacheEvent, RemovalCause } from "./CacheEvent.js"
import * as Entry from "./Entry.js"
import * as Bytes from "./internal/backends/fromBytes.js"
import { makeEntry } from "./internal/engine/definition.js"
import { Engine, EngineId } from "./internal/engine/engine.js"
import { putIfAbsent } from "./internal/engine/setIfAbsent.js"
import { StoreRuntime } from "./internal/engine/storeRuntime.js"
import { Telemetry } from "./internal/engine/telemetry.js"
import * as Tracing from "./internal/engine/tracing.js"
import { everything, tagMark } from "./internal/markNames.js"
import { nowOf, toMillis } from "./internal/time.js"
import * as Serializer from "./Serializer.js"

/**
 * The store that cached functions use unless they name another.
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
  /** A Service from a backend that holds values. The backend's resources and the engine live in the Scope. */
  static readonly make = (
    backend: Backend.Backend,
    options: CacheStore.Options = {}
  ): Effect.Effect<CacheStore.Service, never, Scope.Scope> => make(backend, options)

  /** A Service from a backend that holds bytes: values cross by `serializer`, by default the lossless one. */
  static readonly makeBytes = (
    backend: Backend.Backend<Uint8Array>,
    options: CacheStore.BytesOptions & CacheStore.Options = {}
  ): Effect.Effect<CacheStore.Service, never, Scope.Scope> => make(fromBytes(backend, options), options)

  /** A backend of values from one of bytes: what a tier takes, and what `make` makes the same Service of. */
  static readonly fromBytes = (
    backend: Backend.Backend<Uint8Array>,
    options: CacheStore.BytesOptions = {}
  ): Backend.Backend => fromBytes(backend, options)

  /**
   * A tag for a store of its own, beside the default one: `class Sessions extends CacheStore.Tag("Sessions")<Sessions>() {}`,
   * provided with `Layer.scoped(Sessions, MemoryCache.make({ … }))` and named by functions as `store: Sessions`.
   */
  static readonly Tag: <const Id extends string>(id: Id) => <Self>() => Context.TagClass<Self, Id, CacheStore.Service> =
    Context.Tag as never

  /** Stores nothing and shares nothing: caching switched off. */
  static get layerNoop(): Layer.Layer<CacheStore> {
    return Layer.scoped(CacheStore, make(noop, { off: true }))
  }
}

/**
 * @since 0.1.0
 */
export declare namespace CacheStore {
  /**
   * Any store's tag, as a type parameter's bound.
   *
   * @since 0.1.0
   */
  export type Any = Context.TagClassShape<any, Service>

  /**
   * What every store can be given.
   *
   * @since 0.1.0
   */
  export interface Options {
    /** labels on every metric of this store, beside `store`, `cache` and `cause` */
    readonly labels?: Readonly<Record<string, string>> | undefined
    /** refreshes at once, default 64; a stale read beyond serves its value and starts none */
    readonly maxRefreshes?: number | undefined
    /** loads at once, default 16 384; a read beyond loads for itself alone */
    readonly maxFlights?: number | undefined
    /**
     * how long a copy in memory counts while what other processes do cannot be heard, default 1 second; only where a
     * tier in memory stands above one that is shared. Where it is less than 100 ms, a silence may take these to be noticed
     */
    readonly blindTtl?: Duration.DurationInput | undefined
  }

  /**
   * What one tier did: `misses` are reads that had to go on to the next one, `sets` entries it was given, `backfills`
   * those of them that came from a slower tier.
   *
   * @since 0.1.0
   */
  export interface TierStats extends Backend.TierCounts {
    /** hits among all reads, 0 to 1; 0 before the first */
    readonly hitRate: number
  }

  /**
   * What a store that keeps bytes can be given.
   *
   * @since 0.1.0
   */
  export interface BytesOptions {
    /** default `Serializer.lossless` */
    readonly serializer?: Serializer.Serializer | undefined
    /** a larger value is delivered, not stored; default 4 MB */
    readonly maxValueBytes?: number | undefined
  }

  /**
   * How long a value written by hand lives. A life of nothing is refused with the defect `InvalidOption`.
   *
   * @since 0.1.0
   */
  export interface SetOptions {
    /** how long it is fresh; `Duration.infinity` is for ever, a bare number milliseconds */
    readonly ttl: Duration.DurationInput
    /** how long after that it is still served as stale, default none */
    readonly stale?: Duration.DurationInput | undefined
    readonly tags?: ReadonlyArray<string> | undefined
    /** for values with no lossless form of their own */
    readonly schema?: Backend.AnySchema | undefined
  }

  /**
   * How a value is read.
   *
   * @since 0.1.0
   */
  export interface GetOptions {
    /** the schema it was written with; a store of bytes decodes with it, one in memory gives what it was given */
    readonly schema?: Backend.AnySchema | undefined
  }

  /**
   * What one function did. `misses` counts waiters, `loads` loads: the difference is what single flight saved.
   *
   * @since 0.1.0
   */
  export interface Counts {
    /** hits, stale hits and misses */
    readonly reads: number
    /** hits and stale hits among all reads, 0 to 1; 0 before the first */
    readonly hitRate: number
    readonly hits: number
    readonly staleHits: number
    readonly misses: number
    readonly coalesced: number
    readonly loads: number
    readonly loadFailures: number
    readonly refreshes: number
    readonly refreshFailures: number
  }

  /**
   * A store in numbers, since it was made. The sums stand at the top, each function's own under its name in
   * `caches`, from its first read on.
   *
   * @since 0.1.0
   */
  export interface Stats extends Counts {
    /** entries held, where the medium knows without counting */
    readonly entries: Option.Option<number>
    /** loads under way */
    readonly inFlight: number
    readonly storeErrors: number
    readonly decodeFailures: number
    /** values delivered but not kept: no lossless form, or too large */
    readonly refused: number
    readonly evictions: Readonly<Record<RemovalCause, number>>
    readonly caches: Readonly<Partial<Record<string, Counts>>>
    /** the fastest first; none where there is but one */
    readonly tiers: ReadonlyArray<TierStats>
  }

  /**
   * Whether the medium can be reached. `down` means: no connection, or the last operation failed.
   *
   * @since 0.1.0
   */
  export interface Health {
    readonly status: "up" | "down"
    readonly store: string
    /** whether invalidations or explicit writes wait to be delivered */
    readonly owes: boolean
    /**
     * whether copies in memory are kept up to date with other processes: `false` while these cannot be heard, and copies
     * count for `blindTtl` at most
     */
    readonly coherent: boolean
  }

  /**
   * The service. Its reads and writes never fail because of the medium: what cannot be read is absent, what cannot be
   * written is delivered later (`set`, `remove`, `clear`), counted and logged. `setIfAbsent` alone fails, as there is no
   * right answer when the medium is silent.
   *
   * A value written here belongs to no function; a cached function that reads its key takes it as a miss.
   *
   * @since 0.1.0
   */
  export interface Service {
    /** @internal */
    readonly [EngineId]: unknown
    /** the value under a key, fresh or stale, whoever wrote it */
    readonly get: <A = unknown>(key: string, options?: GetOptions) => Effect.Effect<Option.Option<A>>
    /** the values under keys, in their order; one batch where the medium is remote */
    readonly getMany: <A = unknown>(
      keys: Iterable<string>,
      options?: GetOptions
    ) => Effect.Effect<Array<Option.Option<A>>>
    readonly has: (key: string) => Effect.Effect<boolean>
    readonly set: (key: string, value: unknown, options: SetOptions) => Effect.Effect<void>
    readonly setMany: (
      entries: Iterable<readonly [key: string, value: unknown]>,
      options: SetOptions
    ) => Effect.Effect<void>
    /** writes where nothing alive stands, and says whether it did; fails where the medium, or the value, does not let it */
    readonly setIfAbsent: (key: string, value: unknown, options: SetOptions) => Effect.Effect<boolean, CacheStoreError>
    readonly remove: (key: string) => Effect.Effect<void>
    readonly removeMany: (keys: Iterable<string>) => Effect.Effect<void>
    /** everything in this store, in every process; the same cost for ten entries and ten million */
    readonly clear: Effect.Effect<void>
    readonly tags: {
      /** every entry with one of these tags, in every process */
      readonly invalidate: (tags: Iterable<string>) => Effect.Effect<void>
    }
    readonly stats: Effect.Effect<Stats>
    /** what happens from now on; a slow listener loses the oldest events */
    readonly events: Stream.Stream<CacheEvent>
    readonly health: Effect.Effect<Health>
  }
}

/**
 * A backend of values from one of bytes: what a tier takes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromBytes = (
  backend: Backend.Backend<Uint8Array>,
  options: CacheStore.BytesOptions = {}
): Backend.Backend =>
  Bytes.make(backend, options.serializer ?? Serializer.lossless, options.maxValueBytes ?? 4 * 1024 * 1024)

const make = Effect.fnUntraced(function* (
  backend: Backend.Backend,
  options: CacheStore.Options & { readonly off?: boolean }
): Effect.fn.Return<CacheStore.Service, never, Scope.Scope> {
  const runtime = new StoreRuntime(yield* Effect.runtime<never>())
  const hub = yield* PubSub.sliding<CacheEvent>(1_024)
  let listeners = 0
  const publish = (event: () => CacheEvent) => {
    if (listeners > 0) runtime.background(Effect.asVoid(PubSub.publish(hub, event())))
  }
  const telemetry = new Telemetry(runtime, {
    store: backend.name,
    labels: options.labels ?? {},
    tiers: backend.tiers?.().map((counts) => counts.tier) ?? [],
    isTiered: backend.attach !== undefined,
    publish
  })
  const engine = new Engine(backend, runtime, telemetry, {
    off: options.off === true,
    maxRefreshes: options.maxRefreshes ?? 64,
    maxFlights: options.maxFlights ?? 16_384,
    blindTtl: toMillis(options.blindTtl ?? "1 second")
  })
  backend.onRemoved?.((key, how, entry) => {
    // what a mark has outdated was removed by whoever raised it
    const cause = how === "expired" || engine.marks.admits(entry) ? how : "explicit"
    telemetry.totals.evict(cause)
    telemetry.publish(() => ({ _tag: "Removed", key, cause }))
  })
  if (backend.changes !== undefined) {
    yield* Effect.forkScoped(
      Stream.runForEach(backend.changes, (change) => (change._tag === "Up" ? engine.up : Effect.void))
    )
  }
  // the last to be registered is the first to run: no load begins while the rest is taken down
  yield* Effect.addFinalizer(() => Effect.zipRight(engine.close, PubSub.shutdown(hub)))
  engine.open()
  return service(
    engine,
    Stream.unwrapScoped(
      Effect.map(
        Effect.zipRight(
          Effect.acquireRelease(
            Effect.sync(() => listeners++),
            () => Effect.sync(() => listeners--)
          ),
          PubSub.subscribe(hub)
        ),
        (queue) => Stream.fromQueue(queue)
      )
    )
  )
})

const service = (engine: Engine, events: Stream.Stream<CacheEvent>): CacheStore.Service => {
  const { backend, telemetry } = engine

  /** no span for what memory does alone */
  const traced = <A, E>(verb: string, key: string | undefined, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    backend.remote ? Tracing.verb(backend.name, verb, key, effect) : effect

  const found = (entry: Entry.Entry | undefined, now: number): Option.Option<any> => {
    const alive = engine.ownership.alive(entry, undefined, now)
    return alive === undefined ? Option.none() : Option.some(alive.value)
  }
  const lookIn = (key: string, options: CacheStore.GetOptions | undefined, now: number) =>
    Effect.catchAll(engine.startPeek(key, { schema: options?.schema }, now), () => Effect.succeed(undefined))
  const getMany = (
    keys: Iterable<string>,
    options?: CacheStore.GetOptions
  ): Effect.Effect<Array<Option.Option<any>>> => {
    // taken at the call: an iterable that can be used once would be empty when the effect runs again
    const all = Array.from(keys)
    return Effect.withFiberRuntime((fiber) =>
      Effect.map(Effect.all(all.map((key) => lookIn(key, options, nowOf(fiber)))), (entries) =>
        entries.map((entry) => found(entry, nowOf(fiber)))
      )
    )
  }
  const made = (value: unknown, now: number, options: CacheStore.SetOptions): Entry.Entry => {
    const ttl = toMillis(options.ttl)
    if (ttl <= 0) throw new InvalidOption({ option: "ttl", detail: "an entry must live longer than nothing" })
    const lifetime = { ttl, stale: toMillis(options.stale ?? 0), tags: options.tags ?? Entry.noTags }
    return makeEntry(value, lifetime, { stamp: engine.stamps.next(), now, owner: "" })
  }
  const put = (
    writes: (now: number) => Iterable<readonly [string, Entry.Entry | undefined]>,
    schema?: Backend.AnySchema
  ) =>
    Effect.withFiberRuntime<void>((fiber) =>
      Effect.all(
        Array.from(writes(nowOf(fiber)), ([key, entry]) =>
          Effect.ignore(engine.startWrite(fiber, key, entry, { schema }))
        ),
        { discard: true }
      )
    )

  return {
    [EngineId]: engine,
    get: (key, options) =>
      traced(
        "get",
        key,
        Effect.withFiberRuntime((fiber) =>
          Effect.map(lookIn(key, options, nowOf(fiber)), (entry) => found(entry, nowOf(fiber)))
        )
      ),
    getMany: (keys, options) => traced("getMany", undefined, getMany(keys, options)),
    has: (key) =>
      traced(
        "has",
        key,
        Effect.map(getMany([key]), ([entry]) => Option.isSome(entry!))
      ),
    set: (key, value, options) =>
      traced(
        "set",
        key,
        put((now) => [[key, made(value, now, options)]], options.schema)
      ),
    setMany: (entries, options) => {
      const all = Array.from(entries)
      const writes = (now: number) => all.map(([key, value]) => [key, made(value, now, options)] as const)
      return traced("setMany", undefined, put(writes, options.schema))
    },
    setIfAbsent: (key, value, options) =>
      traced(
        "setIfAbsent",
        key,
        Effect.withFiberRuntime((fiber) =>
          putIfAbsent(engine, fiber, key, made(value, nowOf(fiber), options), options.schema)
        )
      ),
    remove: (key) =>
      traced(
        "remove",
        key,
        put(() => [[key, undefined]])
      ),
    removeMany: (keys) => {
      const all = Array.from(keys, (key) => [key, undefined] as const)
      return traced(
        "removeMany",
        undefined,
        put(() => all)
      )
    },
    clear: traced("clear", undefined, Effect.ignore(engine.raise([everything]))),
    tags: {
      invalidate: (tags) => traced("invalidateTags", undefined, Effect.ignore(engine.raise(Array.from(tags, tagMark))))
    },
    stats: Effect.sync(() => {
      const sum = { ...noCounts }
      const caches = Array.from(telemetry.byName, ([name, counters]) => {
        const own = { ...noCounts }
        for (const field of fields) {
          own[field] = counters[field]
          sum[field] += counters[field]
        }
        return [name, counts(own)] as const
      })
      const { totals } = telemetry
      return {
        ...counts(sum),
        entries: Option.fromNullable(backend.unsafeSize?.()),
        inFlight: engine.singleFlight.size,
        storeErrors: totals.storeErrors,
        decodeFailures: totals.decodeFailures,
        refused: totals.refused,
        evictions: { ...totals.evicted },
        caches: Object.fromEntries(caches),
        tiers: (backend.tiers?.() ?? []).map((own, i) => {
          // what the process holds is counted where it is read
          const inMemory = i === 0 && backend.unsafeGet !== undefined
          const below = Array.from(telemetry.byName.values()).reduce((total, counters) => total + counters.below, 0)
          const hits = inMemory ? sum.hits + sum.staleHits - below : own.hits
          const misses = inMemory ? sum.misses + below : own.misses
          return { ...own, hits, misses, hitRate: hits + misses === 0 ? 0 : hits / (hits + misses) }
        })
      }
    }),
    events,
    health: Effect.sync(() => ({
      status: telemetry.isFailing || backend.isUp?.() === false ? ("down" as const) : ("up" as const),
      store: backend.name,
      owes: engine.invalidation.undelivered > 0,
      coherent: !engine.isBlind
    }))
  }
}

type Counted = Omit<CacheStore.Counts, "reads" | "hitRate">

const noCounts: { -readonly [K in keyof Counted]: number } = {
  hits: 0,
  staleHits: 0,
  misses: 0,
  coalesced: 0,
  loads: 0,
  loadFailures: 0,
  refreshes: 0,
  refreshFailures: 0
}

const fields = /*#__PURE__*/ Object.keys(noCounts) as ReadonlyArray<keyof Counted>

const counts = (counted: Counted): CacheStore.Counts => {
  const answered = counted.hits + counted.staleHits
  const reads = answered + counted.misses
  return { reads, hitRate: reads === 0 ? 0 : answered / reads, ...counted }
}

const noop: Backend.Backend = /*#__PURE__*/ Backend.fromLocal({
  name: "noop",
  unsafeGet: () => undefined,
  unsafeSet: () => {},
  unsafeRemove: () => false,
  unsafeSize: () => 0
})
