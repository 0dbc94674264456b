/**
 * The number of series in Effect's registry does not depend on the number of keys and definitions, and no label has a part
 * of a key. `npm run test:long` uses 100 000 of each.
 */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Metric } from "effect"
import { Cached, CacheStore, MemoryCache } from "effect-cached"
import { minute } from "../laws/support.js"

const count = Number(process.env.CARDINALITY_COUNT ?? 1_000)

interface Series {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
}

/** The series of a store. The registry is that of the process, so each test has stores of its own names. */
const seriesOf = (store: string): Effect.Effect<ReadonlyArray<Series>> =>
  Effect.map(Metric.snapshot, (pairs) =>
    pairs
      .map(({ metricKey }) => ({
        name: metricKey.name,
        labels: Object.fromEntries(metricKey.tags.map(({ key, value }) => [key, value]))
      }))
      .filter(({ labels }) => labels.store === store)
  )

describe("labels", () => {
  const secret = "ada@example.org"

  it.effect(
    "keys and definitions, however many - leave the number of series as it is, and no part of a key in it",
    () =>
      Effect.gen(function* () {
        const name = "cardinality"
        yield* Effect.gen(function* () {
          const store = yield* CacheStore
          const byTemplate = Cached.ttl((id: string) => Effect.succeed(id), { key: "user:{}", ...minute })
          const byFunction = Cached.ttl((id: string) => Effect.succeed(id), {
            key: (id) => `customer:${id}`,
            name: "customer",
            ...minute
          })
          const use = (i: number) => {
            const key = `${secret}:${i}`
            // a definition per call, as in a request handler
            const perCall = Cached.ttl(Effect.succeed(i), { key: `own:${key}`, name: "own", ...minute })
            return Effect.all([byTemplate(key), byFunction(key), perCall, store.set(key, i, minute)], { discard: true })
          }
          yield* use(0)
          const before = yield* seriesOf(name)
          yield* Effect.forEach(
            Array.from({ length: count }, (_, i) => i + 1),
            use,
            { discard: true }
          )
          const after = yield* seriesOf(name)
          assert.lengthOf(after, before.length)
          const labels = after.flatMap((series) => Object.values(series.labels))
          assert.isFalse(labels.some((label) => label.includes("ada")))
          deepStrictEqual(
            new Set(after.flatMap((series) => Object.keys(series.labels))),
            new Set(["store", "cache", "cause"])
          )
          deepStrictEqual(Object.keys((yield* store.stats).caches), ["user:{}", "customer", "own"])
        }).pipe(Effect.provide(MemoryCache.layer({ name, capacity: 100 })))
      })
  )

  it.effect("stores of one name, one after the other - share their series", () =>
    Effect.gen(function* () {
      const name = "again"
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "user:{}", ...minute })
      const use = Effect.flatMap(CacheStore, (store) => Effect.zipRight(find(1), store.set("k", 1, minute)))
      const once = Effect.zipRight(
        Effect.provide(use, MemoryCache.layer({ name })),
        Effect.provide(use, MemoryCache.layer({ name, values: "serialized" }))
      )
      yield* once
      const before = yield* seriesOf(name)
      deepStrictEqual(new Set(before.map(({ name }) => name)).has("cache_load_duration_seconds"), true)
      yield* Effect.repeatN(once, 2)
      deepStrictEqual(yield* seriesOf(name), before)
    })
  )

  it.effect("names of definitions, however many - are 256, and `other`", () =>
    Effect.gen(function* () {
      const name = "names"
      yield* Effect.gen(function* () {
        const use = (i: number) => Cached.ttl(Effect.succeed(i), { key: "k", name: `function ${i}`, ...minute })
        yield* Effect.forEach(
          Array.from({ length: 300 }, (_, i) => i),
          use,
          { discard: true }
        )
        const before = (yield* seriesOf(name)).length
        yield* Effect.forEach(
          Array.from({ length: count }, (_, i) => 300 + i),
          use,
          { discard: true }
        )
        const after = yield* seriesOf(name)
        assert.lengthOf(after, before)
        assert.strictEqual(new Set(after.flatMap(({ labels }) => labels.cache ?? [])).size, 257)
      }).pipe(Effect.provide(MemoryCache.layer({ name })))
    })
  )
})
