/**
 * Reads of the memory of this process without an effect: `store.unsafeGet`, and `unsafePeek` of functions that carry
 * their store. They return what a read would get without waiting. They neither load, refresh nor ask a slower tier, and
 * count neither as hits nor as misses. A value that they return is used: it lives on (`maxIdle`), and the eviction policy
 * takes it as read.
 *
 * The time is that of the clock of the latest load or write, because there is no fiber that has one.
 */
import * as Option from "effect/Option"
import type * as Backend from "../../Backend.js"
import * as Entry from "../../Entry.js"
import type { Args, Definition } from "./definition.js"
import type { MarkTable } from "./io/markTable.js"
import type { Renewals } from "./io/renewals.js"
import type { SingleFlight } from "./loads/singleFlight.js"
import type { Ownership } from "./ownership.js"
import type { LocalTier } from "./peers/localTier.js"
import { dueAtOf } from "./refreshAhead.js"
import { halfSecond, type WallClock } from "./wallClock.js"

export interface MemoryReadsParts {
  readonly backend: Backend.Backend
  readonly wallClock: WallClock
  readonly marks: MarkTable
  readonly ownership: Ownership
  readonly localTier: LocalTier
  readonly singleFlight: SingleFlight
  readonly renewals: Renewals
  /** Whether the store is switched off. */
  readonly isOff: boolean
}

export class MemoryReads {
  /** Whether nothing is returned: the store has closed, or is switched off. */
  private isEmpty: boolean
  private readonly hits: Backend.Backend["hits"]
  private readonly wallClock: WallClock
  private readonly marks: MarkTable
  private readonly parts: MemoryReadsParts

  constructor(parts: MemoryReadsParts) {
    this.isEmpty = parts.isOff
    this.hits = parts.backend.hits
    this.wallClock = parts.wallClock
    this.marks = parts.marks
    this.parts = parts
  }

  /** The reads of a function that always loads, because it was captured inside a transaction. */
  get none(): MemoryReads {
    return new MemoryReads({ ...this.parts, isOff: true })
  }

  /** The value of a key, fresh or stale, whichever function wrote it. */
  get(key: string): Option.Option<unknown> {
    const now = this.wallClock.now()
    const index = this.hit(key, undefined, now)
    return index === -1 ? this.find(key, now) : Option.some(this.hits!.valueAt(index))
  }

  /** What a function would answer with at once. It has a list of arguments, or one argument. */
  peek(def: Definition, key: string, args: Args | undefined, arg?: unknown): Option.Option<unknown> {
    if (def.off) return Option.none()
    const now = this.wallClock.now()
    const index = this.hit(key, def.owner, now)
    return index === -1 ? this.findFor(def, key, args ?? [arg], now) : Option.some(this.hits!.valueAt(index))
  }

  /** The index of an entry that answers at once, as in `ReadPath.read`; -1 if there is none. */
  private hit(key: string, owner: string | undefined, now: number): number {
    const { hits } = this
    return hits === undefined || this.isEmpty || !(Math.abs(now - this.wallClock.middle) <= halfSecond)
      ? -1
      : hits.hit(key, owner, this.marks.epoch, now)
  }

  private find(key: string, now: number): Option.Option<unknown> {
    if (this.isEmpty) return Option.none()
    const { localTier, ownership, renewals } = this.parts
    const entry = ownership.usable(localTier.locate(key, now), undefined, now)
    if (entry === undefined) return Option.none()
    renewals.used(key, entry, now)
    // an entry of a function is judged by the reads of that function
    const end = Entry.freshEnd(entry)
    if (entry.owner === "" && now < end && localTier.isTrusted(entry)) this.answerUntil(entry, end, now)
    return Option.some(entry.value)
  }

  private findFor(def: Definition, key: string, args: Args, now: number): Option.Option<unknown> {
    if (this.isEmpty) return Option.none()
    const { backend, localTier, ownership, renewals, singleFlight } = this.parts
    const entry = localTier.locate(key, now)
    if (entry === undefined || Entry.isFailure(entry) || !ownership.accepts(entry, def)) return Option.none()
    if (!localTier.isTrusted(entry)) return Option.none()
    if (now < ownership.staleEndOf(entry, def, args)) {
      renewals.used(key, entry, now)
      if (entry.owner === def.owner && now < Entry.freshEnd(entry)) this.answerUntil(entry, dueAtOf(entry, def), now)
      return Option.some(entry.value)
    }
    // past that, a read asks a slower tier, or is answered as in `ReadPath.readRetained`
    if (backend.remote) return Option.none()
    const isPaused = now < ownership.endOf(entry, def, args) && singleFlight.isPaused(key, now)
    return isPaused || def.keeps(entry, now) ? Option.some(entry.value) : Option.none()
  }

  /** Lets an entry answer further reads at once. */
  private answerUntil(entry: Entry.Entry, dueAt: number, now: number): void {
    Entry.change(entry, { until: this.parts.renewals.answersUntil(entry, dueAt, now) })
  }

  close(): void {
    this.isEmpty = true
  }
}
