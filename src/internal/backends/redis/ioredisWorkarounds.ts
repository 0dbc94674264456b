/**
 * The workarounds for ioredis, each with the fault, the versions that have it, and an upstream issue if one is known.
 *
 * "Both versions" are 5.11.1 and 6.0.0. `test/stores/redis/ioredisWorkarounds.test.ts` shows each fault in plain
 * ioredis, for both. When a test fails for a version, that version no longer needs the workaround. A workaround can be
 * removed once this holds for every version in the range of the peer dependency.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Cluster, Redis } from "ioredis"
import { longestTimer } from "../../sleep.js"

// -------------------------------------------------------------------------------------------------------- construction

/**
 * ioredis takes text that is not a URL for a host name or for the path of a socket, and reports it only when it
 * connects. By design, in both versions. Text is therefore checked before it is passed on.
 */
export const isRedisUrl = (text: string): boolean => /^rediss?:\/\/[^/]/.test(text) && URL.canParse(text)

/**
 * ioredis has no public accessor for the addresses that a cluster client begins with. Both versions. The private member
 * is used for log lines only.
 */
export const startupNodes = (cluster: Cluster): ReadonlyArray<unknown> =>
  (cluster as unknown as { readonly startupNodes?: ReadonlyArray<unknown> }).startupNodes ?? []

/**
 * ioredis puts no time limit on what follows the TCP connection (AUTH, the ready check): a server that accepts and
 * never answers keeps the client in the status `connect` for ever. Both versions, redis/ioredis#1194. On a cluster,
 * where the connection of a node is not watched until it is ready, `socketTimeout` ends it. Its value is above the time
 * after which a silent connection with pending commands is closed, so that it does not interfere with commands.
 */
export const handshakeTimeout = (timeout: Duration.DurationInput, reconnectAfter: number): number =>
  Math.min(Duration.toMillis(timeout) + reconnectAfter + 1_000, longestTimer)

/**
 * A client whose SELECT is refused, because the database does not exist or its user may not use it, emits the error and
 * goes on in database 0. Both versions. The store therefore selects the database itself, before it sends anything else:
 * the one that the client was given, or that its user has selected since.
 */
export const databaseOf = (client: Redis | Cluster): number => {
  if ("isCluster" in client && client.isCluster) return 0
  const { condition, options } = client as Redis & { readonly condition?: { readonly select?: number } }
  return condition?.select ?? options.db ?? 0
}

/**
 * Whether a command was not sent. A client that leaves a connection by itself keeps the status `ready` until the socket
 * has closed, and rejects commands meanwhile. Both versions.
 */
export const isUnsent = (cause: unknown): boolean =>
  cause instanceof Error && cause.message.startsWith("Stream isn't writeable")

// -------------------------------------------------------------------------------------------------------- error events

/**
 * ioredis prints an error event without a listener on the console. The clients that its failover detector makes for the
 * sentinels have no listener. Both versions, compare redis/ioredis#1829. Each gets one here; the errors that matter
 * arrive at the client of the master too.
 */
export const silenceSentinels = (client: Redis): Redis => {
  const { connector } = client as unknown as { connector?: { connectToSentinel?: (...args: Array<never>) => Redis } }
  const connectToSentinel = connector?.connectToSentinel?.bind(connector)
  if (connector !== undefined && connectToSentinel !== undefined) {
    connector.connectToSentinel = (...args) => connectToSentinel(...args).on("error", () => {})
  }
  return client
}

/**
 * A client may emit errors after `disconnect`, such as those of a write, and ioredis prints them if there is no
 * listener. Both versions, compare redis/ioredis#1829. A client that the store made therefore keeps its listener.
 */
export const releaseErrorListener = (
  client: Redis | Cluster,
  lent: boolean,
  listener: (error: Error) => void
): void => {
  if (lent) client.off("error", listener)
}

// ------------------------------------------------------------------------------------------------------------ sentinel

/**
 * A client ends for ever, whatever its `retryStrategy` says, if the failover detector reports a failover while the
 * client asks the sentinels for the master. Both versions. The client is connected again after `delay` milliseconds.
 */
export const reviveAfterEnd = (
  client: Redis | Cluster,
  delay: number,
  onError: (error: Error) => void
): Effect.Effect<void> =>
  Effect.delay(
    Effect.sync(() => {
      if (client.status === "end") client.connect().catch(onError)
    }),
    delay
  )

// ------------------------------------------------------------------------------------------------------------- cluster

/**
 * When a node answers `ASK`, ioredis sends ASKING to the other node and drops the promise. If that node is gone, the
 * rejection is unhandled and ends the process. Both versions. The promise gets a handler here; the command itself still
 * fails.
 */
export const catchAsking = (node: Redis): void => {
  const asking = node.asking.bind(node) as () => Promise<"OK">
  const caught = () => {
    const asked = asking()
    asked.catch(() => {})
    return asked
  }
  Object.assign(node, { asking: caught })
}

/**
 * ioredis connects to a node of a cluster only when a command needs it, and the command waits for the connection. By
 * design, in both versions. Masters are connected here as soon as they are known. Until the cluster is ready its nodes
 * are the ones to begin with, and ioredis itself connects to the one that it asks.
 */
export const connectLazyNode = (cluster: Cluster, node: Redis): void => {
  const isWanted = cluster.status === "ready" && node.status === "wait" && !node.options.readOnly
  if (isWanted) node.connect().catch(() => {})
}

/**
 * ioredis asks for the layout of a cluster again when a command is redirected, and at intervals, but not when a node is
 * lost: commands for its slots fail until then. By design, in both versions. The method that asks is public in
 * JavaScript and marked `@ignore`.
 */
export const refreshSlots = (cluster: Cluster): Effect.Effect<void> =>
  Effect.async<void>((resume) => cluster.refreshSlotsCache(() => resume(Effect.void)))

/**
 * ioredis removes a node from its pool by address when a connection ends, although a newer connection to the same
 * address may be there by then. The newer one is no longer known to the client, which does not close it. 5.x, fixed in
 * 6.0.0, redis/ioredis#1864. All connections that ever were announced are closed here.
 */
export const disconnectAll = (connections: Iterable<Redis>): void => {
  for (const connection of connections) connection.disconnect()
}

/**
 * Whether a command failed because its keys were on two nodes, while their slot moves. The server answers `TRYAGAIN`,
 * upon which ioredis sends the command to a random node, follows the redirections from there, and may give up with an
 * error of its own. Both versions.
 */
export const isSplitSlot = (cause: unknown): boolean =>
  cause instanceof Error && /TRYAGAIN|Too many Cluster redirections/.test(cause.message)
