/** Seeded random numbers: the same in every run, on every machine. */

/** Mulberry32: numbers from 0 up to 1. */
export const uniform = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

/** Ranks from 0 up to `keys`: the n-th is drawn with a frequency of 1 / n^skew. */
export const ranks = (keys: number, skew: number, seed: number): (() => number) => {
  const next = uniform(seed)
  const cumulative = new Float64Array(keys)
  let sum = 0
  for (let rank = 0; rank < keys; rank++) {
    sum += 1 / (rank + 1) ** skew
    cumulative[rank] = sum
  }
  for (let rank = 0; rank < keys; rank++) cumulative[rank]! /= sum
  return () => {
    const at = next()
    let low = 0
    let high = keys - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (cumulative[middle]! < at) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** A random order of the numbers from 0 up to `count`. */
export const shuffled = (count: number, seed: number): Int32Array => {
  const next = uniform(seed)
  const order = Int32Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1))
    const other = order[i]!
    order[i] = order[j]!
    order[j] = other
  }
  return order
}

/** Keys of a Zipf distribution, of which neighbours are not equally frequent. */
export const zipf = (keys: number, skew: number, seed: number): (() => number) => {
  const rank = ranks(keys, skew, seed)
  const order = shuffled(keys, seed + 1_000)
  return () => order[rank()]!
}
