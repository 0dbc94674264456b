/**
 * How long does an invalidation take from one process to another, beside a bare message through the same Redis?
 */
import { Effect } from "effect"
import * as Scripts from "../src/internal/backends/redis/scripts.js"
import type * as Child from "../test/support/child.js"
import { RedisServer } from "../test/support/redis.js"
import { quantile, type Section, section, table } from "./support/harness.js"
import type { Commands } from "./support/node.js"
import { asSet, countKey, end, envelope, start } from "./support/nodes.js"

const rounds = 5
const each = 300

const latency = (title: string) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer.make()
    const nodes = yield* start(redis, 2)
    const [a, b] = nodes as [Child.Child<Commands>, Child.Child<Commands>]
    const args = [countKey, "bench-news", "somebody", yield* envelope(redis, a), ...asSet]
    yield* b.ask("listen", "bench-news")
    yield* a.ask("connect")
    const keys = (name: string, from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => `${name}:${from + i}`)

    const paths: ReadonlyArray<{
      readonly name: string
      readonly prepare?: (from: number, to: number) => Effect.Effect<unknown>
      readonly act: (from: number, to: number) => Effect.Effect<ReadonlyArray<number>>
      readonly key: string
    }> = [
      {
        name: "PUBLISH to message, bare ioredis",
        act: (from, to) => a.ask("publish", "bench-news", from, to, "bare"),
        key: "bare"
      },
      {
        name: "the script of set to message, bare ioredis",
        act: (from, to) => a.ask("script", Scripts.set.text, args, from, to, "script"),
        key: "script"
      },
      {
        name: "SET to message of client-side tracking, bare ioredis",
        prepare: (from, to) => b.ask("track", keys("tracked", from, to)),
        act: (from, to) => a.ask("set", from, to, "tracked"),
        key: "tracked"
      },
      {
        name: "invalidate to removal from the other process's memory",
        prepare: (from, to) => b.ask("hold", from, to),
        act: (from, to) => a.ask("invalidate", from, to),
        key: "k"
      }
    ]
    const samples = paths.map((): Array<number> => [])
    for (let round = -1; round < rounds; round++) {
      const [from, to] = [(round + 1) * each, (round + 2) * each]
      for (const [i, { act, key, prepare }] of paths.entries()) {
        yield* prepare?.(from, to) ?? Effect.void
        const sent = yield* act(from, to)
        const received = yield* b.ask("received", keys(key, from, to))
        if (round >= 0) samples[i]!.push(...received.map((at, i) => at - sent[i]!))
      }
    }
    yield* end(nodes)

    const floor = quantile(samples[0]!, 0.5)
    yield* table(title, [
      ["", "p50", "p99", "p50 to floor"],
      ...paths.map(({ name }, i) => [
        name,
        `${quantile(samples[i]!, 0.5).toFixed(3)} ms`,
        `${quantile(samples[i]!, 0.99).toFixed(3)} ms`,
        `${(quantile(samples[i]!, 0.5) / floor).toFixed(2)}×`
      ])
    ])
  })

export const invalidations: ReadonlyArray<Section> = [
  section(`from one node to another, ${rounds * each} times each, wall time`, latency)
]
