/**
 * What a medium must be able to do, and no more.
 *
 * A medium keeps entries. Everything else (single flight, freshness, refreshes, timeouts on loads, marks, metrics) is
 * done above it, once, by `CacheStore.make`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { CacheStoreError, SerializerError } from "./CacheError.js"
import type { RemovalCause } from "./CacheEvent.js"
import type { Entry } from "./Entry.js"

/**
 * A schema that needs no services, of any type.
 *
 * @category models
 * @since 0.1.0
 */
export type AnySchema = Schema.Schema<any, any, never>

/**
 * Who reads. The schema is for media that keep bytes, the rest for those that do not keep all of an entry.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reader {
  readonly schema?: AnySchema | undefined
  /** the identity of the function, default `""`: the store itself */
  readonly owner?: string | undefined
  /** for how many milliseconds it takes what is no longer fresh, default 0 */
  readonly stale?: number | undefined
}

/**
 * One key to read.
 *
 * @category models
 * @since 0.1.0
 */
export interface Read extends Reader {
  readonly key: string
  /** the reader's time: what has expired by then is no answer where there is another tier to ask */
  readonly now?: number | undefined
}

/**
 * One entry to write.
 *
 * @category models
 * @since 0.1.0
 */
export interface Write<out V = unknown> {
  readonly key: string
  readonly entry: Entry<V>
  /** milliseconds from now to `entry.expiresAt`, at least 1, `Infinity` for ever: what the medium is told to expire */
  readonly lifetime: number
  /**
   * It came last (`set`), not only to this process: a medium shared by several gives it a stamp of its own time, unless
   * it is carried out much later than it was asked for. Others give way to whatever has a later stamp.
   */
  readonly authoritative: boolean
  /** how many milliseconds after its stamp a loaded value may still be written: traces do not stay longer */
  readonly maxAge?: number | undefined
  /** other processes follow the key: a medium that tells of writes tells of this one, whatever stood there */
  readonly announces?: boolean | undefined
  /** the token of the key's lock: it is written only while that holds the lock, which is looked at in the same step */
  readonly fence?: string | undefined
  readonly schema?: AnySchema | undefined
}

/**
 * One key to remove. Where several processes write, a trace stays behind for `trace` milliseconds, so that a load that
 * began before the removal cannot write after it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Removal {
  readonly key: string
  readonly tombstone: number
  /** when it was asked for */
  readonly stamp: number
  /** as of a `Write` */
  readonly authoritative: boolean
}

/**
 * What became of a write, or of a removal: `Written`; `Superseded`, something newer stands there; `Late`, it was older
 * than its `maxAge`; `Fenced`, the lock it named was no longer held; `Refused`, the value cannot be kept in this medium;
 * `Failed`, the part of the medium that should hold it could not be reached, though others could.
 *
 * @category models
 * @since 0.1.0
 */
export type Written =
  | { readonly _tag: "Written"; readonly stamp: number }
  | { readonly _tag: "Superseded" }
  | { readonly _tag: "Late" }
  | { readonly _tag: "Fenced" }
  | { readonly _tag: "Refused"; readonly error: SerializerError }
  | { readonly _tag: "Failed"; readonly error: CacheStoreError }

/**
 * What a medium knows of a key: an entry, nothing, bytes that are no entry (law 12), or an error where the part of it
 * that holds the key could not be asked, though others could.
 *
 * @category models
 * @since 0.1.0
 */
export type Found<V = unknown> = Entry<V> | SerializerError | CacheStoreError | undefined

/**
 * One mark to raise: what carries this name and began before `stamp` is gone. `explicit` as of a `Write`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Mark {
  readonly name: string
  readonly stamp: number
  readonly authoritative: boolean
}

/**
 * The marks that were raised since they were last asked for: an entry whose stamp is not above `floor`, or not above
 * the mark of its owner or of one of its tags, is no longer there.
 *
 * @category models
 * @since 0.1.0
 */
export interface Marks {
  readonly floor: number
  /** when marks were last lost, and the floor was raised for that reason alone */
  readonly lost: number
  readonly raised: ReadonlyArray<readonly [name: string, stamp: number]>
}

/**
 * The answer to a read, in the order of the keys; `marks` only if they changed since the last answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answers<out V = unknown> {
  readonly found: ReadonlyArray<Found<V>>
  readonly marks?: Marks | undefined
  /** the latest stamp of a trace among what was found */
  readonly tombstone?: number | undefined
  /** where there are several tiers: which of them each was found in */
  readonly tiers?: ReadonlyArray<number> | undefined
}

/**
 * What a medium tells by itself: its connection is there, or gone.
 *
 * @category models
 * @since 0.1.0
 */
export type Change = { readonly _tag: "Up" } | { readonly _tag: "Down"; readonly detail: string }

/**
 * A key that another process wrote or removed, and the stamp of that: what began before it is outdated.
 *
 * @category models
 * @since 0.1.0
 */
export interface Changed {
  readonly key: string
  readonly stamp: number
}

/**
 * What a medium tells of what other processes do, so that a faster tier above it does not keep what they changed.
 *
 * - `Armed`: from now on nothing is missed; what was kept from before may be outdated
 * - `Blind`: nothing can be known any more since a moment on the live clock
 * - `Keys`, `Marks`: what was written, removed, raised elsewhere
 * - `Free`: the lock of a key was given back
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
 * A lock that is held. It ends by itself when its lease does.
 *
 * @category models
 * @since 0.1.0
 */
export interface Held {
  /** what writes name that are to be refused once it is lost */
  readonly token: string
  /** begins the lease anew; `false` when it was lost */
  readonly renew: Effect.Effect<boolean, CacheStoreError>
  /** gives it back, if it is still held */
  readonly release: Effect.Effect<void, CacheStoreError>
}

/**
 * The kind of an operation on a backend: a read of entries, a write or removal of entries, or a read or write of
 * invalidation marks.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation = "read" | "write" | "mark"

/**
 * What a medium of several tiers asks of the store above it, and tells it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Above {
  /** whether no mark has outdated an entry */
  readonly admits: (entry: Entry) => boolean
  readonly notify: (marks: Marks) => void
  /** carries something out that nobody waits for */
  readonly run: (effect: Effect.Effect<unknown, CacheStoreError>) => void
  readonly failed: (tier: string, operation: Operation, error: CacheStoreError) => void
  readonly answered: (tier: string, operation: Operation) => void
}

/**
 * What one tier did: reads it answered, reads it could not, entries it was given, of which to fill it from a slower one,
 * and operations that failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface TierCounts {
  readonly tier: string
  readonly hits: number
  readonly misses: number
  readonly sets: number
  readonly backfills: number
  readonly errors: number
}

/**
 * A medium for entries of `V`.
 *
 * A medium within the process implements the `unsafe` verbs, which are then asked first and cost no step of a fiber,
 * and derives the others with `fromLocal`. Effects may fail with `CacheStoreError` and must end: the medium bounds its
 * own I/O in time.
 *
 * @category models
 * @since 0.1.0
 */
export interface Backend<V = unknown> {
  /** a label for metrics, logs and errors, such as `redis` */
  readonly name: string
  /** whether there is more behind `unsafeGet`; `false` when it knows everything */
  readonly remote: boolean
  /** entries belong to nobody: every function takes them, for as long as its own `stale` says */
  readonly isOwnerless?: boolean | undefined
  readonly unsafeGet?: ((key: string) => Entry<V> | undefined) | undefined
  /** `backfill`: the entry comes from a slower tier */
  readonly unsafeSet?: ((key: string, entry: Entry<V>, now: number, backfill?: boolean) => void) | undefined
  readonly unsafeRemove?: ((key: string) => boolean) | undefined
  /** how many entries are held, those included that have expired and were not met since */
  readonly unsafeSize?: (() => number) | undefined
  /** tells the store of every entry that leaves */
  readonly onRemoved?: ((listener: (key: string, cause: RemovalCause, entry: Entry<V>) => void) => void) | undefined
  readonly getMany: (reads: ReadonlyArray<Read>) => Effect.Effect<Answers<V>, CacheStoreError>
  readonly setMany: (writes: ReadonlyArray<Write<V>>) => Effect.Effect<ReadonlyArray<Written>, CacheStoreError>
  /**
   * Writes only where nothing alive stands. `replacing` names the stamp of what is known to be dead (by a mark) or
   * broken, which counts as nothing.
   */
  readonly setIfAbsent: (
    write: Write<V>,
    options: { readonly now: number; readonly replacing: number | undefined }
  ) => Effect.Effect<Written, CacheStoreError>
  readonly removeMany: (removals: ReadonlyArray<Removal>) => Effect.Effect<ReadonlyArray<Written>, CacheStoreError>
  /** marks shared with other processes; without them the store's own are the only ones */
  readonly marks?:
    | {
        readonly read: Effect.Effect<Marks | undefined, CacheStoreError>
        readonly raise: (marks: ReadonlyArray<Mark>) => Effect.Effect<Marks, CacheStoreError>
        /**
         * How many milliseconds a mark of another process may go unheard, for a medium that tells nothing by itself: a
         * store with copies in memory above it asks as often.
         */
        readonly every?: number | undefined
      }
    | undefined
  readonly changes?: Stream.Stream<Change> | undefined
  /**
   * What other processes do, for a store that keeps a faster copy or waits for a lock; whoever listens opens the way. A
   * silence of `within` milliseconds is told as `Blind`.
   */
  readonly notifications?: ((within: number) => Stream.Stream<Notification>) | undefined
  /** one holder per key among all processes: the lock, or for how many milliseconds somebody else has it at most */
  readonly lock?: ((key: string, lease: number) => Effect.Effect<Held | number, CacheStoreError>) | undefined
  /** tells a medium of several tiers which store it works for */
  readonly attach?: ((above: Above) => void) | undefined
  /** what each tier did, the fastest first */
  readonly tiers?: (() => ReadonlyArray<TierCounts>) | undefined
  /** `false` while there is no connection */
  readonly isUp?: (() => boolean) | undefined
  /** milliseconds to add to this process's clock to get the medium's, never too much */
  readonly offset?: (() => number) | undefined
}

/**
 * A backend from what a medium within this process can do at once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromLocal = <V>(
  local: Required<Pick<Backend<V>, "unsafeGet" | "unsafeSet" | "unsafeRemove" | "unsafeSize">> &
    Pick<Backend<V>, "name" | "onRemoved">
): Backend<V> => {
  const { unsafeGet, unsafeRemove, unsafeSet } = local as { [K in keyof typeof local]: NonNullable<(typeof local)[K]> }
  const written = (write: Write<V>): Written => ({ _tag: "Written", stamp: write.entry.stamp })
  return {
    ...local,
    remote: false,
    getMany: (reads) => Effect.sync(() => ({ found: reads.map((read) => unsafeGet(read.key)) })),
    setMany: (writes) =>
      Effect.sync(() =>
        writes.map((write): Written => {
          const before = unsafeGet(write.key)
          if (!write.authoritative && before !== undefined && before.stamp > write.entry.stamp)
            return { _tag: "Superseded" }
          unsafeSet(write.key, write.entry, write.entry.createdAt)
          return written(write)
        })
      ),
    setIfAbsent: (write, { now, replacing }) =>
      Effect.sync(() => {
        const before = unsafeGet(write.key)
        if (before !== undefined && before.expiresAt > now && before.stamp !== replacing) return { _tag: "Superseded" }
        unsafeSet(write.key, write.entry, now)
        return written(write)
      }),
    removeMany: (removals) =>
      Effect.sync(() =>
        removals.map(({ key, stamp }): Written => {
          unsafeRemove(key)
          return { _tag: "Written", stamp }
        })
      )
  }
}
