/**
 * What can be cached, and what a type parameter that stands for it says of its arguments and its value.
 */
import type * as Effect from "effect/Effect"

/**
 * What can be cached: an effect, or a function that returns one.
 *
 * @category models
 * @since 0.1.0
 */
export type Lookup = Effect.Effect<any, any, any> | LookupFunction

// Two signatures, one of them generic, give an inline lookup no contextual type. One would give `any` to its parameters
// that have a default (`(page = 1) => …`), and to those without a type, which are then no error.
interface LookupFunction {
  (...args: any): Effect.Effect<any, any, any>
  <_>(...args: any): Effect.Effect<any, any, any>
}

// `Lookup extends L` is true while L is not inferred: `Effect.fn(…)` written inline is looked at in a second pass, and
// the first one must not refuse the key.
export type ArgsOf<L> = Lookup extends L
  ? any
  : L extends Effect.Effect<any, any, any>
    ? []
    : L extends (...args: infer Args extends ReadonlyArray<any>) => any
      ? Args
      : never
export type ValueOf<L> = Lookup extends L
  ? any
  : L extends Effect.Effect<infer A, any, any>
    ? A
    : L extends (...args: any) => Effect.Effect<infer A, any, any>
      ? A
      : never
