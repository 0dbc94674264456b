/**
 * Strict LRU: what was used longest ago leaves. Each hit moves its entry to the newest end of one queue, which runs
 * through the fields `newer` and `older` of the records. The order is exact, and nothing is learnt.
 */
import type { Options, Policy } from "./policy.js"
import * as Fields from "./record.js"
import { Sum } from "./weights.js"

const none = -1

export class Lru extends Sum implements Policy {
  /** No entry has this generation, so that each hit is reported. */
  readonly generation = Fields.generationMask + 1
  private newest = none
  private oldest = none

  constructor(records: Fields.Records, { weighted }: Pick<Options, "weighted">) {
    super(records, weighted)
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

  override add(index: number, weight: number): void {
    super.add(index, weight)
    this.records.i32[index * Fields.i32Length + Fields.word] = 0
    this.link(index)
  }

  override remove(index: number): void {
    super.remove(index)
    this.unlink(index)
  }

  override move(from: number, to: number): void {
    super.move(from, to)
    const { i32 } = this.records
    const newer = i32[to * Fields.i32Length + Fields.newer]
    const older = i32[to * Fields.i32Length + Fields.older]
    if (newer === none) this.newest = to
    else i32[newer * Fields.i32Length + Fields.older] = to
    if (older === none) this.oldest = to
    else i32[older * Fields.i32Length + Fields.newer] = to
  }

  victim(_weight: number): number {
    return this.oldest
  }

  override clear(): void {
    super.clear()
    this.newest = this.oldest = none
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
