/**
 * The types of entities: their ids, where they come from, and what their members require.
 */
// Nothing here runs. The diagnostics of Effect are off, so that none of them satisfies an expected error.
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, type Option, Schema, type Scope } from "effect"
import { Cached, CacheStore } from "../../src/index.js"

class Db extends Context.Tag("Db")<Db, object>() {}
class Sessions extends CacheStore.Tag("Sessions")<Sessions>() {}

class User extends Schema.Class<User>("User")({
  tenant: Schema.String,
  id: Schema.Number,
  at: Schema.Date,
  note: Schema.NullOr(Schema.String),
  code: Schema.Union(Schema.String, Schema.Number)
}) {}

declare const find: (id: number) => Effect.Effect<Option.Option<User>, "down", Db>
declare const findMany: (ids: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<User>, "down", Db | Scope.Scope>
declare const findAll: Effect.Effect<ReadonlyArray<User>, "down", Db>
declare const user: User

const options = { name: "user", ttl: 1 } as const

interface Id {
  readonly tenant: string
  readonly id: number
}

describe("Cached.entity", () => {
  it("ids - the type of the field, a record of the fields, or what the function returns", () => {
    expectTypeOf(Cached.entity(User, { ...options, key: ["id"] })).toEqualTypeOf<
      Cached.Entity<number, User, never, CacheStore, CacheStore>
    >()
    expectTypeOf(Cached.entity(User, { ...options, key: ["tenant", "id"] })).toEqualTypeOf<
      Cached.Entity<Id, User, never, CacheStore, CacheStore>
    >()
    expectTypeOf(Cached.entity(User, { ...options, key: (user) => `${user.tenant}/${user.id}` })).toEqualTypeOf<
      Cached.Entity<string, User, never, CacheStore, CacheStore>
    >()
    const users = Cached.entity(User, { ...options, key: ["tenant", "id"] })
    users.get(user)
    // @ts-expect-error a field is missing
    users.get({ id: 1 })
    // @ts-expect-error another type
    users.invalidate(1)
  })

  it("wrong keys - do not compile", () => {
    // @ts-expect-error no field
    Cached.entity(User, { ...options, key: ["ide"] })
    // @ts-expect-error a field that no key can contain
    Cached.entity(User, { ...options, key: ["at"] })
    // @ts-expect-error a field that may be null
    Cached.entity(User, { ...options, key: ["tenant", "note"] })
    // @ts-expect-error a field in which 1 and "1" would share a key
    Cached.entity(User, { ...options, key: ["tenant", "code"] })
    // @ts-expect-error an id of which 1 and "1" would share a key
    Cached.entity(User, { ...options, key: (user) => user.code })
    Cached.entity(User, { ...options, key: (user) => `${typeof user.code}/${user.code}` })
    // @ts-expect-error no fields
    Cached.entity(User, { ...options, key: [] })
    // @ts-expect-error no name
    Cached.entity(User, { key: ["id"], ttl: 1 })
  })

  it("lookups - their errors and requirements are those of the reads, and of nothing else", () => {
    const one = Cached.entity(User, { ...options, key: ["id"], lookup: find })
    expectTypeOf(one).toEqualTypeOf<Cached.Entity<number, User, "down", Db | CacheStore, CacheStore>>()
    expectTypeOf(one.get(1)).toEqualTypeOf<Effect.Effect<Option.Option<User>, "down", Db | CacheStore>>()
    expectTypeOf(one.put(user)).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
    const many = Cached.entity(User, { ...options, key: ["id"], lookupMany: findMany })
    expectTypeOf(many).toEqualTypeOf<Cached.Entity<number, User, "down", Db | CacheStore, CacheStore>>()
    const inline = Cached.entity(User, {
      ...options,
      key: ["tenant", "id"],
      ttl: (user, id) => user.id + id.tenant.length,
      tags: (user, id) => [user.tenant, id.tenant],
      lookup: (id) => {
        expectTypeOf(id).toEqualTypeOf<Id>()
        return Effect.succeedSome(user)
      }
    })
    expectTypeOf(inline).toEqualTypeOf<Cached.Entity<Id, User, never, CacheStore, CacheStore>>()
    // @ts-expect-error two lookups
    Cached.entity(User, { ...options, key: ["id"], lookup: find, lookupMany: findMany })
    // @ts-expect-error the lookup takes another id
    Cached.entity(User, { ...options, key: ["tenant"], lookup: find })
    // @ts-expect-error the lookup returns no option
    Cached.entity(User, { ...options, key: ["id"], lookup: (_id: number) => Effect.succeed(user) })
  })

  it("prime - keeps the type of the query, and adds the store", () => {
    const users = Cached.entity(User, { ...options, key: ["id"], store: Sessions })
    expectTypeOf(users.prime(findAll)).toEqualTypeOf<Effect.Effect<ReadonlyArray<User>, "down", Db | Sessions>>()
    // @ts-expect-error other values
    users.prime(Effect.succeed([1]))
  })

  it("schemas - one with requirements is refused", () => {
    const needy = Schema.Struct({ id: Schema.Number, a: Schema.String as Schema.Schema<string, string, Db> })
    // @ts-expect-error the schema requires a service
    Cached.entity(needy, { ...options, key: ["id"] })
  })

  it("Cached.capture - gives an entity that requires nothing", () => {
    expectTypeOf(Cached.capture(Cached.entity(User, { ...options, key: ["id"], lookup: find }))).toEqualTypeOf<
      Effect.Effect<Cached.Entity<number, User, "down", never, never>, never, Db | CacheStore>
    >()
  })
})
