/**
 * The nodes of a cluster, as its client knows them: which one holds a slot, whether it can be asked, and how far its
 * clock is from this process's.
 *
 * ioredis connects to a node when a command wants it, and finds out what became of a node that is lost when a command
 * fails. Here nothing waits for a connection, so nodes are connected to when they become known, and where one is missing
 * the cluster is asked again, with growing patience, until every slot has a node that answers.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import type { Cluster, Redis } from "ioredis"
import { monotonic } from "../../time.js"
import { nodeKey, wait } from "./client.js"

/** how often clocks are compared */
const measureEvery = "30 seconds"

/** the narrowest of so many measures counts */
const measures = 5

/** who is asked; `overdue` counts the answers that did not come in time */
export class Peer {
  overdue = 0
  /** what to add to this process's clock to get the peer's lies between these; mutable by design */
  low = Number.NEGATIVE_INFINITY
  high = Number.POSITIVE_INFINITY
  readonly redis: Redis | undefined

  constructor(redis: Redis | undefined) {
    this.redis = redis
  }

  get isMeasured(): boolean {
    return this.low > Number.NEGATIVE_INFINITY
  }

  get isUp(): boolean {
    return this.overdue === 0 && (this.redis === undefined || (this.isMeasured && this.redis.status === "ready"))
  }
}

const nobody = new Peer(undefined)
nobody.overdue = Number.POSITIVE_INFINITY

export class Nodes {
  private readonly peers = new Map<string, Peer>()
  private readonly instances = new Set<Redis>()
  private readonly clock = Clock.make()
  private keeper: Fiber.RuntimeFiber<unknown> | undefined
  private isStale = false
  private closed = false
  private readonly cluster: Cluster
  private readonly lent: boolean
  private readonly runtime: Runtime.Runtime<never>
  private readonly onChange: (change: "found" | "lost") => void

  /** `onChange`: a node has become able to answer, or has gone */
  constructor(
    cluster: Cluster,
    lent: boolean,
    runtime: Runtime.Runtime<never>,
    onChange: (change: "found" | "lost") => void
  ) {
    this.cluster = cluster
    this.lent = lent
    this.runtime = runtime
    this.onChange = onChange
  }

  of(slot: number): Peer {
    const owner = this.cluster.slots[slot]?.[0]
    return (owner === undefined ? undefined : this.peers.get(owner)) ?? nobody
  }

  /** the nodes that hold slots and cannot be asked */
  get missing(): ReadonlyArray<string> {
    const owners = new Set<string>()
    for (const keys of this.cluster.slots) if (keys?.[0] !== undefined) owners.add(keys[0])
    return Array.from(owners).filter((owner) => this.peers.get(owner)?.isUp !== true)
  }

  /** whether any of them is still about to be connected */
  get isConnecting(): boolean {
    return this.missing.some((owner) => {
      const status = this.peers.get(owner)?.redis?.status
      return status !== undefined && status !== "close" && status !== "end"
    })
  }

  /** follows the client, from when it knows the cluster */
  open(): void {
    const { cluster } = this
    cluster.off("+node", this.onNode).off("-node", this.onGone)
    cluster.on("+node", this.onNode).on("-node", this.onGone)
    for (const node of cluster.nodes()) this.onNode(node)
    this.look()
  }

  close(): void {
    this.closed = true
    const { cluster } = this
    cluster.off("+node", this.onNode).off("-node", this.onGone)
    this.keeper?.unsafeInterruptAsFork(FiberId.none)
    for (const node of this.instances) {
      node.off("ready", this.onReady)
      // ioredis may have lost one from sight, while its connection stands
      if (!this.lent) node.disconnect()
    }
  }

  /** asks the cluster where slots are, until each has a node that answers; at least once where `isStale` */
  look(isStale = false): void {
    this.isStale ||= isStale
    if (this.keeper !== undefined || this.closed) return
    let attempt = 0
    const refresh = Effect.async<void>((resume) => this.cluster.refreshSlotsCache(() => resume(Effect.void)))
    const step = Effect.suspend(() => {
      const trouble = this.cluster.status === "ready" && (this.isStale || this.missing.length > 0)
      this.isStale = false
      attempt = trouble ? attempt + 1 : 0
      return trouble ? Effect.timeoutOption(refresh, "10 seconds") : Effect.void
    })
    this.keeper = Runtime.runFork(
      this.runtime,
      Effect.suspend(() => Effect.delay(step, Duration.millis(wait(attempt)))).pipe(
        Effect.repeat({ while: () => attempt > 0 }),
        Effect.withClock(this.clock)
      )
    )
    this.keeper.addObserver(() => {
      this.keeper = undefined
    })
  }

  /** compares clocks once in a while; runs for as long as it is let */
  get measuring(): Effect.Effect<void> {
    const all = Effect.sync(() => {
      for (const peer of this.peers.values()) if (peer.isUp) this.measure(peer)
    })
    return Effect.withClock(Effect.asVoid(Effect.forever(Effect.delay(all, measureEvery))), this.clock)
  }

  private readonly onNode = (node: Redis): void => {
    const key = nodeKey(node)
    if (this.peers.get(key)?.redis !== node) {
      this.peers.set(key, new Peer(node))
      this.instances.add(node)
      this.guard(node)
      node.on("ready", this.onReady)
      if (node.status === "ready") this.onReady.call(node)
    }
    // before that they are the nodes to begin with, of which one is asked for the others
    const isWanted = this.cluster.status === "ready" && node.status === "wait" && !node.options.readOnly
    if (isWanted) node.connect().catch(() => {})
  }

  private readonly onGone = (node: Redis): void => {
    const key = nodeKey(node)
    this.instances.delete(node)
    if (this.peers.get(key)?.redis === node) this.peers.delete(key)
    this.onChange("lost")
    this.look()
  }

  private readonly onReady: (this: Redis) => void = (() => {
    const nodes = this
    return function (this: Redis) {
      const peer = nodes.peers.get(nodeKey(this))
      if (peer?.redis !== this) return
      // it may have been away, and have another clock since
      peer.low = Number.NEGATIVE_INFINITY
      peer.high = Number.POSITIVE_INFINITY
      nodes.measure(peer)
    }
  })()

  /** ioredis forgets a promise here, which nobody could catch when the node is gone */
  private guard(node: Redis): void {
    if (this.lent) return
    const asking = node.asking.bind(node) as () => Promise<"OK">
    const guarded = () => {
      const asked = asking()
      asked.catch(() => {})
      return asked
    }
    Object.assign(node, { asking: guarded })
  }

  private measure(peer: Peer): void {
    const node = peer.redis!
    let low = Number.NEGATIVE_INFINITY
    let high = Number.POSITIVE_INFINITY
    const again = (left: number): void => {
      const sent = monotonic(this.clock)
      node.time().then(
        ([seconds, micros]) => {
          const time = Number(seconds) * 1_000 + Number(micros) / 1_000
          low = Math.max(low, time - monotonic(this.clock))
          high = Math.min(high, time - sent)
          if (left > 1) return again(left - 1)
          const isNew = !peer.isMeasured
          // a clock that was set meanwhile leaves no room between the two
          peer.low = Math.min(low, high)
          peer.high = Math.max(low, high)
          if (isNew && !this.closed) this.onChange("found")
        },
        () => {}
      )
    }
    again(measures)
  }
}
