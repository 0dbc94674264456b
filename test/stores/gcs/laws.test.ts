import { afterAll } from "@effect/vitest"
import { Effect, Layer, ManagedRuntime } from "effect"
import * as GcsCache from "../../../src/GcsCache.js"
import { storeLaws } from "../../laws/index.js"
import type { StoreUnderTest } from "../../laws/support.js"
import * as Gcs from "../../support/gcs.js"

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

storeLaws(store)
