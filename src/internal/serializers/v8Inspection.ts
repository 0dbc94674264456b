/**
 * Inspects bytes before V8 reads them. V8 trusts the length of a sparse array, for which it allocates memory at once,
 * and bounds neither depth nor elements. Tokens that `NodeSerializer.v8` never writes are refused.
 */
import { SerializerError } from "../../CacheError.js"
import type { Limits } from "./serializer.js"
import { hasTooMany, maxDepth, maxElements } from "./valueWalk.js"

/** The error to throw for bytes that are refused. `decode` of the serializer catches it. */
const fail = (detail: string): SerializerError => new SerializerError({ reason: "Decode", path: "$", detail })

/** What follows a token. */
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

const kinds = new Uint8Array(256)
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
const endOf = new Uint8Array(256)
for (const pair of ["o{", "A$", "a@", ";:", "',"]) endOf[pair.charCodeAt(0)] = pair.charCodeAt(1)

class Inspection {
  private readonly bytes: Uint8Array
  private readonly maxElements: number
  private at: number
  private elements = 0
  private depth = 0
  /** The token that ends the container around `at`. */
  private end = 0
  /** How many values this container has so far, keys included. */
  private values = 0
  /** The length of this container, if it is an array. */
  private length = 0
  /** The same three of each container around this one. */
  private readonly outer: Array<number> = []

  constructor(bytes: Uint8Array, start: number, limits: Limits | undefined) {
    this.bytes = bytes
    this.at = start
    this.maxElements = maxElements(limits)
  }

  run(): void {
    do {
      const token = this.token()
      const kind = kinds[token]
      if (kind === Kind.End) {
        this.leave(token)
        continue
      }
      this.values++
      // the value itself is not an element, and a container that is still open may be a record, half of it keys
      if (++this.elements > 2 * this.maxElements + 1) throw fail(hasTooMany(this.maxElements))
      if (kind === Kind.Container) this.enter(token)
      else this.leaf(kind)
    } while (this.depth > 0)
    if (this.at < this.bytes.length) throw fail("is followed by other bytes")
  }

  private token(): number {
    let token = this.byte()
    while (token === 0 /* padding */) token = this.byte()
    return token
  }

  private byte(): number {
    if (this.at >= this.bytes.length) throw fail("is cut short")
    return this.bytes[this.at++]!
  }

  private skip(count: number): void {
    if (count > this.bytes.length - this.at) throw fail("is cut short")
    this.at += count
  }

  private uint(): number {
    const byte = this.byte()
    return byte < 0x80 ? byte : this.longUint(byte & 0x7f)
  }

  private longUint(first: number): number {
    let value = first
    for (let scale = 2 ** 7; scale <= 2 ** 28; scale *= 128) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
    throw fail("has a number that is too long")
  }

  private enter(token: number): void {
    if (this.depth++ === maxDepth) throw fail(`is nested deeper than ${maxDepth}`)
    this.outer.push(this.end, this.values, this.length)
    this.length = token === 0x41 /* A */ || token === 0x61 /* a */ ? this.uint() : 0
    this.end = endOf[token]!
    this.values = 0
  }

  private leave(token: number): void {
    if (this.end !== token) throw fail("has a container that ends as another")
    this.uint()
    switch (token) {
      case 0x7b /* { */:
        this.elements -= this.values >>> 1
        break
      case 0x24 /* $ */:
        this.uint()
        if (this.values !== this.length) throw fail("has an array of another length")
        break
      case 0x40 /* @ */:
        this.uint()
        // V8 writes an array in this form, too, if it had holes before it was filled
        if (this.values !== 2 * this.length) throw fail("is an array with holes")
        this.elements -= this.length
    }
    this.length = this.outer.pop()!
    this.values = this.outer.pop()!
    this.end = this.outer.pop()!
    this.depth--
    if (this.elements > this.maxElements + 1) throw fail(hasTooMany(this.maxElements))
  }

  /** A value that contains no others. */
  private leaf(kind: number | undefined): void {
    switch (kind) {
      case Kind.Nothing:
        return
      case Kind.Integer:
        this.uint()
        return
      case Kind.EightBytes:
        return this.skip(8)
      case Kind.BigInt:
        return this.skip(this.uint() >>> 1)
      case Kind.Bytes:
        return this.skip(this.uint())
      case Kind.RegExp:
        this.source()
        this.uint()
        return
      case Kind.View:
        this.uint()
        return this.skip(this.uint())
    }
    throw fail("has a token that this serializer does not write")
  }

  /** The source of a RegExp, which is a string. */
  private source(): void {
    if (kinds[this.token()] !== Kind.Bytes) throw fail("has a RegExp without a source")
    this.skip(this.uint())
  }
}

/** Inspects the value whose tokens begin at `start`. Throws for bytes that must not reach V8. */
export const inspect = (bytes: Uint8Array, start: number, limits: Limits | undefined): void =>
  new Inspection(bytes, start, limits).run()
