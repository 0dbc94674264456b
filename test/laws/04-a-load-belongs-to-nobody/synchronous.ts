/**
 * Loads whose lookup is synchronous. They need neither a scheduler nor a store that does I/O.
 */
import { assert, describe } from "@effect/vitest"
import { Effect, Option, Runtime, TestClock } from "effect"
import * as Cached from "../../../src/Cached.js"
import type { CacheStore } from "../../../src/CacheStore.js"
import { eventually, gate, numbered, type StoreUnderTest, testOn } from "../support.js"

export const synchronousLoads = (store: StoreUnderTest): void => {
  const test = testOn(store)

  describe("synchronous loads", () => {
    test("runSync - reads, hits and refreshes", () =>
      Effect.gen(function* () {
        const runtime = yield* Effect.runtime<CacheStore>()
        const { lookup } = numbered((call, _: string) => Effect.sync(() => call))
        const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
        const run = <A, E>(effect: Effect.Effect<A, E, CacheStore>) => Runtime.runSync(runtime)(effect)
        assert.strictEqual(run(find("a")), 1)
        assert.strictEqual(run(find("a")), 1)
        assert.strictEqual(run(find.refresh("a")), 2)
        assert.strictEqual(run(Cached.reload(find("a"))), 3)
        assert.strictEqual(run(find("a")), 3)
        assert.strictEqual(run(Cached.bypass(find("a"))), 4)
        assert.strictEqual(run(find("a")), 3)
      }))

    test("runSync - a stale read is answered at once, and its slow refresh runs on afterwards", () =>
      Effect.gen(function* () {
        const runtime = yield* Effect.runtime<CacheStore>()
        const door = gate()
        const { calls, lookup } = numbered((call) =>
          Effect.as(call > 1 ? Effect.zipRight(Effect.yieldNow(), door.pass) : Effect.void, call)
        )
        const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
        const run = <A, E>(effect: Effect.Effect<A, E, CacheStore>) => Runtime.runSync(runtime)(effect)
        assert.strictEqual(run(find()), 1)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(run(find()), 1)
        // The refresh has not begun yet: nothing delays the read.
        assert.strictEqual(calls.length, 1)
        yield* door.reached
        yield* door.open
        yield* eventually(Effect.map(find.peek(), Option.contains(2)), "the refresh has stored")
      }))

    test("scheduler - a load and a hit schedule no task", () =>
      Effect.gen(function* () {
        let scheduled = 0
        const find = Cached.ttl(
          Effect.sync(() => ({})),
          { key: "k", ttl: "1 minute" }
        )
        yield* Effect.withScheduler(Effect.zipRight(find, find), {
          scheduleTask: (task, priority, fiber) => {
            scheduled++
            fiber?.currentScheduler.scheduleTask(task, priority, fiber)
          },
          shouldYield: () => false
        })
        assert.strictEqual(scheduled, 0)
      }))
  })
}
