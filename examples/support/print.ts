/** Printing for the examples: aligned columns, and units that people read. Nothing here is about caching. */
import { Console, Duration, Effect } from "effect"

/** `1.4 MB` */
export const bytes = (count: number): string => {
  const units = ["B", "kB", "MB", "GB", "TB"]
  let value = count
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`
}

/** `12 µs`, `3.4 ms`, `1.2 s` */
export const time = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  if (millis < 1) return `${Math.max(1, Math.round(millis * 1000))} µs`
  if (millis < 100) return `${millis.toFixed(1)} ms`
  if (millis < 1000) return `${Math.round(millis)} ms`
  return `${(millis / 1000).toFixed(1)} s`
}

/** The time between two times in milliseconds, such as `1.2 s ago`. */
export const ago = (then: number, now: number): string =>
  now - then < 1 ? "just now" : now - then < 1000 ? `${now - then} ms ago` : `${((now - then) / 1000).toFixed(1)} s ago`

/** `3.1 times`, `250 times` */
export const times = (factor: number): string => `${factor < 10 ? factor.toFixed(1) : number(Math.round(factor))} times`

/** `1 file`, `1 234 files` */
export const count = (howMany: number, noun: string): string => `${number(howMany)} ${noun}${howMany === 1 ? "" : "s"}`

/** `12 345` */
export const number = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, " ")

/** A text of at most `width` characters, without its middle; control characters are replaced. */
export const short = (text: string, width: number): string => {
  const line = text.replace(/\p{Cc}/gu, "?")
  if (line.length <= width) return line
  const head = Math.floor((width - 1) / 3)
  return `${line.slice(0, head)}…${line.slice(line.length - (width - 1 - head))}`
}

export const heading = (title: string, sentence: string): Effect.Effect<void> =>
  Console.log(`\n${title}\n${"-".repeat(title.length)}\n${sentence}\n`)

/** A table with columns as wide as their cells; columns of numbers are aligned to the right. */
export const table = (
  columns: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): Effect.Effect<void> => {
  const lines = [columns, ...rows]
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => (line[i] ?? "").length)))
  const right = columns.map((_, i) => rows.every((row) => /^(\d+( \d{3})*(\.\d+)?( .?.|%)?)?$/.test(row[i] ?? "")))
  return Effect.forEach(
    lines,
    (line) => {
      const cells = widths.map((width, i) =>
        right[i] ? (line[i] ?? "").padStart(width) : (line[i] ?? "").padEnd(width)
      )
      return Console.log(`  ${cells.join("   ").trimEnd()}`)
    },
    { discard: true }
  )
}
