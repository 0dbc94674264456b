/**
 * Every decoder, on golden bytes that were changed and on random ones. A decoder answers, whatever the bytes are, and
 * what it decodes is a value that it could have written.
 */
import { StructSchema, TimestampSchema } from "@bufbuild/protobuf/wkt"
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import { Envelope, Serializer } from "../../src/index.js"
import { parseHeader, stripKey } from "../../src/internal/backends/object/format.js"
import * as Messages from "../../src/internal/backends/redis/messages.js"
import { msgpack } from "../../src/MsgpackSerializer.js"
import { compressed, v8 } from "../../src/NodeSerializer.js"
import { protobuf } from "../../src/ProtobufSerializer.js"
import { same, utf8 } from "../support/serializers.js"
import { golden, goldenBytes, holds, limit, mutated } from "./fuzz.js"

const textsOf = (name: string): ReadonlyArray<Uint8Array> =>
  Object.values(JSON.parse(golden(name)) as Record<string, string>).map(utf8)

const bytesOf = (name: string): ReadonlyArray<Uint8Array> =>
  Object.values(JSON.parse(golden(name)) as Record<string, string>).map((hex) =>
    Uint8Array.from(Buffer.from(hex, "hex"))
  )

const encoded = (serializer: Serializer.Serializer, value: unknown): Uint8Array =>
  Either.getOrThrow(serializer.encode(value))

/** What changes the meaning of JSON, and the escapes of the lossless serializer. */
const tokens = [
  "__proto__",
  "constructor",
  '{"$":["Map",',
  '{"$":["object","__proto__",',
  '{"$":["null-object",',
  '{"$":["Date",1e999]}',
  '{"$":["Uint8Array","===="]}',
  '{"$":["bigint","-0"]}',
  '{"$":["Some",{"$":["undefined"]}]}',
  '{"$":["HashMap",1,2,1,3]}',
  '{"$":["Duration",-1]}',
  '{"$":["DateTime",0,"Nowhere/City"]}',
  '{"$":["BigDecimal",1,2]}',
  '{"$":["Cause","Sequential"]}',
  '{"$":["URL",""]}',
  '{"$":[]}',
  '"then":',
  "\u0000",
  "1e309",
  "-0"
].map(utf8)

const values = {
  a: [1, -0, Number.NaN, undefined, 12n ** 20n],
  m: new Map<unknown, unknown>([
    ["k", new Set([1])],
    [{ x: 1 }, new Date(5)]
  ]),
  o: Option.some({ $: [1] }),
  b: new Uint8Array(300).fill(7),
  s: "é漢😀".repeat(30)
}

const ofEngine: Record<string, unknown> = {
  b: Buffer.from("hello"),
  f: Float64Array.of(1, 2),
  view: new DataView(new ArrayBuffer(9)),
  buffer: new ArrayBuffer(7),
  r: /a+b/giu,
  d: new Date(5),
  big: -(2n ** 200n)
}
ofEngine.self = ofEngine

const packed = {
  a: [1, Number.NaN, undefined, 2n ** 60n, 1.5, -7, 70_000],
  b: new Uint8Array(70),
  d: [new Date(1_700_000_000_005), new Date(-5)],
  long: "x".repeat(70_000),
  deep: [[[[{ a: {} }]]]]
}

const compressions = ["gzip", "brotli"] as const

/** The serializers, the bytes to begin with, and whether they are text. */
const serializers: ReadonlyArray<
  readonly [name: string, Serializer.Serializer, ReadonlyArray<Uint8Array>, isText?: boolean]
> = [
  ["lossless", Serializer.lossless, [...textsOf("lossless-v1.json"), encoded(Serializer.lossless, values)], true],
  ["json", Serializer.json, textsOf("lossless-v1.json"), true],
  ["msgpack", msgpack, [...bytesOf("msgpack-v1.json"), encoded(msgpack, packed)]],
  ["v8", v8, [goldenBytes("v8-15.hex"), encoded(v8, ofEngine)]],
  ...compressions.map((algorithm) => {
    const serializer = compressed(Serializer.lossless, { algorithm, threshold: 10 })
    return [algorithm, serializer, [...bytesOf("compressed-v1.json"), encoded(serializer, values)]] as const
  }),
  ...compressions.map((algorithm) => {
    const serializer = compressed(v8, { algorithm, threshold: 10 })
    return [`${algorithm} of v8`, serializer, [encoded(serializer, ofEngine)]] as const
  })
]

const builtIn = [Object.prototype, Array.prototype, Function.prototype, Map.prototype]
const propertiesOf = () => builtIn.map((prototype) => Reflect.ownKeys(prototype).length)
const before = propertiesOf()

/** Returns what was decoded. The message of a refusal is short, whatever the bytes are. */
const answer = <A, E extends Error>(decoded: Either.Either<A, E>): A | undefined => {
  same(propertiesOf(), before, "properties of built-in prototypes")
  if (Either.isRight(decoded)) return decoded.right
  assert.isBelow(decoded.left.message.length, 400, decoded.left.message.slice(0, 400))
  return undefined
}

describe("decoders, on changed and random bytes", () => {
  for (const [name, serializer, originals, isText] of serializers) {
    it(`${name} - refuses, or returns a value that comes back when it is written again`, { timeout: limit }, () =>
      holds(mutated(originals, isText ? tokens : []), (bytes) => {
        const value = answer(serializer.decode(bytes))
        // plain JSON changes values by design
        if (value === undefined || serializer === Serializer.json) return
        const again = serializer.encode(value)
        if (Either.isRight(again)) same(Either.getOrThrow(serializer.decode(again.right)), value)
      })
    )
  }

  for (const schema of [StructSchema, TimestampSchema]) {
    it(`protobuf, ${schema.typeName} - refuses, or returns a message`, { timeout: limit }, () => {
      const serializer = protobuf(schema)
      holds(mutated([goldenBytes("protobuf-v1.hex"), Uint8Array.of(8, 0x80, 0xe2, 0xcf, 0xaa, 6)]), (bytes) => {
        answer(serializer.decode(bytes))
      })
    })
  }

  const envelopes = [
    "checksum",
    "extension",
    "failure",
    "forever",
    "no-payload",
    "plain",
    "stale-end",
    "tags",
    "tombstone",
    "unknown-fields"
  ].map((name) => goldenBytes(`envelope-v1-${name}.hex`))

  it("Envelope.v1 - refuses, or returns an entry whose times are in order", { timeout: limit }, () =>
    holds(mutated(envelopes), (bytes) => {
      const found = answer(Envelope.v1.decode(bytes))
      if (found?._tag !== "Entry") return
      const { createdAt, expiresAt, freshUntil, tags } = found.entry
      assert.isTrue(createdAt <= freshUntil && freshUntil <= expiresAt, `${createdAt} ${freshUntil} ${expiresAt}`)
      for (const tag of tags) assert.isString(tag)
    })
  )

  it("Envelope.advancedCaching - refuses, or returns an entry", { timeout: limit }, () => {
    const reader = { owner: "o", stale: 5, now: 1.7e12, storeNow: 1.7e12 }
    const originals = ["forever", "no-payload", "plain"].map((name) =>
      goldenBytes(`envelope-advanced-caching-${name}.hex`)
    )
    holds(mutated(originals), (bytes) => {
      answer(Envelope.advancedCaching.decode(bytes, reader))
    })
  })

  it("objects - have a header or none, and a value of the key or none", { timeout: limit }, () => {
    const originals = ["plain", "gzip", "brotli", "checksum"].map((name) => goldenBytes(`file-v1-${name}.hex`))
    holds(mutated(originals), (bytes) => {
      const meta = parseHeader(bytes)
      if (meta !== undefined) assert.isFalse(Number.isNaN(meta.stamp))
      answer(stripKey("golden:é", bytes))
    })
  })
})

describe("messages, changed and random", () => {
  const reader: Messages.Reader = { processId: "here", keyOf: (name) => (name.startsWith("p:") ? name : undefined) }
  const originals = [
    '{"n":"there","k":["p:a","1795625916560.5","p:b","1795625916561"]}',
    '{"n":"there","f":"-1","l":"-1","m":{}}',
    '{"n":"there","f":"1795625916560","l":"-1","m":["t:a","1795625916561"]}',
    '{"n":"there","u":"p:a"}',
    '{"n":"here","u":"p:a"}'
  ].map(utf8)

  const checked = (text: string): void => {
    const parsed = Messages.parse(text, reader)
    if (typeof parsed !== "object") return
    const stamps: Array<number> = []
    if (parsed._tag === "Free") assert.isString(parsed.key)
    if (parsed._tag === "Keys") {
      for (const { key, stamp } of parsed.keys) {
        assert.isTrue(key.startsWith("p:"), key)
        stamps.push(stamp)
      }
    }
    if (parsed._tag === "Marks") {
      stamps.push(parsed.marks.floor, parsed.marks.lost)
      for (const [name, stamp] of parsed.marks.raised) {
        assert.isString(name)
        stamps.push(stamp)
      }
    }
    for (const stamp of stamps) assert.isTrue(Number.isFinite(stamp), text)
  }

  it("text - is a notification of valid fields, or is ignored", { timeout: limit }, () =>
    holds(mutated(originals, ['"__proto__":', "[[]]", "1e999", '"NaN"', "null", '{"toString":0}'].map(utf8)), (bytes) =>
      checked(new TextDecoder().decode(bytes))
    )
  )

  it("JSON of any structure - is a notification of valid fields, or is ignored", { timeout: limit }, () => {
    const field = FastCheck.oneof(
      FastCheck.jsonValue(),
      FastCheck.array(FastCheck.oneof(FastCheck.jsonValue(), FastCheck.constantFrom("p:a", "1", "-1", "1e300"))),
      FastCheck.constantFrom("p:a", "1", "there", "-1")
    )
    const message = FastCheck.record(
      { n: FastCheck.oneof(FastCheck.constant("there"), field), k: field, u: field, f: field, l: field, m: field },
      { requiredKeys: ["n"] }
    )
    holds(FastCheck.oneof(message, FastCheck.jsonValue()), (value) => checked(JSON.stringify(value)))
  })
})
