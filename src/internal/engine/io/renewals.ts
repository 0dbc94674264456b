/**
 * Reads of entries with an idle time (`maxIdle`), each of which lets its entry live on.
 *
 * A store in memory records a read in the entry itself, once in a sixteenth of the idle time: so an entry lives for
 * `maxIdle` after its last read or up to a sixteenth less, and never longer.
 *
 * Any other store renews the entry in its backend, which other processes read as well. A copy in memory lives as long as
 * its source, as far as this process knows, so a read of the copy renews the source. That is due once a quarter of the
 * idle time has passed since the source was renewed last. It is done behind the read, and the copy lives on once the
 * source has confirmed it.
 *
 * A renewal names the stamp of the entry that was read. So it changes nothing of what another process has written, and
 * it loses to an invalidation, which leaves a tombstone or another entry.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Scheduler from "effect/Scheduler"
import type * as Backend from "../../../Backend.js"
import { type CacheStoreError, InvalidOption } from "../../../CacheError.js"
import { type Copy, change, type Entry, idleEnd, readAtOf, recordRead } from "../../../Entry.js"
import { toStoreError } from "../../storeError.js"
import type { Definition } from "../definition.js"
import type { StoreRuntime } from "../storeRuntime.js"
import type { Telemetry } from "../telemetry.js"
import { maxBatch } from "./readBatcher.js"
import type { WriteQueue } from "./writeQueue.js"

/** The part of the idle time in which a read of an entry in memory is recorded once. A failed renewal waits as long. */
const recorded = 1 / 16

/** The part of the idle time that must have passed since a source was renewed last. */
const renewed = 1 / 4

/** Notes something of the renewals of an entry. */
const note = (entry: Entry, noted: Pick<Copy, "assigned" | "triedAt">): void => {
  const { held = Number.POSITIVE_INFINITY, since = Number.NEGATIVE_INFINITY } = entry.copy ?? {}
  change(entry, { copy: { ...entry.copy, since, held, ...noted } })
}

export interface RenewalsParts {
  readonly backend: Backend.Backend
  readonly runtime: StoreRuntime
  readonly telemetry: Telemetry
  readonly writeQueue: WriteQueue
}

/** A renewal, and the entry that was read. */
interface Pending {
  readonly entry: Entry
  readonly renewal: Backend.Renewal
}

export class Renewals {
  private closed = false
  /** Completed when the store closes. */
  private readonly ended = Deferred.unsafeMake<undefined>(FiberId.none)
  private queue: Array<Pending> = []
  /** The keys whose renewal has no answer yet. */
  private readonly asked = new Set<string>()
  private readonly isRemote: boolean
  private readonly parts: RenewalsParts

  constructor(parts: RenewalsParts) {
    this.parts = parts
    this.isRemote = parts.backend.remote
  }

  /** Refuses a function with `maxIdle` whose store cannot keep alive what is read. */
  check({ maxIdle, name }: Definition): void {
    const { backend } = this.parts
    if (maxIdle === undefined || !backend.remote || backend.renew !== undefined) return
    throw new InvalidOption({
      option: "maxIdle",
      of: name,
      detail: `the store ${backend.name}, or one of its tiers, cannot let an entry live on when it is read: use memory or Redis`
    })
  }

  /** A read at `now` has used an entry, which is alive. */
  used(key: string, entry: Entry, now: number): void {
    const idle = entry.extension?.idle
    if (idle === undefined) return
    const since = now - readAtOf(entry)
    if (!this.isRemote) {
      if (since >= idle * recorded) recordRead(entry, now)
    } else if (since >= idle * renewed) this.renew(key, entry, idle, now)
  }

  /**
   * Until when an entry in memory, which is due for a refresh at `dueAt`, answers further reads at once: the tier keeps
   * it, and no read has to be told by `used`.
   */
  answersUntil(entry: Entry, dueAt: number, now: number): number {
    const { copy, extension } = entry
    const next = extension === undefined ? Number.POSITIVE_INFINITY : this.nextUse(entry, now)
    return Math.min(dueAt, next, copy?.held ?? Number.POSITIVE_INFINITY)
  }

  private nextUse(entry: Entry, now: number): number {
    const idle = entry.extension?.idle
    if (idle === undefined) return Number.POSITIVE_INFINITY
    if (!this.isRemote) return readAtOf(entry) + idle * recorded
    const due = readAtOf(entry) + idle * renewed
    return now < due ? due : Math.min(idleEnd(entry), now + idle * recorded)
  }

  /** The backend has given a stamp to a value that was set. */
  noteStamp(key: string, given: number, stamp: number): void {
    if (given === stamp) return
    const copy = this.parts.backend.unsafeGet?.(key)
    if (copy?.stamp === given && copy.extension?.idle !== undefined) note(copy, { assigned: stamp })
  }

  private renew(key: string, entry: Entry, idle: number, now: number): void {
    const { backend, writeQueue } = this.parts
    // it lives to its end anyway
    if (idleEnd(entry) >= entry.expiresAt) return
    const triedAt = entry.copy?.triedAt
    if (this.closed || this.asked.has(key) || (triedAt !== undefined && now < triedAt + idle * recorded)) return
    if (backend.renew === undefined || backend.isUp?.() === false || writeQueue.newest(key) !== undefined) return
    note(entry, { triedAt: now })
    this.asked.add(key)
    const renewal: Backend.Renewal = {
      key,
      stamp: entry.copy?.assigned ?? entry.stamp,
      createdAt: entry.createdAt,
      at: now,
      lifetime: Math.min(idle, entry.expiresAt - now)
    }
    if (this.queue.push({ entry, renewal }) === 1) Scheduler.defaultScheduler.scheduleTask(this.flush, 0)
    else if (this.queue.length === maxBatch) this.flush()
  }

  private readonly flush = (): void => {
    const { queue } = this
    if (queue.length === 0) return
    this.queue = []
    const { renew } = this.parts.backend
    this.parts.runtime.run(
      () => Effect.raceFirst(renew!(queue.map(({ renewal }) => renewal)), Deferred.await(this.ended)),
      (exit) => this.onAnswer(queue, exit)
    )
  }

  private onAnswer(
    queue: ReadonlyArray<Pending>,
    exit: Exit.Exit<ReadonlyArray<Backend.Written> | undefined, CacheStoreError>
  ): void {
    const { backend, telemetry } = this.parts
    for (const { renewal } of queue) this.asked.delete(renewal.key)
    if (this.closed) return
    if (exit._tag === "Failure") {
      return telemetry.recordFailure("renew", toStoreError(exit.cause, backend.name, "renew"))
    }
    const failed = exit.value?.find((written) => written._tag === "Failed")
    if (failed === undefined) telemetry.recordSuccess("renew")
    else telemetry.recordPartialFailure("renew", failed.error)
    queue.forEach(({ entry, renewal }, i) => {
      const written = exit.value?.[i]?._tag
      if (written === "Written") {
        recordRead(entry, renewal.at)
        const copy = backend.unsafeGet?.(renewal.key)
        if (copy?.stamp === entry.stamp) recordRead(copy, renewal.at)
      } else if (written !== "Failed") note(entry, { triedAt: Number.POSITIVE_INFINITY })
    })
  }

  /** Ends the renewals that run, and drops those that wait (law 11: the scope ends everything). */
  close(): void {
    this.closed = true
    this.queue = []
    Deferred.unsafeDone(this.ended, Effect.succeed(undefined))
  }
}
