/**
 * Memory in front of Redis: what a hit in it costs beside a store of memory alone, and batches through both tiers.
 */

import * as PersistedCache from "@effect/experimental/PersistedCache"
import * as Persistence from "@effect/experimental/Persistence"
import * as RedisPersistence from "@effect/experimental/Persistence/Redis"
import { BentoCache, bentostore } from "bentocache"
import { memoryDriver } from "bentocache/drivers/memory"
import { redisBusDriver, redisDriver } from "bentocache/drivers/redis"
import { Console, Effect, Layer, ManagedRuntime, Option, PrimaryKey, Schema } from "effect"
import { Cached, CacheStore, MemoryCache } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import { Redis } from "ioredis"
import { awaitUntil, RedisServer } from "../test/support/redis.js"
import { type Contender, check, type Group, report, type Section, section } from "./harness.js"
import { services } from "./hit.js"

type Runtime = ManagedRuntime.ManagedRuntime<CacheStore, never>

const inside = <A, E>(runtime: Runtime, effect: Effect.Effect<A, E, CacheStore>): Effect.Effect<A> =>
  Effect.promise(() => runtime.runPromise(effect))

const hybrid = (url: string): Runtime =>
  ManagedRuntime.make(
    Layer.merge(RedisCache.layerHybrid({ l1: { capacity: 50_000 }, l2: { url, prefix: "hybrid:" } }), services)
  )

const memory = (): Runtime => ManagedRuntime.make(Layer.merge(MemoryCache.layer({ capacity: 50_000 }), services))

const awaitCoherent = Effect.flatMap(CacheStore, (store) =>
  awaitUntil(
    Effect.map(store.health, ({ coherent }) => coherent),
    "the others are heard"
  )
)

/** one connection carries all, in order */
const written = Effect.flatMap(CacheStore, (store) => store.set("barrier", 0, { ttl: "1 minute" }))

const keys = 10_000

/** the request of a PersistedCache is a class with a primary key and schemas */
class Find extends Schema.TaggedRequest<Find>()("Find", {
  failure: Schema.String,
  success: Schema.Number,
  payload: { id: Schema.Number }
}) {
  [PrimaryKey.symbol](): string {
    return String(this.id)
  }
}

interface Peer {
  readonly name: string
  readonly operations: number
  /** reads so often; gives the sum of what came */
  readonly loop: (operations: number, keyOf: (i: number) => number) => Effect.Effect<number>
}

const ours = (
  name: string,
  runtime: Runtime,
  once: (id: number) => Effect.Effect<number, never, CacheStore>
): Peer => ({
  name,
  operations: 100_000,
  loop: (operations, keyOf) =>
    inside(
      runtime,
      Effect.gen(function* () {
        let sum = 0
        for (let i = 0; i < operations; i++) sum += yield* once(keyOf(i))
        return sum
      })
    )
})

/** one key, or 10 000 in turn */
const hits = (title: string, isStatic: boolean) =>
  Effect.gen(function* () {
    const { url } = yield* RedisServer.make()
    const alone = memory()
    const both = hybrid(url)
    yield* Effect.addFinalizer(() => Effect.promise(() => Promise.all([alone.dispose(), both.dispose()])))
    yield* inside(both, awaitCoherent)

    const map = new Map(Array.from({ length: keys }, (_, i) => [`user:${i}`, i]))
    const text = (id: number) => (isStatic ? "user:7" : `user:${id}`)
    const one = Effect.suspend(() => Effect.succeed(map.get("user:7")!))
    let loads = 0
    const lookup = (id: number) =>
      Effect.sync(() => {
        loads++
        return id
      })
    const cached = () => {
      if (isStatic) {
        const cached = Cached.ttl(lookup(7), { key: "static", ttl: "1 hour" })
        return () => cached
      }
      return Cached.ttl(lookup, { key: "user:{}", ttl: "1 hour" })
    }

    // what it is lent it leaves open
    const lent = yield* Effect.acquireRelease(
      Effect.sync(() => [new Redis(url), new Redis(url)] as const),
      (both) => Effect.sync(() => void both.map((one) => one.disconnect()))
    )
    const bento = new BentoCache({
      default: "both",
      stores: {
        both: bentostore()
          .useL1Layer(memoryDriver({ maxItems: 50_000, serialize: false }))
          .useL2Layer(redisDriver({ connection: lent[0] }))
          .useBus(redisBusDriver({ connection: lent[1] }))
      }
    })
    yield* Effect.addFinalizer(() => Effect.promise(() => bento.disconnectAll()))

    const persistence = yield* Layer.build(
      Persistence.layerResult.pipe(
        Layer.provide(RedisPersistence.layer({ host: new URL(url).hostname, port: Number(new URL(url).port) }))
      )
    )
    const persisted = yield* Effect.provide(
      PersistedCache.make({
        storeId: "persisted",
        lookup: (find: Find) => Effect.succeed(find.id),
        timeToLive: () => "1 hour",
        inMemoryCapacity: 50_000,
        inMemoryTTL: "1 hour"
      }),
      persistence
    )
    const request = new Find({ id: 7 })

    const peers: ReadonlyArray<Peer> = [
      ours("Cached.ttl, MemoryCache", alone, cached()),
      ours("Cached.ttl, layerHybrid", both, cached()),
      isStatic
        ? ours("suspend(() => succeed(map.get(k)))", alone, () => one)
        : ours("the same, key built", alone, (id) => Effect.suspend(() => Effect.succeed(map.get(text(id))!))),
      {
        name: "bentocache.getOrSet, no Effect",
        operations: 10_000,
        loop: (operations, keyOf) =>
          Effect.promise(async () => {
            let sum = 0
            for (let i = 0; i < operations; i++) {
              const id = keyOf(i)
              sum += await bento.getOrSet({ key: text(id), ttl: "1h", factory: () => id })
            }
            return sum
          })
      },
      {
        name: "PersistedCache.get",
        operations: 10_000,
        loop: (operations, keyOf) =>
          inside(
            alone,
            Effect.gen(function* () {
              let sum = 0
              for (let i = 0; i < operations; i++) {
                sum += yield* persisted.get(isStatic ? request : new Find({ id: keyOf(i) }))
              }
              return sum
            })
          )
      }
    ]
    const keyOf = isStatic ? () => 7 : (i: number) => i % keys
    const sumOf = (operations: number) => (isStatic ? 7 : (keys - 1) / 2) * operations

    const asked = inside(
      both,
      Effect.flatMap(CacheStore, (store) => Effect.map(store.stats, ({ tiers }) => tiers[1]!.hits + tiers[1]!.misses))
    )

    let prepared = 0
    const contenders = peers.map(
      ({ loop, name, operations }): Contender => ({
        name,
        operations,
        run: Effect.suspend(() => {
          const once = Effect.flatMap(loop(operations, keyOf), (sum) => check(name, sum, sumOf(operations)))
          return Effect.gen(function* () {
            for (let from = 0; from < keys; from += keys / 10) {
              yield* loop(keys / 10, (i) => keyOf(from + i))
              // what was loaded is written behind the answers: no more of it at once than Redis takes in time
              yield* inside(both, written)
            }
            const before = loads + (yield* asked)
            yield* once
            yield* check(`loads, and reads that reached Redis, of ${name}`, loads + (yield* asked), before)
            prepared = yield* asked
          }).pipe(Effect.as(once))
        })
      })
    )
    const group: Group = {
      title,
      floor: "Cached.ttl, MemoryCache",
      bounds: { "Cached.ttl, layerHybrid": 1.15 },
      clock: "cpu",
      rounds: 31,
      rate: "hits",
      contenders
    }
    yield* report(group)
    const reached = (yield* asked) - prepared
    // a machine that stalls for a second makes a node deaf, and then it does what it should: it asks
    if (reached > 0) yield* Console.log(`  ${reached} of the timed reads of layerHybrid reached Redis`)
  })

const batch = 100

/** batches of 100 keys: `set` through both tiers, `get` from Redis, `get` from memory */
const batches = (title: string) =>
  Effect.gen(function* () {
    const { url } = yield* RedisServer.make()
    const alone: Runtime = ManagedRuntime.make(RedisCache.layer({ url, prefix: "alone:" }))
    const both = hybrid(url)
    const plain = new Redis(url)
    yield* Effect.addFinalizer(() =>
      Effect.promise(() => Promise.all([alone.dispose(), both.dispose(), plain.disconnect()]))
    )
    yield* inside(both, awaitCoherent)
    const entries = Array.from({ length: batch }, (_, i) => [`batch:${i}`, { id: i, name: `user ${i}` }] as const)
    const names = entries.map(([key]) => key)
    const lifetime = { ttl: "1 hour" } as const
    const operations = 50
    const times = (name: string, once: Effect.Effect<number>): Contender => ({
      name,
      operations,
      run: Effect.as(
        Effect.flatMap(once, (got) => check(name, got, batch)),
        Effect.asVoid(Effect.repeatN(once, operations - 1))
      )
    })
    const setMany = (runtime: Runtime) =>
      inside(
        runtime,
        Effect.flatMap(CacheStore, (store) => Effect.as(store.setMany(entries, lifetime), batch))
      )
    const getMany = (runtime: Runtime) =>
      inside(
        runtime,
        Effect.flatMap(CacheStore, (store) =>
          Effect.map(store.getMany<{ id: number }>(names), (all) => all.filter(Option.isSome).length)
        )
      )
    yield* setMany(alone)
    const group: Group = {
      title,
      floor: "ioredis: pipeline of SET",
      clock: "wall",
      rounds: 11,
      contenders: [
        times(
          "ioredis: pipeline of SET",
          Effect.promise(async () => {
            const pipeline = plain.pipeline()
            for (const [key, value] of entries) pipeline.set(`plain:${key}`, JSON.stringify(value), "PX", 3_600_000)
            return (await pipeline.exec())!.length
          })
        ),
        times("setMany, RedisCache", setMany(alone)),
        times("setMany, layerHybrid", setMany(both)),
        times(
          "ioredis: MGET + JSON.parse",
          Effect.promise(async () => {
            const all = await plain.mget(names.map((key) => `plain:${key}`))
            return all.map((text) => JSON.parse(text!)).length
          })
        ),
        times("getMany, RedisCache", getMany(alone)),
        times("getMany, layerHybrid: from memory", getMany(both))
      ]
    }
    yield* report(group)
  })

export const tiers: ReadonlyArray<Section> = [
  section("hit in memory in front of Redis, static key", (title) => hits(title, true)),
  section(`hit in memory in front of Redis, template key over ${keys} keys`, (title) => hits(title, false)),
  section(`batches of ${batch} keys through memory and Redis, per batch`, batches)
]
