/**
 * A real S3 for the tests: the gateway of Ceph, which is started once for a test run.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { CreateBucketCommand, PutObjectCommand, S3Client, type S3ClientConfig } from "@aws-sdk/client-s3"
import * as Effect from "effect/Effect"
import * as Apt from "./apt.js"
import { freePort } from "./ports.js"

const programs = ["radosgw", "ceph-mon", "ceph-osd", "ceph"]
const packages = ["radosgw", "ceph-mon", "ceph-osd", "ceph-common"]

/** The name of a bucket that exists. */
export const bucket = "caches"

export const credentials = { accessKeyId: "TESTKEY", secretAccessKey: "TESTSECRET" } as const

export const clientConfig = (port: number): S3ClientConfig => ({
  endpoint: `http://127.0.0.1:${port}`,
  region: "us-east-1",
  forcePathStyle: true,
  credentials
})

const isThere = (program: string): boolean =>
  [...(process.env.PATH ?? "").split(path.delimiter), "/usr/bin"].some((dir) => fs.existsSync(path.join(dir, program)))

const findOrInstall = (): void => {
  if (programs.every(isThere)) return
  if (!Apt.isOurs()) throw new Error(`Ceph's gateway is not installed (Debian: apt-get install ${packages.join(" ")})`)
  Apt.install(packages, (line) => console.log(`Ceph's gateway is not installed: ${line}`))
}

const ready = (child: ChildProcess): Promise<void> =>
  new Promise((resolve, reject) => {
    let log = ""
    child.stdout!.on("data", (chunk: Buffer) => {
      log += chunk.toString()
      if (log.includes("ready\n")) resolve()
    })
    child.stderr!.on("data", (chunk: Buffer) => {
      log += chunk.toString()
    })
    child.once("exit", () => reject(new Error(`Ceph's gateway did not start:\n${log.slice(-2000)}`)))
  })

/**
 * Starts the gateway. Returns its port, and a function that stops it. It also stops when this process ends, for any
 * reason.
 */
export const start = async (): Promise<{ readonly port: number; readonly stop: () => Promise<void> }> => {
  findOrInstall()
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-s3-"))
  const [port, ...others] = await Effect.runPromise(Effect.all([freePort, freePort, freePort]))
  const script = fileURLToPath(new URL("./start-rgw.sh", import.meta.url))
  // A process group of its own, so that all its processes can be killed at once.
  const child = spawn(script, [dir, String(port), ...others.map(String)], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"]
  })
  // A process that kills the group when its standard input ends, which happens however this process ends.
  const guard = spawn("/bin/sh", ["-c", 'read _; kill -9 "-$1"; rm -rf "$2"', "guard", String(child.pid), dir], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true
  })
  const stop = () =>
    new Promise<void>((resolve) => {
      guard.once("exit", () => resolve())
      guard.stdin.end()
    })
  const client = new S3Client(clientConfig(port))
  try {
    await ready(child)
    // The first bucket and the first object create their pools, which takes seconds.
    await client.send(new CreateBucketCommand({ Bucket: bucket }))
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: "first", Body: "first" }))
  } catch (error) {
    await stop()
    throw error
  } finally {
    client.destroy()
  }
  return { port, stop }
}
