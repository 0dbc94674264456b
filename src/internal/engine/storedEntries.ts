/**
 * The reads that never load. They return entries as they are stored, also those that have expired or were invalidated.
 */
import * as Effect from "effect/Effect"
import type * as Backend from "../../Backend.js"
import { CacheStoreError, SerializerError } from "../../CacheError.js"
import * as Entry from "../../Entry.js"
import type { Invalidation } from "./io/invalidation.js"
import { maxRetries, type ReadAnswer, type ReadBatcher } from "./io/readBatcher.js"
import type { WriteQueue } from "./io/writeQueue.js"
import type { LocalTier } from "./peers/localTier.js"
import type { Telemetry } from "./telemetry.js"
import type { WallClock } from "./wallClock.js"

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
    this.parts.telemetry.recordUndecodable(found, reader.owner)
    return undefined
  }

  /**
   * The entry of a key, without loading. The backend is asked at once, not when the effect runs, so that a loop over
   * keys makes one batch.
   */
  startPeek(key: string, reader: Backend.Reader, now: number): Effect.Effect<Entry.Entry | undefined, CacheStoreError> {
    return Effect.map(this.startInspect(key, reader, now), (found) =>
      found instanceof Entry.Entry ? found : undefined
    )
  }

  /**
   * As `startPeek`, but where there is no entry it returns the reason, if known: the error of bytes that could not be
   * decoded, or the stamp of the removal.
   */
  startInspect(
    key: string,
    reader: Backend.Reader,
    now: number,
    attempt = 1
  ): Effect.Effect<Entry.Entry | SerializerError | number | undefined, CacheStoreError> {
    if (this.closed) return this.parts.telemetry.ended
    const { backend, localTier, wallClock } = this.parts
    wallClock.check(now)
    const held = localTier.locate(key, now)
    if (held !== undefined || !backend.remote) return Effect.succeed(held)
    return this.startInspectBelow(key, reader, now, attempt)
  }

  /**
   * As `startInspect`, without the copy in memory, whose stamp may not be that of the entry in the backend. Without a
   * time, what is found is not copied to memory either.
   */
  startInspectBelow(
    key: string,
    reader: Backend.Reader,
    now: number | undefined,
    attempt = 1
  ): Effect.Effect<Entry.Entry | SerializerError | number | undefined, CacheStoreError> {
    if (this.closed) return this.parts.telemetry.ended
    const { readBatcher, wallClock, writeQueue } = this.parts
    const pending = writeQueue.newest(key)
    if (pending !== undefined) {
      const { answer } = pending
      if (answer !== undefined) wallClock.adjust(answer)
      return Effect.succeed(answer ?? pending.stamp)
    }
    return Effect.flatMap(readBatcher.startRead(key, reader, now), (answer) => {
      // the last answer counts all the same: it was right when the backend gave it, which was after this read began
      if (answer.superseded && (attempt <= maxRetries || writeQueue.newest(key) !== undefined)) {
        return this.startInspectBelow(key, reader, now, attempt + 1)
      }
      const { found } = answer
      if (found instanceof CacheStoreError) return Effect.fail(found)
      const entry = this.entryOf(key, answer, reader)
      return Effect.succeed(found instanceof SerializerError ? found : (entry ?? answer.tombstone))
    })
  }

  close(): void {
    this.closed = true
  }
}
