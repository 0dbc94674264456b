/**
 * Clocks that step or drift while processes run: that of the server, and those of the processes. Whatever they show, the later
 * write wins, what was invalidated does not come back, and values stay cached.
 */

import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Option, Schedule, type Scope } from "effect"
import { Cached, type CacheStore, MemoryCache, TieredCache } from "effect-cached"
import * as FileCache from "effect-cached/FileCache"
import * as RedisCache from "effect-cached/RedisCache"
import { awaitUntil, live, RedisServer } from "../../support/redis.js"
import { type Node, nodeOf } from "../../support/redis-nodes.js"
import { makeCluster } from "../../support/redisCluster.js"
import * as ServerClock from "../../support/serverClock.js"

interface Setting {
  /** Opens one more store, as another process does. */
  readonly open: Effect.Effect<Node, never, Scope.Scope>
  /** Sets the clock of the server, of all servers of a cluster. */
  readonly step: (millis: number) => void
  /** Cuts all connections to the server. */
  readonly reconnect: Effect.Effect<void>
  /** Whether copies in memory follow the notifications of others. */
  readonly hasCopies: boolean
}

/** Waits until a store is connected and receives notifications. */
const connected = ({ store }: Node) =>
  awaitUntil(
    Effect.map(
      Effect.zipRight(store.get("probe"), store.health),
      ({ coherent, status }) => status === "up" && coherent
    ),
    "the store is connected"
  )

/** Opens a store, and waits until it is connected and receives notifications. */
const opened = (store: Effect.Effect<CacheStore.Service, never, Scope.Scope>) =>
  Effect.gen(function* () {
    const node = nodeOf(yield* live(store))
    yield* connected(node)
    return node
  })

const killClients = ({ client }: RedisServer.Service) =>
  Effect.promise(async () => {
    for (const type of ["normal", "pubsub"]) await client.call("CLIENT", "KILL", "TYPE", type, "SKIPME", "yes")
  })

const single = (
  hasCopies: boolean,
  make: (url: string, directory: string) => Effect.Effect<CacheStore.Service, never, Scope.Scope>
): Effect.Effect<Setting, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* ServerClock.make
    const redis = yield* RedisServer.make({ env: clock.env })
    const directory = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-clocks-"))),
      (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
    )
    return {
      open: opened(make(redis.url, directory)),
      step: clock.set,
      reconnect: killClients(redis),
      hasCopies
    }
  })

const cluster: Effect.Effect<Setting, never, Scope.Scope> = Effect.gen(function* () {
  const clock = yield* ServerClock.make
  const { addresses, masters } = yield* makeCluster({ env: clock.env })
  return {
    open: opened(RedisCache.make({ cluster: addresses.map(({ host, port }) => `redis://${host}:${port}`) })),
    step: clock.set,
    reconnect: Effect.forEach(masters, killClients, { discard: true }),
    hasCopies: false
  }
})

const settings: Record<string, Effect.Effect<Setting, never, Scope.Scope>> = {
  "plain Redis": single(false, (url) => RedisCache.make({ url })),
  "memory over Redis": single(true, (url) => RedisCache.makeHybrid({ l2: { url } })),
  "memory over Redis over files": single(true, (url, directory) =>
    TieredCache.make({
      tiers: [
        { backend: MemoryCache.backend() },
        { backend: RedisCache.backend({ url }) },
        { backend: FileCache.backend({ directory, marksEvery: "above" }) }
      ]
    }).pipe(Effect.provide(NodeContext.layer))
  ),
  "a cluster": cluster
}

const find = () => {
  let loads = 0
  const fn = Cached.ttl((_: string) => Effect.sync(() => `load ${++loads}`), {
    key: "k:{}",
    ttl: "10 minutes",
    tags: (_, id) => [`tag:${id}`]
  })
  return { fn, loads: () => loads }
}

/** What two processes do one after the other, and what both must read then. */
const rounds: Record<
  string,
  (
    key: string,
    first: Node,
    second: Node
  ) => Effect.Effect<readonly [what: string, isRight: (value: string) => boolean]>
> = {
  "set, then set": (key, first, second) =>
    Effect.gen(function* () {
      const { fn } = find()
      yield* first.run(fn.set(key)("first"))
      yield* second.run(fn.set(key)("second"))
      return ["the second", (value: string) => value === "second"] as const
    }),
  "set, then invalidate": (key, first, second) =>
    Effect.gen(function* () {
      const { fn } = find()
      yield* first.run(fn.set(key)("first"))
      yield* second.run(fn.invalidate(key))
      return ["a new load", (value: string) => value.startsWith("again")] as const
    }),
  "load, then invalidate": (key, first, second) =>
    Effect.gen(function* () {
      const { fn } = find()
      yield* first.run(fn(key))
      yield* first.written
      yield* second.run(fn(key))
      yield* second.run(fn.invalidate(key))
      return ["a new load", (value: string) => value.startsWith("again")] as const
    }),
  "load, then a tag": (key, first, second) =>
    Effect.gen(function* () {
      const { fn } = find()
      yield* first.run(fn(key))
      yield* first.written
      yield* second.run(Cached.invalidateTags([`tag:${key}`]))
      return ["a new load", (value: string) => value.startsWith("again")] as const
    }),
  "load, then clear": (key, first, second) =>
    Effect.gen(function* () {
      const { fn } = find()
      yield* first.run(fn(key))
      yield* first.written
      yield* second.store.clear
      return ["a new load", (value: string) => value.startsWith("again")] as const
    })
}

const steps: ReadonlyArray<readonly [name: string, millis: number]> = [
  ["1.5 s forth", 1_500],
  ["5 s forth", 5_000],
  ["40 s forth", 40_000],
  ["1 s back", -1_000],
  ["10 s back", -10_000]
]

/** The processes before and after a step: one that was connected before it, and one that connects after it. */
const acrossStep = (setting: Setting, millis: number, reconnects: boolean) =>
  Effect.gen(function* () {
    const before = yield* setting.open
    yield* before.run(find().fn("warm"))
    setting.step(millis)
    if (reconnects) yield* setting.reconnect
    const after = yield* setting.open
    yield* connected(before)
    return { before, after }
  })

/** Two processes act one after the other, in each order, and both must read the right value. */
const agree = (before: Node, after: Node) =>
  Effect.gen(function* () {
    const again = Cached.ttl((id: string) => Effect.sync(() => `again ${id}`), {
      key: "k:{}",
      ttl: "10 minutes",
      tags: (_, id) => [`tag:${id}`]
    })
    for (const [round, act] of Object.entries(rounds)) {
      for (const [order, first, second] of [
        ["the old process first", before, after],
        ["the new process first", after, before],
        ["the old process alone", before, before]
      ] as const) {
        const key = `${round}, ${order}`
        const [what, isRight] = yield* act(key, first, second)
        for (const node of [second, first]) {
          yield* awaitUntil(Effect.map(node.run(again(key)), isRight), `both read ${what}: ${key}`, 1_500)
        }
      }
    }
  })

const drifts: ReadonlyArray<readonly [name: string, rate: number]> = [
  ["runs three times as fast", 2],
  ["runs at half the speed", -0.5],
  ["runs backwards", -2]
]

/** Lets the server's clock gain so many milliseconds in each one, until the scope closes. */
const drift = (setting: Setting, rate: number) =>
  Effect.gen(function* () {
    const start = yield* Clock.currentTimeMillis
    const set = Effect.map(Clock.currentTimeMillis, (now) => setting.step(Math.round((now - start) * rate)))
    yield* Effect.forkScoped(Effect.repeat(set, Schedule.spaced("5 millis")))
  })

describe("clocks", () => {
  for (const [name, make] of Object.entries(settings)) {
    describe(name, () => {
      for (const [step, millis] of steps) {
        for (const reconnects of millis === 5_000 || millis === -10_000 ? [false, true] : [false]) {
          it.scopedLive(
            `law 8: invalidation wins - the server's clock steps ${step}${reconnects ? ", and all connect again" : ""}`,
            () =>
              Effect.gen(function* () {
                const { after, before } = yield* acrossStep(yield* make, millis, reconnects)
                yield* agree(before, after)
              }),
            120_000
          )
        }

        if (Math.abs(millis) < 10_000) continue
        it.scopedLive(`values stay cached - the server's clock steps ${step}`, () =>
          Effect.gen(function* () {
            const { after, before } = yield* acrossStep(yield* make, millis, false)
            for (const node of [before, after]) {
              const { fn, loads } = find()
              const key = node === before ? "before" : "after"
              for (let i = 0; i < 10; i++) {
                yield* node.run(fn(key))
                yield* node.written
              }
              assert.strictEqual(loads(), 1, `loads of the process that connected ${key} the step`)
            }
          })
        )
      }

      for (const [name, rate] of drifts) {
        it.scopedLive(
          `law 8: invalidation wins - the server's clock ${name}`,
          () =>
            Effect.gen(function* () {
              const setting = yield* make
              const before = yield* setting.open
              yield* drift(setting, rate)
              yield* before.run(find().fn("warm"))
              const after = yield* setting.open
              for (let round = 0; round < 3; round++) {
                yield* agree(before, after)
                // the keys are the same in each round
                yield* before.store.clear
              }
              const { fn, loads } = find()
              for (let i = 0; i < 10; i++) {
                yield* after.run(fn("kept"))
                yield* after.written
              }
              assert.strictEqual(loads(), 1, "values stay cached")
            }),
          120_000
        )
      }

      it.scopedLive("a mirror - follows its writer through steps of the server's clock", () =>
        Effect.gen(function* () {
          const setting = yield* make
          const [writer, reader] = [yield* setting.open, yield* setting.open]
          let written = 0
          const flags = { key: "flags", ttl: "3 seconds" } as const
          yield* writer.run(
            Cached.bgWrite(
              Effect.sync(() => ++written),
              { ...flags, interval: "200 millis" }
            )
          )
          const mirror = yield* reader.run(Cached.bgRead<number>({ ...flags }))
          for (const millis of [0, 40_000, -5_000]) {
            setting.step(millis)
            const now = written
            yield* awaitUntil(
              Effect.map(
                mirror,
                Option.exists((value) => value > now)
              ),
              `the mirror shows a value from after the step to ${millis} ms`
            )
          }
        })
      )
    })
  }
})
