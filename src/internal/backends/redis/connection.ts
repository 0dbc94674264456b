/**
 * Sends commands through a client of ioredis, and turns its promises into effects.
 *
 * A command is sent only while the connection is open and no answer is overdue. So a server that hangs costs one
 * `timeout`, not one per command. Commands are sent again once all late answers have arrived. On a cluster this holds
 * for each node separately, and the store as a whole is up while the node that keeps the marks is up.
 */
import type { Buffer } from "node:buffer"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Redis } from "ioredis"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError } from "../../../CacheError.js"
import * as AsyncEffect from "../../asyncEffect.js"
import type { Problems } from "../../problems.js"
import { reported } from "../../report.js"
import { monotonic } from "../../time.js"
import { Watchdog } from "../../watchdog.js"
import { type Client, isAnswer, isCluster, isDemotion, reconnectAfter, secretsOf } from "./client.js"
import { databaseOf, isUnsent } from "./ioredisWorkarounds.js"
import { Lifecycle } from "./lifecycle.js"
import { ClusterNode, ClusterNodes } from "./nodes.js"
import type { Args, Script } from "./scriptParts.js"

/** A command for the node that holds a slot. */
export interface Sent<A> {
  readonly slot: number
  readonly send: (client: Client) => Promise<A>
}

/** A command without an answer yet. */
interface Call {
  readonly since: number
  readonly node: ClusterNode
  /** Whether the timeout has passed. Mutable by design. */
  overdue: boolean
  readonly expire: () => void
}

/** Resumes an effect with the answer to a command. */
const asEffect =
  <A>(resume: (effect: Effect.Effect<A, CacheStoreError>) => void) =>
  (answer: A | CacheStoreError): void =>
    resume(answer instanceof CacheStoreError ? Effect.fail(answer) : Effect.succeed(answer))

/** A client may be wrapped by code that throws. Nothing else would end its command. */
const attempt = <A>(send: () => Promise<A>): Promise<A> => {
  try {
    return send()
  } catch (cause) {
    return Promise.reject(cause)
  }
}

const isNoScript = (error: unknown): boolean => error instanceof Error && error.message.startsWith("NOSCRIPT")

export interface Options {
  readonly client: Client
  /** The name of the store, in errors and logs. */
  readonly name: string
  /** How many milliseconds a command may take. */
  readonly timeout: number
  /** Whether the client belongs to the user, who makes and closes it. */
  readonly lent: boolean
  readonly runtime: Runtime.Runtime<never>
  readonly problems: Problems
  /** Runs on each new connection before it counts as open. */
  readonly prepare: Effect.Effect<void, CacheStoreError>
  /** The slot of the marks. */
  readonly marksSlot: number
  /** The first arguments of every script: the channel on which it publishes, and the id of this process. */
  readonly publisher: readonly [channel: string, processId: string]
}

export class Connection {
  readonly client: Client
  readonly name: string
  private readonly options: Options
  private readonly nodes: ClusterNodes | undefined
  /** The one server of a client without a cluster. */
  private readonly server = new ClusterNode(undefined)
  private readonly lifecycle: Lifecycle
  private readonly calls = new Set<Call>()
  private readonly watchdog: Watchdog
  private readonly clock = Clock.make()

  constructor(options: Options) {
    const { client, lent, name, problems, runtime, timeout } = options
    this.options = options
    this.client = client
    this.name = name
    this.nodes = isCluster(client)
      ? new ClusterNodes({ cluster: client, lent, runtime, onChange: () => this.lifecycle.onNodesChanged() })
      : undefined
    this.lifecycle = new Lifecycle({
      client,
      name,
      problems,
      lent,
      runtime,
      nodesTimeout: timeout,
      nodes: this.nodes,
      isReachable: () => this.nodes === undefined || this.nodeOf(options.marksSlot).isUp,
      prepare: options.prepare
    })
    this.watchdog = new Watchdog({
      fork: (effect) => Runtime.runFork(runtime, Effect.withClock(effect, this.clock)),
      every: Math.max(5, timeout / 10),
      check: () => this.expireCalls(),
      isNeeded: () => this.calls.size > 0
    })
  }

  /** Follows the client from now on, and waits at most `connectTimeout` until the connection is open. */
  start(connectTimeout: Duration.DurationInput, required: boolean): Effect.Effect<void, CacheStoreError, Scope.Scope> {
    return this.lifecycle.start(connectTimeout, required)
  }

  /** `Up` and `Down`, as they happen. */
  get changes(): Stream.Stream<Backend.Change> {
    return this.lifecycle.changes
  }

  isUp(): boolean {
    return this.canSend(this.nodeOf(this.options.marksSlot))
  }

  private canSend(node: ClusterNode): boolean {
    return this.lifecycle.isOpen && this.client.status === "ready" && node.isUp
  }

  private nodeOf(slot: number): ClusterNode {
    return this.nodes === undefined ? this.server : this.nodes.of(slot)
  }

  /** Milliseconds on the live clock, which never go back. */
  now(): number {
    return monotonic(this.clock)
  }

  // ---------------------------------------------------------------------------------------------------------- commands

  /** Sends a command to the node that keeps the marks, or without a cluster to the one server. */
  call<A>(method: string, send: (client: Client) => Promise<A>): Effect.Effect<A, CacheStoreError> {
    return this.callOn(method, this.options.marksSlot, send)
  }

  /** Sends a command to the node that holds a slot, if it is up, and waits for the answer at most `timeout`. */
  callOn<A>(method: string, slot: number, send: (client: Client) => Promise<A>): Effect.Effect<A, CacheStoreError> {
    return AsyncEffect.make((resume) => {
      const node = this.nodeOf(slot)
      if (!this.canSend(node)) return resume(Effect.fail(this.error("Disconnected", method)))
      this.dispatch(method, node, send, asEffect(resume))
    })
  }

  /**
   * Sends commands to the nodes of many slots in one turn of the event loop. They do not wait for each other's answers,
   * and fail independently. All commands for a node that is down get the same error object, because it is one failure.
   */
  callAll<A>(method: string, commands: ReadonlyArray<Sent<A>>): Effect.Effect<ReadonlyArray<A | CacheStoreError>> {
    return AsyncEffect.make((resume) => {
      const answers = new Array<A | CacheStoreError>(commands.length)
      let left = commands.length
      if (left === 0) resume(Effect.succeed(answers))
      const failures = new Map<ClusterNode, CacheStoreError>()
      commands.forEach(({ send, slot }, i) => {
        const node = this.nodeOf(slot)
        const done = (answer: A | CacheStoreError) => {
          answers[i] = answer
          if (--left === 0) resume(Effect.succeed(answers))
        }
        if (this.canSend(node)) {
          this.dispatch(method, node, send, done)
        } else {
          const failure = failures.get(node) ?? this.error("Disconnected", method)
          failures.set(node, failure)
          done(failure)
        }
      })
    })
  }

  /** The servers that hold keys: every master of a cluster, or the one server. */
  get servers(): ReadonlyArray<ClusterNode> {
    return this.nodes?.masters ?? [this.server]
  }

  /** Sends commands to one of the servers over its own connection, which does not forward them to another. */
  callServer<A>(
    method: string,
    server: ClusterNode,
    send: (redis: Redis) => Promise<A>
  ): Effect.Effect<A, CacheStoreError> {
    return Effect.async((resume) => {
      if (!this.canSend(server)) return resume(Effect.fail(this.error("Disconnected", method)))
      const redis = server.redis ?? (this.client as Redis)
      this.dispatch(method, server, () => send(redis), asEffect(resume))
    })
  }

  /** Runs a script on the node that keeps the marks. */
  run(
    method: string,
    script: Script,
    keys: ReadonlyArray<string>,
    args: Args
  ): Effect.Effect<unknown, CacheStoreError> {
    return this.call(method, this.script(script, keys, args))
  }

  /** Sends a command as `call` does, but also before the connection is open. */
  callFirst<A>(method: string, send: (client: Client) => Promise<A>): Effect.Effect<A, CacheStoreError> {
    return Effect.async((resume) => this.dispatch(method, this.nodeOf(this.options.marksSlot), send, asEffect(resume)))
  }

  /** Runs a script as `run` does, but also before the connection is open. */
  runFirst(
    method: string,
    script: Script,
    keys: ReadonlyArray<string>,
    args: Args
  ): Effect.Effect<unknown, CacheStoreError> {
    return this.callFirst(method, this.script(script, keys, args))
  }

  /** Fails if the client is on another database than it was given. */
  get checkDatabase(): Effect.Effect<void, CacheStoreError> {
    return Effect.suspend(() => {
      const database = databaseOf(this.client)
      return database === 0 ? Effect.void : this.callFirst("select", (client) => client.select(database))
    })
  }

  /** The command that runs a script: by its digest, or by its text where the server does not know the digest. */
  script(script: Script, keys: ReadonlyArray<string>, args: Args): (client: Client) => Promise<unknown> {
    const rest: ReadonlyArray<string | Buffer> = [...keys, ...this.options.publisher, ...args]
    return (client) =>
      client
        .evalsha(script.digest, keys.length, ...rest)
        .catch((error: unknown) =>
          isNoScript(error) ? client.eval(script.text, keys.length, ...rest) : Promise.reject(error)
        )
  }

  /** As `script`, for a script that returns bytes. */
  bufferScript(script: Script, keys: ReadonlyArray<string>, args: Args): (client: Client) => Promise<unknown> {
    const rest: ReadonlyArray<string | Buffer> = [...keys, ...this.options.publisher, ...args]
    return (client) =>
      client
        .callBuffer("evalsha", script.digest, keys.length, ...rest)
        .catch((error: unknown) =>
          isNoScript(error) ? client.callBuffer("eval", script.text, keys.length, ...rest) : Promise.reject(error)
        )
  }

  private error(reason: CacheStoreError["reason"], method: string, cause?: unknown): CacheStoreError {
    const kept = cause === undefined ? undefined : reported(cause, secretsOf(this.client))
    return new CacheStoreError({ reason, store: this.name, method, cause: kept })
  }

  /** Sends a command. `done` is called once: with the answer, or when the timeout has passed. */
  private dispatch<A>(
    method: string,
    node: ClusterNode,
    send: (client: Client) => Promise<A>,
    done: (answer: A | CacheStoreError) => void
  ): void {
    let isDone = false
    const once = (answer: A | CacheStoreError) => {
      if (isDone) return
      isDone = true
      done(answer)
    }
    const call: Call = { since: this.now(), node, overdue: false, expire: () => once(this.error("Timeout", method)) }
    this.calls.add(call)
    this.watchdog.wake()
    const settle = () => {
      this.calls.delete(call)
      if (call.overdue && --node.overdue === 0 && this.isUp()) this.lifecycle.notify({ _tag: "Up" })
    }
    attempt(() => send(this.client)).then(
      (value) => {
        settle()
        once(value)
      },
      (cause) => {
        settle()
        if (isDemotion(cause)) this.lifecycle.onDemotion(cause)
        const isThere =
          !isUnsent(cause) &&
          this.client.status === "ready" &&
          (node.redis === undefined || node.redis.status === "ready")
        once(isAnswer(cause) || isThere ? this.error("Rejected", method, cause) : this.error("Disconnected", method))
        // The cluster has changed, or is about to.
        if (cause instanceof Error && cause.message.startsWith("CLUSTERDOWN")) this.nodes?.refresh(true)
      }
    )
  }

  /** Fails the calls whose timeout has passed. All calls have the same timeout, so the first call is the oldest. */
  private expireCalls(): void {
    const { lent, timeout } = this.options
    const now = this.now()
    for (const call of this.calls) {
      const age = now - call.since
      if (age < timeout) break
      if (!call.overdue) {
        call.overdue = true
        call.node.overdue++
        call.expire()
      } else if (!lent && age >= timeout + reconnectAfter) {
        // No answer at all: the other side may be gone without closing the connection.
        const silent = call.node.redis ?? this.client
        silent.disconnect(true)
        break
      }
    }
  }
}
