/**
 * Programs: what several processes do, and what breaks, step by step. A program is made from its seed alone, so a
 * failure can be replayed; how long things take is up to the machine.
 */
import * as Random from "./random.js"

export const ids = [0, 1, 2] as const
export type Id = (typeof ids)[number]

/** The names of the cached functions. */
export const functions = ["long", "brief", "stale", "kept", "locked", "schema", "varied"] as const
export type FunctionName = (typeof functions)[number]

/** What changes entries: a set, and the invalidations and expiries of a key, a tag, a function and the store. */
export const writes = [
  "set",
  "invalidate",
  "tag",
  "clear",
  "clear store",
  "expire",
  "expire tag",
  "expire all",
  "expire store"
] as const

export interface ReadStep {
  readonly _tag: "Read"
  readonly name: FunctionName
  readonly id: Id
  readonly how: "read" | "peek" | "refresh" | "reload"
  /** The processes that read at the same time, and after how many milliseconds each leaves, if it does not wait. */
  readonly by: ReadonlyArray<{ readonly process: number; readonly leaves: number | undefined }>
}

export interface WriteStep {
  readonly _tag: "Write"
  readonly process: number
  readonly name: FunctionName
  readonly id: Id
  readonly how: (typeof writes)[number]
  /** The milliseconds after which the caller is interrupted, if it does not wait. */
  readonly leaves: number | undefined
}

/** An operation of the store itself, on a key that no function has. */
export interface StoreStep {
  readonly _tag: "Store"
  readonly process: number
  readonly id: Id
  readonly how: "set" | "setIfAbsent" | "get" | "getMany" | "remove"
}

export type NetworkFault = "cut" | "blackhole" | "no notifications" | "reset" | "reset of the subscriber" | "slow"
export type ServerFault = "stopped" | "killed" | "flushed"

export type Step =
  | ReadStep
  | WriteStep
  | StoreStep
  | { readonly _tag: "ReadAll" }
  | { readonly _tag: "Wait"; readonly millis: number }
  | { readonly _tag: "Calm"; readonly process: number; readonly id: Id }
  | { readonly _tag: "Network"; readonly process: number; readonly fault: NetworkFault }
  | { readonly _tag: "HealNetwork"; readonly process: number }
  | { readonly _tag: "Server"; readonly fault: ServerFault }
  | { readonly _tag: "HealServer" }
  | { readonly _tag: "Evict"; readonly name: FunctionName; readonly id: Id }
  | { readonly _tag: "Clock"; readonly process: number; readonly millis: number }
  | { readonly _tag: "ServerClock"; readonly millis: number }
  | { readonly _tag: "Restart"; readonly process: number }

export interface Options {
  readonly seed: number
  /** The number of steps. */
  readonly length: number
  readonly processes: number
  /** Whether there is a network and a server to break. */
  readonly hasFaults: boolean
  /** Whether the clocks of processes step, and whether that of the server does. */
  readonly clocks?: "processes" | "server" | undefined
}

export interface Program extends Options {
  readonly steps: ReadonlyArray<Step>
}

const leaving = (random: Random.Random): number | undefined =>
  random.chance(0.25) ? random.pick([0, 1, 3, 10]) : undefined

const stepsOf = (
  random: Random.Random,
  { clocks, hasFaults, processes }: Options
): ReadonlyArray<readonly [weight: number, step: () => Step]> => {
  const process = () => random.below(processes)
  const name = () => random.pick(functions)
  const id = () => random.pick(ids)
  return [
    [
      30,
      () => ({
        _tag: "Read",
        name: name(),
        id: id(),
        how: random.pick(["read", "read", "read", "read", "read", "read", "peek", "refresh", "reload"] as const),
        by: Array.from({ length: random.pick([1, 1, 3]) }, () => ({ process: process(), leaves: leaving(random) }))
      })
    ],
    [4, () => ({ _tag: "ReadAll" })],
    [
      22,
      () => ({
        _tag: "Write",
        process: process(),
        name: name(),
        id: id(),
        how: random.pick([...writes, "set", "set", "invalidate", "expire"] as const),
        leaves: random.chance(0.15) ? random.pick([0, 1, 5]) : undefined
      })
    ],
    [
      6,
      () => ({
        _tag: "Store",
        process: process(),
        id: id(),
        how: random.pick(["set", "setIfAbsent", "get", "getMany", "remove"] as const)
      })
    ],
    [10, () => ({ _tag: "Wait", millis: random.pick([5, 30, 100, 300, 800]) })],
    [8, () => ({ _tag: "Calm", process: process(), id: id() })],
    [2, () => ({ _tag: "Restart", process: process() })],
    [
      hasFaults ? 6 : 0,
      () => ({
        _tag: "Network",
        process: process(),
        fault: random.pick([
          "cut",
          "blackhole",
          "no notifications",
          "reset",
          "reset of the subscriber",
          "slow"
        ] as const)
      })
    ],
    [hasFaults ? 4 : 0, () => ({ _tag: "HealNetwork", process: process() })],
    [
      hasFaults ? 3 : 0,
      () => ({ _tag: "Server", fault: random.pick(["stopped", "stopped", "killed", "flushed"] as const) })
    ],
    [hasFaults ? 3 : 0, () => ({ _tag: "HealServer" })],
    [hasFaults ? 3 : 0, () => ({ _tag: "Evict", name: name(), id: id() })],
    [
      clocks === undefined ? 0 : 4,
      () => ({ _tag: "Clock", process: process(), millis: random.pick([-60_000, -900, -20, 20, 900, 60_000]) })
    ],
    [
      clocks === "server" ? 6 : 0,
      () => ({ _tag: "ServerClock", millis: random.pick([-40_000, -5_000, -1_000, -50, 50, 1_000, 5_000, 40_000]) })
    ]
  ]
}

/** Makes the program of a seed. */
export const make = (options: Options): Program => {
  const random = Random.make(options.seed)
  const steps = stepsOf(random, options)
  const total = steps.reduce((sum, [weight]) => sum + weight, 0)
  const one = (): Step => {
    let at = random.below(total)
    for (const [weight, step] of steps) {
      if (at < weight) return step()
      at -= weight
    }
    throw new Error("the weights do not add up")
  }
  return { ...options, steps: Array.from({ length: options.length }, one) }
}
