/**
 * The names of objects and the layout of their bytes: the object name of a key, the key in front of a value, and the
 * times and the stamp in the header.
 */
import { sha256 } from "@noble/hashes/sha2.js"
import { bytesToHex } from "@noble/hashes/utils.js"
import * as Either from "effect/Either"
import { SerializerError } from "../../../CacheError.js"
import type { Meta } from "./objectStore.js"

/** The UTF-16 code units of a text, two bytes each. Unlike UTF-8 this keeps lone surrogates apart. */
const codeUnits = (text: string): Uint8Array => {
  const bytes = new Uint8Array(2 * text.length)
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    bytes[2 * i] = unit >>> 8
    bytes[2 * i + 1] = unit & 0xff
  }
  return bytes
}

/** The object name of a key: 64 hexadecimal digits, which every store accepts, and different for different keys. */
export const nameOf = (key: string): string => bytesToHex(sha256(codeUnits(key)))

/** The name of the object that holds the invalidation marks. */
export const marksName = "marks"

/** Whether an object of this name is an entry: any other name is shorter. */
export const isEntryName = (name: string): boolean => name.length === 64

/** 128 bits of SHA-256, in hexadecimal. */
export const digest = (bytes: Uint8Array): string => bytesToHex(sha256(bytes)).slice(0, 32)

/** Puts the key in front of a value, so that a reader can check it: four bytes of length, the key, the value. */
export const prependKey = (key: string, value: Uint8Array): Uint8Array => {
  const units = codeUnits(key)
  const bytes = new Uint8Array(4 + units.length + value.length)
  new DataView(bytes.buffer).setUint32(0, units.length)
  bytes.set(units, 4)
  bytes.set(value, 4 + units.length)
  return bytes
}

/** The key in front of a value, or `undefined` if the bytes are too short for one. */
export const keyIn = (bytes: Uint8Array): string | undefined => {
  if (bytes.length < 4) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const length = view.getUint32(0)
  if (length % 2 !== 0 || 4 + length > bytes.length) return undefined
  let key = ""
  for (let at = 4; at < 4 + length; at += 2) key += String.fromCharCode(view.getUint16(at))
  return key
}

/** Removes the key in front of a value. Bytes of another key are an error. */
export const stripKey = (key: string, bytes: Uint8Array): Either.Either<Uint8Array, SerializerError> => {
  const units = codeUnits(key)
  const hasKey =
    bytes.length >= 4 + units.length &&
    new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) === units.length &&
    units.every((byte, i) => bytes[4 + i] === byte)
  return hasKey
    ? Either.right(bytes.subarray(4 + units.length))
    : Either.left(new SerializerError({ reason: "Decode", path: "$", detail: "belongs to another key" }))
}

/**
 * How many bytes at the beginning of an object identify its version. They contain the whole header of `parseHeader`.
 */
export const headerLength = 44

/** Where the part of an object begins that `Put.contentDigest` covers: behind the stamp and the times. */
export const contentStart = 36

/**
 * The times and the stamp in the first bytes of an object. `undefined` if these are not the header of `Envelope.v1`.
 * The header of an entry is the same whatever else its flags announce, so that a later release's entry keeps its place
 * among the writes.
 */
export const parseHeader = (bytes: Uint8Array): Meta | undefined => {
  if (bytes.length < 12 || bytes[0] !== 0x45 || bytes[1] !== 0x43 || bytes[2] !== 1) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const stamp = view.getFloat64(4)
  // no mark could be later, or earlier
  if (!Number.isFinite(stamp)) return undefined
  if (bytes[3] === 1) return tombstoneMeta(stamp)
  if (bytes[3]! % 2 !== 0 || bytes.length < contentStart) return undefined
  return {
    isTombstone: false,
    stamp,
    createdAt: view.getFloat64(12),
    freshUntil: view.getFloat64(20),
    expiresAt: view.getFloat64(28)
  }
}

export const tombstoneMeta = (stamp: number): Meta => ({
  isTombstone: true,
  stamp,
  createdAt: stamp,
  freshUntil: stamp,
  expiresAt: stamp
})

/**
 * The version of an object in a store that keeps no versions: its first bytes. They contain the times of an entry, or
 * the counter of the marks, and so differ from write to write.
 */
export const headerVersion = (bytes: Uint8Array): string => bytesToHex(bytes.subarray(0, headerLength))
