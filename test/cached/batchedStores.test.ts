/**
 * Batched functions on a real Redis: round trips, locks among processes, tiers, and the values that are stored.
 */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Fiber, Option, Redacted, Schema } from "effect"
import { Cached } from "effect-cached"
import { gate, recordWarnings, settled } from "../laws/support.js"
import { awaitUntil, freshPrefix, RedisServer } from "../support/redis.js"
import { hybrid, minute, node, pair, same, single } from "../support/redis-nodes.js"

/** A lookup of names by id that keeps the ids of its calls. Even ids are absent. `before` runs first. */
const names = (before: (ids: ReadonlyArray<number>) => Effect.Effect<void> = () => Effect.void) => {
  const calls: Array<ReadonlyArray<number>> = []
  const lookup = (ids: ReadonlyArray<number>) =>
    Effect.suspend(() => {
      calls.push(ids)
      const rows = ids.filter((id) => id % 2 === 1).map((id) => [id, `name ${id}`] as const)
      return Effect.as(before(ids), new Map(rows))
    })
  return { calls, lookup }
}

const some = (id: number) => Option.some(`name ${id}`)

const options = { key: "name:{}", ...minute } as const

const range = (from: number, size: number) => Array.from({ length: size }, (_, i) => from + i)

describe("Cached.batched on Redis", () => {
  layer(RedisServer.layer)((it) => {
    it.scoped("many - reads in one round trip, loads the rest in one call, and another process finds all", () =>
      Effect.gen(function* () {
        const { a, b } = yield* pair
        const redis = yield* RedisServer
        const { calls, lookup } = names()
        const getName = Cached.batched(lookup, { ...options, absentTtl: "1 minute" })
        same(yield* a.run(getName.many([1, 3])), [some(1), some(3)])
        yield* a.written
        const monitor = yield* redis.monitor
        same(yield* a.run(getName.many([1, 2, 3, 5])), [some(1), Option.none(), some(3), some(5)])
        yield* a.written
        const commands = yield* monitor.commands
        same(commands.filter(([name]) => name?.toUpperCase() === "MGET").length, 1)
        same(calls, [
          [1, 3],
          [2, 5]
        ])
        same(yield* b.run(getName.many([5, 3, 2, 1])), [some(5), some(3), Option.none(), some(1)])
        same(calls.length, 2)
      })
    )

    it.scoped("concurrent reads - are one round trip and one call", () =>
      Effect.gen(function* () {
        const { run } = yield* single()
        const { calls, lookup } = names()
        const getName = Cached.batched(lookup, options)
        const values = yield* run(Effect.forEach(range(1, 100), getName, { concurrency: "unbounded" }))
        same(values.slice(0, 2), [some(1), Option.none()])
        same(calls, [range(1, 100)])
      })
    )

    it.scoped("many - more keys than one request to Redis holds are still full batches", () =>
      Effect.gen(function* () {
        const { run } = yield* single()
        const { calls, lookup } = names()
        const getName = Cached.batched(lookup, options)
        same((yield* run(getName.many(range(1, 300)))).length, 300)
        same(
          calls.map((ids) => ids.length),
          [100, 100, 100]
        )
      })
    )

    it.scoped("schema - is of the present value; absent is stored, too", () =>
      Effect.gen(function* () {
        const { a, b } = yield* pair
        class User extends Schema.Class<User>("User")({ id: Schema.Number, at: Schema.Date }) {}
        let calls = 0
        const getUser = Cached.batched(
          (ids: ReadonlyArray<number>) =>
            Effect.sync(() => {
              calls++
              return ids.filter((id) => id !== 2).map((id) => [id, new User({ id, at: new Date(id) })] as const)
            }),
          { key: "user:{}", ...minute, schema: User, absentTtl: "1 minute" }
        )
        const users = [Option.some(new User({ id: 1, at: new Date(1) })), Option.none()]
        same(yield* a.run(getUser.many([1, 2])), users)
        yield* a.written
        const found = yield* b.run(getUser.many([1, 2]))
        same(found, users)
        assert.instanceOf(Option.getOrThrow(found[0]!), User)
        same(calls, 1)
      })
    )

    it.scoped(
      "law 7: every value comes back equal, or is not stored - what the schema does not take is delivered",
      () =>
        Effect.gen(function* () {
          const warnings = recordWarnings()
          const store = yield* Effect.provide(
            Effect.flatMap(freshPrefix, (prefix) => node({ prefix })),
            warnings.layer
          )
          const secret = Cached.batched(
            (ids: ReadonlyArray<number>) => Effect.succeed(ids.map((id) => [id, Redacted.make(`${id}`)] as const)),
            { key: "secret:{}", ...minute, schema: Schema.Redacted(Schema.String) }
          )
          same(yield* store.run(secret(1)), Option.some(Redacted.make("1")))
          assert.include(warnings.lines.join(), "secret:{}")
          const odd = Cached.batched(
            (ids: ReadonlyArray<number>) =>
              Effect.succeed(ids.map((id) => [id, { id: "x" as unknown as number }] as const)),
            { key: "odd:{}", ...minute, schema: Schema.Struct({ id: Schema.Number }) }
          )
          same(yield* store.run(odd(1)), Option.some({ id: "x" as unknown as number }))
          assert.include(warnings.lines.join(), "$.value.id")
          yield* store.written
          same(yield* store.run(odd.peek(1)), Option.none())
        })
    )

    it.scoped("tiers - memory answers what it has, the rest is one round trip", () =>
      Effect.gen(function* () {
        const prefix = yield* freshPrefix
        const a = yield* hybrid({ l2: { prefix } })
        const b = yield* hybrid({ l2: { prefix } })
        const { calls, lookup } = names()
        const getName = Cached.batched(lookup, { ...options, stale: "1 hour" })
        yield* a.run(getName.many([1, 3]))
        yield* a.written
        same(yield* b.run(getName.many([1, 3, 5])), [some(1), some(3), some(5)])
        same(yield* b.run(getName.many([5, 1])), [some(5), some(1)])
        same(calls, [[1, 3], [5]])
        yield* b.run(getName.invalidate(1))
        same(yield* b.run(getName.many([1, 3])), [some(1), some(3)])
        same(calls, [[1, 3], [5], [1]])
      })
    )

    it.scoped("lock - loads the keys it got at once and waits for the others afterwards, never before", () =>
      Effect.gen(function* () {
        const { a, b } = yield* pair
        const door = gate()
        const first = names(() => door.pass)
        const second = names(() => door.pass)
        const locked = { ...options, lock: { lease: "5 seconds" } } as const
        const ofA = Cached.batched(first.lookup, locked)
        const ofB = Cached.batched(second.lookup, locked)
        // each lock is got by itself, so what was got may be more than one call
        const asked = (calls: ReadonlyArray<ReadonlyArray<number>>, count: number) =>
          awaitUntil(
            Effect.sync(() => calls.flat().length === count),
            `${count} ids are asked for`
          )
        const readA = yield* Effect.fork(a.run(ofA.many([1, 3, 5])))
        yield* asked(first.calls, 3)
        // each process waits for keys of the other, while it loads keys that the other waits for
        const readB = yield* Effect.fork(b.run(ofB.many([5, 7, 9])))
        yield* asked(second.calls, 2)
        const again = yield* Effect.fork(a.run(ofA.many([9, 11])))
        yield* asked(first.calls, 4)
        yield* door.open
        same(yield* Fiber.join(readA), [some(1), some(3), some(5)])
        same(yield* Fiber.join(readB), [some(5), some(7), some(9)])
        same(yield* Fiber.join(again), [some(9), some(11)])
        same(first.calls.flat(), [1, 3, 5, 11])
        same(second.calls.flat(), [7, 9])
      })
    )

    it.scoped("lock - two processes that want the same keys in opposite orders do not wait for each other", () =>
      Effect.gen(function* () {
        const { a, b } = yield* pair
        const { calls, lookup } = names()
        const getName = Cached.batched(lookup, { ...options, lock: { lease: "5 seconds" } })
        const ids = range(1, 40)
        const reads = yield* Effect.forEach(
          [a.run(getName.many(ids)), b.run(getName.many([...ids].reverse()))],
          Effect.fork
        )
        const values = yield* Effect.forEach(reads, Fiber.join)
        same(values[0], [...values[1]!].reverse())
        yield* settled
        const odd = calls.flat().filter((id) => id % 2 === 1)
        same(odd.length, new Set(odd).size, "a key that is stored is loaded once")
      })
    )
  })
})
