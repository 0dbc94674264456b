import { deepStrictEqual } from "node:assert/strict"
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import * as engine from "node:v8"
import { runInNewContext } from "node:vm"
import * as zlib from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import { InvalidOption } from "../../src/CacheError.js"
import { compress } from "../../src/internal/serializers/compression.js"
import { compressed, v8 } from "../../src/NodeSerializer.js"
import { json, lossless, type Serializer } from "../../src/Serializer.js"
import {
  accessor,
  answersGarbage,
  anything,
  bare,
  equalOrRefused,
  foreign,
  garbage,
  nested,
  own,
  plain,
  refusal,
  refuses,
  refusesHidden,
  same,
  trip,
  utf8
} from "../support/serializers.js"

const format = engine.serialize(null)[1]!

/** The value in test/golden/v8-15.hex, which an engine of format 15 wrote. */
const golden = {
  nothing: [undefined, null, Number.NaN, -0, Number.NEGATIVE_INFINITY],
  id: 9_007_199_254_740_993n,
  text: 'quote " é 漢 😀',
  at: new Date(1_700_000_000_123),
  map: new Map<unknown, unknown>([["a", new Set([1, "1"])]]),
  bytes: Uint8Array.of(0, 1, 254, 255),
  floats: Float64Array.of(-0, 1.5),
  like: /a+/gi
}

describe("NodeSerializer", () => {
  describe("v8", () => {
    const returns = (value: unknown) => same(trip(value, v8), value)

    it("round trip - any value comes back equal, or is refused", () => {
      FastCheck.assert(
        FastCheck.property(anything, (value) => equalOrRefused(v8, value)),
        { numRuns: 2000 }
      )
      FastCheck.assert(FastCheck.property(plain, returns))
    })

    it("round trip - values that lossless does not carry", () => {
      for (const value of [
        undefined,
        -0,
        Number.NaN,
        "\ud800",
        2n ** 70_000n,
        new Date(Number.NaN),
        /a+(?<n>b)/giu,
        own("__proto__", { polluted: 1 }),
        new ArrayBuffer(3),
        new DataView(Uint8Array.of(1, 2, 3, 4).buffer, 1, 2),
        Buffer.from("text"),
        Buffer.alloc(0),
        Int8Array.of(-1),
        Uint8ClampedArray.of(255),
        Int16Array.of(-1),
        Uint16Array.of(1),
        Int32Array.of(-1),
        Uint32Array.of(1),
        Float32Array.of(0.5),
        Float64Array.of(-0, Number.NaN),
        BigInt64Array.of(-1n),
        BigUint64Array.of(1n),
        new Map<unknown, unknown>([[{ a: 1 }, new Set([undefined])]])
      ]) {
        returns(value)
        returns({ a: [value, new Map([["x", value]])] })
      }
      assert.isUndefined(({} as Record<string, unknown>).polluted)
    })

    it("references - cycles come back, and a shared object comes back as one object", () => {
      const user: Record<string, unknown> = { name: "Ada" }
      user.self = user
      user.friends = new Map<unknown, unknown>([[user, new Set([user])]])
      const back = trip(user, v8) as typeof user
      assert.strictEqual(back.self, back)
      assert.isTrue((back.friends as Map<unknown, Set<unknown>>).get(back)!.has(back))
      const shared = { a: Float64Array.of(1) }
      const [one, other] = trip([shared, shared], v8) as Array<unknown>
      assert.strictEqual(one, other)
      // an endless tree
      returns(nested(100, [1], (value) => [value, value]))
    })

    it("bytes - the value keeps no view of them, and its arrays share no memory", () => {
      const given = [Uint8Array.of(1, 2), Buffer.from("ab"), Float64Array.of(1), new DataView(new ArrayBuffer(2))]
      const bytes = Either.getOrThrow(v8.encode(given))
      assert.strictEqual(Object.getPrototypeOf(bytes), Uint8Array.prototype)
      const back = Either.getOrThrow(v8.decode(bytes)) as typeof given
      bytes.fill(0)
      same(back, given)
      assert.strictEqual(back[0]!.buffer.byteLength, 2)
    })

    it("refusal - names the path of a value that V8 would change silently", () => {
      for (const [value, detail] of foreign) {
        refuses(v8, value, "$", detail)
        refuses(v8, { user: [new Map([["k", value]])] }, "$.user[0].values()[0]", detail)
      }
      for (const [value, detail] of [
        [Option.some(1), "has a prototype of its own"],
        [bare({ a: 1 }), "has no prototype, and would come back with one"],
        [runInNewContext("({ a: 1 })"), "has a prototype of its own"],
        [Object.assign(/a/g, { lastIndex: 1 }), "is a RegExp with a state"],
        [Object.assign(/a/g, { extra: 1 }), "is a RegExp with a state"],
        [new (class Bytes extends Uint8Array {})(1), "is an instance of Bytes"],
        [Object.assign(new ArrayBuffer(1), { extra: 1 }), "has properties of its own"],
        [new SharedArrayBuffer(1), "is an instance of SharedArrayBuffer"],
        [new (ArrayBuffer as any)(1, { maxByteLength: 2 }), "can be resized"],
        // objects that only look like the built-in
        [Object.create(Map.prototype), "is an instance of Map"],
        [Object.create(Date.prototype), "is an instance of Date"],
        [Object.create(Uint8Array.prototype), "is an instance of Uint8Array"]
      ] as const) {
        refuses(v8, [value], "$[0]", detail)
      }
      const { runs, value } = accessor()
      refuses(v8, { value }, "$.value.a", "is an accessor")
      assert.strictEqual(runs(), 0)
    })

    it("refusal - of content that is not enumerable, or that the prototype of a value hides", () => {
      refusesHidden(v8)
      for (const [type, prototype] of [
        [Float64Array, Uint8Array],
        [Uint8Array, DataView],
        [DataView, Uint8Array],
        [Float32Array, Buffer]
      ] as const) {
        const view = Object.setPrototypeOf(Reflect.construct(type, [new ArrayBuffer(8)]), prototype.prototype)
        refuses(v8, [view], "$[0]", `is an instance of ${prototype.name}`)
      }
    })

    it("safety - a value that throws while it is inspected, or that cannot be cloned, is refused", () => {
      const { proxy, revoke } = Proxy.revocable({}, {})
      revoke()
      const gone = new ArrayBuffer(1)
      structuredClone(gone, { transfer: [gone] })
      for (const value of [proxy, new Proxy({ a: 1 }, {}), new Proxy([1], {}), gone]) {
        assert.strictEqual(refusal(v8.encode([value])).reason, "Encode")
      }
    })

    it("depth - 512 levels are accepted, one more is refused", () => {
      returns(nested(512, 1, (value) => [value]))
      assert.strictEqual(refusal(v8.encode(nested(513, 1, (value) => ({ value })))).detail, "is nested deeper than 512")
    })

    it("format - bytes of another version are refused, whichever of the two version bytes differs", () => {
      const bytes = Either.getOrThrow(v8.encode({ a: 1 }))
      deepStrictEqual([...bytes.subarray(0, 6)], [0x76, 0x38, 1, format, 0xff, format])
      const other = (at: number, version: number) => bytes.slice().fill(version, at, at + 1)
      for (const at of [3, 5]) {
        for (const version of [format - 1, format - 2]) {
          garbage(
            v8,
            other(at, version),
            `was written in version ${version} of V8's format, and this Node reads version ${format}`
          )
        }
      }
      garbage(v8, other(5, format + 1), "")
      garbage(v8, other(2, 2), "was not written by the v8 serializer")
    })

    it("golden - bytes of format 15 are read by engines of format 15, and refused by all others", () => {
      const hex = readFileSync(new URL("../golden/v8-15.hex", import.meta.url), "utf8").trim()
      const bytes = Uint8Array.from(Buffer.from(hex, "hex"))
      if (format === 15) {
        same(Either.getOrThrow(v8.decode(bytes)), golden)
        assert.strictEqual(Buffer.from(Either.getOrThrow(v8.encode(golden))).toString("hex"), hex)
      } else {
        garbage(v8, bytes, "was written in version 15")
      }
    })

    it("garbage - foreign, truncated and mutated bytes are read or refused, and never throw", () => {
      garbage(v8, new Uint8Array(), "was not written by the v8 serializer")
      garbage(v8, utf8('{"a":1}'), "was not written by the v8 serializer")
      garbage(v8, engine.serialize({ a: 1 }), "was not written by the v8 serializer")
      const bytes = Either.getOrThrow(v8.encode(golden))
      for (let i = 0; i < bytes.length; i++)
        assert.strictEqual(refusal(v8.decode(bytes.subarray(0, i))).reason, "Decode")
      answersGarbage(v8, FastCheck.oneof(anything, FastCheck.constant(golden)))
      const body = FastCheck.uint8Array({ maxLength: 64 })
      FastCheck.assert(
        FastCheck.property(body, (body) => {
          assert.isTrue(Either.isEither(v8.decode(Uint8Array.of(...bytes.subarray(0, 6), ...body))))
        }),
        { numRuns: 5000 }
      )
    })

    it("garbage - arrays nested a million deep do not crash the process", () => {
      const open = new Uint8Array(2_000_006).fill(1)
      open.set(Either.getOrThrow(v8.encode(null)).subarray(0, 6))
      for (let i = 6; i < open.length; i += 2) open[i] = 0x41
      garbage(v8, open, "")
    })
  })

  describe("compressed", () => {
    const hasZstd = "zstdCompressSync" in zlib
    const algorithms = hasZstd ? (["gzip", "brotli", "zstd"] as const) : (["gzip", "brotli"] as const)
    const tags = { plain: 0, gzip: 1, brotli: 2, zstd: 3 }
    const rows = Array.from({ length: 100 }, (_, id) => ({ id, name: "Ada", at: new Date(id) }))
    const encoded = (serializer: Serializer, value: unknown) => Either.getOrThrow(serializer.encode(value))

    for (const algorithm of algorithms) {
      it(`${algorithm} - any value, small or large, comes back as from the inner serializer`, () => {
        for (const inner of [lossless, v8]) {
          const serializer = compressed(inner, { algorithm, threshold: 20 })
          FastCheck.assert(FastCheck.property(anything, (value) => equalOrRefused(serializer, value)))
          same(trip(rows, serializer), rows)
          assert.isBelow(encoded(serializer, rows).length, encoded(inner, rows).length / 3)
        }
      })

      it(`${algorithm} - its bytes are read with any other algorithm`, () => {
        const bytes = encoded(compressed(lossless, { algorithm }), rows)
        assert.strictEqual(bytes[0], tags[algorithm])
        for (const other of algorithms) {
          same(Either.getOrThrow(compressed(lossless, { algorithm: other }).decode(bytes)), rows)
        }
      })

      it(`${algorithm} - garbage and decompression bombs are refused`, () => {
        const serializer = compressed(json, { algorithm, threshold: 0 })
        answersGarbage(serializer, anything)
        const bytes = encoded(serializer, rows)
        for (let i = 0; i < bytes.length; i++) refusal(serializer.decode(bytes.subarray(0, i)))
        garbage(serializer, Uint8Array.of(...bytes, 0), "")
        garbage(serializer, Uint8Array.of(tags[algorithm]), `is not ${algorithm}`)
        const bomb = compress(algorithm, new Uint8Array(128 * 1024 * 1024))
        const tagged = new Uint8Array(1 + bomb.length)
        tagged[0] = tags[algorithm]
        tagged.set(bomb, 1)
        garbage(serializer, tagged, "is larger than 4194304 bytes once decompressed")
      })
    }

    it("threshold - bytes below it, or that do not get smaller, stay uncompressed", () => {
      const text = (length: number) => "a".repeat(length - 2)
      const gzip = compressed(lossless, { algorithm: "gzip" })
      assert.strictEqual(encoded(gzip, text(1023))[0], tags.plain)
      assert.strictEqual(encoded(gzip, text(1024))[0], tags.gzip)
      assert.strictEqual(encoded(compressed(lossless, { algorithm: "gzip", threshold: 100 }), text(100))[0], tags.gzip)
      const noise: Serializer = { ...lossless, encode: () => Either.right(Uint8Array.from(randomBytes(2000))) }
      const kept = encoded(compressed(noise, { algorithm: "gzip" }), 1)
      assert.deepStrictEqual([kept[0], kept.length], [tags.plain, 2001])
      const small = compressed(lossless, { algorithm: "gzip", threshold: 0 })
      assert.strictEqual(encoded(small, 1)[0], tags.plain)
      same(trip(1, small), 1)
    })

    it("refusal - is that of the inner serializer", () => {
      refuses(compressed(lossless, { algorithm: "gzip" }), { a: () => 1 }, "$.a", "is a function")
      garbage(compressed(lossless, { algorithm: "gzip" }), Uint8Array.of(0, 1), "is not JSON")
    })

    it("garbage - bytes of another serializer are refused", () => {
      const gzip = compressed(lossless, { algorithm: "gzip" })
      for (const bytes of [
        new Uint8Array(),
        utf8("{}"),
        utf8("1"),
        encoded(v8, 1),
        Uint8Array.of(4),
        Uint8Array.of(255)
      ]) {
        garbage(gzip, bytes, "is compressed with an unknown algorithm")
      }
      if (!hasZstd) garbage(gzip, Uint8Array.of(tags.zstd, 0x28, 0xb5, 0x2f, 0xfd), "is zstd, which Node")
    })

    it("golden - the bytes of version 1 are read", () => {
      const files: Record<string, string> = JSON.parse(
        readFileSync(new URL("../golden/compressed-v1.json", import.meta.url), "utf8")
      )
      assert.sameMembers(Object.keys(files), Object.keys(tags))
      for (const [algorithm, hex] of Object.entries(files)) {
        if (algorithm === "zstd" && !hasZstd) continue
        const bytes = Uint8Array.from(Buffer.from(hex, "hex"))
        same(Either.getOrThrow(compressed(lossless, { algorithm: "gzip" }).decode(bytes)), rows.slice(0, 5))
      }
    })

    it("name - contains the algorithm and the inner serializer", () => {
      assert.strictEqual(compressed(v8, { algorithm: "brotli" }).name, "brotli(v8)")
    })

    it("options - an algorithm that this Node lacks and an invalid threshold are InvalidOption", () => {
      const make = (options: object) => () => compressed(lossless, options as never)
      assert.throws(make({ algorithm: "lzma" }), InvalidOption, "not one of gzip, brotli and zstd")
      assert.throws(make({}), InvalidOption)
      if (!hasZstd) assert.throws(make({ algorithm: "zstd" }), InvalidOption, "has no zstd")
      for (const threshold of [-1, Number.NaN, "1kB"]) {
        assert.throws(make({ algorithm: "gzip", threshold }), InvalidOption, "threshold: is not a number of bytes")
      }
    })
  })
})
