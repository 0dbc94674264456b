import { assert, describe, it, layer } from "@effect/vitest"
import { Cause, Effect, Exit, Option, type Scope, Stream, TestClock } from "effect"
import {
  type Backend,
  Cached,
  type CacheStore,
  CacheStoreError,
  InvalidOption,
  MemoryCache,
  TieredCache
} from "effect-cached"
import * as RedisCache from "../../../src/RedisCache.js"
import { becomes, counting, numbered, recordWarnings } from "../../laws/support.js"
import { awaitUntil, freshPrefix, RedisServer } from "../../support/redis.js"
import { coherent, minute, nodeOf, same } from "../../support/redis-nodes.js"

/** A store of memory and two Redis tiers, with access to each tier. */
const three = (options: { readonly l1?: TieredCache.Tier["ttl"]; readonly l2?: TieredCache.Tier["ttl"] } = {}) =>
  Effect.gen(function* () {
    const { client, url } = yield* RedisServer
    const prefixes = { l2: yield* freshPrefix, l3: yield* freshPrefix }
    const memory = yield* MemoryCache.backend()
    const open = (l1: Backend.Backend) =>
      Effect.map(
        TieredCache.make({
          name: "test tiers",
          tiers: [
            { backend: Effect.succeed(l1), ttl: options.l1, name: "L1" },
            { backend: RedisCache.backend({ url, prefix: prefixes.l2 }), ttl: options.l2, name: "L2" },
            { backend: RedisCache.backend({ url, prefix: prefixes.l3 }), name: "L3" }
          ]
        }),
        nodeOf
      ).pipe(Effect.tap((node) => coherent(node, true)))
    const node = yield* open(memory)
    /** One tier alone, as another process has it. */
    const alone = (tier: "l2" | "l3") => Effect.map(RedisCache.make({ url, prefix: prefixes[tier] }), nodeOf)
    const table = Effect.map(node.store.stats, ({ tiers }) =>
      tiers.map(({ hitRate, hits, misses, sets, tier }) => [tier, hits, misses, sets, Math.floor(hitRate * 100)])
    )
    return {
      ...node,
      memory,
      table,
      alone,
      another: Effect.flatMap(MemoryCache.backend(), open),
      has: (tier: "l2" | "l3", key: string) =>
        Effect.map(
          Effect.promise(() => client.getBuffer(prefixes[tier] + key)),
          // a tombstone is not a value
          (bytes) => bytes !== null && bytes[3] === 0
        ),
      pttl: (tier: "l2" | "l3", key: string) => Effect.promise(() => client.pttl(prefixes[tier] + key)),
      del: (tier: "l2" | "l3", ...keys: ReadonlyArray<string>) =>
        Effect.promise(() => client.del(...keys.map((key) => prefixes[tier] + key)))
    }
  })

describe("TieredCache", () => {
  layer(RedisServer.layer)("memory and two tiers of a real Redis", (it) => {
    it.scoped("a writer with a leader - writes to all tiers, and to none once another process has its lock", () =>
      Effect.gen(function* () {
        const { client, url } = yield* RedisServer
        const [l2, l3] = [yield* freshPrefix, yield* freshPrefix]
        const node = nodeOf(
          yield* TieredCache.make({
            tiers: [
              { backend: RedisCache.backend({ url, prefix: l2 }), name: "L2" },
              { backend: RedisCache.backend({ url, prefix: l3 }), name: "L3" }
            ]
          })
        )
        const alone = yield* Effect.forEach([l2, l3], (prefix) => RedisCache.make({ url, prefix }))
        const { calls, lookup } = counting()
        const writer = yield* node.run(
          Cached.bgWrite(lookup(), { key: "k", interval: "1 minute", leader: { lease: "1 minute" } })
        )
        for (const store of alone) yield* becomes(store.get("k"), Option.some(1))
        yield* Effect.promise(() => client.set(`${l2}!lk`, "another", "PX", 60_000))
        yield* TestClock.adjust("1 minute")
        yield* awaitUntil(
          Effect.map(writer.leads, (leads) => !leads),
          "it steps down"
        )
        same(calls.length, 2)
        for (const store of alone) yield* becomes(store.get("k"), Option.some(1))
      })
    )

    describe("metrics per tier", () => {
      it.scoped("steady - L1 87/5/5 94 %, L2 4/1/1 80 %, L3 1/0/0 100 %", () =>
        Effect.gen(function* () {
          const { alone, run, table } = yield* three()
          const { calls, lookup } = counting()
          const cached = Cached.ttl((_: number) => lookup(), { key: "k:{}", ...minute })
          const [l2, l3] = [yield* alone("l2"), yield* alone("l3")]
          for (const id of [1, 2, 3, 4, 5]) yield* l3.run(cached.set(id)(id))
          for (const id of [1, 2, 3, 4]) yield* l2.run(cached.set(id)(id))
          for (const id of [1, 2, 3, 4, 5]) same(yield* run(cached(id)), id)
          for (let i = 0; i < 87; i++) yield* run(cached(1 + (i % 5)))
          yield* becomes(table, [
            ["L1", 87, 5, 5, 94],
            ["L2", 4, 1, 1, 80],
            ["L3", 1, 0, 0, 100]
          ])
          same(calls.length, 0)
        })
      )

      it.scoped("cold, then with L1 emptied - 0/2/2 each; L1 2/4/4 33 %, L2 2/2/2 50 %, L3 0/2/2 0 %", () =>
        Effect.gen(function* () {
          const { memory, run, table } = yield* three()
          const { calls, lookup } = counting()
          const cached = Cached.ttl((_: number) => lookup(), { key: "k:{}", ...minute })
          const both = Effect.forEach([1, 2], (id) => run(cached(id)))
          yield* both
          yield* becomes(table, [
            ["L1", 0, 2, 2, 0],
            ["L2", 0, 2, 2, 0],
            ["L3", 0, 2, 2, 0]
          ])
          yield* both
          for (const key of ["k:1", "k:2"]) memory.unsafeRemove!(key)
          yield* both
          yield* becomes(table, [
            ["L1", 2, 4, 4, 33],
            ["L2", 2, 2, 2, 50],
            ["L3", 0, 2, 2, 0]
          ])
          same(calls.length, 2)
        })
      )
    })

    describe("backfill", () => {
      it.scoped(
        "law 14: a tier never outlives its source - all faster tiers get the entry with its times and tags",
        () =>
          Effect.gen(function* () {
            const { another, alone, has, run, store } = yield* three()
            const cached = Cached.swr(() => Effect.succeed("value"), {
              key: "k",
              ttl: "1 minute",
              stale: "1 minute",
              tags: ["t"]
            })
            yield* (yield* alone("l3")).run(cached.set()("value"))
            yield* TestClock.adjust("10 seconds")
            const entry = yield* run(cached.entry())
            same(
              Option.map(entry, ({ createdAt, expiresAt, freshUntil, state }) => [
                state,
                freshUntil - createdAt,
                expiresAt - createdAt
              ]),
              Option.some(["fresh", 60_000, 120_000])
            )
            yield* becomes(has("l2", "k"), true)
            same(yield* run(cached.entry()), entry)
            same(yield* (yield* another).run(cached.entry()), entry)
            // the tags were copied as well
            yield* store.tags.invalidate(["t"])
            same(yield* run(cached.entry()), Option.none())
            same(yield* (yield* alone("l2")).run(cached.peek()), Option.none())
          })
      )

      it.scoped("stale - a stale entry stays stale in the faster tiers", () =>
        Effect.gen(function* () {
          const { alone, has, run } = yield* three()
          const { calls, lookup } = numbered((_) => Effect.never)
          const cached = Cached.swr(Effect.suspend(lookup) as Effect.Effect<string>, {
            key: "k",
            ttl: "1 minute",
            stale: "1 minute"
          })
          yield* (yield* alone("l3")).run(cached.set("old"))
          yield* TestClock.adjust("90 seconds")
          for (const _ of [1, 2]) {
            same(yield* run(cached), "old")
            same(
              Option.map(yield* run(cached.entry), ({ state }) => state),
              Option.some("stale")
            )
          }
          yield* becomes(has("l2", "k"), true)
          yield* TestClock.adjust("31 seconds")
          same(yield* run(cached.peek), Option.none())
          assert.isAtMost(calls.length, 1)
        })
      )

      it.scoped("ttl of a tier - the tier holds an entry no longer, the next tier answers, nothing is loaded", () =>
        Effect.gen(function* () {
          const { pttl, run, table } = yield* three({ l1: "10 seconds", l2: "30 seconds" })
          const { calls, lookup } = counting()
          const cached = Cached.ttl(Effect.suspend(lookup), { key: "k", ...minute })
          yield* run(cached)
          yield* becomes(
            Effect.map(pttl("l3", "k"), (left) => left > 50_000),
            true
          )
          assert.isAtMost(yield* pttl("l2", "k"), 30_000)
          for (const [after, tier] of [
            ["9 seconds", "L1"],
            ["1 second", "L2"],
            ["9 seconds", "L1"]
          ] as const) {
            yield* TestClock.adjust(after)
            const before = yield* table
            same(yield* run(cached), 1)
            const hit = (yield* table).find(([, hits], i) => hits !== before[i]![1])
            same(hit?.[0], tier)
          }
          yield* TestClock.adjust("41 seconds")
          same(yield* run(cached), 2)
          same(calls.length, 2)
        })
      )
    })

    it.scoped("a hit in memory - asks no other tier", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const { run, written } = yield* three()
        const cached = Cached.ttl(Effect.succeed(1), { key: "k", ...minute })
        yield* run(cached)
        yield* written
        const monitor = yield* redis.monitor
        for (let i = 0; i < 100; i++) yield* run(cached)
        // except for heartbeats
        same(
          (yield* monitor.names).filter((name) => name !== "PUBLISH"),
          []
        )
      })
    )

    it.scoped("concurrent misses in memory - are one read of the next tier, and no load", () =>
      Effect.gen(function* () {
        const redis = yield* RedisServer
        const { alone, run } = yield* three()
        const { calls, lookup } = counting()
        const cached = Cached.ttl(Effect.suspend(lookup), { key: "k", ...minute })
        yield* (yield* alone("l3")).run(cached.set(7))
        const monitor = yield* redis.monitor
        same(
          yield* Effect.all(
            Array.from({ length: 100 }, () => run(cached)),
            { concurrency: "unbounded" }
          ),
          Array.from({ length: 100 }, () => 7)
        )
        same(calls.length, 0)
        // one read in each of the two tiers
        same((yield* monitor.names).filter((name) => name === "MGET").length, 2)
      })
    )

    it.scoped(
      "a refresh - first asks the slower tiers, and takes a value that another process has loaded meanwhile",
      () =>
        Effect.gen(function* () {
          const { another, run } = yield* three()
          const { calls, lookup } = counting()
          const cached = Cached.swr(Effect.suspend(lookup), { key: "k", ttl: "10 seconds", stale: "1 minute" })
          same(yield* run(cached), 1)
          yield* TestClock.adjust("11 seconds")
          const other = yield* another
          // the refresh of the other process is the one that loads
          yield* becomes(other.run(cached), 2)
          yield* becomes(run(cached), 2)
          same(calls.length, 2)
        })
    )

    it.scoped("a tier that lost its marks and its entries - the next tier still has both", () =>
      Effect.gen(function* () {
        const { another, del, has, run } = yield* three()
        const { calls, lookup } = numbered((call, _: string) => Effect.succeed(call))
        const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute", tags: (_, key) => [key] })
        yield* run(Effect.all([find("a"), find("b")]))
        yield* awaitUntil(
          Effect.zipWith(has("l3", "k:a"), has("l3", "k:b"), (a, b) => a && b),
          "both were stored"
        )
        yield* run(Cached.invalidateTags(["b"]))
        yield* del("l2", "k:a", "k:b", "!{marks}:head", "!{marks}:versions", "!{marks}:stamps")
        for (const node of [yield* another, yield* another]) same(yield* node.run(find("a")), 1)
        same(yield* run(find("a")), 1)
        // the mark that the second tier lost still counts
        same(yield* (yield* another).run(find("b")), 3)
        same(calls.length, 3)
      })
    )

    it.scoped("a failed clear and a failed setIfAbsent - count as one error each", () =>
      Effect.gen(function* () {
        const { url } = yield* RedisServer
        const error = new CacheStoreError({ reason: "Rejected", store: "redis", method: "test" })
        const broken = Effect.map(RedisCache.backend({ url, prefix: yield* freshPrefix }), (backend) => ({
          ...backend,
          marks: { read: backend.marks!.read, raise: () => error },
          setIfAbsent: () => error
        }))
        const store = yield* TieredCache.make({ tiers: [{ backend: MemoryCache.backend() }, { backend: broken }] })
        const count = Effect.map(store.stats, ({ storeErrors, tiers }) => [storeErrors, tiers[1]!.errors])
        yield* store.clear
        same(yield* count, [1, 1])
        yield* Effect.flip(store.setIfAbsent("k", 1, minute))
        same(yield* count, [2, 2])
      })
    )

    it.scoped("setIfAbsent - the first process wins in all tiers, because the deepest tier decides", () =>
      Effect.gen(function* () {
        const { another, del, has, store } = yield* three()
        const other = (yield* another).store
        same(yield* store.setIfAbsent("k", 1, minute), true)
        same(yield* other.setIfAbsent("k", 2, minute), false)
        yield* becomes(has("l2", "k"), true)
        same(yield* has("l3", "k"), true)
        yield* del("l2", "k")
        same(yield* other.setIfAbsent("k", 3, minute), false)
        same(yield* store.get("k"), Option.some(1))
        yield* store.remove("k")
        yield* becomes(other.get("k"), Option.none())
        same(yield* other.setIfAbsent("k", 4, minute), true)
        yield* becomes(store.get("k"), Option.some(4))
      })
    )

    it.scoped("remove, clear, tags - apply in every tier, also for a process that has just started", () =>
      Effect.gen(function* () {
        const { another, has, run, store } = yield* three()
        for (const gone of [store.remove("k"), store.clear, store.tags.invalidate(["t"])]) {
          yield* store.set("k", 1, { ...minute, tags: ["t"] })
          yield* becomes(has("l3", "k"), true)
          yield* run(gone)
          same(yield* store.get("k"), Option.none())
          same(yield* (yield* another).store.get("k"), Option.none())
        }
      })
    )
  })

  layer(RedisServer.layer)("law 6: the store may fail, the caller may not - each tier fails independently", (it) => {
    it.scoped(
      "the middle tier is down - the slower one answers and is written; once back, the middle tier is filled",
      () =>
        Effect.gen(function* () {
          const l3 = yield* RedisServer
          const l2 = yield* RedisServer.make()
          const memory = yield* MemoryCache.backend()
          const prefix = yield* freshPrefix
          const { run, store } = nodeOf(
            yield* TieredCache.make({
              tiers: [
                { backend: Effect.succeed(memory), name: "L1" },
                { backend: RedisCache.backend({ url: l2.url, prefix }), name: "L2" },
                { backend: RedisCache.backend({ url: l3.url, prefix }), name: "L3" }
              ]
            })
          )
          const forget = Effect.sync(() => memory.unsafeRemove!("k"))
          const { calls, lookup } = counting()
          const cached = Cached.ttl(Effect.suspend(lookup), { key: "k", ...minute })
          same(yield* run(cached), 1)
          yield* awaitUntil(
            Effect.map(
              Effect.promise(() => l3.client.exists(`${prefix}k`)),
              (n) => n === 1
            ),
            "it is in the deepest tier"
          )
          yield* l2.kill
          yield* forget
          same(yield* run(cached), 1)
          yield* run(cached.set(5))
          yield* forget
          same(yield* run(cached), 5)
          same(calls.length, 1)
          const errors = Effect.map(store.stats, ({ tiers }) => tiers.map(({ errors }) => errors > 0))
          same(yield* errors, [false, true, false])
          yield* l2.start
          yield* awaitUntil(
            Effect.map(store.health, ({ status, undelivered }) => undelivered === 0 && status === "up"),
            "the tier is up again, and has all writes that it missed"
          )
          yield* forget
          same(yield* run(cached), 5)
          yield* awaitUntil(
            Effect.map(
              Effect.promise(() => l2.client.exists(`${prefix}k`)),
              (n) => n === 1
            ),
            "it holds the value"
          )
          same(calls.length, 1)
        })
    )
  })

  describe("options", () => {
    const refused = (options: TieredCache.Options<never, Scope.Scope>, option: string) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(TieredCache.make(options))
        assert.isTrue(Exit.isFailure(exit))
        const defect = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined
        assert.instanceOf(defect, InvalidOption)
        same((defect as InvalidOption).option, option)
      })
    const memory = { backend: MemoryCache.backend() }

    it.scoped("invalid options - die with InvalidOption", () =>
      Effect.gen(function* () {
        yield* refused({ tiers: [] as never }, "tiers")
        yield* refused({ tiers: [memory, memory] }, "name")
        yield* refused({ tiers: [{ ...memory, ttl: 0 }] }, "ttl")
      })
    )

    it.scoped("law 18: nothing wrong is silent - a tier in front of one that notifies is a Warning", () =>
      Effect.gen(function* () {
        const tier = (name: string, notifies: boolean) => ({
          name,
          backend: Effect.map(MemoryCache.backend(), (backend) => ({
            ...backend,
            remote: true,
            notifications: notifies ? () => Stream.empty : undefined
          }))
        })
        const [files, redis] = [tier("files", false), tier("redis", true)]
        const { layer, lines } = recordWarnings()
        const warned = (tiers: TieredCache.Options<never, Scope.Scope>["tiers"]) =>
          Effect.map(Effect.provide(TieredCache.backend({ tiers }), layer), ({ problems }) => {
            same(
              problems?.().map(({ message }) => message),
              lines
            )
            return lines.splice(0)
          })
        same(yield* warned([memory, redis, files]), [])
        same(yield* warned([memory, files]), [])
        same(yield* warned([memory, files, redis]), [
          "tiered: the tier files comes before redis, but only memory follows the notifications of redis: an entry " +
            "that another process invalidates may come back from files. List redis before files."
        ])
      })
    )

    it.scoped("memory alone - is a store in memory", () =>
      Effect.gen(function* () {
        const store: CacheStore.Service = yield* TieredCache.make({ tiers: [memory] })
        yield* store.set("k", 1, minute)
        same(yield* store.get("k"), Option.some(1))
        same((yield* store.health).status, "up")
      })
    )

    it.scoped("three tiers in memory - work as three", () =>
      Effect.gen(function* () {
        const small = yield* MemoryCache.backend({ capacity: 1, name: "small" })
        const { run, store } = nodeOf(yield* TieredCache.make({ tiers: [{ backend: Effect.succeed(small) }, memory] }))
        const { calls, lookup } = counting()
        const cached = Cached.ttl((_: number) => lookup(), { key: "k:{}", ...minute })
        for (const id of [1, 2, 3]) yield* run(cached(id))
        for (const id of [1, 2, 3]) same(yield* run(cached(id)), id)
        same(calls.length, 3)
        yield* store.clear
        same(yield* run(cached.peek(1)), Option.none())
      })
    )
  })
})
