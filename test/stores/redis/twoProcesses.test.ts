/**
 * The options of resilience between two real processes: what the other process sees. Over Redis alone, and over memory in
 * front of Redis.
 */
import { describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Pairs, type Test } from "../../support/twoProcesses.js"
import { changes } from "./twoProcesses/changes.js"
import { failures } from "./twoProcesses/failures.js"
import { lifetimes } from "./twoProcesses/lifetimes.js"

layer(Pairs.layer, { timeout: 40_000 })("two processes", (it) => {
  for (const kind of ["redis", "hybrid"] as const) {
    describe(kind, () => {
      let keys = 0
      const test: Test = (name, body) =>
        it.scoped(name, () => Effect.flatMap(Pairs, (pairs) => body({ ...pairs[kind], key: `k${++keys}` })))
      lifetimes(test)
      failures(test)
      changes(test)
    })
  }
})
