import { MemoryCacheLive } from "../../src/index.js"
import { bounds } from "./bounds.js"
import { freshness } from "./freshness.js"
import type { StoreUnderTest } from "./support.js"
import { values } from "./values.js"

const memory: StoreUnderTest = { name: "memory", layer: MemoryCacheLive, remote: false }

freshness(memory)
values(memory)
bounds(memory)
