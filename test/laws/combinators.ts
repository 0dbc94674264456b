/**
 * The combinators `Cached.bypass`, `reload`, `warm` and `capture`.
 */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Config,
  ConfigProvider,
  Context,
  Effect,
  Exit,
  Fiber,
  FiberRef,
  HashMap,
  Layer,
  Option,
  TestClock
} from "effect"
import * as Cached from "../../src/Cached.js"
import * as MemoryCache from "../../src/MemoryCache.js"
import {
  becomes,
  counting,
  gated,
  makeLookup,
  minute,
  numbered,
  onStore,
  type StoreUnderTest,
  settled,
  stats,
  until
} from "./support.js"

export const combinators = (store: StoreUnderTest): void => {
  const on = onStore(store)

  describe("Cached.bypass", () => {
    it.effect("reads inside - do not read, store or join, nor do the reads of their lookups", () => {
      const inner = counting()
      const innerCached = Cached.ttl(inner.lookup(), { key: "inner", ...minute })
      const { lookup, calls, door } = gated()
      const outer = Cached.ttl(Effect.zipRight(innerCached, lookup()), { key: "outer", ...minute })
      return on(
        Effect.gen(function* () {
          yield* innerCached
          const running = yield* Effect.fork(outer)
          yield* door.reached
          const bypassing = yield* Effect.fork(Cached.bypass(outer))
          yield* until(() => calls.length === 2, "a load of its own began")
          assert.strictEqual(inner.calls.length, 2)
          yield* door.open
          assert.strictEqual(yield* Fiber.join(running), 1)
          assert.strictEqual(yield* Fiber.join(bypassing), 2)
          assert.strictEqual(yield* outer, 1)
          assert.strictEqual(yield* innerCached, 1)
          assert.strictEqual((yield* stats).loads, 2)
        })
      )
    })

    it.effect("failure inside - reaches the caller", () => {
      const cached = Cached.ttl(Effect.fail("down"), { key: "k", ...minute })
      return on(Effect.map(Effect.flip(Cached.bypass(cached)), (error) => assert.strictEqual(error, "down")))
    })

    it.effect("reads after it - are unaffected", () => {
      const { lookup } = counting()
      const cached = Cached.ttl(lookup(), { key: "k", ...minute })
      return on(
        Effect.gen(function* () {
          yield* cached
          assert.strictEqual(yield* Cached.bypass(cached), 2)
          assert.strictEqual(yield* cached, 1)
        })
      )
    })
  })

  describe("Cached.reload", () => {
    it.effect("reads inside - load again and store, as do the reads of their lookups", () => {
      const inner = counting()
      const innerCached = Cached.ttl(inner.lookup(), { key: "inner", ...minute })
      const outer = Cached.ttl(
        Effect.map(innerCached, (n) => `outer of ${n}`),
        { key: "outer", ...minute }
      )
      return on(
        Effect.gen(function* () {
          assert.strictEqual(yield* outer, "outer of 1")
          assert.strictEqual(yield* Cached.reload(outer), "outer of 2")
          assert.strictEqual(yield* outer, "outer of 2")
          assert.strictEqual(yield* innerCached, 2)
          assert.strictEqual(inner.calls.length, 2)
        })
      )
    })

    it.effect("a running load - is not joined and does not overwrite the reload", () => {
      const { lookup, calls, door } = gated()
      const cached = Cached.ttl(lookup(), { key: "k", ...minute })
      return on(
        Effect.gen(function* () {
          const running = yield* Effect.fork(cached)
          yield* door.reached
          const reloading = yield* Effect.fork(Cached.reload(cached))
          yield* until(() => calls.length === 2, "a load of its own began")
          yield* door.open
          deepStrictEqual([yield* Fiber.join(running), yield* Fiber.join(reloading)], [1, 2])
          assert.strictEqual(yield* cached, 2)
        })
      )
    })

    it.effect("failing - keeps the previous value", () => {
      const { lookup } = numbered((call) => (call === 1 ? Effect.succeed(1) : Effect.fail("down")))
      const cached = Cached.ttl(lookup(), { key: "k", ...minute })
      return on(
        Effect.gen(function* () {
          yield* cached
          assert.strictEqual(yield* Effect.flip(Cached.reload(cached)), "down")
          assert.strictEqual(yield* cached, 1)
        })
      )
    })
  })

  describe("Cached.warm", () => {
    it.effect("loads - all run, at most `concurrency` at once, and every failure is reported", () => {
      let running = 0
      let most = 0
      const { lookup, calls } = makeLookup((id: number) =>
        Effect.gen(function* () {
          running++
          most = Math.max(most, running)
          yield* Effect.yieldNow()
          running--
          if (id % 5 === 0) return yield* Effect.fail(`no ${id}`)
          return id
        })
      )
      const find = Cached.ttl(lookup, { key: "k:{}", ...minute })
      const ids = Array.from({ length: 20 }, (_, i) => i + 1)
      return on(
        Effect.gen(function* () {
          const cause = yield* Effect.sandbox(
            Cached.warm(
              ids.map((id) => find(id)),
              { concurrency: 3 }
            )
          ).pipe(Effect.flip)
          assert.sameMembers(Array.from(Cause.failures(cause)), ["no 5", "no 10", "no 15", "no 20"])
          assert.strictEqual(calls.length, 20)
          assert.isAtMost(most, 3)
          assert.strictEqual(yield* find(1), 1)
          assert.strictEqual(calls.length, 20)
          yield* Cached.warm([find(2), find(3)])
          assert.strictEqual(calls.length, 20)
        })
      )
    })
  })

  describe("Cached.capture", () => {
    class Db extends Context.Tag("test/Db")<Db, { readonly name: string }>() {}

    it.effect("members - need no services and use the captured ones, in refreshes, too", () => {
      const { lookup } = numbered((call, id: number) => Effect.map(Db, (db) => `${db.name}${id}#${call}`))
      const find = Cached.swr(lookup, { key: "k:{}", ttl: "10 seconds", stale: "1 hour" })
      const one = Cached.swr(lookup(0), { key: "k", ttl: "10 seconds", stale: "1 hour" })
      return on(
        Effect.gen(function* () {
          const captured = yield* Effect.provideService(Cached.capture(find), Db, { name: "captured" })
          const capturedOne = yield* Effect.provideService(Cached.capture(one), Db, { name: "captured" })
          const elsewhere = <A, E>(effect: Effect.Effect<A, E>) =>
            effect.pipe(
              Effect.provideService(Db, { name: "elsewhere" }),
              Effect.provide(Layer.fresh(MemoryCache.layer()))
            )
          assert.strictEqual(yield* elsewhere(captured(1)), "captured1#1")
          assert.strictEqual(yield* elsewhere(captured.refresh(1)), "captured1#2")
          deepStrictEqual(yield* elsewhere(captured.peek(1)), Option.some("captured1#2"))
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(yield* elsewhere(captured(1)), "captured1#2")
          yield* becomes(elsewhere(captured.peek(1)), Option.some("captured1#3"))
          yield* elsewhere(captured.set(1)("set"))
          // The same entry as the original function's.
          deepStrictEqual(yield* find.peek(1), Option.some("set"))
          yield* elsewhere(captured.invalidate(1))
          deepStrictEqual(yield* find.peek(1), Option.none())
          assert.strictEqual(captured.key(1), "k:1")
          assert.strictEqual(capturedOne.key, "k")
          assert.strictEqual(yield* elsewhere(capturedOne), "captured0#4")
          yield* elsewhere(captured.clear)
        })
      )
    })

    describe("law 4: a load belongs to nobody", () => {
      class Tx extends Context.Tag("test/Tx")<Tx, string>() {}
      const ref = FiberRef.unsafeMake("captured")
      const seen = Effect.gen(function* () {
        return {
          tx: Option.getOrUndefined(yield* Effect.serviceOption(Tx)) as string | undefined,
          ref: yield* FiberRef.get(ref),
          annotation: Option.getOrUndefined(HashMap.get(yield* Effect.logAnnotations, "request")),
          config: yield* Effect.orDie(Config.string("tenant"))
        }
      })
      const tenant = (name: string) => ConfigProvider.fromMap(new Map([["tenant", name]]))
      const asReader = <A, E>(effect: Effect.Effect<A, E>) =>
        effect.pipe(
          Effect.provideService(Tx, "reader"),
          Effect.locally(ref, "reader"),
          Effect.annotateLogs("request", "reader"),
          Effect.withConfigProvider(tenant("reader"))
        )
      const expected = { tx: undefined, ref: "captured", annotation: undefined, config: "captured" }

      it.effect("a captured function - sees no service and no FiberRef of its readers, in no kind of load", () => {
        const { lookup, calls } = makeLookup(() => seen)
        const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 hour" })
        return on(
          Effect.gen(function* () {
            const captured = yield* Effect.withConfigProvider(Cached.capture(find), tenant("captured"))
            deepStrictEqual(yield* asReader(captured()), expected)
            deepStrictEqual(yield* asReader(captured.refresh()), expected)
            deepStrictEqual(yield* asReader(Cached.bypass(captured())), expected)
            deepStrictEqual(yield* asReader(Cached.reload(captured())), expected)
            yield* TestClock.adjust("10 seconds")
            yield* captured.set()({ ...expected, annotation: undefined, tx: "old" })
            yield* TestClock.adjust("10 seconds")
            yield* asReader(captured())
            yield* until(() => calls.length === 5, "the refresh began")
            yield* becomes(captured.peek(), Option.some(expected))
            // The reader keeps its own, also after a load in its fiber.
            const after = Effect.zipRight(Cached.bypass(captured()), seen)
            deepStrictEqual(yield* asReader(after as Effect.Effect<any>), {
              tx: "reader",
              ref: "reader",
              annotation: "reader",
              config: "reader"
            })
          })
        )
      })

      it.effect("a captured function - is captured once", () => {
        const find = Cached.ttl(() => Effect.serviceOption(Tx), { key: "k", ...minute })
        return on(
          Effect.gen(function* () {
            const captured = yield* Effect.provideService(Cached.capture(find), Tx, "first")
            const again = yield* Effect.provideService(Cached.capture(captured), Tx, "second")
            deepStrictEqual(yield* again(), Option.some("first"))
          })
        )
      })

      it.effect("a captured function - passes the mode of its reader on to the reads of its lookup", () => {
        const inner = counting()
        const innerCached = Cached.ttl(inner.lookup(), { key: "inner", ...minute })
        const outer = Cached.ttl(() => innerCached, { key: "outer", ...minute })
        return on(
          Effect.gen(function* () {
            const captured = yield* Cached.capture(outer)
            assert.strictEqual(yield* captured(), 1)
            assert.strictEqual(yield* Cached.bypass(captured()), 2)
            assert.strictEqual(yield* Cached.reload(captured()), 3)
            assert.strictEqual(yield* captured(), 3)
          })
        )
      })

      it.effect(
        "a captured load in the fiber of its reader - can be interrupted, and its fiber stays interrupted",
        () => {
          const captured = Cached.capture(Cached.ttl(() => Effect.as(Effect.never, 0), { key: "k", ...minute }))
          return on(
            Effect.gen(function* () {
              const find = yield* captured
              let went = false
              const fiber = yield* Effect.fork(
                Effect.zipRight(
                  Effect.exit(Cached.bypass(find())),
                  Effect.sync(() => (went = true))
                )
              )
              yield* settled
              assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
              assert.isFalse(went)
            })
          )
        }
      )
    })
  })
}
