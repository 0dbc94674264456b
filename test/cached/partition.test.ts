/**
 * Partitioned functions: tenants share neither entries nor loads, in every store and between processes.
 */
import { assert, describe, it, layer } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Effect, type Exit, Fiber, Layer, Option, Schema, type Scope, TestClock } from "effect"
import { Cached, CachePolicy, CacheStore, InvalidOption, KeyError, MemoryCache, ToolCache } from "effect-cached"
import { defectOf, gate, makeLookup, settled, stats } from "../laws/support.js"
import { freshPrefix, RedisServer } from "../support/redis.js"
import { hybrid, type Node, nodeOf, pair } from "../support/redis-nodes.js"
import { on } from "./support.js"

class Tenant extends Context.Tag("Tenant")<Tenant, string>() {}

class User extends Context.Tag("User")<User, { readonly name: string; readonly org: string }>() {}

/** A service that the lookup uses besides, and that is captured. */
class Db extends Context.Tag("Db")<Db, string>() {}

const as = (tenant: string) => Effect.provideService(Tenant, tenant)

const minute = { ttl: "1 minute" } as const
const all = { concurrency: "unbounded" } as const

/** A function whose value says which tenant asked first, and which call it was. */
const documents = () => {
  const calls: Array<string> = []
  const lookup = (id: number) => Effect.map(Tenant, (tenant) => `${tenant} ${id} #${calls.push(`${tenant} ${id}`)}`)
  return { calls, lookup }
}

const cached = () => {
  const { calls, lookup } = documents()
  return { calls, get: Cached.ttl(lookup, { key: "doc:{}", ...minute, partition: Tenant, tags: ["docs"] }) }
}

/** What holds on every store. `a` and `b` are two processes, except in memory. */
const onEveryStore = <E, R>(nodes: Effect.Effect<{ readonly a: Node; readonly b: Node }, E, R>) => {
  const test = <E2>(body: (a: Node, b: Node) => Effect.Effect<unknown, E2>): Effect.Effect<void, E | E2, R> =>
    Effect.flatMap(nodes, ({ a, b }) => Effect.asVoid(body(a, b)))
  return {
    "tenants do not share entries": test((a, b) =>
      Effect.gen(function* () {
        const { calls, get } = cached()
        assert.strictEqual(yield* a.run(as("acme")(get(1))), "acme 1 #1")
        assert.strictEqual(yield* a.run(as("globex")(get(1))), "globex 1 #2")
        yield* a.written
        assert.strictEqual(yield* b.run(as("acme")(get(1))), "acme 1 #1")
        assert.strictEqual(yield* b.run(as("globex")(get(1))), "globex 1 #2")
        deepStrictEqual(calls, ["acme 1", "globex 1"])
      })
    ),
    "members concern the reader's partition": test((a, b) =>
      Effect.gen(function* () {
        const { get } = cached()
        yield* a.run(as("acme")(get.set(1)("mine")))
        yield* a.run(as("globex")(get.set(1)("yours")))
        yield* a.written
        deepStrictEqual(yield* b.run(as("acme")(get.peek(1))), Option.some("mine"))
        deepStrictEqual(
          Option.map(yield* b.run(as("globex")(get.entry(1))), ({ value }) => value),
          Option.some("yours")
        )
        yield* a.run(as("acme")(get.invalidate(1)))
        assert.strictEqual(yield* a.run(as("globex")(get.refresh(1))), "globex 1 #1")
        yield* a.written
        deepStrictEqual(yield* b.run(as("acme")(get.peek(1))), Option.none())
        deepStrictEqual(yield* a.run(as("globex")(get.peek(1))), Option.some("globex 1 #1"))
      })
    ),
    "clear, tags and the store's clear go through all partitions": test((a, b) =>
      Effect.gen(function* () {
        const { calls, get } = cached()
        const both = Effect.all([as("acme")(get(1)), as("globex")(get(1))])
        for (const clear of [
          get.clear,
          Cached.invalidateTags(["docs"]),
          Effect.flatMap(CacheStore, (store) => store.clear)
        ]) {
          const before = calls.length
          yield* a.run(both)
          assert.strictEqual(calls.length, before + 2)
          yield* a.written
          yield* a.run(clear)
          yield* a.written
        }
        yield* b.run(both)
        assert.strictEqual(calls.length, 8)
      })
    ),
    "a tag of the tenant clears one tenant": test((a) =>
      Effect.gen(function* () {
        const { calls, lookup } = documents()
        const get = Cached.ttl(lookup, {
          key: "doc:{}",
          ...minute,
          partition: Tenant,
          tags: (document) => [`tenant:${document.split(" ")[0]}`]
        })
        const both = Effect.all([as("acme")(get(1)), as("globex")(get(1))])
        yield* a.run(both)
        yield* a.written
        yield* a.run(Cached.invalidateTags(["tenant:acme"]))
        yield* a.run(both)
        deepStrictEqual(calls, ["acme 1", "globex 1", "acme 1"])
      })
    ),
    "batched - one batch has one partition": test((a, b) =>
      Effect.gen(function* () {
        const { calls, get } = batch()
        const read = (tenant: string) => as(tenant)(Effect.forEach([1, 2, 3], get, all))
        const [acme, globex] = yield* a.run(Effect.all([read("acme"), read("globex")], all))
        deepStrictEqual(acme, some("acme", [1, 2, 3]))
        deepStrictEqual(globex, some("globex", [1, 2, 3]))
        deepStrictEqual(calls, [
          ["acme", [1, 2, 3]],
          ["globex", [1, 2, 3]]
        ])
        yield* a.written
        deepStrictEqual(yield* b.run(as("globex")(get.many([3, 4]))), some("globex", [3, 4]))
        deepStrictEqual(calls[2], ["globex", [4]])
      })
    ),
    "an entity belongs to a tenant": test((a, b) =>
      Effect.gen(function* () {
        const { calls, users } = entities()
        yield* a.run(as("acme")(users.prime(Effect.succeed([{ id: 1, name: "primed" }]))))
        yield* a.run(as("globex")(users.put({ id: 1, name: "put" })))
        yield* a.written
        deepStrictEqual(yield* b.run(as("acme")(users.get(1))), Option.some({ id: 1, name: "primed" }))
        deepStrictEqual(yield* b.run(as("globex")(users.getMany([1, 2]))), [
          Option.some({ id: 1, name: "put" }),
          Option.some({ id: 2, name: "globex" })
        ])
        yield* b.run(as("acme")(users.invalidate(1)))
        deepStrictEqual(yield* b.run(as("acme")(users.get(1))), Option.some({ id: 1, name: "acme" }))
        yield* b.run(as("globex")(users.expire(1)))
        deepStrictEqual(yield* b.run(as("globex")(users.get(1))), Option.some({ id: 1, name: "globex" }))
        deepStrictEqual(calls, ["globex 2", "acme 1", "globex 1"])
        assert.strictEqual(yield* as("a:b")(users.key(1)), "a%3Ab:user:1")
      })
    )
  }
}

const some = (tenant: string, ids: ReadonlyArray<number>) => ids.map((id) => Option.some(`${tenant} ${id}`))

const batch = () => {
  const calls: Array<readonly [string, ReadonlyArray<number>]> = []
  const lookup = (ids: ReadonlyArray<number>) =>
    Effect.map(Tenant, (tenant) => {
      calls.push([tenant, ids])
      return ids.map((id) => [id, `${tenant} ${id}`] as const)
    })
  return { calls, lookup, get: Cached.batched(lookup, { key: "name:{}", ...minute, partition: Tenant }) }
}

const entities = () => {
  const calls: Array<string> = []
  const users = Cached.entity(Schema.Struct({ id: Schema.Number, name: Schema.String }), {
    name: "user",
    key: ["id"],
    ...minute,
    partition: Tenant,
    lookup: (id) =>
      Effect.map(Tenant, (tenant) => {
        calls.push(`${tenant} ${id}`)
        return Option.some({ id, name: tenant })
      })
  })
  return { calls, users }
}

describe("in memory", () => {
  const node = Effect.map(MemoryCache.make(), (store) => ({ a: nodeOf(store), b: nodeOf(store) }))
  for (const [title, body] of Object.entries(onEveryStore(node))) it.scoped(title, () => body)
})

describe("two processes", () => {
  layer(RedisServer.layer)((it) => {
    for (const [title, body] of Object.entries(onEveryStore(pair))) it.scoped(`Redis - ${title}`, () => body)

    const hybrids = Effect.gen(function* () {
      const prefix = yield* freshPrefix
      return { a: yield* hybrid({ l2: { prefix } }), b: yield* hybrid({ l2: { prefix } }) }
    })
    for (const [title, body] of Object.entries(onEveryStore(hybrids))) {
      it.scoped(`memory in front of Redis - ${title}`, () => body)
    }
  })
})

describe("the partition", () => {
  it.effect("is the first part of the key, escaped, and readable by itself", () =>
    Effect.gen(function* () {
      const { get } = cached()
      assert.strictEqual(yield* as("acme")(get.key(1)), "acme:doc:1")
      assert.strictEqual(yield* as("a:b#c%{}")(get.key(1)), "a%3Ab%23c%25%7B%7D:doc:1")
      assert.strictEqual(yield* as("a:b#c%{}")(get.partition), "a:b#c%{}")
      const versioned = Cached.ttl((id: number) => Effect.succeed(id), {
        key: "#:{}",
        ...minute,
        version: 2,
        partition: Tenant
      })
      assert.strictEqual(yield* as("#v1")(versioned.key(1)), "%23v1:#-:1#v2")
    })
  )

  it.effect("no two tenants have a key in common", () =>
    Effect.gen(function* () {
      const get = Cached.ttl((id: string) => Effect.map(Tenant, (tenant) => [tenant, id]), {
        key: (id) => id,
        name: "raw",
        ...minute,
        partition: Tenant
      })
      deepStrictEqual(yield* as("a")(get("b:c")), ["a", "b:c"])
      deepStrictEqual(yield* as("a:b")(get("c")), ["a:b", "c"])
      deepStrictEqual(yield* as("")(get("a:b:c")), ["", "a:b:c"])
      deepStrictEqual(yield* as("a")(get("b:c")), ["a", "b:c"])
    }).pipe(on)
  )

  it.effect("store.remove(fn.key(…)) removes the entry", () =>
    Effect.gen(function* () {
      const { calls, get } = cached()
      const store = yield* CacheStore
      yield* as("acme")(get(1))
      yield* store.remove(yield* as("acme")(get.key(1)))
      yield* as("acme")(get(1))
      deepStrictEqual(calls.length, 2)
    }).pipe(on)
  )

  it.effect("comes from a function of the service, too", () =>
    Effect.gen(function* () {
      const { calls, lookup } = makeLookup((id: number) => Effect.map(User, ({ name }) => `${name} ${id}`))
      const get = Cached.ttl(lookup, { key: "doc:{}", ...minute, partition: [User, ({ org }) => org] })
      const of = (name: string, org: string) => Effect.provideService(User, { name, org })
      assert.strictEqual(yield* of("Ada", "acme")(get(1)), "Ada 1")
      assert.strictEqual(yield* of("Alan", "acme")(get(1)), "Ada 1")
      assert.strictEqual(yield* of("Grace", "globex")(get(1)), "Grace 1")
      assert.strictEqual(calls.length, 2)
      assert.strictEqual(yield* of("Alan", "acme")(get.partition), "acme")
    }).pipe(on)
  )

  it.effect("is read when the effect runs, not when it is made", () =>
    Effect.gen(function* () {
      const { get } = cached()
      const read = get(1)
      assert.strictEqual(yield* as("acme")(read), "acme 1 #1")
      assert.strictEqual(yield* as("globex")(read), "globex 1 #2")
      assert.strictEqual(yield* as("acme")(read), "acme 1 #1")
    }).pipe(on)
  )

  it.effect("one load per key and tenant - and tenants do not wait for each other", () =>
    Effect.gen(function* () {
      const doors = { acme: gate(), globex: gate() }
      const { calls, lookup } = makeLookup((id: number) =>
        Effect.flatMap(Tenant, (tenant) => Effect.as(doors[tenant as "acme"].pass, `${tenant} ${id}`))
      )
      const get = Cached.ttl(lookup, { key: "doc:{}", ...minute, partition: Tenant })
      const read = (tenant: string) => Effect.fork(as(tenant)(Effect.all([get(1), get(1)], all)))
      const acme = yield* read("acme")
      const globex = yield* read("globex")
      yield* settled
      assert.strictEqual(calls.length, 2)
      yield* doors.globex.open
      deepStrictEqual(yield* Fiber.join(globex), ["globex 1", "globex 1"])
      yield* doors.acme.open
      deepStrictEqual(yield* Fiber.join(acme), ["acme 1", "acme 1"])
    }).pipe(on)
  )

  it.effect("an effect - has one entry for each tenant", () =>
    Effect.gen(function* () {
      let calls = 0
      const settings = Effect.map(Tenant, (tenant) => `${tenant} #${++calls}`).pipe(
        Cached.ttl({ key: "settings", ...minute, partition: Tenant })
      )
      assert.strictEqual(yield* as("acme")(settings), "acme #1")
      assert.strictEqual(yield* as("globex")(settings), "globex #2")
      assert.strictEqual(yield* as("acme")(settings), "acme #1")
      assert.strictEqual(yield* as("acme")(settings.key), "acme:settings")
      yield* as("acme")(settings.invalidate)
      deepStrictEqual(yield* as("acme")(settings.peek), Option.none())
      yield* as("acme")(settings.set("set"))
      assert.strictEqual(yield* as("acme")(settings), "set")
      assert.strictEqual(yield* as("acme")(settings.refresh), "acme #3")
      assert.strictEqual(yield* as("globex")(settings), "globex #2")
    }).pipe(on)
  )

  it.effect("swr - a refresh is that of the tenant", () =>
    Effect.gen(function* () {
      const { calls, lookup } = documents()
      const get = Cached.swr(lookup, { key: "doc:{}", ...minute, stale: "1 minute", partition: Tenant })
      yield* as("acme")(get(1))
      yield* as("globex")(get(1))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* as("globex")(get(1)), "globex 1 #2")
      yield* settled
      assert.strictEqual(yield* as("globex")(get(1)), "globex 1 #3")
      deepStrictEqual(calls, ["acme 1", "globex 1", "globex 1"])
    }).pipe(on)
  )

  it.effect("policy - takes its lifetimes from the Layer", () =>
    Effect.gen(function* () {
      const { lookup } = documents()
      const get = Cached.policy(lookup, { key: "doc:{}", partition: Tenant })
      assert.strictEqual(yield* as("acme")(get(1)), "acme 1 #1")
      assert.strictEqual(yield* as("globex")(get(1)), "globex 1 #2")
      assert.strictEqual(yield* as("acme")(get(1)), "acme 1 #1")
    }).pipe(Effect.provide(CachePolicy.layer(minute)), on)
  )

  it.effect("callbacks - get the arguments alone", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const get = Cached.ttl((id: number, page: string) => Effect.succeed(`${id}${page}`), {
        key: (...args) => String(seen.push(args)),
        name: "seen",
        ttl: (...args) => {
          seen.push(args)
          return "1 minute"
        },
        tags: (...args) => {
          seen.push(args)
          return []
        },
        partition: Tenant
      })
      yield* as("acme")(get(1, "a"))
      deepStrictEqual(
        seen.map((args) => Array.from(args as Array<unknown>)),
        [
          [1, "a"],
          ["1a", 1, "a"],
          ["1a", 1, "a"]
        ]
      )
    }).pipe(on)
  )

  it.effect("reload, bypass and warm - act on the reader's partition", () =>
    Effect.gen(function* () {
      const { get } = cached()
      yield* as("acme")(Cached.warm([get(1)]))
      assert.strictEqual(yield* as("globex")(Cached.bypass(get(1))), "globex 1 #2")
      deepStrictEqual(yield* as("globex")(get.peek(1)), Option.none())
      assert.strictEqual(yield* as("acme")(Cached.reload(get(1))), "acme 1 #3")
      deepStrictEqual(yield* as("acme")(get.peek(1)), Option.some("acme 1 #3"))
    }).pipe(on)
  )

  it.effect("mutations - invalidate and refresh the tenant of the mutation", () =>
    Effect.gen(function* () {
      const { get } = cached()
      const both = Effect.all([as("acme")(get(1)), as("globex")(get(1))])
      yield* both
      yield* as("acme")(Cached.invalidates((id: number) => Effect.succeed(id), get)(1))
      deepStrictEqual(yield* both, ["acme 1 #3", "globex 1 #2"])
      yield* as("globex")(Cached.refreshes((id: number) => Effect.succeed(id), get)(1))
      deepStrictEqual(yield* both, ["acme 1 #3", "globex 1 #4"])
    }).pipe(on)
  )

  it.effect("a store that stores nothing - runs the lookups", () =>
    Effect.gen(function* () {
      const { get } = cached()
      assert.strictEqual(yield* as("acme")(get(1)), "acme 1 #1")
      assert.strictEqual(yield* as("acme")(get(1)), "acme 1 #2")
    }).pipe(Effect.provide(CacheStore.layerNoop))
  )

  it.effect("metrics - are those of one function", () =>
    Effect.gen(function* () {
      const { get } = cached()
      yield* as("acme")(get(1))
      yield* as("globex")(get(1))
      yield* as("globex")(get(1))
      const { hits, misses } = yield* stats
      deepStrictEqual([hits, misses], [1, 2])
    }).pipe(on)
  )
})

describe("Cached.capture", () => {
  const captured = Effect.gen(function* () {
    const calls: Array<string> = []
    const lookup = (id: number) =>
      Effect.zipWith(Tenant, Db, (tenant, db) => `${tenant} ${id} in ${db} #${calls.push(tenant)}`)
    const get = yield* Cached.capture(Cached.ttl(lookup, { key: "doc:{}", ...minute, partition: Tenant }))
    return { calls, get }
  })

  it.effect("keeps the partition of the reader, and gives it to the load beside what was captured", () =>
    Effect.gen(function* () {
      const { get } = yield* captured.pipe(Effect.provideService(Db, "captured"))
      assert.strictEqual(yield* as("acme")(get(1)).pipe(Effect.provideService(Db, "other")), "acme 1 in captured #1")
      assert.strictEqual(yield* as("globex")(get(1)), "globex 1 in captured #2")
      assert.strictEqual(yield* as("acme")(get(1)), "acme 1 in captured #1")
      assert.strictEqual(yield* as("globex")(Cached.bypass(get(1))), "globex 1 in captured #3")
      assert.strictEqual(yield* as("globex")(get.refresh(1)), "globex 1 in captured #4")
      assert.strictEqual(yield* as("globex")(get.key(1)), "globex:doc:1")
      yield* as("globex")(get.invalidate(1))
      deepStrictEqual(yield* as("globex")(get.peek(1)), Option.none())
      yield* get.clear
      deepStrictEqual(yield* as("acme")(get.peek(1)), Option.none())
    }).pipe(on)
  )

  it.effect("a partition at the place of capture - counts for nobody", () =>
    Effect.gen(function* () {
      const { get } = yield* captured.pipe(Effect.provideService(Db, "db"), as("nobody"))
      assert.strictEqual(yield* as("acme")(get(1)), "acme 1 in db #1")
      assert.strictEqual(yield* as("globex")(get(1)), "globex 1 in db #2")
    }).pipe(on)
  )

  it.effect("swr - a refresh has the partition of its reader", () =>
    Effect.gen(function* () {
      const { calls, lookup } = documents()
      const get = yield* Cached.capture(
        Cached.swr(lookup, { key: "doc:{}", ...minute, stale: "1 minute", partition: Tenant })
      )
      yield* as("acme")(get(1))
      yield* as("globex")(get(1))
      yield* TestClock.adjust("1 minute")
      yield* as("acme")(get(1))
      yield* settled
      assert.strictEqual(yield* as("acme")(get(1)), "acme 1 #3")
      deepStrictEqual(calls, ["acme 1", "globex 1", "acme 1"])
    }).pipe(on)
  )

  it.effect("batched - readers of one tenant share a call, whatever their services", () =>
    Effect.gen(function* () {
      const calls: Array<readonly [string, ReadonlyArray<number>]> = []
      const get = yield* Cached.capture(
        Cached.batched(
          (ids: ReadonlyArray<number>) =>
            Effect.map(User, ({ org }) => {
              calls.push([org, ids])
              return ids.map((id) => [id, `${org} ${id}`] as const)
            }),
          { key: "name:{}", ...minute, partition: [User, ({ org }) => org] }
        )
      )
      const read = (id: number, org: string) =>
        get(id).pipe(Effect.provideService(User, { name: `reader of ${id}`, org }), Effect.provideService(Db, `${id}`))
      const values = yield* Effect.all([read(1, "acme"), read(2, "globex"), read(3, "acme"), read(4, "globex")], all)
      deepStrictEqual(values, ["acme 1", "globex 2", "acme 3", "globex 4"].map(Option.some))
      deepStrictEqual(calls, [
        ["acme", [1, 3]],
        ["globex", [2, 4]]
      ])
      const [again] = yield* get.many([1]).pipe(Effect.provideService(User, { name: "another", org: "globex" }))
      deepStrictEqual(again, Option.some("globex 1"))
    }).pipe(on)
  )

  it.effect("an entity - keeps the partition of the reader", () =>
    Effect.gen(function* () {
      const { calls, users } = entities()
      const captured = yield* Cached.capture(users)
      deepStrictEqual(yield* as("acme")(captured.get(1)), Option.some({ id: 1, name: "acme" }))
      deepStrictEqual(yield* as("globex")(captured.get(1)), Option.some({ id: 1, name: "globex" }))
      yield* as("globex")(captured.put({ id: 1, name: "put" }))
      deepStrictEqual(yield* as("acme")(captured.get(1)), Option.some({ id: 1, name: "acme" }))
      assert.strictEqual(yield* as("globex")(captured.partition), "globex")
      deepStrictEqual(calls, ["acme 1", "globex 1"])
    }).pipe(on)
  )

  it.effect("a service - hides the store, and not the tenant", () =>
    Effect.gen(function* () {
      class Documents extends Effect.Service<Documents>()("Documents", {
        effect: Effect.gen(function* () {
          return { get: yield* Cached.capture(cached().get) }
        })
      }) {}
      const program = Effect.flatMap(Documents, ({ get }) => Effect.all([as("acme")(get(1)), as("globex")(get(1))]))
      const layer = Documents.Default.pipe(Layer.provide(MemoryCache.layer()))
      deepStrictEqual(yield* Effect.provide(program, layer), ["acme 1 #1", "globex 1 #2"])
    })
  )

  it.effect("a waiter that reads again - keeps its partition", () =>
    Effect.gen(function* () {
      const door = gate()
      const calls: Array<string> = []
      const get = yield* Cached.capture(
        Cached.ttl(
          (id: number) =>
            Effect.flatMap(Tenant, (tenant) => Effect.as(door.pass, `${tenant} ${id} #${calls.push(tenant)}`)),
          {
            key: "doc:{}",
            ...minute,
            partition: Tenant,
            tags: (document) => [document.split(" ")[0]!]
          }
        )
      )
      const first = yield* Effect.fork(as("acme")(get(1)))
      yield* settled
      // its tags are computed, so whether its value is invalidated is known at its end
      yield* Cached.invalidateTags(["acme"])
      const second = yield* Effect.fork(as("acme")(get(1)))
      const third = yield* Effect.fork(as("acme")(get(1)))
      yield* settled
      yield* door.open
      for (const fiber of [first, second, third]) assert.include(yield* Fiber.join(fiber), "acme 1")
      deepStrictEqual(Array.from(new Set(calls)), ["acme"])
    }).pipe(on)
  )
})

describe("wrong partitions", () => {
  const read = (partition: unknown, service: unknown) =>
    Effect.exit(
      Effect.provide(
        Cached.ttl((id: number) => Effect.succeed(id), { key: "doc:{}", ...minute, partition: partition as never })(1),
        Context.unsafeMake(new Map([[Tenant.key, service]]))
      )
    ).pipe(Effect.map((exit) => defectOf(exit as Exit.Exit<unknown, never>)))

  it.effect("a service that is missing - is a defect that names the tag and the function", () =>
    Effect.gen(function* () {
      const { get } = cached()
      const exit = yield* Effect.exit(get(1) as Effect.Effect<string, never, CacheStore>)
      const defect = defectOf(exit)
      assert.include(String(defect), "Service not found: Tenant")
      assert.include(String(defect), "doc:{}")
    }).pipe(on)
  )

  it.effect("a service that is no string - is the defect KeyError, and never a shared entry", () =>
    Effect.gen(function* () {
      for (const [service, says] of [
        [1, "a number"],
        [{}, "an object"],
        [[], "an array"],
        [null, "null"]
      ] as const) {
        const defect = yield* read(Tenant, service)
        assert.instanceOf(defect, KeyError)
        assert.include(String(defect), `its partition is ${says} instead of a string`)
      }
      const none = yield* read([Tenant, () => undefined], "acme")
      assert.include(String(none), "its partition is undefined instead of a string")
    }).pipe(on)
  )

  it.effect("a function that throws - is the defect KeyError", () =>
    Effect.gen(function* () {
      const throwing = () => {
        throw new Error("boom")
      }
      const defect = yield* read([Tenant, throwing], "acme")
      assert.instanceOf(defect, KeyError)
      assert.include(String(defect), "the function of its partition threw")
    }).pipe(on)
  )

  it.effect("an option that is no tag - is the defect InvalidOption that names the function", () =>
    Effect.gen(function* () {
      for (const partition of ["acme", [Tenant], [Tenant, "acme"], {}, null]) {
        const defect = yield* read(partition, "acme")
        assert.instanceOf(defect, InvalidOption, String(partition))
        assert.include(String(defect), "partition")
        assert.include(String(defect), "doc:{}")
      }
    }).pipe(on)
  )

  it.scoped("bg, bgWrite, bgRead, tools and resolvers - refuse it, and do not ignore it", () =>
    Effect.gen(function* () {
      const options = { key: "flags", interval: "1 minute", partition: Tenant } as const
      const one = Effect.succeed(1)
      const all: ReadonlyArray<Effect.Effect<unknown, unknown, CacheStore | Scope.Scope>> = [
        Effect.suspend(() => Cached.bg(one, options as never)),
        Effect.suspend(() => Cached.bg((id: number) => Effect.succeed(id), { ...options, key: "flags:{}" } as never)),
        Effect.suspend(() => Cached.bgWrite(one, options as never)),
        Effect.suspend(() => Cached.bgRead(options as never)),
        Effect.sync(() =>
          ToolCache.read(() => one, { name: "t", resource: "r", ...minute, partition: Tenant } as never)
        )
      ]
      for (const started of all) {
        const defect = defectOf(yield* Effect.exit(Effect.orDie(started)))
        assert.instanceOf(defect, InvalidOption)
        assert.include(String(defect), "partition")
      }
    }).pipe(on)
  )
})
