/**
 * `npm run bench:compare` compares the last run with `bench/baseline.json`, or with the file that is given. It exits with 1
 * if `--strict` is given and something of this library has become slower.
 */
import * as fs from "node:fs"
import { parseArgs } from "node:util"
import { compare, times } from "./support/report.js"
import { baselineFile, lastFile, read } from "./support/results.js"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { strict: { type: "boolean", default: false } }
})

const baseline = positionals[0] ?? baselineFile
for (const file of [baseline, lastFile]) {
  if (!fs.existsSync(file)) throw new Error(`there is no ${file}: npm run bench, then npm run bench:report -- --adopt`)
}

const differences = compare(read(baseline), read(lastFile))
const changed = differences.filter(({ verdict }) => verdict !== "same")
for (const { after, before, name, title, verdict } of changed) {
  console.log(`${verdict}  ${times(before)} to ${times(after)}  ${title}: ${name}`)
}
console.log(`${differences.length - changed.length} of ${differences.length} ratios are the same as before`)
if (values.strict && changed.some(({ isOther, verdict }) => verdict === "slower" && !isOther)) process.exitCode = 1
