/** The types of the options of the life of an entry. */
// Nothing here runs. The diagnostics of Effect are off, so that none of them satisfies an expected error.
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Duration, Effect, type Option, pipe, Schema } from "effect"
import { Cached, CachePolicy, CacheStore, type Entry } from "../../src/index.js"

interface User {
  readonly id: number
  readonly minutes: number
}

declare const find: (id: number) => Effect.Effect<User, "absent">
declare const one: Effect.Effect<User, "absent">
declare const findMany: (ids: ReadonlyArray<number>) => Effect.Effect<ReadonlyMap<number, User>>

type Find = Cached.CachedFunction<[id: number], User, "absent", CacheStore, CacheStore>

describe("stale", () => {
  it("a function - gets the value and the arguments, data-first and data-last", () => {
    const first = Cached.swr(find, {
      key: "user:{}",
      ttl: (user) => user.minutes,
      stale: (user, id) => {
        expectTypeOf(user).toEqualTypeOf<User>()
        expectTypeOf(id).toEqualTypeOf<number>()
        return "1 minute"
      }
    })
    expectTypeOf(first).toEqualTypeOf<Find>()
    const last = pipe(
      find,
      Cached.swr({ key: "user:{}", ttl: 1, stale: (user: User, id: number) => user.minutes + id })
    )
    expectTypeOf(last).toEqualTypeOf<Find>()
    const effect = one.pipe(Cached.swr({ key: "user", ttl: 1, stale: (user) => user.minutes }))
    expectTypeOf(effect).toEqualTypeOf<Cached.CachedEffect<User, "absent", CacheStore, CacheStore>>()
    // @ts-expect-error the value has no such property
    Cached.swr(find, { key: "user:{}", ttl: 1, stale: (user) => user.hours })
    // @ts-expect-error a boolean is no duration
    Cached.swr(find, { key: "user:{}", ttl: 1, stale: () => true })
    // @ts-expect-error the policy does not fit the lookup
    pipe(find, Cached.swr({ key: "user:{}", ttl: 1, stale: (user: string) => user.length }))
  })

  it("swr - requires it, ttl and policy do not take it", () => {
    // @ts-expect-error stale is missing
    Cached.swr(find, { key: "user:{}", ttl: 1 })
    // @ts-expect-error use swr
    Cached.ttl(find, { key: "user:{}", ttl: 1, stale: () => 1 })
    // @ts-expect-error it comes from CachePolicy
    Cached.policy(find, { key: "user:{}", stale: () => 1 })
  })

  it("batched, entity and getOrSet - give it the value", () => {
    Cached.batched(findMany, { key: "user:{}", ttl: 1, stale: (user, id) => user.minutes + id })
    const Stored = Schema.Struct({ id: Schema.Number, minutes: Schema.Number })
    Cached.entity(Stored, { name: "User", key: ["id"], ttl: 1, stale: (user, id) => user.minutes + id })
    Effect.flatMap(CacheStore, (store) =>
      store.getOrSet("k", one, {
        ttl: 1,
        stale: (user) => {
          expectTypeOf(user).toEqualTypeOf<User>()
          return user.minutes
        }
      })
    )
  })
})

describe("refreshAhead", () => {
  it("ttl, swr, batched and entity - take a number, data-first and data-last, and keep their types", () => {
    const options = { key: "user:{}", ttl: 1, refreshAhead: 0.8 } as const
    expectTypeOf(Cached.ttl(find, options)).toEqualTypeOf<Find>()
    expectTypeOf(pipe(find, Cached.ttl(options))).toEqualTypeOf<Find>()
    expectTypeOf(pipe(find, Cached.swr({ ...options, stale: 1 }))).toEqualTypeOf<Find>()
    expectTypeOf(Cached.batched(findMany, options)).toEqualTypeOf<
      Cached.BatchedFunction<number, User, never, CacheStore, CacheStore>
    >()
    const Stored = Schema.Struct({ id: Schema.Number })
    Cached.entity(Stored, { name: "User", key: ["id"], ttl: 1, refreshAhead: 0.8 })
    CachePolicy.layer({ ttl: 1, refreshAhead: 0.8, functions: { user: { refreshAhead: 0.5 } } })
  })

  it("what loads by a schedule, or has its lifetimes from CachePolicy - does not compile", () => {
    // @ts-expect-error a fraction is a number
    Cached.ttl(find, { key: "user:{}", ttl: 1, refreshAhead: "80%" })
    // @ts-expect-error a daemon refreshes by its schedule
    Cached.bg(find, { key: "user:{}", interval: 1, refreshAhead: 0.8 })
    // @ts-expect-error a daemon refreshes by its schedule
    Cached.bgWrite(one, { key: "user", interval: 1, refreshAhead: 0.8 })
    // @ts-expect-error it comes from CachePolicy
    Cached.policy(find, { key: "user:{}", refreshAhead: 0.8 })
  })
})

describe("maxEntries", () => {
  it("ttl, swr, policies, batched and entity - take a number, and keep their types", () => {
    const options = { key: "user:{}", ttl: 1, maxEntries: 100 } as const
    expectTypeOf(Cached.ttl(find, options)).toEqualTypeOf<Find>()
    expectTypeOf(pipe(find, Cached.swr({ ...options, stale: 1 }))).toEqualTypeOf<Find>()
    expectTypeOf(Cached.batched(findMany, options)).toEqualTypeOf<
      Cached.BatchedFunction<number, User, never, CacheStore, CacheStore>
    >()
    const Stored = Schema.Struct({ id: Schema.Number })
    Cached.entity(Stored, { name: "User", key: ["id"], ttl: 1, maxEntries: 100 })
    CachePolicy.layer({ ttl: 1, maxEntries: 100, functions: { user: { maxEntries: Number.POSITIVE_INFINITY } } })
  })

  it("what has one entry, or its limits from CachePolicy - does not compile", () => {
    // @ts-expect-error a number
    Cached.ttl(find, { key: "user:{}", ttl: 1, maxEntries: "100" })
    // @ts-expect-error a daemon keeps its entry
    Cached.bgWrite(one, { key: "user", interval: 1, maxEntries: 1 })
    // @ts-expect-error it comes from CachePolicy
    Cached.policy(find, { key: "user:{}", maxEntries: 100 })
  })
})

describe("maxIdle", () => {
  it("ttl, swr, policies, batched, entity and resolver - take a duration, and keep their types", () => {
    const options = { key: "user:{}", ttl: 1, maxIdle: "1 minute" } as const
    expectTypeOf(Cached.ttl(find, options)).toEqualTypeOf<Find>()
    expectTypeOf(pipe(find, Cached.ttl(options))).toEqualTypeOf<Find>()
    expectTypeOf(pipe(find, Cached.swr({ ...options, stale: 1 }))).toEqualTypeOf<Find>()
    expectTypeOf(Cached.batched(findMany, options)).toEqualTypeOf<
      Cached.BatchedFunction<number, User, never, CacheStore, CacheStore>
    >()
    const Stored = Schema.Struct({ id: Schema.Number })
    Cached.entity(Stored, { name: "User", key: ["id"], ttl: 1, maxIdle: 1_000 })
    CachePolicy.layer({ ttl: 1, maxIdle: "1 minute", functions: { user: { maxIdle: Duration.infinity } } })
    Cached.ttl(find, { key: "user:{}", ttl: 1, maxIdle: undefined })
  })

  it("what loads by a schedule, or has its lifetimes from CachePolicy - does not compile", () => {
    // @ts-expect-error a time is no function of the value
    Cached.ttl(find, { key: "user:{}", ttl: 1, maxIdle: () => 1 })
    // @ts-expect-error a text is a duration
    Cached.ttl(find, { key: "user:{}", ttl: 1, maxIdle: "soon" })
    // @ts-expect-error a daemon keeps its entry alive by its runs
    Cached.bg(find, { key: "user:{}", interval: 1, maxIdle: "1 minute" })
    // @ts-expect-error a daemon keeps its entry alive by its runs
    Cached.bgWrite(one, { key: "user", interval: 1, maxIdle: "1 minute" })
    // @ts-expect-error it comes from CachePolicy
    Cached.policy(find, { key: "user:{}", maxIdle: "1 minute" })
  })

  it("the view of an entry - has the idle end, if there is one", () => {
    expectTypeOf<Entry.View<User>["idleUntil"]>().toEqualTypeOf<number | undefined>()
  })
})

describe("jitter", () => {
  it("every policy that loads - takes a number, data-first and data-last, and keeps its type", () => {
    const options = { key: "user:{}", ttl: 1, jitter: 0.1 } as const
    expectTypeOf(Cached.ttl(find, options)).toEqualTypeOf<Find>()
    expectTypeOf(pipe(find, Cached.ttl(options))).toEqualTypeOf<Find>()
    expectTypeOf(Cached.swr(find, { ...options, stale: 1 })).toEqualTypeOf<Find>()
    expectTypeOf(Cached.batched(findMany, options)).toEqualTypeOf<
      Cached.BatchedFunction<number, User, never, CacheStore, CacheStore>
    >()
    Cached.bg(find, { key: "user:{}", interval: 1, jitter: 0.1 })
    Cached.bgWrite(one, { key: "user", interval: 1, jitter: 0.1 })
    CachePolicy.layer({ ttl: 1, jitter: 0.1, functions: { user: { jitter: 0.2 } } })
  })

  it("what has no chance - does not compile", () => {
    // @ts-expect-error a fraction is a number
    Cached.ttl(find, { key: "user:{}", ttl: 1, jitter: "10%" })
    // @ts-expect-error it comes from CachePolicy
    Cached.policy(find, { key: "user:{}", jitter: 0.1 })
    // @ts-expect-error a mirror stores nothing
    Cached.bgRead<Option.Option<User>>({ key: "user", jitter: 0.1 })
  })
})
