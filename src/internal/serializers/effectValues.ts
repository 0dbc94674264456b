/**
 * Takes values of Effect's data types apart for the lossless serializer, and puts them together again. The parts are
 * values that the serializer carries, so nothing here has a format of its own.
 */
import * as BigDecimal from "effect/BigDecimal"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Hash from "effect/Hash"
import * as HashMap from "effect/HashMap"
import * as HashSet from "effect/HashSet"
import * as List from "effect/List"
import * as Option from "effect/Option"
import { arrayPrototype, structPrototype } from "../structural.js"
import * as Collisions from "./collisions.js"
import { define, isDisguised } from "./valueWalk.js"

/** The parts of a value, and the name of its type. */
export interface Parts {
  readonly tag: string
  readonly items: ReadonlyArray<unknown>
  /** The names of the items, for the path in a refusal. Default: their indices. */
  readonly names?: ReadonlyArray<string> | undefined
}

interface Url {
  readonly href: string
}

/** The class `URL` of the runtime. It is not among the types of a project without the DOM and Node. */
const { URL: Url } = globalThis as {
  readonly URL?: { readonly prototype: Url; new (text: string): Url }
}

const parts = (tag: string, items: ReadonlyArray<unknown>, ...names: ReadonlyArray<string>): Parts => ({
  tag,
  items,
  names: names.length === 0 ? undefined : names
})

/** The parts of a value; `undefined` if it is of none of these types, and text if it has more than can be kept. */
export const takeApart = (value: object, prototype: object): Parts | string | undefined => {
  if (prototype === structPrototype) return ofStruct(value)
  if (prototype === arrayPrototype && Array.isArray(value)) return ofArray(value)
  const parts = ofInstance(value, prototype)
  return typeof parts !== "object" || isWhole(value, parts) ? parts : "has more than Effect gives a value of its type"
}

/** How many items of a list or table are enough for a value with the same properties. */
const enough: Readonly<Record<string, number>> = { Chunk: 0, List: 1, HashSet: 0, HashMap: 0 }

/** Whether the parts make a value with the properties of the one that they were taken from. */
const isWhole = (value: object, { items, tag }: Parts): boolean => {
  const again = putTogether(tag, items.slice(0, enough[tag]))
  if (typeof again !== "object" || again === null) return false
  const keys = keysOf(value)
  const needed = keysOf(again)
  // it remembers the result, as the value may have done
  if (BigDecimal.isBigDecimal(again)) BigDecimal.normalize(again)
  return (
    needed.every((key) => Object.hasOwn(value, key)) &&
    keys.every((key) =>
      isAlike(Object.getOwnPropertyDescriptor(value, key)!, Object.getOwnPropertyDescriptor(again, key))
    ) &&
    // `href` of a URL has thrown for anything else
    (tag === "URL" || !isDisguised(value, keys))
  )
}

/** Whether two properties hold values, and are both enumerable or both not. */
const isAlike = (one: PropertyDescriptor, other: PropertyDescriptor | undefined): boolean =>
  other !== undefined && one.enumerable === other.enumerable && "value" in one && "value" in other

const ofInstance = (value: object, prototype: object): Parts | string | undefined => {
  if (Either.isEither(value)) {
    return Either.isRight(value) ? parts("Right", [value.right], "right") : parts("Left", [value.left], "left")
  }
  // an error with the tag of an exit is taken for one
  if (Exit.isExit(value) && !(value instanceof Error)) {
    return Exit.isSuccess(value) ? parts("Success", [value.value], "value") : parts("Failure", [value.cause], "cause")
  }
  if (Chunk.isChunk(value)) return parts("Chunk", Chunk.toReadonlyArray(value))
  if (List.isList(value)) return parts("List", List.toArray(value))
  if (HashSet.isHashSet(value)) {
    const keys = HashSet.toValues(value)
    return collide(keys) ? Collisions.refusal : parts("HashSet", keys)
  }
  if (HashMap.isHashMap(value)) {
    const entries = HashMap.toEntries(value)
    return collide(entries.map(([key]) => key)) ? Collisions.refusal : parts("HashMap", entries.flat())
  }
  if (Duration.isDuration(value)) {
    return parts("Duration", [Duration.match(value, { onMillis: (n): number | bigint => n, onNanos: (n) => n })])
  }
  if (DateTime.isDateTime(value)) {
    const zone = DateTime.isUtc(value) ? [] : [value.zone._tag === "Offset" ? value.zone.offset : value.zone.id]
    return parts("DateTime", [value.epochMillis, ...zone])
  }
  if (BigDecimal.isBigDecimal(value)) return parts("BigDecimal", [value.value, value.scale])
  if (Cause.isCause(value)) return ofCause(value)
  if (FiberId.isFiberId(value)) return ofFiberId(value)
  return prototype === Url?.prototype ? parts("URL", [(value as Url).href]) : undefined
}

/** Whether Effect's hashes of these keys collide so often that reading them would take too long. */
const collide = (keys: ReadonlyArray<unknown>): boolean => Collisions.areTooMany(keys.map((key) => Hash.hash(key)))

/** The keys of an object, without the symbol under which Effect remembers its hash. */
export const keysOf = (value: object): ReadonlyArray<string | symbol> =>
  Reflect.ownKeys(value).filter((key) => key !== Hash.symbol)

const ofStruct = (value: object): Parts | string => {
  const keys = Object.keys(value)
  if (keysOf(value).length !== keys.length) return "has properties that are symbols or not enumerable"
  if (isDisguised(value, keys)) return "has another prototype than it was made with"
  const items: Array<unknown> = []
  for (const key of keys) {
    const descriptor = Object.getOwnPropertyDescriptor(value, key)!
    if (!("value" in descriptor)) return `has an accessor, ${JSON.stringify(key)}`
    items.push(key, descriptor.value)
  }
  return parts("Data.struct", items, ...keys.flatMap((key) => [key, key]))
}

const ofArray = (value: ReadonlyArray<unknown>): Parts | string => {
  const items: Array<unknown> = []
  for (let i = 0; i < value.length; i++) {
    const descriptor = Object.getOwnPropertyDescriptor(value, i)
    if (descriptor?.enumerable !== true || !("value" in descriptor)) return "is an array with holes or accessors"
    items.push(descriptor.value)
  }
  // one key for each element, and `length`
  return keysOf(value).length === items.length + 1
    ? parts("Data.array", items)
    : "is an array with properties of its own"
}

const ofCause = (cause: Cause.Cause<unknown>): Parts => {
  switch (cause._tag) {
    case "Empty":
      return parts("Cause", ["Empty"])
    case "Fail":
      return parts("Cause", ["Fail", cause.error], "kind", "error")
    case "Die":
      return parts("Cause", ["Die", cause.defect], "kind", "defect")
    case "Interrupt":
      return parts("Cause", ["Interrupt", cause.fiberId], "kind", "fiberId")
    default:
      return parts("Cause", [cause._tag, cause.left, cause.right], "kind", "left", "right")
  }
}

const ofFiberId = (id: FiberId.FiberId): Parts => {
  if (id._tag === "None") return parts("FiberId", [])
  return id._tag === "Runtime"
    ? parts("FiberId", [id.id, id.startTimeMillis])
    : parts("FiberId", [id.left, id.right], "left", "right")
}

/** Makes a value of each type from its parts. The result is `undefined` if these are not parts of such a value. */
const makers: Readonly<Record<string, (items: Array<unknown>) => unknown>> = {
  Right: (items) => (items.length === 1 ? Either.right(items[0]) : undefined),
  Left: (items) => (items.length === 1 ? Either.left(items[0]) : undefined),
  Success: (items) => (items.length === 1 ? Exit.succeed(items[0]) : undefined),
  Failure: ([cause]) => (Cause.isCause(cause) ? Exit.failCause(cause) : undefined),
  Chunk: Chunk.unsafeFromArray,
  List: List.fromIterable,
  HashSet: (items) => {
    if (collide(items)) return undefined
    const set = HashSet.fromIterable(items)
    return HashSet.size(set) === items.length ? set : undefined
  },
  HashMap: (items) => {
    const entries = pairs(items)
    if (collide(entries.map(([key]) => key))) return undefined
    const map = HashMap.fromIterable(entries)
    return HashMap.size(map) === items.length / 2 ? map : undefined
  },
  Duration: ([length]) =>
    typeof length === "bigint" || (typeof length === "number" && length >= 0) ? Duration.decode(length) : undefined,
  DateTime: ([millis, zone]) => {
    if (typeof millis !== "number") return undefined
    if (zone === undefined) return Option.getOrUndefined(DateTime.make(millis))
    return typeof zone === "number" || typeof zone === "string"
      ? Option.getOrUndefined(DateTime.makeZoned(millis, { timeZone: zone }))
      : undefined
  },
  BigDecimal: ([value, scale]) =>
    typeof value === "bigint" && Number.isSafeInteger(scale) ? BigDecimal.make(value, scale as number) : undefined,
  URL: ([href]) => (typeof href === "string" ? parseUrl(href) : undefined),
  Cause: makeCause,
  FiberId: ([left, right]) => {
    if (left === undefined) return FiberId.none
    if (FiberId.isFiberId(left) && FiberId.isFiberId(right)) return FiberId.composite(left, right)
    return typeof left === "number" && typeof right === "number" ? FiberId.runtime(left, right) : undefined
  },
  "Data.array": Data.unsafeArray,
  "Data.struct": (items) => {
    const struct = Object.create(structPrototype)
    for (const [key, value] of pairs(items)) {
      if (typeof key !== "string" || Object.hasOwn(struct, key)) return undefined
      define(struct, key, value)
    }
    return items.length % 2 === 0 ? struct : undefined
  }
}

function makeCause([kind, first, second]: ReadonlyArray<unknown>): Cause.Cause<unknown> | undefined {
  switch (kind) {
    case "Empty":
      return Cause.empty
    case "Fail":
      return Cause.fail(first)
    case "Die":
      return Cause.die(first)
    case "Interrupt":
      return FiberId.isFiberId(first) ? Cause.interrupt(first) : undefined
    default: {
      if (!Cause.isCause(first) || !Cause.isCause(second)) return undefined
      if (kind === "Sequential") return Cause.sequential(first, second)
      return kind === "Parallel" ? Cause.parallel(first, second) : undefined
    }
  }
}

const parseUrl = (href: string): Url | undefined => {
  try {
    return Url && new Url(href)
  } catch {
    return undefined
  }
}

const pairs = (items: ReadonlyArray<unknown>): Array<[unknown, unknown]> => {
  const all: Array<[unknown, unknown]> = []
  for (let i = 0; i < items.length; i += 2) all.push([items[i], items[i + 1]])
  return all
}

export const isTag = (tag: unknown): tag is string => typeof tag === "string" && Object.hasOwn(makers, tag)

/** Puts a value together; `undefined` if the parts are malformed. */
export const putTogether = (tag: string, items: Array<unknown>): unknown => makers[tag]!(items)
