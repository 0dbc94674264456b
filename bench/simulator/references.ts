/**
 * The policies to compare with, each written in the simplest way that is exact. Keys are numbers from 0 up to a bound,
 * so none needs a map.
 */
import { List } from "./list.js"

/** Makes a cache for keys below `distinct`. It reads a key, adds it if it is absent, and returns whether it was there. */
export type Policy = (distinct: number, capacity: number) => (key: number) => boolean

const fifo: Policy = (distinct, capacity) => {
  const queue = new List(distinct)
  const stored = new Uint8Array(distinct)
  return (key) => {
    if (stored[key] === 1) return true
    if (queue.size === capacity) {
      const oldest = queue.oldest!
      queue.remove(oldest)
      stored[oldest] = 0
    }
    queue.add(key)
    stored[key] = 1
    return false
  }
}

const lru: Policy = (distinct, capacity) => {
  const queue = new List(distinct)
  const stored = new Uint8Array(distinct)
  return (key) => {
    if (stored[key] === 1) {
      queue.renew(key)
      return true
    }
    if (queue.size === capacity) {
      const oldest = queue.oldest!
      queue.remove(oldest)
      stored[oldest] = 0
    }
    queue.add(key)
    stored[key] = 1
    return false
  }
}

/** Zhang et al.: "SIEVE is Simpler than LRU", NSDI 2024. */
const sieve: Policy = (distinct, capacity) => {
  const queue = new List(distinct)
  const stored = new Uint8Array(distinct)
  const visited = new Uint8Array(distinct)
  let hand: number | undefined
  return (key) => {
    if (stored[key] === 1) {
      visited[key] = 1
      return true
    }
    if (queue.size === capacity) {
      let victim = hand ?? queue.oldest!
      while (visited[victim] === 1) {
        visited[victim] = 0
        victim = queue.newerThan(victim) ?? queue.oldest!
      }
      hand = queue.newerThan(victim)
      queue.remove(victim)
      stored[victim] = 0
    }
    queue.add(key)
    stored[key] = 1
    visited[key] = 0
    return false
  }
}

/** Yang et al.: "FIFO queues are all you need for cache eviction", SOSP 2023. */
const s3fifo: Policy = (distinct, capacity) => {
  const small = new List(distinct)
  const main = new List(distinct)
  const ghosts = new List(distinct)
  const smallCapacity = Math.max(1, Math.floor(capacity / 10))
  const mainCapacity = capacity - smallCapacity
  const place = new Uint8Array(distinct) // 0 nowhere, 1 small, 2 main, 3 a ghost
  const uses = new Uint8Array(distinct)

  const evictMain = (): void => {
    for (;;) {
      const oldest = main.oldest!
      main.remove(oldest)
      if (uses[oldest] === 0) {
        place[oldest] = 0
        return
      }
      uses[oldest]!--
      main.add(oldest)
    }
  }
  const evictSmall = (): void => {
    for (let oldest = small.oldest; oldest !== undefined; oldest = small.oldest) {
      small.remove(oldest)
      const wasUsed = uses[oldest]! > 1
      uses[oldest] = 0
      if (wasUsed) {
        place[oldest] = 2
        main.add(oldest)
        if (main.size <= mainCapacity) continue
        return evictMain()
      }
      if (ghosts.size === Math.max(1, mainCapacity)) {
        const ghost = ghosts.oldest!
        ghosts.remove(ghost)
        place[ghost] = 0
      }
      place[oldest] = 3
      ghosts.add(oldest)
      return
    }
  }
  return (key) => {
    if (place[key] === 1 || place[key] === 2) {
      if (uses[key]! < 3) uses[key]!++
      return true
    }
    while (small.size + main.size >= capacity) {
      if (small.size >= smallCapacity || main.size === 0) evictSmall()
      else evictMain()
    }
    uses[key] = 0
    if (place[key] === 3) {
      ghosts.remove(key)
      place[key] = 2
      main.add(key)
    } else {
      place[key] = 1
      small.add(key)
    }
    return false
  }
}

/** Megiddo, Modha: "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003. */
const arc: Policy = (distinct, capacity) => {
  const lists = [1, 2, 3, 4].map(() => new List(distinct)) as [List, List, List, List]
  const [once, twice, onceGhosts, twiceGhosts] = lists
  const place = new Uint8Array(distinct) // 0 nowhere, otherwise one of the lists, from 1
  let target = 0

  const take = (from: 1 | 2 | 3 | 4): number => {
    const oldest = lists[from - 1]!.oldest!
    lists[from - 1]!.remove(oldest)
    place[oldest] = 0
    return oldest
  }
  const put = (key: number, to: 1 | 2 | 3 | 4): void => {
    lists[to - 1]!.add(key)
    place[key] = to
  }
  const replace = (isTwiceGhost: boolean): void => {
    const fromOnce = once.size > 0 && (once.size > target || (isTwiceGhost && once.size === target))
    if (fromOnce || twice.size === 0) put(take(1), 3)
    else put(take(2), 4)
  }
  return (key) => {
    switch (place[key]) {
      case 1:
        once.remove(key)
        put(key, 2)
        return true
      case 2:
        twice.renew(key)
        return true
      case 3:
        target = Math.min(capacity, target + Math.max(1, twiceGhosts.size / onceGhosts.size))
        replace(false)
        onceGhosts.remove(key)
        put(key, 2)
        return false
      case 4:
        target = Math.max(0, target - Math.max(1, onceGhosts.size / twiceGhosts.size))
        replace(true)
        twiceGhosts.remove(key)
        put(key, 2)
        return false
    }
    const all = once.size + twice.size + onceGhosts.size + twiceGhosts.size
    if (once.size + onceGhosts.size >= capacity) {
      if (once.size < capacity) {
        take(3)
        replace(false)
      } else take(1)
    } else if (all >= capacity) {
      if (all >= 2 * capacity) take(4)
      if (once.size + twice.size >= capacity) replace(false)
    }
    put(key, 1)
    return false
  }
}

/** A count-min sketch of four rows with counters up to 15, which are halved after ten reads per entry. */
class Frequencies {
  private readonly rows: ReadonlyArray<Uint8Array>
  private readonly mask: number
  private readonly period: number
  private additions = 0

  constructor(capacity: number) {
    let width = 16
    while (width < 4 * capacity) width *= 2
    this.rows = [0, 1, 2, 3].map(() => new Uint8Array(width))
    this.mask = width - 1
    this.period = 10 * capacity
  }

  add(key: number): void {
    this.rows.forEach((row, i) => {
      const at = this.at(key, i)
      if (row[at]! < 15) row[at]!++
    })
    if (++this.additions < this.period) return
    this.additions >>>= 1
    for (const row of this.rows) for (let at = 0; at < row.length; at++) row[at]! >>>= 1
  }

  estimate(key: number): number {
    return this.rows.reduce((least, row, i) => Math.min(least, row[this.at(key, i)]!), 15)
  }

  private at(key: number, row: number): number {
    let mixed = Math.imul(key + 1, [0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f][row]!)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d)
    return (mixed ^ (mixed >>> 13)) & this.mask
  }
}

/**
 * Einziger, Friedman, Manes: "TinyLFU", ACM TOS 13(4), 2017: a window of 1 % in order of use, behind it an LRU in two
 * segments of which 80 % is protected. With `climb`, the window's size follows the hit ratio: Einziger, Eytan, Friedman,
 * Manes: "Adaptive Software Cache Management", Middleware 2018, with the settings of Caffeine's simulator.
 */
const wTinyLfu =
  (climb: boolean): Policy =>
  (distinct, capacity) => {
    const window = new List(distinct)
    const probation = new List(distinct)
    const protectedOnes = new List(distinct)
    const place = new Uint8Array(distinct) // 0 nowhere, 1 window, 2 probation, 3 protected
    const frequencies = new Frequencies(capacity)
    let windowCapacity = Math.max(1, Math.floor(capacity / 100))
    let protectedCapacity = Math.floor((capacity - windowCapacity) * 0.8)
    const firstStep = 0.0625 * capacity
    let step = firstStep
    let reads = 0
    let hits = 0
    let ratioBefore: number | undefined

    const move = (key: number, from: List, to: List, placeAfter: 1 | 2 | 3): void => {
      from.remove(key)
      to.add(key)
      place[key] = placeAfter
    }
    const demote = (): void => {
      while (protectedOnes.size > protectedCapacity) move(protectedOnes.oldest!, protectedOnes, probation, 2)
    }
    const resizeWindow = (by: number): void => {
      windowCapacity += by
      protectedCapacity -= by
      demote()
      for (let left = by; left > 0; left--) {
        const key = probation.oldest ?? protectedOnes.oldest
        if (key === undefined) break
        move(key, place[key] === 2 ? probation : protectedOnes, window, 1)
      }
      for (let left = -by; left > 0 && window.size > 0; left--) move(window.oldest!, window, probation, 2)
    }
    const adapt = (): void => {
      const ratio = hits / reads
      hits = 0
      reads = 0
      if (ratioBefore !== undefined) {
        const change = ratio - ratioBefore
        const amount = change >= 0 ? step : -step
        step = Math.abs(change) >= 0.05 ? firstStep * Math.sign(amount) : 0.98 * amount
        const by = Math.trunc(amount)
        resizeWindow(by > 0 ? Math.min(by, protectedCapacity) : -Math.min(-by, windowCapacity - 1))
      }
      ratioBefore = ratio
    }
    return (key) => {
      frequencies.add(key)
      reads++
      if (climb && reads >= 10 * capacity) adapt()
      switch (place[key]) {
        case 1:
          window.renew(key)
          hits++
          return true
        case 2:
          move(key, probation, protectedOnes, 3)
          demote()
          hits++
          return true
        case 3:
          protectedOnes.renew(key)
          hits++
          return true
      }
      window.add(key)
      place[key] = 1
      if (window.size <= windowCapacity) return false
      const candidate = window.oldest!
      move(candidate, window, probation, 2)
      if (window.size + probation.size + protectedOnes.size <= capacity) return false
      const victim = probation.size > 1 ? probation.oldest! : (protectedOnes.oldest ?? candidate)
      const loser =
        victim === candidate || frequencies.estimate(candidate) > frequencies.estimate(victim) ? victim : candidate
      if (place[loser] === 2) probation.remove(loser)
      else protectedOnes.remove(loser)
      place[loser] = 0
      return false
    }
  }

export const references = {
  FIFO: fifo,
  LRU: lru,
  SIEVE: sieve,
  "S3-FIFO": s3fifo,
  ARC: arc,
  "W-TinyLFU": wTinyLfu(false),
  "W-TinyLFU+HC": wTinyLfu(true)
} as const satisfies Record<string, Policy>
