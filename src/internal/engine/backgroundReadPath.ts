/**
 * The read path of a store with `background`: an option for runtimes that freeze a process after its response, which is
 * called with a fiber for each read whose work may go on when its reader has its answer: a refresh, the write of a loaded
 * value, a load that other readers have joined.
 *
 * The fiber is made before the first step at which the reader could wait, because only until then does the reader run in
 * the asynchronous context of its request. What the read will start is not known by then, so the fiber waits for the end
 * of the read, then for the load of its key, and then for the write of its value.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { callSafely } from "../callSafely.js"
import type { Args, Definition } from "./definition.js"
import type { FlightTable } from "./loads/flightTable.js"
import { ReadPath, type ReadPathParts } from "./readPath.js"
import type { StoreRuntime } from "./storeRuntime.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>
type Read = Effect.Effect<unknown, unknown, unknown>

/** The callback of the user. */
export type Background = (fiber: Fiber.RuntimeFiber<void>) => void

export interface BackgroundParts extends ReadPathParts {
  readonly runtime: StoreRuntime
  readonly flights: FlightTable
  readonly background: Background
  /** The read path that does the work. */
  readonly inner: ReadPath
}

export class BackgroundReadPath extends ReadPath {
  override readonly identity: object
  private readonly given: BackgroundParts

  constructor(parts: BackgroundParts) {
    super(parts)
    this.given = parts
    this.identity = parts.inner.identity
  }

  override read(...call: Parameters<ReadPath["read"]>): Read {
    const [, , key] = call
    const running = this.given.flights.get(key)
    const read = this.given.inner.read(...call)
    if (!Exit.isExit(read)) return this.watched(read, [key])
    // a stale value was returned, behind which this read has started a refresh
    if (this.given.flights.get(key) !== running) this.hand([key], Effect.void)
    return read
  }

  override readMany(
    fiber: AnyFiber,
    def: Definition,
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<Args>
  ): Effect.Effect<Array<unknown>, unknown, unknown> {
    return this.watched(this.given.inner.readMany(fiber, def, keys, args), keys)
  }

  override forced(...call: Parameters<ReadPath["forced"]>): Read {
    const [, key] = call
    return this.watched(this.given.inner.forced(...call), [key])
  }

  override adopt(def: Definition): void {
    this.given.inner.adopt(def)
  }

  override observe(): void {
    this.given.inner.observe()
  }

  override close(): void {
    this.given.inner.close()
  }

  /** A read that is not answered yet. */
  private watched<A>(
    read: Effect.Effect<A, unknown, unknown>,
    keys: ReadonlyArray<string>
  ): Effect.Effect<A, unknown, unknown> {
    return Effect.suspend(() => {
      const ended = Deferred.unsafeMake<void>(FiberId.none)
      this.hand(keys, Deferred.await(ended))
      return Effect.onExit(read, () => Effect.sync(() => Deferred.unsafeDone(ended, Effect.void)))
    })
  }

  /** Calls the user with a fiber that ends when the read has ended, and the loads and writes of its keys after it. */
  private hand(keys: ReadonlyArray<string>, ended: Effect.Effect<void>): void {
    const { background, runtime, telemetry } = this.given
    const fiber = runtime.background(Effect.zipRight(ended, this.settled(keys)))
    // it may return the promise that it hands to its platform
    callSafely(
      () => background(fiber),
      (defect) =>
        telemetry.report(
          "HandlerFailed",
          "background",
          "the callback `background` threw, so that a refresh or a write may be frozen together with its process. The cache " +
            "itself is not affected. Correct the callback.",
          { cause: Cause.die(defect) }
        )
    )
  }

  /** Waits for the loads of these keys that run now, and for the writes of their values. */
  private settled(keys: ReadonlyArray<string>): Effect.Effect<void> {
    const { flights, inner, writeQueue } = this.given
    return Effect.flatMap(inner.lateReads.ended(keys), () => {
      const running = keys.map((key) => ({ key, flight: flights.get(key) }))
      return Effect.forEach(
        running,
        ({ flight, key }) => {
          const landed = flight?.fiber === undefined ? Effect.void : Fiber.await(flight.fiber)
          const handled = Effect.suspend(() =>
            flight?.handler === undefined ? Effect.void : Fiber.await(flight.handler)
          )
          return landed.pipe(Effect.zipRight(writeQueue.awaitEnd(key)), Effect.zipRight(handled))
        },
        { discard: true }
      )
    })
  }
}
