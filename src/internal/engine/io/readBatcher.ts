/**
 * Reads of a remote medium. All that are asked for in one turn go out as one batch, and a key that is being read is not
 * read twice.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError } from "../../../CacheError.js"
import type { StoreRuntime } from "../storeRuntime.js"

/** the most keys in one batch */
export const maxBatch = 128

/** how a read ended; `superseded` when the key changed hands meanwhile, and what was read may be too old */
export type ReadAnswer = {
  readonly found: Backend.Found
  readonly superseded: boolean
  /** the latest stamp of a trace among what was found with it */
  readonly tombstone?: number | undefined
  /** where there are several tiers: which one answered */
  readonly tier?: number | undefined
}

class Fetch {
  superseded = false
  answer: ReadAnswer | undefined = undefined
  readonly listeners: Array<(answer: ReadAnswer) => void> = []
  readonly read: Backend.Read
  constructor(read: Backend.Read) {
    this.read = read
  }
}

export interface ReadBatcherEvents {
  readonly onAnswers: (answers: Backend.Answers) => void
  /** at the moment at which the answer is here: what changes hands later is told of after it */
  readonly onFound: (read: Backend.Read, found: Backend.Found) => void
  readonly onError: (error: CacheStoreError) => void
}

export class ReadBatcher {
  private readonly pending = new Map<string, Fetch>()
  private batch: Array<Fetch> = []
  private readonly backend: Backend.Backend
  private readonly runtime: StoreRuntime
  private readonly events: ReadBatcherEvents

  constructor(backend: Backend.Backend, runtime: StoreRuntime, events: ReadBatcherEvents) {
    this.backend = backend
    this.runtime = runtime
    this.events = events
  }

  /**
   * Asks at once, not when the effect runs: a loop over it makes one batch. What was asked for by another reader will
   * do: whose an entry is, and for how long, is looked at again when it is here.
   */
  get(key: string, { owner, schema, stale }: Backend.Reader, now: number): Effect.Effect<ReadAnswer> {
    let fetch = this.pending.get(key)
    if (fetch === undefined || fetch.read.schema !== schema) {
      fetch = new Fetch({ key, schema, owner, stale, now })
      this.pending.set(key, fetch)
      if (this.batch.push(fetch) === 1) Scheduler.defaultScheduler.scheduleTask(this.flush, 0)
      else if (this.batch.length === maxBatch) this.flush()
    }
    const asked = fetch
    return Effect.async((resume) => {
      if (asked.answer !== undefined) resume(Effect.succeed(asked.answer))
      else asked.listeners.push((answer) => resume(Effect.succeed(answer)))
    })
  }

  /** who asks from now on does not get what was asked for before; who asked before is told */
  supersede(key: string): void {
    const fetch = this.pending.get(key)
    if (fetch === undefined) return
    fetch.superseded = true
    this.pending.delete(key)
  }

  supersedeAll(): void {
    for (const fetch of this.pending.values()) fetch.superseded = true
    this.pending.clear()
  }

  private readonly flush = (): void => {
    const batch = this.batch
    if (batch.length === 0) return
    this.batch = []
    const ask = () => this.backend.getMany(batch.map((fetch) => fetch.read))
    this.runtime.run(ask, (exit) => {
      const error = exit._tag === "Failure" ? failure(exit.cause, this.backend.name, "getMany") : undefined
      if (error !== undefined) this.events.onError(error)
      else if (exit._tag === "Success") this.events.onAnswers(exit.value)
      for (let i = 0; i < batch.length; i++) {
        const fetch = batch[i]!
        if (this.pending.get(fetch.read.key) === fetch) this.pending.delete(fetch.read.key)
        const found = exit._tag === "Success" ? exit.value.found?.[i] : error
        const tier = exit._tag === "Success" ? exit.value.tiers?.[i] : undefined
        const tombstone = exit._tag === "Success" ? exit.value.tombstone : undefined
        const answer: ReadAnswer = { found, superseded: fetch.superseded, tombstone, tier }
        if (!fetch.superseded) this.events.onFound(fetch.read, found)
        fetch.answer = answer
        for (let j = 0; j < fetch.listeners.length; j++) fetch.listeners[j]!(answer)
      }
    })
  }
}

/** a medium that dies or is interrupted has failed, no more */
export const failure = (cause: Cause.Cause<CacheStoreError>, store: string, method: string): CacheStoreError => {
  const failure = Cause.failureOption(cause)
  if (failure._tag === "Some") return failure.value
  const reason = Cause.isInterruptedOnly(cause) ? "Timeout" : "Rejected"
  return new CacheStoreError({ reason, store, method, cause: Cause.squash(cause) })
}
