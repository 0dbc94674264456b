/**
 * How a value becomes bytes and a value again.
 *
 * A serializer is lossless or refuses (law 7): a value that would come back as something else is not written at all.
 * What it refuses is delivered to the caller all the same; it is not stored, counted, and named once with its path.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import { SerializerError } from "./CacheError.js"
import * as Codec from "./internal/serializers/schemaCodec.js"
import {
  caught,
  define,
  foreign,
  item,
  keysOf,
  maxDepth,
  noProperties,
  onlyItems,
  property,
  remedy,
  Walk
} from "./internal/serializers/valueWalk.js"

// Present in every runtime, but in none of the libs a core without DOM and Node types compiles against.
declare const TextEncoder: { new (): { readonly encode: (text: string) => Uint8Array } }
declare const TextDecoder: {
  new (
    label: string,
    options: { readonly fatal: boolean; readonly ignoreBOM: boolean }
  ): { readonly decode: (bytes: Uint8Array) => string }
}

/**
 * Turns values to bytes and back. Neither direction throws, whatever it is given; both answer at once.
 *
 * Any object of this shape can be given to a store as its `serializer`. Bytes that `decode` refuses are a miss, and are
 * overwritten by the load that follows (law 12).
 *
 * @example
 * ```ts
 * import { Either } from "effect"
 * import { Serializer } from "effect-cached"
 *
 * // numbers only, as eight bytes
 * const float64: Serializer.Serializer = {
 *   name: "float64",
 *   encode: (value) =>
 *     typeof value === "number"
 *       ? Either.right(new Uint8Array(Float64Array.of(value).buffer))
 *       : Serializer.refuse("Encode", "$", "is not a number"),
 *   decode: (bytes) =>
 *     bytes.length === 8
 *       ? Either.right(new Float64Array(Uint8Array.from(bytes).buffer)[0])
 *       : Serializer.refuse("Decode", "$", "is not eight bytes long")
 * }
 *
 * const bytes = Either.getOrThrow(float64.encode(1.5))
 * console.log(Either.getOrThrow(float64.decode(bytes))) // 1.5
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface Serializer {
  /** for logs and metrics, such as `lossless` */
  readonly name: string
  /** the bytes are the caller's: a serializer does not write to them again */
  readonly encode: (value: unknown) => Either.Either<Uint8Array, SerializerError>
  /** keeps no view of `bytes`, which may be part of a client's buffer */
  readonly decode: (bytes: Uint8Array) => Either.Either<unknown, SerializerError>
}

/**
 * The `Left` of a serializer that cannot do what it is asked.
 *
 * @category errors
 * @since 0.1.0
 */
export const refuse = (
  reason: SerializerError["reason"],
  path: string,
  detail: string,
  cause?: unknown
): Either.Either<never, SerializerError> => Either.left(new SerializerError({ reason, path, detail, cause }))

/** A decimal number takes quadratic time to read; beyond 2^16384 it would block the process for a poisoned entry. */
const maxBigIntBits = 16_384
const maxBigIntDigits = 4_934

const encoder = /*#__PURE__*/ new TextEncoder()
const decoder = /*#__PURE__*/ new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const escape = (...payload: Array<unknown>): unknown => ({ $: payload })

const alphabet = /*#__PURE__*/ encoder.encode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")

/** As `Encoding.encodeBase64`, which builds its answer a character at a time: ten times as slow on a large array. */
const base64 = (bytes: Uint8Array): string => {
  const text = new Uint8Array(Math.ceil(bytes.length / 3) * 4).fill(0x3d /* = */)
  for (let i = 0, at = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i
    const bits = (bytes[i]! << 16) | (left > 1 ? bytes[i + 1]! << 8 : 0) | (left > 2 ? bytes[i + 2]! : 0)
    text[at++] = alphabet[bits >> 18]!
    text[at++] = alphabet[(bits >> 12) & 63]!
    if (left > 1) text[at++] = alphabet[(bits >> 6) & 63]!
    if (left > 2) text[at++] = alphabet[bits & 63]!
  }
  return decoder.decode(text)
}

/**
 * What `JSON.stringify` has to be given instead of `value`: the value itself where nothing in it needs an escape, else a
 * copy of the containers that lead to one.
 */
const write = (value: unknown, walk: Walk, depth: number): unknown => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value
    case "number":
      return Number.isFinite(value) && (value !== 0 || 1 / value > 0)
        ? value
        : escape("number", value === 0 ? "-0" : String(value))
    case "undefined":
      return escape("undefined")
    case "bigint": {
      if (BigInt.asIntN(maxBigIntBits + 1, value) !== value) {
        throw walk.fail(depth, `is a bigint beyond 2^${maxBigIntBits}`)
      }
      return escape("bigint", String(value))
    }
    case "object":
      return value === null ? null : writeObject(value, walk, depth)
    default:
      throw walk.fail(depth, `is a ${typeof value}: ${remedy}`)
  }
}

const writeObject = (value: object, walk: Walk, depth: number): unknown => {
  walk.noCycle(value, depth)
  const prototype = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) {
    return writeRecord(value as Record<string, unknown>, prototype === null, walk, depth)
  }
  if (prototype === Array.prototype && Array.isArray(value)) return writeArray(value, walk, depth)
  if (prototype === Uint8Array.prototype) return escape("Uint8Array", base64(value as Uint8Array))
  if (Option.isOption(value)) return writeOption(value, walk, depth)
  if (prototype === Date.prototype || prototype === Map.prototype || prototype === Set.prototype) {
    noProperties(value, walk, depth)
    if (prototype === Map.prototype) return writeMap(value as Map<unknown, unknown>, walk, depth)
    if (prototype === Set.prototype) return writeSet(value as Set<unknown>, walk, depth)
    const time = (value as Date).getTime()
    return escape("Date", Number.isNaN(time) ? null : time)
  }
  throw walk.fail(depth, foreign(value, prototype))
}

const writeRecord = (record: Record<string, unknown>, bare: boolean, walk: Walk, depth: number): unknown => {
  const keys = keysOf(record, walk, depth)
  walk.enter(record, keys.length, depth)
  if (bare) return writePairs("null-object", record, keys, walk, depth)
  if (keys.length === 1 && keys[0] === "$") return writePairs("object", record, keys, walk, depth)
  let copy: Record<string, unknown> | undefined
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!
    walk.segments[depth] = key
    const child = property(record, key, walk, depth + 1)
    const written = write(child, walk, depth + 1)
    if (copy === undefined) {
      if (written === child) continue
      copy = {}
      for (let j = 0; j < i; j++) define(copy, keys[j]!, record[keys[j]!])
    }
    define(copy, key, written)
  }
  return copy ?? record
}

const writePairs = (
  tag: "object" | "null-object",
  record: Record<string, unknown>,
  keys: ReadonlyArray<string>,
  walk: Walk,
  depth: number
): unknown => {
  const payload: Array<unknown> = [tag]
  for (const key of keys) {
    walk.segments[depth] = key
    payload.push(key, write(property(record, key, walk, depth + 1), walk, depth + 1))
  }
  return { $: payload }
}

const writeArray = (array: Array<unknown>, walk: Walk, depth: number): unknown => {
  onlyItems(array, walk, depth)
  walk.enter(array, array.length, depth)
  let copy: Array<unknown> | undefined
  for (let i = 0; i < array.length; i++) {
    walk.segments[depth] = i
    const child = item(array, i, walk, depth)
    const written = write(child, walk, depth + 1)
    if (copy === undefined) {
      if (written === child) continue
      copy = array.slice(0, i)
    }
    copy.push(written)
  }
  return copy ?? array
}

const writeMap = (map: Map<unknown, unknown>, walk: Walk, depth: number): unknown => {
  walk.enter(map, 2 * map.size, depth)
  const payload: Array<unknown> = ["Map"]
  let index = 0
  for (const [key, value] of map) {
    walk.segments[depth] = { part: "keys", index }
    payload.push(write(key, walk, depth + 1))
    walk.segments[depth] = { part: "values", index }
    payload.push(write(value, walk, depth + 1))
    index++
  }
  return { $: payload }
}

const writeSet = (set: Set<unknown>, walk: Walk, depth: number): unknown => {
  walk.enter(set, set.size, depth)
  const payload: Array<unknown> = ["Set"]
  let index = 0
  for (const value of set) {
    walk.segments[depth] = { part: "values", index: index++ }
    payload.push(write(value, walk, depth + 1))
  }
  return { $: payload }
}

const writeOption = (option: Option.Option<unknown>, walk: Walk, depth: number): unknown => {
  // An Option that was hashed once carries its hash under a symbol, which is none of its properties.
  if (Object.keys(option).length !== (Option.isSome(option) ? 1 : 0)) {
    throw walk.fail(depth, `is an Option with properties of its own: ${remedy}`)
  }
  if (Option.isNone(option)) return escape("None")
  walk.enter(option, 1, depth)
  walk.segments[depth] = "value"
  return escape("Some", write(option.value, walk, depth + 1))
}

/** Turns the escapes in what `JSON.parse` made into what they stand for, in place. */
const read = (value: unknown, walk: Walk, depth: number): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) {
    walk.enter(value, 0, depth)
    readItems(value, 0, walk, depth)
    return value
  }
  const record = value as Record<string, unknown>
  const keys = Object.keys(record)
  if (keys.length === 1 && keys[0] === "$") return readEscape(record.$, walk, depth)
  walk.enter(record, 0, depth)
  for (const key of keys) {
    const child = record[key]
    if (typeof child !== "object" || child === null) continue
    walk.segments[depth] = key
    // never sets a prototype: the parsed record has the key as its own
    record[key] = read(child, walk, depth + 1)
  }
  return record
}

const readItems = (items: Array<unknown>, from: number, walk: Walk, depth: number): void => {
  for (let i = from; i < items.length; i++) {
    const child = items[i]
    if (typeof child !== "object" || child === null) continue
    walk.segments[depth] = i - from
    items[i] = read(child, walk, depth + 1)
  }
}

const readEscape = (payload: unknown, walk: Walk, depth: number): unknown => {
  if (!Array.isArray(payload)) throw walk.fail(depth, "is a malformed escape")
  const tag: unknown = payload[0]
  const content: unknown = payload[1]
  switch (tag) {
    case "undefined":
      if (payload.length === 1) return undefined
      break
    case "None":
      if (payload.length === 1) return Option.none()
      break
    case "number":
      if (payload.length !== 2) break
      if (content === "NaN") return Number.NaN
      if (content === "Infinity") return Number.POSITIVE_INFINITY
      if (content === "-Infinity") return Number.NEGATIVE_INFINITY
      if (content === "-0") return -0
      break
    case "bigint":
      if (payload.length !== 2 || typeof content !== "string" || content.length > maxBigIntDigits) break
      if (/^(0|-?[1-9][0-9]*)$/.test(content)) return BigInt(content)
      break
    case "Date":
      if (payload.length !== 2) break
      if (content === null) return new Date(Number.NaN)
      if (typeof content === "number" && new Date(content).getTime() === content) return new Date(content)
      break
    case "Uint8Array": {
      if (payload.length !== 2 || typeof content !== "string") break
      const bytes = Encoding.decodeBase64(content)
      if (Either.isRight(bytes)) return bytes.right
      break
    }
    case "Some":
      if (payload.length !== 2) break
      walk.enter(payload, 0, depth)
      walk.segments[depth] = "value"
      return Option.some(read(content, walk, depth + 1))
    case "Set": {
      walk.enter(payload, 0, depth)
      readItems(payload, 1, walk, depth)
      payload.shift()
      const set = new Set(payload)
      if (set.size === payload.length) return set
      break
    }
    case "Map": {
      if (payload.length % 2 === 0) break
      walk.enter(payload, 0, depth)
      readItems(payload, 1, walk, depth)
      const map = new Map<unknown, unknown>()
      for (let i = 1; i < payload.length; i += 2) map.set(payload[i], payload[i + 1])
      if (map.size === (payload.length - 1) / 2) return map
      break
    }
    case "object":
    case "null-object": {
      if (payload.length % 2 === 0) break
      walk.enter(payload, 0, depth)
      readItems(payload, 1, walk, depth)
      const record: Record<string, unknown> = tag === "object" ? {} : Object.create(null)
      for (let i = 1; i < payload.length; i += 2) {
        const key: unknown = payload[i]
        if (typeof key !== "string" || Object.hasOwn(record, key)) throw walk.fail(depth, "is a malformed escape")
        define(record, key, payload[i + 1])
      }
      return record
    }
    default:
      throw walk.fail(depth, typeof tag === "string" ? "has an unknown escape" : "is a malformed escape")
  }
  throw walk.fail(depth, `is a malformed ${tag}`)
}

/** Whether `text` has brackets enough to nest deeper than `maxDepth`: few texts have, and only these are walked. */
const manyBrackets = (text: string): boolean => {
  if (text.length < 2 * maxDepth) return false
  let count = 0
  for (let i = text.indexOf("{"); i !== -1; i = text.indexOf("{", i + 1)) if (++count > maxDepth) return true
  for (let i = text.indexOf("["); i !== -1; i = text.indexOf("[", i + 1)) if (++count > maxDepth) return true
  return false
}

const tooDeep = (container: object, depth: number): boolean => {
  if (depth >= maxDepth) return true
  if (Array.isArray(container)) {
    for (const child of container) {
      if (typeof child === "object" && child !== null && tooDeep(child, depth + 1)) return true
    }
    return false
  }
  // `for in`, for the engine remembers the keys of records that are alike
  for (const key in container) {
    const child = (container as Record<string, unknown>)[key]
    if (typeof child === "object" && child !== null && tooDeep(child, depth + 1)) return true
  }
  return false
}

const fromBytes = (
  bytes: Uint8Array,
  parse: (text: string) => Either.Either<unknown, SerializerError>
): Either.Either<unknown, SerializerError> => {
  let text: string
  try {
    text = decoder.decode(bytes)
  } catch {
    return refuse("Decode", "$", "is not UTF-8")
  }
  try {
    return parse(text)
  } catch (error) {
    // the engine's message quotes the text, which may be nobody's business
    return error instanceof SerializerError ? Either.left(error) : refuse("Decode", "$", "is not JSON")
  }
}

const parsePlain = (text: string): Either.Either<unknown, SerializerError> => {
  const value: unknown = JSON.parse(text)
  return manyBrackets(text) && typeof value === "object" && value !== null && tooDeep(value, 0)
    ? refuse("Decode", "$", `is nested deeper than ${maxDepth}`)
    : Either.right(value)
}

const parseLossless = (text: string): Either.Either<unknown, SerializerError> =>
  text.includes('{"$":') ? Either.right(read(JSON.parse(text), new Walk("Decode"), 0)) : parsePlain(text)

/**
 * JSON in UTF-8 that comes back equal, or is refused. The default.
 *
 * Besides what JSON knows it carries `undefined` (also in properties and arrays), `NaN`, `Infinity`, `-Infinity`, `-0`,
 * `bigint` (up to 2^16384), `Date` (an invalid one too), `Map`, `Set`, `Uint8Array`, Effect's `Option`, records without
 * a prototype, keys such as `__proto__`, and strings with lone surrogates.
 *
 * **Details**
 *
 * A value that JSON knows is written as JSON writes it. Anything else stands there as a record with the one key `$`,
 * whose content is a list of a tag and what belongs to it, such as `{"$":["Date",0]}`; a record that looks like that is
 * itself escaped, so that everything round-trips:
 *
 * | escape                                        | stands for                                |
 * | --------------------------------------------- | ----------------------------------------- |
 * | `["undefined"]` `["None"]`                    | `undefined`, `Option.none()`              |
 * | `["Some", value]`                             | `Option.some(value)`                      |
 * | `["number", "NaN"]`                           | also `Infinity`, `-Infinity` and `-0`     |
 * | `["bigint", "1"]`                             | decimal                                   |
 * | `["Date", 0]`                                 | milliseconds since 1970, `null`: invalid  |
 * | `["Uint8Array", "AQI="]`                      | base64                                    |
 * | `["Map", key, value, …]` `["Set", value, …]`  | in their order                            |
 * | `["object", key, value]`                      | a record whose only key is `$`            |
 * | `["null-object", key, value, …]`              | a record without a prototype              |
 *
 * **Gotchas**
 *
 * Instances of classes, `Buffer` and other typed arrays, functions, symbols, symbol keys, accessors, properties that are
 * not enumerable, arrays with holes or properties, cycles, and what is nested deeper than 512 are refused: the error
 * names the path. An object that is in a value twice comes back as two equal ones. What is frozen comes back unfrozen.
 *
 * @example
 * ```ts
 * import { Either, Option } from "effect"
 * import { Serializer } from "effect-cached"
 *
 * const user = { id: 1n, seen: new Date(0), nick: Option.none(), roles: new Set(["admin"]) }
 * const bytes = Either.getOrThrow(Serializer.lossless.encode(user))
 * console.log(Either.getOrThrow(Serializer.lossless.decode(bytes)))
 *
 * class Money { readonly amount = 1 }
 * const refused = Serializer.lossless.encode({ price: new Money() })
 * console.log(Either.isLeft(refused) && refused.left.message)
 * // cannot encode $.price: is an instance of Money: give the function a schema
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const lossless: Serializer = {
  name: "lossless",
  encode(value) {
    try {
      return Either.right(encoder.encode(JSON.stringify(write(value, new Walk("Encode"), 0))))
    } catch (error) {
      return caught("Encode", error)
    }
  },
  decode: (bytes) => fromBytes(bytes, parseLossless)
}

/**
 * Plain JSON in UTF-8, to share entries with programs that know nothing else.
 *
 * It writes what `JSON.stringify` writes, and so it **changes values**: `undefined` and functions are dropped from
 * records and become `null` in arrays, as do `NaN` and the infinities; `-0` becomes `0`; a `Date` becomes a string, a
 * `Map` or `Set` `{}`, a `Uint8Array` a record, an instance of a class a record or what its `toJSON` answers. Give the
 * function a schema, or cache only what JSON knows.
 *
 * It refuses what cannot be written at all: `undefined`, a function or a symbol as the whole value, bigints and cycles;
 * and reading, what is nested deeper than 512.
 *
 * @category constructors
 * @since 0.1.0
 */
export const json: Serializer = {
  name: "json",
  encode(value) {
    try {
      const text: string | undefined = JSON.stringify(value)
      return text === undefined
        ? refuse("Encode", "$", `is ${value === undefined ? "undefined" : `a ${typeof value}`}, which JSON cannot say`)
        : Either.right(encoder.encode(text))
    } catch (error) {
      return caught("Encode", error)
    }
  },
  decode: (bytes) => fromBytes(bytes, parsePlain)
}

/**
 * Values of a schema: encoded by it, and what comes out of that by `inner`, which by default is `lossless`.
 *
 * For a store that holds one kind of value. Elsewhere give each function its own `schema`, which does the same on top of
 * the store's serializer.
 *
 * **Details**
 *
 * What the schema does not describe is refused, and bytes of another schema are a miss. Properties that it does not name
 * are kept. It must need no services and answer at once.
 *
 * @example
 * ```ts
 * import { Either, Schema } from "effect"
 * import { Serializer } from "effect-cached"
 *
 * class Money extends Schema.Class<Money>("Money")({ amount: Schema.BigInt, currency: Schema.String }) {}
 *
 * const money = Serializer.schema(Money, Serializer.json)
 * const bytes = Either.getOrThrow(money.encode(new Money({ amount: 12n, currency: "EUR" })))
 * console.log(new TextDecoder().decode(bytes)) // {"amount":"12","currency":"EUR"}
 * console.log(Either.getOrThrow(money.decode(bytes)) instanceof Money) // true
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const schema = <A, I>(schema: Schema.Schema<A, I>, inner: Serializer = lossless): Serializer => ({
  name: `schema(${inner.name})`,
  encode: (value) => Either.flatMap(Codec.encode(schema, value), inner.encode),
  decode: (bytes) => Either.flatMap(inner.decode(bytes), (encoded) => Codec.decode(schema, encoded))
})
