/**
 * The events of a store (`CacheStore.events`). Without a subscriber they cost nothing.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import type { State } from "./Entry.js"

/**
 * How a read was answered.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "hit" | "stale" | "miss"

/**
 * Why a read was a miss.
 *
 * - `absent`: nothing is stored under the key. An entry that was evicted, or removed from a store in memory, is absent,
 *   too: nobody remembers it
 * - `expired`: the entry had expired, or may not be served any more after it was expired
 * - `retained`: the entry is past its stale end, and answers only in place of a load that fails (`staleIfError`)
 * - `invalidated`: the key was invalidated, or removed
 * - `cleared`: the store, or the function, was cleared after the entry was written
 * - `tag`: a tag of the entry was invalidated
 * - `owner`: the entry belongs to another function
 * - `decode`: the stored bytes could not be read
 * - `store`: the store did not answer
 * - `blind`: the store did not answer, and the copy in memory does not count, because no notifications arrive
 * - `bypassed`: the read does not look for an entry: `Cached.bypass`, `Cached.reload`, `refresh`, or a transaction
 * - `disabled`: caching is switched off for the function or the store
 * - `failure`: what is stored is a failure of the lookup, which this function does not take
 *
 * @category models
 * @since 0.2.0
 */
export type MissReason =
  | "absent"
  | "expired"
  | "retained"
  | "invalidated"
  | "cleared"
  | "tag"
  | "owner"
  | "decode"
  | "store"
  | "blind"
  | "bypassed"
  | "disabled"
  | "failure"

/**
 * What the next read of a key would do, and why, as the member `explain` of a cached function returns it. Times are
 * milliseconds of the reader's `Clock`; `Infinity` means forever.
 *
 * @category models
 * @since 0.2.0
 */
export interface Explanation {
  /** Whether the read would return a fresh value, a stale one, or wait for a load. */
  readonly outcome: Outcome
  /** Why it would be a miss. */
  readonly reason?: MissReason | undefined
  /** The tag that was invalidated, where the reason is `tag`. */
  readonly tag?: string | undefined
  /** The state of the entry that is stored, unless it was invalidated or is not for this function. */
  readonly state?: State | undefined
  /** The name of the tier that would answer, in a store of several. */
  readonly tier?: string | undefined
  readonly freshUntil?: number | undefined
  /** Until when the value may be served as stale. */
  readonly staleUntil?: number | undefined
  readonly expiresAt?: number | undefined
  /** The load of the key that runs: for how many milliseconds, and how many readers wait for it. */
  readonly load?: { readonly age: number; readonly waiters: number } | undefined
  /**
   * The same as a line of the HTTP field `Cache-Status` (RFC 9211), such as `effect-cached; hit; ttl=42` or
   * `effect-cached; fwd=miss`. The `ttl` is in seconds, and negative for a stale value.
   */
  readonly cacheStatus: string
}

/**
 * Why an entry left a store.
 *
 * - `explicit`: it was removed or invalidated, by key, by tag, or by `clear`
 * - `replaced`: another value was written under its key
 * - `expired`: its lifetime was over
 * - `capacity`: the store was full, or could not hold the value
 *
 * @category models
 * @since 0.1.0
 */
export type RemovalCause = "explicit" | "replaced" | "expired" | "capacity"

/**
 * An event of a store.
 *
 * - `Hit`, `Stale`, `Miss`: a read of the function `name` was answered with a fresh value, with a stale one, or waits for a
 *   load. `tier` is the tier that answered, in a store of several. `coalesced`: another read had started the load
 * - `Set`: a value was stored: loaded by the function `name`, set as its value, or set through the store, without a name
 * - `Loaded`, `LoadFailed`: a load of the function `name` ended; `refresh` says whether it was a refresh, and `cause` is
 *   its failure
 * - `Removed`: an entry left the store
 * - `Cleared`: marks were raised, by `clear`, by a tag, or for a function
 * - `StoreFailed`: an operation of the backend failed
 * - `StoreUp`: the backend works again after an outage
 *
 * @category models
 * @since 0.1.0
 */
export type CacheEvent =
  | { readonly _tag: "Hit"; readonly key: string; readonly name: string; readonly tier?: string | undefined }
  | { readonly _tag: "Stale"; readonly key: string; readonly name: string; readonly tier?: string | undefined }
  | {
      readonly _tag: "Miss"
      readonly key: string
      readonly name: string
      readonly reason: MissReason
      /** The tag that was invalidated, where the reason is `tag`. */
      readonly tag?: string | undefined
      readonly coalesced: boolean
    }
  | { readonly _tag: "Set"; readonly key: string; readonly name?: string | undefined }
  | { readonly _tag: "Loaded"; readonly key: string; readonly name: string; readonly refresh: boolean }
  | {
      readonly _tag: "LoadFailed"
      readonly key: string
      readonly name: string
      readonly refresh: boolean
      readonly cause: Cause.Cause<unknown>
    }
  | { readonly _tag: "Removed"; readonly key: string; readonly cause: RemovalCause }
  | { readonly _tag: "Cleared"; readonly marks: ReadonlyArray<string> }
  | { readonly _tag: "StoreFailed"; readonly method: string; readonly reason: string }
  | { readonly _tag: "StoreUp" }
