/**
 * The faults of a history: the network of each process, and the server.
 */
import { Effect } from "effect"
import type { RedisServer, TcpProxy } from "../support/redis.js"
import type { Model } from "./model.js"
import type * as Random from "./random.js"

export const makeFaults = (
  model: Model,
  random: Random.Random,
  redis: RedisServer.Service,
  proxies: ReadonlyArray<TcpProxy.TcpProxy>
) => {
  const network: Array<string> = ["ok", "ok", "ok"]
  let server: "up" | "stopped" | "killed" = "up"

  const healNetwork = (i: number) =>
    Effect.gen(function* () {
      if (network[i] === "ok") return
      model.say(`network of ${i} heals`)
      yield* proxies[i]!.restore
      network[i] = "ok"
    })

  const breakNetwork = Effect.gen(function* () {
    const i = random.below(3)
    const proxy = proxies[i]!
    const how = random.pick([
      "cut",
      "blackhole",
      "no notifications",
      "reset",
      "reset of the subscriber",
      "slow"
    ] as const)
    if (network[i] !== "ok") return yield* healNetwork(i)
    model.say(`network of ${i}: ${how}`)
    switch (how) {
      case "cut":
        yield* Effect.zipRight(proxy.refuse, proxy.cut)
        break
      case "blackhole":
        yield* proxy.blackhole
        break
      case "no notifications":
        yield* proxy.blackholeSubscribers
        break
      case "reset":
        return yield* proxy.cut
      case "reset of the subscriber":
        return yield* proxy.cutSubscribers
      case "slow":
        yield* proxy.latency(random.pick([5, 20, 60]))
    }
    network[i] = how
  })

  const healServer = Effect.gen(function* () {
    if (server === "stopped") yield* redis.cont
    if (server === "killed") yield* redis.start
    if (server !== "up") model.say("Redis is back")
    server = "up"
  })

  const breakServer = Effect.gen(function* () {
    if (server !== "up") return yield* healServer
    server = random.pick(["stopped", "stopped", "killed"] as const)
    model.say(`Redis is ${server}`)
    yield* server === "stopped" ? redis.stop : redis.kill
  })

  /** Whether the server is up and no network is broken. */
  const isHealed = (): boolean => server === "up" && network.every((state) => state === "ok")

  return { isHealed, healNetwork, breakNetwork, healServer, breakServer }
}
