/**
 * An entry: a value with its times, its owner, its tags, and the stamp that decides which of two writes is the later.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/**
 * The state of an entry: fresh until `freshUntil`, then stale until `staleUntil`, then retained until `expiresAt`, then
 * expired. A retained entry answers only in place of a load that fails (`staleIfError`).
 *
 * @category models
 * @since 0.1.0
 */
export type State = "fresh" | "stale" | "retained" | "expired"

/**
 * The value of an entry with its state and times, as the member `entry` of a cached function returns it. Times are
 * milliseconds of the reader's `Clock`; `Infinity` means forever.
 *
 * @category models
 * @since 0.1.0
 */
export interface View<out A> {
  readonly value: A
  readonly state: "fresh" | "stale" | "retained"
  readonly createdAt: number
  readonly freshUntil: number
  /** Until when the value may be served as stale. It is `expiresAt` unless the function has `staleIfError`. */
  readonly staleUntil: number
  readonly expiresAt: number
  /** When it expires if nobody reads it until then. Only for a function with `maxIdle`. */
  readonly idleUntil?: number | undefined
}

/**
 * What an entry has beside its header, where it has anything. `Envelope.v1` describes how it is stored.
 *
 * @internal
 */
export interface Extension {
  /** Until when the entry may be served stale; afterwards only in place of a load that failed. Default: `expiresAt`. */
  readonly staleUntil?: number | undefined
  /** Whether the value is a stored failure of the lookup. */
  readonly isFailure?: boolean | undefined
  /** For how many milliseconds nobody may read the entry before it expires. */
  readonly idle?: number | undefined
  /** When it was read, as far as that was recorded. Default: `createdAt`. */
  readonly readAt?: number | undefined
  /** A second stamp, which orders entries that have the same stamp. */
  readonly stamp?: number | undefined
  /** Whether the bytes carry a checksum. */
  readonly hasChecksum?: boolean | undefined
}

/**
 * The part of an entry that is the same in every backend. Times are milliseconds; `Infinity` means forever.
 *
 * @category models
 * @since 0.1.0
 */
export interface Header {
  /**
   * When the load of the value began, or the write was asked for, in the store's time. Strictly increasing per process.
   */
  readonly stamp: number
  /** When the load ended. The lifetime counts from here. */
  readonly createdAt: number
  readonly freshUntil: number
  readonly expiresAt: number
  /** The identity of the function that wrote the entry, or `""` for a write through the store itself. */
  readonly owner: string
  readonly tags: ReadonlyArray<string>
  /** @internal */
  readonly extension?: Extension | undefined
}

/**
 * The state of an entry as a copy in a tier in memory, above slower tiers.
 *
 * @internal
 */
export interface Copy {
  /** When it was copied, on the live clock. */
  readonly since: number
  /** Until when the tier keeps it, on the reader's clock: before it expires if the tier's `ttl` is shorter. */
  readonly held: number
  /** Whether the tier below did not take the value, so that other processes find something else there. */
  readonly isDoubted?: boolean | undefined
  /** When its renewal was last tried; `Infinity` if its source is gone. */
  readonly triedAt?: number | undefined
  /** The stamp that the tier below has given to the value, where that is not the stamp of the entry. */
  readonly assigned?: number | undefined
}

/**
 * What holds an entry outside of the object, so that changes of the object must reach it: a store in memory.
 *
 * @internal
 */
export interface Holder {
  /** Whether the entry is still there, with the same state as the object. */
  readonly holds: (entry: Entry) => boolean
  /** Takes over a change of an entry that it held before the change. */
  readonly save: (entry: Entry) => void
}

/** @internal */
export const noTags: ReadonlyArray<string> = []

/**
 * An entry. `V` is the type of the value as callers see it, or the bytes that a backend stores for it.
 *
 * @category models
 * @since 0.1.0
 */
export class Entry<out V = unknown> implements Header {
  readonly value: V
  readonly stamp: number
  readonly createdAt: number
  readonly freshUntil: number
  readonly expiresAt: number
  readonly owner: string
  readonly tags: ReadonlyArray<string>
  /** @internal It is replaced when a read is recorded: see `recordRead`. */
  readonly extension: Extension | undefined
  /** @internal The epoch of the marks this entry was last compared with, `-1` if never. Mutable by design: `change`. */
  epoch = -1
  /**
   * @internal Until when a read in this process is answered at once. The first read decides that, by the options of its
   * function: see `ReadPath.isDue`. Mutable by design: `change`.
   */
  until = Number.NEGATIVE_INFINITY
  /** @internal Its state as a copy from a slower tier. Mutable by design: `change`. */
  copy: Copy | undefined = undefined
  /**
   * @internal How far the wall clock had been set back when its times were last right; `undefined` while no store in
   * this process holds the entry. Mutable by design: `change`.
   */
  clockBack: number | undefined = undefined
  /** @internal The store in memory that held the entry when the object was made, with its key and record there. */
  holder: Holder | undefined = undefined
  /** @internal */
  key: string | undefined = undefined
  /** @internal */
  index = -1

  constructor(value: V, header: Header) {
    this.value = value
    this.stamp = header.stamp
    this.createdAt = header.createdAt
    this.freshUntil = header.freshUntil
    this.expiresAt = header.expiresAt
    this.owner = header.owner
    this.tags = header.tags
    if (header instanceof Entry) this.clockBack = header.clockBack
    this.extension = header.extension
  }

  /** The result of a read that this entry answers. That of a stored failure fails with its value, which is the error. */
  get success(): Effect.Effect<V> {
    return isFailure(this) ? (Exit.fail(this.value) as Exit.Exit<never, never>) : Exit.succeed(this.value)
  }
}

/** What may change of an entry. */
type Changeable = "epoch" | "until" | "createdAt" | "freshUntil" | "expiresAt" | "extension" | "copy" | "clockBack"

/**
 * Changes an entry, and the store in memory that still holds it as it was.
 *
 * @internal
 */
export const change = (entry: Entry, to: Partial<Pick<Entry, Changeable>>): void => {
  const { holder } = entry
  const isHeld = holder?.holds(entry) === true
  Object.assign(entry, to)
  if (isHeld) holder?.save(entry)
}

/**
 * The entry whose bytes carry a checksum.
 *
 * @internal
 */
export const withChecksum = <V>(entry: Entry<V>): Entry<V> =>
  new Entry(entry.value, { ...entry, extension: { ...entry.extension, hasChecksum: true } })

/** The times of an entry that decide when it expires. */
type Times = Pick<Header, "createdAt" | "expiresAt" | "extension">

/**
 * When an entry was read last, as far as that was recorded.
 *
 * @internal
 */
export const readAtOf = ({ createdAt, extension }: Pick<Header, "createdAt" | "extension">): number =>
  extension?.readAt ?? createdAt

/**
 * When an entry expires if nobody reads it until then; `Infinity` if that does not matter.
 *
 * @internal
 */
export const idleEnd = (entry: Pick<Header, "createdAt" | "extension">): number => {
  const idle = entry.extension?.idle
  return idle === undefined ? Number.POSITIVE_INFINITY : readAtOf(entry) + idle
}

/**
 * When an entry expires: at its end, or earlier if nobody reads it.
 *
 * @internal
 */
export const lifeEnd = (entry: Times): number =>
  entry.extension === undefined ? entry.expiresAt : Math.min(entry.expiresAt, idleEnd(entry))

/**
 * Until when an entry is fresh.
 *
 * @internal
 */
export const freshEnd = (entry: Pick<Header, "createdAt" | "freshUntil" | "extension">): number =>
  entry.extension === undefined ? entry.freshUntil : Math.min(entry.freshUntil, idleEnd(entry))

/**
 * Until when an entry may be served as stale.
 *
 * @internal
 */
export const staleEnd = (entry: Times): number =>
  entry.extension === undefined
    ? entry.expiresAt
    : Math.min(entry.extension.staleUntil ?? entry.expiresAt, idleEnd(entry))

/**
 * Records that an entry with an idle time was read at `at`. Its idle end is later then, and its end stays.
 *
 * @internal
 */
export const recordRead = (entry: Entry, at: number): void => {
  const { extension } = entry
  if (extension?.idle !== undefined && at > readAtOf(entry)) change(entry, { extension: { ...extension, readAt: at } })
}

/** An extension whose stale end is earlier by `millis`. */
const movedBack = (extension: Extension | undefined, millis: number): Extension | undefined =>
  extension?.staleUntil === undefined ? extension : { ...extension, staleUntil: extension.staleUntil - millis }

/**
 * Moves all times of an entry back by `millis`. `clockBack` is how far the clock was set back by then.
 *
 * @internal
 */
export const setBack = (entry: Entry, millis: number, clockBack = entry.clockBack): void => {
  const { copy, createdAt, expiresAt, freshUntil, until } = entry
  const extension = movedBack(entry.extension, millis)
  change(entry, {
    createdAt: createdAt - millis,
    freshUntil: freshUntil - millis,
    expiresAt: expiresAt - millis,
    extension: extension?.readAt === undefined ? extension : { ...extension, readAt: extension.readAt - millis },
    until: until - millis,
    copy: copy && { ...copy, held: copy.held - millis },
    clockBack
  })
}

/** All times of an entry. */
type AllTimes = Pick<Header, "createdAt" | "freshUntil" | "expiresAt" | "extension">

/**
 * The times of an entry that counts as stale from `at` on: it may be served, as stale or in place of a load that fails,
 * for as long as it could have been after `freshUntil`. `undefined` if it may not be served at all, or not any more. An
 * entry from the future, of a process whose clock is ahead or was set back since, counts as created at `at`.
 *
 * @internal
 */
export const staleFrom = (
  { createdAt, expiresAt, extension, freshUntil }: AllTimes,
  at: number
): AllTimes | undefined => {
  const from = Math.min(freshUntil, at)
  // how long an entry that is fresh for ever may be served as stale is not known: the difference is NaN
  const end = expiresAt - (freshUntil - from)
  if (!(end > at)) return undefined
  return {
    createdAt: Math.min(createdAt, at),
    freshUntil: from,
    expiresAt: end,
    extension: movedBack(extension, freshUntil - from)
  }
}

/**
 * The times of an entry that was expired, and that may not be served as stale. It is absent for everybody but those who
 * keep a value to its end all the same: mirrors, and the readers of background loaders.
 *
 * @internal
 */
export const expired = ({ createdAt, extension }: Pick<Header, "createdAt" | "extension">, at: number): AllTimes => {
  const end = Math.min(createdAt, at)
  return { createdAt: end, freshUntil: end, expiresAt: end, extension }
}

/**
 * Whether an entry has the times of `expired`. No entry is written with them.
 *
 * @internal
 */
export const isExpired = ({ createdAt, expiresAt }: Pick<Header, "createdAt" | "expiresAt">): boolean =>
  expiresAt <= createdAt

/**
 * Makes an entry count as stale from `at` on, as an expiry of its tag or function does. Repeating it changes nothing.
 *
 * @internal
 */
export const makeStale = (entry: Entry, at: number): void => {
  const { createdAt, expiresAt, extension, freshUntil } = staleFrom(entry, at) ?? expired(entry, at)
  if (freshUntil === entry.freshUntil && expiresAt === entry.expiresAt) return
  change(entry, { createdAt, freshUntil, expiresAt, extension, until: Number.NEGATIVE_INFINITY })
}

/**
 * The entry that takes the place of one that counts as stale from `at` on. `undefined` if there is none.
 *
 * @internal
 */
export const staleEntry = <V>(
  entry: Entry<V>,
  { at, stamp }: { readonly at: number; readonly stamp: number }
): Entry<V> | undefined => {
  const times = staleFrom(entry, at)
  if (times === undefined) return undefined
  const stale = new Entry(entry.value, { ...entry, ...times, stamp })
  stale.clockBack = entry.clockBack
  return stale
}

/**
 * The entry that takes the place of one that was expired and may not be served as stale.
 *
 * @internal
 */
export const expiredEntry = <V>(
  entry: Entry<V>,
  { at, stamp }: { readonly at: number; readonly stamp: number }
): Entry<V> => {
  const gone = new Entry(entry.value, { ...entry, ...expired(entry, at), stamp })
  gone.clockBack = entry.clockBack
  return gone
}

/**
 * Whether an entry is a stored failure, whose value is the error of the lookup. Only reads of its own function take it.
 *
 * @internal
 */
export const isFailure = ({ extension }: Pick<Header, "extension">): boolean => extension?.isFailure === true

/**
 * Whether an entry is later than another of its key. Two loads may have one stamp; then the one that ended later is.
 *
 * @internal
 */
export const isLater = (entry: Header, than: Header): boolean =>
  entry.stamp > than.stamp || (entry.stamp === than.stamp && entry.createdAt > than.createdAt)

/**
 * The state of an entry at `now`. At the moment of a border the later state applies by law 1 (freshness).
 *
 * @category models
 * @since 0.1.0
 */
export const stateAt = (entry: Header, now: number): State =>
  now >= lifeEnd(entry) ? "expired" : now < entry.freshUntil ? "fresh" : now < staleEnd(entry) ? "stale" : "retained"

/**
 * The view of an entry at `now`, or `undefined` once it has expired, and for a stored failure.
 *
 * @category models
 * @since 0.1.0
 */
export const view = <A>(entry: Entry<A>, now: number): View<A> | undefined => {
  const state = stateAt(entry, now)
  return state === "expired" || isFailure(entry)
    ? undefined
    : {
        value: entry.value,
        state,
        createdAt: entry.createdAt,
        freshUntil: entry.freshUntil,
        staleUntil: entry.extension?.staleUntil ?? entry.expiresAt,
        expiresAt: entry.expiresAt,
        ...(entry.extension?.idle === undefined ? undefined : { idleUntil: lifeEnd(entry) })
      }
}
