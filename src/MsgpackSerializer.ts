/**
 * Values as MessagePack, over `msgpackr`.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { Packr, Unpackr } from "msgpackr"
import { SerializerError } from "./CacheError.js"
import {
  caught,
  define,
  foreign,
  item,
  keysOf,
  maxDepth,
  maxElements,
  noProperties,
  onlyItems,
  property,
  remedy,
  Walk
} from "./internal/serializers/valueWalk.js"
import type { Serializer } from "./Serializer.js"

// As in Serializer.ts: present in every runtime.
declare const TextDecoder: {
  new (label: string, options: { readonly fatal: boolean }): { readonly decode: (bytes: Uint8Array) => string }
}

const utf8 = /*#__PURE__*/ new TextDecoder("utf-8", { fatal: true })

const packr = /*#__PURE__*/ new Packr({ useRecords: false, variableMapSize: true })

/** `auto`, a number where it is exact and else a bigint, is missing in the types. */
const options = { useRecords: false, copyBuffers: true, int64AsType: "auto" as "number" }
const records = /*#__PURE__*/ new Unpackr({ ...options, mapsAsObjects: true })
const maps = /*#__PURE__*/ new Unpackr({ ...options, mapsAsObjects: false })

// ------------------------------------------------------------------------------------------------------------- writing

const loneSurrogate = /\p{Surrogate}/u

const checkText = (text: string, walk: Walk, depth: number): void => {
  if (loneSurrogate.test(text)) throw walk.fail(depth, `has half a surrogate pair, which UTF-8 cannot say: ${remedy}`)
  if (text.startsWith("\ufeff")) throw walk.fail(depth, `begins with a byte order mark, which may be lost: ${remedy}`)
}

/** Throws at the first thing that would not come back as it is. */
const check = (value: unknown, walk: Walk, depth: number): void => {
  switch (typeof value) {
    case "string":
      return checkText(value, walk, depth)
    case "number":
      if (value === 0 && 1 / value < 0) throw walk.fail(depth, `is -0, which would come back as 0: ${remedy}`)
      return
    case "bigint":
      if (value >= -(2n ** 53n) && value <= 2n ** 53n) {
        throw walk.fail(depth, `is a bigint that would come back as a number: ${remedy}`)
      }
      if (value < -(2n ** 63n) || value >= 2n ** 64n) {
        throw walk.fail(depth, `is a bigint of more than 64 bits: ${remedy}`)
      }
      return
    case "function":
    case "symbol":
      throw walk.fail(depth, `is a ${typeof value}: ${remedy}`)
    case "object":
      if (value !== null) checkObject(value, walk, depth)
  }
}

const checkObject = (value: object, walk: Walk, depth: number): void => {
  walk.noCycle(value, depth)
  const prototype: object | null = Object.getPrototypeOf(value)
  if (prototype === Object.prototype) return checkRecord(value, walk, depth)
  if (prototype === null) throw walk.fail(depth, `has no prototype, and would come back with one: ${remedy}`)
  if (prototype === Array.prototype && Array.isArray(value)) return checkArray(value, walk, depth)
  if (prototype === Uint8Array.prototype && ArrayBuffer.isView(value)) return
  if (prototype === Date.prototype) {
    noProperties(value, walk, depth)
    if (Number.isNaN((value as Date).getTime())) throw walk.fail(depth, `is an invalid Date: ${remedy}`)
    return
  }
  throw walk.fail(depth, foreign(value, prototype))
}

const checkRecord = (record: object, walk: Walk, depth: number): void => {
  const keys = keysOf(record, walk, depth)
  walk.enter(record, keys.length, depth)
  for (const key of keys) {
    walk.segments[depth] = key
    checkText(key, walk, depth + 1)
    if (key === "toJSON" && Object.hasOwn(record, "constructor")) {
      throw walk.fail(depth + 1, `stands beside a constructor, for which msgpackr would call it: ${remedy}`)
    }
    check(property(record, key, walk, depth + 1), walk, depth + 1)
  }
}

const checkArray = (array: ReadonlyArray<unknown>, walk: Walk, depth: number): void => {
  onlyItems(array, walk, depth)
  walk.enter(array, array.length, depth)
  for (let i = 0; i < array.length; i++) {
    walk.segments[depth] = i
    check(item(array, i, walk, depth), walk, depth + 1)
  }
}

// ------------------------------------------------------------------------------------------------------------- reading

/** The `Left` of bytes that are not what they should be, for `caught`. */
const fail = (detail: string): SerializerError => new SerializerError({ reason: "Decode", path: "$", detail })

const uint = (bytes: Uint8Array, at: number, width: number): number => {
  let value = 0
  for (let i = 0; i < width; i++) value = value * 256 + bytes[at + i]!
  return value
}

/**
 * Looks at bytes before msgpackr does, which believes every length, follows any depth, builds records and classes from
 * extensions of its own, renames keys and reads what is no UTF-8. Answers whether all maps are records it reads well.
 */
const inspect = (bytes: Uint8Array): boolean => {
  /** of the containers around `at`: how many elements are to come, keys and values counted each, and which are maps */
  const left: Array<number> = []
  const isMap: Array<boolean> = []
  let depth = 0
  let elements = 0
  let onlyRecords = true
  let at = 0
  const need = (count: number): void => {
    if (count > bytes.length - at) throw fail("is cut short")
  }
  const length = (width: number): number => {
    need(width)
    at += width
    return uint(bytes, at - width, width)
  }
  const enter = (count: number, map: boolean): boolean => {
    if (depth === maxDepth) throw fail(`is nested deeper than ${maxDepth}`)
    need(count)
    elements += count
    if (elements > maxElements) throw fail(`has more than ${maxElements} elements`)
    if (count === 0) return false
    left[depth] = count
    isMap[depth] = map
    depth++
    return true
  }
  const skip = (count: number): void => {
    need(count)
    at += count
  }
  const text = (size: number): void => {
    need(size)
    const end = at + size
    let i = at
    while (i < end && bytes[i]! < 0x80) i++
    if (i < end) {
      if (size >= 3 && uint(bytes, at, 3) === 0xefbbbf) throw fail("has a text that begins with a byte order mark")
      try {
        utf8.decode(bytes.subarray(at, end))
      } catch {
        throw fail("has a text that is not UTF-8")
      }
    }
    at = end
  }
  /** only what MessagePack itself defines, a timestamp, and the one that stands for `undefined` */
  const extension = (size: number): void => {
    need(size + 1)
    const type = bytes[at]!
    const known =
      type === 0xff ? size === 4 || size === 8 || size === 12 : type === 0 && size === 1 && bytes[at + 1] === 0
    if (!known) throw fail(`has an unknown extension of type ${(type << 24) >> 24}`)
    at += size + 1
  }
  do {
    const isKey = depth > 0 && isMap[depth - 1]! && left[depth - 1]! % 2 === 0
    const token = length(1)
    let isText = false
    let entered = false
    if (token < 0x80 || token >= 0xe0) {
      // a small integer
    } else if (token < 0x90) entered = enter(2 * (token & 0x0f), true)
    else if (token < 0xa0) entered = enter(token & 0x0f, false)
    else if (token < 0xc0 || (token >= 0xd9 && token <= 0xdb)) {
      isText = true
      const size = token < 0xc0 ? token & 0x1f : length(2 ** (token - 0xd9))
      // the name of a prototype, which msgpackr changes
      if (isKey && size === 9 && bytes[at] === 0x5f) onlyRecords = false
      text(size)
    } else if (token <= 0xc3) {
      if (token === 0xc1) throw fail("is not MessagePack")
    } else if (token <= 0xc6) skip(length(2 ** (token - 0xc4)))
    else if (token <= 0xc9) extension(length(2 ** (token - 0xc7)))
    else if (token <= 0xcb) skip(4 * (token - 0xc9))
    else if (token <= 0xcf) skip(2 ** (token - 0xcc))
    else if (token <= 0xd3) skip(2 ** (token - 0xd0))
    else if (token <= 0xd8) extension(2 ** (token - 0xd4))
    else if (token <= 0xdd) entered = enter(length(2 * (token - 0xdb)), false)
    else entered = enter(2 * length(2 * (token - 0xdd)), true)
    if (isKey && !isText) onlyRecords = false
    if (entered) continue
    while (depth > 0 && --left[depth - 1]! === 0) depth--
  } while (depth > 0)
  if (at < bytes.length) throw fail("has something behind it")
  return onlyRecords
}

/** Maps whose keys are all texts are records, in place of what msgpackr made of them. */
const rebuild = (value: unknown): unknown => {
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = rebuild(value[i])
    return value
  }
  if (!(value instanceof Map)) return value
  let record: Record<string, unknown> | undefined = {}
  const map = new Map<unknown, unknown>()
  for (const [key, content] of value) {
    const inner = rebuild(content)
    if (typeof key !== "string") record = undefined
    else if (record !== undefined) define(record, key, inner)
    map.set(rebuild(key), inner)
  }
  return record ?? map
}

/**
 * MessagePack, for entries that programs in other languages read and write: what Python's `msgpack.packb` writes by
 * default, and what its `unpackb` reads.
 *
 * It carries records, arrays, texts, numbers, `Uint8Array` (as bin), `Date` (as a timestamp), `undefined`, and bigints
 * above 2^53 within 64 bits.
 *
 * **Details**
 *
 * What MessagePack, or `msgpackr`, would change is refused, and the error names the path: `Map`, `Set`, bigints that fit
 * a number (MessagePack has one kind of integer) or exceed 64 bits, `-0`, invalid Dates, records without a prototype,
 * texts with lone surrogates or a byte order mark, and all that `lossless` refuses. Give such functions a schema.
 *
 * Reading, integers are numbers where that is exact and else bigints, and a map with a key that is no text is a `Map`.
 * Unknown extensions are refused, and so is what is nested deeper than 512, has more than 2 097 152 elements, is cut
 * short, or has texts that are not UTF-8.
 *
 * **Gotchas**
 *
 * `undefined` is the extension 0, as `msgpackr` and others write it: Python sees `ExtType(0, b"\0")`. Integers beyond 32
 * bits are written as floats. Of a timestamp finer than a millisecond the rest is lost. An object that is in a value
 * twice comes back as two equal ones.
 *
 * @example
 * ```ts
 * import { Either } from "effect"
 * import { msgpack } from "effect-cached/MsgpackSerializer"
 *
 * const bytes = Either.getOrThrow(msgpack.encode({ id: 1, at: new Date(0), key: Uint8Array.of(1, 2) }))
 * console.log(bytes.length) // 22
 * console.log(Either.getOrThrow(msgpack.decode(bytes)))
 *
 * const refused = msgpack.encode({ tags: new Set(["a"]) })
 * console.log(Either.isLeft(refused) && refused.left.message)
 * // cannot encode $.tags: is an instance of Set: give the function a schema
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const msgpack: Serializer = {
  name: "msgpack",
  encode(value) {
    try {
      check(value, new Walk("Encode"), 0)
      // a copy: msgpackr gives a part of the buffer it goes on writing to
      return Either.right(new Uint8Array(packr.pack(value)))
    } catch (error) {
      return caught("Encode", error)
    }
  },
  decode(bytes) {
    try {
      // a view of our own, on which msgpackr leaves a property
      const source = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
      return Either.right(inspect(source) ? records.unpack(source) : rebuild(maps.unpack(source)))
    } catch (error) {
      return caught("Decode", error)
    }
  }
}
