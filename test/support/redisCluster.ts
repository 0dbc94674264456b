/**
 * A real Redis Cluster, which runs until a scope closes: three masters that share the slots, and a replica of each if
 * asked for. It is formed with CLUSTER commands alone.
 */
import calculateSlot from "cluster-key-slot"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Redis } from "ioredis"
import { freePort } from "./ports.js"
import { awaitUntil, RedisServer } from "./redis.js"

const slotCount = 16_384

export interface ClusterNode extends RedisServer.Service {
  readonly id: string
}

export interface RedisCluster {
  readonly masters: ReadonlyArray<ClusterNode>
  /** The replica of each master, in the same order. Empty unless replicas were asked for. */
  readonly replicas: ReadonlyArray<ClusterNode>
  readonly addresses: ReadonlyArray<{ readonly host: string; readonly port: number }>
  /** The master that held a slot, or the slot of a key, at the beginning. */
  readonly holder: (keyOrSlot: string | number) => ClusterNode
  /** A text that begins with `stem`, such that the key of `prefix` and the text is on this master. */
  readonly keyOn: (master: number, prefix: string, stem: string) => string
  /** Waits until all nodes agree that the cluster is well. */
  readonly healthy: Effect.Effect<void>
  /** Moves one slot to another master, and runs `during` at each stage of the move. */
  readonly migrate: (slot: number, to: ClusterNode, during: Effect.Effect<void>, prefix: string) => Effect.Effect<void>
}

const command = (client: Redis, ...args: [string, ...Array<string | number>]) =>
  Effect.promise(() => client.call(...(args.map(String) as [string, ...Array<string>])))

const startNode = Effect.fnUntraced(function* (timeout: number, env: RedisServer.Options["env"]) {
  const bus = yield* freePort
  const server = yield* RedisServer.make({
    env,
    args: [
      ...["--cluster-enabled", "yes", "--cluster-port", String(bus), "--cluster-node-timeout", String(timeout)],
      ...["--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0"],
      ...["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]
    ]
  })
  const id = String(yield* command(server.client, "CLUSTER", "MYID"))
  return { ...server, id, bus }
})

const isHealthy = ({ client }: RedisServer.Service, known: number) =>
  Effect.map(
    Effect.promise(() => client.call("CLUSTER", "INFO").catch(() => "")),
    (info) =>
      String(info).includes("cluster_state:ok") &&
      String(info).includes("cluster_slots_ok:16384") &&
      String(info).includes(`cluster_known_nodes:${known}`)
  )

export const makeCluster = (
  options: Pick<RedisServer.Options, "env"> & { readonly replicas?: boolean; readonly nodeTimeout?: number } = {}
): Effect.Effect<RedisCluster, never, Scope.Scope> =>
  Effect.gen(function* () {
    const count = options.replicas === true ? 6 : 3
    const nodes = yield* Effect.all(
      Array.from({ length: count }, () => startNode(options.nodeTimeout ?? 1_000, options.env)),
      { concurrency: "unbounded" }
    )
    const masters = nodes.slice(0, 3)
    const replicas = nodes.slice(3)
    const bounds = [0, 5_461, 10_923, slotCount]
    for (const [i, { client }] of masters.entries()) {
      yield* command(client, "CLUSTER", "SET-CONFIG-EPOCH", i + 1)
      yield* command(client, "CLUSTER", "ADDSLOTSRANGE", bounds[i]!, bounds[i + 1]! - 1)
    }
    for (const { bus, host, port } of nodes.slice(1)) {
      yield* command(masters[0]!.client, "CLUSTER", "MEET", host, port, bus)
    }
    const healthy = awaitUntil(
      Effect.map(
        Effect.forEach(nodes, (node) => isHealthy(node, count)),
        (all) => all.every(Boolean)
      ),
      "the cluster is healthy"
    )
    yield* healthy
    for (const [i, replica] of replicas.entries()) {
      yield* command(replica.client, "CLUSTER", "REPLICATE", masters[i]!.id)
    }
    for (const replica of replicas) {
      yield* awaitUntil(
        Effect.map(replica.info("replication"), (info) => info.master_link_status === "up"),
        "the replica follows its master"
      )
    }
    yield* healthy

    const indexOf = (keyOrSlot: string | number) => {
      const slot = typeof keyOrSlot === "number" ? keyOrSlot : calculateSlot(keyOrSlot)
      return bounds.findIndex((bound) => slot < bound) - 1
    }
    return {
      masters,
      replicas,
      addresses: masters.map(({ host, port }) => ({ host, port })),
      holder: (keyOrSlot) => masters[indexOf(keyOrSlot)]!,
      keyOn: (master, prefix, stem) => {
        for (let i = 0; ; i++) {
          if (indexOf(`${prefix}${stem}${i}`) === master) return `${stem}${i}`
        }
      },
      healthy,
      migrate: (slot, to, during, prefix) =>
        Effect.gen(function* () {
          const from = masters[indexOf(slot)]!
          yield* command(to.client, "CLUSTER", "SETSLOT", slot, "IMPORTING", from.id)
          yield* command(from.client, "CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)
          yield* during
          const keys = (yield* command(from.client, "CLUSTER", "GETKEYSINSLOT", slot, 1_000)) as ReadonlyArray<string>
          const own = keys.filter((key) => key.startsWith(prefix))
          // the last one moves later: meanwhile a batch has its keys on two nodes
          for (const [i, key] of own.entries()) {
            if (i === own.length - 1 && i > 0) yield* during
            yield* command(from.client, "MIGRATE", to.host, to.port, key, 0, 5_000)
          }
          yield* during
          // the keys of other tests that are in this slot
          const rest = (yield* command(from.client, "CLUSTER", "GETKEYSINSLOT", slot, 1_000)) as ReadonlyArray<string>
          for (const key of rest) yield* command(from.client, "MIGRATE", to.host, to.port, key, 0, 5_000)
          for (const { client } of [to, from]) yield* command(client, "CLUSTER", "SETSLOT", slot, "NODE", to.id)
          yield* during
        })
    }
  })
