/**
 * The types of a lookup, of its arguments and of its value. `any` stands where every type has to fit: no other type does,
 * because a parameter takes the subtypes of its type, and a result the supertypes.
 */
import type * as Effect from "effect/Effect"

/**
 * A lookup, which produces the value to cache: an effect, or a function that returns one.
 *
 * @category models
 * @since 0.1.0
 */
export type Lookup = Effect.Effect<any, any, any> | LookupFunction

// There are two signatures, one of them generic, so that an inline lookup gets no contextual type. A single signature
// would type a parameter with a default (`(page = 1) => …`) as `any`, and a parameter without a type would be no error.
export interface LookupFunction {
  (...args: any): Effect.Effect<any, any, any>
  <_>(...args: any): Effect.Effect<any, any, any>
}

/**
 * The arguments of a lookup.
 *
 * `Lookup extends L` is true as long as `L` is not inferred. The compiler infers an inline `Effect.fn(…)` in a second
 * pass, and the first pass must not refuse the key.
 */
export type ArgsOf<L> = Lookup extends L
  ? any
  : L extends Effect.Effect<any, any, any>
    ? []
    : L extends (...args: infer Args extends ReadonlyArray<any>) => any
      ? Args
      : never
/** The value of a lookup. */
export type ValueOf<L> = Lookup extends L
  ? any
  : L extends Effect.Effect<infer A, any, any>
    ? A
    : L extends (...args: any) => Effect.Effect<infer A, any, any>
      ? A
      : never

/** The error of a lookup. */
export type ErrorOf<L> = Lookup extends L
  ? any
  : L extends Effect.Effect<any, infer E, any>
    ? E
    : L extends (...args: any) => Effect.Effect<any, infer E, any>
      ? E
      : never
