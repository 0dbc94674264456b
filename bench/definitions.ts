/** 100 000 definitions made per call: what stays behind. */
import { Console, Effect, Metric } from "effect"
import { Cached } from "effect-cached"
import { runtime } from "./hit.js"

const round = 100_000

const define = (from: number) =>
  Effect.promise(() =>
    runtime.runPromise(
      Effect.gen(function* () {
        for (let i = from; i < from + round; i++) {
          yield* Effect.succeed(i).pipe(Cached.ttl({ key: `definition:${i}`, ttl: "1 hour" }))
        }
      })
    )
  )

const heap = Effect.sync(() => {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 1024 / 1024
})

const series = Effect.map(
  Metric.snapshot,
  (all) => all.filter((pair) => pair.metricKey.name.startsWith("cache_")).length
)

/** the store holds 50 000 entries of these after the first round, and after the third: the difference is what leaks */
export const definitions = Effect.gen(function* () {
  yield* define(0)
  const before = { heap: yield* heap, series: yield* series }
  yield* define(round)
  yield* define(2 * round)
  const after = { heap: yield* heap, series: yield* series }
  yield* Console.log(
    [
      "\n200 000 more definitions made per call, each with its own key",
      `  heap     ${before.heap.toFixed(1)} MB before, ${after.heap.toFixed(1)} MB after`,
      `  metrics  ${before.series} series before, ${after.series} after`
    ].join("\n")
  )
})
