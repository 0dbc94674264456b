/**
 * What does waiting for a load cost, for each of 10 000 waiters?
 */
import { Cache, Deferred, Duration, Effect, Fiber, Layer, ManagedRuntime } from "effect"
import { Cached, type CacheStore, MemoryCache } from "effect-cached"
import { type Contender, check, type Group, groupSection, type Section } from "./support/harness.js"
import { services } from "./support/memory.js"

const runtime = ManagedRuntime.make(Layer.merge(MemoryCache.layer({ name: "bench herds" }), services))

const waiters = 10_000

/** Forks 10 000 fibers that wait for one value, then releases it. */
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

let made = 0

const herdGroup = (clock: "cpu" | "wall") => (): Omit<Group, "title"> => ({
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
          { key: `herd:${made++}`, name: "herd", ttl: Duration.infinity }
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

export const herds: ReadonlyArray<Section> = (["cpu", "wall"] as const).map((clock) =>
  groupSection("10 000 waiters on one key, per waiter", herdGroup(clock))
)
