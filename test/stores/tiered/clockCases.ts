/**
 * What several processes with two tiers do one after the other, whatever the clocks and counts of the tiers are.
 */
import { assert } from "@effect/vitest"
import { Effect, Option, type Scope } from "effect"
import { type Backend, Cached, TieredCache } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import { awaitUntil, live, type RedisServer } from "../../support/redis.js"
import { type Node, nodeOf, same } from "../../support/redis-nodes.js"

const forLong = { ttl: "10 minutes" } as const

export interface Setting {
  /** Opens one more store, as another process does. */
  readonly open: Effect.Effect<Node, never, Scope.Scope>
  /** Deletes everything in the faster tier. */
  readonly flush: Effect.Effect<void>
  /** The faster tier does not answer until `answerAgain`. */
  readonly hang: Effect.Effect<void>
  readonly answerAgain: Effect.Effect<void>
}

/** Opens a store of two tiers: this Redis in front of another backend. */
export const openTiers = (
  near: RedisServer.Service,
  far: Effect.Effect<Backend.Backend, never, Scope.Scope>
): Effect.Effect<Node, never, Scope.Scope> =>
  Effect.map(
    live(
      TieredCache.make({
        tiers: [
          { name: "near", backend: RedisCache.backend({ url: near.url }) },
          { name: "far", backend: far }
        ]
      })
    ),
    nodeOf
  )

const find = (options: { readonly flightTimeout?: "1 second" } = {}) => {
  let loads = 0
  const fn = Cached.ttl((_: string) => Effect.sync(() => `load ${++loads}`), {
    key: "k:{}",
    name: "found",
    ...forLong,
    ...options,
    tags: (_, id) => [`tag:${id}`]
  })
  return { fn, loads: () => loads }
}

const setsOfFar = ({ store }: Node) => Effect.map(store.stats, ({ tiers }) => tiers[tiers.length - 1]!.sets)

const get = (key: string, ...nodes: ReadonlyArray<Node>) =>
  Effect.forEach(nodes, ({ store }) => Effect.map(store.get<unknown>(key), Option.getOrUndefined))

const isUp = ({ store }: Node) =>
  awaitUntil(
    Effect.map(
      Effect.zipRight(Effect.ignore(store.get("probe")), store.health),
      ({ status, undelivered }) => status === "up" && undelivered === 0
    ),
    "everything is delivered"
  )

export const cases: Record<string, (setting: Setting) => Effect.Effect<void, unknown, Scope.Scope>> = {
  "a loaded value - is stored in both tiers, also when nothing was invalidated for long": ({ open }) =>
    Effect.gen(function* () {
      const node = yield* open
      const { fn } = find({ flightTimeout: "1 second" })
      yield* node.run(fn("a"))
      yield* Effect.sleep("2 seconds")
      const before = yield* setsOfFar(node)
      yield* node.run(fn("b"))
      yield* awaitUntil(
        Effect.map(setsOfFar(node), (sets) => sets === before + 1),
        "the slower tier has the value"
      )
    }),

  "law 8: invalidation wins - invalidated by another process, and cached again": ({ open }) =>
    Effect.gen(function* () {
      const [one, other] = [yield* open, yield* open]
      for (const [name, invalidate] of [
        ["a tag", (key: string) => Cached.invalidateTags([`tag:${key}`])],
        ["invalidate", (key: string) => find().fn.invalidate(key)],
        ["clear", () => find().fn.clear]
      ] as const) {
        const { fn, loads } = find()
        yield* one.run(fn(name))
        yield* one.written
        yield* other.run(invalidate(name))
        for (let i = 0; i < 5; i++) {
          for (const node of [other, one]) {
            assert.strictEqual(yield* node.run(fn(name)), "load 2", name)
            yield* node.written
          }
        }
        assert.strictEqual(loads(), 2, name)
      }
    }),

  "law 8: invalidation wins - setIfAbsent is later than what was removed, and earlier than its tag": ({ open }) =>
    Effect.gen(function* () {
      const [one, other] = [yield* open, yield* open]
      yield* one.store.set("k", "old", forLong)
      yield* one.store.remove("k")
      yield* one.run(Cached.invalidateTags(["t"]))
      assert.isTrue(yield* one.store.setIfAbsent("k", "new", { ...forLong, tags: ["t"] }))
      same(yield* get("k", one, other), ["new", "new"])
      yield* one.run(Cached.invalidateTags(["t"]))
      same(yield* get("k", one, other), [undefined, undefined])
      assert.isTrue(yield* other.store.setIfAbsent("k", "newer", forLong))
      yield* one.store.remove("k")
      same(yield* get("k", one, other), [undefined, undefined])
    }),

  "law 8: invalidation wins - the faster tier is lost": ({ flush, open }) =>
    Effect.gen(function* () {
      const [one, other] = [yield* open, yield* open]
      yield* one.store.set("tagged", "old", { ...forLong, tags: ["t"] })
      yield* one.store.set("removed", "old", forLong)
      yield* one.store.set("set", "old", forLong)
      yield* other.run(Cached.invalidateTags(["t"]))
      yield* other.store.remove("removed")
      yield* other.store.set("set", "new", forLong)
      yield* flush
      const third = yield* open
      for (const key of ["tagged", "removed"]) {
        same(yield* get(key, third, one, other), [undefined, undefined, undefined], key)
      }
      same((yield* get("set", third, one, other)).includes("old"), false)
      yield* third.store.set("tagged", "new", { ...forLong, tags: ["t"] })
      same(yield* get("tagged", third, one, other), ["new", "new", "new"])
      yield* one.run(Cached.invalidateTags(["t"]))
      same(yield* get("tagged", third, one, other), [undefined, undefined, undefined])
    }),

  "law 8: invalidation wins - over what was written while the faster tier was away": ({ answerAgain, hang, open }) =>
    Effect.gen(function* () {
      const [one, other] = [yield* open, yield* open]
      yield* one.store.set("tagged", "before", { ...forLong, tags: ["t"] })
      yield* hang
      yield* Effect.forEach(["tagged", "removed", "set"], (key) =>
        one.store.set(key, "meanwhile", { ...forLong, tags: ["t"] })
      )
      yield* answerAgain
      yield* Effect.forEach([one, other], isUp)
      yield* other.store.remove("removed")
      yield* other.store.set("set", "after", forLong)
      yield* other.run(Cached.invalidateTags(["t"]))
      for (const key of ["tagged", "removed"]) {
        same(yield* get(key, other, one), [undefined, undefined], key)
      }
      yield* Effect.forEach([one, other], isUp)
      same(yield* get("set", other, one), ["after", "after"])
    }),

  "marks - of the slower tier are first read while the faster one is away, and outdate nothing that is written later":
    ({ answerAgain, hang, open }) =>
      Effect.gen(function* () {
        const [one, other] = [yield* open, yield* open]
        yield* hang
        same(yield* get("k", one), [undefined])
        yield* answerAgain
        yield* Effect.forEach([one, other], isUp)
        yield* other.store.set("k", "after", forLong)
        same(yield* get("k", other, one), ["after", "after"])
      })
}
