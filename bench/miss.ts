/** A miss: what the library adds to a load; and a herd: what waiting for one costs. */
import { Cache, Deferred, Duration, Effect, Fiber, Layer, ManagedRuntime } from "effect"
import { Cached, type CacheStore, MemoryCache } from "effect-cached"
import { LRUCache } from "lru-cache"
import { type Contender, check, type Group } from "./harness.js"
import { services } from "./hit.js"

const n = 20_000

/** a store as it comes: 10 000 entries, as many as Effect's Cache is given; a miss pays for what leaves, too */
const runtime = ManagedRuntime.make(Layer.merge(MemoryCache.layer({ name: "bench misses" }), services))

const inRuntime = <A, E>(effect: Effect.Effect<A, E, CacheStore>): Effect.Effect<A> =>
  Effect.promise(() => runtime.runPromise(effect))

type Lookup = (key: number) => Effect.Effect<number>

/** each run has keys of its own: a counter goes on from run to run. What came is added up, and checked by its sum */
const misses = (
  name: string,
  make: Effect.Effect<(key: number) => Effect.Effect<number, never, CacheStore>, never, CacheStore>
): Contender => ({
  name,
  operations: n,
  run: Effect.map(inRuntime(make), (once) => {
    let from = 0
    return inRuntime(
      Effect.gen(function* () {
        const to = from + n
        let sum = 0
        for (let key = from; key < to; key++) sum += yield* once(key)
        yield* check(name, sum, ((from + to - 1) * n) / 2)
        from = to
      })
    )
  })
})

const missGroup = (kind: string, bound: number, lookup: Lookup) => (): Group => ({
  title: `miss, ${kind}`,
  floor: "Cache.get",
  bounds: { "Cached.ttl": bound },
  clock: "cpu",
  rounds: 21,
  contenders: [
    misses(
      "Cache.get",
      Effect.map(Cache.make({ capacity: 10_000, timeToLive: "1 hour", lookup }), (cache) => (key) => cache.get(key))
    ),
    misses(
      "Cached.ttl",
      Effect.sync(() => Cached.ttl(lookup, { key: `${kind.length}:miss:{}` as "miss:{}", ttl: "1 hour" }))
    ),
    misses(
      "Effect.cachedWithTTL, made per key",
      Effect.succeed((key) => Effect.flatten(Effect.cachedWithTTL(lookup(key), "1 hour")))
    ),
    misses(
      "lru-cache, by hand",
      Effect.sync(() => {
        const lru = new LRUCache<string, number>({ max: 10_000, ttl: 3_600_000 })
        return (key) =>
          Effect.suspend(() => {
            const text = `miss:${key}`
            const there = lru.get(text)
            return there === undefined
              ? Effect.map(lookup(key), (value) => {
                  lru.set(text, value)
                  return value
                })
              : Effect.succeed(there)
          })
      })
    ),
    misses("the lookup alone", Effect.succeed(lookup))
  ]
})

export const syncMiss = missGroup("synchronous lookup", 0.5, (key) => Effect.succeed(key))

export const yieldingMiss = missGroup("lookup that yields once", 1, (key) => Effect.as(Effect.yieldNow(), key))

const waiters = 10_000

/** 10 000 fibers wait for one thing, which then comes */
const herd = (
  name: string,
  make: Effect.Effect<{
    readonly wait: Effect.Effect<number, never, CacheStore>
    readonly release: Effect.Effect<unknown>
  }>
): Contender => ({
  name,
  operations: waiters,
  run: Effect.succeed(
    Effect.promise(() =>
      runtime.runPromise(
        Effect.gen(function* () {
          const { wait, release } = yield* make
          const fibers: Array<Fiber.RuntimeFiber<number>> = []
          for (let i = 0; i < waiters; i++) fibers.push(yield* Effect.fork(wait))
          yield* Effect.yieldNow()
          yield* Effect.yieldNow()
          yield* release
          let sum = 0
          for (const fiber of fibers) sum += yield* Fiber.join(fiber)
          yield* check(name, sum, waiters)
        })
      )
    )
  )
})

let herds = 0

const herdGroup = (clock: "cpu" | "wall") => (): Group => ({
  title: "10 000 waiters on one key, per waiter",
  floor: "floor: one bare Deferred",
  bounds: { "Cached.ttl": 1.15 },
  clock,
  rounds: 15,
  contenders: [
    herd(
      "floor: one bare Deferred",
      Effect.map(Deferred.make<number>(), (deferred) => ({
        wait: Deferred.await(deferred),
        release: Deferred.succeed(deferred, 1)
      }))
    ),
    herd(
      "Cached.ttl",
      Effect.gen(function* () {
        const deferred = yield* Deferred.make<number>()
        let loads = 0
        const wait = Cached.ttl(
          Effect.suspend(() => {
            loads++
            return Deferred.await(deferred)
          }),
          { key: `herd:${herds++}`, ttl: Duration.infinity }
        )
        return {
          wait,
          release: Effect.zipRight(
            Effect.suspend(() => check("loads", loads, 1)),
            Deferred.succeed(deferred, 1)
          )
        }
      })
    ),
    herd(
      "Cache.get",
      Effect.gen(function* () {
        const deferred = yield* Deferred.make<number>()
        const cache = yield* Cache.make({
          capacity: 10,
          timeToLive: Duration.infinity,
          lookup: (_: string) => Deferred.await(deferred)
        })
        return { wait: cache.get("k"), release: Deferred.succeed(deferred, 1) }
      })
    )
  ]
})

export const herdCpu = herdGroup("cpu")
export const herdWall = herdGroup("wall")
