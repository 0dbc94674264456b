import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Either, Fiber, Layer, Option, TestClock } from "effect"
import { Cached, CacheStore, Entry, MemoryCache, Serializer, TieredCache } from "../../src/index.js"
import { becomes, counting, gated, settled, stats, thenDoes } from "../laws/support.js"
import * as ManualClock from "../support/manualClock.js"
import * as Shelf from "../support/shelf.js"

const hour = 3_600_000
const ten = "10 seconds"

/** Memory over a shelf, which keeps its entries for as long as the real clock says. */
const tiers = (shelf = new Shelf.Shelf(), ttl?: Duration.DurationInput) =>
  TieredCache.layer({
    tiers: [
      { backend: MemoryCache.backend(), ttl },
      { backend: Effect.sync(() => CacheStore.fromBytes(Shelf.backend(shelf))) }
    ]
  })

const onClock = <A, E>(
  layer: Layer.Layer<CacheStore>,
  body: (clock: ManualClock.ManualClock) => Effect.Effect<A, E, CacheStore>,
  clock = ManualClock.make()
): Effect.Effect<A, E> =>
  Effect.provide(
    Effect.suspend(() => body(clock)),
    layer
  ).pipe(Effect.withClock(clock))

const freshFor = (clock: ManualClock.ManualClock) =>
  Option.map((view: Entry.View<unknown>) => view.freshUntil - clock.unsafeCurrentTimeMillis())

describe("law 1: freshness", () => {
  for (const [name, layer] of [
    ["memory", () => MemoryCache.layer()],
    ["memory over a slower tier", tiers]
  ] as const) {
    const shelf = new Shelf.Shelf()
    describe(`a wall clock that is set back, ${name}`, () => {
      it.effect("ttl - the entry is fresh for its ttl, and not for an hour longer", () =>
        onClock(layer(shelf), (clock) => {
          const { calls, lookup } = counting()
          const one = Cached.ttl(lookup(), { key: "k", ttl: ten })
          return Effect.gen(function* () {
            yield* one
            clock.pass(4_000)
            clock.set(-hour)
            deepStrictEqual(freshFor(clock)(yield* one.entry), Option.some(6_000))
            clock.pass(5_999)
            assert.strictEqual(yield* one, 1)
            clock.pass(1)
            shelf.places.clear()
            deepStrictEqual(yield* one.peek, Option.none())
            assert.strictEqual(calls.length, 1)
          })
        })
      )

      it.effect("ttl - an entry that was loaded while the clock was ahead ends as well", () =>
        onClock(layer(shelf), (clock) => {
          const one = Cached.ttl(Effect.succeed("v"), { key: "k", ttl: ten })
          return Effect.gen(function* () {
            clock.set(hour)
            yield* one
            clock.pass(1_000)
            clock.set(-hour)
            deepStrictEqual(freshFor(clock)(yield* one.entry), Option.some(9_000))
            clock.pass(9_000)
            shelf.places.clear()
            deepStrictEqual(yield* one.peek, Option.none())
          })
        })
      )

      it.effect("ttl - an entry from before the clock was set forward, and back again, keeps its end", () =>
        onClock(layer(shelf), (clock) => {
          const one = Cached.ttl(Effect.succeed("v"), { key: "k", ttl: ten })
          return Effect.gen(function* () {
            yield* one
            clock.set(hour)
            deepStrictEqual(yield* one.peek, Option.none())
            clock.pass(4_000)
            clock.set(-hour)
            deepStrictEqual(freshFor(clock)(yield* one.entry), Option.some(6_000))
          })
        })
      )

      it.effect("get - a value that was set ends, also one that was set if absent", () =>
        onClock(layer(shelf), (clock) =>
          Effect.gen(function* () {
            const store = yield* CacheStore
            yield* store.set("a", 1, { ttl: ten })
            yield* store.setIfAbsent("b", 2, { ttl: ten })
            deepStrictEqual(yield* store.getMany(["a", "b"]), [Option.some(1), Option.some(2)])
            clock.set(-hour)
            shelf.places.clear()
            clock.pass(9_999)
            deepStrictEqual(yield* store.getMany(["a", "b"]), [Option.some(1), Option.some(2)])
            clock.pass(1)
            deepStrictEqual(yield* store.getMany(["a", "b"]), [Option.none(), Option.none()])
          })
        )
      )

      it.effect("bgRead - the mirror keeps a value no longer", () =>
        onClock(layer(shelf), (clock) =>
          Effect.scoped(
            Effect.gen(function* () {
              const store = yield* CacheStore
              yield* store.set("k", 1, { ttl: ten })
              const mirror = yield* Cached.bgRead<number>({ key: "k" })
              yield* becomes(Effect.map(mirror, Option.isSome), true)
              clock.set(-hour)
              clock.pass(9_999)
              deepStrictEqual(yield* mirror, Option.some(1))
              clock.pass(1)
              deepStrictEqual(yield* mirror, Option.none())
            })
          )
        )
      )
    })
  }

  describe("a wall clock that is set back", () => {
    it.effect("swr - a stale entry is refreshed, and a refresh that failed pauses for as long as before", () =>
      onClock(MemoryCache.layer(), (clock) => {
        const { calls, lookup } = thenDoes(() => Effect.fail("no"))
        const one = Cached.swr(lookup(), { key: "k", ttl: ten, stale: "1 hour", retryAfter: "1 second" })
        return Effect.gen(function* () {
          yield* one
          clock.set(-hour)
          clock.pass(10_000)
          yield* one
          yield* becomes(
            Effect.map(stats, ({ refreshFailures }) => refreshFailures),
            1
          )
          clock.set(-hour)
          clock.pass(999)
          yield* one
          assert.strictEqual(calls.length, 2)
          clock.pass(1)
          yield* one
          yield* becomes(
            Effect.sync(() => calls.length),
            3
          )
        })
      })
    )

    it.effect("flightTimeout - a load can be joined for no longer", () =>
      onClock(MemoryCache.layer(), (clock) => {
        const { calls, door, lookup } = gated()
        const one = Cached.ttl(lookup(), { key: "k", ttl: ten, flightTimeout: ten })
        return Effect.gen(function* () {
          const first = yield* Effect.fork(one)
          yield* door.reached
          clock.set(-hour)
          clock.pass(9_999)
          const second = yield* Effect.fork(one)
          yield* Effect.yieldNow()
          assert.strictEqual(calls.length, 1)
          clock.pass(1)
          const third = yield* Effect.fork(one)
          yield* becomes(
            Effect.sync(() => calls.length),
            2
          )
          yield* door.open
          deepStrictEqual(yield* Fiber.joinAll([first, second, third]), [1, 1, 2])
        })
      })
    )

    it.effect("the ttl of a tier in memory - holds", () => {
      const shelf = new Shelf.Shelf()
      return onClock(tiers(shelf, "5 seconds"), (clock) =>
        Effect.gen(function* () {
          const store = yield* CacheStore
          yield* store.set("k", 1, { ttl: "1 minute" })
          yield* becomes(
            Effect.sync(() => shelf.places.size),
            1
          )
          shelf.places.clear()
          clock.set(-hour)
          clock.pass(4_999)
          deepStrictEqual(yield* store.get("k"), Option.some(1))
          clock.pass(1)
          deepStrictEqual(yield* store.get("k"), Option.none())
        })
      )
    })

    it.effect("a write that the backend has not confirmed - answers for its ttl", () => {
      const hanging = Shelf.backend(new Shelf.Shelf(), () => ({ setMany: () => Effect.never }))
      const layer = Layer.scoped(CacheStore, CacheStore.make(CacheStore.fromBytes(hanging), { drain: 0 }))
      return onClock(layer, (clock) => {
        const { calls, lookup } = counting()
        const one = Cached.ttl(lookup(), { key: "k", ttl: ten })
        return Effect.gen(function* () {
          yield* one
          clock.set(-hour)
          clock.pass(9_999)
          deepStrictEqual([yield* one, yield* one.peek], [1, Option.some(1)])
          clock.pass(1)
          deepStrictEqual(yield* one.peek, Option.none())
          assert.strictEqual(yield* one, 2)
          assert.strictEqual(calls.length, 2)
        })
      })
    })

    it.effect("bg - loads at its interval", () =>
      onClock(MemoryCache.layer(), (clock) => {
        const { calls, lookup } = counting()
        return Effect.scoped(
          Effect.gen(function* () {
            const loader = yield* Cached.bg(lookup(), { key: "k", interval: ten })
            assert.strictEqual(loader.key, "k")
            yield* settled
            clock.pass(10_000)
            yield* settled
            assert.strictEqual(calls.length, 2)
            // not a multiple of the interval
            clock.set(-hour - 3_000)
            for (let i = 0; i < 10; i++) {
              clock.pass(5_000)
              yield* settled
            }
            assert.isAtLeast(calls.length, 6)
            assert.isAtMost(calls.length, 7)
          })
        )
      })
    )

    it.effect("a background loader of a key - ends when nobody has read it for its time", () =>
      onClock(MemoryCache.layer(), (clock) => {
        const { calls, lookup } = counting()
        return Effect.scoped(
          Effect.gen(function* () {
            const one = yield* Cached.bg((_: string) => lookup(), {
              key: "k:{}",
              interval: "10 seconds",
              idleTimeToLive: "1 minute"
            })
            yield* one("a")
            yield* settled
            clock.set(-hour)
            const runs = function* (steps: number) {
              for (let i = 0; i < steps; i++) {
                clock.pass(5_000)
                yield* settled
              }
              return calls.length
            }
            // it begins to wait anew when it notices
            const ended = yield* runs(30)
            assert.isAtLeast(ended, 6)
            assert.strictEqual(yield* runs(30), ended)
          })
        )
      })
    )

    it.effect("steps - a small one at a time adds up, and each entry moves once", () =>
      onClock(MemoryCache.layer(), (clock) => {
        const one = Cached.ttl(Effect.succeed(1), { key: "k", ttl: "1 minute" })
        return Effect.gen(function* () {
          yield* one
          for (let i = 0; i < 10; i++) {
            clock.pass(2_000)
            clock.set(-400)
            yield* one
          }
          const [left] = Option.toArray(freshFor(clock)(yield* one.entry))
          assert.isAtLeast(left!, 40_000)
          assert.isAtMost(left!, 41_000)
        })
      })
    )

    it.effect("a clock whose monotonic reading follows - the entry ends, by the live clock", () =>
      onClock(
        MemoryCache.layer(),
        (clock) => {
          const one = Cached.ttl(Effect.succeed(1), { key: "k", ttl: "1 hour" })
          return Effect.gen(function* () {
            yield* one
            clock.set(-hour)
            const [left] = Option.toArray(freshFor(clock)(yield* one.entry))
            assert.isAtMost(left!, hour)
          })
        },
        ManualClock.make({ monotonic: false })
      )
    )

    it.effect("the clock of the readers alone - counts, whichever clock the Layer was built with", () => {
      const clock = ManualClock.make()
      const one = Cached.ttl(Effect.succeed(1), { key: "k", ttl: ten })
      return Effect.gen(function* () {
        yield* one
        clock.set(-hour)
        clock.pass(10_000)
        deepStrictEqual(yield* one.peek, Option.none())
      }).pipe(Effect.withClock(clock), Effect.provide(MemoryCache.layer()))
    })
  })

  it.effect("a wall clock that is set forward - the entry expires early, as after a suspension", () =>
    onClock(MemoryCache.layer(), (clock) => {
      const { calls, lookup } = counting()
      const one = Cached.ttl(lookup(), { key: "k", ttl: ten })
      return Effect.gen(function* () {
        yield* one
        clock.set(hour)
        assert.strictEqual(yield* one, 2)
        clock.pass(9_999)
        assert.strictEqual(yield* one, 2)
        assert.strictEqual(calls.length, 2)
      })
    })
  )

  describe("an entry from a process whose clock is ahead", () => {
    /** A shelf with an entry that was created an hour from now. */
    const ahead = (clock: ManualClock.ManualClock) => {
      const shelf = new Shelf.Shelf()
      const createdAt = clock.unsafeCurrentTimeMillis() + hour
      const entry = new Entry.Entry(Either.getOrThrow(Serializer.lossless.encode(1)), {
        stamp: 1,
        createdAt,
        freshUntil: createdAt + 10_000,
        expiresAt: createdAt + 10_000,
        owner: "",
        tags: []
      })
      shelf.put("k", 1, entry, Number.POSITIVE_INFINITY)
      return shelf
    }

    it.effect("the copy in memory - lives for the lifetime of the entry, from now", () => {
      const clock = ManualClock.make()
      const shelf = ahead(clock)
      return onClock(
        tiers(shelf),
        () =>
          Effect.gen(function* () {
            const store = yield* CacheStore
            deepStrictEqual(yield* store.get("k"), Option.some(1))
            shelf.places.clear()
            clock.pass(9_999)
            deepStrictEqual(yield* store.get("k"), Option.some(1))
            clock.pass(1)
            deepStrictEqual(yield* store.get("k"), Option.none())
          }),
        clock
      )
    })

    it.effect("a mirror - keeps it for its lifetime, and does not start again when it finds it again", () => {
      const clock = ManualClock.make()
      const shelf = ahead(clock)
      const store = Layer.scoped(CacheStore, CacheStore.make(CacheStore.fromBytes(Shelf.backend(shelf))))
      return onClock(
        store,
        () =>
          Effect.scoped(
            Effect.gen(function* () {
              const mirror = yield* Cached.bgRead<number>({ key: "k", interval: "4 seconds" })
              assert.strictEqual(yield* mirror.ready, 1)
              deepStrictEqual(yield* mirror.age, Option.some(Duration.zero))
              yield* settled
              clock.pass(4_000)
              yield* settled
              deepStrictEqual(yield* mirror.age, Option.some(Duration.seconds(4)))
              clock.pass(6_000)
              deepStrictEqual(yield* mirror, Option.none())
            })
          ),
        clock
      )
    })
  })

  it.effect("a TestClock - is never taken for a clock that was set back", () =>
    Effect.gen(function* () {
      const { calls, lookup } = counting()
      const one = Cached.ttl(lookup(), { key: "k", ttl: "1 hour" })
      yield* one
      for (let i = 0; i < 59; i++) {
        yield* TestClock.adjust("1 minute")
        yield* one
      }
      assert.strictEqual(calls.length, 1)
    }).pipe(Effect.provide(MemoryCache.layer()))
  )
})
