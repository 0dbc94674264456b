/**
 * The bound that no policy can exceed: Belady's MIN ("A study of replacement algorithms for a virtual-storage computer",
 * IBM Systems Journal 5(2), 1966) with bypass. It knows the future, keeps what is read soonest, and stores nothing that
 * is read later than everything stored.
 */
import type { Trace } from "./traces.js"

const never = 0x7fff_ffff

/** Numbers with a priority, of which the one with the largest priority comes first. */
class Heap {
  size = 0
  private keys = new Int32Array(1_024)
  private priorities = new Int32Array(1_024)

  get firstKey(): number {
    return this.keys[0]!
  }

  get firstPriority(): number {
    return this.priorities[0]!
  }

  push(key: number, priority: number): void {
    if (this.size === this.keys.length) {
      const { keys, priorities } = this
      this.keys = new Int32Array(this.size * 2)
      this.keys.set(keys)
      this.priorities = new Int32Array(this.size * 2)
      this.priorities.set(priorities)
    }
    let at = this.size++
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.priorities[parent]! >= priority) break
      this.move(parent, at)
      at = parent
    }
    this.keys[at] = key
    this.priorities[at] = priority
  }

  pop(): void {
    const last = --this.size
    const priority = this.priorities[last]!
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= last) break
      if (child + 1 < last && this.priorities[child + 1]! > this.priorities[child]!) child++
      if (this.priorities[child]! <= priority) break
      this.move(child, at)
      at = child
    }
    this.move(last, at)
  }

  private move(from: number, to: number): void {
    this.keys[to] = this.keys[from]!
    this.priorities[to] = this.priorities[from]!
  }
}

/** Returns the largest possible number of hits. */
export const belady = ({ distinct, keys }: Trace, capacity: number): number => {
  const next = new Int32Array(keys.length)
  const seen = new Int32Array(distinct).fill(never)
  for (let i = keys.length - 1; i >= 0; i--) {
    next[i] = seen[keys[i]!]!
    seen[keys[i]!] = i
  }
  /** When a stored key is read next, or -1 if it is not stored. What the heap says otherwise is outdated. */
  const stored = new Int32Array(distinct).fill(-1)
  const heap = new Heap()
  let size = 0
  let hits = 0
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!
    const again = next[i]!
    if (stored[key] !== -1) {
      hits++
      stored[key] = again
      heap.push(key, again)
    } else if (again !== never) {
      if (size < capacity) size++
      else {
        while (stored[heap.firstKey] !== heap.firstPriority) heap.pop()
        if (heap.firstPriority <= again) continue
        stored[heap.firstKey] = -1
        heap.pop()
      }
      stored[key] = again
      heap.push(key, again)
    }
  }
  return hits
}
