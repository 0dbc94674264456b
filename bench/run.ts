/**
 * `npm run bench`, or `npm run bench -- part of a title`. It measures what is published, built by tsc: tsx names every
 * closure as it is made, which a user's program does not pay for.
 */
import { Console, Effect } from "effect"
import { definitions } from "./definitions.js"
import { type Group, measure, print } from "./harness.js"
import { runtime, staleHit, staticHit, templateHit } from "./hit.js"
import { herdCpu, herdWall, syncMiss, yieldingMiss } from "./miss.js"
import { redis } from "./redis.js"

const wanted = process.argv.slice(2).join(" ")

const group = (make: () => Group) => {
  const made = make()
  return made.title.includes(wanted) ? Effect.flatMap(measure(made), (rows) => print(made, rows)) : Effect.void
}

const program = Effect.gen(function* () {
  yield* Console.log(`Node ${process.version}, ${process.arch}; medians, ratios within this run`)
  for (const make of [staticHit, templateHit, staleHit, syncMiss, yieldingMiss, herdCpu, herdWall]) yield* group(make)
  if ("redis".includes(wanted) || wanted.includes("Redis")) {
    for (const concurrency of [1, 64]) {
      yield* Effect.scoped(
        Effect.flatMap(redis(concurrency), (made) =>
          Effect.zipRight(
            group(() => made),
            made.close ?? Effect.void
          )
        )
      )
    }
  }
  if ("definitions".includes(wanted)) yield* definitions
  yield* Effect.promise(() => runtime.dispose())
})

Effect.runPromise(program)
