import { deepStrictEqual } from "node:assert/strict"
import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as HashMap from "effect/HashMap"
import * as HashSet from "effect/HashSet"
import * as List from "effect/List"
import * as Option from "effect/Option"
import * as PrimaryKey from "effect/PrimaryKey"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { KeyError } from "../../src/CacheError.js"
import { compile } from "../../src/internal/keyTemplate.js"
import * as Key from "../../src/Key.js"

const key = (template: string, ...args: ReadonlyArray<unknown>): string => compile(template).key(args)

const keyError = (run: () => unknown): KeyError => {
  try {
    run()
  } catch (error) {
    assert.instanceOf(error, KeyError)
    return error
  }
  throw new Error("nothing was thrown")
}

/** Characters that make texts which could be mistaken for one another. */
const hostile = [":", "%", "{", "}", "/", "-", ".", "3", "A", "a", "u", "D", "8", " ", "\0", "\n", "\x7f", "\x85"]
const unusual = ["é", "·", "用", "\ud83d", "\ude00", "😀", "💩", "\uffff"]
const text = FastCheck.array(FastCheck.constantFrom(...hostile, ...unusual), { maxLength: 20 }).map((all) =>
  all.join("")
)
const shortText = FastCheck.array(FastCheck.constantFrom(...hostile, ...unusual), { maxLength: 2 }).map((all) =>
  all.join("")
)
const part: FastCheck.Arbitrary<Key.KeyPart> = FastCheck.oneof(
  text,
  shortText,
  FastCheck.fullUnicodeString(),
  FastCheck.constantFrom("__proto__", "constructor", "toString", "", "%3A", "%25", "%uD83D"),
  FastCheck.double({ noNaN: true, noDefaultInfinity: true }),
  FastCheck.integer({ min: -3, max: 3 }),
  FastCheck.bigInt(),
  FastCheck.boolean()
)

/** A literal between two placeholders: as it is in a key, and as it is written in a template. */
const literal = FastCheck.tuple(
  FastCheck.constantFrom(":", "/", "-", "+", ".", "{", "}", " ", "\n", "·", "💩", "_", "|"),
  FastCheck.constantFrom("", "a", "%3A", ":", "{}", "42", "💩")
).map(([first, rest]) => first + rest)
const written = (literal: string): string => literal.replaceAll("{", "{{").replaceAll("}", "}}")

interface Shape {
  readonly template: string
  readonly literals: ReadonlyArray<string>
  readonly reads: ReadonlyArray<number>
}
const names = ["id", "user id", "__proto__", "é"]
const shape = (kind: "positional" | "named"): FastCheck.Arbitrary<Shape> =>
  FastCheck.tuple(
    FastCheck.constantFrom("", "user:", "a%{", "💩", "0"),
    FastCheck.array(FastCheck.tuple(FastCheck.nat(3), FastCheck.boolean(), literal), { minLength: 1, maxLength: 4 }),
    FastCheck.boolean()
  ).map(([before, placeholders, open]) => {
    let template = written(before)
    let next = 0
    const literals = [before]
    const reads: Array<number> = []
    placeholders.forEach(([index, explicit, literal], i) => {
      const after = open && i === placeholders.length - 1 ? "" : literal
      reads.push(kind === "named" || explicit ? index : next++)
      template += `{${kind === "named" ? names[index] : explicit ? index : ""}}${written(after)}`
      literals.push(after)
    })
    return { template, literals, reads }
  })
const argsOf = (kind: "positional" | "named", values: ReadonlyArray<Key.KeyPart>): ReadonlyArray<unknown> =>
  kind === "positional"
    ? values
    : [Object.defineProperties({}, Object.fromEntries(names.map((name, i) => [[name], { value: values[i] }])))]

/** Takes a key apart again. A key that can be taken apart in one way only is injective. */
const takeApart = (shape: Shape, key: string): ReadonlyArray<string> => {
  const points = Array.from(key)
  const expect = (literal: string) => {
    for (const point of literal) assert.strictEqual(points.shift(), point)
  }
  expect(shape.literals[0]!)
  return shape.reads.map((_, i) => {
    const [end] = shape.literals[i + 1]!
    let value = ""
    while (points.length > 0 && points[0] !== end) value += points.shift()
    expect(shape.literals[i + 1]!)
    assert.notMatch(value, /[\p{Cc}\p{Surrogate}:{}]/u)
    return value
      .split(/(%u[0-9A-F]{4}|(?:%[0-9A-F]{2})+)/)
      .map((piece) =>
        piece.startsWith("%u") ? String.fromCharCode(Number.parseInt(piece.slice(2), 16)) : decodeURIComponent(piece)
      )
      .join("")
  })
}
const textOf = (value: Key.KeyPart): string => String(value)

describe("Key", () => {
  describe("compile", () => {
    it("static text - is the key itself", () => {
      assert.strictEqual(compile("flags").static, "flags")
      assert.strictEqual(compile("").static, "")
      assert.strictEqual(key("flags"), "flags")
      assert.isUndefined(compile("user:{}").static)
    })

    it("placeholders - take arguments in order, by position or by name", () => {
      assert.strictEqual(key("user:{}", 42), "user:42")
      assert.strictEqual(key("user:{}/posts", 42), "user:42/posts")
      assert.strictEqual(key("{}:{}", "a", "b"), "a:b")
      assert.strictEqual(key("pair:{1}:{0}", "a", "b"), "pair:b:a")
      assert.strictEqual(key("{}:{0}:{}:{1}", "a", "b"), "a:a:b:b")
      assert.strictEqual(key("order:{userId}:{orderId}", { userId: 1, orderId: 2n }), "order:1:2")
      assert.strictEqual(key("{a}:{b}:{c}", { a: 1, b: 2, c: 3 }), "1:2:3")
      assert.strictEqual(key("{}:{}:{}:{}/{}", 1, 2, 3, 4, 5), "1:2:3:4/5")
    })

    it("placeholders - properties of a record may be inherited or computed", () => {
      class User {
        readonly first: string
        constructor(first: string) {
          this.first = first
        }
        get id(): string {
          return this.first
        }
      }
      assert.strictEqual(key("{id}", new User("a")), "a")
      assert.strictEqual(key("{id}", Object.assign(Object.create(null), { id: 1 })), "1")
    })

    it("literal braces - are doubled", () => {
      assert.strictEqual(compile("{{}}").static, "{}")
      assert.strictEqual(compile("a{{0}}b").static, "a{0}b")
      assert.strictEqual(key("{{{}}}", 1), "{1}")
      assert.strictEqual(key("{id}}}{{", { id: 1 }), "1}{")
    })

    it("values - common ones stay readable", () => {
      const uuid = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
      assert.strictEqual(key("user:{}:x", "ann.o'hara+test@example.com"), "user:ann.o'hara+test@example.com:x")
      assert.strictEqual(key("user:{}:x", uuid), `user:${uuid}:x`)
      assert.strictEqual(key("user:{}:x", "用户 é 😀 /path"), "user:用户 é 😀 /path:x")
      assert.strictEqual(key("user:{}", true), "user:true")
      assert.strictEqual(key("user:{}", -1.5e-9), "user:-1.5e-9")
    })

    it("values - -0 is 0", () => {
      assert.strictEqual(key("{}", -0), "0")
      assert.strictEqual(key("{}-x", -0), "0-x")
    })

    it("values - characters that could end them are escaped, as UTF-8", () => {
      assert.strictEqual(key("u:{}", "a:b%{c}"), "u:a%3Ab%25%7Bc%7D")
      assert.strictEqual(key("u:{}", "\0\n\x7f\x85"), "u:%00%0A%7F%C2%85")
      assert.strictEqual(key("u:{}", "\ud83d-\ude00😀"), "u:%uD83D-%uDE00😀")
      assert.strictEqual(key("u:{}/{}", "a/b", "a/b"), "u:a%2Fb/a/b")
      assert.strictEqual(key("{}·{}", "a·b", 1), "a%C2%B7b·1")
      assert.strictEqual(key("{}→{}", "a→b", 1), "a%E2%86%92b→1")
      assert.strictEqual(key("{}💩{}", "a💩😀b", 1), "a%F0%9F%92%A9😀b💩1")
      assert.strictEqual(key("{}-{}", -5, -5n), "%2D5--5")
      assert.strictEqual(key("{}.{}", 1.5, 1.5), "1%2E5.1.5")
      assert.strictEqual(key("{}+{}", 1e21, 1e21), "1e%2B21+1e+21")
    })

    it("values - long ones are escaped as short ones are", () => {
      const padding = "x".repeat(40)
      for (const [char, escaped] of [
        [":", "%3A"],
        ["/", "%2F"],
        ["\0", "%00"],
        ["\x9f", "%C2%9F"],
        ["\ud83d", "%uD83D"],
        ["😀", "😀"],
        ["·", "·"]
      ]) {
        assert.strictEqual(key("{}/{}", char, ""), `${escaped}/`)
        assert.strictEqual(key("{}/{}", padding + char, ""), `${padding}${escaped}/`)
      }
      assert.strictEqual(key("{}·{}", `${padding}·`, ""), `${padding}%C2%B7·`)
    })

    it("values - one of a megabyte is accepted", () => {
      assert.lengthOf(key("u:{}", "x".repeat(1_000_000)), 1_000_002)
      assert.lengthOf(key("u:{}", ":".repeat(100_000)), 300_002)
    })

    it("injective - arguments that look alike when joined have different keys", () => {
      assert.notStrictEqual(key("{}:{}", "a:b", "c"), key("{}:{}", "a", "b:c"))
      assert.notStrictEqual(key("{}/{}", "a", "bc"), key("{}/{}", "ab", "c"))
      assert.notStrictEqual(key("{}", "%3A"), key("{}", ":"))
      assert.notStrictEqual(key("{}", "\ud83d"), key("{}", "\ud83e"))
      assert.notStrictEqual(key("{}", "%uD83D"), key("{}", "\ud83d"))
    })

    for (const kind of ["positional", "named"] as const) {
      const four = FastCheck.tuple(part, part, part, part)

      it.prop(
        `injective - a key can be taken apart again, ${kind}`,
        [shape(kind), four],
        ([shape, values]) => {
          const made = compile(shape.template).key(argsOf(kind, values))
          deepStrictEqual(
            takeApart(shape, made),
            shape.reads.map((i) => textOf(values[i]!))
          )
        },
        { fastCheck: { numRuns: 2000 } }
      )

      const few = FastCheck.tuple(shortText, shortText, shortText, shortText)
      it.prop(
        `injective - keys are equal if and only if the arguments are, ${kind}`,
        [shape(kind), few, few],
        ([shape, a, b]) => {
          const { key } = compile(shape.template)
          assert.strictEqual(
            key(argsOf(kind, a)) === key(argsOf(kind, b)),
            shape.reads.every((i) => a[i] === b[i])
          )
        },
        { fastCheck: { numRuns: 2000 } }
      )
    }

    it("unsuitable values - are KeyErrors that name the template and the placeholder", () => {
      const hint = ": use a key function that says what that means"
      const kinds = ", not a string, number, bigint or boolean: use a key function, or Key.hash"
      const bad: ReadonlyArray<readonly [string, ReadonlyArray<unknown>, string]> = [
        ["u:{}", [], `{} (number 1) is missing, or undefined${hint}`],
        ["u:{}:{}", [1], `{} (number 2) is missing, or undefined${hint}`],
        ["u:{3}", [1, 2, 3], `{3} is missing, or undefined${hint}`],
        ["u:{}", [undefined], `{} (number 1) is missing, or undefined${hint}`],
        ["u:{}", [null], "{} (number 1) is null: use a key function that says what that means"],
        ["u:{}", [Number.NaN], "{} (number 1) is NaN: a number in a key must be finite"],
        ["u:{}", [-Infinity], "{} (number 1) is -Infinity: a number in a key must be finite"],
        ["u:{}", [{ secret: 1 }], `{} (number 1) is an object${kinds}`],
        ["u:{}", [[1]], `{} (number 1) is an array${kinds}`],
        ["u:{}", [new Date(0)], `{} (number 1) is an object${kinds}`],
        ["u:{}", [new String("a")], `{} (number 1) is an object${kinds}`],
        ["u:{}", [Symbol("a")], `{} (number 1) is a symbol${kinds}`],
        ["u:{}", [() => 1], `{} (number 1) is a function${kinds}`],
        ["u:{id}", [{}], `{id} is missing, or undefined${hint}`],
        ["u:{constructor}", [{}], `{constructor} is a function${kinds}`],
        ["u:{toString}", [{}], `{toString} is a function${kinds}`],
        ["u:{__proto__}", [{}], `{__proto__} is an object${kinds}`],
        ["u:{__proto__}", [Object.create(null)], `{__proto__} is missing, or undefined${hint}`],
        ["u:{length}", ["abc"], "{length} names a property, but the first argument is not a record"],
        ["u:{length}", [() => 1], "{length} names a property, but the first argument is not a record"],
        ["u:{id}", [null], "{id} names a property, but the first argument is not a record"],
        ["u:{id}", [], "{id} names a property, but the first argument is not a record"]
      ]
      for (const [template, args, detail] of bad) {
        const error = keyError(() => key(template, ...args))
        assert.strictEqual(error.template, template)
        assert.strictEqual(error.detail, detail)
        assert.include(error.message, template)
      }
    })

    it("unsuitable values - the error of a getter is the cause of the KeyError", () => {
      const cause = new Error("no")
      const error = keyError(() =>
        key("u:{id}", {
          get id() {
            throw cause
          }
        })
      )
      assert.strictEqual(error.cause, cause)
      assert.include(error.message, "{id} could not be read")
    })

    it("malformed templates - are KeyErrors that say what to write", () => {
      for (const [template, detail] of [
        ["u:{", "never closed"],
        ["u:{id", "{id is never closed"],
        ["u:{a{b}", "{a{b is never closed"],
        ["u:}", "a lone }"],
        ["u:{}}", "a lone }"],
        ["{{}", "a lone }"],
        ["{}{}", "{} (number 1) and {} are adjacent"],
        ["{a}{b}", "{a} and {b} are adjacent"],
        ["{0}{a}:", "{0} and {a} are adjacent"],
        ["{}a", "{} (number 1) is followed by a"],
        ["{id}Z:", "{id} is followed by Z"],
        ["{}é", "{} (number 1) is followed by é"],
        ["{}:{}7", "{} (number 2) is followed by 7"],
        ["{0}%", "{0} is followed by %"],
        ["u:\ud83d", "half of a surrogate pair"],
        ["u:\ud83d{}", "half of a surrogate pair"],
        ["u:{}\ude00", "half of a surrogate pair"]
      ] as const) {
        const error = keyError(() => compile(template))
        assert.strictEqual(error.template, template)
        assert.include(error.detail, detail)
      }
    })
  })

  describe("PrimaryKey", () => {
    const request = (text: () => unknown) => ({ id: 7, [PrimaryKey.symbol]: text })

    it("a value with a primary key - stands for that text, escaped", () => {
      assert.strictEqual(
        key(
          "user:{}",
          request(() => "a:b")
        ),
        "user:a%3Ab"
      )
      assert.strictEqual(
        key(
          "user:{id}:{0}",
          request(() => "a")
        ),
        "user:7:a"
      )
      assert.strictEqual(Key.part(request(() => "a#") as PrimaryKey.PrimaryKey), "a%23")
    })

    it("a primary key that throws, or is no text - is a KeyError", () => {
      const thrown = keyError(() =>
        key(
          "user:{}",
          request(() => {
            throw new Error("no key")
          })
        )
      )
      assert.include(thrown.detail, "the primary key of {} (number 1) could not be read")
      assert.include(
        keyError(() =>
          key(
            "user:{}",
            request(() => 1)
          )
        ).detail,
        "is an object"
      )
    })
  })

  describe("part", () => {
    it.prop("a value - is encoded as a template does", [part], ([value]) => {
      assert.strictEqual(compile(`total:${Key.part(value)}`).static, key("total:{}", value))
    })

    it("an unsuitable value - is a KeyError", () => {
      assert.throws(() => Key.part(Number.NaN), /the value is NaN/)
    })
  })

  describe("hash", () => {
    const bytes = (...parts: ReadonlyArray<string | ReadonlyArray<number>>): string =>
      createHash("sha256")
        .update(Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from(part)))))
        .digest()
        .subarray(0, 16)
        .toString("base64url")

    it("form - 128 bits of SHA-256 over tags, lengths and contents", () => {
      assert.strictEqual(Key.hash(undefined), bytes("u"))
      assert.strictEqual(Key.hash("aé"), bytes("s", [0, 0, 0, 2, 0, 0x61, 0, 0xe9]))
      assert.strictEqual(
        Key.hash({ b: [1], a: true }),
        bytes(
          "r",
          [0, 0, 0, 2],
          "s",
          [0, 0, 0, 1, 0, 0x61],
          "t",
          "s",
          [0, 0, 0, 1, 0, 0x62],
          "a",
          [0, 0, 0, 1],
          "n",
          [0x3f, 0xf0, 0, 0, 0, 0, 0, 0]
        )
      )
      assert.match(Key.hash({}), /^[\w-]{22}$/)
    })

    it("form - is the same in every release", () => {
      const value = {
        text: "é😀\ud83d",
        numbers: [0, -1.5, Number.NaN, Infinity, 12345678901234567890n, -1n],
        nothing: [null, undefined],
        flags: [true, false],
        date: new Date(0),
        bytes: Uint8Array.of(1, 2, 255),
        map: new Map<unknown, unknown>([
          ["b", 1],
          ["a", new Set([2, 1])]
        ]),
        option: [Option.some(1), Option.none()]
      }
      assert.strictEqual(Key.hash(value), "bHBrLNZP7zVJOuPMfPRecA")
    })

    it("equal - the order of keys and members, the sign of zero, a prototype and Buffer do not count", () => {
      const same = (a: unknown, b: unknown) => assert.strictEqual(Key.hash(a), Key.hash(b))
      same({ a: 1, b: 2 }, { b: 2, a: 1 })
      same({ a: 1 }, Object.assign(Object.create(null), { a: 1 }))
      same(0, -0)
      same(
        new Map([
          ["a", 1],
          ["b", 2]
        ]),
        new Map([
          ["b", 2],
          ["a", 1]
        ])
      )
      same(new Set(["a", [1], "bb"]), new Set(["bb", "a", [1]]))
      same(Buffer.from([1, 2]), Uint8Array.of(1, 2))
      same(Uint8Array.of(9, 1, 2, 9).subarray(1, 3), Uint8Array.of(1, 2))
      const shared = [1]
      same([shared, shared], [[1], [1]])
    })

    it("distinct - different values have different hashes", () => {
      const values: ReadonlyArray<unknown> = [
        undefined,
        null,
        true,
        false,
        0,
        1,
        Number.NaN,
        Infinity,
        -Infinity,
        1n,
        -1n,
        "",
        "1",
        "true",
        "null",
        "\ud83d",
        "\ude00",
        "\ufffd",
        "😀",
        [],
        [undefined],
        [null],
        [[]],
        ["a", "bc"],
        ["ab", "c"],
        ["abc"],
        [1, 2],
        [2, 1],
        {},
        { a: undefined },
        { a: null },
        { a: 1 },
        { a: "1" },
        { a: { b: 1 } },
        { a: 1, b: 1 },
        JSON.parse('{"__proto__":1}'),
        { constructor: 1 },
        { toString: 1 },
        new Date(0),
        new Date(1),
        new Date(Number.NaN),
        new Map(),
        new Map([["a", 1]]),
        new Map([[["a", 1], undefined]]),
        new Set(),
        new Set(["a"]),
        new Set([["a", 1]]),
        Uint8Array.of(),
        Uint8Array.of(0),
        Uint8Array.of(0, 0),
        Option.none(),
        Option.some(undefined),
        Option.some(Option.none()),
        { _tag: "None" },
        { _tag: "Some", value: undefined }
      ]
      assert.lengthOf(Array.from(new Set(values.map(Key.hash))), values.length)
    })

    const { value } = FastCheck.letrec((tie) => ({
      value: FastCheck.oneof(
        { maxDepth: 3, withCrossShrink: true },
        FastCheck.constantFrom<unknown>(undefined, null, true, 0, 1, 2, Number.NaN, 1n, "", "a", "b", "\ud83d", "1"),
        FastCheck.constantFrom(0, 1).map((time) => new Date(time)),
        FastCheck.uint8Array({ maxLength: 2, max: 1 }),
        FastCheck.array(tie("value"), { maxLength: 3 }),
        FastCheck.dictionary(FastCheck.constantFrom("a", "b", "__proto__"), tie("value"), { noNullPrototype: false }),
        FastCheck.array(tie("value"), { maxLength: 2 }).map((members) => new Set(members)),
        FastCheck.array(FastCheck.tuple(tie("value"), tie("value")), { maxLength: 2 }).map((all) => new Map(all)),
        tie("value").map(Option.some)
      )
    }))
    /** Compares two values without hashing them. */
    const plain = (value: unknown): unknown => {
      if (typeof value === "bigint") return ["bigint", String(value)]
      if (value instanceof Date) return ["date", value.getTime()]
      if (value instanceof Uint8Array) return ["bytes", ...value]
      if (Array.isArray(value)) return ["array", ...value.map(plain)]
      if (Option.isOption(value)) return ["option", ...Option.toArray(value).map(plain)]
      if (value instanceof Set) return ["set", ...Array.from(value, (one) => JSON.stringify(plain(one))).sort()]
      if (value instanceof Map) return ["map", ...Array.from(value, (one) => JSON.stringify(one.map(plain))).sort()]
      if (typeof value !== "object" || value === null) {
        return [typeof value, typeof value === "string" ? value : String(value)]
      }
      return [
        "record",
        ...Object.keys(value)
          .sort()
          .map((key) => [key, plain((value as any)[key])])
      ]
    }
    it.prop(
      "injective - hashes are equal if and only if the values are",
      [value, value],
      ([a, b]) => {
        assert.strictEqual(Key.hash(a) === Key.hash(b), JSON.stringify(plain(a)) === JSON.stringify(plain(b)))
      },
      { fastCheck: { numRuns: 3000 } }
    )

    describe("Effect's structural values", () => {
      class Point extends Data.Class<{ readonly x: unknown; readonly y: unknown }> {}
      class Pair extends Schema.Class<Pair>("Pair")({ x: Schema.Unknown, y: Schema.Unknown }) {}
      const leaf = FastCheck.constantFrom<unknown>(undefined, null, true, 0, 1, 1n, "", "a", "x")
      const zones = FastCheck.constantFrom<DateTime.TimeZone>(
        DateTime.zoneMakeOffset(0),
        DateTime.zoneMakeOffset(3_600_000),
        DateTime.zoneUnsafeMakeNamed("Europe/Berlin")
      )
      const time = FastCheck.constantFrom(0, 1)
      const { structural } = FastCheck.letrec((tie) => ({
        structural: FastCheck.oneof(
          { maxDepth: 3, withCrossShrink: true },
          leaf,
          FastCheck.constantFrom<Duration.DurationInput>(0, 1, 0.5, 500_000n, "1 millis", Infinity).map((input) =>
            Duration.decode(input)
          ),
          FastCheck.constantFrom("1", "1.0", "10e-1", "0.1", "0", "0.00", "-1").map(BigDecimal.unsafeFromString),
          time.map((millis) => DateTime.unsafeMake(millis)),
          FastCheck.tuple(time, zones).map(([millis, timeZone]) => DateTime.unsafeMakeZoned(millis, { timeZone })),
          FastCheck.dictionary(FastCheck.constantFrom("a", "b", "_tag"), tie("structural")).map(Data.struct),
          FastCheck.array(tie("structural"), { maxLength: 2 }).map(Data.array),
          FastCheck.array(tie("structural"), { maxLength: 2 }).map(Chunk.fromIterable),
          FastCheck.array(tie("structural"), { maxLength: 2 }).map(HashSet.fromIterable),
          FastCheck.array(FastCheck.tuple(tie("structural"), tie("structural")), { maxLength: 2 }).map(
            HashMap.fromIterable
          ),
          FastCheck.tuple(tie("structural"), tie("structural")).map(([x, y]) => new Point({ x, y })),
          FastCheck.tuple(tie("structural"), tie("structural")).map(([x, y]) => new Pair({ x, y })),
          tie("structural").map(Option.some),
          tie("structural").map(Either.right),
          tie("structural").map(Either.left)
        )
      }))

      it.prop(
        "hashes are equal if and only if `Equal.equals` says so, before and after",
        [structural, structural],
        ([a, b]) => {
          const before = [Key.hash(a), Key.hash(b)]
          const isEqual = Equal.equals(a, b)
          // Effect remembers the hashes of values that it compared
          deepStrictEqual([Key.hash(a), Key.hash(b)], before)
          assert.strictEqual(before[0] === before[1], isEqual)
        },
        { fastCheck: { numRuns: 3000 } }
      )

      it("classes - do not count, as for `Equal.equals`", () => {
        const same = (a: unknown, b: unknown) => assert.strictEqual(Key.hash(a), Key.hash(b))
        same(new Point({ x: 1, y: "a" }), new Pair({ x: 1, y: "a" }))
        same(new Point({ x: 1, y: "a" }), Data.struct({ y: "a", x: 1 }))
        same(HashMap.make(["a", 1], ["b", 2]), HashMap.make(["b", 2], ["a", 1]))
        // `Duration.equals` takes these as equal, although `Equal.equals` does not
        same(Duration.millis(1), Duration.nanos(1_000_000n))
        same(BigDecimal.unsafeFromString("1.5"), BigDecimal.unsafeFromString("1.500"))
        const { A } = Data.taggedEnum<{ readonly _tag: "A"; readonly n: number } | { readonly _tag: "B" }>()
        same(A({ n: 1 }), Data.struct({ _tag: "A", n: 1 }))
      })

      it("distinct - from plain data and from one another", () => {
        const values: ReadonlyArray<unknown> = [
          { x: 1 },
          Data.struct({ x: 1 }),
          [1],
          Data.tuple(1),
          Chunk.of(1),
          new Set([1]),
          HashSet.make(1),
          new Map([[1, 1]]),
          HashMap.make([1, 1]),
          1,
          1_000_000n,
          Duration.millis(1),
          BigDecimal.unsafeFromNumber(1),
          BigDecimal.unsafeFromNumber(10),
          new Date(1),
          DateTime.unsafeMake(1),
          DateTime.unsafeMakeZoned(1, { timeZone: 0 }),
          DateTime.unsafeMakeZoned(1, { timeZone: "UTC" }),
          Option.some(1),
          Either.right(1),
          Either.left(1)
        ]
        assert.lengthOf(Array.from(new Set(values.map(Key.hash))), values.length)
      })

      it("form - is the same in every release", () => {
        const value = [
          Data.struct({ a: Data.array([1]) }),
          Chunk.make(1, "a"),
          [Duration.millis(1.5), Duration.infinity],
          [DateTime.unsafeMake(0), DateTime.unsafeMakeZoned(0, { timeZone: "Europe/Berlin" })],
          BigDecimal.unsafeFromString("-1.50"),
          HashMap.make(["a", HashSet.make(1, 2)]),
          [Either.right(1), Either.left("no")]
        ]
        assert.strictEqual(Key.hash(value), "dbsSA4XNiz3-eyJBt-eEdg")
      })

      it("refused - Redacted, and values that Effect compares by reference", () => {
        const detailOf = (value: unknown) => keyError(() => Key.hash(value)).detail
        assert.include(detailOf({ token: Redacted.make("secret") }), "$.token is Redacted: a secret must not")
        for (const value of [Exit.succeed(1), List.of(1), Effect.succeed(1), new URL("https://example.org")]) {
          assert.include(detailOf([value]), "$[0] is an instance of a class")
        }
      })
    })

    it("refused - values that cannot be compared faithfully, with the path to them", () => {
      class User {
        readonly id = 1
      }
      const cycle: Record<string, unknown> = { a: {} }
      ;(cycle as any).a.b = [cycle]
      const revoked = Proxy.revocable({}, {})
      revoked.revoke()
      const refused: ReadonlyArray<readonly [unknown, string]> = [
        [() => 1, "$ is a function"],
        [{ a: [1, Symbol("x")] }, "$.a[1] is a symbol"],
        [{ "a b": new User() }, "$[…] is an instance of a class"],
        [new (class Empty {})(), "$ is an instance of a class"],
        [new (class extends Map {})(), "$ is an instance of a class"],
        [new (class extends Array {})(), "$ is an instance of a class"],
        [Object.assign(new Date(0), { extra: 1 }), "$ is an instance of a class"],
        [[new Error("x")], "$[0] is an instance of a class"],
        [[new WeakMap()], "$[0] is an instance of a class"],
        [[/x/], "$[0] is an instance of a class"],
        [[Promise.resolve(1)], "$[0] is an instance of a class"],
        [cycle, "$.a.b[0] contains itself"],
        [new Map([["k", new Set([() => 1])]]), "$<value 0><0> is a function"],
        [new Map([[() => 1, 1]]), "$<key 0> is a function"],
        [Option.some(() => 1), "$.value is a function"],
        // biome-ignore lint/suspicious/noSparseArray: the hole is under test
        [[1, , 2], "$[1] is a hole"],
        [Object.assign([1], { extra: 1 }), "$ is an array with extra properties"],
        [Object.assign(new Uint8Array([1]), { tenant: 1 }), "$ has properties besides its elements"],
        [Object.assign(Buffer.from([1]), { [Symbol("tenant")]: 1 }), "$ has properties besides its elements"],
        ["a".match(/a/), "$ is an array with extra properties"],
        [{ [Symbol("x")]: 1 }, "$ has a symbol as a key"],
        [
          {
            get a() {
              return 1
            }
          },
          "$.a is an accessor"
        ],
        [Object.defineProperty({}, "a", { value: 1 }), "$.a is not enumerable"],
        [{ a: revoked.proxy }, "$.a could not be read"]
      ]
      for (const [value, detail] of refused) {
        const error = keyError(() => Key.hash(value))
        assert.strictEqual(error.detail, detail)
        assert.strictEqual(error.template, "Key.hash")
      }
    })

    it("bounds - 256 levels and 64 MiB", () => {
      const nested = (depth: number): unknown => {
        let value: unknown = []
        for (let i = 1; i < depth; i++) value = [value]
        return value
      }
      assert.lengthOf(Key.hash(nested(256)), 22)
      assert.include(keyError(() => Key.hash(nested(257))).detail, "is more than 256 deep")
      assert.include(keyError(() => Key.hash(nested(100_000))).detail, "is more than 256 deep")
      let doubled: unknown = "x".repeat(1000)
      for (let i = 0; i < 100; i++) doubled = [doubled, doubled]
      assert.include(keyError(() => Key.hash(doubled)).detail, "is too large to hash")
    })
  })
})
