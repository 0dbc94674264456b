/**
 * One file of a program and all that it imports: a process that runs it is up in a fraction of the time that tsx needs
 * to find, and compile, hundreds.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { build } from "esbuild"

/** a file that Node runs, for as long as the scope lives */
export const bundle = (file: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function* () {
    const dir = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-bundle-"))),
      (dir) => Effect.sync(() => fs.rmSync(dir, { recursive: true, force: true }))
    )
    const outfile = path.join(dir, `${path.basename(file, ".ts")}.mjs`)
    yield* Effect.promise(() =>
      build({
        entryPoints: [file],
        outfile,
        bundle: true,
        platform: "node",
        format: "esm",
        target: "node20",
        // what is CommonJS in it asks for parts of Node
        banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url)' },
        logLevel: "error"
      })
    )
    return outfile
  })
