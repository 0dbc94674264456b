/** The results of a run as a file. `bench:report` makes the pages from it, and `bench:compare` compares two of them. */
import * as fs from "node:fs"
import * as os from "node:os"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The results of the last run. */
export const lastFile = `${root}.cache/bench.json`

/** The results that the documentation shows and that other runs are compared with. */
export const baselineFile = `${root}bench/baseline.json`

export type Unit = "ns" | "ms" | "bytes" | "kB"

export interface Row {
  readonly name: string
  /** Whether it is of another library. */
  readonly isOther?: boolean
  /** The median over the rounds. */
  readonly value: number
  /** The median and the quartiles of the ratio to the floor within a round. */
  readonly ratio: number
  readonly low: number
  readonly high: number
  /** The highest ratio that is acceptable. */
  readonly bound?: number
}

/** What was measured for a question. */
export interface Figures {
  readonly title: string
  readonly floor: string
  readonly unit: Unit
  readonly clock?: "cpu" | "wall"
  readonly rounds: number
  readonly rows: ReadonlyArray<Row>
  readonly leftOut: ReadonlyArray<{ readonly name: string; readonly reason: string }>
}

/** Other results, as cells of text. The first row is the head. */
export interface Table {
  readonly title: string
  readonly rows: ReadonlyArray<ReadonlyArray<string>>
}

/** The results of one file of `bench/`. */
export interface Question {
  readonly file: string
  readonly figures: ReadonlyArray<Figures>
  readonly tables: ReadonlyArray<Table>
}

export interface Results {
  readonly node: string
  readonly machine: string
  readonly questions: ReadonlyArray<Question>
}

export const machine = (): string => {
  const cpus = os.cpus()
  return `${process.platform} ${process.arch}, ${cpus.length} cores (${cpus[0]?.model.trim() ?? "unknown"}), ${Math.round(os.totalmem() / 2 ** 30)} GB`
}

export const read = (file: string): Results => JSON.parse(fs.readFileSync(file, "utf8"))

/** Puts what was measured again in the place of what was measured before, by title. What is new comes last. */
const replacing = <A extends { readonly title: string }>(
  before: ReadonlyArray<A>,
  after: ReadonlyArray<A>
): ReadonlyArray<A> => [
  ...before.map((one) => after.find(({ title }) => title === one.title) ?? one),
  ...after.filter(({ title }) => !before.some((one) => one.title === title))
]

/** The baseline with the results of a run, which may be of some questions only. Another machine has a baseline of its own. */
export const adopted = (baseline: Results, last: Results): Results => {
  if (baseline.node !== last.node || baseline.machine !== last.machine) return last
  const known = (file: string) => baseline.questions.some((question) => question.file === file)
  return {
    ...baseline,
    questions: [
      ...baseline.questions.map((question) => {
        const again = last.questions.find(({ file }) => file === question.file)
        return again === undefined
          ? question
          : {
              ...question,
              figures: replacing(question.figures, again.figures),
              tables: replacing(question.tables, again.tables)
            }
      }),
      ...last.questions.filter(({ file }) => !known(file))
    ]
  }
}

const rounded = (_: string, value: unknown): unknown =>
  typeof value === "number" ? Number(value.toPrecision(4)) : value

/** Writes results with one row per line. */
export const write = (file: string, results: Results): void => {
  const line = (value: unknown) => JSON.stringify(value, rounded)
  const block = (indent: string, lines: ReadonlyArray<string>) =>
    lines.length === 0 ? "[]" : `[\n${lines.map((line) => `${indent}  ${line}`).join(",\n")}\n${indent}]`
  const figuresOf = ({ leftOut, rows, ...head }: Figures) =>
    `${line(head).slice(0, -1)},"rows":${block(
      "      ",
      rows.map((row) => line(row))
    )},"leftOut":${line(leftOut)}}`
  const questions = results.questions.map(
    ({ file, figures, tables }) =>
      `{"file":${line(file)},"figures":${block("    ", figures.map(figuresOf))},"tables":${block(
        "    ",
        tables.map((table) => line(table))
      )}}`
  )
  fs.mkdirSync(`${root}.cache`, { recursive: true })
  fs.writeFileSync(
    file,
    `{\n  "node": ${line(results.node)},\n  "machine": ${line(results.machine)},\n  "questions": ${block("  ", questions)}\n}\n`
  )
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
