/** The policy of the library, with the least of a store around it. */
import { make } from "../../src/internal/backends/memory/eviction.js"
import * as Fields from "../../src/internal/backends/memory/record.js"
import type { Policy } from "./references.js"

/** Makes a cache whose keys have hashes of a seed. */
export const adaptive =
  (seed: number): Policy =>
  (distinct, capacity) => {
    const records = { i32: new Int32Array(capacity * Fields.i32Length) }
    const policy = make(records, "adaptive", { capacity, weighted: false, seed })
    const hashes = Int32Array.from({ length: distinct }, (_, key) => policy.hash(`k${key}`))
    const indexOf = new Int32Array(distinct).fill(-1)
    const keyOf = new Int32Array(capacity)
    let used = 0
    return (key) => {
      const { i32 } = records
      const found = indexOf[key]!
      if (found >= 0) {
        const word = i32[found * Fields.i32Length + Fields.word]!
        if ((word & Fields.generationMask) !== policy.generation) policy.touched(found)
        return true
      }
      const hash = hashes[key]!
      policy.missed(hash)
      let index = used
      if (used < capacity) used++
      else {
        index = policy.victim(1)
        policy.remove(index)
        indexOf[keyOf[index]!] = -1
      }
      i32[index * Fields.i32Length + Fields.hash] = hash
      indexOf[key] = index
      keyOf[index] = key
      policy.add(index, 1)
      return false
    }
  }
