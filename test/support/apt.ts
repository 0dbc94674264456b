/**
 * Debian packages the tests need and do not find.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"

/** as root, on Debian or a child of it, unless `EFFECT_CACHED_NO_APT=1` */
export const isOurs = (): boolean =>
  process.env.EFFECT_CACHED_NO_APT !== "1" && process.getuid?.() === 0 && fs.existsSync("/etc/debian_version")

/** Installs them, and starts none of what they bring. Throws where apt fails. */
export const install = (packages: ReadonlyArray<string>, say: (line: string) => void): void => {
  const [last, ...others] = packages.toReversed()
  const names = others.length === 0 ? last : `${others.toReversed().join(", ")} and ${last}`
  say(`installing ${names} with apt (EFFECT_CACHED_NO_APT=1 forbids it)`)
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
    aptGet(["install", "-y", "--no-install-recommends", ...packages])
  } finally {
    if (ours) fs.rmSync(policy, { force: true })
    for (const signal of signals) process.off(signal, ignore)
  }
}

const aptGet = (args: ReadonlyArray<string>): void => {
  const done = spawnSync("apt-get", args, {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  })
  if (done.status !== 0) throw new Error(`apt-get ${args[0]} failed`)
}
