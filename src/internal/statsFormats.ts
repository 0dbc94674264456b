/**
 * Statistics in other forms: tables for a terminal, and the dictionary of the Python library `advanced-caching`.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { Latency } from "./histogram.js"
import type { Counts, Stats } from "./statsTypes.js"

type Row = ReadonlyArray<string>

/** A table with a heading, its first column on the left and the others on the right. Empty without rows. */
const tableOf = (heading: Row, rows: ReadonlyArray<Row>): ReadonlyArray<string> => {
  if (rows.length === 0) return []
  const all = [heading, ...rows]
  const widths = heading.map((_, i) => Math.max(...all.map((row) => row[i]!.length)))
  const lines = all.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join("  ")
      .trimEnd()
  )
  return ["", ...lines]
}

/** A name without what a terminal would obey. */
const plain = (name: string): string => name.replace(/\p{C}/gu, "?")

const percent = (rate: number): string => `${(rate * 100).toFixed(1)} %`

const millis = (time: number): string => `${time < 10 ? time.toFixed(2) : time.toFixed(0)} ms`

/** A duration in whole seconds, or below one in whole milliseconds. */
const spanOf = (duration: Duration.Duration): string => {
  const millis = Math.round(Duration.toMillis(duration))
  return Duration.format(Duration.millis(millis < 1_000 ? millis : millis - (millis % 1_000)))
}

const number = (value: number): string => String(value)

const timed = ({ count, mean, p50, p95, p99 }: Latency): Row => [
  number(count),
  ...(count === 0 ? ["-", "-", "-", "-"] : [mean, p50, p95, p99].map(millis))
]

const namedEntries = <V>(named: Readonly<Partial<Record<string, V>>>): ReadonlyArray<readonly [string, V]> =>
  Object.entries(named).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))

const functionRow = (name: string, counts: Counts): Row => [
  name,
  ...[counts.reads, counts.hits, counts.staleHits, counts.misses, counts.coalesced].map(number),
  percent(counts.hitRate),
  ...[counts.loads, counts.loadFailures, counts.refreshes, counts.sets, counts.removals].map(number)
]

const at = (time: Option.Option<number>): string =>
  Option.match(time, {
    onNone: () => "-",
    onSome: (millis) => Option.match(DateTime.make(millis), { onNone: () => "-", onSome: DateTime.formatIso })
  })

export const table = (stats: Stats): string => {
  const known = [
    ...Option.toArray(Option.map(stats.entries, (count) => `${count} entries`)),
    ...Option.toArray(Option.map(stats.bytes, (count) => `${count} bytes`)),
    `${stats.inFlight} loads in flight`,
    `${stats.storeErrors} store errors`
  ]
  const functions = namedEntries(stats.caches).map(([name, counts]) => functionRow(plain(name), counts))
  const operations = [
    ...namedEntries(stats.caches).map(([name, counts]) => [`load ${plain(name)}`, counts.latency.load] as const),
    ...(stats.tiers.length === 0 ? [{ tier: stats.store, latency: stats.latency }] : stats.tiers).flatMap(
      ({ latency, tier }) =>
        (["get", "set", "remove"] as const).map((name) => [`${name} ${plain(tier)}`, latency[name]] as const)
    )
  ]
  return [
    `${plain(stats.store)}, for ${spanOf(stats.uptime)}: ${known.join(", ")}`,
    ...tableOf(
      [
        "function",
        "reads",
        "hits",
        "stale",
        "misses",
        "coalesced",
        "hit rate",
        "loads",
        "failed",
        "refreshes",
        "sets",
        "removals"
      ],
      [...functions, ...(functions.length > 1 ? [functionRow("all", stats)] : [])]
    ),
    ...tableOf(
      ["tier", "hits", "misses", "hit rate", "sets", "backfills", "removals", "errors"],
      stats.tiers.map(({ backfills, errors, hitRate, hits, misses, removals, sets, tier }) => [
        plain(tier),
        number(hits),
        number(misses),
        percent(hitRate),
        ...[sets, backfills, removals, errors].map(number)
      ])
    ),
    ...tableOf(
      ["operation", "count", "mean", "p50", "p95", "p99"],
      operations.filter(([, { count }]) => count > 0).map(([name, latency]) => [name, ...timed(latency)])
    ),
    ...tableOf(
      ["background", "runs", "failed", "last success", "next due", "last error"],
      namedEntries(stats.background).map(([name, { failures, lastError, lastSuccess, nextDue, runs }]) => [
        plain(name),
        number(runs),
        number(failures),
        at(lastSuccess),
        at(nextDue),
        Option.match(lastError, { onNone: () => "-", onSome: ({ message }) => plain(message) })
      ])
    )
  ].join("\n")
}

/** A number with so many decimals at most. */
const rounded = (value: number, decimals: number): number => Number(value.toFixed(decimals))

type Named<V> = { [name: string]: V }

/** The keys are those of the Python library. */
export interface Dictionary {
  readonly uptime_seconds: number
  readonly caches: Named<{
    readonly hits: number
    readonly misses: number
    readonly sets: number
    readonly deletes: number
    readonly hit_rate_percent: number
  }>
  readonly latency: Named<{
    readonly count: number
    readonly p50_ms: number
    readonly p95_ms: number
    readonly p99_ms: number
    readonly avg_ms: number
  }>
  readonly errors: Named<Named<number>>
  readonly memory: Named<{ readonly bytes: number | null; readonly entries: number; readonly mb: number | null }>
  readonly background_refresh: Named<{ readonly success: number; readonly failure: number }>
}

const mebibyte = 1_048_576

/** The names that the Python library has for the kinds of operations. */
const operationNames = {
  read: "get",
  write: "set",
  mark: "invalidate",
  lock: "lock",
  renew: "renew",
  sweep: "sweep"
} as const

const cacheOf = (hits: number, misses: number, sets: number, deletes: number) => ({
  hits,
  misses,
  sets,
  deletes,
  hit_rate_percent: hits + misses === 0 ? 0 : rounded((hits / (hits + misses)) * 100, 2)
})

export const asAdvancedCaching = (stats: Stats): Dictionary => {
  const caches: Dictionary["caches"] = {}
  const latency: Dictionary["latency"] = {}
  const errors: Dictionary["errors"] = {}
  const background: Dictionary["background_refresh"] = {}
  const time = (name: string, { count, mean, p50, p95, p99 }: Latency) => {
    if (count === 0) return
    latency[name] = {
      count,
      p50_ms: rounded(p50, 3),
      p95_ms: rounded(p95, 3),
      p99_ms: rounded(p99, 3),
      avg_ms: rounded(mean, 3)
    }
  }
  for (const [name, counts] of namedEntries(stats.caches)) {
    const { failures, hits, misses, refreshes, refreshFailures, removals, sets, staleHits } = counts
    caches[name] = cacheOf(hits + staleHits, misses, sets, removals)
    time(`${name}.load`, counts.latency.load)
    const failed = Object.entries(failures).filter(([, count]) => count > 0)
    if (failed.length > 0) errors[`${name}.load`] = Object.fromEntries(failed)
    if (refreshes > 0)
      background[name] = { success: Math.max(0, refreshes - refreshFailures), failure: refreshFailures }
  }
  for (const [name, { failures, runs }] of namedEntries(stats.background)) {
    background[name] = { success: runs - failures, failure: failures }
  }
  for (const { hits, misses, removals, sets, tier } of stats.tiers) {
    caches[Object.hasOwn(caches, tier) ? `${stats.store}.${tier}` : tier] = cacheOf(hits, misses, sets, removals)
  }
  for (const { latency, tier } of stats.tiers.length === 0
    ? [{ tier: stats.store, latency: stats.latency }]
    : stats.tiers) {
    time(`${tier}.get`, latency.get)
    time(`${tier}.set`, latency.set)
    time(`${tier}.delete`, latency.remove)
  }
  for (const [operation, reasons] of Object.entries(stats.errors)) {
    errors[`${stats.store}.${operationNames[operation as keyof typeof operationNames]}`] = { ...reasons }
  }
  const entries = Option.getOrUndefined(stats.entries)
  const bytes = Option.getOrNull(stats.bytes)
  return {
    uptime_seconds: Duration.toSeconds(stats.uptime),
    caches,
    latency,
    errors,
    memory:
      entries === undefined
        ? {}
        : { [stats.store]: { bytes, entries, mb: bytes === null ? null : rounded(bytes / mebibyte, 2) } },
    background_refresh: background
  }
}
