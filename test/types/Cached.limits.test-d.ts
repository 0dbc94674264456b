/**
 * The types of `concurrency`: which policies take it.
 */
// Nothing here runs. The diagnostics of Effect are off, so that none of them satisfies an expected error.
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Config, Effect, type Layer, Schema } from "effect"
import type { ConfigError } from "effect/ConfigError"
import { Cached, CachePolicy, type CacheStore } from "../../src/index.js"

declare const find: (id: number) => Effect.Effect<string, "absent">
declare const findMany: (ids: ReadonlyArray<number>) => Effect.Effect<ReadonlyMap<number, string>, "absent">
class User extends Schema.Class<User>("User")({ id: Schema.Number }) {}

type Found = Cached.CachedFunction<[id: number], string, "absent", CacheStore>
type FoundMany = Cached.BatchedFunction<number, string, "absent", CacheStore>

const limited = { key: "k:{}", ttl: 1, concurrency: 2 } as const

describe("concurrency", () => {
  it("ttl and swr, data-first and data-last, and batched - the type is the same as without", () => {
    expectTypeOf(Cached.ttl(find, limited)).toEqualTypeOf<Found>()
    expectTypeOf(Cached.ttl(limited)(find)).toEqualTypeOf<Found>()
    expectTypeOf(Cached.swr(find, { ...limited, stale: 1 })).toEqualTypeOf<Found>()
    expectTypeOf(Cached.swr({ ...limited, stale: 1 })(find)).toEqualTypeOf<Found>()
    expectTypeOf(Cached.batched(findMany, limited)).toEqualTypeOf<FoundMany>()
    Effect.succeed(1).pipe(Cached.ttl({ key: "k", ttl: 1, concurrency: Number.POSITIVE_INFINITY }))
    Cached.ttl(find, { key: "k:{}", ttl: 1, concurrency: undefined })
  })

  it("entities - take it", () => {
    Cached.entity(User, {
      name: "user",
      key: ["id"],
      ttl: 1,
      concurrency: 2,
      lookup: (id: number) => Effect.succeedSome(new User({ id }))
    })
  })

  it("policy - takes it from CachePolicy, also from Config", () => {
    // @ts-expect-error: it comes from CachePolicy
    Cached.policy(find, { key: "k:{}", concurrency: 2 })
    // @ts-expect-error: it comes from CachePolicy
    Cached.policy({ key: "k:{}", concurrency: 2 })
    expectTypeOf(
      CachePolicy.layer({ ttl: 1, concurrency: 2, functions: { "k:{}": { concurrency: 1 } } })
    ).toEqualTypeOf<Layer.Layer<CachePolicy>>()
    expectTypeOf(
      CachePolicy.layerConfig({ ttl: Config.duration("TTL"), concurrency: Config.integer("N") })
    ).toEqualTypeOf<Layer.Layer<CachePolicy, ConfigError>>()
  })

  it("bg, bgWrite and bgRead - do not take it", () => {
    // @ts-expect-error: a background loader has one load at a time
    Cached.bg(Effect.succeed(1), { key: "k", interval: 1, concurrency: 2 })
    // @ts-expect-error: a background loader has one load of a key at a time
    Cached.bg(find, { key: "k:{}", interval: 1, concurrency: 2 })
    // @ts-expect-error: a background loader has one load at a time
    Cached.bgWrite(Effect.succeed(1), { key: "k", interval: 1, concurrency: 2 })
    // @ts-expect-error: a mirror loads nothing
    Cached.bgRead<string>()({ key: "k", concurrency: 2 })
  })

  it("other values - do not compile", () => {
    // @ts-expect-error: a text is no count
    Cached.ttl(find, { key: "k:{}", ttl: 1, concurrency: "unbounded" })
  })
})
