/**
 * One writer, many readers: a pair of workers, one of which computes, and two web processes that serve its values from
 * their own memory. The computing worker is killed while requests go on.
 *
 *     npx tsx examples/writer-reader.ts                        on its own redis-server
 *     REDIS_URL=redis://… npx tsx examples/writer-reader.ts    on yours
 *
 * The process you start is the visitor. It starts this file four times more, as the workers A and B and the web processes
 * 1 and 2, sends requests to the web processes all the time, and prints what happens.
 */
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Config, Console, Context, Duration, Effect, Fiber, Layer, Option, Schedule } from "effect"
import { Cached } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import * as Child from "../test/support/child.js"
import type { RedisServer } from "../test/support/redis.js"
import * as Print from "./support/print.js"
import { onRedis, Refused, runMain } from "./support/redis.js"

interface Prices {
  /** The worker that computed the prices. */
  readonly by: string
  readonly run: number
  readonly eur: number
}

const lease = Duration.seconds(1)

const RedisLive = Layer.unwrapEffect(
  Effect.map(Config.redacted("REDIS_URL"), (url) => RedisCache.layer({ url, prefix: "writer-reader:" }))
)

// ------------------------------------------------------------------------------------------------------------ a worker

/** A worker: it computes prices while it leads. */
const beWorker = (name: string) =>
  Effect.gen(function* () {
    let runs = 0
    const compute = Effect.gen(function* () {
      const run = ++runs
      yield* Effect.sleep("20 millis")
      return { by: name, run, eur: 100 + run } satisfies Prices
    })
    const writer = yield* Cached.bgWrite(compute, {
      key: "prices",
      interval: "200 millis",
      ttl: "1 minute",
      leader: { lease }
    })
    yield* Child.serve({ leads: () => writer.leads, runs: () => Effect.sync(() => runs) })
  }).pipe(Effect.scoped, Effect.provide(RedisLive))

// ------------------------------------------------------------------------------------------------------- a web process

/** The service that request code uses. It does not depend on a cache, and never waits for one. */
class CurrentPrices extends Context.Tag("CurrentPrices")<CurrentPrices, Cached.CachedReader<Prices>>() {
  static readonly Live = Layer.scoped(this, Cached.bgRead<Prices>({ key: "prices", interval: "5 seconds" })).pipe(
    Layer.provide(RedisLive)
  )
}

const router = HttpRouter.empty.pipe(
  HttpRouter.get(
    "/prices",
    Effect.gen(function* () {
      const prices = yield* yield* CurrentPrices
      return Option.match(prices, {
        onNone: () => HttpServerResponse.empty({ status: 503 }),
        onSome: (prices) => HttpServerResponse.unsafeJson(prices)
      })
    })
  )
)

const beWeb = Effect.gen(function* () {
  yield* HttpServer.serveEffect(router)
  const { address } = yield* HttpServer.HttpServer
  yield* Child.serve({
    port: () => Effect.succeed(address._tag === "TcpAddress" ? address.port : 0)
  })
}).pipe(
  Effect.scoped,
  Effect.provide(
    Layer.merge(
      NodeHttpServer.layer(() => createServer(), { host: "127.0.0.1", port: 0 }),
      CurrentPrices.Live
    )
  )
)

// ------------------------------------------------------------------------------------------------------------ the tour

type WorkerCommands = {
  readonly leads: () => Effect.Effect<boolean>
  readonly runs: () => Effect.Effect<number>
}
type WebCommands = { readonly port: () => Effect.Effect<number> }

interface Worker extends Child.Child<WorkerCommands> {
  readonly name: string
}

/** A web process as the visitor sees it; mutable by design. */
interface Site {
  readonly name: string
  readonly pid: number
  readonly port: number
  last: Prices | undefined
}

const seconds = (millis: number): string => `${(millis / 1000).toFixed(2)} s`

/** Milliseconds on a clock that never jumps. */
const clock = Effect.sync(() => Number(process.hrtime.bigint()) / 1e6)

const tour = Effect.fn("tour")(function* (url: string, own: RedisServer.Service | undefined) {
  let begin = 0
  let requests = 0
  let failures = 0
  let slowest = 0

  const say = (who: string, what: string) =>
    Effect.flatMap(clock, (now) => Console.log(`  ${seconds(now - begin).padStart(7)}   ${who.padEnd(8)}   ${what}`))
  const start = <C extends Child.Commands>(...args: ReadonlyArray<string>) =>
    Child.start<C>(fileURLToPath(import.meta.url), { args, env: { REDIS_URL: url } })
  const startWorker = (name: string) =>
    Effect.map(start<WorkerCommands>("worker", name), (child): Worker => ({ ...child, name }))
  const startWeb = (name: string) =>
    Effect.gen(function* () {
      const child = yield* start<WebCommands>("web")
      return { name, pid: child.pid, port: yield* child.ask("port"), last: undefined } as Site
    })
  const until = (what: string, is: Effect.Effect<boolean>) =>
    is.pipe(
      Effect.repeat({ until: (holds) => holds, schedule: Schedule.spaced("5 millis") }),
      Effect.timeoutFail({
        duration: "10 seconds",
        onTimeout: () => new Refused({ message: `after 10 s this is still not true: ${what}` })
      })
    )

  yield* Console.log("effect-cached: one process writes, the others read their own memory\n")
  const [a, b, one, two] = yield* Effect.all([startWorker("A"), startWorker("B"), startWeb("1"), startWeb("2")], {
    concurrency: "unbounded"
  })
  begin = yield* clock
  const sites = [one, two]
  yield* Console.log(`Redis      ${new URL(url).host}, ${own === undefined ? "yours" : "started for this"}`)
  for (const { name, pid } of [a, b]) yield* Console.log(`Worker ${name}   process ${pid}`)
  for (const { name, pid } of sites) yield* Console.log(`Web ${name}      process ${pid}`)

  /** Sends one request to a web process, and waits 2 ms. */
  const visit = (site: Site) =>
    Effect.gen(function* () {
      const before = yield* clock
      const status = yield* Effect.promise(async () => {
        const response = await fetch(`http://127.0.0.1:${site.port}/prices`)
        if (response.status === 200) site.last = (await response.json()) as Prices
        return response.status
      }).pipe(Effect.catchAllDefect(() => Effect.succeed(0)))
      slowest = Math.max(slowest, (yield* clock) - before)
      requests++
      if (status !== 200) failures++
      yield* Effect.sleep("2 millis")
    })
  const shows = (name: string) => Effect.sync(() => sites.every(({ last }) => last?.by === name))
  /** Prints and resets the counts of requests and failures. */
  const account = Effect.suspend(() => {
    const line = `  ${Print.count(requests, "request")}, ${Print.count(failures, "failure")}.`
    requests = 0
    failures = 0
    return Console.log(line)
  })
  const leaderOf = (workers: readonly [Worker, Worker]) =>
    Effect.gen(function* () {
      const leads = yield* Effect.forEach(workers, (worker) => worker.ask("leads"))
      return leads[0] ? workers : ([workers[1], workers[0]] as const)
    })

  yield* Print.heading("1. One computes", "Both workers could compute the prices every 200 ms. One of them leads.")
  yield* until(
    "a worker leads",
    Effect.map(Effect.all([a.ask("leads"), b.ask("leads")]), (leads) => leads.includes(true))
  )
  const [leader, other] = yield* leaderOf([a, b])
  yield* say(`Worker ${leader.name}`, "leads")
  // before the first value a web process answers 503; counting begins after that
  for (const site of sites)
    yield* until(
      `web ${site.name} has prices`,
      Effect.map(visit(site), () => site.last !== undefined)
    )
  failures = 0
  requests = 0
  const traffic = yield* Effect.forkScoped(
    Effect.forEach(sites, (site) => Effect.forever(visit(site)), { concurrency: "unbounded", discard: true })
  )
  yield* until("both serve the leader's prices", shows(leader.name))
  yield* Effect.sleep("500 millis")
  for (const { last, name } of sites) {
    yield* say(`Web ${name}`, `serves run ${last!.run} of worker ${last!.by}`)
  }
  yield* say(`Worker ${other.name}`, `stands by, and has computed ${yield* other.ask("runs")} times`)
  yield* account

  yield* Print.heading("2. The leader is killed", `The lease is ${Print.time(lease)}. Requests go on.`)
  yield* say(`Worker ${leader.name}`, "is killed")
  const killed = yield* clock
  yield* leader.signal("SIGKILL")
  yield* until(`worker ${other.name} leads`, other.ask("leads"))
  yield* say(`Worker ${other.name}`, `leads, ${seconds((yield* clock) - killed)} after the kill`)
  yield* until(`both serve the prices of worker ${other.name}`, shows(other.name))
  for (const { last, name } of sites) {
    yield* say(`Web ${name}`, `serves run ${last!.run} of worker ${last!.by}`)
  }
  yield* account

  yield* Fiber.interrupt(traffic)
  yield* Console.log(`\nThe slowest request took ${Print.time(Duration.millis(slowest))}.`)
})

// ------------------------------------------------------------------------------------------------------------- the run

const [role, name] = process.argv.slice(2)

runMain(role === "worker" ? beWorker(name!) : role === "web" ? beWeb : onRedis(tour))
