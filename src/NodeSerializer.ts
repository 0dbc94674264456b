/**
 * Serializers that need Node: values as its engine writes them, and bytes made smaller.
 *
 * @since 0.1.0
 */
import { Buffer } from "node:buffer"
import { types } from "node:util"
import * as engine from "node:v8"
import * as Either from "effect/Either"
import { InvalidOption } from "./CacheError.js"
import * as Compression from "./internal/serializers/compression.js"
import {
  caught,
  foreign,
  item,
  keysOf,
  noProperties,
  onlyItems,
  property,
  remedy,
  Walk
} from "./internal/serializers/valueWalk.js"
import { refuse, type Serializer } from "./Serializer.js"

/** The version of the format that this engine writes: the second byte of what it serializes. */
const format = /*#__PURE__*/ engine.serialize(null)[1]!

/** `v8`, and the version of what follows: the format, and what the engine wrote. */
const header = [0x76, 0x38, 1] as const

/** The views that come back as they were. */
const views: ReadonlySet<object> = /*#__PURE__*/ new Set(
  [
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    Float32Array,
    Float64Array,
    BigInt64Array,
    BigUint64Array,
    DataView,
    Buffer
  ].map((view): object => view.prototype)
)

/** What was met before is a reference to it, as it is to the engine. */
class Tour extends Walk {
  readonly met = new Set<object>()
}

/** Throws at the first thing that the engine would not bring back as it is. */
const check = (value: unknown, tour: Tour, depth: number): void => {
  switch (typeof value) {
    case "function":
    case "symbol":
      throw tour.fail(depth, `is a ${typeof value}: ${remedy}`)
    case "object":
      if (value === null || tour.met.has(value)) return
      tour.met.add(value)
      checkObject(value, tour, depth)
  }
}

const checkObject = (value: object, tour: Tour, depth: number): void => {
  const prototype: object | null = Object.getPrototypeOf(value)
  if (prototype === Object.prototype) return checkRecord(value, tour, depth)
  if (prototype === null) throw tour.fail(depth, `has no prototype, and would come back with one: ${remedy}`)
  if (prototype === Array.prototype && Array.isArray(value)) return checkArray(value, tour, depth)
  if (prototype === Map.prototype && types.isMap(value)) return checkMap(value, tour, depth)
  if (prototype === Set.prototype && types.isSet(value)) return checkSet(value, tour, depth)
  if (prototype === Date.prototype && types.isDate(value)) return noProperties(value, tour, depth)
  if (views.has(prototype) && ArrayBuffer.isView(value)) return
  if (prototype === ArrayBuffer.prototype && types.isArrayBuffer(value)) {
    noProperties(value, tour, depth)
    if (!(value as { readonly resizable?: boolean }).resizable) return
    throw tour.fail(depth, `is an ArrayBuffer that can be resized: ${remedy}`)
  }
  if (prototype === RegExp.prototype && types.isRegExp(value)) {
    if (Reflect.ownKeys(value).length === 1 && value.lastIndex === 0) return
    throw tour.fail(depth, `is a RegExp with a state or properties of its own: ${remedy}`)
  }
  throw tour.fail(depth, foreign(value, prototype))
}

const checkRecord = (record: object, tour: Tour, depth: number): void => {
  const keys = keysOf(record, tour, depth)
  tour.enter(record, keys.length, depth)
  for (const key of keys) {
    tour.segments[depth] = key
    check(property(record, key, tour, depth + 1), tour, depth + 1)
  }
}

const checkArray = (array: ReadonlyArray<unknown>, tour: Tour, depth: number): void => {
  onlyItems(array, tour, depth)
  tour.enter(array, array.length, depth)
  for (let i = 0; i < array.length; i++) {
    tour.segments[depth] = i
    check(item(array, i, tour, depth), tour, depth + 1)
  }
}

const checkMap = (map: ReadonlyMap<unknown, unknown>, tour: Tour, depth: number): void => {
  noProperties(map, tour, depth)
  tour.enter(map, 2 * map.size, depth)
  let index = 0
  for (const [key, value] of map) {
    tour.segments[depth] = { part: "keys", index }
    check(key, tour, depth + 1)
    tour.segments[depth] = { part: "values", index: index++ }
    check(value, tour, depth + 1)
  }
}

const checkSet = (set: ReadonlySet<unknown>, tour: Tour, depth: number): void => {
  noProperties(set, tour, depth)
  tour.enter(set, set.size, depth)
  let index = 0
  for (const value of set) {
    tour.segments[depth] = { part: "values", index: index++ }
    check(value, tour, depth + 1)
  }
}

interface HostObjects {
  readonly _readHostObject: () => ArrayBufferView
}

/** Gives each view a memory of its own: those of Node point into the bytes that are read. */
class Reader extends engine.DefaultDeserializer {
  _readHostObject(): ArrayBufferView {
    const view = (engine.DefaultDeserializer.prototype as unknown as HostObjects)._readHostObject.call(this)
    if (Buffer.isBuffer(view)) return Buffer.from(view)
    if (types.isTypedArray(view)) return view.slice()
    return new DataView(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength))
  }
}

/**
 * Values as the engine of Node writes them, the counterpart of Python's `pickle`: for programs of one kind, and
 * no format to keep things in.
 *
 * It carries what `lossless` carries except `Option` and records without a prototype, and besides it every typed array,
 * `DataView`, `ArrayBuffer`, `Buffer`, `RegExp`, bigints of any size, cycles, and objects that are in a value twice, which
 * come back as one.
 *
 * **When to use**
 *
 * For values with cycles or large typed arrays. On a shared store only where all who write to it are trusted: the engine
 * reads bytes that are made to harm it with less care than a parser of JSON does.
 *
 * **Gotchas**
 *
 * The bytes begin with the version of the engine's format. What another version wrote is refused and so a miss: after an
 * upgrade of Node that changes it entries load anew, and processes of both versions overwrite each other's.
 *
 * Instances of classes (of `Error`, too), functions, symbols, symbol keys, accessors, properties that are not enumerable,
 * arrays with holes or properties, and what is nested deeper than 512 are refused: the error names the path. Two views
 * of one `ArrayBuffer` come back with a memory of their own each. What is frozen comes back unfrozen.
 *
 * @example
 * ```ts
 * import { Either } from "effect"
 * import { v8 } from "effect-cached/NodeSerializer"
 *
 * const team: { name: string; lead?: unknown } = { name: "core" }
 * team.lead = { name: "Ada", team, scores: Float32Array.of(0.5, 1) }
 *
 * const bytes = Either.getOrThrow(v8.encode(team))
 * console.log(Either.getOrThrow(v8.decode(bytes)))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const v8: Serializer = {
  name: "v8",
  encode(value) {
    try {
      check(value, new Tour("Encode"), 0)
      const writer = new engine.DefaultSerializer()
      writer.writeRawBytes(Uint8Array.of(...header, format))
      writer.writeHeader()
      writer.writeValue(value)
      const bytes = writer.releaseBuffer()
      return Either.right(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length))
    } catch (error) {
      return caught("Encode", error)
    }
  },
  decode(bytes) {
    if (!header.every((byte, i) => bytes[i] === byte)) return refuse("Decode", "$", "is not written by v8")
    try {
      const reader = new Reader(bytes.subarray(header.length + 1))
      reader.readHeader()
      for (const version of [bytes[header.length], reader.getWireFormatVersion()]) {
        if (version !== format) {
          return refuse("Decode", "$", `is written in version ${version} of the engine's format, not in its ${format}`)
        }
      }
      return Either.right(reader.readValue())
    } catch (error) {
      return caught("Decode", error)
    }
  }
}

/**
 * What `inner` writes, compressed.
 *
 * Bytes below the `threshold`, and those that would not become smaller, are kept as they are. The first byte says which
 * it was, so that what was written with one algorithm is read with any other as well, where this Node has it.
 *
 * **Details**
 *
 * What would be larger than 64 MB without compression is refused in both directions: reading stops there. Compressing
 * takes the process some milliseconds for each MB, in which it does nothing else.
 *
 * `zstd` needs Node 22.15 or later. Where it is missing, and with a threshold that is no number of bytes, the call throws
 * the defect `InvalidOption`.
 *
 * @example
 * ```ts
 * import { Either } from "effect"
 * import { Serializer } from "effect-cached"
 * import { compressed } from "effect-cached/NodeSerializer"
 *
 * const brotli = compressed(Serializer.lossless, { algorithm: "brotli" })
 *
 * const rows = Array.from({ length: 1000 }, (_, id) => ({ id, name: "Ada", since: new Date(id) }))
 * console.log(Either.getOrThrow(Serializer.lossless.encode(rows)).length) // 50781
 * console.log(Either.getOrThrow(brotli.encode(rows)).length < 10_000) // true
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const compressed = (
  inner: Serializer,
  options: {
    readonly algorithm: "gzip" | "brotli" | "zstd"
    /** how many bytes are worth compressing, default 1024 */
    readonly threshold?: number | undefined
  }
): Serializer => {
  const { algorithm, threshold = 1024 } = options
  if (!(threshold >= 0)) throw new InvalidOption({ option: "threshold", detail: "is no number of bytes" })
  Compression.ensure(algorithm)
  const { decode, encode } = Compression.codec(algorithm, threshold)
  return {
    name: `${algorithm}(${inner.name})`,
    encode: (value) =>
      Either.flatMap(inner.encode(value), (bytes) =>
        bytes.length > Compression.maxBytes
          ? refuse("Encode", "$", `is larger than ${Compression.maxBytes} bytes`)
          : Either.right(encode(bytes))
      ),
    decode: (bytes) => Either.flatMap(decode(bytes), inner.decode)
  }
}
