/**
 * Does a definition that is made per call leave anything behind?
 */
import { Effect, Metric } from "effect"
import { Cached } from "effect-cached"
import { type Section, section, table } from "./support/harness.js"
import { runtime } from "./support/memory.js"

const round = 100_000

const define = (from: number) =>
  Effect.promise(() =>
    runtime.runPromise(
      Effect.gen(function* () {
        for (let i = from; i < from + round; i++) {
          yield* Effect.succeed(i).pipe(Cached.ttl({ key: `definition:${i}`, name: "definition", ttl: "1 hour" }))
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

/** The store holds 50 000 entries after the first round and after the third, so the difference is what leaks. */
const leak = (title: string) =>
  Effect.gen(function* () {
    yield* define(0)
    const before = { heap: yield* heap, series: yield* series }
    yield* define(round)
    yield* define(2 * round)
    const after = { heap: yield* heap, series: yield* series }
    yield* table(title, [
      ["", "before", "after"],
      ["heap", `${before.heap.toFixed(1)} MB`, `${after.heap.toFixed(1)} MB`],
      ["series of metrics", String(before.series), String(after.series)]
    ])
  })

export const definitions: ReadonlyArray<Section> = [
  section("200 000 definitions made per call, each with its own key", leak)
]
