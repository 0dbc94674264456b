/**
 * Messages of Protocol Buffers, over `@bufbuild/protobuf`.
 *
 * @since 0.1.0
 */
import { type DescMessage, fromBinary, isMessage, toBinary } from "@bufbuild/protobuf"
import * as Either from "effect/Either"
import { caught, Walk } from "./internal/serializers/valueWalk.js"
import { refuse, type Serializer } from "./Serializer.js"

/** Fails at the first place where `back` is not what `given` is. Properties that are `undefined` are none. */
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
  typeof value === "string" ? "another text" : Object.is(value, -0) ? "-0" : String(value)

/**
 * The binary form of one type of message, as `protoc-gen-es` 2 generates it, for entries that programs in other languages
 * read and write, and the smallest there is.
 *
 * **Details**
 *
 * What is no message of this type is refused. So is what would come back changed, with its path: Protocol Buffers have
 * `float` fields of 32 bits and an absent `-0`, drop properties they do not know, and the library replaces lone surrogates.
 * To be sure of that, what is written is read once and compared, which makes writing some three times as slow as
 * `toBinary`.
 *
 * Fields that this version of the type does not know are kept in `$unknown` and written again. Messages that are nested
 * deeper than 100 are refused in both directions.
 *
 * **Gotchas**
 *
 * The bytes do not say of which type they are. Those of another may be read without an error, and so may those of an
 * earlier version of this one: give the function another `version` when numbers or types of fields change. A property that
 * is `undefined` comes back absent.
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
      if (!isMessage(value, schema)) return refuse("Encode", "$", `is no message of type ${schema.typeName}`)
      const bytes = toBinary(schema, value)
      compare(value, fromBinary(schema, bytes), new Walk("Encode"), 0)
      return Either.right(bytes)
    } catch (error) {
      return caught("Encode", error)
    }
  },
  decode(bytes) {
    try {
      // a copy, for fields of bytes are views of what is read
      return Either.right(fromBinary(schema, new Uint8Array(bytes)))
    } catch (error) {
      return caught("Decode", error)
    }
  }
})
