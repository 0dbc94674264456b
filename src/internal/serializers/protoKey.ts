/**
 * Finds an own property `__proto__` in a value. A schema copies properties by assignment, which sets a prototype in
 * place of this one: what it makes would inherit what a writer of the store has chosen, or would lack the property.
 */
import { segmentOf } from "../report.js"

const key = "__proto__"

/** Reads a property of a value that a serializer has made. It has no accessors. */
export const plainly = (object: object, key: string): unknown => (object as Record<string, unknown>)[key]

/** Reads a property of a value of the user, but runs no accessor. */
export const cautiously = (object: object, key: string): unknown => Object.getOwnPropertyDescriptor(object, key)?.value

/** How many objects are visited before those that were met are remembered. */
const fewObjects = 1_000

class Search {
  private visited = 0
  private readonly met = new Set<object>()
  private readonly read: (object: object, key: string) => unknown

  constructor(read: (object: object, key: string) => unknown) {
    this.read = read
  }

  /** The path from the value to the property, or `undefined` if there is none. */
  in(value: unknown): string | undefined {
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return undefined
    if (++this.visited > fewObjects) {
      // cycles end here, and so does a tree of few objects that refer to each other many times
      if (this.met.has(value)) return undefined
      this.met.add(value)
    }
    if (Object.hasOwn(value, key)) return segmentOf(key)
    if (value instanceof Map || value instanceof Set) return this.among(value)
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length; i++) {
        const found = this.in(value[i])
        if (found !== undefined) return segmentOf(i) + found
      }
      return undefined
    }
    for (const name of Object.keys(value)) {
      const found = this.in(this.read(value, name))
      if (found !== undefined) return segmentOf(name) + found
    }
    return undefined
  }

  private among(items: ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>): string | undefined {
    let index = 0
    for (const [key, value] of items.entries()) {
      const found = this.in(key) ?? (items instanceof Map ? this.in(value) : undefined)
      if (found !== undefined) return `.entries()[${index}]${found}`
      index++
    }
    return undefined
  }
}

/** The path of an own property `__proto__` at any depth, or `undefined` if there is none. */
export const find = (value: unknown, read: typeof plainly): string | undefined => {
  const path = new Search(read).in(value)
  return path === undefined ? undefined : `$${path}`
}
