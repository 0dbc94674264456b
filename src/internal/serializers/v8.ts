/**
 * Checks and repairs around `node:v8`: of values before V8 writes them, and of views that it reads.
 */
import { Buffer } from "node:buffer"
import { types } from "node:util"
import * as engine from "node:v8"
import { foreign, item, keysOf, noProperties, onlyElements, onlyItems, property, remedy, Walk } from "./valueWalk.js"

/** The prototypes of the views that V8 restores to the same type, each with a name of that type. */
const views: ReadonlyMap<object, string> = /*#__PURE__*/ new Map(
  [
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    Float32Array,
    Float64Array,
    BigInt64Array,
    BigUint64Array,
    DataView,
    Buffer
  ].map((view) => [view.prototype, view === Buffer ? "Uint8Array" : view.name])
)

const { get: typedArrayName } = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag
) as { readonly get: () => string | undefined }

/** The type of a view, whatever its prototype. */
const nameOfView = (view: ArrayBufferView): string => typedArrayName.call(view) ?? "DataView"

/** A walk that visits each object once, because V8 writes further occurrences as references to the first. */
export class Tour extends Walk {
  private readonly met = new Set<object>()

  /** Whether an object was visited before. It is visited from now on. */
  hasVisited(object: object): boolean {
    const { size } = this.met
    // one look into the set, where `has` and `add` would be two
    return this.met.add(object).size === size
  }
}

/** Throws at the first part of a value that V8 would not restore to an equal one. */
export const check = (value: unknown, tour: Tour, depth: number): void => {
  switch (typeof value) {
    case "function":
    case "symbol":
      throw tour.fail(depth, `is a ${typeof value}: ${remedy}`)
    case "object":
      if (value !== null && !tour.hasVisited(value)) checkObject(value, tour, depth)
  }
}

const checkObject = (value: object, tour: Tour, depth: number): void => {
  const prototype: object | null = Object.getPrototypeOf(value)
  if (prototype === Object.prototype) return checkRecord(value, tour, depth)
  if (prototype === null) throw tour.fail(depth, `has no prototype, and would come back with one: ${remedy}`)
  if (prototype === Array.prototype && Array.isArray(value)) return checkArray(value, tour, depth)
  if (prototype === Map.prototype && types.isMap(value)) return checkMap(value, tour, depth)
  if (prototype === Set.prototype && types.isSet(value)) return checkSet(value, tour, depth)
  if (prototype === Date.prototype && types.isDate(value)) return noProperties(value, tour, depth)
  if (ArrayBuffer.isView(value) && views.get(prototype) === nameOfView(value)) return onlyElements(value, tour, depth)
  if (prototype === ArrayBuffer.prototype && types.isArrayBuffer(value)) {
    noProperties(value, tour, depth)
    if (!(value as { readonly resizable?: boolean }).resizable) return
    throw tour.fail(depth, `is an ArrayBuffer that can be resized: ${remedy}`)
  }
  if (prototype === RegExp.prototype && types.isRegExp(value)) {
    if (Reflect.ownKeys(value).length === 1 && value.lastIndex === 0) return
    throw tour.fail(depth, `is a RegExp with a state or properties of its own: ${remedy}`)
  }
  throw tour.fail(depth, foreign(value, prototype))
}

const checkRecord = (record: object, tour: Tour, depth: number): void => {
  const keys = keysOf(record, tour, depth)
  tour.enter(record, keys.length, depth)
  for (const key of keys) {
    tour.segments[depth] = key
    check(property(record, key, tour, depth + 1), tour, depth + 1)
  }
}

const checkArray = (array: ReadonlyArray<unknown>, tour: Tour, depth: number): void => {
  tour.enter(array, array.length, depth)
  onlyItems(array, tour, depth)
  for (let i = 0; i < array.length; i++) {
    tour.segments[depth] = i
    check(item(array, i, tour, depth), tour, depth + 1)
  }
}

const checkMap = (map: ReadonlyMap<unknown, unknown>, tour: Tour, depth: number): void => {
  noProperties(map, tour, depth)
  tour.enter(map, 2 * map.size, depth)
  let index = 0
  for (const [key, value] of map) {
    tour.segments[depth] = { part: "keys", index }
    check(key, tour, depth + 1)
    tour.segments[depth] = { part: "values", index: index++ }
    check(value, tour, depth + 1)
  }
}

const checkSet = (set: ReadonlySet<unknown>, tour: Tour, depth: number): void => {
  noProperties(set, tour, depth)
  tour.enter(set, set.size, depth)
  let index = 0
  for (const value of set) {
    tour.segments[depth] = { part: "values", index: index++ }
    check(value, tour, depth + 1)
  }
}

interface HostObjects {
  readonly _readHostObject: () => ArrayBufferView
}

/** Copies the memory of each view. Node's own deserializer returns views of the bytes that it reads. */
export class CopyingDeserializer extends engine.DefaultDeserializer {
  _readHostObject(): ArrayBufferView {
    const view = (engine.DefaultDeserializer.prototype as unknown as HostObjects)._readHostObject.call(this)
    if (Buffer.isBuffer(view)) return Buffer.from(view)
    if (types.isTypedArray(view)) return view.slice()
    return new DataView(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength))
  }
}
