import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { Layer } from "effect"
import * as KeyValueCache from "../../src/KeyValueCache.js"
import { bounds } from "./bounds.js"
import { freshness } from "./freshness.js"
import type { StoreUnderTest } from "./support.js"
import { values } from "./values.js"

const store: StoreUnderTest = {
  name: "key-value",
  layer: Layer.provide(KeyValueCache.layer(), Layer.fresh(KeyValueStore.layerMemory)),
  remote: true
}

freshness(store)
values(store)
bounds(store)
