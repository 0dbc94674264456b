/**
 * The types of `Cached.bgWrite` and `Cached.bgRead`.
 */
// Nothing here runs. The diagnostics of Effect are off, so that none of them satisfies an expected error.
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Cause, Duration, Option, Stream } from "effect"
import { Context, Effect, Layer, Schedule, Schema, type Scope } from "effect"
import type { CacheStoreError, DuplicateLoader, SerializerError } from "../../src/index.js"
import { Cached, CacheStore } from "../../src/index.js"

class Db extends Context.Tag("Db")<Db, { readonly flags: Effect.Effect<Flags, DbError> }>() {}
class Mail extends Context.Tag("Mail")<Mail, { readonly send: (text: string) => Effect.Effect<void> }>() {}
class Shared extends CacheStore.Tag("Shared")<Shared>() {}
class DbError {
  readonly _tag = "DbError"
}
interface Flags {
  readonly dark: boolean
}

declare const load: Effect.Effect<Flags, DbError, Db | Scope.Scope>
declare const flags: Cached.CachedReader<Flags>
declare const mail: Effect.Effect<void, DbError, Mail>

const every = { key: "flags", interval: "1 minute" } as const

describe("Cached.bgWrite", () => {
  it("services - those of the loader and of its options are required where it is started", () => {
    expectTypeOf(Cached.bgWrite(load, every)).toEqualTypeOf<
      Effect.Effect<Cached.CachedWriter<Flags, DbError>, DuplicateLoader, Db | CacheStore | Scope.Scope>
    >()
    expectTypeOf(
      Cached.bgWrite(load, { ...every, store: Shared, leader: { lease: "10 seconds" }, onError: () => mail })
    ).toEqualTypeOf<
      Effect.Effect<Cached.CachedWriter<Flags, DbError>, DuplicateLoader, Db | Shared | Mail | Scope.Scope>
    >()
  })

  it("refresh and current - have the types of the loader, and require nothing", () => {
    type Writer = Effect.Effect.Success<ReturnType<typeof start>>
    expectTypeOf<Writer["refresh"]>().toEqualTypeOf<Effect.Effect<Flags, DbError>>()
    expectTypeOf<Writer["unsafePeek"]>().toEqualTypeOf<() => Option.Option<Flags>>()
    expectTypeOf<Writer["current"]>().toEqualTypeOf<Effect.Effect<Option.Option<Flags>>>()
    expectTypeOf<Writer>().toExtend<Cached.CachedWriter>()
  })
  const start = () => Cached.bgWrite(load, every)

  it("callbacks - the types of the value and the error are inferred", () => {
    Cached.bgWrite(load, {
      key: "flags",
      ttl: "1 hour",
      schedule: Schedule.spaced("1 minute"),
      tags: (value) => {
        expectTypeOf(value).toEqualTypeOf<Flags>()
        return []
      },
      onError: (cause) => {
        expectTypeOf(cause).toEqualTypeOf<Cause.Cause<DbError>>()
        return Effect.void
      }
    })
  })

  it("wrong options - do not compile", () => {
    // @ts-expect-error no argument for the placeholder
    Cached.bgWrite(load, { key: "flags:{}", interval: "1 minute" })
    // @ts-expect-error neither interval nor schedule
    Cached.bgWrite(load, { key: "flags" })
    // @ts-expect-error a schedule needs a ttl
    Cached.bgWrite(load, { key: "flags", schedule: Schedule.spaced("1 minute") })
    // @ts-expect-error a lease is a duration
    Cached.bgWrite(load, { ...every, leader: {} })
    // @ts-expect-error a writer has a leader, not a lock
    Cached.bgWrite(load, { ...every, lock: { lease: "1 second" } })
    // @ts-expect-error nobody reads through a writer
    Cached.bgWrite(load, { ...every, onStoreError: "fail" })
    // @ts-expect-error the schema of another value
    Cached.bgWrite(load, { ...every, schema: Schema.Number })
    // @ts-expect-error a function is not a loader
    Cached.bgWrite((id: number) => Effect.succeed(id), every)
  })
})

describe("Cached.bgRead", () => {
  it("a reader - is an Effect of an Option, and requires nothing", () => {
    expectTypeOf(Cached.bgRead<Flags>({ key: "flags" })).toEqualTypeOf<
      Effect.Effect<Cached.CachedReader<Flags>, never, CacheStore | Scope.Scope>
    >()
    expectTypeOf(Cached.bgRead<Flags, Shared>({ key: "flags", store: Shared })).toEqualTypeOf<
      Effect.Effect<Cached.CachedReader<Flags>, never, Shared | Scope.Scope>
    >()
    expectTypeOf(Effect.map(flags, (value) => value)).toEqualTypeOf<Effect.Effect<Option.Option<Flags>>>()
    expectTypeOf(flags.unsafePeek()).toEqualTypeOf<Option.Option<Flags>>()
    expectTypeOf(flags.ready).toEqualTypeOf<Effect.Effect<Flags>>()
    expectTypeOf(flags.age).toEqualTypeOf<Effect.Effect<Option.Option<Duration.Duration>>>()
    expectTypeOf(flags.changes).toEqualTypeOf<Stream.Stream<Flags>>()
    expectTypeOf(flags).toExtend<Cached.CachedReader<{ readonly dark?: boolean }>>()
  })

  it("a schema - determines the value type; everything else is inferred with it", () => {
    const reader = Cached.bgRead({
      key: "flags",
      store: Shared,
      schema: Schema.Struct({ since: Schema.Date }),
      onError: (cause) => {
        expectTypeOf(cause).toEqualTypeOf<Cause.Cause<CacheStoreError | SerializerError>>()
        return mail
      }
    })
    expectTypeOf(reader).toEqualTypeOf<
      Effect.Effect<Cached.CachedReader<{ readonly since: Date }>, never, Shared | Mail | Scope.Scope>
    >()
  })

  it("no value type - is unknown", () => {
    expectTypeOf(Cached.bgRead({ key: "flags" })).toEqualTypeOf<
      Effect.Effect<Cached.CachedReader<unknown>, never, CacheStore | Scope.Scope>
    >()
  })

  it("wrong options - do not compile", () => {
    // @ts-expect-error a schema of another value
    Cached.bgRead<Flags>({ key: "flags", schema: Schema.Number })
    // @ts-expect-error no key
    Cached.bgRead<Flags>({ interval: "1 minute" })
    // @ts-expect-error a reader loads nothing
    Cached.bgRead<Flags>({ key: "flags", runImmediately: true })
    // @ts-expect-error not the tag of a store
    Cached.bgRead<Flags, Db>({ key: "flags", store: Db })
  })

  it("a Layer - provides each under a tag of the user's", () => {
    class Reader extends Context.Tag("Reader")<Reader, Cached.CachedReader<Flags>>() {}
    class Loaded extends Context.Tag("Loaded")<Loaded, Cached.CachedEffect<Flags, DbError>>() {}
    expectTypeOf(Layer.scoped(Reader, Cached.bgRead<Flags>({ key: "flags" }))).toEqualTypeOf<
      Layer.Layer<Reader, never, CacheStore>
    >()
    expectTypeOf(Layer.scoped(Loaded, Cached.bg(load, every))).toEqualTypeOf<
      Layer.Layer<Loaded, DuplicateLoader, Db | CacheStore>
    >()
    expectTypeOf(Layer.scopedDiscard(Cached.bgWrite(load, every))).toEqualTypeOf<
      Layer.Layer<never, DuplicateLoader, Db | CacheStore>
    >()
  })
})
