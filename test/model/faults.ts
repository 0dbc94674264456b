/**
 * The faults of a program: the network of each process, and the server.
 */
import { Effect } from "effect"
import type { Model } from "./model.js"
import type { NetworkFault, ServerFault } from "./program.js"
import type { Shared } from "./worlds.js"

export interface Faults {
  readonly breakNetwork: (process: number, fault: NetworkFault) => Effect.Effect<void>
  readonly healNetwork: (process: number) => Effect.Effect<void>
  readonly breakServer: (fault: ServerFault) => Effect.Effect<void>
  readonly healServer: Effect.Effect<void>
  /** Removes an entry of the server, as an eviction does. Tombstones and marks stay. */
  readonly evict: (key: string) => Effect.Effect<void>
  /** Whether the server is up and no network is broken. */
  readonly isHealed: () => boolean
  /** Whether the server has lost entries. No process is notified of that, so copies of them stay until they expire. */
  readonly hasLost: () => boolean
}

/** The faults of a world without a server. */
const none: Faults = {
  breakNetwork: () => Effect.void,
  healNetwork: () => Effect.void,
  breakServer: () => Effect.void,
  healServer: Effect.void,
  evict: () => Effect.void,
  isHealed: () => true,
  hasLost: () => false
}

export const make = (model: Model, shared: Shared | undefined): Faults => {
  if (shared === undefined) return none
  const { networks, redis } = shared
  const broken = new Set<number>()
  let server: "up" | ServerFault = "up"
  let hasLost = false

  const healNetwork = (process: number) =>
    Effect.suspend(() => {
      if (!broken.delete(process)) return Effect.void
      model.say(`the network of ${process} heals`)
      return networks[process]!.restore
    })

  const breakNetwork = (process: number, fault: NetworkFault) =>
    Effect.suspend(() => {
      if (broken.has(process)) return healNetwork(process)
      const network = networks[process]!
      model.say(`the network of ${process}: ${fault}`)
      if (fault !== "reset" && fault !== "reset of the subscriber") broken.add(process)
      switch (fault) {
        case "cut":
          return Effect.zipRight(network.refuse, network.cut)
        case "blackhole":
          return network.blackhole
        case "no notifications":
          return network.blackholeSubscribers
        case "reset":
          return network.cut
        case "reset of the subscriber":
          return network.cutSubscribers
        case "slow":
          return network.latency(20)
      }
    })

  const healServer = Effect.suspend(() => {
    const was = server
    server = "up"
    if (was === "up") return Effect.void
    model.say("Redis is back")
    return was === "stopped" ? redis.cont : redis.start
  })

  const breakServer = (fault: ServerFault) =>
    Effect.suspend(() => {
      if (server !== "up") return healServer
      model.say(`Redis is ${fault}`)
      hasLost ||= fault !== "stopped"
      if (fault === "flushed") return Effect.asVoid(Effect.promise(() => redis.client.flushall()))
      server = fault
      return fault === "stopped" ? redis.stop : redis.kill
    })

  const evict = (key: string) =>
    Effect.promise(async () => {
      if (server !== "up") return
      const bytes = await redis.client.getBuffer(`ec1:${key}`)
      if (bytes === null || bytes[3] !== 0) return
      model.say(`${key} is evicted`)
      hasLost = true
      await redis.client.del(`ec1:${key}`)
    })

  return {
    breakNetwork,
    healNetwork,
    breakServer,
    healServer,
    evict,
    isHealed: () => server === "up" && broken.size === 0,
    hasLost: () => hasLost
  }
}
