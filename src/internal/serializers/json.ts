/**
 * JSON text and bytes: parsing that neither throws nor accepts a value that is nested too deeply.
 */
import * as Either from "effect/Either"
import { SerializerError } from "../../CacheError.js"
import { refuse } from "./serializer.js"
import { decoder } from "./utf8.js"
import { maxDepth } from "./valueWalk.js"

/** Whether `text` has enough brackets to nest deeper than `maxDepth`. Few texts do, so few values have to be walked. */
const hasManyBrackets = (text: string): boolean => {
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

/** Parses plain JSON. Throws what `JSON.parse` throws, which `decodeText` catches. */
export const parse = (text: string): Either.Either<unknown, SerializerError> => {
  const value: unknown = JSON.parse(text)
  return hasManyBrackets(text) && typeof value === "object" && value !== null && isTooDeep(value, 0)
    ? refuse("Decode", "$", `is nested deeper than ${maxDepth}`)
    : Either.right(value)
}

/** Decodes UTF-8 and passes the text to `parse`. Anything that is thrown becomes a refusal. */
export const decodeText = (
  bytes: Uint8Array,
  parse: (text: string) => Either.Either<unknown, SerializerError>
): Either.Either<unknown, SerializerError> => {
  let text: string
  try {
    text = decoder.decode(bytes)
  } catch {
    return refuse("Decode", "$", "is not UTF-8")
  }
  try {
    return parse(text)
  } catch (error) {
    // the engine's message quotes the text, which may be confidential, so it is not passed on
    return error instanceof SerializerError ? Either.left(error) : refuse("Decode", "$", "is not JSON")
  }
}
