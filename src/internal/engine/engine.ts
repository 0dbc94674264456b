/**
 * The engine of a store: one per Layer, above one backend. This module wires its parts together, and opens and closes
 * them; it decides nothing about a single key.
 *
 * Reading (`readPath.ts`). A read asks memory, then the pending write of the key, then its running load, then the
 * backend. If none of them answers, the read becomes a load (`loads/singleFlight.ts`).
 *
 * Loading (`loads/`). A load can be joined, and can store its value, while it is in the table of flights. A later
 * change of its key takes it out of the table: it still answers the fibers that wait for it, and nobody else (law 3:
 * one load per key, law 4: a load belongs to nobody, law 8: invalidation wins).
 *
 * Writing (`writePath.ts`). A local backend is written at once. A remote backend is written after the callers have
 * their answer, and the write queue answers reads until the backend has confirmed (law 10: answered when loaded).
 *
 * Concurrency. All of this runs on one thread, so a step that does not suspend sees a consistent state and needs no
 * mutex. State that may change between two steps is checked again in the second one. Events are ordered by their
 * stamps, which mean the same in all processes of one backend.
 *
 * What looks like a mistake and is not:
 *
 * - A read that waits for the load of another read counts as a miss, because it did not find an entry.
 * - Two loads of one key run after an invalidation. The old one answers its waiters, who called before the
 *   invalidation.
 * - An entry that a tag or the mark of a function has invalidated stays in memory until it is read, swept or evicted.
 *   Marks are compared on reading, so that an invalidation costs the same for ten entries and ten million (law 16: no
 *   scans). A `clear` frees memory behind it, in parts.
 * - Each part that is called from outside keeps its own `closed` flag, so that a hit need not follow a pointer to read
 *   it.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as Backend from "../../Backend.js"
import type { Stats } from "../../CacheStats.js"
import * as Entry from "../../Entry.js"
import { Stamps } from "../time.js"
import { type Background, BackgroundReadPath } from "./backgroundReadPath.js"
import { BeforeLoad } from "./beforeLoad.js"
import { Expiry } from "./expiry.js"
import { Explainer } from "./explain.js"
import { Invalidation } from "./io/invalidation.js"
import type { MarkTable } from "./io/markTable.js"
import { ReadBatcher, type ReadListener } from "./io/readBatcher.js"
import { Renewals } from "./io/renewals.js"
import { type WriteListener, WriteQueue } from "./io/writeQueue.js"
import { Batches } from "./loads/batches.js"
import { FlightTable } from "./loads/flightTable.js"
import { Permits } from "./loads/permits.js"
import { SingleFlight, type SingleFlightOptions } from "./loads/singleFlight.js"
import { MemoryReads } from "./memoryReads.js"
import { Ownership } from "./ownership.js"
import { KeyListeners } from "./peers/keyListeners.js"
import { LoaderKeys } from "./peers/loaderKeys.js"
import { LoadLock } from "./peers/loadLock.js"
import { LocalTier } from "./peers/localTier.js"
import { PeerNotifications } from "./peers/notifications.js"
import { Primer } from "./priming.js"
import { ReadPath } from "./readPath.js"
import { Reasons } from "./reasons.js"
import { StoredEntries } from "./storedEntries.js"
import type { StoreRuntime } from "./storeRuntime.js"
import type { Telemetry } from "./telemetry.js"
import { TransactionalReadPath } from "./transactionalReadPath.js"
import { Transactions } from "./transactions.js"
import { WallClock } from "./wallClock.js"
import { WritePath } from "./writePath.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

export interface EngineOptions extends SingleFlightOptions {
  /** How many milliseconds a copy in memory counts while no notifications of other processes arrive. */
  readonly blindTtl: number
  /** How many invalidation marks are kept apart. */
  readonly maxMarks: number
  /** Whether the spans of readers say how their reads were answered. */
  readonly annotates: boolean
  /** The keys of the services that a fiber has inside a transaction only. */
  readonly bypassIn: ReadonlyArray<string>
  /** Is called with the fibers that may outlive their readers. */
  readonly background: Background | undefined
  /** For how many milliseconds a closing store tries to write. Default: each write that runs has its own time limit. */
  readonly drain: number | undefined
}

/** The property of a `CacheStore.Service` that holds its engine. */
export const EngineId: unique symbol = /*#__PURE__*/ Symbol.for("effect-cached/Engine") as never

/** How many milliseconds a closing store waits before it tries again to deliver what is undelivered. */
const drainInterval = 100

/** The shortest interval in milliseconds at which a backend without notifications is asked for its marks. */
const minMarksInterval = 100

export class Engine {
  readonly backend: Backend.Backend
  readonly runtime: StoreRuntime
  readonly telemetry: Telemetry
  readonly options: EngineOptions
  readonly stamps: Stamps
  readonly invalidation: Invalidation
  readonly marks: MarkTable
  readonly wallClock: WallClock
  readonly ownership: Ownership
  readonly localTier: LocalTier
  /** Functions of this process that are called when something happens to a key. */
  readonly keyListeners = new KeyListeners()
  readonly loaderKeys = new LoaderKeys()
  readonly notifications: PeerNotifications
  readonly loadLock: LoadLock
  readonly writeQueue: WriteQueue
  private readonly readBatcher: ReadBatcher
  readonly renewals: Renewals
  readonly stored: StoredEntries
  private readonly flights = new FlightTable()
  readonly primer: Primer
  /** The open batches of batched functions. */
  readonly batches: Batches
  readonly writePath: WritePath
  readonly expiry: Expiry
  readonly singleFlight: SingleFlight
  readonly explainer: Explainer
  readonly readPath: ReadPath
  readonly memoryReads: MemoryReads
  /** What a reader inside a transaction does. Absent if the store knows of no transactions. */
  readonly transactions: Transactions | undefined
  /** The fibers that end with the store. */
  private readonly daemons = new Set<AnyFiber>()
  /** The statistics at the latest `resetStats`, which later ones count from. Mutable by design. */
  statsBefore: Stats | undefined = undefined
  /** Whether the Layer has closed. */
  closed = false

  constructor(backend: Backend.Backend, runtime: StoreRuntime, telemetry: Telemetry, options: EngineOptions) {
    this.backend = backend
    this.runtime = runtime
    this.telemetry = telemetry
    this.options = options
    const { flights, keyListeners, loaderKeys } = this
    const { bypassIn } = options
    const transactions = bypassIn.length === 0 ? undefined : new Transactions(bypassIn, telemetry)
    this.transactions = transactions

    const wallClock = new WallClock((by) => {
      // the next read of each entry in memory adjusts it
      this.marks.epoch++
      flights.setBack(by)
    })
    this.wallClock = wallClock
    const stamps = new Stamps(backend)
    this.stamps = stamps
    const invalidation = new Invalidation({
      backend,
      runtime,
      telemetry,
      stamps,
      maxMarks: options.maxMarks,
      writeQueue: () => this.writeQueue,
      wallClock,
      onExpired: () => loaderKeys.expired()
    })
    this.invalidation = invalidation
    const { marks } = invalidation
    this.marks = marks
    const ownership = new Ownership(backend, telemetry, marks)
    this.ownership = ownership
    const localTier = new LocalTier({ backend, runtime, wallClock, marks, loaderKeys }, options.blindTtl)
    this.localTier = localTier
    const { coherence } = localTier
    const { blindTtl } = options
    this.notifications = new PeerNotifications(this, { backend, runtime, telemetry, coherence, blindTtl })
    this.loadLock = new LoadLock(backend, runtime, telemetry, this.notifications)

    const readListener = this.readListener()
    const readBatcher = new ReadBatcher(backend, runtime, telemetry, readListener)
    this.readBatcher = readBatcher
    const writeQueue = new WriteQueue({
      backend,
      runtime,
      telemetry,
      rules: invalidation,
      listener: this.writeListener()
    })
    this.writeQueue = writeQueue

    const renewals = new Renewals({ backend, runtime, telemetry, writeQueue })
    this.renewals = renewals

    const below = { backend, runtime, telemetry, stamps, marks, ownership, invalidation, localTier, loaderKeys }
    const io = { ...below, wallClock, keyListeners, readBatcher, writeQueue }
    const stored = new StoredEntries(io)
    this.stored = stored
    this.writePath = new WritePath({ ...io, stored, flights, transactions })
    const permits = new Permits()
    this.batches = new Batches({ runtime, stamps, flights, permits })
    this.primer = new Primer({ ...io, flights, writes: this.writePath })
    this.expiry = new Expiry({ ...io, stored, flights, writes: this.writePath, transactions })
    const beforeLoad = new BeforeLoad({ ...io, stored, loadLock: this.loadLock })
    this.singleFlight = new SingleFlight(
      {
        runtime,
        telemetry,
        wallClock,
        marks,
        stamps,
        flights,
        permits,
        beforeLoad,
        writes: this.writePath,
        reads: readBatcher,
        unsafeGet: backend.unsafeGet,
        isNotified: coherence !== undefined,
        readAgain: (fiber, def, key, args, deadline) => readPath.read(fiber, def, key, args, undefined, { deadline })
      },
      options
    )
    const reasons = new Reasons({ backend, marks, ownership, invalidation })
    const { onAnswers } = readListener
    this.explainer = new Explainer({
      ...io,
      flights,
      singleFlight: this.singleFlight,
      reasons,
      transactions,
      off: options.off,
      onAnswers
    })
    const reading = { ...io, reasons, annotates: options.annotates, stored, renewals, singleFlight: this.singleFlight }
    const readPath =
      transactions === undefined
        ? new ReadPath(reading)
        : new TransactionalReadPath(reading, transactions, this.writePath)
    this.memoryReads = new MemoryReads({ ...reading, isOff: options.off })
    const { background } = options
    this.readPath =
      background === undefined
        ? readPath
        : new BackgroundReadPath({ ...reading, runtime, flights, background, inner: readPath })
  }

  /** Applies the backend's answers to reads: stamps and marks of other processes, and entries to copy to memory. */
  private readListener(): ReadListener {
    return {
      onAnswers: ({ marks, tombstones }) => {
        if (tombstones !== undefined)
          for (const stamp of tombstones) if (stamp !== undefined) this.stamps.observe(stamp)
        if (marks !== undefined) this.invalidation.merge(marks)
      },
      onFound: ({ key, now, owner = "" }, found, tier) => {
        // a slower tier may hold an entry that is later than the count this process has seen
        if (found instanceof Entry.Entry && this.backend.stamps !== undefined) this.stamps.observe(found.stamp)
        // a pending write is newer than what the backend has
        if (this.writeQueue.newest(key) !== undefined) return
        this.loaderKeys.compare(key, found)
        if (!(found instanceof Entry.Entry) || now === undefined) return
        if (!this.marks.admits(found) || now >= Entry.lifeEnd(found)) return
        if (this.invalidation.isOutdatedIn(tier, key, found)) return
        // the reader may have no schema, and so another value than the function whose entry it is
        if (found.owner !== owner) return
        this.localTier.fill(key, found, now)
      }
    }
  }

  /** Applies the backend's answer to a write: to the copy in memory, to the stamps, and to the listeners of the key. */
  private writeListener(): WriteListener {
    const { keyListeners, localTier, stamps, telemetry } = this
    return {
      onWritten: (key, stamp, { countsFor, entry, isForBackendFirst }) => {
        if (countsFor !== undefined) telemetry.recordSet(key, countsFor.name)
        if (isForBackendFirst) localTier.dropUpTo(key, stamp)
        stamps.observe(stamp)
        if (entry?.extension !== undefined) this.renewals.noteStamp(key, entry.stamp, stamp)
      },
      onLost: (key, stamp) => localTier.doubt(key, stamp),
      onSuperseded: (key, stamp) => localTier.dropUpTo(key, stamp),
      onRefused: (key, write, { error: { message }, isTold }) => {
        // a failure may be in one process only
        if (write.givesWay !== undefined) return telemetry.recordRefusedFailure(write.entry?.owner ?? "", message)
        // otherwise this process alone would have the value
        localTier.dropUpTo(key, write.stamp)
        const owner = write.entry?.owner ?? ""
        if (isTold === true) telemetry.recordTooHeavy(owner)
        else telemetry.recordRefused(key, owner, message)
      },
      onIdle: (key) => {
        this.readBatcher.supersede(key)
        keyListeners.notify(key)
      }
    }
  }

  /** Starts to follow the backend and the other processes on it. */
  open(): void {
    const { backend, invalidation, marks, readBatcher, runtime, telemetry } = this
    backend.attach?.({
      admits: (entry, key, tier) => marks.admits(entry) && !invalidation.isOutdatedIn(tier, key, entry),
      isCurrent: (read) => readBatcher.isCurrent(read),
      notify: (raised) => invalidation.merge(raised),
      run: (effect) =>
        runtime.run(
          () => effect,
          () => {}
        ),
      failed: (tier, operation, error) => telemetry.recordTierFailure(tier, operation, error),
      answered: (tier, operation) => telemetry.recordSuccess(operation, tier)
    })
    this.listenIfNeeded()
    const every = backend.marks?.every
    if (this.localTier.coherence !== undefined) this.notifications.listen()
    else if (backend.unsafeGet !== undefined && every !== undefined && Number.isFinite(every)) {
      const interval = Math.max(every, minMarksInterval)
      this.supervise(
        runtime.background(
          Effect.forever(Effect.zipRight(runtime.sleep(interval), runtime.await(invalidation.fetchMarks)))
        )
      )
    }
  }

  private listenIfNeeded(): void {
    if (this.backend.needsNotifications?.() === true) this.notifications.listen()
  }

  /** The first subscriber to the events has come, or the last one has left. */
  observe(): void {
    this.readPath.observe()
  }

  /** Interrupts a fiber when the store closes. */
  supervise(fiber: AnyFiber): void {
    this.daemons.add(fiber)
    fiber.addObserver(() => this.daemons.delete(fiber))
    if (this.closed) fiber.unsafeInterruptAsFork(FiberId.none)
  }

  /** Whether copies in memory may miss changes by other processes. */
  get isBlind(): boolean {
    return this.localTier.coherence?.isBlind === true
  }

  /** Another process wrote or removed a key. */
  changed(changed: Backend.Changed): void {
    this.writePath.changed(changed)
  }

  /** Another process raised marks. */
  raised(marks: Backend.Marks): void {
    this.invalidation.merge(marks)
  }

  /** Notifications arrive from now on. Reads and loads in progress may have missed one. */
  armed(): void {
    this.readBatcher.supersedeAll()
    this.keyListeners.notifyAll()
    // a store that keeps no copies reads the backend each time, so its loads do not depend on notifications
    if (this.localTier.coherence !== undefined) this.flights.limitJoins(this.options.blindTtl)
    this.runtime.run(
      () => this.invalidation.fetchMarks,
      () => {}
    )
    // the answers are compared with what the loaders wrote last, because the backend may be gone again before any read
    for (const [key, { clock, reader }] of this.loaderKeys.all) {
      this.runtime.run(
        () => this.stored.startInspect(key, reader, clock.unsafeCurrentTimeMillis()),
        () => {}
      )
    }
  }

  /** The backend is up again. If one operation has shown that, the others show whether they succeed, too. */
  up({ isProbed }: { readonly isProbed?: boolean | undefined }): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (isProbed !== true) this.telemetry.recordUp()
      // what was stamped while the backend was away may be above its next counts
      if (this.stamps.isAhead) this.flights.detachAll()
      this.listenIfNeeded()
      this.keyListeners.notifyAll()
      return Effect.zipRight(this.invalidation.fetchMarks, this.invalidation.deliver)
    })
  }

  /** Interrupts loads and their waiters, and waits for writes in progress (law 11: the scope ends everything). */
  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.closed = true
      this.telemetry.closedAt = this.runtime.now()
      const daemons = Array.from(this.daemons)
      // at once: while the loads end, which may take time, a daemon must not begin another one
      for (const daemon of daemons) daemon.unsafeInterruptAsFork(FiberId.none)
      this.readPath.close()
      this.memoryReads.close()
      this.stored.close()
      this.expiry.close()
      this.renewals.close()
      const loads = this.singleFlight.startClose()
      this.writePath.close()
      return Effect.zipRight(
        Effect.all([loads, Fiber.awaitAll(daemons), this.notifications.stop, this.finishWrites], {
          concurrency: "unbounded",
          discard: true
        }),
        Effect.sync(() => {
          this.reportUndelivered()
          this.marks.end()
        })
      )
    })
  }

  /**
   * Waits for the writes in progress, each of which has a time limit of its own. With `drain` it tries until then to
   * deliver what is undelivered, and gives up the rest.
   */
  private get finishWrites(): Effect.Effect<void> {
    const { invalidation, runtime } = this
    const { drain } = this.options
    if (drain === undefined) return Effect.zipRight(invalidation.stop, runtime.drained)
    const deliver = Effect.suspend(() => (this.backend.isUp?.() === false ? Effect.void : invalidation.deliver))
    const delivered: Effect.Effect<void> = Effect.flatMap(runtime.idle, () =>
      invalidation.undelivered === 0
        ? Effect.void
        : Effect.zipRight(
            deliver,
            Effect.suspend(() =>
              invalidation.undelivered === 0 ? Effect.void : Effect.zipRight(runtime.sleep(drainInterval), delivered)
            )
          )
    )
    return Effect.raceFirst(Effect.interruptible(delivered), Effect.interruptible(runtime.sleep(drain))).pipe(
      Effect.zipRight(invalidation.stop),
      Effect.zipRight(Effect.sync(() => runtime.endAll())),
      Effect.zipRight(runtime.drained)
    )
  }

  /** What is undelivered when the store has closed is lost: other processes keep what they have. */
  private reportUndelivered(): void {
    const { undelivered } = this.invalidation
    if (undelivered === 0) return
    this.telemetry.report(
      "ClosedUndelivered",
      "",
      `the Layer closed while ${undelivered} keys and marks were not delivered: other processes, and the next one, read ` +
        "the older entries until they expire. Give the store more time to close with `drain`, and check the backend."
    )
  }
}
