/** A store of keys on an eviction policy, as small as it can be. */
import { type Eviction, make } from "../../../../src/internal/backends/memory/eviction.js"
import type { Policy } from "../../../../src/internal/backends/memory/policy.js"
import * as Fields from "../../../../src/internal/backends/memory/record.js"

export class Cache {
  records = { i32: new Int32Array(16 * Fields.i32Length) }
  readonly policy: Policy
  readonly indices = new Map<string, number>()
  readonly keys: Array<string | undefined> = []
  readonly capacity: number
  private readonly free: Array<number> = []

  constructor(capacity: number, eviction: Eviction = "adaptive", weighted = false, seed = 1) {
    this.capacity = capacity
    // the records are replaced as they grow, so the policy must look at them through `this.records`
    this.policy = make(this.records, eviction, { capacity, weighted, seed })
  }

  /** Reads a key. Returns whether it was there. */
  get(key: string): boolean {
    const index = this.indices.get(key)
    if (index === undefined) return false
    const word = this.records.i32[index * Fields.i32Length + Fields.word]!
    if ((word & Fields.generationMask) !== this.policy.generation) this.policy.touched(index)
    return true
  }

  set(key: string, weight = 1): void {
    const { policy } = this
    const before = this.indices.get(key)
    if (before !== undefined) {
      policy.touched(before)
      policy.reweigh(before, weight)
      while (policy.weight > this.capacity) this.drop(policy.victim(0))
      return
    }
    const hash = policy.hash(key)
    policy.missed(hash)
    while (policy.size > 0 && policy.weight + weight > this.capacity) this.drop(policy.victim(weight))
    const index = this.allocate()
    this.records.i32[index * Fields.i32Length + Fields.hash] = hash
    this.keys[index] = key
    this.indices.set(key, index)
    policy.add(index, weight)
  }

  remove(key: string): boolean {
    const index = this.indices.get(key)
    if (index === undefined) return false
    this.drop(index)
    return true
  }

  /** Moves the record of a key to another index. */
  move(key: string): void {
    const from = this.indices.get(key)
    if (from === undefined) return
    const to = this.allocate()
    const at = from * Fields.i32Length
    this.records.i32.copyWithin(to * Fields.i32Length, at, at + Fields.i32Length)
    this.policy.move(from, to)
    this.indices.set(key, to)
    this.keys[to] = key
    this.keys[from] = undefined
    this.free.push(from)
  }

  clear(): void {
    this.policy.clear()
    this.indices.clear()
    this.keys.length = 0
    this.free.length = 0
  }

  /** Reads a key, and sets it if it is not there. */
  access(key: string): boolean {
    const hit = this.get(key)
    if (!hit) this.set(key)
    return hit
  }

  private allocate(): number {
    const index = this.free.pop() ?? this.keys.length
    if ((index + 1) * Fields.i32Length > this.records.i32.length) {
      const i32 = new Int32Array(this.records.i32.length * 2)
      i32.set(this.records.i32)
      this.records.i32 = i32
    }
    return index
  }

  private drop(index: number): void {
    this.policy.remove(index)
    this.indices.delete(this.keys[index]!)
    this.keys[index] = undefined
    this.free.push(index)
  }
}

/** The share of accesses that were hits, in per cent. */
export const hitRatio = (cache: Cache, count: number, key: (i: number) => number): number => {
  let hits = 0
  for (let i = 0; i < count; i++) if (cache.access(`k${key(i)}`)) hits++
  return (100 * hits) / count
}
