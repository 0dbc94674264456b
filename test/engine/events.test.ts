/**
 * The events of reads and writes: who hears which of them, and what nobody hears.
 */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Cause, Chunk, Effect, Fiber, Layer, Option, Random, Schema, Stream, TestClock } from "effect"
import type { CacheEvent } from "effect-cached"
import { Cached, CacheError, CacheStore, MemoryCache, MemoryCacheLive } from "effect-cached"
import { ChaosCache } from "../../src/testing.js"
import { eventually, gated, minute, numbered, settled } from "../laws/support.js"

type Event = CacheEvent.CacheEvent

/** Records the events of reads and writes from now on. */
const record = Effect.gen(function* () {
  const store = yield* CacheStore
  const events: Array<Event> = []
  const kinds: ReadonlyArray<Event["_tag"]> = ["Hit", "Stale", "Miss", "Set"]
  yield* Effect.forkScoped(
    Stream.runForEach(store.events, (event) => Effect.sync(() => kinds.includes(event._tag) && events.push(event)))
  )
  yield* settled
  return events
})

const tags = (events: ReadonlyArray<Event>) => events.map(({ _tag }) => _tag)

const countsOf = (events: ReadonlyArray<Event>) => {
  const count = (tag: Event["_tag"]) => events.filter(({ _tag }) => _tag === tag).length
  return { hits: count("Hit"), staleHits: count("Stale"), misses: count("Miss") }
}

describe("events", () => {
  it.scoped("a read - is an event with its outcome, and so is a value that is stored", () =>
    Effect.gen(function* () {
      const { lookup } = numbered((call) => Effect.succeed(call))
      const find = Cached.swr(lookup, { key: "k", name: "n", ttl: "10 seconds", stale: "5 seconds" })
      const events = yield* record
      yield* find()
      yield* find()
      yield* TestClock.adjust("10 seconds")
      yield* find()
      yield* eventually(() => events.length === 5, "the refresh has stored its value")
      yield* find.refresh()
      yield* find.set()(7)
      yield* settled
      deepStrictEqual(events, [
        { _tag: "Miss", key: "k", name: "n", reason: "absent", coalesced: false },
        { _tag: "Set", key: "k", name: "n" },
        { _tag: "Hit", key: "k", name: "n" },
        { _tag: "Stale", key: "k", name: "n" },
        { _tag: "Set", key: "k", name: "n" },
        { _tag: "Miss", key: "k", name: "n", reason: "bypassed", coalesced: false },
        { _tag: "Set", key: "k", name: "n" },
        { _tag: "Set", key: "k", name: "n" }
      ])
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.scoped("values that are set in other ways - are events; those that are not stored, or expired, are none", () =>
    Effect.gen(function* () {
      const store = yield* CacheStore
      const entity = Cached.entity(Schema.Struct({ id: Schema.Number }), { name: "e", key: ["id"], ...minute })
      const none = Cached.ttl(Effect.succeed(1), { key: "none", ttl: () => 0 })
      const failing = Cached.ttl(Effect.fail("no"), { key: "f", ...minute, failures: { ttl: "1 minute" } })
      const swr = Cached.swr(Effect.succeed(1), { key: "s", ...minute, stale: "1 minute" })
      yield* swr
      const events = yield* record
      yield* store.set("a", 1, minute)
      yield* store.setIfAbsent("b", 1, minute)
      yield* store.setIfAbsent("b", 1, minute)
      yield* store.getOrSet("c", Effect.succeed(1), { ...minute, name: "got" })
      yield* entity.put({ id: 1 })
      yield* entity.prime(Effect.succeed([{ id: 2 }]))
      yield* none
      yield* Effect.exit(failing)
      yield* swr.expire
      yield* settled
      deepStrictEqual(
        events.flatMap((event) => (event._tag === "Set" ? [[event.key, event.name]] : [])),
        [
          ["a", undefined],
          ["b", undefined],
          ["c", "got"],
          ["e:1", "e"],
          ["e:2", "e"]
        ]
      )
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.scoped("waiters - are misses with the reason of the read that started the load", () =>
    Effect.gen(function* () {
      const { door, lookup } = gated()
      const cached = Cached.ttl(lookup(), { key: "k", ...minute, tags: ["t"] })
      yield* Effect.zipRight(door.open, cached)
      yield* Cached.invalidateTags(["t"])
      const events = yield* record
      const next = gated()
      const other = Cached.ttl(next.lookup(), { key: "k", ...minute, tags: ["t"] })
      const fibers = yield* Effect.forkAll([other, other, other])
      yield* eventually(() => events.length === 3, "three reads wait")
      yield* next.door.open
      yield* Fiber.join(fibers)
      deepStrictEqual(
        events.slice(0, 3).map((event) => event._tag === "Miss" && [event.reason, event.tag, event.coalesced]),
        [
          ["tag", "t", false],
          ["tag", "t", true],
          ["tag", "t", true]
        ]
      )
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.scoped("a remote store - waiters that look nowhere have the reason of the load, too", () =>
    Effect.gen(function* () {
      const cached = (lookup: Effect.Effect<number>) => Cached.ttl(lookup, { key: "k", ...minute, tags: ["t"] })
      yield* cached(Effect.succeed(1))
      yield* eventually(
        Effect.map(
          Effect.flatMap(CacheStore, (store) => store.health),
          ({ undelivered }) => undelivered === 0
        ),
        "the value is written"
      )
      yield* settled
      yield* Cached.invalidateTags(["t"])
      const events = yield* record
      const { door, lookup } = gated()
      const read = cached(lookup())
      const first = yield* Effect.fork(read)
      yield* door.reached
      const second = yield* Effect.fork(read)
      yield* eventually(() => events.length === 2, "the second read waits")
      yield* door.open
      yield* Fiber.joinAll([first, second])
      deepStrictEqual(
        events.slice(0, 2).map((event) => event._tag === "Miss" && [event.reason, event.tag, event.coalesced]),
        [
          ["tag", "t", false],
          ["tag", "t", true]
        ]
      )
    }).pipe(Effect.provide(MemoryCache.layer({ values: "serialized" })))
  )

  it.scoped("counted reads - are as many events as the statistics count", () =>
    Effect.gen(function* () {
      const store = yield* CacheStore
      const find = Cached.swr((id: number) => Effect.succeed(id), {
        key: "k:{}",
        ttl: "1 second",
        stale: "2 seconds",
        staleIfError: "5 seconds",
        maxIdle: "4 seconds",
        refreshAhead: 0.5
      })
      const events = yield* record
      const random = Random.make("counted reads")
      for (let i = 0; i < 400; i++) {
        yield* find(yield* random.nextIntBetween(0, 5))
        if (i % 7 === 0) yield* TestClock.adjust(yield* random.nextIntBetween(0, 2_000))
        if (i % 50 === 0) yield* find.invalidate(1)
        if (i % 90 === 0) yield* find.expire(2)
      }
      yield* settled
      const { hits, misses, staleHits } = yield* store.stats
      deepStrictEqual(countsOf(events), { hits, misses, staleHits })
      assert.isAbove(Math.min(hits, misses, staleHits), 10)
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.scoped("a store whose reads fail - store, and nothing where the read fails with the error", () =>
    Effect.gen(function* () {
      const chaos = yield* ChaosCache.Chaos
      yield* chaos.begin({ fail: 1 })
      const events = yield* record
      yield* Cached.ttl(Effect.succeed(1), { key: "a", ...minute })
      const strict = Cached.ttl(Effect.succeed(1), { key: "b", ...minute, onStoreError: "fail" })
      assert.instanceOf(yield* Effect.flip(strict), CacheError.CacheStoreError)
      yield* settled
      deepStrictEqual(
        events.flatMap((event) => (event._tag === "Miss" ? [[event.key, event.reason]] : [])),
        [["a", "store"]]
      )
    }).pipe(Effect.provide(ChaosCache.layer(MemoryCache.backend(), { breaker: false })))
  )

  it.scoped("layerNoop - reads are misses of a store that is switched off", () =>
    Effect.gen(function* () {
      const events = yield* record
      const cached = Cached.ttl(Effect.succeed(1), { key: "k", ...minute })
      yield* cached
      yield* cached.refresh
      yield* settled
      deepStrictEqual(
        events.map((event) => event._tag === "Miss" && event.reason),
        ["disabled", "disabled"]
      )
    }).pipe(Effect.provide(CacheStore.layerNoop))
  )

  it.scoped("subscribers - hear what comes after they came, and nothing after they left", () =>
    Effect.gen(function* () {
      const store = yield* CacheStore
      const cached = Cached.ttl(Effect.succeed(1), { key: "k", ...minute })
      yield* cached
      const first = yield* Effect.fork(Stream.runCollect(Stream.take(store.events, 2)))
      yield* settled
      yield* cached
      const events = yield* record
      yield* cached
      deepStrictEqual(tags(Chunk.toReadonlyArray(yield* Fiber.join(first))), ["Hit", "Hit"])
      yield* cached
      yield* settled
      deepStrictEqual(tags(events), ["Hit", "Hit"])
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  it.scoped("a subscriber that is slow - loses the oldest, and delays no read", () =>
    Effect.gen(function* () {
      const store = yield* CacheStore
      const cached = Cached.ttl(Effect.succeed(1), { key: "k", ...minute })
      yield* cached
      const seen: Array<Event> = []
      yield* Effect.forkScoped(
        Stream.runForEach(store.events, (event) =>
          Effect.zipRight(
            Effect.sync(() => seen.push(event)),
            Effect.never
          )
        )
      )
      yield* settled
      for (let i = 0; i < 5_000; i++) yield* cached
      yield* settled
      assert.lengthOf(seen, 1)
    }).pipe(Effect.provide(MemoryCacheLive))
  )

  describe("eventSampling", () => {
    const sampled = (eventSampling: number) =>
      Layer.provide(MemoryCache.layer({ eventSampling }), Layer.setRandom(Random.make("sampling")))

    it.scoped("a fraction - about as many events of reads and writes, and all others", () =>
      Effect.gen(function* () {
        const store = yield* CacheStore
        const cached = Cached.ttl(Effect.succeed(1), { key: "k", ...minute })
        const removed: Array<Event> = []
        yield* Effect.forkScoped(
          Stream.runForEach(store.events, (event) => Effect.sync(() => event._tag === "Removed" && removed.push(event)))
        )
        const events = yield* record
        for (let i = 0; i < 10_000; i++) {
          yield* cached
          if (i % 100 === 0) yield* settled
        }
        assert.closeTo(countsOf(events).hits, 1_000, 120)
        for (let i = 0; i < 50; i++) {
          yield* store.set(`k${i}`, 1, minute)
          yield* store.remove(`k${i}`)
        }
        yield* eventually(() => removed.length === 50, "every removal is an event")
      }).pipe(Effect.provide(sampled(0.1)))
    )

    it.scoped("0 - none of them", () =>
      Effect.gen(function* () {
        const events = yield* record
        const cached = Cached.ttl(Effect.succeed(1), { key: "k", ...minute })
        for (let i = 0; i < 100; i++) yield* cached
        yield* settled
        deepStrictEqual(events, [])
      }).pipe(Effect.provide(sampled(0)))
    )

    it.effect("a number that is no fraction - is refused", () =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(MemoryCache.layer({ eventSampling: 2 }))))
        const defect = exit._tag === "Failure" ? Option.getOrThrow(Cause.dieOption(exit.cause)) : undefined
        assert.instanceOf(defect, CacheError.InvalidOption)
      })
    )
  })
})
