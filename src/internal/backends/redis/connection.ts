import type { Buffer } from "node:buffer"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Backend from "../../../Backend.js"
import { CacheStoreError } from "../../../CacheError.js"
import { monotonic } from "../../time.js"
import { addressOf, type Client, isCluster, reconnectAfter, wait } from "./client.js"
import { Nodes, Peer } from "./nodes.js"
import type { Script } from "./scripts.js"

/** the least a load on a cluster is stamped before its time: what two processes know of one clock differs by less */
const margin = 5

/** what is sent to the node that holds a slot */
export interface Sent<A> {
  readonly slot: number
  readonly send: (client: Client) => Promise<A>
}

/** a command under way */
interface Call {
  readonly since: number
  readonly peer: Peer
  overdue: boolean
  readonly expire: () => void
}

/**
 * The edge of the client: the one place where its promises and events become effects.
 *
 * Commands go out only while the connection is ready, its marks are known and no answer is overdue: a server that hangs
 * costs one `timeout`, not one per command, and its first late answer opens the way again. On a cluster that holds for
 * each node by itself, and the whole is open while the node of the marks is.
 */
export class Connection {
  open = false
  /** milliseconds to add to this clock to get the server's; each measure, taken when an answer came, can only be too low */
  offset = Number.NEGATIVE_INFINITY
  private readonly peer = new Peer(undefined)
  private readonly nodes: Nodes | undefined
  private told = false
  private watching = false
  private readonly calls = new Set<Call>()
  private readonly listeners = new Set<(change: Backend.Change) => void>()
  private readonly clock = Clock.make()
  readonly client: Client
  readonly name: string
  private readonly timeout: number
  private readonly lent: boolean
  private readonly runtime: Runtime.Runtime<never>
  private readonly prepare: Effect.Effect<void, CacheStoreError>
  private readonly marksSlot: number
  private following: () => void = () => {}

  constructor(
    client: Client,
    name: string,
    timeout: number,
    lent: boolean,
    runtime: Runtime.Runtime<never>,
    prepare: Effect.Effect<void, CacheStoreError>,
    marksSlot: number
  ) {
    this.client = client
    this.name = name
    this.timeout = timeout
    this.lent = lent
    this.runtime = runtime
    this.prepare = prepare
    this.marksSlot = marksSlot
    this.nodes = isCluster(client) ? new Nodes(client, lent, runtime, () => this.following()) : undefined
  }

  isUp(): boolean {
    return this.open && this.client.status === "ready" && this.peerOf(this.marksSlot).isUp
  }

  private peerOf(slot: number): Peer {
    return this.nodes === undefined ? this.peer : this.nodes.of(slot)
  }

  now(): number {
    return monotonic(this.clock)
  }

  /** the server's time, as it came with an answer */
  measured(now: number): void {
    if (this.nodes === undefined) this.offset = Math.max(this.offset, now - this.now())
  }

  /** on a cluster, the time of the node that keeps the marks, as far as it is known, and never more than that */
  marksTime(): number {
    return this.now() + this.peerOf(this.marksSlot).low
  }

  /** how many milliseconds the marks' clock is ahead of that of the node that holds a slot */
  skew(slot: number): number {
    const skew = this.peerOf(this.marksSlot).low - this.peerOf(slot).low
    return Number.isFinite(skew) ? skew : 0
  }

  /** what to add to this clock for stamps */
  stampOffset(): number {
    if (this.nodes === undefined) return this.offset
    const { high, isMeasured, low } = this.peerOf(this.marksSlot)
    // while that node is away, by the clock that was last known
    if (isMeasured) this.offset = low - Math.max(margin, 2 * (high - low))
    return this.offset
  }

  /** sends a command if it can be sent now, and waits for its answer at most `timeout` */
  call<A>(method: string, send: (client: Client) => Promise<A>): Effect.Effect<A, CacheStoreError> {
    return Effect.suspend(() =>
      this.isUp() ? this.send(method, send) : Effect.fail(this.error("Disconnected", method))
    )
  }

  /** the same to many slots in one turn; none waits for another's answer, and each fails by itself */
  callAll<A>(method: string, commands: ReadonlyArray<Sent<A>>): Effect.Effect<ReadonlyArray<A | CacheStoreError>> {
    return Effect.async((resume) => {
      const answers = new Array<A | CacheStoreError>(commands.length)
      let left = commands.length
      if (left === 0) resume(Effect.succeed(answers))
      // one fault is one error, however many slots it takes along
      const faults = new Map<Peer, CacheStoreError>()
      commands.forEach(({ send, slot }, i) => {
        const peer = this.peerOf(slot)
        const done = (answer: A | CacheStoreError) => {
          answers[i] = answer
          if (--left === 0) resume(Effect.succeed(answers))
        }
        if (this.open && this.client.status === "ready" && peer.isUp) {
          this.dispatch(method, peer, send, done)
        } else {
          const fault = faults.get(peer) ?? this.error("Disconnected", method)
          faults.set(peer, fault)
          done(fault)
        }
      })
    })
  }

  private error(reason: CacheStoreError["reason"], method: string, cause?: unknown): CacheStoreError {
    return new CacheStoreError({ reason, store: this.name, method, cause })
  }

  private send<A>(method: string, send: (client: Client) => Promise<A>): Effect.Effect<A, CacheStoreError> {
    return Effect.async((resume) =>
      this.dispatch(method, this.peerOf(this.marksSlot), send, (answer) =>
        resume(answer instanceof CacheStoreError ? Effect.fail(answer) : Effect.succeed(answer))
      )
    )
  }

  private dispatch<A>(
    method: string,
    peer: Peer,
    send: (client: Client) => Promise<A>,
    done: (answer: A | CacheStoreError) => void
  ): void {
    let isDone = false
    const once = (answer: A | CacheStoreError) => {
      if (isDone) return
      isDone = true
      done(answer)
    }
    const call: Call = { since: this.now(), peer, overdue: false, expire: () => once(this.error("Timeout", method)) }
    this.calls.add(call)
    this.watch()
    const settle = () => {
      this.calls.delete(call)
      if (call.overdue && --peer.overdue === 0 && this.isUp()) this.say({ _tag: "Up" })
    }
    send(this.client).then(
      (value) => {
        settle()
        once(value)
      },
      (cause) => {
        settle()
        const isThere = this.client.status === "ready" && (peer.redis === undefined || peer.redis.status === "ready")
        once(isThere ? this.error("Rejected", method, cause) : this.error("Disconnected", method))
        // the cluster has changed, or is about to
        if (cause instanceof Error && cause.message.startsWith("CLUSTERDOWN")) this.nodes?.look(true)
      }
    )
  }

  /** one fiber watches over all calls, while there are any; their timeout is one, so the oldest comes first */
  private watch(): void {
    if (this.watching) return
    this.watching = true
    const look = Effect.sync(() => {
      const now = this.now()
      for (const call of this.calls) {
        const age = now - call.since
        if (age < this.timeout) break
        if (!call.overdue) {
          call.overdue = true
          call.peer.overdue++
          call.expire()
        } else if (!this.lent && age >= this.timeout + reconnectAfter) {
          // no answer at all: the peer may be gone without a word
          if (call.peer.redis === undefined) this.client.disconnect(true)
          else call.peer.redis.disconnect(true)
          break
        }
      }
    })
    Runtime.runFork(
      this.runtime,
      look.pipe(
        Effect.delay(Duration.millis(Math.max(5, this.timeout / 10))),
        Effect.repeat({ while: () => this.calls.size > 0 }),
        Effect.withClock(this.clock)
      )
    ).addObserver(() => {
      this.watching = false
    })
  }

  private say(change: Backend.Change): void {
    for (const listener of this.listeners) listener(change)
  }

  get changes(): Stream.Stream<Backend.Change> {
    return Stream.async((emit) => {
      const listener = (change: Backend.Change) => void emit.single(change)
      this.listeners.add(listener)
      return Effect.sync(() => this.listeners.delete(listener))
    })
  }

  /** follows the client from now on, and waits for it at most `connectTimeout` */
  start(connectTimeout: Duration.DurationInput): Effect.Effect<void, never, Scope.Scope> {
    const { client, nodes } = this
    const address = addressOf(client)
    const log = (effect: Effect.Effect<void>) => Runtime.runFork(this.runtime, effect)
    const onError = (error: Error) => {
      if (this.told) return
      this.told = true
      log(
        Effect.logWarning(
          `${this.name}: no connection to ${address} (${error.message}); it is tried again, reads load meanwhile`
        )
      )
    }
    const shut = (why: string) => {
      if (this.open) this.say({ _tag: "Down", detail: address })
      this.open = false
      onError(new Error(why))
    }
    const onClose = () => shut("closed")
    let preparing: Fiber.RuntimeFiber<void> | undefined
    const stopPreparing = () => preparing?.unsafeInterruptAsFork(FiberId.none)
    const prepare = () => {
      this.offset = Number.NEGATIVE_INFINITY
      stopPreparing()
      preparing = Runtime.runFork(
        this.runtime,
        this.prepare.pipe(
          Effect.tapError((error) => Effect.sync(() => onError(error))),
          Effect.retry({ schedule: Schedule.spaced("1 second"), while: () => this.canPrepare() }),
          Effect.andThen(
            Effect.sync(() => {
              if (!this.canPrepare()) return
              this.open = true
              if (this.told) log(Effect.logInfo(`${this.name}: connected to ${address}`))
              this.told = false
              this.say({ _tag: "Up" })
            })
          ),
          Effect.ignore,
          Effect.withClock(this.clock)
        )
      )
    }
    let patience: Fiber.RuntimeFiber<unknown> | undefined
    const stopWaiting = () => patience?.unsafeInterruptAsFork(FiberId.none)
    const onReady =
      nodes === undefined
        ? prepare
        : () => {
            // all nodes are given a moment, so that the first reads find them
            let isLate = false
            this.following = () => {
              if (client.status !== "ready") return
              const isThere = this.canPrepare()
              if (this.open && !isThere) shut("the node that keeps the marks is gone")
              else if (this.open) this.say({ _tag: "Up" })
              else if (isThere && (isLate || !nodes.isConnecting)) prepare()
            }
            stopWaiting()
            patience = Runtime.runFork(
              this.runtime,
              Effect.sync(() => {
                isLate = true
                if (!this.open) this.following()
              }).pipe(Effect.delay(Duration.millis(this.timeout)), Effect.withClock(this.clock))
            )
            nodes.open()
            this.following()
          }
    let revival: Fiber.RuntimeFiber<void> | undefined
    // ioredis gives up where a failover is told while it asks the sentinels
    const onEnd = () => {
      revival = Runtime.runFork(
        this.runtime,
        Effect.sync(() => {
          if (client.status === "end") client.connect().catch(onError)
        }).pipe(Effect.delay(Duration.millis(wait(0))), Effect.withClock(this.clock))
      )
    }
    const listen = Effect.acquireRelease(
      Effect.sync(() => {
        client.on("error", onError).on("close", onClose).on("ready", onReady)
        if (!this.lent) client.on("end", onEnd)
        if (client.status === "ready") onReady()
        else if (client.status === "wait") client.connect().catch(onError)
      }),
      () =>
        Effect.sync(() => {
          this.open = false
          this.following = () => {}
          stopPreparing()
          stopWaiting()
          revival?.unsafeInterruptAsFork(FiberId.none)
          client.off("close", onClose).off("ready", onReady).off("end", onEnd)
          // one that is made here may still have something to say while it goes
          if (this.lent) client.off("error", onError)
          nodes?.close()
        })
    )
    const ready = Effect.async<void>((resume) => {
      if (this.open) return resume(Effect.void)
      const listener = (change: Backend.Change) => {
        if (change._tag === "Up") resume(Effect.void)
      }
      this.listeners.add(listener)
      return Effect.sync(() => this.listeners.delete(listener))
    })
    const late = Effect.sync(() => onError(new Error("not there yet")))
    return Effect.zipRight(
      nodes === undefined ? listen : Effect.zipRight(listen, Effect.forkScoped(nodes.measuring)),
      ready.pipe(
        Effect.timeoutTo({ duration: connectTimeout, onSuccess: () => Effect.void, onTimeout: () => late }),
        Effect.flatten,
        Effect.withClock(this.clock)
      )
    )
  }

  private canPrepare(): boolean {
    return this.client.status === "ready" && (this.nodes === undefined || this.peerOf(this.marksSlot).isUp)
  }

  /** runs a script by its digest, and by its text where the server has forgotten it */
  script(script: Script, keys: ReadonlyArray<string>, args: ReadonlyArray<string | Buffer>) {
    const rest = [keys.length, ...keys, ...args] as const
    return (client: Client): Promise<unknown> =>
      client
        .evalsha(script.digest, ...rest)
        .catch((error: unknown) =>
          error instanceof Error && error.message.startsWith("NOSCRIPT")
            ? client.eval(script.text, ...rest)
            : Promise.reject(error)
        )
  }

  run(method: string, script: Script, keys: ReadonlyArray<string>, args: ReadonlyArray<string | Buffer>) {
    return this.call(method, this.script(script, keys, args))
  }

  /** the same before the way is open */
  runFirst(method: string, script: Script, keys: ReadonlyArray<string>, args: ReadonlyArray<string | Buffer>) {
    return this.send(method, this.script(script, keys, args))
  }
}
