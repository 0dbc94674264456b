import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Deferred, Effect, Exit, Fiber, Logger, LogLevel, Option, Random, Stream, TestClock } from "effect"
import {
  type Backend,
  Cached,
  CacheStore,
  CacheStoreError,
  Entry,
  InvalidOption,
  MemoryCache
} from "../../src/index.js"
import { ChaosCache } from "../../src/testing.js"
import * as Shelf from "../support/shelf.js"

const entry = new Entry.Entry("v", { stamp: 1, createdAt: 0, freshUntil: 10, expiresAt: 10, owner: "", tags: [] })
const write: Backend.Write = { key: "k", entry, lifetime: 10, authoritative: true }

/** A remote backend with every member of `Backend`. It records the operations that reach it. */
const whole = () => {
  const reached: Array<string> = []
  const reach = <A>(verb: string, answer: A) =>
    Effect.sync(() => {
      reached.push(verb)
      return answer
    })
  const marks: Backend.Marks = { floor: 0, lost: 0, raised: [] }
  const written: Backend.Written = { _tag: "Written", stamp: 1 }
  const backend: Required<Backend.Backend> & { readonly marks: Required<Backend.Backend["marks"]> } = {
    name: "whole",
    remote: true,
    hits: { hit: () => -1, valueAt: () => undefined },
    limitEntries: () => {},
    unsafeGet: () => entry,
    unsafePeek: () => entry,
    unsafeSet: () => {},
    unsafeRemove: () => true,
    unsafeSize: () => 1,
    unsafeMeasure: () => ({ entries: 1, bytes: undefined }),
    followMarks: () => {},
    unsafeClear: () => {},
    unsafeFree: () => false,
    unsafeReserve: () => {},
    wasCleared: () => false,
    freeze: () => {},
    isInProcess: false,
    onRemoved: () => {},
    list: () => Effect.succeed({ keys: [], next: undefined }),
    renew: () => reach("renew", []),
    sweep: () => reach("sweep", undefined),
    getMany: (reads) => reach("getMany", { found: reads.map(() => entry) }),
    setMany: (writes) =>
      reach(
        "setMany",
        writes.map(() => written)
      ),
    setIfAbsent: () => reach("setIfAbsent", written),
    removeMany: (removals) =>
      reach(
        "removeMany",
        removals.map(() => written)
      ),
    marks: { every: 1_000, read: reach("marks.read", marks), raise: () => reach("marks.raise", marks) },
    changes: Stream.empty,
    notifications: () => Stream.empty,
    needsNotifications: () => true,
    lock: () => reach("lock", { token: "t", renew: reach("renew", true), release: reach("release", undefined) }),
    attach: () => {},
    tiers: () => [],
    keepsFailures: true,
    isOwnerless: false,
    isUp: () => true,
    states: () => [],
    problems: () => [],
    stamps: { seen: () => 0, raise: Effect.void, isCurrent: () => true }
  }
  return { backend, reached }
}

/** Every operation that can fail. */
const verbsOf = (backend: Backend.Backend): Readonly<Record<string, Effect.Effect<unknown, CacheStoreError>>> => {
  return {
    getMany: backend.getMany([{ key: "k" }]),
    setMany: backend.setMany([write]),
    setIfAbsent: backend.setIfAbsent(write, { now: 0, replacing: undefined }),
    removeMany: backend.removeMany([{ key: "k", tombstone: 1, stamp: 1, authoritative: true }]),
    renew: backend.renew!([]),
    sweep: backend.sweep!({
      judge: () => undefined,
      needsNames: false,
      tombstone: 1,
      count: () => {},
      failed: () => {}
    }),
    "marks.read": backend.marks!.read,
    "marks.raise": backend.marks!.raise([]),
    lock: backend.lock!("k", 10)
  }
}

const quietly = Logger.withMinimumLogLevel(LogLevel.None)

describe("ChaosCache", () => {
  describe("make", () => {
    it.effect("members - are complete, and return what the backend returns", () =>
      Effect.gen(function* () {
        const { backend: inner } = whole()
        const { backend } = yield* ChaosCache.make(inner)
        deepStrictEqual(Object.keys(backend).sort(), Object.keys(inner).sort())
        deepStrictEqual(Object.keys(backend.marks!).sort(), Object.keys(inner.marks!).sort())
        assert.strictEqual(backend.marks!.every, 1_000)
        for (const [name, member] of Object.entries(backend)) assert.isDefined(member, name)
        for (const name of [
          "name",
          "hits",
          "unsafeGet",
          "onRemoved",
          "changes",
          "notifications",
          "tiers",
          "isUp",
          "stamps"
        ] as const) {
          assert.strictEqual(backend[name], inner[name], name)
        }
      })
    )

    it.scoped("in memory - counts as remote, and has no operations that cannot fail", () =>
      Effect.gen(function* () {
        const { backend } = yield* ChaosCache.make(yield* MemoryCache.backend())
        assert.isTrue(backend.remote)
        const unsafe = Object.entries(backend).filter(
          ([name, member]) => name.startsWith("unsafe") && member !== undefined
        )
        deepStrictEqual(unsafe, [])
      })
    )

    it.effect("before begin and after calm - nothing fails", () =>
      Effect.gen(function* () {
        const { backend: inner, reached } = whole()
        const { backend, chaos } = yield* ChaosCache.make(inner)
        for (const verb of Object.values(verbsOf(backend))) yield* verb
        yield* chaos.begin({ fail: 1 })
        yield* chaos.calm
        for (const verb of Object.values(verbsOf(backend))) yield* verb
        assert.lengthOf(reached, 18)
        deepStrictEqual(yield* chaos.struck, { fail: 0, lose: 0, hang: 0, delay: 0, corrupt: 0 })
      })
    )

    it.effect("fail - every operation fails with CacheStoreError, and nothing reaches the backend", () =>
      Effect.gen(function* () {
        const { backend: inner, reached } = whole()
        const { backend, chaos } = yield* ChaosCache.make(inner)
        yield* chaos.begin({ fail: 1 })
        for (const [name, verb] of Object.entries(verbsOf(backend))) {
          const error = yield* Effect.flip(verb)
          assert.instanceOf(error, CacheStoreError, name)
          assert.strictEqual(error.reason, "Rejected")
          assert.strictEqual(error.store, "whole")
        }
        deepStrictEqual(reached, [])
        assert.strictEqual((yield* chaos.struck).fail, 9)
      })
    )

    it.effect("lose - every operation is executed, and fails", () =>
      Effect.gen(function* () {
        const { backend: inner, reached } = whole()
        const { backend, chaos } = yield* ChaosCache.make(inner)
        yield* chaos.begin({ lose: 1 })
        for (const verb of Object.values(verbsOf(backend))) {
          assert.strictEqual((yield* Effect.flip(verb)).reason, "Timeout")
        }
        deepStrictEqual(reached, Object.keys(verbsOf(inner)))
      })
    )

    it.effect("a held lock - its methods fail as well", () =>
      Effect.gen(function* () {
        const { backend, chaos } = yield* ChaosCache.make(whole().backend)
        const held = yield* backend.lock!("k", 10)
        assert.isObject(held)
        yield* chaos.begin({ fail: 1 }, ["lock"])
        const { release, renew } = held as Backend.Held
        assert.isTrue(Exit.isFailure(yield* Effect.exit(renew)))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(release)))
      })
    )

    it.effect("verbs - operations that are not named still work", () =>
      Effect.gen(function* () {
        const { backend, chaos } = yield* ChaosCache.make(whole().backend)
        yield* chaos.begin({ fail: 1 }, ["setMany", "marks"])
        const failing: Array<string> = []
        for (const [name, verb] of Object.entries(verbsOf(backend))) {
          if (Exit.isFailure(yield* Effect.exit(verb))) failing.push(name)
        }
        deepStrictEqual(failing, ["setMany", "marks.read", "marks.raise"])
      })
    )

    it.effect("hang - lasts until calm, and then the operation is executed", () =>
      Effect.gen(function* () {
        const { backend: inner, reached } = whole()
        const { backend, chaos } = yield* ChaosCache.make(inner)
        yield* chaos.begin({ hang: 1 })
        const fiber = yield* Effect.fork(verbsOf(backend).getMany!)
        yield* TestClock.adjust("1 hour")
        deepStrictEqual(reached, [])
        yield* chaos.calm
        yield* Fiber.join(fiber)
        deepStrictEqual(reached, ["getMany"])
      })
    )

    it.effect("hang - times out, and the operation is not executed later", () =>
      Effect.gen(function* () {
        const { backend: inner, reached } = whole()
        const { backend, chaos } = yield* ChaosCache.make(inner, { timeout: "2 seconds" })
        yield* chaos.begin({ hang: 1 })
        const fiber = yield* Effect.fork(Effect.flip(verbsOf(backend).setMany!))
        yield* TestClock.adjust(1_999)
        deepStrictEqual(yield* Fiber.poll(fiber), Option.none())
        yield* TestClock.adjust(1)
        assert.strictEqual((yield* Fiber.join(fiber)).reason, "Timeout")
        yield* chaos.calm
        deepStrictEqual(reached, [])
      })
    )

    it.effect("delay - is exact, or between two bounds", () =>
      Effect.gen(function* () {
        const { backend, chaos } = yield* ChaosCache.make(whole().backend)
        yield* chaos.begin({ delay: "50 millis" })
        const exactly = yield* Effect.fork(verbsOf(backend).getMany!)
        yield* TestClock.adjust(49)
        deepStrictEqual(yield* Fiber.poll(exactly), Option.none())
        yield* TestClock.adjust(1)
        yield* Fiber.join(exactly)

        yield* chaos.begin({ delay: { least: "10 millis", most: "1 second" } })
        const between = yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.fork(verbsOf(backend).getMany!))
        yield* TestClock.adjust(9)
        for (const fiber of between) deepStrictEqual(yield* Fiber.poll(fiber), Option.none())
        yield* TestClock.adjust(991)
        yield* Fiber.joinAll(between)
        assert.strictEqual((yield* chaos.struck).delay, 21)
      })
    )

    it.effect("chance - comes from Random: the same seed gives the same faults", () => {
      const run = Effect.suspend(() => Effect.withRandom(seeded, Random.make("seed")))
      const seeded = Effect.gen(function* () {
        const { backend, chaos } = yield* ChaosCache.make(whole().backend)
        yield* chaos.begin({ fail: 0.3, lose: 0.3 })
        const exits = yield* Effect.replicateEffect(Effect.exit(verbsOf(backend).getMany!), 100)
        return { exits: exits.map(Exit.isSuccess), struck: yield* chaos.struck }
      })
      return Effect.gen(function* () {
        const [one, other] = [yield* run, yield* run]
        deepStrictEqual(one, other)
        const { fail, lose } = one.struck
        assert.strictEqual(one.exits.filter((is) => !is).length, fail + lose)
        assert.isAbove(fail, 10)
        assert.isAbove(lose, 10)
        assert.isBelow(fail + lose, 90)
      })
    })

    it.effect("an invalid likelihood - is refused", () =>
      Effect.gen(function* () {
        const { chaos } = yield* ChaosCache.make(whole().backend)
        for (const fail of [-0.1, 1.1, Number.NaN]) {
          const exit = yield* Effect.exit(chaos.begin({ fail }))
          assert.isTrue(Exit.isFailure(exit) && exit.cause._tag === "Die" && exit.cause.defect instanceof InvalidOption)
        }
      })
    )
  })

  describe("makeBytes", () => {
    it.scopedLive("corrupt - reads return garbage, which is counted, and the stored bytes stay intact", () =>
      Effect.gen(function* () {
        const { backend, chaos } = yield* ChaosCache.makeBytes(Shelf.backend(new Shelf.Shelf()))
        const store = yield* CacheStore.makeBytes(backend)
        for (const value of ["text", 1, true, null, undefined, { a: [1] }, new Uint8Array(8)]) {
          yield* store.set("k", value, { ttl: "1 minute" })
          yield* chaos.begin({ corrupt: 1 })
          deepStrictEqual(yield* store.get("k"), Option.none())
          yield* chaos.calm
          deepStrictEqual(yield* store.get("k"), Option.some(value))
        }
        assert.strictEqual((yield* store.stats).decodeFailures, 7)
        assert.strictEqual((yield* chaos.struck).corrupt, 7)
      }).pipe(quietly)
    )
  })

  describe("layer", () => {
    const calls: Array<number> = []
    const find = Cached.ttl((id: number) => Effect.sync(() => calls.push(id)), { key: "k:{}", ttl: "1 minute" })

    it.live("store and controls - are both provided", () =>
      Effect.gen(function* () {
        const chaos = yield* ChaosCache.Chaos
        const store = yield* CacheStore
        yield* find.set(1)(10)
        yield* chaos.begin({ fail: 1 })
        assert.strictEqual(yield* find(2), 1)
        assert.strictEqual((yield* store.health).status, "down")
        assert.isAbove((yield* store.stats).storeErrors, 0)
        yield* chaos.calm
        assert.strictEqual(yield* find(1), 10)
      }).pipe(Effect.provide(ChaosCache.layer(MemoryCache.backend())), quietly)
    )

    it.live("closing - waits for an operation that hangs no longer than its timeout", () =>
      Effect.gen(function* () {
        const reached = yield* Deferred.make<void>()
        yield* Effect.gen(function* () {
          const chaos = yield* ChaosCache.Chaos
          yield* chaos.begin({ hang: 1 }, ["setMany"])
          yield* find(3)
          yield* Deferred.succeed(reached, undefined)
        }).pipe(Effect.provide(ChaosCache.layer(MemoryCache.backend(), { timeout: "50 millis" })), quietly)
        yield* Deferred.await(reached)
      })
    )
  })
})
