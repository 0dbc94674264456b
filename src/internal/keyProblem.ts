/**
 * The compile-time check of key templates: every placeholder names a part of the key, and every argument is part of the
 * key or ignored on purpose. `any` in bounds and conditional types stands where every type has to fit; whether a type is
 * `any` is asked as `0 extends 1 & T`.
 */
import type * as PrimaryKey from "effect/PrimaryKey"

type Primitive = string | number | bigint | boolean

/**
 * The types that a placeholder accepts. A number must be finite; `-0` is the same as `0`. A value with a `PrimaryKey`
 * stands for that text.
 *
 * @category models
 * @since 0.1.0
 */
export type KeyPart = Primitive | PrimaryKey.PrimaryKey

/** The arguments that every call has: `[a, b?, ...c]` gives `[a]`. */
type Fixed<Args extends ReadonlyArray<any>, Acc extends ReadonlyArray<any> = []> = Args extends readonly [
  infer H,
  ...infer T
]
  ? Fixed<T, [...Acc, H]>
  : Acc

/**
 * `never` for the type of a key part, otherwise a message.
 *
 * The first condition holds for a single type, not for a union of them. It wraps types in functions, because the
 * compiler would accept `[string | number]` as `[string] | [number]`. `any` passes it too, so the branch behind it
 * tests for `any`. Classes with a `PrimaryKey` are a single type to it, but each has primary keys of its own.
 */
type Part<Label extends string, T> = (() => T) extends
  | (() => string)
  | (() => number)
  | (() => bigint)
  | (() => boolean)
  | (() => PrimaryKey.PrimaryKey)
  ? 0 extends 1 & T
    ? `${Label} is any: give it a type`
    : [T] extends [Primitive]
      ? never
      : IsUnion<T> extends true
        ? Mixed<Label>
        : never
  : [T] extends [KeyPart]
    ? Mixed<Label>
    : [T] extends [KeyPart | undefined | null]
      ? `${Label} may be ${undefined extends T ? "undefined" : "null"}: use a key function that says what that means`
      : `${Label} is not a string, number, bigint or boolean: use a key function, or Key.hash`
type Mixed<Label extends string> = `${Label} mixes types, so 1 and "1" would share a key: use a key function`

/** The kinds of the primitives in a type. */
type Kind<T> = T extends string
  ? "string"
  : T extends number
    ? "number"
    : T extends bigint
      ? "bigint"
      : T extends boolean
        ? "boolean"
        : never

/** Whether a type has primitives of several kinds, which could have equal texts. */
export type MixesKinds<T> = IsUnion<Kind<T>>

type IsUnion<T, U = T> = [T] extends [never] ? false : T extends any ? ([U] extends [T] ? false : true) : never

type At<
  Label extends string,
  I extends string,
  F extends ReadonlyArray<any>,
  Args extends ReadonlyArray<any>
> = I extends keyof F
  ? Part<Label, F[I]>
  : I extends keyof Args | (number extends Args["length"] ? string : never)
    ? `${Label} names an argument that may be absent: use a key function`
    : `${Label} names no argument of the lookup`

/** Whether a name stands for many, as that of an index signature (`string`, `x-${string}`) and a computed text do. */
type IsPattern<K extends PropertyKey> = {} extends Record<K, 0> ? true : false

/** The property names of a record, without those of an index signature, which may be absent. */
type Known<H> = keyof { [K in keyof H as IsPattern<K> extends true ? never : K]: 0 }

type Property<P extends string, H> = 0 extends 1 & H
  ? `{${P}} names a property, but the first argument is any: give it a type`
  : [H] extends [Primitive | ReadonlyArray<any> | ((...args: any) => any)]
    ? `{${P}} names a property, but the first argument is not a record`
    : [H] extends [object]
      ? P extends Known<H>
        ? Part<`{${P}}`, H[P & keyof H]>
        : P extends keyof H
          ? `{${P}} comes from an index signature and may be absent: use a key function`
          : `{${P}} names no property of the first argument`
      : `{${P}} names a property, but the first argument is not a record`

type Named<P extends string, F extends ReadonlyArray<any>, Args extends ReadonlyArray<any>> = F extends readonly [
  infer H,
  ...any
]
  ? Property<P, H>
  : At<`{${P}}`, "0", F, Args>

/**
 * `never` when a placeholder is followed by nothing, or by a character that cannot occur in an escaped value; otherwise
 * a message. A character is a letter if its upper case differs from its lower case.
 */
type Follow<Label extends string, Rest extends string> = Rest extends `{${infer R}`
  ? R extends `{${string}`
    ? never
    : `${Label} and {${R extends `${infer P}}${string}` ? P : R}} are adjacent: put a text such as ":" between them`
  : Rest extends `${infer C}${string}`
    ? string extends C
      ? never
      : Uppercase<C> extends Exclude<Lowercase<C>, "%" | "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9">
        ? never
        : `${Label} is followed by ${C}: begin that text with a character that is not a letter, a digit or %`
    : never

/** Whether a text without `{` contains a `}` that is not doubled. */
type HasLone<T extends string> = T extends `${string}}${infer R}`
  ? R extends `}${infer Rest}`
    ? HasLone<Rest>
    : true
  : false

/**
 * Checks the placeholders from left to right and stops at the first problem, and then checks that every argument counts.
 * `Ignored` is what the option `ignore` lists, `N` counts the `{}` so far, and `Named` collects what the placeholders
 * mention: positions as numbers, properties by name.
 */
type Walk<
  T extends string,
  F extends ReadonlyArray<any>,
  Args extends ReadonlyArray<any>,
  Ignored,
  N extends ReadonlyArray<0> = [],
  Mentioned = never,
  Problem = never
> = [Problem] extends [never]
  ? T extends `${infer A}{${infer R}`
    ? HasLone<A> extends true
      ? "a lone } in the template: write }} for a literal brace"
      : R extends `{${infer Rest}`
        ? Walk<Rest, F, Args, Ignored, N, Mentioned>
        : R extends `${infer P}}${infer Rest}`
          ? P extends `${string}{${string}`
            ? `{${P} is never closed: write {{ for a literal brace`
            : P extends ""
              ? Walk<
                  Rest,
                  F,
                  Args,
                  Ignored,
                  [...N, 0],
                  Mentioned | N["length"],
                  | At<`{} (number ${[...N, 0]["length"]})`, `${N["length"]}`, F, Args>
                  | Follow<`{} (number ${[...N, 0]["length"]})`, Rest>
                >
              : P extends `${bigint}`
                ? Walk<
                    Rest,
                    F,
                    Args,
                    Ignored,
                    N,
                    Mentioned | ToNumber<P>,
                    At<`{${P}}`, P, F, Args> | Follow<`{${P}}`, Rest>
                  >
                : Walk<Rest, F, Args, Ignored, N, Mentioned | P, Named<P, F, Args> | Follow<`{${P}}`, Rest>>
          : `{${R} is never closed: write {{ for a literal brace`
    : HasLone<T> extends true
      ? "a lone } in the template: write }} for a literal brace"
      : Uncovered<Required<Args>, F, Mentioned, Ignored>
  : Problem

type ToNumber<T extends string> = T extends `${infer I extends number}` ? I : never

/**
 * Whether a type has one value only (`_tag: "User"`, `null`, `void`): an argument or a property of such a type tells no
 * two calls apart.
 */
type IsUnit<T> = 0 extends 1 & T
  ? false
  : [T] extends [null] | [undefined] | [void]
    ? true
    : [T] extends [Primitive]
      ? {} extends Record<`${T & Primitive}`, 0>
        ? false
        : IsUnion<T> extends true
          ? false
          : true
      : false

type IsRecord<H> = 0 extends 1 & H
  ? false
  : [H] extends [Primitive | ReadonlyArray<any> | ((...args: any) => any)]
    ? false
    : [H] extends [object]
      ? true
      : false

type AllKeys<H> = H extends any ? keyof H : never
/** The type of a property that some members of a union have. */
type SomeProperty<H, K> = H extends any ? (K extends keyof H ? H[K] : never) : never

declare const narrow: unique symbol
type Narrowed<P extends ReadonlyArray<any>> = { [I in keyof P]: P[I] & { readonly [narrow]: 0 } }

/**
 * Whether a property was declared as a method. The compiler compares the parameters of a method in both directions, and
 * those of a property that is a function in one, which tells the two apart. It cannot tell them apart for functions
 * without parameters, overloaded and generic ones: those are taken for methods.
 */
type IsMethod<T> = 0 extends 1 & T
  ? false
  : [T] extends [(...args: infer P extends ReadonlyArray<any>) => infer R]
    ? P extends readonly []
      ? true
      : ((...args: P) => R) extends T
        ? ((...args: Narrowed<P>) => R) extends T
          ? true
          : false
        : true
    : false

/** Whether a record may have more properties than its type names. */
type HasIndex<H> = true extends (AllKeys<H> extends infer K ? (K extends PropertyKey ? IsPattern<K> : never) : never)
  ? true
  : false

/** The names of a record that may tell two calls apart: no symbols, no methods, nothing that has one value only. */
type CountingNames<H> = {
  [K in AllKeys<H>]: K extends symbol
    ? never
    : IsPattern<K> extends true
      ? never
      : K extends keyof H
        ? IsMethod<H[K]> extends true
          ? never
          : IsUnit<H[K]> extends true
            ? never
            : `${K & (string | number)}`
        : IsMethod<SomeProperty<H, K>> extends true
          ? never
          : `${K & (string | number)}`
}[AllKeys<H>]

type Mention<Label extends string> = `${Label} is not part of the key: mention it, or list it in \`ignore\``
type UseFunction<
  Label extends string,
  It extends string | number = "it"
> = `${Label}: use a key function, or list ${It} in \`ignore\` (Key.part and Key.hash make the texts of a key function)`

/** `P` is the problem that a placeholder for it would have: mentioning it is no advice then. */
type Missing<Label extends string, P> = [P] extends [never]
  ? Mention<Label>
  : UseFunction<`${Label} is not part of the key`>

type UncoveredProperty<H, P> = P extends string
  ? P extends keyof H
    ? Missing<`{${P}}`, Part<P, H[P]>>
    : UseFunction<`{${P}} is not part of the key`>
  : never

/** What a template that names properties of the first argument leaves out of it. */
type UncoveredRecord<H, Mentioned, Ignored> = 0 extends Ignored
  ? never
  : HasIndex<H> extends true
    ? UseFunction<"argument 0 has an index signature, so there may be more of it than the key says", 0>
    : UncoveredProperty<H, Exclude<CountingNames<H>, Mentioned | Ignored>>

type UncoveredArgument<N extends number, H, F extends ReadonlyArray<any>> =
  IsUnit<H> extends true
    ? never
    : `${N}` extends keyof F
      ? [N, IsRecord<H>, [CountingNames<H>] extends [never] ? false : true] extends [0, true, true]
        ? [Part<"", H>] extends [never]
          ? Mention<"argument 0">
          : "argument 0 is not part of the key: mention its properties, or list it in `ignore`"
        : Missing<`argument ${N}`, Part<"", H>>
      : UseFunction<`argument ${N} is not part of the key`>

type UncoveredAt<N extends number, H, F extends ReadonlyArray<any>, Mentioned, Ignored> = N extends Mentioned | Ignored
  ? never
  : N extends 0
    ? [Extract<Mentioned, string>] extends [never]
      ? UncoveredArgument<N, H, F>
      : UncoveredRecord<H, Mentioned, Ignored>
    : UncoveredArgument<N, H, F>

/**
 * What the first argument with a part that is neither mentioned nor ignored leaves out. `Rest` are the arguments without
 * optionality, `F` those that every call has.
 */
type Uncovered<
  Rest extends ReadonlyArray<any>,
  F extends ReadonlyArray<any>,
  Mentioned,
  Ignored,
  N extends ReadonlyArray<0> = []
> = Rest extends readonly []
  ? never
  : Rest extends readonly [infer H, ...infer T]
    ? [UncoveredAt<N["length"], H, F, Mentioned, Ignored>] extends [never]
      ? Uncovered<T, F, Mentioned, Ignored, [...N, 0]>
      : UncoveredAt<N["length"], H, F, Mentioned, Ignored>
    : N["length"] extends Ignored
      ? never
      : UseFunction<`arguments from ${N["length"]} on are not part of the key`, N["length"]>

/**
 * Stands beside a message about an argument. The compiler prints the name of a parameter only as part of a type, here as
 * `Argument<[tenant: string]>`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Argument<Named extends ReadonlyArray<any>> {
  readonly argument: Named
}

type FirstOf<Rest extends ReadonlyArray<any>, T extends ReadonlyArray<any>> = Rest extends readonly [...infer H, ...T]
  ? H
  : never
/** The argument at a position, as a tuple of one, which keeps its name; all the rest, from a rest parameter on. */
type ArgumentAt<
  Rest extends ReadonlyArray<any>,
  N extends number,
  I extends ReadonlyArray<0> = []
> = Rest extends readonly [any, ...infer T]
  ? I["length"] extends N
    ? FirstOf<Rest, T>
    : ArgumentAt<T, N, [...I, 0]>
  : Rest

/**
 * A message and, if it is about an argument, the name of that argument.
 *
 * @category models
 * @since 0.2.0
 */
export type WithArgument<
  Problem,
  Args extends ReadonlyArray<any>
> = Problem extends `argument${"s from " | " "}${infer N extends number} ${string}`
  ? Problem & Argument<ArgumentAt<Required<Args>, N>>
  : Problem

type Positions<Rest extends ReadonlyArray<any>, N extends ReadonlyArray<0> = []> = Rest extends readonly []
  ? never
  : Rest extends readonly [any, ...infer T]
    ? N["length"] | Positions<T, [...N, 0]>
    : N["length"]

type NamesOf<Args extends ReadonlyArray<any>> = Args extends readonly [infer H, ...any]
  ? IsRecord<H> extends true
    ? CountingNames<H>
    : never
  : never

/** What a template mentions: positions as numbers, properties by name. */
type MentionedBy<T extends string, N extends ReadonlyArray<0> = [], Acc = never> = T extends `${string}{${infer R}`
  ? R extends `{${infer Rest}`
    ? MentionedBy<Rest, N, Acc>
    : R extends `${infer P}}${infer Rest}`
      ? P extends ""
        ? MentionedBy<Rest, [...N, 0], Acc | N["length"]>
        : P extends `${bigint}`
          ? MentionedBy<Rest, N, Acc | ToNumber<P>>
          : MentionedBy<Rest, N, Acc | P>
      : Acc
  : Acc

// a union that is built inside an alias would be printed as the alias, so it goes through one more conditional type
type OrNothing<Names> = [Names] extends [never]
  ? "every argument is part of the key: there is nothing to ignore"
  : Names

/**
 * What the option `ignore` may list beside a template: the arguments (by position) and the properties of a first
 * argument that is a record (by name) which the template leaves out. Beside properties in the template, `0` stands for
 * the rest of the record. Otherwise a message.
 *
 * @category models
 * @since 0.2.0
 */
export type Ignorable<K, Args extends ReadonlyArray<any>> = 0 extends 1 & Args
  ? number | string
  : [K] extends [string]
    ? OrNothing<
        Exclude<
          Positions<Required<Args>> | NamesOf<Args>,
          K extends string ? (IsPattern<K> extends true ? never : MentionedBy<K>) : never
        >
      >
    : "a key function decides what counts: there is nothing to ignore"

/**
 * The compile-time check of a template: `never` when every placeholder names a part of the key and every argument is
 * part of the key or listed in `Ignored`, otherwise a message about what is wrong.
 *
 * A template that the compiler does not know (a computed `string`) is checked at run time instead, when it is first
 * used.
 *
 * @example
 * ```ts
 * import type { Key } from "effect-cached"
 *
 * type Right = Key.KeyProblem<"user:{}", [id: number]> // never
 * type Wrong = Key.KeyProblem<"user:{userID}", [{ readonly userId: number }]>
 * //   "{userID} names no property of the first argument"
 * type Incomplete = Key.KeyProblem<"user:{1}", [tenant: string, id: number]>
 * //   "argument 0 is not part of the key: mention it, or list it in `ignore`"
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export type KeyProblem<T extends string, Args extends ReadonlyArray<any>, Ignored = never> = 0 extends 1 & Args
  ? never
  : T extends string
    ? IsPattern<T> extends true
      ? never
      : Walk<T, Fixed<Args>, Args, Ignored>
    : never
