/**
 * What does a hit in Redis cost beside a plain `get` and `JSON.parse` over the same client library?
 */
import { Effect, ManagedRuntime } from "effect"
import { Cached, type CacheStore } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import { Redis } from "ioredis"
import { RedisServer } from "../test/support/redis.js"
import { type Contender, check, report, type Section, section } from "./support/harness.js"

const keys = 1_000

const record = (id: number) => ({
  id,
  name: `user ${id}`,
  email: `user${id}@example.com`,
  tags: ["alpha", "beta", "gamma"],
  address: { street: "Main Street", number: id % 200, city: "Springfield", zip: "12345" },
  scores: Array.from({ length: 20 }, (_, i) => i * id)
})

const measureHits = (concurrency: number) => (title: string) =>
  Effect.gen(function* () {
    const { url } = yield* RedisServer.make()
    const operations = concurrency === 1 ? 3_000 : 20_000
    const contender = (
      name: string,
      once: (i: number) => Effect.Effect<{ readonly id: number } | null, unknown, CacheStore>,
      runtime: ManagedRuntime.ManagedRuntime<CacheStore, unknown>,
      fill: Effect.Effect<unknown, unknown, CacheStore>
    ): Contender => {
      const all = Effect.forEach(
        Array.from({ length: concurrency }, (_, worker) => worker),
        (worker) =>
          Effect.gen(function* () {
            for (let i = worker; i < operations; i += concurrency) {
              const user = yield* once(i % keys)
              if (user?.id !== i % keys) yield* check(name, user?.id, i % keys)
            }
          }),
        { concurrency, discard: true }
      )
      const run = (effect: Effect.Effect<unknown, unknown, CacheStore>) =>
        Effect.promise(() => runtime.runPromise(effect as Effect.Effect<unknown, never, CacheStore>))
      return { name, operations, run: Effect.as(run(fill), Effect.asVoid(run(all))) }
    }

    const runtime = yield* Effect.acquireRelease(
      Effect.sync(() => ManagedRuntime.make(RedisCache.layer({ url, prefix: `bench${concurrency}:` }))),
      (runtime) => runtime.disposeEffect
    )
    const plain = yield* Effect.acquireRelease(
      Effect.sync(() => new Redis(url)),
      (client) => Effect.sync(() => client.disconnect())
    )
    let loads = 0
    const cached = Cached.ttl(
      (id: number) =>
        Effect.sync(() => {
          loads++
          return record(id)
        }),
      { key: "user:{}", ttl: "1 hour" }
    )
    const every = <E, R>(f: (id: number) => Effect.Effect<unknown, E, R>) =>
      Effect.forEach(
        Array.from({ length: keys }, (_, id) => id),
        f,
        { concurrency: 50, discard: true }
      )
    yield* report({
      title,
      floor: "ioredis.get + JSON.parse",
      bounds: concurrency === 64 ? { "Cached.ttl": 1 } : {},
      clock: "wall",
      rounds: 11,
      contenders: [
        contender(
          "ioredis.get + JSON.parse",
          (id) => Effect.promise(async () => JSON.parse((await plain.get(`plain:${id}`))!)),
          runtime,
          every((id) => Effect.promise(() => plain.set(`plain:${id}`, JSON.stringify(record(id)))))
        ),
        contender(
          "Cached.ttl",
          (id) => cached(id),
          runtime,
          Effect.zipRight(
            every((id) => cached.set(id)(record(id))),
            Effect.zipRight(
              every((id) => cached(id)),
              Effect.suspend(() => check("loads", loads, 0))
            )
          )
        )
      ]
    })
  })

export const redisHit: ReadonlyArray<Section> = [1, 64].map((concurrency) =>
  section(`hit in Redis, 700 byte record, concurrency ${concurrency}`, measureHits(concurrency))
)
