/**
 * Media that keep whole objects under names: files, buckets, key-value stores. What each can do is little; what the laws
 * ask of it stands once, in `objectBackend.ts`.
 */
import { sha256 } from "@noble/hashes/sha2.js"
import { bytesToHex } from "@noble/hashes/utils.js"
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { CacheStoreError } from "../CacheError.js"
import { SerializerError } from "../CacheError.js"

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
  readonly life: number
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

/** how bytes are kept, as by `compression.ts` */
export interface Codec {
  readonly encode: (bytes: Uint8Array) => Uint8Array
  readonly decode: (bytes: Uint8Array) => Either.Either<Uint8Array, SerializerError>
}

/** of a value within an entry, and of a whole object in a form of others */
export interface Codecs {
  readonly value: Codec
  readonly whole: Codec
}

/** two bytes for each unit of UTF-16: nothing is lost, lone surrogates included */
const unitsOf = (text: string): Uint8Array => {
  const bytes = new Uint8Array(2 * text.length)
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    bytes[2 * i] = unit >>> 8
    bytes[2 * i + 1] = unit & 0xff
  }
  return bytes
}

/** a name that every medium takes, for any key: 64 digits and small letters, another one for every other key */
export const nameOf = (key: string): string => bytesToHex(sha256(unitsOf(key)))

/** the name of the object that the marks are */
export const markName = "marks"

export const isEntry = (name: string): boolean => name !== markName

export const digest = (bytes: Uint8Array): string => bytesToHex(sha256(bytes)).slice(0, 32)

/** a value behind its key, so that a reader can tell whose it is: four bytes of length, the key, the value */
export const keyed = (key: string, value: Uint8Array): Uint8Array => {
  const units = unitsOf(key)
  const bytes = new Uint8Array(4 + units.length + value.length)
  new DataView(bytes.buffer).setUint32(0, units.length)
  bytes.set(units, 4)
  bytes.set(value, 4 + units.length)
  return bytes
}

/** the value alone, if it is that key's */
export const unkeyed = (key: string, bytes: Uint8Array): Either.Either<Uint8Array, SerializerError> => {
  const units = unitsOf(key)
  const isKeys =
    bytes.length >= 4 + units.length &&
    new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) === units.length &&
    units.every((byte, i) => bytes[4 + i] === byte)
  return isKeys
    ? Either.right(bytes.subarray(4 + units.length))
    : Either.left(new SerializerError({ reason: "Decode", path: "$", detail: "belongs to another key" }))
}

/** how many bytes from the beginning of an object `metaIn` looks at */
export const headLength = 44

/** what the first bytes of an object tell, if it begins as `Envelope.v1` does */
export const metaIn = (bytes: Uint8Array): Meta | undefined => {
  if (bytes.length < 12 || bytes[0] !== 0x45 || bytes[1] !== 0x43 || bytes[2] !== 1) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const stamp = view.getFloat64(4)
  if (bytes[3] === 1) return { isTrace: true, stamp, createdAt: stamp, freshUntil: stamp, expiresAt: stamp }
  if (bytes[3] !== 0 || bytes.length < 36) return undefined
  return {
    isTrace: false,
    stamp,
    createdAt: view.getFloat64(12),
    freshUntil: view.getFloat64(20),
    expiresAt: view.getFloat64(28)
  }
}

/** a version for media that know none: what the first bytes are, a stamp or a count among them */
export const versionIn = (bytes: Uint8Array): string => bytesToHex(bytes.subarray(0, headLength))
