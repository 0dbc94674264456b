/**
 * Values inside of values. Some look like what a serializer writes, some have content where a serializer does not look
 * for it, and some are not what their prototype says.
 */
import * as BigDecimal from "effect/BigDecimal"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Hash from "effect/Hash"
import * as HashMap from "effect/HashMap"
import * as HashSet from "effect/HashSet"
import * as List from "effect/List"
import * as Option from "effect/Option"
import { anything } from "../support/serializers.js"

const { array, constant, constantFrom, nat, oneof, record, tuple } = FastCheck

/** Makes a value anew each time, because some of the values here are changed by those around them. */
const each = <A>(make: () => A): FastCheck.Arbitrary<A> => constant(undefined).map(make)

/** Changes a value, unless it does not allow the change. */
const attempt = (change: () => unknown): void => {
  try {
    change()
  } catch {
    // it stays as it is
  }
}

class Point {
  readonly x = 1
}

class Failure extends Data.TaggedError("Failure")<{ readonly cause: Cause.Cause<number> }> {}

const memory = [
  () => new ArrayBuffer(16),
  () => new SharedArrayBuffer(16),
  () => Reflect.construct(ArrayBuffer, [16, { maxByteLength: 32 }]) as ArrayBuffer
]
const viewTypes = [Uint8Array, Int16Array, Float64Array, BigInt64Array, DataView, Buffer] as const

const views = tuple(constantFrom(...memory), constantFrom(...viewTypes)).map(([make, type]): object =>
  type === Buffer ? Buffer.from(make()) : Reflect.construct(type, [make(), 8, 1])
)

/** Objects of the language that are neither records nor arrays. */
const builtIns = oneof(
  views,
  constantFrom(...memory).chain((make) => each<object>(make)),
  each(() => new Map([[1, 2]])),
  each(() => new Map()),
  each(() => new Set([1])),
  each(() => new Date(5)),
  each(() => Object(1)),
  each(() => Object(-0)),
  each(() => Object("ab")),
  each(() => Object("")),
  each(() => Object(true)),
  each(() => Object(1n)),
  each(() => Object(Symbol.iterator)),
  each(() => /x/g),
  each(() => new Error("x")),
  each(() => Promise.resolve(1)),
  each(() => new WeakMap()),
  each(() => new Point()),
  each(() => new Failure({ cause: Cause.fail(1) })),
  each(() => [1, 2]),
  each(() => new (class Items extends Array {})(2)),
  each((): object => () => 1)
)

const prototypes = constantFrom<object | null>(
  null,
  ...[Object, Array, Map, Set, Date, RegExp, Number, Uint8Array, Float64Array, Buffer, DataView, ArrayBuffer].map(
    (type) => type.prototype
  ),
  Object.getPrototypeOf(Option.some(1)),
  Object.getPrototypeOf(Data.struct({}))
)

/** Objects whose prototype was replaced. They get no other properties. */
const replaced = tuple(builtIns, prototypes).map(([value, prototype]): object =>
  Object.preventExtensions(Object.setPrototypeOf(value, prototype))
)

const effects = (inner: FastCheck.Arbitrary<unknown>): FastCheck.Arbitrary<unknown> => {
  const few = array(inner, { maxLength: 3 })
  const values = oneof(
    inner.map(Option.some),
    each(Option.none),
    inner.map(Either.left),
    inner.map(Either.right),
    inner.map(Exit.succeed),
    inner.map((value) => Exit.failCause(Cause.parallel(Cause.fail(value), Cause.die(value)))),
    few.map((items) => Chunk.unsafeFromArray(items)),
    few.map((items) => Chunk.appendAll(Chunk.unsafeFromArray(items), Chunk.of(1))),
    few.map((items) => List.fromIterable(items)),
    tuple(FastCheck.string(), inner).map(([key, value]) => HashMap.make([key, value])),
    nat().map((n) => HashSet.make(n, n + 1)),
    record({ a: inner }).map((record) => Data.struct(record)),
    few.map((items) => Data.array(items)),
    nat().map(Duration.millis),
    nat().map((n) => Duration.nanos(BigInt(n))),
    nat().map((n) => DateTime.unsafeMake(n)),
    nat().map((n) => DateTime.unsafeMakeZoned(n, { timeZone: n % 2 === 0 ? "Europe/Berlin" : 3_600_000 })),
    nat().map((n) => BigDecimal.make(BigInt(n), 2)),
    each(() => new URL("https://example.org/a?b"))
  )
  // Effect stores a hash in the value, and in what it contains
  return tuple(values, FastCheck.boolean()).map(([value, isHashed]) => {
    if (isHashed) attempt(() => Hash.hash(value))
    return value
  })
}

const key = constantFrom<PropertyKey>(
  "extra",
  "__proto__",
  "toJSON",
  "constructor",
  "length2",
  "raw",
  "value",
  "cause",
  "0",
  "1",
  Symbol("s"),
  Symbol.toStringTag
)

/** How a property is defined: with a value or as an accessor, and whether it is enumerable. */
const descriptors = (inner: FastCheck.Arbitrary<unknown>): FastCheck.Arbitrary<PropertyDescriptor> =>
  oneof(
    { weight: 3, arbitrary: inner.map((value) => ({ value, enumerable: true, writable: true })) },
    { weight: 2, arbitrary: inner.map((value) => ({ value, enumerable: false })) },
    { weight: 1, arbitrary: inner.map((value) => ({ get: () => value, enumerable: true })) },
    { weight: 1, arbitrary: constant({ set() {}, enumerable: true }) }
  )

/** The values that are one object in the whole process. Other tests use them, too, so they get no properties. */
const shared = new Set<unknown>([
  Option.none(),
  Chunk.empty(),
  List.empty(),
  HashMap.empty(),
  HashSet.empty(),
  Duration.zero,
  Duration.infinity,
  Exit.void
])

/** A value with one more property, or with one of its properties replaced. */
const withProperty = (inner: FastCheck.Arbitrary<unknown>): FastCheck.Arbitrary<unknown> =>
  tuple(inner, key, descriptors(inner)).map(([value, key, descriptor]) => {
    if (typeof value !== "object" || value === null || !Object.isExtensible(value) || shared.has(value)) return value
    attempt(() => Object.defineProperty(value, key, { ...descriptor, configurable: true }))
    return value
  })

/** A proxy that adds nothing, or one that returns another value for a property than it shows. */
const proxies = (inner: FastCheck.Arbitrary<unknown>): FastCheck.Arbitrary<unknown> =>
  tuple(inner, inner, constantFrom("honest", "get", "descriptor", "prototype")).map(([value, other, kind]) => {
    if (typeof value !== "object" || value === null || Equal.isEqual(value)) return value
    switch (kind) {
      case "get":
        return new Proxy(value, {
          get: (of, key) => (typeof key === "string" && key !== "length" ? other : Reflect.get(of, key))
        })
      case "descriptor":
        return new Proxy(value, {
          getOwnPropertyDescriptor: (of, key) => {
            const found = Reflect.getOwnPropertyDescriptor(of, key)
            return found?.configurable === true ? { ...found, value: other } : found
          }
        })
      case "prototype":
        return Object.isExtensible(value) ? new Proxy(value, { getPrototypeOf: () => Object.prototype }) : value
      default:
        return new Proxy(value, {})
    }
  })

const template = each(() => ((strings: TemplateStringsArray, _: number) => strings)`a${1}b`)

/** Any of these. */
export const { value } = FastCheck.letrec<{ value: unknown }>((tie) => {
  const inner = tie("value")
  const few = array(inner, { maxLength: 3 })
  return {
    value: oneof(
      { maxDepth: 4 },
      { weight: 3, arbitrary: anything },
      { weight: 1, arbitrary: builtIns },
      { weight: 1, arbitrary: replaced },
      { weight: 1, arbitrary: template },
      { weight: 1, arbitrary: few.map((items) => ["Date", ...items]) },
      { weight: 1, arbitrary: inner.map((value) => ({ $: value })) },
      { weight: 1, arbitrary: few.map((items) => ({ $: ["Map", ...items] })) },
      { weight: 1, arbitrary: array(tuple(inner, inner), { maxLength: 3 }).map((items) => new Map(items)) },
      { weight: 1, arbitrary: few.map((items) => new Set(items)) },
      { weight: 2, arbitrary: few },
      { weight: 3, arbitrary: effects(inner) },
      { weight: 3, arbitrary: withProperty(inner) },
      { weight: 1, arbitrary: proxies(inner) }
    )
  }
})
