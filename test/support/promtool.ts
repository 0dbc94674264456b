/**
 * Finds `promtool`, the checker of Prometheus, or unpacks it from Debian's package into `.cache/`.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { isOurs } from "./apt.js"

const directory = fileURLToPath(new URL("../../.cache/promtool", import.meta.url))
const unpacked = path.join(directory, "usr/bin/promtool")

const run = (command: string, args: ReadonlyArray<string>, cwd?: string): void => {
  const { status, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" })
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed: ${stderr}`)
}

/** The path of the program. Throws if there is none, and none can be installed. */
export const findOrInstall = (): string => {
  const onPath = (process.env.PATH ?? "")
    .split(path.delimiter)
    .map((folder) => path.join(folder, "promtool"))
    .find((file) => fs.existsSync(file))
  if (onPath !== undefined) return onPath
  if (fs.existsSync(unpacked)) return unpacked
  if (!isOurs()) throw new Error("promtool is missing: it is in the package `prometheus` of Debian")
  fs.mkdirSync(directory, { recursive: true })
  run("apt-get", ["update"])
  run("apt-get", ["download", "prometheus"], directory)
  const [file] = fs.readdirSync(directory).filter((name) => name.endsWith(".deb"))
  // unpacked and not installed, because the package starts a server
  run("dpkg", ["-x", path.join(directory, file!), directory])
  fs.rmSync(path.join(directory, file!))
  return unpacked
}

/** Runs it with an input. `output` is all it printed. */
export const promtool = (
  args: ReadonlyArray<string>,
  input = ""
): { readonly code: number; readonly output: string } => {
  const { status, stderr, stdout } = spawnSync(findOrInstall(), args, { input, encoding: "utf8" })
  return { code: status ?? -1, output: `${stdout}${stderr}` }
}
