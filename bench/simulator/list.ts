/** A doubly linked list of numbers from 0 up to a bound, each at most once. */
export class List {
  size = 0
  private readonly newer: Int32Array
  private readonly older: Int32Array
  private readonly end: number

  constructor(bound: number) {
    this.newer = new Int32Array(bound + 1)
    this.older = new Int32Array(bound + 1)
    this.end = bound
    this.newer[bound] = this.older[bound] = bound
  }

  /** The oldest number, or `undefined` if there is none. */
  get oldest(): number | undefined {
    const oldest = this.newer[this.end]!
    return oldest === this.end ? undefined : oldest
  }

  /** The next newer number, or `undefined` if this is the newest. */
  newerThan(number: number): number | undefined {
    const newer = this.newer[number]!
    return newer === this.end ? undefined : newer
  }

  add(number: number): void {
    const newest = this.older[this.end]!
    this.older[this.end] = number
    this.newer[number] = this.end
    this.older[number] = newest
    this.newer[newest] = number
    this.size++
  }

  remove(number: number): void {
    const newer = this.newer[number]!
    const older = this.older[number]!
    this.older[newer] = older
    this.newer[older] = newer
    this.size--
  }

  /** Makes a number the newest. */
  renew(number: number): void {
    this.remove(number)
    this.add(number)
  }
}
