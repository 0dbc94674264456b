/** The policy of a store without a limit: it counts, and nothing leaves. No hit is reported to it. */
import type { Options, Policy } from "./policy.js"
import * as Fields from "./record.js"
import { Sum } from "./weights.js"

export class Unbounded extends Sum implements Policy {
  /** The generation that every entry has. */
  readonly generation = 0

  constructor(records: Fields.Records, { weighted }: Pick<Options, "weighted">) {
    super(records, weighted)
  }

  hash(_key: string): number {
    return 0
  }

  touched(_index: number): void {}

  missed(_hash: number): void {}

  override add(index: number, weight: number): void {
    super.add(index, weight)
    this.records.i32[index * Fields.i32Length + Fields.word] = this.generation
  }

  victim(_weight: number): number {
    return -1
  }
}
