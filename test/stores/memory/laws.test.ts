import { MemoryCacheLive } from "../../../src/index.js"
import { storeLaws } from "../../laws/index.js"
import type { StoreUnderTest } from "../../laws/support.js"

const memory: StoreUnderTest = { name: "memory", layer: MemoryCacheLive, remote: false }

storeLaws(memory)
