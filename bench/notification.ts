/**
 * What do notifications cost the Redis server, beside client-side tracking of Redis?
 */
import { Effect, type Scope } from "effect"
import { Redis } from "ioredis"
import * as Scripts from "../src/internal/backends/redis/scripts.js"
import { awaitUntil, RedisServer } from "../test/support/redis.js"
import { check, median, type Section, section, table } from "./support/harness.js"
import { asSet, countKey, end, envelope, start } from "./support/nodes.js"

const publish = "redis.call('PUBLISH', channel, cjson.encode(message))"
/** The script of `set` without its notification. */
const silent = Scripts.set.text.replace(publish, "")

const writes = 5_000
const atOnce = 50

/** A client that Redis notifies of writes to the keys it has read. */
const tracking = (url: string) =>
  Effect.gen(function* () {
    let received = 0
    const [data, subscriber] = yield* Effect.acquireRelease(
      Effect.sync(() => [new Redis(url), new Redis(url)] as const),
      (both) => Effect.sync(() => void both.map((one) => one.disconnect()))
    )
    subscriber.on("messageBuffer", (_, keys: ReadonlyArray<Buffer> | null) => {
      received += keys?.length ?? 0
    })
    yield* Effect.promise(async () => {
      const id = await subscriber.client("ID")
      await subscriber.subscribe("__redis__:invalidate")
      await data.call("CLIENT", "TRACKING", "ON", "REDIRECT", String(id), "NOLOOP")
    })
    return { data, received: () => received }
  })

const subscribed = (url: string, channel: string) =>
  Effect.gen(function* () {
    let received = 0
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => new Redis(url)),
      (client) => Effect.sync(() => client.disconnect())
    )
    client.on("message", () => received++)
    yield* Effect.promise(() => client.subscribe(channel))
    return () => received
  })

/** Measures the CPU time of the server. */
const server = (title: string) =>
  Effect.gen(function* () {
    const redis = yield* RedisServer.make()
    const nodes = yield* start(redis, 1)
    const bytes = yield* envelope(redis, nodes[0]!)
    yield* end(nodes)
    yield* check("the script that does not notify", silent.length < Scripts.set.text.length, true)
    const writer = yield* Effect.acquireRelease(
      Effect.sync(() => new Redis(redis.url)),
      (client) => Effect.sync(() => client.disconnect())
    )
    const texts = { notifying: Scripts.set.text, silent }
    const digests = yield* Effect.promise(async () => ({
      notifying: (await writer.script("LOAD", texts.notifying)) as string,
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
    const script = (kind: "notifying" | "silent") => (i: number) =>
      writer.evalsha(digests[kind], 2, `key:${i}`, countKey, "bench-news", "somebody", bytes, ...asSet)
    const cpu = Effect.map(redis.info("cpu"), (info) => Number(info.used_cpu_user) + Number(info.used_cpu_sys))
    /** The microseconds of CPU time that the server needs for one of the writes. */
    const costOf = (act: Effect.Effect<unknown>, received: Effect.Effect<boolean> = Effect.succeed(true)) =>
      Effect.gen(function* () {
        const before = yield* cpu
        yield* act
        yield* awaitUntil(received, "every write was notified")
        return (((yield* cpu) - before) * 1e6) / writes
      })

    const all = <A>(howMany: number, make: Effect.Effect<A, never, Scope.Scope>) =>
      Effect.all(Effect.replicate(make, howMany))
    const withSubscribers = (subscribers: number) =>
      Effect.scoped(
        Effect.gen(function* () {
          const received = yield* all(subscribers, subscribed(redis.url, "bench-news"))
          return yield* costOf(
            inTurn(script("notifying")),
            Effect.sync(() => received.every((one) => one() >= writes))
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
            Effect.sync(() => trackers.every((one) => one.received() >= writes))
          )
          return [cost, reads / clients] as const
        })
      )

    const rows: Record<string, Array<number>> = {}
    const note = (name: string, cost: number) => {
      rows[name] ??= []
      rows[name].push(cost)
    }
    for (let round = -1; round < 4; round++) {
      const noted = round < 0 ? () => {} : note
      noted("SET", yield* costOf(inTurn((i) => writer.set(`key:${i}`, bytes, "PX", 60_000))))
      noted("script, notifies nobody", yield* costOf(inTurn(script("silent"))))
      for (const n of [0, 1, 3])
        noted(`script + PUBLISH, ${n} subscriber${n === 1 ? "" : "s"}`, yield* withSubscribers(n))
      noted("GET", yield* costOf(inTurn((i) => writer.getBuffer(`key:${i}`))))
      for (const n of [1, 3]) {
        const [cost, read] = yield* tracked(n)
        noted(`script, tracked by ${n} client${n === 1 ? "" : "s"}`, cost)
        noted(`GET, tracked by ${n} client${n === 1 ? "" : "s"}`, read)
      }
    }
    const floor = rows["script, notifies nobody"]!
    yield* table(title, [
      ["", "CPU", "to the script that notifies nobody"],
      ...Object.entries(rows).map(([name, costs]) => [
        name,
        `${median(costs).toFixed(1)} µs`,
        `${median(costs.map((cost, i) => cost / floor[i]!)).toFixed(2)}×`
      ])
    ])
  })

export const notifications: ReadonlyArray<Section> = [
  section(`CPU of the Redis server for each of ${writes} commands, ${atOnce} at once`, server)
]
