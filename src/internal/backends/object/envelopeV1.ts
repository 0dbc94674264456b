/**
 * Entries in `Envelope.v1`. It contains the stamp and the times by which writes are ordered, so law 8 (invalidation
 * wins) holds among processes.
 *
 * An object starts with its stamp and times, so a write needs to read only these to decide whether it may replace the
 * object. The value starts with the key, which is compared when the entry is read. A removal replaces the entry with a
 * tombstone. An entry carries a checksum: a disk or a transfer may damage its bytes, and not every serializer notices.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Backend from "../../../Backend.js"
import { type CacheStoreError, SerializerError } from "../../../CacheError.js"
import { Entry, expired, isExpired, staleFrom, withChecksum } from "../../../Entry.js"
import * as Envelope from "../../../Envelope.js"
import { defaultLoad } from "../../lifespans.js"
import type { ByteCodec } from "../../serializers/compression.js"
import { maxSkew, tick } from "../../time.js"
import { compareAndSwap } from "./compareAndSwap.js"
import { type Answer, type Entries, isTooLarge, type Parts, tooLarge } from "./entries.js"
import { contentStart, digest, keyIn, nameOf, parseHeader, prependKey, stripKey, tombstoneMeta } from "./format.js"
import type { Limits } from "./limits.js"
import type { Head, Meta, ObjectStore, Put, Stored } from "./objectStore.js"
import { requestedStamp, trustedStamp } from "./stamps.js"
import * as Sweep from "./sweep.js"

type Method<A> = Effect.Effect<A, CacheStoreError>

/**
 * Whether the bytes of an object are needed to answer a read: those of tombstones are not, nor those of entries that have
 * expired by themselves.
 */
const wants =
  ({ now }: Backend.Read, maxBytes: number) =>
  (head: Head): boolean => {
    const { meta } = head
    if (isTooLarge(head, maxBytes)) return false
    return meta === undefined || (!meta.isTombstone && (now === undefined || now < meta.expiresAt || isExpired(meta)))
  }

/**
 * Whether a write comes so late that a tombstone above its stamp may be gone. For a value that was set and is sent again,
 * that is as long as the tombstones of this process stay.
 */
const isLate = (
  { began, entry, follows, maxAge, since, tombstone }: Backend.Write<Uint8Array>,
  now: number
): boolean =>
  since === undefined
    ? now - (follows === true && began !== undefined ? began : entry.stamp) >
      (maxAge ?? tombstone ?? Number.POSITIVE_INFINITY)
    : now - since > defaultLoad

const unreadable = ({ detail, path, reason }: SerializerError, meta: Meta | undefined) =>
  new SerializerError({ reason, path, detail, stamp: meta?.stamp })

/** The object of an entry. */
const putOf = (bytes: Uint8Array, options: Pick<Put, "lifetime" | "invalidates">): Put => ({
  ...options,
  bytes,
  meta: parseHeader(bytes)!,
  // Computed on demand: not every store keeps the digest, and computing that of a large value takes a while.
  get contentDigest() {
    return digest(bytes.subarray(contentStart))
  }
})

export class EntriesV1 implements Entries {
  private readonly objects: ObjectStore
  private readonly limits: Limits
  private readonly now: () => number
  private readonly codec: ByteCodec
  private readonly maxBytes: number
  /** The latest stamp of an entry that was read. Mutable by design. */
  private latest = Number.NEGATIVE_INFINITY

  constructor({ limits, maxBytes, now, objects }: Parts, codec: ByteCodec) {
    this.objects = objects
    this.maxBytes = maxBytes
    this.limits = limits
    this.now = now
    this.codec = codec
  }

  latestStamp(): number {
    return this.latest
  }

  // ----------------------------------------------------------------------------------------------------------- reads

  get(read: Backend.Read): Method<Answer> {
    const found = Effect.map(
      this.objects.read(nameOf(read.key), wants(read, this.maxBytes)),
      (stored): Answer => (stored === undefined ? { found: undefined } : this.answer(read.key, stored))
    )
    return this.limits.within("getMany", found)
  }

  private answer(key: string, stored: Stored): Answer {
    const { bytes, meta: storedMeta } = stored
    const meta = storedMeta ?? (bytes && parseHeader(bytes))
    const stamp = this.stampOf(meta)
    // No mark would reach it. Writers take it for nothing, too, so the next load overwrites it.
    if (meta !== undefined && !Number.isFinite(stamp)) {
      const error = {
        reason: "Decode",
        path: "envelope",
        detail: "has a stamp that is no time, or from the future"
      } as const
      return { found: new SerializerError({ ...error, stamp: meta.stamp }) }
    }
    if (meta?.isTombstone === true) return { found: undefined, tombstone: stamp }
    if (isTooLarge(stored, this.maxBytes)) return { found: tooLarge("Decode", this.maxBytes, meta?.stamp) }
    this.latest = Math.max(this.latest, stamp)
    return { found: bytes && this.decode(key, bytes, storedMeta) }
  }

  private decode(key: string, bytes: Uint8Array, meta: Meta | undefined): Backend.Found<Uint8Array> {
    const decoded = Envelope.v1.decode(bytes)
    if (decoded._tag === "Left") return unreadable(decoded.left, meta ?? parseHeader(bytes))
    if (decoded.right._tag === "Tombstone") return undefined
    const { entry } = decoded.right
    const value = Either.flatMap(stripKey(key, entry.value), this.codec.decode)
    return value._tag === "Left" ? unreadable(value.left, meta) : new Entry(value.right, { ...entry, ...meta })
  }

  // ---------------------------------------------------------------------------------------------------------- writes

  set(write: Backend.Write<Uint8Array>): Method<Backend.Written> {
    return this.swapEntry("setMany", write, (head) => {
      const current = this.stampOf(head?.meta)
      const now = this.now()
      const stamp = requestedStamp(write.entry.stamp, now)
      if (write.authoritative) return Math.max(write.follows === true ? stamp : now, current + tick)
      if (isLate(write, now)) return { _tag: "Late" }
      if (
        head?.meta?.isTombstone === false &&
        current > Number.NEGATIVE_INFINITY &&
        Backend.isKeptFrom({ ...head.meta, stamp: current }, write)
      )
        return { _tag: "Superseded" }
      // With equal stamps, a tombstone wins over an entry, and the later created entry wins over the earlier one.
      const givesWay = head?.meta?.isTombstone === false && head.meta.createdAt <= write.entry.createdAt
      return current > stamp || (current === stamp && !givesWay) ? { _tag: "Superseded" } : stamp
    })
  }

  setIfAbsent(
    write: Backend.Write<Uint8Array>,
    { now, replacing }: { readonly now: number; readonly replacing: number | undefined }
  ): Method<Backend.Written> {
    return this.swapEntry("setIfAbsent", write, (head) => {
      const { meta } = head ?? {}
      const current = this.stampOf(meta)
      const isAlive =
        meta !== undefined &&
        !meta.isTombstone &&
        current !== Number.NEGATIVE_INFINITY &&
        meta.expiresAt > now &&
        current !== replacing
      if (isAlive) return { _tag: "Superseded" }
      const time = this.now()
      return Math.max(write.follows === true ? requestedStamp(write.entry.stamp, time) : time, current + tick)
    })
  }

  removeMany(removals: ReadonlyArray<Backend.Removal>): Effect.Effect<ReadonlyArray<Backend.Written>> {
    return this.limits.forEach(removals, (removal) =>
      Effect.catchAll(this.remove(removal), (error) => Effect.succeed<Backend.Written>({ _tag: "Failed", error }))
    )
  }

  private remove(removal: Backend.Removal): Method<Backend.Written> {
    const { authoritative, follows = false, key, stale, tombstone } = removal
    const removed = compareAndSwap(this.objects, {
      name: nameOf(key),
      method: "removeMany",
      look:
        stale === undefined
          ? undefined
          : (name) => this.objects.read(name, wants({ key, now: stale.at }, this.maxBytes)),
      decide: (head) => {
        const current = this.stampOf(head?.meta)
        const now = this.now()
        const requested = requestedStamp(removal.stamp, now)
        const isStale = stale !== undefined && current === stale.of
        let stamp = authoritative && !follows && stale === undefined ? Math.max(now, current + tick) : requested
        if (isStale ? current >= stamp : follows && current > stamp) stamp = current + tick
        if (current > stamp) return { _tag: "Written", stamp }
        const put = isStale ? this.stale(head, stamp, { at: stale.at, tombstone }) : undefined
        if (put !== undefined) return put
        const meta = tombstoneMeta(stamp)
        return { bytes: Envelope.tombstone(stamp), meta, lifetime: tombstone, contentDigest: "", invalidates: true }
      }
    })
    return this.limits.within("removeMany", removed)
  }

  /** The entry that takes the place of one that is expired at `at`. `undefined` if that has expired by then. */
  private stale(
    found: Stored | undefined,
    stamp: number,
    { at, tombstone }: { readonly at: number; readonly tombstone: number }
  ): Put | undefined {
    const { bytes, meta = bytes && parseHeader(bytes) } = found ?? {}
    if (bytes === undefined || meta === undefined || meta.isTombstone) return undefined
    const decoded = Envelope.v1.decode(bytes)
    if (decoded._tag === "Left" || decoded.right._tag === "Tombstone") return undefined
    const { entry } = decoded.right
    const { createdAt, expiresAt, freshUntil } = meta
    if (at >= expiresAt) return undefined
    const times = staleFrom({ createdAt, expiresAt, freshUntil, extension: entry.extension }, at) ?? expired(entry, at)
    const encoded = Envelope.v1.encode(new Entry(entry.value, { ...entry, ...times, stamp }))
    if (encoded._tag === "Left") return undefined
    // its stamp must stay as long as that of a tombstone
    return putOf(encoded.right, { lifetime: Math.max(tombstone, times.expiresAt - at), invalidates: true })
  }

  // ----------------------------------------------------------------------------------------------------------- sweep

  sweep(request: Backend.Sweep): Method<void> {
    const { judge, needsNames } = request
    const wants = (head: Head): boolean => {
      const { meta } = head
      if (isTooLarge(head, this.maxBytes)) return false
      return meta === undefined || (needsNames && !meta.isTombstone && judge(meta) === undefined)
    }
    const parts = { objects: this.objects, limits: this.limits, maxBytes: this.maxBytes, now: this.now }
    return Sweep.sweep(
      parts,
      { needsBytes: needsNames, wants, verdict: (stored, isRemovable) => this.verdict(stored, isRemovable, request) },
      request
    )
  }

  /**
   * A dead entry leaves a tombstone with its stamp for as long as a load that began before it may still be written, and
   * for ever where objects cannot be removed on a condition.
   */
  private verdict(
    { bytes, meta: stored }: Stored,
    isRemovable: boolean,
    { judge, tombstone }: Backend.Sweep
  ): Sweep.Verdict {
    const meta = stored ?? (bytes && parseHeader(bytes))
    const stamp = this.stampOf(meta)
    if (meta === undefined || stamp === Number.NEGATIVE_INFINITY) return "keep"
    const isNeeded = !isRemovable || this.now() - stamp <= tombstone + maxSkew
    if (meta.isTombstone) return isNeeded ? "keep" : "remove"
    const decoded = bytes === undefined ? undefined : Either.getRight(Envelope.v1.decode(bytes))
    const names = decoded?._tag === "Some" && decoded.value._tag === "Entry" ? decoded.value.entry : undefined
    if (judge({ ...meta, owner: names?.owner, tags: names?.tags }) === undefined) return "keep"
    if (!isNeeded) return "remove"
    return {
      bytes: Envelope.tombstone(stamp),
      meta: tombstoneMeta(stamp),
      lifetime: tombstone,
      contentDigest: "",
      // it needs no room on a full disk
      invalidates: true
    }
  }

  /** Lists the keys of one page of objects. Only their bytes contain them. */
  list({ from, judge }: Backend.Listing): Method<Backend.KeyPage> {
    const { limits, objects } = this
    const keyOf = (name: string): Method<string | undefined> =>
      Effect.map(objects.read(name, wants({ key: "" }, this.maxBytes)), (stored) => this.listedKey(name, stored, judge))
    return Effect.flatMap(limits.within("list", objects.list!(from as string | undefined)), (page) =>
      Effect.map(
        limits.forEach(page.objects, ({ name }) => limits.within("list", keyOf(name))),
        (keys) => ({ keys: keys.filter((key) => key !== undefined), next: page.next })
      )
    )
  }

  /** The key of an object if it is an entry that is alive. An object of another name is no entry of this store. */
  private listedKey(name: string, stored: Stored | undefined, judge: Backend.Sweep["judge"]): string | undefined {
    const { bytes, meta } = stored ?? {}
    const decoded = bytes && Either.getRight(Envelope.v1.decode(bytes))
    if (decoded?._tag !== "Some" || decoded.value._tag === "Tombstone") return undefined
    const entry = { ...decoded.value.entry, ...meta }
    if (this.stampOf({ ...entry, isTombstone: false }) === Number.NEGATIVE_INFINITY || judge(entry) !== undefined) {
      return undefined
    }
    const key = keyIn(decoded.value.entry.value)
    return key !== undefined && nameOf(key) === name ? key : undefined
  }

  /** Writes an entry. `decide` returns its stamp, or the outcome if the entry is not to be written. */
  private swapEntry(
    method: string,
    write: Backend.Write<Uint8Array>,
    decide: (head: Head | undefined) => number | Backend.Written
  ): Method<Backend.Written> {
    const swapped = compareAndSwap(this.objects, {
      name: nameOf(write.key),
      method,
      decide: (head) => {
        const stamp = decide(head)
        if (typeof stamp !== "number") return stamp
        return Either.getOrElse(this.encode(write, stamp), (error): Backend.Written => ({ _tag: "Refused", error }))
      }
    })
    return this.limits.within(method, swapped)
  }

  private encode(
    { authoritative, entry, key, lifetime }: Backend.Write<Uint8Array>,
    stamp: number
  ): Either.Either<Put, SerializerError> {
    const encoded = Either.filterOrLeft(
      Either.flatMap(this.codec.encode(entry.value), (value) =>
        Envelope.v1.encode(withChecksum(new Entry(prependKey(key, value), { ...entry, stamp })))
      ),
      (bytes) => bytes.length <= this.maxBytes,
      () => tooLarge("Encode", this.maxBytes)
    )
    return Either.map(encoded, (bytes) => putOf(bytes, { lifetime, invalidates: authoritative }))
  }

  private stampOf(meta: Meta | undefined): number {
    return trustedStamp(meta, this.now())
  }
}
