/**
 * The way through a value, for serializers that look at all of it before, or while, they write it: what they refuse they
 * name with its path.
 */
import * as Either from "effect/Either"
import { SerializerError } from "../../CacheError.js"

/** How many records, arrays, maps, sets and options may stand in each other, on the way out and on the way in. */
export const maxDepth = 512

/**
 * A value in which a few objects are shared many times over is small in memory and endless as a tree. With two bytes an
 * element, no value that a store takes by default (`maxValueBytes`) has as many.
 */
export const maxElements = 2_097_152

export const remedy = "give the function a schema"

/** Where a walk stands: `parents[i]` is the container at depth `i`, `segments[i]` the way from it to the next. */
export class Walk {
  readonly parents: Array<object> = []
  readonly segments: Array<string | number | { readonly part: string; readonly index: number }> = []
  elements = 0
  readonly reason: SerializerError["reason"]

  constructor(reason: SerializerError["reason"]) {
    this.reason = reason
  }

  path(depth: number): string {
    let path = "$"
    for (let i = 0; i < depth; i++) {
      // of a very long way its beginning and its end say enough
      if (depth > 16 && i === 12) {
        path += " … "
        i = depth - 4
      }
      const segment = this.segments[i]!
      if (typeof segment === "number") path += `[${segment}]`
      else if (typeof segment === "object") path += `.${segment.part}()[${segment.index}]`
      else if (/^[\p{L}_$][\p{L}\p{N}_$]{0,63}$/u.test(segment)) path += `.${segment}`
      else path += `[${JSON.stringify(segment.length > 64 ? `${segment.slice(0, 64)}…` : segment)}]`
    }
    return path
  }

  /** Thrown, to leave the recursion; `encode` and `decode` catch it. */
  fail(depth: number, detail: string): SerializerError {
    return new SerializerError({ reason: this.reason, path: this.path(depth), detail })
  }

  enter(container: object, elements: number, depth: number): void {
    if (depth >= maxDepth) throw this.fail(depth, `is nested deeper than ${maxDepth}`)
    this.elements += elements
    if (this.elements > maxElements) {
      throw this.fail(depth, `brings the value above ${maxElements} elements`)
    }
    this.parents[depth] = container
  }

  /** Fails where the way has come back to where it was before. */
  noCycle(container: object, depth: number): void {
    for (let i = 0; i < depth; i++) {
      if (this.parents[i] === container) throw this.fail(depth, `refers back to ${this.path(i)}: ${remedy}`)
    }
  }
}

/**
 * Assigning to a key that records inherit would set the prototype (`__proto__`), or throw where `Object.prototype` is
 * frozen (`constructor`).
 */
export const define = (record: Record<string, unknown>, key: string, value: unknown): void => {
  if (key in record) {
    Object.defineProperty(record, key, { value, enumerable: true, configurable: true, writable: true })
  } else {
    record[key] = value
  }
}

/** What is said of an object with a prototype that a serializer does not know. */
export const foreign = (value: object, prototype: object): string => {
  const name: unknown = prototype.constructor?.name
  if (typeof name !== "string" || name === "" || name === "Object") return `has a prototype of its own: ${remedy}`
  return value instanceof Uint8Array
    ? `is an instance of ${name}: ${remedy}, or copy it with Uint8Array.from`
    : `is an instance of ${name}: ${remedy}`
}

/** The keys of a record whose properties are all seen by `Object.keys`. */
export const keysOf = (record: object, walk: Walk, depth: number): Array<string> => {
  const keys = Object.keys(record)
  if (Object.getOwnPropertySymbols(record).length > 0) throw walk.fail(depth, `has a symbol for a key: ${remedy}`)
  if (Object.getOwnPropertyNames(record).length !== keys.length) {
    throw walk.fail(depth, `has a property that is not enumerable: ${remedy}`)
  }
  return keys
}

/** A getter is not run: it may answer differently each time, and would come back as what it answered once. */
export const property = (record: object, key: string, walk: Walk, depth: number): unknown => {
  const descriptor = Object.getOwnPropertyDescriptor(record, key)
  if (descriptor === undefined || descriptor.get !== undefined || descriptor.set !== undefined) {
    throw walk.fail(depth, `is an accessor: ${remedy}`)
  }
  return descriptor.value
}

/**
 * Elements are not asked for accessors, nor the array for properties that are not enumerable: no comparison sees these,
 * and asking costs more than writing.
 */
export const onlyItems = (array: ReadonlyArray<unknown>, walk: Walk, depth: number): void => {
  if (Object.keys(array).length > array.length || Object.getOwnPropertySymbols(array).length > 0) {
    throw walk.fail(depth, `is an array with properties of its own: ${remedy}`)
  }
}

/** The element at `index`, which must be there. */
export const item = (array: ReadonlyArray<unknown>, index: number, walk: Walk, depth: number): unknown => {
  const value = array[index]
  if (value === undefined && !Object.hasOwn(array, index)) {
    throw walk.fail(depth, `is an array with holes: ${remedy}`)
  }
  return value
}

/** For objects whose content is not in their properties. */
export const noProperties = (value: object, walk: Walk, depth: number): void => {
  if (Reflect.ownKeys(value).length > 0) throw walk.fail(depth, `has properties of its own: ${remedy}`)
}

/** What was thrown by a walk is an answer; anything else came out of a proxy, a `toJSON`, or the engine's own limits. */
export const caught = (reason: SerializerError["reason"], error: unknown): Either.Either<never, SerializerError> => {
  if (error instanceof SerializerError) return Either.left(error)
  const detail = error instanceof Error ? error.message.split("\n", 1)[0]! : "threw while it was read"
  return Either.left(new SerializerError({ reason, path: "$", detail, cause: error }))
}
