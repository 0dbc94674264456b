/**
 * Entries in Redis, over `ioredis`: shared by every process, and there after a restart.
 *
 * Redis may be slow, restarted, cut off or away from the start: reads then load, values are delivered all the same, and
 * what was invalidated meanwhile is delivered first when it is back. Nothing queues in the client.
 *
 * What stands in Redis, under `prefix`: one string per entry (`Envelope.v1`), expiring at the end of its life; for
 * a while after an invalidation, its trace; three keys for the marks of `clear` and of tags, which begin with
 * `!{marks}`; and a key that begins with `!l` per lock that is held. No command walks the key space. The scripts that
 * write tell of it on the channel `!news`, in the same step.
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
import { randomUUID } from "node:crypto"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { Redis, type RedisOptions } from "ioredis"
import type * as Backend from "./Backend.js"
import { type CacheStoreError, InvalidOption, SerializerError } from "./CacheError.js"
import { CacheStore, fromBytes } from "./CacheStore.js"
import * as Envelope from "./Envelope.js"
import * as Channel from "./internal/redisChannel.js"
import { Connection } from "./internal/redisConnection.js"
import * as Scripts from "./internal/redisScripts.js"
import * as MemoryCache from "./MemoryCache.js"
import * as TieredCache from "./TieredCache.js"

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
 * @category models
 * @since 0.1.0
 */
export interface Options extends CommonOptions {
  /** default `redis://127.0.0.1:6379`; `rediss://` for TLS. What is no such url is the defect `InvalidOption` */
  readonly url?: string | Redacted.Redacted | undefined
  /** further options of ioredis, such as `tls`. What this library decides (queues, retries) is not taken from here */
  readonly redis?: Omit<RedisOptions, "path"> | undefined
}

const wait = (attempt: number): number => Math.min(50 * 2 ** Math.min(attempt, 6), 1_000)

/** ioredis takes what is no url for a host, or a socket; the text itself is not repeated, it may hold a password */
const checked = (url: string): string => {
  if (/^rediss?:\/\/[^/]/.test(url) && URL.canParse(url)) return url
  throw new InvalidOption({ option: "url", detail: "is not of the form redis://host:port or rediss://host:port" })
}

/** a client that queues nothing, resends nothing, and comes back by itself */
const connect = (options: Options): Effect.Effect<Redis, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const url = options.url ?? "redis://127.0.0.1:6379"
      return new Redis(checked(Redacted.isRedacted(url) ? Redacted.value(url) : url), {
        ...options.redis,
        lazyConnect: true,
        enableOfflineQueue: false,
        autoResendUnfulfilledCommands: false,
        maxRetriesPerRequest: 0,
        // a closing socket holds the process no longer than this
        disconnectTimeout: 100,
        // one attempt is not the whole of the waiting
        connectTimeout: Math.min(Duration.toMillis(options.connectTimeout ?? "1 second"), 10_000),
        retryStrategy: wait
      })
    }),
    (client) => Effect.sync(() => client.disconnect())
  )

const px = (life: number): string => (life > Number.MAX_SAFE_INTEGER ? "" : String(Math.max(1, Math.ceil(life))))

const escapeHalves = (key: string): string =>
  key.replace(/[%\p{Surrogate}]/gu, (half) => `%${half.charCodeAt(0).toString(16)}`)

const unescapeHalves = (text: string): string =>
  text.replace(/%(25|d[89a-f][0-9a-f]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const backendOf = Effect.fnUntraced(function* (
  client: Redis,
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
  const logicalKey = (key: string) => {
    if (!key.startsWith(prefix)) return undefined
    const text = key.slice(prefix.length)
    return !text.startsWith("!") ? text : text.startsWith("!u") ? unescapeHalves(text.slice(2)) : text.slice(1)
  }
  const headKey = `${prefix}!{marks}:head`
  const markKeys = [`${prefix}!{marks}:versions`, `${prefix}!{marks}:stamps`, headKey]

  let locks = 0
  // what the server told of marks and the engine has not been told yet
  let untold: Backend.Marks | undefined
  const hear = (answer: unknown): void => {
    const [floor, version, lost, now, raised] = answer as [string, string, string, string, ReadonlyArray<string>]
    connection.offset = Math.max(connection.offset, Number(now) - connection.now())
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

  // a name for this process, on which nobody else may hit, whatever seed its Random has
  const node = randomUUID()
  const channel = `${prefix}!news`
  const run = (method: string, script: Scripts.Script, keys: ReadonlyArray<string>, args: Scripts.Args) =>
    connection.run(method, script, keys, [channel, node, ...args])

  const connection: Connection = new Connection(
    client,
    options.name ?? "redis",
    timeout,
    lent,
    yield* Effect.runtime<never>(),
    Effect.suspend(() =>
      Effect.map(connection.runFirst("marks", Scripts.marks, markKeys, [channel, node, ...marksArgs([])]), hear)
    )
  )
  yield* connection.start(options.connectTimeout ?? "1 second")

  const marks = (method: string, raise: ReadonlyArray<string>) =>
    Effect.suspend(() => Effect.map(run(method, Scripts.marks, markKeys, marksArgs(raise)), hear))
  /** fetches marks only where the head, which every batch brings along, says that some were raised */
  const news = (seen: Buffer | null | undefined): Effect.Effect<Backend.Marks | undefined, CacheStoreError> =>
    Effect.map(seen?.toString() === head ? Effect.void : marks("getMany", []), tell)

  const decode = (bytes: Buffer | null): Envelope.Decoded | SerializerError | undefined => {
    if (bytes === null) return undefined
    const decoded = Envelope.v1.decode(bytes)
    if (decoded._tag === "Right") return decoded.right
    const { detail, path, reason } = decoded.left
    const stamp =
      bytes.length >= 12 && bytes.toString("latin1", 0, 3) === "EC\u0001" ? bytes.readDoubleBE(4) : undefined
    return new SerializerError({ reason, path, detail, stamp })
  }

  // a command may wait in a server that hangs: carried out later than this after it was asked for, it is not what came last
  const late = 2 * timeout

  const written = (write: Backend.Write<Uint8Array>, answer: string): Backend.Written =>
    answer === ""
      ? { _tag: "Superseded" }
      : answer === "late"
        ? { _tag: "Late" }
        : { _tag: "Written", stamp: Number(answer) || write.entry.stamp }

  return {
    name: connection.name,
    remote: true,
    isUp: () => connection.isUp(),
    offset: () => connection.offset,
    changes: connection.changes,
    news: (within) =>
      Channel.make(
        {
          connect: connection.subscriber,
          channel,
          beats: `${prefix}!beat:${node}`,
          beat: (text) => connection.call("beat", (client) => client.publish(`${prefix}!beat:${node}`, text)),
          node,
          logicalKey,
          now: () => connection.now(),
          warn: (message) => Effect.logWarning(`${connection.name}: ${message}`)
        },
        within
      ),
    lock: (key, lease) =>
      Effect.suspend(() => {
        const token = `${node}:${++locks}`
        const keys = [`${prefix}!l${physical(key).slice(prefix.length)}`]
        return Effect.map(run("lock", Scripts.lock, keys, [token, px(lease)]), (left): Backend.Held | number =>
          Number(left) > 0
            ? Number(left)
            : {
                renew: Effect.map(run("renew", Scripts.renew, keys, [token, px(lease)]), (still) => still === 1),
                release: Effect.asVoid(run("unlock", Scripts.unlock, keys, [token, key]))
              }
        )
      }),
    getMany: (reads) =>
      Effect.flatMap(
        connection.call("getMany", (client) =>
          client.mgetBuffer([...reads.map((read) => physical(read.key)), headKey])
        ),
        (values) =>
          Effect.map(news(values[reads.length]), (marks) => {
            let trace: number | undefined
            const found = reads.map((_, i): Backend.Found<Uint8Array> => {
              const decoded = decode(values[i] ?? null)
              if (decoded === undefined || decoded instanceof SerializerError) return decoded
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
        encoded.forEach((bytes, i) => {
          if (bytes._tag === "Left") return
          keys.push(physical(writes[i]!.key))
          const { explicit, life, maxAge } = writes[i]!
          args.push(
            asBuffer(bytes.right),
            px(life),
            explicit ? String(late) : "",
            maxAge === undefined ? "" : px(maxAge + late)
          )
        })
        const sent = keys.length === 0 ? Effect.succeed([]) : run("setMany", Scripts.set, keys, args)
        return Effect.map(sent, (answers) => {
          let next = 0
          return encoded.map(
            (bytes, i): Backend.Written =>
              bytes._tag === "Left"
                ? { _tag: "Refused", error: bytes.left }
                : written(writes[i]!, (answers as ReadonlyArray<string>)[next++]!)
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
        return Effect.map(run("setIfAbsent", Scripts.setIfAbsent, [physical(write.key)], args), (answer) =>
          written(write, answer as string)
        )
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
          ])
        ),
        (answers) =>
          (answers as ReadonlyArray<string>).map(
            (stamp): Backend.Written => ({ _tag: "Written", stamp: Number(stamp) })
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
export const backend = (options: Options = {}): Effect.Effect<Backend.Backend, never, Scope.Scope> =>
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
export const make = (options: Options = {}): Effect.Effect<CacheStore.Service, never, Scope.Scope> =>
  Effect.flatMap(backend(options), (medium) => CacheStore.make(medium, options))

/**
 * A store over a client that is made for it. Redis being away does not fail the Layer: after `connectTimeout` it goes on
 * without, says so once at Warning, and connects later.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<CacheStore> => Layer.scoped(CacheStore, make(options))

/**
 * The same from Config; the url is best a `Config.redacted`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (config: Config.Config.Wrap<Options>): Layer.Layer<CacheStore, ConfigError> =>
  Layer.scoped(CacheStore, Effect.flatMap(Config.unwrap(config), make))

/**
 * A store over a client that is lent, and left open. Commands go out only while it is ready, but what it does with those
 * under way when the connection breaks is its own: set `autoResendUnfulfilledCommands: false`, or a write may land late,
 * and `socketTimeout`, or a peer that is gone without a word keeps the store waiting for it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFromClient = (client: Redis, options: CommonOptions = {}): Layer.Layer<CacheStore> =>
  Layer.scoped(
    CacheStore,
    Effect.flatMap(backendOf(client, true, options), (medium) => CacheStore.makeBytes(medium, options))
  )

/**
 * Memory in front of Redis.
 *
 * @category models
 * @since 0.1.0
 */
export interface HybridOptions extends CacheStore.Options {
  /** the tier in memory: `ttl` is the longest it holds an entry, default as long as that lives */
  readonly l1?:
    | { readonly capacity?: number | undefined; readonly ttl?: Duration.DurationInput | undefined }
    | undefined
  /** the tier in Redis, with all options of its own; `ttl` as in `l1` */
  readonly l2?: (Options & { readonly ttl?: Duration.DurationInput | undefined }) | undefined
  /** the store's name in metrics and logs, default `hybrid`; its tiers are `memory` and `redis` */
  readonly name?: string | undefined
}

/**
 * A Service of memory in front of Redis, for a tag of one's own.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeHybrid = ({
  l1,
  l2,
  name,
  ...options
}: HybridOptions = {}): Effect.Effect<CacheStore.Service, never, Scope.Scope> =>
  TieredCache.make({
    ...options,
    name: name ?? "hybrid",
    tiers: [
      { backend: MemoryCache.backend({ capacity: l1?.capacity }), ttl: l1?.ttl },
      { backend: backend(l2), ttl: l2?.ttl }
    ]
  })

/**
 * Memory in front of Redis, coherent: what one process sets, invalidates or clears leaves the memory of the others
 * within milliseconds.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHybrid = (options: HybridOptions = {}): Layer.Layer<CacheStore> =>
  Layer.scoped(CacheStore, makeHybrid(options))

const fromEnvironment = /*#__PURE__*/ Config.withDefault(
  /*#__PURE__*/ Config.redacted("REDIS_URL"),
  /*#__PURE__*/ Redacted.make("redis://127.0.0.1:6379")
)

/**
 * 10 000 entries in memory, in front of Redis at `REDIS_URL`, or at `redis://127.0.0.1:6379` where that is not set.
 *
 * @category layers
 * @since 0.1.0
 */
export const HybridCacheLive: Layer.Layer<CacheStore, ConfigError> = /*#__PURE__*/ Layer.scoped(
  CacheStore,
  /*#__PURE__*/ Effect.flatMap(fromEnvironment, (url) => makeHybrid({ l2: { url } }))
)

/**
 * Redis at `REDIS_URL`, or at `redis://127.0.0.1:6379` where that is not set.
 *
 * @category layers
 * @since 0.1.0
 */
export const RedisCacheLive: Layer.Layer<CacheStore, ConfigError> = /*#__PURE__*/ layerConfig({
  url: fromEnvironment
})
