import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, type Scope } from "effect"
import { Cached, MemoryCacheLive } from "effect-cached"

const lifetime = { key: "k", ttl: "1 minute" } as const

describe("Cached", () => {
  describe("law 4: a load belongs to nobody - the Scope of a load", () => {
    it.effect("forkScoped and forkIn - the fibers run as long as the load", () =>
      Effect.gen(function* () {
        const ended: Array<string> = []
        const child = (name: string) =>
          Effect.ensuring(
            Effect.never,
            Effect.sync(() => ended.push(name))
          )
        const cached = Cached.ttl(
          Effect.gen(function* () {
            yield* Effect.forkScoped(child("forkScoped"))
            yield* Effect.forkIn(child("forkIn"), yield* Effect.scope)
            yield* Effect.yieldNow()
            assert.lengthOf(ended, 0)
            return 1
          }),
          lifetime
        )
        assert.strictEqual(yield* cached, 1)
        assert.sameMembers(ended, ["forkScoped", "forkIn"])
      }).pipe(Effect.provide(MemoryCacheLive))
    )

    it.effect("a fiber forked into it after the load has ended - is interrupted at once", () =>
      Effect.gen(function* () {
        const go = yield* Deferred.make<void>()
        const late = yield* Deferred.make<Fiber.RuntimeFiber<never>>()
        const cached = Cached.ttl(
          Effect.gen(function* () {
            const scope: Scope.Scope = yield* Effect.scope
            yield* Effect.forkDaemon(
              Effect.zipRight(
                Deferred.await(go),
                Effect.flatMap(Effect.forkIn(Effect.never, scope), (fiber) => Deferred.succeed(late, fiber))
              )
            )
            return 1
          }),
          lifetime
        )
        assert.strictEqual(yield* cached, 1)
        yield* Deferred.succeed(go, undefined)
        const exit = yield* Fiber.await(yield* Deferred.await(late))
        assert.strictEqual(exit._tag, "Failure")
      }).pipe(Effect.provide(MemoryCacheLive))
    )
  })
})
