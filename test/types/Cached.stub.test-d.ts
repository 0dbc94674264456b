/**
 * The types of stubs, and of services that have cached functions.
 */
// Nothing here runs. The diagnostics of Effect are off, so that none of them satisfies an expected error.
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, Layer, type Option } from "effect"
import { Cached, type CacheStore } from "../../src/index.js"

class DbError {
  readonly _tag = "DbError"
}
interface User {
  readonly id: number
  readonly name: string
}

class Users extends Context.Tag("Users")<
  Users,
  {
    readonly byId: Cached.CachedFunction<[id: number], User, DbError>
    readonly list: Cached.CachedEffect<ReadonlyArray<User>>
    readonly open: Cached.CachedFunction<[id: number], User, DbError, CacheStore>
    readonly found: Cached.BatchedFunction<number, User, DbError>
  }
>() {}

describe("Cached.stub", () => {
  it("takes the place of what is cached - in Layer.mock and in a service", () => {
    Layer.mock(Users, { byId: Cached.stub((id: number) => Effect.succeed({ id, name: "Ada" })) })
    Layer.mock(Users, { list: Cached.stub(Effect.succeed([])) })
    Layer.mock(Users, { open: Cached.stub((id: number) => Effect.succeed({ id, name: "Ada" })) })
    const byId = Cached.stub((id: number) => Effect.succeed<User>({ id, name: "Ada" }))
    const found = Cached.stub((id: number) => Effect.succeedSome({ id, name: "Ada" }))
    Layer.succeed(Users, { byId, list: Cached.stub(Effect.succeed([])), open: byId, found })
  })

  it("without arguments, with a narrower value, or with a failure alone - fits", () => {
    Layer.mock(Users, { byId: Cached.stub(() => Effect.succeed({ id: 1, name: "Ada", more: true })) })
    Layer.mock(Users, { byId: Cached.stub(() => Effect.fail(new DbError())) })
  })

  it("another value, error or argument, and a plain function - are refused", () => {
    // @ts-expect-error another value
    Layer.mock(Users, { byId: Cached.stub((id: number) => Effect.succeed(id)) })
    // @ts-expect-error another error
    Layer.mock(Users, { byId: Cached.stub(() => Effect.fail("down")) })
    // @ts-expect-error another argument
    Layer.mock(Users, { byId: Cached.stub((id: string) => Effect.succeed({ id: 1, name: id })) })
    // @ts-expect-error the value of a batched function is an Option
    Layer.mock(Users, { found: Cached.stub((id: number) => Effect.succeed({ id, name: "Ada" })) })
    // @ts-expect-error it has no members
    Layer.mock(Users, { byId: (id: number) => Effect.succeed({ id, name: "Ada" }) })
  })

  it("members - have the types of the lookup", () => {
    const stub = Cached.stub((id: number) => Effect.fail(id))
    expectTypeOf(stub.refresh(1)).toEqualTypeOf<Effect.Effect<never, number>>()
    expectTypeOf(stub.invalidate(1)).toEqualTypeOf<Effect.Effect<void>>()
    expectTypeOf(stub.expire(1)).toEqualTypeOf<Effect.Effect<void>>()
    const found = Cached.stub((id: number) => Effect.succeedSome(id))
    expectTypeOf(found.many([1])).toEqualTypeOf<Effect.Effect<Array<Option.Option<number>>>>()
  })
})

describe("services", () => {
  it("accessors - Effect drops every function that has members, so it is reached by `use`", () => {
    class Products extends Effect.Service<Products>()("Products", {
      accessors: true,
      succeed: {
        byId: Cached.stub((id: number) => Effect.succeed(id)),
        other: (id: number) => Effect.succeed(id)
      }
    }) {}
    expectTypeOf(Products.other(1)).toEqualTypeOf<Effect.Effect<number, never, Products>>()
    // @ts-expect-error when this compiles, Effect keeps functions with members: say so in docs/testing.md and in the FAQ
    Products.byId
    expectTypeOf(Products.use((products) => products.byId(1))).toEqualTypeOf<Effect.Effect<number, never, Products>>()
  })
})
