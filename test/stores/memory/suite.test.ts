import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { MemoryCache } from "../../../src/index.js"
import { CacheStoreSuite } from "../../../src/testing.js"

CacheStoreSuite.run(
  "MemoryCache",
  { medium: Effect.succeed({ backend: MemoryCache.backend() }), without: { shared: "it ends with its process" } },
  { describe: describe.concurrent, it }
)
