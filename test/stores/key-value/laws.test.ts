import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { Layer } from "effect"
import * as KeyValueCache from "../../../src/KeyValueCache.js"
import { storeLaws } from "../../laws/index.js"
import type { StoreUnderTest } from "../../laws/support.js"

const store: StoreUnderTest = {
  name: "key-value",
  layer: Layer.provide(KeyValueCache.layer(), Layer.fresh(KeyValueStore.layerMemory)),
  remote: true,
  cannotSweep: true
}

storeLaws(store)
