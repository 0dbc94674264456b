/**
 * How often is a cold key loaded that several processes read at once, with and without `lock`?
 */
import { Effect } from "effect"
import { RedisServer } from "../test/support/redis.js"
import { check, median, type Section, section, table } from "./support/harness.js"
import { end, start } from "./support/nodes.js"

const herdsOfEach = 10

const measureHerds = (title: string) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer.make()
    let loads = 0
    const nodes = yield* start(redis, 4, () => loads++)
    const rows: Array<ReadonlyArray<string>> = []
    let key = 0
    for (const kind of ["plain", "locked"] as const) {
      const counts: Array<number> = []
      const times: Array<number> = []
      for (let i = -2; i < herdsOfEach; i++) {
        loads = 0
        key++
        const began = process.hrtime.bigint()
        const right = yield* Effect.forEach(nodes, (node) => node.ask("herd", kind, key, 250), {
          concurrency: "unbounded"
        })
        yield* check("right answers", right.join(), "250,250,250,250")
        if (i < 0) continue
        counts.push(loads)
        times.push(Number(process.hrtime.bigint() - began) / 1e6)
      }
      rows.push([
        kind === "plain" ? "without lock" : "with lock",
        (counts.reduce((sum, n) => sum + n, 0) / counts.length).toFixed(2),
        String(Math.max(...counts)),
        `${median(times).toFixed(0)} ms`
      ])
    }
    yield* end(nodes)
    yield* table(title, [["", "loads per herd", "at most", "until all are answered"], ...rows])
  })

export const locks: ReadonlyArray<Section> = [
  section(`${herdsOfEach} herds of 4 nodes with 250 fibers each on a cold key, which takes 20 ms to load`, measureHerds)
]
