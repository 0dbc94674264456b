/**
 * What is not counted: a value that was not stored is no set, an explanation is no read, and what was not sent took no
 * time.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Layer, Logger, type Scope, Stream } from "effect"
import { Cached, CacheStore, MemoryCache, TieredCache } from "effect-cached"
import type { CacheEvent } from "../../../src/CacheEvent.js"
import * as FileCache from "../../../src/FileCache.js"
import * as RedisCache from "../../../src/RedisCache.js"
import { eventually, stats } from "../../laws/support.js"
import { freePort } from "../../support/ports.js"
import { awaitUntil, freshPrefix, RedisServer } from "../../support/redis.js"

class Opaque {
  readonly id: number
  constructor(id: number) {
    this.id = id
  }
}

const hour = { ttl: "1 hour" } as const
const getText = Cached.ttl((id: number) => Effect.succeed(`text ${id}`), { key: "text:{}", ...hour })
const getOpaque = Cached.ttl((id: number) => Effect.succeed(new Opaque(id)), { key: "opaque:{}", ...hour })
const getLarge = Cached.ttl((_id: number) => Effect.succeed("x".repeat(2_000)), { key: "large:{}", ...hour })
const getNothing = Cached.ttl((_id: number) => Effect.succeed(1), { key: "none:{}", ttl: () => 0 })

const quiet = Effect.provide(Logger.remove(Logger.defaultLogger))

/** The events of the store in the context from now on. */
const heard: Effect.Effect<ReadonlyArray<CacheEvent>, never, CacheStore | Scope.Scope> = Effect.gen(function* () {
  const events: Array<CacheEvent> = []
  const store = yield* CacheStore
  yield* Effect.forkScoped(Stream.runForEach(store.events, (event) => Effect.sync(() => events.push(event))))
  yield* Effect.sleep("20 millis")
  return events
})

const setsIn = (events: ReadonlyArray<CacheEvent>) =>
  events.flatMap((event) => (event._tag === "Set" ? [`${event.name ?? "store"} ${event.key}`] : []))

const directory = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-uncounted-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

/** The URL of a Redis that does not exist. */
const nowhere = Effect.map(freePort, (port) => ({
  url: `redis://127.0.0.1:${port}`,
  connectTimeout: "50 millis" as const
}))

describe("sets", () => {
  const refusing = {
    "memory with serialized values": Effect.succeed(
      MemoryCache.layer({ values: "serialized", maxValueBytes: 1_000 }) as Layer.Layer<CacheStore, unknown>
    ),
    Redis: Effect.gen(function* () {
      const { url } = yield* RedisServer
      return RedisCache.layer({ url, prefix: yield* freshPrefix, maxValueBytes: 1_000 })
    })
  }
  for (const [name, store] of Object.entries(refusing)) {
    it.scopedLive(`${name} - a value that is refused is none, loaded or set`, () =>
      Effect.gen(function* () {
        const events = yield* heard
        for (const id of [1, 2]) yield* Effect.all([getText(id), getOpaque(id), getLarge(id), getNothing(id)])
        const cacheStore = yield* CacheStore
        yield* cacheStore.set("a", new Opaque(1), hour)
        yield* cacheStore.set("b", 1, hour)
        yield* awaitUntil(
          Effect.map(stats, ({ refused, sets }) => refused === 5 && sets >= 3),
          "all are refused or stored"
        )
        const { caches, sets } = yield* stats
        assert.strictEqual(sets, 3)
        assert.strictEqual(caches["text:{}"]?.sets, 2)
        for (const name of ["opaque:{}", "large:{}", "none:{}"]) assert.strictEqual(caches[name]?.sets, 0, name)
        yield* eventually(() => setsIn(events).length >= 3, "the events of three sets")
        yield* Effect.sleep("20 millis")
        deepStrictEqual(setsIn(events), ["text:{} text:1", "text:{} text:2", "store b"])
      }).pipe(Effect.provide(Layer.provideMerge(Layer.unwrapEffect(store), RedisServer.layer)), quiet)
    )
  }

  it.scopedLive("no Redis - what nothing holds is none, and what memory holds is one", () =>
    Effect.gen(function* () {
      const counted = Effect.gen(function* () {
        const events = yield* heard
        yield* Effect.forEach([1, 2, 3], (id) => getText(id))
        yield* Effect.sleep("20 millis")
        const { sets, tiers } = yield* stats
        return { sets, events: setsIn(events).length, tiers: tiers.map((tier) => tier.sets) }
      })
      const redis = yield* nowhere
      deepStrictEqual(yield* Effect.provide(counted, RedisCache.layer(redis)), { sets: 0, events: 0, tiers: [] })
      deepStrictEqual(yield* Effect.provide(counted, RedisCache.layerHybrid({ l1: {}, l2: redis })), {
        sets: 3,
        events: 3,
        tiers: [3, 0]
      })
    }).pipe(quiet)
  )

  it.scopedLive("an outage - a value that was set is one when it is delivered", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const store = yield* RedisCache.make({ url: server.url })
      const run = Effect.provideService(CacheStore, store)
      const events = yield* run(heard)
      yield* server.kill
      yield* awaitUntil(
        Effect.map(store.health, ({ status }) => status === "down"),
        "Redis is down"
      )
      yield* run(getText.set(1)("new"))
      yield* store.set("a", 1, hour)
      yield* run(getText(2))
      deepStrictEqual([(yield* store.stats).sets, setsIn(events).length], [0, 0])
      yield* server.start
      yield* awaitUntil(
        Effect.map(store.health, ({ undelivered }) => undelivered === 0),
        "all is delivered"
      )
      const { caches, sets } = yield* store.stats
      deepStrictEqual([sets, caches["text:{}"]?.sets], [2, 1])
      yield* eventually(() => setsIn(events).length >= 2, "the events of two sets")
      deepStrictEqual(setsIn(events).sort(), ["store a", "text:{} text:1"])
    }).pipe(quiet)
  )

  it.scoped("a stored failure - is none, and neither is what layerNoop is given", () =>
    Effect.gen(function* () {
      const fails = Cached.ttl((_id: number) => Effect.fail("no" as const), {
        key: "fails:{}",
        ...hour,
        failures: { ttl: "1 minute" }
      })
      yield* Effect.exit(fails(1)).pipe(
        Effect.zipRight(stats),
        Effect.map(({ sets }) => assert.strictEqual(sets, 0)),
        Effect.provide(MemoryCache.layer())
      )
      const cacheStore = yield* CacheStore
      yield* getText(1)
      yield* cacheStore.set("a", 1, hour)
      yield* cacheStore.setIfAbsent("b", 1, hour)
      assert.strictEqual((yield* stats).sets, 0)
    }).pipe(Effect.provide(CacheStore.layerNoop))
  )
})

describe("explain", () => {
  const stores = Effect.gen(function* () {
    const redis = yield* nowhere
    const files = { directory: yield* directory }
    // the directory of this one is a file
    const broken = { directory: path.join(files.directory, "file") }
    fs.writeFileSync(broken.directory, "")
    return {
      memory: MemoryCache.layer(),
      Redis: RedisCache.layer(redis),
      "memory over Redis": RedisCache.layerHybrid({ l1: {}, l2: redis }),
      files: FileCache.layer(files),
      "broken files": FileCache.layer(broken),
      "memory over Redis over broken files": TieredCache.layer({
        tiers: [
          { backend: MemoryCache.backend() },
          { backend: RedisCache.backend(redis) },
          { backend: FileCache.backend(broken) }
        ]
      })
    }
  })

  it.scopedLive("while a store does not answer - counts, reports and tells nothing", () =>
    Effect.gen(function* () {
      for (const [name, layer] of Object.entries(yield* stores)) {
        yield* Effect.gen(function* () {
          const cacheStore = yield* CacheStore
          const { uptime: _, ...before } = yield* stats
          const problems = (yield* cacheStore.health).problems.map((problem) => problem.name)
          const events = yield* heard
          // more than the failures that open the breaker
          for (let i = 0; i < 8; i++) assert.strictEqual((yield* getText.explain(i)).outcome, "miss")
          yield* Effect.sleep("20 millis")
          const { uptime: __, ...after } = yield* stats
          deepStrictEqual(after, before, name)
          deepStrictEqual(events, [], name)
          const { problems: later, tiers } = yield* cacheStore.health
          deepStrictEqual(
            later.map((problem) => problem.name),
            problems,
            name
          )
          for (const { skipped } of tiers) assert.strictEqual(skipped, 0, name)
        }).pipe(Effect.scoped, Effect.provide(layer as Layer.Layer<CacheStore, unknown, NodeContext.NodeContext>))
      }
    }).pipe(Effect.provide(NodeContext.layer), quiet)
  )

  it.scopedLive("an open breaker - is neither closed nor counted by it", () =>
    Effect.gen(function* () {
      const { "broken files": layer } = yield* stores
      yield* Effect.gen(function* () {
        const cacheStore = yield* CacheStore
        yield* Effect.forEach([1, 2, 3, 4, 5, 6], (id) => getText(id))
        const skipped = Effect.map(cacheStore.health, ({ tiers }) => tiers.map((tier) => tier.skipped))
        const before = yield* skipped
        assert.include(
          (yield* cacheStore.health).problems.map(({ name }) => name),
          "BreakerOpen"
        )
        assert.strictEqual((yield* getText.explain(9)).reason, "store")
        deepStrictEqual(yield* skipped, before)
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.provide(NodeContext.layer), quiet)
  )
})

describe("latency", () => {
  it.scopedLive("reads, writes and removals that are not sent - are none, of the store and of its tier", () =>
    Effect.gen(function* () {
      const redis = yield* nowhere
      const files = { directory: yield* directory }
      const tiers = [{ backend: MemoryCache.backend() }, { backend: RedisCache.backend(redis) }] as const
      const all = { hybrid: tiers, three: [...tiers, { backend: FileCache.backend(files) }] as const }
      for (const [name, tiers] of Object.entries(all)) {
        yield* Effect.gen(function* () {
          yield* Effect.forEach([1, 2, 3], (id) => getText(id))
          yield* getText.invalidate(1)
          yield* Effect.sleep("20 millis")
          // the files are asked and written all the same
          if (name === "three") {
            const isTimed = Effect.map(stats, ({ latency: { get, remove, set } }) =>
              [get, set, remove].every(({ count }) => count > 0)
            )
            return yield* awaitUntil(isTimed, "what is asked of the files is timed")
          }
          const { latency, tiers } = yield* stats
          for (const timed of [latency, tiers[1]!.latency])
            deepStrictEqual([timed.get.count, timed.set.count, timed.remove.count], [0, 0, 0])
        }).pipe(Effect.provide(TieredCache.layer({ tiers })))
      }
    }).pipe(Effect.provide(NodeContext.layer), quiet)
  )
})
