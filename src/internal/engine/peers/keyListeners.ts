/**
 * The keys that something in this process watches over, read or not: those with a background loader, and those that
 * readers keep a mirror of.
 */
import type { Entry } from "../../../Entry.js"

/** told that something was done to a key, and whether it was taken away */
export type Listener = (gone: boolean) => void

export class KeyListeners {
  /** keys with a background loader, and the last entry written here: it stands in for a medium that cannot answer */
  private readonly loaders = new Map<string, Entry | undefined>()
  private readonly listeners = new Map<string, Set<Listener>>()

  /** takes a key for a loader, unless another has it */
  take(key: string): boolean {
    if (this.loaders.has(key)) return false
    this.loaders.set(key, undefined)
    return true
  }

  free(key: string): void {
    this.loaders.delete(key)
  }

  last(key: string): Entry | undefined {
    return this.loaders.get(key)
  }

  written(key: string, entry: Entry | undefined): void {
    if (this.loaders.has(key)) this.loaders.set(key, entry)
  }

  /** another process wrote later */
  outdate(key: string, stamp: number): void {
    const last = this.loaders.get(key)
    if (last !== undefined && last.stamp < stamp) this.loaders.set(key, undefined)
    this.tell(key)
  }

  /** tells the listener from now on; gives what ends that */
  listen(key: string, listener: Listener): () => void {
    const listeners = this.listeners.get(key)
    if (listeners === undefined) this.listeners.set(key, new Set([listener]))
    else listeners.add(listener)
    return () => {
      const all = this.listeners.get(key)
      if (all?.delete(listener) && all.size === 0) this.listeners.delete(key)
    }
  }

  tell(key: string, gone = false): void {
    if (this.listeners.size === 0) return
    const listeners = this.listeners.get(key)
    if (listeners !== undefined) for (const listener of listeners) listener(gone)
  }

  /** anything may have been done to any key */
  tellAll(): void {
    for (const key of this.listeners.keys()) this.tell(key)
  }
}
