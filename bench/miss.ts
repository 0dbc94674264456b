/**
 * What does the library add to a load?
 */
import { Cache, Effect, Layer, ManagedRuntime } from "effect"
import { Cached, type CacheStore, MemoryCache } from "effect-cached"
import { LRUCache } from "lru-cache"
import { type Contender, check, type Group, groupSection, type Section } from "./support/harness.js"
import { services } from "./support/memory.js"

const n = 20_000

/** A store of the default capacity, 10 000 entries, like the Effect `Cache` beside it. A miss includes its eviction. */
const runtime = ManagedRuntime.make(Layer.merge(MemoryCache.layer({ name: "bench misses" }), services))

const inRuntime = <A, E>(effect: Effect.Effect<A, E, CacheStore>): Effect.Effect<A> =>
  Effect.promise(() => runtime.runPromise(effect))

type Lookup = (key: number) => Effect.Effect<number>

/** Every run reads new keys: the counter continues from run to run. The results are checked by their sum. */
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

const missGroup = (kind: string, bound: number, lookup: Lookup) => (): Omit<Group, "title"> => ({
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

const missSection = (kind: string, bound: number, lookup: Lookup): Section =>
  groupSection(`miss, ${kind}`, missGroup(kind, bound, lookup))

export const miss: ReadonlyArray<Section> = [
  missSection("synchronous lookup", 0.5, (key) => Effect.succeed(key)),
  missSection("lookup that yields once", 1, (key) => Effect.as(Effect.yieldNow(), key))
]
