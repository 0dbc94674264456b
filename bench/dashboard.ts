/**
 * What does an open page of the dashboard cost? Hits are measured in one process, by turns: without a dashboard's page, and
 * while another process reads its stream.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { HttpRouter, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer, type Scope } from "effect"
import { Cached, CacheStore } from "effect-cached"
import * as Dashboard from "effect-cached/Dashboard"
import { type Contender, report, type Section, section } from "./support/harness.js"
import { loop, runtime } from "./support/memory.js"

/** The number of hits of one run. It lasts for about an interval of the dashboard. */
const operations = 2_000_000

const cached = Cached.ttl((id: number) => Effect.succeed(id), { key: "dashboard:{}", ttl: "1 hour" })

/** Serves the dashboard of the store that is measured. Its value is the URL of the stream. */
const served: Effect.Effect<string, never, Scope.Scope> = Effect.gen(function* () {
  const store = yield* Effect.promise(() => runtime.runPromise(CacheStore))
  const server = createServer()
  const page = Layer.unwrapScoped(
    Effect.map(Dashboard.make(), (dashboard) =>
      HttpRouter.empty.pipe(HttpRouter.mount("/cache", dashboard), HttpServer.serve())
    )
  ).pipe(
    Layer.provide(NodeHttpServer.layer(() => server, { port: 0, host: "127.0.0.1" })),
    Layer.provide(Layer.succeed(CacheStore, store))
  )
  yield* Effect.orDie(Layer.build(page))
  yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/cache/live`
})

/** Another process that reads the stream, from its first message on. */
const viewer = (url: string): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<ChildProcess>((resume) => {
      const source = `fetch(${JSON.stringify(url)}).then(async ({ body }) => { for await (const _ of body) process.stdout.write(".") })`
      const child = spawn(process.execPath, ["-e", source], { stdio: ["ignore", "pipe", "inherit"] })
      child.stdout.once("data", () => resume(Effect.succeed(child)))
    }),
    (child) => Effect.sync(() => child.kill())
  )

const hits = loop(operations, (i) => cached(i % 1_000))

const contender = (name: string, run: Effect.Effect<void>): Contender => ({
  name,
  operations,
  run: Effect.as(
    loop(1_000, (i) => cached(i)),
    run
  )
})

export const dashboards: ReadonlyArray<Section> = [
  section("hit, dashboard", (title) =>
    Effect.flatMap(served, (url) =>
      report({
        title,
        floor: "no page is open",
        bounds: { "a page is open": 1.02 },
        clock: "cpu",
        rounds: 5,
        contenders: [
          contender("no page is open", hits),
          contender("a page is open", Effect.scoped(Effect.zipRight(viewer(url), hits)))
        ]
      })
    )
  )
]
