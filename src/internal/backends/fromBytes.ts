/**
 * A backend of values on top of a backend of bytes. A value is encoded by the function's schema, if it has one, and
 * then by the store's serializer. A value that cannot be encoded is `Refused`, and bytes that cannot be decoded are a
 * `SerializerError` in place of an entry. Neither is a failure of the backend.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Backend from "../../Backend.js"
import { SerializerError } from "../../CacheError.js"
import { Entry, type Extension, isFailure } from "../../Entry.js"
import * as AsyncEffect from "../asyncEffect.js"
import { checkLimit } from "../options.js"
import * as SchemaCodec from "../serializers/schemaCodec.js"
import { defaultLimits, isTooLarge, type Limits, type Serializer } from "../serializers/serializer.js"
import * as StoredFailure from "../serializers/storedFailure.js"
import { thrown } from "../serializers/valueWalk.js"

/** The limits of a store: `maxValueBytes` is of the bytes that its serializer writes. */
export interface StoreLimits extends Limits {
  readonly maxValueBytes: number
}

/** The limits in the options of a store. Throws `InvalidOption`. */
export const limitsOf = (
  options: { readonly [option in keyof StoreLimits]?: StoreLimits[option] | undefined },
  of: string
): StoreLimits => {
  const maxValueBytes = checkLimit("maxValueBytes", options.maxValueBytes ?? defaultLimits.maxDecodedBytes, of)
  const maxDecodedBytes = checkLimit("maxDecodedBytes", options.maxDecodedBytes ?? maxValueBytes, of)
  return { maxValueBytes, maxDecodedBytes }
}

/** The fault of bytes that exceed a limit: neither does a store write such a value, nor does it read it. */
const excess = (
  reason: "Encode" | "Decode",
  { length }: Uint8Array,
  limits: StoreLimits
): SerializerError | undefined => {
  const { maxDecodedBytes, maxValueBytes } = limits
  if (length <= maxValueBytes && length <= maxDecodedBytes) return undefined
  const detail = length > maxValueBytes ? `is larger than maxValueBytes (${maxValueBytes})` : isTooLarge(limits)
  return new SerializerError({ reason, path: "$", detail })
}

/** Runs a serializer, which may be user code: anything that it throws becomes a refusal. */
const guard = <A>(reason: "Encode" | "Decode", run: () => A): A | SerializerError => {
  try {
    return run()
  } catch (cause) {
    return new SerializerError({ reason, path: "$", detail: thrown(cause), cause })
  }
}

type Encoded = Either.Either<Backend.Write<Uint8Array>, SerializerError>

/** Encodes the values of entries. What cannot be encoded is a `SerializerError`: it does not throw. */
export const encoderOf = (serializer: Serializer, limits: StoreLimits): ((write: Backend.Write) => Encoded) => {
  const check = (bytes: Uint8Array): Either.Either<Uint8Array, SerializerError> => {
    const fault = excess("Encode", bytes, limits)
    return fault === undefined ? Either.right(bytes) : Either.left(fault)
  }
  const encode = (write: Backend.Write): Encoded => {
    const { entry, schema } = write
    const plain: Either.Either<unknown, SerializerError> =
      schema === undefined ? Either.right(entry.value) : SchemaCodec.encode(schema, entry.value)
    const bytes = Either.flatMap(plain, (value) => serializer.encode(value, limits))
    return Either.map(Either.flatMap(bytes, check), (payload) => ({ ...write, entry: new Entry(payload, entry) }))
  }
  return (write) => {
    const encoded = guard("Encode", () => encode(write))
    return encoded instanceof SerializerError ? Either.left(encoded) : encoded
  }
}

/** What this release serves of an entry with an extension. A failure is served while it is fresh. */
const served = (found: Entry<Uint8Array>): Entry<Uint8Array> => {
  const { createdAt, expiresAt, extension } = found
  if (extension === undefined) return found
  if (isFailure(found)) {
    const freshUntil = Math.min(found.freshUntil, createdAt + (extension.idle ?? Number.POSITIVE_INFINITY))
    return new Entry(found.value, { ...found, freshUntil, expiresAt: freshUntil, extension: { isFailure: true } })
  }
  return new Entry(found.value, { ...found, extension: known(extension, expiresAt) })
}

/** The fields of an extension that the engine looks at. */
const known = ({ idle, readAt, staleUntil }: Extension, expiresAt: number): Extension | undefined => {
  const kept = staleUntil === undefined || staleUntil >= expiresAt ? undefined : { staleUntil }
  return idle === undefined ? kept : { ...kept, idle, ...(readAt === undefined ? undefined : { readAt }) }
}

const decode = (
  serializer: Serializer,
  limits: StoreLimits,
  found: Backend.Found<Uint8Array>,
  reader: Backend.Reader
): Backend.Found => {
  if (!(found instanceof Entry)) return found
  const entry = served(found)
  const schema = isFailure(entry) ? reader.failures?.schema : reader.schema
  // without the schema of its error, a failure would come back as something else
  if (isFailure(entry) && schema === undefined) return StoredFailure.at(found.stamp)
  const fault = excess("Decode", entry.value, limits)
  const plain = fault === undefined ? serializer.decode(entry.value, limits) : Either.left(fault)
  const value = schema === undefined || plain._tag === "Left" ? plain : SchemaCodec.decode(schema, plain.right)
  if (value._tag === "Right") return new Entry(value.right, entry)
  const { cause, detail, path, reason } = value.left
  return new SerializerError({ reason, path, detail, cause, stamp: found.stamp })
}

/** Decodes the values of entries. Bytes that cannot be decoded are a `SerializerError`: it does not throw. */
export const decoderOf =
  (serializer: Serializer, limits: StoreLimits) =>
  (found: Backend.Found<Uint8Array>, reader: Backend.Reader): Backend.Found =>
    guard("Decode", () => decode(serializer, limits, found, reader))

/** Makes the backend. A value that exceeds the limits is neither written nor read. */
export const make = (
  bytes: Backend.Backend<Uint8Array>,
  serializer: Serializer,
  limits: StoreLimits
): Backend.Backend => {
  const encode = encoderOf(serializer, limits)
  const decodeAs = decoderOf(serializer, limits)
  return {
    name: bytes.name,
    remote: true,
    isOwnerless: bytes.isOwnerless,
    keepsFailures: bytes.keepsFailures,
    getMany: (reads) =>
      AsyncEffect.map(bytes.getMany(reads), ({ found, marks, tiers, tombstones }): Backend.Answers => {
        const values = found.map((each, i) => decodeAs(each, reads[i]!))
        return { found: values, marks, tiers, tombstones }
      }),
    setMany: (writes) =>
      AsyncEffect.suspend(() => {
        const encoded = writes.map(encode)
        const sent = encoded.filter(Either.isRight).map((write) => write.right)
        const written = sent.length === 0 ? Effect.succeed([]) : bytes.setMany(sent)
        return AsyncEffect.map(written, (results) => {
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
    list: bytes.list,
    renew: bytes.renew,
    marks: bytes.marks,
    changes: bytes.changes,
    notifications: bytes.notifications,
    needsNotifications: bytes.needsNotifications,
    lock: bytes.lock,
    isUp: bytes.isUp,
    states: bytes.states,
    problems: bytes.problems,
    stamps: bytes.stamps
  }
}
