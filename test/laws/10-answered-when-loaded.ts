/**
 * Law 10 (answered when loaded): a write to the store never delays the answer. It concerns remote stores only.
 */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Fiber, Option } from "effect"
import * as Cached from "../../src/Cached.js"
import { gate, herd, numbered, type StoreUnderTest, settled, testOn, waiting } from "./support.js"

export const answeredWhenLoaded = (store: StoreUnderTest): void => {
  if (!store.remote) return
  const test = testOn(store)

  describe("law 10: answered when loaded", () => {
    test("the write hangs - waiters and later reads are answered from the load, and the value is stored afterwards", () =>
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

    test("the write hangs - interrupting a reader interrupts nothing else, and the value is stored", () =>
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
        yield* Effect.ensuring(Effect.zipRight(answered.reached, Effect.asVoid(Fiber.interrupt(fiber))), store.resume!)
        assert.strictEqual(yield* find("a"), 1)
        assert.strictEqual(calls.length, 1)
      }))

    test("the write hangs - an invalidation meanwhile takes effect at once and wins", () =>
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
