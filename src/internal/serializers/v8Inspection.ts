/**
 * Inspects bytes before V8 reads them. V8 trusts the length of a sparse array, for which it allocates memory at once,
 * and bounds neither depth nor elements. Tokens that `NodeSerializer.v8` never writes are refused.
 */
import { SerializerError } from "../../CacheError.js"
import type { Limits } from "./serializer.js"
import { hasTooMany, maxDepth, maxElements } from "./valueWalk.js"

/** The error to throw for bytes that are refused. `decode` of the serializer catches it. */
const fail = (detail: string): SerializerError => new SerializerError({ reason: "Decode", path: "$", detail })

/** The kinds of tokens, by what follows them. */
const Kind = {
  /** A token that this serializer does not write. */
  Unknown: 0,
  Nothing: 1,
  Integer: 2,
  EightBytes: 3,
  /** A length, shifted left by one bit, and as many bytes. */
  BigInt: 4,
  /** A length, and as many bytes. */
  Bytes: 5,
  /** A string, and flags. */
  RegExp: 6,
  /** The type of a view, a length, and as many bytes. */
  View: 7,
  /** The values of a container, and the token that ends it. */
  Container: 8,
  /** The end of a container, followed by how many values it has. */
  End: 9
} as const

/** A token without a meaning, which V8 writes in front of strings of UTF-16. */
const padding = 0

/** What follows each token. */
const kinds = /*#__PURE__*/ new Uint8Array(256)
for (const [tokens, kind] of [
  ["_0TF", Kind.Nothing], // undefined, null, true, false
  ["IU^", Kind.Integer], // with a sign, without, a reference to an object before
  ["ND", Kind.EightBytes], // a number, a Date
  ["Z", Kind.BigInt],
  ['"cSB', Kind.Bytes], // strings in Latin-1, UTF-16 and UTF-8, an ArrayBuffer
  ["R", Kind.RegExp],
  ["\\", Kind.View],
  ["oAa;'", Kind.Container], // a record, an array, an array that had holes, a Map, a Set
  ["{$@:,", Kind.End] // of each of them
] as const) {
  for (const token of tokens) kinds[token.charCodeAt(0)] = kind
}

/** The token that ends a container, by the token that begins it. */
const endOf = /*#__PURE__*/ new Uint8Array(256)
for (const pair of ["o{", "A$", "a@", ";:", "',"]) endOf[pair.charCodeAt(0)] = pair.charCodeAt(1)

/*
 * The state of an inspection. It is in variables rather than in an object: V8 forgets the class of an object that a
 * full collection has found unused, and with it the code that was compiled for the class, which made the first
 * thousand inspections after each collection twenty times slower. An inspection is synchronous, so that one state is
 * enough.
 */

/** The token that ends each container around the current token, by depth. */
const ends = /*#__PURE__*/ new Uint8Array(maxDepth + 1)
/** How many values each of them has so far, keys included. */
const values = /*#__PURE__*/ new Float64Array(maxDepth + 1)
/** The length of each of them that is an array. */
const lengths = /*#__PURE__*/ new Float64Array(maxDepth + 1)
/** Where the integer ends that `uint` has read. */
let after = 0

const uint = (bytes: Uint8Array, start: number): number => {
  let value = 0
  let at = start
  for (let scale = 1; scale <= 2 ** 28; scale *= 128) {
    if (at >= bytes.length) throw fail("is cut short")
    const byte = bytes[at++]!
    value += (byte & 0x7f) * scale
    if (byte < 0x80) {
      after = at
      return value
    }
  }
  throw fail("has a number that is too long")
}

/** Where the string ends that is the source of a RegExp. */
const endOfSource = (bytes: Uint8Array, start: number): number => {
  let at = start
  while (bytes[at] === padding) at++
  if (at >= bytes.length) throw fail("is cut short")
  if (kinds[bytes[at]!] !== Kind.Bytes) throw fail("has a RegExp without a source")
  const length = uint(bytes, at + 1)
  return after + length
}

/** Where a value ends that contains no others. It may be beyond the end of the bytes. */
const endOfLeaf = (bytes: Uint8Array, start: number, kind: number | undefined): number => {
  switch (kind) {
    case Kind.Nothing:
      return start
    case Kind.Integer:
      uint(bytes, start)
      return after
    case Kind.EightBytes:
      return start + 8
    case Kind.BigInt: {
      const length = uint(bytes, start) >>> 1
      return after + length
    }
    case Kind.Bytes: {
      const length = uint(bytes, start)
      return after + length
    }
    case Kind.RegExp:
      uint(bytes, endOfSource(bytes, start))
      return after
    case Kind.View: {
      uint(bytes, start)
      const length = uint(bytes, after)
      return after + length
    }
  }
  throw fail("has a token that this serializer does not write")
}

/** Checks the end of a container, and returns how many of its values are keys. */
const keysOf = (bytes: Uint8Array, start: number, token: number, depth: number): number => {
  if (ends[depth] !== token) throw fail("has a container that ends as another")
  const count = values[depth]!
  uint(bytes, start)
  if (token === 0x7b /* { */) return count / 2
  if (token !== 0x24 /* $ */ && token !== 0x40 /* @ */) return 0
  uint(bytes, after)
  const length = lengths[depth]!
  if (token === 0x24 /* $ */) {
    if (count !== length) throw fail("has an array of another length")
    return 0
  }
  // V8 writes an array in this form, too, if it had holes before it was filled
  if (count !== 2 * length) throw fail("is an array with holes")
  return length
}

/** Inspects the value whose tokens begin at `start`. Throws for bytes that must not reach V8. */
export const inspect = (bytes: Uint8Array, start: number, limits: Limits | undefined): void => {
  const max = maxElements(limits)
  let at = start
  let depth = 0
  let elements = 0
  do {
    if (at >= bytes.length) throw fail("is cut short")
    const token = bytes[at++]!
    if (token === padding) continue
    const kind = kinds[token]
    if (kind === Kind.End) {
      elements -= keysOf(bytes, at, token, depth)
      at = after
      depth--
      continue
    }
    values[depth]!++
    // the value itself is not an element, and the keys of a record are subtracted when it ends
    if (++elements > 2 * max + 1) throw fail(hasTooMany(max))
    if (kind !== Kind.Container) at = endOfLeaf(bytes, at, kind)
    else {
      if (depth++ === maxDepth) throw fail(`is nested deeper than ${maxDepth}`)
      ends[depth] = endOf[token]!
      values[depth] = 0
      if (token === 0x41 /* A */ || token === 0x61 /* a */) {
        lengths[depth] = uint(bytes, at)
        at = after
      }
    }
  } while (depth > 0 || elements === 0)
  if (elements > max + 1) throw fail(hasTooMany(max))
  if (at !== bytes.length) throw fail(at > bytes.length ? "is cut short" : "is followed by other bytes")
}
