/**
 * The read path of cached functions. A read is answered by the first of these that can: the memory of this process, the
 * pending write of the key, its running load, the backend, a new load.
 *
 * A hit in memory ends in `read`, without an allocation and without another step of the fiber. The later steps work on
 * a request object, which is made once the hit is ruled out.
 *
 * Concurrency. Other fibers, and other processes, change the key between the steps of a read. So every step checks
 * again what the previous step found: an answer of the backend counts only if the key did not change meanwhile, and
 * only if the entry belongs to this function, is not invalidated, and has not expired by then.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as Backend from "../../Backend.js"
import { CacheStoreError } from "../../CacheError.js"
import * as Entry from "../../Entry.js"
import { clockOf, nowOf } from "../time.js"
import type { Args, Definition, Timeouts } from "./definition.js"
import type { MissCause } from "./events.js"
import type { MarkTable } from "./io/markTable.js"
import type { PendingWrite } from "./io/pendingWrite.js"
import { answered, maxRetries, onAnswer, type ReadAnswer, type ReadBatcher, type Reading } from "./io/readBatcher.js"
import type { Renewals } from "./io/renewals.js"
import type { WriteQueue } from "./io/writeQueue.js"
import { LateReads } from "./lateReads.js"
import type { PlainRequest } from "./loads/flight.js"
import type { SingleFlight, StaleRead } from "./loads/singleFlight.js"
import { Deadline, hardOnly, limit, within } from "./loads/timeouts.js"
import { type Mode, modeOf } from "./mode.js"
import type { Ownership } from "./ownership.js"
import type { LoaderKeys } from "./peers/loaderKeys.js"
import { isHeld, type LocalTier } from "./peers/localTier.js"
import { bypassed, disabled, type Evidence, type Miss, type Reasons } from "./reasons.js"
import { dueAtOf } from "./refreshAhead.js"
import type { StoredEntries } from "./storedEntries.js"
import type { StoreRuntime } from "./storeRuntime.js"
import type { Telemetry } from "./telemetry.js"
import { annotate, isTraced, ReadSpan, readingMany } from "./tracing.js"
import { halfSecond, type WallClock } from "./wallClock.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** The property of a `CacheStore.Service` that holds its read path. */
export const ReadPathId: unique symbol = /*#__PURE__*/ Symbol.for("effect-cached/ReadPath") as never

export interface ReadPathParts {
  readonly backend: Backend.Backend
  readonly runtime: StoreRuntime
  readonly telemetry: Telemetry
  readonly wallClock: WallClock
  readonly marks: MarkTable
  readonly ownership: Ownership
  readonly localTier: LocalTier
  readonly loaderKeys: LoaderKeys
  readonly writeQueue: WriteQueue
  readonly readBatcher: ReadBatcher
  readonly stored: StoredEntries
  readonly singleFlight: SingleFlight
  readonly renewals: Renewals
  readonly reasons: Reasons
  /** Whether the spans of readers say how their reads were answered. */
  readonly annotates: boolean
}

/** The circumstances of a read. */
export interface ReadOptions {
  /** Where a read of many keys that has to wait for the backend is added. */
  readonly asked?: Array<Asked> | undefined
  /** The time limits of the read, if they have begun already. */
  readonly deadline?: Deadline | undefined
}

/** A read of many keys that has asked the backend, and waits for its answer. */
class Asked {
  readonly request: PlainRequest
  readonly reading: Reading

  constructor(request: PlainRequest, reading: Reading) {
    this.request = request
    this.reading = reading
  }
}

export class ReadPath {
  /** Identifies the store in the functions that it is read through, which may outlive it: it refers to nothing. */
  readonly identity: object = {}
  private closed = false
  /** The functions with a limit on their entries. */
  private readonly limited = new Set<string>()
  /** Whether a hit in memory takes more than its answer: the store has closed, or somebody wants to know of hits. */
  private diverts = false
  private readonly hits: Backend.Backend["hits"]
  private readonly unsafeGet: Backend.Backend["unsafeGet"]
  /** Whether the backend holds more than the memory of this process. */
  private readonly isRemote: boolean
  private readonly wallClock: WallClock
  private readonly marks: MarkTable
  private readonly ownership: Ownership
  private readonly localTier: LocalTier
  private readonly singleFlight: SingleFlight
  /** The reads with time limits that wait for the backend. */
  readonly lateReads: LateReads
  private readonly renewals: Renewals
  private readonly parts: ReadPathParts

  constructor(parts: ReadPathParts) {
    this.hits = parts.backend.hits
    this.unsafeGet = parts.backend.unsafeGet
    this.isRemote = parts.backend.remote
    this.wallClock = parts.wallClock
    this.marks = parts.marks
    this.ownership = parts.ownership
    this.localTier = parts.localTier
    this.singleFlight = parts.singleFlight
    this.lateReads = new LateReads(parts)
    this.renewals = parts.renewals
    this.parts = parts
    this.diverts = parts.annotates
  }

  /**
   * Reads a key, with a list of arguments or one argument. The list of one argument is made only after a miss in
   * memory. With `options.asked`, a read that has to wait for the backend is added there, and the result is not used.
   */
  read(
    fiber: AnyFiber,
    def: Definition,
    key: string,
    args: Args | undefined,
    arg?: unknown,
    options?: ReadOptions
  ): Effect.Effect<unknown, unknown, unknown> {
    if (def.store !== this.identity) this.adopt(def)
    const mode = modeOf(fiber)
    if (def.off || mode !== undefined) return this.readUncached(fiber, def, key, args ?? [arg], mode)
    const { hits, unsafeGet } = this
    if (hits !== undefined) {
      const now = nowOf(fiber)
      // the comparison of `check`, which costs no call here
      if (Math.abs(now - this.wallClock.middle) <= halfSecond) {
        const index = hits.hit(key, def.owner, this.marks.epoch, now)
        if (index !== -1) {
          if (this.diverts) {
            if (this.closed) return this.parts.telemetry.ended
            this.note(fiber, "hit", def, key, undefined)
          }
          def.counters.hit()
          return Exit.succeed(hits.valueAt(index))
        }
      }
    }
    if (unsafeGet !== undefined) {
      const entry = unsafeGet(key)
      if (entry !== undefined && this.admits(fiber, entry, def)) {
        const now = nowOf(fiber)
        if (!(Math.abs(now - this.wallClock.middle) <= halfSecond) && this.wallClock.check(now, clockOf(fiber))) {
          this.wallClock.adjust(entry)
        }
        if (now < entry.until) {
          if (this.diverts) {
            if (this.closed) return this.parts.telemetry.ended
            this.note(fiber, "hit", def, key, undefined)
          }
          def.counters.hit()
          return entry.success
        }
        const isFresh = now < Entry.freshEnd(entry)
        if ((isFresh || now < this.ownership.staleEndOf(entry, def, args, arg)) && isHeld(entry, now)) {
          if (this.closed) return this.parts.telemetry.ended
          if (isFresh) def.counters.hit()
          else def.counters.staleIn(undefined)
          if (this.diverts) this.note(fiber, isFresh ? "hit" : "stale", def, key, undefined)
          if (entry.extension !== undefined) this.renewals.used(key, entry, now)
          // checked before the request is made: most stale reads find their refresh in progress
          if ((!isFresh || this.isDue(entry, def, now)) && this.singleFlight.needsRefresh(def, key, now)) {
            const looksBelow = this.isRemote
            this.singleFlight.refreshBehind(fiber, { def, key, args: args ?? [arg], known: entry, looksBelow })
          }
          return entry.success
        }
        if (!this.isRemote) {
          const request = this.requestOf(fiber, def, key, args ?? [arg], options)
          return within(request.deadline, this.readRetained(fiber, request, entry, now))
        }
      }
      if (!this.isRemote) {
        const request = this.requestOf(fiber, def, key, args ?? [arg], options)
        return within(request.deadline, this.load(fiber, request, entry))
      }
    }
    const request = this.requestOf(fiber, def, key, args ?? [arg], options)
    const asked = options?.asked
    if (asked === undefined && isTraced(fiber)) return this.readTraced(fiber, request)
    return within(request.deadline, this.readRemote(fiber, request, 1, asked))
  }

  /** Reads a key that memory does not answer, with a span around what the backend is asked. */
  private readTraced(fiber: AnyFiber, request: PlainRequest): Effect.Effect<unknown, unknown, unknown> {
    const span = new ReadSpan(fiber, this.parts.telemetry)
    const read = within(request.deadline, this.readRemote(fiber, { ...request, span }, 1))
    return Exit.isExit(read) ? read : Effect.onExit(read, (exit) => Effect.sync(() => span.end(exit)))
  }

  /** Whether somebody wants to know of reads has changed. */
  observe(): void {
    this.diverts = this.closed || this.parts.annotates || this.parts.telemetry.events.isHeard
  }

  /** Tells those who want to know of it how a read was answered. */
  private note(
    fiber: AnyFiber,
    outcome: "hit" | "stale",
    { name }: Definition,
    key: string,
    tier: number | undefined
  ): void {
    const { annotates, telemetry } = this.parts
    telemetry.publishAnswer(outcome, key, name, tier)
    if (annotates) annotate(fiber, outcome, tier, telemetry)
  }

  /** Counts a read that the store has answered. */
  private answer(fiber: AnyFiber, outcome: "hit" | "stale", request: PlainRequest, tier: number | undefined): void {
    const { def, key, span } = request
    span?.judged(outcome, tier)
    if (outcome === "hit") def.counters.hitIn(tier)
    else def.counters.staleIn(tier)
    if (this.diverts) this.note(fiber, outcome, def, key, tier)
  }

  /** The read that is to load. `causeOf` says why, if anybody wants to know. */
  private missed(fiber: AnyFiber, request: PlainRequest, causeOf: () => MissCause): PlainRequest {
    const { annotates, telemetry } = this.parts
    request.span?.judged("miss", undefined)
    if (annotates) annotate(fiber, "miss", undefined, telemetry)
    return telemetry.events.isHeard ? { ...request, cause: causeOf() } : request
  }

  /** Answers a read with a load, because what it has found does not answer it. */
  private load(
    fiber: AnyFiber,
    request: PlainRequest,
    evidence: Evidence,
    tier?: number
  ): Effect.Effect<unknown, unknown, unknown> {
    const causeOf = () => this.parts.reasons.of(missOf(fiber, request, tier), evidence)
    return this.singleFlight.miss(fiber, this.missed(fiber, request, causeOf))
  }

  /** Waits for the load of a key that runs. Its reader has not looked into the backend, so the reason is that of the load. */
  private wait(fiber: AnyFiber, request: PlainRequest): Effect.Effect<unknown, unknown, unknown> {
    const { backend, reasons } = this.parts
    const { key } = request
    const causeOf = () =>
      this.singleFlight.causeOf(key) ??
      reasons.of(missOf(fiber, request), (backend.unsafePeek ?? backend.unsafeGet)?.(key))
    return this.singleFlight.miss(fiber, this.missed(fiber, request, causeOf))
  }

  private requestOf(fiber: AnyFiber, def: Definition, key: string, args: Args, options?: ReadOptions): PlainRequest {
    return def.timeouts === undefined
      ? { def, key, args, kind: "plain" }
      : { def, key, args, kind: "plain", deadline: options?.deadline ?? this.deadline(fiber, def.timeouts, def, key) }
  }

  /** The time limits of a read that begins now. */
  private deadline(fiber: AnyFiber, timeouts: Timeouts, { name }: Definition, key: string): Deadline {
    return new Deadline({ key, of: name, timeouts, clock: clockOf(fiber) }, this.parts.runtime)
  }

  /**
   * Whether a fresh entry in memory is due for a refresh ahead of time. If it is not, further reads of its function are
   * answered at once until it is, or until a read has to be recorded (`maxIdle`).
   */
  private isDue(entry: Entry.Entry, def: Definition, now: number): boolean {
    const dueAt = dueAtOf(entry, def)
    // for another function it may be due earlier
    if (entry.owner === def.owner) Entry.change(entry, { until: this.renewals.answersUntil(entry, dueAt, now) })
    return now >= dueAt
  }

  /**
   * Reads many keys, each with its list of arguments. The backend is asked for all of them before anything waits. A hit
   * needs no fiber of its own, and the loads of what is missing begin together.
   */
  readMany(
    fiber: AnyFiber,
    def: Definition,
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<Args>
  ): Effect.Effect<Array<unknown>, unknown, unknown> {
    const values = new Array<unknown>(keys.length)
    const asked: Array<Asked> = []
    // with time limits, each read waits for its own answer
    const options = def.timeouts === undefined ? { asked } : undefined
    const places: Array<number> = []
    const others: Array<Effect.Effect<unknown, unknown, unknown>> = []
    /** Keeps the value of a read, which is there already or has to be waited for. */
    const keep = (read: Effect.Effect<unknown, unknown, unknown>, at: number, waiting: typeof others) => {
      if (Exit.isExit(read) && Exit.isSuccess(read)) values[at] = read.value
      else
        waiting.push(
          Effect.map(read, (value) => {
            values[at] = value
          })
        )
    }
    for (let at = 0; at < keys.length; at++) {
      const read = this.read(fiber, def, keys[at]!, args[at]!, undefined, options)
      if (asked.length > places.length) places.push(at)
      else keep(read, at, others)
    }
    if (asked.length > 0) {
      const onAnswers = Effect.withFiberRuntime<void, unknown, unknown>((fiber) => {
        const missing: typeof others = []
        for (let i = 0; i < asked.length; i++) {
          const { reading, request } = asked[i]!
          keep(this.onAnswer(fiber, request, reading, 1), places[i]!, missing)
          reading.forget()
        }
        return together(missing)
      })
      const answers = answered(asked.map(({ reading }) => reading))
      others.push(Effect.zipRight(isTraced(fiber) ? readingMany(def.name, asked.length, answers) : answers, onAnswers))
    }
    return Effect.map(together(others), () => values)
  }

  /** Whether an entry in memory may answer. An entry of another function may only in an ownerless backend. */
  private admits(fiber: AnyFiber, entry: Entry.Entry, def: Definition): boolean {
    if (entry.owner === def.owner) {
      if (entry.epoch === this.marks.epoch) return true
      // an expiry counts from then on at the latest
      this.wallClock.check(nowOf(fiber), clockOf(fiber))
      return this.ownership.takes(entry, def) && this.localTier.isTrusted(entry)
    }
    return this.ownership.acceptsForeign(entry, def) && this.localTier.isTrusted(entry)
  }

  /** Makes this the store of a function. A function used with several stores is adopted again at each change. */
  adopt(def: Definition): void {
    this.renewals.check(def)
    def.store = this.identity
    this.ownership.compareLookup(def)
    this.parts.writeQueue.noteFlightTimeout(def.flightTimeout)
    def.counters = this.parts.telemetry.adopt(def.name, def.owner)
    if (def.lease > 0 && this.isRemote && this.parts.backend.lock === undefined) {
      this.parts.telemetry.recordNoLock(def.name)
    }
    this.limitEntries(def)
    if (def.policy === undefined) return
    this.parts.telemetry.recordPolicy(def.name, def.off)
    def.policy.use(def.name, this.parts.telemetry)
  }

  private limitEntries({ maxEntries, name, owner }: Definition): void {
    const { backend, telemetry } = this.parts
    const { limitEntries, remote, unsafeSet } = backend
    if (maxEntries < Number.POSITIVE_INFINITY) {
      this.limited.add(owner)
      if (limitEntries === undefined && (remote || unsafeSet !== undefined)) telemetry.recordNoMaxEntries(name)
    } else if (!this.limited.delete(owner)) return
    limitEntries?.(owner, maxEntries)
  }

  /** A read of a function that is switched off, or in a mode that does not look for an entry. */
  protected readUncached(
    fiber: AnyFiber,
    def: Definition,
    key: string,
    args: Args,
    mode: Mode | undefined
  ): Effect.Effect<unknown, unknown, unknown> {
    const { annotates, telemetry } = this.parts
    if (annotates) annotate(fiber, "miss", undefined, telemetry)
    const deadline = def.timeouts === undefined ? undefined : this.deadline(fiber, hardOnly(def.timeouts), def, key)
    const isAlone = def.off || mode === "bypass"
    return within(
      deadline,
      isAlone ? limit(deadline, this.alone(def, key, args)) : this.forced(def, key, args, deadline)
    )
  }

  /** Runs the lookup as it would run without a cache. */
  protected alone(def: Definition, key: string, args: Args): Effect.Effect<unknown, unknown, unknown> {
    const { telemetry } = this.parts
    if (this.closed) return telemetry.ended
    telemetry.publishMiss({ def, key }, def.off ? disabled : bypassed, false)
    return this.singleFlight.alone({ def, key, args, kind: "plain" })
  }

  /** Loads a key in any case, as `refresh` and `Cached.reload` do. A `refresh` has no time limits. */
  forced(def: Definition, key: string, args: Args, deadline?: Deadline): Effect.Effect<unknown, unknown, unknown> {
    if (def.store !== this.identity) this.adopt(def)
    return this.singleFlight.forced({ def, key, args, kind: "forced", deadline })
  }

  /** Reads a key that memory does not answer. */
  private readRemote(
    fiber: AnyFiber,
    request: PlainRequest,
    attempt: number,
    asked?: Array<Asked>
  ): Effect.Effect<unknown, unknown, unknown> {
    if (this.closed) return this.parts.telemetry.ended
    const { def, key } = request
    const { readBatcher, writeQueue } = this.parts
    const pending = writeQueue.newest(key)
    if (pending !== undefined) return this.judgePending(fiber, request, pending)
    if (this.singleFlight.hasLoadForReaders(fiber, def, key)) return this.wait(fiber, request)
    request.span?.begin(def.name, key)
    const reading = readBatcher.startRead(key, def, nowOf(fiber), def.maxIdle !== undefined)
    if (asked !== undefined) {
      asked.push(new Asked(request, reading))
      return Effect.never
    }
    if (request.deadline !== undefined) {
      return this.lateReads.answerTo(fiber, request, reading, (fiber) =>
        this.onAnswer(fiber, request, reading, attempt)
      )
    }
    return onAnswer(
      reading,
      Effect.withFiberRuntime((fiber) => this.onAnswer(fiber, request, reading, attempt))
    )
  }

  private onAnswer(
    fiber: AnyFiber,
    request: PlainRequest,
    answer: ReadAnswer,
    attempt: number
  ): Effect.Effect<unknown, unknown, unknown> {
    if (this.closed) return this.parts.telemetry.ended
    const { def, key } = request
    if (def.store !== this.identity) this.adopt(def)
    if (answer.superseded && attempt <= maxRetries) return this.readRemote(fiber, request, attempt + 1)
    const pending = this.parts.writeQueue.newest(key)
    if (pending !== undefined) return this.judgePending(fiber, request, pending)
    // the key changes faster than it can be read
    if (answer.superseded) return this.load(fiber, request, Number.NaN)
    const { found } = answer
    if (!(found instanceof CacheStoreError)) {
      const judged = found === undefined ? request : withDead(request, found.stamp)
      const entry = this.parts.stored.entryOf(key, answer, def)
      return this.judge(fiber, judged, entry, found ?? answer.tombstone, answer.tier)
    }
    return def.strict ? Effect.fail(found) : this.judge(fiber, request, this.lateReads.lastKnown(fiber, key), found)
  }

  /** Answers with the write of a key that the backend has not confirmed. */
  private judgePending(
    fiber: AnyFiber,
    request: PlainRequest,
    pending: PendingWrite
  ): Effect.Effect<unknown, unknown, unknown> {
    const entry = this.pendingEntry(pending)
    if (entry !== undefined) return this.judge(fiber, request, entry, entry)
    const causeOf = () => this.parts.reasons.ofPending(missOf(fiber, request), pending)
    return this.singleFlight.miss(fiber, this.missed(fiber, request, causeOf))
  }

  /**
   * The entry of a write that the backend has not confirmed. While no notifications arrive, another process may have
   * changed the key unnoticed, so the entry counts no longer than a copy in memory does.
   */
  private pendingEntry(pending: PendingWrite): Entry.Entry | undefined {
    const { coherence } = this.localTier
    return coherence === undefined || coherence.isCurrent(pending.asked) ? pending.answer : undefined
  }

  /** Answers with an entry if it is usable, otherwise with a load. `evidence` is what was found, entry or not. */
  private judge(
    fiber: AnyFiber,
    request: PlainRequest,
    entry: Entry.Entry | undefined,
    evidence: Evidence,
    tier?: number
  ): Effect.Effect<unknown, unknown, unknown> {
    const { args, def, key } = request
    const now = nowOf(fiber)
    // before the marks are compared: an expiry counts from then on at the latest
    this.wallClock.check(now, clockOf(fiber))
    if (entry !== undefined && this.ownership.accepts(entry, def)) {
      this.wallClock.adjust(entry)
      if (now < Entry.freshEnd(entry)) {
        this.renewals.used(key, entry, now)
        this.answer(fiber, "hit", request, tier)
        const isDue = now >= dueAtOf(entry, def)
        if (isDue && this.singleFlight.needsRefresh(def, key, now)) {
          this.singleFlight.refreshBehind(fiber, { def, key, args, known: entry, looksBelow: false, tier })
        }
        return entry.success
      }
      if (now < this.ownership.staleEndOf(entry, def, args)) {
        return this.serveStale(fiber, request, { def, key, args, known: entry, looksBelow: false, tier }, now)
      }
      return this.readRetained(fiber, request, entry, now, tier)
    }
    return this.load(fiber, request, evidence, tier)
  }

  /**
   * Reads a key that has an entry past its stale end. If the entry has not expired, it answers in place of a load that
   * fails, and of every load until the pause after that is over. The reader of a background loader keeps what was expired.
   */
  private readRetained(
    fiber: AnyFiber,
    request: PlainRequest,
    entry: Entry.Entry,
    now: number,
    tier?: number
  ): Effect.Effect<unknown, unknown, unknown> {
    const { def, key } = request
    if (def.keeps(entry, now)) {
      if (this.closed) return this.parts.telemetry.ended
      this.answer(fiber, "stale", request, tier)
      return entry.success
    }
    if (this.closed || now >= this.ownership.endOf(entry, def, request.args)) {
      return this.load(fiber, def.isConditional ? { ...request, expired: entry } : request, entry, tier)
    }
    this.renewals.used(key, entry, now)
    if (!this.singleFlight.isPaused(key, now)) return this.load(fiber, { ...request, retained: entry }, entry, tier)
    this.answer(fiber, "stale", request, tier)
    return entry.success
  }

  /** Answers with a stale entry and starts its refresh, unless one runs (law 9: stale is served only while allowed). */
  private serveStale(
    fiber: AnyFiber,
    request: PlainRequest,
    stale: StaleRead,
    now: number
  ): Effect.Effect<unknown, unknown, unknown> {
    if (this.closed) return this.parts.telemetry.ended
    this.answer(fiber, "stale", request, stale.tier)
    this.renewals.used(stale.key, stale.known, now)
    if (this.singleFlight.needsRefresh(stale.def, stale.key, now)) this.singleFlight.refreshBehind(fiber, stale)
    return stale.known.success
  }

  close(): void {
    this.closed = true
    this.observe()
    this.lateReads.close()
  }
}

/** A read of which the reason of its miss is asked for. */
const missOf = (fiber: AnyFiber, { args, def, key }: PlainRequest, tier?: number): Miss => ({
  def,
  key,
  args,
  now: nowOf(fiber),
  tier
})

/** A request whose read has found what it may not be able to use. Only a failure to store has to know. */
const withDead = (request: PlainRequest, dead: number | undefined): PlainRequest =>
  request.def.failures === undefined ? request : { ...request, dead }

/** Runs effects at the same time, each in a fiber of its own if there are several. */
const together = (
  effects: ReadonlyArray<Effect.Effect<unknown, unknown, unknown>>
): Effect.Effect<unknown, unknown, unknown> =>
  effects.length === 0
    ? Effect.void
    : effects.length === 1
      ? effects[0]!
      : Effect.all(effects, { concurrency: "unbounded", discard: true })
