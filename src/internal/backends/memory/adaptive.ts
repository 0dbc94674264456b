/**
 * The eviction policy of a store in memory: two queues (`queues.ts`), a frequency sketch of all keys (`sketch.ts`), and
 * two parameters that the tuner chooses by simulation (`tuner.ts`): the share of the window, and what may enter the main
 * queue. With a small window it is W-TinyLFU with a clock as its main queue, which keeps what is used often; with a
 * window over everything it is LRU, which keeps what was used last; between them it is near to S3-FIFO and ARC (Megiddo,
 * Modha: "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003). No single configuration is good on all
 * workloads, and the difference may be all hits there are: in a loop over a little more than the store holds, LRU never
 * hits. SIEVE (Zhang et al., NSDI 2024) keeps one queue and has as cheap a hit, and collapses on loops, scans and sets
 * that shift.
 *
 * A hit compares one byte, and writes it once per entry and generation. Everything else happens on misses.
 *
 * The sketch and the simulations are made when the store is an eighth full, since a store that never fills needs neither,
 * and grow with it. Later would save nothing, and the simulations must be full, too, before they tell anything.
 * Changing the configuration moves no entry: the queues reach the new sizes in steps, with each miss.
 */
import { hashOf } from "./hash.js"
import type { Options, Policy } from "./policy.js"
import { Queues } from "./queues.js"
import type * as Fields from "./record.js"
import { admits, type Configuration, moves, windowOf } from "./simulation.js"
import { Sketch } from "./sketch.js"
import { Tuner } from "./tuner.js"

/** The part of the capacity from which the policy observes. */
const observedPart = 1 / 8
/** How many entries at most are weighed against one that is heavier than they are. */
const mostVictims = 64

export class Adaptive implements Policy {
  /** That of the queues, here, where every hit reads it. */
  generation = 0
  private readonly queues: Queues
  private tuner = new Tuner()
  /** `undefined` until the store is filled in part. */
  private sketch: Sketch | undefined = undefined
  /** How many entries the simulations and the sketch are made for. */
  private simulated = 0
  private sketched = 0
  /** The last choice of `victim`. */
  private chosen = -1
  /** The configuration at the last choice. */
  private configuration: Configuration | undefined = undefined
  /**
   * The weight that may still move to the main queue unasked: what the window had too much when the configuration changed,
   * and what was removed from the main queue since.
   */
  private toMove = 0
  private readonly options: Options

  constructor(records: Fields.Records, options: Options) {
    this.options = options
    this.queues = new Queues(records, options)
  }

  get size(): number {
    return this.queues.size
  }

  get weight(): number {
    return this.queues.weight
  }

  hash(key: string): number {
    return hashOf(key, this.options.seed)
  }

  touched(index: number): void {
    if (this.queues.touch(index)) this.tuner.hit(this.queues.hashOf(index))
  }

  missed(hash: number): void {
    if (this.sketch === undefined) return
    this.tuner.missed(hash)
    this.sketch.add(hash)
  }

  add(index: number, weight: number): void {
    this.queues.add(index, weight)
    this.generation = this.queues.generation
    this.tuner.added(this.queues.hashOf(index))
    if (this.sketch !== undefined) {
      if (this.size > this.sketched) this.grow(this.sketch)
    } else if (this.weight >= this.options.capacity * observedPart) this.observe()
  }

  reweigh(index: number, weight: number): void {
    this.queues.reweigh(index, weight)
  }

  remove(index: number): void {
    const { queues } = this
    const isEvicted = index === this.chosen
    this.chosen = -1
    this.tuner.removed(queues.hashOf(index), !isEvicted)
    if (!isEvicted && !queues.isInWindow(index)) this.toMove += queues.weightOf(index)
    queues.remove(index)
  }

  move(from: number, to: number): void {
    this.queues.move(from, to)
  }

  shrink(): void {
    this.queues.shrink()
  }

  victim(weight: number): number {
    this.chosen = this.choose(weight)
    return this.chosen
  }

  clear(): void {
    this.queues.clear()
    this.tuner = new Tuner()
    this.sketch = undefined
    this.configuration = undefined
    this.simulated = this.sketched = 0
  }

  /** Makes the sketch and the simulations. */
  private observe(): void {
    // as many as there will be in the full store, if they weigh as much as those that are here
    this.simulated = Math.ceil((this.size * this.options.capacity) / Math.max(1, this.weight))
    this.sketched = Math.min(this.size * 2, this.simulated)
    this.sketch = new Sketch(this.sketched)
    this.tuner.simulate(this.simulated, this.sketch)
  }

  /** Enlarges the sketch, and the simulations if there are more entries than expected. */
  private grow(sketch: Sketch): void {
    const isExpected = this.size <= this.simulated
    if (!isExpected) this.simulated = this.size * 2
    this.sketched = Math.min(this.size * 2, this.simulated)
    sketch.grow(this.sketched)
    if (!isExpected) this.tuner.simulate(this.simulated, sketch)
  }

  private choose(weight: number): number {
    const { queues, tuner } = this
    if (queues.size === 0) return -1
    if (this.sketch === undefined) this.observe()
    tuner.fit()
    const { admits: admission, share } = tuner.configuration
    const window = windowOf(share, queues.weight)
    this.moveExcess(window)
    if (queues.windowWeight + weight <= window && queues.mainSize > 0) return queues.mainOldest(this.counted)
    let victim = -1
    for (let left = moves; left > 0; left--) {
      if (queues.windowSize === 0) return queues.mainOldest(this.counted)
      const candidate = queues.windowOldest()
      if (queues.mainSize === 0) return candidate
      this.countUses(candidate)
      victim = queues.mainOldest(this.counted)
      const frequency = this.sketch!.estimate(queues.hashOf(candidate))
      if (!admits(admission, frequency, this.worth(victim, queues.weightOf(candidate), frequency))) return candidate
      queues.promote(candidate)
      // otherwise the main queue is too light, and has room for the candidate
      if (queues.windowWeight < window || this.toMove > 0) break
    }
    return victim
  }

  /**
   * Moves what the window has too much to the main queue, as far as that has room because the configuration changed, the
   * store was never full, or entries of the main queue were removed. In a store that weighs, the window is also too heavy
   * after a heavy entry was added or has left, and that is no reason to move anything unasked: one-time heavy entries
   * would push out what the main queue has collected.
   */
  private moveExcess(window: number): void {
    const { queues } = this
    const { configuration } = this.tuner
    if (configuration !== this.configuration) {
      this.configuration = configuration
      this.toMove = queues.windowWeight - window
    }
    if (queues.windowWeight <= window) this.toMove = 0
    for (let left = moves; left > 0 && queues.windowWeight > window; left--) {
      const oldest = queues.windowOldest()
      const weight = queues.weightOf(oldest)
      if (weight > this.toMove) return
      this.countUses(oldest)
      queues.promote(oldest)
      this.toMove -= weight
    }
  }

  /** The frequencies of all entries that would have to leave the main queue for one of a weight, together. */
  private worth(first: number, weight: number, enough: number): number {
    const { queues } = this
    let worth = 0
    let freed = 0
    let victim = first
    for (let left = mostVictims; victim >= 0 && left > 0; left--) {
      worth += this.sketch!.estimate(queues.hashOf(victim))
      freed += queues.weightOf(victim)
      if (freed >= weight || worth > enough) break
      victim = queues.mainNext(victim)
    }
    return worth
  }

  private readonly counted = (hash: number): void => {
    this.sketch!.add(hash)
  }

  /** Moves the count of an entry into the sketch. */
  private countUses(index: number): void {
    for (let uses = this.queues.takeCount(index); uses > 0; uses--) this.sketch!.add(this.queues.hashOf(index))
  }
}
