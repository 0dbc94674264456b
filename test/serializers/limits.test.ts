/**
 * The limits of what a serializer builds: how many elements a value has, how deep it is nested, how far it inflates, and
 * how long it takes. What can be written can be read.
 */
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as HashMap from "effect/HashMap"
import * as HashSet from "effect/HashSet"
import * as Schema from "effect/Schema"
import { compress } from "../../src/internal/serializers/compression.js"
import { msgpack } from "../../src/MsgpackSerializer.js"
import { compressed, v8 } from "../../src/NodeSerializer.js"
import { json, type Limits, lossless, type Serializer, schema } from "../../src/Serializer.js"
import { anything, refusal, same, utf8 } from "../support/serializers.js"

const gzip = compressed(lossless, { algorithm: "gzip", threshold: 0 })
const serializers = [json, lossless, msgpack, v8, gzip, schema(Schema.Unknown), schema(Schema.Unknown, v8)]

const encoded = (serializer: Serializer, value: unknown, limits?: Limits) =>
  Either.getOrThrow(serializer.encode(value, limits))

describe("limits", () => {
  for (const serializer of serializers) {
    it(`${serializer.name} - what is written within the limits is read within them`, () => {
      const limits = FastCheck.record({ maxDecodedBytes: FastCheck.integer({ min: 1, max: 200 }) })
      FastCheck.assert(
        FastCheck.property(anything, limits, (value, limits) => {
          const bytes = serializer.encode(value, limits)
          if (Either.isRight(bytes)) Either.getOrThrow(serializer.decode(bytes.right, limits))
        }),
        { numRuns: 1000 }
      )
    })

    it(`${serializer.name} - values of exactly so many elements are accepted, one more is refused when read`, () => {
      const limits = { maxDecodedBytes: 400 }
      for (const make of [
        (n: number): unknown => Array.from({ length: n }, (_, i) => i + 1_000),
        (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, "some text"])),
        (n: number) => Array.from({ length: n / 2 }, () => ["some text"])
      ]) {
        if (serializer !== gzip) {
          encoded(serializer, make(200), limits)
          assert.include(refusal(serializer.encode(make(202), limits)).detail, "maxDecodedBytes")
        }
        const { detail, reason } = refusal(serializer.decode(encoded(serializer, make(202)), limits))
        assert.strictEqual(reason, "Decode")
        assert.include(detail, serializer === gzip ? "is larger than 400 bytes" : "has more than 200 elements")
      }
    })
  }

  it("texts - commas and brackets within strings are no elements", () => {
    for (const text of ["[,{".repeat(100), '",\\'.repeat(100), '\\"'.repeat(100), "\\".repeat(101)]) {
      for (const serializer of [json, lossless]) {
        same(
          Either.getOrThrow(
            serializer.decode(encoded(serializer, [text, { [text]: 1 }], { maxDecodedBytes: 20 }), {
              maxDecodedBytes: 20
            })
          ),
          [text, { [text]: 1 }]
        )
      }
    }
  })

  it("default - a text of many megabytes of small elements is refused before it is parsed", () => {
    for (const element of ["0,", "{},", "[],", '{"$":["Map"]},']) {
      const text = utf8(`[${element.repeat(14_000_000 / element.length)}0]`)
      for (const serializer of [json, lossless]) assert.include(refusal(serializer.decode(text)).detail, "elements")
    }
    const long = ["a".repeat(9_000_000)]
    same(Either.getOrThrow(lossless.decode(encoded(lossless, long))), long)
  })

  it("inflating - stops at maxDecodedBytes, and a larger value is not written", () => {
    const value = "a".repeat(998)
    const bytes = encoded(gzip, value, { maxDecodedBytes: 1_000 })
    assert.strictEqual(Either.getOrThrow(gzip.decode(bytes, { maxDecodedBytes: 1_000 })), value)
    deepStrictEqual(refusal(gzip.decode(bytes, { maxDecodedBytes: 999 })), {
      reason: "Decode",
      path: "$",
      detail: "is larger than 999 bytes once decompressed"
    })
    const { detail } = refusal(gzip.encode(value, { maxDecodedBytes: 999 }))
    assert.include(detail, "is larger than maxDecodedBytes (999)")
    assert.include(detail, "maxValueBytes")
    same(Either.getOrThrow(gzip.decode(bytes, { maxDecodedBytes: Number.POSITIVE_INFINITY })), value)
  })

  it("inflating - a few hundred bytes that inflate to 63 MB are refused without limits, too", () => {
    const text = utf8(`[${"{},".repeat(21 * 1024 * 1024)}{}]`)
    for (const [tag, algorithm] of [
      [1, "gzip"],
      [2, "brotli"]
    ] as const) {
      const { detail } = refusal(gzip.decode(Buffer.concat([Uint8Array.of(tag), compress(algorithm, text)])))
      assert.include(detail, "is larger than 4194304 bytes")
    }
  })

  describe("v8", () => {
    const header = encoded(v8, null).subarray(0, 6)
    const hex = (text: string) => Uint8Array.of(...header, ...Buffer.from(text, "hex"))
    const refused = (text: string) => refusal(v8.decode(hex(text))).detail

    it("arrays - a sparse one is refused before memory of its length is allocated", () => {
      // a length of 32 000 000 in 4 bytes
      assert.strictEqual(refused("618090a10f40008090a10f"), "is an array with holes")
      assert.strictEqual(refused("4102490224000241"), "has an array of another length")
      // an array that had holes before it was filled is written as a sparse one
      const filled = new Array(3)
      for (let i = 0; i < 3; i++) filled[i] = { i }
      same(Either.getOrThrow(v8.decode(encoded(v8, filled))), [{ i: 0 }, { i: 1 }, { i: 2 }])
    })

    it("depth - 512 levels are read, one more is refused", () => {
      for (const [open, inner, close] of [
        ["4101", "5f", "240001"],
        ["6f220161", "5f", "7b01"],
        ["27", "5f", "2c01"],
        ["3b", "5f5f", "3a02"]
      ] as const) {
        const nest = (depth: number) => {
          // a map contains its key before the nested value
          const start = open === "3b" ? "3b5f" : open
          return start.repeat(depth) + (open === "3b" ? "5f" : inner) + close.repeat(depth)
        }
        assert.isTrue(Either.isRight(v8.decode(hex(nest(512)))), open)
        assert.strictEqual(refused(nest(513)), "is nested deeper than 512")
      }
    })

    it("tokens - those that v8 does not write are refused", () => {
      for (const text of [
        "72",
        "79",
        "6e0000000000000000",
        "7501",
        "2d",
        "7e0101ff",
        "4102",
        "6f7b0000",
        "6f2400",
        "fe"
      ]) {
        refused(text)
      }
      assert.strictEqual(refused("5f5f"), "is followed by other bytes")
      assert.strictEqual(refused("6f2400"), "has a container that ends as another")
    })
  })

  describe("keys that collide", () => {
    const bigints = Array.from({ length: 2_000 }, (_, i) => BigInt(i + 1) << 64n)
    const structs = Array.from({ length: 2_000 }, (_, i) => Data.struct({ a: i, b: i }))

    it("bigints with equal low digits - are neither written nor read in a Set or a Map", () => {
      const detail = "has keys whose hashes collide, and would take too long to read"
      const texts = bigints.map((n) => `{"$":["bigint","${n}"]}`)
      for (const [value, text] of [
        [new Set(bigints), `{"$":["Set",${texts.join()}]}`],
        [new Map(bigints.map((n) => [-n, 0])), `{"$":["Map",${texts.map((one) => `${one},0`).join()}]}`]
      ] as const) {
        deepStrictEqual(refusal(lossless.encode([value])), { reason: "Encode", path: "$[0]", detail })
        deepStrictEqual(refusal(lossless.decode(utf8(text))), { reason: "Decode", path: "$", detail })
      }
      const some = new Set(bigints.slice(0, 400))
      same(Either.getOrThrow(lossless.decode(encoded(lossless, some))), some)
      const others = new Set(bigints.map((n, i) => n + BigInt(i)))
      same(Either.getOrThrow(lossless.decode(encoded(lossless, others))), others)
    })

    it("keys with equal hashes of Effect - are neither written nor read in a HashSet or a HashMap", () => {
      const text = (tag: string) =>
        utf8(
          `{"$":["${tag}",${structs.map((_, i) => `{"$":["Data.struct","a",${i},"b",${i}]}${tag === "HashMap" ? ",0" : ""}`).join()}]}`
        )
      assert.include(refusal(lossless.encode(HashSet.fromIterable(structs))).detail, "hashes collide")
      assert.include(
        refusal(lossless.encode(HashMap.fromIterable(structs.map((key) => [key, 0])))).detail,
        "hashes collide"
      )
      assert.strictEqual(refusal(lossless.decode(text("HashSet"))).detail, "is a malformed HashSet")
      assert.strictEqual(refusal(lossless.decode(text("HashMap"))).detail, "is a malformed HashMap")
    })

    it("keys of a grid, prices and ids - are written and read", () => {
      const keys = Array.from({ length: 20_000 }, (_, i) => i)
      for (const key of [
        (i: number): unknown => i / 100,
        (i: number) => `user-${i}`,
        (i: number) => Data.tuple(i % 141, Math.floor(i / 141)),
        (i: number) => Data.struct({ x: i % 141, y: Math.floor(i / 141) })
      ]) {
        const set = HashSet.fromIterable(keys.map(key))
        assert.strictEqual(
          HashSet.size(Either.getOrThrow(lossless.decode(encoded(lossless, set))) as typeof set),
          20_000
        )
      }
    })
  })
})
