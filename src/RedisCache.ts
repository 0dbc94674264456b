/**
 * Entries in Redis, over `ioredis`: shared by every process, and there after a restart.
 *
 * Redis may be slow, restarted, cut off or away from the start: reads then load, values are delivered all the same, and
 * what was invalidated meanwhile is delivered first when it is back. Nothing queues in the client.
 *
 * What stands in Redis, under `prefix`: one string per entry, in the form of `envelope`, expiring at the end of its
 * life; for a while after an invalidation, its trace; three keys for the marks of `clear` and of tags, which begin with
 * `!{marks}`; and a key that begins with `!l` per lock that is held. No command walks the key space. The scripts that
 * write tell of it on the channel `!news`, in the same step.
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

import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { Cluster, Redis, RedisOptions } from "ioredis"
import type * as Backend from "./Backend.js"
import { CacheStore, fromBytes } from "./CacheStore.js"
import type * as Envelope from "./Envelope.js"
import { backendOf } from "./internal/backends/redis/backend.js"
import { connect } from "./internal/backends/redis/client.js"
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
  /**
   * How entries become bytes, default `Envelope.v1`. With `Envelope.advancedCaching`, and a serializer that it knows, a
   * Python service shares them. With any other than the default the last write of a key stands, and no trace stays of an
   * invalidation: that it wins over a load under way holds within a process, not across them
   */
  readonly envelope?: Envelope.Envelope | undefined
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
  readonly l2?: (AnyOptions & { readonly ttl?: Duration.DurationInput | undefined }) | undefined
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
