/**
 * When marks are dropped, compared with what is stored: no entry that is alive is below the floor, and every mark goes.
 */
import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Lifespans from "../../src/internal/lifespans.js"

/** What happens next: time passes, a load begins and takes a while, or a mark is raised. */
const happening = FastCheck.oneof(
  FastCheck.record({ wait: FastCheck.integer({ min: 1, max: 20_000 }) }),
  FastCheck.record({
    takes: FastCheck.integer({ min: 0, max: Lifespans.defaultLoad }),
    lives: FastCheck.integer({ min: 1, max: 200_000 })
  }),
  FastCheck.record({ mark: FastCheck.constant(true) })
)

describe("Lifespans", () => {
  it("any history - no entry that is alive is below the floor", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(happening, { minLength: 20, maxLength: 200 }), (program) => {
        let now = 0
        let stamp = 0
        let lifespans = Lifespans.none
        let floor = Number.NEGATIVE_INFINITY
        // an entry that began after a mark has its stamp and half a step more
        const entries: Array<{ stamp: number; writtenAt: number; createdAt: number; expiresAt: number }> = []
        for (const step of program) {
          if ("wait" in step) now += step.wait
          else if ("lives" in step) {
            const createdAt = now + step.takes
            entries.push({ stamp: stamp + 0.5, writtenAt: createdAt, createdAt, expiresAt: createdAt + step.lives })
          } else {
            stamp++
            for (const entry of entries) {
              if (entry.writtenAt <= now) lifespans = Lifespans.longer(lifespans, Lifespans.lifespanOf(entry))
            }
            const raised = Lifespans.raise(lifespans, { stamp, at: now })
            lifespans = raised.lifespans
            floor = Math.max(floor, raised.floor)
            assert.isAtMost(lifespans.points.length, 35)
          }
          const lost = entries.filter((entry) => entry.writtenAt <= now && now < entry.expiresAt && entry.stamp < floor)
          assert.lengthOf(lost, 0)
        }
      }),
      { numRuns: 300 }
    )
  })

  it("marks raised all the time - go soon after the longest lifespan, and few moments are kept", () => {
    let lifespans = Lifespans.longer(Lifespans.none, 100_000)
    let floor = Number.NEGATIVE_INFINITY
    for (let at = 0; at < 1_000_000; at += 10) {
      const raised = Lifespans.raise(lifespans, { stamp: at, at })
      lifespans = raised.lifespans
      floor = Math.max(floor, raised.floor)
      const isInTime = at < 200_000 || floor >= at - 100_000 - 100_000 / 32 - 20
      if (lifespans.points.length > 35 || floor > at - 100_000 || !isInTime) assert.fail(`at ${at}: ${floor}`)
    }
  })

  it("an entry without an end - keeps all marks", () => {
    const lifespan = Lifespans.lifespanOf({ createdAt: 1, expiresAt: Number.POSITIVE_INFINITY })
    let lifespans = Lifespans.longer(Lifespans.none, Lifespans.rounded(lifespan))
    for (let at = 0; at < 1e12; at += 1e9) {
      const raised = Lifespans.raise(lifespans, { stamp: at, at })
      lifespans = raised.lifespans
      assert.strictEqual(raised.floor, Number.NEGATIVE_INFINITY)
    }
    assert.lengthOf(lifespans.points, 2)
  })

  it("a clock that is set back - keeps the marks longer, and none for ever", () => {
    let { lifespans } = Lifespans.raise(Lifespans.none, { stamp: 1, at: 10_000_000 })
    const back = Lifespans.raise(lifespans, { stamp: 2, at: 1_000 })
    lifespans = back.lifespans
    assert.strictEqual(back.floor, Number.NEGATIVE_INFINITY)
    assert.strictEqual(Lifespans.raise(lifespans, { stamp: 3, at: 31_001 }).floor, 2)
  })

  it("rounding - is upwards, by little, and in few steps", () => {
    const steps = new Set<number>()
    for (let lifespan = 60_000; lifespan < 66_000; lifespan++) {
      const rounded = Lifespans.rounded(lifespan)
      if (rounded < lifespan || rounded > lifespan * 1.1) assert.fail(`${lifespan}: ${rounded}`)
      steps.add(rounded)
    }
    assert.isAtMost(steps.size, 3)
  })
})
