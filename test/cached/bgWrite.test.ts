import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Either, Exit, Fiber, Layer, Option, Schedule, Scope, TestClock } from "effect"
import { Cached, CacheStore, DuplicateLoader, MemoryCache, MemoryCacheLive } from "../../src/index.js"
import { becomes, counting, gate, numbered, recordWarnings, settled, stats, until } from "../laws/support.js"

const on = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, MemoryCacheLive)

const every = { key: "k", interval: "60 seconds" } as const

const stored = Effect.flatMap(CacheStore, (store) => store.get<number>("k"))

describe("Cached.bgWrite", () => {
  describe("runs", () => {
    it.scoped("interval - the first run begins at once, and each value is stored for two intervals", () => {
      const { calls, lookup } = numbered((call) => (call > 2 ? Effect.fail("down") : Effect.succeed(call)))
      return on(
        Effect.gen(function* () {
          const writer = yield* Cached.bgWrite(lookup(), { ...every, onError: () => Effect.void })
          deepStrictEqual([writer.key, yield* writer.leads], ["k", true])
          yield* becomes(stored, Option.some(1))
          yield* TestClock.adjust("60 seconds")
          yield* becomes(stored, Option.some(2))
          yield* TestClock.adjust(119_999)
          deepStrictEqual(yield* stored, Option.some(2))
          yield* TestClock.adjust(1)
          deepStrictEqual(yield* stored, Option.none())
          yield* until(() => calls.length === 4, "it goes on")
          const { loadFailures, loads, refreshes, refreshFailures } = yield* stats
          deepStrictEqual([loads, loadFailures, refreshes, refreshFailures], [4, 2, 4, 2])
        })
      )
    })

    it.scoped("first run - runImmediately: false or a Schedule decides when it begins", () => {
      const later = counting()
      const scheduled = counting()
      return on(
        Effect.gen(function* () {
          yield* Cached.bgWrite(later.lookup(), { ...every, runImmediately: false })
          yield* Cached.bgWrite(scheduled.lookup(), {
            key: "s",
            schedule: Schedule.recurs(1).pipe(Schedule.addDelay(() => "10 seconds")),
            ttl: "1 hour"
          })
          yield* settled
          deepStrictEqual([later.calls.length, scheduled.calls.length], [0, 1])
          yield* TestClock.adjust("60 seconds")
          yield* until(() => later.calls.length === 1, "the first run")
          yield* TestClock.adjust("10 minutes")
          assert.strictEqual(scheduled.calls.length, 2)
        })
      )
    })

    it.scoped("slow loader - its runs neither overlap nor pile up", () => {
      let running = 0
      let most = 0
      const { calls, lookup } = numbered((call) =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            most = Math.max(most, ++running)
          }),
          () => Effect.as(Effect.sleep("150 seconds"), call),
          () => Effect.sync(() => void running--)
        )
      )
      return on(
        Effect.gen(function* () {
          yield* Cached.bgWrite(lookup(), { ...every, ttl: "10 minutes", flightTimeout: "5 minutes" })
          for (let second = 0; second < 1_200; second += 10) {
            yield* TestClock.adjust("10 seconds")
            yield* settled
          }
          // each run takes 150 s; the next begins at the first beat after it
          deepStrictEqual([most, running], [1, 1])
          assert.isAtMost(calls.length, 8)
          assert.isAtLeast(calls.length, 6)
          assert.isTrue(Option.isSome(yield* stored))
        })
      )
    })

    for (const [what, onError] of [
      ["fails", () => Effect.fail("no")],
      ["throws", () => assert.fail("no")],
      ["never ends", () => Effect.never]
    ] as ReadonlyArray<readonly [string, () => Effect.Effect<never, string>]>) {
      it.scoped(`onError - one that ${what} does not end the schedule`, () => {
        const { calls, lookup } = numbered(() => Effect.fail("down"))
        const causes: Array<string> = []
        const warnings = recordWarnings()
        return on(
          Effect.gen(function* () {
            yield* Cached.bgWrite(lookup(), {
              ...every,
              onError: (cause) => {
                causes.push(Cause.pretty(cause))
                return onError()
              }
            })
            for (let i = 1; i <= 3; i++) {
              yield* until(() => calls.length === i, `run ${i}`)
              yield* settled
              yield* TestClock.adjust("60 seconds")
            }
            assert.lengthOf(causes.slice(0, 3), 3)
            assert.include(causes[0]!, "down")
          })
        ).pipe(Effect.provide(warnings.layer))
      })
    }
  })

  describe("one per key", () => {
    it.scoped("a second writer - fails with a typed error, and the first goes on", () =>
      on(
        Effect.gen(function* () {
          const { calls, lookup } = counting()
          yield* Cached.bgWrite(lookup(), every)
          const second = yield* Effect.flip(Cached.bgWrite(Effect.dieMessage("never run"), every))
          assert.instanceOf(second, DuplicateLoader)
          deepStrictEqual([second.key, second.store], ["k", "memory"])
          yield* TestClock.adjust("60 seconds")
          yield* until(() => calls.length === 2, "its second run")
        })
      )
    )

    it.scoped("many at once - one starts", () =>
      on(
        Effect.gen(function* () {
          const all = yield* Effect.all(
            Array.from({ length: 20 }, (_, i) =>
              Effect.either(
                i % 2 === 0
                  ? Effect.asVoid(Cached.bgWrite(Effect.succeed(i), every))
                  : Effect.asVoid(Cached.bg(Effect.succeed(i), every))
              )
            ),
            { concurrency: "unbounded" }
          )
          assert.lengthOf(all.filter(Either.isRight), 1)
        })
      )
    )

    it.scoped("a closed scope - frees the key", () =>
      on(
        Effect.gen(function* () {
          for (let i = 0; i < 3; i++) yield* Effect.scoped(Cached.bgWrite(Effect.succeed(i), every))
          yield* Effect.scoped(Effect.asVoid(Cached.bg(Effect.succeed(1), every)))
          yield* Cached.bgWrite(Effect.succeed(1), every)
        })
      )
    )

    it.scoped("other keys, versions and stores - do not conflict", () => {
      class Other extends CacheStore.Tag("test/Other")<Other>() {}
      return Effect.gen(function* () {
        yield* Cached.bgWrite(Effect.succeed(1), every)
        yield* Cached.bgWrite(Effect.succeed(1), { ...every, key: "k2" })
        yield* Cached.bgWrite(Effect.succeed(1), { ...every, version: 2 })
        yield* Cached.bgWrite(Effect.succeed(2), { ...every, store: Other })
        const reader = yield* Cached.bgRead<number, Other>({ key: "k", store: Other })
        assert.strictEqual(yield* reader.ready, 2)
        const second = yield* Cached.bgRead<number>({ key: "k", version: 2 })
        assert.strictEqual(yield* second.ready, 1)
      }).pipe(Effect.provide(Layer.merge(MemoryCacheLive, Layer.scoped(Other, MemoryCache.make()))))
    })

    it.scoped("options - an interval, a ttl and a lease of zero are defects that name the option", () =>
      on(
        Effect.gen(function* () {
          const loader = Effect.succeed(1)
          const defects = yield* Effect.forEach(
            [
              Cached.bgWrite(loader, { key: "k", interval: 0 }),
              Cached.bgWrite(loader, { ...every, ttl: 0 }),
              Cached.bgWrite(loader, { ...every, leader: { lease: 0 } })
            ],
            (writer) => Effect.map(Effect.flip(Effect.sandbox(writer)), Cause.pretty)
          )
          for (const [i, option] of ["interval", "ttl", "leader.lease"].entries()) {
            assert.include(defects[i]!, `${option}: must be a`)
          }
          yield* Cached.bgWrite(loader, every)
        })
      )
    )
  })

  describe("refresh and current", () => {
    it.scoped("current - the value in the store, fresh or stale, without loading", () => {
      const { calls, lookup } = counting()
      return on(
        Effect.gen(function* () {
          const writer = yield* Cached.bgWrite(lookup(), { ...every, runImmediately: false })
          deepStrictEqual(yield* writer.current, Option.none())
          yield* TestClock.adjust("60 seconds")
          yield* becomes(writer.current, Option.some(1))
          yield* Effect.flatMap(CacheStore, (store) => store.remove("k"))
          deepStrictEqual(yield* writer.current, Option.none())
          assert.lengthOf(calls, 1)
        })
      )
    })

    it.scoped("refresh - runs the loader now, stores its value and returns it; the schedule goes on", () => {
      const { calls, lookup } = counting()
      return on(
        Effect.gen(function* () {
          const reader = yield* Cached.bgRead<number>({ key: "k" })
          const writer = yield* Cached.bgWrite(lookup(), every)
          yield* becomes(writer.current, Option.some(1))
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(yield* writer.refresh, 2)
          deepStrictEqual(yield* writer.current, Option.some(2))
          yield* becomes(reader, Option.some(2))
          yield* TestClock.adjust("50 seconds")
          yield* becomes(reader, Option.some(3))
          assert.lengthOf(calls, 3)
        })
      )
    })

    it.scoped("refresh - does not join a run that began before, which stores nothing", () => {
      const door = gate()
      const { calls, lookup } = numbered((call) => (call === 1 ? Effect.as(door.pass, 1) : Effect.succeed(call)))
      return on(
        Effect.gen(function* () {
          const writer = yield* Cached.bgWrite(lookup(), every)
          yield* door.reached
          assert.strictEqual(yield* writer.refresh, 2)
          yield* door.open
          yield* settled
          deepStrictEqual(yield* writer.current, Option.some(2))
          yield* TestClock.adjust("60 seconds")
          yield* becomes(writer.current, Option.some(3))
          assert.lengthOf(calls, 3)
        })
      )
    })

    it.scoped("refresh - fails as the loader does, and not through onError; the value stays", () => {
      const { lookup } = numbered((call) => (call === 2 ? Effect.fail("down") : Effect.succeed(call)))
      let reported = 0
      return on(
        Effect.gen(function* () {
          const onError = () => Effect.sync(() => reported++)
          const writer = yield* Cached.bgWrite(lookup(), { ...every, onError })
          yield* becomes(writer.current, Option.some(1))
          assert.strictEqual(yield* Effect.flip(writer.refresh), "down")
          deepStrictEqual([yield* writer.current, reported], [Option.some(1), 0])
        })
      )
    })

    it.scoped("a store that caches nothing - refresh runs the loader, and current has nothing", () =>
      Effect.gen(function* () {
        const { calls, lookup } = counting()
        const writer = yield* Cached.bgWrite(lookup(), every)
        assert.strictEqual(yield* writer.refresh, 1)
        deepStrictEqual(yield* writer.current, Option.none())
        yield* TestClock.adjust("10 minutes")
        assert.lengthOf(calls, 1)
      }).pipe(Effect.provide(CacheStore.layerNoop))
    )

    it.scoped("refresh - has the services of the place where the writer was started", () => {
      class Source extends Context.Tag("test/RefreshSource")<Source, { readonly value: number }>() {}
      return on(
        Effect.gen(function* () {
          const writer = yield* Effect.provideService(
            Cached.bgWrite(
              Effect.map(Source, ({ value }) => value),
              every
            ),
            Source,
            { value: 7 }
          )
          assert.strictEqual(yield* Effect.provideService(writer.refresh, Source, { value: 8 }), 7)
        })
      )
    })
  })

  describe("end", () => {
    it.scoped(
      "scope - closed during a run, it interrupts the run; nothing is stored, and nothing goes on running",
      () =>
        on(
          Effect.gen(function* () {
            const door = gate()
            let ended = ""
            const loader = Effect.onExit(Effect.as(door.pass, 1), (exit) =>
              Effect.sync(() => {
                ended = Exit.isInterrupted(exit) ? "interrupted" : "done"
              })
            )
            const scope = yield* Scope.make()
            const reader = yield* Cached.bgRead<number>({ key: "k" })
            yield* Scope.extend(Cached.bgWrite(loader, every), scope)
            yield* door.reached
            yield* Scope.close(scope, Exit.void)
            assert.strictEqual(ended, "interrupted")
            yield* door.open
            yield* TestClock.adjust("10 minutes")
            deepStrictEqual([yield* stored, yield* reader], [Option.none(), Option.none()])
            assert.strictEqual(door.arrivals(), 1)
            assert.strictEqual((yield* stats).inFlight, 0)
          })
        )
    )

    it.scoped("store - when it closes, the writer ends", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(MemoryCacheLive, scope)
        const { calls, lookup } = counting()
        yield* Effect.provide(Cached.bgWrite(lookup(), every), context)
        yield* until(() => calls.length === 1, "the first run")
        yield* Scope.close(scope, Exit.void)
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(calls.length, 1)
      })
    )
  })

  describe("leader", () => {
    it.scoped("a store in memory - this process leads", () =>
      on(
        Effect.gen(function* () {
          const { lookup } = counting()
          const reader = yield* Cached.bgRead<number>({ key: "k" })
          const scope = yield* Scope.make()
          const writer = yield* Scope.extend(
            Cached.bgWrite(lookup(), { ...every, leader: { lease: "10 seconds" } }),
            scope
          )
          assert.strictEqual(yield* reader.ready, 1)
          assert.isTrue(yield* writer.leads)
          yield* TestClock.adjust("60 seconds")
          yield* becomes(reader, Option.some(2))
          yield* Scope.close(scope, Exit.void)
          assert.isFalse(yield* writer.leads)
        })
      )
    )
  })

  describe("services", () => {
    it.scoped("loader - gets the services of the place where it was started", () => {
      class Source extends Context.Tag("test/Source")<Source, { readonly value: number }>() {}
      return on(
        Effect.gen(function* () {
          const loader = Effect.flatMap(Source, ({ value }) =>
            Effect.as(
              Effect.addFinalizer(() => Effect.void),
              value
            )
          )
          const fiber = yield* Effect.fork(Effect.provideService(Cached.bgWrite(loader, every), Source, { value: 7 }))
          yield* Fiber.join(fiber)
          yield* becomes(stored, Option.some(7))
        })
      )
    })
  })
})
