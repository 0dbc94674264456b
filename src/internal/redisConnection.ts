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
import type { Redis } from "ioredis"
import type * as Backend from "../Backend.js"
import { CacheStoreError } from "../CacheError.js"
import type { Script } from "./redisScripts.js"
import { monotonic } from "./time.js"

/** how long after a timeout a silent connection is given up and made anew */
const reconnectAfter = 2_000

/** a command under way */
interface Call {
  readonly since: number
  overdue: boolean
  readonly expire: () => void
}

/**
 * The edge of the client: the one place where its promises and events become effects.
 *
 * Commands go out only while the connection is ready, its marks are known and no answer is overdue: a server that hangs
 * costs one `timeout`, not one per command, and its first late answer opens the way again.
 */
export class Connection {
  open = false
  /** milliseconds to add to this clock to get the server's; each measure, taken when an answer came, can only be too low */
  offset = Number.NEGATIVE_INFINITY
  private overdue = 0
  private told = false
  private watching = false
  private readonly calls = new Set<Call>()
  private readonly listeners = new Set<(change: Backend.Change) => void>()
  private readonly clock = Clock.make()
  readonly client: Redis
  readonly name: string
  private readonly timeout: number
  private readonly lent: boolean
  private readonly runtime: Runtime.Runtime<never>
  private readonly prepare: Effect.Effect<void, CacheStoreError>

  constructor(
    client: Redis,
    name: string,
    timeout: number,
    lent: boolean,
    runtime: Runtime.Runtime<never>,
    prepare: Effect.Effect<void, CacheStoreError>
  ) {
    this.client = client
    this.name = name
    this.timeout = timeout
    this.lent = lent
    this.runtime = runtime
    this.prepare = prepare
  }

  isUp(): boolean {
    return this.open && this.overdue === 0 && this.client.status === "ready"
  }

  now(): number {
    return monotonic(this.clock)
  }

  /** sends a command if it can be sent now, and waits for its answer at most `timeout` */
  call<A>(method: string, send: (client: Redis) => Promise<A>): Effect.Effect<A, CacheStoreError> {
    return Effect.suspend(() => (this.isUp() ? this.send(method, send) : this.fail("Disconnected", method)))
  }

  private fail(reason: CacheStoreError["reason"], method: string, cause?: unknown) {
    return Effect.fail(new CacheStoreError({ reason, store: this.name, method, cause }))
  }

  private send<A>(method: string, send: (client: Redis) => Promise<A>): Effect.Effect<A, CacheStoreError> {
    return Effect.async((resume) => {
      const call: Call = {
        since: this.now(),
        overdue: false,
        expire: () => resume(this.fail("Timeout", method))
      }
      this.calls.add(call)
      this.watch()
      const settle = () => {
        this.calls.delete(call)
        if (call.overdue && --this.overdue === 0 && this.isUp()) this.say({ _tag: "Up" })
      }
      send(this.client).then(
        (value) => {
          settle()
          resume(Effect.succeed(value))
        },
        (cause) => {
          settle()
          resume(this.fail(this.client.status === "ready" ? "Rejected" : "Disconnected", method, cause))
        }
      )
    })
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
          this.overdue++
          call.expire()
        } else if (!this.lent && age >= this.timeout + reconnectAfter) {
          // no answer at all: the peer may be gone without a word
          this.client.disconnect(true)
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

  /** another connection of the same kind, for subscribing: it is made by whoever opens it, and does not come back by itself */
  get subscriber(): Effect.Effect<Redis, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => {
        const client = this.client.duplicate({
          lazyConnect: true,
          enableOfflineQueue: false,
          autoResubscribe: false,
          disconnectTimeout: 100,
          retryStrategy: () => null
        })
        // what it has to say while it goes is said by `close`
        return client.on("error", () => {})
      }),
      (client) => Effect.sync(() => client.disconnect())
    )
  }

  /** follows the client from now on, and waits for it at most `connectTimeout` */
  start(connectTimeout: Duration.DurationInput): Effect.Effect<void, never, Scope.Scope> {
    const { client } = this
    const address = `${client.options.host}:${client.options.port}`
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
    const onClose = () => {
      if (this.open) this.say({ _tag: "Down", detail: address })
      this.open = false
      onError(new Error("closed"))
    }
    let preparing: Fiber.RuntimeFiber<void> | undefined
    const stopPreparing = () => preparing?.unsafeInterruptAsFork(FiberId.none)
    const onReady = () => {
      this.offset = Number.NEGATIVE_INFINITY
      stopPreparing()
      preparing = Runtime.runFork(
        this.runtime,
        this.prepare.pipe(
          Effect.tapError((error) => Effect.sync(() => onError(error))),
          Effect.retry({ schedule: Schedule.spaced("1 second"), while: () => client.status === "ready" }),
          Effect.andThen(
            Effect.sync(() => {
              if (client.status !== "ready") return
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
    const listen = Effect.acquireRelease(
      Effect.sync(() => {
        client.on("error", onError).on("close", onClose).on("ready", onReady)
        if (client.status === "ready") onReady()
        else if (client.status === "wait") client.connect().catch(onError)
      }),
      () =>
        Effect.sync(() => {
          this.open = false
          stopPreparing()
          client.off("close", onClose).off("ready", onReady)
          // one that is made here may still have something to say while it goes
          if (this.lent) client.off("error", onError)
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
      listen,
      ready.pipe(
        Effect.timeoutTo({ duration: connectTimeout, onSuccess: () => Effect.void, onTimeout: () => late }),
        Effect.flatten,
        Effect.withClock(this.clock)
      )
    )
  }

  /** runs a script by its digest, and by its text where the server has forgotten it */
  private script(script: Script, keys: ReadonlyArray<string>, args: ReadonlyArray<string | Buffer>) {
    const rest = [keys.length, ...keys, ...args] as const
    return (client: Redis): Promise<unknown> =>
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
