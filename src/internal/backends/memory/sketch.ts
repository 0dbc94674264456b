/**
 * A frequency sketch: an estimate of how often a key was used lately, also of keys that are not stored, in about eight
 * bytes per entry of the store. It is a count-min sketch of 4-bit counters that are halved periodically, as TinyLFU
 * describes it (Einziger, Friedman, Manes: "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 13(4), 2017).
 *
 * The four counters of a key lie in one block of 64 bytes, a cache line. In each quarter of the block the hash chooses
 * one of 32 counters; the estimate is the least of the four.
 */
/** The size of a block in words of eight counters. */
const blockLength = 16

/** How many additions per entry of the store come between two halvings. */
const additionsPerEntry = 10

/** How many words are halved with each addition. */
const wordsPerStep = 1_024

/** Chooses four counters: two bits for the word within a quarter, three for the counter within the word, four times. */
const spread = (hash: number): number => {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x9e3779b1)
  return mixed ^ (mixed >>> 16)
}

export class Sketch {
  private words: Int32Array
  private blockMask: number
  private period: number
  private additions = 0
  /** The next word to halve. At the end of `words` no halving is going on. */
  private aged: number

  /** `entries` is how many entries the store is expected to hold. */
  constructor(entries: number) {
    let blocks = 1
    while (blocks * 8 < entries) blocks *= 2
    this.words = new Int32Array(blocks * blockLength)
    this.blockMask = blocks - 1
    this.period = additionsPerEntry * Math.max(16, entries)
    this.aged = this.words.length
  }

  /** Counts a use of a key. */
  add(hash: number): void {
    const { words } = this
    const block = (hash & this.blockMask) << 4
    let bits = spread(hash)
    for (let quarter = 0; quarter < blockLength; quarter += 4) {
      const at = block + quarter + (bits & 3)
      const shift = ((bits >>> 2) & 7) << 2
      if (((words[at] >>> shift) & 15) !== 15) words[at] += 1 << shift
      bits >>>= 5
    }
    if (++this.additions >= this.period) {
      this.additions >>>= 1
      this.aged = 0
    }
    if (this.aged < words.length) this.age()
  }

  /** Returns how often a key was used lately, from 0 to 15. Collisions make it larger, never smaller. */
  estimate(hash: number): number {
    const { words } = this
    const block = (hash & this.blockMask) << 4
    let bits = spread(hash)
    let least = 15
    for (let quarter = 0; quarter < blockLength; quarter += 4) {
      const count = (words[block + quarter + (bits & 3)] >>> (((bits >>> 2) & 7) << 2)) & 15
      if (count < least) least = count
      bits >>>= 5
    }
    return least
  }

  /**
   * Prepares for more entries. The number of a block is made of the lowest bits of the hash, so a block that stands for
   * two afterwards is copied, and no estimate becomes smaller.
   */
  grow(entries: number): void {
    while ((this.blockMask + 1) * 8 < entries) {
      const { words } = this
      while (this.aged < words.length) this.age()
      this.words = new Int32Array(words.length * 2)
      this.words.set(words)
      this.words.set(words, words.length)
      this.blockMask = this.blockMask * 2 + 1
      this.aged = this.words.length
    }
    this.period = additionsPerEntry * Math.max(16, entries)
  }

  /**
   * Halves some of the counters. All are halved nearly at once, in a few steps: spread over the whole period, two keys
   * would be compared by counters of different ages, which costs loops up to eight points of their hit ratio.
   */
  private age(): void {
    const { words } = this
    const end = Math.min(words.length, this.aged + wordsPerStep)
    for (let at = this.aged; at < end; at++) words[at] = (words[at] >>> 1) & 0x77777777
    this.aged = end
  }
}
