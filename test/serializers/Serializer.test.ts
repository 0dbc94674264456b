import { deepStrictEqual } from "node:assert/strict"
import { readFileSync } from "node:fs"
import { runInNewContext } from "node:vm"
import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as FiberId from "effect/FiberId"
import * as Hash from "effect/Hash"
import * as HashMap from "effect/HashMap"
import * as HashSet from "effect/HashSet"
import * as List from "effect/List"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { msgpack } from "../../src/MsgpackSerializer.js"
import { v8 } from "../../src/NodeSerializer.js"
import * as Serializer from "../../src/Serializer.js"
import * as Helpers from "../support/serializers.js"

const { json, lossless } = Serializer
const { bare, nested, own, refusal, same, User, utf8 } = Helpers

const textOf = (serializer: Serializer.Serializer, value: unknown) =>
  new TextDecoder().decode(Either.getOrThrow(serializer.encode(value)))

const trip = (value: unknown, serializer = lossless): unknown => Helpers.trip(value, serializer)
const returns = (value: unknown) => same(trip(value), value)

const refuses = (value: unknown, path: string, detail: string) => Helpers.refuses(lossless, value, path, detail)
const garbage = (bytes: Uint8Array | string, path: string, detail: string, serializer = lossless) =>
  deepStrictEqual(refusal(serializer.decode(typeof bytes === "string" ? utf8(bytes) : bytes)), {
    reason: "Decode",
    path,
    detail
  })

/** The values of test/golden/lossless-v1.json, by name. */
const golden: Record<string, unknown> = {
  null: null,
  true: true,
  zero: 0,
  "a number": -12.5e-7,
  "an empty text": "",
  "a text": 'quote " backslash \\ line \n é 漢 😀 \u2028',
  "a lone surrogate": "\ud800",
  "an empty array": [],
  "an empty record": {},
  "a record": { id: 42, name: "Ada", tags: ["a", "b"], address: { zip: null } },
  undefined: undefined,
  "undefined inside": { a: undefined, b: [undefined] },
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
  "-0": -0,
  bigint: 9_007_199_254_740_993n,
  "a negative bigint": -1n,
  Date: new Date(1_700_000_000_123),
  "an invalid Date": new Date(Number.NaN),
  Map: new Map<unknown, unknown>([
    ["a", 1],
    [{ k: 1 }, new Date(0)]
  ]),
  Set: new Set<unknown>([1, "1", undefined]),
  Uint8Array: Uint8Array.of(0, 1, 2, 250, 255),
  "Option.none": Option.none(),
  "Option.some": Option.some(Option.some({ a: 1 })),
  "a record like an escape": { $: ["Date", 0] },
  "a record with more than a $": { $: ["Date", 0], a: 1 },
  "a record without a prototype": bare({ a: 1, b: undefined }),
  "an own __proto__": own("__proto__", { a: 1 })
}

const value = FastCheck.letrec((tie) => ({
  any: FastCheck.oneof(
    { maxDepth: 4 },
    FastCheck.anything({
      key: FastCheck.oneof(
        FastCheck.string(),
        FastCheck.constantFrom("$", "__proto__", "toJSON", "constructor", "hasOwnProperty", "0", "then")
      ),
      withBigInt: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
      withSet: true,
      values: [
        FastCheck.constantFrom<unknown>(undefined, null, 0, -0, Number.NaN, Number.POSITIVE_INFINITY, 5e-324, "$", ""),
        FastCheck.boolean(),
        FastCheck.integer(),
        FastCheck.double(),
        FastCheck.fullUnicodeString(),
        FastCheck.string16bits(),
        FastCheck.date({ noInvalidDate: false }),
        FastCheck.uint8Array(),
        FastCheck.constant(Option.none())
      ]
    }),
    tie("any").map((inner) => Option.some(inner)),
    tie("any").map((inner) => ({ $: inner })),
    FastCheck.array(tie("any"), { maxLength: 3 }).map((items) => ["Date", ...items]),
    FastCheck.array(FastCheck.tuple(tie("any"), tie("any")), { maxLength: 3 }).map((items) => new Map(items))
  )
})).any

describe("Serializer", () => {
  describe("lossless", () => {
    it("round trip - any value that it encodes comes back equal", () => {
      FastCheck.assert(
        FastCheck.property(value, (value) => {
          const bytes = Either.getOrThrow(lossless.encode(value))
          const back = Either.getOrThrow(lossless.decode(bytes))
          same(back, value)
          deepStrictEqual(lossless.encode(back), Either.right(bytes))
        }),
        { numRuns: 1000 }
      )
    })

    it("round trip - the encoded value is not changed", () => {
      const given = Object.freeze({ a: Object.freeze([undefined, -0]), d: new Date(0), m: new Map([[1n, undefined]]) })
      returns(given)
      same(given, { a: [undefined, -0], d: new Date(0), m: new Map([[1n, undefined]]) })
    })

    it("golden - values are written as version 1 wrote them, and the bytes of version 1 are read", () => {
      const texts: Record<string, string> = JSON.parse(
        readFileSync(new URL("../golden/lossless-v1.json", import.meta.url), "utf8")
      )
      assert.sameMembers(Object.keys(texts), Object.keys(golden))
      for (const [name, text] of Object.entries(texts)) {
        assert.strictEqual(textOf(lossless, golden[name]), text, name)
        same(Either.getOrThrow(lossless.decode(utf8(text))), golden[name], name)
      }
    })

    it("plain - a value of JSON is written as JSON.stringify writes it", () => {
      const plain = { id: 1, tags: ["a", null], nested: { ok: true, $: 1 }, $: 2 }
      assert.strictEqual(textOf(lossless, plain), JSON.stringify(plain))
    })

    it("escapes - records that look like an escape come back equal, at any depth", () => {
      for (const content of [["undefined"], ["Date", 0], ["object", "$", 1], ["unknown"], [], 1, null, undefined]) {
        returns({ $: content })
        returns(nested(5, content, ($) => ({ $ })))
        returns([{ $: content, and: 1 }, new Map([[{ $: content }, bare({ $: content })]])])
      }
    })

    it("keys - an own __proto__ is a key in records of every kind, and sets no prototype", () => {
      for (const inner of [{ polluted: true }, undefined, new Date(0)]) {
        returns(own("__proto__", inner))
        returns({ a: own("__proto__", inner), b: -0 })
        returns(Object.assign(own("__proto__", inner), { z: undefined }))
        const record = Object.create(null)
        Object.defineProperty(record, "__proto__", {
          value: inner,
          enumerable: true,
          writable: true,
          configurable: true
        })
        returns(record)
      }
      for (const text of [
        '{"__proto__":{"polluted":1}}',
        '{"a":{"$":["undefined"]},"__proto__":{"polluted":{"$":["None"]}}}',
        '{"$":["object","__proto__",{"polluted":1}]}',
        '{"$":["null-object","__proto__",{"polluted":1}]}'
      ]) {
        Either.getOrThrow(lossless.decode(utf8(text)))
        assert.isUndefined(({} as Record<string, unknown>).polluted)
      }
    })

    it("options - an Option that has been hashed is the same value", () => {
      const some = Option.some({ a: 1 })
      Hash.hash(some)
      deepStrictEqual(trip(some), Option.some({ a: 1 }))
    })

    it("bytes - a Uint8Array comes back as a plain copy, whatever bytes it was read from", () => {
      for (let length = 0; length < 70; length++)
        returns(Uint8Array.from({ length }, (_, i) => (i * 37 + length) % 256))
      const text = Buffer.from(Either.getOrThrow(lossless.encode({ b: Uint8Array.of(1, 2), c: "é" })))
      const back = Either.getOrThrow(lossless.decode(text)) as { b: Uint8Array }
      assert.strictEqual(Object.getPrototypeOf(back.b), Uint8Array.prototype)
      text.fill(0)
      deepStrictEqual([...back.b], [1, 2])
    })

    describe("Effect's data types", () => {
      const of = {
        Right: Either.right(1n),
        Left: Either.left(undefined),
        Success: Exit.succeed(new Date(0)),
        Fail: Exit.fail(Data.struct({ _tag: "NotFound", id: 1 })),
        Die: Exit.die("bug"),
        Interrupt: Exit.interrupt(FiberId.composite(FiberId.runtime(1, 2), FiberId.none)),
        Causes: Exit.failCause(
          Cause.parallel(Cause.fail("a"), Cause.sequential(Cause.die("b"), Cause.parallel(Cause.empty, Cause.fail(1))))
        ),
        "an empty Chunk": Chunk.empty(),
        Chunk: Chunk.appendAll(Chunk.make<[unknown, unknown]>(1, undefined), Chunk.of(Option.none())),
        "an empty List": List.empty(),
        List: List.make(1, "2"),
        Duration: Data.tuple(Duration.zero, Duration.millis(5), Duration.nanos(1n), Duration.infinity),
        DateTime: DateTime.unsafeMake(1_700_000_000_123),
        "DateTime.Zoned": Data.tuple(
          DateTime.unsafeMakeZoned(0, { timeZone: "Europe/Berlin" }),
          DateTime.unsafeMakeZoned(0, { timeZone: -3_600_000 })
        ),
        BigDecimal: Data.tuple(BigDecimal.unsafeFromString("-12.50"), BigDecimal.make(5n, -3)),
        HashMap: HashMap.make([Data.struct({ id: 1 }), HashSet.make(1)], [Data.struct({ id: 2 }), HashSet.empty()]),
        HashSet: HashSet.make(1, "1", Data.tuple(1)),
        "Data.struct": Data.struct({ a: Data.struct({}), $: Data.array(["None"]) }),
        "Data.struct with an own __proto__": Data.struct(own("__proto__", 1) as {}),
        "Data.array": Data.array([1, undefined]),
        "Data.tuple": Data.tuple("a", 1n),
        "a tagged enum": Data.taggedEnum<{ readonly _tag: "A"; readonly n: number }>().A({ n: 1 }),
        URL: new URL("https://user@example.org:8080/a?b#c")
      }
      for (const [name, value] of Object.entries(of)) {
        it(`${name} - comes back equal, before and after Effect has hashed it`, () => {
          const [back] = (trip({ nested: [value] }) as { nested: [object] }).nested
          assert.isTrue(Equal.equals(back, value))
          assert.strictEqual(Object.getPrototypeOf(back), Object.getPrototypeOf(value))
          Hash.hash(value)
          assert.isTrue(Equal.equals(trip(value), value))
        })
      }

      it("look-alikes - a plain value that is written like one of them comes back as the plain value", () => {
        for (const value of Object.values(of)) {
          const written = JSON.parse(textOf(lossless, value))
          returns(written)
          returns({ $: written })
        }
      })

      it("form - is the same in every release", () => {
        const form = (value: unknown, text: string) => assert.strictEqual(textOf(lossless, value), text)
        form(Either.right({ a: 1n }), '{"$":["Right",{"a":{"$":["bigint","1"]}}]}')
        form(
          Exit.fail({ _tag: "NotFound", id: 1 }),
          '{"$":["Failure",{"$":["Cause","Fail",{"_tag":"NotFound","id":1}]}]}'
        )
        form(List.make(1, [2]), '{"$":["List",1,[2]]}')
        form(Duration.nanos(1n), '{"$":["Duration",{"$":["bigint","1"]}]}')
        form(of["DateTime.Zoned"][0], '{"$":["DateTime",0,"Europe/Berlin"]}')
        form(of.BigDecimal[0], '{"$":["BigDecimal",{"$":["bigint","-1250"]},2]}')
        form(of["a tagged enum"], '{"$":["Data.struct","n",1,"_tag","A"]}')
        form(Data.tuple("a"), '{"$":["Data.array","a"]}')
        form(HashMap.make(["a", 1]), '{"$":["HashMap","a",1]}')
      })
    })

    it("refusal - names the path and a remedy", () => {
      const needs = "give the function a schema"
      refuses({ user: { avatar: [0, 1, 2, new User()] } }, "$.user.avatar[3]", `is an instance of User: ${needs}`)
      refuses(new User(), "$", "is an instance of User")
      refuses({ "a b": { "": Symbol("x") } }, "$[…][…]", `is a symbol: ${needs}`)
      refuses(new Map([["k", new Map([[/x/, 1]])]]), "$.values()[0].keys()[0]", "is an instance of RegExp")
      refuses({ s: new Set([1, () => 1]) }, "$.s.values()[1]", "is a function")
      refuses(Option.some(new Error("x")), "$.value", "is an instance of Error")
      refuses(bare({ u: new URLSearchParams() }), "$.u", "is an instance of URLSearchParams")
      refuses({ $: new WeakMap() }, "$.$", "is an instance of WeakMap")
      refuses([Buffer.from("x")], "$[0]", "is an instance of Buffer: give the function a schema, or copy it")
      refuses(Float64Array.of(1), "$", "is an instance of Float64Array")
      refuses(new ArrayBuffer(1), "$", "is an instance of ArrayBuffer")
      refuses(new Number(1), "$", "is an instance of Number")
      refuses(new String("x"), "$", "is an instance of String")
      refuses(Object(1n), "$", "is an instance of BigInt")
      refuses(Promise.resolve(1), "$", "is an instance of Promise")
      refuses(Either.right(new User()), "$.right", "is an instance of User")
      refuses(Exit.fail({ at: new Error("x") }), "$.cause.error.at", "is an instance of Error")
      refuses(HashMap.make(["a", [/x/]]), "$[1][0]", "is an instance of RegExp")
      refuses(Data.struct({ a: Data.tuple(1, () => 1) }), "$.a[1]", "is a function")
      refuses(new (class Point extends Data.Class<{ readonly x: number }> {})({ x: 1 }), "$", "is an instance of Point")
      refuses({ token: Redacted.make("s3cret") }, "$.token", "is Redacted: a secret is never stored")
      refuses(Object.create({ a: 1 }), "$", "has a prototype of its own")
      refuses(runInNewContext("({ a: 1 })"), "$", "has a prototype of its own")
      refuses(new (class Users extends Array {})(), "$", "is an instance of Users")
      refuses(new (class Users extends Map {})(), "$", "is an instance of Users")
      refuses({ date: new (class Day extends Date {})() }, "$.date", "is an instance of Day")
    })

    it("refusal - of properties that JSON would drop or call silently", () => {
      refuses({ a: { [Symbol("x")]: 1 } }, "$.a", "has a symbol for a key")
      refuses({ a: { toJSON: () => 1 } }, "$.a.toJSON", "is a function")
      refuses(Object.assign([1], { extra: 1 }), "$", "is an array with properties of its own")
      refuses(Object.assign([1], { [Symbol("x")]: 1 }), "$", "is an array with properties of its own")
      refuses("ab".match(/b/), "$", "is an array with properties of its own")
      // biome-ignore lint/suspicious/noSparseArray: the hole is the case under test
      refuses({ list: [1, , 3] }, "$.list", "is an array with holes")
      refuses(Object.assign(new Array(1), { extra: 1 }), "$", "is an array with holes")
      for (const length of [2, 20]) {
        const sparse = Object.assign(new Array(length).fill(1, 1), { extra: 1 })
        const filling = new Proxy(sparse, { get: (of, key) => (key === "0" ? 1 : Reflect.get(of, key)) })
        for (const serializer of [Serializer.lossless, msgpack, v8]) {
          Helpers.refuses(serializer, filling, "$", "is an array with holes")
        }
      }
      refuses(Object.assign(new Date(0), { extra: 1 }), "$", "has properties of its own")
      refuses(Object.assign(new Map(), { extra: 1 }), "$", "has properties of its own")
      refuses(Object.assign(new Set(), { extra: 1 }), "$", "has properties of its own")
      refuses(Object.assign(Option.some(1), { extra: 1 }), "$", "is an Option with properties of its own")
      refuses(2n ** 20_000n, "$", "is a bigint beyond")
      returns(2n ** 16_384n - 1n)
      returns(-(2n ** 16_384n))
    })

    it("refusal - of content that is not enumerable, or that the prototype of a value hides", () => {
      Helpers.refusesHidden(lossless)
      same(trip(new Proxy({ a: [new Proxy([undefined], {})] }, {})), { a: [[undefined]] })
      const invents = { get: (of: object, key: PropertyKey) => (key === "toJSON" ? () => 1 : Reflect.get(of, key)) }
      refuses({ a: new Proxy([1], invents) }, "$.a", "is a proxy that has toJSON")
      refuses({ a: new Proxy({ b: 1 }, invents) }, "$.a", "is a proxy that has toJSON")
      refuses(Object.setPrototypeOf(new Map([[1, 2]]), null), "$", "has another prototype than it was made with")
      refuses(Object.setPrototypeOf(new Number(5), null), "$", "has another prototype than it was made with")
    })

    it("refusal - of properties that Effect does not give its values", () => {
      const more = "has more than Effect gives a value of its type"
      const make: ReadonlyArray<() => object> = [
        () => Either.right(1),
        () => Either.left(1),
        () => Exit.succeed(1),
        () => Exit.fail(1),
        () => Chunk.make(1, 2),
        () => Chunk.appendAll(Chunk.make(1, 2), Chunk.make(3)),
        () => List.make(1, 2),
        () => HashMap.make(["a", 1]),
        () => HashSet.make(1),
        () => Duration.millis(5),
        () => Duration.nanos(5n),
        () => DateTime.unsafeMake(0),
        () => DateTime.unsafeMakeZoned(0, { timeZone: "Europe/Berlin" }),
        () => BigDecimal.unsafeFromString("1.5"),
        () => Cause.parallel(Cause.fail(1), Cause.die(2)),
        () => FiberId.runtime(1, 2),
        () => new URL("https://example.org")
      ]
      for (const value of make) {
        refuses([Object.assign(value(), { extra: 1 })], "$[0]", more)
        refuses([Object.defineProperty(value(), "hidden", { value: 1 })], "$[0]", more)
        refuses([Object.assign(value(), { [Symbol("s")]: 1 })], "$[0]", more)
        refuses([Object.create(value())], "$[0]", value() instanceof URL ? "is an instance of URL" : more)
      }
      refuses(
        Object.defineProperty(Option.some(1), "hidden", { value: 1 }),
        "$",
        "is an Option with properties of its own"
      )
      refuses(Object.assign(Data.array([1]), { extra: 1 }), "$", "is an array with properties of its own")
      refuses(Object.defineProperty(Data.array([1]), 0, { get: () => 1 }), "$", "is an array with holes or accessors")
      refuses(
        Object.defineProperty(Data.array([1]), 0, { enumerable: false }),
        "$",
        "is an array with holes or accessors"
      )
    })

    it("refusal - of an error that looks like an Exit", () => {
      class Failure extends Data.TaggedError("Failure")<{ readonly cause?: unknown }> {}
      class Success extends Data.TaggedError("Success")<{ readonly value: number }> {}
      refuses(new Failure({ cause: Cause.fail(1) }), "$", "is an instance of Failure")
      refuses(Either.left(new Failure({})), "$.left", "is an instance of Failure")
      refuses(new Success({ value: 1 }), "$", "is an instance of Success")
    })

    it("refusal - does not call an accessor", () => {
      let runs = 0
      const accessors = {
        get a() {
          runs++
          return 1
        }
      }
      refuses([accessors], "$[0].a", "is an accessor")
      refuses(Object.defineProperty({}, "b", { set() {}, enumerable: true }), "$.b", "is an accessor")
      assert.strictEqual(runs, 0)
    })

    it("refusal - names both ends of a cycle; a shared object is not a cycle", () => {
      const user: Record<string, unknown> = { name: "Ada" }
      user.friends = [{ of: user }]
      refuses({ user }, "$.user.friends[0].of", "refers back to $.user")
      const map = new Map<string, unknown>()
      map.set("self", map)
      refuses(map, "$.values()[0]", "refers back to $")
      const shared = { at: new Date(0) }
      returns([shared, { again: shared }, new Map([[shared, shared]])])
    })

    it("depth - 512 levels of any kind are accepted, one more is refused in both directions", () => {
      const wraps: Array<(value: unknown) => unknown> = [
        (value) => [value],
        (value) => ({ value }),
        (value) => ({ $: value }),
        (value) => new Map([[value, 1]]),
        (value) => new Set([value]),
        (value) => Option.some(value),
        (value) => bare({ value })
      ]
      for (const wrap of wraps) {
        for (const leaf of [1, undefined, Option.none()]) {
          returns(nested(512, leaf, wrap))
          const refused = refusal(lossless.encode(nested(513, leaf, wrap)))
          assert.strictEqual(refused.detail, "is nested deeper than 512")
          assert.isBelow(refused.path.length, 300)
        }
      }
      for (const [open, inner, close] of [
        ["[", "1", "]"],
        ['{"a":', "1", "}"],
        ["[", '{"$":["None"]}', "]"],
        ['{"$":["Some",', "1", "]}"]
      ] as const) {
        assert.isTrue(Either.isRight(lossless.decode(utf8(open.repeat(512) + inner + close.repeat(512)))))
        for (const depth of [513, 100_000]) {
          const refused = refusal(lossless.decode(utf8(open.repeat(depth) + inner + close.repeat(depth))))
          assert.strictEqual(refused.detail, "is nested deeper than 512")
        }
      }
      // brackets that are not nested
      returns(Array.from({ length: 2000 }, () => ({ text: "[[[[{{{{" })))
    })

    it("size - a shared object that makes an endless tree is refused in bounded time", () => {
      const refused = refusal(lossless.encode(nested(100, [1], (value) => [value, value])))
      assert.include(refused.detail, "brings the value above 2097152 elements")
    })

    it("safety - a value that throws while it is inspected is refused", () => {
      const { proxy, revoke } = Proxy.revocable({}, {})
      revoke()
      const hostile = new Proxy(
        {},
        {
          ownKeys: () => {
            throw "not an error"
          }
        }
      )
      for (const value of [
        proxy,
        hostile,
        Object.create(Map.prototype),
        Object.create(Date.prototype),
        Object.create(Uint8Array.prototype)
      ]) {
        assert.strictEqual(refusal(lossless.encode(value)).reason, "Encode")
        assert.strictEqual(refusal(lossless.encode([value])).reason, "Encode")
      }
    })

    it("garbage - bytes that are not UTF-8 or not JSON", () => {
      garbage(new Uint8Array(), "$", "is not JSON")
      garbage(Uint8Array.of(0xff, 0xfe), "$", "is not UTF-8")
      garbage(Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22), "$", "is not UTF-8")
      garbage("\ufeff1", "$", "is not JSON")
      garbage('{"a":', "$", "is not JSON")
      garbage('{"$":["Date",0]', "$", "is not JSON")
      // the decoder keeps nothing of the partial character before
      deepStrictEqual(lossless.decode(utf8('"é"')), Either.right("é"))
    })

    it("garbage - the refusal names an escape that is unknown or malformed", () => {
      garbage('{"a":[{"$":["RegExp","x"]}]}', "$.a[0]", "has an unknown escape")
      for (const content of ["1", "null", "{}", "[]", "[1]", "[null]", '{"$":1}']) {
        garbage(`{"$":${content}}`, "$", "is a malformed escape")
      }
      for (const [tag, ...contents] of [
        ["undefined", "1"],
        ["None", "1"],
        ["Some", "", "1,2"],
        ["number", "", "1", '"1"', '"NaN",1'],
        ["bigint", "", "1", '""', '"0x1"', '"-0"', '"01"', '"1.5"', '" 1"', `"1${"0".repeat(5000)}"`],
        ["Date", "", '"2020"', "0.5", "8640000000000001", "1e999", "0,0"],
        ["Uint8Array", "", "1", '"A"', '"A==="', '"é==="', '"AA=A"', '"AQI=",1'],
        ["Set", "1,1", '{"$":["number","-0"]},0'],
        ["Map", "1", '"a",1,"a",2'],
        ["Right", "", "1,2"],
        ["Success", ""],
        ["Failure", "1"],
        ["Cause", "", '"Other"', '"Interrupt",1', '"Parallel",1,2'],
        ["FiberId", "1", '"a","b"'],
        ["HashSet", "1,1"],
        ["HashMap", "1", '"a",1,"a",2'],
        ["Duration", "", "-1", '"1 second"'],
        ["DateTime", "", '"now"', "1e999", '0,"Nowhere/Else"', "0,true"],
        ["BigDecimal", "1,0", '{"$":["bigint","1"]},0.5'],
        ["URL", "", '"no url"'],
        ["Data.struct", '"a"', "1,2", '"a",1,"a",2'],
        ["object", '"a"'],
        ["null-object", '"a"']
      ] as const) {
        for (const content of contents) {
          garbage(`[{"$":["${tag}"${content === "" ? "" : ","}${content}]}]`, "$[0]", `is a malformed ${tag}`)
        }
      }
      for (const content of ["1,2", '"a",1,"a",2']) {
        garbage(`{"$":["object",${content}]}`, "$", "is a malformed escape")
      }
    })

    it("garbage - arbitrary, truncated and mutated bytes never throw", () => {
      const answers = (bytes: Uint8Array) => {
        for (const serializer of [lossless, json]) assert.isTrue(Either.isEither(serializer.decode(bytes)))
      }
      FastCheck.assert(FastCheck.property(FastCheck.uint8Array({ maxLength: 64 }), answers), { numRuns: 1000 })
      FastCheck.assert(
        FastCheck.property(value, FastCheck.nat(), FastCheck.nat(255), (value, at, byte) => {
          const bytes = Either.getOrThrow(lossless.encode(value))
          answers(bytes.subarray(0, at % (bytes.length + 1)))
          bytes[at % bytes.length] = byte
          answers(bytes)
        }),
        { numRuns: 1000 }
      )
    })

    it("garbage - escapes with arbitrary content never throw", () => {
      const tag = FastCheck.constantFrom(
        ...[
          "undefined",
          "None",
          "Some",
          "number",
          "bigint",
          "Date",
          "Uint8Array",
          "Map",
          "Set",
          "object",
          "null-object"
        ]
      )
      const content = FastCheck.letrec((tie) => ({
        any: FastCheck.oneof(
          { maxDepth: 4 },
          FastCheck.jsonValue(),
          FastCheck.constantFrom("NaN", "-1", "AQI=", "__proto__"),
          FastCheck.tuple(tag, FastCheck.array(tie("any"), { maxLength: 4 })).map(([tag, rest]) => ({
            $: [tag, ...rest]
          }))
        )
      })).any
      FastCheck.assert(
        FastCheck.property(content, (content) => {
          assert.isTrue(Either.isEither(lossless.decode(utf8(JSON.stringify(content)))))
        }),
        { numRuns: 1000 }
      )
    })
  })

  describe("json", () => {
    it("round trip - a value of JSON comes back equal", () => {
      FastCheck.assert(
        FastCheck.property(FastCheck.jsonValue(), (value) => {
          const text = JSON.stringify(value)
          assert.strictEqual(textOf(json, value), text)
          same(trip(value, json), JSON.parse(text))
        })
      )
    })

    it("changes - are exactly those of JSON.stringify", () => {
      const changed = { d: new Date(0), u: undefined, n: Number.NaN, z: -0, m: new Map([[1, 2]]), l: [undefined] }
      same(trip(changed, json), { d: "1970-01-01T00:00:00.000Z", n: null, z: 0, m: {}, l: [null] })
    })

    it("escapes - are not used", () => {
      same(trip({ $: ["Date", 0] }, json), { $: ["Date", 0] })
    })

    it("refusal - of values that JSON cannot represent", () => {
      const cycle: Array<unknown> = []
      cycle.push(cycle)
      for (const [value, detail] of [
        [undefined, "is undefined, which JSON cannot represent"],
        [() => 1, "is a function, which JSON cannot represent"],
        [Symbol("x"), "is a symbol, which JSON cannot represent"],
        [{ a: 1n }, "Do not know how to serialize a BigInt"],
        [cycle, "Converting circular structure to JSON"],
        [{ toJSON: () => assert.fail("its own fault") }, "threw AssertionError"]
      ] as const) {
        deepStrictEqual(refusal(json.encode(value)), { reason: "Encode", path: "$", detail })
      }
    })

    it("garbage - bytes that are not JSON, or nested too deeply", () => {
      garbage("nope", "$", "is not JSON", json)
      garbage(Uint8Array.of(0xc0), "$", "is not UTF-8", json)
      garbage("[".repeat(513) + "]".repeat(513), "$", "is nested deeper than 512", json)
      garbage('{"a":'.repeat(513).concat("1", "}".repeat(513)), "$", "is nested deeper than 512", json)
      assert.isTrue(Either.isRight(json.decode(utf8("[".repeat(512) + "]".repeat(512)))))
    })
  })

  describe("schema", () => {
    class Money extends Schema.Class<Money>("Money")({ amount: Schema.BigInt, at: Schema.Date }) {}
    const money = Serializer.schema(Money)
    const price = new Money({ amount: 12n, at: new Date(0) })

    it("round trip - instances come back as instances", () => {
      const back = trip(price, money)
      assert.instanceOf(back, Money)
      deepStrictEqual(back, price)
      assert.strictEqual(textOf(money, price), '{"amount":"12","at":"1970-01-01T00:00:00.000Z"}')
    })

    describe("an own __proto__", () => {
      const Id = Schema.Struct({ id: Schema.Number })
      const Open = Schema.Struct({ id: Schema.Number }, Schema.Record({ key: Schema.String, value: Schema.Unknown }))
      const Kept = Id.annotations({ parseOptions: { onExcessProperty: "preserve" } })
      class Bag extends Schema.Class<Bag>("Bag")({ all: Schema.Unknown }) {}
      const schemas = [Id, Open, Kept, Schema.Record({ key: Schema.String, value: Schema.Unknown }), Schema.Unknown]
      const detail = "is a key that a schema loses, or makes a prototype of: use another name for it"
      const nests: ReadonlyArray<readonly [path: string, (inner: object) => unknown]> = [
        ["$", (inner) => inner],
        ["$.a[1]", (inner) => ({ a: [0, inner] })],
        ["$.values()[0].b", (inner) => new Map([[1, { b: inner }]])],
        ["$.values()[1]", (inner) => new Set([1, inner])],
        ["$.value", (inner) => Option.some(inner)]
      ]
      const withProto = (inner: unknown): object => Object.assign(own("__proto__", inner), { id: 1 })

      it("when read - is a refusal before a schema sees it, at any depth", () => {
        for (const inner of [{ isAdmin: true }, 7, null, undefined]) {
          for (const [path, nest] of nests) {
            const bytes = Either.getOrThrow(lossless.encode(nest(withProto(inner))))
            for (const schema of [...schemas, Schema.Unknown, Bag]) {
              garbage(bytes, `${path}.__proto__`, detail, Serializer.schema(schema as typeof Schema.Unknown))
            }
          }
        }
        garbage('{"id":1,"__pro\\u0074o__":{"isAdmin":true}}', "$.__proto__", detail, Serializer.schema(Kept, json))
      })

      it("when written - is a refusal, also in an instance, and no accessor runs", () => {
        for (const [path, nest] of nests) {
          Helpers.refuses(Serializer.schema(Schema.Any), nest(withProto(1)), `${path}.__proto__`, detail)
        }
        for (const schema of schemas) {
          Helpers.refuses(Serializer.schema(schema as typeof Schema.Unknown), withProto(1), "$.__proto__", detail)
        }
        Helpers.refuses(Serializer.schema(Bag), new Bag({ all: withProto(1) }), "$.all.__proto__", detail)
        const { runs, value } = Helpers.accessor()
        const Other = Schema.Struct({ b: Schema.optional(Schema.Number) })
        assert.isTrue(Either.isRight(Serializer.schema(Other).encode(value)))
        assert.strictEqual(refusal(Serializer.schema(Schema.Unknown).encode(value)).path, "$.a")
        assert.strictEqual(runs(), 0)
      })

      it("when a schema makes one - is a refusal, because it could not be read", () => {
        const Renamed = Schema.transform(Schema.Unknown, Schema.String, {
          decode: () => "a",
          encode: () => own("__proto__", 1)
        })
        Helpers.refuses(Serializer.schema(Renamed), "a", "$.__proto__", detail)
      })

      it("search - cycles and values that refer to few objects many times end it", () => {
        const loop: Record<string, unknown> = {}
        loop.a = loop.b = [loop, loop]
        assert.strictEqual(Serializer.schema(Schema.Any).encode(loop)._tag, "Left")
        const tree = nested(100, {}, (value) => [value, value])
        assert.strictEqual(Serializer.schema(Schema.Any).encode(tree)._tag, "Left")
      })
    })

    it("round trip - any value of the schema comes back, with every inner serializer", () => {
      const Shape = Schema.Struct({
        tags: Schema.ReadonlySet(Schema.String),
        by: Schema.optional(Schema.ReadonlyMap({ key: Schema.Number, value: Schema.Option(Schema.BigIntFromSelf) }))
      })
      const big = Schema.Struct({ by: Schema.BigIntFromSelf })
      deepStrictEqual(trip({ by: 1n }, Serializer.schema(big)), { by: 1n })
      assert.strictEqual(refusal(Serializer.schema(big, json).encode({ by: 1n })).reason, "Encode")
      for (const value of [
        { tags: new Set<string>() },
        {
          tags: new Set(["a"]),
          by: new Map([
            [1, Option.some(1n)],
            [2, Option.none()]
          ])
        }
      ]) {
        deepStrictEqual(trip(value, Serializer.schema(Shape)), value)
      }
    })

    it("inner - is lossless by default", () => {
      assert.strictEqual(money.name, "schema(lossless)")
      assert.strictEqual(Serializer.schema(Money, json).name, "schema(json)")
      deepStrictEqual(trip(undefined, Serializer.schema(Schema.Undefined)), undefined)
    })

    it("refusal - of values that the schema does not describe, in both directions", () => {
      const out = refusal(money.encode({ amount: 12n }))
      assert.deepStrictEqual([out.reason, out.path], ["Encode", "$.at"])
      const into = refusal(money.decode(utf8('{"amount":"x"}')))
      assert.deepStrictEqual([into.reason, into.path], ["Decode", "$.amount"])
      assert.match(into.detail, /^expected .*bigint/i)
      assert.strictEqual(refusal(money.decode(utf8("no JSON"))).detail, "is not JSON")
    })

    it("options - are those of the schema: it decides on properties that it does not name", () => {
      const Shape = Schema.Struct({ a: Schema.Number })
      const keeps = Shape.annotations({ parseOptions: { onExcessProperty: "preserve" } })
      deepStrictEqual(trip({ a: 1, more: 2 }, Serializer.schema(Shape)), { a: 1 })
      deepStrictEqual(trip({ a: 1, more: 2 }, Serializer.schema(keeps)), { a: 1, more: 2 })
    })

    it("errors - a Schema.TaggedError comes back as one, also inside of an Either and an Exit", () => {
      class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.Number }) {}
      const error = new NotFound({ id: 1 })
      const back = trip(error, Serializer.schema(NotFound))
      assert.instanceOf(back, NotFound)
      assert.strictEqual(back.id, 1)
      const either = Serializer.schema(Schema.Either({ left: NotFound, right: Schema.Number }))
      assert.instanceOf(Either.getOrThrow(Either.flip(trip(Either.left(error), either) as any)), NotFound)
      const exit = Serializer.schema(Schema.Exit({ success: Schema.Number, failure: NotFound, defect: Schema.Defect }))
      assert.strictEqual(String(trip(Exit.fail(error), exit)), String(Exit.fail(error)))
    })

    it("safety - a schema that throws, or is not synchronous, is a refusal", () => {
      const throwing = Schema.transform(Schema.String, Schema.String, {
        decode: () => {
          throw new Error("no")
        },
        encode: () => {
          throw new Error("no")
        }
      })
      const later = Schema.transformOrFail(Schema.String, Schema.String, {
        decode: (text) => Effect.delay(Effect.succeed(text), "1 second"),
        encode: (text) => Effect.delay(Effect.succeed(text), "1 second")
      })
      for (const bad of [throwing, later]) {
        assert.strictEqual(refusal(Serializer.schema(bad).encode("a")).reason, "Encode")
        assert.strictEqual(refusal(Serializer.schema(bad).decode(utf8('"a"'))).reason, "Decode")
      }
    })
  })
})
