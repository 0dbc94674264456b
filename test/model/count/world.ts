/**
 * The whole model: processes, the commands that they gave up, and what happens to the server.
 */
import type { Model, Step } from "./explorer.js"
import { initial, type Options, run, type State, stepsOf } from "./process.js"
import { age } from "./server.js"

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
    ({ kind, process }, i): ReadonlyArray<Step<State>> => [
      {
        label: `the ${kind} that P${process} gave up runs`,
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
        label: `the ${kind} that P${process} gave up runs, its answer is lost`,
        take: (state) => {
          run(state, state.network.splice(i, 1)[0]!, hasMemory)
          return undefined
        }
      }
    ]
  )

/** A limit of law 8 (invalidation wins): a count that was lost continues from the clock, which must not have been set back. */
const isCountedFromClock = ({ server }: State): boolean => server.count !== null && server.clock >= server.count.count

/** A limit of law 8 (invalidation wins): with the tombstones, it is lost what loads and writes under way must give way to. */
const isIdle = ({ network, processes }: State): boolean =>
  network.length === 0 && processes.every(({ operation, undelivered }) => operation === null && undelivered === null)

/** A limit of law 8 (invalidation wins): the clock must not go forward and back again while a load is under way. */
const mayGoBack = ({ left }: State, { jumps = 0, jumpsTo = "both" }: Options): boolean =>
  jumpsTo === "back" || (jumpsTo === "both" && left.jumps === jumps)

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
  if (left.jumps > 0 && mayGoBack(state, options)) {
    steps.push(
      happens("the clock goes back", "jumps", ({ server }) => {
        server.clock -= 2 * age
      })
    )
  }
  if (left.losses > 0 && isCountedFromClock(state)) {
    steps.push(
      happens("the count is lost", "losses", ({ server }) => {
        server.count = null
      })
    )
    if (isIdle(state)) {
      steps.push(
        happens("everything is lost", "losses", ({ server }) => {
          Object.assign(server, { count: null, entry: null, mark: 0, floor: 0 })
        })
      )
    }
  }
  return steps
}

export const make = (options: Options): Model<State> => ({
  initial: () => initial(options),
  steps: (state) => [
    ...state.processes.flatMap((_, i) => stepsOf(state, i, options)),
    ...lateSteps(state, options.memory === true),
    ...serverSteps(state, options)
  ]
})
