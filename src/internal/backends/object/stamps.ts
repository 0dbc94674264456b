/**
 * Stamps from the clocks of other processes, and how far ahead of this clock they may be.
 */
import type { Meta } from "./objectStore.js"

/** By how many milliseconds the clocks of two processes may differ. Stamps further in the future are not trusted. */
export const maxSkew = 60_000

/**
 * The stamp of an object, or `-Infinity` if there is none to trust: a damaged one, or one from a clock that is more
 * than `maxSkew` ahead. Such a stamp neither protects its object from being overwritten nor counts as the latest stamp
 * seen.
 */
export const trustedStamp = (meta: Meta | undefined, now: number): number => {
  const stamp = meta?.stamp ?? Number.NaN
  return Number.isFinite(stamp) && stamp <= now + maxSkew ? stamp : Number.NEGATIVE_INFINITY
}

/** The stamp that a process, or the tier that orders the writes, asks for. Its clock may be ahead of this one. */
export const requestedStamp = (stamp: number, now: number): number => Math.min(now + maxSkew, stamp)
