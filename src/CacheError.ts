/**
 * The errors of the cache.
 *
 * A cached function fails with the errors of its lookup only, unless its options ask for more (`onStoreError: "fail"`,
 * `timeout.hard`, `Cached.bg`). The other errors here are defects: each is a mistake in the program, and its message says how to
 * correct it.
 *
 * No message, and nothing else that a logger prints of these errors, contains a key, a value or a credential. Where an
 * error has a key, it is an accessor, which programs can read and loggers do not print.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import { nameOf, Reported, reported } from "./internal/report.js"

/**
 * An operation of the backend failed. It is counted as `cache_store_errors` and logged once per outage. It reaches a
 * caller only with `onStoreError: "fail"`, and from `setIfAbsent`.
 *
 * - `Disconnected`: there is no connection, or the breaker is open, so the operation was skipped at once
 * - `Timeout`: there was no answer within the store's `timeout`; the operation may have been carried out
 * - `Rejected`: the backend answered with an error, of which the `cause` has the name, the code and the message
 * - `Connect`, `Auth`, `Database`, `Host`: a Layer with `required` got no connection in time, because nothing answered,
 *   the user or the password was refused, the database was refused, or the name of the host is unknown
 *
 * The `cause` is not the object that the client threw, because that contains what was sent: it is an `Error` with the
 * same `name` and `code`, and with the message as far as that repeats neither keys and values nor credentials.
 *
 * @category errors
 * @since 0.1.0
 */
export class CacheStoreError extends /*#__PURE__*/ Data.TaggedError("CacheStoreError")<{
  readonly reason: "Disconnected" | "Timeout" | "Rejected" | "Connect" | "Auth" | "Database" | "Host"
  /** The store's name, such as `redis`. */
  readonly store: string
  /** The operation that failed, such as `getMany`. */
  readonly method: string
  readonly cause?: unknown
}> {
  constructor(args: {
    readonly reason: "Disconnected" | "Timeout" | "Rejected" | "Connect" | "Auth" | "Database" | "Host"
    readonly store: string
    readonly method: string
    readonly cause?: unknown
  }) {
    const { cause, ...others } = args
    super(
      cause === undefined ? others : { ...others, cause: cause instanceof SerializerError ? cause : reported(cause) }
    )
  }

  override get message(): string {
    const cause = this.cause instanceof Error ? this.cause.message : ""
    return `${this.store}.${this.method}: the store ${sentences[this.reason]}${cause === "" ? "" : `: ${cause}`}`
  }
}

const sentences = {
  Disconnected: "is not connected",
  Timeout: "did not answer in time",
  Rejected: "answered with an error",
  Connect: "got no connection",
  Auth: "was refused its user or password",
  Database: "was refused its database",
  Host: "does not find its host"
} as const

const nameOnly = (cause: unknown): Reported =>
  cause instanceof Reported ? cause : new Reported("its message may repeat the value", { name: nameOf(cause) })

/**
 * A value could not be converted to bytes without loss, or bytes could not be converted back to a value.
 *
 * `path` and `detail` describe the place and what was expected there, never the value. Of the `cause`, only its name is
 * kept.
 *
 * @category errors
 * @since 0.1.0
 */
export class SerializerError extends /*#__PURE__*/ Data.TaggedError("SerializerError")<{
  readonly reason: "Encode" | "Decode"
  /** The place in the value, such as `$.user.avatar`. `$` is the value itself. */
  readonly path: string
  readonly detail: string
  readonly cause?: unknown
  /** The stamp of an entry whose header could be read, but not its value. */
  readonly stamp?: number | undefined
}> {
  constructor(args: {
    readonly reason: "Encode" | "Decode"
    readonly path: string
    readonly detail: string
    readonly cause?: unknown
    readonly stamp?: number | undefined
  }) {
    const { cause, ...others } = args
    super(cause === undefined ? others : { ...others, cause: nameOnly(cause) })
  }

  override get message(): string {
    return `${this.reason === "Encode" ? "cannot encode" : "cannot decode"} ${this.path}: ${this.detail}`
  }
}

/**
 * The error of starting a second background loader for a key on one store.
 *
 * @category errors
 * @since 0.1.0
 */
export class DuplicateLoader extends /*#__PURE__*/ Data.TaggedError("DuplicateLoader")<{
  /** The name of the function. */
  readonly of: string
  readonly store: string
}> {
  readonly #key: string

  constructor({ key, of, store }: { readonly key: string; readonly of: string; readonly store: string }) {
    super({ of, store })
    this.#key = key
  }

  /** The key. It is an accessor, so that no logger prints it. */
  get key(): string {
    return this.#key
  }

  override get message(): string {
    return (
      `a key of ${this.of} already has a background loader on store ${this.store}: ` +
      "share its reader, or close its scope first"
    )
  }
}

/**
 * The defect of a read whose key could not be made from its arguments.
 *
 * @category errors
 * @since 0.1.0
 */
export class KeyError extends /*#__PURE__*/ Data.TaggedError("KeyError")<{
  /** The template, or the name of the key function. */
  readonly template: string
  readonly detail: string
  readonly cause?: unknown
}> {
  override get message(): string {
    return `key "${this.template}": ${this.detail}`
  }
}

/**
 * The defect of waiters whose load was interrupted from inside its lookup. Interrupting a waiter does not cause it.
 *
 * @category errors
 * @since 0.1.0
 */
export class LoadInterrupted extends /*#__PURE__*/ Data.TaggedError("LoadInterrupted")<{
  /** The name of the function. */
  readonly of: string
}> {
  readonly #key: string

  constructor({ key, of }: { readonly key: string; readonly of: string }) {
    super({ of })
    this.#key = key
  }

  /** The key. It is an accessor, so that no logger prints it. */
  get key(): string {
    return this.#key
  }

  override get message(): string {
    return (
      `a load of ${this.of} was interrupted from inside its lookup: nothing was stored. ` +
      "The next read loads again; if this repeats, look for an interruption in the lookup"
    )
  }
}

/**
 * The error of a read that took longer than `timeout.hard` of its function, where no old value could answer. The load
 * goes on, unless the function has `then: "interrupt"`.
 *
 * @category errors
 * @since 0.2.0
 */
export class LoadTimeout extends /*#__PURE__*/ Data.TaggedError("LoadTimeout")<{
  /** The name of the function. */
  readonly of: string
  /** The limit, `timeout.hard`. */
  readonly limit: Duration.Duration
}> {
  readonly #key: string

  constructor({ key, limit, of }: { readonly key: string; readonly of: string; readonly limit: Duration.Duration }) {
    super({ of, limit })
    this.#key = key
  }

  /** The key. It is an accessor, so that no logger prints it. */
  get key(): string {
    return this.#key
  }

  override get message(): string {
    return `a read of ${this.of} took longer than its timeout.hard of ${Duration.format(this.limit)}`
  }
}

/**
 * The defect of a batch whose lookup returned what cannot be matched with the ids: no pairs or, with `ordered`, a list of
 * another length or without options. Nothing of the batch is stored.
 *
 * @category errors
 * @since 0.2.0
 */
export class InvalidBatch extends /*#__PURE__*/ Data.TaggedError("InvalidBatch")<{
  /** The name of the function. */
  readonly of: string
  readonly detail: string
}> {
  override get message(): string {
    return `the lookup of ${this.of} returned what cannot be matched with its ids: ${this.detail}`
  }
}

/**
 * The defect of a load that waits for itself, directly or through other loads.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReentrantLoad extends /*#__PURE__*/ Data.TaggedError("ReentrantLoad")<{
  /** The names of the functions whose loads wait, each for the next. */
  readonly of: ReadonlyArray<string>
}> {
  readonly #chain: ReadonlyArray<string>

  constructor({ chain, of }: { readonly chain: ReadonlyArray<string>; readonly of: ReadonlyArray<string> }) {
    super({ of })
    this.#chain = chain
  }

  /** The keys, each of which waits for the next. It is an accessor, so that no logger prints them. */
  get chain(): ReadonlyArray<string> {
    return this.#chain
  }

  override get message(): string {
    const names = this.of.map((name) => JSON.stringify(name)).join(" -> ")
    return `a load waits for itself: ${names}. A lookup must not read a key whose load waits for it`
  }
}

/**
 * The defect of an option with an invalid value, such as a negative `ttl`.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidOption extends /*#__PURE__*/ Data.TaggedError("InvalidOption")<{
  /** The name of the option. */
  readonly option: string
  /** What the option belongs to: the name of the cached function, or of the store. */
  readonly of?: string | undefined
  /** Why its value is invalid. */
  readonly detail: string
}> {
  override get message(): string {
    return `${this.of === undefined ? "" : `${JSON.stringify(this.of)}: `}${this.option}: ${this.detail}`
  }
}

/**
 * The failure of a tool that an agent calls in a loop, in a session with `onLoop: "fail"`, or with `"shortCircuit"` where
 * no value is stored.
 *
 * - `Repeated`: the same tool was called with the same arguments more than `maxRepeats` times
 * - `Alternating`: two calls took turns, as in A, B, A, B
 * - `TooDeep`: tools call tools, more than `maxDepth` of them within each other
 *
 * @category errors
 * @since 0.2.0
 */
export class AgentLoopDetected extends /*#__PURE__*/ Data.TaggedError("AgentLoopDetected")<{
  readonly reason: "Repeated" | "Alternating" | "TooDeep"
  /** The names of the tools of the loop. The last one is the tool whose call was refused. */
  readonly tools: ReadonlyArray<string>
  /** The limit that the session sets: its `maxRepeats`, its `maxDepth`, or 2 turns of two calls. */
  readonly limit: number
}> {
  readonly #args: ReadonlyArray<unknown>
  readonly #session: string

  constructor(input: {
    readonly reason: "Repeated" | "Alternating" | "TooDeep"
    readonly tools: ReadonlyArray<string>
    readonly limit: number
    readonly args: ReadonlyArray<unknown>
    readonly session: string
  }) {
    const { args, session, ...others } = input
    super(others)
    this.#args = args
    this.#session = session
  }

  /** The arguments of the refused call. It is an accessor, so that no logger prints them. */
  get args(): ReadonlyArray<unknown> {
    return this.#args
  }

  /** The id of the session. It is an accessor, so that no logger prints it. */
  get session(): string {
    return this.#session
  }

  override get message(): string {
    const names = Array.from(new Set(this.tools), (name) => JSON.stringify(name))
    const last = JSON.stringify(this.tools.at(-1))
    switch (this.reason) {
      case "Repeated":
        return (
          `an agent called the tool ${last} with the same arguments more than ${this.limit} times in one session. ` +
          "Tell the agent that the answer does not change, or raise `maxRepeats`"
        )
      case "Alternating":
        return names.length > 1
          ? `an agent calls the tools ${names.join(" and ")} in turn, each with the same arguments as before. ` +
              "Tell the agent that the answers do not change"
          : `an agent calls the tool ${last} in turn with the same two sets of arguments. ` +
              "Tell the agent that the answers do not change"
      default:
        return (
          `tools call each other more than ${this.limit} deep: ${names.join(" -> ")}. ` +
          "End the recursion, or raise `maxDepth`"
        )
    }
  }
}
