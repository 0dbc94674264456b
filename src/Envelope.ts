/**
 * Envelopes turn an entry into a single string of bytes: its stamp, times, owner and tags, followed by the bytes of its
 * value.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { SerializerError } from "./CacheError.js"
import { Entry, type Header, noTags } from "./Entry.js"
import * as Extension from "./internal/serializers/extension.js"
import { refuse } from "./internal/serializers/serializer.js"
import { decoder, encoder } from "./internal/serializers/utf8.js"

/**
 * The result of decoding the bytes under a key: an entry, or the tombstone of an invalidation, which keeps an older
 * load from writing there (law 8, invalidation wins).
 *
 * @category models
 * @since 0.1.0
 */
export type Decoded =
  | { readonly _tag: "Entry"; readonly entry: Entry<Uint8Array> }
  | { readonly _tag: "Tombstone"; readonly stamp: number }

/**
 * The reader of an entry. It supplies the parts of an entry that an envelope does not store; `v1` stores all of them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reader {
  /** The identity of the function that reads; `""` for the store itself. */
  readonly owner: string
  /** For how many milliseconds after `freshUntil` the reader accepts an entry. */
  readonly stale: number
  /** The reader's time, in milliseconds since 1970. */
  readonly now: number
  /** The backend's time, in which stamps are given. Default: `now`. */
  readonly storeNow?: number | undefined
}

/**
 * Turns an entry into bytes and back. Neither direction throws, whatever it is given. Bytes that `decode` refuses count
 * as a miss, and the load that follows overwrites them (law 12, garbage heals).
 *
 * @category models
 * @since 0.1.0
 */
export interface Envelope {
  /** A label for logs, such as `v1`. */
  readonly name: string
  /**
   * Entries have no owner: every function accepts them, for as long as its own `stale` option says. By default an entry
   * belongs to the function that wrote it, and carries its own expiry.
   */
  readonly isOwnerless?: boolean | undefined
  /** Encodes an entry. Refuses one that the format cannot hold; nothing is truncated to make it fit. */
  readonly encode: (entry: Entry<Uint8Array>) => Either.Either<Uint8Array, SerializerError>
  /** Decodes bytes. The value of the entry is a view of `bytes`, not a copy. */
  readonly decode: (bytes: Uint8Array, reader: Reader) => Either.Either<Decoded, SerializerError>
}

// magic "EC" @0, version @2, flags @3, stamp @4, created @12, freshUntil @20, expiresAt @28, owner @36
const magic0 = 0x45
const magic1 = 0x43
const version = 1
const tombstoneFlag = 1
const extensionFlag = 2
const stampAt = 4
const createdAt = 12
const freshUntilAt = 20
const expiresAtAt = 28
const ownerAt = 36
const tombstoneLength = 12
const maxShort = 0xffff

/** The fault in the times of an entry, if there is one. `NaN` is a fault, because a comparison with it is false. */
const disorder = (header: Header): string | undefined =>
  !Number.isFinite(header.stamp)
    ? "has a stamp that is not a time"
    : !Number.isFinite(header.createdAt)
      ? "has a creation time that is not a time"
      : !(header.createdAt <= header.freshUntil)
        ? "stops being fresh before its creation"
        : !(header.freshUntil <= header.expiresAt)
          ? "expires before it is stale"
          : header.extension === undefined
            ? undefined
            : Extension.disorder(header.extension, header)

/**
 * Text in UTF-8: the text itself if each character is one byte, otherwise its bytes. `undefined` for text with a lone
 * surrogate, which UTF-8 would change.
 */
const utf8 = (text: string): string | Uint8Array | undefined => {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return /[\uD800-\uDFFF]/u.test(text) ? undefined : encoder.encode(text)
  }
  return text
}

const writeText = (target: Uint8Array, text: string | Uint8Array, position: number): number => {
  const length = text.length
  target[position] = length >>> 8
  target[position + 1] = length & 0xff
  if (typeof text !== "string") target.set(text, position + 2)
  else for (let i = 0; i < length; i++) target[position + 2 + i] = text.charCodeAt(i)
  return position + 2 + length
}

/** Reads text, or `undefined` if the bytes are not UTF-8. The caller has checked that `to` is within the bytes. */
const readText = (bytes: Uint8Array, from: number, to: number): string | undefined => {
  let text = ""
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!
    if (byte > 0x7f) {
      try {
        return decoder.decode(bytes.subarray(from, to))
      } catch {
        return undefined
      }
    }
    text += String.fromCharCode(byte)
  }
  return text
}

/** The longest text that is remembered. */
const maxRemembered = 256

/** Reads text that is most often the same as the last one, as the owners of the entries of a batch are. */
class RepeatedText {
  private bytes = new Uint8Array(0)
  private text = ""

  read(bytes: Uint8Array, from: number, to: number): string | undefined {
    if (this.isLast(bytes, from, to)) return this.text
    const text = readText(bytes, from, to)
    if (text !== undefined && to - from <= maxRemembered) {
      this.bytes = bytes.slice(from, to)
      this.text = text
    }
    return text
  }

  private isLast(bytes: Uint8Array, from: number, to: number): boolean {
    const last = this.bytes
    if (to - from !== last.length) return false
    for (let i = 0; i < last.length; i++) if (last[i] !== bytes[from + i]) return false
    return true
  }
}

const owners = /*#__PURE__*/ new RepeatedText()

/** Writes the first four bytes, and returns a view for the numbers that follow. */
const writeStart = (target: Uint8Array, flags: number): DataView => {
  target[0] = magic0
  target[1] = magic1
  target[2] = version
  target[3] = flags
  return new DataView(target.buffer, target.byteOffset, target.byteLength)
}

/**
 * A tombstone in the format of `v1`: the first twelve bytes of an envelope, with a flag that nothing follows. `stamp`
 * is when the invalidation was requested, in milliseconds.
 *
 * @category constructors
 * @since 0.1.0
 */
export const tombstone = (stamp: number): Uint8Array => {
  const bytes = new Uint8Array(tombstoneLength)
  writeStart(bytes, tombstoneFlag).setFloat64(stampAt, stamp)
  return bytes
}

const noExtension = new Uint8Array(0)

const encode = (entry: Entry<Uint8Array>): Either.Either<Uint8Array, SerializerError> => {
  const wrong = disorder(entry)
  if (wrong !== undefined) return refuse("Encode", "envelope", wrong)
  const owner = utf8(entry.owner)
  if (owner === undefined) return refuse("Encode", "envelope.owner", "has a lone surrogate")
  if (owner.length > maxShort)
    return refuse("Encode", "envelope.owner", `is longer than ${maxShort} bytes: give the function a name`)
  if (entry.tags.length > maxShort) return refuse("Encode", "envelope.tags", `has more than ${maxShort} items`)
  let length = ownerAt + 2 + owner.length + 2 + entry.value.length
  let tags: Array<string | Uint8Array> | undefined
  if (entry.tags.length > 0) {
    tags = []
    for (let i = 0; i < entry.tags.length; i++) {
      const tag = utf8(entry.tags[i]!)
      if (tag === undefined) return refuse("Encode", `envelope.tags[${i}]`, "has a lone surrogate")
      if (tag.length > maxShort) return refuse("Encode", `envelope.tags[${i}]`, `is longer than ${maxShort} bytes`)
      tags.push(tag)
      length += 2 + tag.length
    }
  }
  const extension = entry.extension === undefined ? noExtension : Extension.encode(entry.extension)
  const bytes = new Uint8Array(length + extension.length)
  const view = writeStart(bytes, extension.length === 0 ? 0 : extensionFlag)
  view.setFloat64(stampAt, entry.stamp)
  view.setFloat64(createdAt, entry.createdAt)
  view.setFloat64(freshUntilAt, entry.freshUntil)
  view.setFloat64(expiresAtAt, entry.expiresAt)
  let position = writeText(bytes, owner, ownerAt)
  view.setUint16(position, entry.tags.length)
  position += 2
  if (tags !== undefined) for (const tag of tags) position = writeText(bytes, tag, position)
  bytes.set(extension, position)
  position += extension.length
  bytes.set(entry.value, position)
  if (entry.extension?.hasChecksum === true) Extension.seal(bytes, view, entry.extension, position)
  return Either.right(bytes)
}

const cut = () => refuse("Decode", "envelope", "is cut short")

const double = new Float64Array(1)
const doubleBytes = new Uint8Array(double.buffer)
const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

/** Reads a big-endian number. A `DataView` of the bytes costs more than all numbers of an entry. */
const readDouble = (bytes: Uint8Array, at: number): number => {
  for (let i = 0; i < 8; i++) doubleBytes[isLittleEndian ? 7 - i : i] = bytes[at + i]!
  return double[0]!
}

const readShort = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!

/** An entry as `Decoded`. A class and no literal: see `PendingRead` in `readBatcher.ts`. */
class DecodedEntry {
  readonly _tag = "Entry"
  readonly entry: Entry<Uint8Array>

  constructor(entry: Entry<Uint8Array>) {
    this.entry = entry
  }
}

const decode = (bytes: Uint8Array): Either.Either<Decoded, SerializerError> => {
  const end = bytes.length
  if (end < stampAt) return cut()
  if (bytes[0] !== magic0 || bytes[1] !== magic1) return refuse("Decode", "envelope", "was not written by this library")
  if (bytes[2] !== version) return refuse("Decode", "envelope", `has the unknown version ${bytes[2]}`)
  if (bytes[3]! > extensionFlag) return refuse("Decode", "envelope", `has unknown flags ${bytes[3]}`)
  if (end < tombstoneLength) return cut()
  const stamp = readDouble(bytes, stampAt)
  if (bytes[3] === tombstoneFlag) {
    if (!Number.isFinite(stamp)) return refuse("Decode", "envelope", "has a stamp that is not a time")
    return end === tombstoneLength
      ? Either.right({ _tag: "Tombstone", stamp })
      : refuse("Decode", "envelope", "is a tombstone followed by other bytes")
  }
  if (end < ownerAt + 2) return cut()
  let position = ownerAt + 2 + readShort(bytes, ownerAt)
  if (position + 2 > end) return cut()
  const owner = owners.read(bytes, ownerAt + 2, position)
  if (owner === undefined) return refuse("Decode", "envelope.owner", "is not UTF-8")
  const count = readShort(bytes, position)
  position += 2
  let tags = noTags
  if (count > 0) {
    const list: Array<string> = []
    for (let i = 0; i < count; i++) {
      if (position + 2 > end) return cut()
      const from = position + 2
      position = from + readShort(bytes, position)
      if (position > end) return cut()
      const tag = readText(bytes, from, position)
      if (tag === undefined) return refuse("Decode", `envelope.tags[${i}]`, "is not UTF-8")
      list.push(tag)
    }
    tags = list
  }
  let found: Extension.Found | undefined
  if (bytes[3] === extensionFlag) {
    const from = position + 2
    if (from > end) return cut()
    position = from + readShort(bytes, position)
    if (position > end) return cut()
    const view = new DataView(bytes.buffer, bytes.byteOffset, end)
    const fields = Extension.decode(view, from, position)
    if (typeof fields === "string") return refuse("Decode", "envelope.extension", fields)
    found = fields
    const { checksum } = found
    if (checksum !== undefined && !Extension.isSealed(bytes, view, checksum)) {
      return refuse("Decode", "envelope", "does not match its checksum")
    }
  }
  const header: Header = {
    stamp,
    createdAt: readDouble(bytes, createdAt),
    freshUntil: readDouble(bytes, freshUntilAt),
    expiresAt: readDouble(bytes, expiresAtAt),
    owner,
    tags,
    extension: found?.extension
  }
  const wrong = disorder(header)
  if (wrong !== undefined) return refuse("Decode", "envelope", wrong)
  // not `subarray`, which makes another Buffer from a Buffer
  const value = new Uint8Array(bytes.buffer, bytes.byteOffset + position, end - position)
  return Either.right(new DecodedEntry(new Entry(value, header)))
}

/**
 * Version 1, the default envelope. Numbers are big-endian. Times are float64 values in milliseconds since 1970, with
 * `Infinity` for never.
 *
 * | offset | bytes |                                                                                    |
 * | ------ | ----- | ---------------------------------------------------------------------------------- |
 * | 0      | 2     | `EC`                                                                               |
 * | 2      | 1     | the version, `1`                                                                   |
 * | 3      | 1     | flags: `1` for a tombstone, which ends after the stamp; `2` for an extension block |
 * | 4      | 8     | stamp: when the load of the value began                                            |
 * | 12     | 8     | created: when the load ended                                                       |
 * | 20     | 8     | fresh until                                                                        |
 * | 28     | 8     | expires at                                                                         |
 * | 36     | 2 + n | the owner's length in bytes, the owner in UTF-8                                    |
 * |        | 2 + … | the number of tags, and each tag after its length in bytes                         |
 * |        | 2 + n | with flag `2` only: the length of the extension block in bytes, and its fields     |
 * |        | rest  | the value, as the serializer wrote it                                              |
 *
 * A field of the extension block is its number in one byte, the length of its content in one byte, and the content.
 * Fields come in the order of their numbers, each at most once. Fields with other numbers are skipped. An entry that
 * needs no field has no block.
 *
 * | field | bytes | content                                                                                      |
 * | ----- | ----- | -------------------------------------------------------------------------------------------- |
 * | 1     | 8     | stale until: from then on the entry answers only in place of a load that failed              |
 * | 2     | 1     | kind: `1` for a failure of the lookup in place of a value                                    |
 * | 3     | 8     | idle time in milliseconds: the entry expires when nobody reads it for this long              |
 * | 4     | 8     | second stamp, which orders entries with one stamp                                            |
 * | 5     | 4     | CRC-32 of the bytes from offset 36 to the end, in which it and field 6 count as zeros        |
 * | 6     | 8     | last read: when a read of an entry with an idle time was recorded; default: created          |
 *
 * **Details**
 *
 * This release writes the stale end (`staleIfError`), the idle time and the last read (`maxIdle`), and the checksum: in
 * files and other objects always, in Redis if the option `checksum` says so. Bytes that do not match it are a miss. An
 * entry expires when its idle time has passed since its last read, and at `expires at` in any case. Redis writes the last
 * read in place, so the checksum does not cover it. It writes the kind for `failures`: a failure is absent to
 * all but its own function. The second stamp is not compared. For a release that does not know the block, such an entry is
 * a miss, and its stamp still orders writes in Redis.
 *
 * Both directions refuse times that are not finite or not in order (`freshUntil` and `expiresAt` may be `Infinity`).
 * `encode` refuses an owner or a tag of more than 65 535 bytes, and more than 65 535 tags.
 *
 * @category constructors
 * @since 0.1.0
 */
export const v1: Envelope & { readonly decode: (bytes: Uint8Array) => Either.Either<Decoded, SerializerError> } = {
  name: "v1",
  encode,
  decode
}

// fresh_until @0, created_at @8, value @16
const pythonCreatedAt = 8
const pythonValueAt = 16

/** The last moment that a `Date` can represent, in seconds. */
const lastSecond = 8_640_000_000_000

/**
 * The fault in the times, if there is one. Bytes in another format, such as a bare value or a pickle, read as numbers
 * that are not plausible dates.
 */
const undated = (freshUntil: number, createdAt: number): string | undefined =>
  !(createdAt === 0 || (createdAt >= 0.001 && createdAt <= lastSecond))
    ? "has a creation time that is not a time"
    : !(createdAt <= freshUntil)
      ? "stops being fresh before its creation"
      : undefined

/** Milliseconds, rounded to hundredths, so that whole milliseconds survive the conversion to seconds and back. */
const toMillis = (seconds: number): number => Math.round(seconds * 100_000) / 100

const encodePython = (entry: Entry<Uint8Array>): Either.Either<Uint8Array, SerializerError> => {
  const { freshUntil, stamp, tags, value } = entry
  if (tags.length > 0) return refuse("Encode", "envelope.tags", "cannot be stored in the advanced-caching format")
  if (entry.extension?.isFailure === true)
    return refuse("Encode", "envelope", "is a failure, which cannot be stored in the advanced-caching format")
  // The format has no stamp, so readers use the creation time as one. That has whole milliseconds, and stamps are
  // finer: an entry whose load began after a clear, in the same millisecond, must stay newer than the clear.
  const isSameMillisecond = entry.createdAt < stamp && stamp < entry.createdAt + 1
  const createdAt = isSameMillisecond ? Math.ceil(stamp * 100) / 100 : entry.createdAt
  const wrong = undated(freshUntil / 1_000, createdAt / 1_000)
  if (wrong !== undefined) return refuse("Encode", "envelope", wrong)
  const bytes = new Uint8Array(pythonValueAt + value.length)
  const view = new DataView(bytes.buffer)
  view.setFloat64(0, freshUntil / 1_000)
  view.setFloat64(pythonCreatedAt, createdAt / 1_000)
  bytes.set(value, pythonValueAt)
  return Either.right(bytes)
}

const decodePython = (bytes: Uint8Array, reader: Reader): Either.Either<Decoded, SerializerError> => {
  const end = bytes.length
  if (end < pythonValueAt) return cut()
  const view = new DataView(bytes.buffer, bytes.byteOffset, end)
  const wrong = undated(view.getFloat64(0), view.getFloat64(pythonCreatedAt))
  if (wrong !== undefined) return refuse("Decode", "envelope", wrong)
  const freshUntil = toMillis(view.getFloat64(0))
  const createdAt = toMillis(view.getFloat64(pythonCreatedAt))
  const { now, owner, stale, storeNow = now } = reader
  const latest = Math.max(now, storeNow)
  return Either.right({
    _tag: "Entry",
    entry: new Entry(new Uint8Array(bytes.buffer, bytes.byteOffset + pythonValueAt, end - pythonValueAt), {
      stamp: createdAt <= latest + 1 ? createdAt : latest,
      createdAt: Math.min(createdAt, now),
      freshUntil,
      expiresAt: freshUntil + stale,
      owner,
      tags: noTags
    })
  })
}

/**
 * The format of the Python library advanced-caching 1.0, so that Python and Effect services can share entries. Numbers
 * are big-endian. Times are float64 values in **seconds** since 1970, with `Infinity` for never.
 *
 * | offset | bytes |                                         |
 * | ------ | ----- | --------------------------------------- |
 * | 0      | 8     | `fresh_until`                           |
 * | 8      | 8     | `created_at`                            |
 * | 16     | rest  | the value, as the serializer wrote it   |
 *
 * **Details**
 *
 * Use it with a serializer that both sides have, such as `Serializer.json`. A value in Python's `pickle` format cannot
 * be decoded: it is a miss, and is overwritten.
 *
 * The reader supplies what the format does not store. An entry expires `stale` after `fresh_until`, where `stale` is
 * the option of the function that reads it; the store's own `get` accepts only fresh entries. Every function accepts
 * every entry. The stamp of an entry is `created_at`, and a `created_at` in the future counts as now.
 *
 * **Gotchas**
 *
 * An entry with tags is refused: its value is returned, but not stored. The format has no stamp that could order the
 * writes of several processes, so the last write wins. If one process invalidates a key while another one loads it, the
 * load may write the old value back. Within one process an invalidation wins.
 *
 * @category constructors
 * @since 0.1.0
 */
export const advancedCaching: Envelope = {
  name: "advanced-caching",
  isOwnerless: true,
  encode: encodePython,
  decode: decodePython
}
