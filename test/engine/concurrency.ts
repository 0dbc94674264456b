/**
 * `concurrency`: how many outermost loads of a function run at once. The tests run on every kind of store, because a
 * load takes another way to its lookup in each.
 */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Cause, Effect, Exit, Fiber, Option, TestClock } from "effect"
import { Cached, CacheStore } from "effect-cached"
import {
  begun,
  eventually,
  gate,
  isInterrupted,
  makeLookup,
  numbered,
  type StoreUnderTest,
  settled,
  stats,
  testOn,
  waiting
} from "../laws/support.js"
import { recordingTracer } from "../support/tracer.js"

const range = (from: number, size: number) => Array.from({ length: size }, (_, i) => from + i)

/** A lookup with a gate for every id, which notes the order of its calls and how many run at once. */
const gatedById = () => {
  const doors = new Map<number, ReturnType<typeof gate>>()
  const door = (id: number) => {
    const found = doors.get(id) ?? gate()
    doors.set(id, found)
    return found
  }
  let running = 0
  let most = 0
  const { calls, lookup } = makeLookup((id: number) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        most = Math.max(most, ++running)
      }),
      () => Effect.as(door(id).pass, `value ${id}`),
      () =>
        Effect.sync(() => {
          running--
        })
    )
  )
  return { calls, lookup, door, most: () => most, ids: () => calls.map(([id]) => id) }
}

const two = { key: "k:{}", ttl: "1 minute", concurrency: 2 } as const
const one = { key: "k:{}", ttl: "1 minute", concurrency: 1 } as const

export const concurrency = (store: StoreUnderTest): void => {
  const test = testOn(store)

  describe(`concurrency - ${store.name}`, () => {
    test("loads - as many run at once, and more wait in the order in which they came", () =>
      Effect.gen(function* () {
        const { calls, door, ids, lookup, most } = gatedById()
        const find = Cached.ttl(lookup, two)
        const fibers: Array<Fiber.Fiber<string>> = []
        for (const id of range(1, 6)) {
          fibers.push(yield* Effect.fork(find(id)))
          yield* waiting(id)
        }
        yield* begun(calls, 2)
        yield* settled
        deepStrictEqual(ids(), [1, 2])
        assert.deepInclude(yield* stats, { misses: 6, loads: 2, inFlight: 6 })
        for (const [end, next] of [
          [2, 3],
          [1, 4],
          [3, 5],
          [5, 6]
        ] as const) {
          yield* door(end).open
          yield* eventually(() => ids().includes(next), `the load of ${next} began`)
          yield* settled
          assert.strictEqual(ids().at(-1), next)
        }
        for (const id of range(1, 6)) yield* door(id).open
        deepStrictEqual(
          yield* Effect.forEach(fibers, Fiber.join),
          range(1, 6).map((id) => `value ${id}`)
        )
        assert.strictEqual(most(), 2)
        assert.deepInclude(yield* stats, { loads: 6, inFlight: 0 })
      }))

    test("a queued load - is joined by further readers, and its value is stored", () =>
      Effect.gen(function* () {
        const { calls, door, ids, lookup } = gatedById()
        const find = Cached.ttl(lookup, one)
        const first = yield* Effect.fork(find(1))
        yield* begun(calls)
        const waiters = yield* Effect.forEach(range(0, 10), () => Effect.fork(find(2)))
        yield* waiting(11)
        yield* door(2).open
        yield* door(1).open
        deepStrictEqual(yield* Effect.forEach(waiters, Fiber.join), Array(10).fill("value 2"))
        yield* Fiber.join(first)
        deepStrictEqual(yield* find.peek(2), Option.some("value 2"))
        deepStrictEqual(ids(), [1, 2])
      }))

    test("hits - need no permit", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = gatedById()
        const find = Cached.ttl(lookup, one)
        yield* door(1).open
        yield* find(1)
        const busy = yield* Effect.fork(find(2))
        yield* begun(calls, 2)
        assert.strictEqual(yield* find(1), "value 1")
        yield* door(2).open
        yield* Fiber.join(busy)
      }))

    test("a failed, dead or interrupted load - gives its permit back", () =>
      Effect.gen(function* () {
        const { calls, lookup } = numbered((call, _: string): Effect.Effect<number, string> => {
          if (call === 1) return Effect.fail("no")
          return call === 2 ? Effect.dieMessage("no") : call === 3 ? Effect.never : Effect.succeed(call)
        })
        const find = Cached.ttl(lookup, one)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(find("a"))))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(find("b"))))
        const hanging = yield* Effect.fork(find("c"))
        yield* begun(calls, 3)
        const next = yield* Effect.fork(find("d"))
        yield* waiting(4)
        yield* Fiber.interrupt(hanging)
        assert.strictEqual(yield* Fiber.join(next), 4)
      }))

    test("a queued load without waiters - leaves the queue and never begins", () =>
      Effect.gen(function* () {
        const { calls, door, ids, lookup } = gatedById()
        const find = Cached.ttl(lookup, one)
        const first = yield* Effect.fork(find(1))
        yield* begun(calls)
        const second = yield* Effect.fork(find(2))
        yield* waiting(2)
        const third = yield* Effect.fork(find(3))
        yield* waiting(3)
        assert.isTrue(isInterrupted(yield* Fiber.interrupt(second)))
        assert.deepInclude(yield* stats, { inFlight: 2 })
        yield* door(3).open
        yield* door(1).open
        yield* Effect.all([Fiber.join(first), Fiber.join(third)])
        deepStrictEqual(ids(), [1, 3])
        assert.deepInclude(yield* stats, { loads: 2, inFlight: 0 })
      }))

    test("the first reader of a queued load - may leave: the load has its services all the same", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = gatedById()
        const find = Cached.ttl((id: number) => Effect.zipLeft(lookup(id), CacheStore), one)
        const first = yield* Effect.fork(find(1))
        yield* begun(calls)
        const leaving = yield* Effect.fork(find(2))
        yield* waiting(2)
        const staying = yield* Effect.fork(find(2))
        yield* waiting(3)
        yield* Fiber.interrupt(leaving)
        yield* door(2).open
        yield* door(1).open
        yield* Fiber.join(first)
        assert.strictEqual(yield* Fiber.join(staying), "value 2")
      }))

    test("recursion under `concurrency: 1` - loads within a load take no permit", () =>
      Effect.gen(function* () {
        const sum: (n: number) => Effect.Effect<number, never, CacheStore> = Cached.ttl(
          (n: number): Effect.Effect<number, never, CacheStore> =>
            n === 0 ? Effect.succeed(0) : Effect.map(sum(n - 1), (before) => before + n),
          { ...one, key: "sum:{}" }
        )
        assert.strictEqual(yield* sum(10), 55)
      }))

    test("two functions that read each other - do not wait for each other's permits", () =>
      Effect.gen(function* () {
        type Count = (n: number) => Effect.Effect<number, never, CacheStore>
        const even: Count = Cached.ttl(
          (n: number): Effect.Effect<number, never, CacheStore> => (n === 0 ? Effect.succeed(0) : odd(n - 1)),
          { ...one, key: "even:{}" }
        )
        const odd: Count = Cached.ttl((n: number) => Effect.map(even(n - 1), (count) => count + 1), {
          ...one,
          key: "odd:{}"
        })
        deepStrictEqual(yield* Effect.all([even(8), odd(9)], { concurrency: "unbounded" }), [4, 5])
      }))

    test("a nested read of a queued key - starts its load at once", () =>
      Effect.gen(function* () {
        const { calls, door, ids, lookup } = gatedById()
        const find: (id: number) => Effect.Effect<string, never, CacheStore> = Cached.ttl(
          (id: number): Effect.Effect<string, never, CacheStore> =>
            id === 1 ? Effect.zipRight(lookup(1), find(2)) : lookup(id),
          one
        )
        const outer = yield* Effect.fork(find(1))
        yield* begun(calls)
        const queued = yield* Effect.fork(find(2))
        yield* waiting(2)
        yield* settled
        deepStrictEqual(ids(), [1])
        yield* door(2).open
        yield* door(1).open
        deepStrictEqual(yield* Fiber.join(outer), "value 2")
        deepStrictEqual(yield* Fiber.join(queued), "value 2")
        deepStrictEqual(ids(), [1, 2])
        // the permit of the outer load is back
        yield* door(3).open
        assert.strictEqual(yield* find(3), "value 3")
      }))

    test("a nested reload of a queued key - starts at once, too", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = gatedById()
        const find: Cached.CachedFunction<[number], string, never, CacheStore> = Cached.ttl(
          (id: number): Effect.Effect<string, never, CacheStore> =>
            id === 1 ? Effect.zipRight(lookup(1), find.refresh(2)) : lookup(id),
          one
        )
        const outer = yield* Effect.fork(find(1))
        yield* begun(calls)
        const queued = yield* Effect.fork(find.refresh(2))
        yield* waiting(2)
        yield* door(2).open
        yield* door(1).open
        deepStrictEqual(yield* Effect.all([Fiber.join(outer), Fiber.join(queued)]), ["value 2", "value 2"])
      }))

    test("the lookup, its span and its `flightTimeout` - begin when the permit is had", () =>
      Effect.gen(function* () {
        const { spans, tracer } = recordingTracer()
        const { calls, door, lookup } = gatedById()
        const find = Cached.ttl(lookup, { ...one, flightTimeout: "10 seconds" })
        const read = (id: number) => Effect.withTracer(Effect.withSpan(find(id), `read ${id}`), tracer)
        const names = () => spans.filter(({ name }) => name === "Cached.load").length
        const first = yield* Effect.fork(read(1))
        yield* begun(calls)
        const second = yield* Effect.fork(read(2))
        yield* waiting(2)
        assert.strictEqual(names(), 1)
        yield* TestClock.adjust("9 seconds")
        yield* door(1).open
        yield* Fiber.join(first)
        yield* begun(calls, 2)
        assert.strictEqual(names(), 2)
        const load = spans.filter(({ name }) => name === "Cached.load")[1]!
        assert.strictEqual((load.parent as { readonly name?: string } | undefined)?.name, "read 2")
        assert.strictEqual((load.span.status as { readonly startTime: bigint }).startTime, 9_000_000_000n)
        // 18 seconds after its reader has come, and 9 after it has begun
        yield* TestClock.adjust("9 seconds")
        const joining = yield* Effect.fork(read(2))
        yield* waiting(3)
        yield* door(2).open
        deepStrictEqual(yield* Effect.all([Fiber.join(second), Fiber.join(joining)]), ["value 2", "value 2"])
        assert.lengthOf(calls, 2)
        deepStrictEqual(yield* find.peek(2), Option.some("value 2"))
      }))

    test("a load - sees its own span, also when it has waited", () =>
      Effect.gen(function* () {
        const { spans, tracer } = recordingTracer()
        const door = gate()
        const { calls, lookup } = makeLookup((id: number) =>
          Effect.withSpan(id === 1 ? door.pass : Effect.void, `lookup ${id}`)
        )
        const find = Cached.ttl(lookup, one)
        const first = yield* Effect.fork(Effect.withTracer(find(1), tracer))
        yield* begun(calls)
        const second = yield* Effect.fork(Effect.withTracer(find(2), tracer))
        yield* waiting(2)
        yield* door.open
        yield* Effect.all([Fiber.join(first), Fiber.join(second)])
        const loads = spans.filter(({ name }) => name === "Cached.load").map(({ span }) => span.spanId)
        const parents = spans.filter(({ name }) => name.startsWith("lookup")).map(({ parent }) => parent?.spanId)
        deepStrictEqual(parents, loads)
        assert.isTrue(spans.every(({ ends }) => ends === 1))
      }))

    test("law 8: invalidation wins - what is invalidated while a load waits is older than the load", () =>
      Effect.gen(function* () {
        const { calls, door, ids, lookup } = gatedById()
        const find = Cached.ttl(lookup, { ...one, tags: ["all"] })
        const first = yield* Effect.fork(find(1))
        yield* begun(calls)
        const queued = [yield* Effect.fork(find(2))]
        yield* waiting(2)
        for (const [i, invalidate] of [find.invalidate(2), find.clear, Cached.invalidateTags(["all"])].entries()) {
          yield* invalidate
          queued.push(yield* Effect.fork(find(2)))
          yield* waiting(3 + i)
        }
        yield* door(2).open
        yield* door(1).open
        yield* Effect.forEach([first, ...queued], Fiber.join)
        deepStrictEqual(ids(), [1, 2])
        deepStrictEqual(yield* find.peek(2), Option.some("value 2"))
        // the load that ran meanwhile is older
        deepStrictEqual(yield* find.peek(1), Option.none())
      }))

    test("law 8: invalidation wins - a value that is set while a load waits is not replaced", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = gatedById()
        const find = Cached.ttl(lookup, one)
        const first = yield* Effect.fork(find(1))
        yield* begun(calls)
        const queued = yield* Effect.fork(find(2))
        yield* waiting(2)
        yield* find.set(2)("set")
        yield* door(2).open
        yield* door(1).open
        deepStrictEqual(yield* Effect.all([Fiber.join(first), Fiber.join(queued)]), ["value 1", "value 2"])
        assert.strictEqual(yield* find(2), "set")
      }))

    test("a refresh - waits for a permit, too, and its `flightTimeout` counts from then", () =>
      Effect.gen(function* () {
        const doors = [gate(), gate()]
        const { calls, lookup } = numbered((call, _: string) =>
          Effect.as(call === 1 ? Effect.void : doors[call - 2]!.pass, call)
        )
        const find = Cached.swr(lookup, {
          ...one,
          ttl: "10 seconds",
          stale: "10 minutes",
          flightTimeout: "30 seconds"
        })
        yield* find("a")
        const busy = yield* Effect.fork(find("b"))
        yield* begun(calls, 2)
        yield* TestClock.adjust("11 seconds")
        assert.strictEqual(yield* find("a"), 1)
        yield* settled
        assert.lengthOf(calls, 2)
        yield* TestClock.adjust("40 seconds")
        yield* doors[0]!.open
        yield* Fiber.join(busy)
        yield* begun(calls, 3)
        yield* TestClock.adjust("25 seconds")
        yield* doors[1]!.open
        yield* eventually(
          Effect.map(stats, ({ refreshes, inFlight }) => refreshes === 1 && inFlight === 0),
          "the refresh ended"
        )
        assert.strictEqual(yield* find("a"), 3)
        assert.deepInclude(yield* stats, { refreshFailures: 0 })
      }))

    test("a queued refresh - that takes longer than its `flightTimeout` once it runs is interrupted", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = numbered((call, _: string) =>
          Effect.as(call === 1 ? Effect.void : call === 2 ? door.pass : Effect.never, call)
        )
        const find = Cached.swr(lookup, { ...one, ttl: "10 seconds", stale: "10 minutes", flightTimeout: "30 seconds" })
        yield* find("a")
        const busy = yield* Effect.fork(find("b"))
        yield* begun(calls, 2)
        yield* TestClock.adjust("11 seconds")
        yield* find("a")
        yield* TestClock.adjust("40 seconds")
        yield* door.open
        yield* Fiber.join(busy)
        yield* begun(calls, 3)
        yield* TestClock.adjust("29 seconds")
        assert.deepInclude(yield* stats, { refreshFailures: 0 })
        yield* TestClock.adjust("1 second")
        yield* eventually(
          Effect.map(stats, ({ refreshFailures, inFlight }) => refreshFailures === 1 && inFlight === 0),
          "the refresh was interrupted"
        )
      }))

    test("one batch is one load - and accepts further keys while it waits", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = makeLookup((ids: ReadonlyArray<number>) =>
          Effect.as(ids.includes(1) ? door.pass : Effect.void, new Map(ids.map((id) => [id, id] as const)))
        )
        const find = Cached.batched(lookup, one)
        const first = yield* Effect.fork(find.many([1, 2, 3]))
        yield* begun(calls)
        const second = yield* Effect.fork(find.many([4, 5]))
        yield* waiting(5)
        yield* settled
        const third = yield* Effect.fork(find(6))
        yield* waiting(6)
        yield* settled
        assert.lengthOf(calls, 1)
        yield* door.open
        yield* Effect.all([Fiber.join(first), Fiber.join(second), Fiber.join(third)])
        deepStrictEqual(
          calls.map(([ids]) => ids),
          [
            [1, 2, 3],
            [4, 5, 6]
          ]
        )
      }))

    test("a full batch - waits for its permit, and the next one opens", () =>
      Effect.gen(function* () {
        const door = gate()
        let running = 0
        const { calls, lookup } = makeLookup((ids: ReadonlyArray<number>) =>
          Effect.suspend(() => {
            assert.strictEqual(++running, 1)
            return Effect.ensuring(
              Effect.as(ids.includes(1) ? door.pass : Effect.yieldNow(), new Map(ids.map((id) => [id, id] as const))),
              Effect.sync(() => running--)
            )
          })
        )
        const find = Cached.batched(lookup, { ...one, maxBatchSize: 2 })
        const all = yield* Effect.fork(find.many(range(1, 7)))
        yield* begun(calls)
        yield* settled
        assert.lengthOf(calls, 1)
        yield* door.open
        assert.lengthOf(yield* Fiber.join(all), 7)
        deepStrictEqual(
          calls.map(([ids]) => ids.length),
          [2, 2, 2, 1]
        )
      }))

    test("a batch that all readers have left while it waited - is never called", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = makeLookup((ids: ReadonlyArray<number>) =>
          Effect.as(ids.includes(1) ? door.pass : Effect.void, new Map(ids.map((id) => [id, id] as const)))
        )
        const find = Cached.batched(lookup, one)
        const first = yield* Effect.fork(find(1))
        yield* begun(calls)
        const second = yield* Effect.fork(find(2))
        yield* waiting(2)
        yield* settled
        yield* Fiber.interrupt(second)
        yield* door.open
        yield* Fiber.join(first)
        deepStrictEqual(yield* find(3), Option.some(3))
        deepStrictEqual(
          calls.map(([ids]) => ids),
          [[1], [3]]
        )
      }))

    test("a batch that a load waits for - takes no permit, whoever opened it", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = makeLookup((ids: ReadonlyArray<number>) =>
          Effect.succeed(new Map(ids.map((id) => [id, id] as const)))
        )
        const find: Cached.BatchedFunction<number, number, never, CacheStore> = Cached.batched(
          (ids: ReadonlyArray<number>): Effect.Effect<ReadonlyMap<number, number>, never, CacheStore> =>
            ids.includes(1)
              ? lookup(ids).pipe(Effect.zipLeft(door.pass), Effect.zipLeft(find(2)), Effect.zipLeft(find(3)))
              : lookup(ids),
          one
        )
        const outer = yield* Effect.fork(find(1))
        yield* door.reached
        const queued = yield* Effect.fork(find(2))
        yield* waiting(2)
        yield* settled
        assert.lengthOf(calls, 1)
        yield* door.open
        yield* Effect.all([Fiber.join(outer), Fiber.join(queued)])
        deepStrictEqual(
          calls.map(([ids]) => ids),
          [[1], [2], [3]]
        )
      }))

    test("a policy that is applied at every call - has one limit for all of them", () =>
      Effect.gen(function* () {
        const { calls, door, lookup, most } = gatedById()
        const find = (id: number) => lookup(id).pipe(Cached.ttl({ ...one, key: `k:${id}`, name: "inline" }))
        const fibers = yield* Effect.forEach(range(1, 4), (id) => Effect.fork(find(id)))
        yield* waiting(4)
        yield* begun(calls)
        yield* settled
        assert.lengthOf(calls, 1)
        for (const id of range(1, 4)) yield* door(id).open
        yield* Effect.forEach(fibers, Fiber.join)
        assert.strictEqual(most(), 1)
      }))

    test("functions - have limits of their own", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = gatedById()
        const a = Cached.ttl(lookup, { ...one, key: "a:{}" })
        const b = Cached.ttl(lookup, { ...one, key: "b:{}" })
        const fibers = [yield* Effect.fork(a(1)), yield* Effect.fork(b(2))]
        yield* begun(calls, 2)
        yield* door(1).open
        yield* door(2).open
        yield* Effect.forEach(fibers, Fiber.join)
      }))

    test("law 11: the scope ends everything - a load that waits for a permit ends, too, and never begins", () =>
      Effect.gen(function* () {
        const { calls, lookup } = gatedById()
        const find = Cached.ttl(lookup, one)
        const fibers = yield* Effect.provide(
          Effect.gen(function* () {
            const fibers = [yield* Effect.forkDaemon(find(1))]
            yield* begun(calls)
            fibers.push(yield* Effect.forkDaemon(find(2)), yield* Effect.forkDaemon(find(2)))
            yield* waiting(3)
            return fibers
          }),
          store.layer
        )
        for (const fiber of fibers) {
          const exit = yield* Fiber.await(fiber)
          assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
        }
        assert.lengthOf(calls, 1)
      }))

    test("many loads - all run, however short they are", () =>
      Effect.gen(function* () {
        const { calls, lookup } = makeLookup((id: number) => Effect.succeed(id))
        const find = Cached.ttl(lookup, two)
        const values = yield* Effect.forEach(range(0, 1_000), find, { concurrency: "unbounded" })
        deepStrictEqual(values, range(0, 1_000))
        assert.lengthOf(calls, 1_000)
        assert.deepInclude(yield* stats, { inFlight: 0 })
      }))
  })
}
