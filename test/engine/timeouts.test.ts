import { afterAll, assert, describe, it, layer } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import {
  Clock,
  Config,
  ConfigProvider,
  Context,
  Effect,
  Exit,
  Fiber,
  Layer,
  ManagedRuntime,
  Option,
  Schema,
  TestClock
} from "effect"
import {
  Cached,
  CachePolicy,
  CacheStore,
  CacheStoreError,
  InvalidOption,
  LoadTimeout,
  MemoryCache,
  TieredCache
} from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import {
  becomes,
  begun,
  defectOf,
  eventually,
  gate,
  herd,
  isDone,
  numbered,
  recordWarnings,
  settled,
  stats,
  thenDoes,
  waiting
} from "../laws/support.js"
import { freshPrefix, live, RedisServer } from "../support/redis.js"
import { hybrid, nodeOf } from "../support/redis-nodes.js"
import * as Shelf from "../support/shelf.js"
import { timeouts } from "./timeouts.js"

const server = ManagedRuntime.make(RedisServer.layer)
afterAll(() => server.dispose())

const onServer = <A, E>(use: (url: string, prefix: string) => Layer.Layer<A, E>): Layer.Layer<A, E> =>
  Layer.unwrapEffect(
    Effect.zipWith(
      Effect.promise(() => server.runPromise(RedisServer)),
      freshPrefix,
      ({ url }, prefix) => use(url, prefix)
    )
  )

timeouts({ name: "memory", layer: MemoryCache.layer(), remote: false })
timeouts({ name: "redis", layer: onServer((url, prefix) => RedisCache.layer({ url, prefix })), remote: true })
timeouts({
  name: "memory in front of redis",
  layer: onServer((url, prefix) => RedisCache.layerHybrid({ l2: { url, prefix } })),
  remote: true
})

const life = { ttl: "10 seconds", staleIfError: "100 seconds", retryAfter: "2 seconds" } as const
const soft = { key: "k", ...life, timeout: { soft: 100 } } as const
const both = { ...soft, timeout: { soft: 100, hard: 1_000 } } as const

const timesOut = (exit: Exit.Exit<unknown, unknown>) => {
  assert.isTrue(exit._tag === "Failure" && exit.cause._tag === "Fail" && exit.cause.error instanceof LoadTimeout)
}

/** A backend on a shelf that answers reads when a gate is open, or with an error. */
const slowBackend = () => {
  let door: ReturnType<typeof gate> | undefined
  let hasFailed = false
  let reads = 0
  const error = new CacheStoreError({ reason: "Timeout", store: "shelf", method: "getMany" })
  const backend = Shelf.backend(new Shelf.Shelf(), ({ getMany }) => ({
    getMany: (asked) =>
      Effect.suspend(() => {
        reads++
        const answer = Effect.suspend(() => (hasFailed ? error : getMany(asked)))
        return door === undefined ? answer : Effect.zipRight(door.pass, answer)
      })
  }))
  return {
    backend,
    bytes: Layer.scoped(
      CacheStore,
      Effect.suspend(() => CacheStore.makeBytes(backend))
    ),
    tiered: TieredCache.layer({
      tiers: [
        { name: "memory", backend: MemoryCache.backend() },
        { name: "slow", backend: Effect.sync(() => CacheStore.fromBytes(backend)) }
      ]
    }),
    /** From now on reads wait. */
    close: Effect.sync(() => {
      door = gate()
    }),
    open: Effect.suspend(() => {
      const opened = door!
      door = undefined
      return opened.open
    }),
    fail: Effect.sync(() => {
      hasFailed = true
    }),
    reads: () => reads
  }
}

const written = Effect.zipRight(settled, live(Effect.sleep(5)))

describe("timeout - a backend that is slow", () => {
  it.effect("memory in front of it - its old value answers, and the load begins when the backend has answered", () => {
    const slow = slowBackend()
    return Effect.gen(function* () {
      const { calls, lookup } = thenDoes(Effect.succeed)
      const cached = Cached.ttl(lookup(), soft)
      yield* cached
      yield* written
      yield* TestClock.adjust("10 seconds")
      yield* slow.close
      const asked = slow.reads()
      const readers = yield* herd(cached, 3)
      yield* eventually(() => slow.reads() > asked, "the backend was asked")
      yield* TestClock.adjust(100)
      deepStrictEqual(yield* Effect.forEach(readers, Fiber.join), [1, 1, 1])
      assert.lengthOf(calls, 1)
      assert.deepInclude(yield* stats, { staleHits: 3 })
      yield* slow.open
      yield* begun(calls, 2)
      yield* becomes(cached, 2)
      assert.lengthOf(calls, 2)
    }).pipe(Effect.provide(slow.tiered))
  })

  it.effect("memory in front of it, and the backend has a newer value - that is taken, without a load", () => {
    const slow = slowBackend()
    return Effect.gen(function* () {
      const { calls, lookup } = thenDoes(Effect.succeed)
      const cached = Cached.ttl(lookup(), soft)
      yield* cached
      yield* written
      yield* TestClock.adjust("10 seconds")
      yield* Effect.provide(Cached.ttl(Effect.succeed(7), soft).refresh, slow.bytes)
      yield* slow.close
      const asked = slow.reads()
      const reader = yield* Effect.fork(cached)
      yield* eventually(() => slow.reads() > asked, "the backend was asked")
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* Fiber.join(reader), 1)
      yield* slow.open
      yield* becomes(cached, 7)
      assert.lengthOf(calls, 1)
    }).pipe(Effect.provide(slow.tiered))
  })

  it.effect("that answers after soft - the old value that it has answers at once, and the load goes on", () => {
    const slow = slowBackend()
    return Effect.gen(function* () {
      const door = gate()
      const { calls, lookup } = thenDoes((call) => Effect.as(door.pass, call))
      const cached = Cached.ttl(lookup(), soft)
      yield* cached
      yield* written
      yield* TestClock.adjust("10 seconds")
      yield* slow.close
      const asked = slow.reads()
      const reader = yield* Effect.fork(cached)
      yield* eventually(() => slow.reads() > asked, "the backend was asked")
      yield* TestClock.adjust(100)
      yield* settled
      assert.isFalse(isDone(reader))
      yield* slow.open
      assert.strictEqual(yield* Fiber.join(reader), 1)
      yield* door.open
      yield* becomes(cached, 2)
      assert.lengthOf(calls, 2)
    }).pipe(Effect.provide(slow.bytes))
  })

  it.effect("until hard, without an old value - LoadTimeout, and one load begins when the backend has answered", () => {
    const slow = slowBackend()
    return Effect.gen(function* () {
      const { calls, lookup } = numbered(Effect.succeed)
      const cached = Cached.ttl(lookup(), { ...both, key: "k" })
      yield* slow.close
      const readers = yield* herd(Effect.exit(cached), 3)
      yield* eventually(() => slow.reads() > 0, "the backend was asked")
      yield* TestClock.adjust("1 second")
      for (const reader of readers) timesOut(yield* Fiber.join(reader))
      assert.lengthOf(calls, 0)
      yield* slow.open
      yield* becomes(cached.peek, Option.some(1))
      assert.lengthOf(calls, 1)
      assert.deepInclude(yield* stats, { misses: 3, loads: 1 })
    }).pipe(Effect.provide(slow.bytes))
  })

  it.effect("then: interrupt - no load begins behind the readers", () => {
    const slow = slowBackend()
    return Effect.gen(function* () {
      const { calls, lookup } = numbered(Effect.succeed)
      const cached = Cached.ttl(lookup(), { ...both, timeout: { hard: 1_000, then: "interrupt" } })
      yield* slow.close
      const reader = yield* Effect.fork(Effect.exit(cached))
      yield* eventually(() => slow.reads() > 0, "the backend was asked")
      yield* TestClock.adjust("1 second")
      timesOut(yield* Fiber.join(reader))
      yield* slow.open
      yield* written
      assert.lengthOf(calls, 0)
      assert.strictEqual(yield* cached, 1)
    }).pipe(Effect.provide(slow.bytes))
  })

  it.effect("that fails in the end - the load begins behind the readers, not with onStoreError: fail", () => {
    const slow = slowBackend()
    return Effect.gen(function* () {
      const { calls, lookup } = numbered((call, _: string) => Effect.succeed(call))
      const options = { ...both, key: "k:{}", timeout: { hard: 1_000 } } as const
      const quiet = Cached.ttl(lookup, options)
      const strict = Cached.ttl(lookup, { ...options, key: "strict:{}", onStoreError: "fail" })
      yield* slow.close
      const readers = yield* Effect.forEach([quiet("quiet"), strict("strict")], (read) =>
        Effect.fork(Effect.exit(read))
      )
      yield* eventually(() => slow.reads() > 0, "the backend was asked")
      yield* TestClock.adjust("1 second")
      for (const reader of readers) timesOut(yield* Fiber.join(reader))
      yield* slow.fail
      yield* slow.open
      yield* begun(calls)
      yield* written
      deepStrictEqual(calls, [["quiet"]])
    }).pipe(Effect.provide(slow.bytes))
  })

  it.effect("the load behind a reader - has its services, and not those that it has later", () => {
    class Name extends Context.Tag("Name")<Name, string>() {}
    const slow = slowBackend()
    return Effect.gen(function* () {
      const seen: Array<string> = []
      const cached = Cached.ttl(
        Effect.map(Name, (name) => seen.push(name)),
        { ...both, timeout: { hard: 1_000 } }
      )
      yield* slow.close
      const reader = yield* Effect.exit(Effect.provideService(cached, Name, "reader")).pipe(
        Effect.tap(() => Effect.never),
        Effect.provideService(Name, "later"),
        Effect.fork
      )
      yield* eventually(() => slow.reads() > 0, "the backend was asked")
      yield* TestClock.adjust("1 second")
      yield* settled
      yield* slow.open
      yield* eventually(() => seen.length === 1, "the load began")
      deepStrictEqual(seen, ["reader"])
      yield* Fiber.interrupt(reader)
    }).pipe(Effect.provide(slow.bytes))
  })

  it.effect("law 11: the scope ends everything - no load begins after the store has closed", () => {
    const slow = slowBackend()
    return Effect.gen(function* () {
      const { calls, lookup } = numbered(Effect.succeed)
      const cached = Cached.ttl(lookup(), { ...both, timeout: { hard: 1_000 } })
      yield* Effect.gen(function* () {
        yield* slow.close
        const reader = yield* Effect.fork(Effect.exit(cached))
        yield* eventually(() => slow.reads() > 0, "the backend was asked")
        yield* TestClock.adjust("1 second")
        timesOut(yield* Fiber.join(reader))
        yield* Effect.forkDaemon(Effect.zipRight(settled, slow.open))
      }).pipe(Effect.provide(slow.bytes))
      yield* written
      assert.lengthOf(calls, 0)
    })
  })
})

layer(RedisServer.layer)("timeout - the lock of another process", (it) => {
  const locked = { lock: { lease: "5 seconds" } } as const
  const nodes = {
    "memory in front of redis": (prefix: string) => hybrid({ l2: { prefix } }),
    redis: (prefix: string) =>
      Effect.flatMap(RedisServer, ({ url }) => Effect.map(RedisCache.make({ url, prefix }), nodeOf))
  } as const
  for (const [name, make] of Object.entries(nodes)) {
    it.scoped(
      `${name} - counts while it is held: an old value or LoadTimeout, and the value arrives all the same`,
      () =>
        Effect.gen(function* () {
          const prefix = yield* freshPrefix
          const [a, b] = [yield* make(prefix), yield* make(prefix)]
          const door = gate()
          const { calls, lookup } = numbered((call, _: string) => Effect.as(call > 1 ? door.pass : Effect.void, call))
          const find = () => Cached.ttl(lookup, { ...both, key: "k:{}", ...locked })
          const [onA, onB] = [find(), find()]
          yield* a.run(onA("old"))
          yield* a.written
          yield* TestClock.adjust("10 seconds")
          const holders = yield* Effect.forEach(["old", "none"], (id) => Effect.fork(Effect.exit(a.run(onA(id)))))
          yield* begun(calls, 3)
          const readers = yield* Effect.forEach(["old", "none"], (id) => Effect.fork(Effect.exit(b.run(onB(id)))))
          yield* b.run(waiting(2))
          yield* TestClock.adjust(100)
          deepStrictEqual(yield* Fiber.join(readers[0]!), Exit.succeed(1))
          deepStrictEqual(yield* Fiber.join(holders[0]!), Exit.succeed(1))
          yield* TestClock.adjust(900)
          timesOut(yield* Fiber.join(readers[1]!))
          timesOut(yield* Fiber.join(holders[1]!))
          yield* door.open
          yield* becomes(
            b.run(Effect.forEach(["old", "none"], onB)),
            yield* a.run(Effect.forEach(["old", "none"], onA))
          )
          assert.lengthOf(calls, 3)
        })
    )
  }

  it.scoped("what another process has invalidated meanwhile does not answer", () =>
    Effect.gen(function* () {
      const prefix = yield* freshPrefix
      const make = hybrid({ l2: { prefix } })
      const [a, b] = [yield* make, yield* make]
      const door = gate()
      const { calls, lookup } = numbered((call, _: string) => Effect.as(call > 2 ? door.pass : Effect.void, call))
      const find = () => Cached.ttl(lookup, { ...both, key: "k:{}", ...locked })
      const [onA, onB] = [find(), find()]
      yield* a.run(onA("k"))
      yield* a.written
      yield* TestClock.adjust("10 seconds")
      yield* a.run(onA("other"))
      yield* a.written
      yield* b.run(onB("other"))
      // A holds the lock, and B waits for it
      const holder = yield* Effect.fork(Effect.exit(a.run(onA("k"))))
      yield* begun(calls, 3)
      const waiter = yield* Effect.fork(Effect.exit(b.run(onB("k"))))
      yield* b.run(waiting(1))
      yield* a.run(onA.invalidate("k"))
      yield* a.run(onA.invalidate("other"))
      // notifications arrive in order
      yield* becomes(b.run(onB.peek("other")), Option.none())
      const late = yield* Effect.fork(Effect.exit(b.run(onB("k"))))
      yield* b.run(waiting(2))
      yield* TestClock.adjust(100)
      yield* settled
      for (const reader of [waiter, late]) assert.isTrue(Option.isNone(yield* Fiber.poll(reader)))
      yield* TestClock.adjust(900)
      for (const reader of [waiter, late]) timesOut(yield* Fiber.join(reader))
      yield* door.open
      yield* Fiber.join(holder)
    })
  )
})

describe("timeout", () => {
  it.effect("loads beyond maxFlights - are interrupted, and an old value answers at soft", () => {
    const { layer } = recordWarnings()
    return Effect.gen(function* () {
      let interrupted = 0
      const { calls, lookup } = numbered((call, id: number) =>
        call === 1 ? Effect.succeed(id) : Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
      )
      const find = Cached.ttl(lookup, { ...both, key: "k:{}" })
      yield* find(1)
      yield* TestClock.adjust("10 seconds")
      const busy = yield* Effect.fork(Cached.ttl(Effect.never, { key: "busy", ttl: 1 }))
      yield* waiting(2)
      const readers = yield* Effect.forEach([1, 2], (id) => Effect.fork(Effect.exit(find(id))))
      yield* begun(calls, 3)
      yield* TestClock.adjust(100)
      deepStrictEqual(yield* Fiber.join(readers[0]!), Exit.succeed(1))
      yield* TestClock.adjust(900)
      timesOut(yield* Fiber.join(readers[1]!))
      assert.strictEqual(interrupted, 2)
      yield* Fiber.interrupt(busy)
    }).pipe(Effect.provide(Layer.provide(MemoryCache.layer({ maxFlights: 1 }), layer)))
  })

  it.effect("loads beyond maxFlights - the old value answers as that of every load that fails", () => {
    const { lines, layer } = recordWarnings()
    return Effect.gen(function* () {
      const seen: Array<unknown> = []
      const door = gate()
      const { calls, lookup } = numbered((call, id: string) =>
        call <= 3 ? Effect.succeed(id) : Effect.zipRight(door.pass, Effect.fail("down"))
      )
      const onError = (_: unknown, id: string) => Effect.sync(() => seen.push(id))
      const find = Cached.ttl(lookup, { ttl: 1000, staleIfError: 5000, retryAfter: 1000, key: "k:{}", onError })
      yield* Effect.forEach(["old", "gone", "set"], (id) => find(id))
      yield* TestClock.adjust("2 seconds")
      const busy = yield* Effect.fork(Cached.ttl(Effect.never, { key: "busy", ttl: 1 }))
      yield* waiting(4)
      const readers = yield* Effect.forEach(["old", "gone", "set"], (id) => Effect.fork(Effect.exit(find(id))))
      yield* begun(calls, 6)
      yield* find.invalidate("gone")
      yield* find.set("set")("new")
      yield* find.expire("old")
      yield* door.open
      deepStrictEqual(yield* Effect.forEach(readers, (reader) => Fiber.join(reader)), [
        Exit.succeed("old"),
        Exit.fail("down"),
        Exit.fail("down")
      ])
      // a load that the old value has answered is seen, and pauses
      yield* becomes(
        Effect.sync(() => seen.length),
        1
      )
      deepStrictEqual([yield* find("old"), calls.length, seen], ["old", 6, ["old"]])
      deepStrictEqual(
        (yield* (yield* CacheStore).health).problems.map(({ name }) => name),
        ["TooManyLoads", "RefreshesFail"]
      )
      assert.isFalse(lines.some((line) => line.includes("a refresh of k:{} failed")))
      yield* Fiber.interrupt(busy)
    }).pipe(Effect.provide(Layer.provideMerge(MemoryCache.layer({ maxFlights: 1 }), layer)))
  })

  it.effect("loads beyond maxFlights - the old value does not answer after its end", () =>
    Effect.gen(function* () {
      const door = gate()
      const { lookup } = thenDoes(() => Effect.zipRight(door.pass, Effect.fail("down")))
      const cached = Cached.ttl(lookup(), { ttl: 1000, staleIfError: 5000, key: "k" })
      yield* cached
      yield* TestClock.adjust("2 seconds")
      const busy = yield* Effect.fork(Cached.ttl(Effect.never, { key: "busy", ttl: 1 }))
      yield* waiting(2)
      const reader = yield* Effect.fork(Effect.exit(cached))
      yield* door.reached
      yield* TestClock.adjust("4 seconds")
      yield* door.open
      deepStrictEqual(yield* Fiber.join(reader), Exit.fail("down"))
      yield* Fiber.interrupt(busy)
    }).pipe(Effect.provide(Layer.provide(MemoryCache.layer({ maxFlights: 1 }), recordWarnings().layer)))
  )

  it.effect("a store without caching - has hard", () =>
    Effect.gen(function* () {
      const reader = yield* Effect.fork(Cached.ttl(Effect.never, both))
      yield* TestClock.adjust("1 second")
      timesOut(yield* Fiber.await(reader))
    }).pipe(Effect.provide(CacheStore.layerNoop))
  )

  it.effect("a transaction - a read and a reload inside have hard, and interrupt their lookup", () => {
    class Tx extends Context.Tag("Tx")<Tx, string>() {}
    return Effect.gen(function* () {
      const { calls, lookup } = numbered(() => Effect.never)
      const cached = Cached.ttl(lookup(), both)
      yield* cached.set(undefined as never)
      const readers = yield* Effect.forEach([cached, Cached.reload(cached)], (read) =>
        Effect.fork(Effect.provideService(read, Tx, "tx"))
      )
      yield* begun(calls, 2)
      yield* TestClock.adjust("1 second")
      for (const reader of readers) timesOut(yield* Fiber.await(reader))
    }).pipe(Effect.provide(MemoryCache.layer({ bypassIn: [Tx] })))
  })

  it.effect(
    "background - is given a fiber that ends with the load, also with one that begins behind the reader",
    () => {
      const slow = slowBackend()
      const fibers: Array<Fiber.RuntimeFiber<void>> = []
      const store = Layer.scoped(
        CacheStore,
        Effect.suspend(() => CacheStore.makeBytes(slow.backend, { background: (fiber) => void fibers.push(fiber) }))
      )
      return Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = numbered((call) => Effect.as(door.pass, call))
        const cached = Cached.ttl(lookup(), { ...both, timeout: { hard: 1_000 } })
        yield* slow.close
        const reader = yield* Effect.fork(Effect.exit(cached))
        yield* eventually(() => slow.reads() > 0, "the backend was asked")
        yield* TestClock.adjust("1 second")
        timesOut(yield* Fiber.join(reader))
        assert.lengthOf(fibers, 1)
        yield* slow.open
        yield* begun(calls)
        yield* written
        assert.isFalse(isDone(fibers[0]!))
        yield* door.open
        yield* Fiber.await(fibers[0]!)
        deepStrictEqual(yield* cached.peek, Option.some(1))
      }).pipe(Effect.provide(store))
    }
  )

  it.effect("an entity - get and getMany have it", () =>
    Effect.gen(function* () {
      const users = Cached.entity(Schema.Struct({ id: Schema.Number }), {
        name: "user",
        key: ["id"],
        ttl: "10 seconds",
        lookupMany: () => Effect.never,
        timeout: { hard: 1_000 }
      })
      const reads: ReadonlyArray<Effect.Effect<unknown, LoadTimeout, CacheStore>> = [
        users.get(1),
        users.getMany([2, 3])
      ]
      const readers = yield* Effect.forEach(reads, (read) => Effect.fork(Effect.flip(read)))
      yield* waiting(3)
      yield* TestClock.adjust("1 second")
      for (const reader of readers) assert.instanceOf(yield* Fiber.join(reader), LoadTimeout)
    }).pipe(Effect.provide(MemoryCache.layer()))
  )

  it.live("a hit, and a read that ends in time or is interrupted - leave no timer", () => {
    let timers = 0
    const clock = Clock.make()
    const counting: Clock.Clock = {
      ...clock,
      unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis(),
      unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
      sleep: (duration) =>
        Effect.acquireUseRelease(
          Effect.sync(() => timers++),
          () => clock.sleep(duration),
          () => Effect.sync(() => timers--)
        )
    }
    const door = gate()
    const cached = Cached.ttl(Effect.as(door.pass, 1), both)
    return Effect.gen(function* () {
      const [reader, other] = yield* herd(Effect.withClock(cached, counting), 2)
      yield* eventually(() => timers === 2, "both readers have a timer")
      yield* Fiber.interrupt(other!)
      yield* eventually(() => timers === 1, "one reader has a timer")
      yield* door.open
      yield* Fiber.join(reader!)
      yield* Effect.withClock(cached, counting)
      yield* eventually(() => timers === 0, "no reader has a timer")
    }).pipe(Effect.provide(MemoryCache.layer()))
  })

  it("a read that does not wait - runs without a scheduler", () => {
    const runtime = ManagedRuntime.make(MemoryCache.layer())
    assert.strictEqual(runtime.runSync(Cached.ttl(Effect.succeed(1), both)), 1)
  })

  const policies = {
    layer: CachePolicy.layer({ ...life, timeout: { soft: 100 }, functions: { slow: { timeout: { soft: 500 } } } }),
    layerConfig: CachePolicy.layerConfig({
      ttl: Config.succeed(life.ttl),
      staleIfError: Config.succeed(life.staleIfError),
      timeout: { soft: Config.duration("SOFT") },
      functions: { slow: { timeout: { soft: Config.duration("SLOW") } } }
    }).pipe(
      Layer.provide(
        Layer.setConfigProvider(
          ConfigProvider.fromMap(new Map(Object.entries({ SOFT: "100 millis", SLOW: "500 millis" })))
        )
      )
    )
  }
  for (const [name, layer] of Object.entries(policies)) {
    it.effect(`CachePolicy.${name} - sets soft, with exceptions by name; hard is of the function`, () =>
      Effect.gen(function* () {
        const one = thenDoes(() => Effect.never)
        const other = thenDoes(() => Effect.never)
        const quick = Cached.policy(one.lookup(), { key: "quick", timeout: { hard: "1 second" } })
        const slow = Cached.policy(other.lookup(), { key: "slow" })
        yield* Effect.all([quick, slow])
        yield* TestClock.adjust("10 seconds")
        const readers = yield* Effect.forEach([quick, slow], Effect.fork)
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* Fiber.join(readers[0]!), 1)
        yield* TestClock.adjust(399)
        yield* settled
        assert.isFalse(isDone(readers[1]!))
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* Fiber.join(readers[1]!), 1)
        yield* quick.invalidate
        const cold = yield* Effect.fork(quick)
        yield* TestClock.adjust("1 second")
        timesOut(yield* Fiber.await(cold))
      }).pipe(Effect.provide(Layer.merge(MemoryCache.layer(), Layer.orDie<CachePolicy, unknown, never>(layer))))
    )
  }

  for (const [what, option, options] of [
    ["soft without staleIfError", "timeout.soft", { timeout: { soft: 1 } }],
    ["soft that is hard", "timeout.soft", { ...life, timeout: { soft: 100, hard: 100 } }],
    ["soft beyond hard", "timeout.soft", { ...life, timeout: { soft: 101, hard: 100 } }],
    ["soft of flightTimeout", "timeout.soft", { ...life, timeout: { soft: "30 seconds" } }],
    ["a negative soft", "timeout.soft", { ...life, timeout: { soft: -1 } }],
    ["NaN as soft", "timeout.soft", { ...life, timeout: { soft: Number.NaN } }],
    ["hard of flightTimeout", "timeout.hard", { timeout: { hard: "30 seconds" } }],
    ["hard beyond flightTimeout", "timeout.hard", { flightTimeout: "1 second", timeout: { hard: "2 seconds" } }],
    ["hard without an end", "timeout.hard", { flightTimeout: Infinity, timeout: { hard: Infinity } }],
    ["hard of zero", "timeout.hard", { timeout: { hard: 0 } }],
    ["no duration", "timeout.hard", { timeout: { hard: "soon" } }],
    ["an unknown then", "timeout.then", { timeout: { hard: 1, then: "stop" } }],
    ["a time in place of the limits", "timeout", { timeout: "5 seconds" }]
  ] as const) {
    it.effect(`${what} - is a defect that names the function`, () =>
      Effect.gen(function* () {
        const given = { key: "k:{}", ttl: "1 minute", ...options } as never
        const lookup = (id: number) => Effect.succeed(id)
        const lookupMany = (ids: ReadonlyArray<number>) => Effect.succeed(ids.map((id) => [id, id] as const))
        for (const read of [Cached.ttl(lookup, given)(1 as never), Cached.batched(lookupMany, given)(1)]) {
          const defect = defectOf(yield* Effect.exit(read as Effect.Effect<unknown, never, CacheStore>))
          assert.instanceOf(defect, InvalidOption)
          assert.deepInclude({ ...(defect as InvalidOption) }, { option, of: "k:{}" })
        }
      }).pipe(Effect.provide(MemoryCache.layer()))
    )
  }

  it.effect("a CachePolicy with a soft that has no effect - is a defect of the Layer that names the function", () =>
    Effect.gen(function* () {
      for (const [of, options] of [
        ["CachePolicy", { ttl: 1, timeout: { soft: 1 } }],
        ["k", { ttl: 1, functions: { k: { timeout: { soft: 1 } } } }],
        ["k", { ttl: 1, staleIfError: 1, timeout: { soft: 1 }, functions: { k: { staleIfError: 0 } } }]
      ] as const) {
        const defect = defectOf(yield* Effect.exit(Effect.scoped(Layer.build(CachePolicy.layer(options)))))
        assert.deepInclude({ ...(defect as InvalidOption) }, { option: "timeout.soft", of })
      }
    })
  )
})
