/**
 * The store in memory that hits are measured on.
 */
import { Context, Effect, Layer, ManagedRuntime } from "effect"
import { type CacheStore, MemoryCache } from "effect-cached"
import { type Contender, check } from "./harness.js"

/** Twenty services, because the context of a read in a real program has that many. */
export const services = Layer.mergeAll(
  Layer.empty,
  ...Array.from({ length: 20 }, (_, i) => Layer.succeed(Context.GenericTag<number>(`bench/Service${i}`), i))
)

/** The store in memory that hits are measured on, with those services. */
export const runtime = ManagedRuntime.make(Layer.merge(MemoryCache.layer({ capacity: 50_000 }), services))

/** Runs an effect `n` times in one fiber. */
export const loop = <E>(n: number, once: (i: number) => Effect.Effect<unknown, E, CacheStore>): Effect.Effect<void> =>
  Effect.promise(() =>
    runtime.runPromise(
      Effect.gen(function* () {
        for (let i = 0; i < n; i++) yield* once(i)
      }) as Effect.Effect<void, never, CacheStore>
    )
  )

/** Runs an effect once. */
export const one = (effect: Effect.Effect<unknown, unknown, CacheStore>): Effect.Effect<unknown> =>
  Effect.promise(() => runtime.runPromise(effect as Effect.Effect<unknown, never, CacheStore>))

/** The number of hits of one run. */
export const n = 30_000

/** A contender that is run in one fiber, after the results of three operations are checked. */
export const contender = (
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
