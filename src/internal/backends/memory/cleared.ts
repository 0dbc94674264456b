/**
 * The entries that `clear` has removed from a store in memory. `clear` takes the records of all entries out of the store
 * at once, and their values are free from then on (law 16: no scans). Two things are left to do for each entry: to tell
 * that it has left, and to remember that it was here, because a read of its key is a miss for another reason than one of a
 * key that was never stored. Both are done in parts, by later writes and by the store that uses this one.
 *
 * A key that was here is remembered by its hash, until it is stored again: four to eight bytes per key, for at most a
 * million keys.
 */

/** The most hashes that are remembered. With one more, all of them are forgotten. */
const mostHashes = 1_048_576
/** The fewest slots of the table. */
const leastSlots = 16

/** What `clear` has removed at once. */
export interface Group {
  /** The indices of its entries. One that has left gets `gone`: deleting a million of them would rehash the map at times. */
  readonly indices: Map<string, number>
  /** Called for each entry, once. */
  readonly onLeft: (key: string, index: number, now: number) => void
}

const gone = -1

export class Cleared {
  /** The groups with entries that have not left. */
  private groups: Array<Group> = []
  /** The entries of the first group that were not visited. */
  private next: Iterator<[key: string, index: number]> | undefined = undefined
  /** The number of entries that have not left. */
  size = 0
  /** A hash table with open addressing. 0 is an empty slot. */
  private table = new Int32Array(leastSlots)
  private hashes = 0
  private readonly hashOf: (key: string) => number

  constructor(hashOf: (key: string) => number) {
    this.hashOf = hashOf
  }

  /** Whether there is nothing to do, and nothing remembered. */
  get isEmpty(): boolean {
    return this.hashes === 0 && this.groups.length === 0
  }

  add(group: Group): void {
    this.groups.push(group)
    this.size += group.indices.size
    this.reserve(this.hashes + group.indices.size)
  }

  /** Lets up to so many entries leave. */
  leave(most: number, now: number): void {
    let left = most
    while (left > 0 && this.groups.length > 0) {
      const group = this.groups[0]!
      this.next ??= group.indices.entries()
      const { done, value } = this.next.next()
      if (done === true) {
        this.next = undefined
        this.groups.shift()
        continue
      }
      left--
      const [key, index] = value
      if (index === gone) continue
      this.remember(key)
      this.takeOut(group, key, index, now)
    }
  }

  private takeOut({ indices, onLeft }: Group, key: string, index: number, now: number): void {
    indices.set(key, gone)
    this.size--
    onLeft(key, index, now)
  }

  has(key: string): boolean {
    if (this.isEmpty) return false
    return (
      this.groups.some(({ indices }) => (indices.get(key) ?? gone) !== gone) ||
      this.table[this.slotOf(this.codeOf(key))] !== 0
    )
  }

  /** Forgets a key, which is stored again or was removed. If its entry has not left, it leaves now. */
  forget(key: string, now: number): void {
    if (this.isEmpty) return
    for (const group of this.groups) {
      const index = group.indices.get(key) ?? gone
      if (index !== gone) this.takeOut(group, key, index, now)
    }
    const slot = this.slotOf(this.codeOf(key))
    if (this.table[slot] === 0) return
    this.empty(slot)
    if (--this.hashes === 0) this.table = new Int32Array(leastSlots)
  }

  /** Forgets everything. */
  end(): void {
    this.groups = []
    this.next = undefined
    this.size = 0
    this.hashes = 0
    this.table = new Int32Array(leastSlots)
  }

  private codeOf(key: string): number {
    return this.hashOf(key) || 1
  }

  private remember(key: string): void {
    if (this.hashes >= mostHashes) {
      this.table.fill(0)
      this.hashes = 0
    }
    // entries may have been added between two parts
    this.reserve(this.hashes + 1)
    const code = this.codeOf(key)
    const slot = this.slotOf(code)
    if (this.table[slot] === code) return
    this.table[slot] = code
    this.hashes++
  }

  /** Makes room for so many hashes: at least half of the slots stay empty. */
  private reserve(hashes: number): void {
    let slots = this.table.length
    while (slots < 2 * Math.min(hashes, mostHashes)) slots *= 2
    if (slots === this.table.length) return
    const before = this.table
    this.table = new Int32Array(slots)
    for (const code of before) if (code !== 0) this.table[this.slotOf(code)] = code
  }

  /** The slot of a code, or the empty one where it belongs. */
  private slotOf(code: number): number {
    const { table } = this
    const mask = table.length - 1
    let slot = code & mask
    while (table[slot] !== 0 && table[slot] !== code) slot = (slot + 1) & mask
    return slot
  }

  /** Empties a slot, and moves back what stands behind it because this slot was taken. */
  private empty(slot: number): void {
    const { table } = this
    const mask = table.length - 1
    table[slot] = 0
    for (let next = (slot + 1) & mask; table[next] !== 0; next = (next + 1) & mask) {
      const home = table[next]! & mask
      if (((next - home) & mask) < ((next - slot) & mask)) continue
      table[slot] = table[next]!
      table[next] = 0
      slot = next
    }
  }
}
