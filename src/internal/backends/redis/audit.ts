/**
 * What is checked about a client and its server, because the store promises less with some of their settings. Each
 * finding is a problem of the store, logged once and listed in `health`.
 */
import * as Effect from "effect/Effect"
import type { Problems } from "../../problems.js"
import { addressOf, type Client, isCluster } from "./client.js"
import type { Connection } from "./connection.js"

export interface Audited {
  /** The name of the store. */
  readonly name: string
  readonly problems: Problems
}

/** The settings of a lent client that make it send commands again, or send them late. Text to set instead. */
const resending = (client: Client): ReadonlyArray<string> => {
  const options = isCluster(client) ? (client.options.redisOptions ?? {}) : client.options
  const queues = client.options.enableOfflineQueue !== false && options.maxRetriesPerRequest === null
  return [
    ...(options.autoResendUnfulfilledCommands === false ? [] : ["autoResendUnfulfilledCommands: false"]),
    ...(queues ? ["a number as maxRetriesPerRequest, or enableOfflineQueue: false"] : []),
    ...(isCluster(client) && client.options.retryDelayOnFailover !== 0 ? ["retryDelayOnFailover: 0"] : [])
  ]
}

/** Reports a lent client that sends commands again after a connection has broken. */
export const checkClient = (client: Client, { name, problems }: Audited): void => {
  const settings = resending(client)
  if (settings.length === 0) return
  problems.begin(
    "ClientResends",
    "",
    `${name}: the client that was passed to the store sends a command again, or late, when its connection breaks, so a ` +
      `write may be carried out after a later one. Set ${settings.join(", and ")} on a client for the cache` +
      (isCluster(client) ? ", the first in its `redisOptions`." : ".")
  )
}

/**
 * The eviction policies that remove a key although it was written a moment ago. The others remove what was not used for
 * longest, which a tombstone of a few seconds is not.
 */
const evictsTheYoung = /^(allkeys-random|volatile-random|volatile-ttl|allkeys-lfu|volatile-lfu)$/

/**
 * Asks the server for its eviction policy. Returns whether it may evict a tombstone before its time, so that a load
 * from before the invalidation could write the old value back. A server that does not tell counts as one that does not.
 */
export const checkEviction = (connection: Connection, { name, problems }: Audited): Effect.Effect<boolean> =>
  connection
    .callFirst("info", (client) => client.info("memory"))
    .pipe(
      Effect.map((info) => {
        const [, policy = ""] = /^maxmemory_policy:(\S+)/m.exec(info) ?? []
        const [, limit = "0"] = /^maxmemory:(\d+)/m.exec(info) ?? []
        const isWeak = limit !== "0" && evictsTheYoung.test(policy)
        if (isWeak) {
          problems.begin(
            "EvictsTombstones",
            "",
            `${name}: ${addressOf(connection.client)} evicts by the policy ${policy}, which may evict what an invalidation ` +
              "leaves behind before loads that began earlier have ended. The store follows the notifications of other " +
              "processes instead; while these do not arrive, an old value may come back (law 8, invalidation wins). " +
              "Set `maxmemory-policy allkeys-lru` or `volatile-lru`."
          )
        } else problems.end("EvictsTombstones", "")
        return isWeak
      }),
      Effect.orElseSucceed(() => false)
    )
