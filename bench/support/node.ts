/**
 * A process of the benchmark, `node.js <url> <prefix>`, with memory in front of that Redis and with bare connections to it.
 * Times are of the clock that the processes of a machine share.
 */
import { Effect, Stream } from "effect"
import { Cached, CacheStore } from "effect-cached"
import * as RedisCache from "effect-cached/RedisCache"
import { Redis } from "ioredis"
import { emit, serve } from "../../test/support/child.js"
import { awaitUntil } from "../../test/support/live.js"
import { now } from "./harness.js"

const [url, prefix] = process.argv.slice(2) as [string, string]

const find = Cached.ttl((id: number) => Effect.succeed(id), { key: "k:{}", ttl: "1 hour" })

const load = (id: number) => Effect.zipRight(emit(id), Effect.as(Effect.sleep("20 millis"), id))
const herds = {
  plain: Cached.ttl(load, { key: "herd:{}", ttl: "1 hour" }),
  locked: Cached.ttl(load, { key: "herd:{}", ttl: "1 hour", lock: { lease: "5 seconds" } })
}

/** When a notification about a key arrived. */
const received = new Map<string, number>()

const client = new Redis(url, { lazyConnect: true })
const subscriber = new Redis(url, { lazyConnect: true })

const connected = (of: Redis) => Effect.promise(() => (of.status === "wait" ? of.connect() : Promise.resolve()))

/** Runs `act` for one number after the other with a millisecond between them, and returns the times of the calls. */
const spaced = (from: number, to: number, act: (i: number) => Effect.Effect<unknown, never, CacheStore>) =>
  Effect.gen(function* () {
    const times: Array<number> = []
    for (let i = from; i < to; i++) {
      times.push(now())
      yield* act(i)
      yield* Effect.sleep(1)
    }
    return times
  })

const commands = {
  coherent: () =>
    Effect.flatMap(CacheStore, (store) =>
      awaitUntil(
        Effect.map(store.health, ({ coherent }) => coherent),
        "notifications arrive"
      )
    ),
  /** Records what leaves the memory of this process, and the messages of the bare connections. */
  listen: (channel: string) =>
    Effect.gen(function* () {
      yield* connected(client)
      yield* connected(subscriber)
      const store = yield* CacheStore
      yield* Effect.forkDaemon(
        Stream.runForEach(store.events, (event) =>
          Effect.sync(() => {
            if (event._tag === "Removed") received.set(event.key, now())
          })
        )
      )
      subscriber.on("messageBuffer", (on: Buffer, keys: Buffer | ReadonlyArray<Buffer> | null) => {
        const at = now()
        if (Buffer.isBuffer(keys)) {
          const text = keys.toString()
          // A script publishes JSON with the key and its stamp.
          received.set(on.toString() === channel && text.startsWith("{") ? JSON.parse(text).k[0] : text, at)
        } else for (const key of keys ?? []) received.set(key.toString(), at)
      })
      const id = yield* Effect.promise(() => subscriber.client("ID"))
      yield* Effect.promise(() => subscriber.subscribe(channel, "__redis__:invalidate"))
      yield* Effect.promise(() => client.call("CLIENT", "TRACKING", "ON", "REDIRECT", String(id), "NOLOOP"))
    }),
  /** Waits until a notification about each of these keys has arrived, and returns the times. */
  received: (keys: ReadonlyArray<string>) =>
    Effect.as(
      awaitUntil(
        Effect.sync(() => keys.every((key) => received.has(key))),
        "all notifications have arrived"
      ),
      keys.map((key) => received.get(key)!)
    ),
  /** Loads these keys, so that this process has them in memory and Redis has them. */
  hold: (from: number, to: number) =>
    Effect.gen(function* () {
      const store = yield* CacheStore
      for (let i = from; i < to; i++) yield* find(i)
      yield* store.set("barrier", 0, { ttl: "1 minute" })
      return yield* store.stats
    }),
  invalidate: (from: number, to: number) => spaced(from, to, (i) => find.invalidate(i)),
  /** Reads these keys by the bare connection, which tracks what it reads. */
  track: (keys: ReadonlyArray<string>) => Effect.promise(() => client.mget([...keys])),
  connect: () => connected(client),
  publish: (channel: string, from: number, to: number, name: string) =>
    spaced(from, to, (i) => Effect.promise(() => client.publish(channel, `${name}:${i}`))),
  set: (from: number, to: number, name: string) =>
    spaced(from, to, (i) => Effect.promise(() => client.set(`${name}:${i}`, "x"))),
  script: (script: string, args: ReadonlyArray<string | Uint8Array>, from: number, to: number, name: string) =>
    spaced(from, to, (i) =>
      Effect.promise(() =>
        client.eval(script, 2, `${name}:${i}`, ...args.map((arg) => (typeof arg === "string" ? arg : Buffer.from(arg))))
      )
    ),
  /** Reads a key in many fibers and returns the number of right values. */
  herd: (kind: keyof typeof herds, key: number, fibers: number) =>
    Effect.map(
      Effect.all(Effect.replicate(herds[kind](key), fibers), { concurrency: "unbounded" }),
      (values) => values.filter((value) => value === key).length
    )
}

export type Commands = typeof commands

await serve(commands).pipe(
  Effect.provide(RedisCache.layerHybrid({ l1: { capacity: 50_000 }, l2: { url, prefix } })),
  Effect.runPromise
)
client.disconnect()
subscriber.disconnect()
