/** What is made from the results of a run: tables in Markdown, a plot in SVG, and the comparison of two runs. */
import type { Figures, Results, Row, Table, Unit } from "./results.js"

const row = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`

const markdown = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string =>
  [row(head), row(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...rows.map(row)].join("\n")

const digits = (value: number): string => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)

/** Times in the unit that has the fewest digits before the point. */
const inUnit = (value: number, unit: Unit): string => {
  if (unit !== "ns" || value < 1_000) return `${digits(value)} ${unit}`
  return value < 1e6 ? `${digits(value / 1e3)} µs` : `${digits(value / 1e6)} ms`
}

export const times = (ratio: number): string => `${digits(ratio)}×`

/** A table of one group: the medians, and the median and the quartiles of the ratios to the floor. */
export const figuresTable = ({ clock, floor, leftOut, rounds, rows, title, unit }: Figures): string => {
  const sorted = [...rows].sort((a, b) => a.ratio - b.ratio)
  const how = [clock === undefined ? "" : `${clock} time, `, `${rounds} round${rounds === 1 ? "" : "s"}`].join("")
  return [
    `**${title[0]!.toUpperCase()}${title.slice(1)}** (${how})`,
    markdown(
      ["", "median", "ratio", "quartiles"],
      sorted.map(({ high, isOther, low, name, ratio, value }) => [
        isOther === true || name === floor ? name : `**${name}**`,
        inUnit(value, unit),
        times(ratio),
        name === floor ? "" : rounds === 1 ? "" : `${digits(low)} to ${digits(high)}`
      ])
    ),
    ...(leftOut.length === 0
      ? []
      : [`Left out: ${leftOut.map(({ name, reason }) => `${name} (${reason})`).join("; ")}.`])
  ].join("\n\n")
}

const textTable = ({ rows, title }: Table): string =>
  [`**${title[0]!.toUpperCase()}${title.slice(1)}**`, markdown(rows[0]!, rows.slice(1))].join("\n\n")

/** All tables of one file of `bench/`. */
export const questionTables = (results: Results, file: string): string => {
  const question = results.questions.find((one) => one.file === file)
  if (question === undefined) throw new Error(`the results have nothing of ${file}`)
  return [...question.figures.map(figuresTable), ...question.tables.map(textTable)].join("\n\n")
}

export interface Chosen {
  readonly what: string
  /** The title of the group. */
  readonly title: string
  readonly against: string
  readonly ours: string
  readonly other?: string
  /** Whether it is in the table of the README. */
  readonly isShort?: boolean
}

/** The questions of the table on top of the page. */
export const chosen: ReadonlyArray<Chosen> = [
  {
    what: "hit, static key",
    isShort: true,
    title: "hit, static key",
    against: "a `Map` in `Effect.suspend`",
    ours: "Cached.ttl",
    other: "Cache"
  },
  {
    what: "hit, 10 000 keys",
    title: "hit, template key over 10000 keys",
    against: "the same, key built",
    ours: "Cached.ttl",
    other: "Cache"
  },
  {
    what: "stale hit, refresh running",
    title: "stale hit, its refresh under way",
    against: "a `Map` in `Effect.suspend`",
    ours: "Cached.swr",
    other: "cache-manager"
  },
  {
    what: "miss, synchronous lookup",
    isShort: true,
    title: "miss, synchronous lookup",
    against: "Effect's `Cache`",
    ours: "Cached.ttl",
    other: "lru-cache, by hand"
  },
  {
    what: "`set` in memory",
    title: "set, over 10000 keys in memory",
    against: "`map.set` in `Effect.sync`",
    ours: "store.set",
    other: "Cache"
  },
  {
    what: "10 000 waiters on one key",
    isShort: true,
    title: "10 000 waiters on one key, per waiter",
    against: "one bare `Deferred`",
    ours: "Cached.ttl",
    other: "Cache"
  },
  {
    what: "bytes per entry, a million",
    isShort: true,
    title: "memory: bytes per entry, with key and value, 1000000 entries",
    against: "a `Map`",
    ours: "Cached.ttl",
    other: "lru-cache, by hand"
  },
  {
    what: "hit in front of Redis",
    isShort: true,
    title: "hit in memory in front of Redis, static key",
    against: "a hit in `MemoryCache`",
    ours: "Cached.ttl, layerHybrid",
    other: "bentocache"
  },
  {
    what: "hit in Redis, one at a time",
    isShort: true,
    title: "hit in Redis, 700 byte record, concurrency 1",
    against: "`ioredis.get` and `JSON.parse`",
    ours: "Cached.ttl",
    other: "bentocache"
  },
  {
    what: "hit in Redis, 64 at once",
    title: "hit in Redis, 700 byte record, concurrency 64",
    against: "`ioredis.get` and `JSON.parse`",
    ours: "Cached.ttl",
    other: "bentocache"
  },
  {
    what: "1 kB as lossless JSON",
    isShort: true,
    title: "serializers, encode a record of 1 kB",
    against: "`JSON.stringify`",
    ours: "lossless"
  },
  {
    what: "replacing a file",
    title: "write to a file of 4000 bytes",
    against: "a bare write and rename",
    ours: "set, an existing key"
  }
]

const allFigures = (results: Results): ReadonlyArray<Figures> => results.questions.flatMap(({ figures }) => figures)

const find = (results: Results, { other, ours, title }: Chosen) => {
  const figures = allFigures(results).find((one) => one.title === title)
  const named = (name: string | undefined) => figures?.rows.find((one) => one.name === name)
  return { figures, ours: named(ours), other: named(other) }
}

/** The table of the chosen questions. */
export const summary = (results: Results, questions: ReadonlyArray<Chosen> = chosen): string =>
  markdown(
    ["what", "against", "this library", "another"],
    questions.flatMap((one) => {
      const { other, ours } = find(results, one)
      return ours === undefined
        ? []
        : [
            [
              one.what,
              one.against,
              times(ours.ratio),
              other === undefined ? "" : `${other.name}: ${times(other.ratio)}`
            ]
          ]
    })
  )

const colors = { us: "#0a7d4f", effect: "#1f6fb5", others: "#a06a00", floor: "#888" }

const kindOf = (name: string, isOther: boolean | undefined): keyof typeof colors =>
  isOther !== true ? "us" : /^(Cache$|Effect\.|PersistedCache)/.test(name) ? "effect" : "others"

/** Draws a dot for each contender of the chosen groups, by the ratio to the floor, on a scale of powers. */
export const plot = (results: Results): string => {
  const groups = chosen.flatMap((one) => {
    const { figures } = find(results, one)
    return figures === undefined ? [] : [{ what: one.what.replaceAll("`", ""), ours: one.ours, figures }]
  })
  const [least, greatest] = [0.1, 300]
  const margin = { left: 190, right: 24, top: 70, bottom: 36 }
  const [width, rowHeight] = [820, 34]
  const height = margin.top + groups.length * rowHeight + margin.bottom
  const x = (ratio: number): number =>
    margin.left +
    (Math.log(Math.max(least, Math.min(greatest, ratio)) / least) / Math.log(greatest / least)) *
      (width - margin.left - margin.right)
  const text = (at: number, y: number, anchor: string, content: string): string =>
    `<text x="${at.toFixed(1)}" y="${y}" text-anchor="${anchor}">${content}</text>`
  const ticks = [0.1, 0.3, 1, 3, 10, 30, 100, 300].map(
    (ratio) =>
      `<line x1="${x(ratio).toFixed(1)}" y1="${margin.top - 8}" x2="${x(ratio).toFixed(1)}" y2="${height - margin.bottom}" ` +
      `stroke="${ratio === 1 ? colors.floor : "#ddd"}"/>${text(x(ratio), height - margin.bottom + 18, "middle", `${ratio}×`)}`
  )
  const rows = groups.map(({ figures, ours, what }, i) => {
    const y = margin.top + i * rowHeight + rowHeight / 2
    // This library is drawn last, above the others.
    const dots = figures.rows
      .filter(({ isOther, name }) => name !== figures.floor && (isOther === true || name === ours))
      .sort((a, b) => Number(b.isOther ?? false) - Number(a.isOther ?? false))
      .map(({ high, isOther, low, name, ratio }) => {
        const color = colors[kindOf(name, isOther)]
        return (
          `<g stroke="${color}" fill="${color}" fill-opacity="0.7"><title>${name}: ${times(ratio)}</title>` +
          `<line x1="${x(low).toFixed(1)}" y1="${y}" x2="${x(high).toFixed(1)}" y2="${y}"/>` +
          `<circle cx="${x(ratio).toFixed(1)}" cy="${y}" r="${isOther === true ? 4 : 6}"/></g>`
        )
      })
    return text(margin.left - 12, y + 4, "end", what) + dots.join("")
  })
  const legend = [
    ["us", "this library"],
    ["effect", "Effect"],
    ["others", "other libraries"]
  ] as const
  const title = "Cost in relation to the floor, which is the line at 1×; less is better"
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13" fill="#333" role="img">`,
    `<title>${title}</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    text(margin.left, 22, "start", title),
    ...legend.map(
      ([kind, label], i) =>
        `<circle cx="${margin.left + 6 + i * 150}" cy="42" r="5" fill="${colors[kind]}"/>${text(margin.left + 18 + i * 150, 46, "start", label)}`
    ),
    ...ticks,
    ...rows,
    "</svg>",
    ""
  ].join("\n")
}

/** Replaces what stands between two comments of a page. */
const replaced = (page: string, name: string, content: string): string => {
  const pattern = new RegExp(`(<!-- ${name} -->\n)[^]*?(\n<!-- end -->)`)
  if (!pattern.test(page)) throw new Error(`the page has no place for "${name}"`)
  return page.replace(pattern, (_, begin, end) => `${begin}\n${content}\n${end}`)
}

/** Writes the short table of the README. */
export const readmeOf = (page: string, results: Results): string =>
  replaced(
    page,
    "figures",
    summary(
      results,
      chosen.filter(({ isShort }) => isShort === true)
    )
  )

/** The plot on the page. */
const image = [
  "![The cost of this library, of Effect and of other libraries in relation to the floor](images/benchmarks.svg)",
  "The bar of a dot reaches from the lower to the upper quartile of the rounds. Each question has a floor of its own."
].join("\n\n")

/** Writes all tables of `docs/benchmarks.md`. Every file of the results has its place there. */
export const pageOf = (page: string, results: Results): string =>
  results.questions.reduce(
    (text, { file }) => replaced(text, file, questionTables(results, file)),
    replaced(
      replaced(page, "summary", `${summary(results)}\n\n${image}`),
      "machine",
      `The figures of a table are of one run, on Node ${results.node.slice(1)}, ${results.machine}.`
    )
  )

export type Verdict = "same" | "faster" | "slower"

export interface Difference {
  readonly title: string
  readonly name: string
  readonly isOther: boolean
  readonly before: number
  readonly after: number
  readonly verdict: Verdict
}

/** Two ratios are the same within five per cent, and if the quartiles of one run reach those of the other. */
const verdictOf = (before: Row, after: Row): Verdict => {
  const change = after.ratio / before.ratio
  if (Math.abs(change - 1) <= 0.05 || (after.low <= before.high && before.low <= after.high)) return "same"
  return change > 1 ? "slower" : "faster"
}

/** Compares what both runs have measured against the same floor. */
export const compare = (baseline: Results, run: Results): ReadonlyArray<Difference> => {
  const known = new Map(allFigures(baseline).map((figures) => [figures.title, figures]))
  return allFigures(run).flatMap(({ floor, rows, title }) => {
    const before = known.get(title)
    if (before === undefined || before.floor !== floor) return []
    return rows.flatMap((after) => {
      const earlier = before.rows.find(({ name }) => name === after.name)
      return earlier === undefined || after.name === floor
        ? []
        : [
            {
              title,
              name: after.name,
              isOther: after.isOther === true,
              before: earlier.ratio,
              after: after.ratio,
              verdict: verdictOf(earlier, after)
            }
          ]
    })
  })
}
