/** A value that was set but not delivered, while Redis loses what came after it. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, type Scope } from "effect"
import * as FileCache from "../../../src/FileCache.js"
import { type Backend, Cached, CacheStore, MemoryCache, TieredCache } from "../../../src/index.js"
import * as RedisCache from "../../../src/RedisCache.js"
import * as ChaosCache from "../../../src/testing/ChaosCache.js"
import { recordWarnings } from "../../laws/support.js"
import { awaitUntil, RedisServer } from "../../support/redis.js"
import { type Node, nodeOf } from "../../support/redis-nodes.js"

const minutes = { ttl: "10 minutes" } as const

type Backends = (redis: Backend.Backend, directory: string) => Effect.Effect<CacheStore.Service, never, Scope.Scope>

const worlds: Record<string, Backends> = {
  Redis: (redis) => CacheStore.make(redis),
  "memory over Redis": (redis) =>
    TieredCache.make({ tiers: [{ backend: MemoryCache.backend() }, { backend: Effect.succeed(redis) }] }),
  "memory over Redis over files": (redis, directory) =>
    TieredCache.make({
      tiers: [
        { backend: MemoryCache.backend() },
        { backend: Effect.succeed(redis) },
        { backend: FileCache.backend({ directory, marksEvery: "above" }) }
      ]
    }).pipe(Effect.provide(NodeContext.layer))
}

const find = Cached.ttl((id: string) => Effect.succeed(`loaded ${id}`), {
  key: "k:{}",
  ...minutes,
  tags: ["t"]
})

/** What another process does later, and whether a mark is left of it: a loss of the count alone is not noticed. */
const later: Record<string, readonly [act: (node: Node) => Effect.Effect<unknown>, hasMark: boolean]> = {
  clear: [({ store }) => store.clear, true],
  "clear of the function": [({ run }) => run(find.clear), true],
  "a tag": [({ store }) => store.tags.invalidate(["t"]), true],
  invalidate: [({ run }) => run(find.invalidate("a")), false],
  set: [({ run }) => run(find.set("a")("later")), false]
}

// concurrent, because each test mostly waits for a server of its own
describe("undelivered", { concurrent: true }, () => {
  for (const [world, make] of Object.entries(worlds)) {
    for (const [what, [act, hasMark]] of Object.entries(later)) {
      for (const loses of hasMark ? [false, true] : [false]) {
        it.scopedLive(
          `law 8: invalidation wins - ${world}: ${what} of another process, which came later${loses ? ", and Redis loses everything" : ""}`,
          () =>
            Effect.gen(function* () {
              const { client, url } = yield* RedisServer.make()
              const directory = yield* Effect.acquireRelease(
                Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-undelivered-"))),
                (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
              )
              const { backend, chaos } = yield* ChaosCache.make(yield* RedisCache.backend({ url }))
              const first = nodeOf(yield* make(backend, directory))
              const second = nodeOf(yield* make(yield* RedisCache.backend({ url }), directory))
              for (const { store } of [first, second]) {
                yield* awaitUntil(
                  Effect.map(Effect.zipRight(store.get("probe"), store.health), ({ status }) => status === "up"),
                  "connected"
                )
              }
              yield* Effect.sleep("200 millis")
              yield* chaos.begin({ fail: 1 }, ["setMany"])
              yield* first.run(find.set("a")("old"))
              assert.isAbove((yield* first.store.health).undelivered, 0)
              yield* Effect.sleep("20 millis")
              yield* act(second)
              yield* Effect.sleep("100 millis")
              if (loses) yield* Effect.promise(() => client.flushall())
              yield* chaos.calm
              yield* awaitUntil(
                Effect.map(first.store.health, ({ undelivered }) => undelivered === 0),
                "delivered"
              )
              yield* Effect.sleep("100 millis")
              for (const { run } of [second, first]) {
                const value = yield* run(find("a"))
                assert.notStrictEqual(value, "old")
              }
              assert.notStrictEqual(Option.getOrUndefined(yield* second.store.get(find.key("a"))), "old")
            }).pipe(Effect.provide(recordWarnings().layer)),
          60_000
        )
      }
    }
  }
})
