/**
 * The extension block of `Envelope.v1`: the length of the block in two bytes, then fields in the order of their numbers.
 * A field is its number in one byte, its length in one byte, and its content. Fields with other numbers are skipped.
 */
import type { Extension, Header } from "../../Entry.js"
import { crc32 } from "./crc32.js"

// the numbers of the fields
const staleUntilField = 1
const kindField = 2
const idleField = 3
const stampField = 4
const checksumField = 5
const readAtField = 6

/** The kind of a stored failure. A value has no field of its kind. */
const failure = 1

const double = 8
const checksumLength = 4

/** The largest block that `write` makes, with its length in front. */
const maxLength = 2 + 4 * (2 + double) + (2 + 1) + (2 + checksumLength)

/** Where a checksum covers the bytes of an envelope from. A store may change the stamp and the times in front of it. */
const coveredFrom = 36

/** What was read: `undefined` if there is no field that this release knows. */
export interface Found {
  readonly extension: Extension | undefined
  /** The checksum that the bytes must have. */
  readonly checksum: Checksum | undefined
}

/** Where a checksum is, and the time of the last read, which a store may change and which it does not cover. */
export interface Checksum {
  readonly at: number
  readonly readAt: number | undefined
}

/** The fault in the fields of an extension, if there is one. */
export const disorder = ({ idle, readAt, stamp, staleUntil }: Extension, header: Header): string | undefined =>
  staleUntil !== undefined && !(header.freshUntil <= staleUntil && staleUntil <= header.expiresAt)
    ? "ends to be stale outside of its lifetime"
    : idle !== undefined && !(idle > 0)
      ? "has an idle time that is no time"
      : stamp !== undefined && !Number.isFinite(stamp)
        ? "has a second stamp that is not a time"
        : readAt !== undefined && !Number.isFinite(readAt)
          ? "was read at what is not a time"
          : undefined

/**
 * The block of an extension with its length in front; empty if the extension has no field. A checksum is four zeros, for
 * `seal` to fill in.
 */
export const encode = ({ hasChecksum, idle, isFailure, readAt, stamp, staleUntil }: Extension): Uint8Array => {
  const bytes = new Uint8Array(maxLength)
  const view = new DataView(bytes.buffer)
  let end = 2
  const field = (number: number, length: number): number => {
    bytes[end] = number
    bytes[end + 1] = length
    end += 2 + length
    return end - length
  }
  if (staleUntil !== undefined) view.setFloat64(field(staleUntilField, double), staleUntil)
  if (isFailure === true) bytes[field(kindField, 1)] = failure
  if (idle !== undefined) view.setFloat64(field(idleField, double), idle)
  if (stamp !== undefined) view.setFloat64(field(stampField, double), stamp)
  if (hasChecksum === true) field(checksumField, checksumLength)
  if (readAt !== undefined) view.setFloat64(field(readAtField, double), readAt)
  if (end === 2) return bytes.subarray(0, 0)
  view.setUint16(0, end - 2)
  return bytes.subarray(0, end)
}

/**
 * Reads the fields between two positions; text is the fault in them. The caller has checked that `to` is within the
 * bytes.
 */
export const decode = (view: DataView, from: number, to: number): Found | string => {
  const extension: { -readonly [K in keyof Extension]: Extension[K] } = {}
  let checksumAt: number | undefined
  let readAtAt: number | undefined
  let last = -1
  let isEmpty = true
  let position = from
  while (position < to) {
    if (position + 2 > to) return "is cut short"
    const number = view.getUint8(position)
    const length = view.getUint8(position + 1)
    const at = position + 2
    position = at + length
    if (position > to) return "is cut short"
    if (number <= last) return "has fields out of order"
    last = number
    const expected = lengthOf(number)
    if (expected === undefined) continue
    isEmpty = false
    if (length !== expected) return `has a field ${number} of ${length} bytes`
    if (number === staleUntilField) extension.staleUntil = view.getFloat64(at)
    else if (number === idleField) extension.idle = view.getFloat64(at)
    else if (number === stampField) extension.stamp = view.getFloat64(at)
    else if (number === kindField) {
      if (view.getUint8(at) !== failure) return `has the unknown kind ${view.getUint8(at)}`
      extension.isFailure = true
    } else if (number === checksumField) {
      extension.hasChecksum = true
      checksumAt = at
    } else if (number === readAtField) {
      extension.readAt = view.getFloat64(at)
      readAtAt = at
    }
  }
  const checksum = checksumAt === undefined ? undefined : { at: checksumAt, readAt: readAtAt }
  return { extension: isEmpty ? undefined : extension, checksum }
}

const lengthOf = (number: number): number | undefined =>
  number === staleUntilField || number === idleField || number === stampField || number === readAtField
    ? double
    : number === kindField
      ? 1
      : number === checksumField
        ? checksumLength
        : undefined

const zeros = new Uint8Array(double)

/** The checksum of an envelope. It and the time of the last read behind it count as zeros. */
const checksumOf = (bytes: Uint8Array, { at, readAt }: Checksum): number => {
  const before = crc32(bytes, coveredFrom, at)
  const own = crc32(zeros, 0, checksumLength, before)
  if (readAt === undefined) return crc32(bytes, at + checksumLength, bytes.length, own)
  const between = crc32(bytes, at + checksumLength, readAt, own)
  return crc32(bytes, readAt + double, bytes.length, crc32(zeros, 0, double, between))
}

/** Fills in the checksum of an extension whose block ends at `end`. */
export const seal = (bytes: Uint8Array, view: DataView, { readAt }: Extension, end: number): void => {
  const checksum: Checksum =
    readAt === undefined
      ? { at: end - checksumLength, readAt: undefined }
      : { at: end - double - 2 - checksumLength, readAt: end - double }
  view.setUint32(checksum.at, checksumOf(bytes, checksum))
}

export const isSealed = (bytes: Uint8Array, view: DataView, checksum: Checksum): boolean =>
  view.getUint32(checksum.at) === checksumOf(bytes, checksum)
