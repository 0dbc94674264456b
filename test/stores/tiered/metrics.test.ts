/**
 * The metrics of a store with tiers: each failure of a tier is one count.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric, Stream } from "effect"
import { type Backend, Cached, CacheStore, CacheStoreError, MemoryCache, TieredCache } from "../../../src/index.js"
import { eventually, minute } from "../../laws/support.js"

const failure = (method: string) => new CacheStoreError({ reason: "Rejected", store: "broken", method })

/** A remote backend of which every operation fails. */
const broken: Backend.Backend = {
  name: "broken",
  remote: true,
  getMany: () => failure("getMany"),
  setMany: () => failure("setMany"),
  setIfAbsent: () => failure("setIfAbsent"),
  removeMany: () => failure("removeMany"),
  marks: { every: 1_000, read: failure("marks"), raise: () => failure("raise") },
  lock: () => failure("lock"),
  sweep: () => failure("sweep"),
  list: () => failure("list")
}

/** The sum of `cache_store_errors` over all series of a store. */
const sumOf = (name: string) =>
  Effect.map(Metric.snapshot, (pairs) =>
    pairs
      .filter(({ metricKey }) => metricKey.name === "cache_store_errors")
      .filter(({ metricKey }) => metricKey.tags.some(({ key, value }) => key === "store" && value === name))
      .reduce((sum, { metricState }) => sum + (metricState as unknown as { readonly count: number }).count, 0)
  )

const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "user:{}", ...minute, lock: { lease: "1 second" } })

describe("cache_store_errors", () => {
  const stores = {
    "one tier": (name: string) => CacheStore.make({ ...broken, name }),
    "memory over one tier": (name: string) =>
      TieredCache.make({ name, tiers: [{ backend: MemoryCache.backend() }, { backend: Effect.succeed(broken) }] }),
    "two tiers": (name: string) =>
      TieredCache.make({
        name,
        tiers: [{ backend: Effect.succeed(broken) }, { backend: Effect.succeed({ ...broken, name: "deep" }) }]
      })
  }
  for (const [title, make] of Object.entries(stores)) {
    it.scoped(`${title} - the sum over all series is the number of failures`, () =>
      Effect.gen(function* () {
        const name = `errors of ${title}`
        const store = yield* make(name)
        const steps = [
          find(1),
          find.invalidate(2),
          store.set("k", 1, minute),
          store.clear,
          store.tags.invalidate(["t"]),
          Effect.ignore(store.setIfAbsent("j", 1, minute)),
          store.getMany(["a", "b"]),
          store.sweep,
          Effect.ignore(Stream.runDrain(store.keys))
        ]
        for (const step of steps) {
          yield* Effect.provideService(step, CacheStore, store)
          yield* eventually(
            Effect.map(sumOf(name), (sum) => sum > 0),
            "a failure is counted"
          )
          yield* Effect.repeatN(Effect.yieldNow(), 50)
          const { errors, storeErrors } = yield* store.stats
          assert.isAbove(storeErrors, 0)
          assert.strictEqual(yield* sumOf(name), storeErrors)
          const byReason = Object.values(errors).flatMap((reasons) => Object.values<number>(reasons))
          assert.strictEqual(
            byReason.reduce((sum, count) => sum + count, 0),
            storeErrors
          )
        }
      })
    )
  }
})
