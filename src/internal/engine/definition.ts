/**
 * The definition of a cached function: its policy and its lookup, with every option decoded.
 *
 * Values, errors and arguments are `any` in here, because one engine carries those of all functions and looks into none
 * of them. The types of `Cached` describe them, and no `any` leaves the package through those types.
 */
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FiberRefs from "effect/FiberRefs"
import * as Option from "effect/Option"
import type * as Random from "effect/Random"
import type { AnySchema } from "../../Backend.js"
import { InvalidOption } from "../../CacheError.js"
import type { Counters } from "../../CacheMetrics.js"
import * as Entry from "../../Entry.js"
import { checkLimit, decodeFraction, decodeMillis, decodePositive, decodeResult } from "../options.js"
import type { FailureStorage } from "./failureStorage.js"
import { jittered } from "./jitter.js"
import type { OnError } from "./onError.js"
import type { Partition } from "./partition.js"

export type Args = ReadonlyArray<unknown>

/** The arguments of a cached effect. */
export const noArgs: Args = []

/** A lifetime that is computed from the value and the arguments. */
type OfValue = (value: unknown, ...args: Args) => Duration.DurationInput

export type LookupFunction = (...args: Args) => Effect.Effect<unknown, unknown, unknown>

type Tags = ReadonlyArray<string> | ((value: unknown, ...args: Args) => ReadonlyArray<string>) | undefined

/** The durations of a definition. `CachePolicy` may supply them in place of the function's own options. */
export interface Lifetimes {
  readonly ttl: number | OfValue
  readonly stale: number | OfValue
  /** For how many milliseconds after its `ttl` a value answers in place of a load that fails. */
  readonly staleIfError: number
  /** The pause after a failed load; `undefined` for the default, which depends on the entry. */
  readonly retryAfter: number | undefined
  readonly flightTimeout: number
  /** The fraction of `ttl` that is added at random. */
  readonly jitter: number
  /** How many loads run at once, those within another load aside. `Infinity` if there is no limit. */
  readonly concurrency: number
  /** The fraction of its lifetime after which a fresh entry is refreshed behind a read; `undefined`: it is not. */
  readonly refreshAhead: number | undefined
  /** How many entries the function may have in memory. `Infinity` if there is no limit. */
  readonly maxEntries: number
  /** For how many milliseconds nobody may read an entry before it expires; `undefined` if that does not matter. */
  readonly maxIdle: number | undefined
  /** After how many milliseconds of a read an old value answers; `undefined`: it waits for the load. */
  readonly softTimeout: number | undefined
}

/** The time limits of the reads of a function, in milliseconds. Infinite where there is none. */
export interface Timeouts {
  readonly soft: number
  readonly hard: number
  /** Whether a load goes on without its readers when they have timed out. */
  readonly goesOn: boolean
}

const defaultFlightTimeout = 30_000

/** Refuses a time in place of the limits: it would be no limit at all. */
const checkTimeout = (timeout: unknown, of: string): void => {
  if (timeout === undefined || (typeof timeout === "object" && timeout !== null)) return
  throw new InvalidOption({ option: "timeout", of, detail: 'is not an object such as { hard: "2 seconds" }' })
}

/** Decodes the durations that a user wrote for the function `of`, and fills in the defaults. */
export const decodeLifetimes = (
  options: {
    readonly ttl: Duration.DurationInput | OfValue
    readonly stale?: Duration.DurationInput | OfValue | undefined
    readonly staleIfError?: Duration.DurationInput | undefined
    readonly retryAfter?: Duration.DurationInput | undefined
    readonly flightTimeout?: Duration.DurationInput | undefined
    readonly jitter?: number | undefined
    readonly concurrency?: number | undefined
    readonly refreshAhead?: number | undefined
    readonly timeout?: { readonly soft?: Duration.DurationInput | undefined } | undefined
    readonly maxIdle?: Duration.DurationInput | undefined
    readonly maxEntries?: number | undefined
  },
  of: string
): Lifetimes => {
  checkTimeout(options.timeout, of)
  const softTimeout =
    options.timeout?.soft === undefined ? undefined : decodeMillis("timeout.soft", options.timeout.soft, of)
  const lifetimes: Lifetimes = {
    ttl: typeof options.ttl === "function" ? options.ttl : decodeMillis("ttl", options.ttl, of),
    stale: typeof options.stale === "function" ? options.stale : decodeMillis("stale", options.stale ?? 0, of),
    staleIfError: decodeMillis("staleIfError", options.staleIfError ?? 0, of),
    retryAfter: options.retryAfter === undefined ? undefined : decodeMillis("retryAfter", options.retryAfter, of),
    flightTimeout:
      options.flightTimeout === undefined
        ? defaultFlightTimeout
        : decodePositive("flightTimeout", options.flightTimeout, of),
    jitter: decodeFraction("jitter", options.jitter ?? 0, of),
    concurrency: checkLimit("concurrency", options.concurrency ?? Number.POSITIVE_INFINITY, of),
    refreshAhead:
      options.refreshAhead === undefined ? undefined : decodeFraction("refreshAhead", options.refreshAhead, of),
    softTimeout,
    maxEntries: checkLimit("maxEntries", options.maxEntries ?? Number.POSITIVE_INFINITY, of),
    maxIdle: options.maxIdle === undefined ? undefined : decodePositive("maxIdle", options.maxIdle, of)
  }
  if (softTimeout === undefined) return lifetimes
  const refuse = (detail: string) => {
    throw new InvalidOption({ option: "timeout.soft", of, detail })
  }
  if (lifetimes.staleIfError === 0) refuse("needs `staleIfError`: no other value may answer in place of the load")
  if (softTimeout >= lifetimes.flightTimeout) refuse("must be shorter than `flightTimeout`, which ends the load")
  return lifetimes
}

/** Decodes the time limits of reads; `undefined` if there are none. */
export const decodeTimeouts = (
  timeout: { readonly hard?: Duration.DurationInput | undefined; readonly then?: unknown } | undefined,
  { flightTimeout, softTimeout }: Lifetimes,
  of: string
): Timeouts | undefined => {
  checkTimeout(timeout, of)
  const { hard: given, then: end = "continue" } = timeout ?? {}
  const hard = given === undefined ? Number.POSITIVE_INFINITY : decodePositive("timeout.hard", given, of)
  const refuse = (option: string, detail: string) => {
    throw new InvalidOption({ option, of, detail })
  }
  if (end !== "continue" && end !== "interrupt") refuse("timeout.then", 'is neither "continue" nor "interrupt"')
  if (given !== undefined && hard >= flightTimeout) refuse("timeout.hard", "must be shorter than `flightTimeout`")
  if (softTimeout !== undefined && softTimeout >= hard) refuse("timeout.soft", "must be shorter than `timeout.hard`")
  return given === undefined && softTimeout === undefined
    ? undefined
    : { soft: softTimeout ?? Number.POSITIVE_INFINITY, hard, goesOn: end === "continue" }
}

/** The lifetime of one value, and its tags. */
export interface ValueLifetime {
  readonly ttl: number
  readonly stale: number
  readonly staleIfError?: number | undefined
  readonly maxIdle?: number | undefined
  readonly tags: ReadonlyArray<string>
}

/** What an entry has beside its times. An idle time that is not shorter than its life means nothing. */
const extensionOf = (
  { maxIdle, stale, staleIfError = 0, ttl }: ValueLifetime,
  now: number
): Entry.Extension | undefined => {
  const staleEnd =
    staleIfError > stale && ttl < Number.POSITIVE_INFINITY ? { staleUntil: now + ttl + stale } : undefined
  return maxIdle === undefined || maxIdle >= ttl + Math.max(stale, staleIfError)
    ? staleEnd
    : { ...staleEnd, idle: maxIdle, readAt: now }
}

/** Makes the entry of a value that was loaded or set at `now`. */
export const makeEntry = (
  value: unknown,
  lifetime: ValueLifetime,
  { now, owner, stamp }: { readonly stamp: number; readonly now: number; readonly owner: string }
): Entry.Entry => {
  const { stale, staleIfError = 0, tags, ttl } = lifetime
  return new Entry.Entry(value, {
    stamp,
    createdAt: now,
    freshUntil: now + ttl,
    expiresAt: now + ttl + Math.max(stale, staleIfError),
    owner,
    tags,
    extension: extensionOf(lifetime, now)
  })
}

const checkTags = (tags: unknown, of: string): ReadonlyArray<string> => {
  if (Array.isArray(tags) && tags.every((tag) => typeof tag === "string")) return tags
  throw new InvalidOption({ option: "tags", of, detail: "the function did not return an array of strings" })
}

/** A lock that must still be held when a write reaches the backend. */
export interface Fence {
  /** The token by which the backend recognizes the holder of the lock. */
  readonly token: string
  /** Called when the backend refused a write because the lock was lost. */
  readonly refused: () => void
}

/** The services and FiberRefs that were taken once, for all loads of a function. */
export interface Captured {
  readonly context: Context.Context<unknown>
  readonly refs: FiberRefs.FiberRefs
}

/** How the loads of a function are batched: its options, decoded. */
export interface Batching extends Pick<Lifetimes, "concurrency"> {
  readonly owner: string
  /** The name of the function. */
  readonly name: string
  readonly lookupMany: (ids: ReadonlyArray<unknown>) => Effect.Effect<Iterable<unknown>, unknown, unknown>
  /** The key of an id, by which results are matched. All ids of a batch have the same partition, if any. */
  readonly keyOf: (id: unknown, partition: Partition | undefined) => string
  /** How many milliseconds a batch waits for further keys. 0: until the fibers that are ready have run. */
  readonly window: number
  readonly maxBatchSize: number
  /** Whether the lookup returns a list of options in the order of the ids, in place of pairs. */
  readonly isOrdered: boolean
  /** How many milliseconds an absent key is fresh. 0: it is not stored. */
  readonly absentTtl: number
  /** Whether the values of the function are no options: the lookup of one id makes them of its option. */
  readonly isPlain?: boolean | undefined
}

export interface DefinitionOptions extends Omit<Lifetimes, "softTimeout"> {
  readonly name: string
  readonly owner: string
  /** Whether the user gave the name. */
  readonly isNamed: boolean
  readonly lookup: LookupFunction | Effect.Effect<unknown, unknown, unknown>
  /** Runs the lookup, if that takes more than a call with the arguments. */
  readonly load?: ((args: Args) => Effect.Effect<unknown, unknown, unknown>) | undefined
  /** Given for a batched function, whose `lookup` enters a batch, and whose values are options unless it `isPlain`. */
  readonly batching?: Batching | undefined
  readonly tags: Tags
  readonly schema: AnySchema | undefined
  readonly strict: boolean
  /** The user's handler of the failures that no reader sees. */
  readonly onError?: OnError | undefined
  readonly timeouts?: Timeouts | undefined
  /** How failures of the lookup are stored, if they are. */
  readonly failures?: FailureStorage | undefined
  readonly lease: number
  /** The `CachePolicy` that the lifetimes come from, if they come from one. */
  readonly policy: PolicyInUse | undefined
}

/** Where a `CachePolicy` reports the exceptions that have no effect: the problems of a store. */
export interface PolicyReports {
  readonly policyNameUnused: (name: string, reason: string, options?: { readonly isLogged?: boolean }) => void
  readonly policyNameUsed: (name: string) => void
}

/** A `CachePolicy`, as a store sees it. */
export interface PolicyInUse {
  /** A function of this name is read under the policy, on the store that `reports` belongs to. */
  readonly use: (name: string, reports: PolicyReports) => void
}

/** The property of a lookup that takes the previous value: see `cached/conditional.ts`. */
export const ConditionalId: unique symbol = /*#__PURE__*/ Symbol.for("effect-cached/Conditional") as never

export class Definition implements Omit<DefinitionOptions, "lookup" | "load" | "stale"> {
  /** The label of the function in metrics, spans and events. */
  readonly name: string
  /** The identity that entries carry. Entries of another owner are misses. */
  readonly owner: string
  readonly isNamed: boolean
  private readonly lookup: (args: Args) => Effect.Effect<unknown, unknown, unknown>
  /**
   * The lookup, to be compared with those of other functions. Absent if it is an effect: effects are made anew for every
   * call.
   */
  readonly comparable: LookupFunction | undefined
  /** Whether the lookup takes the previous value. */
  readonly isConditional: boolean
  readonly batching: Batching | undefined
  readonly ttl: number | OfValue
  /** Infinite where it is computed from the value, so that a backend whose format has no end of entries keeps them. */
  readonly stale: number
  private readonly staleOfValue: OfValue | undefined
  readonly jitter: number
  readonly refreshAhead: number | undefined
  readonly staleIfError: number
  readonly maxIdle: number | undefined
  readonly maxEntries: number
  readonly tags: Tags
  readonly schema: AnySchema | undefined
  /** Whether a read fails when the store fails: `onStoreError: "fail"`. */
  readonly strict: boolean
  readonly onError: OnError | undefined
  readonly timeouts: Timeouts | undefined
  readonly failures: FailureStorage | undefined
  readonly retryAfter: number | undefined
  readonly flightTimeout: number
  readonly concurrency: number
  /** How many milliseconds the lock among processes lasts without being renewed. 0 means that loads take no lock. */
  readonly lease: number
  /** Whether the function is not cached at all: nothing is read, stored or shared. */
  readonly off: boolean
  readonly policy: PolicyInUse | undefined
  /** The services and FiberRefs of its loads in place of the caller's, after `capture` and for `bg`. */
  readonly captured: Captured | undefined
  /**
   * Identifies the store of the latest read, which `counters` belong to. They are kept here so that a hit does not look
   * them up. Mutable by design.
   */
  store: object | undefined = undefined
  counters: Counters = undefined as never
  /**
   * Whether other processes follow what this function writes, as they do for a background loader. Mutable by design.
   */
  announces = false
  /** The lock that its writes require, where one process writes among several. Mutable by design. */
  fence: Fence | undefined = undefined

  constructor(options: DefinitionOptions, captured: Captured | undefined) {
    this.name = options.name
    this.owner = options.owner
    const { batching, lookup } = options
    this.isNamed = options.isNamed
    const called = Effect.isEffect(lookup) ? undefined : (lookup as LookupFunction)
    this.comparable = (batching?.lookupMany as LookupFunction | undefined) ?? called
    this.isConditional = this.comparable !== undefined && ConditionalId in this.comparable
    this.batching = batching
    this.lookup =
      options.load ??
      (called === undefined
        ? () => lookup as Effect.Effect<unknown, unknown, unknown>
        : // without a `this`: it must not come to depend on an object of this library
          (args) => called(...args))
    this.ttl = options.ttl
    const { stale } = options
    this.stale = typeof stale === "function" ? Number.POSITIVE_INFINITY : stale
    this.staleOfValue = typeof stale === "function" ? stale : undefined
    this.jitter = options.jitter
    this.refreshAhead = options.refreshAhead
    this.staleIfError = options.staleIfError
    this.maxIdle = options.maxIdle
    this.maxEntries = options.maxEntries
    this.tags = options.tags
    this.schema = options.schema
    this.strict = options.strict
    this.onError = options.onError
    this.timeouts = options.timeouts
    this.failures = options.failures
    this.retryAfter = options.retryAfter
    this.flightTimeout = options.flightTimeout
    this.concurrency = options.concurrency
    this.lease = options.lease
    this.policy = options.policy
    this.off = typeof options.ttl === "number" && options.ttl <= 0
    this.captured = captured
  }

  /**
   * Whether an entry was expired before its time, and its readers keep it all the same until then: those of a background
   * loader do, which loads meanwhile.
   */
  keeps({ createdAt, freshUntil }: Entry.Entry, now: number): boolean {
    const { announces, ttl } = this
    return announces && typeof ttl === "number" && freshUntil < createdAt + ttl && now < createdAt + ttl
  }

  /** Calls the lookup. */
  load(args: Args): Effect.Effect<unknown, unknown, unknown> {
    return this.lookup(args)
  }

  /** The value that options are computed from; `undefined` for the absent value of a batched function. */
  private presentOf(value: unknown): { readonly value: unknown } | undefined {
    const { batching } = this
    if (batching === undefined || batching.isPlain === true) return { value }
    return Option.getOrUndefined(Option.map(value as Option.Option<unknown>, (value) => ({ value })))
  }

  /** How long a value may be served as stale. Throws what a `stale` function of the user throws. */
  staleOf(value: unknown, args: Args): number {
    const { staleOfValue } = this
    if (staleOfValue === undefined) return this.stale
    const present = this.presentOf(value)
    return present === undefined ? 0 : decodeResult("stale", staleOfValue(present.value, ...args), this.name)
  }

  /**
   * The lifetime and the tags of a value. Throws what a `ttl`, `stale` or `tags` function of the user throws. `random` is
   * that of `randomFor`.
   */
  lifetimeOf(value: unknown, args: Args, random: Random.Random | undefined): ValueLifetime {
    const { batching, jitter, maxIdle, tags, ttl } = this
    const present = this.presentOf(value)
    // what is computed from the value does not apply to an absent one
    if (present === undefined) {
      return {
        ttl: jittered(batching!.absentTtl, jitter, random),
        stale: 0,
        maxIdle,
        tags: typeof tags === "function" ? Entry.noTags : (tags ?? Entry.noTags)
      }
    }
    const fresh = typeof ttl === "number" ? ttl : decodeResult("ttl", ttl(present.value, ...args), this.name)
    return {
      ttl: jittered(fresh, jitter, random),
      stale: this.staleOf(value, args),
      staleIfError: this.staleIfError,
      maxIdle,
      tags: typeof tags === "function" ? checkTags(tags(present.value, ...args), this.name) : (tags ?? Entry.noTags)
    }
  }
}
