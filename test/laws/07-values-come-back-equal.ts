/**
 * Law 7 (every value comes back equal, or is not stored): values that look like absence are values, too.
 */
import { isDeepStrictEqual } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import {
  BigDecimal,
  Chunk,
  Data,
  DateTime,
  Duration,
  Effect,
  Either,
  Equal,
  Exit,
  HashMap,
  HashSet,
  List,
  Option,
  TestClock
} from "effect"
import * as Cached from "../../src/Cached.js"
import { CacheStore } from "../../src/CacheStore.js"
import { becomes, makeLookup, minute, numbered, onStore, type StoreUnderTest, stats } from "./support.js"

const same = (a: unknown, b: unknown): boolean => isDeepStrictEqual(a, b) || Equal.equals(a, b)

export const valuesComeBackEqual = (store: StoreUnderTest): void => {
  const on = onStore(store)

  describe("law 7: every value comes back equal, or is not stored", () => {
    const kept: ReadonlyArray<readonly [string, unknown]> = [
      ["undefined", undefined],
      ["null", null],
      ["0", 0],
      ["-0", -0],
      ["an empty string", ""],
      ["NaN", Number.NaN],
      ["-Infinity", Number.NEGATIVE_INFINITY],
      ["false", false],
      ["0n", 0n],
      ["[]", []],
      ["{}", {}],
      ["[undefined]", [undefined]],
      ["{ a: undefined }", { a: undefined }],
      ["Option.none()", Option.none()],
      ["Option.some(undefined)", Option.some(undefined)],
      ["Option.some(Option.none())", Option.some(Option.none())],
      ["an invalid Date", new Date(Number.NaN)],
      ["an empty Map", new Map()],
      ["an empty Uint8Array", new Uint8Array(0)],
      ["Either.left", Either.left("e")],
      ["Exit.fail", Exit.fail("e")],
      ["Exit.die", Exit.die("d")],
      ["a Chunk", Chunk.make(1, undefined)],
      ["a List", List.make(1, 2)],
      ["a Duration", Duration.seconds(5)],
      ["a DateTime", DateTime.unsafeMakeZoned(0, { timeZone: "Europe/Berlin" })],
      ["a BigDecimal", BigDecimal.unsafeFromString("1.50")],
      ["a HashMap", HashMap.make(["a", HashSet.make(1)])],
      ["a Data.struct", Data.struct({ a: Data.tuple(1, "b") })],
      ["a URL", new URL("https://example.org/a?b")],
      ["an own __proto__", JSON.parse('{"__proto__":{"polluted":true}}')]
    ]
    const byReference: ReadonlyArray<readonly [string, unknown]> = [
      ["an Effect", Effect.never],
      ["a function", () => 1],
      ["a Promise", Promise.resolve(1)],
      ["a symbol", Symbol("s")],
      ["a cyclic object", (() => ({ self: undefined as unknown }))()]
    ]

    for (const [what, value] of store.remote ? kept : [...kept, ...byReference]) {
      it.effect(`${what} - is loaded once, then hit`, () => {
        const { lookup, calls } = makeLookup((_: number) => Effect.succeed(value))
        const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
        const check = (found: unknown) => {
          assert.isTrue(store.remote ? same(found, value) : Object.is(found, value), `${String(found)} came back`)
        }
        return on(
          Effect.gen(function* () {
            const cacheStore = yield* CacheStore
            check(yield* find(1))
            // Waits until the value has reached the backend.
            yield* becomes(
              Effect.map(cacheStore.health, (health) => health.owes),
              false
            )
            for (let i = 0; i < 3; i++) check(yield* find(1))
            assert.strictEqual(calls.length, 1)
            check(Option.getOrThrow(yield* find.peek(1)))
            check(Option.getOrThrow(yield* find.entry(1)).value)
            check(Option.getOrThrow(yield* cacheStore.get(find.key(1))))
            check(Option.getOrThrow((yield* cacheStore.getMany([find.key(1)]))[0]!))
            yield* find.set(2)(value)
            check(yield* find(2))
            assert.strictEqual(calls.length, 1)
            yield* cacheStore.set("by hand", value, { ttl: "1 minute" })
            check(Option.getOrThrow(yield* cacheStore.get("by hand")))
            assert.isTrue(yield* cacheStore.has("by hand"))
            assert.isFalse(yield* cacheStore.setIfAbsent("by hand", 1, { ttl: "1 minute" }))
            assert.strictEqual((yield* stats).hits, 4)
          })
        )
      })
    }

    it.effect("undefined - is refreshed like any other value", () => {
      const { lookup, calls } = numbered((call) => Effect.succeed(call === 1 ? undefined : null))
      const cached = Cached.swr(lookup(), { key: "k", ttl: "10 seconds", stale: "5 seconds" })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(yield* cached, undefined)
          yield* becomes(cached.peek, Option.some(null))
          assert.strictEqual(yield* cached, null)
          assert.strictEqual(calls.length, 2)
        })
      )
    })

    if (!store.remote) {
      it.effect("memory - holds values by reference: a change to one is visible to every reader", () => {
        const cached = Cached.ttl(
          Effect.sync(() => ({ n: 1 })),
          { key: "k", ...minute }
        )
        return on(
          Effect.gen(function* () {
            const first = yield* cached
            first.n = 2
            assert.strictEqual((yield* cached).n, 2)
            assert.strictEqual(yield* cached, first)
          })
        )
      })
    }
  })
}
