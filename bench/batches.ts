/**
 * What does a batch of 100 keys cost through memory and Redis, beside one command of the client?
 */
import { Effect, ManagedRuntime, Option } from "effect"
import { CacheStore } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import { Redis } from "ioredis"
import { RedisServer } from "../test/support/redis.js"
import { type Contender, check, type Group, report, type Section, section } from "./support/harness.js"
import { awaitCoherent, hybrid, inside, type Runtime } from "./support/tiers.js"

const batch = 100

/** Batches of 100 keys: `setMany` through both tiers, `getMany` from Redis and from memory. */
const measureBatches = (title: string) =>
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

export const batches: ReadonlyArray<Section> = [
  section(`batches of ${batch} keys through memory and Redis, per batch`, measureBatches)
]
