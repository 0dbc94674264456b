/**
 * The types of tools: which options they accept, what results, and that a session tool requires a session.
 */
// Nothing here runs. The diagnostics of Effect are off, so that none of them satisfies an expected error.
// @effect-diagnostics floatingEffect:off missingEffectContext:off missingEffectError:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, type Option, pipe, Schema, type Scope } from "effect"
import {
  type AgentLoopDetected,
  Cached,
  CacheStore,
  type CacheStoreError,
  ToolCache,
  type ToolCache as Types
} from "../../src/index.js"

class Db extends Context.Tag("Db")<Db, object>() {}
class Others extends CacheStore.Tag("Others")<Others>() {}
interface User {
  readonly id: number
  readonly name: string
}

declare const find: (id: number) => Effect.Effect<User, "absent", Db>
declare const search: (
  query: { readonly text: string; readonly tags: ReadonlyArray<string> },
  page?: number | undefined
) => Effect.Effect<ReadonlyArray<User>, never, Scope.Scope>
declare const rename: (id: number, name: string) => Effect.Effect<number, "refused", Db>

type Session = Types.Session
type Found = Cached.CachedFunction<[id: number], User, "absent" | AgentLoopDetected, Db | CacheStore>
type FoundInSession = Types.SessionFunction<
  [id: number],
  User,
  "absent" | AgentLoopDetected,
  Db | CacheStore | Session,
  CacheStore | Session
>

const options = { name: "find", resource: "users", ttl: "1 minute" } as const

describe("ToolCache.read", () => {
  it("data-first - a cached function that may fail with AgentLoopDetected", () => {
    expectTypeOf(ToolCache.read(find, options)).toEqualTypeOf<Found>()
    expectTypeOf(ToolCache.read(find, { ...options, scope: "global" })).toEqualTypeOf<Found>()
    const searched = ToolCache.read(search, options)
    expectTypeOf(searched).toEqualTypeOf<
      Cached.CachedFunction<
        [query: { readonly text: string; readonly tags: ReadonlyArray<string> }, page?: number | undefined],
        ReadonlyArray<User>,
        AgentLoopDetected,
        CacheStore
      >
    >()
  })

  it("data-last - the same, in a pipe and applied directly", () => {
    expectTypeOf(pipe(find, ToolCache.read(options))).toEqualTypeOf<Found>()
    expectTypeOf(ToolCache.read(options)(find)).toEqualTypeOf<Found>()
    expectTypeOf(pipe(find, ToolCache.read({ ...options, scope: "session" }))).toEqualTypeOf<FoundInSession>()
    expectTypeOf(ToolCache.read({ ...options, scope: "session" })(find)).toEqualTypeOf<FoundInSession>()
  })

  it("an inline tool, and an inline Effect.fn - are inferred", () => {
    const inline = ToolCache.read((word: string, n = 1) => Effect.succeed(word.length * n), options)
    expectTypeOf(inline("a")).toEqualTypeOf<Effect.Effect<number, AgentLoopDetected, CacheStore>>()
    const traced = ToolCache.read(
      Effect.fn("lookUp")(function* (word: string) {
        return yield* Effect.succeed(word.length)
      }),
      options
    )
    expectTypeOf(traced("a")).toEqualTypeOf<Effect.Effect<number, AgentLoopDetected, CacheStore>>()
  })

  it("scope session - requires a session, in the calls and in the members", () => {
    const inSession = ToolCache.read(find, { ...options, scope: "session" })
    expectTypeOf(inSession).toEqualTypeOf<FoundInSession>()
    expectTypeOf(inSession(1)).toEqualTypeOf<
      Effect.Effect<User, "absent" | AgentLoopDetected, Db | CacheStore | Session>
    >()
    expectTypeOf(inSession.key(1)).toEqualTypeOf<Effect.Effect<string, never, CacheStore | Session>>()
    expectTypeOf(inSession.invalidate(1)).toEqualTypeOf<Effect.Effect<void, never, CacheStore | Session>>()
    expectTypeOf(inSession.expire(1)).toEqualTypeOf<Effect.Effect<void, never, CacheStore | Session>>()
    expectTypeOf(inSession.peek(1)).toEqualTypeOf<Effect.Effect<Option.Option<User>, never, CacheStore | Session>>()
    expectTypeOf(inSession.clear).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
    expectTypeOf(inSession.expireAll).toEqualTypeOf<Effect.Effect<void, never, CacheStore>>()
    const agent = inSession(1).pipe(ToolCache.session({ id: "s" }))
    expectTypeOf(agent).toEqualTypeOf<Effect.Effect<User, "absent" | AgentLoopDetected, Db | CacheStore>>()
    // @ts-expect-error there is no session
    Effect.runPromise(inSession(1) as Effect.Effect<User, "absent" | AgentLoopDetected, Session>)
    // @ts-expect-error the entries of a session are not those of the place where a tool is captured
    Cached.capture(inSession)
  })

  it("a tool that depends on its session - is not cached for all sessions", () => {
    const mine = (word: string) => Effect.map(ToolCache.Session, ({ id }) => id + word)
    // @ts-expect-error other sessions would get its answer
    ToolCache.read(mine, options)
    // @ts-expect-error other sessions would get its answer
    ToolCache.read(mine, { ...options, scope: "global" })
    // @ts-expect-error other sessions would get its answer
    pipe(mine, ToolCache.read(options))
    // @ts-expect-error other sessions would get its answer
    ToolCache.read(options)(mine)
    const inSession = ToolCache.read(mine, { ...options, scope: "session" })
    expectTypeOf(inSession("a")).toEqualTypeOf<Effect.Effect<string, AgentLoopDetected, CacheStore | Session>>()
    expectTypeOf(pipe(mine, ToolCache.read({ ...options, scope: "session" }))).toEqualTypeOf(inSession)
    expectTypeOf(ToolCache.read({ ...options, scope: "session" })(mine)).toEqualTypeOf(inSession)
    const looking = (word: string) => Effect.as(Effect.serviceOption(ToolCache.Session), word)
    ToolCache.read(looking, options)
  })

  it("callbacks - get the value and the arguments", () => {
    ToolCache.read(find, {
      ...options,
      ttl: (user, id) => {
        expectTypeOf(user).toEqualTypeOf<User>()
        expectTypeOf(id).toEqualTypeOf<number>()
        return 1
      },
      tags: (user, id) => [user.name, `${id}`],
      key: (id) => {
        expectTypeOf(id).toEqualTypeOf<number>()
        return `${id}`
      }
    })
  })

  it("key - a template is checked as in every policy", () => {
    expectTypeOf(ToolCache.read(find, { ...options, key: "user:{}" })).toEqualTypeOf<Found>()
    ToolCache.read(rename, { ...options, key: "user:{0}", ignore: [1] })
    // @ts-expect-error leaves out an argument
    ToolCache.read(rename, { ...options, key: "user:{0}" })
    // @ts-expect-error leaves out an argument
    ToolCache.read({ ...options, key: "user:{0}" })(rename)
    // @ts-expect-error nothing is left out of the hash of all arguments
    ToolCache.read(rename, { ...options, ignore: [1] })
  })

  it("store, onStoreError and schema - as in every policy", () => {
    const strict = ToolCache.read(find, { ...options, store: Others, onStoreError: "fail" })
    expectTypeOf(strict(1)).toEqualTypeOf<
      Effect.Effect<User, "absent" | AgentLoopDetected | CacheStoreError, Db | Others>
    >()
    const listed = ToolCache.read(search, {
      ...options,
      schema: Schema.Array(Schema.Struct({ id: Schema.Number, name: Schema.String }))
    })
    expectTypeOf(listed({ text: "", tags: [] })).toEqualTypeOf<
      Effect.Effect<ReadonlyArray<User>, AgentLoopDetected, CacheStore>
    >()
    // @ts-expect-error the schema leaves out the name
    ToolCache.read(find, { ...options, schema: Schema.Struct({ id: Schema.Number }) })
  })

  it("wrong use - does not compile", () => {
    // @ts-expect-error no name
    ToolCache.read(find, { resource: "users", ttl: 1 })
    // @ts-expect-error no resource
    ToolCache.read(find, { name: "find", ttl: 1 })
    // @ts-expect-error no ttl
    ToolCache.read(find, { name: "find", resource: "users" })
    // @ts-expect-error no such scope
    ToolCache.read(find, { ...options, scope: "user" })
    // @ts-expect-error a tool is a function
    ToolCache.read(Effect.succeed(1), options)
    // @ts-expect-error a tool returns an effect
    ToolCache.read(async (id: number) => id, options)
  })

  it("Cached.capture and Cached.invalidates - take a global tool", () => {
    const found = ToolCache.read(find, options)
    expectTypeOf(Cached.capture(found)).toEqualTypeOf<
      Effect.Effect<
        Cached.CachedFunction<[id: number], User, "absent" | AgentLoopDetected, never, never>,
        never,
        Db | CacheStore
      >
    >()
    expectTypeOf(Cached.invalidates(rename, found)).toEqualTypeOf<
      (id: number, name: string) => Effect.Effect<number, "refused", Db | CacheStore>
    >()
  })
})

describe("ToolCache.write", () => {
  type Renamed = (id: number, name: string) => Effect.Effect<number, "refused" | AgentLoopDetected, Db | CacheStore>

  it("data-first and data-last - the tool, with AgentLoopDetected and the store", () => {
    expectTypeOf(ToolCache.write(rename, { resource: "users" })).toEqualTypeOf<Renamed>()
    expectTypeOf(pipe(rename, ToolCache.write({ resource: "users", name: "rename" }))).toEqualTypeOf<Renamed>()
    expectTypeOf(ToolCache.write(rename, { resource: "users", store: Others })(1, "a")).toEqualTypeOf<
      Effect.Effect<number, "refused" | AgentLoopDetected, Db | Others>
    >()
  })

  it("wrong use - does not compile", () => {
    // @ts-expect-error no resource
    ToolCache.write(rename, {})
    // @ts-expect-error a tool is a function
    ToolCache.write(Effect.succeed(1), { resource: "users" })
    // @ts-expect-error a write is not cached
    ToolCache.write(rename, { resource: "users", ttl: 1 })
  })
})

describe("ToolCache.session", () => {
  it("data-first and data-last - provides the session and nothing else", () => {
    const agent = Effect.flatMap(ToolCache.Session, () => find(1))
    expectTypeOf(ToolCache.session(agent, { id: "s" })).toEqualTypeOf<Effect.Effect<User, "absent", Db>>()
    expectTypeOf(agent.pipe(ToolCache.session({ id: "s", onLoop: "warn" }))).toEqualTypeOf<
      Effect.Effect<User, "absent", Db>
    >()
  })

  it("wrong options - do not compile", () => {
    // @ts-expect-error no id
    ToolCache.session(Effect.void, {})
    // @ts-expect-error no such way
    ToolCache.session(Effect.void, { id: "s", onLoop: "ignore" })
  })

  it("Session - has the id and the counts by tool", () => {
    expectTypeOf<Context.Tag.Service<typeof ToolCache.Session>["counts"]>().toEqualTypeOf<
      Effect.Effect<Readonly<Partial<Record<string, Types.ToolCounts>>>>
    >()
  })
})
