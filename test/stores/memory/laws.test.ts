import { MemoryCacheLive } from "../../../src/index.js"
import { bounds } from "../../laws/bounds.js"
import { freshness } from "../../laws/freshness.js"
import type { StoreUnderTest } from "../../laws/support.js"
import { values } from "../../laws/values.js"

const memory: StoreUnderTest = { name: "memory", layer: MemoryCacheLive, remote: false }

freshness(memory)
values(memory)
bounds(memory)
