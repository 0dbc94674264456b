/**
 * A serializer for Protocol Buffers, based on `@bufbuild/protobuf`.
 *
 * @since 0.1.0
 */
import { type DescMessage, fromBinary, isMessage, toBinary } from "@bufbuild/protobuf"
import * as Either from "effect/Either"
import { caught, Walk } from "./internal/serializers/valueWalk.js"
import { refuse, type Serializer } from "./Serializer.js"

/** Throws at the first difference between two messages. A property that is `undefined` counts as absent. */
const compare = (given: unknown, back: unknown, walk: Walk, depth: number): void => {
  if (Object.is(given, back)) return
  if (typeof given !== "object" || given === null || typeof back !== "object" || back === null) {
    throw walk.fail(depth, `would come back as ${typeof back === "object" ? "something else" : describe(back)}`)
  }
  if (Object.getPrototypeOf(given) !== Object.getPrototypeOf(back)) {
    throw walk.fail(depth, "would come back with another prototype")
  }
  if (back instanceof Uint8Array) {
    const bytes = given as Uint8Array
    if (bytes.length === back.length && bytes.every((byte, i) => byte === back[i])) return
    throw walk.fail(depth, "would come back as other bytes")
  }
  if (Array.isArray(given) && Array.isArray(back)) {
    for (let i = 0; i < Math.max(given.length, back.length); i++) {
      walk.segments[depth] = i
      compare(given[i], back[i], walk, depth + 1)
    }
    return
  }
  for (const key of Object.keys(given)) {
    walk.segments[depth] = key
    compare(own(given, key), own(back, key), walk, depth + 1)
  }
  for (const key of Object.keys(back)) {
    if (Object.hasOwn(given, key)) continue
    walk.segments[depth] = key
    compare(undefined, own(back, key), walk, depth + 1)
  }
}

const own = (record: object, key: string): unknown =>
  Object.hasOwn(record, key) ? (record as Record<string, unknown>)[key] : undefined

const describe = (value: unknown): string =>
  typeof value === "string" ? "another string" : Object.is(value, -0) ? "-0" : String(value)

/**
 * The binary format of one message type that `protoc-gen-es` 2 generated. It is the most compact format, and programs
 * in other languages can read and write it.
 *
 * **Details**
 *
 * Values that are not messages of this type are refused. Messages that would come back changed are refused as well,
 * with the path in the error: a `float` field has 32 bits, `-0` counts as absent, properties that the type does not
 * have are dropped, and lone surrogates are replaced. To detect this, `encode` reads back what it wrote and compares,
 * which makes it about three times as slow as `toBinary`.
 *
 * Fields that this version of the type does not have are kept in `$unknown` and written again. Messages nested deeper
 * than 100 are refused in both directions.
 *
 * **Gotchas**
 *
 * The bytes do not name their type. Bytes of another type, or of an earlier version of this one, may be read without an
 * error: give the function another `version` when the numbers or types of fields change. A property that is `undefined`
 * comes back absent.
 *
 * @example
 * ```ts
 * import { create } from "@bufbuild/protobuf"
 * import { TimestampSchema } from "@bufbuild/protobuf/wkt"
 * import { Either } from "effect"
 * import { protobuf } from "effect-cached/ProtobufSerializer"
 *
 * const timestamp = protobuf(TimestampSchema)
 * const bytes = Either.getOrThrow(timestamp.encode(create(TimestampSchema, { seconds: 1700000000n })))
 * console.log(bytes.length) // 6
 * console.log(Either.getOrThrow(timestamp.decode(bytes)))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const protobuf = (schema: DescMessage): Serializer => ({
  name: `protobuf(${schema.typeName})`,
  encode(value) {
    try {
      if (!isMessage(value, schema)) return refuse("Encode", "$", `is not a message of type ${schema.typeName}`)
      const bytes = toBinary(schema, value)
      compare(value, fromBinary(schema, bytes), new Walk("Encode"), 0)
      return Either.right(bytes)
    } catch (error) {
      return caught("Encode", error)
    }
  },
  decode(bytes) {
    try {
      // a copy, because fields of type `bytes` are views of what is read
      return Either.right(fromBinary(schema, new Uint8Array(bytes)))
    } catch (error) {
      return caught("Decode", error)
    }
  }
})
