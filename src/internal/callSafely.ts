/**
 * Calls a callback of the user that returns nothing. It can break nothing: what it throws is reported, and so is the
 * rejection of a promise that it returns all the same, which would end the process.
 */
import * as Predicate from "effect/Predicate"

export const callSafely = (call: () => unknown, onFailure: (defect: unknown) => void): void => {
  try {
    const result = call()
    if (Predicate.isPromiseLike(result)) result.then(undefined, onFailure)
  } catch (defect) {
    onFailure(defect)
  }
}
