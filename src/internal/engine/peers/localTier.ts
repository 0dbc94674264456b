/**
 * The entries in the memory of this process, if the backend has a tier in memory: the whole store, or copies of entries
 * in slower tiers.
 */
import * as Effect from "effect/Effect"
import type * as Backend from "../../../Backend.js"
import { change, type Entry, isFailure, isLater, lifeEnd, readAtOf, recordRead } from "../../../Entry.js"
import type { MarkTable } from "../io/markTable.js"
import type { StoreRuntime } from "../storeRuntime.js"
import type { WallClock } from "../wallClock.js"
import { Coherence } from "./coherence.js"
import type { LoaderKeys } from "./loaderKeys.js"

/** Whether the tier in memory still keeps a copy. Its `ttl` may be shorter than the lifetime of the entry. */
export const isHeld = (entry: Entry, now: number): boolean => entry.copy === undefined || now < entry.copy.held

/** Up to how many entries each count is exact. Of more, a count is used again for a hundred times as long as it took. */
const maxCounted = 100_000
const reuse = 100

/** How many entries are freed before others run. Each may be an event: a subscriber loses some of more than 1 024. */
const freedAtOnce = 512

interface Counted {
  readonly usage: Backend.Usage
  /** Until when it is used, on the live clock. */
  readonly until: number
}

export interface LocalTierParts {
  readonly loaderKeys: Pick<LoaderKeys, "has">
  readonly backend: Backend.Backend
  readonly runtime: StoreRuntime
  readonly wallClock: WallClock
  readonly marks: MarkTable
}

export class LocalTier {
  /** Present if the entries here are copies from a backend that reports the changes of other processes. */
  readonly coherence: Coherence | undefined
  /** The latest count of a large memory. */
  private counted: Counted | undefined = undefined
  /** Whether a fiber frees what was cleared. */
  private isFreeing = false
  private readonly backend: Backend.Backend
  private readonly runtime: StoreRuntime
  private readonly wallClock: WallClock
  private readonly marks: MarkTable

  constructor({ backend, loaderKeys, marks, runtime, wallClock }: LocalTierParts, blindTtl: number) {
    this.backend = backend
    this.runtime = runtime
    this.wallClock = wallClock
    this.marks = marks
    const isShared = backend.unsafeGet !== undefined && backend.remote && backend.notifications !== undefined
    this.coherence = isShared ? new Coherence(runtime, marks, blindTtl) : undefined
    backend.followMarks?.(
      (entry) => entry.epoch !== marks.epoch && !marks.admits(entry),
      (key) => loaderKeys.has(key)
    )
    marks.onFloor = (floor) => {
      backend.unsafeClear?.(floor)
      this.startFreeing()
    }
  }

  /** Frees what was cleared, in parts between which others run. The fiber ends when nothing is left. */
  private startFreeing(): void {
    const { backend, runtime, wallClock } = this
    const { unsafeFree } = backend
    if (unsafeFree === undefined || this.isFreeing || !unsafeFree(0, 0)) return
    this.isFreeing = true
    const free = Effect.zipRight(
      runtime.sleep(0),
      Effect.sync(() => {
        this.isFreeing = unsafeFree(freedAtOnce, wallClock.now())
      })
    )
    runtime.background(Effect.repeat(free, { while: () => this.isFreeing }))
  }

  /**
   * Whether an entry held here counts: no mark has invalidated it, and no other process can have changed it unnoticed.
   */
  isTrusted(entry: Entry): boolean {
    this.wallClock.adjust(entry)
    if (!this.marks.admits(entry)) return false
    // the answer holds until the next mark or step of the clock; `coherence` takes that back for copies that age
    // except for a failure: not every read of its owner takes it
    if (!isFailure(entry)) change(entry, { epoch: this.marks.epoch })
    return this.coherence === undefined || this.coherence.isTrusted(entry)
  }

  /**
   * The entry of a key. Where slower tiers can be asked as well, an entry that has expired or no longer counts is not
   * returned; where this tier is the whole store, the caller judges it.
   */
  locate(key: string, now: number): Entry | undefined {
    const found = this.backend.unsafeGet?.(key)
    if (found === undefined) return found
    this.wallClock.check(now)
    this.wallClock.adjust(found)
    if (!this.backend.remote) return found
    return isHeld(found, now) && now < lifeEnd(found) && this.isTrusted(found) ? found : undefined
  }

  /** Returns whether memory has taken the value. */
  keep(key: string, entry: Entry, now: number): boolean {
    return this.store(key, entry, now, false)
  }

  /**
   * Copies what a slower tier holds, unless that entry or a newer one is here (law 14: a tier never outlives its
   * source). A copy of the same entry takes over when that was read. A failure takes the place of no value: that may still
   * answer.
   */
  fill(key: string, entry: Entry, now: number): void {
    if (this.backend.unsafeSet === undefined) return
    const found = this.locate(key, now)
    if (found !== undefined && isFailure(entry) && !isFailure(found)) return
    if (found === undefined || isLater(entry, found)) {
      this.store(key, this.wallClock.copyOf(entry, now), now, true)
    } else if (entry.extension !== undefined && found.stamp === entry.stamp) recordRead(found, readAtOf(entry))
  }

  private store(key: string, entry: Entry, now: number, isBackfill: boolean): boolean {
    if (this.backend.unsafeSet === undefined) return false
    if (this.coherence !== undefined) this.coherence.copied(entry)
    return this.backend.unsafeSet(key, entry, now, isBackfill) !== false
  }

  remove(key: string): void {
    this.backend.unsafeRemove?.(key)
  }

  /** Removes a copy that has this stamp or an older one. */
  dropUpTo(key: string, stamp: number): void {
    const found = this.copyOf(key)
    if (found !== undefined && found.stamp <= stamp) this.remove(key)
  }

  private copyOf(key: string): Entry | undefined {
    return this.backend.remote ? this.backend.unsafeGet?.(key) : undefined
  }

  /** The entries here that are alive at `now`, if the backend has a tier in memory. It visits every entry. */
  usage(now: number): Backend.Usage | undefined {
    const { backend, runtime } = this
    const { unsafeMeasure, unsafeSize } = backend
    const size = unsafeSize?.()
    if (unsafeMeasure === undefined) return size === undefined ? undefined : { entries: size, bytes: undefined }
    const began = runtime.now()
    if (this.counted !== undefined && began < this.counted.until) return this.counted.usage
    const usage = unsafeMeasure((entry) => this.isAlive(entry, now))
    const end = runtime.now()
    this.counted = (size ?? 0) > maxCounted ? { usage, until: end + (end - began) * reuse } : undefined
    return usage
  }

  private isAlive(entry: Entry, now: number): boolean {
    this.wallClock.adjust(entry)
    // before the times are compared, which an expiry changes
    if (entry.epoch !== this.marks.epoch && !this.marks.admits(entry)) return false
    return now < lifeEnd(entry) && isHeld(entry, now)
  }

  /** Notes that the slower tiers did not take the value with this stamp, which was loaded here. */
  doubt(key: string, stamp: number): void {
    const found = this.backend.unsafeGet?.(key)
    if (found?.stamp === stamp) this.coherence?.doubt(found)
  }
}
