/** The mirror of `Cached.bgRead`: what a read costs, how long a write is on its way to it, how long a failover takes. */
import { Effect, Exit, Fiber, Logger, LogLevel, ManagedRuntime, Option, Scope, Stream } from "effect"
import { Cached, CacheStore, MemoryCache } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import { Redis } from "ioredis"
import { awaitUntil, RedisServer, TcpProxy } from "../test/support/redis.js"
import { type Contender, check, report, type Section, section, table } from "./harness.js"

const now = (): number => Number(process.hrtime.bigint()) / 1e6

/** p50, p99 and the most of some times */
const spread = (times: ReadonlyArray<number>): ReadonlyArray<string> => {
  const sorted = [...times].sort((a, b) => a - b)
  return [0.5, 0.99, 1].map((q) => {
    const millis = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!
    return `${millis.toFixed(2)} ms`
  })
}

const columns = ["p50", "p99", "most"]

const on =
  (store: CacheStore.Service) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provideService(effect, CacheStore, store)

const reading = (title: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const runtime = ManagedRuntime.make(MemoryCache.layer())
    yield* Effect.addFinalizer(() => Effect.promise(() => runtime.dispose()))
    const inside = <A>(effect: Effect.Effect<A, never, CacheStore>) => Effect.promise(() => runtime.runPromise(effect))
    const cached = Cached.ttl(Effect.succeed(42), { key: "k", ttl: "1 hour" })
    yield* inside(cached)
    const reader = yield* inside(Scope.extend(Cached.bgRead<number>({ key: "k" }), yield* Effect.scope))
    yield* check("the mirror", Option.getOrUndefined(yield* reader), 42)
    const map = new Map([["k", 42]])
    const operations = 100_000
    const contender = (name: string, effect: Effect.Effect<unknown, never, CacheStore>): Contender => ({
      name,
      operations,
      run: Effect.succeed(
        inside(
          Effect.gen(function* () {
            for (let i = 0; i < operations; i++) yield* effect
          })
        )
      )
    })
    const floor = "floor: suspend(() => succeed(map.get(k)))"
    yield* report({
      title,
      floor,
      bounds: { "Cached.bgRead": 1 },
      clock: "cpu",
      rounds: 21,
      contenders: [
        contender(
          floor,
          Effect.suspend(() => Effect.succeed(map.get("k")))
        ),
        contender("Cached.bgRead", reader),
        contender("Effect.succeed", Effect.succeed(42)),
        contender("Cached.ttl, a hit in memory", cached)
      ]
    })
  })

/** two stores with connections of their own, in one process: the writer's turn and the reader's are in the times, too */
const propagation = (title: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { url } = yield* RedisServer.make()
    const [writer, web] = yield* Effect.all([RedisCache.make({ url }), RedisCache.make({ url })])
    const reader = yield* on(web)(Cached.bgRead<number>({ key: "k", interval: "1 hour" }))
    const [publisher, subscriber] = yield* Effect.acquireRelease(
      Effect.sync(() => [new Redis(url), new Redis(url)] as const),
      (both) => Effect.sync(() => void both.map((one) => one.disconnect()))
    )
    const arrived = new Map<number, number>()
    yield* Effect.forkScoped(
      Stream.runForEach(reader.changes, (value) => Effect.sync(() => void arrived.set(value, now())))
    )
    subscriber.on("message", (_, text: string) => arrived.set(-Number(text), now()))
    yield* Effect.promise(() => subscriber.subscribe("bare"))
    yield* writer.set("k", 0, { ttl: "1 hour" })
    yield* reader.ready
    yield* Effect.sleep("200 millis")
    const timed = (id: number, send: Effect.Effect<unknown>) =>
      Effect.gen(function* () {
        const begun = now()
        yield* send
        yield* awaitUntil(
          Effect.sync(() => arrived.has(id)),
          `${id} has arrived`
        )
        return arrived.get(id)! - begun
      })
    const writes = 1_000
    const bare: Array<number> = []
    const mirrored: Array<number> = []
    for (let i = 1; i <= writes; i++) {
      bare.push(
        yield* timed(
          -i,
          Effect.promise(() => publisher.publish("bare", String(i)))
        )
      )
      mirrored.push(yield* timed(i, writer.set("k", i, { ttl: "1 hour" })))
    }
    yield* table(title, [
      [`${writes} times, one after the other`, ...columns],
      ["bare PUBLISH, to the subscriber", ...spread(bare)],
      ["set, to the mirror", ...spread(mirrored)]
    ])
  })

const failover = (title: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const server = yield* RedisServer.make()
    const proxy = yield* TcpProxy.make(server.port)
    const a = yield* RedisCache.make({ url: proxy.url })
    const b = yield* RedisCache.make({ url: server.url })
    const round = (lease: number, end: "cut off" | "closed", i: number) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const worker = (store: CacheStore.Service, scope: Scope.Scope) =>
          Scope.extend(
            on(store)(Cached.bgWrite(Effect.succeed(1), { key: `k${lease}`, interval: "1 minute", leader: { lease } })),
            scope
          )
        const first = yield* Scope.make()
        const leader = yield* worker(a, first)
        yield* awaitUntil(leader.leads, "the first leads")
        const other = yield* worker(b, scope)
        // at any moment between two renewals
        yield* Effect.sleep(100 + ((i * 37) % 100) * (lease / 100))
        const begun = now()
        const led = yield* Effect.fork(
          Effect.map(Effect.repeat(Effect.delay(other.leads, 1), { until: (leads) => leads }), now)
        )
        if (end === "closed") yield* Scope.close(first, Exit.void)
        else {
          yield* proxy.refuse
          yield* proxy.cut
        }
        const took = (yield* Fiber.join(led)) - begun
        yield* proxy.restore
        yield* awaitUntil(
          Effect.map(a.health, ({ status }) => status === "up"),
          "the first is back"
        )
        yield* Scope.close(first, Exit.void)
        yield* Scope.close(scope, Exit.void)
        return took
      }).pipe(Effect.orDie)
    const rows: Array<ReadonlyArray<string>> = [["", ...columns]]
    for (const [lease, end, rounds] of [
      [500, "cut off", 20],
      [2_000, "cut off", 10],
      [2_000, "closed", 20]
    ] as const) {
      const times: Array<number> = []
      for (let i = 0; i < rounds; i++) times.push(yield* round(lease, end, i))
      rows.push([`leader ${end}, lease ${lease} ms (${rounds} times)`, ...spread(times)])
    }
    yield* table(title, rows)
    // that connections are lost and found is what is done to them
  }).pipe(Logger.withMinimumLogLevel(LogLevel.None))

export const readers: ReadonlyArray<Section> = [
  section("read of a mirror", reading),
  section("from a write to the mirror", propagation),
  section("failover of a writer", failover)
]
