/**
 * The whole model: processes, the commands that they gave up, and what happens to the server.
 */
import type { Model, Step } from "./explorer.js"
import { type Command, copy, initial, type Options, run, type State, stepsOf } from "./process.js"
import { age, excused as excusedSince } from "./server.js"

const happens = (label: string, budget: keyof State["left"], take: (state: State) => void): Step<State> => ({
  label,
  take: (state) => {
    state.left[budget]--
    take(state)
    return undefined
  }
})

/** The commands that were given up: each may run, or never arrive. */
const lateSteps = (state: State, hasMemory: boolean): ReadonlyArray<Step<State>> =>
  state.network.flatMap(
    ({ kind, process, write }, i): ReadonlyArray<Step<State>> => [
      {
        label: `${kind} ${write!.id} that P${process} gave up runs`,
        take: (state) => {
          const [command] = state.network.splice(i, 1)
          const { written } = run(state, command!, hasMemory)
          if (kind === "set" && written?._tag === "Written") {
            state.processes[process]!.own = { stamp: written.stamp, id: command!.write!.id }
          }
          return undefined
        }
      },
      {
        label: `${kind} ${write!.id} that P${process} gave up runs, its answer is lost`,
        take: (state) => {
          run(state, state.network.splice(i, 1)[0]!, hasMemory)
          return undefined
        }
      }
    ]
  )

/** A limit of law 8 (invalidation wins): a count that was lost continues from the clock, which must not have been set back. */
const isCountedFromClock = ({ server }: State): boolean => server.count !== null && server.clock >= server.count.count

/** The stamps with which writes that are under way go by the count. */
const underWay = ({ network, processes }: State): ReadonlyArray<number> => [
  ...[...network, ...processes.flatMap(({ operation }) => operation?.command ?? [])].flatMap(
    ({ kind, seen, ticket, write }) =>
      kind === "set" ? [ticket ?? seen] : kind === "load" || kind === "retry" ? [ticket ?? write!.stamp] : []
  ),
  ...processes.flatMap(({ operation, undelivered }) =>
    [operation?.load?.stamp ?? [], undelivered?.ticket ?? undelivered?.stamp ?? []].flat()
  )
]

/**
 * A limit of law 8 (invalidation wins): a write that is late by the clock is in time by a clock that was set back, and the
 * tombstone above it may have ended.
 */
const hidesLateness = (state: State, by: number): boolean => {
  const { clock, count } = state.server
  if (count === null) return false
  const isLate = (stamp: number, clock: number) => count.written > stamp && Math.max(count.count, clock) - stamp > age
  return underWay(state).some((stamp) => isLate(stamp, clock) && !isLate(stamp, clock - by))
}

/**
 * A limit of law 8 (invalidation wins): with the tombstones, it is lost what is under way must give way to. So nothing is
 * expected of it.
 */
const excuse = (state: State): void => {
  const excused = <A extends { readonly since: number }>(it: A): A => ({ ...it, since: excusedSince })
  const excusedCommand = (command: Command): Command => ({
    ...command,
    givenUp: excusedSince,
    ...(command.write && { write: excused(command.write) })
  })
  state.network = state.network.map(excusedCommand)
  for (const process of state.processes) {
    const { operation, undelivered } = process
    if (undelivered !== null) process.undelivered = { ...undelivered, write: excused(undelivered.write) }
    if (operation === null) continue
    process.operation = {
      ...operation,
      need: 0,
      load: operation.load && excused(operation.load),
      command: operation.command && excusedCommand(operation.command),
      delivers: operation.delivers && { ...operation.delivers, write: excused(operation.delivers.write) }
    }
  }
}

const serverSteps = (state: State, options: Options): ReadonlyArray<Step<State>> => {
  const { left } = state
  const steps: Array<Step<State>> = []
  if (left.time > 0) {
    steps.push(
      happens("time passes", "time", ({ server }) => {
        server.clock += age / 2 + 1
      })
    )
  }
  if (left.jumps > 0 && options.jumpsTo !== "back") {
    steps.push(
      happens("the clock goes forward", "jumps", ({ server }) => {
        server.clock += 2 * age
      })
    )
  }
  if (left.jumps > 0 && options.jumpsTo !== "forward" && !hidesLateness(state, 2 * age)) {
    steps.push(
      happens("the clock goes back", "jumps", ({ server }) => {
        server.clock -= 2 * age
      })
    )
  }
  if (left.losses > 0 && isCountedFromClock(state)) {
    steps.push(
      happens("the count is lost", "losses", ({ executed, server }) => {
        Object.assign(server, { count: null, lost: executed })
      })
    )
    steps.push(
      happens("everything is lost", "losses", (state) => {
        Object.assign(state.server, { count: null, entry: null, mark: 0, floor: 0, lost: state.executed })
        excuse(state)
      })
    )
  }
  return steps
}

export const make = (options: Options): Model<State> => ({
  initial: () => initial(options),
  copy,
  steps: (state) => [
    ...state.processes.flatMap((_, i) => stepsOf(state, i, options)),
    ...lateSteps(state, options.memory === true),
    ...serverSteps(state, options)
  ]
})
