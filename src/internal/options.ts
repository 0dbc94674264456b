/**
 * Decodes the durations that users pass as options. An invalid one is the defect `InvalidOption`, which names the
 * option.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import { InvalidOption } from "../CacheError.js"
import { toMillis } from "./time.js"

/** Whole milliseconds, rounded up. A negative number and `NaN` count as zero; text that is not a duration throws. */
export const decodeMillis = (option: string, input: Duration.DurationInput): number => {
  const duration = typeof input === "number" ? Option.some(input) : Duration.decodeUnknown(input)
  if (duration._tag === "Some") return toMillis(duration.value)
  throw new InvalidOption({ option, detail: `${JSON.stringify(input)} is not a duration` })
}

/** A time above zero, possibly `Infinity`. */
export const decodePositive = (option: string, input: Duration.DurationInput): number => {
  const millis = decodeMillis(option, input)
  if (millis > 0) return millis
  throw new InvalidOption({ option, detail: "must be a time above zero" })
}

/** A finite time above zero. */
export const decodeFinite = (option: string, input: Duration.DurationInput): number => {
  const millis = decodeMillis(option, input)
  if (millis > 0 && Number.isFinite(millis)) return millis
  throw new InvalidOption({ option, detail: "must be a finite time above zero" })
}

/** A count: a whole number above zero. */
export const checkCount = (option: string, count: number): number => {
  if (Number.isSafeInteger(count) && count > 0) return count
  throw new InvalidOption({ option, detail: "must be a whole number above zero" })
}
