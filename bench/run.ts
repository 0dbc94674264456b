/**
 * `npm run bench`, or `npm run bench -- part of a title`. It measures what is published, built by tsc: tsx names every
 * closure as it is made, which a user's program does not pay for.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect } from "effect"
import { definitions } from "./definitions.js"
import { files } from "./files.js"
import { type Group, report } from "./harness.js"
import { runtime, staleHit, staticHit, templateHit } from "./hit.js"
import { herdCpu, herdWall, syncMiss, yieldingMiss } from "./miss.js"
import { nodes } from "./nodes.js"
import { readers } from "./reader.js"
import { redis } from "./redis.js"
import { serializers } from "./serializers.js"
import { tiers } from "./tiers.js"

const wanted = process.argv.slice(2).join(" ")

const group = (make: () => Group) => {
  const made = make()
  return made.title.includes(wanted) ? report(made) : Effect.void
}

const program = Effect.gen(function* () {
  yield* Console.log(`Node ${process.version}, ${process.arch}; medians, ratios within this run`)
  for (const make of [staticHit, templateHit, staleHit, syncMiss, yieldingMiss, herdCpu, herdWall, ...serializers])
    yield* group(make)
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
  for (const { run, title } of [...tiers, ...nodes, ...files, ...readers]) if (title.includes(wanted)) yield* run
  if ("definitions".includes(wanted)) yield* definitions
  yield* Effect.promise(() => runtime.dispose())
})

NodeRuntime.runMain(program)
