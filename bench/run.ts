/**
 * `npm run bench` runs everything, `npm run bench -- hit` what has "hit" in its title. What is measured is the published
 * package, built by tsc: tsx gives every closure its name at the moment it is made, which a user's program does not pay
 * for.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect } from "effect"
import { batched } from "./batched.js"
import { batches } from "./batches.js"
import { dashboards } from "./dashboard.js"
import { definitions } from "./definitions.js"
import { events } from "./events.js"
import { failovers } from "./failover.js"
import { files } from "./files.js"
import { herds } from "./herd.js"
import { hit } from "./hit.js"
import { invalidations } from "./invalidation.js"
import { locks } from "./lock.js"
import { metrics } from "./metrics.js"
import { mirror } from "./mirror.js"
import { miss } from "./miss.js"
import { notifications } from "./notification.js"
import { propagations } from "./propagation.js"
import { redisHit } from "./redisHit.js"
import { serializers } from "./serializers.js"
import { stale } from "./stale.js"
import type { Section } from "./support/harness.js"
import { runtime } from "./support/memory.js"
import { tieredHit } from "./tieredHit.js"

const sections: ReadonlyArray<Section> = [
  ...hit,
  ...events,
  ...dashboards,
  ...metrics,
  ...stale,
  ...miss,
  ...herds,
  ...serializers,
  ...redisHit,
  ...tieredHit,
  ...batches,
  ...batched,
  ...invalidations,
  ...notifications,
  ...locks,
  ...files,
  ...mirror,
  ...propagations,
  ...failovers,
  ...definitions
]

const wanted = process.argv.slice(2).join(" ").toLowerCase()
const chosen = sections.filter(({ title }) => title.toLowerCase().includes(wanted))

const program = Effect.gen(function* () {
  if (chosen.length === 0) {
    return yield* Console.error(
      `no benchmark has "${wanted}" in its title:\n${sections.map(({ title }) => `  ${title}`).join("\n")}`
    )
  }
  yield* Console.log(`Node ${process.version}, ${process.arch}; medians, ratios within this run`)
  for (const { run } of chosen) yield* run
  yield* Effect.promise(() => runtime.dispose())
})

NodeRuntime.runMain(program)
