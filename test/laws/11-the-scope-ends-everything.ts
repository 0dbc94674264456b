/**
 * Law 11 (the scope ends everything): closing the Layer ends loads, refreshes and daemons, and nobody hangs.
 */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, type Exit, Fiber, Option, Runtime, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import type { CacheStore } from "../../src/CacheStore.js"
import {
  begun,
  eventually,
  gate,
  isInterrupted,
  makeLookup,
  numbered,
  openStore,
  type StoreUnderTest,
  settled,
  stats,
  testOn,
  waiting
} from "./support.js"

export const scopeEndsEverything = (store: StoreUnderTest): void => {
  const test = testOn(store)

  describe("law 11: the scope ends everything", () => {
    test("loads - are interrupted with their waiters before closing returns, detached loads included", () =>
      Effect.gen(function* () {
        const own = yield* openStore(store.layer)
        const log: Array<string> = []
        const { calls, lookup } = numbered((call, key: string) => {
          return Effect.acquireRelease(Effect.void, () =>
            Effect.zipRight(
              Effect.yieldNow(),
              Effect.sync(() => log.push(`released ${key} ${call}`))
            )
          ).pipe(Effect.zipRight(Effect.never as Effect.Effect<number>))
        })
        const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
        const fibers = [yield* Effect.fork(own.provide(find("a")))]
        yield* begun(calls, 1)
        yield* own.provide(find.invalidate("a"))
        fibers.push(yield* Effect.fork(own.provide(find("a"))))
        yield* begun(calls, 2)
        fibers.push(yield* Effect.fork(own.provide(Effect.uninterruptible(find("b")))))
        yield* begun(calls, 3)
        fibers.push(yield* Effect.fork(own.provide(find("b"))))
        yield* own.provide(waiting(4))
        yield* own.close
        assert.sameMembers(log, ["released a 1", "released a 2", "released b 3"])
        for (const exit of yield* Effect.forEach(fibers, Fiber.await)) assert.isTrue(isInterrupted(exit))
        assert.strictEqual((yield* own.provide(stats)).inFlight, 0)
      }))

    test("refreshes - are interrupted and not counted as failed", () =>
      Effect.gen(function* () {
        const own = yield* openStore(store.layer)
        let interrupted = 0
        const { calls, lookup } = numbered((call, _: number) =>
          call > 3 ? Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++)) : Effect.succeed(1)
        )
        const find = Cached.swr(lookup, { key: "k:{}", ttl: "10 seconds", stale: "1 minute" })
        for (const id of [1, 2, 3]) yield* own.provide(find(id))
        yield* TestClock.adjust("10 seconds")
        for (const id of [1, 2, 3]) yield* own.provide(find(id))
        yield* begun(calls, 6)
        yield* own.close
        assert.strictEqual(interrupted, 3)
        assert.deepInclude(yield* own.provide(stats), { refreshFailures: 0, inFlight: 0 })
      }))

    test("a refresh's flightTimeout - is not waited for and does nothing afterwards", () =>
      Effect.gen(function* () {
        const own = yield* openStore(store.layer)
        const { calls, lookup } = numbered((call) => (call > 1 ? Effect.never : Effect.succeed(1)))
        const find = Cached.swr(lookup, {
          key: "k",
          ttl: "10 seconds",
          stale: "1 minute",
          flightTimeout: "5 seconds"
        })
        yield* own.provide(find())
        yield* TestClock.adjust("10 seconds")
        yield* own.provide(find())
        yield* begun(calls, 2)
        yield* own.close
        yield* TestClock.adjust("1 minute")
        yield* settled
        assert.deepInclude(yield* own.provide(stats), { refreshFailures: 0, loads: 2 })
      }))

    test("bg - its daemon ends with the store, together with a running load", () =>
      Effect.gen(function* () {
        const own = yield* openStore(store.layer)
        let interrupted = 0
        const { calls, lookup } = numbered((call) =>
          call === 2 ? Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++)) : Effect.succeed(call)
        )
        const read = yield* own.provide(Cached.bg(lookup(), { key: "k", interval: "10 seconds" }))
        yield* begun(calls, 1)
        yield* eventually(
          Effect.map(own.provide(stats), ({ inFlight }) => inFlight === 0),
          "the first run has ended"
        )
        yield* eventually(Effect.map(read.peek, Option.contains(1)), "the first value is there")
        yield* TestClock.adjust("10 seconds")
        yield* begun(calls, 2)
        yield* own.close
        assert.strictEqual(interrupted, 1)
        yield* TestClock.adjust("1 minute")
        yield* settled
        assert.strictEqual(calls.length, 2)
        assert.isTrue(isInterrupted(yield* Effect.exit(read)))
      }))

    test("after closing - every read and every verb is interrupted, and no lookup runs", () =>
      Effect.gen(function* () {
        const own = yield* openStore(store.layer)
        const { calls, lookup } = numbered((call, _: string) => Effect.succeed(call))
        const find = Cached.swr(lookup, { key: "k:{}", ttl: "10 seconds", stale: "1 minute" })
        yield* own.provide(Effect.all([find("fresh"), find("stale")]))
        yield* TestClock.adjust("10 seconds")
        yield* own.provide(find.refresh("fresh"))
        yield* own.close
        const before = calls.length
        const verbs: Record<string, Effect.Effect<unknown, unknown, CacheStore>> = {
          miss: find("absent"),
          hit: find("fresh"),
          stale: find("stale"),
          refresh: find.refresh("fresh"),
          reload: Cached.reload(find("fresh")),
          bypass: Cached.bypass(find("fresh")),
          peek: find.peek("fresh"),
          entry: find.entry("fresh"),
          set: find.set("fresh")(0),
          invalidate: find.invalidate("fresh"),
          clear: find.clear
        }
        const alive: Array<string> = []
        for (const [name, verb] of Object.entries(verbs)) {
          if (!isInterrupted(yield* Effect.exit(own.provide(verb)))) alive.push(name)
        }
        deepStrictEqual(alive, [])
        assert.strictEqual(calls.length, before)
      }))

    test("while closing - a read inside an uninterruptible load is interrupted and starts no load", () =>
      Effect.gen(function* () {
        const own = yield* openStore(store.layer)
        const door = gate()
        const inner = makeLookup((_: string) => Effect.succeed("inner"))
        const findInner = Cached.ttl(inner.lookup, { key: "inner:{}", ttl: "1 minute" })
        let exit: Exit.Exit<unknown, unknown> | undefined
        const outer = makeLookup(() =>
          Effect.uninterruptible(
            Effect.gen(function* () {
              yield* door.pass
              exit = yield* Effect.exit(findInner("a"))
              return "outer"
            })
          )
        )
        const findOuter = Cached.ttl(outer.lookup, { key: "outer", ttl: "1 minute" })
        const reader = yield* Effect.fork(own.provide(findOuter()))
        yield* door.reached
        const closing = yield* Effect.fork(own.close)
        assert.isTrue(isInterrupted(yield* Fiber.await(reader)))
        yield* door.open
        yield* Fiber.join(closing)
        assert.isTrue(exit !== undefined && isInterrupted(exit))
        assert.strictEqual(inner.calls.length, 0)
      }))

    test("a forced load that has not begun - is interrupted like any other", () =>
      Effect.gen(function* () {
        const own = yield* openStore(store.layer)
        const { calls, lookup } = makeLookup(() => Effect.never)
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const runtime = yield* own.provide(Effect.runtime<CacheStore>())
        const reader = Runtime.runFork(runtime)(find.refresh())
        yield* own.close
        assert.isTrue(isInterrupted(yield* Fiber.await(reader)))
        // A backend with a connection takes some turns to close.
        if (!store.remote) assert.strictEqual(calls.length, 0)
      }))
  })
}
