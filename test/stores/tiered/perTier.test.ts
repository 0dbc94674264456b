/**
 * The numbers of each tier, for memory over Redis over files: the documented table of the Python library, number for
 * number, in statistics and in the metrics.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, layer } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Layer, Metric, Option } from "effect"
import { type Backend, Cached, CacheStats, CacheStore, MemoryCache, TieredCache } from "effect-cached"
import * as FileCache from "effect-cached/FileCache"
import * as RedisCache from "effect-cached/RedisCache"
import { becomes, makeLookup } from "../../laws/support.js"
import { freshPrefix, RedisServer } from "../../support/redis.js"

const hour = { ttl: "1 hour" } as const

const directory = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "effect-cached-tiers-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

/** Stores over the same Redis and the same files: each alone, and the three tiers. */
const setting = (name: string) =>
  Effect.gen(function* () {
    const { url } = yield* RedisServer
    const redis = { url, prefix: yield* freshPrefix }
    const files = { directory: yield* directory }
    let memory: Backend.Backend | undefined
    const open = TieredCache.make({
      name,
      tiers: [
        {
          name: "L1:inmem",
          backend: Effect.map(MemoryCache.backend(), (backend) => {
            memory = backend
            return backend
          })
        },
        { name: "L2:redis", backend: RedisCache.backend(redis) },
        { name: "L3:files", backend: FileCache.backend(files) }
      ]
    })
    return {
      // a read from before the notifications arrive is asked again once they do
      open: Effect.tap(open, (store) =>
        becomes(
          Effect.map(store.health, ({ coherent }) => coherent),
          true
        )
      ),
      redisAlone: Effect.orDie(RedisCache.make(redis)),
      filesAlone: Effect.orDie(FileCache.make(files)),
      evict: (key: string) => Effect.sync(() => assert.isTrue(memory?.unsafeRemove?.(key)))
    }
  })

/** The numbers of each tier: hits, misses, sets, and the hit rate in whole percent. */
const tableOf = (store: CacheStore.Service) =>
  Effect.map(store.stats, ({ tiers }) =>
    tiers.map(({ hitRate, hits, misses, sets, tier }) => [tier, hits, misses, sets, Math.floor(hitRate * 100)])
  )

/** The hits of a store in the metrics, by tier. */
const hitsOf = (store: string) =>
  Effect.map(Metric.snapshot, (pairs) =>
    Object.fromEntries(
      pairs.flatMap(({ metricKey, metricState }) => {
        const tags = Object.fromEntries(metricKey.tags.map(({ key, value }) => [key, value]))
        const { count } = metricState as unknown as { readonly count: number }
        return metricKey.name === "cache_hits" && tags.store === store ? [[tags.tier, count]] : []
      })
    )
  )

layer(Layer.merge(RedisServer.layer, NodeContext.layer))("the numbers of each tier", (it) => {
  it.scoped("steady use - nearly all reads end in memory, and each slower tier has fewer", () =>
    Effect.gen(function* () {
      const name = "steady"
      const { filesAlone, open, redisAlone } = yield* setting(name)
      const { calls, lookup } = makeLookup((id: number) => Effect.succeed(id))
      const find = Cached.ttl(lookup, { key: "user:{}", ...hour })
      const on = (store: CacheStore.Service) => Effect.provideService(CacheStore, store)
      // four keys are in Redis, a fifth one in the files only
      yield* Effect.scoped(
        Effect.flatMap(redisAlone, (store) => on(store)(Effect.forEach([1, 2, 3, 4], (id) => find(id))))
      )
      yield* Effect.scoped(Effect.flatMap(filesAlone, (store) => on(store)(find(5))))
      assert.lengthOf(calls, 5)

      const store = yield* open
      const read = on(store)(Effect.forEach([1, 2, 3, 4, 5], (id) => find(id)))
      yield* read
      yield* becomes(
        Effect.map(tableOf(store), ([, redis]) => redis?.[3]),
        1
      )
      yield* Effect.repeatN(read, 16)
      yield* on(store)(Effect.all([find(1), find(2)]))
      deepStrictEqual(yield* tableOf(store), [
        ["L1:inmem", 87, 5, 5, 94],
        ["L2:redis", 4, 1, 1, 80],
        ["L3:files", 1, 0, 0, 100]
      ])
      deepStrictEqual(yield* hitsOf(name), { "L1:inmem": 87, "L2:redis": 4, "L3:files": 1 })
      assert.lengthOf(calls, 5)
      const { hitRate, loads } = yield* store.stats
      deepStrictEqual([hitRate, loads], [1, 0])
    })
  )

  it.scoped("cold keys, and memory that is evicted - are answered by the next tier, without a load", () =>
    Effect.gen(function* () {
      const name = "cold"
      const { evict, open } = yield* setting(name)
      const { calls, lookup } = makeLookup((id: number) => Effect.succeed(id))
      const find = Cached.ttl(lookup, { key: "user:{}", ...hour })
      const store = yield* open
      const both = Effect.provideService(
        Effect.forEach([1, 2], (id) => find(id)),
        CacheStore,
        store
      )
      yield* both
      yield* becomes(tableOf(store), [
        ["L1:inmem", 0, 2, 2, 0],
        ["L2:redis", 0, 2, 2, 0],
        ["L3:files", 0, 2, 2, 0]
      ])
      yield* both
      yield* Effect.all([evict(find.key(1)), evict(find.key(2))])
      yield* both
      deepStrictEqual(yield* tableOf(store), [
        ["L1:inmem", 2, 4, 4, 33],
        ["L2:redis", 2, 2, 2, 50],
        ["L3:files", 0, 2, 2, 0]
      ])
      assert.lengthOf(calls, 2)
      deepStrictEqual(yield* hitsOf(name), { "L1:inmem": 2, "L2:redis": 2, "L3:files": 0 })
      deepStrictEqual(CacheStats.asAdvancedCaching(yield* store.stats).caches, {
        "user:{}": { hits: 4, misses: 2, sets: 2, deletes: 0, hit_rate_percent: 66.67 },
        "L1:inmem": { hits: 2, misses: 4, sets: 4, deletes: 0, hit_rate_percent: 33.33 },
        "L2:redis": { hits: 2, misses: 2, sets: 2, deletes: 0, hit_rate_percent: 50 },
        "L3:files": { hits: 0, misses: 2, sets: 2, deletes: 0, hit_rate_percent: 0 }
      })
    })
  )

  it.scoped("every operation of a workload - is in the numbers of its tier once, and in the sums", () =>
    Effect.gen(function* () {
      const name = "workload"
      const { open } = yield* setting(name)
      const store = yield* open
      // one after the other, so that each is a batch of its own
      yield* Effect.forEach([1, 2, 3], (i) => store.set(`k${i}`, i, hour))
      yield* store.getMany(["x", "y"])
      yield* store.get("z")
      yield* store.remove("k1")
      yield* store.setIfAbsent("k4", 4, hour)
      const { errors, latency, removals, sets, storeErrors, tiers } = yield* store.stats
      deepStrictEqual({ errors, removals, sets, storeErrors }, { errors: {}, removals: 1, sets: 4, storeErrors: 0 })
      const counts = ({ get, remove, set }: CacheStats.TierStats["latency"]) => [get.count, set.count, remove.count]
      deepStrictEqual(
        tiers.map((tier) => [tier.tier, tier.sets, tier.removals, counts(tier.latency)]),
        [
          ["L1:inmem", 3, 1, [0, 0, 0]],
          ["L2:redis", 4, 1, [3, 4, 1]],
          ["L3:files", 4, 1, [3, 4, 1]]
        ]
      )
      deepStrictEqual(counts(latency), [3, 4, 1])
      assert.isAbove(latency.get.mean, tiers[1]!.latency.get.mean)
      assert.isAbove(tiers[1]!.latency.get.mean, 0)
      const series = (yield* Metric.snapshot).flatMap(({ metricKey, metricState }) => {
        const tags = Object.fromEntries(metricKey.tags.map(({ key, value }) => [key, value]))
        const { count } = metricState as unknown as { readonly count: number }
        const isOne = metricKey.name === "cache_store_duration_seconds" && tags.store === name
        return isOne ? [`${tags.tier} ${tags.operation} ${count}`] : []
      })
      deepStrictEqual(series.sort(), [
        "L2:redis get 3",
        "L2:redis remove 1",
        "L2:redis set 4",
        "L3:files get 3",
        "L3:files remove 1",
        "L3:files set 4"
      ])
    })
  )

  it.scoped("Redis alone - has the numbers of a workload that is counted", () =>
    Effect.gen(function* () {
      const { url } = yield* RedisServer
      const name = "alone"
      const store = yield* RedisCache.make({ url, name, prefix: yield* freshPrefix })
      const { calls, lookup } = makeLookup((id: number) => (id < 0 ? Effect.fail("none") : Effect.succeed(id)))
      const find = Cached.ttl(lookup, { key: "user:{}", ...hour })
      const read = (id: number) => Effect.provideService(Effect.exit(find(id)), CacheStore, store)
      const isWritten = (sets: number) =>
        becomes(
          Effect.map(store.stats, ({ latency }) => latency.set.count),
          sets
        )
      yield* read(1)
      yield* isWritten(1)
      yield* read(2)
      yield* isWritten(2)
      yield* Effect.forEach([1, 2, 1, -1], read)
      yield* Effect.provideService(find.invalidate(1), CacheStore, store)
      yield* store.set("a", 1, hour)
      const all = yield* store.stats
      assert.lengthOf(calls, 3)
      assert.deepInclude(all, {
        store: name,
        reads: 6,
        hits: 3,
        misses: 3,
        loads: 3,
        loadFailures: 1,
        hitRate: 0.5,
        sets: 3,
        removals: 1,
        storeErrors: 0,
        inFlight: 0,
        tiers: []
      })
      deepStrictEqual(all.failures, { fail: 1, die: 0, interrupt: 0, timeout: 0 })
      deepStrictEqual([all.entries, all.bytes], [Option.none(), Option.none()])
      const { get, load, remove, set } = all.latency
      deepStrictEqual([get.count, set.count, remove.count, load.count], [6, 3, 1, 3])
      assert.isAbove(get.p50, 0)
      assert.isAtLeast(get.p99, get.p50)
      const names = (yield* Metric.snapshot).flatMap(({ metricKey }) =>
        metricKey.tags.some(({ key, value }) => key === "store" && value === name) ? [metricKey.name] : []
      )
      assert.include(names, "cache_store_duration_seconds")
      assert.notInclude(names, "cache_entries")
    })
  )
})
