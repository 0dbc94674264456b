/**
 * Batched functions: cached functions of one id whose loads share the calls of a lookup of many ids. How loads form a
 * batch is in `engine/loads/batch.ts`; here are the members, and the types of the lookup.
 *
 * `any` stands in the bounds of types, where every type has to fit.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { Captured } from "../engine/definition.js"
import { asFunction, type BatchOptions, CaptureId, type Spec, type SpecOptions } from "./cached.js"
import type { Lookup } from "./lookup.js"
import { makeSpec } from "./partition.js"

/**
 * The lookup of a batched function: takes the ids that are missing, and returns pairs of an id and its value, such as a
 * `Map`. With `ordered` it returns an `Option` for each id, in their order.
 *
 * @category models
 * @since 0.2.0
 */
export type LookupMany = LookupManyFunction | Uninferred

// two signatures, so that an inline lookup gets no contextual type: see `Lookup`
interface LookupManyFunction {
  (ids: any): Effect.Effect<Iterable<any>, any, any>
  <_>(ids: any): Effect.Effect<Iterable<any>, any, any>
}

// `LookupMany extends L` is true as long as `L` is not inferred: see `ArgsOf`. No lookup has this type, so it is false for
// one whose result is an `Iterable` of pairs, to which `Iterable<any>` fits.
interface Uninferred {
  readonly [uninferred]: never
}
declare const uninferred: unique symbol

/** The id that a lookup takes many of. */
export type IdOf<L> = LookupMany extends L
  ? any
  : L extends (ids: infer Ids) => any
    ? Ids extends Iterable<infer Id>
      ? Id
      : never
    : never

/** The arguments of the function: the id. */
export type IdArgs<L> = LookupMany extends L ? any : [id: IdOf<L>]

/** An element of the result. A lookup that only fails has none. */
type ElementOf<L> = L extends (ids: any) => Effect.Effect<infer M, any, any>
  ? [M] extends [never]
    ? never
    : M extends Iterable<infer X>
      ? X
      : never
  : never

/** The value of one id. */
export type ManyValueOf<L, Ordered> = LookupMany extends L
  ? any
  : [ElementOf<L>] extends [never]
    ? never
    : Ordered extends true
      ? ElementOf<L> extends Option.Option<infer A>
        ? A
        : never
      : ElementOf<L> extends readonly [any, infer A]
        ? A
        : never

export type ManyErrorOf<L> = LookupMany extends L
  ? any
  : L extends (ids: any) => Effect.Effect<any, infer E, any>
    ? E
    : never

export type ManyContextOf<L> = LookupMany extends L
  ? any
  : L extends (ids: any) => Effect.Effect<any, any, infer R>
    ? R
    : never

/** Whether a lookup can be called with an array of its ids. A text and a `Set` are iterables, but no arrays. */
type TakesArray<L> = L extends (ids: infer Ids) => any
  ? [[IdOf<L>, ...Array<IdOf<L>>]] extends [Ids]
    ? true
    : false
  : false

/**
 * The lookup of a batched function if its result fits its ids, otherwise a type that says what does not fit.
 *
 * @category models
 * @since 0.2.0
 */
export type CheckedMany<L, Ordered> = LookupMany extends L
  ? L
  : TakesArray<L> extends false
    ? "the lookup takes no array of ids: it is called with all that are missing"
    : Ordered extends true
      ? [ElementOf<L>] extends [Option.Option<any>]
        ? L
        : "with `ordered` the lookup returns an Option for each id, in their order"
      : [ElementOf<L>] extends [readonly [any, any]]
        ? [ElementOf<L>] extends [readonly [IdOf<L>, any]]
          ? L
          : (ids: ReadonlyArray<IdOf<L>>) => Effect.Effect<Iterable<readonly [IdOf<L>, ElementOf<L>[1]]>, any, any>
        : "the lookup returns no pairs [id, value]: return a Map, or pass `ordered` for a list of options"

// ------------------------------------------------------------------------------------------------------------- members

/** The cause of a read of many ids. The loads of a batch fail with one cause, which is reported once. */
const distinct = <E>(cause: Cause.Cause<E>): Cause.Cause<E> => {
  const failures = new Set(Cause.failures(cause))
  const defects = new Set(Cause.defects(cause))
  const all = [...Array.from(failures, Cause.fail), ...Array.from(defects, Cause.die)]
  return all.length === 0 ? cause : all.reduce((left, right) => Cause.parallel(left, right))
}

export const readMany = (spec: Spec, ids: ReadonlyArray<unknown>): Effect.Effect<Array<unknown>, unknown, unknown> =>
  Effect.catchAllCause(
    Effect.withFiberRuntime<Array<unknown>, unknown, unknown>((fiber) => spec.readMany(fiber, ids)),
    (cause) => Effect.failCause(distinct(cause))
  )

/** A batched function: a cached function, and the read of many ids. */
const asBatched = (spec: Spec): object =>
  Object.assign(asFunction(spec), {
    [CaptureId]: (captured: Captured) => asBatched(spec.capturedAt(captured)),
    // iterables are read at the call: one that can be read only once would be empty when the effect runs again
    many: (ids: Iterable<unknown>) => readMany(spec, Array.from(ids))
  })

/** `Cached.batched`. */
export const batched = (lookupMany: LookupMany, options: SpecOptions & BatchOptions, storeKey: string) => {
  const { absentTtl, maxBatchSize, ordered, window } = options
  const batch: BatchOptions = { absentTtl, maxBatchSize, ordered, window }
  return asBatched(makeSpec(lookupMany as Lookup, { ...options, batch }, "options", storeKey))
}
