/**
 * Law 4 (a load belongs to nobody): a load runs in its own fiber, and no caller can end it for the others.
 */
import { describe } from "@effect/vitest"
import { flightTimeout } from "./04-a-load-belongs-to-nobody/flightTimeout.js"
import { interruption } from "./04-a-load-belongs-to-nobody/interruption.js"
import { loadFiber } from "./04-a-load-belongs-to-nobody/loadFiber.js"
import { spans } from "./04-a-load-belongs-to-nobody/spans.js"
import { synchronousLoads } from "./04-a-load-belongs-to-nobody/synchronous.js"
import type { StoreUnderTest } from "./support.js"

export const loadBelongsToNobody = (store: StoreUnderTest): void => {
  describe("law 4: a load belongs to nobody", () => {
    interruption(store)
    loadFiber(store)
    spans(store)
    flightTimeout(store)
    if (!store.remote) synchronousLoads(store)
  })
}
