/**
 * Listeners by key: functions that are called when something happened to a key, whether or not anybody reads it.
 */

/** `isRemoved` is true when the entry of the key was removed. */
export type Listener = (isRemoved: boolean) => void

export class KeyListeners {
  private readonly listeners = new Map<string, Set<Listener>>()

  /** Adds a listener, and returns the function that removes it. */
  listen(key: string, listener: Listener): () => void {
    const listeners = this.listeners.get(key)
    if (listeners === undefined) this.listeners.set(key, new Set([listener]))
    else listeners.add(listener)
    return () => {
      const all = this.listeners.get(key)
      if (all?.delete(listener) && all.size === 0) this.listeners.delete(key)
    }
  }

  notify(key: string, isRemoved = false): void {
    if (this.listeners.size === 0) return
    const listeners = this.listeners.get(key)
    if (listeners !== undefined) for (const listener of listeners) listener(isRemoved)
  }

  /** Notifies every listener: after a gap in the notifications anything may have happened to any key. */
  notifyAll(): void {
    for (const key of this.listeners.keys()) this.notify(key)
  }
}
