/**
 * A backend that fails on demand, around any other backend. It shows what a program, or a store, does when its cache
 * fails, hangs, is slow or returns garbage. Nothing fails before `begin`, and nothing after `calm`.
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Cached, MemoryCache } from "effect-cached"
 * import { ChaosCache } from "effect-cached/testing"
 *
 * const getUser = Cached.ttl((id: number) => Effect.succeed(`user ${id}`), { key: "user:{}", ttl: "1 minute" })
 *
 * const program = Effect.gen(function* () {
 *   const chaos = yield* ChaosCache.Chaos
 *   yield* chaos.begin({ delay: "20 millis" })
 *   yield* Console.log(yield* getUser(1)) // user 1
 *   yield* chaos.begin({ hang: 1 }, ["setMany"])
 *   yield* Console.log(yield* getUser(2)) // user 2
 *   yield* chaos.calm
 * })
 *
 * program.pipe(Effect.provide(ChaosCache.layer(MemoryCache.backend())), Effect.runPromise)
 * ```
 *
 * - Memory of this process cannot fail. For a backend in memory the `unsafe` members are left out, and the store treats
 *   it as a remote backend. For a backend of several tiers with a first tier in memory, the tiers below it fail.
 * - `notifications`, `changes`, `isUp` and `stamps` are passed through unchanged.
 * - Chance comes from `Random` and delays from `Clock`. Operations of a store use the `Random` of the place where its
 *   Layer was built, and the live clock.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type * as Backend from "../Backend.js"
import { CacheStoreError, InvalidOption } from "../CacheError.js"
import { CacheStore } from "../CacheStore.js"
import { Entry } from "../Entry.js"
import { decodeMillis } from "../internal/options.js"

/**
 * The faults of an operation. A likelihood is a number from 0 (never, the default) to 1 (always); any other number is
 * the defect `InvalidOption`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Faults {
  /** The likelihood that an operation fails without reaching the backend. */
  readonly fail?: number | undefined
  /** The likelihood that an operation is executed, but its answer is lost: the caller sees a failure. */
  readonly lose?: number | undefined
  /**
   * The likelihood that an operation hangs until `calm`, or until the `timeout` option. An operation that has timed out
   * is not executed.
   */
  readonly hang?: number | undefined
  /** The delay of each operation: a fixed time, or a random time between two bounds. */
  readonly delay?:
    | Duration.DurationInput
    | { readonly least: Duration.DurationInput; readonly most: Duration.DurationInput }
    | undefined
}

/**
 * The faults of a backend of bytes.
 *
 * @category models
 * @since 0.1.0
 */
export interface ByteFaults extends Faults {
  /** The likelihood that a value is read with every bit flipped. The stored bytes stay intact. */
  readonly corrupt?: number | undefined
}

/**
 * An operation that can fail independently: a method of `Backend`, both methods of its `marks`, or its `lock` including
 * the methods of a held lock.
 *
 * @category models
 * @since 0.1.0
 */
export type Verb = "getMany" | "setMany" | "setIfAbsent" | "removeMany" | "renew" | "sweep" | "list" | "marks" | "lock"

const verbs: ReadonlyArray<Verb> = [
  "getMany",
  "setMany",
  "setIfAbsent",
  "removeMany",
  "renew",
  "sweep",
  "list",
  "marks",
  "lock"
]

/**
 * The controls, which can be used while the store is in use.
 *
 * @category models
 * @since 0.1.0
 */
export interface Controls<in F extends Faults = Faults> {
  /** Sets the faults of some operations, by default of all. They replace the earlier faults of those operations. */
  readonly begin: (faults: F, verbs?: ReadonlyArray<Verb>) => Effect.Effect<void>
  /** Ends all faults. Operations that hang continue. */
  readonly calm: Effect.Effect<void>
  /** How many operations, or values, each fault has affected so far. */
  readonly struck: Effect.Effect<Readonly<Record<keyof ByteFaults, number>>>
}

/**
 * A backend with its controls.
 *
 * @category models
 * @since 0.1.0
 */
export interface Chaotic<V, in F extends Faults = Faults> {
  readonly backend: Backend.Backend<V>
  readonly chaos: Controls<F>
}

/**
 * The controls as a service. `layer` provides it beside the store.
 *
 * @category models
 * @since 0.1.0
 */
export class Chaos extends /*#__PURE__*/ Context.Tag("effect-cached/testing/Chaos")<Chaos, Controls>() {}

/**
 * The options of a backend with faults.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The timeout of an operation that hangs, like the timeout that a real backend sets on its I/O. By default there is
   * none: then the store gives the operation up, after 10 seconds.
   */
  readonly timeout?: Duration.DurationInput | undefined
}

/** The kind under which a failure of each operation is reported. That of `lock`, `sweep` or `list` is not reported. */
const operations: Readonly<Record<Verb, Backend.Operation | undefined>> = {
  getMany: "read",
  setMany: "write",
  setIfAbsent: "write",
  removeMany: "write",
  renew: "renew",
  sweep: undefined,
  list: undefined,
  marks: "mark",
  lock: undefined
}

const likelihoods = ["fail", "lose", "hang", "corrupt"] as const

type Likelihood = (typeof likelihoods)[number]

/** Decides which operations fail, and makes them fail. */
class FaultInjector implements Controls<ByteFaults> {
  /** The store, if the backend has several tiers and so reports its failures itself. Mutable by design. */
  store: Backend.Above | undefined = undefined
  private readonly current = new Map<Verb, ByteFaults>()
  private readonly counts = { fail: 0, lose: 0, hang: 0, delay: 0, corrupt: 0 }
  /** Ends the operations that hang. Mutable by design: `calm` replaces it. */
  private calmed = Deferred.unsafeMake<void>(FiberId.none)
  private readonly name: string
  private readonly timeout: number | undefined

  constructor(name: string, options: Options) {
    this.name = name
    this.timeout = options.timeout === undefined ? undefined : decodeMillis("timeout", options.timeout, name)
  }

  readonly begin = (faults: ByteFaults, which: ReadonlyArray<Verb> = verbs): Effect.Effect<void> =>
    Effect.suspend(() => {
      for (const fault of likelihoods) {
        const likelihood = faults[fault] ?? 0
        if (!(likelihood >= 0 && likelihood <= 1)) {
          return Effect.die(new InvalidOption({ option: fault, detail: `${likelihood} is not between 0 and 1` }))
        }
      }
      for (const verb of which) this.current.set(verb, faults)
      return Effect.void
    })

  readonly calm = Effect.suspend(() => {
    this.current.clear()
    const before = this.calmed
    this.calmed = Deferred.unsafeMake<void>(FiberId.none)
    return Effect.asVoid(Deferred.succeed(before, undefined))
  })

  readonly struck = Effect.sync(() => ({ ...this.counts }))

  /** Runs an operation with the current faults of `verb`. `method` names the operation in errors. */
  run<A>(verb: Verb, method: string, ask: Effect.Effect<A, CacheStoreError>): Effect.Effect<A, CacheStoreError> {
    return Effect.suspend(() => {
      const faults = this.current.get(verb)
      if (faults !== undefined) return this.runFaulty(faults, verb, method, ask)
      const operation = operations[verb]
      if (operation !== undefined) this.store?.answered(this.name, operation)
      return ask
    })
  }

  /** Damages the entries of an answer that `corrupt` strikes. */
  corrupt<V>(
    found: ReadonlyArray<Backend.Found<V>>,
    damage: (entry: Entry<V>) => Entry<V>
  ): Effect.Effect<Array<Backend.Found<V>>> {
    const likelihood = this.current.get("getMany")?.corrupt
    return Effect.forEach(
      found,
      (each): Effect.Effect<Backend.Found<V>> =>
        each instanceof Entry
          ? Effect.map(this.strikes("corrupt", likelihood), (struck) => (struck ? damage(each) : each))
          : Effect.succeed(each)
    )
  }

  private runFaulty<A>(
    faults: Faults,
    verb: Verb,
    method: string,
    ask: Effect.Effect<A, CacheStoreError>
  ): Effect.Effect<A, CacheStoreError> {
    const fail = (reason: "Rejected" | "Timeout") => this.failure(verb, method, reason)
    const { timeout } = this
    return Effect.gen(this, function* () {
      if (yield* this.strikes("hang", faults.hang)) {
        const wait = Deferred.await(this.calmed)
        yield* timeout === undefined
          ? wait
          : Effect.timeoutFail(wait, { duration: timeout, onTimeout: () => fail("Timeout") })
      }
      yield* this.pause(faults)
      if (yield* this.strikes("fail", faults.fail)) return yield* fail("Rejected")
      const answer = yield* ask
      return (yield* this.strikes("lose", faults.lose)) ? yield* fail("Timeout") : answer
    })
  }

  private failure(verb: Verb, method: string, reason: "Rejected" | "Timeout"): CacheStoreError {
    const error = new CacheStoreError({ reason, store: this.name, method, cause: new Error("chaos") })
    const operation = operations[verb]
    if (operation !== undefined) this.store?.failed(this.name, operation, error)
    return error
  }

  private strikes(fault: Likelihood, likelihood: number | undefined): Effect.Effect<boolean> {
    return likelihood === undefined || likelihood === 0
      ? Effect.succeed(false)
      : Effect.map(Random.next, (chance) => {
          if (chance >= likelihood) return false
          this.counts[fault]++
          return true
        })
  }

  private pause({ delay }: Faults): Effect.Effect<void> {
    if (delay === undefined) return Effect.void
    this.counts.delay++
    if (typeof delay !== "object" || !("least" in delay)) return Effect.sleep(delay)
    const [least, most] = [Duration.toMillis(delay.least), Duration.toMillis(delay.most)]
    return Effect.flatMap(Random.nextRange(least, most), Effect.sleep)
  }
}

/** Requires every member of `T`, so that the compiler finds a member of `Backend` that is missing here. */
type All<T> = { readonly [K in keyof Required<T>]: T[K] }
type Whole<V> = Omit<All<Backend.Backend<V>>, "marks" | "lock"> & {
  readonly marks: All<NonNullable<Backend.Backend["marks"]>> | undefined
  readonly lock:
    | ((key: string, lease: number) => Effect.Effect<All<Backend.Held> | number, CacheStoreError>)
    | undefined
}

const wrap = <V>(
  inner: Backend.Backend<V>,
  options: Options,
  damage: (entry: Entry<V>) => Entry<V>
): Chaotic<V, ByteFaults> => {
  const injector = new FaultInjector(inner.name, options)
  const { attach, lock, marks } = inner
  // the store reads a backend in memory without an effect, which could not fail, unless it takes the backend for remote
  const local: Partial<Backend.Backend<V>> = inner.remote ? inner : {}
  const backend: Whole<V> = {
    name: inner.name,
    remote: true,
    hits: local.hits,
    limitEntries: inner.limitEntries,
    unsafeGet: local.unsafeGet,
    unsafePeek: local.unsafePeek,
    unsafeSet: local.unsafeSet,
    unsafeRemove: local.unsafeRemove,
    unsafeSize: local.unsafeSize,
    unsafeMeasure: local.unsafeMeasure,
    followMarks: inner.followMarks,
    unsafeClear: local.unsafeClear,
    unsafeFree: local.unsafeFree,
    unsafeReserve: local.unsafeReserve,
    wasCleared: inner.wasCleared,
    freeze: inner.freeze,
    isInProcess: inner.isInProcess,
    onRemoved: inner.onRemoved,
    getMany: (reads) =>
      Effect.flatMap(injector.run("getMany", "getMany", inner.getMany(reads)), (answers) =>
        Effect.map(injector.corrupt(answers.found, damage), (found) => ({ ...answers, found }))
      ),
    setMany: (writes) => injector.run("setMany", "setMany", inner.setMany(writes)),
    setIfAbsent: (write, options) => injector.run("setIfAbsent", "setIfAbsent", inner.setIfAbsent(write, options)),
    removeMany: (removals) => injector.run("removeMany", "removeMany", inner.removeMany(removals)),
    renew: inner.renew && ((renewals) => injector.run("renew", "renew", inner.renew!(renewals))),
    sweep: inner.sweep && ((sweep) => injector.run("sweep", "sweep", inner.sweep!(sweep))),
    list: inner.list && ((listing) => injector.run("list", "list", inner.list!(listing))),
    marks: marks && {
      every: marks.every,
      read: injector.run("marks", "marks", marks.read),
      raise: (raised) => injector.run("marks", "raise", marks.raise(raised))
    },
    changes: inner.changes,
    problems: inner.problems,
    notifications: inner.notifications,
    needsNotifications: inner.needsNotifications,
    lock:
      lock &&
      ((key, lease) =>
        Effect.map(injector.run("lock", "lock", lock(key, lease)), (held) =>
          typeof held === "number"
            ? held
            : {
                token: held.token,
                renew: injector.run("lock", "renew", held.renew),
                release: injector.run("lock", "unlock", held.release)
              }
        )),
    attach:
      attach &&
      ((store) => {
        injector.store = store
        attach(store)
      }),
    tiers: inner.tiers,
    isOwnerless: inner.isOwnerless,
    keepsFailures: inner.keepsFailures,
    isUp: inner.isUp,
    states: inner.states,
    stamps: inner.stamps
  }
  const { begin, calm, struck } = injector
  return { backend, chaos: { begin, calm, struck } }
}

/**
 * Wraps a backend of values, such as a tier takes. Values cannot be corrupted: see `makeBytes`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <V = unknown>(inner: Backend.Backend<V>, options: Options = {}): Effect.Effect<Chaotic<V>> =>
  Effect.sync(() => wrap(inner, options, (entry) => entry))

/**
 * Wraps a backend of bytes, below its serializer. `CacheStore.makeBytes` makes a store from it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeBytes = (
  inner: Backend.Backend<Uint8Array>,
  options: Options = {}
): Effect.Effect<Chaotic<Uint8Array, ByteFaults>> =>
  Effect.sync(() =>
    wrap(
      inner,
      options,
      (entry) =>
        new Entry(
          entry.value.map((byte) => byte ^ 0xff),
          entry
        )
    )
  )

/**
 * A Layer that provides a store whose backend fails on demand, and its controls.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never, R = never>(
  backend: Effect.Effect<Backend.Backend, E, R>,
  options: Options & CacheStore.Options = {}
): Layer.Layer<CacheStore | Chaos, E, Exclude<R, Scope.Scope>> =>
  Layer.scopedContext(
    Effect.gen(function* () {
      const chaotic = yield* make(yield* backend, options)
      const store = yield* CacheStore.make(chaotic.backend, options)
      return Context.make(CacheStore, store).pipe(Context.add(Chaos, chaotic.chaos))
    })
  )
