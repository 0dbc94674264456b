import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { nameOf } from "../../../src/internal/backends/object/format.js"
import * as KeyValueCache from "../../../src/KeyValueCache.js"
import { CacheStoreSuite } from "../../../src/testing.js"

const noCondition = "a KeyValueStore cannot check and write in one step"

CacheStoreSuite.run(
  "KeyValueCache",
  {
    medium: Effect.map(
      Effect.scoped(Effect.provide(KeyValueStore.KeyValueStore, KeyValueStore.layerMemory)),
      (store) => ({
        backend: Effect.provideService(KeyValueCache.backend(), KeyValueStore.KeyValueStore, store),
        corrupt: (key) => store.modifyUint8Array(`ec1:${nameOf(key)}`, (bytes) => bytes.slice(0, bytes.length >> 1))
      })
    ),
    without: { exclusive: noCondition },
    // the cases run at the same time
    timeout: "1 minute"
  },
  { describe: describe.concurrent, it }
)
