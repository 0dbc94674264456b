/**
 * A machine that is suspended for an hour while something is pending: its clock jumps forward, tombstones and leases end,
 * and what was pending goes on. What others did meanwhile wins.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it, vi } from "@effect/vitest"
import { Deferred, Effect, Fiber, Logger, LogLevel, Option, type Scope } from "effect"
import { Cached, type CacheStore, TieredCache } from "effect-cached"
import * as FileCache from "effect-cached/FileCache"
import * as RedisCache from "effect-cached/RedisCache"
import { awaitUntil, live, RedisServer } from "../support/redis.js"
import { type Node, nodeOf } from "../support/redis-nodes.js"

const hour = 3_600_000
const forLong = { ttl: "1 day" } as const

interface World {
  readonly open: Effect.Effect<Node, never, Scope.Scope>
  /** An hour passes for what is shared: its tombstones and locks end. */
  readonly pass: Effect.Effect<void>
  readonly redis: RedisServer.Service | undefined
}

/** Sets the clock of this process forward by an hour until the scope closes. Its monotonic time stands still. */
const jump = Effect.acquireRelease(
  Effect.sync(() => {
    const real = Date.now
    return vi.spyOn(Date, "now").mockImplementation(() => real() + hour)
  }),
  (clock) => Effect.sync(() => clock.mockRestore())
)

const passInRedis = ({ client }: RedisServer.Service) =>
  Effect.promise(async () => {
    for (const key of await client.keys("ec1:*")) {
      if ((await client.type(key)) !== "string") continue
      const bytes = await client.getBuffer(key)
      if (bytes === null) continue // it has expired meanwhile
      if (key.endsWith(":count")) {
        const [count, ...rest] = bytes.toString().split(" ")
        await client.set(key, [Number(count) + hour, ...rest].join(" "))
      } else if ((bytes[0] === 0x45 && bytes[3] === 1) || key.includes("!lk")) await client.del(key)
    }
  })

const passInFiles = (directory: string) =>
  Effect.sync(() => {
    for (const name of fs.readdirSync(directory, { recursive: true, encoding: "utf8" })) {
      const file = path.join(directory, name)
      if (/[0-9a-f]{62}$/.test(name) && fs.readFileSync(file)[3] === 1) fs.rmSync(file)
    }
  })

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-asleep-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

const opened = (store: Effect.Effect<CacheStore.Service, never, Scope.Scope>) => Effect.map(live(store), nodeOf)

const onRedis = (make: (url: string, directory: string) => World["open"]) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer.make()
    const directory = yield* temporary
    return {
      open: make(redis.url, directory),
      pass: Effect.zipRight(passInRedis(redis), passInFiles(directory)),
      redis
    }
  })

const worlds: Record<string, Effect.Effect<World, never, Scope.Scope>> = {
  Redis: onRedis((url) => opened(RedisCache.make({ url }))),
  "memory over Redis": onRedis((url) => opened(RedisCache.makeHybrid({ l2: { url } }))),
  "Redis over files": onRedis((url, directory) =>
    opened(
      TieredCache.make({
        tiers: [{ backend: RedisCache.backend({ url }) }, { backend: FileCache.backend({ directory }) }]
      }).pipe(Effect.provide(NodeContext.layer))
    )
  ),
  files: Effect.map(temporary, (directory) => ({
    open: opened(FileCache.make({ directory, marksEvery: 0 }).pipe(Effect.provide(NodeContext.layer))),
    pass: passInFiles(directory),
    redis: undefined
  }))
}

/** A function over a database of one value. Its first load that waits ends when `wake` is called. */
const database = (lock: boolean) =>
  Effect.gen(function* () {
    const started = yield* Deferred.make<void>()
    const woken = yield* Deferred.make<void>()
    const state = { value: "old", waits: false }
    const find = Cached.ttl(
      (_: string) =>
        Effect.gen(function* () {
          const { value, waits } = state
          if (!waits) return value
          state.waits = false
          yield* Deferred.succeed(started, undefined)
          yield* Deferred.await(woken)
          return value
        }),
      {
        key: "k:{}",
        ...forLong,
        tags: ["t"],
        flightTimeout: "1 minute",
        ...(lock ? { lock: { lease: "30 seconds" } } : {})
      }
    )
    return { find, state, started: Deferred.await(started), wake: Deferred.succeed(woken, undefined) }
  })

const pending = [
  ["a load", (find: any) => find("a"), false],
  ["a refresh", (find: any) => find.refresh("a"), false],
  ["a load that holds the lock", (find: any) => find("a"), true]
] as const

describe("a machine that slept for an hour", () => {
  for (const [name, make] of Object.entries(worlds)) {
    for (const [what, begin, lock] of pending) {
      if (lock && name === "files") continue
      for (const [change, act] of [
        ["invalidate", (find: any) => find.invalidate("a")],
        ["a tag", () => Cached.invalidateTags(["t"])],
        ["set", (find: any) => find.set("a")("new")]
      ] as const) {
        it.scopedLive(
          `law 8: invalidation wins - ${what} is pending in ${name}, and another process does ${change}`,
          () =>
            Effect.gen(function* () {
              const { open, pass } = yield* make
              const [sleeper, other] = [yield* open, yield* open]
              const { find, started, state, wake } = yield* database(lock)
              state.waits = true
              const asleep = yield* Effect.fork(sleeper.run(begin(find)) as Effect.Effect<unknown>)
              yield* started
              state.value = "new"
              yield* other.run(act(find) as Effect.Effect<unknown, never, CacheStore>)
              yield* jump
              yield* pass
              yield* wake
              yield* Fiber.await(asleep)
              yield* Effect.sleep("50 millis")
              for (const node of [other, sleeper, yield* open]) {
                assert.strictEqual(yield* node.run(find("a")), "new")
              }
            }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
        )
      }
    }

    if (name === "files") continue
    it.scopedLive(`law 6: the store may fail, the caller may not - an invalidation is pending in ${name}`, () =>
      Effect.gen(function* () {
        const { open, pass, redis } = yield* make
        const [sleeper, other] = [yield* open, yield* open]
        const { find, state } = yield* database(false)
        yield* sleeper.run(find("a"))
        yield* sleeper.written
        yield* redis!.stop
        state.value = "new"
        yield* sleeper.run(find.invalidate("a"))
        yield* jump
        yield* redis!.cont
        yield* pass
        assert.strictEqual(yield* sleeper.run(find("a")), "new")
        yield* awaitUntil(
          Effect.map(sleeper.store.health, ({ undelivered }) => undelivered === 0),
          "it is delivered"
        )
        yield* awaitUntil(
          Effect.map(other.run(find("a")), (value) => value === "new"),
          "the other process is notified"
        )
        assert.deepStrictEqual(Option.getOrUndefined(yield* (yield* open).run(find.peek("a"))), "new")
      }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
    )
  }
})
