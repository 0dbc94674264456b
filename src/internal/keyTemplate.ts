/**
 * Compiles key templates, and encodes values so that different arguments never give the same key.
 */
import * as PrimaryKey from "effect/PrimaryKey"
import { KeyError } from "../CacheError.js"
import { kindOf } from "./kindOf.js"

/**
 * A template, compiled once. Its functions throw `KeyError` for an argument that is missing or cannot be part of a key.
 */
export interface Compiled {
  readonly template: string
  /** What the placeholders take: arguments by position, properties of the first argument by name. */
  readonly mentioned: ReadonlyArray<number | string>
  /** The whole key, when the template has no placeholder. */
  readonly static: string | undefined
  /** The key of a list of arguments; an `arguments` object will do. */
  readonly key: (args: ArrayLike<unknown>) => string
  /** The key of the first argument, when the template has one placeholder and that takes the first argument. */
  readonly one: ((arg: unknown) => string) | undefined
}

interface Placeholder {
  /** The placeholder as messages of the types name it: `{} (number 1)`, `{0}`, `{userId}`. */
  readonly label: string
  readonly index: number
  readonly property: string | undefined
}

interface Parsed {
  /** The texts before, between and after the placeholders, unescaped: one more than there are placeholders. */
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
      fail(`${label} is followed by ${first}: begin that text with a character that is not a letter, a digit or %`)
    }
  })
  // encoded as UTF-8, half of a pair would become U+FFFD, and different keys would meet in the backend
  if (/\p{Surrogate}/u.test(template)) fail("the template contains half of a surrogate pair")
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

/** The characters that are escaped in every value: by code unit below 128, and as a class of characters. */
const isReserved = /*#__PURE__*/ Uint8Array.from({ length: 128 }, (_, code) =>
  code < 0x20 || code === 0x7f || "%:{}#".includes(String.fromCharCode(code)) ? 1 : 0
)
// biome-ignore lint/suspicious/noControlCharactersInRegex: it looks for control characters
const hasReserved = /[\0-\x1f%:{}#\x7f-\x9f\ud800-\udfff]/

/** Escapes the reserved characters of a value, and the character `follow`, which ends the value in its template. */
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

/** Describes an unsuitable value. */
const describe = (value: unknown): string => {
  if (value === undefined) return "is missing, or undefined: use a key function that says what that means"
  if (value === null) return "is null: use a key function that says what that means"
  if (typeof value === "number") return `is ${value}: a number in a key must be finite`
  return `is ${kindOf(value)}, not a string, number, bigint or boolean: use a key function, or Key.hash`
}

/**
 * Makes the function that turns a value into its text in a key.
 *
 * The first character of the literal behind the placeholder does not occur in the text of any value, so it ends the
 * value, and a key can be taken apart in one way only.
 */
export const encoder = (template: string, label: string, literal: string) => {
  const follow = literal.codePointAt(0) ?? -1
  const first = literal.charAt(0)
  const plainNumbers = first === "" || !"+-.".includes(first)
  const unsafe = isReserved.slice()
  if (follow >= 0 && follow < unsafe.length) unsafe[follow] = 1
  // a character beyond the BMP begins with a surrogate, and the class of reserved characters contains those
  const hasUnsafe =
    follow < 0 || follow > 0xffff || hasReserved.test(first)
      ? hasReserved
      : new RegExp(`${hasReserved.source.slice(0, -1)}\\u${hex(follow >> 8)}${hex(follow & 0xff)}]`)
  const encodeText = (text: string): string => {
    // up to a dozen characters the loop is faster than the expression
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
    // a number is finite when `value - value` is 0: for infinities and NaN it is NaN
    if ((typeof value === "number" && value - value === 0) || typeof value === "bigint") {
      return plainNumbers ? `${value}` : encodeText(`${value}`)
    }
    if (typeof value === "boolean") return value ? "true" : "false"
    if (typeof value === "object" && value !== null) {
      const text = primaryKeyOf(template, label, value)
      if (typeof text === "string") return encodeText(text)
    }
    throw new KeyError({ template, detail: `${label} ${describe(value)}` })
  }
}

const primaryKeyOf = (template: string, label: string, value: object): unknown => {
  try {
    return PrimaryKey.symbol in value ? PrimaryKey.value(value as PrimaryKey.PrimaryKey) : undefined
  } catch (cause) {
    throw new KeyError({ template, detail: `the primary key of ${label} could not be read`, cause })
  }
}

const propertyReader =
  (template: string, label: string, property: string) =>
  (record: unknown): unknown => {
    if (typeof record !== "object" || record === null) {
      throw new KeyError({ template, detail: `${label} names a property, but the first argument is not a record` })
    }
    try {
      return (record as Record<string, unknown>)[property]
    } catch (cause) {
      throw new KeyError({ template, detail: `${label} could not be read`, cause })
    }
  }

const needsParsing = /[{}\ud800-\udfff]/

/**
 * Compiles a template into a concatenation of texts. Throws `KeyError` for a malformed template.
 */
export const compile = (template: string): Compiled => {
  const { literals, placeholders } = needsParsing.test(template)
    ? parse(template)
    : { literals: [template], placeholders: [] }
  const mentioned = placeholders.map(({ index, property }) => property ?? index)
  if (placeholders.length === 0) {
    const text = literals[0]!
    return { template, mentioned, static: text, key: () => text, one: undefined }
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
  // one and two placeholders have code of their own: a loop over the parts would slow down every hit
  if (parts.length === 1) {
    const key = between === "" ? (arg: unknown) => before + part(arg) : (arg: unknown) => before + part(arg) + between
    return {
      template,
      mentioned,
      static: undefined,
      key: (args) => key(args[index]),
      one: index === 0 ? key : undefined
    }
  }
  const key: Compiled["key"] =
    parts.length === 2
      ? (args) => before + part(args[index]) + between + part2(args[index2]) + after
      : (args) => parts.reduce((text, part, i) => text + part(args[reads[i]!]) + literals[i + 1]!, before)
  return { template, mentioned, static: undefined, key, one: undefined }
}
