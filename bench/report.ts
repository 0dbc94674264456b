/**
 * `npm run bench:report` makes the tables of `docs/benchmarks.md` and of the README, and the plot, from
 * `bench/baseline.json`. `npm run bench:report -- --adopt` makes the last run the baseline before; `-- --print` only
 * prints the tables of the last run.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { pageOf, plot, questionTables, readmeOf } from "./support/report.js"
import { adopted, baselineFile, lastFile, read, write } from "./support/results.js"

const root = fileURLToPath(new URL("..", import.meta.url))

const { values } = parseArgs({
  options: { adopt: { type: "boolean", default: false }, print: { type: "boolean", default: false } }
})

const update = (file: string, change: (text: string) => string): void =>
  fs.writeFileSync(`${root}${file}`, change(fs.readFileSync(`${root}${file}`, "utf8")))

if (values.print) {
  const results = read(lastFile)
  console.log(results.questions.map(({ file }) => questionTables(results, file)).join("\n\n"))
} else {
  if (values.adopt) write(baselineFile, adopted(read(baselineFile), read(lastFile)))
  const results = read(baselineFile)
  update("docs/benchmarks.md", (page) => pageOf(page, results))
  update("README.md", (page) => readmeOf(page, results))
  fs.writeFileSync(`${root}docs/images/benchmarks.svg`, plot(results))
  execFileSync("npx", ["biome", "check", "--write", "README.md", "docs/benchmarks.md"], { cwd: root, stdio: "inherit" })
}
