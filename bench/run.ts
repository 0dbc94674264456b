/** `npm run bench [-- part of a title]` */
import { Effect } from "effect"
import { measure, print } from "./harness.js"
import { runtime, staleHit, staticHit, templateHit } from "./hit.js"

const groups = [staticHit, templateHit, staleHit]

const wanted = process.argv.slice(2).join(" ")

const program = Effect.gen(function* () {
  for (const make of groups) {
    const group = make()
    if (group.title.includes(wanted)) yield* print(group, yield* measure(group))
  }
  yield* Effect.promise(() => runtime.dispose())
})

Effect.runPromise(program)
