/**
 * How the clients of Redis are made: for one server, for a cluster, or for the master that sentinels name.
 *
 * No client queues commands or sends them again, and each reconnects by itself. What has to be delivered after an
 * outage is known to the engine.
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Cluster, Redis, type RedisOptions } from "ioredis"
import { InvalidOption } from "../../../CacheError.js"
import { decodeFinite, decodeMillis } from "../../options.js"
import { monotonic } from "../../time.js"
import { type Address, checkDatabase, nodesOf, reveal, type Secret, serverOf } from "./address.js"
import { handshakeTimeout, silenceSentinels, startupNodes } from "./ioredisWorkarounds.js"

export type Client = Redis | Cluster

export interface ClientOptions {
  readonly url?: Secret | undefined
  readonly cluster?: ReadonlyArray<Address> | undefined
  readonly sentinel?:
    | {
        readonly name: string
        readonly nodes: ReadonlyArray<Address>
        readonly username?: string | undefined
        readonly password?: Secret | undefined
      }
    | undefined
  readonly redis?: RedisOptions | undefined
  readonly timeout?: Duration.DurationInput | undefined
  readonly connectTimeout?: Duration.DurationInput | undefined
  readonly name?: string | undefined
}

/** Whether a client is one of a cluster. It is not decided by class: a lent client may come from another ioredis. */
export const isCluster = (client: Client): client is Cluster => "isCluster" in client && client.isCluster

/** The address of a node, in the form in which `Cluster.slots` has it. */
export const nodeKey = (node: Redis): string => `${node.options.host}:${node.options.port}`

/** How many milliseconds to wait before an attempt to connect: 50, doubled with each attempt, up to 1000. */
export const wait = (attempt: number): number => Math.min(50 * 2 ** Math.min(attempt, 6), 1_000)

/** How many milliseconds after a timeout a connection without any answer is closed and made again. */
export const reconnectAfter = 2_000

/** Whether an error is one that the server has answered. */
export const isAnswer = (error: unknown): error is Error => error instanceof Error && error.name === "ReplyError"

/**
 * Whether an error means that the server is not the master any more: a replica refuses writes (READONLY), reads the
 * data of its new master (LOADING), or has lost it (MASTERDOWN). Before Redis 7 a script wraps the error in its own.
 */
export const isDemotion = (error: unknown): error is Error =>
  error instanceof Error && /\b(READONLY|LOADING|MASTERDOWN)\b/.test(error.message)

/** How many milliseconds to wait, at least and at most, before a connection to a demoted master is left again. */
const shortestStay = 1_000
const longestStay = 30_000

/**
 * Makes the `reconnectOnError` of a client. Behind one address a new connection reaches the new master after a
 * failover, while an open one stays with the old master, which refuses writes for ever. If the address still leads to a
 * replica, its answers to reads are worth having: it is left at growing intervals only.
 */
const leaveDemoted = (own: RedisOptions["reconnectOnError"]): NonNullable<RedisOptions["reconnectOnError"]> => {
  const clock = Clock.make()
  let leftAt = Number.NEGATIVE_INFINITY
  let stay = 0
  return (error) => {
    // 2 would resend the command
    if (own != null && own(error) !== false) return 1
    if (!isDemotion(error)) return false
    const now = monotonic(clock)
    const stayed = now - leftAt
    if (stayed < stay) return false
    stay = stayed > 2 * longestStay ? shortestStay : Math.min(2 * stay, longestStay)
    leftAt = now
    return 1
  }
}

const single = ({ redis, url }: ClientOptions, decided: RedisOptions): Redis => {
  if (redis?.path != null && url !== undefined) {
    throw new InvalidOption({ option: "redis.path", detail: "cannot be combined with `url`: use one of them" })
  }
  const server = redis?.path == null ? serverOf(url ?? "redis://127.0.0.1:6379") : {}
  return typeof server === "string"
    ? new Redis(server, { ...redis, ...decided })
    : new Redis({ ...redis, ...server, ...decided })
}

const sentinel = (
  options: ClientOptions,
  { name, nodes, password, username }: NonNullable<ClientOptions["sentinel"]>,
  decided: RedisOptions
): Redis => {
  if (name === "") throw new InvalidOption({ option: "sentinel", detail: "does not name the master" })
  const { addresses, extra } = nodesOf("sentinel", nodes, 26_379)
  const secrets = {
    username: username ?? extra.username,
    password: password === undefined ? extra.password : reveal(password)
  }
  return silenceSentinels(
    new Redis({
      sentinelTLS: extra.tls,
      ...options.redis,
      ...decided,
      name,
      role: "master",
      sentinels: addresses,
      ...(secrets.username === undefined ? {} : { sentinelUsername: secrets.username }),
      ...(secrets.password === undefined ? {} : { sentinelPassword: secrets.password }),
      // A sentinel that does not answer is left for the next one.
      sentinelCommandTimeout: decided.connectTimeout,
      sentinelRetryStrategy: wait,
      sentinelReconnectStrategy: wait,
      updateSentinels: true,
      // A failover is reported by the sentinels, or by a master that was demoted without closing its connections.
      failoverDetector: true
    })
  )
}

const cluster = (options: ClientOptions, nodes: ReadonlyArray<Address>, decided: RedisOptions): Cluster => {
  const { addresses, extra } = nodesOf("cluster", nodes, 6_379)
  const { retryStrategy: _, enableOfflineQueue: __, lazyConnect: ___, reconnectOnError: ____, ...perNode } = decided
  return new Cluster(addresses, {
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: wait,
    // A lost node leaves the pool, and the cluster is asked for the new owner of its slots, at the same intervals.
    clusterNodeRetryStrategy: null,
    // With a delay, ioredis would resend commands that may have been executed.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    // A batch whose slot is moving is repeated key by key, so waiting longer gains nothing.
    retryDelayOnTryAgain: 1,
    slotsRefreshTimeout: decided.connectTimeout,
    // A new master is subscribed to before a command redirects to it.
    slotsRefreshInterval: 10_000,
    redisOptions: {
      socketTimeout: handshakeTimeout(options.timeout ?? "500 millis", reconnectAfter),
      ...extra,
      ...options.redis,
      ...perNode
    }
  } as ConstructorParameters<typeof Cluster>[1])
}

/** Makes a client that queues nothing, resends nothing, and reconnects by itself. It closes with the scope. */
export const connect = (options: ClientOptions): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync((): Client => {
      const named = (["url", "cluster", "sentinel"] as const).filter((option) => options[option] !== undefined)
      if (named.length > 1) {
        throw new InvalidOption({
          option: named[1]!,
          detail: `cannot be combined with \`${named[0]}\`: use one of them`
        })
      }
      const { name = "redis" } = options
      decodeFinite("timeout", options.timeout ?? "500 millis", name)
      checkDatabase("redis.db", options.redis?.db)
      if (options.cluster !== undefined && (options.redis?.db ?? 0) !== 0) {
        throw new InvalidOption({
          option: "redis.db",
          detail: "cannot be set with `cluster`: a cluster has one database"
        })
      }
      const decided = {
        lazyConnect: true,
        enableOfflineQueue: false,
        autoResendUnfulfilledCommands: false,
        maxRetriesPerRequest: 0,
        // A closing socket keeps the process alive at most this long.
        disconnectTimeout: 100,
        // A single attempt takes at most 10 seconds, however long the store may wait.
        connectTimeout: Math.min(decodeMillis("connectTimeout", options.connectTimeout ?? "1 second", name), 10_000),
        retryStrategy: wait,
        reconnectOnError: leaveDemoted(options.redis?.reconnectOnError)
      }
      if (options.cluster !== undefined) return cluster(options, options.cluster, decided)
      if (options.sentinel !== undefined) return sentinel(options, options.sentinel, decided)
      return single(options, decided)
    }),
    (client) => Effect.sync(() => client.disconnect())
  )

/** The credentials of a client, which no message may repeat. */
export const secretsOf = (client: Client): ReadonlyArray<string> => {
  const options: ReadonlyArray<RedisOptions> = isCluster(client)
    ? [client.options.redisOptions ?? {}]
    : [client.options]
  return options
    .flatMap((each) => [each.username, each.password, each.sentinelUsername, each.sentinelPassword])
    .filter((secret): secret is string => typeof secret === "string" && secret !== "default")
}

/** Describes where a client connects to, for logs. */
export const addressOf = (client: Client): string => {
  if (isCluster(client)) {
    const nodes = startupNodes(client).map((node) =>
      typeof node === "object" && node !== null && "host" in node
        ? `${node.host}:${"port" in node ? node.port : ""}`
        : ""
    )
    return `the cluster at ${nodes.filter((node) => node !== "").join(", ")}`
  }
  const { host, name, path, port, sentinels } = client.options
  return sentinels == null
    ? (path ?? `${host}:${port}`)
    : `master ${name} of the sentinels at ${sentinels.map(({ host, port }) => `${host}:${port}`).join(", ")}`
}

/** A server that publishes notifications. */
export interface Source {
  /** Identifies the server: another server has another id. */
  readonly id: string
  /** A new connection for SUBSCRIBE. It is not connected yet, and does not reconnect by itself. */
  readonly connect: Effect.Effect<Redis, never, Scope.Scope>
  readonly publish: (channel: string, text: string) => Effect.Effect<unknown, unknown>
}

/**
 * The servers to subscribe to: the one server, the current master, or every master of a cluster. Masters forward
 * messages to each other, but a message that is lost on that path is lost unnoticed.
 */
export const sources = (client: Client): ReadonlyArray<Source> => {
  const decided = {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    retryStrategy: null,
    monitor: false
  } as const
  const source = (node: Redis, duplicate: () => Redis): Source => ({
    id: nodeKey(node),
    connect: Effect.acquireRelease(
      Effect.sync(() => duplicate().on("error", () => {})),
      (connection) => Effect.sync(() => connection.disconnect())
    ),
    publish: (channel, text) =>
      Effect.tryPromise({
        // A lent client may queue a command that it cannot send.
        try: () => (node.status === "ready" ? node.publish(channel, text) : Promise.reject(new Error("not connected"))),
        catch: (error) => error
      })
  })
  return isCluster(client)
    ? client.nodes("master").map((node) => source(node, () => node.duplicate({ ...decided, readOnly: false })))
    : [
        source(client, () =>
          silenceSentinels(client.duplicate({ ...decided, sentinelRetryStrategy: () => null, failoverDetector: false }))
        )
      ]
}
