/**
 * The tools of AI agents: functions that are cached, or that invalidate, and whose calls a session counts.
 *
 * A cached tool is a cached function with one more argument in front: the call, which is no part of the key. It leads a
 * load to the session that it runs for, also where `Cached.capture` has replaced the services of the caller.
 *
 * `any` stands for the arguments and values of tools, whose types `ToolCache` has checked.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { AgentLoopDetected, InvalidOption } from "../../CacheError.js"
import * as Key from "../../Key.js"
import type { Captured } from "../engine/definition.js"
import { withMode } from "../engine/mode.js"
import { hashValue } from "../keyHash.js"
import { Caller } from "./agentSession.js"
import { asFunction, CaptureId, refusePartition, Spec, type SpecOptions } from "./cached.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>
type AnyEffect = Effect.Effect<any, any, any>
type Args = ReadonlyArray<unknown>
type Tool = (...args: Args) => AnyEffect

/** The tag of the session: `ToolCache.Session`, with its callers. */
export type SessionTag = Context.Tag<any, any>

export interface ReadOptions extends Omit<SpecOptions, "key"> {
  readonly name: string
  readonly resource: string
  readonly key?: SpecOptions["key"] | undefined
  readonly scope?: "global" | "session" | undefined
}

export interface WriteOptions {
  readonly resource: string
  readonly name?: string | undefined
}

/** One call of a tool. */
class Call {
  readonly caller: Caller | undefined
  private readonly tool: string
  /** Whether this call ran the tool, and did not join the run of another one. */
  hasRun = false
  private made: string | undefined = undefined

  constructor(tool: string, caller: Caller | undefined) {
    this.tool = tool
    this.caller = caller
  }

  /** The key of its arguments, which is made once. */
  key(make: () => string): string {
    this.made ??= make()
    return this.made
  }

  /** Runs the tool. What it calls is called by this run. */
  run(tag: SessionTag, tool: Tool, args: Args): AnyEffect {
    this.hasRun = true
    const { caller } = this
    if (caller === undefined) return tool(...args)
    caller.session.countsOf(this.tool).runs++
    return Effect.provideService(tool(...args), tag, caller.within(this.tool))
  }
}

const callerOf = (fiber: AnyFiber, tag: SessionTag): Caller | undefined => {
  const found = fiber.currentContext.unsafeMap.get(tag.key)
  return found instanceof Caller ? found : undefined
}

const checkText = (option: string, text: unknown, of: string): void => {
  if (typeof text !== "string" || text === "") throw new InvalidOption({ option, of, detail: "is not a text" })
}

/** What becomes of a call: it proceeds, unless it is part of a loop that the session does not let pass. */
const guarded = (
  { session }: Caller,
  loop: AgentLoopDetected | undefined,
  { proceed, stored }: { readonly proceed: AnyEffect; readonly stored: AnyEffect }
): AnyEffect => {
  if (loop === undefined) return proceed
  switch (session.onLoop) {
    case "warn":
      return session.isNew(loop) ? Effect.zipRight(Effect.logWarning(loop.message), proceed) : proceed
    case "shortCircuit":
      return Effect.flatMap(stored, Option.match({ onNone: () => Effect.fail(loop), onSome: Effect.succeed }))
    default:
      return Effect.fail(loop)
  }
}

// ----------------------------------------------------------------------------------------------------------------- read

interface ReadTool {
  readonly name: string
  readonly isOfSession: boolean
  readonly tag: SessionTag
}

/** The specification behind a cached tool, whose first argument is the call. */
const specOf = (tool: Tool, options: ReadOptions, { isOfSession, name, tag }: ReadTool, storeKey: string): Spec => {
  const { ignore, key, resource, scope: _, tags, ttl, ...others } = options
  checkText("resource", resource, name)
  const keys = key === undefined ? undefined : new Spec(tool, { key, ignore, name }, "options", storeKey, undefined)
  const keyOf = (args: Args): string =>
    keys === undefined ? `tool:${Key.part(name)}:${hashValue(args)}` : keys.physicalKey(args)
  const withCall =
    <A>(f: (value: unknown, ...args: Args) => A) =>
    (value: unknown, _call: unknown, ...args: Args) =>
      f(value, ...args)
  return new Spec(
    (call: Call, ...args: Args) => call.run(tag, tool, args),
    {
      ...others,
      ttl: typeof ttl === "function" ? withCall(ttl) : ttl!,
      tags:
        typeof tags === "function"
          ? withCall((value, ...args) => [resource, ...tags(value, ...args)])
          : [resource, ...(tags ?? [])],
      key: (call, ...args) =>
        (call as Call).key(() => {
          const key = keyOf(args)
          return isOfSession ? `session:${(call as Call).caller!.session.nonce}:${key}` : key
        })
    },
    "options",
    storeKey,
    undefined
  )
}

/** The cached tool of a specification. */
const toolOf = (spec: Spec, tool: ReadTool): unknown => {
  const { isOfSession, name, tag } = tool
  const cached = asFunction(spec) as ReturnType<typeof asFunction> & Record<string, any>

  /** Makes the call of a fiber. The entry of a session is noted by its session, which removes it at its end. */
  const callIn = (fiber: AnyFiber, args: Args): Call => {
    const caller = callerOf(fiber, tag)
    const call = new Call(name, caller)
    if (!isOfSession) return call
    if (caller === undefined) {
      throw new Error(
        `Service not found: ${tag.key}: the tool ${name} caches per session. Run the agent in ToolCache.session({ id })`
      )
    }
    if (!caller.session.isEnded) {
      caller.session.hold(spec.engine(spec.context(fiber)), spec.physicalKey([call, ...args]), name)
    }
    return call
  }

  /** Runs a member of the cached function, which is no call of the agent. */
  const member =
    (name: "invalidate" | "expire" | "refresh" | "peek" | "entry") =>
    (...args: Args) =>
      Effect.withFiberRuntime((fiber) => cached[name](callIn(fiber, args), ...args))

  /**
   * Reads. A load that another session runs may fail by a loop of that session, which is no loop of this one: it reads
   * again, until it joins a load without one or runs the tool itself. Each load that fails ends a call of its session, so
   * it reads at most once for each of the calls beside it.
   */
  const read = (call: Call, args: Args): AnyEffect =>
    Effect.catchAll(cached(call, ...args), (error) =>
      error instanceof AgentLoopDetected && !call.hasRun ? read(call, args) : Effect.fail(error)
    )

  const counted = (call: Call, caller: Caller, args: Args): AnyEffect => {
    const answer = Effect.tap(read(call, args), () => {
      if (!call.hasRun) caller.session.countsOf(name).hits++
      return Effect.void
    })
    // what outlives its session leaves nothing behind
    return isOfSession && caller.session.isEnded ? withMode(answer, "bypass") : answer
  }

  /** The stored value, for a call that is part of a loop. */
  const stored = (call: Call, caller: Caller, args: Args): AnyEffect =>
    Effect.tap(cached.peek(call, ...args), (found: Option.Option<unknown>) => {
      if (Option.isSome(found)) caller.session.countsOf(name).hits++
      return Effect.void
    })

  const reads = (...args: Args) =>
    Effect.withFiberRuntime<any, any, any>((fiber) => {
      const call = callIn(fiber, args)
      const { caller } = call
      if (caller === undefined) return read(call, args)
      const loop = caller.enter(name, spec.physicalKey([call, ...args]), args)
      return guarded(caller, loop, { proceed: counted(call, caller, args), stored: stored(call, caller, args) })
    })

  return Object.assign(reads, {
    key: isOfSession
      ? (...args: Args) =>
          Effect.withFiberRuntime((fiber) => Effect.succeed(spec.physicalKey([callIn(fiber, args), ...args])))
      : (...args: Args) => spec.physicalKey([new Call(name, undefined), ...args]),
    invalidate: member("invalidate"),
    expire: member("expire"),
    refresh: member("refresh"),
    peek: member("peek"),
    entry: member("entry"),
    set:
      (...args: Args) =>
      (value: unknown) =>
        Effect.withFiberRuntime((fiber) => cached.set(callIn(fiber, args), ...args)(value)),
    clear: spec.clear,
    expireAll: spec.expireAll,
    stats: spec.stats,
    [CaptureId]: (captured: Captured) => toolOf(spec.capturedAt(captured), tool)
  })
}

/** `ToolCache.read`. */
export const read = (tool: Tool, options: ReadOptions, tag: SessionTag, storeKey: string): unknown => {
  const { name, scope = "global" } = options
  checkText("name", name, "ToolCache.read")
  refusePartition(options, name)
  if (scope !== "global" && scope !== "session") {
    throw new InvalidOption({ option: "scope", of: name, detail: 'is not "global" or "session"' })
  }
  const read: ReadTool = { name, isOfSession: scope === "session", tag }
  return toolOf(specOf(tool, options, read, storeKey), read)
}

// ---------------------------------------------------------------------------------------------------------------- write

/** The identity of a call, by which it is compared with others. Arguments that have no hash cannot be compared. */
const identityOf = (args: Args): string | undefined => {
  try {
    return hashValue(args)
  } catch {
    return undefined
  }
}

/** What is stored of a write. */
const none: AnyEffect = Effect.succeedNone

/** `ToolCache.write`. `invalidate` invalidates the resource. */
export const write = (
  tool: Tool,
  options: WriteOptions,
  tag: SessionTag,
  invalidate: Effect.Effect<void, never, any>
): unknown => {
  checkText("resource", options.resource, "ToolCache.write")
  const name = options.name ?? (tool.name === "" ? options.resource : tool.name)
  return (...args: Args) =>
    Effect.withFiberRuntime<any, any, any>((fiber) => {
      const caller = callerOf(fiber, tag)
      const call = new Call(name, caller)
      const run = Effect.suspend(() => call.run(tag, tool, args))
      const proceed = Effect.zipRight(invalidate, Effect.ensuring(run, invalidate))
      if (caller === undefined) return proceed
      return guarded(caller, caller.enter(name, identityOf(args), args), { proceed, stored: none })
    })
}
