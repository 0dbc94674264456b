/**
 * `timeout`: how long a read waits, and what becomes of the load then. The tests run on every kind of store, because a
 * read takes another way to its load in each.
 */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Cause, Chunk, Context, Deferred, Duration, Effect, Exit, Fiber, FiberRef, Option, TestClock } from "effect"
import { Cached, CacheStore, LoadTimeout, ReentrantLoad } from "effect-cached"
import {
  becomes,
  begun,
  defectOf,
  eventually,
  gate,
  herd,
  isDone,
  isInterrupted,
  makeLookup,
  numbered,
  openStore,
  type StoreUnderTest,
  settled,
  stats,
  testOn,
  thenDoes,
  waiting
} from "../laws/support.js"
import { recordingTracer } from "../support/tracer.js"

const life = { ttl: "10 seconds", staleIfError: "100 seconds", retryAfter: "2 seconds" } as const
const soft = { key: "k", ...life, timeout: { soft: 100 } } as const
const hard = { key: "k", ttl: "10 seconds", timeout: { hard: 1_000 } } as const

/** A lookup whose calls, the first one aside, wait at `door` and then end with `end`. */
const slow = (end: (call: number) => Effect.Effect<number, "down"> = Effect.succeed) => {
  const door = gate()
  const interrupted: Array<number> = []
  const counted = thenDoes((call) =>
    Effect.zipRight(door.pass, end(call)).pipe(Effect.onInterrupt(() => Effect.sync(() => interrupted.push(call))))
  )
  return { ...counted, door, interrupted }
}

/** The failures that `onError` gets. */
const recorder = () => {
  const seen: Array<Cause.Cause<unknown>> = []
  return { seen, onError: (cause: Cause.Cause<unknown>) => Effect.sync(() => seen.push(cause)) }
}

/** A function that has loaded a value, which is past its end. */
const withOldValue = <A, E, R>(cached: Effect.Effect<A, E, R>) =>
  Effect.zipRight(cached, TestClock.adjust("10 seconds"))

const timesOut = (exit: Exit.Exit<unknown, unknown>) => {
  assert.isTrue(exit._tag === "Failure" && exit.cause._tag === "Fail" && exit.cause.error instanceof LoadTimeout)
}

/** The problems of the store. */
const problems = Effect.map(
  Effect.flatMap(CacheStore, (store) => store.health),
  ({ problems }) => problems.map(({ name }) => name)
)

export const timeouts = (store: StoreUnderTest): void => {
  const test = testOn(store)

  describe(`timeout.soft - ${store.name}`, () => {
    test("a read that waits for longer - gets the old value, and the load goes on and is stored", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = slow()
        const cached = Cached.ttl(lookup(), soft)
        yield* withOldValue(cached)
        const reader = yield* Effect.fork(cached)
        yield* begun(calls, 2)
        yield* TestClock.adjust(99)
        yield* settled
        assert.isFalse(isDone(reader))
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* Fiber.join(reader), 1)
        yield* door.open
        yield* becomes(cached.peek, Option.some(2))
        assert.strictEqual(yield* cached, 2)
        assert.lengthOf(calls, 2)
        deepStrictEqual(yield* problems, [])
      }))

    test("a load that ends earlier - its value", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = slow()
        const cached = Cached.ttl(lookup(), soft)
        yield* withOldValue(cached)
        const reader = yield* Effect.fork(cached)
        yield* begun(calls, 2)
        yield* TestClock.adjust(99)
        yield* door.open
        assert.strictEqual(yield* Fiber.join(reader), 2)
        assert.strictEqual((yield* stats).inFlight, 0)
      }))

    test("a load that fails earlier - the old value at once", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = slow(() => Effect.fail("down"))
        const cached = Cached.ttl(lookup(), soft)
        yield* withOldValue(cached)
        const reader = yield* Effect.fork(cached)
        yield* begun(calls, 2)
        yield* door.open
        assert.strictEqual(yield* Fiber.join(reader), 1)
      }))

    test("without an old value - the read waits for its load", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = (() => {
          const door = gate()
          return { door, ...numbered((call) => Effect.as(door.pass, call)) }
        })()
        const cached = Cached.ttl(lookup(), soft)
        const reader = yield* Effect.fork(cached)
        yield* begun(calls)
        yield* TestClock.adjust("20 seconds")
        yield* settled
        assert.isFalse(isDone(reader))
        yield* door.open
        assert.strictEqual(yield* Fiber.join(reader), 1)
      }))

    test("stampede - 100 reads one millisecond apart, of a load of 300 ms: each has a value, and there is one load", () =>
      Effect.gen(function* () {
        const { calls, lookup } = thenDoes((call) => Effect.delay(Effect.succeed(call), 300))
        const cached = Cached.ttl(lookup(), soft)
        yield* withOldValue(cached)
        const readers: Array<Fiber.RuntimeFiber<number>> = []
        for (let i = 0; i < 100; i++) {
          readers.push(yield* Effect.fork(cached))
          if (i === 0) yield* begun(calls, 2)
          yield* waiting(i + 2)
          yield* TestClock.adjust(1)
        }
        yield* TestClock.adjust(100)
        deepStrictEqual(new Set(yield* Effect.forEach(readers, Fiber.join)), new Set([1]))
        yield* TestClock.adjust(100)
        yield* becomes(cached, 2)
        assert.lengthOf(calls, 2)
      }))

    test("of zero - the old value at once, and a load behind it", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = slow()
        const cached = Cached.ttl(lookup(), { ...soft, timeout: { soft: 0 } })
        yield* withOldValue(cached)
        assert.strictEqual(yield* cached, 1)
        assert.strictEqual(yield* cached, 1)
        yield* door.open
        yield* becomes(cached, 2)
        assert.lengthOf(calls, 2)
      }))

    test("later readers - join the load that goes on, each with limits of its own", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = slow()
        const cached = Cached.ttl(lookup(), soft)
        yield* withOldValue(cached)
        const first = yield* Effect.fork(cached)
        yield* begun(calls, 2)
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* Fiber.join(first), 1)
        const second = yield* Effect.fork(cached)
        yield* waiting(3)
        yield* TestClock.adjust(99)
        yield* settled
        assert.isFalse(isDone(second))
        yield* door.open
        assert.strictEqual(yield* Fiber.join(second), 2)
        assert.lengthOf(calls, 2)
      }))

    test("a later reader that is interrupted - the load goes on all the same", () =>
      Effect.gen(function* () {
        const { calls, door, interrupted, lookup } = slow()
        const cached = Cached.ttl(lookup(), soft)
        yield* withOldValue(cached)
        const first = yield* Effect.fork(cached)
        yield* begun(calls, 2)
        yield* TestClock.adjust(100)
        yield* Fiber.join(first)
        const second = yield* Effect.fork(cached)
        yield* waiting(3)
        yield* Fiber.interrupt(second)
        yield* door.open
        yield* becomes(cached, 2)
        deepStrictEqual(interrupted, [])
      }))

    test("law 4: a load belongs to nobody - a reader that is interrupted earlier ends the load as ever", () =>
      Effect.gen(function* () {
        const { calls, interrupted, lookup } = slow()
        const cached = Cached.ttl(lookup(), soft)
        yield* withOldValue(cached)
        const reader = yield* Effect.fork(cached)
        yield* begun(calls, 2)
        yield* TestClock.adjust(50)
        yield* Fiber.interrupt(reader)
        deepStrictEqual(interrupted, [2])
        yield* TestClock.adjust(50)
        assert.strictEqual((yield* stats).inFlight, 0)
      }))

    test("Effect.timeout around a read - interrupts the load with its last reader", () =>
      Effect.gen(function* () {
        const { calls, interrupted, lookup } = slow()
        const cached = Cached.ttl(lookup(), soft)
        yield* withOldValue(cached)
        const reader = yield* Effect.fork(Effect.option(Effect.timeout(cached, 50)))
        yield* begun(calls, 2)
        yield* TestClock.adjust(50)
        deepStrictEqual(yield* Fiber.join(reader), Option.none())
        deepStrictEqual(interrupted, [2])
      }))

    test("a load that goes on and fails - is seen by onError, and its pause begins", () =>
      Effect.gen(function* () {
        const { onError, seen } = recorder()
        const { calls, door, lookup } = slow(() => Effect.fail("down"))
        const cached = Cached.ttl(lookup(), { ...soft, onError })
        yield* withOldValue(cached)
        const reader = yield* Effect.fork(cached)
        yield* begun(calls, 2)
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* Fiber.join(reader), 1)
        yield* door.open
        yield* eventually(() => seen.length === 1, "onError was called")
        deepStrictEqual(seen, [Cause.fail("down")])
        deepStrictEqual(yield* problems, ["RefreshesFail"])
        assert.strictEqual(yield* cached, 1)
        assert.lengthOf(calls, 2)
      }))

    test("flightTimeout - ends a load that has no reader, which is said once; the next read loads", () =>
      Effect.gen(function* () {
        const { onError, seen } = recorder()
        const { calls, interrupted, lookup } = slow()
        const cached = Cached.ttl(lookup(), { ...soft, flightTimeout: "1 second", retryAfter: 0, onError })
        yield* withOldValue(cached)
        const reader = yield* Effect.fork(cached)
        yield* begun(calls, 2)
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* Fiber.join(reader), 1)
        yield* TestClock.adjust(899)
        yield* settled
        deepStrictEqual(interrupted, [])
        yield* TestClock.adjust(1)
        yield* eventually(() => interrupted.length === 1, "the load was interrupted")
        yield* eventually(() => seen.length === 1, "onError was called")
        assert.instanceOf(Cause.squash(seen[0]!), Cause.TimeoutException)
        deepStrictEqual(yield* problems, ["LoadTooLong"])
        const next = yield* Effect.fork(cached)
        yield* begun(calls, 3)
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* Fiber.join(next), 1)
      }))

    test("flightTimeout - a load that has readers again goes on for them", () =>
      Effect.gen(function* () {
        const { calls, door, interrupted, lookup } = slow()
        const timed = Cached.ttl(lookup(), { ...soft, name: "f", flightTimeout: "1 second" })
        const patient = Cached.ttl(lookup(), { key: "k", ...life, name: "f", flightTimeout: "1 second" })
        yield* withOldValue(timed)
        const reader = yield* Effect.fork(timed)
        yield* begun(calls, 2)
        yield* TestClock.adjust(100)
        yield* Fiber.join(reader)
        const other = yield* Effect.fork(patient)
        yield* waiting(3)
        yield* TestClock.adjust("1 second")
        yield* settled
        deepStrictEqual(interrupted, [])
        yield* door.open
        assert.strictEqual(yield* Fiber.join(other), 2)
      }))

    for (const [what, invalidate] of [
      ["its key", (cached: Cached.CachedEffect<number, "down", CacheStore>) => cached.invalidate],
      ["its tag", () => Cached.invalidateTags(["t"])],
      ["everything", () => Effect.flatMap(CacheStore, (store) => store.clear)]
    ] as const) {
      test(`law 8: invalidation wins - over the old value, of ${what}, also while the load waits for a permit`, () =>
        Effect.gen(function* () {
          const { calls, door, lookup } = slow()
          const cached = Cached.ttl(lookup(), { ...soft, tags: ["t"] })
          const busy = gate()
          const options = { key: "q:{}", ...life, tags: ["t"], concurrency: 1, timeout: { soft: 100 } } as const
          const isBusy = numbered((call, id: number) => Effect.as(id === 0 ? busy.pass : Effect.void, call))
          const queued = Cached.ttl(isBusy.lookup, options)
          yield* queued(1)
          yield* withOldValue(cached)
          const first = yield* Effect.fork(queued(0))
          yield* begun(isBusy.calls, 2)
          const waits = yield* Effect.fork(queued(1))
          yield* waiting(4)
          const reader = yield* Effect.fork(cached)
          yield* begun(calls, 2)
          yield* invalidate(cached)
          yield* Effect.flatMap(CacheStore, (store) => store.remove(queued.key(1)))
          yield* TestClock.adjust(100)
          yield* settled
          assert.isFalse(isDone(reader))
          assert.isFalse(isDone(waits))
          yield* door.open
          yield* busy.open
          assert.strictEqual(yield* Fiber.join(reader), 2)
          assert.strictEqual(yield* Fiber.join(waits), 3)
          yield* Fiber.join(first)
        }))
    }

    test("law 8: invalidation wins - the value of a load that goes on is not stored", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = slow()
        const cached = Cached.ttl(lookup(), soft)
        yield* withOldValue(cached)
        const reader = yield* Effect.fork(cached)
        yield* begun(calls, 2)
        yield* TestClock.adjust(100)
        yield* Fiber.join(reader)
        yield* cached.invalidate
        yield* door.open
        assert.strictEqual(yield* cached, 3)
        yield* becomes(cached.peek, Option.some(3))
      }))

    test("tags of the value - a reader after an invalidated tag that may concern the load is answered", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = slow()
        const cached = Cached.ttl(lookup(), { ...soft, tags: (value) => [`t${value}`] })
        yield* withOldValue(cached)
        const first = yield* Effect.fork(cached)
        yield* begun(calls, 2)
        yield* Cached.invalidateTags(["other"])
        const others = yield* herd(cached, 3)
        yield* begun(calls, 3)
        yield* waiting(5)
        yield* TestClock.adjust(100)
        deepStrictEqual(yield* Effect.forEach([first, ...others], Fiber.join), [1, 1, 1, 1])
        yield* door.open
        yield* becomes(
          Effect.map(stats, ({ inFlight }) => inFlight),
          0
        )
      }))

    test("swr - a reader past the stale end joins the refresh, and gets the old value", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = slow()
        const cached = Cached.swr(lookup(), { ...soft, stale: "1 second" })
        yield* withOldValue(cached)
        assert.strictEqual(yield* cached, 1)
        yield* begun(calls, 2)
        yield* TestClock.adjust("1 second")
        const reader = yield* Effect.fork(cached)
        yield* waiting(2)
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* Fiber.join(reader), 1)
        yield* door.open
        yield* becomes(cached, 2)
        assert.lengthOf(calls, 2)
      }))

    test("concurrency - counts while the load waits for a permit; flightTimeout counts from its begin", () =>
      Effect.gen(function* () {
        const doors = [gate(), gate()]
        const { calls, lookup } = numbered((call, id: number) =>
          Effect.as(call > 2 ? doors[id]!.pass : Effect.void, call)
        )
        const find = Cached.ttl(lookup, {
          key: "k:{}",
          ...life,
          concurrency: 1,
          flightTimeout: "1 second",
          timeout: { soft: 100 }
        })
        yield* Effect.forEach([0, 1], find)
        yield* TestClock.adjust("10 seconds")
        const readers = [yield* Effect.fork(find(0))]
        yield* begun(calls, 3)
        readers.push(yield* Effect.fork(find(1)))
        yield* waiting(4)
        yield* TestClock.adjust(100)
        deepStrictEqual(yield* Effect.forEach(readers, Fiber.join), [1, 2])
        assert.lengthOf(calls, 3)
        yield* TestClock.adjust(800)
        yield* doors[0]!.open
        yield* begun(calls, 4)
        yield* TestClock.adjust(900)
        yield* doors[1]!.open
        yield* becomes(find(1), 4)
        assert.lengthOf(calls, 4)
      }))

    for (const batched of [false, true]) {
      const what = batched ? "a batch" : "a load"
      test(`concurrency - ${what} that goes on without readers has no timer before its permit, and one from then on`, () =>
        Effect.gen(function* () {
          const doors = [gate(), gate()]
          const { calls, lookup } = numbered((call, id: number) =>
            Effect.as(call > 2 ? doors[id]!.pass : Effect.void, call)
          )
          const options = {
            key: "k:{}",
            ...life,
            concurrency: 1,
            flightTimeout: "1 second",
            timeout: { soft: 100 }
          } as const
          const many = ([id]: ReadonlyArray<number>) => Effect.map(lookup(id!), (value) => [[id!, value] as const])
          const read: (id: number) => Effect.Effect<unknown, unknown, CacheStore> = batched
            ? Cached.batched(many, { ...options, maxBatchSize: 1 })
            : Cached.ttl(lookup, options)
          yield* Effect.forEach([0, 1], read)
          yield* TestClock.adjust("10 seconds")
          const readers = [yield* Effect.fork(read(0))]
          yield* begun(calls, 3)
          readers.push(yield* Effect.fork(read(1)))
          yield* waiting(4)
          yield* settled
          yield* TestClock.adjust(100)
          yield* Effect.forEach(readers, Fiber.join)
          assert.strictEqual(Chunk.size(yield* TestClock.sleeps()), 1)
          yield* TestClock.adjust(900)
          yield* begun(calls, 4)
          assert.strictEqual(Chunk.size(yield* TestClock.sleeps()), 1)
          yield* TestClock.adjust(999)
          assert.deepInclude(yield* stats, { loadFailures: 1, inFlight: 1 })
          yield* TestClock.adjust(1)
          yield* eventually(
            Effect.map(stats, ({ inFlight, loadFailures }) => inFlight === 0 && loadFailures === 2),
            "the second load ended"
          )
        }))
    }

    test("batched - counts while the batch waits, for each id; many has an answer for each", () =>
      Effect.gen(function* () {
        const { calls, lookup } = numbered((call, ids: ReadonlyArray<number>) => {
          const pairs = ids.map((id) => [id, id + 10 * call] as const)
          return Effect.delay(Effect.succeed(pairs), call > 1 ? 300 : 0)
        })
        const find = Cached.batched(lookup, { key: "k:{}", ...life, window: 200, timeout: { soft: 100 } })
        const first = yield* Effect.fork(find.many([1, 2]))
        yield* waiting(2)
        yield* settled
        yield* TestClock.adjust(200)
        yield* Fiber.join(first)
        yield* TestClock.adjust("10 seconds")
        const old = yield* Effect.fork(find.many([1, 2]))
        yield* waiting(4)
        yield* settled
        yield* TestClock.adjust(100)
        deepStrictEqual(yield* Fiber.join(old), [Option.some(11), Option.some(12)])
        assert.lengthOf(calls, 1)
        yield* TestClock.adjust(100)
        yield* begun(calls, 2)
        yield* TestClock.adjust(300)
        yield* becomes(find.many([1, 2]), [Option.some(21), Option.some(22)])
        deepStrictEqual(calls, [[[1, 2]], [[1, 2]]])
      }))

    test("Cached.capture - the load that goes on has the captured services", () =>
      Effect.gen(function* () {
        class Name extends Context.Tag("Name")<Name, string>() {}
        const door = gate()
        const { calls, lookup } = numbered((call) =>
          Effect.zipRight(
            call > 1 ? door.pass : Effect.void,
            Effect.map(Name, (name) => `${name} ${call}`)
          )
        )
        const cached = yield* Effect.provideService(Cached.capture(Cached.ttl(lookup(), soft)), Name, "captured")
        yield* withOldValue(cached)
        const reader = yield* Effect.fork(Effect.provideService(cached, Name, "reader"))
        yield* begun(calls, 2)
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* Fiber.join(reader), "captured 1")
        yield* door.open
        yield* becomes(cached, "captured 2")
      }))

    test("law 4: a load belongs to nobody - the load that goes on keeps services, FiberRefs and span of its reader", () =>
      Effect.gen(function* () {
        const { spans, tracer } = recordingTracer()
        const ref = FiberRef.unsafeMake("none")
        const door = gate()
        const { calls, lookup } = numbered((call) =>
          Effect.zipRight(
            call > 1 ? door.pass : Effect.void,
            Effect.map(FiberRef.get(ref), (of) => `${of} ${call}`)
          )
        )
        const cached = Cached.ttl(lookup(), soft)
        yield* withOldValue(cached)
        const reader = yield* cached.pipe(
          Effect.locally(ref, "reader"),
          Effect.withSpan("request"),
          Effect.withTracer(tracer),
          Effect.fork
        )
        yield* begun(calls, 2)
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* Fiber.join(reader), "none 1")
        const load = spans.find(({ name }) => name === "Cached.load")!
        assert.strictEqual(load.ends, 0)
        assert.strictEqual(load.parent, spans.find(({ name }) => name === "request")!.span)
        yield* door.open
        yield* becomes(cached, "reader 2")
        assert.strictEqual(load.ends, 1)
      }))

    test("law 13: re-entry is caught - at once, and not of a load that another one has left", () =>
      Effect.gen(function* () {
        const aDoor = gate()
        const bDoor = gate()
        const b: Cached.CachedEffect<number, never, CacheStore> = Cached.ttl(
          numbered((call) =>
            call === 1
              ? Effect.succeed(1)
              : Effect.zipRight(
                  bDoor.pass,
                  Effect.suspend(() => a)
                )
          ).lookup(),
          { ...soft, key: "b" }
        )
        let isAsked = false
        const a: Cached.CachedEffect<number, never, CacheStore> = Cached.ttl(
          Effect.suspend(() => {
            isAsked = true
            return Effect.zipLeft(b, aDoor.pass)
          }),
          { ...soft, key: "a" }
        )
        yield* withOldValue(b)
        const reader = yield* Effect.fork(a)
        yield* eventually(() => isAsked, "the load of a began")
        yield* eventually(() => bDoor.arrivals() === 1, "the load of b began")
        yield* TestClock.adjust(100)
        // a has the old value of b and goes on; b may wait for a now
        yield* eventually(() => aDoor.arrivals() === 1, "a goes on")
        yield* bDoor.open
        yield* settled
        assert.isFalse(isDone(reader))
        yield* aDoor.open
        assert.strictEqual(yield* Fiber.join(reader), 1)
        yield* becomes(b.peek, Option.some(1))

        const c: Cached.CachedEffect<number, LoadTimeout, CacheStore> = Cached.ttl(
          Effect.suspend(() => d),
          { ...hard, key: "c" }
        )
        const d: Cached.CachedEffect<number, LoadTimeout, CacheStore> = Cached.ttl(
          Effect.suspend(() => c),
          { ...hard, key: "d" }
        )
        assert.instanceOf(defectOf(yield* Effect.exit(c)), ReentrantLoad)
      }))

    test("law 13: re-entry is caught - a load that another one has left may reload that one", () =>
      Effect.gen(function* () {
        const aDoor = gate()
        const bDoor = gate()
        const a: Cached.CachedEffect<number, never, CacheStore> = Cached.ttl(
          numbered((call) => (call === 1 ? Effect.zipLeft(b, aDoor.pass) : Effect.succeed(7))).lookup(),
          { ...soft, key: "a" }
        )
        const b: Cached.CachedEffect<number, never, CacheStore> = Cached.ttl(
          numbered((call) => (call === 1 ? Effect.succeed(1) : Effect.zipRight(bDoor.pass, Cached.reload(a)))).lookup(),
          { ...soft, key: "b" }
        )
        yield* withOldValue(b)
        const reader = yield* Effect.fork(a)
        yield* eventually(() => bDoor.arrivals() === 1, "the load of b began")
        yield* TestClock.adjust(100)
        yield* eventually(() => aDoor.arrivals() === 1, "a goes on")
        yield* bDoor.open
        yield* becomes(b.peek, Option.some(7))
        yield* aDoor.open
        assert.strictEqual(yield* Fiber.join(reader), 1)
      }))

    test("law 11: the scope ends everything - readers and loads that go on are interrupted", () =>
      Effect.gen(function* () {
        const opened = yield* openStore(store.layer)
        const { calls, interrupted, lookup } = slow()
        const cached = Cached.ttl(lookup(), soft)
        yield* opened.provide(withOldValue(cached))
        const first = yield* Effect.fork(opened.provide(cached))
        yield* begun(calls, 2)
        yield* TestClock.adjust(100)
        yield* Fiber.join(first)
        const second = yield* Effect.fork(opened.provide(cached))
        yield* opened.provide(waiting(3))
        yield* opened.close
        deepStrictEqual(interrupted, [2])
        assert.isTrue(isInterrupted(yield* Fiber.await(second)))
        yield* TestClock.adjust("1 minute")
        assert.lengthOf(calls, 2)
      }))
  })

  describe(`timeout.hard - ${store.name}`, () => {
    test("without an old value - fails with LoadTimeout, and the load goes on and is stored", () =>
      Effect.gen(function* () {
        const { calls, lookup } = numbered((call) => Effect.delay(Effect.succeed(call), "10 seconds"))
        const cached = Cached.ttl(lookup(), hard)
        const reader = yield* Effect.fork(Effect.flip(cached))
        yield* begun(calls)
        yield* TestClock.adjust(999)
        yield* settled
        assert.isFalse(isDone(reader))
        yield* TestClock.adjust(1)
        const error = yield* Fiber.join(reader)
        assert.instanceOf(error, LoadTimeout)
        assert.deepInclude({ ...error }, { of: "k", limit: Duration.seconds(1) })
        assert.strictEqual(error.key, "k")
        yield* TestClock.adjust("9 seconds")
        yield* becomes(cached.peek, Option.some(1))
        assert.strictEqual(yield* cached, 1)
        assert.lengthOf(calls, 1)
        deepStrictEqual(yield* problems, [])
      }))

    test("with an old value - returns it, and soft does so earlier", () =>
      Effect.gen(function* () {
        const { calls, lookup } = slow()
        const both = Cached.ttl(lookup(), { ...soft, timeout: { soft: 100, hard: 1_000 } })
        const alone = Cached.ttl(lookup(), { ...soft, key: "alone", timeout: { hard: 1_000 } })
        yield* Effect.zipRight(both, alone.set(7))
        yield* TestClock.adjust("10 seconds")
        const readers = yield* Effect.forEach([both, alone], Effect.fork)
        yield* begun(calls, 3)
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* Fiber.join(readers[0]!), 1)
        yield* settled
        assert.isFalse(isDone(readers[1]!))
        yield* TestClock.adjust(900)
        assert.strictEqual(yield* Fiber.join(readers[1]!), 7)
      }))

    test("an old value that is invalidated before soft - LoadTimeout", () =>
      Effect.gen(function* () {
        const { calls, lookup } = slow()
        const cached = Cached.ttl(lookup(), { ...soft, timeout: { soft: 100, hard: 1_000 } })
        yield* withOldValue(cached)
        const reader = yield* Effect.fork(cached)
        yield* begun(calls, 2)
        yield* cached.invalidate
        yield* TestClock.adjust(1_000)
        timesOut(yield* Fiber.await(reader))
      }))

    test("a load that goes on and fails - is seen by onError, or is one Warning, unless a later reader sees it", () =>
      Effect.gen(function* () {
        const { onError, seen } = recorder()
        const door = gate()
        const { calls, lookup } = makeLookup((_: number) => Effect.zipRight(door.pass, Effect.fail("down" as const)))
        const find = Cached.ttl(lookup, { ...hard, key: "k:{}", onError })
        const silent = Cached.ttl(lookup, { ...hard, key: "silent:{}" })
        const readers = yield* Effect.forEach([find(1), find(2), silent(3)], Effect.fork)
        yield* begun(calls, 3)
        yield* TestClock.adjust("1 second")
        for (const reader of readers) timesOut(yield* Fiber.await(reader))
        const later = yield* Effect.fork(find(2))
        yield* waiting(4)
        yield* door.open
        deepStrictEqual(yield* Fiber.await(later), Exit.fail("down" as const))
        yield* eventually(() => seen.length > 0, "onError was called")
        yield* settled
        deepStrictEqual(seen, [Cause.fail("down")])
        const { problems } = yield* Effect.flatMap(CacheStore, (store) => store.health)
        const found = problems.find(({ name, subject }) => name === "RefreshesFail" && subject === "silent:{}")
        assert.include(found?.message, "a load of silent:{} that went on after its readers had timed out failed")
      }))

    test("then: interrupt - the last reader ends the load, and the next read loads", () =>
      Effect.gen(function* () {
        const { onError, seen } = recorder()
        const ended = gate()
        const { calls, lookup } = numbered((call) =>
          call === 1
            ? Effect.onInterrupt(Effect.never, () => Effect.zipRight(ended.pass, Effect.void))
            : Effect.succeed(call)
        )
        const cached = Cached.ttl(lookup(), { ...hard, timeout: { hard: 1_000, then: "interrupt" }, onError })
        const readers = yield* herd(cached, 2)
        yield* begun(calls)
        yield* waiting(2)
        yield* TestClock.adjust("1 second")
        // neither waits for the finalizers of the load
        for (const reader of readers) timesOut(yield* Fiber.await(reader))
        yield* ended.reached
        assert.strictEqual(yield* cached, 2)
        yield* ended.open
        yield* becomes(cached.peek, Option.some(2))
        deepStrictEqual(seen, [])
      }))

    test("then: interrupt - a load that somebody else waits for goes on", () =>
      Effect.gen(function* () {
        const { calls, door, interrupted, lookup } = slow()
        const impatient = Cached.ttl(lookup(), { ...soft, name: "f", timeout: { soft: 100, then: "interrupt" } })
        const patient = Cached.ttl(lookup(), { ...soft, name: "f", timeout: undefined })
        yield* withOldValue(impatient)
        const first = yield* Effect.fork(impatient)
        yield* begun(calls, 2)
        const other = yield* Effect.fork(patient)
        yield* waiting(3)
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* Fiber.join(first), 1)
        yield* door.open
        assert.strictEqual(yield* Fiber.join(other), 2)
        deepStrictEqual(interrupted, [])
      }))

    test("then: interrupt - with an old value the load counts as failed: it is reported, and its pause begins", () =>
      Effect.gen(function* () {
        const { onError, seen } = recorder()
        const { calls, interrupted, lookup } = slow()
        const cached = Cached.ttl(lookup(), { ...soft, timeout: { soft: 100, then: "interrupt" }, onError })
        yield* withOldValue(cached)
        const reader = yield* Effect.fork(cached)
        yield* begun(calls, 2)
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* Fiber.join(reader), 1)
        yield* eventually(() => interrupted.length === 1, "the load was interrupted")
        yield* eventually(() => seen.length === 1, "onError was called")
        deepStrictEqual(yield* problems, ["RefreshesFail"])
        assert.strictEqual(yield* cached, 1)
        assert.lengthOf(calls, 2)
        yield* TestClock.adjust("2 seconds")
        yield* Effect.fork(cached)
        yield* begun(calls, 3)
      }))

    test("reload - fails with LoadTimeout also with an old value, and the load goes on; refresh waits", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = slow()
        const cached = Cached.ttl(lookup(), { ...soft, timeout: { soft: 100, hard: 1_000 } })
        yield* withOldValue(cached)
        const reader = yield* Effect.fork(Cached.reload(cached))
        yield* begun(calls, 2)
        yield* TestClock.adjust(999)
        yield* settled
        assert.isFalse(isDone(reader))
        yield* TestClock.adjust(1)
        timesOut(yield* Fiber.await(reader))
        const refresh = yield* Effect.fork(cached.refresh)
        yield* begun(calls, 3)
        yield* TestClock.adjust("2 seconds")
        yield* settled
        assert.isFalse(isDone(refresh))
        yield* door.open
        assert.strictEqual(yield* Fiber.join(refresh), 3)
        yield* becomes(cached.peek, Option.some(3))
      }))

    test("reload - of which the load goes on: later readers join it, and its value is stored", () =>
      Effect.gen(function* () {
        const { calls, door, lookup } = slow()
        const cached = Cached.ttl(lookup(), { ...soft, timeout: { soft: 100, hard: 1_000 } })
        yield* withOldValue(cached)
        const reload = yield* Effect.fork(Cached.reload(cached))
        yield* begun(calls, 2)
        yield* TestClock.adjust("1 second")
        timesOut(yield* Fiber.await(reload))
        const reader = yield* Effect.fork(cached)
        yield* waiting(3)
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* Fiber.join(reader), 1)
        yield* door.open
        yield* becomes(cached, 2)
        assert.lengthOf(calls, 2)
      }))

    test("bypass and a ttl of zero - the lookup is interrupted", () =>
      Effect.gen(function* () {
        let interrupted = 0
        const { calls, lookup } = makeLookup((_: number) =>
          Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
        )
        const find = Cached.ttl(lookup, { ...hard, key: "k:{}" })
        const off = Cached.ttl(lookup, { ...hard, key: "off:{}", ttl: 0 })
        const readers = yield* Effect.forEach([Cached.bypass(find(1)), off(2)], Effect.fork)
        yield* begun(calls, 2)
        yield* TestClock.adjust(999)
        yield* settled
        assert.isFalse(readers.some(isDone))
        yield* TestClock.adjust(1)
        for (const reader of readers) timesOut(yield* Fiber.await(reader))
        assert.strictEqual(interrupted, 2)
      }))

    test("a lookup that cannot be interrupted - does not delay the reader", () =>
      Effect.gen(function* () {
        const door = yield* Deferred.make<void>()
        const { calls, lookup } = numbered((call) => Effect.uninterruptible(Effect.as(Deferred.await(door), call)))
        const cached = Cached.ttl(lookup(), { ...hard, timeout: { hard: 1_000, then: "interrupt" } })
        const reader = yield* Effect.fork(cached)
        yield* begun(calls)
        yield* TestClock.adjust("1 second")
        timesOut(yield* Fiber.await(reader))
        yield* Deferred.succeed(door, undefined)
      }))
  })
}
