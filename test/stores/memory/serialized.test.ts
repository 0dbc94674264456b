/**
 * Memory that keeps the bytes of its values. It keeps every law of a store of bytes.
 */
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Data, Effect, Exit, Layer, Option, Schema } from "effect"
import { InvalidOption } from "../../../src/CacheError.js"
import { Cached, CacheStore, MemoryCache, Serializer } from "../../../src/index.js"
import { storeLaws } from "../../laws/index.js"
import { defectOf, makeLookup, minute, recordWarnings, type StoreUnderTest, settled } from "../../laws/support.js"

const values = "serialized" as const

const store: StoreUnderTest = { name: "memory, serialized", layer: MemoryCache.layer({ values }), remote: true }

storeLaws(store)

describe("MemoryCache with serialized values", () => {
  it.effect("a value that a reader or the writer mutates - is not changed for others", () => {
    const given = { tags: ["a"] }
    const cached = Cached.ttl(Effect.succeed(given), { key: "k", ...minute })
    return Effect.gen(function* () {
      yield* cached.set(given)
      given.tags.push("by the writer")
      const one = yield* cached
      one.tags.push("by a reader")
      deepStrictEqual(yield* cached, { tags: ["a"] })
    }).pipe(Effect.provide(store.layer))
  })

  it.effect("a value that Redis would refuse - is returned, not stored, and one Warning names the function", () => {
    class Session {
      readonly user = "ada"
    }
    const { lines, layer } = recordWarnings()
    const { calls, lookup } = makeLookup((_: number) => Effect.succeed({ session: new Session() }))
    const find = Cached.ttl(lookup, { key: "session:{}", ...minute })
    return Effect.gen(function* () {
      assert.instanceOf((yield* find(1)).session, Session)
      // until it is refused, reads are answered from the load
      yield* settled
      yield* find(1)
      yield* settled
      assert.lengthOf(calls, 2)
      const { health, stats } = yield* CacheStore
      deepStrictEqual(
        (yield* health).problems.map(({ name, subject }) => [name, subject]),
        [["ValueRefused", "session:{}"]]
      )
      assert.strictEqual((yield* stats).refused, 2)
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "session")
    }).pipe(Effect.provide(Layer.provideMerge(store.layer, layer)))
  })

  it.effect("a schema - makes the stored form and the value that a read returns", () => {
    class Money extends Data.Class<{ readonly cents: number }> {}
    const schema = Schema.transform(Schema.Number, Schema.instanceOf(Money), {
      strict: true,
      decode: (cents) => new Money({ cents }),
      encode: (money) => money.cents
    })
    const cached = Cached.ttl(Effect.succeed(new Money({ cents: 5 })), { key: "price", schema, ...minute })
    return Effect.gen(function* () {
      const all = yield* CacheStore
      yield* cached.set(new Money({ cents: 7 }))
      deepStrictEqual(yield* all.get("price"), Option.some(7))
      assert.instanceOf(yield* cached, Money)
      assert.strictEqual((yield* cached).cents, 7)
    }).pipe(Effect.provide(store.layer))
  })

  it.effect("an owner or a tag that is no text - is refused, as the envelope of Redis refuses it", () =>
    Effect.gen(function* () {
      const all = yield* CacheStore
      yield* all.set("k", 1, { ...minute, tags: ["\ud800"] })
      deepStrictEqual(yield* all.get("k"), Option.none())
      const exit = yield* Effect.exit(all.setIfAbsent("k", 1, { ...minute, tags: ["\ud800"] }))
      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual((yield* all.stats).refused, 2)
    }).pipe(Effect.provide(store.layer))
  )

  it.effect("the serializer and the largest value - are those of the options", () =>
    Effect.gen(function* () {
      const all = yield* CacheStore
      yield* all.set("date", { at: new Date(0) }, minute)
      yield* all.set("long", "x".repeat(200), minute)
      yield* all.set("short", "x", minute)
      // as JSON changes it
      deepStrictEqual(yield* all.get("date"), Option.some({ at: "1970-01-01T00:00:00.000Z" }))
      deepStrictEqual(yield* all.get("long"), Option.none())
      deepStrictEqual(yield* all.get("short"), Option.some("x"))
    }).pipe(Effect.provide(MemoryCache.layer({ values, serializer: Serializer.json, maxValueBytes: 100 })))
  )

  it.effect("capacity, the number of entries, and `clear` - are those of memory, and nothing is a problem", () =>
    Effect.gen(function* () {
      const all = yield* CacheStore
      for (let i = 0; i < 5; i++) yield* all.set(`k${i}`, i, minute)
      deepStrictEqual((yield* all.stats).entries, Option.some(3))
      assert.strictEqual((yield* all.stats).evictions.capacity, 2)
      const locked = Cached.ttl(Effect.succeed(1), { key: "locked", lock: { lease: "1 second" }, ...minute })
      yield* locked
      yield* all.clear
      deepStrictEqual((yield* all.stats).entries, Option.some(0))
      deepStrictEqual(yield* locked.peek, Option.none())
      deepStrictEqual((yield* all.health).problems, [])
    }).pipe(Effect.provide(MemoryCache.layer({ values, capacity: 3 })))
  )

  it.effect("an option of serialized values for references - is InvalidOption", () =>
    Effect.gen(function* () {
      for (const options of [
        { serializer: Serializer.json },
        { maxValueBytes: 1 },
        { maxDecodedBytes: 1 },
        { values, maxValueBytes: 0 }
      ]) {
        const exit = yield* Effect.exit(Effect.scoped(MemoryCache.make(options)))
        assert.instanceOf(defectOf(exit), InvalidOption)
      }
    })
  )
})
