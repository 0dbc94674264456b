/**
 * Laws 5 (callbacks), 7 and 8, keys, owners and versions: what is stored, under which name, and who may overwrite it.
 */
// not chai's: it takes any two Effect values with unlike keys, such as Some and None, for equal
import { deepStrictEqual } from "node:assert/strict"
import { isDeepStrictEqual } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Equal, Exit, Fiber, Layer, Option, TestClock } from "effect"
import { Cached, CacheStore, KeyError, MemoryCache } from "../../src/index.js"
import {
  becomes,
  counting,
  gate,
  makeLookup,
  numbered,
  recordWarnings,
  type StoreUnderTest,
  stats,
  until
} from "./support.js"

const same = (a: unknown, b: unknown): boolean => isDeepStrictEqual(a, b) || Equal.equals(a, b)

const minute = { ttl: "1 minute" } as const

/** answers with the number of the call, once it is let through */
const gated = () => {
  const door = gate()
  return { ...numbered((call) => Effect.as(door.pass, call)), door }
}

const dies = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) && Cause.isDieType(exit.cause) ? exit.cause.defect : assert.fail(`no defect: ${exit}`)

export const values = (store: StoreUnderTest): void => {
  const on = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, store.layer)

  describe(`values (${store.name})`, () => {
    describe("law 5: failure is shared, not stored; a callback that throws is that load's defect", () => {
      const bug = new Error("bug")
      const boom = (): never => {
        throw bug
      }

      for (const [what, options] of [
        ["ttl", { ttl: boom }],
        ["tags", { ttl: "1 minute", tags: boom }],
        ["tags that are none", { ttl: "1 minute", tags: () => undefined as never }],
        ["ttl that is none", { ttl: () => "soon" as never }],
        ["ttl that is undefined", { ttl: () => undefined as never }]
      ] as const) {
        it.effect(`${what} - the whole herd dies of it, nobody hangs, nothing is stored, the key stays usable`, () => {
          const { lookup, calls, door } = gated()
          const options1 = { key: "k", name: "n" } as const
          const broken = Cached.ttl(lookup(), { ...options1, ...options } as { key: "k"; name: "n"; ttl: () => never })
          const sound = Cached.ttl(lookup(), { ...options1, ...minute })
          return on(
            Effect.gen(function* () {
              const herd = yield* Effect.forkAll([Effect.exit(broken), Effect.exit(broken), Effect.exit(broken)])
              yield* becomes(
                Effect.map(stats, (all) => all.misses),
                3
              )
              yield* door.open
              const exits = yield* Fiber.join(herd)
              for (const exit of exits) dies(exit)
              if (what === "ttl" || what === "tags") assert.strictEqual(dies(exits[0]!), bug)
              assert.strictEqual(calls.length, 1)
              const after = yield* stats
              deepStrictEqual([after.inFlight, after.loadFailures], [0, 1])
              deepStrictEqual(yield* sound.peek, Option.none())
              assert.strictEqual(yield* sound, 2)
              assert.strictEqual(yield* sound, 2)
            })
          )
        })
      }

      it.effect("ttl throwing in a refresh - the old value is kept to its deadline", () => {
        let broken = false
        const { lookup } = counting()
        const cached = Cached.swr(lookup(), {
          key: "k",
          ttl: () => (broken ? boom() : "10 seconds"),
          stale: "5 seconds"
        })
        return on(
          Effect.gen(function* () {
            yield* cached
            broken = true
            yield* TestClock.adjust("10 seconds")
            assert.strictEqual(yield* cached, 1)
            yield* becomes(
              Effect.map(stats, (all) => all.refreshFailures),
              1
            )
            assert.strictEqual(yield* cached, 1)
            broken = false
            yield* TestClock.adjust("1 second")
            assert.strictEqual(yield* cached, 1)
            yield* becomes(cached, 3)
          })
        )
      })

      it.effect("ttl throwing in set - a defect of that set; what stood there stays", () => {
        let broken = false
        const cached = Cached.ttl(Effect.succeed(1), { key: "k", ttl: () => (broken ? boom() : "1 minute") })
        return on(
          Effect.gen(function* () {
            yield* cached
            broken = true
            assert.strictEqual(dies(yield* Effect.exit(cached.set(2))), bug)
            deepStrictEqual(yield* cached.peek, Option.some(1))
          })
        )
      })

      it.effect("key function - throwing is a defect of the read that names it, never a throw at the call", () => {
        const { lookup, calls } = makeLookup((id: number) => Effect.succeed(id))
        const find = Cached.ttl(lookup, {
          key: (id) => {
            if (id < 0) throw bug
            return `k:${id}`
          },
          name: "find",
          ...minute
        })
        return on(
          Effect.gen(function* () {
            for (const verb of [find, find.refresh, find.invalidate, find.peek, find.entry]) {
              const defect = dies(yield* Effect.exit(verb(-1)))
              assert.instanceOf(defect, KeyError)
              assert.include(defect.message, "find")
              assert.strictEqual(defect.cause, bug)
            }
            assert.instanceOf(dies(yield* Effect.exit(find.set(-1)(5))), KeyError)
            assert.strictEqual(calls.length, 0)
            assert.throws(() => find.key(-1), KeyError)
            assert.strictEqual(yield* find(1), 1)
          })
        )
      })

      it.effect("key function - answering no text is a defect, never a shared key", () => {
        const find = Cached.ttl((id: unknown) => Effect.succeed(id), {
          key: (id) => id as string,
          name: "find",
          ...minute
        })
        return on(
          Effect.forEach([undefined, null, 5, {}, Number.NaN], (id) =>
            Effect.map(Effect.exit(find(id)), (exit) => assert.instanceOf(dies(exit), KeyError))
          )
        )
      })

      it.effect("key part of the wrong kind - a defect that names the template", () => {
        const { lookup, calls } = makeLookup((id: number) => Effect.succeed(id))
        const find = Cached.ttl(lookup, { key: "user:{}", ...minute })
        return on(
          Effect.gen(function* () {
            for (const id of [undefined, null, Number.NaN, Number.POSITIVE_INFINITY, {}, [], Symbol("s")]) {
              const defect = dies(yield* Effect.exit(find(id as number)))
              assert.instanceOf(defect, KeyError)
              assert.strictEqual(defect.template, "user:{}")
            }
            assert.strictEqual(calls.length, 0)
          })
        )
      })
    })

    describe("law 7: every value is a value", () => {
      const kept: ReadonlyArray<readonly [string, unknown]> = [
        ["undefined", undefined],
        ["null", null],
        ["0", 0],
        ["-0", -0],
        ["an empty text", ""],
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
        ["a __proto__ of its own", JSON.parse('{"__proto__":{"polluted":true}}')]
      ]
      const byReference: ReadonlyArray<readonly [string, unknown]> = [
        ["Exit.fail", Exit.fail("e")],
        ["Exit.die", Exit.die("d")],
        ["an Effect", Effect.succeed(1)],
        ["a function", () => 1],
        ["a Promise", Promise.resolve(1)],
        ["a symbol", Symbol("s")],
        ["a cyclic object", (() => ({ self: undefined as unknown }))()]
      ]

      for (const [what, value] of store.remote ? kept : [...kept, ...byReference]) {
        it.effect(`${what} - is loaded once, and hit`, () => {
          const { lookup, calls } = makeLookup((_: number) => Effect.succeed(value))
          const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
          const check = (found: unknown) => {
            assert.isTrue(store.remote ? same(found, value) : Object.is(found, value), `${String(found)} came back`)
          }
          return on(
            Effect.gen(function* () {
              const cacheStore = yield* CacheStore
              check(yield* find(1))
              // what has reached the medium, not what is still on the way to it
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

      it.effect("a value that stands for absence - refreshes like any other", () => {
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
        it.effect("memory - values are held by reference: who changes one changes it for everybody", () => {
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

    describe("law 8: invalidate wins", () => {
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
            `${verb} during a load (${which}) - its waiter keeps it, nobody joins it, it writes nothing`,
            () => {
              const { lookup, calls, door } = gated()
              const cached = Cached.ttl(lookup(), options as typeof tagged)
              return on(
                Effect.gen(function* () {
                  const before = yield* Effect.fork(cached)
                  yield* until(() => calls.length === 1, "the load began")
                  yield* verb === "invalidate" ? cached.invalidate : (yield* tools)[verb]
                  const after = yield* Effect.fork(cached)
                  yield* until(() => calls.length === 2, "a load of its own began for who came later")
                  yield* door.open
                  assert.strictEqual(yield* Fiber.join(before), 1)
                  assert.strictEqual(yield* Fiber.join(after), 2)
                  assert.strictEqual(yield* cached, 2)
                  deepStrictEqual(yield* cached.peek, Option.some(2))
                })
              )
            }
          )

          it.effect(`${verb} during a load (${which}) - with nobody coming later, nothing is stored`, () => {
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

      it.effect("function's clear during a load - the same", () => {
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
      })

      it.effect("another function's clear, another tag, another key - leave a load alone", () => {
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

      it.effect(
        "set during a load - its waiter keeps the loaded value, everybody else gets the one that was set",
        () => {
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
        }
      )

      it.effect("set during a refresh - wins; invalidate during a refresh - wins", () => {
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

      it.effect("invalidate, then a load in the same millisecond - is stored and hit", () => {
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

      it.effect("older load landing last - does not write over the forced load that took its place", () => {
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

    describe("an entry belongs to its function", () => {
      it.effect("two functions on one key - a miss for each other, overwritten, one Warning that names both", () => {
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
      })

      it.effect("without names - the template's text is the identity, so equal labels are still two functions", () => {
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

      it.effect("at once - each loads in a flight of its own", () => {
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
            // the load that began last is what stays
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

      it.effect("a value written through the store - is no function's, and says nothing", () => {
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

    describe("version", () => {
      const of = (version: string | number | undefined, value: string) =>
        Cached.ttl((_: string) => Effect.succeed(value), { key: "user:{}", version, ...minute })

      it.effect("two versions - never meet, in no verb", () => {
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
            assert.strictEqual(v1.key("42"), "user:42")
          })
        )
      })

      it.effect("a key that looks like a versioned one - does not meet it", () => {
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
              // nor do they take the place from each other
              deepStrictEqual(yield* one.peek(key1), Option.some(first))
              deepStrictEqual(yield* two.peek(key2), Option.some(second))
            })
          )
        )
      })

      it.effect("a template that looks like a versioned one - does not meet it", () => {
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
      it.effect("parts that could be taken for each other - are apart", () => {
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

      it.effect("names of Object's own, and hostile texts - are keys like any other", () => {
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

    describe("Cached.bypass", () => {
      it.effect("reads inside - neither read, nor store, nor join; nor do those of their lookups", () => {
        const inner = counting()
        const innerCached = Cached.ttl(inner.lookup(), { key: "inner", ...minute })
        const { lookup, calls, door } = gated()
        const outer = Cached.ttl(Effect.zipRight(innerCached, lookup()), { key: "outer", ...minute })
        return on(
          Effect.gen(function* () {
            yield* innerCached
            const running = yield* Effect.fork(outer)
            yield* door.reached
            const bypassing = yield* Effect.fork(Cached.bypass(outer))
            yield* until(() => calls.length === 2, "a load of its own began")
            assert.strictEqual(inner.calls.length, 2)
            yield* door.open
            assert.strictEqual(yield* Fiber.join(running), 1)
            assert.strictEqual(yield* Fiber.join(bypassing), 2)
            assert.strictEqual(yield* outer, 1)
            assert.strictEqual(yield* innerCached, 1)
            assert.strictEqual((yield* stats).loads, 2)
          })
        )
      })

      it.effect("failure inside - reaches the caller", () => {
        const cached = Cached.ttl(Effect.fail("down"), { key: "k", ...minute })
        return on(Effect.map(Effect.flip(Cached.bypass(cached)), (error) => assert.strictEqual(error, "down")))
      })

      it.effect("after it - reads are as before", () => {
        const { lookup } = counting()
        const cached = Cached.ttl(lookup(), { key: "k", ...minute })
        return on(
          Effect.gen(function* () {
            yield* cached
            assert.strictEqual(yield* Cached.bypass(cached), 2)
            assert.strictEqual(yield* cached, 1)
          })
        )
      })
    })

    describe("Cached.reload", () => {
      it.effect("reads inside - load anew and store, those of their lookups, too", () => {
        const inner = counting()
        const innerCached = Cached.ttl(inner.lookup(), { key: "inner", ...minute })
        const outer = Cached.ttl(
          Effect.map(innerCached, (n) => `outer of ${n}`),
          { key: "outer", ...minute }
        )
        return on(
          Effect.gen(function* () {
            assert.strictEqual(yield* outer, "outer of 1")
            assert.strictEqual(yield* Cached.reload(outer), "outer of 2")
            assert.strictEqual(yield* outer, "outer of 2")
            assert.strictEqual(yield* innerCached, 2)
            assert.strictEqual(inner.calls.length, 2)
          })
        )
      })

      it.effect("a load under way - is not joined; what it loads does not win over the reload", () => {
        const { lookup, calls, door } = gated()
        const cached = Cached.ttl(lookup(), { key: "k", ...minute })
        return on(
          Effect.gen(function* () {
            const running = yield* Effect.fork(cached)
            yield* door.reached
            const reloading = yield* Effect.fork(Cached.reload(cached))
            yield* until(() => calls.length === 2, "a load of its own began")
            yield* door.open
            deepStrictEqual([yield* Fiber.join(running), yield* Fiber.join(reloading)], [1, 2])
            assert.strictEqual(yield* cached, 2)
          })
        )
      })

      it.effect("failing - the value before it stays", () => {
        const { lookup } = numbered((call) => (call === 1 ? Effect.succeed(1) : Effect.fail("down")))
        const cached = Cached.ttl(lookup(), { key: "k", ...minute })
        return on(
          Effect.gen(function* () {
            yield* cached
            assert.strictEqual(yield* Effect.flip(Cached.reload(cached)), "down")
            assert.strictEqual(yield* cached, 1)
          })
        )
      })
    })

    describe("Cached.warm", () => {
      it.effect("all are tried, at most `concurrency` at once, and every failure is reported", () => {
        let running = 0
        let most = 0
        const { lookup, calls } = makeLookup((id: number) =>
          Effect.gen(function* () {
            running++
            most = Math.max(most, running)
            yield* Effect.yieldNow()
            running--
            if (id % 5 === 0) return yield* Effect.fail(`no ${id}`)
            return id
          })
        )
        const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
        const ids = Array.from({ length: 20 }, (_, i) => i + 1)
        return on(
          Effect.gen(function* () {
            const cause = yield* Effect.sandbox(
              Cached.warm(
                ids.map((id) => find(id)),
                { concurrency: 3 }
              )
            ).pipe(Effect.flip)
            assert.sameMembers(Array.from(Cause.failures(cause)), ["no 5", "no 10", "no 15", "no 20"])
            assert.strictEqual(calls.length, 20)
            assert.isAtMost(most, 3)
            assert.strictEqual(yield* find(1), 1)
            assert.strictEqual(calls.length, 20)
            yield* Cached.warm([find(2), find(3)])
            assert.strictEqual(calls.length, 20)
          })
        )
      })
    })

    describe("Cached.capture", () => {
      class Db extends Context.Tag("test/Db")<Db, { readonly name: string }>() {}

      it.effect("members - need nothing, and use the services of where it was captured, in refreshes, too", () => {
        const { lookup } = numbered((call, id: number) => Effect.map(Db, (db) => `${db.name}${id}#${call}`))
        const find = Cached.swr(lookup, { key: "k:{}", ttl: "10 seconds", stale: "1 hour" })
        const one = Cached.swr(lookup(0), { key: "k", ttl: "10 seconds", stale: "1 hour" })
        return on(
          Effect.gen(function* () {
            const captured = yield* Effect.provideService(Cached.capture(find), Db, { name: "captured" })
            const capturedOne = yield* Effect.provideService(Cached.capture(one), Db, { name: "captured" })
            const elsewhere = <A, E>(effect: Effect.Effect<A, E>) =>
              effect.pipe(
                Effect.provideService(Db, { name: "elsewhere" }),
                Effect.provide(Layer.fresh(MemoryCache.layer()))
              )
            assert.strictEqual(yield* elsewhere(captured(1)), "captured1#1")
            assert.strictEqual(yield* elsewhere(captured.refresh(1)), "captured1#2")
            deepStrictEqual(yield* elsewhere(captured.peek(1)), Option.some("captured1#2"))
            yield* TestClock.adjust("10 seconds")
            assert.strictEqual(yield* elsewhere(captured(1)), "captured1#2")
            yield* becomes(elsewhere(captured.peek(1)), Option.some("captured1#3"))
            yield* elsewhere(captured.set(1)("set"))
            // the same entry as the function it was made of
            deepStrictEqual(yield* find.peek(1), Option.some("set"))
            yield* elsewhere(captured.invalidate(1))
            deepStrictEqual(yield* find.peek(1), Option.none())
            assert.strictEqual(captured.key(1), "k:1")
            assert.strictEqual(capturedOne.key, "k")
            assert.strictEqual(yield* elsewhere(capturedOne), "captured0#4")
            yield* elsewhere(captured.clear)
          })
        )
      })
    })
  })
}
