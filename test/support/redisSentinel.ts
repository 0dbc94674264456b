/**
 * A real master, its replica, and three sentinels that watch them, which run until a scope closes.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Redis } from "ioredis"
import { freePort } from "./ports.js"
import { awaitUntil, isGone, RedisServer, spawnServer } from "./redis.js"

export interface RedisSentinels {
  readonly name: string
  /** The two servers. The first one is the master at the beginning. */
  readonly servers: readonly [RedisServer.Service, RedisServer.Service]
  readonly sentinels: ReadonlyArray<{ readonly host: string; readonly port: number; readonly client: Redis }>
  /** The port of the master that the first sentinel names. */
  readonly masterPort: Effect.Effect<number>
  /** Waits until all sentinels name this server and it is a master. */
  readonly isMaster: (server: RedisServer.Service) => Effect.Effect<void>
  /** Makes the other server follow this one, sooner than the sentinels would, and waits until it does. */
  readonly isFollowed: (server: RedisServer.Service) => Effect.Effect<void>
  /** Runs SENTINEL FAILOVER: a master that is well steps down. */
  readonly failover: Effect.Effect<void>
}

const host = "127.0.0.1"

const startSentinel = (name: string, master: number, quorum: number) =>
  Effect.gen(function* () {
    const dir = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-sentinel-"))),
      (dir) => Effect.sync(() => fs.rmSync(dir, { recursive: true, force: true }))
    )
    const spawnOn = (port: number) =>
      Effect.suspend(() => {
        const file = path.join(dir, "sentinel.conf")
        fs.writeFileSync(
          file,
          [
            `port ${port}`,
            `bind ${host}`,
            `dir ${dir}`,
            `sentinel monitor ${name} ${host} ${master} ${quorum}`,
            `sentinel down-after-milliseconds ${name} 500`,
            `sentinel failover-timeout ${name} 3000`,
            `sentinel parallel-syncs ${name} 1`
          ].join("\n")
        )
        return spawnServer(`sentinel on port ${port}`, [file, "--sentinel"], dir, "+monitor master")
      })
    const start = Effect.flatMap(freePort, (port) => Effect.map(spawnOn(port), (child) => ({ port, child })))
    const { port } = yield* Effect.acquireRelease(Effect.orDie(Effect.retry(start, { times: 3 })), ({ child }) =>
      Effect.async<void>((resume) => {
        if (isGone(child)) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGKILL")
      })
    )
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => new Redis({ host, port, maxRetriesPerRequest: null }).on("error", () => {})),
      (client) => Effect.sync(() => client.disconnect())
    )
    return { host, port, client }
  })

export const makeSentinels: Effect.Effect<RedisSentinels, never, Scope.Scope> = Effect.gen(function* () {
  const name = "mymaster"
  const args = ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]
  const first = yield* RedisServer.make({ args })
  const second = yield* RedisServer.make({ args: [...args, "--replicaof", `${host} ${first.port}`] })
  const isFollowed = (server: RedisServer.Service) =>
    awaitUntil(
      Effect.map(server.info("replication"), (info) => (info.slave0 ?? "").includes("state=online")),
      "the replica follows"
    )
  yield* isFollowed(first)
  const follow = (server: RedisServer.Service) =>
    Effect.promise(() => (server === first ? second : first).client.replicaof(host, server.port))
  const sentinels = yield* Effect.all(
    Array.from({ length: 3 }, () => startSentinel(name, first.port, 2)),
    { concurrency: "unbounded" }
  )
  const ask = (client: Redis, ...args: Array<string>) =>
    Effect.promise(() => client.call("SENTINEL", ...args).catch(() => undefined))
  const masterOf = (client: Redis) =>
    Effect.map(ask(client, "GET-MASTER-ADDR-BY-NAME", name), (answer) => Number((answer as Array<string>)?.[1]))
  for (const { client } of sentinels) {
    yield* awaitUntil(
      Effect.map(ask(client, "MASTER", name), (answer) => {
        const fields = answer as Array<string>
        const field = (key: string) => fields?.[fields.indexOf(key) + 1]
        return field("num-other-sentinels") === "2" && field("num-slaves") === "1"
      }),
      "the sentinels know each other and the replica"
    )
  }
  const masterPort = masterOf(sentinels[0]!.client)
  return {
    name,
    servers: [first, second],
    sentinels,
    masterPort,
    isFollowed: (server) => Effect.zipRight(follow(server), isFollowed(server)),
    isMaster: (server) =>
      awaitUntil(
        Effect.gen(function* () {
          for (const { client } of sentinels) if ((yield* masterOf(client)) !== server.port) return false
          return (yield* server.info("replication")).role === "master"
        }),
        "there is a new master",
        15_000
      ),
    failover: Effect.suspend(() =>
      awaitUntil(
        Effect.map(ask(sentinels[0]!.client, "FAILOVER", name), (answer) => answer === "OK"),
        "a failover begins"
      )
    )
  }
})
