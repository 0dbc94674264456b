/** The types of `Cached.resolver`. Nothing here runs. */
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, type PrimaryKey, Request, type RequestResolver, Schema } from "effect"
import { Cached, CacheStore } from "../../src/index.js"

class Db extends Context.Tag("Db")<Db, object>() {}
class Sessions extends CacheStore.Tag("Sessions")<Sessions>() {}
class GetUser extends Request.TaggedClass("GetUser")<string, "gone", { readonly id: number }> {}
class GetAge extends Request.TaggedClass("GetAge")<number, never, { readonly id: number }> {}
interface GetPost extends Request.Request<Date, never>, PrimaryKey.PrimaryKey {
  readonly _tag: "GetPost"
}

declare const users: RequestResolver.RequestResolver<GetUser>
declare const usersOfDb: RequestResolver.RequestResolver<GetUser, Db>
declare const posts: RequestResolver.RequestResolver<GetPost>
declare const both: RequestResolver.RequestResolver<GetUser | GetAge>

const key = ({ id }: { readonly id: number }) => String(id)

describe("Cached.resolver", () => {
  it("an effect that requires the store, and what the inner resolver requires", () => {
    expectTypeOf(Cached.resolver(users, { name: "u", key: ({ id }) => String(id), ttl: 1 })).toEqualTypeOf<
      Effect.Effect<RequestResolver.RequestResolver<GetUser>, never, CacheStore>
    >()
    expectTypeOf(Cached.resolver(usersOfDb, { name: "u", key, ttl: 1, store: Sessions })).toEqualTypeOf<
      Effect.Effect<RequestResolver.RequestResolver<GetUser>, never, Db | Sessions>
    >()
  })

  it("data-last - infers the same", () => {
    const last = usersOfDb.pipe(Cached.resolver({ name: "u", key: ({ id }: GetUser) => String(id), ttl: 1 }))
    expectTypeOf(last).toEqualTypeOf<Effect.Effect<RequestResolver.RequestResolver<GetUser>, never, Db | CacheStore>>()
  })

  it("Effect.request - takes the effect", () => {
    const read = Effect.request(new GetUser({ id: 1 }), Cached.resolver(usersOfDb, { name: "u", key, ttl: 1 }))
    expectTypeOf(read).toEqualTypeOf<Effect.Effect<string, "gone", Db | CacheStore>>()
  })

  it("callbacks - get the value and its request", () => {
    Cached.resolver(both, {
      name: "both",
      key,
      ttl: (value, request) => {
        expectTypeOf(value).toEqualTypeOf<string | number>()
        expectTypeOf(request).toEqualTypeOf<GetUser | GetAge>()
        return "1 minute"
      },
      tags: (_, { _tag }) => [_tag],
      stale: "1 minute"
    })
  })

  it("key - may be left out where a request has a PrimaryKey, and only there", () => {
    Cached.resolver(posts, { name: "posts", ttl: 1 })
    Cached.resolver(posts, { name: "posts", key: (post) => post._tag, ttl: 1 })
    // @ts-expect-error the key is missing
    Cached.resolver(users, { name: "users", ttl: 1 })
    // @ts-expect-error the name is missing
    Cached.resolver(users, { key, ttl: 1 })
    // @ts-expect-error a key is a text
    Cached.resolver(users, { name: "users", key: ({ id }) => id, ttl: 1 })
    // @ts-expect-error 'tll' does not exist
    Cached.resolver(users, { name: "users", key, ttl: 1, tll: 1 })
  })

  it("schema - is of the values, or one for each tag", () => {
    Cached.resolver(users, { name: "users", key, ttl: 1, schema: Schema.String })
    Cached.resolver(both, { name: "both", key, ttl: 1, schema: { GetUser: Schema.String, GetAge: Schema.Number } })
    Cached.resolver(both, { name: "both", key, ttl: 1, schema: { GetAge: Schema.Number } })
    // @ts-expect-error a schema of another value
    Cached.resolver(users, { name: "users", key, ttl: 1, schema: Schema.Number })
    // @ts-expect-error a schema of the value of another request
    Cached.resolver(both, { name: "both", key, ttl: 1, schema: { GetUser: Schema.Number } })
    // @ts-expect-error a schema that needs a service
    Cached.resolver(users, { name: "users", key, ttl: 1, schema: {} as Schema.Schema<string, string, Db> })
  })
})
