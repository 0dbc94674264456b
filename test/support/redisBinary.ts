/**
 * Finds the `redis-server` of the tests.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Apt from "./apt.js"

const usualPlaces = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/opt/homebrew/bin", "/opt/redis/bin", "/snap/bin"]

const isExecutable = (file: string): boolean => {
  try {
    fs.accessSync(file, fs.constants.X_OK)
    return fs.statSync(file).isFile()
  } catch {
    return false
  }
}

export class RedisMissing extends Error {
  override readonly name = "RedisMissing"
}

const whatToDo =
  "install redis-server 7 or newer (Debian: apt-get install redis-server), or set REDIS_SERVER_BIN to its path"

/**
 * Looks at `REDIS_SERVER_BIN`, then `PATH`, then the usual places. Returns `undefined` if there is none. A
 * `REDIS_SERVER_BIN` that is not executable throws: falling back would test another server than the one that was named.
 */
export const find = (env: NodeJS.ProcessEnv = process.env): string | undefined => {
  const asked = env.REDIS_SERVER_BIN
  if (asked !== undefined && asked !== "") {
    if (isExecutable(asked)) return path.resolve(asked)
    throw new RedisMissing(`REDIS_SERVER_BIN is ${asked}, which is not an executable file`)
  }
  return [...(env.PATH ?? "").split(path.delimiter).filter((dir) => dir !== ""), ...usualPlaces]
    .map((dir) => path.resolve(dir, "redis-server"))
    .find(isExecutable)
}

export const require = (): string => {
  const found = find()
  if (found === undefined) throw new RedisMissing(`redis-server is missing: ${whatToDo}`)
  return found
}

/**
 * Finds the server, and installs it with apt if it is missing and this process may do so: as root, on Debian or a
 * derivative, unless `EFFECT_CACHED_NO_APT=1`.
 */
export const findOrInstall = (say: (line: string) => void): string => {
  const found = find()
  if (found !== undefined) return found
  if (!Apt.isOurs()) return require()
  try {
    Apt.install(["redis-server", "redis-sentinel"], (line) => say(`redis-server is missing: ${line}`))
  } catch (error) {
    throw new RedisMissing(`${(error as Error).message}: ${whatToDo}`)
  }
  return require()
}
