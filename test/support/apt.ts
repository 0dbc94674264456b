/**
 * Installs Debian packages that the tests need.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"

/** Whether the tests may install packages: as root, on Debian or a derivative, unless `EFFECT_CACHED_NO_APT=1`. */
export const isOurs = (): boolean =>
  process.env.EFFECT_CACHED_NO_APT !== "1" && process.getuid?.() === 0 && fs.existsSync("/etc/debian_version")

/** Installs packages without starting the services they contain. Throws if apt fails. */
export const install = (packages: ReadonlyArray<string>, say: (line: string) => void): void => {
  const [last, ...others] = packages.toReversed()
  const names = others.length === 0 ? last : `${others.toReversed().join(", ")} and ${last}`
  say(`installing ${names} with apt (EFFECT_CACHED_NO_APT=1 forbids it)`)
  // Debian starts the services it installs, which would occupy their usual ports. This policy forbids it.
  const policy = "/usr/sbin/policy-rc.d"
  const ours = !fs.existsSync(policy)
  // An interrupt ends apt-get, and this process goes on to remove the policy.
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
