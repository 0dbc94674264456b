/**
 * The types of `timeout`: which policies take it, and when a read may fail with `LoadTimeout`.
 */
// Nothing here runs. The diagnostics of Effect are off, so that none of them satisfies an expected error.
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { type Cause, Config, Context, Duration, Effect, type Layer, type Option, Schema } from "effect"
import type { ConfigError } from "effect/ConfigError"
import { Cached, CachePolicy, type CacheStore, type CacheStoreError, type LoadTimeout } from "../../src/index.js"

declare const find: (id: number) => Effect.Effect<string, "absent">
declare const all: Effect.Effect<ReadonlyArray<string>, "absent">
declare const findMany: (ids: ReadonlyArray<number>) => Effect.Effect<ReadonlyMap<number, string>, "absent">
class Tenant extends Context.Tag("Tenant")<Tenant, string>() {}

type Found = Cached.CachedFunction<[id: number], string, "absent", CacheStore>
type Timed = Cached.CachedFunction<[id: number], string, "absent" | LoadTimeout, CacheStore>
type TimedMany = Cached.BatchedFunction<number, string, "absent" | LoadTimeout, CacheStore>

const options = { key: "k:{}", ttl: 1, staleIfError: 1 } as const
const soft = { ...options, timeout: { soft: 1 } } as const
const hard = { ...options, timeout: { hard: "1 second", then: "interrupt" } } as const
const both = { ...options, timeout: { soft: 1, hard: Duration.seconds(1) } } as const

describe("timeout", () => {
  it("soft - changes no type", () => {
    expectTypeOf(Cached.ttl(find, soft)).toEqualTypeOf<Found>()
    expectTypeOf(Cached.ttl(soft)(find)).toEqualTypeOf<Found>()
    expectTypeOf(Cached.swr(find, { ...soft, stale: 1 })).toEqualTypeOf<Found>()
    expectTypeOf(Cached.swr({ ...soft, stale: 1 })(find)).toEqualTypeOf<Found>()
    expectTypeOf(Cached.ttl(find, { ...options, timeout: { soft: 1, then: "interrupt" } })).toEqualTypeOf<Found>()
    expectTypeOf(Cached.ttl(find, { ...options, timeout: {} })).toEqualTypeOf<Found>()
    expectTypeOf(Cached.ttl(find, { ...options, timeout: { hard: undefined } })).toEqualTypeOf<Found>()
    expectTypeOf(Cached.ttl(find, { ...options, timeout: undefined })).toEqualTypeOf<Found>()
  })

  it("hard - a read may fail with LoadTimeout, data-first and data-last", () => {
    expectTypeOf(Cached.ttl(find, hard)).toEqualTypeOf<Timed>()
    expectTypeOf(Cached.ttl(hard)(find)).toEqualTypeOf<Timed>()
    expectTypeOf(Cached.ttl(find, both)).toEqualTypeOf<Timed>()
    expectTypeOf(Cached.ttl(both)(find)).toEqualTypeOf<Timed>()
    expectTypeOf(Cached.swr(find, { ...hard, stale: 1 })).toEqualTypeOf<Timed>()
    expectTypeOf(Cached.swr({ ...both, stale: 1 })(find)).toEqualTypeOf<Timed>()
    expectTypeOf(all.pipe(Cached.ttl({ key: "all", ttl: 1, timeout: { hard: 1 } }))).toEqualTypeOf<
      Cached.CachedEffect<ReadonlyArray<string>, "absent" | LoadTimeout, CacheStore>
    >()
  })

  it("hard of a wider type - counts as given", () => {
    const from = (hard: Duration.DurationInput | undefined) => Cached.ttl(find, { ...options, timeout: { hard } })
    expectTypeOf(from(1)).toEqualTypeOf<Timed>()
    const timeout: Cached.Timeout<Duration.DurationInput> = { soft: 1 }
    expectTypeOf(Cached.ttl(find, { ...options, timeout })).toEqualTypeOf<Timed>()
  })

  it("hard beside other options that change the error - both errors", () => {
    expectTypeOf(Cached.ttl(find, { ...hard, onStoreError: "fail" })).toEqualTypeOf<
      Cached.CachedFunction<[id: number], string, "absent" | LoadTimeout | CacheStoreError, CacheStore>
    >()
    expectTypeOf(Cached.ttl(find, { ...hard, partition: Tenant })).toEqualTypeOf<
      Cached.PartitionedFunction<[id: number], string, Tenant, "absent" | LoadTimeout, CacheStore, CacheStore>
    >()
    // what nobody sees is the lookup's error
    Cached.ttl(find, {
      ...hard,
      onError: (cause) => {
        expectTypeOf(cause).toEqualTypeOf<Cause.Cause<"absent">>()
        return Effect.void
      }
    })
  })

  it("the members of a function - only those that load fail with LoadTimeout", () => {
    const timed = Cached.ttl(find, hard)
    expectTypeOf(timed(1)).toEqualTypeOf<Effect.Effect<string, "absent" | LoadTimeout, CacheStore>>()
    expectTypeOf(timed.peek(1)).toEqualTypeOf<Effect.Effect<Option.Option<string>, never, CacheStore>>()
    expectTypeOf(timed.invalidate(1)).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
    expectTypeOf(
      Effect.catchTag(timed(1), "LoadTimeout", ({ limit, of }) => Effect.succeed(`${of} ${limit}`))
    ).toEqualTypeOf<Effect.Effect<string, "absent", CacheStore>>()
  })

  it("batched and entities - take it", () => {
    expectTypeOf(Cached.batched(findMany, hard)).toEqualTypeOf<TimedMany>()
    expectTypeOf(Cached.batched(findMany, soft)).toEqualTypeOf<
      Cached.BatchedFunction<number, string, "absent", CacheStore>
    >()
    const entity = { name: "user", key: ["id"], ttl: 1, lookup: (_: number) => Effect.succeedNone } as const
    const User = Schema.Struct({ id: Schema.Number })
    expectTypeOf(Cached.entity(User, { ...entity, timeout: { hard: 1 } }).get(1)).toEqualTypeOf<
      Effect.Effect<Option.Option<{ readonly id: number }>, LoadTimeout, CacheStore>
    >()
    expectTypeOf(Cached.entity(User, { ...entity, staleIfError: 1, timeout: { soft: 1 } }).get(1)).toEqualTypeOf<
      Effect.Effect<Option.Option<{ readonly id: number }>, never, CacheStore>
    >()
  })

  it("policy - takes hard and then; soft comes from CachePolicy, also from Config", () => {
    expectTypeOf(Cached.policy(find, { key: "k:{}", timeout: { hard: 1, then: "interrupt" } })).toEqualTypeOf<
      Cached.CachedFunction<[id: number], string, "absent" | LoadTimeout, CacheStore | CachePolicy>
    >()
    expectTypeOf(Cached.policy({ key: "k:{}", timeout: { then: "interrupt" } })(find)).toEqualTypeOf<
      Cached.CachedFunction<[id: number], string, "absent", CacheStore | CachePolicy>
    >()
    // @ts-expect-error: it comes from CachePolicy
    Cached.policy(find, { key: "k:{}", timeout: { soft: 1 } })
    // @ts-expect-error: it comes from CachePolicy
    Cached.policy({ key: "k:{}", timeout: { soft: 1 } })
    expectTypeOf(
      CachePolicy.layer({ ttl: 1, staleIfError: 1, timeout: { soft: 1 }, functions: { "k:{}": { timeout: {} } } })
    ).toEqualTypeOf<Layer.Layer<CachePolicy>>()
    expectTypeOf(
      CachePolicy.layerConfig({
        ttl: Config.duration("TTL"),
        staleIfError: Config.duration("STALE"),
        timeout: { soft: Config.duration("SOFT") }
      })
    ).toEqualTypeOf<Layer.Layer<CachePolicy, ConfigError>>()
    // @ts-expect-error: it is an option of the function, in whose type it is
    CachePolicy.layer({ ttl: 1, timeout: { hard: 1 } })
    // @ts-expect-error: it is an option of the function
    CachePolicy.layer({ ttl: 1, timeout: { then: "interrupt" } })
  })

  it("bg, bgWrite and bgRead - do not take it", () => {
    // @ts-expect-error: runs have no readers
    Cached.bg(all, { key: "k", interval: 1, timeout: { hard: 1 } })
    // @ts-expect-error: runs have no readers
    Cached.bg(find, { key: "k:{}", interval: 1, timeout: { hard: 1 } })
    // @ts-expect-error: runs have no readers
    Cached.bgWrite(all, { key: "k", interval: 1, timeout: { hard: 1 } })
    // @ts-expect-error: a mirror loads nothing
    Cached.bgRead<string>()({ key: "k", timeout: { hard: 1 } })
  })

  it("other values - do not compile", () => {
    // @ts-expect-error: a time alone is no limit
    Cached.ttl(find, { key: "k:{}", ttl: 1, timeout: "1 second" })
    // @ts-expect-error: no duration
    Cached.ttl(find, { key: "k:{}", ttl: 1, timeout: { hard: "soon" } })
    // @ts-expect-error: no duration
    Cached.ttl(find, { key: "k:{}", ttl: 1, staleIfError: 1, timeout: { soft: () => 1 } })
    // @ts-expect-error: an unknown end
    Cached.ttl(find, { key: "k:{}", ttl: 1, timeout: { hard: 1, then: "stop" } })
    // @ts-expect-error: an unknown limit
    Cached.ttl(find, { key: "k:{}", ttl: 1, timeout: { firm: 1 } })
  })
})
