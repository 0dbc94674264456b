/**
 * What holds of loads on every store: who shares one, who owns it, who may end it and what it may write.
 *
 * A remote store does real I/O while the TestClock stands still, so nothing here takes for granted that a read has come
 * to its load after one turn: tests wait for what they need with `begun`, `waiting` and `eventually`.
 */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import {
  Cause,
  Chunk,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  FiberRef,
  HashMap,
  Option,
  Runtime,
  Scope,
  Supervisor,
  TestClock
} from "effect"
import * as Cached from "../../src/Cached.js"
import { LoadInterrupted, ReentrantLoad } from "../../src/CacheError.js"
import { CacheStore } from "../../src/CacheStore.js"
import {
  begun,
  eventually,
  gate,
  makeLookup,
  numbered,
  openStore,
  pausingAt,
  recordingTracer,
  type StoreUnderTest,
  settled,
  stats,
  stepping,
  waiting
} from "./support.js"

class Boom extends Error {
  override readonly name = "Boom"
}

/** forks that many reads */
const herd = <A, E, R>(read: Effect.Effect<A, E, R>, size: number) =>
  Effect.forEach(Array.from({ length: size }), () => Effect.fork(read))

const defectOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  exit._tag === "Failure" ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined

const chainOf = (exit: Exit.Exit<unknown, unknown>): ReadonlyArray<string> => {
  const defect = defectOf(exit)
  return defect instanceof ReentrantLoad ? defect.chain : assert.fail(`no ReentrantLoad but ${exit}`)
}

const isInterrupted = (exit: Exit.Exit<unknown, unknown>): boolean =>
  exit._tag === "Failure" && Cause.isInterruptedOnly(exit.cause)

const isDone = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean => fiber.unsafePoll() !== null

/** the suite; every test has a store of its own */
export const flights = (store: StoreUnderTest): void => {
  const test = <E>(name: string, body: () => Effect.Effect<unknown, E, CacheStore | Scope.Scope>) =>
    it.scoped(name, () => Effect.provide(body(), store.layer))

  describe(`flights on ${store.name}`, () => {
    describe("law 3 - one attached load per key", () => {
      for (const size of [10, 100, 1_000, 10_000]) {
        test(`cold herd - ${size} fibers on one key share one load`, () =>
          Effect.gen(function* () {
            const door = gate()
            const { calls, lookup } = makeLookup((id: number) => Effect.as(door.pass, `user ${id}`))
            const find = Cached.ttl(lookup, { key: "user:{}", ttl: "1 minute" })
            const fibers = yield* herd(find(1), size)
            yield* waiting(size)
            yield* door.open
            const values = yield* Effect.forEach(fibers, Fiber.join)
            assert.strictEqual(calls.length, 1)
            assert.isTrue(values.every((value) => value === "user 1"))
            const counts = yield* stats
            assert.deepInclude(counts, { hits: 0, misses: size, coalesced: size - 1, loads: 1, inFlight: 0 })
          }))
      }

      test("joining - a newcomer joins the load under way, and hits after it", () =>
        Effect.gen(function* () {
          const door = gate()
          const { lookup } = numbered((call) => Effect.as(door.pass, call))
          const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
          const first = yield* Effect.fork(find())
          yield* door.reached
          yield* TestClock.adjust("10 seconds")
          const second = yield* Effect.fork(find())
          yield* waiting(2)
          yield* door.open
          deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second), yield* find()], [1, 1, 1])
          assert.deepInclude(yield* stats, { hits: 1, misses: 2, coalesced: 1, loads: 1 })
        }))

      test("keys - no key waits for another key's load", () =>
        Effect.gen(function* () {
          const slow = gate()
          const { lookup } = makeLookup((key: string) => Effect.as(key === "slow" ? slow.pass : Effect.void, key))
          const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
          const fiber = yield* Effect.fork(find("slow"))
          yield* slow.reached
          assert.strictEqual(yield* find("fast"), "fast")
          assert.isFalse(isDone(fiber))
          yield* slow.open
          assert.strictEqual(yield* Fiber.join(fiber), "slow")
        }))

      test("expired - readers that come one after the other to an expired entry share one load", () =>
        Effect.gen(function* () {
          const { calls, lookup } = numbered((call) => Effect.as(Effect.sleep("300 millis"), call))
          const find = Cached.ttl(lookup, { key: "k", ttl: "10 seconds" })
          const before = yield* Effect.fork(find())
          yield* begun(calls)
          yield* TestClock.adjust("300 millis")
          assert.strictEqual(yield* Fiber.join(before), 1)
          yield* TestClock.adjust("10 seconds")
          const fibers: Array<Fiber.RuntimeFiber<number>> = []
          for (let i = 0; i < 100; i++) {
            fibers.push(yield* Effect.fork(find()))
            yield* waiting(i + 2)
            yield* TestClock.adjust("1 millis")
          }
          yield* begun(calls, 2)
          yield* TestClock.adjust("300 millis")
          deepStrictEqual(
            yield* Effect.forEach(fibers, Fiber.join),
            Array.from(fibers, () => 2)
          )
          assert.strictEqual(calls.length, 2)
        }))

      test("stale herd - 1000 readers of a stale entry are answered with it at once and start one refresh", () =>
        Effect.gen(function* () {
          const door = gate()
          const { calls, lookup } = numbered((call) => Effect.as(call > 1 ? door.pass : Effect.void, call))
          const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
          yield* find()
          yield* TestClock.adjust("10 seconds")
          const values = yield* Effect.all(
            Array.from({ length: 1_000 }, () => find()),
            { concurrency: "unbounded" }
          )
          assert.isTrue(values.every((value) => value === 1))
          yield* begun(calls, 2)
          assert.deepInclude(yield* stats, { staleHits: 1_000, refreshes: 1, loads: 2, inFlight: 1 })
          yield* door.open
          yield* eventually(Effect.map(find.peek(), Option.contains(2)), "the refresh has stored")
          assert.strictEqual(calls.length, 2)
        }))

      test("refreshing - a refresh that is still under way when the entry expires is joined, not doubled", () =>
        Effect.gen(function* () {
          const door = gate()
          const { calls, lookup } = numbered((call) => Effect.as(call > 1 ? door.pass : Effect.void, call))
          const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "5 seconds" })
          yield* find()
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(yield* find(), 1)
          yield* begun(calls, 2)
          yield* TestClock.adjust("5 seconds")
          const fibers = yield* herd(find(), 10)
          yield* waiting(11)
          yield* door.open
          deepStrictEqual(
            yield* Effect.forEach(fibers, Fiber.join),
            Array.from(fibers, () => 2)
          )
          assert.deepInclude(yield* stats, { loads: 2, coalesced: 10 })
        }))

      for (const verb of ["refresh", "reload"] as const) {
        for (const last of ["older", "forced"] as const) {
          test(`${verb} - it joins no older load and takes its key; the ${last} load ends last`, () =>
            Effect.gen(function* () {
              const doors = [gate(), gate()]
              const { lookup } = numbered((call, _: string) => Effect.as(doors[call - 1]!.pass, call))
              const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
              const older = yield* Effect.fork(find("a"))
              yield* doors[0]!.reached
              const forced = yield* Effect.fork(verb === "refresh" ? find.refresh("a") : Cached.reload(find("a")))
              yield* doors[1]!.reached
              assert.strictEqual((yield* stats).inFlight, 1)
              if (last === "older") {
                yield* doors[1]!.open
                assert.strictEqual(yield* Fiber.join(forced), 2)
                yield* doors[0]!.open
                assert.strictEqual(yield* Fiber.join(older), 1)
              } else {
                yield* doors[0]!.open
                assert.strictEqual(yield* Fiber.join(older), 1)
                deepStrictEqual(yield* find.peek("a"), Option.none())
                yield* doors[1]!.open
                assert.strictEqual(yield* Fiber.join(forced), 2)
              }
              assert.strictEqual(yield* find("a"), 2)
              assert.deepInclude(yield* stats, { loads: 2, hits: 1, coalesced: 0, inFlight: 0 })
            }))
        }
      }

      test("refresh - forced callers of one turn share one load, one that comes after it began does not", () =>
        Effect.gen(function* () {
          const doors = [gate(), gate()]
          const { calls, lookup } = numbered((call) => Effect.as(doors[call - 1]!.pass, call))
          const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
          const one = yield* Effect.fork(
            Effect.all([find.refresh(), Cached.reload(find()), find.refresh()], { concurrency: "unbounded" })
          )
          yield* doors[0]!.reached
          yield* settled
          assert.strictEqual(calls.length, 1)
          const two = yield* Effect.fork(find.refresh())
          yield* doors[1]!.reached
          yield* Effect.zipRight(doors[0]!.open, doors[1]!.open)
          deepStrictEqual(yield* Fiber.join(one), [1, 1, 1])
          assert.strictEqual(yield* Fiber.join(two), 2)
          deepStrictEqual(yield* find.peek(), Option.some(2))
          assert.deepInclude(yield* stats, { loads: 2, coalesced: 2 })
        }))

      test("refresh - plain readers join a forced load", () =>
        Effect.gen(function* () {
          const door = gate()
          const { calls, lookup } = numbered((call) => Effect.as(door.pass, call))
          const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
          const forced = yield* Effect.fork(find.refresh())
          yield* door.reached
          const plain = yield* Effect.fork(find())
          yield* waiting(2)
          yield* door.open
          deepStrictEqual([yield* Fiber.join(forced), yield* Fiber.join(plain)], [1, 1])
          assert.strictEqual(calls.length, 1)
        }))

      test("refresh - it takes the place of a refresh behind a stale answer, whose value is not stored", () =>
        Effect.gen(function* () {
          const doors = [gate(), gate()]
          const { calls, lookup } = numbered((call) =>
            Effect.as(call === 1 ? Effect.void : doors[call - 2]!.pass, call)
          )
          const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
          yield* find()
          yield* TestClock.adjust("10 seconds")
          yield* find()
          yield* doors[0]!.reached
          const forced = yield* Effect.fork(find.refresh())
          yield* doors[1]!.reached
          yield* doors[1]!.open
          assert.strictEqual(yield* Fiber.join(forced), 3)
          yield* doors[0]!.open
          yield* settled
          assert.strictEqual(yield* find(), 3)
          assert.strictEqual(calls.length, 3)
        }))

      // on a remote medium a mark takes its time, and what is asked for meanwhile may come before or after it
      for (const mark of store.remote ? [] : (["clear", "tags", "store.clear"] as const)) {
        test(`refresh - one asked for after ${mark} does not share a load asked for before it, and is stored`, () =>
          Effect.gen(function* () {
            const { lookup } = numbered((call, _: string) => Effect.succeed(call))
            const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute", tags: ["all"] })
            const raise =
              mark === "clear"
                ? find.clear
                : mark === "tags"
                  ? Cached.invalidateTags(["all"])
                  : Effect.flatMap(CacheStore, (store) => store.clear)
            const [, , last] = yield* Effect.all([find.refresh("a"), raise, find.refresh("a")], {
              concurrency: "unbounded"
            })
            deepStrictEqual(yield* find.peek("a"), Option.some(last))
          }))
      }

      test("another function - it loads in its own flight", () =>
        Effect.gen(function* () {
          const doors = { a: gate(), b: gate() }
          const a = makeLookup(() => Effect.as(doors.a.pass, "a"))
          const b = makeLookup(() => Effect.as(doors.b.pass, "b"))
          const findA = Cached.ttl(a.lookup, { key: "k", name: "a", ttl: "1 minute" })
          const findB = Cached.ttl(b.lookup, { key: "k", name: "b", ttl: "1 minute" })
          const first = yield* Effect.fork(findA())
          yield* doors.a.reached
          const second = yield* Effect.fork(findB())
          yield* doors.b.reached
          yield* Effect.zipRight(doors.a.open, doors.b.open)
          deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], ["a", "b"])
        }))

      test("a ttl function that answers 0 - the herd shares the load, nothing is stored", () =>
        Effect.gen(function* () {
          const door = gate()
          const { lookup } = numbered((call) => Effect.as(door.pass, call))
          const find = Cached.ttl(lookup, { key: "k", ttl: () => 0 })
          const fibers = yield* herd(find(), 10)
          yield* waiting(10)
          yield* door.open
          deepStrictEqual(
            yield* Effect.forEach(fibers, Fiber.join),
            Array.from(fibers, () => 1)
          )
          assert.strictEqual(yield* find(), 2)
        }))
    })

    describe("law 4 - the load belongs to nobody", () => {
      describe("interruption", () => {
        test("the first caller leaves - the others keep the load", () =>
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

        test("the last waiter leaves - a newcomer starts anew while the old load is still ending", () =>
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

        test("the last waiter of a detached load leaves - its successor is not touched", () =>
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

        test("at any step - a reader that leaves on its way to the load leaves no load behind", () =>
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
              assert.strictEqual((yield* stats).inFlight, 0, `loads under way after an interruption at step ${at}`)
            }
            assert.isAbove(at, 3)
          }))

        test("at any step - a reader on its way to the load keeps it when the only other one leaves", () =>
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

        test("an uninterruptible first caller - the load can be interrupted all the same", () =>
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

        test("a caller under interruption - what it reads in its finalizer is loaded", () =>
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

        test("10000 waiters leave at once - the load ends once, and the key is free", () =>
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
          test(`${how} - the lookup is the caller's own, and ends with it`, () =>
            Effect.gen(function* () {
              let ended = 0
              const { calls, lookup } = makeLookup(() =>
                Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended++))
              )
              const find = Cached.ttl(lookup, { key: "k", ttl: how === "bypass" ? "1 minute" : 0 })
              const fibers = yield* herd(how === "bypass" ? Cached.bypass(find()) : find(), 2)
              yield* begun(calls, 2)
              yield* Fiber.interrupt(fibers[0]!)
              assert.strictEqual(ended, 1)
              yield* Fiber.interrupt(fibers[1]!)
              assert.strictEqual(ended, 2)
            }))
        }

        test("forced loads - the last caller to leave ends the load", () =>
          Effect.gen(function* () {
            let ended = 0
            const { calls, lookup } = makeLookup(() =>
              Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended++))
            )
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

        test("readers of a refresh that was ended - they wait for a load of their own then, and the last to leave ends it", () =>
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
          test("a silent medium - a reader that waits for it can leave at once", () =>
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

        test("a background run that joined a reader's load - leaves it to the reader, who is its last then", () =>
          Effect.gen(function* () {
            let ended = 0
            const { calls, lookup } = makeLookup(() =>
              Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended++))
            )
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

        test("a refresh - runs on when its reader and those who joined it have gone", () =>
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
            Effect.flatMap(Effect.fork(Effect.never), (fiber) =>
              Effect.zipRight(Fiber.interrupt(fiber), Fiber.join(fiber))
            )
          ]
        ] as const) {
          test(`a lookup that ${how} is a defect for every waiter, and is not stored`, () =>
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

        test("a value set meanwhile stays", () =>
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

      describe("the fiber of a load", () => {
        class Tenant extends Context.Tag("test/Tenant")<Tenant, string>() {}
        const ref = FiberRef.unsafeMake("default")

        test("context, FiberRefs and log annotations are the first caller's, and changes do not come back", () =>
          Effect.gen(function* () {
            const door = gate()
            const { lookup } = makeLookup(() =>
              Effect.gen(function* () {
                yield* door.pass
                const seen = [
                  yield* Tenant,
                  yield* FiberRef.get(ref),
                  Option.getOrUndefined(HashMap.get(yield* Effect.logAnnotations, "request"))
                ]
                yield* FiberRef.set(ref, "changed by the load")
                return seen
              })
            )
            const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
            const as = (name: string) => (effect: Effect.Effect<Array<unknown>, never, Tenant | CacheStore>) =>
              effect.pipe(
                Effect.zip(FiberRef.get(ref)),
                Effect.locally(ref, name),
                Effect.annotateLogs("request", name),
                Effect.provideService(Tenant, name)
              )
            const first = yield* Effect.fork(as("first")(find()))
            yield* door.reached
            const second = yield* Effect.fork(as("second")(find()))
            yield* waiting(2)
            yield* door.open
            const seen = ["first", "first", "first"]
            deepStrictEqual(yield* Fiber.join(first), [seen, "first"])
            deepStrictEqual(yield* Fiber.join(second), [seen, "second"])
          }))

        test("a refresh has the reader's services", () =>
          Effect.gen(function* () {
            const { calls, lookup } = makeLookup(() => Tenant)
            const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
            assert.strictEqual(yield* Effect.provideService(find(), Tenant, "first"), "first")
            yield* TestClock.adjust("10 seconds")
            assert.strictEqual(yield* Effect.provideService(find(), Tenant, "second"), "first")
            yield* begun(calls, 2)
            yield* eventually(Effect.map(find.peek(), Option.contains("second")), "the refresh has stored")
          }))

        test("supervisor - the first caller's sees neither a load nor a refresh", () =>
          Effect.gen(function* () {
            const door = gate()
            const { calls, lookup } = numbered((call, _: string) => Effect.as(door.pass, call))
            const find = Cached.swr(lookup, { key: "k:{}", ttl: "10 seconds", stale: "1 minute" })
            const supervisor = yield* Supervisor.track
            const fiber = yield* Effect.fork(Effect.supervised(find("a"), supervisor))
            yield* door.reached
            assert.strictEqual((yield* supervisor.value).length, 0)
            yield* find.set("b")(0)
            yield* TestClock.adjust("10 seconds")
            // would wait for the refresh if it were a child, and the refresh waits for the door
            assert.strictEqual(yield* Effect.awaitAllChildren(find("b")), 0)
            yield* begun(calls, 2)
            yield* door.open
            yield* Fiber.join(fiber)
          }))

        test("fibers forked by the lookup end with the load", () =>
          Effect.gen(function* () {
            let ended = false
            const inside = gate()
            const { lookup } = makeLookup(() =>
              Effect.fork(
                Effect.zipRight(inside.pass, Effect.never).pipe(
                  Effect.onInterrupt(() => Effect.sync(() => (ended = true)))
                )
              ).pipe(Effect.zipRight(inside.reached), Effect.as("value"))
            )
            const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
            assert.strictEqual(yield* find(), "value")
            assert.isTrue(ended)
          }))
      })

      describe("the Scope of a load", () => {
        const resource = (log: Array<string>, name: string) =>
          Effect.acquireRelease(
            Effect.sync(() => log.push(`open ${name}`)),
            (_, exit) =>
              Effect.zipRight(
                Effect.yieldNow(),
                Effect.sync(() => log.push(`close ${name} ${exit._tag}`))
              )
          )

        test("it is the load's own - resources are closed in reverse, once, before the answer", () =>
          Effect.gen(function* () {
            const log: Array<string> = []
            const { lookup } = makeLookup(() =>
              Effect.as(Effect.zipRight(resource(log, "a"), resource(log, "b")), "value")
            )
            const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
            yield* Effect.tap(find(), () => log.push("answer"))
            yield* find()
            deepStrictEqual(log, ["open a", "open b", "close b Success", "close a Success", "answer"])
          }))

        test("a load that fails closes it as failed, before the answer", () =>
          Effect.gen(function* () {
            const log: Array<string> = []
            const { lookup } = makeLookup(() => Effect.zipRight(resource(log, "a"), Effect.fail("no")))
            const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
            yield* Effect.tapError(find(), () => Effect.sync(() => log.push("answer"))).pipe(Effect.flip)
            deepStrictEqual(log, ["open a", "close a Failure", "answer"])
          }))

        test("the first caller leaves - the resource stays open under the waiters", () =>
          Effect.gen(function* () {
            const log: Array<string> = []
            const door = gate()
            const { lookup } = makeLookup(() => Effect.zipRight(resource(log, "a"), Effect.as(door.pass, "value")))
            const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
            const first = yield* Effect.fork(Effect.scoped(find()))
            yield* door.reached
            const second = yield* Effect.fork(find())
            yield* waiting(2)
            yield* Fiber.interrupt(first)
            yield* settled
            deepStrictEqual(log, ["open a"])
            yield* door.open
            yield* Fiber.join(second)
            deepStrictEqual(log, ["open a", "close a Success"])
          }))

        test("a finalizer that dies - every waiter gets the defect, nothing is stored", () =>
          Effect.gen(function* () {
            const boom = new Boom()
            const { lookup } = makeLookup(() =>
              Effect.as(
                Effect.addFinalizer(() => Effect.die(boom)),
                "value"
              )
            )
            const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
            for (const exit of yield* Effect.all([Effect.exit(find()), Effect.exit(find())], {
              concurrency: "unbounded"
            })) {
              assert.strictEqual(defectOf(exit), boom)
            }
            deepStrictEqual(yield* find.peek(), Option.none())
          }))

        test("a refresh - closed when it ends; it is not the reader's", () =>
          Effect.gen(function* () {
            const log: Array<string> = []
            const { lookup } = numbered((call) => Effect.as(resource(log, `${call}`), call))
            const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
            yield* find()
            yield* TestClock.adjust("10 seconds")
            yield* find()
            yield* eventually(Effect.map(find.peek(), Option.contains(2)), "the refresh has stored")
            deepStrictEqual(log, ["open 1", "close 1 Success", "open 2", "close 2 Success"])
          }))

        test("too late - what a daemon adds after the load has ended is closed at once", () =>
          Effect.gen(function* () {
            const log: Array<string> = []
            const late = gate()
            const daemon = yield* Deferred.make<Fiber.RuntimeFiber<unknown>>()
            const { lookup } = makeLookup(() =>
              Effect.zipRight(late.pass, resource(log, "late")).pipe(
                Effect.forkDaemon,
                Effect.tap((fiber) => Deferred.succeed(daemon, fiber)),
                Effect.as("value")
              )
            )
            const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
            assert.strictEqual(yield* find(), "value")
            yield* late.open
            yield* Effect.flatMap(Deferred.await(daemon), Fiber.await)
            deepStrictEqual(log, ["open late", "close late Success"])
          }))

        test("at any step - fibers that acquire at the same time lose nothing", () =>
          Effect.gen(function* () {
            for (let budget = 10; budget < 40; budget++) {
              const log: Array<string> = []
              const names = ["a", "b", "c"]
              const { lookup } = makeLookup((_: number) =>
                Effect.forEach(names, (name) => resource(log, name), { concurrency: "unbounded", discard: true })
              )
              const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
              yield* Effect.withScheduler(find(budget), stepping(budget))
              assert.sameMembers(
                log,
                names.flatMap((name) => [`open ${name}`, `close ${name} Success`]),
                `with ${budget} steps at a time`
              )
            }
          }))
      })

      describe("spans", () => {
        test("load - Cached.load is a child of the first caller's span and ends with the load", () =>
          Effect.gen(function* () {
            const { spans, tracer } = recordingTracer()
            const door = gate()
            const { lookup } = makeLookup((_: number) =>
              Effect.zipRight(door.pass, Effect.orDie(Effect.currentSpan)).pipe(Effect.map((span) => span.name))
            )
            const find = Cached.ttl(lookup, { key: "user:{}", ttl: "1 minute" })
            const traced = (name: string) => find(1).pipe(Effect.withSpan(name), Effect.withTracer(tracer))
            const first = yield* Effect.fork(traced("first"))
            yield* door.reached
            const second = yield* Effect.fork(traced("second"))
            yield* waiting(2)
            const [caller, load] = ["first", "Cached.load"].map((name) => spans.find((span) => span.name === name)!)
            assert.strictEqual(load!.parent, caller!.span)
            assert.strictEqual(load!.attributes.get("cache.name"), "user")
            assert.strictEqual(load!.attributes.get("cache.outcome"), "miss")
            assert.match(String(load!.attributes.get("cache.key_hash")), /^[\w-]{8}$/)
            assert.strictEqual(load!.ends, 0)
            yield* door.open
            assert.strictEqual(yield* Fiber.join(first), "Cached.load")
            yield* Fiber.join(second)
            assert.strictEqual(load!.ends, 1)
            assert.strictEqual(load!.exit?._tag, "Success")
            assert.strictEqual(spans.filter((span) => span.name === "Cached.load").length, 1)
          }))

        test("refresh - Cached.refresh is linked to the reader's span, not its child", () =>
          Effect.gen(function* () {
            const { spans, tracer } = recordingTracer()
            const { lookup } = numbered((call) => Effect.succeed(call))
            const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
            yield* find()
            yield* TestClock.adjust("10 seconds")
            yield* find().pipe(Effect.withSpan("reader"), Effect.withTracer(tracer))
            yield* eventually(Effect.map(find.peek(), Option.contains(2)), "the refresh has stored")
            const [reader, refresh] = ["reader", "Cached.refresh"].map((name) =>
              spans.find((span) => span.name === name)
            )
            assert.isUndefined(refresh!.parent)
            deepStrictEqual(
              refresh!.links.map(({ span }) => span),
              [reader!.span]
            )
            assert.strictEqual(refresh!.ends, 1)
            assert.isUndefined(spans.find((span) => span.name === "Cached.load"))
          }))

        test("refresh - without a tracer its lookup has no parent span of the reader's", () =>
          Effect.gen(function* () {
            const { spans, tracer } = recordingTracer()
            const seen: Array<unknown> = []
            const { lookup } = makeLookup(() =>
              Effect.map(Effect.option(Effect.currentParentSpan), (span) => {
                seen.push(Option.map(span, (span) => span._tag === "Span" && span.name))
                return seen.length
              })
            )
            const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
            yield* find()
            yield* TestClock.adjust("10 seconds")
            yield* find().pipe(Effect.withTracerEnabled(false), Effect.withSpan("reader"), Effect.withTracer(tracer))
            yield* eventually(Effect.map(find.peek(), Option.contains(2)), "the refresh has stored")
            deepStrictEqual(seen, [Option.none(), Option.none()])
            deepStrictEqual(
              spans.map(({ name }) => name),
              ["reader"]
            )
          }))

        test("failure and interruption - the span ends with the load's exit", () =>
          Effect.gen(function* () {
            const { spans, tracer } = recordingTracer()
            const { calls, lookup } = makeLookup((key: string) => (key === "fail" ? Effect.fail("no") : Effect.never))
            const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
            const traced = (key: string) => find(key).pipe(Effect.withSpan("reader"), Effect.withTracer(tracer))
            yield* Effect.flip(traced("fail"))
            const fiber = yield* Effect.fork(traced("never"))
            yield* begun(calls, 2)
            yield* Fiber.interrupt(fiber)
            const loads = spans.filter(({ name }) => name === "Cached.load")
            deepStrictEqual(
              loads.map(({ ends, exit }) => [ends, exit?._tag, exit !== undefined && isInterrupted(exit)]),
              [
                [1, "Failure", false],
                [1, "Failure", true]
              ]
            )
          }))

        if (!store.remote) {
          test("hit - none", () =>
            Effect.gen(function* () {
              const { spans, tracer } = recordingTracer()
              const find = Cached.ttl(Effect.succeed(1), { key: "k", ttl: "1 minute" })
              yield* find
              yield* find.pipe(Effect.withSpan("reader"), Effect.withTracer(tracer))
              deepStrictEqual(
                spans.map(({ name }) => name),
                ["reader"]
              )
            }))
        }
      })

      describe("flightTimeout", () => {
        test("joining - until it is over readers join, from then on the next one starts a successor", () =>
          Effect.gen(function* () {
            const doors = [gate(), gate()]
            const { calls, lookup } = numbered((call, _: string) => Effect.as(doors[call - 1]!.pass, call))
            const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute", flightTimeout: "5 seconds" })
            const first = yield* Effect.fork(find("a"))
            yield* doors[0]!.reached
            yield* TestClock.adjust("4999 millis")
            const intime = yield* Effect.fork(find("a"))
            yield* waiting(2)
            assert.strictEqual(calls.length, 1)
            yield* TestClock.adjust("1 millis")
            const late = yield* herd(find("a"), 3)
            yield* doors[1]!.reached
            yield* waiting(5)
            assert.strictEqual((yield* stats).inFlight, 1)
            yield* doors[1]!.open
            deepStrictEqual(yield* Effect.forEach(late, Fiber.join), [2, 2, 2])
            yield* doors[0]!.open
            deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(intime)], [1, 1])
            assert.strictEqual(yield* find("a"), 2)
            assert.strictEqual(calls.length, 2)
          }))

        test("writing - a late load is delivered and not stored, also where nobody came after it", () =>
          Effect.gen(function* () {
            const door = gate()
            const { lookup } = numbered((call) => Effect.as(call === 1 ? door.pass : Effect.void, call))
            const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute", flightTimeout: "5 seconds" })
            const first = yield* Effect.fork(find())
            yield* door.reached
            yield* TestClock.adjust("5 seconds")
            yield* door.open
            assert.strictEqual(yield* Fiber.join(first), 1)
            deepStrictEqual(yield* find.peek(), Option.none())
            assert.strictEqual(yield* find(), 2)
          }))

        test("writing - a late load that ends while its successor runs does not store", () =>
          Effect.gen(function* () {
            const doors = [gate(), gate()]
            const { lookup } = numbered((call) => Effect.as(doors[call - 1]!.pass, call))
            const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute", flightTimeout: "5 seconds" })
            const first = yield* Effect.fork(find())
            yield* doors[0]!.reached
            yield* TestClock.adjust("5 seconds")
            const second = yield* Effect.fork(find())
            yield* doors[1]!.reached
            yield* doors[0]!.open
            assert.strictEqual(yield* Fiber.join(first), 1)
            deepStrictEqual(yield* find.peek(), Option.none())
            assert.strictEqual((yield* stats).inFlight, 1)
            yield* doors[1]!.open
            assert.strictEqual(yield* Fiber.join(second), 2)
            deepStrictEqual(yield* find.peek(), Option.some(2))
          }))

        test("default - 30 seconds", () =>
          Effect.gen(function* () {
            const { calls, lookup } = makeLookup(() => Effect.never)
            const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
            yield* Effect.fork(find())
            yield* begun(calls)
            yield* TestClock.adjust("29999 millis")
            yield* Effect.fork(find())
            yield* waiting(2)
            assert.strictEqual(calls.length, 1)
            yield* TestClock.adjust("1 millis")
            yield* Effect.fork(find())
            yield* begun(calls, 2)
          }))

        test("refresh - it is interrupted and counted as failed, the stale value stays", () =>
          Effect.gen(function* () {
            let interrupted = 0
            const { calls, lookup } = numbered((call) =>
              call === 1 ? Effect.succeed(1) : Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
            )
            const find = Cached.swr(lookup, {
              key: "k",
              ttl: "10 seconds",
              stale: "1 minute",
              flightTimeout: "5 seconds"
            })
            yield* find()
            yield* TestClock.adjust("10 seconds")
            yield* find()
            yield* begun(calls, 2)
            yield* TestClock.adjust("4999 millis")
            assert.deepInclude(yield* stats, { refreshFailures: 0, inFlight: 1 })
            yield* TestClock.adjust("1 millis")
            yield* eventually(() => interrupted === 1, "the refresh was interrupted")
            assert.deepInclude(yield* stats, { refreshes: 1, refreshFailures: 1, loadFailures: 1, inFlight: 0 })
            assert.strictEqual(yield* find(), 1)
            // law 9: not before `retryAfter`
            yield* settled
            assert.strictEqual(calls.length, 2)
            yield* TestClock.adjust("1 second")
            assert.strictEqual(yield* find(), 1)
            yield* begun(calls, 3)
          }))

        test("refresh - those who joined it read again, with one load", () =>
          Effect.gen(function* () {
            const { calls, lookup } = numbered((call) => (call === 2 ? Effect.never : Effect.succeed(call)))
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
            const joined = yield* herd(find(), 5)
            yield* waiting(6)
            yield* TestClock.adjust("2 seconds")
            deepStrictEqual(yield* Effect.forEach(joined, Fiber.join), [3, 3, 3, 3, 3])
            assert.strictEqual(calls.length, 3)
          }))

        test("refresh - one that cannot be interrupted holds nobody up and writes nothing when it ends", () =>
          Effect.gen(function* () {
            const door = gate()
            const { lookup } = numbered((call) =>
              call === 2 ? Effect.uninterruptible(Effect.as(door.pass, 2)) : Effect.succeed(call)
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
            yield* door.reached
            yield* TestClock.adjust("5 seconds")
            yield* eventually(
              Effect.map(stats, ({ refreshFailures }) => refreshFailures === 1),
              "the refresh was given up"
            )
            assert.strictEqual(yield* find(), 3)
            yield* door.open
            yield* settled
            assert.strictEqual(yield* find(), 3)
          }))
      })

      if (!store.remote) {
        describe("without the scheduler", () => {
          test("runSync - a synchronous lookup is read, hit and refreshed in one go", () =>
            Effect.gen(function* () {
              const runtime = yield* Effect.runtime<CacheStore>()
              const { lookup } = numbered((call, _: string) => Effect.sync(() => call))
              const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
              const run = <A, E>(effect: Effect.Effect<A, E, CacheStore>) => Runtime.runSync(runtime)(effect)
              assert.strictEqual(run(find("a")), 1)
              assert.strictEqual(run(find("a")), 1)
              assert.strictEqual(run(find.refresh("a")), 2)
              assert.strictEqual(run(Cached.reload(find("a"))), 3)
              assert.strictEqual(run(find("a")), 3)
              assert.strictEqual(run(Cached.bypass(find("a"))), 4)
              assert.strictEqual(run(find("a")), 3)
            }))

          test("runSync - a stale read is answered at once, and its slow refresh runs on", () =>
            Effect.gen(function* () {
              const runtime = yield* Effect.runtime<CacheStore>()
              const door = gate()
              const { calls, lookup } = numbered((call) =>
                Effect.as(call > 1 ? Effect.zipRight(Effect.yieldNow(), door.pass) : Effect.void, call)
              )
              const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
              const run = <A, E>(effect: Effect.Effect<A, E, CacheStore>) => Runtime.runSync(runtime)(effect)
              assert.strictEqual(run(find()), 1)
              yield* TestClock.adjust("10 seconds")
              assert.strictEqual(run(find()), 1)
              // it has not even begun: nothing delays the read
              assert.strictEqual(calls.length, 1)
              yield* door.reached
              yield* door.open
              yield* eventually(Effect.map(find.peek(), Option.contains(2)), "the refresh has stored")
            }))

          test("a synchronous load never touches the scheduler", () =>
            Effect.gen(function* () {
              let scheduled = 0
              const find = Cached.ttl(
                Effect.sync(() => ({})),
                { key: "k", ttl: "1 minute" }
              )
              yield* Effect.withScheduler(Effect.zipRight(find, find), {
                scheduleTask: (task, priority, fiber) => {
                  scheduled++
                  fiber?.currentScheduler.scheduleTask(task, priority, fiber)
                },
                shouldYield: () => false
              })
              assert.strictEqual(scheduled, 0)
            }))
        })
      }

      test("bypass - it neither joins a load nor disturbs it", () =>
        Effect.gen(function* () {
          const doors = [gate(), gate()]
          const { lookup } = numbered((call) => Effect.as(doors[call - 1]!.pass, call))
          const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
          const plain = yield* Effect.fork(find())
          yield* doors[0]!.reached
          const bypassing = yield* Effect.fork(Cached.bypass(find()))
          yield* doors[1]!.reached
          yield* doors[1]!.open
          assert.strictEqual(yield* Fiber.join(bypassing), 2)
          deepStrictEqual(yield* find.peek(), Option.none())
          yield* doors[0]!.open
          assert.strictEqual(yield* Fiber.join(plain), 1)
          assert.strictEqual(yield* find(), 1)
        }))

      test("counting - what a load does is counted in the store it was begun in", () =>
        Effect.gen(function* () {
          const other = yield* openStore(store.layer)
          const door = gate()
          const { lookup } = makeLookup((key: string) =>
            key === "a" ? Effect.zipRight(door.pass, Effect.fail("no")) : Effect.succeed(key)
          )
          const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
          const fiber = yield* Effect.fork(find("a"))
          yield* door.reached
          yield* other.provide(find("b"))
          yield* door.open
          yield* Effect.flip(Fiber.join(fiber))
          assert.deepInclude(yield* stats, { loads: 1, loadFailures: 1 })
          assert.deepInclude(yield* other.provide(stats), { loads: 1, loadFailures: 0 })
          yield* other.close
        }))
    })

    describe("law 5 - failure is shared, not stored", () => {
      const ends: ReadonlyArray<readonly [string, () => Effect.Effect<never, unknown>]> = [
        ["a failure", () => Effect.fail("no")],
        ["a failure with undefined", () => Effect.fail(undefined)],
        ["a defect", () => Effect.die(new Boom())],
        ...[undefined, null, 0, "", false].map(
          (thrown) =>
            [
              `a lookup that throws ${JSON.stringify(thrown)}`,
              () => {
                throw thrown
              }
            ] as const
        ),
        ["a promise rejected with nothing", () => Effect.promise(() => Promise.reject())],
        ["both at once", () => Effect.failCause(Cause.parallel(Cause.fail("no"), Cause.die(new Boom())))]
      ]
      for (const [what, end] of ends) {
        for (const verb of ["read", "refresh"] as const) {
          test(`${what} - every waiter of a ${verb} gets the same cause, and the next read loads again`, () =>
            Effect.gen(function* () {
              const door = gate()
              const { lookup } = numbered((call, _: string) =>
                call === 1 ? Effect.flatMap(door.pass, () => end()) : Effect.succeed(call)
              )
              const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
              const fibers = yield* herd(Effect.exit(verb === "read" ? find("a") : find.refresh("a")), 3)
              yield* waiting(3)
              yield* door.open
              const exits = yield* Effect.forEach(fibers, Fiber.join)
              assert.strictEqual(exits[0]!._tag, "Failure")
              deepStrictEqual(exits[1], exits[0])
              deepStrictEqual(exits[2], exits[0])
              const direct = yield* Effect.exit(Effect.suspend(end))
              if (direct._tag === "Failure" && exits[0]!._tag === "Failure") {
                deepStrictEqual(
                  Chunk.toReadonlyArray(Cause.defects(exits[0]!.cause)).map(String),
                  Chunk.toReadonlyArray(Cause.defects(direct.cause)).map(String)
                )
                deepStrictEqual(Cause.failures(exits[0]!.cause), Cause.failures(direct.cause))
              }
              assert.deepInclude(yield* stats, { loads: 1, loadFailures: 1, inFlight: 0 })
              assert.strictEqual(yield* find("a"), 2)
            }))
        }
      }

      const callbacks: ReadonlyArray<readonly [string, Record<string, unknown>]> = [
        ["a ttl function that throws", { ttl: thrower() }],
        ["a ttl function that answers nonsense", { ttl: once("banana", 60_000) }],
        ["a tags function that throws", { ttl: 60_000, tags: thrower([]) }],
        ["a tags function that answers no list", { ttl: 60_000, tags: once(undefined, []) }]
      ]
      for (const [what, options] of callbacks) {
        test(`${what} - a defect of that load for every waiter, and the key stays usable`, () =>
          Effect.gen(function* () {
            const door = gate()
            const { lookup } = numbered((call, _: string) => Effect.as(door.pass, call))
            const find = Cached.ttl(lookup, { key: "k:{}", ...options } as unknown as Cached.TtlOptions<
              [string],
              number,
              "k:{}"
            >)
            const fibers = yield* herd(Effect.exit(find("a")), 3)
            yield* waiting(3)
            yield* door.open
            for (const exit of yield* Effect.forEach(fibers, Fiber.join)) assert.isDefined(defectOf(exit))
            assert.deepInclude(yield* stats, { loads: 1, loadFailures: 1, inFlight: 0 })
            deepStrictEqual(yield* find.peek("a"), Option.none())
            assert.strictEqual(yield* find("a"), 2)
            assert.strictEqual(yield* find("a"), 2)
          }))
      }

      test("a key function that throws - a defect of that read alone", () =>
        Effect.gen(function* () {
          const { calls, lookup } = makeLookup((id: number) => Effect.succeed(id))
          const find = Cached.ttl(lookup, {
            name: "find",
            key: (id) => {
              if (id < 0) throw new Boom()
              return `k:${id}`
            },
            ttl: "1 minute"
          })
          const [bad, good] = yield* Effect.all([Effect.exit(find(-1)), Effect.exit(find(1))], {
            concurrency: "unbounded"
          })
          assert.isDefined(defectOf(bad))
          deepStrictEqual(good, Exit.succeed(1))
          assert.strictEqual(calls.length, 1)
        }))

      test("a waiter that recovers - does not change what the others get", () =>
        Effect.gen(function* () {
          const door = gate()
          const { lookup } = makeLookup(() => Effect.zipRight(door.pass, Effect.fail("no" as const)))
          const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
          const first = yield* Effect.fork(Effect.orElseSucceed(find(), () => "recovered"))
          const second = yield* Effect.fork(Effect.flip(find()))
          yield* waiting(2)
          yield* door.open
          deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], ["recovered", "no"])
        }))
    })

    describe("law 8 - invalidate wins", () => {
      const detaching: ReadonlyArray<
        readonly [string, (key: string, find: Found) => Effect.Effect<unknown, unknown, CacheStore>]
      > = [
        ["invalidate", (key, find) => find.invalidate(key)],
        ["clear", (_, find) => find.clear],
        ["a tag invalidation", () => Cached.invalidateTags(["all"])],
        [
          "a tag invalidation through the store",
          () => Effect.flatMap(CacheStore, ({ tags }) => tags.invalidate(["all"]))
        ],
        ["the store's clear", () => Effect.flatMap(CacheStore, ({ clear }) => clear)],
        ["the store's remove", (key) => Effect.flatMap(CacheStore, (store) => store.remove(`k:${key}`))],
        ["the store's removeMany", (key) => Effect.flatMap(CacheStore, (store) => store.removeMany(["x", `k:${key}`]))]
      ]
      for (const [what, detach] of detaching) {
        for (const tags of ["static", "computed"] as const) {
          for (const last of ["old", "new"] as const) {
            test(`${what} (${tags} tags) - the load under way keeps its waiters and stores nothing; the ${last} one ends last`, () =>
              Effect.gen(function* () {
                const doors = [gate(), gate()]
                const { lookup } = numbered((call, _: string) => Effect.as(doors[call - 1]!.pass, call))
                const find = Cached.ttl(lookup, {
                  key: "k:{}",
                  ttl: "1 minute",
                  tags: tags === "static" ? ["all"] : () => ["all"]
                })
                const old = yield* Effect.fork(find("a"))
                yield* doors[0]!.reached
                yield* detach("a", find)
                const young = yield* Effect.fork(find("a"))
                yield* doors[1]!.reached
                const order = last === "old" ? [1, 0] : [0, 1]
                yield* doors[order[0]!]!.open
                yield* Fiber.join(last === "old" ? young : old)
                yield* doors[order[1]!]!.open
                deepStrictEqual([yield* Fiber.join(old), yield* Fiber.join(young)], [1, 2])
                deepStrictEqual(yield* find.peek("a"), Option.some(2))
                assert.strictEqual(yield* find("a"), 2)
                assert.deepInclude(yield* stats, { loads: 2, coalesced: 0, inFlight: 0 })
              }))
          }

          test(`${what} (${tags} tags) - during a load that nobody follows, nothing is stored`, () =>
            Effect.gen(function* () {
              const door = gate()
              const { lookup } = numbered((call, _: string) => Effect.as(call === 1 ? door.pass : Effect.void, call))
              const find = Cached.ttl(lookup, {
                key: "k:{}",
                ttl: "1 minute",
                tags: tags === "static" ? ["all"] : () => ["all"]
              })
              const old = yield* Effect.fork(find("a"))
              yield* door.reached
              yield* detach("a", find)
              yield* door.open
              assert.strictEqual(yield* Fiber.join(old), 1)
              deepStrictEqual(yield* find.peek("a"), Option.none())
              assert.strictEqual(yield* find("a"), 2)
            }))
        }

        test(`${what} - during a refresh, the refreshed value is not stored`, () =>
          Effect.gen(function* () {
            const door = gate()
            const { lookup } = numbered((call, _: string) => Effect.as(call === 2 ? door.pass : Effect.void, call))
            const find = Cached.swr(lookup, { key: "k:{}", ttl: "10 seconds", stale: "1 minute", tags: ["all"] })
            yield* find("a")
            yield* TestClock.adjust("10 seconds")
            yield* find("a")
            yield* door.reached
            yield* detach("a", find)
            deepStrictEqual(yield* find.peek("a"), Option.none())
            yield* door.open
            yield* settled
            deepStrictEqual(yield* find.peek("a"), Option.none())
            assert.strictEqual(yield* find("a"), 3)
          }))
      }

      test("another tag - does not disturb a load", () =>
        Effect.gen(function* () {
          const door = gate()
          const { lookup } = numbered((call, _: string) => Effect.as(door.pass, call))
          const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute", tags: () => ["mine"] })
          const fiber = yield* Effect.fork(find("a"))
          yield* door.reached
          yield* Cached.invalidateTags(["yours"])
          yield* door.open
          yield* Fiber.join(fiber)
          deepStrictEqual(yield* find.peek("a"), Option.some(1))
        }))

      for (const kind of ["load", "refresh", "forced load"] as const) {
        test(`set - during a ${kind} wins, and its readers get it`, () =>
          Effect.gen(function* () {
            const door = gate()
            const { lookup } = numbered((call) =>
              Effect.as(kind === "refresh" && call === 1 ? Effect.void : door.pass, `loaded ${call}`)
            )
            const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
            if (kind === "refresh") {
              yield* find()
              yield* TestClock.adjust("10 seconds")
            }
            const fiber = yield* Effect.fork(kind === "forced load" ? find.refresh() : find())
            yield* door.reached
            yield* find.set()("set")
            assert.strictEqual(yield* find(), "set")
            yield* door.open
            assert.strictEqual(yield* Fiber.join(fiber), "loaded 1")
            yield* settled
            assert.strictEqual(yield* find(), "set")
            deepStrictEqual(yield* find.peek(), Option.some("set"))
          }))
      }

      test("set - before a load begun later than it, which is not its own, the load wins", () =>
        Effect.gen(function* () {
          const { lookup } = numbered((call) => Effect.succeed(`loaded ${call}`))
          const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
          yield* find.set()("set")
          assert.strictEqual(yield* find.refresh(), "loaded 1")
          assert.strictEqual(yield* find(), "loaded 1")
        }))

      test("setIfAbsent - what it wrote during a load stays", () =>
        Effect.gen(function* () {
          const door = gate()
          const { lookup } = makeLookup(() => Effect.as(door.pass, "loaded"))
          const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
          const service = yield* CacheStore
          const fiber = yield* Effect.fork(find())
          yield* door.reached
          assert.isTrue(yield* service.setIfAbsent("k", "set", { ttl: "1 minute" }))
          yield* door.open
          assert.strictEqual(yield* Fiber.join(fiber), "loaded")
          deepStrictEqual(yield* service.get("k"), Option.some("set"))
        }))

      test("a lookup that invalidates its own key - is delivered, not stored", () =>
        Effect.gen(function* () {
          const calls: Array<number> = []
          const find: Cached.CachedFunction<[string], number, never, CacheStore> = Cached.ttl(
            (key: string): Effect.Effect<number, never, CacheStore> =>
              Effect.suspend(() => Effect.as(find.invalidate(key), calls.push(1))),
            { key: "k:{}", ttl: "1 minute" }
          )
          assert.strictEqual(yield* find("a"), 1)
          deepStrictEqual(yield* find.peek("a"), Option.none())
        }))

      test("invalidate, ten times while ten readers come - every reader gets a load begun after the last before it", () =>
        Effect.gen(function* () {
          const door = gate()
          const { calls, lookup } = numbered((call, _: string) => Effect.as(door.pass, call))
          const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
          const fibers: Array<Fiber.RuntimeFiber<number>> = []
          for (let i = 0; i < 10; i++) {
            fibers.push(yield* Effect.fork(find("a")))
            yield* begun(calls, i + 1)
            yield* find.invalidate("a")
          }
          yield* door.open
          deepStrictEqual(
            yield* Effect.forEach(fibers, Fiber.join),
            fibers.map((_, i) => i + 1)
          )
          deepStrictEqual(yield* find.peek("a"), Option.none())
        }))
    })

    if (store.remote) {
      describe("law 10 - answered when loaded", () => {
        test("the write hangs - waiters are answered, later reads too and without a load, then it is there", () =>
          Effect.gen(function* () {
            const door = gate()
            const { calls, lookup } = numbered((call, _: string) =>
              Effect.zipRight(door.pass, Effect.as(store.pause!, call))
            )
            const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
            const fibers = yield* herd(find("a"), 3)
            yield* waiting(3)
            yield* door.open
            yield* Effect.ensuring(
              Effect.gen(function* () {
                deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), [1, 1, 1])
                assert.strictEqual(yield* find("a"), 1)
                deepStrictEqual(yield* find.peek("a"), Option.some(1))
                assert.strictEqual(calls.length, 1)
              }),
              store.resume!
            )
            yield* settled
            assert.strictEqual(yield* find("a"), 1)
            assert.strictEqual(calls.length, 1)
          }))

        test("the write hangs - a reader interrupted then interrupts nothing, and the value is stored", () =>
          Effect.gen(function* () {
            const door = gate()
            const answered = gate()
            const { calls, lookup } = numbered((call, _: string) =>
              Effect.zipRight(door.pass, Effect.as(store.pause!, call))
            )
            const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
            const fiber = yield* Effect.fork(Effect.tap(find("a"), () => answered.pass))
            yield* waiting(1)
            yield* door.open
            yield* Effect.ensuring(
              Effect.zipRight(answered.reached, Effect.asVoid(Fiber.interrupt(fiber))),
              store.resume!
            )
            assert.strictEqual(yield* find("a"), 1)
            assert.strictEqual(calls.length, 1)
          }))

        test("the write hangs - an invalidation meanwhile is seen at once and wins", () =>
          Effect.gen(function* () {
            const door = gate()
            const { lookup } = numbered((call, _: string) =>
              call === 1 ? Effect.zipRight(door.pass, Effect.as(store.pause!, call)) : Effect.succeed(call)
            )
            const find = Cached.ttl(lookup, { key: "k:{}", ttl: "1 minute" })
            const fiber = yield* Effect.fork(find("a"))
            yield* waiting(1)
            yield* door.open
            const invalidating = yield* Effect.ensuring(
              Effect.gen(function* () {
                assert.strictEqual(yield* Fiber.join(fiber), 1)
                const invalidating = yield* Effect.fork(find.invalidate("a"))
                yield* settled
                deepStrictEqual(yield* find.peek("a"), Option.none())
                return invalidating
              }),
              store.resume!
            )
            yield* Fiber.join(invalidating)
            assert.strictEqual(yield* find("a"), 2)
          }))
      })
    }

    describe("law 11 - scope ends everything", () => {
      test("loads - all are interrupted, detached ones too, before closing returns; their waiters are interrupted", () =>
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

      test("refreshes - are interrupted, and nothing is counted as failed", () =>
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

      test("bg - its daemon ends with the store, runs under way included", () =>
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

      test("afterwards - every read and every verb is interrupted, and no lookup runs", () =>
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

      test("closing - a load that cannot be interrupted and reads meanwhile ends, starts nothing and stores nothing", () =>
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

      test("a forced load that has not begun - is interrupted as any other", () =>
        Effect.gen(function* () {
          const own = yield* openStore(store.layer)
          const { calls, lookup } = makeLookup(() => Effect.never)
          const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
          const runtime = yield* own.provide(Effect.runtime<CacheStore>())
          const reader = Runtime.runFork(runtime)(find.refresh())
          yield* own.close
          assert.isTrue(isInterrupted(yield* Fiber.await(reader)))
          // a medium with a connection takes some turns to close
          if (!store.remote) assert.strictEqual(calls.length, 0)
        }))
    })

    describe("law 13 - re-entry is caught", () => {
      /** a function whose lookup reads, for each key, the keys named by `reads` */
      const graph = (
        reads: Record<string, ReadonlyArray<string>>,
        before: (key: string) => Effect.Effect<unknown> = () => Effect.void
      ) => {
        const calls: Array<string> = []
        const find: Found = Cached.ttl(
          (key: string): Effect.Effect<number, never, CacheStore> =>
            Effect.suspend(() => {
              calls.push(key)
              if (calls.length > 1_000) return Effect.dieMessage("recursion was not caught")
              return Effect.zipRight(
                before(key),
                Effect.map(
                  Effect.forEach(reads[key] ?? [], (next) => find(next), { concurrency: "unbounded" }),
                  (values) => values.reduce((sum, value) => sum + value, 1)
                )
              )
            }),
          { key: "k:{}", ttl: "1 minute" }
        )
        return { calls, find }
      }

      test("A reads A - dies with the chain, and the key stays usable", () =>
        Effect.gen(function* () {
          const reads: Record<string, ReadonlyArray<string>> = { a: ["a"] }
          const { find } = graph(reads)
          deepStrictEqual(chainOf(yield* Effect.exit(find("a"))), ["k:a", "k:a"])
          assert.strictEqual((yield* stats).inFlight, 0)
          reads.a = []
          assert.strictEqual(yield* find("a"), 1)
        }))

      test("A reads B reads A - dies with the chain, for those who waited as well", () =>
        Effect.gen(function* () {
          const door = gate()
          const { find } = graph({ a: ["b"], b: ["a"] }, (key) => (key === "b" ? door.pass : Effect.void))
          const fiber = yield* Effect.fork(Effect.exit(find("a")))
          yield* door.reached
          const others = yield* Effect.forEach(["a", "b"], (key) => Effect.fork(Effect.exit(find(key))))
          yield* waiting(4)
          yield* door.open
          const chain = ["k:b", "k:a", "k:b"]
          deepStrictEqual(chainOf(yield* Fiber.join(fiber)), chain)
          for (const other of others) deepStrictEqual(chainOf(yield* Fiber.join(other)), chain)
          assert.strictEqual((yield* stats).inFlight, 0)
        }))

      test("A reads B while B reads A, in two fibers - one of them closes the cycle and both end", () =>
        Effect.gen(function* () {
          const doors = { a: gate(), b: gate() }
          const { find } = graph({ a: ["b"], b: ["a"] }, (key) => doors[key as "a" | "b"].pass)
          const a = yield* Effect.fork(Effect.exit(find("a")))
          const b = yield* Effect.fork(Effect.exit(find("b")))
          yield* doors.a.reached
          yield* doors.b.reached
          yield* doors.a.open
          // A waits for B now
          yield* waiting(3)
          yield* doors.b.open
          const chain = ["k:b", "k:a", "k:b"]
          deepStrictEqual(chainOf(yield* Fiber.join(a)), chain)
          deepStrictEqual(chainOf(yield* Fiber.join(b)), chain)
        }))

      test("a cycle of ten keys, in ten fibers - all end", () =>
        Effect.gen(function* () {
          const keys = Array.from({ length: 10 }, (_, i) => `${i}`)
          const door = gate()
          const { find } = graph(
            Object.fromEntries(keys.map((key, i) => [key, [keys[(i + 1) % 10]!]])),
            () => door.pass
          )
          const fibers = yield* Effect.forEach(keys, (key) => Effect.fork(Effect.exit(find(key))))
          yield* eventually(() => door.arrivals() === 10, "all ten loads began")
          yield* door.open
          for (const exit of yield* Effect.forEach(fibers, Fiber.join)) {
            const chain = chainOf(exit)
            assert.strictEqual(chain.length, 11)
            assert.strictEqual(chain[0], chain[10])
          }
        }))

      test("over a fiber that the lookup forked - is caught", () =>
        Effect.gen(function* () {
          const { find } = graph({ a: ["b", "c"], b: [], c: ["d"], d: ["a"] }, () => Effect.yieldNow())
          const exit = yield* Effect.exit(find("a"))
          deepStrictEqual(chainOf(exit), ["k:d", "k:a", "k:c", "k:d"])
        }))

      test("a lookup that recovers from it - goes on", () =>
        Effect.gen(function* () {
          const find: Found = Cached.ttl(
            (key: string): Effect.Effect<number, never, CacheStore> =>
              Effect.catchAllCause(
                Effect.suspend(() => find(key)),
                () => Effect.succeed(7)
              ),
            { key: "k:{}", ttl: "1 minute" }
          )
          assert.strictEqual(yield* find("a"), 7)
          assert.strictEqual(yield* find("a"), 7)
        }))

      test("a diamond - is none", () =>
        Effect.gen(function* () {
          const { calls, find } = graph({ a: ["b", "c"], b: ["d"], c: ["d"], d: [] }, () => Effect.yieldNow())
          assert.strictEqual(yield* find("a"), 5)
          deepStrictEqual([...calls].sort(), ["a", "b", "c", "d"])
        }))

      test("a wait that has ended - closes no cycle later", () =>
        Effect.gen(function* () {
          const inB = gate()
          const goB = gate()
          const stayA = gate()
          const afterTimeout = gate()
          const find: Found = Cached.ttl(
            (key: string): Effect.Effect<number, never, CacheStore> =>
              key === "a"
                ? // waits for B for a second, then no more
                  Effect.timeoutOption(
                    Effect.suspend(() => find("b")),
                    "1 second"
                  ).pipe(Effect.zipRight(afterTimeout.pass), Effect.zipRight(stayA.pass), Effect.as(1))
                : inB.pass.pipe(Effect.zipRight(goB.reached), Effect.zipRight(Effect.suspend(() => find("a")))),
            { key: "k:{}", ttl: "1 minute" }
          )
          yield* inB.open
          const b = yield* Effect.fork(find("b"))
          yield* inB.reached
          const a = yield* Effect.fork(find("a"))
          yield* waiting(3)
          yield* TestClock.adjust("1 second")
          yield* afterTimeout.reached
          yield* afterTimeout.open
          yield* Effect.fork(goB.pass)
          yield* waiting(4)
          yield* stayA.open
          deepStrictEqual([yield* Fiber.join(a), yield* Fiber.join(b)], [1, 1])
        }))

      test("at any step - a wait that was interrupted on its way closes no cycle later", () =>
        Effect.gen(function* () {
          let at = 0
          for (let paused = true; paused; at++) {
            const inB = gate()
            const left = gate()
            const stayA = gate()
            const pause = pausingAt(at)
            const before = (yield* stats).misses
            const find: Found = Cached.ttl(
              (key: string): Effect.Effect<number, never, CacheStore> =>
                key.startsWith("a")
                  ? Effect.gen(function* () {
                      const child = yield* Effect.fork(Effect.withScheduler(find(`b${at}`), pause.scheduler))
                      yield* eventually(
                        Effect.map(stats, ({ misses }) => pause.paused() || misses >= before + 3),
                        `step ${at} was reached`
                      )
                      paused = pause.paused()
                      const leaving = yield* Effect.fork(Fiber.interrupt(child))
                      yield* settled
                      yield* pause.go
                      yield* Fiber.join(leaving)
                      yield* left.pass
                      yield* stayA.pass
                      return 1
                    })
                  : Effect.zipRight(
                      inB.pass,
                      Effect.suspend(() => find(`a${at}`))
                    ),
              { key: "k:{}", name: "pair", ttl: "1 minute" }
            )
            const b = yield* Effect.fork(Effect.exit(find(`b${at}`)))
            yield* inB.reached
            const a = yield* Effect.fork(Effect.exit(find(`a${at}`)))
            yield* left.reached
            const now = (yield* stats).misses
            yield* Effect.zipRight(left.open, inB.open)
            // B reads A: it joins it, or is told of a cycle that is none
            yield* eventually(
              Effect.map(stats, ({ misses }) => misses > now),
              "B has asked for A"
            )
            yield* settled
            yield* stayA.open
            const exits = [yield* Fiber.join(a), yield* Fiber.join(b)]
            deepStrictEqual(exits, [Exit.succeed(1), Exit.succeed(1)], `left at step ${at}`)
          }
          assert.isAbove(at, 3)
        }))

      test("a stale read in a load, whose refresh reads the load's key - is none", () =>
        Effect.gen(function* () {
          const inA = gate()
          let staleRuns = 0
          const stale: Cached.CachedFunction<[string], number, never, CacheStore> = Cached.swr(
            (_: string): Effect.Effect<number, never, CacheStore> =>
              Effect.suspend(() =>
                staleRuns++ === 0 ? Effect.succeed(1) : Effect.map(load("a"), (value) => value + 100)
              ),
            { key: "stale:{}", ttl: "10 seconds", stale: "1 minute" }
          )
          const load: Found = Cached.ttl(
            (_: string): Effect.Effect<number, never, CacheStore> => Effect.tap(stale("s"), () => inA.pass),
            { key: "load:{}", ttl: "1 minute" }
          )
          yield* stale("s")
          yield* TestClock.adjust("10 seconds")
          const fiber = yield* Effect.fork(load("a"))
          yield* inA.reached
          yield* eventually(() => staleRuns === 2, "the refresh began")
          yield* settled
          yield* inA.open
          assert.strictEqual(yield* Fiber.join(fiber), 1)
          yield* eventually(Effect.map(stale.peek("s"), Option.contains(101)), "the refresh has stored")
          assert.strictEqual((yield* stats).loadFailures, 0)
        }))

      test("two fibers of a load wait for the same key - when one leaves, the other can still close a cycle", () =>
        Effect.gen(function* () {
          const inB = gate()
          const left = gate()
          const find: Found = Cached.ttl(
            (key: string): Effect.Effect<number, never, CacheStore> =>
              key === "a"
                ? Effect.gen(function* () {
                    const one = yield* Effect.fork(find("b"))
                    const other = yield* Effect.fork(find("b"))
                    yield* waiting(3)
                    yield* Fiber.interrupt(one)
                    yield* left.pass
                    return yield* Fiber.join(other)
                  })
                : Effect.zipRight(
                    inB.pass,
                    Effect.suspend(() => find("a"))
                  ),
            { key: "k:{}", ttl: "1 minute" }
          )
          const a = yield* Effect.fork(Effect.exit(find("a")))
          yield* left.reached
          yield* Effect.zipRight(left.open, inB.open)
          deepStrictEqual(chainOf(yield* Fiber.join(a)), ["k:b", "k:a", "k:b"])
        }))

      for (const verb of ["refresh", "reload"] as const) {
        test(`a stale read in a load, whose refresh does a ${verb} of the load's key - is none`, () =>
          Effect.gen(function* () {
            const inA = gate()
            let staleRuns = 0
            let loads = 0
            const stale: Found = Cached.swr(
              (_: string): Effect.Effect<number, never, CacheStore> =>
                Effect.suspend(() => {
                  if (staleRuns++ === 0) return Effect.succeed(1)
                  return Effect.map(
                    verb === "refresh" ? load.refresh("a") : Cached.reload(load("a")),
                    (value) => value + 100
                  )
                }),
              { key: "stale:{}", ttl: "10 seconds", stale: "1 minute" }
            )
            const load: Found = Cached.ttl(
              (_: string): Effect.Effect<number, never, CacheStore> =>
                Effect.suspend(() => (++loads === 1 ? Effect.tap(stale("s"), () => inA.pass) : Effect.succeed(2))),
              { key: "load:{}", ttl: "1 minute" }
            )
            yield* stale("s")
            yield* TestClock.adjust("10 seconds")
            const fiber = yield* Effect.fork(load("a"))
            yield* inA.reached
            yield* eventually(Effect.map(stale.peek("s"), Option.contains(102)), "the refresh has stored")
            yield* inA.open
            assert.strictEqual(yield* Fiber.join(fiber), 1)
            assert.strictEqual(yield* load("a"), 2)
            assert.strictEqual((yield* stats).loadFailures, 0)
          }))
      }

      test("a refresh that reads its own key - gets what is stale, and once that has expired dies", () =>
        Effect.gen(function* () {
          const door = gate()
          const { lookup } = numbered(
            (call, key: string): Effect.Effect<number, never, CacheStore> =>
              call === 1
                ? Effect.succeed(1)
                : Effect.zipRight(
                    call === 3 ? door.pass : Effect.void,
                    Effect.map(
                      Effect.suspend(() => find(key)),
                      (value) => value + 1
                    )
                  )
          )
          const find: Found = Cached.swr(lookup, { key: "k:{}", ttl: "10 seconds", stale: "5 seconds" })
          yield* find("a")
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(yield* find("a"), 1)
          yield* eventually(Effect.map(find.peek("a"), Option.contains(2)), "the refresh has stored")
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(yield* find("a"), 2)
          yield* door.reached
          yield* TestClock.adjust("5 seconds")
          const joined = yield* Effect.fork(Effect.exit(find("a")))
          yield* waiting(2)
          yield* door.open
          deepStrictEqual(chainOf(yield* Fiber.join(joined)), ["k:a", "k:a"])
        }))

      for (const verb of ["refresh", "reload"] as const) {
        const force = (find: Found, key: string) => (verb === "refresh" ? find.refresh(key) : Cached.reload(find(key)))

        test(`${verb} of the own key inside a load - is caught`, () =>
          Effect.gen(function* () {
            let runs = 0
            const find: Found = Cached.ttl(
              (key: string): Effect.Effect<number, never, CacheStore> =>
                Effect.suspend(() => (++runs > 100 ? Effect.dieMessage("recursion was not caught") : force(find, key))),
              { key: "k:{}", ttl: "1 minute" }
            )
            deepStrictEqual(chainOf(yield* Effect.exit(find("a"))), ["k:a", "k:a"])
            deepStrictEqual(chainOf(yield* Effect.exit(force(find, "a"))), ["k:a", "k:a"])
            assert.strictEqual((yield* stats).inFlight, 0)
          }))

        test(`${verb} of a key whose load waits for this one - is caught`, () =>
          Effect.gen(function* () {
            let runs = 0
            const find: Found = Cached.ttl(
              (key: string): Effect.Effect<number, never, CacheStore> =>
                Effect.suspend(() =>
                  ++runs > 100 ? Effect.dieMessage("recursion was not caught") : force(find, key === "a" ? "b" : "a")
                ),
              { key: "k:{}", ttl: "1 minute" }
            )
            deepStrictEqual(chainOf(yield* Effect.exit(find("a"))), ["k:a", "k:b", "k:a"])
          }))

        test(`${verb} inside another key's load - is none`, () =>
          Effect.gen(function* () {
            const find: Found = Cached.ttl(
              (key: string): Effect.Effect<number, never, CacheStore> =>
                key === "a" ? Effect.suspend(() => force(find, "b")) : Effect.succeed(2),
              { key: "k:{}", ttl: "1 minute" }
            )
            yield* find("b")
            assert.strictEqual(yield* find("a"), 2)
            assert.strictEqual(yield* force(find, "a"), 2)
          }))

        test(`${verb} of the same key in another store - is none`, () =>
          Effect.gen(function* () {
            const other = yield* openStore(store.layer)
            const here = yield* Effect.context<CacheStore>()
            let runs = 0
            const find: Found = Cached.ttl(
              (key: string): Effect.Effect<number, never, CacheStore> =>
                Effect.suspend(() => (++runs === 1 ? other.provide(force(find, key)) : Effect.succeed(2))),
              { key: "k:{}", ttl: "1 minute" }
            )
            assert.strictEqual(yield* Effect.provide(force(find, "a"), here), 2)
            yield* other.close
          }))
      }

      test("a chain of loads, 20000 deep - neither the stack nor memory ends it", () => {
        // a remote store makes a round trip at every level
        const depth = store.remote ? 2_000 : 20_000
        const find: Cached.CachedFunction<[number], number, never, CacheStore> = Cached.ttl(
          (n: number): Effect.Effect<number, never, CacheStore> =>
            n === 0
              ? Effect.succeed(0)
              : Effect.map(
                  Effect.suspend(() => find(n - 1)),
                  (below) => below + 1
                ),
          { key: "deep:{}", ttl: "1 minute" }
        )
        return Effect.gen(function* () {
          assert.strictEqual(yield* find(depth), depth)
          assert.strictEqual((yield* stats).inFlight, 0)
        })
      })

      test("a chain of loads, each waiting at the bottom - interrupting the top ends all of them", () =>
        Effect.gen(function* () {
          const depth = 500
          const door = gate()
          let ended = 0
          const find: Cached.CachedFunction<[number], number, never, CacheStore> = Cached.ttl(
            (n: number): Effect.Effect<number, never, CacheStore> =>
              (n === 0
                ? Effect.as(Effect.zipRight(door.pass, Effect.never), 0)
                : Effect.suspend(() => find(n - 1))
              ).pipe(Effect.onInterrupt(() => Effect.sync(() => ended++))),
            { key: "deep:{}", ttl: "1 minute" }
          )
          const fiber = yield* Effect.fork(find(depth))
          yield* door.reached
          yield* Fiber.interrupt(fiber)
          assert.strictEqual(ended, depth + 1)
          assert.strictEqual((yield* stats).inFlight, 0)
        }))
    })

    describe("law 17 - bounded", () => {
      test("refreshes - 64 at once; a stale read beyond serves what is stale and starts none", () =>
        Effect.gen(function* () {
          const door = gate()
          const { calls, lookup } = numbered((call, id: number) => Effect.as(call > 100 ? door.pass : Effect.void, id))
          const find = Cached.swr(lookup, {
            key: "k:{}",
            ttl: "10 seconds",
            stale: "1 hour",
            flightTimeout: "1 minute"
          })
          const ids = Array.from({ length: 100 }, (_, id) => id)
          yield* Effect.forEach(ids, (id) => find(id))
          yield* TestClock.adjust("10 seconds")
          deepStrictEqual(yield* Effect.forEach(ids, (id) => find(id)), ids)
          yield* begun(calls, 164)
          yield* settled
          assert.strictEqual(calls.length, 164)
          assert.deepInclude(yield* stats, { staleHits: 100, refreshes: 64, inFlight: 64 })
          yield* door.open
          yield* eventually(
            Effect.map(stats, ({ inFlight }) => inFlight === 0),
            "the refreshes have ended"
          )
          deepStrictEqual(yield* Effect.forEach(ids, (id) => find(id)), ids)
          yield* begun(calls, 200)
          yield* settled
          assert.deepInclude(yield* stats, { refreshes: 100, loads: 200 })
        }))

      test("refreshes - one that fails, dies or is ended by flightTimeout gives its place back", () =>
        Effect.gen(function* () {
          const { calls, lookup } = numbered((call, id: number): Effect.Effect<number, string> => {
            if (call <= 90) return Effect.succeed(id)
            return id % 3 === 0 ? Effect.fail("no") : id % 3 === 1 ? Effect.die(new Boom()) : Effect.never
          })
          const find = Cached.swr(lookup, {
            key: "k:{}",
            ttl: "10 seconds",
            stale: "1 hour",
            flightTimeout: "5 seconds"
          })
          const ids = Array.from({ length: 90 }, (_, id) => id)
          yield* Effect.forEach(ids, (id) => find(id))
          for (let round = 1; round <= 4; round++) {
            yield* TestClock.adjust("10 seconds")
            yield* Effect.forEach(ids, (id) => find(id))
            yield* eventually(
              Effect.map(stats, ({ refreshes }) => calls.length === 90 + refreshes && refreshes >= round * 64),
              `round ${round} has begun`
            )
            yield* TestClock.adjust("5 seconds")
            yield* eventually(
              Effect.map(stats, (counts) => counts.inFlight === 0 && counts.refreshFailures === counts.refreshes),
              `round ${round} has ended`
            )
          }
        }))
    })
  })
}

type Found = Cached.CachedFunction<[string], number, never, CacheStore>

/** throws when it is called for the first time */
function thrower<A>(then?: A): () => A {
  let calls = 0
  return () => {
    if (calls++ === 0) throw new Boom()
    return then ?? (60_000 as never)
  }
}

function once<A>(first: unknown, then: A): () => A {
  let calls = 0
  return () => (calls++ === 0 ? (first as A) : then)
}
