import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Layer, ManagedRuntime, TestClock } from "effect"
import { Cached, CacheStore, MemoryCache, TieredCache } from "effect-cached"
import { Problems } from "../../src/internal/problems.js"
import { recordWarnings } from "../laws/support.js"

/** A clock that the test sets. */
const manualClock = () => {
  let now = 0
  const clock: Clock.Clock = {
    ...Clock.make(),
    unsafeCurrentTimeMillis: () => now,
    unsafeCurrentTimeNanos: () => BigInt(now) * 1_000_000n
  }
  return { clock, pass: (millis: number) => (now += millis) }
}

const make = () => {
  const { lines, layer } = recordWarnings({ builds: true })
  const { clock, pass } = manualClock()
  const problems = new Problems("redis", (effect) => Effect.runSync(Effect.provide(effect, layer)), clock)
  return { lines, pass, problems }
}

describe("Problems", () => {
  it("an event - is logged once, counted, and forgotten an hour after it was last seen", () => {
    const { lines, pass, problems } = make()
    problems.report("ValueRefused", "user", "first")
    pass(3_000_000)
    problems.report("ValueRefused", "user", "second")
    pass(3_000_000)
    assert.deepStrictEqual(
      problems.list.map(({ count, last, message, since }) => ({ count, message, seen: last - since })),
      [{ count: 2, message: "first", seen: 3_000_000 }]
    )
    pass(600_000)
    assert.deepStrictEqual(problems.list, [])
    assert.deepStrictEqual(lines, ["first"])
    problems.report("ValueRefused", "user", "third")
    assert.deepStrictEqual(lines, ["first", "third"])
  })

  it("a state - is listed until it ends, however long that takes", () => {
    const { lines, pass, problems } = make()
    problems.begin("ReadsFail", "", "down")
    pass(36_000_000)
    problems.begin("ReadsFail", "", "down")
    assert.deepStrictEqual(
      problems.list.map(({ count }) => count),
      [2]
    )
    assert.isTrue(problems.end("ReadsFail", ""))
    assert.isFalse(problems.end("ReadsFail", ""))
    assert.deepStrictEqual(problems.list, [])
    assert.lengthOf(lines, 1)
  })

  it("a state that begins and ends all the time - is ten lines per minute, and logged again when it stays", () => {
    const { lines, pass, problems } = make()
    for (let i = 0; i < 100; i++) {
      problems.begin("WritesFail", "", "refused")
      problems.end("WritesFail", "")
    }
    problems.begin("WritesFail", "", "refused")
    assert.lengthOf(lines, 10)
    problems.begin("ReadsFail", "", "another kind is logged")
    assert.lengthOf(lines, 11)
    pass(60_000)
    problems.begin("WritesFail", "", "refused")
    assert.lengthOf(lines, 12)
    assert.strictEqual(lines[11], "refused (90 more like this were not logged)")
    problems.end("WritesFail", "")
    problems.begin("WritesFail", "", "refused")
    assert.strictEqual(lines[12], "refused")
  })

  it("subjects - are bounded: beyond 100 of a name they count as one", () => {
    const { problems } = make()
    for (let i = 0; i < 300; i++) problems.report("ValueRefused", `f${i}`, "refused")
    assert.lengthOf(problems.list, 101)
    assert.strictEqual(problems.list.find(({ subject }) => subject === "other")?.count, 200)
  })
})

describe("a store that is built too often", () => {
  const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "user:{}", ttl: "1 minute" })
  const tooOften = (name: string) => (line: string) => line.startsWith(`${name}: `) && line.includes("ten times")

  it.effect("a Layer per request - is one Warning by the store's name that says what to do, and in `health`", () => {
    const { lines, layer } = recordWarnings({ builds: true })
    const request = Effect.provide(
      Effect.zipRight(
        find(1),
        Effect.flatMap(CacheStore, (store) => store.health)
      ),
      [MemoryCache.layer({ name: "per-request" })]
    )
    return Effect.gen(function* () {
      for (let i = 0; i < 10; i++) deepStrictEqual((yield* request).problems, [])
      deepStrictEqual(lines, [])
      for (let i = 0; i < 20; i++) deepStrictEqual((yield* request).problems[0]?.name, "BuiltTooOften")
      assert.lengthOf(lines.filter(tooOften("per-request")), 1)
      assert.include(lines[0], "Provide its Layer once")
    }).pipe(Effect.provide(layer))
  })

  it.effect("tiers - are counted by the name of the store, each name for itself", () => {
    const { lines, layer } = recordWarnings({ builds: true })
    const tiers = (name: string) =>
      TieredCache.layer({
        name,
        tiers: [{ backend: MemoryCache.backend() }, { backend: MemoryCache.backend({ name: "second" }) }]
      })
    return Effect.gen(function* () {
      for (let i = 0; i < 10; i++) {
        yield* Effect.provide(find(1), tiers("tiers-a"))
        yield* Effect.provide(find(1), tiers("tiers-b"))
      }
      deepStrictEqual(lines, [])
      yield* Effect.provide(find(1), tiers("tiers-a"))
      assert.lengthOf(lines, 1)
      assert.isTrue(tooOften("tiers-a")(lines[0]!))
    }).pipe(Effect.provide(layer))
  })

  it.effect("ten times a minute - is not too often", () => {
    const { lines, layer } = recordWarnings({ builds: true })
    return Effect.gen(function* () {
      for (let i = 0; i < 60; i++) {
        yield* Effect.provide(find(1), MemoryCache.layer({ name: "slow" }))
        yield* TestClock.adjust("6 seconds")
      }
      deepStrictEqual(lines, [])
    }).pipe(Effect.provide(layer))
  })

  it("on the clock of the process - a runtime per request is one Warning, too", async () => {
    const { lines, layer } = recordWarnings({ builds: true })
    for (let i = 0; i < 15; i++) {
      const runtime = ManagedRuntime.make(Layer.provideMerge(MemoryCache.layer({ name: "per-runtime" }), layer))
      await runtime.runPromise(find(1))
      await runtime.dispose()
    }
    assert.lengthOf(lines.filter(tooOften("per-runtime")), 1)
  })
})
