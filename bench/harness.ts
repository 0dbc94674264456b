/**
 * How things are measured: all contenders interleaved in one process, CPU time and wall time per operation, medians over
 * the rounds, and ratios to a floor. Absolute figures differ from machine to machine and from minute to minute; ratios
 * within one run much less.
 */
import { Console, Effect, type Scope } from "effect"

export interface Contender {
  readonly name: string
  /** how many operations one run does */
  readonly operations: number
  /** prepares, checks results, and gives what is timed */
  readonly run: Effect.Effect<Effect.Effect<void>>
}

export interface Group {
  readonly title: string
  /** the contender all others are compared with */
  readonly floor: string
  /** name of contender to the most its ratio may be */
  readonly bounds?: Readonly<Record<string, number>>
  /** `wall` where waiting is part of it */
  readonly clock: "cpu" | "wall"
  readonly rounds: number
  /** what one operation is called, where it is worth saying how many of them there are in a second */
  readonly rate?: string
  readonly contenders: ReadonlyArray<Contender>
  readonly close?: Effect.Effect<void>
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

/** runs a group and gives its rows: the median of each contender, and the median of its ratio to the floor by round */
export const measure = (group: Group): Effect.Effect<ReadonlyArray<Row>> =>
  Effect.gen(function* () {
    const runs = yield* Effect.forEach(group.contenders, (contender) => contender.run)
    const samples = group.contenders.map((): Array<number> => [])
    for (let round = -2; round < group.rounds; round++) {
      // another order each round, so that nobody always runs in the other's shadow
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
      `\n${group.title} (${group.clock} time, ${group.rounds} rounds)`,
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

/** something that is measured and printed, if its title is asked for */
export interface Section {
  readonly title: string
  readonly run: Effect.Effect<void>
}

/** what it needs it makes itself, in a Scope, and only then */
export const section = (title: string, run: (title: string) => Effect.Effect<void, never, Scope.Scope>): Section => ({
  title,
  run: Effect.scoped(run(title))
})

/** a title, and rows of cells: the first flush left, the others right */
export const table = (title: string, rows: ReadonlyArray<ReadonlyArray<string>>): Effect.Effect<void> => {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)))
  const lines = rows.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]! + 2))).join("")
  )
  return Console.log([`\n${title}`, ...lines.map((line) => `  ${line}`)].join("\n"))
}

/** fails where a result is not what it must be: nothing is timed that is wrong */
export const check = (what: string, actual: unknown, expected: unknown): Effect.Effect<void> =>
  Object.is(actual, expected)
    ? Effect.void
    : Effect.dieMessage(`${what}: ${String(actual)} instead of ${String(expected)}`)
