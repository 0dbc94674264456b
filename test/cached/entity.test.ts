/**
 * Entities: their ids, where they come from, and what a list query may replace.
 */
import { assert, describe, it, layer } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Effect, Fiber, Option, Schema, TestClock } from "effect"
import { Cached, CacheStore, InvalidOption, KeyError, MemoryCache } from "effect-cached"
import { begun, defectOf, gate, makeLookup, settled } from "../laws/support.js"
import { RedisServer } from "../support/redis.js"
import { type Node, pair } from "../support/redis-nodes.js"
import { on } from "./support.js"

class User extends Schema.Class<User>("User")({ tenant: Schema.String, id: Schema.Number, name: Schema.String }) {}

class Prefix extends Context.Tag("Prefix")<Prefix, string>() {}

const user = (id: number, name = `user ${id}`, tenant = "a") => new User({ tenant, id, name })

const some = (id: number, name?: string) => Option.some(user(id, name))

const all = { concurrency: "unbounded" } as const

const options = { name: "user", key: ["id"], ttl: "1 minute" } as const

/** Users, whose lookup finds odd ids. */
const table = (before: Effect.Effect<void> = Effect.void) => {
  const { calls, lookup } = makeLookup((id: number) =>
    Effect.as(before, id % 2 === 1 ? Option.some(user(id)) : Option.none())
  )
  return { calls, users: Cached.entity(User, { ...options, lookup }) }
}

describe("ids", () => {
  it.effect("one field - the id has its type", () =>
    Effect.gen(function* () {
      const users = Cached.entity(User, options)
      yield* users.put(user(1))
      deepStrictEqual(yield* users.get(1), some(1))
      assert.strictEqual(users.key(1), "user:1")
    }).pipe(on)
  )

  it.effect("several fields - the id is a record of them, and equal ids are those with equal keys", () =>
    Effect.gen(function* () {
      const users = Cached.entity(User, { ...options, key: ["tenant", "id"] })
      yield* users.putMany([user(1), user(1, "Ada", "b")])
      deepStrictEqual(
        yield* users.getMany([
          { tenant: "b", id: 1 },
          { id: 1, tenant: "a" }
        ]),
        [Option.some(user(1, "Ada", "b")), some(1)]
      )
      // other fields of the record do not count
      deepStrictEqual(yield* users.get(user(1)), some(1))
      const texts = [
        { tenant: "a:b", id: 1 },
        { tenant: "a", id: 1 }
      ].map(users.key)
      deepStrictEqual(texts, ["user:a%3Ab:1", "user:a:1"])
    }).pipe(on)
  )

  it.effect("a function - the id is what it returns", () =>
    Effect.gen(function* () {
      const byText = Cached.entity(User, { ...options, key: ({ id, tenant }) => `${tenant}/${id}` })
      const byRecord = Cached.entity(User, {
        ...options,
        name: "other",
        key: ({ id, tenant }) => ({ at: [tenant, id] })
      })
      yield* Effect.all([byText.put(user(1)), byRecord.put(user(2))])
      deepStrictEqual(yield* byText.get("a/1"), some(1))
      deepStrictEqual(yield* byRecord.get({ at: ["a", 2] }), some(2))
      deepStrictEqual(yield* byRecord.get({ at: ["a", 3] }), Option.none())
    }).pipe(on)
  )

  it.effect("an id that cannot be part of a key - is the defect KeyError", () =>
    Effect.gen(function* () {
      const { users } = table()
      for (const read of [users.get(Number.NaN), users.put(user(Number.NaN)), users.getMany([1, Number.NaN])]) {
        assert.instanceOf(defectOf(yield* Effect.exit(Effect.asVoid(read))), KeyError)
      }
    }).pipe(on)
  )

  it("invalid options - are refused", () => {
    const make = (wrong: object) => () => Cached.entity(User, { ...options, ...wrong } as never)
    assert.throws(make({ name: "" }), InvalidOption)
    assert.throws(make({ key: [] }), InvalidOption)
    assert.throws(make({ lookup: () => Effect.succeedNone, lookupMany: () => Effect.succeed([]) }), InvalidOption)
  })
})

describe("reads", () => {
  it.effect("without a lookup - get answers what is stored, fresh or stale, and never loads", () =>
    Effect.gen(function* () {
      const users = Cached.entity(User, { ...options, stale: "1 minute" })
      yield* users.put(user(1))
      deepStrictEqual(yield* users.getMany([1, 2]), [some(1), Option.none()])
      yield* TestClock.adjust("90 seconds")
      deepStrictEqual([yield* users.get(1), yield* users.get(2)], [some(1), Option.none()])
      yield* TestClock.adjust("30 seconds")
      deepStrictEqual(yield* users.get(1), Option.none())
      assert.strictEqual((yield* (yield* CacheStore).stats).loads, 0)
    }).pipe(on)
  )

  it.effect("lookup - finds what is not stored, one load per id", () =>
    Effect.gen(function* () {
      const { calls, users } = table()
      deepStrictEqual(yield* Effect.forEach([1, 1, 2], users.get, all), [some(1), some(1), Option.none()])
      deepStrictEqual(yield* users.getMany([3, 1, 2]), [some(3), some(1), Option.none()])
      // an absent one is not stored
      deepStrictEqual(calls, [[1], [2], [3], [2]])
    }).pipe(on)
  )

  it.effect("lookup - a failure of one id fails its callers alone", () =>
    Effect.gen(function* () {
      const users = Cached.entity(User, {
        ...options,
        lookup: (id) => (id === 2 ? Effect.fail("down" as const) : Effect.succeedSome(user(id)))
      })
      const exits = yield* Effect.forEach([1, 2, 3], (id) => Effect.either(users.get(id)), all)
      deepStrictEqual(
        exits.map((exit) => exit._tag),
        ["Right", "Left", "Right"]
      )
    }).pipe(on)
  )

  it.effect("lookupMany - concurrent reads share a call, and entities are matched by their ids", () =>
    Effect.gen(function* () {
      const { calls, lookup } = makeLookup((ids: ReadonlyArray<number>) =>
        Effect.succeed(
          [99, ...ids]
            .reverse()
            .filter((id) => id !== 2)
            .map((id) => user(id))
        )
      )
      const users = Cached.entity(User, { ...options, lookupMany: lookup, absentTtl: "10 seconds" })
      deepStrictEqual(yield* Effect.forEach([1, 2, 3], users.get, all), [some(1), Option.none(), some(3)])
      deepStrictEqual(yield* users.getMany([1, 2, 3]), [some(1), Option.none(), some(3)])
      deepStrictEqual(calls, [[[1, 2, 3]]])
    }).pipe(on)
  )
})

describe("Cached.capture", () => {
  it.effect("an entity - requires nothing, and reads with any services share a call", () =>
    Effect.gen(function* () {
      const { calls, lookup } = makeLookup((ids: ReadonlyArray<number>) =>
        Effect.map(Prefix, (prefix) => ids.map((id) => user(id, `${prefix} ${id}`)))
      )
      const users = yield* Effect.provideService(
        Cached.capture(Cached.entity(User, { ...options, lookupMany: lookup })),
        Prefix,
        "captured"
      )
      const reads = [users.get(1), Effect.provideService(users.get(2), Prefix, "other")]
      deepStrictEqual(yield* Effect.all(reads, all), [some(1, "captured 1"), some(2, "captured 2")])
      yield* users.put(user(3))
      yield* users.prime(Effect.succeed([user(4)]))
      yield* users.invalidate(1)
      deepStrictEqual(yield* users.getMany([2, 3, 4]), [some(2, "captured 2"), some(3), some(4)])
      deepStrictEqual(calls, [[[1, 2]]])
    }).pipe(on)
  )
})

describe("writes", () => {
  it.effect("put, invalidate, expire, clear, expireAll - act on the entity of an id, or on all", () =>
    Effect.gen(function* () {
      const { calls, lookup } = makeLookup((id: number) => Effect.succeedSome(user(id, "loaded")))
      const users = Cached.entity(User, { ...options, stale: "1 hour", lookup, tags: ({ tenant }) => [tenant] })
      yield* users.putMany([user(1), user(2), user(3), user(4)])
      yield* users.invalidate(1)
      yield* users.expire(2)
      deepStrictEqual(yield* users.getMany([1, 2, 3]), [some(1, "loaded"), some(2), some(3)])
      yield* settled
      deepStrictEqual(calls, [[1], [2]])
      deepStrictEqual(yield* users.get(2), some(2, "loaded"))
      yield* Cached.invalidateTags(["a"])
      deepStrictEqual(yield* users.get(3), some(3, "loaded"))
      yield* users.clear
      deepStrictEqual(yield* users.get(2), some(2, "loaded"))
      deepStrictEqual(calls, [[1], [2], [3], [2]])
      yield* users.put(user(2))
      yield* users.expireAll
      deepStrictEqual(yield* users.get(2), some(2))
      yield* settled
      deepStrictEqual(yield* users.get(2), some(2, "loaded"))
    }).pipe(on)
  )

  it.effect("CacheStore.layerNoop - switches it off: lookups and list queries run, nothing is stored", () =>
    Effect.gen(function* () {
      const { calls, users } = table()
      yield* users.put(user(2))
      deepStrictEqual(yield* users.prime(Effect.succeed([user(4)])), [user(4)])
      deepStrictEqual(yield* users.getMany([1, 2, 4]), [some(1), Option.none(), Option.none()])
      deepStrictEqual(yield* users.get(1), some(1))
      deepStrictEqual(calls.length, 4)
    }).pipe(Effect.provide(CacheStore.layerNoop))
  )
})

describe("prime", () => {
  it.effect("a list query - its entities are stored, and its result is returned", () =>
    Effect.gen(function* () {
      const { calls, users } = table()
      const list = [user(2), user(4)]
      assert.strictEqual(yield* users.prime(Effect.succeed(list)), list)
      deepStrictEqual(yield* users.getMany([2, 4, 1]), [some(2), some(4), some(1)])
      deepStrictEqual(calls, [[1]])
    }).pipe(on)
  )

  it.effect("a query that fails - stores nothing", () =>
    Effect.gen(function* () {
      const { users } = table()
      deepStrictEqual(yield* Effect.flip(users.prime(Effect.fail("down"))), "down")
    }).pipe(on)
  )

  it.effect("law 8: invalidation wins - what changes while the query runs is not replaced", () =>
    Effect.gen(function* () {
      const users = Cached.entity(User, { ...options, stale: "1 hour", tags: (user) => [`t${user.id}`] })
      yield* users.putMany([1, 2, 3, 4, 5].map((id) => user(id, "old")))
      const door = gate()
      const query = Effect.as(
        door.pass,
        [1, 2, 3, 4, 5].map((id) => user(id, "listed"))
      )
      const primed = yield* Effect.fork(users.prime(query))
      yield* door.reached
      yield* users.put(user(1, "put"))
      yield* users.invalidate(2)
      yield* users.expire(3)
      yield* Cached.invalidateTags(["t4"])
      yield* door.open
      yield* Fiber.join(primed)
      deepStrictEqual(yield* users.getMany([1, 2, 3, 4, 5]), [
        some(1, "put"),
        Option.none(),
        some(3, "old"),
        Option.none(),
        some(5, "listed")
      ])
    }).pipe(on)
  )

  it.effect("clear - while the query runs, nothing of it is stored", () =>
    Effect.gen(function* () {
      const users = Cached.entity(User, options)
      const door = gate()
      const primed = yield* Effect.fork(users.prime(Effect.as(door.pass, [user(1)])))
      yield* door.reached
      yield* users.clear
      yield* door.open
      yield* Fiber.join(primed)
      deepStrictEqual(yield* users.get(1), Option.none())
    }).pipe(on)
  )

  it.effect("loads - an older one does not replace what the query found, and a later one is not replaced", () =>
    Effect.gen(function* () {
      const doors = [gate(), gate()]
      const { calls, lookup } = makeLookup((id: number) => Effect.as(doors[id]!.pass, Option.some(user(id, "loaded"))))
      const users = Cached.entity(User, { ...options, lookup })
      const older = yield* Effect.fork(users.get(0))
      yield* begun(calls)
      const door = gate()
      const primed = yield* Effect.fork(users.prime(Effect.as(door.pass, [user(0, "listed"), user(1, "listed")])))
      yield* door.reached
      const later = yield* Effect.fork(users.get(1))
      yield* begun(calls, 2)
      yield* doors[1]!.open
      deepStrictEqual(yield* Fiber.join(later), some(1, "loaded"))
      yield* door.open
      yield* Fiber.join(primed)
      yield* doors[0]!.open
      deepStrictEqual(yield* Fiber.join(older), some(0, "loaded"))
      deepStrictEqual(yield* users.getMany([0, 1]), [some(0, "listed"), some(1, "loaded")])
    }).pipe(on)
  )

  it.effect("loads whose tags are not known yet - do not replace what the query found", () =>
    Effect.gen(function* () {
      const door = gate()
      const { calls, lookup } = makeLookup((id: number) => Effect.as(door.pass, Option.some(user(id, "loaded"))))
      const users = Cached.entity(User, { ...options, lookup, tags: ({ tenant }) => [tenant] })
      const first = yield* Effect.fork(users.get(0))
      yield* begun(calls)
      yield* Cached.invalidateTags(["another"])
      const second = yield* Effect.fork(users.get(0))
      yield* begun(calls, 2)
      yield* users.prime(Effect.succeed([user(0, "listed")]))
      yield* door.open
      yield* Effect.all([Fiber.join(first), Fiber.join(second)])
      deepStrictEqual(yield* users.get(0), some(0, "listed"))
    }).pipe(on)
  )

  it.effect("an interrupted query - is forgotten", () =>
    Effect.gen(function* () {
      const users = Cached.entity(User, options)
      const door = gate()
      const primed = yield* Effect.fork(users.prime(Effect.as(door.pass, [user(1)])))
      yield* door.reached
      yield* Fiber.interrupt(primed)
      yield* users.prime(Effect.succeed([user(1)]))
      deepStrictEqual(yield* users.get(1), some(1))
    }).pipe(on)
  )

  it.effect("more changes than are remembered - count as changes of every key", () =>
    Effect.gen(function* () {
      const users = Cached.entity(User, options)
      const store = yield* CacheStore
      const door = gate()
      const primed = yield* Effect.fork(users.prime(Effect.as(door.pass, [user(1)])))
      yield* door.reached
      yield* store.removeMany(Array.from({ length: 10_001 }, (_, i) => `other:${i}`))
      yield* door.open
      yield* Fiber.join(primed)
      deepStrictEqual(yield* users.get(1), Option.none())
    }).pipe(Effect.provide(MemoryCache.layer()))
  )
})

describe("entities on Redis", () => {
  layer(RedisServer.layer)((it) => {
    it.scoped("values - come back as instances, in another process, in one round trip", () =>
      Effect.gen(function* () {
        const { a, b } = yield* pair
        const users = Cached.entity(User, options)
        yield* a.run(users.putMany([user(1), user(2)]))
        yield* a.run(users.prime(Effect.succeed([user(3)])))
        yield* a.written
        const redis = yield* RedisServer
        const monitor = yield* redis.monitor
        const found = yield* b.run(users.getMany([1, 2, 3, 4]))
        deepStrictEqual(found, [some(1), some(2), some(3), Option.none()])
        assert.instanceOf(Option.getOrThrow(found[0]!), User)
        yield* b.written
        deepStrictEqual((yield* monitor.names).filter((name) => name === "MGET").length, 1)
      })
    )

    const later: ReadonlyArray<
      readonly [
        string,
        (b: Node, users: Cached.Entity<number, User, never, CacheStore, CacheStore>) => Effect.Effect<void>,
        Option.Option<User>
      ]
    > = [
      ["put", (b, users) => b.run(users.put(user(1, "put"))), some(1, "put")],
      ["invalidate", (b, users) => b.run(users.invalidate(1)), Option.none()],
      ["clear", (b, users) => b.run(users.clear), Option.none()]
    ]
    for (const [what, change, expected] of later) {
      it.scoped(`law 8: invalidation wins - ${what} of another process while the list query runs`, () =>
        Effect.gen(function* () {
          const { a, b } = yield* pair
          const users = Cached.entity(User, options)
          const door = gate()
          const primed = yield* Effect.fork(
            a.run(users.prime(Effect.as(door.pass, [user(1, "listed"), user(2, "listed")])))
          )
          yield* door.reached
          yield* change(b, users)
          yield* b.written
          yield* door.open
          yield* Fiber.join(primed)
          yield* a.written
          deepStrictEqual(yield* b.run(users.get(1)), expected)
          if (what !== "clear") deepStrictEqual(yield* b.run(users.get(2)), some(2, "listed"))
        })
      )
    }
  })
})
