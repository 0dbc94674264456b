/**
 * Memory whose values cannot be changed by those who read them: each value is frozen, with everything in it, before it is
 * stored.
 *
 * Values are frozen in place, because a copy would lose what the value is equal to. An object stays as it is unless it is
 * plain data, for which freezing breaks nothing: a `Map` or a `Date` can be changed although it is frozen, a typed array
 * cannot be frozen, and an object of a class may keep in its properties what it changes later.
 *
 * What Effect compares by its properties (`Data`, `Schema.Class`, `Option`, `Either`) gets read-only properties and is
 * not frozen, because Effect remembers the hash of such a value in a property of it.
 */
import * as Chunk from "effect/Chunk"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Backend from "../../../Backend.js"
import { arrayPrototype, isStructural } from "../../structural.js"

const isPlain = (value: object, prototype: unknown): boolean =>
  prototype === Object.prototype || prototype === null || (prototype === Array.prototype && Array.isArray(value))

const isHashed = (value: object, prototype: unknown): boolean =>
  prototype === arrayPrototype || Option.isOption(value) || Either.isEither(value) || isStructural(value)

/** Makes the properties that an object has read-only. Others can be added. */
const makeReadOnly = (value: object): void => {
  for (const key of Reflect.ownKeys(value)) {
    const property = Object.getOwnPropertyDescriptor(value, key)!
    if (!("value" in property) || property.writable === false) continue
    Object.defineProperty(value, key, { writable: false, configurable: false })
  }
}

/** Protects one object, and adds what it holds to `found`. */
const protect = (value: object, found: Array<unknown>): void => {
  if (Chunk.isChunk(value)) {
    for (const item of value) found.push(item)
    return
  }
  const prototype = Object.getPrototypeOf(value)
  if (isPlain(value, prototype)) Object.freeze(value)
  else if (isHashed(value, prototype)) makeReadOnly(value)
  else return
  for (const key of Reflect.ownKeys(value)) {
    // an accessor is not called
    const property = Object.getOwnPropertyDescriptor(value, key)!
    if ("value" in property) found.push(property.value)
  }
}

/** Freezes a value with everything in it. Returns the value. */
export const freeze = <A>(value: A): A => {
  if (typeof value !== "object" || value === null) return value
  const seen = new Set<unknown>()
  const found: Array<unknown> = [value]
  while (found.length > 0) {
    const each = found.pop()
    if (typeof each !== "object" || each === null || seen.has(each)) continue
    seen.add(each)
    try {
      protect(each, found)
    } catch {
      // a proxy whose traps refuse it stays as it is
    }
  }
  return value
}

/** Makes the backend from one in memory. */
export const make = (local: Backend.Backend): Backend.Backend => {
  const freezeAll = (writes: ReadonlyArray<Backend.Write>): ReadonlyArray<Backend.Write> => {
    for (const { entry } of writes) freeze(entry.value)
    return writes
  }
  const unsafeSet = local.unsafeSet!
  return {
    ...local,
    freeze,
    unsafeSet: (key, entry, now, backfill) => {
      freeze(entry.value)
      return unsafeSet(key, entry, now, backfill)
    },
    setMany: (writes) => local.setMany(freezeAll(writes)),
    setIfAbsent: (write, options) => local.setIfAbsent(freezeAll([write])[0]!, options)
  }
}
