/**
 * The dashboard over real traffic: the files of a folder are hashed and counted by a few readers who never stop. Open the
 * page that it prints, and watch.
 *
 *     npm run dashboard                      this repository, at http://127.0.0.1:3210/cache/
 *     npm run dashboard -- ../elsewhere      another folder
 *     npm run dashboard -- --port=8080       another port
 *
 * It ends with Ctrl-C.
 */
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import { FileSystem, HttpRouter, HttpServer, Path } from "@effect/platform"
import { NodeContext, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Console, Data, Effect, Layer, Logger, LogLevel, Option, Random, Schedule } from "effect"
import { Cached, type CacheStore, Key, MemoryCache, TieredCache } from "effect-cached"
import * as Dashboard from "effect-cached/Dashboard"
import * as FileCache from "effect-cached/FileCache"
import * as Files from "./support/files.js"
import * as Print from "./support/print.js"

// ------------------------------------------------------------------------------------------------------ the cached functions

/** The digest of a file. It is read again after a while, so that there is something to see. */
const digest = Cached.swr((file: Files.File) => Files.sha256(file), {
  key: "digest:{path}:{size}:{changed}",
  ignore: ["kind"],
  name: "digest",
  ttl: "5 seconds",
  stale: "1 minute",
  jitter: 0.5,
  tags: (_digest, file) => [`kind:${file.kind}`]
})

/** How many lines a file has, as far as it is text. Some files are too large: a failure, which is not stored. */
const lines = Cached.ttl(
  Effect.fn("lines")(function* (path: string) {
    const fs = yield* FileSystem.FileSystem
    const { size } = yield* fs.stat(path)
    if (size > 200_000n) return yield* new TooLarge()
    return (yield* fs.readFileString(path)).split("\n").length
  }),
  { key: "lines:{}", name: "lines", ttl: "10 seconds" }
)

class TooLarge extends Data.TaggedError("TooLarge") {}

/** The number of files now, which a daemon counts. */
const startTotal = (folder: string) =>
  Cached.bg(
    Effect.map(Files.walk(folder), ({ files }) => files.length),
    { key: `total:${Key.hash(folder)}`, name: "total", interval: "3 seconds" }
  )

/** Reads what most readers read: few files often, and many files now and then. */
const reader = (files: ReadonlyArray<Files.File>, total: Effect.Effect<number, unknown, CacheStore>) =>
  Effect.gen(function* () {
    const rank = yield* Random.next
    const file = files[Math.floor(files.length ** rank) - 1] ?? files[0]!
    yield* Effect.ignore(digest(file))
    if ((yield* Random.next) < 0.3) yield* Effect.ignore(lines(file.path))
    if ((yield* Random.next) < 0.1) yield* Effect.ignore(total)
    yield* Effect.sleep(yield* Random.nextIntBetween(5, 60))
  })

// ------------------------------------------------------------------------------------------------------------- the run

/** A mistake the user can correct: one line, and exit code 1. */
class Refused extends Data.TaggedError("Refused")<{ readonly message: string }> {}

const settings = Effect.gen(function* () {
  const path = yield* Path.Path
  let folder = fileURLToPath(new URL("..", import.meta.url))
  let port = 3210
  for (const argument of process.argv.slice(2)) {
    if (argument.startsWith("--port=")) port = Number(argument.slice("--port=".length))
    else if (argument.startsWith("-")) {
      return yield* new Refused({ message: `unknown option ${argument}; usage: [folder] [--port=3210]` })
    } else folder = argument
  }
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    return yield* new Refused({ message: "a port is a number from 1 to 65535" })
  }
  return { folder: path.resolve(folder), port }
})

/** Memory that is too small for all files, over a folder that ends with this process. */
const Store = Layer.unwrapScoped(
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "effect-cached-dashboard-" })
    return TieredCache.layer({
      name: "quickstart",
      tiers: [{ backend: MemoryCache.backend({ capacity: 150 }) }, { backend: FileCache.backend({ directory }) }]
    })
  })
)

/** The page. It may show the keys, and invalidate, because it listens to this machine only. */
const page = (port: number) =>
  Layer.unwrapScoped(
    Effect.map(Dashboard.make({ keys: true, authorize: Effect.succeed(true) }), (dashboard) =>
      HttpRouter.empty.pipe(HttpRouter.mount("/cache", dashboard), HttpServer.serve())
    )
  ).pipe(Layer.provide(NodeHttpServer.layer(() => createServer(), { port, host: "127.0.0.1" })))

const main = Effect.gen(function* () {
  const { folder, port } = yield* settings
  const walked = yield* Effect.option(Files.walk(folder))
  const files = Option.match(walked, { onNone: () => [], onSome: ({ files }) => files })
  if (files.length === 0) return yield* new Refused({ message: `there is no file in ${folder}` })

  const run = Effect.gen(function* () {
    yield* Console.log(`Folder   ${Print.short(folder, 100)}, ${Print.count(files.length, "file")}`)
    yield* Console.log(`Page     http://127.0.0.1:${port}/cache/`)
    yield* Console.log("\nOpen it and watch. Ctrl-C ends it.")
    const total = yield* startTotal(folder)
    const readers = Effect.replicate(Effect.repeat(reader(files, total), Schedule.forever), 8)
    yield* Effect.all(readers, { concurrency: "unbounded", discard: true })
  })
  yield* Effect.scoped(run).pipe(
    Effect.provide(Layer.provideMerge(page(port), Store)),
    Effect.catchTag("ServeError", () => new Refused({ message: `the port ${port} is taken; try --port=${port + 1}` }))
  )
})

main.pipe(
  Effect.tapError((error) => Console.error(error.message)),
  Logger.withMinimumLogLevel(LogLevel.Error),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
