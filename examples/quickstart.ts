/**
 * The three policies on real input: the files of a folder are hashed, summarized and counted.
 *
 *     npm start                          this repository, entries in memory
 *     npm start -- ../elsewhere          another folder
 *     npm start -- --redis               entries in Redis at 127.0.0.1:6379; the second run starts warm
 *     npm start -- --redis=redis://…     entries in another Redis; REDIS_URL does the same
 */
import { fileURLToPath } from "node:url"
import { FileSystem, Path, Error as PlatformError } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import {
  Cause,
  Clock,
  Config,
  Console,
  Data,
  Duration,
  Effect,
  Logger,
  LogLevel,
  Metric,
  MetricState,
  Option
} from "effect"
import { Cached, CacheStore, Key, MemoryCache } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import * as Files from "./support/files.js"
import * as Print from "./support/print.js"

// ------------------------------------------------------------------------------------------------------ the cached functions

/**
 * The digest of a file. Size and time of change are part of the key, so that a changed file has another key and never
 * gets the digest of its old content. The kind of a file follows from its path, so the key may ignore it.
 */
const digest = Cached.ttl((file: Files.File) => Files.sha256(file), {
  key: "digest:{path}:{size}:{changed}",
  ignore: ["kind"],
  ttl: "1 hour",
  tags: (_digest, file) => [`kind:${file.kind}`]
})

/** A summary of a folder. After a second it is stale, and for an hour a stale summary is better than a wait. */
const summary = Cached.swr(
  Effect.fn("summarize")(function* (folder: string) {
    const { bytes, files } = yield* Files.walk(folder)
    const digests = yield* Effect.forEach(files, (file) => Effect.option(digest(file)), {
      concurrency: Files.concurrency
    })
    const known = digests.filter(Option.isSome).map((one) => one.value)
    const kinds = new Map<string, number>()
    for (const { kind } of files) kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    return {
      files: files.length,
      bytes,
      kinds: Array.from(kinds).sort(([x, a], [y, b]) => b - a || x.localeCompare(y)),
      copies: known.length - new Set(known).size,
      madeAt: yield* Clock.currentTimeMillis
    }
  }),
  { key: "summary:{}", ttl: "1 second", stale: "1 hour" }
)

/** The number of files now: a daemon counts them every half second until its scope closes. */
const startTotal = (folder: string) =>
  Cached.bg(
    Effect.gen(function* () {
      const { bytes, files } = yield* Files.walk(folder)
      return { files: files.length, bytes, madeAt: yield* Clock.currentTimeMillis }
    }),
    { key: `total:${Key.hash(folder)}`, name: "total", interval: "500 millis" }
  )

// ------------------------------------------------------------------------------------------------------------ the tour

const tour = Effect.fn("tour")(function* (folder: string, place: string) {
  yield* Console.log("effect-cached: a tour of a folder\n")
  const store = yield* CacheStore
  const { bytes, files, more } = yield* Files.walk(folder)
  yield* Console.log(`Folder   ${Print.short(folder, 100)}`)
  yield* Console.log(
    `         ${Print.count(files.length, "file")}, ${Print.bytes(bytes)}, without node_modules, .git and dist`
  )
  if (more) yield* Console.log("         There are more files; these are enough.")
  yield* Console.log(`Store    ${place}`)
  const { status } = yield* store.health
  if (status === "down") {
    yield* Console.log(
      "         It cannot be reached: all of this works without it, but nothing is stored, and every read loads."
    )
  }

  if (files.length === 0) return yield* Console.log("\nThere is no file in it: try another folder.")

  yield* showTtl(folder, files)
  yield* showSwr(folder)
  yield* Effect.scoped(showBg(folder))
  yield* showInvalidation(folder, files)
  yield* showMetrics
})

/** Reads every digest, and measures it. */
const readAll = Effect.fn("readAll")(function* (files: ReadonlyArray<Files.File>) {
  const store = yield* CacheStore
  const before = yield* store.stats
  const [took, reads] = yield* Effect.timed(
    Effect.forEach(files, (file) => Effect.option(Effect.timed(digest(file))), { concurrency: Files.concurrency })
  )
  const after = yield* store.stats
  return { took, reads, loads: after.loads - before.loads, hits: after.hits - before.hits }
})

const showTtl = Effect.fn("showTtl")(function* (folder: string, files: ReadonlyArray<Files.File>) {
  const path = yield* Path.Path
  yield* Print.heading(
    "1. Cached.ttl: the SHA-256 of every file",
    "The first pass reads and hashes every file; the second finds every digest in the store."
  )
  const first = yield* readAll(files)
  const second = yield* readAll(files)

  const rows = files.map((file, i) => ({ file, first: first.reads[i]!, second: second.reads[i]! }))
  const largest = rows.sort((a, b) => b.file.size - a.file.size).slice(0, 8)
  yield* Print.table(
    [`the largest ${largest.length}`, "size", "SHA-256", "first read", "second read"],
    largest.map(({ file, first, second }) => [
      Print.short(path.relative(folder, file.path), 40),
      Print.bytes(file.size),
      Option.match(first, { onNone: () => "unreadable", onSome: ([, digest]) => `${digest.slice(0, 12)}…` }),
      Option.match(first, { onNone: () => "", onSome: ([took]) => Print.time(took) }),
      Option.match(second, { onNone: () => "", onSome: ([took]) => Print.time(took) })
    ])
  )
  yield* Console.log("")
  yield* Print.table(
    ["pass", "files", "loads", "from the store", "took"],
    Object.entries({ first, second }).map(([name, { hits, loads, reads, took }]) => [
      name,
      Print.number(reads.length),
      Print.number(loads),
      Print.number(hits),
      Print.time(took)
    ])
  )
  if (first.hits > 0) {
    yield* Console.log("\n  Warm from the start: an earlier run stored its digests.")
  } else if (second.hits > 0) {
    const times = Duration.toMillis(first.took) / Duration.toMillis(second.took)
    yield* Console.log(`\n  The second pass was ${Print.times(times)} as fast.`)
  }
})

/** One read of the summary: the entry before it, how long it took, and when the answer was made. */
const readSummary = Effect.fn("readSummary")(function* (when: string, folder: string) {
  const held = yield* summary.entry(folder)
  const [took, value] = yield* Effect.timed(summary(folder))
  const state = Option.match(held, { onNone: () => "nothing", onSome: (entry) => `a ${entry.state} one` })
  return { value, cells: [when, state, Print.time(took), Print.ago(value.madeAt, yield* Clock.currentTimeMillis)] }
})

const showSwr = Effect.fn("showSwr")(function* (folder: string) {
  yield* Print.heading(
    "2. Cached.swr: a summary of the folder",
    "It is fresh for 1 s. After that the old one is served at once, while a new one is made in the background."
  )
  const first = yield* readSummary("first", folder)
  yield* Effect.sleep("1200 millis")
  const late = yield* readSummary("1.2 s later", folder)
  yield* summary
    .entry(folder)
    .pipe(
      Effect.delay("10 millis"),
      Effect.repeat({ until: (held) => Option.isNone(held) || held.value.state === "fresh" }),
      Effect.timeoutOption("5 seconds")
    )
  const last = yield* readSummary("then", folder)
  yield* Print.table(["read", "the store held", "took", "made"], [first.cells, late.cells, last.cells])

  const { bytes, copies, files, kinds } = last.value
  const most = kinds.slice(0, 4).map(([kind, howMany]) => `${Print.number(howMany)} ${Print.short(kind, 16)}`)
  if (kinds.length > most.length) most.push("…")
  yield* Console.log(`\n  ${Print.count(files, "file")}, ${Print.bytes(bytes)}: ${most.join(", ")}`)
  if (copies > 0) yield* Console.log(`  ${Print.number(copies)} of them with the content of another`)
})

const showBg = Effect.fn("showBg")(function* (folder: string) {
  yield* Print.heading(
    "3. Cached.bg: a live total",
    "A daemon counts the folder every 500 ms. Only a read before the first count waits."
  )
  const total = yield* startTotal(folder)
  const read = Effect.fn("readTotal")(function* (when: string) {
    const [took, { bytes, files, madeAt }] = yield* Effect.timed(total)
    const ago = Print.ago(madeAt, yield* Clock.currentTimeMillis)
    return [when, Print.number(files), Print.bytes(bytes), Print.time(took), ago]
  })
  const rows = [yield* read("first")]
  for (const when of ["0.7 s later", "1.4 s later"]) {
    yield* Effect.sleep("700 millis")
    rows.push(yield* read(when))
  }
  yield* Print.table(["read", "files", "size", "took", "counted"], rows)
})

const showInvalidation = Effect.fn("showInvalidation")(function* (folder: string, files: ReadonlyArray<Files.File>) {
  const path = yield* Path.Path
  yield* Print.heading(
    "4. Invalidation: one file, then a tag",
    "An invalidated digest loads at its next read, the others stay. After each step all digests are read again."
  )
  const largest = files.reduce((a, b) => (b.size > a.size ? b : a))

  yield* digest.invalidate(largest)
  const afterOne = yield* readAll(files)
  yield* Cached.invalidateTags([`kind:${largest.kind}`])
  const afterTag = yield* readAll(files)
  yield* Print.table(
    ["invalidated", "loads", "from the store"],
    [
      [Print.short(path.relative(folder, largest.path), 40), Print.number(afterOne.loads), Print.number(afterOne.hits)],
      [`the tag kind:${Print.short(largest.kind, 16)}`, Print.number(afterTag.loads), Print.number(afterTag.hits)]
    ]
  )
})

const showMetrics = Effect.gen(function* () {
  yield* Print.heading("5. Metrics", "The store's counters in this run.")
  const { caches, ...all } = yield* (yield* CacheStore).stats
  yield* Print.table(
    ["cache", "reads", "hits", "stale hits", "misses", "loads", "refreshes", "hit rate"],
    Object.entries({ ...caches, all }).map(([name, { hits, loads, misses, refreshes, staleHits }]) => {
      const reads = hits + staleHits + misses
      const rate = reads === 0 ? 0 : (hits + staleHits) / reads
      const numbers = [reads, hits, staleHits, misses, loads, refreshes].map(Print.number)
      return [name, ...numbers, `${Math.round(rate * 100)}%`]
    })
  )
  const registry = yield* Metric.snapshot
  const series = registry.filter(({ metricKey }) => metricKey.name.startsWith("cache_"))
  yield* Console.log(`\n  Effect's metric registry has them, too, for any exporter: ${series.length} series such as`)
  for (const { metricKey, metricState } of series) {
    if (metricKey.name !== "cache_loads" || !MetricState.isCounterState(metricState)) continue
    const labels = metricKey.tags.map(({ key, value }) => `${key}="${value}"`)
    yield* Console.log(`    ${metricKey.name}{${labels.join(", ")}} ${metricState.count}`)
  }
})

// ------------------------------------------------------------------------------------------------------------- the run

/** A mistake the user can correct: one line, and exit code 1. */
class Refused extends Data.TaggedError("Refused")<{ readonly message: string }> {}

const settings = Effect.gen(function* () {
  const path = yield* Path.Path
  let folder = fileURLToPath(new URL("..", import.meta.url))
  let redis = Option.getOrUndefined(yield* Config.option(Config.nonEmptyString("REDIS_URL")))
  for (const argument of process.argv.slice(2)) {
    if (argument === "--redis") redis ??= "redis://127.0.0.1:6379"
    else if (argument.startsWith("--redis=")) redis = argument.slice("--redis=".length)
    else if (argument.startsWith("-")) {
      return yield* new Refused({
        message: `unknown option ${argument}; usage: [folder] [--redis[=redis://host:port]]`
      })
    } else folder = argument
  }
  if (redis !== undefined && !(URL.canParse(redis) && /^rediss?:\/\/./.test(redis))) {
    return yield* new Refused({ message: "the URL of a Redis looks like redis://host:6379" })
  }
  return { folder: path.resolve(folder), redis }
})

const checkFolder = Effect.fn("checkFolder")(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const { type } = yield* fs.stat(folder)
  if (type !== "Directory") return yield* new Refused({ message: `${folder} is not a folder` })
  yield* fs.readDirectory(folder)
})

const refusal = (folder: string, error: PlatformError.PlatformError) => {
  const reason = error._tag === "SystemError" ? error.reason : undefined
  if (reason === "NotFound") return new Refused({ message: `there is no folder ${folder}` })
  if (reason === "PermissionDenied") return new Refused({ message: `no permission to read the folder ${folder}` })
  return new Refused({ message: `the folder ${folder} cannot be read: ${error.description ?? error.message}` })
}

const main = Effect.gen(function* () {
  const { folder, redis } = yield* settings
  yield* Effect.catchIf(checkFolder(folder), PlatformError.isPlatformError, (error) => refusal(folder, error))

  // The store is a Layer. Nothing above this line depends on which one it is.
  const store =
    redis === undefined
      ? MemoryCache.layer({ capacity: 100_000 })
      : RedisCache.layer({ url: redis, prefix: "quickstart:" })
  const place = redis === undefined ? "the memory of this process" : `Redis at ${new URL(redis).host}`

  const [took] = yield* tour(folder, place).pipe(Effect.provide(store), Effect.timed)
  yield* Console.log(`\nDone in ${Print.time(took)}.`)
  if (redis === undefined) yield* Console.log("Next: npm start -- --redis, twice. The second run starts warm.")
})

main.pipe(
  Effect.tapError((error) => Console.error(error.message)),
  Effect.tapDefect((cause) => Console.error(Cause.pretty(cause))),
  // the tour itself prints that Redis is away
  Logger.withMinimumLogLevel(LogLevel.Error),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
