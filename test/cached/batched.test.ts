/**
 * Batched functions: which loads share a call of the lookup, and what becomes of its result.
 */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Effect, Exit, Fiber, FiberRef, HashMap, Layer, Option, TestClock } from "effect"
import {
  Cached,
  CacheStore,
  InvalidBatch,
  InvalidOption,
  KeyError,
  LoadInterrupted,
  MemoryCache,
  ReentrantLoad
} from "effect-cached"
import { begun, defectOf, gate, isInterrupted, openStore, recordWarnings, settled, stats } from "../laws/support.js"
import { recordingTracer } from "../support/tracer.js"
import { on } from "./support.js"

const minute = { key: "name:{}", ttl: "1 minute" } as const

const all = { concurrency: "unbounded" } as const

const some = (id: number) => Option.some(`name ${id}`)

type Pairs = ReadonlyArray<readonly [number, string]>

/** A lookup of names by id that keeps the ids of its calls. Even ids are absent. `before` runs first. */
const names = <E = never, R = never>(
  before: (ids: ReadonlyArray<number>) => Effect.Effect<void, E, R> = () => Effect.void
) => {
  const calls: Array<ReadonlyArray<number>> = []
  const lookup = (ids: ReadonlyArray<number>): Effect.Effect<Pairs, E, R> =>
    Effect.suspend(() => {
      calls.push(ids)
      return Effect.as(
        before(ids),
        ids.filter((id) => id % 2 === 1).map((id) => [id, `name ${id}`] as const)
      )
    })
  return { calls, lookup }
}

/** Such a lookup that waits at a gate. */
const gated = () => {
  const door = gate()
  return { door, ...names(() => door.pass) }
}

const range = (from: number, size: number) => Array.from({ length: size }, (_, i) => from + i)

describe("one call", () => {
  it.effect("concurrent reads - are one call for the distinct ids that are missing", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, minute)
      yield* getName(1)
      const values = yield* Effect.forEach([1, 3, 5, 3, 4], getName, all)
      deepStrictEqual(values, [some(1), some(3), some(5), some(3), Option.none()])
      deepStrictEqual(calls, [[1], [3, 5, 4]])
    }).pipe(on)
  )

  it.effect("reads one after the other - are a call each", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, minute)
      yield* Effect.forEach([1, 3], getName)
      deepStrictEqual(calls, [[1], [3]])
    }).pipe(on)
  )

  it.effect("the same tick - fibers that are ready, and those that they fork, are in the batch", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, minute)
      const nested = Effect.forEach([[1], [3, 5], [7]], (ids) => Effect.forEach(ids, getName, all), all)
      yield* Effect.all([getName(9), nested, Effect.zipRight(Effect.yieldNow(), getName(11))], all)
      assert.lengthOf(calls, 1)
      assert.sameMembers([...calls[0]!], [1, 3, 5, 7, 9, 11])
    }).pipe(on)
  )

  it.effect("two functions - do not share a call", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const a = Cached.batched(lookup, { ...minute, key: "a:{}", name: "names" })
      const b = Cached.batched(lookup, { ...minute, key: "b:{}", name: "names" })
      yield* Effect.all([a(1), b(1), a(3)], all)
      assert.sameDeepMembers(calls, [[1, 3], [1]])
    }).pipe(on)
  )

  it("runSync - a lookup that does not wait needs no other scheduler", () => {
    const { calls, lookup } = names()
    const value = Effect.runSync(on(Cached.batched(lookup, minute).many([1, 2])))
    deepStrictEqual([value, calls], [[some(1), Option.none()], [[1, 2]]])
  })

  it.effect("Cached.bypass - concurrent reads are one call, and nothing is stored or read", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, minute)
      yield* getName(1)
      deepStrictEqual(yield* Cached.bypass(getName.many([1, 3, 3])), [some(1), some(3), some(3)])
      deepStrictEqual(calls, [[1], [1, 3]])
      deepStrictEqual(yield* getName.peek(3), Option.none())
    }).pipe(on)
  )

  it.effect("a ttl of zero - concurrent reads are one call, and nothing is stored", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, { ...minute, ttl: 0 })
      yield* getName.many([1, 3])
      yield* getName.many([1, 3])
      deepStrictEqual(calls, [
        [1, 3],
        [1, 3]
      ])
    }).pipe(on)
  )

  it.effect("Cached.reload - loads all keys in one call", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, minute)
      yield* getName.many([1, 3])
      yield* Cached.reload(getName.many([1, 3]))
      yield* Effect.all([getName.refresh(1), getName.refresh(3)], all)
      deepStrictEqual(calls, [
        [1, 3],
        [1, 3],
        [1, 3]
      ])
    }).pipe(on)
  )
})

describe("window", () => {
  it.effect("a duration - the batch waits for further keys, from the first one on, on the Clock", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, { ...minute, window: "5 millis" })
      const first = yield* Effect.fork(getName(1))
      yield* TestClock.adjust("4 millis")
      const second = yield* Effect.fork(getName(3))
      yield* settled
      deepStrictEqual(calls, [])
      yield* TestClock.adjust("1 millis")
      deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], [some(1), some(3)])
      deepStrictEqual(calls, [[1, 3]])
      const third = yield* Effect.fork(getName(5))
      yield* TestClock.adjust("5 millis")
      yield* Fiber.join(third)
      deepStrictEqual(calls, [[1, 3], [5]])
    }).pipe(on)
  )

  it.effect("maxBatchSize - 250 keys are calls of 100, 100 and 50, and a full batch does not wait", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, { ...minute, window: "5 millis" })
      const read = yield* Effect.fork(getName.many([...range(1, 250), ...range(1, 50)]))
      yield* settled
      deepStrictEqual(
        calls.map((ids) => ids.length),
        [100, 100]
      )
      yield* TestClock.adjust("5 millis")
      const values = yield* Fiber.join(read)
      deepStrictEqual(
        calls.map((ids) => ids.length),
        [100, 100, 50]
      )
      deepStrictEqual([values.length, values[248], values[249], values[250]], [300, some(249), Option.none(), some(1)])
    }).pipe(on)
  )

  it.effect("maxBatchSize - without a window, too", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, { ...minute, maxBatchSize: 2 })
      yield* getName.many([1, 3, 5, 7, 9])
      deepStrictEqual(calls, [[1, 3], [5, 7], [9]])
    }).pipe(on)
  )

  for (const [option, value] of [
    ["window", -1],
    ["window", Number.POSITIVE_INFINITY],
    ["maxBatchSize", 0],
    ["maxBatchSize", 1.5],
    ["absentTtl", "soon"],
    ["ttl", -1],
    ["stale", "soon"]
  ] as const) {
    it.effect(`${option}: ${value} - is the defect InvalidOption, which names the function`, () =>
      Effect.gen(function* () {
        const getName = Cached.batched(names().lookup, { ...minute, [option]: value })
        const defect = defectOf(yield* Effect.exit(getName(1)))
        assert.instanceOf(defect, InvalidOption)
        deepStrictEqual([defect.option, defect.of], [option, "name:{}"])
      }).pipe(on)
    )
  }
})

describe("results", () => {
  it.effect("a Map, a HashMap, a list of pairs - are matched by id", () =>
    Effect.gen(function* () {
      const pairs: Pairs = [
        [3, "c"],
        [1, "a"]
      ]
      for (const [name, result] of [
        ["map", new Map(pairs)],
        ["hash", HashMap.fromIterable(pairs)],
        ["list", pairs]
      ] as const) {
        const get = Cached.batched(
          (_: ReadonlyArray<number>) => Effect.succeed<Iterable<readonly [number, string]>>(result),
          { key: (id) => `${name}:${id}`, name, ttl: 1 }
        )
        deepStrictEqual(yield* get.many([1, 2, 3]), [Option.some("a"), Option.none(), Option.some("c")])
      }
    }).pipe(on)
  )

  it.effect("ids that are records - are matched by their key, not by reference", () =>
    Effect.gen(function* () {
      interface Id {
        readonly tenant: string
        readonly id: number
      }
      const get = Cached.batched(
        (ids: ReadonlyArray<Id>) =>
          Effect.succeed(new Map(ids.map(({ id, tenant }) => [{ id, tenant }, `${tenant} ${id}`]))),
        { key: "row:{tenant}:{id}", ttl: "1 minute" }
      )
      const ids = [
        { tenant: "a", id: 1 },
        { tenant: "b", id: 1 },
        { tenant: "a", id: 1 }
      ]
      deepStrictEqual(yield* get.many(ids), [Option.some("a 1"), Option.some("b 1"), Option.some("a 1")])
    }).pipe(on)
  )

  it.effect("ids that were not asked for - are ignored and not stored", () =>
    Effect.gen(function* () {
      const get = Cached.batched(
        (ids: ReadonlyArray<number>) =>
          Effect.succeed([...ids, 99, Number.NaN, null as never].map((id) => [id, `name ${id}`] as const)),
        minute
      )
      deepStrictEqual(yield* get(1), some(1))
      deepStrictEqual(yield* get.peek(99), Option.none())
    }).pipe(on)
  )

  it.effect("undefined - is a value, unlike an id without a pair", () =>
    Effect.gen(function* () {
      const get = Cached.batched((_: ReadonlyArray<number>) => Effect.succeed([[1, undefined]] as const), minute)
      deepStrictEqual(yield* get.many([1, 2]), [Option.some(undefined), Option.none()])
    }).pipe(on)
  )

  it.effect("ordered - a list of options in the order of the ids", () =>
    Effect.gen(function* () {
      const get = Cached.batched(
        (ids: ReadonlyArray<number>) => Effect.succeed(ids.map((id) => (id === 2 ? Option.none() : some(id)))),
        { ...minute, ordered: true }
      )
      deepStrictEqual(yield* get.many([3, 2, 1, 3]), [some(3), Option.none(), some(1), some(3)])
    }).pipe(on)
  )

  for (const [what, options, result] of [
    ["ordered, too few", { ordered: true }, [some(1)]],
    ["ordered, too many", { ordered: true }, [some(1), some(3), some(5)]],
    ["ordered, no options", { ordered: true }, ["a", "b"]],
    ["no pairs", {}, ["a", "b"]],
    ["no list", {}, 1]
  ] as const) {
    it.effect(`${what} - a defect of all that wait, and nothing is stored`, () =>
      Effect.gen(function* () {
        const get = Cached.batched((_: ReadonlyArray<number>) => Effect.succeed(result as unknown as Pairs), {
          ...minute,
          ...(options as { readonly ordered?: false })
        })
        const exits = yield* Effect.forEach([1, 3], (id) => Effect.exit(get(id)), all)
        const isExpected = what === "no list" ? TypeError : InvalidBatch
        for (const exit of exits) assert.instanceOf(defectOf(exit), isExpected)
        deepStrictEqual(yield* get.peek(1), Option.none())
      }).pipe(on)
    )
  }
})

describe("absent keys", () => {
  it.effect("without absentTtl - are none and not stored", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, { ...minute, ttl: () => "1 minute" })
      deepStrictEqual(yield* getName(2), Option.none())
      deepStrictEqual(yield* getName(2), Option.none())
      deepStrictEqual(calls, [[2], [2]])
    }).pipe(on)
  )

  it.effect("absentTtl - how long none is stored; ttl, stale and tags are of the present value", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const seen: Array<string> = []
      const getName = Cached.batched(lookup, {
        ...minute,
        ttl: (name) => {
          seen.push(name)
          return "1 minute"
        },
        tags: (name) => {
          seen.push(name)
          return ["names"]
        },
        stale: "1 hour",
        absentTtl: "10 seconds"
      })
      yield* getName.many([1, 2])
      deepStrictEqual(seen, ["name 1", "name 1"])
      yield* TestClock.adjust("9 seconds")
      yield* getName.many([1, 2])
      yield* Cached.invalidateTags(["names"])
      yield* getName.many([1, 2])
      deepStrictEqual(calls, [[1, 2], [1]])
      // none is not served stale
      yield* TestClock.adjust("1 seconds")
      yield* getName.many([1, 2])
      deepStrictEqual(calls, [[1, 2], [1], [2]])
    }).pipe(on)
  )

  it.effect("tags that are a list - apply to none, too", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, { ...minute, tags: ["names"], absentTtl: "1 minute" })
      yield* getName(2)
      yield* Cached.invalidateTags(["names"])
      yield* getName(2)
      deepStrictEqual(calls, [[2], [2]])
    }).pipe(on)
  )

  it.effect("a key that has become absent - is removed by the refresh that finds it", () =>
    Effect.gen(function* () {
      const rows = new Map([[1, "Ada"]])
      const getName = Cached.batched((_: ReadonlyArray<number>) => Effect.sync(() => new Map(rows)), {
        ...minute,
        stale: "1 hour"
      })
      yield* getName(1)
      rows.clear()
      yield* TestClock.adjust("1 minute")
      deepStrictEqual(yield* getName(1), Option.some("Ada"))
      yield* settled
      deepStrictEqual(yield* getName.peek(1), Option.none())
      deepStrictEqual(yield* getName(1), Option.none())
    }).pipe(on)
  )

  it.effect("set - takes an option", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, { ...minute, absentTtl: "1 minute" })
      yield* getName.set(1)(Option.none())
      yield* getName.set(2)(Option.some("two"))
      deepStrictEqual(yield* getName.many([1, 2]), [Option.none(), Option.some("two")])
      deepStrictEqual(yield* getName.peek(1), Option.some(Option.none()))
      const never = Cached.batched(lookup, { key: "never:{}", ttl: "1 minute" })
      yield* never.set(1)(Option.none())
      deepStrictEqual(yield* never(1), some(1))
      deepStrictEqual(calls, [[1]])
    }).pipe(on)
  )
})

describe("failures", () => {
  it.effect("a failing batch - fails its callers and nobody else, and nothing is stored", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names((ids) => (ids.includes(3) ? Effect.fail("refused" as const) : Effect.void))
      const getName = Cached.batched(lookup, { ...minute, maxBatchSize: 2 })
      const exits = yield* Effect.forEach([1, 3, 5, 7], (id) => Effect.exit(getName(id)), all)
      deepStrictEqual(exits, [
        Exit.fail("refused" as const),
        Exit.fail("refused" as const),
        Exit.succeed(some(5)),
        Exit.succeed(some(7))
      ])
      deepStrictEqual(yield* getName(1), some(1))
      deepStrictEqual(yield* getName(5), some(5))
      deepStrictEqual(calls, [[1, 3], [5, 7], [1]])
    }).pipe(on)
  )

  it.effect("many - fails with the cause of the batch, once", () =>
    Effect.gen(function* () {
      const refused = Cached.batched((_: ReadonlyArray<number>) => Effect.fail("refused" as const), minute)
      deepStrictEqual(yield* Effect.exit(refused.many([1, 2, 3])), Exit.fail("refused" as const))
      const boom = new Error("boom")
      const dies = Cached.batched(
        (_: ReadonlyArray<number>) => Effect.zipRight(Effect.yieldNow(), Effect.die(boom)),
        minute
      )
      deepStrictEqual(yield* Effect.exit(dies.many([1, 2, 3])), Exit.die(boom))
    }).pipe(on)
  )

  it.effect("a lookup that throws - is a defect of its callers", () =>
    Effect.gen(function* () {
      const boom = new Error("boom")
      const dies = Cached.batched((_: ReadonlyArray<number>): Effect.Effect<Pairs> => {
        throw boom
      }, minute)
      deepStrictEqual(yield* Effect.exit(dies(1)), Exit.die(boom))
    }).pipe(on)
  )

  it.effect("many - an id that cannot be part of a key is a defect", () =>
    Effect.gen(function* () {
      const getName = Cached.batched(names().lookup, minute)
      assert.instanceOf(defectOf(yield* Effect.exit(getName.many([1, Number.NaN]))), KeyError)
    }).pipe(on)
  )

  it.effect("law 13: re-entry is caught - a lookup that reads one of its ids, directly or through another load", () =>
    Effect.gen(function* () {
      for (const read of ["directly", "through", "refresh"] as const) {
        const inner = Cached.ttl((id: number): Effect.Effect<Option.Option<string>> => Effect.orDie(get(id)), {
          key: `${read}-inner:{}`,
          ttl: 1,
          name: "inner"
        })
        const get: Cached.BatchedFunction<number, string, never, never> = yield* Cached.capture(
          Cached.batched(
            (ids: ReadonlyArray<number>): Effect.Effect<Pairs> => {
              const last = ids.at(-1)!
              const again =
                read === "directly" ? get(last) : read === "refresh" ? get.refresh(last) : Effect.orDie(captured(last))
              return Effect.as(again, [])
            },
            { key: `${read}:{}`, ttl: 1, name: "outer" }
          )
        )
        const captured = yield* Cached.capture(inner)
        const exits = yield* Effect.forEach([1, 2, 3], (id) => Effect.exit(get(id)), all)
        for (const exit of exits) assert.instanceOf(defectOf(exit), ReentrantLoad, read)
        const { chain, of } = defectOf(exits[0]!) as ReentrantLoad
        const expected = read === "through" ? ["inner", "outer", "inner"] : ["outer", "outer"]
        deepStrictEqual([of, chain.at(0)], [expected, chain.at(-1)])
      }
    }).pipe(on)
  )
})

describe("interruption", () => {
  it.effect("a caller that leaves before the window closes - its key is not asked for, and nobody else is harmed", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, { ...minute, window: "5 millis" })
      const [first, second, third] = yield* Effect.forEach([1, 3, 3], (id) => Effect.fork(getName(id)))
      yield* settled
      yield* Fiber.interrupt(first!)
      yield* Fiber.interrupt(second!)
      yield* TestClock.adjust("5 millis")
      deepStrictEqual(yield* Fiber.join(third!), some(3))
      deepStrictEqual(calls, [[3]])
    }).pipe(on)
  )

  it.effect("all callers leave before the window closes - the lookup is not called, and the next read waits anew", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, { ...minute, window: "5 millis" })
      const fibers = yield* Effect.forEach([1, 3], (id) => Effect.fork(getName(id)))
      yield* settled
      yield* Fiber.interruptAll(fibers)
      yield* TestClock.adjust("1 minute")
      deepStrictEqual(calls, [])
      const next = yield* Effect.fork(getName(1))
      yield* TestClock.adjust("5 millis")
      deepStrictEqual([yield* Fiber.join(next), calls], [some(1), [[1]]])
    }).pipe(on)
  )

  it.effect("a running batch - goes on until all have left", () =>
    Effect.gen(function* () {
      let interrupted = 0
      const { calls, lookup } = names(() =>
        Effect.onInterrupt(Effect.never, () =>
          Effect.sync(() => {
            interrupted++
          })
        )
      )
      const getName = Cached.batched(lookup, minute)
      const fibers = yield* Effect.forEach([1, 3, 3], (id) => Effect.fork(getName(id)))
      yield* begun(calls)
      yield* Fiber.interruptAll(fibers.slice(0, 2))
      yield* settled
      assert.strictEqual(interrupted, 0)
      yield* Fiber.interrupt(fibers[2]!)
      // the interruption of the last one has waited for that of the lookup
      assert.strictEqual(interrupted, 1)
    }).pipe(on)
  )

  it.effect("many - an interrupted one leaves the others their batch", () =>
    Effect.gen(function* () {
      const { calls, door, lookup } = gated()
      const getName = Cached.batched(lookup, minute)
      const [first, second] = yield* Effect.forEach(
        [
          [1, 3],
          [3, 5]
        ],
        (ids) => Effect.fork(getName.many(ids))
      )
      yield* begun(calls)
      yield* Fiber.interrupt(first!)
      yield* door.open
      deepStrictEqual(yield* Fiber.join(second!), [some(3), some(5)])
      deepStrictEqual(calls, [[1, 3, 5]])
    }).pipe(on)
  )

  it.effect("a lookup that interrupts itself - is a defect of its callers", () =>
    Effect.gen(function* () {
      const getName = Cached.batched((_: ReadonlyArray<number>): Effect.Effect<Pairs> => Effect.interrupt, minute)
      const exits = yield* Effect.forEach([1, 3], (id) => Effect.exit(getName(id)), all)
      for (const exit of exits) assert.instanceOf(defectOf(exit), LoadInterrupted)
    }).pipe(on)
  )

  it.effect("law 11: the scope ends everything - closing the store ends open and running batches", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names(() => Effect.never)
      const running = Cached.batched(lookup, minute)
      const open = Cached.batched(lookup, { key: "open:{}", ttl: "1 minute", window: "1 hour" })
      const { close, provide } = yield* openStore(MemoryCache.layer())
      const fibers = yield* Effect.forEach([running(1), open(1)], (read) => Effect.fork(provide(read)))
      yield* begun(calls)
      yield* close
      for (const exit of yield* Effect.forEach(fibers, Fiber.await)) assert.isTrue(isInterrupted(exit))
      yield* TestClock.adjust("1 hour")
      assert.lengthOf(calls, 1)
    })
  )
})

describe("one load per key", () => {
  it.effect("single reads and batches - join the loads of each other", () =>
    Effect.gen(function* () {
      const { calls, door, lookup } = gated()
      const getName = Cached.batched(lookup, minute)
      const first = yield* Effect.fork(getName(1))
      yield* begun(calls)
      const second = yield* Effect.fork(getName.many([1, 3]))
      yield* begun(calls, 2)
      const third = yield* Effect.fork(getName(3))
      yield* settled
      yield* door.open
      deepStrictEqual(
        [yield* Fiber.join(first), yield* Fiber.join(second), yield* Fiber.join(third)],
        [some(1), [some(1), some(3)], some(3)]
      )
      deepStrictEqual(calls, [[1], [3]])
    }).pipe(on)
  )

  it.effect("swr - refreshes are batched, with the loads of the same turn", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, { ...minute, stale: "1 hour" })
      yield* getName.many([1, 3, 5])
      yield* TestClock.adjust("1 minute")
      deepStrictEqual(yield* getName.many([1, 3]), [some(1), some(3)])
      yield* Effect.all([getName(5), getName(7)], all)
      yield* settled
      deepStrictEqual(calls[0], [1, 3, 5])
      assert.sameMembers([...calls[1]!], [1, 3, 5, 7])
      yield* getName.many([1, 3, 5])
      yield* settled
      assert.lengthOf(calls, 2)
    }).pipe(on)
  )

  it.effect("law 8: invalidation wins - of a running batch, only what was invalidated is not stored", () =>
    Effect.gen(function* () {
      const { calls, door, lookup } = gated()
      const getName = Cached.batched(lookup, minute)
      const read = yield* Effect.fork(getName.many([1, 3]))
      yield* begun(calls)
      yield* getName.invalidate(1)
      yield* door.open
      deepStrictEqual(yield* Fiber.join(read), [some(1), some(3)])
      deepStrictEqual([yield* getName.peek(1), yield* getName.peek(3)], [Option.none(), Option.some(some(3))])
    }).pipe(on)
  )

  it.effect("one stamp - a load begins with its batch: what was cleared before does not concern it", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, { ...minute, window: "5 millis", tags: (name) => [name] })
      const first = yield* Effect.fork(getName(1))
      yield* settled
      yield* Cached.invalidateTags(["name 1"])
      yield* getName.clear
      yield* TestClock.adjust("4 millis")
      const second = yield* Effect.fork(getName(3))
      yield* TestClock.adjust("1 millis")
      yield* Effect.all([Fiber.join(first), Fiber.join(second)])
      deepStrictEqual(calls, [[1, 3]])
      yield* getName.many([1, 3])
      assert.lengthOf(calls, 1)
    }).pipe(on)
  )

  it.effect("one stamp - a reader that came after an invalidation, and before the call, reads once", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, { ...minute, window: "5 millis", tags: (name) => [name] })
      const readers = yield* Effect.forEach([1, 2, 3], () =>
        Effect.zipLeft(Effect.fork(getName(2)), Effect.zipRight(settled, Cached.invalidateTags(["name 1"])))
      )
      yield* TestClock.adjust("5 millis")
      yield* settled
      yield* TestClock.adjust("5 millis")
      deepStrictEqual(calls, [[2]])
      deepStrictEqual(yield* Effect.forEach(readers, Fiber.join), [Option.none(), Option.none(), Option.none()])
    }).pipe(on)
  )
})

describe("limits", () => {
  it.effect("maxFlights - a batch counts as one load", () =>
    Effect.gen(function* () {
      const warnings = recordWarnings()
      const { calls, door, lookup } = gated()
      const getName = Cached.batched(lookup, minute)
      const other = Cached.ttl((id: number) => Effect.succeed(id), { key: "other:{}", ttl: "1 minute" })
      const test = Effect.gen(function* () {
        const read = yield* Effect.fork(getName.many(range(1, 100)))
        yield* begun(calls)
        deepStrictEqual(warnings.lines, [])
        assert.strictEqual((yield* stats).loads, 100)
        // the batch runs, so a further load is one too many
        yield* other(1)
        assert.match(warnings.lines.join(), /1 loads at once/)
        yield* door.open
        yield* Fiber.join(read)
        deepStrictEqual(yield* getName.peek(1), Option.some(some(1)))
        yield* other(2)
        deepStrictEqual([yield* other.peek(1), yield* other.peek(2)], [Option.none(), Option.some(2)])
      })
      yield* Effect.provide(test, Layer.provide(MemoryCache.layer({ maxFlights: 1 }), warnings.layer))
    })
  )

  it.effect("maxFlights - loads of Cached.reload, which begin a turn later, count as one, too", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, minute)
      yield* Cached.reload(getName.many([1, 3, 5]))
      deepStrictEqual(calls, [[1, 3, 5]])
      deepStrictEqual(yield* getName.peek(5), Option.some(some(5)))
    }).pipe(Effect.provide(MemoryCache.layer({ maxFlights: 1 })))
  )

  it.effect("maxRefreshes - a batch counts as one refresh", () =>
    Effect.gen(function* () {
      const warnings = recordWarnings()
      const { calls, door, lookup } = gated()
      const getName = Cached.batched(lookup, { ...minute, stale: "1 hour" })
      const other = Cached.swr(
        Effect.sync(() => calls.push([0])),
        { key: "other", ttl: "1 minute", stale: "1 hour" }
      )
      const test = Effect.gen(function* () {
        yield* door.open
        yield* getName.many([1, 3, 5])
        yield* other
        yield* TestClock.adjust("1 minute")
        calls.length = 0
        yield* getName.many([1, 3, 5])
        deepStrictEqual(warnings.lines, [])
        yield* other
        assert.match(warnings.lines.join(), /1 refreshes at once/)
        yield* settled
        deepStrictEqual(calls, [[1, 3, 5]])
        yield* other
        yield* settled
        deepStrictEqual(calls, [[1, 3, 5], [0]])
      })
      yield* Effect.provide(test, Layer.provide(MemoryCache.layer({ maxRefreshes: 1 }), warnings.layer))
    })
  )
})

describe("environment", () => {
  class Db extends Context.Tag("Db")<Db, string>() {}

  const tenant = FiberRef.unsafeMake("none")

  /** A lookup that returns the service and the FiberRef that it sees. */
  const seeing = () => {
    const calls: Array<ReadonlyArray<number>> = []
    const lookup = (ids: ReadonlyArray<number>) =>
      Effect.gen(function* () {
        calls.push(ids)
        const seen = `${yield* Db} ${yield* FiberRef.get(tenant)}`
        return ids.map((id) => [id, seen] as const)
      })
    return { calls, get: Cached.batched(lookup, { key: "seen:{}", ttl: "1 minute" }) }
  }

  it.effect("reads with other services or FiberRefs - do not share a call, and each lookup sees its own", () =>
    Effect.gen(function* () {
      const { calls, get } = seeing()
      const reads = [
        Effect.provideService(get(1), Db, "a"),
        Effect.provideService(get(2), Db, "b"),
        Effect.provideService(Effect.locally(get(3), tenant, "x"), Db, "a"),
        Effect.provideService(get(4), Db, "a")
      ]
      const values = yield* Effect.all(reads, all)
      deepStrictEqual(values, ["a none", "b none", "a x", "a none"].map(Option.some))
      assert.sameDeepMembers(calls, [[1, 4], [2], [3]])
    }).pipe(on)
  )

  it.effect("reads with other spans, scopes, log annotations - share a call", () =>
    Effect.gen(function* () {
      const { calls, get } = seeing()
      yield* Effect.forEach(
        [1, 2, 3],
        (id) =>
          get(id).pipe(
            Effect.withSpan(`read ${id}`),
            Effect.annotateLogs("id", id),
            Effect.withLogSpan(`${id}`),
            Effect.scoped
          ),
        all
      )
      deepStrictEqual(calls, [[1, 2, 3]])
    }).pipe(Effect.provideService(Db, "a"), on)
  )

  it.effect("Cached.capture - one captured environment: reads with any services share a call", () =>
    Effect.gen(function* () {
      const { calls, get } = seeing()
      const captured = yield* Effect.provideService(Cached.capture(get), Db, "captured")
      const reads = [captured(1), Effect.provideService(captured(2), Db, "b"), Effect.locally(captured(3), tenant, "x")]
      deepStrictEqual(
        yield* Effect.all([...reads, Effect.map(captured.many([4]), ([value]) => value!)], all),
        Array.from({ length: 4 }, () => Option.some("captured none"))
      )
      deepStrictEqual(calls, [[1, 2, 3, 4]])
    }).pipe(on)
  )

  it.effect("many environments at once - are bounded, and every read is answered", () =>
    Effect.gen(function* () {
      const { calls, get } = seeing()
      const values = yield* Effect.forEach(range(1, 100), (id) => Effect.provideService(get(id), Db, `${id}`), all)
      deepStrictEqual(
        values,
        range(1, 100).map((id) => Option.some(`${id} none`))
      )
      assert.lengthOf(calls, 100)
    }).pipe(on)
  )

  it.effect("two stores - do not share a call", () =>
    Effect.gen(function* () {
      const { calls, lookup } = names()
      const getName = Cached.batched(lookup, minute)
      const stores = yield* Effect.forEach(["a", "b"], (name) => MemoryCache.make({ name }))
      yield* Effect.forEach(stores, (store) => Effect.provideService(getName(1), CacheStore, store), all)
      deepStrictEqual(calls, [[1], [1]])
    }).pipe(Effect.scoped)
  )

  it.effect("the Scope of a batch - is closed before its callers are answered", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const get = Cached.batched(
        (ids: ReadonlyArray<number>) =>
          Effect.as(
            Effect.addFinalizer(() => Effect.sync(() => log.push("closed"))),
            new Map(ids.map((id) => [id, id]))
          ),
        minute
      )
      yield* Effect.forEach([1, 2], (id) => Effect.map(get(id), () => log.push("answered")), all)
      deepStrictEqual(log, ["closed", "answered", "answered"])
    }).pipe(on)
  )

  it.effect("spans - the call is a child of the first load, linked to the others", () =>
    Effect.gen(function* () {
      const { spans, tracer } = recordingTracer()
      const getName = Cached.batched(
        (ids: ReadonlyArray<number>) => Effect.withSpan(names().lookup(ids), "query"),
        minute
      )
      yield* getName.many([1, 3]).pipe(Effect.withSpan("request"), Effect.withTracer(tracer))
      const [first, second] = spans.filter(({ name }) => name === "Cached.load")
      const [batch, ...others] = spans.filter(({ name }) => name === "Cached.batch")
      assert.lengthOf(others, 0)
      assert.strictEqual(batch!.parent, first!.span)
      deepStrictEqual(
        batch!.links.map(({ span }) => span),
        [second!.span]
      )
      deepStrictEqual(Object.fromEntries(batch!.attributes), { "cache.name": "name:{}", "cache.batch_size": 2 })
      assert.strictEqual(spans.find(({ name }) => name === "query")!.parent, batch!.span)
      deepStrictEqual([batch!.ends, Exit.isSuccess(batch!.exit!)], [1, true])
    }).pipe(on)
  )
})
