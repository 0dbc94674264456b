/** Renewals of entries that were read (`maxIdle`): how they fail, how they end, and that no read waits for them. */
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope, TestClock } from "effect"
import { type Backend, Cached, CacheStore, CacheStoreError, MemoryCache, TieredCache } from "effect-cached"
import { ChaosCache } from "effect-cached/testing"
import { guard } from "../../src/internal/backends/breaker.js"
import { counting, recordWarnings, settled, until } from "../laws/support.js"
import { awaitUntil, live } from "../support/live.js"

const options = { key: "k", ttl: "1 minute", maxIdle: "16 seconds" } as const

/** A remote backend that keeps what it is told, and the renewals that it was asked for. */
const recording = Effect.gen(function* () {
  const { backend, chaos } = yield* ChaosCache.make(yield* MemoryCache.backend())
  const asked: Array<Backend.Renewal> = []
  const renew: Backend.Backend["renew"] = (renewals) =>
    Effect.suspend(() => {
      asked.push(...renewals)
      return backend.renew!(renewals)
    })
  return { asked, chaos, backend: { ...backend, renew } satisfies Backend.Backend }
})

const made = (options: CacheStore.Options = {}) =>
  Effect.gen(function* () {
    const { asked, backend, chaos } = yield* recording
    return { asked, chaos, store: yield* CacheStore.make(backend, options) }
  })

const failed = (store: CacheStore.Service) =>
  Effect.map(store.health, ({ problems }) => problems.map(({ name }) => name).filter((name) => name === "RenewalsFail"))

describe("renewals", () => {
  it.scoped("one that hangs - delays no read, and no other is sent for its key meanwhile", () =>
    Effect.gen(function* () {
      const { asked, chaos, store } = yield* made()
      const { calls, lookup } = counting()
      const cached = Effect.provideService(Cached.ttl(lookup(), options), CacheStore, store)
      yield* cached
      yield* chaos.begin({ hang: 1 }, ["renew"])
      yield* TestClock.adjust("8 seconds")
      for (let read = 0; read < 10; read++) assert.strictEqual(yield* cached, 1)
      yield* until(() => asked.length > 0, "a renewal runs")
      yield* settled
      assert.lengthOf(asked, 1)
      deepStrictEqual(asked[0], { key: "k", stamp: asked[0]!.stamp, createdAt: 0, at: 8_000, lifetime: 16_000 })
      yield* TestClock.adjust("7 seconds")
      assert.strictEqual(yield* cached, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* cached, 2)
      assert.strictEqual(calls.length, 2)
    })
  )

  it.scoped("one that fails - is counted and reported once, until one succeeds", () => {
    const { layer, lines } = recordWarnings()
    return Effect.gen(function* () {
      const { asked, chaos, store } = yield* made({ breaker: false })
      const cached = Effect.provideService(Cached.ttl(counting().lookup(), options), CacheStore, store)
      const errors = Effect.map(store.stats, ({ storeErrors }) => storeErrors)
      yield* cached
      yield* chaos.begin({ fail: 1 }, ["renew"])
      for (let read = 1; read < 4; read++) {
        yield* TestClock.adjust("4 seconds")
        assert.strictEqual(yield* cached, 1)
        yield* awaitUntil(
          Effect.map(errors, (n) => n === read),
          "it is counted"
        )
      }
      deepStrictEqual(yield* failed(store), ["RenewalsFail"])
      assert.lengthOf(lines, 1)
      assert.match(lines[0]!, /renew.*entries of functions with `maxIdle` may expire although they are read/s)
      yield* chaos.calm
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* cached, 1)
      yield* awaitUntil(
        Effect.map(failed(store), (problems) => problems.length === 0),
        "the problem is over"
      )
      assert.lengthOf(asked, 4)
      yield* TestClock.adjust("15 seconds")
      assert.strictEqual(yield* cached, 1)
    }).pipe(Effect.provide(layer))
  })

  it.scoped(
    "a copy in memory - asks once, again after a sixteenth of the time if that failed, and never if it is gone",
    () =>
      Effect.gen(function* () {
        const { asked, backend, chaos } = yield* recording
        const store = yield* TieredCache.make({
          tiers: [{ backend: MemoryCache.backend() }, { backend: Effect.succeed(backend), name: "remote" }],
          breaker: false
        })
        const cached = Effect.provideService(Cached.ttl(counting().lookup(), options), CacheStore, store)
        const times = () => asked.map(({ at }) => at)
        /** Reads a hundred times in ten seconds. */
        const readOn = Effect.forEach(Array.from({ length: 100 }), () =>
          Effect.zipRight(TestClock.adjust(100), Effect.zipRight(cached, settled))
        )
        yield* cached
        yield* settled
        yield* readOn
        deepStrictEqual(times(), [4_000, 8_000])
        yield* chaos.begin({ fail: 1 }, ["renew"])
        asked.length = 0
        yield* readOn
        deepStrictEqual(times(), [12_000, 13_000, 14_000, 15_000, 16_000, 17_000, 18_000, 19_000, 20_000])
        yield* chaos.calm
        yield* readOn
        asked.length = 0
        yield* backend.removeMany([{ key: "k", stamp: 1, tombstone: 0, authoritative: true }])
        yield* readOn
        assert.lengthOf(times(), 1)
      })
  )

  it.scoped("an open breaker - sends none, and none is its probe", () =>
    Effect.gen(function* () {
      const sent: Array<string> = []
      const fail = (method: string) =>
        Effect.suspend(() => {
          sent.push(method)
          return Effect.fail(new CacheStoreError({ reason: "Timeout", store: "s", method }))
        })
      const inner: Backend.Backend = {
        name: "s",
        remote: true,
        getMany: () => fail("getMany"),
        setMany: () => fail("setMany"),
        setIfAbsent: () => fail("setIfAbsent"),
        removeMany: () => fail("removeMany"),
        renew: () => fail("renew")
      }
      const { getMany, renew, states } = yield* guard(inner, { failures: 2, pause: 1 }, "s")
      const renewal = { key: "k", stamp: 1, createdAt: 0, at: 1, lifetime: 1 }
      yield* Effect.exit(renew!([renewal]))
      yield* Effect.exit(getMany([{ key: "k" }]))
      deepStrictEqual(sent, ["renew", "getMany"])
      assert.isFalse(states!()[0]!.isUp)
      // also when its pause is over
      yield* live(Effect.sleep("5 millis"))
      const exit = yield* Effect.exit(renew!([renewal]))
      assert.strictEqual(
        exit._tag === "Failure" && exit.cause._tag === "Fail" && exit.cause.error.reason,
        "Disconnected"
      )
      deepStrictEqual([sent.length, states!()[0]!.skipped], [2, 0])
      yield* Effect.exit(getMany([{ key: "k" }]))
      assert.lengthOf(sent, 3)
    })
  )

  it.scoped("closing the store - ends those that run, and drops those that wait", () =>
    Effect.gen(function* () {
      const { asked, backend } = yield* recording
      let isEnded = false
      const renew: typeof backend.renew = (renewals) =>
        Effect.zipRight(
          backend.renew(renewals),
          Effect.onInterrupt(Effect.never, () =>
            Effect.sync(() => {
              isEnded = true
            })
          )
        )
      const scope = yield* Scope.make()
      const store = yield* Scope.extend(CacheStore.make({ ...backend, renew }), scope)
      const get = Cached.ttl((id: string) => Effect.succeed(id), { ...options, key: "{}" })
      const run = Effect.provideService(CacheStore, store)
      yield* run(Effect.all([get("a"), get("b")]))
      yield* settled
      yield* TestClock.adjust("8 seconds")
      yield* run(get("a"))
      yield* until(() => asked.length === 1, "a renewal runs")
      // its renewal waits for the end of this turn
      yield* run(get("b"))
      // a renewal that runs on would keep this waiting for longer than a test may take
      yield* Scope.close(scope, Exit.void)
      yield* settled
      assert.isTrue(isEnded)
      assert.lengthOf(asked, 1)
    })
  )
})
