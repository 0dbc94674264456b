/**
 * Objects in a `KeyValueStore` of `@effect/platform`. It has no conditional writes: such a write is a read followed by
 * a write, and is atomic only among the fibers of this process.
 */
import type { PlatformError } from "@effect/platform/Error"
import type * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { CacheStoreError } from "../../../CacheError.js"
import { headerVersion, parseHeader } from "./format.js"
import type { Condition, ObjectStore, Put, Stored } from "./objectStore.js"

/** The number of locks. Objects share them: the name of an object selects its lock. */
const lockCount = 64

export class KeyValueObjects implements ObjectStore {
  readonly name: string
  private readonly store: KeyValueStore.KeyValueStore
  private readonly prefix: string
  private readonly locks = Array.from({ length: lockCount }, () => Effect.unsafeMakeSemaphore(1).withPermits(1))

  constructor(
    store: KeyValueStore.KeyValueStore,
    { name, prefix }: { readonly prefix: string; readonly name: string }
  ) {
    this.store = store
    this.prefix = prefix
    this.name = name
  }

  private rejected<A>(method: string, effect: Effect.Effect<A, PlatformError>): Effect.Effect<A, CacheStoreError> {
    return Effect.mapError(
      effect,
      (cause) => new CacheStoreError({ reason: "Rejected", store: this.name, method, cause })
    )
  }

  private locked<A, E>(object: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return this.locks[Number.parseInt(object.slice(0, 2), 16) & (lockCount - 1)]!(effect)
  }

  head(object: string): Effect.Effect<Stored | undefined, CacheStoreError> {
    return this.read(object)
  }

  read(object: string): Effect.Effect<Stored | undefined, CacheStoreError> {
    return Effect.map(this.rejected("get", this.store.getUint8Array(this.prefix + object)), (found) =>
      Option.match(found, {
        onNone: () => undefined,
        onSome: (bytes) => ({ version: headerVersion(bytes), meta: parseHeader(bytes), bytes })
      })
    )
  }

  write(object: string, { bytes }: Put, condition: Condition): Effect.Effect<boolean, CacheStoreError> {
    const current = condition === undefined ? Effect.succeed(undefined) : this.read(object)
    return this.locked(
      object,
      Effect.flatMap(current, (found) =>
        condition !== undefined && condition !== (found?.version ?? null)
          ? Effect.succeed(false)
          : Effect.as(this.rejected("set", this.store.set(this.prefix + object, bytes)), true)
      )
    )
  }

  remove(objects: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<CacheStoreError | undefined>> {
    return Effect.forEach(objects, (object) =>
      Effect.match(this.rejected("remove", this.store.remove(this.prefix + object)), {
        onFailure: (error) => error,
        onSuccess: () => undefined
      })
    )
  }
}
