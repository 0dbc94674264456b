/**
 * What does a batch of 100 keys cost, in memory and in Redis, beside the least code and beside other libraries?
 */
import { Effect, ManagedRuntime, Option } from "effect"
import { CacheStore } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import { Redis } from "ioredis"
import type { Place } from "./rivals/rival.js"
import { contenders, repeated, result } from "./support/contend.js"
import { type Contender, check, countOf, report, type Section, section, verify } from "./support/harness.js"
import { contender } from "./support/memory.js"
import { serverApart } from "./support/server.js"
import { awaitCoherent, hybrid, inside, type Runtime } from "./support/tiers.js"

const batch = 100
const names = Array.from({ length: batch }, (_, i) => `user:${i}`)

interface User {
  readonly id: number
  readonly name: string
}
const user = (id: number): User => ({ id, name: `user ${id}` })

/** The libraries that read many keys at once, after `set` of each. */
const getMany = (place: Place, url: string | undefined, operations: number) =>
  Effect.map(
    contenders<User>({
      place,
      ...(url === undefined ? {} : { url }),
      load: user,
      idOf: ({ id }) => id,
      has: ({ calls }) => calls.getMany !== undefined && calls.set !== undefined,
      operations,
      fixed: true,
      prepare: ({ cache, loads }) => {
        const { getMany, set } = cache.calls
        return Effect.gen(function* () {
          for (let id = 0; id < batch; id++) yield* result(cache, () => set!(id, user(id)))
          const users = yield* result<ReadonlyArray<User>>(cache, () => getMany!(names))
          const sum = users.reduce((sum, { id }) => sum + id, 0)
          yield* verify("the sum of the values", sum, (batch * (batch - 1)) / 2)
          yield* verify("loads", loads(), 0)
        }).pipe(Effect.as(repeated(cache, () => getMany!(names), operations)))
      }
    }),
    (all) => all.map((one) => (one.isOther ? one : { ...one, name: "store.getMany" }))
  )

const inMemory = (title: string) =>
  Effect.gen(function* () {
    const map = new Map(names.map((name, id) => [name, user(id)]))
    const operations = countOf(2_000)
    const floor = "floor: suspend(() => succeed(keys.map(map.get)))"
    yield* report({
      title,
      floor,
      clock: "cpu",
      rounds: 15,
      contenders: [
        contender(
          floor,
          Effect.succeed(() => Effect.suspend(() => Effect.succeed(names.map((name) => map.get(name)).length))),
          operations,
          () => batch
        ),
        ...(yield* getMany("memory", undefined, operations))
      ]
    })
  })

const fromRedis = (title: string) =>
  Effect.gen(function* () {
    const { url } = yield* serverApart
    const operations = countOf(1_000)
    const plain = yield* Effect.acquireRelease(
      Effect.sync(() => new Redis(url)),
      (client) => Effect.sync(() => client.disconnect())
    )
    const floor = "ioredis: MGET + JSON.parse"
    const read = Effect.promise(async () => {
      const texts = await plain.mget(names.map((name) => `plain:${name}`))
      return texts.map((text) => JSON.parse(text!) as User)
    })
    yield* report({
      title,
      floor,
      clock: "wall",
      rounds: 15,
      contenders: [
        {
          name: floor,
          isOther: true,
          operations,
          run: Effect.gen(function* () {
            yield* Effect.promise(() =>
              plain.mset(Object.fromEntries(names.map((name, id) => [`plain:${name}`, JSON.stringify(user(id))])))
            )
            yield* check(floor, (yield* read)[7]?.id, 7)
          }).pipe(Effect.as(Effect.asVoid(Effect.repeatN(read, operations - 1))))
        },
        ...(yield* getMany("redis", url, operations))
      ]
    })
  })

/** Batches through both tiers: `setMany`, and `getMany` from memory. */
const writes = (title: string) =>
  Effect.gen(function* () {
    const { url } = yield* serverApart
    const alone: Runtime = ManagedRuntime.make(RedisCache.layer({ url, prefix: "alone:" }))
    const both = hybrid(url)
    const plain = new Redis(url)
    yield* Effect.addFinalizer(() =>
      Effect.promise(() => Promise.all([alone.dispose(), both.dispose(), plain.disconnect()]))
    )
    yield* inside(both, awaitCoherent)
    const entries = names.map((key, id) => [key, user(id)] as const)
    const operations = countOf(500)
    const times = (name: string, once: Effect.Effect<number>, isOther = false): Contender => ({
      name,
      isOther,
      operations,
      run: Effect.as(
        Effect.flatMap(once, (got) => check(name, got, batch)),
        Effect.asVoid(Effect.repeatN(once, operations - 1))
      )
    })
    const setMany = (runtime: Runtime) =>
      inside(
        runtime,
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.setMany(entries, { ttl: "1 hour" })
          return batch
        })
      )
    yield* report({
      title,
      floor: "ioredis: pipeline of SET",
      clock: "wall",
      rounds: 9,
      contenders: [
        times(
          "ioredis: pipeline of SET",
          Effect.promise(async () => {
            const pipeline = plain.pipeline()
            for (const [key, value] of entries) pipeline.set(`plain:${key}`, JSON.stringify(value), "PX", 3_600_000)
            return (await pipeline.exec())!.length
          }),
          true
        ),
        times("setMany, RedisCache", setMany(alone)),
        times("setMany, layerHybrid", setMany(both)),
        times(
          "getMany, layerHybrid: from memory",
          inside(
            both,
            Effect.gen(function* () {
              const store = yield* CacheStore
              return (yield* store.getMany<User>(names)).filter(Option.isSome).length
            })
          )
        )
      ]
    })
  })

export const batches: ReadonlyArray<Section> = [
  section(`batches: getMany of ${batch} keys in memory, per batch`, inMemory),
  section(`batches: getMany of ${batch} keys from Redis, per batch`, fromRedis),
  section(`batches: setMany of ${batch} keys to Redis, per batch`, writes)
]
