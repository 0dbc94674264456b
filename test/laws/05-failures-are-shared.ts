/**
 * Law 5 (failures are shared, not stored): everyone who waits for a load gets its failure, and the next read loads
 * again.
 */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Cause, Chunk, Effect, Exit, Fiber, Option } from "effect"
import * as Cached from "../../src/Cached.js"
import {
  Boom,
  defectOf,
  gate,
  herd,
  makeLookup,
  numbered,
  type StoreUnderTest,
  stats,
  testOn,
  waiting
} from "./support.js"

export const failuresAreShared = (store: StoreUnderTest): void => {
  const test = testOn(store)

  describe("law 5: failures are shared, not stored", () => {
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
      [
        "a failure and a defect at once",
        () => Effect.failCause(Cause.parallel(Cause.fail("no"), Cause.die(new Boom())))
      ]
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
      ["a ttl function that returns nonsense", { ttl: once("banana", 60_000) }],
      ["a tags function that throws", { ttl: 60_000, tags: thrower([]) }],
      ["a tags function that returns no list", { ttl: 60_000, tags: once(undefined, []) }]
    ]
    for (const [what, options] of callbacks) {
      test(`${what} - is a defect of that load for every waiter, and the key stays usable`, () =>
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

    test("a key function that throws - is a defect of that read alone", () =>
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
}

/** A function whose first call throws. */
function thrower<A>(then?: A): () => A {
  let calls = 0
  return () => {
    if (calls++ === 0) throw new Boom()
    return then ?? (60_000 as never)
  }
}

/** A function whose first call returns something else than its further ones. */
function once<A>(first: unknown, then: A): () => A {
  let calls = 0
  return () => (calls++ === 0 ? (first as A) : then)
}
