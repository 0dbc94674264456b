/**
 * Runs the programs of consecutive seeds. The message of a failure has the seed of its program, and its history.
 *
 * | variable        | meaning                                                         |
 * | --------------- | --------------------------------------------------------------- |
 * | `MODEL_SEED`    | runs the program of this seed alone                             |
 * | `MODEL_FROM`    | the first seed, default 1                                       |
 * | `MODEL_COUNT`   | how many programs to run on each store, default 2               |
 * | `MODEL_MINUTES` | runs programs for so many minutes instead, on each store        |
 * | `MODEL_LENGTH`  | the number of steps of a program, default 30                    |
 * | `MODEL_AT_ONCE` | how many programs of one store run at once, default 2           |
 */
import { Effect, type Scope } from "effect"
import { live } from "../support/redis.js"
import * as ServerClock from "../support/serverClock.js"
import * as Program from "./program.js"
import * as Runner from "./runner.js"
import type { Kind } from "./worlds.js"

const number = (name: string): number | undefined =>
  process.env[name] === undefined ? undefined : Number(process.env[name])

const only = number("MODEL_SEED")
const from = only ?? number("MODEL_FROM") ?? 1
const minutes = number("MODEL_MINUTES")
const count = only !== undefined ? 1 : (number("MODEL_COUNT") ?? (minutes === undefined ? 2 : Number.POSITIVE_INFINITY))
const length = number("MODEL_LENGTH") ?? 30
const atOnce = number("MODEL_AT_ONCE") ?? 2

/** How many failures end a run. */
const enough = 20

/** How long a test of all programs may take, in milliseconds. */
export const limit = minutes === undefined ? 60_000 + 30_000 * count : minutes * 60_000 + 180_000

export interface Result {
  /** The message of each program that failed. */
  readonly failures: ReadonlyArray<string>
  readonly programs: number
  readonly reads: number
}

/** Which clocks step: those of some processes in every fourth program, or also the server's in every program. */
export type Clocks = "some" | "server"

const programOf = (kind: Kind, seed: number, clocks: Clocks): Program.Program =>
  Program.make({
    seed,
    length,
    processes: kind.processes,
    hasFaults: kind.hasFaults,
    clocks: clocks === "server" ? "server" : seed % 4 === 0 ? "processes" : undefined
  })

const setServer: Effect.Effect<Runner.SetServer, never, Scope.Scope> = Effect.map(ServerClock.make, ({ env, set }) => {
  let ahead = 0
  return {
    env,
    stepClock: (millis) => {
      ahead += millis
      set(ahead)
    }
  }
})

const runOne = (kind: Kind, program: Program.Program, clocks: Clocks): Effect.Effect<Runner.Outcome> =>
  clocks === "server"
    ? Effect.scoped(Effect.flatMap(setServer, (server) => live(Runner.run(kind, program, server))))
    : live(Runner.run(kind, program))

/** Runs programs on a store. */
export const runAll = (kind: Kind, clocks: Clocks): Effect.Effect<Result> =>
  Effect.gen(function* () {
    const until = minutes === undefined ? Number.POSITIVE_INFINITY : performance.now() + minutes * 60_000
    const failures: Array<string> = []
    let seed = from
    let reads = 0
    const next = Effect.suspend(() => {
      const program = programOf(kind, seed++, clocks)
      return Effect.map(runOne(kind, program, clocks), (outcome) => {
        reads += outcome.reads
        if (outcome.violations.length === 0) return
        const replay = `MODEL_SEED=${program.seed} MODEL_LENGTH=${length} npm run test:model -- -t "${kind.name} -"`
        const summary = [`${kind.name}, seed ${program.seed}; replay: ${replay}`, ...outcome.violations]
        failures.push([...summary, "", ...outcome.log].join("\n"))
        if (minutes !== undefined) console.error(summary.join("\n"))
      })
    })
    const worker = Effect.whileLoop({
      while: () => seed < from + count && performance.now() < until && failures.length < enough,
      body: () => next,
      step: () => {}
    })
    yield* Effect.all(Effect.replicate(worker, Math.min(atOnce, count)), { concurrency: "unbounded", discard: true })
    if (minutes !== undefined) console.log(`${kind.name}: ${seed - from} programs, ${reads} reads`)
    return { failures, programs: seed - from, reads }
  })
