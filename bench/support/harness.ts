/**
 * How the benchmarks measure: all contenders run interleaved in one process, and each is reported as the median CPU or
 * wall time of an operation and as the ratio to a floor, with its quartiles over the rounds. Absolute figures differ from
 * machine to machine and from minute to minute; ratios within one run differ much less.
 */
import { Console, Data, Effect, type Scope } from "effect"
import { type Figures, median, quantile, type Row, type Table, type Unit } from "./results.js"

export { median, quantile } from "./results.js"

/** A contender that is not measured, and why: its package is absent, or it does not give the right answers. */
export class LeftOut extends Data.TaggedError("LeftOut")<{ readonly reason: string }> {}

export interface Contender {
  readonly name: string
  /** Whether it is of another library. Such a contender may be left out. */
  readonly isOther?: boolean
  /** The number of operations of one run. */
  readonly operations: number
  /** Prepares the contender and checks its results. Its value is the effect to time. */
  readonly run: Effect.Effect<Effect.Effect<void>, LeftOut>
}

export interface Group {
  readonly title: string
  /** The name of the contender that all others are compared with. */
  readonly floor: string
  /** The highest ratio that is acceptable, by name of contender. */
  readonly bounds?: Readonly<Record<string, number>>
  /** `wall` if waiting is part of the cost. */
  readonly clock: "cpu" | "wall"
  readonly rounds: number
  /** The name of an operation, for a column with operations per second. */
  readonly rate?: string
  readonly contenders: ReadonlyArray<Contender>
}

/** A clock in milliseconds that all processes of a machine share. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6

/** The number of rounds of a group, or `BENCH_ROUNDS`. */
export const roundsOf = (rounds: number): number => Number(process.env.BENCH_ROUNDS ?? rounds)

/**
 * In a group that has taken so many seconds, or `BENCH_SECONDS`, other libraries run no further rounds. After twice as
 * long nobody does.
 */
export const secondsOf = Number(process.env.BENCH_SECONDS ?? 10)

/** The fewest rounds of a group, and of one that has taken three times as long. */
const fewestRounds = 5
const fewestOfLong = 3

/** The number of operations of a run, or of entries that are kept, or `BENCH_N`. */
export const countOf = (operations: number): number => Number(process.env.BENCH_N ?? operations)

interface Sample {
  readonly cpu: number
  readonly wall: number
}

const timed = (effect: Effect.Effect<void>): Effect.Effect<Sample> =>
  Effect.gen(function* () {
    globalThis.gc?.()
    // a collection leaves little room for new objects, and threads that go on beside the program
    yield* effect
    const cpu = process.cpuUsage()
    const wall = process.hrtime.bigint()
    yield* effect
    const used = process.cpuUsage(cpu)
    return { cpu: (used.user + used.system) * 1_000, wall: Number(process.hrtime.bigint() - wall) }
  })

/**
 * The rows of contenders: the median of each one's samples, and of its ratio to the floor in the same round. A contender
 * may have fewer rounds than the floor.
 */
export const rowsOf = (
  contenders: ReadonlyArray<{ readonly name: string; readonly isOther?: boolean | undefined }>,
  samples: ReadonlyArray<ReadonlyArray<number>>,
  floorName: string,
  bounds: Readonly<Record<string, number>> = {}
): ReadonlyArray<Row> => {
  const floor = samples[contenders.findIndex(({ name }) => name === floorName)]!
  return contenders.map(({ isOther, name }, i) => {
    const ratios = samples[i]!.map((value, round) => value / floor[round]!)
    return {
      name,
      ...(isOther === true ? { isOther } : {}),
      value: median(samples[i]!),
      ratio: median(ratios),
      low: quantile(ratios, 0.25),
      high: quantile(ratios, 0.75),
      ...(bounds[name] === undefined ? {} : { bound: bounds[name] })
    }
  })
}

/** Runs a group, and leaves out the contenders of other libraries that cannot be measured. */
export const measure = (group: Group): Effect.Effect<Figures> =>
  Effect.gen(function* () {
    const runs: Array<Effect.Effect<void>> = []
    const contenders: Array<Contender> = []
    const leftOut: Array<{ readonly name: string; readonly reason: string }> = []
    for (const contender of group.contenders) {
      const run = yield* Effect.either(contender.run)
      if (run._tag === "Right") {
        runs.push(run.right)
        contenders.push(contender)
      } else if (contender.isOther === true) leftOut.push({ name: contender.name, reason: run.left.reason })
      else return yield* Effect.dieMessage(`${contender.name}: ${run.left.reason}`)
    }
    const samples = contenders.map((): Array<number> => [])
    const rounds = roundsOf(group.rounds)
    const end = now() + secondsOf * 1_000
    for (let round = -2; round < rounds; round++) {
      const late = now() - end
      if (round === -1 && late > 0) continue
      const isLate = late > 0 && round >= (late > secondsOf * 2_000 ? fewestOfLong : fewestRounds)
      if (isLate && late > secondsOf * 1_000) break
      // The order changes with each round, so that no contender always runs after the same other one.
      const order = runs.map((_, i) => (i + round + runs.length * 2) % runs.length)
      for (const i of order) {
        if (isLate && contenders[i]!.isOther === true && contenders[i]!.name !== group.floor) continue
        const sample = yield* timed(runs[i]!)
        if (round >= 0) samples[i]!.push(sample[group.clock] / contenders[i]!.operations)
      }
    }
    return {
      title: group.title,
      floor: group.floor,
      unit: "ns",
      clock: group.clock,
      rounds: Math.max(...samples.map(({ length }) => length)),
      rows: rowsOf(contenders, samples, group.floor, group.bounds),
      leftOut
    }
  })

const decimals = (value: number): string => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)
const inUnit = (value: number, unit: Unit): string => `${decimals(value)} ${unit}`

export const print = (figures: Figures, rate?: string): Effect.Effect<void> => {
  const { clock, leftOut, rounds, rows, title, unit } = figures
  const width = Math.max(...[...rows, ...leftOut].map(({ name }) => name.length))
  return Console.log(
    [
      `\n${title} (${clock === undefined ? "" : `${clock} time, `}${rounds} round${rounds === 1 ? "" : "s"})`,
      ...rows.map(
        ({ bound, high, low, name, ratio, value }) =>
          `  ${name.padEnd(width)} ${inUnit(value, unit).padStart(12)} ${ratio.toFixed(2).padStart(8)}×` +
          `  (${low.toFixed(2)} to ${high.toFixed(2)})` +
          (rate === undefined ? "" : `${(1_000 / value).toFixed(2).padStart(8)} M ${rate}/s`) +
          (bound === undefined ? "" : `   at most ${bound.toFixed(2)}× ${ratio <= bound ? "ok" : "MISSED"}`)
      ),
      ...leftOut.map(({ name, reason }) => `  ${name.padEnd(width)} left out: ${reason}`)
    ].join("\n")
  )
}

/** What the run has measured so far for the question that runs. */
export const recorded: { figures: Array<Figures>; tables: Array<Table> } = { figures: [], tables: [] }

/** Prints the figures, and keeps them for the file of results. */
export const record = (figures: Figures, rate?: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    recorded.figures.push(figures)
    return print(figures, rate)
  })

export const report = (group: Group): Effect.Effect<void> =>
  Effect.flatMap(measure(group), (figures) => record(figures, group.rate))

/** One question that the benchmark answers. It runs if its title contains the text given on the command line. */
export interface Section {
  readonly title: string
  readonly run: Effect.Effect<void>
}

/** A section that acquires what it needs in a Scope when it runs. */
export const section = (title: string, run: (title: string) => Effect.Effect<void, never, Scope.Scope>): Section => ({
  title,
  run: Effect.scoped(run(title))
})

/** A section that measures one group of contenders. */
export const groupSection = (title: string, make: () => Omit<Group, "title">): Section =>
  section(title, () => Effect.suspend(() => report({ title, ...make() })))

/** Prints a title and rows of cells, and keeps them. The first column is aligned to the left, the others to the right. */
export const table = (title: string, rows: ReadonlyArray<ReadonlyArray<string>>): Effect.Effect<void> => {
  recorded.tables.push({ title, rows })
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)))
  const lines = rows.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]! + 2))).join("")
  )
  return Console.log([`\n${title}`, ...lines.map((line) => `  ${line}`)].join("\n"))
}

/** Fails if a result is not the expected one, so that nothing wrong is timed. */
export const check = (what: string, actual: unknown, expected: unknown): Effect.Effect<void> =>
  Object.is(actual, expected)
    ? Effect.void
    : Effect.dieMessage(`${what}: ${String(actual)} instead of ${String(expected)}`)

/** As `check`, of a contender that may be left out. */
export const verify = (what: string, actual: unknown, expected: unknown): Effect.Effect<void, LeftOut> =>
  Object.is(actual, expected)
    ? Effect.void
    : Effect.fail(new LeftOut({ reason: `${what}: ${String(actual)} instead of ${String(expected)}` }))
