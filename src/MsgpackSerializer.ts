/**
 * A serializer for MessagePack, based on `msgpackr`.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { Packr, Unpackr } from "msgpackr"
import { check, inspect, rebuild } from "./internal/serializers/msgpack.js"
import { caught, Walk } from "./internal/serializers/valueWalk.js"
import type { Serializer } from "./Serializer.js"

const packr = /*#__PURE__*/ new Packr({ useRecords: false, variableMapSize: true })

/** `auto` reads an integer as a number if that is exact, and as a bigint otherwise. The types of msgpackr lack it. */
const options = { useRecords: false, copyBuffers: true, int64AsType: "auto" as "number" }
const records = /*#__PURE__*/ new Unpackr({ ...options, mapsAsObjects: true })
const maps = /*#__PURE__*/ new Unpackr({ ...options, mapsAsObjects: false })

/**
 * MessagePack, for entries that are shared with programs in other languages. It reads what Python's `msgpack.packb`
 * writes by default, and `unpackb` reads what it writes.
 *
 * It carries records, arrays, strings, numbers, booleans, `null`, `undefined`, `Uint8Array` (as bin), `Date` (as a
 * timestamp), and bigints beyond ±2^53 that fit in 64 bits.
 *
 * **Details**
 *
 * Values that MessagePack or `msgpackr` would change are refused, with the path in the error: `Map`, `Set`, `Option`,
 * bigints that fit a number (MessagePack has a single integer type) or exceed 64 bits, `-0`, invalid dates, records
 * without a prototype, strings with lone surrogates or a leading byte order mark, and everything that `lossless`
 * refuses. Give functions that return such values a schema.
 *
 * An integer is read as a number if that is exact, and as a bigint otherwise. A map with a key that is not a string is
 * read as a `Map`. Bytes are refused if they contain an unknown extension, more than 512 levels, more elements than the
 * limits allow, or a string that is not UTF-8 or begins with a byte order mark, and if they are truncated or followed by
 * other bytes.
 *
 * **Gotchas**
 *
 * `undefined` is written as the extension 0, as `msgpackr` and others do; Python reads it as `ExtType(0, b"\0")`.
 * Integers beyond 32 bits are written as floats. Timestamps are read with millisecond precision. An object that occurs
 * twice in a value comes back as two equal objects.
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
  encode(value, limits) {
    try {
      check(value, new Walk("Encode", limits), 0)
      // a copy, because msgpackr returns a view of a buffer that it continues to write to
      return Either.right(new Uint8Array(packr.pack(value)))
    } catch (error) {
      return caught("Encode", error)
    }
  },
  decode(bytes, limits) {
    try {
      // a new view, because msgpackr adds a property to the one that it is given
      const source = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
      return Either.right(inspect(source, limits) ? records.unpack(source) : rebuild(maps.unpack(source)))
    } catch (error) {
      return caught("Decode", error)
    }
  }
}
