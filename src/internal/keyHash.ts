/**
 * Hashes values for keys, over a canonical encoding of plain data and of Effect's structural values.
 */
import { sha256 } from "@noble/hashes/sha2.js"
import * as BigDecimal from "effect/BigDecimal"
import * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Hash from "effect/Hash"
import * as HashMap from "effect/HashMap"
import * as HashSet from "effect/HashSet"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { KeyError } from "../CacheError.js"
import { segmentOf } from "./report.js"
import { arrayPrototype, hasOnlyElements, isStructural } from "./structural.js"

/** The limits of a value to hash. If it contains one part many times, its encoding is far larger than the value. */
const maxDepth = 256
const maxBytes = 67_108_864

/**
 * Writes a value so that equal values, and only those, give equal bytes.
 *
 * Every value begins with a tag, followed by its length if that is not fixed. So no value is a prefix of another, and
 * lists of values need no separators.
 */
class CanonicalWriter {
  private bytes = new Uint8Array(256)
  private view = new DataView(this.bytes.buffer)
  private length = 0
  private readonly path: Array<string> = []
  private readonly open = new Set<object>()

  result(): Uint8Array {
    return this.bytes.subarray(0, this.length)
  }

  fail(detail: string, cause?: unknown): KeyError {
    return new KeyError({ template: "Key.hash", detail: `$${this.path.join("")} ${detail}`, cause })
  }

  value(value: unknown): void {
    if (value === undefined) this.tag("u")
    else if (value === null) this.tag("0")
    else if (typeof value === "object") this.object(value)
    else if (typeof value === "boolean") this.tag(value ? "t" : "f")
    else if (typeof value === "number") this.number("n", value)
    else if (typeof value === "bigint") this.text("i", value.toString(16))
    else if (typeof value === "string") this.text("s", value)
    else throw this.fail(`is a ${typeof value}`)
  }

  private object(value: object): void {
    if (this.open.has(value)) throw this.fail("contains itself")
    if (this.open.size >= maxDepth) throw this.fail(`is more than ${maxDepth} deep`)
    this.open.add(value)
    const prototype = Object.getPrototypeOf(value)
    if (Array.isArray(value) && prototype === Array.prototype) this.array("a", value)
    else if (prototype === Object.prototype || prototype === null) this.record("r", value)
    else if (value instanceof Uint8Array) {
      if (!hasOnlyElements(value)) throw this.fail("has properties besides its elements")
      this.count("b", value.length)
      this.reserve(value.length)
      this.bytes.set(value, this.length)
      this.length += value.length
    } else if (Option.isOption(value)) {
      this.tag(Option.isSome(value) ? "S" : "N")
      if (Option.isSome(value)) this.at(".value", value.value)
    } else if (this.structural(value, prototype)) {
      // written
    } else if (Reflect.ownKeys(value).length > 0) throw this.fail("is an instance of a class")
    else if (value instanceof Date && prototype === Date.prototype) {
      this.number("d", value.getTime())
    } else if (value instanceof Map && prototype === Map.prototype) {
      this.map("m", Array.from(value))
    } else if (value instanceof Set && prototype === Set.prototype) {
      this.set("e", Array.from(value))
    } else throw this.fail("is an instance of a class")
    this.open.delete(value)
  }

  /**
   * Writes a value that Effect compares by its content, and returns whether it is one. The name of its class does not
   * count, as it does not for `Equal.equals`.
   */
  private structural(value: object, prototype: unknown): boolean {
    if (prototype === arrayPrototype && Array.isArray(value)) this.array("A", value)
    else if (isStructural(value)) this.record("D", value)
    else if (Either.isEither(value)) {
      this.tag(Either.isRight(value) ? "R" : "L")
      this.at(Either.isRight(value) ? ".right" : ".left", Either.merge(value))
    } else if (Chunk.isChunk(value)) {
      this.count("C", value.length)
      let i = 0
      for (const element of value) this.at(`[${i++}]`, element)
    } else if (Duration.isDuration(value)) {
      this.tag("P")
      const onMillis = (millis: number) => (Number.isFinite(millis) ? BigInt(millis) * 1_000_000n : millis)
      this.value(Duration.match(value, { onMillis, onNanos: (nanos): number | bigint => nanos }))
    } else if (DateTime.isDateTime(value)) {
      this.number(DateTime.isUtc(value) ? "U" : "Z", value.epochMillis)
      if (DateTime.isZoned(value)) this.value(value.zone._tag === "Offset" ? value.zone.offset : value.zone.id)
    } else if (BigDecimal.isBigDecimal(value)) {
      const { scale, value: digits } = BigDecimal.normalize(value)
      this.tag("B")
      this.value(digits)
      this.value(scale)
    } else if (HashMap.isHashMap(value)) this.map("M", HashMap.toEntries(value))
    else if (HashSet.isHashSet(value)) this.set("H", HashSet.toValues(value))
    else if (Redacted.isRedacted(value)) throw this.fail("is Redacted: a secret must not become part of a key")
    else return false
    return true
  }

  private array(tag: string, value: ReadonlyArray<unknown>): void {
    this.count(tag, value.length)
    for (let i = 0; i < value.length; i++) this.property(value, i, `[${i}]`)
    // one key for each element, and `length`
    if (ownKeys(value).length !== value.length + 1) throw this.fail("is an array with extra properties")
  }

  private map(tag: string, entries: ReadonlyArray<readonly [unknown, unknown]>): void {
    this.unordered(tag, entries.length, (i) => {
      this.at(`<key ${i}>`, entries[i]![0])
      this.at(`<value ${i}>`, entries[i]![1])
    })
  }

  private set(tag: string, elements: ReadonlyArray<unknown>): void {
    this.unordered(tag, elements.length, (i) => this.at(`<${i}>`, elements[i]))
  }

  private record(tag: string, value: object): void {
    const keys = ownKeys(value)
    if (!keys.every((key) => typeof key === "string")) throw this.fail("has a symbol as a key")
    keys.sort()
    this.count(tag, keys.length)
    for (const key of keys) {
      this.text("s", key)
      this.property(value, key, segmentOf(key))
    }
  }

  private property(of: object, key: PropertyKey, step: string): void {
    const descriptor = Object.getOwnPropertyDescriptor(of, key)
    if (descriptor?.enumerable === true && "value" in descriptor) {
      this.at(step, descriptor.value)
      return
    }
    this.path.push(step)
    throw this.fail(
      descriptor === undefined ? "is a hole" : descriptor.enumerable ? "is an accessor" : "is not enumerable"
    )
  }

  private at(step: string, value: unknown): void {
    this.path.push(step)
    this.value(value)
    this.path.pop()
  }

  /** Writes the members in the order of their bytes: the order of a `Map` or a `Set` does not count. */
  private unordered(tag: string, size: number, write: (index: number) => void): void {
    this.count(tag, size)
    const start = this.length
    const members: Array<Uint8Array> = []
    for (let i = 0; i < size; i++) {
      const from = this.length
      write(i)
      members.push(this.bytes.slice(from, this.length))
    }
    members.sort(compareBytes)
    let at = start
    for (const member of members) {
      this.bytes.set(member, at)
      at += member.length
    }
  }

  private reserve(more: number): void {
    const needed = this.length + more
    if (needed <= this.bytes.length) return
    if (needed > maxBytes) throw this.fail(`is too large to hash: beyond 64 MiB`)
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2))
    grown.set(this.bytes)
    this.bytes = grown
    this.view = new DataView(grown.buffer)
  }

  private tag(tag: string): void {
    this.reserve(1)
    this.bytes[this.length++] = tag.charCodeAt(0)
  }

  private count(tag: string, size: number): void {
    this.tag(tag)
    this.reserve(4)
    this.view.setUint32(this.length, size)
    this.length += 4
  }

  private number(tag: string, value: number): void {
    this.tag(tag)
    this.reserve(8)
    // NaN has many bit patterns, and a JavaScript engine may use any of them
    if (Number.isNaN(value)) this.view.setBigUint64(this.length, 0x7ff8000000000000n)
    else this.view.setFloat64(this.length, value === 0 ? 0 : value)
    this.length += 8
  }

  /** Writes UTF-16: in UTF-8 all lone surrogates would become the same bytes. */
  private text(tag: string, value: string): void {
    this.count(tag, value.length)
    this.reserve(value.length * 2)
    for (let i = 0; i < value.length; i++, this.length += 2) this.view.setUint16(this.length, value.charCodeAt(i))
  }
}

/** The keys of an object, without the symbol under which Effect remembers its hash. */
const ownKeys = (value: object): Array<string | symbol> => Reflect.ownKeys(value).filter((key) => key !== Hash.symbol)

const compareBytes = (a: Uint8Array, b: Uint8Array): number => {
  const shared = Math.min(a.length, b.length)
  for (let i = 0; i < shared; i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return a.length - b.length
}

/**
 * 128 bits of SHA-256 over the canonical encoding, as base64url. Throws `KeyError` for a value that has none.
 *
 * @internal
 */
export const hashValue = (value: unknown): string => {
  const writer = new CanonicalWriter()
  try {
    writer.value(value)
  } catch (cause) {
    // a proxy may throw whenever it is asked for something
    throw cause instanceof KeyError ? cause : writer.fail("could not be read", cause)
  }
  return Encoding.encodeBase64Url(sha256(writer.result()).subarray(0, 16))
}
