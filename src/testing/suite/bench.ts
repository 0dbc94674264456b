/**
 * What the laws of the suite are written with: stores over the medium of a case, doors for lookups to wait at, and
 * sentences that say what was found where something else was expected.
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Inspectable from "effect/Inspectable"
import * as Scope from "effect/Scope"
import type * as Backend from "../../Backend.js"
import { CacheStore } from "../../CacheStore.js"
import { type Engine, EngineId } from "../../internal/engine/engine.js"
import * as ChaosCache from "../ChaosCache.js"

/**
 * A law that does not hold: the failure of a case. The message says what was expected and what was found.
 *
 * @category errors
 * @since 0.1.0
 */
export class LawBroken extends /*#__PURE__*/ Data.TaggedError("LawBroken")<{ readonly message: string }> {}

/**
 * What a medium need not be able to do, if it says so:
 *
 * - `shared`: another process over the same medium sees what this one writes; without it the others do not apply either
 * - `conditional`: a load that began before another process wrote or removed its key writes nothing after that
 * - `exclusive`: of two processes that call `setIfAbsent` one succeeds
 * - `marks`: `clear` and tags reach entries, and processes, that another one has
 * - `garbage`: its bytes can be damaged, which takes `Medium.corrupt`
 *
 * @category models
 * @since 0.1.0
 */
export type Ability = "shared" | "conditional" | "exclusive" | "marks" | "garbage"

/**
 * The medium of one case.
 *
 * @category models
 * @since 0.1.0
 */
export interface Medium {
  /** as `CacheStore.make` takes it. Made a second time, it is what another process has of the same medium */
  readonly backend: Effect.Effect<Backend.Backend, unknown, Scope.Scope>
  /** for the store above it */
  readonly options?: CacheStore.Options | undefined
  /** damages the bytes that are kept of a key, so that they are no entry any more */
  readonly corrupt?: ((key: string) => Effect.Effect<void, unknown>) | undefined
}

/** a store over the medium, as one process has it */
export interface Process {
  readonly store: CacheStore.Service
  readonly on: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, CacheStore>>
  readonly close: Effect.Effect<void>
}

/** the same, with chaos around its medium */
export interface Chaotic extends Process {
  readonly chaos: ChaosCache.Controls
}

export interface Place {
  readonly medium: Medium
  /** one process more; it ends with the case */
  readonly open: Effect.Effect<Process, never, Scope.Scope>
  readonly openChaotic: Effect.Effect<Chaotic, never, Scope.Scope>
  /** how many milliseconds until one process sees what another does */
  readonly within: number
}

export interface Law {
  readonly law: string
  readonly name: string
  readonly needs: ReadonlyArray<Ability>
  /** warnings of the store are what it is about */
  readonly isQuiet: boolean
  readonly prove: (place: Place) => Effect.Effect<void, LawBroken, Scope.Scope>
}

type Proof<R> = Effect.Effect<void, LawBroken, R>

/** a law about one process */
export const one = (law: string, name: string, prove: (process: Process, place: Place) => Proof<CacheStore>): Law => ({
  law,
  name,
  needs: [],
  isQuiet: false,
  prove: (place) => Effect.flatMap(place.open, (process) => process.on(prove(process, place)))
})

/** a law about two */
export const two = (
  name: string,
  needs: ReadonlyArray<Ability>,
  prove: (a: Process, b: Process, place: Place) => Proof<Scope.Scope>
): Law => ({
  law: "processes: what one does the other sees",
  name,
  needs: ["shared", ...needs],
  isQuiet: false,
  prove: (place) => Effect.flatMap(Effect.all([place.open, place.open]), ([a, b]) => prove(a, b, place))
})

/** a law about what the store says when its medium does what it should not: that need not be printed */
export const quiet = (law: Law): Law => ({ ...law, isQuiet: true })

/** a law about one process whose medium misbehaves */
export const chaotic = (
  law: string,
  name: string,
  prove: (process: Chaotic, place: Place) => Proof<CacheStore>
): Law => ({
  law,
  name,
  needs: [],
  isQuiet: true,
  prove: (place) => Effect.flatMap(place.openChaotic, (process) => process.on(prove(process, place)))
})

// ----------------------------------------------------------------------------------------------------------- processes

/** how long an operation may hang before it is given up, where it is made to */
const patience = "100 millis"

const opened = (medium: Medium, backend: Effect.Effect<Backend.Backend, never, Scope.Scope>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
    const made = Effect.flatMap(backend, (each) => CacheStore.make(each, medium.options))
    // as in a program: on the real clock, whatever the case does with its own
    const store = yield* live(Effect.provideService(made, Scope.Scope, scope))
    const process: Process = {
      store,
      on: Effect.provideService(CacheStore, store),
      close: Scope.close(scope, Exit.void)
    }
    return process
  })

export const placeOf = (medium: Medium, within: number): Place => {
  const backend = Effect.orDie(medium.backend)
  return {
    medium,
    within,
    open: opened(medium, backend),
    openChaotic: Effect.gen(function* () {
      let controls: ChaosCache.Controls | undefined
      const around = Effect.map(
        Effect.flatMap(backend, (inner) => ChaosCache.make(inner, { timeout: patience })),
        ({ backend, chaos }) => {
          controls = chaos
          return backend
        }
      )
      const process = yield* opened(medium, around)
      return { ...process, chaos: controls! }
    })
  }
}

// --------------------------------------------------------------------------------------------------------------- times

const realClock = /*#__PURE__*/ Clock.make()

/** on the real clock; lives follow that of the case, which stands still until it is turned */
export const live = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withClock(effect, realClock)

export const rest = (millis: number): Effect.Effect<void> => live(Effect.sleep(millis))

/** so much later that two processes agree on which came first */
export const later: Effect.Effect<void> = /*#__PURE__*/ Effect.suspend(() => rest(30))

/** a door for lookups: who comes waits until it is open */
export const gate = () => {
  const door = Deferred.unsafeMake<void>(FiberId.none)
  const bell = Deferred.unsafeMake<void>(FiberId.none)
  return {
    pass: Effect.zipRight(Deferred.succeed(bell, undefined), Deferred.await(door)),
    open: Effect.asVoid(Deferred.succeed(door, undefined)),
    /** waits until somebody has come */
    reached: Deferred.await(bell)
  }
}

/** a lookup that counts what begins, and is told the number of its call, from 1 on */
export const counting = <Args extends ReadonlyArray<unknown>, A, E>(
  body: (call: number, ...args: Args) => Effect.Effect<A, E>
) => {
  const calls: Array<Args> = []
  return { calls, lookup: (...args: Args) => Effect.suspend(() => body(calls.push(args), ...args)) }
}

// ----------------------------------------------------------------------------------------------------------- sentences

const show = (value: unknown): string => {
  if (Object.is(value, -0)) return "-0"
  if (typeof value === "string") return JSON.stringify(value)
  if (typeof value !== "object" || value === null) return String(value)
  return Inspectable.toStringUnknown(value, 0)
}

const short = (value: unknown): string => {
  const text = show(value)
  return text.length <= 300 ? text : `${text.slice(0, 300)}…`
}

/** what differs in the own properties, in two lists of the same length */
const alike = (a: ReadonlyArray<unknown>, b: ReadonlyArray<unknown>): boolean =>
  a.length === b.length && a.every((each, i) => isSame(each, b[i]))

/** whether two values are equal in all that a cache must keep: -0 is not 0, and what is `undefined` is not absent */
export const isSame = (a: unknown, b: unknown): boolean => {
  if (Object.is(a, b)) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false
  if (a instanceof Date) return Object.is(a.getTime(), (b as Date).getTime())
  if (a instanceof Uint8Array) return alike(Array.from(a), Array.from(b as Uint8Array))
  if (a instanceof Map || a instanceof Set) return alike(Array.from(a), Array.from(b as Set<unknown>))
  const keys = Object.keys(a).sort()
  if (!alike(keys, Object.keys(b).sort())) return false
  const read = (from: object, key: string) => Object.getOwnPropertyDescriptor(from, key)?.value
  return keys.every((key) => isSame(read(a, key), read(b, key)))
}

export const broken = (message: string): Effect.Effect<never, LawBroken> => Effect.fail(new LawBroken({ message }))

/** the failure in the place of the answer: not what was expected, whatever that is */
export const attempt = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A | E, never, R> =>
  Effect.catchAll(effect, Effect.succeed)

/** it is so, now */
export const is = (found: unknown, expected: unknown, what: string): Effect.Effect<void, LawBroken> =>
  isSame(found, expected) ? Effect.void : broken(`${what}: expected ${short(expected)}, found ${short(found)}`)

/** it becomes so, at the latest after `within` milliseconds */
export const becomes = <E, R>(
  ask: Effect.Effect<unknown, E, R>,
  expected: unknown,
  what: string,
  within = 4_000
): Effect.Effect<void, E | LawBroken, R> =>
  Effect.gen(function* () {
    const until = realClock.unsafeCurrentTimeMillis() + within
    while (true) {
      const found = yield* ask
      if (isSame(found, expected)) return
      if (realClock.unsafeCurrentTimeMillis() >= until) {
        return yield* is(found, expected, `${what}, after ${within} ms`)
      }
      yield* rest(2)
    }
  })

/** loads have ended, and so have the writes behind them; nothing waits to be delivered */
export const settled = ({ store }: Process): Effect.Effect<void, LawBroken> =>
  Effect.zipRight(
    becomes(
      Effect.sync(() => {
        const { singleFlight, writeQueue } = store[EngineId] as Engine
        return singleFlight.size === 0 && writeQueue.isIdle
      }),
      true,
      "whether loads, and the writes behind them, have ended"
    ),
    becomes(
      Effect.map(store.health, ({ owes }) => owes),
      false,
      "whether something waits to be delivered"
    )
  )
