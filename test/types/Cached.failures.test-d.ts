/**
 * The types of the options that say what happens when a load fails: which policies take them, and what they change.
 */
// Nothing here runs. The diagnostics of Effect are off, so that none of them satisfies an expected error.
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { type Cause, type Context, Duration, Effect, type Option, Schema } from "effect"
import type { CacheStore } from "../../src/index.js"
import { Cached, CachePolicy } from "../../src/index.js"

interface User {
  readonly id: number
}
declare class DbError {
  readonly _tag: "DbError"
}
interface Db extends Context.Tag<Db, {}> {}

declare const find: (id: number) => Effect.Effect<User, DbError, Db>
declare const all: Effect.Effect<ReadonlyArray<User>, DbError, Db>
declare const findMany: (ids: ReadonlyArray<number>) => Effect.Effect<Iterable<readonly [number, User]>, DbError, Db>

const minute = "1 minute"
const kept = { staleIfError: "1 hour", retryAfter: Duration.seconds(2) } as const

type FindUser = Cached.CachedFunction<[id: number], User, DbError, Db | CacheStore, CacheStore>

describe("staleIfError and retryAfter", () => {
  it("ttl and swr - change no type, data-first and data-last", () => {
    const options = { key: "user:{}", ttl: minute, ...kept } as const
    expectTypeOf(Cached.ttl(find, options)).toEqualTypeOf<FindUser>()
    expectTypeOf(Cached.ttl(options)(find)).toEqualTypeOf<FindUser>()
    expectTypeOf(Cached.swr(find, { ...options, stale: minute })).toEqualTypeOf<FindUser>()
    expectTypeOf(all.pipe(Cached.ttl({ key: "all", ttl: minute, ...kept }))).toEqualTypeOf<
      Cached.CachedEffect<ReadonlyArray<User>, DbError, Db | CacheStore, CacheStore>
    >()
  })

  it("batched and entity - take both", () => {
    Cached.batched(findMany, { key: "user:{}", ttl: minute, ...kept })
    Cached.entity(Schema.Struct({ id: Schema.Number }), { name: "user", key: ["id"], ttl: minute, ...kept })
  })

  it("bg and bgWrite - take staleIfError, and their own default of retryAfter", () => {
    Cached.bg(all, { key: "all", interval: minute, staleIfError: "1 hour" })
    Cached.bgWrite(all, { key: "all", interval: minute, staleIfError: "1 hour" })
    // @ts-expect-error no option of bg
    Cached.bg(all, { key: "all", interval: minute, retryAfter: "1 second" })
    // @ts-expect-error no option of bgWrite
    Cached.bgWrite(all, { key: "all", interval: minute, retryAfter: "1 second" })
  })

  it("policy - takes them from CachePolicy", () => {
    CachePolicy.layer({ ttl: minute, ...kept, functions: { "user:{}": kept } })
    // @ts-expect-error comes from the Layer
    Cached.policy(find, { key: "user:{}", staleIfError: "1 hour" })
    // @ts-expect-error comes from the Layer
    Cached.policy(find, { key: "user:{}", retryAfter: "1 hour" })
  })

  it("refused - a function of the value, and what is no duration", () => {
    // @ts-expect-error a function
    Cached.ttl(find, { key: "user:{}", ttl: minute, staleIfError: () => "1 hour" })
    // @ts-expect-error no duration
    Cached.ttl(find, { key: "user:{}", ttl: minute, retryAfter: "soon" })
  })

  it("entry - tells the state retained, and the stale end", () => {
    const view = Cached.ttl(find, { key: "user:{}", ttl: minute }).entry(1)
    type View =
      Effect.Effect.Success<typeof view> extends infer O
        ? O extends { readonly _tag: "Some"; readonly value: infer V }
          ? V
          : never
        : never
    expectTypeOf<View["state"]>().toEqualTypeOf<"fresh" | "stale" | "retained">()
    expectTypeOf<View["staleUntil"]>().toEqualTypeOf<number>()
  })
})

describe("onError", () => {
  interface Alarm extends Context.Tag<Alarm, {}> {}
  const onError = (_: Cause.Cause<DbError>, _id: number): Effect.Effect<void, string, Alarm> => Effect.void as never
  type Watched = Cached.CachedFunction<[id: number], User, DbError, Db | CacheStore | Alarm, CacheStore>

  it("data-first and data-last - gets the lookup's error and arguments, and its requirements are those of a read", () => {
    const options = { key: "user:{}", ttl: minute } as const
    expectTypeOf(Cached.ttl(find, { ...options, onError })).toEqualTypeOf<Watched>()
    expectTypeOf(Cached.swr(find, { ...options, stale: minute, onError })).toEqualTypeOf<Watched>()
    expectTypeOf(Cached.ttl({ ...options, onError })(find)).toEqualTypeOf<Watched>()
    Cached.ttl(find, {
      ...options,
      onError: (cause, id) => {
        expectTypeOf(cause).toEqualTypeOf<Cause.Cause<DbError>>()
        expectTypeOf(id).toEqualTypeOf<number>()
        return Effect.void
      }
    })
    const entity = Cached.entity(Schema.Struct({ id: Schema.Number }), {
      name: "user",
      key: ["id"],
      ttl: minute,
      onError: (_cause, id) => {
        expectTypeOf(id).toEqualTypeOf<number>()
        return Effect.void
      }
    })
    expectTypeOf(entity.get(1)).toEqualTypeOf<Effect.Effect<Option.Option<User>, never, CacheStore>>()
  })

  it("refused - another error, other arguments, and what is no effect", () => {
    // @ts-expect-error another error
    Cached.ttl(find, { key: "user:{}", ttl: minute, onError: (_: Cause.Cause<"other">) => Effect.void })
    // @ts-expect-error another argument
    Cached.ttl(find, { key: "user:{}", ttl: minute, onError: (_: Cause.Cause<DbError>, _id: string) => Effect.void })
    // @ts-expect-error no effect
    Cached.ttl(find, { key: "user:{}", ttl: minute, onError: () => 1 })
    const other = Cached.ttl({ key: "user:{}", ttl: minute, onError: (_: Cause.Cause<"other">) => Effect.void })
    // @ts-expect-error another error
    other(find)
  })
})

describe("failures", () => {
  class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.Number }) {}
  class Down extends Schema.TaggedError<Down>()("Down", { code: Schema.Number }) {}
  class Other extends Schema.TaggedError<Other>()("Other", {}) {}
  const load = find as unknown as (id: number) => Effect.Effect<User, NotFound | Down, Db>
  const loadMany = findMany as unknown as (
    ids: ReadonlyArray<number>
  ) => Effect.Effect<Iterable<readonly [number, User]>, NotFound | Down, Db>
  type Loaded = Cached.CachedFunction<[id: number], User, NotFound | Down, Db | CacheStore, CacheStore>
  const options = { key: "user:{}", ttl: minute } as const
  const both = Schema.Union(NotFound, Down)

  it("ttl and swr - change no type, data-first and data-last", () => {
    const failures = { ttl: minute, schema: both } as const
    expectTypeOf(Cached.ttl(load, { ...options, failures })).toEqualTypeOf<Loaded>()
    expectTypeOf(Cached.ttl({ ...options, failures })(load)).toEqualTypeOf<Loaded>()
    expectTypeOf(Cached.swr(load, { ...options, stale: minute, failures })).toEqualTypeOf<Loaded>()
    expectTypeOf(load.call(undefined, 1).pipe(Cached.ttl({ key: "u", ttl: minute, failures }))).toEqualTypeOf<
      Cached.CachedEffect<User, NotFound | Down, Db | CacheStore, CacheStore>
    >()
  })

  it("ttl - is a duration, or a function of the error and the arguments", () => {
    Cached.ttl(load, {
      ...options,
      failures: {
        ttl: (error, id) => {
          expectTypeOf(error).toEqualTypeOf<NotFound | Down>()
          expectTypeOf(id).toEqualTypeOf<number>()
          return error._tag === "Down" ? "1 second" : Duration.minutes(1)
        }
      }
    })
    Cached.ttl({ ...options, failures: { ttl: (error: NotFound | Down) => (error._tag === "Down" ? 0 : 1) } })(load)
  })

  it("schema - is of the errors, or of some of them", () => {
    Cached.ttl(load, { ...options, failures: { ttl: minute, schema: NotFound } })
    Cached.ttl({ ...options, failures: { ttl: minute, schema: NotFound } })(load)
  })

  it("policy, batched and entity - take it, and CachePolicy does not", () => {
    const failures = { ttl: minute, schema: NotFound } as const
    Cached.policy(load, { key: "user:{}", failures })
    Cached.policy({ key: "user:{}", failures })(load)
    Cached.batched(loadMany, {
      ...options,
      failures: {
        ttl: (error, id) => {
          expectTypeOf(error._tag).toEqualTypeOf<"NotFound" | "Down">()
          return id
        },
        schema: NotFound
      }
    })
    Cached.entity(Schema.Struct({ id: Schema.Number }), {
      name: "user",
      key: ["id"],
      ttl: minute,
      lookup: (id: number): Effect.Effect<Option.Option<User>, NotFound> => id as never,
      failures
    })
    // @ts-expect-error an option of the function
    CachePolicy.layer({ ttl: minute, failures })
  })

  it("bg, bgWrite and bgRead - do not take it", () => {
    const failures = { ttl: minute }
    // @ts-expect-error no option of bg
    Cached.bg(all, { key: "all", interval: minute, failures })
    // @ts-expect-error no option of bgWrite
    Cached.bgWrite(all, { key: "all", interval: minute, failures })
    // @ts-expect-error no option of bgRead
    Cached.bgRead<number>({ key: "all", failures })
  })

  it("refused - no ttl, another error, other arguments, and a schema of other errors", () => {
    // @ts-expect-error no ttl
    Cached.ttl(load, { ...options, failures: { schema: both } })
    // @ts-expect-error no duration
    Cached.ttl(load, { ...options, failures: { ttl: "soon" } })
    // @ts-expect-error another error
    Cached.ttl(load, { ...options, failures: { ttl: (_: Other) => 1 } })
    // @ts-expect-error other arguments
    Cached.ttl(load, { ...options, failures: { ttl: (_: unknown, _id: string) => 1 } })
    // @ts-expect-error a schema of another error
    Cached.ttl(load, { ...options, failures: { ttl: minute, schema: Other } })
    // @ts-expect-error a schema of more errors: a stored one would be none of the lookup's
    Cached.ttl(load, { ...options, failures: { ttl: minute, schema: Schema.Union(NotFound, Other) } })
    const other = Cached.ttl({ ...options, failures: { ttl: (_: Other) => 1 } })
    // @ts-expect-error another error
    other(load)
    const otherSchema = Cached.ttl({ ...options, failures: { ttl: minute, schema: Other } })
    // @ts-expect-error a schema of another error
    otherSchema(load)
  })
})
