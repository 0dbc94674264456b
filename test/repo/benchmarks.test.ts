/**
 * The tables and the plot that are made from the results of the benchmarks, the comparison of two runs, and that the
 * pages have a place for every benchmark.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import {
  chosen,
  compare,
  figuresTable,
  pageOf,
  plot,
  questionTables,
  readmeOf,
  summary
} from "../../bench/support/report.js"
import {
  adopted,
  baselineFile,
  type Figures,
  type Results,
  type Row,
  read,
  write
} from "../../bench/support/results.js"

const root = fileURLToPath(new URL("../..", import.meta.url))
const pageAt = (file: string): string => fs.readFileSync(path.join(root, file), "utf8")

/** The text without what the formatter aligns. */
const plain = (text: string): string => text.replace(/-{3,}:?/g, "---").replace(/ +/g, " ")

const row = (name: string, ratio: number, more: Partial<Row> = {}): Row => ({
  name,
  value: ratio * 150,
  ratio,
  low: ratio * 0.98,
  high: ratio * 1.02,
  ...more
})

const hits: Figures = {
  title: "hit, static key",
  floor: "floor",
  unit: "ns",
  clock: "cpu",
  rounds: 21,
  rows: [
    row("floor", 1),
    row("Cache", 4, { isOther: true }),
    row("Cached.ttl", 1.25, { bound: 1.4 }),
    row("Effect.cachedWithTTL", 250, { isOther: true })
  ],
  leftOut: [{ name: "cachified", reason: "4 loads instead of 2" }]
}

const recorded: Results = {
  node: "v20.20.2",
  machine: "linux x64, 2 cores, 24 GB",
  questions: [
    {
      file: "hit",
      figures: [hits],
      tables: [
        {
          title: "growth",
          rows: [
            ["entries", "Map"],
            ["10", "1.00×"]
          ]
        }
      ]
    }
  ]
}

const withRow = (name: string, change: Partial<Row>): Results => ({
  ...recorded,
  questions: [
    {
      ...recorded.questions[0]!,
      figures: [{ ...hits, rows: hits.rows.map((one) => (one.name === name ? { ...one, ...change } : one)) }]
    }
  ]
})

describe("results", () => {
  it("a run of some questions - replaces those in the baseline", () => {
    const again: Figures = { ...hits, rounds: 9 }
    const other: Figures = { ...hits, title: "hit, template key" }
    const last: Results = { ...recorded, questions: [{ file: "hit", figures: [other, again], tables: [] }] }
    const miss = { file: "miss", figures: [], tables: [] }
    const both: Results = { ...recorded, questions: [...recorded.questions, miss] }
    assert.deepStrictEqual(adopted(both, last).questions, [
      { ...recorded.questions[0]!, figures: [again, other] },
      miss
    ])
    assert.deepStrictEqual(adopted(recorded, { ...both, machine: "another" }), { ...both, machine: "another" })
  })

  it("a file - holds them", () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-results-"))
    const file = path.join(directory, "results.json")
    write(file, recorded)
    const back = read(file)
    fs.rmSync(directory, { recursive: true })
    assert.deepStrictEqual(back, recorded)
  })
})

describe("tables", () => {
  it("a group - is in the order of the ratios, with quartiles, and names what is left out", () => {
    assert.deepStrictEqual(figuresTable(hits).split("\n"), [
      "**Hit, static key** (cpu time, 21 rounds)",
      "",
      "|  | median | ratio | quartiles |",
      "| --- | ---: | ---: | ---: |",
      "| floor | 150 ns | 1.00× |  |",
      "| **Cached.ttl** | 188 ns | 1.25× | 1.23 to 1.27 |",
      "| Cache | 600 ns | 4.00× | 3.92 to 4.08 |",
      "| Effect.cachedWithTTL | 37.5 µs | 250× | 245 to 255 |",
      "",
      "Left out: cachified (4 loads instead of 2)."
    ])
  })

  it("a question - has its groups, and its other tables", () => {
    const text = questionTables(recorded, "hit")
    assert.include(text, "| entries | Map |\n| --- | ---: |\n| 10 | 1.00× |")
    assert.throws(() => questionTables(recorded, "miss"), "nothing of miss")
  })

  it("the short table - has what was measured", () => {
    assert.strictEqual(
      summary(recorded).split("\n").slice(2).join("\n"),
      "| hit, static key | a `Map` in `Effect.suspend` | 1.25× | Cache: 4.00× |"
    )
  })

  it("the plot - shows this library as a larger dot than the others, and not the floor", () => {
    const svg = plot(recorded)
    assert.match(svg, /<title>Cached\.ttl: 1\.25×<\/title><line [^>]*\/><circle [^>]*r="6"/)
    assert.match(svg, /<title>Cache: 4\.00×<\/title><line [^>]*\/><circle [^>]*r="4"/)
    assert.notInclude(svg, "<title>floor")
    const dots = Array.from(svg.matchAll(/<circle cx="([\d.]+)" [^>]*r="[46]"/g), ([, x]) => Number(x))
    const [cache, slowest, us] = dots as [number, number, number]
    assert.isBelow(us, cache)
    assert.isBelow(cache, slowest)
  })

  it("a page - gets the tables at the places of their files", () => {
    const page =
      "# Page\n\n<!-- machine -->\n\n<!-- end -->\n\n<!-- summary -->\n\nold\n\n<!-- end -->\n\n<!-- hit -->\n\nold\n\n<!-- end -->\n"
    const text = pageOf(page, recorded)
    assert.include(text, "on Node 20.20.2, linux x64, 2 cores, 24 GB.")
    assert.notInclude(text, "old")
    assert.strictEqual(pageOf(text, recorded), text)
    assert.throws(() => pageOf("# Page", recorded), 'no place for "summary"')
  })
})

describe("comparison", () => {
  const verdicts = (run: Results) => compare(recorded, run).map(({ name, verdict }) => `${name}: ${verdict}`)
  const others = ["Cache: same", "Effect.cachedWithTTL: same"]

  it("a run - is the same as itself", () => {
    assert.deepStrictEqual(verdicts(recorded).sort(), [...others, "Cached.ttl: same"].sort())
  })

  it("a ratio - is the same within 5 %, and within the spread", () => {
    const narrow = { low: 1.3, high: 1.3 }
    assert.include(verdicts(withRow("Cached.ttl", { ratio: 1.3, ...narrow })), "Cached.ttl: same")
    assert.include(verdicts(withRow("Cached.ttl", { ratio: 1.5, low: 1.2, high: 1.8 })), "Cached.ttl: same")
    assert.include(verdicts(withRow("Cached.ttl", { ratio: 1.5, low: 1.45, high: 1.6 })), "Cached.ttl: slower")
    assert.include(verdicts(withRow("Cached.ttl", { ratio: 1, low: 0.9, high: 1.1 })), "Cached.ttl: faster")
  })

  it("another floor, another group - is not compared", () => {
    const group = (change: Partial<Figures>): Results => ({
      ...recorded,
      questions: [{ file: "hit", figures: [{ ...hits, ...change }], tables: [] }]
    })
    assert.deepStrictEqual(verdicts(group({ floor: "Cache" })), [])
    assert.deepStrictEqual(verdicts(group({ title: "another" })), [])
  })
})

describe("pages", () => {
  const questions = fs
    .readdirSync(path.join(root, "bench"))
    .filter((file) => file.endsWith(".ts") && !["run.ts", "report.ts", "compare.ts"].includes(file))
  const page = pageAt("docs/benchmarks.md")

  it("every benchmark - has its row in bench/README.md", () => {
    const rows = pageAt("bench/README.md")
    assert.deepStrictEqual(
      questions.filter((file) => !rows.includes(`| \`${file}\``)),
      []
    )
  })

  it("every benchmark - has its place in docs/benchmarks.md", () => {
    assert.isAbove(questions.length, 20)
    assert.deepStrictEqual(
      // s3.ts runs by itself
      questions.filter((file) => file !== "s3.ts" && !page.includes(`<!-- ${path.basename(file, ".ts")} -->`)),
      []
    )
  })

  it("both pages - take the tables of a run", () => {
    const everything: Results = {
      ...recorded,
      questions: questions
        .filter((file) => file !== "s3.ts")
        .map((file) => ({ ...recorded.questions[0]!, file: path.basename(file, ".ts") }))
    }
    const made = pageOf(page, everything)
    assert.strictEqual(made.split("**Hit, static key**").length, questions.length)
    assert.include(readmeOf(pageAt("README.md"), everything), "| Cache: 4.00× |")
  })

  it("the tables - are those of bench/baseline.json, once there is one", () => {
    if (!fs.existsSync(baselineFile)) return
    const baseline = read(baselineFile)
    for (const [file, make] of [
      ["docs/benchmarks.md", pageOf],
      ["README.md", readmeOf]
    ] as const) {
      const text = pageAt(file)
      assert.strictEqual(plain(make(text, baseline)), plain(text), `${file}: run npm run bench:report`)
    }
    assert.strictEqual(pageAt("docs/images/benchmarks.svg"), plot(baseline))
    assert.strictEqual(summary(baseline).split("\n").length, chosen.length + 2)
  })
})
