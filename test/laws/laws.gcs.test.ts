import { afterAll } from "@effect/vitest"
import { Effect, Layer, ManagedRuntime } from "effect"
import * as GcsCache from "../../src/GcsCache.js"
import * as Gcs from "../support/gcs.js"
import { bounds } from "./bounds.js"
import { freshness } from "./freshness.js"
import type { StoreUnderTest } from "./support.js"
import { values } from "./values.js"

class Double extends Effect.Service<Double>()("Double", { scoped: Gcs.make }) {}

const double = ManagedRuntime.make(Double.Default)
afterAll(() => double.dispose())

let count = 0

const store: StoreUnderTest = {
  name: "gcs",
  layer: Layer.unwrapEffect(
    Effect.map(
      Effect.promise(() => double.runPromise(Double)),
      (gcs) => GcsCache.layer({ bucket: Gcs.bucket, prefix: `t${++count}/`, client: gcs.clientOptions() })
    )
  ),
  remote: true
}

freshness(store)
values(store)
bounds(store)
