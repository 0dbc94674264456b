/**
 * Law 8 (invalidation wins): a load that began before an invalidation or a `set` cannot overwrite it.
 */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import { CacheStore } from "../../src/CacheStore.js"
import {
  becomes,
  counting,
  gate,
  gated,
  minute,
  numbered,
  onStore,
  type StoreUnderTest,
  stats,
  until
} from "./support.js"

export const invalidationWins = (store: StoreUnderTest): void => {
  const on = onStore(store)

  describe("law 8: invalidation wins", () => {
    const tagged = { key: "k", ...minute, tags: ["t"] } as const
    const computed = { key: "k", ...minute, tags: (n: number) => [`t`, `n${n}`] } as const
    const tools = Effect.map(CacheStore, (cacheStore) => ({
      "CacheStore.remove": cacheStore.remove("k"),
      "CacheStore.removeMany": cacheStore.removeMany(["k", "j"]),
      "CacheStore.clear": cacheStore.clear,
      "CacheStore.tags.invalidate": cacheStore.tags.invalidate(["t"]),
      "Cached.invalidateTags": Cached.invalidateTags(["other", "t"])
    }))
    const verbs = [
      "invalidate",
      "CacheStore.remove",
      "CacheStore.removeMany",
      "CacheStore.clear",
      "CacheStore.tags.invalidate",
      "Cached.invalidateTags"
    ] as const

    for (const [which, options] of [
      ["static tags", tagged],
      ["computed tags", computed]
    ] as const) {
      for (const verb of verbs) {
        it.effect(
          `${verb} during a load (${which}) - its waiter gets its value, nobody joins it, it stores nothing`,
          () => {
            const { lookup, calls, door } = gated()
            const cached = Cached.ttl(lookup(), options as typeof tagged)
            return on(
              Effect.gen(function* () {
                const before = yield* Effect.fork(cached)
                yield* until(() => calls.length === 1, "the load began")
                yield* verb === "invalidate" ? cached.invalidate : (yield* tools)[verb]
                const after = yield* Effect.fork(cached)
                yield* until(() => calls.length === 2, "a load began for the later reader")
                yield* door.open
                assert.strictEqual(yield* Fiber.join(before), 1)
                assert.strictEqual(yield* Fiber.join(after), 2)
                assert.strictEqual(yield* cached, 2)
                deepStrictEqual(yield* cached.peek, Option.some(2))
              })
            )
          }
        )

        it.effect(`${verb} during a load (${which}) - without a later reader, nothing is stored`, () => {
          const { lookup, calls, door } = gated()
          const cached = Cached.ttl(lookup(), options as typeof tagged)
          return on(
            Effect.gen(function* () {
              const before = yield* Effect.fork(cached)
              yield* until(() => calls.length === 1, "the load began")
              yield* verb === "invalidate" ? cached.invalidate : (yield* tools)[verb]
              yield* door.open
              assert.strictEqual(yield* Fiber.join(before), 1)
              deepStrictEqual(yield* cached.peek, Option.none())
              assert.strictEqual(yield* cached, 2)
            })
          )
        })
      }
    }

    it.effect(
      "clear of the function during a load - its waiter gets its value, nobody joins it, it stores nothing",
      () => {
        const { lookup, calls, door } = gated()
        const find = Cached.ttl(lookup as (id: number) => Effect.Effect<number>, { key: "k:{}", ...minute })
        return on(
          Effect.gen(function* () {
            const before = yield* Effect.fork(find(1))
            yield* until(() => calls.length === 1, "the load began")
            yield* find.clear
            const after = yield* Effect.fork(find(1))
            yield* until(() => calls.length === 2, "a second load began")
            yield* door.open
            deepStrictEqual([yield* Fiber.join(before), yield* Fiber.join(after)], [1, 2])
            deepStrictEqual(yield* find.peek(1), Option.some(2))
          })
        )
      }
    )

    it.effect("clear of another function, another tag, another key - do not affect a load", () => {
      const { lookup, calls, door } = gated()
      const cached = Cached.ttl(lookup(), tagged)
      const other = Cached.ttl((id: number) => Effect.succeed(id), { key: "other:{}", ...minute })
      return on(
        Effect.gen(function* () {
          const before = yield* Effect.fork(cached)
          yield* until(() => calls.length === 1, "the load began")
          yield* other.clear
          yield* other.invalidate(1)
          yield* Cached.invalidateTags(["u"])
          const after = yield* Effect.fork(cached)
          yield* becomes(
            Effect.map(stats, (all) => all.coalesced),
            1
          )
          yield* door.open
          deepStrictEqual([yield* Fiber.join(before), yield* Fiber.join(after)], [1, 1])
          deepStrictEqual(yield* cached.peek, Option.some(1))
          assert.strictEqual(calls.length, 1)
        })
      )
    })

    it.effect("set during a load - its waiter gets the loaded value, all others get the set value", () => {
      const { lookup, calls, door } = gated()
      const cached = Cached.ttl(lookup(), tagged)
      return on(
        Effect.gen(function* () {
          const before = yield* Effect.fork(cached)
          yield* until(() => calls.length === 1, "the load began")
          yield* cached.set(100)
          assert.strictEqual(yield* cached, 100)
          yield* door.open
          assert.strictEqual(yield* Fiber.join(before), 1)
          assert.strictEqual(yield* cached, 100)
          assert.strictEqual(calls.length, 1)
        })
      )
    })

    it.effect("set or invalidate during a refresh - wins", () => {
      const door = gate()
      const { lookup } = numbered((call, id: number) => (call <= 2 ? Effect.succeed(id) : Effect.as(door.pass, -id)))
      const find = Cached.swr(lookup, { key: "k:{}", ttl: "10 seconds", stale: "1 hour" })
      return on(
        Effect.gen(function* () {
          yield* find(1)
          yield* find(2)
          yield* TestClock.adjust("10 seconds")
          yield* find(1)
          yield* find(2)
          yield* until(() => door.arrivals() === 2, "two refreshes ran")
          yield* find.set(1)(100)
          yield* find.invalidate(2)
          yield* door.open
          yield* becomes(
            Effect.map(stats, (all) => all.inFlight),
            0
          )
          yield* TestClock.adjust(1)
          assert.strictEqual(yield* find(1), 100)
          deepStrictEqual(yield* find.peek(2), Option.none())
        })
      )
    })

    it.effect("load in the same millisecond after an invalidation - is stored and hit", () => {
      const { lookup, calls } = counting()
      const cached = Cached.ttl(lookup(), tagged)
      return on(
        Effect.gen(function* () {
          const cacheStore = yield* CacheStore
          let loads = 0
          for (const verb of [
            cached.invalidate,
            Cached.invalidateTags(["t"]),
            cacheStore.clear,
            cacheStore.remove("k")
          ]) {
            yield* verb
            loads++
            assert.strictEqual(yield* cached, loads)
            assert.strictEqual(yield* cached, loads)
          }
          assert.strictEqual(calls.length, 4)
        })
      )
    })

    it.effect("older load ending last - does not overwrite the forced load that replaced it", () => {
      const first = gate()
      const second = gate()
      const { lookup } = numbered((call) => Effect.as(call === 1 ? first.pass : second.pass, call))
      const cached = Cached.ttl(lookup(), tagged)
      return on(
        Effect.gen(function* () {
          const slow = yield* Effect.fork(cached)
          yield* first.reached
          const forced = yield* Effect.fork(cached.refresh)
          yield* second.reached
          yield* second.open
          assert.strictEqual(yield* Fiber.join(forced), 2)
          yield* first.open
          assert.strictEqual(yield* Fiber.join(slow), 1)
          deepStrictEqual(yield* cached.peek, Option.some(2))
        })
      )
    })
  })
}
