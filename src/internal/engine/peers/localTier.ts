/**
 * What this process holds of a store, where the medium has a tier in memory: the whole of it, or copies of what slower
 * tiers hold.
 */
import type * as Backend from "../../../Backend.js"
import type { Entry } from "../../../Entry.js"
import type { MarkTable } from "../io/markTable.js"
import type { StoreRuntime } from "../storeRuntime.js"
import type { Telemetry } from "../telemetry.js"
import { Coherence } from "./coherence.js"

/** whether the tier in memory still holds it */
export const isHeld = ({ copy }: Entry, now: number): boolean => copy === undefined || now < copy.held

export class LocalTier {
  /** where other processes write what is copied here, and tell of it */
  readonly coherence: Coherence | undefined
  private readonly backend: Backend.Backend
  private readonly telemetry: Telemetry
  private readonly marks: MarkTable

  constructor(
    backend: Backend.Backend,
    runtime: StoreRuntime,
    telemetry: Telemetry,
    marks: MarkTable,
    blindTtl: number
  ) {
    this.backend = backend
    this.telemetry = telemetry
    this.marks = marks
    const isShared = backend.unsafeGet !== undefined && backend.remote && backend.notifications !== undefined
    this.coherence = isShared ? new Coherence(runtime, marks, blindTtl) : undefined
  }

  /** whether an entry held here counts: no mark has outdated it, and nobody else can have without our hearing */
  trusts(entry: Entry): boolean {
    if (!this.marks.admits(entry)) return false
    // remembered until the next mark, and only here: what a copy is worth is more than what the marks say of it
    entry.epoch = this.marks.epoch
    return this.coherence === undefined || this.coherence.trusts(entry)
  }

  /** what is held and alive; what has expired, or is held no longer, is not looked at where there is more to ask */
  locate(key: string, now: number): Entry | undefined {
    const there = this.backend.unsafeGet?.(key)
    if (there === undefined || !this.backend.remote) return there
    return isHeld(there, now) && now < there.expiresAt && this.trusts(there) ? there : undefined
  }

  keep(key: string, entry: Entry, now: number, backfill = false): void {
    if (this.backend.unsafeSet === undefined) return
    if (this.coherence !== undefined) this.coherence.welcome(entry)
    this.backend.unsafeSet(key, entry, now, backfill)
    this.count()
  }

  /** copies what a slower tier holds, unless that is here already (law 14) */
  fill(key: string, entry: Entry, now: number): void {
    const there = this.locate(key, now)
    if (there === undefined || there.stamp < entry.stamp) this.keep(key, entry, now, true)
  }

  remove(key: string): void {
    if (this.backend.unsafeRemove === undefined) return
    this.backend.unsafeRemove(key)
    this.count()
  }

  /** a copy that is older than this is no longer worth anything; one of this stamp is, where it `isThat` which was written */
  drop(key: string, stamp: number, isThat = false): void {
    const there = this.backend.remote ? this.backend.unsafeGet?.(key) : undefined
    if (there !== undefined && (there.stamp < stamp || (there.stamp === stamp && !isThat))) this.remove(key)
  }

  /** what was loaded and written here did not come to the slower tiers */
  doubt(key: string, stamp: number): void {
    const there = this.backend.unsafeGet?.(key)
    if (there?.stamp === stamp) this.coherence?.doubt(there)
  }

  private count(): void {
    this.telemetry.totals.entries(this.backend.unsafeSize?.() ?? 0)
  }
}
