/**
 * `refreshAhead`: a fresh entry is refreshed before its end, behind a read that comes after a fraction of its lifetime. The
 * reader gets the value that is fresh, and a key that is read often enough never makes a reader wait.
 */
import { type Entry, isFailure } from "../../Entry.js"

/** From when on a fresh entry is refreshed behind its reads: from its end on, if the function does not refresh ahead. */
export const dueAtOf = (entry: Entry, { refreshAhead }: { readonly refreshAhead: number | undefined }): number => {
  const { createdAt, freshUntil } = entry
  // what is fresh forever has no fraction, and a failure is tried again at its end
  return refreshAhead === undefined || freshUntil === Number.POSITIVE_INFINITY || isFailure(entry)
    ? freshUntil
    : createdAt + (freshUntil - createdAt) * refreshAhead
}
