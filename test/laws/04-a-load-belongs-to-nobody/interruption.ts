/**
 * Interruption of waiters and of loads.
 */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Deferred, Effect, Exit, Fiber, Option, Scope, TestClock } from "effect"
import * as Cached from "../../../src/Cached.js"
import { LoadInterrupted } from "../../../src/CacheError.js"
import {
  begun,
  defectOf,
  eventually,
  gate,
  herd,
  isDone,
  isInterrupted,
  makeLookup,
  numbered,
  pausingAt,
  type StoreUnderTest,
  settled,
  stats,
  testOn,
  waiting
} from "../support.js"

export const interruption = (store: StoreUnderTest): void => {
  const test = testOn(store)

  describe("interruption", () => {
    test("the first caller leaves - the load goes on for the others", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = makeLookup(() => Effect.as(door.pass, "value"))
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const leader = yield* Effect.fork(find())
        yield* door.reached
        const others = yield* herd(find(), 4)
        yield* waiting(5)
        assert.isTrue(isInterrupted(yield* Fiber.interrupt(leader)))
        yield* door.open
        deepStrictEqual(
          yield* Effect.forEach(others, Fiber.join),
          Array.from(others, () => "value")
        )
        assert.strictEqual(calls.length, 1)
        assert.strictEqual(yield* find(), "value")
        assert.strictEqual(calls.length, 1)
      }))

    test("a waiter leaves - the load and the others go on", () =>
      Effect.gen(function* () {
        const door = gate()
        let interrupted = false
        const { lookup } = makeLookup(() =>
          Effect.as(door.pass, "value").pipe(Effect.onInterrupt(() => Effect.sync(() => (interrupted = true))))
        )
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const leader = yield* Effect.fork(find())
        yield* door.reached
        const waiter = yield* Effect.fork(find())
        yield* waiting(2)
        yield* Fiber.interrupt(waiter)
        yield* settled
        assert.isFalse(interrupted)
        yield* door.open
        assert.strictEqual(yield* Fiber.join(leader), "value")
      }))

    test("the last waiter leaves - the load is interrupted and its finalizers run before the interruption returns", () =>
      Effect.gen(function* () {
        const log: Array<string> = []
        const { calls, lookup } = numbered((call) =>
          Effect.acquireRelease(
            Effect.sync(() => log.push("acquired")),
            () =>
              Effect.zipRight(
                Effect.yieldNow(),
                Effect.sync(() => log.push("released"))
              )
          ).pipe(
            Effect.zipRight(call === 1 ? Effect.never : Effect.succeed("second")),
            Effect.onInterrupt(() => Effect.sync(() => log.push("interrupted")))
          )
        )
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const fibers = yield* herd(find(), 5)
        yield* waiting(5)
        yield* begun(calls)
        yield* Effect.forEach(fibers.slice(1), Fiber.interrupt)
        deepStrictEqual(log, ["acquired"])
        assert.strictEqual((yield* stats).inFlight, 1)
        yield* Fiber.interrupt(fibers[0]!)
        deepStrictEqual(log, ["acquired", "interrupted", "released"])
        assert.deepInclude(yield* stats, { inFlight: 0, loadFailures: 0 })
        assert.strictEqual(yield* find(), "second")
        assert.strictEqual(calls.length, 2)
      }))

    test("the last waiter leaves - a later reader starts a new load while the old one is still ending", () =>
      Effect.gen(function* () {
        const ending = gate()
        const { calls, lookup } = numbered((call) =>
          call === 1 ? Effect.onInterrupt(Effect.never, () => ending.pass) : Effect.succeed(call)
        )
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const first = yield* Effect.fork(find())
        yield* begun(calls)
        const leaving = yield* Effect.fork(Fiber.interrupt(first))
        yield* ending.reached
        assert.strictEqual(yield* find(), 2)
        assert.isFalse(isDone(leaving))
        yield* ending.open
        yield* Fiber.join(leaving)
        assert.strictEqual(yield* find(), 2)
        assert.strictEqual(calls.length, 2)
      }))

    test("the last waiter leaves - a load that cannot be interrupted stores nothing", () =>
      Effect.gen(function* () {
        const door = gate()
        const { lookup } = numbered((call) => Effect.uninterruptible(Effect.as(door.pass, call)))
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const first = yield* Effect.fork(find())
        yield* door.reached
        const leaving = yield* Effect.fork(Fiber.interrupt(first))
        yield* eventually(
          Effect.map(stats, ({ inFlight }) => inFlight === 0),
          "the load was detached"
        )
        yield* door.open
        yield* Fiber.join(leaving)
        deepStrictEqual(yield* find.peek(), Option.none())
      }))

    test("the last waiter of a detached load leaves - its successor is not affected", () =>
      Effect.gen(function* () {
        const doors = [gate(), gate()]
        const interrupted: Array<number> = []
        const { lookup } = numbered((call) => {
          return Effect.as(doors[call - 1]!.pass, call).pipe(
            Effect.onInterrupt(() => Effect.sync(() => interrupted.push(call)))
          )
        })
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const old = yield* Effect.fork(find())
        yield* doors[0]!.reached
        yield* find.invalidate()
        const young = yield* Effect.fork(find())
        yield* doors[1]!.reached
        yield* Fiber.interrupt(old)
        deepStrictEqual(interrupted, [1])
        assert.strictEqual((yield* stats).inFlight, 1)
        yield* doors[1]!.open
        assert.strictEqual(yield* Fiber.join(young), 2)
        assert.strictEqual(yield* find(), 2)
      }))

    test("at any step - a reader interrupted on its way to the load leaves no load behind", () =>
      Effect.gen(function* () {
        let at = 0
        for (let paused = true; paused; at++) {
          let ended = 0
          const { calls, lookup } = makeLookup((_: number) =>
            Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended++))
          )
          const find = Cached.ttl(lookup, { key: "k:{}", name: `f${at}`, ttl: "1 minute" })
          const pause = pausingAt(at)
          const fiber = yield* Effect.fork(Effect.withScheduler(find(at), pause.scheduler))
          const before = (yield* stats).misses
          yield* eventually(
            Effect.map(stats, ({ misses }) => pause.paused() || misses > before),
            `step ${at} was reached`
          )
          paused = pause.paused()
          const leaving = yield* Effect.fork(Fiber.interrupt(fiber))
          yield* settled
          yield* pause.go
          yield* Fiber.join(leaving)
          yield* settled
          assert.strictEqual(ended, calls.length, `loads ended after an interruption at step ${at}`)
          assert.strictEqual((yield* stats).inFlight, 0, `running loads after an interruption at step ${at}`)
        }
        assert.isAbove(at, 3)
      }))

    test("at any step - a reader on its way to the load keeps it running when the only other reader leaves", () =>
      Effect.gen(function* () {
        let at = 0
        for (let paused = true; paused; at++) {
          const door = gate()
          const { lookup } = makeLookup((id: number) => Effect.as(door.pass, id))
          const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
          const leaving = yield* Effect.fork(find(at))
          yield* door.reached
          const before = (yield* stats).misses
          const pause = pausingAt(at)
          const staying = yield* Effect.fork(Effect.withScheduler(find(at), pause.scheduler))
          yield* eventually(
            Effect.map(stats, ({ misses }) => pause.paused() || misses > before),
            `step ${at} was reached`
          )
          paused = pause.paused()
          yield* Fiber.interrupt(leaving)
          yield* pause.go
          yield* door.open
          const exit = yield* Fiber.await(staying)
          deepStrictEqual(exit, Exit.succeed(at), `paused at step ${at}`)
        }
        assert.isAbove(at, 3)
      }))

    test("an uninterruptible first caller - the load is interruptible nevertheless", () =>
      Effect.gen(function* () {
        const door = gate()
        const { lookup } = makeLookup(() =>
          Effect.checkInterruptible((interruptible) => Effect.as(door.pass, interruptible))
        )
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const first = yield* Effect.fork(Effect.uninterruptible(find()))
        yield* door.reached
        const second = yield* Effect.fork(find())
        yield* waiting(2)
        yield* Fiber.interrupt(second)
        yield* door.open
        assert.isTrue(yield* Fiber.join(first))
      }))

    test("an interrupted caller - a read in its finalizer loads", () =>
      Effect.gen(function* () {
        const { lookup } = makeLookup(() => Effect.as(Effect.yieldNow(), "value"))
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const seen = yield* Deferred.make<string>()
        const inside = gate()
        const fiber = yield* Effect.fork(
          Effect.onInterrupt(Effect.zipRight(inside.pass, Effect.never), () =>
            Effect.flatMap(find(), (value) => Deferred.succeed(seen, value))
          )
        )
        yield* inside.reached
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(yield* Deferred.await(seen), "value")
      }))

    test("Effect.timeout - around the only reader ends the load, around one of two does not", () =>
      Effect.gen(function* () {
        const door = gate()
        let interrupted = 0
        const { calls, lookup } = numbered((call, _: string) =>
          Effect.as(door.pass, call).pipe(Effect.onInterrupt(() => Effect.sync(() => interrupted++)))
        )
        const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
        const hasty = () => Effect.fork(Effect.timeoutOption(find("a"), "1 second"))
        const alone = yield* hasty()
        yield* begun(calls)
        yield* TestClock.adjust("1 second")
        deepStrictEqual(yield* Fiber.join(alone), Option.none())
        assert.strictEqual(interrupted, 1)

        const patient = yield* Effect.fork(find("a"))
        yield* begun(calls, 2)
        const inHaste = yield* hasty()
        yield* waiting(3)
        yield* TestClock.adjust("1 second")
        deepStrictEqual(yield* Fiber.join(inHaste), Option.none())
        assert.strictEqual(interrupted, 1)
        yield* door.open
        assert.strictEqual(yield* Fiber.join(patient), 2)
      }))

    test("10 000 waiters leave at once - the load ends once, and the key can be loaded again", () =>
      Effect.gen(function* () {
        let ended = 0
        const { lookup } = numbered((call) =>
          call === 1 ? Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended++)) : Effect.succeed("second")
        )
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const fibers = yield* herd(find(), 10_000)
        yield* waiting(10_000)
        yield* Fiber.interruptAll(fibers)
        assert.strictEqual(ended, 1)
        assert.strictEqual(yield* find(), "second")
      }))

    for (const how of ["bypass", "a ttl of 0"] as const) {
      test(`${how} - the lookup belongs to its caller and is interrupted with it`, () =>
        Effect.gen(function* () {
          let ended = 0
          const { calls, lookup } = makeLookup(() => Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended++)))
          const find = Cached.ttl(lookup, { key: "k", ttl: how === "bypass" ? "1 minute" : 0 })
          const fibers = yield* herd(how === "bypass" ? Cached.bypass(find()) : find(), 2)
          yield* begun(calls, 2)
          yield* Fiber.interrupt(fibers[0]!)
          assert.strictEqual(ended, 1)
          yield* Fiber.interrupt(fibers[1]!)
          assert.strictEqual(ended, 2)
        }))
    }

    test("a forced load - is interrupted when its last caller leaves", () =>
      Effect.gen(function* () {
        let ended = 0
        const { calls, lookup } = makeLookup(() => Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended++)))
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const fibers = yield* herd(find.refresh(), 2)
        yield* begun(calls)
        assert.strictEqual((yield* stats).loads, 1)
        yield* Fiber.interrupt(fibers[0]!)
        yield* settled
        assert.strictEqual(ended, 0)
        yield* Fiber.interrupt(fibers[1]!)
        assert.strictEqual(ended, 1)
        assert.strictEqual((yield* stats).inFlight, 0)
      }))

    test("readers of a timed-out refresh - wait for a new load, which ends when the last of them leaves", () =>
      Effect.gen(function* () {
        const ended: Array<number> = []
        const { calls, lookup } = numbered((call) =>
          call === 1
            ? Effect.succeed(1)
            : Effect.onInterrupt(Effect.never as Effect.Effect<number>, () => Effect.sync(() => ended.push(call)))
        )
        const find = Cached.swr(lookup, {
          key: "k",
          ttl: "10 seconds",
          stale: "2 seconds",
          flightTimeout: "5 seconds"
        })
        yield* find()
        yield* TestClock.adjust("10 seconds")
        yield* find()
        yield* begun(calls, 2)
        yield* TestClock.adjust("3 seconds")
        const fibers = yield* herd(find(), 3)
        yield* waiting(4)
        yield* TestClock.adjust("2 seconds")
        yield* begun(calls, 3)
        yield* waiting(7)
        yield* Effect.forEach(fibers.slice(1), Fiber.interrupt)
        yield* settled
        deepStrictEqual(ended, [2])
        yield* Fiber.interrupt(fibers[0]!)
        deepStrictEqual(ended, [2, 3])
        assert.strictEqual((yield* stats).inFlight, 0)
      }))

    if (store.remote) {
      test("a backend that does not answer - a waiting reader can be interrupted at once", () =>
        Effect.gen(function* () {
          const { calls, lookup } = makeLookup(() => Effect.succeed(1))
          const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
          yield* find.peek()
          yield* store.pause!
          yield* Effect.ensuring(
            Effect.gen(function* () {
              const fibers = yield* herd(find(), 3)
              yield* settled
              yield* Fiber.interruptAll(fibers)
              assert.strictEqual(calls.length, 0)
            }),
            store.resume!
          )
          assert.strictEqual(yield* find(), 1)
        }))
    }

    test("a background run that joined a reader's load - leaves the load to the reader, its last waiter", () =>
      Effect.gen(function* () {
        let ended = 0
        const { calls, lookup } = makeLookup(() => Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended++)))
        const scope = yield* Scope.make()
        const read = yield* Cached.bg(lookup(), { key: "k", interval: "10 seconds", runImmediately: false }).pipe(
          Scope.extend(scope)
        )
        const reader = yield* Effect.fork(read)
        yield* begun(calls)
        yield* TestClock.adjust("10 seconds")
        yield* settled
        assert.strictEqual(calls.length, 1)
        yield* Scope.close(scope, Exit.void)
        yield* settled
        assert.strictEqual(ended, 0)
        yield* Fiber.interrupt(reader)
        assert.strictEqual(ended, 1)
        assert.strictEqual((yield* stats).inFlight, 0)
      }))

    test("a refresh - runs on after its reader and every reader that joined it were interrupted", () =>
      Effect.gen(function* () {
        const door = gate()
        const { calls, lookup } = numbered((call) => Effect.as(call > 1 ? door.pass : Effect.void, call))
        const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "5 seconds" })
        yield* find()
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* Effect.flatMap(Effect.fork(find()), Fiber.join), 1)
        yield* begun(calls, 2)
        yield* TestClock.adjust("5 seconds")
        const joined = yield* Effect.fork(find())
        yield* waiting(2)
        yield* Fiber.interrupt(joined)
        yield* door.open
        yield* eventually(Effect.map(find.peek(), Option.contains(2)), "the refresh has stored")
        assert.strictEqual(calls.length, 2)
      }))
  })

  describe("LoadInterrupted", () => {
    for (const [how, body] of [
      ["interrupts itself", Effect.interrupt],
      [
        "joins a fiber that was interrupted",
        Effect.flatMap(Effect.fork(Effect.never), (fiber) => Effect.zipRight(Fiber.interrupt(fiber), Fiber.join(fiber)))
      ]
    ] as const) {
      test(`a lookup that ${how} - is a defect for every waiter, and is not stored`, () =>
        Effect.gen(function* () {
          const door = gate()
          const { lookup } = numbered((call, _: string) =>
            call === 1 ? Effect.zipRight(door.pass, body) : Effect.succeed(call)
          )
          const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
          const fibers = yield* herd(Effect.exit(find("a")), 3)
          yield* waiting(3)
          yield* door.open
          for (const exit of yield* Effect.forEach(fibers, Fiber.join)) {
            const defect = defectOf(exit)
            assert.instanceOf(defect, LoadInterrupted)
            assert.strictEqual((defect as LoadInterrupted).key, "k:a")
            assert.isFalse(isInterrupted(exit))
          }
          deepStrictEqual(yield* find.peek("a"), Option.none())
          assert.deepInclude(yield* stats, { loads: 1, loadFailures: 1, inFlight: 0 })
          assert.strictEqual(yield* find("a"), 2)
        }))
    }

    test("a value set meanwhile - stays", () =>
      Effect.gen(function* () {
        const door = gate()
        const { lookup } = makeLookup((): Effect.Effect<string> => Effect.zipRight(door.pass, Effect.interrupt))
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        const fiber = yield* Effect.fork(Effect.exit(find()))
        yield* door.reached
        yield* find.set()("mine")
        yield* door.open
        assert.instanceOf(defectOf(yield* Fiber.join(fiber)), LoadInterrupted)
        assert.strictEqual(yield* find(), "mine")
      }))
  })
}
