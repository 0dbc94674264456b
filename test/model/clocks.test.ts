/**
 * Random programs in which the clocks of the server and of the processes step, compared with a model: see `harness.ts`
 * for the variables that choose them.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, LogLevel } from "effect"
import { limit, runAll } from "./harness.js"
import * as Worlds from "./worlds.js"

describe("model with clocks that step", () => {
  for (const kind of Worlds.withServer) {
    it.effect(
      `${kind.name} - no process returns an invalidated or expired value, and in the end all agree`,
      () =>
        Effect.gen(function* () {
          const { failures, programs, reads } = yield* runAll(kind, "server")
          assert.isEmpty(failures, failures.join("\n\n"))
          assert.isAbove(reads, 10 * programs)
        }).pipe(Logger.withMinimumLogLevel(LogLevel.None)),
      limit
    )
  }
})
