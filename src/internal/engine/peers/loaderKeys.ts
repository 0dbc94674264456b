/**
 * The keys that have a background loader in this process, each with the last entry that was written here. That entry
 * answers reads while the backend cannot, unless this process knows that another one replaced or invalidated it.
 *
 * A loader that runs takes the place of `expire`: it loads at once, and its readers keep the value until it has.
 */
import type * as Clock from "effect/Clock"
import type * as Backend from "../../../Backend.js"
import { Entry } from "../../../Entry.js"

export interface Loader {
  /** How its entry is read. */
  readonly reader: Backend.Reader
  readonly clock: Clock.Clock
}

/** Called when a value is expired in this process; with `false` when it may have been, by a mark or another process. */
export type ExpireListener = (isHere: boolean) => void

interface Claimed extends Loader {
  last: Entry | undefined
  onExpire: ExpireListener | undefined
}

export class LoaderKeys {
  private readonly claimed = new Map<string, Claimed>()

  /** Claims a key for a loader; `false` when another loader has it. */
  claim(key: string, { clock, reader }: Loader): boolean {
    if (this.claimed.has(key)) return false
    this.claimed.set(key, { reader, clock, last: undefined, onExpire: undefined })
    return true
  }

  /** Whether a loader has claimed a key. */
  has(key: string): boolean {
    return this.claimed.has(key)
  }

  release(key: string): void {
    this.claimed.delete(key)
  }

  get all(): Iterable<readonly [key: string, loader: Loader]> {
    return this.claimed
  }

  /** Sets the listener of a claimed key, while its loader runs. Returns the function that removes it. */
  listen(key: string, onExpire: ExpireListener): () => void {
    const claimed = this.claimed.get(key)
    if (claimed === undefined) return () => {}
    claimed.onExpire = onExpire
    return () => {
      claimed.onExpire = undefined
    }
  }

  /** Expires the value of a key here. Returns whether a loader runs, which replaces the value. */
  expire(key: string): boolean {
    const onExpire = this.claimed.get(key)?.onExpire
    onExpire?.(true)
    return onExpire !== undefined
  }

  /** Another process wrote the key, or removed or expired its entry. */
  changed(key: string, stamp: number): void {
    this.outdate(key, stamp)
    this.claimed.get(key)?.onExpire?.(false)
  }

  /** A tag or a function was expired: any value may be one of theirs. */
  expired(): void {
    for (const { onExpire } of this.claimed.values()) onExpire?.(false)
  }

  lastWritten(key: string): Entry | undefined {
    return this.claimed.get(key)?.last
  }

  /** Remembers what this process wrote, or with `undefined` that it removed the entry. */
  written(key: string, entry: Entry | undefined): void {
    const claimed = this.claimed.get(key)
    if (claimed !== undefined) claimed.last = entry
  }

  /** Forgets the last entry when another process wrote the key later. */
  outdate(key: string, stamp: number): void {
    const claimed = this.claimed.get(key)
    if (claimed?.last !== undefined && claimed.last.stamp < stamp) claimed.last = undefined
  }

  /** Forgets the last entry when the backend, which has no unconfirmed write of the key, holds none or a later one. */
  compare(key: string, found: Backend.Found): void {
    if (found === undefined) this.written(key, undefined)
    else if (found instanceof Entry) this.outdate(key, found.stamp)
  }
}
