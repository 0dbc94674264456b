/**
 * One load of a key among all processes: the process that gets the lock of the key loads, and the others wait for the
 * value that it stores.
 *
 * A lock that cannot be acquired because the backend does not answer counts as no lock: every process loads, and no
 * read fails.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError } from "../../../CacheError.js"
import type { Entry } from "../../../Entry.js"
import { toStoreError } from "../../storeError.js"
import type { Flight } from "../loads/flight.js"
import type { StoreRuntime } from "../storeRuntime.js"
import type { Telemetry } from "../telemetry.js"
import type { PeerNotifications } from "./notifications.js"

/**
 * The first and the longest pause, in milliseconds, between two attempts to acquire a lock that another process holds.
 * The pause doubles with each attempt.
 */
export const firstPause = 50
export const longestPause = 1_000

/** A lock that was acquired. */
export interface Acquired {
  readonly held: Backend.Held
  /** When the lock was requested, on the live clock: its lease counts from then on. */
  readonly requestedAt: number
  /** Whether the fiber that requested the lock has been interrupted: the lock must be given back. */
  readonly isAbandoned: boolean
}

export interface LockRequest {
  readonly key: string
  /** Milliseconds after which the lock ends unless it is renewed. */
  readonly lease: number
  /** Called at once with the lock, even when the requesting fiber no longer waits for it. */
  readonly onAcquired: (acquired: Acquired) => void
}

export class LoadLock {
  private readonly backend: Backend.Backend
  private readonly runtime: StoreRuntime
  private readonly telemetry: Telemetry
  private readonly notifications: PeerNotifications

  constructor(backend: Backend.Backend, runtime: StoreRuntime, telemetry: Telemetry, notifications: PeerNotifications) {
    this.backend = backend
    this.runtime = runtime
    this.telemetry = telemetry
    this.notifications = notifications
  }

  /**
   * Waits until this process has the lock for a flight, or `ready` finds the value that another process stored. Returns
   * that value, or `undefined` when the flight is to load.
   */
  lead(flight: Flight, ready: Effect.Effect<Entry | undefined>): Effect.Effect<Entry | undefined> {
    const { key } = flight
    const attempt = (pause: number): Effect.Effect<Entry | undefined> =>
      Effect.suspend(() => {
        // a detached flight stores nothing: it loads for its waiters alone, without a lock
        if (!flight.attached) return Effect.succeed(undefined)
        const ask = Effect.map(this.acquireFor(flight), (remaining) =>
          remaining === undefined ? undefined : Math.max(1, Math.min(pause, remaining))
        )
        return Effect.flatMap(this.notifications.waitAfter(key, ask), (waited) => {
          if (waited === undefined) return flight.unlock === undefined ? Effect.succeed(undefined) : ready
          return Effect.flatMap(ready, (entry) =>
            entry === undefined ? attempt(Math.min(pause * 2, longestPause)) : Effect.succeed(entry)
          )
        })
      })
    return Effect.suspend(() => {
      this.notifications.listen()
      return attempt(firstPause)
    })
  }

  /**
   * Requests a lock once. Returns the longest time in milliseconds that another process still holds it; `undefined`
   * when the lock was acquired or the backend does not answer.
   */
  acquire({ key, lease, onAcquired }: LockRequest): Effect.Effect<number | undefined> {
    return Effect.async((resume) => {
      let isAbandoned = false
      const requestedAt = this.runtime.now()
      this.runtime.run<Backend.Held | number, CacheStoreError>(
        () => this.backend.lock!(key, lease),
        (exit) => {
          if (exit._tag === "Failure") {
            this.telemetry.recordFailure("lock", toStoreError(exit.cause, this.backend.name, "lock"))
            return resume(Effect.succeed(undefined))
          }
          this.telemetry.recordSuccess("lock")
          if (typeof exit.value === "number") return resume(Effect.succeed(exit.value))
          onAcquired({ held: exit.value, requestedAt, isAbandoned })
          resume(Effect.succeed(undefined))
        }
      )
      return Effect.sync(() => {
        isAbandoned = true
      })
    })
  }

  /**
   * Requests the lock for a flight. The lock is renewed until the flight gives it back, the lock is lost, or the load
   * takes longer than its `flightTimeout` and nobody may join it any more (law 4: a load belongs to nobody).
   */
  private acquireFor(flight: Flight): Effect.Effect<number | undefined> {
    const { def, key } = flight
    return this.acquire({
      key,
      lease: def.lease,
      onAcquired: (acquired) => {
        const lease = new Lease(this.runtime, acquired, {
          millis: def.lease,
          isWanted: () => !flight.isLate(flight.clock.unsafeCurrentTimeMillis()),
          onEnd: (isLost) => {
            if (isLost) this.telemetry.recordLockLost(def.name, "another process may load the same key meanwhile")
            lease.release()
          }
        })
        if (acquired.isAbandoned || !flight.attached) lease.release()
        else flight.unlock = () => lease.release()
      }
    })
  }
}

export interface LeaseOptions {
  readonly millis: number
  /**
   * Whether to go on after the backend renewed the lock, or did not answer. `unconfirmed` is the number of milliseconds
   * since the last confirmation if it did not answer, otherwise 0.
   */
  readonly isWanted: (unconfirmed: number) => boolean
  /** Called when the lock was lost, or is no longer wanted. */
  readonly onEnd: (isLost: boolean) => void
}

/** A lock that this process holds, renewed at every third of its lease until it is released or ends. */
export class Lease {
  private isReleased = false
  private readonly renewal: Fiber.RuntimeFiber<unknown>
  private readonly runtime: StoreRuntime
  private readonly held: Backend.Held

  constructor(runtime: StoreRuntime, { held, requestedAt }: Acquired, { isWanted, millis, onEnd }: LeaseOptions) {
    this.runtime = runtime
    this.held = held
    let confirmedAt = requestedAt
    let isLost = false
    const renew = Effect.suspend(() => {
      const now = runtime.now()
      return Effect.matchCause(held.renew, {
        onFailure: () => {
          const unconfirmed = runtime.now() - confirmedAt
          isLost = unconfirmed >= millis
          return isWanted(unconfirmed)
        },
        onSuccess: (isHeld) => {
          if (isHeld) confirmedAt = now
          isLost = !isHeld
          return isHeld && isWanted(0)
        }
      })
    })
    this.renewal = runtime.background(
      Effect.zipRight(
        Effect.repeat(Effect.zipRight(runtime.sleep(Math.max(1, millis / 3)), renew), { while: (goesOn) => goesOn }),
        Effect.sync(() => onEnd(isLost))
      )
    )
  }

  /** Stops the renewal and gives the lock back. */
  release(): void {
    if (this.isReleased) return
    this.isReleased = true
    this.renewal.unsafeInterruptAsFork(FiberId.none)
    this.runtime.run(
      () => this.held.release,
      () => {}
    )
  }
}
