/**
 * The stores that programs run on: what the processes of a program share, and how each opens its own store.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { NodeContext } from "@effect/platform-node"
import { Effect, type Scope } from "effect"
import { type CacheStore, MemoryCache, TieredCache } from "effect-cached"
import * as FileCache from "effect-cached/FileCache"
import * as RedisCache from "effect-cached/RedisCache"
import { RedisServer, TcpProxy } from "../support/redis.js"
import { makeCluster } from "../support/redisCluster.js"
import type * as Random from "./random.js"

/** How long notifications may be missing before a process stops trusting its copies. */
export const blindTtl = 500

const timeout = 200

/** The server that all processes share, and the network of each. */
export interface Shared {
  readonly redis: RedisServer.Service
  readonly networks: ReadonlyArray<TcpProxy.TcpProxy>
}

export interface World {
  /** Opens the store of a process. */
  readonly open: (process: number) => Effect.Effect<CacheStore.Service, never, Scope.Scope>
  readonly shared: Shared | undefined
}

export interface Kind {
  readonly name: string
  readonly processes: number
  readonly isRemote: boolean
  /** Whether the server and the networks can be broken. */
  readonly hasFaults: boolean
  /** Whether processes keep copies in memory, which follow the notifications of others. */
  readonly isNotified: boolean
  /** Whether a tier that is slower than Redis has entries, too: from loads that Redis, being away, did not get. */
  readonly hasSlowerTier?: boolean
  readonly make: (random: Random.Random, env?: RedisServer.Options["env"]) => Effect.Effect<World, never, Scope.Scope>
}

const share = (processes: number, env: RedisServer.Options["env"]): Effect.Effect<Shared, never, Scope.Scope> =>
  Effect.gen(function* () {
    const redis = yield* RedisServer.make({ env })
    const networks = yield* Effect.forEach(Array.from({ length: processes }), () => TcpProxy.make(redis.port))
    return { redis, networks }
  })

const redisOptions = ({ networks }: Shared, process: number) => ({
  url: networks[process]!.url,
  timeout,
  connectTimeout: 1_000
})

/** One process, with a bound that evicts entries in some programs. */
export const memory: Kind = {
  name: "memory",
  processes: 1,
  isRemote: false,
  hasFaults: false,
  isNotified: false,
  make: (random) => {
    const capacity = random.pick([1_000, 8])
    return Effect.succeed({ open: () => MemoryCache.make({ capacity }), shared: undefined })
  }
}

export const redis: Kind = {
  name: "Redis",
  processes: 3,
  isRemote: true,
  hasFaults: true,
  isNotified: false,
  make: (_, env) =>
    Effect.map(share(3, env), (shared) => ({
      open: (process) => RedisCache.make(redisOptions(shared, process)),
      shared
    }))
}

export const hybrid: Kind = {
  name: "memory and Redis",
  processes: 3,
  isRemote: true,
  hasFaults: true,
  isNotified: true,
  make: (random, env) =>
    Effect.map(share(3, env), (shared) => {
      const l1 = random.pick([{}, {}, {}, { ttl: 100 }, { capacity: 8 }])
      return {
        open: (process) => RedisCache.makeHybrid({ blindTtl, l1, l2: redisOptions(shared, process) }),
        shared
      }
    })
}

export const threeTiers: Kind = {
  name: "memory, Redis and files",
  processes: 3,
  isRemote: true,
  hasFaults: true,
  isNotified: true,
  hasSlowerTier: true,
  make: (_, env) =>
    Effect.gen(function* () {
      const shared = yield* share(3, env)
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-model-"))),
        (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
      )
      return {
        open: (process) =>
          TieredCache.make({
            blindTtl,
            tiers: [
              { backend: MemoryCache.backend() },
              { backend: RedisCache.backend(redisOptions(shared, process)) },
              { backend: FileCache.backend({ directory, marksEvery: "above", timeout: "1 second" }) }
            ]
          }).pipe(Effect.provide(NodeContext.layer)),
        shared
      }
    })
}

export const cluster: Kind = {
  name: "a cluster",
  processes: 3,
  isRemote: true,
  hasFaults: false,
  isNotified: false,
  make: (_, env) =>
    Effect.map(makeCluster({ env }), ({ addresses }) => {
      const nodes = addresses.map(({ host, port }) => `redis://${host}:${port}`)
      return { open: () => RedisCache.make({ cluster: nodes, timeout }), shared: undefined }
    })
}

export const all: ReadonlyArray<Kind> = [memory, redis, hybrid, threeTiers]

/** The stores with a server, whose clock can be set. */
export const withServer: ReadonlyArray<Kind> = [redis, hybrid, threeTiers, cluster]
