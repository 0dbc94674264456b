import { Config } from "effect"
import { describe, expectTypeOf, it } from "vitest"
import { MemoryCache, Serializer, TieredCache } from "../../src/index.js"

describe("MemoryCache", () => {
  it("values - are shared, frozen or serialized", () => {
    expectTypeOf<MemoryCache.Options["values"]>().toEqualTypeOf<"shared" | "frozen" | "serialized" | undefined>()
    MemoryCache.layer({ values: "serialized", serializer: Serializer.json, maxValueBytes: 1_000 })
    MemoryCache.layerConfig({ values: Config.literal("shared", "frozen", "serialized")("CACHE_VALUES") })
    // @ts-expect-error no such form
    MemoryCache.layer({ values: "copies" })
  })

  it("a tier - keeps shared or frozen values, so that it follows notifications", () => {
    TieredCache.layer({ tiers: [{ backend: MemoryCache.backend({ values: "frozen" }) }] })
    // @ts-expect-error only a store that is memory alone can keep bytes
    TieredCache.layer({ tiers: [{ backend: MemoryCache.backend({ values: "serialized" }) }] })
  })
})
