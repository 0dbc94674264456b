import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { TierCounters } from "../../../src/CacheMetrics.js"
import type { Backend } from "../../../src/index.js"
import * as Tiers from "../../../src/internal/backends/tiers/backend.js"
import { settled } from "../../laws/support.js"

/** A tier that keeps marks and no entries. */
const marked = (name: string, read: Effect.Effect<Backend.Marks | undefined>): Tiers.Tier => ({
  ttl: Number.POSITIVE_INFINITY,
  counters: new TierCounters(name, { store: "tiers of a test" }),
  backend: {
    name,
    remote: true,
    getMany: (reads) => Effect.succeed({ found: reads.map(() => undefined) }),
    setMany: (writes) => Effect.succeed(writes.map(() => ({ _tag: "Superseded" }))),
    setIfAbsent: () => Effect.succeed({ _tag: "Superseded" }),
    removeMany: (removals) => Effect.succeed(removals.map(() => ({ _tag: "Superseded" }))),
    marks: { read, raise: () => Effect.succeed({ floor: 0, lost: 0, raised: [] }) }
  }
})

describe("Tiers", () => {
  it.effect(
    "marks - of one tier count while another tier is still being asked, because each is reported only once",
    () =>
      Effect.gen(function* () {
        const slow = yield* Deferred.make<undefined>()
        const floors: Array<number> = []
        const backend = Tiers.compose("tiers", [
          marked("quick", Effect.succeed({ floor: 7, lost: 0, raised: [] })),
          marked("slow", Deferred.await(slow))
        ])
        backend.attach!({
          admits: () => true,
          notify: ({ floor }) => void floors.push(floor),
          run: () => {},
          failed: () => {},
          answered: () => {}
        })
        const reading = yield* Effect.fork(backend.marks!.read)
        yield* settled
        assert.deepStrictEqual(floors, [7])
        yield* Deferred.succeed(slow, undefined)
        yield* Fiber.join(reading)
      })
  )
})
