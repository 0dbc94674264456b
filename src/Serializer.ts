/**
 * Serializers turn a value into bytes and back.
 *
 * A serializer is lossless or refuses (law 7, every value comes back equal, or is not stored): it does not write a
 * value that would come back as a different one. A refused value is still delivered to the caller. It is not stored;
 * the refusal is counted, and logged once with the name of the function and the path in the value.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type * as Schema from "effect/Schema"
import * as Json from "./internal/serializers/json.js"
import * as Lossless from "./internal/serializers/lossless.js"
import * as SchemaCodec from "./internal/serializers/schemaCodec.js"
import { refuse, type Serializer } from "./internal/serializers/serializer.js"
import * as Unstorable from "./internal/serializers/unstorable.js"
import { caught } from "./internal/serializers/valueWalk.js"

export { type Limits, refuse, type Serializer } from "./internal/serializers/serializer.js"

/**
 * JSON in UTF-8 that comes back equal, or is refused. The default serializer.
 *
 * Besides the values of JSON it carries `undefined` (also in properties and arrays), `NaN`, `Infinity`, `-Infinity`,
 * `-0`, `bigint` (up to 2^16384), `Date` (including invalid dates), `Map`, `Set`, `Uint8Array`, `URL`, records without a
 * prototype, keys such as `__proto__`, and strings with lone surrogates. Of Effect's data types it carries `Option`,
 * `Either`, `Exit`, `Cause`, `Chunk`, `List`, `Duration`, `DateTime`, `BigDecimal`, `HashMap`, `HashSet`, and what
 * `Data.struct`, `tuple`, `array`, `case` and tagged enums make.
 *
 * **Details**
 *
 * A value of JSON is written as JSON. Any other value is written as an escape: a record with the single key `$`, whose
 * content is a list of a tag and the tag's data, such as `{"$":["Date",0]}`. A record of that shape is itself escaped,
 * so every value round-trips:
 *
 * | escape                                        | stands for                                      |
 * | --------------------------------------------- | ----------------------------------------------- |
 * | `["undefined"]` `["None"]`                    | `undefined`, `Option.none()`                    |
 * | `["Some", value]`                             | `Option.some(value)`                            |
 * | `["number", "NaN"]`                           | also `Infinity`, `-Infinity` and `-0`           |
 * | `["bigint", "1"]`                             | decimal                                         |
 * | `["Date", 0]`                                 | milliseconds since 1970, `null` if invalid      |
 * | `["Uint8Array", "AQI="]`                      | base64                                          |
 * | `["Map", key, value, …]` `["Set", value, …]`  | in insertion order                              |
 * | `["object", key, value]`                      | a record whose only key is `$`                  |
 * | `["null-object", key, value, …]`              | a record without a prototype                    |
 * | `["Data.struct", key, value, …]`              | also of tagged enums                            |
 * | `["Data.array", value, …]`                    | also `Data.tuple`                               |
 * | `["Right", value]` `["Left", value]`          | `Either`                                        |
 * | `["Success", value]` `["Failure", cause]`     | `Exit`; `["Cause", kind, …]`, `["FiberId", …]`  |
 * | `["Chunk", value, …]` `["List", value, …]`    | in order                                        |
 * | `["HashMap", key, value, …]`                  | also `["HashSet", value, …]`                    |
 * | `["Duration", 5]`                             | milliseconds, or nanoseconds as a bigint        |
 * | `["DateTime", 0]` `["DateTime", 0, zone]`     | the zone is its id, or an offset in ms          |
 * | `["BigDecimal", value, scale]`                | the value is a bigint                           |
 * | `["URL", "https://example.org/"]`             | `URL`                                           |
 *
 * **Gotchas**
 *
 * Refused, with the path in the error: instances of classes, errors, `Redacted`, `Buffer` and typed arrays other than
 * `Uint8Array`, functions, symbols, symbol keys, accessors, properties that are not enumerable, arrays with holes or
 * extra properties, values whose prototype was replaced, values of Effect with extra properties, cycles, and values
 * nested deeper than 512. Two searches stop where they would take longer than writing: in an array of more than 16 items
 * for accessors and for properties that are not enumerable (other than `raw` of a template), and in a `Uint8Array` of
 * more than 1 024 bytes for properties whose key is a string. An object that occurs twice in a value comes back as two
 * equal objects. Frozen objects come back unfrozen.
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
  encode(value, limits) {
    try {
      return Json.encodeText(Lossless.stringify(value, limits), limits)
    } catch (error) {
      return caught("Encode", error)
    }
  },
  decode: (bytes, limits) => Json.decodeText(bytes, limits, Lossless.parse)
}

const secrets: Unstorable.Sought = { protoKeys: false, secrets: true, runsAccessors: true }

/**
 * Plain JSON in UTF-8, for entries that are shared with programs that read nothing else.
 *
 * It writes what `JSON.stringify` writes, and therefore **changes values**. `undefined` and functions are dropped from
 * records and become `null` in arrays. `NaN` and the infinities become `null`, and `-0` becomes `0`. A `Date` becomes a
 * string, a `Map` or `Set` becomes `{}`, a `Uint8Array` becomes a record, and an instance of a class becomes a record
 * or the result of its `toJSON`. Give the function a schema, or cache only values of JSON.
 *
 * It refuses to write `undefined`, a function or a symbol as the whole value, bigints and cycles. It refuses to read
 * values nested deeper than 512.
 *
 * @category constructors
 * @since 0.1.0
 */
export const json: Serializer = {
  name: "json",
  encode(value, limits) {
    try {
      const text: string | undefined = JSON.stringify(value)
      // the text of a `Redacted`, which would come back in place of it
      const secret = text?.includes('"<redacted>"') === true ? Unstorable.find(value, secrets) : undefined
      if (secret !== undefined) return refuse("Encode", secret.path, secret.detail)
      return text === undefined
        ? refuse(
            "Encode",
            "$",
            `is ${value === undefined ? "undefined" : `a ${typeof value}`}, which JSON cannot represent`
          )
        : Json.encodeText(text, limits)
    } catch (error) {
      return caught("Encode", error)
    }
  },
  decode: (bytes, limits) => Json.decodeText(bytes, limits, Json.parse)
}

/**
 * Values of one schema. The schema encodes a value, and `inner` (by default `lossless`) turns the result into bytes.
 *
 * Use it for a store that holds a single type of value. In any other store give each function its own `schema` option,
 * which does the same on top of the store's serializer.
 *
 * **Details**
 *
 * A value that the schema does not describe is refused, and bytes of another schema are a miss. The schema is used as it
 * is: properties that it does not name are left out, unless its `parseOptions` say otherwise. It must not require
 * services, and must be synchronous. A value with an own key `__proto__`, at any depth, is refused in both directions: a
 * schema would lose the key, or make a prototype of what it holds.
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
  encode: (value, limits) =>
    Either.flatMap(SchemaCodec.encode(schema, value), (encoded) => inner.encode(encoded, limits)),
  decode: (bytes, limits) =>
    Either.flatMap(inner.decode(bytes, limits), (encoded) => SchemaCodec.decode(schema, encoded))
})
