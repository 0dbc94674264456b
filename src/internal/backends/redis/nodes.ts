/**
 * The nodes of a cluster, as its client knows them: which one holds a slot, and whether it can be asked.
 *
 * Commands do not wait for a connection, so nodes are connected as soon as they are known. While a slot has no node
 * that answers, the cluster is asked for its layout again, at growing intervals.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import type { Cluster, Redis } from "ioredis"
import { nodeKey, wait } from "./client.js"
import { catchAsking, connectLazyNode, disconnectAll, refreshSlots } from "./ioredisWorkarounds.js"

/**
 * A server that commands go to: a node of a cluster, or the one server of a client without a cluster. `redis` is the
 * connection to a node; to the one server it is the client itself, and `redis` is `undefined`.
 */
export class ClusterNode {
  /** The number of answers that did not arrive in time and are still awaited. Mutable by design. */
  overdue = 0
  readonly redis: Redis | undefined

  constructor(redis: Redis | undefined) {
    this.redis = redis
  }

  get isUp(): boolean {
    return this.overdue === 0 && (this.redis === undefined || this.redis.status === "ready")
  }
}

/** The node of every slot whose node is not known. It is never up. */
const unknownNode = new ClusterNode(undefined)
unknownNode.overdue = Number.POSITIVE_INFINITY

export interface Options {
  readonly cluster: Cluster
  /** Whether the client belongs to the user. */
  readonly lent: boolean
  readonly runtime: Runtime.Runtime<never>
  /** Called when a node can be asked from now on, and when one is gone. */
  readonly onChange: () => void
}

export class ClusterNodes {
  private readonly nodes = new Map<string, ClusterNode>()
  /** The connections to nodes that the client has made, including those that it no longer knows. */
  private readonly connections = new Set<Redis>()
  private readonly clock = Clock.make()
  private refresher: Fiber.RuntimeFiber<unknown> | undefined
  /** Whether the cluster must be asked for its layout even if every slot has a node that answers. Mutable by design. */
  private isStale = false
  private closed = false
  private readonly options: Options

  constructor(options: Options) {
    this.options = options
  }

  /** The node that holds a slot. */
  of(slot: number): ClusterNode {
    const master = this.options.cluster.slots[slot]?.[0]
    return (master === undefined ? undefined : this.nodes.get(master)) ?? unknownNode
  }

  /** The addresses of the masters that hold slots. */
  private get addresses(): ReadonlyArray<string> {
    const masters = new Set<string>()
    for (const holders of this.options.cluster.slots) if (holders?.[0] !== undefined) masters.add(holders[0])
    return Array.from(masters)
  }

  /** The masters that hold slots. */
  get masters(): ReadonlyArray<ClusterNode> {
    return this.addresses.map((address) => this.nodes.get(address) ?? unknownNode)
  }

  /** The addresses of the masters that hold slots and cannot be asked. */
  private get missing(): ReadonlyArray<string> {
    return this.addresses.filter((master) => this.nodes.get(master)?.isUp !== true)
  }

  /** Whether a node that holds slots is still being connected. */
  get isConnecting(): boolean {
    return this.missing.some((master) => {
      const status = this.nodes.get(master)?.redis?.status
      return status !== undefined && status !== "close" && status !== "end"
    })
  }

  /** Follows the nodes of the client. Called once the client has connected to the cluster. */
  open(): void {
    const { cluster } = this.options
    cluster.off("+node", this.onNode).off("-node", this.onGone)
    cluster.on("+node", this.onNode).on("-node", this.onGone)
    for (const node of cluster.nodes()) this.onNode(node)
    this.refresh()
  }

  close(): void {
    this.closed = true
    const { cluster, lent } = this.options
    cluster.off("+node", this.onNode).off("-node", this.onGone)
    this.refresher?.unsafeInterruptAsFork(FiberId.none)
    for (const connection of this.connections) connection.off("ready", this.onReady)
    if (!lent) disconnectAll(this.connections)
  }

  /** Asks the cluster for its layout until each slot has a node that answers; at least once if the layout `isStale`. */
  refresh(isStale = false): void {
    this.isStale ||= isStale
    if (this.refresher !== undefined || this.closed) return
    const { cluster, runtime } = this.options
    let attempt = 0
    const step = Effect.suspend(() => {
      const isNeeded = cluster.status === "ready" && (this.isStale || this.missing.length > 0)
      this.isStale = false
      attempt = isNeeded ? attempt + 1 : 0
      return isNeeded ? Effect.timeoutOption(refreshSlots(cluster), "10 seconds") : Effect.void
    })
    this.refresher = Runtime.runFork(
      runtime,
      Effect.suspend(() => Effect.delay(step, wait(attempt))).pipe(
        Effect.repeat({ while: () => attempt > 0 }),
        Effect.withClock(this.clock)
      )
    )
    this.refresher.addObserver(() => {
      this.refresher = undefined
    })
  }

  private readonly onNode = (connection: Redis): void => {
    const { cluster, lent } = this.options
    const key = nodeKey(connection)
    if (this.nodes.get(key)?.redis !== connection) {
      this.nodes.set(key, new ClusterNode(connection))
      this.connections.add(connection)
      if (!lent) catchAsking(connection)
      connection.on("ready", this.onReady)
      if (connection.status === "ready") this.onReady.call(connection)
    }
    connectLazyNode(cluster, connection)
  }

  private readonly onGone = (connection: Redis): void => {
    const key = nodeKey(connection)
    this.connections.delete(connection)
    if (this.nodes.get(key)?.redis === connection) this.nodes.delete(key)
    this.options.onChange()
    this.refresh()
  }

  private readonly onReady: (this: Redis) => void = (() => {
    const nodes = this
    return function (this: Redis) {
      const node = nodes.nodes.get(nodeKey(this))
      if (node?.redis !== this) return
      if (!nodes.closed) nodes.options.onChange()
    }
  })()
}
