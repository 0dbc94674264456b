/**
 * Law 5 (failures are shared, not stored): the exception, the option `failures`, and what is not stored even with it.
 */
// chai's version treats two Effect values with different keys, such as Some and None, as equal.
import { deepStrictEqual } from "node:assert/strict"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Fiber, Option, Schema, type Scope, TestClock } from "effect"
import * as Cached from "../../src/Cached.js"
import { CacheStoreError, InvalidOption, LoadTimeout } from "../../src/CacheError.js"
import { CacheStore } from "../../src/CacheStore.js"
import { live } from "../support/live.js"
import {
  becomes,
  defectOf,
  gate,
  minute,
  numbered,
  onStore,
  recordWarnings,
  type StoreUnderTest,
  stats,
  thenDoes
} from "./support.js"

export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.Number, at: Schema.Date }) {}

const notFound = new NotFound({ id: 7, at: new Date(5) })

const missing = Effect.fail(notFound)

const options = { key: "k", ttl: "10 seconds", failures: { ttl: "5 seconds", schema: NotFound } } as const

/** Whether an exit is that of one failure with an error that equals another. */
const isFailedWith = (exit: Exit.Exit<unknown, unknown>, error: unknown): boolean => {
  deepStrictEqual(exit, Exit.fail(error))
  return true
}

export const storedFailures = (store: StoreUnderTest): void => {
  const on = onStore(store)

  describe("law 5: failures are shared, not stored, unless `failures` says so", () => {
    it.effect("failure - is stored for its own time, and a read that finds it fails and is a hit", () => {
      const { calls, lookup } = numbered(() => missing)
      const cached = Cached.ttl(lookup(), options)
      return on(
        Effect.gen(function* () {
          for (const at of [0, 4_999]) {
            yield* TestClock.setTime(at)
            const exit = yield* Effect.exit(cached)
            isFailedWith(exit, notFound)
            assert.instanceOf(exit._tag === "Failure" && Cause.squash(exit.cause), NotFound)
          }
          assert.strictEqual(calls.length, 1)
          const { hits, loads, loadFailures, misses } = yield* stats
          deepStrictEqual({ hits, loads, loadFailures, misses }, { hits: 1, loads: 1, loadFailures: 1, misses: 1 })
          yield* TestClock.setTime(5_000)
          yield* Effect.exit(cached)
          assert.strictEqual(calls.length, 2)
        })
      )
    })

    it.effect("failure - is stored without its trace", () => {
      const lookup = Effect.withSpan(
        Effect.suspend(() => missing),
        "lookup"
      )
      const cached = Cached.ttl(lookup, options)
      return on(
        Effect.gen(function* () {
          yield* Effect.exit(cached)
          const exit = yield* Effect.exit(cached)
          const error = exit._tag === "Failure" ? Option.getOrThrow(Cause.failureOption(exit.cause)) : undefined
          assert.strictEqual(Cause.originalError(error), error)
          isFailedWith(exit, notFound)
        })
      )
    })

    it.effect("lookup that succeeds afterwards - its value takes the place of the failure", () => {
      const { calls, lookup } = numbered((call) => (call === 1 ? missing : Effect.succeed(call)))
      const cached = Cached.ttl(lookup(), options)
      return on(
        Effect.gen(function* () {
          yield* Effect.exit(cached)
          yield* TestClock.adjust("5 seconds")
          deepStrictEqual([yield* cached, yield* cached], [2, 2])
          assert.strictEqual(calls.length, 2)
          yield* TestClock.adjust(9_999)
          assert.strictEqual(yield* cached, 2)
        })
      )
    })

    it.effect("ttl - may be a function of the error and the arguments, and zero stores nothing", () => {
      const { calls, lookup } = numbered((_, id: number) => Effect.fail(new NotFound({ id, at: new Date(0) })))
      const seen: Array<ReadonlyArray<number>> = []
      const cached = Cached.ttl(lookup, {
        key: "k:{}",
        ttl: "10 seconds",
        failures: {
          ttl: (error, id) => {
            seen.push([error.id, id])
            return error.id
          },
          schema: NotFound
        }
      })
      return on(
        Effect.gen(function* () {
          for (const id of [3, 3, 0, 0, -1, -1]) yield* Effect.exit(cached(id))
          deepStrictEqual(calls, [[3], [0], [0], [-1], [-1]])
          deepStrictEqual(seen[0], [3, 3])
          yield* TestClock.adjust(3)
          yield* Effect.exit(cached(3))
          assert.strictEqual(calls.length, 6)
        })
      )
    })

    for (const [what, ttl, isExpected] of [
      [
        "throws",
        () => {
          throw new Error("bug")
        },
        (defect: unknown) => defect instanceof Error && defect.message === "bug"
      ],
      ["returns NaN", () => Number.NaN, (defect: unknown) => defect instanceof InvalidOption]
    ] as const) {
      it.effect(`ttl function that ${what} - is the defect of the load, and nothing is stored`, () => {
        const { calls, lookup } = numbered(() => missing)
        const cached = Cached.ttl(lookup(), { ...options, failures: { ttl } })
        return on(
          Effect.gen(function* () {
            assert.isTrue(isExpected(defectOf(yield* Effect.exit(cached))))
            yield* Effect.exit(cached)
            assert.strictEqual(calls.length, 2)
          })
        )
      })
    }

    const timeout = new LoadTimeout({ key: "k", of: "other", limit: Duration.seconds(1) })
    const storeError = new CacheStoreError({ reason: "Timeout", store: "s", method: "get" })
    for (const [what, end] of [
      ["a defect", Effect.die("bug")],
      ["an interruption from inside", Effect.interrupt],
      ["a failure of the store", Effect.fail(storeError)],
      ["a timeout of another read", Effect.fail(timeout)],
      ["a failure and a defect", Effect.failCause(Cause.sequential(Cause.fail("down"), Cause.die("bug")))],
      ["two failures", Effect.failCause(Cause.parallel(Cause.fail("down"), Cause.fail("down")))],
      [
        "a failure whose finalizer dies",
        Effect.zipRight(
          Effect.addFinalizer(() => Effect.die("bug")),
          Effect.fail("down")
        )
      ]
    ] as const) {
      it.effect(`${what} - is not stored`, () => {
        const { calls, lookup } = numbered((): Effect.Effect<never, unknown, Scope.Scope> => end)
        const cached = Cached.ttl(lookup(), { ...options, failures: { ttl: "5 seconds" } })
        return on(
          Effect.gen(function* () {
            yield* Effect.exit(cached)
            yield* Effect.exit(cached)
            assert.strictEqual(calls.length, 2)
          })
        )
      })
    }

    it.effect("stored failure - is absent to peek, entry, get, getMany, has, and to another function", () => {
      const cached = Cached.ttl(missing, options)
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          yield* Effect.exit(cached)
          deepStrictEqual([yield* cached.peek, yield* cached.entry], [Option.none(), Option.none()])
          deepStrictEqual([yield* all.get("k"), yield* all.entry("k")], [Option.none(), Option.none()])
          deepStrictEqual([yield* all.getMany(["k"]), yield* all.has("k")], [[Option.none()], false])
          assert.strictEqual(yield* all.getOrSet("k", Effect.succeed(9), minute), 9)
          assert.strictEqual((yield* stats).decodeFailures, 0)
        })
      )
    })

    it.effect("same function without the option - misses, and its value takes the place of the failure", () => {
      const cached = Cached.ttl(missing, options)
      const other = Cached.ttl(Effect.succeed(9), { key: "k", ttl: "10 seconds" })
      return on(
        Effect.gen(function* () {
          yield* Effect.exit(cached)
          deepStrictEqual(yield* cached.peek, Option.none())
          assert.strictEqual(yield* other, 9)
          assert.strictEqual(yield* Effect.orDie(cached), 9)
          assert.strictEqual((yield* stats).decodeFailures, 0)
        })
      )
    })

    it.effect("set and setIfAbsent - write over it", () => {
      const cached = Cached.ttl(Effect.as(missing, 0), options)
      return on(
        Effect.gen(function* () {
          const all = yield* CacheStore
          yield* Effect.exit(cached)
          yield* cached.set(1)
          assert.strictEqual(yield* cached, 1)
          yield* cached.invalidate
          yield* Effect.exit(cached)
          // a bucket may answer two writes of one object at a time with an error, which `setIfAbsent` passes on
          yield* live(Effect.sleep("100 millis"))
          assert.isTrue(yield* all.setIfAbsent("k", 2, minute))
          deepStrictEqual(yield* all.get("k"), Option.some(2))
        })
      )
    })

    for (const [what, invalidate] of [
      ["invalidate", (cached: Cached.CachedEffect<number, NotFound, CacheStore>) => cached.invalidate],
      ["a tag", () => Cached.invalidateTags(["t"])],
      ["clear", () => Effect.flatMap(CacheStore, (store) => store.clear)],
      ["remove", () => Effect.flatMap(CacheStore, (store) => store.remove("k"))],
      ["expire", (cached: Cached.CachedEffect<number, NotFound, CacheStore>) => cached.expire],
      ["expire of the store", () => Effect.flatMap(CacheStore, (store) => store.expire("k"))]
    ] as const) {
      it.effect(`${what} - concerns a stored failure as any entry`, () => {
        const { calls, lookup } = numbered((call) => (call === 1 ? missing : Effect.succeed(call)))
        const cached = Cached.ttl(lookup(), { ...options, tags: ["t"] })
        return on(
          Effect.gen(function* () {
            yield* Effect.exit(cached)
            isFailedWith(yield* Effect.exit(cached), notFound)
            yield* invalidate(cached)
            assert.strictEqual(yield* cached, 2)
            assert.strictEqual(calls.length, 2)
          })
        )
      })

      it.effect(`law 8: invalidation wins - ${what} during the load means that its failure is not stored`, () => {
        const door = gate()
        const { calls, lookup } = numbered((call) =>
          call === 1 ? Effect.zipRight(door.pass, missing) : Effect.succeed(call)
        )
        const cached = Cached.ttl(lookup(), { ...options, tags: ["t"] })
        return on(
          Effect.gen(function* () {
            const reader = yield* Effect.fork(Effect.exit(cached))
            yield* door.reached
            yield* invalidate(cached)
            yield* door.open
            isFailedWith(yield* Fiber.join(reader), notFound)
            assert.strictEqual(yield* cached, 2)
            assert.strictEqual(calls.length, 2)
          })
        )
      })
    }

    it.effect("computed tags - a tag that is invalidated during the load means that its failure is not stored", () => {
      const door = gate()
      const { calls, lookup } = numbered((call) => (call === 1 ? Effect.zipRight(door.pass, missing) : missing))
      const cached = Cached.ttl(lookup(), { ...options, tags: () => ["t"] })
      return on(
        Effect.gen(function* () {
          const reader = yield* Effect.fork(Effect.exit(cached))
          yield* door.reached
          yield* Cached.invalidateTags(["other"])
          yield* door.open
          yield* Fiber.join(reader)
          yield* Effect.exit(cached)
          assert.strictEqual(calls.length, 2)
          yield* Effect.exit(cached)
          assert.strictEqual(calls.length, 2)
        })
      )
    })

    it.effect("refresh and reload - load anew, whatever is stored", () => {
      const { calls, lookup } = numbered((call) => (call < 3 ? missing : Effect.succeed(call)))
      const cached = Cached.ttl(lookup(), options)
      return on(
        Effect.gen(function* () {
          yield* Effect.exit(cached)
          isFailedWith(yield* Effect.exit(cached.refresh), notFound)
          assert.strictEqual(yield* Cached.reload(cached), 3)
          assert.strictEqual(yield* cached, 3)
          assert.strictEqual(calls.length, 3)
        })
      )
    })

    it.effect("value that is fresh - stays when a refresh fails", () => {
      const { calls, lookup } = thenDoes(() => missing)
      const cached = Cached.ttl(lookup(), options)
      return on(
        Effect.gen(function* () {
          assert.strictEqual(yield* cached, 1)
          yield* becomes(
            Effect.map(stats, ({ sets }) => sets),
            1
          )
          isFailedWith(yield* Effect.exit(cached.refresh), notFound)
          // at once: the store may not have refused the failure yet
          assert.strictEqual(yield* cached, 1)
          deepStrictEqual(yield* cached.peek, Option.some(1))
          assert.strictEqual(calls.length, 2)
        })
      )
    })

    it.effect("value that is stale - stays when its refresh fails, and at its end the failure is stored", () => {
      const { calls, lookup } = thenDoes(() => missing)
      const cached = Cached.swr(lookup(), { ...options, stale: "10 seconds", retryAfter: "1 minute" })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.setTime(10_000)
          assert.strictEqual(yield* cached, 1)
          yield* becomes(
            Effect.map(stats, (all) => all.loadFailures),
            1
          )
          assert.strictEqual(yield* cached, 1)
          yield* TestClock.setTime(20_000)
          isFailedWith(yield* Effect.exit(cached), notFound)
          isFailedWith(yield* Effect.exit(cached), notFound)
          assert.strictEqual(calls.length, 3)
        })
      )
    })

    it.effect("value that is retained - answers, and the failure is stored only after its end", () => {
      const { calls, lookup } = thenDoes(() => missing)
      const cached = Cached.ttl(lookup(), { ...options, staleIfError: "20 seconds", retryAfter: 0 })
      return on(
        Effect.gen(function* () {
          yield* cached
          yield* TestClock.setTime(10_000)
          deepStrictEqual([yield* cached, yield* cached], [1, 1])
          assert.strictEqual(calls.length, 3)
          yield* TestClock.setTime(30_000)
          isFailedWith(yield* Effect.exit(cached), notFound)
          isFailedWith(yield* Effect.exit(cached), notFound)
          assert.strictEqual(calls.length, 4)
        })
      )
    })

    it.effect("conditional - a stored failure is no previous value", () => {
      const seen: Array<Option.Option<number>> = []
      const lookup = Cached.conditional((previous: Option.Option<number>) => {
        seen.push(previous)
        return Effect.as(missing, 1)
      })
      const cached = Cached.ttl(lookup, options)
      return on(
        Effect.gen(function* () {
          yield* Effect.exit(cached())
          yield* Effect.exit(cached.refresh())
          yield* TestClock.adjust("5 seconds")
          yield* Effect.exit(cached())
          deepStrictEqual(seen, [Option.none(), Option.none(), Option.none()])
        })
      )
    })

    it.effect("herd - all readers of one load get its failure, which is stored once", () => {
      const door = gate()
      const { calls, lookup } = numbered(() => Effect.zipRight(door.pass, missing))
      const cached = Cached.ttl(lookup(), options)
      return on(
        Effect.gen(function* () {
          const readers = yield* Effect.forkAll(Array.from({ length: 50 }, () => Effect.exit(cached)))
          yield* door.reached
          yield* becomes(
            Effect.map(stats, (all) => all.coalesced),
            49
          )
          yield* door.open
          for (const exit of yield* Fiber.join(readers)) isFailedWith(exit, notFound)
          isFailedWith(yield* Effect.exit(cached), notFound)
          assert.strictEqual(calls.length, 1)
        })
      )
    })

    it.effect("batched - the failure of a batch is stored for each of its ids", () => {
      const { calls, lookup } = numbered((_, ids: ReadonlyArray<number>) =>
        ids.includes(1) ? missing : Effect.succeed(ids.map((id) => [id, id] as const))
      )
      const cached = Cached.batched(lookup, {
        key: "k:{}",
        ttl: "10 seconds",
        failures: { ttl: "5 seconds", schema: NotFound }
      })
      return on(
        Effect.gen(function* () {
          isFailedWith(yield* Effect.exit(cached.many([1, 2])), notFound)
          isFailedWith(yield* Effect.exit(cached(2)), notFound)
          isFailedWith(yield* Effect.exit(cached.many([2, 3])), notFound)
          deepStrictEqual(
            calls.filter(([ids]) => ids.includes(2)),
            [[[1, 2]]]
          )
          deepStrictEqual(yield* cached.peek(2), Option.none())
        })
      )
    })

    it.effect("refreshAhead - a stored failure is not refreshed before its end", () => {
      const { calls, lookup } = numbered(() => missing)
      const cached = Cached.ttl(lookup(), { ...options, refreshAhead: 0 })
      return on(
        Effect.gen(function* () {
          yield* Effect.exit(cached)
          yield* TestClock.adjust("4 seconds")
          yield* Effect.exit(cached)
          yield* Effect.exit(cached)
          assert.strictEqual(calls.length, 1)
        })
      )
    })

    it.effect("mirror - takes no failure", () =>
      on(
        Effect.scoped(
          Effect.gen(function* () {
            yield* Effect.exit(Cached.ttl(missing, options))
            const errors: Array<unknown> = []
            const mirror = yield* Cached.bgRead<number>({
              key: "k",
              interval: "1 second",
              onError: (cause) => Effect.sync(() => errors.push(cause))
            })
            yield* TestClock.adjust("1 second")
            deepStrictEqual(yield* mirror, Option.none())
            const all = yield* CacheStore
            yield* all.set("k", 3, minute)
            yield* TestClock.adjust("1 second")
            yield* becomes(mirror, Option.some(3))
            deepStrictEqual(errors, [])
          })
        )
      )
    )

    it.effect("no schema - no Warning, whether the store keeps failures or not", () => {
      const { layer, lines } = recordWarnings()
      const cached = Cached.ttl(missing, { ...options, failures: { ttl: "5 seconds" } })
      return on(
        Effect.gen(function* () {
          isFailedWith(yield* Effect.exit(cached), notFound)
          isFailedWith(yield* Effect.exit(cached), notFound)
          deepStrictEqual(yield* cached.peek, Option.none())
          deepStrictEqual((yield* (yield* CacheStore).health).problems, [])
          deepStrictEqual(lines, [])
        })
      ).pipe(Effect.provide(layer))
    })
  })
}
