/**
 * Entries in Redis, over `ioredis`: shared by every process, and there after a restart.
 *
 * Redis may be slow, restarted, cut off or away from the start: reads then load, values are delivered all the same, and
 * what was invalidated meanwhile is delivered first when it is back. Nothing queues in the client.
 *
 * What stands in Redis, under `prefix`: one string per entry (`Envelope.v1`), expiring at the end of its life; for
 * a while after an invalidation, its trace; and three keys for the marks of `clear` and of tags, which begin with
 * `!{marks}`. No command walks the key space.
 *
 * On a cluster a batch is one command per hash slot, and a node that is lost takes only its own keys along: they load
 * until it, or its replica, is there. The node that keeps the marks is needed by every read; without it all load.
 *
 * Stamps are in the time of that node, wherever an entry lives. A process knows it to within one round trip, and stamps
 * its loads a little before that (5 ms, or twice the round trip), so that it errs towards a miss. Scripts on other nodes
 * are told the time with the command, so that clocks of nodes may differ by any amount: an invalidation wins over every
 * load that began before it, and a mark over every entry, if the two are more than a round trip apart. Where they are
 * closer, on two processes, they count as simultaneous. A node's own clock, less its measured difference, only tells
 * whether a command was carried out later than `timeout` after it was sent, as by a node that hung; such a command
 * no longer counts as what came last. A clock that is set, rather than slewed, is measured anew within 30 seconds.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Cached } from "effect-cached"
 * import { RedisCacheLive } from "effect-cached/RedisCache"
 *
 * const getUser = Cached.ttl((id: number) => Effect.succeed({ id }), { key: "user:{}", ttl: "1 minute" })
 *
 * getUser(42).pipe(Effect.provide(RedisCacheLive), Effect.runPromise)
 * ```
 *
 * @since 0.1.0
 */

import { Buffer } from "node:buffer"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { Cluster, Redis, RedisOptions } from "ioredis"
import type * as Backend from "./Backend.js"
import { CacheStoreError, InvalidOption, SerializerError } from "./CacheError.js"
import { CacheStore, fromBytes } from "./CacheStore.js"
import * as Envelope from "./Envelope.js"
import { type Client, connect, isCluster } from "./internal/redisClient.js"
import { Connection } from "./internal/redisConnection.js"
import * as Scripts from "./internal/redisScripts.js"
import { Slots, slotOf } from "./internal/redisSlots.js"

/**
 * How entries are kept, whoever made the client.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommonOptions extends CacheStore.Options, CacheStore.BytesOptions {
  /** what every key begins with, default `ec1:`; an empty one must be written */
  readonly prefix?: string | undefined
  /** how long a command may take before it counts as failed, default 500 ms; no finite time is the defect `InvalidOption` */
  readonly timeout?: Duration.DurationInput | undefined
  /** how long building the Layer waits for the connection before it goes on without, default 1 second */
  readonly connectTimeout?: Duration.DurationInput | undefined
  /** the store's name in metrics and logs, default `redis` */
  readonly name?: string | undefined
}

/**
 * One server, at `url`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends CommonOptions {
  /** default `redis://127.0.0.1:6379`; `rediss://` for TLS. What is no such url is the defect `InvalidOption` */
  readonly url?: string | Redacted.Redacted | undefined
  /** further options of ioredis, such as `tls`. What this library decides (queues, retries) is not taken from here */
  readonly redis?: Omit<RedisOptions, "path"> | undefined
  readonly cluster?: undefined
  readonly sentinel?: undefined
}

/**
 * Where a node is: `redis://host:port`, or its parts.
 *
 * @category models
 * @since 0.1.0
 */
export type Address = string | Redacted.Redacted | { readonly host: string; readonly port: number }

/**
 * A Redis Cluster.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClusterOptions extends CommonOptions {
  /**
   * nodes to begin with, one of which must be there; the others are learned from it. User, password and TLS of a url
   * (`rediss://user:secret@host:port`) go for all nodes. None is the defect `InvalidOption`, and so is a `url` besides
   */
  readonly cluster: ReadonlyArray<Address>
  /** further options of ioredis for the connection to each node */
  readonly redis?: Omit<RedisOptions, "path"> | undefined
  readonly url?: undefined
  readonly sentinel?: undefined
}

/**
 * The master that sentinels name.
 *
 * @category models
 * @since 0.1.0
 */
export interface SentinelOptions extends CommonOptions {
  readonly sentinel: Sentinel
  /** further options of ioredis for the connection to the master, such as its `password` */
  readonly redis?: Omit<RedisOptions, "path"> | undefined
  readonly url?: undefined
  readonly cluster?: undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Sentinel {
  /** of the master, such as `mymaster` */
  readonly name: string
  /** the sentinels, or some of them: they know each other. `redis://host:port`, default port 26379, or parts */
  readonly nodes: ReadonlyArray<Address>
  /** for the sentinels themselves, where they ask for it */
  readonly username?: string | undefined
  readonly password?: string | Redacted.Redacted | undefined
}

/**
 * One of the three.
 *
 * @category models
 * @since 0.1.0
 */
export type AnyOptions = Options | ClusterOptions | SentinelOptions

const px = (life: number): string => (life > Number.MAX_SAFE_INTEGER ? "" : String(Math.max(1, Math.ceil(life))))

const escapeHalves = (key: string): string =>
  key.replace(/[%\p{Surrogate}]/gu, (half) => `%${half.charCodeAt(0).toString(16)}`)

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const backendOf = Effect.fnUntraced(function* (
  client: Client,
  lent: boolean,
  options: CommonOptions
): Effect.fn.Return<Backend.Backend<Uint8Array>, never, Scope.Scope> {
  const prefix = options.prefix ?? "ec1:"
  const timeout = Duration.toMillis(options.timeout ?? "500 millis")
  if (!(timeout > 0 && Number.isFinite(timeout))) {
    return yield* Effect.die(new InvalidOption({ option: "timeout", detail: "is no time above zero" }))
  }
  // what begins with "!" is written with two: one is for the marks, and for keys that UTF-8 would change
  const physical = (key: string) =>
    key.startsWith("!")
      ? `${prefix}!${key}`
      : /\p{Surrogate}/u.test(key)
        ? `${prefix}!u${escapeHalves(key)}`
        : prefix + key
  const headKey = `${prefix}!{marks}:head`
  const markKeys = [`${prefix}!{marks}:versions`, `${prefix}!{marks}:stamps`, headKey]

  // what the server told of marks and the engine has not been told yet
  let untold: Backend.Marks | undefined
  const hear = (answer: unknown): void => {
    const [floor, version, lost, now, raised] = answer as [string, string, string, string, ReadonlyArray<string>]
    connection.measured(Number(now))
    head = `${floor} ${version} ${lost}`
    const marks = Array.from(
      { length: raised.length / 2 },
      (_, i) => [raised[2 * i]!, Number(raised[2 * i + 1])] as const
    )
    untold = {
      floor: Math.max(Number(floor), untold?.floor ?? 0),
      lost: Number(lost),
      raised: untold === undefined ? marks : [...untold.raised, ...marks]
    }
  }
  const tell = (): Backend.Marks | undefined => {
    const marks = untold
    untold = undefined
    return marks
  }
  // the head as this process knows it: floor, version, and when marks were last lost
  let head = ""
  const marksArgs = (raise: ReadonlyArray<string>) => [head.split(" ")[1] ?? "0", ...raise]

  const connection: Connection = new Connection(
    client,
    options.name ?? "redis",
    timeout,
    lent,
    yield* Effect.runtime<never>(),
    Effect.suspend(() => Effect.map(connection.runFirst("marks", Scripts.marks, markKeys, marksArgs([])), hear)),
    slotOf(client, headKey)
  )
  const slots = isCluster(client) ? new Slots(connection, timeout) : undefined
  yield* connection.start(options.connectTimeout ?? "1 second")

  const marks = (method: string, raise: ReadonlyArray<string>) =>
    Effect.suspend(() => Effect.map(connection.run(method, Scripts.marks, markKeys, marksArgs(raise)), hear))
  /** fetches marks only where the head, which every batch brings along, says that some were raised */
  const news = (seen: Buffer | null | undefined): Effect.Effect<Backend.Marks | undefined, CacheStoreError> =>
    Effect.map(seen?.toString() === head ? Effect.void : marks("getMany", []), tell)

  const decode = (
    bytes: Buffer | CacheStoreError | null
  ): Envelope.Decoded | SerializerError | CacheStoreError | undefined => {
    if (bytes === null) return undefined
    if (bytes instanceof CacheStoreError) return bytes
    const decoded = Envelope.v1.decode(bytes)
    if (decoded._tag === "Right") return decoded.right
    const { detail, path, reason } = decoded.left
    const stamp =
      bytes.length >= 12 && bytes.toString("latin1", 0, 3) === "EC\u0001" ? bytes.readDoubleBE(4) : undefined
    return new SerializerError({ reason, path, detail, stamp })
  }

  // a command may wait in a server that hangs: carried out later than this after it was asked for, it is not what came last
  const late = 2 * timeout

  const getAll = (keys: ReadonlyArray<string>) =>
    slots === undefined
      ? connection.call("getMany", (client) => client.mgetBuffer([...keys, headKey]))
      : slots.read("getMany", keys, headKey)

  /** `args` are as many for each key */
  const run = (
    method: string,
    script: Scripts.Script,
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<string | Buffer>,
    stamps: ReadonlyArray<number>
  ): Effect.Effect<ReadonlyArray<string | CacheStoreError>, CacheStoreError> =>
    slots === undefined
      ? (connection.run(method, script, keys, args) as Effect.Effect<ReadonlyArray<string>, CacheStoreError>)
      : slots.run(method, script, keys, args, stamps)

  const failed = (error: CacheStoreError): Backend.Written => ({ _tag: "Failed", error })

  const written = (write: Backend.Write<Uint8Array>, answer: string | CacheStoreError): Backend.Written =>
    answer instanceof CacheStoreError
      ? failed(answer)
      : answer === ""
        ? { _tag: "Superseded" }
        : answer === "late"
          ? { _tag: "Late" }
          : { _tag: "Written", stamp: Number(answer) || write.entry.stamp }

  return {
    name: connection.name,
    remote: true,
    isUp: () => connection.isUp(),
    offset: () => connection.stampOffset(),
    changes: connection.changes,
    getMany: (reads) =>
      Effect.flatMap(getAll(reads.map((read) => physical(read.key))), (values) =>
        Effect.map(news(values[reads.length] as Buffer | null), (marks) => {
          let trace: number | undefined
          const found = reads.map((_, i): Backend.Found<Uint8Array> => {
            const decoded = decode(values[i] ?? null)
            if (decoded === undefined || decoded instanceof SerializerError) return decoded
            if (decoded instanceof CacheStoreError) return decoded
            if (decoded._tag === "Entry") return decoded.entry
            trace = Math.max(decoded.stamp, trace ?? 0)
            return undefined
          })
          return { found, marks, trace }
        })
      ),
    setMany: (writes) =>
      Effect.suspend(() => {
        const encoded = writes.map((write) => Envelope.v1.encode(write.entry))
        const keys: Array<string> = []
        const args: Array<string | Buffer> = []
        const stamps: Array<number> = []
        encoded.forEach((bytes, i) => {
          if (bytes._tag === "Left") return
          keys.push(physical(writes[i]!.key))
          stamps.push(writes[i]!.entry.stamp)
          const { explicit, life, maxAge } = writes[i]!
          args.push(
            asBuffer(bytes.right),
            px(life),
            explicit ? String(late) : "",
            maxAge === undefined ? "" : px(maxAge + late)
          )
        })
        const sent = keys.length === 0 ? Effect.succeed([]) : run("setMany", Scripts.set, keys, args, stamps)
        return Effect.map(sent, (answers) => {
          let next = 0
          return encoded.map(
            (bytes, i): Backend.Written =>
              bytes._tag === "Left" ? { _tag: "Refused", error: bytes.left } : written(writes[i]!, answers[next++]!)
          )
        })
      }),
    setIfAbsent: (write, { now, replacing }) =>
      Effect.suspend(() => {
        const bytes = Envelope.v1.encode(write.entry)
        if (bytes._tag === "Left") return Effect.succeed<Backend.Written>({ _tag: "Refused", error: bytes.left })
        const args = [
          asBuffer(bytes.right),
          px(write.life),
          String(now),
          replacing === undefined ? "" : String(replacing)
        ]
        const sent = run("setIfAbsent", Scripts.setIfAbsent, [physical(write.key)], args, [write.entry.stamp])
        return Effect.map(sent, (answer) => written(write, typeof answer === "string" ? answer : answer[0]!))
      }),
    removeMany: (removals) =>
      Effect.map(
        run(
          "removeMany",
          Scripts.remove,
          removals.map((removal) => physical(removal.key)),
          removals.flatMap(({ explicit, stamp, trace }) => [
            px(trace + late),
            String(stamp),
            explicit ? String(late) : ""
          ]),
          removals.map((removal) => removal.stamp)
        ),
        (answers) =>
          answers.map(
            (stamp): Backend.Written =>
              stamp instanceof CacheStoreError ? failed(stamp) : { _tag: "Written", stamp: Number(stamp) }
          )
      ),
    marks: {
      read: Effect.map(marks("marks", []), tell),
      raise: (raised) =>
        Effect.map(
          marks(
            "raise",
            raised.flatMap(({ explicit, name, stamp }) => [name, String(stamp), explicit ? String(late) : ""])
          ),
          () => tell()!
        )
    }
  }
})

/**
 * The medium alone, as a tier takes it: `ioredis` makes the client, closing the Scope closes it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backend = (options: AnyOptions = {}): Effect.Effect<Backend.Backend, never, Scope.Scope> =>
  Effect.map(
    Effect.flatMap(connect(options), (client) => backendOf(client, false, options)),
    (medium) => fromBytes(medium, options)
  )

/**
 * A Service for a tag of one's own: `Layer.scoped(Sessions, RedisCache.make({ prefix: "sessions:" }))`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: AnyOptions = {}): Effect.Effect<CacheStore.Service, never, Scope.Scope> =>
  Effect.flatMap(backend(options), (medium) => CacheStore.make(medium, options))

/**
 * A store over a client that is made for it: for one server (`url`), a cluster (`cluster`) or the master that sentinels
 * name (`sentinel`); two of them together are the defect `InvalidOption`. Redis being away does not fail the Layer: after `connectTimeout` it goes on
 * without, says so once at Warning, and connects later.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: AnyOptions = {}): Layer.Layer<CacheStore> => Layer.scoped(CacheStore, make(options))

/**
 * The same from Config; the url is best a `Config.redacted`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (config: Config.Config.Wrap<AnyOptions>): Layer.Layer<CacheStore, ConfigError> =>
  Layer.scoped(CacheStore, Effect.flatMap(Config.unwrap(config), make))

/**
 * A store over a client that is lent, a `Redis` or a `Cluster`, and left open. Commands go out only while it is ready, but what it does with those
 * under way when the connection breaks is its own: set `autoResendUnfulfilledCommands: false`, or a write may land late,
 * and `socketTimeout`, or a peer that is gone without a word keeps the store waiting for it. For a `Cluster` these are
 * in `redisOptions`; give it `retryDelayOnFailover: 0` besides.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFromClient = (client: Redis | Cluster, options: CommonOptions = {}): Layer.Layer<CacheStore> =>
  Layer.scoped(
    CacheStore,
    Effect.flatMap(backendOf(client, true, options), (medium) => CacheStore.makeBytes(medium, options))
  )

/**
 * Redis at `REDIS_URL`, or at `redis://127.0.0.1:6379` where that is not set.
 *
 * @category layers
 * @since 0.1.0
 */
export const RedisCacheLive: Layer.Layer<CacheStore, ConfigError> = /*#__PURE__*/ layerConfig({
  url: /*#__PURE__*/ Config.withDefault(
    /*#__PURE__*/ Config.redacted("REDIS_URL"),
    /*#__PURE__*/ Redacted.make("redis://127.0.0.1:6379")
  )
})
