/**
 * The fiber of a load: whose services it has, and when its Scope and its children end.
 */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Deferred, Effect, Fiber, FiberRef, HashMap, Option, Supervisor, TestClock } from "effect"
import * as Cached from "../../../src/Cached.js"
import type { CacheStore } from "../../../src/CacheStore.js"
import {
  Boom,
  begun,
  defectOf,
  eventually,
  gate,
  makeLookup,
  numbered,
  openStore,
  type StoreUnderTest,
  settled,
  stats,
  stepping,
  testOn,
  waiting
} from "../support.js"

export const loadFiber = (store: StoreUnderTest): void => {
  const test = testOn(store)

  describe("the fiber of a load", () => {
    class Tenant extends Context.Tag("test/Tenant")<Tenant, string>() {}
    const ref = FiberRef.unsafeMake("default")

    test("`this` - is undefined in a lookup, however the load was started", () =>
      Effect.gen(function* () {
        const lookup = function (this: unknown, _id: number) {
          return Effect.succeed(typeof this)
        }
        const find = Cached.swr(lookup, { key: "k:{}", ttl: "1 minute", stale: "1 minute" })
        const off = Cached.ttl(lookup, { key: "off:{}", ttl: 0 })
        deepStrictEqual(
          [yield* find(1), yield* find.refresh(1), yield* Cached.bypass(find(1)), yield* off(1)],
          ["undefined", "undefined", "undefined", "undefined"]
        )
        yield* TestClock.adjust("90 seconds")
        yield* find(1)
        yield* eventually(
          Effect.map(find.entry(1), (entry) => Option.isSome(entry) && entry.value.state === "fresh"),
          "the refresh stored its value"
        )
        deepStrictEqual(yield* find(1), "undefined")
      }))

    test("context, FiberRefs and log annotations - are the first caller's, and changes to them do not come back", () =>
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

    test("a refresh - has the services of the reader that started it", () =>
      Effect.gen(function* () {
        const { calls, lookup } = makeLookup(() => Tenant)
        const find = Cached.swr(lookup, { key: "k", ttl: "10 seconds", stale: "1 minute" })
        assert.strictEqual(yield* Effect.provideService(find(), Tenant, "first"), "first")
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* Effect.provideService(find(), Tenant, "second"), "first")
        yield* begun(calls, 2)
        yield* eventually(Effect.map(find.peek(), Option.contains("second")), "the refresh has stored")
      }))

    test("supervisor - the first caller's supervisor sees neither a load nor a refresh", () =>
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
        // This would wait for the refresh if it were a child, and the refresh waits at the gate.
        assert.strictEqual(yield* Effect.awaitAllChildren(find("b")), 0)
        yield* begun(calls, 2)
        yield* door.open
        yield* Fiber.join(fiber)
      }))

    test("forked fibers - end with the load", () =>
      Effect.gen(function* () {
        let ended = false
        const inside = gate()
        const { lookup } = makeLookup(() =>
          Effect.fork(
            Effect.zipRight(inside.pass, Effect.never).pipe(Effect.onInterrupt(() => Effect.sync(() => (ended = true))))
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

    test("resources - are closed in reverse order, once, before the answer", () =>
      Effect.gen(function* () {
        const log: Array<string> = []
        const { lookup } = makeLookup(() => Effect.as(Effect.zipRight(resource(log, "a"), resource(log, "b")), "value"))
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        yield* Effect.tap(find(), () => log.push("answer"))
        yield* find()
        deepStrictEqual(log, ["open a", "open b", "close b Success", "close a Success", "answer"])
      }))

    test("a failing load - closes its Scope with the failure, before the answer", () =>
      Effect.gen(function* () {
        const log: Array<string> = []
        const { lookup } = makeLookup(() => Effect.zipRight(resource(log, "a"), Effect.fail("no")))
        const find = Cached.ttl(lookup, { key: "k", ttl: "1 minute" })
        yield* Effect.tapError(find(), () => Effect.sync(() => log.push("answer"))).pipe(Effect.flip)
        deepStrictEqual(log, ["open a", "close a Failure", "answer"])
      }))

    test("the first caller leaves - the resource stays open for the waiters", () =>
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

    test("a refresh - has its own Scope, closed when it ends", () =>
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

    test("after the load - a resource that a daemon adds is closed at once", () =>
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

    test("at any step - resources acquired concurrently are all released", () =>
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

  test("counters - a load is counted in the store that started it", () =>
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
}
