/**
 * A histogram of durations with fixed boundaries, so that its memory is bounded however much is recorded. There are four
 * buckets to a doubling, from a microsecond to twelve days: a percentile is off by 19 % at most.
 */

/**
 * The durations of one operation, in milliseconds. They are counted in buckets with fixed ends, four to a doubling, so
 * that a percentile is off by 19 % at most and the memory is bounded. `count` and `mean` are exact.
 *
 * @category models
 * @since 0.2.0
 */
export interface Latency {
  readonly count: number
  /** 0 if nothing was timed, as are the percentiles. */
  readonly mean: number
  readonly p50: number
  readonly p95: number
  readonly p99: number
  /** How many durations were above the end of the bucket before and not above `upTo`. Empty buckets are left out. */
  readonly buckets: ReadonlyArray<readonly [upTo: number, count: number]>
}

const perDoubling = 4

/** The upper end of the first bucket above zero, in milliseconds. */
const smallest = 2 ** -10

/** Zero has a bucket of its own, and what is longer than the last end counts there. */
const size = perDoubling * 40 + 2

const placeOf = (millis: number): number => {
  if (!(millis > 0)) return 0
  const place = 1 + Math.ceil(Math.log2(millis / smallest) * perDoubling)
  return Math.min(Math.max(place, 1), size - 1)
}

const upperEnd = (place: number): number => (place <= 0 ? 0 : smallest * 2 ** ((place - 1) / perDoubling))

type Buckets = Latency["buckets"]

/** The value that a part of all values does not exceed, as if the values of a bucket were spread evenly. */
const percentile = (buckets: Buckets, count: number, part: number): number => {
  let left = count * part
  for (const [end, inside] of buckets) {
    if (left <= inside) {
      const from = end <= smallest ? 0 : end / 2 ** (1 / perDoubling)
      return from + (end - from) * (left / inside)
    }
    left -= inside
  }
  return buckets[buckets.length - 1]?.[0] ?? 0
}

/** Computes what is known of durations from their buckets and their sum. */
export const latencyOf = (buckets: Buckets, sum: number): Latency => {
  const count = buckets.reduce((total, [, inside]) => total + inside, 0)
  return {
    count,
    mean: count === 0 ? 0 : Math.max(0, sum) / count,
    p50: percentile(buckets, count, 0.5),
    p95: percentile(buckets, count, 0.95),
    p99: percentile(buckets, count, 0.99),
    buckets
  }
}

export class Histogram {
  /** Made with the first value: most functions and stores record some kinds of durations only. */
  private counts: Array<number> | undefined = undefined
  private sum = 0

  record(millis: number): void {
    this.counts ??= new Array<number>(size).fill(0)
    this.counts[placeOf(millis)]!++
    if (millis > 0) this.sum += millis
  }

  /** Adds what another histogram has recorded. */
  add(other: Histogram): void {
    if (other.counts === undefined) return
    this.counts ??= new Array<number>(size).fill(0)
    for (let place = 0; place < size; place++) this.counts[place]! += other.counts[place]!
    this.sum += other.sum
  }

  get latency(): Latency {
    const buckets: Array<readonly [upTo: number, count: number]> = []
    this.counts?.forEach((count, place) => {
      if (count > 0) buckets.push([upperEnd(place), count])
    })
    return latencyOf(buckets, this.sum)
  }
}
