/**
 * The operations of a program, each compared with the model: reads are judged, writes are recorded.
 */
import { Cause, Effect, Exit, Option } from "effect"
import { Cached, type CacheStore } from "effect-cached"
import { awaitUntil, live } from "../support/redis.js"
import { realNow } from "../support/redis-nodes.js"
import { type Function, failure } from "./functions.js"
import type { Model, Value } from "./model.js"
import type { Process, Processes } from "./processes.js"
import { type FunctionName, functions, type Id, ids, type ReadStep, type StoreStep, type WriteStep } from "./program.js"

/** The longest time of an operation: it asks the backend a few times, and each time gets an answer or times out. */
const longest = 5_000

/** The time between writes of two processes when one of them cannot reach the server. */
const apart = 220

export interface Operations {
  /** Reads, judges the answer, and returns it; `undefined` if there is none. */
  readonly read: (
    place: number,
    name: FunctionName,
    id: Id,
    how: ReadStep["how"],
    leaves?: number
  ) => Effect.Effect<Value | undefined>
  readonly write: (step: WriteStep) => Effect.Effect<void>
  readonly store: (step: StoreStep) => Effect.Effect<void>
}

export interface OperationsOptions {
  readonly model: Model
  readonly processes: Processes
  readonly functions: Record<FunctionName, Function>
  readonly isNotified: boolean
  /** Whether nothing is broken and nothing undelivered. */
  readonly isCalm: Effect.Effect<boolean>
  readonly chance: (probability: number) => boolean
}

const keyOf = (name: FunctionName, id: Id): string => `${name}:${id}`
const storeKey = (id: Id): string => `store:${id}`

const concernedBy = ({ how, id, name }: WriteStep): ReadonlyArray<string> => {
  switch (how) {
    case "tag":
    case "expire tag":
      return functions.map((each) => keyOf(each, id))
    case "clear":
    case "expire all":
      return ids.map((each) => keyOf(name, each))
    case "clear store":
    case "expire store":
      return [...functions.flatMap((each) => ids.map((id) => keyOf(each, id))), ...ids.map(storeKey)]
    default:
      return [keyOf(name, id)]
  }
}

/** The keys whose older values must not be returned after a write. Some functions may return what has been expired. */
const touchedBy = (step: WriteStep): ReadonlyArray<string> =>
  step.how.startsWith("expire") ? concernedBy(step).filter((key) => !/^(stale|kept):/.test(key)) : concernedBy(step)

/** Whether an operation ended in a way that is no fault: its lookup failed, or its store was closed. */
const isExpected = (exit: Exit.Exit<unknown, unknown>, { isClosed }: Process): boolean =>
  Exit.isFailure(exit) &&
  (Option.contains(Cause.failureOption(exit.cause), failure) || (isClosed && Cause.isInterrupted(exit.cause)))

export const make = (options: OperationsOptions): Operations => {
  const { isNotified, model, processes } = options
  let lastWrite = { place: 0, at: 0 }

  const outcome = <A, E>(what: string, process: Process, began: number, exit: Exit.Exit<A, E>): Option.Option<A> => {
    if (Exit.isSuccess(exit)) return Option.some(exit.value)
    if (!isExpected(exit, process)) {
      model.violation(`${what} failed after ${Math.round(realNow() - began)} ms: ${Cause.pretty(exit.cause)}`)
    }
    return Option.none()
  }

  const bounded = <A, E>(effect: Effect.Effect<A, E>) => live(Effect.exit(Effect.timeout(effect, longest)))

  const read: Operations["read"] = (place, name, id, how, leaves) =>
    Effect.gen(function* () {
      const key = keyOf(name, id)
      const process = processes.at(place)
      const { owes } = yield* process.store.health
      const began = realNow()
      // a process that could not deliver a write answers from it, and a store without notifications does not learn better
      const floor = model.floor(process.number, key, owes && !isNotified)
      const before = model.next
      model.reads++
      const { fn } = options.functions[name]
      const asked: Effect.Effect<Option.Option<Value>, string, CacheStore> = how === "read"
        ? Effect.asSome(fn(id))
        : how === "peek"
          ? fn.peek(id)
          : how === "reload"
            ? Effect.asSome(Cached.reload(fn(id)))
            : Effect.as(fn.refresh(id), Option.none())
      const run = process.run(asked)
      const left = leaves === undefined ? run : Effect.map(live(Effect.timeoutOption(run, leaves)), Option.flatten)
      const answer = outcome(`${how} ${key} on ${place}`, process, began, yield* bounded(left))
      const value = Option.getOrUndefined(Option.flatten(answer))
      model.say(
        `  ${place} ${how} ${key} from ${Math.round(realNow() - began)} ms ago: ` +
          (value === undefined ? "none" : `version ${value.version}, made ${value.made}`)
      )
      if (value === undefined) return undefined
      // a peek returns a value that this process has set and not delivered yet, because it knows of no other
      if (!(how === "peek" && owes)) model.judge({ process: process.number, key, began, floor }, value)
      if (how === "reload" && value.made < before) {
        model.violation(
          `law 3 (one load per key): reload ${key} on ${place} was answered by load ${value.made}, which began before it`
        )
      }
      return value
    })

  /** Waits where the order of two writes is known only as precisely as clocks agree. */
  const inOrder = (place: number) =>
    Effect.gen(function* () {
      if (lastWrite.place !== place && !(yield* options.isCalm)) {
        yield* awaitUntil(
          Effect.sync(() => realNow() - lastWrite.at >= apart),
          "some time has passed"
        )
      }
      lastWrite = { place, at: realNow() }
    })

  const write = (step: WriteStep) =>
    Effect.gen(function* () {
      const { how, id, leaves, name, process: place } = step
      const process = processes.at(place)
      const key = keyOf(name, id)
      const what = `${how} ${key} on ${place}`
      const touched = touchedBy(step)
      yield* inOrder(place)
      for (const each of touched) if (each === key || options.chance(0.5)) model.bump(each)
      const { fn, lifetime } = options.functions[name]
      const asked = Effect.suspend((): Effect.Effect<void, never, CacheStore> => {
        switch (how) {
          case "invalidate":
            return fn.invalidate(id)
          case "set": {
            const value = model.make(key, `set on ${place}`)
            // a value that `varied` does not store, or a set with its whole lifetime
            model.startLifetime(value, lifetime)
            return fn.set(id)(value)
          }
          case "tag":
            return Cached.invalidateTags([`tag${id}`])
          case "clear":
            return fn.clear
          case "clear store":
            return process.store.clear
          case "expire":
            return fn.expire(id)
          case "expire tag":
            return Cached.expireTags([`tag${id}`])
          case "expire all":
            return fn.expireAll
          case "expire store":
            return process.store.expireAll
        }
      })
      model.say(`${place} ${how} ${key}: ${touched.map((each) => `${each}=${model.version(each)}`).join(" ")}`)
      const began = realNow()
      const run = process.run(asked)
      const left = leaves === undefined ? Effect.asSome(run) : live(Effect.timeoutOption(run, leaves))
      const done = Option.flatten(outcome(what, process, began, yield* bounded(left)))
      const { owes } = yield* process.store.health
      model.say(
        `${place} ${how} ${key} ${Option.isSome(done) ? "took" : "was left after"} ` +
          `${Math.round(realNow() - began)} ms${owes ? ", undelivered" : ""}`
      )
      // whoever leaves does not know how far it came
      if (Option.isSome(done)) model.changed(process.number, how, touched)
    })

  const store = ({ how, id, process: place }: StoreStep) =>
    Effect.gen(function* () {
      const process = processes.at(place)
      const key = storeKey(id)
      const what = `store.${how} ${key} on ${place}`
      const { store } = process
      const began = realNow()
      if (how === "get" || how === "getMany") {
        const { owes } = yield* store.health
        const floor = model.floor(process.number, key, owes && !isNotified)
        const asked = how === "get" ? store.get<Value>(key) : Effect.map(store.getMany<Value>([key]), ([one]) => one!)
        const value = Option.getOrUndefined(
          Option.flatten(outcome(what, process, began, yield* bounded(process.run(asked))))
        )
        model.say(`${place} ${what}: ${value === undefined ? "none" : `version ${value.version}`}`)
        if (value !== undefined && !owes) model.judge({ process: process.number, key, began, floor }, value)
        return
      }
      yield* inOrder(place)
      model.bump(key)
      const value = model.make(key, what)
      const ended: Effect.Effect<boolean> =
        how === "setIfAbsent"
          ? Effect.orElseSucceed(store.setIfAbsent(key, value, { ttl: "1 minute" }), () => false)
          : Effect.as(how === "set" ? store.set(key, value, { ttl: "1 minute" }) : store.remove(key), true)
      const isDone = Option.getOrElse(outcome(what, process, began, yield* bounded(process.run(ended))), () => false)
      model.say(`${place} ${what}: ${isDone} with version ${value.version}`)
      if (isDone) model.changed(process.number, `store.${how}`, [key])
    })

  return { read, write, store }
}
