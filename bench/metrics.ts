/**
 * What do metrics cost a hit in memory? The same reads, on a store with metrics and on one without.
 */
import { Effect, Layer, ManagedRuntime } from "effect"
import { Cached, CacheMetrics, type CacheStore, MemoryCache } from "effect-cached"
import { type Contender, check, groupSection, type Section } from "./support/harness.js"
import { n, services } from "./support/memory.js"

const keys = 10_000

/** Reads that hit, in one fiber, on a store of their own. */
const hits = (name: string, store: Layer.Layer<CacheStore>): Contender => {
  const runtime = ManagedRuntime.make(Layer.merge(store, services))
  const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "user:{}", ttl: "1 hour" })
  const run = (effect: Effect.Effect<unknown, never, CacheStore>) => Effect.promise(() => runtime.runPromise(effect))
  const fill = run(
    Effect.forEach(
      Array.from({ length: keys }, (_, i) => i),
      find
    )
  )
  const prepare = Effect.zipRight(
    fill,
    Effect.flatMap(run(find(7)), (value) => check(name, value, 7))
  )
  const loop = Effect.asVoid(
    run(
      Effect.gen(function* () {
        for (let i = 0; i < n; i++) yield* find(i % keys)
      })
    )
  )
  return {
    name,
    operations: n,
    run: Effect.as(prepare, loop)
  }
}

export const metrics: ReadonlyArray<Section> = [
  groupSection("a hit, with metrics and without", () => ({
    floor: "CacheMetrics.disabled",
    bounds: { "with metrics": 1.1 },
    clock: "cpu",
    rounds: 21,
    contenders: [
      hits("CacheMetrics.disabled", MemoryCache.layer({ capacity: 50_000 }).pipe(Layer.provide(CacheMetrics.disabled))),
      hits("with metrics", MemoryCache.layer({ capacity: 50_000 }))
    ]
  }))
]
