/**
 * Random histories compared with a model. The message of a failure contains the seed of its history.
 *
 * `MODEL_SEED=<seed>` runs that history alone, `MODEL_HISTORIES=<n>` runs that many, `MODEL_LENGTH=<n>` makes them longer.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, LogLevel } from "effect"
import { live } from "../support/redis.js"
import * as History from "./history.js"

const number = (name: string): number | undefined =>
  process.env[name] === undefined ? undefined : Number(process.env[name])

const only = number("MODEL_SEED")
const histories = number("MODEL_HISTORIES") ?? 12
const from = number("MODEL_FROM") ?? 1
const length = number("MODEL_LENGTH") ?? 60
const seeds = only !== undefined ? [only] : Array.from({ length: histories }, (_, i) => from + i)

describe("tiers compared with a model", () => {
  it.effect(
    "random histories - no process returns an invalidated or expired value, and in the end all agree",
    () =>
      Effect.gen(function* () {
        const outcomes = yield* Effect.forEach(seeds, (seed) => live(History.run({ seed, length })), {
          concurrency: number("MODEL_PARALLEL") ?? 4
        })
        const failed = outcomes.filter(({ violations }) => violations.length > 0)
        const messages = failed.map(
          ({ log, seed, violations }, i) =>
            `seed ${seed}, length ${length}:\n${violations.join("\n")}\n${i < 5 ? log.join("\n") : ""}`
        )
        assert.strictEqual(failed.length, 0, messages.join("\n\n"))
        assert.isAbove(
          outcomes.reduce((sum, { reads }) => sum + reads, 0),
          100 * seeds.length
        )
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None)),
    60_000 + 5_000 * seeds.length
  )
})
