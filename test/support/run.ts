/**
 * The script of `npm test`: lint, and the type check with the type tests, at the same time, and then the tests. The last
 * line of its output is `N passed, N failed`.
 *
 * Arguments are passed to vitest (`npm test -- test/cached/key.test.ts`); the type tests are left out then.
 */
import { spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as RedisBinary from "./redisBinary.js"

const root = fileURLToPath(new URL("../..", import.meta.url))
const tool = (name: string): string => path.join(root, "node_modules", ".bin", name)
const env: NodeJS.ProcessEnv = { ...process.env }

interface Count {
  readonly passed: number
  readonly failed: number
}

const none: Count = { passed: 0, failed: 0 }

/** What failed, listed before the last line. */
const failures: Array<string> = []

const headline = (text: string): void => console.log(`\n== ${text}`)

const exec = (name: string, args: ReadonlyArray<string>): Promise<number> =>
  new Promise((resolve) => {
    const child = spawn(tool(name), args, { cwd: root, env, stdio: ["ignore", "inherit", "inherit"] })
    child.once("error", (error) => {
      console.error(`${name} did not start: ${error.message}`)
      resolve(1)
    })
    child.once("close", (code) => resolve(code ?? 1))
  })

const step = async (name: string, args: ReadonlyArray<string>): Promise<Count> => {
  if ((await exec(name, args)) === 0) return none
  failures.push(`${name} ${args.join(" ")}`)
  return { passed: 0, failed: 1 }
}

const isPatched = (): boolean =>
  spawnSync(tool("tsc"), ["--version"], { cwd: root, encoding: "utf8" }).stdout?.includes("effect-tsgo") ?? false

/** Makes sure that the compiler reports the diagnostics of Effect. */
const patchCompiler = async (): Promise<Count> => {
  // `npm install` may skip the patch when there is nothing to install
  if (isPatched()) return none
  await exec("effect-tsgo", ["patch"])
  if (isPatched()) return none
  failures.push("effect-tsgo patch")
  console.error("tsc does not report Effect diagnostics, because `npx effect-tsgo patch` failed to patch it")
  return { passed: 0, failed: 1 }
}

interface Report {
  readonly numPassedTests: number
  readonly testResults: ReadonlyArray<FileReport>
}

interface FileReport {
  readonly name: string
  readonly status: string
  readonly message: string
  readonly assertionResults: ReadonlyArray<{
    readonly status: string
    readonly fullName: string
    readonly failureMessages: ReadonlyArray<string>
  }>
}

/** The failed tests of a file. A file that could not be loaded has none, so it counts as a failure itself. */
const failuresOf = ({ assertionResults, message, name, status }: FileReport): ReadonlyArray<string> => {
  const file = path.relative(root, name)
  if (status === "failed" && assertionResults.length === 0) return [`${file}: ${firstLine(message)}`]
  return assertionResults
    .filter((test) => test.status === "failed")
    .map((test) => `${file} > ${test.fullName}: ${firstLine(test.failureMessages[0])}`)
}

const firstLine = (text = ""): string => text.split("\n", 1)[0]!

const vitest = async (args: ReadonlyArray<string>): Promise<Count> => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-report-"))
  const file = path.join(dir, "report.json")
  try {
    const code = await exec("vitest", [
      "run",
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${file}`,
      ...args
    ])
    if (!fs.existsSync(file)) {
      failures.push(`vitest ${args.join(" ")}: no report`)
      return { passed: 0, failed: 1 }
    }
    const report: Report = JSON.parse(fs.readFileSync(file, "utf8"))
    const failed = report.testResults.flatMap(failuresOf)
    // Errors outside of any test are visible in the exit code only.
    if (failed.length === 0 && code !== 0) failed.push(`vitest ${args.join(" ")}: an error outside of any test`)
    failures.push(...failed)
    return { passed: report.numPassedTests, failed: failed.length }
  } finally {
    fs.rmSync(dir, { recursive: true, force: true })
  }
}

/**
 * Checks the types of all files. For the type tests vitest compiles the whole project, and an error in any other file fails
 * its run, so the compiler runs once.
 */
const typeCheck = (withTests: boolean): Promise<Count> =>
  withTests ? vitest(["--typecheck.only"]) : step("tsc", ["--noEmit"])

const main = async (): Promise<number> => {
  const args = process.argv.slice(2)

  headline("redis-server")
  try {
    env.REDIS_SERVER_BIN = RedisBinary.findOrInstall((line) => console.log(line))
  } catch (error) {
    if (!(error instanceof RedisBinary.RedisMissing)) throw error
    console.error(error.message)
    return 1
  }
  console.log(env.REDIS_SERVER_BIN)

  const counts: Array<Count> = []
  counts.push(await patchCompiler())
  headline("type check, lint and format, type tests")
  counts.push(...(await Promise.all([typeCheck(args.length === 0), step("biome", ["check", "."])])))
  for (const part of args.length === 0 ? ["shared", "isolated"] : [""]) {
    headline(part === "" ? "tests" : `tests, modules ${part}`)
    env.TEST_PART = part
    counts.push(await vitest(args))
  }

  const passed = counts.reduce((sum, count) => sum + count.passed, 0)
  const failed = counts.reduce((sum, count) => sum + count.failed, 0)
  if (passed + failed === 0) console.error("no test was run")
  for (const failure of failures) console.error(`FAILED ${failure}`)
  console.log(`\n${passed} passed, ${failed} failed`)
  return failed === 0 && passed > 0 ? 0 : 1
}

process.exitCode = await main()
