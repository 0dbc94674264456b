/**
 * Several processes on one Redis: how fast an invalidation travels, what telling the others costs the server, and how
 * often a herd loads.
 */
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import { Redis } from "ioredis"
import * as Scripts from "../src/internal/backends/redis/scripts.js"
import { bundle } from "../test/support/bundle.js"
import * as Child from "../test/support/child.js"
import { awaitUntil, RedisServer } from "../test/support/redis.js"
import { check, median, type Section, section, table } from "./harness.js"
import type { Commands } from "./node.js"

const prefix = "nodes:"

/** processes, once each hears the others; `onLoad` is called when one loads */
const start = (redis: RedisServer.Service, howMany: number, onLoad: () => void = () => {}) =>
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

const end = (nodes: ReadonlyArray<Child.Child<Commands>>) =>
  Effect.forEach(nodes, (node) => Effect.flatMap(node.end, (code) => check("exit code of a node", code, 0)))

/** what `set` would send for a value, as an envelope that the scripts know */
const envelope = (redis: RedisServer.Service, node: Child.Child<Commands>) =>
  Effect.gen(function* () {
    yield* node.ask("hold", -1, 0)
    return (yield* Effect.promise(() => redis.client.getBuffer(`${prefix}k:-1`)))!
  })

/** lives for a minute, and came last, however long ago the envelope was made */
const asSet = ["60000", "1e15", "", ""] as const

const publish = "redis.call('PUBLISH', channel, cjson.encode(message))"
const silent = Scripts.set.text.replace(publish, "")

// ------------------------------------------------------------------------------------------------------------- latency

const rounds = 5
const each = 300

const latency = (title: string) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer.make()
    const nodes = yield* start(redis, 2)
    const [a, b] = nodes as [Child.Child<Commands>, Child.Child<Commands>]
    const args = ["bench-tell", "somebody", yield* envelope(redis, a), ...asSet]
    yield* b.ask("listen", "bench-tell")
    yield* a.ask("connect")
    const keys = (name: string, from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => `${name}:${from + i}`)

    const ways: ReadonlyArray<{
      readonly name: string
      readonly prepare?: (from: number, to: number) => Effect.Effect<unknown>
      readonly act: (from: number, to: number) => Effect.Effect<ReadonlyArray<number>>
      readonly key: string
    }> = [
      {
        name: "PUBLISH to message, bare ioredis",
        act: (from, to) => a.ask("publish", "bench-tell", from, to, "bare"),
        key: "bare"
      },
      {
        name: "the script of set to message, bare ioredis",
        act: (from, to) => a.ask("script", Scripts.set.text, args, from, to, "told"),
        key: "told"
      },
      {
        name: "SET to message of client-side tracking, bare ioredis",
        prepare: (from, to) => b.ask("track", keys("tracked", from, to)),
        act: (from, to) => a.ask("set", from, to, "tracked"),
        key: "tracked"
      },
      {
        name: "invalidate to gone from the other's memory",
        prepare: (from, to) => b.ask("hold", from, to),
        act: (from, to) => a.ask("invalidate", from, to),
        key: "k"
      }
    ]
    const samples = ways.map((): Array<number> => [])
    for (let round = -1; round < rounds; round++) {
      const [from, to] = [(round + 1) * each, (round + 2) * each]
      for (const [i, { act, key, prepare }] of ways.entries()) {
        yield* prepare?.(from, to) ?? Effect.void
        const sent = yield* act(from, to)
        const heard = yield* b.ask("heard", keys(key, from, to))
        if (round >= 0) samples[i]!.push(...heard.map((at, i) => at - sent[i]!))
      }
    }
    yield* end(nodes)

    const at = (values: ReadonlyArray<number>, part: number) =>
      [...values].sort((x, y) => x - y)[Math.floor(values.length * part)]!
    const floor = at(samples[0]!, 0.5)
    yield* table(title, [
      ["", "p50", "p99", "p50 to floor"],
      ...ways.map(({ name }, i) => [
        name,
        `${at(samples[i]!, 0.5).toFixed(3)} ms`,
        `${at(samples[i]!, 0.99).toFixed(3)} ms`,
        `${(at(samples[i]!, 0.5) / floor).toFixed(2)}×`
      ])
    ])
  })

// -------------------------------------------------------------------------------------------------------------- server

const writes = 20_000
const atOnce = 50

/** a client that is told which of the keys it has read were written */
const tracking = (url: string) =>
  Effect.gen(function* () {
    let heard = 0
    const [data, subscriber] = yield* Effect.acquireRelease(
      Effect.sync(() => [new Redis(url), new Redis(url)] as const),
      (both) => Effect.sync(() => void both.map((one) => one.disconnect()))
    )
    subscriber.on("messageBuffer", (_, keys: ReadonlyArray<Buffer> | null) => {
      heard += keys?.length ?? 0
    })
    yield* Effect.promise(async () => {
      const id = await subscriber.client("ID")
      await subscriber.subscribe("__redis__:invalidate")
      await data.call("CLIENT", "TRACKING", "ON", "REDIRECT", String(id), "NOLOOP")
    })
    return { data, heard: () => heard }
  })

const subscribed = (url: string, channel: string) =>
  Effect.gen(function* () {
    let heard = 0
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => new Redis(url)),
      (client) => Effect.sync(() => client.disconnect())
    )
    client.on("message", () => heard++)
    yield* Effect.promise(() => client.subscribe(channel))
    return () => heard
  })

/** what telling other processes costs the server, in its own CPU time */
const server = (title: string) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer.make()
    const nodes = yield* start(redis, 1)
    const bytes = yield* envelope(redis, nodes[0]!)
    yield* end(nodes)
    yield* check("the script without telling", silent.length < Scripts.set.text.length, true)
    const writer = yield* Effect.acquireRelease(
      Effect.sync(() => new Redis(redis.url)),
      (client) => Effect.sync(() => client.disconnect())
    )
    const texts = { told: Scripts.set.text, silent }
    const digests = yield* Effect.promise(async () => ({
      told: (await writer.script("LOAD", texts.told)) as string,
      silent: (await writer.script("LOAD", texts.silent)) as string
    }))
    const inTurn = (once: (i: number) => Promise<unknown>) =>
      Effect.promise(async () => {
        let next = 0
        await Promise.all(
          Array.from({ length: atOnce }, async () => {
            while (next < writes) await once(next++)
          })
        )
      })
    const script = (kind: "told" | "silent") => (i: number) =>
      writer.evalsha(digests[kind], 1, `key:${i}`, "bench-tell", "somebody", bytes, ...asSet)
    const cpu = Effect.map(redis.info("cpu"), (info) => Number(info.used_cpu_user) + Number(info.used_cpu_sys))
    /** microseconds of the server for each of 20 000 */
    const costOf = (act: Effect.Effect<unknown>, heard: Effect.Effect<boolean> = Effect.succeed(true)) =>
      Effect.gen(function* () {
        const before = yield* cpu
        yield* act
        yield* awaitUntil(heard, "every write was heard of")
        return (((yield* cpu) - before) * 1e6) / writes
      })

    const all = <A>(howMany: number, make: Effect.Effect<A, never, Scope.Scope>) =>
      Effect.all(Effect.replicate(make, howMany))
    const told = (subscribers: number) =>
      Effect.scoped(
        Effect.gen(function* () {
          const heard = yield* all(subscribers, subscribed(redis.url, "bench-tell"))
          return yield* costOf(
            inTurn(script("told")),
            Effect.sync(() => heard.every((one) => one() >= writes))
          )
        })
      )
    const tracked = (clients: number) =>
      Effect.scoped(
        Effect.gen(function* () {
          const trackers = yield* all(clients, tracking(redis.url))
          let reads = 0
          for (const { data } of trackers) reads += yield* costOf(inTurn((i) => data.getBuffer(`key:${i}`)))
          const cost = yield* costOf(
            inTurn(script("silent")),
            Effect.sync(() => trackers.every((one) => one.heard() >= writes))
          )
          return [cost, reads / clients] as const
        })
      )

    const rows: Record<string, Array<number>> = {}
    const note = (name: string, cost: number) => {
      rows[name] ??= []
      rows[name].push(cost)
    }
    for (let round = -1; round < 5; round++) {
      const noted = round < 0 ? () => {} : note
      noted("SET", yield* costOf(inTurn((i) => writer.set(`key:${i}`, bytes, "PX", 60_000))))
      noted("script, tells nobody", yield* costOf(inTurn(script("silent"))))
      for (const n of [0, 1, 3]) noted(`script + PUBLISH, ${n} subscriber${n === 1 ? "" : "s"}`, yield* told(n))
      noted("GET", yield* costOf(inTurn((i) => writer.getBuffer(`key:${i}`))))
      for (const n of [1, 3]) {
        const [cost, read] = yield* tracked(n)
        noted(`script, tracked by ${n} client${n === 1 ? "" : "s"}`, cost)
        noted(`GET, tracked by ${n} client${n === 1 ? "" : "s"}`, read)
      }
    }
    const floor = rows["script, tells nobody"]!
    yield* table(title, [
      ["", "CPU", "to the script that tells nobody"],
      ...Object.entries(rows).map(([name, costs]) => [
        name,
        `${median(costs).toFixed(1)} µs`,
        `${median(costs.map((cost, i) => cost / floor[i]!)).toFixed(2)}×`
      ])
    ])
  })

// --------------------------------------------------------------------------------------------------------------- herds

const herdsOfEach = 20

const herds = (title: string) =>
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

export const nodes: ReadonlyArray<Section> = [
  section(`from one node to another, ${rounds * each} times each, wall time`, latency),
  section(`CPU of the Redis server for each of ${writes} commands, ${atOnce} at once`, server),
  section(`${herdsOfEach} herds of 4 nodes with 250 fibers each on a cold key, which takes 20 ms to load`, herds)
]
