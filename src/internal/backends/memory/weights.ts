/** The weights of entries. */
import * as Fields from "./record.js"

/** The weights of entries by their index, in a store that weighs. Without one, each entry weighs 1. */
export class Weights {
  private weights = new Uint32Array(0)
  private readonly records: Fields.Records

  constructor(records: Fields.Records) {
    this.records = records
  }

  get(index: number): number {
    return this.weights[index]
  }

  /** Sets a weight. There is room for as many as there are records. */
  set(index: number, weight: number): void {
    if (index >= this.weights.length) {
      const weights = new Uint32Array(this.records.i32.length / Fields.i32Length)
      weights.set(this.weights)
      this.weights = weights
    }
    this.weights[index] = weight
  }

  /** Keeps room for as many as there are records, and no more. */
  shrink(): void {
    const room = this.records.i32.length / Fields.i32Length
    if (this.weights.length > room) this.weights = this.weights.slice(0, room)
  }

  clear(): void {
    this.weights = new Uint32Array(0)
  }
}

/** The number of entries and their weight, for a policy that has them all in one place. */
export class Sum {
  size = 0
  weight = 0
  private readonly weights: Weights | undefined
  protected readonly records: Fields.Records

  constructor(records: Fields.Records, weighted: boolean) {
    this.records = records
    this.weights = weighted ? new Weights(records) : undefined
  }

  add(index: number, weight: number): void {
    this.weights?.set(index, weight)
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

  move(from: number, to: number): void {
    this.weights?.set(to, this.weightOf(from))
  }

  shrink(): void {
    this.weights?.shrink()
  }

  clear(): void {
    this.size = this.weight = 0
    this.weights?.clear()
  }

  private weightOf(index: number): number {
    return this.weights === undefined ? 1 : this.weights.get(index)
  }
}
