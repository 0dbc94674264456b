/** A miss: what the library adds to a load; and a herd: what waiting for one costs. */
import { Cache, Deferred, Duration, Effect, Fiber } from "effect"
import { Cached, type CacheStore } from "effect-cached"
import { type Contender, check, type Group } from "./harness.js"
import { loop, runtime } from "./hit.js"

const n = 20_000

/** each run has keys of its own: a counter goes on from run to run */
const misses = (
  name: string,
  make: (
    lookup: (key: number) => Effect.Effect<number>
  ) => Effect.Effect<(key: number) => Effect.Effect<number, never, CacheStore>>,
  lookup: (key: number) => Effect.Effect<number>
): Contender => ({
  name,
  operations: n,
  run: Effect.map(make(lookup), (once) => {
    let next = 0
    return loop(n, () => {
      const key = next++
      return Effect.flatMap(once(key), (value) => check(name, value, key))
    })
  })
})

const missGroup = (kind: string, bound: number, lookup: (key: number) => Effect.Effect<number>) => (): Group => ({
  title: `miss, ${kind}`,
  floor: "Cache.get",
  bounds: { "Cached.ttl": bound },
  clock: "cpu",
  rounds: 15,
  contenders: [
    misses(
      "Cache.get",
      (lookup) =>
        Effect.map(Cache.make({ capacity: 10_000, timeToLive: "1 hour", lookup }), (cache) => (key) => cache.get(key)),
      lookup
    ),
    misses(
      "Cached.ttl",
      (lookup) => Effect.sync(() => Cached.ttl(lookup, { key: `${kind.length}:miss:{}` as "miss:{}", ttl: "1 hour" })),
      lookup
    ),
    misses("the lookup alone", (lookup) => Effect.succeed(lookup), lookup)
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
