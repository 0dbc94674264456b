/**
 * The tests of every store that keeps entries in a bucket: two stores on one bucket, any key, the number and size of
 * requests, outages, options and closing.
 */
// Not chai's `deepStrictEqual`, for which any two Effect values with different keys are equal, such as Some and None.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Option, Scope, TestClock } from "effect"
import type * as Backend from "../../src/Backend.js"
import type { CommonOptions } from "../../src/GcsCache.js"
import { Cached, CacheStore, Entry } from "../../src/index.js"
import { becomes, gate, numbered, recordWarnings } from "../laws/support.js"
import { awaitUntil, live } from "./live.js"
import { type Node, nodeOf } from "./redis-nodes.js"
import * as TcpProxy from "./tcpProxy.js"

export interface BucketUnderTest {
  readonly name: string
  /** The port of the endpoint. */
  readonly port: Effect.Effect<number>
  readonly freshPrefix: () => string
  readonly make: (
    port: number,
    options: Partial<CommonOptions> & { readonly wrongCredentials?: boolean }
  ) => Effect.Effect<CacheStore.Service, never, Scope.Scope>
  readonly backend: (
    port: number,
    options: Partial<CommonOptions>
  ) => Effect.Effect<Backend.Backend, never, Scope.Scope>
  /** Whether the client cancels a request that nobody waits for. */
  readonly aborts: boolean
}

const minute = { ttl: "1 minute" } as const

export const hostile: ReadonlyArray<string> = [
  "",
  ".",
  "..",
  "../../marks",
  "/a",
  "a//b",
  "a b",
  "a+b",
  "a%2Fb",
  "a?b=c&d",
  "a#b",
  "marks",
  "entries/",
  "nothing\0",
  "new\r\nline",
  "é",
  "e\u0301",
  "😀",
  "\ud83d",
  "\ufffd",
  "__proto__",
  "k".repeat(5_000)
]

/** The write of a value that was loaded at the time `stamp`. */
export const loaded = (key: string, value: unknown, stamp: number): Backend.Write => ({
  key,
  entry: new Entry.Entry(value, {
    stamp,
    createdAt: stamp,
    freshUntil: stamp + 60_000,
    expiresAt: stamp + 60_000,
    owner: "",
    tags: []
  }),
  lifetime: 60_000,
  authoritative: false
})

export const buckets = (bucket: BucketUnderTest): void => {
  const node = (options: Partial<CommonOptions> = {}) =>
    Effect.flatMap(bucket.port, (port) => Effect.map(bucket.make(port, options), nodeOf))
  /** Two stores on one bucket and prefix. */
  const pair = (options: Partial<CommonOptions> = {}) =>
    Effect.suspend(() => {
      const prefix = bucket.freshPrefix()
      return Effect.all([node({ prefix, ...options }), node({ prefix, ...options })])
    })
  const proxied = (options: Partial<CommonOptions> = {}) =>
    Effect.gen(function* () {
      const proxy = yield* Effect.flatMap(bucket.port, TcpProxy.make)
      const prefix = bucket.freshPrefix()
      const a = nodeOf(yield* bucket.make(proxy.port, { prefix, timeout: "300 millis", ...options }))
      return { proxy, prefix, a }
    })
  const echo = () => {
    const { lookup, calls } = numbered((call, id: string) => Effect.succeed(`${id}${call}`))
    // two of them may share entries
    return { find: Cached.ttl(lookup, { key: "x:{}", name: "x", ...minute, tags: ["t"] }), calls }
  }
  const hasDelivered = ({ store }: Node) =>
    awaitUntil(
      Effect.map(store.health, ({ owes }) => !owes),
      "everything is delivered"
    )

  describe(`a bucket (${bucket.name})`, () => {
    describe("two stores", () => {
      it.scoped("setIfAbsent - one of 50 fibers in both stores wins, and its value is the one in the bucket", () =>
        Effect.gen(function* () {
          const [a, b] = yield* pair()
          const won = yield* Effect.forEach(
            Array.from({ length: 50 }, (_, i) => i),
            (i) => (i % 2 === 0 ? a : b).store.setIfAbsent("k", i, minute),
            { concurrency: "unbounded" }
          )
          const winners = won.flatMap((one, i) => (one ? [i] : []))
          assert.lengthOf(winners, 1)
          for (const { store } of [a, b]) deepStrictEqual(yield* store.get("k"), Option.some(winners[0]))
        })
      )

      it.scoped("setIfAbsent - an expired or removed entry counts as absent", () =>
        Effect.gen(function* () {
          const [a, b] = yield* pair()
          yield* a.store.set("k", 1, minute)
          assert.isFalse(yield* b.store.setIfAbsent("k", 2, minute))
          yield* TestClock.adjust("1 minute")
          assert.isTrue(yield* b.store.setIfAbsent("k", 2, minute))
          deepStrictEqual(yield* a.store.get("k"), Option.some(2))
          yield* a.store.remove("k")
          assert.isTrue(yield* b.store.setIfAbsent("k", 3, minute))
          deepStrictEqual(yield* a.store.get("k"), Option.some(3))
        })
      )

      it.scoped("an invalidation in the other store during a load - wins, and the load stores nothing", () =>
        Effect.gen(function* () {
          const [a, b] = yield* pair()
          const door = gate()
          const cached = Cached.ttl(Effect.as(door.pass, "old"), { key: "k", ...minute })
          const reader = yield* Effect.fork(a.run(cached))
          yield* door.reached
          yield* b.run(cached.invalidate)
          yield* door.open
          assert.strictEqual(yield* Fiber.join(reader), "old")
          yield* a.written
          for (const each of [a, b]) deepStrictEqual(yield* each.run(cached.peek), Option.none())
        })
      )

      it.scoped("a set in the other store during a load - is kept", () =>
        Effect.gen(function* () {
          const [a, b] = yield* pair()
          const door = gate()
          const cached = Cached.ttl(Effect.as(door.pass, "loaded"), { key: "k", ...minute })
          const reader = yield* Effect.fork(a.run(cached))
          yield* door.reached
          yield* b.run(cached.set("set"))
          yield* door.open
          assert.strictEqual(yield* Fiber.join(reader), "loaded")
          yield* a.written
          for (const each of [a, b]) deepStrictEqual(yield* each.run(cached.peek), Option.some("set"))
        })
      )

      it.scoped("clear and tags in the other store - are noticed within marksEvery", () =>
        Effect.gen(function* () {
          const [a, b] = yield* pair({ marksEvery: "50 millis" })
          const { find } = echo()
          for (const verb of [b.store.clear, b.store.tags.invalidate(["t"]), b.run(find.clear)]) {
            yield* a.run(find("a"))
            yield* a.written
            assert.isTrue(Option.isSome(yield* b.run(find.peek("a"))))
            yield* verb
            yield* live(Effect.sleep("60 millis"))
            deepStrictEqual(yield* a.run(find.peek("a")), Option.none())
          }
        })
      )

      it.scoped("writes in both at once - end with one value, which both read", () =>
        Effect.gen(function* () {
          const [a, b] = yield* pair()
          yield* Effect.forEach(
            Array.from({ length: 10 }, (_, i) => i),
            (i) => (i % 2 === 0 ? a : b).store.set("k", i, minute),
            { concurrency: "unbounded", discard: true }
          )
          yield* Effect.all([hasDelivered(a), hasDelivered(b)])
          const left = yield* a.store.get("k")
          assert.isTrue(Option.isSome(left))
          deepStrictEqual(yield* b.store.get("k"), left)
        })
      )
    })

    describe("names", () => {
      it.scoped("hostile keys - work like any other", () =>
        Effect.gen(function* () {
          const [a, b] = yield* pair()
          yield* a.store.setMany(
            hostile.map((key, i) => [key, i] as const),
            minute
          )
          deepStrictEqual(
            yield* b.store.getMany(hostile),
            hostile.map((_, i) => Option.some(i))
          )
          yield* a.store.clear
          yield* b.store.set("marks", 1, minute)
          deepStrictEqual(yield* b.store.get("marks"), Option.some(1))
        })
      )

      it.scoped("prefixes - separate stores, even if one prefix begins with another", () =>
        Effect.gen(function* () {
          const prefix = bucket.freshPrefix()
          const all = yield* Effect.forEach([prefix, `${prefix}a`, `${prefix}entries/`, prefix.slice(0, -1)], (each) =>
            node({ prefix: each })
          )
          for (const [i, { store }] of all.entries()) {
            assert.isTrue(yield* store.setIfAbsent("k", i, minute))
          }
          yield* all[0]!.store.clear
          deepStrictEqual(yield* all[0]!.store.get("k"), Option.none())
          for (const [i, { store }] of all.entries()) {
            if (i > 0) deepStrictEqual(yield* store.get("k"), Option.some(i))
          }
        })
      )
    })

    describe("requests", () => {
      it.scoped("a value of 4 MB - is fetched, unless it has expired", () =>
        Effect.gen(function* () {
          const { a, prefix, proxy } = yield* proxied({ timeout: "10 seconds", maxValueBytes: 8_000_000 })
          const b = yield* node({ prefix, timeout: "10 seconds", maxValueBytes: 8_000_000 })
          yield* b.store.set("k", "x".repeat(4_000_000), minute)
          assert.isTrue(yield* a.store.has("k"))
          const before = yield* proxy.answered
          yield* proxy.bandwidth(10_000)
          assert.isAbove(before, 4_000_000)
          yield* TestClock.adjust("1 minute")
          deepStrictEqual(yield* a.store.get("k"), Option.none())
          // Bytes that are still on their way would arrive now.
          yield* proxy.restore
          yield* live(Effect.sleep("200 millis"))
          assert.isBelow((yield* proxy.answered) - before, 1_000_000)
        })
      )

      it.scoped("an object larger than the limit of its reader - is a miss, and is not fetched", () =>
        Effect.gen(function* () {
          const { a, prefix, proxy } = yield* proxied({ timeout: "10 seconds", maxValueBytes: 1_000_000 })
          const b = yield* node({ prefix, timeout: "10 seconds", maxValueBytes: 8_000_000 })
          yield* b.store.set("k", "x".repeat(6_000_000), minute)
          const before = yield* proxy.answered
          yield* proxy.bandwidth(10_000)
          deepStrictEqual(yield* a.store.get("k"), Option.none())
          deepStrictEqual((yield* a.store.health).problems.map(({ name }) => name).includes("EntryUnreadable"), true)
          yield* proxy.restore
          yield* live(Effect.sleep("200 millis"))
          assert.isBelow((yield* proxy.answered) - before, 3_000_000)
          yield* a.store.set("k", "small", minute)
          deepStrictEqual(yield* b.store.get("k"), Option.some("small"))
        })
      )

      it.scoped("getMany - reads 40 keys, at most `concurrency` at once", () =>
        Effect.gen(function* () {
          const { a, prefix, proxy } = yield* proxied({ concurrency: 5, timeout: "5 seconds" })
          const b = yield* node({ prefix })
          const keys = Array.from({ length: 40 }, (_, i) => `k${i}`)
          yield* b.store.setMany(
            keys.map((key) => [key, key] as const),
            minute
          )
          yield* proxy.latency(20)
          deepStrictEqual(
            yield* a.store.getMany(keys),
            keys.map((key) => Option.some(key))
          )
          // One more connection reads the marks.
          assert.isAtMost(yield* proxy.accepted, 6)
          assert.isAtLeast(yield* proxy.accepted, 5)
          const gets = (yield* proxy.requests).filter((line) => line.startsWith("GET") && line.includes("entries"))
          assert.lengthOf(gets, 40)
        })
      )

      it.scoped("an unchanged entry - is not sent again", () =>
        Effect.gen(function* () {
          const proxy = yield* Effect.flatMap(bucket.port, TcpProxy.make)
          const backend = yield* bucket.backend(proxy.port, { prefix: bucket.freshPrefix() })
          const write = loaded("k", "value", 1_700_000_000_000.5)
          const puts = Effect.map(proxy.requests, (all) => all.filter((line) => /^P.*entries/.test(line)).length)
          for (let i = 0; i < 3; i++) {
            deepStrictEqual(yield* backend.setMany([write]), [{ _tag: "Written", stamp: write.entry.stamp }])
            assert.strictEqual(yield* puts, 1)
          }
          yield* backend.setMany([loaded("k", "other", write.entry.stamp + 1)])
          assert.strictEqual(yield* puts, 2)
        })
      )
    })

    describe("law 6: the store may fail, the caller may not", () => {
      const serves = (of: Node) =>
        Effect.gen(function* () {
          const { find, calls } = echo()
          for (const [i, id] of ["a", "b", "c"].entries()) assert.strictEqual(yield* of.run(find(id)), `${id}${i + 1}`)
          assert.lengthOf(calls, 3)
          assert.isTrue(Exit.isFailure(yield* Effect.exit(of.store.setIfAbsent("k", 1, minute))))
          yield* of.store.set("k", 1, minute)
          yield* of.store.clear
          assert.isAbove((yield* of.store.stats).storeErrors, 0)
        })

      const outages: ReadonlyArray<
        readonly [string, (proxy: TcpProxy.TcpProxy) => Effect.Effect<void>, (line: string) => boolean]
      > = [
        [
          "connections refused",
          ({ cut, refuse }) => Effect.zipRight(refuse, cut),
          (line) => line.includes("ECONNREFUSED")
        ],
        ["no answer", ({ blackhole }) => blackhole, (line) => line.includes("in time")],
        ["answers slower than `timeout`", ({ latency }) => latency(1_000), (line) => line.includes("in time")]
      ]
      for (const [outage, begin, isReported] of outages) {
        it.scoped(
          `${outage} - reads load, failures are counted and logged once, and values are stored afterwards`,
          () => {
            const { lines, layer } = recordWarnings()
            return Effect.gen(function* () {
              const { a, proxy } = yield* proxied()
              yield* begin(proxy)
              yield* serves(a)
              yield* proxy.cut
              yield* proxy.restore
              yield* hasDelivered(a)
              const { find } = echo()
              yield* becomes(a.run(find("b")), "b1")
              yield* a.written
              yield* becomes(Effect.map(a.run(find.peek("b")), Option.isSome), true)
              assert.isAtLeast(lines.filter(isReported).length, 1)
              // one each for reads, writes, marks and the breaker
              assert.isAtMost(lines.length, 4, lines.join("\n"))
            }).pipe(Effect.provide(layer))
          }
        )
      }

      it.scoped("a connection reset during an answer - is a miss, and the next read a hit", () =>
        Effect.gen(function* () {
          const { a, prefix, proxy } = yield* proxied({ timeout: "5 seconds" })
          const b = yield* node({ prefix })
          yield* b.store.set("k", 1, minute)
          yield* a.store.get("other")
          yield* proxy.latency(200)
          const reader = yield* Effect.fork(a.store.get("k"))
          yield* live(Effect.sleep("50 millis"))
          yield* proxy.refuse
          yield* proxy.cut
          deepStrictEqual(yield* Fiber.join(reader), Option.none())
          yield* proxy.restore
          deepStrictEqual(yield* a.store.get("k"), Option.some(1))
        })
      )

      for (const [what, options] of [
        ["a missing bucket", { bucket: "never-made" }],
        ["wrong credentials", { wrongCredentials: true }]
      ] as const) {
        it.scoped(`${what} - the Layer is built, reads load, and failures are logged`, () => {
          const { lines, layer } = recordWarnings()
          return Effect.gen(function* () {
            const a = nodeOf(yield* bucket.make(yield* bucket.port, { prefix: bucket.freshPrefix(), ...options }))
            yield* serves(a)
            assert.isAtLeast(lines.length, 1)
            assert.isAtMost(lines.length, 4)
            for (const line of lines) assert.include(line, bucket.name)
          }).pipe(Effect.provide(layer))
        })
      }

      it.scoped("an invalidation during an outage - is a miss here at once, and is delivered afterwards", () =>
        Effect.gen(function* () {
          const { a, prefix, proxy } = yield* proxied()
          const b = yield* node({ prefix })
          const { find } = echo()
          yield* a.run(find("a"))
          yield* a.written
          yield* Effect.zipRight(proxy.refuse, proxy.cut)
          yield* a.run(find.invalidate("a"))
          deepStrictEqual(yield* a.run(find.peek("a")), Option.none())
          deepStrictEqual(yield* b.run(find.peek("a")), Option.some("a1"))
          yield* proxy.restore
          yield* hasDelivered(a)
          deepStrictEqual(yield* b.run(find.peek("a")), Option.none())
        })
      )
    })

    describe("options", () => {
      for (const [option, value] of [
        ["timeout", 0],
        ["timeout", Duration.infinity],
        ["concurrency", 0],
        ["concurrency", 1.5]
      ] as const) {
        it.scoped(`${option} ${String(value)} - is the defect InvalidOption`, () =>
          Effect.gen(function* () {
            const port = yield* bucket.port
            const exit = yield* Effect.exit(bucket.make(port, { [option]: value }))
            assert.isTrue(Exit.isFailure(exit))
            assert.include(String(exit), option)
          })
        )
      }
    })

    describe("law 11: the scope ends everything", () => {
      it.scoped("closing during a read that hangs - ends within the timeout", () =>
        Effect.gen(function* () {
          const proxy = yield* Effect.flatMap(bucket.port, TcpProxy.make)
          const scope = yield* Scope.make()
          const store = yield* Scope.extend(
            bucket.make(proxy.port, { prefix: bucket.freshPrefix(), timeout: "300 millis" }),
            scope
          )
          yield* store.set("k", 1, minute)
          yield* proxy.blackhole
          const reader = yield* Effect.fork(
            Effect.provideService(Cached.ttl(Effect.never, { key: "j", ...minute }), CacheStore, store)
          )
          yield* live(Effect.sleep("20 millis"))
          yield* Scope.close(scope, Exit.void)
          assert.isTrue(Exit.isInterrupted(yield* Fiber.await(reader)))
          yield* proxy.restore
          if (bucket.aborts) {
            yield* awaitUntil(
              Effect.map(proxy.connections, (n) => n === 0),
              "all connections are closed"
            )
          }
        })
      )
    })
  })
}
