/**
 * Explores the rules by which Redis orders writes: `count/server.ts` has them in a small form. Every value carries how
 * many sets and invalidations its load knows of, and no read may return one that knows of fewer than had been confirmed
 * when the read began.
 *
 * `MODEL_SEED` chooses the random runs, and `COUNT_MINUTES` how long they last altogether.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Cases from "./count/cases.js"
import { explore, type Result, replay, wander } from "./count/explorer.js"
import * as World from "./count/world.js"
import * as Random from "./random.js"

const maxStates = 60_000
const minutes = Number(process.env.COUNT_MINUTES ?? 0.01)
const seed = Number(process.env.MODEL_SEED ?? 1)
const millis = (minutes * 60_000) / Cases.wide.length

const traces = ({ broken }: Result): string =>
  Array.from(broken, ([promise, trace]) => `${promise}:\n  ${trace.join("\n  ")}`).join("\n")

describe("law 8: invalidation wins - the count", () => {
  for (const [name, options] of Cases.complete) {
    it(`${name} - no read returns what was outdated before it began`, () => {
      const result = explore(World.make(options), maxStates)
      assert.strictEqual(traces(result), "")
      assert.isTrue(result.isComplete, "more states than are explored")
    })
  }

  for (const [name, options] of Cases.mutants) {
    it(`without a rule: ${name} - a read returns what was outdated before it began`, { timeout: 90_000 }, async () => {
      const model = World.make(options)
      const explored = explore(model, maxStates / 4)
      const { below: random } = Random.make(3)
      const result = explored.broken.size > 0 ? explored : await wander(model, { depth: 80, millis: 60_000, random })
      assert.strictEqual(result.broken.size, 1)
    })
  }

  for (const [name, options, trace] of Cases.traces) {
    it(`without a rule: ${name} - a read returns what was outdated before it began, and not with the rule`, () => {
      assert.deepStrictEqual(replay(World.make(options), trace), trace)
      const { without: _, ...withRule } = options
      assert.isUndefined(replay(World.make(withRule), trace))
    })
  }

  for (const [name, options] of Cases.wide) {
    it(`random: ${name} - no read returns what was outdated before it began`, {
      timeout: millis + 60_000
    }, async () => {
      const { below: random } = Random.make(seed)
      assert.strictEqual(
        traces(await wander(World.make(options), { depth: 150, millis, random })),
        "",
        `MODEL_SEED=${seed}`
      )
    })
  }
})
