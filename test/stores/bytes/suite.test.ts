import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { CacheStore } from "../../../src/index.js"
import { CacheStoreSuite, ChaosCache } from "../../../src/testing.js"
import * as Shelf from "../../support/shelf.js"

const medium = (
  around: (backend: ReturnType<typeof Shelf.backend>) => Effect.Effect<ReturnType<typeof Shelf.backend>>
): CacheStoreSuite.Options["medium"] =>
  Effect.sync(() => {
    const shelf = new Shelf.Shelf()
    return {
      backend: Effect.map(
        Effect.suspend(() => around(Shelf.backend(shelf))),
        (bytes) => CacheStore.fromBytes(bytes)
      ),
      corrupt: (key) => Effect.sync(() => shelf.corrupt(key))
    }
  })

CacheStoreSuite.run("CacheStore.makeBytes", { medium: medium(Effect.succeed) }, { describe, it })

describe("slow", () => {
  const slow = (bytes: ReturnType<typeof Shelf.backend>) =>
    Effect.gen(function* () {
      const { backend, chaos } = yield* ChaosCache.makeBytes(bytes)
      yield* chaos.begin({ delay: { least: 0, most: 3 } })
      return backend
    })
  CacheStoreSuite.run("CacheStore.makeBytes", { medium: medium(slow) }, { describe, it })
})
