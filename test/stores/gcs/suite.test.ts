import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as GcsCache from "../../../src/GcsCache.js"
import { nameOf } from "../../../src/internal/backends/object/format.js"
import { CacheStoreSuite } from "../../../src/testing.js"
import * as Gcs from "../../support/gcs.js"

CacheStoreSuite.run(
  "GcsCache",
  {
    medium: Effect.map(Gcs.make, (gcs) => ({
      backend: GcsCache.backend({ bucket: Gcs.bucket, client: gcs.clientOptions() }),
      corrupt: (key: string) =>
        Effect.sync(() => {
          const name = `ec1/entries/${nameOf(key)}`
          const there = gcs.objects.get(name)!
          gcs.objects.set(name, { ...there, bytes: Buffer.from("broken"), generation: there.generation + 1 })
        })
    }))
  },
  { describe: describe.concurrent, it }
)
