import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Fiber, Layer, Logger, Option, TestClock } from "effect"
import * as Cached from "../../../src/Cached.js"
import * as MemoryCache from "../../../src/MemoryCache.js"
import { loadLaws } from "../../laws/index.js"
import { eventually, gate, makeLookup, numbered, recordWarnings, settled, stats, waiting } from "../../laws/support.js"

loadLaws({ name: "memory", layer: MemoryCache.layer(), remote: false })

describe("law 17: bounded - limits set by the Layer", () => {
  it.effect("loads - a read beyond the limit loads for itself and stores nothing, with one Warning", () => {
    const warnings = recordWarnings()
    return Effect.gen(function* () {
      const door = gate()
      const { calls, lookup } = makeLookup((id: number) => Effect.as(door.pass, id))
      const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
      const fibers = yield* Effect.forEach([1, 2, 3, 3, 4, 1], (id) => Effect.fork(find(id)))
      yield* eventually(() => calls.length === 5, "the readers beyond the limit have begun their own loads")
      // Five lookups run, two of them shared: all five are loads.
      assert.deepInclude(yield* stats, { misses: 6, loads: 5, coalesced: 1, inFlight: 2 })
      yield* door.open
      deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), [1, 2, 3, 3, 4, 1])
      deepStrictEqual(yield* Effect.forEach([1, 2, 3, 4], (id) => Effect.map(find.peek(id), Option.isSome)), [
        true,
        true,
        false,
        false
      ])
      assert.strictEqual((yield* stats).inFlight, 0)
      // There is room again.
      yield* find(3)
      deepStrictEqual(yield* find.peek(3), Option.some(3))
      assert.strictEqual(warnings.lines.filter((line) => line.includes("loads at once")).length, 1)
    }).pipe(Effect.provide(Layer.provide(MemoryCache.layer({ maxFlights: 2 }), warnings.layer)))
  })

  it.effect("loads - a load beyond the limit can be interrupted", () =>
    Effect.gen(function* () {
      let ended = 0
      const { calls, lookup } = makeLookup((_: number) =>
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended++))
      )
      const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
      const fibers = yield* Effect.forEach([1, 2], (id) => Effect.fork(find(id)))
      yield* eventually(() => calls.length === 2, "both have begun")
      yield* Fiber.interrupt(fibers[1]!)
      assert.strictEqual(ended, 1)
      yield* Fiber.interrupt(fibers[0]!)
      assert.strictEqual(ended, 2)
    }).pipe(Effect.provide(MemoryCache.layer({ maxFlights: 1 })))
  )

  for (const verb of ["refresh", "reload"] as const) {
    it.effect(`loads - ${verb} keeps the limit, too`, () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = makeLookup((id: number) => Effect.as(door.pass, id))
        const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
        const fibers = yield* Effect.forEach([1, 2, 3, 4, 5], (id) =>
          Effect.fork(verb === "refresh" ? find.refresh(id) : Cached.reload(find(id)))
        )
        yield* eventually(() => calls.length === 5, "all loads have begun")
        assert.isAtMost((yield* stats).inFlight, 2)
        // These loads are not shared, but they are counted like any other.
        assert.deepInclude(yield* stats, { misses: 5, loads: 5 })
        yield* door.open
        deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), [1, 2, 3, 4, 5])
      }).pipe(Effect.provide(MemoryCache.layer({ maxFlights: 2 })))
    )
  }

  it.effect("loads - at the limit, a successor of a detached or late load takes its place", () =>
    Effect.gen(function* () {
      const doors = [gate(), gate(), gate()]
      const { lookup } = numbered((call, _: string) => Effect.as(doors[call - 1]!.pass, call))
      const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute", flightTimeout: "5 seconds" })
      const fibers = [yield* Effect.fork(find("a"))]
      yield* doors[0]!.reached
      yield* find.invalidate("a")
      fibers.push(yield* Effect.fork(find("a")))
      yield* doors[1]!.reached
      yield* TestClock.adjust("5 seconds")
      fibers.push(yield* Effect.fork(find("a")))
      yield* waiting(3)
      yield* doors[2]!.reached
      assert.deepInclude(yield* stats, { loads: 3, inFlight: 1 })
      for (const door of doors) yield* door.open
      deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), [1, 2, 3])
      deepStrictEqual(yield* find.peek("a"), Option.some(3))
    }).pipe(Effect.provide(MemoryCache.layer({ maxFlights: 1 })))
  )

  it.effect("refreshes - at most `maxRefreshes` run at once", () =>
    Effect.gen(function* () {
      const door = gate()
      const { calls, lookup } = numbered((call, id: number) => Effect.as(call > 3 ? door.pass : Effect.void, id))
      const find = Cached.swr(lookup, { key: "k:{}", ttl: "10 seconds", stale: "1 minute" })
      yield* Effect.forEach([1, 2, 3], (id) => find(id))
      yield* TestClock.adjust("10 seconds")
      deepStrictEqual(yield* Effect.forEach([1, 2, 3], (id) => find(id)), [1, 2, 3])
      yield* settled
      assert.strictEqual(calls.length, 4)
      assert.deepInclude(yield* stats, { staleHits: 3, refreshes: 1, inFlight: 1 })
      yield* door.open
    }).pipe(Effect.provide(Layer.merge(MemoryCache.layer({ maxRefreshes: 1 }), Logger.remove(Logger.defaultLogger))))
  )
})
