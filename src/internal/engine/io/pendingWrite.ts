/**
 * A write that the backend has not confirmed, and the unconfirmed writes of one key.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError } from "../../../CacheError.js"
import { Entry } from "../../../Entry.js"
import type { Fence } from "../definition.js"

export interface WriteRequest {
  readonly stamp: number
  /** The entry to write. Without one, the key is removed. */
  readonly entry: Entry | undefined
  /** Whether this is a `set` or an invalidation, which wins over every earlier write, and not a loaded value. */
  readonly authoritative: boolean
  /** Milliseconds from `asked` until the entry expires, or until the tombstone of a removal may be dropped. */
  readonly lifetime: number
  /** The entry that a removal makes stale. Marks may be raised before it is sent again, so then it removes the entry. */
  readonly stale?: Backend.StaleEntry | undefined
  readonly schema: Backend.AnySchema | undefined
  /** When the write was asked for, on the live clock. */
  readonly asked: number
  /** Whether a loaded value that the backend refuses still removes the entry it was to replace. */
  readonly replaces?: boolean | undefined
  /** When the load began, or the write was asked for, as time of day. */
  readonly began: number
  /** How many milliseconds after its stamp a loaded value may still be written. Default: no limit. */
  readonly maxAge?: number | undefined
  /** Whether other processes follow the key and must be notified of the write. */
  readonly announces?: boolean | undefined
  /** The lock that must still be held. Until the backend confirms that, the value does not answer reads. */
  readonly fence?: Fence | undefined
  /** Given for a stored failure: see `Backend.Write`. */
  readonly givesWay?: Backend.Write["givesWay"]
  /** Whether the backend may hold what must stay instead. Until it has answered, the entry does not answer reads. */
  readonly isUnsure?: boolean | undefined
  /** The function for which the value counts as a set, once the backend has it. Default: it is counted already. */
  readonly countsFor?: { readonly name: string | undefined } | undefined
  /** The tiers that missed it, if not the whole backend did. */
  readonly tiers?: ReadonlyArray<number> | undefined
}

/** A write or, without an entry, a removal. */
export class PendingWrite {
  readonly stamp: number
  readonly entry: Entry | undefined
  readonly authoritative: boolean
  readonly lifetime: number
  readonly stale: Backend.StaleEntry | undefined
  readonly schema: Backend.AnySchema | undefined
  readonly asked: number
  readonly began: number
  readonly replaces: boolean
  readonly maxAge: number
  readonly announces: boolean
  readonly fence: Fence | undefined
  readonly givesWay: Backend.Write["givesWay"]
  readonly isUnsure: boolean
  readonly countsFor: WriteRequest["countsFor"]
  readonly tiers: ReadonlyArray<number> | undefined
  /** The write that this one tries again. A retry keeps its stamp: it is no longer the latest write. */
  readonly retryOf: PendingWrite | undefined
  /**
   * Another process wrote, perhaps later: this write runs on. A loaded value does not answer reads any more. A value that
   * was set answers that the key is absent: which of the two is later is known once the backend has answered. Mutable
   * by design.
   */
  isOutdated = false
  /** How the write has ended. Mutable by design. */
  private ended: Effect.Effect<void, CacheStoreError> | undefined = undefined
  /** Made only if the write is waited for before it has ended: most are not. Mutable by design. */
  private waited: Deferred.Deferred<void, CacheStoreError> | undefined = undefined

  constructor(request: WriteRequest, retryOf?: PendingWrite) {
    this.stamp = request.stamp
    this.entry = request.entry
    this.authoritative = request.authoritative
    this.lifetime = request.lifetime
    this.stale = request.stale
    this.schema = request.schema
    this.asked = request.asked
    this.began = request.began
    this.replaces = request.replaces === true
    this.maxAge = request.maxAge ?? Number.POSITIVE_INFINITY
    this.announces = request.announces === true
    this.fence = request.fence
    this.givesWay = request.givesWay
    this.isUnsure = request.isUnsure === true
    this.countsFor = request.countsFor
    this.tiers = request.tiers
    this.retryOf = retryOf
  }

  /** Waits for the end of the write, and fails if the backend did not confirm it. */
  get done(): Effect.Effect<void, CacheStoreError> {
    return Effect.suspend(() => {
      if (this.ended !== undefined) return this.ended
      this.waited ??= Deferred.unsafeMake(FiberId.none)
      return Deferred.await(this.waited)
    })
  }

  /** Ends the write. Only its first end counts. */
  end(how: Effect.Effect<void, CacheStoreError>): void {
    if (this.ended !== undefined) return
    this.ended = how
    if (this.waited !== undefined) Deferred.unsafeDone(this.waited, how)
  }

  /** The entry that answers reads until the backend has confirmed the write. Without one the key is absent. */
  get answer(): Entry | undefined {
    return this.isOutdated ? undefined : this.entry
  }

  /** Whether the entry does not count in this process before the backend has taken it. */
  get isForBackendFirst(): boolean {
    return this.fence !== undefined || this.isUnsure
  }

  /** Whether this write wins over every earlier one: the backend gives it a new stamp from its own clock. */
  get isLatest(): boolean {
    return this.authoritative && this.retryOf === undefined
  }

  /** The same write with another stamp and the rest of its lifetime. */
  retry(stamp: number, entry: Entry, lifetime: number): PendingWrite {
    const { asked, authoritative, began, countsFor, schema, tiers } = this
    const restamped = new Entry(entry.value, { ...entry, stamp })
    const request = { stamp, entry: restamped, authoritative, lifetime, schema, asked, began, countsFor, tiers }
    return new PendingWrite(request, this)
  }

  /** A removal in place of this write. */
  removal(stamp: number, tombstone: number): PendingWrite {
    const { asked, authoritative, began, schema, tiers } = this
    const lifetime = tombstone
    return new PendingWrite({ stamp, entry: undefined, authoritative, lifetime, schema, asked, began, tiers }, this)
  }

  /** The part of this write that some tiers missed, with the stamp that it has in the others. */
  missedBy(tiers: ReadonlyArray<number>, stamp: number): PendingWrite {
    const { asked, authoritative, began, lifetime, schema } = this
    const entry = this.entry && new Entry(this.entry.value, { ...this.entry, stamp })
    return new PendingWrite({ stamp, entry, authoritative, lifetime, schema, asked, began, tiers }, this.retryOf)
  }
}

const ifAnswering = (write: PendingWrite | undefined): PendingWrite | undefined =>
  write === undefined ||
  (write.isOutdated && !write.authoritative) ||
  write.isForBackendFirst ||
  write.tiers !== undefined
    ? undefined
    : write

/**
 * The writes of one key that have not been confirmed.
 *
 * At most one is running, so the backend receives the writes of a key in order. Of those that wait, only the latest of
 * each kind is kept. Mutable by design.
 */
export class KeyWrites {
  /** The write that was sent to the backend and is not answered yet. */
  running: PendingWrite | undefined = undefined
  /** The latest authoritative write that waits for its turn. */
  authoritative: PendingWrite | undefined = undefined
  /** The latest loaded value that waits for its turn. It was added after `authoritative`, which is sent first. */
  loaded: PendingWrite | undefined = undefined
  /** The latest authoritative write that the backend did not confirm. It is tried again later. */
  undelivered: PendingWrite | undefined = undefined

  get isIdle(): boolean {
    return (this.running ?? this.authoritative ?? this.loaded ?? this.undelivered) === undefined
  }

  /** The write that answers reads: the latest that may. */
  get newest(): PendingWrite | undefined {
    const { undelivered } = this
    // what only some tiers missed is answered by the others
    const answering = undelivered?.tiers === undefined ? undelivered : undefined
    return ifAnswering(this.loaded) ?? this.authoritative ?? ifAnswering(this.running) ?? answering
  }

  /** Adds a write. A write that waits and is superseded by it need not be sent, and ends with it. */
  add(write: PendingWrite): void {
    if (write.authoritative) {
      if (this.loaded !== undefined) this.loaded.end(Effect.void)
      if (this.authoritative !== undefined) this.authoritative.end(write.done)
      this.loaded = undefined
      this.authoritative = write
    } else {
      if (this.loaded !== undefined) this.loaded.end(write.done)
      this.loaded = write
    }
  }

  /** Takes the next write that waits. */
  take(): PendingWrite | undefined {
    const next = this.authoritative ?? this.loaded
    if (this.authoritative !== undefined) this.authoritative = undefined
    else this.loaded = undefined
    return next
  }
}
