/**
 * The interface of a backend, which is what the author of a store implements.
 *
 * A backend keeps entries, and optionally invalidation marks and locks. `CacheStore.make` adds everything else on top:
 * single flight, freshness, refreshes, timeouts of loads, comparing entries with marks, and metrics.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import { type CacheStoreError, SerializerError } from "./CacheError.js"
import type { RemovalCause } from "./CacheEvent.js"
import type { CacheProblem } from "./CacheProblem.js"
import type { TierStats } from "./CacheStats.js"
import { type Entry, type Header, lifeEnd, recordRead, staleEntry } from "./Entry.js"

/**
 * Any schema that requires no services. A schema is invariant in its types, so only `any` stands for all of them.
 *
 * @category models
 * @since 0.1.0
 */
export type AnySchema = Schema.Schema<any, any, never>

/**
 * The reader of an entry. `schema` is used by backends that store bytes; `owner` and `stale` by envelopes that do not
 * store them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reader {
  readonly schema?: AnySchema | undefined
  /** The identity of the function that reads. Default: `""`, the store itself. */
  readonly owner?: string | undefined
  /** For how many milliseconds after `freshUntil` the reader accepts an entry. Default: 0. */
  readonly stale?: number | undefined
  /**
   * Given if the reader takes stored failures: the schema of the errors, if they have one. For any other reader a stored
   * failure is absent.
   */
  readonly failures?: { readonly schema?: AnySchema | undefined } | undefined
}

/**
 * A key to read.
 *
 * @category models
 * @since 0.1.0
 */
export interface Read extends Reader {
  readonly key: string
  /**
   * The reader's time, in milliseconds since 1970. A backend of several tiers asks the next tier if an entry has
   * expired by then. Other backends may ignore it: the store checks what they return.
   */
  readonly now?: number | undefined
  /**
   * The read is by a function with `maxIdle`, so it renews an entry with an idle time at `now`. A backend may do that
   * where a quarter of the idle time has passed, and return the entry as it is then. Other backends ignore it: the store
   * calls `renew` after what they return. Default: false.
   */
  readonly renews?: boolean | undefined
  /**
   * The read only explains what the next one would find: a backend of several tiers does not count it as a hit or a miss
   * of a tier. Other backends ignore it. Default: false.
   */
  readonly explains?: boolean | undefined
}

/**
 * An entry to write.
 *
 * @category models
 * @since 0.1.0
 */
export interface Write<out V = unknown> {
  readonly key: string
  readonly entry: Entry<V>
  /**
   * The time from now to `entry.expiresAt`, in milliseconds: at least 1, `Infinity` for an entry that never expires. Of
   * an entry with an idle time it is the time to its idle end, if that is earlier. The backend keeps the entry that long
   * (law 15, physical life is the whole life).
   */
  readonly lifetime: number
  /**
   * An authoritative write (`set`): the backend assigns a new stamp from its own clock, so it wins over every earlier
   * write, unless it runs later than its timeout. A backend that only this process uses may keep the given stamp. Any
   * other write is `Superseded` by an entry or a tombstone with a later stamp.
   */
  readonly authoritative: boolean
  /**
   * A `set` that is sent again because the backend did not confirm it, or after it was outdated; not `authoritative`.
   * Its stamp is that of when it was asked for. A backend that counts answers `Late` unless nothing was written,
   * invalidated or counted since, and gives it a new stamp otherwise. Default: false.
   */
  readonly isRetry?: boolean | undefined
  /**
   * How many milliseconds after its stamp a loaded value may still be written. A later write is `Late`, because the
   * tombstone that would have rejected it may have expired.
   */
  readonly maxAge?: number | undefined
  /**
   * When the load began or, for a value that was set, when that was asked for: the time of day in this process, in
   * milliseconds. Where the write `follows`, its age counts from here, because the stamp is no time of this backend.
   */
  readonly began?: number | undefined
  /**
   * For a copy from a slower tier, the highest count that this backend had shown when the copied entry was asked for or,
   * without `stamps`, the time of day. A copy that is older than a tombstone stays is `Late`.
   */
  readonly since?: number | undefined
  /**
   * The backend is a tier that does not lead, and `entry.stamp` is from the count of the leading tier. The backend keeps
   * it, whatever its own clock or count is. An authoritative write then gets this stamp or, where something is stored
   * that is not older, the next one above it.
   */
  readonly follows?: boolean | undefined
  /**
   * How many milliseconds the stamp of this write must stay at least, so that an older load cannot write after it. The
   * bytes stay that long even if `lifetime` is shorter: as an expired entry, which no read returns. Default: 0.
   */
  readonly tombstone?: number | undefined
  /**
   * Other processes follow this key. A backend with `notifications` notifies them of this write, even if there was no
   * entry before it.
   */
  readonly announces?: boolean | undefined
  /**
   * Given for a stored failure, which must not take the place of an entry that may be usable. The write is `Superseded`
   * by every entry that has not expired when the failure was made, except by one with the stamp `dead`, which the load has
   * found unusable. A backend may ignore it.
   */
  readonly givesWay?: { readonly dead: number | undefined } | undefined
  /**
   * The token of the key's lock. The backend checks in the same atomic step that the token still holds the lock, and
   * otherwise answers `Fenced`.
   */
  readonly fence?: string | undefined
  readonly schema?: AnySchema | undefined
  /** For a backend of several tiers, the indexes of the tiers that missed this write before. Default: all. */
  readonly tiers?: ReadonlyArray<number> | undefined
}

/**
 * A key to remove. A backend that several processes write leaves a tombstone with the stamp of the removal, so that a
 * load that began before the removal cannot write after it (law 8, invalidation wins).
 *
 * @category models
 * @since 0.1.0
 */
export interface Removal {
  readonly key: string
  /** How many milliseconds the tombstone stays. */
  readonly tombstone: number
  /** When the removal was requested. */
  readonly stamp: number
  /**
   * The entry that becomes stale, in place of being removed. A backend may ignore it, and remove the entry. Set in
   * removals that are not sent again.
   */
  readonly stale?: StaleEntry | undefined
  /** As in a `Write`. */
  readonly authoritative: boolean
  /**
   * As in a `Write`. Such a removal is carried out whatever is stored: where that is not older, the tombstone gets the
   * next stamp above it.
   */
  readonly follows?: boolean | undefined
  /** As in a `Write`. */
  readonly tiers?: ReadonlyArray<number> | undefined
}

/**
 * The entry that a removal makes stale (`CacheStore.expire`): the one that has the stamp `of`. It stays, in one atomic
 * step, with the stamp of the removal. `freshUntil` becomes `at`, a time of the reader, if that is earlier, and
 * `expiresAt` comes earlier by as much; `createdAt` is `at` at the latest. Where it would have no time left, `freshUntil`
 * and `expiresAt` become `createdAt`, and the bytes stay as long as a tombstone would: `Cached.bgRead` keeps such a value,
 * and does not keep one that was removed. An entry that has expired at `at` is removed, and so is an entry with another
 * stamp, unless its stamp is later than that of the removal.
 *
 * @category models
 * @since 0.2.0
 */
export interface StaleEntry {
  readonly of: number
  readonly at: number
}

/**
 * The entry that a read has used. Its idle time counts from then on, if it is the one that has this stamp.
 *
 * @category models
 * @since 0.2.0
 */
export interface Renewal {
  readonly key: string
  readonly stamp: number
  /** When the entry was created, in the reader's time. */
  readonly createdAt: number
  /** When it was read, in the reader's time: the time of a `recordRead`. */
  readonly at: number
  /** From then on, the time until it expires if nobody reads it again, in milliseconds: at least 1. */
  readonly lifetime: number
}

/**
 * The result of a write or a removal:
 *
 * - `Written`: it was executed; `stamp` is the one that the backend assigned. `missed` are the indexes of the tiers that
 *   missed it, where the leading tier did not
 * - `Superseded`: the backend has something newer
 * - `Late`: the write was older than its `maxAge`
 * - `Fenced`: the write's lock was no longer held
 * - `Refused`: this backend cannot store the value
 * - `Failed`: the part of the backend that holds the key could not be reached, while other parts could
 *
 * @category models
 * @since 0.1.0
 */
export type Written =
  | { readonly _tag: "Written"; readonly stamp: number; readonly missed?: ReadonlyArray<number> | undefined }
  | { readonly _tag: "Superseded" }
  | { readonly _tag: "Late" }
  | { readonly _tag: "Fenced" }
  | {
      readonly _tag: "Refused"
      readonly error: SerializerError
      /** @internal Whether the backend has told it as a removal. */
      readonly isTold?: boolean | undefined
    }
  | { readonly _tag: "Failed"; readonly error: CacheStoreError }

/**
 * What a backend has under a key: an entry; nothing; bytes that are not an entry, as a `SerializerError` (law 12,
 * garbage heals); or a `CacheStoreError` if the part of the backend that holds the key could not be reached, while
 * other parts could.
 *
 * @category models
 * @since 0.1.0
 */
export type Found<V = unknown> = Entry<V> | SerializerError | CacheStoreError | undefined

/**
 * An invalidation mark to raise: it invalidates every entry that carries `name` and began before `stamp`. With `expires`
 * it makes such an entry stale from that time on, which is a time of the reader. `authoritative`, `follows` and `tiers`
 * are as in a `Write`.
 *
 * A backend may ignore `expires`: the mark then invalidates. Otherwise it raises, in one atomic step and with one stamp,
 * `x:name`, then `e:name` with the time as its stamp, then `name`, and last `i:name` with the stamp that `name` had before,
 * if that was not the one of `x:name`, or else the one that `i:name` had. Where `name` has a later stamp already, nothing
 * but `name` is raised.
 *
 * @category models
 * @since 0.1.0
 */
export interface Mark {
  readonly name: string
  readonly stamp: number
  readonly authoritative: boolean
  readonly expires?: number | undefined
  readonly follows?: boolean | undefined
  readonly tiers?: ReadonlyArray<number> | undefined
}

/**
 * The marks that were raised since the last time they were read. An entry is invalid if its stamp is not above `floor`,
 * or not above the mark of its owner or of one of its tags.
 *
 * @category models
 * @since 0.1.0
 */
export interface Marks {
  readonly floor: number
  /**
   * When the backend last lost marks. It then raised the floor for that reason alone. Above the floor, it is the time at
   * which the backend began to keep marks, and none were lost.
   */
  readonly lost: number
  /** Whether this answer is the first to report the loss. Default: `false`. */
  readonly isLoss?: boolean | undefined
  /**
   * Whether the backend had marks with stamps that were broken or from the future. They count as raised now. Default:
   * `false`.
   */
  readonly isRepaired?: boolean | undefined
  readonly raised: ReadonlyArray<readonly [name: string, stamp: number]>
  /**
   * The buckets that older marks were folded into: `t` for tags or `f` for functions and a number, with the latest stamp
   * of the marks in it. Default: none.
   */
  readonly buckets?: ReadonlyArray<readonly [bucket: string, stamp: number]> | undefined
  /** In the answer to a raise, the indexes of the tiers that missed it, where another tier did not. */
  readonly missed?: ReadonlyArray<number> | undefined
}

/**
 * The answers to a batch of reads, in the order of its keys.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answers<out V = unknown> {
  readonly found: ReadonlyArray<Found<V>>
  /** The marks, if they have changed since the last answer. */
  readonly marks?: Marks | undefined
  /**
   * For each key the stamp of its tombstone, `undefined` where there is none. Left out if no key has one. Without it an
   * old entry of a slower tier may come back while it is being removed there.
   */
  readonly tombstones?: ReadonlyArray<number | undefined> | undefined
  /** For a backend of several tiers: the index of the tier that each answer came from. */
  readonly tiers?: ReadonlyArray<number> | undefined
  /** @internal `false` if no tier was sent the reads, because there was no connection. */
  readonly isSent?: boolean | undefined
}

/**
 * A change of a backend's connection. `isProbed`: one operation has succeeded after several had failed, so what is
 * undelivered is delivered, while the end of an outage shows in the operations.
 *
 * @category models
 * @since 0.1.0
 */
export type Change =
  | { readonly _tag: "Up"; readonly isProbed?: boolean | undefined }
  | { readonly _tag: "Down"; readonly detail: string }

/**
 * The condition of one tier.
 *
 * @category models
 * @since 0.2.0
 */
export interface TierState {
  readonly tier: string
  /** Whether it is connected and asked. */
  readonly isUp: boolean
  /** Since when its breaker is open, in milliseconds since 1970; `undefined` while it is closed. */
  readonly openSince: number | undefined
  /** How many operations the breaker has skipped since the store was built. */
  readonly skipped: number
}

/**
 * A key that another process wrote or removed. Entries that began before `stamp` are outdated. `isExpiry`: the entry was
 * made stale, so it may still answer in place of a load that fails.
 *
 * @category models
 * @since 0.1.0
 */
export interface Changed {
  readonly key: string
  readonly stamp: number
  readonly isExpiry?: boolean | undefined
}

/**
 * A notification of what other processes did, so that a faster tier drops its copies of changed keys.
 *
 * - `Armed`: from now on no change is missed; copies from before may be outdated
 * - `Blind`: changes may have been missed since a moment on the live clock
 * - `Keys`, `Marks`: keys that another process wrote or removed, marks that it raised
 * - `Free`: the lock of a key was released
 *
 * @category models
 * @since 0.1.0
 */
export type Notification =
  | { readonly _tag: "Armed" }
  | { readonly _tag: "Blind"; readonly since: number }
  | { readonly _tag: "Keys"; readonly keys: ReadonlyArray<Changed> }
  | { readonly _tag: "Marks"; readonly marks: Marks }
  | { readonly _tag: "Free"; readonly key: string }

/**
 * A lock that this process holds until it releases it, or until its lease ends.
 *
 * @category models
 * @since 0.1.0
 */
export interface Held {
  /** The fencing token: a write that names it is rejected once the lock is lost. */
  readonly token: string
  /** Starts a new lease; `false` if the lock was lost. */
  readonly renew: Effect.Effect<boolean, CacheStoreError>
  /** Releases the lock, if it is still held. */
  readonly release: Effect.Effect<void, CacheStoreError>
}

/**
 * The kind of an operation on a backend: a read of entries, a write or removal of entries, an operation on invalidation
 * marks, or the renewal of entries that were read.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation = "read" | "write" | "mark" | "renew"

/**
 * The store that a backend of several tiers works for. The store passes it to `attach`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Above {
  /**
   * Whether an entry that a tier holds is valid: no mark invalidates it, and the tier has not missed a write of its key
   * or a mark that concerns it. Otherwise the next tier is asked.
   */
  readonly admits: (entry: Entry, key: string, tier: number) => boolean
  /** Whether the key of a read has not changed in this process since the read began. */
  readonly isCurrent: (read: Read) => boolean
  /** Notifies the store of marks that a tier has just reported. */
  readonly notify: (marks: Marks) => void
  /** Runs an effect in the background. */
  readonly run: (effect: Effect.Effect<unknown, CacheStoreError>) => void
  /** An operation of a tier failed. Without this call the failure is neither counted nor logged. */
  readonly failed: (tier: string, operation: Operation, error: CacheStoreError) => void
  /** An operation of a tier succeeded. It ends the outage that `failed` began. */
  readonly answered: (tier: string, operation: Operation) => void
}

/**
 * The counters of one tier.
 *
 * @category models
 * @since 0.1.0
 */
export type TierCounts = Omit<TierStats, "hitRate">

/**
 * What the memory of this process holds.
 *
 * @category models
 * @since 0.2.0
 */
export interface Usage {
  readonly entries: number
  /** `undefined` if memory does not hold bytes. */
  readonly bytes: number | undefined
}

/**
 * What decides whether a sweep frees an entry. An entry whose `owner` and `tags` are left out is compared only with what
 * invalidates every entry.
 *
 * @category models
 * @since 0.1.0
 */
export interface Swept extends Pick<Header, "stamp" | "expiresAt"> {
  readonly owner?: string | undefined
  readonly tags?: ReadonlyArray<string> | undefined
}

/**
 * A sweep: one visit of every entry, which frees those that no read will return again.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sweep {
  /** Why an entry is dead: it has expired, or a mark has invalidated it. `undefined` if it is alive. */
  readonly judge: (entry: Swept) => "expired" | "explicit" | undefined
  /** Whether an owner or a tag was invalidated, so that `judge` needs both. Otherwise stamp and times suffice. */
  readonly needsNames: boolean
  /**
   * How many milliseconds a stamp must stay at least after it was given (law 8, invalidation wins). A dead entry that is
   * younger is replaced by a tombstone with its stamp, and a tombstone that is younger stays.
   */
  readonly tombstone: number
  /** Adds to the result: how many entries and tombstones were visited, and how many of them were freed. */
  readonly count: (seen: number, removed: number) => void
  /** Reports a tier that could not be swept: it failed or, without an error, it cannot list its entries. */
  readonly failed: (tier: string, error?: CacheStoreError) => void
}

/**
 * The request of one part of the list of all keys. `judge` and `needsNames` are as in a `Sweep`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Listing extends Pick<Sweep, "judge" | "needsNames"> {
  /** Where the part begins: the `next` of the part before. `undefined` for the first one. */
  readonly from: unknown
}

/**
 * A part of the list of all keys.
 *
 * @category models
 * @since 0.2.0
 */
export interface KeyPage {
  readonly keys: ReadonlyArray<string>
  /** Where the next part begins, which means something to this backend only. `undefined` after the last part. */
  readonly next: unknown
}

/**
 * The count of a backend that several processes write. It is in milliseconds, like every stamp.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counted {
  /** The highest count that an answer of the backend has shown to this process; 0 before the first answer. */
  readonly seen: () => number
  /** Raises the count. A load that begins afterwards is later than everything that was written before. */
  readonly raise: Effect.Effect<void, CacheStoreError>
  /** Whether the backend answers, so that `seen` follows what other processes write. */
  readonly isCurrent: () => boolean
}

/**
 * An entry as its marks concern it.
 *
 * @category models
 * @since 0.2.0
 */
export interface Marked extends Pick<Header, "owner" | "stamp" | "tags"> {
  /** @internal The epoch of the marks that it was last compared with. */
  readonly epoch: number
}

/**
 * The hits of a store in memory, without the objects that other reads need.
 *
 * @internal
 */
export interface Hits {
  /**
   * The index of an entry that answers a read at `now` as it is: it belongs to this owner, was compared with the marks of
   * this epoch, and its first read found that further reads until then need nothing else. -1 if there is none. Without an
   * owner, whose entry it is does not matter.
   */
  readonly hit: (key: string, owner: string | undefined, epoch: number, now: number) => number
  /** The value of an entry that `hit` has just found. */
  readonly valueAt: (index: number) => unknown
}

/**
 * A backend for entries whose values are `V`.
 *
 * A backend in memory implements the `unsafe` members, which the store calls directly and which cost no step of a
 * fiber, and derives the others with `fromLocal`. Any other backend implements `getMany`, `setMany`, `setIfAbsent` and
 * `removeMany`. The optional members add abilities; the store works without them, with the consequence that each of them
 * names.
 *
 * Effects may fail with `CacheStoreError`, and must end: a backend sets its own timeouts on I/O. A failed read is a
 * miss, and a failed write is retried or skipped (law 6, the store may fail, the caller may not).
 *
 * @category models
 * @since 0.1.0
 */
export interface Backend<V = unknown> {
  /** A label for metrics, logs and errors, such as `redis`. */
  readonly name: string
  /** Whether the store asks `getMany` after `unsafeGet` found nothing. `false` if `unsafeGet` sees every entry. */
  readonly remote: boolean
  /**
   * Entries have no owner: every function accepts them, for as long as its own `stale` option says. By default an entry
   * belongs to the function that wrote it, and any other function treats it as a miss.
   */
  readonly isOwnerless?: boolean | undefined
  /**
   * `false` if the backend does not keep the kind of an entry, which `Envelope.v1` has in its extension block: it would
   * return the error of a stored failure as a value. The store then writes no failure to it. Default: `true`.
   */
  readonly keepsFailures?: boolean | undefined
  /** @internal Answers hits in memory. Default: `unsafeGet` does. */
  readonly hits?: Hits | undefined
  /**
   * Limits how many entries an owner may have (`maxEntries`): of more, those leave that were used longest ago. `Infinity`
   * takes its limit away. A store of several tiers limits the one in memory. Without this member such a function is the
   * problem `NoMaxEntries`.
   *
   * @since 0.2.0
   */
  readonly limitEntries?: ((owner: string, most: number) => void) | undefined
  /** Reads an entry in memory. */
  readonly unsafeGet?: ((key: string) => Entry<V> | undefined) | undefined
  /** As `unsafeGet`, and is no use of the entry for the eviction policy. Default: `unsafeGet`. */
  readonly unsafePeek?: ((key: string) => Entry<V> | undefined) | undefined
  /**
   * Writes an entry in memory. `backfill`: the entry was read from a slower tier. It returns `false` if memory did not
   * take the value, which then does not count as set.
   */
  readonly unsafeSet?: ((key: string, entry: Entry<V>, now: number, backfill?: boolean) => unknown) | undefined
  /** Removes an entry in memory, and returns whether there was one. */
  readonly unsafeRemove?: ((key: string) => boolean) | undefined
  /**
   * The number of entries in memory. It includes entries that have expired, or that an owner's mark or a tag has
   * invalidated, until they are removed.
   */
  readonly unsafeSize?: (() => number) | undefined
  /**
   * Counts the entries in memory that are alive, as `isAlive` says, and adds up their bytes, if memory holds bytes. It
   * visits every entry. Without it the store shows `unsafeSize`.
   */
  readonly unsafeMeasure?: ((isAlive: (entry: Entry<V>) => boolean) => Usage) | undefined
  /**
   * Registers how memory recognizes an entry that a mark has invalidated, so that its writes free such entries as well
   * as expired ones. Without it they stay until they are read, swept or evicted. `hasLoader` says whether a background
   * loader of a key runs: its readers keep an entry that was expired before its time, whose `expiresAt` is not above its
   * `createdAt`, until it has loaded.
   */
  readonly followMarks?:
    | ((isInvalidated: (entry: Marked) => boolean, hasLoader: (key: string) => boolean) => void)
    | undefined
  /**
   * Tells memory that every entry whose stamp is not above `floor` has been invalidated, so that `unsafeSize` does not
   * count them. It must not take longer for more entries: memory may free them when `unsafeFree` is called.
   */
  readonly unsafeClear?: ((floor: number) => void) | undefined
  /**
   * Frees up to `most` of the entries that `unsafeClear` has invalidated, at the time `now`, and returns whether any are
   * left. The store calls it after `unsafeClear`, in parts between which other fibers run. Without it they stay until they
   * are written, swept or evicted.
   *
   * @since 0.2.0
   */
  readonly unsafeFree?: ((most: number, now: number) => boolean) | undefined
  /**
   * Tells memory how many entries are about to be written, so that it need not grow step by step, copying what it has.
   * `CacheSnapshot` calls it. It must not change what memory holds, since fewer may come.
   *
   * @since 0.2.0
   */
  readonly unsafeReserve?: ((entries: number) => void) | undefined
  /**
   * Whether `unsafeClear` has removed a key, and nothing was stored or removed under it since. Only a store that is memory
   * alone has it. Without it a miss of such a key is explained as `absent`.
   *
   * @since 0.2.0
   */
  readonly wasCleared?: ((key: string) => boolean) | undefined
  /**
   * Protects a value from changes by its readers, for a memory that protects all values it holds. The store calls it for
   * values that several readers get before, or besides, memory. Default: none is protected.
   */
  readonly freeze?: ((value: unknown) => void) | undefined
  /**
   * Whether all entries are in the memory of this process, although the store asks for them as it asks a remote backend.
   * `CacheSnapshot` may then keep them. Default: `false`.
   */
  readonly isInProcess?: boolean | undefined
  /** Registers a listener for every entry that leaves memory. Without it there are no removal events. */
  readonly onRemoved?: ((listener: (key: string, cause: RemovalCause, entry: Marked) => void) => void) | undefined
  /** Reads keys. The answers are in the order of the keys. */
  readonly getMany: (reads: ReadonlyArray<Read>) => Effect.Effect<Answers<V>, CacheStoreError>
  /** Writes entries. The results are in the order of the writes. */
  readonly setMany: (writes: ReadonlyArray<Write<V>>) => Effect.Effect<ReadonlyArray<Written>, CacheStoreError>
  /**
   * Writes an entry, in one atomic step, only if the key has no entry that is alive at `now`. An entry with the stamp
   * `replacing` counts as absent: the store knows that a mark invalidates it, or that its bytes are broken.
   */
  readonly setIfAbsent: (
    write: Write<V>,
    options: { readonly now: number; readonly replacing: number | undefined }
  ) => Effect.Effect<Written, CacheStoreError>
  /** Removes keys. The results are in the order of the removals. */
  readonly removeMany: (removals: ReadonlyArray<Removal>) => Effect.Effect<ReadonlyArray<Written>, CacheStoreError>
  /**
   * Records reads of entries with an idle time (`maxIdle`), each in one atomic step: the entry that has this stamp counts
   * as read at that time and is kept for `lifetime`, if that is longer than it would be kept. An entry with another stamp
   * stays as it is, and is `Superseded`. Without this member a read of a function with `maxIdle` dies with
   * `InvalidOption`.
   */
  readonly renew?:
    | ((renewals: ReadonlyArray<Renewal>) => Effect.Effect<ReadonlyArray<Written>, CacheStoreError>)
    | undefined
  /**
   * Visits every entry once and frees the dead ones, in parts that do not keep other operations waiting. It never
   * removes an entry that is newer than the one that it judged. Without it `CacheStore.sweep` frees nothing.
   */
  readonly sweep?: ((sweep: Sweep) => Effect.Effect<void, CacheStoreError>) | undefined
  /**
   * Lists the keys of the entries that are alive, part by part. Each is listed at least once, if it is there from the
   * beginning to the end; tombstones are not. Without it `CacheStore.keys` fails.
   */
  readonly list?: ((listing: Listing) => Effect.Effect<KeyPage, CacheStoreError>) | undefined
  /** Marks that processes share. Without them `clear` and invalidated tags apply to this process only. */
  readonly marks?:
    | {
        /** The marks that were raised since the last read; `undefined` if there are none. */
        readonly read: Effect.Effect<Marks | undefined, CacheStoreError>
        /** Raises marks in all processes. */
        readonly raise: (marks: ReadonlyArray<Mark>) => Effect.Effect<Marks, CacheStoreError>
        /**
         * The longest that a mark of another process may go unnoticed, in milliseconds, for a backend without
         * `notifications`. A store that holds copies in memory above it reads the marks at this interval.
         */
        readonly every?: number | undefined
      }
    | undefined
  /** Changes of the connection. Without it an outage shows only in operations that fail. */
  readonly changes?: Stream.Stream<Change> | undefined
  /**
   * Notifications of what other processes do, for a store that holds copies in memory or waits for a lock. Running the
   * stream opens the channel. If nothing arrives for `within` milliseconds, the stream emits `Blind`.
   */
  readonly notifications?: ((within: number) => Stream.Stream<Notification>) | undefined
  /**
   * Whether the store must follow `notifications` even if it keeps no copies and waits for no lock, because a tombstone
   * may be gone before its time. Asked when the store is built and whenever the backend is up again. Default: no.
   */
  readonly needsNotifications?: (() => boolean) | undefined
  /**
   * Takes the lock of a key, which one process holds at a time. The result is the lock, or the longest time that
   * another process still holds it, in milliseconds. Without this member each process loads for itself.
   */
  readonly lock?: ((key: string, lease: number) => Effect.Effect<Held | number, CacheStoreError>) | undefined
  /** Connects a backend of several tiers with the store that uses it. It then reports failures through `Above`. */
  readonly attach?: ((above: Above) => void) | undefined
  /** The counters of each tier, the fastest first. */
  readonly tiers?: (() => ReadonlyArray<TierCounts>) | undefined
  /** The condition of each tier, the fastest first; of the backend itself, if it has no tiers. */
  readonly states?: (() => ReadonlyArray<TierState>) | undefined
  /** `false` while there is no connection: `health` is then `down`, and undelivered invalidations wait. */
  readonly isUp?: (() => boolean) | undefined
  /**
   * The problems of the backend that the store cannot see, such as a permission that is missing. `health` lists them
   * beside those of the store. The backend itself logs each once.
   */
  readonly problems?: (() => ReadonlyArray<CacheProblem>) | undefined
  /**
   * The count that orders the writes of all processes, if the backend keeps one. The backend raises it with every
   * authoritative write and removal, and with every mark, and gives them the raised count as their stamp, whatever the
   * stamp in the request, unless the request `follows`: then it keeps the stamp, and its count is not below it. A loaded value repeats the count that was seen when its load began. Without this member stamps
   * come from this process's clock, and processes are ordered by their own clocks.
   */
  readonly stamps?: Counted | undefined
}

/**
 * Whether a write is that of a failure that must not take the place of this entry: see `Write.givesWay`.
 *
 * @internal
 */
export const isKeptFrom = (
  { expiresAt, stamp }: Pick<Header, "expiresAt" | "stamp">,
  { entry, givesWay }: Pick<Write, "entry" | "givesWay">
): boolean => givesWay !== undefined && expiresAt > entry.createdAt && stamp !== givesWay.dead

const tooHeavy = (): Written => ({
  _tag: "Refused",
  error: new SerializerError({ reason: "Encode", path: "$", detail: "is heavier than memory takes" }),
  isTold: true
})

/**
 * Makes a backend from the synchronous operations of a store in memory.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromLocal = <V>(
  local: Required<Pick<Backend<V>, "unsafeGet" | "unsafeSet" | "unsafeRemove" | "unsafeSize">> &
    Pick<
      Backend<V>,
      | "followMarks"
      | "limitEntries"
      | "list"
      | "name"
      | "onRemoved"
      | "problems"
      | "sweep"
      | "unsafeClear"
      | "unsafeFree"
      | "unsafeMeasure"
      | "unsafePeek"
      | "unsafeReserve"
      | "wasCleared"
    >
): Backend<V> => {
  const { unsafeGet, unsafeRemove, unsafeSet } = local as { [K in keyof typeof local]: NonNullable<(typeof local)[K]> }
  const written = (write: Write<V>): Written => ({ _tag: "Written", stamp: write.entry.stamp })
  return {
    ...local,
    remote: false,
    getMany: (reads) =>
      Effect.sync(() => ({
        found: reads.map(({ explains, key }) =>
          explains === true ? (local.unsafePeek ?? unsafeGet)(key) : unsafeGet(key)
        )
      })),
    setMany: (writes) =>
      Effect.sync(() =>
        writes.map((write): Written => {
          const before = unsafeGet(write.key)
          if (!write.authoritative && before !== undefined && before.stamp > write.entry.stamp)
            return { _tag: "Superseded" }
          if (before !== undefined && isKeptFrom(before, write)) return { _tag: "Superseded" }
          const isTaken = unsafeSet(write.key, write.entry, write.entry.createdAt) !== false
          return isTaken ? written(write) : tooHeavy()
        })
      ),
    setIfAbsent: (write, { now, replacing }) =>
      Effect.sync(() => {
        const before = unsafeGet(write.key)
        if (before !== undefined && lifeEnd(before) > now && before.stamp !== replacing) return { _tag: "Superseded" }
        return unsafeSet(write.key, write.entry, now) === false ? tooHeavy() : written(write)
      }),
    removeMany: (removals) =>
      Effect.sync(() =>
        removals.map(({ key, stale, stamp }): Written => {
          const before = stale === undefined ? undefined : unsafeGet(key)
          const after = before?.stamp === stale?.of ? before && staleEntry(before, { stamp, at: stale!.at }) : undefined
          if (after === undefined) unsafeRemove(key)
          else {
            // its times are those of the present clock
            after.clockBack = undefined
            unsafeSet(key, after, after.freshUntil)
          }
          return { _tag: "Written", stamp }
        })
      ),
    renew: (renewals) =>
      Effect.sync(() =>
        renewals.map(({ at, key, stamp }): Written => {
          const entry = unsafeGet(key)
          if (entry?.stamp !== stamp) return { _tag: "Superseded" }
          recordRead(entry, at)
          return { _tag: "Written", stamp }
        })
      )
  }
}
