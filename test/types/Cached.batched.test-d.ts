/**
 * The types of batched functions: what is inferred from the lookup, and what the options see. `types.test.ts` checks the
 * messages.
 */
// Nothing here runs. The diagnostics of Effect are off, so that none of them satisfies an expected error.
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, type HashMap, type Option, Schema, type Scope } from "effect"
import { Cached, CacheStore, type CacheStoreError } from "../../src/index.js"

class Db extends Context.Tag("Db")<Db, object>() {}
class Sessions extends CacheStore.Tag("Sessions")<Sessions>() {}
interface User {
  readonly id: number
  readonly name: string
}
interface Id {
  readonly tenant: string
  readonly id: number
}

declare const find: (ids: ReadonlyArray<number>) => Effect.Effect<ReadonlyMap<number, User>, "down", Db>
declare const findHash: (ids: ReadonlyArray<number>) => Effect.Effect<HashMap.HashMap<number, User>, "down", Db>
declare const findPairs: (ids: Array<number>) => Effect.Effect<ReadonlyArray<readonly [number, User]>, "down", Db>
declare const findSome: (ids: readonly [number, ...Array<number>]) => Effect.Effect<Array<[number, User]>, "down", Db>
declare const findList: (ids: ReadonlyArray<number>) => Effect.Effect<Iterable<readonly [number, User]>, "down", Db>
declare const findScoped: (ids: Iterable<number>) => Effect.Effect<Map<number, User>, "down", Db | Scope.Scope>
declare const findRows: (ids: ReadonlyArray<Id>) => Effect.Effect<ReadonlyMap<Id, User>>
declare const embed: (texts: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Option.Option<number>>>

type Users<E = never, R = CacheStore> = Cached.BatchedFunction<number, User, "down" | E, Db | R>

const options = { key: "user:{}", ttl: 1 } as const

describe("Cached.batched", () => {
  it("the lookup - any iterable of pairs, any list of ids", () => {
    expectTypeOf(Cached.batched(find, options)).toEqualTypeOf<Users>()
    expectTypeOf(Cached.batched(findHash, options)).toEqualTypeOf<Users>()
    expectTypeOf(Cached.batched(findPairs, options)).toEqualTypeOf<Users>()
    expectTypeOf(Cached.batched(findList, options)).toEqualTypeOf<Users>()
    expectTypeOf(Cached.batched(findSome, options)).toEqualTypeOf<Users>()
    expectTypeOf(Cached.batched(findScoped, options)).toEqualTypeOf<Users>()
  })

  it("the function - a cached function of one id, and `many`", () => {
    const get = Cached.batched(find, options)
    expectTypeOf(get).toExtend<
      Cached.CachedFunction<[id: number], Option.Option<User>, "down", Db | CacheStore, CacheStore>
    >()
    expectTypeOf(get(1)).toEqualTypeOf<Effect.Effect<Option.Option<User>, "down", Db | CacheStore>>()
    expectTypeOf(get.many(new Set([1]))).toEqualTypeOf<
      Effect.Effect<Array<Option.Option<User>>, "down", Db | CacheStore>
    >()
    expectTypeOf(get.peek(1)).toEqualTypeOf<Effect.Effect<Option.Option<Option.Option<User>>, never, CacheStore>>()
    expectTypeOf(get.set(1)).parameters.toEqualTypeOf<[Option.Option<User>]>()
    expectTypeOf(get.invalidate(1)).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
  })

  it("inline lookups - with and without Effect.fn", () => {
    const inline = Cached.batched(
      (ids: ReadonlyArray<number>) => Effect.succeed(new Map(ids.map((id) => [id, `${id}`]))),
      {
        key: "name:{}",
        ttl: (name, id) => name.length + id,
        tags: (name, id) => [name, id.toFixed()]
      }
    )
    expectTypeOf(inline).toEqualTypeOf<Cached.BatchedFunction<number, string, never, CacheStore>>()
    const named = Cached.batched(
      Effect.fn("find")(function* (ids: ReadonlyArray<number>) {
        yield* Db
        return ids.map((id): [number, User] => [id, { id, name: "" }])
      }),
      { key: "user:{}", ttl: (user) => user.name.length }
    )
    expectTypeOf(named).toEqualTypeOf<Cached.BatchedFunction<number, User, never, Db | CacheStore>>()
    const failing = Cached.batched((_: ReadonlyArray<number>) => Effect.fail("down" as const), options)
    expectTypeOf(failing).toEqualTypeOf<Cached.BatchedFunction<number, never, "down", CacheStore>>()
  })

  it("ids that are records - have a template of their properties", () => {
    const get = Cached.batched(findRows, { key: "row:{tenant}:{id}", ttl: 1 })
    expectTypeOf(get).toEqualTypeOf<Cached.BatchedFunction<Id, User, never, CacheStore>>()
    Cached.batched(findRows, { key: "row:{tenant}", ttl: 1, ignore: ["id"] })
    Cached.batched(findRows, { key: ({ id, tenant }) => `${tenant}:${id}`, name: "row", ttl: 1 })
    // @ts-expect-error a property is not part of the key
    Cached.batched(findRows, { key: "row:{tenant}", ttl: 1 })
    // @ts-expect-error a key function gives no name
    Cached.batched(findRows, { key: ({ id, tenant }) => `${tenant}:${id}`, ttl: 1 })
  })

  it("ordered - the lookup returns options, and options only then", () => {
    const get = Cached.batched(embed, { key: "vector:{}", ttl: (value) => value, ordered: true })
    expectTypeOf(get).toEqualTypeOf<Cached.BatchedFunction<string, number, never, CacheStore>>()
    // @ts-expect-error options without `ordered`
    Cached.batched(embed, { key: "vector:{}", ttl: 1 })
    // @ts-expect-error pairs with `ordered`
    Cached.batched(find, { ...options, ordered: true })
  })

  it("options - see the present value, or the type of the schema", () => {
    Cached.batched(find, {
      key: "user:{}",
      ttl: (user, id) => {
        expectTypeOf(user).toEqualTypeOf<User>()
        expectTypeOf(id).toEqualTypeOf<number>()
        return 1
      },
      tags: (user) => [user.name],
      stale: "1 minute",
      absentTtl: "10 seconds",
      window: "5 millis",
      maxBatchSize: 10,
      lock: { lease: "5 seconds" },
      version: 2
    })
    const schema = Schema.Struct({ id: Schema.Number, name: Schema.String })
    const get = Cached.batched(find, { ...options, schema })
    expectTypeOf(get).toEqualTypeOf<
      Cached.BatchedFunction<number, { readonly id: number; readonly name: string }, "down", Db | CacheStore>
    >()
    // @ts-expect-error the schema is of the value, not of the option
    Cached.batched(find, { ...options, schema: Schema.Option(schema) })
    // @ts-expect-error the schema leaves out a property
    Cached.batched(find, { ...options, schema: Schema.Struct({ id: Schema.Number }) })
    // @ts-expect-error no duration
    Cached.batched(find, { ...options, window: "soon" })
    // @ts-expect-error no option
    Cached.batched(find, { ...options, windo: 1 })
  })

  it("store and onStoreError - are in the type", () => {
    const strict = Cached.batched(find, { ...options, store: Sessions, onStoreError: "fail" })
    expectTypeOf(strict).toEqualTypeOf<Users<CacheStoreError, Sessions>>()
    expectTypeOf(strict.invalidate(1)).toEqualTypeOf<Effect.Effect<void, CacheStoreError, Sessions>>()
  })

  it("Cached.capture - keeps `many`", () => {
    expectTypeOf(Cached.capture(Cached.batched(find, options))).toEqualTypeOf<
      Effect.Effect<Cached.BatchedFunction<number, User, "down", never, never>, never, Db | CacheStore>
    >()
  })

  it("wrong lookups - do not compile", () => {
    // @ts-expect-error pairs of other ids
    Cached.batched((ids: ReadonlyArray<number>) => Effect.succeed(new Map([[`${ids}`, 1]])), options)
    // @ts-expect-error values without ids
    Cached.batched((ids: ReadonlyArray<number>) => Effect.succeed(ids), options)
    // @ts-expect-error one id: a text is an iterable, too
    Cached.batched((id: string) => Effect.succeed(new Map([[id, 1]])), { key: "a:{}", ttl: 1 })
    // @ts-expect-error a Set: the lookup is called with an array
    Cached.batched((ids: ReadonlySet<number>) => Effect.succeed(new Map([[ids.size, 1]])), { key: "a:{}", ttl: 1 })
    Cached.batched((ids: Iterable<number>) => Effect.succeed(Array.from(ids, (id) => [id, 1] as const)), {
      key: "a:{}",
      ttl: 1
    })
    Cached.batched((ids: readonly [number, ...Array<number>]) => Effect.succeed(new Map([[ids[0], 1]])), {
      key: "a:{}",
      ttl: 1
    })
    // @ts-expect-error no iterable
    Cached.batched((ids: ReadonlyArray<number>) => Effect.succeed(ids.length), options)
    // @ts-expect-error a parameter without a type
    Cached.batched((ids) => Effect.succeed(new Map([[ids, 1]])), options)
  })
})
