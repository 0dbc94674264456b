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
import type { KeyPart } from "./internal/keyProblem.js"
import { encoder } from "./internal/keyTemplate.js"

export type { Argument, Ignorable, KeyPart, KeyProblem, WithArgument } from "./internal/keyProblem.js"

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
 * It accepts strings, all numbers, bigints, booleans, `null`, `undefined`, `Date`, `Uint8Array`, and arrays, records,
 * `Map` and `Set` of these; and Effect's structural values: what `Data` makes, instances of `Data.Class` and
 * `Schema.Class`, `Option`, `Either`, `Chunk`, `Duration`, `DateTime`, `BigDecimal`, `HashMap` and `HashSet`. Those that
 * `Equal.equals` takes as equal have one hash, whatever their class is named.
 *
 * The order of the keys of a record, of a `Map` and of a `Set` does not count. Everything else does: `1` is not `"1"`,
 * `{ a: undefined }` is neither `{}` nor `Data.struct({ a: undefined })`, and two different lone surrogates differ.
 * Three pairs are the same: `-0` and `0`, a record with and without a prototype, a `Buffer` and a `Uint8Array` of its
 * bytes.
 *
 * **Gotchas**
 *
 * It throws `KeyError`, which names the path, for `Redacted`, because a secret must not become part of a key, and for a
 * value that it cannot encode faithfully: functions, symbols, instances of other classes, accessors, holes, cycles, more
 * than 256 levels, more than 64 MiB. Thrown in a key function, the error is a defect of the read.
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
