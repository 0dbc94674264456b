/**
 * The option `failures` of a function: whether, and for how long, failures of its lookup are stored.
 */
import type * as Duration from "effect/Duration"
import type { AnySchema } from "../../Backend.js"
import { InvalidOption } from "../../CacheError.js"
import { decodeMillis, decodeResult } from "../options.js"

type OfError = (error: unknown, ...args: ReadonlyArray<unknown>) => Duration.DurationInput

/** The option `failures` as the user wrote it. */
export interface FailureStorageOptions {
  readonly ttl: Duration.DurationInput | OfError
  readonly schema?: AnySchema | undefined
}

/** The option `failures`, decoded. */
export interface FailureStorage {
  /** For how many milliseconds a failure is stored. */
  readonly ttl: number | OfError
  /** Encodes errors for backends that keep bytes. Without it such a backend gets no failure. */
  readonly schema: AnySchema | undefined
}

/** Decodes the option `failures` of the function `of`. */
export const decodeFailures = (options: FailureStorageOptions | undefined, of: string): FailureStorage | undefined => {
  if (options === undefined) return undefined
  const given: unknown = options
  if (typeof given !== "object" || given === null) {
    throw new InvalidOption({ option: "failures", of, detail: 'is not an object such as { ttl: "10 seconds" }' })
  }
  const { schema, ttl } = options
  return { ttl: typeof ttl === "function" ? ttl : decodeMillis("failures.ttl", ttl, of), schema }
}

/** For how many milliseconds a failure of `of` is stored. Throws what a `ttl` function of the user throws. */
export const lifetimeOf = (
  { ttl }: FailureStorage,
  error: unknown,
  args: ReadonlyArray<unknown>,
  of: string
): number => (typeof ttl === "number" ? ttl : decodeResult("failures.ttl", ttl(error, ...args), of))
