/**
 * The exporters: what they send is what the store counts.
 */
import * as http from "node:http"
import { FetchHttpClient, HttpRouter, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import { Cached, CacheStore, InvalidOption, MemoryCache } from "effect-cached"
import * as CacheExporter from "../../src/CacheExporter.js"
import { defectOf } from "../laws/support.js"
import { awaitUntil } from "../support/live.js"
import { freePort } from "../support/ports.js"

/** The registry is of the process, so each test has a store of its own. */
let stores = 0
const freshStore = () => `exporters-${++stores}`

/** Two misses and three hits of `user`, and one failed load of `broken`. */
const work = Effect.gen(function* () {
  const user = Cached.ttl((id: number) => Effect.succeed(id), { key: "user:{}", name: "user", ttl: "1 hour" })
  const broken = Cached.ttl(Effect.fail("down"), { key: "broken", ttl: "1 hour" })
  for (const id of [1, 2, 1, 2, 1]) yield* user(id)
  yield* Effect.flip(broken)
})

/** The samples of a store in a text for Prometheus, by name and the labels beside `store`. */
const samplesOf = (text: string, store: string): Record<string, number> =>
  Object.fromEntries(
    text
      .split("\n")
      .filter((line) => line.includes(`store="${store}"`))
      .map((line) => {
        const [, name, labels, value] = /^(\w+)\{(.*)\} (\S+)$/.exec(line) ?? assert.fail(line)
        const others = labels!.split(",").filter((label) => !label.startsWith("store="))
        return [others.length === 0 ? name : `${name} ${others.sort().join(" ")}`, Number(value)]
      })
  )

const assertCounted = (text: string, store: string, prefix = "") => {
  const samples = samplesOf(text, store)
  const expected: Record<string, number> = {
    'cache_hits_total cache="user"': 3,
    'cache_misses_total cache="user"': 2,
    'cache_loads_total cache="user"': 2,
    'cache_load_failures_total cache="broken"': 1,
    'cache_load_duration_seconds_count cache="user"': 2
  }
  for (const [name, value] of Object.entries(expected)) {
    assert.strictEqual(samples[prefix + name], value, `${prefix}${name} in\n${text}`)
  }
}

const scrape = (url: string) =>
  Effect.promise(async () => {
    const response = await fetch(url)
    return { status: response.status, type: response.headers.get("content-type"), text: await response.text() }
  })

describe("layerPrometheus", () => {
  it.live("port - serves what was counted, until the Layer closes", () =>
    Effect.gen(function* () {
      const store = freshStore()
      const port = yield* freePort
      const url = `http://127.0.0.1:${port}/metrics`
      const scraped = yield* Effect.gen(function* () {
        yield* work
        assert.strictEqual((yield* scrape(`http://127.0.0.1:${port}/`)).status, 404)
        return yield* scrape(url)
      }).pipe(
        Effect.provide(
          Layer.merge(MemoryCache.layer({ name: store }), CacheExporter.layerPrometheus({ port, host: "127.0.0.1" }))
        )
      )
      assertCounted(scraped.text, store)
      assert.notInclude(scraped.text, "target_info")
      assert.notInclude(scraped.text, "otel_scope")
      yield* Effect.flip(Effect.tryPromise(() => fetch(url)))
    })
  )

  it.live("resource, prefix and path - are those of the options", () =>
    Effect.gen(function* () {
      const store = freshStore()
      const port = yield* freePort
      const layer = CacheExporter.layerPrometheus({
        port,
        host: "127.0.0.1",
        path: "/prometheus",
        prefix: "shop",
        resource: { serviceName: "my shop", attributes: { "service.instance.id": "shop-1" } }
      })
      const { text } = yield* Effect.zipRight(work, scrape(`http://127.0.0.1:${port}/prometheus`)).pipe(
        Effect.provide(Layer.merge(MemoryCache.layer({ name: store }), layer))
      )
      assertCounted(text, store, "shop_")
      assert.match(text, /target_info\{.*service_name="my shop".*\} 1/)
      assert.match(text, /target_info\{.*service_instance_id="shop-1".*\} 1/)
    })
  )

  it.live("a port that is taken - fails with ExporterError", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const layer = CacheExporter.layerPrometheus({ port, host: "127.0.0.1" })
      const error = yield* Effect.flip(Effect.provide(Effect.void, Layer.provideMerge(Layer.fresh(layer), layer)))
      assert.strictEqual(error._tag, "ExporterError")
      assert.strictEqual(error.reason, "Listen")
      assert.include(error.message, String(port))
    })
  )

  it.live("an impossible port or interval - is the defect InvalidOption", () =>
    Effect.gen(function* () {
      for (const port of [0, -1, 1.5, 65_536, Number.NaN]) {
        const defect = defectOf(
          yield* Effect.exit(Effect.provide(Effect.void, CacheExporter.layerPrometheus({ port })))
        )
        assert.instanceOf(defect, InvalidOption, String(port))
      }
      const otlp = CacheExporter.layerOtlp({ url: "http://127.0.0.1:1", interval: 0 })
      const run = Effect.provide(Effect.void, Layer.provide(otlp, FetchHttpClient.layer))
      assert.instanceOf(defectOf(yield* Effect.exit(run)), InvalidOption)
    })
  )

  it.live("router - serves at a path of the router of the program", () =>
    Effect.gen(function* () {
      const store = freshStore()
      const routes = CacheExporter.layerPrometheus({ router: HttpRouter.Default, path: "/internal/metrics" })
      const app = HttpRouter.Default.unwrap(HttpServer.serve()).pipe(
        Layer.provide(Layer.provideMerge(routes, HttpRouter.Default.Live)),
        Layer.provideMerge(NodeHttpServer.layerTest)
      )
      yield* Effect.gen(function* () {
        yield* work
        const { address } = yield* HttpServer.HttpServer
        assert.strictEqual(address._tag, "TcpAddress")
        if (address._tag !== "TcpAddress") return
        const { status, text, type } = yield* scrape(`http://127.0.0.1:${address.port}/internal/metrics`)
        assert.deepStrictEqual([status, type], [200, "text/plain; version=0.0.4; charset=utf-8"])
        assertCounted(text, store)
      }).pipe(Effect.provide(Layer.merge(MemoryCache.layer({ name: store }), app)))
    })
  )
})

interface Received {
  readonly path: string
  readonly type: string | undefined
  readonly authorization: string | undefined
  readonly body: Buffer
}

/** A receiver of OTLP over HTTP, which keeps what it received. */
const receiver = Effect.gen(function* () {
  const received: Array<Received> = []
  const port = yield* freePort
  yield* Effect.acquireRelease(
    Effect.async<http.Server>((resume) => {
      const server = http.createServer((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("end", () => {
          received.push({
            path: request.url!,
            type: request.headers["content-type"],
            authorization: request.headers.authorization,
            body: Buffer.concat(chunks)
          })
          response.end("{}")
        })
      })
      server.listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.async<void>((resume) => {
        server.closeAllConnections()
        server.close(() => resume(Effect.void))
      })
  )
  return { received, url: `http://127.0.0.1:${port}` }
})

interface Point {
  readonly attributes: ReadonlyArray<{ readonly key: string; readonly value: { readonly stringValue?: string } }>
  readonly asDouble?: number
}

/** The sum of the points of a metric whose attributes contain these. */
const sumOf = (body: Buffer, metric: string, attributes: Record<string, string>): number => {
  const { resourceMetrics } = JSON.parse(body.toString()) as {
    resourceMetrics: Array<{
      scopeMetrics: Array<{ metrics: Array<{ name: string; sum?: { dataPoints: Array<Point> } }> }>
    }>
  }
  return resourceMetrics
    .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
    .filter(({ name }) => name === metric)
    .flatMap(({ sum }) => sum?.dataPoints ?? [])
    .filter((point) =>
      Object.entries(attributes).every(([key, value]) =>
        point.attributes.some((one) => one.key === key && one.value.stringValue === value)
      )
    )
    .reduce((sum, { asDouble }) => sum + (asDouble ?? 0), 0)
}

describe("layerOtlp", () => {
  it.scopedLive("json - sends what was counted at the interval, and no spans", () =>
    Effect.gen(function* () {
      const store = freshStore()
      const { received, url } = yield* receiver
      const layer = CacheExporter.layerOtlp({
        url,
        encoding: "json",
        interval: 20,
        headers: { authorization: "Bearer secret" },
        resource: { serviceName: "shop", serviceVersion: "2", attributes: { "service.instance.id": "shop-1" } }
      }).pipe(Layer.provide(FetchHttpClient.layer))
      const isComplete = ({ body }: Received) => sumOf(body, "cache_load_failures", { store, cache: "broken" }) === 1
      yield* Effect.zipRight(
        work,
        awaitUntil(
          Effect.sync(() => received.some(isComplete)),
          "an export has it"
        )
      ).pipe(Effect.provide(Layer.merge(MemoryCache.layer({ name: store }), layer)))
      const { authorization, body, path, type } = received.find(isComplete)!
      assert.deepStrictEqual([path, type, authorization], ["/v1/metrics", "application/json", "Bearer secret"])
      assert.strictEqual(sumOf(body, "cache_hits", { store, cache: "user" }), 3)
      assert.strictEqual(sumOf(body, "cache_misses", { store, cache: "user" }), 2)
      for (const text of ['"stringValue":"shop"', '"stringValue":"2"', '"stringValue":"shop-1"']) {
        assert.include(body.toString(), text)
      }
      assert.isTrue(received.every((one) => one.path === "/v1/metrics"))
    })
  )

  it.scopedLive("protobuf and traces - sends the last counts and the spans as the Layer closes", () =>
    Effect.gen(function* () {
      const store = freshStore()
      const { received, url } = yield* receiver
      const layer = CacheExporter.layerOtlp({ url: `${url}/`, interval: "1 hour", traces: true }).pipe(
        Layer.provide(FetchHttpClient.layer)
      )
      yield* work.pipe(Effect.provide(Layer.merge(MemoryCache.layer({ name: store }), layer)))
      assert.deepStrictEqual(received.map(({ path }) => path).sort(), ["/v1/metrics", "/v1/traces"])
      for (const { body, path, type } of received) {
        assert.strictEqual(type, "application/x-protobuf")
        for (const text of path === "/v1/metrics" ? ["cache_hits", store] : ["Cached.load", "cache.name"]) {
          assert.include(body.toString("latin1"), text)
        }
      }
    })
  )

  it.scopedLive("no receiver - the program goes on", () =>
    Effect.gen(function* () {
      const store = freshStore()
      const port = yield* freePort
      const layer = CacheExporter.layerOtlp({ url: `http://127.0.0.1:${port}`, interval: 10, shutdownTimeout: 0 }).pipe(
        Layer.provide(FetchHttpClient.layer)
      )
      const done = yield* Deferred.make<number>()
      yield* Effect.gen(function* () {
        yield* work
        yield* Deferred.succeed(done, (yield* (yield* CacheStore).stats).hits)
      }).pipe(Effect.provide(Layer.merge(MemoryCache.layer({ name: store }), layer)))
      assert.strictEqual(yield* Deferred.await(done), 3)
    })
  )
})
