/**
 * Media that keep whole objects under names: files, buckets, key-value stores. What each can do is little; what the laws
 * ask of it stands once, in `objectBackend.ts`.
 */
import type * as Effect from "effect/Effect"
import type { CacheStoreError } from "../../../CacheError.js"

/** what can be known of an entry without its value */
export interface Meta {
  /** the trace of a removal, and no entry */
  readonly isTrace: boolean
  readonly stamp: number
  readonly createdAt: number
  readonly freshUntil: number
  readonly expiresAt: number
}

/** what a medium tells of an object before its bytes */
export interface Head {
  /** another one after every write */
  readonly version: string
  /** `undefined` where only the bytes tell */
  readonly meta: Meta | undefined
  /** what was kept of `content`, where the medium keeps it */
  readonly content?: string | undefined
}

export interface Stored extends Head {
  /** `undefined` where they were not wanted */
  readonly bytes: Uint8Array | undefined
}

export interface Put {
  readonly bytes: Uint8Array
  readonly meta: Meta | undefined
  /** for how many milliseconds from now it is needed, `Infinity` for ever */
  readonly lifetime: number
  /** a digest of all that is no time or stamp */
  readonly content: string
}

/** by how many milliseconds the clocks of two processes may differ: what is stamped later than that cannot be */
export const maxSkew = 60_000

/** what must stand there for a write to be done: `undefined` anything, `null` nothing, else that version */
export type Condition = string | null | undefined

/** Effects end by themselves when what they wait for does; `objectBackend.ts` bounds them in time. */
export interface Objects {
  /** the store's name in errors, metrics and logs */
  readonly name: string
  readonly head: (name: string) => Effect.Effect<Head | undefined, CacheStoreError>
  /** `wants` decides, from what is known without them, whether the bytes are needed */
  readonly read: (name: string, wants: (head: Head) => boolean) => Effect.Effect<Stored | undefined, CacheStoreError>
  /** `false` where the condition did not hold */
  readonly write: (name: string, put: Put, condition: Condition) => Effect.Effect<boolean, CacheStoreError>
  /** the same bytes with other times, without sending them again; where the medium can. `false` as of `write` */
  readonly restate?: ((name: string, put: Put, version: string) => Effect.Effect<boolean, CacheStoreError>) | undefined
  /** gives, for each, what went wrong; what is not there is removed */
  readonly remove: (
    names: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<CacheStoreError | undefined>, CacheStoreError>
}
