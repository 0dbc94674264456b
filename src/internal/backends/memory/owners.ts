/**
 * The owners of the entries in a store in memory. A record has the number of its owner. A number is used again once no
 * entry has that owner, so that functions that come and go leave nothing behind.
 */
export class Owners {
  /** The owners by number. */
  readonly names: Array<string> = []
  private readonly numbers = new Map<string, number>()
  /** How many entries each owner has. */
  private readonly counts: Array<number> = []
  private readonly free: Array<number> = []

  /** The number of owners that have entries. */
  get size(): number {
    return this.numbers.size
  }

  /** Whether an owner has entries. */
  has(name: string): boolean {
    return this.numbers.has(name)
  }

  /** The number of an owner, which has one entry more. */
  add(name: string): number {
    const known = this.numbers.get(name)
    if (known !== undefined) {
      this.counts[known]!++
      return known
    }
    const number = this.free.pop() ?? this.names.length
    this.names[number] = name
    this.counts[number] = 1
    this.numbers.set(name, number)
    return number
  }

  /** Notes that an entry of an owner is gone. */
  release(number: number): void {
    if (--this.counts[number]! > 0) return
    this.numbers.delete(this.names[number]!)
    this.names[number] = ""
    this.free.push(number)
  }
}
