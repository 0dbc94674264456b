/**
 * The outages of a backend: the kinds of operations that fail, each a problem of the store until it works again.
 *
 * Hysteresis. An operation that fails again within a minute after it worked is in the same outage, which is not logged
 * again: on a full disk small values are written and large ones are not. The end of an outage is logged when nothing has
 * failed for a minute, or when the backend reports that it is up.
 */
import * as Effect from "effect/Effect"
import type * as Backend from "../../Backend.js"
import type { CacheStoreError } from "../../CacheError.js"
import type { CacheEvent } from "../../CacheEvent.js"
import type { Name } from "../../CacheProblem.js"
import type { Problems } from "../problems.js"
import type { StoreRuntime } from "./storeRuntime.js"

/** For how many milliseconds an operation must not have failed before the end of its outage is logged. */
const outageEnd = 60_000

/** The kind of a backend operation. A backend may answer reads and refuse writes, so an outage is logged per kind. */
export type Operation = Backend.Operation | "lock"

/** The effect of an outage on the user, as the end of "until it works again". */
const consequence: Record<Operation, string> = {
  read: "reads run their lookups",
  write: "loaded values are not stored; sets, removals and invalidations apply in this process and are delivered later",
  mark: "`clear` and invalidations by tag apply in this process and are delivered to other processes later",
  lock: "each process loads for itself",
  renew: "entries of functions with `maxIdle` may expire although they are read, and are loaded again"
}

/** The name of the state in which operations of a kind fail. */
const outage: Record<Operation, Name> = {
  read: "ReadsFail",
  write: "WritesFail",
  mark: "MarksFail",
  lock: "LocksFail",
  renew: "RenewalsFail"
}

/** An operation that failed when it last ran. */
interface Failing {
  readonly operation: Operation
  /** The tier that reported it, if there are tiers. */
  readonly tier: string
  /** Whether it was not sent, because there is no connection or the breaker is open. */
  readonly isAway: boolean
}

export interface OutagesParts {
  readonly problems: Problems
  readonly publish: (event: () => CacheEvent) => void
  readonly runtime: Pick<StoreRuntime, "log" | "now">
  /** The store's name. */
  readonly store: string
}

export class Outages {
  /** The operations that failed when they last ran, and the tier that reported it, if there are tiers. */
  private readonly failing = new Map<string, Failing>()
  /** The operations that work again and whose outage was logged, but not its end, and since when they work. */
  private readonly recovering = new Map<string, number>()
  private readonly parts: OutagesParts

  constructor(parts: OutagesParts) {
    this.parts = parts
  }

  /** Whether an operation failed when it last ran. */
  get areAny(): boolean {
    return this.failing.size > 0
  }

  /**
   * An operation failed; `tier` is empty if there is only one. The client logs a lost connection itself, because it knows
   * the host: the error then has no cause.
   */
  begin(operation: Operation, tier: string, error: CacheStoreError): void {
    const { problems } = this.parts
    const key = `${tier} ${operation}`
    this.failing.set(key, { operation, tier, isAway: error.reason === "Disconnected" })
    if (this.isOver(key)) this.recovering.delete(key)
    problems.begin(
      outage[operation],
      tier,
      `${error.message}. Until it works again, ${consequence[operation]}. ` +
        "Check that the backend is reachable and accepts requests.",
      { isLogged: !this.recovering.has(key) && (error.reason !== "Disconnected" || error.cause !== undefined) }
    )
  }

  /**
   * An operation succeeded. So its tier can be reached, and an operation of another kind that was not sent would be now:
   * a slow tier may not be read again for long.
   */
  end(operation: Operation, tier: string): void {
    if (this.failing.size === 0 && this.recovering.size === 0) return
    const key = `${tier} ${operation}`
    if (!this.failing.has(key) && this.isOver(key)) {
      this.recovering.delete(key)
      if (this.failing.size === 0 && this.recovering.size === 0) this.logRecovery()
    }
    for (const [each, failing] of this.failing) {
      if (each === key || (failing.isAway && failing.tier === tier)) this.endOne(each, failing)
    }
  }

  private endOne(key: string, { operation, tier }: Failing): void {
    const { problems, publish, runtime } = this.parts
    this.failing.delete(key)
    const wasLogged = problems.end(outage[operation], tier)
    if (wasLogged || this.recovering.has(key)) this.recovering.set(key, runtime.now())
    if (this.failing.size === 0) publish(() => ({ _tag: "StoreUp" }))
  }

  /** The backend reports that it is up again, so every outage is over. */
  endAll(): void {
    if (this.failing.size === 0) return
    const { problems, publish } = this.parts
    let wasLogged = this.recovering.size > 0
    for (const { operation, tier } of this.failing.values()) {
      if (problems.end(outage[operation], tier)) wasLogged = true
    }
    this.failing.clear()
    this.recovering.clear()
    if (wasLogged) this.logRecovery()
    publish(() => ({ _tag: "StoreUp" }))
  }

  /** Whether an operation has worked for so long that its outage is over. */
  private isOver(key: string): boolean {
    const since = this.recovering.get(key)
    return since !== undefined && this.parts.runtime.now() - since >= outageEnd
  }

  private logRecovery(): void {
    const { runtime, store } = this.parts
    runtime.log(Effect.logInfo(`${store}: the store answers again`))
  }
}
