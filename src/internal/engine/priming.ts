/**
 * Priming: the values of a list query are stored as if each had been loaded, by a load that began when the query began.
 *
 * What is set, invalidated or expired while the query runs is later than the query, so its value is not stored for that
 * key (law 8: invalidation wins). Elsewhere the table of flights keeps that rule, but the keys of a query are not known
 * before it ends. So a priming keeps the keys that change meanwhile. Marks are compared by their stamps, as always.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Backend from "../../Backend.js"
import { isLater } from "../../Entry.js"
import { clockOf, nowOf, type Stamps } from "../time.js"
import { type Args, type Definition, makeEntry } from "./definition.js"
import type { MarkTable } from "./io/markTable.js"
import { randomFor } from "./jitter.js"
import { type FlightTable, Priming } from "./loads/flightTable.js"
import type { LocalTier } from "./peers/localTier.js"
import type { StoreRuntime } from "./storeRuntime.js"
import type { Telemetry } from "./telemetry.js"
import type { WallClock } from "./wallClock.js"
import type { WritePath } from "./writePath.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** A value to store, with the key and the arguments that it has as the value of a function. */
export interface Primed {
  readonly key: string
  readonly args: Args
  readonly value: unknown
}

export interface PrimerParts {
  readonly backend: Backend.Backend
  readonly runtime: StoreRuntime
  readonly telemetry: Telemetry
  readonly stamps: Stamps
  readonly wallClock: WallClock
  readonly marks: MarkTable
  readonly flights: FlightTable
  readonly localTier: LocalTier
  readonly writes: Pick<WritePath, "write">
}

export class Primer {
  private readonly parts: PrimerParts

  constructor(parts: PrimerParts) {
    this.parts = parts
  }

  /** Runs a list query, and stores what `primedOf` makes of its result. */
  prime<A, E, R>(
    def: Definition,
    list: Effect.Effect<A, E, R>,
    primedOf: (result: A) => Iterable<Primed>
  ): Effect.Effect<A, E, R> {
    const { flights, stamps } = this.parts
    return Effect.zipRight(
      this.raised,
      Effect.acquireUseRelease(
        Effect.sync(() => flights.startPriming(new Priming(stamps.begin(), stamps.time()))),
        (priming) =>
          Effect.flatMap(list, (result) =>
            Effect.withFiberRuntime<A>((fiber) => {
              for (const primed of primedOf(result)) this.store(fiber, def, priming, primed)
              return Effect.succeed(result)
            })
          ),
        (priming) => Effect.sync(() => flights.endPriming(priming))
      )
    )
  }

  /** Raises the backend's count, as a forced load does: the query follows no read that has shown the count. */
  private get raised(): Effect.Effect<void> {
    const { backend, runtime } = this.parts
    return backend.stamps === undefined ? Effect.void : runtime.await(backend.stamps.raise)
  }

  private store(fiber: AnyFiber, def: Definition, priming: Priming, { args, key, value }: Primed): void {
    const { flights, localTier, marks, wallClock, writes } = this.parts
    if (priming.hasChanged(key)) return
    const now = nowOf(fiber)
    wallClock.check(now, clockOf(fiber))
    const lifetime = def.lifetimeOf(value, args, randomFor(def, fiber))
    if (lifetime.ttl <= 0) return
    const entry = makeEntry(value, lifetime, { stamp: priming.stamp, now, owner: def.owner })
    if (!marks.admitsLoad(entry.stamp, entry.owner, entry.tags)) return
    const found = localTier.locate(key, now)
    if (found !== undefined && isLater(found, entry)) return
    const flight = flights.get(key)
    // loads that began before the query must not overwrite what the query found
    flights.endContest(key)
    if (flight?.phase._tag === "Loading" && flight.stamp <= priming.stamp) flights.detach(flight)
    const { began, isDoubted } = priming
    writes.write({ key, entry, now, def, authoritative: false, replaces: true, isDoubted, isSet: true, began })
  }
}
