/**
 * The problems of a store (`CacheStore.health`): the states in which a cache does less than its user believes.
 *
 * A cache that fails costs its callers time and no errors, so a problem shows nowhere unless the store reports it. Each
 * is logged at Warning when it begins, and is then listed in `health`.
 *
 * @since 0.1.0
 */

/**
 * The names of the problems. `docs/failures.md` says of each what it means and what to do. A backend that is not part
 * of this library may have further ones.
 *
 * @category models
 * @since 0.1.0
 */
export type Name =
  | "BreakerOpen"
  | "BuiltTooOften"
  | "CachingOff"
  | "ClientResends"
  | "ClosedUndelivered"
  | "CommandRefused"
  | "DirectoryFull"
  | "Disconnected"
  | "EntryUnreadable"
  | "EventsLost"
  | "EvictsTombstones"
  | "HandlerFailed"
  | "InvalidatedEarly"
  | "KeyIncomplete"
  | "KeyShared"
  | "LoadTooLong"
  | "LoaderEnded"
  | "LoaderFailed"
  | "LockLost"
  | "LocksFail"
  | "MarksFail"
  | "MarksLost"
  | "MarksRepaired"
  | "MessageIgnored"
  | "MirrorEmpty"
  | "NameShared"
  | "NoLock"
  | "NoMarks"
  | "NoMaxEntries"
  | "NoNotifications"
  | "PartFails"
  | "PolicyNameUnused"
  | "ReadsFail"
  | "RefreshesFail"
  | "RefreshTooLong"
  | "RenewalsFail"
  | "ServerIsReplica"
  | "SessionTooLarge"
  | "SnapshotFails"
  | "SnapshotIncomplete"
  | "SnapshotUnreadable"
  | "SubscribeRefused"
  | "SweepFails"
  | "TierOrder"
  | "TooManyDaemons"
  | "TooManyFunctions"
  | "TooManyLoads"
  | "TooManyMarks"
  | "TooManyRefreshes"
  | "TooManyUndelivered"
  | "UsedAfterClose"
  | "ValueRefused"
  | "WriteFenced"
  | "WriteLate"
  | "WritesFail"

/**
 * A problem of a store. A state, such as `ReadsFail`, is listed until it is over. An event, such as `ValueRefused`, is
 * listed until it has not happened for an hour.
 *
 * @category models
 * @since 0.1.0
 */
export interface CacheProblem {
  readonly name: Name | (string & {})
  /** The function, tier or other part that is concerned. Empty if it is the whole store. It never contains a key. */
  readonly subject: string
  /** What happened, what it means, and what to do: the text of the Warning. */
  readonly message: string
  /** When it was first seen, in milliseconds since 1970. */
  readonly since: number
  /** When it was last seen, in milliseconds since 1970. */
  readonly last: number
  /** How often it was seen since it is listed. */
  readonly count: number
}
