/**
 * A store in Redis, over `ioredis`: shared by all processes, and still there after a restart.
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
 * **Failures.** Redis may be slow, restart, be cut off, or be absent from the start. Reads then load from the source.
 * `set` and invalidations are kept and delivered when Redis is back, invalidations first. No command is queued in the
 * client, and none is sent twice.
 *
 * **What is stored**, under `prefix`:
 *
 * - one string per entry, in the form of `envelope`, which expires when the entry does
 * - for a while after an invalidation, a tombstone in the place of the entry
 * - six keys at most that begin with `!{marks}`, for the marks of `clear` and of tags, and for the count that orders writes
 * - one key that begins with `!l` per lock that is held
 *
 * The scripts that write publish their changes on the channel `!news` in the same step. No command scans the keys.
 *
 * **Cluster.** A batch is one command per hash slot. When a node is lost, its keys load from the source until the node
 * is back or a replica has replaced it; all other keys are served. Every read needs the node that keeps the marks:
 * without it all keys load.
 *
 * **Order.** Redis keeps a count. A `set` and an invalidation raise it in the script that carries them out, and a load
 * repeats the highest count that an answer had shown when its lookup began, so an invalidation wins over every load that
 * began before it, whatever the clocks of the servers and of the processes do. On a cluster the count is on the node that
 * keeps the marks: a `set` or an invalidation takes a ticket there before it goes to the node of its key.
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
import type { CacheStoreError } from "./CacheError.js"
import { CacheStore, fromBytes } from "./CacheStore.js"
import type * as Envelope from "./Envelope.js"
import type * as Addresses from "./internal/backends/redis/address.js"
import { backendOf } from "./internal/backends/redis/backend.js"
import * as Client from "./internal/backends/redis/client.js"
import * as MemoryCache from "./MemoryCache.js"
import * as TieredCache from "./TieredCache.js"

/**
 * The options that every store in Redis has, whether it makes its client or borrows one.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommonOptions extends CacheStore.Options, CacheStore.BytesOptions {
  /** The beginning of every key, default `ec1:`. It may be `""`. */
  readonly prefix?: string | undefined
  /**
   * How long a command may take before it counts as failed, default 500 ms. A time that is not finite and above zero is
   * the defect `InvalidOption`.
   */
  readonly timeout?: Duration.DurationInput | undefined
  /** How long building the Layer waits for the connection before it continues without one, default 1 second. */
  readonly connectTimeout?: Duration.DurationInput | undefined
  /** The name of the store in metrics and logs, default `redis`. */
  readonly name?: string | undefined
  /**
   * How entries become bytes, default `Envelope.v1`. With `Envelope.advancedCaching`, and a serializer that Python
   * reads, the entries are shared with a Python service. With any envelope but the default, the last write of a key
   * wins, and an invalidation leaves no tombstone: it wins over the running loads of its own process, but not over
   * those of other processes.
   */
  readonly envelope?: Envelope.Envelope | undefined
  /**
   * Whether each entry carries a checksum, so that damaged bytes are a miss whatever the serializer notices. Default:
   * `false`, because the connection and the server guard their bytes themselves. Entries are read either way. With an
   * `envelope` other than `Envelope.v1` it is the defect `InvalidOption`.
   */
  readonly checksum?: boolean | undefined
}

/**
 * The options of a store on one server.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends CommonOptions {
  /**
   * The URL of the server, default `redis://127.0.0.1:6379`. `redis://user:secret@host:port/1` names the user, the
   * password and the database, which may also be the parameter `db`; `family` is the only other one. `rediss://` is for
   * TLS. `redis+unix:///path/of/the/socket?db=1&user=name&pass=secret` is for a Unix socket. Text in another form, and
   * a `%`, `/`, `#` or `?` in a password that is not percent-encoded, are the defect `InvalidOption`.
   */
  readonly url?: string | Redacted.Redacted | undefined
  /**
   * Further options of ioredis, such as `tls`, or `path` instead of `url` for a Unix socket. The options for queues and
   * retries are set by this library.
   */
  readonly redis?: RedisOptions | undefined
  readonly cluster?: undefined
  readonly sentinel?: undefined
}

/**
 * The address of a cluster node or of a sentinel: `redis://host:port`, or its parts.
 *
 * @category models
 * @since 0.1.0
 */
export type Address = Addresses.Address

/**
 * The options of a store on a Redis Cluster.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClusterOptions extends CommonOptions {
  /**
   * Some nodes of the cluster. One of them must be reachable, and the others are learned from it. The user, password
   * and TLS of a URL (`rediss://user:secret@host:port`) are used for all nodes. An empty list is the defect
   * `InvalidOption`, and so is a `url` or a `sentinel` beside it.
   */
  readonly cluster: ReadonlyArray<Address>
  /** Further options of ioredis for the connection to each node. */
  readonly redis?: Omit<RedisOptions, "path"> | undefined
  readonly url?: undefined
  readonly sentinel?: undefined
}

/**
 * The options of a store on the master that sentinels name.
 *
 * @category models
 * @since 0.1.0
 */
export interface SentinelOptions extends CommonOptions {
  readonly sentinel: Sentinel
  /** Further options of ioredis for the connection to the master, such as its `password`. */
  readonly redis?: Omit<RedisOptions, "path"> | undefined
  readonly url?: undefined
  readonly cluster?: undefined
}

/**
 * A master and the sentinels that watch it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sentinel {
  /** The name of the master, such as `mymaster`. */
  readonly name: string
  /** Some of the sentinels: they know each other. The default port of a URL is 26379. */
  readonly nodes: ReadonlyArray<Address>
  /** The user of the sentinels themselves, if they ask for one. */
  readonly username?: string | undefined
  /** The password of the sentinels themselves, if they ask for one. That of the master is in `redis`. */
  readonly password?: string | Redacted.Redacted | undefined
}

/**
 * The options of a store on one server, on a cluster, or behind sentinels.
 *
 * @category models
 * @since 0.1.0
 */
export type AnyOptions = Options | ClusterOptions | SentinelOptions

/**
 * Whether building the store fails without a connection.
 *
 * @category models
 * @since 0.2.0
 */
export interface RequiredOption<R extends boolean> {
  /**
   * Whether building the Layer fails if there is no connection after `connectTimeout`, for a program that must not start
   * without its cache. The reason of the `CacheStoreError` is `Connect` (nothing answers), `Auth` (the user, the password or
   * a command is refused), `Database` (it is refused) or `Host` (its name is unknown). Later outages fail nothing. Default:
   * `false`, the store starts without a connection.
   */
  readonly required?: R | undefined
}

// Not exported: the compiler then expands it in the declarations of users.
type FailsIf<R extends boolean> = true extends R ? CacheStoreError : never

/**
 * Makes the backend alone, to be a tier of `TieredCache` or the base of `CacheStore.make`. Its client closes with the
 * Scope. Invalid options are the defect `InvalidOption`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backend = <R extends boolean = false>(
  options: AnyOptions & RequiredOption<R> = {}
): Effect.Effect<Backend.Backend, FailsIf<R>, Scope.Scope> =>
  Effect.map(
    Effect.flatMap(Client.connect(options), (client) => opened<R>(client, false, options)),
    (bytes) => fromBytes(bytes, options)
  )

/** The backend of bytes over a client. It fails only if it is required. */
const opened = <R extends boolean>(client: Client.Client, lent: boolean, options: CommonOptions & RequiredOption<R>) =>
  backendOf(client, lent, options) as Effect.Effect<Backend.Backend<Uint8Array>, FailsIf<R>, Scope.Scope>

/**
 * Makes a store for a tag of your own: `Layer.scoped(Sessions, RedisCache.make({ prefix: "sessions:" }))`. Its client
 * closes with the Scope. Invalid options are the defect `InvalidOption`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <R extends boolean = false>(
  options: AnyOptions & RequiredOption<R> = {}
): Effect.Effect<CacheStore.Service, FailsIf<R>, Scope.Scope> =>
  Effect.flatMap(backend(options), (backend) => CacheStore.make(backend, options))

/**
 * A store over a client that the Layer makes and closes: for one server (`url`), a cluster (`cluster`), or the master
 * that sentinels name (`sentinel`). Two of these options together are the defect `InvalidOption`.
 *
 * The Layer does not fail when Redis cannot be reached: after `connectTimeout` the store starts without a connection,
 * logs this once at Warning, and connects later. With `required: true` it fails with `CacheStoreError`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <R extends boolean = false>(
  options: AnyOptions & RequiredOption<R> = {}
): Layer.Layer<CacheStore, FailsIf<R>> => Layer.scoped(CacheStore, make<R>(options))

/**
 * A store as `layer` makes it, with options from Config. Use `Config.redacted` for the URL, so that it is not logged.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = <R extends boolean = false>(
  config: Config.Config.Wrap<AnyOptions> & { readonly required?: Config.Config<R> | undefined }
): Layer.Layer<CacheStore, ConfigError | FailsIf<R>> =>
  Layer.scoped(
    CacheStore,
    Effect.flatMap(Config.unwrap<AnyOptions>(config), (options) => make<R>(options as AnyOptions & RequiredOption<R>))
  )

/**
 * A store over a client of yours, a `Redis` or a `Cluster`, which stays open when the Layer closes.
 *
 * Commands are sent only while the client is ready, but the options of the client decide what happens to pending
 * commands when the connection breaks. Set `autoResendUnfulfilledCommands: false`, otherwise a write may arrive late:
 * this is logged once, and `health` lists it. After a failover behind one address a client stays with the old master,
 * unless it has `reconnectOnError: (error) => /READONLY|LOADING|MASTERDOWN/.test(error.message)`.
 * Set `socketTimeout`, otherwise the store waits for a server that is gone without having closed the connection. For a
 * `Cluster`, set both in its `redisOptions`, and set its own option `retryDelayOnFailover: 0`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFromClient = <R extends boolean = false>(
  client: Redis | Cluster,
  options: CommonOptions & RequiredOption<R> = {}
): Layer.Layer<CacheStore, FailsIf<R>> =>
  Layer.scoped(
    CacheStore,
    Effect.flatMap(opened<R>(client, true, options), (bytes) => CacheStore.makeBytes(bytes, options))
  )

/**
 * The options of a store with memory in front of Redis.
 *
 * @category models
 * @since 0.1.0
 */
export interface HybridOptions extends CacheStore.Options {
  /** The tier in memory. `ttl` is the longest time that it holds an entry, default the whole lifetime of the entry. */
  readonly l1?:
    | { readonly capacity?: number | undefined; readonly ttl?: Duration.DurationInput | undefined }
    | undefined
  /** The tier in Redis, with all of its options, and a `ttl` as in `l1`. */
  readonly l2?: (AnyOptions & { readonly ttl?: Duration.DurationInput | undefined }) | undefined
  /** The name of the store in metrics and logs, default `hybrid`. Its tiers are `memory` and `redis`. */
  readonly name?: string | undefined
}

/** Memory in front of a backend in Redis. */
const inFront = <E>(
  { l1, name, ...options }: Omit<HybridOptions, "l2">,
  redis: Effect.Effect<Backend.Backend, E, Scope.Scope>,
  { breaker, ttl }: Pick<NonNullable<HybridFromClientOptions["l2"]>, "breaker" | "ttl">
): Effect.Effect<CacheStore.Service, E, Scope.Scope> =>
  TieredCache.make({
    ...options,
    name: name ?? "hybrid",
    tiers: [
      { backend: MemoryCache.backend({ capacity: l1?.capacity }), ttl: l1?.ttl },
      { backend: redis, ttl, breaker }
    ]
  })

/**
 * Makes a store with memory in front of Redis, for a tag of your own. Its client closes with the Scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeHybrid = <R extends boolean = false>({
  l2,
  ...options
}: HybridOptions & { readonly l2?: RequiredOption<R> | undefined } = {}): Effect.Effect<
  CacheStore.Service,
  FailsIf<R>,
  Scope.Scope
> => inFront(options, backend<R>({ maxMarks: options.maxMarks, ...l2 }), l2 ?? {})

/**
 * A store with memory in front of Redis. It is coherent: an entry that one process sets, invalidates or clears leaves
 * the memory of the others within milliseconds.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHybrid = <R extends boolean = false>(
  options: HybridOptions & { readonly l2?: RequiredOption<R> | undefined } = {}
): Layer.Layer<CacheStore, FailsIf<R>> => Layer.scoped(CacheStore, makeHybrid<R>(options))

/**
 * The options of a store with memory in front of a client of yours.
 *
 * @category models
 * @since 0.1.0
 */
export interface HybridFromClientOptions extends Omit<HybridOptions, "l2"> {
  /** The tier in Redis, with the options that a lent client leaves open, and a `ttl` as in `l1`. */
  readonly l2?: (CommonOptions & { readonly ttl?: Duration.DurationInput | undefined }) | undefined
}

/**
 * A store as `layerHybrid` makes it, over a client of yours, which stays open when the Layer closes. See
 * `layerFromClient` for how to set it up. Notifications arrive over connections of their own, which the Layer makes with
 * the client's options, and closes.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHybridFromClient = <R extends boolean = false>(
  client: Redis | Cluster,
  { l2 = {}, ...options }: HybridFromClientOptions & { readonly l2?: RequiredOption<R> | undefined } = {}
): Layer.Layer<CacheStore, FailsIf<R>> =>
  Layer.scoped(
    CacheStore,
    inFront(
      options,
      Effect.map(opened<R>(client, true, { maxMarks: options.maxMarks, ...l2 }), (bytes) => fromBytes(bytes, l2)),
      l2
    )
  )

const fromEnvironment = /*#__PURE__*/ Config.withDefault(
  /*#__PURE__*/ Config.redacted("REDIS_URL"),
  /*#__PURE__*/ Redacted.make("redis://127.0.0.1:6379")
)

/**
 * A store with 10 000 entries in memory in front of Redis, at the URL in `REDIS_URL`, or at `redis://127.0.0.1:6379` if
 * that is not set.
 *
 * @category layers
 * @since 0.1.0
 */
export const HybridCacheLive: Layer.Layer<CacheStore, ConfigError> = /*#__PURE__*/ Layer.scoped(
  CacheStore,
  /*#__PURE__*/ Effect.flatMap(fromEnvironment, (url) => makeHybrid({ l2: { url } }))
)

/**
 * A store in Redis, at the URL in `REDIS_URL`, or at `redis://127.0.0.1:6379` if that is not set.
 *
 * @category layers
 * @since 0.1.0
 */
export const RedisCacheLive: Layer.Layer<CacheStore, ConfigError> = /*#__PURE__*/ layerConfig({
  url: fromEnvironment
})
