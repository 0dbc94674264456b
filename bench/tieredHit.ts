/**
 * What does a hit in memory cost when Redis is behind it, beside a store of memory alone and beside other libraries with
 * two tiers?
 */
import * as PersistedCache from "@effect/experimental/PersistedCache"
import * as Persistence from "@effect/experimental/Persistence"
import * as RedisPersistence from "@effect/experimental/Persistence/Redis"
import { BentoCache, bentostore } from "bentocache"
import { memoryDriver } from "bentocache/drivers/memory"
import { redisBusDriver, redisDriver } from "bentocache/drivers/redis"
import { Console, Effect, Layer, PrimaryKey, Schema } from "effect"
import { Cached, CacheStore } from "effect-cached"
import { Redis } from "ioredis"
import { RedisServer } from "../test/support/redis.js"
import { type Contender, check, type Group, report, type Section, section } from "./support/harness.js"
import { awaitCoherent, hybrid, inside, memory, type Runtime, written } from "./support/tiers.js"

const keys = 10_000

/** A request to `PersistedCache`: a class with a primary key and schemas. */
class Find extends Schema.TaggedRequest<Find>()("Find", {
  failure: Schema.String,
  success: Schema.Number,
  payload: { id: Schema.Number }
}) {
  [PrimaryKey.symbol](): string {
    return String(this.id)
  }
}

interface Rival {
  readonly name: string
  readonly operations: number
  /** Reads that many times and returns the sum of the values. */
  readonly loop: (operations: number, keyOf: (i: number) => number) => Effect.Effect<number>
}

const ours = (
  name: string,
  runtime: Runtime,
  once: (id: number) => Effect.Effect<number, never, CacheStore>
): Rival => ({
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

/** Measures hits of one key, or of 10 000 keys in turn. */
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

    // bentocache leaves connections open that it did not make.
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

    const rivals: ReadonlyArray<Rival> = [
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
    const contenders = rivals.map(
      ({ loop, name, operations }): Contender => ({
        name,
        operations,
        run: Effect.suspend(() => {
          const once = Effect.flatMap(loop(operations, keyOf), (sum) => check(name, sum, sumOf(operations)))
          return Effect.gen(function* () {
            for (let from = 0; from < keys; from += keys / 10) {
              yield* loop(keys / 10, (i) => keyOf(from + i))
              // Loaded values are written after the answers, so the writes are awaited before the queue gets too long.
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
    // A process that stalls for a second cannot rely on notifications, and then it correctly asks Redis.
    if (reached > 0) yield* Console.log(`  ${reached} of the timed reads of layerHybrid reached Redis`)
  })

export const tieredHit: ReadonlyArray<Section> = [
  section("hit in memory in front of Redis, static key", (title) => hits(title, true)),
  section(`hit in memory in front of Redis, template key over ${keys} keys`, (title) => hits(title, false))
]
