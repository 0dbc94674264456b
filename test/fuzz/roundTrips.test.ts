/** Law 7 (every value comes back equal, or is not stored), for random values and every serializer. */
import { describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import { Serializer } from "../../src/index.js"
import { msgpack } from "../../src/MsgpackSerializer.js"
import { compressed, v8 } from "../../src/NodeSerializer.js"
import { anything, equalOrRefused } from "../support/serializers.js"
import { holds, limit } from "./fuzz.js"

const serializers = {
  lossless: Serializer.lossless,
  msgpack,
  v8,
  "gzip of lossless": compressed(Serializer.lossless, { algorithm: "gzip", threshold: 10 }),
  "brotli of v8": compressed(v8, { algorithm: "brotli", threshold: 10 })
}

/** Whether a value may have properties that its type does not know. Values of Effect's data types never do. */
const hasOwnProperties = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Equal.isEqual(value) && Object.isExtensible(value)

/** Values inside of values, some of which look like what a serializer writes, and some of which have further properties. */
const { value } = FastCheck.letrec<{ value: unknown }>((tie) => {
  const inner = tie("value")
  const few = FastCheck.array(inner, { maxLength: 3 })
  const pairs = FastCheck.array(FastCheck.tuple(inner, inner), { maxLength: 3 })
  const key = FastCheck.constantFrom<PropertyKey>("extra", "__proto__", "toJSON", "constructor", "length2", Symbol("s"))
  return {
    value: FastCheck.oneof(
      { maxDepth: 4 },
      anything,
      few.map((items) => ["Date", ...items]),
      inner.map((value) => ({ $: value })),
      few.map((items) => ({ $: ["Map", ...items] })),
      pairs.map((items) => new Map(items)),
      few.map((items) => new Set(items)),
      inner.map(Option.some),
      inner.map(Either.left),
      FastCheck.record({ a: inner }).map((record) => Data.struct(record)),
      FastCheck.nat().map(Duration.millis),
      FastCheck.tuple(inner, key, inner).map(([value, key, extra]) =>
        hasOwnProperties(value)
          ? Object.defineProperty(value, key, { value: extra, enumerable: true, configurable: true, writable: true })
          : value
      )
    )
  }
})

describe("round trips of random values", () => {
  for (const [name, serializer] of Object.entries(serializers)) {
    it(`law 7: every value comes back equal, or is not stored - ${name}`, { timeout: limit }, () =>
      holds(value, (value) => equalOrRefused(serializer, value))
    )
  }
})
