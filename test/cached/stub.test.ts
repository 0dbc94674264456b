/**
 * Stubs of cached effects and functions.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Cached } from "effect-cached"

/** A lookup that counts its calls. */
const counting = () => {
  let calls = 0
  return { calls: () => calls, next: Effect.sync(() => ++calls) }
}

describe("Cached.stub", () => {
  it.effect("a function - runs at every read and refresh, and stores nothing", () =>
    Effect.gen(function* () {
      const { calls, next } = counting()
      const stub = Cached.stub((id: number) => Effect.map(next, (call) => [id, call]))
      assert.deepStrictEqual(yield* stub(7), [7, 1])
      assert.deepStrictEqual(yield* stub(7), [7, 2])
      assert.deepStrictEqual(yield* stub.refresh(7), [7, 3])
      yield* stub.set(7)([7, 0])
      yield* stub.invalidate(7)
      yield* stub.expire(7)
      yield* stub.clear
      yield* stub.expireAll
      assert.deepStrictEqual(yield* stub.peek(7), Option.none())
      assert.deepStrictEqual(yield* stub.entry(7), Option.none())
      assert.strictEqual(stub.key(7), "stub")
      assert.strictEqual(calls(), 3)
    })
  )

  it.effect("many - runs the function for each id", () =>
    Effect.gen(function* () {
      const { calls, next } = counting()
      const stub = Cached.stub((id: number) => Effect.as(next, id < 0 ? Option.none() : Option.some(id)))
      assert.deepStrictEqual(yield* stub.many([3, -1, 3]), [Option.some(3), Option.none(), Option.some(3)])
      assert.strictEqual(calls(), 3)
    })
  )

  it.effect("with a partition - its key is an effect", () =>
    Effect.gen(function* () {
      const { next } = counting()
      const stub = Cached.stub((id: number) => Effect.map(next, (call) => [id, call]), { partition: "acme" })
      assert.deepStrictEqual(yield* stub(7), [7, 1])
      assert.strictEqual(yield* stub.key(7), "stub")
      assert.strictEqual(yield* stub.partition, "acme")
      assert.strictEqual(yield* Cached.stub(next, { partition: "acme" }).key, "stub")
    })
  )

  it.effect("an effect - the same", () =>
    Effect.gen(function* () {
      const { calls, next } = counting()
      const stub = Cached.stub(next)
      assert.deepStrictEqual(yield* Effect.all([stub, stub, stub.refresh]), [1, 2, 3])
      yield* stub.set(0)
      yield* stub.invalidate
      yield* stub.expire
      assert.deepStrictEqual(yield* stub.peek, Option.none())
      assert.deepStrictEqual(yield* stub.entry, Option.none())
      assert.strictEqual(stub.key, "stub")
      assert.strictEqual(calls(), 3)
    })
  )

  it.effect("what was passed - gets no members, and can be passed again", () =>
    Effect.gen(function* () {
      const lookup = (id: number) => Effect.succeed(id)
      const first = Cached.stub(lookup)
      assert.notStrictEqual(Cached.stub(lookup), first)
      assert.notProperty(lookup, "invalidate")
      assert.strictEqual(yield* first(1), 1)
    })
  )

  it.effect("Cached.capture - changes nothing", () =>
    Effect.gen(function* () {
      const stub = Cached.stub((id: number) => Effect.succeed(id))
      assert.strictEqual(yield* (yield* Cached.capture(stub))(1), 1)
    })
  )

  it.effect("a target of a mutation - nothing happens", () =>
    Effect.gen(function* () {
      const stub = Cached.stub((id: number) => Effect.succeed(id))
      assert.strictEqual(yield* Cached.invalidates((id: number) => Effect.succeed(id + 1), stub)(1), 2)
      assert.strictEqual(yield* Cached.refreshes((id: number) => Effect.succeed(id + 1), stub)(1), 2)
    })
  )
})
