/**
 * A clock that can be set for a redis-server, by a library that is loaded into it. It needs a C compiler, and a system
 * that knows LD_PRELOAD.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

const source = fileURLToPath(new URL("./fakeTime.c", import.meta.url))

/** Compiles the library, or dies with what this machine lacks. */
const compile = (library: string): void => {
  if (process.platform !== "linux") throw new Error("the clock of a server can be set on Linux only, with LD_PRELOAD")
  const { error, status, stderr } = spawnSync("cc", ["-shared", "-fPIC", "-O1", "-o", library, source], {
    encoding: "utf8"
  })
  if (error !== undefined) throw new Error("the clock of a server needs a C compiler: install one as `cc`")
  if (status !== 0) throw new Error(`cc could not compile ${source}:\n${stderr}`)
}

export interface ServerClock {
  /** The environment of the server. */
  readonly env: Readonly<Record<string, string>>
  /** Sets the server's time of day, so many milliseconds ahead of the real one. */
  readonly set: (millis: number) => void
}

/** Compiles the library and makes a clock, both of which are removed when the scope closes. */
export const make: Effect.Effect<ServerClock, never, Scope.Scope> = Effect.gen(function* () {
  const dir = yield* Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-clock-"))),
    (dir) => Effect.sync(() => fs.rmSync(dir, { recursive: true, force: true }))
  )
  const library = path.join(dir, "fakeTime.so")
  const file = path.join(dir, "offset")
  yield* Effect.sync(() => {
    compile(library)
    fs.writeFileSync(file, Buffer.alloc(8))
  })
  return {
    env: { LD_PRELOAD: library, TIME_OFFSET_FILE: file },
    set: (millis) => {
      const bytes = Buffer.alloc(8)
      if (os.endianness() === "LE") bytes.writeBigInt64LE(BigInt(millis))
      else bytes.writeBigInt64BE(BigInt(millis))
      const opened = fs.openSync(file, "r+")
      // written in place: the server has mapped these bytes
      fs.writeSync(opened, bytes, 0, 8, 0)
      fs.closeSync(opened)
    }
  }
})
