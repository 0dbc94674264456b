/**
 * How long does it take until another process leads after the leader of `Cached.bgWrite` is cut off, or closed?
 */
import { Effect, Exit, Fiber, Logger, LogLevel, Scope } from "effect"
import { Cached, type CacheStore } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import { awaitUntil, RedisServer, TcpProxy } from "../test/support/redis.js"
import { now, type Section, section, table } from "./support/harness.js"
import { columns, on, spread } from "./support/stores.js"

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
            on(store)(
              Cached.bgWrite(Effect.succeed(1), {
                key: `k${lease}`,
                name: "leader",
                interval: "1 minute",
                leader: { lease }
              })
            ),
            scope
          )
        const first = yield* Scope.make()
        const leader = yield* worker(a, first)
        yield* awaitUntil(leader.leads, "the first leads")
        const other = yield* worker(b, scope)
        // Ends the leader at different moments between two renewals.
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
      [500, "cut off", 8],
      [2_000, "cut off", 4],
      [2_000, "closed", 8]
    ] as const) {
      const times: Array<number> = []
      for (let i = 0; i < rounds; i++) times.push(yield* round(lease, end, i))
      rows.push([`leader ${end}, lease ${lease} ms (${rounds} times)`, ...spread(times)])
    }
    yield* table(title, rows)
    // The benchmark itself cuts connections, so the warnings about that are not printed.
  }).pipe(Logger.withMinimumLogLevel(LogLevel.None))

export const failovers: ReadonlyArray<Section> = [section("failover of a writer", failover)]
