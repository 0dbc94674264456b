/**
 * Memory that freezes its values: who changes what was read or written gets a TypeError, and nobody else sees a change.
 */
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it, layer } from "@effect/vitest"
import { Chunk, Data, Effect, Either, Equal, Exit, Hash, HashMap, Option, Schema } from "effect"
import { InvalidOption } from "../../../src/CacheError.js"
import { Cached, CacheStore, Entry, MemoryCache, TieredCache } from "../../../src/index.js"
import { freeze } from "../../../src/internal/backends/memory/frozen.js"
import * as RedisCache from "../../../src/RedisCache.js"
import { becomes, defectOf, gate, minute } from "../../laws/support.js"
import { freshPrefix, RedisServer } from "../../support/redis.js"

const values = "frozen" as const

/** Whether a change of a value is a TypeError. */
const refuses = (change: () => void): boolean => {
  try {
    change()
    return false
  } catch (error) {
    return error instanceof TypeError
  }
}

const makeUser = () => ({ name: "ada", roles: ["reader"], address: { city: "London" } })

type User = ReturnType<typeof makeUser>

const isProtected = (user: User): boolean =>
  [
    () => {
      user.name = "eve"
    },
    () => user.roles.push("admin"),
    () => {
      user.address.city = "Paris"
    },
    () => delete (user as Partial<User>).name
  ].every(refuses)

describe("MemoryCache with frozen values", () => {
  it.effect(
    "set, setMany, setIfAbsent, getOrSet, a lookup and `set` of a function - give values that nobody changes",
    () =>
      Effect.gen(function* () {
        const store = yield* CacheStore
        const given = makeUser()
        yield* store.set("set", given, minute)
        assert.isTrue(isProtected(given), "the value that was given")
        yield* store.setMany([["setMany", makeUser()]], minute)
        yield* store.setIfAbsent("setIfAbsent", makeUser(), minute)
        assert.isTrue(isProtected(yield* store.getOrSet("getOrSet", Effect.sync(makeUser), minute)))
        const find = Cached.ttl((_: number) => Effect.sync(makeUser), { key: "find:{}", ...minute })
        assert.isTrue(isProtected(yield* find(1)), "the value of a load")
        assert.isTrue(isProtected(yield* find(1)), "the value of a hit")
        yield* find.set(2)(makeUser())
        for (const key of ["set", "setMany", "setIfAbsent", "getOrSet", "find:1", "find:2"]) {
          const found = Option.getOrThrow(yield* store.get<User>(key))
          assert.isTrue(isProtected(found), key)
          deepStrictEqual(found, makeUser())
        }
        yield* store.expire("set")
        const many = Cached.batched(
          (ids: ReadonlyArray<number>) => Effect.succeed(ids.map((id) => [id, makeUser()] as const)),
          {
            key: "many:{}",
            ...minute
          }
        )
        assert.isTrue(isProtected(Option.getOrThrow(yield* many(1))))
      }).pipe(Effect.provide(MemoryCache.layer({ values })))
  )

  it.effect("waiters of one load, and a reader of a running load - get a value that none of them changes", () => {
    const door = gate()
    const slow = Cached.ttl(Effect.zipRight(door.pass, Effect.sync(makeUser)), { key: "slow", ...minute })
    return Effect.gen(function* () {
      const [one, two] = yield* Effect.all([slow, slow, Effect.zipRight(door.reached, door.open)], {
        concurrency: "unbounded"
      })
      assert.isTrue(isProtected(one))
      assert.strictEqual(one, two)
    }).pipe(Effect.provide(MemoryCache.layer({ values })))
  })

  it.scoped("the value of a background loader, in its mirror as well - is frozen", () =>
    Effect.gen(function* () {
      const users = yield* Cached.bg(Effect.sync(makeUser), { key: "users", interval: "1 minute" })
      assert.isTrue(isProtected(yield* users))
      const mirror = yield* Cached.bgRead<User>({ key: "mirrored" })
      yield* (yield* CacheStore).set("mirrored", makeUser(), minute)
      assert.isTrue(isProtected(Option.getOrThrow(yield* mirror)))
    }).pipe(Effect.provide(MemoryCache.layer({ values })))
  )

  it.effect("a stored failure - is frozen", () => {
    const find = Cached.ttl(Effect.fail({ _tag: "Missing" as const, path: ["a"] }), {
      key: "k",
      failures: { ttl: "1 minute" },
      ...minute
    })
    return Effect.gen(function* () {
      yield* Effect.flip(find)
      const failure = yield* Effect.flip(find)
      assert.isTrue(refuses(() => failure.path.push("b")))
    }).pipe(Effect.provide(MemoryCache.layer({ values })))
  })

  layer(RedisServer.layer)("above Redis", (it) => {
    const twoTiers = Effect.gen(function* () {
      const { url } = yield* RedisServer
      const tiers = [
        { backend: MemoryCache.backend({ values }) },
        { backend: RedisCache.backend({ url, prefix: yield* freshPrefix }) }
      ] as const
      return { open: TieredCache.make({ tiers }) }
    })

    it.scoped("a loaded value, and the copy of a value of another process - are frozen", () =>
      Effect.gen(function* () {
        const { open } = yield* twoTiers
        const here = yield* open
        const there = yield* open
        const find = Cached.ttl(Effect.sync(makeUser), { key: "user", ...minute })
        const at = (store: CacheStore.Service) => Effect.provideService(find, CacheStore, store)
        assert.isTrue(isProtected(yield* at(here)))
        yield* becomes(there.has("user"), true)
        yield* at(there)
        assert.isTrue(isProtected(yield* at(there)))
        deepStrictEqual(yield* at(there), makeUser())
      })
    )

    it.scoped("the value of a mirror, of which memory may have another copy, and that of its writer - are frozen", () =>
      Effect.gen(function* () {
        const { open } = yield* twoTiers
        const here = yield* open
        const there = yield* open
        const options = { key: "users", interval: "1 minute" } as const
        const writer = yield* Effect.provideService(Cached.bgWrite(Effect.sync(makeUser), options), CacheStore, here)
        const mirror = yield* Effect.provideService(Cached.bgRead<User>({ key: "users" }), CacheStore, there)
        assert.isTrue(isProtected(yield* mirror.ready))
        assert.isTrue(isProtected(Option.getOrThrow(yield* writer.current)))
      })
    )
  })

  it.scoped("the backend alone - freezes what is written in any way, as a tier below memory does", () =>
    Effect.gen(function* () {
      const backend = yield* MemoryCache.backend({ values })
      const write = (key: string) => {
        const header = { stamp: 1, createdAt: 0, freshUntil: 1e9, expiresAt: 1e9, owner: "", tags: [] }
        return { key, entry: new Entry.Entry(makeUser(), header), lifetime: 1e9, authoritative: false }
      }
      const [many, absent, local] = [write("many"), write("absent"), write("local")]
      yield* backend.setMany([many])
      yield* backend.setIfAbsent(absent, { now: 0, replacing: undefined })
      backend.unsafeSet!("local", local.entry, 0)
      for (const { entry } of [many, absent, local]) assert.isTrue(isProtected(entry.value))
    })
  )

  describe("freeze", () => {
    it("cycles, depth and what is frozen already - are no obstacle", () => {
      const cyclic: { self?: unknown; inner: { x: number } } = Object.freeze({ inner: { x: 1 } })
      freeze(cyclic)
      assert.isTrue(Object.isFrozen(cyclic.inner))
      const loop: { self?: unknown } = {}
      loop.self = [loop]
      freeze(loop)
      assert.isTrue(Object.isFrozen(loop.self))
      const root: { next?: unknown } = {}
      let last = root
      for (let i = 0; i < 100_000; i++) last = last.next = {} as { next?: unknown }
      freeze(root)
      assert.isTrue(Object.isFrozen(last))
    })

    it("typed arrays, Map, Set, Date, errors and instances of classes - stay as they are", () => {
      class Counter {
        count = 0
        readonly items: Array<number> = []
      }
      const value = {
        bytes: Uint8Array.of(1),
        map: new Map([["a", { x: 1 }]]),
        set: new Set([1]),
        date: new Date(0),
        error: new Error("e"),
        counter: new Counter(),
        table: HashMap.make(["a", { x: 1 }])
      }
      freeze(value)
      value.bytes[0] = 2
      value.map.get("a")!.x = 2
      value.set.add(2)
      value.date.setTime(1)
      value.error.message = "f"
      value.counter.count++
      value.counter.items.push(1)
      HashMap.unsafeGet(value.table, "a").x = 2
      assert.isTrue(Object.isFrozen(value))
    })

    it("Data, Schema.Class, Option, Either and Chunk - keep their hashes, and cannot be changed", () => {
      class Point extends Schema.Class<Point>("Point")({ x: Schema.Number, tags: Schema.Array(Schema.String) }) {}
      class Pair extends Data.Class<{ readonly one: { n: number } }> {}
      const tags = ["a"]
      const make = () => ({
        struct: Data.struct({ n: 1 }),
        tuple: Data.tuple(1, 2),
        point: new Point({ x: 1, tags }, { disableValidation: true }),
        pair: new Pair({ one: Data.struct({ n: 1 }) }),
        option: Option.some(Data.struct({ n: 1 })),
        either: Either.right(Data.struct({ n: 1 })) as Either.Either<{ n: number }, string>,
        chunk: Chunk.append(Chunk.make(Data.struct({ n: 1 })), Data.struct({ n: 2 }))
      })
      const value = freeze(make()) as ReturnType<typeof make>
      const same = make()
      for (const name of Object.keys(same) as ReadonlyArray<keyof typeof same>) {
        assert.isTrue(Equal.equals(value[name], same[name]), name)
        assert.strictEqual(Hash.hash(value[name]), Hash.hash(same[name]), name)
      }
      const changes: ReadonlyArray<() => unknown> = [
        () => ((value.struct as { n: number }).n = 2),
        () => (value.tuple as unknown as Array<number>).push(3),
        () => ((value.point as { x: number }).x = 2),
        () => (value.point.tags as Array<string>).push("b"),
        () => (value.pair.one.n = 2),
        () => ((Option.getOrThrow(value.option) as { n: number }).n = 2),
        () => (Either.getOrThrow(value.either).n = 2),
        () => ((Chunk.unsafeGet(value.chunk, 0) as { n: number }).n = 2)
      ]
      for (const change of changes) assert.isTrue(refuses(change), String(change))
    })

    it("accessors are not called, and a proxy that refuses to be frozen stays as it is", () => {
      let calls = 0
      const stubborn = new Proxy<Record<string, unknown>>({}, { preventExtensions: () => false })
      const value = {
        stubborn,
        get lazy() {
          return ++calls
        },
        after: { x: 1 }
      }
      freeze(value)
      assert.strictEqual(calls, 0)
      assert.isTrue(Object.isFrozen(value.after))
      stubborn.x = 1
    })
  })

  it.effect("another form, or serialized values in a tier - is InvalidOption", () =>
    Effect.gen(function* () {
      const invalid = [
        MemoryCache.make({ values: "copies" as never }),
        MemoryCache.backend({ values: "copies" as never }),
        MemoryCache.backend({ values: "serialized" as never })
      ]
      for (const made of invalid) {
        const exit = yield* Effect.exit(Effect.scoped(Effect.asVoid(made as Effect.Effect<unknown>)))
        assert.isTrue(Exit.isFailure(exit))
        const defect = defectOf(exit)
        assert.instanceOf(defect, InvalidOption)
        assert.strictEqual(defect.option, "values")
      }
    })
  )
})
