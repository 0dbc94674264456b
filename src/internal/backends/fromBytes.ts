/**
 * A backend of values on top of a backend of bytes. A value is encoded by the function's schema, if it has one, and
 * then by the store's serializer. A value that cannot be encoded is `Refused`, and bytes that cannot be decoded are a
 * `SerializerError` in place of an entry. Neither is a failure of the backend.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Backend from "../../Backend.js"
import { SerializerError } from "../../CacheError.js"
import { Entry } from "../../Entry.js"
import * as SchemaCodec from "../serializers/schemaCodec.js"
import type { Serializer } from "../serializers/serializer.js"
import { thrown } from "../serializers/valueWalk.js"

/** Runs a serializer, which may be user code: anything that it throws becomes a refusal. */
const guard = <A>(reason: "Encode" | "Decode", run: () => A): A | SerializerError => {
  try {
    return run()
  } catch (cause) {
    return new SerializerError({ reason, path: "$", detail: thrown(cause), cause })
  }
}

type Encoded = Either.Either<Backend.Write<Uint8Array>, SerializerError>

const encoderOf = (serializer: Serializer, maxValueBytes: number): ((write: Backend.Write) => Encoded) => {
  const encode = (write: Backend.Write): Encoded => {
    const { entry, schema } = write
    const plain: Either.Either<unknown, SerializerError> =
      schema === undefined ? Either.right(entry.value) : SchemaCodec.encode(schema, entry.value)
    return Either.flatMap(Either.flatMap(plain, serializer.encode), (payload) =>
      payload.length > maxValueBytes
        ? Either.left(
            new SerializerError({
              reason: "Encode",
              path: "$",
              detail: `is larger than maxValueBytes (${maxValueBytes})`
            })
          )
        : Either.right({ ...write, entry: new Entry(payload, entry) })
    )
  }
  return (write) => {
    const encoded = guard("Encode", () => encode(write))
    return encoded instanceof SerializerError ? Either.left(encoded) : encoded
  }
}

/**
 * What this release serves of an entry with an extension: nothing of a stored failure, and otherwise the value, for the
 * shortest time that the extension may mean.
 */
const served = (found: Entry<Uint8Array>): Entry<Uint8Array> | SerializerError => {
  const { extension, stamp } = found
  if (extension === undefined) return found
  if (extension.isFailure === true) {
    const detail = "is a stored failure, which this release does not serve"
    return new SerializerError({ reason: "Decode", path: "envelope", detail, stamp })
  }
  const { idle = Number.POSITIVE_INFINITY, staleUntil = Number.POSITIVE_INFINITY } = extension
  const expiresAt = Math.min(found.expiresAt, staleUntil, found.createdAt + idle)
  const freshUntil = Math.min(found.freshUntil, expiresAt)
  return new Entry(found.value, { ...found, freshUntil, expiresAt, extension: undefined })
}

const decode = (
  serializer: Serializer,
  found: Backend.Found<Uint8Array>,
  schema: Backend.AnySchema | undefined
): Backend.Found => {
  if (!(found instanceof Entry)) return found
  const entry = served(found)
  if (!(entry instanceof Entry)) return entry
  const plain = serializer.decode(entry.value)
  const value = schema === undefined ? plain : Either.flatMap(plain, (encoded) => SchemaCodec.decode(schema, encoded))
  if (value._tag === "Right") return new Entry(value.right, entry)
  const { cause, detail, path, reason } = value.left
  return new SerializerError({ reason, path, detail, cause, stamp: found.stamp })
}

/** Makes the backend. A value of more than `maxValueBytes` bytes, once encoded, is refused. */
export const make = (
  bytes: Backend.Backend<Uint8Array>,
  serializer: Serializer,
  maxValueBytes: number
): Backend.Backend => {
  const encode = encoderOf(serializer, maxValueBytes)
  return {
    name: bytes.name,
    remote: true,
    isOwnerless: bytes.isOwnerless,
    getMany: (reads) =>
      Effect.map(bytes.getMany(reads), (answers) => ({
        ...answers,
        found: answers.found.map((each, i) => guard("Decode", () => decode(serializer, each, reads[i]!.schema)))
      })),
    setMany: (writes) =>
      Effect.suspend(() => {
        const encoded = writes.map(encode)
        const sent = encoded.filter(Either.isRight).map((write) => write.right)
        const written = sent.length === 0 ? Effect.succeed([]) : bytes.setMany(sent)
        return Effect.map(written, (results) => {
          let next = 0
          return encoded.map(
            (write): Backend.Written =>
              write._tag === "Left" ? { _tag: "Refused", error: write.left } : results[next++]!
          )
        })
      }),
    setIfAbsent: (write, options) =>
      Effect.suspend(() => {
        const encoded = encode(write)
        return encoded._tag === "Left"
          ? Effect.succeed<Backend.Written>({ _tag: "Refused", error: encoded.left })
          : bytes.setIfAbsent(encoded.right, options)
      }),
    removeMany: bytes.removeMany,
    sweep: bytes.sweep,
    marks: bytes.marks,
    changes: bytes.changes,
    notifications: bytes.notifications,
    needsNotifications: bytes.needsNotifications,
    lock: bytes.lock,
    isUp: bytes.isUp,
    problems: bytes.problems,
    stamps: bytes.stamps
  }
}
