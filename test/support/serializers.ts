/**
 * Helpers of the tests of serializers: a comparison that is stricter than the assertions of the test framework, and awkward
 * values.
 */
import { deepStrictEqual } from "node:assert/strict"
import { types } from "node:util"
import { assert } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Hash from "effect/Hash"
import * as HashMap from "effect/HashMap"
import * as HashSet from "effect/HashSet"
import type { Serializer } from "../../src/Serializer.js"

export const utf8 = (text: string) => new TextEncoder().encode(text)

/** Encodes and decodes a value. */
export const trip = (value: unknown, serializer: Serializer): unknown =>
  Either.getOrThrow(serializer.decode(Either.getOrThrow(serializer.encode(value))))

/** What an object is, whatever its prototype. */
const typeOf = (object: object): string => {
  const found = Object.entries(types).find(
    ([name, is]) => name !== "isProxy" && name !== "isExternal" && (is as (value: object) => boolean)(object)
  )
  return Array.isArray(object) ? "isArray" : (found?.[0] ?? "object")
}

/** The content of values of Effect whose properties depend on how they were made. */
const contentOf = (value: object): ReadonlyArray<unknown> | undefined => {
  if (Chunk.isChunk(value)) return Chunk.toReadonlyArray(value)
  if (HashMap.isHashMap(value)) return HashMap.toEntries(value)
  if (HashSet.isHashSet(value)) return HashSet.toValues(value)
  if (DateTime.isDateTime(value)) return [DateTime.toEpochMillis(value), String(value)]
  if (BigDecimal.isBigDecimal(value)) return [value.value, value.scale]
  return undefined
}

/**
 * Fails unless two values are the same by `Object.is`, or have the same types, prototypes, keys, order of keys, and
 * elements in the same order, all of them enumerable in both or in neither. An invalid Date equals another one. An object
 * that occurs again must occur again in the same place.
 */
export const same = (actual: unknown, expected: unknown, path = "$", met = new Map<unknown, unknown>()): void => {
  if (Object.is(actual, expected)) return
  if (typeof actual !== "object" || actual === null || typeof expected !== "object" || expected === null) {
    return assert.fail(`${path}: ${typeof actual} is not ${typeof expected}`)
  }
  if (met.get(expected) === actual) return
  met.set(expected, actual)
  const prototype: unknown = Object.getPrototypeOf(actual)
  assert.strictEqual(prototype, Object.getPrototypeOf(expected), path)
  if (!types.isProxy(expected)) assert.strictEqual(typeOf(actual), typeOf(expected), path)
  const content = contentOf(actual)
  if (content !== undefined) return same(content, contentOf(expected), path, met)
  if (actual instanceof Date) same(actual.getTime(), (expected as Date).getTime(), `${path}.getTime()`)
  if (actual instanceof RegExp || actual instanceof URL) same(String(actual), String(expected), path)
  if (actual instanceof ArrayBuffer) same(new Uint8Array(actual), new Uint8Array(expected as ArrayBuffer), path)
  if (actual instanceof DataView) deepStrictEqual(bytesOf(actual), bytesOf(expected as DataView), path)
  if (actual instanceof Map || actual instanceof Set) {
    same([...actual], [...(expected as Set<unknown>)], path, met)
  }
  const keys = keysOf(actual)
  deepStrictEqual(keys, keysOf(expected), path)
  for (const key of keys) {
    const [at, before] = [actual, expected].map((each) => Object.getOwnPropertyDescriptor(each, key))
    assert.strictEqual(at?.enumerable, before?.enumerable, `${path}.${String(key)}`)
    // of a proxy, only what it returns is its value
    if (!types.isProxy(expected)) assert.isUndefined(before?.get ?? before?.set, `${path}.${String(key)}`)
    same(Reflect.get(actual, key), Reflect.get(expected, key), `${path}.${String(key)}`, met)
  }
}

/** The keys of an object, without the symbol under which Effect remembers its hash. */
const keysOf = (object: object) => Reflect.ownKeys(object).filter((key) => key !== Hash.symbol)

const bytesOf = (view: DataView) => [...new Uint8Array(view.buffer, view.byteOffset, view.byteLength)]

/** Why a serializer refused, without the cause. */
export const refusal = (answer: Either.Either<unknown, { reason: string; path: string; detail: string }>) => {
  if (Either.isRight(answer)) return assert.fail("was not refused")
  const { reason, path, detail } = answer.left
  return { reason, path, detail }
}

/** Fails unless the value is refused at this path with a message that contains `detail`. */
export const refuses = (serializer: Serializer, value: unknown, path: string, detail: string): void => {
  const answer = refusal(serializer.encode(value))
  assert.strictEqual(answer.reason, "Encode")
  assert.strictEqual(answer.path, path)
  assert.include(answer.detail, detail)
}

/** Fails unless the bytes are refused with a message that contains `detail`. */
export const garbage = (serializer: Serializer, bytes: Uint8Array, detail: string): void => {
  const answer = refusal(serializer.decode(bytes))
  assert.strictEqual(answer.reason, "Decode")
  assert.include(answer.detail, detail)
}

/** Law 7 (every value comes back equal, or is not stored). */
export const equalOrRefused = (serializer: Serializer, value: unknown): void => {
  const bytes = serializer.encode(value)
  if (Either.isRight(bytes)) same(Either.getOrThrow(serializer.decode(bytes.right)), value)
}

/** Arbitrary bytes, truncated bytes and bytes with one change are decoded or refused: nothing is thrown. */
export const answersGarbage = (serializer: Serializer, values: FastCheck.Arbitrary<unknown>): void => {
  const answers = (bytes: Uint8Array) => assert.isTrue(Either.isEither(serializer.decode(bytes)))
  FastCheck.assert(FastCheck.property(FastCheck.uint8Array({ maxLength: 64 }), answers), { numRuns: 2000 })
  FastCheck.assert(
    FastCheck.property(values, FastCheck.nat(), FastCheck.nat(255), (value, at, byte) => {
      const bytes = serializer.encode(value)
      if (Either.isLeft(bytes)) return
      answers(bytes.right.subarray(0, at % (bytes.right.length + 1)))
      bytes.right[at % bytes.right.length] = byte
      answers(bytes.right)
    }),
    { numRuns: 2000 }
  )
}

export const nested = (depth: number, inner: unknown, wrap: (value: unknown) => unknown) => {
  for (let i = 0; i < depth; i++) inner = wrap(inner)
  return inner
}

export const own = (key: string, value: unknown): object =>
  Object.defineProperty({}, key, { value, enumerable: true, configurable: true, writable: true })

export const bare = (entries: object): object => Object.assign(Object.create(null), entries)

const key = FastCheck.oneof(
  FastCheck.string(),
  FastCheck.constantFrom("$", "__proto__", "toJSON", "constructor", "hasOwnProperty", "0", "then", "length")
)

/** Any value that a function may return. */
export const anything: FastCheck.Arbitrary<unknown> = FastCheck.anything({
  key,
  withBigInt: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
  withBoxedValues: true,
  values: [
    FastCheck.constantFrom<unknown>(undefined, null, 0, -0, Number.NaN, Number.POSITIVE_INFINITY, 5e-324, "$", ""),
    FastCheck.boolean(),
    FastCheck.integer(),
    FastCheck.maxSafeInteger(),
    FastCheck.double(),
    FastCheck.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
    FastCheck.fullUnicodeString(),
    FastCheck.string16bits(),
    FastCheck.date({ noInvalidDate: false }),
    FastCheck.uint8Array()
  ]
})

/** Values that every serializer can carry: records, arrays, strings and numbers. */
export const plain: FastCheck.Arbitrary<unknown> = FastCheck.anything({
  key: key.filter((name) => name !== "toJSON" && !name.startsWith("\ufeff")),
  values: [
    FastCheck.constant(null),
    FastCheck.boolean(),
    FastCheck.integer(),
    FastCheck.double().filter((n) => !Object.is(n, -0)),
    FastCheck.fullUnicodeString().filter((text) => !text.startsWith("\ufeff"))
  ]
}).filter((value) => value !== undefined)

export class User {
  readonly name = "Ada"
}

/** Values that every serializer refuses without a schema, and the message. */
export const foreign: ReadonlyArray<readonly [value: unknown, detail: string]> = [
  [new User(), "is an instance of User: give the function a schema"],
  [new Error("x"), "is an instance of Error"],
  [new RangeError("x"), "is an instance of RangeError"],
  [() => 1, "is a function"],
  [Symbol("x"), "is a symbol"],
  [Promise.resolve(1), "is an instance of Promise"],
  [new WeakMap(), "is an instance of WeakMap"],
  [new Number(1), "is an instance of Number"],
  [new String("x"), "is an instance of String"],
  [Object(1n), "is an instance of BigInt"],
  [new URL("http://localhost"), "is an instance of URL"],
  [Either.right(1), "has a prototype of its own"],
  [Object.create({ a: 1 }), "has a prototype of its own"],
  [new (class Users extends Array {})(), "is an instance of Users"],
  [new (class Users extends Map {})(), "is an instance of Users"],
  [new (class Day extends Date {})(), "is an instance of Day"],
  [{ [Symbol("x")]: 1 }, "has a symbol for a key"],
  [Object.assign([1], { extra: 1 }), "is an array with properties of its own"],
  [Object.assign(new Array(1), { extra: 1 }), "is an array with holes"],
  [new Array(4_000_000_000), "brings the value above 2097152 elements"],
  // biome-ignore lint/suspicious/noSparseArray: the test needs a hole
  [[1, , 3], "is an array with holes"],
  [Object.assign(new Date(0), { extra: 1 }), "has properties of its own"],
  [Object.assign(new Uint8Array(2), { extra: 1 }), "has properties of its own"],
  [Object.defineProperty(new Uint8Array(2), "hidden", { value: 1 }), "has properties of its own"],
  [Object.assign(new Uint8Array(2_000), { [Symbol("x")]: 1 }), "has properties of its own"]
]

/** A value with one more property, which is not enumerable unless the descriptor says so. */
const withProperty = <A extends object>(value: A, key: PropertyKey, descriptor: PropertyDescriptor): A =>
  Object.defineProperty(value, key, descriptor)

/** A value whose prototype was replaced by the one of records. */
const asRecord = (value: object): object => Object.setPrototypeOf(value, Object.prototype)

const replaced = "has another prototype than it was made with"

/**
 * Values with content in places where a serializer does not look for what it writes: the path and the message with which
 * every serializer refuses them.
 */
export const hidden: ReadonlyArray<readonly [name: string, value: unknown, path: string, detail: string]> = [
  ["a hidden property", withProperty({}, "b", { value: 1 }), "$.b", "is a property that is not enumerable"],
  ["a hidden property next to others", withProperty({ a: 1 }, "b", { value: 1 }), "$.b", "is not enumerable"],
  [
    "a hidden property of an array",
    withProperty([1], "b", { value: 1 }),
    "$",
    "is an array with properties of its own"
  ],
  [
    "a hidden item",
    withProperty([1, 2], 1, { enumerable: false }),
    "$",
    "is an array with an item that is not enumerable"
  ],
  [
    "a hidden item of many",
    withProperty(Array.from({ length: 100 }), 7, { enumerable: false }),
    "$",
    "is an array with an item that is not enumerable"
  ],
  [
    "a hidden item next to an extra property",
    withProperty(Object.assign([1, 2], { b: 1 }), 1, { enumerable: false }),
    "$",
    "is an array with an item that is not enumerable"
  ],
  ["a getter for an item", withProperty([1, 2], 1, { get: () => 2 }), "$", "is an array with an accessor for an item"],
  ["a setter for an item", withProperty([1, 2], 1, { set() {} }), "$", "is an array with an accessor for an item"],
  [
    "the strings of a template",
    ((strings: TemplateStringsArray, _: number) => strings)`a${1}b`,
    "$",
    "with properties of its own"
  ],
  [
    "the strings of a long template",
    withProperty(
      Array.from({ length: 100 }, () => "a"),
      "raw",
      { value: [] }
    ),
    "$",
    "with properties of its own"
  ],
  ["a match", "xabcx".match(/b(c)/), "$", "is an array with properties of its own"],
  ["a Map as a record", asRecord(new Map([[1, 2]])), "$", replaced],
  ["a Set as a record", asRecord(new Set([1])), "$", replaced],
  ["a Date as a record", asRecord(new Date(5)), "$", replaced],
  ["a Date with properties as a record", asRecord(Object.assign(new Date(5), { a: 1 })), "$", replaced],
  ["a boxed number as a record", asRecord(new Number(5)), "$", replaced],
  ["a boxed number with properties as a record", asRecord(Object.assign(new Number(5), { a: 1 })), "$", replaced],
  ["a boxed boolean as a record", asRecord(new Boolean(true)), "$", replaced],
  ["a boxed string as a record", asRecord(new String("ab")), "$", replaced],
  ["a boxed bigint as a record", asRecord(Object(1n)), "$", replaced],
  ["a boxed symbol as a record", asRecord(Object(Symbol("s"))), "$", replaced],
  ["a Uint8Array as a record", asRecord(new Uint8Array(3)), "$", replaced],
  ["an empty Float64Array as a record", asRecord(new Float64Array()), "$", replaced],
  ["an ArrayBuffer as a record", asRecord(new ArrayBuffer(3)), "$", replaced],
  ["a Promise as a record", asRecord(Promise.resolve(1)), "$", replaced],
  ["a WeakMap as a record", asRecord(new WeakMap()), "$", replaced],
  ["a RegExp as a record", asRecord(/x/), "$", replaced],
  ["an error as a record", asRecord(new Error("x")), "$", replaced],
  ["an array as a record", asRecord([1, 2]), "$", replaced],
  [
    "a Float64Array as a Uint8Array",
    Object.setPrototypeOf(new Float64Array(1), Uint8Array.prototype),
    "$",
    "is an instance"
  ],
  [
    "a DataView as a Uint8Array",
    Object.setPrototypeOf(new DataView(new ArrayBuffer(1)), Uint8Array.prototype),
    "$",
    "is an"
  ]
]

/** Values of other types than their prototypes promise, and what answers differently each time. */
export const liars: ReadonlyArray<unknown> = [
  new Proxy({ a: 1 }, { get: () => 2 }),
  new Proxy({ a: 1 }, { get: () => new Date(0) }),
  new Proxy({}, { get: () => () => 1 }),
  new Proxy({ a: 1 }, { getOwnPropertyDescriptor: () => ({ value: 2, enumerable: true, configurable: true }) }),
  new Proxy(Uint8Array.of(1), { get: (bytes, key) => Reflect.get(bytes, key) }),
  Object.setPrototypeOf(new Set([1]), Map.prototype),
  Object.setPrototypeOf(new Map(), Date.prototype),
  Object.setPrototypeOf([1], Uint8Array.prototype),
  Object.setPrototypeOf(new Map([[1, 2]]), null),
  Object.create(Array.prototype),
  Object.create(Uint8Array.prototype)
]

/** Fails unless a serializer refuses hidden content wherever it is, and and every liar. */
export const refusesHidden = (serializer: Serializer): void => {
  for (const [name, value, path, detail] of hidden) {
    const { path: at, detail: why } = refusal(serializer.encode({ list: [1, value] }))
    assert.strictEqual(at, `$.list[1]${path.slice(1)}`, name)
    assert.include(why, detail, name)
    assert.include(refusal(serializer.encode(value)).detail, detail, name)
  }
  for (const value of liars) assert.strictEqual(refusal(serializer.encode([value])).reason, "Encode")
}

/** A value with a getter, which a serializer must not run. */
export const accessor = () => {
  let runs = 0
  const value = {
    get a() {
      runs++
      return 1
    }
  }
  return { value, runs: () => runs }
}
