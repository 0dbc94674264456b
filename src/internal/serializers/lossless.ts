/**
 * The escapes of the lossless serializer. Values that JSON cannot represent are written as `{"$": [tag, …]}` before
 * `JSON.stringify`, and replaced by the original values after `JSON.parse`. `Serializer.lossless` documents the format.
 */
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import type { SerializerError } from "../../CacheError.js"
import * as Collisions from "./collisions.js"
import * as EffectValues from "./effectValues.js"
import * as Json from "./json.js"
import type { Limits } from "./serializer.js"
import { decoder, encoder } from "./utf8.js"
import {
  checkProxy,
  define,
  foreign,
  isDisguised,
  isUint8Array,
  item,
  keysOf,
  noProperties,
  onlyElements,
  onlyItems,
  Position,
  property,
  remedy,
  Walk
} from "./valueWalk.js"

/**
 * The limits of a bigint: its size in bits, and the length of its decimal text with a sign. Parsing a decimal takes
 * time quadratic in its length, so a poisoned entry with a longer one would block the process.
 */
const maxBigIntBits = 16_384
const maxBigIntDigits = 4_934

const escape = (...payload: Array<unknown>): unknown => ({ $: payload })

const alphabet = /*#__PURE__*/ encoder.encode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")

/**
 * Encodes bytes in base64. `Encoding.encodeBase64` gives the same text, but appends one character at a time, and takes
 * ten times as long for a large array.
 */
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

// ------------------------------------------------------------------------------------------------------------- writing

/**
 * Returns the value to pass to `JSON.stringify` in place of `value`: `value` itself if nothing in it needs an escape,
 * otherwise a copy. Of the containers in it, only those that contain an escape are copied.
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

/** Whether a value is text or a number that JSON keeps: most values are, and need no call of `write`. */
const isPlain = (value: unknown): boolean =>
  typeof value === "string" || (typeof value === "number" && Number.isFinite(value) && !Object.is(value, -0))

const writeObject = (value: object, walk: Walk, depth: number): unknown => {
  walk.noCycle(value, depth)
  const prototype = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) {
    return writeRecord(value as Record<string, unknown>, prototype === null, walk, depth)
  }
  if (prototype === Array.prototype && Array.isArray(value)) return writeArray(value, walk, depth)
  if (prototype === Uint8Array.prototype && isUint8Array(value)) {
    onlyElements(value, walk, depth)
    return escape("Uint8Array", base64(value as Uint8Array))
  }
  if (Option.isOption(value)) return writeOption(value, walk, depth)
  if (prototype === Date.prototype || prototype === Map.prototype || prototype === Set.prototype) {
    noProperties(value, walk, depth)
    if (prototype === Map.prototype) return writeMap(value as Map<unknown, unknown>, walk, depth)
    if (prototype === Set.prototype) return writeSet(value as Set<unknown>, walk, depth)
    const time = (value as Date).getTime()
    return escape("Date", Number.isNaN(time) ? null : time)
  }
  const parts = EffectValues.takeApart(value, prototype)
  if (parts === undefined) throw walk.fail(depth, foreign(value, prototype))
  if (typeof parts === "string") throw walk.fail(depth, `${parts}: ${remedy}`)
  return writeParts(value, parts, walk, depth)
}

const writeParts = (value: object, { items, names, tag }: EffectValues.Parts, walk: Walk, depth: number): unknown => {
  walk.enter(value, items.length, depth)
  const payload: Array<unknown> = [tag]
  for (let i = 0; i < items.length; i++) {
    walk.segments[depth] = names?.[i] ?? i
    payload.push(write(items[i], walk, depth + 1))
  }
  return { $: payload }
}

const writeRecord = (record: Record<string, unknown>, bare: boolean, walk: Walk, depth: number): unknown => {
  const keys = keysOf(record, walk, depth)
  walk.enter(record, keys.length, depth)
  checkProxy(record, keys, walk, depth)
  if (bare) return writePairs("null-object", record, keys, walk, depth)
  if (keys.length === 1 && keys[0] === "$") return writePairs("object", record, keys, walk, depth)
  let copy: Record<string, unknown> | undefined
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!
    walk.segments[depth] = key
    const child = property(record, key, walk, depth + 1)
    const written = isPlain(child) ? child : write(child, walk, depth + 1)
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
  walk.enter(array, array.length, depth)
  onlyItems(array, walk, depth)
  // of an array, the items are read alike when they are checked and when they are written
  checkProxy(array, [], walk, depth)
  let copy: Array<unknown> | undefined
  for (let i = 0; i < array.length; i++) {
    walk.segments[depth] = i
    const child = item(array, i, walk, depth)
    const written = isPlain(child) ? child : write(child, walk, depth + 1)
    if (copy === undefined) {
      if (written === child) continue
      copy = array.slice(0, i)
    }
    copy.push(written)
  }
  return copy ?? array
}

const writeMap = (map: Map<unknown, unknown>, walk: Walk, depth: number): unknown => {
  if (Collisions.areTooManyBigints(map.size, map.keys())) throw walk.fail(depth, Collisions.refusal)
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
  if (Collisions.areTooManyBigints(set.size, set)) throw walk.fail(depth, Collisions.refusal)
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
  const keys = EffectValues.keysOf(option)
  const isWhole = Option.isSome(option) ? keys.length === 1 && keys[0] === "value" : keys.length === 0
  if (!isWhole || isDisguised(option, keys)) {
    throw walk.fail(depth, `is an Option with properties of its own: ${remedy}`)
  }
  if (Option.isNone(option)) return escape("None")
  walk.enter(option, 1, depth)
  walk.segments[depth] = "value"
  return escape("Some", write(property(option, "value", walk, depth + 1), walk, depth + 1))
}

// ------------------------------------------------------------------------------------------------------------- reading

/** Replaces, in place, each escape in a value from `JSON.parse` by the value that it represents. */
const read = (value: unknown, walk: Position, depth: number): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) {
    walk.descend(depth)
    readItems(value, 0, walk, depth)
    return value
  }
  const record = value as Record<string, unknown>
  const keys = Object.keys(record)
  if (keys.length === 1 && keys[0] === "$") return readEscape(record.$, walk, depth)
  walk.descend(depth)
  for (const key of keys) {
    const child = record[key]
    if (typeof child !== "object" || child === null) continue
    walk.segments[depth] = key
    // this never sets a prototype, because the parsed record has `key` as an own property
    record[key] = read(child, walk, depth + 1)
  }
  return record
}

const readItems = (items: Array<unknown>, from: number, walk: Position, depth: number): void => {
  for (let i = from; i < items.length; i++) {
    const child = items[i]
    if (typeof child !== "object" || child === null) continue
    walk.segments[depth] = i - from
    items[i] = read(child, walk, depth + 1)
  }
}

const readEscape = (payload: unknown, walk: Position, depth: number): unknown => {
  if (!Array.isArray(payload)) throw walk.fail(depth, "is a malformed escape")
  const tag: unknown = payload[0]
  switch (tag) {
    case "undefined":
      if (payload.length === 1) return undefined
      break
    case "None":
      if (payload.length === 1) return Option.none()
      break
    case "number":
    case "bigint":
    case "Date":
    case "Uint8Array": {
      const value = payload.length === 2 ? readScalar(tag, payload[1]) : undefined
      if (value !== undefined) return value
      break
    }
    case "Some":
      if (payload.length !== 2) break
      walk.descend(depth)
      walk.segments[depth] = "value"
      return Option.some(read(payload[1], walk, depth + 1))
    case "Set":
    case "Map":
    case "object":
    case "null-object": {
      const value = readContainer(tag, payload, walk, depth)
      if (value !== undefined) return value
      break
    }
    default: {
      if (EffectValues.isTag(tag)) {
        walk.descend(depth)
        readItems(payload, 1, walk, depth)
        payload.shift()
        const value = EffectValues.putTogether(tag, payload)
        if (value !== undefined) return value
        break
      }
      throw walk.fail(depth, typeof tag === "string" ? "has an unknown escape" : "is a malformed escape")
    }
  }
  throw walk.fail(depth, `is a malformed ${tag}`)
}

/** The value of an escape whose content is one JSON value, or `undefined` if the content is malformed. */
const readScalar = (tag: "number" | "bigint" | "Date" | "Uint8Array", content: unknown): unknown => {
  switch (tag) {
    case "number":
      if (content === "NaN") return Number.NaN
      if (content === "Infinity") return Number.POSITIVE_INFINITY
      if (content === "-Infinity") return Number.NEGATIVE_INFINITY
      return content === "-0" ? -0 : undefined
    case "bigint":
      if (typeof content !== "string" || content.length > maxBigIntDigits) return undefined
      return /^(0|-?[1-9][0-9]*)$/.test(content) ? BigInt(content) : undefined
    case "Date":
      if (content === null) return new Date(Number.NaN)
      return typeof content === "number" && new Date(content).getTime() === content ? new Date(content) : undefined
    case "Uint8Array":
      return typeof content === "string" ? Either.getOrUndefined(Encoding.decodeBase64(content)) : undefined
  }
}

/**
 * The container whose items an escape lists. Returns `undefined` if their number or a repetition shows that the list is
 * malformed, and throws for a record with a malformed key.
 */
const readContainer = (
  tag: "Set" | "Map" | "object" | "null-object",
  payload: Array<unknown>,
  walk: Position,
  depth: number
): object | undefined => {
  if (tag !== "Set" && payload.length % 2 === 0) return undefined
  walk.descend(depth)
  readItems(payload, 1, walk, depth)
  switch (tag) {
    case "Set": {
      payload.shift()
      if (Collisions.areTooManyBigints(payload.length, payload)) throw walk.fail(depth, Collisions.refusal)
      const set = new Set(payload)
      return set.size === payload.length ? set : undefined
    }
    case "Map": {
      if (Collisions.areTooManyBigints(payload.length, payload)) throw walk.fail(depth, Collisions.refusal)
      const map = new Map<unknown, unknown>()
      for (let i = 1; i < payload.length; i += 2) map.set(payload[i], payload[i + 1])
      return map.size === (payload.length - 1) / 2 ? map : undefined
    }
    default: {
      const record: Record<string, unknown> = tag === "object" ? {} : Object.create(null)
      for (let i = 1; i < payload.length; i += 2) {
        const key: unknown = payload[i]
        if (typeof key !== "string" || Object.hasOwn(record, key)) throw walk.fail(depth, "is a malformed escape")
        define(record, key, payload[i + 1])
      }
      return record
    }
  }
}

const escapeStart = '{"$":'
const someStart = '{"$":["Some",'

/**
 * The present value that a batched function stores, if it has no escapes within, so that it need not be walked.
 * `undefined` for any other text.
 */
const parseSome = (text: string): Option.Option<unknown> | undefined => {
  if (!text.startsWith(someStart) || text.lastIndexOf(escapeStart) !== 0 || Json.hasManyBrackets(text)) return undefined
  const record = JSON.parse(text) as { readonly $: ReadonlyArray<unknown> }
  return record.$.length === 2 && Object.keys(record).length === 1 ? Option.some(record.$[1]) : undefined
}

/** Parses JSON with escapes. Errors of `JSON.parse` and of the walk are thrown, and `Json.decodeText` catches them. */
export const parse = (text: string): Either.Either<unknown, SerializerError> => {
  if (!text.includes(escapeStart)) return Json.parse(text)
  return Either.right(parseSome(text) ?? read(JSON.parse(text), new Position("Decode"), 0))
}

/** JSON text that `parse` reads back as an equal value. Throws `SerializerError` for a value it cannot carry. */
export const stringify = (value: unknown, limits: Limits | undefined): string =>
  JSON.stringify(write(value, new Walk("Encode", limits), 0))
