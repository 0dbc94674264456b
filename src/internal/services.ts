/**
 * The services of a reader with a few of a load's own before them, and without a copy of all: copying twenty takes
 * longer than everything else about a short load. Whoever asks for one service is answered from below; whatever looks at
 * the whole makes the copy first, and from then on this is a Map like any other.
 */
export class Services extends Map<string, any> {
  private below: ReadonlyMap<string, any> | undefined

  constructor(below: ReadonlyMap<string, any>) {
    super()
    this.below = below
    if (below instanceof Services && below.below !== undefined) {
      // loads within loads do not pile up
      this.below = below.below
      Map.prototype.forEach.call(below, (service, key) => super.set(key, service))
    }
  }

  private copy(): void {
    const { below } = this
    if (below === undefined) return
    this.below = undefined
    below.forEach((service, key) => {
      if (!super.has(key)) super.set(key, service)
    })
  }

  override get(key: string): any {
    const { below } = this
    return below === undefined || super.has(key) ? super.get(key) : below.get(key)
  }

  override has(key: string): boolean {
    return super.has(key) || this.below?.has(key) === true
  }

  override get size(): number {
    this.copy()
    return super.size
  }

  override delete(key: string): boolean {
    this.copy()
    return super.delete(key)
  }

  override clear(): void {
    this.below = undefined
    super.clear()
  }

  override forEach(f: (service: any, key: string, map: Map<string, any>) => void, self?: unknown): void {
    this.copy()
    super.forEach(f, self)
  }

  override keys() {
    this.copy()
    return super.keys()
  }

  override values() {
    this.copy()
    return super.values()
  }

  override entries() {
    this.copy()
    return super.entries()
  }

  override [Symbol.iterator]() {
    return this.entries()
  }
}
