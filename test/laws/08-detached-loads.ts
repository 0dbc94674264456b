/**
 * Law 8 (invalidation wins), loads in detail: every invalidation detaches a running load, in every order of events.
 */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Fiber, Option, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import { CacheStore } from "../../src/CacheStore.js"
import {
  becomes,
  begun,
  eventually,
  type Found,
  gate,
  makeLookup,
  numbered,
  type StoreUnderTest,
  settled,
  stats,
  testOn,
  waiting
} from "./support.js"

export const detachedLoads = (store: StoreUnderTest): void => {
  const test = testOn(store)

  describe("law 8: invalidation wins", () => {
    const detaching: ReadonlyArray<
      readonly [string, (key: string, find: Found) => Effect.Effect<unknown, unknown, CacheStore>]
    > = [
      ["invalidate", (key, find) => find.invalidate(key)],
      ["expire", (key, find) => find.expire(key)],
      ["expireAll", (_, find) => find.expireAll],
      ["expireTags", () => Cached.expireTags(["all"])],
      ["clear", (_, find) => find.clear],
      ["a tag invalidation", () => Cached.invalidateTags(["all"])],
      [
        "a tag invalidation through the store",
        () => Effect.flatMap(CacheStore, ({ tags }) => tags.invalidate(["all"]))
      ],
      ["the store's expireAll", () => Effect.flatMap(CacheStore, ({ expireAll }) => expireAll)],
      ["the store's clear", () => Effect.flatMap(CacheStore, ({ clear }) => clear)],
      ["the store's remove", (key) => Effect.flatMap(CacheStore, (store) => store.remove(`k:${key}`))],
      ["the store's removeMany", (key) => Effect.flatMap(CacheStore, (store) => store.removeMany(["x", `k:${key}`]))]
    ]
    for (const [what, detach] of detaching) {
      for (const tags of ["static", "computed"] as const) {
        for (const last of ["old", "new"] as const) {
          test(`${what} (${tags} tags) - the running load answers its waiters and stores nothing (the ${last} load ends last)`, () =>
            Effect.gen(function* () {
              const doors = [gate(), gate()]
              const { lookup } = numbered((call, _: string) => Effect.as(doors[call - 1]!.pass, call))
              const find = Cached.ttl(lookup, {
                key: "k:{}",
                ttl: "1 minute",
                tags: tags === "static" ? ["all"] : () => ["all"]
              })
              const old = yield* Effect.fork(find("a"))
              yield* doors[0]!.reached
              yield* detach("a", find)
              const young = yield* Effect.fork(find("a"))
              yield* doors[1]!.reached
              const order = last === "old" ? [1, 0] : [0, 1]
              yield* doors[order[0]!]!.open
              yield* Fiber.join(last === "old" ? young : old)
              yield* doors[order[1]!]!.open
              deepStrictEqual([yield* Fiber.join(old), yield* Fiber.join(young)], [1, 2])
              deepStrictEqual(yield* find.peek("a"), Option.some(2))
              assert.strictEqual(yield* find("a"), 2)
              assert.deepInclude(yield* stats, { loads: 2, coalesced: 0, inFlight: 0 })
            }))
        }

        test(`${what} (${tags} tags) - a running load without a successor stores nothing`, () =>
          Effect.gen(function* () {
            const door = gate()
            const { lookup } = numbered((call, _: string) => Effect.as(call === 1 ? door.pass : Effect.void, call))
            const find = Cached.ttl(lookup, {
              key: "k:{}",
              ttl: "1 minute",
              tags: tags === "static" ? ["all"] : () => ["all"]
            })
            const old = yield* Effect.fork(find("a"))
            yield* door.reached
            yield* detach("a", find)
            yield* door.open
            assert.strictEqual(yield* Fiber.join(old), 1)
            deepStrictEqual(yield* find.peek("a"), Option.none())
            assert.strictEqual(yield* find("a"), 2)
          }))
      }

      test(`${what} during a refresh - the refreshed value is not stored`, () =>
        Effect.gen(function* () {
          const door = gate()
          const { lookup } = numbered((call, _: string) => Effect.as(call === 2 ? door.pass : Effect.void, call))
          const find = Cached.swr(lookup, { key: "k:{}", ttl: "10 seconds", stale: "1 minute", tags: ["all"] })
          yield* find("a")
          yield* TestClock.adjust("10 seconds")
          yield* find("a")
          yield* door.reached
          yield* detach("a", find)
          // an expired value may still be served as stale
          const left = what.includes("expire") ? Option.some(1) : Option.none()
          deepStrictEqual(yield* find.peek("a"), left)
          yield* door.open
          yield* settled
          deepStrictEqual(yield* find.peek("a"), left)
          // a process that hears nothing for a moment may load once more
          const isLoadedAnew = Effect.map(find("a"), (value) => value >= 3)
          yield* eventually(isLoadedAnew, "a later load takes its place")
        }))
    }

    test("another tag - does not disturb a load", () =>
      Effect.gen(function* () {
        const door = gate()
        const { lookup } = numbered((call, _: string) => Effect.as(door.pass, call))
        const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute", tags: () => ["mine"] })
        const fiber = yield* Effect.fork(find("a"))
        yield* door.reached
        yield* Cached.invalidateTags(["yours"])
        yield* door.open
        yield* Fiber.join(fiber)
        deepStrictEqual(yield* find.peek("a"), Option.some(1))
      }))

    test("other tags, computed tags - the load stores its value, and a key has two loads at most", () =>
      Effect.gen(function* () {
        const doors = [gate(), gate()]
        const { calls, lookup } = numbered((call, _: string) => Effect.as(doors[call - 1]!.pass, call))
        const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute", tags: () => ["mine"] })
        const fibers: Array<Fiber.RuntimeFiber<number>> = []
        for (let i = 0; i < 5; i++) {
          fibers.push(yield* Effect.fork(find("a")))
          yield* waiting(i + 1)
          yield* begun(calls, Math.min(i + 1, 2))
          yield* Cached.invalidateTags(["yours"])
        }
        yield* doors[0]!.open
        assert.strictEqual(yield* Fiber.join(fibers[0]!), 1)
        yield* settled
        deepStrictEqual(yield* find.peek("a"), Option.some(1))
        yield* doors[1]!.open
        deepStrictEqual(yield* Effect.forEach(fibers.slice(1), Fiber.join), [2, 2, 2, 2])
        deepStrictEqual(yield* find.peek("a"), Option.some(2))
        assert.strictEqual(calls.length, 2)
      }))

    for (const outcome of ["a value", "a failure"] as const) {
      test(`an own tag, computed tags - a later reader that waited for ${outcome} reads again`, () =>
        Effect.gen(function* () {
          const door = gate()
          const { calls, lookup } = numbered((call, _: string) => {
            if (call > 2) return Effect.succeed(call)
            return Effect.zipRight(door.pass, outcome === "a value" ? Effect.succeed(call) : Effect.fail("failed"))
          })
          const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute", tags: () => ["mine"] })
          const fibers = []
          for (let i = 0; i < 4; i++) {
            fibers.push(yield* Effect.fork(Effect.merge(find("a"))))
            yield* waiting(i + 1)
            yield* begun(calls, Math.min(i + 1, 2))
            yield* Cached.invalidateTags(["mine"])
          }
          yield* door.open
          const values = yield* Effect.forEach(fibers, Fiber.join)
          deepStrictEqual(values, outcome === "a value" ? [1, 2, 3, 3] : ["failed", "failed", 3, 3])
          deepStrictEqual(yield* find.peek("a"), Option.some(3))
        }))
    }

    test("other tags, computed tags - an earlier load that ends last does not replace what came later", () =>
      Effect.gen(function* () {
        for (const later of ["load", "set", "invalidate"] as const) {
          const doors = [gate(), gate()]
          const { calls, lookup } = numbered((call, _: string) => Effect.as(doors[call - 1]!.pass, call))
          const find = Cached.ttl(lookup, { key: `${later}:{}`, name: later, ttl: "1 minute", tags: () => ["mine"] })
          const first = yield* Effect.fork(find("a"))
          yield* begun(calls, 1)
          yield* Cached.invalidateTags(["yours"])
          const second = yield* Effect.fork(find("a"))
          yield* begun(calls, 2)
          if (later === "load") {
            yield* doors[1]!.open
            yield* Fiber.join(second)
          } else {
            yield* later === "set" ? find.set("a")(3) : find.invalidate("a")
          }
          yield* doors[0]!.open
          assert.strictEqual(yield* Fiber.join(first), 1)
          yield* settled
          const expected = { load: Option.some(2), set: Option.some(3), invalidate: Option.none() }
          deepStrictEqual(yield* find.peek("a"), expected[later])
          yield* doors[1]!.open
          yield* Fiber.join(second)
        }
      }))

    test("other tags, computed tags - a stale key has one refresh, and its value is stored", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = numbered((call, _: string) => Effect.as(call === 1 ? Effect.void : door.pass, call))
        const find = Cached.swr(lookup, { key: "k:{}", ttl: "10 seconds", stale: "1 minute", tags: () => ["mine"] })
        yield* find("a")
        yield* TestClock.adjust("10 seconds")
        for (let i = 0; i < 5; i++) {
          assert.strictEqual(yield* find("a"), 1)
          yield* begun(calls, 2)
          yield* Cached.invalidateTags(["yours"])
        }
        yield* door.open
        yield* becomes(find("a"), 2)
        assert.strictEqual(calls.length, 2)
      }))

    for (const kind of ["load", "refresh", "forced load"] as const) {
      test(`set - wins over a running ${kind}, and later readers get the set value`, () =>
        Effect.gen(function* () {
          const door = gate()
          const { lookup } = numbered((call) =>
            Effect.as(kind === "refresh" && call === 1 ? Effect.void : door.pass, `loaded ${call}`)
          )
          const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
          if (kind === "refresh") {
            yield* find()
            yield* TestClock.adjust("10 seconds")
          }
          const fiber = yield* Effect.fork(kind === "forced load" ? find.refresh() : find())
          yield* door.reached
          yield* find.set()("set")
          assert.strictEqual(yield* find(), "set")
          yield* door.open
          assert.strictEqual(yield* Fiber.join(fiber), "loaded 1")
          yield* settled
          assert.strictEqual(yield* find(), "set")
          deepStrictEqual(yield* find.peek(), Option.some("set"))
        }))
    }

    test("set - a load that begins later wins over it", () =>
      Effect.gen(function* () {
        const { lookup } = numbered((call) => Effect.succeed(`loaded ${call}`))
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        yield* find.set()("set")
        assert.strictEqual(yield* find.refresh(), "loaded 1")
        assert.strictEqual(yield* find(), "loaded 1")
      }))

    test("setIfAbsent - a value written during a load stays", () =>
      Effect.gen(function* () {
        const door = gate()
        const { lookup } = makeLookup(() => Effect.as(door.pass, "loaded"))
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const service = yield* CacheStore
        const fiber = yield* Effect.fork(find())
        yield* door.reached
        assert.isTrue(yield* service.setIfAbsent("k", "set", { ttl: "1 minute" }))
        yield* door.open
        assert.strictEqual(yield* Fiber.join(fiber), "loaded")
        deepStrictEqual(yield* service.get("k"), Option.some("set"))
      }))

    test("a lookup that invalidates its own key - is delivered, not stored", () =>
      Effect.gen(function* () {
        const calls: Array<number> = []
        const find: Cached.CachedFunction<[string], number, never, CacheStore> = Cached.ttl(
          (key: string): Effect.Effect<number, never, CacheStore> =>
            Effect.suspend(() => Effect.as(find.invalidate(key), calls.push(1))),
          { key: "k:{}", ttl: "1 minute" }
        )
        assert.strictEqual(yield* find("a"), 1)
        deepStrictEqual(yield* find.peek("a"), Option.none())
      }))

    test("invalidate repeatedly - every reader gets a load that began after the invalidation before it", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = numbered((call, _: string) => Effect.as(door.pass, call))
        const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
        const fibers: Array<Fiber.RuntimeFiber<number>> = []
        for (let i = 0; i < 10; i++) {
          fibers.push(yield* Effect.fork(find("a")))
          yield* begun(calls, i + 1)
          yield* find.invalidate("a")
        }
        yield* door.open
        deepStrictEqual(
          yield* Effect.forEach(fibers, Fiber.join),
          fibers.map((_, i) => i + 1)
        )
        deepStrictEqual(yield* find.peek("a"), Option.none())
      }))
  })
}
