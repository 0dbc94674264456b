/**
 * A policy and a lookup, with every option decoded: what the engine needs to know of a cached function.
 *
 * Inside, values, errors and arguments are `any`: one engine carries those of all functions and looks into none. The
 * types of `Cached` say what each is, and no `any` leaves through them.
 */
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { AnySchema } from "../../Backend.js"
import type { Counters } from "../../CacheMetrics.js"
import { decodeMillis, decodePositive } from "../options.js"

export type Args = ReadonlyArray<any>

/** the part of a definition that `CachePolicy` may give */
export interface Lives {
  readonly ttl: number | ((value: any, ...args: Args) => Duration.DurationInput)
  readonly stale: number
  readonly retryAfter: number
  readonly flightTimeout: number
}

type Ttl = Duration.DurationInput | ((value: any, ...args: Args) => Duration.DurationInput)

const defaultRetryAfter = 1_000

const defaultFlightTimeout = 30_000

/** decodes the lives a user wrote, and fills in the defaults of laws 4 and 9 */
export const decodeLives = (options: {
  readonly ttl: Ttl
  readonly stale?: Duration.DurationInput | undefined
  readonly flightTimeout?: Duration.DurationInput | undefined
}): Lives => {
  const ttl = typeof options.ttl === "function" ? options.ttl : decodeMillis("ttl", options.ttl)
  return {
    ttl,
    stale: decodeMillis("stale", options.stale ?? 0),
    retryAfter: typeof ttl === "number" ? Math.min(defaultRetryAfter, ttl) : defaultRetryAfter,
    flightTimeout:
      options.flightTimeout === undefined
        ? defaultFlightTimeout
        : decodePositive("flightTimeout", options.flightTimeout)
  }
}

/** what a write needs to count: a lock that is still held */
export interface Fence {
  /** by which the medium knows who holds it */
  readonly token: string
  /** the medium refused a write for it */
  readonly refused: () => void
}

export interface DefinitionOptions extends Lives {
  readonly name: string
  readonly owner: string
  readonly lookup: (...args: Args) => Effect.Effect<any, any, any>
  readonly tags: ReadonlyArray<string> | ((value: any, ...args: Args) => ReadonlyArray<string>) | undefined
  readonly schema: AnySchema | undefined
  readonly strict: boolean
  readonly lease: number
}

export class Definition implements DefinitionOptions {
  /** the label in metrics, spans and events */
  readonly name: string
  /** the identity that entries carry: another function's are misses */
  readonly owner: string
  readonly lookup: (...args: Args) => Effect.Effect<any, any, any>
  readonly ttl: number | ((value: any, ...args: Args) => Duration.DurationInput)
  readonly stale: number
  readonly tags: ReadonlyArray<string> | ((value: any, ...args: Args) => ReadonlyArray<string>) | undefined
  readonly schema: AnySchema | undefined
  /** `onStoreError: "fail"` */
  readonly strict: boolean
  readonly retryAfter: number
  readonly flightTimeout: number
  /** how many milliseconds the lock among processes lasts without being renewed; 0 for no lock */
  readonly lease: number
  /** nothing is read, stored or shared */
  readonly off: boolean
  /** services in place of the caller's: after `capture` and `bg` */
  readonly env: Context.Context<any> | undefined
  /** the counters in the store of the last run, so that a hit looks nothing up; mutable by design */
  engine: object | undefined = undefined
  counters: Counters = undefined as never
  /** a background loader's: other processes follow what it writes; mutable by design */
  announces = false
  /** what its writes need to count, where one process writes among several; mutable by design */
  fence: Fence | undefined = undefined

  constructor(options: DefinitionOptions, env: Context.Context<any> | undefined) {
    this.name = options.name
    this.owner = options.owner
    this.lookup = options.lookup
    this.ttl = options.ttl
    this.stale = options.stale
    this.tags = options.tags
    this.schema = options.schema
    this.strict = options.strict
    this.retryAfter = options.retryAfter
    this.flightTimeout = options.flightTimeout
    this.lease = options.lease
    this.off = typeof options.ttl === "number" && options.ttl <= 0
    this.env = env
  }
}
