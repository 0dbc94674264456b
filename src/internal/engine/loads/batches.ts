/**
 * The open batches of a store: those that accept further keys.
 *
 * A batch opens when the first key is known to be missing, and is closed when its window ends or when it is full. Loads
 * of one function share it if their lookups would see the same services and FiberRefs.
 *
 * A batch of a function with a `concurrency` takes a permit, as one load does. While it waits for one, it accepts further
 * keys until it is full.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { sleepOn } from "../../sleep.js"
import { clockOf, type Stamps } from "../../time.js"
import type { Batching } from "../definition.js"
import type { Partition } from "../partition.js"
import type { StoreRuntime } from "../storeRuntime.js"
import { type Asker, Batch } from "./batch.js"
import { environmentOf, isSame } from "./environment.js"
import { currentFlight, Flight } from "./flight.js"
import type { FlightTable } from "./flightTable.js"
import { isInLoad, type Permit, type Permits } from "./permits.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** The most open batches of one function, each for another environment. The oldest one begins before there are more. */
const maxOpen = 32

/**
 * After how many turns of the scheduler that have brought no further key a batch without a window begins. Fibers that
 * are ready when it opens run in the first turn. Those that they fork run later: a concurrent `Effect.forEach` takes two
 * turns to start its fibers, and may be nested.
 */
const quietTurns = 8

export interface BatchesParts {
  readonly runtime: StoreRuntime
  readonly stamps: Stamps
  readonly flights: FlightTable
  readonly permits: Permits
}

export class Batches {
  private readonly open = new Map<Batching, Array<Batch>>()
  private readonly parts: BatchesParts

  constructor(parts: BatchesParts) {
    this.parts = parts
  }

  /**
   * The lookup of a batched function for one id: enters a batch and waits for its value, an option. A batch has the ids
   * of one partition.
   */
  ask(batching: Batching, id: unknown, partition?: Partition): Effect.Effect<unknown, unknown> {
    return Effect.withFiberRuntime<unknown, unknown>((fiber) => {
      const key = batching.keyOf(id, partition)
      const flight = this.flightOf(fiber, batching, key)
      return Effect.async<unknown, unknown>((resume) => {
        const asker: Asker = { key, id, fiber, flight, isUrgent: flight === undefined && isInLoad(fiber), resume }
        const batch = this.batchFor(fiber, batching, partition)
        batch.add(asker)
        if (batch.permit !== undefined) this.queue(batch, batch.permit)
        if (batch.size >= batching.maxBatchSize) this.closeFull(batch)
        return Effect.suspend(() => this.leave(batch, asker))
      })
    })
  }

  /** The load whose lookup runs in a fiber. A read whose load is not shared has none. */
  private flightOf(fiber: AnyFiber, batching: Batching, key: string): Flight | undefined {
    const current = fiber.getFiberRef(currentFlight)
    const isOwn = current instanceof Flight && current.def.batching === batching && current.key === key
    return isOwn && current.store === this.parts.flights ? current : undefined
  }

  /** The open batch for the environment of a fiber. */
  private batchFor(fiber: AnyFiber, batching: Batching, partition: Partition | undefined): Batch {
    const batches = this.open.get(batching)
    if (batches !== undefined) {
      const environment = environmentOf(fiber)
      const found = batches.find(
        (batch) => batch.partition?.prefix === partition?.prefix && isSame(batch.environment, environment)
      )
      if (found !== undefined) return found
      if (batches.length >= maxOpen) {
        this.begin(batches[0]!)
        // it waits for a permit
        if (batches.length >= maxOpen) this.close(batches[0]!)
      }
    }
    const batch = new Batch(batching, this.parts.flights, fiber, partition)
    const others = this.open.get(batching)
    if (others === undefined) this.open.set(batching, [batch])
    else others.push(batch)
    this.await(batch)
    return batch
  }

  /** Begins a batch when its window ends. */
  private await(batch: Batch): void {
    const { batching, opener } = batch
    if (batching.window <= 0) return this.awaitQuiet(batch, 1, 0)
    const timer = Effect.flatMap(sleepOn(clockOf(opener), batching.window), () => Effect.sync(() => this.begin(batch)))
    batch.timer = this.parts.runtime.background(timer)
  }

  /** Begins a batch after turns of the scheduler that have brought no key. */
  private awaitQuiet(batch: Batch, size: number, turns: number): void {
    this.nextTurn(batch, () => {
      if (batch.hasBegun || batch.isDone) return
      const quiet = batch.size === size ? turns + 1 : 0
      if (quiet === quietTurns) this.begin(batch)
      else this.awaitQuiet(batch, batch.size, quiet)
    })
  }

  private nextTurn({ opener }: Batch, task: () => void): void {
    opener.currentScheduler.scheduleTask(task, 0)
  }

  /** A full batch accepts no further key, and begins in the next turn. */
  private closeFull(batch: Batch): void {
    this.close(batch)
    this.nextTurn(batch, () => this.begin(batch))
  }

  private close(batch: Batch): void {
    batch.timer?.unsafeInterruptAsFork(FiberId.none)
    batch.timer = undefined
    const { batching } = batch
    const others = this.open.get(batching)?.filter((other) => other !== batch)
    if (others === undefined || others.length === 0) this.open.delete(batching)
    else this.open.set(batching, others)
  }

  /** Begins a batch, or lets it wait for its permit. */
  private begin(batch: Batch): void {
    if (batch.hasBegun || batch.isDone || batch.permit !== undefined) return
    const { batching } = batch
    if (batching.concurrency === Number.POSITIVE_INFINITY || batch.isUrgent) return this.call(batch)
    const permit = this.parts.permits.request(batching)
    batch.permit = permit
    this.queue(batch, permit)
    permit.wait(() => this.call(batch))
  }

  /** The loads of a batch wait for its permit, or need none because another load waits for one of them. */
  private queue(batch: Batch, permit: Permit): void {
    for (const flight of batch.flights) flight.permit = permit
    if (batch.isUrgent) permit.skip()
  }

  /** Calls the lookup of a batch. All of its loads begin now, whatever happened to their keys before. */
  private call(batch: Batch): void {
    this.close(batch)
    const { flights, stamps } = this.parts
    const stamp = stamps.begin()
    const began = stamps.time()
    const { permit } = batch
    for (const flight of batch.flights) {
      flight.restamp(stamp, began)
      if (permit !== undefined) flight.startedAt = flight.clock.unsafeCurrentTimeMillis()
    }
    if (permit !== undefined) {
      permit.hasBegun = true
      for (const flight of batch.flights) flight.onBegin?.()
    }
    flights.groups.begin(batch.flights)
    batch.begin()
  }

  private leave(batch: Batch, asker: Asker): Effect.Effect<void> {
    const end = batch.remove(asker)
    if (batch.isDone && !batch.hasBegun) {
      this.close(batch)
      batch.permit?.release()
    }
    return end
  }
}
