/**
 * The stamps of a process beside a backend that counts.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { countStep, Stamps } from "../../src/internal/time.js"

describe("stamps, of a backend that counts", () => {
  const make = () => {
    const backend = { remote: true, stamps: { count: 1_000, isAnswering: true } }
    const stamps = new Stamps({
      remote: true,
      stamps: {
        seen: () => backend.stamps.count,
        isCurrent: () => backend.stamps.isAnswering,
        raise: Effect.void
      }
    })
    return { backend: backend.stamps, stamps }
  }

  it("law 8: invalidation wins - a load while the backend answers is below a mark that no answer has shown", () => {
    const { stamps } = make()
    stamps.observe(2_000)
    assert.isBelow(stamps.begin(), 1_000 + countStep)
  })

  it("a load that begins in an outage - is above a mark that was notified before it", () => {
    const { backend, stamps } = make()
    stamps.begin()
    stamps.observe(2_000)
    backend.isAnswering = false
    const first = stamps.begin()
    assert.isAbove(first, 2_000)
    assert.isBelow(first, 2_000 + countStep)
    assert.isAtLeast(stamps.begin(), first)
  })

  it("a load that begins in an outage - is above a mark that was notified in it", () => {
    const { backend, stamps } = make()
    stamps.begin()
    backend.isAnswering = false
    stamps.observe(2_000)
    assert.isAbove(stamps.begin(), 2_000)
    assert.isAbove(stamps.next(), 2_000)
  })
})
