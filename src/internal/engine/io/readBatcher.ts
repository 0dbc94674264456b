/**
 * The reads of a remote backend. All reads of one turn of the scheduler are sent as one `getMany`, and a key that is
 * being read is not read twice.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Scheduler from "effect/Scheduler"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError } from "../../../CacheError.js"
import { Entry } from "../../../Entry.js"
import { toStoreError } from "../../storeError.js"
import type { StoreRuntime } from "../storeRuntime.js"
import type { Telemetry } from "../telemetry.js"

/** The most keys in one batch. */
export const maxBatch = 128

/**
 * How often a read asks the backend again because its answer was superseded. Without a limit, a key that changes more
 * often than a round trip takes would never be read.
 */
export const maxRetries = 3

/** The answer to one read. */
export interface ReadAnswer {
  readonly found: Backend.Found
  /** The key may have changed since it was asked for, so the answer may be too old. */
  readonly superseded: boolean
  /** The stamp of the tombstone of the key. */
  readonly tombstone: number | undefined
  /** The tier that answered, if there are several. */
  readonly tier: number | undefined
}

/**
 * What one reader gets: the answer to the read of its key, which it may share with other readers.
 *
 * The classes here contain no literals of objects or arrays, and a reader calls `forget` once it has what was found. V8
 * allocates the literals of a place in the old generation once many of them have survived a collection, which happens to
 * a large batch. Entries that such an object refers to would survive with it until the next full collection.
 */
export class Reading implements ReadAnswer {
  isAnswered = false
  found: Backend.Found = undefined
  superseded = false
  tombstone: number | undefined = undefined
  tier: number | undefined = undefined
  /** The next reader of the same read. Mutable by design. */
  next: Reading | undefined = undefined
  private resume: (() => void) | undefined = undefined

  /** Calls `resume` once, when there is an answer. */
  whenAnswered(resume: () => void): void {
    if (this.isAnswered) resume()
    else this.resume = resume
  }

  settle(found: Backend.Found, superseded: boolean, tombstone: number | undefined, tier: number | undefined): void {
    this.found = found
    this.superseded = superseded
    this.tombstone = tombstone
    this.tier = tier
    this.isAnswered = true
    this.resume?.()
    this.resume = undefined
  }

  /** Drops what was found, once the reader has it. */
  forget(): void {
    this.found = undefined
  }
}

/** The read of one key, from the moment it is asked for. */
class PendingRead implements Backend.Read {
  readonly key: string
  readonly schema: Backend.AnySchema | undefined
  readonly owner: string | undefined
  readonly stale: number | undefined
  readonly now: number | undefined
  readonly renews: boolean
  readonly failures: Backend.Reader["failures"]
  /** The next read in progress of the same key. Mutable by design. */
  next: PendingRead | undefined
  /**
   * The latest stamp of the changes of the key since it was asked for; infinite if a change has no known stamp. Mutable
   * by design.
   */
  changedAt = Number.NEGATIVE_INFINITY
  /** Its readers, in the order in which they came. Mutable by design. */
  first: Reading | undefined = undefined
  private last: Reading | undefined = undefined

  constructor(key: string, reader: EntryReader, now: number | undefined, renews: boolean, next?: PendingRead) {
    const { failures, owner, schema, stale, staleIfError = 0 } = reader
    this.key = key
    this.schema = schema
    this.owner = owner
    this.stale = staleIfError > 0 ? Math.max(stale ?? 0, staleIfError) : stale
    this.now = now
    this.renews = renews
    this.failures = failures
    this.next = next
  }

  /** Whether the key has not changed since it was asked for. Only then can others join. */
  get isCurrent(): boolean {
    return this.changedAt === Number.NEGATIVE_INFINITY
  }

  join(): Reading {
    const reading = new Reading()
    if (this.last === undefined) this.first = reading
    else this.last.next = reading
    this.last = reading
    return reading
  }
}

export const answerTo = (reading: Reading): Effect.Effect<ReadAnswer> => onAnswer(reading, Effect.succeed(reading))

/** Waits for an answer, and goes on with an effect. */
export const onAnswer = <A, E, R>(reading: Reading, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.async((resume) => reading.whenAnswered(() => resume(effect)))

/** Waits for all answers. One effect for all of them, since a step of the fiber for each would cost more than decoding. */
export const answered = (readings: ReadonlyArray<Reading>): Effect.Effect<void> =>
  Effect.async((resume) => {
    let left = readings.length
    const onAnswer = () => {
      if (--left === 0) resume(Effect.void)
    }
    for (const reading of readings) reading.whenAnswered(onAnswer)
  })

/** The reports of a read batcher, made before the waiters are answered. */
export interface ReadListener {
  /** The backend answered a batch. */
  readonly onAnswers: (answers: Backend.Answers) => void
  /**
   * A read is answered, and no change is known that may be later than the answer. Called at that moment, before anything
   * can supersede the answer.
   */
  readonly onFound: (read: Backend.Read, found: Backend.Found, tier: number | undefined) => void
}

/** The reader of an entry. One with `staleIfError` also reads what answers in place of a load that fails. */
export interface EntryReader extends Backend.Reader {
  readonly staleIfError?: number | undefined
}

/** Whether two readers get the same from the bytes of an entry. */
const isSameFor = (one: Backend.Reader, other: Backend.Reader): boolean =>
  one.schema === other.schema && one.failures?.schema === other.failures?.schema

export class ReadBatcher {
  /** The reads in progress, by key. Those of one key are linked by `next`, the latest first. */
  private readonly pending = new Map<string, PendingRead>()
  /** The reads of this turn of the scheduler. */
  private batch: Array<PendingRead> = []
  private readonly backend: Backend.Backend
  private readonly runtime: StoreRuntime
  private readonly telemetry: Telemetry
  private readonly listener: ReadListener

  constructor(backend: Backend.Backend, runtime: StoreRuntime, telemetry: Telemetry, listener: ReadListener) {
    this.backend = backend
    this.runtime = runtime
    this.telemetry = telemetry
    this.listener = listener
  }

  /**
   * Asks for a key. The reads of one turn make one batch. A read of another function is joined if it has the same schemas:
   * the owner and the lifetime of the entry are checked after the answer. Without a time, the answer is not copied to
   * memory. A read that `renews` is a use of its entry, by a function with `maxIdle`.
   */
  startRead(key: string, reader: EntryReader, now: number | undefined, renews = false): Reading {
    const first = this.pending.get(key)
    let joined = first
    while (joined !== undefined && !(joined.isCurrent && isSameFor(joined, reader))) joined = joined.next
    if (joined !== undefined) return joined.join()
    const started = new PendingRead(key, reader, now, renews, first)
    this.pending.set(key, started)
    // joined before it is sent: a backend may answer at once
    const reading = started.join()
    if (this.batch.push(started) === 1) Scheduler.defaultScheduler.scheduleTask(this.flush, 0)
    else if (this.batch.length === maxBatch) this.flush()
    return reading
  }

  /**
   * The key may have changed, with this stamp if it is known. A read in progress cannot be joined any more. Its answer
   * is marked as superseded, unless it has this stamp or a later one: then the backend answered after the change. An
   * entry with this stamp is valid, but not copied to memory: of two loads with one stamp, it may be the first one.
   */
  supersede(key: string, stamp = Number.POSITIVE_INFINITY): void {
    for (let read = this.pending.get(key); read !== undefined; read = read.next) {
      if (read.changedAt < stamp) read.changedAt = stamp
    }
  }

  /** Whether a read is in progress and its key has not changed since it was asked for. */
  isCurrent(read: Backend.Read): boolean {
    let pending = this.pending.get(read.key)
    while (pending !== undefined && pending !== read) pending = pending.next
    return pending?.isCurrent === true
  }

  supersedeAll(): void {
    for (const key of this.pending.keys()) this.supersede(key)
  }

  private readonly flush = (): void => {
    const { batch } = this
    if (batch.length === 0) return
    this.batch = []
    this.runtime.run(
      () => this.backend.getMany(batch),
      (exit, began) => {
        if (exit._tag === "Failure" || exit.value.isSent !== false) this.telemetry.recordTime("get", began, exit)
        this.onAnswer(batch, exit)
      }
    )
  }

  private onAnswer(batch: ReadonlyArray<PendingRead>, exit: Exit.Exit<Backend.Answers, CacheStoreError>): void {
    const answers = exit._tag === "Success" ? exit.value : undefined
    let error: CacheStoreError | undefined
    if (exit._tag === "Failure") {
      error = toStoreError(exit.cause, this.backend.name, "getMany")
      this.telemetry.recordFailure("read", error)
    } else {
      const failedPart = exit.value.found?.find((found) => found instanceof CacheStoreError)
      if (failedPart === undefined) this.telemetry.recordSuccess("read")
      else this.telemetry.recordPartialFailure("read", failedPart)
      this.listener.onAnswers(exit.value)
    }
    for (let i = 0; i < batch.length; i++) {
      const pending = batch[i]!
      const { changedAt } = pending
      this.remove(pending)
      const found = answers === undefined ? error : answers.found?.[i]
      const tombstone = answers?.tombstones?.[i]
      const tier = answers?.tiers?.[i]
      const isEntry = found instanceof Entry
      const stamp = isEntry ? found.stamp : (tombstone ?? Number.NEGATIVE_INFINITY)
      const superseded = changedAt > stamp
      if (!superseded && !(isEntry && changedAt === stamp)) this.listener.onFound(pending, found, tier)
      for (let reading = pending.first; reading !== undefined; reading = reading.next) {
        reading.settle(found, superseded, tombstone, tier)
      }
    }
  }

  /** Ends the time in which a read can be joined. */
  private remove(pending: PendingRead): void {
    const { key } = pending
    const first = this.pending.get(key)
    if (first === pending && pending.next === undefined) this.pending.delete(key)
    else if (first === pending) this.pending.set(key, pending.next!)
    else
      for (let read = first; read !== undefined; read = read.next) if (read.next === pending) read.next = pending.next
  }
}
