/**
 * Caches the handlers of an `@effect/ai` toolkit, as `ToolCache` caches functions.
 *
 * ```ts
 * import { Tool, Toolkit } from "@effect/ai"
 * import { Effect, Layer, Schema } from "effect"
 * import { MemoryCacheLive } from "effect-cached"
 * import * as AiToolkit from "effect-cached/AiToolkit"
 *
 * const Weather = Toolkit.make(
 *   Tool.make("GetWeather", {
 *     parameters: { city: Schema.String },
 *     success: Schema.String,
 *     failure: AiToolkit.AgentLoop,
 *     failureMode: "return"
 *   })
 * )
 *
 * const WeatherLive = Weather.toLayer(
 *   AiToolkit.cached(
 *     Weather,
 *     { GetWeather: ({ city }) => Effect.succeed(`sunny in ${city}`) },
 *     { GetWeather: { reads: "weather", ttl: "5 minutes" } }
 *   )
 * ).pipe(Layer.provide(MemoryCacheLive))
 *
 * Effect.void.pipe(Effect.provide(WeatherLive), Effect.runPromise)
 * ```
 *
 * @since 0.2.0
 */
import type * as Tool from "@effect/ai/Tool"
import type * as Toolkit from "@effect/ai/Toolkit"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { AgentLoopDetected } from "./CacheError.js"
import type { CacheStore } from "./CacheStore.js"
import * as ToolCache from "./ToolCache.js"

/**
 * The schema of `AgentLoopDetected`, for the `failure` of a tool. A model that gets the failure reads its message. What is
 * decoded has neither the arguments nor the session, because neither is encoded.
 *
 * @category schemas
 * @since 0.2.0
 */
export const AgentLoop: Schema.Schema<
  AgentLoopDetected,
  {
    readonly _tag: "AgentLoopDetected"
    readonly reason: "Repeated" | "Alternating" | "TooDeep"
    readonly tools: ReadonlyArray<string>
    readonly limit: number
    readonly message: string
  }
> = /*#__PURE__*/ (() =>
  Schema.transform(
    Schema.TaggedStruct("AgentLoopDetected", {
      reason: Schema.Literal("Repeated", "Alternating", "TooDeep"),
      tools: Schema.Array(Schema.String),
      limit: Schema.Number,
      message: Schema.String
    }),
    Schema.instanceOf(AgentLoopDetected),
    {
      strict: true,
      decode: ({ limit, reason, tools }) => new AgentLoopDetected({ reason, tools, limit, args: [], session: "" }),
      encode: ({ _tag, limit, message, reason, tools }) => ({ _tag, reason, tools, limit, message })
    }
  ))()

/**
 * What becomes of a loop: a failure of the tool, or a defect, which ends the agent. A tool whose `failure` contains
 * `AgentLoop` fails with `AgentLoopDetected` by default; every other one has to say it.
 *
 * @category models
 * @since 0.2.0
 */
export type OnLoop<T> =
  AgentLoopDetected extends Tool.Failure<T>
    ? { readonly onLoop?: "die" | ((loop: AgentLoopDetected) => Tool.Failure<T>) | undefined }
    : { readonly onLoop: "die" | ((loop: AgentLoopDetected) => Tool.Failure<T>) }

/**
 * The schema of the values that a tool caches. Default: its success schema, unless that requires services.
 *
 * @category models
 * @since 0.2.0
 */
export type ValueSchema<T> = [Schema.Schema.Context<Tool.SuccessSchema<T>>] extends [never]
  ? { readonly schema?: Schema.Schema<Tool.Success<T>, any> | undefined }
  : { readonly schema: Schema.Schema<Tool.Success<T>, any> }

/**
 * Who shares the results of a tool. A tool with `ToolCache.Session` among its dependencies is cached per session, because
 * other sessions would get what it has returned for one. Every other one is cached for all of them.
 *
 * @category models
 * @since 0.2.0
 */
export type ScopeOf<T> =
  ToolCache.Session extends Tool.Requirements<T>
    ? ToolCache.SessionRequired
    : ToolCache.AnyScope<"global" | "for a session, add ToolCache.Session to the dependencies of this tool">

/**
 * A tool that reads: its results are cached. The options are those of `ToolCache.read`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Reads<T> {
  /** What the tool reads: the `resource` of `ToolCache.read`. */
  readonly reads: string
  /** How long a result is fresh: a duration, or a function of the result and the parameters. */
  readonly ttl:
    | Duration.DurationInput
    | ((value: Tool.Success<T>, params: Tool.Parameters<T>) => Duration.DurationInput)
  /**
   * The name of the function: its label in metrics and the owner of its entries. Two toolkits with tools of one name need
   * one each, because they would share entries. Default: the name of the tool.
   */
  readonly name?: string | undefined
  /** The key. Default: the name of the tool and `Key.hash` of its parameters. */
  readonly key?: ((params: Tool.Parameters<T>) => string) | undefined
  /** Further tags. Default: none. */
  readonly tags?:
    | ReadonlyArray<string>
    | ((value: Tool.Success<T>, params: Tool.Parameters<T>) => ReadonlyArray<string>)
    | undefined
  /** Part of the key. Change it when the meaning of the result changes. Default: no version. */
  readonly version?: string | number | undefined
  readonly writes?: undefined
}

/**
 * A tool that changes something, and invalidates what tools of the same resource have read.
 *
 * @category models
 * @since 0.2.0
 */
export interface Writes {
  /** What the tool changes: the `resource` of `ToolCache.write`. */
  readonly writes: string
  readonly reads?: undefined
}

/**
 * How one tool is cached.
 *
 * @category models
 * @since 0.2.0
 */
export type Policy<T> = ((Reads<T> & ScopeOf<T> & ValueSchema<T>) | Writes) & OnLoop<T>

/**
 * The policies of the tools of a toolkit, by their names. A tool without one is neither cached nor counted.
 *
 * @category models
 * @since 0.2.0
 */
export type Policies<Tools extends Record<string, Tool.Any>> = {
  readonly [Name in keyof Toolkit.HandlersFrom<Tools>]?: Policy<Tools[Name]>
}

/**
 * The handlers of a toolkit, which may require services that its tools do not declare: `any` stands for these.
 *
 * @category models
 * @since 0.2.0
 */
export type Handlers<Tools extends Record<string, Tool.Any>> = {
  readonly [Name in keyof Toolkit.HandlersFrom<Tools>]: (
    params: Tool.Parameters<Tools[Name]>
  ) => Effect.Effect<Tool.Success<Tools[Name]>, Tool.Failure<Tools[Name]>, any>
}

/** What the handlers require beyond the dependencies of their tools, which a call provides. */
type Beyond<Tools extends Record<string, Tool.Any>, H> = {
  [Name in keyof H & keyof Tools]: H[Name] extends (params: any) => Effect.Effect<any, any, infer R>
    ? Exclude<R, Tool.Requirements<Tools[Name]> | Scope.Scope>
    : never
}[keyof H & keyof Tools]

/**
 * Caches the handlers of a toolkit: gives the effect of handlers that `toolkit.toLayer` and `toolkit.toContext` take.
 *
 * **Details**
 *
 * The handlers get the services of the place where this effect runs, and those of each call, which count first. A call
 * within `ToolCache.session` is counted there, and may be part of a loop.
 *
 * A result that is not in memory is encoded by the success schema of its tool.
 *
 * @example
 * ```ts
 * import { Tool, Toolkit } from "@effect/ai"
 * import { Effect, Layer, Schema } from "effect"
 * import { MemoryCacheLive, ToolCache } from "effect-cached"
 * import * as AiToolkit from "effect-cached/AiToolkit"
 *
 * const Notes = Toolkit.make(
 *   Tool.make("ReadNote", { parameters: { id: Schema.String }, success: Schema.String }),
 *   Tool.make("WriteNote", { parameters: { id: Schema.String, text: Schema.String } })
 * )
 *
 * const notes = new Map([["a", "first"]])
 *
 * const NotesLive = Notes.toLayer(
 *   AiToolkit.cached(
 *     Notes,
 *     {
 *       ReadNote: ({ id }) => Effect.sync(() => notes.get(id) ?? ""),
 *       WriteNote: ({ id, text }) => Effect.sync(() => void notes.set(id, text))
 *     },
 *     {
 *       ReadNote: { reads: "notes", ttl: "5 minutes", onLoop: "die" },
 *       WriteNote: { writes: "notes", onLoop: "die" }
 *     }
 *   )
 * ).pipe(Layer.provide(MemoryCacheLive))
 *
 * const agent = Effect.gen(function* () {
 *   const { handle } = yield* Notes // a language model does this
 *   yield* handle("ReadNote", { id: "a" })
 *   yield* handle("WriteNote", { id: "a", text: "second" })
 *   return yield* handle("ReadNote", { id: "a" }) // "second"
 * })
 *
 * agent.pipe(
 *   ToolCache.session({ id: "chat-1" }),
 *   Effect.provide(NotesLive),
 *   Effect.runPromise
 * )
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const cached = <Tools extends Record<string, Tool.Any>, const H extends Handlers<Tools>, S = CacheStore>(
  toolkit: Toolkit.Toolkit<Tools>,
  handlers: H,
  policies: Policies<Tools>,
  options?: {
    /** The tag of the store. Default: `CacheStore`. */
    readonly store?: Context.Tag<S, CacheStore.Service> | undefined
  }
): Effect.Effect<Toolkit.HandlersFrom<Tools>, never, Beyond<Tools, H> | S> =>
  Effect.map(Effect.context<any>(), (context) => {
    // a session is that of a call
    const captured = Context.omit(ToolCache.Session)(context as Context.Context<ToolCache.Session>)
    const toolOf = (name: string, handler: Handler): Handler => {
      const policy = policies[name as keyof typeof policies]
      const cached =
        policy === undefined ? handler : cachedHandler(toolkit.tools[name]!, handler, policy as AnyPolicy, options)
      return (params) =>
        Effect.mapInputContext(cached(params), (input: Context.Context<any>) => Context.merge(captured, input))
    }
    return Object.fromEntries(
      Object.entries<Handler>(handlers as never).map(([name, handler]) => [name, toolOf(name, handler)])
    ) as never
  }) as never

type Handler = (params: unknown) => Effect.Effect<any, any, any>
type AnyReads = Reads<any> & ToolCache.AnyScope<"global">
type AnyPolicy = (AnyReads | Writes) & {
  readonly onLoop?: "die" | ((loop: AgentLoopDetected) => unknown) | undefined
}

/** The handler of one tool under its policy. */
const cachedHandler = (
  tool: Tool.Any,
  handler: Handler,
  { onLoop, ...policy }: AnyPolicy,
  options: { readonly store?: Context.Tag<any, CacheStore.Service> | undefined } | undefined
): Handler => {
  const store = options?.store
  const call: Handler = isWrite(policy)
    ? ToolCache.write(handler, { resource: policy.writes, name: tool.name, store })
    : readHandler(tool, handler, policy, store)
  if (onLoop === undefined) return call
  return (params) =>
    Effect.catchIf(
      call(params),
      (error) => error instanceof AgentLoopDetected,
      (loop) => (onLoop === "die" ? Effect.die(loop) : Effect.suspend(() => Effect.fail(onLoop(loop as never))))
    )
}

const isWrite = (policy: AnyReads | Writes): policy is Writes => policy.writes !== undefined

const readHandler = (
  tool: Tool.Any,
  handler: Handler,
  { reads, writes: _, ...options }: AnyReads,
  store: Context.Tag<any, CacheStore.Service> | undefined
): Handler =>
  ToolCache.read(handler, {
    schema: tool.successSchema as Schema.Schema<any, any>,
    ...options,
    name: options.name ?? tool.name,
    resource: reads,
    store
  })
