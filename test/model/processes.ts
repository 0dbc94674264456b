/**
 * The processes of a program: each has a store and a clock of its own, and can be restarted. A restarted process has a
 * new number, because it knows nothing of what it did before.
 */
import { Effect, Exit, Scope } from "effect"
import type { CacheStore } from "effect-cached"
import { awaitUntil, live } from "../support/redis.js"
import { type Node, nodeOf } from "../support/redis-nodes.js"
import * as Clocks from "./clocks.js"
import type { Model } from "./model.js"
import type { Kind, World } from "./worlds.js"

export interface Process extends Node {
  /** Distinguishes this process from those that had its place before. */
  readonly number: number
  isClosed: boolean
  readonly close: Effect.Effect<void>
}

export interface Processes {
  readonly at: (place: number) => Process
  readonly all: () => ReadonlyArray<Process>
  readonly restart: (place: number) => Effect.Effect<void>
  readonly stepClock: (place: number, millis: number) => void
}

/** Opens a store on every place, and waits until each is connected. */
export const make = (
  model: Model,
  world: World,
  size: number,
  { isNotified, isRemote }: Kind
): Effect.Effect<Processes, never, Scope.Scope> =>
  Effect.gen(function* () {
    const places = Array.from({ length: size }, (_, place) => place)
    const clocks = places.map(() => Clocks.make())
    const processes: Array<Process> = []
    let opened = 0
    const open = (place: number) =>
      Effect.gen(function* () {
        const { clock } = clocks[place]!
        const number = opened++
        const scope = yield* Scope.make()
        const store = yield* Scope.extend(world.open(place), scope).pipe(Effect.withClock(clock))
        const node = nodeOf(store)
        const process: Process = {
          ...node,
          run: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
            Effect.withClock(node.run(effect), clock) as Effect.Effect<A, E, Exclude<R, CacheStore>>,
          number,
          isClosed: false,
          close: Effect.suspend(() => {
            process.isClosed = true
            return Scope.close(scope, Exit.void)
          })
        }
        processes[place] = process
      })
    yield* Effect.forEach(places, open, { concurrency: "unbounded", discard: true })
    yield* Effect.addFinalizer(() =>
      Effect.forEach(processes, ({ close }) => close, { concurrency: "unbounded", discard: true })
    )
    const isConnected = ({ run, store }: Process) =>
      // a read ends an outage that only an operation can end
      Effect.map(run(Effect.zipRight(store.get("probe"), store.health)), ({ coherent, status }) =>
        Boolean(status === "up" && (!isNotified || coherent))
      )
    const connected = (place: number) =>
      awaitUntil(isConnected(processes[place]!), `process ${place} is connected`, 30_000)
    yield* Effect.forEach(places, connected)
    return {
      at: (place) => processes[place]!,
      all: () => processes,
      restart: (place) =>
        Effect.gen(function* () {
          const { close, number } = processes[place]!
          const began = performance.now()
          yield* close
          const took = Math.round(performance.now() - began)
          model.say(`process ${place} has ended in ${took} ms, and starts again`)
          if (took > 5_000)
            model.violation(`law 11 (the scope ends everything): closing the store of ${place} took ${took} ms`)
          model.ended(number, isRemote)
          yield* live(open(place))
        }),
      stepClock: (place, millis) => {
        clocks[place]!.step(millis)
        const times = clocks.map(({ ahead }) => ahead())
        model.say(`the clock of ${place} is set by ${millis} ms`)
        model.clockDiffers(Math.max(...times) - Math.min(...times))
        // an entry of before the step is judged by the clock of after it
        model.clockDiffers(Math.max(...times.map(Math.abs)) + Math.abs(millis))
      }
    }
  })
