/**
 * Readers inside a transaction: what they read is neither answered from the store nor stored in it.
 */
import { assert, describe, it, layer } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Effect, Either, Layer, Option, Schema, TestClock } from "effect"
import { Cached, CacheStore, InvalidOption, MemoryCache } from "effect-cached"
import { defectOf, makeLookup, recordWarnings, settled } from "../laws/support.js"
import { freshPrefix, RedisServer } from "../support/redis.js"
import { hybrid, type Node, node, nodeOf } from "../support/redis-nodes.js"

/** What a fiber has inside a transaction: the rows that only it sees. */
class Transaction extends Context.Tag("Transaction")<Transaction, Map<number, string>>() {}

class Other extends Context.Tag("Other")<Other, string>() {}

const bypassIn = [Other, Transaction]

/** A table with transactions. Commits are immediate, and what fails is rolled back. */
const table = () => {
  const rows = new Map([[1, "old"]])
  const { calls, lookup } = makeLookup((id: number) =>
    Effect.map(Effect.serviceOption(Transaction), (inside) => {
      const own = Option.getOrUndefined(inside)?.get(id)
      return own ?? rows.get(id) ?? "none"
    })
  )
  const transaction = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      const own = new Map<number, string>()
      return Effect.tap(Effect.provideService(effect, Transaction, own), () => {
        for (const [id, name] of own) rows.set(id, name)
      })
    })
  const write = (id: number, name: string) => Effect.map(Transaction, (own) => void own.set(id, name))
  return { calls, lookup, rows, transaction, write }
}

const options = { key: "user:{}", ttl: "1 minute" } as const

const names = (node: Node) =>
  Effect.map(node.store.health, ({ problems }) => problems.map(({ name, subject }) => [name, subject]))

/** What holds on every store. `b` is another process, except in memory. */
const onEveryStore = <E, R>(nodes: Effect.Effect<{ readonly a: Node; readonly b: Node }, E, R>) => {
  const test = <E2>(body: (a: Node, b: Node) => Effect.Effect<unknown, E2>): Effect.Effect<void, E | E2, R> =>
    Effect.flatMap(nodes, ({ a, b }) => Effect.asVoid(body(a, b)))
  return {
    "a read inside - is neither answered from the store nor stored in it": test((a, b) =>
      Effect.gen(function* () {
        const { calls, lookup, transaction, write } = table()
        const get = Cached.ttl(lookup, options)
        assert.strictEqual(yield* a.run(get(1)), "old")
        const inside = transaction(Effect.zipRight(write(1, "new"), Effect.all([get(1), get(1)])))
        const rolledBack = yield* Effect.exit(
          a.run(transaction(Effect.zipRight(Effect.zipRight(write(1, "lost"), get(1)), Effect.fail("rollback"))))
        )
        assert.isTrue(rolledBack._tag === "Failure")
        assert.strictEqual(yield* a.run(get(1)), "old")
        deepStrictEqual(yield* a.run(inside), ["new", "new"])
        assert.strictEqual(calls.length, 4)
        // nobody has invalidated it
        assert.strictEqual(yield* a.run(get(1)), "old")
        yield* a.written
        assert.strictEqual(yield* b.run(get(1)), "old")
        assert.strictEqual(calls.length, 4)
      })
    ),
    "set, put, refresh and reload inside - invalidate in place of storing": test((a, b) =>
      Effect.gen(function* () {
        const { lookup, transaction, write } = table()
        const get = Cached.ttl(lookup, options)
        const users = Cached.entity(Schema.Struct({ id: Schema.Number }), {
          name: "user",
          key: ["id"],
          ttl: "1 minute"
        })
        const none = Effect.all([
          get.peek(1),
          Effect.map(
            users.get(1),
            Option.map(() => "user")
          )
        ])
        for (const [inside, value] of [
          [get.set(1)("set"), undefined],
          [get.refresh(1), "uncommitted"],
          [Cached.reload(get(1)), "uncommitted"],
          [users.put({ id: 1 }), undefined]
        ] as const) {
          yield* a.run(Effect.all([get(1), users.put({ id: 1 })]))
          yield* a.written
          const result = yield* a.run(
            transaction(
              Effect.zipRight(
                write(2, "x"),
                Effect.zipRight(
                  write(1, "uncommitted"),
                  Effect.either(Effect.flatMap(inside, (got) => Effect.fail(got)))
                )
              )
            )
          )
          deepStrictEqual(result, Either.left(value as never))
          yield* a.run(users.invalidate(1))
          yield* a.written
          deepStrictEqual(yield* b.run(none), [Option.none(), Option.none()])
        }
      })
    ),
    "store.set inside - removes; getOrSet inside - runs the lookup": test((a, b) =>
      Effect.gen(function* () {
        const { transaction } = table()
        yield* a.store.set("k", 1, { ttl: "1 minute" })
        assert.strictEqual(yield* transaction(a.store.getOrSet("k", Effect.succeed(2), { ttl: "1 minute" })), 2)
        yield* a.written
        deepStrictEqual(yield* b.store.get("k"), Option.some(1))
        yield* transaction(a.store.set("k", 3, { ttl: "1 minute" }))
        yield* a.written
        deepStrictEqual(yield* b.store.get("k"), Option.none())
      })
    ),
    "a mutation wrapped from outside - readers get the new value, and never a rolled-back one": test((a, b) =>
      Effect.gen(function* () {
        const { lookup, transaction, write } = table()
        const get = Cached.ttl(lookup, options)
        const rename = (id: number, name: string) =>
          transaction(
            Effect.zipRight(
              write(id, name),
              Effect.flatMap(get(id), (seen) => (seen === "bad" ? Effect.fail(seen) : Effect.succeed(seen)))
            )
          )
        const renamed = Cached.invalidates(rename, get)
        yield* a.run(get(1))
        yield* a.written
        assert.strictEqual(yield* b.run(get(1)), "old")
        assert.strictEqual(yield* Effect.flip(a.run(renamed(1, "bad"))), "bad")
        assert.strictEqual(yield* b.run(get(1)), "old")
        assert.strictEqual(yield* a.run(renamed(1, "good")), "good")
        yield* a.written
        assert.strictEqual(yield* a.run(get(1)), "good")
        deepStrictEqual(yield* names(a), [])
      })
    )
  }
}

describe("in memory", () => {
  const made = Effect.map(MemoryCache.make({ bypassIn }), (store) => ({ a: nodeOf(store), b: nodeOf(store) }))
  for (const [title, body] of Object.entries(onEveryStore(made))) it.scoped(title, () => body)
})

describe("two processes", () => {
  layer(RedisServer.layer)((it) => {
    const redis = Effect.gen(function* () {
      const prefix = yield* freshPrefix
      return { a: yield* node({ prefix, bypassIn }), b: yield* node({ prefix, bypassIn }) }
    })
    for (const [title, body] of Object.entries(onEveryStore(redis))) it.scoped(`Redis - ${title}`, () => body)
    const hybrids = Effect.gen(function* () {
      const prefix = yield* freshPrefix
      return { a: yield* hybrid({ l2: { prefix }, bypassIn }), b: yield* hybrid({ l2: { prefix }, bypassIn }) }
    })
    for (const [title, body] of Object.entries(onEveryStore(hybrids))) {
      it.scoped(`memory in front of Redis - ${title}`, () => body)
    }
  })
})

describe("bypassIn", () => {
  const provided = Effect.provide(MemoryCache.layer({ bypassIn }))

  it.effect("a captured function - reads as outside, and its load is outside", () =>
    Effect.gen(function* () {
      const { calls, lookup, transaction, write } = table()
      const get = yield* Cached.capture(Cached.ttl(lookup, options))
      assert.strictEqual(yield* transaction(Effect.zipRight(write(1, "new"), get(1))), "old")
      assert.strictEqual(yield* transaction(get(1)), "old")
      assert.strictEqual(calls.length, 1)
    }).pipe(provided)
  )

  it.effect("a function captured inside - is inside for ever", () =>
    Effect.gen(function* () {
      const { calls, lookup, transaction } = table()
      const get = yield* transaction(Cached.capture(Cached.ttl(lookup, options)))
      yield* get(1)
      yield* get(1)
      assert.strictEqual(calls.length, 2)
    }).pipe(provided)
  )

  it.effect("swr inside - neither serves the stale value nor refreshes", () =>
    Effect.gen(function* () {
      const { calls, lookup, transaction, write } = table()
      const get = Cached.swr(lookup, { ...options, stale: "1 minute" })
      yield* get(1)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* transaction(Effect.zipRight(write(1, "new"), get(1))), "new")
      yield* settled
      assert.strictEqual(calls.length, 2)
    }).pipe(provided)
  )

  it.effect("many inside - runs the lookup, and stores nothing", () =>
    Effect.gen(function* () {
      const { transaction } = table()
      let calls = 0
      const get = Cached.batched(
        (ids: ReadonlyArray<number>) => Effect.sync(() => ids.map((id) => [id, ++calls] as const)),
        options
      )
      deepStrictEqual(yield* transaction(get.many([1, 2])), [Option.some(1), Option.some(2)])
      deepStrictEqual(yield* get.peek(1), Option.none())
    }).pipe(provided)
  )

  it.effect("prime inside - runs the query, and stores nothing", () =>
    Effect.gen(function* () {
      const { transaction } = table()
      const users = Cached.entity(Schema.Struct({ id: Schema.Number }), { name: "user", key: ["id"], ttl: "1 minute" })
      deepStrictEqual(yield* transaction(users.prime(Effect.succeed([{ id: 1 }]))), [{ id: 1 }])
      deepStrictEqual(yield* users.get(1), Option.none())
    }).pipe(provided)
  )

  it.effect("invalidate, expire and tags inside - act at once, and one Warning says that this is early", () => {
    const warnings = recordWarnings()
    return Effect.gen(function* () {
      const { calls, lookup, transaction } = table()
      const get = Cached.ttl(lookup, { ...options, tags: ["users"] })
      const store = yield* CacheStore
      const key = get.key(1)
      for (const act of [
        get.invalidate(1),
        store.expire(key),
        Cached.invalidateTags(["users"]),
        get.clear,
        store.remove(key)
      ]) {
        const before = calls.length
        yield* get(1)
        yield* transaction(
          Effect.zipRight(
            act,
            Effect.tap(get.peek(1), (peeked) => deepStrictEqual(peeked, Option.none()))
          )
        )
        yield* get(1)
        assert.isAbove(calls.length, before)
      }
      deepStrictEqual(yield* names(nodeOf(store)), [["InvalidatedEarly", ""]])
      const early = warnings.lines.filter((line) => line.includes("inside a transaction"))
      assert.lengthOf(early, 1)
      assert.include(early[0], "wrap the whole transaction")
    }).pipe(Effect.provide(MemoryCache.layer({ bypassIn }).pipe(Layer.provide(warnings.layer))))
  })

  it.effect("outside - nothing changes, and nothing is reported", () =>
    Effect.gen(function* () {
      const { calls, lookup } = table()
      const get = Cached.ttl(lookup, options)
      yield* get(1)
      yield* get(1)
      yield* get.set(1)("set")
      assert.strictEqual(yield* get(1), "set")
      assert.strictEqual(calls.length, 1)
      yield* get.refresh(1)
      assert.strictEqual(yield* get(1), "old")
      yield* get.invalidate(1)
      deepStrictEqual(yield* Effect.flatMap(CacheStore, (store) => names(nodeOf(store))), [])
    }).pipe(provided)
  )

  it.scoped("an option that is no list of tags - is the defect InvalidOption that names the store", () =>
    Effect.gen(function* () {
      const defect = defectOf(yield* Effect.exit(MemoryCache.make({ bypassIn: ["Transaction"] as never })))
      assert.instanceOf(defect, InvalidOption)
      assert.include(String(defect), "bypassIn")
      assert.include(String(defect), "memory")
    })
  )
})
