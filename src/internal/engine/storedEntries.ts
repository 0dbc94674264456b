/**
 * The reads that never load. They return entries as they are stored, also those that have expired or were invalidated.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Backend from "../../Backend.js"
import { CacheStoreError, SerializerError } from "../../CacheError.js"
import * as Entry from "../../Entry.js"
import * as AsyncEffect from "../asyncEffect.js"
import * as StoredFailure from "../serializers/storedFailure.js"
import type { Invalidation } from "./io/invalidation.js"
import { answered, answerTo, maxRetries, type ReadAnswer, type ReadBatcher, Reading } from "./io/readBatcher.js"
import type { WriteQueue } from "./io/writeQueue.js"
import type { LocalTier } from "./peers/localTier.js"
import type { Telemetry } from "./telemetry.js"
import type { WallClock } from "./wallClock.js"

/** What is stored under a key; without an entry the reason, if known. See `startInspect`. */
type Inspected = Entry.Entry | SerializerError | number | undefined

interface Question {
  readonly key: string
  readonly reader: Backend.Reader
  readonly now: number | undefined
  /** How often the backend was asked. */
  readonly attempt: number
}

type Inspection = Effect.Effect<Inspected, CacheStoreError>

const isKnown = (found: Inspection): found is Exit.Exit<Inspected, CacheStoreError> => Exit.isExit(found)

const toEntry = (found: Inspected): Entry.Entry | undefined => (found instanceof Entry.Entry ? found : undefined)

export interface StoredEntriesParts {
  readonly backend: Backend.Backend
  readonly localTier: LocalTier
  readonly writeQueue: WriteQueue
  readonly readBatcher: ReadBatcher
  readonly invalidation: Invalidation
  readonly telemetry: Telemetry
  readonly wallClock: WallClock
}

export class StoredEntries {
  private closed = false
  private readonly parts: StoredEntriesParts

  constructor(parts: StoredEntriesParts) {
    this.parts = parts
  }

  /** The entry that an answer of the backend holds, unless an invalidation of it is not delivered yet. */
  entryOf(key: string, { found, tier }: ReadAnswer, reader: Backend.Reader): Entry.Entry | undefined {
    if (found === undefined) return undefined
    if (found instanceof Entry.Entry) return this.parts.invalidation.isOutdatedIn(tier, key, found) ? undefined : found
    if (found instanceof CacheStoreError) return undefined
    if (!StoredFailure.isFor(found)) this.parts.telemetry.recordUndecodable(found, reader.owner)
    return undefined
  }

  /**
   * The entry of a key, without loading. The backend is asked at once, not when the effect runs, so that a loop over
   * keys makes one batch.
   */
  startPeek(key: string, reader: Backend.Reader, now: number): Effect.Effect<Entry.Entry | undefined, CacheStoreError> {
    return AsyncEffect.map(this.startInspect(key, reader, now), toEntry)
  }

  /**
   * The entries of many keys, without loading; none where the backend fails. The backend is asked for all of them at
   * once, and what is found needs no step of the fiber for each key.
   */
  startPeekAll(
    keys: ReadonlyArray<string>,
    reader: Backend.Reader,
    now: number
  ): Effect.Effect<ReadonlyArray<Entry.Entry | undefined>> {
    // filled, because `map` skips what was never assigned
    const entries = new Array<Entry.Entry | undefined>(keys.length).fill(undefined)
    const others: Array<Effect.Effect<void>> = []
    const keep = (found: Inspection, at: number) => {
      if (isKnown(found)) entries[at] = found._tag === "Success" ? toEntry(found.value) : undefined
      else {
        const kept = Effect.map(found, (found) => {
          entries[at] = toEntry(found)
        })
        others.push(Effect.ignore(kept))
      }
    }
    const asked: Array<Reading> = []
    const places: Array<number> = []
    for (let at = 0; at < keys.length; at++) {
      const started = this.start(keys[at]!, reader, now)
      if (started instanceof Reading) {
        asked.push(started)
        places.push(at)
      } else keep(started, at)
    }
    const onAnswers = Effect.suspend(() => {
      for (let i = 0; i < asked.length; i++) {
        const at = places[i]!
        const key = keys[at]!
        const answer = asked[i]!
        if (answer.superseded) keep(this.onAnswer(answer, { key, reader, now, attempt: 1 }), at)
        else entries[at] = this.entryOf(key, answer, reader)
        answer.forget()
      }
      return Effect.all(others, { discard: true })
    })
    return Effect.as(asked.length === 0 ? onAnswers : Effect.zipRight(answered(asked), onAnswers), entries)
  }

  /**
   * As `startPeek`, but where there is no entry it returns the reason, if known: the error of bytes that could not be
   * decoded, or the stamp of the removal.
   */
  startInspect(key: string, reader: Backend.Reader, now: number): Inspection {
    return this.finish(this.start(key, reader, now), { key, reader, now, attempt: 1 })
  }

  /**
   * As `startInspect`, without the copy in memory, whose stamp may not be that of the entry in the backend. Without a
   * time, what is found is not copied to memory either.
   */
  startInspectBelow(key: string, reader: Backend.Reader, now: number | undefined): Inspection {
    return this.finish(this.startBelow(key, reader, now), { key, reader, now, attempt: 1 })
  }

  /** What is known of a key at once, or the read of the backend. */
  private start(key: string, reader: Backend.Reader, now: number): Inspection | Reading {
    if (this.closed) return this.parts.telemetry.ended
    const { backend, localTier, wallClock } = this.parts
    wallClock.check(now)
    const held = localTier.locate(key, now)
    // slower tiers may have a value that other processes read, while the failure is in this process only
    const answers = held !== undefined && !Entry.isFailure(held)
    return answers || !backend.remote ? Effect.succeed(held) : this.startBelow(key, reader, now)
  }

  private startBelow(key: string, reader: Backend.Reader, now: number | undefined): Inspection | Reading {
    if (this.closed) return this.parts.telemetry.ended
    const { readBatcher, wallClock, writeQueue } = this.parts
    const pending = writeQueue.newest(key)
    if (pending === undefined) return readBatcher.startRead(key, reader, now)
    const { answer } = pending
    if (answer !== undefined) wallClock.adjust(answer)
    // what was only expired is absent, and not removed
    return Effect.succeed(answer ?? (pending.stale === undefined ? pending.stamp : undefined))
  }

  private finish(started: Inspection | Reading, question: Question): Inspection {
    return started instanceof Reading
      ? Effect.flatMap(answerTo(started), (answer) => this.onAnswer(answer, question))
      : started
  }

  private onAnswer(answer: ReadAnswer, question: Question): Inspection {
    const { attempt, key, now, reader } = question
    // the last answer counts all the same: it was right when the backend gave it, which was after this read began
    if (answer.superseded && (attempt <= maxRetries || this.parts.writeQueue.newest(key) !== undefined)) {
      return this.finish(this.startBelow(key, reader, now), { ...question, attempt: attempt + 1 })
    }
    const { found } = answer
    if (found instanceof CacheStoreError) return Effect.fail(found)
    const entry = this.entryOf(key, answer, reader)
    return Effect.succeed(found instanceof SerializerError ? found : (entry ?? answer.tombstone))
  }

  close(): void {
    this.closed = true
  }
}
