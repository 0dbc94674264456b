/**
 * Cached effects and functions: a lookup, a policy, and wherever the Layer says entries live.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 *
 * const getUser = Cached.swr((id: number) => Effect.succeed({ id, name: "Ada" }), {
 *   key: "user:{}",
 *   ttl: "60 seconds",
 *   stale: "30 seconds"
 * })
 *
 * const program = Effect.gen(function* () {
 *   const user = yield* getUser(42) // loads once, however many fibers ask
 *   yield* getUser.invalidate(42)
 *   return user
 * })
 *
 * program.pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * What a lookup must know: it runs in a fiber of its own, with the context of the first who asked. A service that changes
 * per request and changes the answer belongs in the key.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { CacheStoreError, DuplicateLoader, SerializerError } from "./CacheError.js"
import { CachePolicy } from "./CachePolicy.js"
import { CacheStore } from "./CacheStore.js"
import type * as Entry from "./Entry.js"
import * as Background from "./internal/cached/background.js"
import {
  asEffect,
  asFunction,
  type LifetimesFrom,
  type Spec,
  SpecId,
  type SpecOptions,
  wrap
} from "./internal/cached/cached.js"
import type { ArgsOf, Lookup, ValueOf } from "./internal/cached/lookup.js"
import * as Mirror from "./internal/cached/mirror.js"
import { type Engine, EngineId } from "./internal/engine/engine.js"
import { withMode } from "./internal/engine/mode.js"
import { tagMark } from "./internal/markNames.js"
import type * as Key from "./Key.js"

// -------------------------------------------------------------------------------------------------------------- models

/**
 * A cached effect: the effect itself, and what else can be done about its entry. `S` is what the members need: the
 * store's tag, or nothing after `bg` and `capture`. With `onStoreError: "fail"` members fail with `CacheStoreError`, too.
 *
 * @category models
 * @since 0.1.0
 */
export interface CachedEffect<in out A, out E = never, out R = never, out S = Extract<R, CacheStore.Any | CachePolicy>>
  extends Effect.Effect<A, E, R> {
  /** the logical key, without prefix and version; reading it throws `KeyError` for a template that is malformed */
  readonly key: string
  /** the next read loads, here and in every process; a load under way stores nothing */
  readonly invalidate: Effect.Effect<void, Extract<E, CacheStoreError>, S>
  /** a load begun after the call; stores, and answers with, what it gave */
  readonly refresh: Effect.Effect<A, E, R>
  /** the value, fresh or stale, without ever loading */
  readonly peek: Effect.Effect<Option.Option<A>, Extract<E, CacheStoreError>, S>
  /** the same with its state and times */
  readonly entry: Effect.Effect<Option.Option<Entry.View<A>>, Extract<E, CacheStoreError>, S>
  /** stores a value as if it had been loaded just now */
  readonly set: (value: A) => Effect.Effect<void, Extract<E, CacheStoreError>, S>
}

/**
 * A cached function: the function itself, and its members, which take the same arguments.
 *
 * @category models
 * @since 0.1.0
 */
export interface CachedFunction<
  in out Args extends ReadonlyArray<any>,
  in out A,
  out E = never,
  out R = never,
  out S = Extract<R, CacheStore.Any | CachePolicy>
> {
  (...args: Args): Effect.Effect<A, E, R>
  /** the logical key of these arguments; throws `KeyError` where they have none */
  readonly key: (...args: Args) => string
  /** the next read loads, here and in every process; a load under way stores nothing */
  readonly invalidate: (...args: Args) => Effect.Effect<void, Extract<E, CacheStoreError>, S>
  /** a load begun after the call; stores, and answers with, what it gave */
  readonly refresh: (...args: Args) => Effect.Effect<A, E, R>
  /** the value, fresh or stale, without ever loading */
  readonly peek: (...args: Args) => Effect.Effect<Option.Option<A>, Extract<E, CacheStoreError>, S>
  /** the same with its state and times */
  readonly entry: (...args: Args) => Effect.Effect<Option.Option<Entry.View<A>>, Extract<E, CacheStoreError>, S>
  /** stores a value as if it had been loaded just now */
  readonly set: (...args: Args) => (value: A) => Effect.Effect<void, Extract<E, CacheStoreError>, S>
  /** all entries of this function, and no others, in every process; costs the same however many there are */
  readonly clear: Effect.Effect<void, Extract<E, CacheStoreError>, S>
}

export type { CachedWriter } from "./internal/cached/background.js"
export type { Lookup } from "./internal/cached/lookup.js"
export type { CachedReader } from "./internal/cached/mirror.js"

type KeyInput = string | ((...args: any) => string)
type OnStoreError = "miss" | "fail"

type CheckedKey<K, Args extends ReadonlyArray<any>> = K extends string
  ? [Key.KeyProblem<K, Args>] extends [never]
    ? K
    : Key.KeyProblem<K, Args>
  : (...args: Args) => string

type NameOf<K> = K extends string
  ? {
      /**
       * the function's name: its label in metrics, spans and events, and whose its entries are. Two functions that give
       * the same one share entries. Default: the label is the template's text up to its first `:` or placeholder, the
       * identity the whole template
       */
      readonly name?: string | undefined
    }
  : {
      /** the function's name in metrics, spans and events, and whose its entries are; a key function has no text to take it from */
      readonly name: string
    }

/** as NoInfer, and gone after instantiation: that would stand in every hover and .d.ts */
type Fix<T> = [T][T extends any ? 0 : never]

type StoreError<F> = F extends "fail" ? CacheStoreError : never

/**
 * What a policy makes of a lookup: `S` is the store's tag, `F` what `onStoreError` says.
 *
 * @category models
 * @since 0.1.0
 */
export type Wrapped<L, S, F> =
  L extends Effect.Effect<infer A, infer E, infer R>
    ? CachedEffect<A, E | StoreError<F>, Exclude<R, Scope.Scope> | S, S>
    : L extends (...args: infer Args extends ReadonlyArray<any>) => Effect.Effect<infer A, infer E, infer R>
      ? CachedFunction<Args, A, E | StoreError<F>, Exclude<R, Scope.Scope> | S, S>
      : never

/**
 * The lookup, when the template fits it; otherwise the sentence that says what does not.
 *
 * @category models
 * @since 0.1.0
 */
export type Checked<L, K> = [ProblemOf<L, K>] extends [never] ? L : ProblemOf<L, K>
type ProblemOf<L, K> = K extends string ? Key.KeyProblem<K, ArgsOf<L>> : never

/** data-last without a context infers no lookup; the template is then checked when the policy is applied */
type Policy<L, K, S, F> = Lookup extends L
  ? <L2 extends Lookup>(lookup: Checked<L2, K>) => Wrapped<L2, S, F>
  : (lookup: L) => Wrapped<L, S, F>

// ------------------------------------------------------------------------------------------------------------- options

/**
 * What every policy can be given.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicyOptions<Args extends ReadonlyArray<any>, A, K = KeyInput, S = CacheStore, F = "miss"> {
  /**
   * a text, a template (`"user:{}"`, `"pair:{0}:{1}"`, `"order:{userId}:{orderId}"`), or a function of the arguments.
   * A placeholder that names no argument does not compile
   */
  readonly key: CheckedKey<K, Args>
  /** part of the key in the store: change it when the meaning of the value changes; old and new then never meet */
  readonly version?: string | number | undefined
  /** how a value crosses the border of a process; needed for what has no lossless JSON form, such as class instances */
  readonly schema?: Schema.Schema<A, any> | undefined
  /** for `Cached.invalidateTags` */
  readonly tags?: ReadonlyArray<string> | ((value: A, ...args: Args) => ReadonlyArray<string>) | undefined
  /** another store's tag; default `CacheStore` */
  readonly store?: Context.Tag<S, CacheStore.Service> | undefined
  /**
   * `"miss"` (default): a store that fails is a miss. `"fail"`: a read fails with `CacheStoreError` on a read error,
   * `set`, `invalidate` and `clear` on a write error; the write after a load is only counted
   */
  readonly onStoreError?: F | undefined
  /** after this, nobody joins a load any more and it can no longer write; a refresh is ended. Default 30 seconds */
  readonly flightTimeout?: Duration.DurationInput | undefined
  /**
   * one load among all processes, where the store is shared by several: the others wait for what it brings. A process
   * that dies holds the lock for `lease` at most; one that lives renews it, up to `flightTimeout`. A lock that cannot be had because the store
   * is away is none: everybody loads. `refresh` and `Cached.reload` load at once
   */
  readonly lock?: { readonly lease: Duration.DurationInput } | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface TtlOptions<Args extends ReadonlyArray<any>, A, K = KeyInput, S = CacheStore, F = "miss">
  extends PolicyOptions<Args, A, K, S, F> {
  /**
   * how long a value is fresh, from the end of its load, or a function of the value and the arguments. A bare number is
   * milliseconds. Nothing, or less, bypasses the cache; a function that answers so delivers without storing
   */
  readonly ttl: Duration.DurationInput | ((value: A, ...args: Args) => Duration.DurationInput)
}

/**
 * @category models
 * @since 0.1.0
 */
export interface SwrOptions<Args extends ReadonlyArray<any>, A, K = KeyInput, S = CacheStore, F = "miss">
  extends TtlOptions<Args, A, K, S, F> {
  /** how long after `ttl` a value is still served, while a refresh runs behind */
  readonly stale: Duration.DurationInput
}

// -------------------------------------------------------------------------------------------------------- constructors

const storeKey = (options: SpecOptions): string => (options.store ?? CacheStore).key

const policyOf =
  (lifetimesFrom: LifetimesFrom) =>
  (...args: ReadonlyArray<any>): any =>
    args.length === 1
      ? (lookup: Lookup) => wrap(lookup, args[0], lifetimesFrom, storeKey(args[0]))
      : wrap(args[0], args[1], lifetimesFrom, storeKey(args[1]))

/**
 * Answers with what is stored while it is fresh; otherwise loads, answers, and stores. However many ask at once, one
 * load runs per key.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 *
 * const getPrice = Cached.ttl((sku: string) => Effect.succeed(sku.length), { key: "price:{}", ttl: "5 minutes" })
 *
 * getPrice("a-1").pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const ttl: {
  <L extends Lookup, const K extends KeyInput, S = CacheStore, F extends OnStoreError = "miss">(
    options: TtlOptions<ArgsOf<L>, ValueOf<L>, K, S, F> & NameOf<K>
  ): Policy<L, K, Fix<S>, Fix<F>>
  <L extends Lookup, const K extends KeyInput, S = CacheStore, F extends OnStoreError = "miss">(
    lookup: L,
    options: TtlOptions<ArgsOf<L>, ValueOf<L>, K, S, F> & NameOf<K>
  ): Wrapped<L, Fix<S>, Fix<F>>
} = /*#__PURE__*/ policyOf("options")

/**
 * As `ttl`, and for `stale` longer answers at once with the old value while one refresh runs behind, in a fiber of the
 * store's scope. A refresh that fails keeps the old value to its deadline; the next stale read, at least a second later,
 * tries again.
 *
 * The refresh runs after its reader has gone, with its services: do not read so inside a transaction.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 *
 * const getRates = Cached.swr(Effect.succeed({ EUR: 1.08 }), { key: "rates", ttl: "1 minute", stale: "1 hour" })
 *
 * getRates.pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const swr: {
  <L extends Lookup, const K extends KeyInput, S = CacheStore, F extends OnStoreError = "miss">(
    options: SwrOptions<ArgsOf<L>, ValueOf<L>, K, S, F> & NameOf<K>
  ): Policy<L, K, Fix<S>, Fix<F>>
  <L extends Lookup, const K extends KeyInput, S = CacheStore, F extends OnStoreError = "miss">(
    lookup: L,
    options: SwrOptions<ArgsOf<L>, ValueOf<L>, K, S, F> & NameOf<K>
  ): Wrapped<L, Fix<S>, Fix<F>>
} = /*#__PURE__*/ policyOf("options")

/**
 * As the `CachePolicy` Layer above the read says, for this function's name.
 *
 * @category constructors
 * @since 0.1.0
 */
export const policy: {
  <L extends Lookup, const K extends KeyInput, S = CacheStore, F extends OnStoreError = "miss">(
    options: Omit<PolicyOptions<ArgsOf<L>, ValueOf<L>, K, S, F>, "flightTimeout"> & NameOf<K>
  ): Policy<L, K, Fix<S> | CachePolicy, Fix<F>>
  <L extends Lookup, const K extends KeyInput, S = CacheStore, F extends OnStoreError = "miss">(
    lookup: L,
    options: Omit<PolicyOptions<ArgsOf<L>, ValueOf<L>, K, S, F>, "flightTimeout"> & NameOf<K>
  ): Wrapped<L, Fix<S> | CachePolicy, Fix<F>>
} = /*#__PURE__*/ (() => policyOf(CachePolicy))()

/**
 * When a background loader runs: every so often, its entries then living twice that unless `ttl` says otherwise, so that
 * one failed run leaves no gap; or by any `Schedule`, with a `ttl`.
 *
 * @category models
 * @since 0.1.0
 */
export type When<R> =
  | {
      /** from one run to the next; nothing, or less, makes the reader a plain call of the loader */
      readonly interval: Duration.DurationInput
      readonly ttl?: Duration.DurationInput | undefined
      readonly schedule?: undefined
    }
  | {
      /** its input is the `Exit` of the last run; when it is done, runs end and readers load */
      readonly schedule: Schedule.Schedule<unknown, Exit.Exit<unknown, unknown>, R>
      readonly ttl: Duration.DurationInput
      readonly interval?: undefined
    }

/**
 * What every background loader can be given.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoaderOptions<A, E, R2> {
  readonly name?: string | undefined
  readonly tags?: ReadonlyArray<string> | ((value: A) => ReadonlyArray<string>) | undefined
  /** sees the cause of every run that failed, and can break nothing. Default: a Warning */
  readonly onError?: ((cause: Cause.Cause<E>) => Effect.Effect<unknown, unknown, R2>) | undefined
  /** the first run starts at once, unless the store holds a fresh value, whose remaining interval is then kept. Default true */
  readonly runImmediately?: boolean | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export type BgOptions<A, E, K extends string, S, F, R, R2> = Omit<PolicyOptions<[], A, K, S, F>, "tags"> &
  LoaderOptions<A, E, R2> &
  When<R>

/**
 * @category models
 * @since 0.1.0
 */
export type BgWriteOptions<A, E, K extends string, S, R, R2> = Omit<
  PolicyOptions<[], A, K, S>,
  "tags" | "lock" | "onStoreError"
> &
  LoaderOptions<A, E, R2> & {
    /**
     * one writer among all processes on a shared store: one leads, the others stand by and do not load. A leader that
     * dies or freezes is replaced within `lease`, and can write no more; one whose scope closes hands over at once.
     * `lease` is on the live clock and renewed every third of it. A store in memory has but one process: it leads
     */
    readonly leader?: { readonly lease: Duration.DurationInput } | undefined
  } & When<R>

/**
 * @category models
 * @since 0.1.0
 */
export interface BgReadOptions<A, S, R2> {
  /** the key of the writer, without placeholders */
  readonly key: string
  /** the writer's */
  readonly version?: string | number | undefined
  /** the writer's: how a value crosses the border of a process */
  readonly schema?: Schema.Schema<A, any> | undefined
  /** another store's tag; default `CacheStore` */
  readonly store?: Context.Tag<S, CacheStore.Service> | undefined
  /** from one look into the store to the next. One that tells of writes is looked into when it does, too. Default 30 seconds */
  readonly interval?: Duration.DurationInput | undefined
  /** how long a value is kept at least, from the end of its load, when nothing newer comes. Default: as long as it lives */
  readonly ttl?: Duration.DurationInput | undefined
  /** sees why the store could not be read, each time, and can break nothing; the store itself says so once */
  readonly onError?:
    | ((cause: Cause.Cause<CacheStoreError | SerializerError>) => Effect.Effect<unknown, unknown, R2>)
    | undefined
}

/**
 * Loads ahead of reads: starts a daemon fiber and returns its reader, at once. The reader answers with the daemon's last
 * value while it lives; before the first and after its end it loads. A read before the first run has ended joins it.
 * The daemon ends with the first of this scope and the store's.
 *
 * `flightTimeout` defaults to the longer of 30 seconds and twice the interval. A second loader on a key of one store
 * fails with `DuplicateLoader`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 *
 * const program = Effect.gen(function* () {
 *   const flags = yield* Cached.bg(Effect.succeed({ dark: true }), { key: "flags", interval: "30 seconds" })
 *   return yield* flags
 * })
 *
 * program.pipe(Effect.scoped, Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const bg = <
  A,
  E,
  R,
  const K extends string,
  S = CacheStore,
  F extends OnStoreError = "miss",
  R1 = never,
  R2 = never
>(
  loader: Effect.Effect<A, E, R>,
  options: BgOptions<A, Fix<E>, K, S, F, R1, R2>
): Effect.Effect<
  CachedEffect<A, E | StoreError<F>>,
  DuplicateLoader,
  Exclude<R, Scope.Scope> | Fix<S> | R1 | R2 | Scope.Scope
> =>
  Effect.map(Background.start(loader, options as never, storeKey(options as never)), ({ spec }) =>
    asEffect(spec)
  ) as never

/**
 * The writing half of a loader, for processes that do not load: runs the loader and stores what it gives, for
 * `Cached.bgRead` in others. Starts a daemon, at once; it ends with the first of this scope and the store's.
 *
 * Defaults are those of `bg`. A second loader on a key of one store fails with `DuplicateLoader`; an `interval` or `ttl`
 * of nothing is the defect `InvalidOption`.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 *
 * const fetchFlags = Effect.succeed({ dark: true })
 *
 * const WriterLive = Layer.scopedDiscard(
 *   Cached.bgWrite(fetchFlags, { key: "flags", interval: "1 minute", leader: { lease: "10 seconds" } })
 * )
 *
 * Effect.void.pipe(Effect.provide(WriterLive.pipe(Layer.provide(MemoryCacheLive))), Effect.runPromise)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const bgWrite = <A, E, R, const K extends string, S = CacheStore, R1 = never, R2 = never>(
  loader: Effect.Effect<A, E, R>,
  options: BgWriteOptions<A, Fix<E>, K, S, R1, R2>
): Effect.Effect<Background.CachedWriter, DuplicateLoader, Exclude<R, Scope.Scope> | Fix<S> | R1 | R2 | Scope.Scope> =>
  Background.startWriting(loader, options as never, storeKey(options as never)) as never

/**
 * The reading half: a mirror of what a writer stores, its own for each reader, however many there are. Reader and writer
 * may start in any order. Whoever wrote the key is read; a value that was invalidated, cleared or removed is gone from
 * the mirror, one that the store has merely lost is kept to the end of its life.
 *
 * Where the store tells of writes (memory, Redis) the mirror follows within milliseconds and `interval` is the safety
 * net; otherwise it is how late a value may come. With another store's tag both types are named:
 * `Cached.bgRead<Flags, Sessions>({ key, store: Sessions })`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 *
 * const program = Effect.gen(function* () {
 *   const flags = yield* Cached.bgRead<{ readonly dark: boolean }>({ key: "flags" })
 *   yield* Cached.bgWrite(Effect.succeed({ dark: true }), { key: "flags", interval: "1 minute" })
 *   yield* flags.ready
 *   return yield* flags // Some({ dark: true })
 * })
 *
 * program.pipe(Effect.scoped, Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const bgRead = <A, S = CacheStore, R2 = never>(
  options: BgReadOptions<A, S, R2>
): Effect.Effect<Mirror.CachedReader<A>, never, Fix<S> | R2 | Scope.Scope> =>
  Mirror.read(options as never, storeKey(options as never)) as never

// --------------------------------------------------------------------------------------------------------- combinators

/**
 * Reads made inside load anew, and store what they loaded.
 *
 * @category combinators
 * @since 0.1.0
 */
export const reload = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => withMode(self, "reload")

/**
 * Reads made inside neither read the cache, nor store, nor join a load.
 *
 * @category combinators
 * @since 0.1.0
 */
export const bypass = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => withMode(self, "bypass")

type AnyCached = CachedEffect<any, any, any, any> | CachedFunction<any, any, any, any, any>
type Captured<C> =
  C extends CachedEffect<infer A, infer E, any, any>
    ? CachedEffect<A, E, never, never>
    : C extends CachedFunction<infer Args, infer A, infer E, any, any>
      ? CachedFunction<Args, A, E, never, never>
      : never
type RequiredBy<C> =
  C extends CachedEffect<any, any, infer R, infer S>
    ? R | S
    : C extends CachedFunction<any, any, any, infer R, infer S>
      ? R | S
      : never

/**
 * The same with its services taken from here: for services whose methods carry no `CacheStore` in their requirements,
 * and for refreshes that must not run with a request's services.
 *
 * @category combinators
 * @since 0.1.0
 */
export const capture = <C extends AnyCached>(cached: C): Effect.Effect<Captured<C>, never, RequiredBy<C>> =>
  Effect.map(Effect.context<any>(), (context) => {
    const spec: Spec = (cached as unknown as { readonly [SpecId]: Spec })[SpecId].captured(context)
    return (Effect.isEffect(cached) ? asEffect(spec) : asFunction(spec)) as never
  }) as never

// distributive, as Effect's own are not: those answer `unknown` for no effect at all
type ErrorOf<Eff> = Eff extends Effect.Effect<any, infer E, any> ? E : never
type ContextOf<Eff> = Eff extends Effect.Effect<any, any, infer R> ? R : never

/**
 * Runs reads ahead of traffic. All are tried; the failures of those that failed come back together.
 *
 * @category combinators
 * @since 0.1.0
 */
export const warm = <Eff extends Effect.Effect<any, any, any> = never>(
  effects: Iterable<Eff>,
  options?: {
    /** how many at once, default 16 */
    readonly concurrency?: number | undefined
  }
): Effect.Effect<void, ErrorOf<Eff>, ContextOf<Eff>> =>
  Effect.flatMap(Effect.forEach(effects, Effect.exit, { concurrency: options?.concurrency ?? 16 }), (exits) => {
    let failures: Cause.Cause<ErrorOf<Eff>> = Cause.empty
    for (const exit of exits) if (Exit.isFailure(exit)) failures = Cause.parallel(failures, exit.cause)
    return Cause.isEmpty(failures) ? Effect.void : Effect.failCause(failures)
  })

/**
 * Every entry that carries one of these tags is gone, in every process; loads under way that may carry one store
 * nothing. Costs the same however many entries there are.
 *
 * @category combinators
 * @since 0.1.0
 */
export const invalidateTags = <S = CacheStore>(
  tags: Iterable<string>,
  options?: {
    /** another store's tag; default `CacheStore` */
    readonly store?: Context.Tag<S, CacheStore.Service> | undefined
  }
): Effect.Effect<void, never, Fix<S>> => {
  const marks = Array.from(tags, tagMark)
  return Effect.flatMap((options?.store ?? CacheStore) as Context.Tag<Fix<S>, CacheStore.Service>, (service) =>
    Effect.ignore((service[EngineId] as Engine).raise(marks))
  )
}
