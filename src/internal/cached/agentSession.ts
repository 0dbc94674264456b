/**
 * The session of an agent: it counts the calls of its tools, finds loops among them, and removes from memory what was
 * cached for it alone.
 */
import { randomBytes } from "@noble/hashes/utils.js"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import { AgentLoopDetected, InvalidOption } from "../../CacheError.js"
import { BoundedMap } from "../boundedMap.js"
import type { Engine } from "../engine/engine.js"
import { checkLimit } from "../options.js"

/**
 * What happens to a call that is part of a loop.
 *
 * @category models
 * @since 0.2.0
 */
export type OnLoop = "fail" | "warn" | "shortCircuit"

/**
 * The counts of one tool in a session.
 *
 * @category models
 * @since 0.2.0
 */
export interface ToolCounts {
  /** How often the tool was called, whatever came of it. */
  readonly calls: number
  /** Calls that were answered although they did not run the tool: from the cache, or by the run of another call. */
  readonly hits: number
  /** How often the tool ran. */
  readonly runs: number
  /** Calls that were part of a loop. */
  readonly loops: number
}

/**
 * The options of a session.
 *
 * @category models
 * @since 0.2.0
 */
export interface SessionOptions {
  /**
   * The id of the session, for your logs: `AgentLoopDetected` has it. Two sessions with one id share nothing, because the
   * keys of each contain a random text.
   */
  readonly id: string
  /**
   * How often the same tool may be called with the same arguments, hits included. The next call is a loop, and so is the
   * fourth of two calls that take turns (A, B, A, B). `Infinity` looks for neither. Default: 5.
   */
  readonly maxRepeats?: number | undefined
  /** How many tools may run within each other: an agent calls the first one. `Infinity` is no limit. Default: 50. */
  readonly maxDepth?: number | undefined
  /**
   * What happens to a call that is part of a loop:
   *
   * - `"fail"` (the default): it fails with `AgentLoopDetected`, and the tool does not run
   * - `"warn"`: it goes on, and one Warning per session names the tools
   * - `"shortCircuit"`: it returns the stored value, or fails with `AgentLoopDetected` if there is none. The tool does not
   *   run
   */
  readonly onLoop?: OnLoop | undefined
}

/** The most entries of a session that it removes from memory at its end, and the most calls that it compares. */
const most = 10_000

const whens: ReadonlyArray<unknown> = ["fail", "warn", "shortCircuit"]

const check = ({ id, onLoop = "fail" }: SessionOptions): OnLoop => {
  const invalid = (option: string, detail: string) => new InvalidOption({ option, of: "ToolCache.session", detail })
  if (typeof id !== "string" || id === "") throw invalid("id", "is not a text")
  if (!whens.includes(onLoop)) throw invalid("onLoop", 'is not "fail", "warn" or "shortCircuit"')
  return onLoop
}

export class AgentSession {
  readonly id: string
  /** A random text in the keys of the session, so that a later session of the same id does not find its entries. */
  readonly nonce = Encoding.encodeBase64Url(randomBytes(16))
  readonly maxRepeats: number
  readonly maxDepth: number
  readonly onLoop: OnLoop
  isEnded = false
  private readonly counts = new Map<string, { -readonly [P in keyof ToolCounts]: ToolCounts[P] }>()
  /** The loops of which a Warning was logged. */
  private readonly warned = new Set<string>()
  /** The entries of this session, the oldest first. */
  private readonly held = new Map<string, { readonly engine: Engine; readonly key: string }>()

  constructor(options: SessionOptions) {
    this.onLoop = check(options)
    this.id = options.id
    this.maxRepeats = checkLimit("maxRepeats", options.maxRepeats ?? 5, "ToolCache.session")
    this.maxDepth = checkLimit("maxDepth", options.maxDepth ?? 50, "ToolCache.session")
  }

  countsOf(tool: string): { -readonly [P in keyof ToolCounts]: ToolCounts[P] } {
    let counts = this.counts.get(tool)
    if (counts === undefined) {
      counts = { calls: 0, hits: 0, runs: 0, loops: 0 }
      this.counts.set(tool, counts)
    }
    return counts
  }

  get snapshot(): Readonly<Record<string, ToolCounts>> {
    return Object.fromEntries(Array.from(this.counts, ([tool, counts]) => [tool, { ...counts }]))
  }

  /** Whether a loop is met for the first time. */
  isNew({ reason, tools }: AgentLoopDetected): boolean {
    const loop = [reason, ...tools].join("\0")
    if (this.warned.has(loop)) return false
    this.warned.add(loop)
    return true
  }

  /** Remembers a key whose entry belongs to this session alone. */
  hold(engine: Engine, key: string, tool: string): void {
    // two tools may have two stores, and the same key in both
    const entry = `${tool}\0${key}`
    if (this.held.has(entry)) return
    this.held.set(entry, { engine, key })
    if (this.held.size <= most) return
    for (const oldest of this.held.keys()) {
      this.held.delete(oldest)
      break
    }
    engine.telemetry.report(
      "SessionTooLarge",
      tool,
      `a session of an agent has more than ${most} entries of its own, the last one of ${tool}. The oldest ones stay in ` +
        "memory after its end, until they expire. Give the tool a shorter `ttl`, or the agent shorter sessions."
    )
  }

  /** Ends the session: what memory holds of it is removed. Other tiers keep it until it expires. */
  end(): void {
    this.isEnded = true
    for (const { engine, key } of this.held.values()) engine.writePath.dropHere(key)
    this.held.clear()
  }
}

/**
 * A caller of tools within a session: the agent, or the run of a tool that calls others. Calls of one caller are compared
 * with each other only: a tool that reads the same settings in each of its runs is no loop of the agent.
 */
export class Caller {
  readonly session: AgentSession
  /** The tools that run around this caller, the outermost first. */
  private readonly running: ReadonlyArray<string>
  private readonly repeats = new BoundedMap<number>(most)
  /** The last three calls. */
  private recent: ReadonlyArray<{ readonly tool: string; readonly identity: string | undefined }> = []

  constructor(session: AgentSession, running: ReadonlyArray<string> = []) {
    this.session = session
    this.running = running
  }

  get id(): string {
    return this.session.id
  }

  /** The counts of the tools of this session, by their names. */
  get counts(): Effect.Effect<Readonly<Partial<Record<string, ToolCounts>>>> {
    return Effect.sync(() => this.session.snapshot)
  }

  /** The caller of what a run of this tool calls. */
  within(tool: string): Caller {
    return new Caller(this.session, [...this.running, tool])
  }

  /**
   * Counts a call, and returns the loop that it is part of. `given` identifies the arguments among the calls of its tool.
   * A call without it, whose arguments cannot be compared, is like no other.
   */
  enter(tool: string, given: string | undefined, args: ReadonlyArray<unknown>): AgentLoopDetected | undefined {
    const counts = this.session.countsOf(tool)
    counts.calls++
    // two writes may have the same arguments, and two reads the same key
    const loop = this.loopOf(tool, given === undefined ? undefined : `${tool}\0${given}`, args)
    if (loop !== undefined) counts.loops++
    return loop
  }

  private loopOf(
    tool: string,
    identity: string | undefined,
    args: ReadonlyArray<unknown>
  ): AgentLoopDetected | undefined {
    const { id, maxDepth, maxRepeats } = this.session
    const found = { args, session: id }
    if (this.running.length >= maxDepth) {
      const tools = [...new Set(this.running.filter((name) => name !== tool)), tool]
      return new AgentLoopDetected({ reason: "TooDeep", tools, limit: maxDepth, ...found })
    }
    if (maxRepeats === Number.POSITIVE_INFINITY) return undefined
    const [first, second, third] = this.recent
    this.recent = [...this.recent.slice(-2), { tool, identity }]
    if (identity === undefined) return undefined
    const times = (this.repeats.get(identity) ?? 0) + 1
    this.repeats.set(identity, times)
    if (times > maxRepeats) {
      return new AgentLoopDetected({ reason: "Repeated", tools: [tool], limit: maxRepeats, ...found })
    }
    const isAlternating =
      first?.identity !== undefined &&
      first.identity === third?.identity &&
      second?.identity === identity &&
      first.identity !== identity
    return isAlternating
      ? new AgentLoopDetected({ reason: "Alternating", tools: [first.tool, tool], limit: 2, ...found })
      : undefined
  }
}
