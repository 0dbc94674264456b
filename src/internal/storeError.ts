/** The errors of backends, as stores count and report them. */
import * as Cause from "effect/Cause"
import { CacheStoreError } from "../CacheError.js"

/**
 * The error of an operation that did not succeed. A backend that dies counts as one that answered with an error, and
 * one that was interrupted, or given up, as one that did not answer in time.
 */
export const toStoreError = (cause: Cause.Cause<CacheStoreError>, store: string, method: string): CacheStoreError => {
  const failure = Cause.failureOption(cause)
  if (failure._tag === "Some") return failure.value
  return Cause.isInterruptedOnly(cause)
    ? new CacheStoreError({ reason: "Timeout", store, method })
    : new CacheStoreError({ reason: "Rejected", store, method, cause: Cause.squash(cause) })
}
