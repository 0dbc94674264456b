/**
 * What the verbs of the Redis backend share: its parts, and the decoding of what is stored.
 */
import { Buffer } from "node:buffer"
import * as Clock from "effect/Clock"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError, SerializerError } from "../../../CacheError.js"
import type * as Envelope from "../../../Envelope.js"
import type { BoundedMap } from "../../boundedMap.js"
import { maxSkew, timeOfDay } from "../../time.js"
import type { Connection } from "./connection.js"
import type { Count } from "./count.js"
import type { Keys } from "./keys.js"
import type { RedisMarks } from "./marks.js"
import type { OwnSets } from "./ownSets.js"
import type { Script } from "./scriptParts.js"
import * as Scripts from "./scripts.js"
import type { Batches } from "./slots.js"

/** The time of day, for envelopes without stamps, whose entries have times only. */
export const live = /*#__PURE__*/ Clock.make()

export type Bytes = Backend.Backend<Uint8Array>
export type Write = Backend.Write<Uint8Array>

/** The scripts of one server, or of the nodes of a cluster, which have no count. */
export interface StoreScripts {
  readonly set: Script
  readonly setFenced: Script
  readonly setIfAbsent: Script
  readonly remove: Script
  /** Absent for an envelope that has no place for the time of a read. */
  readonly renew?: Script
}

/** What the verbs share. */
export interface Store {
  readonly connection: Connection
  readonly batches: Batches
  readonly keys: Keys
  readonly marks: RedisMarks
  readonly envelope: Envelope.Envelope
  /**
   * The count that orders writes. Only entries in the form of `Envelope.v1` have stamps that the scripts read;
   * `undefined` for any other envelope, whose writes are not ordered.
   */
  readonly count: Count | undefined
  readonly ownSets: OwnSets
  /** The Redis keys whose last read got no answer in time: their values may be too long. Mutable by design. */
  readonly unanswered: BoundedMap<boolean>
  /** The longest value of a key, with its envelope, that is read where its length is known. */
  readonly maxBytes: number
  readonly scripts: StoreScripts
  /** Whether an authoritative write takes a ticket first, because the node of its key does not have the count. */
  readonly takesTickets: boolean
  /** How many milliseconds a tombstone outlasts the loads that it rejects: a command may take that long. */
  readonly grace: number
  /** The error of a write for which the server has no memory. */
  readonly noMemory: CacheStoreError
}

export const onServer: StoreScripts = {
  set: Scripts.set,
  setFenced: Scripts.setFenced,
  setIfAbsent: Scripts.setIfAbsent,
  remove: Scripts.remove,
  renew: Scripts.renewReads
}

export const onNodes: StoreScripts = {
  set: Scripts.setOnNode,
  setFenced: Scripts.setFencedOnNode,
  setIfAbsent: Scripts.setIfAbsentOnNode,
  remove: Scripts.removeOnNode,
  renew: Scripts.renewReadsOnNode
}

export const unordered: StoreScripts = {
  set: Scripts.put,
  setFenced: Scripts.putFenced,
  setIfAbsent: Scripts.putInstead,
  remove: Scripts.put
}

/** A lifetime as scripts take it: whole milliseconds, or empty text for an entry that never expires. */
export const px = (lifetime: number): string =>
  lifetime > Number.MAX_SAFE_INTEGER ? "" : String(Math.max(1, Math.ceil(lifetime)))

export const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export const decode = (
  store: Store,
  bytes: Buffer | CacheStoreError | null,
  { now, owner = "", stale = 0 }: Omit<Backend.Read, "key">,
  at = timeOfDay(live)
): Envelope.Decoded | SerializerError | CacheStoreError | undefined => {
  if (bytes === null) return undefined
  if (bytes instanceof CacheStoreError) return bytes
  const decoded = store.envelope.decode(bytes, { owner, stale, now: now ?? at, storeNow: at })
  const stamp = store.count && stampIn(bytes)
  if (decoded._tag === "Left") {
    const { detail, path, reason } = decoded.left
    return new SerializerError({ reason, path, detail, stamp })
  }
  // No mark would reach it. Writers take it for nothing, too, so the next load overwrites it.
  if (stamp !== undefined && stamp > store.count!.seen + maxSkew) {
    return new SerializerError({ reason: "Decode", path: "envelope", detail: "has a stamp from the future", stamp })
  }
  return decoded.right
}

/** The stamp in the bytes of an entry or a tombstone of `Envelope.v1`. `undefined` for other bytes. */
export const stampIn = (bytes: Buffer): number | undefined =>
  bytes.length >= 12 && bytes[0] === 0x45 && bytes[1] === 0x43 && bytes[2] === 1 ? bytes.readDoubleBE(4) : undefined

/** The stamp with which others will decode an entry. */
export const stampOf = (store: Store, bytes: Buffer, entry: Write["entry"]): number => {
  const found = decode(store, bytes, { now: entry.createdAt })
  return found?._tag === "Entry" ? found.entry.stamp : entry.stamp
}
