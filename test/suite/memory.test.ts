import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { MemoryCache } from "../../src/index.js"
import { CacheStoreSuite, ChaosCache } from "../../src/testing.js"

const without = { shared: "it ends with its process" }

CacheStoreSuite.run(
  "MemoryCache",
  { medium: Effect.succeed({ backend: MemoryCache.backend() }), without },
  { describe, it }
)

describe("slow", () => {
  const backend = Effect.gen(function* () {
    const { backend, chaos } = yield* ChaosCache.make(yield* MemoryCache.backend())
    yield* chaos.begin({ delay: { least: 0, most: 3 } })
    return backend
  })
  CacheStoreSuite.run("MemoryCache", { medium: Effect.succeed({ backend }), without }, { describe, it })
})
