/**
 * The source of the previous release, taken from the history of the repository, or where that is shallow or missing from
 * `test/golden/previous-release.tar.gz`, which is the same archive.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { gunzipSync } from "node:zlib"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { bundle } from "./bundle.js"

/** The last commit whose processes may run on one Redis with processes of this source. */
export const commit = "bf26e3c1c54e96639d718d6dc8b37a439416484f"

const root = fileURLToPath(new URL("../..", import.meta.url))

const git = (...args: ReadonlyArray<string>): Buffer =>
  execFileSync("git", args, { cwd: root, maxBuffer: 64 * 1024 * 1024, stdio: ["ignore", "pipe", "pipe"] })

/** The archive of `src`, from the history if it has the commit. */
const archive = (): Buffer => {
  try {
    return git("archive", "--format=tar", commit, "src")
  } catch {
    return gunzipSync(fs.readFileSync(path.join(root, "test/golden/previous-release.tar.gz")))
  }
}

/** Writes `src` of the previous release into a folder. */
const extract = (dir: string): void => {
  execFileSync("tar", ["-x", "-C", dir], { input: archive() })
}

/**
 * Bundles a program of `test/support` with the source of the previous release in place of this one. The file is removed
 * when the scope closes.
 */
export const bundlePrevious = (program: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function* () {
    const dir = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-previous-"))),
      (dir) => Effect.sync(() => fs.rmSync(dir, { recursive: true, force: true }))
    )
    yield* Effect.sync(() => {
      extract(dir)
      fs.cpSync(path.join(root, "test/support"), path.join(dir, "test/support"), { recursive: true })
      fs.symlinkSync(path.join(root, "node_modules"), path.join(dir, "node_modules"), "dir")
    })
    return yield* bundle(path.join(dir, "test/support", program))
  })
