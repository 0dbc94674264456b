/** Programs of the benchmark that run in a process of their own, so that each has a heap of its own. */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Runs a program of `bench/support/` and returns what it printed as JSON in its last line. */
export const ask = <A>(program: string, args: ReadonlyArray<string>): Effect.Effect<A> =>
  Effect.promise(
    () =>
      new Promise((resolve, reject) => {
        execFile(
          process.execPath,
          [
            "--expose-gc",
            "--max-old-space-size=12000",
            "--import",
            "tsx",
            fileURLToPath(new URL(program, import.meta.url)),
            ...args
          ],
          { cwd: root, env: { ...process.env, TSX_TSCONFIG_PATH: `${root}bench/tsconfig.json` } },
          (error, stdout) => {
            if (error !== null) reject(error)
            else resolve(JSON.parse(stdout.trimEnd().split("\n").at(-1)!))
          }
        )
      })
  )
