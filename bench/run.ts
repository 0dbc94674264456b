/**
 * `npm run bench` runs everything, `npm run bench -- hit` what has "hit" in its title. What is measured is the published
 * package, built by tsc: tsx gives every closure its name at the moment it is made, which a user's program does not pay
 * for.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Console, Effect } from "effect"
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
import { loading } from "./loading.js"
import { locks } from "./lock.js"
import { memory } from "./memory.js"
import { metrics } from "./metrics.js"
import { mirror } from "./mirror.js"
import { miss } from "./miss.js"
import { notifications } from "./notification.js"
import { propagations } from "./propagation.js"
import { redisHit } from "./redisHit.js"
import { scale } from "./scale.js"
import { serializers } from "./serializers.js"
import { set } from "./set.js"
import { stale } from "./stale.js"
import { recorded, type Section } from "./support/harness.js"
import { runtime } from "./support/memory.js"
import { lastFile, machine, type Question, write } from "./support/results.js"
import { tieredHit } from "./tieredHit.js"

/** The sections of each file, by its name. */
const questions: Readonly<Record<string, ReadonlyArray<Section>>> = {
  hit,
  stale,
  miss,
  set,
  herd: herds,
  tieredHit,
  redisHit,
  batches,
  batched,
  memory,
  scale,
  loading,
  events,
  dashboard: dashboards,
  metrics,
  serializers,
  invalidation: invalidations,
  notification: notifications,
  lock: locks,
  files,
  mirror,
  propagation: propagations,
  failover: failovers,
  definitions
}

const wanted = process.argv.slice(2).join(" ").toLowerCase()
const chosen = Object.entries(questions).flatMap(([file, sections]) => {
  const some = sections.filter(({ title }) => title.toLowerCase().includes(wanted))
  return some.length === 0 ? [] : [{ file, sections: some }]
})

const program = Effect.gen(function* () {
  if (chosen.length === 0) {
    const titles = Object.values(questions).flatMap((sections) => sections.map(({ title }) => `  ${title}`))
    return yield* Console.error(`no benchmark has "${wanted}" in its title:\n${titles.join("\n")}`)
  }
  yield* Console.log(`Node ${process.version}, ${machine()}; medians, quartiles of the ratios within this run`)
  const measured: Array<Question> = []
  for (const { file, sections } of chosen) {
    recorded.figures = []
    recorded.tables = []
    for (const { run, title } of sections) {
      yield* Effect.catchAllCause(run, (cause) => {
        process.exitCode = 1
        return Console.error(`\n${title}: failed\n${Cause.pretty(cause)}`)
      })
    }
    measured.push({ file, figures: recorded.figures, tables: recorded.tables })
    // A run that is interrupted leaves what it has measured.
    write(lastFile, { node: process.version, machine: machine(), questions: measured })
  }
  yield* Effect.promise(() => runtime.dispose())
})

NodeRuntime.runMain(program)
