/**
 * The entries of one store in Effect's metric registry: its counters, histograms and gauges.
 *
 * A counter is the hook of the registry itself, which costs a nanosecond and no step of a fiber. A gauge is read when
 * the registry is: the number of entries that are alive changes as time passes, without any event. The registry has no
 * gauge of that kind, so the method `get` of its hook is replaced.
 */
import { globalValue } from "effect/GlobalValue"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import * as MetricLabel from "effect/MetricLabel"
import * as MetricState from "effect/MetricState"

/** Whether there are metrics at all, and how their names begin. */
export interface MeterSettings {
  readonly enabled: boolean
  readonly prefix: string
}

/** What takes the numbers of one series. */
export interface Sink {
  readonly update: (value: number) => void
}

export type Tags = Readonly<Record<string, string>>

const counters = {
  cache_hits: "reads answered with a fresh value",
  cache_stale_hits: "reads answered with a stale value",
  cache_misses: "reads that waited for a load",
  cache_coalesced: "reads that joined a running load; each is a miss, too",
  cache_loads: "loads started, refreshes included",
  cache_load_failures: "loads that failed, died, or were interrupted by their own lookup",
  cache_refreshes: "loads started behind a stale answer or by a background loader",
  cache_refresh_failures: "refreshes that failed or took longer than flightTimeout",
  cache_sets: "values written, by loads and by set",
  cache_removals: "removals of single keys",
  cache_backfills: "entries copied to a faster tier from a slower one",
  cache_evictions: "entries that left the store, by cause",
  cache_swept: "entries and tombstones that sweeps of the store freed, in all tiers",
  cache_store_errors: "operations of the backend that failed, were skipped, or got no answer in time",
  cache_decode_failures: "stored bytes that could not be read as an entry; each is a miss",
  cache_refused: "values that were returned but not stored: no lossless form, or too large"
} as const

const gauges = {
  cache_entries: "entries alive in memory",
  cache_bytes: "size of the entries alive in memory, where it holds bytes",
  cache_loads_in_flight: "loads in progress",
  cache_undelivered: "keys and marks that wait to be delivered to the backend"
} as const

const histograms = {
  cache_load_duration_seconds: {
    description: "duration of loads",
    ends: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
  },
  cache_store_duration_seconds: {
    description: "duration of operations of the backend, by operation: get, set or remove",
    ends: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
  }
} as const

export type CounterName = keyof typeof counters
export type GaugeName = keyof typeof gauges
export type HistogramName = keyof typeof histograms

const ignored: Sink = { update: () => {} }

const labelsOf = (tags: Tags) => Object.entries(tags).map(([key, value]) => MetricLabel.make(key, value))

type Source = () => number

/** The sources of each gauge. Stores of one name and the same labels are one series, which shows their sum. */
const sources = /*#__PURE__*/ globalValue("effect-cached/gauges", () => new WeakMap<object, Set<Source>>())

/** Lets the hook of a gauge show the sum of sources. Not in `gauge`, where the function would refer to a source as well. */
const showSum = (hook: object): Set<Source> => {
  const added = new Set<Source>()
  const get = () => MetricState.gauge(Array.from(added).reduce((sum, source) => sum + source(), 0))
  Object.assign(hook, { get })
  sources.set(hook, added)
  return added
}

/** The boundaries that were made, by their text. Those of equal numbers are not equal, and neither are series with them. */
const made = /*#__PURE__*/ globalValue(
  "effect-cached/boundaries",
  () => new Map<string, MetricBoundaries.MetricBoundaries>()
)

const boundariesOf = (ends: ReadonlyArray<number>): MetricBoundaries.MetricBoundaries => {
  const text = ends.join()
  const known = made.get(text)
  if (known !== undefined) return known
  const boundaries = MetricBoundaries.fromIterable(ends)
  made.set(text, boundaries)
  return boundaries
}

export class Meter {
  private readonly settings: MeterSettings

  constructor(settings: MeterSettings = { enabled: true, prefix: "" }) {
    this.settings = settings
  }

  counter(name: CounterName, tags: Tags): Sink {
    const { enabled, prefix } = this.settings
    if (!enabled) return ignored
    const key = MetricKey.counter(prefix + name, { description: counters[name], incremental: true })
    return Metric.globalMetricRegistry.get(MetricKey.taggedWithLabels(key, labelsOf(tags)))
  }

  histogram(name: HistogramName, tags: Tags): Sink {
    const { enabled, prefix } = this.settings
    if (!enabled) return ignored
    const { description, ends } = histograms[name]
    const key = MetricKey.histogram(prefix + name, boundariesOf(ends), description)
    return Metric.globalMetricRegistry.get(MetricKey.taggedWithLabels(key, labelsOf(tags)))
  }

  /** Shows what `source` returns whenever the registry is read. Returns what ends that. */
  gauge(name: GaugeName, tags: Tags, source: Source): () => void {
    const { enabled, prefix } = this.settings
    if (!enabled) return () => {}
    const key = MetricKey.taggedWithLabels(
      MetricKey.gauge(prefix + name, { description: gauges[name] }),
      labelsOf(tags)
    )
    const hook = Metric.globalMetricRegistry.get(key)
    const all = sources.get(hook) ?? showSum(hook)
    all.add(source)
    return () => all.delete(source)
  }
}
