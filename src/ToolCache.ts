/**
 * The tools of AI agents, cached. A tool is a function that returns an effect: `read` caches one that reads, `write`
 * makes one that changes something invalidate what was read, and `session` counts the calls of an agent and detects its
 * loops.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { MemoryCacheLive, ToolCache } from "effect-cached"
 *
 * const notes = new Map([["a", "first"]])
 *
 * const readNote = ToolCache.read((id: string) => Effect.sync(() => notes.get(id)), {
 *   name: "readNote",
 *   resource: "notes",
 *   ttl: "5 minutes"
 * })
 * const writeNote = ToolCache.write((id: string, text: string) => Effect.sync(() => notes.set(id, text).size), {
 *   name: "writeNote",
 *   resource: "notes"
 * })
 *
 * const agent = Effect.gen(function* () {
 *   yield* readNote("a") // runs the tool
 *   yield* readNote("a") // from the cache
 *   yield* writeNote("a", "second")
 *   return yield* readNote("a") // "second"
 * })
 *
 * agent.pipe(ToolCache.session({ id: "chat-1" }), Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @since 0.2.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Cached from "./Cached.js"
import type { AgentLoopDetected, CacheStoreError } from "./CacheError.js"
import type { FunctionStats } from "./CacheStats.js"
import { CacheStore } from "./CacheStore.js"
import type * as Entry from "./Entry.js"
import { AgentSession, Caller, type SessionOptions, type ToolCounts } from "./internal/cached/agentSession.js"
import type {
  AnySchema,
  Checked,
  CheckedKey,
  Kept,
  KeyInput,
  NoArgument,
  OnStoreError,
  Stored
} from "./internal/cached/checks.js"
import type { ArgsOf, LookupFunction, ValueOf } from "./internal/cached/lookup.js"
import * as Tools from "./internal/cached/tools.js"
import type * as Key from "./Key.js"

export type { OnLoop, SessionOptions, ToolCounts } from "./internal/cached/agentSession.js"
export type { LookupFunction as Tool } from "./internal/cached/lookup.js"

/**
 * The session of an agent, which `ToolCache.session` provides. A tool with `scope: "session"` requires it.
 *
 * @category services
 * @since 0.2.0
 */
export class Session extends /*#__PURE__*/ Context.Tag("effect-cached/ToolCache/Session")<
  Session,
  {
    /** The id that the session was given. */
    readonly id: string
    /** The counts of the tools that were called in this session, by their names. */
    readonly counts: Effect.Effect<Readonly<Partial<Record<string, ToolCounts>>>>
  }
>() {}

/**
 * A cached tool with `scope: "session"`: a cached function whose entries belong to the session that it is called in. Its
 * members act on the entry of the current session. `clear` is the exception: it invalidates those of all sessions.
 *
 * @category models
 * @since 0.2.0
 */
export interface SessionFunction<in out Args extends ReadonlyArray<any>, in out A, out E, out R, out S> {
  (...args: Args): Effect.Effect<A, E, R>
  /** The key of these arguments in this session, the version included, without the store's prefix. */
  readonly key: (...args: Args) => Effect.Effect<string, never, S>
  /** Removes the entry, for every process: the next read loads. A load that is running stores nothing. */
  readonly invalidate: (...args: Args) => Effect.Effect<void, Extract<E, CacheStoreError>, S>
  /**
   * Makes the entry stale from now on, for every process: `staleIfError` may still serve it, and otherwise it is removed.
   * A load that is running stores nothing.
   */
  readonly expire: (...args: Args) => Effect.Effect<void, Extract<E, CacheStoreError>, S>
  /** Runs the tool after the call, stores its value and returns it. It is no call of the agent. */
  readonly refresh: (...args: Args) => Effect.Effect<A, E, R>
  /** The stored value. Never runs the tool. */
  readonly peek: (...args: Args) => Effect.Effect<Option.Option<A>, Extract<E, CacheStoreError>, S>
  /** The stored value with its state and times. Never runs the tool. */
  readonly entry: (...args: Args) => Effect.Effect<Option.Option<Entry.View<A>>, Extract<E, CacheStoreError>, S>
  /** Stores a value as if the tool had returned it just now. A load that is running stores nothing. */
  readonly set: (...args: Args) => (value: A) => Effect.Effect<void, Extract<E, CacheStoreError>, S>
  /** The numbers of this tool in the store, of all sessions. */
  readonly stats: Effect.Effect<FunctionStats, never, Exclude<S, Session>>
  /** Invalidates every entry of this tool, those of all sessions, for every process. */
  readonly clear: Effect.Effect<void, Extract<E, CacheStoreError>, Exclude<S, Session>>
  /** Makes every entry of this tool stale from now on, those of all sessions, for every process. */
  readonly expireAll: Effect.Effect<void, Extract<E, CacheStoreError>, Exclude<S, Session>>
}

/**
 * The options of `ToolCache.read`: those of `Cached.ttl`, except that the key has a default.
 *
 * @category models
 * @since 0.2.0
 */
export interface ReadOptions<
  Args extends ReadonlyArray<any>,
  A,
  K = KeyInput,
  S = CacheStore,
  F = "miss",
  V = A,
  I = never,
  Sch = Schema.Schema<A, any>
> extends Omit<Cached.TtlOptions<Args, A, K, S, F, V, I, Sch>, "key"> {
  /** The name of the tool: in `AgentLoopDetected`, in the counts of a session, in metrics, and as owner of its entries. */
  readonly name: string
  /**
   * What the tool reads. It is a tag of its entries: `ToolCache.write` with the same resource invalidates them, and so
   * does `Cached.invalidateTags([resource])`.
   */
  readonly resource: string
  /** The key, as in `Cached.ttl`. Default: `Key.hash` of all arguments. */
  readonly key?: CheckedKey<K, Args, I> | undefined
}

/**
 * The scope of a tool.
 *
 * @category models
 * @since 0.2.0
 */
export interface AnyScope<Sc> {
  /**
   * Who shares the entries. With `"global"` (the default) all callers of all sessions do. With `"session"` those of one
   * session do: the tool then requires `ToolCache.Session`.
   */
  readonly scope?: Sc | undefined
}

/**
 * The required scope of a tool that depends on its session: with `"global"`, other sessions would get what it has returned
 * for this one. A tool that only looks whether there is a session uses `Effect.serviceOption(ToolCache.Session)`.
 *
 * @category models
 * @since 0.2.0
 */
export interface SessionRequired {
  /** Who shares the entries: the calls of one session. */
  readonly scope: "session"
}

/**
 * The options of `ToolCache.write`.
 *
 * @category models
 * @since 0.2.0
 */
export interface WriteOptions<S = CacheStore> {
  /** What the tool changes: the `resource` of the tools that read it. */
  readonly resource: string
  /**
   * The name of the tool in `AgentLoopDetected` and in the counts of a session. Default: the name of the function, or the
   * resource if it has none.
   */
  readonly name?: string | undefined
  /** The tag of the store. Default: `CacheStore`. */
  readonly store?: Context.Tag<S, CacheStore.Service> | undefined
}

// These stay here, not exported, and `any` stands in them where every type has to fit: see `Cached`.

/** Acts as `NoInfer`, but disappears when it is instantiated. */
type Fix<T> = [T][T extends any ? 0 : never]

type StoreError<F> = F extends "fail" ? CacheStoreError : never

/** The options that depend on the tool, and no others. */
type Dependent<O> = {
  [P in keyof O as O[P] extends ((...args: any) => any) | AnySchema ? Exclude<P, "key"> : never]: O[P]
}

type Scoping = "global" | "session"

type ContextOf<L> = L extends (...args: any) => Effect.Effect<any, any, infer R> ? R : never

type NeedsSession<L> = 0 extends 1 & ContextOf<L> ? false : Session extends ContextOf<L> ? true : false

/** What the options of a tool must have besides: one that depends on its session is cached per session. */
type ScopeFor<L, Sc> = NeedsSession<L> extends true ? SessionRequired : AnyScope<Sc>

/** The key of a tool that is given none. */
type AllArguments = (...args: any) => string

/**
 * The cached tool that `ToolCache.read` makes of a tool. `S` is the tag of the store, `F` the option `onStoreError`,
 * `Sch` the schema, `Sc` the scope.
 *
 * @category models
 * @since 0.2.0
 */
export type ReadTool<L, S, F, Sch, Sc> = L extends (
  ...args: infer Args extends ReadonlyArray<any>
) => Effect.Effect<infer A, infer E, infer R>
  ? Sc extends "session"
    ? SessionFunction<
        Args,
        Stored<A, Sch>,
        E | AgentLoopDetected | StoreError<F>,
        Exclude<R, Scope.Scope> | S | Session,
        S | Session
      >
    : Cached.CachedFunction<Args, Stored<A, Sch>, E | AgentLoopDetected | StoreError<F>, Exclude<R, Scope.Scope> | S, S>
  : never

/** What waits for its tool. If none can be inferred yet, the options are checked when it is passed. */
type ReadLast<L, K, S, F, I, Sch, Sc, O> = LookupFunction extends L
  ? <L2 extends LookupFunction>(
      tool: NeedsSession<L2> extends true
        ? Sc extends "session"
          ? Checked<L2, K, I, Dependent<O>>
          : 'this tool depends on its session: cache it with scope: "session"'
        : Checked<L2, K, I, Dependent<O>>,
      ...none: Array<NoArgument>
    ) => ReadTool<L2, S, F, Sch, Sc>
  : (tool: L, ...none: Array<NoArgument>) => ReadTool<L, S, F, Sch, Sc>

/**
 * The tool that `ToolCache.write` makes of a tool.
 *
 * @category models
 * @since 0.2.0
 */
export type WriteTool<L, S> = L extends (
  ...args: infer Args extends ReadonlyArray<any>
) => Effect.Effect<infer A, infer E, infer R>
  ? (...args: Args) => Effect.Effect<A, E | AgentLoopDetected, R | S>
  : never

/**
 * Caches a tool that reads, as `Cached.ttl` caches a lookup. In a session its calls are counted, and a call that is part
 * of a loop fails with `AgentLoopDetected`.
 *
 * **Details**
 *
 * The key is made of all arguments by `Key.hash`, so that every argument counts, whatever its type. Arguments that have
 * no hash, such as an instance of a class, need a `key`.
 *
 * With `scope: "session"` an entry belongs to one session and ends with it: memory frees it at the end of the session, and
 * other stores when its `ttl` is over.
 *
 * Accepts the tool first or last: `ToolCache.read(tool, options)` or `pipe(tool, ToolCache.read(options))`.
 *
 * **Gotchas**
 *
 * A global entry is for all users of the agent. If the answer of a tool depends on its user, and no argument says who that
 * is, use `scope: "session"`. A tool that requires `ToolCache.Session` compiles with that scope only.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { MemoryCacheLive, ToolCache } from "effect-cached"
 *
 * const searchMail = ToolCache.read(
 *   (query: { readonly text: string; readonly limit: number }) => Effect.succeed([`mail about ${query.text}`]),
 *   { name: "searchMail", resource: "mail", ttl: "5 minutes", scope: "session" }
 * )
 *
 * const agent = searchMail({ text: "invoices", limit: 10 })
 *
 * agent.pipe(ToolCache.session({ id: "chat-1" }), Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const read: {
  <
    L extends LookupFunction,
    const K extends KeyInput = AllArguments,
    const I extends Key.Ignorable<K, ArgsOf<L>> = never,
    Sch extends AnySchema = never,
    S = CacheStore,
    F extends OnStoreError = "miss",
    const Sc extends Scoping = "global",
    O = {}
  >(
    options: ReadOptions<ArgsOf<L>, ValueOf<L>, K, S, F, Stored<ValueOf<L>, Sch>, I, Sch> & ScopeFor<L, Sc> & Kept<O>
  ): ReadLast<L, K, Fix<S>, Fix<F>, I, Sch, Fix<Sc>, O>
  <
    L extends LookupFunction,
    const K extends KeyInput = AllArguments,
    const I extends Key.Ignorable<K, ArgsOf<L>> = never,
    Sch extends AnySchema = never,
    S = CacheStore,
    F extends OnStoreError = "miss",
    const Sc extends Scoping = "global"
  >(
    tool: L,
    options: ReadOptions<ArgsOf<L>, ValueOf<L>, K, S, F, Stored<ValueOf<L>, Sch>, I, Sch> & ScopeFor<L, Sc>
  ): ReadTool<L, Fix<S>, Fix<F>, Sch, Fix<Sc>>
} = (...args: ReadonlyArray<any>): any =>
  args.length === 1 ? (tool: any) => readTool(tool, args[0]) : readTool(args[0], args[1])

const readTool = (tool: any, options: any): unknown =>
  Tools.read(tool, options, Session, (options.store ?? CacheStore).key)

/**
 * Makes a tool that changes something invalidate what tools of the same `resource` have read: before it runs, whatever
 * becomes of it, and again when it ends, because a read in between stores the old value.
 *
 * **Details**
 *
 * It invalidates the entries of every function with that tag, of all sessions, in every process. The second invalidation
 * follows a success, a failure, a defect and an interruption. Neither fails the tool: while a store is away, both apply in
 * this process and are delivered when it is back.
 *
 * In a session its calls are counted. A call that is part of a loop does not run the tool and invalidates nothing; there
 * is no stored value of it, so `onLoop: "shortCircuit"` does what `"fail"` does.
 *
 * Accepts the tool first or last.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { MemoryCacheLive, ToolCache } from "effect-cached"
 *
 * const sendMail = ToolCache.write((to: string, text: string) => Effect.succeed(`sent ${text.length} to ${to}`), {
 *   name: "sendMail",
 *   resource: "mail"
 * })
 *
 * sendMail("ada@example.org", "Hello").pipe(Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const write: {
  <S = CacheStore>(options: WriteOptions<S>): <L extends LookupFunction>(tool: L) => WriteTool<L, Fix<S>>
  <L extends LookupFunction, S = CacheStore>(tool: L, options: WriteOptions<S>): WriteTool<L, Fix<S>>
} = (...args: ReadonlyArray<any>): any =>
  args.length === 1 ? (tool: any) => writeTool(tool, args[0]) : writeTool(args[0], args[1])

const writeTool = (tool: any, options: WriteOptions<any>): unknown =>
  Tools.write(tool, options, Session, Cached.invalidateTags([options.resource], { store: options.store }))

/**
 * Runs an agent in a session of its own: counts the calls of its tools, detects loops among them, and keeps what tools
 * with `scope: "session"` have read for this agent alone.
 *
 * **Details**
 *
 * Every run is a new session, whatever its id. A session within a session replaces it. The sessions of agents that run at
 * once do not see each other.
 *
 * A call is part of a loop if the same tool was called with the same arguments more than `maxRepeats` times; if it is the
 * fourth of two calls that take turns (A, B, A, B); or if `maxDepth` tools run around it. Calls that the cache answers
 * count. What a tool calls while it runs is compared with other calls of that run only.
 *
 * At the end, memory frees the last 10 000 entries of the session. Other stores keep them until their `ttl` is over; no
 * later session finds them.
 *
 * @example
 * ```ts
 * import { Console, Effect } from "effect"
 * import { MemoryCacheLive, ToolCache } from "effect-cached"
 *
 * const lookUp = ToolCache.read((word: string) => Effect.succeed(word.length), {
 *   name: "lookUp",
 *   resource: "dictionary",
 *   ttl: "1 hour"
 * })
 *
 * const agent = Effect.gen(function* () {
 *   for (let i = 0; i < 5; i++) yield* lookUp("cache")
 *   const error = yield* Effect.flip(lookUp("cache"))
 *   yield* Console.log(error.reason) // Repeated
 *   const session = yield* ToolCache.Session
 *   yield* Console.log(JSON.stringify(yield* session.counts))
 *   // {"lookUp":{"calls":6,"hits":4,"runs":1,"loops":1}}
 * })
 *
 * agent.pipe(ToolCache.session({ id: "chat-1" }), Effect.provide(MemoryCacheLive), Effect.runPromise)
 * ```
 *
 * @category combinators
 * @since 0.2.0
 */
export const session: {
  (options: SessionOptions): <A, E, R>(agent: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, Session>>
  <A, E, R>(agent: Effect.Effect<A, E, R>, options: SessionOptions): Effect.Effect<A, E, Exclude<R, Session>>
} = (...args: ReadonlyArray<any>): any =>
  args.length === 1 ? (agent: Effect.Effect<unknown>) => inSession(agent, args[0]) : inSession(args[0], args[1])

const inSession = <A, E, R>(agent: Effect.Effect<A, E, R>, options: SessionOptions) =>
  Effect.suspend(() => {
    const session = new AgentSession(options)
    return Effect.ensuring(
      Effect.provideService(agent, Session, new Caller(session)),
      Effect.sync(() => session.end())
    )
  })
