/**
 * The simulator of `bench/simulator`, and what `docs/eviction.md` says of the policy of the library. That the results are
 * still those of the policy is a test of `npm run test:long` (`hitRatios.test.ts`).
 */
import { deepStrictEqual } from "node:assert/strict"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { adaptive } from "../../bench/simulator/adaptive.js"
import { belady } from "../../bench/simulator/belady.js"
import { file, parse } from "../../bench/simulator/files.js"
import { uniform } from "../../bench/simulator/random.js"
import { type Policy, references } from "../../bench/simulator/references.js"
import { type Cell, cellTable, plot, summarize, summaryTable } from "../../bench/simulator/report.js"
import { hitRatio, results, simulate } from "../../bench/simulator/run.js"
import { defaultLength, numbered, seeded, type Trace } from "../../bench/simulator/traces.js"

const root = fileURLToPath(new URL("../..", import.meta.url))
const recorded = results()
const traces = seeded(defaultLength)
const everything: Record<string, Policy> = { ...references, adaptive: adaptive(1) }

const randomTrace = (length: number, distinct: number, seed: number): Trace => {
  const next = uniform(seed)
  return numbered(Array.from({ length }, () => Math.floor(next() ** 2 * distinct)))
}

/** FIFO and LRU as a `Map` would do it. */
const ofMap =
  (renews: boolean): Policy =>
  (_, capacity) => {
    const stored = new Set<number>()
    return (key) => {
      const hit = stored.has(key)
      if (hit && renews) stored.delete(key)
      if (!hit && stored.size === capacity) stored.delete(stored.values().next().value!)
      stored.add(key)
      return hit
    }
  }

/** The most hits there can be, by trying everything. */
const mostHits = ({ keys }: Trace, capacity: number): number => {
  const known = new Map<string, number>()
  const from = (at: number, stored: ReadonlyArray<number>): number => {
    if (at === keys.length) return 0
    const state = `${at}:${[...stored].sort()}`
    const found = known.get(state)
    if (found !== undefined) return found
    const key = keys[at]!
    const hit = stored.includes(key)
    const next = hit
      ? [stored]
      : stored.length < capacity
        ? [stored, [...stored, key]]
        : [stored, ...stored.map((_, i) => stored.with(i, key))]
    const most = Math.max(...next.map((stored) => from(at + 1, stored))) + (hit ? 1 : 0)
    known.set(state, most)
    return most
  }
  return from(0, [])
}

describe("policies", () => {
  it("FIFO and LRU - hit as often as a Map", () => {
    const trace = randomTrace(20_000, 500, 1)
    for (const capacity of [1, 2, 50, 400]) {
      assert.strictEqual(hitRatio(references.FIFO, trace, capacity), hitRatio(ofMap(false), trace, capacity))
      assert.strictEqual(hitRatio(references.LRU, trace, capacity), hitRatio(ofMap(true), trace, capacity))
    }
  })

  it("Belady's bound - is what the best choices reach", () => {
    for (let seed = 1; seed < 30; seed++) {
      const trace = randomTrace(14, 6, seed)
      for (const capacity of [1, 2, 3]) assert.strictEqual(belady(trace, capacity), mostHits(trace, capacity))
    }
  })

  for (const [name, policy] of Object.entries(everything)) {
    it(`${name} - holds what fits, and hits at most as often as Belady`, () => {
      const trace = randomTrace(30_000, 1_000, 2)
      for (const capacity of [2, 3, 30, 600]) {
        const ratio = hitRatio(policy, trace, capacity)
        assert.isAtMost(ratio, (100 * belady(trace, capacity)) / trace.keys.length)
        assert.isAbove(ratio, (100 * capacity) / 2_000)
      }
      // everything fits: a miss for each key
      assert.strictEqual(hitRatio(policy, trace, trace.distinct), 100 - (100 * trace.distinct) / trace.keys.length)
    })
  }
})

describe("traces", () => {
  it("seeded traces - are the same each time", () => {
    const quick = () => seeded(2_000).filter(({ name }) => /loop|reuse|uniform|slides/.test(name))
    for (const [i, { load, name }] of quick().entries()) {
      const { distinct, keys } = load()
      deepStrictEqual(quick()[i]!.load(), { distinct, keys }, name)
      assert.strictEqual(distinct, new Set(keys).size)
      assert.strictEqual(Math.max(...keys), distinct - 1)
    }
  })

  it("files - hold a key per line, or integers, compressed or not", () => {
    const keys = Int32Array.from([0, 1, 0, 2])
    deepStrictEqual(parse(Buffer.from("a\nb\r\n*\na\n\nc"), "lines"), { keys, distinct: 3 })
    const four = Buffer.alloc(16)
    for (const [i, key] of [-1, 7, -1, 9].entries()) four.writeInt32BE(key, i * 4)
    deepStrictEqual(parse(four, "int32be"), { keys, distinct: 3 })
    const eight = Buffer.alloc(32)
    for (const [i, key] of [1n, 2n ** 60n, 1n, 2n ** 60n + 1n].entries()) eight.writeBigInt64LE(key, i * 8)
    deepStrictEqual(parse(eight, "int64le"), { keys, distinct: 3 })
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-traces-"))
    try {
      fs.writeFileSync(path.join(dir, "mine.bin.gz"), gzipSync(four))
      const { load, name } = file(`int32be:${dir}/mine.bin.gz`)
      assert.strictEqual(name, "mine.bin")
      deepStrictEqual(load(), { keys, distinct: 3 })
    } finally {
      fs.rmSync(dir, { recursive: true })
    }
  })

  it("a simulation - has a cell for each capacity, and all policies in it", () => {
    const trace = { name: "mine", load: () => randomTrace(5_000, 300, 3), shares: [0.1, 0.5] }
    const cells = Array.from(simulate(trace, { policies: "", seed: 1, shares: undefined }))
    const { distinct } = trace.load()
    deepStrictEqual(
      cells.map(({ capacity }) => capacity),
      [Math.floor(distinct * 0.1), Math.floor(distinct * 0.5)]
    )
    for (const { ratios } of cells) deepStrictEqual(Object.keys(ratios), [...Object.keys(everything), "Belady"])
    const some = Array.from(simulate(trace, { policies: "fifo", seed: 1, shares: [0.2] }))
    deepStrictEqual(
      some.map(({ ratios }) => Object.keys(ratios)),
      [["FIFO", "S3-FIFO"]]
    )
  })
})

describe("report", () => {
  const cells: ReadonlyArray<Cell> = [
    { trace: "a", capacity: 10, ratios: { LRU: 50, ARC: 40, adaptive: 49.5, Belady: 60 } },
    { trace: "b", capacity: 20, ratios: { LRU: 10, ARC: 30, adaptive: 8, Belady: 50 } }
  ]

  it("the summary - compares with the best known policy of each cell, and with LRU", () => {
    deepStrictEqual(
      summarize(cells).map(({ policy, mean, worst, near, belowLru, worstToLru }) => [
        policy,
        mean,
        worst,
        near,
        belowLru,
        worstToLru
      ]),
      [
        ["LRU", -10, -20, 1, 0, 0],
        ["ARC", -5, -10, 1, 1, -10],
        ["adaptive", -11.25, -22, 1, 1, -2]
      ]
    )
  })

  it("the tables and the plot - show every policy and every cell", () => {
    assert.include(cellTable(cells), "| b | 20 | 10.0 | **30.0** | 8.0 | 50.0 |")
    assert.include(summaryTable(cells), "| **adaptive** | -11.25 | -22.0 | 1 of 2 | 1 | -2.0 |")
    const svg = plot(cells)
    assert.lengthOf(svg.match(/<circle /g)!, 6)
    assert.strictEqual(svg.match(/<g /g)!.length, svg.match(/<\/g>/g)!.length)
    assert.notInclude(svg, "NaN")
  })
})

describe("docs/eviction.md", () => {
  const page = fs.readFileSync(path.join(root, "docs/eviction.md"), "utf8")

  it("the tables and the plot - are those of the last results, which are of all traces", () => {
    // the formatter aligns the columns
    const plain = (text: string) => text.replace(/ +/g, " ").replace(/-+/g, "-")
    assert.include(plain(page), plain(cellTable(recorded)))
    assert.include(plain(page), plain(summaryTable(recorded)))
    assert.strictEqual(fs.readFileSync(path.join(root, "docs/images/eviction.svg"), "utf8"), plot(recorded))
    deepStrictEqual(
      Array.from(new Set(recorded.map(({ trace }) => trace))),
      traces.map(({ name }) => name)
    )
  })

  it("what it says of the policy - is what the results say", () => {
    const { belowLru, mean, near } = summarize(recorded).find(({ policy }) => policy === "adaptive")!
    assert.isAtLeast(near / recorded.length, 0.9)
    assert.isAbove(mean, -0.1)
    assert.isAtMost(belowLru, 1)
    // and no known policy comes near
    for (const other of summarize(recorded)) if (other.policy !== "adaptive") assert.isBelow(other.mean, -1)
  })
})
