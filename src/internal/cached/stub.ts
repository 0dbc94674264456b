/**
 * Stubs: plain effects and functions with the members of cached ones, for tests of code that takes a cached one. `any`
 * stands in the bounds of their types.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Explanation } from "../../CacheEvent.js"
import type { FunctionStats } from "../../CacheStats.js"
import type * as Entry from "../../Entry.js"
import { cacheStatusOf } from "../cacheStatus.js"
import { countsOf } from "../engine/stats.js"
import type { Lookup } from "./lookup.js"

/**
 * An effect with the members of a `CachedEffect`. It is an interface of its own, so that a stub whose value is narrower
 * than that of the cached effect takes its place.
 *
 * @category models
 * @since 0.2.0
 */
export interface StubEffect<out A, out E, out R, out K = string> extends Effect.Effect<A, E, R> {
  /** The text `stub`: there is no entry. An effect, if it is partitioned. */
  readonly key: K
  /** Does nothing. */
  readonly invalidate: Effect.Effect<void>
  /** Does nothing. */
  readonly expire: Effect.Effect<void>
  /** Runs the effect. */
  readonly refresh: Effect.Effect<A, E, R>
  /** `None`, because nothing is stored. */
  readonly peek: Effect.Effect<Option.Option<A>>
  /** `None`, because nothing is stored. */
  readonly entry: Effect.Effect<Option.Option<Entry.View<A>>>
  /** `None`, because nothing is stored. */
  readonly unsafePeek: () => Option.Option<A>
  /** A miss of a function that is not cached. */
  readonly explain: Effect.Effect<Explanation>
  /** Zeros, because nothing is counted. */
  readonly stats: Effect.Effect<FunctionStats>
  /** Does nothing. */
  readonly set: (value: unknown) => Effect.Effect<void>
}

/**
 * A function with the members of a `CachedFunction`. It is an interface of its own, so that a stub with fewer arguments,
 * or with a narrower value, takes the place of the cached function.
 *
 * @category models
 * @since 0.2.0
 */
export interface StubFunction<in Args extends ReadonlyArray<any>, out A, out E, out R, out K = string> {
  (...args: Args): Effect.Effect<A, E, R>
  /** The text `stub`: there is no entry. An effect, if it is partitioned. */
  readonly key: (...args: Args) => K
  /** Does nothing. */
  readonly invalidate: (...args: Args) => Effect.Effect<void>
  /** Does nothing. */
  readonly expire: (...args: Args) => Effect.Effect<void>
  /** Runs the function. */
  readonly refresh: (...args: Args) => Effect.Effect<A, E, R>
  /** `None`, because nothing is stored. */
  readonly peek: (...args: Args) => Effect.Effect<Option.Option<A>>
  /** `None`, because nothing is stored. */
  readonly entry: (...args: Args) => Effect.Effect<Option.Option<Entry.View<A>>>
  /** `None`, because nothing is stored. */
  readonly unsafePeek: (...args: Args) => Option.Option<A>
  /** A miss of a function that is not cached. */
  readonly explain: (...args: Args) => Effect.Effect<Explanation>
  /** Zeros, because nothing is counted. */
  readonly stats: Effect.Effect<FunctionStats>
  /** Does nothing. */
  readonly set: (...args: Args) => (value: unknown) => Effect.Effect<void>
  /** Does nothing. */
  readonly clear: Effect.Effect<void>
  /** Does nothing. */
  readonly expireAll: Effect.Effect<void>
}

/**
 * What a stub of a function of one id has besides, if the function returns an `Option`: it takes the place of a batched
 * function.
 *
 * @category models
 * @since 0.2.0
 */
export interface StubMany<in Id, out A, out E, out R> {
  /** Runs the function for each id, 16 at once. */
  readonly many: (ids: Iterable<Id>) => Effect.Effect<Array<A>, E, R>
}

/**
 * The stub that `Cached.stub` makes of an effect or a function. `K` is the type of its key.
 *
 * @category models
 * @since 0.2.0
 */
export type Stub<L, K = string> =
  L extends Effect.Effect<infer A, infer E, infer R>
    ? StubEffect<A, E, R, K>
    : L extends (...args: infer Args extends ReadonlyArray<any>) => Effect.Effect<infer A, infer E, infer R>
      ? [Args, A] extends [[id: infer Id], Option.Option<any>]
        ? StubFunction<Args, A, E, R, K> & StubMany<Id, A, E, R>
        : StubFunction<Args, A, E, R, K>
      : never

/**
 * The stub of a partitioned effect or function, whose key is an effect.
 *
 * @category models
 * @since 0.2.0
 */
export type PartitionedStub<L> = Stub<L, Effect.Effect<string>> & {
  /** The partition that the stub was given. */
  readonly partition: Effect.Effect<string>
}

const text = "stub"
const uncounted = { name: text, ...countsOf(undefined), background: Option.none() }
const nothing = () => Effect.void
const none = () => Effect.succeedNone
const uncached: Explanation = {
  outcome: "miss",
  reason: "disabled",
  cacheStatus: /*#__PURE__*/ cacheStatusOf({ outcome: "miss", reason: "disabled" })
}

/** The stub of an effect or a function, in a partition if there is one. What was passed stays as it is. */
export const stub = (lookup: Lookup, options?: { readonly partition: string }): unknown => {
  const isPartitioned = options !== undefined
  const key = isPartitioned ? Effect.succeed(text) : text
  const own = isPartitioned ? { partition: Effect.succeed(options.partition) } : {}
  if (Effect.isEffect(lookup)) {
    const run = Effect.suspend(() => lookup)
    return Object.assign(run, {
      ...own,
      key,
      invalidate: Effect.void,
      expire: Effect.void,
      refresh: lookup,
      peek: Effect.succeedNone,
      entry: Effect.succeedNone,
      unsafePeek: () => Option.none(),
      explain: Effect.succeed(uncached),
      stats: Effect.succeed(uncounted),
      set: nothing
    })
  }
  const call = lookup as (...args: ReadonlyArray<unknown>) => Effect.Effect<unknown, unknown, unknown>
  return Object.assign((...args: ReadonlyArray<unknown>) => call(...args), {
    ...own,
    key: () => key,
    invalidate: nothing,
    expire: nothing,
    refresh: (...args: ReadonlyArray<unknown>) => call(...args),
    peek: none,
    entry: none,
    unsafePeek: () => Option.none(),
    explain: () => Effect.succeed(uncached),
    stats: Effect.succeed(uncounted),
    set: () => nothing,
    clear: Effect.void,
    expireAll: Effect.void,
    many: (ids: Iterable<unknown>) => Effect.forEach(ids, (id) => call(id), { concurrency: 16 })
  })
}
