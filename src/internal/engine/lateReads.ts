/**
 * Reads with time limits that wait for the backend. When a limit answers such a read, nobody knows yet whether the key
 * has to be loaded. So the answer of the backend is still waited for, once per key, and the load begins behind the
 * reader if it is needed: with a backend that is always slower than the limit, an old value would else never be
 * replaced.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { CacheStoreError } from "../../CacheError.js"
import { type Entry, freshEnd, isFailure } from "../../Entry.js"
import { clockOf, nowOf } from "../time.js"
import { answerTo, type Reading } from "./io/readBatcher.js"
import type { WriteQueue } from "./io/writeQueue.js"
import { captureOf, runCaptured } from "./loads/captured.js"
import type { PlainRequest } from "./loads/flight.js"
import type { SingleFlight } from "./loads/singleFlight.js"
import type { Ownership } from "./ownership.js"
import type { LoaderKeys } from "./peers/loaderKeys.js"
import type { LocalTier } from "./peers/localTier.js"
import { unanswered } from "./reasons.js"
import type { StoredEntries } from "./storedEntries.js"
import type { StoreRuntime } from "./storeRuntime.js"
import type { Telemetry } from "./telemetry.js"
import type { WallClock } from "./wallClock.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>
type Answer = Effect.Effect<unknown, unknown, unknown>

export interface LateReadsParts {
  readonly telemetry: Telemetry
  readonly runtime: StoreRuntime
  readonly wallClock: WallClock
  readonly ownership: Ownership
  readonly localTier: LocalTier
  readonly loaderKeys: LoaderKeys
  readonly writeQueue: WriteQueue
  readonly stored: StoredEntries
  readonly singleFlight: SingleFlight
}

export class LateReads {
  private closed = false
  /** The fibers that wait for the backend, by the keys whose readers have left meanwhile. */
  private readonly waiting = new Map<string, Fiber.RuntimeFiber<unknown>>()
  private readonly parts: LateReadsParts

  constructor(parts: LateReadsParts) {
    this.parts = parts
  }

  /** Waits for the answer of the backend and goes on with it, unless a limit of the read answers it earlier. */
  answerTo(fiber: AnyFiber, request: PlainRequest, reading: Reading, onAnswer: (fiber: AnyFiber) => Answer): Answer {
    const { deadline, def, key } = request
    const { telemetry } = this.parts
    return Effect.async<unknown, unknown, unknown>((resume) => {
      reading.whenAnswered(() => {
        deadline?.unwatch()
        resume(Effect.withFiberRuntime(onAnswer))
      })
      if (reading.isAnswered) return
      deadline?.watch({
        oldValue: () => this.oldValue(fiber, request),
        end: (answer, hasValue) => {
          request.span?.judged(hasValue ? "stale" : "miss", undefined)
          if (hasValue) def.counters.staleIn(undefined)
          else def.counters.miss()
          if (telemetry.events.isHeard) {
            if (hasValue) telemetry.publishAnswer("stale", key, def.name, undefined)
            else telemetry.publishMiss(request, unanswered, false)
          }
          // the fiber still waits here, so its services and FiberRefs are those of the read
          if (deadline.goesOn) this.goOn(fiber, request, reading)
          resume(answer)
        }
      })
    })
  }

  /** What this process knows of a key while the backend does not answer. */
  lastKnown(fiber: AnyFiber, key: string): Entry | undefined {
    return this.parts.loaderKeys.lastWritten(key) ?? this.parts.localTier.locate(key, nowOf(fiber))
  }

  private oldValue(fiber: AnyFiber, { args, def, key }: PlainRequest): Entry | undefined {
    const { ownership } = this.parts
    const entry = this.lastKnown(fiber, key)
    if (entry === undefined || isFailure(entry) || !ownership.accepts(entry, def)) return undefined
    return nowOf(fiber) < ownership.endOf(entry, def, args) ? entry : undefined
  }

  private goOn(fiber: AnyFiber, request: PlainRequest, reading: Reading): void {
    const { key } = request
    if (this.waiting.has(key)) return
    const load = Effect.withFiberRuntime<void>((fiber) => {
      this.waiting.delete(key)
      this.loadBehind(fiber, request, reading)
      return Effect.void
    })
    // the answer is still to come, so the fiber does not end before it is noted
    const waiting = this.parts.runtime.background(
      runCaptured(Effect.zipRight(answerTo(reading), load), captureOf(fiber)) as Effect.Effect<unknown>
    )
    this.waiting.set(key, waiting)
  }

  /** Waits until it is known of each of these keys whether it is loaded behind its readers. */
  ended(keys: ReadonlyArray<string>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const waiting = keys.flatMap((key) => this.waiting.get(key) ?? [])
      return waiting.length === 0 ? Effect.void : Fiber.awaitAll(waiting)
    })
  }

  /** Starts the load of a key whose readers have left, if the answer of the backend makes it necessary. */
  private loadBehind(fiber: AnyFiber, { args, def, key }: PlainRequest, reading: Reading): void {
    const { ownership, singleFlight, stored, wallClock, writeQueue } = this.parts
    const { found } = reading
    // a change of the key meanwhile is left to the next reader
    if (this.closed || reading.superseded || writeQueue.newest(key) !== undefined) return
    const hasFailed = found instanceof CacheStoreError
    if (hasFailed && def.strict) return
    const entry = hasFailed ? this.lastKnown(fiber, key) : stored.entryOf(key, reading, def)
    const now = nowOf(fiber)
    let retained: Entry | undefined
    if (entry !== undefined && ownership.accepts(entry, def)) {
      wallClock.check(now, clockOf(fiber))
      wallClock.adjust(entry)
      if (now < freshEnd(entry)) return
      if (now < ownership.staleEndOf(entry, def, args)) {
        if (!singleFlight.needsRefresh(def, key, now)) return
        return singleFlight.refreshBehind(fiber, { def, key, args, known: entry, looksBelow: false })
      }
      if (now < ownership.endOf(entry, def, args)) retained = entry
    }
    if (retained !== undefined && singleFlight.isPaused(key, now)) return
    singleFlight.loadBehind(fiber, { def, key, args, kind: "plain", retained })
  }

  close(): void {
    this.closed = true
  }
}
