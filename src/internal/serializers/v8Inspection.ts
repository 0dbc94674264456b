/**
 * Inspects bytes before V8 reads them. V8 trusts the length of a sparse array, for which it allocates memory at once,
 * and bounds neither depth nor elements. Tokens that `NodeSerializer.v8` never writes are refused.
 */
import { SerializerError } from "../../CacheError.js"
import type { Limits } from "./serializer.js"
import { hasTooMany, maxDepth, maxElements } from "./valueWalk.js"

/** The error to throw for bytes that are refused. `decode` of the serializer catches it. */
const fail = (detail: string): SerializerError => new SerializerError({ reason: "Decode", path: "$", detail })

/** The tokens of containers: the first begins one, the second ends it. */
const containers = ["o{", "A$", "a@", ";:", "',"]

/** The token that ends a container, by the token that begins it. Zero for all other tokens. */
const endOf = new Uint8Array(256)
/** One for the tokens that end a container. */
const isEnd = new Uint8Array(256)
for (const pair of containers) {
  endOf[pair.charCodeAt(0)] = pair.charCodeAt(1)
  isEnd[pair.charCodeAt(1)] = 1
}

class Inspection {
  private readonly bytes: Uint8Array
  private readonly maxElements: number
  private at: number
  private elements = 0
  /** The token that ends each container around `at`. */
  private readonly ends: Array<number> = []
  /** How many values each of them has so far, keys included. */
  private readonly values: Array<number> = []
  /** The length of each of them that is an array. */
  private readonly lengths: Array<number> = []

  constructor(bytes: Uint8Array, start: number, limits: Limits | undefined) {
    this.bytes = bytes
    this.at = start
    this.maxElements = maxElements(limits)
  }

  run(): void {
    do {
      const token = this.token()
      if (isEnd[token] === 1) this.leave(token)
      else {
        if (this.ends.length > 0) this.values[this.ends.length - 1]!++
        // the value itself is not an element, and a container that is still open may be a record, half of it keys
        if (++this.elements > 2 * this.maxElements + 1) throw fail(hasTooMany(this.maxElements))
        if (endOf[token] === 0) this.leaf(token)
        else this.enter(token)
      }
    } while (this.ends.length > 0)
    if (this.at < this.bytes.length) throw fail("is followed by other bytes")
  }

  private token(): number {
    let token = 0
    while (token === 0 /* padding */) {
      this.skip(1)
      token = this.bytes[this.at - 1]!
    }
    return token
  }

  private skip(count: number): void {
    if (count > this.bytes.length - this.at) throw fail("is cut short")
    this.at += count
  }

  private uint(): number {
    let value = 0
    for (let scale = 1; scale <= 2 ** 28; scale *= 128) {
      this.skip(1)
      const byte = this.bytes[this.at - 1]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
    throw fail("has a number that is too long")
  }

  private enter(token: number): void {
    const depth = this.ends.length
    if (depth === maxDepth) throw fail(`is nested deeper than ${maxDepth}`)
    this.lengths[depth] = token === 0x41 /* A */ || token === 0x61 /* a */ ? this.uint() : 0
    this.ends[depth] = endOf[token]!
    this.values[depth] = 0
  }

  private leave(token: number): void {
    const depth = this.ends.length - 1
    if (this.ends[depth] !== token) throw fail("has a container that ends as another")
    const values = this.values[depth]!
    const length = this.lengths[depth]!
    this.uint()
    switch (token) {
      case 0x7b /* { */:
        this.elements -= values / 2
        break
      case 0x24 /* $ */:
        this.uint()
        if (values !== length) throw fail("has an array of another length")
        break
      case 0x40 /* @ */:
        this.uint()
        // V8 writes an array in this form, too, if it had holes before it was filled
        if (values !== 2 * length) throw fail("is an array with holes")
        this.elements -= length
    }
    this.ends.pop()
    if (this.elements > this.maxElements + 1) throw fail(hasTooMany(this.maxElements))
  }

  /** A value that contains no others. */
  private leaf(token: number): void {
    switch (token) {
      case 0x5f: // undefined
      case 0x30: // null
      case 0x54: // true
      case 0x46: // false
        return
      case 0x49: // an integer
      case 0x55: // an integer without a sign
      case 0x5e: // a reference to an object before
        this.uint()
        return
      case 0x4e: // a number
      case 0x44: // a Date
        return this.skip(8)
      case 0x5a: // a bigint: its length is above the sign
        return this.skip(this.uint() >>> 1)
      case 0x22: // a string of Latin-1
      case 0x63: // a string of UTF-16
      case 0x53: // a string of UTF-8
      case 0x42: // an ArrayBuffer
        return this.skip(this.uint())
      case 0x52: // a RegExp: its source and its flags
        this.leaf(this.token())
        this.uint()
        return
      case 0x5c: // a view: its type and its bytes
        this.uint()
        return this.skip(this.uint())
    }
    throw fail("has a token that this serializer does not write")
  }
}

/** Inspects the value whose tokens begin at `start`. Throws for bytes that must not reach V8. */
export const inspect = (bytes: Uint8Array, start: number, limits: Limits | undefined): void =>
  new Inspection(bytes, start, limits).run()
