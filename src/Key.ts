/**
 * Cache keys.
 *
 * A key template such as `"user:{}"` is checked by the compiler and encodes the arguments so that different arguments
 * never share a key. `part` and `hash` help key functions, which make a key by hand: `part` for a single value, `hash`
 * for a value that is too large or too structured for a key.
 *
 * @since 0.1.0
 */
import { hashValue } from "./internal/keyHash.js"
import { encoder } from "./internal/keyTemplate.js"

/**
 * The types that a placeholder accepts. A number must be finite; `-0` is the same as `0`.
 *
 * @category models
 * @since 0.1.0
 */
export type KeyPart = string | number | bigint | boolean

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
 * tests for `any`.
 */
type Part<Label extends string, T> = (() => T) extends
  | (() => string)
  | (() => number)
  | (() => bigint)
  | (() => boolean)
  ? 0 extends 1 & T
    ? `${Label} is any: give it a type`
    : never
  : [T] extends [KeyPart]
    ? `${Label} mixes types, so 1 and "1" would share a key: use a key function`
    : [T] extends [KeyPart | undefined | null]
      ? `${Label} may be ${undefined extends T ? "undefined" : "null"}: use a key function that says what that means`
      : `${Label} is not a string, number, bigint or boolean: use a key function, or Key.hash`

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

/** The property names of a record, without those of an index signature, which may be absent. */
type Known<H> = keyof { [K in keyof H as string extends K ? never : K]: 0 }

type Property<P extends string, H> = 0 extends 1 & H
  ? `{${P}} names a property, but the first argument is any: give it a type`
  : [H] extends [KeyPart | ReadonlyArray<any> | ((...args: any) => any)]
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

/** Checks the placeholders from left to right and stops at the first problem. `N` counts the `{}` so far. */
type Walk<
  T extends string,
  F extends ReadonlyArray<any>,
  Args extends ReadonlyArray<any>,
  N extends ReadonlyArray<0> = [],
  Problem = never
> = [Problem] extends [never]
  ? T extends `${infer A}{${infer R}`
    ? HasLone<A> extends true
      ? "a lone } in the template: write }} for a literal brace"
      : R extends `{${infer Rest}`
        ? Walk<Rest, F, Args, N>
        : R extends `${infer P}}${infer Rest}`
          ? P extends `${string}{${string}`
            ? `{${P} is never closed: write {{ for a literal brace`
            : P extends ""
              ? Walk<
                  Rest,
                  F,
                  Args,
                  [...N, 0],
                  | At<`{} (number ${[...N, 0]["length"]})`, `${N["length"]}`, F, Args>
                  | Follow<`{} (number ${[...N, 0]["length"]})`, Rest>
                >
              : P extends `${bigint}`
                ? Walk<Rest, F, Args, N, At<`{${P}}`, P, F, Args> | Follow<`{${P}}`, Rest>>
                : Walk<Rest, F, Args, N, Named<P, F, Args> | Follow<`{${P}}`, Rest>>
          : `{${R} is never closed: write {{ for a literal brace`
    : HasLone<T> extends true
      ? "a lone } in the template: write }} for a literal brace"
      : never
  : Problem

/**
 * The compile-time check of a template: `never` when every placeholder names a part of the key, otherwise a message
 * about the first one that does not.
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
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export type KeyProblem<T extends string, Args extends ReadonlyArray<any>> = 0 extends 1 & Args
  ? never
  : string extends T
    ? never
    : Walk<T, Fixed<Args>, Args>

/**
 * Encodes one value as a placeholder does, for a key that is put together by hand. Use it in the key of a cached effect
 * or of `Cached.bg`: neither has arguments that a template could name. Throws `KeyError` for a value that is not a
 * `KeyPart`, or not finite.
 *
 * @example
 * ```ts
 * import { Key } from "effect-cached"
 *
 * const key = `total:${Key.part("/srv/{new}")}` // total:/srv/%7Bnew%7D
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const part: (value: KeyPart) => string = /*#__PURE__*/ encoder("Key.part", "the value", "")

/**
 * A short text for a value that is too large or too structured for a key: 128 bits of SHA-256 as 22 characters of
 * base64url. Equal values give the same text in every process and in every release.
 *
 * **Details**
 *
 * It accepts strings, all numbers, bigints, booleans, `null`, `undefined`, `Date`, `Uint8Array`, `Option`, and arrays,
 * records, `Map` and `Set` of these. The order of the keys of a record, of a `Map` and of a `Set` does not count.
 * Everything else does: `1` is not `"1"`, `{ a: undefined }` is not `{}`, and two different lone surrogates differ.
 * Three pairs are the same: `-0` and `0`, a record with and without a prototype, a `Buffer` and a `Uint8Array` of its
 * bytes.
 *
 * **Gotchas**
 *
 * It throws `KeyError`, which names the path, for a value that it cannot encode faithfully: functions, symbols,
 * instances of classes, accessors, holes, cycles, more than 256 levels, more than 64 MiB. Thrown in a key function, the
 * error is a defect of the read.
 *
 * @example
 * ```ts
 * import { Key } from "effect-cached"
 *
 * const key = (query: { readonly text: string; readonly page: number }) => `search:${Key.hash(query)}`
 *
 * key({ text: "cache", page: 1 }) === key({ page: 1, text: "cache" }) // true
 * ```
 *
 * @category hashing
 * @since 0.1.0
 */
export const hash: (value: unknown) => string = hashValue
