/**
 * What a cache holds under a key: a value, its three times, the stamp that decides who wrote last, and who it belongs
 * to.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/**
 * Where in its life an entry is: fresh until `freshUntil`, stale from then until `expiresAt`, expired from then on.
 *
 * @category models
 * @since 0.1.0
 */
export type State = "fresh" | "stale" | "expired"

/**
 * What a caller may see of an entry that is alive (`peek`'s longer brother). Times are milliseconds of the reader's
 * `Clock`; `Infinity` means for ever.
 *
 * @category models
 * @since 0.1.0
 */
export interface View<out A> {
  readonly value: A
  readonly state: "fresh" | "stale"
  readonly createdAt: number
  readonly freshUntil: number
  readonly expiresAt: number
}

/**
 * The part of an entry that is the same in every medium.
 *
 * @category models
 * @since 0.1.0
 */
export interface Header {
  /** when the load that made this value began, in the store's time, strictly increasing per node */
  readonly stamp: number
  /** when the load ended; lives count from here */
  readonly createdAt: number
  readonly freshUntil: number
  readonly expiresAt: number
  /** the identity of the function that wrote it, `""` for a write through the store itself */
  readonly owner: string
  readonly tags: ReadonlyArray<string>
}

/**
 * An entry in a tier in memory above others.
 *
 * @internal
 */
export interface Copy {
  /** when it came, on the live clock */
  readonly since: number
  /** until when that tier holds it: earlier than it expires where the tier's `ttl` is shorter */
  readonly held: number
}

/** @internal */
export const noTags: ReadonlyArray<string> = []

/**
 * An entry. `V` is the value as callers see it, or the bytes a medium keeps of it.
 *
 * @category models
 * @since 0.1.0
 */
export class Entry<out V = unknown> implements Header {
  // what a hit looks at stands first, and so in one line of the processor's cache
  /** the answer of a hit, made once */
  readonly success: Effect.Effect<V>
  readonly owner: string
  /** @internal the marks' epoch this entry was last compared with; mutable by design, `-1` is never */
  epoch = -1
  /** @internal until when a read in this process is answered at once; mutable by design */
  until: number
  /** @internal */
  visited = false
  readonly value: V
  readonly stamp: number
  readonly createdAt: number
  readonly freshUntil: number
  readonly expiresAt: number
  readonly tags: ReadonlyArray<string>
  /** @internal what it is as a copy of what a slower tier holds; mutable by design */
  copy: Copy | undefined = undefined
  /** @internal the key it stands under in a store in memory, and its place there; mutable by design */
  key: string | undefined = undefined
  /** @internal */
  newer: Entry | undefined = undefined
  /** @internal */
  older: Entry | undefined = undefined

  constructor(value: V, header: Header) {
    this.value = value
    this.stamp = header.stamp
    this.createdAt = header.createdAt
    this.freshUntil = header.freshUntil
    this.until = header.freshUntil
    this.expiresAt = header.expiresAt
    this.owner = header.owner
    this.tags = header.tags
    this.success = Exit.succeed(value)
  }
}

/**
 * The state of an entry at `now` (law 1: each border belongs to what comes after it).
 *
 * @category models
 * @since 0.1.0
 */
export const stateAt = (entry: Header, now: number): State =>
  now < entry.freshUntil ? "fresh" : now < entry.expiresAt ? "stale" : "expired"

/**
 * What a caller may see of it at `now`; `undefined` once it has expired.
 *
 * @category models
 * @since 0.1.0
 */
export const view = <A>(entry: Entry<A>, now: number): View<A> | undefined => {
  const state = stateAt(entry, now)
  return state === "expired"
    ? undefined
    : {
        value: entry.value,
        state,
        createdAt: entry.createdAt,
        freshUntil: entry.freshUntil,
        expiresAt: entry.expiresAt
      }
}
