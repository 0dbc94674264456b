/**
 * The keys that have a background loader in this process, each with the last entry that was written here. That entry
 * answers reads while the backend cannot.
 */
import type { Entry } from "../../../Entry.js"

export class LoaderKeys {
  private readonly last = new Map<string, Entry | undefined>()

  /** Claims a key for a loader; `false` when another loader has it. */
  claim(key: string): boolean {
    if (this.last.has(key)) return false
    this.last.set(key, undefined)
    return true
  }

  release(key: string): void {
    this.last.delete(key)
  }

  lastWritten(key: string): Entry | undefined {
    return this.last.get(key)
  }

  /** Remembers what this process wrote, or with `undefined` that it removed the entry. */
  written(key: string, entry: Entry | undefined): void {
    if (this.last.has(key)) this.last.set(key, entry)
  }

  /** Forgets the last entry when another process wrote the key later. */
  outdate(key: string, stamp: number): void {
    const last = this.last.get(key)
    if (last !== undefined && last.stamp < stamp) this.last.set(key, undefined)
  }
}
