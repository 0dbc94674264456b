/**
 * `onError`: it sees every failure that no reader sees.
 */
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Layer, Option, TestClock } from "effect"
import { Cached, CachePolicy, CacheStore, MemoryCache, MemoryCacheLive } from "../../src/index.js"
import { becomes, recordWarnings, thenDoes } from "../laws/support.js"
import { on } from "./support.js"

const lifetime = { ttl: "10 seconds", stale: "50 seconds", retryAfter: "2 seconds" } as const

const recorder = () => {
  const seen: Array<readonly [cause: Cause.Cause<unknown>, ...args: ReadonlyArray<unknown>]> = []
  const onError = (cause: Cause.Cause<unknown>, ...args: ReadonlyArray<unknown>) =>
    Effect.sync(() => void seen.push([cause, ...args]))
  return { seen, onError, count: Effect.sync(() => seen.length) }
}

const failsAfterFirst = () => thenDoes(() => Effect.fail("down")).lookup

describe("onError", () => {
  it.effect("refresh - its cause and the arguments", () => {
    const { count, onError, seen } = recorder()
    const lookup = failsAfterFirst()
    const find = Cached.swr((_: number) => lookup(), { key: "user:{}", ...lifetime, onError })
    return Effect.gen(function* () {
      yield* find(7)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* find(7), 1)
      yield* becomes(count, 1)
      deepStrictEqual(seen, [[Cause.fail("down"), 7]])
    }).pipe(on)
  })

  it.effect("load that an old value answers - once for all its readers, and again for the next load", () => {
    const { count, onError, seen } = recorder()
    const { lookup } = thenDoes(() => Effect.zipRight(Effect.yieldNow(), Effect.die("bug")))
    const cached = Cached.ttl(lookup(), {
      key: "k",
      ttl: "10 seconds",
      staleIfError: "1 hour",
      retryAfter: "2 seconds",
      onError
    })
    return Effect.gen(function* () {
      yield* cached
      yield* TestClock.adjust("10 seconds")
      deepStrictEqual(yield* Effect.all([cached, cached, cached], { concurrency: 3 }), [1, 1, 1])
      yield* becomes(count, 1)
      deepStrictEqual(seen, [[Cause.die("bug")]])
      yield* TestClock.adjust("2 seconds")
      yield* cached
      yield* becomes(count, 2)
    }).pipe(on)
  })

  it.effect("failure that a reader sees - is not reported", () => {
    const { onError, seen } = recorder()
    const cached = Cached.ttl(Effect.fail("down"), { key: "k", ttl: "10 seconds", staleIfError: "1 hour", onError })
    return Effect.gen(function* () {
      deepStrictEqual(yield* Effect.exit(cached), Exit.fail("down"))
      deepStrictEqual(yield* Effect.exit(cached.refresh), Exit.fail("down"))
      yield* Effect.yieldNow()
      deepStrictEqual(seen, [])
      deepStrictEqual((yield* Effect.flatMap(CacheStore, (store) => store.health)).problems, [])
    }).pipe(on)
  })

  it.effect("refresh that takes longer than flightTimeout - is reported", () => {
    const { count, onError, seen } = recorder()
    const { lookup } = thenDoes(() => Effect.never)
    const cached = Cached.swr(lookup(), { key: "k", ...lifetime, flightTimeout: "1 second", onError })
    return Effect.gen(function* () {
      yield* cached
      yield* TestClock.adjust("10 seconds")
      yield* cached
      yield* TestClock.adjust("1 second")
      yield* becomes(count, 1)
      assert.instanceOf(Cause.squash(seen[0]![0]), Cause.TimeoutException)
    }).pipe(on)
  })

  it.effect("handler - has the services of the read that started the load, and takes the place of the Warning", () => {
    class Alarm extends Context.Tag("Alarm")<Alarm, { readonly ring: (of: string) => Effect.Effect<void> }>() {}
    const rung: Array<string> = []
    const { layer, lines } = recordWarnings()
    const cached = Cached.swr(failsAfterFirst()(), {
      key: "k",
      ...lifetime,
      onError: (cause) => Effect.flatMap(Alarm, ({ ring }) => ring(Cause.pretty(cause)))
    })
    return Effect.gen(function* () {
      yield* cached
      yield* TestClock.adjust("10 seconds")
      yield* cached
      yield* becomes(
        Effect.sync(() => rung),
        ["Error: down"]
      )
      deepStrictEqual(lines, [])
      deepStrictEqual(
        (yield* Effect.flatMap(CacheStore, (store) => store.health)).problems.map(({ name, subject }) => [
          name,
          subject
        ]),
        [["RefreshesFail", "k"]]
      )
    }).pipe(
      on,
      Effect.provideService(Alarm, { ring: (of) => Effect.sync(() => void rung.push(of)) }),
      Effect.provide(layer)
    )
  })

  it.effect("captured and partitioned - the handler has the tenant of the read", () => {
    class Tenant extends Context.Tag("Tenant")<Tenant, string>() {}
    const seen: Array<string> = []
    const lookup = failsAfterFirst()
    const find = Cached.swr((_: number) => lookup(), {
      key: "user:{}",
      ...lifetime,
      partition: Tenant,
      onError: (_, id) => Effect.map(Tenant, (tenant) => void seen.push(`${tenant} ${id}`))
    })
    return Effect.gen(function* () {
      const captured = yield* Cached.capture(find)
      yield* captured(1)
      yield* TestClock.adjust("10 seconds")
      yield* captured(1)
      yield* becomes(
        Effect.sync(() => seen),
        ["acme 1"]
      )
    }).pipe(on, Effect.provideService(Tenant, "acme"))
  })

  it.effect("handler that fails - is one Warning, and breaks nothing", () => {
    const { layer, lines } = recordWarnings()
    const cached = Cached.swr(failsAfterFirst()(), { key: "k", ...lifetime, onError: () => Effect.die("handler") })
    return Effect.gen(function* () {
      yield* cached
      for (const at of [10_000, 12_000]) {
        yield* TestClock.setTime(at)
        assert.strictEqual(yield* cached, 1)
        yield* Effect.yieldNow()
      }
      yield* becomes(
        Effect.sync(() => lines.filter((line) => line.includes("the onError handler of k failed")).length),
        1
      )
    }).pipe(on, Effect.provide(layer))
  })

  it.effect("handler that hangs - is interrupted after flightTimeout", () =>
    Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      const cached = Cached.swr(failsAfterFirst()(), {
        key: "k",
        ...lifetime,
        flightTimeout: "5 seconds",
        onError: () => Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
      })
      yield* cached
      yield* TestClock.adjust("10 seconds")
      yield* cached
      yield* Effect.yieldNow()
      yield* TestClock.adjust("5 seconds")
      yield* Deferred.await(interrupted)
    }).pipe(on)
  )

  it.effect("law 11: the scope ends everything - a handler that hangs is interrupted with the store", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      let interrupted = 0
      const cached = Cached.swr(failsAfterFirst()(), {
        key: "k",
        ...lifetime,
        onError: () =>
          Effect.zipRight(
            Deferred.succeed(begun, undefined),
            Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
          )
      })
      yield* Effect.gen(function* () {
        yield* cached
        yield* TestClock.adjust("10 seconds")
        yield* cached
        yield* Deferred.await(begun)
      }).pipe(Effect.provide(MemoryCache.layer()))
      assert.strictEqual(interrupted, 1)
    })
  )

  it.effect("policy and batched - take it, too", () => {
    const { count, onError, seen } = recorder()
    const lookup = failsAfterFirst()
    const many = thenDoes(() => Effect.fail("down")).lookup
    const byPolicy = Cached.policy((_: string) => lookup(), { key: "p:{}", onError })
    const batched = Cached.batched(
      (ids: ReadonlyArray<number>) => Effect.map(many(), (value) => ids.map((id) => [id, value] as const)),
      { key: "b:{}", ...lifetime, onError }
    )
    return Effect.gen(function* () {
      yield* byPolicy("a")
      yield* batched(1)
      yield* TestClock.adjust("10 seconds")
      yield* byPolicy("a")
      yield* becomes(count, 1)
      deepStrictEqual(yield* batched(1), Option.some(1))
      yield* becomes(count, 2)
      deepStrictEqual(seen, [
        [Cause.fail("down"), "a"],
        [Cause.fail("down"), 1]
      ])
    }).pipe(Effect.provide(Layer.merge(MemoryCacheLive, CachePolicy.layer({ ttl: "10 seconds", stale: "1 minute" }))))
  })

  it.effect("bg - a run that fails, and a load of a reader that the last value answers", () => {
    const { count, onError, seen } = recorder()
    return Effect.scoped(
      Effect.gen(function* () {
        const cached = yield* Cached.bg(failsAfterFirst()(), {
          key: "k",
          interval: "60 seconds",
          ttl: "90 seconds",
          staleIfError: "1 hour",
          onError
        })
        yield* becomes(cached.peek, Option.some(1))
        yield* TestClock.setTime(60_000)
        yield* becomes(count, 1)
        yield* TestClock.setTime(110_000)
        assert.strictEqual(yield* cached, 1)
        yield* becomes(count, 2)
        deepStrictEqual(seen, [[Cause.fail("down")], [Cause.fail("down")]])
      })
    ).pipe(on)
  })
})
