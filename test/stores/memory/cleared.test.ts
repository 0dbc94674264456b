/** What a store in memory remembers of the entries that `clear` has removed. */
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { uniform } from "../../../bench/simulator/random.js"
import { Cleared } from "../../../src/internal/backends/memory/cleared.js"

/** The hashes of most keys belong to the same slots of a small table, and one of them is 0. */
const hashOf = (key: string): number => Number(key.slice(1)) * 8

const make = () => {
  const cleared = new Cleared(hashOf)
  const left: Array<string> = []
  const add = (keys: ReadonlyArray<string>) =>
    cleared.add({ indices: new Map(keys.map((key, i) => [key, i])), onLeft: (key) => left.push(key) })
  return { add, cleared, left }
}

describe("Cleared", () => {
  it("random use - knows the keys that were cleared until they are forgotten, and each entry leaves once", () => {
    const { add, cleared, left } = make()
    const keys = Array.from({ length: 200 }, (_, i) => `k${i}`)
    const known = new Set<string>()
    const waiting = new Set<string>()
    const next = uniform(21)
    const forget = (key: string) => {
      cleared.forget(key, 0)
      known.delete(key)
      waiting.delete(key)
    }
    for (let step = 0; step < 2_000; step++) {
      left.length = 0
      const before = new Set(waiting)
      const action = next()
      if (action < 0.03) {
        const some = keys.filter(() => next() < 0.3)
        // as keys that are stored again
        for (const key of some) forget(key)
        add(some)
        for (const key of some) known.add(key)
        for (const key of some) waiting.add(key)
      } else if (action < 0.3) {
        cleared.leave(5, 0)
        for (const key of left) waiting.delete(key)
      } else {
        forget(keys[Math.floor(next() * keys.length)]!)
      }
      if (action >= 0.03) deepStrictEqual(new Set(left), new Set([...before].filter((key) => !waiting.has(key))))
      if (new Set(left).size !== left.length) assert.fail("an entry left twice")
      if (cleared.size !== waiting.size) assert.fail(`${cleared.size} entries wait, not ${waiting.size}`)
      if (cleared["table"].length < 2 * cleared["hashes"]) assert.fail("less than half of the slots is empty")
      for (const key of keys) if (cleared.has(key) !== known.has(key)) assert.fail(`step ${step}: ${key}`)
    }
    cleared.leave(1_000, 0)
    for (const key of keys) forget(key)
    assert.isTrue(cleared.isEmpty)
    assert.lengthOf(cleared["table"], 16)
  })

  it("groups that are added before any of them has left - have room together", () => {
    const { add, cleared } = make()
    for (let group = 0; group < 3; group++) add(Array.from({ length: 100 }, (_, i) => `k${100 * group + i}`))
    cleared.leave(300, 0)
    assert.isAtLeast(cleared["table"].length, 600)
  })

  it("a part - visits as many entries as it may, those that are gone too", () => {
    const { add, cleared, left } = make()
    add(["k1", "k2", "k3", "k4"])
    for (const key of ["k1", "k2"]) cleared.forget(key, 0)
    left.length = 0
    cleared.leave(3, 0)
    deepStrictEqual(left, ["k3"])
  })

  it("the end - forgets everything, and is a beginning", () => {
    const { add, cleared, left } = make()
    add(["k1", "k2", "k3"])
    cleared.leave(2, 0)
    cleared.end()
    deepStrictEqual([cleared.isEmpty, cleared.size, cleared.has("k1"), cleared.has("k3")], [true, 0, false, false])
    cleared.leave(9, 0)
    deepStrictEqual(left, ["k1", "k2"])
    add(["k4"])
    deepStrictEqual([cleared.has("k1"), cleared.has("k4")], [false, true])
    cleared.leave(1, 0)
    deepStrictEqual(left, ["k1", "k2", "k4"])
  })

  it("a million keys - are remembered, and with one more, only those from then on", () => {
    const { add, cleared } = make()
    add(["k0"])
    cleared.leave(1, 0)
    cleared["hashes"] = 1_048_575
    add(["k1", "k2", "k3"])
    const known = () => {
      cleared.leave(1, 0)
      return ["k0", "k1", "k2", "k3"].filter((key) => cleared.has(key))
    }
    deepStrictEqual(known(), ["k0", "k1", "k2", "k3"])
    deepStrictEqual(known(), ["k2", "k3"])
    deepStrictEqual(known(), ["k2", "k3"])
  })
})
