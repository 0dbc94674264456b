import { deepStrictEqual } from "node:assert/strict"
import { readFileSync } from "node:fs"
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { timestampFromMs } from "@bufbuild/protobuf/wkt"
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { protobuf } from "../../src/ProtobufSerializer.js"
import { ArticleSchema, NewerArticleSchema, Unit } from "../support/proto/catalog_pb.js"
import {
  answersGarbage,
  anything,
  foreign,
  garbage,
  nested,
  own,
  refusal,
  refuses,
  trip,
  utf8
} from "../support/serializers.js"

type Init = MessageInitShape<typeof ArticleSchema>

const serializer = protobuf(ArticleSchema)
const article = (init: Init) => create(ArticleSchema, init)
const returns = (init: Init) => deepStrictEqual(trip(article(init), serializer), article(init))

const tea = article({
  id: -42,
  name: "Tee é 漢 😀",
  price: 0.1,
  weight: 0.5,
  sold: -(2n ** 63n),
  serial: 2n ** 64n - 1n,
  listed: true,
  picture: Uint8Array.of(0, 255),
  unit: Unit.GRAM,
  tags: ["a", ""],
  prices: [Number.NaN, Number.NEGATIVE_INFINITY, -0, 0],
  variants: { green: { id: 1 }, "": { parts: [{ id: 2 }] } },
  rebates: { 10: 0.5, [-1]: 1 },
  note: "",
  added: timestampFromMs(1_700_000_000_123),
  place: { case: "box", value: 0 }
})

const text = FastCheck.fullUnicodeString()
const values: FastCheck.Arbitrary<Init> = FastCheck.record(
  {
    id: FastCheck.integer(),
    name: text,
    price: FastCheck.double(),
    weight: FastCheck.float(),
    sold: FastCheck.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    serial: FastCheck.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    listed: FastCheck.boolean(),
    picture: FastCheck.uint8Array(),
    unit: FastCheck.constantFrom(Unit.PIECE, Unit.GRAM, Unit.UNSPECIFIED),
    tags: FastCheck.array(text),
    prices: FastCheck.array(FastCheck.double()),
    rebates: FastCheck.dictionary(FastCheck.integer().map(String), FastCheck.double()),
    variants: FastCheck.dictionary(text, FastCheck.record({ id: FastCheck.integer() })),
    note: text,
    place: FastCheck.oneof(
      FastCheck.record({ case: FastCheck.constant("shelf" as const), value: text }),
      FastCheck.record({ case: FastCheck.constant("box" as const), value: FastCheck.integer() })
    )
  },
  { requiredKeys: [] }
)

describe("ProtobufSerializer", () => {
  describe("protobuf", () => {
    it("round trip - any message comes back equal, or is refused", () => {
      let refused = 0
      FastCheck.assert(
        FastCheck.property(values, (init) => {
          const message = article(init)
          const bytes = serializer.encode(message)
          if (Either.isLeft(bytes)) refused++
          else deepStrictEqual(Either.getOrThrow(serializer.decode(bytes.right)), message)
        }),
        { numRuns: 1000 }
      )
      assert.isBelow(refused, 300)
    })

    it("round trip - every kind of field, and no field", () => {
      deepStrictEqual(trip(tea, serializer), tea)
      returns({})
      returns({ place: { case: "shelf", value: "" } })
    })

    it("golden - the bytes of version 1 are read, and written identically", () => {
      const hex = readFileSync(new URL("../golden/protobuf-v1.hex", import.meta.url), "utf8").trim()
      deepStrictEqual(Either.getOrThrow(serializer.decode(Uint8Array.from(Buffer.from(hex, "hex")))), tea)
      assert.strictEqual(Buffer.from(Either.getOrThrow(serializer.encode(tea))).toString("hex"), hex)
    })

    it("bytes - are those of the library; the value keeps no view of them", () => {
      const bytes = Either.getOrThrow(serializer.encode(tea))
      deepStrictEqual(bytes, toBinary(ArticleSchema, tea))
      const back = Either.getOrThrow(serializer.decode(bytes))
      bytes.fill(0)
      deepStrictEqual(back, tea)
    })

    it("unknown fields - those of a newer version are kept, and written again", () => {
      const newer = create(NewerArticleSchema, { id: 1, name: "tea", brand: "new" })
      const old = Either.getOrThrow(serializer.decode(Either.getOrThrow(protobuf(NewerArticleSchema).encode(newer))))
      deepStrictEqual((old as typeof tea).name, "tea")
      const again = Either.getOrThrow(serializer.encode(old))
      deepStrictEqual(Either.getOrThrow(protobuf(NewerArticleSchema).decode(again)), newer)
    })

    it("refusal - of values that are not messages of the type", () => {
      const no = "is not a message of type catalog.Article"
      for (const value of [undefined, null, 1, "x", {}, [], { id: 1 }, create(NewerArticleSchema), new Map()]) {
        refuses(serializer, value, "$", no)
      }
      for (const [value] of foreign) refuses(serializer, value, "$", no)
      FastCheck.assert(FastCheck.property(anything, (value) => refusal(serializer.encode(value)) !== undefined))
    })

    it("refusal - names the path of a value that would come back changed", () => {
      const message = (init: object) => Object.assign(article({ id: 1 }), init)
      for (const [init, path, detail] of [
        [{ weight: 0.1 }, "$.weight", "would come back as 0.10000000149011612"],
        [{ name: "a\ud800" }, "$.name", "would come back as another string"],
        [{ extra: 1 }, "$.extra", "would come back as undefined"],
        [{ picture: Buffer.from("x") }, "$.picture", "would come back with another prototype"],
        [{ parts: [article({ weight: 0.1 })] }, "$.parts[0].weight", "would come back as 0.1"],
        [{ variants: { a: message({ extra: 1 }) } }, "$.variants.a.extra", "would come back as undefined"],
        [{ variants: own("__proto__", article({})) }, "$.variants", ""]
      ] as const) {
        const answer = refusal(serializer.encode(message(init)))
        assert.include(answer.path, path)
        assert.include(answer.detail, detail)
      }
    })

    it("refusal - of values that a field cannot hold", () => {
      for (const init of [
        { id: 0.5 },
        { id: 2 ** 31 },
        { id: "1" },
        { id: null },
        { serial: -1n },
        { sold: 2n ** 63n },
        { name: 1 },
        { tags: [1] },
        { tags: "a" },
        { picture: [1] },
        { place: { case: "roof", value: 1 } },
        { added: new Date(0) },
        { parts: [1] }
      ]) {
        assert.strictEqual(
          refusal(serializer.encode(Object.assign(article({ id: 1 }), init))).reason,
          "Encode",
          Object.keys(init)[0]
        )
      }
    })

    it("depth - 100 levels are accepted, one more is refused in both directions", () => {
      const deep = (depth: number) =>
        nested(depth - 1, article({ id: 1 }), (part) => article({ parts: [part as typeof tea] }))
      deepStrictEqual(trip(deep(100), serializer), deep(100))
      assert.include(refusal(serializer.encode(deep(101))).detail, "maximum recursion depth of 100 reached")
      garbage(serializer, toBinary(ArticleSchema, deep(101) as typeof tea), "maximum recursion depth of 100 reached")
      // unknown groups, nested a million deep
      garbage(serializer, new Uint8Array(1_000_000).fill(0x7b), "")
      const cycle = article({ id: 1 })
      cycle.parts.push(cycle)
      assert.strictEqual(refusal(serializer.encode(cycle)).reason, "Encode")
    })

    it("garbage - arbitrary, foreign, truncated and mutated bytes never throw", () => {
      garbage(serializer, utf8('{"id":1}'), "")
      garbage(serializer, Uint8Array.of(0xff), "")
      garbage(serializer, Uint8Array.of(0x12, 0xff, 0xff, 0xff, 0xff, 0x07), "")
      garbage(serializer, Uint8Array.of(0x12, 2, 0xff, 0xfe), "")
      const bytes = Either.getOrThrow(serializer.encode(tea))
      for (let i = 0; i < bytes.length; i++) assert.isTrue(Either.isEither(serializer.decode(bytes.subarray(0, i))))
      answersGarbage(
        serializer,
        values.map((init) => article(init))
      )
    })

    it("name - contains the type", () => {
      assert.strictEqual(serializer.name, "protobuf(catalog.Article)")
    })
  })
})
