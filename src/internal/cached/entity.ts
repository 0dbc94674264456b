/**
 * Entities: values of one schema that are stored under their own ids, whoever found them.
 *
 * An entity is a batched function whose pairs are made of its values. `any` stands in the bounds of types.
 */
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { InvalidOption } from "../../CacheError.js"
import type { Explanation } from "../../CacheEvent.js"
import type { FunctionStats } from "../../CacheStats.js"
import * as Key from "../../Key.js"
import type { Captured } from "../engine/definition.js"
import type { MixesKinds } from "../keyProblem.js"
import { readMany } from "./batched.js"
import { CaptureId, type Spec, SpecId, type SpecOptions } from "./cached.js"
import type { AnySchema } from "./checks.js"
import type { Lookup } from "./lookup.js"
import { makeSpec } from "./partition.js"
import type { PartitionedEntity } from "./partitioned.js"
import { type UnsafePeek, unsafePeekOf } from "./unsafePeek.js"

/**
 * The key of an entity: the names of the fields that identify it, or a function that makes its id.
 *
 * @category models
 * @since 0.2.0
 */
export type EntityKey<A> = readonly [keyof A & string, ...Array<keyof A & string>] | ((entity: A) => any)

/**
 * The id of an entity: the type of its field, a record of several fields, or what the function returns.
 *
 * @category models
 * @since 0.2.0
 */
export type EntityId<A, K> = K extends readonly [infer F extends keyof A]
  ? A[F]
  : K extends ReadonlyArray<infer F>
    ? { readonly [P in F & keyof A]: A[P] }
    : K extends (entity: any) => infer Id
      ? Id
      : never

/** The fields of a key that no key can contain. */
type NoPart<A, K> =
  K extends ReadonlyArray<infer F>
    ? { [P in F & keyof A & string]: [A[P]] extends [Key.KeyPart] ? never : P }[F & keyof A & string]
    : never

/** The fields of a key whose values could have equal texts. */
type MixedPart<A, K> =
  K extends ReadonlyArray<infer F>
    ? { [P in F & keyof A & string]: MixesKinds<A[P]> extends true ? P : never }[F & keyof A & string]
    : never

type Mixes = 'mixes types, so 1 and "1" would share a key'

/**
 * The key if every id has one of its own, otherwise a message.
 *
 * @category models
 * @since 0.2.0
 */
export type CheckedEntityKey<A, K> =
  // true as long as `K` is not inferred
  EntityKey<A> extends K
    ? K
    : K extends (entity: any) => infer Id
      ? MixesKinds<Id> extends true
        ? `the id ${Mixes}: return values of one type`
        : K
      : [NoPart<A, K>] extends [never]
        ? [MixedPart<A, K>] extends [never]
          ? K
          : `{${MixedPart<A, K>}} ${Mixes}: pass a function that makes the id`
        : `{${NoPart<A, K>}} is not a string, number, bigint or boolean: pass a function that makes the id`

/**
 * Where an entity comes from that is not stored: a lookup of one id, a lookup of many, or nowhere.
 *
 * @category models
 * @since 0.2.0
 */
export type EntityLookup<Id, A, E, R> =
  | {
      /** Finds the entity of an id. Default: there is no lookup, and `get` returns what is stored. */
      readonly lookup?: ((id: Id) => Effect.Effect<Option.Option<A>, E, R>) | undefined
      readonly lookupMany?: undefined
    }
  | {
      /**
       * Finds the entities of many ids, as `Cached.batched` does: concurrent reads share a call. It returns the
       * entities, in any order. Those that were not asked for are ignored.
       */
      readonly lookupMany: (ids: ReadonlyArray<Id>) => Effect.Effect<Iterable<A>, E, R>
      readonly lookup?: undefined
    }

/**
 * The options of `Cached.entity`.
 *
 * @category models
 * @since 0.2.0
 */
export interface EntityOptions<A, K, Id, S> {
  /** The name of the entity: the beginning of its keys, its label in metrics, and the owner of its entries. */
  readonly name: string
  /**
   * What identifies an entity: the names of its fields, such as `["tenant", "id"]`, or a function that makes its id.
   * Ids are equal when their keys are. An id that a function makes may be any value that `Key.hash` takes.
   */
  readonly key: CheckedEntityKey<A, K>
  /** How long an entity is fresh: a duration, or a function of the entity and its id. Zero switches caching off. */
  readonly ttl: Duration.DurationInput | ((entity: A, id: Id) => Duration.DurationInput)
  /**
   * How long after `ttl` a read still returns the stale entity, and starts a refresh: a duration, or a function of the
   * entity and its id. Default: 0.
   */
  readonly stale?: Duration.DurationInput | ((entity: A, id: Id) => Duration.DurationInput) | undefined
  /** The fraction of `ttl`, from 0 to 1, that is added to it at random. Default: 0. */
  readonly jitter?: number | undefined
  /**
   * The fraction, from 0 to 1, of its lifetime after which a fresh entity is refreshed behind the next read. Default: it
   * is not.
   */
  readonly refreshAhead?: number | undefined
  /**
   * An entry that nobody reads for this long expires, before its end. In memory and Redis only. Default: no limit.
   */
  readonly maxIdle?: Duration.DurationInput | undefined
  /** How many entries it may have in the memory of this process. As for `Cached.ttl`. Default: no limit. */
  readonly maxEntries?: number | undefined
  /**
   * How long after its `ttl` an entity still answers when the load fails. A read tries the load first, and such an entity is
   * absent to `peek` and the store's `get`. Counted from `ttl`, not from the end of `stale`. Default: 0.
   */
  readonly staleIfError?: Duration.DurationInput | undefined
  /**
   * How long a key is not loaded after a failed load, while an old entity can answer: reads get that entity at once. For
   * each key and process. Where nothing can answer, every read loads. Default: the smallest of 10 seconds, the `ttl`, and
   * a tenth of the time for which the entity can still answer.
   */
  readonly retryAfter?: Duration.DurationInput | undefined
  /** How long it is stored that the lookup has found nothing. Default: 0, it is not stored. */
  readonly absentTtl?: Duration.DurationInput | undefined
  /** Tags for `Cached.invalidateTags`, fixed or computed from the entity and its id. Default: none. */
  readonly tags?: ReadonlyArray<string> | ((entity: A, id: Id) => ReadonlyArray<string>) | undefined
  /** Part of the key in the store. Change it when the schema changes its meaning. Default: no version. */
  readonly version?: string | number | undefined
  /** The tag of the store. Default: `CacheStore`. */
  readonly store?: Context.Tag<S, any> | undefined
  /** How long a load may be joined and may store its entity. Default: 30 seconds. */
  readonly flightTimeout?: Duration.DurationInput | undefined
  /** How many loads run at once; see `TtlOptions`. One call of `lookupMany` is one load. Default: no limit. */
  readonly concurrency?: number | undefined
  /** One load per key among all processes that share the store. Default: no lock. */
  readonly lock?: { readonly lease: Duration.DurationInput } | undefined
  /** How long a call of `lookupMany` waits for further ids. Default: 0, until the fibers that are ready have run. */
  readonly window?: Duration.DurationInput | undefined
  /** The most ids in one call of `lookupMany`. Default: 100. */
  readonly maxBatchSize?: number | undefined
}

/**
 * A cache of entities, which are stored under their own ids.
 *
 * @category models
 * @since 0.2.0
 */
export interface Entity<in out Id, in out A, out E = never, out R = never, out S = never> {
  /** The key of an id in the store, the version included, without the store's prefix. */
  readonly key: (id: Id) => string
  /** The entity of an id: the stored one, or what the lookup finds. Without a lookup, the stored one or `None`. */
  readonly get: (id: Id) => Effect.Effect<Option.Option<A>, E, R>
  /** The entities of many ids, in their order. The store is read in one round trip. */
  readonly getMany: (ids: Iterable<Id>) => Effect.Effect<Array<Option.Option<A>>, E, R>
  /**
   * What `get` would find in the memory of this process without waiting, for code outside of Effect: see
   * `CachedFunction`. Only after `capture`.
   */
  readonly unsafePeek: UnsafePeek<[id: Id], A, S>
  /** What the next `get` of an id would do, and why, without doing it. */
  readonly explain: (id: Id) => Effect.Effect<Explanation, never, S>
  /** Stores an entity as the current one. A load, or a list query, that is running does not replace it. */
  readonly put: (entity: A) => Effect.Effect<void, never, S>
  /** Stores entities, as `put` does. */
  readonly putMany: (entities: Iterable<A>) => Effect.Effect<void, never, S>
  /** Removes the entity of an id, for every process. */
  readonly invalidate: (id: Id) => Effect.Effect<void, never, S>
  /** Makes the entity of an id stale: the next read returns it and refreshes it. Without `stale` it is removed. */
  readonly expire: (id: Id) => Effect.Effect<void, never, S>
  /** The numbers of these entities in the store: reads, loads, writes, and the durations of loads. */
  readonly stats: Effect.Effect<FunctionStats, never, S>
  /**
   * Runs a list query and stores the entities that it returns, as if each had been loaded when the query began. What
   * was put, invalidated or expired meanwhile is later, and stays. The result is that of the query.
   */
  readonly prime: <B extends Iterable<A>, E2, R2>(list: Effect.Effect<B, E2, R2>) => Effect.Effect<B, E2, R2 | S>
  /** Invalidates all entities of this name, for every process. */
  readonly clear: Effect.Effect<void, never, S>
  /** Makes all entities of this name stale, for every process, as `expire` does for one. */
  readonly expireAll: Effect.Effect<void, never, S>
}

/** The entity that `Cached.entity` makes. `S` is the tag of the store, `P` that of the partition. */
export type EntityOf<A, K, E, R, S, P> = [P] extends [never]
  ? Entity<EntityId<A, K>, A, E, Exclude<R, Scope.Scope> | S, S>
  : PartitionedEntity<EntityId<A, K>, A, P, E, Exclude<R, Scope.Scope | P> | S, S>

/** The type of an entity. */
export type TypeOf<Sch> = Sch extends Schema.Schema<infer A, any, any> ? A : never

// -------------------------------------------------------------------------------------------------------------- runtime

type AnyEffect = Effect.Effect<any, any, any>

interface AnyOptions extends Omit<SpecOptions, "key" | "schema" | "batch"> {
  readonly name: string
  readonly key: ReadonlyArray<string> | ((entity: any) => unknown)
  readonly lookup?: (id: unknown) => Effect.Effect<Option.Option<unknown>, unknown, unknown>
  readonly lookupMany?: (ids: ReadonlyArray<unknown>) => Effect.Effect<Iterable<unknown>, unknown, unknown>
  readonly absentTtl?: Duration.DurationInput
  readonly window?: Duration.DurationInput
  readonly maxBatchSize?: number
}

type Fields = { readonly [field: string]: unknown }

/** The id of an entity. */
const idBy = (key: AnyOptions["key"]): ((entity: unknown) => unknown) => {
  if (typeof key === "function") return key
  const [first] = key
  if (key.length === 1) return (entity) => (entity as Fields)[first!]
  return (entity) => Object.fromEntries(key.map((field) => [field, (entity as Fields)[field]]))
}

/** The text that stands for an id in its key. No part contains a `:`, so ids of several fields share no text. */
const textBy = (key: AnyOptions["key"]): ((id: unknown) => string) => {
  if (typeof key !== "function") {
    if (key.length === 1) return (id) => Key.part(id as Key.KeyPart)
    return (id) => key.map((field) => Key.part((id as Fields)[field] as Key.KeyPart)).join(":")
  }
  return (id) => (typeof id === "object" || id === undefined ? `:${Key.hash(id)}` : Key.part(id as Key.KeyPart))
}

/** The lookup of many ids, as pairs. Without a lookup there is nothing to find. */
const pairsBy = ({ key, lookup, lookupMany }: AnyOptions) => {
  const idOf = idBy(key)
  if (lookupMany !== undefined) {
    return (ids: ReadonlyArray<unknown>) =>
      Effect.map(lookupMany(ids), (entities) => Array.from(entities, (entity) => [idOf(entity), entity] as const))
  }
  if (lookup === undefined) return () => Effect.succeed([])
  // a batch of one id
  return ([id]: ReadonlyArray<unknown>) =>
    Effect.map(lookup(id), (found) => (Option.isSome(found) ? [[id, found.value] as const] : []))
}

/** Refuses what the types refuse: a program in JavaScript may pass anything. */
const check = ({ key, lookup, lookupMany, name }: AnyOptions): void => {
  const invalid = (option: string, detail: string) => new InvalidOption({ option, of: name, detail })
  if (typeof name !== "string" || name === "") throw invalid("name", "is not a text with a character")
  if (typeof key !== "function" && !(Array.isArray(key) && key.length > 0)) {
    throw invalid("key", 'is neither a list of fields such as ["id"] nor a function that makes the id')
  }
  if (lookup !== undefined && lookupMany !== undefined) {
    throw invalid("lookup", "is given beside lookupMany: give one of them")
  }
}

/** `Cached.entity`. */
export const entity = (schema: AnySchema, options: AnyOptions, storeKey: string) => {
  check(options)
  const { absentTtl, key, lookup, lookupMany, maxBatchSize, name, window, ...others } = options
  const idOf = idBy(key)
  const textOf = textBy(key)
  const hasLookup = lookup !== undefined || lookupMany !== undefined
  const specOptions: SpecOptions = {
    ...others,
    name,
    schema: schema as NonNullable<SpecOptions["schema"]>,
    key: (id: unknown) => `${Key.part(name)}:${textOf(id)}`,
    batch: { absentTtl, window, maxBatchSize: lookup === undefined ? maxBatchSize : 1 }
  }
  return make(makeSpec(pairsBy(options) as Lookup, specOptions, "options", storeKey), idOf, hasLookup)
}

const make = (spec: Spec, idOf: (entity: unknown) => unknown, hasLookup: boolean): object => {
  const peek = unsafePeekOf(spec) as (id: unknown) => Option.Option<Option.Option<unknown>>
  const stored = (id: unknown): AnyEffect => Effect.map(spec.readStored([id]), Option.flatten as never)
  const put = (value: unknown): AnyEffect => Effect.suspend(() => spec.set([idOf(value)], Option.some(value)))
  return {
    ...spec.ownMembers,
    [SpecId]: spec,
    [CaptureId]: (captured: Captured) => make(spec.capturedAt(captured), idOf, hasLookup),
    key: (id: unknown) => spec.key([id]),
    get: hasLookup
      ? (id: unknown) => Effect.withFiberRuntime<unknown, unknown, unknown>((fiber) => spec.readOne(fiber, id))
      : stored,
    getMany: (ids: Iterable<unknown>) => {
      const all = Array.from(ids)
      return hasLookup ? readMany(spec, all) : Effect.all(all.map(stored), { concurrency: "unbounded" })
    },
    unsafePeek: (id: unknown) => Option.flatten(peek(id)),
    explain: (id: unknown) => spec.explain([id]),
    stats: spec.stats,
    put,
    putMany: (entities: Iterable<unknown>) =>
      Effect.all(Array.from(entities, put), { concurrency: "unbounded", discard: true }),
    invalidate: (id: unknown) => spec.invalidate([id]),
    expire: (id: unknown) => spec.expire([id]),
    prime: (list: Effect.Effect<Iterable<unknown>, unknown, unknown>) =>
      spec.prime(list, (entities) =>
        Array.from(entities, (value) => ({ args: [idOf(value)], value: Option.some(value) }))
      ),
    clear: spec.clear,
    expireAll: spec.expireAll
  }
}
