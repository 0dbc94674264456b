/**
 * The two queues of the adaptive policy: lists through the fields `newer` and `older` of the records. Each entry is in
 * one of them.
 *
 * - The **window** holds what came last, in the order of last use, as LRU does, but lazily: a hit moves nothing, it only
 *   writes the current _generation_ into the entry. A generation ends after a number of additions, and a _marker_ goes
 *   to the newest end of the window then. Before an entry at the oldest end leaves, its generation tells whether it was
 *   used after it was placed; if so, it is placed again behind the marker that ended the generation of its use. That is
 *   where LRU would have it, to within one generation.
 * - The **main** queue holds what proved its worth. It is a clock (Corbató: "A Paging Experiment with the Multics
 *   System", 1968) on a count of two bits, as the main queue of S3-FIFO is (Yang et al.: "FIFO queues are all you need
 *   for cache eviction", SOSP 2023): the oldest entry leaves if its count is zero, otherwise it loses one and starts
 *   again at the newest end.
 *
 * A link is the index of a record, or a negative number: the complement of an end of a queue or of a marker. The ends
 * and the markers have arrays of their own.
 */
import type { Options } from "./policy.js"
import * as Fields from "./record.js"
import { Weights } from "./weights.js"

/**
 * The bits of the policy word: the generation of the last use (0 to 7), the generation at which the entry was placed in
 * the window (8 to 15), the count of uses (16, 17), the queue (18, 19).
 */
const placedShift = 8
const placedMask = 0xff << placedShift
const countUnit = 1 << 16
const countMask = 3 << 16
const inWindow = 1 << 18
const inMain = 2 << 18
const queueMask = 3 << 18

/** How many generations can be told apart by a byte, and how many of them have a marker. */
const generations = 256
const markers = 128

/** Into how many generations the entries of a full store are divided. Twice as many have a marker. */
const generationsPerStore = 64

/** The ends of the queues: their neighbours are the newest entry (`older`) and the oldest (`newer`). */
const windowEnd = ~0
const mainEnd = ~1
const markerLink = (generation: number): number => ~(2 + (generation & (markers - 1)))

export class Queues {
  /** The current generation. */
  generation = 0
  windowSize = 0
  windowWeight = 0
  mainSize = 0
  mainWeight = 0
  /** The weight of each record, if entries have weights. */
  private readonly weights: Weights | undefined
  private readonly endNewer = new Int32Array(2 + markers)
  private readonly endOlder = new Int32Array(2 + markers)
  /** Whether the marker of a generation is in the window. */
  private readonly placedMarkers = new Uint8Array(markers)
  /** How much weight was added in the current generation, and with how much it ends. */
  private added = 0
  private readonly generationWeight: number
  private readonly records: Fields.Records

  constructor(records: Fields.Records, { capacity, weighted }: Pick<Options, "capacity" | "weighted">) {
    this.records = records
    this.generationWeight = Math.max(1, Math.floor(capacity / generationsPerStore))
    this.weights = weighted ? new Weights(records) : undefined
    this.clear()
  }

  get size(): number {
    return this.windowSize + this.mainSize
  }

  get weight(): number {
    return this.windowWeight + this.mainWeight
  }

  weightOf(index: number): number {
    return this.weights === undefined ? 1 : this.weights.get(index)
  }

  isInWindow(index: number): boolean {
    return (this.records.i32[index * Fields.i32Length + Fields.word] & queueMask) === inWindow
  }

  hashOf(index: number): number {
    return this.records.i32[index * Fields.i32Length + Fields.hash]
  }

  /** Writes the current generation into an entry and counts its use. Returns `false` if that was done already. */
  touch(index: number): boolean {
    const { i32 } = this.records
    const at = index * Fields.i32Length + Fields.word
    const word = i32[at]
    if ((word & Fields.generationMask) === this.generation) return false
    const touched = (word & ~Fields.generationMask) | this.generation
    i32[at] = (word & countMask) === countMask ? touched : touched + countUnit
    return true
  }

  /** Adds an entry at the newest end of the window. */
  add(index: number, weight: number): void {
    const { generation } = this
    if (this.weights === undefined) weight = 1
    else this.weights.set(index, weight)
    this.records.i32[index * Fields.i32Length + Fields.word] = inWindow | (generation << placedShift) | generation
    this.link(windowEnd, index)
    this.windowSize++
    this.windowWeight += weight
    this.added += weight
    if (this.added >= this.generationWeight) this.nextGeneration()
  }

  reweigh(index: number, weight: number): void {
    if (this.weights === undefined) return
    const difference = weight - this.weights.get(index)
    this.weights.set(index, weight)
    if (this.isInWindow(index)) this.windowWeight += difference
    else this.mainWeight += difference
  }

  remove(index: number): void {
    const weight = this.weightOf(index)
    if (this.isInWindow(index)) {
      this.windowSize--
      this.windowWeight -= weight
    } else {
      this.mainSize--
      this.mainWeight -= weight
    }
    this.unlink(index)
  }

  /** Goes on with the record of an entry at another index, to which it was copied. */
  move(from: number, to: number): void {
    this.weights?.set(to, this.weights.get(from))
    this.setOlder(this.newer(to), to)
    this.setNewer(this.older(to), to)
  }

  /** The buffer of records has become smaller. */
  shrink(): void {
    this.weights?.shrink()
  }

  /** Moves an entry from the window to the newest end of the main queue. */
  promote(index: number): void {
    const { i32 } = this.records
    const at = index * Fields.i32Length + Fields.word
    const weight = this.weightOf(index)
    this.unlink(index)
    this.link(mainEnd, index)
    i32[at] = (i32[at] & ~queueMask) | inMain
    this.windowSize--
    this.windowWeight -= weight
    this.mainSize++
    this.mainWeight += weight
  }

  /** Returns the entry of the window that was used longest ago. The window must not be empty. */
  windowOldest(): number {
    const { i32 } = this.records
    for (;;) {
      const oldest = this.endNewer[~windowEnd]
      if (oldest < 0) {
        this.unlink(oldest)
        this.placedMarkers[~oldest - 2] = 0
        continue
      }
      const word = i32[oldest * Fields.i32Length + Fields.word]
      const used = word & Fields.generationMask
      if (used === (word & placedMask) >>> placedShift) return oldest
      this.unlink(oldest)
      this.place(oldest, used)
    }
  }

  /**
   * Returns the entry of the main queue that leaves next: the oldest without a count. Those that it passes lose one of
   * their count, start again, and are given to `counted`. The main queue must not be empty.
   */
  mainOldest(counted: (hash: number) => void): number {
    const { i32 } = this.records
    for (;;) {
      const oldest = this.endNewer[~mainEnd]
      const at = oldest * Fields.i32Length + Fields.word
      if ((i32[at] & countMask) === 0) return oldest
      i32[at] -= countUnit
      counted(i32[oldest * Fields.i32Length + Fields.hash])
      this.unlink(oldest)
      this.link(mainEnd, oldest)
    }
  }

  /** Returns the next newer entry without a count in the main queue, or -1. */
  mainNext(index: number): number {
    const { i32 } = this.records
    for (let next = this.newer(index); next >= 0; next = this.newer(next)) {
      if ((i32[next * Fields.i32Length + Fields.word] & countMask) === 0) return next
    }
    return -1
  }

  /** Takes the count from an entry and returns it. */
  takeCount(index: number): number {
    const { i32 } = this.records
    const at = index * Fields.i32Length + Fields.word
    const count = (i32[at] & countMask) / countUnit
    i32[at] &= ~countMask
    return count
  }

  clear(): void {
    for (const end of [windowEnd, mainEnd]) this.endNewer[~end] = this.endOlder[~end] = end
    this.placedMarkers.fill(0)
    this.windowSize = this.windowWeight = this.mainSize = this.mainWeight = this.added = 0
    this.weights?.clear()
  }

  /** Ends a generation: what is used from now on is newer than everything at the window's newest end. */
  private nextGeneration(): void {
    this.added = 0
    this.generation = (this.generation + 1) & (generations - 1)
    const link = markerLink(this.generation)
    const marker = ~link - 2
    if (this.placedMarkers[marker] === 1) this.unlink(link)
    this.link(windowEnd, link)
    this.placedMarkers[marker] = 1
  }

  /** Links an entry that was last used in a generation into the window: older than the marker of the next generation. */
  private place(index: number, used: number): void {
    const { i32 } = this.records
    const at = index * Fields.i32Length + Fields.word
    i32[at] = (i32[at] & ~(placedMask | Fields.generationMask)) | (used << placedShift) | used
    const age = (this.generation - used) & (generations - 1)
    if (age === 0) return this.link(windowEnd, index)
    const next = markerLink(age >= markers ? this.generation + 1 : used + 1)
    // the marker is gone if everything that is older than it is gone too
    this.link(this.placedMarkers[~next - 2] === 1 ? next : this.newer(windowEnd), index)
  }

  private newer(link: number): number {
    return link >= 0 ? this.records.i32[link * Fields.i32Length + Fields.newer] : this.endNewer[~link]
  }

  private older(link: number): number {
    return link >= 0 ? this.records.i32[link * Fields.i32Length + Fields.older] : this.endOlder[~link]
  }

  private setNewer(link: number, newer: number): void {
    if (link >= 0) this.records.i32[link * Fields.i32Length + Fields.newer] = newer
    else this.endNewer[~link] = newer
  }

  private setOlder(link: number, older: number): void {
    if (link >= 0) this.records.i32[link * Fields.i32Length + Fields.older] = older
    else this.endOlder[~link] = older
  }

  private unlink(link: number): void {
    const newer = this.newer(link)
    const older = this.older(link)
    this.setOlder(newer, older)
    this.setNewer(older, newer)
  }

  /** Links `link` in as the next older one of `newer`. */
  private link(newer: number, link: number): void {
    const older = this.older(newer)
    this.setOlder(newer, link)
    this.setNewer(link, newer)
    this.setOlder(link, older)
    this.setNewer(older, link)
  }
}
