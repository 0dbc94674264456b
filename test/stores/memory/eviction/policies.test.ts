/** The eviction policies as the store uses them: their structure under random use, and which entries they keep. */
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { ranks, uniform } from "../../../../bench/simulator/random.js"
import type { Adaptive } from "../../../../src/internal/backends/memory/adaptive.js"
import type { Lru } from "../../../../src/internal/backends/memory/lru.js"
import type { Queues } from "../../../../src/internal/backends/memory/queues.js"
import * as Fields from "../../../../src/internal/backends/memory/record.js"
import type { Tuner } from "../../../../src/internal/backends/memory/tuner.js"
import { Cache, hitRatio } from "./support.js"

const queuesOf = (cache: Cache): Queues => (cache.policy as Adaptive)["queues"]
const tunerOf = (cache: Cache): Tuner => (cache.policy as Adaptive)["tuner"]

/** `assert` formats a message each time, which is too slow for what is checked after every operation. */
const expect = (holds: boolean, what: string): void => {
  if (!holds) assert.fail(what)
}

/** Visits the entries of a queue. Throws where two links disagree. */
const walk = (queues: Queues, end: number, visit: (index: number) => void): void => {
  for (let link = queues["newer"](end), steps = 0; link !== end; link = queues["newer"](link)) {
    expect(++steps < 100_000, "the queue has an end")
    expect(queues["older"](queues["newer"](link)) === link, `the newer neighbour of ${link} agrees`)
    expect(queues["newer"](queues["older"](link)) === link, `the older neighbour of ${link} agrees`)
    if (link >= 0) visit(link)
    else expect(queues["placedMarkers"][~link - 2] === 1, `marker ${~link - 2} is known to be in the window`)
  }
}

/** Checks what must hold after each operation: each entry is in one queue, and all counts and weights are right. */
const checkQueues = (cache: Cache, weights: ReadonlyMap<string, number>): void => {
  const queues = queuesOf(cache)
  const seen = new Set<number>()
  for (const [end, size, weight] of [
    [~0, queues.windowSize, queues.windowWeight],
    [~1, queues.mainSize, queues.mainWeight]
  ] as const) {
    const before = seen.size
    let sum = 0
    walk(queues, end, (index) => {
      seen.add(index)
      sum += weights.get(cache.keys[index]!)!
    })
    expect(seen.size - before === size && sum === weight, `${size} entries weigh ${weight}, not ${sum}`)
  }
  expect(seen.size === cache.indices.size, "each entry is in one queue")
}

const checkTuner = (cache: Cache): void => {
  const tuner = tunerOf(cache)
  const hashes = Array.from(cache.indices.values(), (i) => cache.records.i32[i * Fields.i32Length + Fields.hash]!)
  const sampled = hashes.filter((hash) => (hash & tuner["sampleMask"]) === 0).length
  assert.strictEqual(tuner["sampled"], sampled)
  for (const simulation of tuner["simulations"]) assert.isAtMost(simulation.size, tuner["room"])
}

/** Random reads, writes, removals and clears against a plain map, with checks after each operation. */
const runModel = (cache: Cache, weighted: boolean, steps: number): void => {
  const { capacity, policy } = cache
  const next = uniform(capacity)
  const weights = new Map<string, number>()
  const keys = Math.max(4, Math.ceil(capacity * (weighted ? 0.3 : 2)))
  for (let step = 0; step < steps; step++) {
    const key = `k${Math.floor(next() ** 2 * keys)}`
    const action = next()
    if (action < 0.1) {
      expect(cache.remove(key) === weights.has(key), "what was stored is removed")
      weights.delete(key)
    } else if (action < 0.1005) {
      cache.clear()
      weights.clear()
    } else if (action < 0.12) {
      cache.move(key)
    } else if (action < 0.2 || !cache.get(key)) {
      const weight = weighted ? Math.floor(next() ** 4 * capacity * 0.5) : 1
      cache.set(key, weight)
      weights.set(key, weight)
      for (const stored of weights.keys()) if (!cache.indices.has(stored)) weights.delete(stored)
    }
    let sum = 0
    for (const weight of weights.values()) sum += weight
    expect(policy.size === weights.size && cache.indices.size === weights.size, "the number of entries is right")
    expect(policy.weight === sum && sum <= capacity, "the weight is right")
    checkQueues(cache, weights)
  }
  checkTuner(cache)
}

describe("structure", () => {
  for (const weighted of [false, true]) {
    for (const capacity of [1, 2, 3, 20, 150]) {
      it(`adaptive, ${weighted ? "weights" : "entries"} up to ${capacity} - holds after every operation`, () => {
        runModel(new Cache(capacity, "adaptive", weighted), weighted, 3_000)
      })
    }
  }

  it("adaptive, a large store of weights - holds, and the sample grows with it", () => {
    const capacity = 200_000
    const cache = new Cache(capacity, "adaptive", true)
    const next = uniform(5)
    const weights = new Map<string, number>()
    // the entries become lighter, so that there are more and more of them
    for (let step = 0; step < 60_000; step++) {
      const key = `k${Math.floor(next() ** 2 * 20_000)}`
      if (cache.get(key)) continue
      const weight = 1 + Math.floor((next() * 200 * 10_000) / (10_000 + step))
      cache.set(key, weight)
      weights.set(key, weight)
    }
    checkQueues(cache, weights)
    checkTuner(cache)
    assert.isAbove(tunerOf(cache)["sampleBits"], 0)
  })
})

describe("lru", () => {
  for (const weighted of [false, true]) {
    it(`${weighted ? "weights" : "entries"} - leave in the order of their last use, exactly`, () => {
      const cache = new Cache(50, "lru", weighted)
      const next = uniform(3)
      let order: Array<readonly [key: string, weight: number]> = []
      const forget = (key: string) => {
        order = order.filter(([other]) => other !== key)
      }
      for (let step = 0; step < 5_000; step++) {
        const key = `k${Math.floor(next() * 100)}`
        const action = next()
        if (action < 0.05) {
          cache.remove(key)
          forget(key)
        } else if (action < 0.1) {
          cache.move(key)
        } else if (action < 0.6) {
          const found = order.find(([other]) => other === key)
          assert.strictEqual(cache.get(key), found !== undefined)
          if (found === undefined) continue
          forget(key)
          order.push(found)
        } else {
          const weight = weighted ? 1 + Math.floor(next() * 10) : 1
          cache.set(key, weight)
          forget(key)
          order.push([key, weight])
          while (order.reduce((sum, [, weight]) => sum + weight, 0) > 50) order.shift()
        }
        deepStrictEqual(Array.from(cache.indices.keys()).sort(), order.map(([key]) => key).sort())
      }
      cache.clear()
      deepStrictEqual([cache.policy.size, cache.policy.weight, cache.policy.victim(1)], [0, 0, -1])
    })
  }
})

describe("weights", () => {
  for (const eviction of ["adaptive", "lru"] as const) {
    it(`${eviction} - take as much memory as there are records, and none after \`clear\``, () => {
      const cache = new Cache(1_000, eviction, true)
      const room = () => {
        const weights = eviction === "adaptive" ? queuesOf(cache)["weights"] : (cache.policy as Lru)["weights"]
        return weights!["weights"].length
      }
      for (let i = 0; i < 100; i++) cache.set(`k${i}`, 2)
      assert.strictEqual(room(), 128)
      for (let i = 10; i < 100; i++) cache.remove(`k${i}`)
      cache.records.i32 = cache.records.i32.slice(0, 16 * Fields.i32Length)
      cache.policy.shrink()
      assert.strictEqual(room(), 16)
      for (let i = 0; i < 10; i++) cache.remove(`k${i}`)
      assert.strictEqual(cache.policy.weight, 0)
      cache.clear()
      assert.strictEqual(room(), 0)
    })
  }
})

describe("a capacity of Infinity", () => {
  it("nothing leaves, and no hit is reported", () => {
    const cache = new Cache(Number.POSITIVE_INFINITY)
    cache.policy.touched = () => assert.fail("a hit was reported")
    for (let i = 0; i < 1_000; i++) assert.isFalse(cache.access(`k${i}`))
    for (let i = 0; i < 1_000; i++) assert.isTrue(cache.access(`k${i}`))
    deepStrictEqual([cache.policy.size, cache.policy.victim(1)], [1_000, -1])
  })
})

describe("adaptive", () => {
  it("a store that is nearly empty - has no sketch and no simulations", () => {
    const cache = new Cache(1_000)
    for (let i = 0; i < 124; i++) cache.set(`k${i}`)
    assert.isUndefined((cache.policy as Adaptive)["sketch"])
    assert.lengthOf(tunerOf(cache)["simulations"], 0)
    cache.set("one more")
    assert.isDefined((cache.policy as Adaptive)["sketch"])
    assert.isAbove(tunerOf(cache)["simulations"].length, 0)
    cache.clear()
    assert.isUndefined((cache.policy as Adaptive)["sketch"])
    assert.lengthOf(tunerOf(cache)["simulations"], 0)
  })

  it("a hit - writes once in a generation, and generations end with additions only", () => {
    const cache = new Cache(1_000)
    for (let i = 0; i < 1_000; i++) cache.set(`k${i}`)
    let touches = 0
    const { policy } = cache
    const { touched } = policy
    policy.touched = (index) => {
      touches++
      touched.call(policy, index)
    }
    for (let i = 0; i < 100; i++) cache.get("k0")
    assert.isAtMost(touches, 1)
    const { generation } = policy
    for (let i = 1_000; i < 1_100; i++) cache.set(`k${i}`)
    assert.notStrictEqual(policy.generation, generation)
  })

  it("entries lighter than the first ones - get a larger sketch and larger simulations, in few steps", () => {
    const cache = new Cache(10_000, "adaptive", true)
    const policy = cache.policy as Adaptive
    for (let i = 0; i < 13; i++) cache.set(`heavy${i}`, 100)
    const tuner = tunerOf(cache)
    assert.strictEqual(tuner["room"], 100)
    let simulated = 0
    const { simulate } = tuner
    tuner.simulate = (entries, sketch) => {
      simulated++
      simulate.call(tuner, entries, sketch)
    }
    for (let i = 0; i < 1_000; i++) cache.set(`k${i}`)
    assert.isAtLeast(tuner["room"], 1_013)
    assert.isAtLeast(policy["sketch"]!["words"].length, 1_013)
    assert.isBelow(simulated, 6)
  })

  it("the uses of a key - are counted with each miss, and once in a generation while it is here", () => {
    const cache = new Cache(1_000)
    const policy = cache.policy as Adaptive
    for (let i = 0; i < 1_000; i++) cache.set(`k${i}`)
    const hash = policy.hash("missed")
    for (let i = 0; i < 5; i++) policy.missed(hash)
    assert.isAtLeast(policy["sketch"]!.estimate(hash), 5)
    const index = cache.indices.get("k0")!
    for (let i = 0; i < 3; i++) policy.touched(index)
    assert.strictEqual(tunerOf(cache)["logged"], 1)
  })

  it("as many additions as fill it - are 64 generations, in a new store and after `clear`", () => {
    for (const weight of [1, 5]) {
      const cache = new Cache(640, "adaptive", weight > 1)
      for (let round = 1; round <= 3; round++) {
        // the last generation has not ended
        for (let i = 0; i < 645 / weight; i++) cache.set(`k${i}`, weight)
        assert.strictEqual(cache.policy.generation, 64 * round)
        cache.clear()
      }
    }
  })

  it("an entry heavier than others - displaces as much as it weighs, and no more leaves", () => {
    const cache = new Cache(1_000, "adaptive", true)
    for (let i = 0; i < 200; i++) cache.set(`k${i}`, 10)
    assert.strictEqual(cache.policy.weight, 1_000)
    cache.set("heavy", 500)
    assert.isTrue(cache.indices.has("heavy"))
    assert.strictEqual(cache.policy.weight, 1_000)
    cache.set("all of it", 1_000)
    deepStrictEqual(Array.from(cache.indices.keys()), ["all of it"])
  })

  it("a heavy entry of the window - enters the main queue if it was used more often than all that it displaces, together", () => {
    for (const [more, enters] of [
      [1, false],
      [2, true]
    ] as const) {
      const cache = new Cache(10_000, "adaptive", true)
      // the window shrinks to its weight of 100 with the last ones
      for (let i = 0; i < 1_300; i++) cache.set(`light${i}`, 10)
      const queues = queuesOf(cache)
      const sketch = (cache.policy as Adaptive)["sketch"]!
      const frequency = (key: string) => sketch.estimate(cache.policy.hash(key))
      // not by reads, from which the tuner would learn
      const use = (key: string, times: number) => {
        for (let i = 0; i < times; i++) sketch.add(cache.policy.hash(key))
      }
      cache.set("heavy", 50)
      for (let i = 0; queues.windowOldest() !== cache.indices.get("heavy"); i++) cache.set(`new${i}`, 10)
      assert.strictEqual(queues.windowWeight, 100)
      const victims: Array<string> = []
      for (let index = queues.mainOldest(() => {}); victims.length < 5; index = queues.mainNext(index)) {
        victims.push(cache.keys[index]!)
      }
      // the first one alone would leave
      for (const key of cache.indices.keys()) if (key !== victims[0] && key !== "heavy") use(key, 2)
      const together = victims.reduce((sum, key) => sum + frequency(key), 0)
      use("heavy", together + more - frequency("heavy"))
      assert.strictEqual(frequency("heavy"), together + more)
      cache.set("one more", 10)
      assert.strictEqual(cache.indices.has("heavy"), enters)
    }
  })

  /** A full store of light entries, whose window of one per cent holds the last ten. */
  const full = (weight: number): Cache => {
    const cache = new Cache(1_000 * weight, "adaptive", weight > 1)
    for (let i = 0; i < 1_300; i++) cache.set(`old${i}`, weight)
    assert.strictEqual(queuesOf(cache).windowWeight, 10 * weight)
    return cache
  }
  const keysIn = (cache: Cache, queue: "window" | "main"): ReadonlyArray<string> => {
    const isInWindow = (key: string) => queuesOf(cache).isInWindow(cache.indices.get(key)!)
    return Array.from(cache.indices.keys()).filter((key) => isInWindow(key) === (queue === "window"))
  }
  const setMany = (cache: Cache, name: string, count: number, weight = 1): void => {
    for (let i = 0; i < count; i++) cache.set(`${name}${i}`, weight)
  }

  it("an entry heavier than the window - must be admitted to the main queue as every other, and leaves if it was used once", () => {
    const cache = full(10)
    cache.set("heavy", 2_000)
    const kept = keysIn(cache, "main")
    assert.lengthOf(kept, 800)
    setMany(cache, "new", 20, 10)
    assert.isFalse(cache.indices.has("heavy"))
    deepStrictEqual(keysIn(cache, "main"), kept)
  })

  it("the room that a heavy entry leaves - lets nothing into the main queue that was used once", () => {
    const cache = full(10)
    cache.set("heavy", 2_000)
    const kept = keysIn(cache, "main")
    setMany(cache, "new", 500, 10)
    assert.strictEqual(cache.policy.weight, 10_000)
    deepStrictEqual(keysIn(cache, "main"), kept)
  })

  it("while the window is too heavy - what is admitted to the main queue pushes nothing out of it", () => {
    const cache = full(10)
    cache.set("heavy", 2_000)
    setMany(cache, "new", 500, 10)
    const kept = keysIn(cache, "main")
    const oldest = cache.keys[queuesOf(cache).windowOldest()]!
    const sketch = (cache.policy as Adaptive)["sketch"]!
    for (let i = 0; i < 10; i++) sketch.add(cache.policy.hash(oldest))
    cache.set("one more", 10)
    deepStrictEqual(keysIn(cache, "main").toSorted(), [...kept, oldest].toSorted())
  })

  for (const weight of [1, 10]) {
    it(`entries of weight ${weight} that are removed from the main queue - make room for what the window has too much`, () => {
      const cache = full(weight)
      for (const key of keysIn(cache, "main").slice(0, 300)) cache.remove(key)
      setMany(cache, "new", 300, weight)
      assert.strictEqual(queuesOf(cache).windowWeight, 310 * weight)
      setMany(cache, "newer", 38, weight)
      assert.strictEqual(queuesOf(cache).windowWeight, 10 * weight)
    })
  }

  it("after `clear` - the window shrinks again once the store is full", () => {
    const cache = full(1)
    cache.clear()
    setMany(cache, "new", 1_000)
    assert.strictEqual(queuesOf(cache).windowSize, 1_000)
    setMany(cache, "newer", 130)
    assert.strictEqual(queuesOf(cache).windowSize, 10)
  })

  it("a window that becomes larger - takes from the main queue, and shrinks to its new size after removals", () => {
    const cache = full(1)
    const tuner = tunerOf(cache)
    // the tuner would change it again
    tuner["choose"] = () => {}
    tuner.configuration = { share: 0.6, admits: "more" }
    setMany(cache, "new", 600)
    assert.strictEqual(queuesOf(cache).windowSize, 600)
    for (const key of keysIn(cache, "main").slice(0, 300)) cache.remove(key)
    setMany(cache, "newer", 350)
    assert.strictEqual(queuesOf(cache).windowSize, 600)
  })

  it("an entry that does not fit into the window's share - takes its room from the window, not from the main queue", () => {
    const cache = full(10)
    for (const key of keysIn(cache, "window").slice(0, 5)) cache.remove(key)
    const kept = keysIn(cache, "main")
    cache.set("heavy", 80)
    deepStrictEqual(keysIn(cache, "main"), kept)
    deepStrictEqual(cache.policy.weight, 9_900 + 20 + 80)
  })

  it("an entry that fills a nearly empty store - lets as much leave as it needs", () => {
    const cache = new Cache(10_000, "adaptive", true)
    setMany(cache, "light", 100, 10)
    cache.set("heavy", 9_500)
    assert.isTrue(cache.indices.has("heavy"))
    assert.strictEqual(cache.policy.weight, 10_000)
  })

  it("a loop over twice the capacity - hits, where LRU never does", () => {
    const loop = (i: number) => i % 2_000
    assert.strictEqual(hitRatio(new Cache(1_000, "lru"), 100_000, loop), 0)
    assert.isAbove(hitRatio(new Cache(1_000), 100_000, loop), 43)
  })

  it("a scan to and fro - hits almost as often as in LRU, though two configurations lead in turn", () => {
    const scan = (i: number) => (i % 4_000 < 2_000 ? i % 2_000 : 1_999 - (i % 2_000))
    const lru = hitRatio(new Cache(200, "lru"), 60_000, scan)
    assert.isAbove(lru, 9)
    assert.isAbove(hitRatio(new Cache(200), 60_000, scan), lru - 1.5)
  })

  it("a hot set that moves on - hits almost as often as in LRU", () => {
    const draw = ranks(5_000, 0.9, 2)
    const trace = Array.from({ length: 100_000 }, (_, i) => (i >> 2) + draw())
    const lru = hitRatio(new Cache(1_000, "lru"), trace.length, (i) => trace[i]!)
    assert.isAbove(
      hitRatio(new Cache(1_000), trace.length, (i) => trace[i]!),
      lru - 2
    )
  })

  it("skewed keys with scans between - hits more often than in LRU", () => {
    const draw = ranks(20_000, 0.99, 4)
    const trace = Array.from({ length: 100_000 }, (_, i) => (i % 4_000 < 3_000 ? draw() : 1e6 + i))
    const lru = hitRatio(new Cache(400, "lru"), trace.length, (i) => trace[i]!)
    assert.isAbove(
      hitRatio(new Cache(400), trace.length, (i) => trace[i]!),
      lru + 5
    )
  })

  it("the seed - decides what is sampled, and hardly the hit ratio", () => {
    const draw = ranks(200_000, 0.9, 6)
    const trace = Array.from({ length: 100_000 }, draw)
    const ratios = [1, 2, 3].map((seed) =>
      hitRatio(new Cache(4_000, "adaptive", false, seed), trace.length, (i) => trace[i]!)
    )
    assert.isBelow(Math.max(...ratios) - Math.min(...ratios), 1)
    assert.notStrictEqual(ratios[0], ratios[1])
  })

  it("entries that are removed - are forgotten by the simulations, those that are evicted are not", () => {
    const cache = new Cache(100)
    for (let i = 0; i < 100; i++) cache.set(`k${i}`)
    const sizes = () => tunerOf(cache)["simulations"].map((simulation) => simulation.size)
    const before = sizes()
    for (let i = 0; i < 100; i++) cache.remove(`k${i}`)
    assert.isAbove(Math.min(...before), 0)
    deepStrictEqual(
      sizes(),
      before.map(() => 0)
    )
  })

  it("an entry in the place of one that was evicted - is forgotten by the simulations when it is removed", () => {
    const cache = new Cache(100)
    for (let i = 0; i < 101; i++) cache.set(`k${i}`)
    const hash = cache.policy.hash("k100")
    const knowing = () =>
      tunerOf(cache)["simulations"].filter((simulation) => simulation["table"][simulation["slotOf"](hash)]! >= 0).length
    assert.isAbove(knowing(), 0)
    cache.remove("k100")
    assert.strictEqual(knowing(), 0)
  })
})
