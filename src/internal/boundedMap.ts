/** A map that forgets its oldest key when it is full. */
export class BoundedMap<V> {
  private readonly map = new Map<string, V>()
  private readonly capacity: number

  constructor(capacity: number) {
    this.capacity = capacity
  }

  get isEmpty(): boolean {
    return this.map.size === 0
  }

  get(key: string): V | undefined {
    return this.map.size === 0 ? undefined : this.map.get(key)
  }

  set(key: string, value: V): void {
    this.map.set(key, value)
    if (this.map.size <= this.capacity) return
    for (const oldest of this.map.keys()) {
      this.map.delete(oldest)
      return
    }
  }

  /** Changes every value. */
  update(change: (value: V) => V): void {
    for (const [key, value] of this.map) this.map.set(key, change(value))
  }

  delete(key: string): void {
    if (this.map.size > 0) this.map.delete(key)
  }
}
