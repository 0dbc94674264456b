/**
 * Entries in an envelope other than `Envelope.v1`, such as `Envelope.advancedCaching`. An object consists of the
 * envelope alone, compressed as a whole or not at all. It has no stamp that could order writes, so the last write wins.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError, SerializerError } from "../../../CacheError.js"
import { Entry } from "../../../Entry.js"
import type * as Envelope from "../../../Envelope.js"
import type { ByteCodec } from "../../serializers/compression.js"
import { type Answer, type Entries, isTooLarge, type Parts, tooLarge } from "./entries.js"
import { nameOf } from "./format.js"
import type { Limits } from "./limits.js"
import type { Head, ObjectStore, Put, Stored } from "./objectStore.js"
import * as Sweep from "./sweep.js"

type Method<A> = Effect.Effect<A, CacheStoreError>

export class ForeignEntries implements Entries {
  private readonly objects: ObjectStore
  private readonly limits: Limits
  private readonly now: () => number
  private readonly envelope: Envelope.Envelope
  private readonly codec: ByteCodec
  private readonly maxBytes: number

  constructor({ limits, maxBytes, now, objects }: Parts, envelope: Envelope.Envelope, codec: ByteCodec) {
    this.objects = objects
    this.maxBytes = maxBytes
    this.limits = limits
    this.now = now
    this.envelope = envelope
    this.codec = codec
  }

  latestStamp(): number {
    return Number.NEGATIVE_INFINITY
  }

  get(read: Backend.Read): Method<Answer> {
    const found = Effect.map(this.read(read.key), (stored): Answer => ({ found: this.decode(stored, read) }))
    return this.limits.within("getMany", found)
  }

  set(write: Backend.Write<Uint8Array>): Method<Backend.Written> {
    const written = this.send(write, (put) =>
      Effect.as(this.objects.write(nameOf(write.key), put, undefined), this.written(write))
    )
    return this.limits.within("setMany", written)
  }

  setIfAbsent(
    write: Backend.Write<Uint8Array>,
    { now, replacing }: { readonly now: number; readonly replacing: number | undefined }
  ): Method<Backend.Written> {
    const written = this.send(write, (put) =>
      Effect.flatMap(this.read(write.key), (stored) => {
        const current = this.decode(stored, { now })
        const isAlive = current instanceof Entry && now < current.expiresAt && current.stamp !== replacing
        return isAlive
          ? Effect.succeed<Backend.Written>({ _tag: "Superseded" })
          : Effect.map(this.objects.write(nameOf(write.key), put, stored?.version ?? null), (done) =>
              done ? this.written(write) : { _tag: "Superseded" }
            )
      })
    )
    return this.limits.within("setIfAbsent", written)
  }

  removeMany(removals: ReadonlyArray<Backend.Removal>): Method<ReadonlyArray<Backend.Written>> {
    const names = removals.map(({ key }) => nameOf(key))
    const removed = Effect.map(this.objects.remove(names), (errors) =>
      removals.map(({ stamp }, i): Backend.Written => {
        const error = errors[i]
        return error === undefined ? { _tag: "Written", stamp } : { _tag: "Failed", error }
      })
    )
    return this.limits.within("removeMany", removed)
  }

  sweep(request: Backend.Sweep): Method<void> {
    // the lifetime of an entry without one of its own depends on its reader, so it does not expire for a sweep
    const stale = this.envelope.isOwnerless ? Number.POSITIVE_INFINITY : 0
    const verdict = (stored: Stored, isRemovable: boolean): Sweep.Verdict => {
      const found = this.decode(stored, { stale })
      return isRemovable && found instanceof Entry && request.judge(found) !== undefined ? "remove" : "keep"
    }
    const parts = { objects: this.objects, limits: this.limits, maxBytes: this.maxBytes, now: this.now }
    return Sweep.sweep(parts, { needsBytes: true, wants: this.isReadable, verdict }, request)
  }

  private read(key: string): Method<Stored | undefined> {
    return this.objects.read(nameOf(key), this.isReadable)
  }

  private readonly isReadable = (head: Head): boolean => !isTooLarge(head, this.maxBytes)

  private decode(
    stored: Stored | undefined,
    { now, owner = "", stale = 0 }: Omit<Backend.Read, "key">
  ): Entry<Uint8Array> | SerializerError | undefined {
    if (stored !== undefined && isTooLarge(stored, this.maxBytes)) return tooLarge("Decode", this.maxBytes)
    if (stored?.bytes === undefined) return undefined
    const storeNow = this.now()
    const decoded = Either.flatMap(this.codec.decode(stored.bytes), (bytes) =>
      this.envelope.decode(bytes, { owner, stale, now: now ?? storeNow, storeNow })
    )
    if (decoded._tag === "Left") return decoded.left
    return decoded.right._tag === "Entry" ? decoded.right.entry : undefined
  }

  /** Encodes an entry and sends it. An entry that the envelope cannot hold is refused. */
  private send(
    { entry, lifetime }: Backend.Write<Uint8Array>,
    write: (put: Put) => Method<Backend.Written>
  ): Method<Backend.Written> {
    const encoded = Either.filterOrLeft(
      Either.flatMap(this.envelope.encode(entry), this.codec.encode),
      (bytes) => bytes.length <= this.maxBytes,
      () => tooLarge("Encode", this.maxBytes)
    )
    return Either.match(encoded, {
      onLeft: (error) => Effect.succeed<Backend.Written>({ _tag: "Refused", error }),
      onRight: (bytes) => write({ bytes, meta: undefined, lifetime, contentDigest: "" })
    })
  }

  private written({ entry }: Backend.Write<Uint8Array>): Backend.Written {
    return { _tag: "Written", stamp: entry.stamp }
  }
}
