/**
 * The types of cached effects and functions, and what `Cached.capture` makes of them. `any` stands in the bounds of types.
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { CacheStoreError } from "../CacheError.js"
import type { Explanation } from "../CacheEvent.js"
import type { CachePolicy } from "../CachePolicy.js"
import type { FunctionStats } from "../CacheStats.js"
import type { CacheStore } from "../CacheStore.js"
import type * as Entry from "../Entry.js"
import type * as Entities from "./cached/entity.js"
import type * as Partitioned from "./cached/partitioned.js"
import type { UnsafePeek } from "./cached/unsafePeek.js"

/**
 * A cached effect: an effect that reads through the cache, with members that act on its entry.
 *
 * `S` is what the members require: the tag of the store, or nothing after `bg` and `capture`. With
 * `onStoreError: "fail"` the members may fail with `CacheStoreError`.
 *
 * @category models
 * @since 0.1.0
 */
export interface CachedEffect<in out A, out E = never, out R = never, out S = Extract<R, CacheStore.Any | CachePolicy>>
  extends Effect.Effect<A, E, R> {
  /**
   * The key in the store, the version included, without the store's prefix: `store.remove(cached.key)` removes the
   * entry. Reading it throws `KeyError` for a malformed template.
   */
  readonly key: string
  /** Removes the entry, for every process: the next read loads. A load that is running stores nothing. */
  readonly invalidate: Effect.Effect<void, Extract<E, CacheStoreError>, S>
  /**
   * Makes the entry stale from now on, for every process: `swr` returns it once more and refreshes it, `staleIfError` may
   * still serve it, `ttl` loads. An entry that may be served as neither is removed, and so is one with an infinite `ttl`.
   * A load that is running stores nothing. The daemon of `bg` loads at once, and its readers keep the value until it has.
   */
  readonly expire: Effect.Effect<void, Extract<E, CacheStoreError>, S>
  /** Starts a load after the call, stores its value and returns it. It never joins a load that began before. */
  readonly refresh: Effect.Effect<A, E, R>
  /** The stored value, fresh or stale. Never loads. */
  readonly peek: Effect.Effect<Option.Option<A>, Extract<E, CacheStoreError>, S>
  /** The stored value with its state and times: fresh, stale, or retained for `staleIfError`. Never loads. */
  readonly entry: Effect.Effect<Option.Option<Entry.View<A>>, Extract<E, CacheStoreError>, S>
  /**
   * What a read would get from the memory of this process without waiting, for code outside of Effect. It never loads,
   * refreshes or asks a slower tier: see `CachedFunction`. Only after `capture` and for `bg`.
   *
   * @since 0.2.0
   */
  readonly unsafePeek: UnsafePeek<[], A, S>
  /** What the next read would do, and why, without doing it: nothing is loaded, counted, written or reported. */
  readonly explain: Effect.Effect<Explanation, never, S>
  /** The numbers of this function in the store: reads, loads, writes, and the durations of loads. */
  readonly stats: Effect.Effect<FunctionStats, never, S>
  /** Stores a value as if it had been loaded just now. A load that is running stores nothing. */
  readonly set: (value: A) => Effect.Effect<void, Extract<E, CacheStoreError>, S>
}

/**
 * A cached function: a function that reads through the cache, with members that take the same arguments and act on the
 * entry of these arguments.
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
  /**
   * The key of these arguments in the store, the version included, without the store's prefix:
   * `store.remove(getUser.key(1))` removes the entry. Throws `KeyError` when an argument cannot be part of a key.
   */
  readonly key: (...args: Args) => string
  /** Removes the entry, for every process: the next read loads. A load that is running stores nothing. */
  readonly invalidate: (...args: Args) => Effect.Effect<void, Extract<E, CacheStoreError>, S>
  /**
   * Makes the entry stale from now on, for every process: `swr` returns it once more and refreshes it, `staleIfError` may
   * still serve it, `ttl` loads. An entry that may be served as neither is removed, and so is one with an infinite `ttl`.
   * A load that is running stores nothing. The daemon of `bg` loads at once, and its readers keep the value until it has.
   */
  readonly expire: (...args: Args) => Effect.Effect<void, Extract<E, CacheStoreError>, S>
  /** Starts a load after the call, stores its value and returns it. It never joins a load that began before. */
  readonly refresh: (...args: Args) => Effect.Effect<A, E, R>
  /** The stored value, fresh or stale. Never loads. */
  readonly peek: (...args: Args) => Effect.Effect<Option.Option<A>, Extract<E, CacheStoreError>, S>
  /** The stored value with its state and times: fresh, stale, or retained for `staleIfError`. Never loads. */
  readonly entry: (...args: Args) => Effect.Effect<Option.Option<Entry.View<A>>, Extract<E, CacheStoreError>, S>
  /**
   * What a read would get from the memory of this process without waiting, for code outside of Effect: the value, fresh
   * or stale. It never loads, refreshes or asks a slower tier, and counts neither as a hit nor as a miss: `Option.none()`
   * may be a value that only slower tiers have. A stored failure is none. Throws `KeyError`, as `key` does.
   *
   * It needs a function that carries its store: after `Cached.capture`, and for `Cached.bg`. For any other, whose store is
   * in the context of its reader, it does not compile.
   *
   * ```ts
   * import { Effect, ManagedRuntime, Option } from "effect"
   * import { Cached, MemoryCacheLive } from "effect-cached"
   *
   * const getFlag = Cached.ttl((name: string) => Effect.succeed(name === "beta"), { key: "flag:{}", ttl: "1 minute" })
   *
   * const runtime = ManagedRuntime.make(MemoryCacheLive)
   * const flag = runtime.runSync(Cached.capture(getFlag))
   *
   * const isBeta = (): boolean => Option.getOrElse(flag.unsafePeek("beta"), () => false)
   * isBeta() // false: nothing has read the flag yet
   * ```
   *
   * **Gotchas**
   *
   * It is a use of the entry, for `maxIdle` and for the eviction policy, but not for the daemons of a `Cached.bg` with
   * arguments: only reads keep those.
   *
   * @since 0.2.0
   */
  readonly unsafePeek: UnsafePeek<Args, A, S>
  /** What the next read would do, and why, without doing it: nothing is loaded, counted, written or reported. */
  readonly explain: (...args: Args) => Effect.Effect<Explanation, never, S>
  /** The numbers of this function in the store: reads, loads, writes, and the durations of loads. */
  readonly stats: Effect.Effect<FunctionStats, never, S>
  /** Stores a value as if it had been loaded just now. A load that is running stores nothing. */
  readonly set: (...args: Args) => (value: A) => Effect.Effect<void, Extract<E, CacheStoreError>, S>
  /**
   * Invalidates every entry of this function and no other, for every process. The cost does not depend on their number.
   */
  readonly clear: Effect.Effect<void, Extract<E, CacheStoreError>, S>
  /**
   * Makes every entry of this function stale from now on, as `expire` does for one, for every process. The cost does not
   * depend on their number.
   */
  readonly expireAll: Effect.Effect<void, Extract<E, CacheStoreError>, S>
}

/**
 * A cached function of one id whose loads share the calls of a lookup of many ids. The value of an id is an option.
 *
 * @category models
 * @since 0.2.0
 */
export interface BatchedFunction<
  in out Id,
  in out A,
  out E = never,
  out R = never,
  out S = Extract<R, CacheStore.Any | CachePolicy>
> extends CachedFunction<[id: Id], Option.Option<A>, E, R, S> {
  /**
   * Reads many ids, and returns their values in the order of the ids. The store is read in one round trip, and what is
   * missing is loaded in one batch, or in several of `maxBatchSize`.
   */
  readonly many: (ids: Iterable<Id>) => Effect.Effect<Array<Option.Option<A>>, E, R>
}

/** What `Cached.capture` takes. */
export type AnyCached =
  | CachedEffect<any, any, any, any>
  | CachedFunction<any, any, any, any, any>
  | Entities.Entity<any, any, any, any, any>
  | Partitioned.Any

/** What `Cached.capture` makes: it requires nothing, except the partition of its reader. */
export type Captured<C> =
  C extends CachedEffect<infer A, infer E, any, any>
    ? CachedEffect<A, E, never, never>
    : C extends BatchedFunction<infer Id, infer A, infer E, any, any>
      ? BatchedFunction<Id, A, E, never, never>
      : C extends CachedFunction<infer Args, infer A, infer E, any, any>
        ? CachedFunction<Args, A, E, never, never>
        : C extends Entities.Entity<infer Id, infer A, infer E, any, any>
          ? Entities.Entity<Id, A, E, never, never>
          : Partitioned.Captured<C>

/** What the place of capture has to provide. */
export type RequiredBy<C> =
  C extends CachedEffect<any, any, infer R, infer S>
    ? R | S
    : C extends CachedFunction<any, any, any, infer R, infer S>
      ? R | S
      : C extends Entities.Entity<any, any, any, infer R, infer S>
        ? R | S
        : Partitioned.RequiredBy<C>
