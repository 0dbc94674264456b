/** The weights of entries by their index, in a store that weighs. Without one, each entry weighs 1. */
import * as Fields from "./record.js"

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

  clear(): void {
    this.weights = new Uint32Array(0)
  }
}
