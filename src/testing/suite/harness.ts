/**
 * The tools that the cases of the suite are written with: stores on top of the backend of a case, gates that lookups
 * wait at, and assertions whose messages say what was expected and what was found.
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
 * The failure of a case: the store does not keep the law. The message says what was expected and what was found.
 *
 * @category errors
 * @since 0.1.0
 */
export class LawBroken extends /*#__PURE__*/ Data.TaggedError("LawBroken")<{ readonly message: string }> {}

/**
 * An ability that a backend may lack, if `Options.without` gives the reason:
 *
 * - `shared`: another process with the same backend sees what this process writes. Without it, no other ability applies
 * - `conditional`: a load that began before another process wrote or removed its key does not write after it
 * - `exclusive`: if two processes call `setIfAbsent`, one of them succeeds
 * - `marks`: `clear` and invalidated tags reach the other processes, and entries that they wrote
 * - `garbage`: the stored bytes can be damaged, with `Medium.corrupt`
 *
 * @category models
 * @since 0.1.0
 */
export type Ability = "shared" | "conditional" | "exclusive" | "marks" | "garbage"

/**
 * The backend of one case.
 *
 * @category models
 * @since 0.1.0
 */
export interface Medium {
  /** Makes the backend for `CacheStore.make`. Run again, it makes the backend of another process with the same data. */
  readonly backend: Effect.Effect<Backend.Backend, unknown, Scope.Scope>
  /** The options of the store on top of the backend. */
  readonly options?: CacheStore.Options | undefined
  /** Damages the stored bytes of a key, so that they are no longer an entry. */
  readonly corrupt?: ((key: string) => Effect.Effect<void, unknown>) | undefined
}

/** A process: one store on top of the backend. */
export interface Process {
  readonly store: CacheStore.Service
  readonly on: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, CacheStore>>
  readonly close: Effect.Effect<void>
}

/** A process whose backend fails on demand. */
export interface Chaotic extends Process {
  readonly chaos: ChaosCache.Controls
}

/** The tools of one case. */
export interface Setup {
  readonly medium: Medium
  /** Starts a process, which ends with the case. */
  readonly open: Effect.Effect<Process, never, Scope.Scope>
  readonly openChaotic: Effect.Effect<Chaotic, never, Scope.Scope>
  /** The longest time until one process sees what another does, in milliseconds. */
  readonly within: number
}

export interface LawCase {
  readonly law: string
  readonly name: string
  readonly needs: ReadonlyArray<Ability>
  /** Whether warnings of the store are expected, and not printed. */
  readonly isQuiet: boolean
  readonly prove: (setup: Setup) => Effect.Effect<void, LawBroken, Scope.Scope>
}

type Proof<R> = Effect.Effect<void, LawBroken, R>

/** A case with one process. */
export const one = (
  law: string,
  name: string,
  prove: (process: Process, setup: Setup) => Proof<CacheStore>
): LawCase => ({
  law,
  name,
  needs: [],
  isQuiet: false,
  prove: (setup) => Effect.flatMap(setup.open, (process) => process.on(prove(process, setup)))
})

/** A case with two processes. */
export const two = (
  name: string,
  needs: ReadonlyArray<Ability>,
  prove: (a: Process, b: Process, setup: Setup) => Proof<Scope.Scope>
): LawCase => ({
  law: "processes: each sees what the others do",
  name,
  needs: ["shared", ...needs],
  isQuiet: false,
  prove: (setup) => Effect.flatMap(Effect.all([setup.open, setup.open]), ([a, b]) => prove(a, b, setup))
})

/** Hides the warnings of a case that provokes them. */
export const quiet = (law: LawCase): LawCase => ({ ...law, isQuiet: true })

/** A case with one process whose backend fails on demand. */
export const chaotic = (
  law: string,
  name: string,
  prove: (process: Chaotic, setup: Setup) => Proof<CacheStore>
): LawCase => ({
  law,
  name,
  needs: [],
  isQuiet: true,
  prove: (setup) => Effect.flatMap(setup.openChaotic, (process) => process.on(prove(process, setup)))
})

// ----------------------------------------------------------------------------------------------------------- processes

/** The timeout of an operation that hangs on demand. */
const hangTimeout = "100 millis"

const opened = (medium: Medium, backend: Effect.Effect<Backend.Backend, never, Scope.Scope>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
    const made = Effect.flatMap(backend, (each) => CacheStore.make(each, medium.options))
    // on the real clock, as in a program: the case controls only its own clock
    const store = yield* live(Effect.provideService(made, Scope.Scope, scope))
    const process: Process = {
      store,
      on: Effect.provideService(CacheStore, store),
      close: Scope.close(scope, Exit.void)
    }
    return process
  })

export const setupOf = (medium: Medium, within: number): Setup => {
  const backend = Effect.orDie(medium.backend)
  return {
    medium,
    within,
    open: opened(medium, backend),
    openChaotic: Effect.gen(function* () {
      let controls: ChaosCache.Controls | undefined
      const around = Effect.map(
        Effect.flatMap(backend, (inner) => ChaosCache.make(inner, { timeout: hangTimeout })),
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

/**
 * Runs an effect on the real clock. Lifetimes follow the clock of the case, which moves only when the case adjusts it.
 */
export const live = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withClock(effect, realClock)

export const rest = (millis: number): Effect.Effect<void> => live(Effect.sleep(millis))

/** Waits long enough for two processes to agree on the order of two operations. */
export const later: Effect.Effect<void> = /*#__PURE__*/ Effect.suspend(() => rest(30))

/** A gate that lookups wait at until the case opens it. */
export const gate = () => {
  const opened = Deferred.unsafeMake<void>(FiberId.none)
  const reached = Deferred.unsafeMake<void>(FiberId.none)
  return {
    pass: Effect.zipRight(Deferred.succeed(reached, undefined), Deferred.await(opened)),
    open: Effect.asVoid(Deferred.succeed(opened, undefined)),
    /** Waits until a lookup has reached the gate. */
    reached: Deferred.await(reached)
  }
}

/** A lookup that records its calls. The first argument of `body` is the number of the call, starting at 1. */
export const counting = <Args extends ReadonlyArray<unknown>, A, E>(
  body: (call: number, ...args: Args) => Effect.Effect<A, E>
) => {
  const calls: Array<Args> = []
  return { calls, lookup: (...args: Args) => Effect.suspend(() => body(calls.push(args), ...args)) }
}

// ---------------------------------------------------------------------------------------------------------- assertions

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

/** Whether two lists have equal items in the same order. */
const alike = (a: ReadonlyArray<unknown>, b: ReadonlyArray<unknown>): boolean =>
  a.length === b.length && a.every((each, i) => isSame(each, b[i]))

/**
 * Whether two values are equal in everything that a cache must keep: `-0` is not `0`, and `undefined` is not absent.
 */
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

/** An effect whose failure is its result, so that it can be compared with what was expected. */
export const attempt = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A | E, never, R> =>
  Effect.catchAll(effect, Effect.succeed)

/** Asserts that a value is as expected. `what` names the value in the message. */
export const is = (found: unknown, expected: unknown, what: string): Effect.Effect<void, LawBroken> =>
  isSame(found, expected) ? Effect.void : broken(`${what}: expected ${short(expected)}, found ${short(found)}`)

/** Asserts that the result of `ask` becomes as expected within `within` milliseconds. */
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

/** Waits until all loads and the writes that follow them have ended, and nothing is undelivered. */
export const settled = ({ store }: Process): Effect.Effect<void, LawBroken> =>
  Effect.zipRight(
    becomes(
      Effect.sync(() => {
        const { singleFlight, writeQueue } = store[EngineId] as Engine
        return singleFlight.size === 0 && writeQueue.isIdle
      }),
      true,
      "whether all loads and writes have ended"
    ),
    becomes(
      Effect.map(store.health, ({ undelivered }) => undelivered),
      0,
      "undelivered writes and invalidations"
    )
  )
