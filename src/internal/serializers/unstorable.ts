/**
 * Finds what is stored with no serializer: a secret, and an own property `__proto__` on the way through a schema. A
 * schema copies properties by assignment, which sets a prototype in place of this one: what it makes would inherit what
 * a writer of the store has chosen, or would lack the property.
 */
import * as Redacted from "effect/Redacted"
import { segmentOf } from "../report.js"
import { isRedacted } from "./redacted.js"

const protoKey = "__proto__"

const isLost = "is a key that a schema loses, or makes a prototype of: use another name for it"

/** What is searched for. */
export interface Sought {
  readonly secrets: boolean
  readonly protoKeys: boolean
  /** Whether accessors run, so that their results are searched. */
  readonly runsAccessors: boolean
}

/** Where it was found, and why it is not stored. */
export interface Found {
  readonly path: string
  readonly detail: string
}

/** How many objects are visited before those that were met are remembered. */
const fewObjects = 1_000

class Search {
  private visited = 0
  private readonly met = new Set<object>()
  private readonly sought: Sought

  constructor(sought: Sought) {
    this.sought = sought
  }

  in(value: unknown): Found | undefined {
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return undefined
    if (++this.visited > fewObjects) {
      // cycles end here, and so does a tree of few objects that refer to each other many times
      if (this.met.has(value)) return undefined
      this.met.add(value)
    }
    if (this.sought.secrets && Redacted.isRedacted(value)) return { path: "", detail: isRedacted }
    if (this.sought.protoKeys && Object.hasOwn(value, protoKey)) return { path: segmentOf(protoKey), detail: isLost }
    if (Array.isArray(value)) return this.amongItems(value)
    if (value instanceof Map) return this.among("keys", value.keys()) ?? this.among("values", value.values())
    if (value instanceof Set) return this.among("values", value)
    for (const name of Object.keys(value)) {
      const found = this.in(this.property(value, name))
      if (found !== undefined) return within(segmentOf(name), found)
    }
    return undefined
  }

  private property(object: object, name: string): unknown {
    return this.sought.runsAccessors
      ? (object as Record<string, unknown>)[name]
      : Object.getOwnPropertyDescriptor(object, name)?.value
  }

  private amongItems(items: ReadonlyArray<unknown>): Found | undefined {
    for (let i = 0; i < items.length; i++) {
      const found = this.in(items[i])
      if (found !== undefined) return within(segmentOf(i), found)
    }
    return undefined
  }

  private among(part: "keys" | "values", items: Iterable<unknown>): Found | undefined {
    let index = 0
    for (const item of items) {
      const found = this.in(item)
      if (found !== undefined) return within(`.${part}()[${index}]`, found)
      index++
    }
    return undefined
  }
}

const within = (segment: string, { detail, path }: Found): Found => ({ path: segment + path, detail })

/** The first thing that is not stored in a value, at any depth, or `undefined` if there is none. */
export const find = (value: unknown, sought: Sought): Found | undefined => {
  const found = new Search(sought).in(value)
  return found === undefined ? undefined : within("$", found)
}
