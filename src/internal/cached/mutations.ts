/**
 * Mutations: effects that change what lookups read. They invalidate or refresh the entries that they outdate.
 *
 * `any` stands in the bounds of types, and for the targets of a call, whose types `Cached` has checked.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import { InvalidOption } from "../../CacheError.js"
import type { ArgsOf, Lookup, ValueOf } from "./lookup.js"
import { runAll } from "./runAll.js"

type AnyEffect = Effect.Effect<any, any, any>
type Args = ReadonlyArray<unknown>

/**
 * When a mutation invalidates its targets.
 *
 * @category models
 * @since 0.2.0
 */
export type WhenToInvalidate = "after" | "before" | "both"

/**
 * A cached effect or function, or an entity, as a target of a mutation.
 *
 * It is described by its members, without the call: among targets, a function without a type for its parameters then
 * gets the types of the mutation's result and arguments.
 *
 * @category models
 * @since 0.2.0
 */
export interface CachedTarget {
  readonly key: unknown
  readonly invalidate: AnyEffect | ((...args: any) => AnyEffect)
}

/**
 * A function that returns the invalidation of a mutation.
 *
 * @category models
 * @since 0.2.0
 */
export type TargetFunction<M, W> = ((...args: TargetArgs<M, W>) => AnyEffect) & { readonly invalidate?: never }

type TargetArgs<M, W> = Lookup extends M
  ? any
  : W extends "after"
    ? [result: ValueOf<M>, ...args: ArgsOf<M>]
    : ArgsOf<M>

/**
 * One target of a mutation: a cached effect or function, an entity, tags, or a function that returns the invalidation.
 *
 * @category models
 * @since 0.2.0
 */
export type Target<M, W> = CachedTarget | ReadonlyArray<string> | TargetFunction<M, W>

/**
 * The targets of a mutation: one, or a list.
 *
 * @category models
 * @since 0.2.0
 */
export type Targets<M, W> = Target<M, W> | ReadonlyArray<Target<M, W>>

type IsFixed<Args extends ReadonlyArray<any>> = number extends Args["length"]
  ? false
  : Args extends Required<Args>
    ? true
    : false

/**
 * Whether a target may be called with the arguments of the mutation: it takes them, or the first of them. With optional
 * arguments it takes the very same: otherwise a further argument of the mutation would become one of these.
 */
type Takes<Args extends ReadonlyArray<any>, TargetArgs extends ReadonlyArray<any>> = 0 extends 1 & Args
  ? true
  : IsFixed<TargetArgs> extends true
    ? Args extends readonly [...TargetArgs, ...any]
      ? true
      : false
    : [Args, TargetArgs] extends [TargetArgs, Args]
      ? true
      : false

/**
 * The targets if they take the arguments of the mutation, otherwise a message.
 *
 * @category models
 * @since 0.2.0
 */
export type CheckedTargets<T, M> = T extends {
  readonly invalidate: (...args: infer P extends ReadonlyArray<any>) => any
}
  ? Takes<ArgsOf<M>, P> extends true
    ? T
    : "this target takes other arguments than the mutation: pass a function that calls its `invalidate`"
  : T extends CachedTarget | ReadonlyArray<string>
    ? T
    : T extends ReadonlyArray<any>
      ? { readonly [I in keyof T]: CheckedTargets<T[I], M> }
      : T

/** The effect of a target, whose error and requirements the mutation takes over. `S` is the store of the tags. */
type EffectOf<T, S> = T extends { readonly invalidate: infer I }
  ? I extends AnyEffect
    ? I
    : ResultOf<I>
  : T extends ReadonlyArray<string>
    ? Effect.Effect<void, never, S>
    : T extends ReadonlyArray<infer U>
      ? EffectOf<U, S>
      : ResultOf<T>
type ResultOf<F> = F extends (...args: any) => infer X ? X : never
type ErrorOf<X> = X extends Effect.Effect<any, infer E, any> ? E : never
type ContextOf<X> = X extends Effect.Effect<any, any, infer R> ? R : never

/**
 * A mutation that invalidates or refreshes: the mutation, with the errors and the requirements of its targets.
 *
 * @category models
 * @since 0.2.0
 */
export type Mutating<M, E2, R2> =
  M extends Effect.Effect<infer A, infer E, infer R>
    ? Effect.Effect<A, E | E2, R | R2>
    : M extends (...args: infer P extends ReadonlyArray<any>) => Effect.Effect<infer A, infer E, infer R>
      ? (...args: P) => Effect.Effect<A, E | E2, R | R2>
      : never

/** A mutation that invalidates. */
export type Invalidating<M, T, S> = Mutating<M, ErrorOf<EffectOf<T, S>>, ContextOf<EffectOf<T, S>>>

/** The mutation if the targets fit it, otherwise a message. */
type Fitting<M, T> = T extends CheckedTargets<T, M> ? M : "a target takes other arguments than this mutation"

/** What waits for its mutation. If none can be inferred yet, the targets are checked when it is passed. */
export type InvalidatesLast<M, T, S> = Lookup extends M
  ? <M2 extends Lookup>(mutation: Fitting<M2, T>) => Invalidating<M2, T, S>
  : (mutation: M) => Invalidating<M, T, S>

// ---------------------------------------------------------------------------------------------------------- invalidates

/** The effect of a member of a cached effect or function. */
const memberOf = (member: AnyEffect | ((...args: any) => AnyEffect), args: Args): AnyEffect =>
  typeof member === "function" ? Effect.suspend(() => member(...args)) : member

const invalid = (detail: string): InvalidOption =>
  new InvalidOption({ option: "targets", of: "Cached.invalidates", detail })

/** The invalidations of the targets. `leading` is the result of the mutation, if it has one. */
const invalidationsOf = (
  targets: unknown,
  leading: Args,
  args: Args,
  ofTags: (tags: ReadonlyArray<string>) => AnyEffect
): ReadonlyArray<AnyEffect> => {
  if (typeof targets === "object" || typeof targets === "function") {
    if (Array.isArray(targets)) {
      const tags = targets.filter((target) => typeof target === "string")
      const others = targets.filter((target) => typeof target !== "string")
      const invalidations = others.flatMap((target) => invalidationsOf(target, leading, args, ofTags))
      return tags.length === 0 ? invalidations : [ofTags(tags), ...invalidations]
    }
    const invalidate = (targets as Partial<CachedTarget> | null)?.invalidate
    if (invalidate !== undefined) return [memberOf(invalidate, args)]
    if (typeof targets === "function") return [Effect.suspend(() => targets(...leading, ...args))]
  }
  throw invalid("a target is neither cached, nor tags, nor a function")
}

/** Whether it is a target, and not the options: an entity is a plain object as well. */
const isTarget = (input: unknown): boolean =>
  typeof input === "function" ||
  Array.isArray(input) ||
  Effect.isEffect(input) ||
  Predicate.hasProperty(input, "invalidate")

/** Whether a mutation ended with a typed failure and nothing else, so that it has changed nothing. */
const hasFailed = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Cause.isFailure(exit.cause) && !Cause.isDie(exit.cause) && !Cause.isInterrupted(exit.cause)

/** Runs a mutation, and then `after`, which gets the exit of the mutation. Nothing can interrupt in between. */
const runThen = <A, E, R, E2, R2>(
  mutation: Effect.Effect<A, E, R>,
  after: (
    exit: Exit.Exit<A, E>,
    restore: <A3, E3, R3>(self: Effect.Effect<A3, E3, R3>) => Effect.Effect<A3, E3, R3>
  ) => Effect.Effect<unknown, E2, R2>
): Effect.Effect<A, E | E2, R | R2> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.exit(restore(mutation)), (exit) =>
      hasFailed(exit) ? exit : Effect.flatMap(Effect.exit(after(exit, restore)), (done) => Exit.zipLeft(exit, done))
    )
  )

/** Applies `around` to the effect of a mutation, which may be a function. */
const mapMutation = (mutation: Lookup, around: (self: AnyEffect, args: Args) => AnyEffect): unknown => {
  if (Effect.isEffect(mutation)) return around(mutation, [])
  const effectOf = mutation as Exclude<Lookup, AnyEffect>
  return (...args: Array<unknown>) =>
    around(
      Effect.suspend(() => effectOf(...args)),
      args
    )
}

const whens: ReadonlyArray<unknown> = ["after", "before", "both"]

/** `Cached.invalidates`, in both of its forms. `ofTags` invalidates tags in the default store. */
export const invalidates = (ofTags: (tags: ReadonlyArray<string>) => AnyEffect) => {
  const wrap = (mutation: Lookup, targets: unknown, when: WhenToInvalidate = "after"): unknown => {
    const invalidate = (leading: Args, args: Args): AnyEffect =>
      Effect.suspend(() => {
        if (whens.includes(when)) return runAll(invalidationsOf(targets, leading, args, ofTags), "unbounded")
        throw new InvalidOption({
          option: "when",
          of: "Cached.invalidates",
          detail: 'is not "after", "before" or "both"'
        })
      })
    return mapMutation(mutation, (self, args) => {
      if (when === "before") return Effect.zipRight(invalidate([], args), self)
      if (when === "both")
        return Effect.zipRight(
          invalidate([], args),
          runThen(self, () => invalidate([], args))
        )
      return runThen(self, (exit) => invalidate([Exit.isSuccess(exit) ? exit.value : undefined], args))
    })
  }
  return (...[first, second, third]: ReadonlyArray<any>): any =>
    isTarget(second) ? wrap(first, second, third?.when) : (mutation: Lookup) => wrap(mutation, first, second?.when)
}

// ------------------------------------------------------------------------------------------------------------ refreshes

/**
 * A cached effect or function that a mutation refreshes.
 *
 * @category models
 * @since 0.2.0
 */
export interface RefreshTarget extends CachedTarget {
  readonly refresh: AnyEffect | ((...args: any) => AnyEffect)
}

/** A mutation that refreshes. A failing refresh does not fail it, so only the errors of the invalidation are added. */
export type Refreshing<M, T> = T extends { readonly refresh: infer F }
  ? Mutating<
      M,
      ErrorOf<EffectOf<T, never>>,
      ContextOf<EffectOf<T, never>> | ContextOf<F extends AnyEffect ? F : ResultOf<F>>
    >
  : never

/** What waits for its mutation. If none can be inferred yet, the target is checked when it is passed. */
export type RefreshesLast<M, T> = Lookup extends M
  ? <M2 extends Lookup>(mutation: Fitting<M2, T>) => Refreshing<M2, T>
  : (mutation: M) => Refreshing<M, T>

const failedRefresh =
  "Cached.refreshes: the refresh after a mutation failed, so the entry was invalidated and the next read loads. The " +
  "mutation itself succeeded. Check what the lookup depends on."

/** Refreshes, or invalidates if that does not succeed: the entry that the mutation has outdated must not stay. */
const refreshOrInvalidate = (refresh: AnyEffect, invalidate: AnyEffect): AnyEffect =>
  Effect.catchAllCause(refresh, (cause) =>
    Cause.isInterruptedOnly(cause) ? invalidate : Effect.zipRight(Effect.logWarning(failedRefresh, cause), invalidate)
  )

/** `Cached.refreshes`, in both of its forms. */
export const refreshes = (...[first, second]: ReadonlyArray<any>): any => {
  const wrap = (mutation: Lookup, target: RefreshTarget): unknown =>
    mapMutation(mutation, (self, args) =>
      runThen(self, (exit, restore) => {
        const invalidate = memberOf(target.invalidate, args)
        return Exit.isSuccess(exit)
          ? refreshOrInvalidate(restore(memberOf(target.refresh, args)), invalidate)
          : invalidate
      })
    )
  return second === undefined ? (mutation: Lookup) => wrap(mutation, first) : wrap(first, second)
}
