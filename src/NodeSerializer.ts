/**
 * Serializers that need Node: V8's own format, and compression.
 *
 * @since 0.1.0
 */
import * as engine from "node:v8"
import * as Either from "effect/Either"
import { InvalidOption } from "./CacheError.js"
import * as Compression from "./internal/serializers/compression.js"
import { defaultLimits, isTooLarge } from "./internal/serializers/serializer.js"
import { CopyingDeserializer, check, Tour } from "./internal/serializers/v8.js"
import { inspect } from "./internal/serializers/v8Inspection.js"
import { caught } from "./internal/serializers/valueWalk.js"
import { refuse, type Serializer } from "./Serializer.js"

/** The version of the format that this V8 writes: the second byte of everything it serializes. */
const format = /*#__PURE__*/ engine.serialize(null)[1]!

/**
 * The header of serialized bytes: `v8`, and the version of this header. The version of V8's format and the bytes that
 * V8 wrote follow.
 */
const header = [0x76, 0x38, 1] as const

/** What all bytes begin with. */
const prefix = /*#__PURE__*/ Uint8Array.of(...header, format)

/**
 * Values in the format of `node:v8`, the counterpart of Python's `pickle`. It suits a cache that only Node programs
 * use, and is not meant for long-term storage.
 *
 * It carries everything that `lossless` carries, except `Option` and records without a prototype. In addition it
 * carries every typed array, `DataView`, `ArrayBuffer`, `Buffer`, `RegExp`, bigints of any size, cycles, and shared
 * objects: an object that occurs twice in a value comes back as one object.
 *
 * **When to use**
 *
 * For values with cycles or large typed arrays. Use it on a shared store only if you trust everyone who can write to
 * that store: V8 is less robust against malicious bytes than a JSON parser is.
 *
 * **Gotchas**
 *
 * The bytes begin with the version of V8's format, and bytes of another version are a miss. After an upgrade of Node
 * that changes the format, entries are loaded again; while processes of both versions run, they overwrite each other's
 * entries. Bytes are inspected before V8 reads them: those that are nested too deeply, have too many elements, or
 * contain what this serializer does not write, such as arrays with holes, are refused.
 *
 * Refused, with the path in the error: instances of classes (including `Error`), functions, symbols, symbol keys,
 * accessors, properties that are not enumerable, arrays with holes or extra properties, values whose prototype was
 * replaced, and values nested deeper than 512. Long arrays are searched as `lossless` searches them. Two views of one
 * `ArrayBuffer` come back with separate memory. Frozen objects come back unfrozen.
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
  encode(value, limits) {
    try {
      check(value, new Tour("Encode", limits), 0)
      const writer = new engine.DefaultSerializer()
      writer.writeRawBytes(prefix)
      writer.writeHeader()
      writer.writeValue(value)
      const bytes = writer.releaseBuffer()
      return Either.right(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length))
    } catch (error) {
      return caught("Encode", error)
    }
  },
  decode(bytes, limits) {
    if (bytes[0] !== header[0] || bytes[1] !== header[1] || bytes[2] !== header[2]) {
      return refuse("Decode", "$", "was not written by the v8 serializer")
    }
    try {
      const reader = new CopyingDeserializer(bytes.subarray(header.length + 1))
      reader.readHeader()
      const version = bytes[header.length] === format ? reader.getWireFormatVersion() : bytes[header.length]
      if (version !== format) {
        return refuse(
          "Decode",
          "$",
          `was written in version ${version} of V8's format, and this Node reads version ${format}`
        )
      }
      inspect(bytes, header.length + 3, limits)
      return Either.right(reader.readValue())
    } catch (error) {
      return caught("Decode", error)
    }
  }
}

/**
 * Compresses the bytes that `inner` writes.
 *
 * Values of fewer than `threshold` bytes, and values that compression would not make smaller, are stored uncompressed.
 * The first byte names the algorithm, so entries stay readable after a change of `algorithm`, as long as this version
 * of Node has the old one.
 *
 * **Details**
 *
 * Values that take more than the store's `maxDecodedBytes` uncompressed are refused, both when encoding and when
 * decoding; decompression stops at that size. Compression is synchronous: it blocks the process for some milliseconds per MB.
 *
 * `zstd` needs Node 22.15 or later. Throws the defect `InvalidOption` if this version of Node lacks the algorithm, or if
 * `threshold` is not a number of bytes.
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
    /** The least number of bytes to compress. Default: 1024. */
    readonly threshold?: number | undefined
  }
): Serializer => {
  const { algorithm, threshold = 1024 } = options
  if (!(threshold >= 0)) throw new InvalidOption({ option: "threshold", detail: "is not a number of bytes" })
  Compression.ensure(algorithm)
  const { decode, encode } = Compression.codec(algorithm, threshold)
  return {
    name: `${algorithm}(${inner.name})`,
    encode: (value, limits = defaultLimits) =>
      Either.flatMap(inner.encode(value, limits), (bytes) =>
        bytes.length > limits.maxDecodedBytes ? refuse("Encode", "$", isTooLarge(limits)) : Either.right(encode(bytes))
      ),
    decode: (bytes, limits = defaultLimits) =>
      Either.flatMap(decode(bytes, limits.maxDecodedBytes), (inflated) => inner.decode(inflated, limits))
  }
}
