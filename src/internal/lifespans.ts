/**
 * When an invalidation mark can be dropped: once every entry that it may concern has expired.
 *
 * The lifespan of an entry is the time from the beginning of its load to its end, at most. A store keeps the longest
 * lifespan that any process has announced. When that much time has passed since a mark was raised, everything that began
 * before the mark has expired, so the floor takes the place of the mark. It makes true what was assumed: an entry whose
 * lifespan nobody announced becomes a miss, and never an outdated value.
 *
 * The scripts of Redis do the same.
 */

/** How long a load may take in milliseconds, until a function with a longer `flightTimeout` is known. */
export const defaultLoad = 30_000

/** The parts of the longest lifespan between two points. A mark is kept for up to one part longer than necessary. */
const parts = 32

/** A moment, and the latest stamp that was given until then. */
export interface Point {
  readonly stamp: number
  readonly at: number
}

export interface Lifespans {
  /** The longest lifespan, in milliseconds. */
  readonly longest: number
  /** The moments at which marks were raised, the oldest first: the last one always, and of the others about `parts`. */
  readonly points: ReadonlyArray<Point>
}

export const none: Lifespans = { longest: defaultLoad, points: [] }

/** The lifespan of an entry that is written, whose load may take `load` milliseconds. */
export const lifespanOf = (entry: { readonly createdAt: number; readonly expiresAt: number }, load = 0): number =>
  entry.expiresAt - entry.createdAt + Math.max(load, defaultLoad)

/** A lifespan rounded up by 9 % at most, so that lifetimes with jitter are announced a few times only. */
export const rounded = (lifespan: number): number =>
  Number.isFinite(lifespan) ? Math.ceil(2 ** (Math.ceil(Math.log2(Math.max(1, lifespan)) * 8) / 8)) : lifespan

/** Returns the lifespans with one more. */
export const longer = (lifespans: Lifespans, lifespan: number): Lifespans =>
  lifespan > lifespans.longest ? { ...lifespans, longest: lifespan } : lifespans

/**
 * Notes that marks are raised at a moment, with this stamp as the latest. Returns the floor that takes the place of the
 * marks that are not needed any more; `-Infinity` if all are needed.
 */
export const raise = ({ longest, points }: Lifespans, point: Point): { lifespans: Lifespans; floor: number } => {
  let floor = Number.NEGATIVE_INFINITY
  const kept: Array<Point> = []
  for (const each of points) {
    // a later moment is from before the clock was set back
    if (each.at > point.at) continue
    if (point.at - each.at > longest) floor = Math.max(floor, each.stamp)
    else kept.push(each)
  }
  // a mark may be raised later than one with a later stamp
  const stamp = Math.max(point.stamp, kept[kept.length - 1]?.stamp ?? point.stamp)
  const before = kept[kept.length - 2]
  if (before !== undefined && point.at - before.at < longest / parts) kept.pop()
  kept.push({ stamp, at: point.at })
  return { lifespans: { longest, points: kept }, floor }
}
