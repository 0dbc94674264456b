import { deepStrictEqual } from "node:assert/strict"
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import { Packr } from "msgpackr"
import { msgpack } from "../../src/MsgpackSerializer.js"
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

const fromHex = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"))
const hexOf = (value: unknown) => Buffer.from(Either.getOrThrow(msgpack.encode(value))).toString("hex")
const returns = (value: unknown) => same(trip(value, msgpack), value)

/** The values of test/golden/msgpack-v1.json, by name. */
const golden: Record<string, unknown> = {
  null: null,
  undefined: undefined,
  true: true,
  integers: [0, 127, 128, 65_536, 4_294_967_295, -1, -33, -129, -32_769, -2_147_483_648],
  floats: [0.1, 4_294_967_296, Number.NaN, Number.NEGATIVE_INFINITY, 5e-324],
  bigints: [2n ** 53n + 1n, 2n ** 64n - 1n, -(2n ** 63n)],
  texts: ["", "a", "é 漢 😀", "x".repeat(300)],
  bytes: Uint8Array.of(0, 1, 254, 255),
  dates: [new Date(0), new Date(1_700_000_000_123), new Date(-500), new Date(8.64e15)],
  "a record": { id: 42, name: "Ada", tags: ["a", "b"], address: { zip: null, city: undefined } },
  "a long list": Array.from({ length: 20 }, (_, i) => i),
  "a large record": Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`key${i}`, i])),
  "an own __proto__": own("__proto__", { a: 1 })
}

/** The bytes that `msgpack.packb` of Python 3 (msgpack 1.2.3) writes, by its argument. */
const python: ReadonlyArray<readonly [given: string, hex: string, value: unknown]> = [
  ["None", "c0", null],
  ["True", "c3", true],
  ["0", "00", 0],
  ["127", "7f", 127],
  ["128", "cc80", 128],
  ["-32", "e0", -32],
  ["-33", "d0df", -33],
  ["65536", "ce00010000", 65_536],
  ["2**32 - 1", "ceffffffff", 2 ** 32 - 1],
  ["2**64 - 1", "cfffffffffffffffff", 2n ** 64n - 1n],
  ["-2**63", "d38000000000000000", -(2n ** 63n)],
  ["1.5", "cb3ff8000000000000", 1.5],
  ["inf", "cb7ff0000000000000", Number.POSITIVE_INFINITY],
  ['"é 漢 😀"', "abc3a920e6bca220f09f9880", "é 漢 😀"],
  ['b"\\x00\\xff"', "c40200ff", Uint8Array.of(0, 255)],
  ['[1, [2, "x"], None]', "93019202a178c0", [1, [2, "x"], null]],
  [
    "a dict",
    "84a269642aa46e616d65a3416461a47461677391a161a76164647265737381a37a6970c0",
    { id: 42, name: "Ada", tags: ["a"], address: { zip: null } }
  ],
  ["{}", "80", {}],
  ["list(range(20))", "dc0014000102030405060708090a0b0c0d0e0f10111213", Array.from({ length: 20 }, (_, i) => i)],
  ["a datetime", "d7ff1d5353006553f100", new Date(1_700_000_000_123)],
  ["a datetime of whole seconds", "d6ff00000000", new Date(0)],
  ["a datetime before 1970", "c70cff1dcd6500ffffffffffffffff", new Date(-500)]
]

/** Bytes of Python that are read here, but written differently. */
const pythonOnly: ReadonlyArray<readonly [given: string, hex: string, value: unknown]> = [
  ["2**32", "cf0000000100000000", 2 ** 32],
  ["1700000000123", "cf0000018bcfe5687b", 1_700_000_000_123],
  ["-2**40", "d3ffffff0000000000", -(2 ** 40)],
  ["2**53", "cf0020000000000000", 2 ** 53],
  ["2**53 + 1", "cf0020000000000001", 2n ** 53n + 1n],
  ["1.5 with use_single_float", "ca3fc00000", 1.5],
  [
    "a dict of ints",
    "8201a1610281a16201",
    new Map<unknown, unknown>([
      [1, "a"],
      [2, { b: 1 }]
    ])
  ],
  [
    "a key __proto__",
    "82a95f5f70726f746f5f5f81a16101a1629181a16302",
    Object.assign(own("__proto__", { a: 1 }), { b: [{ c: 2 }] })
  ]
]

describe("MsgpackSerializer", () => {
  describe("msgpack", () => {
    it("round trip - any value comes back equal, or is refused", () => {
      FastCheck.assert(
        FastCheck.property(anything, (value) => equalOrRefused(msgpack, value)),
        { numRuns: 3000 }
      )
    })

    it("round trip - records, lists, strings and numbers are accepted", () => {
      FastCheck.assert(FastCheck.property(plain, returns), { numRuns: 1000 })
      FastCheck.assert(FastCheck.property(FastCheck.date(), returns))
      FastCheck.assert(FastCheck.property(FastCheck.uint8Array({ maxLength: 300 }), returns))
      FastCheck.assert(
        FastCheck.property(FastCheck.fullUnicodeString({ minLength: 10, maxLength: 400 }), (text) =>
          returns(`x${text}`)
        )
      )
    })

    it("golden - values are written as version 1 wrote them, and the bytes of version 1 are read", () => {
      const hexes: Record<string, string> = JSON.parse(
        readFileSync(new URL("../golden/msgpack-v1.json", import.meta.url), "utf8")
      )
      assert.sameMembers(Object.keys(hexes), Object.keys(golden))
      for (const [name, hex] of Object.entries(hexes)) {
        assert.strictEqual(hexOf(golden[name]), hex, name)
        same(Either.getOrThrow(msgpack.decode(fromHex(hex))), golden[name], name)
      }
    })

    it("Python - the bytes of its msgpack are read, and written identically", () => {
      for (const [given, hex, value] of python) {
        same(Either.getOrThrow(msgpack.decode(fromHex(hex))), value, given)
        assert.strictEqual(hexOf(value), hex, given)
      }
      for (const [given, hex, value] of pythonOnly) same(Either.getOrThrow(msgpack.decode(fromHex(hex))), value, given)
    })

    it("keys - an own __proto__ is a key, next to others and in lists, and sets no prototype", () => {
      for (const inner of [{ polluted: true }, 1, undefined]) {
        returns(own("__proto__", inner))
        returns([{ a: own("__proto__", inner) }, Object.assign(own("__proto__", inner), { z: [own("__proto__", 1)] })])
      }
      returns({ __proto_: 1, _________: 2, constructor: 1, hasOwnProperty: 2, length: 3 })
      assert.isUndefined(({} as Record<string, unknown>).polluted)
    })

    it("bytes - the value keeps no view of them and is plain; the encoded value is not changed", () => {
      const given = { b: Uint8Array.of(1, 2), text: "é" }
      const bytes = Buffer.from(Either.getOrThrow(msgpack.encode(given)))
      const back = Either.getOrThrow(msgpack.decode(bytes))
      same(Object.keys(bytes).length, bytes.length)
      bytes.fill(0)
      same(back, given)
      const [one, other] = [1, 2].map((n) => Either.getOrThrow(msgpack.encode(n)))
      assert.notStrictEqual(one!.buffer, other!.buffer)
      assert.strictEqual(Object.getPrototypeOf(one), Uint8Array.prototype)
    })

    it("refusal - names the path of a value that MessagePack or msgpackr would change silently", () => {
      for (const [value, detail] of foreign) {
        refuses(msgpack, value, "$", detail)
        refuses(msgpack, { user: [{ value }] }, "$.user[0].value", detail)
      }
      const cycle: Array<unknown> = []
      cycle.push({ cycle })
      for (const [value, detail] of [
        [new Map([["a", 1]]), "is an instance of Map"],
        [new Set([1]), "is an instance of Set"],
        [Option.some(1), "has a prototype of its own"],
        [bare({ a: 1 }), "has no prototype, and would come back with one"],
        [Buffer.from("x"), "is an instance of Buffer"],
        [Float64Array.of(1), "is an instance of Float64Array"],
        [new ArrayBuffer(1), "is an instance of ArrayBuffer"],
        [/a/, "is an instance of RegExp"],
        [-0, "is -0, which would come back as 0"],
        [1n, "is a bigint that would come back as a number"],
        [2n ** 53n, "is a bigint that would come back as a number"],
        [-(2n ** 53n), "is a bigint that would come back as a number"],
        [2n ** 64n, "is a bigint of more than 64 bits"],
        [-(2n ** 63n) - 1n, "is a bigint of more than 64 bits"],
        [new Date(Number.NaN), "is an invalid Date"],
        ["a\ud800", "has a lone surrogate"],
        [`\ufeff${"a".repeat(100)}`, "begins with a byte order mark"]
      ] as const) {
        refuses(msgpack, [value], "$[0]", detail)
      }
      refuses(msgpack, { "\udc00": 1 }, "$[…]", "has a lone surrogate")
      refuses(msgpack, { constructor: 1, toJSON: 1 }, "$.toJSON", "is next to a constructor property")
      refuses(msgpack, cycle, "$[0].cycle", "refers back to $")
      const { runs, value } = accessor()
      refuses(msgpack, { value }, "$.value.a", "is an accessor")
      assert.strictEqual(runs(), 0)
    })

    it("refusal - of content that is not enumerable, or that the prototype of a value hides", () => {
      refusesHidden(msgpack)
      same(trip(new Proxy({ a: [new Proxy([1], {})] }, {}), msgpack), { a: [[1]] })
    })

    it("safety - a value that throws while it is inspected is refused, and the next value is written correctly", () => {
      const { proxy, revoke } = Proxy.revocable({}, {})
      revoke()
      for (const value of [proxy, Object.create(Date.prototype), Object.create(Uint8Array.prototype)]) {
        assert.strictEqual(refusal(msgpack.encode([1, value])).reason, "Encode")
        returns({ a: [1] })
      }
    })

    it("size - large records and lists, and strings with each size of header", () => {
      returns(Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`k${i}`, i])))
      returns(Array.from({ length: 70_000 }, (_, i) => i))
      for (const length of [31, 32, 255, 256, 65_535, 65_536]) {
        returns(["x".repeat(length), "é".repeat(length), new Uint8Array(length)])
      }
    })

    it("size - a shared object that makes an endless tree is refused in bounded time", () => {
      const refused = refusal(msgpack.encode(nested(100, [1], (value) => [value, value])))
      assert.include(refused.detail, "brings the value above 2097152 elements")
    })

    it("depth - 512 levels are accepted, one more is refused in both directions", () => {
      for (const wrap of [(value: unknown) => [value], (value: unknown) => ({ value })]) {
        returns(nested(512, 1, wrap))
        assert.strictEqual(refusal(msgpack.encode(nested(513, 1, wrap))).detail, "is nested deeper than 512")
      }
      for (const token of [0x91, 0x81]) {
        for (const depth of [513, 1_000_000]) {
          const key = token === 0x81 ? [0] : []
          const bytes = new Uint8Array(depth * (1 + key.length) + 1)
          for (let i = 0; i < depth; i++) bytes.set([token, ...key], i * (1 + key.length))
          garbage(msgpack, bytes, "is nested deeper than 512")
        }
      }
    })

    it("garbage - a length beyond the bytes is refused before memory is allocated", () => {
      for (const hex of [
        "",
        "ddffffffff",
        "dfffffffff",
        "dbffffffff",
        "c6ffffffff",
        "c9ffffffffff",
        "92c0",
        "a5616263",
        "cb00",
        "d3"
      ]) {
        garbage(msgpack, fromHex(hex), "is cut short")
      }
      const many = new Uint8Array(5 + 2_097_153)
      many.set(fromHex("dd00200001"))
      garbage(msgpack, many, "has more than 2097152 elements")
    })

    it("garbage - bytes after a value, unknown extensions and tokens, and strings that are not UTF-8", () => {
      garbage(msgpack, fromHex("0000"), "is followed by other bytes")
      garbage(msgpack, fromHex("c1"), "is not MessagePack")
      garbage(msgpack, utf8('{"a":1}'), "is followed by other bytes")
      garbage(msgpack, fromHex("a2ff41"), "has a string that is not UTF-8")
      garbage(msgpack, fromHex("a3eda080"), "has a string that is not UTF-8")
      garbage(msgpack, fromHex("a4efbbbf41"), "has a string that begins with a byte order mark")
      for (const [hex, type] of [
        ["d40500", 5],
        ["d4ff00", -1],
        ["d40001", 0],
        ["c70100", 0],
        ["c703ff000000", -1]
      ] as const) {
        garbage(msgpack, fromHex(hex), hex === "c70100" ? "is cut short" : `has an unknown extension of type ${type}`)
      }
    })

    it("garbage - msgpackr's own extensions for records, classes and cycles are refused", () => {
      const everything = new Packr({ moreTypes: true, structuredClone: true, bundleStrings: true })
      const self: Record<string, unknown> = {}
      self.self = self
      for (const value of [{ a: 1 }, new Set([1]), new Error("x"), /(a+)+$/, Float64Array.of(1), 2n ** 70n, self]) {
        garbage(msgpack, Uint8Array.from(everything.pack(value)), "extension of type")
      }
    })

    it("garbage - arbitrary, truncated and mutated bytes are read or refused, and never throw", () => {
      const bytes = Either.getOrThrow(msgpack.encode(golden))
      for (let i = 0; i < bytes.length; i++) {
        assert.strictEqual(refusal(msgpack.decode(bytes.subarray(0, i))).reason, "Decode")
      }
      answersGarbage(msgpack, FastCheck.oneof(plain, anything, FastCheck.constant(golden)))
      // mostly tokens with a length, so that more of the bytes is read
      const tokens = FastCheck.array(FastCheck.oneof(FastCheck.integer({ min: 0x80, max: 0xdf }), FastCheck.nat(3)))
      FastCheck.assert(
        FastCheck.property(tokens, (tokens) => {
          const answer = msgpack.decode(Uint8Array.from(tokens))
          // everything that is read consists of plain values
          if (Either.isRight(answer)) deepStrictEqual(structuredClone(answer.right), answer.right)
        }),
        { numRuns: 5000 }
      )
    })
  })
})
