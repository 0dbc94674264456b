/**
 * The sweep of a store, which frees what the marks of law 16 (no scans) leave behind.
 */
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import { CacheStore } from "../../src/CacheStore.js"
import { onStore, type StoreUnderTest, stats } from "./support.js"

const forever = { ttl: Duration.infinity }

export const sweeping = (store: StoreUnderTest): void => {
  const on = onStore(store)

  if (store.cannotSweep === true) {
    it.effect("sweep - frees nothing where entries cannot be listed, and that is a problem", () =>
      on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          yield* all.set("k", 1, forever)
          yield* all.clear
          deepStrictEqual(yield* all.sweep, { seen: 0, removed: 0 })
          assert.include(
            (yield* all.health).problems.map(({ name }) => name),
            "SweepFails"
          )
        })
      )
    )
    return
  }

  describe("law 16: no scans - sweep", () => {
    it.effect("frees what has expired or was invalidated by a tag or a function, once, and nothing else", () => {
      const users = Cached.ttl((id: string) => Effect.succeed(id), { key: "users:{}", ...forever })
      const posts = Cached.ttl((id: string) => Effect.succeed(id), { key: "posts:{}", ...forever })
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          yield* users.set("a")("a")
          yield* posts.set("a")("a")
          yield* all.set("tagged", 1, { ...forever, tags: ["t"] })
          yield* all.set("tagged otherwise", 2, { ...forever, tags: ["u"] })
          yield* all.set("expired", 3, { ttl: "1 minute" })
          yield* all.set("stale", 4, { ttl: "1 minute", stale: "1 hour" })
          yield* all.set("!plain, with a \ud800 half", 5, forever)
          yield* users.clear
          yield* all.tags.invalidate(["t"])
          yield* TestClock.adjust("2 minutes")
          const { removed, seen } = yield* all.sweep
          // memory has freed some by itself, and every tier counts
          assert.isAtLeast(removed, store.remote ? 3 : 1)
          assert.isAtLeast(seen, removed + 4)
          assert.strictEqual((yield* all.sweep).removed, 0)
          deepStrictEqual(
            yield* Effect.forEach(
              ["tagged", "tagged otherwise", "expired", "stale", "!plain, with a \ud800 half"],
              (key) => all.get(key)
            ),
            [Option.none(), Option.some(2), Option.none(), Option.some(4), Option.some(5)]
          )
          deepStrictEqual(yield* posts.peek("a"), Option.some("a"))
        })
      )
    })

    it.effect("frees everything after clear, whose entries do not count before that either", () =>
      on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          for (let i = 0; i < 20; i++) yield* all.set(`k${i}`, i, forever)
          yield* all.clear
          const { entries } = yield* stats
          assert.strictEqual(
            Option.getOrElse(entries, () => 0),
            0
          )
          assert.isAtLeast((yield* all.sweep).removed, 20)
          assert.isFalse(yield* all.has("k1"))
          yield* all.set("k1", "new", forever)
          assert.strictEqual((yield* all.sweep).removed, 0)
          deepStrictEqual(yield* all.get("k1"), Option.some("new"))
        })
      )
    )

    it.effect("an entry that is written while it runs - stays", () =>
      on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          const keys = Array.from({ length: 40 }, (_, i) => `k${i}`)
          for (const key of keys) yield* all.set(key, "old", { ...forever, tags: ["t"] })
          yield* all.tags.invalidate(["t"])
          yield* Effect.all(
            [all.sweep, all.sweep, Effect.forEach(keys, (key) => all.set(key, "new", { ...forever, tags: ["t"] }))],
            { concurrency: "unbounded" }
          )
          yield* all.sweep
          for (const key of keys) deepStrictEqual(yield* all.get(key), Option.some("new"), key)
        })
      )
    )
  })
}
