/**
 * The tiers of a store, and how their operations are counted and reported.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Backend from "../../../Backend.js"
import type { CacheStoreError } from "../../../CacheError.js"
import type { TierCounters } from "../../../CacheMetrics.js"
import type { TimedOperation } from "../../../CacheStats.js"
import type { Entry } from "../../../Entry.js"
import * as AsyncEffect from "../../asyncEffect.js"
import { toStoreError } from "../../storeError.js"
import { monotonic } from "../../time.js"

export interface Tier {
  readonly backend: Backend.Backend
  /** The longest that an entry stays in this tier, in milliseconds. `Infinity` if the tier sets no limit. */
  readonly ttl: number
  readonly counters: TierCounters
}

/** A tier that keeps marks. */
export type Marked = Tier & { readonly backend: { readonly marks: NonNullable<Backend.Backend["marks"]> } }

/** What is known of the marks that tiers lost: see `losses.ts`. */
export interface LostMarks {
  readonly judge: (tier: Tier, marks: Backend.Marks) => Effect.Effect<Backend.Marks>
  readonly openOf: (tier: Tier) => Backend.Marks | undefined
  readonly mayConcern: (tier: Tier, entry: Entry) => boolean
}

export type Method<A> = Effect.Effect<A, CacheStoreError>

const live = /*#__PURE__*/ Clock.make()

/** The store before `attach` has been called. It accepts every entry and reports nothing. */
const noStore: Backend.Above = {
  admits: () => true,
  isCurrent: () => true,
  notify: () => {},
  run: () => {},
  failed: () => {},
  answered: () => {}
}

export class Tiers {
  readonly all: ReadonlyArray<Tier>
  /** The first tier, if it is in memory. The store above reads and writes it directly, without an effect. */
  readonly local: Tier | undefined
  /** All tiers but `local`, the fastest first. */
  readonly lower: ReadonlyArray<Tier>
  /**
   * The index in `lower` of the leading tier: the first one that counts the writes of all processes, or else the first.
   */
  readonly leading: number
  /** Whether the leading tier counts, so that the other tiers take its stamps and give none of their own. */
  readonly isCounted: boolean
  /** Whether a tier keeps marks. */
  readonly keepsMarks: boolean
  /** The store that uses these tiers. Mutable by design: `attach` sets it. */
  store: Backend.Above = noStore
  /** What is known of lost marks. Mutable by design: set where tiers keep marks. */
  losses: LostMarks = {
    judge: (_, marks) => Exit.succeed(marks),
    openOf: () => undefined,
    mayConcern: () => false
  }

  constructor(all: readonly [Tier, ...ReadonlyArray<Tier>]) {
    const [first] = all
    this.all = all
    this.local = first.backend.unsafeGet === undefined || first.backend.remote ? undefined : first
    this.lower = this.local === undefined ? all : all.slice(1)
    this.keepsMarks = this.lower.some(({ backend }) => backend.marks !== undefined)
    this.leading = Math.max(
      0,
      this.lower.findIndex(({ backend }) => backend.stamps !== undefined)
    )
    this.isCounted = this.lower[this.leading]?.backend.stamps !== undefined
  }

  /** A request to a tier that does not lead. */
  following<W extends { readonly follows?: boolean | undefined }>(request: W): W {
    return this.isCounted ? { ...request, follows: true } : request
  }

  /** The index of a tier among all. */
  indexOf(tier: Tier): number {
    return this.all.indexOf(tier)
  }

  /** The requests that concern a tier: all but those that only other tiers have missed. */
  requestsFor<W extends { readonly tiers?: ReadonlyArray<number> | undefined }>(
    tier: Tier,
    requests: ReadonlyArray<W>
  ): ReadonlyArray<W> {
    const index = this.indexOf(tier)
    return requests.filter(({ tiers }) => tiers === undefined || tiers.includes(index))
  }

  /** Runs an operation of a tier, and reports its success or its failure to the store. */
  watch<A>(tier: Tier, operation: Backend.Operation, method: Method<A>): Method<A> {
    return this.reported(tier, operation, () => method, {
      onFailure: (error) => this.failed(tier, operation, error),
      onSuccess: () => this.store.answered(tier.counters.tier, operation)
    })
  }

  /**
   * As `watch`, for an operation that is timed. It must be run at once: its time counts from this call, so that it costs
   * no further step of the fiber.
   */
  timed<A>(tier: Tier, operation: TimedOperation, method: () => Method<A>): Method<A> {
    const { tier: name, times } = tier.counters
    const kind = operation === "get" ? "read" : "write"
    const began = monotonic(live)
    return this.reported(tier, `${operation}Many`, method, {
      onFailure: (error) => {
        // what was not sent took no time that says anything
        if (error.reason !== "Disconnected") times.record(operation, monotonic(live) - began)
        this.failed(tier, kind, error)
      },
      onSuccess: () => {
        times.record(operation, monotonic(live) - began)
        this.store.answered(name, kind)
      }
    })
  }

  private reported<A>(
    tier: Tier,
    name: string,
    method: () => Method<A>,
    report: { readonly onFailure: (error: CacheStoreError) => void; readonly onSuccess: () => void }
  ): Method<A> {
    return AsyncEffect.andThen(AsyncEffect.suspend(method), (exit): Exit.Exit<A, CacheStoreError> => {
      if (exit._tag === "Success") {
        report.onSuccess()
        return exit
      }
      if (Cause.isInterruptedOnly(exit.cause)) return exit
      // a tier that dies counts as one that answered with an error, so that others can do its work
      const error = toStoreError(exit.cause, tier.backend.name, name)
      report.onFailure(error)
      return Exit.fail(error)
    })
  }

  /** Counts and reports a failure: of a whole operation, or only for the keys that the tier could not reach. */
  failed(tier: Tier, operation: Backend.Operation, error: CacheStoreError): void {
    tier.counters.error()
    this.store.failed(tier.counters.tier, operation, error)
  }
}
