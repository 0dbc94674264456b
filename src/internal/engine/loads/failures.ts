/**
 * Failures that are stored on purpose, in place of a value (the option `failures`).
 *
 * Only the own typed failure of a lookup is stored: a cause that is one `Fail`. What the cache itself adds to the errors of
 * a lookup says nothing about the source, and is not stored. Neither is the trace.
 *
 * A failure never takes the place of what may still answer: it is written if nothing usable is known in this process, and
 * the backend refuses it where another process has stored something meanwhile. It is an entry as any other in all other
 * respects: marks, stamps, tags and expiry concern it.
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as HashSet from "effect/HashSet"
import * as Option from "effect/Option"
import { CacheStoreError, LoadInterrupted, LoadTimeout } from "../../../CacheError.js"
import type { Failures } from "../../../CacheStats.js"
import * as Entry from "../../../Entry.js"
import { nowOf } from "../../time.js"
import type { Definition } from "../definition.js"
import { lifetimeOf } from "../failureStorage.js"
import type { MarkTable } from "../io/markTable.js"
import type { PendingWrite } from "../io/pendingWrite.js"
import { jittered } from "../jitter.js"
import type { WallClock } from "../wallClock.js"
import type { WritePath } from "../writePath.js"
import type { Flight } from "./flight.js"

/** The kind of a failure of a load, as statistics count it. */
export const failureKind = (cause: Cause.Cause<unknown>): keyof Failures => {
  if (Cause.isFailure(cause)) return "fail"
  const [defect] = Cause.defects(cause)
  return defect === undefined || defect instanceof LoadInterrupted ? "interrupt" : "die"
}

/** Counts how a load ends that nobody can join. One that is interrupted has been left by its reader. */
export const countedAlone = (
  { counters }: Definition,
  load: Effect.Effect<unknown, unknown, unknown>
): Effect.Effect<unknown, unknown, unknown> =>
  Effect.withFiberRuntime((fiber) => {
    const startedAt = nowOf(fiber)
    return Effect.onExit(load, (exit) =>
      Effect.sync(() => {
        counters.loadTook(nowOf(fiber) - startedAt)
        if (exit._tag === "Success" || Cause.isInterruptedOnly(exit.cause)) return
        counters.loadFailure(failureKind(exit.cause))
      })
    )
  })

/** The error of a cause that is one failure of the lookup itself. */
const ownError = (cause: Cause.Cause<unknown>): Option.Option<unknown> => {
  const errors = Cause.failures(cause)
  const isOne =
    Chunk.size(errors) === 1 && Chunk.isEmpty(Cause.defects(cause)) && HashSet.size(Cause.interruptors(cause)) === 0
  // a traced fiber fails with a proxy of the error, which has the span
  return Option.filter(
    isOne ? Option.some(Cause.originalError(Chunk.unsafeHead(errors))) : Option.none(),
    (error) => !(error instanceof CacheStoreError || error instanceof LoadTimeout)
  )
}

/**
 * The entry for the failure of a load that ended at `now`. `undefined` if it is not to be stored. Throws what a `ttl`
 * function of the user throws.
 */
const failureEntry = (
  flight: Flight,
  cause: Cause.Cause<unknown>,
  now: number,
  marks: MarkTable
): Entry.Entry | undefined => {
  const { args, def } = flight.request
  const { failures, tags = Entry.noTags } = def
  if (failures === undefined || !flight.attached || flight.substitute !== undefined || flight.isLate(now)) {
    return undefined
  }
  const error = ownError(cause)
  if (error._tag === "None") return undefined
  const ttl = jittered(lifetimeOf(failures, error.value, args, def.name), def.jitter, flight.random)
  // tags that are computed from a value are not known here, so any tag that was invalidated meanwhile may concern it
  const isComputed = typeof tags === "function"
  if (ttl <= 0 || (isComputed && marks.hasTagMarkSince(flight.stamp))) return undefined
  const entry = new Entry.Entry(error.value, {
    stamp: flight.stamp,
    createdAt: now,
    freshUntil: now + ttl,
    expiresAt: now + ttl,
    owner: def.owner,
    tags: isComputed ? Entry.noTags : tags,
    extension: { isFailure: true }
  })
  return marks.admits(entry) ? entry : undefined
}

/** Stores the failure of a load, unless something that may still answer is stored, or something later forbids it. */
export const storeFailure = (
  flight: Flight,
  cause: Cause.Cause<unknown>,
  now: number,
  {
    marks,
    wallClock,
    writes
  }: {
    readonly marks: MarkTable
    readonly wallClock: WallClock
    readonly writes: Pick<WritePath, "write" | "holdsUsable">
  }
): PendingWrite | undefined => {
  const { request } = flight
  const { args, def, key } = request
  wallClock.check(now, flight.clock)
  const entry = failureEntry(flight, cause, now, marks)
  const known = request.kind === "refresh" ? request.known : undefined
  if (entry === undefined || writes.holdsUsable(def, key, { args, known, now })) return undefined
  return writes.write({
    key,
    entry,
    now,
    def: { name: def.name, schema: def.failures!.schema, flightTimeout: def.flightTimeout },
    authoritative: false,
    replaces: false,
    isDoubted: flight.joinableUntil !== undefined,
    isSet: false,
    began: flight.began,
    givesWay: { dead: request.kind === "plain" ? request.dead : known?.stamp },
    isUnsure: request.kind === "forced"
  })
}
