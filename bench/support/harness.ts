/**
 * How the benchmarks measure: all contenders run interleaved in one process, and each is reported as the median CPU or
 * wall time of an operation and as the ratio to a floor. Absolute figures differ from machine to machine and from minute
 * to minute; ratios within one run differ much less.
 */
import { Console, Effect, type Scope } from "effect"

export interface Contender {
  readonly name: string
  /** The number of operations of one run. */
  readonly operations: number
  /** Prepares the contender and checks its results. Its value is the effect to time. */
  readonly run: Effect.Effect<Effect.Effect<void>>
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

export interface Row {
  readonly name: string
  readonly nanos: number
  readonly ratio: number
  readonly bound: number | undefined
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The value below which a part of all values lies. */
export const quantile = (values: ReadonlyArray<number>, part: number): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!
}

/** A clock in milliseconds that all processes of a machine share. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6

interface Sample {
  readonly cpu: number
  readonly wall: number
}

const timed = (effect: Effect.Effect<void>): Effect.Effect<Sample> =>
  Effect.gen(function* () {
    globalThis.gc?.()
    const cpu = process.cpuUsage()
    const wall = process.hrtime.bigint()
    yield* effect
    const used = process.cpuUsage(cpu)
    return { cpu: (used.user + used.system) * 1_000, wall: Number(process.hrtime.bigint() - wall) }
  })

/** The rounds of a group, or as many as `BENCH_ROUNDS` says. */
const roundsOf = (group: Group): number => Number(process.env.BENCH_ROUNDS ?? group.rounds)

/** Runs a group. A row has the median time of a contender, and the median over the rounds of its ratio to the floor. */
export const measure = (group: Group): Effect.Effect<ReadonlyArray<Row>> =>
  Effect.gen(function* () {
    const runs = yield* Effect.forEach(group.contenders, (contender) => contender.run)
    const samples = group.contenders.map((): Array<number> => [])
    for (let round = -2; round < roundsOf(group); round++) {
      // The order changes with each round, so that no contender always runs after the same other one.
      const order = runs.map((_, i) => (i + round + runs.length * 2) % runs.length)
      for (const i of order) {
        const sample = yield* timed(runs[i]!)
        if (round >= 0) samples[i]!.push(sample[group.clock] / group.contenders[i]!.operations)
      }
    }
    const floor = samples[group.contenders.findIndex((contender) => contender.name === group.floor)]!
    return group.contenders.map((contender, i) => ({
      name: contender.name,
      nanos: median(samples[i]!),
      ratio: median(samples[i]!.map((value, round) => value / floor[round]!)),
      bound: group.bounds?.[contender.name]
    }))
  })

export const print = (group: Group, rows: ReadonlyArray<Row>): Effect.Effect<void> => {
  const width = Math.max(...rows.map((row) => row.name.length))
  return Console.log(
    [
      `\n${group.title} (${group.clock} time, ${roundsOf(group)} rounds)`,
      ...rows.map(
        (row) =>
          `  ${row.name.padEnd(width)} ${row.nanos.toFixed(row.nanos < 100 ? 1 : 0).padStart(10)} ns ${row.ratio.toFixed(2).padStart(7)}×` +
          (group.rate === undefined ? "" : `${(1_000 / row.nanos).toFixed(2).padStart(8)} M ${group.rate}/s`) +
          (row.bound === undefined
            ? ""
            : `   at most ${row.bound.toFixed(2)}× ${row.ratio <= row.bound ? "ok" : "MISSED"}`)
      )
    ].join("\n")
  )
}

export const report = (group: Group): Effect.Effect<void> =>
  Effect.flatMap(measure(group), (rows) => print(group, rows))

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

/** Prints a title and rows of cells. The first column is aligned to the left, the others to the right. */
export const table = (title: string, rows: ReadonlyArray<ReadonlyArray<string>>): Effect.Effect<void> => {
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
