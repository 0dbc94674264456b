/**
 * Chooses the configuration of the adaptive policy. Each of a few configurations is simulated on a sample of the keys
 * (`simulation.ts`), and the store takes over the one that would have had the most hits lately. W-TinyLFU moves its
 * window by hill climbing (Einziger, Eytan, Friedman, Manes: "Adaptive Software Cache Management", Middleware 2018),
 * which must try a direction on the store itself to learn whether it is better, one at a time; simulations know it
 * beforehand, for distant configurations too.
 *
 * The **leader** is the configuration with the most hits in a short time. To follow it is not always right: where hits
 * come in bursts, as in a scan to and fro, two configurations lead in turn, each change comes too late, and throws away
 * what the configuration before had collected. So one more simulation, the **follower**, always takes over the leader's
 * configuration, with all that this costs. The store follows the leader too, until a single configuration has had more
 * hits than the follower over a long time; then it stays with that one while that is so.
 *
 * A key is sampled if the highest bits of its hash are zero. A simulation has as many entries as the store has sampled
 * ones, not a fixed share: in a loop that is a little longer than the store, the sample may fit a fixed size by chance.
 *
 * Hits come as a log that is read with the next miss, so that a hit costs no more than writing a number, and nothing
 * leaves while the log is unread. A sampled entry is logged once per generation, and generations end with misses, so the
 * log is as long as the sample. With a shorter one, a long run of hits is cut off, the simulations see a small set of
 * keys, and all look perfect.
 */
import { type Configuration, Simulation } from "./simulation.js"
import type { Sketch } from "./sketch.js"

/** The configurations, the initial one first. No two are alike on all workloads; the last is LRU. */
export const configurations: ReadonlyArray<Configuration> = [
  { share: 0.01, admits: "muchMore" },
  { share: 0.01, admits: "more" },
  { share: 0.1, admits: "muchMore" },
  { share: 0.1, admits: "twice" },
  { share: 0.3, admits: "more" },
  { share: 0.6, admits: "more" },
  { share: 1, admits: "more" }
]

/** A simulation has at least so many entries, unless the store itself has fewer. */
const leastEntries = 512
/** At most 1/64 of the keys is sampled less, until a simulation would have so many entries. */
const maxSampleBits = 6
const mostEntries = 8_192

/**
 * The length of the memory of a score, in sizes of a simulation: short, to follow the workload, and long, to see whether
 * following is worth it.
 */
const shortHorizon = 8
const longHorizon = 64
/** By how much a score must exceed that of the current choice: half a point of the hit ratio. */
const margin = 0.005
/** How many observations come between two choices. */
const interval = 16

/** Returns of how many bits of the hash a sample is made, for so many entries of the store. */
const sampleBitsOf = (entries: number): number => {
  let bits = 0
  while (entries / 2 ** (bits + 1) >= leastEntries && bits < maxSampleBits) bits++
  while (entries / 2 ** bits > mostEntries) bits++
  return bits
}

/** The place of the follower among the simulations, behind all others. */
const follower = configurations.length

export class Tuner {
  /** The current configuration. */
  configuration = configurations[0]!
  /** The configuration with the most hits in a short time, and what the store does: follow it, or keep one. */
  private leader = 0
  private chosen = follower
  private sampleBits = 0
  private sampleMask = 0
  /** How many entries of the store are sampled, by the number of zeros that their hashes begin with. */
  private readonly zeros = new Int32Array(33)
  private sampled = 0
  private capacity = 0
  private room = 0
  private simulations: Array<Simulation> = []
  /** For each simulation, its hits lately: each observation takes away the part `1 / horizon`. */
  private readonly short = new Float64Array(follower + 1)
  private readonly long = new Float64Array(follower + 1)
  /** The number of observations after which an observation is forgotten in `short`. */
  private horizon = 0
  private observed = 0
  /** The hashes of sampled entries that were used since the last miss. */
  private log = new Int32Array(0)
  private logged = 0

  /** Begins to simulate, or goes on for more entries. */
  simulate(entries: number, sketch: Sketch): void {
    const before = this.simulations
    this.sampleBits = sampleBitsOf(entries)
    this.sampleMask = this.sampleBits === 0 ? 0 : -1 << (32 - this.sampleBits)
    const expected = Math.max(1, Math.floor(entries / 2 ** this.sampleBits))
    this.room = this.sampleBits === 0 ? expected : expected + Math.ceil(expected / 4) + 64
    this.capacity = expected
    this.sampled = 0
    for (let count = this.sampleBits; count <= 32; count++) this.sampled += this.zeros[count]
    const isSampled = (hash: number) => this.isSampled(hash)
    this.simulations = [...configurations, configurations[this.leader]!].map((configuration, i) => {
      const simulation = new Simulation(configuration, sketch, expected, this.room)
      if (before[i] !== undefined) simulation.copy(before[i], isSampled)
      return simulation
    })
    const horizon = Math.max(64, shortHorizon * expected)
    for (const scores of [this.short, this.long]) {
      for (let i = 0; i <= follower; i++) scores[i] *= this.horizon === 0 ? 0 : horizon / this.horizon
    }
    this.horizon = horizon
    this.logged = Math.min(this.logged, this.room)
    const log = new Int32Array(this.room)
    log.set(this.log.subarray(0, this.logged))
    this.log = log
  }

  /** Counts an entry that was added. */
  added(hash: number): void {
    this.zeros[Math.clz32(hash)]++
    if (this.isSampled(hash)) this.sampled++
  }

  /** Counts an entry that was removed, for another reason than that the store was full if `forget` says so. */
  removed(hash: number, forget: boolean): void {
    this.zeros[Math.clz32(hash)]--
    if (!this.isSampled(hash)) return
    this.sampled--
    if (!forget) return
    this.readLog()
    for (const simulation of this.simulations) simulation.forget(hash)
  }

  /** Logs a hit. */
  hit(hash: number): void {
    if ((hash & this.sampleMask) === 0 && this.logged < this.log.length) this.log[this.logged++] = hash
  }

  /** Observes a miss, after the hits before it. */
  missed(hash: number): void {
    if (this.logged > 0) this.readLog()
    if (this.isSampled(hash)) this.observe(hash)
  }

  /** The store is full: the simulations get as many entries as it has sampled ones. */
  fit(): void {
    const capacity = Math.max(1, Math.min(this.room, this.sampled))
    if (capacity === this.capacity) return
    this.capacity = capacity
    for (const simulation of this.simulations) simulation.resize(capacity)
  }

  private isSampled(hash: number): boolean {
    return (hash & this.sampleMask) === 0
  }

  private readLog(): void {
    for (let i = 0; i < this.logged; i++) this.observe(this.log[i])
    this.logged = 0
  }

  private observe(hash: number): void {
    const { horizon, long, short, simulations } = this
    const distant = horizon * (longHorizon / shortHorizon)
    for (let i = 0; i < simulations.length; i++) {
      const hit = simulations[i].access(hash)
      short[i] += hit - short[i] / horizon
      long[i] += hit - long[i] / distant
    }
    if (++this.observed < interval) return
    this.observed = 0
    this.choose(distant)
  }

  private choose(distant: number): void {
    const { horizon, long, short } = this
    let leader = this.leader
    for (let i = 0; i < follower; i++) if (short[i] > short[leader]) leader = i
    if (short[leader] - short[this.leader] > margin * horizon) {
      this.leader = leader
      this.simulations[follower].configure(configurations[leader]!)
    }
    let best = this.chosen
    for (let i = 0; i <= follower; i++) if (long[i] > long[best]) best = i
    if (long[best] - long[this.chosen] > margin * distant) this.chosen = best
    this.configuration = configurations[this.chosen === follower ? this.leader : this.chosen]!
  }
}
