/**
 * The events of a store (`CacheStore.events`). Without a subscriber they cost nothing.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"

/**
 * How a read was answered.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "hit" | "stale" | "miss"

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
