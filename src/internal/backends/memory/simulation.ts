/**
 * A small simulated cache: what the store would be like with a certain configuration. It holds only hashes of keys, of a
 * sample of the keys. A cache of 512 entries that sees one of 64 keys behaves as one of 32 768 that sees them all:
 * miniature simulation (Waldspurger, Saemundsson, Ahmad, Park: "Cache Modeling and Optimization using Miniature
 * Simulations", USENIX ATC 2017) over a sample by hash (Waldspurger et al.: "Efficient MRC Construction with SHARDS",
 * FAST 2015).
 *
 * It works as the store does (`adaptive.ts`) and is exact where the store is lazy: its window is in order of use.
 */
import type { Sketch } from "./sketch.js"

/** A configuration of the store: how large its window is, and what may enter its main queue. */
export interface Configuration {
  /** The share of the window in the weight of the store. With 1 there is no main queue, and the store is LRU. */
  readonly share: number
  /** Decides whether the oldest of the window displaces the oldest of the main queue, by their frequencies. */
  readonly admits: Admission
}

/**
 * `more`: it was used more often. `muchMore`: more often by at least two, which keeps what was used once or twice out.
 * `twice`: it was used at least twice, whatever it displaces.
 */
export type Admission = "more" | "muchMore" | "twice"

/** Returns whether an entry of a frequency displaces one of another. */
export const admits = (admission: Admission, candidate: number, victim: number): boolean =>
  admission === "more" ? candidate > victim : admission === "muchMore" ? candidate > victim + 1 : candidate >= 2

/** Returns the weight of the window in a store of a weight. Neither the window nor the main queue may be empty. */
export const windowOf = (share: number, weight: number): number =>
  share >= 1 ? weight : Math.max(1, Math.min(weight - 1, Math.round(weight * share)))

/** How many entries may move from the window to the main queue with one miss. */
export const moves = 8

const maxCount = 3

export class Simulation {
  /** How many entries it holds. */
  size = 0
  private capacity = 0
  private windowCapacity = 0
  private windowSize = 0
  /** The number of nodes that were used ever, and the first of those that are free again. */
  private used = 0
  private free = -1
  /** The nodes: entries, then the ends of the window and of the main queue. */
  private readonly hashes: Int32Array
  private readonly newer: Int32Array
  private readonly older: Int32Array
  private readonly counts: Uint8Array
  private readonly inMain: Uint8Array
  private readonly windowEnd: number
  private readonly mainEnd: number
  /** A hash table with open addressing: the node of a hash, or -1. */
  private readonly table: Int32Array
  private readonly tableMask: number
  private readonly sketch: Sketch
  private configuration: Configuration
  /** Whether the window is still too large for the configuration. */
  private isMoving = true

  /** `room` is the largest capacity that it can be given. */
  constructor(configuration: Configuration, sketch: Sketch, capacity: number, room: number) {
    this.configuration = configuration
    this.sketch = sketch
    const nodes = room + 2
    this.hashes = new Int32Array(nodes)
    this.newer = new Int32Array(nodes)
    this.older = new Int32Array(nodes)
    this.counts = new Uint8Array(nodes)
    this.inMain = new Uint8Array(nodes)
    this.windowEnd = room
    this.mainEnd = room + 1
    for (const end of [this.windowEnd, this.mainEnd]) this.newer[end] = this.older[end] = end
    let length = 16
    while (length < room * 2) length *= 2
    this.table = new Int32Array(length).fill(-1)
    this.tableMask = length - 1
    this.resize(capacity)
  }

  /** Changes the capacity. What is too much leaves with the next misses. */
  resize(capacity: number): void {
    this.capacity = capacity
    this.windowCapacity = windowOf(this.configuration.share, capacity)
  }

  /** Changes the configuration. Entries move from one queue to the other with the next misses. */
  configure(configuration: Configuration): void {
    this.configuration = configuration
    this.isMoving = true
    this.resize(this.capacity)
  }

  /** Reads a key, and adds it if it is not there. Returns 1 for a hit and 0 for a miss. */
  access(hash: number): 0 | 1 {
    const node = this.table[this.slotOf(hash)]
    if (node >= 0) {
      if (this.inMain[node] === 0) {
        this.unlink(node)
        this.link(this.windowEnd, node)
      }
      if (this.counts[node] < maxCount) this.counts[node]++
      return 1
    }
    while (this.size >= this.capacity) this.remove(this.victim())
    this.add(hash)
    return 0
  }

  /** Forgets a key that the store was told to remove. */
  forget(hash: number): void {
    const node = this.table[this.slotOf(hash)]
    if (node >= 0) this.remove(node)
  }

  /** Takes over what another simulation of the same configuration holds, in its order, if `keep` says so. */
  copy(from: Simulation, keep: (hash: number) => boolean): void {
    for (const main of [true, false]) {
      const end = main ? from.mainEnd : from.windowEnd
      for (let node = from.newer[end]; node !== end; node = from.newer[node]) {
        if (this.size >= this.capacity || !keep(from.hashes[node])) continue
        const copied = this.add(from.hashes[node])
        if (main) this.promote(copied)
        this.counts[copied] = from.counts[node]
      }
    }
  }

  private add(hash: number): number {
    let node = this.free
    if (node >= 0) this.free = this.newer[node]
    else node = this.used++
    this.hashes[node] = hash
    this.counts[node] = 0
    this.inMain[node] = 0
    this.table[this.slotOf(hash)] = node
    this.link(this.windowEnd, node)
    this.size++
    this.windowSize++
    return node
  }

  private promote(node: number): void {
    this.unlink(node)
    this.link(this.mainEnd, node)
    this.inMain[node] = 1
    this.counts[node] = 0
    this.windowSize--
  }

  /** Chooses who leaves, as `Adaptive.victim` does. */
  private victim(): number {
    const { mainEnd, newer, windowEnd } = this
    if (this.windowSize < this.windowCapacity && newer[mainEnd] !== mainEnd) return this.mainOldest()
    this.move()
    if (this.windowSize === 0) return this.mainOldest()
    const candidate = newer[windowEnd]
    if (newer[mainEnd] === mainEnd) return candidate
    const victim = this.mainOldest()
    // without its count here, which the sketch has from the store, if not from the same moment: with both, the simulation
    // would admit more than the store, and promise more hits than there are
    const frequency = this.sketch.estimate(this.hashes[candidate])
    if (!admits(this.configuration.admits, frequency, this.sketch.estimate(this.hashes[victim]))) return candidate
    this.promote(candidate)
    return victim
  }

  /**
   * Moves what the window has too much to the main queue, after the configuration changed or when all is in the window
   * because the cache was never full. Later the window may be too large by what the capacity has lost, and nothing may
   * enter the main queue unasked because of that.
   */
  private move(): void {
    if (!this.isMoving || this.configuration.share === 1) return
    for (let left = moves; left > 0 && this.windowSize > this.windowCapacity; left--) {
      this.promote(this.newer[this.windowEnd])
    }
    this.isMoving = this.windowSize > this.windowCapacity
  }

  private mainOldest(): number {
    for (;;) {
      const oldest = this.newer[this.mainEnd]
      if (this.counts[oldest] === 0) return oldest
      this.counts[oldest]--
      this.unlink(oldest)
      this.link(this.mainEnd, oldest)
    }
  }

  private remove(node: number): void {
    if (this.inMain[node] === 0) this.windowSize--
    this.size--
    this.unlink(node)
    this.clearSlot(this.slotOf(this.hashes[node]))
    this.newer[node] = this.free
    this.free = node
  }

  /** Returns the slot of a hash, or the empty one where it belongs. */
  private slotOf(hash: number): number {
    const { hashes, table, tableMask } = this
    for (let slot = hash & tableMask; ; slot = (slot + 1) & tableMask) {
      const node = table[slot]
      if (node < 0 || hashes[node] === hash) return slot
    }
  }

  /** Empties a slot, and moves back what stands behind it because this slot was taken. */
  private clearSlot(slot: number): void {
    const { hashes, table, tableMask } = this
    table[slot] = -1
    for (let next = (slot + 1) & tableMask; table[next] >= 0; next = (next + 1) & tableMask) {
      const home = hashes[table[next]] & tableMask
      if (((next - home) & tableMask) < ((next - slot) & tableMask)) continue
      table[slot] = table[next]
      table[next] = -1
      slot = next
    }
  }

  private unlink(node: number): void {
    const newer = this.newer[node]
    const older = this.older[node]
    this.older[newer] = older
    this.newer[older] = newer
  }

  private link(newer: number, node: number): void {
    const older = this.older[newer]
    this.older[newer] = node
    this.newer[node] = newer
    this.older[node] = older
    this.newer[older] = node
  }
}
