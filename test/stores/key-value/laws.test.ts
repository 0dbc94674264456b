import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { Layer } from "effect"
import * as KeyValueCache from "../../../src/KeyValueCache.js"
import { bounds } from "../../laws/bounds.js"
import { freshness } from "../../laws/freshness.js"
import type { StoreUnderTest } from "../../laws/support.js"
import { values } from "../../laws/values.js"

const store: StoreUnderTest = {
  name: "key-value",
  layer: Layer.provide(KeyValueCache.layer(), Layer.fresh(KeyValueStore.layerMemory)),
  remote: true
}

freshness(store)
values(store)
bounds(store)
