/**
 * The metrics, events and warnings of one store.
 *
 * A fault of the cache never reaches a caller, so it must be visible here: every fault is counted, and becomes one of
 * the `problems` of the store, which are logged and listed in `health`. This keeps law 18 (nothing wrong is silent).
 */
import type * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Redacted from "effect/Redacted"
import type { CacheStoreError, SerializerError } from "../../CacheError.js"
import type { CacheEvent, RemovalCause } from "../../CacheEvent.js"
import { Counters, StoreCounters } from "../../CacheMetrics.js"
import type { Name } from "../../CacheProblem.js"
import type { FailedOperation, TimedOperation } from "../../CacheStats.js"
import type { Meter } from "../meter.js"
import { Problems, type ReportOptions } from "../problems.js"
import { segmentOf } from "../report.js"
import { BackgroundRuns } from "./backgroundRuns.js"
import { countBuild } from "./builds.js"
import type { Events, MissCause } from "./events.js"
import { type Operation, Outages } from "./outages.js"
import type { StoreRuntime } from "./storeRuntime.js"
import { KeyHashes } from "./tracing.js"

/** The most function names that get their own counters. Further names share the counters of `other`. */
export const maxNames = 256

/** The most owners of entries that are kept apart: their evictions are counted per function. */
export const maxOwners = 4_096

/** For how many milliseconds no refresh of a function must have failed before a success ends their outage. */
const refreshOutageEnd = 60_000

/** For how many milliseconds after the Layer has closed its users may still be ending. */
const closeGrace = 1_000

/** Whether an operation has reached the backend, as far as its end tells. */
const isSent = (exit: Exit.Exit<unknown, CacheStoreError>): boolean =>
  !(exit._tag === "Failure" && exit.cause._tag === "Fail" && exit.cause.error.reason === "Disconnected")

export interface TelemetryOptions {
  /** The store's name. */
  readonly store: string
  /** Labels on every metric, beside `store`, `cache`, `cause` and `tier`. */
  readonly labels: Readonly<Record<string, string>>
  /** The secret of `KeyHashes`. Default: a random one. */
  readonly keyHashSecret?: Redacted.Redacted | undefined
  /** The names of the tiers, the fastest first. Empty if there is only one. */
  readonly tiers: ReadonlyArray<string>
  /**
   * Whether the backend reports failures per tier (`Backend.attach`); those of the whole are then not reported again.
   */
  readonly isTiered: boolean
  readonly meter: Meter
  readonly events: Events
}

/** A function that this store was used by. */
interface Adopted {
  readonly name: string
  readonly counters: Counters
}

interface MissedRead {
  readonly def: { readonly name: string }
  readonly key: string
}

export class Telemetry {
  /** The counters of the whole store. */
  readonly totals: StoreCounters
  /** The counters of each function. */
  readonly byName = new Map<string, Counters>()
  /** The functions, by the owner that their entries carry. */
  private readonly byOwner = new Map<string, Adopted>()
  /** The runs of background loaders, by the name of their function. */
  readonly background = new Map<string, BackgroundRuns>()
  readonly store: string
  readonly events: Events
  /** Publishes an event to `CacheStore.events`, if anyone subscribes to it. */
  readonly publish: (event: () => CacheEvent) => void
  readonly problems: Problems
  private readonly outages: Outages
  /** What spans contain of keys. */
  readonly keyHashes: KeyHashes
  /** When a refresh of a function failed last, until `RefreshesFail` has ended for it. */
  private readonly refreshFailures = new Map<string, number>()
  /** When the Layer closed, on the live clock. Mutable by design. */
  closedAt = Number.POSITIVE_INFINITY
  private readonly runtime: StoreRuntime
  private readonly tiers: ReadonlyArray<string>
  private readonly isTiered: boolean
  /** The tags of every metric of the store. */
  readonly tags: Readonly<Record<string, string>>
  readonly meter: Meter

  constructor(runtime: StoreRuntime, options: TelemetryOptions) {
    this.runtime = runtime
    this.store = options.store
    this.tiers = options.tiers
    this.isTiered = options.isTiered
    this.events = options.events
    this.publish = options.events.publish
    this.tags = { store: options.store, ...options.labels }
    this.meter = options.meter
    this.totals = new StoreCounters(this.tags, options.meter, options.isTiered)
    this.keyHashes = new KeyHashes(options.keyHashSecret)
    this.problems = new Problems(options.store, (effect) => runtime.log(effect))
    const { problems, publish, store } = this
    this.outages = new Outages({ problems, publish, runtime, store })
  }

  /** Counts that the store was built. */
  countBuild(clock: Clock.Clock): void {
    const { isFirst, isTooOften } = countBuild(this.store, clock)
    if (!isTooOften) return
    this.problems.report(
      "BuiltTooOften",
      "",
      `${this.store}: this store was built more than ten times within a minute. A store that is built per request ` +
        "begins empty, so it never hits. Provide its Layer once, where the program starts (Effect.provide at the top, " +
        "or a ManagedRuntime). If these are different stores, give them different names.",
      { isLogged: isFirst }
    )
  }

  /** The counters of a function. */
  countersOf(name: string): Counters {
    let counters = this.byName.get(name)
    if (counters === undefined) {
      if (this.byName.size >= maxNames && name !== "other") {
        this.report(
          "TooManyFunctions",
          "",
          `more than ${maxNames} cached functions have names of their own: the metrics of further ones are added up ` +
            'as "other". Use fewer names, and none that contains data of a request.'
        )
        return this.countersOf("other")
      }
      counters = new Counters(name, this.tags, this.tiers, this.meter)
      this.byName.set(name, counters)
    }
    return counters
  }

  /** The counters of a function, whose entries carry `owner`. */
  adopt(name: string, owner: string): Counters {
    const known = this.byOwner.get(owner)
    if (known?.name === name) return known.counters
    const counters = this.countersOf(name)
    if (known !== undefined || this.byOwner.size < maxOwners) this.byOwner.set(owner, { name, counters })
    return counters
  }

  /**
   * The owners that entries of the functions with a name carry: one for each `version`. Empty if no function of that name
   * has used this store. `getOrSet` has a name and no owner.
   */
  ownersOf(name: string): ReadonlyArray<string> {
    return Array.from(this.byOwner).flatMap(([owner, known]) => (owner !== "" && known.name === name ? [owner] : []))
  }

  /** The names of the functions that have used this store, if their counters are of nothing else. */
  get functionNames(): ReadonlySet<string> {
    const names = new Set<string>()
    const shared = new Set<string>()
    for (const [owner, { counters, name }] of this.byOwner) {
      if (counters.name !== name) shared.add(counters.name)
      else if (owner !== "") names.add(name)
    }
    for (const name of shared) names.delete(name)
    return names
  }

  /** The runs of the background loaders of a function. */
  runsOf(name: string): BackgroundRuns {
    const label = this.countersOf(name).name
    let runs = this.background.get(label)
    if (runs === undefined) {
      runs = new BackgroundRuns()
      this.background.set(label, runs)
    }
    return runs
  }

  /** A key was removed as the user has asked for: by a function, or through the store. */
  recordRemoval(name: string | undefined): void {
    const counters = name === undefined ? this.totals : this.countersOf(name)
    counters.remove()
  }

  /** A value was stored: one of a function, or one that was set through the store. */
  recordSet(key: string, name: string | undefined): void {
    const counters = name === undefined ? this.totals : this.countersOf(name)
    counters.set()
    if (!this.events.wantsRead()) return
    this.events.send(name === undefined ? { _tag: "Set", key } : { _tag: "Set", key, name })
  }

  /**
   * Records how long an operation of the backend took. One that was not sent, because there is no connection, took no
   * time that says anything.
   */
  recordTime(operation: TimedOperation, began: number, exit: Exit.Exit<unknown, CacheStoreError>): void {
    if (!isSent(exit)) return
    this.totals.times.record(operation, this.runtime.now() - began)
  }

  /** A listener was more events behind than are kept for it. */
  recordEventsLost(lost: number): void {
    this.report(
      "EventsLost",
      "",
      `a listener has lost ${lost} events, because more came than it could take before its callbacks ran again: what it ` +
        "counts is too low. Use `eventSampling`, or the metrics and statistics of the store, which count everything."
    )
  }

  /** An entry has left memory. */
  recordRemoved(key: string, owner: string, cause: RemovalCause): void {
    this.totals.evict(cause)
    const known = this.byOwner.get(owner)
    if (known !== undefined) known.counters.evictions[cause]++
    this.publish(() => ({ _tag: "Removed", key, cause }))
  }

  /** The name of the tier that answered, if there are several. What no tier answered, the memory of this process did. */
  readonly tierName = (tier: number | undefined): string | undefined => this.tiers[tier ?? 0]

  /** A read was answered by the store. Called where somebody subscribes to the events. */
  publishAnswer(outcome: "hit" | "stale", key: string, name: string, tier: number | undefined): void {
    if (!this.events.wantsRead()) return
    const _tag = outcome === "hit" ? "Hit" : "Stale"
    const answeredBy = this.tierName(tier)
    this.events.send(answeredBy === undefined ? { _tag, key, name } : { _tag, key, name, tier: answeredBy })
  }

  /** A read was not answered by the store. */
  publishMiss({ def, key }: MissedRead, cause: MissCause, coalesced: boolean): void {
    if (this.events.wantsRead()) this.events.send({ _tag: "Miss", key, name: def.name, ...cause, coalesced })
  }

  /** Whether an operation failed when it last ran. */
  get isFailing(): boolean {
    return this.outages.areAny
  }

  /** An operation of the backend failed. */
  recordFailure(operation: Operation, error: CacheStoreError): void {
    if (this.isTiered && operation !== "lock") return
    this.count(operation, error, false)
    this.outages.begin(operation, "", error)
  }

  /** An operation of one tier failed. */
  recordTierFailure(tier: string, operation: Operation, error: CacheStoreError): void {
    this.count(operation, error, true)
    this.outages.begin(operation, tier, error)
  }

  /**
   * A part of the backend failed while the rest answered. Logged once until the backend reports that it is up again.
   */
  recordPartialFailure(operation: Operation, error: CacheStoreError): void {
    if (this.isTiered) return
    this.count(operation, error, false)
    this.problems.report(
      "PartFails",
      "",
      `${error.message}. Only some keys are affected: until that part works again, reads of these keys run their ` +
        "lookups and the values are not stored. Check the part of the backend that holds them."
    )
  }

  /** An operation of the backend, or of one of its tiers, succeeded. */
  recordSuccess(operation: Operation, tier = ""): void {
    this.outages.end(operation, tier)
  }

  /** A sweep did not reach the end of a tier, or of the whole backend. */
  recordSweepFailure(tier: string, error: CacheStoreError | undefined): void {
    if (error !== undefined) this.count("sweep", error, tier !== "")
    this.report(
      "SweepFails",
      tier,
      error === undefined
        ? `${tier === "" ? "this store" : `the tier ${tier}`} cannot list its entries, so \`sweep\` frees nothing there. ` +
            "Dead entries are freed when they are overwritten, or as the backend itself expires them."
        : `${error.message}. The sweep ended before its time, so dead entries are still stored. Check that the backend is ` +
            "reachable and lets this store list and delete entries, and run it again."
    )
  }

  /** The backend reports that it is up again, so every outage is over. */
  recordUp(): void {
    this.problems.end("PartFails", "")
    this.outages.endAll()
  }

  private count(operation: FailedOperation, error: CacheStoreError, isCountedByTier: boolean): void {
    this.totals.storeError(operation, error.reason, isCountedByTier)
    this.publish(() => ({ _tag: "StoreFailed", method: error.method, reason: error.reason }))
  }

  /** Notifications of other processes' changes do not arrive. `consequence` is the end of "until they do". */
  notificationsLost(consequence: string): void {
    this.begin(
      "NoNotifications",
      "",
      `notifications of other processes' changes do not arrive. Until they do, ${consequence}. ` +
        "Check the connection to the backend."
    )
  }

  notificationsRestored(): void {
    this.end("NoNotifications", "", "notifications of other processes' changes arrive again")
  }

  /**
   * Stored bytes are not an entry of the function that reads them. They are a miss and get overwritten: law 12 (garbage
   * heals). The store itself reads without an owner.
   */
  recordUndecodable(error: SerializerError, owner: string | undefined): void {
    this.totals.decodeFailure()
    const name = owner ?? ""
    this.report(
      "EntryUnreadable",
      name,
      `a stored entry${name === "" ? "" : ` of ${name}`} could not be read: ${error.message}. It is a miss, and the next load overwrites it. ` +
        "If this repeats, check whether another program writes under the same keys, or whether a schema changed " +
        "without a new `version`."
    )
  }

  /**
   * The backend cannot hold a value, for a reason that names the path in it: law 7 (every value comes back equal, or is
   * not stored). `name` is the function's, or empty for a value that was written through the store.
   */
  recordRefused(key: string, name: string, message: string): void {
    this.totals.refuse()
    this.report(
      "ValueRefused",
      name,
      name === ""
        ? `a value that was set was not stored, and its key is now absent: ${message}. ` +
            "Change the value, or give a schema, so that it can be stored."
        : `a value of ${name} was returned but not stored, so every read of it loads: ${message}. ` +
            "Change the value, or give the function a schema, so that it can be stored."
    )
    this.publish(() => ({ _tag: "Removed", key, cause: "capacity" }))
  }

  /** Memory did not take a value, and has told of it as an entry that left. `name` is that of `recordRefused`. */
  recordTooHeavy(name: string): void {
    this.totals.refuse()
    this.report(
      "ValueRefused",
      name,
      name === ""
        ? "a value that was set was not stored, and its key is now absent: it is too heavy. Raise `maxWeight`, set a lighter " +
            "value, or correct `weigh`."
        : `a value of ${name} was returned but not stored, so every read of it loads: it is too heavy. Raise ` +
            "`maxWeight`, cache a lighter value, or correct `weigh`."
    )
  }

  /** The backend cannot hold the error of a failure that was to be stored (`failures.schema`). */
  recordRefusedFailure(name: string, message: string): void {
    this.totals.refuse()
    this.report(
      "ValueRefused",
      name,
      `a failure of ${name} was not stored for other processes, so each of them loads: ${message}. Correct the schema in ` +
        "`failures`, or let its `ttl` return zero for such errors."
    )
  }

  /**
   * A refresh behind a stale value failed at `now`, or a load that an old value answered or that went on without readers:
   * no reader sees it. The failures of a function are one problem until a load succeeds after a minute without a failure:
   * where only some keys fail, others succeed all the time.
   */
  recordRefreshFailure(
    name: string,
    now: number,
    cause: Cause.Cause<unknown>,
    { hasOldValue, isLogged }: ReportOptions & { readonly hasOldValue: boolean }
  ): void {
    if (this.refreshFailures.has(name) || this.refreshFailures.size < maxNames) this.refreshFailures.set(name, now)
    this.problems.begin(
      "RefreshesFail",
      name,
      `${this.store}: ` +
        (hasOldValue
          ? `a refresh of ${name} failed: its old value is served while it lasts, and a later read tries again. `
          : `a load of ${name} that went on after its readers had timed out failed: a later read tries again. `) +
        "Check what its lookup depends on. Each failure is in the events of the store and in the spans.",
      { isLogged, cause }
    )
  }

  /** A refresh took longer than its `flightTimeout`. */
  recordRefreshTooLong(name: string): void {
    this.report(
      "RefreshTooLong",
      name,
      `a refresh of ${name} took longer than its flightTimeout and was interrupted. Its stale value is served while ` +
        "it lasts, and a later read tries again. Raise flightTimeout if such loads are expected."
    )
  }

  /** A load took longer than its `flightTimeout`: its value was delivered, or all its readers had timed out before. */
  recordLoadTooLong(name: string, result: "delivered" | "abandoned"): void {
    const what =
      result === "delivered"
        ? "took longer than its flightTimeout: its callers have its value, but it was not stored"
        : "went on after its readers had timed out, took longer than its flightTimeout and was interrupted"
    this.report("LoadTooLong", name, `a load of ${name} ${what}. Raise flightTimeout if such loads are expected.`)
  }

  /** A load of a function succeeded at `now`. */
  recordLoaded(name: string, now: number): void {
    const failedAt = this.refreshFailures.get(name)
    if (failedAt === undefined || now - failedAt < refreshOutageEnd) return
    this.refreshFailures.delete(name)
    if (!this.problems.end("RefreshesFail", name)) return
    this.runtime.log(Effect.logInfo(`${this.store}: the refreshes of ${name} succeed again`))
  }

  /** A value reached the backend so late that what would have rejected it may be gone. */
  recordLate(name: string, isSet: boolean): void {
    this.totals.refuse()
    this.report(
      "WriteLate",
      name,
      isSet
        ? "a value that was set reached the backend too late to be ordered, and its key is now absent, so the next " +
            "read loads. That is expected after an outage. Without one, the backend is slow, or the clock of its server " +
            "was changed: check both."
        : `a loaded value of ${name} reached the backend more than its flightTimeout after its load had begun, and was ` +
            "not stored. Raise flightTimeout if such loads are expected. If they are not, the backend is slow, or the " +
            "clock of its server was changed."
    )
  }

  /** A leader wrote after its lease had ended, and the backend refused the write. */
  recordFenced(name: string): void {
    this.totals.refuse()
    this.report(
      "WriteFenced",
      name,
      `the writer of ${name} had lost its lease: the value it loaded was not stored, and another process may lead ` +
        "now. If this repeats, use a longer `lease`."
    )
  }

  /** A function was used under a `CachePolicy`, which may switch its caching off. */
  recordPolicy(name: string, isOff: boolean): void {
    if (!isOff) this.end("CachingOff", name)
    else {
      this.begin(
        "CachingOff",
        name,
        `the CachePolicy gives ${name} a ttl of zero, so nothing of it is cached and every call runs its lookup. ` +
          "If that is not meant, set a ttl above zero for it."
      )
    }
  }

  /** An exception of a `CachePolicy` names no function. */
  policyNameUnused(name: string, reason: string, options?: ReportOptions): void {
    const message = `the CachePolicy has an exception for ${JSON.stringify(name)}, which has no effect: ${reason}.`
    this.problems.begin("PolicyNameUnused", name, `${this.store}: ${message}`, options)
  }

  policyNameUsed(name: string): void {
    this.problems.end("PolicyNameUnused", name)
  }

  /** Two functions use the same key, which is almost always a mistake. */
  warnSharedKey(owner: string, reader: string): void {
    const [a, b] = [owner, reader].sort().map((name) => JSON.stringify(name))
    this.report(
      "KeyShared",
      `${a} and ${b}`,
      `two functions share a key: ${a} and ${b}. The entries of each are misses for the other, which overwrites ` +
        "them. Give both the same `name` to share entries, or change one key."
    )
  }

  /** The key of a function leaves out properties of a record, so records that differ in these share an entry. */
  warnIncompleteKey(name: string, properties: ReadonlyArray<string>): void {
    const which = properties.map((property) => `{${segmentOf(property).replace(/^\./, "")}}`).join(", ")
    // a state, because the key is compared with the first record only
    this.begin(
      "KeyIncomplete",
      name,
      `the key of ${name} leaves out ${which} of its first argument: calls that differ in nothing else share an entry. ` +
        "Mention what changes the value, or use a key function. If nothing of it does, give `ignore: [0]`."
    )
  }

  /** Two functions with different lookups have the same identity, so each returns what the other loaded. */
  warnSharedName(owner: string, ...lookups: ReadonlyArray<string>): void {
    const [a, b] = lookups.map((name) => (name === "" ? "an anonymous function" : name))
    // a state, because the lookups are compared only once
    this.begin(
      "NameShared",
      owner,
      `two different lookups, ${a} and ${b}, are cached as ${JSON.stringify(owner)}: each returns what the other loaded. ` +
        "Give each its own key, or give both the same `name` if they load the same values."
    )
  }

  /** Reports an event to the user: see `Problems`. */
  report(name: Name, subject: string, message: string, options?: ReportOptions): void {
    this.problems.report(name, subject, `${this.store}: ${message}`, options)
  }

  /** Reports a state, which lasts until `end`. */
  begin(name: Name, subject: string, message: string, options?: ReportOptions): void {
    this.problems.begin(name, subject, `${this.store}: ${message}`, options)
  }

  /** Ends a state, and logs `message` at Info if its beginning was logged. */
  end(name: Name, subject: string, message?: string): void {
    if (!this.problems.end(name, subject) || message === undefined) return
    this.runtime.log(Effect.logInfo(`${this.store}: ${message}`))
  }

  /**
   * The end of an operation that was called after the Layer had closed: its fiber is interrupted. The fibers that were
   * running when it closed are no mistake, so only later calls are reported.
   */
  get ended(): Effect.Effect<never> {
    if (this.runtime.now() - this.closedAt >= closeGrace) {
      this.report(
        "UsedAfterClose",
        "",
        "this store was used after its Layer had closed, so the fibers that use it are interrupted. Keep the Layer " +
          "open for as long as anything is cached in it: provide it around the whole program, not around one effect."
      )
    }
    return Effect.interrupt
  }

  /** A function asks for a lock, which this backend does not have. */
  recordNoLock(name: string): void {
    this.begin(
      "NoLock",
      name,
      `${name} asks for a lock among processes, and this store has none: each process loads for itself. ` +
        "Use a store with locks, such as Redis, or leave the option out."
    )
  }

  recordNoMaxEntries(name: string): void {
    this.begin(
      "NoMaxEntries",
      name,
      `${name} has \`maxEntries\`, and nothing of this store is in memory: the entries of the function are not limited. ` +
        "Put memory in front of the store with TieredCache, limit the store itself, or leave the option out."
    )
  }

  /** This process lost the lock of a key before it gave it back. */
  recordLockLost(name: string, consequence: string): void {
    this.report(
      "LockLost",
      name,
      `this process lost the lock of ${name} before its lease was renewed: ${consequence}. If this repeats, use a ` +
        "longer lease, and check whether the process is blocked or the backend slow."
    )
  }
}
