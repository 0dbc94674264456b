/** Hits, in a fiber, with metrics on: static key, template key over 10 000 keys, stale. */
import { Cache, Context, Duration, Effect, Layer, ManagedRuntime } from "effect"
import { Cached, type CacheStore, MemoryCache } from "effect-cached"
import { LRUCache } from "lru-cache"
import { type Contender, check, type Group } from "./harness.js"

/** a backend has services: twenty of them stand in the context of every read */
export const services = Layer.mergeAll(
  Layer.empty,
  ...Array.from({ length: 20 }, (_, i) => Layer.succeed(Context.GenericTag<number>(`bench/Service${i}`), i))
)

export const runtime = ManagedRuntime.make(Layer.merge(MemoryCache.layer({ capacity: 50_000 }), services))

/** `n` times in one fiber */
export const loop = <E>(n: number, once: (i: number) => Effect.Effect<unknown, E, CacheStore>): Effect.Effect<void> =>
  Effect.promise(() =>
    runtime.runPromise(
      Effect.gen(function* () {
        for (let i = 0; i < n; i++) yield* once(i)
      }) as Effect.Effect<void, never, CacheStore>
    )
  )

const one = (effect: Effect.Effect<unknown, unknown, CacheStore>): Effect.Effect<unknown> =>
  Effect.promise(() => runtime.runPromise(effect as Effect.Effect<unknown, never, CacheStore>))

const n = 100_000

const contender = (
  name: string,
  make: Effect.Effect<(i: number) => Effect.Effect<unknown, unknown, CacheStore>>,
  operations = n,
  expected: (i: number) => unknown = () => 42
): Contender => ({
  name,
  operations,
  run: Effect.flatMap(make, (once) =>
    Effect.as(
      Effect.forEach([0, 1, 7], (i) => Effect.flatMap(one(once(i)), (value) => check(name, value, expected(i)))),
      loop(operations, once)
    )
  )
})

export const staticHit = (): Group => {
  const map = new Map<string, number>([["answer", 42]])
  const lru = new LRUCache<string, number>({ max: 50_000, ttl: 60_000 })
  lru.set("answer", 42)
  const answer = Effect.succeed(42)
  return {
    title: "hit, static key",
    floor: "floor: suspend(() => succeed(map.get(k)))",
    bounds: { "Cached.ttl": 1.4 },
    clock: "cpu",
    rounds: 21,
    contenders: [
      contender(
        "floor: suspend(() => succeed(map.get(k)))",
        Effect.sync(() => {
          const floor = Effect.suspend(() => Effect.succeed(map.get("answer")))
          return () => floor
        })
      ),
      contender(
        "Cached.ttl",
        Effect.sync(() => {
          const cached = Cached.ttl(answer, { key: "answer", ttl: "1 hour" })
          return () => cached
        })
      ),
      contender(
        "Cache.get",
        Effect.map(
          Cache.make({ capacity: 50_000, timeToLive: "1 hour", lookup: (_: string) => answer }),
          (cache) => () => cache.get("answer")
        )
      ),
      contender(
        "Effect.cachedWithTTL",
        Effect.map(Effect.cachedWithTTL(answer, "1 hour"), (cached) => () => cached),
        10_000
      ),
      contender(
        "lru-cache in Effect.sync",
        Effect.succeed(() => Effect.sync(() => lru.get("answer")))
      )
    ]
  }
}

export const templateHit = (): Group => {
  const keys = 10_000
  const map = new Map<string, number>(Array.from({ length: keys }, (_, i) => [`user:${i}`, i]))
  const lru = new LRUCache<string, number>({ max: 50_000, ttl: 60_000 })
  for (const [key, value] of map) lru.set(key, value)
  const fill = (once: (i: number) => Effect.Effect<unknown, unknown, CacheStore>) =>
    Effect.as(loop(keys, once as never), once)
  const expected = (i: number) => i % keys
  return {
    title: `hit, template key over ${keys} keys`,
    floor: "floor: the same, key built",
    bounds: { "Cached.ttl": 1.4 },
    clock: "cpu",
    rounds: 21,
    contenders: [
      contender(
        "floor: the same, key built",
        Effect.succeed((i) => Effect.suspend(() => Effect.succeed(map.get(`user:${i % keys}`)))),
        n,
        expected
      ),
      contender(
        "Cached.ttl",
        Effect.suspend(() => {
          const cached = Cached.ttl((id: number) => Effect.succeed(id), { key: "user:{}", ttl: "1 hour" })
          return fill((i) => cached(i % keys))
        }),
        n,
        expected
      ),
      contender(
        "Cache.get",
        Effect.flatMap(
          Cache.make({
            capacity: 50_000,
            timeToLive: "1 hour",
            lookup: (key: string) => Effect.succeed(Number(key.slice(5)))
          }),
          (cache) => fill((i) => cache.get(`user:${i % keys}`))
        ),
        n,
        expected
      ),
      contender(
        "lru-cache in Effect.sync",
        Effect.succeed((i) => Effect.sync(() => lru.get(`user:${i % keys}`))),
        n,
        expected
      )
    ]
  }
}

export const staleHit = (): Group => {
  const map = new Map<string, number>([["answer", 42]])
  return {
    title: "stale hit, its refresh under way",
    floor: "floor: suspend(() => succeed(map.get(k)))",
    bounds: { "Cached.swr": 1.6 },
    clock: "cpu",
    rounds: 21,
    contenders: [
      contender(
        "floor: suspend(() => succeed(map.get(k)))",
        Effect.sync(() => {
          const floor = Effect.suspend(() => Effect.succeed(map.get("answer")))
          return () => floor
        })
      ),
      contender(
        "Cached.swr",
        Effect.gen(function* () {
          let first = true
          const cached = Cached.swr(
            Effect.suspend(() => {
              if (!first) return Effect.never
              first = false
              return Effect.succeed(42)
            }),
            { key: "stale", ttl: 1, stale: "1 hour", flightTimeout: Duration.infinity }
          )
          yield* one(cached)
          yield* Effect.sleep(5)
          return () => cached
        })
      )
    ]
  }
}
