/**
 * Strict LRU: what was used longest ago leaves. Each hit moves its entry to the newest end of one queue, which runs
 * through the fields `newer` and `older` of the records. The order is exact, and nothing is learnt.
 */
import type { Options, Policy } from "./policy.js"
import * as Fields from "./record.js"
import { Weights } from "./weights.js"

const none = -1

export class Lru implements Policy {
  /** No entry has this generation, so that each hit is reported. */
  readonly generation = Fields.generationMask + 1
  size = 0
  weight = 0
  private newest = none
  private oldest = none
  private readonly weights: Weights | undefined
  private readonly records: Fields.Records

  constructor(records: Fields.Records, { weighted }: Pick<Options, "weighted">) {
    this.records = records
    this.weights = weighted ? new Weights(records) : undefined
  }

  hash(_key: string): number {
    return 0
  }

  touched(index: number): void {
    if (index === this.newest) return
    this.unlink(index)
    this.link(index)
  }

  missed(_hash: number): void {}

  add(index: number, weight: number): void {
    this.weights?.set(index, weight)
    this.records.i32[index * Fields.i32Length + Fields.word] = 0
    this.link(index)
    this.size++
    this.weight += this.weightOf(index)
  }

  reweigh(index: number, weight: number): void {
    if (this.weights === undefined) return
    this.weight += weight - this.weights.get(index)
    this.weights.set(index, weight)
  }

  remove(index: number): void {
    this.unlink(index)
    this.size--
    this.weight -= this.weightOf(index)
  }

  victim(_weight: number): number {
    return this.oldest
  }

  clear(): void {
    this.newest = this.oldest = none
    this.size = this.weight = 0
    this.weights?.clear()
  }

  private weightOf(index: number): number {
    return this.weights === undefined ? 1 : this.weights.get(index)
  }

  /** Links an entry in at the newest end. */
  private link(index: number): void {
    const { i32 } = this.records
    i32[index * Fields.i32Length + Fields.newer] = none
    i32[index * Fields.i32Length + Fields.older] = this.newest
    if (this.newest === none) this.oldest = index
    else i32[this.newest * Fields.i32Length + Fields.newer] = index
    this.newest = index
  }

  private unlink(index: number): void {
    const { i32 } = this.records
    const newer = i32[index * Fields.i32Length + Fields.newer]
    const older = i32[index * Fields.i32Length + Fields.older]
    if (newer === none) this.newest = older
    else i32[newer * Fields.i32Length + Fields.older] = older
    if (older === none) this.oldest = newer
    else i32[older * Fields.i32Length + Fields.newer] = newer
  }
}
