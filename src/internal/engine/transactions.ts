/**
 * Transactions: what a store does for a reader that is inside one.
 *
 * A reader inside a transaction sees rows that nobody else sees, and that may never be committed. So its reads load, and
 * store nothing. What it invalidates is invalidated at once, and that is too early: until the commit, another reader
 * loads the old row and stores it again.
 */
import type * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"
import type { Definition } from "./definition.js"
import type { Telemetry } from "./telemetry.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

export class Transactions {
  private readonly tags: ReadonlyArray<string>
  private readonly telemetry: Telemetry

  /** `tags` are the keys of the services that a fiber has inside a transaction only. */
  constructor(tags: ReadonlyArray<string>, telemetry: Telemetry) {
    this.tags = tags
    this.telemetry = telemetry
  }

  /** Whether a fiber is inside a transaction. */
  has(fiber: AnyFiber): boolean {
    return this.includes(fiber.currentContext as Context.Context<unknown>)
  }

  /** Whether the loads of a function that a fiber reads are inside a transaction: a captured function has its own services. */
  hasLoads(fiber: AnyFiber, { captured }: Definition): boolean {
    return captured === undefined ? this.has(fiber) : this.includes(captured.context)
  }

  /** Whether these services are those of a transaction. */
  includes({ unsafeMap }: Context.Context<unknown>): boolean {
    return this.tags.some((tag) => unsafeMap.has(tag))
  }

  /** A fiber invalidates. */
  invalidates(fiber: AnyFiber): void {
    if (!this.has(fiber)) return
    this.telemetry.report(
      "InvalidatedEarly",
      "",
      "something was invalidated inside a transaction. It is invalidated at once, so until the commit another reader may " +
        "load the old row and store it again. Invalidate after the commit: wrap the whole transaction in Cached.invalidates."
    )
  }
}
