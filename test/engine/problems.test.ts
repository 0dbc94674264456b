import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { Problems } from "../../src/internal/problems.js"
import { recordWarnings } from "../laws/support.js"

/** A clock that the test sets. */
const manualClock = () => {
  let now = 0
  const clock: Clock.Clock = {
    ...Clock.make(),
    unsafeCurrentTimeMillis: () => now,
    unsafeCurrentTimeNanos: () => BigInt(now) * 1_000_000n
  }
  return { clock, pass: (millis: number) => (now += millis) }
}

const make = () => {
  const { lines, layer } = recordWarnings()
  const { clock, pass } = manualClock()
  const problems = new Problems("redis", (effect) => Effect.runSync(Effect.provide(effect, layer)), clock)
  return { lines, pass, problems }
}

describe("Problems", () => {
  it("an event - is logged once, counted, and forgotten an hour after it was last seen", () => {
    const { lines, pass, problems } = make()
    problems.report("ValueRefused", "user", "first")
    pass(3_000_000)
    problems.report("ValueRefused", "user", "second")
    pass(3_000_000)
    assert.deepStrictEqual(
      problems.list.map(({ count, last, message, since }) => ({ count, message, seen: last - since })),
      [{ count: 2, message: "first", seen: 3_000_000 }]
    )
    pass(600_000)
    assert.deepStrictEqual(problems.list, [])
    assert.deepStrictEqual(lines, ["first"])
    problems.report("ValueRefused", "user", "third")
    assert.deepStrictEqual(lines, ["first", "third"])
  })

  it("a state - is listed until it ends, however long that takes", () => {
    const { lines, pass, problems } = make()
    problems.begin("ReadsFail", "", "down")
    pass(36_000_000)
    problems.begin("ReadsFail", "", "down")
    assert.deepStrictEqual(
      problems.list.map(({ count }) => count),
      [2]
    )
    assert.isTrue(problems.end("ReadsFail", ""))
    assert.isFalse(problems.end("ReadsFail", ""))
    assert.deepStrictEqual(problems.list, [])
    assert.lengthOf(lines, 1)
  })

  it("a state that begins and ends all the time - is ten lines per minute, and logged again when it stays", () => {
    const { lines, pass, problems } = make()
    for (let i = 0; i < 100; i++) {
      problems.begin("WritesFail", "", "refused")
      problems.end("WritesFail", "")
    }
    problems.begin("WritesFail", "", "refused")
    assert.lengthOf(lines, 10)
    problems.begin("ReadsFail", "", "another kind is logged")
    assert.lengthOf(lines, 11)
    pass(60_000)
    problems.begin("WritesFail", "", "refused")
    assert.lengthOf(lines, 12)
  })

  it("subjects - are bounded: beyond 100 of a name they count as one", () => {
    const { problems } = make()
    for (let i = 0; i < 300; i++) problems.report("ValueRefused", `f${i}`, "refused")
    assert.lengthOf(problems.list, 101)
    assert.strictEqual(problems.list.find(({ subject }) => subject === "other")?.count, 200)
  })
})
