/**
 * How an entry becomes one string of bytes: its times, stamp, owner and tags before the bytes of its value.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { SerializerError } from "./CacheError.js"
import { Entry, type Header, noTags } from "./Entry.js"

declare const TextEncoder: { new (): { readonly encode: (text: string) => Uint8Array } }
declare const TextDecoder: {
  new (
    label: string,
    options: { readonly fatal: boolean; readonly ignoreBOM: boolean }
  ): { readonly decode: (bytes: Uint8Array) => string }
}

/**
 * What stands under a key: an entry, or the trace that an invalidation left so that an older load cannot write over it
 * (law 8).
 *
 * @category models
 * @since 0.1.0
 */
export type Decoded =
  | { readonly _tag: "Entry"; readonly entry: Entry<Uint8Array> }
  | { readonly _tag: "Tombstone"; readonly stamp: number }

/**
 * Who asks for an entry. `v1` does not need to know; a form that does not keep all of an entry does.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reader {
  /** the identity of the function that reads, `""` for the store itself */
  readonly owner: string
  /** for how many milliseconds it takes what is no longer fresh */
  readonly stale: number
  /** its time, in milliseconds since 1970 */
  readonly now: number
  /** the store's time, where that is another: the one stamps are in */
  readonly storeNow?: number | undefined
}

/**
 * Turns an entry into the bytes a medium keeps, and back. Neither direction throws, whatever it is given; what `decode`
 * refuses is a miss, and is overwritten by the load that follows (law 12).
 *
 * @category models
 * @since 0.1.0
 */
export interface Envelope {
  /** for logs, such as `v1` */
  readonly name: string
  /**
   * Its entries belong to nobody: every function takes them, for as long as its own `stale` says. Default: an entry is
   * its writer's, and says itself when it expires.
   */
  readonly isOwnerless?: boolean | undefined
  /** refuses an entry that its form cannot hold; nothing is cut off to make it fit */
  readonly encode: (entry: Entry<Uint8Array>) => Either.Either<Uint8Array, SerializerError>
  /** the value of the entry is a view of `bytes`, not a copy */
  readonly decode: (bytes: Uint8Array, reader: Reader) => Either.Either<Decoded, SerializerError>
}

// magic "EC" @0, version @2, flags @3, stamp @4, created @12, freshUntil @20, expiresAt @28, owner @36
const magic0 = 0x45
const magic1 = 0x43
const version = 1
const tombstoneFlag = 1
const stampAt = 4
const createdAt = 12
const freshUntilAt = 20
const expiresAtAt = 28
const ownerAt = 36
const tombstoneLength = 12
const maxShort = 0xffff

const encoder = /*#__PURE__*/ new TextEncoder()
const decoder = /*#__PURE__*/ new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const refuse = (
  reason: SerializerError["reason"],
  path: string,
  detail: string
): Either.Either<never, SerializerError> => Either.left(new SerializerError({ reason, path, detail }))

/** What is wrong with the times; a comparison with NaN is false, so that it is wrong as well. */
const disorder = (header: Omit<Header, "owner" | "tags">): string | undefined =>
  !Number.isFinite(header.stamp)
    ? "has a stamp that is not a time"
    : !Number.isFinite(header.createdAt)
      ? "has a creation time that is not a time"
      : !(header.createdAt <= header.freshUntil)
        ? "stops being fresh before its creation"
        : !(header.freshUntil <= header.expiresAt)
          ? "expires before it is stale"
          : undefined

/** The text itself where every character is one byte, else its bytes; `undefined` where UTF-8 would change it. */
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

/** `undefined` where the bytes are not UTF-8. The bytes are there: the caller has looked. */
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

const head = (target: Uint8Array, flags: number): DataView => {
  target[0] = magic0
  target[1] = magic1
  target[2] = version
  target[3] = flags
  return new DataView(target.buffer, target.byteOffset, target.byteLength)
}

/**
 * The trace of an invalidation in the form of `v1`: the first twelve bytes of an envelope, with the flag that nothing
 * follows. `stamp` is when the invalidation was asked for, in milliseconds.
 *
 * @category constructors
 * @since 0.1.0
 */
export const tombstone = (stamp: number): Uint8Array => {
  const bytes = new Uint8Array(tombstoneLength)
  head(bytes, tombstoneFlag).setFloat64(stampAt, stamp)
  return bytes
}

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
  const bytes = new Uint8Array(length)
  const view = head(bytes, 0)
  view.setFloat64(stampAt, entry.stamp)
  view.setFloat64(createdAt, entry.createdAt)
  view.setFloat64(freshUntilAt, entry.freshUntil)
  view.setFloat64(expiresAtAt, entry.expiresAt)
  let position = writeText(bytes, owner, ownerAt)
  view.setUint16(position, entry.tags.length)
  position += 2
  if (tags !== undefined) for (const tag of tags) position = writeText(bytes, tag, position)
  bytes.set(entry.value, position)
  return Either.right(bytes)
}

const cut = () => refuse("Decode", "envelope", "is cut short")

const decode = (bytes: Uint8Array): Either.Either<Decoded, SerializerError> => {
  const end = bytes.length
  if (end < stampAt) return cut()
  if (bytes[0] !== magic0 || bytes[1] !== magic1) return refuse("Decode", "envelope", "was not written by this library")
  if (bytes[2] !== version) return refuse("Decode", "envelope", `has the unknown version ${bytes[2]}`)
  if (bytes[3]! > tombstoneFlag) return refuse("Decode", "envelope", `has unknown flags ${bytes[3]}`)
  if (end < tombstoneLength) return cut()
  const view = new DataView(bytes.buffer, bytes.byteOffset, end)
  const stamp = view.getFloat64(stampAt)
  if (bytes[3] === tombstoneFlag) {
    if (!Number.isFinite(stamp)) return refuse("Decode", "envelope", "has a stamp that is not a time")
    return end === tombstoneLength
      ? Either.right({ _tag: "Tombstone", stamp })
      : refuse("Decode", "envelope", "is a tombstone followed by other bytes")
  }
  if (end < ownerAt + 2) return cut()
  let position = ownerAt + 2 + view.getUint16(ownerAt)
  if (position + 2 > end) return cut()
  const owner = readText(bytes, ownerAt + 2, position)
  if (owner === undefined) return refuse("Decode", "envelope.owner", "is not UTF-8")
  const count = view.getUint16(position)
  position += 2
  let tags = noTags
  if (count > 0) {
    const list: Array<string> = []
    for (let i = 0; i < count; i++) {
      if (position + 2 > end) return cut()
      const from = position + 2
      position = from + view.getUint16(position)
      if (position > end) return cut()
      const tag = readText(bytes, from, position)
      if (tag === undefined) return refuse("Decode", `envelope.tags[${i}]`, "is not UTF-8")
      list.push(tag)
    }
    tags = list
  }
  const header: Header = {
    stamp,
    createdAt: view.getFloat64(createdAt),
    freshUntil: view.getFloat64(freshUntilAt),
    expiresAt: view.getFloat64(expiresAtAt),
    owner,
    tags
  }
  const wrong = disorder(header)
  if (wrong !== undefined) return refuse("Decode", "envelope", wrong)
  // not `subarray`, which of a Buffer makes another Buffer
  const value = new Uint8Array(bytes.buffer, bytes.byteOffset + position, end - position)
  return Either.right({ _tag: "Entry", entry: new Entry(value, header) })
}

/**
 * Version 1, the default. Numbers are big-endian, times float64 in milliseconds since 1970 with `Infinity` for never.
 *
 * | offset | bytes  |                                                                     |
 * | ------ | ------ | ------------------------------------------------------------------- |
 * | 0      | 2      | `EC`                                                                |
 * | 2      | 1      | the version, `1`                                                    |
 * | 3      | 1      | flags: `1` is a tombstone, which ends after the stamp               |
 * | 4      | 8      | stamp: when the load that made the value began                      |
 * | 12     | 8      | created: when it ended                                              |
 * | 20     | 8      | fresh until                                                         |
 * | 28     | 8      | expires at                                                          |
 * | 36     | 2 + n  | the owner's length in bytes, the owner in UTF-8                     |
 * |        | 2 + …  | the number of tags, each with its length in bytes before it         |
 * |        | rest   | the value, as the serializer wrote it                               |
 *
 * Refused, both ways: times that are none or are out of order, and an owner, tag or number of tags that two bytes cannot
 * count.
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

/** the last moment that a `Date` knows, in seconds */
const lastSecond = 8_640_000_000_000

/** What is no date is what other bytes look like when they are read as one: a bare value, a pickle. */
const undated = (freshUntil: number, createdAt: number): string | undefined =>
  !(createdAt === 0 || (createdAt >= 0.001 && createdAt <= lastSecond))
    ? "has a creation time that is not a time"
    : !(createdAt <= freshUntil)
      ? "stops being fresh before its creation"
      : undefined

/** To hundredths of a millisecond: what was whole milliseconds before it became seconds is so again. */
const toMillis = (seconds: number): number => Math.round(seconds * 100_000) / 100

const encodePython = (entry: Entry<Uint8Array>): Either.Either<Uint8Array, SerializerError> => {
  const { freshUntil, stamp, tags, value } = entry
  if (tags.length > 0) return refuse("Encode", "envelope.tags", "cannot be stored in the advanced-caching format")
  // A clock counts whole milliseconds, stamps do not: what began within one is later than what was cleared within it.
  const isSame = entry.createdAt < stamp && stamp < entry.createdAt + 1
  const createdAt = isSame ? Math.ceil(stamp * 100) / 100 : entry.createdAt
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
 * The form of the Python library advanced-caching 1.0, so that a Python and an Effect service share entries. Numbers are
 * big-endian, times float64 in **seconds** since 1970 with `Infinity` for never.
 *
 * | offset | bytes |                                         |
 * | ------ | ----- | --------------------------------------- |
 * | 0      | 8     | `fresh_until`                           |
 * | 8      | 8     | `created_at`                            |
 * | 16     | rest  | the value, as the serializer wrote it   |
 *
 * **Details**
 *
 * Take it with a serializer that both sides know, such as `Serializer.json`; a value in Python's `pickle` is read as
 * garbage: a miss, and overwritten.
 *
 * What the form does not keep comes from the reader. A value expires `stale` of the function that reads it after
 * `fresh_until`, and the store's own `get` takes what is fresh; it is every function's, whoever wrote it; its stamp is
 * `created_at`. A `created_at` in the future counts as now.
 *
 * **Gotchas**
 *
 * An entry with tags is refused: its value is delivered, and not stored. What orders the writes of several processes,
 * the stamp of when a load began, has no place either: the last write stands, and a load that is under way in one
 * process while another invalidates its key may put the old value back. Within one process an invalidation wins.
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
