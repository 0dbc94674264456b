/**
 * What happens in a store, for those who listen (`CacheStore.events`). Nobody listening costs nothing.
 *
 * @since 0.1.0
 */

/**
 * How a read was answered.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "hit" | "stale" | "miss"

/**
 * Why an entry is gone. Idle ones count as `expired`, oversized ones as `capacity`, tags and `clear` as `explicit`.
 *
 * @category models
 * @since 0.1.0
 */
export type RemovalCause = "explicit" | "replaced" | "expired" | "capacity"

/**
 * An event. `name` is the function's label.
 *
 * @category models
 * @since 0.1.0
 */
export type CacheEvent =
  | { readonly _tag: "Loaded"; readonly key: string; readonly name: string; readonly refresh: boolean }
  | { readonly _tag: "LoadFailed"; readonly key: string; readonly name: string; readonly refresh: boolean }
  | { readonly _tag: "Removed"; readonly key: string; readonly cause: RemovalCause }
  | { readonly _tag: "Cleared"; readonly marks: ReadonlyArray<string> }
  | { readonly _tag: "StoreFailed"; readonly method: string; readonly reason: string }
  | { readonly _tag: "StoreUp" }
