/**
 * Finds Chromium, or installs it as Debian's package.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { type Browser, chromium } from "playwright-core"
import * as Apt from "./apt.js"

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]

const find = (): string | undefined => {
  const asked = process.env.CHROMIUM_BIN
  if (asked !== undefined && asked !== "") return asked
  return ["/usr/bin", ...(process.env.PATH ?? "").split(path.delimiter)]
    .flatMap((folder) => names.map((name) => path.join(folder, name)))
    .find((file) => fs.existsSync(file))
}

/** The path of the browser. Throws if there is none, and none can be installed. */
export const findOrInstall = (): string => {
  const found = find()
  if (found !== undefined) return found
  if (Apt.isOurs())
    Apt.install(["chromium", "fonts-dejavu-core"], (line) => console.log(`Chromium is missing: ${line}`))
  const installed = find()
  if (installed !== undefined) return installed
  throw new Error("Chromium is missing: install it (Debian: apt-get install chromium), or set CHROMIUM_BIN to its path")
}

export const launch = (): Promise<Browser> =>
  chromium.launch({ executablePath: findOrInstall(), args: ["--no-sandbox", "--disable-dev-shm-usage"] })
