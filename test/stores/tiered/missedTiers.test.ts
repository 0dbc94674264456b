/**
 * Writes and marks that one of several tiers missed: the others are used meanwhile, and the tier gets them later.
 */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Logger, LogLevel, Option, TestClock } from "effect"
import { type Backend, Cached, CacheStore, CacheStoreError, Serializer, TieredCache } from "effect-cached"
import * as FromBytes from "../../../src/internal/backends/fromBytes.js"
import { numbered, settled, until } from "../../laws/support.js"
import { Shelf, backend as shelfBackend } from "../../support/shelf.js"

const minute = { ttl: "10 minutes" } as const

/** A backend that fails while `isDown`, and takes no value while `isLate`, as if tombstones might have expired. */
const breakable = (shelf: Shelf) => {
  const state = { isDown: false, isLate: false }
  const error = new CacheStoreError({ reason: "Rejected", store: "test", method: "test" })
  const guard = <A>(effect: Effect.Effect<A, CacheStoreError>) => Effect.suspend(() => (state.isDown ? error : effect))
  const honest = FromBytes.make(shelfBackend(shelf), Serializer.lossless, FromBytes.limitsOf({}, "test"))
  const { marks } = honest
  const backend: Backend.Backend = {
    ...honest,
    getMany: (reads) => guard(honest.getMany(reads)),
    setMany: (writes) =>
      guard(
        Effect.suspend(() =>
          state.isLate ? Effect.succeed(writes.map((): Backend.Written => ({ _tag: "Late" }))) : honest.setMany(writes)
        )
      ),
    removeMany: (removals) => guard(honest.removeMany(removals)),
    marks: { ...marks, read: guard(marks!.read), raise: (raised) => guard(marks!.raise(raised)) }
  }
  return { state, shelf, backend }
}

/** Two tiers that processes share. */
const make = Effect.gen(function* () {
  const near = breakable(new Shelf())
  const far = breakable(new Shelf())
  const tiers = [
    { name: "near", backend: Effect.succeed(near.backend) },
    { name: "far", backend: Effect.succeed(far.backend) }
  ] as const
  const store = yield* TieredCache.make({ tiers })
  const run = Effect.provideService(CacheStore, store)
  const undelivered = Effect.map(store.health, (health) => health.undelivered)
  return { near, far, store, run, undelivered }
})

describe("what one tier missed", () => {
  for (const down of ["near", "far"] as const) {
    it.scoped(`a tag while the ${down} tier is down - the other tier is used, and the tier gets it later`, () =>
      Effect.gen(function* () {
        const parts = yield* make
        const { run, undelivered } = parts
        const broken = parts[down]
        const { calls, lookup } = numbered((call, _: string) => Effect.succeed(call))
        const find = Cached.ttl(lookup, { key: "k:{}", ...minute, tags: ["t"] })
        assert.strictEqual(yield* run(find("a")), 1)
        yield* until(() => parts.far.shelf.places.has("k:a"), "the value was stored")
        broken.state.isDown = true
        yield* run(Cached.invalidateTags(["t"]))
        assert.strictEqual(yield* undelivered, 1)
        for (let i = 0; i < 5; i++) {
          assert.strictEqual(yield* run(find("a")), 2)
          yield* settled
        }
        assert.strictEqual(calls.length, 2)
        broken.state.isDown = false
        yield* until(() => broken.shelf.marks.has("t:t"), "the tier got the mark")
        assert.strictEqual(yield* undelivered, 0)
        assert.strictEqual(yield* run(find("a")), 2)
      })
    )
  }

  it.scoped("a tag while every tier is down - entries that carry it are misses until one has it", () =>
    Effect.gen(function* () {
      const { far, near, run, undelivered } = yield* make
      const { lookup } = numbered((call, _: string) => Effect.succeed(call))
      const find = Cached.ttl(lookup, { key: "k:{}", ...minute, tags: ["t"] })
      yield* run(find("a"))
      yield* until(() => far.shelf.places.has("k:a"), "the value was stored")
      near.state.isDown = true
      far.state.isDown = true
      yield* run(Cached.invalidateTags(["t"]))
      near.state.isDown = false
      assert.strictEqual(yield* run(find("a")), 2)
      yield* until(() => near.shelf.marks.has("t:t"), "one tier got the mark")
      yield* settled
      assert.strictEqual(yield* run(find("a")), yield* run(find("a")))
      assert.strictEqual(yield* undelivered, 1)
    })
  )

  for (const verb of ["invalidate", "set"] as const) {
    it.scoped(`${verb} while the far tier is down - the near tier is used, and the far tier gets it later`, () =>
      Effect.gen(function* () {
        const { far, near, run, store, undelivered } = yield* make
        const { calls, lookup } = numbered((call, _: string) => Effect.succeed(call))
        const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
        yield* run(find("a"))
        yield* until(() => far.shelf.places.has("k:a"), "the value was stored")
        const old = far.shelf.places.get("k:a")!
        far.state.isDown = true
        yield* run(verb === "set" ? find.set("a")(2) : find.invalidate("a"))
        assert.strictEqual(yield* undelivered, 1)
        for (let i = 0; i < 5; i++) {
          assert.strictEqual(yield* run(find("a")), 2)
          yield* settled
        }
        assert.strictEqual(calls.length, verb === "set" ? 1 : 2)
        // the near tier loses the key, and the far tier still holds the outdated entry
        near.shelf.places.delete("k:a")
        const stamp = yield* Effect.map(run(find.entry("a")), Option.isNone)
        assert.isTrue(stamp)
        far.state.isDown = false
        assert.isTrue(far.shelf.places.get("k:a") === old)
        if (verb === "invalidate") assert.strictEqual(yield* run(find("a")), 3)
        yield* until(() => far.shelf.places.get("k:a") !== old, "the far tier got it")
        yield* settled
        yield* Effect.repeat(undelivered, { until: (n) => n === 0 })
        deepStrictEqual(yield* store.get("k:a"), Option.some(verb === "set" ? 2 : 3))
        yield* TestClock.adjust("1 second")
      })
    )
  }

  for (const wasDown of [true, false]) {
    it.scoped(
      `a set that the far tier takes too late${wasDown ? ", after it was down" : ""} - is a removal there, and ends`,
      () =>
        Effect.gen(function* () {
          const { far, near, run, store, undelivered } = yield* make
          const { lookup } = numbered((call, _: string) => Effect.succeed(call))
          const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
          yield* run(find("a"))
          yield* until(() => far.shelf.places.has("k:a"), "the value was stored")
          far.state.isDown = wasDown
          far.state.isLate = true
          yield* run(find.set("a")(2))
          far.state.isDown = false
          assert.strictEqual(yield* run(find("a")), 2)
          yield* until(() => far.shelf.places.get("k:a")?.entry === undefined, "the far tier dropped the old value")
          yield* settled
          assert.strictEqual(yield* undelivered, 0)
          // the near tier still has the value, and the far one nothing that could come back
          deepStrictEqual(yield* store.get("k:a"), Option.some(2))
          near.shelf.places.delete("k:a")
          deepStrictEqual(yield* store.get("k:a"), Option.none())
        }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
    )
  }
})
