/**
 * The entries of a store in memory. Each has a record of 56 bytes in one growing buffer, with its times, its stamp, its
 * owner and its place in the queues of the eviction policy; its key and its value stand in two arrays. There is no object
 * per entry: an `Entry` is made where the engine needs one, which a hit does not. What few entries have stands in arrays
 * that are made when the first entry has it: tags, extension, state as a copy, an end of freshness that is not the end of
 * reads that are answered at once, and steps of the wall clock.
 *
 * An index is not kept across an asynchronous step, because another entry may have it afterwards. An `Entry` may be kept:
 * it knows its key and its record, and a change of it (`Entry.change`) reaches the record only while that still says the
 * same as the `Entry` did.
 *
 * Dead entries, which have expired or which a mark has invalidated, go first. Each write checks eight neighbouring
 * records for expiry, and two of them for marks, so dead entries are removed even if nobody reads them, without a
 * background task.
 */
import type * as Backend from "../../../Backend.js"
import type { RemovalCause } from "../../../CacheEvent.js"
import { type Copy, Entry, type Extension, type Holder, lifeEnd, noTags } from "../../../Entry.js"
import { Cleared } from "./cleared.js"
import * as Eviction from "./eviction.js"
import { hashOf } from "./hash.js"
import { Limits, type List } from "./limits.js"
import { Owners } from "./owners.js"
import type { Policy } from "./policy.js"
import * as Fields from "./record.js"

/** How many records each write checks for expiry, and for marks. */
const expiryChecks = 8
const markChecks = 2

/** How many entries of a function leave at most with one write. More are above its limit when that is set late. */
const mostLimited = 16

/** The room of the first buffer, in records, and by how much it grows each time. */
const firstRoom = 64
const growth = 1.5

/** The memory of records is given back if fewer than one in eight is in use, unless it is little. */
const sparse = 8
const littleRoom = 1_024

/** The most elements that V8 reserves for an array in one step. A longer one grows by itself, and would be a dictionary. */
const largestArray = 32 * 1_024 * 1_024

/** What few entries have. */
interface Rare {
  readonly tags: ReadonlyArray<string>
  readonly extension: Extension | undefined
  readonly copy: Copy | undefined
}

/** An entry as marks see it, and as those who are told of its removal do. It is read before anything else happens. */
class Cursor implements Backend.Marked {
  index = 0
  private readonly store: MemoryStore

  constructor(store: MemoryStore) {
    this.store = store
  }

  at(index: number): this {
    this.index = index
    return this
  }

  get owner(): string {
    return this.store.ownerOf(this.index)
  }

  get stamp(): number {
    return this.store.stampOf(this.index)
  }

  get tags(): ReadonlyArray<string> {
    return this.store.tagsOf(this.index)
  }

  get epoch(): number {
    return this.store.epochOf(this.index)
  }
}

export interface Options {
  /** The largest number of entries, or with `weigh` the largest weight of all entries together. */
  readonly capacity: number
  readonly eviction: Eviction.Eviction
  /** How much a value weighs. One that weighs `Infinity` is not stored. */
  readonly weigh?: ((value: unknown, key: string) => number) | undefined
  readonly seed: number
}

/** When an entry expires, by its times and what few entries have. */
const endIn = (f64: Float64Array, index: number, rare: Rare | undefined): number => {
  const times = index * Fields.f64Length
  const expiresAt = f64[times + Fields.expiresAt]!
  const extension = rare?.extension
  return extension === undefined
    ? expiresAt
    : lifeEnd({ createdAt: f64[times + Fields.createdAt]!, expiresAt, extension })
}

/** The first `used` elements of an array, in one with room for so many and, unlike one that grew, no more. */
const resized = <A>(array: ReadonlyArray<A>, used: number, room: number): Array<A> => {
  const copy = new Array<A>(Math.min(room, largestArray))
  for (let index = 0; index < used; index++) copy[index] = array[index]!
  return copy
}

export class MemoryStore implements Holder {
  /** The index of each key. */
  private indices = new Map<string, number>()
  private f64 = new Float64Array(0)
  i32 = new Int32Array(0)
  private keys: Array<string | undefined> = []
  private values: Array<unknown> = []
  private rare: Array<Rare | undefined> | undefined = undefined
  /** The end of freshness of each entry whose record does not tell it; `NaN`: it does. */
  private freshEnds: Array<number> | undefined = undefined
  /** By how much the wall clock had been set back when the times of each record were last right; `NaN`: not known. */
  private backs: Array<number> | undefined = undefined
  private owners = new Owners()
  private readonly cursor = new Cursor(this)
  /** How many entries are about to come, if that is known. */
  private expected = 0
  /** The records that were ever in use are those below `used`. */
  private used = 0
  /** The first of the free records below `used`, each of which names the next; -1 if there is none. */
  private free = -1
  /** The next record to check for expiry. */
  private sweeper = 0
  /** The largest weight of all entries together, which is their number unless `weigh` is given. */
  private readonly capacity: number
  private readonly weigh: Options["weigh"]
  private readonly policy: Policy
  /** The entries of functions with a limit of their own; `undefined` until there is one. */
  private limits: Limits | undefined = undefined
  /** What `clear` has removed. */
  private readonly removed: Cleared
  /** Every entry with a stamp up to this one is invalidated. */
  private floor = Number.NEGATIVE_INFINITY
  /** The latest stamp that an entry has had here. */
  private latest = Number.NEGATIVE_INFINITY
  /** The number of entries with a stamp up to `floor`. */
  private cleared = 0
  /** Whether a background loader of a key runs. Mutable by design, as the next one. */
  hasLoader: (key: string) => boolean = () => false
  /** Whether a mark has invalidated an entry. Mutable by design: `followMarks` of the backend sets it. */
  isInvalidated: (entry: Backend.Marked) => boolean = () => false
  /** Called for each entry that leaves. Mutable by design: `onRemoved` of the backend sets it. */
  listener: (key: string, cause: RemovalCause, entry: Backend.Marked) => void = () => {}

  constructor({ capacity, eviction, seed, weigh }: Options) {
    this.capacity = capacity
    this.weigh = weigh
    this.policy = Eviction.make(this, eviction, { capacity, seed, weighted: weigh !== undefined })
    this.removed = new Cleared((key) => hashOf(key, seed))
  }

  /** The number of entries, without those that `clear` has invalidated. */
  get size(): number {
    return this.indices.size - this.cleared
  }

  // ------------------------------------------------------------------------------------------------------------- reads

  /**
   * The index of an entry that answers a read at `now` as it is: it belongs to the reader's function, was compared with
   * the marks of this epoch, and its first read found that further reads until then need nothing else. -1 if there is
   * none. Without an owner, whose entry it is does not matter.
   */
  hit(key: string, owner: string | undefined, epoch: number, now: number): number {
    const index = this.indices.get(key)
    if (index === undefined) return -1
    const { i32 } = this
    const at = index * Fields.i32Length
    if (
      i32[at + Fields.epoch] !== epoch ||
      !(now < this.f64[index * Fields.f64Length + Fields.until]!) ||
      (owner !== undefined && this.owners.names[i32[at + Fields.owner]!] !== owner)
    ) {
      return -1
    }
    if ((i32[at + Fields.word]! & Fields.hitMask) !== this.policy.generation) this.touched(index)
    return index
  }

  /** The value of an entry that `hit` has found. */
  valueAt(index: number): unknown {
    return this.values[index]
  }

  get(key: string): Entry | undefined {
    const index = this.indices.get(key)
    if (index === undefined) return undefined
    const word = this.i32[index * Fields.i32Length + Fields.word]!
    if ((word & Fields.hitMask) !== this.policy.generation) this.touched(index)
    return this.entryAt(index)
  }

  private touched(index: number): void {
    this.policy.touched(index)
    if (this.limits === undefined) return
    const list = this.limits.of(this.ownerOf(index))
    if (list !== undefined) this.limits.used(list, index)
  }

  /** As `get`, and is no use of the entry. */
  peek(key: string): Entry | undefined {
    const index = this.indices.get(key)
    return index === undefined ? undefined : this.entryAt(index)
  }

  /** All entries that are here at the beginning, dead ones included. Entries may come and go meanwhile. */
  *all(): Generator<Entry> {
    const { indices } = this
    let left = indices.size
    for (const index of indices.values()) {
      // after a `clear` they are no longer here
      if (left-- === 0 || this.indices !== indices) return
      yield this.entryAt(index)
    }
  }

  private entryAt(index: number): Entry {
    const { f64, i32 } = this
    const times = index * Fields.f64Length
    const until = f64[times + Fields.until]!
    const rare = this.rare?.[index]
    const entry = new Entry(this.values[index], {
      stamp: f64[times + Fields.stamp]!,
      createdAt: f64[times + Fields.createdAt]!,
      freshUntil: this.freshEndOf(index),
      expiresAt: f64[times + Fields.expiresAt]!,
      owner: this.ownerOf(index),
      tags: rare === undefined ? noTags : rare.tags,
      extension: rare?.extension
    })
    entry.epoch = i32[index * Fields.i32Length + Fields.epoch]!
    entry.until = until < 0 ? Number.NEGATIVE_INFINITY : until
    entry.copy = rare?.copy
    const back = this.backs === undefined ? 0 : this.backs[index]!
    entry.clockBack = Number.isNaN(back) ? undefined : back
    entry.key = this.keys[index]
    entry.index = index
    entry.holder = this
    return entry
  }

  ownerOf(index: number): string {
    return this.owners.names[this.i32[index * Fields.i32Length + Fields.owner]!]!
  }

  stampOf(index: number): number {
    return this.f64[index * Fields.f64Length + Fields.stamp]!
  }

  tagsOf(index: number): ReadonlyArray<string> {
    return this.rare?.[index]?.tags ?? noTags
  }

  epochOf(index: number): number {
    return this.i32[index * Fields.i32Length + Fields.epoch]!
  }

  private freshEndOf(index: number): number {
    const { freshEnds } = this
    const own = freshEnds === undefined ? Number.NaN : freshEnds[index]!
    return Number.isNaN(own) ? Math.abs(this.f64[index * Fields.f64Length + Fields.until]!) : own
  }

  /** When an entry expires. */
  private endOf(index: number): number {
    return endIn(this.f64, index, this.rare?.[index])
  }

  // ------------------------------------------------------------------------------------------------------------ writes

  /** Returns `false` if the value is too heavy, which removes the one before it. */
  set(key: string, entry: Entry, now: number): boolean {
    if (entry.stamp > this.latest) this.latest = entry.stamp
    const weight = this.weigh === undefined ? 1 : this.weigh(entry.value, key)
    const before = this.indices.get(key)
    if (weight > this.capacity || weight === Number.POSITIVE_INFINITY) {
      if (before !== undefined) this.drop(before, this.endOf(before) <= now ? "expired" : "replaced")
      this.listener(key, "capacity", entry)
      return false
    }
    if (before === undefined) this.insert(key, entry, now, weight)
    else this.replace(before, entry, now, weight)
    return true
  }

  private replace(index: number, entry: Entry, now: number, weight: number): void {
    const { policy } = this
    this.listener(this.keys[index]!, this.endOf(index) <= now ? "expired" : "replaced", this.cursor.at(index))
    if (this.stampOf(index) <= this.floor) this.cleared--
    const list = this.listOf(index)
    if (list !== undefined) this.limits!.remove(list, index)
    this.owners.release(this.i32[index * Fields.i32Length + Fields.owner]!)
    this.write(index, entry)
    if (this.weigh !== undefined) policy.reweigh(index, weight)
    // a write counts as a use
    policy.touched(index)
    const limited = this.listOf(index)
    if (limited !== undefined) {
      this.limits!.add(limited, index)
      this.reduce(limited, limited.most, now)
    }
    this.makeRoom(0, now)
    this.sweep(now, index)
  }

  private insert(key: string, entry: Entry, now: number, weight: number): void {
    const { policy } = this
    const hash = policy.hash(key)
    policy.missed(hash)
    if (!this.removed.isEmpty) this.removed.forget(key, now)
    this.sweep(now, -1)
    const list = this.limits?.of(entry.owner)
    if (list !== undefined) this.reduce(list, list.most - 1, now)
    this.makeRoom(weight, now)
    const index = this.allocate()
    this.keys[index] = key
    this.indices.set(key, index)
    this.i32[index * Fields.i32Length + Fields.hash] = hash
    this.write(index, entry)
    policy.add(index, weight)
    if (list !== undefined) this.limits!.add(list, index)
  }

  /** Lets the entries of a function leave that were used longest ago, until there are at most so many. */
  private reduce(list: List, most: number, now: number): void {
    for (let left = mostLimited; left > 0 && list.size > most; left--) {
      const { oldest } = list
      this.drop(oldest, this.endOf(oldest) <= now ? "expired" : "capacity")
    }
  }

  /** Limits the number of entries of an owner. Those that are here already leave with its next writes. */
  limitEntries(owner: string, most: number): void {
    if (most === Number.POSITIVE_INFINITY) return this.limits?.lift(owner)
    this.limits ??= new Limits(this)
    // a scan, once for a function that comes to a store with entries of its own: those of a snapshot
    if (!this.limits.set(owner, most) || !this.owners.has(owner)) return
    const list = this.limits.of(owner)!
    for (const index of this.indices.values()) if (this.ownerOf(index) === owner) this.limits.add(list, index)
  }

  private listOf(index: number): List | undefined {
    return this.limits?.of(this.ownerOf(index))
  }

  /** Evicts entries until one of this weight fits. */
  private makeRoom(weight: number, now: number): void {
    const { policy } = this
    while (policy.size > 0 && policy.weight + weight > this.capacity) {
      const victim = policy.victim(weight)
      this.drop(victim, this.endOf(victim) <= now ? "expired" : "capacity")
    }
  }

  /** Writes a record. The owner of the entry before must have been released. */
  private write(index: number, entry: Entry): void {
    const { f64, i32 } = this
    const times = index * Fields.f64Length
    f64[times + Fields.stamp] = entry.stamp
    i32[index * Fields.i32Length + Fields.owner] = this.owners.add(entry.owner)
    this.values[index] = entry.value
    if (entry.stamp <= this.floor) this.cleared++
    this.writeState(index, entry)
  }

  /** Writes what may change of an entry while it is here. */
  private writeState(index: number, entry: Entry): void {
    const { f64, i32 } = this
    const times = index * Fields.f64Length
    f64[times + Fields.expiresAt] = entry.expiresAt
    f64[times + Fields.createdAt] = entry.createdAt
    this.writeEnds(index, entry)
    // an epoch beyond 31 bits would not be equal to any: such an entry is compared with the marks at each read
    i32[index * Fields.i32Length + Fields.epoch] = entry.epoch
    this.writeRare(index, entry)
    const back = entry.clockBack ?? Number.NaN
    if (this.backs === undefined && back !== 0) this.backs = new Array(this.used).fill(0)
    if (this.backs !== undefined) this.backs[index] = back
  }

  /** Writes until when an entry is fresh, and until when reads are answered at once. */
  private writeEnds(index: number, { freshUntil, until }: Entry): void {
    const told = until === Number.NEGATIVE_INFINITY ? -freshUntil : until
    // a sign tells nothing below zero, where times may be after a clock was set back
    const isTold = freshUntil > 0 && Math.abs(told) === freshUntil
    this.f64[index * Fields.f64Length + Fields.until] = isTold ? told : until
    if (this.freshEnds === undefined && !isTold) this.freshEnds = new Array(this.used).fill(Number.NaN)
    if (this.freshEnds !== undefined) this.freshEnds[index] = isTold ? Number.NaN : freshUntil
  }

  private writeRare(index: number, { copy, extension, tags }: Entry): void {
    if (tags.length === 0 && extension === undefined && copy === undefined) {
      if (this.rare !== undefined) this.rare[index] = undefined
      return
    }
    this.rare ??= new Array(this.used).fill(undefined)
    this.rare[index] = { tags, extension, copy }
  }

  /** Whether the record of an entry still says what the entry does. */
  holds(entry: Entry): boolean {
    if (entry.key === undefined) return false
    if (this.keys[entry.index] !== entry.key) {
      // its record may have moved
      const moved = this.indices.get(entry.key)
      if (moved === undefined) return false
      entry.index = moved
    }
    const { index } = entry
    const { f64 } = this
    const times = index * Fields.f64Length
    const rare = this.rare?.[index]
    return (
      f64[times + Fields.stamp] === entry.stamp &&
      f64[times + Fields.createdAt] === entry.createdAt &&
      this.freshEndOf(index) === entry.freshUntil &&
      f64[times + Fields.expiresAt] === entry.expiresAt &&
      rare?.copy === entry.copy &&
      rare?.extension === entry.extension &&
      this.values[index] === entry.value
    )
  }

  /** Writes a change of an entry, which the store held before it. */
  save(entry: Entry): void {
    this.writeState(entry.index, entry)
  }

  /** A record that is not in use. */
  private allocate(): number {
    const { free } = this
    if (free !== -1) {
      this.free = this.i32[free * Fields.i32Length + Fields.newer]!
      return free
    }
    const index = this.used++
    if (index * Fields.f64Length >= this.f64.length) this.grow()
    return index
  }

  private grow(): void {
    const room = this.f64.length / Fields.f64Length
    const most = this.weigh === undefined ? this.capacity : Number.POSITIVE_INFINITY
    // not before it is that full, since what is sparse is given back
    const reserved = this.expected < room * sparse ? this.expected : 0
    this.resize(Math.min(most, Math.max(firstRoom, Math.ceil(room * growth), reserved)))
  }

  /**
   * Makes room for so many entries in one step, once the store has an eighth of them: copying a large buffer takes longer
   * than an event loop should wait.
   */
  reserve(entries: number): void {
    this.expected = entries
  }

  /** Gives the records in use a buffer with room for so many. */
  private resize(room: number): void {
    const buffer = new ArrayBuffer(room * Fields.bytes)
    const f64 = new Float64Array(buffer)
    const used = Math.min(room, this.used)
    f64.set(this.f64.subarray(0, used * Fields.f64Length))
    this.f64 = f64
    this.i32 = new Int32Array(buffer)
    this.keys = resized(this.keys, used, room)
    this.values = resized(this.values, used, room)
  }

  // ---------------------------------------------------------------------------------------------------------- removals

  remove(key: string): boolean {
    const index = this.indices.get(key)
    if (!this.removed.isEmpty) this.removed.forget(key, Number.NEGATIVE_INFINITY)
    if (index === undefined) return false
    this.drop(index, "explicit")
    return true
  }

  /** Removes an entry that a sweep has found dead. Returns `false` if it is not here any more, or stays. */
  removeDead(entry: Entry, cause: RemovalCause): boolean {
    if (!this.holds(entry) || this.staysForLoader(entry.index)) return false
    this.drop(entry.index, cause)
    return true
  }

  /**
   * Invalidates every entry with a stamp up to `floor`. The entries here are older, as a rule: they are removed at once,
   * and `leave` lets them leave. Where one is newer, all of them stay until they are found dead: it would take a scan to
   * tell them apart.
   */
  clear(floor: number): void {
    if (floor <= this.floor || floor < this.latest) return
    this.floor = floor
    const { f64, i32, indices, rare } = this
    if (indices.size === 0) return
    this.empty()
    this.removed.add({
      indices,
      onLeft: (key, index, now) => {
        const at = index * Fields.i32Length
        const number = i32[at + Fields.owner]!
        this.listener(key, endIn(f64, index, rare?.[index]) <= now ? "expired" : "explicit", {
          owner: this.owners.names[number]!,
          stamp: f64[index * Fields.f64Length + Fields.stamp]!,
          tags: rare?.[index]?.tags ?? noTags,
          epoch: i32[at + Fields.epoch]!
        })
        this.owners.release(number)
      }
    })
  }

  /** Lets up to so many of the entries leave that `clear` has removed. Returns how many are left. */
  leave(most: number, now: number): number {
    this.removed.leave(most, now)
    return this.removed.size
  }

  /** Whether `clear` has removed a key, and nothing has been stored or removed under it since. */
  wasCleared(key: string): boolean {
    return this.removed.has(key)
  }

  /** Removes everything, without a word. */
  end(): void {
    this.empty()
    this.removed.end()
    this.limits = undefined
    this.owners = new Owners()
    this.listener = () => {}
    this.isInvalidated = () => false
    this.hasLoader = () => false
  }

  /** Begins again without entries, in new memory. */
  private empty(): void {
    this.policy.clear()
    this.limits?.clear()
    this.indices = new Map()
    this.f64 = new Float64Array(0)
    this.i32 = new Int32Array(0)
    this.keys = []
    this.values = []
    this.rare = undefined
    this.freshEnds = undefined
    this.backs = undefined
    this.expected = 0
    this.used = 0
    this.free = -1
    this.sweeper = 0
    this.cleared = 0
  }

  /** Removes the dead among the next records, except one that is being set: that may be an expired one, see `expiry.ts`. */
  private sweep(now: number, set: number): void {
    for (let checked = 0; checked < expiryChecks; checked++) {
      if (this.sweeper >= this.used) this.sweeper = 0
      const index = this.sweeper++
      if (index === set || this.keys[index] === undefined) continue
      if (this.endOf(index) <= now) {
        if (!this.staysForLoader(index)) this.drop(index, "expired")
      } else if (checked < markChecks && this.isInvalidated(this.cursor.at(index))) this.drop(index, "explicit")
    }
    if (!this.removed.isEmpty) this.leave(expiryChecks, now)
    if (this.indices.size * sparse * Fields.f64Length < this.f64.length) this.shrink()
  }

  /** Whether an entry was expired before its time, and its readers keep it until their loader has loaded. */
  private staysForLoader(index: number): boolean {
    const { f64 } = this
    const times = index * Fields.f64Length
    return f64[times + Fields.expiresAt]! <= f64[times + Fields.createdAt]! && this.hasLoader(this.keys[index]!)
  }

  /** Moves the records together and gives back the memory of the others, if most of them are not in use. */
  shrink(): void {
    const { keys, policy, values } = this
    const { size } = this.indices
    const room = this.f64.length / Fields.f64Length
    if (room <= littleRoom || size * sparse >= room) return
    let to = 0
    for (let from = this.used - 1; from >= size; from--) {
      const key = keys[from]
      if (key === undefined) continue
      while (keys[to] !== undefined) to++
      const at = from * Fields.f64Length
      this.f64.copyWithin(to * Fields.f64Length, at, at + Fields.f64Length)
      policy.move(from, to)
      const list = this.listOf(to)
      if (list !== undefined) this.limits!.move(list, from, to)
      keys[to] = key
      values[to] = values[from]
      if (this.rare !== undefined) this.rare[to] = this.rare[from]
      if (this.freshEnds !== undefined) this.freshEnds[to] = this.freshEnds[from]!
      if (this.backs !== undefined) this.backs[to] = this.backs[from]!
      this.indices.set(key, to)
    }
    this.used = size
    this.free = -1
    this.sweeper = 0
    if (this.rare !== undefined) this.rare.length = size
    if (this.freshEnds !== undefined) this.freshEnds.length = size
    if (this.backs !== undefined) this.backs.length = size
    this.resize(Math.max(littleRoom, size * 2))
    policy.shrink()
    this.limits?.shrink()
  }

  /** Removes an entry, and notifies the listener. */
  private drop(index: number, cause: RemovalCause): void {
    const key = this.keys[index]!
    const list = this.listOf(index)
    if (list !== undefined) this.limits!.remove(list, index)
    this.policy.remove(index)
    this.indices.delete(key)
    this.listener(key, cause, this.cursor.at(index))
    if (this.stampOf(index) <= this.floor) this.cleared--
    const at = index * Fields.i32Length
    this.owners.release(this.i32[at + Fields.owner]!)
    this.keys[index] = undefined
    this.values[index] = undefined
    if (this.rare !== undefined) this.rare[index] = undefined
    this.i32[at + Fields.newer] = this.free
    this.free = index
  }
}
