/**
 * How an object store names and lays out its objects: the object name of a key, and the header bytes in front of a value.
 */
import { sha256 } from "@noble/hashes/sha2.js"
import { bytesToHex } from "@noble/hashes/utils.js"
import * as Either from "effect/Either"
import { SerializerError } from "../../../CacheError.js"
import type { Meta } from "./objectStore.js"

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
