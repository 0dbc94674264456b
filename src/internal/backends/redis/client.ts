/**
 * How clients of Redis are made: one server, a cluster, or the master that sentinels name. None queues a command, none
 * sends one again, and each comes back by itself: what is to be delivered after an outage is the engine's to know.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { Cluster, Redis, type RedisOptions } from "ioredis"
import { InvalidOption } from "../../../CacheError.js"

export type Client = Redis | Cluster

export type Secret = string | Redacted.Redacted

export type Address = Secret | { readonly host: string; readonly port: number }

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
  readonly redis?: Omit<RedisOptions, "path"> | undefined
  readonly timeout?: Duration.DurationInput | undefined
  readonly connectTimeout?: Duration.DurationInput | undefined
}

/** not by class: a client that is lent may come from another copy of ioredis */
export const isCluster = (client: Client): client is Cluster => "isCluster" in client && client.isCluster

export const nodeKey = (node: Redis): string => `${node.options.host}:${node.options.port}`

/** milliseconds before an attempt to connect */
export const wait = (attempt: number): number => Math.min(50 * 2 ** Math.min(attempt, 6), 1_000)

/** how long after a timeout a silent connection is given up and made anew */
export const reconnectAfter = 2_000

const reveal = (secret: Secret): string => (Redacted.isRedacted(secret) ? Redacted.value(secret) : secret)

/** ioredis takes what is no url for a host, or a socket; the text itself is not repeated, it may hold a password */
const checked = (option: string, url: string): string => {
  if (/^rediss?:\/\/[^/]/.test(url) && URL.canParse(url)) return url
  throw new InvalidOption({ option, detail: "is not of the form redis://host:port or rediss://host:port" })
}

/** where nodes are, and what their urls say besides */
const parsed = (option: string, nodes: ReadonlyArray<Address>, defaultPort: number) => {
  if (nodes.length === 0) throw new InvalidOption({ option, detail: "names no node to begin with" })
  const extra: { username?: string; password?: string; tls?: {} } = {}
  const addresses = nodes.map((node) => {
    if (typeof node === "object" && !Redacted.isRedacted(node)) return { host: node.host, port: node.port }
    const url = new URL(checked(option, reveal(node)))
    if (url.username !== "") extra.username ??= decodeURIComponent(url.username)
    if (url.password !== "") extra.password ??= decodeURIComponent(url.password)
    if (url.protocol === "rediss:") extra.tls ??= {}
    return { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port || defaultPort) }
  })
  return { addresses, extra }
}

const single = (options: ClientOptions, decided: RedisOptions): Redis =>
  new Redis(checked("url", reveal(options.url ?? "redis://127.0.0.1:6379")), { ...options.redis, ...decided })

/** clients of sentinels that ioredis makes by itself have no listener, and what nobody listens to it prints */
const hush = (client: Redis): Redis => {
  const { connector } = client as unknown as { connector?: { connectToSentinel?: (...args: Array<never>) => Redis } }
  const connectToSentinel = connector?.connectToSentinel?.bind(connector)
  if (connector !== undefined && connectToSentinel !== undefined) {
    connector.connectToSentinel = (...args) => connectToSentinel(...args).on("error", () => {})
  }
  return client
}

const sentinel = (
  options: ClientOptions,
  { name, nodes, password, username }: NonNullable<ClientOptions["sentinel"]>,
  decided: RedisOptions
): Redis => {
  if (name === "") throw new InvalidOption({ option: "sentinel", detail: "does not name the master" })
  const { addresses, extra } = parsed("sentinel", nodes, 26_379)
  const secrets = {
    username: username ?? extra.username,
    password: password === undefined ? extra.password : reveal(password)
  }
  return hush(
    new Redis({
      sentinelTLS: extra.tls,
      ...options.redis,
      ...decided,
      name,
      role: "master",
      sentinels: addresses,
      ...(secrets.username === undefined ? {} : { sentinelUsername: secrets.username }),
      ...(secrets.password === undefined ? {} : { sentinelPassword: secrets.password }),
      // a sentinel that is silent is not waited for, the next one is asked
      sentinelCommandTimeout: decided.connectTimeout,
      sentinelRetryStrategy: wait,
      sentinelReconnectStrategy: wait,
      updateSentinels: true,
      // told by the sentinels, and by a master that was demoted while its connections stood
      failoverDetector: true,
      reconnectOnError: (error) => error.message.startsWith("READONLY")
    })
  )
}

const cluster = (options: ClientOptions, nodes: ReadonlyArray<Address>, decided: RedisOptions): Cluster => {
  const { addresses, extra } = parsed("cluster", nodes, 6_379)
  const { retryStrategy: _, enableOfflineQueue: __, lazyConnect: ___, ...perNode } = decided
  return new Cluster(addresses, {
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: wait,
    // a node that is lost leaves; where its keys live meanwhile is asked for, with the same patience
    clusterNodeRetryStrategy: null,
    // these would send again what may have been done
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    // a slot that moves has its keys in two places; such a batch is asked for key by key
    retryDelayOnTryAgain: 1,
    slotsRefreshTimeout: decided.connectTimeout,
    // a master that is added is listened to before any command comes to it
    slotsRefreshInterval: 10_000,
    redisOptions: {
      // a peer that is gone without a word while the connection is being made
      socketTimeout: Duration.toMillis(options.timeout ?? "500 millis") + reconnectAfter + 1_000,
      ...extra,
      ...options.redis,
      ...perNode
    }
  } as ConstructorParameters<typeof Cluster>[1])
}

/** a client that queues nothing, resends nothing, and comes back by itself */
export const connect = (options: ClientOptions): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync((): Client => {
      const named = (["url", "cluster", "sentinel"] as const).filter((option) => options[option] !== undefined)
      if (named.length > 1) {
        throw new InvalidOption({ option: named[1]!, detail: `does not go with \`${named[0]}\`: name one of them` })
      }
      const decided = {
        lazyConnect: true,
        enableOfflineQueue: false,
        autoResendUnfulfilledCommands: false,
        maxRetriesPerRequest: 0,
        // a closing socket holds the process no longer than this
        disconnectTimeout: 100,
        // one attempt is not the whole of the waiting
        connectTimeout: Math.min(Duration.toMillis(options.connectTimeout ?? "1 second"), 10_000),
        retryStrategy: wait
      }
      if (options.cluster !== undefined) return cluster(options, options.cluster, decided)
      if (options.sentinel !== undefined) return sentinel(options, options.sentinel, decided)
      return single(options, decided)
    }),
    (client) => Effect.sync(() => client.disconnect())
  )

/** where a client connects to, for people */
export const addressOf = (client: Client): string => {
  if (isCluster(client)) {
    const { startupNodes } = client as unknown as { startupNodes?: ReadonlyArray<unknown> }
    const nodes = (startupNodes ?? []).map((node) =>
      typeof node === "object" && node !== null && "host" in node
        ? `${node.host}:${"port" in node ? node.port : ""}`
        : ""
    )
    return `the cluster at ${nodes.filter((node) => node !== "").join(", ")}`
  }
  const { host, name, port, sentinels } = client.options
  return sentinels == null
    ? `${host}:${port}`
    : `master ${name} of the sentinels at ${sentinels.map(({ host, port }) => `${host}:${port}`).join(", ")}`
}

/** a server that tells what is written to it, and how to hear that */
export interface Source {
  /** of the server, for as long as it is the same one */
  readonly id: string
  /** one more connection to it, for SUBSCRIBE: not connected yet, and it does not come back by itself */
  readonly connect: Effect.Effect<Redis, never, Scope.Scope>
  readonly publish: (channel: string, text: string) => Effect.Effect<unknown, unknown>
}

/**
 * Where to listen: the one server, the master of the moment, or every master of a cluster: what passes from one node to
 * another may be lost on the way, and nobody would know.
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
  const source = (node: Redis, another: () => Redis): Source => ({
    id: nodeKey(node),
    connect: Effect.acquireRelease(
      Effect.sync(() => another().on("error", () => {})),
      (connection) => Effect.sync(() => connection.disconnect())
    ),
    publish: (channel, text) =>
      Effect.tryPromise(() =>
        // a client that is lent may keep what cannot be sent
        node.status === "ready" ? node.publish(channel, text) : Promise.reject(new Error("not connected"))
      )
  })
  return isCluster(client)
    ? client.nodes("master").map((node) => source(node, () => node.duplicate({ ...decided, readOnly: false })))
    : [
        source(client, () =>
          hush(client.duplicate({ ...decided, sentinelRetryStrategy: () => null, failoverDetector: false }))
        )
      ]
}
