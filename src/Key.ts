/**
 * Keys: what a template may say, checked by the compiler; how arguments become a text, so that different arguments
 * never share one; and a hash for what is too large, or too structured, to stand in a key.
 *
 * @since 0.1.0
 */
import { sha256 } from "@noble/hashes/sha2.js"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import { KeyError } from "./CacheError.js"

/**
 * What may stand for a placeholder. Numbers must be finite, `-0` is `0`.
 *
 * @category models
 * @since 0.1.0
 */
export type KeyPart = string | number | bigint | boolean

/** The arguments that are surely there: `[a, b?, ...c]` gives `[a]`. */
type Fixed<Args extends ReadonlyArray<any>, Acc extends ReadonlyArray<any> = []> = Args extends readonly [
  infer H,
  ...infer T
]
  ? Fixed<T, [...Acc, H]>
  : Acc

/**
 * `any` passes every other question, so it is asked for where the answer would be yes. A union of functions, since the
 * compiler takes `[string | number]` for `[string] | [number]`.
 */
type Part<Label extends string, T> = (() => T) extends
  | (() => string)
  | (() => number)
  | (() => bigint)
  | (() => boolean)
  ? 0 extends 1 & T
    ? `${Label} is any: give it a type`
    : never
  : [T] extends [KeyPart]
    ? `${Label} mixes kinds, and 1 and "1" are the same text: use a key function`
    : [T] extends [KeyPart | undefined | null]
      ? `${Label} may be ${undefined extends T ? "undefined" : "null"}: use a key function that says what that means`
      : `${Label} is no string, number, bigint or boolean: use a key function, or Key.hash`

type At<
  Label extends string,
  I extends string,
  F extends ReadonlyArray<any>,
  Args extends ReadonlyArray<any>
> = I extends keyof F
  ? Part<Label, F[I]>
  : I extends keyof Args | (number extends Args["length"] ? string : never)
    ? `${Label} names an argument that may be absent: use a key function`
    : `${Label} names no argument of the lookup`

/** The names of a record that are surely there: those of an index signature are not. */
type Known<H> = keyof { [K in keyof H as string extends K ? never : K]: 0 }

type Property<P extends string, H> = 0 extends 1 & H
  ? `{${P}} names a property, but the first argument is any: give it a type`
  : [H] extends [KeyPart | ReadonlyArray<any> | ((...args: any) => any)]
    ? `{${P}} names a property, but the first argument is no record`
    : [H] extends [object]
      ? P extends Known<H>
        ? Part<`{${P}}`, H[P & keyof H]>
        : P extends keyof H
          ? `{${P}} comes from an index signature and may be absent: use a key function`
          : `{${P}} names no property of the first argument`
      : `{${P}} names a property, but the first argument is no record`

type Named<P extends string, F extends ReadonlyArray<any>, Args extends ReadonlyArray<any>> = F extends readonly [
  infer H,
  ...any
]
  ? Property<P, H>
  : At<`{${P}}`, "0", F, Args>

/** What stands behind a placeholder: nothing, or a character that no escape contains. */
type Follow<Label extends string, Rest extends string> = Rest extends `{${infer R}`
  ? R extends `{${string}`
    ? never
    : `${Label} and {${R extends `${infer P}}${string}` ? P : R}} are adjacent: put a text such as ":" between them`
  : Rest extends `${infer C}${string}`
    ? string extends C
      ? never
      : Uppercase<C> extends Exclude<Lowercase<C>, "%" | "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9">
        ? never
        : `${Label} is followed by ${C}: begin that text with something that is no letter, digit or %`
    : never

/** Whether a text without `{` has a `}` that is not doubled. */
type HasLone<T extends string> = T extends `${string}}${infer R}`
  ? R extends `}${infer Rest}`
    ? HasLone<Rest>
    : true
  : false

type Walk<
  T extends string,
  F extends ReadonlyArray<any>,
  Args extends ReadonlyArray<any>,
  N extends ReadonlyArray<0> = [],
  Problem = never
> = [Problem] extends [never]
  ? T extends `${infer A}{${infer R}`
    ? HasLone<A> extends true
      ? "a lone } in the template: write }} for a literal brace"
      : R extends `{${infer Rest}`
        ? Walk<Rest, F, Args, N>
        : R extends `${infer P}}${infer Rest}`
          ? P extends `${string}{${string}`
            ? `{${P} is never closed: write {{ for a literal brace`
            : P extends ""
              ? Walk<
                  Rest,
                  F,
                  Args,
                  [...N, 0],
                  | At<`{} (number ${[...N, 0]["length"]})`, `${N["length"]}`, F, Args>
                  | Follow<`{} (number ${[...N, 0]["length"]})`, Rest>
                >
              : P extends `${bigint}`
                ? Walk<Rest, F, Args, N, At<`{${P}}`, P, F, Args> | Follow<`{${P}}`, Rest>>
                : Walk<Rest, F, Args, N, Named<P, F, Args> | Follow<`{${P}}`, Rest>>
          : `{${R} is never closed: write {{ for a literal brace`
    : HasLone<T> extends true
      ? "a lone } in the template: write }} for a literal brace"
      : never
  : Problem

/**
 * `never` when every placeholder of a template names a part of the key; otherwise a sentence about the first one that
 * does not. A template that the compiler does not know (a computed `string`) is not checked here, but when it is first
 * used.
 *
 * @example
 * ```ts
 * import type { Key } from "effect-cached"
 *
 * type Right = Key.KeyProblem<"user:{}", [id: number]> // never
 * type Wrong = Key.KeyProblem<"user:{userID}", [{ readonly userId: number }]>
 * //   "{userID} names no property of the first argument"
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export type KeyProblem<T extends string, Args extends ReadonlyArray<any>> = 0 extends 1 & Args
  ? never
  : string extends T
    ? never
    : Walk<T, Fixed<Args>, Args>

/**
 * A template, compiled once.
 *
 * - `static`: the whole key, when the template has no placeholder
 * - `key`: the key of a list of arguments (`arguments` will do)
 * - `one`: the key of the first argument alone, when the template has one placeholder and it asks for that
 *
 * They throw `KeyError` for an argument that is missing or no key part.
 *
 * @internal
 */
export interface Compiled {
  readonly template: string
  readonly static: string | undefined
  readonly key: (args: ArrayLike<unknown>) => string
  readonly one: ((arg: unknown) => string) | undefined
}

interface Placeholder {
  /** as the types call it: `{} (number 1)`, `{0}`, `{userId}` */
  readonly label: string
  readonly index: number
  readonly property: string | undefined
}

interface Parsed {
  /** one more than placeholders: what stands before, between and after them, unescaped */
  readonly literals: ReadonlyArray<string>
  readonly placeholders: ReadonlyArray<Placeholder>
}

const parse = (template: string): Parsed => {
  const fail = (detail: string): never => {
    throw new KeyError({ template, detail })
  }
  const literals: Array<string> = []
  const placeholders: Array<Placeholder> = []
  let literal = ""
  let next = 0
  for (let i = 0; i < template.length; i++) {
    const char = template[i]
    if (char !== "{" && char !== "}") {
      literal += char
      continue
    }
    if (template[i + 1] === char) {
      literal += char
      i++
      continue
    }
    if (char === "}") fail("a lone } in the template: write }} for a literal brace")
    const end = template.indexOf("}", i)
    const text = template.slice(i + 1, end === -1 ? undefined : end)
    if (end === -1 || text.includes("{")) fail(`{${text} is never closed: write {{ for a literal brace`)
    const positional = /^(?:0|[1-9]\d*)?$/.test(text)
    const index = text === "" ? next++ : positional ? Number(text) : 0
    const label = text === "" ? `{} (number ${next})` : `{${text}}`
    if (placeholders.length > 0 && literal === "") {
      fail(`${placeholders.at(-1)!.label} and {${text}} are adjacent: put a text such as ":" between them`)
    }
    placeholders.push({ label, index, property: positional ? undefined : text })
    literals.push(literal)
    literal = ""
    i = end
  }
  literals.push(literal)
  placeholders.forEach(({ label }, i) => {
    const first = String.fromCodePoint(literals[i + 1]!.codePointAt(0) ?? 0)
    if (/[0-9%]/.test(first) || first.toLowerCase() !== first.toUpperCase()) {
      fail(`${label} is followed by ${first}: begin that text with something that is no letter, digit or %`)
    }
  })
  // Such a text would become U+FFFD on its way to a medium, and meet other keys there.
  if (/\p{Surrogate}/u.test(template)) fail("the template has half of a surrogate pair")
  return { literals, placeholders }
}

const hex = (byte: number): string => "0123456789ABCDEF".charAt(byte >> 4) + "0123456789ABCDEF".charAt(byte & 15)

const percentUtf8 = (point: number): string => {
  if (point < 0x80) return `%${hex(point)}`
  const tail = (shift: number) => `%${hex(0x80 | ((point >> shift) & 0x3f))}`
  if (point < 0x800) return `%${hex(0xc0 | (point >> 6))}${tail(0)}`
  if (point < 0x10000) return `%${hex(0xe0 | (point >> 12))}${tail(6)}${tail(0)}`
  return `%${hex(0xf0 | (point >> 18))}${tail(12)}${tail(6)}${tail(0)}`
}

/** What is escaped before every literal: by code unit below 128, and as a class of characters. */
const isReserved = /*#__PURE__*/ Uint8Array.from({ length: 128 }, (_, code) =>
  code < 0x20 || code === 0x7f || "%:{}#".includes(String.fromCharCode(code)) ? 1 : 0
)
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const hasReserved = /[\0-\x1f%:{}#\x7f-\x9f\ud800-\udfff]/

const escape = (text: string, follow: number): string => {
  let out = ""
  let from = 0
  for (let i = 0; i < text.length; i++) {
    const point = text.codePointAt(i)!
    const at = i
    if (point > 0xffff) i++
    const half = point >= 0xd800 && point <= 0xdfff
    if (half || point === follow || (point < 0x80 ? isReserved[point] === 1 : point < 0xa0)) {
      out += text.slice(from, at) + (half ? `%u${hex(point >> 8)}${hex(point & 0xff)}` : percentUtf8(point))
      from = i + 1
    }
  }
  return out + text.slice(from)
}

/** What is wrong with a part, without its content: that may be a secret, or throw when it is made a text. */
const describe = (value: unknown): string => {
  if (value === undefined) return "is missing, or undefined"
  if (typeof value === "number") return `is ${value}`
  if (value === null) return "is null"
  if (Array.isArray(value)) return "is an array"
  return typeof value === "object" ? "is an object" : `is a ${typeof value}`
}

/**
 * Turns a value into its text in a key. The literal that follows ends the value: its first character does not occur in
 * the text of any value, so a key can be taken apart in one way only.
 */
const encoder = (template: string, label: string, literal: string) => {
  const follow = literal.codePointAt(0) ?? -1
  const first = literal.charAt(0)
  const plainNumbers = first === "" || !"+-.".includes(first)
  const unsafe = isReserved.slice()
  if (follow >= 0 && follow < unsafe.length) unsafe[follow] = 1
  // a character beyond the BMP begins with a surrogate, and those are looked at anyway
  const hasUnsafe =
    follow < 0 || follow > 0xffff || hasReserved.test(first)
      ? hasReserved
      : new RegExp(`${hasReserved.source.slice(0, -1)}\\u${hex(follow >> 8)}${hex(follow & 0xff)}]`)
  const encodeText = (text: string): string => {
    // the loop is the faster of the two up to a dozen characters, the expression beyond
    if (text.length > 12) return hasUnsafe.test(text) ? escape(text, follow) : text
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      if (unit < 0x80 ? unsafe[unit] === 1 : unit < 0xa0 || (unit & 0xf800) === 0xd800 || unit === follow) {
        return escape(text, follow)
      }
    }
    return text
  }
  return (value: unknown): string => {
    if (typeof value === "string") return encodeText(value)
    // Infinity - Infinity and NaN - NaN are NaN
    if ((typeof value === "number" && value - value === 0) || typeof value === "bigint") {
      return plainNumbers ? `${value}` : encodeText(`${value}`)
    }
    if (typeof value === "boolean") return value ? "true" : "false"
    throw new KeyError({ template, detail: `${label} ${describe(value)}` })
  }
}

const propertyReader =
  (template: string, label: string, property: string) =>
  (record: unknown): unknown => {
    if (typeof record !== "object" || record === null) {
      throw new KeyError({ template, detail: `${label} names a property, but the first argument is no record` })
    }
    try {
      return (record as Record<string, unknown>)[property]
    } catch (cause) {
      throw new KeyError({ template, detail: `${label} could not be read`, cause })
    }
  }

const needsParsing = /[{}\ud800-\udfff]/

/**
 * Compiles a template into a concatenation. Throws `KeyError` for a template that is malformed.
 *
 * @internal
 */
export const compile = (template: string): Compiled => {
  const { literals, placeholders } = needsParsing.test(template)
    ? parse(template)
    : { literals: [template], placeholders: [] }
  if (placeholders.length === 0) {
    const text = literals[0]!
    return { template, static: text, key: () => text, one: undefined }
  }
  const reads = placeholders.map(({ index }) => index)
  const parts = placeholders.map(({ label, property }, i): ((value: unknown) => string) => {
    const encode = encoder(template, label, literals[i + 1]!)
    if (property === undefined) return encode
    const read = propertyReader(template, label, property)
    return (record) => encode(read(record))
  })
  const [before, between, after] = literals as [string, string, string]
  const [part, part2] = parts as [(typeof parts)[0], (typeof parts)[0]]
  const [index, index2] = reads as [number, number]
  if (parts.length === 1) {
    const key = between === "" ? (arg: unknown) => before + part(arg) : (arg: unknown) => before + part(arg) + between
    return { template, static: undefined, key: (args) => key(args[index]), one: index === 0 ? key : undefined }
  }
  const key: Compiled["key"] =
    parts.length === 2
      ? (args) => before + part(args[index]) + between + part2(args[index2]) + after
      : (args) => parts.reduce((text, part, i) => text + part(args[reads[i]!]) + literals[i + 1]!, before)
  return { template, static: undefined, key, one: undefined }
}

/**
 * What a placeholder makes of a value, for a key that is put together by hand: the key of an effect or of `Cached.bg` has
 * no arguments to take it from. Throws `KeyError` for what is no key part.
 *
 * @example
 * ```ts
 * import { Key } from "effect-cached"
 *
 * const key = `total:${Key.part("/srv/{new}")}` // total:/srv/%7Bnew%7D
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const part: (value: KeyPart) => string = /*#__PURE__*/ encoder("Key.part", "the value", "")

/**
 * The label of a template in metrics, spans and logs: its text up to the first `:` or placeholder. When that is empty,
 * the first text that is not (`"{tenant}:user:{id}"` is `user`), and the template itself when there is none.
 *
 * @example
 * ```ts
 * import { Key } from "effect-cached"
 *
 * Key.name("user:{}") // "user"
 * ```
 *
 * @category metrics
 * @since 0.1.0
 */
export const name = (template: string): string => {
  // a placeholder, or a text without colons in which braces are doubled
  for (const [, text] of template.matchAll(/\{(?!\{)[^}]*\}?|((?:\{\{|[^:{])+)/g)) {
    if (text !== undefined) return text.replaceAll("{{", "{").replaceAll("}}", "}")
  }
  return template
}

/** Bounds on what is hashed: a value whose parts are shared many times over is far larger than the memory it takes. */
const maxDepth = 256
const maxBytes = 67_108_864

/**
 * Writes a value so that equal values, and only these, give equal bytes. Every value begins with a tag, and what has no
 * fixed length with its length: no value is the beginning of another, so lists of values need no separators.
 */
class Writer {
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
    if (Array.isArray(value) && prototype === Array.prototype) this.array(value)
    else if (prototype === Object.prototype || prototype === null) this.record(value)
    else if (value instanceof Uint8Array) {
      this.count("b", value.length)
      this.reserve(value.length)
      this.bytes.set(value, this.length)
      this.length += value.length
    } else if (Option.isOption(value)) {
      this.tag(Option.isSome(value) ? "S" : "N")
      if (Option.isSome(value)) this.at(".value", value.value)
    } else if (Reflect.ownKeys(value).length > 0) throw this.fail("is an instance of a class")
    else if (value instanceof Date && prototype === Date.prototype) {
      this.number("d", value.getTime())
    } else if (value instanceof Map && prototype === Map.prototype) {
      const entries = Array.from(value)
      this.unordered("m", entries.length, (i) => {
        this.at(`<key ${i}>`, entries[i]![0])
        this.at(`<value ${i}>`, entries[i]![1])
      })
    } else if (value instanceof Set && prototype === Set.prototype) {
      const elements = Array.from(value)
      this.unordered("e", elements.length, (i) => this.at(`<${i}>`, elements[i]))
    } else throw this.fail("is an instance of a class")
    this.open.delete(value)
  }

  private array(value: ReadonlyArray<unknown>): void {
    this.count("a", value.length)
    for (let i = 0; i < value.length; i++) this.property(value, i, `[${i}]`)
    // `length`, and one for each element
    if (Reflect.ownKeys(value).length !== value.length + 1) throw this.fail("is an array with further properties")
  }

  private record(value: object): void {
    const keys = Reflect.ownKeys(value)
    if (!keys.every((key) => typeof key === "string")) throw this.fail("has a symbol for a key")
    keys.sort()
    this.count("r", keys.length)
    for (const key of keys) {
      this.text("s", key)
      this.property(value, key, /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`)
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

  /** Members in the order of their bytes. */
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
    // which of its many bit patterns a NaN is written with is the engine's choice
    if (Number.isNaN(value)) this.view.setBigUint64(this.length, 0x7ff8000000000000n)
    else this.view.setFloat64(this.length, value === 0 ? 0 : value)
    this.length += 8
  }

  /** UTF-16, not UTF-8, where all lone surrogates are the same. */
  private text(tag: string, value: string): void {
    this.count(tag, value.length)
    this.reserve(value.length * 2)
    for (let i = 0; i < value.length; i++, this.length += 2) this.view.setUint16(this.length, value.charCodeAt(i))
  }
}

const compareBytes = (a: Uint8Array, b: Uint8Array): number => {
  const shared = Math.min(a.length, b.length)
  for (let i = 0; i < shared; i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return a.length - b.length
}

/**
 * A short text for a value that is too large, or too structured, to stand in a key: 128 bits of SHA-256, 22 characters
 * of base64url. The same value gives the same text in every process and every version.
 *
 * **Details**
 *
 * Takes strings, all numbers, bigints, booleans, `null`, `undefined`, `Date`, `Uint8Array`, `Option`, and arrays,
 * records, `Map` and `Set` of these. The order of a record's keys, of a `Map` and of a `Set` does not count; everything
 * else does: `1` is not `"1"`, `{ a: undefined }` is not `{}`, a lone surrogate is not another. Three things are the
 * same: `-0` and `0`, a record with and without a prototype, a `Buffer` and a `Uint8Array` of its bytes.
 *
 * **Gotchas**
 *
 * Whatever cannot be told apart faithfully throws `KeyError`, which says where it is: functions, symbols, instances of
 * classes, accessors, holes, cycles, more than 256 levels, more than 64 MiB. In a key function that is a defect of the
 * read.
 *
 * @example
 * ```ts
 * import { Key } from "effect-cached"
 *
 * const key = (query: { readonly text: string; readonly page: number }) => `search:${Key.hash(query)}`
 *
 * key({ text: "cache", page: 1 }) === key({ page: 1, text: "cache" }) // true
 * ```
 *
 * @category hashing
 * @since 0.1.0
 */
export const hash = (value: unknown): string => {
  const writer = new Writer()
  try {
    writer.value(value)
  } catch (cause) {
    // a proxy may throw from any question
    throw cause instanceof KeyError ? cause : writer.fail("could not be read", cause)
  }
  return Encoding.encodeBase64Url(sha256(writer.result()).subarray(0, 16))
}
