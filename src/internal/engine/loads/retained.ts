/**
 * Retained entries: those that are past their stale end, and answer only in place of a load that fails
 * (`staleIfError`).
 *
 * A read that finds one starts a load, or joins one, and gives the entry to it. If the load fails, its readers get the
 * entry, and the key is not loaded again before the pause of `retryAfter` is over: until then reads get the entry
 * without a load. A reload gets the failure, because its caller asked for a new value.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Backend from "../../../Backend.js"
import type { Entry } from "../../../Entry.js"
import { nowOf } from "../../time.js"
import type { Definition } from "../definition.js"
import type { MarkTable } from "../io/markTable.js"
import type { Flight, PlainRequest } from "./flight.js"
import type { FlightTable } from "./flightTable.js"
import { limit } from "./timeouts.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** The longest default of `retryAfter`. */
const longestPause = 10_000

/** The part of the time for which an entry can still answer that the default of `retryAfter` takes. */
const pausedPart = 0.1

/** For how many milliseconds a key is not loaded after a load has failed at `now`, if this entry can answer. */
export const pauseAfter = (def: Definition, entry: Entry | undefined, now: number): number => {
  if (def.retryAfter !== undefined) return def.retryAfter
  const ttl =
    typeof def.ttl === "number" ? def.ttl : entry === undefined ? longestPause : entry.freshUntil - entry.createdAt
  return Math.min(
    longestPause,
    ttl,
    entry === undefined ? longestPause : Math.ceil((entry.expiresAt - now) * pausedPart)
  )
}

/**
 * The retained entry that answers the readers of a failed load. `undefined` if there is none, or if it has expired or
 * was invalidated since (law 8: invalidation wins). A flight that may no longer store its value, unless because of an
 * expiry, may have missed an invalidation, so its entry counts only while it is in the memory of this process.
 */
export const substituteOf = (
  flight: Flight,
  now: number,
  {
    flights,
    marks,
    unsafeGet
  }: {
    readonly flights: Pick<FlightTable, "mayAnswerOld">
    readonly marks: MarkTable
    readonly unsafeGet: Backend.Backend["unsafeGet"]
  }
): Entry | undefined => {
  const { retained } = flight
  if (retained === undefined || !marks.admits(retained, flight.def.owner) || now >= retained.expiresAt) return undefined
  return flights.mayAnswerOld(flight) || unsafeGet?.(flight.key)?.stamp === retained.stamp ? retained : undefined
}

/** The answer of a load for a reader that takes the retained entry in place of a failure. */
export const orRetained = (flight: Flight, answer: Effect.Effect<unknown, unknown>): Effect.Effect<unknown, unknown> =>
  flight.retained === undefined
    ? answer
    : Effect.catchAllCause(answer, (cause) => flight.substitute?.success ?? Effect.failCause(cause))

/**
 * The answer of a load that no other read can join, for a reader that takes the retained entry in place of a failure.
 * `onAnswered` is called with the cause of a failure that the entry answers.
 */
export const orElseRetained = (
  request: PlainRequest,
  retained: Entry,
  load: Effect.Effect<unknown, unknown, unknown>,
  { flights, marks }: { readonly flights: FlightTable; readonly marks: MarkTable },
  onAnswered: (fiber: AnyFiber, request: PlainRequest, cause: Cause.Cause<unknown>) => void
): Effect.Effect<unknown, unknown, unknown> =>
  Effect.withFiberRuntime((fiber) => {
    const { deadline, def, key } = request
    const watch = flights.watch(key)
    const oldValue = () => {
      const isAlive = nowOf(fiber) < retained.expiresAt && marks.admits(retained, def.owner)
      return isAlive && !watch.hasChanged ? retained : undefined
    }
    const answer = Effect.catchAllCause(limit(deadline, load, oldValue), (cause) => {
      const old = Cause.isInterrupted(cause) ? undefined : oldValue()
      if (old === undefined) return Effect.failCause(cause)
      onAnswered(fiber, request, cause)
      return old.success
    })
    return Effect.ensuring(
      answer,
      Effect.sync(() => flights.unwatch(watch))
    )
  })
