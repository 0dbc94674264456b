// node:assert, because the deep equality of chai accepts Some and None as equal
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Option, Scope, TestClock } from "effect"
import { Cached, CacheStore, DuplicateLoader, MemoryCache, MemoryCacheLive } from "../../src/index.js"
import { becomes, counting, gate, makeLookup, numbered, settled, stats, until } from "../laws/support.js"
import { every, lasting, on } from "./support.js"

describe("Cached.bg", () => {
  describe("DuplicateLoader", () => {
    it.scoped("a second loader - fails with the key and the store and runs nothing; the first goes on", () => {
      const first = counting()
      const second = counting()
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(first.lookup(), every)
          const error = yield* Effect.flip(Cached.bg(second.lookup(), { ...every, interval: "1 second" }))
          assert.instanceOf(error, DuplicateLoader)
          deepStrictEqual([error.key, error.store], ["k", "memory"])
          yield* TestClock.adjust("60 seconds")
          yield* becomes(flags.peek, Option.some(2))
          assert.strictEqual(second.calls.length, 0)
        })
      )
    })

    it.scoped("ten at once - one starts, and nine fail", () => {
      const { lookup, calls } = counting()
      return on(
        Effect.gen(function* () {
          const started = yield* Effect.all(
            Array.from({ length: 10 }, () => Effect.either(Cached.bg(lookup(), every))),
            { concurrency: "unbounded" }
          )
          assert.lengthOf(
            started.filter((each) => each._tag === "Right"),
            1
          )
          yield* until(() => calls.length === 1, "one run")
        })
      )
    })

    it.scoped("a closed scope - frees the key", () => {
      const { lookup } = counting()
      return on(
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const before = yield* Scope.extend(Cached.bg(lookup(), every), scope)
          yield* becomes(before.peek, Option.some(1))
          yield* Scope.close(scope, Exit.void)
          yield* Effect.asVoid(Cached.bg(lookup(), every))
        })
      )
    })

    it.scoped("a second loader that failed - does not free the key of the first", () => {
      const { lookup } = counting()
      return on(
        Effect.gen(function* () {
          yield* Effect.asVoid(Cached.bg(lookup(), every))
          yield* Effect.flip(Effect.scoped(Cached.bg(lookup(), every)))
          yield* Effect.flip(Effect.scoped(Cached.bg(lookup(), every)))
        })
      )
    })

    it.scoped("other keys, versions and stores - do not conflict", () => {
      class Other extends CacheStore.Tag("test/Other")<Other>() {}
      const { lookup } = counting()
      return Effect.gen(function* () {
        yield* Effect.asVoid(Cached.bg(lookup(), every))
        yield* Effect.asVoid(Cached.bg(lookup(), { ...every, key: "j" }))
        yield* Effect.asVoid(Cached.bg(lookup(), { ...every, version: 2 }))
        yield* Effect.asVoid(Cached.bg(lookup(), { ...every, store: Other }))
      }).pipe(Effect.provide(Layer.merge(MemoryCacheLive, Layer.scoped(Other, MemoryCache.make()))))
    })
  })

  describe("scopes", () => {
    it.scoped("the scope of the caller - ends the daemon; its value is served until it expires", () => {
      const { lookup, calls } = counting()
      return on(
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const flags = yield* Scope.extend(Cached.bg(lookup(), every), scope)
          yield* becomes(flags.peek, Option.some(1))
          yield* Scope.close(scope, Exit.void)
          yield* TestClock.adjust(119_999)
          assert.strictEqual(calls.length, 1)
          assert.strictEqual(yield* flags, 1)
          yield* TestClock.adjust(1)
          assert.strictEqual(yield* flags, 2)
        })
      )
    })

    it.scoped(
      "the scope of the caller, closed during a run - the run is interrupted, and readers that joined it read again",
      () => {
        const ended = Effect.runSync(Deferred.make<void>())
        const { lookup, calls } = numbered((call) =>
          call === 1 ? Effect.onInterrupt(Effect.never, () => Deferred.succeed(ended, undefined)) : Effect.succeed(call)
        )
        return on(
          Effect.gen(function* () {
            const scope = yield* Scope.make()
            const flags = yield* Scope.extend(Cached.bg(lookup(), every), scope)
            yield* until(() => calls.length === 1, "the run began")
            const readers = yield* Effect.forkAll([flags, flags, flags])
            yield* becomes(
              Effect.map(stats, (all) => all.coalesced),
              3
            )
            yield* Scope.close(scope, Exit.void)
            yield* Deferred.await(ended)
            deepStrictEqual(yield* Fiber.join(readers), [2, 2, 2])
            assert.strictEqual(calls.length, 2)
            assert.strictEqual((yield* stats).inFlight, 0)
          })
        )
      }
    )

    it.scoped(
      "the scope of the caller, closed while the run waits for a reader's load - the reader keeps its load",
      () => {
        const { lookup, calls } = lasting(() => 1_000)
        return on(
          Effect.gen(function* () {
            const scope = yield* Scope.make()
            const flags = yield* Scope.extend(Cached.bg(lookup(), { ...every, runImmediately: false }), scope)
            yield* TestClock.setTime(59_500)
            const reader = yield* Effect.fork(flags)
            yield* until(() => calls.length === 1, "the reader's load began")
            yield* TestClock.setTime(60_000)
            yield* Scope.close(scope, Exit.void)
            yield* TestClock.setTime(60_500)
            assert.strictEqual(yield* Fiber.join(reader), 1)
            assert.strictEqual(calls.length, 1)
          })
        )
      }
    )

    it.scoped("the scope of the store - ends the daemon and a running load; reads are interrupted", () => {
      const ended = Effect.runSync(Deferred.make<void>())
      const { lookup, calls } = numbered((call) =>
        call === 1 ? Effect.succeed(1) : Effect.onInterrupt(Effect.never, () => Deferred.succeed(ended, undefined))
      )
      return Effect.gen(function* () {
        const storeScope = yield* Scope.make()
        const store = yield* Scope.extend(MemoryCache.make(), storeScope)
        const flags = yield* Effect.provideService(Cached.bg(lookup(), every), CacheStore, store)
        yield* becomes(flags.peek, Option.some(1))
        yield* TestClock.adjust("60 seconds")
        yield* until(() => calls.length === 2, "a run began")
        yield* Scope.close(storeScope, Exit.void)
        yield* Deferred.await(ended)
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(calls.length, 2)
        assert.isTrue(Exit.isInterrupted(yield* Effect.exit(flags)))
      })
    })

    it.scoped("Layer.scoped - the reader requires nothing, because the services of the loader are captured", () => {
      class Db extends Context.Tag("test/Db")<Db, { readonly flags: () => number }>() {}
      class Flags extends Context.Tag("test/Flags")<Flags, Cached.CachedEffect<number>>() {}
      let flags = 0
      const live: Layer.Layer<Flags, DuplicateLoader, Db | CacheStore> = Layer.scoped(
        Flags,
        Cached.bg(
          Effect.map(Db, (db) => db.flags()),
          every
        )
      )
      const program = Effect.gen(function* () {
        const reader = yield* Flags
        const read: Effect.Effect<number> = reader
        yield* becomes(reader.peek, Option.some(1))
        yield* TestClock.adjust("60 seconds")
        yield* becomes(read, 2)
      })
      return program.pipe(
        Effect.provide(live),
        Effect.provideService(Db, { flags: () => ++flags }),
        Effect.provide(MemoryCacheLive)
      )
    })

    it.scoped("law 11: the scope ends everything - no run begins after the store began to close", () => {
      const { lookup, calls } = counting()
      const door = gate()
      const slow = Cached.ttl(() => Effect.uninterruptible(door.pass), { key: "slow", ttl: "1 minute" })
      return Effect.gen(function* () {
        const storeScope = yield* Scope.make()
        const store = yield* Scope.extend(MemoryCache.make(), storeScope)
        const inStore = Effect.provideService(CacheStore, store)
        yield* Effect.asVoid(inStore(Cached.bg(lookup(), every)))
        yield* until(() => calls.length === 1, "the first run")
        yield* Effect.fork(inStore(slow()))
        yield* door.reached
        const closing = yield* Effect.fork(Scope.close(storeScope, Exit.void))
        yield* settled
        yield* TestClock.adjust("10 minutes")
        yield* settled
        assert.strictEqual(calls.length, 1)
        yield* door.open
        yield* Fiber.join(closing)
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(calls.length, 1)
      })
    })

    it.scoped("law 4: a load belongs to nobody - a load for a reader sees no service of the reader", () => {
      class Tx extends Context.Tag("test/Tx")<Tx, string>() {}
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(Effect.serviceOption(Tx), { ...every, runImmediately: false })
          deepStrictEqual(yield* Effect.provideService(flags, Tx, "reader"), Option.none())
          deepStrictEqual(yield* Effect.provideService(Cached.bypass(flags), Tx, "reader"), Option.none())
        })
      )
    })

    it.scoped("a loader that requires a Scope - gets one per run, closed when the run ends", () => {
      let open = 0
      const { lookup, calls } = makeLookup(() =>
        Effect.acquireRelease(
          Effect.sync(() => ++open),
          () => Effect.sync(() => open--)
        )
      )
      return on(
        Effect.gen(function* () {
          const flags = yield* Cached.bg(lookup(), every)
          yield* becomes(flags.peek, Option.some(1))
          assert.strictEqual(open, 0)
          yield* TestClock.adjust("60 seconds")
          yield* until(() => calls.length === 2, "the second run")
          yield* becomes(
            Effect.sync(() => open),
            0
          )
        })
      )
    })

    it.scoped("CacheStore.layerNoop - every read loads, and nothing runs in the background", () => {
      const { lookup, calls } = counting()
      return Effect.gen(function* () {
        const flags = yield* Cached.bg(lookup(), every)
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(calls.length, 0)
        assert.strictEqual(yield* flags, 1)
        assert.strictEqual(yield* flags, 2)
      }).pipe(Effect.provide(CacheStore.layerNoop))
    })
  })
})
