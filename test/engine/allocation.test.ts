/**
 * A hit in memory allocates its answer, and nothing else. `npm run test:long` counts ten million hits.
 */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { bundle } from "../support/bundle.js"

const hits = Number(process.env.HIT_COUNT ?? 200_000)

/** The smallest object has 16 bytes. */
const tolerance = 8

/** Room for many hits between two collections of garbage. */
const room = ["--min-semi-space-size=32", "--max-semi-space-size=32"]

const pairs = [
  ["effect", "floor"],
  ["function without arguments", "floor"],
  ["function of an argument", "floor of an argument"],
  ["unsafePeek", "floor of unsafePeek"],
  ["unsafeGet", "floor of unsafePeek"]
] as const

describe("allocation", () => {
  it.scopedLive(
    `${hits} hits - allocate no more than the least code that reads the clock and a Map`,
    () =>
      Effect.gen(function* () {
        const file = yield* bundle(fileURLToPath(new URL("../support/hit-process.ts", import.meta.url)))
        const { stdout } = yield* Effect.promise(() =>
          promisify(execFile)(process.execPath, [...room, file, `${hits}`])
        )
        const bytes = JSON.parse(stdout) as Record<string, number>
        for (const [read, floor] of pairs) {
          const [ours, least] = [bytes[read]!, bytes[floor]!]
          assert.isAbove(least, 0, `not measured: ${stdout}`)
          assert.isBelow(ours - least, tolerance, `${read}: ${ours} bytes, ${floor}: ${least}`)
        }
      }),
    600_000
  )
})
