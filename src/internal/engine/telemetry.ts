/**
 * What a store has to say: counts always, words once. No fault inside the cache reaches a caller, and none is silent.
 */
import * as Effect from "effect/Effect"
import type { CacheStoreError, SerializerError } from "../../CacheError.js"
import type { CacheEvent } from "../../CacheEvent.js"
import { Counters, StoreCounters } from "../../CacheMetrics.js"
import type { StoreRuntime } from "./storeRuntime.js"

/** the most names that get counters of their own; further ones share `other` */
const maxNames = 256

/** what an operation was for */
export type Kind = "read" | "write" | "mark" | "lock"

const consequence: Record<Kind, string> = {
  read: "reads load",
  write: "nothing is stored, and what was set or invalidated is delivered later",
  mark: "what was cleared is so in this process, and in others later",
  lock: "every process loads for itself"
}

export class Telemetry {
  readonly totals: StoreCounters
  readonly byName = new Map<string, Counters>()
  /** the kinds of operation that failed last time: a store may answer reads and refuse writes */
  private readonly failing = new Set<string>()
  private isPartial = false
  readonly store: string
  readonly publish: (event: () => CacheEvent) => void
  private readonly runtime: StoreRuntime
  private readonly tiers: ReadonlyArray<string>
  private readonly tags: Readonly<Record<string, string>>

  constructor(
    store: string,
    labels: Readonly<Record<string, string>>,
    runtime: StoreRuntime,
    publish: (event: () => CacheEvent) => void,
    tiers: ReadonlyArray<string>
  ) {
    this.tiers = tiers
    this.store = store
    this.runtime = runtime
    this.publish = publish
    this.tags = { store, ...labels }
    this.totals = new StoreCounters(this.tags)
  }

  countersOf(name: string): Counters {
    let counters = this.byName.get(name)
    if (counters === undefined) {
      if (this.byName.size >= maxNames && name !== "other") {
        this.warnOnce("names", `more than ${maxNames} names of functions, further ones count as "other"`)
        return this.countersOf("other")
      }
      counters = new Counters(name, this.tags, this.tiers)
      this.byName.set(name, counters)
    }
    return counters
  }

  /** a part of the medium failed while others answered: said once until the medium says that it is there again */
  failedPartly(error: CacheStoreError): void {
    this.count(error)
    if (this.isPartial) return
    this.isPartial = true
    this.runtime.log(Effect.logWarning(`${error.message}, in part: keys that live there are as in an outage`))
  }

  private count(error: CacheStoreError, tier?: string): void {
    this.totals.storeError(tier !== undefined)
    this.publish(() => ({ _tag: "StoreFailed", method: error.method, reason: error.reason }))
  }

  /** counted always, said once per outage; a lost connection without a cause is the client's to tell, it knows the host */
  failed(kind: Kind, error: CacheStoreError, tier?: string): void {
    this.count(error, tier)
    const what = tier === undefined ? kind : `${tier} ${kind}`
    if (this.failing.has(what)) return
    this.failing.add(what)
    if (error.reason !== "Disconnected" || error.cause !== undefined) {
      this.runtime.log(Effect.logWarning(`${error.message}; until it does, ${consequence[kind]}`))
    }
  }

  answered(kind: Kind, tier?: string): void {
    if (this.failing.size > 0 && this.failing.delete(tier === undefined ? kind : `${tier} ${kind}`)) this.recovered()
  }

  /** the medium is there again, whatever failed before */
  up(): void {
    this.isPartial = false
    if (this.failing.size === 0) return
    this.failing.clear()
    this.recovered()
  }

  /** what other processes do cannot be heard */
  deaf(blindTtl: number): void {
    this.runtime.log(
      Effect.logWarning(
        `${this.store}: other processes cannot be heard; until they are, copies in memory count for ${blindTtl} ms at most`
      )
    )
  }

  heard(): void {
    this.runtime.log(Effect.logInfo(`${this.store}: other processes are heard again`))
  }

  get isFailing(): boolean {
    return this.failing.size > 0
  }

  private recovered(): void {
    if (this.failing.size > 0) return
    this.runtime.log(Effect.logInfo(`${this.store}: the store answers again`))
    this.publish(() => ({ _tag: "StoreUp" }))
  }

  /** bytes that are no entry (law 12) */
  garbage(error: SerializerError): void {
    this.totals.decodeFailure()
    this.warnOnce("garbage", `an entry could not be read and is taken as a miss: ${error.message}`)
  }

  /** a value that cannot be kept, named with its path (laws 7 and 17) */
  refused(key: string, name: string, message: string): void {
    this.totals.refuse()
    this.warnOnce(`refused:${name}`, `a value of ${name || "the store"} was delivered but not stored: ${message}`)
    this.publish(() => ({ _tag: "Removed", key, cause: "capacity" }))
  }

  /** a leader wrote after its lease, and was refused */
  fenced(key: string): void {
    this.totals.refuse()
    this.warnOnce(`fenced:${key}`, `the writer of "${key}" had lost its lease: what it loaded meanwhile was not stored`)
  }

  /** two functions on one key are a mistake worth a word */
  foreign(owner: string, reader: string): void {
    const [a, b] = [owner, reader].sort().map((name) => JSON.stringify(name))
    this.warnOnce(
      `owner:${a}:${b}`,
      `two functions share a key: ${a} and ${b}. Each takes the other's entries as misses. ` +
        "Give both the same `name` to share them, or change one key."
    )
  }

  warnOnce(subject: string, message: string): void {
    this.runtime.warnOnce(subject, `${this.store}: ${message}`)
  }
}
