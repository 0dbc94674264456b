/** The policy of a store without a limit: it counts, and nothing leaves. No hit is reported to it. */
import type { Options, Policy } from "./policy.js"
import * as Fields from "./record.js"
import { Weights } from "./weights.js"

export class Unbounded implements Policy {
  /** The generation that every entry has. */
  readonly generation = 0
  size = 0
  weight = 0
  private readonly weights: Weights | undefined
  private readonly records: Fields.Records

  constructor(records: Fields.Records, { weighted }: Pick<Options, "weighted">) {
    this.records = records
    this.weights = weighted ? new Weights(records) : undefined
  }

  hash(_key: string): number {
    return 0
  }

  touched(_index: number): void {}

  missed(_hash: number): void {}

  add(index: number, weight: number): void {
    this.weights?.set(index, weight)
    this.records.i32[index * Fields.i32Length + Fields.word] = this.generation
    this.size++
    this.weight += this.weightOf(index)
  }

  reweigh(index: number, weight: number): void {
    if (this.weights === undefined) return
    this.weight += weight - this.weights.get(index)
    this.weights.set(index, weight)
  }

  remove(index: number): void {
    this.size--
    this.weight -= this.weightOf(index)
  }

  victim(_weight: number): number {
    return -1
  }

  clear(): void {
    this.size = this.weight = 0
    this.weights?.clear()
  }

  private weightOf(index: number): number {
    return this.weights === undefined ? 1 : this.weights.get(index)
  }
}
