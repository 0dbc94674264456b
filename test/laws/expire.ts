/**
 * `expire`: a value may be served as stale, or in place of a load that fails, and no longer as fresh.
 */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Clock, Context, Effect, Fiber, Option, Schema, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import { CacheStore } from "../../src/CacheStore.js"
import {
  becomes,
  begun,
  counting,
  gate,
  makeLookup,
  numbered,
  type StoreUnderTest,
  testOn,
  thenDoes
} from "./support.js"

class Down extends Schema.TaggedError<Down>()("Down", { call: Schema.Number }) {}

class Tenant extends Context.Tag("expire/Tenant")<Tenant, string>() {}

const swr = { ttl: "10 seconds", stale: "5 seconds" } as const
const ttl = { ttl: "10 seconds" } as const

export const expiring = (store: StoreUnderTest): void => {
  const test = testOn(store)

  describe("expire", () => {
    test("swr - a read returns the value once more and refreshes it, for as long as stale says from now on", () => {
      const { calls, lookup } = counting()
      const cached = Cached.swr(lookup(), { key: "k", ...swr })
      return Effect.gen(function* () {
        yield* cached
        yield* TestClock.adjust("2 seconds")
        yield* cached.expire
        const view = Option.map(yield* cached.entry, ({ state, staleUntil }) => [state, staleUntil])
        deepStrictEqual(view, Option.some(["stale", 7_000]))
        assert.strictEqual(yield* cached, 1)
        yield* becomes(cached, 2)
        assert.strictEqual(calls.length, 2)
        yield* cached.expire
        yield* TestClock.adjust("5 seconds")
        deepStrictEqual(yield* cached.peek, Option.none())
      })
    })

    test("ttl - a read loads, and only the entry of these arguments has expired", () => {
      const { calls, lookup } = makeLookup((id: number) => Effect.succeed(id))
      const find = Cached.ttl(lookup, { key: "k:{}", ...ttl })
      return Effect.gen(function* () {
        yield* Effect.all([find(1), find(2)])
        yield* find.expire(1)
        deepStrictEqual([yield* find.peek(1), yield* find.peek(2)], [Option.none(), Option.some(2)])
        yield* Effect.all([find(1), find(2)])
        deepStrictEqual(calls, [[1], [2], [1]])
      })
    })

    test("staleIfError - a read loads, and gets the value if that fails", () => {
      const { calls, lookup } = thenDoes((call) => (call === 2 ? Effect.fail("down") : Effect.succeed(call)))
      const cached = Cached.ttl(lookup(), { key: "k", ...ttl, staleIfError: "1 minute", retryAfter: "1 second" })
      return Effect.gen(function* () {
        yield* cached
        yield* cached.expire
        const view = Option.map(yield* cached.entry, ({ state }) => state)
        deepStrictEqual(view, Option.some("retained"))
        deepStrictEqual(yield* cached.peek, Option.none())
        assert.strictEqual(yield* cached, 1)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* cached, 3)
        assert.strictEqual(calls.length, 3)
      })
    })

    test("a batched function - expires the entry of the id, and no other", () => {
      const { calls, lookup } = makeLookup((ids: ReadonlyArray<number>) =>
        Effect.succeed(new Map(ids.map((id) => [id, id])))
      )
      const find = Cached.batched(lookup, { key: "k:{}", ...ttl })
      return Effect.gen(function* () {
        yield* find.many([1, 2])
        yield* find.expire(1)
        deepStrictEqual(yield* find.many([1, 2]), [Option.some(1), Option.some(2)])
        deepStrictEqual(calls, [[[1, 2]], [[1]]])
      })
    })

    test("a partitioned function, and a captured one - expire the entry of their reader", () => {
      const { calls, lookup } = numbered((call, id: number) => Effect.map(Tenant, (tenant) => `${tenant}${id}${call}`))
      const uncaptured = Cached.ttl(lookup, { key: "k:{}", ...ttl, partition: Tenant })
      const as = (tenant: string) => Effect.provideService(Tenant, tenant)
      return Effect.gen(function* () {
        const find = yield* Cached.capture(uncaptured)
        yield* Effect.all([as("a")(find(1)), as("b")(find(1))])
        yield* as("b")(find.expire(1))
        deepStrictEqual(yield* as("a")(find.peek(1)), Option.some("a11"))
        deepStrictEqual(yield* as("b")(find.peek(1)), Option.none())
        assert.strictEqual(yield* as("b")(find(1)), "b13")
        assert.strictEqual(calls.length, 3)
      })
    })

    const marks: ReadonlyArray<
      readonly [
        string,
        (all: Effect.Effect<void, never, CacheStore>) => Effect.Effect<void, never, CacheStore>,
        concernsOthers?: boolean
      ]
    > = [
      ["store.expireAll", () => Effect.flatMap(CacheStore, (store) => store.expireAll), true],
      ["Cached.expireTags", () => Cached.expireTags(["t"])],
      ["store.tags.expire", () => Effect.flatMap(CacheStore, ({ tags }) => tags.expire(["t"]))],
      ["expireAll", (all) => all]
    ]
    for (const [what, expire, concernsOthers] of marks) {
      test(`${what} - swr returns its values once more and refreshes them, for as long as stale says from now on`, () => {
        const { calls, lookup } = numbered((call, _: string) => Effect.succeed(call))
        const find = Cached.swr(lookup, { key: "k:{}", ...swr, tags: ["t"] })
        const other = Cached.swr((_: string) => Effect.succeed(0), { key: "other:{}", ...swr, tags: ["other"] })
        return Effect.gen(function* () {
          yield* Effect.all([find("a"), other("a")])
          yield* TestClock.adjust("2 seconds")
          yield* expire(find.expireAll)
          const states = Effect.all([find.entry("a"), other.entry("a")])
          deepStrictEqual((yield* states).map(Option.map(({ state, staleUntil }) => [state, staleUntil])), [
            Option.some(["stale", 7_000]),
            Option.some(concernsOthers === true ? ["stale", 7_000] : ["fresh", 15_000])
          ])
          assert.strictEqual(yield* find("a"), 1)
          yield* becomes(find("a"), 2)
          assert.strictEqual(calls.length, 2)
          deepStrictEqual(
            Option.map(yield* find.entry("a"), ({ state }) => state),
            Option.some("fresh")
          )
          yield* expire(find.expireAll)
          yield* TestClock.adjust("4999 millis")
          deepStrictEqual(yield* find.peek("a"), Option.some(2))
          yield* TestClock.adjust("1 millis")
          deepStrictEqual(yield* find.peek("a"), Option.none())
        })
      })

      test(`${what} - ttl loads, and staleIfError answers if that fails`, () => {
        const { calls, lookup } = numbered((call, id: string) =>
          id === "kept" && call > 2 ? Effect.fail("down") : Effect.succeed(call)
        )
        const options = { key: "k:{}", ...ttl, tags: ["t"] } as const
        const find = Cached.ttl(lookup, { ...options, staleIfError: "1 minute" })
        return Effect.gen(function* () {
          yield* Effect.all([find("kept"), find("a")])
          yield* expire(find.expireAll)
          deepStrictEqual([yield* find.peek("kept"), yield* find.peek("a")], [Option.none(), Option.none()])
          deepStrictEqual([yield* find("kept"), yield* find("a")], [1, 4])
          assert.strictEqual(calls.length, 4)
        })
      })
    }

    for (const [what, expire] of marks) {
      test(`${what} - removes a stored failure, and one that a running load would store`, () => {
        const door = gate()
        const { calls, lookup } = numbered((call, _: string) =>
          call === 2 ? Effect.zipRight(door.pass, new Down({ call })) : new Down({ call })
        )
        const find = Cached.ttl(lookup, {
          key: "k:{}",
          ...ttl,
          tags: ["t"],
          failures: { ttl: "10 seconds", schema: Down }
        })
        const read = Effect.map(Effect.flip(find("a")), ({ call }) => call)
        return Effect.gen(function* () {
          deepStrictEqual([yield* read, yield* read], [1, 1])
          yield* expire(find.expireAll)
          const running = yield* Effect.fork(read)
          yield* begun(calls, 2)
          yield* expire(find.expireAll)
          yield* door.open
          assert.strictEqual(yield* Fiber.join(running), 2)
          deepStrictEqual([yield* read, yield* read], [3, 3])
        })
      })

      test(`${what} - a conditional load gets the previous value, and renews it`, () => {
        const seen: Array<number | undefined> = []
        const lookup = Cached.conditional((previous: Option.Option<number>, _: string) =>
          Effect.sync(() => {
            seen.push(Option.getOrUndefined(previous))
            return Option.isSome(previous) ? Cached.notModified : seen.length
          })
        )
        const find = Cached.ttl(lookup, { key: "k:{}", ...ttl, staleIfError: "1 minute", tags: ["t"] })
        const view = Effect.map(
          find.entry("a"),
          Option.map(({ freshUntil, state }) => [state, freshUntil])
        )
        return Effect.gen(function* () {
          yield* find("a")
          yield* TestClock.adjust("2 seconds")
          yield* expire(find.expireAll)
          assert.strictEqual(yield* find("a"), 1)
          deepStrictEqual(yield* view, Option.some(["fresh", 12_000]))
          // an invalidation before or after it leaves none
          yield* Cached.invalidateTags(["t"])
          yield* expire(find.expireAll)
          assert.strictEqual(yield* find("a"), 3)
          yield* expire(find.expireAll)
          yield* Cached.invalidateTags(["t"])
          assert.strictEqual(yield* find("a"), 4)
          deepStrictEqual(seen, [undefined, 1, undefined, undefined])
        })
      })
    }

    for (const [what, expire] of marks) {
      test(`${what} - the entries that it leaves nothing of are not counted`, () => {
        const find = Cached.ttl((id: string) => Effect.succeed(id), { key: "k:{}", ...ttl, tags: ["t"] })
        return Effect.gen(function* () {
          yield* Effect.forEach(["a", "b", "c"], find)
          const store = yield* CacheStore
          const counted = Effect.map(store.stats, ({ entries }) => Option.getOrElse(entries, () => 0))
          yield* TestClock.adjust("1 second")
          yield* expire(find.expireAll)
          assert.strictEqual(yield* counted, 0)
        })
      })

      test(`${what}, again - an entry is stale from the first expiry after it was stored`, () => {
        const { calls, lookup } = numbered((call, _: string) => Effect.succeed(call))
        const find = Cached.swr(lookup, { key: "k:{}", ...swr, tags: ["t"] })
        return Effect.gen(function* () {
          yield* Effect.all([find("a"), find("b")])
          yield* TestClock.adjust("1 second")
          yield* expire(find.expireAll)
          yield* TestClock.adjust("1 second")
          yield* find.invalidate("b")
          assert.strictEqual(yield* find("b"), 3)
          yield* TestClock.adjust("1 second")
          yield* expire(find.expireAll)
          yield* TestClock.adjust("4 seconds")
          yield* expire(find.expireAll)
          assert.strictEqual(yield* find("a"), 4)
          assert.strictEqual(yield* find("b"), 3)
          yield* becomes(find("b"), 5)
          assert.strictEqual(calls.length, 5)
        })
      })
    }

    const all = [["expire", (all: Effect.Effect<void, never, CacheStore>) => all] as const, ...marks]
    // it shows the same time, and does not go back
    const another = Object.assign(Clock.make(), { unsafeCurrentTimeMillis: () => 60_900 })
    const clocks = [
      ["an entry of a process whose clock is ahead", 1_000, false],
      ["an entry that was stored just before the clock was set back a little", 60_600, false],
      ["an entry that was stored before the clock was set back, while another clock was in use", 1_000, true]
    ] as const
    for (const [what, expire] of all) {
      for (const [entry, now, isAnother] of clocks) {
        test(`${what} - concerns ${entry}`, () => {
          const { calls, lookup } = numbered((call, _: string) => Effect.succeed(call))
          const ofTtl = Cached.ttl(lookup, { key: "ttl:{}", ...ttl, tags: ["t"] })
          const ofSwr = Cached.swr(lookup, { key: "swr:{}", ...swr, tags: ["t"] })
          const find = Cached.ttl((id: string) => Effect.succeed(id), { key: "k:{}", ...ttl })
          const expiring = (find: typeof ofTtl) => expire(what === "expire" ? find.expire("a") : find.expireAll)
          return Effect.gen(function* () {
            yield* TestClock.setTime(60_000)
            yield* find("b")
            yield* find("b")
            yield* TestClock.setTime(60_900)
            yield* Effect.all([ofTtl("a"), ofSwr("a")])
            if (isAnother) yield* Effect.withClock(find("b"), another)
            yield* TestClock.setTime(now)
            yield* expiring(ofTtl)
            yield* expiring(ofSwr)
            assert.strictEqual(yield* ofTtl("a"), 3)
            assert.strictEqual(yield* ofSwr("a"), 2)
            yield* becomes(ofSwr("a"), 4)
            assert.strictEqual(calls.length, 4)
          })
        })
      }
    }

    test("expireTags - the later one of it and an invalidation counts, and what was set since is fresh", () => {
      const find = Cached.swr((id: string) => Effect.succeed(id), { key: "k:{}", ...swr, tags: ["t"] })
      const state = (id: string) =>
        Effect.map(
          find.entry(id),
          Option.map(({ state }) => state)
        )
      return Effect.gen(function* () {
        yield* find("old")
        yield* Cached.invalidateTags(["t"])
        yield* find("young")
        yield* Cached.expireTags(["t"])
        yield* find.set("new")("new")
        deepStrictEqual(yield* Effect.forEach(["old", "young", "new"], state), [
          Option.none(),
          Option.some("stale"),
          Option.some("fresh")
        ])
        yield* Cached.expireTags(["t"])
        deepStrictEqual(yield* Effect.forEach(["old", "new"], state), [Option.none(), Option.some("stale")])
        yield* Cached.invalidateTags(["t"])
        deepStrictEqual(yield* Effect.forEach(["old", "young", "new"], state), [
          Option.none(),
          Option.none(),
          Option.none()
        ])
      })
    })

    test("store.expireAll - what is invalidated stays so, what was set is stale, what is set later is fresh", () => {
      const find = Cached.swr((id: string) => Effect.succeed(id), { key: "k:{}", ...swr })
      return Effect.gen(function* () {
        const store = yield* CacheStore
        const states = Effect.map(
          Effect.forEach(["k:removed", "k:tagged", "k:found", "set", "untouched", "later"], (key) => store.entry(key)),
          (entries) => entries.map((entry) => Option.getOrUndefined(Option.map(entry, ({ state }) => state)))
        )
        yield* find("removed")
        yield* find("found")
        yield* store.set("k:tagged", 1, { ...swr, tags: ["t"] })
        yield* store.set("set", 1, swr)
        yield* store.set("untouched", 1, ttl)
        yield* find.invalidate("removed")
        yield* Cached.invalidateTags(["t"])
        yield* store.expireAll
        yield* store.set("later", 1, swr)
        deepStrictEqual(yield* states, [undefined, undefined, "stale", "stale", undefined, "fresh"])
        yield* store.expireAll
        deepStrictEqual(yield* states, [undefined, undefined, "stale", "stale", undefined, "stale"])
        yield* store.clear
        yield* store.set("later", 1, swr)
        deepStrictEqual((yield* states).slice(2), [undefined, undefined, undefined, "fresh"])
      })
    })

    test("law 8: invalidation wins - what was invalidated does not come back", () => {
      const find = Cached.swr((id: number) => Effect.succeed(id), { key: "k:{}", ...swr, tags: ["t"] })
      return Effect.gen(function* () {
        for (const invalidate of [find.invalidate(1), find.clear, Cached.invalidateTags(["t"])]) {
          yield* find(1)
          yield* invalidate
          yield* find.expire(1)
          deepStrictEqual(yield* find.peek(1), Option.none())
        }
      })
    })
  })
}
