/**
 * `npm run bench:compare` compares the last run with `bench/baseline.json`, or with the file that is given. It exits with 1
 * if `--strict` is given and something of this library has become slower.
 */
import { parseArgs } from "node:util"
import { compare, times } from "./support/report.js"
import { baselineFile, lastFile, read } from "./support/results.js"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { strict: { type: "boolean", default: false } }
})

const differences = compare(read(positionals[0] ?? baselineFile), read(lastFile))
const changed = differences.filter(({ verdict }) => verdict !== "same")
for (const { after, before, name, title, verdict } of changed) {
  console.log(`${verdict}  ${times(before)} to ${times(after)}  ${title}: ${name}`)
}
console.log(`${differences.length - changed.length} of ${differences.length} ratios are the same as before`)
if (values.strict && changed.some(({ isOther, verdict }) => verdict === "slower" && !isOther)) process.exitCode = 1
