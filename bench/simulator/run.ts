/**
 * `npm run bench:simulator` simulates eviction policies on traces and prints their hit ratios: everything seeded, or what
 * has the given text in its name (`-- zipf`), or traces of one's own (`-- --file keys.txt`). With `--report` it writes
 * the results, the plot and the tables of `docs/eviction.md`.
 *
 * Environment: `SIMULATOR_LENGTH` is the number of reads of a seeded trace, `SIMULATOR_SHARES` the capacities in shares
 * of the distinct keys (`0.01,0.1`), `SIMULATOR_POLICIES` a part of the names of the policies, `SIMULATOR_SEED` the seed
 * of the hashes.
 */
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { adaptive } from "./adaptive.js"
import { belady } from "./belady.js"
import { file } from "./files.js"
import { type Policy, references } from "./references.js"
import { bound, type Cell, cellTable, ours, plot, summaryTable } from "./report.js"
import { capacitiesOf, defaultLength, type NamedTrace, seeded, type Trace } from "./traces.js"

const root = fileURLToPath(new URL("../..", import.meta.url))
const resultsFile = `${root}bench/simulator/results.json`

/** The hit ratios of the seeded traces that were recorded last. */
export const results = (): ReadonlyArray<Cell> => JSON.parse(fs.readFileSync(resultsFile, "utf8"))

export interface Settings {
  /** A part of the names of the policies. */
  readonly policies: string
  readonly seed: number
  readonly shares: ReadonlyArray<number> | undefined
}

export const hitRatio = (policy: Policy, { distinct, keys }: Trace, capacity: number): number => {
  const read = policy(distinct, capacity)
  let hits = 0
  for (let i = 0; i < keys.length; i++) if (read(keys[i]!)) hits++
  return (100 * hits) / keys.length
}

/** Simulates all policies on a trace, one cell per capacity. */
export function* simulate(trace: NamedTrace, { policies, seed, shares }: Settings): Generator<Cell> {
  const loaded = trace.load()
  const isWanted = (name: string): boolean => name.toLowerCase().includes(policies.toLowerCase())
  const all: Record<string, Policy> = { ...references, [ours]: adaptive(seed) }
  for (const capacity of capacitiesOf(shares === undefined ? trace : { ...trace, shares }, loaded.distinct)) {
    const ratios: Record<string, number> = {}
    for (const [name, policy] of Object.entries(all)) {
      if (isWanted(name)) ratios[name] = hitRatio(policy, loaded, capacity)
    }
    if (isWanted(bound)) ratios[bound] = (100 * belady(loaded, capacity)) / loaded.keys.length
    yield { trace: trace.name, capacity, ratios }
  }
}

/** Replaces what stands between two comments of a page. */
const replaced = (page: string, name: string, content: string): string => {
  const pattern = new RegExp(`(<!-- ${name} -->\n)[^]*?(\n<!-- end -->)`)
  if (!pattern.test(page)) throw new Error(`the page has no place for "${name}"`)
  return page.replace(pattern, (_, begin, end) => `${begin}\n${content}\n${end}`)
}

/** Writes the results. What was not simulated stays as it is. */
const writeReport = (simulated: ReadonlyArray<Cell>): void => {
  const merged = new Map(results().map((cell) => [`${cell.trace} @${cell.capacity}`, cell]))
  for (const { capacity, ratios, trace } of simulated) {
    const key = `${trace} @${capacity}`
    const rounded = Object.entries(ratios).map(([name, ratio]) => [name, Math.round(ratio * 1e4) / 1e4])
    merged.set(key, { trace, capacity, ratios: { ...merged.get(key)?.ratios, ...Object.fromEntries(rounded) } })
  }
  const all = Array.from(merged.values())
  const cells = seeded(defaultLength).flatMap(({ name }) =>
    all.filter(({ trace }) => trace === name).sort((a, b) => a.capacity - b.capacity)
  )
  fs.writeFileSync(resultsFile, `[\n${cells.map((cell) => `  ${JSON.stringify(cell)}`).join(",\n")}\n]\n`)
  fs.writeFileSync(`${root}docs/images/eviction.svg`, plot(cells))
  const page = `${root}docs/eviction.md`
  const text = replaced(fs.readFileSync(page, "utf8"), "summary", summaryTable(cells))
  fs.writeFileSync(page, replaced(text, "cells", cellTable(cells)))
}

const main = (): void => {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { file: { type: "string", multiple: true, default: [] }, report: { type: "boolean", default: false } }
  })
  const { SIMULATOR_LENGTH, SIMULATOR_POLICIES = "", SIMULATOR_SEED = "1", SIMULATOR_SHARES } = process.env
  const settings: Settings = {
    policies: SIMULATOR_POLICIES,
    seed: Number(SIMULATOR_SEED),
    shares: SIMULATOR_SHARES?.split(",").map(Number)
  }
  const wanted = positionals.join(" ").toLowerCase()
  const all = values.file.length > 0 ? values.file.map(file) : seeded(Number(SIMULATOR_LENGTH ?? defaultLength))
  const chosen = all.filter(({ name }) => name.toLowerCase().includes(wanted))
  if (chosen.length === 0) {
    console.error(`no trace has "${wanted}" in its name:\n${all.map(({ name }) => `  ${name}`).join("\n")}`)
    process.exitCode = 1
    return
  }
  const cells: Array<Cell> = []
  for (const trace of chosen) {
    for (const cell of simulate(trace, settings)) {
      cells.push(cell)
      console.error(`${cell.trace}, ${cell.capacity} entries`)
    }
  }
  console.log(`${cellTable(cells)}\n`)
  if (SIMULATOR_POLICIES === "") console.log(summaryTable(cells))
  if (values.report) writeReport(cells)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main()
