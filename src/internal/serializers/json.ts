/**
 * JSON text and bytes: parsing that neither throws nor accepts a value that is nested too deeply.
 */
import * as Either from "effect/Either"
import { SerializerError } from "../../CacheError.js"
import { type Limits, refuse } from "./serializer.js"
import { decoder, encoder } from "./utf8.js"
import { hasTooMany, maxDepth, maxElements } from "./valueWalk.js"

/** Where the string ends that begins at `start`, or the end of the text. */
const endOfString = (text: string, start: number): number => {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let escapes = 0
    while (text[end - 1 - escapes] === "\\") escapes++
    if (escapes % 2 === 0) return end
  }
  return text.length
}

/**
 * Whether a text has more commas and opening brackets than a value may have elements. Every element takes two
 * characters at least, so only long texts have to be searched.
 */
const isTooMany = (text: string, max: number): boolean => {
  if (text.length <= 2 * max) return false
  let count = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x22 /* " */) i = endOfString(text, i)
    else if ((code === 0x2c /* , */ || code === 0x5b /* [ */ || code === 0x7b) /* { */ && ++count > max) return true
  }
  return false
}

/** Whether `text` has enough brackets to nest deeper than `maxDepth`. Few texts do, so few values have to be walked. */
export const hasManyBrackets = (text: string): boolean => {
  if (text.length < 2 * maxDepth) return false
  let count = 0
  for (let i = text.indexOf("{"); i !== -1; i = text.indexOf("{", i + 1)) if (++count > maxDepth) return true
  for (let i = text.indexOf("["); i !== -1; i = text.indexOf("[", i + 1)) if (++count > maxDepth) return true
  return false
}

const isTooDeep = (container: object, depth: number): boolean => {
  if (depth >= maxDepth) return true
  if (Array.isArray(container)) {
    for (const child of container) {
      if (typeof child === "object" && child !== null && isTooDeep(child, depth + 1)) return true
    }
    return false
  }
  // `for in` rather than `Object.keys`: V8 caches the keys of records that have the same shape
  for (const key in container) {
    const child = (container as Record<string, unknown>)[key]
    if (typeof child === "object" && child !== null && isTooDeep(child, depth + 1)) return true
  }
  return false
}

/** Encodes JSON text. Text that `decodeText` would refuse for its size is refused. */
export const encodeText = (text: string, limits: Limits | undefined): Either.Either<Uint8Array, SerializerError> => {
  const max = maxElements(limits)
  return isTooMany(text, max) ? refuse("Encode", "$", hasTooMany(max)) : Either.right(encoder.encode(text))
}

/** Parses plain JSON. Throws what `JSON.parse` throws, which `decodeText` catches. */
export const parse = (text: string): Either.Either<unknown, SerializerError> => {
  const value: unknown = JSON.parse(text)
  return hasManyBrackets(text) && typeof value === "object" && value !== null && isTooDeep(value, 0)
    ? refuse("Decode", "$", `is nested deeper than ${maxDepth}`)
    : Either.right(value)
}

/**
 * Decodes UTF-8 and passes the text to `parse`, unless the value would have too many elements. Anything that is thrown
 * becomes a refusal.
 */
export const decodeText = (
  bytes: Uint8Array,
  limits: Limits | undefined,
  parse: (text: string) => Either.Either<unknown, SerializerError>
): Either.Either<unknown, SerializerError> => {
  let text: string
  try {
    text = decoder.decode(bytes)
  } catch {
    return refuse("Decode", "$", "is not UTF-8")
  }
  const max = maxElements(limits)
  if (isTooMany(text, max)) return refuse("Decode", "$", hasTooMany(max))
  try {
    return parse(text)
  } catch (error) {
    // the engine's message quotes the text, which may be confidential, so it is not passed on
    return error instanceof SerializerError ? Either.left(error) : refuse("Decode", "$", "is not JSON")
  }
}
