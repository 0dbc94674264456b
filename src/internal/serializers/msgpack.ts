/**
 * Checks around msgpackr: of values before it writes them, and of bytes before it reads them. It changes some values
 * without an error, and trusts any bytes.
 */
import { SerializerError } from "../../CacheError.js"
import type { Limits } from "./serializer.js"
import { decoder } from "./utf8.js"
import {
  checkProxy,
  define,
  foreign,
  hasTooMany,
  isUint8Array,
  item,
  keysOf,
  maxDepth,
  maxElements,
  noProperties,
  onlyElements,
  onlyItems,
  property,
  remedy,
  type Walk
} from "./valueWalk.js"

// ------------------------------------------------------------------------------------------------------------- writing

const loneSurrogate = /\p{Surrogate}/u

/** Faster than the search for a surrogate. Node has it, and most other runtimes do. */
const { isWellFormed } = String.prototype as { readonly isWellFormed?: () => boolean }

const checkText = (text: string, walk: Walk, depth: number): void => {
  if (isWellFormed === undefined ? loneSurrogate.test(text) : !isWellFormed.call(text))
    throw walk.fail(depth, `has a lone surrogate, which UTF-8 cannot encode: ${remedy}`)
  if (text.charCodeAt(0) === 0xfeff)
    throw walk.fail(depth, `begins with a byte order mark, which may be lost: ${remedy}`)
}

/** Throws at the first part of a value that would not come back equal. */
export const check = (value: unknown, walk: Walk, depth: number): void => {
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
  if (prototype === Uint8Array.prototype && isUint8Array(value)) return onlyElements(value, walk, depth)
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
  checkProxy(record, keys, walk, depth)
  for (const key of keys) {
    walk.segments[depth] = key
    checkText(key, walk, depth + 1)
    if (key === "toJSON" && Object.hasOwn(record, "constructor")) {
      throw walk.fail(depth + 1, `is next to a constructor property, so msgpackr would call it: ${remedy}`)
    }
    check(property(record, key, walk, depth + 1), walk, depth + 1)
  }
}

const checkArray = (array: ReadonlyArray<unknown>, walk: Walk, depth: number): void => {
  walk.enter(array, array.length, depth)
  onlyItems(array, walk, depth)
  for (let i = 0; i < array.length; i++) {
    walk.segments[depth] = i
    check(item(array, i, walk, depth), walk, depth + 1)
  }
}

// ------------------------------------------------------------------------------------------------------------- reading

/** The error to throw for bytes that are refused. `decode` of the serializer catches it. */
const fail = (detail: string): SerializerError => new SerializerError({ reason: "Decode", path: "$", detail })

const uint = (bytes: Uint8Array, at: number, width: number): number => {
  let value = 0
  for (let i = 0; i < width; i++) value = value * 256 + bytes[at + i]!
  return value
}

/** One pass over the bytes of a value. */
class Inspection {
  /** How many elements each container around `at` still has; a key and its value count as one each. */
  private readonly left: Array<number> = []
  /** Which of those containers are maps. */
  private readonly isMap: Array<boolean> = []
  private depth = 0
  private elements = 0
  private at = 0
  /** Whether every map so far is one that msgpackr reads correctly as a record. */
  private onlyRecords = true
  private readonly bytes: Uint8Array
  private readonly maxElements: number

  constructor(bytes: Uint8Array, limits: Limits | undefined) {
    this.bytes = bytes
    this.maxElements = maxElements(limits)
  }

  run(): boolean {
    do {
      const isKey = this.depth > 0 && this.isMap[this.depth - 1]! && this.left[this.depth - 1]! % 2 === 0
      if (this.token(isKey)) continue
      while (this.depth > 0 && --this.left[this.depth - 1]! === 0) this.depth--
    } while (this.depth > 0)
    if (this.at < this.bytes.length) throw fail("is followed by other bytes")
    return this.onlyRecords
  }

  /** Inspects one token with its content, and returns whether it opened a container that has elements. */
  private token(isKey: boolean): boolean {
    const token = this.length(1)
    const isText = (token >= 0xa0 && token < 0xc0) || (token >= 0xd9 && token <= 0xdb)
    if (isText) this.text(token < 0xc0 ? token & 0x1f : this.length(2 ** (token - 0xd9)), isKey)
    else if (isKey) this.onlyRecords = false
    // strings and small integers end here
    if (isText || token < 0x80 || token >= 0xe0) return false
    if (token < 0x90) return this.enter(2 * (token & 0x0f), true)
    if (token < 0xa0) return this.enter(token & 0x0f, false)
    if (token === 0xdc || token === 0xdd) return this.enter(this.length(2 * (token - 0xdb)), false)
    if (token === 0xde || token === 0xdf) return this.enter(2 * this.length(2 * (token - 0xdd)), true)
    if (token === 0xc1) throw fail("is not MessagePack")
    if (token <= 0xc3) return false
    if (token <= 0xc6) this.skip(this.length(2 ** (token - 0xc4)))
    else if (token <= 0xc9) this.extension(this.length(2 ** (token - 0xc7)))
    else if (token <= 0xcb) this.skip(4 * (token - 0xc9))
    else if (token <= 0xcf) this.skip(2 ** (token - 0xcc))
    else if (token <= 0xd3) this.skip(2 ** (token - 0xd0))
    else this.extension(2 ** (token - 0xd4))
    return false
  }

  private need(count: number): void {
    if (count > this.bytes.length - this.at) throw fail("is cut short")
  }

  private skip(count: number): void {
    this.need(count)
    this.at += count
  }

  private length(width: number): number {
    this.skip(width)
    return uint(this.bytes, this.at - width, width)
  }

  private enter(count: number, isMap: boolean): boolean {
    if (this.depth === maxDepth) throw fail(`is nested deeper than ${maxDepth}`)
    this.need(count)
    // a key is part of its element, as it is when a record is written
    this.elements += isMap ? count / 2 : count
    if (this.elements > this.maxElements) throw fail(hasTooMany(this.maxElements))
    if (count === 0) return false
    this.left[this.depth] = count
    this.isMap[this.depth] = isMap
    this.depth++
    return true
  }

  private text(size: number, isKey: boolean): void {
    const { at, bytes } = this
    // possibly `__proto__`, a key that msgpackr renames
    if (isKey && size === 9 && bytes[at] === 0x5f) this.onlyRecords = false
    this.skip(size)
    let i = at
    while (i < this.at && bytes[i]! < 0x80) i++
    if (i === this.at) return
    if (size >= 3 && uint(bytes, at, 3) === 0xefbbbf) throw fail("has a string that begins with a byte order mark")
    try {
      decoder.decode(bytes.subarray(at, this.at))
    } catch {
      throw fail("has a string that is not UTF-8")
    }
  }

  /**
   * Accepts a timestamp, the only extension that MessagePack defines, and the extension that stands for `undefined`.
   */
  private extension(size: number): void {
    const { at, bytes } = this
    this.skip(size + 1)
    const type = bytes[at]!
    const known =
      type === 0xff ? size === 4 || size === 8 || size === 12 : type === 0 && size === 1 && bytes[at + 1] === 0
    if (!known) throw fail(`has an unknown extension of type ${(type << 24) >> 24}`)
  }
}

/**
 * Inspects bytes before msgpackr reads them, and returns whether it reads every map correctly as a record. Throws for
 * bytes that must not reach msgpackr: it trusts every length, follows any depth, builds records and classes from its
 * own extensions, renames keys, and accepts strings that are not UTF-8.
 */
export const inspect = (bytes: Uint8Array, limits: Limits | undefined): boolean => new Inspection(bytes, limits).run()

/** Replaces maps whose keys are all strings by records. */
export const rebuild = (value: unknown): unknown => {
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
