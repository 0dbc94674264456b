/**
 * Decodes the durations and counts that users pass as options. An invalid one is the defect `InvalidOption`, which names
 * the option and the function or the store that it belongs to.
 */
import * as Duration from "effect/Duration"
import * as Inspectable from "effect/Inspectable"
import * as Redacted from "effect/Redacted"
import { InvalidOption } from "../CacheError.js"

/**
 * The milliseconds of a duration: negative if the duration was written as a negative one, and `NaN` if the input is no
 * duration. Effect makes zero of both.
 */
const parse = (input: unknown): number => {
  if (typeof input === "number") return input
  if (typeof input === "bigint") return Number(input) / 1_000_000
  const duration = Duration.decodeUnknown(input)
  if (duration._tag === "None") return Number.NaN
  const sign =
    typeof input === "string" ? Number.parseFloat(input) : Array.isArray(input) ? input[0] + input[1] / 1e9 : 0
  return sign >= 0 ? Duration.toMillis(duration.value) : sign
}

const roundUp = (millis: number): number => (millis > 0 ? Math.ceil(millis) : 0)

const show = (input: unknown): string =>
  typeof input === "string" ? JSON.stringify(input) : Inspectable.toStringUnknown(input)

const noDuration = 'is not a duration: use a text such as "5 minutes", a number of milliseconds, or a Duration'

/** Whole milliseconds, rounded up. */
export const decodeMillis = (option: string, input: Duration.DurationInput, of?: string): number => {
  const millis = parse(input)
  if (millis >= 0) return roundUp(millis)
  const detail = millis < 0 ? `${show(input)} is negative: use zero or more` : `${show(input)} ${noDuration}`
  throw new InvalidOption({ option, of, detail })
}

/** The result of a function in place of a duration, in whole milliseconds. A negative result counts as zero. */
export const decodeResult = (option: string, result: Duration.DurationInput, of: string): number => {
  const millis = parse(result)
  if (!Number.isNaN(millis)) return roundUp(millis)
  // a text may come from the value that the function was given
  const shown = typeof result === "string" ? "is a text that" : show(result)
  throw new InvalidOption({ option, of, detail: `the result of the function ${shown} ${noDuration}` })
}

/** A time above zero, possibly `Infinity`. */
export const decodePositive = (option: string, input: Duration.DurationInput, of?: string): number => {
  const millis = decodeMillis(option, input, of)
  if (millis > 0) return millis
  throw new InvalidOption({ option, of, detail: "must be a time above zero" })
}

/** A finite time above zero. */
export const decodeFinite = (option: string, input: Duration.DurationInput, of?: string): number => {
  const millis = decodeMillis(option, input, of)
  if (millis > 0 && Number.isFinite(millis)) return millis
  throw new InvalidOption({ option, of, detail: "must be a finite time above zero" })
}

/** A fraction: a number from 0 to 1. */
export const decodeFraction = (option: string, fraction: number, of?: string): number => {
  if (typeof fraction === "number" && fraction >= 0 && fraction <= 1) return fraction
  throw new InvalidOption({ option, of, detail: `${show(fraction)} is not a number from 0 to 1` })
}

/** A callback of the user. */
export const checkFunction = <F extends (...args: never) => unknown>(option: string, callback: F, of?: string): F => {
  if (typeof callback === "function") return callback
  throw new InvalidOption({ option, of, detail: `${show(callback)} is not a function` })
}

/** A path. An empty one would lead to the working directory of the process. */
export const checkPath = (option: string, path: string, of?: string): string => {
  if (typeof path === "string" && path !== "") return path
  throw new InvalidOption({ option, of, detail: `${show(path)} is not a path` })
}

/** A count: a whole number above zero. */
export const checkCount = (option: string, count: number, of?: string): number => {
  if (Number.isSafeInteger(count) && count > 0) return count
  throw new InvalidOption({ option, of, detail: `${show(count)} is not a whole number above zero` })
}

/** The fewest characters of a secret. */
const minSecret = 16

/** A secret that is too long to be guessed. */
export const checkSecret = (
  option: string,
  secret: Redacted.Redacted | undefined,
  of?: string
): Redacted.Redacted | undefined => {
  if (secret === undefined) return undefined
  const text: unknown = Redacted.isRedacted(secret) ? Redacted.value(secret) : undefined
  if (typeof text === "string" && text.length >= minSecret) return secret
  throw new InvalidOption({ option, of, detail: `is not a Redacted text of at least ${minSecret} characters` })
}

/** A limit: a whole number above zero, or `Infinity` for none. */
export const checkLimit = (option: string, limit: number, of?: string): number => {
  if (limit === Number.POSITIVE_INFINITY || (Number.isSafeInteger(limit) && limit > 0)) return limit
  throw new InvalidOption({
    option,
    of,
    detail: `${show(limit)} is not a whole number above zero; use Infinity for no limit`
  })
}
