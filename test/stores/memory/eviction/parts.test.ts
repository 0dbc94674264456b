/** The parts of the adaptive policy, each alone. */
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { ranks, uniform } from "../../../../bench/simulator/random.js"
import { hashOf } from "../../../../src/internal/backends/memory/hash.js"
import { Owners } from "../../../../src/internal/backends/memory/owners.js"
import { Queues } from "../../../../src/internal/backends/memory/queues.js"
import * as Fields from "../../../../src/internal/backends/memory/record.js"
import { admits, Simulation, windowOf } from "../../../../src/internal/backends/memory/simulation.js"
import { Sketch } from "../../../../src/internal/backends/memory/sketch.js"
import { configurations, Tuner } from "../../../../src/internal/backends/memory/tuner.js"
import { Weights } from "../../../../src/internal/backends/memory/weights.js"

const hashes = Array.from({ length: 20_000 }, (_, i) => hashOf(`key:${i}`, 7))
const lru = configurations.at(-1)!

describe("Weights", () => {
  it("a weight of 32 bits - is kept as it is", () => {
    const weights = new Weights({ i32: new Int32Array(4 * Fields.i32Length) })
    weights.set(3, 2 ** 32 - 1)
    assert.strictEqual(weights.get(3), 2 ** 32 - 1)
  })
})

describe("Owners", () => {
  it("functions that come and go - leave nothing behind, and get each other's numbers", () => {
    const owners = new Owners()
    const stays = owners.add("stays")
    for (let i = 0; i < 1_000; i++) {
      const [number, again] = [owners.add(`f${i}`), owners.add(`f${i}`)]
      assert.strictEqual(again, number)
      assert.notStrictEqual(number, stays)
      owners.release(number)
      assert.isTrue(owners.has(`f${i}`))
      owners.release(number)
      assert.isFalse(owners.has(`f${i}`))
    }
    deepStrictEqual([owners.size, owners.names], [1, ["stays", ""]])
  })
})

describe("hashOf", () => {
  it("another seed - gives other hashes, the same one the same", () => {
    assert.strictEqual(hashOf("user:1", 3), hashOf("user:1", 3))
    assert.notStrictEqual(hashOf("user:1", 3), hashOf("user:1", 4))
    assert.strictEqual(hashOf("", 3) | 0, hashOf("", 3))
  })

  it("similar keys - are spread evenly, in their highest and in their lowest bits", () => {
    for (const bits of [(hash: number) => hash >>> 28, (hash: number) => hash & 15]) {
      const counts = new Array<number>(16).fill(0)
      for (const hash of hashes) counts[bits(hash)]!++
      // 1 250 each on average, with a standard deviation of 34
      assert.isAbove(Math.min(...counts), 1_050)
      assert.isBelow(Math.max(...counts), 1_450)
    }
    assert.isAbove(new Set(hashes).size, hashes.length - 5)
  })
})

describe("Sketch", () => {
  it("an estimate - is never too small, and rarely too large", () => {
    const sketch = new Sketch(1_000)
    const draw = ranks(1_000, 0.9, 1)
    const counts = new Map<number, number>()
    for (let i = 0; i < 3_000; i++) {
      const hash = hashes[draw()]!
      sketch.add(hash)
      counts.set(hash, (counts.get(hash) ?? 0) + 1)
    }
    let wrong = 0
    for (const hash of hashes.slice(0, 1_000)) {
      const count = Math.min(15, counts.get(hash) ?? 0)
      assert.isAtLeast(sketch.estimate(hash), count)
      if (sketch.estimate(hash) > count) wrong++
    }
    assert.isBelow(wrong, 100)
  })

  it("after ten additions per entry - all estimates are halved", () => {
    const sketch = new Sketch(1_000)
    for (let i = 0; i < 12; i++) sketch.add(hashes[0]!)
    for (let i = 12; i < 9_999; i++) sketch.add(hashes[1]!)
    assert.isAtLeast(sketch.estimate(hashes[0]!), 12)
    const before = sketch.estimate(hashes[0]!)
    for (let i = 0; i < 3; i++) sketch.add(hashes[1]!)
    assert.strictEqual(sketch.estimate(hashes[0]!), before >> 1)
  })

  it("halving - takes nothing over from the counter beside", () => {
    const sketch = new Sketch(1_000)
    const draw = ranks(1_000, 0.9, 1)
    for (let i = 0; i < 9_999; i++) sketch.add(hashes[draw()]!)
    const before = hashes.slice(0, 1_000).map((hash) => sketch.estimate(hash))
    for (let i = 0; i < 2; i++) sketch.add(hashes[1_000]!)
    // the last two additions may have counted one of them
    hashes.slice(0, 1_000).forEach((hash, i) => {
      assert.isAtMost(sketch.estimate(hash), (before[i]! >> 1) + 1)
    })
  })

  it("growing - lets more additions come between two halvings", () => {
    const sketch = new Sketch(300)
    sketch.grow(1_000)
    const count = (hash: number, times: number) => {
      for (let i = 0; i < times; i++) sketch.add(hash)
      return sketch.estimate(hashes[0]!)
    }
    count(hashes[0]!, 15)
    assert.strictEqual(count(hashes[1]!, 9_984), 15)
    // the counters are halved in two steps
    assert.strictEqual(count(hashes[1]!, 2), 7)
    // half of the additions count for the next halving
    count(hashes[0]!, 8)
    assert.strictEqual(count(hashes[1]!, 4_990), 15)
    assert.strictEqual(count(hashes[1]!, 2), 7)
  })

  it("growing while counters are halved - halves all of them first", () => {
    const sketch = new Sketch(2_000)
    const keys = hashes.slice(0, 1_000)
    for (const hash of keys) for (let i = 0; i < 8; i++) sketch.add(hash)
    for (let i = 8_000; i < 19_999; i++) sketch.add(hashes[1_000]!)
    const before = keys.map((hash) => sketch.estimate(hash))
    sketch.add(hashes[1_000]!)
    sketch.grow(5_000)
    deepStrictEqual(
      keys.map((hash) => sketch.estimate(hash)),
      before.map((count) => count >> 1)
    )
  })

  it("a tiny store - halves the estimates as rarely as one of 16 entries", () => {
    const made = new Sketch(1)
    const grown = new Sketch(16)
    grown.grow(1)
    for (const sketch of [made, grown]) {
      for (let i = 0; i < 159; i++) sketch.add(hashes[0]!)
      assert.strictEqual(sketch.estimate(hashes[0]!), 15)
      sketch.add(hashes[0]!)
      assert.strictEqual(sketch.estimate(hashes[0]!), 7)
    }
  })

  it("growing - makes no estimate smaller", () => {
    const sketch = new Sketch(100)
    for (let i = 0; i < 900; i++) sketch.add(hashes[i % 150]!)
    const before = hashes.slice(0, 150).map((hash) => sketch.estimate(hash))
    sketch.grow(5_000)
    deepStrictEqual(
      hashes.slice(0, 150).map((hash) => sketch.estimate(hash)),
      before
    )
  })
})

describe("configurations", () => {
  it("admission - compares the frequencies of two entries", () => {
    const table = [
      ["more", 2, 1, true],
      ["more", 2, 2, false],
      ["muchMore", 3, 1, true],
      ["muchMore", 2, 1, false],
      ["twice", 2, 15, true],
      ["twice", 1, 0, false]
    ] as const
    for (const [admission, candidate, victim, expected] of table) {
      assert.strictEqual(admits(admission, candidate, victim), expected, `${admission} ${candidate} ${victim}`)
    }
  })

  it("the window - leaves something for both queues, unless it is everything", () => {
    deepStrictEqual(
      [windowOf(0.01, 1_000), windowOf(0.01, 3), windowOf(0.6, 2), windowOf(0.6, 1), windowOf(1, 7), windowOf(0.99, 3)],
      [10, 1, 1, 1, 7, 2]
    )
  })
})

describe("Simulation", () => {
  it("with a window over everything - is LRU, exactly", () => {
    const simulation = new Simulation(lru, new Sketch(50), 50, 80)
    const order: Array<number> = []
    const next = uniform(9)
    let capacity = 50
    for (let i = 0; i < 5_000; i++) {
      const hash = hashes[Math.floor(next() ** 2 * 200)]!
      const at = order.indexOf(hash)
      assert.strictEqual(simulation.access(hash), at >= 0 ? 1 : 0)
      if (at >= 0) order.splice(at, 1)
      else while (order.length >= capacity) order.shift()
      order.push(hash)
      assert.strictEqual(simulation.size, order.length)
      if (i % 100 === 0) {
        capacity = 20 + Math.floor(next() * 60)
        simulation.resize(capacity)
      }
      if (i % 50 === 0) {
        const forgotten = hashes[Math.floor(next() * 200)]!
        simulation.forget(forgotten)
        if (order.includes(forgotten)) order.splice(order.indexOf(forgotten), 1)
      }
    }
  })

  for (const configuration of configurations) {
    it(`${configuration.share}, ${configuration.admits} - its structure holds under random use`, () => {
      const sketch = new Sketch(60)
      const simulation = new Simulation(configuration, sketch, 60, 100)
      const next = uniform(11)
      const here = new Set<number>()
      const list = (end: number): Array<number> => {
        const found: Array<number> = []
        for (let node = simulation["newer"][end]!; node !== end; node = simulation["newer"][node]!) {
          if (simulation["older"][simulation["newer"][node]!] !== node) assert.fail("the links of a queue disagree")
          found.push(simulation["hashes"][node]!)
        }
        return found
      }
      for (let i = 0; i < 5_000; i++) {
        const hash = hashes[Math.floor(next() ** 3 * 400)]!
        sketch.add(hash)
        if ((simulation.access(hash) === 1) !== here.has(hash)) assert.fail("the answer is wrong")
        if (i % 20 === 0) simulation.forget(hashes[Math.floor(next() * 400)]!)
        if (i % 200 === 0) simulation.resize(1 + Math.floor(next() * 100))
        const window = list(simulation["windowEnd"])
        const main = list(simulation["mainEnd"])
        here.clear()
        for (const stored of [...window, ...main]) here.add(stored)
        const sizes = [simulation["windowSize"], simulation.size, here.size]
        if (sizes[0] !== window.length || sizes[1] !== window.length + main.length || sizes[1] !== sizes[2]) {
          assert.fail(`sizes ${sizes} of ${window.length} and ${main.length}`)
        }
      }
    })
  }

  for (const { admits: admission, share } of configurations.slice(0, -1)) {
    it(`${share}, ${admission} - hits as a plain model of the two queues does`, () => {
      const [capacity, sketch] = [40, new Sketch(40)]
      const simulation = new Simulation({ share, admits: admission }, sketch, capacity, capacity)
      const uses = new Map<number, number>()
      const [window, main]: [Array<number>, Array<number>] = [[], []]
      const mainOldest = (): number => {
        for (;;) {
          const count = uses.get(main[0]!)!
          if (count === 0) return main[0]!
          uses.set(main[0]!, count - 1)
          main.push(main.shift()!)
        }
      }
      const promote = (): void => {
        uses.set(window[0]!, 0)
        main.push(window.shift()!)
      }
      let isMoving = true
      const evict = (): void => {
        const most = windowOf(share, capacity)
        if (window.length < most && main.length > 0) return void main.splice(main.indexOf(mainOldest()), 1)
        for (let left = 8; isMoving && left > 0 && window.length > most; left--) promote()
        if (isMoving) isMoving = window.length > most
        if (main.length === 0) return void window.shift()
        const victim = mainOldest()
        if (!admits(admission, sketch.estimate(window[0]!), sketch.estimate(victim))) return void window.shift()
        promote()
        main.splice(main.indexOf(victim), 1)
      }
      const draw = ranks(120, 0.7, 19)
      for (let i = 0; i < 5_000; i++) {
        const hash = hashes[i % 1_000 < 300 ? i % 60 : draw()]!
        sketch.add(hash)
        const at = window.indexOf(hash)
        const isHere = at >= 0 || main.includes(hash)
        if (simulation.access(hash) !== Number(isHere)) assert.fail(`read ${i} is wrong`)
        if (!isHere && window.length + main.length >= capacity) evict()
        uses.set(hash, isHere ? Math.min(3, uses.get(hash)! + 1) : 0)
        if (at >= 0) window.splice(at, 1)
        if (at >= 0 || !isHere) window.push(hash)
      }
    })
  }

  it("another configuration - moves entries out of the window in steps, with misses", () => {
    const simulation = new Simulation(lru, new Sketch(100), 100, 100)
    for (let i = 0; i < 100; i++) simulation.access(hashes[i]!)
    simulation.configure(configurations[0]!)
    assert.strictEqual(simulation["windowSize"], 100)
    const sizes = [100, 101, 102].map((i) => {
      simulation.access(hashes[i]!)
      return simulation["windowSize"]
    })
    deepStrictEqual(sizes, [92, 84, 76])
    for (let i = 103; i < 200; i++) simulation.access(hashes[i]!)
    assert.strictEqual(simulation["windowSize"], 1)
    // a window over everything takes the main queue back
    simulation.configure(lru)
    for (let i = 200; i < 400; i++) simulation.access(hashes[i]!)
    deepStrictEqual([simulation["windowSize"], simulation.size], [100, 100])
  })

  it("a copy - holds the same, except what is not wanted", () => {
    const from = new Simulation(configurations[0]!, new Sketch(50), 50, 50)
    for (let i = 0; i < 500; i++) from.access(hashes[i % 70]!)
    const here = (simulation: Simulation) => {
      const stored = (hash: number) => simulation["table"][simulation["slotOf"](hash)]! >= 0
      return hashes.slice(0, 70).filter(stored)
    }
    const even = (hash: number) => hash % 2 === 0
    const to = new Simulation(configurations[0]!, new Sketch(50), 100, 100)
    to.copy(from, even)
    deepStrictEqual(here(to), here(from).filter(even))
    assert.isAbove(to.size, 0)
  })

  it("a copy of everything - answers as the original does from then on", () => {
    for (const configuration of configurations) {
      const sketch = new Sketch(50)
      const from = new Simulation(configuration, sketch, 50, 50)
      const to = new Simulation(configuration, sketch, 50, 50)
      const draw = ranks(200, 0.8, 17)
      for (let i = 0; i < 3_000; i++) {
        const hash = hashes[draw()]!
        sketch.add(hash)
        if (i === 1_000) to.copy(from, () => true)
        const answer = from.access(hash)
        if (i >= 1_000) assert.strictEqual(to.access(hash), answer, `read ${i}, ${JSON.stringify(configuration)}`)
      }
    }
  })
})

describe("Queues", () => {
  it("the oldest of the window - was used longest ago, to within two generations", () => {
    const capacity = 640
    const records = { i32: new Int32Array(capacity * Fields.i32Length) }
    const queues = new Queues(records, { capacity, weighted: false })
    const draw = ranks(capacity, 0.8, 13)
    /** For each entry, the number of generations that had ended when it was used last. */
    const used = new Array<number>(capacity).fill(0)
    let ended = 0
    let generation = queues.generation
    const add = (index: number) => {
      used[index] = ended
      queues.add(index, 1)
      if (queues.generation !== generation) ended++
      generation = queues.generation
    }
    for (let index = 0; index < capacity; index++) add(index)
    for (let step = 0; step < 25_000; step++) {
      const index = draw()
      queues.touch(index)
      used[index] = ended
      if (step % 3 !== 0) continue
      const oldest = queues.windowOldest()
      assert.isAtMost(used[oldest]! - Math.min(...used), 1)
      queues.remove(oldest)
      add(oldest)
    }
    // the generations have begun anew several times
    assert.isAbove(ended, 700)
  })

  it("an entry that was used 200 generations ago - leaves before what was used in the last 128", () => {
    const queues = new Queues({ i32: new Int32Array(300 * Fields.i32Length) }, { capacity: 100, weighted: false })
    queues.add(0, 1)
    queues.touch(0)
    // each ends a generation, and the last 128 have a marker
    for (let index = 1; index <= 200; index++) queues.add(index, 1)
    const left: Array<number> = []
    while (queues.size > 0) {
      left.push(queues.windowOldest())
      queues.remove(left.at(-1)!)
    }
    const others = Array.from({ length: 200 }, (_, i) => i + 1)
    deepStrictEqual(left, [...others.slice(0, 73), 0, ...others.slice(73)])
  })

  it("the oldest of the main queue - has not been used since it was there last", () => {
    const records = { i32: new Int32Array(10 * Fields.i32Length) }
    const queues = new Queues(records, { capacity: 10, weighted: false })
    for (let index = 0; index < 10; index++) queues.add(index, 1)
    for (let index = 0; index < 10; index++) queues.promote(index)
    for (const index of [0, 1, 3]) queues.touch(index)
    const counted: Array<number> = []
    for (let index = 0; index < 10; index++) records.i32[index * Fields.i32Length + Fields.hash] = index
    const left: Array<number> = []
    while (queues.mainSize > 0) {
      const oldest = queues.mainOldest((hash) => counted.push(hash))
      left.push(oldest)
      queues.remove(oldest)
    }
    deepStrictEqual(left, [2, 4, 5, 6, 7, 8, 9, 0, 1, 3])
    deepStrictEqual(counted, [0, 1, 3])
  })

  it("each use - lets an entry of the main queue start again once", () => {
    const records = { i32: new Int32Array(10 * Fields.i32Length) }
    const queues = new Queues(records, { capacity: 10, weighted: false })
    for (let index = 0; index < 4; index++) {
      queues.add(index, 1)
      queues.promote(index)
    }
    queues.touch(0)
    queues.touch(2)
    // a generation ends between two uses
    queues.add(4, 1)
    queues.touch(0)
    deepStrictEqual([queues.mainNext(0), queues.mainNext(1), queues.mainNext(3)], [1, 3, -1])
    const left: Array<number> = []
    let counted = 0
    while (queues.mainSize > 0) {
      left.push(queues.mainOldest(() => counted++))
      queues.remove(left.at(-1)!)
    }
    deepStrictEqual([left, counted], [[1, 3, 2, 0], 3])
  })

  it("the count of an entry - is taken once", () => {
    const queues = new Queues({ i32: new Int32Array(10 * Fields.i32Length) }, { capacity: 10, weighted: false })
    queues.add(0, 1)
    queues.touch(0)
    queues.add(1, 1)
    queues.touch(0)
    deepStrictEqual([queues.takeCount(0), queues.takeCount(0)], [2, 0])
  })
})

describe("Tuner", () => {
  const run = (keys: (i: number) => number, count: number): Tuner => {
    const sketch = new Sketch(400)
    const tuner = new Tuner()
    for (let i = 0; i < 400; i++) tuner.added(hashes[i]!)
    tuner.simulate(400, sketch)
    for (let i = 0; i < count; i++) {
      const hash = hashes[keys(i)]!
      tuner.missed(hash)
      sketch.add(hash)
    }
    return tuner
  }

  it("reuse within a short time - chooses a large window, which the follower takes over", () => {
    const next = uniform(15)
    const trace: Array<number> = []
    for (let i = 0, fresh = 0; i < 40_000; i++) {
      trace.push(i > 0 && next() < 0.6 ? trace[Math.max(0, i - 1 - Math.floor(next() * 600))]! : fresh++)
    }
    const tuner = run((i) => trace[i]!, trace.length)
    assert.isAtLeast(tuner.configuration.share, 0.6)
    const followed = () => tuner["simulations"].at(-1)!["configuration"]
    deepStrictEqual(followed(), configurations[tuner["leader"]])
    assert.notStrictEqual(tuner["leader"], 0)
    // for more entries, too
    tuner.simulate(500, new Sketch(500))
    deepStrictEqual(followed(), configurations[tuner["leader"]])
  })

  it("a loop - chooses a small window", () => {
    assert.isAtMost(run((i) => i % 600, 40_000).configuration.share, 0.1)
  })

  it("the log of hits - is read before the next miss, in order, and holds every sampled entry", () => {
    const tuner = new Tuner()
    for (let i = 0; i < 400; i++) tuner.added(hashes[i]!)
    tuner.simulate(400, new Sketch(400))
    for (let i = 0; i < 400; i++) tuner.missed(hashes[i]!)
    for (let i = 0; i < 400; i++) tuner.hit(hashes[i]!)
    assert.strictEqual(tuner["logged"], 400)
    tuner.missed(hashes[500]!)
    assert.strictEqual(tuner["logged"], 0)
    // all were hits in LRU
    assert.isAbove(tuner["short"][configurations.length - 1]!, 370)
  })

  it("a score - is that of as many observations as its horizon, and grows with the store", () => {
    const tuner = new Tuner()
    tuner.simulate(8, new Sketch(8))
    for (let i = 0; i <= 1_000; i++) tuner.missed(1)
    const expected = (horizon: number) => horizon * (1 - (1 - 1 / horizon) ** 1_000)
    for (const i of tuner["simulations"].keys()) {
      assert.closeTo(tuner["short"][i]!, expected(64), 1e-6)
      assert.closeTo(tuner["long"][i]!, expected(512), 1e-6)
    }
    tuner.simulate(16, new Sketch(16))
    assert.closeTo(tuner["short"][0]!, 2 * expected(64), 1e-6)
    assert.closeTo(tuner["long"][0]!, 2 * expected(512), 1e-6)
  })

  it("the score of a tiny store - is that of 64 observations", () => {
    const tuner = new Tuner()
    tuner.simulate(2, new Sketch(2))
    for (let i = 0; i <= 1_000; i++) tuner.missed(1)
    assert.closeTo(tuner["short"][0]!, 64 * (1 - (1 - 1 / 64) ** 1_000), 1e-6)
  })

  it("another configuration - is chosen if it has more hits by half a point of the hit ratio, lately or in the long run", () => {
    const tuner = new Tuner()
    tuner.simulate(1_000, new Sketch(1_000))
    const [horizon, distant] = [8_000, 64_000]
    const choose = (scores: Float64Array, i: number, hits: number) => {
      scores[i] = hits
      tuner["choose"](distant)
      return configurations.indexOf(tuner.configuration)
    }
    const [short, long] = [tuner["short"], tuner["long"]]
    deepStrictEqual([choose(short, 3, 0.004 * horizon), choose(short, 3, 0.006 * horizon)], [0, 3])
    deepStrictEqual([choose(long, 5, 0.004 * distant), choose(long, 5, 0.006 * distant)], [3, 5])
    // the follower is the last
    const last = configurations.length
    deepStrictEqual([choose(long, last, 0.01 * distant), choose(long, last, 0.012 * distant)], [5, 3])
  })

  const sizes = (tuner: Tuner) => new Set(tuner["simulations"].map((simulation) => simulation.size))
  /** A store that samples half of its keys: about 512. */
  const half = (): Tuner => {
    const tuner = new Tuner()
    tuner.simulate(1_024, new Sketch(1_024))
    return tuner
  }
  const isHalf = (hash: number) => hash >= 0

  it("more entries - keep what is still sampled, and the hits that were not read", () => {
    const tuner = half()
    const some = hashes.slice(0, 800)
    for (const hash of some) tuner.missed(hash)
    deepStrictEqual(sizes(tuner), new Set([some.filter(isHalf).length]))
    for (const hash of some) tuner.hit(hash)
    tuner.simulate(2_048, new Sketch(2_048))
    const sampled = some.filter((hash) => hash >>> 30 === 0).length
    deepStrictEqual(sizes(tuner), new Set([sampled]))
    deepStrictEqual(Array.from(tuner["log"].subarray(0, tuner["logged"])), some.filter(isHalf))
  })

  it("more entries of which fewer are sampled - keep as many hits as are logged at most", () => {
    const tuner = new Tuner()
    tuner.simulate(1_023, new Sketch(1_023))
    for (const hash of hashes.slice(0, 1_000)) tuner.hit(hash)
    tuner.simulate(1_024, new Sketch(1_024))
    assert.strictEqual(tuner["logged"], 512 + 128 + 64)
  })

  it("a full store with no sampled entry - has simulations of one", () => {
    const tuner = half()
    tuner.fit()
    deepStrictEqual(new Set(tuner["simulations"].map((simulation) => simulation["capacity"])), new Set([1]))
  })

  it("a removed key - is forgotten after the hits before", () => {
    const tuner = new Tuner()
    tuner.simulate(100, new Sketch(100))
    tuner.missed(1)
    tuner.hit(1)
    tuner.removed(1, false)
    deepStrictEqual(sizes(tuner), new Set([1]))
    tuner.removed(1, true)
    deepStrictEqual([sizes(tuner), tuner["logged"]], [new Set([0]), 0])
  })

  it("a full store - gives the simulations as many entries as it has sampled ones, up to a quarter more than expected", () => {
    for (const [added, most] of [
      [400, 400],
      [600, 600],
      [800, 512 + 128 + 64]
    ] as const) {
      const tuner = half()
      const sampled = hashes.filter(isHalf)
      for (const hash of sampled.slice(0, added)) tuner.added(hash)
      tuner.fit()
      for (const hash of sampled.slice(0, 2_000)) tuner.missed(hash)
      deepStrictEqual(sizes(tuner), new Set([most]))
    }
  })

  it("a large store - samples at least 512 entries, and at most 8 192 if it is very large", () => {
    for (const [entries, bits] of [
      [600, 0],
      [1_024, 1],
      [40_000, 6],
      [500_000, 6],
      [10_000_000, 11]
    ] as const) {
      const tuner = new Tuner()
      tuner.simulate(entries, new Sketch(16))
      assert.strictEqual(tuner["sampleBits"], bits)
    }
  })
})
