/**
 * The types of partitioned effects, functions and entities. `any` stands in the bounds of types.
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { CacheStoreError } from "../../CacheError.js"
import type { Explanation } from "../../CacheEvent.js"
import type { FunctionStats } from "../../CacheStats.js"
import type * as Entry from "../../Entry.js"

/**
 * A cached effect with one entry for each tenant. `P` is the tag of the partition: the effect and its members act on the
 * entry of their reader's partition. `R` is what its load requires besides, and `S` what the members require besides.
 *
 * @category models
 * @since 0.2.0
 */
export interface PartitionedEffect<in out A, out P, out E = never, out R = never, out S = never>
  extends Effect.Effect<A, E, R | P> {
  /** The partition of the reader: the text of its tenant. */
  readonly partition: Effect.Effect<string, never, P>
  /** The key in the store, the partition and the version included, without the store's prefix. */
  readonly key: Effect.Effect<string, never, P>
  /** Removes the entry, for every process: the next read loads. A load that is running stores nothing. */
  readonly invalidate: Effect.Effect<void, Extract<E, CacheStoreError>, S | P>
  /**
   * Makes the entry stale from now on, for every process: `swr` returns it once more and refreshes it, `staleIfError` may
   * still serve it, `ttl` loads. An entry that may be served as neither is removed, and so is one with an infinite `ttl`.
   * A load that is running stores nothing.
   */
  readonly expire: Effect.Effect<void, Extract<E, CacheStoreError>, S | P>
  /** Starts a load after the call, stores its value and returns it. It never joins a load that began before. */
  readonly refresh: Effect.Effect<A, E, R | P>
  /** The stored value, fresh or stale. Never loads. */
  readonly peek: Effect.Effect<Option.Option<A>, Extract<E, CacheStoreError>, S | P>
  /** The stored value with its state and times: fresh, stale, or retained for `staleIfError`. Never loads. */
  readonly entry: Effect.Effect<Option.Option<Entry.View<A>>, Extract<E, CacheStoreError>, S | P>
  /** What the next read would do, and why, without doing it: nothing is loaded, counted, written or reported. */
  readonly explain: Effect.Effect<Explanation, never, S | P>
  /** The numbers of this function in the store, of all tenants: reads, loads, writes, and the durations of loads. */
  readonly stats: Effect.Effect<FunctionStats, never, S>
  /** Stores a value as if it had been loaded just now. A load that is running stores nothing. */
  readonly set: (value: A) => Effect.Effect<void, Extract<E, CacheStoreError>, S | P>
}

/**
 * A cached function whose entries belong to tenants. `P` is the tag of the partition: the function and its members act on
 * the entries of their reader's partition. `R` is what a load requires besides, and `S` what the members require besides.
 *
 * @category models
 * @since 0.2.0
 */
export interface PartitionedFunction<
  in out Args extends ReadonlyArray<any>,
  in out A,
  out P,
  out E = never,
  out R = never,
  out S = never
> {
  (...args: Args): Effect.Effect<A, E, R | P>
  /** The partition of the reader: the text of its tenant. */
  readonly partition: Effect.Effect<string, never, P>
  /** The key of these arguments in the store, the partition and the version included, without the store's prefix. */
  readonly key: (...args: Args) => Effect.Effect<string, never, P>
  /** Removes the entry, for every process: the next read loads. A load that is running stores nothing. */
  readonly invalidate: (...args: Args) => Effect.Effect<void, Extract<E, CacheStoreError>, S | P>
  /**
   * Makes the entry stale from now on, for every process: `swr` returns it once more and refreshes it, `staleIfError` may
   * still serve it, `ttl` loads. An entry that may be served as neither is removed, and so is one with an infinite `ttl`.
   * A load that is running stores nothing.
   */
  readonly expire: (...args: Args) => Effect.Effect<void, Extract<E, CacheStoreError>, S | P>
  /** Starts a load after the call, stores its value and returns it. It never joins a load that began before. */
  readonly refresh: (...args: Args) => Effect.Effect<A, E, R | P>
  /** The stored value, fresh or stale. Never loads. */
  readonly peek: (...args: Args) => Effect.Effect<Option.Option<A>, Extract<E, CacheStoreError>, S | P>
  /** The stored value with its state and times: fresh, stale, or retained for `staleIfError`. Never loads. */
  readonly entry: (...args: Args) => Effect.Effect<Option.Option<Entry.View<A>>, Extract<E, CacheStoreError>, S | P>
  /** What the next read would do, and why, without doing it: nothing is loaded, counted, written or reported. */
  readonly explain: (...args: Args) => Effect.Effect<Explanation, never, S | P>
  /** The numbers of this function in the store, of all tenants: reads, loads, writes, and the durations of loads. */
  readonly stats: Effect.Effect<FunctionStats, never, S>
  /** Stores a value as if it had been loaded just now. A load that is running stores nothing. */
  readonly set: (...args: Args) => (value: A) => Effect.Effect<void, Extract<E, CacheStoreError>, S | P>
  /** Invalidates every entry of this function, those of all tenants, for every process. */
  readonly clear: Effect.Effect<void, Extract<E, CacheStoreError>, S>
  /** Makes every entry of this function stale from now on, those of all tenants, for every process. */
  readonly expireAll: Effect.Effect<void, Extract<E, CacheStoreError>, S>
}

/**
 * A partitioned function of one id whose loads share the calls of a lookup of many ids. A call has the ids of one tenant.
 *
 * @category models
 * @since 0.2.0
 */
export interface PartitionedBatch<in out Id, in out A, out P, out E = never, out R = never, out S = never>
  extends PartitionedFunction<[id: Id], Option.Option<A>, P, E, R, S> {
  /** Reads many ids, and returns their values in the order of the ids. The store is read in one round trip. */
  readonly many: (ids: Iterable<Id>) => Effect.Effect<Array<Option.Option<A>>, E, R | P>
}

/**
 * A cache of entities that belong to tenants. `P` is the tag of the partition: the members act on the entities of their
 * reader's partition. `R` is what a load requires besides, and `S` what the other members require besides.
 *
 * @category models
 * @since 0.2.0
 */
export interface PartitionedEntity<in out Id, in out A, out P, out E = never, out R = never, out S = never> {
  /** The partition of the reader: the text of its tenant. */
  readonly partition: Effect.Effect<string, never, P>
  /** The key of an id in the store, the partition and the version included, without the store's prefix. */
  readonly key: (id: Id) => Effect.Effect<string, never, P>
  /** The entity of an id: the stored one, or what the lookup finds. Without a lookup, the stored one or `None`. */
  readonly get: (id: Id) => Effect.Effect<Option.Option<A>, E, R | P>
  /** The entities of many ids, in their order. The store is read in one round trip. */
  readonly getMany: (ids: Iterable<Id>) => Effect.Effect<Array<Option.Option<A>>, E, R | P>
  /** What the next `get` of an id would do, and why, without doing it. */
  readonly explain: (id: Id) => Effect.Effect<Explanation, never, S | P>
  /** Stores an entity as the current one. A load, or a list query, that is running does not replace it. */
  readonly put: (entity: A) => Effect.Effect<void, never, S | P>
  /** Stores entities, as `put` does. */
  readonly putMany: (entities: Iterable<A>) => Effect.Effect<void, never, S | P>
  /** Removes the entity of an id, for every process. */
  readonly invalidate: (id: Id) => Effect.Effect<void, never, S | P>
  /** Makes the entity of an id stale: the next read returns it and refreshes it. Without `stale` it is removed. */
  readonly expire: (id: Id) => Effect.Effect<void, never, S | P>
  /** The numbers of these entities in the store, of all tenants: reads, loads, writes, and the durations of loads. */
  readonly stats: Effect.Effect<FunctionStats, never, S>
  /** Runs a list query of this tenant and stores the entities that it returns, as if loaded when the query began. */
  readonly prime: <B extends Iterable<A>, E2, R2>(list: Effect.Effect<B, E2, R2>) => Effect.Effect<B, E2, R2 | S | P>
  /** Invalidates all entities of this name, those of all tenants, for every process. */
  readonly clear: Effect.Effect<void, never, S>
  /** Makes all entities of this name stale, those of all tenants, for every process, as `expire` does for one. */
  readonly expireAll: Effect.Effect<void, never, S>
}

export type Any =
  | PartitionedEffect<any, any, any, any, any>
  | PartitionedFunction<any, any, any, any, any, any>
  | PartitionedEntity<any, any, any, any, any, any>

/** What is captured, which requires the partition of its reader. */
export type Captured<C> =
  C extends PartitionedEffect<infer A, infer P, infer E, any, any>
    ? PartitionedEffect<A, P, E, never, never>
    : C extends PartitionedBatch<infer Id, infer A, infer P, infer E, any, any>
      ? PartitionedBatch<Id, A, P, E, never, never>
      : C extends PartitionedFunction<infer Args, infer A, infer P, infer E, any, any>
        ? PartitionedFunction<Args, A, P, E, never, never>
        : C extends PartitionedEntity<infer Id, infer A, infer P, infer E, any, any>
          ? PartitionedEntity<Id, A, P, E, never, never>
          : never

export type RequiredBy<C> =
  C extends PartitionedEffect<any, any, any, infer R, infer S>
    ? R | S
    : C extends PartitionedBatch<any, any, any, any, infer R, infer S>
      ? R | S
      : C extends PartitionedFunction<any, any, any, any, infer R, infer S>
        ? R | S
        : C extends PartitionedEntity<any, any, any, any, infer R, infer S>
          ? R | S
          : never
