/**
 * The seeded traces: sequences of reads, made by small programs. Each stands for a kind of workload. The seeds are
 * constants, so everybody gets the same keys and the same hit ratios.
 */
import { ranks, shuffled, uniform, zipf } from "./random.js"

/** A sequence of reads. The keys are numbered from 0 up to `distinct`, in the order of their first read. */
export interface Trace {
  readonly keys: Int32Array
  readonly distinct: number
}

export interface NamedTrace {
  readonly name: string
  /** Makes or reads the trace. */
  readonly load: () => Trace
  /** The capacities to simulate, in shares of the distinct keys. Default: 1, 5 and 10 %. */
  readonly shares?: ReadonlyArray<number>
}

/** The number of reads of a trace. */
export const defaultLength = 1_000_000

/** Numbers keys of any kind. */
export const numbered = <K>(keys: ArrayLike<K>): Trace => {
  const numbers = new Map<K, number>()
  const trace = new Int32Array(keys.length)
  for (let i = 0; i < keys.length; i++) {
    let number = numbers.get(keys[i]!)
    if (number === undefined) {
      number = numbers.size
      numbers.set(keys[i]!, number)
    }
    trace[i] = number
  }
  return { keys: trace, distinct: numbers.size }
}

export const capacitiesOf = ({ shares = [0.01, 0.05, 0.1] }: NamedTrace, distinct: number): ReadonlyArray<number> =>
  shares.map((share) => Math.max(2, Math.floor(distinct * share)))

/** Keys above all those of a Zipf distribution. */
const apart = 1_000_000

type KeyAt = (i: number, before: Int32Array) => number

/** Half of the reads scan, the others read again what was read lately, or something new: less of it if they are `eager`. */
const reuseAndScans = (eager: boolean): KeyAt => {
  const next = uniform(33)
  let fresh = 0
  let scanned = 0
  return (i, before) => {
    if (next() < 0.5) return apart + (scanned++ % 60_000)
    do {
      if (i <= 10 || next() >= 0.7) return fresh++
      const distance = 1 + Math.floor(-Math.log(1 - next()) * 4_000)
      if (distance <= i && before[i - distance]! < apart) return before[i - distance]!
    } while (eager)
    return fresh++
  }
}

/** The seeded traces, of a number of reads. */
export const seeded = (length: number): ReadonlyArray<NamedTrace> => {
  const trace = (name: string, make: () => KeyAt, shares?: ReadonlyArray<number>): NamedTrace => ({
    name,
    load: () => {
      const keyAt = make()
      const keys = new Int32Array(length)
      for (let i = 0; i < length; i++) keys[i] = keyAt(i, keys)
      return numbered(keys)
    },
    ...(shares === undefined ? {} : { shares })
  })

  return [
    trace("zipf 0.7, 60k keys", () => zipf(60_000, 0.7, 31)),
    trace("zipf 0.8", () => zipf(400_000, 0.8, 1)),
    trace("zipf 0.9, 150k keys", () => zipf(150_000, 0.9, 77)),
    trace("zipf 0.99", () => zipf(400_000, 0.99, 2)),
    trace("zipf 1.2", () => zipf(400_000, 1.2, 3)),
    trace("zipf 0.99 with scans", () => {
      const draw = zipf(400_000, 0.99, 4)
      let scanned = 0
      return (i) => (i % 40_000 >= 30_000 ? 400_000 + (scanned++ % 400_000) : draw())
    }),
    trace("loop, little longer", () => (i) => i % 20_000, [1 / 2, 1 / 1.5, 1 / 1.1]),
    trace("loop, much longer", () => (i) => i % 100_000),
    trace("to and fro", () => (i) => {
      const at = i % 40_000
      return at < 20_000 ? at : 39_999 - at
    }),
    trace("hot set that shifts", () => {
      const rank = ranks(400_000, 0.99, 5)
      const phase = length / 8
      let order = shuffled(400_000, 7)
      return (i) => {
        if (i > 0 && i % phase === 0) order = shuffled(400_000, 100 + i / phase)
        return order[rank()]!
      }
    }),
    trace("hot set that slides", () => {
      const rank = ranks(50_000, 0.9, 6)
      return (i) => (i >> 2) + rank()
    }),
    trace("hot set that jumps", () => {
      const rank = ranks(100_000, 1.05, 32)
      return (i) => ((Math.imul(rank() + 1, 2_654_435_761) >>> 0) % 100_000) + 30_000 * Math.floor(i / 50_000)
    }),
    trace("zipf and loop, mixed", () => {
      const draw = zipf(100_000, 0.99, 8)
      const next = uniform(80)
      let looped = 0
      return () => (next() < 0.5 ? draw() : 400_000 + (looped++ % 40_000))
    }),
    trace("zipf and loop, in turns", () => {
      const draw = zipf(100_000, 0.99, 9)
      let looped = 0
      return (i) => (Math.floor(i / 100_000) % 2 === 0 ? draw() : 400_000 + (looped++ % 20_000))
    }),
    trace("zipf, loop, reshuffled", () => {
      const rank = ranks(100_000, 0.8, 79)
      const next = uniform(79)
      let looped = 0
      let order = shuffled(100_000, 791)
      return (i) => {
        if (i === 333_333 || i === 666_666) order = shuffled(100_000, i)
        return next() < 0.75 ? order[rank()]! : apart + (looped++ % 25_000)
      }
    }),
    trace("day and night", () => {
      const day = zipf(50_000, 0.6, 35)
      const night = zipf(200_000, 1.1, 36)
      return (i) => (Math.floor(i / 125_000) % 2 === 0 ? apart + night() : day())
    }),
    trace("one-hit bursts", () => {
      const draw = zipf(200_000, 0.9, 12)
      const next = uniform(120)
      let once = 0
      return (i) => (Math.floor(i / 25_000) % 2 === 1 && next() < 0.9 ? 400_000 + once++ : draw())
    }),
    trace("reuse, log-uniform", () => {
      const next = uniform(10)
      let fresh = 0
      return (i, before) => {
        if (i > 0 && next() < 0.75) {
          const distance = Math.floor(Math.exp(next() * Math.log(100_000)))
          if (distance <= i) return before[i - distance]!
        }
        return fresh++
      }
    }),
    trace("reuse, geometric", () => {
      const next = uniform(11)
      let fresh = 0
      return (i, before) => {
        if (i > 0 && next() < 0.6) {
          const distance = 1 + Math.floor(-Math.log(1 - next()) * 20_000)
          if (distance <= i) return before[i - distance]!
        }
        return fresh++
      }
    }),
    trace("reuse, Pareto", () => {
      const next = uniform(78)
      let fresh = 0
      return (i, before) => {
        if (i > 0 && next() < 0.8) {
          const distance = Math.floor((1 - next()) ** (-1 / 0.6))
          if (distance <= i) return before[i - distance]!
        }
        return fresh++
      }
    }),
    trace("reuse and scans", () => reuseAndScans(false)),
    trace("more reuse, and scans", () => reuseAndScans(true)),
    trace("uniform, 20k keys", () => {
      const next = uniform(34)
      return () => Math.floor(next() * 20_000)
    })
  ]
}
