/**
 * Law 16 (no scans): `clear` and tags write a mark, whatever the number of entries, and concern exactly the entries they
 * name.
 */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import { CacheStore } from "../../src/CacheStore.js"
import { becomes, counting, gate, minute, numbered, onStore, type StoreUnderTest, stats, until } from "./support.js"

export const noScans = (store: StoreUnderTest): void => {
  const on = onStore(store)

  describe("law 16: no scans", () => {
    const echo = (key: string, tags?: (value: string) => ReadonlyArray<string>) =>
      Cached.ttl((id: string) => Effect.succeed(id), { key: key as "x:{}", tags, ...minute })

    it.effect("CacheStore.clear - every entry is absent for every member, whatever wrote it", () => {
      const users = echo("users:{}")
      return on(
        Effect.gen(function* () {
          const cacheStore = yield* CacheStore
          yield* users("a")
          yield* cacheStore.set("by hand", 1, minute)
          yield* cacheStore.clear
          deepStrictEqual(yield* users.peek("a"), Option.none())
          deepStrictEqual(yield* users.entry("a"), Option.none())
          deepStrictEqual(yield* cacheStore.get("by hand"), Option.none())
          deepStrictEqual(yield* cacheStore.getMany(["users:a", "by hand"]), [Option.none(), Option.none()])
          assert.isFalse(yield* cacheStore.has("by hand"))
          assert.isTrue(yield* cacheStore.setIfAbsent("by hand", 2, minute))
          deepStrictEqual(yield* cacheStore.get("by hand"), Option.some(2))
          yield* users("a")
          assert.strictEqual((yield* stats).loads, 2)
          yield* users("a")
          assert.strictEqual((yield* stats).hits, 1)
        })
      )
    })

    it.effect("clear of a function - removes its own entries, and none of a name with the same prefix", () => {
      const users = echo("users:{}")
      const more = echo("usersAbc:{}")
      const same = echo("users:{}:posts")
      return on(
        Effect.gen(function* () {
          const cacheStore = yield* CacheStore
          for (const id of ["a", "b"]) {
            yield* users(id)
            yield* more(id)
            yield* same(id)
          }
          yield* cacheStore.set("users:hand", 1, minute)
          yield* users.clear
          deepStrictEqual(yield* Effect.all([users.peek("a"), users.peek("b"), more.peek("a"), same.peek("b")]), [
            Option.none(),
            Option.none(),
            Option.some("a"),
            Option.some("b")
          ])
          assert.isTrue(yield* cacheStore.has("users:hand"))
          assert.strictEqual(yield* users("a"), "a")
          deepStrictEqual(yield* users.peek("a"), Option.some("a"))
          deepStrictEqual(yield* users.peek("b"), Option.none())
        })
      )
    })

    it.effect("tags - an entry with one of the invalidated tags is gone, the others stay", () => {
      const find = echo("k:{}", (id) => (id === "x" ? ["t1", "t2"] : id === "y" ? ["t2"] : []))
      const held = Effect.map(Effect.all([find.peek("x"), find.peek("y"), find.peek("z")]), (all) =>
        all.map(Option.isSome)
      )
      return on(
        Effect.gen(function* () {
          for (const id of ["x", "y", "z"]) yield* find(id)
          yield* Cached.invalidateTags(["t1"])
          deepStrictEqual(yield* held, [false, true, true])
          for (const id of ["x", "y", "z"]) yield* find(id)
          assert.strictEqual((yield* stats).loads, 4)
          yield* Cached.invalidateTags(["t2", "nobody's"])
          deepStrictEqual(yield* held, [false, false, true])
        })
      )
    })

    it.effect("unused tag - changes nothing", () => {
      const find = echo("k:{}", () => ["t"])
      return on(
        Effect.gen(function* () {
          yield* find("x")
          yield* Cached.invalidateTags(["unknown"])
          yield* Cached.invalidateTags([])
          for (let i = 0; i < 10; i++) yield* find("x")
          const { hits, loads } = yield* stats
          deepStrictEqual([hits, loads], [10, 1])
        })
      )
    })

    it.effect("changing tags - the tags of the current entry count", () => {
      let tag = "a"
      const find = echo("k:{}", () => [tag])
      return on(
        Effect.gen(function* () {
          yield* find.set("x")("1")
          tag = "b"
          yield* find.set("x")("2")
          yield* Cached.invalidateTags(["a"])
          deepStrictEqual(yield* find.peek("x"), Option.some("2"))
          yield* Cached.invalidateTags(["b"])
          deepStrictEqual(yield* find.peek("x"), Option.none())
        })
      )
    })

    it.effect("tags - are one namespace for all functions and for CacheStore.set", () => {
      const one = Cached.ttl(Effect.succeed(1), { key: "one", tags: ["t"], ...minute })
      const two = Cached.ttl(Effect.succeed(2), { key: "two", tags: () => ["t", "u"], ...minute })
      return on(
        Effect.gen(function* () {
          const cacheStore = yield* CacheStore
          yield* one
          yield* two
          yield* cacheStore.set("three", 3, { ...minute, tags: ["t"] })
          yield* cacheStore.set("four", 4, minute)
          yield* cacheStore.tags.invalidate(["t"])
          deepStrictEqual(yield* Effect.forEach(["one", "two", "three", "four"], (key) => cacheStore.has(key)), [
            false,
            false,
            false,
            true
          ])
        })
      )
    })

    it.effect("tags, names of functions and clear - do not collide, whatever they are called", () => {
      const star = Cached.ttl(Effect.succeed(1), { key: "k1", name: "*", tags: ["f:a"], ...minute })
      const tagged = Cached.ttl(Effect.succeed(2), { key: "k2", name: "a", tags: ["*", "a"], ...minute })
      const plain = Cached.ttl(Effect.succeed(3), { key: "k3", name: "t:a", ...minute })
      const starOf = Cached.ttl((_: number) => Effect.succeed(4), { key: "k4:{}", name: "*", ...minute })
      const held = Effect.map(Effect.all([star.peek, tagged.peek, plain.peek]), (all) => all.map(Option.isSome))
      const fill = Effect.all([star, tagged, plain])
      return on(
        Effect.gen(function* () {
          yield* fill
          yield* starOf.clear
          deepStrictEqual(yield* held, [false, true, true])
          yield* fill
          yield* Cached.invalidateTags(["*"])
          deepStrictEqual(yield* held, [true, false, true])
          yield* fill
          yield* Cached.invalidateTags(["a"])
          deepStrictEqual(yield* held, [true, false, true])
          yield* fill
          yield* Cached.invalidateTags(["f:a", "t:a", "f:t:a"])
          deepStrictEqual(yield* held, [false, true, true])
        })
      )
    })

    it.effect("glob characters in tags - are literal", () => {
      const hostile = ["a*", "ab", "[x]", "x", "?", "\\", "\\*", "*", "", "__proto__", "constructor", "{a}", "ä\u0000"]
      const find = echo("k:{}", (id) => [id])
      return on(
        Effect.gen(function* () {
          for (const tag of hostile) {
            for (const id of hostile) yield* find(id)
            yield* Cached.invalidateTags([tag])
            const held = yield* Effect.filter(hostile, (id) => Effect.map(find.peek(id), Option.isSome))
            deepStrictEqual(
              held,
              hostile.filter((id) => id !== tag),
              `after the invalidation of ${JSON.stringify(tag)}`
            )
          }
        })
      )
    })

    it.effect("glob characters in names and keys - are literal", () => {
      const names = ["u*", "u?", "[u]", "uu", "u"]
      const functions = names.map((name) =>
        Cached.ttl((id: string) => Effect.succeed(id), { key: `${name}:{}` as "x:{}", name, ...minute })
      )
      return on(
        Effect.gen(function* () {
          const cacheStore = yield* CacheStore
          for (const each of functions) yield* each("*")
          yield* functions[0]!.clear
          const held = Effect.forEach(functions, (each) => Effect.map(each.peek("*"), Option.isSome))
          deepStrictEqual(yield* held, [false, true, true, true, true])
          yield* cacheStore.remove("u?:*")
          yield* cacheStore.remove("*")
          deepStrictEqual(yield* held, [false, false, true, true, true])
        })
      )
    })

    it.effect("stale entries - are invalidated like fresh ones", () => {
      const { lookup } = counting()
      const cached = Cached.swr(lookup(), { key: "k", ttl: "10 seconds", stale: "1 hour", tags: ["t"] })
      return on(
        Effect.gen(function* () {
          const cacheStore = yield* CacheStore
          let expected = 1
          for (const verb of [Cached.invalidateTags(["t"]), cacheStore.clear, cached.invalidate]) {
            assert.strictEqual(yield* cached, expected)
            yield* TestClock.adjust("10 seconds")
            yield* verb
            deepStrictEqual(yield* cached.peek, Option.none())
            expected++
            assert.strictEqual(yield* cached, expected)
          }
          assert.strictEqual((yield* stats).staleHits, 0)
        })
      )
    })

    it.effect("invalidation during a refresh - the refreshed value is not kept", () => {
      const door = gate()
      const { lookup, calls } = numbered((call) => (call === 1 ? Effect.succeed(1) : Effect.as(door.pass, call)))
      const cached = Cached.swr(lookup(), { key: "k", ttl: "10 seconds", stale: "1 hour", tags: ["t"] })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.adjust("10 seconds")
          yield* cached
          yield* until(() => calls.length === 2, "the refresh began")
          yield* Cached.invalidateTags(["t"])
          yield* door.open
          yield* becomes(
            Effect.map(stats, (all) => all.inFlight),
            0
          )
          deepStrictEqual(yield* cached.peek, Option.none())
        })
      )
    })
  })
}
