/**
 * The libraries that this one is compared with. They are not dependencies of the project: `npm run bench:install` puts
 * them into `bench/peers/node_modules`, and a contender whose package is not there is left out by name.
 */
import * as fs from "node:fs"
import { createRequire } from "node:module"
import { pathToFileURL } from "node:url"
import { Effect } from "effect"
import { LeftOut } from "./harness.js"

const directory = new URL("../peers/", import.meta.url)
const require = createRequire(new URL("package.json", directory))

/** The directory from which a process can import the packages. */
export const peersDirectory = directory

/** Whether a package is installed, and in which version. */
export const versionOf = (name: string): string | undefined => {
  const file = new URL(`node_modules/${name}/package.json`, directory)
  return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")).version : undefined
}

/**
 * Imports a package. `A` is the part of it that is used, written by hand: the project compiles whether the package is
 * installed or not.
 */
export const peer = <A>(name: string): Effect.Effect<A, LeftOut> =>
  Effect.suspend(() =>
    versionOf(name.startsWith("@") ? name : name.split("/")[0]!) === undefined
      ? Effect.fail(new LeftOut({ reason: `${name} is not installed, see bench/README.md` }))
      : // A module of CommonJS has all its exports under `default`.
        Effect.map(
          Effect.promise(() => import(pathToFileURL(require.resolve(name)).href)),
          (module) => ({ ...module.default, ...module }) as A
        )
  )
