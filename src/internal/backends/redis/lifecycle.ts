/**
 * The lifecycle of the connection to Redis: from the events of a client to `Up` and `Down`.
 *
 * ```
 * Connecting ──ready──▶ Preparing ──the marks are known──▶ Open
 *     ▲     └─ready, cluster─▶ Gathering ─▶ Preparing        │
 *     └───────────────────── closed ─────────────────────────┘
 * ```
 *
 * On a cluster, `Gathering` waits for the node that keeps the marks, and for a limited time for the other nodes too, so
 * that the first reads reach them. It is entered again when the node that keeps the marks is lost. Every state but
 * `Connecting` leads to `Connecting` when the client loses its connection, and every state to `Closed` when the scope
 * closes.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Redis } from "ioredis"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError } from "../../../CacheError.js"
import type { Problems } from "../../problems.js"
import { reported } from "../../report.js"
import { sleepAwake } from "../../sleep.js"
import { addressOf, type Client, secretsOf, wait } from "./client.js"
import { releaseErrorListener, reviveAfterEnd } from "./ioredisWorkarounds.js"
import type { ClusterNodes } from "./nodes.js"

type AnyFiber = Fiber.RuntimeFiber<unknown>

/** The time limit for connecting to the nodes of a cluster after it has connected itself. Mutable by design. */
interface TimeLimit {
  isOver: boolean
  /** The fiber that waits for its end. */
  fiber: AnyFiber | undefined
}

type State =
  /**
   * The client has no connection and makes one by itself. `revival` is the fiber that restarts a client that has ended.
   */
  | { readonly _tag: "Connecting"; readonly revival: AnyFiber | undefined }
  /**
   * The cluster is connected. It waits for the node that keeps the marks, and until `timeLimit` is over for the others.
   */
  | { readonly _tag: "Gathering"; readonly timeLimit: TimeLimit }
  /** The client is connected, and the marks are being read. */
  | { readonly _tag: "Preparing"; readonly timeLimit: TimeLimit; readonly preparation: AnyFiber }
  /** Commands may be sent. */
  | { readonly _tag: "Open"; readonly timeLimit: TimeLimit }
  /** The scope has closed. No event has an effect any more. */
  | { readonly _tag: "Closed" }

/** The fibers that belong to a state. They end with it, unless they belong to the next state too. */
const fibersOf = (state: State): ReadonlyArray<AnyFiber | undefined> => {
  switch (state._tag) {
    case "Connecting":
      return [state.revival]
    case "Gathering":
    case "Open":
      return [state.timeLimit.fiber]
    case "Preparing":
      return [state.timeLimit.fiber, state.preparation]
    case "Closed":
      return []
  }
}

export interface Options {
  readonly client: Client
  /** The name of the store, in logs. */
  readonly name: string
  /** Whether the client belongs to the user. */
  readonly lent: boolean
  readonly runtime: Runtime.Runtime<never>
  readonly problems: Problems
  /** The nodes of the cluster; `undefined` for a client of one server. */
  readonly nodes: ClusterNodes | undefined
  /** How many milliseconds a cluster that has just connected waits for its nodes. */
  readonly nodesTimeout: number
  /** Whether the node that keeps the marks can be asked, given that the client is ready. */
  readonly isReachable: () => boolean
  /** Runs on each new connection before it counts as open, until it succeeds. */
  readonly prepare: Effect.Effect<void, CacheStoreError>
}

/** The reason that a Layer with `required` names for an error. */
const reasonOf = (error: Error | undefined): CacheStoreError["reason"] => {
  if (error instanceof CacheStoreError && error.method === "select") return "Database"
  const cause = error instanceof CacheStoreError && error.cause instanceof Error ? error.cause : error
  const { code, message = "" } = (cause ?? {}) as { readonly code?: unknown; readonly message?: string }
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "Host"
  return /\b(?:WRONGPASS|NOAUTH|NOPERM|AUTH)\b|invalid password/i.test(message) ? "Auth" : "Connect"
}

export class Lifecycle {
  /** The current state. Mutable by design: only `enter` changes it. */
  private state: State = { _tag: "Connecting", revival: undefined }
  /** Why the client may be about to leave the server by itself. Mutable by design. */
  private demotion: string | undefined = undefined
  /** Why there is no connection, if it is known. Mutable by design. */
  private reason: string | undefined = undefined
  /** The latest error since the store was made. Mutable by design. */
  private lastError: Error | undefined = undefined
  /** Whether the client has emitted an error since its last connection was closed. Mutable by design. */
  private hasError = false
  /** Whether the server refuses what the store has to do first, on the connection there is. Mutable by design. */
  private isRefused = false
  private readonly listeners = new Set<(change: Backend.Change) => void>()
  private readonly clock = Clock.make()
  private readonly address: string
  private readonly options: Options

  constructor(options: Options) {
    this.options = options
    this.address = addressOf(options.client)
  }

  get isOpen(): boolean {
    return this.state._tag === "Open"
  }

  /**
   * Follows the client from now on, and waits at most `connectTimeout` until the connection is open. If it is `required`
   * and is not open by then, this fails with the reason.
   */
  start(connectTimeout: Duration.DurationInput, required: boolean): Effect.Effect<void, CacheStoreError, Scope.Scope> {
    const follow = Effect.acquireRelease(
      Effect.sync(() => this.follow()),
      () => Effect.sync(() => this.close())
    )
    const opened = Effect.async<void>((resume) => {
      if (this.isOpen) return resume(Effect.void)
      const listener = (change: Backend.Change) => {
        if (change._tag === "Up") resume(Effect.void)
      }
      this.listeners.add(listener)
      return Effect.sync(() => this.listeners.delete(listener))
    })
    const late = Effect.suspend(() => {
      if (required) return Effect.fail(this.failure())
      return Effect.sync(() => this.onDisconnected(this.reason ?? "not connected yet"))
    })
    return Effect.zipRight(
      follow,
      opened.pipe(
        Effect.as(Effect.void),
        Effect.raceFirst(Effect.as(sleepAwake(this.clock, Duration.toMillis(connectTimeout)), late)),
        Effect.flatten
      )
    )
  }

  get changes(): Stream.Stream<Backend.Change> {
    return Stream.async((emit) => {
      const listener = (change: Backend.Change) => void emit.single(change)
      this.listeners.add(listener)
      return Effect.sync(() => this.listeners.delete(listener))
    })
  }

  notify(change: Backend.Change): void {
    for (const listener of this.listeners) listener(change)
  }

  // ------------------------------------------------------------------------------------------------------- transitions

  private enter(next: State): void {
    const kept = fibersOf(next)
    const ending = fibersOf(this.state).filter((fiber) => !kept.includes(fiber))
    this.state = next
    for (const fiber of ending) fiber?.unsafeInterruptAsFork(FiberId.none)
  }

  private readonly onReady = (): void => {
    const { nodes } = this.options
    if (this.state._tag === "Closed") return
    if (nodes === undefined) return this.prepare({ isOver: true, fiber: undefined })
    this.enter({ _tag: "Gathering", timeLimit: this.startTimeLimit() })
    nodes.open()
    this.onNodesChanged()
  }

  /** Called when a node of the cluster has become reachable, or is no longer reachable. */
  onNodesChanged(): void {
    const { client, isReachable, nodes } = this.options
    const { state } = this
    if (client.status !== "ready") return
    switch (state._tag) {
      case "Open":
        if (isReachable()) return this.notify({ _tag: "Up" })
        this.enter({ _tag: "Gathering", timeLimit: state.timeLimit })
        return this.onLost("the cluster node that keeps the invalidation marks is gone")
      case "Gathering":
      case "Preparing":
        if (isReachable() && (state.timeLimit.isOver || !nodes!.isConnecting)) this.prepare(state.timeLimit)
    }
  }

  private prepare(timeLimit: TimeLimit): void {
    const preparation = this.fork(
      this.options.prepare.pipe(
        Effect.tapError((error) => Effect.sync(() => this.onUnprepared(error))),
        Effect.retry({ schedule: Schedule.spaced("1 second"), while: () => this.canOpen() }),
        Effect.isSuccess
      )
    )
    this.enter({ _tag: "Preparing", timeLimit, preparation })
    preparation.addObserver((exit) => {
      if (this.state._tag === "Preparing" && this.state.preparation === preparation) {
        this.onPrepared(timeLimit, Exit.isSuccess(exit) && exit.value)
      }
    })
  }

  private onPrepared(timeLimit: TimeLimit, isDone: boolean): void {
    if (isDone && this.canOpen()) {
      this.demotion = undefined
      this.reason = undefined
      this.hasError = false
      const wasRefused = this.acceptAgain()
      this.enter({ _tag: "Open", timeLimit })
      const { name, problems } = this.options
      const ended = (["Disconnected", "ServerIsReplica"] as const).filter((problem) => problems.end(problem, ""))
      if (wasRefused || ended.length > 0) this.log(Effect.logInfo(`${name}: connected to ${this.address}`))
      return this.notify({ _tag: "Up" })
    }
    // The connection has just been lost, and the client has yet to emit the event.
    const isCluster = this.options.nodes !== undefined
    this.enter(isCluster ? { _tag: "Gathering", timeLimit } : { _tag: "Connecting", revival: undefined })
  }

  private readonly onClose = (): void => {
    const { isOpen, state } = this
    if (state._tag === "Closed") return
    if (state._tag !== "Connecting") this.enter({ _tag: "Connecting", revival: undefined })
    this.acceptAgain()
    // The error that a client emits before it closes a connection says more, such as that the password is wrong.
    const known = this.hasError ? this.reason : undefined
    const why = this.demotion ?? known ?? "the connection was closed"
    this.demotion = undefined
    this.hasError = false
    if (isOpen) this.onLost(why)
    else this.onDisconnected(why)
  }

  private readonly onEnd = (): void => {
    if (this.state._tag === "Closed") return
    const revive = reviveAfterEnd(this.options.client, wait(0), this.onError)
    this.enter({ _tag: "Connecting", revival: this.fork(revive) })
  }

  private follow(): void {
    const { client, lent } = this.options
    client.on("error", this.onError).on("close", this.onClose).on("ready", this.onReady)
    if (!lent) client.on("end", this.onEnd)
    if (client.status === "ready") this.onReady()
    else if (client.status === "wait") client.connect().catch(this.onError)
  }

  private close(): void {
    const { client, lent, nodes } = this.options
    this.enter({ _tag: "Closed" })
    client.off("close", this.onClose).off("ready", this.onReady).off("end", this.onEnd)
    releaseErrorListener(client, lent, this.onError)
    nodes?.close()
  }

  /** The server answered that it is not the master any more, upon which a client may connect again. */
  onDemotion(answer: Error): void {
    const why = this.messageOf(answer)
    this.demotion = `it is not the master any more: ${why}`
    const { client, lent, name, problems } = this.options
    if (!lent || this.options.nodes !== undefined || (client as Redis).options.reconnectOnError != null) return
    problems.begin(
      "ServerIsReplica",
      "",
      `${name}: ${this.address} is not the master any more (${why}), and the client that was passed to the ` +
        "store stays connected to it: invalidations do not reach other processes. Make the client with " +
        "`reconnectOnError: (error) => /READONLY|LOADING|MASTERDOWN/.test(error.message)`"
    )
  }

  // ----------------------------------------------------------------------------------------------------------- details

  private canOpen(): boolean {
    return this.options.client.status === "ready" && this.options.isReachable()
  }

  private startTimeLimit(): TimeLimit {
    const timeLimit: TimeLimit = { isOver: false, fiber: undefined }
    timeLimit.fiber = this.fork(
      Effect.delay(
        Effect.sync(() => {
          timeLimit.isOver = true
          if (!this.isOpen) this.onNodesChanged()
        }),
        this.options.nodesTimeout
      )
    )
    return timeLimit
  }

  private onLost(why: string): void {
    this.notify({ _tag: "Down", detail: this.address })
    this.onDisconnected(why)
  }

  private readonly onError = (error: Error): void => {
    this.hasError = true
    this.lastError = error
    this.onDisconnected(this.messageOf(error))
  }

  private onDisconnected(why: string): void {
    if (this.state._tag === "Closed" || this.isRefused) return
    this.reason = why
    const { name, problems } = this.options
    problems.begin(
      "Disconnected",
      "",
      `${name}: no connection to ${this.address} (${why}): reads load from the source until it is back; retrying`
    )
  }

  /** Ends the state in which the server refuses commands. Returns whether its beginning was logged. */
  private acceptAgain(): boolean {
    this.isRefused = false
    return this.options.problems.end("CommandRefused", "")
  }

  /** The connection is there, but cannot be used: the server refuses what the store has to do first. */
  private onUnprepared(error: CacheStoreError): void {
    if (this.state._tag === "Closed") return
    this.lastError = error
    if (error.reason !== "Rejected") return this.onError(error)
    const { name, problems } = this.options
    const why = error.cause instanceof Error ? error.cause.message : "it gave no reason"
    problems.end("Disconnected", "")
    this.reason = undefined
    this.isRefused = true
    problems.begin(
      "CommandRefused",
      "",
      `${name}: ${this.address} is connected but refuses a command (${why}), so it is not used: reads load from the ` +
        "source. " +
        (error.method === "select"
          ? "Name a database that it has and that this user may select; retrying"
          : "Allow the user the commands that docs/stores/redis.md lists; retrying")
    )
  }

  /** Why there is no connection yet, as the error of a Layer that needs one. */
  private failure(): CacheStoreError {
    const { client, name } = this.options
    const error = this.lastError
    const cause = error instanceof CacheStoreError ? error.cause : error && reported(error, secretsOf(client))
    return new CacheStoreError({ reason: reasonOf(error), store: name, method: "connect", cause })
  }

  /** The message of an error, without credentials and without what was sent. */
  private messageOf(error: Error): string {
    return error instanceof CacheStoreError ? error.message : reported(error, secretsOf(this.options.client)).message
  }

  private fork<A>(effect: Effect.Effect<A>): Fiber.RuntimeFiber<A> {
    return Runtime.runFork(this.options.runtime, Effect.withClock(effect, this.clock))
  }

  private log(effect: Effect.Effect<void>): void {
    Runtime.runFork(this.options.runtime, effect)
  }
}
