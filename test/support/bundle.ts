/**
 * Bundles a program with everything it imports, so that a process starts in a fraction of the time that tsx needs to find
 * and compile hundreds of files.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { build } from "esbuild"

/** Bundles a program into a file that Node can run. The file is removed when the scope closes. */
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
        // Bundled CommonJS modules require built-in modules of Node.
        banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url)' },
        logLevel: "error"
      })
    )
    return outfile
  })
