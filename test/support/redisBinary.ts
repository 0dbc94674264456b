/**
 * Where the `redis-server` of the tests comes from.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

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
  "install redis-server 7 or newer (Debian: apt-get install redis-server), or name it in REDIS_SERVER_BIN"

/**
 * `REDIS_SERVER_BIN`, then `PATH`, then the usual places; `undefined` where there is none. A `REDIS_SERVER_BIN` that
 * names nothing runnable throws: falling back would test another server than the one that was asked for.
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

const aptGet = (args: ReadonlyArray<string>): void => {
  const done = spawnSync("apt-get", args, {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  })
  if (done.status !== 0) throw new RedisMissing(`apt-get ${args[0]} failed: ${whatToDo}`)
}

/**
 * The server, installed with apt where it is missing and where that is ours to do: as root, on Debian or a child of it,
 * unless `EFFECT_CACHED_NO_APT=1`.
 */
export const findOrInstall = (say: (line: string) => void): string => {
  const found = find()
  if (found !== undefined) return found
  if (process.env.EFFECT_CACHED_NO_APT === "1" || process.getuid?.() !== 0 || !fs.existsSync("/etc/debian_version")) {
    return require()
  }
  say(
    "redis-server is missing: installing redis-server and redis-sentinel with apt (EFFECT_CACHED_NO_APT=1 forbids it)"
  )
  // Debian starts what it installs. The tests start servers of their own, so none may be left running on the usual port.
  const policy = "/usr/sbin/policy-rc.d"
  const ours = !fs.existsSync(policy)
  // An interrupt ends apt-get, and what it leaves behind is cleared up here.
  const ignore = () => {}
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const
  for (const signal of signals) process.on(signal, ignore)
  if (ours) fs.writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 })
  try {
    aptGet(["update"])
    aptGet(["install", "-y", "--no-install-recommends", "redis-server", "redis-sentinel"])
  } finally {
    if (ours) fs.rmSync(policy, { force: true })
    for (const signal of signals) process.off(signal, ignore)
  }
  return require()
}
