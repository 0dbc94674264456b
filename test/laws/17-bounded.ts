/**
 * Law 17 (bounded): marks, names and running loads do not grow without a limit.
 */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, Fiber, Layer, Option, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import { CacheStore } from "../../src/CacheStore.js"
import * as MemoryCache from "../../src/MemoryCache.js"
import { minute, numbered, onStore, recordWarnings, type StoreUnderTest, stats } from "./support.js"

export const bounded = (store: StoreUnderTest): void => {
  const on = onStore(store)

  describe("law 17: bounded", () => {
    it.effect(
      "marks - after 10 500 invalidated tags, entries without tags stay, and outdated ones stay outdated",
      () => {
        const find = Cached.ttl((id: string) => Effect.succeed(id), { key: "k:{}", tags: (id) => [id], ...minute })
        const plain = Cached.ttl((id: string) => Effect.succeed(id), { key: "plain:{}", ...minute })
        return on(
          Effect.gen(function* () {
            yield* find("first")
            yield* plain("old")
            yield* Cached.invalidateTags(["first"])
            deepStrictEqual(yield* find.peek("first"), Option.none())
            for (let from = 0; from < 10_500; from += 500) {
              yield* Cached.invalidateTags(Array.from({ length: 500 }, (_, i) => `tag${from + i}`))
            }
            deepStrictEqual(yield* find.peek("first"), Option.none())
            deepStrictEqual(yield* plain.peek("old"), Option.some("old"))
            // Entries loaded from now on stay, and their tags work.
            yield* find("first")
            deepStrictEqual(yield* find.peek("first"), Option.some("first"))
            yield* Cached.invalidateTags(["first"])
            deepStrictEqual(yield* find.peek("first"), Option.none())
            deepStrictEqual(yield* plain.peek("old"), Option.some("old"))
          })
        )
      }
    )

    it.effect(
      "marks - more than maxMarks in one process are folded, with one Warning, and health has their number",
      () => {
        const { lines, layer } = recordWarnings()
        return Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.set("plain", 1, minute)
          yield* store.set("tagged", 1, { ...minute, tags: ["t0"] })
          for (let i = 0; i < 15; i++) yield* store.tags.invalidate([`t${i}`])
          assert.isTrue(yield* store.has("plain"))
          assert.isFalse(yield* store.has("tagged"))
          assert.lengthOf(
            lines.filter((line) => line.includes("maxMarks")),
            1
          )
          const { problems } = yield* store.health
          deepStrictEqual(
            problems.filter(({ name }) => name === "TooManyMarks").map(({ count }) => count),
            [5]
          )
        }).pipe(Effect.provide(Layer.provideMerge(MemoryCache.layer({ maxMarks: 10 }), layer)))
      }
    )

    describe("marks - in memory, once everything older than a mark has expired", () => {
      const ages = [
        ["set", (store: CacheStore["Type"], ttl: Duration.DurationInput) => store.set("long", 1, { ttl })],
        [
          "setIfAbsent",
          (store: CacheStore["Type"], ttl: Duration.DurationInput) => store.setIfAbsent("long", 1, { ttl })
        ],
        [
          "a load",
          (store: CacheStore["Type"], ttl: Duration.DurationInput) =>
            Effect.provideService(Cached.ttl(Effect.succeed(1), { key: "long", ttl }), CacheStore, store)
        ]
      ] as const
      const raiseMany = (store: CacheStore["Type"], name: string) =>
        Effect.forEach(Array.from({ length: 8 }), (_, i) => store.tags.invalidate([`${name}${i}`]), { discard: true })
      const folded = (store: CacheStore["Type"]) =>
        Effect.map(store.health, ({ problems }) => problems.filter(({ name }) => name === "TooManyMarks").length)

      for (const [name, write] of ages) {
        it.effect(`${name} - the mark is dropped, and not before`, () => {
          const { layer } = recordWarnings()
          return Effect.gen(function* () {
            const store = yield* CacheStore
            yield* write(store, "10 minutes")
            yield* store.set("tagged", 1, { ttl: "5 minutes", tags: ["a0"] })
            yield* raiseMany(store, "a")
            yield* TestClock.adjust("4 minutes")
            assert.isFalse(yield* store.has("tagged"))
            yield* TestClock.adjust("7 minutes")
            for (let i = 0; i < 5; i++) {
              yield* store.set("tagged", 1, { ttl: "10 minutes", tags: ["a0"] })
              yield* store.set("plain", 1, { ttl: "10 minutes" })
              yield* raiseMany(store, `b${i}`)
              yield* TestClock.adjust("9 minutes")
              // what is alive is not touched
              assert.isTrue(yield* store.has("plain"))
              assert.isTrue(yield* store.has("tagged"))
              yield* TestClock.adjust("2 minutes")
            }
            assert.strictEqual(yield* folded(store), 0)
            yield* write(store, "10 hours")
            yield* raiseMany(store, "c")
            yield* TestClock.adjust("9 hours")
            yield* raiseMany(store, "d")
            assert.strictEqual(yield* folded(store), 1)
            assert.isTrue(yield* store.has("long"))
          }).pipe(Effect.provide(Layer.provideMerge(MemoryCache.layer({ maxMarks: 10 }), layer)))
        })
      }

      it.effect("an entry without an end - keeps the marks, until `clear`", () => {
        const { layer } = recordWarnings()
        return Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.set("for ever", 1, { ttl: Number.POSITIVE_INFINITY, tags: ["t"] })
          yield* store.tags.invalidate(["other"])
          yield* TestClock.adjust("10000 days")
          yield* store.tags.invalidate(["another"])
          assert.isTrue(yield* store.has("for ever"))
          yield* store.clear
          assert.isFalse(yield* store.has("for ever"))
          for (let i = 0; i < 5; i++) {
            yield* raiseMany(store, `b${i}`)
            yield* TestClock.adjust("1 minute")
          }
          assert.strictEqual(yield* folded(store), 0)
        }).pipe(Effect.provide(Layer.provideMerge(MemoryCache.layer({ maxMarks: 10 }), layer)))
      })

      it.effect("a load that began before a mark - stores its value, though its entry outlives the rest", () => {
        const { layer } = recordWarnings()
        return Effect.gen(function* () {
          const store = yield* CacheStore
          const { lookup } = numbered(() => Effect.as(Effect.sleep("25 seconds"), 1))
          const slow = Cached.ttl(lookup(), { key: "slow", ttl: "1 minute" })
          const reading = yield* Effect.fork(slow)
          yield* TestClock.adjust("1 second")
          yield* raiseMany(store, "a")
          yield* TestClock.adjust("24 seconds")
          assert.strictEqual(yield* Fiber.join(reading), 1)
          yield* TestClock.adjust("10 seconds")
          yield* raiseMany(store, "b")
          yield* TestClock.adjust("49 seconds")
          assert.isTrue(yield* store.has("slow"))
          yield* raiseMany(store, "c")
          assert.isTrue(yield* store.has("slow"))
        }).pipe(Effect.provide(Layer.provideMerge(MemoryCache.layer({ maxMarks: 100 }), layer)))
      })
    })

    it.effect("names - 256 are counted separately, further ones as `other`, with one Warning", () => {
      const { lines, layer } = recordWarnings()
      const functions = Array.from({ length: 300 }, (_, i) =>
        Cached.ttl(Effect.succeed(i), { key: "k", name: `f${i}`, version: i, ...minute })
      )
      return Effect.gen(function* () {
        for (const [i, each] of functions.entries()) {
          assert.strictEqual(yield* each, i)
          assert.strictEqual(yield* each, i)
        }
        const { caches, hits, loads } = yield* stats
        assert.strictEqual(Object.keys(caches).length, 257)
        assert.strictEqual(caches.f255?.loads, 1)
        assert.isUndefined(caches.f256)
        deepStrictEqual([caches.other?.loads, caches.other?.hits], [44, 44])
        deepStrictEqual([hits, loads], [300, 300])
        assert.lengthOf(lines, 1)
        assert.include(lines[0], "256")
      }).pipe(on, Effect.provide(layer))
    })

    it.effect("definitions made per call - share one name and one counter", () => {
      const { lookup, calls } = numbered((_, id: number) => Effect.succeed(id))
      const find = (id: number) => lookup(id).pipe(Cached.ttl({ key: `user:${id}`, name: "user", ...minute }))
      return on(
        Effect.gen(function* () {
          for (let i = 0; i < 500; i++) assert.strictEqual(yield* find(i % 50), i % 50)
          assert.strictEqual(calls.length, 50)
          const { caches } = yield* stats
          deepStrictEqual(Object.keys(caches), ["user"])
          assert.strictEqual(caches.user?.hits, 450)
        })
      )
    })

    it.effect("1 000 loads, some failed or interrupted - leave nothing in flight", () => {
      const { lookup } = numbered((call, _: number) =>
        call % 3 === 0 ? Effect.fail("down") : call % 3 === 1 ? Effect.succeed(call) : Effect.interrupt
      )
      const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
      return on(
        Effect.gen(function* () {
          yield* Effect.forEach(Array.from({ length: 1_000 }), (_, i) => Effect.exit(find(i)), {
            concurrency: "unbounded",
            discard: true
          })
          const after = yield* stats
          deepStrictEqual([after.inFlight, after.loads], [0, 1_000])
        })
      )
    })
  })
}
