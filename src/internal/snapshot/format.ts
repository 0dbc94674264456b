/**
 * The bytes of a snapshot. Numbers are big-endian; those that are no lengths are float64.
 *
 * | offset | bytes |                                                      |
 * | ------ | ----- | ---------------------------------------------------- |
 * | 0      | 4     | `ECSN`                                               |
 * | 4      | 1     | the version, `1`                                     |
 * | 5      | 1     | the form of its values: `0` values, `1` stored forms |
 * | 6      | …     | blocks, the last of which is an end                  |
 *
 * A block is its kind in one byte, the length of its content in four, the CRC-32 of these five bytes and the content in
 * four, and the content. An entry is followed by others in its block:
 *
 * | bytes |                                                                                          |
 * | ----- | ---------------------------------------------------------------------------------------- |
 * | 4 + n | the length of its key in bytes, the key in UTF-8                                         |
 * | 1     | `1` if the value was encoded by the schema of its function before the serializer, or `0` |
 * | 4 + n | the length of its envelope in bytes, the envelope as `Envelope.v1` writes it             |
 *
 * Entries are numbered in their order. One that was replaced or removed while the snapshot was being saved is among the
 * numbers of blocks of their own, and what replaced it is a further entry. Marks come behind all entries.
 *
 * The end has the time at which the snapshot was saved, the latest stamp, and the numbers of blocks and of entries before
 * it. Nothing follows, so a file that was cut anywhere has no end.
 */
import type { MarkRecords } from "../engine/io/markTable.js"
import { crc32 } from "../serializers/crc32.js"
import { decoder, encoder } from "../serializers/utf8.js"

/** What the values of a snapshot are: values, or what a store of serialized values has stored. */
export type Form = "values" | "stored"

export const headLength = 6
export const blockHeadLength = 9

const magic = "ECSN"
const version = 1
const withoutChecksum = 5

const kinds = { entries: 1, withdrawn: 2, marks: 3, end: 4 } as const

export type Kind = keyof typeof kinds

/** What is wrong with a snapshot. */
export class Fault {
  readonly detail: string
  /** Whether there is something else than a file. */
  readonly isForeign: boolean

  constructor(detail: string, isForeign = false) {
    this.detail = detail
    this.isForeign = isForeign
  }
}

export const isCut = new Fault("is cut short")

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export const head = (form: Form): Uint8Array => {
  const bytes = new Uint8Array(headLength)
  bytes.set(encoder.encode(magic))
  bytes[magic.length] = version
  bytes[magic.length + 1] = form === "values" ? 0 : 1
  return bytes
}

/** Reads the beginning of a snapshot. */
export const readHead = (bytes: Uint8Array, form: Form): Fault | undefined => {
  if (bytes.length < headLength) return isCut
  for (let i = 0; i < magic.length; i++) {
    if (bytes[i] !== magic.charCodeAt(i)) return new Fault("was not written by this library")
  }
  const found = bytes[magic.length]
  if (found !== version) return new Fault(`has the unknown version ${found}`)
  const isSame = bytes[magic.length + 1] === (form === "values" ? 0 : 1)
  return isSame ? undefined : new Fault("is of a store with another option `values`: serialized or not")
}

/** A block of these parts. */
export const block = (kind: Kind, parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const bytes = new Uint8Array(blockHeadLength + length)
  let at = blockHeadLength
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return withHead(kind, bytes)
}

/** Writes the head of a block before its content. */
const withHead = (kind: Kind, bytes: Uint8Array): Uint8Array => {
  const view = viewOf(bytes)
  bytes[0] = kinds[kind]
  view.setUint32(1, bytes.length - blockHeadLength)
  view.setUint32(withoutChecksum, checksumOf(bytes, bytes.subarray(blockHeadLength)))
  return bytes
}

const checksumOf = (head: Uint8Array, content: Uint8Array): number =>
  crc32(content, 0, content.length, crc32(head, 0, withoutChecksum))

/** The kind and the length of a block. Its checksum is compared once the content is read. */
export const readBlockHead = (bytes: Uint8Array): { readonly kind: Kind; readonly length: number } | Fault => {
  if (bytes.length < blockHeadLength) return isCut
  const kind = (Object.keys(kinds) as ReadonlyArray<Kind>).find((kind) => kinds[kind] === bytes[0])
  return kind === undefined ? new Fault("is damaged") : { kind, length: viewOf(bytes).getUint32(1) }
}

export const isIntact = (head: Uint8Array, content: Uint8Array): boolean =>
  viewOf(head).getUint32(withoutChecksum) === checksumOf(head, content)

// ------------------------------------------------------------------------------------------------------------- entries

export interface EntryRecord {
  readonly key: string
  readonly isBySchema: boolean
  readonly envelope: Uint8Array
}

/** From how many bytes of entries on a block is written. */
export const entriesSize = 65_536

/** The most bytes of a character of a key. */
const characterLength = 3

/** Blocks of entries, which are written into one buffer, one after the other. */
export class EntriesWriter {
  private bytes = new Uint8Array(2 * entriesSize)
  private view = viewOf(this.bytes)
  private end = blockHeadLength

  /** The number of bytes of the entries in the block. */
  get size(): number {
    return this.end - blockHeadLength
  }

  /** Returns `false` if the key is no text in UTF-8. */
  add({ envelope, isBySchema, key }: EntryRecord): boolean {
    if (/[\uD800-\uDFFF]/u.test(key)) return false
    this.reserve(4 + characterLength * key.length + 5 + envelope.length)
    const { bytes, view } = this
    const text = encoder.encodeInto(key, bytes.subarray(this.end + 4)).written
    view.setUint32(this.end, text)
    const at = this.end + 4 + text
    bytes[at] = isBySchema ? 1 : 0
    view.setUint32(at + 1, envelope.length)
    bytes.set(envelope, at + 5)
    this.end = at + 5 + envelope.length
    return true
  }

  private reserve(length: number): void {
    const room = this.end + length
    if (room <= this.bytes.length) return
    const before = this.bytes
    this.bytes = new Uint8Array(2 * room)
    this.bytes.set(before.subarray(0, this.end))
    this.view = viewOf(this.bytes)
  }

  /** The block, which counts until an entry is added to the next one. */
  take(): Uint8Array {
    const bytes = this.bytes.subarray(0, this.end)
    this.end = blockHeadLength
    return withHead("entries", bytes)
  }
}

const textOf = (bytes: Uint8Array): string | undefined => {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

/** Reads the entries of a block, whose checksum is right. `undefined` for one whose key is not UTF-8. */
export function* readEntries(content: Uint8Array): Generator<EntryRecord | undefined> {
  const view = viewOf(content)
  let at = 0
  while (at < content.length) {
    const keyEnd = at + 4 + view.getUint32(at)
    const end = keyEnd + 5 + view.getUint32(keyEnd + 1)
    const key = textOf(content.subarray(at + 4, keyEnd))
    yield key === undefined
      ? undefined
      : { key, isBySchema: content[keyEnd] === 1, envelope: content.subarray(keyEnd + 5, end) }
    at = end
  }
}

/** How many entries a block has. `NaN`, or a throw, if their lengths do not fit. */
export const countEntries = (content: Uint8Array): number => {
  const view = viewOf(content)
  let count = 0
  let at = 0
  while (at < content.length) {
    at += 5 + view.getUint32(at)
    at += 4 + view.getUint32(at)
    count++
  }
  return at > content.length ? Number.NaN : count
}

// ------------------------------------------------------------------------------------------------------------- numbers

/** Float64 numbers as bytes. */
const numbers = (values: ArrayLike<number>): Uint8Array => {
  const bytes = new Uint8Array(values.length * 8)
  const view = viewOf(bytes)
  for (let i = 0; i < values.length; i++) view.setFloat64(i * 8, values[i]!)
  return bytes
}

export const readNumbers = (content: Uint8Array): Float64Array => {
  const view = viewOf(content)
  return Float64Array.from({ length: Math.floor(content.length / 8) }, (_, i) => view.getFloat64(i * 8))
}

/** A block of the numbers of entries that no longer count. */
export const withdrawn = (entries: ReadonlyArray<number>): Uint8Array => block("withdrawn", [numbers(entries)])

/** Its lists come behind their lengths. */
export const marks = (records: MarkRecords): Uint8Array => {
  const lists = [records.marks, records.expiries, records.tagBuckets, records.ownerBuckets]
  const first = [records.floor, records.cleared, records.latestTag, ...lists.map((list) => list.length)]
  return block("marks", [numbers(first), ...lists.map(numbers)])
}

export const readMarks = (content: Uint8Array): MarkRecords => {
  const all = readNumbers(content)
  let at = 7
  const [marks, expiries, tagBuckets, ownerBuckets] = [3, 4, 5, 6].map((index) => {
    const from = at
    at += all[index]!
    return all.subarray(from, at)
  }) as [Float64Array, Float64Array, Float64Array, Float64Array]
  return { floor: all[0]!, cleared: all[1]!, latestTag: all[2]!, marks, expiries, tagBuckets, ownerBuckets }
}

export interface End {
  readonly savedAt: number
  readonly latest: number
  readonly blocks: number
  readonly entries: number
}

/** The latest stamp from which a store can go on: stamps are milliseconds in ticks of 1/1024. */
const maxStamp = Number.MAX_SAFE_INTEGER / 1_024

/** Whether a store can go on from an end. */
export const isPlausible = ({ latest, savedAt }: End): boolean =>
  Number.isFinite(savedAt) && latest >= 0 && latest <= maxStamp

export const end = ({ blocks, entries, latest, savedAt }: End): Uint8Array =>
  block("end", [numbers([savedAt, latest, blocks, entries])])

export const readEnd = (content: Uint8Array): End => {
  const [savedAt, latest, blocks, entries] = readNumbers(content) as unknown as [number, number, number, number]
  return { savedAt, latest, blocks, entries }
}
