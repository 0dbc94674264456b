/**
 * Law 13 (re-entry is caught): a load that waits for itself, directly or through other loads, fails with the chain.
 */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Exit, Fiber, Option, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import { ReentrantLoad } from "../../src/CacheError.js"
import type { CacheStore } from "../../src/CacheStore.js"
import {
  defectOf,
  eventually,
  type Found,
  gate,
  numbered,
  openStore,
  pausingAt,
  type StoreUnderTest,
  settled,
  stats,
  testOn,
  waiting
} from "./support.js"

/** The chain of keys of a `ReentrantLoad`. */
const chainOf = (exit: Exit.Exit<unknown, unknown>): ReadonlyArray<string> => {
  const defect = defectOf(exit)
  return defect instanceof ReentrantLoad ? defect.chain : assert.fail(`no ReentrantLoad but ${exit}`)
}

export const reentryIsCaught = (store: StoreUnderTest): void => {
  const test = testOn(store)

  describe("law 13: re-entry is caught", () => {
    /** A cached function whose lookup of a key reads the keys that `reads` lists for it. */
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

    test("A reads B reads A - dies with the chain, for every waiter", () =>
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
        // Now A waits for B.
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
        const { find } = graph(Object.fromEntries(keys.map((key, i) => [key, [keys[(i + 1) % 10]!]])), () => door.pass)
        const fibers = yield* Effect.forEach(keys, (key) => Effect.fork(Effect.exit(find(key))))
        yield* eventually(() => door.arrivals() === 10, "all ten loads began")
        yield* door.open
        for (const exit of yield* Effect.forEach(fibers, Fiber.join)) {
          const chain = chainOf(exit)
          assert.strictEqual(chain.length, 11)
          assert.strictEqual(chain[0], chain[10])
        }
      }))

    test("through a fiber that the lookup forked - is caught", () =>
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

    test("a diamond of reads - is no cycle", () =>
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
              ? // Waits for B for one second.
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

    test("at any step - an interrupted wait closes no cycle later", () =>
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
          // B reads A. It must join the load of A instead of finding a cycle that does not exist.
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

    test("a stale read in a load, whose refresh reads the load's key - is no cycle", () =>
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
      test(`a stale read in a load, whose refresh calls ${verb} on the load's key - is no cycle`, () =>
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

    test("a refresh that reads its own key - gets the stale value, and dies once that has expired", () =>
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

      test(`${verb} of its own key inside a load - is caught`, () =>
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

      test(`${verb} of another key inside a load - is no cycle`, () =>
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

      test(`${verb} of the same key in another store - is no cycle`, () =>
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

    test("a deep chain of loads - exhausts neither the stack nor memory", () => {
      // A remote store makes a round trip at every level.
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

    test("a chain of waiting loads - interrupting the top one ends all", () =>
      Effect.gen(function* () {
        const depth = 500
        const door = gate()
        let ended = 0
        const find: Cached.CachedFunction<[number], number, never, CacheStore> = Cached.ttl(
          (n: number): Effect.Effect<number, never, CacheStore> =>
            (n === 0 ? Effect.as(Effect.zipRight(door.pass, Effect.never), 0) : Effect.suspend(() => find(n - 1))).pipe(
              Effect.onInterrupt(() => Effect.sync(() => ended++))
            ),
          { key: "deep:{}", ttl: "1 minute" }
        )
        const fiber = yield* Effect.fork(find(depth))
        yield* door.reached
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(ended, depth + 1)
        assert.strictEqual((yield* stats).inFlight, 0)
      }))
  })
}
