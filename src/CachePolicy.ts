/**
 * Lifetimes of cached functions, decided in one place. `Cached.policy` takes them from this Layer, so they can be
 * changed by configuration, per function where needed, without touching the code that caches.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Cached, CachePolicy, MemoryCacheLive } from "effect-cached"
 *
 * const getUser = Cached.policy((id: number) => Effect.succeed({ id }), { key: "user:{}" })
 *
 * const Lifetimes = CachePolicy.layer({
 *   ttl: "1 minute",
 *   functions: { "user:{}": { ttl: "10 minutes", stale: "1 hour" } }
 * })
 *
 * getUser(42).pipe(Effect.provide(Layer.merge(MemoryCacheLive, Lifetimes)), Effect.runPromise)
 * ```
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Lifetimes, PolicyInUse, PolicyReports } from "./internal/engine/definition.js"
import { decodeLifetimes } from "./internal/engine/definition.js"

/**
 * The service that gives functions cached by `Cached.policy` their lifetimes.
 *
 * @category models
 * @since 0.1.0
 */
export class CachePolicy extends /*#__PURE__*/ Context.Tag("effect-cached/CachePolicy")<
  CachePolicy,
  CachePolicy.Service
>() {
  /**
   * A Layer with one policy for all functions, and exceptions by name. A negative duration, `NaN`, or a text that is no
   * duration is the defect `InvalidOption`, which names the function of an exception.
   */
  static readonly layer = (options: CachePolicy.Options): Layer.Layer<CachePolicy> =>
    Layer.scoped(CachePolicy, make(options))

  /** The same Layer, with options from `Config`. */
  static readonly layerConfig = (
    config: Config.Config.Wrap<CachePolicy.Options>
  ): Layer.Layer<CachePolicy, ConfigError> => Layer.scoped(CachePolicy, Effect.flatMap(Config.unwrap(config), make))
}

/**
 * @since 0.1.0
 */
export declare namespace CachePolicy {
  /**
   * The lifetimes of the entries of a function.
   *
   * @since 0.1.0
   */
  export interface Policy {
    /** How long an entry is fresh, counted from the end of its load. Zero means that nothing is cached. */
    readonly ttl: Duration.DurationInput
    /** How long after that a read still returns the stale value, and starts a refresh. Default: 0. */
    readonly stale?: Duration.DurationInput | undefined
    /**
     * How long after its `ttl` a value still answers when the load fails. Counted from `ttl`, not from the end of
     * `stale`. Default: 0.
     */
    readonly staleIfError?: Duration.DurationInput | undefined
    /**
     * How long a key is not loaded after a failed load, while an old value can answer. Default: the smallest of 10
     * seconds, the `ttl`, and a tenth of the time for which the value can still answer.
     */
    readonly retryAfter?: Duration.DurationInput | undefined
    /** How long a load may be joined and may store its value. Default: 30 seconds. */
    readonly flightTimeout?: Duration.DurationInput | undefined
    /** The fraction of `ttl`, from 0 to 1, that is added to it at random. Default: 0. */
    readonly jitter?: number | undefined
    /**
     * How many loads of each function run at once in this process and store; more wait in the order in which they came.
     * `Infinity` lifts a limit of the general policy. Default: no limit.
     */
    readonly concurrency?: number | undefined
    /**
     * The fraction, from 0 to 1, of its lifetime after which a fresh value is refreshed behind the next read. Default: it
     * is not.
     */
    readonly refreshAhead?: number | undefined
    /**
     * How long a read waits before it returns an old value that `staleIfError` allows, while the load goes on. Requires
     * `staleIfError`. `timeout.hard` and `timeout.then` are options of the function. Default: a read waits for its load.
     */
    readonly timeout?: { readonly soft?: Duration.DurationInput | undefined } | undefined
    /**
     * An entry that nobody reads for this long expires, before its end. In memory and Redis only: with another store a
     * read dies with `InvalidOption`. Default: no limit.
     */
    readonly maxIdle?: Duration.DurationInput | undefined
    /**
     * How many entries each function may have in the memory of this process. `Infinity` lifts a limit of the general
     * policy. Default: no limit.
     *
     * @since 0.2.0
     */
    readonly maxEntries?: number | undefined
  }

  /**
   * The policy for all functions, and exceptions from it.
   *
   * @since 0.1.0
   */
  export interface Options extends Policy {
    /**
     * Exceptions by the name of the function: its `name`, else its key template as written (`"user:{}"`). What an
     * exception leaves out is taken from the general policy. A name that no function has is logged at Warning, at the
     * latest after a minute. Default: none.
     */
    readonly functions?: Readonly<Record<string, Partial<Policy>>> | undefined
  }

  /**
   * The service behind the tag.
   *
   * @since 0.1.0
   */
  export interface Service {
    /** @internal */
    readonly lifetimesOf: (name: string) => Lifetimes
    /** @internal */
    readonly use: PolicyInUse["use"]
  }
}

/** How long a function may take to be read before the exception for its name is reported. */
const patience = Duration.minutes(1)

/**
 * The name that earlier builds gave to a template: its text up to the first `:` or placeholder, or the first text
 * that is not empty.
 */
const formerName = (template: string): string => {
  // matches a placeholder, or a text without colons in which braces are doubled
  for (const [, text] of template.matchAll(/\{(?!\{)[^}]*\}?|((?:\{\{|[^:{])+)/g)) {
    if (text !== undefined) return text.replaceAll("{{", "{").replaceAll("}}", "}")
  }
  return template
}

const reason =
  "no function of this name was read within a minute. Check the name: it is the option `name` of the function, " +
  'else its key template as written, such as "user:{}"'

/** The names of exceptions that no function had so far. Each is reported once per store. */
class UnusedNames {
  private readonly unused: Set<string>
  /** The stores to report to, until the time is up. */
  private stores: ReadonlySet<PolicyReports> = new Set()
  private isOverdue = false
  /** Whether the names were logged because no store was there to report to. */
  private isLogged = false

  constructor(names: Iterable<string>) {
    this.unused = new Set(names)
  }

  use(name: string, store: PolicyReports): void {
    if (this.unused.size === 0) return
    if (this.unused.delete(name)) store.policyNameUsed(name)
    const former = formerName(name)
    if (this.unused.has(former)) {
      store.policyNameUnused(
        former,
        `no function read so far has this name. The name of a function is its key template: write ${JSON.stringify(name)}`
      )
    }
    if (this.isOverdue) this.reportTo(store)
    else this.stores = new Set(this.stores).add(store)
  }

  private reportTo(store: PolicyReports): void {
    for (const name of this.unused) store.policyNameUnused(name, reason, { isLogged: !this.isLogged })
  }

  /** Reports the names that are still unused. If no store has used the policy, they are logged here. */
  readonly timeIsUp: Effect.Effect<void> = Effect.suspend(() => {
    this.isOverdue = true
    const { stores } = this
    this.stores = new Set()
    for (const store of stores) this.reportTo(store)
    if (stores.size > 0 || this.unused.size === 0) return Effect.void
    this.isLogged = true
    const names = Array.from(this.unused, (name) => JSON.stringify(name)).join(", ")
    return Effect.logWarning(`CachePolicy: the exceptions for ${names} have no effect: ${reason}.`)
  })
}

/** The options of an exception that are given. One that is `undefined`, as from `Config`, is left out. */
const given = (policy: Partial<CachePolicy.Policy>): Partial<CachePolicy.Policy> =>
  Object.fromEntries(Object.entries(policy).filter(([, option]) => option !== undefined))

const make = Effect.fnUntraced(function* ({
  functions,
  ...all
}: CachePolicy.Options): Effect.fn.Return<CachePolicy.Service, never, Scope.Scope> {
  const general = decodeLifetimes(all, "CachePolicy")
  const special = new Map(
    Object.entries(functions ?? {}).map(([name, policy]) => [name, decodeLifetimes({ ...all, ...given(policy) }, name)])
  )
  const names = new UnusedNames(special.keys())
  if (special.size > 0) yield* Effect.forkScoped(Effect.delay(names.timeIsUp, patience))
  return {
    lifetimesOf: (name) => special.get(name) ?? general,
    use: (name, store) => names.use(name, store)
  }
})
