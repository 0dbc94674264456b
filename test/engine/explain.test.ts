/**
 * `explain` of functions on stores that fail, and what it leaves alone.
 */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Layer, Option, Schedule, Stream, TestClock } from "effect"
import { Cached, CachePolicy, CacheStore, MemoryCache, MemoryCacheLive, TieredCache } from "effect-cached"
import type { Explanation } from "../../src/CacheEvent.js"
import { ChaosCache } from "../../src/testing.js"
import { counting, eventually, minute, recordWarnings, settled } from "../laws/support.js"

/** Memory over a tier whose notifications never arrive, so that a copy in memory never counts. Both may fail. */
const blind = ChaosCache.layer(
  TieredCache.backend({
    tiers: [
      { name: "memory", backend: MemoryCache.backend() },
      {
        name: "shared",
        backend: Effect.map(MemoryCache.backend(), (backend) => ({
          ...backend,
          remote: true,
          unsafeGet: undefined,
          unsafePeek: undefined,
          notifications: () => Stream.never
        }))
      }
    ]
  }),
  { blindTtl: 0, breaker: false }
)

const reasons = <E, R>(...explained: ReadonlyArray<Effect.Effect<Explanation, E, R>>) =>
  Effect.map(Effect.all(explained), (all) => all.map(({ outcome, reason }) => reason ?? outcome))

describe("explain", () => {
  it.effect("a store that does not answer - blind where memory has a copy that does not count", () =>
    Effect.gen(function* () {
      const chaos = yield* ChaosCache.Chaos
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })
      yield* find(1)
      yield* eventually(
        Effect.map(find.explain(1), ({ tier }) => tier === "shared"),
        "the entry is in the lower tier"
      )
      yield* chaos.begin({ fail: 1 })
      deepStrictEqual(yield* reasons(find.explain(1), find.explain(2)), ["blind", "store"])
      const { misses } = yield* Effect.flatMap(CacheStore, (store) => store.stats)
      yield* Effect.all([find(1), find(2)])
      const { misses: after } = yield* Effect.flatMap(CacheStore, (store) => store.stats)
      assert.strictEqual(after - misses, 2)
    }).pipe(Effect.provide(blind))
  )

  it.effect("onStoreError: fail - explains a read that fails as a miss, and does not fail", () =>
    Effect.gen(function* () {
      const chaos = yield* ChaosCache.Chaos
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute, onStoreError: "fail" })
      yield* chaos.begin({ fail: 1 })
      deepStrictEqual(yield* reasons(find.explain(1)), ["store"])
    }).pipe(Effect.provide(ChaosCache.layer(MemoryCache.backend())))
  )

  it.effect("an entry of another function - is no warning", () => {
    const warnings = recordWarnings()
    return Effect.gen(function* () {
      yield* Cached.ttl(Effect.succeed(1), { key: "k", name: "one", ...minute })
      const other = Cached.ttl(Effect.succeed(2), { key: "k", name: "two", ...minute })
      deepStrictEqual(yield* reasons(other.explain), ["owner"])
      yield* settled
      deepStrictEqual(warnings.lines, [])
      const { problems } = yield* Effect.flatMap(CacheStore, (store) => store.health)
      deepStrictEqual(problems, [])
      yield* other
      yield* eventually(() => warnings.lines.length === 1, "the read warns")
    }).pipe(Effect.provide(Layer.provide(MemoryCacheLive, warnings.layer)))
  })

  it.effect("maxIdle - lets no entry live on", () =>
    Effect.gen(function* () {
      const cached = Cached.ttl(Effect.succeed(1), { key: "k", ...minute, maxIdle: "10 seconds" })
      yield* cached
      yield* TestClock.adjust("9 seconds")
      deepStrictEqual(yield* reasons(cached.explain), ["hit"])
      yield* TestClock.adjust("1 second")
      deepStrictEqual(yield* reasons(cached.explain), ["expired"])
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.effect("a full store - is no use of an entry", () =>
    Effect.gen(function* () {
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })
      yield* Effect.all([find(1), find(2)])
      yield* find.explain(1)
      yield* find(3)
      deepStrictEqual(yield* reasons(find.explain(1), find.explain(2)), ["absent", "hit"])
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 2, eviction: "lru" })))
  )

  it.effect("an entry of a slower tier - is no hit, miss or backfill", () =>
    Effect.gen(function* () {
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ...minute })
      yield* find(1)
      const where = Effect.map(find.explain(1), ({ tier }) => tier)
      yield* eventually(
        Effect.map(where, (tier) => tier === "shared"),
        "the entry is in the lower tier"
      )
      const { tiers } = yield* Effect.flatMap(CacheStore, (store) => store.stats)
      deepStrictEqual(
        tiers.map(({ backfills, hits, misses }) => [backfills, hits, misses]),
        [
          [0, 0, 1],
          [0, 0, 1]
        ]
      )
    }).pipe(Effect.provide(blind))
  )

  it.effect("a store without caching, and a stub - are disabled", () =>
    Effect.gen(function* () {
      const cached = Cached.ttl(Effect.succeed(1), { key: "k", ...minute })
      const stub = Cached.stub((id: number) => Effect.succeed(id))
      const explained = [cached.explain, stub.explain(1), Cached.stub(Effect.succeed(1)).explain]
      deepStrictEqual(yield* reasons(...explained), ["disabled", "disabled", "disabled"])
    }).pipe(Effect.provide(CacheStore.layerNoop))
  )

  it.scoped("bg, bgWrite and bgRead - as their readers read", () =>
    Effect.gen(function* () {
      const { lookup } = counting()
      const flags = yield* Cached.bg(lookup(), { key: "flags", interval: "1 minute" })
      const writer = yield* Cached.bgWrite(Effect.succeed(1), { key: "w", ttl: "10 seconds", schedule: Schedule.stop })
      const reader = yield* Cached.bgRead<number>({ key: "w" })
      const never = yield* Cached.bgRead<number>({ key: "never" })
      yield* reader.ready
      yield* flags
      const all = [flags.explain, writer.explain, reader.explain, never.explain] as const
      deepStrictEqual(yield* reasons(...all), ["hit", "hit", "hit", "absent"])
      assert.strictEqual((yield* reader.explain).cacheStatus, "effect-cached; hit; ttl=10")
      yield* TestClock.adjust("10 seconds")
      deepStrictEqual(yield* reasons(...all), ["hit", "expired", "expired", "absent"])
      deepStrictEqual(yield* reader, Option.none())
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.effect("policy - as the CachePolicy above it says", () =>
    Effect.gen(function* () {
      const cached = Cached.policy(Effect.succeed(1), { key: "k" })
      const off = Effect.provide(cached.explain, CachePolicy.layer({ ttl: 0 }))
      const on = Effect.provide(cached.explain, CachePolicy.layer(minute))
      deepStrictEqual(yield* reasons(off, on), ["disabled", "absent"])
    }).pipe(Effect.provide(MemoryCacheLive))
  )
})
