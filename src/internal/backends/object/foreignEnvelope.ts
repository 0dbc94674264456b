/**
 * Entries in a form of others, such as `Envelope.advancedCaching`: an object is that form, compressed as a whole or not at
 * all, and nothing else. Nothing in it orders writes: the last one stands.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError, SerializerError } from "../../../CacheError.js"
import { Entry } from "../../../Entry.js"
import type * as Envelope from "../../../Envelope.js"
import type { ByteCodec } from "../../serializers/compression.js"
import { nameOf } from "./format.js"
import type { Objects, Put } from "./objectStore.js"

type Method<A> = Effect.Effect<A, CacheStoreError>

export interface FormedObjects {
  readonly get: (read: Backend.Read) => Method<Backend.Found<Uint8Array>>
  readonly set: (write: Backend.Write<Uint8Array>) => Method<Backend.Written>
  readonly setIfAbsent: (
    write: Backend.Write<Uint8Array>,
    options: { readonly now: number; readonly replacing: number | undefined }
  ) => Method<Backend.Written>
  readonly removeMany: (removals: ReadonlyArray<Backend.Removal>) => Method<ReadonlyArray<Backend.Written>>
}

export const make = (
  objects: Objects,
  envelope: Envelope.Envelope,
  codec: ByteCodec,
  storeNow: () => number
): FormedObjects => {
  const decode = (
    bytes: Uint8Array | undefined,
    { now, owner = "", stale = 0 }: Omit<Backend.Read, "key">
  ): Entry<Uint8Array> | SerializerError | undefined => {
    if (bytes === undefined) return undefined
    const at = storeNow()
    const decoded = Either.flatMap(codec.decode(bytes), (form) =>
      envelope.decode(form, { owner, stale, now: now ?? at, storeNow: at })
    )
    if (decoded._tag === "Left") return decoded.left
    return decoded.right._tag === "Entry" ? decoded.right.entry : undefined
  }
  const putOf = ({ entry, lifetime }: Backend.Write<Uint8Array>): Either.Either<Put, SerializerError> =>
    Either.map(envelope.encode(entry), (bytes) => ({
      bytes: codec.encode(bytes),
      meta: undefined,
      lifetime,
      content: ""
    }))

  const written = (write: Backend.Write<Uint8Array>): Backend.Written => ({ _tag: "Written", stamp: write.entry.stamp })

  const put = (
    write: Backend.Write<Uint8Array>,
    send: (put: Put) => Method<Backend.Written>
  ): Method<Backend.Written> =>
    Either.match(putOf(write), {
      onLeft: (error) => Effect.succeed<Backend.Written>({ _tag: "Refused", error }),
      onRight: send
    })

  return {
    get: (read) =>
      Effect.map(
        objects.read(nameOf(read.key), () => true),
        (stored) => decode(stored?.bytes, read)
      ),
    set: (write) => put(write, (all) => Effect.as(objects.write(nameOf(write.key), all, undefined), written(write))),
    setIfAbsent: (write, { now, replacing }) =>
      put(write, (all) =>
        Effect.flatMap(
          objects.read(nameOf(write.key), () => true),
          (stored) => {
            const there = decode(stored?.bytes, { now })
            const isAlive = there instanceof Entry && now < there.expiresAt && there.stamp !== replacing
            return isAlive
              ? Effect.succeed<Backend.Written>({ _tag: "Superseded" })
              : Effect.map(objects.write(nameOf(write.key), all, stored?.version ?? null), (done) =>
                  done ? written(write) : { _tag: "Superseded" }
                )
          }
        )
      ),
    removeMany: (removals) =>
      Effect.map(objects.remove(removals.map(({ key }) => nameOf(key))), (errors) =>
        removals.map(({ stamp }, i): Backend.Written => {
          const error = errors[i]
          return error === undefined ? { _tag: "Written", stamp } : { _tag: "Failed", error }
        })
      )
  }
}
