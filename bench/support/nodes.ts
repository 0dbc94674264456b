/**
 * Several processes with memory in front of one Redis.
 */
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { bundle } from "../../test/support/bundle.js"
import * as Child from "../../test/support/child.js"
import type { RedisServer } from "../../test/support/redis.js"
import { check } from "./harness.js"
import type { Commands } from "./node.js"

const prefix = "nodes:"

/** Starts processes and waits until each receives the notifications of the others. A load calls `onLoad`. */
export const start = (redis: RedisServer.Service, howMany: number, onLoad: () => void = () => {}) =>
  Effect.gen(function* () {
    const file = yield* bundle(fileURLToPath(new URL("./node.ts", import.meta.url)))
    const nodes = yield* Effect.forEach(
      Array.from({ length: howMany }),
      () => Child.start<Commands>(file, { args: [redis.url, prefix], onEvent: onLoad }),
      { concurrency: "unbounded" }
    )
    yield* Effect.forEach(nodes, (node) => node.ask("coherent"), { concurrency: "unbounded" })
    return nodes
  })

/** Ends the processes. */
export const end = (nodes: ReadonlyArray<Child.Child<Commands>>) =>
  Effect.forEach(nodes, (node) => Effect.flatMap(node.end, (code) => check("exit code of a node", code, 0)))

/** The envelope that `set` sends for a value. */
export const envelope = (redis: RedisServer.Service, node: Child.Child<Commands>) =>
  Effect.gen(function* () {
    yield* node.ask("hold", -1, 0)
    return (yield* Effect.promise(() => redis.client.getBuffer(`${prefix}k:-1`)))!
  })

/**
 * The further arguments of the script of `set`: the entry lives for a minute, and the stamp makes it later than any other,
 * however old the envelope is. Nothing was seen of the count.
 */
export const asSet = ["60000", "1e15", "", "60000", "", "0"] as const

/** The key of the count, which the script of `set` has as its last one. */
export const countKey = "bench-count"
