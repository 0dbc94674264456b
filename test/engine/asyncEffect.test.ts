import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as AsyncEffect from "../../src/internal/asyncEffect.js"
import { StoreRuntime } from "../../src/internal/engine/storeRuntime.js"

type Answer = (effect: Effect.Effect<number, string>) => void

/** A client that answers when the test says so. */
const client = () => {
  const answers: Array<Answer> = []
  return {
    answers,
    ask: AsyncEffect.make<number, string>((resume) => void answers.push(resume))
  }
}

const storeRuntime = Effect.map(Effect.runtime<never>(), (runtime) => new StoreRuntime(runtime))

/** Runs an operation, and collects how it was reported to have ended. */
const reports = <A, E>(runtime: StoreRuntime, operation: () => Effect.Effect<A, E>): Array<Exit.Exit<A, E>> => {
  const exits: Array<Exit.Exit<A, E>> = []
  runtime.run(operation, (exit) => void exits.push(exit))
  return exits
}

const doubled = (exit: Exit.Exit<number, string>): Exit.Exit<number, string> => Exit.map(exit, (n) => 2 * n)

describe("AsyncEffect", () => {
  it.effect("a fiber - runs it like any other effect", () =>
    Effect.gen(function* () {
      const { answers, ask } = client()
      const fiber = yield* Effect.fork(AsyncEffect.andThen(ask, doubled))
      yield* Effect.yieldNow()
      answers[0]!(Exit.succeed(21))
      assert.strictEqual(yield* Fiber.join(fiber), 42)
      const failing = yield* Effect.fork(AsyncEffect.andThen(ask, doubled))
      yield* Effect.yieldNow()
      answers[1]!(Exit.fail("gone"))
      assert.deepStrictEqual(yield* Fiber.await(failing), Exit.fail("gone"))
    })
  )

  it.effect("a store - runs it without a fiber, and has the answer at once", () =>
    Effect.gen(function* () {
      const { answers, ask } = client()
      const exits = reports(yield* storeRuntime, () => AsyncEffect.suspend(() => AsyncEffect.andThen(ask, doubled)))
      assert.lengthOf(answers, 1)
      answers[0]!(Exit.succeed(21))
      assert.deepStrictEqual(exits, [Exit.succeed(42)])
    })
  )

  it.effect("a continuation that is no AsyncEffect - is run by a fiber", () =>
    Effect.gen(function* () {
      const { answers, ask } = client()
      const gate = yield* Deferred.make<number>()
      const waiting = AsyncEffect.andThen(ask, () => Deferred.await(gate))
      const exits = reports(yield* storeRuntime, () => AsyncEffect.andThen(waiting, doubled))
      answers[0]!(Exit.succeed(1))
      assert.lengthOf(exits, 0)
      yield* Deferred.succeed(gate, 21)
      yield* Effect.yieldNow()
      assert.deepStrictEqual(exits, [Exit.succeed(42)])
    })
  )

  it.effect("an effect that a client resumes with - is run, too", () =>
    Effect.gen(function* () {
      const { answers, ask } = client()
      const exits = reports(yield* storeRuntime, () => AsyncEffect.andThen(ask, doubled))
      answers[0]!(Effect.sync(() => 21))
      yield* Effect.yieldNow()
      assert.deepStrictEqual(exits, [Exit.succeed(42)])
    })
  )

  it.effect("functions that throw - are defects", () =>
    Effect.gen(function* () {
      const runtime = yield* storeRuntime
      const thrower = (): never => {
        throw new Error("thrown")
      }
      const { answers, ask } = client()
      const all = [
        reports(runtime, thrower),
        reports(runtime, () => AsyncEffect.suspend(thrower)),
        reports(runtime, () => AsyncEffect.andThen(Exit.succeed(1), thrower)),
        reports(runtime, () => AsyncEffect.andThen(ask, thrower))
      ]
      answers[0]!(Exit.succeed(1))
      for (const exits of all) {
        assert.lengthOf(exits, 1)
        const [exit] = exits as ReadonlyArray<Exit.Exit<unknown, unknown>>
        const defect = Exit.isFailure(exit!) ? Cause.dieOption(exit.cause) : Option.none()
        assert.deepStrictEqual(
          Option.map(defect, (error) => (error as Error).message),
          Option.some("thrown")
        )
      }
    })
  )

  it.effect("an operation that was given up - is reported once, and what it answers later is dropped", () =>
    Effect.gen(function* () {
      const runtime = yield* storeRuntime
      const { answers, ask } = client()
      let later = 0
      const exits = reports(runtime, () => AsyncEffect.andThen(ask, () => Effect.sync(() => ++later)))
      runtime.endAll()
      answers[0]!(Exit.succeed(1))
      yield* Effect.yieldNow()
      assert.deepStrictEqual(exits.map(Exit.isInterrupted), [true])
      assert.strictEqual(later, 0)
      yield* runtime.idle
    })
  )

  it.effect("a listener that throws - does not reach the client", () =>
    Effect.gen(function* () {
      const runtime = yield* storeRuntime
      const { answers, ask } = client()
      runtime.run(
        () => ask,
        () => {
          throw new Error("thrown")
        }
      )
      answers[0]!(Exit.succeed(1))
      yield* runtime.idle
    })
  )
})
