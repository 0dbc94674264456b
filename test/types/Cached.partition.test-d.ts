/**
 * The types of partitioned functions: the tag is in the requirements of everything that concerns a tenant, and stays
 * there. `types.test.ts` checks the messages.
 */
// Nothing here runs. The diagnostics of Effect are off, so that none of them satisfies an expected error.
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off leakingRequirements:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { type Brand, Context, Effect, Layer, type Option, pipe, Schema } from "effect"
import {
  Cached,
  type CacheEvent,
  CachePolicy,
  CacheStore,
  type CacheStoreError,
  type Entry,
  ToolCache
} from "../../src/index.js"

class Db extends Context.Tag("Db")<Db, object>() {}
class Sessions extends CacheStore.Tag("Sessions")<Sessions>() {}
class Tenant extends Context.Tag("Tenant")<Tenant, string>() {}
class TenantId extends Context.Tag("TenantId")<TenantId, string & Brand.Brand<"TenantId">>() {}
class User extends Effect.Service<User>()("User", { succeed: { org: "acme" } }) {}
class Limits extends Context.Tag("Limits")<Limits, number>() {}
class WithDefault extends Context.Reference<WithDefault>()("WithDefault", { defaultValue: () => "public" }) {}

declare const one: Effect.Effect<number, "down", Db>
declare const byId: (id: number) => Effect.Effect<string, "down", Db>
declare const ofTenant: (id: number) => Effect.Effect<string, "down", Db | Tenant>
declare const many: (ids: ReadonlyArray<number>) => Effect.Effect<ReadonlyMap<number, string>, "down", Db | Tenant>

const options = { key: "doc:{}", ttl: 1, partition: Tenant } as const

type Doc<E = never, S = CacheStore> = Cached.PartitionedFunction<[id: number], string, Tenant, "down" | E, Db | S, S>

describe("partition", () => {
  it("the tag - is in the requirements of the read and of the members, and not of clear", () => {
    const get = Cached.ttl(byId, options)
    expectTypeOf(get).toEqualTypeOf<Doc>()
    expectTypeOf(get(1)).toEqualTypeOf<Effect.Effect<string, "down", Db | CacheStore | Tenant>>()
    expectTypeOf(get.refresh(1)).toEqualTypeOf<Effect.Effect<string, "down", Db | CacheStore | Tenant>>()
    expectTypeOf(get.invalidate(1)).toEqualTypeOf<Effect.Effect<void, never, CacheStore | Tenant>>()
    expectTypeOf(get.expire(1)).toEqualTypeOf<Effect.Effect<void, never, CacheStore | Tenant>>()
    expectTypeOf(get.explain(1)).toEqualTypeOf<Effect.Effect<CacheEvent.Explanation, never, CacheStore | Tenant>>()
    expectTypeOf(get.peek(1)).toEqualTypeOf<Effect.Effect<Option.Option<string>, never, CacheStore | Tenant>>()
    expectTypeOf(get.entry(1)).toEqualTypeOf<
      Effect.Effect<Option.Option<Entry.View<string>>, never, CacheStore | Tenant>
    >()
    expectTypeOf(get.set(1)("a")).toEqualTypeOf<Effect.Effect<void, never, CacheStore | Tenant>>()
    expectTypeOf(get.clear).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
    expectTypeOf(get.expireAll).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
  })

  it("key - is an effect", () => {
    const get = Cached.ttl(byId, options)
    expectTypeOf(get.key(1)).toEqualTypeOf<Effect.Effect<string, never, Tenant>>()
    expectTypeOf(get.partition).toEqualTypeOf<Effect.Effect<string, never, Tenant>>()
    // @ts-expect-error no text
    get.key(1).length
    // @ts-expect-error another argument
    get.key("1")
    expectTypeOf(Cached.ttl(one, { ...options, key: "doc" }).key).toEqualTypeOf<Effect.Effect<string, never, Tenant>>()
  })

  it("every policy - takes it, first and last", () => {
    expectTypeOf(pipe(byId, Cached.ttl(options))).toEqualTypeOf<Doc>()
    expectTypeOf(Cached.ttl(options)(byId)).toEqualTypeOf<Doc>()
    const policy = Cached.ttl(options)
    expectTypeOf(policy(byId)).toEqualTypeOf<Doc>()
    const stale = { ...options, stale: 1 } as const
    expectTypeOf(Cached.swr(byId, stale)).toEqualTypeOf<Doc>()
    expectTypeOf(pipe(byId, Cached.swr(stale))).toEqualTypeOf<Doc>()
    const key = { key: "doc:{}", partition: Tenant } as const
    type ByPolicy = Cached.PartitionedFunction<
      [id: number],
      string,
      Tenant,
      "down",
      Db | CacheStore | CachePolicy,
      CacheStore | CachePolicy
    >
    expectTypeOf(Cached.policy(byId, key)).toEqualTypeOf<ByPolicy>()
    expectTypeOf(pipe(byId, Cached.policy(key))).toEqualTypeOf<ByPolicy>()
  })

  it("an effect - is partitioned, too", () => {
    type Count = Cached.PartitionedEffect<number, Tenant, "down", Db | CacheStore, CacheStore>
    const count = { key: "count", ttl: 1, partition: Tenant } as const
    expectTypeOf(Cached.ttl(one, count)).toEqualTypeOf<Count>()
    expectTypeOf(one.pipe(Cached.ttl(count))).toEqualTypeOf<Count>()
    expectTypeOf(Cached.ttl(one, count)).toExtend<Effect.Effect<number, "down", Db | CacheStore | Tenant>>()
    expectTypeOf(Cached.ttl(one, count).invalidate).toEqualTypeOf<Effect.Effect<void, never, CacheStore | Tenant>>()
  })

  it("a lookup that uses the tag itself - has one requirement of it", () => {
    expectTypeOf(Cached.ttl(ofTenant, options)).toEqualTypeOf<Doc>()
  })

  it("callbacks - see the arguments alone", () => {
    Cached.ttl(byId, {
      ...options,
      ttl: (...args) => {
        expectTypeOf(args).toEqualTypeOf<[value: string, id: number]>()
        return 1
      },
      tags: (value, id) => [value, id.toFixed()]
    })
  })

  it("a tag and a function - the function sees the service", () => {
    const get = Cached.ttl(byId, {
      key: "doc:{}",
      ttl: 1,
      partition: [
        User,
        (user) => {
          expectTypeOf(user).toEqualTypeOf<User>()
          return user.org
        }
      ]
    })
    expectTypeOf(get(1)).toEqualTypeOf<Effect.Effect<string, "down", Db | CacheStore | User>>()
    pipe(byId, Cached.ttl({ key: "doc:{}", ttl: 1, partition: [Limits, (limit) => limit.toFixed()] }))
    // @ts-expect-error the function returns no text
    Cached.ttl(byId, { key: "doc:{}", ttl: 1, partition: [Limits, (limit) => limit] })
    // @ts-expect-error the service has no such property
    Cached.ttl(byId, { key: "doc:{}", ttl: 1, partition: [User, (user) => user.tenant] })
  })

  it("a branded text - is a text", () => {
    const get = Cached.ttl(byId, { ...options, partition: TenantId })
    expectTypeOf(get.key(1)).toEqualTypeOf<Effect.Effect<string, never, TenantId>>()
  })

  it("a reference - is required as well, so that readers do not share its default by mistake", () => {
    const get = Cached.ttl(byId, { ...options, partition: WithDefault })
    expectTypeOf(get(1)).toEqualTypeOf<Effect.Effect<string, "down", Db | CacheStore | WithDefault>>()
  })

  it("wrong partitions - do not compile", () => {
    // @ts-expect-error a service that is no string
    Cached.ttl(byId, { ...options, partition: Limits })
    // @ts-expect-error a service that is no string, data-last
    pipe(byId, Cached.ttl({ ...options, partition: Limits }))
    // @ts-expect-error a service that is no string
    Cached.batched(many, { ...options, partition: User })
    // @ts-expect-error a text
    Cached.ttl(byId, { ...options, partition: "acme" })
    // @ts-expect-error a list without the function
    Cached.ttl(byId, { ...options, partition: [Tenant] })
    // @ts-expect-error no effect
    Cached.ttl(byId, { ...options, partition: () => "acme" })
  })

  it("a read without a tenant - does not run", () => {
    const get = Cached.ttl(byId, options)
    const main = get(1).pipe(Effect.provideService(Db, {}), Effect.provide(CacheStore.layerNoop))
    // @ts-expect-error the tenant is missing
    Effect.runPromise(main)
    Effect.runPromise(Effect.provideService(main, Tenant, "acme"))
  })

  it("store and onStoreError - are in the type", () => {
    const get = Cached.ttl(byId, { ...options, store: Sessions, onStoreError: "fail" })
    expectTypeOf(get).toEqualTypeOf<Doc<CacheStoreError, Sessions>>()
    expectTypeOf(get.invalidate(1)).toEqualTypeOf<Effect.Effect<void, CacheStoreError, Sessions | Tenant>>()
  })

  it("Cached.batched - one function for all tenants", () => {
    const get = Cached.batched(many, options)
    expectTypeOf(get).toEqualTypeOf<
      Cached.PartitionedBatch<number, string, Tenant, "down", Db | CacheStore, CacheStore>
    >()
    expectTypeOf(get.many([1])).toEqualTypeOf<
      Effect.Effect<Array<Option.Option<string>>, "down", Db | CacheStore | Tenant>
    >()
    Cached.batched(many, { key: "doc:{}", ttl: 1, partition: [User, (user) => user.org] })
  })

  it("Cached.entity - all members but clear require the tenant", () => {
    const Item = Schema.Struct({ id: Schema.Number })
    const items = Cached.entity(Item, { name: "item", key: ["id"], ttl: 1, partition: Tenant })
    expectTypeOf(items).toEqualTypeOf<
      Cached.PartitionedEntity<number, { readonly id: number }, Tenant, never, CacheStore, CacheStore>
    >()
    expectTypeOf(items.key(1)).toEqualTypeOf<Effect.Effect<string, never, Tenant>>()
    expectTypeOf(items.put({ id: 1 })).toEqualTypeOf<Effect.Effect<void, never, CacheStore | Tenant>>()
    expectTypeOf(items.clear).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
    expectTypeOf(items.expireAll).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
    const found = Cached.entity(Item, {
      name: "item",
      key: ["id"],
      ttl: 1,
      partition: [User, (user) => user.org],
      lookup: (id) => Effect.as(Effect.zip(Db, User), null as unknown as Option.Option<{ readonly id: typeof id }>)
    })
    expectTypeOf(found.get(1)).toEqualTypeOf<
      Effect.Effect<Option.Option<{ readonly id: number }>, never, Db | CacheStore | User>
    >()
  })

  it("Cached.capture - leaves the tag, and nothing else", () => {
    expectTypeOf(Cached.capture(Cached.ttl(byId, options))).toEqualTypeOf<
      Effect.Effect<
        Cached.PartitionedFunction<[id: number], string, Tenant, "down", never, never>,
        never,
        Db | CacheStore
      >
    >()
    expectTypeOf(Cached.capture(Cached.ttl(ofTenant, options))).toEqualTypeOf<
      Effect.Effect<
        Cached.PartitionedFunction<[id: number], string, Tenant, "down", never, never>,
        never,
        Db | CacheStore
      >
    >()
    expectTypeOf(Cached.capture(Cached.ttl(one, { ...options, key: "count" }))).toEqualTypeOf<
      Effect.Effect<Cached.PartitionedEffect<number, Tenant, "down", never, never>, never, Db | CacheStore>
    >()
    expectTypeOf(Cached.capture(Cached.batched(many, options))).toEqualTypeOf<
      Effect.Effect<Cached.PartitionedBatch<number, string, Tenant, "down", never, never>, never, Db | CacheStore>
    >()
    const Item = Schema.Struct({ id: Schema.Number })
    expectTypeOf(
      Cached.capture(Cached.entity(Item, { name: "item", key: ["id"], ttl: 1, partition: Tenant }))
    ).toEqualTypeOf<
      Effect.Effect<
        Cached.PartitionedEntity<number, { readonly id: number }, Tenant, never, never, never>,
        never,
        CacheStore
      >
    >()
  })

  it("mutations - take over the requirement", () => {
    const get = Cached.ttl(byId, options)
    expectTypeOf(Cached.invalidates((id: number) => Effect.succeed(id), get)(1)).toEqualTypeOf<
      Effect.Effect<number, never, CacheStore | Tenant>
    >()
    expectTypeOf(Cached.refreshes((id: number) => Effect.succeed(id), get)(1)).toEqualTypeOf<
      Effect.Effect<number, never, Db | CacheStore | Tenant>
    >()
  })

  it("Cached.stub - takes the place of a partitioned function", () => {
    class Docs extends Context.Tag("Docs")<
      Docs,
      {
        readonly get: Cached.PartitionedFunction<[id: number], string, Tenant, "down">
        readonly count: Cached.PartitionedEffect<number, Tenant>
      }
    >() {}
    Layer.succeed(Docs, {
      get: Cached.stub((id: number) => Effect.succeed(`${id}`), { partition: "acme" }),
      count: Cached.stub(Effect.succeed(1), { partition: "acme" })
    })
    // @ts-expect-error its key is no effect
    Layer.mock(Docs, { get: Cached.stub((id: number) => Effect.succeed(`${id}`)) })
  })

  it("bg, bgWrite, bgRead, tools and resolvers - do not take it", () => {
    // @ts-expect-error no such option
    Cached.bg(one, { key: "flags", interval: 1, partition: Tenant })
    // @ts-expect-error no such option
    Cached.bg(byId, { key: "flags:{}", interval: 1, partition: Tenant })
    // @ts-expect-error no such option
    Cached.bgWrite(one, { key: "flags", interval: 1, partition: Tenant })
    // @ts-expect-error no such option
    Cached.bgRead<number>({ key: "flags", partition: Tenant })
    // @ts-expect-error no such option
    ToolCache.read(byId, { name: "doc", resource: "docs", ttl: 1, partition: Tenant })
    // @ts-expect-error a number or a duration alone
    CachePolicy.layer({ ttl: 1, partition: Tenant })
  })
})
