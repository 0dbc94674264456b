/**
 * The count that orders the writes of all processes, as this process knows it. The scripts raise it in the server; every
 * answer shows it.
 */

/**
 * The least number that is no count. Up to 2^43 milliseconds (the year 2248) a double represents every tick. The day
 * below it leaves room for the scripts to raise a count.
 */
export const maxCount = 2 ** 43 - 86_400_000

/**
 * The count in the text of its key, which holds further numbers. `undefined` if the key is missing, or holds what the
 * scripts take for a lost count, too.
 */
const parseCount = (text: string | undefined): number | undefined => {
  const words = (text ?? "").split(" ")
  const [count, written, marked] = words.map((word) => (word === "" ? Number.NaN : Number(word)))
  const isCount = words.length === 3 && count! >= 0 && count! < maxCount && written! <= count! && marked! <= count!
  return isCount ? count : undefined
}

export class Count {
  /** The highest count that an answer has shown. Mutable by design. */
  private highest = 0
  /** The last text that was parsed, and its count. Most answers show the same text as the one before. Mutable by design. */
  private lastText: string | undefined
  private lastCount: number | undefined

  get seen(): number {
    return this.highest
  }

  /** The count in the text of its key, observed. */
  parse(text: string | undefined): number | undefined {
    if (text !== undefined && text === this.lastText) return this.lastCount
    const count = parseCount(text)
    if (count !== undefined) this.observe(count)
    this.lastText = text
    this.lastCount = count
    return count
  }

  observe(count: number): void {
    if (count > this.highest && count < maxCount) this.highest = count
  }
}
