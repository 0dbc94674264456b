/**
 * Keys, owners and versions: the key an entry is stored under, and the function it belongs to.
 */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Option } from "effect"
import * as Cached from "../../src/Cached.js"
import { KeyError } from "../../src/CacheError.js"
import { CacheStore } from "../../src/CacheStore.js"
import {
  becomes,
  gated,
  makeLookup,
  minute,
  numbered,
  onStore,
  recordWarnings,
  type StoreUnderTest,
  stats
} from "./support.js"

export const keys = (store: StoreUnderTest): void => {
  const on = onStore(store)

  describe("an entry belongs to its function", () => {
    it.effect(
      "two functions on one key - miss and overwrite each other's entries, with one Warning that names both",
      () => {
        const { lines, layer } = recordWarnings()
        const a = makeLookup((id: string) => Effect.succeed(`a${id}`))
        const b = numbered((call, _: number) => Effect.succeed(`b${call}`))
        const byName = Cached.ttl(a.lookup, { key: "{}:x", name: "first", ...minute })
        const byNumber = Cached.ttl(b.lookup, { key: "{}:x", name: "second", ...minute })
        return Effect.gen(function* () {
          assert.strictEqual(yield* byName("1"), "a1")
          deepStrictEqual(yield* byNumber.peek(1), Option.none())
          assert.strictEqual(yield* byNumber(1), "b1")
          assert.strictEqual(yield* byNumber(1), "b1")
          deepStrictEqual(yield* byName.peek("1"), Option.none())
          assert.strictEqual(yield* byName("1"), "a1")
          assert.strictEqual(yield* byNumber(1), "b2")
          deepStrictEqual([a.calls.length, b.calls.length], [2, 2])
          assert.lengthOf(lines, 1)
          assert.include(lines[0], "first")
          assert.include(lines[0], "second")
        }).pipe(on, Effect.provide(layer))
      }
    )

    it.effect("without names - the template is the identity, so equal labels are still two functions", () => {
      const a = Cached.ttl(() => Effect.succeed("a"), { key: "user:1", ...minute })
      const b = Cached.ttl((id: number) => Effect.succeed(`b${id}`), { key: "user:{}", ...minute })
      return on(
        Effect.gen(function* () {
          assert.strictEqual(yield* a(), "a")
          assert.strictEqual(yield* b(1), "b1")
          assert.strictEqual(yield* a(), "a")
        })
      )
    })

    it.effect("at the same time - each function has its own load", () => {
      const a = gated()
      const b = gated()
      const one = Cached.ttl(
        Effect.map(a.lookup(), (n) => `a${n}`),
        { key: "k", name: "one", ...minute }
      )
      const two = Cached.ttl(
        Effect.map(b.lookup(), (n) => `b${n}`),
        { key: "k", name: "two", ...minute }
      )
      return on(
        Effect.gen(function* () {
          const first = yield* Effect.fork(one)
          yield* a.door.reached
          const second = yield* Effect.fork(two)
          yield* b.door.reached
          yield* b.door.open
          assert.strictEqual(yield* Fiber.join(second), "b1")
          yield* a.door.open
          assert.strictEqual(yield* Fiber.join(first), "a1")
          // The load that began last wins.
          deepStrictEqual([yield* one.peek, yield* two.peek], [Option.none(), Option.some("b1")])
        })
      )
    })

    it.effect("same name - entries and loads are shared on purpose", () => {
      const a = gated()
      const b = gated()
      const one = Cached.ttl(a.lookup(), { key: "k", name: "n", ...minute })
      const two = Cached.ttl(b.lookup(), { key: "k", name: "n", ...minute })
      return on(
        Effect.gen(function* () {
          const first = yield* Effect.fork(one)
          yield* a.door.reached
          const second = yield* Effect.fork(two)
          yield* becomes(
            Effect.map(stats, (all) => all.coalesced),
            1
          )
          yield* a.door.open
          deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], [1, 1])
          assert.strictEqual(yield* two, 1)
          assert.strictEqual(b.calls.length, 0)
          yield* two.invalidate
          deepStrictEqual(yield* one.peek, Option.none())
        })
      )
    })

    it.effect("a value written through the store - belongs to no function, and no Warning is logged", () => {
      const { lines, layer } = recordWarnings()
      const { lookup, calls } = makeLookup(() => Effect.succeed("loaded"))
      const cached = Cached.ttl(lookup(), { key: "k", ...minute })
      return Effect.gen(function* () {
        const cacheStore = yield* CacheStore
        yield* cacheStore.set("k", "by hand", minute)
        deepStrictEqual(yield* cached.peek, Option.none())
        assert.strictEqual(yield* cached, "loaded")
        assert.strictEqual(calls.length, 1)
        deepStrictEqual(yield* cacheStore.get("k"), Option.some("loaded"))
        assert.lengthOf(lines, 0)
      }).pipe(on, Effect.provide(layer))
    })
  })

  describe("an empty name or key", () => {
    const empty = {
      "an empty name": (value: string) => Cached.ttl(() => Effect.succeed(value), { key: "k", name: "", ...minute })(),
      "an empty template": (value: string) => Cached.ttl(Effect.succeed(value), { key: "", ...minute }),
      "a key function without a name": (value: string) =>
        Cached.ttl(() => Effect.succeed(value), {
          key: (
            () => () =>
              "k"
          )(),
          name: "",
          ...minute
        })()
    }
    for (const [title, cached] of Object.entries(empty)) {
      it.effect(`${title} - does not take what was written through the store`, () =>
        on(
          Effect.gen(function* () {
            const cacheStore = yield* CacheStore
            for (const key of ["k", ""]) yield* cacheStore.set(key, "by hand", minute)
            assert.strictEqual(yield* cached("loaded"), "loaded")
            assert.strictEqual(yield* cached("loaded again"), "loaded")
          })
        )
      )
    }

    it.effect("`clear` - leaves what was written through the store", () => {
      const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "user:{}", name: "", ...minute })
      return on(
        Effect.gen(function* () {
          const cacheStore = yield* CacheStore
          yield* cacheStore.set("k", "by hand", minute)
          yield* find(1)
          yield* find.clear
          deepStrictEqual(yield* find.peek(1), Option.none())
          deepStrictEqual(yield* cacheStore.get("k"), Option.some("by hand"))
        })
      )
    })
  })

  describe("version", () => {
    const of = (version: string | number | undefined, value: string) =>
      Cached.ttl((_: string) => Effect.succeed(value), { key: "user:{}", version, ...minute })

    it.effect("two versions - share nothing, in any member", () => {
      const [none, v1, v2] = [of(undefined, "none"), of(1, "v1"), of("2", "v2")]
      return on(
        Effect.gen(function* () {
          deepStrictEqual(yield* Effect.all([none("42"), v1("42"), v2("42"), none("42"), v1("42")]), [
            "none",
            "v1",
            "v2",
            "none",
            "v1"
          ])
          assert.strictEqual((yield* stats).loads, 3)
          yield* v1.invalidate("42")
          yield* v2.set("42")("set")
          deepStrictEqual(yield* Effect.all([none.peek("42"), v1.peek("42"), v2.peek("42")]), [
            Option.some("none"),
            Option.none(),
            Option.some("set")
          ])
          deepStrictEqual([none.key("42"), v1.key("42"), v2.key("42")], ["user:42", "user:42#v1", "user:42#v2"])
          yield* Effect.flatMap(CacheStore, (store) => store.remove(v2.key("42")))
          deepStrictEqual(yield* v2.peek("42"), Option.none())
        })
      )
    })

    it.effect("a key that looks like a versioned one - is a different key", () => {
      const pairs = [
        [of(undefined, "a"), "42@1", of(1, "b"), "42"],
        [of(1, "c"), "7@2", of("2@1", "d"), "7"],
        [of("", "e"), "9", of(undefined, "f"), "9@"],
        [of(undefined, "g"), "3", of("", "h"), "3"]
      ] as const
      return on(
        Effect.forEach(pairs, ([one, key1, two, key2]) =>
          Effect.gen(function* () {
            const first = yield* one(key1)
            const second = yield* two(key2)
            assert.notStrictEqual(first, second)
            // Neither overwrites the other.
            deepStrictEqual(yield* one.peek(key1), Option.some(first))
            deepStrictEqual(yield* two.peek(key2), Option.some(second))
          })
        )
      )
    })

    it.effect("a template that looks like a versioned one - is a different template", () => {
      const versioned = Cached.ttl((id: string) => Effect.succeed(`versioned ${id}`), {
        key: "user:{}",
        version: 1,
        ...minute
      })
      const plain = Cached.ttl((id: string) => Effect.succeed(`plain ${id}`), { key: "user:{}@1", ...minute })
      return on(
        Effect.gen(function* () {
          assert.strictEqual(yield* versioned("42"), "versioned 42")
          assert.strictEqual(yield* plain("42"), "plain 42")
          assert.strictEqual(yield* versioned("42"), "versioned 42")
        })
      )
    })
  })

  describe("keys", () => {
    it.effect("ambiguous parts - are different keys", () => {
      const { lookup, calls } = makeLookup((a: string, b: string) => Effect.succeed(JSON.stringify([a, b])))
      const pair = Cached.ttl(lookup, { key: "{0}:{1}", name: "pair", ...minute })
      const cases = [
        ["a", "bc"],
        ["ab", "c"],
        ["a:b", "c"],
        ["a", "b:c"],
        ["", "a"],
        ["a", ""],
        ["%", ":"],
        ["%3A", ""],
        [":", ""],
        ["", ":"],
        ["{0}", "{1}"],
        ["{1}", "{0}"]
      ] as const
      return on(
        Effect.gen(function* () {
          for (const [a, b] of cases) assert.strictEqual(yield* pair(a, b), JSON.stringify([a, b]))
          for (const [a, b] of cases) assert.strictEqual(yield* pair(a, b), JSON.stringify([a, b]))
          assert.strictEqual(calls.length, cases.length)
        })
      )
    })

    it.effect("names of Object.prototype and hostile strings - are ordinary keys", () => {
      const hostile = [
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        "",
        " ",
        "\n",
        "\u0000",
        "\u0000\u0001",
        "🙂",
        "\ud83d",
        "\ude42",
        "\ufffd",
        "../../etc/passwd",
        "CON",
        "trailing.",
        "case",
        "CASE",
        "a*",
        "[x]",
        "?",
        "\\",
        "é",
        "e\u0301",
        "k".repeat(10_000),
        "k".repeat(1_000_000)
      ]
      const { lookup, calls } = numbered((call, id: string) => Effect.succeed({ length: id.length, n: call }))
      const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
      const raw = Cached.ttl(lookup, { key: (id: string) => id, name: "raw", ...minute })
      return on(
        Effect.gen(function* () {
          for (const cached of [find, raw]) {
            const first = yield* Effect.forEach(hostile, (id) => cached(id))
            deepStrictEqual(
              first.map((each) => each.length),
              hostile.map((id) => id.length)
            )
            deepStrictEqual(yield* Effect.forEach(hostile, (id) => cached(id)), first)
          }
          assert.strictEqual(calls.length, hostile.length * 2)
          assert.isUndefined(({} as Record<string, unknown>).length)
        })
      )
    })

    it.effect("a function named __proto__ - is counted under its name", () => {
      const cached = Cached.ttl(Effect.succeed(1), { key: "k", name: "__proto__", ...minute })
      return on(
        Effect.gen(function* () {
          yield* cached
          const { caches } = yield* stats
          deepStrictEqual(Object.keys(caches), ["__proto__"])
        })
      )
    })
  })

  describe("a template that the compiler does not know", () => {
    const wide = (template: string): string => template
    const product = (tenant: string, id: number) => Effect.succeed(`${tenant}/${id}`)
    const dies = (effect: Effect.Effect<unknown, never, CacheStore>, detail: string) =>
      Effect.map(Effect.exit(effect), (exit) => {
        const defect = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined
        assert.instanceOf(defect, KeyError)
        assert.include(defect.message, detail)
      })

    it.effect("a declared argument left out - is a defect of every read and member, and nothing is shared", () => {
      const { lookup, calls } = makeLookup(product)
      const declared = (tenant: string, id: number) => lookup(tenant, id)
      const cached = Cached.ttl(declared, { key: wide("product:{0}"), name: "product", ...minute })
      const constant = Cached.swr(declared, { key: wide("products"), name: "products", ...minute, stale: 1 })
      return on(
        Effect.gen(function* () {
          for (const id of [1, 2]) yield* dies(cached("acme", id), "argument 1 of product is not part of the key")
          yield* dies(cached.refresh("acme", 1), "argument 1")
          yield* dies(cached.set("acme", 1)("acme/1"), "argument 1")
          yield* dies(constant("acme", 1), "argument 0 of products is not part of the key")
          assert.throws(() => cached.key("acme", 1), KeyError)
          assert.lengthOf(calls, 0)
        })
      )
    })

    it.effect("an argument that is ignored, or that only the caller knows - does not count", () => {
      const { lines, layer } = recordWarnings()
      const ignoring = Cached.ttl(product, { key: wide("product:{1}"), ignore: [0], name: "product", ...minute })
      const byId = Cached.ttl((id: number) => Effect.succeed(id), { key: wide("user:{}"), name: "user", ...minute })
      const optional = (id: number, page = 1) => Effect.succeed([id, page])
      const byPage = Cached.ttl(optional, { key: wide("page:{}"), name: "page", ...minute })
      return Effect.gen(function* () {
        assert.strictEqual(yield* ignoring("a", 1), "a/1")
        assert.strictEqual(yield* ignoring("b", 1), "a/1")
        deepStrictEqual(yield* Effect.forEach([1, 2, 1], byId), [1, 2, 1])
        deepStrictEqual(yield* byPage(1), [1, 1])
        assert.lengthOf(lines, 0)
      }).pipe(on, Effect.provide(layer))
    })

    it.effect("properties of the first record left out - are one Warning that names them", () => {
      const { lines, layer } = recordWarnings()
      interface Order {
        readonly _tag: "Order"
        readonly tenant: string
        readonly id: number
        readonly run: () => void
      }
      const order = (tenant: string, id: number): Order => ({ _tag: "Order", tenant, id, run: () => {} })
      const lookup = (of: Order) => Effect.succeed(of.tenant)
      const leaky = Cached.ttl(lookup, { key: wide("order:{id}"), name: "order", ...minute })
      const whole = Cached.ttl(lookup, { key: wide("whole:{tenant}:{id}"), name: "whole", ...minute })
      const byName = { key: wide("named:{id}"), ignore: ["tenant"], name: "named", ...minute } as const
      const named = Cached.ttl(lookup, byName)
      const rest = Cached.ttl(lookup, { key: wide("rest:{id}"), ignore: [0], name: "rest", ...minute })
      // the compiler has seen this one, and the caller passes more than it declares
      const known = Cached.ttl((of: { readonly id: number }) => Effect.succeed(of.id), { key: "known:{id}", ...minute })
      return Effect.gen(function* () {
        for (const cached of [leaky, whole, named, rest, known]) {
          yield* cached(order("acme", 1))
          yield* cached(order("acme", 2))
        }
        assert.lengthOf(lines, 1)
        assert.include(lines[0], "the key of order leaves out {tenant} of its first argument")
        const { problems } = yield* Effect.flatMap(CacheStore, (store) => store.health)
        deepStrictEqual(
          problems.filter(({ name }) => name === "KeyIncomplete").map(({ subject }) => subject),
          ["order"]
        )
      }).pipe(on, Effect.provide(layer))
    })
  })
}
