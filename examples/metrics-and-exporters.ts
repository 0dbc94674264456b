/**
 * What a cache tells about itself: the numbers of each tier, percentiles, a listener, and two exporters, of which each is
 * read back and checked.
 *
 *     npx tsx examples/metrics-and-exporters.ts
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import {
  FetchHttpClient,
  FileSystem,
  HttpClient,
  HttpRouter,
  HttpServer,
  HttpServerRequest,
  HttpServerResponse
} from "@effect/platform"
import { NodeContext, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Queue, Schedule } from "effect"
import { type Backend, Cached, CacheListener, CacheStore, MemoryCache, TieredCache } from "effect-cached"
import * as CacheExporter from "effect-cached/CacheExporter"
import * as FileCache from "effect-cached/FileCache"
import * as Print from "./support/print.js"

const findUser = (id: number) => Effect.delay(Effect.succeed({ id, name: `user ${id}` }), "20 millis")
const getUser = Cached.ttl(findUser, { key: "user:{}", name: "user", ttl: "1 hour", tags: ["users"] })

// ---------------------------------------------------------------------------------------------------- three tiers

/** A store of memory over two folders. `evict` removes an entry from memory alone, as a full memory does. */
const threeTiers = Effect.fn("threeTiers")(function* (name: string, disk: string, archive: string) {
  let memory: Backend.Backend | undefined
  const store = yield* TieredCache.make({
    name,
    tiers: [
      {
        name: "L1:memory",
        backend: Effect.tap(MemoryCache.backend(), (backend) => {
          memory = backend
        })
      },
      { name: "L2:disk", backend: FileCache.backend({ directory: disk }) },
      { name: "L3:archive", backend: FileCache.backend({ directory: archive }) }
    ]
  })
  return { store, evict: (key: string) => Effect.sync(() => memory?.unsafeRemove?.(key)) }
})

type Rows = ReadonlyArray<ReadonlyArray<string | number>>

const folder = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())

const on =
  (store: CacheStore.Service) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provideService(effect, CacheStore, store)

/** Shows what a store has counted for each tier, and checks it. The slower tiers are written behind the reads. */
const showTiers = Effect.fn("showTiers")(function* (store: CacheStore.Service, expected: Rows) {
  const rows = Effect.map(store.stats, ({ tiers }) =>
    tiers.map(({ hitRate, hits, misses, sets, tier }) => [tier, hits, misses, sets, `${Math.floor(hitRate * 100)} %`])
  )
  const isSame = (found: Rows) => JSON.stringify(found) === JSON.stringify(expected)
  const found = yield* Effect.repeat(rows, {
    until: isSame,
    schedule: Schedule.intersect(Schedule.spaced("20 millis"), Schedule.recurs(100))
  }).pipe(Effect.zipRight(rows))
  yield* Print.table(
    ["tier", "hits", "misses", "sets", "hit rate"],
    found.map((row) => row.map(String))
  )
  yield* check("as expected", isSame(found))
})

const check = (what: string, isTrue: boolean) =>
  Effect.zipRight(Console.log(`  ${isTrue ? "ok" : "WRONG"}: ${what}`), isTrue ? Effect.void : Effect.dieMessage(what))

const steady = Effect.gen(function* () {
  yield* Print.heading(
    "1. Steady use",
    "Five users, of which the disk has four and the archive one. They are read 92 times."
  )
  const [disk, archive] = [yield* folder, yield* folder]
  const fill = (directory: string, ids: ReadonlyArray<number>) =>
    Effect.scoped(
      Effect.flatMap(FileCache.make({ directory }), (store) => on(store)(Effect.forEach(ids, (id) => getUser(id))))
    )
  yield* fill(disk, [1, 2, 3, 4])
  yield* fill(archive, [5])
  const { store } = yield* threeTiers("steady", disk, archive)
  const all = on(store)(Effect.forEach([1, 2, 3, 4, 5], (id) => getUser(id)))
  yield* Effect.repeatN(all, 17)
  yield* on(store)(Effect.all([getUser(1), getUser(2)]))
  yield* showTiers(store, [
    ["L1:memory", 87, 5, 5, "94 %"],
    ["L2:disk", 4, 1, 1, "80 %"],
    ["L3:archive", 1, 0, 0, "100 %"]
  ])
})

const cold = Effect.gen(function* () {
  yield* Print.heading("2. A cold start", "Two users that no tier has. Both are loaded, and written to every tier.")
  const { evict, store } = yield* threeTiers("cold", yield* folder, yield* folder)
  const both = on(store)(Effect.all([getUser(1), getUser(2)]))
  yield* both
  yield* showTiers(store, [
    ["L1:memory", 0, 2, 2, "0 %"],
    ["L2:disk", 0, 2, 2, "0 %"],
    ["L3:archive", 0, 2, 2, "0 %"]
  ])
  yield* Console.log("\nThey are read again; then memory evicts them, and the disk answers.\n")
  yield* both
  yield* Effect.forEach([1, 2], (id) => evict(getUser.key(id)))
  yield* both
  yield* showTiers(store, [
    ["L1:memory", 2, 4, 4, "33 %"],
    ["L2:disk", 2, 2, 2, "50 %"],
    ["L3:archive", 0, 2, 2, "0 %"]
  ])
})

// ------------------------------------------------------------------------------------------------------ percentiles

const percentiles = Effect.gen(function* () {
  yield* Print.heading("3. Percentiles", "A hundred loads, the slowest of 100 ms.")
  const slow = Cached.ttl((n: number) => Effect.delay(Effect.succeed(n), n), { key: "slow:{}", ttl: "1 hour" })
  yield* Effect.forEach(
    Array.from({ length: 100 }, (_, i) => i + 1),
    (n) => slow(n),
    { concurrency: "unbounded" }
  )
  const { load } = (yield* (yield* CacheStore).stats).latency
  yield* Print.table(
    ["loads", "mean", "p50", "p95", "p99"],
    [[String(load.count), ...[load.mean, load.p50, load.p95, load.p99].map((millis) => `${millis.toFixed(1)} ms`)]]
  )
  yield* check("every load is counted, and they are in order", load.count === 100 && load.p50 < load.p95)
}).pipe(Effect.provide(MemoryCache.layer({ name: "percentiles" })))

// --------------------------------------------------------------------------------------------------------- listener

const listener = Effect.gen(function* () {
  yield* Print.heading("4. A listener of your own", "Callbacks over the events of the store. They never delay a read.")
  const heard = yield* Queue.unbounded<string>()
  const Listener = CacheListener.layer({
    onHit: ({ name }) => heard.unsafeOffer(`hit of ${name}`),
    onMiss: ({ name, reason, tag = "" }) => heard.unsafeOffer(`miss of ${name}: ${reason} ${tag}`.trimEnd()),
    onLoaded: ({ name }) => heard.unsafeOffer(`${name} was loaded`)
  })
  const events = yield* Effect.gen(function* () {
    yield* getUser(1)
    yield* getUser(1)
    yield* Cached.invalidateTags(["users"])
    yield* getUser(1)
    return yield* Queue.takeN(heard, 5)
  }).pipe(Effect.provide(Layer.provideMerge(Listener, MemoryCache.layer({ name: "listener" }))))
  for (const event of events) yield* Console.log(`  ${event}`)
  yield* check("a miss has its reason", Array.from(events).includes("miss of user: tag users"))
})

// -------------------------------------------------------------------------------------------------------- exporters

const read = (port: number, path: string) =>
  HttpClient.get(`http://127.0.0.1:${port}${path}`).pipe(Effect.flatMap((response) => response.text))

const prometheus = Effect.gen(function* () {
  yield* Print.heading("5. Prometheus", "The metrics as text, in the router of the program, scraped over HTTP.")
  const server = createServer()
  const app = HttpRouter.Default.unwrap(HttpServer.serve()).pipe(
    Layer.provide(
      Layer.provideMerge(CacheExporter.layerPrometheus({ router: HttpRouter.Default }), HttpRouter.Default.Live)
    ),
    Layer.provide(NodeHttpServer.layer(() => server, { port: 0, host: "127.0.0.1" }))
  )
  const text = yield* Effect.suspend(() => read((server.address() as AddressInfo).port, "/metrics")).pipe(
    Effect.provide(app)
  )
  const samples = text.split("\n").filter((line) => /^cache_hits_total\{.*store="(cold|steady)"/.test(line))
  for (const sample of samples) yield* Console.log(`  ${sample}`)
  const hits = (store: string, tier: string) =>
    samples
      .find((line) => line.includes(`store="${store}"`) && line.includes(`tier="${tier}"`))
      ?.split(" ")
      .at(-1)
  yield* check(
    "Prometheus gets the hits of each tier",
    hits("steady", "L1:memory") === "87" && hits("cold", "L2:disk") === "2"
  )
})

/** A receiver of OTLP, as far as it is needed here: it keeps the bodies it gets at `/v1/metrics`. */
const otlp = Effect.gen(function* () {
  yield* Print.heading("6. OTLP", "The metrics as OTLP over HTTP, sent to a receiver that this program starts.")
  const bodies = yield* Queue.unbounded<string>()
  const server = createServer()
  const receiver = HttpRouter.empty.pipe(
    HttpRouter.post(
      "/v1/metrics",
      Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
        Effect.flatMap(request.text, (text) => Effect.as(Queue.offer(bodies, text), HttpServerResponse.unsafeJson({})))
      )
    ),
    HttpServer.serve(),
    Layer.provide(NodeHttpServer.layer(() => server, { port: 0, host: "127.0.0.1" }))
  )
  const body = yield* Effect.suspend(() =>
    Effect.provide(
      Queue.take(bodies),
      CacheExporter.layerOtlp({
        url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        resource: { serviceName: "example" },
        interval: "50 millis",
        encoding: "json"
      })
    )
  ).pipe(Effect.provide(receiver))
  const names = new Set(Array.from(body.matchAll(/"name":"(cache_\w+)"/g), ([, name]) => name))
  yield* Console.log(`  ${names.size} metrics of caches, among them cache_hits and cache_load_duration_seconds`)
  yield* check("the receiver has them", names.has("cache_hits") && names.has("cache_load_duration_seconds"))
})

const main = Effect.gen(function* () {
  yield* Console.log("effect-cached: metrics and exporters")
  yield* Effect.scoped(steady)
  yield* Effect.scoped(cold)
  yield* percentiles
  yield* listener
  yield* prometheus
  yield* otlp
  yield* Console.log("\nDone. To watch a store, run: npm run dashboard")
})

main.pipe(Effect.provide(Layer.merge(NodeContext.layer, FetchHttpClient.layer)), NodeRuntime.runMain)
