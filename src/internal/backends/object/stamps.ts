/**
 * Stamps from the clocks of other processes, and how far ahead of this clock they may be.
 */
import { maxSkew } from "../../time.js"
import type { Meta } from "./objectStore.js"

/**
 * The stamp of an object. It is `-Infinity` without an object, and for a stamp that is damaged or more than `maxSkew`
 * in the future: such a stamp neither protects its object from being overwritten nor counts as the latest stamp seen.
 */
export const trustedStamp = (meta: Meta | undefined, now: number): number => {
  const stamp = meta?.stamp ?? Number.NaN
  return Number.isFinite(stamp) && stamp <= now + maxSkew ? stamp : Number.NEGATIVE_INFINITY
}

/**
 * The stamp that a write, a removal or a mark requests, or `now + maxSkew` if that is earlier: it may come from a clock
 * that is too far ahead.
 */
export const requestedStamp = (stamp: number, now: number): number => Math.min(now + maxSkew, stamp)
