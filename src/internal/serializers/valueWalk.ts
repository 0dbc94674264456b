/**
 * Walks a value, for serializers that inspect all of it before or while they write it. A refusal names the path to the
 * part of the value that cannot be written.
 */
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { SerializerError } from "../../CacheError.js"
import { nameOf, segmentOf } from "../report.js"
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

/** A walk over one value: its current position, and the number of elements so far. */
export class Walk {
  /** The container at each depth. */
  readonly parents: Array<object> = []
  /** The key, index or map item that leads from the container at each depth to the next one. */
  readonly segments: Array<string | number | { readonly part: string; readonly index: number }> = []
  elements = 0
  readonly reason: SerializerError["reason"]
  readonly maxElements: number

  constructor(reason: SerializerError["reason"], limits?: Limits) {
    this.reason = reason
    this.maxElements = maxElements(limits)
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

  /** Enters a container of `elements` elements. Throws if the value is nested too deeply or has too many elements. */
  enter(container: object, elements: number, depth: number): void {
    if (depth >= maxDepth) throw this.fail(depth, `is nested deeper than ${maxDepth}`)
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

/** The keys of a record. Throws if `Object.keys` does not list all of its properties. */
export const keysOf = (record: object, walk: Walk, depth: number): Array<string> => {
  const keys = Object.keys(record)
  if (Object.getOwnPropertySymbols(record).length > 0) throw walk.fail(depth, `has a symbol for a key: ${remedy}`)
  if (Object.getOwnPropertyNames(record).length !== keys.length) {
    throw walk.fail(depth, `has a property that is not enumerable: ${remedy}`)
  }
  return keys
}

/**
 * The value of an own property. Throws for an accessor instead of calling it: a getter may return something else each
 * time, but would come back as a fixed value.
 */
export const property = (record: object, key: string, walk: Walk, depth: number): unknown => {
  const descriptor = Object.getOwnPropertyDescriptor(record, key)
  if (descriptor === undefined || descriptor.get !== undefined || descriptor.set !== undefined) {
    throw walk.fail(depth, `is an accessor: ${remedy}`)
  }
  return descriptor.value
}

/**
 * Throws if an array has properties besides its elements. It looks neither for properties that are not enumerable nor
 * for accessors among the elements: no comparison sees them, and the check would cost more than writing the array.
 */
export const onlyItems = (array: ReadonlyArray<unknown>, walk: Walk, depth: number): void => {
  if (Object.keys(array).length > array.length || Object.getOwnPropertySymbols(array).length > 0) {
    throw walk.fail(depth, `is an array with properties of its own: ${remedy}`)
  }
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

/** The most elements of a view that are listed in order to find other properties. Listing takes longer than writing. */
const maxListed = 1024

/**
 * Throws if a typed array or a `DataView` has properties besides its elements. In one of more than 1 024 elements it
 * looks for symbols only.
 */
export const onlyElements = (view: ArrayBufferView, walk: Walk, depth: number): void => {
  const { length = 0 } = view as { readonly length?: number }
  if (
    Object.getOwnPropertySymbols(view).length > 0 ||
    (length <= maxListed && Object.getOwnPropertyNames(view).length > length)
  ) {
    throw walk.fail(depth, `has properties of its own: ${remedy}`)
  }
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
