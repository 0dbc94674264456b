import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Schema } from "effect"
import { Cached, CacheStore } from "effect-cached"
import * as Entry from "../../src/Entry.js"
import { gate, minute, until } from "../laws/support.js"

describe("ReadBatcher", () => {
  it.scopedLive("law 8: invalidation wins - over every read in progress, also over reads with different schemas", () =>
    Effect.gen(function* () {
      const answering = gate()
      const old = new Entry.Entry("old", {
        stamp: 1,
        createdAt: Date.now(),
        freshUntil: Date.now() + 60_000,
        expiresAt: Date.now() + 60_000,
        owner: "k",
        tags: []
      })
      let isRemoved = false
      let reads = 0
      const store = yield* CacheStore.make({
        name: "gated",
        remote: true,
        getMany: (asked) =>
          Effect.suspend(() => {
            // the backend answers with what it held when it was asked
            const found = asked.map(() => (isRemoved ? undefined : old))
            reads += asked.length
            return isRemoved ? Effect.succeed({ found }) : Effect.as(answering.pass, { found })
          }),
        setMany: (writes) => Effect.succeed(writes.map((write) => ({ _tag: "Written", stamp: write.entry.stamp }))),
        setIfAbsent: (write) => Effect.succeed({ _tag: "Written", stamp: write.entry.stamp }),
        removeMany: (removals) =>
          Effect.sync(() => {
            isRemoved = true
            return removals.map(({ stamp }) => ({ _tag: "Written", stamp }))
          })
      })
      const find = Cached.ttl(Effect.succeed("new"), { key: "k", schema: Schema.String, ...minute })
      const withSchema = yield* Effect.fork(Effect.provideService(find, CacheStore, store))
      yield* until(() => reads === 1, "the read with a schema is sent")
      const withoutSchema = yield* Effect.fork(store.get("k"))
      yield* until(() => reads === 2, "the read without a schema is sent")
      yield* store.remove("k")
      yield* answering.open
      assert.strictEqual(yield* Fiber.join(withSchema), "new")
      assert.notStrictEqual(Option.getOrUndefined(yield* Fiber.join(withoutSchema)), "old")
    })
  )
})
