/**
 * The invalidation marks in Redis: reading them, raising them, and noticing that another process raised some.
 *
 * Every batch of reads brings the head of the marks along. Its version counts raises, so marks are fetched only when
 * the head differs from the one that this process saw last.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError } from "../../../CacheError.js"
import type { Header } from "../../../Entry.js"
import { defaultLoad, lifespanOf, rounded } from "../../lifespans.js"
import { everything, isTooLong } from "../../markNames.js"
import { PendingMarks } from "../pendingMarks.js"
import type { Connection } from "./connection.js"
import type { Count } from "./count.js"
import type { Keys } from "./keys.js"
import * as MarkScripts from "./markScripts.js"
import type { Args, Script } from "./scriptParts.js"

type Marks = Effect.Effect<Backend.Marks | undefined, CacheStoreError>

/**
 * The number of milliseconds after which a process that knows marks uses all their keys again. A Redis that evicts what
 * was not used for long would otherwise evict them first.
 */
const useEvery = 60_000

export interface Options {
  readonly connection: Connection
  readonly keys: Keys
  /** The count from which marks get their stamps. Without it they get the time of the server. */
  readonly count: Count | undefined
  /** How many marks are kept apart. */
  readonly maxMarks: number
}

export class RedisMarks {
  private readonly pending = new PendingMarks()
  /** The head as this process saw it last: floor, version, and when marks were last lost. Mutable by design. */
  private head = ""
  /** Whether any mark was ever raised, as far as this process knows. Mutable by design. */
  private hasMarks = false
  /** The longest lifespan of an entry that this process has written or read. Mutable by design. */
  private lifespan = 0
  /** What of it Redis knows. Mutable by design. */
  private announced = 0
  /** When all keys of the marks were last used by this process, on the monotonic clock. Mutable by design. */
  private usedAt = Number.NEGATIVE_INFINITY
  /** The highest count, or without one the latest time of the server, that an answer had. Mutable by design. */
  latest = 0
  private readonly options: Options

  constructor(options: Options) {
    this.options = options
  }

  /** Fetches the marks before the connection counts as open. */
  get prepare(): Effect.Effect<void, CacheStoreError> {
    const { connection } = this.options
    const fetch: Effect.Effect<void, CacheStoreError> = Effect.suspend(() =>
      this.untilAll(
        () => connection.runFirst("marks", this.script, this.keys, this.args([])),
        () => fetch
      )
    )
    return fetch
  }

  get read(): Marks {
    return Effect.map(this.run("marks", []), () => this.pending.take())
  }

  /** Fetches the marks if `head`, which came with a batch of reads, differs from the head that was seen last. */
  readIfChanged(head: string | undefined): Marks {
    if (head !== this.head) return this.readAgain
    const { use } = this
    return use === undefined ? Exit.succeed(this.pending.take()) : Effect.map(use, () => this.pending.take())
  }

  /** Fetches the marks for a batch of reads. The script also restores a count that was lost. */
  get readAgain(): Marks {
    return Effect.map(this.run("getMany", []), () => this.pending.take())
  }

  raise(raised: ReadonlyArray<Backend.Mark>): Effect.Effect<Backend.Marks, CacheStoreError> {
    const names = this.carried(
      raised.map(({ expires, name }) => (expires === undefined ? name : `x ${expires} ${name}`))
    )
    const given = raised.flatMap(({ follows, stamp }) => (follows === true ? [stamp] : []))
    return Effect.map(this.run("raise", names, given.length === 0 ? undefined : Math.max(...given)), () => {
      const [floor, , lost] = this.head.split(" ").map(Number)
      return this.pending.takeRaised(raised, { floor: floor!, lost: lost! })
    })
  }

  /**
   * The names to raise. No entry of `Envelope.v1`, the envelope with a count, can carry a name that is too long; another
   * envelope might, and then every entry is invalidated.
   */
  private carried(names: ReadonlyArray<string>): ReadonlyArray<string> {
    if (!names.some(isTooLong)) return names
    const others = names.filter((name) => !isTooLong(name))
    return this.options.count === undefined ? [...others, everything] : others
  }

  /** Notes an entry that was written or read. `load` is how many milliseconds its load may have taken. */
  note(entry: Header, load?: number): void {
    const lifespan = lifespanOf(entry, load)
    if (lifespan > this.lifespan) this.lifespan = rounded(lifespan)
  }

  /** Uses the keys of the marks, or announces a longer lifespan: see `internal/lifespans.ts`. `undefined` if not due. */
  get use(): Effect.Effect<void> | undefined {
    return this.isUseDue ? Effect.ignore(this.run("marks", [])) : undefined
  }

  private get isUseDue(): boolean {
    if (!this.hasMarks) return false
    const { connection, count } = this.options
    const isAnnounced = this.lifespan <= this.announced || count === undefined
    return !isAnnounced || connection.now() - this.usedAt >= useEvery
  }

  /** `given`: the stamp for the marks, if another tier has given them one. */
  private run(method: string, raise: ReadonlyArray<string>, given?: number): Effect.Effect<void, CacheStoreError> {
    const { connection } = this.options
    return Effect.suspend(() =>
      this.untilAll(
        () => connection.run(method, this.script, this.keys, this.args(raise, given)),
        () => this.run(method, [])
      )
    )
  }

  /** Learns an answer, and asks `again` while there are more marks than one answer has. */
  private untilAll(
    ask: () => Effect.Effect<unknown, CacheStoreError>,
    again: () => Effect.Effect<void, CacheStoreError>
  ): Effect.Effect<void, CacheStoreError> {
    const { lifespan } = this
    return Effect.flatMap(ask(), (found) => {
      const isMore = this.learn(found as Answer)
      // without marks, Redis does not keep it
      if (this.hasMarks) this.announced = Math.max(this.announced, lifespan)
      return isMore ? again() : Effect.void
    })
  }

  private get script(): Script {
    return this.options.count === undefined ? MarkScripts.marksByTime : MarkScripts.marks
  }

  private get keys(): ReadonlyArray<string> {
    const { count, keys } = this.options
    return count === undefined ? keys.marks : [...keys.marks, keys.lifespans, keys.count]
  }

  /** What this process has seen of the marks; then the marks to raise, and the count that was seen. */
  private args(raise: ReadonlyArray<string>, given?: number): Args {
    const { connection, count, maxMarks } = this.options
    const [, version = "0", history] = this.head.split(" ")
    this.usedAt = connection.now()
    const known = `${version} ${this.hasMarks ? history : "-"} ${maxMarks}`
    // a number that Lua reads
    const lifespan = Math.min(Math.max(this.lifespan, defaultLoad), 1e300)
    if (count === undefined) return [known, ...raise]
    return [
      given === undefined ? `${known} ${lifespan}` : `${known} ${lifespan} ${given}`,
      ...raise,
      String(count.seen)
    ]
  }

  /** Keeps what an answer says, and returns whether there are more marks. */
  private learn([floor, version, lost, now, raised, isLoss, buckets, repaired, isMore]: Answer): boolean {
    this.options.count?.observe(Number(now))
    this.latest = Math.max(this.latest, Number(now))
    this.head = `${floor} ${version} ${lost}`
    if (raised.length > 0 || buckets.length > 0 || Number(floor) > 0) this.hasMarks = true
    this.pending.add({
      floor: Number(floor),
      lost: Number(lost),
      isLoss: isLoss === "1",
      isRepaired: Number(repaired) > 0,
      raised: pairs(raised),
      buckets: pairs(buckets).filter(([bucket]) => bucket !== "#")
    })
    return isMore === "1"
  }
}

type Answer = readonly [
  floor: string,
  version: string,
  lost: string,
  now: string,
  raised: ReadonlyArray<string>,
  isLoss: string,
  buckets: ReadonlyArray<string>,
  repaired: string,
  isMore: string
]

/** The names and stamps of a list that has them by turns. */
const pairs = (list: ReadonlyArray<string>): ReadonlyArray<readonly [string, number]> =>
  Array.from({ length: list.length / 2 }, (_, i) => [list[2 * i]!, Number(list[2 * i + 1])] as const)
