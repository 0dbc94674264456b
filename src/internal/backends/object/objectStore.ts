/**
 * The contract of a store that keeps whole objects under names: a directory, a bucket, a key-value store. An
 * implementation offers a few small operations. `backend.ts` adds the rest of what the laws require, for every
 * implementation.
 */
import type * as Effect from "effect/Effect"
import type { CacheStoreError } from "../../../CacheError.js"

/** The part of an entry that can be known without its value. */
export interface Meta {
  /** Whether the object is the tombstone of a removal, and not an entry. */
  readonly isTombstone: boolean
  readonly stamp: number
  readonly createdAt: number
  readonly freshUntil: number
  readonly expiresAt: number
}

/** An object without its bytes. */
export interface Head {
  /** Changes with every write. */
  readonly version: string
  /** `undefined` if only the bytes contain it. */
  readonly meta: Meta | undefined
  /** The `contentDigest` of the last `Put`, if the store keeps it. */
  readonly contentDigest?: string | undefined
  /** The number of bytes, if the store knows it before it reads them. */
  readonly size?: number | undefined
}

/** An object as it was read. */
export interface Stored extends Head {
  /** `undefined` if the reader did not want them. */
  readonly bytes: Uint8Array | undefined
}

/** An object to write. */
export interface Put {
  readonly bytes: Uint8Array
  readonly meta: Meta | undefined
  /** For how many milliseconds from now the object is needed. `Infinity` means forever. */
  readonly lifetime: number
  /** A digest of the bytes without the times and the stamp: two entries with the same digest differ only in `meta`. */
  readonly contentDigest: string
  /**
   * Whether the object that it replaces must not be read any more: a removal, a `set`, the marks. Where there is no room
   * to write, a store that can deletes the old object first.
   */
  readonly invalidates?: boolean | undefined
}

/**
 * The condition of a write. `undefined` always holds, `null` requires that no object of this name exists, and a string
 * requires that the object has this version.
 */
export type Condition = string | null | undefined

/** An object in a list, with its head if the list has it. */
export interface Listed {
  readonly name: string
  readonly head?: Head | undefined
}

/** A part of the list of all entries. */
export interface Page {
  readonly objects: ReadonlyArray<Listed>
  /** Where the next part begins. `undefined` after the last one. */
  readonly next: string | undefined
}

/** A store of whole objects. Its operations need no timeouts, because `limits.ts` adds them. */
export interface ObjectStore {
  /** The store's name in errors, metrics and logs. */
  readonly name: string
  readonly head: (name: string) => Effect.Effect<Head | undefined, CacheStoreError>
  /**
   * Reads an object. `wants` decides from the head whether the bytes are needed. A store that reads head and bytes at
   * once asks it with the size alone.
   */
  readonly read: (name: string, wants: (head: Head) => boolean) => Effect.Effect<Stored | undefined, CacheStoreError>
  /** Writes an object if the condition holds. Returns `false` if it did not. */
  readonly write: (name: string, put: Put, condition: Condition) => Effect.Effect<boolean, CacheStoreError>
  /**
   * Replaces the times and the stamp of an object without sending its bytes, which stay the same. Returns `false` if
   * the object no longer has the version. A store that cannot do this has no such member.
   */
  readonly writeMeta?:
    | ((name: string, put: Put, version: string) => Effect.Effect<boolean, CacheStoreError>)
    | undefined
  /** Removes objects. Returns an error for each name, or `undefined` if the object is gone or never existed. */
  readonly remove: (
    names: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<CacheStoreError | undefined>, CacheStoreError>
  /** Lists the entries, beginning where the last page said. A store that cannot do this has no such member. */
  readonly list?: ((from: string | undefined) => Effect.Effect<Page, CacheStoreError>) | undefined
  /**
   * Removes an object if it still has this version, and returns whether it was removed. A store that cannot do this has
   * no such member.
   */
  readonly removeIf?: ((name: string, version: string) => Effect.Effect<boolean, CacheStoreError>) | undefined
  /** Whether the service keeps the condition of `removeIf`. Default: yes. */
  readonly canRemoveIf?: (() => Effect.Effect<boolean, CacheStoreError>) | undefined
}
