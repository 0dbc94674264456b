/**
 * Cached effects and functions. A policy (`ttl`, `swr`, `bg`, `bgWrite` and `bgRead`, `policy`) wraps a lookup, and the
 * Layer of a `CacheStore` decides where its entries are stored.
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
 * **Gotchas**
 *
 * A lookup runs in a fiber of its own, with the services of its first caller, and every caller gets its value. If a
 * service that differs between requests changes the value, put what differs into the key.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { CacheStoreError, DuplicateLoader, LoadTimeout } from "./CacheError.js"
import { CachePolicy } from "./CachePolicy.js"
import { CacheStore } from "./CacheStore.js"
import * as Background from "./internal/cached/background.js"
import * as Batched from "./internal/cached/batched.js"
import type { BatchOptions } from "./internal/cached/batchOptions.js"
import { asEffect, asFunction, type LifetimesFrom, type SpecOptions } from "./internal/cached/cached.js"
import * as Captures from "./internal/cached/capture.js"
import type {
  AnySchema,
  Checked,
  CheckedKey,
  CheckedSchema,
  Kept,
  KeyInput,
  NameOf,
  NoArgument,
  OnStoreError,
  Stored
} from "./internal/cached/checks.js"
import type { NotModified } from "./internal/cached/conditional.js"
import * as Conditional from "./internal/cached/conditional.js"
import * as Entities from "./internal/cached/entity.js"
import type { FailureOptions } from "./internal/cached/failureOptions.js"
import * as Keyed from "./internal/cached/keyedLoader.js"
import type { LifeOptions } from "./internal/cached/lifeOptions.js"
import type { LoaderKey, LoaderOptions, When } from "./internal/cached/loaderOptions.js"
import type { ArgsOf, Lookup, ErrorOf as LookupError, ValueOf } from "./internal/cached/lookup.js"
import * as Mirror from "./internal/cached/mirror.js"
import type { MirrorOptions } from "./internal/cached/mirrorOptions.js"
import * as Mutations from "./internal/cached/mutations.js"
import { type PartitionOption, wrap } from "./internal/cached/partition.js"
import type * as Partitioned from "./internal/cached/partitioned.js"
import * as Resolvers from "./internal/cached/resolver.js"
import { type WarmProgress, warmAll } from "./internal/cached/runAll.js"
import * as Stubs from "./internal/cached/stub.js"
import { markTags } from "./internal/cached/tags.js"
import type { HardTimeout, TimeoutOption } from "./internal/cached/timeoutOptions.js"
import { withMode } from "./internal/engine/mode.js"
import type * as Models from "./internal/models.js"
import type { BatchedFunction, CachedEffect, CachedFunction } from "./internal/models.js"
import type * as Key from "./Key.js"

export type { CachedWriter } from "./internal/cached/background.js"
export type { CheckedMany, LookupMany } from "./internal/cached/batched.js"
export type { BatchOptions } from "./internal/cached/batchOptions.js"
export type { Checked, Kept, NameRequired, NoArgument, Stored } from "./internal/cached/checks.js"
export type { NotModified } from "./internal/cached/conditional.js"
export type {
  CheckedEntityKey,
  Entity,
  EntityId,
  EntityKey,
  EntityLookup,
  EntityOptions
} from "./internal/cached/entity.js"
export type { FailureOptions, StoredFailures } from "./internal/cached/failureOptions.js"
export type { KeyedOptions } from "./internal/cached/keyedLoader.js"
export type { LifeOptions } from "./internal/cached/lifeOptions.js"
export type { LoaderKey, LoaderOptions, When } from "./internal/cached/loaderOptions.js"
export type { Lookup } from "./internal/cached/lookup.js"
export type { CachedReader } from "./internal/cached/mirror.js"
export type {
  CachedTarget,
  CheckedTargets,
  Mutating,
  RefreshTarget,
  Target,
  TargetFunction,
  Targets,
  WhenToInvalidate
} from "./internal/cached/mutations.js"
export type { PartitionOption } from "./internal/cached/partition.js"
export type {
  PartitionedBatch,
  PartitionedEffect,
  PartitionedEntity,
  PartitionedFunction
} from "./internal/cached/partitioned.js"
export type { WarmProgress } from "./internal/cached/runAll.js"
export type { PartitionedStub, Stub, StubEffect, StubFunction, StubMany } from "./internal/cached/stub.js"
export type { HardTimeout, Timeout, TimeoutOption } from "./internal/cached/timeoutOptions.js"
export type { BatchedFunction, CachedEffect, CachedFunction } from "./internal/models.js"

// In bounds and conditional types `any` stands where every type has to fit: no other type does, because a parameter takes
// the subtypes of its type, and a result the supertypes. No value is typed `any` by them.

// These stay here, not exported: the compiler then expands them in the declarations of users, who cannot name them.

/** Acts as `NoInfer`, but disappears when it is instantiated: `NoInfer` would show in every hover and declaration. */
type Fix<T> = [T][T extends any ? 0 : never]

type StoreError<F> = F extends "fail" ? CacheStoreError : never

/** The errors that the options of a policy add: `H` is the type of `timeout.hard`. */
type OptionError<F, H> = StoreError<F> | ([H] extends [undefined] ? never : LoadTimeout)

/** The options that depend on the lookup, and no others, so that the declaration of a policy stays short. */
type Dependent<O> = {
  [P in keyof O as O[P] extends ((...args: any) => any) | AnySchema
    ? Exclude<P, "key">
    : P extends "failures"
      ? P
      : never]: O[P]
}

/**
 * The cached effect or function that a policy makes of a lookup. `S` is the tag of the store, `F` the option
 * `onStoreError`, `Sch` the schema, `P` the tag of the partition, `R2` what `onError` requires, `H` the option
 * `timeout.hard`.
 *
 * @category models
 * @since 0.1.0
 */
export type Wrapped<L, S, F, Sch = never, P = never, R2 = never, H = never> =
  L extends Effect.Effect<infer A, infer E, infer R>
    ? [P] extends [never]
      ? CachedEffect<Stored<A, Sch>, E | OptionError<F, H>, Exclude<R, Scope.Scope> | S | R2, S>
      : Partitioned.PartitionedEffect<Stored<A, Sch>, P, E | OptionError<F, H>, Exclude<R | R2, Scope.Scope | P> | S, S>
    : L extends (...args: infer Args extends ReadonlyArray<any>) => Effect.Effect<infer A, infer E, infer R>
      ? [P] extends [never]
        ? CachedFunction<Args, Stored<A, Sch>, E | OptionError<F, H>, Exclude<R, Scope.Scope> | S | R2, S>
        : Partitioned.PartitionedFunction<
            Args,
            Stored<A, Sch>,
            P,
            E | OptionError<F, H>,
            Exclude<R | R2, Scope.Scope | P> | S,
            S
          >
      : never

/** The batched function of a lookup that requires `R`. */
type BatchedOf<Id, A, E, R, S, P, R2> = [P] extends [never]
  ? BatchedFunction<Id, A, E, Exclude<R, Scope.Scope> | S | R2, S>
  : Partitioned.PartitionedBatch<Id, A, P, E, Exclude<R | R2, Scope.Scope | P> | S, S>

/**
 * A policy without its lookup. If no lookup can be inferred yet, the options are checked when the policy is applied.
 *
 * It takes no further arguments, and says so: `Effect.fn` passes the effect of one call and the arguments of that call,
 * so a policy among its own arguments would cache all calls under one key.
 */
type Policy<L, K, S, F, I, Sch, P, O, R2, H> = Lookup extends L
  ? <L2 extends Lookup>(
      lookup: Checked<L2, K, I, Dependent<O>>,
      ...none: Array<NoArgument>
    ) => Wrapped<L2, S, F, Sch, P, R2, H>
  : (lookup: L, ...none: Array<NoArgument>) => Wrapped<L, S, F, Sch, P, R2, H>

/**
 * The options of every policy.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicyOptions<
  Args extends ReadonlyArray<any>,
  A,
  K = KeyInput,
  S = CacheStore,
  F = "miss",
  V = A,
  I = never,
  Sch = Schema.Schema<A, any>
> {
  /**
   * The key: a text, a template (`"user:{}"`, `"pair:{0}:{1}"`, `"order:{userId}:{orderId}"`), or a function of the
   * arguments. A template does not compile if a placeholder names no argument, or if it leaves out an argument, or a
   * property of a record, that `ignore` does not list.
   */
  readonly key: CheckedKey<K, Args, I>
  /**
   * What a template leaves out of the key on purpose: arguments by position, and properties of a first argument that is
   * a record by name (`[1, "region"]`). Calls that differ in nothing else share an entry. Beside properties in the
   * template, `0` stands for the rest of the record. Default: nothing.
   */
  readonly ignore?: ReadonlyArray<I> | undefined
  /**
   * Part of the key in the store. Change it when the meaning of the value changes: releases with different versions
   * then share no entry. Default: no version.
   */
  readonly version?: string | number | undefined
  /**
   * The schema that encodes values for a store that keeps bytes. Required there for a value without a lossless JSON
   * form, such as an instance of a class. A schema that leaves out properties of the value does not compile. Default:
   * the serializer of the store encodes the value.
   */
  readonly schema?: CheckedSchema<Sch, A> | undefined
  /** Tags for `Cached.invalidateTags`, fixed or computed from the value and the arguments. Default: none. */
  readonly tags?: ReadonlyArray<string> | ((value: V, ...args: Args) => ReadonlyArray<string>) | undefined
  /** The tag of the store. Default: `CacheStore`. */
  readonly store?: Context.Tag<S, CacheStore.Service> | undefined
  /**
   * What happens when the store fails. With `"miss"` (the default) a failed read is a miss, and a failed write is
   * logged and counted. With `"fail"` a failed read fails with `CacheStoreError`, and so do `set`, `invalidate` and
   * `clear` when their write fails; the write after a load is still only counted.
   */
  readonly onStoreError?: F | undefined
  /**
   * How long a load may be joined and may store its value. After that the next read starts another load. A refresh is
   * interrupted. Default: 30 seconds.
   */
  readonly flightTimeout?: Duration.DurationInput | undefined
  /**
   * The fraction of `ttl`, from 0 to 1, that is added to it at random, so that values that were loaded at the same time
   * do not expire at the same time: with `ttl: "10 minutes"` and `jitter: 0.1` a value is fresh for 10 to 11 minutes.
   * Chance comes from the `Random` of the read that loads. Default: 0.
   */
  readonly jitter?: number | undefined
  /**
   * One load per key among all processes that share the store; the other processes wait for its value. The lock lasts
   * for `lease` and is renewed while the load runs, up to `flightTimeout`. After a process died, the others wait for
   * `lease` at most. If the store is away, every process loads. `refresh` and `Cached.reload` do not wait for the lock.
   * Default: no lock.
   */
  readonly lock?: { readonly lease: Duration.DurationInput } | undefined
}

/**
 * The options of `Cached.ttl`.
 *
 * @category models
 * @since 0.1.0
 */
export interface TtlOptions<
  Args extends ReadonlyArray<any>,
  A,
  K = KeyInput,
  S = CacheStore,
  F = "miss",
  V = A,
  I = never,
  Sch = Schema.Schema<A, any>
> extends PolicyOptions<Args, A, K, S, F, V, I, Sch>,
    LifeOptions<Args, V> {}

/**
 * The options of `Cached.swr`.
 *
 * @category models
 * @since 0.1.0
 */
export interface SwrOptions<
  Args extends ReadonlyArray<any>,
  A,
  K = KeyInput,
  S = CacheStore,
  F = "miss",
  V = A,
  I = never,
  Sch = Schema.Schema<A, any>
> extends TtlOptions<Args, A, K, S, F, V, I, Sch> {
  /**
   * How long after `ttl` a read still returns the stale value, and starts a refresh: a duration, or a function of the
   * value and the arguments.
   */
  readonly stale: Duration.DurationInput | ((value: V, ...args: Args) => Duration.DurationInput)
}

/**
 * The options of `Cached.batched`. What depends on a value (`schema`, `ttl`, `stale` and `tags`) is of a present one.
 *
 * @category models
 * @since 0.2.0
 */
export interface BatchedOptions<
  Args extends ReadonlyArray<any>,
  A,
  K = KeyInput,
  S = CacheStore,
  F = "miss",
  V = A,
  I = never,
  Sch = Schema.Schema<A, any>,
  Ordered = false
> extends TtlOptions<Args, A, K, S, F, V, I, Sch>,
    BatchOptions<Ordered> {
  /**
   * How long after `ttl` a read still returns the stale value, and starts a refresh: a duration, or a function of the
   * value and the id. Default: 0.
   */
  readonly stale?: Duration.DurationInput | ((value: V, ...args: Args) => Duration.DurationInput) | undefined
}

const storeKey = (options: SpecOptions): string => (options.store ?? CacheStore).key

/** The implementation of the overloads of a policy, which give it its types. It takes the lookup first or last. */
const policyOf =
  (lifetimesFrom: LifetimesFrom) =>
  (...args: ReadonlyArray<any>): any =>
    args.length === 1
      ? (lookup: Lookup) => wrap(lookup, args[0], lifetimesFrom, storeKey(args[0]))
      : wrap(args[0], args[1], lifetimesFrom, storeKey(args[1]))

/**
 * Caches a lookup for a fixed time. A read returns the stored value while it is fresh; otherwise it runs the lookup,
 * returns the value and stores it. Concurrent reads of a key share one load.
 *
 * Accepts the lookup first or last: `Cached.ttl(lookup, options)` or `lookup.pipe(Cached.ttl(options))`.
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
  <
    L extends Lookup,
    const K extends KeyInput,
    const I extends Key.Ignorable<K, ArgsOf<L>> = never,
    Sch extends AnySchema = never,
    S = CacheStore,
    F extends OnStoreError = "miss",
    P = never,
    V = string,
    R2 = never,
    const H extends Duration.DurationInput | undefined = never,
    O = {}
  >(
    options: TtlOptions<ArgsOf<L>, ValueOf<L>, K, S, F, Stored<ValueOf<L>, Sch>, I, Sch> &
      PartitionOption<P, V> &
      TimeoutOption<H> &
      FailureOptions<LookupError<L>, ArgsOf<L>, R2> &
      NameOf<K> &
      Kept<O>
  ): Policy<L, K, Fix<S>, Fix<F>, I, Sch, Fix<P>, O, Fix<R2>, Fix<H>>
  <
    L extends Lookup,
    const K extends KeyInput,
    const I extends Key.Ignorable<K, ArgsOf<L>> = never,
    Sch extends AnySchema = never,
    S = CacheStore,
    F extends OnStoreError = "miss",
    P = never,
    V = string,
    R2 = never,
    const H extends Duration.DurationInput | undefined = never
  >(
    lookup: L,
    options: TtlOptions<ArgsOf<L>, ValueOf<L>, K, S, F, Stored<ValueOf<L>, Sch>, I, Sch> &
      PartitionOption<P, V> &
      TimeoutOption<H> &
      FailureOptions<LookupError<L>, ArgsOf<L>, R2> &
      NameOf<K>
  ): Wrapped<L, Fix<S>, Fix<F>, Sch, Fix<P>, Fix<R2>, Fix<H>>
} = /*#__PURE__*/ policyOf("options")

/**
 * Caches a lookup as stale-while-revalidate. It does what `ttl` does, and for the time `stale` after that a read
 * returns the old value at once and starts one refresh in the background. Use it when an old value is better than a
 * wait.
 *
 * **Details**
 *
 * When a refresh fails, the old value is returned until its stale time is over, and with `staleIfError` even after
 * that. A stale read starts the next
 * refresh after `retryAfter` at the earliest.
 *
 * **Gotchas**
 *
 * The refresh runs in a fiber of the store, with the services of the read that started it, and goes on after that read
 * has ended. So do not read this way inside a transaction; `Cached.capture` gives the refresh other services.
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
  <
    L extends Lookup,
    const K extends KeyInput,
    const I extends Key.Ignorable<K, ArgsOf<L>> = never,
    Sch extends AnySchema = never,
    S = CacheStore,
    F extends OnStoreError = "miss",
    P = never,
    V = string,
    R2 = never,
    const H extends Duration.DurationInput | undefined = never,
    O = {}
  >(
    options: SwrOptions<ArgsOf<L>, ValueOf<L>, K, S, F, Stored<ValueOf<L>, Sch>, I, Sch> &
      PartitionOption<P, V> &
      TimeoutOption<H> &
      FailureOptions<LookupError<L>, ArgsOf<L>, R2> &
      NameOf<K> &
      Kept<O>
  ): Policy<L, K, Fix<S>, Fix<F>, I, Sch, Fix<P>, O, Fix<R2>, Fix<H>>
  <
    L extends Lookup,
    const K extends KeyInput,
    const I extends Key.Ignorable<K, ArgsOf<L>> = never,
    Sch extends AnySchema = never,
    S = CacheStore,
    F extends OnStoreError = "miss",
    P = never,
    V = string,
    R2 = never,
    const H extends Duration.DurationInput | undefined = never
  >(
    lookup: L,
    options: SwrOptions<ArgsOf<L>, ValueOf<L>, K, S, F, Stored<ValueOf<L>, Sch>, I, Sch> &
      PartitionOption<P, V> &
      TimeoutOption<H> &
      FailureOptions<LookupError<L>, ArgsOf<L>, R2> &
      NameOf<K>
  ): Wrapped<L, Fix<S>, Fix<F>, Sch, Fix<P>, Fix<R2>, Fix<H>>
} = /*#__PURE__*/ policyOf("options")

/** The options that `CachePolicy` gives a function in place of its own. */
type LifetimeOption = "flightTimeout" | "jitter"

/**
 * Caches a lookup for the times that the `CachePolicy` Layer around the read gives for the name of this function. Use
 * it to configure times in one place, outside the code that caches.
 *
 * @category constructors
 * @since 0.1.0
 */
export const policy: {
  <
    L extends Lookup,
    const K extends KeyInput,
    const I extends Key.Ignorable<K, ArgsOf<L>> = never,
    Sch extends AnySchema = never,
    S = CacheStore,
    F extends OnStoreError = "miss",
    P = never,
    V = string,
    R2 = never,
    const H extends Duration.DurationInput | undefined = never,
    O = {}
  >(
    options: Omit<PolicyOptions<ArgsOf<L>, ValueOf<L>, K, S, F, Stored<ValueOf<L>, Sch>, I, Sch>, LifetimeOption> &
      PartitionOption<P, V> & { readonly timeout?: HardTimeout<H> | undefined } & FailureOptions<
        LookupError<L>,
        ArgsOf<L>,
        R2
      > &
      NameOf<K> &
      Kept<O>
  ): Policy<L, K, Fix<S> | CachePolicy, Fix<F>, I, Sch, Fix<P>, O, Fix<R2>, Fix<H>>
  <
    L extends Lookup,
    const K extends KeyInput,
    const I extends Key.Ignorable<K, ArgsOf<L>> = never,
    Sch extends AnySchema = never,
    S = CacheStore,
    F extends OnStoreError = "miss",
    P = never,
    V = string,
    R2 = never,
    const H extends Duration.DurationInput | undefined = never
  >(
    lookup: L,
    options: Omit<PolicyOptions<ArgsOf<L>, ValueOf<L>, K, S, F, Stored<ValueOf<L>, Sch>, I, Sch>, LifetimeOption> &
      PartitionOption<P, V> & { readonly timeout?: HardTimeout<H> | undefined } & FailureOptions<
        LookupError<L>,
        ArgsOf<L>,
        R2
      > &
      NameOf<K>
  ): Wrapped<L, Fix<S> | CachePolicy, Fix<F>, Sch, Fix<P>, Fix<R2>, Fix<H>>
} = /*#__PURE__*/ (() => policyOf(CachePolicy))()

/**
 * The options of `Cached.bg`. `L` is the loader, an effect or a function.
 *
 * @category models
 * @since 0.1.0
 */
export type BgOptions<L, K, S, F, R, R2, I = never> = Omit<
  PolicyOptions<ArgsOf<L>, ValueOf<L>, K, S, F, ValueOf<L>, I>,
  "tags" | "ignore" | "key"
> & {
  /** The key, as in every policy. An effect has no arguments, so its key is a text without placeholders. */
  readonly key: LoaderKey<L, K, I>
} & LoaderOptions<ValueOf<L>, LookupError<L>, R2, ArgsOf<L>> &
  NameOf<K> &
  When<R> &
  (Lookup extends L ? OfFunction<L, K, I> : L extends Effect.Effect<any, any, any> ? unknown : OfFunction<L, K, I>)

/** The options of a background loader that only one with arguments has. */
type OfFunction<L, K, I> = Pick<PolicyOptions<ArgsOf<L>, ValueOf<L>, K, CacheStore, "miss", ValueOf<L>, I>, "ignore"> &
  Keyed.KeyedOptions

/**
 * The effect that starts `Cached.bg`. `S` is the tag of the store, `F` the option `onStoreError`, `R2` what the options
 * require. The loader of a function claims its keys one by one, as they are read, so it does not fail with
 * `DuplicateLoader`.
 *
 * @category models
 * @since 0.2.0
 */
export type StartsLoader<L, S, F, R2> =
  L extends Effect.Effect<infer A, infer E, infer R>
    ? Effect.Effect<CachedEffect<A, E | StoreError<F>>, DuplicateLoader, Exclude<R, Scope.Scope> | S | R2 | Scope.Scope>
    : L extends (...args: infer Args extends ReadonlyArray<any>) => Effect.Effect<infer A, infer E, infer R>
      ? Effect.Effect<CachedFunction<Args, A, E | StoreError<F>>, never, Exclude<R, Scope.Scope> | S | R2 | Scope.Scope>
      : never

/**
 * The options of `Cached.bgWrite`.
 *
 * @category models
 * @since 0.1.0
 */
export type BgWriteOptions<A, E, K extends string, S, R, R2> = Omit<
  PolicyOptions<[], A, K, S>,
  "tags" | "ignore" | "lock" | "onStoreError"
> &
  LoaderOptions<A, E, R2> &
  NameOf<K> & {
    /**
     * One loading process among all that share the store: one leads, the others stand by and do not load. A leader that
     * dies or freezes is replaced within `lease`, and its later writes are refused; a leader whose scope closes hands
     * over at once. The lease follows the live clock and is renewed at every third of it. On a store in memory this
     * process leads. Default: every process loads.
     */
    readonly leader?: { readonly lease: Duration.DurationInput } | undefined
  } & When<R>

/**
 * The options of `Cached.bgRead`. `S` is the tag of the store, `R2` what `onError` requires.
 *
 * @category models
 * @since 0.1.0
 */
export type BgReadOptions<A, S, R2> = MirrorOptions<A, S, R2, CacheStore.Service>

/**
 * Loads in the background, ahead of reads. It starts a daemon and returns its reader at once, without waiting for the
 * first load. Use it for a value that every request needs, so that no request waits for a load.
 *
 * **Details**
 *
 * The reader returns the last value of the daemon while that is fresh. Before the first value and after the end of the
 * last one it loads; a read during a run of the daemon joins that run. The daemon ends when this scope or the store
 * closes. `flightTimeout` defaults to 30 seconds or twice the interval, whichever is longer.
 *
 * Fails with `DuplicateLoader` when the key has a background loader on this store already.
 *
 * **With arguments**
 *
 * The loader of a function gives a cached function, and starts nothing yet. Each key that is read gets a daemon: it starts
 * with the first read, which loads, and ends `idleTimeToLive` after the last one (ten intervals by default). Beyond
 * `maxDaemons` (1 000) reads of further keys behave as those of `ttl`, and the store has the problem `TooManyDaemons`. A
 * key that has a background loader already gets no second one.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 *
 * const program = Effect.gen(function* () {
 *   const flags = yield* Cached.bg((tenant: string) => Effect.succeed({ tenant, dark: true }), {
 *     key: "flags:{}",
 *     interval: "30 seconds"
 *   })
 *   return yield* flags("acme")
 * })
 *
 * program.pipe(Effect.scoped, Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
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
  L extends Lookup,
  const K extends KeyInput,
  const I extends Key.Ignorable<K, ArgsOf<L>> = never,
  S = CacheStore,
  F extends OnStoreError = "miss",
  R1 = never,
  R2 = never
>(
  loader: L,
  options: BgOptions<L, K, S, F, R1, R2, I>
): StartsLoader<L, Fix<S>, Fix<F>, R1 | R2> =>
  (Effect.isEffect(loader)
    ? Effect.map(Background.start(loader, options as never, storeKey(options as never)), ({ spec }) => asEffect(spec))
    : Effect.map(Keyed.start(loader, options as never, storeKey(options as never)), asFunction)) as never

/**
 * The writing half of a background loader: it starts a daemon that runs the loader and stores its values, which
 * `Cached.bgRead` reads in other processes. Use the pair when only some processes can or should load.
 *
 * **Details**
 *
 * The daemon starts at once and ends when this scope or the store closes. The defaults are those of `bg`.
 *
 * Fails with `DuplicateLoader` when the key has a background loader on this store already. An `interval` or a `ttl` of
 * zero is the defect `InvalidOption`.
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
): Effect.Effect<
  Background.CachedWriter<A, Fix<E>>,
  DuplicateLoader,
  Exclude<R, Scope.Scope> | Fix<S> | R1 | R2 | Scope.Scope
> => Background.startWriting(loader, options as never, storeKey(options as never)) as never

/**
 * The reading half of a background loader: a mirror that keeps the last value of a key in the memory of this process. A
 * read of it neither waits nor loads. Every call of `bgRead` makes a mirror of its own.
 *
 * **Details**
 *
 * Reader and writer may start in any order, and the reader takes a value from any writer of the key. A value that was
 * invalidated, cleared or removed disappears from the mirror. A value that the store has only lost is kept until the
 * end of its lifetime.
 *
 * On a store that notifies its readers of writes (memory, Redis) a new value arrives within milliseconds, and
 * `interval` is a safety net. On other stores a new value arrives after `interval` at the latest.
 *
 * With the tag of another store, name both types: `Cached.bgRead<Flags, Sessions>({ key, store: Sessions })`.
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

/**
 * Caches a lookup of many ids as a function of one id: concurrent reads become one call of the lookup, for the distinct
 * ids that are not cached. So 100 reads behind a cache stay one query.
 *
 * **Details**
 *
 * The lookup returns pairs of an id and its value, such as a `Map`, a `HashMap` or a list. They are matched by the key
 * that the template makes of the id, so an id may be a record. Ids that were not asked for are ignored. An id without a
 * pair is absent: its value is `Option.none()`, which is stored only with `absentTtl`. With `ordered` the lookup returns
 * a list of options in the order of the ids.
 *
 * Each key has a load of its own, which shares the call: one load per key runs, whether it is read alone, in a batch or
 * by `many`, and stale values are refreshed in batches. A call that fails, fails the reads that wait for it. A key whose
 * readers have all left before the call is not asked for; a running call is interrupted when nobody waits for it.
 *
 * **Gotchas**
 *
 * Reads share a call only if they have the same services and FiberRefs, spans and log annotations aside. In a server,
 * requests have services of their own, so reads of different requests share a call only after `Cached.capture`.
 *
 * @example
 * ```ts
 * import { Console, Effect, Option } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 *
 * const users = new Map([[1, "Ada"], [2, "Alan"]])
 *
 * const getUser = Cached.batched(
 *   (ids: ReadonlyArray<number>) =>
 *     Effect.as(
 *       Console.log("SELECT … WHERE id IN", ids),
 *       ids.flatMap((id) => (users.has(id) ? [[id, users.get(id)!] as const] : []))
 *     ),
 *   { key: "user:{}", ttl: "5 minutes", absentTtl: "10 seconds" }
 * )
 *
 * const program = Effect.gen(function* () {
 *   yield* Effect.forEach([1, 2, 3], getUser, { concurrency: "unbounded" }) // SELECT … WHERE id IN [1, 2, 3]
 *   return (yield* getUser.many([1, 2, 3])).map(Option.getOrNull) // ["Ada", "Alan", null]
 * })
 *
 * program.pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const batched = <
  L extends Batched.LookupMany,
  const K extends KeyInput,
  const I extends Key.Ignorable<K, Batched.IdArgs<L>> = never,
  Sch extends AnySchema = never,
  S = CacheStore,
  F extends OnStoreError = "miss",
  const Ordered extends boolean = false,
  P = never,
  V = string,
  R2 = never,
  const H extends Duration.DurationInput | undefined = never
>(
  lookupMany: L & Batched.CheckedMany<L, Ordered>,
  options: BatchedOptions<
    Batched.IdArgs<L>,
    Batched.ManyValueOf<L, Ordered>,
    K,
    S,
    F,
    Stored<Batched.ManyValueOf<L, Ordered>, Sch>,
    I,
    Sch,
    Ordered
  > &
    PartitionOption<P, V> &
    TimeoutOption<H> &
    FailureOptions<Batched.ManyErrorOf<L>, Batched.IdArgs<L>, R2> &
    NameOf<K>
): BatchedOf<
  Batched.IdOf<L>,
  Stored<Batched.ManyValueOf<L, Ordered>, Sch>,
  Batched.ManyErrorOf<L> | OptionError<Fix<F>, Fix<H>>,
  Batched.ManyContextOf<L>,
  Fix<S>,
  Fix<P>,
  Fix<R2>
> => Batched.batched(lookupMany, options as never, storeKey(options as never)) as never

/**
 * A cache of entities: values of one schema that are stored under their own ids, whether they were looked up by id, put,
 * or found by a list query.
 *
 * **Details**
 *
 * `get` and `getMany` return what is stored, and otherwise what `lookup` or `lookupMany` finds; without a lookup they
 * return what is stored. `put` stores an entity as the current one. `prime` runs a list query and stores what it returns
 * as a load that began with the query does, so an entity that is put or invalidated meanwhile is not replaced by an
 * older one. `CacheStore.layerNoop` switches all of it off: lookups and list queries run, and nothing is stored.
 *
 * An invalid option is the defect `InvalidOption`. A missing `name` or `key`, and two lookups, are thrown at once.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 *
 * const User = Schema.Struct({ tenant: Schema.String, id: Schema.Number, name: Schema.String })
 *
 * const Users = Cached.entity(User, {
 *   name: "user",
 *   key: ["tenant", "id"],
 *   ttl: "5 minutes",
 *   lookupMany: (ids) => Effect.succeed(ids.map(({ id, tenant }) => ({ id, tenant, name: `user ${id}` })))
 * })
 *
 * const program = Effect.gen(function* () {
 *   yield* Users.prime(Effect.succeed([{ tenant: "a", id: 1, name: "Ada" }]))
 *   yield* Users.put({ tenant: "a", id: 2, name: "Alan" })
 *   return yield* Users.getMany([1, 2, 3].map((id) => ({ tenant: "a", id }))) // Ada, Alan, and user 3
 * })
 *
 * program.pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const entity = <
  Sch extends AnySchema,
  const K extends Entities.EntityKey<Entities.TypeOf<Sch>>,
  E = never,
  R = never,
  S = CacheStore,
  P = never,
  V = string,
  R2 = never,
  const H extends Duration.DurationInput | undefined = never
>(
  schema: Sch,
  options: Entities.EntityOptions<Entities.TypeOf<Sch>, K, Entities.EntityId<Entities.TypeOf<Sch>, K>, S> &
    PartitionOption<P, V> &
    TimeoutOption<H> &
    Entities.EntityLookup<Entities.EntityId<Entities.TypeOf<Sch>, K>, Entities.TypeOf<Sch>, E, R> &
    FailureOptions<E, [id: Entities.EntityId<Entities.TypeOf<Sch>, K>], R2>
): Entities.EntityOf<Entities.TypeOf<Sch>, K, E | OptionError<never, Fix<H>>, R | Fix<R2>, Fix<S>, Fix<P>> =>
  Entities.entity(schema, options as never, storeKey(options as never)) as never

/**
 * Puts a cache in front of a `RequestResolver`. Requests are looked up in the store together, those that are missing go
 * to the inner resolver as one batch, and each value is stored by itself. So `Effect.forEach` with `batching: true`
 * stays one query behind a cache.
 *
 * **Details**
 *
 * It is an effect, because a resolver that needs services does not compile in `Effect.request`. It succeeds with the
 * same resolver for the same store and services, since Effect makes one batch of the requests of one resolver: pass
 * the effect itself to `Effect.request`, or run it once and keep the resolver.
 *
 * The key is the `_tag` of the request, a colon, and its `PrimaryKey` or the text that `key` returns. A failure
 * reaches the request that failed and is not stored. Single flight, `stale`, tags, metrics and the store behave as for
 * a cached function with this `name`. A bad key is a defect of its request.
 *
 * @example
 * ```ts
 * import { Effect, Request, RequestResolver } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 *
 * class GetUser extends Request.TaggedClass("GetUser")<string, never, { readonly id: number }> {}
 *
 * const Users = RequestResolver.makeBatched((requests: ReadonlyArray<GetUser>) =>
 *   Effect.forEach(requests, (request) => Request.succeed(request, `user ${request.id}`), { discard: true })
 * )
 *
 * const CachedUsers = Cached.resolver(Users, {
 *   name: "users",
 *   key: ({ id }) => String(id),
 *   ttl: "5 minutes"
 * })
 *
 * const getUser = (id: number) => Effect.request(new GetUser({ id }), CachedUsers)
 *
 * Effect.forEach([1, 2, 3], getUser, { batching: true }).pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const resolver: Resolvers.Resolver<CacheStore, CacheStore.Service> = /*#__PURE__*/ Resolvers.resolverOf(
  CacheStore.key
)

/**
 * The options of `Cached.resolver`.
 *
 * @category models
 * @since 0.2.0
 */
export type ResolverOptions<Req, S = CacheStore> = Resolvers.Options<Req, S, CacheStore.Service>

/**
 * Makes every cached read inside the effect load, and store the loaded value.
 *
 * @category combinators
 * @since 0.1.0
 */
export const reload = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => withMode(self, "reload")

/**
 * Makes every cached read inside the effect run its lookup, without reading the cache, storing the value or joining a
 * load.
 *
 * @category combinators
 * @since 0.1.0
 */
export const bypass = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => withMode(self, "bypass")

/**
 * Provides a cached effect, function or entity with the services of this place, the store included, so that it requires
 * nothing. Use it inside a service whose methods must not require `CacheStore`, and for refreshes that must not run
 * with the services of a request.
 *
 * **Details**
 *
 * The captured services and FiberRefs (logger, config provider, request cache) replace those of the reader entirely: a
 * lookup does not see a transaction that a reader has and this place has not. Capturing a captured function, or a
 * stub, changes nothing. The partition of a partitioned function remains that of the reader: it stays in the
 * requirements, and the lookup gets it beside what was captured.
 *
 * @category combinators
 * @since 0.1.0
 */
export const capture = <C extends Models.AnyCached>(
  cached: C
): Effect.Effect<Models.Captured<C>, never, Models.RequiredBy<C>> => Captures.capture(cached) as never

// distributive, unlike those of Effect, which give `unknown` for `never`
/**
 * A lookup that gets the previous value, and may answer that it still holds: `Cached.notModified`. The previous value is
 * then renewed, as if it had been loaded. For sources that tell what has changed, such as HTTP with an `ETag`.
 *
 * **Details**
 *
 * The previous value is whatever the store still holds, also an expired one. It is none before the first load, after
 * `invalidate`, and in `Cached.bypass`; after `expire` there is one. The lifetime and the tags of a value that is renewed
 * are computed anew. It is written in full, and not if something newer stands there. `notModified` without a previous
 * value is a defect.
 *
 * **Gotchas**
 *
 * Annotate the type of `previous`: the compiler cannot infer it from what the lookup returns.
 *
 * @example
 * ```ts
 * import { Effect, Option } from "effect"
 * import { Cached } from "effect-cached"
 *
 * interface Page {
 *   readonly etag: string
 *   readonly body: string
 * }
 *
 * declare const fetchPage: (
 *   url: string,
 *   ifNoneMatch: string | undefined
 * ) => Effect.Effect<{ readonly status: 304 } | { readonly status: 200; readonly page: Page }>
 *
 * const lookup = Cached.conditional((previous: Option.Option<Page>, url: string) =>
 *   Effect.map(fetchPage(url, Option.getOrUndefined(previous)?.etag), (response) =>
 *     response.status === 304 ? Cached.notModified : response.page
 *   )
 * )
 *
 * export const getPage = Cached.swr(lookup, { key: "page:{}", ttl: "1 minute", stale: "1 hour" })
 * ```
 *
 * @category combinators
 * @since 0.2.0
 */
export const conditional: <A, Args extends ReadonlyArray<any>, E, R>(
  lookup: (previous: Option.Option<A>, ...args: Args) => Effect.Effect<A | NotModified, E, R>
) => (...args: Args) => Effect.Effect<A, E, R> = Conditional.conditional

/**
 * The answer of a `Cached.conditional` lookup whose previous value still holds.
 *
 * @category constructors
 * @since 0.2.0
 */
export const notModified: NotModified = Conditional.notModified

type ErrorOf<Eff> = Eff extends Effect.Effect<any, infer E, any> ? E : never
type ContextOf<Eff> = Eff extends Effect.Effect<any, any, infer R> ? R : never

/**
 * Runs cached reads ahead of traffic, so that their values are stored. It runs all of them, and fails with the causes
 * of those that failed, in parallel.
 *
 * @example
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 *
 * const getUser = Cached.ttl((id: number) => Effect.succeed({ id }), { key: "user:{}", ttl: "1 hour" })
 *
 * const program = Cached.warm([1, 2, 3].map((id) => getUser(id)), {
 *   concurrency: 2,
 *   onProgress: ({ done, failed, total }) => Console.log(`${done} of ${total} users, ${failed} failed`)
 * })
 *
 * program.pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const warm = <Eff extends Effect.Effect<any, any, any> = never, R2 = never>(
  effects: Iterable<Eff>,
  options?: {
    /** How many run at once. Default: 16. */
    readonly concurrency?: number | undefined
    /** Runs after the end of each effect. Default: nothing. */
    readonly onProgress?: ((progress: WarmProgress) => Effect.Effect<unknown, never, R2>) | undefined
  }
): Effect.Effect<void, ErrorOf<Eff>, ContextOf<Eff> | R2> => warmAll(effects, options)

/**
 * Invalidates every entry with one of these tags, for every process. A load that is running and may have one of the
 * tags stores nothing. The cost does not depend on the number of entries.
 *
 * **Details**
 *
 * Inside a service whose methods require nothing, take the store where the service is made, and use
 * `store.tags.invalidate(tags)`, which does the same.
 *
 * @category combinators
 * @since 0.1.0
 */
export const invalidateTags = <S = CacheStore>(
  tags: Iterable<string>,
  options?: {
    /** The tag of the store. Default: `CacheStore`. */
    readonly store?: Context.Tag<S, CacheStore.Service> | undefined
  }
): Effect.Effect<void, never, Fix<S>> =>
  markTags(tags, (options?.store ?? CacheStore) as Context.Tag<Fix<S>, CacheStore.Service>, "raise")

/**
 * Makes every entry with one of these tags stale from now on, for every process: `swr` returns it once more and refreshes
 * it, `staleIfError` may still serve it, `ttl` loads. A load that is running and may have one of the tags stores nothing.
 * The cost does not depend on the number of entries.
 *
 * **Details**
 *
 * Use it for values that may be old and not wrong, and `invalidateTags` for those that must not be seen again; the later
 * of the two counts. The daemon of `bg` loads at once, and its readers, and mirrors, keep the value meanwhile. While the
 * store does not answer, in a store with an envelope that keeps no `stale`, and for processes of an earlier release, it
 * invalidates. `store.tags.expire(tags)` does the same. The idea is FusionCache's `ExpireByTag` beside `RemoveByTag`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 *
 * const getUser = Cached.swr((id: number) => Effect.succeed({ id }), {
 *   key: "user:{}",
 *   ttl: "1 hour",
 *   stale: "5 minutes",
 *   tags: ["users"]
 * })
 *
 * const program = Effect.gen(function* () {
 *   yield* getUser(1)
 *   yield* Cached.expireTags(["users"])
 *   return yield* getUser(1) // the value that was stored; a refresh runs behind it
 * })
 *
 * program.pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category combinators
 * @since 0.2.0
 */
export const expireTags = <S = CacheStore>(
  tags: Iterable<string>,
  options?: {
    /** The tag of the store. Default: `CacheStore`. */
    readonly store?: Context.Tag<S, CacheStore.Service> | undefined
  }
): Effect.Effect<void, never, Fix<S>> =>
  markTags(tags, (options?.store ?? CacheStore) as Context.Tag<Fix<S>, CacheStore.Service>, "expire")

/**
 * Makes a mutation invalidate what it outdates. The mutation is an effect or a function, and so is what comes back.
 *
 * **Details**
 *
 * A target is a cached effect or function, whose `invalidate` is called with the arguments of the mutation; a list of
 * tags of the store `CacheStore`; or a function `(result, ...args)` that returns an effect. A list of targets is one,
 * too. No target is read. All targets are invalidated, also if some fail.
 *
 * - `when: "after"` (the default): after a success, and after an interruption or a defect, because the mutation may
 *   have been carried out. After these two there is no result, and a target function gets `undefined` in its place.
 *   After a typed failure nothing is invalidated. Nothing can interrupt between the end of the mutation and the
 *   invalidation.
 * - `when: "before"`: before the mutation, whatever becomes of it.
 * - `when: "both"`: before and after, for readers that must not get the old value while the mutation runs. There is no
 *   result before the mutation, so target functions get the arguments alone, as with `"before"`.
 *
 * Accepts the mutation first or last: `Cached.invalidates(mutation, targets)` or
 * `pipe(mutation, Cached.invalidates(targets))`.
 *
 * **Gotchas**
 *
 * Inside a transaction, an invalidation comes too early: a reader loads and stores the old value before the commit.
 * Wrap the whole transaction. A store with `bypassIn` reports it as the problem `InvalidatedEarly`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 *
 * const names = new Map([[1, "Ada"]])
 * const getName = Cached.ttl((id: number) => Effect.sync(() => names.get(id) ?? ""), { key: "name:{}", ttl: "1 hour" })
 * const listNames = Cached.ttl(Effect.sync(() => [...names.values()]), { key: "names", ttl: "1 hour" })
 *
 * const rename = Cached.invalidates(
 *   (id: number, name: string) => Effect.sync(() => names.set(id, name)),
 *   [getName, listNames]
 * )
 *
 * const program = Effect.gen(function* () {
 *   yield* getName(1)
 *   yield* rename(1, "Grace")
 *   return yield* getName(1) // "Grace"
 * })
 *
 * program.pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category mutations
 * @since 0.2.0
 */
export const invalidates: {
  <M extends Lookup, const T extends Mutations.Targets<M, "after">>(
    targets: T & Mutations.CheckedTargets<T, M>
  ): Mutations.InvalidatesLast<M, T, CacheStore>
  <M extends Lookup, const T extends Mutations.Targets<M, W>, const W extends Mutations.WhenToInvalidate>(
    targets: T & Mutations.CheckedTargets<T, M>,
    options: {
      readonly when: W
    }
  ): Mutations.InvalidatesLast<M, T, CacheStore>
  // the last signature is the one whose errors the compiler prints
  <M extends Lookup, const T extends Mutations.Targets<M, W>, const W extends Mutations.WhenToInvalidate = "after">(
    mutation: M,
    targets: T & Mutations.CheckedTargets<T, M>,
    options?: {
      /** Default: `"after"`. */
      readonly when?: W
    }
  ): Mutations.Invalidating<M, T, CacheStore>
} = /*#__PURE__*/ Mutations.invalidates((tags) => invalidateTags(tags))

/**
 * Makes a mutation refresh a cached effect or function, which is called with the arguments of the mutation, so that the
 * next read finds the new value. The result is that of the mutation.
 *
 * **Details**
 *
 * The refresh runs after the mutation has succeeded. If it fails, is interrupted, or if the mutation ended with an
 * interruption or a defect, the entry is invalidated. A failed refresh is logged and does not fail the mutation. After a
 * typed failure of the mutation nothing happens.
 *
 * Accepts the mutation first or last.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Cached, MemoryCacheLive } from "effect-cached"
 *
 * const names = new Map([[1, "Ada"]])
 * const getName = Cached.ttl((id: number) => Effect.sync(() => names.get(id) ?? ""), { key: "name:{}", ttl: "1 hour" })
 * const rename = (id: number, name: string) => Effect.sync(() => names.set(id, name).size)
 *
 * const renameAndRefresh = Cached.refreshes(rename, getName)
 *
 * renameAndRefresh(1, "Grace").pipe(Effect.provide(MemoryCacheLive), Effect.runPromise) // 1; the entry is "Grace"
 * ```
 *
 * @category mutations
 * @since 0.2.0
 */
export const refreshes: {
  <M extends Lookup, T extends Mutations.RefreshTarget>(
    target: T & Mutations.CheckedTargets<T, M>
  ): Mutations.RefreshesLast<M, T>
  <M extends Lookup, T extends Mutations.RefreshTarget>(
    mutation: M,
    target: T & Mutations.CheckedTargets<T, M>
  ): Mutations.Refreshing<M, T>
} = Mutations.refreshes

/**
 * Gives a plain effect or function the members of a cached one, so that a test can pass it for one. It stores nothing:
 * every read runs it, and so does `refresh`; `peek` and `entry` return `None`; the members that
 * change entries do nothing. For a partitioned one, pass a partition: `Cached.stub(lookup, { partition: "acme" })`.
 *
 * @example
 * ```ts
 * import { Context, Effect, Layer } from "effect"
 * import { Cached } from "effect-cached"
 *
 * class Users extends Context.Tag("Users")<
 *   Users,
 *   { readonly name: Cached.CachedFunction<[id: number], string> }
 * >() {}
 *
 * const UsersTest = Layer.succeed(Users, { name: Cached.stub((id: number) => Effect.succeed(`user ${id}`)) })
 *
 * const program = Effect.flatMap(Users, (users) => users.name(1)) // "user 1"
 *
 * program.pipe(Effect.provide(UsersTest), Effect.runPromise)
 * ```
 *
 * @category testing
 * @since 0.2.0
 */
export const stub: {
  <L extends Lookup>(lookup: L): Stubs.Stub<L>
  <L extends Lookup>(
    lookup: L,
    options: {
      /** The partition of a stub that takes the place of a partitioned effect or function. */
      readonly partition: string
    }
  ): Stubs.PartitionedStub<L>
} = Stubs.stub as never
