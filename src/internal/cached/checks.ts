/**
 * The types that check the options of a policy against its lookup.
 *
 * `any` stands in the bounds of types: a lookup with any arguments, value, error and requirements fits them.
 */
import type * as Cause from "effect/Cause"
import type * as Schema from "effect/Schema"
import type * as Key from "../../Key.js"
import type { ArgsOf, ErrorOf, ValueOf } from "./lookup.js"

export type KeyInput = string | ((...args: any) => string)
export type OnStoreError = "miss" | "fail"

export type AnySchema = Schema.Schema<any, any> | Schema.Schema<never, any>

export type CheckedKey<K, Args extends ReadonlyArray<any>, I> = K extends string
  ? [Key.KeyProblem<K, Args, I>] extends [never]
    ? K
    : Key.WithArgument<Key.KeyProblem<K, Args, I>, Args>
  : (...args: Args) => string

/**
 * The type of the stored value: that of the schema, or that of the lookup if there is no schema.
 *
 * @category models
 * @since 0.2.0
 */
export type Stored<A, Sch> = [Sch] extends [never] ? A : Sch extends Schema.Schema<infer V, any, any> ? V : never

/** The schema if it takes the value, otherwise one that would, so that the compiler explains the difference. */
export type CheckedSchema<Sch, A> = [A] extends [Stored<A, Sch>]
  ? [LeftOut<A, Stored<A, Sch>>] extends [never]
    ? Sch
    : `the schema leaves out {${LeftOut<A, Stored<A, Sch>>}} of the value: it would not come back`
  : Schema.Schema<A, any>

type Names<A> = A extends object ? keyof A & (string | number) : never

/** The properties of a value, or of the elements of a list, that its schema does not name. */
type LeftOut<A, V> = 0 extends 1 & A
  ? never
  : unknown extends V
    ? never
    : A extends ReadonlyArray<infer X>
      ? V extends ReadonlyArray<infer Y>
        ? LeftOut<X, Y>
        : never
      : [Names<V>] extends [never]
        ? never
        : Exclude<Names<A>, Names<V>>

/** Whether a key is one template that the compiler knows: no function, no computed text, no union. */
type IsTemplate<K> = [K] extends [string]
  ? IsUnion<K> extends true
    ? false
    : {} extends Record<K, 0>
      ? false
      : true
  : false

type IsUnion<T, U = T> = T extends any ? ([U] extends [T] ? false : true) : never

/**
 * The required name of a function whose key gives it none: a key function, a computed text, or one of several templates.
 *
 * @category models
 * @since 0.2.0
 */
export interface NameRequired {
  /**
   * The name of the function: its label in metrics, spans and events, its name in `CachePolicy`, and the owner of its
   * entries. Two functions with the same name share entries. Required, since the key is no template to take a name from.
   */
  readonly name: string
}

export type NameOf<K> =
  IsTemplate<K> extends true
    ? {
        /**
         * The name of the function: its label in metrics, spans and events, its name in `CachePolicy`, and the owner of
         * its entries. Two functions with the same name share entries. Default: the template as written.
         */
        readonly name?: string | undefined
      }
    : NameRequired

/**
 * The type of the lookup if the options of a policy fit it, otherwise a message that says what does not fit. `K` is the
 * key, `I` what `ignore` lists, `O` the other options that depend on the lookup.
 *
 * @category models
 * @since 0.1.0
 */
export type Checked<L, K, I, O> = [ProblemOf<L, K, I, O>] extends [never] ? L : ProblemOf<L, K, I, O>

type ProblemOf<L, K, I, O> = [KeyProblemOf<L, K, I>] extends [never]
  ? [SchemaProblem<L, O>] extends [never]
    ? CallbackProblem<L, O> | HandlerProblem<L, O> | FailuresProblem<L, O>
    : SchemaProblem<L, O>
  : KeyProblemOf<L, K, I>

type KeyProblemOf<L, K, I> = K extends string
  ? Key.WithArgument<Key.KeyProblem<K, ArgsOf<L>, I>, ArgsOf<L>>
  : K extends (...args: ArgsOf<L>) => string
    ? never
    : "the key function of this policy takes other arguments than the lookup"

type SchemaProblem<L, O> = O extends { readonly schema: infer Sch extends AnySchema }
  ? [ValueOf<L>] extends [Stored<ValueOf<L>, Sch>]
    ? Extract<CheckedSchema<Sch, ValueOf<L>>, string>
    : "the schema of this policy does not take the lookup's value"
  : never

type CallbackProblem<L, O> = {
  [P in keyof O & ("ttl" | "tags")]: Fits<O[P], [StoredOf<L, O>, ...ArgsOf<L>]> extends true
    ? never
    : `\`${P}\` of this policy takes another value, or other arguments, than the lookup has`
}[keyof O & ("ttl" | "tags")]

type HandlerProblem<L, O> = O extends { readonly onError: infer H }
  ? Fits<H, [Cause.Cause<ErrorOf<L>>, ...ArgsOf<L>]> extends true
    ? never
    : "`onError` of this policy takes another error, or other arguments, than the lookup has"
  : never

type FailuresProblem<L, O> = O extends { readonly failures: infer X }
  ?
      | (X extends { readonly ttl: infer T }
          ? Fits<T, [ErrorOf<L>, ...ArgsOf<L>]> extends true
            ? never
            : "`failures.ttl` of this policy takes another error, or other arguments, than the lookup has"
          : never)
      | (X extends { readonly schema: { readonly Type: infer V } }
          ? [V] extends [ErrorOf<L>]
            ? never
            : "`failures.schema` of this policy makes other errors than the lookup has"
          : never)
  : never

type StoredOf<L, O> = O extends { readonly schema: infer Sch extends AnySchema } ? Stored<ValueOf<L>, Sch> : ValueOf<L>

/** Whether a callback may be called with these arguments. It may take fewer. What is no callback fits. */
type Fits<F, Args extends ReadonlyArray<any>> = F extends (...args: any) => any
  ? F extends (...args: Args) => any
    ? true
    : false
  : true

/**
 * Makes the compiler infer the options as they are written, for the check when the policy is applied. It infers through
 * both branches; after inference the type is `unknown`, which changes no check, message or completion.
 *
 * @category models
 * @since 0.2.0
 */
export type Kept<O> = [O] extends [never] ? O : unknown

/**
 * The type of no argument: a policy takes the lookup and nothing else.
 *
 * @category models
 * @since 0.2.0
 */
export interface NoArgument {
  readonly [noArgument]: never
}
declare const noArgument: unique symbol
