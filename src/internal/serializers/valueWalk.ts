/**
 * Walks a value, for serializers that inspect all of it before or while they write it. A refusal names the path to the
 * part of the value that cannot be written.
 */
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { SerializerError } from "../../CacheError.js"
import { nameOf, segmentOf } from "../report.js"
import { hasOnlyElements } from "../structural.js"
import { isRedacted } from "./redacted.js"
import { defaultLimits, type Limits, raiseLimit } from "./serializer.js"

/** How deep records, arrays, maps, sets and options may be nested, both when encoding and when decoding. */
export const maxDepth = 512

/**
 * How many elements a value may have in all. A value that refers to the same few objects many times is small in memory,
 * but its tree can be endless. In JSON an element takes at least two bytes, so a value within `maxDecodedBytes` never
 * reaches this limit. In MessagePack an element may take a single byte.
 */
export const maxElements = ({ maxDecodedBytes }: Limits = defaultLimits): number => Math.floor(maxDecodedBytes / 2)

/** The refusal of a value with more elements. */
export const hasTooMany = (max: number): string =>
  `has more than ${max} elements, half of maxDecodedBytes: ${raiseLimit}`

/** The advice in the refusal of a value that a schema could convert. */
export const remedy = "give the function a schema"

/**
 * The position in a value. A walk over a value that is decoded is one: its size is limited by its bytes, and it contains
 * no cycle.
 */
export class Position {
  /** The key, index or map item that leads from the container at each depth to the next one. */
  readonly segments: Array<string | number | { readonly part: string; readonly index: number }> = []
  readonly reason: SerializerError["reason"]

  constructor(reason: SerializerError["reason"]) {
    this.reason = reason
  }

  /** The path to the value at `depth`, such as `$.users[3].name`. See `segmentOf` for what it leaves out. */
  path(depth: number): string {
    let path = "$"
    for (let i = 0; i < depth; i++) {
      // a very long path shows only its beginning and its end
      if (depth > 16 && i === 12) {
        path += " … "
        i = depth - 4
      }
      const segment = this.segments[i]!
      path += typeof segment === "object" ? `.${segment.part}()[${segment.index}]` : segmentOf(segment)
    }
    return path
  }

  /** Returns the error to throw. It ends the walk, and `encode` or `decode` of the serializer catches it. */
  fail(depth: number, detail: string): SerializerError {
    return new SerializerError({ reason: this.reason, path: this.path(depth), detail })
  }

  /** Enters a container. Throws if it is nested too deeply. */
  descend(depth: number): void {
    if (depth >= maxDepth) throw this.fail(depth, `is nested deeper than ${maxDepth}`)
  }
}

/** A walk over one value: its current position, and the number of elements so far. */
export class Walk extends Position {
  /** The container at each depth. */
  private readonly parents: Array<object> = []
  private elements = 0
  private readonly maxElements: number

  constructor(reason: SerializerError["reason"], limits?: Limits) {
    super(reason)
    this.maxElements = maxElements(limits)
  }

  /** Enters a container of `elements` elements. Throws if it is nested too deeply or has too many elements. */
  enter(container: object, elements: number, depth: number): void {
    this.descend(depth)
    this.elements += elements
    if (this.elements > this.maxElements) {
      throw this.fail(
        depth,
        `brings the value above ${this.maxElements} elements, half of maxDecodedBytes: ${raiseLimit}`
      )
    }
    this.parents[depth] = container
  }

  /** Throws if `container` is one of its own ancestors. */
  noCycle(container: object, depth: number): void {
    for (let i = 0; i < depth; i++) {
      if (this.parents[i] === container) throw this.fail(depth, `refers back to ${this.path(i)}: ${remedy}`)
    }
  }
}

/**
 * Sets an own property. A plain assignment to an inherited key would set the prototype (`__proto__`), or throw when
 * `Object.prototype` is frozen (`constructor`).
 */
export const define = (record: Record<string, unknown>, key: string, value: unknown): void => {
  if (key in record) {
    Object.defineProperty(record, key, { value, enumerable: true, configurable: true, writable: true })
  } else {
    record[key] = value
  }
}

/** The refusal of an object whose prototype the serializer does not know. */
export const foreign = (value: object, prototype: object): string => {
  if (Redacted.isRedacted(value)) return isRedacted
  const name: unknown = prototype.constructor?.name
  if (typeof name !== "string" || name === "" || name === "Object") return `has a prototype of its own: ${remedy}`
  return value instanceof Uint8Array
    ? `is an instance of ${name}: ${remedy}, or copy it with Uint8Array.from`
    : `is an instance of ${name}: ${remedy}`
}

/** What an object is, whatever its prototype. */
interface Types {
  readonly isProxy: (value: object) => boolean
  readonly isMap: (value: object) => boolean
  readonly isSet: (value: object) => boolean
  readonly isAnyArrayBuffer: (value: object) => boolean
  readonly isBoxedPrimitive: (value: object) => boolean
  readonly isPromise: (value: object) => boolean
  readonly isWeakMap: (value: object) => boolean
  readonly isWeakSet: (value: object) => boolean
}

declare const process: { readonly getBuiltinModule?: (name: string) => unknown } | undefined

/** The checks of Node. They are asked for by name, because this module must load without Node. */
const types = /*#__PURE__*/ (() => {
  const util = typeof process === "undefined" ? undefined : process.getBuiltinModule?.("node:util")
  return (util as { readonly types: Types } | undefined)?.types
})()

const { toString } = Object.prototype

/**
 * Whether an object whose prototype has no content of its own is something else, such as a `Map` whose prototype was
 * replaced. Its content is not among its properties, so it has none, or those of a view: its elements. Without Node, only
 * views, dates and boxed strings, numbers and booleans are recognized.
 */
export const isDisguised = (record: object, keys: ReadonlyArray<string | symbol>): boolean => {
  // a number in a box is checked in every record, because `JSON.stringify` would take it out of the box
  if (toString.call(record) !== "[object Object]") return true
  if (keys.length > 0 && keys[0] !== "0") return false
  if (ArrayBuffer.isView(record)) return true
  return (
    types !== undefined &&
    (types.isMap(record) ||
      types.isSet(record) ||
      types.isBoxedPrimitive(record) ||
      types.isAnyArrayBuffer(record) ||
      types.isPromise(record) ||
      types.isWeakMap(record) ||
      types.isWeakSet(record))
  )
}

/** The keys of a record. Throws if some of its content is not among its properties, or if a key is a symbol. */
export const keysOf = (record: object, walk: Walk, depth: number): Array<string> => {
  const keys = Object.getOwnPropertyNames(record)
  if (Object.getOwnPropertySymbols(record).length > 0) throw walk.fail(depth, `has a symbol for a key: ${remedy}`)
  if (isDisguised(record, keys)) throw walk.fail(depth, `has another prototype than it was made with: ${remedy}`)
  return keys
}

/**
 * Throws if a record is a proxy that returns something else for a property than it shows as its value: one of them is
 * checked, and the other would be written. A proxy that invents properties may have a `toJSON`, which would be called.
 */
export const checkProxy = (record: object, keys: ReadonlyArray<string>, walk: Walk, depth: number): void => {
  if (types?.isProxy(record) !== true) return
  for (const key of keys) {
    walk.segments[depth] = key
    if (!Object.is(property(record, key, walk, depth + 1), (record as Record<string, unknown>)[key])) {
      throw walk.fail(depth + 1, `is a property that a proxy shows with two values: ${remedy}`)
    }
  }
  if (!Object.hasOwn(record, "toJSON") && (record as { readonly toJSON?: unknown }).toJSON !== undefined) {
    throw walk.fail(depth, `is a proxy that has toJSON: ${remedy}`)
  }
}

/**
 * The value of an own property. Throws for one that is not enumerable, which would be lost or come back enumerable, and
 * for an accessor instead of calling it: a getter may return something else each time, but would come back as a fixed
 * value.
 */
export const property = (record: object, key: string, walk: Walk, depth: number): unknown => {
  const descriptor = Object.getOwnPropertyDescriptor(record, key)
  if (descriptor === undefined || descriptor.get !== undefined || descriptor.set !== undefined) {
    throw walk.fail(depth, `is an accessor: ${remedy}`)
  }
  if (!descriptor.enumerable) throw walk.fail(depth, `is a property that is not enumerable: ${remedy}`)
  return descriptor.value
}

/** The most items of an array that are inspected one by one. With more of them, this takes longer than writing them. */
const maxInspected = 16

/** `Object.prototype.__lookupGetter__` and its counterpart find an accessor in half the time that a descriptor takes. */
const { __lookupGetter__: getterOf, __lookupSetter__: setterOf } = Object.prototype as unknown as {
  readonly [name in "__lookupGetter__" | "__lookupSetter__"]: (key: number) => unknown
}

/** Whether the enumerable keys of an array are those of its items. They come in order, and before all others. */
const areIndices = (keys: ReadonlyArray<string>, length: number): boolean =>
  keys.length === length && (length === 0 || keys[length - 1] === String(length - 1))

/** Whether an array of few items has nothing else, and no accessor among them. */
const areFewValues = (array: ReadonlyArray<unknown>): boolean => {
  const { length } = array
  // the second list has `length`, too
  if (!areIndices(Object.keys(array), length) || Reflect.ownKeys(array).length !== length + 1) return false
  for (let i = 0; i < length; i++) {
    if (getterOf.call(array, i) !== undefined) return false
    if (array[i] === undefined && setterOf.call(array, i) !== undefined) return false
  }
  return true
}

/** Whether an array has nothing but its items, as far as this is found without a look at each of them. */
const areManyItems = (array: ReadonlyArray<unknown>): boolean =>
  // faster than to list the keys
  Object.values(array).length === array.length &&
  Object.getOwnPropertySymbols(array).length === 0 &&
  !Object.hasOwn(array, "raw") &&
  // a proxy may answer for an item that is not there
  (types?.isProxy(array) !== true || areIndices(Object.keys(array), array.length))

/**
 * Throws unless an array consists of items that are enumerable. In an array of more than 16 items it looks neither for
 * accessors nor, except for `raw` of a template, for other properties that are not enumerable.
 */
export const onlyItems = (array: ReadonlyArray<unknown>, walk: Walk, depth: number): void => {
  if (array.length > maxInspected ? areManyItems(array) : areFewValues(array)) return
  throw walk.fail(depth, `is an array with ${excessOf(array)}: ${remedy}`)
}

/** What an array has besides enumerable items. */
const excessOf = (array: ReadonlyArray<unknown>): string => {
  for (let i = 0; i < array.length; i++) {
    const descriptor = Object.getOwnPropertyDescriptor(array, i)
    if (descriptor === undefined) return "holes"
    if (!descriptor.enumerable) return "an item that is not enumerable"
    if (!("value" in descriptor)) return "an accessor for an item"
  }
  return "properties of its own"
}

/** The element at `index`. Throws for a hole. */
export const item = (array: ReadonlyArray<unknown>, index: number, walk: Walk, depth: number): unknown => {
  const value = array[index]
  if (value === undefined && !Object.hasOwn(array, index)) {
    throw walk.fail(depth, `is an array with holes: ${remedy}`)
  }
  return value
}

/** Throws if an object whose content is not in its properties, such as a Date, has properties. */
export const noProperties = (value: object, walk: Walk, depth: number): void => {
  if (Reflect.ownKeys(value).length > 0) throw walk.fail(depth, `has properties of its own: ${remedy}`)
}

/** Whether an object with the prototype of a `Uint8Array` is one. A view of another type may have that prototype, too. */
export const isUint8Array = (value: object): value is Uint8Array =>
  ArrayBuffer.isView(value) && toString.call(value) === "[object Uint8Array]"

/** Throws if a typed array or a `DataView` has properties besides its elements. */
export const onlyElements = (view: ArrayBufferView, walk: Walk, depth: number): void => {
  if (!hasOnlyElements(view)) throw walk.fail(depth, `has properties of its own: ${remedy}`)
}

/** The messages of the engine and of serializers that contain nothing of the value, as far as they are matched. */
const harmless = new RegExp(
  [
    "Maximum call stack size exceeded",
    "Invalid (?:string|array|typed array) length",
    "Cannot create a string longer than",
    "Do not know how to serialize a BigInt",
    "Converting circular structure to JSON",
    "cannot encode field [\\w.]+ to binary",
    "maximum recursion depth of \\d+ reached"
  ].join("|")
)

/** Describes an error that was thrown while a value was converted. Its message may repeat the value. */
export const thrown = (error: unknown): string => {
  const message = error instanceof Error ? (harmless.exec(error.message)?.[0] ?? "") : ""
  return message === "" ? `threw ${nameOf(error)}` : message
}

/**
 * Turns a thrown error into a refusal. An error of the walk is a refusal already. Any other error was thrown by a
 * proxy, by a `toJSON` method, or at a limit of the JavaScript engine.
 */
export const caught = (reason: SerializerError["reason"], error: unknown): Either.Either<never, SerializerError> => {
  if (error instanceof SerializerError) return Either.left(error)
  return Either.left(new SerializerError({ reason, path: "$", detail: thrown(error), cause: error }))
}
