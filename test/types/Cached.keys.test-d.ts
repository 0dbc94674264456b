/**
 * The types of `Cached` around keys: every argument counts, `ignore`, the required `name`; and what a policy without its
 * lookup checks when it is applied. `types.test.ts` checks the messages.
 */
// Nothing here runs. The diagnostics of Effect are off, so that none of them satisfies an expected error.
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, pipe, Schema } from "effect"
import { Cached, CacheStore } from "../../src/index.js"

class Db extends Context.Tag("Db")<Db, { readonly find: (id: number) => Effect.Effect<User, DbError> }>() {}
class Sessions extends CacheStore.Tag("Sessions")<Sessions>() {}
class DbError {
  readonly _tag = "DbError"
}
interface User {
  readonly id: number
  readonly name: string
}
interface Order {
  readonly userId: string
  readonly orderId: number
  readonly region: string
  readonly at: Date
  readonly note?: string
}

declare const find: (id: number) => Effect.Effect<User, DbError, Db>
declare const all: Effect.Effect<ReadonlyArray<User>, DbError, Db>
declare const two: (tenant: string, id: number) => Effect.Effect<User, DbError, Db>
declare const order: (of: Order) => Effect.Effect<number>
declare const paged: (id: number, page?: number) => Effect.Effect<number>
declare const many: (id: number, ...more: Array<string>) => Effect.Effect<number>

type FindUser = Cached.CachedFunction<[id: number], User, DbError, Db | CacheStore, CacheStore>
type FindTwo = Cached.CachedFunction<[tenant: string, id: number], User, DbError, Db | CacheStore, CacheStore>

describe("every argument counts", () => {
  it("left out - is an error on `key`, in every form", () => {
    Cached.ttl(find, {
      // @ts-expect-error a static key on a function with arguments
      key: "all",
      ttl: 1
    })
    Cached.swr(two, {
      // @ts-expect-error argument 0
      key: "user:{1}",
      ttl: 1,
      stale: 1
    })
    Cached.policy(order, {
      // @ts-expect-error {orderId}, {region}, {at}, {note}
      key: "order:{userId}"
    })
    pipe(
      two,
      Cached.ttl({
        // @ts-expect-error argument 1
        key: "user:{}",
        ttl: 1
      })
    )
    Cached.ttl(
      Effect.fn("two")(function* (tenant: string, id: number) {
        return yield* two(tenant, id)
      }),
      {
        // @ts-expect-error argument 0
        key: "user:{1}",
        ttl: 1
      }
    )
  })

  it("ignore - names what is left out on purpose", () => {
    expectTypeOf(Cached.ttl(two, { key: "user:{1}", ttl: 1, ignore: [0] })).toEqualTypeOf<FindTwo>()
    Cached.ttl(find, { key: "all", ttl: 1, ignore: [0] })
    Cached.ttl(order, { key: "order:{userId}:{orderId}", ttl: 1, ignore: ["region", "at", "note"] })
    Cached.swr(order, { ignore: [0], key: "order:{userId}", ttl: 1, stale: 1 })
    Cached.policy(paged, { key: "page:{}", ignore: [1] })
    Cached.ttl(many, { key: "many:{}", ttl: 1, ignore: [1] })
    Cached.ttl(find, { key: "user:{}", ttl: 1, ignore: [] })
    Cached.ttl(find, { key: "user:{}", ttl: 1, ignore: undefined })
    pipe(
      two,
      Cached.ttl({
        key: "user:{1}",
        ttl: (user, tenant, id) => {
          expectTypeOf(user).toEqualTypeOf<User>()
          expectTypeOf(tenant).toEqualTypeOf<string>()
          return id
        },
        ignore: [0]
      })
    )
    Cached.ttl(
      Effect.fn("two")(function* (tenant: string, id: number) {
        return yield* two(tenant, id)
      }),
      { key: "user:{1}", ttl: (user, _tenant, id) => user.id + id, ignore: [0] }
    )
    const last = Cached.ttl({ key: "user:{1}", ttl: 1, ignore: [0] })
    expectTypeOf(last(two)).toEqualTypeOf<FindTwo>()
    // @ts-expect-error {1} names no argument of this lookup
    last(find)
  })

  it("ignore - may not name what is mentioned, or is not there", () => {
    Cached.ttl(order, {
      key: "order:{userId}:{orderId}",
      ttl: 1,
      // @ts-expect-error a misspelt name
      ignore: ["regoin", "at", "note"]
    })
    Cached.ttl(order, {
      key: "order:{userId}:{orderId}",
      ttl: 1,
      // @ts-expect-error is mentioned
      ignore: ["userId", "region", "at", "note"]
    })
    Cached.ttl(two, {
      key: "user:{1}",
      ttl: 1,
      // @ts-expect-error there is no third argument
      ignore: [0, 2]
    })
    Cached.ttl(find, {
      key: "user:{}",
      ttl: 1,
      // @ts-expect-error is mentioned
      ignore: [0]
    })
    Cached.ttl(find, {
      key: (id) => `${id}`,
      name: "user",
      ttl: 1,
      // @ts-expect-error a key function decides what counts
      ignore: [0]
    })
    // @ts-expect-error a loader has no arguments
    Cached.bg(all, { key: "users", interval: 1, ignore: [0] })
  })

  it("key function - decides what counts", () => {
    Cached.ttl(order, { key: (of) => of.userId, name: "order", ttl: 1 })
    const generic = <T extends { readonly id: string }>(load: (of: T) => Effect.Effect<number>) =>
      Cached.ttl(load, { key: (of) => of.id, name: "generic", ttl: 1 })
    type Id = { readonly id: string; readonly n: number }
    expectTypeOf(generic((_: Id) => Effect.succeed(1))).toEqualTypeOf<
      Cached.CachedFunction<[of: Id], number, never, CacheStore, CacheStore>
    >()
  })
})

describe("name", () => {
  const prefix: string = "users"
  const either = Math.random() > 0.5 ? "a" : "b"
  const wide = { key: "user:{}", ttl: 1 }

  it("optional - beside a template that the compiler knows", () => {
    const fixed = "user"
    expectTypeOf(Cached.ttl(find, { key: `${fixed}:{}`, ttl: 1 })).toEqualTypeOf<FindUser>()
    Cached.bg(all, { key: "users", interval: 1 })
  })

  it("required - beside a computed text, a pattern and a union", () => {
    Cached.ttl(all, { key: prefix, ttl: 1, name: "users" })
    Cached.ttl(all, { key: `all:${prefix}`, ttl: 1, name: "users" })
    Cached.ttl(all, { key: either, ttl: 1, name: "users" })
    // @ts-expect-error a computed text
    Cached.ttl(all, { key: prefix, ttl: 1 })
    // @ts-expect-error a pattern
    Cached.swr(all, { key: `all:${prefix}`, ttl: 1, stale: 1 })
    // @ts-expect-error a union
    Cached.policy(all, { key: either })
    // @ts-expect-error in pipe
    all.pipe(Cached.ttl({ key: prefix, ttl: 1 }))
    // @ts-expect-error a text that its declaration makes wide
    Cached.ttl(find, wide)
    // @ts-expect-error a background loader
    Cached.bg(all, { key: prefix, interval: 1 })
    // @ts-expect-error a writer
    Cached.bgWrite(all, { key: `all:${prefix}`, interval: 1 })
    // @ts-expect-error any
    Cached.ttl(all, { key: {} as any, ttl: 1 })
  })
})

describe("schema", () => {
  class Item extends Schema.Class<Item>("Item")({ id: Schema.Number, name: Schema.String }) {}
  const items = (): Effect.Effect<Array<Item>> => Effect.succeed([])
  const user = Schema.Struct({ id: Schema.Number, name: Schema.String })

  it("the value has the type of the schema", () => {
    const cached = Cached.ttl(items, {
      key: "items",
      ttl: (value) => {
        expectTypeOf(value).toEqualTypeOf<ReadonlyArray<Item>>()
        return 1
      },
      schema: Schema.Array(Item)
    })
    expectTypeOf(cached).toEqualTypeOf<Cached.CachedFunction<[], ReadonlyArray<Item>, never, CacheStore, CacheStore>>()
    const last = pipe(
      items,
      Cached.ttl({
        key: "items",
        schema: Schema.Array(Item),
        ttl: (value) => {
          expectTypeOf(value).toEqualTypeOf<ReadonlyArray<Item>>()
          return 1
        }
      })
    )
    expectTypeOf(last).toEqualTypeOf(cached)
    const struct = Cached.ttl(find, { key: "user:{}", ttl: 1, schema: user })
    expectTypeOf<Effect.Effect.Success<ReturnType<typeof struct>>>().toEqualTypeOf<typeof user.Type>()
    Cached.ttl(Effect.succeedSome(1), { key: "o", ttl: 1, schema: Schema.Option(Schema.Number) })
    Cached.ttl(Effect.succeed(new Map([[1, "a"]])), {
      key: "m",
      ttl: 1,
      schema: Schema.Map({ key: Schema.Number, value: Schema.String })
    })
    Cached.ttl(Effect.succeed<User | null>(null), { key: "n", ttl: 1, schema: Schema.NullOr(user) })
    Cached.ttl(Effect.succeed({ a: 1 }), { key: "r", ttl: 1, schema: Schema.Object })
    Cached.ttl(find, { key: "user:{}", ttl: 1, schema: Schema.Any })
    const generic = <A, I>(load: Effect.Effect<A>, schema: Schema.Schema<A, I>) =>
      Cached.ttl(load, { key: "g", ttl: 1, schema })
    expectTypeOf(generic(Effect.succeed<User>({ id: 1, name: "" }), user)).toExtend<
      Effect.Effect<User, never, CacheStore>
    >()
  })

  it("an annotation - neither widens nor narrows the value", () => {
    const same: Cached.CachedFunction<[id: number], User, DbError, Db | CacheStore> = Cached.ttl(find, {
      key: "user:{}",
      ttl: 1
    })
    // @ts-expect-error the value has no x
    const more: Cached.CachedFunction<[id: number], User & { readonly x: 1 }, DbError, Db | CacheStore> = Cached.ttl(
      find,
      { key: "user:{}", ttl: 1 }
    )
    expectTypeOf([same, more]).toBeArray()
  })

  it("refused - another type, and a schema that leaves something out", () => {
    Cached.ttl(find, {
      key: "user:{}",
      ttl: 1,
      // @ts-expect-error the value is a User
      schema: Schema.String
    })
    Cached.ttl(find, {
      key: "user:{}",
      ttl: 1,
      // @ts-expect-error leaves out {name}
      schema: Schema.Struct({ id: Schema.Number })
    })
    Cached.ttl(all, {
      key: "users",
      ttl: 1,
      // @ts-expect-error leaves out {name} of the elements
      schema: Schema.Array(Schema.Struct({ id: Schema.Number }))
    })
    Cached.ttl(Effect.succeed<User | null>(null), {
      key: "n",
      ttl: 1,
      // @ts-expect-error leaves out {name} of what is not null
      schema: Schema.NullOr(Schema.Struct({ id: Schema.Number }))
    })
    Cached.ttl(all, {
      key: "users",
      ttl: 1,
      // @ts-expect-error a mutable list
      schema: Schema.mutable(Schema.Array(user))
    })
  })
})

describe("data-last, applied directly", () => {
  it("right - as in pipe", () => {
    expectTypeOf(
      Cached.ttl({ key: "user:{}", ttl: (u: User, id: number) => u.id + id })(find)
    ).toEqualTypeOf<FindUser>()
    expectTypeOf(Cached.ttl({ key: "user:{}", ttl: 1, tags: (u: User) => [u.name] })(find)).toEqualTypeOf<FindUser>()
    expectTypeOf(Cached.ttl({ key: (id: number) => `${id}`, name: "x", ttl: 1 })(find)).toEqualTypeOf<FindUser>()
    expectTypeOf(Cached.ttl({ key: () => "x", name: "x", ttl: 1 })(find)).toEqualTypeOf<FindUser>()
    expectTypeOf(Cached.swr({ key: "users", ttl: 1, stale: 1, store: Sessions })(all)).toEqualTypeOf<
      Cached.CachedEffect<ReadonlyArray<User>, DbError, Db | Sessions, Sessions>
    >()
    const schema = Schema.Struct({ id: Schema.Number, name: Schema.String })
    const cached = Cached.ttl({ key: "user:{}", ttl: 1, schema })(find)
    expectTypeOf<Effect.Effect.Success<ReturnType<typeof cached>>>().toEqualTypeOf<typeof schema.Type>()
  })

  it("wrong - every option that depends on the lookup is checked", () => {
    // @ts-expect-error the schema
    Cached.ttl({ key: "user:{}", ttl: 1, schema: Schema.String })(find)
    // @ts-expect-error the schema leaves out {name}
    Cached.policy({ key: "user:{}", schema: Schema.Struct({ id: Schema.Number }) })(find)
    // @ts-expect-error the value of ttl
    Cached.ttl({ key: "user:{}", ttl: (u: string) => u.length })(find)
    // @ts-expect-error the arguments of ttl
    Cached.swr({ key: "user:{}", ttl: (u: User, id: string) => u.id + id.length, stale: 1 })(find)
    // @ts-expect-error the value of tags
    Cached.ttl({ key: "user:{}", ttl: 1, tags: (u: string) => [u] })(find)
    // @ts-expect-error the key function
    Cached.ttl({ key: (id: string) => id, name: "x", ttl: 1 })(find)
    // @ts-expect-error argument 0
    Cached.ttl({ key: "user:{1}", ttl: 1 })(two)
    // @ts-expect-error {1} names no argument
    Cached.ttl({ key: "user:{1}", ttl: 1 })(find)
    // @ts-expect-error an unknown option
    Cached.ttl({ key: "user:{}", ttl: 1, tll: 1 })(find)
    // @ts-expect-error the result of ttl
    Cached.ttl({ key: "user:{}", ttl: () => "soon" })(find)
    // @ts-expect-error no name
    Cached.ttl({ key: (id: number) => `${id}`, ttl: 1 })(find)
  })
})
