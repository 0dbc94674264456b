/** What the simulator prints: tables in Markdown, and a plot in SVG. */

/** The hit ratios of one trace at one capacity, in per cent, by policy. */
export interface Cell {
  readonly trace: string
  readonly capacity: number
  readonly ratios: Readonly<Record<string, number>>
}

/** The policy of the library, and the bound. All others are the known policies. */
export const ours = "adaptive"
export const bound = "Belady"

export interface Summary {
  readonly policy: string
  /** The mean difference to the best known policy of each cell, in points, and the least. */
  readonly mean: number
  readonly worst: number
  /** The number of cells that are at most one point below the best known policy. */
  readonly near: number
  /** The number of cells that are more than half a point and more than one point below LRU, and the worst of them. */
  readonly halfBelowLru: number
  readonly belowLru: number
  readonly worstToLru: number
}

const known = ({ ratios }: Cell): ReadonlyArray<string> =>
  Object.keys(ratios).filter((policy) => policy !== ours && policy !== bound)

/** The hit ratio of the best known policy. */
export const best = (cell: Cell): number => Math.max(...known(cell).map((policy) => cell.ratios[policy]!))

export const summarize = (cells: ReadonlyArray<Cell>): ReadonlyArray<Summary> =>
  Object.keys(cells[0]?.ratios ?? {})
    .filter((policy) => policy !== bound)
    .map((policy) => {
      const gaps = cells.map((cell) => cell.ratios[policy]! - best(cell))
      const toLru = cells.map((cell) => cell.ratios[policy]! - cell.ratios.LRU!)
      return {
        policy,
        mean: gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length,
        worst: Math.min(...gaps),
        near: gaps.filter((gap) => gap >= -1).length,
        halfBelowLru: toLru.filter((gap) => gap < -0.5).length,
        belowLru: toLru.filter((gap) => gap < -1).length,
        worstToLru: Math.min(...toLru)
      }
    })

const row = (columns: ReadonlyArray<string>): string => `| ${columns.join(" | ")} |`
const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string =>
  [row(head), row(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...rows.map(row)].join("\n")
const signed = (points: number): string => `${points > 0 ? "+" : ""}${points.toFixed(1)}`.replace(/^[+-](?=0\.0$)/, "")

/** One row per policy. */
export const summaryTable = (cells: ReadonlyArray<Cell>): string =>
  table(
    ["policy", "mean", "worst", "within 1 point", "over 1 below LRU", "worst to LRU"],
    summarize(cells).map(({ belowLru, mean, near, policy, worst, worstToLru }) => [
      policy === ours ? `**${policy}**` : policy,
      mean.toFixed(2).replace(/^-(?=0\.00$)/, ""),
      signed(worst),
      `${near} of ${cells.length}`,
      String(belowLru),
      signed(worstToLru)
    ])
  )

/** One row per cell. The best known policy is bold. */
export const cellTable = (cells: ReadonlyArray<Cell>): string => {
  const policies = Object.keys(cells[0]?.ratios ?? {})
  return table(
    ["trace", "entries", ...policies],
    cells.map((cell) => [
      cell.trace,
      String(cell.capacity),
      ...policies.map((policy) => {
        const ratio = cell.ratios[policy]!.toFixed(1)
        return policy !== ours && policy !== bound && cell.ratios[policy] === best(cell) && best(cell) > 0
          ? `**${ratio}**`
          : ratio
      })
    ])
  )
}

/** The least difference that the plot shows as it is. */
const left = -20
const right = 6

/** Draws a dot for each cell and policy: how far it is from the best known policy of the cell. */
export const plot = (cells: ReadonlyArray<Cell>): string => {
  const summaries = summarize(cells)
  const rowHeight = 34
  const margin = { left: 120, right: 20, top: 46, bottom: 40 }
  const width = 800
  const height = margin.top + summaries.length * rowHeight + margin.bottom
  const x = (gap: number): number =>
    margin.left +
    ((Math.max(left, Math.min(right, gap)) - left) / (right - left)) * (width - margin.left - margin.right)
  const text = (at: number, y: number, anchor: string, content: string, more = ""): string =>
    `<text x="${at.toFixed(1)}" y="${y}" text-anchor="${anchor}"${more}>${content}</text>`
  const ticks = [-20, -15, -10, -5, -1, 0, 5].map((gap) => {
    const label = gap === left ? `≤ ${gap}` : gap > 0 ? `+${gap}` : String(gap)
    return (
      `<line x1="${x(gap).toFixed(1)}" y1="${margin.top - 8}" x2="${x(gap).toFixed(1)}" y2="${height - margin.bottom}" ` +
      `stroke="${gap === 0 ? "#888" : "#ddd"}"/>${text(x(gap), height - margin.bottom + 18, "middle", label)}`
    )
  })
  const rows = summaries.map(({ mean, policy }, i) => {
    const y = margin.top + i * rowHeight + rowHeight / 2
    const color = policy === ours ? "#0a7d4f" : "#7a5fc0"
    // dots of equal gaps lie beside each other
    const dots = cells.map(
      (cell, n) =>
        `<circle cx="${x(cell.ratios[policy]! - best(cell)).toFixed(1)}" cy="${(y + ((n % 5) - 2) * 4).toFixed(1)}" r="3"/>`
    )
    return (
      `${text(margin.left - 12, y + 4, "end", policy, policy === ours ? ' font-weight="bold"' : "")}` +
      `<g fill="${color}" fill-opacity="0.45">${dots.join("")}</g>` +
      `<line x1="${x(mean).toFixed(1)}" y1="${y - 13}" x2="${x(mean).toFixed(1)}" y2="${y + 13}" stroke="${color}" stroke-width="3"/>`
    )
  })
  const title = `Points of hit ratio above or below the best known policy, ${cells.length} cells; the bar is the mean`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13" fill="#333" role="img">`,
    `<title>${title}</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    text(margin.left, 22, "start", title),
    ...ticks,
    ...rows,
    "</svg>",
    ""
  ].join("\n")
}
