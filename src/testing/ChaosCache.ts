/**
 * A medium that misbehaves as it is told, around any other: to see what a program, or a store, does when its cache fails,
 * hangs, is slow or holds garbage. Nothing goes wrong until `begin`, and nothing any more after `calm`.
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
 * - What the process holds itself cannot fail: of a medium in memory the `unsafe` verbs are left out, and the store takes
 *   it for a remote one. Around several tiers, what is behind the first one in memory fails.
 * - `notifications`, `changes`, `isUp` and `offset` are passed on as they are.
 * - Chance comes from `Random`, waiting from `Clock`: where a store asks, those of the place where its Layer was built, and
 *   the live clock.
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
import { toMillis } from "../internal/time.js"

/**
 * What can go wrong with an operation. Likelihoods are from 0, the default, to 1: always; what is none is the defect
 * `InvalidOption`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Faults {
  /** how likely it fails, and does not reach the medium */
  readonly fail?: number | undefined
  /** how likely it is carried out and its answer lost: whoever asked hears of a failure */
  readonly lose?: number | undefined
  /** how likely there is no answer until `calm`, see `timeout`; what has been given up by then is not carried out */
  readonly hang?: number | undefined
  /** by how much it takes longer: exactly, or by chance between two bounds */
  readonly delay?:
    | Duration.DurationInput
    | { readonly least: Duration.DurationInput; readonly most: Duration.DurationInput }
    | undefined
}

/**
 * The same for a medium of bytes.
 *
 * @category models
 * @since 0.1.0
 */
export interface ByteFaults extends Faults {
  /** how likely the bytes of a value that is read come back with every bit turned over; the medium keeps them sound */
  readonly corrupt?: number | undefined
}

/**
 * What may fail by itself: a method of `Backend`, or both of its `marks`, or its `lock` with what is held.
 *
 * @category models
 * @since 0.1.0
 */
export type Verb = "getMany" | "setMany" | "setIfAbsent" | "removeMany" | "marks" | "lock"

const verbs: ReadonlyArray<Verb> = ["getMany", "setMany", "setIfAbsent", "removeMany", "marks", "lock"]

/**
 * How it is controlled while the store is in use.
 *
 * @category models
 * @since 0.1.0
 */
export interface Controls<in F extends Faults = Faults> {
  /** from now on, for these verbs, by default all; takes the place of what was said of them before */
  readonly begin: (faults: F, verbs?: ReadonlyArray<Verb>) => Effect.Effect<void>
  /** nothing goes wrong any more, and what hangs goes on */
  readonly calm: Effect.Effect<void>
  /** how many operations, and values, each fault has struck so far */
  readonly struck: Effect.Effect<Readonly<Record<keyof ByteFaults, number>>>
}

/**
 * A medium with its controls.
 *
 * @category models
 * @since 0.1.0
 */
export interface Chaotic<V, in F extends Faults = Faults> {
  readonly backend: Backend.Backend<V>
  readonly chaos: Controls<F>
}

/**
 * The controls, as a service beside the store: what `layer` provides.
 *
 * @category models
 * @since 0.1.0
 */
export class Chaos extends /*#__PURE__*/ Context.Tag("effect-cached/testing/Chaos")<Chaos, Controls>() {}

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * after what time an operation that hangs is given up, as media bound their own I/O. Default never: then the store
   * gives it up, after 10 seconds
   */
  readonly timeout?: Duration.DurationInput | undefined
}

const kinds = {
  getMany: "read",
  setMany: "write",
  setIfAbsent: "write",
  removeMany: "write",
  marks: "mark"
} as const

/** every member is named, so that none can be forgotten when there is a new one */
type All<T> = { readonly [K in keyof Required<T>]: T[K] }
type Whole<V> = Omit<All<Backend.Backend<V>>, "marks" | "lock"> & {
  readonly marks: All<NonNullable<Backend.Backend["marks"]>> | undefined
  readonly lock:
    | ((key: string, lease: number) => Effect.Effect<All<Backend.Held> | number, CacheStoreError>)
    | undefined
}

const likelihoods = ["fail", "lose", "hang", "corrupt"] as const

const wrap = <V>(
  inner: Backend.Backend<V>,
  options: Options,
  damaged: (found: Backend.Found<V>) => Backend.Found<V>
): Chaotic<V, ByteFaults> => {
  const timeout = options.timeout === undefined ? undefined : toMillis(options.timeout)
  const current = new Map<Verb, ByteFaults>()
  const struck = { fail: 0, lose: 0, hang: 0, delay: 0, corrupt: 0 }
  let calmed = Deferred.unsafeMake<void>(FiberId.none)

  let above: Backend.Above | undefined

  const error = (verb: Verb, method: string, reason: "Rejected" | "Timeout"): CacheStoreError => {
    const made = new CacheStoreError({ reason, store: inner.name, method, cause: new Error("chaos") })
    // a medium of several tiers tells the store of each error itself
    if (verb !== "lock") above?.failed(inner.name, kinds[verb], made)
    return made
  }
  const strikes = (fault: (typeof likelihoods)[number], likelihood: number | undefined): Effect.Effect<boolean> =>
    likelihood === undefined || likelihood === 0
      ? Effect.succeed(false)
      : Effect.map(Random.next, (chance) => {
          if (chance >= likelihood) return false
          struck[fault]++
          return true
        })
  const pause = ({ delay }: Faults): Effect.Effect<void> => {
    if (delay === undefined) return Effect.void
    struck.delay++
    if (typeof delay !== "object" || !("least" in delay)) return Effect.sleep(delay)
    const [least, most] = [Duration.toMillis(delay.least), Duration.toMillis(delay.most)]
    return Effect.flatMap(Random.nextRange(least, most), Effect.sleep)
  }

  const struckBy = Effect.fnUntraced(function* <A>(
    faults: Faults,
    verb: Verb,
    method: string,
    ask: Effect.Effect<A, CacheStoreError>
  ) {
    if (yield* strikes("hang", faults.hang)) {
      const wait = Deferred.await(calmed)
      yield* timeout === undefined
        ? wait
        : Effect.timeoutFail(wait, { duration: timeout, onTimeout: () => error(verb, method, "Timeout") })
    }
    yield* pause(faults)
    if (yield* strikes("fail", faults.fail)) return yield* error(verb, method, "Rejected")
    const answer = yield* ask
    return (yield* strikes("lose", faults.lose)) ? yield* error(verb, method, "Timeout") : answer
  })
  const on = <A>(
    verb: Verb,
    method: string,
    ask: Effect.Effect<A, CacheStoreError>
  ): Effect.Effect<A, CacheStoreError> =>
    Effect.suspend(() => {
      const faults = current.get(verb)
      if (faults !== undefined) return struckBy(faults, verb, method, ask)
      if (verb !== "lock") above?.answered(inner.name, kinds[verb])
      return ask
    })

  const { lock, marks } = inner
  // what is in memory is read before anything that could fail is asked, unless the store takes it for remote
  const local: Partial<Backend.Backend<V>> = inner.remote ? inner : {}
  const whole: Whole<V> = {
    name: inner.name,
    remote: true,
    unsafeGet: local.unsafeGet,
    unsafeSet: local.unsafeSet,
    unsafeRemove: local.unsafeRemove,
    unsafeSize: local.unsafeSize,
    onRemoved: inner.onRemoved,
    getMany: (reads) =>
      Effect.flatMap(on("getMany", "getMany", inner.getMany(reads)), (answers) => {
        const corrupt = current.get("getMany")?.corrupt
        return Effect.map(
          Effect.forEach(answers.found, (found) =>
            found instanceof Entry
              ? Effect.map(strikes("corrupt", corrupt), (is) => (is ? damaged(found) : found))
              : Effect.succeed(found)
          ),
          (found) => ({ ...answers, found })
        )
      }),
    setMany: (writes) => on("setMany", "setMany", inner.setMany(writes)),
    setIfAbsent: (write, options) => on("setIfAbsent", "setIfAbsent", inner.setIfAbsent(write, options)),
    removeMany: (removals) => on("removeMany", "removeMany", inner.removeMany(removals)),
    marks: marks && {
      every: marks.every,
      read: on("marks", "marks", marks.read),
      raise: (raised) => on("marks", "raise", marks.raise(raised))
    },
    changes: inner.changes,
    notifications: inner.notifications,
    lock:
      lock &&
      ((key, lease) =>
        Effect.map(on("lock", "lock", lock(key, lease)), (held) =>
          typeof held === "number"
            ? held
            : {
                token: held.token,
                renew: on("lock", "renew", held.renew),
                release: on("lock", "unlock", held.release)
              }
        )),
    attach:
      inner.attach &&
      ((store) => {
        above = store
        inner.attach!(store)
      }),
    tiers: inner.tiers,
    isOwnerless: inner.isOwnerless,
    isUp: inner.isUp,
    offset: inner.offset
  }
  return {
    backend: whole,
    chaos: {
      begin: (faults, which = verbs) =>
        Effect.suspend(() => {
          for (const fault of likelihoods) {
            const likelihood = faults[fault] ?? 0
            if (!(likelihood >= 0 && likelihood <= 1)) {
              return Effect.die(new InvalidOption({ option: fault, detail: `${likelihood} is not between 0 and 1` }))
            }
          }
          for (const verb of which) current.set(verb, faults)
          return Effect.void
        }),
      calm: Effect.suspend(() => {
        current.clear()
        const before = calmed
        calmed = Deferred.unsafeMake<void>(FiberId.none)
        return Effect.asVoid(Deferred.succeed(before, undefined))
      }),
      struck: Effect.sync(() => ({ ...struck }))
    }
  }
}

/**
 * Chaos around a medium of values, such as a tier takes. Bytes cannot be damaged where there are none: see `makeBytes`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <V = unknown>(inner: Backend.Backend<V>, options: Options = {}): Effect.Effect<Chaotic<V>> =>
  Effect.sync(() => wrap(inner, options, (found) => found))

/**
 * The same around a medium of bytes, below its serializer: `CacheStore.makeBytes` makes a store of it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeBytes = (
  inner: Backend.Backend<Uint8Array>,
  options: Options = {}
): Effect.Effect<Chaotic<Uint8Array, ByteFaults>> =>
  Effect.sync(() =>
    wrap(inner, options, (found) =>
      found instanceof Entry
        ? new Entry(
            found.value.map((byte) => byte ^ 0xff),
            found
          )
        : found
    )
  )

/**
 * A store over a medium with chaos around it, and the controls beside it.
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
